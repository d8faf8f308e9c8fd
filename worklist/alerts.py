"""Critical findings: a person's mark starts the ladder; each step is a job; read-back, action, or refuted with reason.

A machine never raises an alert (WORKFLOW.md section 4).  Minutes are site data (``Timing.ladder``).
"""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta

from center import observe
from center.codes import Service
from center.database import Row, Work
from center.errors import Invalid
from center.identity import Actor, CaseId, system_for
from center.jobs import Job, Later
from center.permits import Act, Thing, permit, permitted
from center.ports import Notice
from worklist import leases, lifecycle, moves, readback, store, tasks
from worklist.lifecycle import ALERT_CALLING, ALERT_OPEN, FINISHED, AlertMove, AlertState
from worklist.parts import Parts
from worklist.records import Alert, CaseRow, ReadBack
from worklist.store import SQL
from worklist.timing import LADDER_NOTICES

_raised = observe.counter("helan_worklist_alerts_raised_total", "Critical alerts raised by a person")
TEXT_LIMIT = 500


# ---------------------------------------------------------------- raising
def raise_alert(
    parts: Parts, actor: Actor, case_id: CaseId, finding: str, finding_key: str, found_at: datetime | None
) -> Alert:
    """The alert, its ladder begun; the same finding of a case again is the same alert."""
    finding = _text(finding, "finding", "请写明危急所见。", "Say what the critical finding is.")
    key = finding_key or hashlib.sha256(finding.encode()).hexdigest()[:16]
    with moves.on_case(parts, actor, case_id, Act.ALERT_RAISE) as (work, row):
        if row.state not in FINISHED:
            leases.require_holder(parts, row, actor, row.lease_token)
        now = parts.clock.now()
        made = work.one(
            SQL["insert_alert"], clinic_id=row.clinic_id, alert_id=parts.identifiers.new(), case_id=case_id,
            finding_key=key, finding=finding, state=AlertState.RAISED.value, now=now, found_at=found_at or now,
            raised_by=actor.person_id, teller=actor.name,
        )  # fmt: skip
        if made is not None:
            alert_id: str = made["alert_id"]
            moves.note(work, row, "critical", now, detail={"alert_id": alert_id}, facts_n=row.facts_n + 1)
            work.audit(Act.ALERT_RAISE.value, f"alert:{alert_id}", clinic_id=row.clinic_id, case_id=case_id)
            _next_step(work, row.clinic_id, alert_id, 0, now)
            _tell_pages(work, row.clinic_id, case_id, alert_id)
            _raised.inc()
        else:
            found = work.one(SQL["alert_by_finding"], clinic_id=row.clinic_id, case_id=case_id, finding_key=key)
            assert found is not None
            alert_id = found["alert_id"]
        return _shown(parts, work, alert_id)


def ladder(parts: Parts, job: Job) -> None:
    """One step: who is told now, and when the next step is due; nothing once somebody has answered."""
    alert_id, step = str(job.payload["alert_id"]), int(job.payload["step"])
    with parts.database.transaction(system_for(job.clinic_id)) as work:
        found = work.one(SQL["alert_locked"], alert_id=alert_id)
        if found is None or AlertState(found["state"]) not in ALERT_CALLING or found["step"] != step:
            return
        now = parts.clock.now()
        if found["next_at"] is not None and now < found["next_at"]:
            raise Later(found["next_at"])
        minutes = store.timing(work, job.clinic_id, parts.timing, now).ladder
        after = lifecycle.advance(lifecycle.ALERT, AlertState(found["state"]), AlertMove.NOTIFY)
        next_at = found["raised_at"] + timedelta(minutes=minutes[step + 1]) if step + 1 < len(minutes) else None
        work.run(
            SQL["step_alert"], clinic_id=job.clinic_id, alert_id=alert_id, state=after.value, step=step + 1,
            next_at=next_at,
        )  # fmt: skip
        if next_at is not None:
            _next_step(work, job.clinic_id, alert_id, step + 1, next_at)
        work.audit("alert:step", f"alert:{alert_id}", clinic_id=job.clinic_id, step=step)
        _tell_pages(work, job.clinic_id, found["case_id"], alert_id)
        _call(parts, work, found, step, now)
        if next_at is None:
            row = store.case(work, found["case_id"], locked=True)
            moves.note(
                work, row, "alert_unanswered", now, detail={"alert_id": alert_id}, flags=row.flags | {"escalated"}
            )


def _call(parts: Parts, work: Work, found: Row, step: int, now: datetime) -> None:
    """Keeps who is told at this step and tells them; the dispatcher gets a phone task."""
    for recipient, means in LADDER_NOTICES[min(step, len(LADDER_NOTICES) - 1)]:
        made = work.one(
            SQL["insert_alert_notice"], clinic_id=found["clinic_id"], alert_id=found["alert_id"], step=step,
            recipient=recipient, means=means, now=now,
        )  # fmt: skip
        if made is None:
            continue
        if recipient == "dispatcher":
            row = store.case(work, found["case_id"])
            tasks.open_task(parts, work, row, "phone", f"alert:{found['alert_id']}", now, alert_id=found["alert_id"])
        facts = {"case_no": found["case_no"], "alert_id": found["alert_id"], "step": str(step)}
        parts.notifier.tell(Notice(found["clinic_id"], recipient, means, "worklist.alert.call", facts))


