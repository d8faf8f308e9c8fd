"""Zero-phase filters over leads: nothing that they pass is moved in time.

Each is a gain in the frequency domain, applied to the leads at once.  The gains are those of an analogue Butterworth
filter run forth and back (|H|^2), so the response is the same at every sampling rate.  Before the transform the ends
are mirrored through their last value, so that a strip's first and last beat keep their shape.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ecg.strip import Samples

_PAD_S: Final = 1.0
"""How far the ends are mirrored (ours)."""
_KNOT_FROM_S, _KNOT_TO_S, _KNOT_S = 0.14, 0.04, 0.02
"""The PR segment is looked for between these times before a beat's main deflection, this long (ours)."""


def _fft() -> Any:
    """scipy.fft, loaded when a signal comes rather than when a door starts."""
    from scipy import fft

    return fft


def low_pass(mv: Samples, fs_hz: float, cut_hz: float, order: int = 2) -> Samples:
    """mv [lead, sample] without what is faster than cut_hz (half the amplitude there), mV."""
    return _filtered(mv, fs_hz, low_cut_hz=None, high_cut_hz=cut_hz, order=order)


def high_pass(mv: Samples, fs_hz: float, cut_hz: float, order: int = 2) -> Samples:
    """mv [lead, sample] without what is slower than cut_hz (half the amplitude there), mV."""
    return _filtered(mv, fs_hz, low_cut_hz=cut_hz, high_cut_hz=None, order=order)


def band_pass(mv: Samples, fs_hz: float, low_cut_hz: float, high_cut_hz: float, order: int = 2) -> Samples:
    """mv [lead, sample] between the two, mV."""
    return _filtered(mv, fs_hz, low_cut_hz=low_cut_hz, high_cut_hz=high_cut_hz, order=order)


