"""The median beat: what the beats of the dominant family have in common, and where its waves begin and end."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from ecg.hum import without_hum
from ecg.marks import BeatClass, Beats, Mark, MedianBeat, Waves
from ecg.strip import Samples, Strip

Index = npt.NDArray[np.int64]

MOST_BEATS: Final = 60
"""Noise falls with the root of the number: more beats than these gain less than a microvolt (ours)."""
_BEFORE_S: Final = (0.30, 0.60)
_AFTER_S: Final = (0.50, 0.95)
_ROOM_S: Final = 0.10
_NEXT_QRS_S: Final = 0.06
_LEVEL_S: Final = (0.022, 0.002)
"""The level before the QRS: 20 ms that end 2 ms before its onset (CSE measures against the level at QRS onset)."""
_SHIFT_S: Final = 0.02
_CORE_S: Final = 0.07
_COARSE_S: Final = 0.04
_REST_MV_S: Final = 1.2
_REST_SHARE: Final = 0.01
_FARTHEST_S: Final = 0.14
_SPAN_APART_S: Final = 0.012
"""Two ways to bound a QRS: half of each where they agree within this.  Made records: 5 +- 4 ms too wide, LUDB 5 too
narrow against the third outermost of the leads' hand marks (ours)."""


def median_beat(strip: Strip, beats: Beats, waves: Waves) -> MedianBeat:
    """The dominant family's median beat (a mean of the middle half, sample by sample) with its boundaries.

    Beats that the strip cuts off or in which a lead is missing are left out while three others remain.  Wander is taken
    off first: a smooth curve through the levels before each QRS.  With no beat at all: an empty one (beats = 0).
    """
    chosen = _family(beats)
    if not chosen.size:
        return _nothing(strip)
    strip = without_hum(strip)
    level = _without_spikes(_without_wander(strip, beats, waves, chosen), beats, strip.fs_hz)
    before, after = _window(strip, beats, waves, chosen)
    chosen = _whole(strip, beats, chosen, before, after)
    at = _aligned(level, strip.fs_hz, beats.at[chosen])
    mv = _middle(level, at, before, after)
    fiducials = at - before
    marks = _common(waves.by_lead[:, chosen] - fiducials[None, :, None])
    overall = _common(waves.overall[chosen] - fiducials[:, None])
    overall = _sharpened(overall, _qrs_span(mv, before, strip.fs_hz), strip.fs_hz)
    mv = mv - _level(mv, overall, before, strip.fs_hz)[:, None]
    return MedianBeat(strip.leads, mv, strip.fs_hz, before, overall, marks, int(chosen.size))


def _nothing(strip: Strip) -> MedianBeat:
    leads = len(strip.leads)
    return MedianBeat(
        strip.leads, np.zeros((leads, 0)), strip.fs_hz, 0, np.full(9, np.nan), np.full((leads, 9), np.nan), 0
    )


def _family(beats: Beats) -> Index:
    """The beats to be averaged, at most ``MOST_BEATS``, evenly over the strip."""
    own = np.flatnonzero(beats.family == beats.dominant)
    if own.size > 2:
        odd = beats.where(BeatClass.SUPRAVENTRICULAR, BeatClass.FUSION)[own]
        if (~odd).sum() >= 3:
            own = own[~odd]  # a premature beat's P wave lies in the T wave before it
    if own.size > MOST_BEATS:
        own = own[np.linspace(0, own.size - 1, MOST_BEATS).astype(np.int64)]
    return own


def _onsets(strip: Strip, beats: Beats, waves: Waves) -> Samples:
    """QRS onset of every beat, samples; 45 ms before the main deflection where it was not marked."""
    onset = waves.overall[:, Mark.QRS_ON] if len(beats) else np.zeros(0)
    return np.where(np.isfinite(onset), onset, beats.at - 0.045 * strip.fs_hz)


def _without_wander(strip: Strip, beats: Beats, waves: Waves, chosen: Index) -> Samples:
    """mv [lead, sample] less a cubic spline through the levels before the chosen beats."""
    fs, samples = strip.fs_hz, strip.mv.shape[1]
    first, last = round(_LEVEL_S[0] * fs), round(_LEVEL_S[1] * fs)
    onset = np.rint(_onsets(strip, beats, waves)[chosen]).astype(np.int64)
    knots = np.sort(onset[(onset - first >= 0) & (onset < samples)])
    knots = knots[np.append(True, np.diff(knots) > first)] if knots.size else knots
    if not knots.size:
        return strip.mv - np.median(strip.mv, axis=1, keepdims=True)
    levels = strip.mv[:, knots[:, None] + np.arange(-first, -last)].mean(axis=2)
    return strip.mv - _curve(
        knots.astype(np.float64) - (first + last) / 2, levels, samples, max(1, round(_COARSE_S * fs))
    )


