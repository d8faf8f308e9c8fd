"""What the atria do: made rhythms, and recordings with their statements."""

from __future__ import annotations

import json

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest

from center.reads import SignalInput
from ecg import beats as classes
from ecg import qrs
from ecg.atrial import Atrial, evidence, without_false_p
from ecg.marks import BeatClass, Beats, Mark
from ecg.signal import STANDARD_LEADS, derived_limb_leads
from ecg.strip import Samples, Strip, strip_of
from ecg.waves import delineate
from tests.ecg.test_waves import LEADS, P_GAIN, R_GAIN, T_GAIN, beats, hump, made, strip
from tests.ecgx import packs
from tests.outside import outside_data

HZ = 500.0
F_GAIN = np.array([0.3, 1.0, 0.7, -0.6, 0.2, 0.8, 1.2, 0.7, 0.4, 0.3, 0.3, 0.2])


def rhythm(peaks_s: Samples, p_s: Samples, f_mv: float = 0.0, f_hz: float = 6.0, seed: int = 0) -> Strip:
    """12 leads of 10 s: QRS and T at these R peaks, P waves with these middles, f waves of this height and rate."""
    t = np.arange(int(10 * HZ)) / HZ
    rng = np.random.default_rng(seed)
    mv = rng.normal(0.0, 0.006, (12, t.size))
    for r in peaks_s:
        qrs_shape = (
            hump(t, r - 0.03, r + 0.03) - 0.25 * hump(t, r - 0.044, r - 0.016) - 0.3 * hump(t, r + 0.012, r + 0.046)
        )
        mv += R_GAIN[:, None] * qrs_shape + T_GAIN[:, None] * hump(t, r + 0.14, r + 0.38)
    for p in p_s:
        mv += P_GAIN[:, None] * hump(t, p - 0.055, p + 0.055)
    drift = np.cumsum(rng.normal(0.0, 0.02, t.size))
    mv += F_GAIN[:, None] * f_mv * np.sin(2 * np.pi * f_hz * t + drift)
    return strip(mv)


def irregular(seed: int = 3) -> Samples:
    steps = np.random.default_rng(seed).uniform(0.45, 1.05, 20)
    peaks = 0.4 + np.cumsum(steps)
    return peaks[peaks < 9.5]


def seen(recording: Strip, peaks_s: Samples) -> Atrial:
    found = beats(np.rint(peaks_s * HZ).astype(np.int64))
    return evidence(recording, found, delineate(recording, found))


def test_sinus_rhythm_has_a_p_before_each_beat_and_does_not_fibrillate() -> None:
    mv, at = made()
    found = beats(at)
    atria = evidence(strip(mv), found, delineate(strip(mv), found))
    assert (atria.p_evidence[1:] > 0.5).all() and atria.af_probability < 0.2 and atria.flutter_probability < 0.2
    assert atria.p_coherence > 0.8 and abs(atria.pp_ms - 850) < 8 and atria.pp_spread < 0.02
    assert (atria.p_beat >= 0).all()


def test_irregular_beats_with_f_waves_fibrillate_and_show_no_p() -> None:
    peaks = irregular()
    recording = rhythm(peaks, np.zeros(0), f_mv=0.05)
    found = beats(np.rint(peaks * HZ).astype(np.int64))
    waves = delineate(recording, found)
    atria = evidence(recording, found, waves)
    assert atria.af_probability > 0.8 and atria.rr_irregularity > 0.1 and atria.p_coherence < 0.4
    assert np.isnan(without_false_p(waves, atria).by_lead[..., : Mark.QRS_ON]).all()
    assert abs(atria.f_hz - 6.0) < 0.8


def test_sinus_arrhythmia_is_no_fibrillation() -> None:
    peaks = 0.5 + np.cumsum(0.85 + 0.12 * np.sin(np.arange(10) * 0.9))
    peaks = peaks[peaks < 9.5]
    atria = seen(rhythm(peaks, peaks - 0.115), peaks)
    assert atria.af_probability < 0.3 and (atria.p_evidence > 0.5).all()


def test_p_waves_without_a_qrs_are_found() -> None:
    p = np.arange(0.4, 9.6, 0.75)
    peaks = np.delete(p, [3, 7, 11]) + 0.16
    atria = seen(rhythm(peaks, p), peaks)
    assert (atria.p_beat < 0).sum() >= 2
    assert atria.af_probability < 0.3
    blocked = atria.p_samples[atria.p_beat < 0] / HZ
    assert np.abs(blocked[:, None] - p[[3, 7, 11]]).min(axis=1).max() < 0.04


@pytest.mark.parametrize("count", [0, 1, 3])
def test_few_beats_prove_no_fibrillation(count: int) -> None:
    mv, at = made(with_p=False)
    found = beats(at[:count])
    atria = evidence(strip(mv), found, delineate(strip(mv), found))
    assert atria.af_probability == 0.0 and atria.p_evidence.shape == (count,)


def test_noise_and_silence_crash_nothing() -> None:
    at = np.sort(np.random.default_rng(2).choice(5000, 30, replace=False)).astype(np.int64)
    for mv in (np.random.default_rng(1).normal(0, 1.0, (12, 5000)), np.zeros((12, 5000))):
        found = beats(at)
        atria = evidence(strip(mv), found, delineate(strip(mv), found))
        assert 0.0 <= atria.af_probability <= 1.0 and np.isfinite(atria.p_evidence).all()


def test_offset_and_gain_do_not_change_the_verdict() -> None:
    peaks = irregular()
    recording = rhythm(peaks, np.zeros(0), f_mv=0.05)
    plain = seen(recording, peaks).af_probability
    moved = Strip(LEADS, recording.mv * 1.6 + 2.0, HZ, HZ, recording.mv.shape[1], recording.is_known)
    assert abs(seen(moved, peaks).af_probability - plain) < 0.05


def test_statements_of_real_recordings_are_met() -> None:
    folder = outside_data("ecg/ptbxl_meta.parquet").parent
    meta = pd.read_parquet(folder / "ptbxl_meta.parquet")
    meta = meta[meta.strat_fold == 9]
    codes = {str(k): set(json.loads(v)) for k, v in zip(meta.ecg_id, meta.scp_codes, strict=True)}
    fibrillate: list[float] = []
    sinus: list[float] = []
    for record in packs(folder, "ptbxl"):
        kind = codes.get(record.id, set())
        wanted = fibrillate if "AFIB" in kind else sinus if {"NORM", "SR"} <= kind else None
        if wanted is not None and len(wanted) < 25:
            wanted.append(_probability(_twelve(record.mv), record.fs_hz))
        if len(fibrillate) >= 25 and len(sinus) >= 25:
            break
    assert np.mean(np.array(fibrillate) > 0.5) >= 0.85
    assert np.mean(np.array(sinus) > 0.5) <= 0.04


def _twelve(mv: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    rows = dict(zip(("I", "II", "V1", "V2", "V3", "V4", "V5", "V6"), mv, strict=True))
    rows |= derived_limb_leads(rows["I"], rows["II"])
    return np.stack([rows[name] for name in STANDARD_LEADS]).astype(np.float32)


def _probability(mv: npt.NDArray[np.float32], fs_hz: float) -> float:
    recording = strip_of(SignalInput(mv, STANDARD_LEADS, fs_hz))
    found: Beats = classes.classify(recording, qrs.detect(recording.mv, recording.fs_hz))
    assert BeatClass.NORMAL in found.kinds or len(found)
    return evidence(recording, found, delineate(recording, found)).af_probability
