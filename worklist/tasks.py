"""Things that a person must do: opened once for their key, done once, with who and how."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from center.codes import Role, Service
from center.database import Work
from center.errors import Invalid, WrongState
from center.identity import Actor
from center.permits import Act, Thing, permit
from worklist import lifecycle, moves, store
from worklist.lifecycle import DeliveryMove, DeliveryState
from worklist.parts import Parts
from worklist.records import CaseRow, Task
from worklist.store import SQL

#: The role each kind waits for.
FOR_ROLE = {
    "read_now": Role.READER,
    "late_images": Role.READER,
    "identity": Role.READER,
    "phone": Role.DISPATCHER,
    "dispatch": Role.DISPATCHER,
}


def open_task(parts: Parts, work: Work, row: CaseRow, kind: str, key: str, due_at: datetime, **facts: Any) -> bool:
    """False when it was opened before."""
    made = work.one(
        SQL["insert_task"], clinic_id=row.clinic_id, task_id=parts.identifiers.new(), case_id=row.case_id, kind=kind,
        key=key, for_role=FOR_ROLE[kind].value, due_at=due_at, now=parts.clock.now(), facts=work.json(facts),
    )  # fmt: skip
    if made is None:
        return False
    work.audit("task:open", f"case:{row.case_id}", clinic_id=row.clinic_id, kind=kind, key=key)
    work.tell_pages(row.clinic_id, "task", {"case_id": row.case_id, "task": kind})
    return True


def finish_of_case(work: Work, row: CaseRow, kinds: Iterable[str], now: datetime, reason: str) -> None:
    """What a signature, a withdrawal or a cancellation answers."""
    done = work.run(
        SQL["finish_tasks_of_case"], clinic_id=row.clinic_id, case_id=row.case_id, kinds=list(kinds), now=now,
        by=work.actor.person_id, reason=reason,
    )  # fmt: skip
    if done:
        work.audit("task:done", f"case:{row.case_id}", clinic_id=row.clinic_id, reason=reason, count=done)


def for_reader(parts: Parts, actor: Actor) -> tuple[Task, ...]:
    """Open tasks of cases that he may read, the next due first."""
    permit(actor, Act.WORKLIST_VIEW)
    with parts.database.transaction(actor) as work:
        return tuple(store.task_from(r) for r in work.all(SQL["reader_tasks"], **store.reach_of(actor)))


def finish(parts: Parts, actor: Actor, task_id: str, reason: str) -> None:
    """Done, and how. A phone task for a delivery hands the report over. Raises Invalid, NotFound, WrongState."""
    if not reason.strip():
        raise Invalid("请写明是怎么完成的。", "Say how it was done.", {"field": "reason"})
    with parts.database.transaction(actor, moves.reach(parts, actor, "board_task", task_id=task_id)) as work:
        row = work.one(SQL["task_locked"], task_id=task_id)
        if row is None:
            raise store.missing()
        permit(actor, Act.TASK_DO, Thing(row["clinic_id"], Service(row["service"])))
        now = parts.clock.now()
        if not work.run(
            SQL["finish_task"], clinic_id=row["clinic_id"], task_id=task_id, now=now, by=actor.person_id, reason=reason
        ):
            raise WrongState("这项任务已经完成。", "This task is done already.", {"state": "done", "possible": []})
        delivery_id = row["facts"].get("delivery_id")
        if row["kind"] == "phone" and delivery_id:
            _handed_over(parts, work, row["clinic_id"], str(delivery_id), now)
        work.audit("task:done", f"task:{task_id}", clinic_id=row["clinic_id"], reason=reason, kind=row["kind"])
        work.tell_pages(row["clinic_id"], "task", {"case_id": row["case_id"], "task": row["kind"]})


def _handed_over(parts: Parts, work: Work, clinic_id: str, delivery_id: str, now: datetime) -> None:
    seen = work.one(SQL["delivery"], clinic_id=clinic_id, delivery_id=delivery_id)
    if seen is None:
        return
    store.case(work, seen["case_id"], locked=True)
    found = work.one(SQL["delivery_locked"], clinic_id=clinic_id, delivery_id=delivery_id)
    if found is None or found["state"] != DeliveryState.GIVEN_UP.value:
        return
    after = lifecycle.advance(lifecycle.DELIVERY, DeliveryState(found["state"]), DeliveryMove.ACKNOWLEDGE)
    work.run(
        SQL["move_delivery"], clinic_id=clinic_id, delivery_id=delivery_id, state=after.value,
        attempts=found["attempts"], next_at=None, acked_at=now, note="phone",
    )  # fmt: skip
    work.enqueue(clinic_id, "worklist.settle", found["case_id"], {"case_id": found["case_id"]})
