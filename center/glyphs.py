"""Which characters our fonts can print, and what is printed for one that they can't.

A signed document must not show an empty box in somebody's name: such a character is printed as the printers' mark 〓
with its code, and stays whole in the report's content data. Values only: font files come in as bytes.
"""

from __future__ import annotations

import struct
import unicodedata
from typing import Final

#: Set between the pieces of a very long word, so that it can be broken at the margin.
BREAK: Final = "\u200b"
LONG_WORD: Final = 28
_PIECE: Final = 7
#: Invisible marks that steer shaping; they have no glyph of their own and are left out of print.
_SILENT: Final = frozenset({0x200B, 0x200C, 0x200D, 0x2060, 0xFEFF, *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)})


def coverage(font: bytes, face: int = 0) -> frozenset[int]:
    """Code points that have a glyph in an OpenType font, or in one face of a collection ('cmap' formats 4 and 12)."""
    begin = int(struct.unpack_from(">I", font, 12 + 4 * face)[0]) if font[:4] == b"ttcf" else 0
    at = _table(font, begin, b"cmap")
    return frozenset() if at is None else frozenset(_cmap(font, at))


def printable(text: str, known: frozenset[int]) -> tuple[str, bool]:
    """The text as it can be set, and whether a character had to be replaced by 〓(U+...)."""
    out: list[str] = []
    replaced = False
    for c in text:
        point = ord(c)
        if point in _SILENT or (point < 32 and c != "\t"):
            continue
        if c == "\t" or unicodedata.category(c) == "Zs":
            out.append(c if point in known else " ")
        elif point in known and unicodedata.category(c) not in ("Cf", "Co"):
            out.append(c)
        else:  # no glyph, a private character, or a mark that turns the direction of its neighbours
            out.append(f"〓(U+{point:04X})")
            replaced = True
    return _breakable("".join(out)), replaced


def _breakable(text: str) -> str:
    """Long words without a place to break (UIDs, addresses) get one every few characters."""
    words = text.split(" ")
    return " ".join(_pieces(word) if len(word) > LONG_WORD and word.isascii() else word for word in words)


def _pieces(word: str) -> str:
    return BREAK.join(word[i : i + _PIECE] for i in range(0, len(word), _PIECE))


def _table(font: bytes, face: int, tag: bytes) -> int | None:
    (count,) = struct.unpack_from(">H", font, face + 4)
    for i in range(count):
        name, _, at, _ = struct.unpack_from(">4sIII", font, face + 12 + 16 * i)
        if name == tag:
            return int(at)
    return None


def _cmap(font: bytes, at: int) -> set[int]:
    """The points of all Unicode subtables."""
    (count,) = struct.unpack_from(">H", font, at + 2)
    points: set[int] = set()
    for i in range(count):
        platform, _, offset = struct.unpack_from(">HHI", font, at + 4 + 8 * i)
        if platform not in (0, 3):
            continue
        (kind,) = struct.unpack_from(">H", font, at + offset)
        if kind == 12:
            points |= _format_12(font, at + offset)
        elif kind == 4:
            points |= _format_4(font, at + offset)
    return points


def _format_12(font: bytes, at: int) -> set[int]:
    (groups,) = struct.unpack_from(">I", font, at + 12)
    points: set[int] = set()
    for i in range(groups):
        first, last, glyph = struct.unpack_from(">III", font, at + 16 + 12 * i)
        points.update(range(first + (glyph == 0), last + 1))
    return points


def _format_4(font: bytes, at: int) -> set[int]:
    (double,) = struct.unpack_from(">H", font, at + 6)
    count = double // 2
    ends = struct.unpack_from(f">{count}H", font, at + 14)
    starts = struct.unpack_from(f">{count}H", font, at + 16 + double)
    points: set[int] = set()
    for first, last in zip(starts, ends, strict=True):
        if first != 0xFFFF:
            points.update(range(first, min(last, 0xFFFE) + 1))
    return points
