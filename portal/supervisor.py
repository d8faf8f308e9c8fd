"""``helan up``: the database, the processes beside it, each started again when it dies or stands still, all gone at the end.

The children live in sessions of their own, so that Ctrl-C reaches this process only, and it stops them in order:
doors, then the workers, then the database.  Killed outright it leaves nobody behind: the children end by themselves
(portal/processes.py), and the next start adopts the database.
"""

from __future__ import annotations

import asyncio
import errno
import json
import os
import signal
import socket
import ssl
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Protocol

from center import postgres_driver as driver
from center.errors import Unavailable, WrongState
from center.migrations import migrate
from center.postgres import EmbeddedPostgres
from center.settings import Address, Settings
from portal import databases
from portal.beating import beat_path, ends_path, read_ends
from portal.processes import SUPERVISOR, members

#: Waits before a dead process is started again, s; the last repeats. One that lived long begins anew.
WAITS_S = (0.5, 1.0, 2.0, 5.0, 10.0)
LIVED_LONG_S = 60.0
#: How long an orderly stop may take before it is ended by SIGKILL.
STOP_S = 12.0
READY_WITHIN_S = 120.0
#: Of those of an earlier start that are just ending.
EARLIER_END_S = 25.0
#: Attempts of a process that never became ready before the whole start is given up.
START_ATTEMPTS = 3
LOG_BYTES = 20 << 20
#: A group's signal comes twice where a parent (make, timeout) passes it on: what comes this soon is the same wish.
ONE_SIGNAL_S = 1.0
#: Kinds that are stopped first and second; within a step all at once.
STOP_ORDER = (("web", "dicom"), ("worker", "inference", "ecg"))
#: A process is looked at this often, s. Looks are counted, not seconds: while this process itself, or the whole machine,
#: stood still nobody was looked at.
LOOK_EVERY_S = 2.0
#: Looks without a beat after which a process stands still; before its first beat it loads its libraries.
FROZEN_LOOKS, FIRST_BEAT_LOOKS = 15, 90
#: The database is asked this often whether it takes a connection, s; the driver waits 5 s for one.
ASK_EVERY_S = 10.0
#: Ends of the last hour are kept for /health, at most so many.
KEPT_ENDS, KEPT_ENDS_S = 50, 3600.0

Say = Callable[[str, str], None]


class FirstRun(Protocol):
    """What a data folder gets once: people, clinics, the demo region."""

    def before(self, settings: Settings, say: Say) -> None:
        """The database is there, no process runs yet."""
        ...

    def after(self, settings: Settings, say: Say) -> Sequence[str]:
        """Every process is ready; the lines to print below the addresses."""
        ...


@dataclass(slots=True)
class Child:
    """One of the processes, through all its lives.  beaten_ns: its file's time at the last look; missed: looks since."""

    name: str
    process: asyncio.subprocess.Process | None = None
    was_ready: bool = False
    starts: int = 0
    beaten_ns: int = 0
    missed: int = 0
    watcher: asyncio.Task[None] | None = field(default=None, repr=False)

    @property
    def kind(self) -> str:
        return self.name.partition("-")[0]

    @property
    def number(self) -> str:
        return self.name.partition("-")[2]

    @property
    def pid(self) -> int | None:
        return self.process.pid if self.process and self.process.returncode is None else None

    def look(self, beaten_ns: int | None) -> bool:
        """Whether it stands still.  beaten_ns: when its file was touched last; None: it has not begun yet."""
        if beaten_ns is not None and beaten_ns != self.beaten_ns:
            self.beaten_ns, self.missed = beaten_ns, 0
            return False
        self.missed += 1
        return self.missed >= (FIRST_BEAT_LOOKS if beaten_ns is None else FROZEN_LOOKS)


