"""What rooms need of each other and of the world: small Protocols, filled in ``portal.wiring``, and their values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import BinaryIO, Protocol

from center.codes import Origin, Service, Visibility
from center.identity import Actor, CaseId, ClinicId
from center.patients import OtherIdentity, PatientIdentity
from center.reads import Abstention, ModelInput, PreliminaryRead


class Clock(Protocol):
    def now(self) -> datetime:
        """The present instant, aware, UTC, corrected against the database."""
        ...


class Identifiers(Protocol):
    def new(self) -> str:
        """A fresh UUID as text."""
        ...

    def token(self) -> str:
        """A fresh secret of at least 128 bits, URL-safe."""
        ...


# ---------------------------------------------------------------- objects
@dataclass(frozen=True, slots=True)
class ObjectInfo:
    sha256: str
    bytes: int


class ObjectStore(Protocol):
    """Objects named by their content's SHA-256 (hex). Raises Unavailable when the store is away."""

    def put(self, sha256: str, stream: BinaryIO, size: int) -> None:
        """Durable when it returns; putting what is there already changes nothing. Raises Mismatched on another hash."""
        ...

    def open_range(self, sha256: str, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        """The bytes in pieces. Raises NotFound."""
        ...

    def stat(self, sha256: str) -> ObjectInfo | None: ...

    def delete(self, sha256: str) -> None:
        """Gone afterwards, whether it was there or not."""
        ...

    def list(self) -> Iterator[str]: ...


# ---------------------------------------------------------------- the door
@dataclass(frozen=True, slots=True)
class Provenance:
    """How an instance came: by whom, over which door, for which clinic.

    association: id of the DIMSE association, or None. expected_*: what command or address said it would be.
    """

    clinic_id: ClinicId
    door: str  # dimse | stow | upload | result
    actor: Actor
    origin: Origin = Origin.RECEIVED
    visibility: Visibility = Visibility.CLINIC
    association: str | None = None
    peer: str = ""
    transfer_syntax: str = ""
    expected_study_uid: str | None = None
    expected_sop_class_uid: str | None = None
    expected_sop_instance_uid: str | None = None
    complete_on_arrival: bool = False  # a one-file ECG, a finished web upload


@dataclass(frozen=True, slots=True)
class Stored:
    """Durable and indexed."""

    study_uid: str
    sop_class_uid: str
    sop_uid: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Same:
    """The same data set is here already; nothing was written."""

    study_uid: str
    sop_class_uid: str
    sop_uid: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Quarantined:
    """Same UID, other data set: kept aside; ``difference`` names tags, no values."""

    study_uid: str
    sop_class_uid: str
    sop_uid: str
    sha256: str
    difference: tuple[str, ...]


class Ingest(Protocol):
    def accept(self, stream: BinaryIO, provenance: Provenance) -> Stored | Same | Quarantined:
        """Takes one Part 10 stream in; durable when it returns.

        Raises Unreadable, Mismatched, NoRoom, OverLimit, Unavailable.
        """
        ...


# ---------------------------------------------------------------- studies
@dataclass(frozen=True, slots=True)
class InstanceRef:
    series_uid: str
    sop_uid: str
    sop_class_uid: str
    transfer_syntax: str
    sha256: str
    modality: str
    origin: Origin
    visibility: Visibility
    frames: int
    bytes: int
    beside: str = ""  # what it is where it is nothing to read: report, key_objects, presentation ...; empty: it is read


@dataclass(frozen=True, slots=True)
class StudySummary:
    """A study as the other rooms know it.

    modalities: of what is read, where anything is.  beside: how many of its instances are nothing to read.
    patient: whom its own images name; others: whom else something names, until the clinic has put it right.
    identity_notes: why the identity is doubtful, as codes (``other_name``, ``other_birth_date``, ``other_sex``,
    ``other_id``, ``other_person``, ``placeholder_id``).
    """

    clinic_id: ClinicId
    study_uid: str
    patient: PatientIdentity
    accession: str
    modalities: frozenset[str]
    description: str
    body_part: str
    study_at: datetime | None  # naive local time of the clinic as the device wrote it, or aware
    first_arrival_at: datetime
    last_arrival_at: datetime
    completed_at: datetime | None
    instances: int
    series: int
    laterality: str = ""
    referring: str = ""
    state: str = "arriving"  # arriving | complete
    generation: int = 0
    source: str = ""  # calling AE title or door
    identity_notes: tuple[str, ...] = ()
    questions: str = ""
    others: tuple[OtherIdentity, ...] = ()
    beside: int = 0

    @property
    def images(self) -> int:
        """How many of its objects are read; the others lie beside it."""
        return self.instances - self.beside


class StudyIndex(Protocol):
    """Studies of the clinics that this actor may see. Raises NotFound."""

    def summary(self, actor: Actor, clinic_id: ClinicId, study_uid: str) -> StudySummary: ...

    def instances(self, actor: Actor, clinic_id: ClinicId, study_uid: str) -> Sequence[InstanceRef]: ...

    def priors(self, actor: Actor, clinic_id: ClinicId, study_uid: str, limit: int = 20) -> Sequence[StudySummary]:
        """Other studies of the same patient at the same clinic, latest first; none for a placeholder id, none of another
        person under the same number."""
        ...

    def recent(self, actor: Actor, clinic_id: ClinicId, limit: int = 50) -> Sequence[StudySummary]:
        """What arrived lately at a clinic, latest first."""
        ...

    def read_bytes(self, actor: Actor, clinic_id: ClinicId, sop_uid: str) -> bytes:
        """A whole instance as a Part 10 file, wherever its bytes are. Raises NotFound, Unavailable."""
        ...


# ---------------------------------------------------------------- access through a case
@dataclass(frozen=True, slots=True)
class Grant:
    """What a reader may see through a case: exactly this study and its linked priors."""

    case_id: CaseId
    clinic_id: ClinicId
    service: Service
    study_uid: str
    prior_study_uids: tuple[str, ...]
    holds_lease: bool

    @property
    def study_uids(self) -> tuple[str, ...]:
        return (self.study_uid, *self.prior_study_uids)


class CaseAccess(Protocol):
    def through_case(self, actor: Actor, case_id: CaseId) -> Grant:
        """What this reader may see of the case now. Raises NotFound, Forbidden, HeldByAnother."""
        ...

    def may_see(self, actor: Actor, clinic_id: ClinicId, study_uid: str) -> Grant | None:
        """The grant of a reader for a bare study, by its case; None when there is none."""
        ...


# ---------------------------------------------------------------- models
class ModelInputs(Protocol):
    def kind(self, clinic_id: ClinicId, study_uid: str) -> str:
        """``ecg`` where the study holds a recording, else ``film``; nothing is loaded."""
        ...

    def of(self, clinic_id: ClinicId, study_uid: str) -> ModelInput | Abstention:
        """The study as a model gets it, or why not. Raises Unavailable."""
        ...


@dataclass(frozen=True, slots=True)
class StoredRead:
    """A preliminary read with where and when it was made."""

    read_id: str
    clinic_id: ClinicId
    study_uid: str
    made_at: datetime
    sop_instance_uids: tuple[str, ...]
    read: PreliminaryRead


class Reads(Protocol):
    def of(self, clinic_id: ClinicId, study_uid: str) -> Sequence[StoredRead]:
        """All reads of a study, latest first."""
        ...


# ---------------------------------------------------------------- reports
@dataclass(frozen=True, slots=True)
class SealedReport:
    """A report version with its sealed PDF: what the gateway files and sends."""

    clinic_id: ClinicId
    case_id: CaseId
    study_uid: str
    version: int
    title: str
    pdf: bytes
    sealed_sha256: str
    signer_name: str
    signed_at: datetime
    replaces: int | None
    seen_sop_uids: tuple[str, ...] = ()


class Reports(Protocol):
    def sealed(self, clinic_id: ClinicId, case_id: CaseId, version: int) -> SealedReport:
        """Raises NotFound."""
        ...


@dataclass(frozen=True, slots=True)
class SendOutcome:
    """What a peer answered to one delivery. ``status`` is the DIMSE status, None when no answer came."""

    acknowledged: bool
    status: int | None
    note: str
    retry: bool = True


class Peers(Protocol):
    def send(self, clinic_id: ClinicId, peer_aet: str, delivery_key: str, sop_uid: str) -> SendOutcome:
        """One C-STORE of one instance to a registered peer; never raises for what the peer does."""
        ...

    def destinations(self, clinic_id: ClinicId) -> Sequence[str]:
        """AE titles of the clinic's peers that have an address to send to, in order."""
        ...


# ---------------------------------------------------------------- signing
@dataclass(frozen=True, slots=True)
class Signature:
    """A PDF signed by a person: its bytes, digest and the certificate's serial."""

    pdf: bytes
    sha256: str
    certificate_serial: str
    signed_at: datetime


class Signer(Protocol):
    def sign(self, pdf: bytes, person_id: str, secret: str, reason: str) -> Signature:
        """PAdES B-B over exactly these bytes. Raises Forbidden when the secret does not open the key."""
        ...

    def confirm(self, person_id: str, secret: str) -> None:
        """The secret is this person's, for an act as grave as signing. Raises Forbidden."""
        ...


class Sealer(Protocol):
    def stamp(self, pdf: bytes) -> bytes:
        """The signed PDF with the center's document time-stamp appended; the input stays its prefix."""
        ...


# ---------------------------------------------------------------- telling people
@dataclass(frozen=True, slots=True)
class Notice:
    """A message to a person or a duty phone: template key and ids only, no patient data."""

    clinic_id: ClinicId
    to: str
    means: str  # page | sms | phone
    text_key: str
    facts: dict[str, str] = field(default_factory=dict)


class Notifier(Protocol):
    automatic: bool

    def tell(self, notice: Notice) -> None: ...
