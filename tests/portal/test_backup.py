"""A center is backed up while it lives and comes back elsewhere, whole: rows, objects, spool, keys, the audit."""

from __future__ import annotations

import hashlib
import io
import json
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from center import postgres_driver as driver
from center.audit import AuditSealer, verify
from center.authority import Authority
from center.clock import HeldClock
from center.database import Database
from center.errors import Mismatched, NotFound, WrongState
from center.identity import SYSTEM, ClinicId, system_for
from center.migrations import migrate
from center.objects.directory import DirectoryStore
from center.ports import ObjectStore
from center.postgres import EmbeddedPostgres
from center.settings import Settings
from portal import databases
from portal.backup import Kept, backup, restore

SHIGOU = ClinicId("shigou")
CLOCK = HeldClock(datetime(2026, 11, 22, 2, 0, tzinfo=UTC))
STORED, SPOOLED, MOVED = b"in the store", b"in the spool", b"moved while it was copied"


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def open_store(settings: Settings) -> ObjectStore:
    settings.objects_dir.mkdir(parents=True, exist_ok=True)
    return DirectoryStore(settings.objects_dir)


def open_first_heads(settings: Settings) -> ObjectStore:
    folder = settings.objects_dir / "audit-heads"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return DirectoryStore(folder)


def open_heads(settings: Settings) -> dict[str, ObjectStore]:
    return {"the object store": open_first_heads(settings)}


@dataclass(frozen=True, slots=True)
class Center:
    settings: Settings

    def database(self) -> Database:
        return Database(databases.role_dsn(self.settings, "helan_service"), {}, size=2)

    def authority(self) -> Authority:
        return Authority.open(self.settings.keys_dir, CLOCK)


@pytest.fixture(scope="module")
def living(open_folder: Path) -> Iterator[Center]:
    """A running center with a clinic, a patient, three objects, keys and a chained audit."""
    settings = Settings.parse({"HELAN_DATA": str(open_folder / "living")})
    server = EmbeddedPostgres(settings.data)
    migrate(server.start(), settings.secrets_dir)
    center = Center(settings)
    database, store = center.database(), open_store(settings)
    try:
        with database.transaction(system_for(SHIGOU)) as work:
            work.run("insert into center.clinic (clinic_id, name) values ('shigou', '石沟镇卫生院')")
            work.run(
                "insert into center.patient (clinic_id, patient_id, local_id, name) values ('shigou', 'p', '1', '𠮷某')"
            )
            for content, place in ((STORED, "store"), (SPOOLED, "spool"), (MOVED, "spool")):
                work.run(
                    "insert into center.object (sha256, bytes, location) values (%(s)s, %(b)s, %(l)s)",
                    s=digest(content), b=len(content), l=place,
                )  # fmt: skip
            work.audit("test:begin", "center", n=1)
        for content in (STORED, MOVED):
            store.put(digest(content), io.BytesIO(content), len(content))
        waiting = settings.spool_dir / digest(SPOOLED)[:2] / digest(SPOOLED)
        waiting.parent.mkdir(parents=True)
        waiting.write_bytes(SPOOLED)
        (settings.spool_dir / "host").write_text(secrets.token_hex(8))
        AuditSealer(database, open_heads(settings), CLOCK, center.authority().sign_head).seal()
        yield center
    finally:
        database.close()
        server.stop()


@pytest.fixture
def kept(living: Center, tmp_path: Path) -> tuple[Path, Kept]:
    folder = tmp_path / "backup"
    return folder, backup(
        living.settings, folder, open_store(living.settings), open_first_heads(living.settings), CLOCK
    )


