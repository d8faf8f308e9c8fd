"""The one door to PostgreSQL: row security, transactions, events with their jobs, jobs at least once."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from datetime import timedelta

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from center import postgres_driver as driver
from center.clock import HeldClock
from center.codes import Role
from center.database import Database, UniqueViolation
from center.errors import Unavailable
from center.events import Event, StudyCompleted
from center.identity import SYSTEM, Actor, ClinicId, Membership, PersonId, system_for
from center.jobs import LEASE_S, MAX_ATTEMPTS, WAITS_S, Job, Later, Runner
from center.migrations import ROOMS, migrate, migrations
from tests.makers.relay import relay

SHIGOU, HELAN = ClinicId("shigou"), ClinicId("helan")


def person(*clinics: ClinicId) -> Actor:
    return Actor(PersonId("p1"), "p1", "人", memberships=frozenset(Membership(c, Role.TECHNICIAN) for c in clinics))


def add_patient(database: Database, clinic: ClinicId, local_id: str, actor: Actor | None = None) -> None:
    with database.transaction(actor or system_for(clinic)) as work:
        work.run(
            "insert into center.patient (clinic_id, patient_id, local_id, name) values (%(c)s, %(p)s, %(l)s, '某人')",
            c=clinic, p=f"{clinic}-{local_id}", l=local_id,
        )  # fmt: skip


def patients(database: Database, actor: Actor) -> set[str]:
    with database.transaction(actor) as work:
        return {row["patient_id"] for row in work.all("select patient_id from center.patient")}


# ---------------------------------------------------------------- row security
@pytest.fixture
def both(database: Database, clinics: tuple[str, ...]) -> Database:
    """A database in which two clinics have a patient of the same local number."""
    for clinic in (SHIGOU, HELAN):
        add_patient(database, clinic, "0001")
    return database


def test_without_clinics_there_are_no_rows(both: Database) -> None:
    assert patients(both, SYSTEM) == set()


def test_an_actor_sees_the_rows_of_his_clinics_only(both: Database) -> None:
    assert patients(both, person(SHIGOU)) == {"shigou-0001"}
    assert patients(both, person(SHIGOU, HELAN)) == {"shigou-0001", "helan-0001"}


def test_the_web_role_is_bound_as_well(both: Database, web_database: Database) -> None:
    assert patients(web_database, person(HELAN)) == {"helan-0001"}
    assert patients(web_database, SYSTEM) == set()


def test_a_row_of_another_clinic_cannot_be_written(both: Database) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        add_patient(both, HELAN, "0002", actor=person(SHIGOU))


def test_a_row_cannot_be_moved_to_another_clinic(both: Database) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege), both.transaction(person(SHIGOU)) as work:
        work.run("update center.patient set clinic_id = 'helan', patient_id = 'moved'")


def test_a_row_of_another_clinic_cannot_be_changed(both: Database) -> None:
    with both.transaction(person(SHIGOU)) as work:
        assert work.run("update center.patient set name = '别人' where patient_id = 'helan-0001'") == 0


def test_two_clinics_may_use_the_same_number_and_one_clinic_may_not(both: Database) -> None:
    with pytest.raises(UniqueViolation):
        with both.transaction(system_for(SHIGOU)) as work:
            work.run(
                "insert into center.patient (clinic_id, patient_id, local_id, name)"
                " values ('shigou', 'another', '0001', '某人')"
            )


def test_the_setting_is_gone_after_the_transaction(emptied: dict[str, str], clinics: tuple[str, ...]) -> None:
    database = Database(emptied["helan_service"], {}, size=1)
    try:
        add_patient(database, SHIGOU, "0001")
        with database.transaction(person(SHIGOU)) as work:
            backend = work.one("select pg_backend_pid() as pid")
        with database.transaction(SYSTEM) as work:
            assert work.one("select pg_backend_pid() as pid") == backend  # the same connection, not another's luck
            assert work.all("select 1 from center.patient") == []
    finally:
        database.close()


def test_a_rolled_back_transaction_leaves_no_setting_behind(both: Database) -> None:
    with pytest.raises(ZeroDivisionError), both.transaction(person(SHIGOU)):
        raise ZeroDivisionError
    assert patients(both, SYSTEM) == set()


def test_every_table_with_a_clinic_key_is_secured(migrated: dict[str, str]) -> None:
    with driver.connect(migrated["admin"]) as connection:
        loose = connection.execute(
            """select c.oid::regclass::text from pg_class c
            join pg_namespace n on n.oid = c.relnamespace and n.nspname in ('gateway', 'inference', 'worklist')
            join pg_attribute a on a.attrelid = c.oid and a.attname = 'clinic_id' and not a.attisdropped
            where c.relkind = 'r' and not (c.relrowsecurity and c.relforcerowsecurity)"""
        ).fetchall()
    # ref tables of GROUND.md: a caller is known before any clinic is, and a QR token names nobody
    assert {row[0] for row in loose} <= {"gateway.peer", "gateway.association", "worklist.qr"}


def test_the_running_roles_own_nothing_and_bypass_nothing(migrated: dict[str, str]) -> None:
    with driver.connect(migrated["admin"]) as connection:
        roles = connection.execute(
            "select rolname, rolsuper, rolbypassrls, rolcreaterole, rolcreatedb from pg_roles"
            " where rolname like 'helan%'"
        ).fetchall()
        owned = connection.execute(
            "select count(*) from pg_class where relowner in ('helan_web'::regrole, 'helan_service'::regrole)"
        ).fetchone()
    assert {row[0] for row in roles} == {"helan_owner", "helan_web", "helan_service"}
    assert not any(any(row[1:]) for row in roles)
    assert owned == (0,)


def test_a_powerful_role_is_refused(migrated: dict[str, str]) -> None:
    database = Database(migrated["admin"], {})
    try:
        with pytest.raises(RuntimeError, match="row security does not bind"):
            database.refuse_if_powerful()
    finally:
        database.close()


def test_the_running_roles_are_not_refused(database: Database, web_database: Database) -> None:
    database.refuse_if_powerful()
    web_database.refuse_if_powerful()


@pytest.mark.parametrize("statement", [
    "update center.audit set act = 'other'",
    "delete from center.audit",
    "truncate center.audit",
    "update center.audit_chain set hash = ''",
    "delete from center.audit_head",
    "alter table center.audit disable row level security",
    "drop table center.audit_chain",
])  # fmt: skip
@pytest.mark.parametrize("role", ["helan_web", "helan_service"])
def test_no_running_role_can_change_the_audit(emptied: dict[str, str], role: str, statement: str) -> None:
    with driver.connect(emptied[role]) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute(statement.encode())


def test_a_database_that_is_away_is_unavailable_in_two_languages() -> None:
    database = Database("host=127.0.0.1 port=1 user=nobody dbname=none", {}, wait_s=0.3)
    try:
        with pytest.raises(Unavailable) as caught, database.transaction(SYSTEM):
            pass
    finally:
        database.close()
    assert "数据库" in caught.value.zh and "database" in caught.value.en


@pytest.mark.parametrize("setting", ["lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout"])
def test_what_was_cancelled_or_timed_out_is_unavailable_and_the_next_one_goes_on(
    database: Database, emptied: dict[str, str], setting: str
) -> None:
    with driver.connect(emptied["helan_service"]) as other:
        other.execute("lock table center.job in access exclusive mode")
        with pytest.raises(Unavailable) as caught, database.transaction(SYSTEM) as work:
            work.run(f"set local {setting} = '100ms'")
            if setting.startswith("idle"):
                time.sleep(0.5)
            work.all("select * from center.job" if not setting.startswith("idle") else "select 1")
    assert caught.value.answer.http == 503 and caught.value.answer.dimse == 0xA700
    assert waiting(database) == []


def test_a_frozen_database_is_unavailable_in_bounded_time_and_the_calls_after_it_recover(
    emptied: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes bytes and acknowledges them, as a server under SIGSTOP: only the client can notice."""
    monkeypatch.setattr("center.database._Connection.answer_s", 1.0)
    monkeypatch.setattr("center.database.ANSWER_S", 1.0)
    monkeypatch.setattr("center.database._READY_S", 0.5)
    dsn = emptied["helan_service"]
    words = conninfo_to_dict(dsn)
    with relay(str(words["host"]), int(str(words["port"]))) as line:
        database = Database(driver.dsn_for(dsn, port=line.port), {}, wait_s=2.0)
        try:
            assert waiting(database) == []
            with pytest.raises(Unavailable), database.transaction(SYSTEM) as work:
                line.flowing.clear()
                began = time.monotonic()
                work.all("select 1")
            assert time.monotonic() - began < 3.0, "in the middle of a transaction"
            for _ in range(2):
                began = time.monotonic()
                with pytest.raises(Unavailable):
                    waiting(database)
                assert time.monotonic() - began < 5.0, "a new one"
            line.flowing.set()
            end = time.monotonic() + 20
            while True:
                try:
                    assert waiting(database) == []
                    break
                except Unavailable:
                    assert time.monotonic() < end
        finally:
            line.flowing.set()
            database.close()


