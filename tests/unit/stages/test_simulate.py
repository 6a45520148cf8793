"""The simulated cohort as files: whole, repeatable, and guarded."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from tenter import manifest
from tenter.errors import InputError
from tenter.formats import points, transforms
from tenter.stages.simulate import simulate


def content(folder: Path) -> dict[str, bytes]:
    """Bytes of every file; of a transform (its format notes the time of writing) its figures'."""
    digests = {}
    for path in sorted(folder.rglob("*.*")):
        digests[path.relative_to(folder).as_posix()] = path.read_bytes()
        if path.suffix == ".h5":
            truth = transforms.read_transform(path)
            parts = (truth.alignment, truth.affine, truth.field.numpy())
            digests[path.relative_to(folder).as_posix()] = b"".join(
                part.tobytes() for part in parts
            )
    return digests


def volume(path: Path) -> nib.Nifti1Image:
    return nib.Nifti1Image.from_filename(path)


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "manifest.tsv").open(newline="") as stream:
        return list(csv.DictReader(stream, delimiter="\t"))


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven pairs of four patients at 6 mm; read, never written to."""
    folder = tmp_path_factory.mktemp("simulated") / "cohort"
    simulate(folder, pairs=7, patients=4, spacing_mm=6.0)
    return folder


def test_manifest_has_its_columns_and_relative_paths(cohort: Path) -> None:
    table = rows(cohort)
    assert list(table[0]) == [
        "pair", "patient", "moving_image", "fixed_image",
        "moving_labels", "fixed_labels", "moving_points", "fixed_points",
    ]  # fmt: skip
    cells = [row[column] for row in table for column in list(row)[2:] if row[column]]
    assert all((cohort / cell).is_file() and not Path(cell).is_absolute() for cell in cells)


def test_manifest_is_accepted(cohort: Path) -> None:
    pairs = manifest.read(cohort / "manifest.tsv", data_root=cohort)
    assert len(pairs) == 7
    assert all(pair.labelled for pair in pairs)


def test_some_patients_have_several_pairs(cohort: Path) -> None:
    counts = Counter(row["patient"] for row in rows(cohort))
    assert len(counts) == 4
    assert max(counts.values()) > 1


def test_truth_lies_outside_the_manifest(cohort: Path) -> None:
    assert "truth" not in (cohort / "manifest.tsv").read_text()
    names = {path.name for path in (cohort / "truth").iterdir()}
    assert names == {f"case-{k:03d}{end}" for k in range(1, 8) for end in (".h5", ".points.tsv")}


@pytest.mark.parametrize("side", ["moving", "fixed"])
def test_labels_lie_on_their_images_grid(cohort: Path, side: str) -> None:
    for row in rows(cohort):
        labels, image = (volume(cohort / row[f"{side}_{kind}"]) for kind in ("labels", "image"))
        assert labels.shape[:3] == image.shape
        np.testing.assert_allclose(labels.affine, image.affine, rtol=0, atol=1e-5)


def test_number_of_labels_differs_from_pair_to_pair(cohort: Path) -> None:
    assert len({volume(cohort / row["moving_labels"]).shape[3] for row in rows(cohort)}) > 1


def test_points_correspond_through_the_true_transform(cohort: Path) -> None:
    row = next(row for row in rows(cohort) if row["fixed_points"])
    fixed = points.read_points(cohort / row["fixed_points"])
    moving = points.read_points(cohort / row["moving_points"])
    assert [point.name for point in fixed] == [point.name for point in moving]
    truth = transforms.read_transform(cohort / f"truth/{row['pair']}.h5")
    mapped = truth.map_points(np.array([point.xyz for point in fixed]))
    np.testing.assert_allclose(mapped, [point.xyz for point in moving], rtol=0, atol=0.1)


def test_equal_settings_give_equal_bytes(tmp_path: Path) -> None:
    for name in "ab":
        simulate(tmp_path / name, pairs=2, patients=1, spacing_mm=8.0, seed=5)
    assert content(tmp_path / "a") == content(tmp_path / "b")


def test_another_seed_gives_another_cohort(tmp_path: Path) -> None:
    for seed in (1, 2):
        simulate(tmp_path / str(seed), pairs=1, patients=1, spacing_mm=8.0, seed=seed)
    first, second = content(tmp_path / "1"), content(tmp_path / "2")
    different = {name for name in first if first[name] != second[name]}
    assert different >= {
        "images/case-001-moving.nii.gz",
        "images/case-001-fixed.nii.gz",
        "truth/case-001.h5",
    }


def test_more_pairs_leave_the_former_ones_as_they_were(tmp_path: Path) -> None:
    simulate(tmp_path / "few", pairs=2, patients=2, spacing_mm=8.0)
    simulate(tmp_path / "more", pairs=3, patients=2, spacing_mm=8.0)
    few, larger = content(tmp_path / "few"), content(tmp_path / "more")
    former = [name for name in few if name.startswith(("images", "labels", "points", "truth"))]
    assert [name for name in former if few[name] != larger[name]] == []


def test_a_whole_cohort_is_left_alone(tmp_path: Path) -> None:
    simulate(tmp_path, pairs=1, patients=1, spacing_mm=8.0)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    simulate(tmp_path, pairs=1, patients=1, spacing_mm=8.0)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


@pytest.mark.parametrize(
    "lost", ["manifest.tsv", "labels/case-001-fixed.nii.gz", "truth/case-001.h5"]
)
def test_an_interrupted_cohort_is_completed(tmp_path: Path, lost: str) -> None:
    simulate(tmp_path, pairs=1, patients=1, spacing_mm=8.0)
    before = content(tmp_path)
    (tmp_path / lost).unlink()
    simulate(tmp_path, pairs=1, patients=1, spacing_mm=8.0)
    assert content(tmp_path) == before


def test_another_cohort_is_not_overwritten(tmp_path: Path) -> None:
    simulate(tmp_path, pairs=1, patients=1, spacing_mm=8.0)
    before = content(tmp_path)
    with pytest.raises(InputError, match="other settings; name another folder"):
        simulate(tmp_path, pairs=1, patients=1, spacing_mm=8.0, seed=1)
    assert content(tmp_path) == before


def test_a_folder_with_other_things_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(InputError, match="something other than a simulated cohort"):
        simulate(tmp_path, pairs=1, patients=1)
    assert content(tmp_path) == {"thesis.txt": b"precious"}


def test_a_folder_with_but_an_orphaned_temporary_file_is_used(tmp_path: Path) -> None:
    (tmp_path / ".tmp-host-1-abc.json").write_text("{")
    simulate(tmp_path, pairs=1, patients=1, spacing_mm=8.0)
    assert len(rows(tmp_path)) == 1


def test_a_file_in_the_folders_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cohort").write_text("precious")
    with pytest.raises(InputError, match="is not a folder"):
        simulate(tmp_path / "cohort", pairs=1, patients=1)


def test_every_nonsense_number_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        simulate(tmp_path / "cohort", pairs=1, patients=2, seed=-1, spacing_mm=90.0)
    assert {fault.column for fault in caught.value.faults} == {"patients", "seed", "spacing_mm"}
    assert not (tmp_path / "cohort").exists()


def test_unlabelled_cohort_names_no_labels_or_points(tmp_path: Path) -> None:
    simulate(tmp_path, pairs=2, patients=2, spacing_mm=8.0, unlabelled=True)
    assert all(not row[column] for row in rows(tmp_path) for column in list(row)[4:])
    assert {path.name for path in tmp_path.iterdir() if path.is_dir()} == {"images", "truth"}


def test_map_holds_one_integer_a_label(tmp_path: Path) -> None:
    simulate(tmp_path / "map", pairs=1, patients=1, spacing_mm=4.0, labels="map")
    simulate(tmp_path / "stack", pairs=1, patients=1, spacing_mm=4.0)
    name = "labels/case-001-fixed.nii.gz"
    values, stack = (volume(tmp_path / form / name) for form in ("map", "stack"))
    assert np.issubdtype(values.get_data_dtype(), np.integer)
    assert np.unique(values.dataobj).tolist() == list(range(stack.shape[3] + 1))


@pytest.fixture(scope="module")
def subjects(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four subjects at 8 mm; read, never written to."""
    folder = tmp_path_factory.mktemp("simulated") / "subjects"
    simulate(folder, patients=4, spacing_mm=8.0, kind="subjects")
    return folder


