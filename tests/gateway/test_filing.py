"""Results beside the study: filed once, seen by whom they're for, hidden when withdrawn."""

from __future__ import annotations

from io import BytesIO

import pytest
from pydicom import dcmread

from center.codes import Visibility
from center.errors import NotFound
from center.identity import CaseId, ClinicId, system_for
from center.jobs import Job
from center.ports import SealedReport, StoredRead
from center.reads import Decision, Finding, Outcome, PreliminaryRead, Tier
from dicom_gateway.room import report_sop_uid
from tests.gateway.conftest import House
from tests.makers.dicom import Flaw, Person, make_cr
from tests.makers.ecg import make_ecg_dicom
from tests.makers.ecg_reads import ecg_read

SHIGOU = ClinicId("shigou")
ACTOR = system_for(SHIGOU)
READ = PreliminaryRead(
    "film", "chest_film", "1.0", "ab" * 32, Outcome.READ,
    findings=(Finding("effusion", "积液", "Effusion", 0.91, Decision.PRESENT),),
)  # fmt: skip


class Reports:
    """The reports port over one report."""

    def __init__(self, report: SealedReport) -> None:
        self.report = report

    def sealed(self, clinic_id: ClinicId, case_id: CaseId, version: int) -> SealedReport:
        return self.report


def job(handler: str, **payload: object) -> Job:
    return Job(1, SHIGOU, handler, "k", payload, 1)


def test_a_read_is_filed_once_for_readers_with_the_repaired_name(house: House) -> None:
    stored = house.accept(make_cr(1, size=(64, 64), flaw=Flaw.GB18030_AS_LATIN1, person=Person(name="Zeng^Hua=曾^华")))
    house.reads.kept.append(StoredRead("r", SHIGOU, stored.study_uid, house.clock.now(), (stored.sop_uid,), READ))
    asked = job(
        "gateway.file_read", study_uid=stored.study_uid, model="chest_film", version="1.0", input_digest="ab" * 32
    )
    for _ in range(2):
        house.gateway.handlers["gateway.file_read"](asked)
    found = house.gateway.index.instances(ACTOR, SHIGOU, stored.study_uid)
    result = [i for i in found if i.origin.value == "result"]
    assert len(result) == 1 and result[0].visibility is Visibility.READERS and result[0].modality == "SR"
    sr = dcmread(BytesIO(house.gateway.index.read_bytes(ACTOR, SHIGOU, result[0].sop_uid)))
    assert str(sr.PatientName) == "Zeng^Hua=曾^华" and sr.VerificationFlag == "UNVERIFIED"
    assert sr.CurrentRequestedProcedureEvidenceSequence[0].StudyInstanceUID == stored.study_uid
    with pytest.raises(NotFound):
        house.gateway.handlers["gateway.file_read"](
            job("x", study_uid=stored.study_uid, model="no", version="1", input_digest="")
        )


def test_a_report_is_the_clinics_until_it_is_withdrawn(house: House) -> None:
    stored = house.accept(make_cr(1, size=(64, 64)))
    report = SealedReport(
        SHIGOU, CaseId("c1"), stored.study_uid, 1, "胸部正位", b"%PDF-1.7 sealed", "00" * 32, "陈屿", house.clock.now(), None,
        (stored.sop_uid,),
    )  # fmt: skip
    house.gateway.bind(reports=Reports(report), access=None)  # type: ignore[arg-type]
    payload = {"case_id": "c1", "study_uid": stored.study_uid, "version": 1}
    with pytest.raises(NotFound):  # withdrawn before it was filed: tried again afterwards
        house.gateway.handlers["gateway.hide_report"](job("gateway.hide_report", **payload))
    for _ in range(2):
        house.gateway.handlers["gateway.file_report"](job("gateway.file_report", **payload))
    uid = report_sop_uid(SHIGOU, stored.study_uid, "c1", 1)
    by_uid = {i.sop_uid: i for i in house.gateway.index.instances(ACTOR, SHIGOU, stored.study_uid)}
    assert by_uid[uid].visibility is Visibility.CLINIC and by_uid[uid].modality == "DOC"
    held = dcmread(BytesIO(house.gateway.index.read_bytes(ACTOR, SHIGOU, uid)))
    assert held.EncapsulatedDocument[: held.EncapsulatedDocumentLength] == b"%PDF-1.7 sealed"
    assert held.SourceInstanceSequence[0].ReferencedSOPInstanceUID == stored.sop_uid
    house.gateway.handlers["gateway.hide_report"](job("gateway.hide_report", **payload))
    by_uid = {i.sop_uid: i for i in house.gateway.index.instances(ACTOR, SHIGOU, stored.study_uid)}
    assert by_uid[uid].visibility is Visibility.READERS


def test_an_ecgs_read_is_filed_with_its_median_beat_for_readers(house: House) -> None:
    stored = house.accept(make_ecg_dicom())
    read = ecg_read(Tier.RED)
    house.reads.kept.append(StoredRead("r", SHIGOU, stored.study_uid, house.clock.now(), (stored.sop_uid,), read))
    asked = job(
        "gateway.file_read", study_uid=stored.study_uid, model=read.model, version=read.version,
        input_digest=read.input_digest,
    )  # fmt: skip
    for _ in range(2):
        house.gateway.handlers["gateway.file_read"](asked)
    found = house.gateway.index.instances(ACTOR, SHIGOU, stored.study_uid)
    results = {i.modality: i for i in found if i.origin.value == "result"}
    assert set(results) == {"SR", "ECG"} and len(found) == 3
    assert {i.visibility for i in results.values()} == {Visibility.READERS}
    sr = dcmread(BytesIO(house.gateway.index.read_bytes(ACTOR, SHIGOU, results["SR"].sop_uid)))
    assert sr.ConceptNameCodeSequence[0].CodeMeaning == "ECG Report"
    median = dcmread(BytesIO(house.gateway.index.read_bytes(ACTOR, SHIGOU, results["ECG"].sop_uid)))
    assert median.WaveformSequence[0].WaveformOriginality == "DERIVED"
    assert str(median.PatientName) == "Zhang^San=张^三"
