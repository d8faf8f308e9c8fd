"""Made films as DICOM objects, for the demo region, the journey and the tests. Nobody's body, nobody's name."""

from __future__ import annotations

import io
import uuid
from dataclasses import dataclass
from datetime import date, datetime

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian

from portal.demo_films import Sign, make_film

_NAMESPACE = uuid.UUID("0f3c8b3a-98d6-5f0e-8d7b-1b6f5a4e2c10")


@dataclass(frozen=True, slots=True)
class MadePerson:
    """A person of the demo: ``name`` in characters, ``latin`` as FAMILY^GIVEN."""

    local_id: str
    name: str
    latin: str
    sex: str
    birth_date: date


def film_dicom(
    seed: str, person: MadePerson, at: datetime, *, signs: frozenset[Sign] = frozenset(), accession: str = "",
    institution: str = "", rows: int = 1400, columns: int = 1200, description: str = "胸部正位", child: bool = False,
) -> bytes:  # fmt: skip
    """A DX for presentation, 12 of 16 bits, Part 10 bytes; the same seed makes the same object. at: clinic's local time."""
    shades = make_film(uuid.uuid5(_NAMESPACE, seed).int % 2**32, rows=rows, columns=columns, signs=signs, child=child)
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.SOPClassUID = DigitalXRayImageStorageForPresentation
    ds.SOPInstanceUID, ds.StudyInstanceUID, ds.SeriesInstanceUID = (uid_of(seed, k) for k in ("i", "study", "series"))
    ds.PatientName, ds.PatientID = f"{person.latin}={person.name}", person.local_id
    ds.PatientBirthDate, ds.PatientSex = person.birth_date.strftime("%Y%m%d"), person.sex
    ds.StudyDate = ds.SeriesDate = ds.AcquisitionDate = ds.ContentDate = at.strftime("%Y%m%d")
    ds.StudyTime = ds.SeriesTime = ds.AcquisitionTime = ds.ContentTime = at.strftime("%H%M%S")
    ds.AccessionNumber, ds.StudyID, ds.ReferringPhysicianName = accession, "1", ""
    ds.StudyDescription = ds.SeriesDescription = description
    ds.Modality, ds.BodyPartExamined, ds.ViewPosition = "DX", "CHEST", "PA"
    ds.Manufacturer, ds.ManufacturerModelName, ds.InstitutionName = "Helan generator", "made film", institution
    ds.SeriesNumber, ds.InstanceNumber = 1, 1
    ds.ImageType = ["ORIGINAL", "PRIMARY", ""]
    ds.PresentationIntentType, ds.PresentationLUTShape = "FOR PRESENTATION", "IDENTITY"
    ds.PixelIntensityRelationship, ds.PixelIntensityRelationshipSign = "LOG", -1
    ds.RescaleSlope, ds.RescaleIntercept, ds.RescaleType = "1", "0", "US"
    ds.WindowCenter, ds.WindowWidth = "2048", "4096"
    ds.ImagerPixelSpacing = ["0.3", "0.3"]
    ds.BurnedInAnnotation, ds.LossyImageCompression = "NO", "00"
    ds.KVP, ds.Exposure = "120", "3"
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.Rows, ds.Columns = shades.shape
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    ds.PixelData = np.clip(shades * 4095, 0, 4095).astype("<u2").tobytes()
    return part10(ds)


def part10(ds: Dataset) -> bytes:
    """The data set as an Explicit VR Little Endian file."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = ds.SOPClassUID, ds.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta = meta
    out = io.BytesIO()
    ds.save_as(out, enforce_file_format=True)
    return out.getvalue()


def uid_of(*meaning: str) -> str:
    return f"2.25.{uuid.uuid5(_NAMESPACE, '|'.join(meaning)).int}"