class Supervisor:
    """Everything of one data folder, from the lock to the last line."""

    def __init__(self, settings: Settings, first_run: FirstRun, say: Say, out: IO[str] | None = None) -> None:
        self._settings = settings
        self._first_run = first_run
        self._say = say
        self._out = out or sys.stdout
        self._server = EmbeddedPostgres(settings.data) if databases.is_embedded(settings) else None
        self._children = {name: Child(name) for name in members(settings)}
        self._stopping = asyncio.Event()
        self._first_signal: float | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._server_start: asyncio.Future[str] | None = None

    async def run(self) -> int:
        """Until a signal; the exit status.  Raises Failure when it can't start."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._signalled)
        with databases.alone(self._settings.data):
            self._starting = asyncio.create_task(self._start())
            stopping = asyncio.create_task(self._stopping.wait())
            try:
                await asyncio.wait({self._starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
                if self._starting.done():
                    self._starting.result()  # what kept it from starting is raised here
                await stopping
            finally:
                self._starting.cancel()
                stopping.cancel()
                await self._stop()
        return 0

    def _signalled(self) -> None:
        """The first one stops in order, a later one at once."""
        now = time.monotonic()
        self._first_signal = self._first_signal or now
        self._stopping.set()
        if now - self._first_signal > ONE_SIGNAL_S:
            for child in self._children.values():
                _kill(child, signal.SIGKILL)

    # ------------------------------------------------------------ starting
    async def _start(self) -> None:
        began = time.monotonic()
        (self._settings.data / "log").mkdir(mode=0o700, parents=True, exist_ok=True)
        await self._wait_for_earlier()
        for address, setting in ((self._settings.http, "HELAN_HTTP"), (self._settings.dicom, "HELAN_DICOM")):
            refuse_taken(address, setting)
        await self._start_database()
        await asyncio.to_thread(self._first_run.before, self._settings, self._say)
        self._say(f"启动 {len(self._children)} 个进程", f"starting {', '.join(self._children)}")
        for child in self._children.values():
            child.watcher = asyncio.create_task(self._keep(child))
        self._tasks.append(asyncio.create_task(self._keep_logs_small()))
        self._tasks.append(asyncio.create_task(self._keep_looking()))
        await self._all_ready()
        lines = await asyncio.to_thread(self._first_run.after, self._settings, self._say)
        self._print_addresses(time.monotonic() - began, lines)

    async def _start_database(self) -> None:
        settings = self._settings
        if self._server is not None:
            known = self._server.pid
            fresh = not (self._server.home / "data" / "PG_VERSION").exists()
            self._say(
                "建立数据库" if fresh else "启动数据库", "making the database" if fresh else "starting the database"
            )
            try:
                await self._starting_server(self._server)
            except (RuntimeError, OSError) as error:
                raise Unavailable(f"数据库没有启动：{error}", f"The database did not start: {error}") from error
            if known is not None:
                self._say(
                    f"接管仍在运行的数据库（进程 {known}）", f"adopted the database that was still running ({known})"
                )
            self._tasks.append(asyncio.create_task(self._keep_database(self._server)))
            self._tasks.append(asyncio.create_task(self._keep_asking(self._server)))
        if settings.database or self._server is not None:
            ran = await asyncio.to_thread(migrate, databases.admin_dsn(settings), settings.secrets_dir)
            if ran:
                self._say(f"数据库结构更新 {len(ran)} 步", f"{len(ran)} migrations")

    async def _starting_server(self, server: EmbeddedPostgres) -> None:
        """In a thread that a stop waits for: else it would start the database behind the stop's back."""
        self._server_start = asyncio.ensure_future(asyncio.to_thread(server.start))
        await asyncio.shield(self._server_start)

    async def _wait_for_earlier(self) -> None:
        """The processes of a supervisor that was killed end by themselves; their ports are free only then."""
        end = time.monotonic() + EARLIER_END_S
        told = False
        while alive := [
            pid for path in beat_path(self._settings.data, "*").parent.glob("*.beat") if (pid := _beating(path))
        ]:
            if not told:
                self._say("等待上次的进程结束", "waiting for the processes of the last run to end")
                told = True
            if time.monotonic() > end:
                for pid in alive:
                    os.kill(pid, signal.SIGKILL)
            await asyncio.sleep(0.1)

    async def _all_ready(self) -> None:
        waits = {asyncio.create_task(self._ready(child)): child for child in self._children.values()}
        try:
            for done in asyncio.as_completed(waits, timeout=READY_WITHIN_S):
                await done
        except TimeoutError:
            late = ", ".join(child.name for task, child in waits.items() if not task.done())
            raise self._not_ready(late) from None
        finally:
            for task in waits:
                task.cancel()

    async def _ready(self, child: Child) -> None:
        while not await self._answers(child):
            if child.starts >= START_ATTEMPTS and child.pid is None:
                raise self._not_ready(child.name)
            await asyncio.sleep(0.05)
        child.was_ready = True

    async def _answers(self, child: Child) -> bool:
        if child.pid is None or _beating(beat_path(self._settings.data, child.name)) != child.pid:
            return False
        if child.kind == "web":
            return await _answers_http(self._settings)
        return child.kind != "dicom" or await _listens(self._settings.dicom)

    def _not_ready(self, names: str) -> Unavailable:
        first = names.split(",")[0]
        tail = _tail(self._log_path(first))
        return Unavailable(
            f"{names} 没有就绪。日志 {self._log_path(first)}，最后几行：\n{tail}",
            f"{names} did not become ready. Log: {self._log_path(first)}; its last lines:\n{tail}",
        )

    # ------------------------------------------------------------ keeping
    async def _keep(self, child: Child) -> None:
        """Starts it, waits for its end, starts it again with growing waits, until everything stops."""
        waited = 0
        while not self._stopping.is_set():
            began = time.monotonic()
            status = await self._live(child)
            if self._stopping.is_set():
                return
            waited = 0 if time.monotonic() - began > LIVED_LONG_S else waited
            wait_s = WAITS_S[min(waited, len(WAITS_S) - 1)]
            waited += 1
            self._note_end(child.name, status)
            self._say(
                f"{child.name} 意外结束（{status}），{wait_s:g} 秒后重启",
                f"{child.name} ended by itself ({status}); again in {wait_s:g} s; log: {self._log_path(child.name)}",
            )
            await self._pause(wait_s)

    async def _pause(self, seconds: float) -> None:
        """That long, or until everything stops."""
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except TimeoutError:
            return

    async def _live(self, child: Child) -> int:
        """One life of a child; its exit status, negative for a signal."""
        child.beaten_ns = child.missed = 0
        number = ("--number", child.number) if child.number else ()
        with _open_log(self._log_path(child.name)) as log:
            child.process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "portal.cli", child.kind, *number,
                stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                env={**os.environ, SUPERVISOR: str(os.getpid()), "PYTHONUNBUFFERED": "1"},
            )  # fmt: skip
        child.starts += 1
        if self._stopping.is_set():  # a stop that began while it was being started has not seen it
            _kill(child, signal.SIGTERM)
        return await child.process.wait()

    async def _keep_asking(self, server: EmbeddedPostgres) -> None:
        """A database that lives and does not answer is said, once each time; what a kill would cut off a person decides."""
        silent = False
        while not self._stopping.is_set():
            await self._pause(ASK_EVERY_S)
            if self._stopping.is_set() or not await asyncio.to_thread(server.alive):
                continue
            answers = await asyncio.to_thread(_answers_sql, server)
            if silent and answers:
                self._say("数据库恢复应答", "the database answers again")
            elif not silent and not answers:
                self._say(
                    f"数据库没有应答（进程 {server.pid}）：进程在等，病例和检查都停下",
                    f"the database does not answer (process {server.pid}): everything waits for it",
                )
            silent = not answers

    async def _keep_looking(self) -> None:
        """A process that stands still is ended; what kept its lease, its lock or its port is free then, and ``_keep``
        starts it again."""
        own = beat_path(self._settings.data, "up")
        while not self._stopping.is_set():
            await self._pause(LOOK_EVERY_S)
            if not _touched(own):  # where this process can write nothing, the others' silence says nothing
                continue
            for child in self._children.values():
                if child.pid is None or self._stopping.is_set():
                    continue
                if child.look(_beaten_ns(beat_path(self._settings.data, child.name), child.pid)):
                    self._say(
                        f"{child.name} 没有响应（进程 {child.pid}），强制结束并重启",
                        f"{child.name} stands still (process {child.pid}): killed, started again",
                    )
                    child.missed = 0
                    _kill(child, signal.SIGKILL)

    def _note_end(self, name: str, status: int) -> None:
        """For /health: who ended by itself in the last hour."""
        path = ends_path(self._settings.data)
        now = time.time()  # noqa: TID251 - a line of a log, compared with nothing but its like
        kept = [end for end in read_ends(self._settings.data) if end["at"] > now - KEPT_ENDS_S]
        try:
            path.write_text(json.dumps([*kept, {"process": name, "status": status, "at": now}][-KEPT_ENDS:]))
        except OSError:
            return

    async def _keep_database(self, server: EmbeddedPostgres) -> None:
        """The embedded server, started again when it dies; the processes reconnect by themselves."""
        port = server.dsn()
        while not self._stopping.is_set():
            await self._pause(1.0)
            if self._stopping.is_set() or await asyncio.to_thread(server.alive):
                continue
            self._say("数据库意外结束，正在重启", "the database ended by itself; starting it again")
            try:
                await self._starting_server(server)
            except (RuntimeError, OSError) as error:
                self._say(f"数据库没有启动：{error}", f"the database did not start: {error}")
                await self._pause(WAITS_S[-1])
                continue
            if server.dsn() != port:  # its port was taken meanwhile: the processes learn the new one when they start
                port = server.dsn()
                for child in self._children.values():
                    _kill(child, signal.SIGTERM)

    async def _keep_logs_small(self) -> None:
        while not self._stopping.is_set():
            await self._pause(60.0)
            _bound_logs(self._settings.data / "log")

    # ------------------------------------------------------------ stopping
    async def _stop(self) -> None:
        self._stopping.set()
        began = self._server_start is not None or any(child.pid for child in self._children.values())
        if began:
            self._say("正在停止", "stopping")
        for names in STOP_ORDER:
            await asyncio.gather(*(self._end(c) for c in self._children.values() if c.kind in names))
        watchers = [child.watcher for child in self._children.values() if child.watcher is not None]
        if watchers:
            await asyncio.wait(watchers, timeout=STOP_S)
        for task in (*watchers, *self._tasks):
            task.cancel()
        if self._server is not None:
            if self._server_start is not None:
                await asyncio.wait({self._server_start})
            await asyncio.to_thread(self._server.stop)
        if began:
            self._say("已停止", "stopped")

    async def _end(self, child: Child) -> None:
        process = child.process
        if process is None or child.pid is None:
            return
        _kill(child, signal.SIGTERM)
        try:
            await asyncio.wait_for(asyncio.shield(process.wait()), STOP_S)
        except TimeoutError:
            self._say(f"{child.name} 没有按时结束，强制结束", f"{child.name} did not end in time: killed")
            _kill(child, signal.SIGKILL)
            await process.wait()

    # ------------------------------------------------------------ telling
    def _print_addresses(self, took_s: float, lines: Sequence[str]) -> None:
        settings = self._settings
        rows = [
            ("网页 web", f"{settings.public_url}/"),
            ("DICOM", f"{settings.ae_title}@{settings.dicom}"),
            ("数据 data", str(settings.data)),
            ("日志 log", str(settings.data / "log")),
        ]
        print(f"\n  Helan 就绪 ready ({took_s:.0f} s)\n", file=self._out)
        for name, value in rows:
            print(f"  {name:<12}{value}", file=self._out)
        for line in lines:
            print(f"  {line}" if line else "", file=self._out)
        print("\n  Ctrl-C 停止全部 | stops everything\n", file=self._out, flush=True)

    def _log_path(self, name: str) -> Path:
        return self._settings.data / "log" / f"{name}.log"


