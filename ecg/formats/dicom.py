"""DICOM waveforms (PS3.3 A.34, C.10.9) <-> EcgSignal.

Reading trusts what is there (channel items, bytes of samples) before what is said about it (number of channels).
Writing wraps a recording of another format as a DICOM ECG, so that it travels, is kept and is shown as one.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from io import BytesIO
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from pydicom import dcmread
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.errors import InvalidDicomError
from pydicom.filewriter import dcmwrite
from pydicom.uid import UID

from center.errors import Invalid
from center.reads import Reason
from ecg.formats.dicom_structure import MAX_FILE_BYTES, check_structure
from ecg.formats.lead_codes import LEAD_OF_NUMBER, NUMBER_OF_LEAD
from ecg.formats.trouble import unreadable
from ecg.signal import (
    MAX_LEADS,
    MAX_SAMPLES,
    DeviceNote,
    EcgSignal,
    Filters,
    canonical_lead,
    distinct,
    is_known_lead,
    limb_issue,
)

TWELVE_LEAD_ECG: Final = "1.2.840.10008.5.1.4.1.1.9.1.1"
GENERAL_ECG: Final = "1.2.840.10008.5.1.4.1.1.9.1.2"
AMBULATORY_ECG: Final = "1.2.840.10008.5.1.4.1.1.9.1.3"
HEMODYNAMIC: Final = "1.2.840.10008.5.1.4.1.1.9.2.1"
_NOT_HEARTS: Final = tuple(f"1.2.840.10008.5.1.4.1.1.9.{n}." for n in (4, 5, 6, 7, 8))
"""Voice, pulse, breath, EEG, EMG, EOG, posture: waveforms, but no ECG."""
_IMPLEMENTATION_CLASS: Final = "2.25.209641350953317561905226938410972263041"
_EXPLICIT_LITTLE: Final = "1.2.840.10008.1.2.1"

_MAX_NOTES: Final = 500
_GAP_S: Final = 0.2
"""A padding value that a living lead can also take counts as a gap from this length on (ours): no resting lead holds
one value for a fifth of a second, and one maker declares 0 as padding."""

_MV_PER_UNIT: Final = {"mv": 1.0, "millivolt": 1.0, "uv": 1e-3, "microvolt": 1e-3, "nv": 1e-6, "v": 1e3, "volt": 1e3}
_SAMPLE_TYPES: Final = {
    (8, "SB"): "i1",
    (8, "UB"): "u1",
    (16, "SS"): "<i2",
    (16, "US"): "<u2",
    (32, "SL"): "<i4",
    (32, "UL"): "<u4",
}
_PARSER_TROUBLE: Final = (
    *(ValueError, TypeError, KeyError, IndexError, AttributeError, LookupError, ArithmeticError, EOFError),
    *(NotImplementedError, RecursionError, OSError, struct.error, zlib.error, InvalidDicomError),
)


@dataclass(frozen=True, slots=True)
class WaveformIdentity:
    """Whose recording it is and what its object is called; the UIDs are the caller's, so made again it's the same.

    An empty value is taken from the recording.  birth_date: YYYYMMDD.  recorded_at: ISO 8601.
    """

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    patient_id: str = ""
    patient_name: str = ""
    birth_date: str = ""
    sex: str = ""
    accession_number: str = ""
    recorded_at: str = ""
    study_id: str = ""
    institution_name: str = ""
    study_description: str = ""
    series_number: int = 1


# ---- reading ----


def looks_like_dicom(content: bytes) -> bool:
    """Whether these bytes are a DICOM file, or a data set that lost its preamble."""
    if content[128:132] == b"DICM":
        return True
    return content[:4] in (b"\x08\x00\x05\x00", b"\x08\x00\x08\x00", b"\x08\x00\x12\x00", b"\x08\x00\x16\x00")


def read_dicom(content: bytes, file: str = "ECG") -> EcgSignal:
    """The recording in a DICOM waveform object: its longest original group of leads.  Raises Unreadable."""
    if len(content) > MAX_FILE_BYTES:
        raise unreadable(file, "过大（上限 400 MB）", "is too large (at most 400 MB)")
    check_structure(content, file)
    try:
        dataset = dcmread(BytesIO(content), force=True)
        return _signal_of(dataset, file)
    except _PARSER_TROUBLE as trouble:
        raise unreadable(
            file,
            "中的 DICOM 元素无法解读",
            "has a DICOM element that cannot be interpreted",
            expected=type(trouble).__name__,
        ) from trouble


def _signal_of(dataset: Dataset, file: str) -> EcgSignal:
    if _text(dataset, "SOPClassUID").startswith(_NOT_HEARTS):
        raise _no_ecg(dataset, file)
    groups = [_Group.of(item, file) for item in dataset.get("WaveformSequence") or ()]
    groups = [group for group in groups if group.leads]
    if not groups:
        raise _no_ecg(dataset, file)
    group = max(groups, key=lambda g: (g.is_original, g.seconds, len(g.leads)))
    leads = [lead for lead in group.leads if lead.per_count_mv > 0]
    signal = EcgSignal(
        leads=distinct(lead.name for lead in leads),
        samples=np.stack([lead.values_mv for lead in leads]),
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
        source_format="DICOM",
        issues=group.issues,
    )
    return replace(signal, issues=signal.issues + limb_issue(signal))


@dataclass(frozen=True, slots=True)
class _Channel:
    name: str
    per_count_mv: float
    values_mv: npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Group:
    """One multiplex group whose channels are leads in millivolts."""

    is_original: bool
    fs_hz: float
    leads: tuple[_Channel, ...]
    filters: Filters
    issues: tuple[Reason, ...]

    @property
    def seconds(self) -> float:
        return self.leads[0].values_mv.size / self.fs_hz

    @classmethod
    def of(cls, item: Dataset, file: str) -> _Group:
        channels: Sequence[Dataset] = list(item.get("ChannelDefinitionSequence") or ())
        fs_hz = float(item.get("SamplingFrequency") or 0)
        if not 0 < len(channels) <= MAX_LEADS or not 0 < fs_hz <= 1e6:
            raise unreadable(
                file,
                f"的波形组有 {len(channels)} 个通道、采样率 {fs_hz:g} Hz，无法使用",
                f"has a waveform group of {len(channels)} channels at {fs_hz:g} Hz, which cannot be used",
                expected=f"1..{MAX_LEADS} channels, 0 < frequency <= 1000000 Hz",
            )
        counts = _counts(item, len(channels), file)
        padding = _padding(item, counts.dtype)
        issues: list[Reason] = []
        declared = item.get("NumberOfWaveformChannels")
        if declared != len(channels):
            issues.append(_channel_count_issue(declared, len(channels)))
        leads: list[_Channel] = []
        for n, channel in enumerate(channels):
            name = _lead_name(channel, n)
            scale, offset = _scale_mv(channel, name, file)
            if scale > 0:
                values = counts[:, n] * scale + offset
                values[_is_gap(counts[:, n], padding, fs_hz)] = np.nan
                leads.append(_Channel(name, scale, values))
            else:
                issues.append(_not_voltage_issue(name))
        filters, differ = _filters(channels)
        issues += [_FILTERS_DIFFER] if differ else []
        if not any(is_known_lead(lead.name) for lead in leads) and _has_other_source(channels):
            leads = []  # an EEG, a pressure: millivolts, but no lead of a heart
        return cls(
            is_original=str(item.get("WaveformOriginality") or "ORIGINAL") != "DERIVED",
            fs_hz=fs_hz,
            leads=tuple(leads),
            filters=filters,
            issues=tuple(issues),
        )


def _counts(item: Dataset, channels: int, file: str) -> npt.NDArray[Any]:
    """The samples as stored: [sample, channel].  Their bytes decide, and must be what channels x samples ask for."""
    bits = int(item.get("WaveformBitsAllocated") or 0)
    kind = str(item.get("WaveformSampleInterpretation") or "")
    dtype = _SAMPLE_TYPES.get((bits, kind))
    if dtype is None:
        raise unreadable(
            file,
            f"的样本格式 {bits} 位 {kind or '未知'} 不支持",
            f"has samples of {bits} bits {kind or 'unknown'}, which is not supported",
            expected="8 SB/UB, 16 SS/US, 32 SL/UL",
        )
    samples = int(item.get("NumberOfWaveformSamples") or 0)
    content = item.get("WaveformData") or b""
    if not isinstance(content, bytes):
        raise TypeError("waveform data")
    need = samples * channels * bits // 8
    if not samples or need > MAX_SAMPLES * 4 or not need <= len(content) <= need + need % 2:
        raise unreadable(
            file,
            f"的波形数据长度不符：{channels} 通道 x {samples} 样本应为 {need} 字节，实有 {len(content)} 字节",
            f"has waveform data of the wrong length: {channels} channels x {samples} samples make {need} bytes, "
            f"{len(content)} found",
            expected=f"{need} bytes",
        )
    return np.frombuffer(content[:need], dtype=dtype).reshape(samples, channels)


def _padding(item: Dataset, dtype: np.dtype[Any]) -> int | None:
    """The value that stands for "no sample", or None.  Stored in the samples' own type (PS3.3 C.10.9.1.7)."""
    raw = item.get("WaveformPaddingValue")
    if isinstance(raw, bytes) and len(raw) >= dtype.itemsize:
        return int(np.frombuffer(raw[: dtype.itemsize], dtype=dtype)[0])
    return None


