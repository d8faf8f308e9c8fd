"""How the center is, looked at part by part: for /health, its page, `helan doctor` and the metrics.

A part is well, worth a look (warning: the center works, somebody should act), or not well.  Only a database that is away
makes the whole "down".
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from center import observe, stuck
from center.errors import Failure
from center.identity import SYSTEM
from portal import beating
from portal.beating import Told
from portal.jobs.rows import NamedJob, named

if TYPE_CHECKING:
    from portal.parts import Parts

#: A due job, and an object in the spool, that wait longer than this are late, s.
LATE_S, SPOOL_LATE_S = 120.0, 900.0
#: Failed jobs that a report names; the page shows all.
NAMED = 10
#: The own DICOM door is asked at most this often, s.
ECHO_EVERY_S = 10.0
#: A process that ended by itself this often in an hour is not well.
ENDS_WARN = 3
#: Waiting jobs are counted up to here.
COUNTED = 10_000

_waiting = observe.gauge("helan_center_jobs_waiting", f"Jobs that are due and wait, counted to {COUNTED}")
_dead = observe.gauge("helan_center_jobs_dead", "Jobs that were given up")
_failing = observe.gauge("helan_center_jobs_failing", "Jobs that failed again and again and are still tried")
_late = observe.gauge(
    "helan_center_jobs_oldest_seconds", "How long the oldest due job of a handler has waited", ("handler",)
)
_spool = observe.gauge("helan_gateway_spool_oldest_seconds", "Age of the oldest object that is not in the store yet")
_free = observe.gauge("helan_gateway_spool_free_bytes", "Free bytes of the spool's disk")
_well = observe.gauge("helan_center_part_well", "1: well, 0.5: worth a look, 0: not well", ("part",))
_age = observe.gauge("helan_center_loop_age_seconds", "Since a loop turned", ("process", "loop"))
_loop_failures = observe.gauge(
    "helan_center_loop_failed_turns", "Of a loop since its process began", ("process", "loop")
)


class Level(StrEnum):
    WELL = "ok"
    LOOK = "warning"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Found:
    """One part. zh, en: what is the matter; "" when nothing is."""

    part: str
    level: Level = Level.WELL
    zh: str = ""
    en: str = ""


@dataclass(frozen=True, slots=True)
class House:
    """All parts, in order, and the figures behind them."""

    parts: tuple[Found, ...]
    jobs: Mapping[str, object] = field(default_factory=dict[str, object])
    stuck: tuple[NamedJob, ...] = ()
    beats: tuple[Told, ...] = ()
    facts: Mapping[str, object] = field(default_factory=dict[str, object])

    @property
    def status(self) -> str:
        levels = {found.part: found.level for found in self.parts}
        if levels.get("database") is Level.BAD:
            return "down"
        if Level.BAD in levels.values():
            return "degraded"
        return "warning" if Level.LOOK in levels.values() else "ok"

    @property
    def serves(self) -> bool:
        """Nothing is broken; there may be something to look at."""
        return self.status in ("ok", "warning")

    def as_json(self, *, whole: bool) -> dict[str, object]:
        """whole: with the studies of failed jobs and each loop; a stranger gets counts."""
        out: dict[str, object] = {
            "status": self.status,
            "checks": {f.part: "ok" if f.level is Level.WELL else f.en for f in self.parts},
            "sentences": {f.part: {"zh": f.zh, "en": f.en} for f in self.parts if f.level is not Level.WELL},
            "warnings": [f.part for f in self.parts if f.level is Level.LOOK],
            "jobs": dict(self.jobs),
            **self.facts,
        }
        if whole:
            out["dead_jobs"] = [job.as_json() for job in self.stuck]
            out["beats"] = [
                {"host": b.host, "process": b.process, "loop": b.loop, "age_s": round(b.turned_s, 1),
                 "failures": b.failures, "silent": b.is_silent} for b in self.beats
            ]  # fmt: skip
        return out


@dataclass(slots=True)
class Looking:
    """Looks at the house of these parts.  echo: asks the own DICOM door; None: well, else what is the matter."""

    parts: Parts
    echo: Callable[[], Failure | None]
    monotonic: Callable[[], float] = time.monotonic
    _echoed: tuple[float, Failure | None] | None = None
    _seen: tuple[float, House] | None = None

    def look(self, within_s: float = 0.0) -> House:
        """within_s: what was seen so lately is enough; a stranger's questions cost nothing then."""
        now = self.monotonic()
        if self._seen is None or now - self._seen[0] >= within_s:
            self._seen = (now, self._look())
        return self._seen[1]

    def _look(self) -> House:
        # side by side: each has a bound of its own, and who asks waits for the longest, not for their sum
        with ThreadPoolExecutor(3, thread_name_prefix="look") as pool:
            asked, store, door = pool.submit(self._database), pool.submit(self._store), pool.submit(self._door)
            database, facts = asked.result()
            found = [database, store.result(), *self._disk(facts), door.result()]
        jobs: dict[str, object] = {}
        stuck_jobs: Sequence[NamedJob] = ()
        beats: Sequence[Told] = ()
        if database.level is not Level.BAD:
            try:
                jobs = dict(_jobs(self.parts))
                stuck_jobs = named(self.parts, NAMED)
                beats = beating.told(self.parts.database)
            except Failure as failure:
                found[0] = Found("database", Level.BAD, failure.zh, failure.en)
            else:
                found += [self._clock(), *_job_parts(jobs, stuck_jobs), _loops(beats), self._ends()]
        return House(tuple(found), jobs, tuple(stuck_jobs), tuple(beats), facts)

    def _database(self) -> tuple[Found, dict[str, object]]:
        facts: dict[str, object] = {"notifier_automatic": self.parts.notifier_is_automatic}
        try:
            now, took_s = self.parts.database.now()
        except Failure as failure:
            return Found("database", Level.BAD, failure.zh, failure.en), facts
        facts["clock_skew_s"] = round(self.parts.clock.correct(now, took_s), 3)
        return Found("database"), facts

    def _clock(self) -> Found:
        if self.parts.clock.trusted:
            return Found("clock")
        skew = f"{self.parts.clock.skew_s:+.1f} s"
        return Found(
            "clock", Level.BAD, f"与数据库的时钟相差 {skew}：暂不分配病例。",
            f"{skew} from the database's clock: no cases are handed out.",
        )  # fmt: skip

    def _store(self) -> Found:
        try:
            self.parts.store.stat("0" * 64)
        except Failure as failure:
            return Found("store", Level.BAD, failure.zh, failure.en)
        return Found("store")

    def _disk(self, facts: dict[str, object]) -> list[Found]:
        """The spool's folder, and what is free around it."""
        spool = self.parts.gateway.spool
        try:
            facts["spool_free_bytes"] = spool.free_bytes()
            spool.check_room()
            disk = Found("disk")
        except Failure as failure:
            disk = Found("disk", Level.BAD, failure.zh, failure.en)
        try:
            probe_writable(spool.folder)
        except OSError as error:
            what = type(error).__name__
            return [disk, Found(
                "spool", Level.BAD, f"接收区 {spool.folder} 不可写（{what}）：不再接收检查。",
                f"The spool {spool.folder} cannot be written ({what}): nothing is taken in.",
            )]  # fmt: skip
        return [disk, Found("spool")]

    def _door(self) -> Found:
        now = self.monotonic()
        if self._echoed is None or now - self._echoed[0] > ECHO_EVERY_S:
            self._echoed = (now, self.echo())
        failure = self._echoed[1]
        return Found("dimse") if failure is None else Found("dimse", Level.BAD, failure.zh, failure.en)

    def _ends(self) -> Found:
        ends: dict[str, int] = {}
        for end in beating.read_ends(self.parts.settings.data):
            if float(end.get("at", 0)) > self.parts.clock.now().timestamp() - 3600.0:
                ends[str(end.get("process"))] = ends.get(str(end.get("process")), 0) + 1
        often = {name: n for name, n in ends.items() if n >= ENDS_WARN}
        if not often:
            return Found("processes")
        text = ", ".join(f"{name} x{n}" for name, n in sorted(often.items()))
        return Found(
            "processes", Level.LOOK, f"一小时内反复重启：{text}。请看日志。",
            f"Started again and again within the hour: {text}. See the logs.",
        )  # fmt: skip


