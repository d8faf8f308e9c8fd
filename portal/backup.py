"""``helan backup DIR`` and ``helan restore DIR``: database, objects, keys and secrets as one consistent whole.

A running center can be backed up.  DIR holds a pool of objects and audit heads that all its backups share, and a folder
of its own for each (``runs/20261122T020000Z``): what is there already is not copied again.  Nothing is linked with the
living store: a fault of one is none of the other.  The order makes a backup consistent: the store is listed first, then
the database's snapshot is taken, then the objects are copied: objects never change, so every row of the snapshot finds
its bytes, and no signed audit head is newer than the rows.  An object that is lost or damaged is named, and all else is
kept.  The manifest is written last: a run without one is no backup.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import secrets
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from center import postgres_driver as driver
from center.errors import Damaged, Mismatched, NotFound, Unavailable, WrongState
from center.files import sync_directory
from center.migrations import make_roles, migrate
from center.objects.checked import checked, is_right
from center.objects.directory import DirectoryStore
from center.ports import Clock, ObjectStore
from center.postgres import EmbeddedPostgres, tool
from center.settings import Settings
from portal import databases

FORM = 2
_SLAB_BYTES = 1 << 20
#: Folders of HELAN_DATA that go along whole; objects and the spool are handled by name.
_WHOLE = ("keys", "secrets")
_TABLES = """select schemaname, tablename from pg_tables
where schemaname in ('center', 'gateway', 'inference', 'worklist') order by 1, 2"""

OpenStore = Callable[[Settings], ObjectStore]


@dataclass(frozen=True, slots=True)
class Kept:
    """What a backup holds, or what was restored from it.

    bytes: of all its objects; copied: objects that an earlier run of the same folder did not hold; missing: SHA-256 of
    those that rows name and that were lost or damaged.
    """

    rows: int
    objects: int
    bytes: int
    copied: int
    missing: tuple[str, ...] = ()


# ---------------------------------------------------------------- making one
def backup(settings: Settings, folder: Path, store: ObjectStore, heads: ObjectStore, clock: Clock) -> Kept:
    """Everything of this center in a new run of the folder, which is empty or one of backups.

    Raises WrongState, Unavailable.
    """
    _refuse_unless_ours(folder)
    target = _new_run(folder, clock.now())
    admin = databases.admin_dsn(settings)
    listed = sorted(store.list())
    named = _copy_heads(heads, DirectoryStore(_made(folder / "audit-heads")))
    with driver.connect(admin) as connection:
        connection.execute("set transaction isolation level repeatable read, read only")
        snapshot = _value(connection, "select pg_export_snapshot()")
        rows = _row_counts(connection)
        names = sorted({*listed, *(str(row[0]) for row in connection.execute("select sha256 from center.object"))})
        _dump(connection, admin, snapshot, target / "database.dump")
    copied, size, missing = _copy_objects(names, settings, store, _made(folder / "objects"))
    for whole in _WHOLE:
        _copy_folder(settings.data / whole, target / whole)
    _write(target / "objects.list", "".join(f"{name}\n" for name in names if name not in missing))
    _write(target / "heads.list", "".join(f"{name}\n" for name in named))
    kept = Kept(sum(rows.values()), len(names) - len(missing), size, copied, tuple(sorted(missing)))
    manifest = {
        "form": FORM,
        "made_at": clock.now().isoformat(),
        "kept": asdict(kept),
        "rows": rows,
        "files": {str(p.relative_to(target)): _sha256(p) for p in sorted(target.rglob("*")) if p.is_file()},
    }
    _write(target / "manifest.json", json.dumps(manifest, indent=1, ensure_ascii=False))
    sync_directory(target)
    return kept


def _refuse_unless_ours(folder: Path) -> None:
    """Backups are made beside backups, and never into anything else."""
    if folder.exists() and not (folder / "runs").is_dir() and (not folder.is_dir() or any(folder.iterdir())):
        raise WrongState(
            f"{folder} 不是空文件夹，也不是备份文件夹。", f"{folder} is neither empty nor a folder of backups."
        )


def _new_run(folder: Path, now: datetime) -> Path:
    name = f"{now:%Y%m%dT%H%M%SZ}"
    runs = _made(_made(folder) / "runs")
    while (runs / name).exists():
        name += "+"
    return _made(runs / name)


def _made(folder: Path) -> Path:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def _copy_heads(heads: ObjectStore, target: ObjectStore) -> list[str]:
    """Before the snapshot: none of them is newer than its rows."""
    named = sorted(heads.list())
    for name in named:
        raw = b"".join(heads.open_range(name))
        target.put(name, io.BytesIO(raw), len(raw))
    return named


def _copy_objects(
    names: list[str], settings: Settings, store: ObjectStore, pool: Path
) -> tuple[int, int, frozenset[str]]:
    """(copied now, bytes of all that are kept, those that are lost or damaged)."""
    kept, copied, size = DirectoryStore(pool), 0, 0
    missing: set[str] = set()
    for name in names:
        info = kept.stat(name)
        if info is None:
            info = _take(name, settings, store, pool)
            copied += info is not None
        if info is None:
            missing.add(name)
        else:
            size += info.bytes
    return copied, size, frozenset(missing)


def _take(name: str, settings: Settings, store: ObjectStore, pool: Path) -> Any:
    """The object's bytes from the store, else from the spool, compared with its name; None where neither has them."""
    for pieces in (lambda: store.open_range(name), lambda: _file_pieces(settings.spool_dir / name[:2] / name)):
        part = pool / f".part-{secrets.token_hex(8)}"
        try:
            with part.open("xb") as file:
                os.fchmod(file.fileno(), 0o600)
                for piece in checked(pieces(), name, lambda _: None):
                    file.write(piece)
                file.flush()
                os.fsync(file.fileno())
            place = pool / name[:2] / name[2:4] / name
            _made(place.parent)
            part.replace(place)
            sync_directory(place.parent)
            return DirectoryStore(pool).stat(name)
        except (NotFound, Damaged, FileNotFoundError):
            continue
        finally:
            part.unlink(missing_ok=True)
    return None


