"""A case as its pages print it: for its holder (reading) and for everybody else who may look at it (held)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from urllib.parse import quote, urlencode

from center.codes import Origin, Service
from center.identity import SYSTEM, Actor
from center.permits import Act, permitted
from center.ports import InstanceRef, StoredRead, StudySummary
from center.reads import (
    Code,
    Critical,
    Decision,
    DeviceLine,
    EvidenceLine,
    Finding,
    Measurement,
    Outcome,
    PreliminaryRead,
    Reason,
)
from worklist import gate, routing
from worklist.lifecycle import FINISHED, HELD, AlertState, CaseMove, CaseState, ReportState
from worklist.moves import thing
from worklist.records import (
    Alert,
    CaseDetail,
    CaseEventRow,
    CaseRow,
    Delivery,
    Draft,
    DraftContent,
    GateItem,
    ReportVersion,
    Task,
    Verdict,
)
from worklist.sheet import Text
from worklist.templates import ReportTemplate
from worklist.web.ecg_view import COLUMNS, EcgView, ecg_view
from worklist.web.list_view import Banner, RowView, banner, row_view

#: Classes without a picture of their own: nothing to show while the viewer loads.
_NO_PICTURE = frozenset({"SR", "PR", "KO", "DOC", "ECG", "SEG", "RTSTRUCT", "REG"})
#: One-tap reasons for rejecting a machine's finding, as text keys below worklist.reading.
REASONS = {
    Service.IMAGING: ("why_overlap", "why_nipple", "why_skinfold", "why_old", "why_artefact", "why_quality"),
    Service.ECG: ("why_noise", "why_leads", "why_pacing", "why_old", "why_variant"),
}
QUALITY = {
    Service.IMAGING: ("bad_position", "bad_exposure", "bad_motion", "bad_part", "bad_object"),
    Service.ECG: ("bad_noise", "bad_leads", "bad_off", "bad_short"),
}
PHRASES = {
    Service.IMAGING: tuple(f"phrase_film_{n}" for n in range(1, 7)),
    Service.ECG: tuple(f"phrase_ecg_{n}" for n in range(1, 7)),
}
_OPEN_ALERTS = frozenset({AlertState.RAISED, AlertState.NOTIFIED, AlertState.ACKNOWLEDGED})


@dataclass(frozen=True, slots=True)
class FindingView:
    """What a person answers. probability: None where a rule was met; statement: an ECG's, with its evidence."""

    key: str
    name: Text
    probability: float | None
    decision: str
    critical: bool
    verdict: str
    reason: str
    post_url: str
    statement: bool = False
    evidence: tuple[EvidenceLine, ...] = ()
    source: str = ""
    codes: tuple[Code, ...] = ()


@dataclass(frozen=True, slots=True)
class ReadView:
    """One model's newest read. shown: what waits for an answer or has one; absent: what it looked for in vain."""

    read_id: str
    model: str
    version: str
    made_at: datetime
    outcome: str
    reason: Text
    shown: tuple[FindingView, ...]
    absent: tuple[FindingView, ...]
    measurements: tuple[Measurement, ...]
    critical: Critical | None = None
    device: tuple[DeviceLine, ...] = ()
    issues: tuple[Reason, ...] = ()


@dataclass(frozen=True, slots=True)
class PriorView:
    study_uid: str
    at: datetime | None
    exam: str
    case_id: str
    version: int
    service: str


@dataclass(frozen=True, slots=True)
class QuestionView:
    words: str
    answer: str
    answered: bool


@dataclass(frozen=True, slots=True)
class VersionView:
    version: ReportVersion
    in_force: bool
    href: str


@dataclass(frozen=True, slots=True)
class AlertView:
    alert: Alert
    may_refute: bool


@dataclass(frozen=True, slots=True)
class EventView:
    """One line of the history; by: empty for the center's own processes."""

    event: str
    at: datetime
    by: str
    reason: str


