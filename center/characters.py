"""Characters of a text -> what may be kept in a row, and what a person can see. Nothing that is written is lost unseen.

Hospital systems write rare names in the private use area, where each vendor put its own glyphs: no font of ours has
them, so that a name would lose a character without a word.
"""

from __future__ import annotations

import unicodedata
from typing import Final

#: What stands where a character has no glyph (U+3013, the geta mark of typesetters).
STAND_IN: Final = "〓"
#: Controls, invisible format marks (they can turn a line round), halves of surrogate pairs.
_DROPPED: Final = frozenset({"Cc", "Cf", "Cs"})
_BLANKS: Final = frozenset({"Zs", "Zl", "Zp"})


def kept(text: str) -> str:
    """Without controls and invisible marks, every kind of blank as one; private and unassigned characters stay."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_kept(character) for character in text)


def _kept(character: str) -> str:
    category = unicodedata.category(character)
    return "" if category in _DROPPED else " " if category in _BLANKS else character


def shown(text: str) -> str:
    """``kept``, with a stand-in for each character of the private use area."""
    return "".join(STAND_IN if is_private(character) else character for character in kept(text))


def is_private(character: str) -> bool:
    """Of one of the three private use areas: U+E000..F8FF and planes 15 and 16."""
    return "\ue000" <= character <= "\uf8ff" or character >= "\U000f0000"
