"""A T wave later or longer than any that the regressions have seen: long QT must not be read as a P wave and a flat T.

The coefficients come from 140 records among which hardly one has a QT over 520 ms.  Here the leads' common deflection,
of the middle one of like beats, is asked two plain questions: does something taller and as wide as a T wave follow where
the T was taken to be?  And has it come down where the T was taken to end (tangent at its steepest descent)?
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from ecg.marks import Mark
from ecg.strip import Samples
from ecg.waves_nets import Index, Scene
from ecg.waves_steps import Place, rounded

_FROM_S: Final = 0.08
_UNTIL_S: Final = 0.75
_BEFORE_NEXT_S: Final = 0.24
"""Room for a P wave before the next QRS."""
_FEWEST: Final = 3
_LATER_S: Final = 0.10
_TALLER: Final = 1.6
_LEAST_WIDTH_S: Final = 0.085
"""At half its height: a P wave of 120 ms is 60 to 70 ms wide there."""
_LEAST_MV: Final = 0.04
_LONG_S: Final = 0.40
"""From the QRS's end: a QT of 480 ms or more; below that the regressions have seen enough."""
_LEAST_GAIN_S: Final = 0.016
_MOST_GAIN_S: Final = 0.20


def late_t(scene: Scene, t: Place, family: Index) -> Place:
    """The T places with those moved where a taller wave of a T wave's width follows before the next P wave."""
    at = t.at.copy()
    hz = scene.views.hz
    for kind in np.unique(family):
        of = np.flatnonzero((family == kind) & t.is_there)
        if of.size < min(_FEWEST, family.size):
            continue
        curve = _common(scene, of)
        if curve.size < _FROM_S * hz + 5:
            continue
        now = int(np.clip(np.median(t.at[of] - scene.off[of]), 0, curve.size - 1))
        reach = int(0.06 * hz)
        taken = float(curve[max(0, now - reach) : now + reach + 1].max())
        first = int(_FROM_S * hz)
        best = first + int(curve[first:].argmax())
        top = float(curve[best])
        is_inside = best < curve.size - 2  # still rising at the edge is the next wave
        if (
            is_inside
            and best - now > _LATER_S * hz
            and top > max(_LEAST_MV, _TALLER * taken)
            and _width(curve, best) >= _LEAST_WIDTH_S * hz
        ):
            room = np.append(scene.on[1:], np.inf)[of] - _BEFORE_NEXT_S * hz
            moved = np.minimum(scene.off[of] + best, np.maximum(room, t.at[of]))
            at[of] = np.minimum(moved, scene.views.length - 1)
    return replace(t, at=at)


def longer_t(scene: Scene, marks: Samples, family: Index) -> None:
    """T ends moved later, in place, where the leads' common deflection has not yet come down.  marks: [lead, beat, 9]."""
    hz = scene.views.hz
    for kind in np.unique(family):
        of = np.flatnonzero((family == kind) & np.isfinite(marks[..., Mark.T_OFF]).any(axis=0))
        if of.size < min(_FEWEST, family.size):
            continue
        curve = _common(scene, of)
        ends = np.nanmedian(marks[:, of, Mark.T_OFF] - scene.off[of])
        peak = int(np.nanmedian(marks[:, of, Mark.T_PEAK] - scene.off[of]))
        end = _tangent(curve, peak, hz)
        if end is not None and end > _LONG_S * hz and _LEAST_GAIN_S * hz < end - ends <= _MOST_GAIN_S * hz:
            marks[:, of, Mark.T_OFF] += end - ends


def _common(scene: Scene, of: Index) -> Samples:
    """[sample from the QRS's end]: the leads' root mean square distance from the level before the QRS, mV, the middle
    one of these beats, as far as they have room before the next P wave."""
    views, smooth, hz = scene.views, scene.views.smooth.inside.astype(np.float64), scene.views.hz
    after = np.append(scene.on[1:], views.length + _BEFORE_NEXT_S * hz)[of]
    room = np.median(np.minimum(after - _BEFORE_NEXT_S * hz, views.length) - scene.off[of])
    length = int(np.clip(room, 0, _UNTIL_S * hz))
    index = np.clip(rounded(scene.off[of])[:, None] + np.arange(length), 0, views.length - 1)
    before = np.clip(rounded(scene.on[of])[:, None] - np.arange(round(0.016 * hz)), 0, views.length - 1)
    # The middle beat, not the mean: a premature beat that follows some of them is no T wave.
    usual = np.median(smooth[:, index] - smooth[:, before].mean(axis=2, keepdims=True), axis=1)
    return np.sqrt((usual**2).mean(axis=0))


def _width(curve: Samples, best: int) -> int:
    """Samples around the top that stay above half of its height."""
    low = curve < 0.5 * curve[best]
    left = np.flatnonzero(low[:best])
    right = np.flatnonzero(low[best:])
    return int((best + right[0] if right.size else curve.size) - (left[-1] if left.size else 0))


def _tangent(curve: Samples, peak: int, hz: float) -> float | None:
    """Where the steepest descent after the wave's top meets the level after it; None where it isn't seen to come down."""
    if not 0 <= peak < curve.size - round(0.06 * hz):
        return None
    top = peak + int(curve[peak : peak + round(0.06 * hz)].argmax())
    floor = float(np.quantile(curve[top:], 0.1))
    slope = np.diff(curve[top : top + round(0.30 * hz)])
    if slope.size < 3 or curve[top] - floor < _LEAST_MV:
        return None
    steepest = int(slope.argmin())
    if slope[steepest] >= 0 or steepest >= slope.size - 2:
        return None
    place = top + steepest + 0.5
    height = float(curve[top + steepest] + curve[top + steepest + 1]) / 2 - floor
    return place + height / -float(slope[steepest])
