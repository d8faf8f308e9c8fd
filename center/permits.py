"""Who may do what: one function over one table (WORKFLOW.md section 7). No other file asks for a role."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from center.codes import Role, Service
from center.errors import Failure, Forbidden, NotFound
from center.identity import Actor, ClinicId


class Act(StrEnum):
    """What can be done; the names stand in the audit."""

    STUDY_UPLOAD = "study:upload"
    STUDY_VIEW = "study:view"
    REQUEST_WRITE = "request:write"
    IDENTITY_CORRECT = "study:identity:correct"
    UPLOADS_LIST = "uploads:list"
    WORKLIST_VIEW = "worklist:view"
    CASE_VIEW = "case:view"
    URGENCY_RAISE = "case:urgency:raise"
    CASE_CANCEL = "case:cancel"
    LEASE_TAKE = "lease:take"
    CASE_REASSIGN = "case:reassign"
    DRAFT_WRITE = "report:draft:write"
    REPORT_SIGN = "report:final:sign"
    REPORT_AMEND = "report:amend"
    REPORT_WITHDRAW = "report:withdraw"
    REPORT_VIEW = "report:view"
    REPORT_RECEIPT = "report:receipt"
    VERDICT_WRITE = "read:verdict:write"
    READ_VIEW = "read:view"
    QUALITY_REJECT = "case:quality:reject"
    ALERT_RAISE = "alert:raise"
    ALERT_ACKNOWLEDGE = "alert:acknowledge"
    TASK_DO = "task:do"
    BOARD_VIEW = "board:view"
    QUARANTINE_VIEW = "quarantine:view"
    JOBS_VIEW = "jobs:view"
    JOB_DECIDE = "job:decide"
    ADMIN_VIEW = "administration:view"
    ACCESS_CHANGE = "access:change"
    AUDIT_VIEW = "audit:view"
    RESULT_SAVE = "result:save"


class Where(StrEnum):
    """Which clinics a grant reaches."""

    OWN = "own"  # the role is held at the thing's clinic
    AGREEMENT = "agreement"  # an agreement in force and the licence cover the thing's clinic and service
    ANY = "any"  # the role is held anywhere; what is shown goes through a named view


@dataclass(frozen=True, slots=True)
class Grant:
    role: Role
    where: Where


@dataclass(frozen=True, slots=True)
class Thing:
    """What is acted upon, as far as permission needs to know it."""

    clinic_id: ClinicId | None = None
    service: Service | None = None
    name: str = ""
    private: bool = True  # a stranger may not even learn that it exists: 404 instead of 403


def _own(*roles: Role) -> tuple[Grant, ...]:
    return tuple(Grant(r, Where.OWN) for r in roles)


def _any(*roles: Role) -> tuple[Grant, ...]:
    return tuple(Grant(r, Where.ANY) for r in roles)


_READS = (Grant(Role.READER, Where.AGREEMENT),)
_CLINIC = _own(Role.TECHNICIAN, Role.CLINIC_DOCTOR)

GRANTS: dict[Act, tuple[Grant, ...]] = {
    Act.STUDY_UPLOAD: _CLINIC,
    Act.STUDY_VIEW: _CLINIC + _READS,
    Act.REQUEST_WRITE: _CLINIC,
    Act.IDENTITY_CORRECT: _CLINIC,
    Act.UPLOADS_LIST: _CLINIC,
    Act.WORKLIST_VIEW: _any(Role.READER),
    Act.CASE_VIEW: _CLINIC + _READS,
    Act.URGENCY_RAISE: _CLINIC + _READS + _any(Role.DISPATCHER),
    Act.CASE_CANCEL: _CLINIC,
    Act.LEASE_TAKE: _READS,
    Act.CASE_REASSIGN: _any(Role.DISPATCHER),
    Act.DRAFT_WRITE: _READS,
    Act.REPORT_SIGN: _READS,
    Act.REPORT_AMEND: _READS,
    Act.REPORT_WITHDRAW: _READS,
    Act.REPORT_VIEW: _CLINIC + _READS,
    Act.REPORT_RECEIPT: _CLINIC,
    Act.VERDICT_WRITE: _READS,
    Act.READ_VIEW: _READS,
    Act.QUALITY_REJECT: _READS,
    Act.ALERT_RAISE: _READS,
    Act.ALERT_ACKNOWLEDGE: _own(Role.CLINIC_DOCTOR) + _any(Role.DISPATCHER),
    Act.TASK_DO: _any(Role.DISPATCHER) + _READS,
    Act.BOARD_VIEW: _any(Role.DISPATCHER),
    Act.QUARANTINE_VIEW: _any(Role.ADMINISTRATOR),
    Act.JOBS_VIEW: _any(Role.ADMINISTRATOR, Role.DISPATCHER),
    Act.JOB_DECIDE: _any(Role.ADMINISTRATOR, Role.DISPATCHER),
    Act.ADMIN_VIEW: _any(Role.ADMINISTRATOR),
    Act.ACCESS_CHANGE: _any(Role.ADMINISTRATOR),
    Act.AUDIT_VIEW: _any(Role.REGULATOR, Role.ADMINISTRATOR),
    Act.RESULT_SAVE: _READS,
}

#: Acts for which software may not stand in for a licensed physician.
LICENSED = frozenset({Act.REPORT_SIGN, Act.REPORT_AMEND, Act.REPORT_WITHDRAW, Act.ALERT_RAISE})


def permitted(actor: Actor, act: Act, thing: Thing) -> bool:
    """The table grants it to this actor."""
    if act in LICENSED and (not actor.licence or actor.kind != "person"):
        return False
    return any(_reaches(actor, grant, thing) for grant in GRANTS[act])


def permit(actor: Actor, act: Act, thing: Thing = Thing()) -> None:
    """Returns when it is permitted.  Raises NotFound where existence itself is private, else Forbidden."""
    if not permitted(actor, act, thing):
        raise _refusal(actor, act, thing)


def _reaches(actor: Actor, grant: Grant, thing: Thing) -> bool:
    if grant.where is Where.ANY:
        return actor.has_role(grant.role)
    if thing.clinic_id is None:
        return actor.has_role(grant.role) if grant.where is Where.OWN else bool(actor.readings)
    if grant.where is Where.OWN:
        return actor.has_role(grant.role, at=thing.clinic_id)
    service = thing.service
    if service is None:
        return any(actor.reads(thing.clinic_id, s) for s in Service)
    return actor.reads(thing.clinic_id, service)


def _refusal(actor: Actor, act: Act, thing: Thing) -> Failure:
    if thing.private and thing.clinic_id is not None and thing.clinic_id not in actor.clinics:
        return NotFound("没有找到，或不在您的范围内。", "Not found, or not within your reach.", {"act": act.value})
    return Forbidden(
        "您没有这项权限。请联系本中心管理员。",
        "You are not permitted to do this. Ask the center's administrator.",
        {"act": act.value, "grantor": "administrator"},
    )
