"""Where the beats are: the QRS complexes of any number of leads, at 100 to 1000 Hz, from five seconds to hours.

Every lead becomes two envelopes, of the band in which narrow complexes are strongest and of the band below it, which
holds wide ones; each in units of its own local beat height.  The leads' envelopes become one, a lead weighing as much
as its beats stand out there.  The peaks are candidates.  Each is judged by what surrounds it on both sides, twice: by
heights alone, then also by the beats that the first look found around it (their height, shape and distance).  After
either look the best chain of candidates is taken.  Everything is local in time.

Every threshold here is ours, set on MIT-BIH's DS1, every second record of LUDB and made recordings.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ecg.filters import narrowed
from ecg.qrs_weights import FIRST_LOOK, SECOND_LOOK
from ecg.strip import Samples

Index = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]

_RATE_HZ: Final = 125.0
_NARROW_HZ: Final = (7.0, 25.0)
_WIDE_HZ: Final = (2.5, 12.0)
_ORDER: Final = 3
_BLOCK_S: Final = 2400
_OVERLAP_S: Final = 30
_COARSE_HZ: Final = 8.0
_BEAT_WITHIN_S: Final = 2.0
_AROUND_S: Final = 16.0
_LOUD_QUANTILE: Final = 0.4
_LOUDEST_QUANTILE: Final = 0.8
_LOUDEST_SHARE: Final = 0.3
_LEAST_MV: Final = 0.02
_CAP: Final = 4.0
_NEIGHBOUR_S: Final = 0.10
_FIRST_REFRACTORY_S: Final = 0.20
_LEAST_REFRACTORY_S: Final = 0.18
_MOST_REFRACTORY_S: Final = 0.25
_MAIN_S: Final = 0.07
_SHAPE_S: Final = 0.10
_NEAR_BEATS: Final = 8
_NONE: Final = np.zeros(0, dtype=np.int64)
_AGREEING: Final = 3
_SMALL_MV: Final = 0.10
_BLUNT: Final = 1.4
_SHIFTS: Final = (-3, -1, 1, 3)
_ALIKE_SHARE: Final = 0.7
_FEW_PAIRS: Final = 100_000


def _ndimage() -> Any:
    from scipy import ndimage

    return ndimage


@dataclass(frozen=True, slots=True)
class Energy:
    """What the candidates are judged on, at fs_hz.

    band: float32 [lead, sample], both bands, mV, its sign kept.  weight: float32 [lead, coarse].
    narrow, wide: float32 [sample], the leads' envelopes as one, in units of the local beat height.
    both: their mean.  quiet: float32 [coarse], what lies between beats in ``both``.
    """

    band: Floats
    weight: Floats
    narrow: Floats
    wide: Floats
    both: Floats
    quiet: Floats
    tall: Floats
    blunt: Floats
    fs_hz: float
    step: int


def detect(mv: Samples, fs_hz: float, usable: npt.NDArray[np.bool_] | None = None) -> Index:
    """int64 [beat]: the main deflection of each QRS, samples of mv [lead, sample], in order.

    usable: bool [lead, second], False where a lead is off, saturated or known to be noise; None: all of it is tried.
    """
    mv = np.atleast_2d(np.asarray(mv, dtype=np.float64))
    samples = mv.shape[1]
    if samples < fs_hz or not mv.shape[0]:
        return np.zeros(0, dtype=np.int64)
    if samples <= (_BLOCK_S + 2 * _OVERLAP_S) * fs_hz:
        return _detect_block(mv, fs_hz, usable)
    return _detect_long(mv, fs_hz, usable)


def _detect_long(mv: Samples, fs_hz: float, usable: npt.NDArray[np.bool_] | None) -> Index:
    """In blocks that overlap, each giving the beats of its own middle."""
    seconds = int(mv.shape[1] / fs_hz)
    found: list[Index] = []
    for first in range(0, seconds, _BLOCK_S):
        begin, end = max(first - _OVERLAP_S, 0), first + _BLOCK_S + _OVERLAP_S
        a, b = round(begin * fs_hz), min(round(end * fs_hz), mv.shape[1])
        there = _detect_block(mv[:, a:b], fs_hz, None if usable is None else usable[:, begin:end]) + a
        last = mv.shape[1] if first + _BLOCK_S >= seconds else round((first + _BLOCK_S) * fs_hz)
        found.append(there[(there >= round(first * fs_hz)) & (there < last)])
    return np.concatenate(found)


def _detect_block(mv: Samples, fs_hz: float, usable: npt.NDArray[np.bool_] | None) -> Index:
    energy = energy_of(mv, fs_hz, usable)
    at = candidates(energy)
    if not at.size:
        return at
    chosen = at[_chosen(energy, at)]
    return _main_deflection(energy, chosen, fs_hz, mv.shape[1])


def _chosen(energy: Energy, at: Index) -> Index:
    """Indices of the candidates that are beats."""
    alone, shapes = by_heights(energy, at), shapes_at(energy, at)
    chosen = chain(at, log_odds(alone, FIRST_LOOK), refractory(energy, at, _NONE))
    for _ in range(2):
        if not chosen.size:
            return chosen
        signs = np.column_stack([alone, by_beats(energy, at, alone, shapes, chosen)])
        chosen = chain(at, log_odds(signs, SECOND_LOOK), refractory(energy, at, chosen))
    return chosen[_from_a_heart(energy, at[chosen], _alike(shapes, chosen, _nearest_beats(at, at[chosen]))[chosen])]


def _from_a_heart(energy: Energy, beats: Index, alike: Samples) -> npt.NDArray[np.bool_]:
    """bool [beat]: not noise (the beats around stand out and look alike) nor P waves alone (small and blunt)."""
    if not beats.size:
        return np.zeros(0, dtype=bool)
    near = _nearest_beats(beats, beats)
    coarse = beats // energy.step
    clear = np.log(np.maximum(energy.both[beats], 1e-3)) - np.log(np.maximum(energy.quiet[coarse], 1e-3))
    # Most of the beats around must look alike, not half of them: two forms in turn, each too rare to find its like
    # three times nearby, are a heart with ectopy and no noise.
    likeness = np.quantile(alike[near], _ALIKE_SHARE, axis=1)
    sure = 5.0 * (likeness - 0.80) + np.median(clear[near], axis=1) - 1.2
    lone_p = (energy.tall[coarse] < _SMALL_MV) & (energy.blunt[coarse] > _BLUNT)
    return (sure >= 0) & ~lone_p


# ------------------------------------------------------------------------------------------------ energy
def energy_of(mv: Samples, fs_hz: float, usable: npt.NDArray[np.bool_] | None) -> Energy:
    (narrow_band, wide_band), rate = narrowed(mv, fs_hz, (_NARROW_HZ, _WIDE_HZ), _ORDER, _RATE_HZ)
    step = max(round(rate / _COARSE_HZ), 1)
    narrow, wide = np.abs(narrow_band), np.abs(wide_band)
    coarse_hz = rate / step
    level = _loud(_pooled(narrow, step, np.max), coarse_hz)
    weight = _weights(level, _middle(_pooled(narrow, step, np.mean), coarse_hz), usable, coarse_hz)
    share = weight / np.maximum(weight.sum(axis=0), 1e-9)
    one = _together(narrow, level, share, step)
    wide_level = _loud(_pooled(wide, step, np.max), coarse_hz)
    other = _together(wide, wide_level, share, step)
    both = 0.5 * (one + other)
    tall = np.maximum(share * level, 0.0).sum(axis=0)
    wide_tall = (share * wide_level).sum(axis=0)
    return Energy(
        tall=tall,
        blunt=wide_tall / np.maximum(tall, 1e-6),
        band=narrow_band.real + wide_band.real,
        weight=weight,
        narrow=one,
        wide=other,
        both=both,
        quiet=_middle(_pooled(both[None], step, np.mean), coarse_hz)[0],
        fs_hz=rate,
        step=step,
    )


def _together(envelope: Floats, level: Floats, share: Floats, step: int) -> Floats:
    """float32 [sample]: the leads' envelopes in units of their levels, each cut off at ``_CAP``, by their shares."""
    samples = envelope.shape[1]
    scale = share / np.maximum(level, 1e-6)
    if envelope.shape[0] == 1:
        return envelope[0] * _spread(scale[0], step, samples)
    unit = np.sqrt(np.minimum(envelope / np.maximum(_spread(level, step, samples), 1e-6), _CAP))
    return np.square(np.einsum("ls,ls->s", unit, _spread(share, step, samples))).astype(np.float32)


