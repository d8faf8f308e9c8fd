"""Every measurement of a recording: rate from all beats, intervals, axes and amplitudes from the median beat.

Definitions: AHA/ACC/HRS recommendations I-VI (2007-2009), CSE working party (1985) for boundaries and amplitudes,
Minnesota code for wave names.  What could not be measured is left out; nothing is told as 0 for want of it.
"""

from __future__ import annotations

from functools import cache
from typing import Final

import numpy as np

from ecg import measure_scores as scores
from ecg.marks import BeatClass, Beats, Mark, Measurements, MedianBeat, Quantity, Rhythm, Waves
from ecg.measure_waves import (
    above_ends,
    deflections,
    notches,
    p_values,
    qrs_sizes,
    qrs_values,
    st_values,
    t_values,
)
from ecg.statements import terms
from ecg.strip import Samples, Strip

REGULAR_SHARE: Final = 0.06
"""RR intervals whose middle eight tenths lie this close to their median are regular (ours)."""
AF_BEATS: Final = 10
"""QT in atrial fibrillation: the mean of ten beats.  AHA/ACC/HRS part IV (2009)."""
_IRREGULAR: Final = frozenset(terms("afib", "aflutter"))
_SPREAD_MS: Final = {"p": 20.0, "qrs": 14.0, "t": 40.0}
"""Scatter of the leads' own marks at which half of the certainty is gone (ours; CSE readers: 5, 6, 15 ms)."""
_UNITS: Final = {
    "_amplitude": "mV",
    "_negative": "mV",
    "_prime": "mV",
    "_duration": "ms",
    "vat": "ms",
    "qrs_area": "mV.ms",
    "st_slope": "mV/s",
    "st_j": "mV",
    "notches": "1",
    "peak_to_peak": "mV",
}


def measure(strip: Strip, beats: Beats, waves: Waves, median: MedianBeat, rhythm: Rhythm) -> Measurements:
    """All that can be measured, by key and by lead.  Certainty: leads that agree, noise, number of beats."""
    values = _rates(strip, beats, rhythm)
    if median.beats == 0 or median.mv.shape[1] < 8:
        return Measurements(values, {})
    noise = _noise_mv(median)
    by_lead = _by_lead(median, noise)
    intervals = _intervals(median, beats, waves, rhythm)
    values |= intervals | _corrected(intervals, values)
    values |= _axes(median)
    values |= _scores(median, by_lead, values)
    return Measurements(
        values, {name: _quantities(of, median, float(noise[n])) for n, (name, of) in enumerate(by_lead.items())}
    )


# ------------------------------------------------------------------------------------------------ rate


def _rates(strip: Strip, beats: Beats, rhythm: Rhythm) -> dict[str, Quantity]:
    """Rates /min, RR ms.  A regular rhythm's rate is that of its middle RR, any other's that of the mean."""
    out: dict[str, Quantity] = {}
    if rhythm.atrial_rate is not None:
        out["atrial_rate"] = Quantity(rhythm.atrial_rate, "/min", 0.8)
    rr = _rr_ms(strip, beats)
    if not rr.size:
        if rhythm.ventricular_rate is not None:
            out["heart_rate"] = Quantity(rhythm.ventricular_rate, "/min", 0.3)
        return out
    middle = float(np.median(rr))
    low, high = np.quantile(rr, (0.1, 0.9))
    is_regular = rr.size >= 2 and high - low <= 2 * REGULAR_SHARE * middle
    certainty = float(np.clip(rr.size / 5, 0.2, 1.0) * np.clip(beats.certainty.mean() + 0.2, 0.2, 1.0))
    out["heart_rate"] = Quantity(60000 / (middle if is_regular else float(rr.mean())), "/min", certainty)
    told = {"rr_mean": rr.mean(), "rr_min": rr.min(), "rr_max": rr.max()}
    told |= {"rr_sd": rr.std(ddof=1)} if rr.size > 1 else {}
    return out | {key: Quantity(float(value), "ms", certainty) for key, value in told.items()}


def _rr_ms(strip: Strip, beats: Beats) -> Samples:
    """The RR intervals, ms, without those that lie over a gap in all leads."""
    rr = np.diff(beats.at) * 1000 / strip.fs_hz
    if strip.is_known.all() or not rr.size:
        return rr
    dark = np.cumsum(np.append(0, ~strip.is_known.any(axis=0)))
    return rr[dark[beats.at[1:]] - dark[beats.at[:-1]] <= 0.2 * strip.fs_hz]


