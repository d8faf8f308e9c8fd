"""The clinic's page as it prints it: alerts, what was told, and each case with how far it is; from values alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from center.patients import Description, age_on
from worklist import whose
from worklist.lifecycle import FINISHED, AlertState, CaseState, ReportState
from worklist.records import Alert, CaseRow, ReportNotice, Request, UploadRow
from worklist.sheet import Text
from worklist.web.list_view import STEP_WHO, exam_of

PAGE_SIZE = 50
VIEWS = ("today", "all", "rejected")
#: How long a request without a study is shown; later it is still matched by its accession number.
REQUEST_SHOWN = timedelta(days=7)
#: state of a line -> icon, tone, how many of the five steps are done.
LOOKS: dict[str, tuple[str, str, int]] = {
    "awaited": ("hour", "grey", 0),
    "receiving": ("recv", "grey", 1),
    "nothing_to_read": ("info", "grey", 0),
    "triaged": ("hour", "grey", 2),
    "queued": ("queue", "grey", 2),
    "leased": ("lock", "blue", 3),
    "reading": ("read", "blue", 3),
    "final": ("issued", "green", 4),
    "here": ("issued", "green", 5),
    "receipted": ("seen", "green", 5),
    "qc_rejected": ("back", "orange", 2),
    "cancelled": ("no", "grey", 0),
    "critical": ("crit", "red", 4),
}
_CALLING = frozenset({AlertState.RAISED, AlertState.NOTIFIED})
#: Nothing is left to do for these once their report was received.
_DONE = frozenset({"receipted", "cancelled", "nothing_to_read"})
_ORDER = ("withdrawn", "refuted", "amended")


@dataclass(frozen=True, slots=True)
class Report:
    """The version that the clinic may open. replaced: a newer one is being written or sealed; due: no receipt yet."""

    case_id: str
    version: int
    replaced: bool
    due: bool

    @property
    def href(self) -> str:
        return f"/clinic/reports/{self.case_id}/{self.version}.pdf"


@dataclass(frozen=True, slots=True)
class Line:
    """One case, study or request. key: of its row in the page; at: on the clinic's clocks; day: today | yesterday | "";
    who: holds it now; since: since when it stands so, None when that is not told; reason: why it was sent back.
    """

    key: str
    case_id: str
    study_uid: str
    at: datetime
    day: str
    exam: str
    images: int | None
    name: str
    sex: str
    age: int | None
    local_id: str
    state: str
    who: str
    since: datetime | None
    urgency: str
    report: Report | None
    reason: str
    doubtful: bool
    request_missing: bool
    may_correct: bool
    conflict: Text | None = None  # whom else something names, in one sentence

    @property
    def look(self) -> tuple[str, str, int]:
        return LOOKS[self.state]

    @property
    def fresh(self) -> bool:
        """The report is here and nobody has said so yet."""
        return self.report is not None and self.report.due

    @property
    def open(self) -> bool:
        """Something is still to come or to be done."""
        return self.state not in _DONE


@dataclass(frozen=True, slots=True)
class Tried:
    """A read-back that says something else than the finding, shown again as it was written."""

    alert_id: str
    read_back: str
    receiver: str
    action: str


@dataclass(frozen=True, slots=True)
class AlertCard:
    """calling: nobody has read it back; who_next: text key of whom the next step tells."""

    alert: Alert
    calling: bool
    may_answer: bool
    tried: Tried | None
    sex: str
    age: int | None
    who_next: str


@dataclass(frozen=True, slots=True)
class Told:
    """What became of a report that this clinic had. ids: one notice or several of the same; current: what replaces it,
    0 for none."""

    ids: tuple[str, ...]
    kind: str
    case_id: str
    name: str
    exam: str
    version: int
    current: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Clinic:
    clinic_id: str
    name: Text
    zone: str = "Asia/Shanghai"


@dataclass(frozen=True, slots=True)
class ClinicView:
    """clinics: more than one only for a person who works at several. day, text, total, newer, older: of the view "all"."""

    clinic: Clinic
    clinics: tuple[Clinic, ...]
    view: str
    alerts: tuple[AlertCard, ...]
    told: tuple[Told, ...]
    lines: tuple[Line, ...]
    rejected: int
    may_acknowledge: bool
    at: datetime
    day: str = ""
    text: str = ""
    total: int = 0
    newer: str = ""
    older: str = ""

    def href(self, view: str) -> str:
        return address(self.clinic.clinic_id if len(self.clinics) > 1 else "", view)

    @property
    def here(self) -> str:
        clinic = self.clinic.clinic_id if len(self.clinics) > 1 else ""
        return address(clinic, self.view, day=self.day, q=self.text)

    @property
    def clinic_query(self) -> str:
        """For links to this clinic's other pages."""
        return f"?clinic={self.clinic.clinic_id}" if len(self.clinics) > 1 else ""


def address(clinic_id: str = "", view: str = "today", **more: str) -> str:
    values = {"clinic": clinic_id, "view": "" if view == "today" else view, **more}
    query = urlencode({k: v for k, v in values.items() if v})
    return "/clinic" + (f"?{query}" if query else "")


