"""A job that failed again and again is seen with its reason, and a person decides; the decision is in the audit."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from center import postgres_driver as driver
from center import stuck
from center.clock import HeldClock
from center.codes import Role
from center.database import Database
from center.errors import Forbidden, Invalid, NotFound, Unreadable
from center.identity import SYSTEM, Actor, ClinicId, Membership, PersonId
from center.jobs import MAX_ATTEMPTS, WAITS_S, Job, Runner

STUDY = "1.2.826.0.1.3680043.8.498.77"


def person(role: Role) -> Actor:
    return Actor(PersonId("p1"), "p1", "人", memberships=frozenset({Membership(ClinicId("county"), role)}))


def failing(error: Callable[[], BaseException]) -> Callable[[Job], None]:
    def handler(job: Job) -> None:
        raise error()

    return handler


class Panic(BaseException):
    """As extension modules throw theirs: no Exception."""


def fail(
    database: Database, clock: HeldClock, times: int, error: Callable[[], BaseException] = ZeroDivisionError
) -> None:
    with database.transaction(SYSTEM) as work:
        work.enqueue("shigou", "gateway.file_report", "one", {"study_uid": STUDY, "n": 1}, run_at=clock.now())
    runner = Runner(database, {"gateway.file_report": failing(error)}, clock)
    for _ in range(times):
        assert runner.run_once() == 1
        clock.advance(WAITS_S[-1])


def test_it_is_seen_before_it_is_given_up_and_stays_seen_afterwards(database: Database, clock: HeldClock) -> None:
    fail(database, clock, stuck.SEEN_AFTER - 1)
    assert stuck.listed(database) == []
    fail(database, clock, 1)
    (job,) = stuck.listed(database)
    assert not job.is_dead and job.subject == {"study_uid": STUDY} and job.attempts == stuck.SEEN_AFTER
    assert job.error == "ZeroDivisionError" and "ZeroDivisionError" in job.en and "ZeroDivisionError" in job.zh
    assert "test_stuck.py:" in job.at
    fail(database, clock, MAX_ATTEMPTS - stuck.SEEN_AFTER)
    (job,) = stuck.listed(database)
    assert job.is_dead and job.attempts == MAX_ATTEMPTS
    with database.transaction(SYSTEM) as work:
        assert stuck.count(work) == stuck.StuckCount(1, 0)


def test_a_failure_of_ours_is_told_in_both_languages_and_a_panic_by_its_name(
    database: Database, clock: HeldClock
) -> None:
    fail(database, clock, stuck.SEEN_AFTER, lambda: Unreadable("不是 DICOM。", "Not DICOM."))
    (job,) = stuck.listed(database)
    assert (job.error, job.zh, job.en) == ("unreadable", "不是 DICOM。", "Not DICOM.")
    fail(database, clock, 1, Panic)
    assert stuck.listed(database)[0].error == "Panic"


def test_an_error_of_the_program_is_told_without_its_text(database: Database, clock: HeldClock) -> None:
    fail(database, clock, stuck.SEEN_AFTER, lambda: ValueError("Zhang^San"))
    with database.transaction(SYSTEM) as work:
        row = work.one("select error::text as error, last_error from center.job")
    assert row is not None and "Zhang" not in row["error"] + row["last_error"]


def test_retried_it_runs_at_once_with_all_its_attempts(database: Database, clock: HeldClock) -> None:
    fail(database, clock, MAX_ATTEMPTS)
    stuck.retry(database, person(Role.DISPATCHER), stuck.listed(database)[0].id)
    done: list[str] = []
    runner = Runner(database, {"gateway.file_report": lambda job: done.append(f"{job.key} {job.attempts}")}, clock)
    clock.advance(10 * 365 * 86400)  # its time is the database's now
    assert runner.run_once() == 1 and done == ["one 1"] and stuck.listed(database) == []
    with database.transaction(SYSTEM) as work:
        row = work.one("select * from center.audit where act = 'job:retry'")
    assert row is not None and row["login"] == "p1" and row["clinic_id"] == "shigou"
    assert row["detail"]["study_uid"] == STUDY and row["detail"]["attempts"] == MAX_ATTEMPTS


def test_one_that_waits_anew_already_is_not_doubled(database: Database, clock: HeldClock) -> None:
    fail(database, clock, MAX_ATTEMPTS)
    with database.transaction(SYSTEM) as work:
        work.enqueue("shigou", "gateway.file_report", "one", {})
    stuck.retry(database, SYSTEM, stuck.listed(database)[0].id)
    with database.transaction(SYSTEM) as work:
        states = sorted(r["state"] for r in work.all("select state from center.job"))
    assert states == ["done", "ready"]


def test_set_aside_it_is_gone_with_a_reason_in_the_audit(database: Database, clock: HeldClock) -> None:
    fail(database, clock, MAX_ATTEMPTS)
    number, admin = stuck.listed(database)[0].id, person(Role.ADMINISTRATOR)
    for reason in ("", " ", "x" * 501):
        with pytest.raises(Invalid):
            stuck.dismiss(database, admin, number, reason)
    stuck.dismiss(database, admin, number, "检查已作废")
    assert stuck.listed(database) == []
    with database.transaction(SYSTEM) as work:
        row = work.one("select * from center.audit where act = 'job:dismiss'")
    assert row is not None and row["reason"] == "检查已作废" and row["thing"] == f"job:{number}"
    for decide in (
        lambda: stuck.retry(database, admin, number),
        lambda: stuck.dismiss(database, admin, number, "again"),
    ):
        with pytest.raises(NotFound):
            decide()


def test_only_administrators_and_dispatchers_decide(database: Database, clock: HeldClock) -> None:
    fail(database, clock, MAX_ATTEMPTS)
    number = stuck.listed(database)[0].id
    for role in (Role.READER, Role.TECHNICIAN, Role.CLINIC_DOCTOR, Role.REGULATOR):
        with pytest.raises(Forbidden):
            stuck.retry(database, person(role), number)
        with pytest.raises(Forbidden):
            stuck.dismiss(database, person(role), number, "")


def test_a_job_that_ends_its_process_each_time_waits_longer_and_is_given_up(
    database: Database, clock: HeldClock
) -> None:
    """A segmentation fault or the kernel's memory killer: no handler's rim sees it."""
    with database.transaction(SYSTEM) as work:
        work.enqueue("shigou", "test.poison", "one", {"study_uid": STUDY})
    for attempt in range(1, MAX_ATTEMPTS + 1):
        with database.transaction(SYSTEM) as work:
            work.run(
                "update center.job set state = 'running', attempts = %(n)s, lease_by = 'here:999999999:x',"
                " lease_until = now() + interval '1 minute', run_at = now()",
                n=attempt,
            )
        Runner(database, {}, clock).give_back_mine("here")
        with database.transaction(SYSTEM) as work:
            row = work.one("select state, extract(epoch from run_at - now())::float8 as wait_s from center.job")
        assert row is not None
        if attempt < MAX_ATTEMPTS:
            expected = 0 if attempt == 1 else WAITS_S[min(attempt - 2, len(WAITS_S) - 1)]
            assert row["state"] == "ready" and abs(row["wait_s"] - expected) < 1.0, attempt
    assert row["state"] == "dead" and stuck.listed(database)[0].error == "process_ended"


def test_the_lists_find_their_rows_without_walking_over_the_others(
    database: Database, emptied: dict[str, str], clock: HeldClock
) -> None:
    with driver.connect(emptied["admin"], autocommit=True) as connection:
        connection.execute(
            "insert into center.job (clinic_id, handler, dedup, payload) select '', 'test.do', n::text, '{}'"
            " from generate_series(1, 20000) n"
        )
        connection.execute("analyze center.job")
    fail(database, clock, 0)
    with database.transaction(SYSTEM) as work:
        work.run("update center.job set state = 'dead' where handler = 'gateway.file_report'")
        for sql in (stuck._LIST, stuck._COUNT):  # pyright: ignore[reportPrivateUsage]
            plan = "\n".join(r["QUERY PLAN"] for r in work.all(f"explain {sql}", limit=10))
            assert "job_stuck" in plan and "Seq Scan" not in plan, plan
