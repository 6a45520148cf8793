from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from builders import dicoms, faulty_files
from tenter import files, provenance
from tenter.cases import plans
from tenter.errors import InputError
from tenter.formats import volumes
from tenter.intake.verdict import Verdict
from tenter.records import Fault, Plan
from tenter.stages.check import check


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return faulty_files.cohort(tmp_path / "study")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Results are relative to the working directory."""
    monkeypatch.chdir(tmp_path)


def told(config: Path) -> tuple[Fault, ...]:
    """The faults of a faulty study."""
    with pytest.raises(InputError) as caught:
        check(config)
    return caught.value.faults


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def test_a_sound_study_is_summed_up(config: Path) -> None:
    verdict = check(config)
    assert verdict.warnings == ()
    text = str(verdict)
    assert "3 image pairs of 3 patients: all cross-validated" in text
    assert "label-1 in 3, label-2 in 3" in text
    assert "12 x 10 x 8 voxels of 1 x 1 x 1 mm" in text
    assert "disk: about" in text
    assert "time: about" in text


def test_every_fault_is_told_in_one_pass_with_row_and_column(config: Path) -> None:
    folder = config.parent
    faulty_files.cut_half(folder / "p1_mr.nii.gz")
    faulty_files.elsewhere(folder / "p2_us_labels.nii.gz")
    faulty_files.missing(folder / "p3_us.nii.gz")
    edit(config, "steps: 10", "steps: 0")
    edit(folder / "manifest.tsv", "pair-p3", "bad id")
    edit(config, "study: small", "study: small\nmodles: {}")
    cells = {(Path(fault.file).name, fault.row, fault.column) for fault in told(config)}
    assert cells == {
        ("config.yaml", 10, "models.base.training.steps"),
        ("config.yaml", 2, "modles"),
        ("manifest.tsv", 2, "moving_image"),
        ("manifest.tsv", 3, "fixed_labels"),
        ("manifest.tsv", 4, "fixed_image"),
        ("manifest.tsv", 4, "pair"),
    }


PAIRS = (("a", "b"), ("b", "c"), ("c", "d"), ("d", "e"), ("e", "f"))
BOMB = "\n".join(f"{new}: &{new} [{', '.join([f'*{old}'] * 99)}]" for old, new in PAIRS)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        ("study: [", "is not YAML"),
        ("study: !!python/object/apply:os.system ['touch PWNED']", "remove the tag"),
        ("a: &a [x]\n" + BOMB, "alias"),
        ("a: &a [*a]", "alias"),
        ("study: no\nmanifest: manifest.tsv\nmodels: {base: {}}", "study"),
    ],
    ids=["empty", "no yaml", "python tag", "bomb", "endless", "bool for text"],
)
def test_a_spoilt_configuration_is_told(config: Path, content: str, message: str) -> None:
    config.write_text(content, encoding="utf-8")
    assert message in str(told(config)[0])
    assert not Path("PWNED").exists()


@pytest.mark.parametrize(
    ("name", "message"), [("missing.yaml", "does not exist"), (".", "is a folder")]
)
def test_a_configuration_that_is_no_file_is_told(config: Path, name: str, message: str) -> None:
    assert message in told(config.parent / name)[0].message


def test_a_manifest_without_rows_is_no_study(config: Path) -> None:
    table = config.parent / "manifest.tsv"
    table.write_text(table.read_text(encoding="utf-8").splitlines()[0] + "\n", encoding="utf-8")
    assert [fault.message for fault in told(config)] == ["holds no pairs"]


def test_a_missing_manifest_is_told_with_the_key_that_names_it(config: Path) -> None:
    (config.parent / "manifest.tsv").unlink()
    (fault,) = told(config)
    assert (fault.column, fault.message) == ("manifest", "does not exist")


@pytest.mark.parametrize("spoiler", faulty_files.UNREADABLE)
def test_a_faulty_file_is_told_at_its_row(config: Path, spoiler: str) -> None:
    faulty_files.UNREADABLE[spoiler][0](config.parent / "p2_us.nii.gz")
    (fault,) = told(config)
    assert (fault.row, fault.column) == (3, "fixed_image")
    assert fault.message.startswith("p2_us.nii.gz: ")


def test_a_missing_file_is_told_with_the_place_where_it_was_looked_for(config: Path) -> None:
    faulty_files.missing(config.parent / "p2_us.nii.gz")
    assert str(config.parent / "p2_us.nii.gz") in told(config)[0].message


def test_a_file_that_many_rows_name_is_told_once(config: Path) -> None:
    edit(config.parent / "manifest.tsv", "p2_us.nii.gz", "p1_us.nii.gz")
    faulty_files.not_a_number(config.parent / "p1_us.nii.gz")
    (fault,) = told(config)
    assert fault.row == 2
    assert "also in rows 3" in fault.message


def test_equal_content_under_two_patients_is_a_leak(config: Path) -> None:
    (config.parent / "p3_mr.nii.gz").write_bytes((config.parent / "p1_mr.nii.gz").read_bytes())
    (fault,) = check(config).warnings
    assert (fault.row, fault.column) == (4, "moving_image")
    assert "leak" in fault.message


def test_equal_content_on_both_sides_is_refused(config: Path) -> None:
    (config.parent / "p3_mr.nii.gz").write_bytes((config.parent / "p3_us.nii.gz").read_bytes())
    assert [(fault.row, fault.column) for fault in told(config)] == [(4, "fixed_image")]


def test_warnings_come_with_the_errors(config: Path) -> None:
    faulty_files.labels(config.parent / "p1_mr_labels.nii.gz", keys=(1, 2, 9))
    faulty_files.missing(config.parent / "p2_us.nii.gz")
    assert [fault.severity for fault in told(config)] == ["ERROR", "WARNING"]


def test_fewer_patients_than_folds_are_counted(config: Path) -> None:
    edit(config, "count: 2", "count: 4")
    (fault,) = told(config)
    assert fault.message == "3 cross-validated patients cannot fill 4 folds"
    assert Path(fault.file).name == "manifest.tsv"


def test_a_fold_without_labels_to_learn_from_is_refused(config: Path) -> None:
    for name in ("p1", "p2", "p3"):
        faulty_files.background(config.parent / f"{name}_us_labels.nii.gz")
    errors = [fault for fault in told(config) if fault.severity == "ERROR"]
    assert [fault.column for fault in errors] == ["moving_labels"] * 2


def test_folds_without_labels_can_be_learnt_from_by_images(config: Path) -> None:
    for name in ("p1", "p2", "p3"):
        faulty_files.background(config.parent / f"{name}_us_labels.nii.gz")
    edit(config, "  base:\n", "  base:\n    losses: {labels: [], images: [{name: lncc}]}\n")
    messages = [fault.message for fault in check(config).warnings]
    assert "3 pairs have no common label: registered, but not measured" in messages


def test_pairs_without_labels_are_counted(tmp_path: Path) -> None:
    config = faulty_files.cohort(tmp_path / "larger", [f"p{number}" for number in range(1, 6)])
    edit(config.parent / "manifest.tsv", "p3_mr_labels.nii.gz\tp3_us_labels.nii.gz", "\t")
    (fault,) = check(config).warnings
    assert fault.message.startswith("1 pairs have no common label")
    assert "rows 4" in fault.fix


def test_a_named_label_that_no_file_holds_is_warned_of_with_the_nearest_keys(config: Path) -> None:
    edit(config, "folds:", "labels:\n  names: [{name: gland, key: 3}]\nfolds:")
    (fault,) = check(config).warnings
    assert "'gland'" in fault.message
    assert "1, 2" in fault.fix


def test_images_of_other_channels_than_the_rest_are_refused(config: Path) -> None:
    two = np.random.default_rng(0).normal(size=(*faulty_files.SHAPE, 2))
    faulty_files.save(config.parent / "p2_mr.nii.gz", two.astype(np.float32))
    (fault,) = told(config)
    assert (fault.row, fault.column) == (3, "moving_image")
    assert "2 channels" in fault.message


def two_channels(config: Path) -> None:
    """Give all moving images two channels."""
    for patient in ("p1", "p2", "p3"):
        two = (
            np.random.default_rng(len(patient))
            .normal(size=(*faulty_files.SHAPE, 2))
            .astype(np.float32)
        )
        faulty_files.save(config.parent / f"{patient}_mr.nii.gz", two + float(patient[1:]))


def test_images_that_an_option_cannot_compare_are_refused(config: Path) -> None:
    two_channels(config)
    check(config)
    options = "{refined: {refine: {}}, posed: {poses: {scale: 0.1}}}"
    edit(config, "  base:\n", f"  base:\n    test_time: {options}\n")
    (fault,) = told(config)
    assert fault.column == "models.base.test_time.refined.refine.images"
    assert fault.message == "moving images have 2 channels, fixed ones 1: mind cannot compare them"


def test_images_that_a_loss_cannot_compare_are_refused(config: Path) -> None:
    terms = "{images: [{name: ssd}, {name: ssd}], regularisers: [{name: inverse_consistency}]}"
    edit(config, "  base:\n", f"  base:\n    losses: {terms}\n")
    check(config)
    two_channels(config)
    (fault,) = told(config)
    assert (fault.file, fault.column) == (str(config), "models.base.losses")
    assert fault.message.endswith(
        "2 channels, fixed ones 1: ssd, inverse_consistency cannot compare them"
    )


TIED = "{name: global, channels: 1, parity: true, finest: 0, size: [12, 10, 9]}"


@pytest.mark.parametrize(
    ("network", "column"),
    [
        (TIED, "models.base.network.size"),
        (f"{{name: composite, first: {TIED}}}", "models.base.network.first.size"),
    ],
)
def test_a_network_tied_to_another_grid_is_refused_with_the_plans_shape(
    config: Path, network: str, column: str
) -> None:
    edit(config, "{name: unet, channels: 2, depth: 1}", network)
    (fault,) = told(config)
    assert (fault.file, fault.column) == (str(config), column)
    assert "tied to 12 x 10 x 9 voxels, the common grid has 12 x 10 x 8" in fault.message
    assert "[12, 10, 8]" in fault.fix
    edit(config, "size: [12, 10, 9]", "size: [12, 10, 8]")
    assert check(config).warnings == ()


def test_folders_that_the_configuration_names_in_vain_are_told(config: Path) -> None:
    edit(config, "  base:\n", "  base:\n    warm_start: nowhere\n")
    (fault,) = told(config)
    assert fault.column == "models.base.warm_start"


def test_a_data_root_that_is_not_there_is_told(config: Path) -> None:
    edit(config, "study: small", "study: small\ndata_root: nowhere")
    assert [fault.column for fault in told(config)] == ["data_root"]


def test_a_file_outside_the_data_root_is_not_read(config: Path) -> None:
    (config.parent / "inside").mkdir()
    edit(config, "study: small", "study: small\ndata_root: inside")
    assert {fault.message for fault in told(config)} >= {"lies outside data_root"}


def test_overrides_take_the_place_of_the_file(config: Path) -> None:
    with pytest.raises(InputError, match="cannot fill 4 folds"):
        check(config, content=json.dumps({"folds": {"count": 4}}))


@pytest.mark.parametrize("content", ["{", "[]"])
def test_overrides_that_are_no_json_object_are_refused(config: Path, content: str) -> None:
    with pytest.raises(InputError, match="--content"):
        check(config, content=content)


def test_a_quick_check_reads_headers_only(config: Path) -> None:
    faulty_files.not_a_number(config.parent / "p1_mr.nii.gz")
    text = str(check(config, quick=True))
    assert "by their headers" in text
    assert "labels: not read; 3 pairs name some on both sides" in text


def test_the_report_holds_faults_counts_and_files_but_no_folder_of_the_machine(
    config: Path, tmp_path: Path
) -> None:
    faulty_files.labels(config.parent / "p1_mr_labels.nii.gz", keys=(1, 2, 9))
    check(config, output=tmp_path / "check.json")
    report = files.read_json(tmp_path / "check.json")
    assert (report["pairs"], report["patients"], len(report["faults"])) == (3, 3, 1)
    assert report["files"]["p1_us.nii.gz"]["sha256"] == files.sha256(config.parent / "p1_us.nii.gz")
    assert str(tmp_path) not in (tmp_path / "check.json").read_text(encoding="utf-8")


def test_a_faulty_study_leaves_no_report(config: Path, tmp_path: Path) -> None:
    faulty_files.empty(config.parent / "p1_mr.nii.gz")
    with pytest.raises(InputError):
        check(config, output=tmp_path / "check.json")
    assert not (tmp_path / "check.json").exists()


def test_unchanged_files_are_not_read_again(config: Path, tmp_path: Path) -> None:
    memory = tmp_path / "cache" / "check.json"
    first = check(config, cache=memory)
    for path in config.parent.glob("*.nii.gz"):
        text = memory.read_text(encoding="utf-8").replace(
            files.sha256(path), f"remembered {path.name}"
        )
        memory.write_text(text, encoding="utf-8")
    check(config, cache=memory, output=tmp_path / "check.json")
    assert "remembered p1_mr.nii.gz" in (tmp_path / "check.json").read_text(encoding="utf-8")
    assert str(check(config, cache=memory)) == str(first)


def plan(
    folder: Path, *, shape: tuple[int, int, int] = (12, 10, 8), size: float = 1.0, channels: int = 1
) -> Path:
    derived = Plan(shape, (size, size, size), "zscore", "header", moving_channels=channels)
    plans.write_plan(folder / "plan.json", derived)
    return folder / "plan.json"


def test_a_plan_that_fits_is_not_talked_of(config: Path, tmp_path: Path) -> None:
    assert check(config, plan=plan(tmp_path)).warnings == ()


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        ({"shape": (12, 10, 6)}, "3 fixed images reach up to 1.0 mm beyond"),
        (
            {"size": 1.2},
            "has voxels of 1.2 x 1.2 x 1.2 mm; the cohort's median is now 1 x 1 x 1",
        ),
        ({"channels": 2}, "is for moving images of 2 channels; they have 1"),
    ],
)
def test_drift_from_a_plan_is_told_with_the_command_that_renews_it(
    config: Path, tmp_path: Path, change: dict[str, object], difference: str
) -> None:
    (fault,) = check(config, plan=plan(tmp_path, **change)).warnings  # type: ignore[arg-type]
    assert difference in fault.message
    assert "--forcerun plan" in fault.fix


def test_a_plan_by_other_rules_than_todays_will_be_made_anew(config: Path, tmp_path: Path) -> None:
    path = plan(tmp_path, size=2.0)
    provenance.record(path, "plan", '{"spacing_mm": 2.0}', "c")
    verdict = check(config, plan=path)
    assert verdict.warnings == ()
    assert "12 x 10 x 8 voxels of 1 x 1 x 1 mm" in str(verdict)


def test_a_small_change_of_voxel_sizes_is_no_drift(config: Path, tmp_path: Path) -> None:
    assert check(config, plan=plan(tmp_path, size=1.05)).warnings == ()


def test_a_spoilt_plan_is_warned_of(config: Path, tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_text("{}", encoding="utf-8")
    assert [fault.file for fault in check(config, plan=path).warnings] == [str(path)]


def test_a_grid_chosen_too_small_is_warned_of(config: Path) -> None:
    edit(config, "folds:", "plan: {shape: [12, 10, 4]}\nfolds:")
    (fault,) = check(config).warnings
    assert fault.column == "plan.shape"
    assert "displacement is zero" in fault.message


def test_a_training_that_cannot_learn_is_warned_of(config: Path) -> None:
    edit(config, "learning_rate: 1.0e-2", "learning_rate: 1.0e-5")
    edit(config, "fraction: 0", "fraction: 0.1")
    columns = [fault.column for fault in check(config).warnings]
    assert columns == ["models.base.training", "models.base.validation.fraction"]


def test_the_worse_alignment_is_warned_of(config: Path) -> None:
    matrix = faulty_files.affine((-2.0, -5.0, -5.0))
    for patient in ("p1", "p2", "p3"):
        faulty_files.image(config.parent / f"{patient}_mr.nii.gz", int(patient[1]), matrix)
        faulty_files.labels(config.parent / f"{patient}_mr_labels.nii.gz", matrix=matrix)
    (fault,) = check(config).warnings
    assert (fault.column, fault.fix) == ("plan.alignment", "set `plan.alignment: centre`")
    # Two slabs 2 voxels thick, 3 mm apart along their thickness:
    # slab 1 falls on nothing, slab 2 on slab 1.
    assert "labels overlap by a Dice of 0.00 by `header`, 1.00 by `centre`" in fault.message
    edit(config, "folds:", "plan: {alignment: centre}\nfolds:")
    assert check(config).warnings == ()


def test_the_headers_of_the_example_cohort_carry_no_pose(shared: Path, tmp_path: Path) -> None:
    path = tmp_path / "mrus.yaml"
    manifest = shared / "mrus/manifest.tsv"
    path.write_text(
        f"study: s\nmanifest: {manifest}\nlabels: {{format: stack}}\n"
        "models: {base: {}}\nruntime: {device: cpu}\n"
    )
    faults = {fault.column: fault for fault in check(path).warnings}
    # 0.28 and 0.61 for the gland alone, on all voxels.
    assert (
        "by a Dice of 0.27 by `header`, 0.60 by `centre` (medians of 84"
        in faults["plan.alignment"].message
    )
    assert "training takes about" in faults["models"].message
    assert faults["models"].message.endswith("without a GPU")


def test_only_the_first_warnings_of_a_kind_are_printed() -> None:
    many = tuple(Fault("m.tsv", f"number {row}", "fix it", row, "x", "WARNING") for row in range(9))
    lines = str(Verdict(warnings=many, lines=("the end",))).splitlines()
    assert len(lines) == 5
    assert lines[3:] == ["WARNING ... and 6 more like it", "the end"]


@pytest.fixture
def dicom_config(config: Path) -> Path:
    """The same study, its moving images as folders of DICOM slices."""
    table = config.parent / "manifest.tsv"
    for seed, patient in enumerate(("p1", "p2", "p3")):
        noise = np.random.default_rng(seed).integers(0, 1000, faulty_files.SHAPE).astype(np.int16)
        dicoms.write_series(config.parent / patient, noise, faulty_files.affine())
        # Labels lie on the image's grid as it is stored: slices are counted up,
        # whatever the affine was.
        edit(table, f"{patient}_mr.nii.gz", patient)
    return config


def test_dicom_series_are_checked_like_files(dicom_config: Path, tmp_path: Path) -> None:
    verdict = check(dicom_config, output=tmp_path / "check.json")
    assert verdict.warnings == ()
    report = files.read_json(tmp_path / "check.json")["files"]
    assert report["p2"]["bytes"] == sum(
        path.stat().st_size for path in (dicom_config.parent / "p2").iterdir()
    )
    assert dicoms.PATIENT not in (tmp_path / "check.json").read_text(encoding="utf-8")


def test_faults_of_series_are_told_in_one_pass_with_row_and_column(dicom_config: Path) -> None:
    folder = dicom_config.parent
    (folder / "p1" / dicoms.name_of(4)).unlink()
    faulty_files.cut_half(folder / "p2" / dicoms.name_of(1))
    faulty_files.missing(folder / "p3_us.nii.gz")
    faults = {(fault.row, fault.column): fault.message for fault in told(dicom_config)}
    assert list(faults) == [(2, "moving_image"), (3, "moving_image"), (4, "fixed_image")]
    assert "p1: lacks slices: 2 mm between 021.dcm and 035.dcm" in faults[2, "moving_image"]
    assert "p2: 007.dcm is truncated" in faults[3, "moving_image"]


def test_an_unchanged_series_is_not_read_again(dicom_config: Path, tmp_path: Path) -> None:
    memory = tmp_path / "cache.json"
    check(dicom_config, cache=memory)
    series = dicom_config.parent / "p1"
    text = memory.read_text(encoding="utf-8").replace(volumes.sha256(series), "remembered")
    memory.write_text(text, encoding="utf-8")
    check(dicom_config, cache=memory, output=tmp_path / "check.json")
    assert files.read_json(tmp_path / "check.json")["files"]["p1"]["sha256"] == "remembered"


def test_one_series_under_two_patients_is_a_leak_whatever_its_files_are_called(
    dicom_config: Path,
) -> None:
    folder = dicom_config.parent
    for index in range(faulty_files.SHAPE[2]):
        content = (folder / "p1" / dicoms.name_of(index)).read_bytes()
        (folder / "p3" / dicoms.name_of(index)).unlink()
        (folder / "p3" / f"renamed-{index}").write_bytes(content)
    (fault,) = check(dicom_config).warnings
    assert (fault.row, fault.column) == (4, "moving_image")
    assert "leak" in fault.message


@pytest.mark.parametrize("key", ["bootstrap: 500", "seed: 3"])
def test_a_key_without_effect_is_warned_of(config: Path, key: str) -> None:
    edit(config, "study: small", f"study: small\nsummary: {{{key}}}")
    (fault,) = check(config).warnings
    assert (fault.column, fault.fix) == (f"summary.{key.partition(':')[0]}", "remove the key")
