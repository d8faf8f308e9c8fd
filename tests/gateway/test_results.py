"""What we file: SR and Encapsulated PDF that a stranger's checker accepts, the same bytes each time."""

from __future__ import annotations

import io
import subprocess
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pydicom
import pytest

from center.identity import CaseId, ClinicId
from center.ports import SealedReport, StoredRead
from center.reads import Code, Decision, Finding, Measurement, Outcome, PreliminaryRead, Reason
from dicom_gateway import results
from dicom_gateway.result_uids import read_uids, report_uids
from dicom_gateway.source_header import SourceHeader

AT = datetime(2026, 11, 22, 2, 0, 5, tzinfo=UTC)
FINDING = Finding(
    "tuberculosis", "结核", "Tuberculosis", 0.8231, Decision.PRESENT, (Code("56717001", "SCT", "Tuberculosis"),)
)
READ = PreliminaryRead("film", "chest_film", "1.0.0", "ab" * 32, Outcome.READ, findings=(FINDING,))
ABSTAINED = PreliminaryRead(
    "film",
    "chest_film",
    "1.0.0",
    "cd" * 32,
    Outcome.ABSTAINED,
    Reason("age_unknown", "年龄未知。", "The age is unknown."),
)
RATE = Measurement("heart_rate", "心率", "Heart rate", 71.5, "/min", (Code("8867-4", "LN", "Heart rate"),))
ECG = PreliminaryRead("ecg", "helan_ecg", "1.0.0", "ef" * 32, Outcome.READ, measurements=(RATE,))


def header(name: str = "Zhang^San=张^三") -> SourceHeader:
    return SourceHeader(
        study_uid="1.2.3", series_uid="1.2.3.1", sop_uid="1.2.3.4", sop_class_uid="1.2.840.10008.5.1.4.1.1.1.1",
        person_name=name, patient_id="0001", birth_date="19800102", sex="M", study_id="S1", study_date="20261122",
        study_time="0157", accession="A1",
    )  # fmt: skip


def kept(read: PreliminaryRead) -> StoredRead:
    return StoredRead("r1", "shigou", "1.2.3", AT, ("1.2.3.4",), read)


def report(pdf: bytes = b"%PDF-1.7 sealed") -> SealedReport:
    return SealedReport(
        ClinicId("shigou"),
        CaseId("c1"),
        "1.2.3",
        1,
        "胸部正位 诊断报告",
        pdf,
        "00" * 32,
        "陈屿",
        AT,
        None,
        ("1.2.3.4",),
    )


def dciodvfy(content: bytes, folder: Path) -> list[str]:
    path = folder / "made.dcm"
    path.write_bytes(content)
    done = subprocess.run(["dciodvfy", "-new", str(path)], capture_output=True, text=True)
    return [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("Error")]


@pytest.mark.parametrize("read", [READ, ABSTAINED, ECG], ids=["read", "abstained", "ecg"])
def test_a_read_is_a_conformant_unverified_sr(read: PreliminaryRead, tmp_path: Path) -> None:
    content = results.read_as_sr(kept(read), [header()], "Asia/Shanghai")
    assert dciodvfy(content, tmp_path) == []
    sr = pydicom.dcmread(io.BytesIO(content))
    assert (sr.VerificationFlag, sr.Modality, sr.SeriesDescription) == ("UNVERIFIED", "SR", results.SERIES_OF_READS)
    assert sr.ContentDate + sr.ContentTime == "20261122100005" and sr.TimezoneOffsetFromUTC == "+0800"
    assert str(sr.PatientName) == "Zhang^San=张^三"


def test_an_sr_says_probability_and_decision_by_code() -> None:
    text = str(pydicom.dcmread(io.BytesIO(results.read_as_sr(kept(READ), [header()], "Asia/Shanghai"))))
    assert "0.8231" in text and "56717001" in text and "52101004" in text and "chest_film" in text


def test_an_abstention_says_why_and_gives_no_number() -> None:
    sr = pydicom.dcmread(io.BytesIO(results.read_as_sr(kept(ABSTAINED), [header()], "Asia/Shanghai")))
    assert "AGE_UNKNOWN" in str(sr) and "NumericValue" not in [e.keyword for e in sr.iterall()]


def test_a_report_is_a_conformant_encapsulated_pdf_with_its_bytes(tmp_path: Path) -> None:
    content = results.report_as_pdf(report(), header(), "Asia/Shanghai")
    assert dciodvfy(content, tmp_path) == []
    held = pydicom.dcmread(io.BytesIO(content))
    assert held.EncapsulatedDocument[: held.EncapsulatedDocumentLength] == b"%PDF-1.7 sealed"
    assert held.StudyInstanceUID == "1.2.3" and held.SOPInstanceUID == report_uids("shigou", "1.2.3", "c1", 1).instance


def test_made_again_they_are_the_same_bytes() -> None:
    assert results.read_as_sr(kept(READ), [header()], "Asia/Shanghai") == results.read_as_sr(
        kept(READ), [header()], "Asia/Shanghai"
    )
    assert results.report_as_pdf(report(), header(), "Asia/Shanghai") == results.report_as_pdf(
        report(), header(), "Asia/Shanghai"
    )


def test_another_input_or_version_is_another_object() -> None:
    uids = {read_uids("a", "1.2", r).instance for r in (READ, ABSTAINED, ECG)}
    uids |= {read_uids("b", "1.2", READ).instance, report_uids("a", "1.2", "c", 2).instance}
    assert len(uids) == 5


@pytest.mark.parametrize("missing", ["birth_date", "study_time", "accession", "referring", "study_id"])
def test_a_study_that_lacks_a_value_still_gets_its_results(missing: str) -> None:
    bare = replace(header(), **{missing: ""})
    assert results.read_as_sr(kept(READ), [bare], "Asia/Shanghai")
    assert results.report_as_pdf(report(), bare, "Asia/Shanghai")
