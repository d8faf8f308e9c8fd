"""A preliminary read -> DICOM SR (TID 1500); a sealed report -> Encapsulated PDF.

Made again from the same read or report they're the same object: UIDs are named by what they're about, dates are the
read's or the report's own, nothing else enters.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from typing import Any, Final

from pydicom import dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian

from center.identity import CaseId
from center.ports import SealedReport, StoredRead
from center.reads import Code, Decision, Finding, Measurement, Outcome
from dicom_gateway.ingest import IMPLEMENTATION_UID, IMPLEMENTATION_VERSION

_NAMESPACE: Final = uuid.UUID("5d1c31a6-3e8e-5c8e-9d3a-2f6b7c0f4a11")
_ENCAPSULATED_PDF: Final = "1.2.840.10008.5.1.4.1.1.104.1"
_MANUFACTURER: Final = "Helan"
READ_SERIES: Final = "AI 初读 未经医师确认"
REPORT_SERIES: Final = "诊断报告"
_CODES: Final = {
    Decision.PRESENT: Code("52101004", "SCT", "Present"),
    Decision.ABSENT: Code("2667000", "SCT", "Absent"),
    Decision.UNCERTAIN: Code("82334004", "SCT", "Indeterminate"),
}
_PROCEDURES: Final = {
    "film": Code("399208008", "SCT", "Plain chest X-ray"),
    "ecg": Code("29303009", "SCT", "Electrocardiographic procedure"),
    "slide": Code("108252007", "SCT", "Laboratory procedure"),
}
_DECISION: Final = Code("decision", "99HELAN", "Decision of the model")
_PROBABILITY: Final = Code("probability", "99HELAN", "Calibrated probability")
_OUTCOME: Final = Code("outcome", "99HELAN", "Outcome of the read")
_NO_UNITS: Final = Code("1", "UCUM", "no units")
#: What a result takes over from the instances that it is about.
_TAKEN: Final = (
    "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID", "StudyDate", "StudyTime", "StudyID",
    "AccessionNumber", "ReferringPhysicianName", "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "Modality",
    "Rows", "Columns", "NumberOfFrames",
)  # fmt: skip
Make = Callable[[], bytes]


def result_uid(*parts: object) -> str:
    """2.25 + a name-based UUID of these words (GROUND.md "UID of a result")."""
    name = "\x1f".join(str(p) for p in parts)
    return f"2.25.{uuid.uuid5(_NAMESPACE, name).int}"


def uid_of_read(stored: StoredRead) -> str:
    read = stored.read
    return result_uid("read", stored.study_uid, read.model, read.version, read.input_digest)


def uid_of_report(case_id: CaseId, version: int) -> str:
    return result_uid("report", case_id, version)


@dataclass(frozen=True, slots=True)
class Evidence:
    """The instances a result is about, with the patient as the center knows him."""

    datasets: tuple[Dataset, ...]

    @classmethod
    def of(cls, metadata: Sequence[Mapping[str, Any]], identity: Mapping[str, Any]) -> Evidence:
        return cls(tuple(_evidence(one, identity) for one in metadata))


def _evidence(metadata: Mapping[str, Any], identity: Mapping[str, Any]) -> Dataset:
    known = Dataset.from_json({k: v for k, v in metadata.items() if "BulkDataURI" not in v and "InlineBinary" not in v})
    out = Dataset()
    for keyword in _TAKEN:
        if keyword in known:
            setattr(out, keyword, known[keyword].value)
    for keyword in ("StudyDate", "StudyTime", "StudyID", "AccessionNumber", "ReferringPhysicianName"):
        if keyword not in out:
            setattr(out, keyword, "")
    if identity["corrections"]:
        birth = identity["birth_date"]
        out.PatientID, out.PatientName = identity["local_id"], identity["person_name"] or identity["name"]
        out.PatientSex, out.PatientBirthDate = identity["sex"], birth.strftime("%Y%m%d") if birth else ""
    for keyword in ("PatientName", "PatientID", "PatientBirthDate", "PatientSex"):
        if keyword not in out:
            setattr(out, keyword, "")
    return out


# ---------------------------------------------------------------- a preliminary read
def structured_report(stored: StoredRead, evidence: Evidence) -> bytes:
    """A Comprehensive 3D SR by TID 1500: each finding a group with its decision and probability; unverified, partial."""
    import highdicom as hd  # 1 s: loaded by the worker when the first result is filed

    read = stored.read
    uid = uid_of_read(stored)
    device = hd.sr.DeviceObserverIdentifyingAttributes(
        uid=result_uid("device", read.model, read.version), name=read.model[:64], manufacturer_name=_MANUFACTURER,
        model_name=f"{read.model} {read.version}"[:64],
    )  # fmt: skip
    context = hd.sr.ObservationContext(
        observer_device_context=hd.sr.ObserverContext(hd.sr.CodedConcept("121007", "DCM", "Device"), device)
    )
    report = hd.sr.MeasurementReport(
        observation_context=context,
        procedure_reported=_concept(_PROCEDURES[read.kind]),
        imaging_measurements=_groups(stored),
        title=hd.sr.CodedConcept("126000", "DCM", "Imaging Measurement Report"),
    )
    dataset = hd.sr.Comprehensive3DSR(
        evidence=list(evidence.datasets), content=report, series_instance_uid=result_uid("read-series", uid),
        series_number=9001, sop_instance_uid=uid, instance_number=1, manufacturer=_MANUFACTURER, is_complete=False,
        is_final=False, is_verified=False, manufacturer_model_name=read.model[:64], software_versions=read.version[:64],
        device_serial_number="0", series_description=READ_SERIES,
    )  # fmt: skip
    return _written(dataset, stored.made_at)


def _groups(stored: StoredRead) -> list[Any]:
    import highdicom as hd

    read = stored.read
    algorithm = hd.sr.AlgorithmIdentification(read.model[:64], read.version[:64], parameters=[f"input {read.input_digest}"])

    def group(key: str, **content: Any) -> Any:
        tracking = hd.sr.TrackingIdentifier(uid=result_uid("group", uid_of_read(stored), key), identifier=key[:64])
        return hd.sr.MeasurementsAndQualitativeEvaluations(tracking_identifier=tracking, algorithm_id=algorithm, **content)

    reason = read.reason
    if read.outcome is not Outcome.READ:
        why = Code(reason.code if reason else str(read.outcome), "99HELAN", reason.en if reason else str(read.outcome))
        return [group("outcome", qualitative_evaluations=[_evaluation(_OUTCOME, why)])]
    groups = [group(finding.key, **_finding(finding)) for finding in read.findings]
    if read.measurements:
        groups.append(group("measurements", measurements=[_measurement(m) for m in read.measurements]))
    if not groups:
        groups.append(group("outcome", qualitative_evaluations=[_evaluation(_OUTCOME, Code("read", "99HELAN", "Read"))]))
    return groups


def _finding(finding: Finding) -> dict[str, Any]:
    import highdicom as hd

    kind = finding.codes[0] if finding.codes else Code(finding.key, "99HELAN", finding.en)
    probability = hd.sr.Measurement(_concept(_PROBABILITY), round(finding.probability, 4), _concept(_NO_UNITS))
    return {
        "finding_type": _concept(kind),
        "qualitative_evaluations": [_evaluation(_DECISION, _CODES[finding.decision])],
        "measurements": [probability],
    }


def _measurement(measurement: Measurement) -> Any:
    import highdicom as hd

    name = measurement.codes[0] if measurement.codes else Code(measurement.key, "99HELAN", measurement.en)
    unit = Code(measurement.unit or "1", "UCUM", measurement.unit or "no units")
    return hd.sr.Measurement(_concept(name), measurement.value, _concept(unit))


def _evaluation(name: Code, value: Code) -> Any:
    import highdicom as hd

    return hd.sr.QualitativeEvaluation(_concept(name), _concept(value))


def _concept(code: Code) -> Any:
    import highdicom as hd

    return hd.sr.CodedConcept(code.value[:64], code.scheme[:16], code.meaning[:64])


# ---------------------------------------------------------------- a sealed report
def encapsulated_pdf(report: SealedReport, evidence: Evidence) -> bytes:
    """The sealed file as an Encapsulated PDF (PS3.3 A.45.1) that names the instances its signer saw."""
    source = evidence.datasets[0]
    out = Dataset()
    for keyword in ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyInstanceUID", "StudyDate",
                    "StudyTime", "StudyID", "AccessionNumber", "ReferringPhysicianName"):  # fmt: skip
        setattr(out, keyword, source.get(keyword, ""))
    out.SOPClassUID, out.SOPInstanceUID = _ENCAPSULATED_PDF, uid_of_report(report.case_id, report.version)
    out.SeriesInstanceUID = result_uid("report-series", report.case_id)
    out.Modality, out.SeriesNumber, out.InstanceNumber = "DOC", 9000, report.version
    out.SeriesDescription = REPORT_SERIES
    out.Manufacturer, out.ManufacturerModelName = _MANUFACTURER, "Helan"
    out.DeviceSerialNumber, out.SoftwareVersions = "0", "1"
    out.ConversionType = "WSD"
    out.BurnedInAnnotation = "YES"
    out.AcquisitionDateTime = ""
    out.DocumentTitle = f"{report.title} v{report.version}"[:1024]
    out.VerificationFlag = "VERIFIED"
    out.ConceptNameCodeSequence = [_title(source.get("Modality", ""))]
    out.SourceInstanceSequence = [_reference(d) for d in evidence.datasets]
    out.MIMETypeOfEncapsulatedDocument = "application/pdf"
    out.EncapsulatedDocumentLength = len(report.pdf)
    out.EncapsulatedDocument = report.pdf + b"\x00" * (len(report.pdf) % 2)
    return _written(out, report.signed_at)


def _title(modality: str) -> Dataset:
    code = Dataset()
    is_ecg = modality in ("ECG", "HD")
    code.CodeValue, code.CodingSchemeDesignator = ("11524-6", "LN") if is_ecg else ("18748-4", "LN")
    code.CodeMeaning = "EKG study" if is_ecg else "Diagnostic imaging study"
    return code


def _reference(dataset: Dataset) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = dataset.SOPClassUID, dataset.SOPInstanceUID
    return item


# ---------------------------------------------------------------- bytes
def _written(dataset: Dataset, at: datetime) -> bytes:
    utc = at.astimezone(UTC)
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.TimezoneOffsetFromUTC = "+0000"
    dataset.ContentDate = dataset.InstanceCreationDate = dataset.SeriesDate = utc.strftime("%Y%m%d")
    dataset.ContentTime = dataset.InstanceCreationTime = dataset.SeriesTime = utc.strftime("%H%M%S.%f")
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UID(str(dataset.SOPClassUID))
    meta.MediaStorageSOPInstanceUID = UID(str(dataset.SOPInstanceUID))
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = UID(IMPLEMENTATION_UID)
    meta.ImplementationVersionName = IMPLEMENTATION_VERSION
    plain = Dataset()
    plain.update(dataset)
    plain.file_meta, plain.preamble = meta, bytes(128)
    out = BytesIO()
    dcmwrite(out, plain, enforce_file_format=True)
    return out.getvalue()
