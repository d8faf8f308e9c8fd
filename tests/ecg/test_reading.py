"""Rate, regularity and quality: on made hearts, on noise, on LUDB and MIT-BIH."""

from __future__ import annotations

import bz2
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from center.reads import ModelInput, Outcome, PreliminaryRead, Tier
from ecg.quality import Grade, assess
from ecg.room import MODEL, VERSION, read_ecg, read_files, to_model_input
from ecg.signal import EcgSignal
from tests.makers.ecg import make_ecg
from tests.makers.rhythms import make_rhythm
from tests.outside import outside_data


def _read(signal: EcgSignal) -> PreliminaryRead:
    return read_ecg(to_model_input(signal, "2.25.1", ("2.25.3",), "digest"))


def _of(samples: np.ndarray, fs_hz: float = 500.0) -> EcgSignal:
    leads = tuple(f"V{n + 1}" for n in range(samples.shape[0]))
    return EcgSignal(leads, samples, fs_hz)


def _rate(read: PreliminaryRead) -> float:
    return {m.key: m.value for m in read.measurements}["heart_rate"]


@pytest.mark.parametrize("heart_rate", [40, 60, 75, 90, 110, 130, 150])
@pytest.mark.parametrize("fs_hz", [100, 500])
def test_the_rate_of_a_made_heart_is_right_within_two_beats(heart_rate: int, fs_hz: int) -> None:
    read = _read(make_ecg(heart_rate, heart_rate=heart_rate, fs_hz=fs_hz))
    assert read.outcome is Outcome.READ
    assert abs(_rate(read) - heart_rate) <= 2
    assert read.quality["grade"] == "good"
    assert read.findings == ()
    assert (read.model, read.version, read.input_digest) == (MODEL, VERSION, "digest")


def test_each_beat_is_placed_within_its_qrs() -> None:
    signal = make_ecg(8, heart_rate=60)
    beats = _read(signal).extra["beats"]
    assert isinstance(beats, list)
    assert len(beats) in (9, 10)
    rhythm = signal.lead("II")
    for beat in beats:
        near = slice(max(0, beat["sample"] - 50), beat["sample"] + 51)
        r_peak = int(np.argmax(rhythm[near])) + near.start
        assert abs(r_peak - beat["sample"]) <= 20  # 40 ms: the lead that shows it best may peak in S


def test_a_fibrillating_heart_is_irregular() -> None:
    read = _read(make_ecg(9, rhythm="af", heart_rate=90))
    assert "afib" in {s.key for s in read.statements}
    assert not any("p_on" in beat for beat in read.extra["beats"])  # pyright: ignore[reportGeneralTypeIssues]


def test_one_lead_is_enough() -> None:
    assert abs(_rate(_read(make_ecg(2, leads=("II",)))) - 72) <= 2


@pytest.mark.parametrize(
    ("samples", "code"),
    [
        (np.zeros((12, 5000)), "poor_quality"),
        (np.full((12, 5000), np.nan), "poor_quality"),
        (np.random.default_rng(1).normal(0, 0.3, (12, 5000)), "poor_quality"),
        (np.cumsum(np.random.default_rng(1).normal(0, 0.02, (12, 5000)), axis=1), "no_beats"),
        (np.tile(np.sin(np.arange(5000) / 60), (3, 1)), "no_beats"),
        (make_ecg(1, seconds=3.9).samples, "too_short"),
        (np.zeros((1, 3)), "too_short"),
        (np.zeros((1, 0)), "too_short"),
    ],
)
def test_what_is_no_rhythm_is_not_read_and_says_why(samples: np.ndarray, code: str) -> None:
    read = _read(_of(samples))
    assert read.outcome is Outcome.ABSTAINED
    assert read.reason is not None
    assert read.reason.code == code
    assert read.reason.zh.endswith("。")
    assert read.reason.en.endswith(".")
    assert read.measurements == ()
    json.dumps(read.quality)


def test_quality_names_the_leads_that_are_bad() -> None:
    samples = make_ecg(4).samples.copy()
    samples[6] = 0.0
    samples[7] = np.clip(samples[7] * 6, -1.5, 1.5)
    samples[8] += np.random.default_rng(1).normal(0, 0.25, samples.shape[1])
    samples[9] += 1.2 * np.sin(np.arange(samples.shape[1]) / 500)
    samples[10] += 0.2 * np.sin(2 * np.pi * 50 * np.arange(samples.shape[1]) / 500)
    found = assess(samples, make_ecg(4).leads, 500)
    said = {reason.code: reason.en for reason in found.reasons}
    assert found.grade is Grade.LIMITED
    assert said["lead_off"].endswith(": V1.")
    assert said["saturated"].endswith(": V2.")
    assert "V3" in said["noise"]
    assert said["baseline_wander"].endswith(": V4.")
    assert said["mains"].endswith(": V5.")
    assert _read(EcgSignal(make_ecg(4).leads, samples, 500.0)).outcome is Outcome.READ


