"""Objects that are nothing to read: small, valid headers of any class, without pixels."""

from __future__ import annotations

from pydicom.dataset import Dataset

from tests.makers.dicom import Person, uid, written

STORAGE = "1.2.840.10008.5.1.4.1.1."
DOSE_SR = f"{STORAGE}88.67"
#: What opens no case and is no late image: class, modality, what it is.
NOTHING_TO_READ = (
    (DOSE_SR, "SR", "report"), (f"{STORAGE}88.11", "SR", "report"), (f"{STORAGE}88.33", "SR", "report"),
    (f"{STORAGE}88.50", "SR", "report"), (f"{STORAGE}88.77", "SR", "report"), (f"{STORAGE}88.59", "KO", "key_objects"),
    (f"{STORAGE}11.1", "PR", "presentation"), (f"{STORAGE}11.2", "PR", "presentation"), (f"{STORAGE}11.11", "PR", "presentation"),
    (f"{STORAGE}9.100.1", "PR", "presentation"), (f"{STORAGE}481.2", "RTDOSE", "radiotherapy"),
    (f"{STORAGE}481.3", "RTSTRUCT", "radiotherapy"), (f"{STORAGE}481.4", "RTRECORD", "radiotherapy"),
    (f"{STORAGE}481.5", "RTPLAN", "radiotherapy"), (f"{STORAGE}481.8", "RTPLAN", "radiotherapy"),
    ("1.2.840.10008.5.1.4.34.7", "PLAN", "radiotherapy"), (f"{STORAGE}66", "MR", "raw"),
    (f"{STORAGE}66.1", "REG", "registration"), (f"{STORAGE}66.2", "FID", "registration"), (f"{STORAGE}67", "RWV", "registration"),
    (f"{STORAGE}66.4", "SEG", "segmentation"), (f"{STORAGE}66.7", "SEG", "segmentation"), (f"{STORAGE}104.1", "DOC", "document"),
    (f"{STORAGE}104.2", "SR", "document"), (f"{STORAGE}200.2", "CT", "other"), ("1.2.840.10008.5.1.4.38.1", "HP", "other"),
    ("1.2.840.10008.5.1.4.39.1", "", "other"),
)  # fmt: skip


def make_object(
    sop_class: str, modality: str, n: int = 1, *, study_uid: str | None = None, person: Person = Person()
) -> bytes:
    """A Part 10 file."""
    out = Dataset()
    out.SpecificCharacterSet = "ISO_IR 192"
    out.StudyInstanceUID = study_uid or uid("study", sop_class, modality, n)
    out.SeriesInstanceUID = uid("series", out.StudyInstanceUID, sop_class, modality)
    out.SOPClassUID, out.SOPInstanceUID = sop_class, uid("instance", out.SeriesInstanceUID, n)
    out.StudyDate = out.SeriesDate = out.ContentDate = "20261121"
    out.StudyTime = out.SeriesTime = out.ContentTime = "093000"
    out.PatientName, out.PatientID, out.PatientSex = person.name, person.local_id, person.sex
    out.PatientBirthDate = person.birth_date.strftime("%Y%m%d") if person.birth_date else ""
    out.Modality, out.SeriesNumber, out.InstanceNumber = modality, 900, n
    out.StudyID, out.AccessionNumber, out.ReferringPhysicianName = "", "", ""
    return written(out)