def _pooled(rows: Floats, step: int, by: Any) -> Floats:
    """[row, coarse]: max or mean of every ``step`` samples, the last ones padded with their own edge."""
    short = -rows.shape[1] % step
    whole = np.pad(rows, ((0, 0), (0, short)), mode="edge") if short else rows
    return by(whole.reshape(rows.shape[0], -1, step), axis=2)


def _spread(coarse: npt.NDArray[Any], step: int, samples: int) -> npt.NDArray[Any]:
    return np.repeat(coarse, step, axis=-1)[..., :samples]


def _loud(high: Floats, coarse_hz: float) -> Floats:
    """How high beats stand around each point: a low quantile of the greatest within any two seconds near."""
    greatest = _ndimage().maximum_filter1d(high, round(_BEAT_WITHIN_S * coarse_hz) | 1, axis=1, mode="nearest")
    width = round(_AROUND_S * coarse_hz)
    usual = _running_quantile(greatest, width, _LOUD_QUANTILE)
    return np.maximum(usual, _LOUDEST_SHARE * _running_quantile(greatest, width, _LOUDEST_QUANTILE))


def _middle(mean: Floats, coarse_hz: float) -> Floats:
    """What is between the beats: a low quantile of the mean envelope nearby."""
    return _running_quantile(mean, round(_AROUND_S / 2 * coarse_hz), 0.3)


