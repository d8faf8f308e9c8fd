"""Beats are found where they are, and nowhere else: made rhythms, then MIT-BIH and LUDB."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from benchmarks import ec57
from ecg import qrs
from ecg.signal import derived_limb_leads
from tests.ecgx import records
from tests.makers.beats_ecg import Made, Samples, steady, wave
from tests.outside import outside_data


def counted(made: Made, usable: np.ndarray | None = None) -> tuple[int, int]:
    """Missed and extra beats."""
    found = qrs.detect(made.mv, made.fs_hz, usable)
    score = ec57.score(ec57.Reference(made.at, "N" * made.at.size), found, made.fs_hz)
    return score.missed, score.extra


@pytest.mark.parametrize("rate", [20, 30, 40, 60, 100, 150, 200, 240, 290])
@pytest.mark.parametrize("shape", ["narrow", "rs"])
def test_narrow_beats_are_found_at_any_rate(rate: float, shape: str) -> None:
    assert counted(steady(rate, 20, shape)) == (0, 0)


@pytest.mark.parametrize("rate", [30, 45, 75, 110, 150])
@pytest.mark.parametrize("shape", ["tall_t", "bundle", "wide"])
def test_tall_t_waves_and_wide_beats_are_counted_once(rate: float, shape: str) -> None:
    assert counted(steady(rate, 20, shape)) == (0, 0)


@pytest.mark.parametrize("fs_hz", [100.0, 128.0, 180.0, 250.0, 360.0, 500.0, 1000.0])
def test_any_sampling_rate_gives_the_main_deflection_within_6_ms(fs_hz: float) -> None:
    made = steady(75, 10, fs_hz=fs_hz)
    found = qrs.detect(made.mv, fs_hz)
    assert found.size == made.at.size
    assert np.abs(found - made.at).max() <= max(0.006 * fs_hz, 1)


@pytest.mark.parametrize("leads", [1, 2, 3, 8, 12, 15])
def test_any_number_of_leads(leads: int) -> None:
    assert counted(steady(70, 10, leads=leads)) == (0, 0)


@pytest.mark.parametrize("mv", [0.1, 0.3, 1.0, 5.0])
def test_small_and_large_beats(mv: float) -> None:
    assert counted(steady(70, 10, mv=mv, noise_mv=0.005 * max(mv, 1.0))) == (0, 0)


@pytest.mark.parametrize("rate", [30, 75, 150])
def test_five_seconds_are_enough(rate: float) -> None:
    assert counted(steady(rate, 5)) == (0, 0)


def test_the_first_and_last_beat_count_when_40_ms_of_them_are_inside() -> None:
    made = steady(60, 10.04, first_s=0.04)
    cut = Made(made.mv[:, : made.at[-1] + 21], made.at, made.shapes, made.fs_hz)
    assert counted(cut) == (0, 0)


def _with(made: Made, change: Samples) -> Made:
    return Made(made.mv + change, made.at, made.shapes, made.fs_hz)


def test_wander_of_1_mv_and_mains_of_1_mv_move_nothing() -> None:
    made = steady(75, 20)
    t = np.arange(made.mv.shape[1]) / made.fs_hz
    for change in (np.sin(2 * np.pi * 0.3 * t), np.sin(2 * np.pi * 50 * t), np.sin(2 * np.pi * 60 * t)):
        assert counted(_with(made, change)) == (0, 0)


def test_a_jump_of_the_baseline_costs_one_beat_at_most() -> None:
    made = steady(75, 20)
    for at in (3200, 5333, 7100):
        jump = np.zeros(made.mv.shape)
        jump[:, at:] = 3.0
        missed, extra = counted(_with(made, jump))
        assert missed <= 1 and extra <= 1


def test_leads_that_are_off_saturated_or_noise_do_not_spoil_the_others() -> None:
    made = steady(75, 10, leads=8)
    rng = np.random.default_rng(3)
    mv = made.mv.copy()
    mv[2] = 0.0
    mv[3] = 2.0 * rng.normal(size=mv.shape[1])
    mv[5] = 5.0
    mv[6] += 0.05 * np.cumsum(rng.normal(size=mv.shape[1]))
    assert counted(Made(mv, made.at, made.shapes, made.fs_hz)) == (0, 0)


def test_a_lead_marked_unusable_is_not_looked_at() -> None:
    made = steady(75, 10, leads=2)
    other = steady(110, 10, first_s=0.2, seed=5)
    mixed = Made(np.stack([made.mv[0], 5 * other.mv[0]]), made.at, made.shapes, made.fs_hz)
    usable = np.ones((2, 10), dtype=bool)
    usable[1] = False
    assert counted(mixed, usable) == (0, 0)
    assert qrs.detect(mixed.mv, 500.0, np.zeros((2, 10), dtype=bool)).size == 0


@pytest.mark.parametrize("leads", [1, 12])
@pytest.mark.parametrize("kind", ["flat", "white", "faint", "brown", "mains", "wander"])
def test_no_beats_are_invented(kind: str, leads: int) -> None:
    t = np.arange(5000) / 500.0
    for seed in range(5):
        rng = np.random.default_rng(seed)
        noise = rng.normal(size=(leads, t.size))
        mv = {
            "flat": 0.0 * noise,
            "white": 0.05 * noise,
            "faint": 0.005 * noise,
            "brown": 0.02 * np.cumsum(noise, axis=1),
            "mains": np.sin(2 * np.pi * 50 * t) + 0.005 * noise,
            "wander": np.sin(2 * np.pi * 0.3 * t) + 0.005 * noise,
        }[kind]
        assert qrs.detect(mv, 500.0).size == 0


def test_p_waves_alone_are_no_beats() -> None:
    t = np.arange(5000) / 500.0
    p = sum(wave(t, at, 0.022, 0.12) for at in np.arange(0.4, 10, 0.8))
    assert qrs.detect((p + 0.01 * np.random.default_rng(1).normal(size=t.size))[None], 500.0).size == 0


def test_a_standstill_of_ten_seconds_stays_empty() -> None:
    made = steady(75, 30)
    mv = made.mv.copy()
    mv[:, 5000:10000] = 0.02 * np.random.default_rng(2).normal(size=(1, 5000))
    stays = (made.at < 4990) | (made.at > 10010)
    missed, extra = counted(Made(mv, made.at[stays], made.shapes, made.fs_hz))
    assert missed <= 1 and extra <= 1
    found = qrs.detect(mv, 500.0)
    assert not np.any((found > 5200) & (found < 9800))


def test_spikes_that_capture_nothing_are_no_beats_and_a_spike_with_its_beat_is_one() -> None:
    made = steady(60, 20, "wide")
    mv = made.mv.copy()
    for at in (made.at - 35).tolist():
        mv[:, at : at + 2] += 1.5
    assert counted(Made(mv, made.at, made.shapes, made.fs_hz)) == (0, 0)


def test_where_the_recording_is_cut_does_not_matter() -> None:
    made = steady(75, 120, noise_mv=0.05)
    whole = qrs.detect(made.mv, 500.0)
    part = qrs.detect(made.mv[:, 17_777:44_321], 500.0) + 17_777
    inside = whole[(whole > 17_900) & (whole < 44_200)]
    assert np.abs(part[(part > 17_900) & (part < 44_200)] - inside).max() <= 1


def test_hours_are_read_in_blocks_that_meet() -> None:
    made = steady(70, 2700, fs_hz=125.0)
    assert counted(made) == (0, 0)


def test_offset_gain_and_sign_change_nothing() -> None:
    made = steady(75, 10, leads=3)
    found = qrs.detect(made.mv, 500.0)
    assert np.array_equal(found, qrs.detect(made.mv + 3.0, 500.0))
    assert np.array_equal(found, qrs.detect(-made.mv, 500.0))
    assert np.array_equal(found, qrs.detect(made.mv[::-1], 500.0))


def test_nothing_and_too_little_give_nothing() -> None:
    assert qrs.detect(np.zeros((1, 0)), 500.0).size == 0
    assert qrs.detect(np.zeros((0, 5000)), 500.0).size == 0
    assert qrs.detect(np.zeros((2, 1)), 500.0).size == 0


def test_fibrillation_like_waves_end_in_time() -> None:
    t = np.arange(150_000) / 500.0
    rng = np.random.default_rng(4)
    phase = np.cumsum(2 * np.pi * (5 + rng.normal(size=t.size).cumsum() * 0.01) / 500.0)
    assert qrs.detect((0.4 * np.sin(phase))[None], 500.0).size < 2000


def test_the_first_lead_of_mit_bih_100_and_105() -> None:
    """One clean and one hard record; the whole table is ``benchmarks/qrs.py``'s."""
    annotations = pd.read_parquet(outside_data("ecg/mitdb_ann.parquet"))
    for record in records(outside_data("ecg/mitdb_360hz_00.ecgx")):
        if record.id in ("100", "105"):
            its = annotations[annotations["id"].astype(str) == record.id]
            reference = ec57.reference_of(its["sample"].tolist(), its["symbol"].tolist(), record.mv.shape[1])
            score = ec57.score(reference, qrs.detect(record.mv[:1], record.fs_hz), record.fs_hz)
            assert score.error_rate <= {"100": 0.1, "105": 2.0}[record.id]


def test_ludb_s_beats_in_twelve_leads() -> None:
    waves = pd.read_parquet(outside_data("ecg/ludb_waves.parquet"))
    waves = waves[(waves["wave"] == "QRS") & (waves["lead"] == "II")]
    scores: list[ec57.Score] = []
    for record in list(records(outside_data("ecg/ludb_500hz_uv5_00.ecgx")))[1::4]:
        limbs = derived_limb_leads(record.mv[0], record.mv[1])
        peaks = np.sort(np.asarray(waves[waves["id"] == int(record.id)]["peak"], dtype=np.int64))
        found = qrs.detect(np.concatenate([record.mv, np.stack(list(limbs.values()))]), record.fs_hz)
        found = found[(found >= peaks[0] - 75) & (found <= peaks[-1] + 75)]
        scores.append(ec57.score(ec57.Reference(peaks, "N" * peaks.size), found, record.fs_hz))
    score = ec57.total(scores)
    assert score.sensitivity >= 99.8 and score.predictivity >= 99.8
