"""DICOM waveforms (PS3.3 A.34, C.10.9) -> a recording, whole or block by block.

Reading trusts what is there (channel items, bytes of samples) before what is said about it (number of channels).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from io import BytesIO
from itertools import groupby
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.uid import UID

from center.reads import Reason
from ecg.formats.dicom_structure import check_structure
from ecg.formats.dicom_write import (
    AMBULATORY_ECG,
    EMG,
    EOG,
    GENERAL_ECG,
    SCALP_EEG,
    SLEEP_EEG,
    TWELVE_LEAD_ECG,
    WaveformIdentity,
    stream_dicom,
    write_dicom,
)
from ecg.formats.kinds import left_out, no_lead_named, not_an_ecg
from ecg.formats.lead_codes import LEAD_OF_NUMBER
from ecg.formats.leads import check_rate
from ecg.formats.long_signal import Block, Buffer, LongSignal, checked_length
from ecg.formats.trouble import unreadable
from ecg.heart_leads import heart_leads, names_lead, says_ecg
from ecg.signal import MAX_LEADS, DeviceNote, EcgSignal, Filters, canonical_lead, distinct, is_known_lead

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

_KEPT: Final = {SCALP_EEG: "Routine Scalp EEG", EMG: "EMG", EOG: "EOG", SLEEP_EEG: "Sleep EEG"}
"""Signals that are kept and shown as they are."""
_ECG_CLASSES: Final = "1.2.840.10008.5.1.4.1.1.9.1."
"""12-lead, general, ambulatory and 32-bit: their channels are leads unless they say otherwise."""
_NOT_HEARTS: Final = tuple(f"1.2.840.10008.5.1.4.1.1.9.{n}." for n in (4, 5, 6, 7, 8))
"""Voice, pulse, breath, brain and muscle, posture: waveforms, but no ECG."""

_MAX_NOTES: Final = 500
_NUMERIC_VALUE: Final = 0x0040A30A
_UNFORMATTED_TEXT: Final = 0x00700006
_GAP_S: Final = 0.2
"""A padding value that a living lead can also take counts as a gap from this length on (ours): no resting lead holds
one value for a fifth of a second, and one maker declares 0 as padding."""

_MV_PER_UNIT: Final = {"mv": 1.0, "millivolt": 1.0, "uv": 1e-3, "microvolt": 1e-3, "nv": 1e-6, "v": 1e3, "volt": 1e3}
_SAMPLE_TYPES: Final = {
    (8, "SB"): "i1",
    (8, "UB"): "u1",
    (16, "SS"): "i2",
    (16, "US"): "u2",
    (32, "SL"): "i4",
    (32, "UL"): "u4",
}
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
    """The recording in a DICOM waveform object: its longest original group of leads.  Raises Unreadable.

    An EEG, EMG or EOG object is read as well, under its channels' own names; ``not_an_ecg`` is among its issues.
    """
    return open_dicom(content, file).whole(file)


def open_dicom(content: Buffer, file: str = "ECG") -> LongSignal:
    """The same, block by block: all but the samples is read now.  Raises Unreadable."""
    with _interpreted(file):
        dataset, groups = _groups(content, file, is_derived=False)
        return _long(dataset, groups[0], file)


def read_median(content: bytes, file: str = "ECG") -> EcgSignal | None:
    """The median beat that the object holds beside the recording; None where it has none.  Raises Unreadable."""
    with _interpreted(file):
        dataset, groups = _groups(content, file, is_derived=True)
        return _long(dataset, groups[0], file).whole(file) if groups else None


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


def _groups(content: Buffer, file: str, *, is_derived: bool) -> tuple[Dataset, list[_Group]]:
    """The object without its samples, and the best of its groups of leads, none for a median beat that isn't there.

    Original before derived, then the longest, then the one of most leads; what comes after is not looked into.
    """
    outline = check_structure(content, file)
    dataset = dcmread(BytesIO(outline.small), force=True)
    sop_class = _text(dataset, "SOPClassUID")
    kept, order = _KEPT.get(sop_class, ""), ">" if outline.is_big_endian else "<"
    if sop_class.startswith(_NOT_HEARTS) and not kept:
        raise _no_ecg(dataset, file)
    samples = outline.samples(content)
    ranked = sorted(enumerate(dataset.get("WaveformSequence") or ()), key=lambda each: _rank(each[1]), reverse=True)
    if is_derived:
        ranked = [(n, item) for n, item in ranked[1:] if not _is_original(item)]
    for _, alike in groupby(ranked, key=lambda each: _rank(each[1])):
        groups = [
            _Group.of(item, samples[n] if n < len(samples) else None, order, sop_class, file) for n, item in alike
        ]
        groups = sorted((group for group in groups if group.leads), key=lambda group: len(group.leads), reverse=True)
        if groups:
            return dataset, groups
    if is_derived:
        return dataset, []
    raise _no_ecg(dataset, file)


def _is_original(item: Dataset) -> bool:
    return str(item.get("WaveformOriginality") or "ORIGINAL") != "DERIVED"


def _rank(item: Dataset) -> tuple[bool, float]:
    """Whether a group is original, and how many seconds it declares; one that declares no rate is looked at first."""
    fs_hz = float(item.get("SamplingFrequency") or 0)
    return _is_original(item), float(item.get("NumberOfWaveformSamples") or 0) / fs_hz if fs_hz > 0 else np.inf


def _long(dataset: Dataset, group: _Group, file: str) -> LongSignal:
    leads = group.leads
    sop_class = _text(dataset, "SOPClassUID")
    kept = _KEPT.get(sop_class, "")
    head = EcgSignal(
        leads=distinct(lead.name for lead in leads),
        samples=np.empty((len(leads), 0)),
        fs_hz=group.fs_hz,
        filters=group.filters,
        step_mv=tuple(lead.per_count_mv for lead in leads),
        patient_id=_text(dataset, "PatientID"),
        patient_name=_text(dataset, "PatientName"),
        sex=_text(dataset, "PatientSex"),
        birth_date=_text(dataset, "PatientBirthDate"),
        age_years=_age_years(_text(dataset, "PatientAge")),
        recorded_at=_recorded_at(dataset),
        device=" ".join(filter(None, (_text(dataset, "Manufacturer"), _text(dataset, "ManufacturerModelName")))),
        accession_number=_text(dataset, "AccessionNumber"),
        annotations=_notes(dataset),
        source_format=f"DICOM {kept}".rstrip(),
        is_ecg_by_type=sop_class.startswith(_ECG_CLASSES),
    )
    issues = group.issues
    if kept:
        issues += (not_an_ecg(kept, [name for name in head.leads if says_ecg(name)]),)
    elif not heart_leads(head):
        issues += (no_lead_named(head.leads),)
    head = replace(head, issues=issues)
    return LongSignal(head, checked_length(file, group.frames.shape[0], group.fs_hz), group.block)


@dataclass(frozen=True, slots=True)
class _Channel:
    """A lead.  column: which of the group's channels; level_mv: of count 0."""

    name: str
    column: int
    per_count_mv: float
    level_mv: float


