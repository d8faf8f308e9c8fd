"""GE MUSE resting ECG XML (``RestingECG``, restecg.dtd) -> EcgSignal.

A file holds several ``Waveform`` elements; the recording is the longest one that isn't the median beat.  A lead is
Base64 of little-endian whole numbers times ``LeadAmplitudeUnitsPerBit``, sampled at ``SampleBase`` x
10^``SampleExponent`` Hz.  MUSE stores I, II and V1-V6; III and aVR, aVL, aVF follow from I and II exactly.
"""

from __future__ import annotations

import base64
import binascii
import re
import zlib
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from center.errors import Unreadable
from center.reads import Reason
from ecg.formats.leads import (
    StoredLead,
    age_years,
    coded_day,
    coded_sex,
    instant,
    mv_per_unit,
    number,
    recording,
    short,
    whole_numbers,
)
from ecg.formats.trouble import EXPORT_AGAIN, unreadable
from ecg.formats.xml_bounded import Element, parse_xml
from ecg.signal import DeviceNote, EcgSignal, Filters

_MAX_NOTES: Final = 200
_SAMPLE_TYPES: Final = {1: "i1", 2: "<i2", 4: "<i4"}
# Element -> what the device measured, and its unit (UCUM).  Positions of waves are left to the engine.
_MEASUREMENTS: Final = {
    "ventricularrate": ("Ventricular rate", "/min"),
    "atrialrate": ("Atrial rate", "/min"),
    "printerval": ("PR interval", "ms"),
    "qrsduration": ("QRS duration", "ms"),
    "qtinterval": ("QT interval", "ms"),
    "qtcorrected": ("QTc", "ms"),
    "qtcbazett": ("QTc Bazett", "ms"),
    "qtcfrederica": ("QTc Fridericia", "ms"),
    "qtcfridericia": ("QTc Fridericia", "ms"),
    "paxis": ("P axis", "deg"),
    "raxis": ("QRS axis", "deg"),
    "taxis": ("T axis", "deg"),
    "qrscount": ("QRS count", "1"),
}


@dataclass(frozen=True, slots=True)
class _Lead:
    """One ``LeadData``: its name, its counts, mV a count, and whether its checksum fits (None: none given)."""

    name: str
    counts: npt.NDArray[np.int64]
    step_mv: float
    checksum_fits: bool | None
    off: bool
    assumed_unit: bool
    rails: tuple[int, int]


def read_muse(content: bytes, file: str = "ECG") -> EcgSignal:
    """The recording in a MUSE file, with the four limb leads that follow from I and II.  Raises Unreadable."""
    root = parse_xml(content, file)
    waveform = _rhythm(root, file)
    leads = [_lead(data, file) for data in waveform.all("leaddata")]
    patient, test = root.find("patientdemographics") or Element(""), root.find("testdemographics") or Element("")
    signal = recording(
        file,
        [StoredLead(lead.name, _values_mv(lead), lead.step_mv) for lead in leads],
        _rate_hz(waveform, root, file),
        filters=_filters(waveform),
        patient_id=patient.get("patientid"),
        patient_name="^".join(filter(None, (patient.get("patientlastname"), patient.get("patientfirstname")))),
        sex=coded_sex(patient.get("gender")),
        birth_date=coded_day(patient.get("dateofbirth"), month_first=True),
        age_years=age_years(patient.get("patientage"), patient.get("ageunits")),
        recorded_at=instant(test.get("acquisitiondate"), test.get("acquisitiontime"), month_first=True),
        device=" ".join(filter(None, ("GE", test.get("acquisitiondevice")))),
        accession_number=root.get("order/accessionnumber"),
        annotations=_notes(root),
        source_format="GE MUSE XML",
        is_ecg_by_type=True,
        issues=_checksum_issue(root, leads, file) + _lead_issues(leads),
    )
    return replace(signal.with_limb_leads(), issues=signal.issues)


def _rhythm(root: Element, file: str) -> Element:
    """The waveform that is the recording: no median beat, and of several the one with most samples."""
    waveforms = [waveform for waveform in root.all("waveform") if waveform.find("leaddata")]
    rhythms = [waveform for waveform in waveforms if waveform.get("waveformtype").casefold() != "median"]
    if root.name != "restingecg" or not rhythms:
        zh, en = (
            ("只有平均心搏，没有连续记录", "holds only the averaged beat, no recording")
            if waveforms
            else ("中没有波形", "holds no waveform")
        )
        raise unreadable(file, zh, en, todo=EXPORT_AGAIN, expected="RestingECG/Waveform of type Rhythm")
    return max(rhythms, key=lambda waveform: sum(len(data.get("waveformdata")) for data in waveform.all("leaddata")))


