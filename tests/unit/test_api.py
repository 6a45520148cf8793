"""The names that a notebook imports."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import tenter
from builders import new_patient
from tenter import api, config
from tenter.errors import DataError, InputError
from tenter.formats import volumes
from tenter.spatial.transform import Transform

HEAVY = ("torch", "numpy", "nibabel", "SimpleITK", "mlflow", "pandas", "pydantic", "matplotlib")

# A process looks at itself: what is loaded after `import tenter`, and what the package offers.
LOOK = """
import json, sys
import tenter
print(json.dumps([sorted({name.partition('.')[0] for name in sys.modules}), dir(tenter)]))
"""


def shift(*mm: float) -> Transform:
    """A transform that takes each fixed point some mm further."""
    alignment = np.eye(4)
    alignment[:3, 3] = mm
    return Transform(alignment, torch.zeros((1, 3, 2, 2, 2)), np.eye(4))


@pytest.fixture
def refined(tmp_path: Path) -> Path:
    """A model of a new patient, and a file of an option."""
    new_patient.write_model(tmp_path / "tiny")
    new_patient.write_model(tmp_path / "tiny-seed1", weight=0.2)
    (tmp_path / "option.yaml").write_text("refine: {steps: 2}\n")
    return tmp_path


def test_an_option_is_a_mapping_a_section_or_a_file(refined: Path) -> None:
    sides = new_patient.volume("moving"), new_patient.volume("fixed")
    given = (
        {"refine": {"steps": 2}},
        config.TestTime(refine=config.Refine(steps=2)),
        refined / "option.yaml",
    )
    found = [tenter.register(refined / "tiny", *sides, test_time=option) for option in given]
    assert torch.equal(found[0].transform.field, found[1].transform.field)
    assert torch.equal(found[0].transform.field, found[2].transform.field)
    assert found[0].done is not None
    assert found[0].done["refine"]["steps"] == 2


def test_an_option_that_is_none_is_refused(refined: Path) -> None:
    sides = new_patient.volume("moving"), new_patient.volume("fixed")
    with pytest.raises(
        InputError, match=r"test_time:refine\.step: unknown key; did you mean 'steps'"
    ):
        tenter.register(refined / "tiny", *sides, test_time={"refine": {"step": 2}})


def test_several_models_are_one_ensemble(refined: Path) -> None:
    sides = new_patient.volume("moving"), new_patient.volume("fixed")
    folders = [refined / "tiny", refined / "tiny-seed1"]
    both = tenter.register([str(folder) for folder in folders], *sides)
    each = [tenter.register(folder, *sides).transform.field for folder in folders]
    torch.testing.assert_close(both.transform.field, (each[0] + each[1]) / 2)
    assert (both.model, len(both.members)) == ("tiny, tiny-seed1", 2)


def labels(*, stack: bool = False) -> tenter.LabelVolume:
    """A cube of label 2 and a bar of label 3."""
    values = np.zeros((8, 8, 8), dtype=np.int32)
    values[1:4, 1:4, 1:4] = 2
    values[5, 5, 1:7] = 3
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    if stack:
        soft = np.stack([values == 2, values == 3]).astype(np.float32)
        return tenter.LabelVolume(soft, affine, (0, 1))
    return tenter.LabelVolume(values, affine, (2, 3))


def test_importing_the_package_loads_nothing_heavy_and_offers_all_names() -> None:
    done = subprocess.run([sys.executable, "-c", LOOK], capture_output=True, text=True, check=True)
    loaded, offered = json.loads(done.stdout)
    assert not set(HEAVY) & set(loaded)
    assert offered == sorted([*api.__all__, "__version__"])


def test_the_packages_names_are_the_apis() -> None:
    assert tenter.__all__ == api.__all__
    assert all(getattr(tenter, name) is getattr(api, name) for name in tenter.__all__)


def test_a_name_that_is_none_is_told_as_usual() -> None:
    with pytest.raises(AttributeError, match="no attribute 'registre'"):
        tenter.registre  # type: ignore[attr-defined] # noqa: B018 - that is the point


def test_type_checkers_are_shown_the_same_names() -> None:
    tree = ast.parse(Path(tenter.__file__).read_text(encoding="utf-8"))
    shown = [
        alias.name
        for branch in tree.body
        if isinstance(branch, ast.If) and ast.unparse(branch.test) == "TYPE_CHECKING"
        for node in branch.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    ]
    assert shown == tenter.__all__


def test_three_lines_register(tmp_path: Path) -> None:
    new_patient.write_model(tmp_path / "model")
    moving, fixed = (str(path) for path in new_patient.write_images(tmp_path))
    result = tenter.register(str(tmp_path / "model"), moving, fixed)
    assert isinstance(result, tenter.Registration)
    assert result.warped.array.shape == (1, 9, 11, 8)
    assert result.transform.map_points(np.zeros((4, 3))).shape == (4, 3)


def test_an_image_warped_by_hand_is_the_registrations_own(tmp_path: Path) -> None:
    new_patient.write_model(tmp_path / "model")
    result = tenter.register(
        tmp_path / "model", new_patient.volume("moving"), new_patient.volume("fixed")
    )
    by_hand = tenter.warp(
        new_patient.volume("moving"), result.transform, new_patient.volume("fixed"), fill="edge"
    )
    np.testing.assert_allclose(by_hand.array, result.warped.array, rtol=0, atol=1e-2)


def test_a_label_map_is_warped_by_whole_voxels() -> None:
    moved = tenter.warp(labels(), shift(2.0, 0.0, 0.0), labels())
    assert np.array_equal(moved.values[:-1], labels().values[1:])
    assert not moved.values[-1].any()
    assert moved.keys == (2, 3)
    assert moved.values.dtype == np.int32


def test_a_label_that_leaves_the_grid_leaves_the_keys() -> None:
    assert tenter.warp(labels(), shift(8.0, 0.0, 0.0), labels()).keys == (3,)


def test_a_stack_is_warped_linearly() -> None:
    moved = tenter.warp(labels(stack=True), shift(1.0, 0.0, 0.0), labels())
    assert moved.values[0, :4, 2, 2].tolist() == [0.5, 1.0, 1.0, 0.5]
    assert moved.keys == (0, 1)


def test_the_way_back_undoes_the_way_there() -> None:
    there = tenter.warp(labels(), shift(2.0, -2.0, 0.0), labels())
    back = tenter.warp(there, shift(2.0, -2.0, 0.0), labels(), inverse=True)
    assert np.array_equal(back.values, labels().values)


def test_transforms_and_references_may_be_files(tmp_path: Path) -> None:
    tenter.write_transform(tmp_path / "t.h5", shift(2.0, 0.0, 0.0))
    tenter.write_labels(tmp_path / "l.nii.gz", labels())
    by_files = tenter.warp(
        tenter.read_labels(tmp_path / "l.nii.gz"), tmp_path / "t.h5", tmp_path / "l.nii.gz"
    )
    assert np.array_equal(
        by_files.values, tenter.warp(labels(), shift(2.0, 0.0, 0.0), patient_grid()).values
    )


def patient_grid() -> tenter.Volume:
    """An image on the labels' grid."""
    return tenter.Volume(np.zeros((1, 8, 8, 8), dtype=np.float32), labels().affine)


