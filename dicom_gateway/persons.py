"""Whose a study is: whom its own objects name, and which of the people under that number he is.

A study never takes another study's name. Where objects or studies contradict each other, both stay and it is said.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from center.characters import kept, shown
from center.database import Row, Work
from center.events import IdentityDoubted
from center.identity import ClinicId
from center.patients import Description, OtherIdentity, differences, is_placeholder, shown_name
from center.pinyin import search_key
from center.ports import Identifiers
from dicom_gateway.dates import date_of
from dicom_gateway.dicom_scan import Header
from dicom_gateway.store import QUERIES

#: A person's columns, in gateway.study and in center.patient; what an object doesn't say is '' or None.
FIELDS: Final = ("name", "person_name", "pinyin", "sex", "birth_date")
Person = dict[str, Any]  # a row to be: local_id and FIELDS


def clean(text: str, length: int) -> str:
    """As a person can see it: without control characters (PostgreSQL takes no NUL), private ones as 〓; bounded."""
    return shown(text)[:length].strip()


def person_of(header: Header) -> Person:
    """Whom an object names."""
    person_name = kept(header.first(0x00100010))[:324].strip()  # private characters stay: they are part of the name
    return {
        "local_id": clean(header.text(0x00100020), 64),
        "name": shown_name(person_name),
        "person_name": person_name,
        "pinyin": search_key(person_name),
        "sex": (clean(header.first(0x00100040), 16).upper() or "")[:1] if header.first(0x00100040) else "",
        "birth_date": date_of(header.first(0x00100030)),
    }


def description(row: Mapping[str, Any]) -> Description:
    return Description(row["person_name"] or row["name"], row["birth_date"], row["sex"])


def patient_row(
    work: Work, clinic: ClinicId, study_uid: str, person: Person, identifiers: Identifiers, now: datetime
) -> tuple[Row, bool]:
    """The patient's row of this person, made where there is none; and whether he is another under a number in use."""
    asked: dict[str, Any] = {"clinic": clinic, "local_id": person["local_id"]}
    placeholder = is_placeholder(person["local_id"])
    put = {"clinic": clinic, "patient": identifiers.new(), "now": now, "placeholder": placeholder, **person}
    row = work.one(QUERIES["put_patient"], distinct_from=None, **put)
    if row is not None:
        return row, False
    row = _one_of(work.all(QUERIES["persons_of_number"], study=study_uid, **asked), person)
    if row is None:  # looked at again under the lock: another association may be adding him at this moment
        first = work.one(QUERIES["lock_number"], **asked)
        assert first is not None
        row = _one_of(work.all(QUERIES["persons_of_number"], study=study_uid, **asked), person)
        if row is None:
            made = work.one(QUERIES["put_patient"], distinct_from=first["patient_id"], **put)
            assert made is not None
            return made, True
    work.run(QUERIES["fill_patient"], clinic=clinic, patient=row["patient_id"], **{k: person[k] for k in FIELDS})
    return row, False


def _one_of(rows: Sequence[Row], person: Person) -> Row | None:
    """Who of these he is: his name decides; without a name only where the number has one person."""
    said = description(person)
    fitting = [r for r in rows if not differences(description(r), said)]
    if not person["name"]:
        return fitting[0] if fitting and len([r for r in rows if r["in_use"]]) <= 1 else None
    named = [r for r in fitting if r["name"]]
    exact = [r for r in named if r["birth_date"] == person["birth_date"]]
    return next(iter([*exact, *named, *fitting]), None)


def completed(person: Person, row: Row) -> Person:
    """With birth date and sex from his other studies, where those are of the same name."""
    if not person["name"] or not row["name"]:
        return person
    return person | {"sex": person["sex"] or row["sex"], "birth_date": person["birth_date"] or row["birth_date"]}


def merged(study: Row, person: Person) -> Person | None:
    """The study's person with what this object adds to him; None where it adds nothing, or says another."""
    if study["corrections"] or person["local_id"] != study["local_id"]:
        return None
    if differences(description(study), description(person)):
        return None
    name = study if study["name"] else person
    more = {k: name[k] for k in ("name", "person_name", "pinyin")}
    more |= {"sex": study["sex"] or person["sex"], "birth_date": study["birth_date"] or person["birth_date"]}
    return None if all(more[k] == study[k] for k in FIELDS) else {"local_id": study["local_id"], **more}


def other_identity(study: Row, person: Person) -> OtherIdentity | None:
    """Whom an object names against its study; None once a person has put the study right."""
    if study["corrections"]:
        return None
    other_id = person["local_id"] != study["local_id"] and not is_placeholder(person["local_id"])
    if not other_id and not differences(description(study), description(person)):
        return None
    return OtherIdentity("images", person["name"], person["birth_date"], person["sex"], person["local_id"])


def as_json(other: OtherIdentity) -> dict[str, str | None]:
    born = other.birth_date.isoformat() if other.birth_date else None
    return {
        "source": other.source,
        "name": other.name,
        "birth_date": born,
        "sex": other.sex,
        "local_id": other.local_id,
    }


def tell_namesakes(
    work: Work, clinic: ClinicId, study_uid: str, patient_id: str, local_ids: Sequence[str], number: int
) -> None:
    """Studies of other people under these numbers: their doubt began or ended with this study's identity."""
    known = [one for one in local_ids if not is_placeholder(one)]
    for row in work.all(
        QUERIES["namesakes"], clinic=clinic, study=study_uid, patient=patient_id, local_ids=sorted(set(known))
    ):
        work.emit(IdentityDoubted(clinic, row["study_uid"], study_uid, number))