@dataclass(frozen=True, slots=True)
class HeldView:
    """What anybody who reads for the clinic sees of a case. can: names of what the state and his rights allow now
    (open, take, amend, withdraw, raise)."""

    row: RowView
    case: CaseRow
    birth_date: date | None
    held_until: datetime | None
    questions: tuple[str, ...]
    reads: tuple[ReadView, ...]
    priors: tuple[PriorView, ...]
    versions: tuple[VersionView, ...]
    deliveries: tuple[Delivery, ...]
    alerts: tuple[AlertView, ...]
    tasks: tuple[Task, ...]
    events: tuple[EventView, ...]
    can: frozenset[str]
    finished: bool
    banners: tuple[Banner, ...] = ()


@dataclass(frozen=True, slots=True)
class ReadingView:
    """The holder's page. viewer_url, picture_url: empty for a recording; sheet_url: empty for a film."""

    row: RowView
    case: CaseRow
    token: str
    is_ecg: bool
    lease_until: datetime | None
    opened: bool
    viewer_url: str
    compared: str
    picture_url: str
    sheet_url: str
    questions: tuple[QuestionView, ...]
    reads: tuple[ReadView, ...]
    keyed: tuple[str, str]  # read and finding that the keys A and X belong to
    reasons: tuple[str, ...]
    quality: tuple[str, ...]
    phrases: tuple[str, ...]
    priors: tuple[PriorView, ...]
    templates: tuple[ReportTemplate, ...]
    content: DraftContent
    draft_version: int
    saved_at: datetime | None
    others: tuple[Draft, ...]
    gate: tuple[GateItem, ...]
    blocked: int
    late: bool
    amends: int
    amend_reason: str
    banners: tuple[Banner, ...]
    guesses: tuple[FindingView, ...]
    alerts: tuple[AlertView, ...]
    critical_choices: tuple[tuple[str, Text], ...]
    accepted: tuple[Text, ...]  # machine findings whose words he may put into his text
    ecg: EcgView | None = None
    beside: tuple[tuple[str, int], ...] = ()  # what came that is nothing to read, and how many of each


def held_view(detail: CaseDetail, actor: Actor) -> HeldView:
    case = detail.case
    return HeldView(
        row=row_view(case, actor, _waiting(detail)),
        case=case,
        birth_date=case.patient_birth_date,
        held_until=case.lease_until if case.state in HELD else None,
        questions=detail.questions,
        reads=_reads(detail),
        priors=_priors(detail),
        versions=tuple(
            VersionView(v, v.version == case.version and v.status is ReportState.FINAL, f"/cases/{case.case_id}/reports/{v.version}.pdf")
            for v in detail.versions
        ),
        deliveries=detail.deliveries,
        alerts=_alerts(detail, actor),
        tasks=tuple(t for t in detail.tasks if t.done_at is None and t.for_role == "reader"),
        events=tuple(_event(e) for e in detail.events),
        can=_can(detail, actor),
        finished=case.state in FINISHED,
        banners=_banners(detail),
    )  # fmt: skip


