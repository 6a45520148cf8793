"""`tenter check` of transforms that another program computed."""

from __future__ import annotations

from pathlib import Path

import pytest
import SimpleITK as sitk
import yaml

from builders import faulty_files
from tenter.errors import InputError
from tenter.records import Fault
from tenter.stages.check import check
from tenter.study import Study

KEY = "baselines.ants.transform"


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A study with a transform for each of its pairs."""
    monkeypatch.chdir(tmp_path)
    path = faulty_files.cohort(tmp_path / "study")
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    content["baselines"] = {"ants": {"method": "external", "transform": "ants/{pair}.tfm"}}
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    (path.parent / "ants").mkdir()
    for pair in Study.load(path).cohort.pairs:
        transform = sitk.TranslationTransform(3, (1.0, 2.0, 3.0))
        sitk.WriteTransform(transform, str(file_of(path, pair.id)))
    return path


def file_of(config: Path, pair: str) -> Path:
    return config.parent / f"ants/{pair}.tfm"


def ids(config: Path) -> list[str]:
    return sorted(Study.load(config).cohort.registered)


def faults(config: Path) -> tuple[Fault, ...]:
    with pytest.raises(InputError) as caught:
        check(config)
    return tuple(fault for fault in caught.value.faults if fault.severity == "ERROR")


def test_sound_transforms_pass(config: Path) -> None:
    assert not [fault for fault in check(config).warnings if fault.column == KEY]


def test_every_fault_is_found_in_one_pass_with_its_pair(config: Path) -> None:
    first, second, *_ = ids(config)
    file_of(config, first).unlink()
    file_of(config, second).write_text("no transform")
    known = {fault.message.partition(":")[0]: fault for fault in faults(config)}
    assert list(known) == [f"pair {first}", f"pair {second}"]
    assert {fault.column for fault in known.values()} == {KEY}
    assert "does not exist" in known[f"pair {first}"].message
    assert "is not an ITK transform" in known[f"pair {second}"].message
    assert str(file_of(config, second)) in known[f"pair {second}"].message


def test_a_pattern_that_fits_no_file_is_one_fault(config: Path) -> None:
    text = config.read_text(encoding="utf-8")
    config.write_text(text.replace("ants/{pair}", "other/{pair}"), encoding="utf-8")
    (fault,) = faults(config)
    assert (fault.column, fault.fix) == (KEY, "correct the path")
    assert f"other/{ids(config)[0]}.tfm does not exist" in fault.message


def test_transforms_are_checked_beside_faults_of_the_configuration(config: Path) -> None:
    content = yaml.safe_load(config.read_text(encoding="utf-8"))
    first = ids(config)[0]
    file_of(config, first).unlink()
    config.write_text(yaml.safe_dump(content | {"models": {"a": {"steps": 3}}}), encoding="utf-8")
    columns = [fault.column for fault in faults(config)]
    assert KEY in columns
    assert any(str(column).startswith("models") for column in columns)


def test_a_spline_is_refused_with_the_way_to_convert_it(config: Path) -> None:
    image = sitk.Image([8, 8, 8], sitk.sitkFloat32)
    spline = sitk.BSplineTransformInitializer(image, [2, 2, 2])
    sitk.WriteTransform(spline, str(file_of(config, ids(config)[0])))
    (fault,) = faults(config)
    assert "neither linear nor a field" in fault.message
    assert "TransformToDisplacementField" in fault.fix
