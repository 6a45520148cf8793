"""Custom code: its references, its files, and its loading."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from tenter import plugin_imports, plugins
from tenter.errors import InputError, InvalidValueError
from tenter.plugins import Reference

CODE = """
from pydantic import BaseModel

class Settings(BaseModel):
    order: int = 2

def plain(field): ...

def ordered(field, settings: Settings): ...

def unannotated(field, settings): ...

NUMBER = 3
"""


@pytest.fixture
def code(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(CODE)
    return path


def loaded(path: Path, name: str) -> object:
    return plugin_imports.load(Reference(str(path), name))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("mine.py:", "not a reference"),
        ("mine.py:a b", "not a reference"),
        ("mine:", "not a reference"),
        ("mine-losses.py:f", "name the file `mine_losses.py`"),
    ],
)
def test_what_is_not_a_reference_is_refused(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        plugins.parse(text)


def test_a_reference_has_a_place_and_a_name() -> None:
    assert plugins.parse("a/b.py:f") == Reference("a/b.py", "f")
    assert plugins.parse("a/b.py:f").portable == "b.py:f"
    assert plugins.parse("a.b:f").portable == "a.b:f"


def fault(reference: Reference) -> str:
    with pytest.raises(InputError) as caught:
        plugin_imports.load(reference)
    return caught.value.faults[0].text


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert "none.py: does not exist" in fault(Reference(str(tmp_path / "none.py"), "f"))


def test_a_missing_name_is_reported_with_those_that_exist(code: Path) -> None:
    text = fault(Reference(str(code), "plane"))
    assert "does not define `plane`" in text
    assert "plain, ordered" in text


def test_invalid_python_is_reported_with_its_line(code: Path) -> None:
    code.write_text("x = 1\ndef f(:\n")
    assert "is not valid Python (line 2" in fault(Reference(str(code), "f"))


def test_an_error_of_the_code_is_reported(code: Path) -> None:
    code.write_text("def f(): ...\nraise RuntimeError('no licence')\n")
    assert "cannot be imported (RuntimeError: no licence)" in fault(Reference(str(code), "f"))


def test_a_number_is_not_code(code: Path) -> None:
    assert "`NUMBER` is not a function or class" in fault(Reference(str(code), "NUMBER"))


@pytest.mark.parametrize("place", ["no_such_package", "pydantic.no_such_module"])
def test_a_missing_module_is_named(place: str) -> None:
    assert place.rpartition(".")[2] in fault(Reference(place, "f"))


def test_a_package_is_found_and_loaded() -> None:
    from json.decoder import JSONDecoder  # noqa: PLC0415

    assert plugin_imports.load(Reference("json.decoder", "JSONDecoder")) is JSONDecoder


def test_the_files_of_a_package_are_those_of_the_same_package_that_it_imports() -> None:
    assert plugins.sources(Reference("json.decoder", "JSONDecoder")).keys() == {
        "json.decoder",
        "json.scanner",
    }


def test_edited_code_is_loaded_again(code: Path) -> None:
    first = loaded(code, "plain")
    assert loaded(code, "plain") is first
    code.write_text(CODE + "\nEDITED = 1\n")
    assert loaded(code, "plain") is not first


def test_code_imports_files_beside_it(code: Path) -> None:
    code.with_name("beside_mine.py").write_text("def f(): return 7\n")
    code.write_text("import beside_mine\n\ndef f(): return beside_mine.f()\n")
    assert plugin_imports.load(Reference(str(code), "f"))() == 7
    assert plugins.sources(Reference(str(code), "f")).keys() == {"mine.py", "beside_mine.py"}


def test_a_file_that_another_module_hides_is_refused(code: Path) -> None:
    code.with_name("statistics.py").write_text("def f(): return 7\n")
    code.write_text("import statistics\n\ndef f(): ...\n")
    assert "Python has another `statistics`" in fault(Reference(str(code), "f"))


def test_the_hash_ignores_comments_and_docstrings(code: Path) -> None:
    before = plugins.hashes(Reference(str(code), "plain"))
    code.write_text('"""Mine."""\n# a remark\n' + CODE)
    assert plugins.hashes(Reference(str(code), "plain")) == before
    code.write_text(CODE.replace("order: int = 2", "order: int = 3"))
    assert plugins.hashes(Reference(str(code), "plain")) != before


def test_a_package_counts_with_its_version() -> None:
    hashes = plugins.hashes(Reference("pydantic.version", "version_info"))
    assert hashes["pydantic (version)"].startswith("pydantic 2.")


def test_settings_get_their_defaults(code: Path) -> None:
    ordered = plugin_imports.load(Reference(str(code), "ordered"))
    (settings,) = plugin_imports.validated(ordered, {}).values()
    assert settings.order == 2
    with pytest.raises(ValidationError, match="ordr"):
        plugin_imports.validated(ordered, {"ordr": 1})


@pytest.mark.parametrize(
    ("name", "reason"), [("plain", "takes no settings"), ("unannotated", "pydantic model")]
)
def test_settings_that_code_does_not_declare_are_refused(
    code: Path, name: str, reason: str
) -> None:
    with pytest.raises(InvalidValueError, match=reason):
        plugin_imports.validated(plugin_imports.load(Reference(str(code), name)), {"order": 2})