def _rate_hz(waveform: Element, root: Element, file: str) -> float:
    """Hz: the waveform's own base and exponent, or where it has none those that the measurements were made with."""
    base, exponent = number(waveform.get("samplebase")), number(waveform.get("sampleexponent") or "0")
    if base is None and waveform.find("samplebase") is None:
        measured = root.find("restingecgmeasurements") or Element("")
        base, exponent = number(measured.get("ecgsamplebase")), number(measured.get("ecgsampleexponent") or "0")
    if base is None or exponent is None or not -9 <= exponent <= 9:
        raise unreadable(
            file, "没有可用的采样率", "gives no usable sampling frequency", expected="SampleBase, SampleExponent"
        )
    return base * 10.0**exponent


def _lead(data: Element, file: str) -> _Lead:
    name = short(data.get("leadid"))
    dtype = _SAMPLE_TYPES.get(int(number(data.get("leadsamplesize") or "2") or 0))
    if dtype is None:
        raise unreadable(
            file,
            f"的导联 {name} 样本宽度不支持",
            f"has lead {name} in samples of a size that is not readable",
            expected="LeadSampleSize 1, 2 or 4",
        )
    raw = _unpacked(data.get("waveformdata"), name, dtype, file)
    size = np.dtype(dtype).itemsize
    _check_length(data, name, raw, size, file)
    limits = np.iinfo(dtype)
    return _Lead(
        name=name,
        counts=np.frombuffer(raw, dtype=dtype).astype(np.int64),
        step_mv=_step_mv(data, name, file),
        checksum_fits=_checksum_fits(data, raw),
        off=data.get("leadoff").casefold() == "true",
        assumed_unit=not data.get("leadamplitudeunits"),
        rails=(int(limits.min), int(limits.max)),
    )


