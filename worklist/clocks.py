"""Clocks of a case and of an unopened report: one job each, one step up when it runs out, never silently."""

from __future__ import annotations

from datetime import datetime

from center import observe
from center.database import Work
from center.identity import system_for
from center.jobs import Job
from worklist import moves, store, tasks
from worklist.lifecycle import HELD, OPEN_STATES, CaseState, DeliveryState, ReportState
from worklist.parts import Parts
from worklist.records import CaseRow

log = observe.log("worklist")
_breaches = observe.counter("helan_worklist_breaches_total", "Cases not signed within their limit", ("service",))


def case_clock(parts: Parts, job: Job) -> None:
    """50 %: still unread, a wider pool; 80 %: the dispatcher; 100 %: a breach, written down (WORKFLOW.md section 4)."""
    percent, due_at = int(job.payload["percent"]), datetime.fromisoformat(str(job.payload["due_at"]))
    with parts.database.transaction(system_for(job.clinic_id)) as work:
        row = store.case(work, str(job.payload["case_id"]), locked=True)
        if row.state not in OPEN_STATES or row.version or row.due_at != due_at:
            return  # read, withdrawn, amended, or a nearer due time has clocks of its own
        if percent >= 100:
            _breach(parts, work, row)
        elif percent >= 80:
            _dispatch(parts, work, row)
        elif row.state not in HELD:
            _flag(parts, work, row, "wider_pool", {"percent": percent})


def _dispatch(parts: Parts, work: Work, row: CaseRow) -> None:
    key = f"due:{row.due_at.timestamp():.0f}"
    tasks.open_task(parts, work, row, "dispatch", key, row.due_at, state=row.state.value)


def _breach(parts: Parts, work: Work, row: CaseRow) -> None:
    _dispatch(parts, work, row)
    if _flag(parts, work, row, "escalated", {"percent": 100, "state": row.state.value}):
        _breaches.labels(row.service.value).inc()
        log.warning("case.breach", case=row.case_id, service=row.service.value, state=row.state.value)


def _flag(parts: Parts, work: Work, row: CaseRow, flag: str, detail: dict[str, object]) -> bool:
    if flag in row.flags:
        return False
    moves.note(work, row, flag, parts.clock.now(), detail=detail, flags=row.flags | {flag})
    return True


def unopened(parts: Parts, job: Job) -> None:
    """Nobody of the clinic has opened the report: the dispatcher phones."""
    number = int(job.payload["version"])
    with parts.database.transaction(system_for(job.clinic_id)) as work:
        row = store.case(work, str(job.payload["case_id"]), locked=True)
        found = store.version(work, row.clinic_id, row.case_id, number)
        if found.status is not ReportState.FINAL or row.state is CaseState.CANCELLED:
            return
        page = [d for d in store.deliveries(work, row) if d.version == number and d.recipient == "page"]
        if not page or page[0].state is not DeliveryState.SENT:
            return
        opened = tasks.open_task(parts, work, row, "phone", f"unopened:v{number}", parts.clock.now(), version=number)
        if opened:
            _flag(parts, work, row, "escalated", {"unopened": number})
