"""Philips Sierra ECG XML (``restingecgdata``, versions 1.03, 1.04, 1.04.01) -> EcgSignal.

The waveforms are Base64, mostly compressed as XLI.  There the derived limb leads are stored as what is left after
Einthoven's and Goldberger's laws, in whole counts.  Devices append a calibration pulse of 1 mV and 200 ms to every
lead; it and the rest behind the signal are cut off.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from center.errors import Unreadable
from center.reads import Reason
from ecg.formats.leads import StoredLead, age_years, coded_day, coded_sex, instant, number, recording
from ecg.formats.trouble import EXPORT_AGAIN, unreadable
from ecg.formats.xli import unpack_chunks
from ecg.formats.xml_bounded import Element, parse_xml
from ecg.signal import STANDARD_LEADS, DeviceNote, EcgSignal, Filters, canonical_lead

_MAX_NOTES: Final = 200
_MAX_CHANNEL_SAMPLES: Final = 2_000_000
_PULSE_MV: Final = 1.0
_PULSE_S: Final = (0.15, 0.25)  # 200 ms, with room (ours)
_MEASUREMENTS: Final = {
    "heartrate": ("Heart rate", "/min"),
    "atrialrate": ("Atrial rate", "/min"),
    "rrint": ("RR interval", "ms"),
    "pdur": ("P duration", "ms"),
    "print": ("PR interval", "ms"),
    "meanprint": ("PR interval", "ms"),
    "qrsdur": ("QRS duration", "ms"),
    "meanqrsdur": ("QRS duration", "ms"),
    "qtint": ("QT interval", "ms"),
    "meanqtint": ("QT interval", "ms"),
    "meanqtc": ("QTc", "ms"),
    "qtcb": ("QTc Bazett", "ms"),
    "qtcf": ("QTc Fridericia", "ms"),
    "qtco": ("QTc", "ms"),
    "pfrontaxis": ("P axis", "deg"),
    "qrsfrontaxis": ("QRS axis", "deg"),
    "stfrontaxis": ("ST axis", "deg"),
    "tfrontaxis": ("T axis", "deg"),
    "phorizaxis": ("P axis, horizontal", "deg"),
    "qrshorizaxis": ("QRS axis, horizontal", "deg"),
    "sthorizaxis": ("ST axis, horizontal", "deg"),
    "thorizaxis": ("T axis, horizontal", "deg"),
}

Counts = npt.NDArray[np.int64]


def read_philips(content: bytes, file: str = "ECG") -> EcgSignal:
    """The recording in a Philips Sierra file, without its calibration pulse.  Raises Unreadable."""
    root = parse_xml(content, file)
    waves = root.find("waveforms/parsedwaveforms")
    if waves is None:
        raise unreadable(
            file,
            "中没有可读的波形",
            "holds no readable waveform",
            todo=EXPORT_AGAIN,
            expected="waveforms/parsedwaveforms",
        )
    signals = root.find("dataacquisition/signalcharacteristics") or Element("")
    fs_hz = _stated(file, "sampling frequency", "采样率", waves.get("@samplespersecond"), signals.get("samplingrate"))
    resolution = (waves.get("@resolution"), signals.get("resolution"), signals.get("signalresolution"))
    step_mv = _stated(file, "resolution", "分辨率", *resolution) * 1e-3
    names = _lead_names(root, waves)
    counts = _channels(waves, names, fs_hz, file)
    living, issues = _without_pulse(counts, fs_hz, step_mv)
    return recording(
        file,
        [StoredLead(name, row[:living] * step_mv, step_mv) for name, row in zip(names, counts, strict=True)],
        fs_hz,
        issues=issues,
        **_header(root, waves, signals),
    )


def _stated(file: str, en: str, zh: str, *texts: str) -> float:
    """The first of these that is a number above 0; without it the samples have no scale."""
    for text in texts:
        if (value := number(text)) is not None and value > 0:
            return value
    raise unreadable(file, f"没有写明{zh}", f"does not state its {en}", todo=EXPORT_AGAIN, expected=en)


def _lead_names(root: Element, waves: Element) -> list[str]:
    """The leads in stored order: as labelled, else as printed, else the usual twelve."""
    for text in (waves.get("@leadlabels"), root.get("reportinfo/reportformat/waveformformat/mainwaveformformat")):
        names = [canonical_lead(name) for name in re.split(r"[\s,]+", text) if name]
        if len(names) >= 8 or (names and text == waves.get("@leadlabels")):
            return names
    return list(STANDARD_LEADS)


def _channels(waves: Element, names: list[str], fs_hz: float, file: str) -> Counts:
    """Counts [lead, sample], the derived limb leads put together again.  Raises Unreadable."""
    compression = (waves.get("@compression") or waves.get("@compressmethod")).upper()
    if waves.get("@compressflag").casefold() == "false":
        compression = ""
    if compression not in ("", "XLI", "UNCOMPRESSED", "NONE") or waves.get("@dataencoding").upper() not in (
        "",
        "BASE64",
    ):
        raise unreadable(
            file,
            f"的波形以 {compression or waves.get('@dataencoding')} 存储，不支持",
            f"stores its waveforms as {compression or waves.get('@dataencoding')}, which is not readable here",
            expected="XLI or plain, Base64",
        )
    try:
        raw = base64.b64decode("".join(waves.text.split()).encode("ascii", "replace"), validate=True)
        found = (
            unpack_chunks(raw, len(names), _MAX_CHANNEL_SAMPLES) if compression == "XLI" else _plain(raw, len(names))
        )
        if len(found) != len(names) or len({row.size for row in found}) != 1:
            raise ValueError(f"{len(found)} channels")
    except (binascii.Error, ValueError) as trouble:
        raise _damaged(file) from trouble
    counts = np.stack(found)
    told_ms = number(waves.get("@durationperchannel"))
    if told_ms and round(told_ms * fs_hz / 1000) != counts.shape[1]:
        raise _damaged(file, f"{told_ms * fs_hz / 1000:g} samples a lead, {counts.shape[1]} found")
    return _with_residuals(counts, names) if compression == "XLI" else counts


def _plain(raw: bytes, leads: int) -> list[Counts]:
    """Uncompressed: one lead after another, 16 bits, little-endian."""
    if not raw or len(raw) % (2 * leads):
        raise ValueError(f"{len(raw)} bytes for {leads} leads")
    return list(np.frombuffer(raw, dtype="<i2").astype(np.int64).reshape(leads, -1))


def _damaged(file: str, expected: str = "whole leads") -> Unreadable:
    return unreadable(
        file,
        "的波形数据损坏或不完整",
        "has waveform data that are damaged or incomplete",
        todo=EXPORT_AGAIN,
        expected=expected,
    )


def _with_residuals(counts: Counts, names: list[str]) -> Counts:
    """III, aVR, aVL, aVF from what is stored for them.

    The law's prediction is halved towards zero, as the device's whole-number arithmetic does: with any other rounding
    the sample files' leads leave the laws by more than half a count.
    """
    if not {"I", "II"} <= set(names):
        return counts
    out = counts.copy()
    lead_i, lead_ii = counts[names.index("I")], counts[names.index("II")]
    lead_iii = lead_ii - lead_i
    if "III" in names:
        lead_iii = out[names.index("III")] = lead_iii - counts[names.index("III")]
    for name, twice in (("aVR", -(lead_i + lead_ii)), ("aVL", lead_i - lead_iii), ("aVF", lead_ii + lead_iii)):
        if name in names:
            out[names.index(name)] = np.sign(twice) * (np.abs(twice) // 2) - counts[names.index(name)]
    return out


def _without_pulse(counts: Counts, fs_hz: float, step_mv: float) -> tuple[int, tuple[Reason, ...]]:
    """How many samples are the patient's, and what to say about the rest.

    The pulse: every lead holds 1 mV for about 200 ms, nothing but zeros stand behind it, and zeros between it and the
    last sample of the signal; all of that is cut off.
    """
    samples = counts.shape[1]
    at_1_mv = (counts == round(_PULSE_MV / step_mv)).all(axis=0)
    at_0 = (counts == 0).all(axis=0)
    end = _last_run_starts(at_0, samples)
    start = _last_run_starts(at_1_mv, end)
    if not _PULSE_S[0] * fs_hz <= end - start <= _PULSE_S[1] * fs_hz:
        return samples, ()
    living = _last_run_starts(at_0, start)
    if not living:
        return samples, ()
    cut_ms = (samples - living) / fs_hz * 1000
    return living, (
        Reason(
            "calibration_pulse_removed",
            zh=f"末尾 {cut_ms:.0f} ms 是设备的 1 mV 定标脉冲，已去除。",
            en=f"The last {cut_ms:.0f} ms are the device's calibration pulse of 1 mV; they were removed.",
        ),
    )


def _last_run_starts(mask: npt.NDArray[np.bool_], end: int) -> int:
    """Where the run of True that ends just before ``end`` begins; ``end`` where there's none."""
    others = np.flatnonzero(~mask[:end])
    return int(others[-1]) + 1 if others.size else 0