def _packed(file: Path, wanted: int) -> tuple[dict[str, list[str]], list[np.ndarray]]:
    """Records of an .ecgx pack: first differences, zigzag, all low bytes then all high bytes; -> mV."""
    with file.open("rb") as source:
        head = json.loads(source.readline())
        body = np.frombuffer(bz2.decompress(source.read()), dtype=np.uint8)
    half = body.size // 2
    steps = body[:half].astype(np.int32) | (body[half:].astype(np.int32) << 8)
    steps = (steps >> 1) ^ -(steps & 1)
    out: list[np.ndarray] = []
    at = 0
    for length in head["lens"][:wanted]:
        count = length * len(head["leads"])
        counts = np.cumsum(steps[at : at + count].reshape(-1, length), axis=1).astype(np.int16)
        out.append(counts * (head["unit_uv"] / 1000))
        at += count
    return head, out


def test_the_rate_of_ludb_records_is_that_of_their_hand_set_beats() -> None:
    folder = outside_data("ecg/ludb_500hz_uv5_00.ecgx").parent
    waves = pd.read_parquet(folder / "ludb_waves.parquet")
    head, records = _packed(folder / "ludb_500hz_uv5_00.ecgx", 25)
    apart: list[float] = []
    for name, samples in zip(head["ids"], records, strict=False):
        peaks = waves[(waves.id.astype(str) == name) & (waves.wave == "QRS") & (waves.lead == "II")].peak
        truth = 60 * 500 / float(np.median(np.diff(np.sort(peaks))))
        apart.append(abs(_rate(_read(EcgSignal(tuple(head["leads"]), samples, 500.0).with_limb_leads())) - truth))
    assert len(apart) == 25
    assert np.mean(np.array(apart) <= 2) >= 0.9
    # In fibrillation the marked beats are not all of the strip's, so the mean differs with its ends.
    assert max(apart) < 10


def test_beats_of_mit_bih_record_100_are_found() -> None:
    folder = outside_data("ecg/mitdb_360hz_00.ecgx").parent
    marks = pd.read_parquet(folder / "mitdb_ann.parquet")
    head, records = _packed(folder / "mitdb_360hz_00.ecgx", 1)
    minute = 60 * 360
    truth = marks[(marks.id.astype(str) == head["ids"][0]) & marks.symbol.isin(["N", "A", "V"])]["sample"]
    truth = truth[truth < minute].to_numpy()
    beats = _read(EcgSignal(("MLII",), records[0][:1, :minute], 360.0)).extra["beats"]
    assert isinstance(beats, list)
    found = np.array([beat["sample"] for beat in beats])
    assert all(np.abs(found - mark).min() <= 18 for mark in truth)


def test_what_is_new_since_the_last_ecg_is_said_and_graded() -> None:
    before = _read(make_ecg(3, heart_rate=70))
    given = to_model_input(make_ecg(3, heart_rate=70), "2.25.1", ("2.25.3",), "digest")
    same = read_ecg(replace(given, previous=before, previous_study_uid="2.25.9", previous_at="2026-01-02T03:04:05"))
    assert (same.compared_with, same.compared_at) == ("2.25.9", "2026-01-02T03:04:05")
    assert "no_significant_change" in {s.key for s in same.statements}
    faster = to_model_input(make_ecg(3, heart_rate=130), "2.25.1", ("2.25.3",), "digest")
    changed = read_ecg(replace(faster, previous=before, previous_study_uid="2.25.9"))
    assert "rhythm_changed" in {s.key for s in changed.statements}
    assert not before.compared_with


def test_every_statement_has_its_words_its_codes_and_its_evidence() -> None:
    read = _read(make_ecg(9, rhythm="af", heart_rate=150))
    assert read.critical is not None
    assert read.critical.profile == "national_2017"
    for said in read.statements:
        assert said.zh and said.en and 0 < said.certainty <= 1
        assert all(code.value and code.scheme for code in said.codes)
    afib = next(s for s in read.statements if s.key == "afib")
    assert {c.scheme: c.value for c in afib.codes}["SCT"] == "164889003"
    assert afib.evidence


def test_two_forms_of_wide_beats_in_turn_are_all_found() -> None:
    """A real recording with bundle branch block and ectopy: 14 complexes, of which the last lies at the edge."""
    path = outside_data("ecg_formats/pfe105_redred.scp")
    beats = _read(read_files({path.name: path.read_bytes()})).extra["beats"]
    assert isinstance(beats, list)
    assert len(beats) in (13, 14)
    assert np.diff([beat["sample"] for beat in beats]).max() < 1.1 * 500


def test_exchanged_arm_electrodes_are_said() -> None:
    right = make_ecg(6, heart_rate=70)
    swapped = {"I": -right.lead("I"), "II": right.lead("III"), "III": right.lead("II")}
    swapped |= {"aVR": right.lead("aVL"), "aVL": right.lead("aVR"), "aVF": right.lead("aVF")}
    samples = np.stack([swapped.get(lead, right.lead(lead)) for lead in right.leads])
    said = {s.key for s in _read(replace(right, samples=samples)).statements}
    assert "limb_reversal" in said
    assert "limb_reversal" not in {s.key for s in _read(right).statements}


@pytest.mark.parametrize("seed", range(4))
def test_a_heart_that_stops_is_red_and_not_a_bad_electrode(seed: int) -> None:
    recording, _ = make_rhythm("asystole", seed)
    read = read_ecg(ModelInput("ecg", "", (), "digest", recording=recording))
    assert read.outcome is Outcome.READ
    assert read.critical is not None and read.critical.tier is Tier.RED
    assert "pause" in {rule.rule for rule in read.critical.rules}
