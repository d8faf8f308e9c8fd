"""A strip's beats as the rules of rhythm ask for them: intervals, widths, P waves, runs, and what the signal proves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypedDict

import numpy as np
import numpy.typing as npt

from ecg.atrial import Atrial
from ecg.broad_waves import Train
from ecg.marks import BeatClass, Beats, Evidence, Mark, Statement, Waves
from ecg.rhythm_irregular import af_probability
from ecg.rhythm_p_waves import p_waves_of
from ecg.rhythm_thin import Thin, thin_of
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
_FEW_LEADS: Final = 3
_SAME_P_S: Final = 0.12


class When(TypedDict):
    """Fields of an Evidence."""

    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class View:
    """af: probability of atrial fibrillation.  seconds: of the strip.  Per beat: at_s, is_v, is_s, is_paced, is_fusion, sure (of the class), on_s and width_ms of
    the QRS (NaN unknown), p_s (peak of the P wave before it, NaN where none;
    p_marked_s: as delineated, of any shape), pr_ms (P onset to QRS onset), family.

    p_sure: [beat], 0..1, that it has a P wave by the delineation; p_like: correlation with the mean P wave.
    rr_s: [beat - 1]; is_seen: [beat - 1], whether the recorder gave a signal for the whole interval.
    p_all_s: [P], every P wave; p_beat: [P], -1 where none of the beats followed.
    dead_s: spans without any signal.
    trains: of large regular waves without a steep slope; is_broad: [beat], whether it is one of them.
    """

    strip: Strip
    thin: Thin
    af: float
    atrial: Atrial
    seconds: float
    at_s: Samples
    rr_s: Samples
    is_seen: Flags
    is_v: Flags
    is_s: Flags
    is_paced: Flags
    is_fusion: Flags
    is_broad: Flags
    trains: tuple[Train, ...]
    sure: Samples
    on_s: Samples
    width_ms: Samples
    t_peak_s: Samples
    t_off_s: Samples
    p_s: Samples
    p_marked_s: Samples
    pr_ms: Samples
    p_sure: Samples
    p_like: Samples
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
    def pp_s(self) -> float:
        """The usual distance of neighbouring P waves, s; NaN with fewer than three."""
        steps = np.diff(self.p_all_s)
        steps = np.sort(steps[steps > 0.25])
        if steps.size < 2:
            return float("nan")
        # A P wave under a QRS or a T wave isn't seen: the longer distances may be two or three intervals.
        least = float(np.median(steps[: (steps.size + 1) // 2]))
        times = np.maximum(np.rint(steps / least), 1.0)
        return float(np.median(steps / times))

    @property
    def pp_spread(self) -> float:
        """Median deviation from the usual distance or a multiple of it, as a share; NaN with fewer than three."""
        usual = self.pp_s
        if not np.isfinite(usual):
            return float("nan")
        times = np.diff(self.p_all_s) / usual
        return float(np.median(np.abs(times - np.maximum(np.rint(times), 1.0))))

    @property
    def width(self) -> float:
        """Median QRS width of the basic rhythm's beats, ms; NaN when unknown."""
        own = self.is_own if self.is_own.any() else np.ones(self.count, dtype=bool)
        return middle(self.width_ms[own])

    @property
    def is_few(self) -> bool:
        """So few leads that a beat's first and last parts may lie across them all: its width is a lower bound (ours)."""
        return len(self.strip.leads) < _FEW_LEADS

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


