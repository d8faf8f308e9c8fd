"""Leases: one holder at a time, renewed by his page, falling back to the queue at the old due time.

A lease is (case, person, token, end).  It is valid while the case's row holds its token and its end has not come; every
save, signature and rejection asks ``require_holder`` under the row's lock, so a stale token writes nothing.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from center.codes import Urgency
from center.database import Work
from center.errors import HeldByAnother, Invalid, OverLimit, Unavailable
from center.identity import Actor, CaseId, LeaseToken, system_for
from center.jobs import Job, Later
from center.permits import Act, permit
from worklist import lifecycle, moves, store
from worklist.lifecycle import HELD, CaseMove, CaseState
from worklist.parts import Parts
from worklist.records import CaseRow, Lease
from worklist.store import SQL
from worklist.timing import Timing


def take_next(parts: Parts, actor: Actor) -> Lease | None:
    """A lease on the most urgent case that he may read, which may be one that he holds; None when nothing waits."""
    permit(actor, Act.LEASE_TAKE)
    _trust_clock(parts)
    with parts.database.transaction(actor) as work:
        own = own_before_next(parts, work, actor)
        if own is not None:
            return _lease(parts, work, store.case(work, own, locked=True))
        _count_held(parts, work, actor)
        found = work.one(SQL["next_waiting"], **store.reach_of(actor))
        if found is None:
            return None
        row = store.case(work, found["case_id"], locked=True)
        permit(actor, Act.LEASE_TAKE, moves.thing(row))
        return _give(parts, work, row, actor, CaseMove.TAKE)


def own_before_next(parts: Parts, work: Work, actor: Actor) -> str | None:
    """The case that he holds, where it is more urgent than the next one that waits; equal urgency is no reason."""
    own = work.one(SQL["held_most_urgent"], person_id=actor.person_id, now=parts.clock.now())
    waiting = work.one(SQL["peek_waiting"], **store.reach_of(actor))
    if own is None or waiting is None or own["urgency_rank"] >= waiting["urgency_rank"]:
        return None
    return own["case_id"]


def take(parts: Parts, actor: Actor, case_id: CaseId, reason: str = "") -> Lease:
    """A lease on this case; another than the next one needs a reason, and few of them fit into a shift."""
    with moves.on_case(parts, actor, case_id, Act.LEASE_TAKE, locked=False) as (work, _):
        _trust_clock(parts)
        lock_person(work, actor)
        row = store.case(work, case_id, locked=True)
        now = parts.clock.now()
        if row.state in HELD and row.held_at(now):
            if row.lease_by == actor.person_id:
                return _lease(parts, work, row)
            raise _taken(row)
        if row.state in HELD:  # its end has come; the job that takes it back has not run yet
            row = moves.move(work, row, CaseMove.LAPSE, now)
        _count_held(parts, work, actor)
        skip = _skips(parts, work, actor, row, reason, now)
        return _give(parts, work, row, actor, CaseMove.TAKE, reason=reason, skip=skip)


def reopen(parts: Parts, work: Work, row: CaseRow, actor: Actor, reason: str) -> Lease:
    """A lease on a finished case, to amend its report; the version in force stays so meanwhile."""
    _trust_clock(parts)
    _count_held(parts, work, actor)
    return _give(parts, work, row, actor, CaseMove.REOPEN, reason=reason)


def open_leased(parts: Parts, actor: Actor, case_id: CaseId, token: str) -> Lease:
    """The holder opens the images: from here the idle limit counts."""
    with moves.on_case(parts, actor, case_id, Act.LEASE_TAKE) as (work, row):
        require_holder(parts, row, actor, token)
        now = parts.clock.now()
        timing = store.timing(work, row.clinic_id, parts.timing, now)
        if row.state is CaseState.LEASED:
            row = moves.move(
                work, row, CaseMove.OPEN, now, lease_until=_idle_end(timing, row, now), lease_active_at=now,
                opened_at=row.opened_at or now, seen_generation=row.generation, flags=row.flags - {"late_images"},
            )  # fmt: skip
            _watch(work, row)
        return _lease(parts, work, row)


def renew(parts: Parts, actor: Actor, case_id: CaseId, token: str, *, active: bool = True) -> Lease:
    """The heartbeat: with activity the idle limit begins anew; without, only that the reader is still there."""
    with moves.on_case(parts, actor, case_id, Act.LEASE_TAKE) as (work, row):
        require_holder(parts, row, actor, token)
        return _lease(parts, work, keep_alive(parts, work, row, active=active))


def keep_alive(parts: Parts, work: Work, row: CaseRow, *, active: bool) -> CaseRow:
    """The case with its lease's end moved; an unopened lease keeps the end that it was offered with."""
    if row.state is not CaseState.READING:
        return row
    now = parts.clock.now()
    timing = store.timing(work, row.clinic_id, parts.timing, now)
    found = work.one(
        'select lease_active_at as at from worklist."case" where clinic_id = %(clinic)s and case_id = %(case)s',
        clinic=row.clinic_id, case=row.case_id,
    )  # fmt: skip
    active_at = now if active or not found or found["at"] is None else found["at"]
    until = _idle_end(timing, row, active_at)
    if row.urgency is Urgency.STAT:  # a reader who went offline does not keep an urgent case for its idle limit
        until = min(until, now + timedelta(seconds=timing.offline_stat_s))
    if row.lease_until is not None and abs((until - row.lease_until).total_seconds()) < 1:
        return row
    return store.set_case(work, row, lease_until=until, lease_active_at=active_at)