def notch(mv: Samples, fs_hz: float, at_hz: float, width_hz: float = 2.0) -> Samples:
    """mv [lead, sample] without the hum at at_hz and its odd third; width_hz: between the half-amplitude points."""

    def gain(hz: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        out = np.ones_like(hz)
        for hum in (at_hz, 3 * at_hz):
            apart = np.square(np.square(hz) - hum**2)
            out *= apart / (apart + np.square(hz * width_hz))
        return out

    return _through(mv, fs_hz, gain)


def narrowed(
    mv: Samples, fs_hz: float, bands_hz: tuple[tuple[float, float], ...], order: int, rate_hz: float
) -> tuple[list[npt.NDArray[np.complex64]], float]:
    """Each band's analytic signal [lead, sample] at about rate_hz, and the rate: sample k lies at k / rate seconds.

    The real part is the band-passed signal, the magnitude its envelope.  Filter, Hilbert transform and change of rate
    are one way through the frequency domain; rate_hz must be over twice what is to be kept of the upper cuts.
    """
    fft = _fft()
    samples, pad = mv.shape[1], int(_PAD_S * fs_hz)
    length = fft.next_fast_len(samples + 2 * pad, real=True)
    spectrum = fft.rfft(mirrored(np.asarray(mv, dtype=np.float32), pad, length - samples - pad), axis=1)
    out = fft.next_fast_len(int(length * rate_hz / fs_hz) + 1)
    rate = fs_hz * out / length
    first = round(pad * rate / fs_hz)
    kept = min(spectrum.shape[1], out // 2)
    hz = np.arange(kept) * (fs_hz / length)
    to_grid = np.exp((2j * np.pi * (pad / fs_hz - first / rate)) * hz).astype(np.complex64)
    wanted = slice(first, first + max(int(samples * rate / fs_hz), 1))
    found: list[npt.NDArray[np.complex64]] = []
    for low_cut_hz, high_cut_hz in bands_hz:
        gain = butterworth_gain(hz, low_cut_hz, high_cut_hz, order) * (2.0 * out / length)
        whole = np.zeros((mv.shape[0], out), dtype=np.complex64)
        np.multiply(spectrum[:, :kept], gain.astype(np.float32) * to_grid, out=whole[:, :kept])
        found.append(fft.ifft(whole, axis=1, overwrite_x=True)[:, wanted])
    return found, rate


def butterworth_gain(
    hz: npt.NDArray[np.float64], low_cut_hz: float | None, high_cut_hz: float | None, order: int = 2
) -> npt.NDArray[np.float64]:
    """|H|^2 of Butterworth's high-pass and low-pass at each frequency; None leaves that side open."""
    out = np.ones_like(hz)
    if high_cut_hz is not None:
        out /= 1.0 + _power(hz / high_cut_hz, 2 * order)
    if low_cut_hz is not None:
        ratio = _power(hz / low_cut_hz, 2 * order)
        out *= ratio / (1.0 + ratio)
    return out


def _power(values: npt.NDArray[np.float64], even: int) -> npt.NDArray[np.float64]:
    """values ** even, by products: numpy's own power is ten times slower."""
    square = np.square(values)
    out = square.copy()
    for _ in range(even // 2 - 1):
        out *= square
    return out


def mirrored(mv: npt.NDArray[Any], before: int, after: int) -> npt.NDArray[Any]:
    """mv with its ends turned about their last values, [lead, before + sample + after]."""
    n = mv.shape[1]
    if n < 2 or before > n - 1 or after > n - 1:
        short_before, short_after = min(before, max(n - 1, 0)), min(after, max(n - 1, 0))
        inner = mirrored(mv, short_before, short_after) if n >= 2 else mv
        return np.pad(inner, ((0, 0), (before - short_before, after - short_after)), mode="edge")
    left = 2 * mv[:, :1] - mv[:, before:0:-1]
    right = 2 * mv[:, -1:] - mv[:, -2 : -after - 2 : -1]
    return np.concatenate([left, mv, right], axis=1)


def without_wander(mv: Samples, fs_hz: float, at: npt.NDArray[np.int64], fallback_hz: float = 0.3) -> Samples:
    """mv [lead, sample] with the level before every beat (at: samples) at zero, mV.  ST and T keep their shape.

    The level is the quietest 20 ms of the PR segment, the same for all leads, and a smooth curve runs through the
    levels (a cubic spline, straight beyond the last beats).  With fewer than three beats: a high-pass at fallback_hz.
    """
    knots = _quiet_points(mv, fs_hz, at)
    if knots.size < 3:
        return high_pass(mv, fs_hz, fallback_hz)
    half = max(round(_KNOT_S * fs_hz / 2), 1)
    index = np.clip(knots[:, None] + np.arange(-half, half + 1), 0, mv.shape[1] - 1)
    levels = np.median(mv[:, index], axis=2)
    return mv - _curve(knots, levels, mv.shape[1])


def _quiet_points(mv: Samples, fs_hz: float, at: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """int64 [knot]: where, shortly before each beat, all leads together move least."""
    width = max(round(_KNOT_S * fs_hz), 2)
    first, last = int(_KNOT_FROM_S * fs_hz), int(_KNOT_TO_S * fs_hz)
    inside = at[at - first - width > 0]
    if not inside.size:
        return inside
    moving = np.abs(np.diff(mv, axis=1, prepend=mv[:, :1])).sum(axis=0)
    total = np.concatenate([[0.0], np.cumsum(moving)])
    centres = inside[:, None] - np.arange(last, first)[None, :]
    activity = total[centres + width // 2] - total[centres - width // 2]
    knots = centres[np.arange(inside.size), np.argmin(activity, axis=1)]
    return np.unique(knots)


def _curve(knots: npt.NDArray[np.int64], levels: Samples, samples: int) -> Samples:
    """[lead, sample]: the spline through levels [lead, knot] at knots; outside them the nearest level."""
    from scipy.interpolate import CubicSpline

    there = np.clip(np.arange(samples), knots[0], knots[-1])
    return np.asarray(CubicSpline(knots, levels, axis=1, bc_type="natural")(there), dtype=np.float64)


def _filtered(mv: Samples, fs_hz: float, low_cut_hz: float | None, high_cut_hz: float | None, order: int) -> Samples:
    return _through(mv, fs_hz, lambda hz: butterworth_gain(hz, low_cut_hz, high_cut_hz, order))


def _through(mv: Samples, fs_hz: float, gain: Any) -> Samples:
    samples = mv.shape[1]
    if samples < 2:
        return mv.copy()
    fft = _fft()
    pad = int(_PAD_S * fs_hz)
    length = fft.next_fast_len(samples + 2 * pad, real=True)
    padded = mirrored(mv, pad, length - samples - pad)
    spectrum = fft.rfft(padded, axis=1)
    spectrum *= gain(np.arange(spectrum.shape[1]) * (fs_hz / length))
    return np.ascontiguousarray(fft.irfft(spectrum, length, axis=1)[:, pad : pad + samples], dtype=np.float64)
