"""Loops that live as long as their process: what is thrown into one is logged, counted and waited out; each gives a beat.

A beat says that a loop turned; the process ends itself when one no longer does (``portal/processes.py``), and /health
shows the age of each.  Beats are kept for the whole process, like metrics.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from center import faults, observe
from center.errors import Unavailable

log = observe.log("center")

#: Waits after a life that ended by an exception, s; the last repeats. One that lived long begins anew.
WAITS_S = (0.5, 1.0, 2.0, 5.0, 10.0)
LIVED_LONG_S = 60.0
#: After a life that ended because database, store or disk was away.
AWAY_S = 1.0
#: A loop that has not turned for this long is stuck, s: longer than any wait for the database (center/database.py).
WITHIN_S = 120.0

_failures = observe.counter("helan_center_loop_failures_total", "Exceptions that ended a loop's life", ("loop",))


@dataclass(frozen=True, slots=True)
class Pulse:
    """How one loop is.  age_s: since it turned; ailing_s: since it last turned well; is_dead: its thread has ended.

    note: what a loop that looks at something has found amiss, in both languages.
    """

    loop: str
    age_s: float
    ailing_s: float
    within_s: float
    failures: int
    is_dead: bool
    note_zh: str = ""
    note_en: str = ""

    @property
    def is_stuck(self) -> bool:
        return self.is_dead or self.age_s > self.within_s


class Beat:
    """Of one loop: called at each turn."""

    def __init__(self, loop: str, within_s: float, monotonic: Callable[[], float]) -> None:
        self._loop = loop
        self._usual_s = self._within_s = within_s
        self._monotonic = monotonic
        self._turned = self._well = monotonic()
        self._failures = 0
        self._note = ("", "")
        self._thread = threading.current_thread()

    def __call__(self, within_s: float | None = None) -> None:
        """It turned, and all is well; the next turn may take ``within_s``, if that is not the usual time."""
        faults.end_thread(f"{self._loop} thread")
        self._within_s = within_s or self._usual_s
        self._turned = self._well = self._monotonic()

    def failed(self) -> None:
        """It turned, and failed."""
        self._failures += 1
        self._within_s = self._usual_s
        self._turned = self._monotonic()

    def note(self, zh: str = "", en: str = "") -> None:
        """What it has found; nothing: all is well there."""
        self._note = (zh, en)

    def pulse(self) -> Pulse:
        now = self._monotonic()
        return Pulse(
            self._loop, now - self._turned, now - self._well, self._within_s, self._failures,
            not self._thread.is_alive(), *self._note,
        )  # fmt: skip


class Beats:
    """Of one process."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._beats: dict[str, Beat] = {}
        self._lock = threading.Lock()

    def begin(self, loop: str, within_s: float = WITHIN_S) -> Beat:
        """For the thread that calls: it must turn in time until it ends by ``end``."""
        beat = Beat(loop, within_s, self._monotonic)
        with self._lock:
            self._beats[loop] = beat
        return beat

    def end(self, loop: str) -> None:
        with self._lock:
            self._beats.pop(loop, None)

    def pulses(self) -> list[Pulse]:
        with self._lock:
            beats = list(self._beats.values())
        return [beat.pulse() for beat in beats]


#: This process's.
beats = Beats()


def keep(
    loop: str,
    stop: threading.Event,
    live: Callable[[Beat], object],
    *,
    within_s: float = WITHIN_S,
    among: Beats = beats,
    once: bool = False,
) -> None:
    """``live`` again and again until told to stop, whatever it raises: nothing that happens inside ends the loop.

    once: until it has returned.

    BaseException, because panics of extension modules (pyo3) and a stray SystemExit are none of Exception.
    """
    beat = among.begin(loop, within_s)
    failed = 0
    while not stop.is_set():
        began = time.monotonic()
        try:
            live(beat)
            if once:
                break
        except faults.ThreadEnds:
            return  # without a word, as no loop should
        except BaseException as error:
            beat.failed()
            _failures.labels(loop).inc()
            failed = 0 if time.monotonic() - began > LIVED_LONG_S else failed
            if isinstance(error, Unavailable):  # it comes back by itself, and then nobody should wait for us
                wait_s = AWAY_S
                log.warning("loop.waits", loop=loop, why=str(error.facts.get("cause", error.name)))
            else:
                wait_s = WAITS_S[min(failed, len(WAITS_S) - 1)]
                failed += 1
                log.error("loop.failed", exc=error, loop=loop, failed=failed, again_in_s=wait_s)
            stop.wait(wait_s)
    among.end(loop)


def every(
    seconds: float,
    loop: str,
    stop: threading.Event,
    turn: Callable[[], object],
    *,
    among: Beats = beats,
    at_once: bool = False,
) -> None:
    """``turn`` each so many seconds until told to stop, whatever it raises; ``at_once``: the first without a wait."""
    waits = iter((0.0,) if at_once else ())

    def live(beat: Beat) -> None:
        while not stop.wait(next(waits, seconds)):
            turn()
            beat()

    keep(loop, stop, live, within_s=WITHIN_S + seconds, among=among)