# ---------------------------------------------------------------- addresses
def refuse_taken(address: Address, setting: str) -> None:
    """Returns when this process may listen there.  Raises WrongState, naming the setting to change."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address.host, address.port))
        except OSError as error:
            raise _cannot_listen(address, setting, error) from None


def _cannot_listen(address: Address, setting: str, error: OSError) -> WrongState:
    other = f"{setting}={address.host}:{address.port + 1 if address.port < 65535 else 8080}"
    why = {
        errno.EADDRINUSE: ("已被别的程序占用", "is taken by another program"),
        errno.EACCES: ("需要管理员权限（端口小于 1024）", "needs root's rights (a port below 1024)"),
        errno.EADDRNOTAVAIL: ("不是本机的地址", "is not an address of this machine"),
    }.get(error.errno or 0, (f"不能使用（{error}）", f"cannot be used ({error})"))
    return WrongState(
        f"{address} {why[0]}。请改用别的地址，例如 {other}", f"{address} {why[1]}. Choose another, such as {other}"
    )


def _reachable(address: Address) -> tuple[str, int]:
    """Where this machine reaches a listener that may listen on every address."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address.host, address.host), address.port


async def _listens(address: Address) -> bool:
    try:
        _, writer = await asyncio.open_connection(*_reachable(address))
    except OSError:
        return False
    writer.close()
    return True