# ---------------------------------------------------------------- migrations
def test_migrating_again_changes_nothing(migrated: dict[str, str], open_folder) -> None:  # type: ignore[no-untyped-def]
    assert migrate(migrated["admin"], open_folder / "secrets") == []


def test_every_migration_is_in_the_ledger_center_first(migrated: dict[str, str]) -> None:
    with driver.connect(migrated["helan_web"]) as connection:
        ran = {(r[0], r[1]) for r in connection.execute("select room, number from public.helan_migration")}
    assert ran == {(m.room, m.number) for m in migrations()}
    assert migrations()[0].room == ROOMS[0] == "center"


# ---------------------------------------------------------------- events and jobs
@pytest.fixture
def subscribed(emptied: dict[str, str], clinics: tuple[str, ...]) -> Iterator[Database]:
    database = Database(emptied["helan_service"], {"StudyCompleted": ("room.first", "room.second")})
    yield database
    database.close()


def completed(study_uid: str) -> Event:
    return StudyCompleted(SHIGOU, study_uid, generation=1)


def waiting(database: Database) -> list[tuple[str, str]]:
    with database.transaction(SYSTEM) as work:
        rows = work.all("select handler, dedup from center.job where state = 'ready' order by handler, dedup")
    return [(row["handler"], row["dedup"]) for row in rows]


