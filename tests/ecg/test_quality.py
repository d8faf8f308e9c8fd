"""Lead-off, saturation, wander, mains and noise: by lead and by second."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest

from ecg.quality import Grade, assess
from tests.makers.exact_ecg import ANE, IEC_NOISES, NORMAL, Noise, make

LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")


def _signal(**noise: float) -> np.ndarray:
    recording, _ = make(NORMAL, noise=replace(Noise(hf_rms_mv=0.005), **noise))
    return recording.signal.astype(np.float64)


def test_a_clean_recording_is_good_and_usable_in_every_second() -> None:
    found = assess(_signal(), LEADS, 500.0)
    assert found.grade is Grade.GOOD
    assert found.usable.shape == (12, 10)
    assert found.usable.all()
    assert not found.reasons


@pytest.mark.parametrize("name", IEC_NOISES)
def test_the_noises_of_the_interval_tests_leave_every_second_usable(name: str) -> None:
    recording, _ = make(NORMAL, noise=IEC_NOISES[name])
    assert assess(recording.signal, LEADS, 500.0).usable.all()


def test_a_lead_that_falls_off_is_unusable_from_then_on() -> None:
    mv = _signal()
    mv[7, 2000:] = mv[7, 2000]
    found = assess(mv, LEADS, 500.0)
    assert found.usable[7].tolist() == [True] * 4 + [False] * 6
    assert found.usable[[n for n in range(12) if n != 7]].all()
    assert found.leads[7].is_off
    assert any(reason.code == "lead_off" and "V2" in reason.en for reason in found.reasons)


def test_a_pause_of_one_second_is_no_lost_electrode() -> None:
    mv = np.zeros((1, 5000))
    for at in (500, 1000, 2250, 2800, 3400, 4000, 4500):  # nothing in the third second
        mv[0, at : at + 50] = np.hanning(50)
    assert assess(mv, ("II",), 500.0).usable.all()


def test_a_gap_is_unusable() -> None:
    mv = _signal()
    mv[2, 1500:3000] = np.nan
    found = assess(mv, LEADS, 500.0)
    assert found.usable[2].tolist() == [True] * 3 + [False] * 3 + [True] * 4
    assert found.leads[2].missing_share == pytest.approx(0.3)


def test_a_burst_of_noise_spoils_its_seconds_only() -> None:
    mv = _signal()
    mv[10, 3000:4000] += np.random.default_rng(3).normal(0, 0.8, 1000)
    found = assess(mv, LEADS, 500.0)
    assert not found.usable[10, 6:8].any()
    assert found.usable[10, :6].all()
    assert found.usable[10, 8:].all()


def test_an_electrode_that_jumps_spoils_that_second() -> None:
    mv = _signal()
    mv[3, 2100:2200] += 20.0
    assert not assess(mv, LEADS, 500.0).usable[3, 4]


def test_a_saturated_second_is_unusable() -> None:
    mv = _signal()
    mv[8] = np.clip(mv[8], -5, 5)
    mv[8, 4000:4500] = 5.0
    found = assess(mv, LEADS, 500.0)
    assert not found.usable[8, 8]
    assert found.usable[8, :8].all()


@pytest.mark.parametrize("mains_hz", [50.0, 60.0])
@pytest.mark.parametrize("fs_hz", [250.0, 360.0, 500.0, 1000.0])
def test_mains_is_measured_peak_to_peak(mains_hz: float, fs_hz: float) -> None:
    recording, _ = make(NORMAL, fs_hz=fs_hz, noise=Noise(mains_mv=0.2, mains_hz=mains_hz))
    found = assess(recording.signal, recording.leads, fs_hz)
    assert all(0.15 <= lead.mains_mv <= 0.25 for lead in found.leads)
    assert any(reason.code == "mains" for reason in found.reasons)


def test_wander_is_measured_and_named() -> None:
    found = assess(_signal(wander_mv=2.0), LEADS, 500.0)
    assert all(1.0 <= lead.wander_mv <= 2.4 for lead in found.leads)
    assert {reason.code for reason in found.reasons} == {"baseline_wander"}


def test_noise_is_measured_within_a_third_at_every_rate() -> None:
    for fs_hz in (250.0, 500.0, 1000.0):
        recording, _ = make(ANE["bradycardia"], fs_hz=fs_hz, noise=Noise(hf_rms_mv=0.05))
        measured = [lead.noise_mv for lead in assess(recording.signal, recording.leads, fs_hz).leads]
        in_band = 0.05 * np.sqrt(95 / (fs_hz / 2))  # of white noise, what lies between 5 and 100 Hz
        assert np.median(measured) == pytest.approx(in_band, rel=0.35)


@pytest.mark.parametrize("samples", [0, 1, 15, 300, 499])
def test_what_is_too_short_has_nothing_usable(samples: int) -> None:
    found = assess(np.zeros((2, samples)), ("I", "II"), 500.0)
    assert found.grade is Grade.POOR
    assert not found.usable.any()


@pytest.mark.parametrize("seconds", [1.0, 3.7, 10.0, 31.3])
def test_a_part_of_a_second_at_the_end_has_its_own_column(seconds: float) -> None:
    recording, _ = make(NORMAL, seconds=seconds)
    found = assess(recording.signal, recording.leads, 500.0)
    assert found.usable.shape == (12, int(np.ceil(seconds)))


def test_nothing_but_gaps_is_poor() -> None:
    found = assess(np.full((2, 5000), np.nan), ("I", "II"), 500.0)
    assert found.grade is Grade.POOR
    assert not found.usable.any()


def test_twelve_leads_of_ten_seconds_take_a_few_milliseconds() -> None:
    mv = _signal()
    assess(mv, LEADS, 500.0)
    spent = []
    for _ in range(5):
        begun = time.process_time()
        assess(mv, LEADS, 500.0)
        spent.append(time.process_time() - begun)
    assert min(spent) < 0.012  # 2 to 3 ms on a quiet core
