"""What each beat is: families of like shape, the classes of ANSI/AAMI EC57, and a pacemaker's spikes.

Every threshold here is ours: those of classes set on MIT-BIH's DS1 (lead 0) and PTB-XL's folds 7 and 8, those of spikes
looked at on LUDB and made recordings.  Fusion beats are not told apart: they come out as normal or ventricular.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ecg.beat_weights import VENTRICULAR
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
_SPIKE_S: Final = 0.008
_SPIKE_MV: Final = 0.10
_SPIKE_MEDIAN_S: Final = 0.014
_SPIKE_AROUND_S: Final = 0.016
_SPIKE_OVER: Final = 1.0
_SPIKE_OVER_NOISE: Final = 4.0
_SPIKE_APART_S: Final = 0.02
_MOST_SPIKES: Final = 400
_FEWEST_SPIKES: Final = 3
_SPIKES_MV: Final = 0.15
_LONE_SPIKE_MV: Final = 0.8
_PACED_S: Final = 0.12
_USUAL_BEATS: Final = 11
_RARE_BEATS: Final = 41
_EARLY: Final = 0.85
_PACED_CERTAINTY: Final = 0.9
_BROAD_CERTAINTY: Final = 0.7
_ON_TIME: Final = 0.08
_ON_TIME_ODDS: Final = 2.0
_LONG_BEATS: Final = 81
_EARLY_LOG: Final = 0.12
_SUDDEN_LOG: Final = 0.10
_SAME_SHAPE: Final = 0.85
_STEADY: Final = 0.15
_STEADY_RUN: Final = 0.08
_NOT_EARLY_LOG: Final = -0.03
_CUT_ODDS: Final = 3.0
_EARLY_SCALE: Final = 0.05
_ORDER: Final = (BeatClass.NORMAL, BeatClass.SUPRAVENTRICULAR, BeatClass.VENTRICULAR, BeatClass.PACED)


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
    shapes = shapes_of(strip, at)
    family = families(shapes)
    times = times_of(at / strip.fs_hz)
    dominant = dominant_of(family, times)
    usual = usual_shape(shapes, family == dominant)
    ventricular = ventricular_odds(signs(shapes, family, dominant, usual, times), times)
    cut = (at < _FROM_S * strip.fs_hz) | (at >= strip.mv.shape[1] - _TO_S * strip.fs_hz)
    ventricular = ventricular - _CUT_ODDS * cut  # part of its shape is not there to be judged
    supra = supraventricular_odds(usual, times)
    paced = _is_paced(at, spikes, strip.fs_hz)
    kinds, certainty = _kinds(ventricular, supra, paced)
    return Beats(at, kinds, family, dominant, certainty, spikes)


def of_ventricles(found: Beats, which: npt.NDArray[np.bool_]) -> Beats:
    """The same with these beats called ventricular, unless paced: waves without a steep slope are no narrow QRS."""
    which = which & ~found.where(BeatClass.PACED)
    if not which.any():
        return found
    kinds = tuple(BeatClass.VENTRICULAR if v else kind for kind, v in zip(found.kinds, which.tolist(), strict=True))
    return replace(found, kinds=kinds, certainty=np.where(which, _BROAD_CERTAINTY, found.certainty))


# ------------------------------------------------------------------------------------------------ shapes
@dataclass(frozen=True, slots=True)
class Shapes:
    """beats: float32 [beat, lead, sample], mV in the shape band, with ``_SHIFT`` samples to spare at either end.

    units: float32 [shift, beat, value]: every beat flat and of length one, read -_SHIFT.._SHIFT samples later.
    """

    beats: Floats
    fs_hz: float
    units: Floats

    def moved(self, by: Index) -> Floats:
        """[beat, lead * sample], mV: each beat read ``by`` samples later (-_SHIFT.._SHIFT)."""
        n, _, length = self.beats.shape
        width = length - 2 * _SHIFT
        out = np.empty((n, self.beats.shape[1] * width), dtype=np.float32)
        for shift in np.unique(by).tolist():
            out[by == shift] = _flat(self.beats[by == shift], shift)
        return out


def _flat(rows: Floats, shift: int) -> Floats:
    width = rows.shape[2] - 2 * _SHIFT
    return rows[:, :, _SHIFT + shift : _SHIFT + shift + width].reshape(rows.shape[0], -1)


def shapes_of(strip: Strip, at: Index) -> Shapes:
    (band,), rate = narrowed(strip.mv, strip.fs_hz, (_BAND_HZ,), 2, _RATE_HZ)
    before, after = round(_FROM_S * rate) + _SHIFT, round(_TO_S * rate) + _SHIFT
    centre = np.rint(at * (rate / strip.fs_hz)).astype(np.int64)
    index = np.clip(centre[:, None] + np.arange(-before, after + 1), 0, band.shape[1] - 1)
    beats = np.ascontiguousarray(band.real[:, index].transpose(1, 0, 2))
    return Shapes(beats, rate, np.stack([_unit(_flat(beats, shift)) for shift in range(-_SHIFT, _SHIFT + 1)]))


def _unit(rows: Floats) -> Floats:
    return rows / np.maximum(np.sqrt(np.einsum("ij,ij->i", rows, rows))[:, None], 1e-6)


def _likeness(shapes: Shapes, templates: Floats) -> tuple[Floats, Index]:
    """Correlation [beat, template] at the best shift, and that shift."""
    each = shapes.units @ _unit(templates).T
    return each.max(axis=0), each.argmax(axis=0) - _SHIFT


def families(shapes: Shapes) -> Index:
    """int64 [beat]: 0 the largest family.  Centres are the beats that most others look like; then all are assigned."""
    n = shapes.beats.shape[0]
    rows = shapes.units[_SHIFT]
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
        aligned = shapes.units[shift[np.arange(n), family] + _SHIFT, np.arange(n)]
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
class Usual:
    """template: float32 [value], the median of the dominant family's beats, mV.  alike: float64 [beat], correlation
    with it at the best shift; shift: int64 [beat], samples."""

    template: Floats
    alike: Samples
    shift: Index


def usual_shape(shapes: Shapes, members: npt.NDArray[np.bool_]) -> Usual:
    template = np.median(_flat(shapes.beats[members], 0), axis=0)
    likeness, shifts = _likeness(shapes, template[None])
    return Usual(template, likeness[:, 0].astype(np.float64), shifts[:, 0])


def signs(shapes: Shapes, family: Index, dominant: int, main: Usual, times: Times) -> Samples:
    """float64 [beat, sign]: what the classes are told by; times against the usual interval, shapes against the
    dominant family's.  Logarithms, so that twice and half weigh the same."""
    n = family.size
    before, after, usual, irregular = times.before, times.after, times.usual, times.irregular
    early, late, whole = np.log(before / usual), np.log(after / usual), np.log((before + after) / (2 * usual))
    members = family == dominant
    template, alike = main.template, main.alike
    moved = shapes.moved(main.shift)
    size = np.log(np.maximum(np.linalg.norm(moved, axis=1), 1e-4) / max(float(np.linalg.norm(template)), 1e-4))
    apart = np.linalg.norm(moved - template, axis=1) / max(float(np.linalg.norm(template)), 1e-4)
    spread, slow = np.log(_spread_ms(shapes)), _slowness(shapes)
    spread, slow = spread - np.median(spread[members]), slow - np.median(slow[members])
    share = np.log(np.bincount(family, minlength=family.max() + 1)[family] / n)
    counts = np.maximum(np.bincount(family, minlength=family.max() + 1), 1)

    def of_family(values: Samples) -> Samples:
        return (np.bincount(family, weights=values, minlength=counts.size) / counts)[family]

    def rarely(values: Samples, floor: float) -> Samples:
        """How far above what is usual around there, in units of how much it varies there."""
        around = _windows(values, min(_RARE_BEATS // 2, n - 1))
        usually = np.median(around, axis=1)
        vary = np.median(np.abs(around - usually[:, None]), axis=1)
        return np.log1p(np.maximum(values - usually, 0.0) / (vary + floor))

    unlike = 1.0 - alike
    odd = np.minimum(unlike, 1.0)
    prematurity = np.maximum(-early - 0.08, 0.0)
    calm = np.exp(-irregular / 0.08)
    columns = [
        odd,
        np.log(np.maximum(apart, 0.05)),
        slow,
        np.abs(size),
        np.maximum(-early, 0.0),
        np.maximum(early, 0.0),
        prematurity * calm,
        np.maximum(late, 0.0),
        np.maximum(-late, 0.0),
        whole,
        irregular,
        prematurity * odd,
        odd * np.maximum(spread, 0.0),
        share,
        rarely(odd, 0.03),
        rarely(np.log(np.maximum(apart, 0.05)), 0.15),
        rarely(spread, 0.05),
        of_family(odd),
        of_family(np.maximum(-early, 0.0)),
        of_family(spread),
        of_family(np.maximum(late, 0.0)),
        (family == dominant).astype(np.float64),
    ]
    return np.column_stack(columns)


@dataclass(frozen=True, slots=True)
class Times:
    """Per beat, s: the interval before, the one after, the usual one around there (for_long: far around), and how much
    they vary: the median change from one interval to the next over the usual one."""

    before: Samples
    after: Samples
    usual: Samples
    for_long: Samples
    irregular: Samples


def times_of(seconds: Samples) -> Times:
    """The usual interval is that between beats or, where early beats and their pauses alternate with others, half of
    that between every second one."""
    n = seconds.size
    if n < 3:
        one = np.full(n, max(float(seconds[-1] - seconds[0]), 0.5) if n == 2 else 1.0)
        return Times(one, one, one, one, np.zeros(n))
    rr = np.diff(seconds)
    before, after = np.concatenate([rr[:1], rr]), np.concatenate([rr, rr[-1:]])
    half = (min(_USUAL_BEATS, n) | 1) // 2
    near = _windows(before, half)
    usual = np.median(near, axis=1)
    steady = np.median(_windows((before + after) / 2, half), axis=1)
    usual = np.maximum(usual, np.minimum(steady, 1.25 * usual))
    irregular = np.median(np.abs(np.diff(near, axis=1)), axis=1) / usual
    for_long = np.median(_windows(before, min(_LONG_BEATS // 2, n - 1)), axis=1)
    return Times(before, after, usual, for_long, irregular)


def _windows(values: Samples, half: int) -> Samples:
    """[value, 2 * half + 1]: each with its neighbours, mirrored at the ends."""
    padded = np.pad(values, min(half, values.size - 1), mode="reflect")
    short = half - min(half, values.size - 1)
    padded = np.pad(padded, short, mode="edge") if short else padded
    return np.lib.stride_tricks.sliding_window_view(padded, 2 * half + 1)


def _spread_ms(shapes: Shapes) -> Samples:
    """Twice the standard deviation, in time, of each beat's squared slope over all leads."""
    slope = np.square(np.diff(shapes.beats, axis=2)).sum(axis=1).astype(np.float64)
    total = np.maximum(slope.sum(axis=1), 1e-12)
    t = np.arange(slope.shape[1]) * (1000.0 / shapes.fs_hz)
    mean = slope @ t / total
    return np.maximum(2.0 * np.sqrt(np.maximum(slope @ np.square(t) / total - np.square(mean), 0.0)), 1.0)


def _slowness(shapes: Shapes) -> Samples:
    """Log of amplitude over slope: how slowly each beat moves, whatever its size."""
    slope = np.square(np.diff(shapes.beats, axis=2)).sum(axis=(1, 2)).astype(np.float64)
    size = np.square(shapes.beats).sum(axis=(1, 2)).astype(np.float64)
    return 0.5 * np.log(np.maximum(size, 1e-9) / np.maximum(slope, 1e-9))


def dominant_of(family: Index, times: Times) -> int:
    """The largest family that is not made of early beats."""
    early = times.before / times.usual
    for k in range(int(family.max()) + 1):
        if np.median(early[family == k]) > _EARLY:
            return k
    return 0


# ------------------------------------------------------------------------------------------------ classes
def ventricular_odds(table: Samples, times: Times) -> Samples:
    """float64 [beat]: log odds that a beat comes from a ventricle.  One that is neither early nor followed by a pause
    must look the more like it: an odd shape alone may be noise."""
    on_time = (np.log(times.usual / times.before) < _ON_TIME) & (np.log(times.after / times.usual) < _ON_TIME)
    return table @ np.asarray(VENTRICULAR[1:]) + VENTRICULAR[0] - _ON_TIME_ODDS * on_time


def supraventricular_odds(main: Usual, times: Times) -> Samples:
    """float64 [beat]: above zero for a beat of the dominant shape that comes early, alone or in a run that begins with
    a sudden step, where the rhythm is otherwise steady.  Ours; set on MIT-BIH's DS1 and PTB-XL's folds 7 and 8."""
    single = np.log(times.usual / times.before) - 2.0 * times.irregular - _EARLY_LOG
    alone = (times.irregular < _STEADY) & (np.log(times.after / times.usual) > _NOT_EARLY_LOG)
    early = np.log(times.for_long / times.before)
    in_run = _in_sudden_run(times.before, early) & (times.irregular < _STEADY_RUN)
    odds = np.maximum(np.where(alone, single, -1.0), np.where(in_run, early - _EARLY_LOG, -1.0)) / _EARLY_SCALE
    return np.where(main.alike > _SAME_SHAPE, np.clip(odds, -6.0, 6.0), -6.0)


def _in_sudden_run(before: Samples, early: Samples) -> npt.NDArray[np.bool_]:
    """bool [beat]: of a run of early beats whose first came suddenly, against the interval before it."""
    inside = early > _EARLY_LOG
    starts = inside & ~np.concatenate([[False], inside[:-1]])
    sudden = np.concatenate([[False], np.log(before[:-1] / before[1:]) > _SUDDEN_LOG])
    run = np.cumsum(starts)
    begins_suddenly = np.zeros(int(run[-1]) + 1, dtype=bool)
    begins_suddenly[run[starts]] = sudden[starts]
    return inside & begins_suddenly[run]


def _kinds(ventricular: Samples, supra: Samples, paced: npt.NDArray[np.bool_]) -> tuple[tuple[BeatClass, ...], Samples]:
    """Each beat's class and how sure that is, 0..1."""
    is_v, is_s = ventricular > 0, supra > 0
    choice = np.where(paced, 3, np.where(is_v, 2, np.where(is_s, 1, 0)))
    kinds = tuple(_ORDER[k] for k in choice.tolist())
    chance_v, chance_s = _chance(ventricular), _chance(supra)
    certainty = np.choose(
        choice, [np.minimum(1 - chance_v, 1 - chance_s), chance_s, chance_v, np.full(choice.size, _PACED_CERTAINTY)]
    )
    return kinds, certainty


def _chance(odds: Samples) -> Samples:
    return 1.0 / (1.0 + np.exp(-np.clip(odds, -30.0, 30.0)))


# ------------------------------------------------------------------------------------------------ pacing
def pacing_spikes(strip: Strip) -> Index:
    """int64 [spike]: samples of the strip where a pacemaker's spike stands; empty for recordings under 400 Hz.

    A spike rises and falls within some 6 ms where the signal is otherwise smooth: what a running median of 14 ms takes
    away at its top is larger than all that the median itself does within 16 ms to either side.  The top of an R wave
    loses less than half of that.  Measured as the mean over the quarter of the leads that show it best.
    """
    reach = round(_SPIKE_S * strip.fs_hz)
    edge = 6 * reach
    if strip.source_fs_hz < _SPIKE_SOURCE_HZ or strip.fs_hz < _SPIKE_SOURCE_HZ or strip.mv.shape[1] < 4 * edge:
        return np.zeros(0, dtype=np.int64)
    x = strip.mv
    bend = np.abs(x[:, reach:-reach] - 0.5 * (x[:, : -2 * reach] + x[:, 2 * reach :]))
    strength = _best_quarter(bend)
    peaks = np.flatnonzero((strength[1:-1] >= strength[:-2]) & (strength[1:-1] > strength[2:])) + 1
    peaks = peaks[(strength[peaks] > _SPIKE_MV) & (peaks >= edge) & (peaks < strength.size - edge)]
    peaks = np.sort(peaks[np.argsort(-strength[peaks], kind="stable")][:_MOST_SPIKES])
    around = np.clip(peaks[:, None] + np.arange(-6 * edge, 6 * edge + 1, reach), 0, strength.size - 1)
    noise = np.median(strength[around], axis=1)
    if not peaks.size:
        return np.zeros(0, dtype=np.int64)
    stands, where, tall = _alone(x, peaks + reach, noise, strip.fs_hz)
    found, first = np.unique(where[stands], return_index=True)
    return found[_repeated(found, tall[stands][first], strip.fs_hz)]


def _repeated(at: Index, tall: Samples, fs_hz: float) -> npt.NDArray[np.bool_]:
    """bool [spike]: a pacemaker's spikes come again and again; a single small one is a glitch."""
    if not at.size:
        return np.zeros(0, dtype=bool)
    apart = np.concatenate([[True], np.diff(at) > _SPIKE_APART_S * fs_hz])
    again = at.size >= _FEWEST_SPIKES and float(np.median(tall)) >= _SPIKES_MV
    return apart & (again | (tall >= _LONE_SPIKE_MV))


def _best_quarter(rows: Samples) -> Samples:
    """The mean of the greatest quarter of the leads, at least one, [...]."""
    leads = rows.shape[0]
    kept = (leads + 3) // 4
    return rows[0] if leads == 1 else np.partition(rows, leads - kept, axis=0)[leads - kept :].mean(axis=0)


def _alone(x: Samples, at: Index, noise: Samples, fs_hz: float) -> tuple[npt.NDArray[np.bool_], Index, Samples]:
    """Whether a spike stands at each of these samples, exactly where, and how tall it is, mV."""
    half, width = round(_SPIKE_AROUND_S * fs_hz), round(_SPIKE_MEDIAN_S * fs_hz) | 1
    around = half + width // 2
    index = np.clip(at[:, None] + np.arange(-around, around + 1), 0, x.shape[1] - 1)
    windows = np.lib.stride_tricks.sliding_window_view(x[:, index], width, axis=2)
    smooth = np.partition(windows, width // 2, axis=3)[..., width // 2]
    sharp = np.abs(x[:, index[:, width // 2 : width // 2 + 2 * half + 1]] - smooth)
    near = slice(half - width // 2, half + width // 2 + 1)
    height = _best_quarter(sharp[:, :, near])
    moving = _best_quarter(np.ptp(smooth, axis=2))
    top = height.argmax(axis=1)
    tall = height[np.arange(at.size), top]
    stands = (tall > _SPIKE_MV) & (tall > _SPIKE_OVER * moving) & (tall > _SPIKE_OVER_NOISE * noise)
    return stands, at + top - width // 2, tall


def _is_paced(at: Index, spikes: Index, fs_hz: float) -> npt.NDArray[np.bool_]:
    """bool [beat]: a spike stands from 120 ms before the main deflection to 20 ms after it."""
    if not spikes.size:
        return np.zeros(at.size, dtype=bool)
    last = np.searchsorted(spikes, at + round(0.02 * fs_hz), side="right") - 1
    gap = np.where(last >= 0, at - spikes[np.maximum(last, 0)], np.iinfo(np.int64).max)
    return gap <= _PACED_S * fs_hz
