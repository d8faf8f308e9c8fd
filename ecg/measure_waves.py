"""Q, R, S, ST, P and T of one lead of the median beat: amplitudes, durations, areas."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt

from ecg.strip import Samples

LEAST_MV: Final = 0.02
"""The smallest wave that counts: 20 uV for 6 ms (CSE working party 1985; IEC 60601-2-25)."""
LEAST_MS: Final = 6.0
_STILL_MV: Final = 0.008
_NOISE_TIMES: Final = 4.0
"""A wave also stands this far above the median beat's own noise (ours)."""
_LAST_SHARE: Final = 0.3
_NOTCH_MV: Final = 0.05
_NOTCH_SHARE: Final = 0.05
"""A notch turns by at least 0.05 mV and a twentieth of the QRS (ours)."""


@dataclass(frozen=True, slots=True)
class Deflection:
    """A part of the QRS on one side of the line.  peak_mv: signed.  start, end, peak: samples of the beat."""

    peak_mv: float
    start: float
    end: float
    peak: float

    def lasts_ms(self, fs_hz: float) -> float:
        return (self.end - self.start) * 1000 / fs_hz


def deflections(row: Samples, on: float, off: float, fs_hz: float, noise_mv: float) -> list[Deflection]:
    """The waves of a QRS, in time.

    row: mV against the level before the QRS.  The last way to a J point that is off the line is none of them.
    """
    first, last = max(0, int(np.ceil(on - 1e-6))), min(row.size - 1, int(np.floor(off + 1e-6)))
    inside = row[first : last + 1]
    if inside.size < 3:
        return []
    least = max(LEAST_MV, _NOISE_TIMES * noise_mv)
    still = max(_STILL_MV, 1.5 * noise_mv)
    sign = (inside > still).astype(np.int8) - (inside < -still).astype(np.int8)
    edges = [0, *(np.flatnonzero(sign[1:] != sign[:-1]) + 1).tolist(), sign.size]
    runs = [(a, b) for a, b in pairwise(edges) if sign[a]]
    runs = _joined(inside, sign, runs)
    found: list[Deflection] = []
    for a, b in runs:
        peak = a + int(np.argmax(inside[a:b] * sign[a]))
        height = float(inside[peak])
        to_end = b == sign.size and abs(height) - abs(float(inside[-1])) < max(least, _LAST_SHARE * abs(height))
        if abs(height) >= least and (b - a + 1) * 1000 / fs_hz >= LEAST_MS and not to_end:
            found.append(Deflection(height, float(first + a), float(first + b - 1), float(first + peak)))
    return _stretched(found, row, on, off)