async def _answers_http(settings: Settings) -> bool:
    """It answers /health, whatever it says there."""
    tls = ssl.create_default_context() if settings.tls_cert else None
    if tls is not None:  # we ask whether it speaks, not who it is
        tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    try:
        async with asyncio.timeout(5.0):
            reader, writer = await asyncio.open_connection(*_reachable(settings.http), ssl=tls)
            writer.write(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            first = await reader.readline()
            writer.close()
    except (OSError, TimeoutError):
        return False
    return first.startswith(b"HTTP/1.1 ")


def _answers_sql(server: EmbeddedPostgres) -> bool:
    try:
        driver.connect(server.dsn()).close()
    except (driver.Error, RuntimeError, OSError):
        return False
    return True


# ---------------------------------------------------------------- processes
def _beating(path: Path) -> int | None:
    """The process id in the beat file, while that process lives."""
    try:
        pid = int(path.read_text())
        line = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (OSError, ValueError):
        return None
    return pid if pid != os.getpid() and (b"portal.cli" in line or b"helan" in line) else None


def _beaten_ns(path: Path, pid: int) -> int | None:
    """When this life of the process touched its file last; None: not yet."""
    try:
        return path.stat().st_mtime_ns if int(path.read_text()) == pid else None
    except (OSError, ValueError):
        return None


def _touched(path: Path) -> bool:
    """The folder of the beats is there and takes one."""
    try:
        path.touch()
    except OSError:
        return False
    return True


def _kill(child: Child, number: signal.Signals) -> None:
    """SIGTERM goes to the child, SIGKILL to all of its session."""
    if child.pid is None:
        return
    try:
        if number is signal.SIGKILL:
            os.killpg(child.pid, number)
        else:
            os.kill(child.pid, number)
    except ProcessLookupError:
        return


# ---------------------------------------------------------------- logs
def _open_log(path: Path) -> IO[bytes]:
    """For appending; a large one is put aside first."""
    if path.exists() and path.stat().st_size > LOG_BYTES:
        path.replace(path.with_suffix(".log.1"))
    return path.open("ab")


def _bound_logs(folder: Path) -> None:
    """A log that grew large while its process lives is copied aside and emptied: the process appends."""
    for path in folder.glob("*.log"):
        if path.stat().st_size > LOG_BYTES:
            path.with_suffix(".log.1").write_bytes(path.read_bytes())
            os.truncate(path, 0)


def _tail(path: Path, lines: int = 6) -> str:
    try:
        return "\n".join(path.read_text("utf-8", "replace").splitlines()[-lines:])
    except OSError:
        return ""
