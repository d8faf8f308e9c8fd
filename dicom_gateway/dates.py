"""Dates and times as devices write them -> as the index compares them: YYYYMMDD and HHMMSS.FFFFFF, '' for none.

The forms of ACR-NEMA and of older editions are read as well (PS3.5 6.2: yyyy.mm.dd, hh:mm:ss); what can be meant two
ways is no date.  The object keeps what was written.
"""

from __future__ import annotations

import re
from datetime import date
from typing import Final

_DATE: Final = re.compile(r"([0-9]{4})(?:([.\-/ ])([0-9]{1,2})\2([0-9]{1,2})|年([0-9]{1,2})月([0-9]{1,2})日)(?![0-9])")
_BARE_DATE: Final = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})(?:[0-9]{2,6}(?:\.[0-9]+)?|[ T].*)?")
_TIME: Final = re.compile(r"([0-9]{1,2})[:.]([0-9]{1,2})(?:[:.]([0-9]{1,2})(?:[.,]([0-9]{1,6}))?)?")
_BARE_TIME: Final = re.compile(r"([0-9]{2})(?:([0-9]{2})(?:([0-9]{2})(?:[.,]([0-9]{1,}))?)?)?")
_VALID_TIME: Final = re.compile(r"[0-9]{2}(?:[0-9]{2}(?:[0-9]{2}(?:\.[0-9]{1,6})?)?)?")


def date_text(text: str) -> str:
    """YYYYMMDD; '' where it is no date, or none that a calendar has."""
    bare = _trimmed(text)
    match = _BARE_DATE.fullmatch(bare) or _DATE.match(bare)
    if match is None:
        return ""
    numbers = [int(g) for g in match.groups() if g is not None and g.isdigit()]
    try:
        return date(*numbers[:3]).strftime("%Y%m%d").rjust(8, "0")
    except ValueError:
        return ""


def time_text(text: str) -> str:
    """HHMMSS and the fraction that was written; '' where it is no time of day."""
    bare = _trimmed(text)
    match = _BARE_TIME.fullmatch(bare) or _TIME.fullmatch(bare)
    if match is None:
        return ""
    hours, minutes, seconds = (int(g or 0) for g in match.groups()[:3])
    if hours > 23 or minutes > 59 or seconds > 60:  # 60: a leap second (PS3.5 6.2)
        return ""
    fraction = (match[4] or "")[:6]
    return f"{hours:02}{minutes:02}{seconds:02}" + (f".{fraction}" if fraction else "")


def as_written_now(vr: str, text: str) -> str:
    """A DA or TM in the standard's present form where an older one is understood; anything else as it is."""
    if vr == "TM" and not _VALID_TIME.fullmatch(text):
        return time_text(text) or text
    return (date_text(text) or text) if vr == "DA" else text


def date_of(text: str) -> date | None:
    """The same as a date."""
    known = date_text(text)
    return date(int(known[:4]), int(known[4:6]), int(known[6:])) if known else None


def _trimmed(text: str) -> str:
    """Without NULs, blanks around and around separators."""
    return re.sub(r"\s*([.:/\-])\s*", r"\1", text.replace("\x00", " ").strip())
