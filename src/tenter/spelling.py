"""Names as people type them: what looks alike but differs, and what no reader can see."""

from __future__ import annotations

import difflib
import functools
import itertools
import os
import shlex
import unicodedata
from pathlib import Path

_ASCII = str.maketrans(
    {"ä": "ae", "ö": "oe", "ü": "ue", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue", "ß": "ss", "ø": "oe", "æ": "ae"}
    | {"Ø": "Oe", "Æ": "Ae", "å": "aa", "Å": "Aa", "ł": "l", "Ł": "L", "đ": "d", "Đ": "D", "µ": "u"}
)


def shown(text: str, longest: int = 80) -> str:
    """A name in quotes; characters that could be mistaken or overlooked are followed by their code points.

    Letters with accents are shown as they are where they are composed (NFC), as a keyboard types them.
    """
    marks = [f"U+{ord(letter):04X} {_named(letter)}" for letter in dict.fromkeys(text) if _is_odd(letter)]
    quoted = repr(text[:longest])
    return f"{quoted} (with {', '.join(marks[:4])})" if marks else quoted


def for_shell(path: str | os.PathLike[str]) -> str:
    """A path as a shell takes it, for commands that people copy."""
    return shlex.quote(os.fspath(path))


def difference(one: str, other: str) -> str:
    """Where two names that look alike differ, in code points; '' where they are equal.

    Only the stretch that differs is given: `U+00FC against U+0075 U+0308`.
    """
    if one == other:
        return ""
    start = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), None)
    start = min(len(one), len(other)) if start is None else start
    end = 0
    while end < min(len(one), len(other)) - start and one[-1 - end] == other[-1 - end]:
        end += 1
    parts = (text[start : len(text) - end] for text in (one, other))
    return " against ".join(
        " ".join(f"U+{ord(letter):04X}" for letter in part) or "nothing" for part in parts
    )


def skeleton(text: str) -> str:
    """What a reader sees of a name: equal for names that look alike.

    Compatibility forms are composed (NFKC), invisible characters dropped, any space counts as one blank.
    """
    if text.isascii():
        return " ".join(text.split())
    visible = "".join(letter for letter in text if unicodedata.category(letter) != "Cf")
    return " ".join(unicodedata.normalize("NFKC", visible).split())


def folded(text: str) -> str:
    """As `skeleton`, without regard to case."""
    return skeleton(text).casefold()


def plain(text: str) -> str:
    """A name in ASCII letters, digits, `_` and `-` that resembles a given one; '' where nothing is left."""
    spelt = unicodedata.normalize("NFC", text).translate(_ASCII)
    spelt = unicodedata.normalize("NFKD", spelt).encode("ascii", "ignore").decode()
    parts = "".join(letter if letter.isalnum() or letter in "_-" else " " for letter in spelt).split()
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
    {"con", "prn", "aux", "nul", *(f"com{n}" for n in range(1, 10)), *(f"lpt{n}" for n in range(1, 10))}
)


def reserved(name: str) -> str:
    """Why another system (Windows, macOS) cannot have a file of this name; '' where all can."""
    if name.partition(".")[0].rstrip().casefold() in _DEVICES:
        return "is the name of a device on Windows"
    odd = sorted(set('<>:"|?*\\') & set(name))
    if odd:
        return f"holds {' '.join(odd)}, which Windows does not allow in names"
    if name not in {".", ".."} and name[-1:] in {".", " "}:
        return f"ends with a {'dot' if name[-1] == '.' else 'blank'}, which Windows drops"
    return ""


def nearby(path: Path) -> str:
    """What a folder holds instead of a file that is not there: a name that looks like it; '' for none.

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
    """Names in a folder; of a large one the first."""
    try:
        with os.scandir(folder) as entries:
            return tuple(sorted(entry.name for entry in itertools.islice(entries, _MOST)))
    except OSError:
        return ()


_MOST = 5000
"""Names of a folder among which a similar one is looked for."""
