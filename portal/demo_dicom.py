"""Studies from a seed, valid or with one flaw: for the demo region and for the tests. No outside data enters.

The chest film is drawn: trunk, lungs, ribs, heart and diaphragm as smooth shapes with noise, so that a viewer shows
something that looks like what it is; it's marked as made up.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from enum import Enum
from io import BytesIO
from typing import Any
from uuid import UUID, uuid5

import numpy as np
import numpy.typing as npt
from pydicom import dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID

EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"
IMPLICIT_LITTLE = "1.2.840.10008.1.2"
CR_STORAGE = "1.2.840.10008.5.1.4.1.1.1"
DX_STORAGE = "1.2.840.10008.5.1.4.1.1.1.1"
CT_STORAGE = "1.2.840.10008.5.1.4.1.1.2"
_NAMESPACE = UUID("0d2a3c55-7d0b-53d4-8b7a-51a5a1f0c3de")


class Flaw(Enum):
    """What is wrong with a made object."""

    NONE = "none"
    TRUNCATED = "truncated"
    LYING_LENGTH = "lying_length"
    NO_PREAMBLE = "no_preamble"
    EVIL_UID = "evil_uid"
    NO_STUDY_UID = "no_study_uid"
    WRONG_VR = "wrong_vr"
    DEEP = "deep"
    GARBAGE = "garbage"
    META_DIFFERS = "meta_differs"
    GB18030_AS_LATIN1 = "gb18030_as_latin1"
    GB18030_UNDECLARED = "gb18030_undeclared"
    UTF8_UNDECLARED = "utf8_undeclared"
    PLACEHOLDER_ID = "placeholder_id"


@dataclass(frozen=True, slots=True)
class Person:
    """Made-up persons; ``name`` is a DICOM PN."""

    local_id: str = "S1001"
    name: str = "Zhang^San=张^三"
    sex: str = "M"
    birth_date: date | None = date(1961, 3, 9)


@dataclass(frozen=True, slots=True)
class Exam:
    """What a study says of itself."""

    at: datetime = datetime(2026, 11, 22, 9, 30)  # noqa: DTZ001 - the device's local time
    accession: str = ""
    description: str = "胸部正位"
    body_part: str = "CHEST"
    institution: str = "石沟镇卫生院"
    referring: str = ""
    extra: dict[str, Any] = field(default_factory=dict)


def uid(*parts: object) -> str:
    """A UID named by these words: made again, it is the same."""
    return f"2.25.{uuid5(_NAMESPACE, '/'.join(str(p) for p in parts)).int}"


def chest(
    seed: int, rows: int = 512, columns: int = 512, *, effusion: bool = False, opacity: bool = False
) -> npt.NDArray[np.uint16]:
    """A drawn frontal chest film, uint16 [row, column], 12 bits, MONOCHROME2: bone bright, air dark."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0 : 1 : rows * 1j, 0 : 1 : columns * 1j]

    def oval(cy: float, cx: float, ry: float, rx: float, soft: float = 0.06) -> npt.NDArray[np.float64]:
        distance = np.sqrt(((y - cy) / ry) ** 2 + ((x - cx) / rx) ** 2)
        return 1 / (1 + np.exp((distance - 1) / soft))

    film = 0.06 + 0.62 * oval(0.62, 0.5, 0.62, 0.47, 0.05) + 0.3 * oval(0.05, 0.5, 0.18, 0.10)
    lungs = np.maximum(oval(0.47, 0.30, 0.33, 0.155), oval(0.47, 0.70, 0.33, 0.155))
    film -= 0.46 * lungs
    for n in range(9):  # ribs: arcs that fall outwards
        for side in (-1, 1):
            ridge = 0.20 + 0.067 * n + 0.28 * np.clip(np.abs(x - 0.5) - 0.1, 0, None) ** 1.5
            film += 0.085 * np.exp(-(((y - ridge) / 0.012) ** 2)) * lungs * ((x - 0.5) * side > 0.05)
    film += 0.38 * oval(0.60, 0.545, 0.20, 0.145) + 0.25 * np.exp(-(((x - 0.5) / 0.03) ** 2))  # heart, spine
    film += 0.30 * oval(0.93, 0.29, 0.17, 0.24) + 0.30 * oval(0.94, 0.71, 0.15, 0.24)  # diaphragm
    film += 0.10 * np.exp(-(((y - 0.14 - 0.12 * np.abs(x - 0.5)) / 0.018) ** 2)) * (np.abs(x - 0.5) < 0.33)  # clavicles
    if effusion:
        film += 0.36 * oval(0.80, 0.27, 0.16, 0.19) * (y > 0.62)
    if opacity:
        film += 0.30 * oval(0.36 + 0.05 * rng.random(), 0.69, 0.09, 0.08, 0.25)
    film += rng.normal(0, 0.012, film.shape)
    return np.asarray(np.clip(film, 0, 1) * 4095, dtype=np.uint16)


