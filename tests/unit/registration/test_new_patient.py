"""One new patient registered by a finished model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from builders import dicoms, new_patient
from builders.row_files import row_file
from tenter import config
from tenter.cases import plans
from tenter.config import (
    ImageSettings,
    InferSettings,
    PlanRules,
    Poses,
    Refine,
    RegistrationExport,
    SsdLoss,
)
from tenter.errors import InputError
from tenter.formats import transforms, volumes
from tenter.formats.volumes import Volume
from tenter.registration.new_patient import register
from tenter.spatial.transform import Transform
from tenter.stages.infer import infer
from tenter.stages.prepare_images import prepare_images


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model of two folds."""
    for fold in "01":
        new_patient.write_model(tmp_path / "model", fold)
    return tmp_path / "model"


def by_the_workflow(
    root: Path, members: list[Path], option: config.TestTime | None = None
) -> Transform:
    """The transform that the stages give for the same files."""
    new_patient.write_images(root)
    rows = ["pair\tpatient\tmoving_image\tfixed_image\tset", "p\tp\tmr.nii.gz\tus.nii.gz\ttest"]
    (root / "manifest.tsv").write_text("\n".join(rows) + "\n")
    plans.write_plan(root / "plan.json", new_patient.PLAN)
    prepare_images(
        rows=row_file(root, root / "manifest.tsv"),
        plan=root / "plan.json",
        settings=ImageSettings(plan=PlanRules()),
        code="c",
        cases=root / "cases",
        table=root / "images.tsv",
    )
    infer(
        rows=row_file(root, root / "manifest.tsv"),
        images=root / "images.tsv",
        cases=root / "cases",
        models=tuple(members),
        settings=InferSettings(
            network=new_patient.NETWORK, export=RegistrationExport(), test_time=option
        ),
        code="c",
        output=root / "fields",
        table=root / "t.tsv",
        device="cpu",
    )
    return transforms.read_transform(root / "fields/p/transform.h5")


def test_a_new_patient_gets_what_the_workflow_would_have_given(model: Path, tmp_path: Path) -> None:
    expected = by_the_workflow(tmp_path, [model / "fold-0", model / "fold-1"])
    found = register(model, tmp_path / "mr.nii.gz", tmp_path / "us.nii.gz", device="cpu")
    made = found.save(tmp_path / "out")
    written = transforms.read_transform(made[0])
    assert torch.equal(written.field, expected.field)
    assert np.array_equal(written.alignment, expected.alignment)
    for name in ("field.nii.gz", "warped_image.nii.gz"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "fields/p" / name).read_bytes()


def test_files_and_volumes_give_the_same(model: Path, tmp_path: Path) -> None:
    paths = new_patient.write_images(tmp_path)
    by_files = register(model, *paths)
    by_volumes = register(model, *(volumes.read_image(path) for path in paths))
    assert torch.equal(by_files.transform.field, by_volumes.transform.field)
    assert by_volumes.moving.path is None


def test_a_folder_of_dicom_files_is_an_image(model: Path, tmp_path: Path) -> None:
    whole = np.rint(new_patient.volume("moving").array[0]).astype(np.int16)
    affine = new_patient.volume("moving").affine
    series = dicoms.write_series(tmp_path / "series", whole, affine)
    by_series = register(model, series, new_patient.volume("fixed"))
    volume = Volume(whole[None].astype(np.float32), affine)
    by_volume = register(model, volume, new_patient.volume("fixed"))
    torch.testing.assert_close(
        by_series.transform.field, by_volume.transform.field, rtol=0, atol=1e-4
    )
    by_series.save(tmp_path / "out")
    assert '"file": "series"' in (tmp_path / "out/register.json").read_text()


def test_a_whole_model_is_the_mean_of_its_folds(model: Path) -> None:
    both = register(model, new_patient.volume("moving"), new_patient.volume("fixed"))
    each = [
        register(model / f"fold-{fold}", new_patient.volume("moving"), new_patient.volume("fixed"))
        for fold in "01"
    ]
    mean = (each[0].transform.field + each[1].transform.field) / 2
    torch.testing.assert_close(both.transform.field, mean)
    assert [len(found.members) for found in (both, *each)] == [2, 1, 1]
    assert (both.model, each[1].model) == ("model", "model/fold-1")


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds no finished model; name a folder"):
        register(tmp_path, new_patient.volume("moving"), new_patient.volume("fixed"))
    with pytest.raises(InputError, match="is not a folder"):
        register(tmp_path / "none", new_patient.volume("moving"), new_patient.volume("fixed"))


def test_damaged_weights_are_bad_input(model: Path) -> None:
    path = model / "fold-1/model.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InputError, match=r"fold-1/model\.safetensors: absent or damaged"):
        register(model, new_patient.volume("moving"), new_patient.volume("fixed"))


