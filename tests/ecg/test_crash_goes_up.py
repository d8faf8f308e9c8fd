"""Whatever keeps the machine from reading an ECG sends it up: the engine lives through odd recordings, and when it
doesn't, the read that is left of it says "look now"."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from center.reads import ModelInput, Outcome, PreliminaryRead, Tier
from ecg import critical, diagnose, electrodes, engine, measure, median, rhythm, rhythm_alternans
from ecg.critical import Tier as EngineTier
from ecg.quality import assess
from ecg.reading import read_ecg
from ecg.rhythm_view import view_of
from ecg.statements import validated
from ecg.strip import strip_of
from tests.makers.known_rhythms import known_stages
from tests.makers.odd_ecg import odd_recording, odd_stages
from tests.makers.rhythms import make_rhythm


def _input(seed: int, kind: str = "sinus") -> ModelInput:
    return ModelInput("ecg", "", (), f"digest {seed}", recording=make_rhythm(kind, seed)[0])


def _rules(read: PreliminaryRead) -> set[str]:
    return {rule.rule for rule in read.critical.rules} if read.critical else set()


@pytest.mark.parametrize("seeds", [range(n, n + 40) for n in range(0, 160, 40)])
def test_the_engine_lives_through_odd_recordings(seeds: range) -> None:
    for seed in seeds:
        reading = engine.read(odd_recording(seed))
        assert reading.refused is None or reading.critical.tier is not EngineTier.GREEN, seed


@pytest.mark.long
def test_the_engine_lives_through_many_odd_recordings() -> None:
    for seed in range(1000, 2500):
        engine.read(odd_recording(seed))


@pytest.mark.parametrize("seeds", [range(n, n + 15) for n in range(0, 60, 15)])
def test_each_stage_lives_through_odd_beats_and_marks(seeds: range) -> None:
    """What the stages before it may hand on wrongly: beats lost, doubled, at the ends, waves lost, moved, out of order."""
    for seed in seeds:
        _stages(seed)


@pytest.mark.long
def test_each_stage_lives_through_many_odd_beats_and_marks() -> None:
    for seed in range(1000, 2000):
        _stages(seed)


def _stages(seed: int) -> None:
    strip, beats, waves, atria = odd_stages(seed)
    found = rhythm.analyse(strip, beats, waves, atria, ())
    quality = assess(strip.mv, strip.leads, strip.fs_hz)
    middle = median.median_beat(strip, beats, waves)
    measured = measure.measure(strip, beats, waves, middle, found)
    electrodes.swaps(strip, middle)
    said = diagnose.statements(strip, measured, middle, found, beats, quality)
    graded = critical.grade(validated((*found.statements, *said)), measured, found, seconds=strip.seconds)
    assert graded.tier in EngineTier


@pytest.mark.parametrize("after_s", [0.0, 0.02, 0.035, 0.05])
def test_a_t_wave_marked_within_the_qrs_is_looked_at_all_the_same(after_s: float) -> None:
    """A fast steady rhythm whose T peak was marked right behind R left an empty window before the T wave."""
    recording, truth = make_rhythm("svt", 3)
    strip = strip_of(recording)
    view = view_of(strip, *known_stages(strip, truth))
    found = rhythm_alternans.of(replace(view, t_peak_s=view.at_s + after_s))
    assert dict(found.facts)["t_alternans"] in (0.0, 1.0)


@pytest.mark.parametrize("stage", ["assess", "analyse", "strip_of"])
@pytest.mark.parametrize("error", [IndexError("x"), MemoryError(), RecursionError(), FloatingPointError()])
def test_a_stage_that_breaks_is_orange_and_asks_for_a_read_now(
    stage: str, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(engine, stage, broken)
    read = read_ecg(_input(1))
    assert read.outcome is Outcome.ABSTAINED
    assert read.reason is not None and "请立即人工阅图" in read.reason.zh and "look now" in read.reason.en
    assert read.tier is Tier.ORANGE
    assert [f.key for f in read.critical_findings] == ["critical:machine_failed"]
    assert read.critical is not None and read.critical.rules[0].source == "ours"


def test_one_recording_that_breaks_hides_no_other_and_raises_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = assess
    calls: list[int] = []

    def second_breaks(*given: object, **more: object) -> object:
        calls.append(1)
        if len(calls) == 2:
            raise ValueError("x")
        return whole(*given, **more)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(engine, "assess", second_breaks)
    given = replace(_input(1), more=(_input(2), _input(3, "vf")))
    read = read_ecg(given)
    assert len(calls) == 3
    assert read.outcome is Outcome.READ
    assert read.tier is Tier.RED  # the third's fibrillation
    assert {"vf", "machine_failed"} <= _rules(read)
    assert read.quality["tiers"] == ["green", "orange", "red"]

    calls.clear()
    calm = read_ecg(replace(_input(1), more=(_input(2),)))
    assert (calm.outcome, calm.tier) == (Outcome.READ, Tier.ORANGE)
    assert calm.measurements


@pytest.mark.parametrize(
    "samples",
    [
        np.zeros((12, 5000)),
        np.full((12, 5000), np.nan),
        np.zeros((1, 900)),
        np.random.default_rng(1).normal(0, 0.3, (12, 5000)),
        np.tile(np.sin(np.arange(5000) / 60), (3, 1)),
    ],
)
def test_a_recording_that_could_not_be_read_is_read_next(samples: np.ndarray) -> None:
    sine = make_rhythm("sinus", 1)[0]
    given = replace(sine, signal=samples.astype(np.float32), leads=sine.leads[: samples.shape[0]], fs_hz=500.0)
    read = read_ecg(ModelInput("ecg", "", (), "d", recording=given))
    assert read.outcome is Outcome.ABSTAINED and read.tier in (Tier.ORANGE, Tier.RED)
    assert "unreadable" in _rules(read)