def test_files_are_read_as_inside_the_package(tmp_path: Path) -> None:
    path = new_patient.write_images(tmp_path)[0]
    assert np.array_equal(tenter.read_image(str(path)).array, volumes.read_image(path).array)
    tenter.write_image(tmp_path / "copy.nii", tenter.read_image(path))
    assert np.array_equal(
        tenter.read_image(tmp_path / "copy.nii").array, volumes.read_image(path).array
    )


def test_soft_labels_are_read_as_a_stack(tmp_path: Path) -> None:
    tenter.write_labels(tmp_path / "soft.nii.gz", labels(stack=True))
    read = tenter.read_labels(str(tmp_path / "soft.nii.gz"), stack=True)
    assert np.array_equal(read.values, labels(stack=True).values)


def test_target_registration_error_by_name() -> None:
    fixed = {"apex": (0.0, 0.0, 0.0), "base": (1.0, 1.0, 1.0), "alone": (5.0, 5.0, 5.0)}
    moving = {"base": (1.0, 1.0, 1.0), "apex": (0.0, 4.0, 0.0)}
    assert tenter.tre_mm(fixed, moving, shift(3.0, 0.0, 0.0)) == {"apex": 5.0, "base": 3.0}


def test_points_are_read_by_name(tmp_path: Path) -> None:
    (tmp_path / "p.tsv").write_text("label\tx\ty\tz\napex\t1\t2\t3\n")
    assert tenter.read_points(str(tmp_path / "p.tsv")) == {"apex": (1.0, 2.0, 3.0)}


