"""A strip's beats as the rules of rhythm ask for them: intervals, widths, P waves, runs, and what the signal proves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypedDict

import numpy as np
import numpy.typing as npt

from ecg.atrial import Atrial
from ecg.marks import BeatClass, Beats, Evidence, Mark, Statement, Waves
from ecg.strip import Samples, Strip

Flags = npt.NDArray[np.bool_]
Index = npt.NDArray[np.int64]

AHA: Final = "AHA/ACC/HRS 2007 part II"
TEXTBOOK: Final = "诊断学 (Chinese textbook of diagnostics)"
OURS: Final = "ours"

_DEAD_S: Final = 0.5
"""No lead moves at all for so long: a recorder that gave nothing.  Even asystole moves by the noise of the skin (ours)."""
_BLOCK_S: Final = 0.1
_DEAD_MV: Final = 0.001
_WIDE_MS: Final = 120.0
_P_SEEN: Final = 0.5


class When(TypedDict):
    """Fields of an Evidence."""

    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class View:
    """seconds: of the strip.  Per beat: at_s, is_v, is_s, is_paced, is_fusion, sure (of the class), on_s and width_ms of
    the QRS (NaN unknown), p_s (peak of the P wave before it, NaN where none), pr_ms (P onset to QRS onset), family.

    rr_s: [beat - 1]; is_seen: [beat - 1], whether the recorder gave a signal for the whole interval.
    p_all_s: [P], every P wave; p_beat: [P], -1 where none of the beats followed.
    dead_s: spans without any signal.
    """

    strip: Strip
    atrial: Atrial
    seconds: float
    at_s: Samples
    rr_s: Samples
    is_seen: Flags
    is_v: Flags
    is_s: Flags
    is_paced: Flags
    is_fusion: Flags
    sure: Samples
    on_s: Samples
    width_ms: Samples
    t_peak_s: Samples
    t_off_s: Samples
    p_s: Samples
    pr_ms: Samples
    family: Index
    p_all_s: Samples
    p_beat: Index
    spikes_s: Samples
    dead_s: tuple[tuple[float, float], ...]

    @property
    def count(self) -> int:
        return int(self.at_s.size)

    @property
    def is_own(self) -> Flags:
        """bool [beat]: beats of the basic rhythm, in turn and conducted: neither early, ventricular, paced nor fusion."""
        return ~(self.is_v | self.is_s | self.is_paced | self.is_fusion)

    @property
    def nn_s(self) -> Samples:
        """Intervals between neighbouring beats of the basic rhythm, s."""
        own = self.is_own
        return self.rr_s[own[1:] & own[:-1] & self.is_seen]

    @property
    def width(self) -> float:
        """Median QRS width of the basic rhythm's beats, ms; NaN when unknown."""
        own = self.is_own if self.is_own.any() else np.ones(self.count, dtype=bool)
        return middle(self.width_ms[own])

    @property
    def is_wide(self) -> bool:
        return bool(self.width >= _WIDE_MS)

    @property
    def p_share(self) -> float:
        """Share of the basic rhythm's beats with a P wave before them; 0 without such beats."""
        own = self.is_own
        return float(np.isfinite(self.p_s[own]).mean()) if own.any() else 0.0

    def rate(self, beats: Flags | None = None) -> float | None:
        """/min over the intervals that are seen (of neighbouring beats that are both of these)."""
        use = self.is_seen if beats is None else self.is_seen & beats[1:] & beats[:-1]
        use = use & (self.rr_s > 0)
        return 60.0 / float(self.rr_s[use].mean()) if use.any() else None

    def span(self, first: int, last: int) -> When:
        """start_s and end_s of an Evidence about the beats first..last."""
        return {"start_s": round(float(self.at_s[first]), 3), "end_s": round(float(self.at_s[last]), 3)}


@dataclass(frozen=True, slots=True)
class Found:
    """What one group of rules says: statements, and facts for the critical rules."""

    statements: tuple[Statement, ...] = ()
    facts: tuple[tuple[str, float], ...] = ()


def said(key: str, certainty: float, *evidence: Evidence, modifiers: tuple[str, ...] = ()) -> Statement:
    """A statement whose certainty is kept within 0.05..0.99."""
    return Statement(key, float(np.clip(certainty, 0.05, 0.99)), evidence, modifiers)


def middle(values: Samples) -> float:
    """The median of what is known, NaN where nothing is."""
    known = values[np.isfinite(values)]
    return float(np.median(known)) if known.size else float("nan")


