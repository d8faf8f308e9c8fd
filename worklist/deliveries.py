"""Deliveries: every receiver of a version with its ledger, growing retries, the phone at last; receipt and closing."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from center import faults, observe
from center.database import Row, Work
from center.errors import WrongState
from center.events import DeliveryAcknowledged, ReportOpened
from center.identity import Actor, CaseId, ClinicId, system_for
from center.jobs import Job, Later
from center.permits import Act, permit, permitted
from center.ports import SendOutcome
from worklist import lifecycle, moves, store, tasks
from worklist.lifecycle import (
    ALERT_OPEN,
    DELIVERED_STATES,
    CaseMove,
    DeliveryMove,
    DeliveryState,
    ReportState,
)
from worklist.parts import Parts
from worklist.records import CaseRow, ReportVersion
from worklist.store import SQL

log = observe.log("worklist")
_attempts = observe.counter("helan_worklist_delivery_attempts_total", "Attempts to deliver a report", ("outcome",))

#: How long a sealed report may wait for the gateway to file it before that counts as a failed attempt.
FILING = timedelta(minutes=10)


# ---------------------------------------------------------------- sending
def start(parts: Parts, job: Job) -> None:
    """On ReportSealed: the clinic's page has it at once; a job for each PACS; a clock until somebody opens it."""
    clinic, case_id, number = job.clinic_id, CaseId(str(job.payload["case_id"])), int(job.payload["version"])
    with parts.database.transaction(system_for(clinic)) as work:
        row = store.case(work, case_id, locked=True)
        if store.version(work, clinic, case_id, number).status is not ReportState.FINAL:
            return  # replaced or withdrawn before it was sealed: its deliveries are recalled already
        now = parts.clock.now()
        for delivery in store.deliveries(work, row):
            if delivery.version != number or delivery.state is not DeliveryState.QUEUED:
                continue
            if delivery.means == "page":
                _acknowledged(work, clinic, case_id, number, delivery.recipient, delivery.delivery_id, 0, now, "")
            else:
                payload = {"delivery_id": delivery.delivery_id}
                work.enqueue(clinic, "worklist.deliver", delivery.delivery_id, payload)
        timing = store.timing(work, clinic, parts.timing, now)
        work.enqueue(
            clinic, "worklist.unopened", f"{case_id}:{number}", {"case_id": case_id, "version": number},
            run_at=now + timedelta(minutes=timing.unopened_minutes(row.urgency)),
        )  # fmt: skip
        work.tell_pages(clinic, "case", {"case_id": case_id, "event": "sealed"})


def deliver(parts: Parts, job: Job) -> None:
    """One attempt: start, send, and what came of it, each in a commit of its own; sending twice changes nothing."""
    clinic, delivery_id = job.clinic_id, str(job.payload["delivery_id"])
    begun = _begin(parts, clinic, delivery_id)
    if begun is None:
        return
    delivery, version = begun
    aet = delivery["recipient"].removeprefix("pacs:")
    sop_uid = parts.report_sop_uid(clinic, version.study_uid, version.case_id, version.version)
    _await_filing(parts, version, sop_uid)
    outcome = parts.peers.send(clinic, aet, delivery_id, sop_uid)
    faults.point("delivery.mid_send")
    _finish(parts, clinic, delivery_id, outcome)


def _await_filing(parts: Parts, version: ReportVersion, sop_uid: str) -> None:
    """Returns when the gateway has filed the document, or has had long enough. Raises Later."""
    now, clinic = parts.clock.now(), version.clinic_id
    if version.sealed_at is None or now - version.sealed_at >= FILING:
        return
    filed = parts.studies.instances(system_for(clinic), clinic, version.study_uid)
    if all(i.sop_uid != sop_uid for i in filed):
        raise Later(now + timedelta(seconds=1))


def _begin(parts: Parts, clinic: ClinicId, delivery_id: str) -> tuple[Row, ReportVersion] | None:
    """The delivery, marked as being sent; None when there is nothing to send any more."""
    with parts.database.transaction(system_for(clinic)) as work:
        _, found = _held(work, clinic, delivery_id)
        if (DeliveryState(found["state"]), DeliveryMove.START) not in lifecycle.DELIVERY:
            return None
        version = store.version(work, clinic, found["case_id"], found["version"])
        if found["next_at"] is not None and parts.clock.now() < found["next_at"]:
            raise Later(found["next_at"])
        move = DeliveryMove.START if version.status is ReportState.FINAL else DeliveryMove.RECALL
        _keep(work, found, move, found["attempts"], None, found["acked_at"], found["note"])
        return (found, version) if move is DeliveryMove.START else None


