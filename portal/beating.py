"""Each process tells how its loops are: to the supervisor by a file, to everybody by rows; and it ends itself when one is stuck.

The chain: a loop's rim keeps it going (center/loops.py); a loop that no longer turns ends its process, here; a process
that no longer touches its file is killed and started again (portal/supervisor.py).
"""

from __future__ import annotations

import faulthandler
import json
import os
import socket
import sys
import threading
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from center import loops, observe
from center.database import Database
from center.identity import SYSTEM
from center.loops import Pulse

log = observe.log("portal")

#: The file is touched, and the loops are looked at, this often, s.
TOUCH_EVERY_S = 1.0
#: The rows are written this often, s; a process whose rows are older than SILENT_S has died or stands still.
TELL_EVERY_S = 5.0
SILENT_S = 30.0
#: sysexits.h EX_SOFTWARE: something inside is broken.
STUCK_STATUS = 70
#: Rows of hosts that never came back are forgotten after a week: until then /health names them.
_FORGET = "delete from center.beat where at < now() - interval '7 days'"
_GONE = "delete from center.beat where host = %(host)s and process = %(process)s and not (loop = any(%(loops)s))"
_TELL = """insert into center.beat (host, process, loop, pid, at, age_s, ailing_s, within_s, failures, note_zh, note_en)
select %(host)s, %(process)s, p.loop, %(pid)s, now(), p.age_s, p.ailing_s, p.within_s, p.failures, p.note_zh, p.note_en
from jsonb_to_recordset(%(pulses)s) as p(loop text, age_s real, ailing_s real, within_s real, failures bigint,
  note_zh text, note_en text)
on conflict (host, process, loop) do update set pid = excluded.pid, at = excluded.at, age_s = excluded.age_s,
  ailing_s = excluded.ailing_s, within_s = excluded.within_s, failures = excluded.failures,
  note_zh = excluded.note_zh, note_en = excluded.note_en"""
_ALL = """select host, process, loop, pid, extract(epoch from now() - at)::float8 as silent_s, age_s::float8,
  ailing_s::float8, within_s::float8, failures, note_zh, note_en from center.beat
order by host, process, loop limit 500"""


def beat_path(data: Path, process: str) -> Path:
    """The file that a process that serves touches each second; it holds its process id."""
    return data / "run" / f"{process}.beat"


def ends_path(data: Path) -> Path:
    """Where the supervisor notes which process ended by itself."""
    return data / "run" / "ends.json"


def read_ends(data: Path) -> list[dict[str, Any]]:
    """Each with ``process``, ``status`` and ``at`` (seconds since 1970); nothing where there is no supervisor."""
    try:
        return list(json.loads(ends_path(data).read_text()))
    except (OSError, ValueError, TypeError):
        return []


@dataclass(frozen=True, slots=True)
class Told:
    """One row: how a loop was when its process last spoke, ``silent_s`` ago."""

    host: str
    process: str
    loop: str
    pid: int
    silent_s: float
    age_s: float
    ailing_s: float
    within_s: float
    failures: int
    note_zh: str
    note_en: str

    @property
    def turned_s(self) -> float:
        """Since the loop turned, as far as anybody knows."""
        return self.age_s + self.silent_s

    @property
    def is_silent(self) -> bool:
        return self.silent_s > SILENT_S

    @property
    def is_ailing(self) -> bool:
        """It turns, and fails each time, for long enough to be no passing trouble."""
        return self.ailing_s - self.age_s > loops.WITHIN_S


class Beating:
    """Of this process.  ``end``: how it ends when a loop is stuck."""

    def __init__(
        self, database: Database, process: str, path: Path, *, among: loops.Beats = loops.beats,
        end: Callable[[Pulse], None] | None = None, host: str | None = None,
    ) -> None:  # fmt: skip
        self._database = database
        self._process = process
        self._path = path
        self._among = among
        self._end = end or _end_process
        self._host = host or socket.gethostname()

    def touch(self, stop: threading.Event) -> None:
        """Touches the file and looks at the loops until told to stop: a stuck one ends the process."""
        self._begin_file()
        while not stop.wait(TOUCH_EVERY_S):
            for pulse in self._among.pulses():
                if pulse.is_stuck and not stop.is_set():
                    self._end(pulse)
            try:
                os.utime(self._path)
            except OSError:
                self._begin_file()

    def _begin_file(self) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.write_text(str(os.getpid()))
        except OSError:
            return  # a full or vanished disk is /health's to tell; the supervisor sees it, too

    def tell(self) -> None:
        """Writes the rows.  Raises Unavailable."""
        pulses = [_row(p) for p in self._among.pulses()]
        with self._database.transaction(SYSTEM) as work:
            names = [p["loop"] for p in pulses]
            work.run(_GONE, host=self._host, process=self._process, loops=names)
            work.run(_TELL, host=self._host, process=self._process, pid=os.getpid(), pulses=work.json(pulses))
            work.run(_FORGET)

    def serve(self, stop: threading.Event) -> None:
        """Tells until told to stop."""
        loops.every(TELL_EVERY_S, "beats", stop, self.tell, among=self._among, at_once=True)

    def gone(self) -> None:
        """An orderly stop: nobody misses this process.  Raises Unavailable."""
        self._path.unlink(missing_ok=True)
        with self._database.transaction(SYSTEM) as work:
            work.run(_GONE, host=self._host, process=self._process, loops=[])


def told(database: Database) -> list[Told]:
    """What every process said last.  Raises Unavailable."""
    with database.transaction(SYSTEM) as work:
        return [Told(**row) for row in work.all(_ALL)]


def silent(rows: Iterable[Told]) -> list[Told]:
    """One row of each process that says nothing any more."""
    return list({(r.host, r.process): r for r in rows if r.is_silent}.values())


def _row(pulse: Pulse) -> dict[str, object]:
    row = asdict(pulse)
    del row["is_dead"]
    return row


def _end_process(pulse: Pulse) -> None:
    log.error("loop.stuck", loop=pulse.loop, age_s=round(pulse.age_s), died=pulse.is_dead)
    faulthandler.dump_traceback(sys.stderr, all_threads=True)  # places only, no values
    sys.stderr.flush()
    os._exit(STUCK_STATUS)