def phantom(seed: int, z: float, rows: int = 128, columns: int = 128) -> npt.NDArray[np.int16]:
    """A drawn CT slice, int16 [row, column], Hounsfield units: body, bone ring, organs that change along z (0..1)."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[-1 : 1 : rows * 1j, -1 : 1 : columns * 1j]
    body = (x / 0.85) ** 2 + (y / 0.7) ** 2 < 1
    image = np.where(body, 40.0, -1000.0)
    image[((x / 0.8) ** 2 + (y / 0.65) ** 2 < 1) & ((x / 0.74) ** 2 + (y / 0.6) ** 2 > 1)] = 700
    image[(x - 0.3) ** 2 + (y - 0.1 + 0.3 * z) ** 2 < 0.04 + 0.03 * z] = 120
    image[(x + 0.35) ** 2 + (y + 0.1) ** 2 < 0.06 * (1.2 - z)] = -800
    image += rng.normal(0, 12, image.shape)
    return np.asarray(np.clip(image, -1024, 3000), dtype=np.int16)


def make_cr(
    seed: int = 1,
    *,
    person: Person = Person(),
    exam: Exam = Exam(),
    size: tuple[int, int] = (512, 512),
    modality: str = "CR",
    flaw: Flaw = Flaw.NONE,
    transfer_syntax: str = EXPLICIT_LITTLE,
    pixels: npt.NDArray[np.uint16] | None = None,
    instance: int = 1,
    study_uid: str | None = None,
    **attributes: Any,
) -> bytes:
    """A chest film as a Part 10 file."""
    drawn = chest(seed, *size) if pixels is None else pixels
    out = _base(seed, person, exam, modality, DX_STORAGE if modality == "DX" else CR_STORAGE, instance, study_uid)
    out.ViewPosition = "PA"
    out.SeriesDescription = "胸部 PA"
    out.PatientOrientation = ["L", "F"]
    out.ImageType = ["ORIGINAL", "PRIMARY", ""] if modality == "DX" else ["ORIGINAL", "PRIMARY"]
    _describe(out, drawn, 12, signed=False)
    out.ImagerPixelSpacing = [0.4, 0.4]
    if modality == "DX":
        _make_dx(out)
    out.WindowCenter, out.WindowWidth = "2048", "4096"
    return _finish(out, drawn, flaw, transfer_syntax, attributes)


def _make_dx(out: Dataset) -> None:
    out.PresentationIntentType = "FOR PRESENTATION"
    out.PixelIntensityRelationship, out.PixelIntensityRelationshipSign = "LOG", -1
    out.RescaleIntercept, out.RescaleSlope, out.RescaleType = "0", "1", "US"
    out.PresentationLUTShape, out.LossyImageCompression, out.BurnedInAnnotation = "IDENTITY", "00", "NO"
    out.ImageLaterality, out.DetectorType = "U", "DIRECT"
    out.AnatomicRegionSequence, out.AcquisitionContextSequence = [_code("51185008", "SCT", "Chest")], []


def make_ct(
    seed: int = 1,
    *,
    slices: int = 4,
    person: Person = Person(),
    exam: Exam = Exam(description="头颅平扫", body_part="HEAD"),
    size: tuple[int, int] = (128, 128),
    flaw: Flaw = Flaw.NONE,
    transfer_syntax: str = EXPLICIT_LITTLE,
    study_uid: str | None = None,
    **attributes: Any,
) -> list[bytes]:
    """A CT series, a Part 10 file each slice; a flaw is the first slice's."""
    files: list[bytes] = []
    for n in range(slices):
        image = phantom(seed, n / max(1, slices - 1), *size)
        stored = np.asarray(image + 1024, dtype=np.uint16)
        out = _base(seed, person, exam, "CT", CT_STORAGE, n + 1, study_uid)
        out.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        _describe(out, stored, 12, signed=False)
        out.RescaleIntercept, out.RescaleSlope, out.RescaleType = "-1024", "1", "HU"
        out.PixelSpacing, out.SliceThickness = [1.5, 1.5], "5"
        out.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        out.ImagePositionPatient = [-96, -96, 5.0 * n]
        out.FrameOfReferenceUID, out.PositionReferenceIndicator = uid("frame", seed), ""
        out.SliceLocation, out.KVP, out.AcquisitionNumber = str(5.0 * n), "120", 1
        out.WindowCenter, out.WindowWidth = "40", "400"
        files.append(_finish(out, stored, flaw if n == 0 else Flaw.NONE, transfer_syntax, attributes))
    return files