def reading_view(
    detail: CaseDetail,
    actor: Actor,
    templates: Sequence[ReportTemplate],
    instances: Sequence[InstanceRef],
    compare: str = "",
) -> ReadingView:
    """compare: study_uid of a prior to show beside; one that is none of his priors is left out."""
    case, draft = detail.case, detail.draft
    content = draft.content if draft else DraftContent()
    is_ecg = case.service is Service.ECG
    priors = _priors(detail)
    compared = compare if compare in {p.study_uid for p in priors} and not is_ecg else ""
    reads = _reads(detail)
    gaps = gate.unanswered(content, case.question)
    undecided = [(r.read_id, f) for r in reads for f in r.shown if not f.verdict]
    return ReadingView(
        row=row_view(case, actor, _waiting(detail)),
        case=case,
        token=detail.token,
        is_ecg=is_ecg,
        lease_until=case.lease_until,
        opened=case.state is CaseState.READING,
        viewer_url="" if is_ecg else viewer_url(case, compared),
        compared=compared,
        picture_url="" if is_ecg else picture_url(case, instances),
        sheet_url=f"/ecg/sheet/{quote(case.clinic_id)}/{quote(case.study_uid)}" if is_ecg else "",
        questions=tuple(QuestionView(q, content.answers.get(q, ""), q not in gaps) for q in detail.questions),
        reads=reads,
        keyed=(undecided[0][0], undecided[0][1].key) if undecided else ("", ""),
        reasons=REASONS[case.service],
        quality=QUALITY[case.service],
        phrases=PHRASES[case.service],
        priors=priors,
        templates=tuple(templates),
        content=content,
        draft_version=draft.version if draft else 0,
        saved_at=draft.saved_at if draft and draft.version else None,
        others=tuple(d for d in detail.other_drafts if d.person_id == actor.person_id and d.content != content)[:5],
        gate=detail.gate,
        blocked=sum(1 for item in detail.gate if item.level == "block"),
        late=case.generation > case.seen_generation,
        amends=case.version if draft and case.version else 0,
        amend_reason=next((e.reason for e in reversed(detail.events) if e.event == CaseMove.REOPEN), ""),
        banners=_banners(detail),
        guesses=tuple(f for _, f in undecided if f.critical),
        alerts=_alerts(detail, actor),
        critical_choices=tuple(
            (f.key, f.name)
            for r in reads
            for f in r.shown
            if f.verdict != "rejected" and f.decision == Decision.PRESENT
        ),
        accepted=tuple(f.name for r in reads for f in r.shown if f.verdict == "accepted"),
        ecg=ecg_view(detail, instances) if is_ecg else None,
        beside=beside(instances),
    )


def beside(instances: Sequence[InstanceRef]) -> tuple[tuple[str, int], ...]:
    """What came that is nothing to read, by what it is."""
    came = Counter(i.beside for i in instances if i.beside and i.origin is not Origin.RESULT)
    return tuple(sorted(came.items()))


def viewer_url(case: CaseRow, compared: str = "") -> str:
    """OHIF under this case; with a prior, side by side."""
    uids = ",".join(filter(None, (case.study_uid, compared)))
    query = {"case": case.case_id, "StudyInstanceUIDs": uids}
    if compared:
        query["hangingProtocolId"] = "@ohif/hpCompare"
    return "/ohif/viewer?" + urlencode(query, safe=",@/")


