"""Mortara (Welch Allyn, Hillrom) ELI XML -> EcgSignal.

``ECG/CHANNEL``: Base64 of 16-bit samples, ``UNITS_PER_MV`` counts a millivolt, ``SAMPLE_FREQ`` Hz.  By public
descriptions of exported files; no file of a device was at hand.
"""

from __future__ import annotations

import base64
import binascii
from typing import Final

import numpy as np
import numpy.typing as npt

from center.errors import Unreadable
from ecg.formats.leads import StoredLead, age_years, coded_day, coded_sex, instant, number, recording, short, unproven
from ecg.formats.trouble import EXPORT_AGAIN, unreadable
from ecg.formats.xml_bounded import Element, parse_xml
from ecg.signal import DeviceNote, EcgSignal, Filters

_MAX_NOTES: Final = 200
_MEASUREMENTS: Final = {
    "vent_rate": ("Ventricular rate", "/min"),
    "average_rr": ("RR interval", "ms"),
    "p_duration": ("P duration", "ms"),
    "pr_duration": ("PR interval", "ms"),
    "qrs_duration": ("QRS duration", "ms"),
    "qt": ("QT interval", "ms"),
    "qtc": ("QTc", "ms"),
    "qtb": ("QTc Bazett", "ms"),
    "qtf": ("QTc Fridericia", "ms"),
    "p_axis": ("P axis", "deg"),
    "qrs_axis": ("QRS axis", "deg"),
    "t_axis": ("T axis", "deg"),
}


def looks_like_mortara(head: bytes) -> bool:
    """Whether XML that begins like this, with a root ``ECG``, has an ELI electrocardiograph's attributes."""
    upper = head.replace(b"\x00", b"").upper()
    return b"UNITS_PER_MV" in upper or b"ACQUISITION_TIME" in upper or b"MORTARA" in upper


def read_mortara(content: bytes, file: str = "ECG") -> EcgSignal:
    """The recording in an ELI file.  Raises Unreadable."""
    root = parse_xml(content, file)
    channels = root.all("channel")
    if root.name != "ecg" or not channels:
        raise unreadable(file, "中没有波形", "holds no waveform", todo=EXPORT_AGAIN, expected="ECG/CHANNEL")
    rates = {number(channel.get("@sample_freq")) for channel in channels}
    fs_hz = rates.pop() if len(rates) == 1 else None
    if not fs_hz:
        raise unreadable(file, "没有写明唯一的采样率", "does not state one sampling frequency", expected="SAMPLE_FREQ")
    subject, source = root.find("subject") or Element(""), root.find("source") or Element("")
    return recording(
        file,
        [_lead(channel, fs_hz, file) for channel in channels],
        fs_hz,
        filters=Filters(low_pass_hz=number(source.get("@low_pass_filter")) or None),
        patient_id=subject.get("@id"),
        patient_name="^".join(filter(None, (subject.get("@last_name"), subject.get("@first_name")))),
        sex=coded_sex(subject.get("@gender")),
        birth_date=coded_day(subject.get("@dob")) or coded_day(subject.get("@dob_xml")),
        age_years=age_years(root.get("@age"), root.get("@age_units")),
        recorded_at=instant(root.get("@acquisition_time")) or instant(root.get("@acquisition_time_xml")),
        device=" ".join(filter(None, (source.get("@manufacturer") or "Mortara", source.get("@model")))),
        annotations=_notes(root),
        source_format="Mortara XML",
        is_ecg_by_type=True,
        issues=(unproven("Mortara XML"),),
    )


def _lead(channel: Element, fs_hz: float, file: str) -> StoredLead:
    name = short(channel.get("@name"))
    told = (
        channel.get("@bits") or "16",
        (channel.get("@format") or "SIGNED").upper(),
        (channel.get("@encoding") or "BASE64").upper(),
    )
    if told != ("16", "SIGNED", "BASE64"):
        raise unreadable(
            file,
            f"的导联 {name} 以 {' '.join(told)} 存储，不支持",
            f"stores lead {name} as {' '.join(told)}, which is not readable here",
            expected="16 SIGNED BASE64",
        )
    per_mv = number(channel.get("@units_per_mv"))
    offset = number(channel.get("@offset") or "0")
    if not per_mv or per_mv < 0 or offset != 0:
        raise unreadable(
            file,
            f"的导联 {name} 没有可用的增益",
            f"gives no usable gain for lead {name}",
            expected="UNITS_PER_MV above 0, OFFSET 0",
        )
    counts = _counts(channel, name, file)
    duration = number(channel.get("@duration"))  # samples in known files, milliseconds by its name
    if duration and duration not in (counts.size, round(counts.size * 1000 / fs_hz)):
        raise _damaged(file, name)
    return StoredLead(name, counts.astype(np.float64) / per_mv, 1 / per_mv)


def _counts(channel: Element, name: str, file: str) -> npt.NDArray[np.int16]:
    text = channel.get("@data") or channel.text
    try:
        raw = base64.b64decode("".join(text.split()).encode("ascii", "replace"), validate=True)
        return np.frombuffer(raw, dtype="<i2")
    except (binascii.Error, ValueError):
        raise _damaged(file, name) from None


def _damaged(file: str, name: str) -> Unreadable:
    return unreadable(
        file,
        f"的导联 {name} 数据损坏或长度不符",
        f"has damaged data, or of the wrong length, in lead {name}",
        todo=EXPORT_AGAIN,
        expected="Base64, DURATION samples",
    )


def _notes(root: Element) -> tuple[DeviceNote, ...]:
    notes = [
        DeviceNote(", ".join(filter(None, (statement.get("@text"), statement.get("@reason")))))
        for statement in root.all("automatic_interpretation/statement")
    ]
    for holder in (root, *root.all("typical_cycle")):
        for key, text in holder.attributes.items():
            value = number(text)
            if key in _MEASUREMENTS and value is not None:
                notes.append(DeviceNote(_MEASUREMENTS[key][0], value, _MEASUREMENTS[key][1]))
    return tuple(dict.fromkeys(note for note in notes if note.text))[:_MAX_NOTES]