def runs_of(flags: Flags) -> list[tuple[int, int]]:
    """First and last index of each unbroken run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    return [(int(a), int(b) - 1) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def view_of(strip: Strip, beats: Beats, waves: Waves, atrial: Atrial) -> View:
    """The beats (those outside ventricular fibrillation) with all that the rules ask for."""
    hz = strip.fs_hz
    at_s = beats.at / hz
    marks = waves.overall
    dead = _dead_spans(strip)
    p_s = _p_of_beats(marks, atrial, beats, hz)
    onset = np.where(np.isfinite(marks[:, Mark.QRS_ON]), marks[:, Mark.QRS_ON], beats.at - 0.045 * hz)
    p_onset = np.where(np.isfinite(marks[:, Mark.P_ON]), marks[:, Mark.P_ON], p_s * hz - 0.05 * hz)
    order = np.argsort(atrial.p_samples, kind="stable")
    return View(
        strip=strip,
        atrial=atrial,
        seconds=strip.mv.shape[1] / hz,
        at_s=at_s,
        rr_s=np.diff(at_s),
        is_seen=_seen_between(at_s, dead),
        is_v=beats.where(BeatClass.VENTRICULAR),
        is_s=beats.where(BeatClass.SUPRAVENTRICULAR),
        is_paced=beats.where(BeatClass.PACED),
        is_fusion=beats.where(BeatClass.FUSION),
        sure=np.asarray(beats.certainty, dtype=np.float64),
        on_s=marks[:, Mark.QRS_ON] / hz,
        width_ms=(marks[:, Mark.QRS_OFF] - marks[:, Mark.QRS_ON]) * (1000.0 / hz),
        t_peak_s=marks[:, Mark.T_PEAK] / hz,
        t_off_s=marks[:, Mark.T_OFF] / hz,
        p_s=p_s,
        pr_ms=np.where(np.isfinite(p_s), (onset - p_onset) * (1000.0 / hz), np.nan),
        family=beats.family,
        p_all_s=atrial.p_samples[order] / hz,
        p_beat=atrial.p_beat[order],
        spikes_s=beats.spikes / hz,
        dead_s=dead,
    )


def _p_of_beats(marks: Samples, atrial: Atrial, beats: Beats, hz: float) -> Samples:
    """s [beat]: the P wave that belongs to each, NaN where none is likely."""
    p_s = np.full(len(beats), np.nan)
    mine = atrial.p_beat >= 0
    p_s[atrial.p_beat[mine]] = atrial.p_samples[mine] / hz
    marked = ~np.isfinite(p_s) & np.isfinite(marks[:, Mark.P_PEAK])
    p_s[marked] = marks[marked, Mark.P_PEAK] / hz
    p_s[atrial.p_evidence < _P_SEEN] = np.nan
    return p_s


def _dead_spans(strip: Strip) -> tuple[tuple[float, float], ...]:
    """Spans, s, in which no lead gives a signal: no value, or not the least movement."""
    block = max(2, round(_BLOCK_S * strip.fs_hz))
    count = strip.mv.shape[1] // block
    if not count:
        return ()
    cut = count * block
    if strip.is_known.all() and strip.mv.shape[0] > 1:
        quick = strip.mv[:2, :cut].reshape(2, count, block)  # two leads that move: nothing is dead
        if not ((quick.max(axis=2) - quick.min(axis=2)) < _DEAD_MV).all(axis=0).any():
            return ()
    rows = strip.mv[:, :cut].reshape(-1, count, block)
    still = (rows.max(axis=2) - rows.min(axis=2)) < _DEAD_MV
    unknown = ~strip.is_known[:, :cut].reshape(-1, count, block).any(axis=2)
    dead = (still | unknown).all(axis=0)
    step = block / strip.fs_hz
    missing = np.asarray(unknown.all(axis=0), dtype=np.bool_)
    found = [(first, last + 1) for first, last in runs_of(dead)]
    long = [(a, b) for a, b in found if (b - a) * step >= _DEAD_S - 1e-9 or bool(missing[a])]
    return tuple((a * step, b * step) for a, b in long)


def _seen_between(at_s: Samples, dead: tuple[tuple[float, float], ...]) -> Flags:
    seen = np.diff(at_s) > 0
    for start, end in dead:
        seen &= (at_s[1:] <= start) | (at_s[:-1] >= end)
    return seen
