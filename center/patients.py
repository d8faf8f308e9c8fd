"""Whose study it is: (clinic, local id), Chinese names, pinyin for searching, and placeholders of careless devices."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from datetime import date

from center.characters import STAND_IN, is_private, shown
from center.pinyin import has_han, readings

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


@dataclass(frozen=True, slots=True)
class Description:
    """How one source (an object's header, a request) describes a person; name: a DICOM PN or a plain name."""

    name: str = ""
    birth_date: date | None = None
    sex: str = ""


@dataclass(frozen=True, slots=True)
class OtherIdentity:
    """Another person whom something says of a study, beside the one whom its own images name.

    source: number (another study under the same clinic's number) | images (other objects of this study) | request.
    """

    source: str
    name: str
    birth_date: date | None = None
    sex: str = ""
    local_id: str = ""


def differences(one: Description, other: Description) -> frozenset[str]:
    """In what the two contradict each other: name, birth_date, sex; what either leaves out contradicts nothing.

    Used to flag and to keep apart, never to merge.
    """
    out = set[str]()
    if not same_name(one.name, other.name):
        out.add("name")
    if one.birth_date and other.birth_date and one.birth_date != other.birth_date:
        out.add("birth_date")
    if {one.sex, other.sex} == {"M", "F"}:
        out.add("sex")
    return frozenset(out)


def same_name(one: str, other: str) -> bool:
    """Two spellings of one name, or one of them is empty.

    Characters decide where both have them; else the letters, in any order of family and given name; else the pinyin of
    the characters: ``Zhang^San=张^三``, ``张三``, ``ZHANG SAN`` are one, 张三 and 张珊 are two, and so are 王芳 and 王芳之子.
    """
    han, letters = _written(one)
    other_han, other_letters = _written(other)
    if not (han or letters) or not (other_han or other_letters):
        return True
    if han and other_han:
        return len(han) == len(other_han) and all(map(_same_character, han, other_han))
    if _orders(letters) & _orders(other_letters):
        return True
    return bool(_spoken(han) & _orders(other_letters) or _spoken(other_han) & _orders(letters))


#: Typed from a screen, or broken on the way: any one character.
_UNREADABLE = frozenset({STAND_IN, "\ufffd"})


def _same_character(one: str, other: str) -> bool:
    return one == other or one in _UNREADABLE or other in _UNREADABLE


def _written(person_name: str) -> tuple[str, tuple[str, ...]]:
    """A PN's characters, and the words of its letters; prefix and suffix are left out, the phonetic group too."""
    han, letters = "", tuple[str, ...]()
    for group in person_name.split("=")[:2]:
        components = unicodedata.normalize("NFKC", group).split("^")[:3]
        text = "^".join(components)
        if _is_han(text):
            han = han or "".join(c for c in text if c.isalnum() or is_private(c) or c in _UNREADABLE).casefold()
        else:
            letters = letters or tuple(w for w in (_plain(w) for w in re.split(r"[\s^,]+", text)) if w)
    return han, letters


def _plain(word: str) -> str:
    """Letters and digits alone, without case and accents; ü is also written v and yu."""
    bare = "".join(c for c in unicodedata.normalize("NFKD", word.casefold()) if c.isalnum())
    return re.sub(r"([ln])(?:v|yu)", r"\1u", bare)


def _orders(words: tuple[str, ...]) -> frozenset[str]:
    """The words run together, begun at each of them: consoles differ in whether the family name comes first."""
    words = words[:8]
    return frozenset("".join(words[n:] + words[:n]) for n in range(len(words)))


def _spoken(han: str) -> frozenset[str]:
    """How the characters may be read, family name first or last."""
    if not has_han(han):
        return frozenset()
    return frozenset(order for reading in readings(han) for order in _orders(tuple(_plain(r) for r in reading)))
