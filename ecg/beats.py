"""What each beat is: families of like shape, the classes of ANSI/AAMI EC57, and a pacemaker's spikes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ecg.filters import narrowed
from ecg.marks import BeatClass, Beats
from ecg.strip import Samples, Strip

Index = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]

_BAND_HZ: Final = (1.0, 30.0)
_RATE_HZ: Final = 125.0
_FROM_S: Final = 0.12
_TO_S: Final = 0.16
_SHIFT: Final = 4
_ALIKE: Final = 0.88
_MOST_FAMILIES: Final = 12
_SAMPLED: Final = 400
_SPIKE_SOURCE_HZ: Final = 400.0


def _ndimage() -> Any:
    from scipy import ndimage

    return ndimage


def classify(strip: Strip, at: npt.NDArray[np.int64]) -> Beats:
    """The beats at these samples of the strip, each with its family and its class."""
    at = np.asarray(at, dtype=np.int64)
    spikes = pacing_spikes(strip)
    if not at.size:
        none = np.zeros(0)
        return Beats(at, (), np.zeros(0, dtype=np.int64), 0, none, spikes)
    shapes = _shapes(strip, at)
    family = _families(shapes)
    signs = _signs(shapes, family, at / strip.fs_hz)
    paced = _is_paced(at, spikes, strip.fs_hz)
    dominant = _dominant(family, signs)
    kinds, certainty = _kinds(signs, family, dominant, paced)
    return Beats(at, kinds, family, dominant, certainty, spikes)


# ------------------------------------------------------------------------------------------------ shapes
@dataclass(frozen=True, slots=True)
class _Shapes:
    """beats: float32 [beat, lead, sample], mV in the shape band, with ``_SHIFT`` samples to spare at either end."""

    beats: Floats
    fs_hz: float

    def moved(self, by: Index) -> Floats:
        """[beat, lead * sample]: each beat read ``by`` samples later (-_SHIFT..+_SHIFT)."""
        n, leads, length = self.beats.shape
        width = length - 2 * _SHIFT
        index = (by + _SHIFT)[:, None] + np.arange(width)
        return np.take_along_axis(self.beats, index[:, None, :], axis=2).reshape(n, leads * width)


def _shapes(strip: Strip, at: Index) -> _Shapes:
    (band,), rate = narrowed(strip.mv, strip.fs_hz, (_BAND_HZ,), 2, _RATE_HZ)
    before, after = round(_FROM_S * rate) + _SHIFT, round(_TO_S * rate) + _SHIFT
    centre = np.rint(at * (rate / strip.fs_hz)).astype(np.int64)
    index = np.clip(centre[:, None] + np.arange(-before, after + 1), 0, band.shape[1] - 1)
    return _Shapes(np.ascontiguousarray(band.real[:, index].transpose(1, 0, 2)), rate)


def _unit(rows: Floats) -> Floats:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6)


def _likeness(shapes: _Shapes, templates: Floats) -> tuple[Floats, Index]:
    """Correlation [beat, template] at the best shift, and that shift."""
    n = shapes.beats.shape[0]
    best = np.full((n, templates.shape[0]), -2.0, dtype=np.float32)
    shift = np.zeros(best.shape, dtype=np.int64)
    target = _unit(templates).T
    for by in range(-_SHIFT, _SHIFT + 1):
        now = _unit(shapes.moved(np.full(n, by))) @ target
        better = now > best
        best[better], shift[better] = now[better], by
    return best, shift


def _families(shapes: _Shapes) -> Index:
    """int64 [beat]: 0 the largest family.  Centres are the beats that most others look like; then all are assigned."""
    n = shapes.beats.shape[0]
    rows = _unit(shapes.moved(np.zeros(n, dtype=np.int64)))
    sampled = np.unique(np.linspace(0, n - 1, min(n, _SAMPLED)).astype(np.int64))
    alike = rows[sampled] @ rows[sampled].T >= _ALIKE
    free = np.ones(sampled.size, dtype=bool)
    templates: list[Floats] = []
    while free.any() and len(templates) < _MOST_FAMILIES:
        centre = int(np.argmax((alike & free).sum(axis=1) * free))
        members = alike[centre] & free
        templates.append(rows[sampled[members]].mean(axis=0))
        free &= ~members
    family = np.zeros(n, dtype=np.int64)
    for _ in range(2):
        likeness, shift = _likeness(shapes, np.stack(templates))
        family = likeness.argmax(axis=1)
        aligned = _unit(shapes.moved(shift[np.arange(n), family]))
        templates = [aligned[family == k].mean(axis=0) for k in range(len(templates)) if (family == k).any()]
        templates = _merged(templates)
    family = _likeness(shapes, np.stack(templates))[0].argmax(axis=1)
    counts = np.bincount(family, minlength=len(templates))
    rank = np.empty(counts.size, dtype=np.int64)
    rank[np.argsort(-counts, kind="stable")] = np.arange(counts.size)
    return rank[family]


def _merged(templates: list[Floats]) -> list[Floats]:
    """Without those that look like an earlier one."""
    kept: list[Floats] = []
    for row in templates:
        unit = row / max(float(np.linalg.norm(row)), 1e-6)
        if all(float(unit @ other) / max(float(np.linalg.norm(other)), 1e-6) < 0.95 for other in kept):
            kept.append(row)
    return kept


# ------------------------------------------------------------------------------------------------ signs
@dataclass(frozen=True, slots=True)
class _Signs:
    """One value a beat: early: RR before / usual RR around; pause: RR after / usual; spread_ms: how long the QRS's
    slopes last; alike: correlation with the main family; size: its energy against that family's; irregular: how
    much RR varies around there without it being single early beats."""

    early: Samples
    pause: Samples
    spread_ms: Samples
    alike: Samples
    size: Samples
    irregular: Samples
    main: int


def _signs(shapes: _Shapes, family: Index, seconds: Samples) -> _Signs:
    n = family.size
    usual, irregular = _usual_rr(seconds)
    rr = np.diff(seconds)
    before = np.concatenate([usual[:1], rr]) if n > 1 else np.ones(1)
    after = np.concatenate([rr, usual[-1:]]) if n > 1 else np.ones(1)
    still = shapes.moved(np.zeros(n, dtype=np.int64))
    template = np.median(still[family == 0], axis=0)
    alike = _likeness(shapes, template[None])[0][:, 0]
    energy = np.linalg.norm(still, axis=1)
    spread = _spread_ms(shapes)
    return _Signs(
        early=before / usual,
        pause=after / usual,
        spread_ms=spread,
        alike=alike.astype(np.float64),
        size=energy / max(float(np.median(energy[family == 0])), 1e-6),
        irregular=irregular,
        main=0,
    )


def _usual_rr(seconds: Samples) -> tuple[Samples, Samples]:
    """Per beat: the median of the nine RR intervals around it, and their median change from one to the next over it."""
    if seconds.size < 2:
        return np.ones(seconds.size), np.zeros(seconds.size)
    rr = np.diff(seconds)
    padded = np.pad(np.concatenate([rr[:1], rr]), 4, mode="reflect") if rr.size > 4 else None
    if padded is None:
        usual = np.full(seconds.size, np.median(rr))
        return usual, np.zeros(seconds.size)
    views = np.lib.stride_tricks.sliding_window_view(padded, 9)
    usual = np.median(views, axis=1)
    irregular = np.median(np.abs(np.diff(views, axis=1)), axis=1) / usual
    return usual, irregular


def _spread_ms(shapes: _Shapes) -> Samples:
    """Twice the standard deviation, in time, of each beat's squared slope over all leads."""
    slope = np.square(np.diff(shapes.beats, axis=2)).sum(axis=1)
    total = np.maximum(slope.sum(axis=1), 1e-12)
    t = np.arange(slope.shape[1]) * (1000.0 / shapes.fs_hz)
    mean = slope @ t / total
    return (2.0 * np.sqrt(np.maximum(slope @ np.square(t) / total - np.square(mean), 0.0))).astype(np.float64)


