"""Objects are compared with their names in their turn; what is wrong is named until it is right again."""

from __future__ import annotations

import hashlib
import io
from datetime import timedelta
from pathlib import Path

import pytest

from center.clock import HeldClock
from center.database import Database
from center.errors import Unavailable
from center.identity import SYSTEM
from center.jobs import Runner
from center.objects.directory import DirectoryStore
from center.scrub import EVERY, HANDLER, Scrubber, is_night, next_night


@pytest.fixture
def names(database: Database, store: DirectoryStore) -> list[str]:
    """Twelve objects, in the store and in the table."""
    out = []
    for n in range(12):
        content = f"object {n}".encode() * 100
        name = hashlib.sha256(content).hexdigest()
        store.put(name, io.BytesIO(content), len(content))
        with database.transaction(SYSTEM) as work:
            work.run(
                "insert into center.object (sha256, bytes, location) values (%(s)s, %(b)s, 'store')",
                s=name, b=len(content),
            )  # fmt: skip
        out.append(name)
    return sorted(out)


def path_of(tmp_path: Path, name: str) -> Path:
    return tmp_path / "objects" / name[:2] / name[2:4] / name


def damaged(database: Database) -> list[str]:
    with database.transaction(SYSTEM) as work:
        return [
            r["sha256"] for r in work.all("select sha256 from center.object where damaged_at is not null order by 1")
        ]


def test_what_is_lost_cut_or_changed_is_found_and_named_until_it_is_right(
    database: Database, store: DirectoryStore, clock: HeldClock, names: list[str], tmp_path: Path
) -> None:
    scrubber = Scrubber(database, store, clock)
    whole = path_of(tmp_path, names[1]).read_bytes()
    path_of(tmp_path, names[0]).unlink()
    path_of(tmp_path, names[1]).write_bytes(whole[:-1])
    done = scrubber.scrub(clock.now())
    assert (done.right, done.wrong, done.left) == (10, tuple(names[:2]), False)
    assert damaged(database) == names[:2]
    with database.transaction(SYSTEM) as work:
        assert work.one("select count(*) as n from center.audit where act = 'object:damaged'") == {"n": 2}
    path_of(tmp_path, names[1]).write_bytes(whole)
    clock.advance(60)
    assert scrubber.scrub(clock.now()).wrong == (names[0],)
    assert damaged(database) == names[:1]


def test_it_goes_on_where_it_was_stopped_and_looks_at_nothing_twice(
    database: Database, store: DirectoryStore, clock: HeldClock, names: list[str]
) -> None:
    slow = Scrubber(database, store, clock, bytes_per_s=3_000)  # an object takes about 0.3 s
    first = slow.scrub(clock.now(), seconds=0.5)
    assert first.left and 1 <= first.right < len(names)
    rest = Scrubber(database, store, clock).scrub(clock.now())
    assert first.right + rest.right == len(names) and not rest.left
    clock.advance(60)
    assert Scrubber(database, store, clock).scrub(clock.now() - EVERY).right == 0


def test_a_store_that_is_away_damages_nothing(
    database: Database, store: DirectoryStore, clock: HeldClock, names: list[str], tmp_path: Path
) -> None:
    (tmp_path / "objects").rename(tmp_path / "away")
    with pytest.raises(Unavailable):
        Scrubber(database, store, clock).scrub(clock.now())
    assert damaged(database) == []


def test_the_nights_round_waits_for_the_night_and_for_the_next_one(
    database: Database, store: DirectoryStore, clock: HeldClock, names: list[str]
) -> None:
    scrubber = Scrubber(database, store, clock)
    runner = Runner(database, {HANDLER: scrubber.work}, clock)
    assert not is_night(clock.now())
    scrubber.each_night()
    assert runner.run_once() == 0
    clock.advance((next_night(clock.now()) - clock.now()).total_seconds())
    assert is_night(clock.now()) and runner.run_once() == 1
    with database.transaction(SYSTEM) as work:
        row = work.one("select state, run_at from center.job where handler = %(h)s", h=HANDLER)
        seen = work.one("select count(*) as n from center.object where checked_at is not null")
    assert row is not None and row["state"] == "ready" and row["run_at"] - clock.now() == timedelta(days=1)
    assert seen == {"n": len(names)}
