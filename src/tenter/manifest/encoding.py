"""Decoding of a table: detects the encodings in which spreadsheets save."""

from __future__ import annotations

import codecs
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass

_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
"""Byte order marks; the longer one first, as UTF-32's begins with UTF-16's."""

_KINDS = {
    b"PK\x03\x04": "is a spreadsheet (.xlsx or .ods), not text",
    b"\xd0\xcf\x11\xe0": "is a spreadsheet (.xls), not text",
    b"\x1f\x8b": "is compressed",
    b"%PDF": "is a PDF file, not a table",
}

_LEGACY = {"cp1252": "Windows-1252", "mac_roman": "Mac Roman", "cp850": "DOS code page 850"}
"""Single-byte encodings of western Europe, the most common first."""

_COMMON = frozenset("äöüßéèêëàâáãçñóòôõíìîïúùûåæøœÄÖÜÉÈÊÀÂÁÇÑÓÔÍÎÚÛÅÆØ")
"""Letters beyond ASCII that are common in western European languages."""

_SIGNS = frozenset(
    "\u2018\u2019\u201a\u201c\u201d\u201e\u2013\u2014\u2026\u20ac°µ·\u00d7²³§±«»\u00b4¨ªº\u00a0"
)

AGAIN = "save it again as CSV or text, in UTF-8 if there is a choice"


class EncodingError(Exception):
    """The file is not a table in text form.

    Attributes:
        fix: what to do about it.
        row: 1-based line, or None.
    """

    def __init__(self, message: str, fix: str, row: int | None = None) -> None:
        super().__init__(message)
        self.fix, self.row = fix, row


@dataclass(frozen=True, slots=True)
class Decoded:
    """The text of a table.

    Attributes:
        text: the text, with Unix line ends.
        guess: name of the encoding if it was guessed; '' for UTF-8, and with a byte order mark.
        example: a cell that shows whether the guess is right.
        row: line of the example.
    """

    text: str
    guess: str = ""
    example: str = ""
    row: int | None = None


def decode(raw: bytes, is_known: Callable[[str], bool]) -> Decoded:
    """Decode a table.

    UTF-8, and UTF-16 and UTF-32 with byte order marks, are certain. Anything else is decoded in the
    western encoding under which most cells name existing files, or else under which most characters
    are letters of western European languages.

    Args:
        raw: content of the file.
        is_known: whether a cell names a file that exists.

    Raises:
        EncodingError: it is not text, or no encoding fits.
    """
    for start, message in _KINDS.items():
        if raw.startswith(start):
            raise EncodingError(message, AGAIN)
    encoding = next((name for mark, name in _MARKS.items() if raw.startswith(mark)), "utf-8-sig")
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError as error:
        if encoding != "utf-8-sig":
            name = encoding.upper()
            message = f"begins as {name} text, but is not whole"
            raise EncodingError(message, AGAIN) from error
        if b"\x00" in raw:
            raise _nul(raw) from error
        return _legacy(raw, error.start, is_known)
    if "\x00" in text:
        raise _nul(raw)
    return Decoded(_lines(text))


def _lines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _nul(raw: bytes) -> EncodingError:
    """The error for zero bytes: in UTF-16, half of the bytes are zero."""
    if raw.count(b"\x00") * 3 > len(raw):
        return EncodingError(
            "is UTF-16 text without its byte order mark", "save it as UTF-8 text", 1
        )
    row = raw.count(b"\n", 0, raw.index(b"\x00")) + 1
    return EncodingError(
        "holds a zero byte: it is damaged, or not text", "export the table again", row
    )


def _legacy(raw: bytes, start: int, is_known: Callable[[str], bool]) -> Decoded:
    scores: dict[str, tuple[int, int, int]] = {}
    for name in _LEGACY:
        try:
            text = raw.decode(name)
        except UnicodeDecodeError:
            continue
        cells = _cells_beyond_ascii(text)
        odd = sum(not _is_plausible(letter) for letter in text)
        scores[name] = (sum(map(is_known, cells)), -odd, sum(letter in _COMMON for letter in text))
    row = raw.count(b"\n", 0, start) + 1
    best = max(scores, key=lambda name: scores[name])
    known, odd, _ = scores[best]
    if odd and not known:
        message = (
            f"is not UTF-8 text (byte 0x{raw[start]:02x}), and its encoding cannot be determined"
        )
        raise EncodingError(message, "save it as UTF-8 text", row)
    text = _lines(raw.decode(best))
    example = _cells_beyond_ascii(text)[0]
    return Decoded(text, _LEGACY[best], example, text.count("\n", 0, text.index(example)) + 1)


def _cells_beyond_ascii(text: str) -> list[str]:
    """Cells with characters beyond ASCII."""
    cells = (cell.strip().strip('"') for cell in re.split(r"[\t\r\n;,|]", text))
    return [cell for cell in cells if cell and not cell.isascii()]


def _is_plausible(letter: str) -> bool:
    """Whether a character is common in western European text."""
    if letter.isascii():
        return letter >= " " or letter in "\t\r\n"
    return letter in _SIGNS or (
        letter.isalpha() and letter <= "\u024f" and unicodedata.category(letter) != "Lm"
    )
