"""Beats get the class that their shape and time ask for; spikes are told from R waves."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from benchmarks import ec57
from ecg import beats, qrs
from ecg.marks import BeatClass
from ecg.strip import Strip
from tests.ecgx import records
from tests.makers.beats_ecg import Made, made, steady
from tests.outside import outside_data

N, S, V, P = BeatClass.NORMAL, BeatClass.SUPRAVENTRICULAR, BeatClass.VENTRICULAR, BeatClass.PACED
LETTER = {N: "N", S: "S", V: "V", BeatClass.FUSION: "F", P: "Q", BeatClass.UNKNOWN: "Q"}


def strip_of(recording: Made, source_fs_hz: float = 0.0) -> Strip:
    mv = recording.mv
    return Strip(
        tuple(f"L{k}" for k in range(mv.shape[0])),
        mv,
        recording.fs_hz,
        source_fs_hz or recording.fs_hz,
        mv.shape[1],
        np.ones(mv.shape, dtype=bool),
    )


def with_early(shape: str, which: tuple[int, ...], early_s: float, beats_in_all: int = 24, **more: int) -> Made:
    """A steady rhythm at 75/min in which some beats come early, with a full pause after a wide one."""
    times = [0.5 + 0.8 * k - (early_s if k in which else 0.0) for k in range(beats_in_all)]
    shapes = [shape if k in which else "narrow" for k in range(beats_in_all)]
    return made(times, shapes, times[-1] + 0.6, **more)


@pytest.mark.parametrize("leads", [1, 3, 12])
def test_early_wide_odd_beats_are_ventricular_and_the_others_are_not(leads: int) -> None:
    recording = with_early("wide", (6, 13, 18), 0.3, leads=leads)
    found = beats.classify(strip_of(recording), recording.at)
    assert [k for k, kind in enumerate(found.kinds) if kind is V] == [6, 13, 18]
    assert set(found.kinds) == {N, V}
    assert len(set(found.family[[6, 13, 18]].tolist())) == 1
    assert found.dominant == found.family[0] == 0


@pytest.mark.parametrize("leads", [1, 12])
def test_early_beats_of_the_usual_shape_are_supraventricular(leads: int) -> None:
    recording = with_early("narrow", (6, 13), 0.28, leads=leads)
    found = beats.classify(strip_of(recording), recording.at)
    assert [k for k, kind in enumerate(found.kinds) if kind is S] == [6, 13]
    assert V not in found.kinds


def test_an_irregular_rhythm_has_no_early_beats() -> None:
    times = np.cumsum(np.random.default_rng(1).uniform(0.45, 1.15, 40)).tolist()
    recording = made(times, ["narrow"] * 40, times[-1] + 0.5)
    assert set(beats.classify(strip_of(recording), recording.at).kinds) == {N}


@pytest.mark.parametrize("shape", ["narrow", "rs", "bundle", "tall_t", "wide"])
@pytest.mark.parametrize("leads", [1, 12])
def test_a_steady_rhythm_of_one_shape_is_normal_however_wide(shape: str, leads: int) -> None:
    recording = steady(70, 10, shape, leads=leads)
    found = beats.classify(strip_of(recording), recording.at)
    assert set(found.kinds) == {N}
    assert np.mean(found.family == 0) >= 0.9  # a beat that the strip's end cuts may stand alone


def test_every_other_beat_wide_is_bigeminy_and_the_narrow_ones_lead() -> None:
    recording = with_early("wide", tuple(range(1, 24, 2)), 0.25)
    found = beats.classify(strip_of(recording), recording.at)
    assert found.family[0] == found.dominant
    assert np.mean([kind is V for kind in found.kinds[1::2]]) >= 0.9
    assert V not in found.kinds[::2]


def paced(height_mv: float = 1.0, before: int = 35) -> Made:
    recording = steady(70, 10, "wide", leads=3)
    mv = recording.mv.copy()
    for at in (recording.at - before).tolist():
        mv[:, at : at + 2] += height_mv
    return Made(mv, recording.at, recording.shapes, recording.fs_hz)


def test_spikes_are_found_where_they_stand_and_their_beats_are_paced() -> None:
    recording = paced()
    found = beats.classify(strip_of(recording), recording.at)
    assert np.abs(found.spikes - (recording.at - 35)).max() <= 2
    assert set(found.kinds) == {P}


def test_a_slow_recording_shows_no_spikes() -> None:
    assert beats.pacing_spikes(strip_of(paced(), source_fs_hz=250.0)).size == 0


@pytest.mark.parametrize("shape", ["narrow", "rs", "bundle", "tall_t", "wide"])
def test_r_waves_noise_and_mains_are_no_spikes(shape: str) -> None:
    recording = steady(80, 10, shape, mv=2.5, leads=3)
    t = np.arange(recording.mv.shape[1]) / 500.0
    for change in (
        np.zeros(t.size),
        0.5 * np.sin(2 * np.pi * 50 * t),
        0.1 * np.random.default_rng(2).normal(size=t.size),
    ):
        noisy = Made(recording.mv + change, recording.at, recording.shapes, 500.0)
        assert beats.pacing_spikes(strip_of(noisy)).size == 0


def test_spikes_without_beats_make_no_beat_paced() -> None:
    recording = steady(40, 20)
    mv = recording.mv.copy()
    for at in range(300, 9800, 700):
        if np.abs(recording.at - at).min() > 120:
            mv[:, at : at + 2] += 1.0
    found = beats.classify(strip_of(Made(mv, recording.at, recording.shapes, 500.0)), recording.at)
    assert found.spikes.size >= 5
    assert P not in found.kinds


@pytest.mark.parametrize("count", [0, 1, 2, 3, 5])
@pytest.mark.parametrize("leads", [1, 12])
def test_few_beats_are_classed_too(count: int, leads: int) -> None:
    recording = made([0.5 + 0.8 * k for k in range(count)] or [0.5], ["narrow"] * max(count, 1), 5.0, leads=leads)
    found = beats.classify(strip_of(recording), recording.at[:count])
    assert found.kinds == (N,) * count
    assert found.certainty.shape == (count,) and np.isfinite(found.certainty).all()


def test_gain_and_the_order_of_leads_change_no_class() -> None:
    recording = with_early("wide", (6, 13), 0.3, leads=3)
    first = beats.classify(strip_of(recording), recording.at).kinds
    for mv in (3.0 * recording.mv, recording.mv[::-1], -recording.mv):
        assert beats.classify(strip_of(Made(mv, recording.at, recording.shapes, 500.0)), recording.at).kinds == first


def test_ventricular_beats_of_mit_bih_106() -> None:
    """A record of the tuning set; the whole table is ``benchmarks/qrs.py``'s."""
    annotations = pd.read_parquet(outside_data("ecg/mitdb_ann.parquet"))
    record = next(r for r in records(outside_data("ecg/mitdb_360hz_00.ecgx")) if r.id == "106")
    its = annotations[annotations["id"].astype(str) == record.id]
    reference = ec57.reference_of(its["sample"].tolist(), its["symbol"].tolist(), record.mv.shape[1])
    at = qrs.detect(record.mv[:1], record.fs_hz)
    kinds = beats.classify(strip_of(Made(record.mv[:1], at, (), record.fs_hz)), at).kinds
    said = "".join(LETTER[kind] for kind in kinds)
    sensitivity, predictivity, _ = ec57.score(reference, at, record.fs_hz, said).of_class("V")
    assert sensitivity >= 95.0 and predictivity >= 95.0