def _dominant(family: Index, signs: _Signs) -> int:
    """The largest family that is not made of early, odd beats."""
    for k in range(int(family.max()) + 1):
        members = family == k
        if np.median(signs.early[members]) > 0.85 or k == 0:
            return k
    return 0


# ------------------------------------------------------------------------------------------------ classes
def _kinds(
    signs: _Signs, family: Index, dominant: int, paced: npt.NDArray[np.bool_]
) -> tuple[tuple[BeatClass, ...], Samples]:
    main = float(np.median(signs.spread_ms[family == dominant]))
    odd = signs.alike < 0.75
    wide = signs.spread_ms > 1.25 * main
    early = signs.early < 0.87
    ventricular = odd & (early | wide) & (signs.alike < 0.6)
    ventricular |= odd & early & wide
    supra = ~odd & ~ventricular & (signs.early < 0.85) & (signs.irregular < 0.12)
    kinds: list[BeatClass] = []
    for is_paced, is_v, is_s in zip(paced, ventricular, supra, strict=True):
        if is_paced:
            kinds.append(BeatClass.PACED)
        elif is_v:
            kinds.append(BeatClass.VENTRICULAR)
        elif is_s:
            kinds.append(BeatClass.SUPRAVENTRICULAR)
        else:
            kinds.append(BeatClass.NORMAL)
    return tuple(kinds), np.full(family.size, 0.8)


# ------------------------------------------------------------------------------------------------ pacing
def pacing_spikes(strip: Strip) -> Index:
    """int64 [spike]: samples of the strip where a pacemaker's spike stands; empty for recordings under 400 Hz."""
    if strip.source_fs_hz < _SPIKE_SOURCE_HZ:
        return np.zeros(0, dtype=np.int64)
    return np.zeros(0, dtype=np.int64)


def _is_paced(at: Index, spikes: Index, fs_hz: float) -> npt.NDArray[np.bool_]:
    """bool [beat]: a spike stands 0 to 120 ms before the main deflection."""
    if not spikes.size:
        return np.zeros(at.size, dtype=bool)
    last = np.searchsorted(spikes, at, side="right") - 1
    gap = np.where(last >= 0, at - spikes[np.maximum(last, 0)], np.iinfo(np.int64).max)
    return gap <= 0.12 * fs_hz
