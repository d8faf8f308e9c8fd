"""The median beat: the same whatever noise, wander, offset or odd beats lie over the recording."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from center.reads import SignalInput
from ecg.marks import BeatClass, Beats, Mark, MedianBeat, Waves
from ecg.median import median_beat
from ecg.strip import strip_of
from tests.makers.exact_ecg import (
    ANE,
    CAL,
    HF_NOISE,
    IEC_NOISES,
    NO_NOISE,
    NORMAL,
    WANDER,
    Noise,
    Spec,
    Truth,
    make,
    with_premature,
)


def _median(spec: Spec, noise: Noise = NO_NOISE, **how: float) -> tuple[MedianBeat, Truth]:
    recording, truth = make(spec, noise=noise, **how)  # type: ignore[arg-type]
    scale = 500.0 / truth.fs_hz
    beats, waves = truth.beats(), truth.waves()
    beats = replace(
        beats, at=np.rint(beats.at * scale).astype(np.int64), spikes=np.rint(beats.spikes * scale).astype(int)
    )
    waves = replace(waves, overall=waves.overall * scale, by_lead=waves.by_lead * scale)
    return median_beat(strip_of(recording), beats, waves), truth


def _qrs_off(found: MedianBeat, truth: Truth) -> tuple[float, float]:
    """How far the QRS's ends lie from the truth, ms."""
    beat = int(np.flatnonzero(truth.is_usual)[2])
    peak = np.rint(truth.overall[beat, Mark.QRS_PEAK])
    at = (truth.overall[beat] - peak) * 1000 / truth.fs_hz
    ends = (found.overall - found.at) * 1000 / found.fs_hz
    return float(ends[Mark.QRS_ON] - at[Mark.QRS_ON]), float(ends[Mark.QRS_OFF] - at[Mark.QRS_OFF])


@pytest.mark.parametrize("name", [*CAL, *ANE])
def test_the_qrs_of_a_clean_record_is_bounded_within_six_milliseconds(name: str) -> None:
    found, truth = _median((CAL | ANE)[name])
    early, late = _qrs_off(found, truth)
    assert abs(early) <= 8
    assert abs(late) <= 8
    assert abs(late - early) <= 12


@pytest.mark.parametrize("noise", IEC_NOISES)
def test_noise_moves_the_shape_little(noise: str) -> None:
    clean, _ = _median(NORMAL)
    found, _ = _median(NORMAL, IEC_NOISES[noise])
    width = min(clean.mv.shape[1], found.mv.shape[1])
    rms = np.sqrt(np.square(clean.mv[:, :width] - found.mv[:, :width]).mean())
    assert rms < (0.025 if "50 uV" in noise else 0.012)


def test_a_wander_of_one_millivolt_leaves_a_hundredth_of_it() -> None:
    clean, _ = _median(NORMAL)
    found, _ = _median(NORMAL, WANDER)
    assert np.abs(clean.mv - found.mv).max() < 0.01


def test_an_offset_changes_nothing() -> None:
    clean, _ = _median(NORMAL)
    found, _ = _median(NORMAL, Noise(offset_mv=3.0))
    assert np.abs(clean.mv - found.mv).max() < 1e-5
    assert found.overall == pytest.approx(clean.overall, abs=0.01, nan_ok=True)


def test_premature_beats_leave_the_shape_alone() -> None:
    clean, _ = _median(NORMAL)
    found, truth = _median(with_premature(NORMAL, (3, 7)))
    assert BeatClass.VENTRICULAR in truth.kinds
    assert found.beats <= 10
    left, right = clean.at - 60, clean.at + 120
    shift = found.at - clean.at
    assert np.abs(clean.mv[:, left:right] - found.mv[:, left + shift : right + shift]).max() < 0.03


def test_the_level_before_the_qrs_is_zero() -> None:
    found, _ = _median(ANE["stemi_anterior"], Noise(offset_mv=-1.0, hf_rms_mv=0.01))
    onset = round(found.overall[Mark.QRS_ON])
    assert np.abs(found.mv[:, onset - 10 : onset].mean(axis=1)).max() < 0.01


@pytest.mark.parametrize("fs_hz", [100.0, 250.0, 500.0, 1000.0])
def test_every_source_rate_gives_the_same_beat(fs_hz: float) -> None:
    clean, _ = _median(NORMAL)
    found, _ = _median(NORMAL, fs_hz=fs_hz)
    core = slice(-100, 200)
    a = clean.mv[:, clean.at + core.start : clean.at + core.stop]
    b = found.mv[:, found.at + core.start : found.at + core.stop]
    best = min(
        float(np.sqrt(np.square(a[:, 10:-10] - b[:, 10 + k : b.shape[1] - 10 + k]).mean())) for k in range(-4, 5)
    )
    assert best < (0.04 if fs_hz == 100 else 0.02)


def test_beats_placed_loosely_are_brought_together() -> None:
    recording, truth = make(NORMAL)
    strip = strip_of(recording)
    loose = truth.beats()
    jitter = np.random.default_rng(2).integers(-6, 7, len(loose))
    exact = median_beat(strip, loose, truth.waves())
    found = median_beat(strip, replace(loose, at=loose.at + jitter), truth.waves())
    assert found.mv.max() > 0.97 * exact.mv.max()


def test_a_pacing_spike_is_no_part_of_the_beat() -> None:
    found, truth = _median(ANE["right_paced"])
    early, late = _qrs_off(found, truth)
    assert truth.spikes.size
    assert abs(early) <= 8
    assert abs(late) <= 8


def test_no_beat_gives_an_empty_median() -> None:
    recording, _ = make(NORMAL)
    none = np.zeros(0, dtype=np.int64)
    beats = Beats(none, (), none, 0, np.zeros(0), none)
    found = median_beat(strip_of(recording), beats, Waves(np.zeros((0, 9)), np.zeros((12, 0, 9)), np.zeros(0)))
    assert found.beats == 0
    assert np.isnan(found.overall).all()


@pytest.mark.parametrize("beats", [1, 2, 3])
def test_few_beats_still_make_one(beats: int) -> None:
    recording, truth = make(NORMAL, seconds=0.3 + 0.8 * beats)
    all_beats = truth.beats()
    assert len(all_beats) >= beats
    found = median_beat(strip_of(recording), all_beats, truth.waves())
    assert found.beats >= 1
    assert np.isfinite(found.overall[Mark.QRS_ON])


def test_a_lead_without_signal_stays_flat_and_harmless() -> None:
    recording, truth = make(NORMAL)
    mv = recording.signal.copy()
    mv[4] = np.nan
    found = median_beat(strip_of(SignalInput(mv, recording.leads, 500.0)), truth.beats(), truth.waves())
    assert np.abs(found.mv[4]).max() == 0
    assert np.isfinite(found.overall[[Mark.QRS_ON, Mark.QRS_OFF]]).all()


def test_noise_shrinks_with_the_number_of_beats() -> None:
    clean, _ = _median(NORMAL)
    found, _ = _median(NORMAL, HF_NOISE)
    assert found.beats >= 10
    rest = slice(clean.at + 60, clean.at + 80)
    assert np.std(found.mv[:, rest] - clean.mv[:, rest]) < 0.025 / 2