# ------------------------------------------------------------------------------------------------ intervals


def _intervals(median: MedianBeat, beats: Beats, waves: Waves, rhythm: Rhythm) -> dict[str, Quantity]:
    """P, PR, QRS, QT in ms, from the overall boundaries of the median beat."""
    at, to_ms = median.overall, 1000 / median.fs_hz
    sure = _certainties(median, beats, waves)
    pairs = {
        "p_duration": (Mark.P_ON, Mark.P_OFF, sure["p"]),
        "pr_interval": (Mark.P_ON, Mark.QRS_ON, sure["p"]),
        "pr_segment": (Mark.P_OFF, Mark.QRS_ON, sure["p"]),
        "qrs_duration": (Mark.QRS_ON, Mark.QRS_OFF, sure["qrs"]),
        "qt_interval": (Mark.QRS_ON, Mark.T_OFF, sure["t"]),
        "qt_peak": (Mark.QRS_ON, Mark.T_PEAK, sure["t"]),
        "jt_interval": (Mark.QRS_OFF, Mark.T_OFF, sure["t"]),
    }
    out = {
        key: Quantity(float(at[last] - at[first]) * to_ms, "ms", certainty)
        for key, (first, last, certainty) in pairs.items()
        if np.isfinite(at[first]) and np.isfinite(at[last])
    }
    tangent = _tangent_end(median)
    if tangent is not None:
        out["qt_tangent"] = Quantity((tangent - float(at[Mark.QRS_ON])) * to_ms, "ms", sure["t"])
    if any(statement.key in _IRREGULAR for statement in rhythm.statements):
        out |= _mean_qt(beats, waves, to_ms, sure["t"])
    return out


def _certainties(median: MedianBeat, beats: Beats, waves: Waves) -> dict[str, float]:
    """0..1 for P, QRS and T: how close the leads' own ends lie, how many beats there were, whether P is there."""
    count = 1.0 - 0.4 / median.beats
    out: dict[str, float] = {}
    for name, first, last in (
        ("p", Mark.P_ON, Mark.P_OFF),
        ("qrs", Mark.QRS_ON, Mark.QRS_OFF),
        ("t", Mark.T_OFF, Mark.T_OFF),
    ):
        scatter = [_scatter_ms(median.by_lead[:, mark], median.fs_hz) for mark in {first, last}]
        out[name] = count / (1.0 + (float(np.mean(scatter)) / _SPREAD_MS[name]) ** 2)
    own = beats.family == beats.dominant
    out["p"] *= float(waves.p_certainty[own].mean()) if own.any() else 0.0
    return out


