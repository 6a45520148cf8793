"""What is said of a wrong configuration: one fault for each wrong key, whose remedy works."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from tenter import config
from tenter.errors import InputError
from tenter.records import Fault

ENOUGH = {"study": "s", "manifest": "m.tsv", "models": {"a": {}}}


def faults(path: Path, text: str) -> tuple[Fault, ...]:
    """Of a file that holds `text`, and what else a study needs."""
    given_keys = set(re.findall(r"^(\w+):", text, re.MULTILINE))
    remaining = {key: value for key, value in ENOUGH.items() if key not in given_keys}
    path.write_text(text + "\n" + yaml.safe_dump(remaining), encoding="utf-8")
    with pytest.raises(InputError) as caught:
        config.read(path)
    return caught.value.faults


def model(text: str) -> str:
    return f"models: {{a: {{{text}}}}}"


WRITTEN = [
    ("folds: 2", "folds", "folds: {count: 2}"),
    ("chunks: 4", "chunks", "chunks: {count: 4}"),
    ("pairing: subjects", "pairing", "pairing: {kind: subjects}"),
    ("plan: 2.5", "plan", "plan: {spacing_mm: 2.5}"),
    ("runtime: cpu", "runtime", "runtime: {device: cpu}"),
    ("report: A title", "report", "report: {title: A title}"),
    ("models: unet", "models", "models: {unet: {}}"),
    ("models: [a, b]", "models", "models: {a: {}, b: {}}"),
    (model("network: unet"), "models.a.network", "network: {name: unet}"),
    (model("network: U-Net"), "models.a.network", "network: {name: unet}"),
    (model("network: {name: unett}"), "models.a.network", "network: {name: unet}"),
    (model("losses: {labels: [dice]}"), "models.a.losses.labels", "labels: [{name: dice}]"),
    (model("losses: {labels: dice}"), "models.a.losses.labels", "labels: [{name: dice}]"),
    (model("losses: {images: {name: lncc}}"), "models.a.losses.images", "images: [{name: lncc}]"),
    (model("losses: {images: [{name: lnc}]}"), "models.a.losses.images", "images: [{name: lncc}]"),
    (model("losses: [mind]"), "models.a.losses", "losses: {images: [{name: mind}]}"),
    (model("training: 500"), "models.a.training", "training: {steps: 500}"),
    (model("seeds: 3"), "models.a.seeds", "seeds: [3]"),
    (model("training: {batch: [4]}"), "models.a.training.batch", "batch: 4"),
    ("evaluation: {families: learn2reg}", "evaluation.families", "families: [learn2reg]"),
    ("plan: {alignment: center}", "plan.alignment", "alignment: centre"),
    ("plan: {intensity: Z-Score}", "plan.intensity", "intensity: zscore"),
    ("plan:\n  spacing_mm: 8,0", "plan.spacing_mm", "spacing_mm: 8.0"),
    ("plan:\n  spacing_mm: 8 mm", "plan.spacing_mm", "spacing_mm: 8"),
    ("plan: {shape: 64x64x32}", "plan.shape", "shape: [64, 64, 32]"),
    ("plan: {shape: 64}", "plan.shape", "shape: [64, 64, 64]"),
    ("labels: {names: {gland: 1}}", "labels.names", "names: [{name: gland, key: 1}]"),
    ("study: 2024", "study", "study: '2024'"),
    ("study: 1.5e3", "study", "study: 1-5e3"),
    ("study: no", "study", "study: 'no'"),
    ("study: 2024-01-31", "study", "study: '2024-01-31'"),
    ("study: Prostata Süd", "study", "study: Prostata-Sued"),
    ("study: größe/é", "study", "study: groesse-e"),
    ("manifest: 5", "manifest", "manifest: '5'"),
]


@pytest.mark.parametrize(("text", "key", "remedy"), WRITTEN, ids=[text for text, *_ in WRITTEN])
def test_a_wrong_value_is_told_once_with_what_to_write(
    tmp_path: Path, text: str, key: str, remedy: str
) -> None:
    (fault,) = faults(tmp_path / "c.yaml", text)
    assert (fault.column, fault.fix.partition("; ")[0]) == (key, f"write `{remedy}`")


@pytest.mark.parametrize(("text", "key", "remedy"), WRITTEN, ids=[text for text, *_ in WRITTEN])
def test_what_is_to_be_written_is_accepted(text: str, key: str, remedy: str) -> None:
    content: Any = ENOUGH | yaml.safe_load(text)
    *above, last = key.split(".")
    section = content
    for part in above:
        section = section[part]
    section |= yaml.safe_load(remedy)
    assert last in yaml.safe_load(remedy)
    config.parse(content, Path("c.yaml"))


@pytest.mark.parametrize(
    ("text", "location", "fix"),
    [
        ("folds: {count: 1}", (1, "folds.count"), "use a whole number from 2 to 100"),
        ("\nfolds:\n  count: yes", (3, "folds.count"), "use a whole number from 2 to 100"),
        (
            model("training: {steps: yes}"),
            (1, "models.a.training.steps"),
            "use a whole number of at least 1",
        ),
        (
            model("training: {decay: 1.5}"),
            (1, "models.a.training.decay"),
            "use a number above 0 and below 1",
        ),
        (model("final: maybe"), (1, "models.a.final"), "use true or false"),
        ("plan: {spacing_mm: [1, 2]}", (1, "plan.spacing_mm"), "3 values, each a number above 0"),
        ("plan: {spacing_mm: 8,0}", (1, "plan.0"), "write a number with a point"),
        ("steps: 3", (1, "steps"), "it belongs to `models.<name>.training`"),
        (
            "lerning_rate: 3",
            (1, "lerning_rate"),
            "remove it, or use one of baselines, chunks, data_root",
        ),
        ("studi: x", (1, "studi"), "did you mean 'study'?"),
        (
            model("network: {name: unet, levels: [0]}"),
            (1, "models.a.network.levels"),
            "`unet` has the keys",
        ),
        (
            model("network: {channels: 2}"),
            (1, "models.a.network"),
            "add `name:` with one of local, unet",
        ),
        (
            "labels: {names: [{name: g}]}",
            (1, "labels.names.0.key"),
            "add `key`: a whole number of at least 0",
        ),
        ("export: yes", (1, "export"), "such as `export: {field: true}`"),
        ("models: {a b: {}}", (1, "models.a b"), "write `a-b:`"),
        ("models: {2024: {}}", (1, "models.2024"), 'write `"2024":`'),
    ],
)
def test_a_fault_names_line_key_and_what_may_be_written(
    tmp_path: Path, text: str, location: tuple[int, str], fix: str
) -> None:
    path = tmp_path / "c.yaml"
    if text.startswith("studi"):
        path.write_text("studi: x\nmanifest: m.tsv\nmodels: {a: {}}\n", encoding="utf-8")
        with pytest.raises(InputError) as caught:
            config.read(path)
        (fault,) = caught.value.faults
    else:
        (fault,) = faults(path, text)
    assert (fault.row, fault.column) == location
    assert fix in fault.fix


def test_what_the_command_line_overrides_has_no_line(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(yaml.safe_dump(ENOUGH | {"folds": {"count": 3}}), encoding="utf-8")
    with pytest.raises(InputError) as caught:
        config.parse(ENOUGH | {"folds": {"count": 1}}, path)
    (fault,) = caught.value.faults
    assert (fault.row, fault.column) == (None, "folds.count")


@pytest.mark.parametrize(
    "text",
    ["1e3", "1E+3", "1e-3", ".5e1", "1.e2"],
    ids=["whole", "capital", "negative", "point", "bare point"],
)
def test_numbers_are_read_as_people_write_them(text: str) -> None:
    content: Any = yaml.safe_load(f"{{models: {{a: {{training: {{learning_rate: {text}}}}}}}}}")
    read = config.parse(ENOUGH | content, Path("c.yaml"))
    assert read.models["a"].training.learning_rate == float(text)


@pytest.mark.parametrize("name", ["1e5", "1E-3", "e5", "True", "0x10"])
def test_a_name_in_quotes_stays_text(name: str) -> None:
    assert config.parse(ENOUGH | {"study": name}, Path("c.yaml")).study == name


NAMES = st.text(min_size=1, max_size=40)


@given(name=NAMES)
def test_a_name_that_is_proposed_is_always_accepted(name: str) -> None:
    try:
        config.parse(ENOUGH | {"study": name}, Path("c.yaml"))
    except InputError as error:
        (fault,) = error.faults
        proposed = re.match(r"write `study: (.*)`$", fault.fix)
        if proposed:
            config.parse(ENOUGH | {"study": yaml.safe_load(proposed[1])}, Path("c.yaml"))


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 300)
    | st.floats(allow_nan=False)
    | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=4,
)


def refusals(content: object) -> tuple[Fault, ...]:
    try:
        config.parse(content, Path("c.yaml"))
    except InputError as error:
        return error.faults
    return ()


@settings(max_examples=60)
@given(value=VALUES, key=st.sampled_from(sorted(config.Config.model_fields)))
def test_any_value_is_accepted_or_refused_with_its_key(value: object, key: str) -> None:
    faults = refusals(ENOUGH | {key: value})
    assert all((fault.column or key).split(".")[0] == key for fault in faults)
    assert not any(
        "Input should" in str(fault) or "valid dictionary" in str(fault) for fault in faults
    )