def _unpacked(text: str, name: str, dtype: str, file: str) -> bytes:
    """The samples' bytes: from Base64, its padding there or not; some carts write the numbers out, between commas."""
    if "," in text:
        values = whole_numbers(text, file, name)
        if not values.size or values.min() < np.iinfo(dtype).min or values.max() > np.iinfo(dtype).max:
            raise _damaged(name, file)
        return values.astype(dtype).tobytes()
    packed = "".join(text.split()).encode("ascii", "replace")
    try:
        return base64.b64decode(packed + b"=" * (-len(packed) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise _damaged(name, file) from None


def _damaged(name: str, file: str) -> Unreadable:
    return unreadable(
        file,
        f"的导联 {name} 数据损坏（不是 Base64）",
        f"has damaged data in lead {name} (not Base64)",
        todo=EXPORT_AGAIN,
        expected="Base64",
    )


def _check_length(data: Element, name: str, raw: bytes, size: int, file: str) -> None:
    """Nothing, or Unreadable where the bytes are not as many as the lead says."""
    told_bytes, told_samples = number(data.get("leadbytecounttotal")), number(data.get("leadsamplecounttotal"))
    if told_bytes not in (None, len(raw)) or told_samples not in (None, len(raw) / size) or len(raw) % size:
        told = f"{told_samples:g}" if told_samples is not None else "?"
        raise unreadable(
            file,
            f"的导联 {name} 长度不符：声明 {told} 个样本，实有 {len(raw) / size:g} 个",
            f"has the wrong length in lead {name}: {told} samples declared, {len(raw) / size:g} found",
            todo=EXPORT_AGAIN,
            expected=f"{told} samples",
        )


def _step_mv(data: Element, name: str, file: str) -> float:
    per_bit = number(data.get("leadamplitudeunitsperbit"))
    unit = mv_per_unit(data.get("leadamplitudeunits") or "MICROVOLTS")
    if not per_bit or per_bit < 0 or unit is None:
        raise unreadable(
            file,
            f"的导联 {name} 没有可用的增益",
            f"gives no usable gain for lead {name}",
            expected="LeadAmplitudeUnitsPerBit in MICROVOLTS",
        )
    return per_bit * unit


def _values_mv(lead: _Lead) -> npt.NDArray[np.float64]:
    """mV; a count at the type's own limit is no measured value."""
    values = lead.counts.astype(np.float64) * lead.step_mv
    low, high = lead.rails
    if lead.counts.size and (lead.counts.min() == low or lead.counts.max() == high):
        values[(lead.counts == low) | (lead.counts == high)] = np.nan
    return values


# ---- checksums ----


def _checksum_fits(data: Element, raw: bytes) -> bool | None:
    """Whether the CRC-32 of the bytes is as stored; None where there's none (some writers leave it 0)."""
    told = data.get("leaddatacrc32")
    if not told.strip("0"):
        return None
    return re.fullmatch(r"-?\d{1,10}", told) is not None and int(told) & 0xFFFFFFFF == zlib.crc32(raw)


def _checksum_issue(root: Element, leads: list[_Lead], file: str) -> tuple[Reason, ...]:
    """A warning where no checksum in the whole file fits, so its rule is not ours; Unreadable where only some don't."""
    wrong = [lead.name for lead in leads if lead.checksum_fits is False]
    if not wrong:
        return ()
    rule_known = len(leads) == 1 or any(lead.checksum_fits for lead in leads) or _fits_elsewhere(root, file)
    if rule_known:
        raise unreadable(
            file,
            f"的导联 {'、'.join(wrong)} 校验和不符，数据已损坏",
            f"has a wrong checksum in lead {', '.join(wrong)}: the data are damaged",
            todo=EXPORT_AGAIN,
            expected="LeadDataCRC32",
        )
    return (
        Reason(
            "checksum_rule_unknown",
            zh="文件中的校验和与数据都不相符，无法据此确认数据完好。",
            en="None of the file's checksums fits its data, so they cannot confirm that the data are undamaged.",
        ),
    )


def _fits_elsewhere(root: Element, file: str) -> bool:
    """Whether any lead of any other waveform proves that the checksums are CRC-32."""
    every = (data for waveform in root.all("waveform") for data in waveform.all("leaddata"))
    return any(_checksum_fits(data, _unpacked(data.get("waveformdata"), "?", "<i2", file)) for data in every)


def _lead_issues(leads: list[_Lead]) -> tuple[Reason, ...]:
    issues: list[Reason] = []
    off = [lead.name for lead in leads if lead.off]
    if off:
        issues.append(
            Reason(
                "lead_off",
                zh=f"设备报告电极脱落：{'、'.join(off)}。",
                en=f"The device reports electrodes off: {', '.join(off)}.",
            )
        )
    if any(lead.assumed_unit for lead in leads):
        issues.append(
            Reason(
                "unit_assumed",
                zh="文件没有写明幅度单位，按该格式的惯例取微伏。",
                en="The file names no amplitude unit; microvolts are taken, as this format always has them.",
            )
        )
    return tuple(issues)


# ---- what the device said ----


def _filters(waveform: Element) -> Filters:
    """MUSE gives the high-pass in hundredths of a hertz (16: 0.16 Hz), the others in hertz."""
    high_pass = number(waveform.get("highpassfilter"))
    if high_pass is not None and "." not in waveform.get("highpassfilter"):
        high_pass /= 100
    return Filters(
        high_pass_hz=high_pass or None,
        low_pass_hz=number(waveform.get("lowpassfilter")) or None,
        notch_hz=number(waveform.get("acfilter")) or None,
    )


def _notes(root: Element) -> tuple[DeviceNote, ...]:
    """Statements, line by line, then measurements: the confirmed ones, and the device's first ones where they differ."""
    notes: list[DeviceNote] = []
    for kind in ("diagnosis", "originaldiagnosis"):
        notes += [DeviceNote(line) for line in _lines(root, kind)]
    for kind in ("restingecgmeasurements", "originalrestingecgmeasurements"):
        if (measured := root.find(kind)) is not None:
            notes += [note for child in measured.children if (note := _measurement(child)) is not None]
    return tuple(dict.fromkeys(notes))[:_MAX_NOTES]


def _lines(root: Element, kind: str) -> list[str]:
    """The statements' text; a line goes on until a statement that is flagged as its end."""
    lines: list[str] = []
    words: list[str] = []
    for statement in root.all(f"{kind}/diagnosisstatement"):
        words.append(statement.get("stmttext"))
        flags = {flag.text.strip().upper() for flag in statement.all("stmtflag")}
        if not flags or "ENDSLINE" in flags:
            lines.append(" ".join(filter(None, words)))
            words = []
    lines.append(" ".join(filter(None, words)))
    return [line for line in lines if line]


def _measurement(element: Element) -> DeviceNote | None:
    known = _MEASUREMENTS.get(element.name)
    value = number(element.text)
    return DeviceNote(known[0], value, known[1]) if known and value is not None else None