def _without_spikes(mv: Samples, beats: Beats, fs_hz: float) -> Samples:
    """mv with each pacing spike bridged by a straight line of 10 ms: it is no part of the QRS."""
    before, after = round(0.003 * fs_hz), max(1, round(0.007 * fs_hz))
    out = mv.copy() if beats.spikes.size else mv
    for spike in beats.spikes[(beats.spikes >= before) & (beats.spikes + after < mv.shape[1])]:
        first, last = int(spike) - before, int(spike) + after
        out[:, first : last + 1] = np.linspace(mv[:, first], mv[:, last], last - first + 1, axis=1)
    return out


def _curve(knots: Samples, levels: Samples, samples: int, step: int) -> Samples:
    """[lead, sample] through levels [lead, knot]; drawn every ``step`` samples, straight lines between."""
    coarse = np.arange(-(-samples // step) + 1) * float(step)
    inside = np.clip(coarse, knots[0], knots[-1])
    if knots.size >= 3:
        from scipy.interpolate import CubicSpline

        at = CubicSpline(knots, levels, axis=1, bc_type="natural")(inside)
    else:
        at = np.stack([np.interp(inside, knots, row) for row in levels])
    between = np.arange(step) / step
    fine = at[:, :-1, None] + np.diff(at, axis=1)[:, :, None] * between
    return fine.reshape(levels.shape[0], -1)[:, :samples]


def _window(strip: Strip, beats: Beats, waves: Waves, chosen: Index) -> tuple[int, int]:
    """Samples before and after the fiducial: from before P to after T, but short of the next QRS."""
    fs, at = strip.fs_hz, beats.at[chosen]
    p_on, t_off = waves.overall[chosen, Mark.P_ON], waves.overall[chosen, Mark.T_OFF]
    before, after = _BEFORE_S[0] * fs, _AFTER_S[0] * fs
    if np.isfinite(p_on).any():
        before = max(before, float(np.nanmedian(at - p_on)) + _ROOM_S * fs)
    if np.isfinite(t_off).any():
        after = max(after, float(np.nanmedian(t_off - at)) + _ROOM_S * fs)
    before, after = min(before, _BEFORE_S[1] * fs), min(after, _AFTER_S[1] * fs)
    if len(beats) > 1:
        rr = np.diff(beats.at)
        next_rr = float(np.median(rr[chosen[chosen < rr.size]])) if (chosen < rr.size).any() else float(np.median(rr))
        after = min(after, max(next_rr - _NEXT_QRS_S * fs, 0.2 * fs))
        before = min(before, max(next_rr - 0.15 * fs, 0.15 * fs))
    return round(before), round(after)


def _whole(strip: Strip, beats: Beats, chosen: Index, before: int, after: int) -> Index:
    """Those that lie within the strip with all leads known, while three remain."""
    at, samples = beats.at[chosen], strip.mv.shape[1]
    inside = (at >= before) & (at + after <= samples)
    if not strip.is_known.all():
        gaps = np.cumsum(np.append(0, (~strip.is_known).any(axis=0)))
        inside &= gaps[np.clip(at + after, 0, samples)] == gaps[np.clip(at - before, 0, samples)]
    for kept in (inside, (at >= min(before, 0.25 * strip.fs_hz)) & (at + 0.4 * strip.fs_hz <= samples)):
        if kept.sum() >= 3:
            return chosen[kept]
    return chosen


def _segments(mv: Samples, at: Index, before: int, after: int) -> Samples:
    """[beat, lead, before + after]; what lies outside the strip is held at its end's value."""
    index = np.clip(at[:, None] + np.arange(-before, after), 0, mv.shape[1] - 1)
    return mv[:, index].transpose(1, 0, 2)


def _aligned(mv: Samples, fs_hz: float, at: Index) -> Index:
    """The fiducials moved so that the QRS lie on each other as well as they can."""
    if at.size < 3:
        return at
    core, shift = round(_CORE_S * fs_hz), round(_SHIFT_S * fs_hz)
    pieces = np.diff(_segments(mv, at, core + shift, core + shift + 1), axis=2)
    width = 2 * core + 1
    shape = np.median(pieces[:, :, shift : shift + width], axis=0)
    match = np.stack(
        [np.einsum("blk,lk->b", pieces[:, :, lag : lag + width], shape) for lag in range(2 * shift + 1 - 1)], axis=1
    )
    return np.clip(at + match.argmax(axis=1) - shift, 0, mv.shape[1] - 1)


def _middle(mv: Samples, at: Index, before: int, after: int) -> Samples:
    """[lead, sample]: the mean of the middle half of the beats, sample by sample."""
    pieces = _segments(mv, at, before, after)
    n = pieces.shape[0]
    if n < 3:
        return pieces.mean(axis=0)
    cut = max(1, n // 4)
    return np.sort(pieces, axis=0)[cut : n - cut].mean(axis=0)


def _common(relative: Samples) -> Samples:
    """[..., 9]: the median over beats [..., beat, 9] where at least four in ten have the mark."""
    there = np.isfinite(relative)
    enough = there.mean(axis=-2) >= 0.4
    sorted_ = np.sort(relative, axis=-2)  # NaN last
    count = there.sum(axis=-2)
    low, high = np.maximum(count - 1, 0) // 2, count // 2
    high = np.minimum(high, relative.shape[-2] - 1)
    pick = [np.take_along_axis(sorted_, k[..., None, :], axis=-2)[..., 0, :] for k in (low, high)]
    return np.where(enough, (pick[0] + pick[1]) / 2, np.nan)


def _qrs_span(mv: Samples, at: int, fs_hz: float) -> tuple[float, float]:
    """Where the leads' common slope leaves its rest before the QRS and comes back to it after, samples.

    Slope: over 8 ms, root mean square of the leads.  At rest: 12 ms long within ``_REST_MV_S`` and a hundredth of the
    QRS's steepest slope above what the PR (ST) segment has.
    NaN where there is no rest.  Ours, set on the made records and looked at on LUDB.
    """
    half, run = max(1, round(0.004 * fs_hz)), max(2, round(0.012 * fs_hz))
    live = mv[np.ptp(mv, axis=1) > 0.02]
    if not live.size or mv.shape[1] < 4 * run:
        return np.nan, np.nan
    slope = np.zeros(mv.shape[1])
    slope[half:-half] = np.sqrt(np.square(live[:, 2 * half :] - live[:, : -2 * half]).mean(axis=0)) * fs_hz / (2 * half)

    def span(first_s: float, last_s: float) -> slice:
        return slice(max(half, round(at + first_s * fs_hz)), max(half + 1, min(slope.size, round(at + last_s * fs_hz))))

    steepest = float(slope[span(-0.06, 0.08)].max(initial=0.0))
    near = span(-0.10, 0.12)
    strong = np.flatnonzero(slope[near] > 0.3 * steepest) + near.start
    if not strong.size:
        return np.nan, np.nan
    ends: list[float] = []
    for way, begin, rest, share in (
        (-1, int(strong[0]), span(-0.15, -0.044), 0.2),
        (1, int(strong[-1]), span(0.06, 0.18), 0.1),
    ):
        floor = float(np.quantile(slope[rest], share)) if slope[rest].size else 0.0
        low = slope <= floor + _REST_SHARE * steepest + min(_REST_MV_S, 0.05 * steepest)
        reach = low[begin::way][: round(_FARTHEST_S * fs_hz)]
        calm = np.flatnonzero(np.convolve(reach, np.ones(run), "valid") >= run - 0.5)
        ends.append(float(begin + way * int(calm[0])) if calm.size else np.nan)
    return ends[0], ends[1]


def _sharpened(overall: Samples, span: tuple[float, float], fs_hz: float) -> Samples:
    """The overall marks with each end of the QRS half way between the beats' own mark and the common slope's.

    Where they lie far from each other the slope counts for more: it cannot be led away by a single lead's shape.
    """
    out = overall.copy()
    for mark, at in ((Mark.QRS_ON, span[0]), (Mark.QRS_OFF, span[1])):
        if np.isfinite(at):
            apart = overall[mark] - at if np.isfinite(overall[mark]) else 0.0
            out[mark] = at + np.clip(apart, -_SPAN_APART_S * fs_hz, _SPAN_APART_S * fs_hz) / 2
    return out


def _level(mv: Samples, overall: Samples, before: int, fs_hz: float) -> Samples:
    """[lead]: the level before the QRS."""
    onset = overall[Mark.QRS_ON] if np.isfinite(overall[Mark.QRS_ON]) else before - 0.045 * fs_hz
    first, last = round(onset - _LEVEL_S[0] * fs_hz), round(onset - _LEVEL_S[1] * fs_hz)
    first = min(max(first, 0), mv.shape[1] - 1)
    return mv[:, first : max(last, first + 1)].mean(axis=1)
