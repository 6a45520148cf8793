"""Comparison of names: look-alikes, invisible characters, and names that systems reserve."""

from __future__ import annotations

import difflib
import functools
import itertools
import os
import shlex
import unicodedata
from pathlib import Path

_ASCII = str.maketrans(
    {
        "ä": "ae",
        "ö": "oe",
        "ü": "ue",
        "Ä": "Ae",
        "Ö": "Oe",
        "Ü": "Ue",
        "ß": "ss",
        "ø": "oe",
        "æ": "ae",
    }
    | {"Ø": "Oe", "Æ": "Ae", "å": "aa", "Å": "Aa", "ł": "l", "Ł": "L", "đ": "d", "Đ": "D", "µ": "u"}
)


def shown(text: str, longest: int = 80) -> str:
    """A name in quotes, with the code points of characters that are ambiguous or invisible.

    Composed letters with accents (NFC), as keyboards type them, are not ambiguous.
    """
    marks = [
        f"U+{ord(letter):04X} {_named(letter)}" for letter in dict.fromkeys(text) if _is_odd(letter)
    ]
    quoted = repr(text[:longest])
    return f"{quoted} (with {', '.join(marks[:4])})" if marks else quoted


def for_shell(path: str | os.PathLike[str]) -> str:
    """A path quoted for a shell, for commands that people copy."""
    return shlex.quote(os.fspath(path))


def difference(first: str, second: str) -> str:
    """The difference between two names that look alike, in code points; '' if they are equal.

    Only the part that differs is given: `U+00FC against U+0075 U+0308`.
    """
    if first == second:
        return ""
    start = next((i for i, (a, b) in enumerate(zip(first, second, strict=False)) if a != b), None)
    start = min(len(first), len(second)) if start is None else start
    end = 0
    while end < min(len(first), len(second)) - start and first[-1 - end] == second[-1 - end]:
        end += 1
    parts = (text[start : len(text) - end] for text in (first, second))
    return " against ".join(
        " ".join(f"U+{ord(letter):04X}" for letter in part) or "nothing" for part in parts
    )


def skeleton(text: str) -> str:
    """The visible form of a name, equal for names that look alike.

    Compatibility forms are composed (NFKC), invisible characters removed, and spaces replaced by
    single blanks.
    """
    if text.isascii():
        return " ".join(text.split())
    visible = "".join(letter for letter in text if unicodedata.category(letter) != "Cf")
    return " ".join(unicodedata.normalize("NFKC", visible).split())


def folded(text: str) -> str:
    """As `skeleton`, ignoring case."""
    return skeleton(text).casefold()


def plain(text: str) -> str:
    """A similar name of ASCII letters, digits, `_` and `-`; '' if nothing is left."""
    spelt = unicodedata.normalize("NFC", text).translate(_ASCII)
    spelt = unicodedata.normalize("NFKD", spelt).encode("ascii", "ignore").decode()
    parts = "".join(
        letter if letter.isalnum() or letter in "_-" else " " for letter in spelt
    ).split()
    return "-".join(parts).strip("-_")[:64]


def _is_odd(letter: str) -> bool:
    """Whether a character is invisible, a space other than the blank, or a lone accent."""
    category = unicodedata.category(letter)
    return category in {"Cc", "Cf", "Co", "Cn", "Cs", "Mn", "Me", "Zl", "Zp"} or (
        category == "Zs" and letter != " "
    )


def _named(letter: str) -> str:
    return unicodedata.name(letter, "control character").lower()


_DEVICES = frozenset(
    {
        "con",
        "prn",
        "aux",
        "nul",
        *(f"com{n}" for n in range(1, 10)),
        *(f"lpt{n}" for n in range(1, 10)),
    }
)


def reserved(name: str) -> str:
    """Why another system (Windows, macOS) does not allow a file name; '' if all do."""
    if name.partition(".")[0].rstrip().casefold() in _DEVICES:
        return "is the name of a device on Windows"
    odd = sorted(set('<>:"|?*\\') & set(name))
    if odd:
        return f"holds {' '.join(odd)}, which Windows does not allow in names"
    if name not in {".", ".."} and name[-1:] in {".", " "}:
        return f"ends with a {'dot' if name[-1] == '.' else 'blank'}, which Windows drops"
    return ""


def nearby(path: Path) -> str:
    """A clause about a similar name in the folder of a missing file; '' if there is none.

    Returns:
        a clause such as `its folder holds 'a.nii', which differs in U+0075 U+0308 against U+00FC`.
    """
    missing = path.name
    for above in path.parents:
        if os.path.isdir(above):  # noqa: PTH112 - Path's raises where a name is too long
            break
        missing = above.name
    else:
        return ""
    names = _listed(above)
    alike = next((name for name in names if folded(name) == folded(missing)), None)
    if alike is not None and skeleton(alike) == skeleton(missing):
        return f"its folder holds {alike!r}, which differs: {difference(alike, missing)}"
    if alike is not None:
        return f"its folder holds {alike!r}, which differs only in case"
    near = difflib.get_close_matches(missing, names, n=1, cutoff=0.85)
    return f"its folder holds {near[0]!r}" if near else ""


@functools.lru_cache(maxsize=64)
def _listed(folder: Path) -> tuple[str, ...]:
    """Names in a folder, at most `_MOST`."""
    try:
        with os.scandir(folder) as entries:
            return tuple(sorted(entry.name for entry in itertools.islice(entries, _MOST)))
    except OSError:
        return ()


_MOST = 5000
"""Maximum number of names in a folder that are searched for a similar one."""
