"""Made ECGs for the demo region and the tests: a sum of Gaussians a lead, from a seed.  Nobody's heart."""

from __future__ import annotations

from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from ecg.formats.wfdb import write_wfdb
from ecg.signal import STANDARD_LEADS, EcgSignal, Filters, derived_limb_leads

__all__ = ["EIGHT_LEADS", "make_ecg", "write_wfdb"]

EIGHT_LEADS: Final = ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")

# Height in mV of each wave in each stored lead: P, Q, R, S, T.  An adult's ordinary recording, read off by eye.
_HEIGHTS_MV: Final = {
    "I": (0.08, -0.05, 0.70, -0.12, 0.20),
    "II": (0.14, -0.07, 1.05, -0.18, 0.30),
    "V1": (0.06, 0.00, 0.22, -0.95, -0.06),
    "V2": (0.07, 0.00, 0.45, -1.35, 0.35),
    "V3": (0.08, 0.00, 0.80, -0.95, 0.45),
    "V4": (0.08, -0.05, 1.35, -0.55, 0.45),
    "V5": (0.08, -0.08, 1.25, -0.25, 0.35),
    "V6": (0.07, -0.08, 0.95, -0.10, 0.25),
}
# Middle of each wave against the R peak, and its width (one sigma), s; at 60/min.
_CENTRES_S: Final = (-0.165, -0.026, 0.0, 0.030, 0.290)
_WIDTHS_S: Final = (0.022, 0.008, 0.010, 0.011, 0.045)


def make_ecg(
    seed: int,
    *,
    heart_rate: float = 72.0,
    rhythm: Literal["sinus", "af"] = "sinus",
    noise_mv: float = 0.01,
    mains_mv: float = 0.0,
    wander_mv: float = 0.03,
    fs_hz: float = 500.0,
    seconds: float = 10.0,
    leads: tuple[str, ...] = STANDARD_LEADS,
    step_mv: float = 0.001,
    patient_id: str = "",
    patient_name: str = "",
    sex: str = "",
    age_years: float | None = None,
    recorded_at: str = "2026-03-11T02:03:11+08:00",
) -> EcgSignal:
    """A recording of P, QRS and T at that rate (beats/min); II = I + III exactly, in whole steps.

    rhythm "af": no P waves, a fibrillating baseline and irregular intervals (about 20 % of the mean).
    """
    rng = np.random.default_rng(seed)
    count = round(fs_hz * seconds)
    time_s = np.arange(count) / fs_hz
    peaks_s = _beat_times_s(rng, 60.0 / heart_rate, seconds, rhythm)
    rows: dict[str, npt.NDArray[np.float64]] = {}
    wander = wander_mv * np.sin(2 * np.pi * (0.2 * time_s + rng.random()))
    for n, lead in enumerate(EIGHT_LEADS):
        heights = np.array(_HEIGHTS_MV[lead]) * rng.normal(1.0, 0.05, 5)
        values = _beats_mv(time_s, peaks_s, heights, 60.0 / heart_rate, with_p=rhythm == "sinus")
        if rhythm == "af":
            values += (0.05 if lead in ("II", "V1") else 0.03) * np.sin(2 * np.pi * (6.1 + 0.07 * n) * time_s + n)
        values += wander + mains_mv * np.sin(2 * np.pi * 50 * time_s) + rng.normal(0.0, noise_mv, count)
        rows[lead] = 2 * np.rint(values / step_mv / 2) * step_mv  # even steps, so that aVR = -(I+II)/2 is whole too
    rows |= derived_limb_leads(rows["I"], rows["II"])
    return EcgSignal(
        leads=leads,
        samples=np.stack([np.rint(rows[lead] / step_mv) * step_mv for lead in leads]),
        fs_hz=fs_hz,
        filters=Filters(high_pass_hz=0.05, low_pass_hz=150.0),
        step_mv=(step_mv,) * len(leads),
        patient_id=patient_id,
        patient_name=patient_name,
        sex=sex,
        age_years=age_years,
        recorded_at=recorded_at,
        device="Helan generator",
        source_format="made",
    )


def _beat_times_s(rng: np.random.Generator, interval_s: float, seconds: float, rhythm: str) -> npt.NDArray[np.float64]:
    """When each R peak is, s; one interval beyond both ends, so that no wave is cut there."""
    count = int(seconds / interval_s) + 4
    if rhythm == "af":
        intervals = interval_s * np.clip(rng.normal(1.0, 0.22, count), 0.6, 1.6)
        intervals *= interval_s / float(np.median(intervals))  # the rate that was asked for is the median's
    else:
        intervals = interval_s * (1.0 + 0.01 * rng.standard_normal(count))
    return np.cumsum(intervals) - interval_s * (1.0 + float(rng.random()))


def _beats_mv(
    time_s: npt.NDArray[np.float64],
    peaks_s: npt.NDArray[np.float64],
    heights_mv: npt.NDArray[np.float64],
    interval_s: float,
    *,
    with_p: bool,
) -> npt.NDArray[np.float64]:
    """The sum of all waves, mV [sample]; P and T come closer to the QRS as the rate rises (square root, Bazett)."""
    out = np.zeros_like(time_s)
    shrink = float(np.sqrt(min(1.0, interval_s)))
    for wave, (height, centre, width) in enumerate(zip(heights_mv, _CENTRES_S, _WIDTHS_S, strict=True)):
        if wave == 0 and not with_p:
            continue
        scale = shrink if wave in (0, 4) else 1.0
        for peak in peaks_s + centre * scale:
            near = slice(*np.searchsorted(time_s, (peak - 5 * width, peak + 5 * width)))
            out[near] += height * np.exp(-0.5 * ((time_s[near] - peak) / (width * scale)) ** 2)
    return out
