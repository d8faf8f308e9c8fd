"""Headers as careless devices write them: any bytes under any tag, beside what is right."""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO

from pydicom import dcmread
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag

from tests.makers.dicom import EXPLICIT_LITTLE, written

#: What a result could take from a header, and what it never needs, with values that were met.
ODD_VALUES: Mapping[str, tuple[bytes, ...]] = {
    "AcquisitionNumber": (b"1.5", b"abc", b"99999999999999", b"1\\x"),
    "KVP": (b"120,0", b"80 kV", b"NaN"),
    "SeriesNumber": (b"A1", b"1.5"),
    "InstanceNumber": (b"first", b"2.5"),
    "PatientSex": ("男".encode("gb18030"), b"M ", b"male", b"X", b"1", b"M\\F"),
    "PatientBirthDate": (b"00000000", b"unknown", b"1960-01-02", b"1960.01.02", b"19600231", b"60"),
    "PatientAge": (b"45", b"abc", b"45 years"),
    "PatientWeight": (b"60 kg", b"60,5"),
    "StudyDate": (b"2026.11.30", b"2026-11-30", b"20261130101500", b"30/11/2026", b"today"),
    "StudyTime": (b"10:20:30", b"10:20", b"256090", b"102030.1234567", b"10h20"),
    "AccessionNumber": (b"A" * 30, b"A1\\A2", b"A\r\nB"),
    "StudyID": (b"S" * 40, b"1\\2"),
    "PatientID": (b"P" * 100, b"P1\\P2"),
    "PatientName": (b"N" * 200, b"A^B^C^D^E^F^G", b"A=B=C=D", b"Zhang\\Li", b"\x1b\x07^"),
    "ReferringPhysicianName": (b"D" * 200, b"Dr\tWho"),
    "IssuerOfPatientID": (b"I" * 100,),
    "StudyDescription": (b"d" * 1000, b"two\r\nlines", b"a\\b"),
    "PixelSpacing": (b"a.b\\0.2",),
    "WindowCenter": (b"abc",),
}


def with_odd(raw: bytes, values: Mapping[str, bytes], *, vrs: Mapping[str, str] | None = None) -> bytes:
    """The file with these bytes under these keywords, under another VR where ``vrs`` says so, and private junk."""
    made = dcmread(BytesIO(raw))
    for keyword, value in values.items():
        vr = (vrs or {}).get(keyword) or dictionary_VR(keyword)
        padded = value + b" " * (len(value) % 2)
        made[Tag(keyword)] = RawDataElement(Tag(keyword), vr, len(padded), padded, 0, False, True)
    made[Tag(0x00091001)] = RawDataElement(Tag(0x00091001), "IS", 4, b"junk", 0, False, True)
    return written(made, EXPLICIT_LITTLE)
