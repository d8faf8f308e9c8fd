"""Tables locked, processes and the database standing still, one thread ended: a study becomes a case all the same."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from center import postgres_driver as driver
from center.database import ANSWER_S, STATEMENT_S
from center.postgres import EmbeddedPostgres
from portal import databases
from tests import steps
from tests.region import Region, until

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]

NAMES = ("web", "dicom", "worker", "inference", "ecg-1")


def becomes_a_case(where: Region, folder: Path, within_s: float = 120.0) -> None:
    patient = steps.made_person()
    where.storescu(steps.film_file(folder, patient))
    steps.find_case(where.person_when_back("chenyu"), patient.local_id, within_s=within_s)


@contextmanager
def standing_still(*pids: int) -> Iterator[None]:
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            if steps.lives(pid):
                os.kill(pid, signal.SIGCONT)


def test_a_lock_on_the_job_table_longer_than_any_statement_ends_no_loop(fragile: Region, tmp_path: Path) -> None:
    before = {name: fragile.pid_of(name) for name in NAMES}
    with driver.connect(databases.admin_dsn(fragile.settings)) as held:
        held.execute("lock table center.job in access exclusive mode")
        time.sleep(STATEMENT_S + 6.0)
        answer = httpx.get(f"{fragile.base}/health", timeout=60.0, trust_env=False)
        assert answer.status_code == 503, "it is said, and not a 500"
    becomes_a_case(fragile, tmp_path)
    assert {name: fragile.pid_of(name) for name in NAMES} == before, "nobody had to be started again"
    told = fragile.rows("select process, loop, failures from center.beat where starts_with(loop, 'lane')")
    assert any(failures for _, _, failures in told)
    sealed = (
        "select count(*) from center.audit a where not exists (select 1 from center.audit_chain where audit_id = a.id)"
    )
    until("the audit to be sealed", lambda: fragile.rows(sealed) == [(0,)], 30.0)
    fragile.wait_healthy(90.0)


@pytest.mark.parametrize("name", ["worker", "ecg-1"])
def test_a_process_that_stands_still_is_killed_and_started_again(fragile: Region, tmp_path: Path, name: str) -> None:
    before = fragile.pid_of(name)
    with standing_still(before):
        until("another process", lambda: fragile.pid_of(name) != before, 120.0)
    assert f"{name} stands still" in fragile.output()
    becomes_a_case(fragile, tmp_path)


def test_one_thread_that_ends_ends_its_process_which_is_started_again(fragile: Region, tmp_path: Path) -> None:
    for name, loop in (("worker", "lane 0-0"), ("worker", "audit"), ("dicom", "associations"), ("web", "live")):
        before = fragile.pid_of(name)
        marker = fragile.arm(f"{loop} thread")
        until(f"the thread {loop} to end", lambda marker=marker: not marker.exists(), 60.0)
        until(f"another {name}", lambda name=name, before=before: fragile.pid_of(name) != before, 60.0)
        assert f'loop.stuck loop="{loop}"' in fragile.logs(name)
    becomes_a_case(fragile, tmp_path)


def test_a_database_that_stands_still_is_noticed_and_all_goes_on_afterwards(fragile: Region, tmp_path: Path) -> None:
    reader = fragile.person_when_back("chenyu")
    server = EmbeddedPostgres(fragile.data).pid
    assert server is not None
    children = [int(p) for p in Path(f"/proc/{server}/task/{server}/children").read_text().split()]
    patient = steps.made_person()
    file = steps.film_file(tmp_path, patient)
    before = {name: fragile.pid_of(name) for name in NAMES}
    with standing_still(server, *children):
        for path in ("/api/worklist", "/health"):
            began = time.monotonic()
            assert reader.get(path).status_code == 503
            assert time.monotonic() - began < ANSWER_S + 15.0
        began = time.monotonic()
        assert fragile.storescu(file, check=False).returncode != 0
        assert time.monotonic() - began < 60.0
        until("it to be said", lambda: "the database does not answer" in fragile.output(), 30.0)
    until("pages to be back", lambda: reader.get("/api/worklist").status_code == 200, 60.0, 0.5)
    until("the door to be back", lambda: fragile.storescu(file, check=False).returncode == 0, 60.0, 0.5)
    steps.find_case(reader, patient.local_id, within_s=120.0)
    until("it to be said", lambda: "the database answers again" in fragile.output(), 30.0)
    assert {name: fragile.pid_of(name) for name in NAMES} == before, "nobody had to be started again"
