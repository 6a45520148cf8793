"""The command `tenter`: sub-commands from the signatures of stages and tools.

The signature and docstring of a stage's function define its flags. A command is
imported only when it runs, so that light commands start fast.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import inspect
import logging
import os
import re
import shutil
import sys
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TextIO

import tyro
from pydantic import BaseModel, ValidationError

from tenter import __version__, errors, loading, system_errors
from tenter.cli import commands, recorded
from tenter.errors import OutputError, TenterError

INTERRUPTED = 130
HELP_WIDTH = 100
"""Largest number of columns of a help text."""
LOG_FORMAT = "%(asctime)s %(levelname)s %(message)s"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `tenter <command> ...`.

    Args:
        arguments: as on the command line, without the program's name.

    Returns:
        0, or the exit code of an error: 2 bad input, 3 an error during the run, 130 interrupted.
    """
    argv = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in argv
    argv = [argument for argument in argv if argument != "--debug"]
    if not argv or argv[0] in {"-h", "--help"}:
        sys.stdout.write(commands.overview() + "\n")
        return 0
    if argv[0] == "--version":
        sys.stdout.write(f"tenter {__version__}\n")
        return 0
    if argv[0] not in commands.COMMANDS:
        sys.stderr.write(f"tenter: {commands.unknown(argv[0])}\n")
        return 2
    # The system frees all memory; collecting garbage first would take as long as the start.
    atexit.register(gc.freeze)
    logging.basicConfig(
        level=logging.DEBUG if debug else logging.INFO, format=LOG_FORMAT, datefmt="%H:%M:%S"
    )
    return _run(argv[0], argv[1:], debug=debug)


def _run(name: str, argv: Sequence[str], *, debug: bool) -> int:
    try:
        function = _function(name)
        if {"-h", "--help"} & set(argv):
            text = inspect.getdoc(function) or ""
            sys.stdout.write(f"{_description(text)}\n\n")
            function.__doc__ = re.sub(r"\n {8,}", " ", text)  # tyro keeps line breaks of flags
        result = tyro.cli(
            function,
            prog=f"tenter {name}",
            description="",  # tyro does not wrap it: `_description` is printed above
            args=argv,
            registry=_registry(),
        )
        if result is not None:
            _print(result)
    except KeyboardInterrupt:
        _complain("interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        faults = None if debug else errors.faults(error)
        if faults is None:
            raise
        for fault in faults:
            _complain(str(fault))
        return error.exit_code if isinstance(error, TenterError) else TenterError.exit_code
    return 0


def _description(text: str) -> str:
    """Return a docstring without its sections, wrapped to the terminal; tables stay as they are."""
    description = re.split(r"\n\n(?:Args|Returns|Raises):\n", text)[0]
    width = min(shutil.get_terminal_size().columns, HELP_WIDTH)
    paragraphs = description.split("\n\n")
    return "\n\n".join(
        part if part.startswith(" ") else textwrap.fill(part, width, break_on_hyphens=False)
        for part in paragraphs
    )


def _print(result: object) -> None:
    """Print the result of a command and flush it.

    Raises:
        OutputError: standard output cannot be written to, such as a file on a full disk.
    """
    try:
        sys.stdout.write(f"{result}\n")
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        _discard(sys.stdout)
        fault = system_errors.fault(error, Path("standard output"), "written")
        raise OutputError(fault) from error


def _complain(line: str) -> None:
    """Print a line to standard error, or to standard output if the log's disk is full."""
    for stream in (sys.stderr, sys.stdout):
        try:
            stream.write(f"{line}\n")
            stream.flush()
        except OSError:
            _discard(stream)
        else:
            return


def _discard(stream: TextIO) -> None:
    """Drop unwritten output: Python would try again when it exits, and change the exit code."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _function(name: str) -> Callable[..., Any]:
    """Import the command's function."""
    with loading.gc_paused():
        module = importlib.import_module(commands.COMMANDS[name].module)
    return recorded.recorded(name, getattr(module, name.replace("-", "_")))


def _registry() -> tyro.constructors.ConstructorRegistry:
    """Let `--settings` take a section of the configuration as JSON."""
    registry = tyro.constructors.ConstructorRegistry()

    @registry.primitive_rule
    def _settings(
        info: tyro.constructors.PrimitiveTypeInfo,
    ) -> tyro.constructors.PrimitiveConstructorSpec[Any] | None:
        kind = info.type
        if not (inspect.isclass(kind) and issubclass(kind, BaseModel)):
            return None
        return tyro.constructors.PrimitiveConstructorSpec(
            nargs=1,
            metavar="JSON",
            instance_from_str=lambda texts: _parsed(kind, texts[0]),
            is_instance=lambda value: isinstance(value, kind),
            str_from_instance=lambda value: [value.model_dump_json()],
        )

    return registry


def _parsed(kind: type[BaseModel], text: str) -> BaseModel:
    try:
        return kind.model_validate_json(text)
    except ValidationError as error:
        message = "; ".join(
            f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}" for problem in error.errors()
        )
        raise ValueError(message) from error


if __name__ == "__main__":
    sys.exit(main())