def test_an_event_brings_one_job_per_subscriber_in_the_same_commit(subscribed: Database) -> None:
    with subscribed.transaction(system_for(SHIGOU)) as work:
        assert work.emit(completed("1.2"))
        assert waiting(subscribed) == []  # seen by nobody before the commit
    assert waiting(subscribed) == [("room.first", "1.2:1"), ("room.second", "1.2:1")]


def test_an_event_that_was_kept_before_brings_nothing_new(subscribed: Database) -> None:
    for expected in (True, False):
        with subscribed.transaction(system_for(SHIGOU)) as work:
            assert work.emit(completed("1.2")) is expected
    assert len(waiting(subscribed)) == 2


def test_what_is_rolled_back_brings_no_job(subscribed: Database) -> None:
    with pytest.raises(ZeroDivisionError), subscribed.transaction(system_for(SHIGOU)) as work:
        work.emit(completed("1.2"))
        raise ZeroDivisionError
    assert waiting(subscribed) == []


def enqueue(
    database: Database, key: str, *, clock: HeldClock | None = None, after_s: float = 0, **options: bool
) -> None:
    with database.transaction(SYSTEM) as work:
        run_at = clock.now() + timedelta(seconds=after_s) if clock else None
        work.enqueue(SHIGOU, "test.do", key, {"key": key}, run_at=run_at, **options)


def state(database: Database) -> list[tuple[str, int]]:
    with database.transaction(SYSTEM) as work:
        return [(r["state"], r["attempts"]) for r in work.all("select state, attempts from center.job order by id")]


def test_a_job_waits_once_however_often_it_is_asked_for(database: Database, clock: HeldClock) -> None:
    for _ in range(3):
        enqueue(database, "a", clock=clock)
    assert waiting(database) == [("test.do", "a")]


def test_a_moved_job_runs_at_its_new_time(database: Database, clock: HeldClock) -> None:
    seen: list[str] = []
    runner = Runner(database, {"test.do": lambda job: seen.append(job.key)}, clock)
    enqueue(database, "a", clock=clock)
    enqueue(database, "a", clock=clock, after_s=60, move=True)
    assert runner.run_once() == 0
    clock.advance(60)
    assert runner.run_once() == 1
    assert seen == ["a"]
    assert state(database) == [("done", 1)]


def test_a_job_can_be_asked_for_again_while_it_runs(database: Database, clock: HeldClock) -> None:
    runs: list[int] = []

    def again(job: Job) -> None:
        runs.append(job.id)
        if len(runs) == 1:
            enqueue(database, "a", clock=clock)

    enqueue(database, "a", clock=clock)
    assert Runner(database, {"test.do": again}, clock).run_until_idle() == 2
    assert len(runs) == 2


def test_a_failing_job_waits_longer_each_time_and_stays_visible_when_given_up(
    database: Database, clock: HeldClock
) -> None:
    def fails(job: Job) -> None:
        raise ZeroDivisionError

    runner = Runner(database, {"test.do": fails}, clock)
    enqueue(database, "a", clock=clock)
    waits: list[float] = []
    for _ in range(MAX_ATTEMPTS):
        assert runner.run_once() == 1
        with database.transaction(SYSTEM) as work:
            row = work.one("select state, run_at, last_error from center.job")
        assert row is not None
        assert row["last_error"] == "ZeroDivisionError"
        if row["state"] == "dead":
            break
        waits.append((row["run_at"] - clock.now()).total_seconds())
        clock.advance(waits[-1])
    assert waits[: len(WAITS_S)] == list(WAITS_S)
    assert state(database) == [("dead", MAX_ATTEMPTS)]


