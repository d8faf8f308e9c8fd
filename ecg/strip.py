"""A recording as the engine works on it: at one rate, without gaps, with what is usable of it marked."""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from center.reads import SignalInput

Samples = npt.NDArray[np.float64]

WORKING_HZ: Final = 500.0
"""CSE and IEC 60601-2-25 measure at 500 Hz; a slower recording is interpolated, which adds no information."""


def _dsp() -> Any:
    """scipy.signal, which carries no types; loading it costs a second that a door's start need not wait for."""
    from scipy import signal

    return signal


@dataclass(frozen=True, slots=True)
class Strip:
    """mv: float64 [lead, sample] at ``fs_hz``, gaps bridged by straight lines, otherwise unfiltered.

    is_known: bool [lead, sample], False where the device gave no value.
    age_years: None when unknown; sex: M, F or empty.
    """

    leads: tuple[str, ...]
    mv: Samples
    fs_hz: float
    source_fs_hz: float
    source_samples: int
    is_known: npt.NDArray[np.bool_]
    age_years: float | None = None
    sex: str = ""

    @property
    def seconds(self) -> float:
        return self.source_samples / self.source_fs_hz

    def has(self, *leads: str) -> bool:
        return all(lead in self.leads for lead in leads)

    def lead(self, name: str) -> Samples:
        """One lead, mV [sample].  Raises KeyError."""
        try:
            return self.mv[self.leads.index(name)]
        except ValueError:
            raise KeyError(name) from None

    def in_source(self, at: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        """Strip samples (float, no NaN) as sample indices of the recording as it came."""
        there = np.rint(np.asarray(at, dtype=np.float64) * (self.source_fs_hz / self.fs_hz)).astype(np.int64)
        return np.clip(there, 0, self.source_samples - 1)


def strip_of(recording: SignalInput, working_hz: float = WORKING_HZ) -> Strip:
    """The recording at the working rate.  Sample k of the strip lies at k / working_hz seconds of the recording."""
    raw = np.asarray(recording.signal, dtype=np.float64)
    known = np.isfinite(raw)
    whole = raw if known.all() else np.stack([_bridged(row, there) for row, there in zip(raw, known, strict=True)])
    if abs(recording.fs_hz - working_hz) < 1e-6 * working_hz:
        mv = whole
    else:
        mv = _resampled(whole, recording.fs_hz, working_hz)
        index = np.minimum((np.arange(mv.shape[1]) * (recording.fs_hz / working_hz)).astype(np.int64), raw.shape[1] - 1)
        known = known[:, index]
    return Strip(
        leads=recording.leads,
        mv=mv,
        fs_hz=working_hz,
        source_fs_hz=recording.fs_hz,
        source_samples=raw.shape[1],
        is_known=known,
        age_years=recording.age_years,
        sex=recording.sex,
    )


def _bridged(row: Samples, known: npt.NDArray[np.bool_]) -> Samples:
    if known.all():
        return row
    if not known.any():
        return np.zeros_like(row)
    return np.interp(np.arange(row.size), np.flatnonzero(known), row[known])


def _resampled(mv: Samples, fs_hz: float, working_hz: float) -> Samples:
    """[lead, sample] at the new rate, the ends held instead of drawn to zero."""
    up, down = _ratio(fs_hz, working_hz)
    if up is not None:
        return np.asarray(_dsp().resample_poly(mv, up, down, axis=1, padtype="line"), dtype=np.float64)
    there = np.arange(int(mv.shape[1] * working_hz / fs_hz)) * (fs_hz / working_hz)
    return np.stack([np.interp(there, np.arange(row.size), row) for row in mv])


def _ratio(fs_hz: float, working_hz: float) -> tuple[int | None, int]:
    """Small whole numbers whose ratio is that of the rates, or (None, 1)."""
    for scale in (1, 2, 4, 5, 8, 10, 100):
        a, b = round(working_hz * scale), round(fs_hz * scale)
        if b and abs(b / scale - fs_hz) < 1e-6 * fs_hz:
            shared = gcd(a, b)
            return (a // shared, b // shared) if a // shared <= 1000 and b // shared <= 1000 else (None, 1)
    return None, 1
