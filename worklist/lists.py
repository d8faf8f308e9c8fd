"""The reader's list, the whole case for its page, and its time line: read, never changed here."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from center.characters import shown
from center.database import Row, Work
from center.identity import Actor, CaseId, ClinicId, system_for
from center.permits import Act, permit, permitted
from center.ports import StoredRead, StudySummary
from worklist import alerts, drafts, gate, leases, lifecycle, moves, reports, routing, store
from worklist.lifecycle import FINISHED, HELD, CaseState
from worklist.parts import Parts
from worklist.records import CaseDetail, CaseList, CaseRow, Draft, ListFilter, ReportNotice, Request, Task, Verdict
from worklist.store import SQL

_ACTIVE = (CaseState.QUEUED, CaseState.LEASED, CaseState.READING)
#: What each view of the list holds: states, and more of the query's conditions.
VIEWS: dict[str, tuple[tuple[CaseState, ...], dict[str, Any]]] = {
    "all": (_ACTIVE, {}),
    "stat": (_ACTIVE, {"urgency": "stat"}),
    "mine": (tuple(HELD), {"holder": True}),
    "waiting": ((CaseState.QUEUED,), {}),
    "draft": (_ACTIVE, {"drafter": True}),
    "critical": (tuple(CaseState), {"critical": True}),
    "finished": (tuple(FINISHED), {"latest_first": True}),
}


def list_cases(parts: Parts, actor: Actor, narrowed: ListFilter, *, limit: int, offset: int) -> CaseList:
    """Cases that he may read, in the order of reading (finished ones latest first), and how many each view holds."""
    permit(actor, Act.WORKLIST_VIEW)
    reach = store.reach_of(actor)
    with parts.database.transaction(actor) as work:
        rows = work.all(
            SQL["list_cases"], **reach, **_conditions(narrowed, actor), limit=max(1, min(limit, 200)),
            offset=max(0, offset),
        )  # fmt: skip
        counts = work.one(SQL["count_cases"], **reach, person_id=actor.person_id) or {}
    total = rows[0]["total"] if rows else 0
    cases = tuple(leases.without_token(store.case_from(r)) for r in rows)
    return CaseList(cases, total, dict(counts), parts.clock.now())


def _conditions(narrowed: ListFilter, actor: Actor) -> dict[str, Any]:
    states, more = VIEWS.get(narrowed.view, VIEWS["all"])
    text = shown(narrowed.text).strip().replace("\\", "\\\\").replace("%", r"\%").replace("_", r"\_")
    urgency = narrowed.urgency.value if narrowed.urgency else ""
    return {
        "states": [s.value for s in states],
        "urgency": more.get("urgency", urgency),
        "modality": narrowed.modality,
        "service": narrowed.service.value if narrowed.service else "",
        "clinic_id": narrowed.clinic_id,
        "flag": narrowed.flag,
        "holder": actor.person_id if more.get("holder") else "",
        "drafter": actor.person_id if more.get("drafter") else "",
        "critical": bool(more.get("critical")),
        "latest_first": bool(more.get("latest_first")),
        "pattern": f"%{text.replace(' ', '')}%" if text else "",
    }


def next_case(parts: Parts, actor: Actor) -> CaseRow | None:
    """What taking the next one would give: one that he holds, where it is more urgent than all that wait."""
    permit(actor, Act.WORKLIST_VIEW)
    with parts.database.transaction(actor) as work:
        own = leases.own_before_next(parts, work, actor)
        if own is not None:
            return leases.without_token(store.case(work, own))
        row = work.one(SQL["peek_waiting"], **store.reach_of(actor))
        return None if row is None else leases.without_token(store.case_from(row))


def case_of_study(parts: Parts, actor: Actor, clinic_id: ClinicId, study_uid: str) -> CaseRow | None:
    """Within reach and permitted, else None."""
    with parts.database.transaction(actor) as work:
        row = store.case_of_study(work, clinic_id, study_uid)
    return row if row is not None and permitted(actor, Act.CASE_VIEW, moves.thing(row)) else None


# ---------------------------------------------------------------- the whole case
def detail(parts: Parts, actor: Actor, case_id: CaseId) -> CaseDetail:
    """Everything its page shows to this actor; machine reads and drafts to its readers alone."""
    with moves.on_case(parts, actor, case_id, Act.CASE_VIEW, locked=False) as (work, row):
        _note_view(work, row)
        is_reader = reports.is_its_reader(actor, row)
        key = {"clinic_id": row.clinic_id, "case_id": row.case_id}
        token = row.lease_token if _holds(parts, actor, row) else ""
        draft = drafts.own_draft(work, row, token) if token else None
        verdicts = _verdicts(work, row, is_reader)
        kept: dict[str, Any] = {
            "request": _request(work, row),
            "other_drafts": _other_drafts(work, actor, row, token) if is_reader else (),
            "versions": reports.visible(row, actor, store.versions(work, row)),
            "alerts": alerts.shown_all(parts, work, work.all(SQL["case_alerts"], **key)),
            "deliveries": store.deliveries(work, row, with_ledger=True),
            "tasks": _tasks(work, row) if is_reader else (),
            "notices": _notices(work, actor, row),
            "events": store.events(work, row),
        }
    reads = tuple(parts.reads.of(row.clinic_id, row.study_uid)) if is_reader else ()
    priors = tuple(parts.studies.priors(actor, row.clinic_id, row.study_uid))
    return CaseDetail(
        previous=_previous(parts, row, reads, priors),
        case=row if token else leases.without_token(row), token=token,
        possible=lifecycle.possible(lifecycle.CASE, row.state), is_reader=is_reader,
        questions=gate.questions(row.question), reads=reads, verdicts=verdicts, draft=draft,
        gate=_gate(row, draft, reads, verdicts), priors=priors,
        prior_cases=_prior_cases(parts, actor, row, [p.study_uid for p in priors]), **kept,
    )  # fmt: skip


def _previous(
    parts: Parts, row: CaseRow, reads: Sequence[StoredRead], priors: Sequence[StudySummary]
) -> StoredRead | None:
    """The read of the earlier ECG that the newest one was compared with, while that is among the priors."""
    study_uid = next((r.read.compared_with for r in reads if r.read.compared_with), "")
    if study_uid not in {p.study_uid for p in priors}:
        return None
    return next((r for r in parts.reads.of(row.clinic_id, study_uid) if r.read.kind == "ecg"), None)


def _note_view(work: Work, row: CaseRow) -> None:
    """A line of the audit, once in ten minutes: the page reads itself again at every change."""
    thing = f"case:{row.case_id}"
    seen = work.one(
        SQL["viewed_lately"], clinic_id=row.clinic_id, act=Act.CASE_VIEW.value, thing=thing,
        person_id=work.actor.person_id,
    )  # fmt: skip
    if seen is None:
        work.audit(Act.CASE_VIEW.value, thing, clinic_id=row.clinic_id)


def _holds(parts: Parts, actor: Actor, row: CaseRow) -> bool:
    return row.state in HELD and row.lease_by == actor.person_id and row.held_at(parts.clock.now())


def _request(work: Work, row: CaseRow) -> Request | None:
    found = work.all(SQL["requests_of_cases"], clinic_id=row.clinic_id, case_ids=[row.case_id])
    return store.request_from(found[0]) if found else None


def _verdicts(work: Work, row: CaseRow, is_reader: bool) -> tuple[Verdict, ...]:
    """Of the version being written while it is held, else of the one in force."""
    if not is_reader:
        return ()
    number = drafts.next_version(work, row) if row.state not in FINISHED else row.version
    return store.verdicts(work, row, number)


def _other_drafts(work: Work, actor: Actor, row: CaseRow, token: str) -> tuple[Draft, ...]:
    """His own earlier ones and orphans: nothing written is lost; another's draft is his own matter."""
    found = work.all(SQL["drafts"], clinic_id=row.clinic_id, case_id=row.case_id)
    return tuple(store.draft_from(d) for d in found if d["lease_token"] != token and d["person_id"] == actor.person_id)


