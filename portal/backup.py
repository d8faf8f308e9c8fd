"""``helan backup DIR`` and ``helan restore DIR``: database, objects, spool, keys and secrets as one consistent whole.

A running center can be backed up.  The order makes it consistent: the store is listed first, then the database's
snapshot is taken, then the objects are copied: objects never change, so every row of the snapshot finds its bytes, and
no signed audit head is newer than the rows.  The manifest is written last: a folder without one is no backup.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from center import postgres_driver as driver
from center.errors import Mismatched, NotFound, Unavailable, WrongState
from center.files import sync_directory
from center.migrations import make_roles, migrate
from center.objects.directory import DirectoryStore
from center.ports import Clock, ObjectStore
from center.postgres import EmbeddedPostgres, tool
from center.settings import Settings
from portal import databases

FORM = 1
_SLAB_BYTES = 1 << 20
#: Folders of HELAN_DATA that go along whole; objects and the spool are handled by name.
_WHOLE = ("keys", "secrets")
_TABLES = """select schemaname, tablename from pg_tables
where schemaname in ('center', 'gateway', 'inference', 'worklist') order by 1, 2"""

OpenStore = Callable[[Settings], ObjectStore]


@dataclass(frozen=True, slots=True)
class Kept:
    """What a backup holds, or what was restored from it."""

    rows: int
    objects: int
    bytes: int


# ---------------------------------------------------------------- making one
def backup(settings: Settings, target: Path, store: ObjectStore, heads: ObjectStore, clock: Clock) -> Kept:
    """Everything of this center in the folder, which must be empty.  Raises WrongState, Unavailable, Mismatched."""
    _refuse_unless_empty(target)
    target.mkdir(mode=0o700, parents=True, exist_ok=True)
    admin = databases.admin_dsn(settings)
    listed = sorted(store.list())
    _copy_heads(
        heads, DirectoryStore(_made(target / "audit-heads"))
    )  # before the snapshot: none is newer than its rows
    with driver.connect(admin) as connection:
        connection.execute("set transaction isolation level repeatable read, read only")
        snapshot = _value(connection, "select pg_export_snapshot()")
        rows = _row_counts(connection)
        places = dict.fromkeys(listed, "store") | {
            row[0]: str(row[1]) for row in connection.execute("select sha256, location from center.object")
        }
        _dump(connection, admin, snapshot, target / "database.dump")
    spooled, size = _copy_objects(places, settings, store, target)
    for folder in _WHOLE:
        _copy_folder(settings.data / folder, target / folder)
    _copy_file(settings.spool_dir / "host", target / "spool" / "host")
    _write(target / "objects.list", "".join(f"{name}\n" for name in sorted(places)))
    kept = Kept(sum(rows.values()), len(places), size)
    manifest = {
        "form": FORM,
        "made_at": clock.now().isoformat(),
        "kept": asdict(kept),
        "rows": rows,
        "spooled": spooled,
        "files": {str(p.relative_to(target)): _sha256(p) for p in _named_files(target)},
    }
    _write(target / "manifest.json", json.dumps(manifest, indent=1, ensure_ascii=False))
    sync_directory(target)
    return kept


def _copy_heads(heads: ObjectStore, target: ObjectStore) -> None:
    for name in heads.list():
        raw = b"".join(heads.open_range(name))
        target.put(name, io.BytesIO(raw), len(raw))


def _made(folder: Path) -> Path:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def _dump(connection: driver.Connection, admin: str, snapshot: str, target: Path) -> None:
    """pg_dump in that snapshot; a role that row security binds dumps as helan_owner, who sees every row."""
    powerful = _value(connection, "select rolsuper or rolbypassrls from pg_roles where rolname = current_user")
    words = ["--format=custom", f"--snapshot={snapshot}", f"--file={target}", "--no-password"]
    if not powerful:
        words += ["--role=helan_owner", "--enable-row-security"]
    _client("pg_dump", admin, words)
    target.chmod(0o600)


def _copy_objects(
    places: dict[str, str], settings: Settings, store: ObjectStore, target: Path
) -> tuple[list[str], int]:
    """(those whose row says spool and that still lay there, bytes of all); each is compared with its name."""
    spooled: list[str] = []
    size = 0
    kept = DirectoryStore(target / "objects")
    for name, place in sorted(places.items()):
        waiting = settings.spool_dir / name[:2] / name
        copy = target / "spool" / name[:2] / name if place == "spool" else _path(target, name)
        if place == "spool" and _link(waiting, copy):
            spooled.append(name)
        else:  # moved since the snapshot, or stored: a spool file goes only after it is in the store
            copy = _path(target, name)
            if not (_take(name, settings, store, kept, copy) or _link(waiting, copy)):
                raise _lost(name)
        if _sha256(copy) != name:
            raise _lost(name)
        size += copy.stat().st_size
    return spooled, size


def _take(name: str, settings: Settings, store: ObjectStore, kept: DirectoryStore, copy: Path) -> bool:
    """The object from the store, linked where it is a folder's; False when it is not there."""
    if not settings.uses_s3:
        return _link(settings.objects_dir / name[:2] / name[2:4] / name, copy)
    info = store.stat(name)
    if info is None:
        return False
    kept.put(name, _Pieces(store.open_range(name)), info.bytes)  # type: ignore[arg-type]
    return True


