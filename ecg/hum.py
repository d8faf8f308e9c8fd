"""Mains interference taken off a recording by what it is: a sine of nearly constant height, phase and frequency.

A notch filter would ring at each QRS and widen it; a fitted sine that is subtracted does not.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
import numpy.typing as npt

from ecg.strip import Samples, Strip

MAINS_HZ: Final = (50.0, 60.0)
_LEAST_MV: Final = 0.004
"""A sine of less than this (half of peak to peak) is left: it moves no boundary (ours)."""
_STEADY: Final = 0.7
"""From one second to the next a sine keeps its phase; muscle and QRS do not (ours)."""
_GLANCE_S: Final = 2
"""A look at this many seconds in the middle tells most recordings that have none (ours)."""
_QUIET_TIMES: Final = 3.0

Complex = npt.NDArray[np.complex128]


def without_hum(strip: Strip) -> Strip:
    """The strip less its 50 or 60 Hz sine, lead by lead; itself where there is none.  Source below 130 Hz: has none."""
    mv = strip.mv
    if strip.source_fs_hz >= 130:
        for mains_hz in MAINS_HZ:
            mv = _without(mv, strip.fs_hz, mains_hz)
    return strip if mv is strip.mv else replace(strip, mv=mv)


def _without(mv: Samples, fs_hz: float, mains_hz: float) -> Samples:
    length = round(fs_hz)
    windows = mv.shape[1] // length
    if windows < 2 or fs_hz < 2.2 * mains_hz:
        return mv
    turn = np.exp(-2j * np.pi * mains_hz / fs_hz * np.arange(length))
    if windows > _GLANCE_S:
        first = (windows - _GLANCE_S) // 2 * length
        glance = _heights(mv[:, first : first + _GLANCE_S * length], fs_hz, mains_hz, turn, _GLANCE_S)
        if (np.median(np.abs(glance), axis=1) < _LEAST_MV).all():
            return mv
    heights = _heights(mv, fs_hz, mains_hz, turn, windows)
    follows = (heights[:, 1:] * heights[:, :-1].conj()).sum(axis=1)
    power = np.square(np.abs(heights)).sum(axis=1)
    steady = np.abs(follows) / np.maximum(power * (windows - 1) / windows, 1e-12) > _STEADY
    present = steady & (np.median(np.abs(heights), axis=1) > _LEAST_MV)
    if not present.any():
        return mv
    drift = float(np.angle(follows[present].sum()))  # radians a second: the mains is not at 50.00 Hz
    faded = np.sinc(drift / (2 * np.pi))  # what a second's mean leaves of a sine that drifts meanwhile
    out = mv.copy()
    out[present] -= _sine(heights[present] / faded, drift, turn, mv.shape[1])
    return out


def _heights(mv: Samples, fs_hz: float, mains_hz: float, turn: Complex, windows: int) -> Complex:
    """Complex height [lead, second] of the sine, from what is quiet around it (no QRS)."""
    half = max(1, round(fs_hz / mains_hz / 2))
    gain = 1.0 - np.cos(2 * np.pi * mains_hz * half / fs_hz)
    padded = np.pad(mv, ((0, 0), (half, half)), mode="edge")
    bare = (mv - (padded[:, 2 * half :] + padded[:, : -2 * half]) / 2)[:, : windows * turn.size]
    bare = bare.reshape(mv.shape[0], windows, turn.size)
    size = np.abs(bare)
    usual = np.median(size[:, :, ::5], axis=2, keepdims=True)
    weight = (size <= _QUIET_TIMES * usual + 1e-9).astype(np.float64)
    shift = np.exp(-2j * np.pi * mains_hz / fs_hz * turn.size * np.arange(windows))
    found = (bare * weight) @ turn * shift
    return 2 * found / np.maximum(weight.sum(axis=2), 1.0) / gain


def _sine(heights: Complex, drift: float, turn: Complex, samples: int) -> Samples:
    """[lead, sample]: the sine of these heights, which lie at the middles of the seconds."""
    seconds = np.arange(samples) / turn.size
    middles = np.arange(heights.shape[1]) + 0.5
    still = heights * np.exp(-1j * drift * middles)
    between = np.stack(
        [np.interp(seconds, middles, row.real) + 1j * np.interp(seconds, middles, row.imag) for row in still]
    )
    per_sample = np.angle(turn[1].conj())
    return (between * np.exp(1j * (drift * seconds + per_sample * np.arange(samples)))).real
