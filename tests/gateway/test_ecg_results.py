"""An ECG's read as DICOM: conformant, coded, complete, and the same bytes each time."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from center.reads import PreliminaryRead, Tier
from dicom_gateway import ecg_results, results
from dicom_gateway.result_uids import median_uids, read_uids
from dicom_gateway.source_header import SourceHeader
from ecg.formats.dicom import read_dicom
from tests.gateway.test_results import dciodvfy, header, kept
from tests.makers.ecg_reads import ISSUES, LEADS, POOR, ecg_read

BARE = replace(ecg_read(Tier.YELLOW), measurements=(), statements=(), device=())
ZONE = "Asia/Shanghai"


def recording() -> SourceHeader:
    return replace(header(), sop_class_uid="1.2.840.10008.5.1.4.1.1.9.1.1")


def report(read: PreliminaryRead) -> pydicom.FileDataset:
    return pydicom.dcmread(io.BytesIO(ecg_results.ecg_read_as_sr(kept(read), [recording()], ZONE)))


@pytest.mark.parametrize("read", [*(ecg_read(tier) for tier in Tier), BARE], ids=[*Tier, "bare"])
def test_a_read_is_a_conformant_unverified_ecg_report(read: PreliminaryRead, tmp_path: Path) -> None:
    content = ecg_results.ecg_read_as_sr(kept(read), [recording()], ZONE)
    assert dciodvfy(content, tmp_path) == []
    sr = pydicom.dcmread(io.BytesIO(content))
    assert (sr.VerificationFlag, sr.CompletionFlag, sr.Modality) == ("UNVERIFIED", "PARTIAL", "SR")
    assert sr.ConceptNameCodeSequence[0].CodeValue == "28010-7"
    assert sr.ContentTemplateSequence[0].TemplateIdentifier == "3700"
    assert sr.SOPInstanceUID == read_uids("shigou", "1.2.3", read).instance


def containers(sr: Dataset, code: str) -> list[Dataset]:
    return [i for i in sr.ContentSequence if i.ConceptNameCodeSequence[0].CodeValue == code]


def numbers(container: Dataset) -> dict[str, tuple[float, str]]:
    out: dict[str, tuple[float, str]] = {}
    for item in container.ContentSequence:
        if item.ValueType == "NUM" and item.MeasuredValueSequence:
            value = item.MeasuredValueSequence[0]
            out[item.ConceptNameCodeSequence[0].CodeValue] = (
                float(value.NumericValue), value.MeasurementUnitsCodeSequence[0].CodeValue,
            )  # fmt: skip
    return out


def test_measurements_bear_the_codes_and_units_of_the_template() -> None:
    sr = report(ecg_read())
    (overall,) = containers(sr, "122158")
    assert numbers(overall)["2:16016"] == (71.5, "{H.B.}/min") and numbers(overall)["2:16156"] == (92.0, "ms")
    assert numbers(overall)["2:16132"] == (-12.0, "deg")
    leads = containers(sr, "122159")
    assert len(leads) == 12 and leads[0].ContentSequence[0].ConceptCodeSequence[0].CodeValue == "2:1"
    assert numbers(leads[6])["2:14336"] == (0.02, "mV")
    assert numbers(leads[6])["2:2304"][0] < 0  # an S wave points down


def test_a_mandatory_value_that_is_not_there_says_so_and_is_no_zero() -> None:
    read = replace(ecg_read(), measurements=tuple(m for m in ecg_read().measurements if m.key != "pr_interval"))
    (overall,) = containers(report(read), "122158")
    assert "2:15872" not in numbers(overall)
    empty = [i for i in overall.ContentSequence if i.ConceptNameCodeSequence[0].CodeValue == "2:15872"]
    assert not empty[0].MeasuredValueSequence and empty[0].NumericValueQualifierCodeSequence[0].CodeValue == "114006"


def test_what_is_known_of_the_file_is_told_in_both_languages(tmp_path: Path) -> None:
    read = replace(ecg_read(), issues=ISSUES)
    assert dciodvfy(ecg_results.ecg_read_as_sr(kept(read), [recording()], ZONE), tmp_path) == []
    (told,) = containers(report(read), "FILE_ISSUES")
    words = [item.TextValue for item in told.ContentSequence]
    assert words == [f"{issue.code}: {issue.zh} | {issue.en}" for issue in ISSUES]
    assert containers(report(ecg_read()), "FILE_ISSUES") == []


def test_statements_tier_and_evidence_are_there_in_both_languages() -> None:
    sr = report(ecg_read(Tier.RED))
    text = str(sr) + "".join(str(e.value) for e in sr.iterall() if e.keyword == "TextValue")
    for wanted in ("426783006", "窦性心律 | Sinus rhythm", "RED", "national-2017", "急性 ST 段抬高型心肌梗死？",
                   ">= 0.1 mV", "ESC 2018", "2:61", "Source of Measurement", "not confirmed by a physician"):  # fmt: skip
        assert wanted in text, wanted


def test_a_read_that_abstains_still_tells_its_tier(tmp_path: Path) -> None:
    content = results.read_as_sr(kept(ecg_read(Tier.RED, refused=POOR)), [recording()], ZONE)
    assert dciodvfy(content, tmp_path) == []
    text = str(pydicom.dcmread(io.BytesIO(content)))
    assert "POOR_QUALITY" in text and "RED" in text


@pytest.mark.parametrize("leads", [12, 8, 1])
def test_the_median_beat_is_a_conformant_derived_waveform(leads: int, tmp_path: Path) -> None:
    read = ecg_read()
    assert read.median is not None
    read = replace(read, median=replace(read.median, leads=LEADS[:leads], uv=read.median.uv[:leads]))
    content = ecg_results.median_as_waveform(kept(read), recording(), ZONE)
    assert dciodvfy(content, tmp_path) == []
    made = pydicom.dcmread(io.BytesIO(content))
    assert made.WaveformSequence[0].WaveformOriginality == "DERIVED"
    assert made.SOPInstanceUID == median_uids("shigou", "1.2.3", read).instance
    signal = read_dicom(content)
    assert read.median is not None
    assert signal.fs_hz == 500 and np.allclose(signal.samples * 1000, np.array(read.median.uv), atol=0.01)


def test_made_again_they_are_the_same_bytes() -> None:
    stored, one = kept(ecg_read(Tier.RED)), recording()
    assert ecg_results.ecg_read_as_sr(stored, [one], ZONE) == ecg_results.ecg_read_as_sr(stored, [one], ZONE)
    assert ecg_results.median_as_waveform(stored, one, ZONE) == ecg_results.median_as_waveform(stored, one, ZONE)
