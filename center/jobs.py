"""Jobs: delivered at least once, in no promised order, with growing waits; a dead one stays visible.

A handler has a key, loads the state, decides and does its work once: it may run twice, and every process may die
between any two of its lines.
"""

from __future__ import annotations

import os
import socket
import threading
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from center import loops, observe
from center.database import Database, Row, Work
from center.errors import Failure, Unavailable
from center.identity import SYSTEM, ClinicId
from center.ports import Clock

log = observe.log("center")

#: Waits after each failed attempt, s; the last repeats until MAX_ATTEMPTS.
WAITS_S = (1, 2, 5, 15, 60, 300)
MAX_ATTEMPTS = 20
LEASE_S = 120
#: A lane that has one job in hand for longer is stuck, s: a day of twelve leads is read in minutes, a gigabyte moved too.
JOB_WITHIN_S = 3600.0


@dataclass(frozen=True, slots=True)
class Job:
    id: int
    clinic_id: ClinicId
    handler: str
    key: str
    payload: dict[str, Any]  # JSON written by the enqueuer
    attempts: int


Handler = Callable[[Job], None]


class Later(Exception):
    """Raised by a handler: not wrong, only too early."""

    def __init__(self, at: datetime) -> None:
        super().__init__(at.isoformat())
        self.at = at


#: The due jobs of a runner's handlers, the most urgent first.  One probe of the index job_pick for each handler and
#: priority that waits ("level"), then the first due ones of the levels in turn: what else waits is not touched, be it a
#: million, and neither is what isn't due yet.
_CLAIM = """with recursive level as (
  select handler, (select max(priority) from center.job j where j.state = 'ready' and j.handler = h.handler) as priority
  from unnest(%(handlers)s::text[]) h(handler)
  union all
  select handler, (select max(priority) from center.job j where j.state = 'ready' and j.handler = level.handler
    and j.priority < level.priority)
  from level where priority is not null),
due as (
  select level.handler, level.priority, first.run_at from level cross join lateral (
    select j.run_at from center.job j where j.state = 'ready' and j.handler = level.handler
      and j.priority = level.priority and j.run_at <= %(now)s order by j.run_at limit 1) first
  where level.priority is not null order by level.priority desc, first.run_at),
picked as materialized (
  select one.id from due cross join lateral (
    select j.id from center.job j where j.state = 'ready' and j.handler = due.handler and j.priority = due.priority
      and j.run_at <= %(now)s order by j.run_at, j.id for update skip locked limit %(limit)s) one
  limit %(limit)s)
update center.job set state = 'running', attempts = attempts + 1, lease_by = %(me)s,
  lease_until = now() + make_interval(secs => %(lease)s)
where id = any(array(select id from picked))
returning id, clinic_id, handler, dedup, payload, attempts, priority, run_at"""
_FENCE = "where id = %(id)s and state = 'running' and lease_by = %(me)s and attempts = %(attempts)s"
_DONE = f"update center.job set state = 'done', finished_at = now(), last_error = null, error = null {_FENCE}"
_DEAD = f"update center.job set state = 'dead', finished_at = now(), last_error = %(said)s, error = %(error)s {_FENCE}"
_AGAIN = f"""update center.job j set state = case when exists (select 1 from center.job o where o.clinic_id = j.clinic_id
    and o.handler = j.handler and o.dedup = j.dedup and o.state = 'ready') then 'done' else 'ready' end,
  run_at = %(run_at)s, last_error = %(said)s, error = %(error)s, lease_by = null, lease_until = null, attempts = %(keep)s {_FENCE}"""
#: One whose process died: the first time it runs again at once; what dies with each process that takes it waits longer
#: each time, so that others get their turn, and is given up in the end like one that fails.
_LAPSED = """update center.job j set state = case when attempts >= %(most)s then 'dead'
    when exists (select 1 from center.job o where o.clinic_id = j.clinic_id
      and o.handler = j.handler and o.dedup = j.dedup and o.state = 'ready') then 'done' else 'ready' end,
  finished_at = case when attempts >= %(most)s then now() end,
  run_at = case when attempts > 1 then greatest(run_at, now() + make_interval(secs =>
    (%(waits)s::int[])[least(attempts - 1, array_length(%(waits)s::int[], 1))])) else run_at end,
  last_error = case when attempts > 1 then %(said)s else last_error end,
  error = case when attempts > 1 then %(error)s else error end,
  lease_by = null, lease_until = null where state = 'running' and lease_until < now()"""
_PROCESS_ENDED = {
    "name": "process_ended",
    "zh": "处理它的进程没有做完就结束了。",
    "en": "The process that worked on it ended before it was done.",
}
_RENEW = """update center.job set lease_until = now() + make_interval(secs => %(lease)s)
where lease_by = %(me)s and state = 'running' and id = any(%(in_hand)s)"""
#: A claim or a finish whose commit was cut off: the row says that this runner has the job, and it has not.
_NOT_IN_HAND = """update center.job set lease_until = now() - interval '1 second'
where lease_by = %(me)s and state = 'running' and not (id = any(%(in_hand)s))"""
#: So many at most each time: a week's jobs never go in one long transaction.
_OLD = """delete from center.job where id = any(array(select id from center.job
  where state = 'done' and finished_at < now() - interval '7 days' order by finished_at limit 1000))"""


