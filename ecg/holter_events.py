"""What matters in a long recording, found in its beats: runs, pauses, extremes of rate, and the strips to look at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from ecg.beat_log import BeatLog
from ecg.marks import BeatClass
from ecg.statements import terms

PAUSE_S: Final = 2.0
"""A pause worth a strip in ambulatory monitoring (ISHNE-HRS consensus 2017 reports from 2 s on, treats from 3 s on)."""
VT_RATE: Final = 100.0
"""Three ventricular beats or more in a row at 100/min or more: ventricular tachycardia (AHA/ACC/HRS 2006)."""
SVT_RATE: Final = 100.0
_STRIPS_A_KIND: Final = 5
_MOST_STRIPS: Final = 40
_EITHER_SIDE_S: Final = 4.0
_RATE_BEATS: Final = 8


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened.  key: of ``statements.csv`` where it has one, else ``pause``, ``fastest``, ``slowest``,
    ``couplet_v``, ``st_shift``.  start_s, end_s: seconds from the begin.  beats: how many it lasted."""

    key: str
    start_s: float
    end_s: float
    value: float
    unit: str
    beats: int = 0

    @property
    def lasts_s(self) -> float:
        return self.end_s - self.start_s


def runs_of(log: BeatLog, kind: BeatClass, *, shortest: int, key: str, rate_min: float = 0.0) -> tuple[Event, ...]:
    """Runs of one class at or above a rate, /min; the value is their mean rate."""
    out: list[Event] = []
    seconds = log.seconds
    for first, past in log.runs(log.where(kind), shortest):
        lasts = float(seconds[past - 1] - seconds[first])
        rate = 60.0 * (past - first - 1) / lasts if lasts > 0 else 0.0
        if rate >= rate_min:
            out.append(Event(key, float(seconds[first]), float(seconds[past - 1]), rate, "/min", past - first))
    return tuple(out)


def every_nth(log: BeatLog, kind: BeatClass, nth: int, key: str, repeats: int = 3) -> tuple[Event, ...]:
    """Stretches in which each nth beat is of this class and no other is (2: bigeminy, 3: trigeminy), at least
    ``repeats`` times.  AHA 2007 part II, modifiers 341 and 342."""
    which = log.where(kind)
    ok = np.zeros(len(log), dtype=bool)
    hits = np.flatnonzero(which)
    if hits.size < repeats:
        return ()
    step = np.diff(hits) == nth
    cuts = np.flatnonzero(np.diff(np.concatenate([[False], step, [False]]).astype(np.int8)))
    seconds = log.seconds
    out: list[Event] = []
    for first, past in zip(cuts[::2].tolist(), cuts[1::2].tolist(), strict=True):
        begin, end = int(hits[first]), int(hits[past])
        if past - first + 1 >= repeats and not log.is_after_gap[begin + 1 : end + 1].any():
            ok[begin : end + 1] = True
            out.append(
                Event(key, float(seconds[begin]), float(seconds[end]), float(past - first + 1), "1", end - begin)
            )
    return tuple(out)


def pauses(log: BeatLog, shortest_s: float = PAUSE_S) -> tuple[Event, ...]:
    """RR intervals of that length or more; the value is the interval, s.  A gap in the signal is none."""
    rr = log.rr_s
    seconds = log.seconds
    return tuple(
        Event("pause", float(seconds[n - 1]), float(seconds[n]), float(rr[n]), "s", 1)
        for n in np.flatnonzero(np.nan_to_num(rr) >= shortest_s).tolist()
    )


def extremes(log: BeatLog) -> tuple[Event, ...]:
    """The fastest and the slowest stretch, each over eight intervals (the usual moving window), /min."""
    rr = log.rr_s
    if len(log) <= _RATE_BEATS:
        return ()
    windows = np.lib.stride_tricks.sliding_window_view(rr, _RATE_BEATS)
    with np.errstate(invalid="ignore"):
        rate = 60.0 / windows.mean(axis=1)  # NaN where a gap lies inside
    if not np.isfinite(rate).any():
        return ()
    seconds = log.seconds

    def at(key: str, n: int) -> Event:
        # The window's intervals end at beats n .. n + 7; the first began one beat before.
        return Event(key, float(seconds[max(n - 1, 0)]), float(seconds[n + _RATE_BEATS - 1]), float(rate[n]), "/min", 8)

    return at("slowest", int(np.nanargmin(rate))), at("fastest", int(np.nanargmax(rate)))


@dataclass(frozen=True, slots=True)
class KeyStrip:
    """A stretch that a reader should see.  start_s, end_s: seconds from the begin.  key: why; rank 0 is looked at first."""

    key: str
    start_s: float
    end_s: float
    value: float
    unit: str
    rank: int


_RANKS: Final = {
    key: rank
    for rank, keys in enumerate(
        (
            terms("vf", "v_flutter", "torsades", "vt_poly"),
            terms("vt", "avb3", "avb_high"),
            (*terms("vt_nonsustained", "avb2_mobitz2", "avb_2to1"), "pause"),
            terms("afib", "aflutter", "svt", "avb2_mobitz1", "sa_block_2"),
            (*terms("bigeminy_v", "trigeminy_v"), "st_shift", "couplet_v", "fastest", "slowest"),
        )
    )
    for key in keys
}


def key_strips(events: tuple[Event, ...], seconds: float) -> tuple[KeyStrip, ...]:
    """The strips that matter: of each kind the longest or most extreme, the gravest kinds first; at most 40."""
    by_key: dict[str, list[Event]] = {}
    for event in events:
        by_key.setdefault(event.key, []).append(event)
    strips: list[KeyStrip] = []
    for key, found in by_key.items():
        for event in sorted(found, key=_gravity, reverse=True)[:_STRIPS_A_KIND]:
            begin = max(0.0, event.start_s - _EITHER_SIDE_S)
            end = min(seconds, max(event.start_s + 10.0 - _EITHER_SIDE_S, min(event.end_s, event.start_s + 20.0)) + 2.0)
            strips.append(KeyStrip(key, begin, end, event.value, event.unit, _RANKS.get(key, len(_RANKS))))
    strips.sort(key=lambda s: (s.rank, s.start_s))
    return tuple(strips[:_MOST_STRIPS])


def _gravity(event: Event) -> tuple[float, float]:
    """Long before short, then by value (a slow extreme is graver the slower it is)."""
    value = -event.value if event.key == "slowest" else event.value
    return (event.value if event.key == "pause" else float(event.beats), value)


def merged(spans: list[tuple[float, float]], gap_s: float) -> list[tuple[float, float]]:
    """Spans in time with those joined that lie no further apart than ``gap_s``."""
    out: list[tuple[float, float]] = []
    for begin, end in sorted(spans):
        if out and begin - out[-1][1] <= gap_s:
            out[-1] = (out[-1][0], max(out[-1][1], end))
        else:
            out.append((begin, end))
    return out


def beats_within(log: BeatLog, span: tuple[float, float]) -> int:
    """How many beats lie in a span of seconds."""
    seconds: npt.NDArray[np.float64] = log.seconds
    return int(np.searchsorted(seconds, span[1], "right") - np.searchsorted(seconds, span[0], "left"))