def release(parts: Parts, actor: Actor, case_id: CaseId, token: str, reason: str = "") -> None:
    """Back to the queue at the old due time; the draft stays."""
    with moves.on_case(parts, actor, case_id, Act.LEASE_TAKE) as (work, row):
        require_holder(parts, row, actor, token)
        moves.move(work, row, CaseMove.RELEASE, parts.clock.now(), reason=reason)


def reassign(parts: Parts, actor: Actor, case_id: CaseId, reason: str) -> None:
    """A dispatcher takes the case from its holder; the holder's page learns it at its next heartbeat."""
    if not reason.strip():
        raise Invalid("请写明原因。", "Give a reason.", {"field": "reason"})
    with moves.on_case(parts, actor, case_id, Act.CASE_REASSIGN) as (work, row):
        moves.move(work, row, CaseMove.RELEASE, parts.clock.now(), reason=reason, detail={"reassigned": True})


def lapse(parts: Parts, job: Job) -> None:
    """At a lease's end: back to the queue; renewed meanwhile: later; another lease by now: nothing."""
    with parts.database.transaction(system_for(job.clinic_id)) as work:
        row = store.case(work, str(job.payload["case_id"]), locked=True)
        if row.state not in HELD or row.lease_n != job.payload["lease_n"] or row.lease_until is None:
            return
        now = parts.clock.now()
        if now < row.lease_until:
            raise Later(row.lease_until)
        moves.move(work, row, CaseMove.LAPSE, now, detail={"lease_n": row.lease_n})


def require_holder(parts: Parts, row: CaseRow, actor: Actor, token: str) -> None:
    """Returns when this token is the valid one and his. Raises HeldByAnother."""
    his = bool(token) and row.lease_token == token and row.lease_by == actor.person_id
    if row.state not in HELD or not his or not row.held_at(parts.clock.now()):
        raise held(row)


def held(row: CaseRow) -> HeldByAnother:
    """The failure of a token that is not valid: who holds the case, since when and until when; or nobody does."""
    if row.lease_by:
        zh = f"病例现由{row.lease_by_name}持有，您的领取已失效。您写的内容已保留。"
        en = f"The case is held by {row.lease_by_name}; your lease is not valid. What you wrote is kept."
    else:
        name = lifecycle.STATE_NAMES[row.state]
        zh = f"您的领取已失效，病例现在的状态是“{name.zh}”。您写的内容已保留，需要时请重新领取。"
        en = f'Your lease is not valid; the case is "{name.en}" now. What you wrote is kept; take it again if needed.'
    return HeldByAnother(zh, en, _holder(row))


def lock_person(work: Work, actor: Actor) -> None:
    """One taking at a time for one person; always before a case's row is held."""
    work.one(SQL["lock_person"], person_id=actor.person_id)


# ---------------------------------------------------------------- inside
def _taken(row: CaseRow) -> HeldByAnother:
    zh = f"病例现由{row.lease_by_name}持有。请领取另一例，或等其放回。"
    en = f"The case is held by {row.lease_by_name}. Take another one, or wait until it is given back."
    return HeldByAnother(zh, en, _holder(row))


def _holder(row: CaseRow) -> dict[str, object]:
    return {
        "holder": row.lease_by_name,
        "since": row.lease_since.isoformat() if row.lease_since else None,
        "until": row.lease_until.isoformat() if row.lease_until else None,
        "state": row.state.value,
    }


def _give(
    parts: Parts, work: Work, row: CaseRow, actor: Actor, what: CaseMove, *, reason: str = "", skip: bool = False
) -> Lease:
    now = parts.clock.now()
    timing = store.timing(work, row.clinic_id, parts.timing, now)
    token = parts.identifiers.token()
    offered = timing.offer_routine_s if what is CaseMove.REOPEN else timing.offer_seconds(row.urgency)
    flags = row.flags | {"reopened"} if what is CaseMove.REOPEN else row.flags
    row = moves.move(
        work, row, what, now, reason=reason, detail={"lease_n": row.lease_n + 1} | ({"skip": True} if skip else {}),
        lease_n=row.lease_n + 1, lease_token=token, lease_by=actor.person_id, lease_by_name=actor.name, lease_since=now,
        lease_until=now + timedelta(seconds=offered), lease_active_at=now, flags=flags,
        **({"amend_reason": reason} if what is CaseMove.REOPEN else {}),
    )  # fmt: skip
    _begin_draft(parts, work, row, actor, token, now)
    _watch(work, row)
    return _lease(parts, work, row)


