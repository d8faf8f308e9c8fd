"""A whole region under ``helan up``: four processes, an embedded database, free ports; driven from outside only."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import httpx

from center import postgres_driver as driver
from center.settings import Settings
from portal import databases

ROOT = Path(__file__).resolve().parent.parent
T = TypeVar("T")
#: Minutes after which the ladder of a critical finding takes its steps, for trials: 0, 2, 4, 8 and 60 s.
LADDER_MINUTES = "0,0.034,0.067,0.134,1"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(what: str, ask: Callable[[], T | None], within_s: float = 30.0, every_s: float = 0.1) -> T:
    """What ``ask`` answers as soon as it is true; AssertionError names what was waited for."""
    end = time.monotonic() + within_s
    last: object = None
    while time.monotonic() < end:
        try:
            if last := ask():
                return last
        except (httpx.HTTPError, OSError) as error:
            last = error
        time.sleep(every_s)
    raise AssertionError(f"waited {within_s:.0f} s for: {what}; last seen: {str(last)[:300]}")


class Person(httpx.Client):
    """A signed-in browser without a screen."""

    def __init__(self, base: str, login: str, password: str, *, code: str = "") -> None:
        super().__init__(base_url=base, timeout=60.0, headers={"Accept": "application/json"}, trust_env=False)
        answer = self.post(
            "/sign-in", data={"login": login, "password": password, "code": code}, headers={"Origin": base}
        )
        assert answer.status_code in (200, 303), f"{login} can't sign in: {answer.status_code} {answer.text[:300]}"
        page = self.get("/", headers={"Accept": "text/html"}, follow_redirects=True)
        found = re.search(r'<meta name="csrf" content="([^"]*)"', page.text)
        assert found, f"no csrf on {page.url}: {page.status_code}"
        self.headers["X-CSRF-Token"] = found.group(1)

    def json(self, method: str, path: str, body: object = None, *, expect: int = 200) -> Any:
        """What a program is answered; AssertionError names another status than the expected one."""
        answer = self.request(method, path, json=body)
        assert answer.status_code == expect, f"{method} {path}: {answer.status_code} {answer.text[:600]}"
        return answer.json()


@dataclass
class Region:
    """``environ`` is added to the processes'; ``demo`` False starts an empty center."""

    folder: Path
    environ: dict[str, str] = field(default_factory=dict)
    demo: bool = True
    http_port: int = field(default_factory=free_port)
    dicom_port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.http_port}"

    @property
    def data(self) -> Path:
        return self.folder / "var"

    @property
    def settings_environ(self) -> dict[str, str]:
        own = {k: v for k, v in os.environ.items() if not k.startswith("HELAN_")}
        return {
            **own,
            "HELAN_DATA": str(self.data),
            "HELAN_HTTP": f"127.0.0.1:{self.http_port}",
            "HELAN_DICOM": f"127.0.0.1:{self.dicom_port}",
            "HELAN_QUIET_S": "1",
            "HELAN_DEVICE": "cpu",
            "HELAN_FAULT": str(self.folder / "faults"),
            "OMP_NUM_THREADS": "1",
            **self.environ,
        }

    @property
    def settings(self) -> Settings:
        return Settings.parse(self.settings_environ)

    # ------------------------------------------------------------ processes
    def start(self, within_s: float = 300.0, **more: str) -> Region:
        command = [sys.executable, "-m", "portal.cli", "up", *([] if self.demo else ["--no-demo"])]
        (self.folder / "faults").mkdir(parents=True, exist_ok=True)
        out = (self.folder / "up.log").open("ab")
        self.process = subprocess.Popen(
            command, cwd=ROOT, env={**self.settings_environ, **more}, stdout=out, stderr=out, stdin=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        self.wait_ready(within_s)
        return self

    def wait_ready(self, within_s: float = 60.0) -> None:
        """Returns when the supervisor has said that everything is there."""

        def ready() -> bool:
            assert self.process is None or self.process.poll() is None, f"`helan up` ended:\n{self.output()[-3000:]}"
            return "Helan 就绪 ready" in self.output() and self.health_code() in (200, 503)

        until("helan up to be ready", ready, within_s, 0.2)

    def health_code(self) -> int:
        return httpx.get(f"{self.base}/health", timeout=10.0, trust_env=False).status_code

    def wait_healthy(self, within_s: float = 60.0) -> None:
        until("/health to be ok", lambda: self.health_code() == 200, within_s, 0.2)

    def output(self) -> str:
        path = self.folder / "up.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def kill_supervisor(self) -> None:
        """A power cut for the supervisor alone; what it started ends by itself, its database lives on."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(10.0)
        self.process = None
        (self.folder / "up.log").unlink(missing_ok=True)

    def stop(self, number: signal.Signals = signal.SIGINT, within_s: float = 40.0) -> None:
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.send_signal(number)
        self.process.wait(within_s)
        self.process = None
        (self.folder / "up.log").unlink(missing_ok=True)

    def pid_of(self, process: str) -> int:
        """Of a child, by the beat it leaves each second."""
        return until(f"{process} to beat", lambda: int((self.data / "run" / f"{process}.beat").read_text() or 0), 30.0)

    def kill(self, process: str) -> None:
        os.kill(self.pid_of(process), signal.SIGKILL)

    def arm(self, point: str) -> Path:
        """The next process that comes to this point dies there; the file given goes at that moment."""
        marker = self.folder / "faults" / point
        marker.touch()
        return marker

    def rows(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """What the database holds, seen by its administrator: for counting what must be there once."""
        with driver.connect(databases.admin_dsn(self.settings), autocommit=True) as connection:
            return connection.execute(sql.encode(), values).fetchall()

    def logs(self, process: str) -> str:
        path = self.data / "log" / f"{process}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def helan(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """A command of ours, from outside."""
        done = subprocess.run(
            [sys.executable, "-m", "portal.cli", *arguments], cwd=ROOT, env=self.settings_environ, capture_output=True,
            text=True, timeout=180,
        )  # fmt: skip
        assert not check or done.returncode == 0, f"helan {' '.join(arguments)}: {done.stdout}{done.stderr}"
        return done

    # ------------------------------------------------------------ people and devices
    def person(self, login: str) -> Person:
        kept = json.loads((self.data / "secrets" / "demo-logins.json").read_text())
        password = next(x["password"] for x in kept if x["login"] == login)
        return Person(self.base, login, password)

    def person_when_back(self, login: str, within_s: float = 60.0) -> Person:
        """The same after a fault, as soon as anybody can sign in."""

        def enter() -> Person | None:
            try:
                return self.person(login)
            except AssertionError:
                return None

        return until(f"{login} to sign in again", enter, within_s, 0.3)

    def password(self, login: str) -> str:
        kept = json.loads((self.data / "secrets" / "demo-logins.json").read_text())
        return str(next(x["password"] for x in kept if x["login"] == login))

    def storescu(self, *files: Path, aet: str = "SHIGOU_DR", check: bool = True) -> subprocess.CompletedProcess[str]:
        """DCMTK's sender, as a modality would."""
        done = subprocess.run(
            ["storescu", "-v", "-aet", aet, "-aec", "HELAN", "-to", "20", "-ta", "30", "-td", "60", "127.0.0.1",
             str(self.dicom_port), *map(str, files)],
            capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    def upload_ecg(self, who: Person, files: dict[str, bytes], **fields: str) -> dict[str, Any]:
        parts = [("files", (name, raw, "application/octet-stream")) for name, raw in files.items()]
        answer = who.post("/uploads/ecg", files=parts, data=fields)
        assert answer.status_code in (200, 201), f"{answer.status_code} {answer.text[:500]}"
        return dict(answer.json())


@contextmanager
def region(*, demo: bool = True, **environ: str) -> Iterator[Region]:
    """A running region in a folder of its own; everything is ended and removed afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="helan-region-", dir="/tmp"))
    folder.chmod(0o755)
    made = Region(folder, environ, demo)
    try:
        yield made.start()
    finally:
        try:
            made.stop()
        except (subprocess.TimeoutExpired, AssertionError):
            if made.process is not None:
                made.process.kill()
            raise
        finally:
            keep = os.environ.get("HELAN_KEEP_REGIONS")
            if not keep:
                shutil.rmtree(folder, ignore_errors=True)