def view_of(strip: Strip, beats: Beats, waves: Waves, atrial: Atrial, trains: tuple[Train, ...] = ()) -> View:
    """The beats (those outside ventricular fibrillation) with all that the rules ask for."""
    hz = strip.fs_hz
    at_s = beats.at / hz
    marks = waves.overall
    dead = _dead_spans(strip)
    seconds = marks / hz
    is_v, is_paced = beats.where(BeatClass.VENTRICULAR), beats.where(BeatClass.PACED)
    p_s = _p_of_beats(waves, atrial, beats, hz)
    thin = thin_of(strip)
    held = p_waves_of(
        thin,
        at_s,
        p_s,
        seconds[:, Mark.QRS_ON],
        seconds[:, Mark.T_PEAK],
        ~(is_v | is_paced),
    )
    is_s = beats.where(BeatClass.SUPRAVENTRICULAR)
    marked_s = p_s
    p_s = np.where(held.doubtful & ~is_s, np.nan, p_s)  # an early beat's P wave has a shape of its own
    onset = np.where(np.isfinite(seconds[:, Mark.QRS_ON]), seconds[:, Mark.QRS_ON], at_s - 0.045)
    p_onset = np.where(np.isfinite(seconds[:, Mark.P_ON]), seconds[:, Mark.P_ON], p_s - 0.05)
    p_all_s, p_beat = _all_p(p_s, atrial.p_samples[atrial.p_beat < 0] / hz, held.free_s)
    is_fusion = beats.where(BeatClass.FUSION)
    # In fibrillation any beat may seem early: only beats of another shape are left out.
    of_shape = ~(is_v | is_paced | is_fusion)
    is_seen = _seen_between(at_s, dead)
    like = np.nan_to_num(held.likeness)
    p_sure = np.asarray(waves.p_certainty, dtype=np.float64)
    return View(
        strip=strip,
        thin=thin,
        af=af_probability(np.diff(at_s), of_shape[1:] & of_shape[:-1] & is_seen, p_sure[of_shape], like[of_shape]),
        atrial=atrial,
        seconds=strip.mv.shape[1] / hz,
        at_s=at_s,
        rr_s=np.diff(at_s),
        is_seen=is_seen,
        is_v=is_v,
        is_s=is_s,
        is_paced=is_paced,
        is_fusion=is_fusion,
        is_broad=_inside(at_s, trains),
        trains=trains,
        sure=np.asarray(beats.certainty, dtype=np.float64),
        on_s=seconds[:, Mark.QRS_ON],
        width_ms=1000.0 * (seconds[:, Mark.QRS_OFF] - seconds[:, Mark.QRS_ON]),
        t_peak_s=seconds[:, Mark.T_PEAK],
        t_off_s=seconds[:, Mark.T_OFF],
        p_s=p_s,
        p_marked_s=marked_s,
        pr_ms=np.where(np.isfinite(p_s), 1000.0 * (onset - p_onset), np.nan),
        p_sure=p_sure,
        p_like=like,
        family=beats.family,
        p_all_s=p_all_s,
        p_beat=p_beat,
        spikes_s=beats.spikes / hz,
        dead_s=dead,
    )


def _inside(at_s: Samples, trains: tuple[Train, ...]) -> Flags:
    inside = np.zeros(at_s.size, dtype=bool)
    for train in trains:
        inside |= (at_s >= train.start_s) & (at_s <= train.end_s)
    return inside


def _all_p(p_s: Samples, *free: Samples) -> tuple[Samples, Index]:
    """(s, beat) of every P wave in time; -1 for those without a beat, each told once."""
    mine = np.flatnonzero(np.isfinite(p_s))
    times = [(float(p_s[k]), int(k)) for k in mine]
    for alone in free:
        times += [(float(t), -1) for t in alone if all(abs(t - other) > _SAME_P_S for other, _ in times)]
    times.sort()
    return np.array([t for t, _ in times], dtype=np.float64), np.array([k for _, k in times], dtype=np.int64)


def _p_of_beats(waves: Waves, atrial: Atrial, beats: Beats, hz: float) -> Samples:
    """s [beat]: the P wave that belongs to each, NaN where none is likely."""
    p_s = np.full(len(beats), np.nan)
    mine = atrial.p_beat >= 0
    p_s[atrial.p_beat[mine]] = atrial.p_samples[mine] / hz
    marked = np.isfinite(waves.overall[:, Mark.P_PEAK])
    p_s[marked] = waves.overall[marked, Mark.P_PEAK] / hz
    p_s[waves.p_certainty < _P_SEEN] = np.nan
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
