"""Exchanged electrodes: found on made hearts and on real ones, and not invented where all is well."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from center.reads import SignalInput
from ecg import beats, qrs, waves
from ecg.electrodes import exchanged, swaps
from ecg.electrodes_tables import CHEST_PAIRS
from ecg.marks import MedianBeat, Statement
from ecg.median import median_beat
from ecg.strip import Samples, Strip, strip_of
from tests.ecgx import records
from tests.makers.exact_ecg import ANE, NORMAL, Noise, Spec, make
from tests.outside import outside_data

EIGHT = ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")


def _made(spec: Spec = NORMAL, leads: tuple[str, ...] = EIGHT) -> tuple[Strip, MedianBeat]:
    recording, truth = make(spec, noise=Noise(hf_rms_mv=0.005), leads=leads)
    strip = strip_of(recording)
    return strip, median_beat(strip, truth.beats(), truth.waves())


def _limb_swapped(mv: Samples, pair: str) -> Samples:
    out = mv.copy()
    if pair == "ra_rl":
        out[0], out[1] = mv[0] - mv[1], 0.02 * mv[2]
        out[2:] = mv[2:] - mv[1] / 3
    else:
        out[0], out[1] = exchanged(mv[0], mv[1], pair)
    return out


def _said(strip: Strip, median: MedianBeat, mv: Samples | None = None) -> list[tuple[str, str]]:
    found = swaps(strip, median if mv is None else replace(median, mv=mv))
    return [(statement.key, statement.modifiers[0]) for statement in found]


@pytest.mark.parametrize("pair", ["la_ra", "la_ll", "ra_ll"])
def test_exchanging_twice_gives_the_leads_back(pair: str) -> None:
    a, b = np.array([0.3, -0.2, 1.0]), np.array([0.1, 0.7, -0.4])
    back = exchanged(*exchanged(a, b, pair), pair)
    assert np.allclose(back, (a, b))


@pytest.mark.parametrize("pair", ["la_ra", "ra_ll", "ra_rl"])
def test_exchanged_limb_electrodes_are_named(pair: str) -> None:
    strip, median = _made()
    assert _said(strip, median) == []
    assert ("limb_reversal", pair) in _said(strip, median, _limb_swapped(median.mv, pair))


@pytest.mark.parametrize("pair", ["v1_v3", "v3_v5", "v1_v6"])
def test_exchanged_chest_electrodes_are_named(pair: str) -> None:
    strip, median = _made()
    i, j = CHEST_PAIRS[pair]
    mv = median.mv.copy()
    mv[[2 + i, 2 + j]] = mv[[2 + j, 2 + i]]
    assert any(key == "precordial_misplaced" for key, _ in _said(strip, median, mv))


@pytest.mark.parametrize(
    "name", ["normal", "lbbb", "left_axis", "inferior_q", "lvh_strain", "stemi_inferior", "low_voltage"]
)
def test_an_ill_heart_is_no_exchanged_electrode(name: str) -> None:
    assert not [key for key, _ in _said(*_made(ANE[name])) if key == "limb_reversal"]


def test_evidence_says_where_it_was_seen_and_from_where_the_limit_is() -> None:
    strip, median = _made()
    found: tuple[Statement, ...] = swaps(strip, replace(median, mv=_limb_swapped(median.mv, "la_ra")))
    assert found
    assert 0.6 <= found[0].certainty <= 0.95
    assert found[0].evidence[0].limit
    assert found[0].evidence[0].source
    assert {evidence.lead for evidence in found[0].evidence} >= {"I", "II"}


@pytest.mark.parametrize("leads", [("II",), ("I", "II"), ("I", "II", "V1", "V2", "V3"), EIGHT[2:]])
def test_without_the_eight_leads_nothing_is_said(leads: tuple[str, ...]) -> None:
    assert swaps(*_made(leads=leads)) == ()


def test_a_single_beat_says_nothing() -> None:
    strip, median = _made()
    assert swaps(strip, replace(median, beats=1)) == ()


def test_a_dead_lead_says_nothing() -> None:
    strip, median = _made()
    mv = median.mv.copy()
    mv[1] = 0.0
    assert ("limb_reversal", "ra_rl") not in _said(strip, median, mv)
    mv[4] = 0.0
    assert _said(strip, median, mv) == []


def test_nothing_moves_with_the_order_of_the_leads() -> None:
    strip, median = _made()
    swapped = replace(median, mv=_limb_swapped(median.mv, "la_ra"))
    order = [7, 3, 0, 5, 1, 2, 6, 4]
    shuffled = replace(swapped, leads=tuple(EIGHT[k] for k in order), mv=swapped.mv[order])
    assert [s.key for s in swaps(replace(strip, leads=shuffled.leads), shuffled)] == [
        s.key for s in swaps(strip, swapped)
    ]


@pytest.mark.long
def test_real_hearts_with_arms_exchanged_are_found_and_few_others_accused() -> None:
    found = accused = seen = 0
    for n, record in enumerate(records(outside_data("ecg/ludb_500hz_uv5_00.ecgx"))):
        if n % 4:
            continue
        strip = strip_of(SignalInput(record.mv.astype(np.float32), record.leads, record.fs_hz))
        at = qrs.detect(strip.mv, strip.fs_hz)
        own = beats.classify(strip, at)
        median = median_beat(strip, own, waves.delineate(strip, own))
        seen += 1
        accused += any(key == "limb_reversal" for key, _ in _said(strip, median))
        found += ("limb_reversal", "la_ra") in _said(strip, median, _limb_swapped(median.mv, "la_ra"))
    assert seen >= 30
    assert accused <= 1
    assert found >= 0.8 * seen
