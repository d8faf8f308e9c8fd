"""``helan up`` as a person starts it, on free ports and a folder of its own: its lines, its processes, its end."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

READY = "Helan 就绪 ready"
READY_WITHIN_S = 120.0
#: Generous: two cores, shared with the rest of the tests.
SOON_S = 40.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(claim: Callable[[], object], what: str, within_s: float = SOON_S) -> None:
    """Returns as soon as it holds."""
    end = time.monotonic() + within_s
    while not claim():
        assert time.monotonic() < end, f"not within {within_s:g} s: {what}"
        time.sleep(0.05)


@dataclass
class Place:
    """A data folder with ports: several runs, one after the other."""

    data: Path
    http: int = field(default_factory=free_port)
    dicom: int = field(default_factory=free_port)

    @property
    def environ(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith("HELAN_")}
        return kept | {
            "HELAN_DATA": str(self.data),
            "HELAN_HTTP": f"127.0.0.1:{self.http}",
            "HELAN_DICOM": f"127.0.0.1:{self.dicom}",
            "HELAN_DEVICE": "cpu",
            "OMP_NUM_THREADS": "1",
            "PYTHONUNBUFFERED": "1",
        }

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """One command of ``helan``, ended."""
        return subprocess.run(
            [sys.executable, "-m", "portal.cli", *words],
            env=self.environ, capture_output=True, text=True, timeout=110, check=False,
        )  # fmt: skip

    def beating(self, process: str) -> int | None:
        try:
            return int((self.data / "run" / f"{process}.beat").read_text())
        except (OSError, ValueError):
            return None

    def health(self) -> dict[str, object]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.http}/health", timeout=10) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            return json.load(error)
        except OSError:
            return {"status": "away"}

    def processes(self) -> set[int]:
        """Every living process that was started for this folder, the database's included."""
        mark = f"HELAN_DATA={self.data}".encode()
        found: set[int] = set()
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                words = (entry / "cmdline").read_bytes()
                ours = mark in (entry / "environ").read_bytes() or str(self.data).encode() in words
                dead = (entry / "stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
            except OSError:
                continue
            if ours and not dead:
                found.add(int(entry.name))
        return found - {os.getpid()}

    def postmaster(self) -> int | None:
        try:
            pid = int((self.data / "postgres" / "data" / "postmaster.pid").read_text().splitlines()[0])
        except (OSError, ValueError, IndexError):
            return None
        return pid if Path(f"/proc/{pid}").exists() else None


class Up:
    """One run of the supervisor; its lines are collected as they come."""

    def __init__(self, place: Place, *words: str) -> None:
        self.place = place
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            [sys.executable, "-m", "portal.cli", "up", *words],
            env=place.environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        self._reader = threading.Thread(target=self._collect, daemon=True)
        self._reader.start()

    def _collect(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    def wait_for(self, words: str, within_s: float = SOON_S) -> None:
        until(lambda: words in self.text or self.process.poll() is not None, words, within_s)
        assert words in self.text, self.text

    def wait_ready(self) -> Up:
        self.wait_for(READY, READY_WITHIN_S)
        return self

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        status = self.process.wait(60)
        self._reader.join(10)
        return status

    def clear_away(self) -> None:
        """Whatever a failed test left behind."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(40)
            except subprocess.TimeoutExpired:
                self.process.kill()
        for pid in self.place.processes():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
