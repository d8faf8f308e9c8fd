"""Ours as DICOM: a preliminary read -> SR (TID 1500), a sealed report -> Encapsulated PDF.

Made again from the same read or report they are the same bytes: UIDs come from what they mean, times from the read or
the report (GROUND.md "UID of a result").
"""

from __future__ import annotations

import io
from datetime import datetime
from zoneinfo import ZoneInfo

import pydicom
from highdicom.sr import (
    AlgorithmIdentification,
    CodedConcept,
    ComprehensiveSR,
    DeviceObserverIdentifyingAttributes,
    Measurement,
    MeasurementReport,
    MeasurementsAndQualitativeEvaluations,
    ObservationContext,
    ObserverContext,
    QualitativeEvaluation,
    TrackingIdentifier,
)
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sr.codedict import codes
from pydicom.uid import UID, EncapsulatedPDFStorage, ExplicitVRLittleEndian

from center.ports import SealedReport, StoredRead
from center.reads import Code, Decision, Outcome, PreliminaryRead
from dicom_gateway.result_uids import read_uids, report_uids, uid_of

MANUFACTURER = "Helan"
#: Ours: a study's every result of a kind is made in one series.
SERIES_OF_READS = "AI 初读 未经医师确认"
SERIES_OF_REPORTS = "诊断报告"
_IMPLEMENTATION_UID = "2.25.241593706437207219063463093226404417185"
_PROBABILITY = CodedConcept("PROBABILITY", "99HELAN", "Calibrated probability of the finding")
_OUTCOME = CodedConcept("OUTCOME", "99HELAN", "Outcome of the machine's read")
_DECISIONS = {
    Decision.PRESENT: CodedConcept("52101004", "SCT", "Present"),
    Decision.ABSENT: CodedConcept("2667000", "SCT", "Absent"),
    Decision.UNCERTAIN: CodedConcept("82334004", "SCT", "Indeterminate"),
}
#: What a result takes over from the study that it belongs to.
_STUDY_TAGS = (
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "IssuerOfPatientID", "StudyInstanceUID", "StudyID",
    "StudyDate", "StudyTime", "AccessionNumber", "ReferringPhysicianName", "StudyDescription",
)  # fmt: skip


def read_as_sr(kept: StoredRead, evidence: list[Dataset], zone: str) -> bytes:
    """A Comprehensive SR (TID 1500), UNVERIFIED, by a device; Part 10 bytes.

    evidence: headers of the instances that the model read, at least one.
    """
    uids = read_uids(kept.clinic_id, kept.study_uid, kept.read)
    made_at = kept.made_at.astimezone(ZoneInfo(zone))
    report = MeasurementReport(
        observation_context=_observer(kept.read),
        procedure_reported=CodedConcept("363679005", "SCT", "Imaging procedure"),
        imaging_measurements=_groups(kept),
        title=codes.DCM.ImagingMeasurementReport,
    )
    sr = ComprehensiveSR(
        evidence=[_utf8(header) for header in evidence],
        content=report[0],
        series_instance_uid=uids.series,
        series_number=9001,
        sop_instance_uid=uids.instance,
        instance_number=1,
        manufacturer=MANUFACTURER,
        is_complete=False,
        is_final=False,
        is_verified=False,
        institution_name=MANUFACTURER,
        manufacturer_model_name=kept.read.model[:64],
        software_versions=kept.read.version,
        device_serial_number="1",
    )
    sr.SpecificCharacterSet = "ISO_IR 192"
    sr.SeriesDescription = SERIES_OF_READS
    sr.CompletionFlag, sr.VerificationFlag, sr.PreliminaryFlag = "PARTIAL", "UNVERIFIED", "PRELIMINARY"
    _stamp(sr, made_at)
    return _file(sr)


def report_as_pdf(report: SealedReport, header: Dataset, zone: str, seen: list[Dataset] | None = None) -> bytes:
    """An Encapsulated PDF of the sealed report (PS3.3 A.45); Part 10 bytes.

    header: of one of the study's instances; seen: of those that its signer saw.
    """
    uids = report_uids(report.clinic_id, report.study_uid, report.case_id, report.version)
    made = _of_study(header)
    made.SOPClassUID, made.SOPInstanceUID, made.SeriesInstanceUID = EncapsulatedPDFStorage, uids.instance, uids.series
    made.Modality, made.SeriesNumber, made.InstanceNumber = "DOC", 9002, report.version
    made.SeriesDescription = SERIES_OF_REPORTS
    made.ConversionType, made.Manufacturer = "WSD", MANUFACTURER
    made.BurnedInAnnotation = "YES"
    made.DocumentTitle = report.title[:1024]
    made.ConceptNameCodeSequence = [_item(CodedConcept("18748-4", "LN", "Diagnostic imaging study"))]
    made.VerificationFlag = "VERIFIED"
    made.AcquisitionDateTime = None
    made.MIMETypeOfEncapsulatedDocument = "application/pdf"
    made.EncapsulatedDocument = report.pdf + b"\0" * (len(report.pdf) % 2)
    made.EncapsulatedDocumentLength = len(report.pdf)
    if report.seen_sop_uids and "SOPClassUID" in header:
        made.SourceInstanceSequence = [_source(one) for one in (seen or [header])]
    _stamp(made, report.signed_at.astimezone(ZoneInfo(zone)))
    return _file(made)


