"""The audit's chain: whatever is done to its rows, by one who may do anything to the database, is found."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from center import postgres_driver as driver
from center.audit import GENESIS, AuditSealer, AuditVerdict, AuditVerifier, last_verdict, row_hash, verify
from center.clock import HeldClock
from center.database import Database
from center.identity import SYSTEM, ClinicId
from center.jobs import Runner
from center.objects.directory import DirectoryStore

KEY = Ed25519PrivateKey.generate()
PLACE = "the object store"


def sign(raw: bytes) -> str:
    return KEY.sign(raw).hex()


def check(raw: bytes, signature: str) -> bool:
    try:
        KEY.public_key().verify(bytes.fromhex(signature), raw)
    except (InvalidSignature, ValueError):
        return False
    return True


@pytest.fixture
def sealer(database: Database, store: DirectoryStore, clock: HeldClock) -> AuditSealer:
    return AuditSealer(database, {PLACE: store}, clock, sign)


def write(database: Database, *acts: str) -> None:
    for act in acts:
        with database.transaction(SYSTEM) as work:
            work.audit(act, "case:1", clinic_id=ClinicId("shigou"), reason="为何", n=1)


@pytest.fixture
def chained(database: Database, sealer: AuditSealer) -> Database:
    """Nine rows under three heads."""
    for n in range(3):
        write(database, f"a{n}", f"b{n}", f"c{n}")
        assert sealer.seal() == 3
    return database


Tamper = Callable[..., None]


@pytest.fixture
def tamper(emptied: dict[str, str]) -> Tamper:
    """Statements of one who holds the server."""

    def run(*statements: str) -> None:
        with driver.connect(emptied["admin"], autocommit=True) as connection:
            connection.execute("set session_replication_role = replica")  # foreign keys don't hinder him either
            for statement in statements:
                connection.execute(statement.encode())

    return run


def verdict(database: Database, store: DirectoryStore) -> AuditVerdict:
    return verify(database, {PLACE: store}, check)


def test_an_untouched_chain_is_sound(chained: Database, store: DirectoryStore) -> None:
    found = verdict(chained, store)
    assert found.sound
    assert (found.rows, found.unchained, found.heads) == (9, 0, 3)


def test_rows_that_wait_for_the_sealer_are_counted_and_no_problem(chained: Database, store: DirectoryStore) -> None:
    write(chained, "late")
    found = verdict(chained, store)
    assert found.sound
    assert found.unchained == 1


def test_sealing_without_new_rows_makes_no_head(chained: Database, sealer: AuditSealer, store: DirectoryStore) -> None:
    assert sealer.seal() == 0
    assert len(list(store.list())) == 3


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("delete from center.audit where id = 5", "removed"),
        ("update center.audit set reason = 'other' where id = 5", "changed"),
        ("update center.audit set detail = '{\"n\": 2}' where id = 5", "changed"),
        ("update center.audit set at = at + interval '1 second' where id = 5", "changed"),
        ("update center.audit set login = 'other' where id = 9", "changed"),
        ("delete from center.audit_chain where seq = 5", "missing"),
        ("update center.audit_chain set hash = repeat('0', 64) where seq = 5", "changed"),
        ("update center.audit_head set signature = repeat('0', 128) where seq = 6", "signature"),
        ("delete from center.audit_chain where seq > 6", "ends before"),
        ("delete from center.audit_chain", "ends before"),
    ],
)
def test_a_removed_or_changed_row_is_found(
    chained: Database, store: DirectoryStore, tamper: Tamper, statement: str, said: str
) -> None:
    tamper(statement)
    found = verdict(chained, store)
    assert any(said in problem for problem in found.problems), found.problems


def test_two_swapped_rows_are_found(chained: Database, store: DirectoryStore, tamper: Tamper) -> None:
    tamper(
        "update center.audit_chain set audit_id = -1 where seq = 4",
        "update center.audit_chain set audit_id = 4 where seq = 5",
        "update center.audit_chain set audit_id = 5 where seq = 4",
    )
    assert any("swapped" in problem for problem in verdict(chained, store).problems)


def test_a_cut_tail_is_found_by_the_heads_that_lie_apart(
    chained: Database, store: DirectoryStore, tamper: Tamper
) -> None:
    """Rows, chain and heads of the end are all gone, so that the rest fits: only the store still knows."""
    tamper(
        "delete from center.audit where id > 6",
        "delete from center.audit_chain where seq > 6",
        "delete from center.audit_head where seq > 6",
    )
    assert verdict(chained, store).problems == (
        "head 9 in the object store: the chain has another hash there, or ends before it",
    )


def test_a_chain_that_was_written_anew_is_found(
    chained: Database, store: DirectoryStore, tamper: Tamper, clock: HeldClock
) -> None:
    """Row 5 is changed and everything behind it calculated again, even signed again: the store's heads are older."""
    tamper("update center.audit set reason = 'other' where id = 5", "delete from center.audit_head")
    with chained.transaction(SYSTEM) as work:
        rows = work.all("select * from center.audit order by id")
    previous, statements = GENESIS, []
    for seq, row in enumerate(rows, 1):
        previous = row_hash(previous, row)
        statements.append(f"update center.audit_chain set hash = '{previous}' where seq = {seq}")
    signature = sign(f"helan audit head 9 {previous}".encode())
    statements.append(
        f"insert into center.audit_head (seq, hash, signature, at) values (9, '{previous}', '{signature}', now())"
    )
    tamper(*statements)
    problems = verdict(chained, store).problems
    assert len(problems) == 2  # heads 6 and 9; head 3 lies before the change
    assert all("in the object store" in problem for problem in problems)


