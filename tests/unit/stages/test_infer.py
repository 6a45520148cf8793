"""Registration of prepared pairs by finished models."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
import torch

from builders.row_files import row_file
from tenter import config, files, networks, tables
from tenter.cases import case_files, plans
from tenter.config import ImageSettings, InferSettings, PlanRules, RegistrationExport, UNetNetwork
from tenter.errors import CheckpointError, DataError
from tenter.formats import transforms, volumes
from tenter.manifest import rows
from tenter.records import Plan
from tenter.registration import ensemble, prepared_pairs
from tenter.shapes import Matrix
from tenter.spatial import geometry, pull
from tenter.stages.infer import infer
from tenter.stages.prepare_images import prepare_images
from tenter.training import models

PLAN = Plan(shape=(10, 12, 8), spacing_mm=(2.0, 2.0, 2.5), intensity="zscore", alignment="centre")
NETWORK = UNetNetwork(channels=2, depth=1)
ALL = RegistrationExport(field=True, warped_image=True)
NOTHING = RegistrationExport(field=False, warped_image=False)
OPTION = config.TestTime(
    poses=config.Poses(count=2, rotation_deg=10),
    refine=config.Refine(steps=3, images=(config.SsdLoss(),)),
)


def placed(*diagonal: float) -> Matrix:
    affine = np.diag([*diagonal, 1.0])
    affine[:3, 3] = [-20, 35, 5]
    return affine


@dataclass(frozen=True)
class Study:
    """A folder with two prepared pairs and room for models and results."""

    root: Path
    pairs: tuple[str, ...] = ("p1", "p2")

    def model(self, fold: str, plan: Plan = PLAN, seed: str = "", **described: object) -> Path:
        """A model with random weights, as a training would leave it."""
        torch.manual_seed(int(fold + seed) + 1)
        network = networks.build(NETWORK, 2)
        weights = {
            name: 0.2 * torch.randn_like(value) for name, value in network.state_dict().items()
        }
        description = {
            "fold": fold,
            "network": NETWORK.model_dump(mode="json"),
            "channels": {"moving": 1, "fixed": 1},
            "plan": asdict(plan),
        }
        folder = self.root / f"models{seed}/fold-{fold}"
        models.save(folder, weights, description | described)
        return folder

    def infer(
        self,
        members: Sequence[Path],
        export: RegistrationExport = NOTHING,
        *,
        code: str = "c",
        table: str = "t.tsv",
        test_time: config.TestTime | None = None,
    ) -> None:
        infer(
            rows=row_file(self.root, self.root / "manifest.tsv", self.pairs),
            images=self.root / "images.tsv",
            cases=self.root / "cases",
            models=tuple(members),
            settings=InferSettings(network=NETWORK, export=export, test_time=test_time),
            code=code,
            output=self.root / "fields",
            table=self.root / table,
            device="cpu",
        )

    def names(self, pair: str = "p1") -> set[str]:
        folder = self.root / "fields" / pair
        return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}

    def field(self, name: str = "p1/transform.h5") -> torch.Tensor:
        return transforms.read_transform(self.root / "fields" / name).field


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    tmp_path = tmp_path_factory.mktemp("prepared")
    random = np.random.default_rng(0)
    for pair in ("p1", "p2"):
        for side, shape, affine in (
            ("moving", (11, 9, 10), placed(-2.0, 2.0, 2.0)),
            ("fixed", (9, 11, 8), placed(-2.0, -2.0, 2.5)),
        ):
            array = random.normal(size=shape).astype(np.float32)
            volumes.write_image(tmp_path / f"{pair}-{side}.nii.gz", array, affine)
        (tmp_path / f"{pair}-labels.nii.gz").write_bytes(b"no label can be read")
    header = "pair\tpatient\tmoving_image\tfixed_image\tmoving_labels\tfixed_labels\tset"
    lines = [
        f"{p}\t{p}\t{p}-moving.nii.gz\t{p}-fixed.nii.gz\t{p}-labels.nii.gz\t{p}-labels.nii.gz\ttest"
        for p in ("p1", "p2")
    ]
    (tmp_path / "manifest.tsv").write_text("\n".join([header, *lines]) + "\n")
    plans.write_plan(tmp_path / "plan.json", PLAN)
    prepare_images(
        rows=row_file(tmp_path, tmp_path / "manifest.tsv"),
        plan=tmp_path / "plan.json",
        settings=ImageSettings(plan=PlanRules()),
        code="c",
        cases=tmp_path / "cases",
        table=tmp_path / "images.tsv",
    )
    return tmp_path


@pytest.fixture
def study(prepared: Path, tmp_path: Path) -> Study:
    return Study(shutil.copytree(prepared, tmp_path / "study"))


def test_transform_holds_what_the_network_says(study: Study) -> None:
    folder = study.model("0")
    study.infer([folder])
    case = case_files.read_images(study.root / "cases/p1")
    network = models.load(folder, torch.device("cpu")).network
    moving, fixed = (
        torch.tensor(np.ascontiguousarray(side))[None] for side in (case.moving, case.fixed)
    )
    written = transforms.read_transform(study.root / "fields/p1/transform.h5")
    torch.testing.assert_close(written.field, network(moving, fixed))
    assert written.field.abs().max() > 0.01
    np.testing.assert_allclose(written.affine, case.affine, atol=1e-12)
    np.testing.assert_allclose(written.alignment, case.alignment, atol=1e-12)


def test_warped_image_is_the_original_resampled_once_by_the_transform(study: Study) -> None:
    study.infer([study.model("0")], ALL)
    moving = sitk.ReadImage(str(study.root / "p1-moving.nii.gz"))
    fixed = sitk.ReadImage(str(study.root / "p1-fixed.nii.gz"))
    transform = sitk.ReadTransform(str(study.root / "fields/p1/transform.h5"))
    warped = sitk.ReadImage(str(study.root / "fields/p1/warped_image.nii.gz"))
    expected = sitk.Resample(moving, fixed, transform, sitk.sitkLinear, -1e3)
    warped_array, expected_array = sitk.GetArrayFromImage(warped), sitk.GetArrayFromImage(expected)
    inside = expected_array > -50
    assert inside.mean() > 0.5
    assert np.abs(warped_array - expected_array)[inside].max() < 1e-4
    assert warped.GetDirection() == fixed.GetDirection()
    assert (warped.GetOrigin(), warped.GetSpacing()) == (fixed.GetOrigin(), fixed.GetSpacing())
    assert warped.GetPixelID() == sitk.sitkFloat32


def test_field_file_maps_the_fixed_images_voxels_as_the_transform_does(study: Study) -> None:
    study.infer([study.model("0")], ALL)
    field = sitk.ReadImage(str(study.root / "fields/p1/field.nii.gz"), sitk.sitkVectorFloat64)
    transform = transforms.read_transform(study.root / "fields/p1/transform.h5")
    fixed = volumes.header(study.root / "p1-fixed.nii.gz")
    voxels = np.random.default_rng(0).integers(0, fixed.shape, (30, 3))
    points = geometry.apply(fixed.affine, voxels.astype(np.float64))
    moved = [np.array(field[voxel]) * [-1, -1, 1] for voxel in voxels.tolist()]
    np.testing.assert_allclose(points + moved, transform.map_points(points), rtol=0, atol=1e-3)


def test_slabs_change_nothing(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = study.model("0")
    study.infer([folder], ALL)
    path = study.root / "fields/p1/warped_image.nii.gz"
    before = volumes.read_image(path).array
    monkeypatch.setattr(pull, "SLAB_VOXELS", 200)
    study.infer([folder], ALL, code="other")
    np.testing.assert_allclose(volumes.read_image(path).array, before, rtol=0, atol=1e-5)


def test_ensemble_averages_fields_and_keeps_each_members(study: Study) -> None:
    study.infer([study.model("0"), study.model("1")])
    assert study.names() == {
        "transform.h5",
        "fold-0/transform.h5",
        "fold-1/transform.h5",
        "infer.json",
    }
    members = [study.field(f"p1/fold-{fold}/transform.h5") for fold in (0, 1)]
    assert not torch.allclose(members[0], members[1], atol=1e-3)
    torch.testing.assert_close(study.field(), (members[0] + members[1]) / 2, rtol=0, atol=1e-6)


def test_seeds_of_one_fold_keep_their_transforms_apart(study: Study) -> None:
    study.infer([study.model("0"), study.model("0", seed="7")])
    members = ["models/fold-0/transform.h5", "models7/fold-0/transform.h5"]
    assert study.names() == {"transform.h5", "infer.json", *members}
    fields = [study.field(f"p1/{name}") for name in members]
    torch.testing.assert_close(study.field(), (fields[0] + fields[1]) / 2, rtol=0, atol=1e-6)
    entries = tables.verified([study.root / "t.tsv"], study.root / "fields")
    assert {f"p1/{name}" for name in members} <= {entry.file for entry in entries["p1"]}
    study.infer([study.model("0")])
    assert study.names() == {"transform.h5", "infer.json"}


def test_registering_a_pair_opens_its_sidecar_once(study: Study) -> None:
    opened: list[str] = []
    listening = True

    def listen(event: str, arguments: tuple[object, ...]) -> None:
        if listening and event == "open":
            opened.append(Path(str(arguments[0])).name)

    members = ensemble.load((study.model("0"),), torch.device("cpu"))
    pair = rows.read_images(row_file(study.root, study.root / "manifest.tsv", ["p1"]))[0]
    settings = InferSettings(network=NETWORK, export=NOTHING)
    sys.addaudithook(listen)
    prepared_pairs.register_prepared(
        pair, study.root / "cases/p1", members, settings, study.root / "fields/p1"
    )
    listening = False
    assert opened.count("images.json") == 1


def test_an_option_is_done_and_told(study: Study) -> None:
    folder = study.model("0")
    study.infer([folder])
    plain = study.field()
    assert "test_time" not in json.loads((study.root / "fields/p1/infer.json").read_text())
    study.infer([folder], test_time=OPTION)
    sidecar = json.loads((study.root / "fields/p1/infer.json").read_text())["test_time"]
    assert (sidecar["members"], sidecar["poses"]) == (1, 2)
    assert set(sidecar["refine"]) == {
        "steps",
        "best_step",
        "loss_before",
        "loss_after",
        "failed_at",
    }
    assert sidecar["refine"]["loss_after"] < sidecar["refine"]["loss_before"]
    assert (study.field() - plain).abs().max() > 0.01


def test_a_pair_that_was_not_refined_is_told_in_the_log(
    study: Study, caplog: pytest.LogCaptureFixture
) -> None:
    entries = tables.read(study.root / "images.tsv")
    path = study.root / "cases/p1/fixed.nii"
    image = nib.Nifti1Image.from_filename(path)
    values = np.asarray(image.dataobj, dtype=np.float32).copy()
    values[3, 3, 3] = 1e30  # its square is beyond float32
    nib.save(nib.Nifti1Image(values, image.affine), path)
    digest = files.sha256(path)
    changed = [
        replace(entry, sha256=digest) if entry.file == "p1/fixed.nii" else entry
        for entry in entries
    ]
    tables.write(study.root / "images.tsv", changed)
    folder = study.model("0")
    weights = {name: torch.zeros_like(value) for name, value in models.weights(folder).items()}
    models.save(folder, weights, json.loads((folder / "model.json").read_text()))
    study.infer([folder], test_time=config.TestTime(refine=OPTION.refine))
    assert "p1: is not refined: the loss or its gradient is not finite at step 0" in caplog.text
    assert "p2: is not refined" not in caplog.text
    assert (
        json.loads((study.root / "fields/p1/infer.json").read_text())["test_time"]["refine"][
            "failed_at"
        ]
        == 0
    )
    assert not study.field().any()


def test_table_names_every_file_of_every_pair(study: Study) -> None:
    study.infer([study.model("0")], ALL)
    entries = tables.verified([study.root / "t.tsv"], study.root / "fields")
    names = {"transform.h5", "field.nii.gz", "warped_image.nii.gz", "infer.json"}
    for pair in ("p1", "p2"):
        assert {entry.file for entry in entries[pair]} == {f"{pair}/{name}" for name in names}


def test_further_files_stand_in_the_table_and_go_when_switched_off(study: Study) -> None:
    folder = study.model("0")
    further = RegistrationExport(inverse=True, ras=True, fsl=True, learn2reg=True)
    study.infer([folder], further)
    usual = {"transform.h5", "field.nii.gz", "warped_image.nii.gz", "infer.json"}
    optional_files = {"inverse.h5", "inverse_field.nii.gz", "field_ras.nii.gz", "field_fsl.nii.gz"}
    assert study.names() == usual | optional_files | {"disp_p1_p1.nii.gz"}
    entries = tables.verified([study.root / "t.tsv"], study.root / "fields")
    assert {Path(entry.file).name for entry in entries["p1"]} == study.names()
    sidecar = json.loads((study.root / "fields/p1/infer.json").read_text())
    assert sidecar["inverse_residual_mm"] >= 0
    study.infer([folder], ALL)
    assert study.names() == usual


def test_sidecar_tells_models_and_largest_displacement(study: Study) -> None:
    folder = study.model("0")
    study.infer([folder])
    sidecar = json.loads((study.root / "fields/p1/infer.json").read_text())
    sha256 = json.loads((folder / "model.json").read_text())["weights_sha256"]
    assert sidecar["models"] == [{"fold": "0", "sha256": sha256}]
    moves = study.field() * torch.tensor(PLAN.spacing_mm).reshape(1, 3, 1, 1, 1)
    assert sidecar["largest_displacement_mm"] == pytest.approx(
        float(moves.norm(dim=1).max()), abs=1e-3
    )
    assert (
        sidecar["files"]["transform.h5"]["bytes"]
        == (study.root / "fields/p1/transform.h5").stat().st_size
    )


def test_what_is_up_to_date_is_kept_and_what_is_damaged_is_made_again(study: Study) -> None:
    folder = study.model("0")
    study.infer([folder], ALL)
    intact, damaged = (study.root / f"fields/{pair}/infer.json" for pair in ("p1", "p2"))
    before = (intact.stat().st_mtime_ns, damaged.stat().st_mtime_ns)
    (study.root / "fields/p2/field.nii.gz").write_bytes(b"cut")
    study.infer([folder], ALL)
    assert intact.stat().st_mtime_ns == before[0]
    assert damaged.stat().st_mtime_ns > before[1]
    tables.verified([study.root / "t.tsv"], study.root / "fields")


@pytest.mark.parametrize("change", ["code", "model", "export", "option"])
def test_whatever_a_result_depends_on_makes_it_again(study: Study, change: str) -> None:
    study.infer([study.model("0")], code="c")
    sidecar = study.root / "fields/p1/infer.json"
    before = sidecar.stat().st_mtime_ns
    folder = study.model("1" if change == "model" else "0")
    study.infer(
        [folder],
        ALL if change == "export" else NOTHING,
        code="d" if change == "code" else "c",
        test_time=OPTION if change == "option" else None,
    )
    assert sidecar.stat().st_mtime_ns > before


def test_files_no_longer_asked_for_are_removed(study: Study) -> None:
    study.infer([study.model("0"), study.model("1")], ALL)
    study.infer([study.model("0")], NOTHING)
    assert study.names() == {"transform.h5", "infer.json"}


def test_one_bad_pair_does_not_stop_the_others(study: Study) -> None:
    path = study.root / "cases/p1/moving.nii"
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(DataError, match=r"p1: .*moving\.nii"):
        study.infer([study.model("0")])
    assert study.names("p2") == {"transform.h5", "infer.json"}
    assert not (study.root / "t.tsv").exists()


def test_original_that_changed_since_is_refused(study: Study) -> None:
    volumes.write_image(
        study.root / "p1-moving.nii.gz", np.ones((11, 9, 10)), placed(-2.0, 2.0, 2.0)
    )
    with pytest.raises(DataError, match=r"p1-moving\.nii\.gz: changed"):
        study.infer([study.model("0")], ALL)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shape": (8, 8, 8)}, r"shape \[10, 12, 8\] \(model: \[8, 8, 8\]\)"),
        ({"spacing_mm": (1.0, 2.0, 2.5)}, "spacing_mm"),
        ({"moving_channels": 2}, "moving_channels 1"),
        ({"intensity": "minmax"}, r"another intensity or alignment rule \(model: minmax, centre\)"),
        ({"alignment": "file"}, r"another intensity or alignment rule \(model: zscore, file\)"),
        ({"alignment": "header"}, r"another intensity or alignment rule \(model: zscore, header\)"),
    ],
)
def test_model_of_other_cases_is_refused(
    study: Study, change: dict[str, object], message: str
) -> None:
    folder = study.model("0", replace(PLAN, **change))  # type: ignore[arg-type]
    with pytest.raises(CheckpointError, match=message):
        study.infer([folder])


def test_damaged_weights_are_refused(study: Study) -> None:
    folder = study.model("0")
    content = bytearray((folder / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"model\.safetensors"):
        study.infer([folder])


def test_field_that_is_not_finite_is_refused(study: Study) -> None:
    folder = study.model("0")
    weights = {
        name: torch.full_like(value, torch.nan) for name, value in models.weights(folder).items()
    }
    models.save(folder, weights, json.loads((folder / "model.json").read_text()))
    with pytest.raises(DataError, match="not finite"):
        study.infer([folder])


@pytest.mark.parametrize("count", [0, 2])
def test_members_must_have_different_weights(study: Study, count: int) -> None:
    with pytest.raises(CheckpointError, match="different weights"):
        study.infer([study.model("0")] * count)
