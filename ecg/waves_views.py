"""A strip as the delineation sees it: band-limited views at about 250 Hz, all leads at once."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt

from ecg.strip import Samples, Strip

Floats = npt.NDArray[np.float32]

GRID_HZ: Final = 250.0
"""Rate of the views: little above 40 Hz is left in them, so 4 ms steps with straight lines between lose nothing."""

WANDER_HZ: Final = 0.4
"""Below this is baseline wander (IEC 60601-2-25 asks for 0.67 Hz of a one-way filter; ours turns no phase)."""
FINE_HZ: Final = 40.0
"""Upper end for QRS boundaries: what a 100 Hz recording still has, so that all sources look alike (ours)."""
SMOOTH_HZ: Final = 14.0
"""Upper end for P and T: nine tenths of their energy lie below (ours)."""
MARGIN_S: Final = 1.0
LOOK_S: Final = 0.6
"""Farther than any look reaches beyond the strip's ends, where the rows hold their last value."""
SPIKE_BEFORE_S: Final = 0.006
SPIKE_AFTER_S: Final = 0.010
FLAT_MV: Final = 0.02
"""A lead that swings less is flat: no electrode, or nothing to mark (ours)."""


@dataclass(frozen=True, slots=True)
class Rows:
    """padded: float32 [row, sample], with ``margin`` samples of the last value held at either end."""

    padded: Floats
    margin: int

    @classmethod
    def of(cls, inside: Floats | Samples, margin: int = math.ceil(LOOK_S * 2 * GRID_HZ)) -> Rows:
        rows, samples = inside.shape
        padded = np.empty((rows, samples + 2 * margin), np.float32)
        padded[:, margin : margin + samples] = inside
        padded[:, :margin] = inside[:, :1]
        padded[:, margin + samples :] = inside[:, -1:]
        return cls(padded, margin)

    @property
    def length(self) -> int:
        return self.padded.shape[1] - 2 * self.margin

    @property
    def inside(self) -> Floats:
        """[row, sample] without the margins."""
        return self.padded[:, self.margin : self.padded.shape[1] - self.margin]

    def only(self, rows: npt.NDArray[np.int64]) -> Rows:
        return replace(self, padded=np.ascontiguousarray(self.padded[rows]))


@dataclass(frozen=True, slots=True)
class Views:
    """Views of a strip on a grid of ``hz``.  Grid sample k is strip sample ``k * step``.

    fine, smooth: mV, 0.4 Hz to 40 Hz and to 14 Hz.  fine_slope, smooth_slope: mV/s.
    live: bool [lead], the leads that show anything.
    """

    hz: float
    step: int
    fine: Rows
    fine_slope: Rows
    smooth: Rows
    smooth_slope: Rows
    live: npt.NDArray[np.bool_]

    def of(self, leads: npt.NDArray[np.int64]) -> Views:
        """These leads only."""
        return replace(
            self,
            fine=self.fine.only(leads),
            fine_slope=self.fine_slope.only(leads),
            smooth=self.smooth.only(leads),
            smooth_slope=self.smooth_slope.only(leads),
            live=self.live[leads],
        )

    @property
    def length(self) -> int:
        return self.fine.length

    @property
    def leads(self) -> int:
        return self.live.size


def views_of(strip: Strip, spikes: npt.NDArray[np.int64] | None = None) -> Views:
    """The strip's views, with a straight line under each pacing spike (strip samples).

    Filters are symmetric in time, so nothing is shifted.
    """
    step = max(1, round(strip.fs_hz / GRID_HZ))
    hz = strip.fs_hz / step
    length = -(-strip.mv.shape[1] // step)
    margin = int(MARGIN_S * hz)
    padded = _padded(_without(strip.mv, spikes, strip.fs_hz), margin * step, step)
    points = padded.shape[1] // step
    spectrum = np.fft.rfft(padded, axis=1)[:, : points // 2 + 1]
    fine_gain, smooth_gain, slope = _gains(points, hz, step)

    def view(gain: Floats | npt.NDArray[np.complex64]) -> Rows:
        return Rows.of(np.fft.irfft(spectrum * gain, n=points, axis=1)[:, margin : margin + length])

    fine = view(fine_gain)
    swing = fine.inside.max(axis=1, initial=0.0) - fine.inside.min(axis=1, initial=0.0)
    return Views(
        hz=hz,
        step=step,
        fine=fine,
        fine_slope=view(fine_gain * slope),
        smooth=view(smooth_gain),
        smooth_slope=view(smooth_gain * slope),
        live=np.isfinite(swing) & (swing > FLAT_MV),
    )


@lru_cache(maxsize=16)
def _gains(points: int, hz: float, step: int) -> tuple[Floats, Floats, npt.NDArray[np.complex64]]:
    """Gains [frequency] of the fine and the smooth view, and of the slope: half power at the named ends."""
    f = np.arange(points // 2 + 1) * (hz / points)
    rising = (1.0 - np.exp(-math.log(2.0) * (f / WANDER_HZ) ** 4)) / step
    fine, smooth = (rising * np.exp(-math.log(2.0) / 2 * (f / top) ** 2) for top in (FINE_HZ, SMOOTH_HZ))
    return fine.astype(np.float32), smooth.astype(np.float32), (2j * np.pi * f).astype(np.complex64)


def _without(mv: Samples, spikes: npt.NDArray[np.int64] | None, fs_hz: float) -> Samples:
    """The same with straight lines from 6 ms before each spike to 10 ms after it: its width and its edge's echo (ours)."""
    if spikes is None or not spikes.size:
        return mv
    before, after = math.ceil(SPIKE_BEFORE_S * fs_hz), math.ceil(SPIKE_AFTER_S * fs_hz)
    part = np.linspace(0.0, 1.0, before + after + 1)
    out = mv.copy()
    for spike in spikes[(spikes >= before) & (spikes < mv.shape[1] - after)]:
        left, right = out[:, spike - before, None], out[:, spike + after, None]
        out[:, spike - before : spike + after + 1] = left + (right - left) * part
    return out


def _padded(mv: Samples, margin: int, step: int) -> Floats:
    """float32, each lead from its middle, with at least ``margin`` samples of mirror image (turned about the end) around it."""
    samples = mv.shape[1]
    total = _easy_length(-(-(samples + 2 * margin) // step)) * step
    after = total - samples - margin
    centred = (mv - (mv[:, :1] + mv[:, -1:]) / 2).astype(np.float32)
    if samples > after:
        return np.pad(centred, ((0, 0), (margin, after)), mode="reflect", reflect_type="odd")
    return np.pad(centred, ((0, 0), (margin, after)), mode="edge")


def _easy_length(least: int) -> int:
    """The smallest even length from ``least`` on that has only the factors 2, 3 and 5."""
    length = least + least % 2
    while True:
        rest = length
        for factor in (2, 3, 5):
            while rest % factor == 0:
                rest //= factor
        if rest == 1:
            return length
        length += 2