def _finish(parts: Parts, clinic: ClinicId, delivery_id: str, outcome: SendOutcome) -> None:
    with parts.database.transaction(system_for(clinic)) as work:
        row, found = _held(work, clinic, delivery_id)
        n, now = found["attempts"] + 1, parts.clock.now()
        work.run(
            SQL["insert_attempt"], clinic_id=clinic, delivery_id=delivery_id, n=n, now=now,
            acknowledged=outcome.acknowledged, status=outcome.status, note=outcome.note[:500],
        )  # fmt: skip
        if found["state"] == DeliveryState.RECALLED.value:
            if outcome.acknowledged:  # it went out while it was being recalled: a person phones
                _phone(parts, work, row, found, f"recalled:{found['recipient']}:v{found['version']}")
        elif found["state"] != DeliveryState.SENDING.value:
            return  # another run of this job has finished it
        elif outcome.acknowledged:
            _acknowledged(
                work, clinic, found["case_id"], found["version"], found["recipient"], delivery_id, n, now, outcome.note
            )
        else:
            _failed(parts, work, row, found, n, now, outcome)
    _attempts.labels("acknowledged" if outcome.acknowledged else "failed").inc()


def _held(work: Work, clinic: ClinicId, delivery_id: str) -> tuple[CaseRow, Row]:
    """The case, then its delivery, both held: always in this order. Raises NotFound."""
    seen = work.one(SQL["delivery"], clinic_id=clinic, delivery_id=delivery_id)
    if seen is None:
        raise store.missing()
    row = store.case(work, seen["case_id"], locked=True)
    found = work.one(SQL["delivery_locked"], clinic_id=clinic, delivery_id=delivery_id)
    assert found is not None
    return row, found


def _acknowledged(
    work: Work, clinic: ClinicId, case_id: str, number: int, recipient: str, delivery_id: str, attempts: int,
    now: datetime, note: str,
) -> None:  # fmt: skip
    found = work.one(SQL["delivery_locked"], clinic_id=clinic, delivery_id=delivery_id)
    assert found is not None
    _keep(work, found, DeliveryMove.ACKNOWLEDGE, attempts, None, now, note[:500])
    work.audit("delivery:acknowledged", f"case:{case_id}", clinic_id=clinic, version=number, recipient=recipient)
    work.emit(DeliveryAcknowledged(clinic, case_id, number, recipient))


def _failed(parts: Parts, work: Work, row: CaseRow, found: Row, n: int, now: datetime, outcome: SendOutcome) -> None:
    waits = store.timing(work, row.clinic_id, parts.timing, now).retries
    if not outcome.retry or n > len(waits):
        _keep(work, found, DeliveryMove.GIVE_UP, n, None, None, outcome.note[:500])
        _phone(parts, work, row, found, f"delivery:{found['recipient']}:v{found['version']}")
    else:
        next_at = now + timedelta(minutes=waits[n - 1])
        _keep(work, found, DeliveryMove.FAIL, n, next_at, None, outcome.note[:500])
        payload = {"delivery_id": found["delivery_id"]}
        work.enqueue(row.clinic_id, "worklist.deliver", found["delivery_id"], payload, run_at=next_at)
    work.audit(
        "delivery:failed", f"case:{row.case_id}", clinic_id=row.clinic_id, version=found["version"],
        recipient=found["recipient"], attempt=n, status=outcome.status,
    )  # fmt: skip
    work.tell_pages(row.clinic_id, "delivery", {"case_id": row.case_id})


def _keep(
    work: Work, found: Row, move: DeliveryMove, attempts: int, next_at: datetime | None, acked_at: datetime | None,
    note: str,
) -> None:  # fmt: skip
    after = lifecycle.advance(lifecycle.DELIVERY, DeliveryState(found["state"]), move)
    work.run(
        SQL["move_delivery"], clinic_id=found["clinic_id"], delivery_id=found["delivery_id"], state=after.value,
        attempts=attempts, next_at=next_at, acked_at=acked_at, note=note,
    )  # fmt: skip


def _phone(parts: Parts, work: Work, row: CaseRow, found: Row, key: str) -> None:
    due = parts.clock.now() + timedelta(minutes=parts.timing.phone_task)
    tasks.open_task(
        parts, work, row, "phone", key, due, delivery_id=found["delivery_id"], recipient=found["recipient"],
        version=found["version"],
    )  # fmt: skip


