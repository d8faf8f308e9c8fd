"""How well a recording can be read: each lead by itself, then the whole.

All thresholds are ours, set on made recordings and looked at on LUDB and PTB-XL; they'll be measured with the engine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from center.reads import Reason
from ecg import filters

FLAT_MV: Final = 0.02
"""A second that moves less than this, peak to peak, is flat: less than a fifth of a small square."""
_FLAT_SHARE: Final = 0.5
_SATURATED_SHARE: Final = 0.01
_SATURATED_RUN_S: Final = 0.02
_SATURATED_MV: Final = 1.0
_WANDER_MV: Final = 1.0
"""Ten small squares within ten seconds: flags 13 % of 700 records of PTB-XL; half of that would flag 38 %."""
_MAINS_MV: Final = 0.1
_NOISY_DB: Final = 15.0
_NOISY_MV: Final = 0.03
"""Noise of less than this, rms, doesn't trouble a reader even in a lead whose beats are small."""
_USELESS_DB: Final = 6.0
SHORTEST_S: Final = 5.0
_LONGEST_S: Final = 600.0
_NOISE_HZ: Final = 250.0

Samples = npt.NDArray[np.float64]


class Grade(StrEnum):
    GOOD = "good"
    LIMITED = "limited"
    POOR = "poor"


@dataclass(frozen=True, slots=True)
class LeadQuality:
    """One lead: shares 0..1, amplitudes in mV (peak to peak), signal to noise in dB."""

    lead: str
    missing_share: float
    flat_share: float
    saturated_share: float
    wander_mv: float
    mains_mv: float
    noise_mv: float
    snr_db: float

    @property
    def is_off(self) -> bool:
        """No electrode, or no contact."""
        return self.flat_share + self.missing_share >= _FLAT_SHARE

    @property
    def is_saturated(self) -> bool:
        return self.saturated_share >= _SATURATED_SHARE

    @property
    def is_noisy(self) -> bool:
        return self.snr_db < _NOISY_DB and self.noise_mv >= _NOISY_MV

    @property
    def is_usable(self) -> bool:
        """Whether beats can be looked for in it."""
        return not self.is_off and not self.is_saturated and self.snr_db >= _USELESS_DB

    @property
    def is_clean(self) -> bool:
        return self.is_usable and not self.is_noisy and self.wander_mv < _WANDER_MV and self.mains_mv < _MAINS_MV


@dataclass(frozen=True, slots=True)
class SignalQuality:
    """The whole recording's grade, its leads, and why it isn't good.

    usable: bool [lead, second], where beats can be looked for; the last second may be a part of one.
    """

    grade: Grade
    leads: tuple[LeadQuality, ...]
    reasons: tuple[Reason, ...]
    usable: npt.NDArray[np.bool_] = field(default_factory=lambda: np.zeros((0, 0), dtype=bool))

    def as_fields(self) -> dict[str, object]:
        """As the read's ``quality`` carries it."""
        return {
            "grade": self.grade.value,
            "reasons": [{"code": r.code, "zh": r.zh, "en": r.en} for r in self.reasons],
            "leads": {
                q.lead: {
                    "usable": q.is_usable,
                    "flat_share": round(q.flat_share, 3),
                    "missing_share": round(q.missing_share, 3),
                    "saturated_share": round(q.saturated_share, 4),
                    "wander_mv": round(q.wander_mv, 3),
                    "mains_mv": round(q.mains_mv, 3),
                    "noise_mv": round(q.noise_mv, 4),
                    "snr_db": round(q.snr_db, 1),
                }
                for q in self.leads
            },
        }


def assess(samples: npt.NDArray[np.floating], leads: Sequence[str], fs_hz: float) -> SignalQuality:
    """The quality of a recording; samples: [lead, sample], mV.  Looks at the first ten minutes."""
    head = np.asarray(samples[:, : int(_LONGEST_S * fs_hz)], dtype=np.float64)
    measured, usable = _measured(head, tuple(leads), fs_hz)
    reasons = _reasons(measured)
    good = sum(1 for q in measured if q.is_usable)
    if not good or good < len(measured) / 3:
        return SignalQuality(Grade.POOR, measured, reasons or (_NOTHING_USABLE,), usable)
    grade = Grade.GOOD if all(q.is_clean for q in measured) else Grade.LIMITED
    return SignalQuality(grade, measured, reasons, usable)


