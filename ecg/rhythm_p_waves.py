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
_P_SIGMA_S: Final = 0.022
_LEAST_BUMP_MV: Final = 0.02
_LEAST_FREE: Final = 4
_MOST_MARKED: Final = 0.7
_SLOW_RR_S: Final = 0.9
"""Only in slow rhythms (under 67/min) is a P wave looked for that was marked nowhere (ours)."""


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
    if length < 4 * half or at_s.size < 2:
        return nothing
    reach = np.arange(-half, half + 1)
    clear = _clear(hz, length, at_s, on_s, t_peak_s)
    pattern = None
    if known.size < _MOST_MARKED * at_s.size and float(np.median(np.diff(at_s))) >= _SLOW_RR_S:
        pattern = _unmarked_pattern(mv, hz, reach, clear)
    if pattern is None and shaping.sum() >= _LEAST_BEATS:
        pattern = _level(np.median(mv[:, place[shaping][:, None] + reach], axis=1))
    if pattern is None:
        return nothing
    likeness, gain = _held_against(mv, pattern)
    free = _free(likeness, gain, hz, clear)
    out_like, out_gain = nothing.likeness.copy(), nothing.gain.copy()
    if not known.size:
        return PWaves(out_like, out_gain, free)
    near = np.clip(place[:, None] + np.arange(-round(_NEAR_S * hz), round(_NEAR_S * hz) + 1), 0, length - 1)
    best = np.argmax(gain[near], axis=1)
    rows = np.arange(known.size)
    out_like[known], out_gain[known] = likeness[near][rows, best], gain[near][rows, best]
    held = known[(out_like[known] >= _KEPT_LIKENESS) & (out_gain[known] >= _KEPT_GAIN)]
    led = np.array([np.min(np.abs(p_s[held] - t), initial=np.inf) >= _APART_S for t in free], dtype=bool)
    return PWaves(out_like, out_gain, free[led] if free.size else free)


def _clear(hz: float, length: int, at_s: Samples, on_s: Samples, t_peak_s: Samples) -> Flags:
    """bool [sample]: between two beats, away from QRS and the rise of T."""
    t = t_peak_s - at_s
    usual_t = float(np.nanmedian(t)) if np.isfinite(t).any() else 0.30
    begins = at_s + np.where(np.isfinite(t), t, usual_t) + _AFTER_T_S
    ends = np.where(np.isfinite(on_s), on_s, at_s - 0.05) - 0.05
    clear = np.zeros(length, dtype=bool)
    for begin, end in zip(begins[:-1], ends[1:], strict=True):
        clear[max(0, int(begin * hz)) : max(0, int(end * hz))] = True
    return clear


def _unmarked_pattern(mv: Samples, hz: float, reach: npt.NDArray[np.int64], clear: Flags) -> Samples | None:
    """[lead, sample]: a bump between the beats that comes again and again in one shape, None where there's none.

    For a slow rhythm whose P waves lead no beat (complete block): the delineation has nothing to hold them to.
    """
    bump = np.exp(-0.5 * np.square(reach / hz / _P_SIGMA_S))
    bump = _level(bump[None])[0]
    windows = np.lib.stride_tricks.sliding_window_view(mv, reach.size, axis=1)
    height = np.einsum("lnk,k->ln", windows, bump) / float(bump @ bump)
    half = reach.size // 2
    size = np.zeros(mv.shape[1])
    size[half : half + height.shape[1]] = np.sqrt(np.square(height).mean(axis=0))
    peaks = np.zeros(mv.shape[1], dtype=bool)
    peaks[1:-1] = (size[1:-1] >= size[:-2]) & (size[1:-1] > size[2:])
    found = np.flatnonzero(peaks & clear & (size > _LEAST_BUMP_MV))
    places = np.rint(_spaced(found / hz, size[found]) * hz).astype(np.int64)
    places = places[(places >= half) & (places < mv.shape[1] - half)]
    if places.size < _LEAST_FREE:
        return None
    segments = _level(mv[:, places[:, None] + reach].transpose(1, 0, 2))
    flat = segments.reshape(places.size, -1)
    flat = flat / (np.linalg.norm(flat, axis=1, keepdims=True) + 1e-12)
    alike = flat @ flat.T >= _FREE_LIKENESS
    best = int(np.argmax(alike.sum(axis=1)))
    return np.median(segments[alike[best]], axis=0) if alike[best].sum() >= _LEAST_FREE else None


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


def _free(likeness: Samples, gain: Samples, hz: float, clear: Flags) -> Samples:
    """s: where the mean P wave is found between the beats."""
    fits = (likeness >= _FREE_LIKENESS) & (gain >= _FREE_GAIN) & (gain <= _FREE_GAIN_TO) & clear
    fits[1:-1] &= (likeness[1:-1] >= likeness[:-2]) & (likeness[1:-1] >= likeness[2:])
    found = np.flatnonzero(fits)
    return _spaced(found / hz, likeness[found])


def _spaced(times: Samples, score: Samples) -> Samples:
    """The best of those that stand closer together than two P waves can."""
    kept: list[float] = []
    for index in np.argsort(-score):
        if all(abs(times[index] - other) >= _APART_S for other in kept):
            kept.append(float(times[index]))
    return np.sort(np.array(kept, dtype=np.float64))