def probe_writable(folder: Path) -> None:
    """Returns when a file can be made there and removed.  Raises OSError."""
    probe = folder / f"{secrets.token_hex(12)}.probe"
    handle = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(handle, b"\0")
    finally:
        os.close(handle)
        probe.unlink(missing_ok=True)


def _job_parts(jobs: Mapping[str, Any], found: Sequence[NamedJob]) -> list[Found]:
    late: Mapping[str, float] = {name: s for name, s in jobs["lanes"].items() if s > LATE_S}
    what = ", ".join(f"{name} {s:.0f} s" for name, s in sorted(late.items(), key=lambda x: -x[1])[:NAMED])
    waits = (
        Found("jobs", Level.BAD, f"有任务等得太久：{what}。", f"Jobs have waited too long: {what}.")
        if late
        else Found("jobs")
    )
    spool_s = float(jobs["spool_oldest_s"])
    spooled = (
        Found(
            "spooled",
            Level.LOOK,
            f"最早收到的对象 {spool_s:.0f} 秒还没有移入存储。",
            f"The oldest received object has not been moved to the store for {spool_s:.0f} s.",
        )
        if spool_s > SPOOL_LATE_S
        else Found("spooled")
    )
    damaged = (
        Found(
            "objects",
            Level.LOOK,
            f"有 {jobs['damaged']} 个对象损坏或缺失：helan scrub，从备份找回。",
            f"{jobs['damaged']} objects are damaged or missing: helan scrub; bring them back from a backup.",
        )
        if jobs["damaged"]
        else Found("objects")
    )
    return [waits, _failed(jobs, found), spooled, damaged]


