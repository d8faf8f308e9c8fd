"""Tachycardia without a steep slope: found, named, never sinus and never green; and what must not pass for it."""

import numpy as np
import pytest

from ecg import broad_waves, engine, fibrillation, qrs
from ecg.critical import Tier
from ecg.marks import BeatClass
from ecg.signal import STANDARD_LEADS
from ecg.strip import strip_of
from tests.makers.rhythms import make_rhythm
from tests.makers.ventricular import FORMS, Form, make_ventricular, twelve

RATES = (112.0, 137.0, 162.0, 185.0)
FREQUENCIES_HZ = (100.0, 125.0, 250.0, 360.0, 500.0)
HEIGHTS_MV = (0.3, 1.0, 2.5, 7.0)


def _is_sinus(reading: engine.Reading) -> bool:
    return any(s.key in ("sinus_rhythm", "sinus_tachy", "sinus_brady") for s in reading.statements)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("rate", RATES)
def test_a_tachycardia_without_a_steep_slope_is_urgent_and_no_sinus_rhythm(form: Form, rate: float) -> None:
    seed = 3000 + RATES.index(rate)
    fs_hz, height = FREQUENCIES_HZ[(seed + FORMS.index(form)) % 5], HEIGHTS_MV[seed % 4]
    recording, truth = make_ventricular(form, seed, rate=rate, fs_hz=fs_hz, height_mv=height)
    reading = engine.read(recording)
    assert reading.critical.tier in (Tier.RED, Tier.ORANGE), (fs_hz, height, [s.key for s in reading.statements])
    assert not _is_sinus(reading)
    assert {"vt", "wide_tachy", "v_flutter", "vf"} & {s.key for s in reading.statements}
    assert reading.refused is None
    if len(reading.beats):
        assert reading.measurements.get("heart_rate") == pytest.approx(truth.rate, rel=0.06)


@pytest.mark.parametrize("form", FORMS)
def test_the_same_in_twelve_leads(form: Form) -> None:
    recording, truth = twelve(form, 3100, rate=150.0)
    reading = engine.read(recording)
    assert reading.critical.tier is Tier.RED
    assert not _is_sinus(reading)
    fluttering = {"v_flutter", "vf"} & {s.key for s in reading.statements}  # of which no beat is told
    assert fluttering or abs(len(reading.beats) - truth.at_s.size) <= 2


@pytest.mark.parametrize("form", FORMS)
def test_turns_of_unequal_length_and_height_are_followed(form: Form) -> None:
    recording, _ = make_ventricular(form, 3200, rate=140.0, is_restless=True, noise="both")
    reading = engine.read(recording)
    assert reading.critical.tier in (Tier.RED, Tier.ORANGE)
    assert not _is_sinus(reading)


def test_the_crests_are_the_beats_and_are_ventricular() -> None:
    recording, truth = make_ventricular("sine", 3300, rate=150.0, noise="")
    reading = engine.read(recording)
    steps = np.diff(reading.beats.at) / reading.strip.fs_hz
    assert abs(len(reading.beats) - truth.at_s.size) <= 1
    assert np.std(steps) < 0.03
    assert set(reading.beats.kinds) == {BeatClass.VENTRICULAR}


def test_a_steep_detector_that_takes_every_second_wave_is_overruled() -> None:
    recording, truth = make_ventricular("monophasic", 3400, rate=140.0, noise="")
    strip = strip_of(recording)
    (train,) = broad_waves.trains(strip)
    every_second = train.at[::2]
    at, is_broad = broad_waves.claimed(every_second, (train,), strip.fs_hz)
    assert abs(at.size - truth.at_s.size) <= 1
    assert is_broad.all()


def test_beats_that_are_the_waves_keep_their_own_places() -> None:
    recording, _ = make_ventricular("monophasic", 3400, rate=140.0, noise="")
    strip = strip_of(recording)
    (train,) = broad_waves.trains(strip)
    own = train.at + 7
    assert np.array_equal(broad_waves.claimed(own, (train,), strip.fs_hz)[0], own)


@pytest.mark.parametrize("kind", ["sinus", "sinus_tachy", "sinus_rbbb", "afib", "afib_lbbb", "svt", "bigeminy"])
@pytest.mark.parametrize("leads", [("II",), ("V1",), STANDARD_LEADS])
def test_beats_with_a_steep_slope_are_no_such_waves(kind: str, leads: tuple[str, ...]) -> None:
    for seed in range(3):
        recording, _ = make_rhythm(kind, 3500 + seed, leads=leads)
        assert broad_waves.trains(strip_of(recording)) == ()


def test_twelve_leads_leave_a_fast_bundle_branch_block_to_its_beats() -> None:
    """One lead may not: there P, QRS and T of a left bundle branch block can run into one wave."""
    for seed in range(2):
        strip = strip_of(make_rhythm("sinus_tachy_lbbb", 3800 + seed)[0])
        found = broad_waves.trains(strip)
        assert broad_waves.unexplained(found, qrs.detect(strip.mv, strip.fs_hz), strip) == ()


def test_no_rhythm_is_sinus_without_p_waves_and_none_is_green() -> None:
    for kind in ("junctional_acc", "svt", "vt"):
        for leads in (("II",), STANDARD_LEADS):
            reading = engine.read(make_rhythm(kind, 3900, leads=leads)[0])
            assert not _is_sinus(reading), (kind, leads)
            assert reading.critical.tier is not Tier.GREEN
            assert "normal" not in {s.key for s in reading.statements}


def test_sinus_rhythm_with_p_waves_is_proved() -> None:
    reading = engine.read(make_rhythm("sinus", 3910)[0])
    assert _is_sinus(reading)
    assert reading.rhythm.facts["rhythm_unproved"] == 0.0


@pytest.mark.parametrize("artefact", ["muscle", "movement", "mains", "wander", "taps"])
def test_artefacts_over_sinus_rhythm_are_no_such_waves(artefact: str) -> None:
    for seed in range(3):
        recording, _ = make_rhythm("sinus", 3600 + seed, artefact=artefact)  # type: ignore[arg-type]  # of its Literal
        assert broad_waves.trains(strip_of(recording)) == ()


def test_what_fibrillates_is_left_to_fibrillation() -> None:
    recording, _ = make_rhythm("v_flutter", 3700, leads=("II",))
    strip = strip_of(recording)
    assert broad_waves.trains(strip, fibrillation.spans(strip)) == ()