def test_dice_by_label() -> None:
    other = labels()
    other.values[1, 1:4, 1:4] = 0
    other.values[5] = 0
    # 27 and 18 voxels share 18; label 3 is gone.
    assert tenter.dice(labels(), other) == {2: 2 * 18 / (27 + 18), 3: 0.0}


def test_dice_of_soft_labels_counts_from_a_half() -> None:
    half = tenter.LabelVolume(labels(stack=True).values * 0.5, labels().affine, (0, 1))
    assert tenter.dice(half, labels(stack=True)) == {0: 1.0, 1: 1.0}


def test_dice_of_different_grids_is_refused() -> None:
    moved = tenter.LabelVolume(labels().values, np.diag([2.0, 2.0, 2.1, 1.0]), (2, 3))
    with pytest.raises(DataError, match="are on different grids; warp"):
        tenter.dice(labels(), moved)


def test_dice_by_name() -> None:
    assert tenter.dice(labels(), labels(), {2: "gland", 3: "tumour"}) == {
        "gland": 1.0,
        "tumour": 1.0,
    }


@pytest.mark.parametrize(
    ("names", "complaint"),
    [
        ({2: "gland"}, r"names: lacks the labels \[3\]"),
        ({2: "a", 3: "a"}, "gives a name to two labels"),
    ],
)
def test_names_must_be_those_of_all_labels(names: dict[int, str], complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        tenter.dice(labels(), labels(), names)


@pytest.mark.parametrize("channels", [2, 4])
def test_a_stack_read_as_a_map_is_refused_in_words_of_python(channels: int, tmp_path: Path) -> None:
    soft = tenter.LabelVolume(
        np.zeros((channels, 4, 4, 4), np.float32), np.eye(4), tuple(range(channels))
    )
    tenter.write_labels(tmp_path / "stack.nii", soft)
    with pytest.raises(DataError, match=r"stack\.nii: has \d channels.*pass stack=True") as raised:
        tenter.read_labels(tmp_path / "stack.nii")
    assert "labels.format" not in str(raised.value)


def test_a_map_read_as_a_stack_is_refused_in_words_of_python(tmp_path: Path) -> None:
    tenter.write_labels(tmp_path / "map.nii", labels())
    with pytest.raises(DataError, match="leave out stack=True"):
        tenter.read_labels(tmp_path / "map.nii", stack=True)


@pytest.mark.parametrize(
    "values",
    [
        np.full((3, 3, 3), -1, np.int32),
        np.full((3, 3, 3), 2**40),
        np.full((3, 3, 3), 3.0),
        np.full((2, 3, 3, 3), 1.5, np.float32),
        np.full((2, 3, 3, 3), -0.5, np.float32),
        np.full((3, 3, 3), np.nan),
    ],
)
def test_what_is_no_label_is_not_written(values: np.ndarray, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"l\.nii: labels from .* cannot be written"):
        tenter.write_labels(tmp_path / "l.nii", tenter.LabelVolume(values, np.eye(4), ()))
    assert not (tmp_path / "l.nii").exists()


@pytest.mark.parametrize("name", ["l.mha", "l.nrrd", "l", "l.nii.bz2", "l.npy"])
def test_another_format_is_not_written(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"name it \.nii or \.nii\.gz"):
        tenter.write_labels(tmp_path / name, labels())
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("stack", "fill"), [(False, -1.0), (False, 0.5), (True, 2.0), (True, -0.1)]
)
def test_labels_are_not_filled_with_what_is_no_label(
    stack: bool,  # noqa: FBT001 - a parameter of the test
    fill: float,
) -> None:
    with pytest.raises(InputError, match=r"fill: is .*; give a"):
        tenter.warp(labels(stack=stack), shift(8.0, 0.0, 0.0), labels(), fill=fill)
