"""Atrial flutter is told from its one wave; what beats fast and wide is never called flutter."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ecg import engine
from tests.makers.rhythms import make_rhythm


@pytest.mark.parametrize("kind", ["aflutter_3to1", "aflutter_4to1", "aflutter_variable"])
def test_flutter_with_block_is_mostly_said_with_its_rate(kind: str) -> None:
    found = 0
    for seed in range(4):
        recording, truth = make_rhythm(kind, seed)
        rhythm = engine.read(recording).rhythm
        if "aflutter" in {s.key for s in rhythm.statements}:
            found += 1
            assert rhythm.atrial_rate == pytest.approx(truth.atrial_rate, rel=0.05)
            assert not rhythm.has_p.any()
    assert found >= 3


@pytest.mark.parametrize("kind", ["sinus", "sinus_avb1", "afib", "vt", "bigeminy", "paced_v", "avb3_narrow"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_what_is_no_flutter_is_not_called_so(kind: str, seed: int) -> None:
    said = {s.key for s in engine.read(make_rhythm(kind, seed)[0]).statements}
    assert "aflutter" not in said


@pytest.mark.parametrize("rate", [155.0, 180.0, 210.0])
def test_a_wide_tachycardia_stays_red(rate: float) -> None:
    for seed in range(3):
        reading = engine.read(make_rhythm("vt", seed, rate=rate)[0])
        assert reading.critical.tier.value == "red"
        assert {"vt", "wide_tachy", "v_flutter"} & {s.key for s in reading.statements}


def test_few_beats_are_no_flutter() -> None:
    """Two beats within four seconds of flutter: nothing is claimed of the atria, and nothing falls over."""
    recording, truth = make_rhythm("aflutter_4to1", 1)
    until = int((float(truth.at_s[1]) + 0.35) * recording.fs_hz)
    begin = max(0, until - int(4.2 * recording.fs_hz))
    few = np.asarray(recording.signal)[:, begin:until]
    padded = np.concatenate(
        [np.repeat(few[:, :1], max(0, int(4.2 * recording.fs_hz) - few.shape[1]), axis=1), few], axis=1
    )
    reading = engine.read(replace(recording, signal=padded))
    assert len(reading.beats) <= 3
    assert "aflutter" not in {s.key for s in reading.statements}
