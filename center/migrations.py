"""One forward-only ledger of numbered SQL files, center's first, under an advisory lock."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from pathlib import Path

from center import postgres_driver as driver
from center.files import write_private

ROOT = Path(__file__).resolve().parent.parent
#: In the order in which their tables may refer to one another.
ROOMS = ("center", "dicom_gateway", "inference", "worklist")
ROLES = ("helan_owner", "helan_web", "helan_service")
_LOCK = 0x48454C414E  # "HELAN"


@dataclass(frozen=True, slots=True)
class Migration:
    room: str
    number: int
    path: Path

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.path.read_bytes()).hexdigest()


def migrations() -> tuple[Migration, ...]:
    """All of them, in the order in which they run."""
    found = [
        Migration(room, int(path.name[:4]), path)
        for room in ROOMS
        for path in sorted((ROOT / room / "schema").glob("[0-9][0-9][0-9][0-9]_*.sql"))
    ]
    return tuple(sorted(found, key=lambda m: (m.number, ROOMS.index(m.room))))


def passwords(secrets_dir: Path) -> dict[str, str]:
    """The roles' passwords, made once and kept 0600."""
    secrets_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    out: dict[str, str] = {}
    for role in ROLES:
        path = secrets_dir / f"{role}.password"
        if not path.exists():
            write_private(path, secrets.token_urlsafe(24))
        out[role] = path.read_text().strip()
    return out


def migrate(admin_dsn: str, secrets_dir: Path) -> list[str]:
    """Makes the roles and brings the schema up to date; the names of what ran.

    Raises RuntimeError when a file that has run was changed since.
    """
    words = passwords(secrets_dir)
    with driver.connect(admin_dsn, autocommit=True) as connection:
        connection.execute("select pg_advisory_lock(%s)", (_LOCK,))
        try:
            _make_roles(connection, words)
            _make_ledger(connection)
            return _run(connection)
        finally:
            connection.execute("select pg_advisory_unlock(%s)", (_LOCK,))


def make_roles(admin_dsn: str, secrets_dir: Path) -> None:
    """The roles alone, with the passwords kept there: what a restored dump needs first."""
    words = passwords(secrets_dir)
    with driver.connect(admin_dsn, autocommit=True) as connection:
        _make_roles(connection, words)


def _make_roles(connection: driver.Connection, words: dict[str, str]) -> None:
    for role in ROLES:
        known = connection.execute("select 1 from pg_roles where rolname = %s", (role,)).fetchone()
        # A role made by an administrator keeps its attributes; the processes refuse a powerful one when they start.
        template = (
            "alter role {role} login password {word}"
            if known
            else "create role {role} login nosuperuser nobypassrls nocreatedb nocreaterole password {word}"
        )
        connection.execute(driver.sql(template, role=driver.name(role), word=driver.literal(words[role])))
    connection.execute("grant helan_owner to current_user")
    connection.execute(
        driver.sql("grant create, connect on database {db} to helan_owner", db=driver.name(connection.info.dbname))
    )


def _make_ledger(connection: driver.Connection) -> None:
    connection.execute(
        "create table if not exists public.helan_migration (room text, number int, sha256 text not null,"
        " at timestamptz not null default now(), primary key (room, number))"
    )
    connection.execute("grant select, insert on public.helan_migration to helan_owner")
    connection.execute("grant select on public.helan_migration to helan_web, helan_service")


def _run(connection: driver.Connection) -> list[str]:
    done = {(r[0], r[1]): r[2] for r in connection.execute("select room, number, sha256 from public.helan_migration")}
    ran: list[str] = []
    for migration in migrations():
        before = done.get((migration.room, migration.number))
        if before == migration.sha256:
            continue
        if before is not None:
            raise RuntimeError(f"migration {migration.path.name} of {migration.room} has run and was changed since")
        with connection.transaction():
            connection.execute("set local role helan_owner")
            connection.execute(migration.path.read_text("utf-8").encode())
            connection.execute(
                "insert into public.helan_migration (room, number, sha256) values (%s, %s, %s)",
                (migration.room, migration.number, migration.sha256),
            )
        ran.append(f"{migration.room}/{migration.path.name}")
    return ran
