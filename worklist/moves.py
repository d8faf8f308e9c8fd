"""The one way to move or note a case: the table decides; row, history, audit and the open pages in one transaction."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from center.database import Work
from center.identity import Actor
from center.permits import Act, Thing, permit, permitted
from worklist import lifecycle, store
from worklist.lifecycle import HELD, CaseMove, CaseState
from worklist.parts import Parts
from worklist.records import CaseRow

_NO_LEASE: dict[str, Any] = {
    "lease_token": None,
    "lease_by": None,
    "lease_by_name": None,
    "lease_since": None,
    "lease_until": None,
    "lease_active_at": None,
}


def thing(row: CaseRow) -> Thing:
    """The case as permission needs to know it."""
    return Thing(row.clinic_id, row.service, f"case:{row.case_id}")


def move(
    work: Work,
    row: CaseRow,
    what: CaseMove,
    at: datetime,
    *,
    reason: str = "",
    detail: dict[str, Any] | None = None,
    **columns: Any,
) -> CaseRow:
    """The case after the move. Raises WrongState. Its row must be held."""
    after = lifecycle.advance(lifecycle.CASE, row.state, what)
    if after not in HELD:
        columns = {**_NO_LEASE, **columns}
    return _keep(work, row, what.value, after, at, reason, detail or {}, columns)


def note(
    work: Work, row: CaseRow, what: str, at: datetime, *, reason: str = "", detail: dict[str, Any] | None = None,
    **columns: Any,
) -> CaseRow:  # fmt: skip
    """The case with something written down about it; its state stays."""
    return _keep(work, row, f"note:{what}", row.state, at, reason, detail or {}, columns)


def _keep(
    work: Work, row: CaseRow, event: str, after: CaseState, at: datetime, reason: str, detail: dict[str, Any],
    columns: dict[str, Any],
) -> CaseRow:  # fmt: skip
    n = history_length(work, row) + 1
    work.run(
        store.SQL["insert_event"], clinic_id=row.clinic_id, case_id=row.case_id, n=n, event=event,
        from_state=row.state.value, to_state=after.value, actor=work.actor.person_id, actor_name=work.actor.name, at=at,
        reason=reason, detail=work.json(detail),
    )  # fmt: skip
    changed = store.set_case(work, row, state=after, events_n=n, **columns)
    work.audit(f"case:{event}", f"case:{row.case_id}", clinic_id=row.clinic_id, reason=reason, n=n, **detail)
    work.tell_pages(row.clinic_id, "case", {"case_id": row.case_id, "state": after.value, "event": event})
    return changed


def begin(work: Work, row: CaseRow, at: datetime) -> None:
    """The first line of a case's history."""
    work.run(
        store.SQL["insert_event"], clinic_id=row.clinic_id, case_id=row.case_id, n=1, event="open_case",
        from_state=None, to_state=row.state.value, actor=work.actor.person_id, actor_name=work.actor.name, at=at,
        reason="", detail=work.json({}),
    )  # fmt: skip
    store.set_case(work, row, events_n=1)
    work.audit("case:open_case", f"case:{row.case_id}", clinic_id=row.clinic_id, study_uid=row.study_uid)


def history_length(work: Work, row: CaseRow) -> int:
    found = work.one(
        'select events_n from worklist."case" where clinic_id = %(clinic_id)s and case_id = %(case_id)s',
        clinic_id=row.clinic_id, case_id=row.case_id,
    )  # fmt: skip
    return found["events_n"] if found else 0


@contextmanager
def on_case(
    parts: Parts, actor: Actor, case_id: str, act: Act, *, locked: bool = True
) -> Iterator[tuple[Work, CaseRow]]:
    """The transaction in which this actor may do this to this case, its row held. Raises NotFound, Forbidden."""
    with parts.database.transaction(actor, reach(parts, actor, "board_case", case_id=case_id)) as work:
        row = store.case(work, case_id, locked=locked)
        permit(actor, act, thing(row))
        yield work, row


def reach(parts: Parts, actor: Actor, view: str, **key: str) -> frozenset[Any]:
    """His clinics; for a dispatcher also the one that the named board view says this thing is of."""
    if not permitted(actor, Act.BOARD_VIEW, Thing()):
        return actor.clinics
    with parts.database.transaction(actor) as work:
        row = work.one(store.SQL[view], **key)
    return actor.clinics | ({row["clinic_id"]} if row else frozenset())