def test_an_option_gives_what_the_workflow_would_have_given(model: Path, tmp_path: Path) -> None:
    refine = Refine(steps=3, images=(SsdLoss(),))
    option = config.TestTime(poses=Poses(count=2, rotation_deg=5), refine=refine)
    expected = by_the_workflow(tmp_path, [model / "fold-0", model / "fold-1"], option)
    found = register(
        model, tmp_path / "mr.nii.gz", tmp_path / "us.nii.gz", test_time=option, device="cpu"
    )
    plain = register(model, tmp_path / "mr.nii.gz", tmp_path / "us.nii.gz", device="cpu")
    written = transforms.read_transform(found.save(tmp_path / "out")[0])
    assert torch.equal(written.field, expected.field)
    assert not torch.allclose(plain.transform.field, expected.field, atol=1e-2)
    assert (plain.test_time, plain.done, found.test_time) == (None, None, option)


def test_a_pair_that_cannot_be_refined_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    new_patient.write_model(tmp_path, weight=0)
    beyond = config.TestTime(refine=Refine(images=(SsdLoss(weight=3e38),)))  # of float32
    found = register(
        tmp_path, new_patient.volume("moving"), new_patient.volume("fixed"), test_time=beyond
    )
    (told,) = [fault for fault in found.warnings if "is not refined" in fault.message]
    assert "at step" in told.message
    assert "is not refined" in caplog.text
    assert not found.transform.field.any()


def test_other_channels_than_the_models_are_refused(model: Path) -> None:
    with pytest.raises(
        InputError, match="moving image: has 2 channels, the model's moving images have 1"
    ):
        register(model, new_patient.volume("moving", 2), new_patient.volume("fixed"))


def test_two_channels_reach_a_model_that_wants_them(tmp_path: Path) -> None:
    new_patient.write_model(tmp_path, plan=replace(new_patient.PLAN, moving_channels=2))
    found = register(tmp_path, new_patient.volume("moving", 2), new_patient.volume("fixed"))
    assert found.warped.array.shape == (2, 9, 11, 8)


def test_the_models_rule_places_the_images_unless_another_is_asked_for(model: Path) -> None:
    sides = new_patient.volume("moving"), new_patient.volume("fixed")
    usual = register(model, *sides)
    assert (usual.alignment, usual.transform.alignment[:3, 3].tolist()) == (
        "centre",
        [-30.0, 15.0, 10.0],
    )
    header = register(model, *sides, alignment="header")
    assert np.array_equal(header.transform.alignment, np.eye(4))
    assert any("does not overlap" in fault.message for fault in header.warnings)


def test_a_transform_file_places_the_images(model: Path, tmp_path: Path) -> None:
    start = tmp_path / "start.tfm"
    sitk.WriteTransform(sitk.TranslationTransform(3, (31.0, -15.0, 10.0)), str(start))
    found = register(
        model, new_patient.volume("moving"), new_patient.volume("fixed"), initial_transform=start
    )
    assert (found.alignment, found.transform.alignment[:3, 3].tolist()) == (
        "file",
        [-31.0, 15.0, 10.0],
    )


def test_a_rule_and_a_transform_must_go_together(model: Path, tmp_path: Path) -> None:
    sides = new_patient.volume("moving"), new_patient.volume("fixed")
    with pytest.raises(InputError, match="`file` was asked for, but no transform"):
        register(model, *sides, alignment="file")
    with pytest.raises(InputError, match="would be ignored: the alignment is `header`"):
        register(model, *sides, alignment="header", initial_transform=tmp_path / "t.tfm")
    with pytest.raises(InputError, match=r"t\.tfm: is missing"):
        register(model, *sides, initial_transform=tmp_path / "t.tfm")


def test_a_model_that_was_aligned_by_file_asks_for_one(tmp_path: Path) -> None:
    new_patient.write_model(tmp_path, plan=replace(new_patient.PLAN, alignment="file"))
    with pytest.raises(InputError, match="`file` is the model's rule"):
        register(tmp_path, new_patient.volume("moving"), new_patient.volume("fixed"))


def test_a_field_that_folds_is_told_and_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    new_patient.write_model(tmp_path, weight=new_patient.FOLDING)
    found = register(tmp_path, new_patient.volume("moving"), new_patient.volume("fixed"))
    assert found.figures.folding_percent > 0
    assert [fault for fault in found.warnings if "folds in" in fault.message]
    assert "folds in" in caplog.text


def test_the_middle_of_a_gentle_pair_is_told_nothing(
    model: Path, caplog: pytest.LogCaptureFixture
) -> None:
    found = register(model, new_patient.volume("moving"), new_patient.volume("fixed"))
    assert (found.warnings, caplog.text) == ((), "")
    assert 0 < found.figures.mean_mm < found.figures.largest_mm


def test_an_image_of_many_grey_values_in_another_type_is_taken_as_it_is(model: Path) -> None:
    moving = new_patient.volume("moving")
    double = object.__new__(Volume)
    object.__setattr__(double, "array", moving.array.astype(np.float64))
    object.__setattr__(double, "affine", moving.affine)
    found = register(model, double, new_patient.volume("fixed"))
    assert found.moving.volume.array.dtype == np.float32


def test_every_part_of_the_work_is_timed(model: Path) -> None:
    found = register(model, new_patient.volume("moving"), new_patient.volume("fixed"))
    assert set(found.seconds) == {"load model", "read", "prepare", "network", "measure"}
    assert min(found.seconds.values()) > 0
