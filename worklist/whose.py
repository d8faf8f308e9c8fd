"""Whom else something says a case is of, and how that is told; values only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any, Final

from center.patients import Description, OtherIdentity, differences
from center.pinyin import with_latin
from worklist.records import CaseRow, Request, RequestForm
from worklist.sheet import Text

_SOURCES: Final[Mapping[str, Text]] = {
    "number": Text("同一患者号的另一检查写的是", "another study under the same patient number names"),
    "images": Text("本检查另有图像写的是", "other images of this study name"),
    "request": Text("申请写的是", "the request names"),
}
_SEXES: Final[Mapping[str, Text]] = {"M": Text("男", "male"), "F": Text("女", "female"), "O": Text("其他", "other")}


def of_request(form: RequestForm, row: CaseRow) -> OtherIdentity | None:
    """Whom a request names, where that contradicts the case's images."""
    said = Description(form.name, form.birth_date, form.sex)
    if not differences(said, Description(row.patient_name, row.patient_birth_date, row.patient_sex)):
        return None
    return OtherIdentity("request", form.name, form.birth_date, form.sex, form.local_id)


def names_it(request: Request, row: CaseRow) -> bool:
    """The request was written for this very study, not only for a patient's number."""
    form = request.form
    return (form.study_uid != "" and form.study_uid == row.study_uid) or (
        form.accession != "" and form.accession == row.accession
    )


def as_json(others: Iterable[OtherIdentity]) -> list[dict[str, str]]:
    return [
        {
            "source": o.source, "name": o.name, "birth_date": o.birth_date.isoformat() if o.birth_date else "",
            "sex": o.sex, "local_id": o.local_id,
        }
        for o in others
    ]  # fmt: skip


def from_json(values: Iterable[Mapping[str, Any]]) -> tuple[OtherIdentity, ...]:
    return tuple(
        OtherIdentity(
            v["source"], v["name"], date.fromisoformat(v["birth_date"]) if v["birth_date"] else None, v["sex"],
            v["local_id"],
        )
        for v in values
    )  # fmt: skip


def conflict(row: CaseRow) -> Text | None:
    """One sentence with both names, None where nobody else is named."""
    own = Description(row.patient_name, row.patient_birth_date, row.patient_sex)
    return conflict_of(own, row.patient_local_id, row.others)


def conflict_of(said: Description, local_id: str, others: Sequence[OtherIdentity]) -> Text | None:
    if not others:
        return None
    own = _person(said.name, said.birth_date, said.sex)
    zh = "；".join(_other(o, local_id, "zh") for o in others)
    en = "; ".join(_other(o, local_id, "en") for o in others)
    return Text(f"图像写的是“{own.zh}”，{zh}。", f'The images name "{own.en}", {en}.')


def _other(other: OtherIdentity, local_id: str, lang: str) -> str:
    source = _SOURCES[other.source]
    person = _person(other.name, other.birth_date, other.sex)
    number = other.local_id if other.local_id and other.local_id != local_id else ""
    if lang == "zh":
        return f"{source.zh}“{person.zh}”" + (f"（患者号 {number}）" if number else "")
    return f'{source.en} "{person.en}"' + (f" (number {number})" if number else "")


def _person(name: str, birth_date: date | None, sex: str) -> Text:
    born = birth_date.isoformat() if birth_date else ""
    said = _SEXES.get(sex, Text("", ""))
    return Text(_joined((name or "—", born, said.zh)), _joined((with_latin(name) or "—", born, said.en)))


def _joined(parts: Sequence[str]) -> str:
    return " ".join(p for p in parts if p)
