"""Jobs that failed again and again: listed with what they are about and why, tried again, or set aside with a reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from center.database import Database, Row, Work
from center.errors import Invalid, NotFound
from center.identity import SYSTEM, Actor
from center.permits import Act, permit

#: Failed attempts after which a job is shown to people: by then it has been tried for a minute and a half
#: (``center.jobs.WAITS_S``).  The index job_stuck holds the same number.
SEEN_AFTER = 6
#: A list shows at most so many.
LIMIT = 500
_REASON = (2, 500)
_STUCK = f"(state = 'dead' or (state in ('ready', 'running') and attempts >= {SEEN_AFTER}))"
_COLUMNS = "id, clinic_id, handler, payload, state, attempts, created_at, run_at, finished_at, error, last_error"
_LIST = f"select {_COLUMNS} from center.job where {_STUCK} order by created_at, id limit %(limit)s"
_COUNT = f"""select count(*) filter (where state = 'dead') as dead, count(*) filter (where state <> 'dead') as failing
from (select state from center.job where {_STUCK} limit 10000) as stuck"""
_ONE = f"select {_COLUMNS}, dedup from center.job where id = %(id)s and {_STUCK} for update"
_AGAIN = """update center.job j set state = case when exists (select 1 from center.job o where o.clinic_id = j.clinic_id
    and o.handler = j.handler and o.dedup = j.dedup and o.state = 'ready' and o.id <> j.id) then 'done' else 'ready' end,
  attempts = 0, run_at = now(), finished_at = null, lease_by = null, lease_until = null
where id = %(id)s"""
_ASIDE = """update center.job set state = 'dismissed', finished_at = now(), lease_by = null, lease_until = null
where id = %(id)s"""


@dataclass(frozen=True, slots=True)
class StuckJob:
    """subject: ids of what it is about, as its enqueuer wrote them (study_uid, case_id, sha256 ...).

    zh, en: why it failed last. at: the place in the code. next_at: when it is tried again; None: given up.
    """

    id: int
    clinic_id: str
    handler: str
    subject: dict[str, str]
    attempts: int
    since: datetime
    next_at: datetime | None
    error: str
    zh: str
    en: str
    at: str

    @property
    def is_dead(self) -> bool:
        return self.next_at is None


@dataclass(frozen=True, slots=True)
class StuckCount:
    """At most 10,000 are counted."""

    dead: int
    failing: int


_SUBJECT = ("study_uid", "case_id", "version", "delivery_id", "alert_id", "sha256", "model")


def listed(database: Database, limit: int = LIMIT) -> Sequence[StuckJob]:
    """The oldest first."""
    with database.transaction(SYSTEM) as work:
        return [_stuck(row) for row in work.all(_LIST, limit=limit)]


def count(work: Work) -> StuckCount:
    row = work.one(_COUNT)
    assert row is not None
    return StuckCount(row["dead"], row["failing"])


def retry(database: Database, actor: Actor, job_id: int) -> StuckJob:
    """It runs again at once, with all its attempts.  Raises Forbidden, NotFound."""
    _may(actor)
    with database.transaction(actor) as work:
        job = _one(work, job_id)
        work.run(_AGAIN, id=job_id)
        work.run("select pg_notify('helan_job', %(handler)s)", handler=job.handler)
        work.audit(
            "job:retry", f"job:{job_id}", clinic_id=job.clinic_id, handler=job.handler, attempts=job.attempts,
            **_about(job),
        )  # fmt: skip
    return job


def dismiss(database: Database, actor: Actor, job_id: int, reason: str) -> StuckJob:
    """It is not tried again, and somebody said why.  Raises Forbidden, Invalid, NotFound."""
    _may(actor)
    shortest, longest = _REASON
    if not shortest <= len(reason.strip()) <= longest:
        raise Invalid(
            f"请写明搁置的理由（{shortest} 到 {longest} 字）。",
            f"Say why it is set aside ({shortest} to {longest} characters).",
            {"fields": ["reason"]},
        )
    with database.transaction(actor) as work:
        job = _one(work, job_id)
        work.run(_ASIDE, id=job_id)
        work.audit(
            "job:dismiss", f"job:{job_id}", clinic_id=job.clinic_id, reason=reason.strip(), handler=job.handler,
            attempts=job.attempts, **_about(job),
        )  # fmt: skip
    return job


def _may(actor: Actor) -> None:
    if actor.kind != "system":
        permit(actor, Act.JOB_DECIDE)


def _one(work: Work, job_id: int) -> StuckJob:
    row = work.one(_ONE, id=job_id)
    if row is None:
        raise NotFound(
            "没有这个失败的任务，可能已经处理。", "There is no such failed job; it may have been decided already."
        )
    return _stuck(row)


def _about(job: StuckJob) -> dict[str, str]:
    return {name: job.subject[name] for name in ("study_uid", "case_id") if name in job.subject}


def _stuck(row: Row) -> StuckJob:
    error = row["error"] or {}
    name = str(error.get("name") or row["last_error"] or "")
    subject = {n: str(row["payload"][n])[:200] for n in _SUBJECT if row["payload"].get(n) is not None}
    return StuckJob(
        row["id"], row["clinic_id"], row["handler"].partition(":")[0], subject, row["attempts"], row["created_at"],
        None if row["state"] == "dead" else row["run_at"], name, str(error.get("zh") or name),
        str(error.get("en") or name), str(error.get("at") or ""),
    )  # fmt: skip
