"""What this room keeps and shows, as frozen values. Instants are aware, UTC."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime

from center.codes import Service, Urgency
from center.identity import CaseId, ClinicId, LeaseToken
from center.patients import OtherIdentity
from center.ports import StoredRead, StudySummary
from worklist.lifecycle import AlertState, CaseMove, CaseState, DeliveryState, ReportState
from worklist.sheet import Text


# ---------------------------------------------------------------- requests
@dataclass(frozen=True, slots=True)
class RequestForm:
    """What a technician fills in. A walk-in needs the first five at most; the rest may stay empty.

    birth_date or age_years; sex: M, F, O or empty; study_uid: when written for a study that is here already.
    """

    local_id: str = ""
    name: str = ""
    sex: str = ""
    birth_date: date | None = None
    age_years: int | None = None
    exam: str = ""
    question: str = ""
    history: str = ""
    urgent: bool = False
    accession: str = ""
    referring: str = ""
    study_uid: str = ""


@dataclass(frozen=True, slots=True)
class Request:
    request_id: str
    clinic_id: ClinicId
    form: RequestForm
    written_by: str  # person_id
    written_at: datetime
    case_id: CaseId | None


# ---------------------------------------------------------------- the case
NO_TEXT = Text("", "")


@dataclass(frozen=True, slots=True)
class MachineFlag:
    """What the preliminary read says, for the list.

    kind: critical | present | uncertain | absent | stated (an ECG's statements) | measured (numbers only) | abstained
    | "" (no read yet); text: the finding or the reason; probability: of the leading finding, None where there is none.
    tier: red | orange | yellow | green of an ECG's critical rules, "" where none were asked.
    """

    kind: str = ""
    text: Text = NO_TEXT
    probability: float | None = None
    tier: str = ""


@dataclass(frozen=True, slots=True)
class CaseRow:
    """A case as the list shows it. ``flags``: request_missing, identity_unconfirmed, wider_pool, escalated,
    late_images, reopened, machine_critical.

    facts_n counts up whenever what a report prints of the case changes (images, identity, request): a preview made
    before is no longer what would be signed. version: the report in force, 0 when there is none.
    """

    case_id: CaseId
    clinic_id: ClinicId
    clinic_name: str
    clinic_name_en: str
    case_no: str
    study_uid: str
    service: Service
    state: CaseState
    urgency: Urgency
    due_at: datetime
    completed_at: datetime
    patient_id: str
    patient_name: str
    patient_pinyin: str
    patient_local_id: str
    patient_sex: str
    patient_birth_date: date | None
    patient_age_years: int | None
    modality: str
    exam: str
    body_part: str
    laterality: str
    images: int
    study_at: datetime | None
    accession: str
    referring: str
    question: str
    history: str
    flags: frozenset[str]
    machine: MachineFlag
    generation: int
    seen_generation: int
    facts_n: int
    version: int
    lease_n: int
    lease_by: str  # person_id of the holder, empty when nobody holds it
    lease_by_name: str
    lease_since: datetime | None
    lease_until: datetime | None
    opened_at: datetime | None
    final_at: datetime | None
    delivered_at: datetime | None
    receipted_at: datetime | None
    amend_reason: str = ""
    lease_token: str = field(default="", repr=False)
    others: tuple[OtherIdentity, ...] = ()  # whom else something names; patient_* are what its own images say

    def held_at(self, now: datetime) -> bool:
        """Somebody holds a lease that has not ended."""
        return bool(self.lease_by) and self.lease_until is not None and now < self.lease_until


@dataclass(frozen=True, slots=True)
class ListFilter:
    """What the list is narrowed to; empty means all.

    view: all | stat | mine | waiting | critical | finished | draft; text: name, pinyin, id, accession or case number.
    """

    view: str = "all"
    urgency: Urgency | None = None
    modality: str = ""
    service: Service | None = None
    clinic_id: str = ""
    flag: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True)
class CaseList:
    """rows: in the order of reading; total: how many the filter holds; counts: by view."""

    rows: tuple[CaseRow, ...]
    total: int
    counts: dict[str, int]
    at: datetime


@dataclass(frozen=True, slots=True)
class Lease:
    case_id: CaseId
    clinic_id: ClinicId
    token: LeaseToken
    until: datetime
    idle_s: int


@dataclass(frozen=True, slots=True)
class CaseEventRow:
    """One line of the case's history; ``event`` is a move's name, or ``note:...`` when the state stayed."""

    n: int
    event: str
    from_state: CaseState | None
    to_state: CaseState
    actor_name: str
    at: datetime
    reason: str


# ---------------------------------------------------------------- drafts and reports
@dataclass(frozen=True, slots=True)
class DraftContent:
    """What a reader writes. ``answers``: his words by question of the request, where the text does not answer it."""

    findings: str = ""
    impression: str = ""
    recommendation: str = ""
    answers: dict[str, str] = field(default_factory=dict)
    template: str = ""


@dataclass(frozen=True, slots=True)
class Draft:
    """version counts saves; preview_*: of the last preview, empty when there is none or it is out of date."""

    case_id: CaseId
    version: int
    content: DraftContent
    saved_at: datetime
    person_id: str
    orphan: bool
    preview_sha256: str
    preview_lang: str
    amend_reason: str


@dataclass(frozen=True, slots=True)
class Saved:
    version: int
    saved_at: datetime


@dataclass(frozen=True, slots=True)
class GateItem:
    """One thing the gate found. level: block | warn; jump: where in the editor it is put right
    (findings, impression, question, images, machine, identity).
    """

    key: str
    level: str
    zh: str
    en: str
    jump: str


@dataclass(frozen=True, slots=True)
class Preview:
    """The PDF exactly as it would be signed; its bytes are in the object store under sha256."""

    sha256: str
    content_sha256: str
    draft_version: int
    gate: tuple[GateItem, ...]

    @property
    def may_sign(self) -> bool:
        return not any(item.level == "block" for item in self.gate)


@dataclass(frozen=True, slots=True)
class ReportVersion:
    """A signed report; everything but status, sealed_* and withdrawn_* is fixed for ever."""

    clinic_id: ClinicId
    case_id: CaseId
    study_uid: str
    version: int
    status: ReportState
    title: Text
    report_no: str
    content: dict[str, object]  # canonical JSON values of the sheet
    content_sha256: str
    lang: str
    preview_sha256: str
    pdf_sha256: str
    sealed_sha256: str
    signer: str
    signer_name: str
    certificate_serial: str
    signed_at: datetime
    sealed_at: datetime | None
    replaces: int | None
    seen_sop_uids: tuple[str, ...]
    withdrawn_at: datetime | None
    withdraw_reason: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """The reader's answer to one machine finding. verdict: accepted | rejected."""

    read_id: str
    finding_key: str
    verdict: str
    reason: str
    person_id: str
    at: datetime


# ---------------------------------------------------------------- tasks, alerts, deliveries, notices
@dataclass(frozen=True, slots=True)
class Task:
    """Something a person must do. kind: read_now | phone | late_images | dispatch | identity;
    facts hold ids and numbers only.
    """

    task_id: str
    clinic_id: ClinicId
    case_id: CaseId
    case_no: str
    kind: str
    key: str
    for_role: str
    due_at: datetime
    made_at: datetime
    done_at: datetime | None
    done_by: str
    reason: str
    facts: dict[str, object]
    reading_clinic: str = ""  # who reads the case, on the dispatcher's board; empty when nobody is agreed
    reader: str = ""  # who holds it now, on the dispatcher's board


@dataclass(frozen=True, slots=True)
class AlertNotice:
    n: int
    step: int
    to: str
    means: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Alert:
    """A finding that a person marked critical, and who was told (six fields: finding, found_at, teller, receiver,
    received_at + means, read_back). next_at: when the ladder takes its next step; automatic: False means that nobody
    is called by machine.
    """

    alert_id: str
    clinic_id: ClinicId
    clinic_name: str
    duty_phone: str
    case_id: CaseId
    case_no: str
    finding: str
    level: int
    state: AlertState
    step: int
    steps_minutes: tuple[float, ...]
    found_at: datetime
    next_at: datetime | None
    teller: str
    receiver: str
    received_at: datetime | None
    means: str
    read_back: str
    mismatch: bool
    action: str
    refute_reason: str
    notices: tuple[AlertNotice, ...]
    patient_name: str  # empty for a dispatcher, who sees no names; so is what follows
    automatic: bool
    patient_local_id: str = ""
    patient_birth_date: date | None = None
    conflict: Text | None = None  # whom else something names, in one sentence


@dataclass(frozen=True, slots=True)
class ReadBack:
    """What came of a read-back: kept, or not kept because it does not say what the finding says."""

    matches: bool
    kept: bool
    alert: Alert


@dataclass(frozen=True, slots=True)
class Attempt:
    n: int
    at: datetime
    acknowledged: bool
    status: int | None
    note: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """One report version to one receiver: ``page`` or ``pacs:AETITLE``."""

    delivery_id: str
    clinic_id: ClinicId
    case_id: CaseId
    version: int
    recipient: str
    means: str  # page | dicom
    mandatory: bool
    state: DeliveryState
    attempts: int
    next_at: datetime | None
    acked_at: datetime | None
    opened_at: datetime | None
    note: str
    ledger: tuple[Attempt, ...] = ()


@dataclass(frozen=True, slots=True)
class ReportNotice:
    """What those who received or opened a version were told: kind amended | withdrawn."""

    notice_id: str
    clinic_id: ClinicId
    case_id: CaseId
    version: int
    kind: str
    recipient: str
    at: datetime
    seen_at: datetime | None


# ---------------------------------------------------------------- whole pages
@dataclass(frozen=True, slots=True)
class CaseDetail:
    """Everything the case's page shows to this actor.

    token: his own lease's, else empty. reads, verdicts and draft are empty for those who are not its readers.
    possible: moves that the state allows now (whether he may is the permit's question).
    """

    case: CaseRow
    request: Request | None
    token: str
    possible: tuple[CaseMove, ...]
    is_reader: bool
    questions: tuple[str, ...]
    reads: tuple[StoredRead, ...]
    verdicts: tuple[Verdict, ...]
    draft: Draft | None
    other_drafts: tuple[Draft, ...]
    gate: tuple[GateItem, ...]
    versions: tuple[ReportVersion, ...]
    priors: tuple[StudySummary, ...]
    prior_cases: dict[str, CaseRow]  # by study_uid, where a prior has a case within reach
    alerts: tuple[Alert, ...]
    deliveries: tuple[Delivery, ...]
    tasks: tuple[Task, ...]
    notices: tuple[ReportNotice, ...]
    events: tuple[CaseEventRow, ...]
    previous: StoredRead | None = None  # what the newest ECG read was compared with


@dataclass(frozen=True, slots=True)
class UploadRow:
    """A line of "my uploads": a study with its case, a request that waits for its study, or both.

    report: the version the clinic may read now (in force, else the last replaced one); None while there is none.
    """

    study: StudySummary | None
    case: CaseRow | None
    request: Request | None
    report: ReportVersion | None
    notices: tuple[ReportNotice, ...]
    may_correct_identity: bool


@dataclass(frozen=True, slots=True)
class BoardRow:
    """A case as the dispatcher sees it: no patient's name."""

    case_id: CaseId
    clinic_id: ClinicId
    clinic_name: str
    case_no: str
    service: Service
    modality: str
    state: CaseState
    urgency: Urgency
    due_at: datetime
    completed_at: datetime
    flags: frozenset[str]
    machine_kind: str
    lease_by_name: str
    lease_until: datetime | None
    version: int


@dataclass(frozen=True, slots=True)
class Board:
    """automatic: the center phones and texts by itself; False: a person must.

    stuck: jobs of the center that failed again and again.
    """

    cases: tuple[BoardRow, ...]
    tasks: tuple[Task, ...]
    alerts: tuple[Alert, ...]
    at: datetime
    automatic: bool
    stuck: int = 0


@dataclass(frozen=True, slots=True)
class QrPage:
    """What a stranger with the printed code learns: no patient data. status: current | replaced | withdrawn."""

    status: str
    version: int
    signed_at: datetime
    content_sha256: str
    current_version: int | None


@dataclass(frozen=True, slots=True)
class Signed:
    case_id: CaseId
    version: int
    pdf_sha256: str
    signed_at: datetime