def _failed(jobs: Mapping[str, Any], found: Sequence[NamedJob]) -> Found:
    if not found:
        return Found("failed_jobs")
    first = found[0].job
    counts = f"{jobs['dead']} + {jobs['failing']}"
    return Found(
        "failed_jobs", Level.LOOK,
        f"有任务一再失败（已放弃 + 再试：{counts}）。最早的是 {first.handler}：{first.zh}请在“失败的任务”页处理。",
        f"Jobs fail again and again (given up + still tried: {counts}). The oldest is {first.handler}: {first.en}"
        " Decide on the page of failed jobs.",
    )  # fmt: skip


def _loops(rows: Sequence[Told]) -> Found:
    amiss_zh: list[str] = []
    amiss_en: list[str] = []
    for row in beating.silent(rows):
        amiss_zh.append(f"{row.process}@{row.host} 已 {row.silent_s:.0f} 秒没有心跳")
        amiss_en.append(f"{row.process}@{row.host} has given no beat for {row.silent_s:.0f} s")
    for row in rows:
        if row.is_silent:
            continue
        if row.turned_s > row.within_s:
            amiss_zh.append(f"{row.process} 的 {row.loop} 已 {row.turned_s:.0f} 秒不动")
            amiss_en.append(f"{row.process}'s {row.loop} has not turned for {row.turned_s:.0f} s")
        elif row.is_ailing:
            amiss_zh.append(f"{row.process} 的 {row.loop} 已 {row.ailing_s:.0f} 秒每次都失败")
            amiss_en.append(f"{row.process}'s {row.loop} has failed each time for {row.ailing_s:.0f} s")
        elif row.note_en:
            amiss_zh.append(row.note_zh.rstrip("。"))
            amiss_en.append(row.note_en.rstrip("."))
    if not amiss_en:
        return Found("loops")
    return Found("loops", Level.BAD, "；".join(amiss_zh[:NAMED]) + "。", "; ".join(amiss_en[:NAMED]) + ".")


# ---------------------------------------------------------------- figures
_JOBS = f"""select count(*) as waiting from (
  select 1 from center.job where state = 'ready' and run_at <= now() limit {COUNTED}) as due"""
#: One step along the index job_due for each handler, however many wait.
_LANES = """with recursive handlers as (
  (select handler from center.job where state = 'ready' order by handler limit 1)
  union all
  select (select j.handler from center.job j where j.state = 'ready' and j.handler > h.handler order by j.handler limit 1)
  from handlers h where h.handler is not null)
select h.handler, extract(epoch from now() - oldest.run_at)::float8 as oldest_s from handlers h
cross join lateral (select run_at from center.job where state = 'ready' and handler = h.handler
  order by run_at limit 1) as oldest
where h.handler is not null and oldest.run_at <= now() limit 200"""
_SPOOL = (
    "select extract(epoch from now() - min(created_at))::float8 as oldest_s from center.object where location = 'spool'"
)


#: Objects whose bytes no longer fit their names (index object_damaged).
_DAMAGED = f"select 1 from center.object where damaged_at is not null limit {COUNTED}"


def _jobs(parts: Parts) -> dict[str, object]:
    with parts.database.transaction(SYSTEM) as work:
        waiting, counted, spool = work.one(_JOBS), stuck.count(work), work.one(_SPOOL)
        damaged = work.all(_DAMAGED)
        lanes = {row["handler"].partition(":")[0]: round(row["oldest_s"], 1) for row in work.all(_LANES)}
    assert waiting is not None and spool is not None
    return {
        "waiting": waiting["waiting"], "dead": counted.dead, "failing": counted.failing,
        "oldest_s": max(lanes.values(), default=0.0), "lanes": lanes, "spool_oldest_s": round(spool["oldest_s"] or 0.0, 1),
        "damaged": len(damaged),
    }  # fmt: skip


def measure(house: House) -> None:
    """Sets the gauges that come from looking."""
    for found in house.parts:
        _well.labels(found.part).set({Level.WELL: 1.0, Level.LOOK: 0.5, Level.BAD: 0.0}[found.level])
    jobs: Mapping[str, Any] = house.jobs
    if jobs:
        _waiting.set(jobs["waiting"])
        _dead.set(jobs["dead"])
        _failing.set(jobs["failing"])
        _spool.set(jobs["spool_oldest_s"])
        _late.clear()
        for handler, seconds in jobs["lanes"].items():
            _late.labels(handler).set(seconds)
    _age.clear()
    for beat in house.beats:
        _age.labels(beat.process, beat.loop).set(beat.turned_s)
        _loop_failures.labels(beat.process, beat.loop).set(beat.failures)
    if isinstance(free := house.facts.get("spool_free_bytes"), int):
        _free.set(free)