def _is_gap(counts: npt.NDArray[Any], padding: int | None, fs_hz: float) -> npt.NDArray[np.bool_]:
    """Which samples are no samples.  At the type's limits each one; elsewhere only long runs (see ``_GAP_S``)."""
    if padding is None:
        return np.zeros(counts.size, dtype=np.bool_)
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


def _scale_mv(channel: Dataset, name: str, file: str) -> tuple[float, float]:
    """mV a count and mV at count 0: sensitivity x correction, baseline (PS3.3 C.10.9.1.4.3); (0, 0): no voltage."""
    units = channel.get("ChannelSensitivityUnitsSequence")
    unit = str(units[0].get("CodeValue") or "") if units else ""
    per_unit = _MV_PER_UNIT.get(unit.casefold(), 0.0)
    if not units and channel.get("ChannelSensitivity") is None and is_known_lead(name):
        raise unreadable(
            file,
            f"的导联 {name} 没有灵敏度，无法换算为毫伏",
            f"gives no sensitivity for lead {name}, so it cannot be shown in millivolts",
            expected="(003A,0210) Channel Sensitivity",
        )
    sensitivity = float(channel.get("ChannelSensitivity") or 0)
    factor = channel.get("ChannelSensitivityCorrectionFactor")
    scale = sensitivity * float(1 if factor is None else factor) * per_unit
    baseline = float(channel.get("ChannelBaseline") or 0) * per_unit
    if not (0 <= scale < 1e6 and abs(baseline) < 1e9):
        raise unreadable(file, f"的导联 {name} 灵敏度不合理", f"gives an impossible sensitivity for lead {name}")
    return scale, baseline if scale > 0 else 0.0


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