def picture_url(case: CaseRow, instances: Sequence[InstanceRef]) -> str:
    """A JPEG of the middle image, shown until the viewer has drawn; empty when there is none."""
    shown = [i for i in instances if i.modality not in _NO_PICTURE and not i.beside and i.origin.value != "result"]
    if not shown:
        return ""
    one = shown[len(shown) // 2]
    path = f"studies/{quote(case.study_uid)}/series/{quote(one.series_uid)}/instances/{quote(one.sop_uid)}"
    return f"/cases/{quote(case.case_id)}/dicom-web/{path}/rendered?viewport=1024,1024"


# ---------------------------------------------------------------- inside
def _reads(detail: CaseDetail) -> tuple[ReadView, ...]:
    answers = {(v.read_id, v.finding_key): v for v in detail.verdicts}
    return tuple(_read(r, detail.case.case_id, answers) for r in routing.latest_of_each(detail.reads))


def _read(stored: StoredRead, case_id: str, answers: dict[tuple[str, str], Verdict]) -> ReadView:
    read = stored.read
    found = read.answerable if read.outcome is Outcome.READ else read.critical_findings
    views = [_finding(stored.read_id, f, case_id, answers.get((stored.read_id, f.key)), read) for f in found]
    asked = [v for v in views if v.decision != Decision.ABSENT or v.verdict]
    reason = Text(read.reason.zh, read.reason.en) if read.reason else Text("", "")
    return ReadView(
        read_id=stored.read_id,
        model=read.model,
        version=read.version,
        made_at=stored.made_at,
        outcome=read.outcome.value,
        reason=reason,
        shown=tuple(sorted(asked, key=_gravity)),
        absent=tuple(sorted((v for v in views if v not in asked), key=_gravity)),
        measurements=_main(read) if read.outcome is Outcome.READ else (),
        critical=read.critical,
        device=read.device,
        issues=read.issues,
    )


def _main(read: PreliminaryRead) -> tuple[Measurement, ...]:
    """All that was measured; of an ECG the interval and axis table's, the rest is on its own page."""
    shown = {key for _, key, _ in COLUMNS}
    return tuple(m for m in read.measurements if read.kind != "ecg" or (m.key in shown and not m.lead))


def _gravity(view: FindingView) -> tuple[bool, bool, float]:
    """The gravest first; an ECG's statements keep the order in which they were made, rhythm first."""
    likely = 0.0 if view.statement or view.probability is None else -view.probability
    return not view.critical, view.decision != Decision.PRESENT, likely


def _finding(
    read_id: str, finding: Finding, case_id: str, verdict: Verdict | None, read: PreliminaryRead
) -> FindingView:
    said = next((s for s in read.statements if s.key == finding.key), None)
    rules = read.critical.rules if read.critical and finding.by_rule else ()
    rule = next((r for r in rules if finding.key == f"critical:{r.rule}"), None)
    why = said or rule
    return FindingView(
        key=finding.key,
        name=Text(finding.zh, finding.en),
        probability=None if finding.by_rule else finding.probability,
        decision=finding.decision.value,
        critical=finding.critical and finding.decision is Decision.PRESENT,
        verdict=verdict.verdict if verdict else "",
        reason=verdict.reason if verdict else "",
        post_url=f"/cases/{quote(case_id)}/verdicts/{quote(read_id, safe='')}/{quote(finding.key, safe='')}",
        statement=said is not None,
        evidence=why.evidence if why else (),
        source=rule.source if rule else "",
        codes=finding.codes,
    )


def _priors(detail: CaseDetail) -> tuple[PriorView, ...]:
    return tuple(_prior(p, detail.prior_cases.get(p.study_uid)) for p in detail.priors)


def _prior(study: StudySummary, case: CaseRow | None) -> PriorView:
    modality = "/".join(sorted(study.modalities))
    words = (case.exam if case else "") or study.description or study.body_part
    return PriorView(
        study_uid=study.study_uid,
        at=study.study_at,
        exam=f"{modality} {words}".strip(),
        case_id=case.case_id if case else "",
        version=case.version if case else 0,
        service=Service.ECG if modality == "ECG" else Service.IMAGING,
    )


def _event(row: CaseEventRow) -> EventView:
    return EventView(row.event, row.at, "" if row.actor_name == SYSTEM.name else row.actor_name, row.reason)


def _waiting(detail: CaseDetail) -> frozenset[str]:
    unanswered = any(a.state in (AlertState.RAISED, AlertState.NOTIFIED) for a in detail.alerts)
    return frozenset({detail.case.case_id}) if unanswered and detail.case.state in FINISHED else frozenset()


def _banners(detail: CaseDetail) -> tuple[Banner, ...]:
    clinic = Text(detail.case.clinic_name, detail.case.clinic_name_en or detail.case.clinic_name)
    waiting = [a for a in detail.alerts if a.state in (AlertState.RAISED, AlertState.NOTIFIED)]
    return tuple(banner(a, clinic) for a in waiting[:2])


def _alerts(detail: CaseDetail, actor: Actor) -> tuple[AlertView, ...]:
    may = permitted(actor, Act.ALERT_RAISE, thing(detail.case))
    return tuple(AlertView(a, may and a.state in _OPEN_ALERTS) for a in detail.alerts)


def _can(detail: CaseDetail, actor: Actor) -> frozenset[str]:
    case, about = detail.case, thing(detail.case)
    out: set[str] = set()
    if detail.token:
        out.add("open")
    elif CaseMove.TAKE in detail.possible and permitted(actor, Act.LEASE_TAKE, about):
        out.add("take")
    if CaseMove.REOPEN in detail.possible and permitted(actor, Act.REPORT_AMEND, about):
        out.add("amend")
    if case.version and CaseMove.WITHDRAW in detail.possible and permitted(actor, Act.REPORT_WITHDRAW, about):
        out.add("withdraw")
    if case.state in FINISHED and permitted(actor, Act.ALERT_RAISE, about):
        out.add("raise")
    return frozenset(out)
