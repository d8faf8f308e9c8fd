"""P, QRS and T: made records whose truth is known, the laws that every recording obeys, and hand-set marks."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecg import engine
from ecg.marks import BeatClass, Beats, Mark, Waves
from ecg.strip import Samples, Strip
from ecg.waves import delineate
from tests.ecgx import packs
from tests.makers.rhythms import make_rhythm
from tests.outside import outside_data

LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
HZ = 500.0
P_GAIN = np.array([0.07, 0.14, 0.07, -0.10, 0.03, 0.10, 0.06, 0.08, 0.08, 0.08, 0.08, 0.07])
R_GAIN = np.array([0.7, 1.1, 0.4, -0.9, 0.3, 0.8, -0.8, -0.9, 0.6, 1.4, 1.3, 1.0])
T_GAIN = np.array([0.18, 0.30, 0.12, -0.24, 0.05, 0.2, 0.08, 0.4, 0.45, 0.4, 0.35, 0.25])


def hump(t: Samples, start_s: float, stop_s: float) -> Samples:
    """A smooth wave that is exactly zero outside start..stop."""
    part = np.clip((t - start_s) / (stop_s - start_s), 0.0, 1.0)
    return np.sin(np.pi * part) ** 2


def made(with_p: bool = True, rr_s: float = 0.85) -> tuple[Samples, npt.NDArray[np.int64]]:
    """12 leads of 10 s, mV, and the R peaks.  From each R: P -170..-60 ms, QRS -44..+46 ms, T +140..+380 ms."""
    t = np.arange(int(10 * HZ)) / HZ
    mv = np.random.default_rng(0).normal(0.0, 0.004, (12, t.size))
    peaks = np.arange(0.5, 9.55, rr_s)
    for r in peaks:
        qrs = hump(t, r - 0.030, r + 0.030) - 0.25 * hump(t, r - 0.044, r - 0.016) - 0.3 * hump(t, r + 0.012, r + 0.046)
        mv += R_GAIN[:, None] * qrs + T_GAIN[:, None] * hump(t, r + 0.14, r + 0.38)
        if with_p:
            mv += P_GAIN[:, None] * hump(t, r - 0.170, r - 0.060)
    return mv, np.rint(peaks * HZ).astype(np.int64)


def strip(mv: Samples, leads: tuple[str, ...] = LEADS) -> Strip:
    return Strip(leads, mv, HZ, HZ, mv.shape[1], np.ones(mv.shape, dtype=bool))


def beats(at: npt.NDArray[np.int64], kind: BeatClass = BeatClass.NORMAL) -> Beats:
    n = at.size
    none = np.zeros(0, dtype=np.int64)
    return Beats(at, (kind,) * n, np.zeros(n, dtype=np.int64), 0, np.ones(n), none)


def ms(samples: Samples) -> Samples:
    return samples * (1000.0 / HZ)


@pytest.fixture(scope="module")
def usual() -> tuple[Samples, npt.NDArray[np.int64], Waves]:
    mv, at = made()
    return mv, at, delineate(strip(mv), beats(at))


Usual = tuple[Samples, npt.NDArray[np.int64], Waves]
INNER = slice(1, -1)


def test_a_made_record_is_marked_where_its_waves_are(usual: Usual) -> None:
    _, at, waves = usual
    from_r = ms(waves.overall[INNER] - at[INNER, None])
    for mark, truth, tolerance in (
        (Mark.P_ON, -170, 24),
        (Mark.P_PEAK, -115, 12),
        (Mark.P_OFF, -60, 20),
        (Mark.QRS_ON, -44, 10),
        (Mark.QRS_OFF, 46, 14),
        (Mark.T_PEAK, 260, 16),
        (Mark.T_OFF, 380, 30),
    ):
        assert abs(np.median(from_r[:, mark]) - truth) <= tolerance, (mark.name, np.median(from_r[:, mark]))
        assert from_r[:, mark].std() < 5.0, mark.name


def test_a_record_without_p_waves_has_none() -> None:
    mv, at = made(with_p=False)
    waves = delineate(strip(mv), beats(at))
    assert np.isnan(waves.overall[:, Mark.P_PEAK]).mean() > 0.8


def test_certainty_over_a_half_is_what_is_shown(usual: Usual) -> None:
    shown = np.isfinite(usual[2].overall[:, Mark.P_PEAK])
    assert np.array_equal(shown[INNER], usual[2].p_certainty[INNER] >= 0.5) and shown[INNER].all()


def test_ventricular_beats_have_no_p() -> None:
    mv, at = made()
    waves = delineate(strip(mv), beats(at, BeatClass.VENTRICULAR))
    assert np.isnan(waves.by_lead[..., : Mark.QRS_ON]).all() and not waves.p_certainty.any()
    assert np.isfinite(waves.overall[:, Mark.QRS_ON]).all()


@settings(max_examples=8, deadline=None)
@given(
    offset=st.lists(st.floats(-3.0, 3.0), min_size=12, max_size=12),
    delay=st.integers(0, 60),
    order=st.permutations(range(12)),
)
def test_offset_delay_and_the_order_of_leads_move_nothing(offset: list[float], delay: int, order: list[int]) -> None:
    mv, at = made()
    plain = delineate(strip(mv), beats(at))
    moved = np.pad(mv, ((0, 0), (2 * delay, 0)), mode="edge")[order] + np.array(offset)[order, None]
    other = delineate(strip(moved, tuple(LEADS[k] for k in order)), beats(at + 2 * delay))
    assert np.nanmax(np.abs(other.overall[INNER] - 2 * delay - plain.overall[INNER])) <= 2.0
    same = other.by_lead[:, INNER] - 2 * delay - plain.by_lead[order, INNER]
    assert np.nanmax(np.abs(same)) <= 3.0


@pytest.mark.parametrize("gain", [0.5, 0.8, 1.3, 2.0])
def test_gain_moves_boundaries_by_less_than_4_ms(usual: Usual, gain: float) -> None:
    mv, at, plain = usual
    other = delineate(strip(mv * gain), beats(at))
    apart = ms(np.abs(other.overall - plain.overall))[INNER]
    assert np.nanmax(np.nanmedian(apart, axis=0)) < 4.0


def test_waves_come_in_order(usual: Usual) -> None:
    steps = np.diff(usual[2].by_lead, axis=2)
    assert (steps[np.isfinite(steps)] >= 0).all()


def test_a_flat_lead_has_no_waves_and_spoils_none(usual: Usual) -> None:
    mv, at, plain = usual
    flat = mv.copy()
    flat[4] = 0.7
    waves = delineate(strip(flat), beats(at))
    assert np.isnan(waves.by_lead[4]).all()
    assert np.nanmax(ms(np.abs(waves.overall - plain.overall))[INNER, Mark.QRS_ON]) < 6.0


def test_one_lead_alone_is_marked_like_among_twelve(usual: Usual) -> None:
    mv, at, plain = usual
    alone = delineate(strip(mv[1:2], ("II",)), beats(at))
    assert np.array_equal(alone.overall, alone.by_lead[0], equal_nan=True)
    apart = ms(np.abs(alone.overall - plain.by_lead[1]))[INNER]
    for mark in (Mark.P_ON, Mark.QRS_ON, Mark.QRS_OFF, Mark.T_OFF):
        assert np.nanmedian(apart[:, mark]) < 12.0, mark.name


@pytest.mark.parametrize("count", [0, 1, 2])
def test_few_beats_are_taken_as_they_are(count: int) -> None:
    mv, at = made()
    waves = delineate(strip(mv), beats(at[:count]))
    assert waves.overall.shape == (count, 9)
    assert waves.by_lead.shape == (12, count, 9)
    assert waves.p_certainty.shape == (count,)


def test_fibrillating_ventricles_noise_and_silence_crash_nothing() -> None:
    rng = np.random.default_rng(1)
    t = np.arange(5000) / HZ
    coarse = np.sin(2 * np.pi * (5 + 0.5 * np.sin(t))[None] * t) * rng.uniform(0.2, 0.8, (12, 1))
    at = np.sort(rng.choice(5000, 40, replace=False)).astype(np.int64)
    for mv in (coarse, rng.normal(0, 1.0, (12, 5000)), np.zeros((12, 5000)), np.full((12, 5000), 1e4)):
        waves = delineate(strip(mv), beats(at))
        inside = waves.by_lead[np.isfinite(waves.by_lead)]
        assert ((inside >= 0) & (inside <= 5000)).all()
    short = delineate(strip(rng.normal(0, 0.1, (12, 40))), beats(np.array([3, 39])))
    assert short.overall.shape == (2, 9)


def test_overall_goes_by_leads_that_agree(usual: Usual) -> None:
    overall, some = usual[2].overall[INNER], usual[2].by_lead[:, INNER]
    assert (overall[:, Mark.QRS_ON] >= some[..., Mark.QRS_ON].min(axis=0)).all()
    assert (overall[:, Mark.QRS_ON] <= np.median(some[..., Mark.QRS_ON], axis=0)).all()
    assert (overall[:, Mark.T_OFF] >= np.median(some[..., Mark.T_OFF], axis=0)).all()


def test_hand_set_marks_of_a_cardiologist_are_met() -> None:
    folder = outside_data("ecg/ludb_waves.parquet").parent
    table: Any = pd.read_parquet(folder / "ludb_waves.parquet")
    late: dict[Mark, list[Samples]] = {mark: [] for mark in (Mark.QRS_ON, Mark.QRS_OFF, Mark.T_OFF)}
    for record in list(packs(folder, "ludb"))[:12]:
        marks = table[(table.id.astype(str) == record.id) & (table.lead == "II")]
        qrs = marks[(marks.wave == "QRS") & (marks.on >= 0)]
        waves = delineate(strip(record.mv[1:2], ("II",)), beats(qrs.peak.to_numpy()))
        late[Mark.QRS_ON].append(ms(waves.overall[:, Mark.QRS_ON] - qrs.on.to_numpy()))
        late[Mark.QRS_OFF].append(ms(waves.overall[:, Mark.QRS_OFF] - qrs.off.to_numpy()))
        ends, ours = marks[marks.wave == "T"].off.to_numpy(), waves.overall[:, Mark.T_OFF]
        ours = ours[np.isfinite(ours)]
        if ends.size and ours.size:
            late[Mark.T_OFF].append(ms(ours[np.abs(ours - ends[:, None]).argmin(axis=1)] - ends))
    for mark, limit in ((Mark.QRS_ON, 12.0), (Mark.QRS_OFF, 14.0), (Mark.T_OFF, 30.0)):
        assert np.median(np.abs(np.concatenate(late[mark]))) < limit


@pytest.mark.parametrize("rate", [70.0, 80.0])
def test_a_long_pr_is_told_though_p_stands_on_the_end_of_t(rate: float) -> None:
    """First-degree block at 100 Hz: no single beat shows a P wave for sure, twelve leads show it before every beat."""
    for seed in range(5000, 5006):
        recording, truth = make_rhythm("sinus_avb1", seed, rate=rate, fs_hz=100.0)
        reading = engine.read(recording)
        known = truth.marks_s[np.isfinite(truth.marks_s[:, 0])]
        pr_ms = 1000.0 * float(np.median(known[:, 3] - known[:, 0]))
        assert reading.measurements.get("pr_interval") == pytest.approx(pr_ms, abs=35.0)
        assert "avb1" in {s.key for s in reading.statements}


def test_nothing_steady_is_seen_before_the_beats_of_fibrillation_or_the_junction() -> None:
    for kind in ("afib", "junctional_rhythm", "svt", "aflutter_2to1"):
        for seed in range(5100, 5104):
            reading = engine.read(make_rhythm(kind, seed)[0])
            assert "avb1" not in {s.key for s in reading.statements}, (kind, seed)