def _next_step(work: Work, clinic_id: str, alert_id: str, step: int, at: datetime) -> None:
    payload = {"alert_id": alert_id, "step": step}
    work.enqueue(clinic_id, "worklist.ladder", f"{alert_id}:{step}", payload, run_at=at, priority=10)


# ---------------------------------------------------------------- answering
def acknowledge(
    parts: Parts, actor: Actor, alert_id: str, *, read_back: str, receiver: str, means: str, action: str, insist: bool
) -> ReadBack:
    """The six fields kept; a read-back that says something else only with ``insist``, and marked as such."""
    read_back = _text(read_back, "read_back", "请填写复述的内容。", "Write down what was read back.")
    receiver = receiver.strip() or (actor.name if means == "page" else "")
    receiver = _text(receiver, "receiver", "请填写接收人。", "Write down who received it.")
    with parts.database.transaction(actor, moves.reach(parts, actor, "board_alert", alert_id=alert_id)) as work:
        found = _load(work, actor, alert_id, Act.ALERT_ACKNOWLEDGE)
        after = lifecycle.advance(lifecycle.ALERT, AlertState(found["state"]), AlertMove.ACKNOWLEDGE)
        matches = readback.matches(found["finding"], read_back)
        if not matches and not insist:
            return ReadBack(False, False, _shown(parts, work, alert_id, actor))
        now = parts.clock.now()
        work.run(
            SQL["acknowledge_alert"], clinic_id=found["clinic_id"], alert_id=alert_id, state=after.value,
            receiver=receiver, now=now, means=means[:50], read_back=read_back, mismatch=not matches, by=actor.person_id,
        )  # fmt: skip
        work.run(
            SQL["finish_task_by_key"], clinic_id=found["clinic_id"], case_id=found["case_id"], kind="phone",
            key=f"alert:{alert_id}", now=now, by=actor.person_id, reason="acknowledged",
        )  # fmt: skip
        work.audit(
            Act.ALERT_ACKNOWLEDGE.value, f"alert:{alert_id}", clinic_id=found["clinic_id"], means=means[:50],
            mismatch=not matches,
        )  # fmt: skip
        _history(work, found, "alert_acknowledged", now)
        if action.strip():
            _close(work, found, after, action.strip(), now)
        _tell_pages(work, found["clinic_id"], found["case_id"], alert_id)
        return ReadBack(matches, True, _shown(parts, work, alert_id, actor))


def close(parts: Parts, actor: Actor, alert_id: str, action: str) -> Alert:
    """What was done is written down; the alert is closed."""
    action = _text(action, "action", "请写明处置。", "Say what was done.")
    with parts.database.transaction(actor, moves.reach(parts, actor, "board_alert", alert_id=alert_id)) as work:
        found = _load(work, actor, alert_id, Act.ALERT_ACKNOWLEDGE)
        _close(work, found, AlertState(found["state"]), action, parts.clock.now())
        _tell_pages(work, found["clinic_id"], found["case_id"], alert_id)
        return _shown(parts, work, alert_id, actor)


def refute(parts: Parts, actor: Actor, alert_id: str, reason: str) -> Alert:
    """Taken back by a reader; the clinic, if it was told, is told that too."""
    reason = _text(reason, "reason", "请写明否定的原因。", "Give the reason for refuting.")
    with parts.database.transaction(actor) as work:
        found = _load(work, actor, alert_id, Act.ALERT_RAISE)
        row = store.case(work, found["case_id"], locked=True)
        _refute(parts, work, row, found, reason)
        return _shown(parts, work, alert_id, actor)


def refute_all(parts: Parts, work: Work, row: CaseRow, reason: str) -> CaseRow:
    """The case without an open alert: its images are somebody else's. Each that the clinic heard of is taken back there."""
    for found in work.all(SQL["case_alerts"], clinic_id=row.clinic_id, case_id=row.case_id):
        if AlertState(found["state"]) in ALERT_OPEN:
            row = _refute(parts, work, row, found, reason)
    return row


def _refute(parts: Parts, work: Work, row: CaseRow, found: Row, reason: str) -> CaseRow:
    after = lifecycle.advance(lifecycle.ALERT, AlertState(found["state"]), AlertMove.REFUTE)
    now, alert_id = parts.clock.now(), str(found["alert_id"])
    work.run(
        SQL["refute_alert"], clinic_id=row.clinic_id, alert_id=alert_id, state=after.value, reason=reason, now=now,
    )  # fmt: skip
    row = moves.note(
        work, row, "alert_refuted", now, reason=reason, detail={"alert_id": alert_id}, facts_n=row.facts_n + 1
    )
    work.audit("alert:refute", f"alert:{alert_id}", clinic_id=row.clinic_id, reason=reason)
    work.enqueue(row.clinic_id, "worklist.settle", row.case_id, {"case_id": row.case_id})
    if found["step"]:
        _tell_refuted(parts, work, row, alert_id, now)
    _tell_pages(work, row.clinic_id, row.case_id, alert_id)
    return row


