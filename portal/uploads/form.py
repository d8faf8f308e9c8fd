"""What comes with a recording by hand: whose it is and what is asked, checked before anything is kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import PurePosixPath

from center.errors import Invalid
from portal.ecg_files import Person
from worklist.records import RequestForm

#: Names of the fields, and how many characters each holds (as the request's own form).
FIELDS: dict[str, int] = {
    "local_id": 64, "name": 64, "sex": 1, "birth_date": 10, "accession": 64, "exam": 200, "question": 1000,
    "history": 2000, "urgent": 5,
}  # fmt: skip
#: One recording is a header with its signal files, or one file; this many are never one recording.
MOST_FILES = 20
_SEXES = ("", "M", "F", "O")


@dataclass(frozen=True, slots=True)
class Sent:
    """The files by name, whose they are, and the request where one was written along."""

    files: Mapping[str, bytes]
    person: Person
    request: RequestForm | None


def sent_from(files: Mapping[str, bytes], fields: Mapping[str, str], today: date) -> Sent:
    """Raises Invalid, naming the field."""
    values = {name: fields.get(name, "").replace("\x00", "").strip() for name in FIELDS}
    for name, most in FIELDS.items():
        if len(values[name]) > most:
            raise Invalid(f"这一栏最多 {most} 字。", f"This field holds {most} characters at most.", {"field": name})
    sex = values["sex"].upper()
    if sex not in _SEXES:
        raise Invalid("性别请选男、女或其他。", "Sex is male, female or other.", {"field": "sex"})
    born = _born(values["birth_date"], today)
    if not files:
        raise Invalid("没有收到文件。请选择心电文件。", "No file came. Choose the ECG's files.", {"field": "files"})
    if len(files) > MOST_FILES:
        raise Invalid("一次只传一份心电图的文件。", "Send the files of one recording at a time.", {"field": "files"})
    person = Person(
        values["local_id"], values["name"], sex, born.strftime("%Y%m%d") if born else "", values["accession"]
    )
    return Sent(files, person, _request(values, sex, born))


def _request(values: Mapping[str, str], sex: str, born: date | None) -> RequestForm | None:
    """None when nothing was filled in: then the file's own header speaks."""
    if not any(values[name] for name in FIELDS if name != "sex"):
        return None
    urgent = values["urgent"].lower() in ("1", "true", "on", "yes")
    return RequestForm(
        local_id=values["local_id"], name=values["name"], sex=sex, birth_date=born, exam=values["exam"],
        question=values["question"], history=values["history"], urgent=urgent, accession=values["accession"],
    )  # fmt: skip


def _born(text: str, today: date) -> date | None:
    """``1959-04-02`` or ``19590402``."""
    if not text:
        return None
    digits = text.replace("-", "")
    try:
        born = date(int(digits[:4]), int(digits[4:6]), int(digits[6:8]))
    except ValueError:
        born = None
    if born is None or len(digits) != 8 or not digits.isdigit() or not date(1880, 1, 1) <= born <= today:
        raise Invalid("出生日期写作 1959-04-02。", "Write the birth date as 1959-04-02.", {"field": "birth_date"})
    return born


def bare_name(name: str) -> str:
    """The last part of a name, whatever folder the sender names."""
    return PurePosixPath(name.replace("\\", "/").replace("\x00", "")).name[:255] or "file"
