"""Text in binary files, whose characters are seldom declared and not always those that are."""

from __future__ import annotations

import re
from typing import Final

_FIRST_OF_GB_2312: Final = 0xA1


def decoded(raw: bytes, declared: str = "ascii") -> str:
    """One line up to the first NUL: in the declared characters, in UTF-8, GB 18030 or Latin-1, whichever it is."""
    raw = raw.split(b"\x00")[0]
    undeclared = "gb18030" if _may_be_chinese(raw) else "latin-1"
    for encoding in (declared, "utf-8", undeclared):
        try:
            return line(raw.decode(encoding))
        except UnicodeDecodeError:
            continue
    return line(raw.decode("latin-1"))


def line(text: str) -> str:
    """At most 1000 characters in one line, without control characters."""
    return "".join(c if c.isprintable() else " " for c in text).strip()[:1000]


def _may_be_chinese(raw: bytes) -> bool:
    """Whether the bytes beyond ASCII come in pairs, as in GB 2312, and not one by one, as in a European word."""
    runs = re.findall(rb"[\x80-\xff]+", raw)
    return all(len(run) % 2 == 0 and min(run) >= _FIRST_OF_GB_2312 for run in runs)