def _file_pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(_SLAB_BYTES):
            yield piece


def _dump(connection: driver.Connection, admin: str, snapshot: str, target: Path) -> None:
    """pg_dump in that snapshot; a role that row security binds dumps as helan_owner, who sees every row."""
    powerful = _value(connection, "select rolsuper or rolbypassrls from pg_roles where rolname = current_user")
    words = ["--format=custom", f"--snapshot={snapshot}", f"--file={target}", "--no-password"]
    if not powerful:
        words += ["--role=helan_owner", "--enable-row-security"]
    _client("pg_dump", admin, words)
    target.chmod(0o600)


# ---------------------------------------------------------------- bringing it back
def restore(settings: Settings, folder: Path, open_store: OpenStore, open_heads: OpenStore) -> Kept:
    """A backup in an empty HELAN_DATA (and an empty database); every digest and row count is compared.

    folder: of backups, whose latest whole run is taken, or one run of it.
    Raises NotFound, Mismatched, WrongState, Unavailable.
    """
    source = _run_of(folder)
    manifest = _manifest(source)
    _refuse_unless_empty(settings.data)
    pool = DirectoryStore(source.parent.parent / "objects")
    with databases.alone(settings.data):
        for whole in _WHOLE:
            _copy_folder(source / whole, settings.data / whole)
        store, heads = open_store(settings), open_heads(settings)
        for name in _named(source, "objects.list"):
            _bring(pool, name, store)
        kept_heads = DirectoryStore(source.parent.parent / "audit-heads")
        for name in _named(source, "heads.list"):
            _bring(kept_heads, name, heads)
        _restore_database(settings, source, manifest)
    return Kept(**manifest["kept"] | {"missing": tuple(manifest["kept"]["missing"])})


def _bring(pool: ObjectStore, name: str, store: ObjectStore) -> None:
    info = pool.stat(name)
    assert info is not None  # the manifest was compared with the pool
    store.put(name, _Pieces(pool.open_range(name)), info.bytes)  # type: ignore[arg-type]


def _run_of(folder: Path) -> Path:
    """The run itself, or the latest whole one of the folder.  Raises NotFound."""
    if (folder / "manifest.json").is_file():
        return folder
    whole = sorted(p.parent for p in folder.glob("runs/*/manifest.json"))
    if not whole:
        raise NotFound(
            f"{folder} 里没有完整的备份（缺 manifest.json）。",
            f"{folder} holds no whole backup (manifest.json is missing).",
        )
    return whole[-1]


def _named(source: Path, name: str) -> list[str]:
    return (source / name).read_text().split()


def _restore_database(settings: Settings, source: Path, manifest: dict[str, Any]) -> None:
    server = EmbeddedPostgres(settings.data) if databases.is_embedded(settings) else None
    admin = server.start() if server is not None else databases.admin_dsn(settings)
    try:
        _refuse_filled(admin)
        make_roles(admin, settings.secrets_dir)
        _client("pg_restore", admin, ["--exit-on-error", "--single-transaction", "--no-password",
                                      f"--dbname={driver.environment(admin)['PGDATABASE']}",
                                      str(source / "database.dump")])  # fmt: skip
        with driver.connect(admin) as connection:
            # whatever lay in a spool is in the store now; what was lost stays named until it is sent again
            connection.execute("update center.object set location = 'store', host = '' where location = 'spool'")
            connection.execute(
                "update center.object set damaged_at = coalesce(damaged_at, now()) where sha256 = any(%s)",
                (manifest["kept"]["missing"],),
            )
            rows = _row_counts(connection)
        if rows != manifest["rows"]:
            raise Mismatched("数据库的行数与备份不符。", "The database has other row counts than the backup.")
        migrate(admin, settings.secrets_dir)
    finally:
        if server is not None:
            server.stop()


