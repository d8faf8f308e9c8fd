"""Where the beats are: the QRS complexes of any number of leads, at 100 to 1000 Hz, from five seconds to hours.

Every lead becomes the envelope of its QRS band, each in units of its own local beat height, and the leads' envelopes
become one, a lead weighing as much as its beats stand out there.  The peaks of that are candidates; each is judged by
what surrounds it on both sides, and the best chain of candidates is taken.  All thresholds are local in time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ecg.filters import narrowed
from ecg.strip import Samples

Index = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]

_RATE_HZ: Final = 200.0
"""The envelopes' rate, about: four times what the band holds."""
_BAND_HZ: Final = (5.0, 22.0)
_ORDER: Final = 3
_BLOCK_S: Final = 2400.0
_OVERLAP_S: Final = 30.0
_COARSE_HZ: Final = 8.0
_BEAT_WITHIN_S: Final = 2.0
_AROUND_S: Final = 16.0
_LOUD_QUANTILE: Final = 0.4
_LEAST_MV: Final = 0.02
_CLEAR: Final = 3.0
_CAP: Final = 2.0
_NEIGHBOUR_S: Final = 0.10
_REFRACTORY_S: Final = 0.18
_T_WAVE_S: Final = 0.40
_MAIN_S: Final = 0.07


def _ndimage() -> Any:
    from scipy import ndimage

    return ndimage


@dataclass(frozen=True, slots=True)
class _Energy:
    """band, envelope: float32 [lead, sample] at fs_hz; together: float32 [sample], the leads' envelopes as one.

    weight: float32 [lead, coarse].  level: float32 [coarse], how high beats stand in ``together`` around there.
    """

    band: Floats
    together: Floats
    weight: Floats
    level: Floats
    quiet: Floats
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
    block, overlap = round(_BLOCK_S), round(_OVERLAP_S)
    seconds = int(mv.shape[1] / fs_hz)
    found: list[Index] = []
    for first in range(0, seconds, block):
        begin, end = max(first - overlap, 0), first + block + overlap
        a, b = round(begin * fs_hz), min(round(end * fs_hz), mv.shape[1])
        there = _detect_block(mv[:, a:b], fs_hz, None if usable is None else usable[:, begin:end]) + a
        last = mv.shape[1] if first + block >= seconds else round((first + block) * fs_hz)
        found.append(there[(there >= round(first * fs_hz)) & (there < last)])
    return np.concatenate(found)


def _detect_block(mv: Samples, fs_hz: float, usable: npt.NDArray[np.bool_] | None) -> Index:
    energy = _energy(mv, fs_hz, usable)
    candidates = _candidates(energy)
    if not candidates.size:
        return candidates
    chosen = candidates[_chain(candidates, _values(energy, candidates), energy)]
    return _main_deflection(energy, chosen, fs_hz, mv.shape[1])


# ------------------------------------------------------------------------------------------------ energy
def _energy(mv: Samples, fs_hz: float, usable: npt.NDArray[np.bool_] | None) -> _Energy:
    analytic, rate = narrowed(mv, fs_hz, *_BAND_HZ, _ORDER, _RATE_HZ)
    envelope = np.abs(analytic)
    band = np.ascontiguousarray(analytic.real)
    step = max(round(rate / _COARSE_HZ), 1)
    coarse_hz = rate / step
    high = _pooled(envelope, step, np.max)
    mean = _pooled(envelope, step, np.mean)
    level, quiet = _loud(high, coarse_hz), _middle(mean, coarse_hz)
    weight = _weights(level, quiet, usable, coarse_hz)
    if mv.shape[0] == 1:
        together = envelope[0] * _spread(weight[0] > 0, step, envelope.shape[1])
    else:
        share = weight / np.maximum(weight.sum(axis=0), 1e-9)
        unit = envelope / np.maximum(_spread(level, step, envelope.shape[1]), 1e-6)
        np.minimum(unit, _CAP, out=unit)
        together = np.einsum("ls,ls->s", unit, _spread(share, step, envelope.shape[1]))
    together = together.astype(np.float32)
    one = together[None]
    return _Energy(
        band=band,
        together=together,
        weight=weight,
        level=_loud(_pooled(one, step, np.max), coarse_hz)[0],
        quiet=_middle(_pooled(one, step, np.mean), coarse_hz)[0],
        fs_hz=rate,
        step=step,
    )


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
    return _running_quantile(greatest, round(_AROUND_S * coarse_hz), _LOUD_QUANTILE)


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
def _candidates(energy: _Energy) -> Index:
    """The peaks that are the greatest within a tenth of a second on either side and not far below the level."""
    x = energy.together
    if x.size < 3:
        return np.zeros(0, dtype=np.int64)
    rises = np.flatnonzero((x[1:-1] > x[:-2]) & (x[1:-1] >= x[2:])) + 1
    level, quiet = energy.level[rises // energy.step], energy.quiet[rises // energy.step]
    rises = rises[(x[rises] > 0.12 * level) & (x[rises] > 1.5 * quiet)]
    width = round(2 * _NEIGHBOUR_S * energy.fs_hz) | 1
    return rises[x[rises] >= _ndimage().maximum_filter1d(x, width)[rises]].astype(np.int64)


def _values(energy: _Energy, at: Index) -> npt.NDArray[np.float64]:
    """float64 [candidate]: above zero for a beat, below for none; about a log likelihood ratio."""
    height = energy.together[at].astype(np.float64)
    coarse = at // energy.step
    level, quiet = energy.level[coarse].astype(np.float64), energy.quiet[coarse].astype(np.float64)
    value = 3.0 * np.log(height / np.maximum(0.38 * level, 1e-6))
    value += np.minimum(2.0 * np.log(height / np.maximum(_CLEAR * quiet, 1e-6)), 0.0)
    return np.minimum(value, 3.0)


def _chain(at: Index, value: npt.NDArray[np.float64], energy: _Energy) -> Index:
    """Indices of the candidates whose values sum up highest, no two nearer than the heart can, T waves discounted."""
    height = energy.together[at].astype(np.float64)
    refractory, t_wave = _REFRACTORY_S * energy.fs_hz, _T_WAVE_S * energy.fs_hz
    times, heights, values = at.tolist(), np.log(height).tolist(), value.tolist()
    total: list[float] = []
    came: list[int] = []
    best_far, far, behind = 0.0, -1, 0
    for i, now in enumerate(times):
        while now - times[behind] >= t_wave:
            if total[behind] > best_far:
                best_far, far = total[behind], behind
            behind += 1
        best, source = best_far, far
        for j in range(behind, i):
            gap = now - times[j]
            if gap < refractory:
                break
            shortfall = heights[j] - heights[i] - 0.2
            reached = total[j] - (3.0 * shortfall * (t_wave - gap) / (t_wave - refractory) if shortfall > 0 else 0.0)
            if reached > best:
                best, source = reached, j
        total.append(best + values[i])
        came.append(source)
    k = int(np.argmax(total))
    if total[k] <= 0:
        return np.zeros(0, dtype=np.int64)
    chosen: list[int] = []
    while k >= 0:
        chosen.append(k)
        k = came[k]
    return np.array(chosen[::-1], dtype=np.int64)


def _main_deflection(energy: _Energy, at: Index, fs_hz: float, samples: int) -> Index:
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
