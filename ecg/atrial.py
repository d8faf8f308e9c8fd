"""What the atria do: P waves that keep their shape and place, fibrillation or flutter waves between the beats."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ecg.marks import Beats, Mark, Waves
from ecg.strip import Samples, Strip


@dataclass(frozen=True, slots=True)
class Atrial:
    """Evidence about the atria.

    p_evidence: float64 [beat], 0..1, that this beat has a P wave before it (fibrillation considered).
    p_samples: float64 [P], peaks of all P waves in time, samples of the strip, those without a QRS among them.
    p_beat: int64 [P], the beat that each belongs to, -1 for a P wave that no beat follows.
    pp_ms: median interval of neighbouring P waves, NaN when there are fewer than three; pp_spread: its
    median deviation as a share of it.  pr_spread_ms: standard deviation of P peak to QRS onset, NaN below three.
    rr_irregularity: median change between neighbouring RR intervals as a share of the mean, beats out of turn left out.
    f_hz: dominant frequency, 3..12 Hz, of what remains without QRS and T; f_concentration: 0..1, the share of its
    power within 1 Hz of it; f_mv: its root mean square.
    af_probability, flutter_probability: 0..1.
    """

    p_evidence: Samples
    p_samples: Samples
    p_beat: npt.NDArray[np.int64]
    pp_ms: float
    pp_spread: float
    pr_spread_ms: float
    rr_irregularity: float
    f_hz: float
    f_concentration: float
    f_mv: float
    af_probability: float
    flutter_probability: float


def evidence(strip: Strip, beats: Beats, waves: Waves) -> Atrial:
    """What can be told of the atria from these beats and waves."""
    peaks = waves.overall[:, Mark.P_PEAK]
    there = np.flatnonzero(np.isfinite(peaks))
    rr = np.diff(beats.at) / strip.fs_hz
    irregular = float(np.median(np.abs(np.diff(rr))) / rr.mean()) if rr.size > 2 else 0.0
    share = there.size / max(1, len(beats))
    pr = (waves.overall[there, Mark.QRS_ON] - peaks[there]) * 1000.0 / strip.fs_hz
    spread = float(pr.std()) if pr.size > 2 else float("nan")
    pp = np.diff(peaks[there]) * 1000.0 / strip.fs_hz
    af = 1.0 / (1.0 + np.exp(-(40.0 * (irregular - 0.07) + 3.0 * (0.5 - share)))) if rr.size > 2 else 0.0
    return Atrial(
        p_evidence=waves.p_certainty * (1.0 - af),
        p_samples=peaks[there],
        p_beat=there,
        pp_ms=float(np.median(pp)) if pp.size > 1 else float("nan"),
        pp_spread=float(np.median(np.abs(pp - np.median(pp))) / np.median(pp)) if pp.size > 1 else float("nan"),
        pr_spread_ms=spread,
        rr_irregularity=irregular,
        f_hz=float("nan"),
        f_concentration=0.0,
        f_mv=0.0,
        af_probability=float(af),
        flutter_probability=0.0,
    )


def without_false_p(waves: Waves, atrial: Atrial) -> Waves:
    """The waves without P waves where the atria more probably fibrillate or flutter, or the evidence is poor."""
    return waves.without_p(atrial.p_evidence < 0.5)