@dataclass(frozen=True, slots=True)
class _Group:
    """One multiplex group whose channels are leads in millivolts.  frames: counts [sample, channel]."""

    fs_hz: float
    leads: tuple[_Channel, ...]
    frames: npt.NDArray[Any]
    padding: int | None
    filters: Filters
    issues: tuple[Reason, ...]

    @classmethod
    def of(cls, item: Dataset, samples: npt.NDArray[np.uint8] | None, order: str, sop_class: str, file: str) -> _Group:
        kept = sop_class in _KEPT
        channels: Sequence[Dataset] = list(item.get("ChannelDefinitionSequence") or ())
        fs_hz = float(item.get("SamplingFrequency") or 0)
        if not 0 < len(channels) <= MAX_LEADS or not 0 < fs_hz <= 1e6:
            raise unreadable(
                file,
                f"的波形组有 {len(channels)} 个通道、采样率 {fs_hz:g} Hz，无法使用",
                f"has a waveform group of {len(channels)} channels at {fs_hz:g} Hz, which cannot be used",
                expected=f"1..{MAX_LEADS} channels, 0 < frequency <= 1000000 Hz",
            )
        frames = _frames(item, samples, len(channels), order, file)
        issues: list[Reason] = []
        declared = item.get("NumberOfWaveformChannels")
        if declared != len(channels):
            issues.append(_channel_count_issue(declared, len(channels)))
        leads: list[_Channel] = []
        unscaled: list[str] = []
        for n, channel in enumerate(channels):
            name = _own_name(channel, n) if kept else _lead_name(channel, n)
            scaled = _scale_mv(channel, name)
            if scaled is None:
                unscaled.append(name)
            elif scaled[0] > 0:
                leads.append(_Channel(name, n, *scaled))
            else:
                issues.append(_not_voltage_issue(name))
        if unscaled and not leads:
            raise _no_scale(file, unscaled)
        issues += left_out(unscaled, "没有可用的灵敏度，无法换算为毫伏", "no usable sensitivity, so no millivolts")
        filters, differ = _filters(channels)
        issues += [_FILTERS_DIFFER] if differ else []
        is_other = not sop_class.startswith(_ECG_CLASSES) or _has_other_source(channels)
        if not kept and is_other and not any(names_lead(lead.name) for lead in leads):
            leads = []  # a pressure in millivolts, but no lead of a heart
        if leads and not kept:
            check_rate(file, fs_hz)
        return cls(
            fs_hz=fs_hz,
            leads=tuple(leads),
            frames=frames,
            padding=_padding(item, frames.dtype),
            filters=filters,
            issues=tuple(issues),
        )

    def block(self, start: int, stop: int) -> Block:
        """mV [lead, stop - start]; NaN where there is no sample."""
        margin = int(np.ceil(_GAP_S * self.fs_hz)) if self.padding is not None else 0  # a gap may begin before
        low, high = max(0, start - margin), min(self.frames.shape[0], stop + margin)
        out = np.empty((len(self.leads), stop - start))
        for row, lead in zip(out, self.leads, strict=True):
            counts = self.frames[low:high, lead.column]
            np.multiply(counts[start - low : stop - low], lead.per_count_mv, out=row)
            row += lead.level_mv
            if self.padding is not None:
                row[_is_gap(counts, self.padding, self.fs_hz)[start - low : stop - low]] = np.nan
        return out


