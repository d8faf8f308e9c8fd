"""How well a recording can be read: each lead by itself, then the whole.

All thresholds are ours, set on made recordings and looked at on LUDB and PTB-XL; they'll be measured with the engine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from center.reads import Reason


def _dsp() -> Any:
    """scipy.signal, which carries no types; loading it costs a second that a door's start need not wait for."""
    from scipy import signal

    return signal


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
    """The whole recording's grade, its leads, and why it isn't good."""

    grade: Grade
    leads: tuple[LeadQuality, ...]
    reasons: tuple[Reason, ...]

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
    measured = tuple(_lead_quality(name, row, fs_hz) for name, row in zip(leads, head, strict=True))
    reasons = _reasons(measured)
    usable = sum(1 for q in measured if q.is_usable)
    if not usable or usable < len(measured) / 3:
        return SignalQuality(Grade.POOR, measured, reasons or (_NOTHING_USABLE,))
    grade = Grade.GOOD if all(q.is_clean for q in measured) else Grade.LIMITED
    return SignalQuality(grade, measured, reasons)


def without_gaps(values: npt.NDArray[np.floating]) -> Samples:
    """The same lead with its gaps bridged by straight lines, so that filters can pass; zeros where all is gap."""
    values = np.asarray(values, dtype=np.float64)
    known = np.isfinite(values)
    if known.all():
        return values
    if not known.any():
        return np.zeros_like(values)
    return np.interp(np.arange(values.size), np.flatnonzero(known), values[known])


def _lead_quality(name: str, row: Samples, fs_hz: float) -> LeadQuality:
    missing = float(np.mean(~np.isfinite(row))) if row.size else 1.0
    values = without_gaps(row)
    if values.size < max(16, fs_hz):
        return LeadQuality(name, missing, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    noise = _noise_mv(values, fs_hz)
    beat = _beat_height_mv(values, fs_hz)
    return LeadQuality(
        lead=name,
        missing_share=missing,
        flat_share=_flat_share(values, fs_hz),
        saturated_share=_saturated_share(values, fs_hz),
        wander_mv=_wander_mv(values, fs_hz),
        mains_mv=_mains_mv(values, fs_hz),
        noise_mv=noise,
        snr_db=float(20 * np.log10(max(beat, 1e-6) / max(noise * 2.83, 1e-6))),  # 2.83: rms to peak to peak
    )


def _seconds(values: Samples, fs_hz: float, seconds: float = 1.0) -> Samples:
    """[window, sample]: whole windows of that length."""
    length = max(2, int(seconds * fs_hz))
    whole = values.size // length
    return values[: whole * length].reshape(whole, length)


def _flat_share(values: Samples, fs_hz: float) -> float:
    seconds = _seconds(values, fs_hz)
    return float(np.mean(seconds.max(axis=1) - seconds.min(axis=1) < FLAT_MV))


def _saturated_share(values: Samples, fs_hz: float) -> float:
    """The share of samples in runs at the highest or lowest value, where that's far from the middle."""
    middle = float(np.median(values))
    shortest = max(3, int(_SATURATED_RUN_S * fs_hz))
    share = 0.0
    for limit in (float(values.max()), float(values.min())):
        if abs(limit - middle) >= _SATURATED_MV:
            at_limit = np.abs(values - limit) < 1e-6
            edges = np.flatnonzero(np.diff(np.concatenate([[False], at_limit, [False]]).astype(np.int8)))
            runs = edges[1::2] - edges[::2]
            share += float(runs[runs >= shortest].sum()) / values.size
    return share


def _wander_mv(values: Samples, fs_hz: float) -> float:
    """How far the level moves: highest less lowest median of all seconds (a median passes over QRS and T)."""
    return float(np.ptp(np.median(_seconds(values, fs_hz), axis=1)))


def _low_passed(values: Samples, below_hz: float, fs_hz: float) -> Samples:
    sections = _dsp().butter(2, below_hz, "lowpass", fs=fs_hz, output="sos")
    return np.asarray(_dsp().sosfiltfilt(sections, values - np.median(values)), dtype=np.float64)


def _band(values: Samples, low_hz: float, high_hz: float, fs_hz: float) -> Samples:
    sections = _dsp().butter(2, (low_hz, min(high_hz, 0.45 * fs_hz)), "bandpass", fs=fs_hz, output="sos")
    return np.asarray(_dsp().sosfiltfilt(sections, values), dtype=np.float64)


def _noise_mv(values: Samples, fs_hz: float) -> float:
    """Rms of what is left above 5 Hz in the quieter half of all 100 ms windows: between the beats."""
    rms = np.std(_seconds(_band(values, 5.0, 100.0, fs_hz), fs_hz, 0.1), axis=1)
    return float(np.median(np.sort(rms)[: max(1, rms.size // 2)]))


def _beat_height_mv(values: Samples, fs_hz: float) -> float:
    """Peak to peak of what a QRS leaves between 5 and 40 Hz: the median over windows of 2 s."""
    windows = _seconds(_band(values, 5.0, 40.0, fs_hz), fs_hz, min(2.0, values.size / fs_hz))
    return float(np.median(np.ptp(windows, axis=1)))


def _mains_mv(values: Samples, fs_hz: float) -> float:
    """Peak to peak of the line at 50 or 60 Hz, whichever is more, above its neighbours; 0 below 130 Hz sampling."""
    if fs_hz < 130:
        return 0.0
    quiet = values - _low_passed(values, 20.0, fs_hz)
    spectrum = np.abs(np.fft.rfft(quiet * np.hanning(quiet.size))) * 4 / quiet.size
    frequency = np.fft.rfftfreq(quiet.size, 1 / fs_hz)
    heights: list[float] = []
    for mains_hz in (50.0, 60.0):
        line = float(spectrum[np.abs(frequency - mains_hz) <= 0.5].max(initial=0.0))
        beside = spectrum[(np.abs(frequency - mains_hz) > 1.5) & (np.abs(frequency - mains_hz) < 5.0)]
        heights.append(max(0.0, line - 2 * float(np.median(beside))) if beside.size else 0.0)
    return 2 * max(heights)


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
