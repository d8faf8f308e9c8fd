"""The embedded server where an account without rights cannot go: a 0700 folder, as root and as an ordinary user."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from center import postgres_driver as driver
from center.postgres import EmbeddedPostgres


@pytest.fixture
def closed(tmp_path: Path) -> Path:
    """A folder under which nobody but its owner may look."""
    folder = tmp_path / "closed"
    folder.mkdir(mode=0o700)
    return folder


def test_it_runs_under_a_closed_folder_stops_and_goes_on_with_its_data(closed: Path) -> None:
    server = EmbeddedPostgres(closed / "var")
    try:
        with driver.connect(server.start(), autocommit=True) as connection:
            connection.execute("create table kept (n int)")
            connection.execute("insert into kept values (1)")
        server.stop()
        assert not server.alive()
        again = EmbeddedPostgres(closed / "var")
        with driver.connect(again.start(), autocommit=True) as connection:
            assert connection.execute("select n from kept").fetchall() == [(1,)]
        again.stop()
        if os.geteuid() == 0:  # dropped to an account that cannot pass here: it lies elsewhere, and says where
            assert not server.home.is_relative_to(closed)
            assert (closed / "var" / "postgres-lies-at").read_text().strip() == str(server.home)
            assert server.home.stat().st_uid != 0 and server.home.stat().st_mode & 0o077 == 0
    finally:
        server.stop()
        if not server.home.is_relative_to(closed):
            shutil.rmtree(server.home, ignore_errors=True)