def _tasks(work: Work, row: CaseRow) -> tuple[Task, ...]:
    found = work.all(SQL["case_tasks"], clinic_id=row.clinic_id, case_id=row.case_id)
    return tuple(store.task_from(t) for t in found)


def _notices(work: Work, actor: Actor, row: CaseRow) -> tuple[ReportNotice, ...]:
    found = work.all(SQL["notices"], clinic_id=row.clinic_id, case_ids=[row.case_id])
    mine = f"person:{actor.person_id}"
    return tuple(
        store.notice_from(n) for n in found if not n["recipient"].startswith("person:") or n["recipient"] == mine
    )


def _gate(row: CaseRow, draft: Draft | None, reads: Sequence[StoredRead], verdicts: Sequence[Verdict]) -> Any:
    return drafts.gate_of(row, draft.content, reads, verdicts) if draft else ()


def _prior_cases(parts: Parts, actor: Actor, row: CaseRow, study_uids: list[str]) -> dict[str, CaseRow]:
    if not study_uids:
        return {}
    with parts.database.transaction(actor) as work:
        found = work.all(SQL["cases_of_studies"], clinic_id=row.clinic_id, study_uids=study_uids)
    cases = routing.in_order(leases.without_token(store.case_from(r)) for r in found)
    return {c.study_uid: c for c in cases if permitted(actor, Act.CASE_VIEW, moves.thing(c))}


