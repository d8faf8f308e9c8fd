"""What earlier stages would find in a made rhythm if they were perfect: for the rules of rhythm by themselves."""

from __future__ import annotations

import numpy as np

from ecg.atrial import Atrial
from ecg.marks import Beats, Mark, Waves
from ecg.strip import Strip
from tests.makers.rhythms import RhythmTruth


def known_stages(strip: Strip, truth: RhythmTruth) -> tuple[Beats, Waves, Atrial]:
    """Beats, waves and atrial evidence by the truth."""
    hz = strip.fs_hz
    at = np.rint(truth.at_s * hz).astype(np.int64)
    names = sorted(set(truth.kinds))
    family = np.array([names.index(kind) for kind in truth.kinds], dtype=np.int64)
    beats = Beats(at, truth.kinds, family, 0, np.full(at.size, 0.95), np.rint(truth.spikes_s * hz).astype(np.int64))
    overall = truth.marks_s * hz
    there = np.isfinite(overall[:, Mark.P_PEAK])
    waves = Waves(overall, np.repeat(overall[None], len(strip.leads), axis=0), there.astype(np.float64))
    return beats, waves, _atrial(truth, beats, waves, hz)


def _atrial(truth: RhythmTruth, beats: Beats, waves: Waves, hz: float) -> Atrial:
    p = truth.p_s * hz
    owner = np.full(p.size, -1, dtype=np.int64)
    peaks = waves.overall[:, Mark.P_PEAK]
    for k in np.flatnonzero(np.isfinite(peaks)).tolist():
        owner[int(np.argmin(np.abs(p - peaks[k])))] = k
    pp = np.diff(truth.p_s)
    rr = np.diff(beats.at) / hz
    irregular = float(np.median(np.abs(np.diff(rr))) / rr.mean()) if rr.size > 2 else 0.0
    there = np.isfinite(peaks)
    pr = (waves.overall[there, Mark.QRS_ON] - peaks[there]) * 1000.0 / hz
    return Atrial(
        p_evidence=there.astype(np.float64),
        p_samples=p,
        p_beat=owner,
        pp_ms=1000.0 * float(np.median(pp)) if pp.size > 1 else float("nan"),
        pp_spread=float(np.median(np.abs(pp - np.median(pp))) / np.median(pp)) if pp.size > 1 else float("nan"),
        pr_spread_ms=float(pr.std()) if pr.size > 2 else float("nan"),
        p_coherence=float(np.isfinite(pr).any()) * float(truth.atrial == "p"),
        rr_irregularity=irregular,
        f_hz=truth.atrial_rate / 60.0 if truth.atrial_rate else float("nan"),
        f_concentration=0.6 if truth.atrial_rate else 0.0,
        f_mv=0.05 if truth.atrial_rate else 0.0,
        af_probability=0.95 if truth.atrial == "fibrillation" else 0.02,
        flutter_probability=0.95 if truth.atrial == "flutter" else 0.02,
    )
