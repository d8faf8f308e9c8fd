"""Motion is no ventricular beat, noise is no heart, and what is uncertain asks for a look without an alarm."""

from __future__ import annotations

import numpy as np
import pytest

from center.reads import SignalInput
from ecg import beat_trust, beats, engine, legible
from ecg.critical import Tier
from ecg.engine import Reading
from ecg.marks import BeatClass
from ecg.quality import assess
from ecg.signal import STANDARD_LEADS
from ecg.strip import strip_of
from tests.makers import exact_ecg as exact
from tests.makers.handheld import Noise, make_handheld, make_noise
from tests.makers.rhythms import make_rhythm

_ECTOPIC = {"pvc", "bigeminy_v", "trigeminy_v", "vt_nonsustained", "vt", "vt_poly"}


def _says_pvc(read: Reading) -> bool:
    return bool({s.key for s in read.statements} & _ECTOPIC)


def _lead(kind: str, seed: int, lead: str = "II") -> SignalInput:
    whole = make_rhythm(kind, seed)[0]
    row = STANDARD_LEADS.index(lead)
    return SignalInput(whole.signal[row : row + 1], (lead,), whole.fs_hz)


def test_motion_in_a_handheld_strip_is_neither_a_premature_beat_nor_an_alarm() -> None:
    reads = [engine.read(make_handheld(seed, dirt=0.45)[0]) for seed in range(40, 60)]
    assert sum(map(_says_pvc, reads)) <= 1
    assert not any(read.critical.tier is Tier.RED for read in reads)


def test_premature_beats_of_a_handheld_strip_are_still_said() -> None:
    reads = [engine.read(make_handheld(seed, pvcs=4, dirt=0.1)[0]) for seed in range(40, 50)]
    assert sum(map(_says_pvc, reads)) >= 9


@pytest.mark.parametrize("kind", ["bumps", "muscle", "wander", "mains", "white"])
def test_noise_of_one_lead_raises_no_alarm(kind: Noise) -> None:
    for seed in range(30, 36):
        assert engine.read(make_noise(seed, kind)).critical.tier is not Tier.RED, seed


@pytest.mark.parametrize("kind", ["muscle", "white"])
def test_noise_in_which_beats_were_found_is_not_read(kind: Noise) -> None:
    reads = [engine.read(make_noise(seed, kind)) for seed in range(30, 36)]
    assert all(read.refused is not None and read.critical.tier is Tier.ORANGE for read in reads)


@pytest.mark.parametrize(
    "kind", ["sinus", "afib", "afib_pvc", "bigeminy", "trigeminy", "vt", "svt", "avb3_wide", "sinus_pause"]
)
def test_a_heart_in_one_lead_is_legible(kind: str) -> None:
    for seed in range(3):
        strip = strip_of(_lead(kind, seed))
        quality = assess(strip.mv, strip.leads, strip.fs_hz)
        assert engine.analyse(strip, quality).is_legible, seed


@pytest.mark.parametrize("kind", ["vf", "v_flutter"])
def test_what_may_fibrillate_is_never_called_noise(kind: str) -> None:
    for seed in range(4):
        read = engine.read(_lead(kind, seed))
        assert read.refused is None or read.critical.tier in (Tier.RED, Tier.ORANGE)
        assert kind != "vf" or read.critical.tier is Tier.RED


def test_a_beat_is_believed_less_where_the_line_around_it_moves() -> None:
    """The same premature beats, quiet and in a gust of motion."""
    quiet, truth = make_handheld(7, pvcs=4, dirt=0.0)
    hz = quiet.fs_hz
    noise = make_noise(3, "motion").signal[0]
    gust = np.interp(np.arange(quiet.signal.shape[1]) / hz, np.arange(noise.size) / 300.0, noise)
    moved = SignalInput((quiet.signal + 0.8 * gust).astype(np.float32), quiet.leads, hz)
    at = np.rint(truth.at_s * 500.0).astype(np.int64)
    sure: list[float] = []
    for recording in (quiet, moved):
        strip = strip_of(recording)
        found = beats.of_ventricles(beats.classify(strip, at), truth.is_v)
        sure.append(float(beat_trust.believed(strip, found).certainty[truth.is_v].mean()))
    assert sure[1] < 0.6 * sure[0]


def test_a_class_is_kept_where_its_certainty_falls() -> None:
    strip = strip_of(make_handheld(41, dirt=0.9)[0])
    stages = engine.analyse(strip, assess(strip.mv, strip.leads, strip.fs_hz))
    again = beat_trust.believed(strip, stages.beats)
    assert again.kinds == stages.beats.kinds
    other = ~stages.beats.where(BeatClass.VENTRICULAR)
    assert np.array_equal(again.certainty[other], stages.beats.certainty[other])


@pytest.mark.parametrize("few", [0, 1, 2, 3, 4])
def test_few_beats_and_none_are_judged_without_a_fault(few: int) -> None:
    strip = strip_of(make_handheld(3, dirt=0.0)[0])
    found = beats.classify(strip, np.arange(1, few + 1, dtype=np.int64) * 700)
    assert len(beat_trust.believed(strip, found)) == few
    assert legible.is_legible(strip, found)


def _elevated(mv: float, leads: tuple[str, ...]) -> Reading:
    from dataclasses import replace

    shape = exact.normal_leads()
    for lead in leads:
        shape[lead] = replace(shape[lead], st_j=mv, t=(0.35,))
    spec = exact.Spec("st", exact.Shape(shape), rr_ms=(820.0,), sex="M", age_years=60.0)
    return engine.read(exact.make(spec)[0])


def test_two_leads_at_the_bare_limit_do_not_alarm_and_well_beyond_it_do() -> None:
    bare, beyond = (_elevated(mv, ("V5", "V6")) for mv in (0.105, 0.25))
    acute = [s for s in bare.statements if "mi_acute" in s.modifiers]
    assert acute and all(s.certainty < 0.5 for s in acute)
    assert bare.critical.tier is Tier.ORANGE
    assert beyond.critical.tier is Tier.RED