@pytest.fixture
def elsewhere(open_folder: Path) -> Iterator[Settings]:
    folder = open_folder / f"elsewhere-{secrets.token_hex(4)}"
    yield Settings.parse({"HELAN_DATA": str(folder)})
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.timeout(180)
def test_what_was_backed_up_comes_back_whole_in_an_empty_folder(
    living: Center, kept: tuple[Path, Kept], elsewhere: Settings
) -> None:
    folder, made = kept
    before = living.authority().certificate_pem
    assert restore(elsewhere, folder, open_store, open_first_heads) == made
    again = Center(elsewhere)
    with databases.at_hand(elsewhere):
        database = again.database()
        try:
            database.refuse_if_powerful()
            with database.transaction(system_for(SHIGOU)) as work:
                assert [r["name"] for r in work.all("select name from center.patient")] == ["𠮷某"]
            with database.transaction(SYSTEM) as work:
                assert work.all("select 1 from center.patient") == []  # row security came back as well
                places = {r["sha256"]: r["location"] for r in work.all("select sha256, location from center.object")}
            verdict = verify(database, open_heads(elsewhere), again.authority().check_head)
            with database.transaction(SYSTEM) as work:
                work.audit("test:after", "center")  # identities go on where they stood
        finally:
            database.close()
    assert (verdict.sound, verdict.rows, verdict.heads) == (True, 1, 1)
    assert again.authority().certificate_pem == before
    # wherever they lay when they were copied
    assert places == dict.fromkeys([digest(STORED), digest(SPOOLED), digest(MOVED)], "store")
    store = open_store(elsewhere)
    for content in (STORED, SPOOLED, MOVED):
        assert b"".join(store.open_range(digest(content))) == content


def run_of(folder: Path) -> Path:
    return max((folder / "runs").iterdir())


def pooled(folder: Path, content: bytes) -> Path:
    name = digest(content)
    return folder / "objects" / name[:2] / name[2:4] / name


def test_a_backup_can_be_read_by_its_owner_only(kept: tuple[Path, Kept]) -> None:
    folder, made = kept
    assert folder.stat().st_mode & 0o077 == 0
    assert (made.objects, made.copied, made.missing) == (3, 3, ())
    for name in ("database.dump", "manifest.json", "secrets/postgres.password", "keys/authority.pem"):
        assert (run_of(folder) / name).stat().st_mode & 0o077 == 0, name
    assert pooled(folder, STORED).stat().st_mode & 0o077 == 0


def test_a_backup_shares_no_inode_with_the_living_store(living: Center, kept: tuple[Path, Kept]) -> None:
    """A fault of the one is none of the other: a bit that flips, a file that is cut."""
    folder, _ = kept
    ours = {(p.stat().st_dev, p.stat().st_ino) for p in folder.rglob("*") if p.is_file()}
    theirs = {(p.stat().st_dev, p.stat().st_ino) for p in living.settings.data.rglob("*") if p.is_file()}
    assert ours and theirs and not ours & theirs


def test_the_next_backup_copies_only_what_is_new(living: Center, kept: tuple[Path, Kept], elsewhere: Settings) -> None:
    folder, _ = kept
    new = b"since then"
    open_store(living.settings).put(digest(new), io.BytesIO(new), len(new))
    try:
        again = backup(living.settings, folder, open_store(living.settings), open_first_heads(living.settings), CLOCK)
        assert (again.objects, again.copied) == (4, 1)
        first, second = sorted((folder / "runs").iterdir())
        assert restore(elsewhere, first, open_store, open_first_heads).objects == 3
        shutil.rmtree(elsewhere.data)
        assert restore(elsewhere, folder, open_store, open_first_heads) == again
        assert b"".join(open_store(elsewhere).open_range(digest(new))) == new
        assert second.name > first.name
    finally:
        open_store(living.settings).delete(digest(new))


def test_a_damaged_backup_restores_nothing_and_names_the_file(kept: tuple[Path, Kept], elsewhere: Settings) -> None:
    folder, _ = kept
    for path in (run_of(folder) / "database.dump", pooled(folder, SPOOLED)):
        whole = path.read_bytes()
        path.write_bytes(whole[:-1] + b"?")
        with pytest.raises(Mismatched, match=path.name):
            restore(elsewhere, folder, open_store, open_first_heads)
        path.write_bytes(whole)
    assert not elsewhere.data.exists()


