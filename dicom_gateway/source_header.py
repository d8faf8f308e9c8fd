"""What our results take over from the foreign instance they are about: each value valid as DICOM writes it, or empty.

Tolerant on reading, valid on writing (PS3.5 6.2).  Nothing else of a foreign header ever gets into an object of ours,
so a number that is none in a tag nobody needs holds up no report.
"""

from __future__ import annotations

import base64
import binascii
import re
import unicodedata
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from dicom_gateway.dicom_json import Json

_NAME_CHARACTERS: Final = 64  # of a group of a PN, and of an LO (PS3.5 table 6.2-1)
_SHORT_CHARACTERS: Final = 16  # of an SH
_GROUPS: Final = ("Alphabetic", "Ideographic", "Phonetic")
_COMPONENTS: Final = 5  # of a group of a PN (PS3.5 6.2.1)
#: Nobody examined today was born, and no study was made, before this year: such dates are placeholders.
_FIRST_YEAR: Final = 1850
_DATE: Final = re.compile(r"(\d{4})(?:(\d\d)(\d\d)(?!\d)|[.\-/年](\d{1,2})[.\-/月](\d{1,2})(?!\d))")
_DATE_TIME: Final = re.compile(r"\d{14}.*")  # a DT where a DA is due
_TIME: Final = re.compile(r"(\d\d)(?::?(\d\d)(?::?(\d\d)(?:\.(\d+))?)?)?")
#: What consoles write for (0010,0040), whose terms are M, F and O (PS3.3 C.7.1.1).
_SEXES: Final = {"M": "M", "MALE": "M", "男": "M", "男性": "M", "F": "F", "FEMALE": "F", "女": "F", "女性": "F", "O": "O", "OTHER": "O"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class SourceHeader:
    """An instance of the study that a result is about.  UIDs are as they came: by them peers find what belongs together.

    person_name, referring: PN.  birth_date, study_date: YYYYMMDD or empty.  study_time: a TM or empty.  sex: M, F, O or
    empty.
    """

    study_uid: str
    series_uid: str
    sop_uid: str
    sop_class_uid: str
    person_name: str = ""
    patient_id: str = ""
    issuer: str = ""
    birth_date: str = ""
    sex: str = ""
    study_id: str = ""
    study_date: str = ""
    study_time: str = ""
    accession: str = ""
    referring: str = ""
    description: str = ""

    @classmethod
    def of(cls, metadata: Json) -> SourceHeader:
        """From an instance's DICOM JSON; never raises for what it says."""
        return cls(
            study_uid=_text(metadata, "0020000D"),
            series_uid=_text(metadata, "0020000E"),
            sop_uid=_text(metadata, "00080018"),
            sop_class_uid=_text(metadata, "00080016"),
            person_name=person_name(_text(metadata, "00100010")),
            patient_id=line(_text(metadata, "00100020")),
            issuer=line(_text(metadata, "00100021")),
            birth_date=day(_text(metadata, "00100030")),
            sex=sex(_text(metadata, "00100040")),
            study_id=whole_or_empty(_text(metadata, "00200010")),
            study_date=day(_text(metadata, "00080020")),
            study_time=clock_time(_text(metadata, "00080030")),
            accession=whole_or_empty(_text(metadata, "00080050")),
            referring=person_name(_text(metadata, "00080090")),
            description=line(_text(metadata, "00081030")),
        )


def _text(metadata: Json, tag: str) -> str:
    """The first value of a tag as text, whatever VR it was written with; empty where there is none."""
    element: Any = metadata.get(tag) or {}
    if element.get("vr") == "SQ":
        return ""
    if (inline := element.get("InlineBinary")) is not None:
        return _decoded(str(inline)).split("\\")[0].strip("\0 ")
    first: Any = next(iter(element.get("Value") or ()), None)
    if isinstance(first, dict):  # a PN's groups
        return "=".join(str(first.get(name) or "") for name in _GROUPS).rstrip("=")
    return "" if first is None else str(first).strip("\0 ")


def _decoded(inline: str) -> str:
    try:
        raw = base64.b64decode(inline)
    except (binascii.Error, ValueError):
        return ""
    for codec in ("utf_8", "gb18030"):
        try:
            return raw.decode(codec)
        except UnicodeDecodeError:
            continue
    return ""


# ---------------------------------------------------------------- values as DICOM writes them
def line(text: str, characters: int = _NAME_CHARACTERS) -> str:
    """One value on one line: no backslash, no control or half characters, cut to what an LO holds."""
    kept = "".join("/" if c == "\\" else c for c in text if _is_writable(c))
    return kept.strip()[:characters].rstrip()


def whole_or_empty(text: str, characters: int = _SHORT_CHARACTERS) -> str:
    """A number by which something is found: cut short or half read it would be another's, so then it is left empty."""
    found = line(text, len(text))
    return found if len(found) <= characters and "\ufffd" not in found else ""


def person_name(text: str) -> str:
    """A PN of at most three groups of five components, each group as long as it may be (PS3.5 6.2.1)."""
    groups = [_group(part) for part in text.split("=")[: len(_GROUPS)]]
    return "=".join(groups).rstrip("=")


def _group(text: str) -> str:
    components = [line(part, len(part)) for part in text.split("^")]
    whole = "^".join([*components[: _COMPONENTS - 1], " ".join(components[_COMPONENTS - 1 :])])
    return whole[:_NAME_CHARACTERS].rstrip("^ ")


def day(text: str) -> str:
    """YYYYMMDD of a date in any of the forms that are met (20260102, 2026.01.02, 2026-1-2, a DT); empty for none."""
    bare = text.strip()[:8] if _DATE_TIME.fullmatch(text.strip()) else text.strip()
    found = _DATE.match(bare)
    if found is None or (not bare.isascii() and "年" not in bare):
        return ""
    year, month, month_day = (int(part) for part in found.groups() if part is not None)
    try:
        date(year, month, month_day)
    except ValueError:
        return ""
    return f"{year:04d}{month:02d}{month_day:02d}" if year >= _FIRST_YEAR else ""


def clock_time(text: str) -> str:
    """HHMMSS.FFFFFF as far as it is given, with or without colons (10:20:30 is of ACR-NEMA); empty for none."""
    found = _TIME.fullmatch(text.strip()) if text.isascii() else None
    if found is None:
        return ""
    hours, minutes, seconds, fraction = found.groups()
    if int(hours) > 23 or int(minutes or 0) > 59 or int(seconds or 0) > 60:
        return ""
    return hours + (minutes or "") + (seconds or "") + (f".{fraction[:6]}" if fraction else "")


def sex(text: str) -> str:
    return _SEXES.get(text.strip().upper(), "")


def _is_writable(character: str) -> bool:
    """No control characters, and no halves of surrogate pairs, which UTF-8 can't write."""
    return unicodedata.category(character) not in ("Cc", "Cs", "Zl", "Zp")