# ---- writing ----


def write_dicom(signal: EcgSignal, identity: WaveformIdentity) -> bytes:
    """A DICOM file (Part 10, Explicit VR Little Endian) that holds the recording; same input, same bytes.

    Twelve standard leads of at most 16384 samples make a 12-lead ECG; others a General or an Ambulatory ECG, whichever
    permits that frequency (PS3.3 A.34.3-5).  Samples are int16.  One count is the source's own step where that's known
    and the lead's range fits, so such leads come back exactly; else 1 uV, or the lead's range / 65000 where that's
    wider (24-bit recorders).  The round trip is within one count.  NaN is written as the padding value -32768.
    Raises Invalid when nobody knows when it was recorded (DICOM wants it), or it has more than 24 leads.
    """
    recorded_at = _when(signal, identity)
    sop_class = _storage_class(signal)
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.SOPClassUID = sop_class
    dataset.SOPInstanceUID = identity.sop_instance_uid
    _put_patient_and_study(dataset, signal, identity, recorded_at)
    dataset.ContributingEquipmentSequence = [_conversion(signal.source_format)]
    dataset.AcquisitionContextSequence = []
    if signal.annotations:
        dataset.WaveformAnnotationSequence = [_annotation(note) for note in signal.annotations[:_MAX_NOTES]]
    dataset.WaveformSequence = [_multiplex_group(signal)]
    return _part10(dataset)


def _when(signal: EcgSignal, identity: WaveformIdentity) -> datetime:
    text = identity.recorded_at or signal.recorded_at
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise Invalid(
            zh="不知道这份心电图的记录时间，请填写。", en="When this ECG was recorded is not known; please fill it in."
        ) from None


