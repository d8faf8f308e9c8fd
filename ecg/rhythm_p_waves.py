"""P waves held against their own mean shape: which beats truly have one, and which stand alone.

The mean P wave over all leads is run through the strip as a matched filter.  A mean and a slope are taken out of it
and of what it's held against, so that the end of a T wave or a wandering level doesn't count.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from ecg.rhythm_thin import Thin
from ecg.strip import Samples

Flags = npt.NDArray[np.bool_]

_HALF_S: Final = 0.06
_NEAR_S: Final = 0.032
_LEAST_BEATS: Final = 3
_KEPT_LIKENESS: Final = 0.35
_KEPT_GAIN: Final = 0.25
"""A beat whose P wave is less like the others' than this, or a quarter of their height, has none (ours)."""
_FREE_LIKENESS: Final = 0.70
_FREE_GAIN: Final = 0.55
_FREE_GAIN_TO: Final = 1.9
_APART_S: Final = 0.25
_AFTER_T_S: Final = 0.10


@dataclass(frozen=True, slots=True)
class PWaves:
    """likeness, gain: [beat], correlation with and height against the mean P wave; NaN for a beat without a mark, and
    for all where there's no mean.  free_s: P waves that stand between two beats with no QRS of their own.
    """

    likeness: Samples
    gain: Samples
    free_s: Samples

    @property
    def doubtful(self) -> Flags:
        """bool [beat]: those whose P wave doesn't hold."""
        return (self.likeness < _KEPT_LIKENESS) | (self.gain < _KEPT_GAIN)


def p_waves_of(thin: Thin, at_s: Samples, p_s: Samples, on_s: Samples, t_peak_s: Samples, usable: Flags) -> PWaves:
    """Times of the beats' marks, s [beat], NaN where absent; usable: bool [beat], beats that may shape the mean."""
    nothing = PWaves(np.full(at_s.size, np.nan), np.full(at_s.size, np.nan), np.zeros(0))
    mv, hz = thin.mv, thin.hz
    half, length = round(_HALF_S * hz), mv.shape[1]
    known = np.flatnonzero(np.isfinite(p_s))
    place = np.rint(p_s[known] * hz).astype(np.int64)
    inside = (place > half) & (place < length - half - 1)
    known, place = known[inside], place[inside]
    shaping = usable[known]
    if shaping.sum() < _LEAST_BEATS or length < 4 * half:
        return nothing
    reach = np.arange(-half, half + 1)
    pattern = _level(np.median(mv[:, place[shaping][:, None] + reach], axis=1))
    likeness, gain = _held_against(mv, pattern)
    out_like, out_gain = nothing.likeness.copy(), nothing.gain.copy()
    near = np.clip(place[:, None] + np.arange(-round(_NEAR_S * hz), round(_NEAR_S * hz) + 1), 0, length - 1)
    best = np.argmax(gain[near], axis=1)
    rows = np.arange(known.size)
    out_like[known], out_gain[known] = likeness[near][rows, best], gain[near][rows, best]
    free = _free(likeness, gain, hz, at_s, p_s, on_s, t_peak_s)
    return PWaves(out_like, out_gain, free)


def _level(segments: Samples) -> Samples:
    """Without mean and slope, over the last axis."""
    ramp = np.linspace(-1.0, 1.0, segments.shape[-1])
    out = segments - segments.mean(axis=-1, keepdims=True)
    return out - (out @ ramp)[..., None] * ramp / float(ramp @ ramp)


def _held_against(mv: Samples, pattern: Samples) -> tuple[Samples, Samples]:
    """(correlation, height as a share) of the pattern at every sample, over all leads together."""
    count = pattern.shape[1]
    windows = np.lib.stride_tricks.sliding_window_view(mv, count, axis=1)
    product = np.einsum("lnk,lk->n", windows, pattern, optimize=False)
    level = mv - mv.mean(axis=1, keepdims=True)
    index = np.arange(mv.shape[1], dtype=np.float64)
    total, squares, turned = (_window_sums(values, count) for values in (level, level * level, level * index))
    middle = np.arange(product.size) + 0.5 * (count - 1)
    slope = turned - middle * total
    energy = (squares - total * total / count - slope * slope * (12.0 / (count * (count * count - 1.0)))).sum(axis=0)
    size = float((pattern * pattern).sum()) + 1e-12
    side = count // 2
    likeness = product / np.sqrt(np.maximum(energy, 1e-9) * size)
    return np.pad(likeness, (side, count - 1 - side)), np.pad(product / size, (side, count - 1 - side))


def _window_sums(values: Samples, count: int) -> Samples:
    """[lead, window]: sums over ``count`` neighbouring samples."""
    total = np.cumsum(np.pad(values, ((0, 0), (1, 0))), axis=1)
    return total[:, count:] - total[:, :-count]


def _free(
    likeness: Samples,
    gain: Samples,
    hz: float,
    at_s: Samples,
    p_s: Samples,
    on_s: Samples,
    t_peak_s: Samples,
) -> Samples:
    """s: where the mean P wave is found again, away from QRS, the rise of T and the P waves that lead a beat."""
    fits = (likeness >= _FREE_LIKENESS) & (gain >= _FREE_GAIN) & (gain <= _FREE_GAIN_TO)
    fits[1:-1] &= (likeness[1:-1] >= likeness[:-2]) & (likeness[1:-1] >= likeness[2:])
    found = np.flatnonzero(fits) / hz
    if not found.size or at_s.size < 2:
        return np.zeros(0)
    before = np.searchsorted(at_s, found) - 1
    keep = (before >= 0) & (before < at_s.size - 1)
    found, before = found[keep], before[keep]
    t = np.where(np.isfinite(t_peak_s), t_peak_s - at_s, np.nan)
    usual_t = float(np.nanmedian(t)) if np.isfinite(t).any() else 0.30
    since_r = found - at_s[before]
    clear = since_r > np.where(np.isfinite(t[before]), t[before], usual_t) + _AFTER_T_S
    onset = np.where(np.isfinite(on_s), on_s, at_s - 0.05)
    clear &= found < onset[before + 1] - 0.05
    own = p_s[before + 1]
    clear &= ~(np.abs(found - own) < _APART_S)
    return _spaced(found[clear], np.interp(found[clear], np.arange(likeness.size) / hz, likeness))


def _spaced(times: Samples, score: Samples) -> Samples:
    """The best of those that stand closer together than two P waves can."""
    kept: list[float] = []
    for index in np.argsort(-score):
        if all(abs(times[index] - other) >= _APART_S for other in kept):
            kept.append(float(times[index]))
    return np.sort(np.array(kept))