def _frames(
    item: Dataset, samples: npt.NDArray[np.uint8] | None, channels: int, order: str, file: str
) -> npt.NDArray[Any]:
    """The counts [sample, channel].  Their bytes decide, and must be what channels x samples ask for."""
    bits = int(item.get("WaveformBitsAllocated") or 0)
    kind = str(item.get("WaveformSampleInterpretation") or "")
    dtype = _SAMPLE_TYPES.get((bits, kind))
    if dtype is None or (bits == 8 and order == ">"):  # words of two samples, whose order nobody agrees on
        raise unreadable(
            file,
            f"的样本格式 {bits} 位 {kind or '未知'} 不支持",
            f"has samples of {bits} bits {kind or 'unknown'}, which is not supported",
            expected="8 SB/UB, 16 SS/US, 32 SL/UL",
        )
    count = int(item.get("NumberOfWaveformSamples") or 0)
    if samples is None:
        content = item.get("WaveformData") or b""
        if not isinstance(content, bytes):
            raise TypeError("waveform data")
        samples = np.frombuffer(content, dtype=np.uint8)
    need = count * channels * bits // 8
    if not count or not need <= samples.size <= need + need % 2:
        raise unreadable(
            file,
            f"的波形数据长度不符：{channels} 通道 x {count} 样本应为 {need} 字节，实有 {samples.size} 字节",
            f"has waveform data of the wrong length: {channels} channels x {count} samples make {need} bytes, "
            f"{samples.size} found",
            expected=f"{need} bytes",
        )
    return samples[:need].view(order + dtype).reshape(count, channels)


def _padding(item: Dataset, dtype: np.dtype[Any]) -> int | None:
    """The value that stands for "no sample", or None.  Stored in the samples' own type (PS3.3 C.10.9.1.7)."""
    raw = item.get("WaveformPaddingValue")
    if isinstance(raw, bytes) and len(raw) >= dtype.itemsize:
        return int(np.frombuffer(raw[: dtype.itemsize], dtype=dtype)[0])
    return None