# ---------------------------------------------------------------- lines
def lines(
    rows: Sequence[UploadRow], critical: frozenset[str], reasons: Mapping[str, str], now: datetime, zone: str
) -> tuple[Line, ...]:
    """critical: cases with an alert that nobody has read back; reasons: why a case was sent back, by case."""
    return tuple(_line(row, critical, reasons, now.astimezone(ZoneInfo(zone))) for row in rows)


def _line(row: UploadRow, critical: frozenset[str], reasons: Mapping[str, str], now: datetime) -> Line:
    at = _at(row, now)
    case, study, form = row.case, row.study, row.request.form if row.request else None
    report = _report(row)
    state = "critical" if case and case.case_id in critical else _state(row, report)
    common = {
        "case_id": case.case_id if case else "",
        "at": at,
        "day": _day(at, now),
        "state": state,
        "report": report,
        "reason": reasons.get(case.case_id, "") if case else "",
        "may_correct": row.may_correct_identity,
    }
    if case is not None:
        return Line(
            key=case.study_uid, study_uid=case.study_uid, exam=exam_of(case),
            images=None if case.service.value == "ecg" else case.images, name=case.patient_name, sex=case.patient_sex,
            age=case.patient_age_years, local_id=case.patient_local_id, who=case.lease_by_name, since=_since(case, state),
            urgency=case.urgency.value, doubtful="identity_unconfirmed" in case.flags,
            request_missing="request_missing" in case.flags and case.state not in FINISHED,
            conflict=whose.conflict(case), **common,
        )  # fmt: skip
    if study is not None:
        person = study.patient
        return Line(
            key=study.study_uid, study_uid=study.study_uid, exam=_study_exam(row), images=study.images,
            name=person.name, sex=person.sex, age=age_on(person.birth_date, at.date()), local_id=person.local_id, who="",
            since=study.last_arrival_at, urgency="routine", doubtful=bool(study.identity_notes), request_missing=False,
            conflict=whose.conflict_of(
                Description(person.name, person.birth_date, person.sex), person.local_id, study.others
            ),
            **common,
        )  # fmt: skip
    assert row.request is not None and form is not None
    age = age_on(form.birth_date, now.date()) if form.birth_date else form.age_years
    return Line(
        key=row.request.request_id, study_uid="", exam=form.exam, images=None, name=form.name, sex=form.sex, age=age,
        local_id=form.local_id, who="", since=row.request.written_at, urgency="urgent" if form.urgent else "routine",
        doubtful=False, request_missing=False, **common,
    )  # fmt: skip


def _at(row: UploadRow, now: datetime) -> datetime:
    """When it was examined, as the device says; one whose clock is off by more than a day is not believed."""
    zone = now.tzinfo
    arrived = row.study.first_arrival_at if row.study else row.case.completed_at if row.case else None
    said = row.study.study_at if row.study else row.case.study_at if row.case else None
    if said is not None:
        said = said.replace(tzinfo=zone) if said.tzinfo is None else said.astimezone(zone)
    if arrived is None:
        assert row.request is not None
        return row.request.written_at.astimezone(zone)
    believed = said is not None and abs(said - arrived) < timedelta(days=1)
    return said if said is not None and believed else arrived.astimezone(zone)


def _day(at: datetime, now: datetime) -> str:
    days = (now.date() - at.date()).days
    return {0: "today", 1: "yesterday"}.get(days, "")


def _state(row: UploadRow, report: Report | None) -> str:
    if row.study is None and row.case is None:
        return "awaited"
    if row.case is None:
        assert row.study is not None
        if row.study.state != "complete":
            return "receiving"
        return "triaged" if row.study.images else "nothing_to_read"
    state = row.case.state
    if state in FINISHED and report is not None and not report.replaced:
        return "here" if report.due else "receipted"
    return "final" if state in FINISHED else state.value


def _report(row: UploadRow) -> Report | None:
    case, version = row.case, row.report
    if case is None or version is None:
        return None
    replaced = version.version != case.version or version.status is not ReportState.FINAL
    due = case.state in (CaseState.FINAL, CaseState.DELIVERED) and not replaced
    return Report(case.case_id, version.version, replaced, due)


def _since(case: CaseRow, state: str) -> datetime | None:
    return {
        "triaged": case.completed_at,
        "queued": case.completed_at,
        "leased": case.lease_since,
        "reading": case.lease_since,
        "final": case.final_at,
        "here": case.delivered_at or case.final_at,
        "receipted": case.receipted_at,
    }.get(state)


def _study_exam(row: UploadRow) -> str:
    assert row.study is not None
    asked = row.request.form.exam if row.request else ""
    words = asked or row.study.description or row.study.body_part
    shown = "/".join(sorted(row.study.modalities))
    return words if words.upper().startswith(shown.upper()) and words else f"{shown} {words}".strip()