def test_later_is_not_a_failed_attempt(database: Database, clock: HeldClock) -> None:
    calls: list[int] = []

    def early(job: Job) -> None:
        calls.append(job.attempts)
        if len(calls) < 5:
            raise Later(clock.now() + timedelta(seconds=30))

    runner = Runner(database, {"test.do": early}, clock)
    enqueue(database, "a", clock=clock)
    for _ in range(5):
        assert runner.run_once() == 1
        assert runner.run_once() == 0
        clock.advance(30)
    assert calls == [1, 1, 1, 1, 1]
    assert state(database) == [("done", 1)]


def lapse(database: Database) -> None:
    with database.transaction(SYSTEM) as work:
        work.run("update center.job set lease_until = now() - interval '1 second' where state = 'running'")


def test_a_job_whose_process_died_runs_again_and_the_dead_one_finishes_nothing(
    database: Database, clock: HeldClock, emptied: dict[str, str]
) -> None:
    """At least once: the first runner stands still inside its handler while its lease lapses."""
    inside, go_on = threading.Event(), threading.Event()
    runs: list[str] = []

    def stands_still(job: Job) -> None:
        runs.append("first")
        inside.set()
        go_on.wait(20)

    enqueue(database, "a", clock=clock)
    first = Runner(database, {"test.do": stands_still}, clock, name="first")
    thread = threading.Thread(target=first.run_once)
    thread.start()
    assert inside.wait(20)
    lapse(database)
    second = Runner(database, {"test.do": lambda job: runs.append("second")}, clock, name="second")
    second.give_back_mine("nowhere")  # what housekeeping does, too: lapsed leases are given back
    assert second.run_once() == 1
    go_on.set()
    thread.join(20)
    assert runs == ["first", "second"]
    assert state(database) == [("done", 2)]  # the second's; the first one's end touched nothing


def test_what_a_dead_process_of_this_host_was_doing_is_ready_at_once(database: Database, clock: HeldClock) -> None:
    enqueue(database, "a", clock=clock)
    with database.transaction(SYSTEM) as work:
        work.run(
            "update center.job set state = 'running', attempts = 1, lease_by = %(by)s,"
            " lease_until = now() + make_interval(secs => %(s)s)",
            by="here:999999999:lane", s=LEASE_S,
        )  # fmt: skip
    Runner(database, {}, clock).give_back_mine("elsewhere")
    assert state(database) == [("running", 1)]
    Runner(database, {}, clock).give_back_mine("here")
    assert state(database) == [("ready", 1)]


def test_two_runners_share_the_table_and_take_nothing_twice(database: Database, clock: HeldClock) -> None:
    for n in range(60):
        enqueue(database, f"{n:02d}", clock=clock)
    seen: list[str] = []
    lock = threading.Lock()

    def note(job: Job) -> None:
        with lock:
            seen.append(job.key)

    runners = [Runner(database, {"test.do": note}, clock, name=str(n)) for n in range(3)]
    threads = [threading.Thread(target=r.run_until_idle) for r in runners]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(seen) == [f"{n:02d}" for n in range(60)]


def test_a_serving_runner_is_woken_by_the_commit_and_stops_when_told(database: Database, clock: HeldClock) -> None:
    done, stop = threading.Event(), threading.Event()
    runner = Runner(database, {"test.do": lambda job: done.set()}, clock)
    thread = threading.Thread(target=runner.serve, args=(stop,))
    thread.start()
    enqueue(database, "a", clock=clock)
    assert done.wait(10)
    stop.set()
    thread.join(10)
    assert not thread.is_alive()


def test_an_urgent_job_goes_first(database: Database, clock: HeldClock) -> None:
    seen: list[str] = []
    with database.transaction(SYSTEM) as work:
        for key, priority in (("a", 0), ("b", 5), ("c", 1)):
            work.enqueue(SHIGOU, "test.do", key, {}, run_at=clock.now(), priority=priority)
    Runner(database, {"test.do": lambda job: seen.append(job.key)}, clock).run_until_idle()
    assert seen == ["b", "c", "a"]


def test_of_many_notifications_at_once_none_is_lost(database: Database) -> None:
    stop, heard = threading.Event(), []

    def listen() -> None:
        for note in database.listen("helan_page", stop=stop, quiet_s=0.2):
            if note is not None:
                heard.append(note[1])

    thread = threading.Thread(target=listen)
    thread.start()
    time.sleep(0.5)
    with database.transaction(SYSTEM) as work:
        for n in range(500):
            work.tell_pages("shigou", "case", {"case_id": str(n)})
    for _ in range(100):
        if len(heard) >= 500:
            break
        time.sleep(0.1)
    stop.set()
    thread.join()
    assert [json.loads(text)["case_id"] for text in heard] == [str(n) for n in range(500)]
