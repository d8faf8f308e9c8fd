"""Atrial flutter by folding: one wave that repeats without rest explains all that lies between the QRS complexes.

The recording without its QRS is laid over itself at every cycle from 165 to 290 ms (207 to 364/min).  Where a cycle's
mean wave explains most of what is there, and other cycles far less, the atria flutter; sinus rhythm, whose P and T come
once a beat, is explained by no such cycle.  Where the ventricles beat regularly, the cycle must divide their interval.
Thresholds set on PTB-XL folds 7-8 (15 records of flutter) and on made rhythms.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from ecg.marks import Beats
from ecg.strip import Samples, Strip

_HZ: Final = 125
_LEADS: Final = ("II", "III", "aVF", "V1")
_CYCLES_S: Final = np.arange(0.165, 0.291, 0.002)
"""AHA/ACC/HRS 2009: flutter 240 to 340/min, slower under drugs."""
_BINS: Final = 12
_BEFORE_S: Final = 0.07
_AFTER_S: Final = 0.09
_LEAST_MV: Final = 0.04
_EXPLAINED: Final = 0.68
_CONTRAST: Final = 0.45
_FAST: Final = 90.0
"""/min: from here on P and T come close enough to each other to look like one wave that repeats (ours)."""
_FAST_EXPLAINED: Final = 0.76
_FAST_CONTRAST: Final = 0.50
_TWO_TO_ONE: Final = (118.0, 178.0)
_TWO_USUAL: Final = 130.0
_TWO_SLOW_EXPLAINED: Final = 0.85
_TWO_EXPLAINED: Final = 0.80
_TWO_LESS: Final = 0.70
_TWO_CONTRAST: Final = 0.35
_TWO_LEAST_CONTRAST: Final = 0.20
_LINE: Final = 0.25
_OFF_WHOLE: Final = 0.07
_REGULAR: Final = 0.04
_FEWEST_S: Final = 3.0
_MOST_S: Final = 12.0


@dataclass(frozen=True, slots=True)
class Flutter:
    """probability: 0..1.  rate: of the atria, /min.  explained, contrast: shares 0..1 of what lies between the QRS."""

    probability: float
    rate: float
    explained: float
    contrast: float


def flutter_of(strip: Strip, beats: Beats) -> Flutter | None:
    """The flutter that the strip shows, None where it shows none (or is too short, or too fast to be looked between)."""
    if len(beats) < 3 or strip.fs_hz < _HZ:
        return None
    rr = np.diff(beats.at) / strip.fs_hz
    rate = 60.0 / float(np.median(rr))
    rows, ok = _between(strip, beats)
    if ok.sum() < _FEWEST_S * _HZ or rate > _TWO_TO_ONE[1]:
        return None
    if not _has_a_line(rows, ok):
        return None
    height = float(np.sqrt((rows[:, ok] ** 2).mean(axis=1)).max())
    shares = _explained(rows, ok)
    best = int(shares.argmax())
    explained, contrast = float(shares[best]), float(shares[best] - np.median(shares))
    cycle_s = float(_CYCLES_S[best])
    if height < _LEAST_MV or not _is_flutter(explained, contrast, rr, rate, cycle_s):
        return None
    return Flutter(float(np.clip(0.55 + 0.5 * contrast, 0.6, 0.95)), 60.0 / cycle_s, explained, contrast)


def _is_flutter(explained: float, contrast: float, rr: Samples, rate: float, cycle_s: float) -> bool:
    waves = float(np.median(rr)) / cycle_s
    is_regular = float(np.median(np.abs(rr - np.median(rr)))) < _REGULAR * float(np.median(rr))
    divides = abs(waves - round(waves)) < _OFF_WHOLE * max(1.0, waves / 2) and round(waves) >= 2
    if is_regular and rate > _FAST:
        if explained >= _FAST_EXPLAINED and contrast >= _FAST_CONTRAST and divides:
            return True
    elif explained >= _EXPLAINED and contrast >= _CONTRAST and (divides or not is_regular):
        return True
    if not (is_regular and divides and round(waves) == 2 and _TWO_TO_ONE[0] <= rate <= _TWO_TO_ONE[1]):
        return False
    if rate < _TWO_USUAL:
        return explained >= _TWO_SLOW_EXPLAINED and contrast >= _TWO_CONTRAST
    return (explained >= _TWO_EXPLAINED and contrast >= _TWO_LEAST_CONTRAST) or (
        explained >= _TWO_LESS and contrast >= _TWO_CONTRAST
    )


def _between(strip: Strip, beats: Beats) -> tuple[Samples, np.ndarray[tuple[int], np.dtype[np.bool_]]]:
    """[lead, sample] at 125 Hz without slow drift, and where no QRS is."""
    names = [name for name in _LEADS if name in strip.leads] or list(strip.leads[:1])
    step = int(strip.fs_hz // _HZ)
    samples = min(strip.mv.shape[1], int(_MOST_S * strip.fs_hz)) // step
    rows = np.stack([strip.lead(name)[: samples * step].reshape(samples, step).mean(axis=1) for name in names])
    hz = strip.fs_hz / step
    width = int(hz) | 1
    padded = np.pad(rows, ((0, 0), (width // 2 + 1, width // 2)), mode="edge")
    total = np.cumsum(padded, axis=1)
    rows = rows - (total[:, width:] - total[:, :-width]) / width
    ok = np.ones(samples, dtype=bool)
    for at in (np.asarray(beats.at) / step).tolist():
        ok[max(0, int(at - _BEFORE_S * hz)) : max(0, int(at + _AFTER_S * hz))] = False
    return rows, ok


def _has_a_line(rows: Samples, ok: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> bool:
    """Whether some frequency of the atria's holds a fair share by itself: a cheap look before the folding."""
    there = np.where(ok, rows, 0.0)
    points = 4096
    power = np.abs(np.fft.rfft(there, n=points, axis=1)) ** 2
    f = np.arange(power.shape[1]) * (_HZ / points)
    band = (f >= 1.0 / _CYCLES_S[-1]) & (f <= 1.0 / _CYCLES_S[0])
    share = 2.0 * power[:, band] / (ok.sum() * (there**2).sum(axis=1, keepdims=True) + 1e-9)
    return float(np.sort(share, axis=0)[-2:].mean(axis=0).max()) >= _LINE


def _explained(rows: Samples, ok: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Samples:
    """[cycle]: the share of the variance outside the QRS that a wave of that cycle explains, in the two best leads."""
    time_s = np.flatnonzero(ok) / _HZ
    there = rows[:, ok]
    power = (there**2).sum(axis=1) + 1e-9
    out = np.empty(_CYCLES_S.size)
    for n, cycle_s in enumerate(_CYCLES_S.tolist()):
        phase = ((time_s / cycle_s) % 1.0 * _BINS).astype(np.int64)
        fold = np.zeros((_BINS, there.shape[1]))
        fold[phase, np.arange(phase.size)] = 1.0
        count = np.maximum(fold.sum(axis=1), 1.0)
        share = ((there @ fold.T) ** 2 / count).sum(axis=1) / power
        out[n] = np.sort(share)[-2:].mean()
    return out
