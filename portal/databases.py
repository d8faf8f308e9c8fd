"""Where the database is: the embedded server or one named by the settings, for administration and by role."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from center import postgres_driver as driver
from center.errors import Unavailable, WrongState
from center.migrations import migrate, passwords
from center.postgres import EmbeddedPostgres
from center.settings import Settings


def is_embedded(settings: Settings) -> bool:
    """No outside server is named."""
    return not (settings.database or settings.database_web or settings.database_service)


def admin_dsn(settings: Settings) -> str:
    """Of the role that migrates and dumps.  Raises Unavailable when the embedded server is not running."""
    if settings.database:
        return settings.database
    if not is_embedded(settings):
        raise WrongState(
            "没有设置 HELAN_DATABASE：不能迁移，也不能备份。",
            "HELAN_DATABASE is not set: nothing can be migrated or backed up.",
        )
    try:
        return EmbeddedPostgres(settings.data).dsn()
    except (RuntimeError, OSError):
        raise not_running() from None


def role_dsn(settings: Settings, role: str) -> str:
    """Of ``helan_web`` or ``helan_service``.  Raises Unavailable when the embedded server is not running."""
    named = {"helan_web": settings.database_web, "helan_service": settings.database_service}[role]
    if named:
        return named
    return driver.dsn_for(admin_dsn(settings), user=role, password=passwords(settings.secrets_dir)[role])


def not_running() -> Unavailable:
    return Unavailable(
        "中心数据库没有运行。请先运行 make up（或 helan up）。",
        "The center's database is not running: start it with `make up` (or `helan up`).",
    )


# ---------------------------------------------------------------- one at a time
class Busy(WrongState):
    """Another process holds this data folder."""


@contextmanager
def alone(data: Path) -> Iterator[None]:
    """Only one supervisor, or one command that starts the server itself, works on a data folder.  Raises Busy."""
    folder = data / "run"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "up.lock").open("a+") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            handle.seek(0)
            raise busy(data, handle.read().strip()) from None
        handle.truncate(0)
        handle.write(str(os.getpid()))
        handle.flush()
        yield


def busy(data: Path, holder: str) -> Busy:
    return Busy(
        f"{data} 正被另一个 helan 使用（进程 {holder or '?'}）。请先停止它，或用 HELAN_DATA 指定别的文件夹。",
        f"{data} is in use by another helan (process {holder or '?'}): stop that one, "
        "or name another folder by HELAN_DATA.",
    )


@contextmanager
def at_hand(settings: Settings) -> Iterator[None]:
    """The database answers inside: the embedded server is started for this command where nothing runs it now."""
    server = EmbeddedPostgres(settings.data) if is_embedded(settings) else None
    if server is None or server.alive():
        yield
        return
    with alone(settings.data):
        server.start()
        try:
            migrate(server.dsn(), settings.secrets_dir)
            yield
        finally:
            server.stop()