def _begin_draft(parts: Parts, work: Work, row: CaseRow, actor: Actor, token: str, now: datetime) -> None:
    """A lease begins with what he wrote before, else with the report in force, else empty."""
    old = work.one(
        SQL["latest_own_draft"], clinic_id=row.clinic_id, case_id=row.case_id, person_id=actor.person_id
    )  # fmt: skip
    content = old["content"] if old else _in_force(work, row)
    work.run(
        SQL["insert_draft"], clinic_id=row.clinic_id, case_id=row.case_id, token=token, person_id=actor.person_id,
        content=work.json(content), version=1 if content else 0, now=now, qr_token=parts.identifiers.token(),
    )  # fmt: skip


def _in_force(work: Work, row: CaseRow) -> dict[str, object]:
    if not row.version:
        return {}
    values = store.version(work, row.clinic_id, row.case_id, row.version).content
    answers = values.get("answers") or []
    return {
        "findings": values.get("findings", ""),
        "impression": values.get("impression", ""),
        "recommendation": values.get("recommendation", ""),
        "answers": {a["question"]: a["answer"] for a in answers if isinstance(a, dict)},  # type: ignore[union-attr]  # our own canonical JSON
    }


def _watch(work: Work, row: CaseRow) -> None:
    work.enqueue(
        row.clinic_id, "worklist.lapse", f"{row.case_id}:{row.lease_n}",
        {"case_id": row.case_id, "lease_n": row.lease_n}, run_at=row.lease_until,
    )  # fmt: skip


def _idle_end(timing: Timing, row: CaseRow, active_at: datetime) -> datetime:
    return active_at + timedelta(seconds=timing.idle_seconds(row.service, row.modality))


def _lease(parts: Parts, work: Work, row: CaseRow) -> Lease:
    assert row.lease_until is not None
    timing = store.timing(work, row.clinic_id, parts.timing, parts.clock.now())
    idle_s = int(timing.idle_seconds(row.service, row.modality))
    return Lease(row.case_id, row.clinic_id, LeaseToken(row.lease_token), row.lease_until, idle_s)


def _trust_clock(parts: Parts) -> None:
    if not parts.clock.trusted:
        raise Unavailable(
            "中心时钟与数据库相差超过 2 秒，暂停领取。请联系管理员。",
            "The center's clock differs from the database's by more than 2 s; no cases are handed out.",
            {"cause": "clock"},
        )


def _count_held(parts: Parts, work: Work, actor: Actor) -> None:
    lock_person(work, actor)
    found = work.one(SQL["held_by"], person_id=actor.person_id, now=parts.clock.now())
    if found and found["n"] >= parts.timing.held_at_once:
        raise OverLimit(
            f"您手上已有 {found['n']} 例，请先完成或放回一例。",
            f"You hold {found['n']} cases; finish one or give one back first.",
            {"held": found["n"], "limit": parts.timing.held_at_once},
        )


def _skips(parts: Parts, work: Work, actor: Actor, row: CaseRow, reason: str, now: datetime) -> bool:
    """Whether this is another case than the next one. Raises Invalid without a reason, OverLimit after three."""
    if row.state is not CaseState.QUEUED:
        raise lifecycle.wrong_state(row.state, lifecycle.possible(lifecycle.CASE, row.state))
    first = work.one(SQL["peek_waiting"], **store.reach_of(actor))
    if first is None or first["case_id"] == row.case_id:
        return False
    if not reason.strip():
        raise Invalid(
            "这不是下一例，请写明为什么先读它。", "This is not the next case; say why you read it first.",
            {"field": "reason", "next": first["case_id"]},
        )  # fmt: skip
    since = now - timedelta(seconds=parts.timing.shift_s)
    found = work.one(SQL["skips_since"], person_id=actor.person_id, since=since)
    if found and found["n"] >= parts.timing.skips_per_shift:
        raise OverLimit(
            f"本班已 {found['n']} 次不按顺序领取，请领取下一例。",
            f"You have passed over the order {found['n']} times in this shift; take the next case.",
            {"skips": found["n"], "limit": parts.timing.skips_per_shift},
        )
    return True


def without_token(row: CaseRow) -> CaseRow:
    """The case as others may see it: another's token is his alone."""
    return replace(row, lease_token="")