def _is_gap(counts: npt.NDArray[Any], padding: int, fs_hz: float) -> npt.NDArray[np.bool_]:
    """Which samples are no samples.  At the type's limits each one; elsewhere only long runs (see ``_GAP_S``)."""
    equal = counts == padding
    limits = np.iinfo(counts.dtype)
    if padding in (limits.min, limits.max) or not equal.any():
        return equal
    edges = np.flatnonzero(np.diff(np.concatenate([[False], equal, [False]]).astype(np.int8)))
    gap = np.zeros(counts.size, dtype=np.bool_)
    for start, end in edges.reshape(-1, 2):
        if end - start >= _GAP_S * fs_hz:
            gap[start:end] = True
    return gap


def _scale_mv(channel: Dataset, name: str) -> tuple[float, float] | None:
    """mV a count and mV at count 0: sensitivity x correction, baseline (PS3.3 C.10.9.1.4.3).

    (0, 0): no voltage.  None: a voltage, or a lead, that gives no scale.
    """
    units = channel.get("ChannelSensitivityUnitsSequence")
    unit = str(units[0].get("CodeValue") or "") if units else ""
    per_unit = _MV_PER_UNIT.get(unit.casefold(), 0.0)
    if not units and (channel.get("ChannelSensitivity") is None or not names_lead(name)):
        return None if names_lead(name) else (0.0, 0.0)
    try:
        sensitivity = float(channel.get("ChannelSensitivity") or 0)
        factor = channel.get("ChannelSensitivityCorrectionFactor")
        scale = sensitivity * float(1 if factor is None else factor) * per_unit
        baseline = float(channel.get("ChannelBaseline") or 0) * per_unit
    except (TypeError, ValueError):
        return None
    if not (0 <= scale < 1e6 and abs(baseline) < 1e9) or (scale == 0 and per_unit):
        return None
    return scale, baseline if scale > 0 else 0.0


def _no_scale(file: str, names: Sequence[str]) -> Exception:
    told = ", ".join(names[:8])
    return unreadable(
        file,
        f"的导联 {told} 没有可用的灵敏度，无法换算为毫伏",
        f"gives no usable sensitivity for lead {told}, so it cannot be shown in millivolts",
        expected="(003A,0210) Channel Sensitivity",
    )


def _lead_name(channel: Dataset, n: int) -> str:
    """The lead of a channel: by MDC or SCPECG code, by its meaning, by its label; else ``channel n``."""
    label = _text(channel, "ChannelLabel")
    sources = channel.get("ChannelSourceSequence")
    meaning = ""
    if sources:
        number = _lead_number(_text(sources[0], "CodeValue"), _text(sources[0], "CodingSchemeDesignator"))
        if number in LEAD_OF_NUMBER:
            return LEAD_OF_NUMBER[number]
        meaning = canonical_lead(_text(sources[0], "CodeMeaning"))
    for name in (meaning, canonical_lead(label)):
        if is_known_lead(name):
            return name
    return label or meaning or f"channel {n + 1}"


def _own_name(channel: Dataset, n: int) -> str:
    """What the channel calls itself: an EEG's electrodes have numbers that are an ECG's leads elsewhere."""
    sources = channel.get("ChannelSourceSequence")
    label, meaning = _text(channel, "ChannelLabel"), _text(sources[0], "CodeMeaning") if sources else ""
    # A label has room for 16 characters, its meaning for 64.
    return (meaning if meaning.startswith(label) else label) or f"channel {n + 1}"


def _lead_number(code: str, scheme: str) -> int:
    """``2:61`` and ``131133`` in MDC, ``5.6.3-9-61`` in SCPECG: 61.  -1 for anything else."""
    if scheme.upper() == "SCPECG" and code.startswith("5.6.3-9-"):
        code = code.removeprefix("5.6.3-9-")
    elif scheme.upper() in ("MDC", "ISO/IEEE 11073"):
        code = code.removeprefix("2:")
        code = str(int(code) - 0x20000) if code.isascii() and code.isdigit() and int(code) > 0x20000 else code
    else:
        return -1
    return int(code) if code.isascii() and code.isdigit() and len(code) < 7 else -1