def _tell_refuted(parts: Parts, work: Work, row: CaseRow, alert_id: str, now: datetime) -> None:
    work.one(
        SQL["insert_notice"], clinic_id=row.clinic_id, notice_id=parts.identifiers.new(), case_id=row.case_id,
        version=row.version, kind="refuted", recipient=f"alert:{alert_id}", now=now,
    )  # fmt: skip
    facts = {"case_no": row.case_no, "alert_id": alert_id}
    parts.notifier.tell(Notice(row.clinic_id, "clinic_doctors", "page", "worklist.alert.refuted", facts))


def _close(work: Work, found: Row, state: AlertState, action: str, now: datetime) -> None:
    after = lifecycle.advance(lifecycle.ALERT, state, AlertMove.CLOSE)
    work.run(
        SQL["close_alert"], clinic_id=found["clinic_id"], alert_id=found["alert_id"], state=after.value, action=action,
        now=now,
    )  # fmt: skip
    work.audit("alert:close", f"alert:{found['alert_id']}", clinic_id=found["clinic_id"])
    work.enqueue(found["clinic_id"], "worklist.settle", found["case_id"], {"case_id": found["case_id"]})


def _history(work: Work, found: Row, what: str, now: datetime) -> None:
    row = store.case(work, found["case_id"], locked=True)
    moves.note(work, row, what, now, detail={"alert_id": found["alert_id"]})


# ---------------------------------------------------------------- looking
def alert(parts: Parts, actor: Actor, alert_id: str) -> Alert:
    """One alert within reach; a dispatcher sees no name."""
    with parts.database.transaction(actor, moves.reach(parts, actor, "board_alert", alert_id=alert_id)) as work:
        return _shown(parts, work, alert_id, actor)


def open_alerts(parts: Parts, actor: Actor) -> tuple[Alert, ...]:
    """Of the cases that he may see, and for a dispatcher of all, without names; longest waiting first."""
    with parts.database.transaction(actor) as work:
        mine = {r["alert_id"]: r for r in work.all(SQL["open_alerts"]) if _may_see(actor, r)}
        every = work.all(SQL["board_alerts"]) if permitted(actor, Act.BOARD_VIEW, Thing()) else []
        rows = list(mine.values()) + [r for r in every if r["alert_id"] not in mine]
        return shown_all(parts, work, sorted(rows, key=lambda r: r["raised_at"]))


def shown_all(parts: Parts, work: Work, rows: list[Row]) -> tuple[Alert, ...]:
    """Alerts with their notices; rows of the dispatcher's view or of the room's tables."""
    ids = [r["alert_id"] for r in rows]
    notices = work.all(SQL["board_notices"], alert_ids=ids) if ids else []
    now = parts.clock.now()
    minutes = {c: store.timing(work, c, parts.timing, now).ladder for c in {r["clinic_id"] for r in rows}}
    return tuple(store.alert_from(r, notices, minutes[r["clinic_id"]], parts.notifier.automatic) for r in rows)


def _shown(parts: Parts, work: Work, alert_id: str, actor: Actor | None = None) -> Alert:
    found = work.one(SQL["alert"], alert_id=alert_id)
    if found is None:
        raise store.missing()
    if actor is not None and not _may_see(actor, found):
        permit(actor, Act.BOARD_VIEW)
        unnamed = {"patient_name": "", "patient_local_id": "", "patient_birth_date": None, "others": ()}
        found = {**found, **unnamed}
    return shown_all(parts, work, [found])[0]


def _may_see(actor: Actor, found: Row) -> bool:
    return permitted(actor, Act.CASE_VIEW, Thing(found["clinic_id"], Service(found["service"])))


def _load(work: Work, actor: Actor, alert_id: str, act: Act) -> Row:
    found = work.one(SQL["alert_locked"], alert_id=alert_id)
    if found is None:
        raise store.missing()
    permit(actor, act, Thing(found["clinic_id"], Service(found["service"])))
    return found


def _text(value: str, field: str, zh: str, en: str) -> str:
    if not value.strip():
        raise Invalid(zh, en, {"field": field})
    if len(value) > TEXT_LIMIT:
        raise Invalid(f"最多 {TEXT_LIMIT} 字。", f"{TEXT_LIMIT} characters at most.", {"field": field})
    return value.strip()


def _tell_pages(work: Work, clinic_id: str, case_id: str, alert_id: str) -> None:
    work.tell_pages(clinic_id, "alert", {"case_id": case_id, "alert_id": alert_id})