def _base(
    seed: int, person: Person, exam: Exam, modality: str, sop_class: str, instance: int, study_uid: str | None
) -> Dataset:
    out = Dataset()
    out.SpecificCharacterSet = "ISO_IR 192"
    out.SOPClassUID = sop_class
    study = study_uid or uid("study", modality, seed, person.local_id)
    out.StudyInstanceUID = study
    out.SeriesInstanceUID = uid("series", study, modality)
    out.SOPInstanceUID = uid("instance", study, modality, seed, instance)
    day, clock = exam.at.strftime("%Y%m%d"), exam.at.strftime("%H%M%S")
    out.StudyDate = out.SeriesDate = out.AcquisitionDate = out.ContentDate = day
    out.StudyTime = out.SeriesTime = out.AcquisitionTime = out.ContentTime = clock
    out.AccessionNumber, out.StudyID = exam.accession, str(seed)
    out.StudyDescription, out.BodyPartExamined = exam.description, exam.body_part
    out.ReferringPhysicianName, out.InstitutionName = exam.referring, exam.institution
    out.Manufacturer, out.ManufacturerModelName = "Helan made-up", "Generator"
    out.PatientName, out.PatientID, out.PatientSex = person.name, person.local_id, person.sex
    out.PatientBirthDate = person.birth_date.strftime("%Y%m%d") if person.birth_date else ""
    if person.birth_date:
        years = exam.at.year - person.birth_date.year
        out.PatientAge = (
            f"{years - ((exam.at.month, exam.at.day) < (person.birth_date.month, person.birth_date.day)):03d}Y"
        )
    out.Modality, out.SeriesNumber, out.InstanceNumber = modality, 1, instance
    for keyword, value in exam.extra.items():
        setattr(out, keyword, value)
    return out


def _describe(out: Dataset, pixels: npt.NDArray[Any], bits: int, *, signed: bool) -> None:
    out.SamplesPerPixel, out.PhotometricInterpretation = 1, "MONOCHROME2"
    out.Rows, out.Columns = pixels.shape[-2:]
    out.BitsAllocated, out.BitsStored, out.HighBit = 16, bits, bits - 1
    out.PixelRepresentation = int(signed)
    if pixels.ndim == 3:
        out.NumberOfFrames = pixels.shape[0]


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, scheme, meaning
    return code


# ---------------------------------------------------------------- bytes and flaws
_NAMES_AS = {
    Flaw.GB18030_AS_LATIN1: ("ISO_IR 100", "gb18030"),
    Flaw.GB18030_UNDECLARED: (None, "gb18030"),
    Flaw.UTF8_UNDECLARED: (None, "utf_8"),
}


def _finish(
    out: Dataset, pixels: npt.NDArray[Any], flaw: Flaw, transfer_syntax: str, attributes: dict[str, Any]
) -> bytes:
    for keyword, value in attributes.items():
        setattr(out, keyword, value)
    if flaw is Flaw.NO_STUDY_UID:
        del out.StudyInstanceUID
    if flaw is Flaw.PLACEHOLDER_ID:
        out.PatientID = "0"
    if flaw is Flaw.DEEP:
        out.RequestAttributesSequence = [_nested(100)]
    out.add_new(0x7FE00010, "OW", np.ascontiguousarray(pixels).tobytes())
    return _spoil(written(out, transfer_syntax, _NAMES_AS.get(flaw)), flaw)


