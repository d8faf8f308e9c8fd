"""A database that goes away between a job's work and its last row: the job is not lost, whoever seems to hold it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

from center.clock import HeldClock
from center.database import Database, Work
from center.errors import Unavailable
from center.identity import SYSTEM, Actor
from center.jobs import Job, Runner


class Cut:
    """The database, until the line is cut."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.is_cut = False

    @contextmanager
    def transaction(self, actor: Actor, clinics: object = None) -> Iterator[Work]:
        if self.is_cut:
            raise Unavailable("数据库不可用。", "The database is away.")
        with self._database.transaction(actor) as work:
            yield work


def enqueue(database: Database, clock: HeldClock) -> None:
    with database.transaction(SYSTEM) as work:
        work.enqueue("shigou", "test.do", "one", {}, run_at=clock.now())


def test_a_job_whose_end_could_not_be_written_down_runs_again(database: Database, clock: HeldClock) -> None:
    line, runs = Cut(database), []

    def work_then_cut(job: Job) -> None:
        runs.append(job.attempts)
        line.is_cut = len(runs) == 1

    runner = Runner(cast(Database, line), {"test.do": work_then_cut}, clock)
    enqueue(database, clock)
    assert runner.run_once() == 1
    line.is_cut = False
    assert runner.run_once() == 0, "the table still says that it runs"
    runner.keep_leases()
    assert runner.run_once() == 1 and runs == [1, 2]
    runner.keep_leases()
    assert runner.run_once() == 0


def test_a_job_in_hand_is_kept_while_it_runs(database: Database, clock: HeldClock) -> None:
    runs = []

    def keeps_house(job: Job) -> None:
        runs.append(job.attempts)
        runner.keep_leases()

    runner = Runner(database, {"test.do": keeps_house}, clock)
    enqueue(database, clock)
    assert runner.run_once() == 1
    runner.keep_leases()
    assert runner.run_once() == 0 and runs == [1]
