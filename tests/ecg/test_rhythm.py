"""The rhythm of made recordings of which every P and QRS is known, and of real ones where they're at hand."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from center.reads import SignalInput
from ecg import fibrillation, rhythm
from ecg.marks import BeatClass, Rhythm
from ecg.signal import STANDARD_LEADS
from ecg.statements import vocabulary
from ecg.strip import Strip, strip_of
from tests.ecgx import packs
from tests.makers.known_rhythms import known_stages
from tests.makers.rhythms import MAKERS, make_rhythm
from tests.outside import outside_data
from tests.printed import contradicts

_SEEDS = range(100, 104)
"""Others than those that the rules were looked at with."""


@cache
def _read(kind: str, seed: int) -> tuple[Strip, Rhythm]:
    recording, truth = make_rhythm(kind, seed)
    strip = strip_of(recording)
    return strip, rhythm.analyse(strip, *known_stages(strip, truth))


def _keys(result: Rhythm) -> set[str]:
    return {statement.key for statement in result.statements}


def _of(recording: SignalInput) -> tuple[fibrillation.Span, ...]:
    return fibrillation.spans(strip_of(recording))


@pytest.mark.parametrize("kind", sorted(set(MAKERS) - {"vt_poly"}))
def test_a_made_rhythm_is_told_and_no_other(kind: str) -> None:
    wrong = 0
    for seed in _SEEDS:
        _, truth = make_rhythm(kind, seed)
        said = _keys(_read(kind, seed)[1])
        wrong += not truth.must <= said or bool(said - truth.must - truth.may)
    assert wrong <= 1  # a draw may lie on a border (a pause of 1.95 s, an escape at twice the sinus interval)


@pytest.mark.parametrize("kind", sorted(MAKERS))
def test_every_statement_is_a_term_and_has_evidence(kind: str) -> None:
    for statement in _read(kind, 100)[1].statements:
        assert statement.key in vocabulary()
        assert 0.0 < statement.certainty < 1.0
        assert statement.evidence
        assert all(e.source for e in statement.evidence)


@pytest.mark.parametrize("kind", sorted(MAKERS))
def test_what_is_printed_satisfies_its_limit(kind: str) -> None:
    for seed in _SEEDS:
        for statement in _read(kind, seed)[1].statements:
            assert [e for e in statement.evidence if contradicts(e)] == [], statement.key
            assert all(e.passed.unit in ("", e.unit) for e in statement.evidence), statement.key


def test_a_polymorphic_tachycardia_is_alarming_by_one_name_or_another() -> None:
    alarming = {"vt_poly", "torsades", "vf", "v_flutter", "vt", "wide_tachy"}
    for seed in _SEEDS:
        assert _keys(_read("vt_poly", seed)[1]) & alarming


def test_no_ordinary_rhythm_is_called_lethal() -> None:
    lethal = {"vt", "vt_poly", "torsades", "vf", "v_flutter", "avb3", "wide_tachy"}
    ordinary = (
        "sinus",
        "sinus_brady",
        "sinus_tachy",
        "sinus_rbbb",
        "sinus_lbbb",
        "sinus_tachy_lbbb",
        "afib",
        "pac",
        "pvc",
    )
    for kind in (*ordinary, "bigeminy", "aflutter_2to1", "svt", "junctional_rhythm", "paced_v", "mobitz1"):
        for seed in range(100, 103):
            assert not _keys(_read(kind, seed)[1]) & lethal, (kind, seed)


def test_fibrillation_has_no_p_waves() -> None:
    for kind in ("afib", "aflutter_4to1"):
        assert not _read(kind, 100)[1].has_p.any()
    assert _read("sinus", 100)[1].has_p.any()


# -- pauses


def test_a_gap_in_the_signal_is_no_pause() -> None:
    gone = ((3.0, 7.0),)
    for recording, truth in (make_rhythm("sinus", 5, dropout_s=gone), make_rhythm("sinus", 5, flat_s=gone)):
        strip = strip_of(recording)
        found = rhythm.analyse(strip, *known_stages(strip, truth))
        assert "sinus_arrest" not in _keys(found)
        assert found.facts["longest_pause_s"] < 2.0
        assert found.facts["edge_pause_s"] < 2.0


def test_a_beat_that_was_missed_is_no_pause() -> None:
    recording, truth = make_rhythm("sinus", 6, rate=60.0)
    gone = np.ones(truth.at_s.size, dtype=bool)
    gone[4:7] = False
    seen = replace(
        truth,
        at_s=truth.at_s[gone],
        marks_s=truth.marks_s[gone],
        kinds=tuple(np.array(truth.kinds, dtype=object)[gone]),
    )
    strip = strip_of(recording)
    found = rhythm.analyse(strip, *known_stages(strip, seen))
    assert found.facts["longest_pause_s"] < 2.0
    assert "sinus_arrest" not in _keys(found)


def test_a_pause_is_as_long_as_it_was_made() -> None:
    for seed in range(100, 110):
        _, truth = make_rhythm("sinus_pause", seed)
        longest = float(np.diff(truth.at_s).max())
        assert _read("sinus_pause", seed)[1].facts["longest_pause_s"] == pytest.approx(longest, abs=0.02)


def test_a_silence_at_the_edge_is_told_but_isnt_a_pause() -> None:
    found = _read("asystole", 100)[1]
    assert found.facts["longest_pause_s"] < 2.0
    assert found.facts["edge_pause_s"] > 3.0
    assert any("possible" in s.modifiers for s in found.statements if s.key == "sinus_arrest")


def test_flat_leads_cannot_tell_asystole() -> None:
    silent = SignalInput(np.zeros((12, 5000), np.float32), STANDARD_LEADS, 500.0)
    recording, truth = make_rhythm("vf_fine", 1, noise_mv=0.01)
    quiet = replace(recording, signal=np.random.default_rng(1).normal(0, 0.01, (12, 5000)).astype(np.float32))
    for given_, is_told in ((silent, False), (quiet, True)):
        strip = strip_of(given_)
        found = rhythm.analyse(strip, *known_stages(strip, truth))
        assert ("sinus_arrest" in _keys(found)) is is_told


# -- numbers


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), rate=st.floats(35, 150))
def test_the_rate_is_the_beats(seed: int, rate: float) -> None:
    recording, truth = make_rhythm("sinus", seed, rate=rate)
    strip = strip_of(recording)
    found = rhythm.analyse(strip, *known_stages(strip, truth))
    assert found.ventricular_rate == pytest.approx(60.0 / float(np.diff(truth.at_s).mean()), rel=0.01)
    assert found.facts["min_rate_over_6s"] <= found.facts["mean_rate"] * 1.01 <= found.facts["max_rate"] * 1.03


def test_brady_and_tachycardia_begin_where_the_list_says() -> None:
    expected = {58.0: "sinus_brady", 62.0: "sinus_rhythm", 97.0: "sinus_rhythm", 104.0: "sinus_tachy"}
    for rate, key in expected.items():
        recording, truth = make_rhythm("sinus", 3, rate=rate)
        strip = strip_of(recording)
        assert key in _keys(rhythm.analyse(strip, *known_stages(strip, truth)))


def test_three_ventricular_beats_are_a_tachycardia_and_two_a_couplet() -> None:
    couplet = next(s for s in _read("couplet", 100)[1].statements if s.key == "pvc")
    assert "couplets" in couplet.modifiers
    assert "vt_nonsustained" not in _keys(_read("couplet", 100)[1])
    run = _read("vt_nonsustained", 100)[1]
    assert run.facts["vt_beats"] >= 4
    assert run.facts["fills_strip"] == 0.0
    assert run.facts["vt_rate"] >= 100.0


def test_a_tachycardia_that_fills_the_strip_says_so() -> None:
    found = _read("vt", 100)[1]
    assert found.facts["fills_strip"] == 1.0
    assert found.facts["vt_longest_s"] > 8.0


def test_r_on_t_is_told_and_late_beats_are_not() -> None:
    assert all(_read("pvc_r_on_t", seed)[1].facts["r_on_t"] == 1.0 for seed in _SEEDS)
    recording, truth = make_rhythm("pvc", 2, rate=60.0)
    strip = strip_of(recording)
    assert rhythm.analyse(strip, *known_stages(strip, truth)).facts["r_on_t"] == 0.0


def test_t_alternans_is_a_fact_of_its_own() -> None:
    assert _read("t_alternans", 100)[1].facts["t_alternans"] == 1.0
    assert _read("alternans", 100)[1].facts["t_alternans"] == 0.0
    assert _read("sinus_tachy", 100)[1].facts["t_alternans"] == 0.0


# -- odd strips


def test_nothing_and_one_beat_are_read_without_a_rhythm() -> None:
    recording, truth = make_rhythm("sinus", 1, seconds=10.0)
    strip = strip_of(recording)
    for kept in (0, 1, 2):
        few = replace(truth, at_s=truth.at_s[:kept], marks_s=truth.marks_s[:kept], kinds=truth.kinds[:kept])
        found = rhythm.analyse(strip, *known_stages(strip, few))
        assert found.has_p.size == kept


@pytest.mark.parametrize("leads", [("II",), ("V1",), ("I", "II"), ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")])
@pytest.mark.parametrize("kind", ["sinus", "afib", "vt", "mobitz1", "avb3_wide", "vf", "paced_v", "svt"])
def test_any_leads_will_do(kind: str, leads: tuple[str, ...]) -> None:
    recording, truth = make_rhythm(kind, 3, leads=leads)
    strip = strip_of(recording)
    said = _keys(rhythm.analyse(strip, *known_stages(strip, truth)))
    assert said
    if kind != "vt":  # one lead has no signs of a ventricular origin beyond the width
        assert truth.must <= said


@settings(max_examples=30, deadline=None)
@given(kind=st.sampled_from(sorted(MAKERS)), seed=st.integers(0, 1000), share=st.floats(0.0, 1.0), data=st.data())
def test_wrong_marks_break_nothing(kind: str, seed: int, share: float, data: st.DataObject) -> None:
    """Beats of any class, waves lost at random."""
    recording, truth = make_rhythm(kind, seed)
    strip = strip_of(recording)
    beats, waves, atrial = known_stages(strip, truth)
    lost = np.random.default_rng(seed).random(waves.overall.shape) < share
    waves = replace(waves, overall=np.where(lost, np.nan, waves.overall))
    kinds = tuple(data.draw(st.lists(st.sampled_from(list(BeatClass)), min_size=len(beats), max_size=len(beats))))
    found = rhythm.analyse(strip, replace(beats, kinds=kinds), waves, atrial)
    assert found.has_p.size == len(beats)
    assert all(np.isfinite(value) for value in found.facts.values())


# -- ventricular fibrillation from the signal


@pytest.mark.parametrize("kind", ["vf", "vf_fine", "v_flutter", "torsades", "vf_onset"])
def test_fibrillating_ventricles_are_seen_without_beats(kind: str) -> None:
    for leads in (STANDARD_LEADS, ("II",)):
        found = [_of(make_rhythm(kind, seed, leads=leads)[0]) for seed in range(100, 112)]
        assert sum(bool(spans) for spans in found) >= 11


def test_the_span_is_where_it_was_made() -> None:
    for seed in range(100, 108):
        recording, truth = make_rhythm("vf_onset", seed)
        spans = _of(recording)
        assert truth.fibrillation_s
        assert spans[0].start_s == pytest.approx(truth.fibrillation_s[0], abs=1.3)
        assert spans[-1].end_s == pytest.approx(10.0, abs=0.6)


@pytest.mark.parametrize("artefact", ["", "muscle", "movement", "compressions", "mains", "wander", "taps"])
def test_no_artefact_makes_twelve_leads_fibrillate(artefact: str) -> None:
    for kind in ("sinus", "afib", "afib_lbbb", "svt", "aflutter_2to1", "sinus_tachy_lbbb", "bigeminy"):
        for seed in range(100, 104):
            assert not _of(make_rhythm(kind, seed, artefact=artefact)[0]), (kind, seed)  # type: ignore[arg-type]


def test_compressions_of_a_still_heart_are_no_fibrillation() -> None:
    for seed in range(100, 110):
        assert not _of(make_rhythm("asystole", seed, artefact="compressions")[0])


def test_beats_inside_a_span_are_dropped() -> None:
    span = fibrillation.Span("vf", 2.0, 5.0, 300.0, 1.0, 0.9, 500.0)
    at = np.array([500, 1500, 2600])
    assert fibrillation.outside(at, (span,)).tolist() == [500, 2600]


@pytest.mark.long
def test_mit_bih_has_flutter_in_record_207_only() -> None:
    folder = outside_data("ecg/mitdb_ann.parquet").parent
    said = {}
    for record in packs(folder, "mitdb"):
        one = SignalInput(record.mv[:1].astype(np.float32), record.leads[:1], record.fs_hz)
        spans = fibrillation.spans(strip_of(one, 250.0))
        if spans:
            said[record.id] = spans
    assert set(said) == {"207"}
    assert sum(span.seconds for span in said["207"]) > 90.0