def test_the_chain_goes_on_after_a_restart(chained: Database, store: DirectoryStore, clock: HeldClock) -> None:
    write(chained, "after")
    assert AuditSealer(chained, {PLACE: store}, clock, sign).seal() == 1
    assert verdict(chained, store).rows == 10


def test_a_row_that_committed_late_is_chained_and_the_chain_stays_sound(
    database: Database, sealer: AuditSealer, store: DirectoryStore
) -> None:
    """Its id is lower than those that were chained before it: nobody reads by 'id > last seen'."""
    with database.transaction(SYSTEM) as late:
        late.audit("late", "case:1")
        write(database, "early")
        assert sealer.seal() == 1
    assert sealer.seal() == 1
    assert verdict(database, store).sound


def test_a_store_that_is_away_does_not_stop_the_chain(
    database: Database, store: DirectoryStore, clock: HeldClock, tmp_path
) -> None:  # type: ignore[no-untyped-def]
    blocked = tmp_path / "not-a-folder"
    blocked.write_text("")
    write(database, "a")
    assert AuditSealer(database, {PLACE: DirectoryStore(blocked)}, clock, sign).seal() == 1
    assert verdict(database, store).sound


def test_a_row_taken_out_of_the_sealers_queue_is_found(
    chained: Database, store: DirectoryStore, tamper: Tamper
) -> None:
    write(chained, "hidden")
    tamper("delete from center.audit_unchained")
    assert any("wait for no sealer" in problem for problem in verdict(chained, store).problems)


def test_a_second_place_that_was_away_gets_its_heads_when_it_is_back_and_finds_what_the_first_no_longer_can(
    database: Database, store: DirectoryStore, clock: HeldClock, tamper: Tamper, tmp_path: Path
) -> None:
    """Whoever holds the machine cuts the tail and the heads beside the objects too: the second place still knows."""
    folder = tmp_path / "elsewhere"
    places = {PLACE: store, "the second place": DirectoryStore(folder)}
    sealer = AuditSealer(database, places, clock, sign)
    write(database, "a")
    assert sealer.seal() == 1  # the second place is away
    folder.mkdir()
    write(database, "b")
    assert sealer.seal() == 1
    assert len(list(places["the second place"].list())) == 2
    for name in list(store.list()):
        store.delete(name)
    tamper(
        "delete from center.audit where id > 1",
        "delete from center.audit_chain where seq > 1",
        "delete from center.audit_head where seq > 1",
    )
    assert verify(database, places, check).problems == (
        "head 2 in the second place: the chain has another hash there, or ends before it",
    )


def test_a_place_that_is_away_is_said_and_no_green_light(
    database: Database, sealer: AuditSealer, tmp_path: Path
) -> None:
    write(database, "a")
    sealer.seal()
    assert not verify(database, {"the second place": DirectoryStore(tmp_path / "gone")}, check).sound


def test_the_nights_walk_keeps_its_verdict_and_asks_for_the_next(
    database: Database, sealer: AuditSealer, store: DirectoryStore, clock: HeldClock, tamper: Tamper
) -> None:
    write(database, "a")
    sealer.seal()
    verifier = AuditVerifier(database, {PLACE: store}, clock, check)
    runner = Runner(database, {verifier.HANDLER: verifier.verify}, clock)
    verifier.each_night()
    assert runner.run_once() == 0, "not before the night"
    for sound in (True, False):
        clock.advance(86_400)
        assert runner.run_once() == 1
        with database.transaction(SYSTEM) as work:
            found = last_verdict(work)
        assert found is not None and found[0].sound is sound and found[1] == clock.now()
        tamper("update center.audit set reason = 'other'")
