"""Keep phrases that a native reader stops at, and names that say nothing, out of the code.

    python tests/lint/words.py

Each phrase stands in `PHRASES` with what to write instead. A file in `TO_DO` is not checked yet.
"""

from __future__ import annotations

import argparse
import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]

PHRASES = {
    r"mend(s|ed|ing)?": "an old word for repairing clothes: write `fix` or `correct`",
    r"what is no \w+": "write `what is not a ...`, or name the thing",
    r"that (is|are) none": "write `an unknown ...`, `an invalid ...`, or `that is not a ...`",
    r"(?<!there\s)(is|are) no (?!longer|more|less|one|matter)\w+": "write `is not a ...`",
    r"belongs? into": "write `belongs in` or `belongs to`",
    r"(is|are) told of": "write `is reported` or `is warned about`",
    r"tells? of": "write `describes` or `is a sign of`",
    r"looks? in a row": "write `validations in a row`",
    r"fruitless": "write `without a result` or `unsuccessful`",
    r"neither of whom|whom [\w ]+ neither of": "write `neither of whose ...` or two sentences",
    r"of what it loads": "begin the sentence with its subject and verb",
    r"shall": "write `should`, `will` or `must`",
}
"""Regular expression, without regard to case, to the reason and what to write instead."""

BLANK = r"[\s#]+"
"""Any space, also the end of a line in a comment."""

NAMES = frozenset({"found", "said", "told"})
"""Names that no variable or parameter of the source may have: a noun says what the thing is."""

TEXTS = ("src/**/*.py", "src/**/*.j2", "docs/**/*.md", "*.md", "config/*.md", "config/*.yaml")
TESTS = ("tests/**/*.py", "workflow/**/*.smk", "Snakefile", "Makefile")
EXCEPT = frozenset({"tests/lint/words.py", "tests/unit/lint/test_words.py"})
"""Where the phrases themselves stand."""

TO_DO = {
    "src/tenter/reporting/challenges.py": "moves with the sections of the report",
}
"""File to the reason why it is not checked yet: to become shorter only."""


def main() -> int:
    """Print each place and what to write instead; fail if there is one."""
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    ).parse_args()
    lines = [line for path in checked(ROOT) for line in faults(path, ROOT)]
    sys.stderr.write("".join(f"{line}\n" for line in lines))
    return int(bool(lines))


def checked(root: Path) -> list[Path]:
    """The files whose words are checked."""
    paths = {path for pattern in (*TEXTS, *TESTS) for path in root.glob(pattern)}
    apart = EXCEPT | TO_DO.keys()
    return sorted(path for path in paths if path.relative_to(root).as_posix() not in apart)


def faults(path: Path, root: Path) -> Iterator[str]:
    """One line for each phrase and name of a file."""
    text, name = path.read_text(encoding="utf-8"), path.relative_to(root).as_posix()
    for line, words, reason in phrases(text):
        yield f"{name}:{line}: `{words}`: {reason}"
    if name.startswith("src/") and path.suffix == ".py":
        for line, words in names(ast.parse(text)):
            yield f"{name}:{line}: a variable called `{words}`: name it by a noun for what it is"


def phrases(text: str) -> Iterator[tuple[int, str, str]]:
    """Line, words and reason of each phrase of `PHRASES` in a text."""
    for phrase, reason in PHRASES.items():
        pattern = rf"(?<![\w`]){phrase.replace(' ', BLANK)}(?!\w)"
        for match in re.finditer(pattern, text, re.IGNORECASE):
            yield text.count("\n", 0, match.start()) + 1, " ".join(match[0].split()), reason


def names(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and name of each variable and parameter with a name of `NAMES`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node.id in NAMES:
            yield node.lineno, node.id
        elif isinstance(node, ast.arg) and node.arg in NAMES:
            yield node.lineno, node.arg


if __name__ == "__main__":
    sys.exit(main())
