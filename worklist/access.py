"""What a reader may see through a case: its study and linked priors, while he holds it or once it is finished."""

from __future__ import annotations

from center.database import Work
from center.errors import Failure, HeldByAnother
from center.identity import Actor, CaseId, ClinicId
from center.permits import Act
from center.ports import Grant
from worklist import leases, lifecycle, moves, store
from worklist.lifecycle import HELD, OPEN_STATES
from worklist.parts import Parts
from worklist.records import CaseRow
from worklist.store import SQL


def through_case(parts: Parts, actor: Actor, case_id: CaseId) -> Grant:
    """Port CaseAccess. Raises NotFound, Forbidden; HeldByAnother while it is unfinished and he does not hold it."""
    with moves.on_case(parts, actor, case_id, Act.READ_VIEW, locked=False) as (_, row):
        holds = _holds(parts, actor, row)
    if row.state in OPEN_STATES and not holds:
        raise _take_first(row)
    priors = parts.studies.priors(actor, row.clinic_id, row.study_uid)
    return Grant(row.case_id, row.clinic_id, row.service, row.study_uid, tuple(p.study_uid for p in priors), holds)


def may_see(parts: Parts, actor: Actor, clinic_id: ClinicId, study_uid: str) -> Grant | None:
    """The grant by the study's own case, else by a case that he holds and of which it is a prior."""
    with parts.database.transaction(actor) as work:
        own = store.case_of_study(work, clinic_id, study_uid)
        held = _held_cases(parts, work, actor)
    for row in ([own] if own else []) + [r for r in held if r.clinic_id == clinic_id]:
        try:
            grant = through_case(parts, actor, row.case_id)
        except Failure:
            continue
        if study_uid in grant.study_uids:
            return grant
    return None


def _held_cases(parts: Parts, work: Work, actor: Actor) -> list[CaseRow]:
    rows = work.all(SQL["cases_held"], person_id=actor.person_id, now=parts.clock.now())
    return [store.case_from(r) for r in rows]


def _holds(parts: Parts, actor: Actor, row: CaseRow) -> bool:
    return row.state in HELD and row.lease_by == actor.person_id and row.held_at(parts.clock.now())


def _take_first(row: CaseRow) -> HeldByAnother:
    if row.lease_by:
        return leases.held(row)
    name = lifecycle.STATE_NAMES[row.state]
    return HeldByAnother(
        f"病例{name.zh}，领取后才能打开图像。", f"The case is {name.en}; take it before opening its images.",
        {"holder": "", "since": None, "until": None, "state": row.state.value},
    )  # fmt: skip