def _has_other_source(channels: Sequence[Dataset]) -> bool:
    """Whether the channels say that they come from something else than a lead we have no name for."""
    return any(c.get("ChannelSourceSequence") and not _is_unspecified(c) for c in channels)


def _is_unspecified(channel: Dataset) -> bool:
    source = channel.ChannelSourceSequence[0]
    return _lead_number(_text(source, "CodeValue"), _text(source, "CodingSchemeDesignator")) >= 0


def _filters(channels: Sequence[Dataset]) -> tuple[Filters, bool]:
    """The commonest filters of the channels, and whether any channel differs."""
    found = [
        Filters(
            high_pass_hz=_frequency(channel, "FilterLowFrequency"),
            low_pass_hz=_frequency(channel, "FilterHighFrequency"),
            notch_hz=_frequency(channel, "NotchFilterFrequency"),
        )
        for channel in channels
    ]
    commonest = max(found, key=found.count)
    return commonest, any(filters != commonest for filters in found)


def _frequency(channel: Dataset, keyword: str) -> float | None:
    value = float(channel.get(keyword) or 0)
    return value if 0 < value < 1e6 else None


def _notes(dataset: Dataset) -> tuple[DeviceNote, ...]:
    """What the device said: statements and measurements.  Positions of single waves are left to the engine."""
    out: list[DeviceNote] = []
    for item in dataset.get("WaveformAnnotationSequence") or ():
        if _NUMERIC_VALUE not in item and _UNFORMATTED_TEXT not in item:
            continue
        concept = item.get("ConceptNameCodeSequence")
        name = _text(concept[0], "CodeMeaning") if concept else ""
        text = _text(item, "UnformattedTextValue")
        value = item.get("NumericValue")
        units = item.get("MeasurementUnitsCodeSequence")
        if value is not None and name:
            number = float(value[0] if isinstance(value, Sequence) else value)
            out.append(DeviceNote(name, number, _text(units[0], "CodeValue") if units else ""))
        elif text:
            out.append(DeviceNote(text))
    return tuple(dict.fromkeys(out))[:_MAX_NOTES]


def _recorded_at(dataset: Dataset) -> str:
    """ISO 8601 of the acquisition, with its zone where there is one; empty where unknown."""
    stamp = _text(dataset, "AcquisitionDateTime")
    if not stamp[:8].isdigit():
        day = _text(dataset, "AcquisitionDate") or _text(dataset, "ContentDate") or _text(dataset, "StudyDate")
        time = _text(dataset, "AcquisitionTime") or _text(dataset, "ContentTime") or _text(dataset, "StudyTime")
        stamp = day + time if day else ""
    zone = next((stamp[n:] for n, c in enumerate(stamp) if c in "+-"), "") or _text(dataset, "TimezoneOffsetFromUTC")
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


def _text(dataset: Dataset, keyword: str) -> str:
    value = dataset.get(keyword)
    return "" if value is None else str(value).strip(" \x00")


def _no_ecg(dataset: Dataset, file: str) -> Exception:
    sop_class = UID(_text(dataset, "SOPClassUID"))
    kind = sop_class.name if sop_class and sop_class.name != sop_class else "DICOM"
    return unreadable(
        file,
        f"是 {kind}，其中没有可读的心电导联",
        f"is {kind} and holds no readable ECG lead",
        expected="(5400,0100) Waveform Sequence with ECG leads",
    )


# ---- what a reader should know ----

_FILTERS_DIFFER: Final = Reason(
    "filters_differ",
    zh="各导联的滤波设置不同，显示的是最常见的一组。",
    en="The leads' filters differ; the commonest are shown.",
)


def _channel_count_issue(declared: object, found: int) -> Reason:
    return Reason(
        "channel_count",
        zh=f"文件声明 {declared} 个通道，实有 {found} 个，按实有读取。",
        en=f"The file declares {declared} channels and holds {found}; those it holds were read.",
    )


def _not_voltage_issue(name: str) -> Reason:
    return Reason(
        "not_a_voltage",
        zh=f"通道 {name} 不以毫伏计，未显示。",
        en=f"Channel {name} is not in millivolts and is left out.",
    )