# ---------------------------------------------------------------- receipt
def opened(parts: Parts, actor: Actor, case_id: CaseId, version: int) -> None:
    """Noted for a person of the clinic, in the name of whom he is told when it is amended or withdrawn."""
    with moves.on_case(parts, actor, case_id, Act.REPORT_VIEW) as (work, row):
        if permitted(actor, Act.REPORT_RECEIPT, moves.thing(row)):
            _open(parts, work, row, version)


def receipt(parts: Parts, actor: Actor, case_id: CaseId, version: int) -> None:
    """The clinic says that it has it.  Raises WrongState while nobody there has opened it: no report counts as read unread."""
    with moves.on_case(parts, actor, case_id, Act.REPORT_VIEW) as (work, row):
        permit(actor, Act.REPORT_RECEIPT, moves.thing(row))
        found = store.version(work, row.clinic_id, row.case_id, version)
        if not found.sealed_sha256 or found.status is ReportState.WITHDRAWN:
            raise store.missing()
        mine = (d for d in store.deliveries(work, row) if d.version == version and d.recipient == "page")
        page = next(mine, None)
        if page is None:
            return
        if page.opened_at is None:
            raise WrongState(
                "请先打开报告，看过后再签收。",
                "Open the report first, then confirm that you have it.",
                {"state": page.state.value, "possible": ["open"]},
            )
        work.run(
            SQL["delivery_receipted"], clinic_id=row.clinic_id, delivery_id=page.delivery_id, now=parts.clock.now(),
            by=actor.person_id,
        )  # fmt: skip
        work.audit(Act.REPORT_RECEIPT.value, f"case:{case_id}", clinic_id=row.clinic_id, version=version)


def _open(parts: Parts, work: Work, row: CaseRow, number: int) -> str | None:
    """The page delivery's id when it is in force; the opening is kept. Raises NotFound."""
    found = store.version(work, row.clinic_id, row.case_id, number)
    if not found.sealed_sha256 or found.status is ReportState.WITHDRAWN:
        raise store.missing()
    now = parts.clock.now()
    first = work.one(
        SQL["insert_opening"], clinic_id=row.clinic_id, case_id=row.case_id, version=number,
        person_id=work.actor.person_id, now=now,
    )  # fmt: skip
    if first is not None:
        work.audit("report:opened", f"case:{row.case_id}", clinic_id=row.clinic_id, version=number)
    for delivery in store.deliveries(work, row):
        if delivery.version != number or delivery.recipient != "page" or delivery.state not in DELIVERED_STATES:
            continue
        after = lifecycle.advance(lifecycle.DELIVERY, delivery.state, DeliveryMove.OPEN)
        work.run(
            SQL["delivery_opened"], clinic_id=row.clinic_id, delivery_id=delivery.delivery_id, state=after.value,
            now=now, by=work.actor.person_id,
        )  # fmt: skip
        work.run(
            SQL["finish_task_by_key"], clinic_id=row.clinic_id, case_id=row.case_id, kind="phone",
            key=f"unopened:v{number}", now=now, by=work.actor.person_id, reason="opened",
        )  # fmt: skip
        work.emit(ReportOpened(row.clinic_id, row.case_id, number))
        return delivery.delivery_id
    return None


def settle(parts: Parts, job: Job) -> None:
    """On DeliveryAcknowledged, ReportOpened and a closed alert: the case moves on as far as it can by itself."""
    with parts.database.transaction(system_for(job.clinic_id)) as work:
        row = store.case(work, str(job.payload["case_id"]), locked=True)
        if row.state not in lifecycle.FINISHED:
            return
        current = [d for d in store.deliveries(work, row) if d.version == row.version]
        alerts = work.all(SQL["case_alerts"], clinic_id=row.clinic_id, case_id=row.case_id)
        opened_by_clinic = any(d.recipient == "page" and d.state is DeliveryState.OPENED for d in current)
        steps = lifecycle.settle(
            row.state, [d.state for d in current if d.mandatory], opened_by_clinic,
            sum(1 for a in alerts if a["state"] in ALERT_OPEN),
        )  # fmt: skip
        now = parts.clock.now()
        columns: dict[CaseMove, dict[str, Any]] = {
            CaseMove.DELIVER: {"delivered_at": now},
            CaseMove.RECEIPT: {"receipted_at": now},
            CaseMove.CLOSE: {"closed_at": now},
        }
        for step in steps:
            row = moves.move(work, row, step, now, **columns[step])
