"""What has happened: frozen values, kept as rows of the transaction that made them true.

Payloads hold ids and counts, never names.  ``key`` makes an event unique for its clinic and kind: made again, it is
the same event.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import ClassVar

from center.identity import ClinicId


@dataclass(frozen=True, slots=True)
class Event:
    """Base of all events; ``v`` is the payload's version."""

    v: ClassVar[int] = 1
    clinic_id: ClinicId

    @property
    def kind(self) -> str:
        return type(self).__name__

    @property
    def key(self) -> str:
        raise NotImplementedError

    @property
    def priority(self) -> int:
        """Of the jobs that act on it; the higher goes first."""
        return 0

    @property
    def payload(self) -> dict[str, str | int | None]:
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name != "clinic_id"}


@dataclass(frozen=True, slots=True)
class StudyCompleted(Event):
    """All of a study's objects are here, as far as anyone can tell (gateway's completion rule)."""

    study_uid: str
    generation: int  # 1 the first time

    @property
    def key(self) -> str:
        return f"{self.study_uid}:{self.generation}"


@dataclass(frozen=True, slots=True)
class StudyExtended(Event):
    """More objects came after completion; ``generation`` counts up."""

    study_uid: str
    generation: int
    added: int

    @property
    def key(self) -> str:
        return f"{self.study_uid}:{self.generation}"


@dataclass(frozen=True, slots=True)
class IdentityCorrected(Event):
    """The clinic put right which patient a study is of."""

    study_uid: str
    number: int

    @property
    def key(self) -> str:
        return f"{self.study_uid}:{self.number}"


@dataclass(frozen=True, slots=True)
class IdentityDoubted(Event):
    """Another study under this one's number came to name another person, or no longer does."""

    study_uid: str
    by_study_uid: str
    number: int  # how often that one's identity was put right

    @property
    def key(self) -> str:
        return f"{self.study_uid}:{self.by_study_uid}:{self.number}"


@dataclass(frozen=True, slots=True)
class CaseOpened(Event):
    case_id: str
    study_uid: str

    @property
    def key(self) -> str:
        return self.case_id


@dataclass(frozen=True, slots=True)
class CaseExtended(Event):
    case_id: str
    study_uid: str
    generation: int

    @property
    def key(self) -> str:
        return f"{self.case_id}:{self.generation}"


@dataclass(frozen=True, slots=True)
class PreliminaryReadMade(Event):
    """A model read a study, or abstained. ``critical`` counts findings that ask for a human read now."""

    study_uid: str
    model: str
    version: str
    input_digest: str
    outcome: str
    critical: int

    @property
    def key(self) -> str:
        return f"{self.study_uid}:{self.model}:{self.version}:{self.input_digest}"

    @property
    def priority(self) -> int:
        """A critical finding waits for nothing that is not one."""
        return 10 if self.critical else 0


@dataclass(frozen=True, slots=True)
class ReportSigned(Event):
    case_id: str
    study_uid: str
    version: int

    @property
    def key(self) -> str:
        return f"{self.case_id}:{self.version}"


@dataclass(frozen=True, slots=True)
class ReportSealed(Event):
    """The signed PDF bears the center's time-stamp; from here it is filed and delivered."""

    case_id: str
    study_uid: str
    version: int

    @property
    def key(self) -> str:
        return f"{self.case_id}:{self.version}"


@dataclass(frozen=True, slots=True)
class ReportWithdrawn(Event):
    case_id: str
    study_uid: str
    version: int

    @property
    def key(self) -> str:
        return f"{self.case_id}:{self.version}"


@dataclass(frozen=True, slots=True)
class DeliveryAcknowledged(Event):
    case_id: str
    version: int
    recipient: str

    @property
    def key(self) -> str:
        return f"{self.case_id}:{self.version}:{self.recipient}"


@dataclass(frozen=True, slots=True)
class ReportOpened(Event):
    """A person of the clinic opened this version for the first time."""

    case_id: str
    version: int

    @property
    def key(self) -> str:
        return f"{self.case_id}:{self.version}"


ALL: tuple[type[Event], ...] = (
    StudyCompleted, StudyExtended, IdentityCorrected, IdentityDoubted, CaseOpened, CaseExtended, PreliminaryReadMade,
    ReportSigned, ReportSealed, ReportWithdrawn, DeliveryAcknowledged, ReportOpened,
)  # fmt: skip
BY_KIND: dict[str, type[Event]] = {event.__name__: event for event in ALL}


def event_from(kind: str, clinic_id: str, payload: dict[str, object]) -> Event:
    """The event that a job's payload holds; unknown fields of a later version are left out."""
    cls = BY_KIND[kind]
    known = {f.name for f in fields(cls)} - {"clinic_id"}
    return cls(clinic_id=ClinicId(clinic_id), **{k: v for k, v in payload.items() if k in known})  # type: ignore[arg-type]