def _scatter_ms(marks: Samples, fs_hz: float) -> float:
    """Half the middle half's width, ms; a single lead has nobody to agree with: 10 ms."""
    there = np.sort(marks[np.isfinite(marks)])
    if there.size < 2:
        return 10.0
    low, high = there[there.size // 4], there[-1 - there.size // 4]
    return float(high - low) / 2 * 1000 / fs_hz


def _mean_qt(beats: Beats, waves: Waves, to_ms: float, certainty: float) -> dict[str, Quantity]:
    """QT as the mean over ten beats that are not ventricular, where half of them at least have one."""
    chosen = np.flatnonzero(~beats.where(BeatClass.VENTRICULAR, BeatClass.PACED))[:AF_BEATS]
    qt = (waves.overall[chosen, Mark.T_OFF] - waves.overall[chosen, Mark.QRS_ON]) * to_ms
    qt = qt[np.isfinite(qt)]
    if qt.size < 5 or 2 * qt.size < chosen.size:
        return {}
    return {"qt_interval": Quantity(float(qt.mean()), "ms", 0.8 * certainty)}


def _tangent_end(median: MedianBeat) -> float | None:
    """Where the steepest tangent of the T wave's end meets the line, samples; in II, V5 or the lead with most T.

    Lepeschkin and Surawicz 1952; leads as in AHA/ACC/HRS part IV (2009).
    """
    peak, end = median.overall[Mark.T_PEAK], median.overall[Mark.T_OFF]
    if not (np.isfinite(peak) and np.isfinite(end) and np.isfinite(median.overall[Mark.QRS_ON])):
        return None
    fs = median.fs_hz
    first, last = max(0, round(peak - 0.06 * fs)), min(median.mv.shape[1], round(end + 0.02 * fs))
    if last - first < 0.04 * fs:
        return None
    heights = np.abs(median.mv[:, first:last]).max(axis=1)
    preferred = [n for n, name in enumerate(median.leads) if name in ("II", "V5") and heights[n] >= 0.15]
    row = median.mv[max(preferred, key=lambda n: heights[n]) if preferred else int(heights.argmax())]
    top = first + int(np.abs(row[first:last]).argmax())
    half = max(1, round(0.008 * fs))
    centres = np.arange(top + half, min(last, row.size - half))
    if centres.size < 3:
        return None
    slope = (row[centres + half] - row[centres - half]) / (2 * half) * np.sign(row[top])
    steepest = int(slope.argmin())
    if slope[steepest] >= 0:
        return None
    at = int(centres[steepest])
    meets = float(at + row[at] * np.sign(row[top]) / -slope[steepest])
    return meets if meets < row.size + 0.1 * fs else None


def _corrected(intervals: dict[str, Quantity], rates: dict[str, Quantity]) -> dict[str, Quantity]:
    """QT corrected for rate, ms, RR in s: Fridericia 1920, Bazett 1920, Framingham (Sagie 1992), Hodges 1983."""
    qt, rate = intervals.get("qt_interval"), rates.get("heart_rate")
    if qt is None or rate is None:
        return {}
    rr = 60 / rate.value
    formulas = {
        "qtc_fridericia": qt.value / rr ** (1 / 3),
        "qtc_bazett": qt.value / rr**0.5,
        "qtc_framingham": qt.value + 154 * (1 - rr),
        "qtc_hodges": qt.value + 1.75 * (rate.value - 60),
    }
    return {key: Quantity(value, "ms", min(qt.certainty, rate.certainty)) for key, value in formulas.items()}


# ------------------------------------------------------------------------------------------------ axes


def _axes(median: MedianBeat) -> dict[str, Quantity]:
    """P, QRS and T axis in the frontal plane, degrees (-180..180), by the net areas in I and aVF.

    aVF is a goldberger lead, sqrt(3)/2 of a bipolar one: so a QRS that is isoelectric in II lies at -30 or 150.
    """
    frontal = _frontal(median)
    if frontal is None:
        return {}
    out: dict[str, Quantity] = {}
    for key, first, last in (
        ("p_axis", Mark.P_ON, Mark.P_OFF),
        ("qrs_axis", Mark.QRS_ON, Mark.QRS_OFF),
        ("t_axis", Mark.T_ON, Mark.T_OFF),
    ):
        on, off = median.overall[first], median.overall[last]
        if not (np.isfinite(on) and np.isfinite(off)):
            continue
        part = frontal[:, max(0, round(on)) : round(off) + 1]
        if key == "p_axis":
            part = above_ends(frontal, on, off, median.fs_hz)
        axis = None if part is None else _axis(part, median.fs_hz)
        if axis is not None:
            out[key] = axis
    if "qrs_axis" in out and "t_axis" in out:
        apart = abs(out["qrs_axis"].value - out["t_axis"].value) % 360
        sure = min(out["qrs_axis"].certainty, out["t_axis"].certainty)
        out["qrs_t_angle"] = Quantity(min(apart, 360 - apart), "deg", sure)
    return out


def _frontal(median: MedianBeat) -> Samples | None:
    """I and aVF [2, sample]; None where they cannot be had."""
    rows = dict(zip(median.leads, median.mv, strict=True))
    if "I" in rows and "aVF" in rows:
        return np.stack([rows["I"], rows["aVF"]])
    if "I" in rows and "II" in rows:
        return np.stack([rows["I"], rows["II"] - rows["I"] / 2])
    return None


def _axis(part: Samples, fs_hz: float) -> Quantity | None:
    """None where the net vector is less than a twentieth of what the leads move: it has no direction."""
    if not part.size:
        return None
    x, y = part.sum(axis=1) / fs_hz
    y *= 2 / np.sqrt(3)
    moved = float(np.hypot(*np.abs(part).sum(axis=1))) / fs_hz
    size = float(np.hypot(x, y))
    if moved <= 0 or size < 0.05 * moved:
        return None
    return Quantity(float(np.degrees(np.arctan2(y, x))), "deg", min(1.0, size / moved / 0.4))


# ------------------------------------------------------------------------------------------------ by lead


def _noise_mv(median: MedianBeat) -> Samples:
    """Rms of the median beat's fast noise by lead: from second differences in its quieter half, mV."""
    bend = np.abs(np.diff(median.mv, 2, axis=1))
    quiet = np.median(bend, axis=1)
    return quiet / 0.6745 / np.sqrt(6)


def _by_lead(median: MedianBeat, noise_mv: Samples) -> dict[str, dict[str, float]]:
    """{lead: {key: value}} from the overall boundaries; a lead without signal has no keys."""
    fs, mv = median.fs_hz, median.mv
    p_on, p_off = median.overall[Mark.P_ON], median.overall[Mark.P_OFF]
    on, off = median.overall[Mark.QRS_ON], median.overall[Mark.QRS_OFF]
    t_on, t_off = median.overall[Mark.T_ON], median.overall[Mark.T_OFF]
    has_qrs = bool(np.isfinite(on) and np.isfinite(off) and max(0.0, on) <= off and on < mv.shape[1] - 1)
    columns: dict[str, Samples] = {}
    if has_qrs:
        columns |= qrs_sizes(mv, on, off, fs) | st_values(mv, off, fs)
    if np.isfinite(p_on) and np.isfinite(p_off):
        columns |= p_values(mv, p_on, p_off, fs)
        columns["p_duration"] = (median.by_lead[:, Mark.P_OFF] - median.by_lead[:, Mark.P_ON]) * 1000 / fs
    if np.isfinite(t_off) and np.isfinite(off):
        columns |= t_values(mv, t_on if np.isfinite(t_on) else off + 0.04 * fs, t_off)
    out: dict[str, dict[str, float]] = {}
    for n, name in enumerate(median.leads):
        lead: dict[str, float] = {}
        if mv[n].any():
            if has_qrs:
                waves = deflections(mv[n], on, off, fs, float(noise_mv[n]))
                lead |= qrs_values(waves, on, fs)
                lead["notches"] = float(notches(mv[n, max(0, round(on)) : round(off) + 1], len(waves)))
            lead |= {key: float(column[n]) for key, column in columns.items() if np.isfinite(column[n])}
        out[name] = lead
    return out


def _quantities(of: dict[str, float], median: MedianBeat, noise_mv: float) -> dict[str, Quantity]:
    """With unit and certainty: 0.02 mV of noise leaves half (ours)."""
    count = 1.0 - 0.4 / median.beats
    certainty = float(count / (1.0 + (noise_mv / 0.02) ** 2))
    return {key: Quantity(value, _unit(key), certainty) for key, value in of.items()}


@cache
def _unit(key: str) -> str:
    return next(unit for part, unit in _UNITS.items() if part in key)


# ------------------------------------------------------------------------------------------------ scores


def _scores(median: MedianBeat, leads: dict[str, dict[str, float]], values: dict[str, Quantity]) -> dict[str, Quantity]:
    qrs, axis = values.get("qrs_duration"), values.get("qrs_axis")
    qrs_ms = qrs.value if qrs else None
    sure = qrs.certainty if qrs else 0.5
    out = {
        key: Quantity(value, "mV.ms" if key.endswith("product") else "mV", sure)
        for key, value in scores.voltages(leads, qrs_ms).items()
    }
    depth, lasts = _p_terminal(median)
    if depth is not None:
        p_sure = values["p_duration"].certainty if "p_duration" in values else 0.3
        out["p_terminal_force_v1"] = Quantity(depth * lasts, "mV.ms", p_sure)
    points = {
        "romhilt_estes": scores.romhilt_estes(leads, qrs_ms, axis.value if axis else None, depth or 0.0, lasts),
        "sgarbossa": scores.sgarbossa(leads, qrs_ms),
    }
    return out | {key: Quantity(value, "1", sure) for key, value in points.items() if value is not None}


def _p_terminal(median: MedianBeat) -> tuple[float | None, float]:
    """Depth (mV) and length (ms) of the P wave's last negative part in V1, (None, 0) with no P or V1.  Morris 1964."""
    on, off = median.overall[Mark.P_ON], median.overall[Mark.P_OFF]
    if "V1" not in median.leads or not (np.isfinite(on) and np.isfinite(off)):
        return None, 0.0
    row = median.leads.index("V1")
    above = above_ends(median.mv[row : row + 1], on, off, median.fs_hz)
    if above is None:
        return None, 0.0
    wave = above[0]
    below = wave < -0.005
    if not below[wave.size // 2 :].any():
        return 0.0, 0.0
    bottom = wave.size // 2 + int(wave[wave.size // 2 :].argmin())
    above_before = np.flatnonzero(wave[:bottom] >= 0)
    start = int(above_before[-1]) + 1 if above_before.size else 0
    return float(-wave[bottom]), (wave.size - 1 - start) * 1000 / median.fs_hz
