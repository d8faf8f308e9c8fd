"""Measurements against records whose truth is exact, and what must not move them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from center.reads import SignalInput
from ecg.marks import Beats, Mark, Measurements, MedianBeat, Rhythm, Statement, Waves
from ecg.measure import measure
from ecg.median import median_beat
from ecg.signal import STANDARD_LEADS
from ecg.strip import strip_of
from tests.makers.exact_ecg import (
    ANE,
    CAL,
    NO_NOISE,
    NORMAL,
    WANDER,
    Lead,
    Noise,
    Shape,
    Spec,
    Truth,
    make,
    with_premature,
)

QUIET = Rhythm((), np.zeros(0, dtype=bool), None, None, {})
FIBRILLATING = replace(QUIET, statements=(Statement("afib", 0.9),))


def _by_truth(
    recording: SignalInput, truth: Truth, rhythm: Rhythm = QUIET, *, exact: bool = True
) -> tuple[Measurements, MedianBeat]:
    """Measured on the median beat, its marks set to the truth (exact) or found."""
    strip, scale = strip_of(recording), 500.0 / truth.fs_hz
    beats, waves = truth.beats(), truth.waves()
    beats = replace(
        beats, at=np.rint(beats.at * scale).astype(np.int64), spikes=np.rint(beats.spikes * scale).astype(int)
    )
    waves = replace(waves, overall=waves.overall * scale, by_lead=waves.by_lead * scale)
    middle = median_beat(strip, beats, waves)
    if exact:
        beat = int(np.flatnonzero(truth.is_usual)[2])
        shift = middle.at - beats.at[beat]
        middle = replace(middle, overall=waves.overall[beat] + shift, by_lead=waves.by_lead[:, beat] + shift)
    return measure(strip, beats, waves, middle, rhythm), middle


def _measured(spec: Spec, noise: Noise = NO_NOISE, *, exact: bool = True) -> tuple[Measurements, Truth]:
    recording, truth = make(spec, noise=noise)
    return _by_truth(recording, truth, exact=exact)[0], truth


@pytest.mark.parametrize("name", [*CAL, *ANE])
def test_intervals_axes_and_rate_are_those_of_the_record(name: str) -> None:
    found, truth = _measured((CAL | ANE)[name])
    tolerance = {"heart_rate": 0.5, "qrs_axis": 3, "p_axis": 5, "t_axis": 5}
    for key, value in truth.values.items():
        got = found.get(key)
        assert got is not None, key
        apart = abs(got - value)
        assert min(apart, 360 - apart) <= tolerance.get(key, 4), (key, value, got)


@pytest.mark.parametrize("name", [name for name in (*CAL, *ANE) if name != "fibrillation"])
def test_amplitudes_are_within_25_microvolts_or_5_percent(name: str) -> None:
    found, truth = _measured((CAL | ANE)[name])
    keys = ("r_amplitude", "s_amplitude", "q_amplitude", "r_prime", "t_amplitude", "t_negative", "qrs_peak_to_peak")
    keys += ("p_amplitude", "p_negative", "st_j", "st_j40", "st_j60", "st_j80")
    for lead, true in truth.by_lead.items():
        names = _same_names(true)
        for key in keys:
            if key not in true or (key in ("q_amplitude", "s_amplitude", "r_amplitude", "r_prime") and not names):
                continue
            got = found.get(key, lead)
            assert got is not None, (lead, key)
            assert abs(got - true[key]) <= max(0.025, 0.05 * abs(true[key])), (lead, key, true[key], got)


def _same_names(true: dict[str, float]) -> bool:
    """A wave below 20 uV is none for us: where the record has such a one, the others change their names."""
    return all(not 0 < true[key] < 0.025 for key in ("q_amplitude", "r_amplitude", "s_amplitude", "r_prime"))


@pytest.mark.parametrize("name", ["normal", "rbbb", "lbbb", "lvh_strain", "inferior_q", "cal_01000_uv", "cal_qr"])
def test_q_r_s_durations_are_within_six_milliseconds(name: str) -> None:
    found, truth = _measured((CAL | ANE)[name])
    for lead, true in truth.by_lead.items():
        for wave in ("q", "r", "s"):
            if _same_names(true) and true[f"{wave}_amplitude"] >= 0.05:
                got = found.get(f"{wave}_duration", lead)
                assert got is not None, (lead, wave)
                assert abs(got - true[f"{wave}_duration"]) <= 6, (lead, wave, true[f"{wave}_duration"], got)


@pytest.mark.parametrize("rate", [30, 45, 60, 90, 130, 180, 210])
def test_the_rate_of_a_regular_heart_is_right_within_half_a_beat(rate: int) -> None:
    qt = min(390.0, 0.62 * 60000 / rate)
    shape = replace(NORMAL.shape, qt_ms=qt, st_ms=0.1 * qt, pr_ms=min(160.0, 0.2 * 60000 / rate), p_ms=60.0)
    found, _ = _measured(Spec("rate", shape, rr_ms=(60000 / rate,)))
    assert found.get("heart_rate") == pytest.approx(rate, abs=0.5)


def test_premature_beats_leave_the_mean_rate() -> None:
    found, _ = _measured(with_premature(NORMAL, (3, 7)))
    assert found.get("heart_rate") == pytest.approx(75, abs=1)
    assert found.get("rr_min") == pytest.approx(480, abs=35)  # the late peak of a wide beat


def test_a_fibrillating_heart_has_the_mean_rate_and_the_mean_qt() -> None:
    recording, truth = make(ANE["fibrillation"])
    found, _ = _by_truth(recording, truth, FIBRILLATING)
    assert found.get("heart_rate") == pytest.approx(truth.values["heart_rate"], abs=0.5)
    assert found.get("qt_interval") == pytest.approx(390, abs=2)
    for key in ("p_duration", "pr_interval", "pr_segment", "p_axis", "p_terminal_force_v1"):
        assert found.get(key) is None
    assert found.get("p_amplitude", "II") is None


def test_corrected_qt_follows_the_four_formulas() -> None:
    found, _ = _measured(ANE["bradycardia"])  # QT 440, RR 1.4 s
    assert found.get("qtc_bazett") == pytest.approx(440 / 1.4**0.5, abs=4)
    assert found.get("qtc_fridericia") == pytest.approx(440 / 1.4 ** (1 / 3), abs=4)
    assert found.get("qtc_framingham") == pytest.approx(440 + 154 * (1 - 1.4), abs=4)
    assert found.get("qtc_hodges") == pytest.approx(440 + 1.75 * (60 / 1.4 - 60), abs=4)


def test_at_sixty_a_minute_every_correction_leaves_qt() -> None:
    found, _ = _measured(CAL["cal_rate_060"])
    for key in ("qtc_bazett", "qtc_fridericia", "qtc_framingham", "qtc_hodges"):
        assert found.get(key) == pytest.approx(found.get("qt_interval") or 0, abs=1)


def test_the_tangent_ends_before_the_t_wave_does() -> None:
    found, _ = _measured(NORMAL)
    tangent, qt, peak = (found.get(key) or 0 for key in ("qt_tangent", "qt_interval", "qt_peak"))
    assert peak < tangent < qt
    assert qt - tangent < 40


def test_voltage_criteria_are_sums_of_the_leads_waves() -> None:
    found, truth = _measured(ANE["lvh_strain"])
    true = truth.by_lead
    assert found.get("sokolow_lyon") == pytest.approx(true["V1"]["s_amplitude"] + true["V5"]["r_amplitude"], rel=0.05)
    assert found.get("r_avl") == pytest.approx(true["aVL"]["r_amplitude"], rel=0.05)
    cornell = true["aVL"]["r_amplitude"] + true["V3"]["s_amplitude"]
    assert found.get("cornell_voltage") == pytest.approx(cornell, rel=0.05)
    assert found.get("cornell_product") == pytest.approx(cornell * 104, rel=0.08)
    assert (found.get("romhilt_estes") or 0) >= 5
    assert found.get("sgarbossa") is None


def test_a_quiet_heart_has_few_points() -> None:
    found, _ = _measured(NORMAL)
    assert (found.get("romhilt_estes") or 0) <= 1
    assert found.get("sgarbossa") is None


def test_a_qs_counts_as_the_s_of_voltage_sums() -> None:
    found, _ = _measured(ANE["anterior_q"])
    assert found.get("q_amplitude", "V1") == pytest.approx(0.9, rel=0.05)
    assert found.get("r_amplitude", "V1") == 0
    assert found.get("sokolow_lyon") == pytest.approx(0.9 + 1.3, rel=0.05)


def test_sgarbossa_counts_concordant_elevation() -> None:
    shape = ANE["lbbb"].shape
    plain, _ = _measured(ANE["lbbb"])
    leads = dict(shape.leads) | {"V5": replace(shape.leads["V5"], st_j=0.2)}
    found, _ = _measured(Spec("sgarbossa", replace(shape, leads=leads)))
    assert plain.get("sgarbossa") == 0
    assert found.get("sgarbossa") == 5


def test_a_notched_r_is_counted_once_and_a_smooth_one_not() -> None:
    lbbb, _ = _measured(ANE["lbbb"])
    smooth, _ = _measured(NORMAL)
    assert lbbb.get("notches", "V6") == 1
    assert smooth.get("notches", "V6") == 0
    assert smooth.get("notches", "V4") == 0


def test_the_late_r_of_right_bundle_branch_block_makes_a_long_activation_time() -> None:
    found, truth = _measured(ANE["rbbb"])
    assert found.get("vat", "V1") == pytest.approx(truth.by_lead["V1"]["vat"], abs=4)
    assert (found.get("vat", "V1") or 0) > 80 > 60 > (found.get("vat", "V6") or 99)


def test_p_terminal_force_is_depth_times_length() -> None:
    deep = {**NORMAL.shape.leads, "V1": replace(NORMAL.shape.leads["V1"], p=(0.06, -0.15))}
    found, _ = _measured(Spec("left atrium", replace(NORMAL.shape, leads=deep, p_ms=120.0)))
    force = found.get("p_terminal_force_v1") or 0
    assert 0.15 * 40 < force < 0.15 * 70
    quiet, _ = _measured(NORMAL)
    assert (quiet.get("p_terminal_force_v1") or 0) < 4


# ------------------------------------------------------------------------------------------------ what must not move


@settings(max_examples=12, deadline=None)
@given(
    offset_mv=st.floats(-4, 4), delay_s=st.floats(0, 0.5), name=st.sampled_from(["normal", "rbbb", "stemi_inferior"])
)
def test_intervals_do_not_move_with_offset_and_delay(offset_mv: float, delay_s: float, name: str) -> None:
    plain, _ = _measured(ANE[name], exact=False)
    moved, _ = _measured(ANE[name], Noise(offset_mv=offset_mv, delay_s=delay_s), exact=False)
    for key in ("qrs_duration", "qt_interval", "pr_interval", "p_duration"):
        assert moved.get(key) == pytest.approx(plain.get(key), abs=8), key
    assert moved.get("r_amplitude", "V5") == pytest.approx(plain.get("r_amplitude", "V5"), abs=0.03)


@settings(max_examples=8, deadline=None)
@given(gain=st.floats(0.5, 2.5))
def test_amplitudes_scale_and_intervals_stay(gain: float) -> None:
    recording, truth = make(NORMAL)
    plain, _ = _by_truth(recording, truth)
    louder = replace(recording, signal=(recording.signal * gain).astype(np.float32))
    found, _ = _by_truth(louder, truth)
    for key in ("r_amplitude", "t_amplitude", "p_amplitude", "st_j60", "qrs_area"):
        assert found.get(key, "V4") == pytest.approx(gain * (plain.get(key, "V4") or 0), rel=0.02, abs=0.002)
    assert found.get("qrs_axis") == pytest.approx(plain.get("qrs_axis"), abs=0.5)


@settings(max_examples=8, deadline=None)
@given(order=st.permutations(STANDARD_LEADS))
def test_the_order_of_the_leads_does_not_matter(order: list[str]) -> None:
    plain, _ = _by_truth(*make(ANE["lvh_strain"]))
    found, _ = _by_truth(*make(ANE["lvh_strain"], leads=tuple(order)))
    assert set(found.values) == set(plain.values)
    for key, quantity in plain.values.items():
        assert found.get(key) == pytest.approx(quantity.value, rel=1e-3, abs=0.02), key
    for lead, of in plain.by_lead.items():
        for key, quantity in of.items():
            assert found.get(key, lead) == pytest.approx(quantity.value, rel=1e-3, abs=0.02), (lead, key)


@pytest.mark.parametrize("fs_hz", [100.0, 250.0, 360.0, 500.0, 1000.0])
def test_every_source_rate_measures_alike(fs_hz: float) -> None:
    recording, truth = make(NORMAL, fs_hz=fs_hz)
    found, _ = _by_truth(recording, truth)
    slack = 0.12 if fs_hz == 100 else 0.06
    for lead in ("I", "II", "V2", "V5"):
        assert found.get("r_amplitude", lead) == pytest.approx(truth.by_lead[lead]["r_amplitude"], rel=slack)
        assert found.get("t_amplitude", lead) == pytest.approx(truth.by_lead[lead]["t_amplitude"], rel=slack)
    assert found.get("qrs_duration") == pytest.approx(90, abs=3)
    assert found.get("heart_rate") == pytest.approx(75, abs=0.5)


def test_wander_of_a_millivolt_moves_no_st_level() -> None:
    plain, _ = _measured(ANE["stemi_inferior"])
    found, _ = _measured(ANE["stemi_inferior"], WANDER)
    for lead in STANDARD_LEADS:
        for key in ("st_j", "st_j40", "st_j60", "st_j80"):
            assert found.get(key, lead) == pytest.approx(plain.get(key, lead), abs=0.02), (lead, key)


# ------------------------------------------------------------------------------------------------ what is missing


@pytest.mark.parametrize("leads", [("II",), ("I",), ("V1",), ("I", "II"), ("II", "V5"), ("V1", "V2", "V3")])
def test_few_leads_give_what_they_can(leads: tuple[str, ...]) -> None:
    found, _ = _by_truth(*make(NORMAL, leads=leads))
    assert found.get("heart_rate") == pytest.approx(75, abs=0.5)
    assert found.get("qrs_duration") == pytest.approx(90, abs=3)
    assert set(found.by_lead) == set(leads)
    assert found.get("r_amplitude", leads[0]) is not None
    assert ("qrs_axis" in found.values) == (leads == ("I", "II"))
    for key in ("sokolow_lyon", "cornell_voltage", "peguero", "romhilt_estes"):
        assert key not in found.values


def test_eight_stored_leads_give_the_axis_of_twelve() -> None:
    twelve, _ = _by_truth(*make(NORMAL))
    eight, _ = _by_truth(*make(NORMAL, leads=("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")))
    assert eight.get("qrs_axis") == pytest.approx(twelve.get("qrs_axis"), abs=1)


def test_a_missing_t_wave_leaves_its_keys_out() -> None:
    recording, truth = make(NORMAL)
    truth.overall[:, Mark.T_ON :] = np.nan
    truth.by_lead_marks[:, :, Mark.T_ON :] = np.nan
    found, _ = _by_truth(recording, truth)
    assert not [key for key in found.values if key.startswith(("qt", "t_axis", "jt"))]
    assert found.get("t_amplitude", "II") is None
    assert found.get("qrs_duration") is not None


def test_no_beats_give_no_numbers() -> None:
    recording, _ = make(NORMAL)
    strip, none = strip_of(recording), np.zeros(0, dtype=np.int64)
    beats = Beats(none, (), none, 0, np.zeros(0), none)
    waves = Waves(np.zeros((0, 9)), np.zeros((12, 0, 9)), np.zeros(0))
    found = measure(strip, beats, waves, median_beat(strip, beats, waves), QUIET)
    assert not found.values
    assert not found.by_lead


def test_every_number_is_finite_with_a_unit_and_a_certainty() -> None:
    flat = Shape({name: Lead() for name in ("I", "II", "V1")} | {"V2": NORMAL.shape.leads["V2"]}, pr_ms=None)
    for spec in (*CAL.values(), *ANE.values(), Spec("one lead beats", flat)):
        found, _ = _measured(spec)
        for quantity in (*found.values.values(), *(q for of in found.by_lead.values() for q in of.values())):
            assert np.isfinite(quantity.value)
            assert quantity.unit
            assert 0 <= quantity.certainty <= 1


def test_noise_and_few_beats_lower_the_certainty() -> None:
    clean, _ = _measured(NORMAL)
    noisy, _ = _measured(NORMAL, Noise(hf_rms_mv=0.15))
    assert noisy.by_lead["V5"]["r_amplitude"].certainty < clean.by_lead["V5"]["r_amplitude"].certainty
    one, truth = make(NORMAL, seconds=1.0)
    few, _ = _by_truth(one, truth, exact=False)
    assert few.values["qrs_duration"].certainty < clean.values["qrs_duration"].certainty
