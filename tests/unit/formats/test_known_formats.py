"""An image format is a module with a `Format`, and one line in the table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from builders import faulty_files
from tenter.config import LabelFiles
from tenter.errors import DataError, InputError
from tenter.formats import headers, kinds, known_formats, volumes
from tenter.formats.headers import Header
from tenter.formats.image_format import Format, Stored
from tenter.stages.check import check

AFFINE = faulty_files.affine(spacing=2.0)
NOISE = np.random.default_rng(0).normal(100, 20, (2, *faulty_files.SHAPE)).astype(np.float32)


def toy_stored(path: Path) -> Stored:
    """NumPy's archive of `values` `[x, y, z(, c)]` and `affine`, whose values count in halves."""
    try:
        with np.load(path) as archive:
            values, affine = archive["values"], archive["affine"]
    except (OSError, ValueError, KeyError) as error:
        raise headers.refusal(path, "is not a toy", "make it again") from error
    shape, channels = headers.sized(path, values.shape)
    return Stored(Header(shape, channels, headers.placed(path, affine), values.dtype), values, 0.5)


TOY = Format(suffixes=(".npz",), header=lambda path: toy_stored(path).header, stored=toy_stored)


@pytest.fixture(autouse=True)
def table(monkeypatch: pytest.MonkeyPatch) -> None:
    """The table with one line more."""
    monkeypatch.setattr(known_formats, "FORMATS", (*known_formats.FORMATS, TOY))


def toy(path: Path, values: np.ndarray, affine: np.ndarray = AFFINE) -> Path:
    with path.open("wb") as stream:
        np.savez(stream, values=values, affine=affine)
    return path


def test_an_image_of_a_new_format_is_read_scaled(tmp_path: Path) -> None:
    path = toy(tmp_path / "a.npz", np.moveaxis(NOISE, 0, 3))
    volume = volumes.read_image(path)
    assert np.array_equal(volume.array, NOISE * 0.5)
    assert np.array_equal(volume.affine, AFFINE)


def test_its_header_and_files_are_known(tmp_path: Path) -> None:
    path = toy(tmp_path / "A.NPZ", NOISE[0])
    assert volumes.header(path).shape == faulty_files.SHAPE
    assert volumes.parts(path) == (path,)
    assert kinds.marked(path) is None


def test_its_labels_are_read(tmp_path: Path) -> None:
    path = toy(tmp_path / "a.npz", np.full((3, 4, 5), 4, np.int16))
    assert volumes.read_labels(path, LabelFiles()).keys == (2,)


def test_what_is_not_finite_in_it_is_refused(tmp_path: Path) -> None:
    path = toy(tmp_path / "a.npz", np.where(np.arange(60) == 7, np.nan, 1).reshape(3, 4, 5))
    with pytest.raises(DataError, match="NaN"):
        volumes.read_image(path)


def with_toy(folder: Path) -> tuple[Path, Path]:
    """A study whose first fixed image is of the new format: configuration and image."""
    config = faulty_files.cohort(folder)
    table = folder / "manifest.tsv"
    table.write_text(table.read_text().replace("p1_us.nii.gz", "p1_us.npz", 1))
    return config, toy(folder / "p1_us.npz", NOISE[0], faulty_files.affine())


def test_a_study_with_such_an_image_is_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config, _ = with_toy(tmp_path / "study")
    assert "3 image pairs" in str(check(config))


def test_a_damaged_one_is_refused_at_its_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config, image = with_toy(tmp_path / "study")
    image.write_bytes(b"not an archive")
    with pytest.raises(InputError, match=r"manifest.tsv:2:fixed_image: .*is not a toy"):
        check(config)


def test_every_known_suffix_is_in_the_fix_for_an_unknown_one(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"\.nii\.gz, .*\.mha, .*\.nrrd, .*\.npz"):
        volumes.header(tmp_path / "a.xyz")