def _joined(inside: Samples, sign: npt.NDArray[np.int8], runs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Neighbouring runs of one sign as one: between them the lead only touched the line."""
    out: list[tuple[int, int]] = []
    for a, b in runs:
        if out and sign[out[-1][0]] == sign[a] and not (inside[out[-1][1] : a] * sign[a] < 0).any():
            out[-1] = (out[-1][0], b)
        else:
            out.append((a, b))
    return out


def _stretched(found: list[Deflection], row: Samples, on: float, off: float) -> list[Deflection]:
    """Their ends moved to where the lead crosses the line, or to the QRS's own ends where they lie close."""
    out: list[Deflection] = []
    for k, wave in enumerate(found):
        start = _crossing(row, int(wave.start), -1)
        end = _crossing(row, int(wave.end), +1)
        start = max(start, float(on), out[-1].end if out else float(on))
        end = min(end, float(off), found[k + 1].start if k + 1 < len(found) else off)
        out.append(Deflection(wave.peak_mv, start, end, wave.peak))
    return out


def _crossing(row: Samples, at: int, way: int) -> float:
    """Where the lead, going this way from ``at``, meets the line: by the slope of its last step, 3 samples at most."""
    there = at + way
    if not 0 <= there < row.size:
        return float(at)
    here, then = float(row[at]), float(row[there])
    fall = (here - then) * np.sign(here)
    return float(at + way * min(abs(here) / fall, 3.0)) if fall > 0 else float(at)


def qrs_values(waves: list[Deflection], on: float, fs_hz: float) -> dict[str, float]:
    """q, r, s, r', s' by their usual names, mV and ms.

    A QS (no upward wave) is told as q.  vat: QRS onset to the peak of the tallest upward wave, ms.
    """
    out: dict[str, float] = {"q_amplitude": 0.0, "r_amplitude": 0.0, "s_amplitude": 0.0}
    up = [wave for wave in waves if wave.peak_mv > 0]
    before = [wave for wave in waves if wave.peak_mv < 0 and (not up or wave.start < up[0].start)]
    after = [wave for wave in waves if wave.peak_mv < 0 and up and wave.start >= up[0].start]
    for name, of in (("q", before[:1]), ("r", up[:1]), ("s", after[:1])):
        for wave in of:
            out[f"{name}_amplitude"] = abs(wave.peak_mv)
            out[f"{name}_duration"] = wave.lasts_ms(fs_hz)
    out["r_prime"] = max((wave.peak_mv for wave in up[1:]), default=0.0)
    out["s_prime"] = max((-wave.peak_mv for wave in after[1:]), default=0.0)
    if up:
        tallest = max(up, key=lambda wave: wave.peak_mv)
        out["vat"] = float(tallest.peak - on) * 1000 / fs_hz
    return out


def qrs_sizes(mv: Samples, on: float, off: float, fs_hz: float) -> dict[str, Samples]:
    """Net area, mV.ms, and peak to peak, mV, each [lead]."""
    inside = mv[:, max(0, round(on)) : round(off) + 1]
    return {"qrs_area": inside.sum(axis=1) * 1000 / fs_hz, "qrs_peak_to_peak": inside.max(axis=1) - inside.min(axis=1)}


def notches(inside: Samples, waves: int) -> int:
    """Turns within the QRS (mV [sample]) beyond those of its waves, in pairs: a notched R turns three times, not once."""
    if inside.size < 5:
        return 0
    soft = (inside[:-2] + inside[1:-1] + inside[2:]) / 3
    rising = np.diff(soft) > 0
    turns = np.flatnonzero(rising[1:] != rising[:-1]) + 1
    levels = [float(soft[0]), *soft[turns].tolist(), float(soft[-1])]
    least = max(_NOTCH_MV, _NOTCH_SHARE * (max(levels) - min(levels)))
    kept = levels[:1]
    for level in levels[1:]:
        if len(kept) > 1 and (level - kept[-1]) * (kept[-1] - kept[-2]) > 0:
            kept[-1] = level  # further the same way
        elif abs(level - kept[-1]) >= least:
            kept.append(level)
    return max(0, (len(kept) - 2 - waves) // 2)


def st_values(mv: Samples, off: float, fs_hz: float) -> dict[str, Samples]:
    """Levels [lead] at J (the 4 ms from there), J + 40, 60, 80 ms, mV, and the slope J to J + 80 ms, mV/s.

    What the beat does not reach is left out.
    """
    out: dict[str, Samples] = {}
    for key, after_ms, wide_ms in (("st_j", 2, 2), ("st_j40", 40, 4), ("st_j60", 60, 4), ("st_j80", 80, 4)):
        at, wide = off + after_ms * fs_hz / 1000, wide_ms * fs_hz / 1000
        low, high = round(at - wide), round(at + wide)
        if low >= 0 and high < mv.shape[1]:
            out[key] = mv[:, low : high + 1].mean(axis=1)
    if "st_j80" in out:
        out["st_slope"] = (out["st_j80"] - out["st_j"]) / 0.08
    return out


def p_values(mv: Samples, on: float, off: float, fs_hz: float) -> dict[str, Samples]:
    """Highest and lowest point [lead] of the P wave against the line between its ends, mV."""
    wave = above_ends(mv, on, off, fs_hz)
    if wave is None:
        return {}
    return {"p_amplitude": np.maximum(wave.max(axis=1), 0.0), "p_negative": np.maximum(-wave.min(axis=1), 0.0)}


def above_ends(mv: Samples, on: float, off: float, fs_hz: float) -> Samples | None:
    """The P wave [lead, sample] from on to off, mV above the straight line between the levels at its ends."""
    first, last = round(on), round(off)
    if first < 0 or last >= mv.shape[1] or last - first < 4:
        return None
    wide = max(1, round(0.006 * fs_hz))
    left = mv[:, max(0, first - wide) : first + 1].mean(axis=1)[:, None]
    right = mv[:, last : last + wide + 1].mean(axis=1)[:, None]
    return mv[:, first : last + 1] - (left + (right - left) * np.linspace(0.0, 1.0, last - first + 1))


def t_values(mv: Samples, on: float, off: float) -> dict[str, Samples]:
    """Highest and lowest turning point [lead] of the T wave, mV against the level before the QRS; 0 where it has none."""
    first, last = max(0, round(on)), min(mv.shape[1] - 1, round(off))
    if last - first < 8:
        return {}
    wave = mv[:, first : last + 1]
    out: dict[str, Samples] = {}
    for key, side in (("t_amplitude", wave), ("t_negative", -wave)):
        at = side.argmax(axis=1)
        turns = (at > 1) & (at < side.shape[1] - 2)
        out[key] = np.where(turns, np.maximum(side.max(axis=1), 0.0), 0.0)
    return out
