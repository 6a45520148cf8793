"""Custom code in a Python file or an installed package: networks, losses, metrics and methods.

A reference in a configuration names them: `my_losses.py:curvature`, `my_package.losses:Curvature`.
Where they are, of which files they consist and whether these define the name is read from their
source: nothing here runs them.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from importlib.machinery import ModuleSpec
from pathlib import Path

from tenter import plugin_source
from tenter.errors import InputError, InvalidValueError
from tenter.records import Fault

SUFFIX = ".py"
VERSION = " (version)"
"""End of the key of a package's version among hashes of code."""
_FORM = "write `<file>.py:<name>` or `<package.module>:<name>`, such as `my_losses.py:curvature`"
_MODULE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


@dataclass(frozen=True, slots=True)
class Reference:
    """Where custom code is.

    Attributes:
        place: path of a Python file, or name of a module.
        name: of the function or class in it.
    """

    place: str
    name: str

    @property
    def text(self) -> str:
        """As in a configuration."""
        return f"{self.place}:{self.name}"

    @property
    def is_file(self) -> bool:
        """Whether it is in a file, not in an installed package."""
        return self.place.endswith(SUFFIX)

    @property
    def portable(self) -> str:
        """The same without the folder of the file."""
        return f"{Path(self.place).name}:{self.name}" if self.is_file else self.text


@dataclass(frozen=True, slots=True)
class Trusted:
    """Where the custom code of a finished model may be imported from.

    Attributes:
        places: folders of Python files, and names of installed packages.
        exact: whether it must be the code that the model was trained with.
    """

    places: tuple[str, ...] = ()
    exact: bool = True

    @classmethod
    def beside(cls, reference: Reference) -> Trusted:
        """The folder or the package of custom code that a study has checked."""
        place = reference.place
        folder = str(Path(place).parent) if reference.is_file else place.partition(".")[0]
        return cls((folder,), exact=False)

    def find(self, reference: Reference) -> Reference | None:
        """The reference with the path of its file; None if no place has it."""
        if not reference.is_file:
            return reference if reference.place.partition(".")[0] in self.places else None
        paths = (Path(place) / reference.place for place in self.places)
        file = next((path for path in paths if path.is_file()), None)
        return None if file is None else Reference(file.as_posix(), reference.name)


def parse(text: str) -> Reference:
    """The parts of a reference.

    Raises:
        InvalidValueError: it is not a reference.
    """
    place, _, name = text.rpartition(":")
    if not name.isidentifier() or not (place.endswith(SUFFIX) or _MODULE.fullmatch(place)):
        message = f"{text!r} is not a reference to code"
        raise InvalidValueError(message, _FORM)
    if place.endswith(SUFFIX) and not Path(place).stem.isidentifier():
        stem = re.sub(r"\W", "_", Path(place).stem)
        message = f"{Path(place).name!r} cannot be imported"
        raise InvalidValueError(message, f"name the file `{stem}{SUFFIX}`")
    return Reference(place, name)


def sources(reference: Reference) -> dict[str, Path]:
    """The files of custom code: those of its module and of the modules beside it that it imports.

    Args:
        reference: the code; a relative path is relative to the working directory.

    Returns:
        Path by the name of the file or, in a package, of the module.

    Raises:
        InputError: there is no such file or module, or it is not valid Python.
    """
    if reference.is_file:
        first = Path(reference.place)
        if not first.is_file():
            fix = "write the file, or correct the path, which is relative to the configuration"
            raise refusal(reference, "does not exist", fix)
        return {path.name: path for path in _reached(first, reference, _siblings)}
    first = _module_file(reference)
    root = _root(first, reference.place)
    files_read = _reached(first, reference, lambda path: _of_package(path, root))
    return {_module_name(path, root): path for path in files_read}


