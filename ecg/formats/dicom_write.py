"""EcgSignal -> a DICOM waveform object (PS3.3 A.34): what was recorded, and beside it the median beat made of it.

A recording of another format is wrapped so, that it travels, is kept and is shown as one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from io import BytesIO
from math import isfinite
from typing import Final

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import UID

from center.errors import Invalid
from ecg.formats.dicom_issues import put_issues
from ecg.formats.dicom_structure import check_structure
from ecg.formats.lead_codes import NUMBER_OF_LEAD
from ecg.formats.long_signal import LongSignal
from ecg.signal import DeviceNote, EcgSignal, Filters

TWELVE_LEAD_ECG: Final = "1.2.840.10008.5.1.4.1.1.9.1.1"
GENERAL_ECG: Final = "1.2.840.10008.5.1.4.1.1.9.1.2"
AMBULATORY_ECG: Final = "1.2.840.10008.5.1.4.1.1.9.1.3"
HEMODYNAMIC: Final = "1.2.840.10008.5.1.4.1.1.9.2.1"
SCALP_EEG: Final = "1.2.840.10008.5.1.4.1.1.9.7.1"
EMG: Final = "1.2.840.10008.5.1.4.1.1.9.7.2"
EOG: Final = "1.2.840.10008.5.1.4.1.1.9.7.3"
SLEEP_EEG: Final = "1.2.840.10008.5.1.4.1.1.9.7.4"
_MODALITIES: Final = {SCALP_EEG: "EEG", EMG: "EMG", EOG: "EOG", SLEEP_EEG: "EEG"}
_OTHERS: Final = {
    EMG: re.compile(r"EMG|chin|\bleg\b|tibial", re.IGNORECASE),
    EOG: re.compile(r"EOG|\b[LR]OC\b|^E[12]\b", re.IGNORECASE),
}
_WAVEFORM_DATA: Final = 0x54001010
_BLOCK: Final = 1 << 18
"""Samples a lead that a streamed recording is taken in."""
_OPEN_ENDS_BYTES: Final = 16
"""The ends of the last item and of its sequence."""
_IMPLEMENTATION_CLASS: Final = "2.25.209641350953317561905226938410972263041"
_EXPLICIT_LITTLE: Final = "1.2.840.10008.1.2.1"

#: Earlier than any ECG (Waller 1887): a placeholder of a recorder without a clock.
_FIRST_YEAR: Final = 1887
_MAX_NOTES: Final = 500
_MAX_LEADS: Final = 24
"""Of a multiplex group of a General ECG (PS3.3 A.34.4)."""


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


def write_dicom(signal: EcgSignal, identity: WaveformIdentity, median: EcgSignal | None = None) -> bytes:
    """A DICOM file (Part 10, Explicit VR Little Endian) that holds the recording; same input, same bytes.

    Twelve standard leads of at most 16384 samples make a 12-lead ECG; others a General or an Ambulatory ECG, whichever
    permits that frequency (PS3.3 A.34.3-5).  Samples are int16.  One count is the source's own step where that's known
    and the lead's range fits, so such leads come back exactly; else 1 uV, or the lead's range / 65000 where that's
    wider (24-bit recorders).  The round trip is within one count.  NaN is written as the padding value -32768.

    A recording that says it is no ECG becomes an EEG, EMG, EOG or Sleep EEG object by its signals' names.
    median: the median beat, kept as a second group that is called derived; at 200 to 1000 Hz, as these two kinds want.
    Raises Invalid when nobody knows when it was recorded (DICOM wants it), when it has more than 24 leads, or when it
    can only be an Ambulatory ECG, which has room for one group, and there is a median beat.
    """
    sop_class = _storage_class(signal, signal.samples.shape[1])
    dataset = _object(signal, identity, sop_class)
    steps = [_step_and_middle(*_range(row), step) for row, step in zip(signal.samples, _steps(signal), strict=True)]
    group = _group(signal, signal.samples.shape[1], steps, sop_class)
    group.add_new(_WAVEFORM_DATA, "OW", _counts(signal.samples, steps).tobytes())
    dataset.WaveformSequence = [group]
    if median is not None:
        _check_median(median, sop_class)
        steps = [_step_and_middle(*_range(row), step) for row, step in zip(median.samples, _steps(median), strict=True)]
        group = _group(median, median.samples.shape[1], steps, sop_class, "DERIVED", "MEDIAN BEAT")
        group.add_new(_WAVEFORM_DATA, "OW", _counts(median.samples, steps).tobytes())
        dataset.WaveformSequence.append(group)
    return _part10(dataset)


def stream_dicom(long: LongSignal, identity: WaveformIdentity) -> Iterator[bytes]:
    """The same for a recording that is read block by block: its bytes in order, never more than a block at once.

    The signal is walked twice: what its leads reach is written before their samples.  Raises Invalid as above, and
    where the samples are beyond the 4 GB that one element holds.
    """
    signal = long.head
    sop_class = _storage_class(signal, long.length)
    size = 2 * long.length * len(signal.leads)
    if size >= 0xFFFFFFFF:
        raise Invalid(
            zh="这份记录太长，超出 DICOM 一个对象的 4 GB。",
            en="This recording is too long for the 4 GB of one DICOM object.",
        )
    dataset = _object(signal, identity, sop_class)
    starts = range(0, long.length, _BLOCK)
    ranges = np.array([[_range(row) for row in long.block(n, min(long.length, n + _BLOCK))] for n in starts])
    lowest, highest = ranges[..., 0].min(axis=0), ranges[..., 1].max(axis=0)
    steps = [_step_and_middle(*each) for each in zip(lowest.tolist(), highest.tolist(), _steps(signal), strict=True)]
    dataset.WaveformSequence = [_group(signal, long.length, steps, sop_class)]
    small = check_structure(_part10(dataset), "ECG").small  # its sequence with open lengths, and last of all
    yield small[:-_OPEN_ENDS_BYTES] + b"\x00\x54\x10\x10OW\x00\x00" + size.to_bytes(4, "little")
    for n in starts:
        yield _counts(long.block(n, min(long.length, n + _BLOCK)), steps).tobytes()
    yield small[-_OPEN_ENDS_BYTES:]


def _object(signal: EcgSignal, identity: WaveformIdentity, sop_class: str) -> Dataset:
    """All but the waveforms."""
    recorded_at = _when(signal, identity)
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.SOPClassUID = sop_class
    dataset.SOPInstanceUID = identity.sop_instance_uid
    _put_patient_and_study(dataset, signal, identity, recorded_at)
    dataset.Modality = _MODALITIES.get(sop_class, "ECG")
    dataset.ContributingEquipmentSequence = [_conversion(signal.source_format)]
    dataset.AcquisitionContextSequence = []
    put_issues(dataset, signal.issues)
    if signal.annotations:
        dataset.WaveformAnnotationSequence = [_annotation(note) for note in signal.annotations[:_MAX_NOTES]]
    return dataset


def _check_median(median: EcgSignal, sop_class: str) -> None:
    if sop_class == AMBULATORY_ECG or len(median.leads) > _MAX_LEADS or not 200 <= median.fs_hz <= 1000:
        raise Invalid(
            zh="这种 DICOM 心电图不能附带中位心搏（须为 200 至 1000 Hz 的静息或通用心电图）。",
            en="This kind of DICOM ECG has no room for a median beat (it takes a resting or general one, 200 to 1000 Hz).",
        )


def _when(signal: EcgSignal, identity: WaveformIdentity) -> datetime:
    text = identity.recorded_at or signal.recorded_at
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        at = None
    if at is None or at.year < _FIRST_YEAR:
        raise Invalid(
            zh="不知道这份心电图的记录时间，请填写。", en="When this ECG was recorded is not known; please fill it in."
        )
    return at


def _storage_class(signal: EcgSignal, samples: int) -> str:
    leads = len(signal.leads)
    if any(issue.code == "not_an_ecg" for issue in signal.issues):
        return _other_class(signal.leads)
    if leads > _MAX_LEADS:
        raise Invalid(
            zh=f"心电图有 {leads} 个导联，DICOM 最多可存 24 个。",
            en=f"The ECG has {leads} leads; DICOM can hold at most 24.",
        )
    if signal.is_twelve_lead and samples <= 16384 and 200 <= signal.fs_hz <= 1000:
        return TWELVE_LEAD_ECG
    return AMBULATORY_ECG if signal.fs_hz < 200 and leads <= 12 else GENERAL_ECG


def _other_class(names: Sequence[str]) -> str:
    """EMG or EOG where all signals are, Sleep EEG where they stand beside others, Routine Scalp EEG for the rest."""
    kinds = [next((kind for kind in (EMG, EOG) if _OTHERS[kind].search(name)), SCALP_EEG) for name in names]
    return kinds[0] if len(set(kinds)) == 1 else SLEEP_EEG


def _put_patient_and_study(dataset: Dataset, signal: EcgSignal, identity: WaveformIdentity, at: datetime) -> None:
    day, time = at.strftime("%Y%m%d"), at.strftime("%H%M%S")
    dataset.StudyDate = dataset.ContentDate = day
    dataset.StudyTime = dataset.ContentTime = time
    dataset.AcquisitionDateTime = day + time
    if at.utcoffset() is not None:
        dataset.TimezoneOffsetFromUTC = at.strftime("%z")[:5]
        dataset.AcquisitionDateTime = day + time + at.strftime("%z")[:5]
    dataset.AccessionNumber = _line(identity.accession_number or signal.accession_number, 16)
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


def _group(
    signal: EcgSignal,
    samples: int,
    steps: Sequence[tuple[float, float]],
    sop_class: str,
    originality: str = "ORIGINAL",
    label: str = "RHYTHM",
) -> Dataset:
    """A multiplex group without its samples; steps: for each lead mV a count and mV at count 0."""
    group = Dataset()
    group.WaveformOriginality = originality
    group.NumberOfWaveformChannels = len(signal.leads)
    group.NumberOfWaveformSamples = samples
    group.SamplingFrequency = _decimal(signal.fs_hz)
    group.MultiplexGroupLabel = _MODALITIES.get(sop_class, label)
    group.ChannelDefinitionSequence = [
        _channel(lead, step, middle, signal.filters, n, is_heart=sop_class not in _MODALITIES)
        for n, (lead, (step, middle)) in enumerate(zip(signal.leads, steps, strict=True))
    ]
    group.WaveformBitsAllocated = 16
    group.WaveformSampleInterpretation = "SS"
    group.add_new(0x5400100A, "OW", b"\x00\x80")
    return group


def _counts(mv: npt.NDArray[np.float64], steps: Sequence[tuple[float, float]]) -> npt.NDArray[np.int16]:
    """[sample, lead] of mV [lead, sample]."""
    counts = np.empty((mv.shape[1], mv.shape[0]), dtype="<i2")
    for n, (row, (step, middle)) in enumerate(zip(mv, steps, strict=True)):
        whole = np.rint((np.nan_to_num(row) - middle) / step)
        counts[:, n] = np.where(np.isfinite(row), np.clip(whole, -32767, 32767), -32768)
    return counts


def _steps(signal: EcgSignal) -> Sequence[float]:
    return signal.step_mv or (0.0,) * len(signal.leads)


def _range(values: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Lowest and highest, mV; (0, 0) where nothing is known."""
    lowest, highest = float(np.fmin.reduce(values, initial=np.inf)), float(np.fmax.reduce(values, initial=-np.inf))
    return (lowest, highest) if lowest <= highest else (0.0, 0.0)