def _refuse_filled(admin: str) -> None:
    with driver.connect(admin) as connection:
        if _value(connection, "select count(*) from pg_namespace where nspname = 'center'"):
            raise WrongState(
                "数据库里已有一个中心。恢复只写入空的数据库。",
                "There is a center in this database already. Only an empty one is restored into.",
            )


def _manifest(source: Path) -> dict[str, Any]:
    """The manifest of a whole backup, all its files and objects compared with it.  Raises Mismatched."""
    manifest = json.loads((source / "manifest.json").read_text("utf-8"))
    if manifest.get("form") != FORM:
        raise Mismatched(
            f"备份格式 {manifest.get('form')} 不认识。", f"Unknown form of backup: {manifest.get('form')}."
        )
    wrong = [name for name, digest in manifest["files"].items() if _digest_or_none(source / name) != digest]
    for listed, pool in (("objects.list", "objects"), ("heads.list", "audit-heads")):
        kept = DirectoryStore(source.parent.parent / pool)
        wrong += [f"{pool}/{name}" for name in (() if wrong else _named(source, listed)) if not is_right(kept, name)]
    if wrong:
        raise Mismatched(
            f"备份已损坏，没有恢复任何内容。与清单不符的文件：{'、'.join(wrong[:5])}",
            f"The backup is damaged; nothing was restored. Files that do not fit: {', '.join(wrong[:5])}",
            {"files": len(wrong)},
        )
    return manifest


# ---------------------------------------------------------------- PostgreSQL's own programs
def _client(name: str, admin: str, words: list[str]) -> None:
    """Runs pg_dump or pg_restore.  Raises Unavailable with its own words."""
    environ = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C.UTF-8", **driver.environment(admin)}
    # the wheel's programs speak no TLS: a server elsewhere is asked by the system's own where there is one
    near = environ.get("PGHOST", "").startswith(("/", "127.0.0.1", "localhost", "::1"))
    program = tool(name) if near else Path(shutil.which(name) or tool(name))
    done = subprocess.run([str(program), *words], env=environ, capture_output=True, check=False)
    if done.returncode:
        text = done.stderr.decode(errors="replace").strip()[-600:]
        raise Unavailable(f"{name} 失败：{text}", f"{name} failed: {text}")


def _row_counts(connection: driver.Connection) -> dict[str, int]:
    """Rows of each table of the rooms."""
    out: dict[str, int] = {}
    for schema, table in connection.execute(_TABLES).fetchall():
        asked = driver.sql("select count(*) from {s}.{t}", s=driver.name(schema), t=driver.name(table))
        row = connection.execute(asked).fetchone()
        out[f"{schema}.{table}"] = row[0] if row else 0
    return out


def _value(connection: driver.Connection, sql: str) -> Any:
    row = connection.execute(sql.encode()).fetchone()
    assert row is not None
    return row[0]


# ---------------------------------------------------------------- files
class _Pieces(io.RawIOBase):
    """An iterator of bytes as a stream."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces

    def read(self, size: int = -1) -> bytes:
        return next(self._pieces, b"")


def _refuse_unless_empty(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(p.name != "run" for p in folder.iterdir())):
        raise WrongState(f"{folder} 不是空文件夹。", f"{folder} is not an empty folder.")


def _copy_file(source: Path, target: Path) -> bool:
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        shutil.copy2(source, target)
    except FileNotFoundError:
        return False
    with target.open("rb") as file:
        os.fsync(file.fileno())
    return True


def _copy_folder(source: Path, target: Path) -> None:
    """Its files with their modes; none where there is no such folder."""
    if source.is_dir():
        target.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path in sorted(p for p in source.rglob("*") if p.is_file() and not p.name.endswith(".part")):
            _copy_file(path, target / path.relative_to(source))


def _write(path: Path, text: str) -> None:
    path.write_text(text, "utf-8")
    path.chmod(0o600)
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while slab := file.read(_SLAB_BYTES):
            digest.update(slab)
    return digest.hexdigest()


def _digest_or_none(path: Path) -> str | None:
    try:
        return _sha256(path)
    except OSError:
        return None