# ---------------------------------------------------------------- alerts and notices
def alert_cards(
    alerts: Sequence[Alert], rows: Sequence[UploadRow], *, may_answer: frozenset[str], tried: Tried | None
) -> tuple[AlertCard, ...]:
    """may_answer: clinics at which this person may read back."""
    people = {r.case.case_id: (r.case.patient_sex, r.case.patient_age_years) for r in rows if r.case}
    cards: list[AlertCard] = []
    for alert in alerts:
        sex, age = people.get(alert.case_id, ("", None))
        who = f"worklist.list.{STEP_WHO[min(alert.step, len(STEP_WHO) - 1)]}" if alert.next_at else ""
        again = tried if tried and tried.alert_id == alert.alert_id else None
        cards.append(AlertCard(alert, alert.state in _CALLING, alert.clinic_id in may_answer, again, sex, age, who))
    return tuple(cards)


def calling_cases(alerts: Sequence[Alert]) -> frozenset[str]:
    return frozenset(a.case_id for a in alerts if a.state in _CALLING)


def told(rows: Sequence[UploadRow]) -> tuple[Told, ...]:
    """What was told to the clinic and to this person: the same thing once, the gravest first."""
    out: dict[tuple[str, str, int], Told] = {}
    for row in rows:
        for notice in row.notices:
            if row.case is None or notice.kind not in _ORDER:
                continue
            key = (notice.case_id, notice.kind, notice.version)
            ids = (*(out[key].ids if key in out else ()), notice.notice_id)
            out[key] = _told(row.case, notice, ids)
    return tuple(sorted(out.values(), key=lambda t: (_ORDER.index(t.kind), t.at)))


def _told(case: CaseRow, notice: ReportNotice, ids: tuple[str, ...]) -> Told:
    return Told(
        ids, notice.kind, notice.case_id, case.patient_name, exam_of(case), notice.version,
        case.version if case.version > notice.version else 0, notice.at,
    )  # fmt: skip


# ---------------------------------------------------------------- the page
def today(found: Sequence[Line]) -> tuple[Line, ...]:
    """Today's, and older ones with which something is still to be done; what waits for its study comes last."""
    kept = [line for line in found if line.day == "today" or line.open]
    return tuple(sorted(kept, key=lambda line: (line.state == "awaited", -line.at.timestamp())))


def day_bounds(text: str, zone: str) -> tuple[datetime | None, datetime | None]:
    """From and until of the day ``YYYY-MM-DD`` on the clinic's clocks; nothing for anything else."""
    try:
        begin = datetime.combine(date.fromisoformat(text), datetime.min.time(), ZoneInfo(zone))
    except ValueError:
        return None, None
    return begin, begin + timedelta(days=1)


# ---------------------------------------------------------------- the request
SEXES = ("M", "F", "O")


def birth_from(text: str, today: date) -> tuple[date | None, int | None]:
    """(birth date, age) of ``1959-04-02``, ``19590402``, ``1959.4.2`` or ``67``; both None for an empty field.

    Raises ValueError for anything else.
    """
    bare = text.strip().removesuffix("岁").strip()
    if not bare:
        return None, None
    if bare.isdigit() and len(bare) <= 3:
        return None, int(bare)
    digits = (
        bare if bare.isdigit() else "".join(f"{int(p):02}" for p in bare.replace(".", "-").replace("/", "-").split("-"))
    )
    if len(digits) != 8:
        raise ValueError(text)
    born = date(int(digits[:4]), int(digits[4:6]), int(digits[6:]))
    if not date(1880, 1, 1) <= born <= today + timedelta(days=1):
        raise ValueError(text)
    return born, None


@dataclass(frozen=True, slots=True)
class RequestView:
    """The form, empty or as it was sent; wrong: the field that was refused; study: what it is written for."""

    clinic: Clinic
    clinics: tuple[Clinic, ...]
    values: Mapping[str, str]
    study: Line | None
    wrong: str = ""
    trouble: Text | None = None


@dataclass(frozen=True, slots=True)
class IdentityView:
    """Whose the study is said to be, and the form to put it right."""

    clinic: Clinic
    line: Line
    birth: str
    source: str
    values: Mapping[str, str]
    wrong: str = ""
    trouble: Text | None = None


@dataclass(frozen=True, slots=True)
class Version:
    """state: here | replaced."""

    case_id: str
    version: int
    state: str
    signed_at: datetime
    signer: str

    @property
    def href(self) -> str:
        return f"/clinic/reports/{self.case_id}/{self.version}.pdf"


@dataclass(frozen=True, slots=True)
class CaseView:
    """One case as its clinic sees it. possible: cancel, urgent, stat. is_withdrawn: a report was, and none is in force."""

    clinic: Clinic
    clinics: tuple[Clinic, ...]
    line: Line
    case: CaseRow
    request: Request | None
    versions: tuple[Version, ...]
    alerts: tuple[AlertCard, ...]
    possible: tuple[str, ...]
    answered: tuple[Alert, ...] = ()
    is_withdrawn: bool = False
