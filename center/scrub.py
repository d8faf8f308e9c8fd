"""Every object's bytes compared with its name, in the order in which they were last looked at: ``helan scrub``.

Resumable: the order is kept in the rows.  Bounded: so many bytes a second.  What is wrong or gone stands in
``center.object.damaged_at`` until it is right again: /health and the administrator's page name it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from center import observe
from center.clock import monotonic_s
from center.database import Database, Row
from center.errors import Failure
from center.identity import SYSTEM
from center.jobs import Job, Later
from center.objects.checked import is_right
from center.ports import Clock, ObjectStore

log = observe.log("center")
_looked_at = observe.counter("helan_center_scrubbed_objects_total", "Objects compared with their names", ("outcome",))

HANDLER = "center.scrub"
#: So that readers don't notice it on an ordinary disk (ours).
BYTES_PER_S = 20 << 20
#: Each object at least so often (ours; a disk's silent errors are found while a backup still has the right bytes).
EVERY = timedelta(days=30)
_AT_ONCE = 50
_JOB_S = 60.0
_NIGHT_BEGINS_UTC_H, _NIGHT_H = 17, 5  # 1 to 6 in the morning at Beijing

_NEXT = """select sha256, bytes from center.object where location = 'store'
  and (checked_at is null or checked_at < %(before)s) order by checked_at nulls first, sha256 limit %(limit)s"""
_RIGHT = "update center.object set checked_at = %(now)s, damaged_at = null where sha256 = %(sha256)s"
_WRONG = """update center.object set checked_at = %(now)s, damaged_at = coalesce(damaged_at, %(now)s)
where sha256 = %(sha256)s returning (damaged_at = %(now)s) as is_new"""


@dataclass(frozen=True, slots=True)
class Scrubbed:
    """right, wrong: objects that were looked at; left: some wait still."""

    right: int
    wrong: tuple[str, ...]
    left: bool


class Scrubber:
    """store: as it is, unchecked by itself."""

    def __init__(self, database: Database, store: ObjectStore, clock: Clock, bytes_per_s: float = BYTES_PER_S) -> None:
        self._database = database
        self._store = store
        self._clock = clock
        self._bytes_per_s = bytes_per_s

    def work(self, job: Job) -> None:
        """A minute of the night's round; then the next minute, or the next night.  Raises Later."""
        now = self._clock.now()
        if not is_night(now):
            raise Later(next_night(now))
        done = self.scrub(now - EVERY, seconds=_JOB_S)
        raise Later(self._clock.now() if done.left else next_night(now))

    def each_night(self) -> None:
        """The night's round waits.  Raises Unavailable."""
        with self._database.transaction(SYSTEM) as work:
            now = self._clock.now()
            work.enqueue("", HANDLER, "nightly", {}, run_at=now if is_night(now) else next_night(now))

    def scrub(self, before: datetime, seconds: float | None = None, stop: threading.Event | None = None) -> Scrubbed:
        """Looks at what was not looked at since ``before``, for so many seconds at most.  Raises Unavailable."""
        began, wait = monotonic_s(), stop or threading.Event()
        right, size = 0, 0
        wrong: list[str] = []
        for row in self._rows(before):
            if (seconds is not None and monotonic_s() - began >= seconds) or wait.is_set():
                return Scrubbed(right, tuple(wrong), True)
            if self._look(row):
                right += 1
            else:
                wrong.append(row["sha256"])
            size += row["bytes"]
            wait.wait(max(0.0, size / self._bytes_per_s - (monotonic_s() - began)))
        return Scrubbed(right, tuple(wrong), False)

    def _rows(self, before: datetime) -> Iterator[Row]:
        while True:
            with self._database.transaction(SYSTEM) as work:
                rows = work.all(_NEXT, before=before, limit=_AT_ONCE)
            if not rows:
                return
            yield from rows

    def _look(self, row: Row) -> bool:
        if is_right(self._store, row["sha256"]):
            with self._database.transaction(SYSTEM) as work:
                work.run(_RIGHT, sha256=row["sha256"], now=self._clock.now())
            _looked_at.labels("right").inc()
            return True
        note_damage(self._database, self._clock, row["sha256"])
        _looked_at.labels("wrong").inc()
        return False


def note_damage(database: Database, clock: Clock, sha256: str) -> None:
    """The object's row says since when it is damaged; the first time the audit does too."""
    try:
        with database.transaction(SYSTEM) as work:
            row = work.one(_WRONG, sha256=sha256, now=clock.now())
            if row is not None and row["is_new"]:
                work.audit("object:damaged", f"object:{sha256}")
    except Failure as failure:
        log.error("object.damage_not_noted", sha256=sha256, failure=failure.name)
    log.error("object.damaged", sha256=sha256)


def is_night(now: datetime) -> bool:
    return (now.hour - _NIGHT_BEGINS_UTC_H) % 24 < _NIGHT_H


def next_night(now: datetime) -> datetime:
    tonight = now.replace(hour=_NIGHT_BEGINS_UTC_H, minute=0, second=0, microsecond=0)
    return tonight if tonight > now else tonight + timedelta(days=1)