def without_gaps(values: npt.NDArray[np.floating]) -> Samples:
    """The same lead with its gaps bridged by straight lines, so that filters can pass; zeros where all is gap."""
    values = np.asarray(values, dtype=np.float64)
    known = np.isfinite(values)
    if known.all():
        return values
    if not known.any():
        return np.zeros_like(values)
    return np.interp(np.arange(values.size), np.flatnonzero(known), values[known])


@dataclass(frozen=True, slots=True)
class _Seconds:
    """Whole windows of a recording.  All but ``is_known_share`` [lead, second] are [lead, second] in mV, peak to peak."""

    is_known_share: Samples
    swing: Samples
    level: Samples
    stuck_share: Samples


def _measured(
    raw: Samples, leads: tuple[str, ...], fs_hz: float
) -> tuple[tuple[LeadQuality, ...], npt.NDArray[np.bool_]]:
    """Every lead's quality, and bool [lead, second] where beats can be looked for; the last second may be part."""
    known = np.isfinite(raw)
    missing = 1.0 - known.mean(axis=1) if raw.shape[1] else np.ones(raw.shape[0])
    total = max(1, -(-raw.shape[1] // max(1, round(fs_hz))))
    if raw.shape[1] < max(16, fs_hz):
        nothing = tuple(
            LeadQuality(name, float(share), 1.0, 0.0, 0.0, 0.0, 0.0, 0.0)
            for name, share in zip(leads, missing, strict=True)
        )
        return nothing, np.zeros((raw.shape[0], total), dtype=bool)
    values = raw if known.all() else np.stack([without_gaps(row) for row in raw])
    seconds = _per_second(values, known, fs_hz)
    spectrum = _spectrum(values, fs_hz)
    beats, noise_of, noise = _beats_and_noise(spectrum)
    snr = 20 * np.log10(np.maximum(beats, 1e-6) / np.maximum(noise * _PEAK_TO_PEAK, 1e-6))
    flat = (seconds.swing < FLAT_MV).mean(axis=1)
    wander, mains = np.ptp(seconds.level, axis=1), _mains_mv(spectrum)
    stuck = _saturated_share(values, fs_hz)
    measured = tuple(
        LeadQuality(name, *(float(of[n]) for of in (missing, flat, stuck, wander, mains, noise, snr)))
        for n, name in enumerate(leads)
    )
    return measured, _usable(seconds, noise_of, beats, total)


_PEAK_TO_PEAK: Final = 2.83
"""A sine's peak to peak over its rms."""
_LOUD_TIMES: Final = 6.0
"""A second whose swing is this many times the lead's usual one, and 5 mV, is a jump of the electrode (ours)."""
_LOUD_MV: Final = 5.0


def _usable(seconds: _Seconds, noise_mv: Samples, beats_mv: Samples, total: int) -> npt.NDArray[np.bool_]:
    """bool [lead, total]: known, moving, not at the recorder's limit, not buried in noise, without an electrode's jump.

    A second without a beat (a pause) moves less than a quiet one; only what hardly moves at all is taken for no contact,
    and only in its neighbourhood: a flat second between two that move is a pause.
    """
    flat = seconds.swing < FLAT_MV
    alone = flat.copy()
    alone[:, 1:] &= ~flat[:, :-1]
    alone[:, :-1] &= ~flat[:, 1:]
    buried = (noise_mv >= _NOISY_MV) & (
        20 * np.log10(np.maximum(beats_mv[:, None], 1e-6) / np.maximum(noise_mv * _PEAK_TO_PEAK, 1e-6)) < _USELESS_DB
    )
    usual = np.median(seconds.swing, axis=1, keepdims=True)
    jumps = (seconds.swing > _LOUD_TIMES * usual) & (seconds.swing > _LOUD_MV)
    fit = (seconds.is_known_share >= 0.5) & (seconds.stuck_share < 0.1) & ~buried & ~jumps & (~flat | alone)
    if fit.shape[1] >= total:
        return fit
    return np.concatenate([fit, np.repeat(fit[:, -1:], total - fit.shape[1], axis=1)], axis=1)


def _windows(values: Samples, fs_hz: float, seconds: float = 1.0) -> Samples:
    """[lead, window, sample]: whole windows of that length."""
    length = max(2, round(seconds * fs_hz))
    whole = values.shape[1] // length
    return values[:, : whole * length].reshape(values.shape[0], whole, length)


def _per_second(values: Samples, known: npt.NDArray[np.bool_], fs_hz: float) -> _Seconds:
    windows = _windows(values, fs_hz)
    high, low = windows.max(axis=2), windows.min(axis=2)
    middle = np.median(values[:, :: max(1, values.shape[1] // 2000)], axis=1)[:, None]
    top, bottom = values.max(axis=1)[:, None], values.min(axis=1)[:, None]
    stuck = np.zeros_like(high)
    for limit, reached in ((top, high), (bottom, low)):
        suspect = (np.abs(limit - middle) >= _SATURATED_MV) & (np.abs(reached - limit) < 1e-6)
        for lead, second in zip(*np.nonzero(suspect), strict=True):
            stuck[lead, second] += float((np.abs(windows[lead, second] - limit[lead, 0]) < 1e-6).mean())
    share = np.ones_like(high) if known.all() else _windows(known.astype(np.float64), fs_hz).mean(axis=2)
    thin = windows[
        :, :, :: max(1, windows.shape[2] // 50)
    ]  # the level of a second needs no more than 50 of its samples
    return _Seconds(share, high - low, np.median(thin, axis=2), stuck)


def _saturated_share(values: Samples, fs_hz: float) -> Samples:
    """[lead]: the share of samples in runs at the highest or lowest value, where that's far from the middle."""
    middle = np.median(values[:, :: max(1, values.shape[1] // 2000)], axis=1)
    shortest = max(3, int(_SATURATED_RUN_S * fs_hz))
    share = np.zeros(values.shape[0])
    for limits in (values.max(axis=1), values.min(axis=1)):
        for lead in np.flatnonzero(np.abs(limits - middle) >= _SATURATED_MV):
            at_limit = np.abs(values[lead] - limits[lead]) < 1e-6
            edges = np.flatnonzero(np.diff(np.concatenate([[False], at_limit, [False]]).astype(np.int8)))
            runs = edges[1::2] - edges[::2]
            share[lead] += float(runs[runs >= shortest].sum()) / values.shape[1]
    return share


@dataclass(frozen=True, slots=True)
class _Spectrum:
    """of: complex [lead, k] at ``hz`` [k], of ``points`` samples at ``fs_hz``; the first ``length`` are the recording."""

    of: npt.NDArray[np.complex64]
    hz: Samples
    fs_hz: float
    points: int
    length: int

    def between(self, low_hz: float, high_hz: float, every: int = 1) -> npt.NDArray[np.float32]:
        """[lead, sample] of what lies between, at the rate over ``every``.  Butterworth's gain of second order, squared."""
        gain = filters.butterworth_gain(self.hz, low_hz, high_hz).astype(np.float32)
        kept = self.points // every // 2 + 1
        part = self.of[:, :kept] * (gain[:kept] / every)
        return _fft().irfft(part, self.points // every, axis=1)[:, : self.length // every]

    def hann(self) -> Samples:
        """[lead, k]: the magnitudes that a Hann window would give, mV: a window is a sum of three neighbours."""
        windowed = self.of.copy()
        windowed[:, 1:-1] -= (self.of[:, :-2] + self.of[:, 2:]) / 2
        return np.abs(windowed).astype(np.float64) * (2 / self.length)


def _fft() -> Any:
    """scipy.fft, loaded when a signal comes rather than when a door starts."""
    from scipy import fft

    return fft


def _spectrum(values: Samples, fs_hz: float) -> _Spectrum:
    """At 250 Hz or the recording's own rate where that's less; a straight line between the ends is taken off first."""
    step = max(1, int(fs_hz // _NOISE_HZ))
    length = values.shape[1] // step
    thin = values[:, : length * step].reshape(values.shape[0], length, step).mean(axis=2) if step > 1 else values
    first, last = thin[:, :1], thin[:, -1:]
    level = thin - (first + (last - first) * (np.arange(length) / max(1, length - 1)))
    points = 2 * int(_fft().next_fast_len(-(-length // 2), real=True))
    of = _fft().rfft(level.astype(np.float32), points, axis=1)
    hz = np.arange(points // 2 + 1, dtype=np.float64) * (fs_hz / step / points)
    return _Spectrum(of, hz, fs_hz / step, points, length)


def _beats_and_noise(spectrum: _Spectrum) -> tuple[Samples, Samples, Samples]:
    """QRS height [lead] peak to peak, noise [lead, second] and [lead] rms, mV.

    Height: of what a QRS leaves between 5 and 40 Hz, the middle of all windows of 2 s.  Noise: rms of what is left above
    5 Hz in the quieter half of 100 ms windows (between the beats), of each second and of all.
    """
    fs = spectrum.fs_hz
    fine = spectrum.between(5.0, min(100.0, 0.45 * fs)).astype(np.float64)
    every = 2 if fs >= 200 and spectrum.points % 4 == 0 else 1
    smooth = spectrum.between(5.0, 40.0, every).astype(np.float64)
    two = _windows(smooth, fs / every, min(2.0, spectrum.length / fs))
    height = np.median(two.max(axis=2) - two.min(axis=2), axis=1)
    tenths = _windows(fine, fs, 0.1)
    rms = np.sqrt(np.maximum(np.square(tenths).mean(axis=2) - np.square(tenths.mean(axis=2)), 0.0))
    whole = rms.shape[1] // 10
    seconds = np.sort(rms[:, : whole * 10].reshape(rms.shape[0], whole, 10), axis=2)[:, :, 2]
    quiet = np.sort(rms, axis=1)[:, : max(1, rms.shape[1] // 2)]
    return height, seconds, np.median(quiet, axis=1)


def _mains_mv(spectrum: _Spectrum) -> Samples:
    """[lead] peak to peak of the line at 50 or 60 Hz, whichever is more, above its neighbours; 0 below 130 Hz."""
    magnitude, hz = spectrum.hann(), spectrum.hz
    highest = np.zeros(magnitude.shape[0])
    if spectrum.fs_hz < 130:
        return highest
    for mains_hz in (50.0, 60.0):
        apart = np.abs(hz - mains_hz)
        beside = magnitude[:, (apart > 1.5) & (apart < 5.0)]
        if beside.shape[1]:
            line = magnitude[:, apart <= 0.5].max(axis=1, initial=0.0)
            highest = np.maximum(highest, line - 2 * np.median(beside, axis=1))
    return 2 * highest


_NOTHING_USABLE: Final = Reason(
    "no_usable_lead",
    zh="没有一个导联可用。",
    en="No lead is usable.",
)


def _reasons(measured: Sequence[LeadQuality]) -> tuple[Reason, ...]:
    def named(wanted: Sequence[bool]) -> str:
        return ", ".join(q.lead for q, is_wanted in zip(measured, wanted, strict=True) if is_wanted)

    off = named([q.is_off for q in measured])
    saturated = named([q.is_saturated and not q.is_off for q in measured])
    noisy = named([q.is_noisy and not q.is_off and not q.is_saturated for q in measured])
    wander = named([q.wander_mv >= _WANDER_MV and not q.is_off for q in measured])
    mains = named([q.mains_mv >= _MAINS_MV and not q.is_off for q in measured])
    found = (
        (off, "lead_off", f"导联脱落或无信号：{off}。", f"Lead off or without signal: {off}."),
        (saturated, "saturated", f"信号超出量程：{saturated}。", f"Out of the recorder's range: {saturated}."),
        (noisy, "noise", f"噪声较大：{noisy}。", f"Noisy: {noisy}."),
        (wander, "baseline_wander", f"基线漂移：{wander}。", f"Baseline wander: {wander}."),
        (mains, "mains", f"工频干扰：{mains}。", f"Mains interference: {mains}."),
    )
    return tuple(Reason(code, zh, en) for leads, code, zh, en in found if leads)
