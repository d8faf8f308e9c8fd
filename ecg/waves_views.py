"""A strip as the delineation sees it: band-limited views at about 250 Hz, all leads at once."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from ecg.strip import Samples, Strip

GRID_HZ: Final = 250.0
"""Rate of the views: nothing above 40 Hz is left in them, so 4 ms steps with straight lines between lose nothing."""

WANDER_HZ: Final = 0.4
"""Below this is baseline wander (IEC 60601-2-25 asks for 0.67 Hz of a one-way filter; ours turns no phase)."""
FINE_HZ: Final = 40.0
"""Upper end for QRS boundaries: what a 100 Hz recording still has, so that all sources look alike (ours)."""
SMOOTH_HZ: Final = 14.0
"""Upper end for P and T: nine tenths of their energy lie below (ours)."""
MARGIN_S: Final = 1.0
SPIKE_BEFORE_S: Final = 0.006
SPIKE_AFTER_S: Final = 0.010
FLAT_MV: Final = 0.02
"""A lead whose middle nine tenths span less is flat: no electrode, or nothing to mark (ours)."""


@dataclass(frozen=True, slots=True)
class Views:
    """Views of a strip on a grid of ``hz``.  Grid sample k is strip sample ``k * step``.

    fine, smooth: float64 [lead, k], mV, 0.4 Hz to 40 Hz and to 14 Hz.  fine_slope, smooth_slope: mV/s.
    live: bool [lead], the leads that show anything.
    """

    hz: float
    step: int
    fine: Samples
    fine_slope: Samples
    smooth: Samples
    smooth_slope: Samples
    live: npt.NDArray[np.bool_]

    def of(self, leads: npt.NDArray[np.int64]) -> Views:
        """These leads only."""
        return replace(
            self,
            fine=self.fine[leads],
            fine_slope=self.fine_slope[leads],
            smooth=self.smooth[leads],
            smooth_slope=self.smooth_slope[leads],
            live=self.live[leads],
        )

    @property
    def length(self) -> int:
        return self.fine.shape[1]


def views_of(strip: Strip, spikes: npt.NDArray[np.int64] | None = None) -> Views:
    """The strip's views, with a straight line under each pacing spike (strip samples).

    Filters are symmetric in time, so nothing is shifted.
    """
    step = max(1, round(strip.fs_hz / GRID_HZ))
    hz = strip.fs_hz / step
    samples = strip.mv.shape[1]
    length = -(-samples // step)
    margin = int(MARGIN_S * hz)
    padded = _padded(_without(strip.mv, spikes, strip.fs_hz), margin * step, step)
    spectrum = np.fft.rfft(padded, axis=1)
    points = padded.shape[1] // step
    spectrum = spectrum[:, : points // 2 + 1] / step
    f = np.arange(spectrum.shape[1]) * (hz / points)
    rising = 1.0 - np.exp(-np.log(2.0) * (f / WANDER_HZ) ** 4)
    slope = 2j * np.pi * f
    kept = slice(margin, margin + length)

    def view(top_hz: float, by: Samples | float) -> Samples:
        gain = rising * np.exp(-np.log(2.0) / 2 * (f / top_hz) ** 2) * by
        return np.fft.irfft(spectrum * gain, n=points, axis=1)[:, kept]

    low, high = np.quantile(strip.mv[:, :: max(1, samples // 2000)], (0.05, 0.95), axis=1)
    full, soft = view(FINE_HZ, 1.0), view(SMOOTH_HZ, 1.0)
    swing = full.max(axis=1, initial=0.0) - full.min(axis=1, initial=0.0)
    return Views(
        hz=hz,
        step=step,
        fine=full,
        fine_slope=view(FINE_HZ, slope),
        smooth=soft,
        smooth_slope=view(SMOOTH_HZ, slope),
        live=(swing > FLAT_MV) & np.isfinite(high - low),
    )


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


def _padded(mv: Samples, margin: int, step: int) -> Samples:
    """With ``margin`` samples of mirror image (turned about the end) at the begin and at least that at the end."""
    samples = mv.shape[1]
    total = _easy_length(-(-(samples + 2 * margin) // step)) * step
    after = total - samples - margin
    if samples < 2:
        return np.pad(mv, ((0, 0), (margin, after)), mode="edge")
    return (
        np.pad(mv, ((0, 0), (margin, after)), mode="reflect", reflect_type="odd")
        if samples > 2 * after
        else np.pad(mv, ((0, 0), (margin, after)), mode="edge")
    )


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