def _path(folder: Path, name: str) -> Path:
    return folder / "objects" / name[:2] / name[2:4] / name


def _lost(name: str) -> Mismatched:
    return Mismatched(
        f"对象 {name} 不在存储中，或内容与其名称不符。备份没有完成。",
        f"Object {name} is not in the store, or its content is not what its name says. The backup is not complete.",
    )


# ---------------------------------------------------------------- bringing it back
def restore(settings: Settings, source: Path, open_store: OpenStore, open_heads: OpenStore) -> Kept:
    """The backup in an empty HELAN_DATA (and an empty database); every digest and row count is compared.

    Raises NotFound, Mismatched, WrongState, Unavailable.
    """
    manifest = _manifest(source)
    _refuse_unless_empty(settings.data)
    with databases.alone(settings.data):
        for folder in (*_WHOLE, "spool"):
            _copy_folder(source / folder, settings.data / folder)
        objects = (source / "objects.list").read_text().split()
        store = open_store(settings)
        for name in sorted(set(objects) - set(manifest["spooled"])):
            with _path(source, name).open("rb") as file:
                store.put(name, file, _path(source, name).stat().st_size)
        _copy_heads(DirectoryStore(source / "audit-heads"), open_heads(settings))
        _restore_database(settings, source, manifest)
    return Kept(**manifest["kept"])


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
            # what lay in the spool when the snapshot was taken and in the store when it was copied
            connection.execute(
                "update center.object set location = 'store' where location = 'spool' and not sha256 = any(%s)",
                (manifest["spooled"],),
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
    """The manifest of a whole backup, all its files compared with it.  Raises NotFound, Mismatched."""
    try:
        manifest = json.loads((source / "manifest.json").read_text("utf-8"))
    except (OSError, ValueError):
        raise NotFound(
            f"{source} 里没有完整的备份（缺 manifest.json）。",
            f"{source} holds no whole backup (manifest.json is missing).",
        ) from None
    if manifest.get("form") != FORM:
        raise Mismatched(
            f"备份格式 {manifest.get('form')} 不认识。", f"Unknown form of backup: {manifest.get('form')}."
        )
    wrong = [name for name, digest in manifest["files"].items() if _digest_or_none(source / name) != digest]
    spooled = set(manifest["spooled"])
    for name in () if wrong else (source / "objects.list").read_text().split():
        path = source / "spool" / name[:2] / name if name in spooled else _path(source, name)
        if _digest_or_none(path) != name:
            wrong.append(str(path.relative_to(source)))
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


def _link(source: Path, target: Path) -> bool:
    """The same file under the target's name, copied where it can't be linked; False where there is no source."""
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except FileNotFoundError:
        return False
    except OSError:
        return _copy_file(source, target)
    return True


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


def _named_files(target: Path) -> list[Path]:
    """All but the objects, whose names are their digests."""
    folders = [target / name for name in _WHOLE]
    files = [p for folder in folders for p in sorted(folder.rglob("*")) if p.is_file()]
    host = target / "spool" / "host"
    return [target / "database.dump", target / "objects.list", *files, *([host] if host.exists() else [])]


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