def written(
    out: Dataset, transfer_syntax: str = EXPLICIT_LITTLE, text_as: tuple[str | None, str] | None = None
) -> bytes:
    """A Part 10 file of a data set with native pixels; ``text_as``: (declared set, codec its text is written in)."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = (
        UID(str(out.SOPClassUID)),
        UID(str(out.SOPInstanceUID)),
    )
    meta.TransferSyntaxUID, meta.ImplementationClassUID = (
        UID(transfer_syntax),
        UID("2.25.209641350953317561905226938410972263041"),
    )
    if text_as is not None:
        _mislabel(out, *text_as)
    out.file_meta, out.preamble = meta, bytes(128)
    buffer = BytesIO()
    dcmwrite(buffer, out, enforce_file_format=True)
    return buffer.getvalue()


def _mislabel(out: Dataset, declared: str | None, codec: str) -> None:
    """Text as these bytes, whatever (0008,0005) then says: a device's ordinary lie."""
    for keyword in ("PatientName", "StudyDescription", "SeriesDescription", "InstitutionName"):
        element = out[keyword]
        text = str(element.value)
        # One byte a character: what pydicom writes as latin-1 is exactly the codec's bytes.
        setattr(out, keyword, text.encode(codec).decode("latin_1"))
    out.SpecificCharacterSet = "ISO_IR 100"


def _nested(depth: int) -> Dataset:
    item = Dataset()
    item.ScheduledProcedureStepID = "bottom"
    for _ in range(depth):
        outer = Dataset()
        outer.RequestAttributesSequence = [item]
        item = outer
    return item


def _spoil(raw: bytes, flaw: Flaw) -> bytes:
    match flaw:
        case Flaw.TRUNCATED:
            return raw[: len(raw) * 2 // 3]
        case Flaw.NO_PREAMBLE:
            return raw[132:]
        case Flaw.GARBAGE:
            return np.random.default_rng(7).bytes(4096)
        case Flaw.LYING_LENGTH:
            at = raw.index(b"\x20\x00\x10\x00SH") + 6  # Study ID says it is longer than the file
            return raw[:at] + b"\xff\xff" + raw[at + 2 :]
        case Flaw.WRONG_VR:
            at = raw.index(b"\x20\x00\x10\x00SH") + 4
            return raw[:at] + b"zz" + raw[at + 2 :]
        case Flaw.EVIL_UID:
            return _replace_last_uid(raw, b"../../../../etc/passwd")
        case Flaw.META_DIFFERS:
            at = raw.index(b"\x02\x00\x03\x00UI") + 8
            return raw[:at] + b"1.2.3" + raw[at + 5 :]
        case Flaw.GB18030_UNDECLARED | Flaw.UTF8_UNDECLARED:
            at = raw.index(b"\x08\x00\x05\x00CS")
            return raw[:at] + raw[at + 8 + 10 :]
        case _:
            return raw


def _replace_last_uid(raw: bytes, evil: bytes) -> bytes:
    at = raw.index(b"\x08\x00\x18\x00UI")
    length = int.from_bytes(raw[at + 6 : at + 8], "little")
    padded = evil + b"\x00" * (len(evil) % 2)
    return raw[: at + 6] + len(padded).to_bytes(2, "little") + padded + raw[at + 8 + length :]


def encapsulated(out: Dataset, frames: list[bytes], transfer_syntax: str, *, offset_table: bool = True) -> bytes:
    """A Part 10 file with these compressed frames."""
    out.add_new(0x7FE00010, "OB", encapsulate(frames, has_bot=offset_table))
    out["PixelData"].is_undefined_length = True
    return written(out, transfer_syntax)


def multi_frame(seed: int, frames: int, size: tuple[int, int] = (32, 40)) -> tuple[Dataset, npt.NDArray[np.uint8]]:
    """A multi-frame grayscale secondary capture without its pixels, and them: uint8 [frame, row, column]."""
    rng = np.random.default_rng(seed)
    pixels = np.cumsum(rng.integers(0, 4, (frames, *size)), axis=2).astype(np.uint8)
    out = _base(seed, Person(), Exam(description="超声"), "US", "1.2.840.10008.5.1.4.1.1.7.2", 1, None)
    out.ConversionType = "WSD"
    _describe(out, pixels, 8, signed=False)
    out.BitsAllocated = 8
    return out, pixels