class Runner:
    """Takes jobs of its handlers and runs them, one at a time; several runners and processes share the table."""

    def __init__(self, database: Database, handlers: Mapping[str, Handler], clock: Clock, *, name: str = "") -> None:
        self._database = database
        self._handlers = dict(handlers)
        self._clock = clock
        self._loop = f"lane {name}".strip()
        self._me = f"{socket.gethostname()}:{os.getpid()}:{name or uuid.uuid4().hex[:8]}"
        self._run = observe.counter("helan_center_jobs_total", "Jobs run", ("handler", "outcome"))
        self._in_hand: set[int] = set()
        self._claiming = threading.Lock()  # housekeeping never sees a job that is claimed and not yet in hand

    def run_once(self, limit: int = 1, began: Callable[[], None] = lambda: None) -> int:
        """Runs up to ``limit`` due jobs; how many there were. ``began`` is told before each. Raises Unavailable."""
        with self._claiming:
            with self._database.transaction(SYSTEM) as work:
                rows = work.all(
                    _CLAIM, me=self._me, lease=LEASE_S, now=self._clock.now(), handlers=list(self._handlers),
                    limit=limit,
                )  # fmt: skip
            self._in_hand = {row["id"] for row in rows}
        for row in sorted(rows, key=lambda r: (-r["priority"], r["run_at"], r["id"])):  # returning keeps no order
            try:
                began()
                self._one(row)
            finally:
                self._in_hand.discard(row["id"])
        return len(rows)

    def run_until_idle(self, limit: int = 1000) -> int:
        """Runs due jobs until none is due: for tests and commands."""
        done = 0
        while done < limit and (ran := self.run_once(10)):
            done += ran
        return done

    def serve(self, stop: threading.Event) -> None:
        """Runs jobs until told to stop, woken by notifications and each second, whatever it meets."""
        loops.keep(self._loop, stop, lambda beat: self._live(stop, beat))

    def _live(self, stop: threading.Event, beat: loops.Beat) -> None:
        for _ in self._database.listen("helan_job", stop=stop, quiet_s=1.0):
            beat()
            while not stop.is_set() and self.run_once(began=lambda: beat(within_s=JOB_WITHIN_S)):
                beat()

    def serve_housekeeping(self, stop: threading.Event) -> None:
        """Keeps this runner's leases and gives back those of processes that died."""
        loops.every(5.0, f"{self._loop} leases", stop, self.keep_leases)

    def keep_leases(self) -> None:
        """What this runner has in hand stays its own; what only the table says it has runs again. Raises Unavailable."""
        with self._claiming, self._database.transaction(SYSTEM) as work:
            in_hand = list(self._in_hand)
            work.run(_NOT_IN_HAND, me=self._me, in_hand=in_hand)
            work.run(_RENEW, me=self._me, lease=LEASE_S, in_hand=in_hand)
            _give_back(work)
            work.run(_OLD)

    def give_back_mine(self, host: str) -> None:
        """At start: what dead processes of this host were running is ready again at once."""
        with self._database.transaction(SYSTEM) as work:
            for row in work.all("select distinct lease_by from center.job where state = 'running'"):
                if _is_dead(row["lease_by"] or "", host):
                    work.run(
                        "update center.job set lease_until = now() - interval '1 second' where lease_by = %(by)s and state = 'running'",
                        by=row["lease_by"],
                    )
            _give_back(work)

    def _one(self, row: Row) -> None:
        job = Job(row["id"], ClinicId(row["clinic_id"]), row["handler"], row["dedup"], row["payload"], row["attempts"])
        try:
            self._handlers[job.handler](job)
        except Later as later:
            self._finish(job, _AGAIN, run_at=later.at, said=None, error=None, keep=job.attempts - 1)
            self._run.labels(job.handler, "later").inc()
        except BaseException as error:  # the process's rim, panics of extension modules too: logged, tried again
            self._failed(job, error)
        else:
            self._finish(job, _DONE)
            self._run.labels(job.handler, "done").inc()

    def _failed(self, job: Job, error: BaseException) -> None:
        away = isinstance(error, Unavailable)
        dead = job.attempts >= MAX_ATTEMPTS and not away
        log.error("job.failed", exc=error, handler=job.handler, job=job.id, attempts=job.attempts, dead=dead)
        self._run.labels(job.handler, "dead" if dead else "failed").inc()
        text = error.en if isinstance(error, Failure) else type(error).__name__
        words = Work.json(_in_words(error))
        if dead:
            self._finish(job, _DEAD, said=text, error=words)
        else:
            wait = WAITS_S[min(job.attempts, len(WAITS_S)) - 1]
            self._finish(
                job,
                _AGAIN,
                run_at=self._clock.now() + timedelta(seconds=wait),
                said=text,
                error=words,
                keep=job.attempts,
            )

    def _finish(self, job: Job, sql: str, **params: Any) -> None:
        try:
            with self._database.transaction(SYSTEM) as work:
                work.run(sql, id=job.id, me=self._me, attempts=job.attempts, **params)
        except Unavailable:  # housekeeping finds that it is not in hand, and it runs again: at least once
            log.warning("job.finish_lost", handler=job.handler, job=job.id)


def _give_back(work: Work) -> None:
    work.run(
        _LAPSED, most=MAX_ATTEMPTS, waits=list(WAITS_S), said=_PROCESS_ENDED["en"], error=work.json(_PROCESS_ENDED)
    )


def _in_words(error: BaseException) -> dict[str, str]:
    """What people read of a failure: our own sentences; of an error in the program its class and place, not its text,
    which can hold a patient's data."""
    name = type(error).__name__
    if isinstance(error, Failure):
        return {"name": error.name, "zh": error.zh, "en": error.en, "at": observe.places(error)}
    zh, en = f"程序在这一步出错（{name}）。", f"An error in the program ({name})."
    return {"name": name, "zh": zh, "en": en, "at": observe.places(error)}


def _is_dead(lease_by: str, host: str) -> bool:
    parts = lease_by.split(":")
    if len(parts) < 2 or parts[0] != host:
        return False
    try:
        os.kill(int(parts[1]), 0)
    except ProcessLookupError:
        return True
    except (PermissionError, ValueError):
        return False
    return False
