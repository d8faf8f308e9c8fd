"""A long recording by the minute and by the hour: rate, ectopy, variability (Task Force of ESC and NASPE 1996)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from ecg.beat_log import BeatLog
from ecg.marks import BeatClass

_SEGMENT_S: Final = 300.0
_LEAST_NN: Final = 30
_CHANGE: Final = 0.2
"""An NN interval that differs by more than a fifth from the one before is left out of variability (Task Force 1996)."""


@dataclass(frozen=True, slots=True)
class Hour:
    """One hour of the recording, counted from its begin.  Rates in /min, NaN where there were too few beats."""

    hour: int
    beats: int
    rate_mean: float
    rate_min: float
    rate_max: float
    ventricular: int
    supraventricular: int
    longest_rr_s: float


@dataclass(frozen=True, slots=True)
class Variability:
    """Of normal-to-normal intervals, ms; pnn50 in percent.  None where there were too few, or in fibrillation."""

    sdnn: float
    sdann: float | None
    rmssd: float
    pnn50: float
    intervals: int


def per_minute(log: BeatLog, seconds: float) -> npt.NDArray[np.float64]:
    """float64 [minute], mean rate /min, NaN where fewer than three intervals can be used."""
    minutes = max(1, int(np.ceil(seconds / 60.0)))
    rr = log.rr_s
    known = np.isfinite(rr)
    minute = np.minimum((log.seconds[known] // 60).astype(np.int64), minutes - 1)
    count = np.bincount(minute, minlength=minutes)
    total = np.bincount(minute, weights=rr[known], minlength=minutes)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(count >= 3, 60.0 * count / total, np.nan)


def hours(log: BeatLog, seconds: float) -> tuple[Hour, ...]:
    """Each hour begun."""
    rates = per_minute(log, seconds)
    hour_of = (log.seconds // 3600).astype(np.int64)
    ventricular, above = log.where(BeatClass.VENTRICULAR), log.where(BeatClass.SUPRAVENTRICULAR)
    rr = log.rr_s
    return tuple(
        _hour(n, rates[n * 60 : (n + 1) * 60], rr[hour_of == n], ventricular[hour_of == n], above[hour_of == n])
        for n in range(max(1, int(np.ceil(seconds / 3600.0))))
    )


def _hour(
    number: int,
    rates: npt.NDArray[np.float64],
    rr: npt.NDArray[np.float64],
    ventricular: npt.NDArray[np.bool_],
    above: npt.NDArray[np.bool_],
) -> Hour:
    known, there = rates[np.isfinite(rates)], rr[np.isfinite(rr)]
    return Hour(
        hour=number,
        beats=int(rr.size),
        rate_mean=60.0 / float(there.mean()) if there.size else np.nan,
        rate_min=float(known.min()) if known.size else np.nan,
        rate_max=float(known.max()) if known.size else np.nan,
        ventricular=int(ventricular.sum()),
        supraventricular=int(above.sum()),
        longest_rr_s=float(there.max()) if there.size else np.nan,
    )


def variability(log: BeatLog) -> Variability | None:
    """SDNN, SDANN (5 min), RMSSD, pNN50 of intervals between two normal beats.  Not for fibrillation."""
    normal = log.where(BeatClass.NORMAL)
    rr = log.rr_s * 1000.0
    is_nn = normal.copy()
    is_nn[1:] &= normal[:-1]
    is_nn &= np.isfinite(rr)
    before = np.concatenate([[np.nan], rr[:-1]])
    with np.errstate(invalid="ignore"):
        is_nn &= ~(np.abs(rr - before) > _CHANGE * before)
    nn = rr[is_nn]
    if nn.size < _LEAST_NN:
        return None
    following = is_nn[1:] & is_nn[:-1]
    steps = np.diff(rr)[following]
    segment = (log.seconds[is_nn] // _SEGMENT_S).astype(np.int64)
    count = np.bincount(segment)
    means = (np.bincount(segment, weights=nn) / np.maximum(count, 1))[count >= _LEAST_NN]
    return Variability(
        sdnn=float(nn.std()),
        sdann=float(means.std()) if means.size >= 3 else None,
        rmssd=float(np.sqrt(np.mean(steps**2))) if steps.size else 0.0,
        pnn50=100.0 * float(np.mean(np.abs(steps) > 50.0)) if steps.size else 0.0,
        intervals=int(nn.size),
    )