def _running_quantile(rows: Floats, width: int, quantile: float) -> Floats:
    """[row, coarse]: at the ends the window stays whole and lies inside."""
    n = rows.shape[1]
    width = min(width, n)
    views = np.lib.stride_tricks.sliding_window_view(rows, width, axis=1)[:, ::4]
    rank = int(quantile * (width - 1))
    inner = np.partition(views, rank, axis=2)[:, :, rank]
    centre = np.clip((np.arange(n) - width // 2 + 2) // 4, 0, inner.shape[1] - 1)
    return inner[:, centre]


def _weights(level: Floats, quiet: Floats, usable: npt.NDArray[np.bool_] | None, coarse_hz: float) -> Floats:
    """[lead, coarse]: how far a lead's beats stand out of what lies between them; 0 where it has none."""
    clear = level / np.maximum(quiet, 1e-4)
    weight = np.where(level > _LEAST_MV, np.clip(clear, 0.5, 20.0), 0.0).astype(np.float32) ** 2
    if usable is not None and usable.shape[1]:
        second = np.minimum((np.arange(weight.shape[1]) / coarse_hz).astype(np.int64), usable.shape[1] - 1)
        weight *= usable[:, second]
    return weight


# ------------------------------------------------------------------------------------------------ candidates
def candidates(energy: Energy) -> Index:
    """The peaks that are the greatest within a tenth of a second on either side and not far below the level."""
    x = energy.both
    if x.size < 3:
        return np.zeros(0, dtype=np.int64)
    rises = np.flatnonzero((x[1:-1] > x[:-2]) & (x[1:-1] >= x[2:])) + 1
    quiet = energy.quiet[rises // energy.step]
    rises = rises[(x[rises] > 0.10) & (x[rises] > 1.5 * quiet)]
    width = round(2 * _NEIGHBOUR_S * energy.fs_hz) | 1
    return rises[x[rises] >= _ndimage().maximum_filter1d(x, width)[rises]].astype(np.int64)


def _around(values: Floats, at: Index, half: int) -> Floats:
    """float32 [candidate]: the greatest within half samples of each."""
    index = np.clip(at[:, None] + np.arange(-half, half + 1), 0, values.size - 1)
    return values[index].max(axis=1)


def by_heights(energy: Energy, at: Index) -> Samples:
    """float64 [candidate, sign]: how a candidate stands against the level, the quiet and its neighbours."""
    half = round(0.05 * energy.fs_hz)
    narrow = np.log(np.maximum(_around(energy.narrow, at, half), 1e-3))
    wide = np.log(np.maximum(_around(energy.wide, at, half), 1e-3))
    height = np.log(np.maximum(energy.both[at], 1e-3)).astype(np.float64)
    clear = height - np.log(np.maximum(energy.quiet[at // energy.step], 1e-3))
    seconds = at / energy.fs_hz
    columns = [
        np.minimum(narrow, 0.0),
        np.maximum(narrow, 0.0),
        np.maximum(narrow - 0.9, 0.0),
        np.minimum(wide, 0.0),
        np.maximum(wide, 0.0),
        np.minimum(clear - 1.5, 0.0),
        *(_overtopped(seconds, height, first, last) for first, last in ((0.1, 0.2), (0.2, 0.3), (0.3, 0.45))),
        *(_overtopped(-seconds[::-1], height[::-1], a, b)[::-1] for a, b in ((0.1, 0.17), (0.17, 0.25), (0.25, 0.4))),
    ]
    return np.column_stack(columns).astype(np.float64)


def _overtopped(seconds: Samples, height: Samples, first_s: float, last_s: float) -> Samples:
    """[candidate]: by how much the highest candidate of a span of time before it is higher (log), 0 where none is."""
    out = np.zeros(height.size)
    for back in range(1, 5):
        if back >= height.size:
            break
        gap = seconds[back:] - seconds[:-back]
        over = height[:-back] - height[back:]
        inside = (gap >= first_s) & (gap < last_s)
        out[back:] = np.maximum(out[back:], np.where(inside, over, 0.0))
    return np.minimum(out, 2.0)


def by_beats(energy: Energy, at: Index, alone: Samples, shapes: Floats, chosen: Index) -> Samples:
    """float64 [candidate, sign]: how a candidate fits the beats that are already found (itself left out)."""
    beats = at[chosen]
    near = _nearest_beats(at, beats)
    height = np.log(np.maximum(energy.both[at], 1e-3)).astype(np.float64)
    clear = height - np.log(np.maximum(energy.quiet[at // energy.step], 1e-3))
    sharp = alone[:, :2].sum(axis=1) - alone[:, 3:5].sum(axis=1)
    alike = _alike(shapes, chosen, near)

    def usual(values: Samples) -> Samples:
        return np.median(values[chosen][near], axis=1)

    against = height - usual(height)
    blunter = sharp - usual(sharp)
    before, after, rr = _gaps(at, beats, near)
    whole = (before + after) / rr
    nearer = np.minimum(before, after) / rr
    columns = [
        np.minimum(against, 0.0),
        np.maximum(against, 0.0),
        np.minimum(blunter, 0.0),
        np.maximum(blunter, 0.0),
        alike,
        np.maximum(alike - 0.8, 0.0),
        np.minimum(usual(alike) - 0.9, 0.0),
        np.minimum(usual(clear) - 2.0, 0.0),
        np.clip(whole - 1.3, 0.0, 1.2) * np.clip((nearer - 0.3) / 0.3, 0.0, 1.0),
        np.clip(1.3 - whole, 0.0, 1.0),
        np.clip(0.6 - before / rr, 0.0, 0.6),
        np.clip(0.4 - after / rr, 0.0, 0.4),
    ]
    return np.column_stack(columns)


def _nearest_beats(at: Index, beats: Index) -> Index:
    """int64 [candidate, near]: indices of the beats around each candidate, itself left out (repeated where few)."""
    place = np.searchsorted(beats, at)
    offsets = np.arange(-_NEAR_BEATS // 2, _NEAR_BEATS // 2 + 1)
    index = place[:, None] + offsets
    own = beats[np.clip(index, 0, beats.size - 1)] == at[:, None]
    index = np.where(own.cumsum(axis=1) > 0, index + 1, index)[:, :-1]
    span = max(beats.size, 1)
    mirrored = np.abs(index)
    mirrored = np.where(mirrored >= span, 2 * span - 2 - mirrored, mirrored)
    return np.clip(mirrored, 0, span - 1)


def _gaps(at: Index, beats: Index, near: Index) -> tuple[Samples, Samples, Samples]:
    """float64 [candidate]: samples to the beat before and after, and the usual distance of beats around there."""
    rr = np.diff(beats).astype(np.float64)
    usual = np.median(rr[np.minimum(near, rr.size - 1)], axis=1) if rr.size else np.full(at.size, float(at[-1] + 1))
    left = np.searchsorted(beats, at, side="left") - 1
    right = np.searchsorted(beats, at, side="right")
    before = np.where(left >= 0, at - beats[np.maximum(left, 0)], usual)
    after = np.where(right < beats.size, beats[np.minimum(right, beats.size - 1)] - at, usual)
    return before.astype(np.float64), after.astype(np.float64), usual


def _alike(shapes: Floats, chosen: Index, near: Index) -> Samples:
    """float64 [candidate]: the third greatest correlation of its shape with those of the beats around it."""
    margin = max(_SHIFTS)
    width = shapes.shape[2] - 2 * margin
    own = _unit(shapes[:, :, margin : margin + width])
    best = np.full(near.shape, -1.0, dtype=np.float32)
    for shift in _SHIFTS:
        theirs = _unit(shapes[chosen, :, margin + shift : margin + shift + width])
        np.maximum(best, _correlations(own, theirs, near), out=best)
    return np.sort(best, axis=1)[:, -_AGREEING].astype(np.float64)


def shapes_at(energy: Energy, at: Index) -> Floats:
    """float32 [candidate, lead, sample]: the signal around each, ``max(_SHIFTS)`` to spare, leads by their weight."""
    half = round(_SHAPE_S * energy.fs_hz) + max(_SHIFTS)
    index = np.clip(at[:, None] + np.arange(-half, half + 1), 0, energy.band.shape[1] - 1)
    rows = energy.band[:, index]
    if rows.shape[0] > 1:
        weight = energy.weight[:, at // energy.step]
        rows = rows * np.sqrt(weight / np.maximum(weight.max(axis=0), 1e-9))[:, :, None]
    return rows.transpose(1, 0, 2)


def _unit(rows: Floats) -> Floats:
    """[row, value]: each row flat and of length one."""
    flat = rows.reshape(rows.shape[0], -1)
    return flat / np.maximum(np.sqrt(np.einsum("ij,ij->i", flat, flat))[:, None], 1e-6)


def _correlations(own: Floats, theirs: Floats, near: Index) -> Floats:
    """float32 [candidate, near]: all with all where that is little, else only those that are asked for."""
    if own.shape[0] * theirs.shape[0] <= _FEW_PAIRS:
        return np.take_along_axis(own @ theirs.T, near, axis=1)
    return np.stack([np.einsum("ij,ij->i", own, theirs[column]) for column in near.T], axis=1)


def log_odds(signs: Samples, weights: tuple[float, ...]) -> Samples:
    """float64 [candidate]: the log odds that it is a beat."""
    return np.clip(signs @ np.asarray(weights[1:]) + weights[0], -8.0, 8.0)


def chain(at: Index, value: Samples, refractory: Samples) -> Index:
    """Indices of the candidates whose values sum up highest, none nearer to the one before than refractory [candidate]."""
    hopeful = np.flatnonzero(value > 0)
    if not hopeful.size:
        return hopeful
    times, values = at[hopeful], value[hopeful].tolist()
    free = np.searchsorted(times, times - refractory[hopeful], side="right").tolist()
    best_until = [0.0]
    last_until = [-1]
    came: list[int] = []
    for i, gain in enumerate(values):
        came.append(last_until[free[i]])
        reached = best_until[free[i]] + gain
        taken = reached > best_until[i]
        best_until.append(reached if taken else best_until[i])
        last_until.append(i if taken else last_until[i])
    k = last_until[-1]
    kept: list[int] = []
    while k >= 0:
        kept.append(k)
        k = came[k]
    return hopeful[np.array(kept[::-1], dtype=np.int64)]


def refractory(energy: Energy, at: Index, chosen: Index) -> Samples:
    """float64 [candidate]: samples that must lie between a beat and the next there: two fifths of the usual interval,
    but no less than the heart can and no more than an early beat needs.  chosen: empty before any beat is known."""
    if chosen.size < 2:
        return np.full(at.size, _FIRST_REFRACTORY_S * energy.fs_hz)
    beats = at[chosen]
    usual = _gaps(at, beats, _nearest_beats(at, beats))[2]
    return np.clip(0.4 * usual, _LEAST_REFRACTORY_S * energy.fs_hz, _MOST_REFRACTORY_S * energy.fs_hz)


def _main_deflection(energy: Energy, at: Index, fs_hz: float, samples: int) -> Index:
    """The greatest deflection of the leads together near each envelope peak, as samples of the recording."""
    half = round(_MAIN_S * energy.fs_hz)
    index = np.clip(at[:, None] + np.arange(-half, half + 1), 0, energy.band.shape[1] - 1)
    if energy.band.shape[0] == 1:
        size = np.abs(energy.band[0][index])
    else:
        share = np.sqrt(energy.weight[:, at // energy.step])
        size = np.einsum("lbs,lb->bs", np.abs(energy.band[:, index]), share)
    size = size * np.hanning(2 * half + 3)[1:-1] ** 0.25
    peak = np.argmax(size, axis=1)
    rows = np.arange(at.size)
    before, here, after = (size[rows, np.clip(peak + k, 0, 2 * half)] for k in (-1, 0, 1))
    bend = before - 2 * here + after
    finer = np.where(bend < 0, 0.5 * (before - after) / np.where(bend < 0, bend, -1.0), 0.0)
    there = (at - half + peak + np.clip(finer, -0.5, 0.5)) * (fs_hz / energy.fs_hz)
    return np.unique(np.clip(np.rint(there).astype(np.int64), 0, samples - 1))