# ---------------------------------------------------------------- the time line
def timeline(parts: Parts, clinic_id: ClinicId, case_id: CaseId) -> Sequence[tuple[datetime, str, str]]:
    """(when, what, who), first to last: arrival, moves, alerts' steps, deliveries."""
    with parts.database.transaction(system_for(clinic_id)) as work:
        row = store.case(work, case_id)
        arrived = work.one(
            'select arrived_at from worklist."case" where clinic_id = %(c)s and case_id = %(i)s', c=clinic_id, i=case_id
        )
        lines: list[tuple[datetime, str, str]] = [(row.completed_at, "study complete", "gateway")]
        if arrived:
            lines.append((arrived["arrived_at"], "first byte", "gateway"))
        lines += [(e.at, e.event, e.actor_name) for e in store.events(work, row)]
        lines += _alert_lines(work, row) + _delivery_lines(work, row)
        lines += [(v.sealed_at, f"sealed v{v.version}", "center") for v in store.versions(work, row) if v.sealed_at]
    return sorted(lines, key=lambda line: line[0])


def _alert_lines(work: Work, row: CaseRow) -> list[tuple[datetime, str, str]]:
    found: list[Row] = work.all(SQL["case_alerts"], clinic_id=row.clinic_id, case_id=row.case_id)
    ids = [a["alert_id"] for a in found]
    notices = work.all(SQL["alert_notices"], alert_ids=ids) if ids else []
    return [(n["at"], f"alert step {n['step']}: {n['means']}", n["recipient"]) for n in notices]


def _delivery_lines(work: Work, row: CaseRow) -> list[tuple[datetime, str, str]]:
    lines: list[tuple[datetime, str, str]] = []
    for d in store.deliveries(work, row, with_ledger=True):
        lines += [(a.at, f"attempt {a.n} v{d.version}: {a.note or a.status}", d.recipient) for a in d.ledger]
        if d.acked_at:
            lines.append((d.acked_at, f"delivered v{d.version}", d.recipient))
        if d.opened_at:
            lines.append((d.opened_at, f"opened v{d.version}", d.recipient))
    return lines
