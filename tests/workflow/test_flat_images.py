"""Slices from their files to figures and pictures:
nothing depends on how they lie and are stored.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import yaml

from builders import slice_cohort
from builders.row_files import row_file
from tenter.cases import plans
from tenter.config import (
    EvaluateSettings,
    ImageSettings,
    InferSettings,
    LabelSettings,
    TrainSettings,
)
from tenter.errors import InputError
from tenter.formats.transforms import read_transform
from tenter.measurement import metric_tables
from tenter.records import MetricRow
from tenter.registration.new_patient import register
from tenter.registration.result import OVERVIEW
from tenter.reporting import examples, panels
from tenter.reporting.planes import PLANES, planes
from tenter.stages.check import check
from tenter.stages.evaluate import evaluate
from tenter.stages.infer import infer
from tenter.stages.plan import plan
from tenter.stages.prepare_images import prepare_images
from tenter.stages.prepare_labels import prepare_labels
from tenter.stages.train import train
from tenter.study import Study

FOLD = "0"
WAYS = {
    "axial": slice_cohort.Stored(),
    "coronal": slice_cohort.Stored(normal=1, flat_axis=0, flipped=True),
    "oblique": slice_cohort.Stored(normal=0, turn=slice_cohort.TILTED, flat_axis=1),
}
SHAPES = {"axial": (30, 26, 1), "coronal": (30, 1, 26), "oblique": (1, 30, 26)}
STUDY: dict[str, Any] = {
    "study": "flat",
    "labels": {
        "format": "stack",
        "names": [
            {"name": "organ", "key": 0, "role": "structure"},
            {"name": "spot", "key": 1, "role": "landmark"},
        ],
    },
    "plan": {"alignment": "centre"},
    "folds": {"count": 2},
    "export": {"field": True, "inverse": True, "warped_image": True},
    "models": {
        "m": {
            "network": {"name": "unet", "channels": 4, "depth": 2, "output": "velocity"},
            "training": {"steps": 20, "batch": 2, "learning_rate": 2e-3},
            "augmentation": {"affine": 0.05},
            "losses": {
                "labels": [{"name": "dice", "scales_mm": [0, 4]}],
                "images": [{"name": "mind", "weight": 0.1}],
                "regularisers": [{"name": "bending", "weight": 0.5}],
            },
        }
    },
}


class Finished:
    """A cohort of slices that went through every stage.

    Args:
        root: folder of all that is made.
        stored: how the slices lie and are stored.
    """

    def __init__(self, root: Path, stored: slice_cohort.Stored) -> None:
        self.root = root
        self.manifest = slice_cohort.written(root / "cohort", stored)
        self.config = root / "flat.yaml"
        self.config.write_text(yaml.safe_dump(STUDY | {"manifest": "cohort/manifest.tsv"}))
        self.study = Study.load(self.config)
        self.model = root / f"m/fold-{FOLD}"
        plan(
            rows=row_file(root, self.manifest),
            settings=self.study.config.plan,
            output=root / "plan.json",
        )
        for chunk in self.study.cohort.chunks:
            self._prepare(chunk)
        self._train()
        tested = [
            chunk for chunk in self.study.cohort.registered_chunks() if chunk.startswith(f"{FOLD}-")
        ]
        self.rows = [row for chunk in tested for row in self._measured(chunk)]

    def image(self, pair: str, side: str) -> Path:
        return self.manifest.parent / f"{pair.removeprefix('case-')}-{side}_image.nii.gz"

    @property
    def pairs(self) -> list[str]:
        return sorted({row.pair for row in self.rows})

    def _shared(self, chunk: str) -> dict[str, Any]:
        ids = [pair.id for pair in self.study.cohort.chunks[chunk]]
        return {"rows": row_file(self.root, self.manifest, ids), "code": "c"}

    def _prepare(self, chunk: str) -> None:
        shared = self._shared(chunk) | {"cases": self.root / "cases"}
        images = ImageSettings.model_validate_json(self.study.settings("prepare_images"))
        labels = LabelSettings.model_validate_json(self.study.settings("prepare_labels"))
        table = self.root / f"{chunk}.images.tsv"
        prepare_images(**shared, plan=self.root / "plan.json", settings=images, table=table)
        prepare_labels(
            **shared, images=table, settings=labels, table=self.root / f"{chunk}.labels.tsv"
        )

    def _train(self) -> None:
        learnt = self.study.cohort.training_chunks(FOLD)
        train(
            images=tuple(self.root / f"{chunk}.images.tsv" for chunk in learnt),
            labels=tuple(self.root / f"{chunk}.labels.tsv" for chunk in learnt),
            cases=self.root / "cases",
            plan=self.root / "plan.json",
            fold=FOLD,
            settings=TrainSettings.model_validate_json(self.study.settings("train", "m")),
            code="c",
            output=self.model,
            checkpoints=self.root / "checkpoints",
            device="cpu",
        )

    def _measured(self, chunk: str) -> list[MetricRow]:
        infer(
            **self._shared(chunk),
            images=self.root / f"{chunk}.images.tsv",
            cases=self.root / "cases",
            models=(self.model,),
            settings=InferSettings.model_validate_json(self.study.settings("infer", "m")),
            output=self.root / "fields",
            table=self.root / f"{chunk}.fields.tsv",
            device="cpu",
        )
        evaluate(
            **self._shared(chunk),
            fields=self.root / f"{chunk}.fields.tsv",
            transforms=self.root / "fields",
            model="m",
            fold=FOLD,
            settings=EvaluateSettings.model_validate_json(self.study.settings("evaluate")),
            output=self.root / f"{chunk}.metrics.tsv",
            warped_labels=self.root / "warped",
            mapped_points=self.root / "points",
        )
        return list(metric_tables.read(self.root / f"{chunk}.metrics.tsv"))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Any:
    root = tmp_path_factory.mktemp("flat")
    return functools.cache(lambda way: Finished(root / way, WAYS[way]))


def figures(rows: list[MetricRow]) -> dict[tuple[str, str, str], tuple[float | None, float | None]]:
    return {(row.pair, row.label, row.metric): (row.before, row.after) for row in rows}


def test_a_study_learns_to_register_slices(finished: Any) -> None:
    rows = finished("axial").rows
    assert {
        "dice",
        "tre",
        "rms_tre",
        "point_tre",
        "hd95",
        "surface_distance",
        "folding",
        "ndv",
    } <= {row.metric for row in rows}
    organs = [row for row in rows if (row.label, row.metric) == ("organ", "dice")]
    before, after = (
        np.mean([getattr(row, when) for row in organs]) for when in ("before", "after")
    )
    assert after > before + 0.03
    assert all(np.isfinite([row.before, row.after]).all() for row in rows)


@pytest.mark.parametrize("way", WAYS)
def test_the_grid_is_the_slice_and_nothing_moves_along_its_normal(finished: Any, way: str) -> None:
    made = finished(way)
    assert plans.read_plan(made.root / "plan.json").shape == SHAPES[way]
    for pair in made.pairs:
        field = read_transform(made.root / f"fields/{pair}/transform.h5").field[0]
        assert field.shape == (3, *SHAPES[way])
        normal = WAYS[way].normal
        assert float(field[normal].abs().max()) < 1e-12  # voxels: of a file in mm along turned axes
        assert float(field.abs().max()) > 0.5


@pytest.mark.parametrize("way", ["coronal", "oblique"])
def test_figures_do_not_depend_on_how_slices_lie_and_are_stored(finished: Any, way: str) -> None:
    plain, other = figures(finished("axial").rows), figures(finished(way).rows)
    assert plain.keys() == other.keys()
    for key, (before, after) in plain.items():
        assert other[key][0] == pytest.approx(before, abs=1e-4)
        tolerance = 0.02 if key[2] in {"dice", "folding", "ndv", "sd_log_jacobian"} else 0.15
        assert other[key][1] == pytest.approx(after, abs=tolerance), key


@pytest.mark.parametrize("way", WAYS)
def test_simpleitk_maps_points_of_the_plane_alike_by_every_file(finished: Any, way: str) -> None:
    made = finished(way)
    pair = made.pairs[0]
    folder = made.root / "fields" / pair
    fixed = sitk.ReadImage(str(made.image(pair, "fixed")))
    transform = sitk.ReadTransform(str(folder / "transform.h5"))
    inverse = sitk.ReadTransform(str(folder / "inverse.h5"))
    field = sitk.DisplacementFieldTransform(
        sitk.ReadImage(str(folder / "field.nii.gz"), sitk.sitkVectorFloat64)
    )
    sizes = np.array(fixed.GetSize())
    own = read_transform(folder / "transform.h5")
    random = np.random.default_rng(0)
    for _ in range(40):
        index = (random.uniform(0.2, 0.8, 3) * (sizes - 1)).round().astype(int)
        start = np.array(fixed.TransformIndexToPhysicalPoint(index.tolist()))
        end = np.array(transform.TransformPoint(start.tolist()))
        mapped = own.map_points(start[None] * [-1, -1, 1])[0] * [-1, -1, 1]
        assert np.abs(end - mapped).max() < 1e-3
        assert np.abs(end - field.TransformPoint(start.tolist())).max() < 1e-3
        assert np.abs(np.array(inverse.TransformPoint(end.tolist())) - start).max() < 0.05


@pytest.mark.parametrize("way", WAYS)
def test_a_report_shows_the_plane_that_there_is(finished: Any, way: str) -> None:
    made = finished(way)
    pair = made.pairs[0]
    scene = examples.scene(made.root / "cases" / pair, made.root / f"fields/{pair}/transform.h5")
    drawn = panels.panel(scene, "a pair", "pair")
    titles = {plane.title for plane in PLANES if f"{plane.title}<" in drawn}
    assert titles == {planes(SHAPES[way])[0].title}


def test_a_new_slice_is_registered_with_test_time_options(finished: Any, tmp_path: Path) -> None:
    made = finished("oblique")
    option = {
        "poses": {"count": 1, "rotation_deg": 5, "translation_mm": 2, "scale": 0.05},
        "refine": {"images": [{"name": "lncc"}], "steps": 3},
    }
    chosen = STUDY["models"]["m"] | {"test_time": {"careful": option}}
    study = Study.load(
        made.config, STUDY | {"manifest": str(made.manifest), "models": {"m": chosen}}
    )
    _, test_time = study.config.options()["m-careful"]
    pair = (made.image("case-1", side) for side in ("moving", "fixed"))
    result = register(made.model, *pair, test_time=test_time)
    assert float(result.transform.field[0, 0].abs().max()) == 0
    assert result.figures.folding_percent == pytest.approx(0, abs=5)
    result.save(tmp_path / "new", export=("inverse", "ras", "fsl", "learn2reg"))
    assert (tmp_path / "new" / OVERVIEW).stat().st_size > 5000


def test_a_volume_is_refused_by_a_model_of_slices(finished: Any, tmp_path: Path) -> None:
    made = finished("axial")
    thick = sitk.JoinSeries([sitk.ReadImage(str(made.image("case-0", "fixed")))[:, :, 0]] * 3)
    sitk.WriteImage(thick, str(tmp_path / "thick.nii.gz"))
    with pytest.raises(InputError, match="one slice"):
        register(made.model, made.image("case-0", "moving"), tmp_path / "thick.nii.gz")
    other = np.random.default_rng(0).normal(size=(5, 20, 20)).astype(np.float32)
    sitk.WriteImage(sitk.GetImageFromArray(other), str(tmp_path / "other.nii.gz"))
    with pytest.raises(InputError, match=r"is a volume, but the plan's grid is a slice \(axial\)"):
        register(made.model, tmp_path / "other.nii.gz", tmp_path / "thick.nii.gz")


def test_check_takes_slices_and_names_what_is_none(finished: Any, tmp_path: Path) -> None:
    made = finished("axial")
    assert "common grid: 30 x 26 x 1 voxels of 2 x 2.5 x 6 mm" in str(check(made.config))
    mixed = slice_cohort.written(tmp_path / "cohort", slice_cohort.Stored())
    for column in ("moving_image", "fixed_image", "moving_labels", "fixed_labels"):
        path = mixed.parent / f"2-{column}.nii.gz"
        slice_cohort.thicken(path)
    config = tmp_path / "mixed.yaml"
    config.write_text(yaml.safe_dump(STUDY | {"manifest": "cohort/manifest.tsv"}))
    with pytest.raises(
        InputError, match=r"2-fixed_image.nii.gz: is a volume.*images are a slice \(axial\)"
    ):
        check(config)


def test_check_refuses_figures_of_programs_that_know_volumes_alone(
    finished: Any, tmp_path: Path
) -> None:
    config = tmp_path / "flat.yaml"
    keys = {
        "manifest": str(finished("axial").manifest),
        "evaluation": {"families": ["strict", "learn2reg"]},
    }
    config.write_text(yaml.safe_dump(STUDY | keys))
    with pytest.raises(
        InputError, match=r"evaluation\.families: the metrics of learn2reg are defined"
    ):
        check(config)
