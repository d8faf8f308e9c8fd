"""Fixtures of the whole house: a real PostgreSQL, the schema, two roles, clinics, a store, a clock."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from center import postgres_driver as driver
from center.clock import CountedIdentifiers, HeldClock
from center.database import Database
from center.migrations import migrate, passwords
from center.objects.directory import DirectoryStore
from center.postgres import EmbeddedPostgres
from tests.outside import LACKING
from tests.region import LADDER_MINUTES, Region, region


@pytest.fixture(scope="session")
def open_folder() -> Iterator[Path]:
    """A folder that an account without rights may enter (pytest's own is 0700)."""
    folder = Path(tempfile.mkdtemp(prefix="helan-test-", dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres(open_folder: Path) -> Iterator[str]:
    """The administrator's DSN of a server that lives as long as the session."""
    server = EmbeddedPostgres(open_folder / "pg")
    dsn = server.start()
    with driver.connect(dsn, autocommit=True) as connection:  # power cuts are tried on servers of their own
        connection.execute("alter system set synchronous_commit = off")
        connection.execute("alter system set fsync = off")
        connection.execute("select pg_reload_conf()")
    yield dsn
    server.stop()


@pytest.fixture(scope="session")
def migrated(postgres: str, open_folder: Path) -> dict[str, str]:
    """DSNs by role, of a database that is up to date."""
    secrets_dir = open_folder / "secrets"
    migrate(postgres, secrets_dir)
    words = passwords(secrets_dir)
    return {"admin": postgres} | {
        role: driver.dsn_for(postgres, user=role, password=word) for role, word in words.items()
    }


_TABLES = """select schemaname || '.' || quote_ident(tablename) from pg_tables
where schemaname in ('center', 'gateway', 'inference', 'worklist')"""
_RESTART = """select setval(format('%I.%I', schemaname, sequencename)::regclass, start_value, false) from pg_sequences
where schemaname in ('center', 'gateway', 'inference', 'worklist') and last_value is not null"""


@pytest.fixture
def emptied(migrated: dict[str, str]) -> dict[str, str]:
    """The same, with every table empty."""
    with driver.connect(migrated["admin"], autocommit=True) as connection:
        tables = [row[0] for row in connection.execute(_TABLES)]
        asked = " union all ".join(f"select '{t}' where exists (select 1 from {t})" for t in tables)
        filled = [row[0] for row in connection.execute(asked.encode())]
        if filled:  # truncating an empty table costs as much as a full one: a file is made anew
            connection.execute(f"truncate {', '.join(filled)} cascade".encode())
        connection.execute(_RESTART)
    return migrated


@pytest.fixture
def database(emptied: dict[str, str]) -> Iterator[Database]:
    """Connected as the service role, without subscribers."""
    database = Database(emptied["helan_service"], {})
    yield database
    database.close()


@pytest.fixture
def web_database(emptied: dict[str, str]) -> Iterator[Database]:
    """Connected as the web role."""
    database = Database(emptied["helan_web"], {})
    yield database
    database.close()


CLINICS = (
    ("shigou", "石沟镇卫生院", "Shigou", "township"),
    ("helan", "贺兰山镇卫生院", "Helanshan", "township"),
    ("county", "县人民医院", "County hospital", "county"),
    ("tertiary", "区人民医院", "Regional hospital", "tertiary"),
)


@pytest.fixture
def clinics(emptied: dict[str, str]) -> tuple[str, ...]:
    """Four clinics: two townships, the county's and the region's hospital."""
    with driver.connect(emptied["admin"], autocommit=True) as connection:
        for row in CLINICS:
            connection.execute(
                "insert into center.clinic (clinic_id, name, name_en, kind) values (%s, %s, %s, %s)", row
            )
    return tuple(row[0] for row in CLINICS)


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    folder = tmp_path / "objects"
    folder.mkdir()
    return DirectoryStore(folder)


@pytest.fixture
def clock() -> HeldClock:
    return HeldClock(datetime(2026, 11, 22, 2, 0, tzinfo=UTC))


@pytest.fixture
def identifiers() -> CountedIdentifiers:
    return CountedIdentifiers()


@pytest.fixture(scope="session")
def shared_region() -> Iterator[Region]:
    """A whole region with the demo in it, that lives as long as the session; its tests leave it running."""
    with region(HELAN_LADDER_MINUTES=LADDER_MINUTES) as running:
        yield running


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    lacking = [
        (report.nodeid, report.longrepr[2])
        for report in terminalreporter.stats.get("skipped", ())
        if isinstance(report.longrepr, tuple) and LACKING in str(report.longrepr[2])
    ]
    if lacking:
        terminalreporter.section("not run: outside data is not here (HELAN_SHARED_DATA)")
        for test, reason in lacking:
            terminalreporter.line(f"{test}  {reason}")
        terminalreporter.line(f"{len(lacking)} tests not run")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "long: slower faults and kills, run by `make test-long`")
    os.environ.setdefault("OMP_NUM_THREADS", "1")
