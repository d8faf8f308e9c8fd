"""The report as it is printed: everything the PDF shows, and the canonical JSON whose digest stands in it.

Values only. Times are aware; ``zone`` says in which one they are printed.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, fields, is_dataclass
from datetime import date, datetime
from enum import StrEnum

#: Printed beside the content but not part of it: the address of the QR page holds a secret of its own.
_NOT_CONTENT = frozenset({"qr_url"})


@dataclass(frozen=True, slots=True)
class Text:
    """The same sentence in both languages."""

    zh: str
    en: str


@dataclass(frozen=True, slots=True)
class Answer:
    """A question of the request and the reader's answer to it, both as written."""

    question: str
    answer: str


@dataclass(frozen=True, slots=True)
class MachineLine:
    """One machine finding and what the reader made of it. verdict: accepted | rejected; reason: his words."""

    model: str
    version: str
    zh: str
    en: str
    probability: float
    verdict: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class CriticalLine:
    """The record of one critical finding (six fields); fields not yet known are empty or None."""

    finding: str
    found_at: datetime
    teller: str
    receiver: str = ""
    received_at: datetime | None = None
    means: str = ""
    read_back: str = ""
    action: str = ""


@dataclass(frozen=True, slots=True)
class ReportSheet:
    """Everything that the PDF prints.

    signed_at: the preview's instant, which the signature's own time confirms; sex: M, F, O or empty; study_at: as the
    device wrote it, local time of the clinic when naive; urgency: stat, urgent or routine.
    """

    center: Text
    clinic: Text
    title: Text
    report_no: str
    version: int
    patient_name: str
    patient_sex: str
    patient_birth_date: date | None
    patient_age_years: int | None
    patient_local_id: str
    exam: str
    modality: str
    body_part: str
    laterality: str
    study_at: datetime | None
    study_uid: str
    images: int
    accession: str
    urgency: str
    referring: str
    question: str
    history: str
    findings: str
    impression: str
    recommendation: str
    signer_name: str
    signer_licence: str
    certificate_serial: str
    signed_at: datetime
    zone: str = "Asia/Shanghai"
    answers: tuple[Answer, ...] = ()
    critical: tuple[CriticalLine, ...] = ()
    machine: tuple[MachineLine, ...] = ()
    notes: tuple[Text, ...] = ()  # doubts a reader of the report must know: identity unconfirmed ...
    replaces: int | None = None
    replaces_signed_at: datetime | None = None
    amend_reason: str = ""
    demo: bool = False
    qr_url: str = ""

    @property
    def content_sha256(self) -> str:
        """sha256 hex of the canonical JSON; stands in the row and in the PDF."""
        return content_digest(self)


def content_of(sheet: ReportSheet) -> dict[str, object]:
    """The content as JSON values, without what is only an address."""
    return {f.name: _plain(getattr(sheet, f.name)) for f in fields(sheet) if f.name not in _NOT_CONTENT}


def canonical_json(content: ReportSheet | dict[str, object]) -> bytes:
    """UTF-8, keys sorted, no spaces: the same content is the same bytes whatever the order of its keys."""
    values = content_of(content) if isinstance(content, ReportSheet) else content
    return json.dumps(values, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def content_digest(content: ReportSheet | dict[str, object]) -> str:
    """sha256 hex of the canonical JSON."""
    return hashlib.sha256(canonical_json(content)).hexdigest()


def _plain(value: object) -> object:
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, StrEnum):
        return value.value
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]  # pyright: ignore[reportUnknownVariableType]
    return value
