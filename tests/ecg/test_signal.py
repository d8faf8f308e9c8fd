"""Property 12, limb_leads_agree; names of leads."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ecg.signal import STANDARD_LEADS, EcgSignal, canonical_lead, derived_limb_leads, distinct
from tests.makers.ecg import EIGHT_LEADS, make_ecg


@settings(deadline=None)
@given(st.integers(1, 40).flatmap(lambda n: st.tuples(*[arrays(np.float64, n, elements=st.floats(-5, 5))] * 2)))
def test_limb_leads_obey_einthoven_and_goldberger(leads: tuple[np.ndarray, np.ndarray]) -> None:
    lead_i, lead_ii = leads
    derived = derived_limb_leads(lead_i, lead_ii)
    assert np.allclose(lead_ii, lead_i + derived["III"])
    assert np.allclose(derived["aVR"] + derived["aVL"] + derived["aVF"], 0)
    assert np.allclose(derived["aVR"], -(lead_i + lead_ii) / 2)


def test_eight_stored_leads_become_twelve_in_their_usual_order() -> None:
    twelve = make_ecg(5, leads=EIGHT_LEADS).with_limb_leads()
    assert twelve.leads == STANDARD_LEADS
    assert twelve.is_twelve_lead
    assert twelve.limb_leads_agree
    assert np.allclose(twelve.samples, make_ecg(5).samples)


def test_a_wrong_gain_shows_in_the_limb_leads() -> None:
    signal = make_ecg(6)
    samples = signal.samples.copy()
    samples[2] *= 1.4
    assert signal.limb_leads_agree is True
    assert replace(signal, samples=samples).limb_leads_agree is False
    assert make_ecg(6, leads=("I", "II")).limb_leads_agree is None


@pytest.mark.parametrize(
    ("given_name", "usual"),
    [("avr", "aVR"), ("Lead I", "I"), ("MDC_ECG_LEAD_AVF", "aVF"), ("ECG V1", "V1"), ("v3r", "V3R"), ("Fpz", "Fpz")],
)
def test_a_lead_gets_its_usual_name(given_name: str, usual: str) -> None:
    assert canonical_lead(given_name) == usual


def test_a_lead_that_comes_twice_stays_apart() -> None:
    assert distinct(["II", "V1", "II", "II"]) == ("II", "V1", "II (2)", "II (3)")


def test_a_recording_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="read-only"):
        make_ecg(1).samples[0, 0] = 1.0


@pytest.mark.parametrize("leads", [("I",), ("I", "I")])
def test_a_recording_that_contradicts_itself_is_not_made(leads: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="lead"):
        EcgSignal(leads=leads, samples=np.zeros((2, 5)), fs_hz=500.0)
