"""What our results as DICOM share: patient and study taken over, who made them, the one time they have, Part 10."""

from __future__ import annotations

import io
from datetime import datetime

import pydicom
from highdicom.sr import CodedConcept, DeviceObserverIdentifyingAttributes, ObservationContext, ObserverContext
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sr.codedict import codes
from pydicom.uid import UID, ExplicitVRLittleEndian

from center.reads import PreliminaryRead
from dicom_gateway.result_uids import uid_of

MANUFACTURER = "Helan"
_IMPLEMENTATION_UID = "2.25.241593706437207219063463093226404417185"
#: What a result takes over from the study that it belongs to.
_STUDY_TAGS = (
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "IssuerOfPatientID", "StudyInstanceUID", "StudyID",
    "StudyDate", "StudyTime", "AccessionNumber", "ReferringPhysicianName", "StudyDescription",
)  # fmt: skip


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


def of_study(header: Dataset) -> Dataset:
    """Patient and study of an instance, in UTF-8."""
    source, made = utf8(header), Dataset()
    made.SpecificCharacterSet = "ISO_IR 192"
    for name in _STUDY_TAGS:
        setattr(made, name, source.get(name, None) if name != "IssuerOfPatientID" else source.get(name, ""))
    made.StudyInstanceUID = source.StudyInstanceUID
    return made


def utf8(header: Dataset) -> Dataset:
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


def source_of(header: Dataset) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = header.SOPClassUID, header.SOPInstanceUID
    return item


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