def hashes(reference: Reference) -> dict[str, str]:
    """Hash of the syntax of each file of custom code, and the version of its package.

    Raises:
        InputError: as `sources`.
    """
    digests = {name: plugin_source.digest(path) for name, path in sources(reference).items()}
    if not reference.is_file:
        package = reference.place.partition(".")[0]
        digests[f"{package}{VERSION}"] = _version(package)
    return digests


def verify(reference: Reference) -> None:
    """Check, without running it, that custom code exists and defines the name.

    Raises:
        InputError: a file or module is missing, is not valid Python, or lacks the name.
    """
    files = sources(reference)
    first = next(iter(files.values()))
    names = plugin_source.defined(first)
    if reference.name not in names:
        public = [name for name in names if name[0] != "_"]
        fix = f"use one of {', '.join(public)}" if public else "define it there"
        raise refusal(reference, f"does not define `{reference.name}`", fix)


def refusal(reference: Reference, message: str, fix: str) -> InputError:
    """The error of custom code that cannot be used."""
    return InputError([Fault(reference.place, message, fix)])


def _reached(
    first: Path, reference: Reference, neighbours: Callable[[Path], Iterator[Path]]
) -> list[Path]:
    """A file, and the files that it and they import."""
    reached: dict[Path, None] = {}
    waiting = [first]
    while waiting:
        path = waiting.pop(0)
        if path in reached:
            continue
        reached[path] = None
        try:
            waiting.extend(neighbours(path))
        except SyntaxError as error:
            where = f"line {error.lineno}" if path == first else f"{path}, line {error.lineno}"
            message = f"is not valid Python ({where}: {error.msg})"
            raise refusal(reference, message, "correct it") from error
    return list(reached)


def _siblings(path: Path) -> Iterator[Path]:
    """The files beside a file that it imports."""
    for name in plugin_source.imports(path):
        candidate = path.parent / f"{name.partition('.')[0]}{SUFFIX}"
        if candidate.is_file():
            yield candidate


def _of_package(path: Path, root: Path) -> Iterator[Path]:
    """The files of the same package that a file of it imports."""
    module, is_package = _module_name(path, root), path.name == "__init__.py"
    for name in plugin_source.imports(path, module, package=is_package):
        if name.partition(".")[0] == root.stem:
            candidate = _file(root.parent, name) or _file(root.parent, name.rpartition(".")[0])
            if candidate is not None:
                yield candidate


def _file(folder: Path, module: str) -> Path | None:
    path = folder.joinpath(*module.split("."))
    for candidate in (path.with_suffix(SUFFIX), path / "__init__.py"):
        if module and candidate.is_file():
            return candidate
    return None


def _module_name(path: Path, root: Path) -> str:
    """Name of a module from its file, below the folder (or the file) of its package."""
    parts = path.relative_to(root.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _root(first: Path, module: str) -> Path:
    """Folder of a package, or the file of a module without one."""
    levels = module.count(".") + (first.name == "__init__.py")
    return first if not levels else first.parents[levels - 1]


def _module_file(reference: Reference) -> Path:
    """File of an installed module, found without importing its package."""
    top, _, below = reference.place.partition(".")
    module_spec = specification(top)
    origin = None if module_spec is None else module_spec.origin
    if origin is None or not origin.endswith(SUFFIX):
        message = f"there is no module `{top}` in this environment"
        raise refusal(reference, message, f"install its package, or write `{top}{SUFFIX}:...`")
    first = Path(origin)
    if not below:
        return first
    file = _file(first.parent, below)
    if file is None:
        raise refusal(reference, f"`{top}` has no module `{below}`", "correct the reference")
    return file


def specification(module: str) -> ModuleSpec | None:
    """Where Python would import a module from, its package not being imported; None: nowhere."""
    try:
        return importlib.util.find_spec(module)
    except ValueError:  # a module without specification, such as `__main__`
        return None


def _version(package: str) -> str:
    names = metadata.packages_distributions().get(package, ())
    return ",".join(f"{name} {metadata.version(name)}" for name in sorted(set(names)))
