"""DICOM ECGs of one to five groups: every lead stands where it was recorded, and the read says what it looked at."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from io import BytesIO

import numpy as np
import pydicom
import pytest

from center.reads import Outcome, PreliminaryRead, Tier
from ecg.formats.aecg import read_aecg, write_aecg
from ecg.formats.dicom import open_dicom, read_dicom, read_median
from ecg.room import read_ecg, to_model_input
from ecg.signal import STANDARD_LEADS, EcgSignal
from tests.makers.ecg import IDENTITY, make_ecg, make_ecg_dicom
from tests.makers.ecg_groups import THREE_BY_FOUR, Cut, make_groups, printed

MADE = make_ecg(1, seconds=10)
LIMBS, CHEST = STANDARD_LEADS[:6], STANDARD_LEADS[6:]
TWO_OF_SIX = [Cut(LIMBS, 0, 5), Cut(CHEST, 5, 10)]


def _read(signal: EcgSignal) -> PreliminaryRead:
    return read_ecg(to_model_input(signal, "", (), "d"))


def _codes(of: EcgSignal | PreliminaryRead) -> list[str]:
    return [issue.code for issue in of.issues]


def _spans_s(signal: EcgSignal) -> dict[str, tuple[float, float]]:
    known = [np.flatnonzero(np.isfinite(row)) for row in signal.samples]
    return {
        lead: (at[0] / signal.fs_hz, (at[-1] + 1) / signal.fs_hz) for lead, at in zip(signal.leads, known, strict=True)
    }


@pytest.mark.parametrize("has_offsets", [True, False])
def test_four_groups_and_a_strip_are_twelve_leads_where_they_were_recorded(has_offsets: bool) -> None:
    signal = read_dicom(make_groups(MADE, printed(), has_offsets=has_offsets))
    assert set(signal.leads) == set(STANDARD_LEADS)
    assert signal.seconds == 10
    spans = _spans_s(signal)
    assert spans.pop("II") == (0, 10)
    for n, leads in enumerate(THREE_BY_FOUR):
        for lead in set(leads) - {"II"}:
            assert spans[lead] == (2.5 * n, 2.5 * (n + 1))
            there = np.isfinite(signal.lead(lead))
            assert np.array_equal(signal.lead(lead)[there], MADE.lead(lead)[there])
    assert np.array_equal(signal.lead("II"), MADE.lead("II"))
    assert _codes(signal) == (["recorded_in_turn"] if has_offsets else ["recorded_in_turn", "group_times_unknown"])


def test_what_was_not_looked_at_is_named_and_costs_the_green() -> None:
    read = _read(read_dicom(make_groups(MADE, printed(), has_offsets=True)))
    assert read.outcome is Outcome.READ
    assert read.tier is Tier.YELLOW
    assert "normal" not in [s.key for s in read.statements]
    told = next(issue for issue in read.issues if issue.code == "leads_not_read")
    for lead in set(STANDARD_LEADS) - {"II"}:
        assert lead in told.en
        assert lead in told.zh
    assert abs({m.key: m.value for m in read.measurements}["heart_rate"] - 72) < 4


@pytest.mark.parametrize("has_offsets", [True, False])
def test_two_groups_of_six_leads_are_both_read(has_offsets: bool) -> None:
    signal = read_dicom(make_groups(MADE, TWO_OF_SIX, has_offsets=has_offsets))
    assert _spans_s(signal)["I"] == (0, 5)
    assert _spans_s(signal)["V6"] == (5, 10)
    read = _read(signal)
    assert read.outcome is Outcome.READ
    assert read.quality["recordings"] == 2
    assert "leads_not_read" not in _codes(read)


def test_ten_seconds_of_twelve_leads_and_a_minute_of_one_are_both_read() -> None:
    minute = make_ecg(1, seconds=60)
    for has_offsets in (True, False):
        content = make_groups(minute, [Cut(STANDARD_LEADS, 0, 10), Cut(("II",), 0, 60)], has_offsets=has_offsets)
        signal = read_dicom(content)
        assert len(signal.leads) == 12
        read = _read(signal)
        assert read.quality["recordings"] == 2
        assert "leads_not_read" not in _codes(read)


def test_groups_recorded_at_once_are_one_recording() -> None:
    signal = read_dicom(make_groups(MADE, [Cut(LIMBS, 0, 10), Cut(CHEST, 0, 10)], has_offsets=True))
    assert np.array_equal(signal.samples, MADE.samples)
    assert _codes(signal) == []
    assert _read(signal).tier is _read(MADE).tier


@pytest.mark.parametrize("every", [1, 2])
def test_a_stretch_of_it_is_that_stretch_of_the_whole(every: int) -> None:
    cuts = [replace(cut, every=every) if len(cut.leads) == 1 else cut for cut in printed()]
    content = make_groups(MADE, cuts, has_offsets=True)
    whole, long = read_dicom(content).samples, open_dicom(content)
    for start, stop in ((0, 1), (0, 5000), (1200, 1300), (1249, 2501), (4990, 5000), (777, 777)):
        assert np.allclose(long.block(start, stop), whole[:, start:stop], equal_nan=True)


def test_groups_of_different_rates_meet_at_the_highest() -> None:
    cuts = [replace(cut, every=2) if len(cut.leads) == 1 else cut for cut in printed()]
    signal = read_dicom(make_groups(MADE, cuts, has_offsets=True))
    assert (signal.fs_hz, signal.samples.shape[1]) == (500, 5000)
    assert np.abs(signal.lead("II")[:-1] - MADE.lead("II")[:-1]).max() < 0.15
    assert "resampled" in _codes(signal)


@pytest.mark.parametrize(
    "cut", [Cut(STANDARD_LEADS, 0, 1, originality="DERIVED"), Cut(STANDARD_LEADS, 0, 1, label="MEDIAN BEAT")]
)
def test_a_beat_made_of_others_is_no_part_of_the_recording(cut: Cut) -> None:
    content = make_groups(MADE, [Cut(STANDARD_LEADS, 0, 10), cut])
    assert np.array_equal(read_dicom(content).samples, MADE.samples)
    assert _codes(read_dicom(content)) == []
    assert read_median(content) is not None


def test_four_short_groups_without_a_strip_are_not_read_and_a_person_is_to_look() -> None:
    read = _read(read_dicom(make_groups(MADE, printed(""), has_offsets=True)))
    assert read.outcome is Outcome.ABSTAINED
    assert read.tier not in (None, Tier.GREEN)
    assert "leads_not_read" in _codes(read)


def test_a_group_that_cannot_be_used_is_told_and_costs_the_green() -> None:
    content = make_groups(MADE, [Cut(STANDARD_LEADS, 0, 10), Cut(("V1",), 0, 3)])
    dataset = pydicom.dcmread(BytesIO(content))
    dataset.WaveformSequence[1].SamplingFrequency = "0"
    out = BytesIO()
    dataset.save_as(out)
    signal = read_dicom(out.getvalue())
    assert np.array_equal(signal.samples, MADE.samples)
    assert _codes(signal) == ["groups_not_read"]
    assert _read(signal).tier is not Tier.GREEN


def test_one_group_stays_one_group() -> None:
    assert _codes(read_dicom(make_ecg_dicom(MADE))) == []


def _aecg(signal: EcgSignal, cuts: list[Cut]) -> bytes:
    """One aECG file of a sequence set for each cut, each with its own begin."""
    series, text = list[str](), ""
    for cut in cuts:
        rows = [signal.leads.index(lead) for lead in cut.leads]
        first, last = round(cut.start_s * 500), round(cut.stop_s * 500)
        begin = datetime(2026, 3, 11, 2, 3, 11) + timedelta(seconds=cut.start_s)
        part = replace(
            signal, leads=cut.leads, samples=signal.samples[rows, first:last],
            step_mv=tuple(signal.step_mv[row] for row in rows), recorded_at=begin.isoformat(),
        )  # fmt: skip
        text = write_aecg(part, replace(IDENTITY, recorded_at=begin.isoformat())).decode()
        series.append(text[text.index("<component><series>") : text.index("</series></component>") + 21])
    return (
        text[: text.index("<component><series>")] + "".join(series) + text[text.rindex("</series></component>") + 21 :]
    ).encode()


def test_an_aecgs_sequence_sets_are_placed_by_their_times() -> None:
    signal = read_aecg(_aecg(MADE, printed()))
    assert set(signal.leads) == set(STANDARD_LEADS)
    assert "recorded_in_turn" in _codes(signal)
    assert signal.recorded_at == "2026-03-11T02:03:11"
    assert _spans_s(signal)["V6"] == (7.5, 10)
    assert np.abs(signal.lead("II") - MADE.lead("II")).max() < 0.006
    assert _read(signal).tier is Tier.YELLOW
    assert "leads_not_read" in _codes(_read(signal))