# ---- what the device said ----


def _header(root: Element, waves: Element, signals: Element) -> dict[str, object]:
    person = root.find("patient/generalpatientdata") or Element("")
    acquired = root.find("dataacquisition") or Element("")
    years = person.get("age/years")
    return {
        "filters": _filters(root, waves, signals),
        "patient_id": person.get("patientid"),
        "patient_name": "^".join(filter(None, (person.get("name/lastname"), person.get("name/firstname")))),
        "sex": coded_sex(person.get("sex")),
        "birth_date": coded_day(person.get("age/dateofbirth")),
        "age_years": age_years(years) or age_years(person.get("age/months"), "months"),
        "recorded_at": instant(acquired.get("@date"), acquired.get("@time")),
        "device": " ".join(filter(None, ("Philips", acquired.get("machine")))),
        "accession_number": root.get("orderinfo/ordernumber"),
        "annotations": _notes(root),
        "source_format": "Philips ECG XML",
        "is_ecg_by_type": True,
    }


def _filters(root: Element, waves: Element, signals: Element) -> Filters:
    """What was done to the stored signal; what a report's print was filtered with isn't in the samples."""
    band = re.fullmatch(r"\s*([\d.]+)\s*-\s*([\d.]+)\s*", signals.get("signalbandwidth"))
    filtered = (waves.get("@notchfiltered") or signals.get("notchfiltered")).casefold() == "true"
    notch = (number(waves.get("@notchfilterfreqs")) or number(signals.get("acsetting"))) if filtered else None
    return Filters(
        high_pass_hz=number(waves.get("@hipass"))
        or number(signals.get("hipass"))
        or (number(band[1]) if band else None),
        low_pass_hz=number(waves.get("@lowpass"))
        or number(signals.get("lowpass"))
        or (number(band[2]) if band else None),
        notch_hz=notch or None,
    )


def _notes(root: Element) -> tuple[DeviceNote, ...]:
    notes: list[DeviceNote] = []
    for found in root.all("interpretations/interpretation"):
        for statement in found.all("statement"):
            words = filter(None, (statement.get("leftstatement"), statement.get("rightstatement")))
            notes.append(DeviceNote(", ".join(words)))
        notes.append(DeviceNote(found.get("severity").strip(" -")))
        for kind in ("globalmeasurements", "interpretationmeasurements"):
            notes += [note for child in _children(found, kind) if (note := _measurement(child)) is not None]
    return tuple(dict.fromkeys(note for note in notes if note.text))[:_MAX_NOTES]


def _children(element: Element, name: str) -> Sequence[Element]:
    found = element.find(name)
    return found.children if found else ()


def _measurement(element: Element) -> DeviceNote | None:
    known = _MEASUREMENTS.get(element.name)
    value = number(element.text)
    if known is None or value is None:
        return None
    method = element.attributes.get("methodname", "")
    return DeviceNote(f"{known[0]} {method}".strip(), value, known[1])
