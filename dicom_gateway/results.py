"""Ours as DICOM: a preliminary read -> SR (TID 1500), a sealed report -> Encapsulated PDF.

Made again from the same read or report they are the same bytes: UIDs come from what they mean, times from the read or
the report (GROUND.md "UID of a result").
"""

from __future__ import annotations

from math import isfinite
from zoneinfo import ZoneInfo

from highdicom.sr import (
    AlgorithmIdentification,
    CodedConcept,
    ComprehensiveSR,
    Measurement,
    MeasurementReport,
    MeasurementsAndQualitativeEvaluations,
    QualitativeEvaluation,
    TrackingIdentifier,
)
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import EncapsulatedPDFStorage

from center.ports import SealedReport, StoredRead
from center.reads import Code, Decision, Outcome, PreliminaryRead
from dicom_gateway.result_parts import MANUFACTURER, evidence_of, item_of, observer, of_study, part10, source_of, stamp
from dicom_gateway.result_uids import read_uids, report_uids, uid_of
from dicom_gateway.source_header import SourceHeader

#: Ours: a study's every result of a kind is made in one series.
SERIES_OF_READS = "AI 初读 未经医师确认"
SERIES_OF_REPORTS = "诊断报告"
_PROBABILITY = CodedConcept("PROBABILITY", "99HELAN", "Calibrated probability of the finding")
_OUTCOME = CodedConcept("OUTCOME", "99HELAN", "Outcome of the machine's read")
_TIER = CodedConcept("CRITICAL_TIER", "99HELAN", "Critical tier of the machine's read")
_DECISIONS = {
    Decision.PRESENT: CodedConcept("52101004", "SCT", "Present"),
    Decision.ABSENT: CodedConcept("2667000", "SCT", "Absent"),
    Decision.UNCERTAIN: CodedConcept("82334004", "SCT", "Indeterminate"),
}


def read_as_sr(kept: StoredRead, evidence: list[SourceHeader], zone: str) -> bytes:
    """A Comprehensive SR (TID 1500), UNVERIFIED, by a device; Part 10 bytes.

    evidence: headers of the instances that the model read, at least one.
    """
    uids = read_uids(kept.clinic_id, kept.study_uid, kept.read)
    made_at = kept.made_at.astimezone(ZoneInfo(zone))
    report = MeasurementReport(
        observation_context=observer(kept.read),
        procedure_reported=CodedConcept("363679005", "SCT", "Imaging procedure"),
        imaging_measurements=_groups(kept),
        title=codes.DCM.ImagingMeasurementReport,
    )
    sr = ComprehensiveSR(
        evidence=[_unnamed(header) for header in evidence],
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
        software_versions=kept.read.version[:64],
        device_serial_number="1",
    )
    sr.SpecificCharacterSet = "ISO_IR 192"
    sr.PatientName = evidence[0].person_name
    sr.SeriesDescription = SERIES_OF_READS
    sr.CompletionFlag, sr.VerificationFlag, sr.PreliminaryFlag = "PARTIAL", "UNVERIFIED", "PRELIMINARY"
    stamp(sr, made_at)
    return part10(sr)


def report_as_pdf(
    report: SealedReport, header: SourceHeader, zone: str, seen: list[SourceHeader] | None = None
) -> bytes:
    """An Encapsulated PDF of the sealed report (PS3.3 A.45); Part 10 bytes.

    header: of one of the study's instances; seen: of those that its signer saw.
    """
    uids = report_uids(report.clinic_id, report.study_uid, report.case_id, report.version)
    made = of_study(header)
    made.SOPClassUID, made.SOPInstanceUID, made.SeriesInstanceUID = EncapsulatedPDFStorage, uids.instance, uids.series
    made.Modality, made.SeriesNumber, made.InstanceNumber = "DOC", 9002, report.version
    made.SeriesDescription = SERIES_OF_REPORTS
    made.ConversionType, made.Manufacturer = "WSD", MANUFACTURER
    made.BurnedInAnnotation = "YES"
    made.DocumentTitle = report.title[:1024]
    made.ConceptNameCodeSequence = [item_of(CodedConcept("18748-4", "LN", "Diagnostic imaging study"))]
    made.VerificationFlag = "VERIFIED"
    made.AcquisitionDateTime = None
    made.MIMETypeOfEncapsulatedDocument = "application/pdf"
    made.EncapsulatedDocument = report.pdf + b"\0" * (len(report.pdf) % 2)
    made.EncapsulatedDocumentLength = len(report.pdf)
    if report.seen_sop_uids:
        made.SourceInstanceSequence = [source_of(one) for one in (seen or [header])]
    stamp(made, report.signed_at.astimezone(ZoneInfo(zone)))
    return part10(made)


# ---------------------------------------------------------------- inside
def _unnamed(header: SourceHeader) -> Dataset:
    """Without the patient's name: the library writes names that it finds unusual into the log."""
    made = evidence_of(header)
    made.PatientName = None
    return made


def _groups(kept: StoredRead) -> list[MeasurementsAndQualitativeEvaluations]:
    read = kept.read
    groups = [_group(kept, "outcome", evaluations=[QualitativeEvaluation(_OUTCOME, _outcome(read))])]
    for finding in read.findings:
        name = _concept(finding.codes, finding.key, finding.en)
        measured = Measurement(_PROBABILITY, round(finding.probability, 4), codes.UCUM.NoUnits)
        groups.append(
            _group(kept, finding.key, [measured], [QualitativeEvaluation(name, _DECISIONS[finding.decision])])
        )
    if read.critical is not None:  # a recording that was not read still has its tier
        tier = read.critical.tier.value
        graded = CodedConcept(tier.upper(), "99HELAN", f"Critical tier {tier}")
        groups.append(_group(kept, "critical", evaluations=[QualitativeEvaluation(_TIER, graded)]))
    if read.measurements:
        measured = [
            Measurement(_concept(m.codes, m.key, m.en), float(m.value), CodedConcept(m.unit, "UCUM", m.unit))
            for m in read.measurements
            if isfinite(m.value)
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
