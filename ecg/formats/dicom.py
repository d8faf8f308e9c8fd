"""DICOM waveforms (PS3.3 A.34, C.10.9) -> a recording, whole or block by block.

Reading trusts what is there (channel items, bytes of samples) before what is said about it (number of channels).
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from io import BytesIO
from typing import Final

import numpy as np
import numpy.typing as npt
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.uid import UID

from center.errors import Unreadable
from ecg.formats.dicom_groups import ECG_CLASSES, KEPT, Group, Placed, group_of, placed_in_time, text_of
from ecg.formats.dicom_issues import issues_in
from ecg.formats.dicom_structure import check_structure
from ecg.formats.dicom_write import (
    AMBULATORY_ECG,
    GENERAL_ECG,
    TWELVE_LEAD_ECG,
    WaveformIdentity,
    stream_dicom,
    write_dicom,
)
from ecg.formats.kinds import no_lead_named, not_an_ecg
from ecg.formats.long_signal import Buffer, LongSignal, checked_length
from ecg.formats.trouble import unreadable
from ecg.heart_leads import heart_leads, says_ecg
from ecg.signal import DeviceNote, EcgSignal, distinct

__all__ = [
    "AMBULATORY_ECG",
    "GENERAL_ECG",
    "TWELVE_LEAD_ECG",
    "WaveformIdentity",
    "looks_like_dicom",
    "open_dicom",
    "read_dicom",
    "read_median",
    "stream_dicom",
    "write_dicom",
]

_NOT_HEARTS: Final = tuple(f"1.2.840.10008.5.1.4.1.1.9.{n}." for n in (4, 5, 6, 7, 8))
"""Voice, pulse, breath, brain and muscle, posture: waveforms, but no ECG."""

_AVERAGED: Final = re.compile(r"median|average|mean beat|representative|template|dominant", re.IGNORECASE)
"""What a group of a beat that was made of others is labelled as."""
_MAX_NOTES: Final = 500
_NUMERIC_VALUE: Final = 0x0040A30A
_UNFORMATTED_TEXT: Final = 0x00700006
_PARSER_TROUBLE: Final = (
    *(ValueError, TypeError, KeyError, IndexError, AttributeError, LookupError, ArithmeticError, EOFError),
    *(NotImplementedError, RecursionError, OSError, struct.error, zlib.error, InvalidDicomError),
)


# ---- reading ----


def looks_like_dicom(content: bytes) -> bool:
    """Whether these bytes are a DICOM file, or a data set that lost its preamble."""
    if content[128:132] == b"DICM":
        return True
    return content[:4] in (b"\x08\x00\x05\x00", b"\x08\x00\x08\x00", b"\x08\x00\x12\x00", b"\x08\x00\x16\x00")


def read_dicom(content: bytes, file: str = "ECG") -> EcgSignal:
    """The recording in a DICOM waveform object: all its original groups of leads, in time.  Raises Unreadable.

    An EEG, EMG or EOG object is read as well, under its channels' own names; ``not_an_ecg`` is among its issues.
    """
    return open_dicom(content, file).whole(file)


def open_dicom(content: Buffer, file: str = "ECG") -> LongSignal:
    """The same, block by block: all but the samples is read now.  Raises Unreadable."""
    with _interpreted(file):
        dataset, groups, broken = _groups(content, file)
        return _long(dataset, placed_in_time(groups, broken, file), file)


def read_median(content: bytes, file: str = "ECG") -> EcgSignal | None:
    """The median beat that the object holds beside the recording; None where it has none.  Raises Unreadable."""
    with _interpreted(file):
        dataset, group = _median_group(content, file)
        return _long(dataset, group, file).whole(file) if group else None


@contextmanager
def _interpreted(file: str) -> Iterator[None]:
    """What the parser stumbles over in here becomes Unreadable."""
    try:
        yield
    except _PARSER_TROUBLE as trouble:
        raise unreadable(
            file,
            "中的 DICOM 元素无法解读",
            "has a DICOM element that cannot be interpreted",
            expected=type(trouble).__name__,
        ) from trouble


@dataclass(frozen=True, slots=True)
class _Object:
    """The data set without its samples, and the samples of each waveform item."""

    dataset: Dataset
    sop_class: str
    order: str
    samples: Sequence[npt.NDArray[np.uint8] | None]
    file: str

    @classmethod
    def of(cls, content: Buffer, file: str) -> _Object:
        outline = check_structure(content, file)
        dataset = dcmread(BytesIO(outline.small), force=True)
        sop_class = text_of(dataset, "SOPClassUID")
        if sop_class.startswith(_NOT_HEARTS) and sop_class not in KEPT:
            raise _no_ecg(dataset, file)
        return cls(dataset, sop_class, ">" if outline.is_big_endian else "<", outline.samples(content), file)

    @property
    def items(self) -> list[tuple[int, Dataset]]:
        return list(enumerate(self.dataset.get("WaveformSequence") or ()))

    def group(self, n: int, item: Dataset) -> Group:
        held = self.samples[n] if n < len(self.samples) else None
        return group_of(item, held, self.order, self.sop_class, self.file)


def _groups(content: Buffer, file: str) -> tuple[Dataset, list[Group], int]:
    """The object without its samples, its original groups that hold leads in the file's order, and how many can't be
    used; where none is original, the longest derived one.  Raises Unreadable where none is left."""
    held = _Object.of(content, file)
    original = [(n, item) for n, item in held.items if _is_original(item)]
    groups: list[Group] = []
    trouble: list[Unreadable] = []
    for n, item in original:
        try:
            groups.append(held.group(n, item))
        except Unreadable as refused:
            trouble.append(refused)
    found = [group for group in groups if group.leads]
    if not found and trouble:
        raise trouble[0]
    if not found:
        derived = [held.group(n, item) for n, item in held.items if not _is_original(item)]
        found = sorted((g for g in derived if g.leads), key=lambda g: (g.seconds, len(g.leads)), reverse=True)[:1]
    if not found:
        raise _no_ecg(held.dataset, file)
    return held.dataset, found, len(trouble)


def _median_group(content: Buffer, file: str) -> tuple[Dataset, Group | None]:
    """The derived group of most leads beside an original one."""
    held = _Object.of(content, file)
    if not any(_is_original(item) for _, item in held.items):
        return held.dataset, None
    derived = [held.group(n, item) for n, item in held.items if not _is_original(item)]
    return held.dataset, max((g for g in derived if g.leads), key=lambda g: len(g.leads), default=None)


def _is_original(item: Dataset) -> bool:
    """Whether a group was recorded; some makers call the beat they averaged original, and only label it."""
    label = text_of(item, "MultiplexGroupLabel")
    return str(item.get("WaveformOriginality") or "ORIGINAL") != "DERIVED" and not _AVERAGED.search(label)


def _long(dataset: Dataset, group: Group | Placed, file: str) -> LongSignal:
    leads = group.leads
    sop_class = text_of(dataset, "SOPClassUID")
    kept = KEPT.get(sop_class, "")
    head = EcgSignal(
        leads=distinct(lead.name for lead in leads),
        samples=np.empty((len(leads), 0)),
        fs_hz=group.fs_hz,
        filters=group.filters,
        step_mv=tuple(lead.per_count_mv for lead in leads),
        patient_id=text_of(dataset, "PatientID"),
        patient_name=text_of(dataset, "PatientName"),
        sex=text_of(dataset, "PatientSex"),
        birth_date=text_of(dataset, "PatientBirthDate"),
        age_years=_age_years(text_of(dataset, "PatientAge")),
        recorded_at=_recorded_at(dataset),
        device=" ".join(filter(None, (text_of(dataset, "Manufacturer"), text_of(dataset, "ManufacturerModelName")))),
        accession_number=text_of(dataset, "AccessionNumber"),
        annotations=_notes(dataset),
        source_format=f"DICOM {kept}".rstrip(),
        is_ecg_by_type=sop_class.startswith(ECG_CLASSES),
    )
    issues = (*issues_in(dataset), *group.issues)
    if kept:
        issues += (not_an_ecg(kept, [name for name in head.leads if says_ecg(name)]),)
    elif not heart_leads(head):
        issues += (no_lead_named(head.leads),)
    head = replace(head, issues=tuple(dict.fromkeys(issues)))
    return LongSignal(head, checked_length(file, group.length, group.fs_hz), group.block)


def _notes(dataset: Dataset) -> tuple[DeviceNote, ...]:
    """What the device said: statements and measurements.  Positions of single waves are left to the engine."""
    out: list[DeviceNote] = []
    for item in dataset.get("WaveformAnnotationSequence") or ():
        if _NUMERIC_VALUE not in item and _UNFORMATTED_TEXT not in item:
            continue
        concept = item.get("ConceptNameCodeSequence")
        name = text_of(concept[0], "CodeMeaning") if concept else ""
        text = text_of(item, "UnformattedTextValue")
        value = item.get("NumericValue")
        units = item.get("MeasurementUnitsCodeSequence")
        if value is not None and name:
            number = float(value[0] if isinstance(value, Sequence) else value)
            out.append(DeviceNote(name, number, text_of(units[0], "CodeValue") if units else ""))
        elif text:
            out.append(DeviceNote(text))
    return tuple(dict.fromkeys(out))[:_MAX_NOTES]


def _recorded_at(dataset: Dataset) -> str:
    """ISO 8601 of the acquisition, with its zone where there is one; empty where unknown."""
    stamp = text_of(dataset, "AcquisitionDateTime")
    if not stamp[:8].isdigit():
        day = text_of(dataset, "AcquisitionDate") or text_of(dataset, "ContentDate") or text_of(dataset, "StudyDate")
        time = text_of(dataset, "AcquisitionTime") or text_of(dataset, "ContentTime") or text_of(dataset, "StudyTime")
        stamp = day + time if day else ""
    zone = next((stamp[n:] for n, c in enumerate(stamp) if c in "+-"), "") or text_of(dataset, "TimezoneOffsetFromUTC")
    digits = (stamp[:14] if stamp[:14].isdigit() else stamp[:8]).ljust(14, "0")
    day, clock = (digits[:4], digits[4:6], digits[6:8]), (digits[8:10], digits[10:12], digits[12:14])
    iso = "-".join(day) + "T" + ":".join(clock) + (f"{zone[:3]}:{zone[3:]}" if len(zone) == 5 else "")
    try:
        return datetime.fromisoformat(iso).isoformat()
    except ValueError:
        return ""


def _age_years(text: str) -> float | None:
    per_year = {"Y": 1.0, "M": 12.0, "W": 52.18, "D": 365.25}
    if len(text) == 4 and text[:3].isdigit() and text[3] in per_year:
        return round(int(text[:3]) / per_year[text[3]], 3)
    return None


def _no_ecg(dataset: Dataset, file: str) -> Exception:
    sop_class = UID(text_of(dataset, "SOPClassUID"))
    kind = sop_class.name if sop_class and sop_class.name != sop_class else "DICOM"
    return unreadable(
        file,
        f"是 {kind}，其中没有可读的心电导联",
        f"is {kind} and holds no readable ECG lead",
        expected="(5400,0100) Waveform Sequence with ECG leads",
        code="not_an_ecg",
    )