# ---------------------------------------------------------------- inside
def _observer(read: PreliminaryRead) -> ObservationContext:
    device = DeviceObserverIdentifyingAttributes(
        uid=uid_of("device", read.model, read.version),
        name=f"{read.model} {read.version}"[:64],
        manufacturer_name=MANUFACTURER,
        model_name=read.model[:64],
    )
    return ObservationContext(
        observer_device_context=ObserverContext(observer_type=codes.DCM.Device, observer_identifying_attributes=device)
    )


def _groups(kept: StoredRead) -> list[MeasurementsAndQualitativeEvaluations]:
    read = kept.read
    groups = [_group(kept, "outcome", evaluations=[QualitativeEvaluation(_OUTCOME, _outcome(read))])]
    for finding in read.findings:
        name = _concept(finding.codes, finding.key, finding.en)
        measured = Measurement(_PROBABILITY, round(finding.probability, 4), codes.UCUM.NoUnits)
        groups.append(
            _group(kept, finding.key, [measured], [QualitativeEvaluation(name, _DECISIONS[finding.decision])])
        )
    if read.measurements:
        measured = [
            Measurement(_concept(m.codes, m.key, m.en), float(m.value), CodedConcept(m.unit, "UCUM", m.unit))
            for m in read.measurements
        ]
        groups.append(_group(kept, "measurements", measured))
    return groups


def _group(
    kept: StoredRead,
    key: str,
    measurements: list[Measurement] | None = None,
    evaluations: list[QualitativeEvaluation] | None = None,
) -> MeasurementsAndQualitativeEvaluations:
    read = kept.read
    meaning = ("finding", kept.clinic_id, kept.study_uid, read.model, read.version, read.input_digest, key)
    return MeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(uid=uid_of(*meaning), identifier=f"{read.model}:{key}"),
        algorithm_id=AlgorithmIdentification(name=read.model, version=read.version),
        measurements=measurements,
        qualitative_evaluations=evaluations,
    )


def _outcome(read: PreliminaryRead) -> CodedConcept:
    if read.outcome is Outcome.READ or read.reason is None:
        return CodedConcept("READ", "99HELAN", "Read; see the findings; not confirmed by a physician")
    return CodedConcept(read.reason.code.upper()[:16], "99HELAN", f"No read: {read.reason.en}"[:64])


def _concept(given: tuple[Code, ...], key: str, meaning: str) -> CodedConcept:
    if given:
        return CodedConcept(given[0].value, given[0].scheme, given[0].meaning)
    return CodedConcept(key.upper()[:16], "99HELAN", meaning[:64])


def _of_study(header: Dataset) -> Dataset:
    """Patient and study of an instance, in UTF-8."""
    source, made = _utf8(header), Dataset()
    made.SpecificCharacterSet = "ISO_IR 192"
    for name in _STUDY_TAGS:
        setattr(made, name, source.get(name, None) if name != "IssuerOfPatientID" else source.get(name, ""))
    made.StudyInstanceUID = source.StudyInstanceUID
    return made


def _utf8(header: Dataset) -> Dataset:
    """A copy whose texts are decoded, with what SR needs where the device left it out."""
    copied = Dataset()
    for name in (
        *_STUDY_TAGS,
        "SeriesInstanceUID",
        "SOPInstanceUID",
        "SOPClassUID",
        "Modality",
        "Rows",
        "Columns",
        "NumberOfFrames",
    ):
        if name in header:
            setattr(copied, name, header[name].value if name != "PatientName" else str(header.PatientName))
    for name in (
        "PatientName",
        "PatientID",
        "PatientBirthDate",
        "PatientSex",
        "StudyID",
        "StudyDate",
        "StudyTime",
        "AccessionNumber",
    ):
        if name not in copied:
            setattr(copied, name, None)
    copied.SpecificCharacterSet = "ISO_IR 192"
    return copied


def _source(header: Dataset) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = header.SOPClassUID, header.SOPInstanceUID
    return item


def _item(concept: CodedConcept) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = (
        concept.value,
        concept.scheme_designator,
        concept.meaning,
    )
    return item


def _stamp(made: Dataset, at: datetime) -> None:
    """The one time that this object has, with its zone."""
    day, clock = at.strftime("%Y%m%d"), at.strftime("%H%M%S")
    for name in ("SeriesDate", "ContentDate", "InstanceCreationDate"):
        setattr(made, name, day)
    for name in ("SeriesTime", "ContentTime", "InstanceCreationTime"):
        setattr(made, name, clock)
    made.TimezoneOffsetFromUTC = at.strftime("%z")
    for contribution in made.get(
        "ContributingEquipmentSequence", ()
    ):  # the library names itself, with the present time
        contribution.ContributionDateTime = at.strftime("%Y%m%d%H%M%S.000000%z")


def _file(made: Dataset) -> bytes:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = made.SOPClassUID, made.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID, meta.ImplementationVersionName = UID(_IMPLEMENTATION_UID), "HELAN_1"
    made.file_meta = meta
    out = io.BytesIO()
    pydicom.dcmwrite(out, made, enforce_file_format=True, little_endian=True, implicit_vr=False)
    return out.getvalue()
