"""Loops go on whatever is thrown into them, say so, and one that stands still is found."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from center import loops
from center.clock import HeldClock
from center.database import Database
from center.errors import Unavailable
from center.identity import SYSTEM
from center.jobs import Runner
from center.loops import Beats, every, keep
from portal import beating
from portal.beating import Beating


class Panic(BaseException):
    """As extension modules throw theirs: no Exception."""


THROWN: tuple[BaseException, ...] = (
    ValueError("x"), MemoryError(), Unavailable("忙。", "Busy."), Panic(), SystemExit(1), RecursionError(), OSError(28, "x"),
)  # fmt: skip


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loops, "WAITS_S", (0.0, 0.01))
    monkeypatch.setattr(loops, "AWAY_S", 0.0)


def until(claim: Callable[[], object], within_s: float = 20.0) -> None:
    end = time.monotonic() + within_s
    while not claim():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_whatever_is_thrown_into_a_loop_it_turns_on_and_counts() -> None:
    stop, among, left = threading.Event(), Beats(), list(THROWN)

    def turn() -> None:
        if left:
            raise left.pop()
        stop.set()

    every(0.0, "test", stop, turn, among=among)
    assert left == [] and among.pulses() == [], "an orderly end is not missed"


def test_failures_are_told_with_their_number_and_wellness_ends_them() -> None:
    stop, among, fails, go_on = threading.Event(), Beats(), [True], threading.Event()

    def live(beat: loops.Beat) -> None:
        if fails[0]:
            raise ValueError
        beat()
        go_on.set()
        stop.wait(0.01)

    thread = threading.Thread(target=keep, args=("test", stop, live), kwargs={"among": among})
    thread.start()
    until(lambda: among.pulses() and among.pulses()[0].failures >= 3)
    pulse = among.pulses()[0]
    assert pulse.ailing_s > pulse.age_s, "it turns, and has not turned well"
    fails[0] = False
    assert go_on.wait(10)
    assert among.pulses()[0].ailing_s < 5
    stop.set()
    thread.join(10)


def test_a_thread_that_dies_all_the_same_and_one_that_stands_still_are_stuck() -> None:
    now = [0.0]
    among = Beats(lambda: now[0])
    thread = threading.Thread(target=lambda: among.begin("dead"))
    thread.start()
    thread.join(10)
    among.begin("still", 5.0)
    assert {p.loop: p.is_stuck for p in among.pulses()} == {"dead": True, "still": False}
    now[0] = 5.1
    assert {p.loop: p.is_dead for p in among.pulses() if p.is_stuck} == {"dead": True, "still": False}


def test_a_long_job_has_its_own_time() -> None:
    now = [0.0]
    among = Beats(lambda: now[0])
    beat = among.begin("lane", 5.0)
    beat(within_s=100.0)
    now[0] = 50.0
    assert not among.pulses()[0].is_stuck
    beat()
    now[0] = 56.0
    assert among.pulses()[0].is_stuck


# ---------------------------------------------------------------- what the process tells
def test_a_stuck_loop_ends_its_process_and_a_well_one_keeps_its_file_young(database: Database, tmp_path: Path) -> None:
    among, ended, stop = Beats(), [], threading.Event()
    among.begin("well")
    path = tmp_path / "run" / "worker.beat"
    told = Beating(database, "worker", path, among=among, end=lambda pulse: (ended.append(pulse.loop), stop.set()))
    thread = threading.Thread(target=told.touch, args=(stop,))
    thread.start()
    until(path.exists)
    path.unlink()
    until(path.exists)  # somebody tidied the folder
    assert ended == []
    dead = threading.Thread(target=lambda: among.begin("dead"))
    dead.start()
    dead.join(10)
    thread.join(10)
    assert ended == ["dead"]


def test_rows_say_who_turned_when_and_an_orderly_stop_takes_them_away(database: Database, tmp_path: Path) -> None:
    now = [100.0]
    among = Beats(lambda: now[0])
    among.begin("lane 0")
    among.begin("dimse").note("自己的端口不应答。", "It does not answer itself.")
    now[0] = 107.0
    told = Beating(database, "worker", tmp_path / "worker.beat", among=among, host="a")
    told.tell()
    rows = beating.told(database)
    assert [(r.process, r.loop, r.age_s, r.note_en) for r in rows] == [
        ("worker", "dimse", 7.0, "It does not answer itself."), ("worker", "lane 0", 7.0, ""),
    ]  # fmt: skip
    assert beating.silent(rows) == [] and rows[0].turned_s >= 7.0
    among.end("dimse")
    told.tell()
    assert [r.loop for r in beating.told(database)] == ["lane 0"]
    with database.transaction(SYSTEM) as work:
        work.run("update center.beat set at = now() - interval '31 seconds'")
    assert [r.process for r in beating.silent(beating.told(database))] == ["worker"]
    told.gone()
    assert beating.told(database) == []


# ---------------------------------------------------------------- the job table locked
def test_a_lane_and_its_leases_live_through_a_lock_on_the_job_table(
    emptied: dict[str, str], clock: HeldClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A migration or VACUUM FULL holds it longer than any statement may wait."""
    monkeypatch.setattr("center.database.LOCK_S", 0.2)
    database = Database(emptied["helan_service"], {})
    done, stop = threading.Event(), threading.Event()
    runner = Runner(database, {"test.do": lambda job: done.set()}, clock, name="locked")
    threads = [threading.Thread(target=f, args=(stop,)) for f in (runner.serve, runner.serve_housekeeping)]
    try:
        with database.transaction(SYSTEM) as work:
            work.enqueue("shigou", "test.do", "one", {}, run_at=clock.now())
        with Database(emptied["helan_service"], {}).transaction(SYSTEM) as other:
            other.run("lock table center.job in access exclusive mode")
            threads[0].start()
            threads[1].start()
            until(lambda: any(p.loop == "lane locked" and p.failures >= 2 for p in loops.beats.pulses()))
            assert not done.is_set()
        assert done.wait(20), "the lane goes on"
        assert all(t.is_alive() for t in threads)
    finally:
        stop.set()
        for thread in threads:
            thread.join(20)
        database.close()