def _storage_class(signal: EcgSignal) -> str:
    leads, samples = signal.samples.shape
    if leads > 24:
        raise Invalid(
            zh=f"心电图有 {leads} 个导联，DICOM 最多可存 24 个。",
            en=f"The ECG has {leads} leads; DICOM can hold at most 24.",
        )
    if signal.is_twelve_lead and samples <= 16384 and 200 <= signal.fs_hz <= 1000:
        return TWELVE_LEAD_ECG
    return AMBULATORY_ECG if signal.fs_hz < 200 and leads <= 12 else GENERAL_ECG


def _put_patient_and_study(dataset: Dataset, signal: EcgSignal, identity: WaveformIdentity, at: datetime) -> None:
    day, time = at.strftime("%Y%m%d"), at.strftime("%H%M%S")
    dataset.StudyDate = dataset.ContentDate = day
    dataset.StudyTime = dataset.ContentTime = time
    dataset.AcquisitionDateTime = day + time
    if at.utcoffset() is not None:
        dataset.TimezoneOffsetFromUTC = at.strftime("%z")[:5]
        dataset.AcquisitionDateTime = day + time + at.strftime("%z")[:5]
    dataset.AccessionNumber = _line(identity.accession_number or signal.accession_number, 16)
    dataset.Modality = "ECG"
    dataset.Manufacturer = _line(signal.device, 64)
    dataset.InstitutionName = _line(identity.institution_name, 64)
    dataset.ReferringPhysicianName = ""
    dataset.StudyDescription = _line(identity.study_description, 64)
    dataset.PatientName = _person_name(identity.patient_name or signal.patient_name)
    dataset.PatientID = _line(identity.patient_id or signal.patient_id, 64)
    dataset.PatientBirthDate = _day(identity.birth_date or signal.birth_date)
    dataset.PatientSex = _coded_sex(identity.sex or signal.sex)
    if signal.age_years is not None and 0 <= signal.age_years < 999:
        dataset.PatientAge = _coded_age(signal.age_years)
    dataset.StudyInstanceUID = identity.study_instance_uid
    dataset.SeriesInstanceUID = identity.series_instance_uid
    dataset.StudyID = _line(identity.study_id, 16)
    dataset.SeriesNumber = identity.series_number
    dataset.InstanceNumber = 1


def _line(text: str, length: int) -> str:
    """The text as a short DICOM string may be: one value, one line, no control characters (PS3.5 6.2)."""
    return "".join("/" if c == "\\" else c for c in text if c >= " " and c != "\x7f")[:length].strip()


def _person_name(text: str) -> str:
    """Up to three groups (``alphabetic=ideographic=phonetic``) of at most 64 characters."""
    return "=".join(_line(group, 64) for group in text.split("=")[:3])


def _day(text: str) -> str:
    """YYYYMMDD of a date with or without hyphens; empty where it's none."""
    digits = text.replace("-", "")
    try:
        return datetime.fromisoformat(digits).strftime("%Y%m%d") if len(digits) == 8 else ""
    except ValueError:
        return ""


def _coded_age(years: float) -> str:
    return f"{int(years):03d}Y" if years >= 2 else f"{int(years * 12):03d}M"


def _coded_sex(sex: str) -> str:
    return sex.upper() if sex.upper() in ("M", "F", "O") else ""


def _multiplex_group(signal: EcgSignal) -> Dataset:
    counts = np.empty((signal.samples.shape[1], len(signal.leads)), dtype="<i2")
    channels: list[Dataset] = []
    for n, (lead, values) in enumerate(zip(signal.leads, signal.samples, strict=True)):
        step, middle = _step_and_middle(values, signal.step_mv[n] if signal.step_mv else 0.0)
        whole = np.rint((np.nan_to_num(values) - middle) / step)
        counts[:, n] = np.where(np.isfinite(values), np.clip(whole, -32767, 32767), -32768)
        channels.append(_channel(lead, step, middle, signal.filters, n))
    group = Dataset()
    group.WaveformOriginality = "ORIGINAL"
    group.NumberOfWaveformChannels = len(channels)
    group.NumberOfWaveformSamples = signal.samples.shape[1]
    group.SamplingFrequency = _decimal(signal.fs_hz)
    group.MultiplexGroupLabel = "RHYTHM"
    group.ChannelDefinitionSequence = channels
    group.WaveformBitsAllocated = 16
    group.WaveformSampleInterpretation = "SS"
    group.add_new(0x5400100A, "OW", b"\x00\x80")
    group.add_new(0x54001010, "OW", counts.tobytes())
    return group


