"""Whose study it is: (clinic, local id), Chinese names, pinyin for searching, and placeholders of careless devices."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date

from center.characters import is_private, shown

#: Ids that carts and consoles send for "unknown": each arrival is a patient of its own and never linked.
PLACEHOLDER_IDS = frozenset(
    {"", "0", "00", "000", "0000", "1", "-1", "999", "9999", "99999", "NONE", "NULL", "NA", "N/A", "UNKNOWN", "ANONYMOUS", "TEST", "PATIENT", "ID", "未知", "无"}
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class PatientIdentity:
    """A patient as one clinic knows him.

    patient_id: our key (uuid); local_id: the clinic's own number; name: as shown, Chinese where there is one;
    sex: M, F, O or empty; birth_date: None when unknown.
    """

    patient_id: str
    local_id: str
    name: str
    pinyin: str = ""
    sex: str = ""
    birth_date: date | None = None


def is_placeholder(local_id: str) -> bool:
    """An id that says nothing about who this is."""
    bare = local_id.strip().upper()
    return bare in PLACEHOLDER_IDS or re.fullmatch(r"0+|X+|\?+|-+|\*+", bare) is not None


def shown_name(person_name: str) -> str:
    """A DICOM PN as people read it: the ideographic group where there is one, components joined.

    ``Zhang^San=张^三`` -> 张三;  ``Omura^Jun`` -> Omura Jun  (PS3.5 6.2.1);  王 明 -> 王明, as lists of three-character
    names are padded.  A character of the private use area is 〓.
    """
    groups = [*person_name.split("="), "", ""][:3]
    ideographic, alphabetic = groups[1].strip("^ "), groups[0].strip("^ ")
    chosen = ideographic or alphabetic
    parts = [p.strip() for p in chosen.split("^") if p.strip()]
    return shown(re.sub(_PADDING, "", "".join(parts)) if _is_han(chosen) else " ".join(parts))


_HAN = r"[\u3400-\u9fff\ue000-\uf8ff\U00020000-\U0003ffff〓]"
#: Blanks between two characters.
_PADDING = rf"(?<={_HAN})\s+(?={_HAN})"


def _is_han(text: str) -> bool:
    return any("\u3400" <= c <= "\u9fff" or "\U00020000" <= c <= "\U0003ffff" or is_private(c) for c in text)


def age_on(birth_date: date | None, on: date) -> int | None:
    """Whole years, or None when the birth date is unknown or lies after ``on``."""
    if birth_date is None or birth_date > on:
        return None
    return on.year - birth_date.year - ((on.month, on.day) < (birth_date.month, birth_date.day))


def same_person(name: str, birth_date: date | None, other_name: str, other_birth_date: date | None) -> bool:
    """The two descriptions do not contradict each other: used to flag, never to merge."""
    names_agree = not name or not other_name or _bare(name) == _bare(other_name)
    births_agree = birth_date is None or other_birth_date is None or birth_date == other_birth_date
    return names_agree and births_agree


def _bare(name: str) -> str:
    return re.sub(r"[\s^·,.\-]+", "", name).casefold()