def test_a_folder_without_a_manifest_is_no_backup(kept: tuple[Path, Kept], elsewhere: Settings) -> None:
    folder, _ = kept
    (run_of(folder) / "manifest.json").unlink()  # a backup that was cut off
    with pytest.raises(NotFound):
        restore(elsewhere, folder, open_store, open_first_heads)


def test_nothing_is_written_over(living: Center, kept: tuple[Path, Kept], tmp_path: Path) -> None:
    folder, _ = kept
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "mine.txt").write_text("no backup")
    with pytest.raises(WrongState):
        backup(
            living.settings, tmp_path / "letters", open_store(living.settings), open_first_heads(living.settings), CLOCK
        )
    with pytest.raises(WrongState):
        restore(living.settings, folder, open_store, open_first_heads)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("fault", ["lost", "one bit"])
def test_a_lost_or_damaged_object_is_named_and_all_else_is_kept(
    living: Center, tmp_path: Path, elsewhere: Settings, fault: str
) -> None:
    name = digest(STORED)
    path = living.settings.objects_dir / name[:2] / name[2:4] / name
    path.write_bytes(STORED[:-1] + b"?") if fault == "one bit" else path.unlink()
    try:
        made = backup(
            living.settings, tmp_path / "b", open_store(living.settings), open_first_heads(living.settings), CLOCK
        )
    finally:
        path.write_bytes(STORED)
    assert (made.missing, made.objects) == ((name,), 2)
    assert restore(elsewhere, tmp_path / "b", open_store, open_first_heads) == made
    with databases.at_hand(elsewhere):
        database = Center(elsewhere).database()
        with database.transaction(SYSTEM) as work:
            found = [r["sha256"] for r in work.all("select sha256 from center.object where damaged_at is not null")]
        database.close()
    assert found == [name]


def test_the_manifest_holds_counts_and_digests_and_no_secret(living: Center, kept: tuple[Path, Kept]) -> None:
    folder, _ = kept
    text = (run_of(folder) / "manifest.json").read_text("utf-8")
    manifest = json.loads(text)
    assert manifest["rows"]["center.patient"] == 1
    for path in living.settings.secrets_dir.iterdir():
        assert path.read_text().strip() not in text


@pytest.mark.timeout(180)
def test_a_center_on_an_outside_server_is_kept_whole_by_a_role_that_may_only_create_roles(open_folder: Path) -> None:
    """HELAN_DATABASE names no superuser: row security binds it, and yet no row may be missing from the dump."""
    server = EmbeddedPostgres(open_folder / "outside")
    admin = server.start()
    try:
        with driver.connect(admin, autocommit=True) as connection:
            connection.execute("create role keeper login createrole password 'keeper'")
            for name in ("here", "there"):
                connection.execute(f"create database {name} owner keeper".encode())

        def at(name: str) -> Settings:
            dsn = driver.dsn_for(admin, user="keeper", password="keeper", dbname=name)
            return Settings.parse({"HELAN_DATA": str(open_folder / f"outside-{name}"), "HELAN_DATABASE": dsn})

        here, there = at("here"), at("there")
        assert migrate(here.database, here.secrets_dir)
        database = Center(here).database()
        with database.transaction(system_for(SHIGOU)) as work:
            work.run("insert into center.clinic (clinic_id, name) values ('shigou', '石沟镇卫生院')")
            work.run(
                "insert into center.patient (clinic_id, patient_id, local_id, name) values ('shigou','p','1','某')"
            )
        database.close()
        folder = open_folder / "outside-backup"
        made = backup(here, folder, open_store(here), open_first_heads(here), CLOCK)
        assert restore(there, folder, open_store, open_first_heads) == made
        database = Center(there).database()
        database.refuse_if_powerful()
        with database.transaction(system_for(SHIGOU)) as work:
            assert [r["name"] for r in work.all("select name from center.patient")] == ["某"]
        database.close()
        assert migrate(there.database, there.secrets_dir) == []
        with pytest.raises(WrongState):  # a database that holds a center is never written over
            restore(at("here"), folder, open_store, open_first_heads)
    finally:
        server.stop()