def _step_and_middle(values: npt.NDArray[np.float64], source_step_mv: float) -> tuple[float, float]:
    """mV a count and mV at count 0, as the decimal strings will say them.  The middle is 0 wherever that fits."""
    lowest = float(np.nanmin(values)) if np.isfinite(values).any() else 0.0
    highest = float(np.nanmax(values)) if np.isfinite(values).any() else 0.0
    step = source_step_mv if source_step_mv > 0 else 1e-3
    step = float(_decimal(max(step, (highest - lowest) / 65000) * 1e3)) / 1e3
    if max(abs(lowest), abs(highest)) <= 32767 * step:
        return step, 0.0
    middle = np.rint((lowest + highest) / 2 / step) * step
    return step, float(_decimal(middle * 1e3)) / 1e3


def _channel(lead: str, step_mv: float, middle_mv: float, filters: Filters, n: int) -> Dataset:
    channel = Dataset()
    channel.WaveformChannelNumber = n + 1
    channel.ChannelLabel = _line(lead, 16)
    number = NUMBER_OF_LEAD.get(lead, 0)
    channel.ChannelSourceSequence = [_code(f"2:{number}", "MDC", f"Lead {lead}" if number else "Unspecified lead")]
    channel.ChannelSensitivity = _decimal(step_mv * 1e3)
    channel.ChannelSensitivityUnitsSequence = [_code("uV", "UCUM", "microvolt")]
    channel.ChannelSensitivityCorrectionFactor = "1"
    channel.ChannelBaseline = _decimal(middle_mv * 1e3)
    channel.ChannelSampleSkew = "0"
    channel.WaveformBitsStored = 16
    if filters.high_pass_hz is not None:
        channel.FilterLowFrequency = _decimal(filters.high_pass_hz)
    if filters.low_pass_hz is not None:
        channel.FilterHighFrequency = _decimal(filters.low_pass_hz)
    if filters.notch_hz is not None:
        channel.NotchFilterFrequency = _decimal(filters.notch_hz)
    return channel


def _annotation(note: DeviceNote) -> Dataset:
    item = Dataset()
    value = "" if note.value is None else f": {note.value:g} {note.unit}".rstrip()
    item.UnformattedTextValue = "".join(c for c in note.text + value if c >= " " or c in "\r\n")[:1000]
    item.ReferencedWaveformChannels = [1, 0]  # the whole first group, PS3.3 C.10.10.1.1
    item.AnnotationGroupNumber = 1
    return item


def _conversion(source_format: str) -> Dataset:
    """Who made this object out of which format (PS3.3 C.12.1, CID 7005)."""
    item = Dataset()
    item.PurposeOfReferenceCodeSequence = [_code("109103", "DCM", "Modifying Equipment")]
    item.Manufacturer = "Helan"
    item.ContributionDescription = f"Converted from {source_format or 'samples'}"
    return item


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    code = Dataset()
    code.CodeValue = value
    code.CodingSchemeDesignator = scheme
    code.CodeMeaning = _line(meaning, 64)
    return code


def _decimal(value: float) -> str:
    """A DICOM decimal string: at most 16 characters, as many digits as fit."""
    for digits in range(15, 0, -1):
        text = f"{value:.{digits}g}"
        if len(text) <= 16:
            return text
    raise ValueError(f"no decimal string for {value}")


def _part10(dataset: Dataset) -> bytes:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UID(str(dataset.SOPClassUID))
    meta.MediaStorageSOPInstanceUID = UID(str(dataset.SOPInstanceUID))
    meta.TransferSyntaxUID = UID(_EXPLICIT_LITTLE)
    meta.ImplementationClassUID = UID(_IMPLEMENTATION_CLASS)
    meta.ImplementationVersionName = "HELAN"
    out = BytesIO()
    whole = FileDataset(out, dataset, file_meta=meta, preamble=bytes(128))
    dcmwrite(out, whole, enforce_file_format=True)
    return out.getvalue()


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
