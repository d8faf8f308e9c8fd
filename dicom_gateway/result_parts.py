"""What our results as DICOM share: patient and study taken over, who made them, the one time they have, Part 10."""

from __future__ import annotations

import io
from datetime import datetime

import pydicom
from highdicom.sr import CodedConcept, DeviceObserverIdentifyingAttributes, ObservationContext, ObserverContext
from pydicom import config
from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sr.codedict import codes
from pydicom.uid import UID, ExplicitVRLittleEndian

from center.reads import PreliminaryRead
from dicom_gateway.result_uids import uid_of
from dicom_gateway.source_header import SourceHeader

MANUFACTURER = "Helan"
_IMPLEMENTATION_UID = "2.25.241593706437207219063463093226404417185"


def observer(read: PreliminaryRead) -> ObservationContext:
    device = DeviceObserverIdentifyingAttributes(
        uid=uid_of("device", read.model, read.version),
        name=f"{read.model} {read.version}"[:64],
        manufacturer_name=MANUFACTURER,
        model_name=read.model[:64],
    )
    return ObservationContext(
        observer_device_context=ObserverContext(observer_type=codes.DCM.Device, observer_identifying_attributes=device)
    )


def of_study(header: SourceHeader) -> Dataset:
    """Patient and study of an instance, in UTF-8; all that a result takes over."""
    made = Dataset()
    made.SpecificCharacterSet = "ISO_IR 192"
    for name, value in (
        ("PatientName", header.person_name), ("PatientID", header.patient_id), ("PatientSex", header.sex),
        ("PatientBirthDate", header.birth_date), ("IssuerOfPatientID", header.issuer), ("StudyID", header.study_id),
        ("StudyDate", header.study_date), ("StudyTime", header.study_time), ("AccessionNumber", header.accession),
        ("ReferringPhysicianName", header.referring), ("StudyDescription", header.description),
    ):  # fmt: skip
        setattr(made, name, value)
    put_uid(made, "StudyInstanceUID", header.study_uid)
    return made


def evidence_of(header: SourceHeader) -> Dataset:
    """The same with what names the instance itself."""
    made = of_study(header)
    put_uid(made, "SeriesInstanceUID", header.series_uid)
    put_uid(made, "SOPInstanceUID", header.sop_uid)
    put_uid(made, "SOPClassUID", header.sop_class_uid)
    return made


def source_of(header: SourceHeader) -> Dataset:
    item = Dataset()
    put_uid(item, "ReferencedSOPClassUID", header.sop_class_uid)
    put_uid(item, "ReferencedSOPInstanceUID", header.sop_uid)
    return item


def put_uid(made: Dataset, keyword: str, uid: str) -> None:
    """A foreign UID as it came: components with leading zeros are met, and put right they'd be another's."""
    made.add(DataElement(tag_for_keyword(keyword) or 0, "UI", uid, validation_mode=config.IGNORE))


def item_of(concept: CodedConcept) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = (
        concept.value,
        concept.scheme_designator,
        concept.meaning,
    )
    return item


def stamp(made: Dataset, at: datetime) -> None:
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


def part10(made: Dataset) -> bytes:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = made.SOPClassUID, made.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID, meta.ImplementationVersionName = UID(_IMPLEMENTATION_UID), "HELAN_1"
    made.file_meta = meta
    out = io.BytesIO()
    pydicom.dcmwrite(out, made, enforce_file_format=True, little_endian=True, implicit_vr=False)
    return out.getvalue()