def test_subjects_are_mr_and_ultrasound_in_turn(subjects: Path) -> None:
    cohort = manifest.cohort(subjects / "manifest.tsv", data_root=subjects)
    assert [subject.group for subject in cohort.subjects] == ["mr", "us", "mr", "us"]
    assert len({subject.patient for subject in cohort.subjects}) == 4
    assert not (subjects / "truth").exists()


def test_any_two_subjects_share_labels_and_points(subjects: Path) -> None:
    people = manifest.cohort(subjects / "manifest.tsv").subjects
    named = [
        {point.name for point in points.read_points(subject.points)}
        for subject in people
        if subject.points
    ]
    assert named == [{"apex", "base", "left", "right", "anterior"}] * 4
    assert [volume(subject.labels).shape[3] for subject in people if subject.labels] == [2] * 4


def test_more_subjects_leave_the_former_ones_as_they_were(subjects: Path, tmp_path: Path) -> None:
    simulate(tmp_path / "more", patients=5, spacing_mm=8.0, kind="subjects")
    few, larger = content(subjects), content(tmp_path / "more")
    former = [name for name in few if name.startswith(("images", "labels", "points"))]
    assert [name for name in former if few[name] != larger[name]] == []


def test_a_folder_of_pairs_is_no_folder_of_subjects(cohort: Path) -> None:
    with pytest.raises(InputError, match="other settings"):
        simulate(cohort, patients=4, spacing_mm=6.0, kind="subjects")