def _step_and_middle(lowest: float, highest: float, source_step_mv: float) -> tuple[float, float]:
    """mV a count and mV at count 0, as the decimal strings will say them.  The middle is 0 wherever that fits."""
    step = source_step_mv if source_step_mv > 0 else 1e-3
    step = float(_decimal(max(step, (highest - lowest) / 65000) * 1e3)) / 1e3
    if max(abs(lowest), abs(highest)) <= 32767 * step:
        return step, 0.0
    middle = np.rint((lowest + highest) / 2 / step) * step
    return step, float(_decimal(middle * 1e3)) / 1e3


def _channel(lead: str, step_mv: float, middle_mv: float, filters: Filters, n: int, *, is_heart: bool) -> Dataset:
    channel = Dataset()
    channel.WaveformChannelNumber = n + 1
    channel.ChannelLabel = _line(lead, 16)
    number = NUMBER_OF_LEAD.get(lead, 0)
    source = _code(f"2:{number}", "MDC", f"Lead {lead}" if number else "Unspecified lead")
    channel.ChannelSourceSequence = [source if is_heart else _code(f"signal-{n + 1}", "99HELAN", lead)]
    channel.ChannelSensitivity = _decimal(step_mv * 1e3)
    channel.ChannelSensitivityUnitsSequence = [_code("uV", "UCUM", "microvolt")]
    channel.ChannelSensitivityCorrectionFactor = "1"
    channel.ChannelBaseline = _decimal(middle_mv * 1e3)
    channel.ChannelSampleSkew = "0"
    channel.WaveformBitsStored = 16
    for keyword, hz in (
        ("FilterLowFrequency", filters.high_pass_hz),
        ("FilterHighFrequency", filters.low_pass_hz),
        ("NotchFilterFrequency", filters.notch_hz),
    ):
        if hz is not None and isfinite(hz) and hz >= 0:  # what a device wrote and is no frequency is left out
            setattr(channel, keyword, _decimal(hz))
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
