"""EcgSignal -> SCP-ECG (EN 1064): second differences and the default Huffman table, without reference beat.

Sections 0 (pointers), 1 (patient, device, time), 2 (the table), 3 (leads), 6 (rhythm), and 8 where there are statements.
"""

from __future__ import annotations

import struct
from binascii import crc_hqx
from collections.abc import Sequence
from datetime import datetime
from typing import Final

import numpy as np
import numpy.typing as npt

from center.errors import Invalid
from ecg.formats.lead_codes import NUMBER_OF_LEAD
from ecg.formats.scp_huffman import DEFAULT_TABLE, encode
from ecg.formats.scp_sections import UTF_8
from ecg.signal import DeviceNote, EcgSignal

_VERSION: Final = 20
"""Version 2.0, in tenths, of section and protocol."""
_SIMULTANEOUS: Final = 4
_LISTED: Final = range(12)
_DEFAULT_STEP_MV: Final = 1e-3
_LARGEST: Final = 32767
_LONGEST_STREAM_BYTES: Final = 0xFFFF
_MAX_STATEMENTS: Final = 255

Counts = npt.NDArray[np.int64]


def write_scp(signal: EcgSignal, notes: Sequence[DeviceNote] | None = None) -> bytes:
    """The recording as an SCP-ECG record, within one count of the source; same input, same bytes.

    One count is the source's step where all leads share one of whole nanovolts, else 1 uV, or more where the largest
    lead needs it.  notes: what section 8 says (unconfirmed); None: the recording's own annotations.
    Raises Invalid for what SCP-ECG cannot hold: gaps inside a lead, leads it has no number for, over about half an hour.
    """
    leads = [(NUMBER_OF_LEAD.get(lead, 0), row) for lead, row in zip(signal.leads, signal.samples, strict=True)]
    if not all(number for number, _ in leads):
        unknown = ", ".join(lead for lead in signal.leads if lead not in NUMBER_OF_LEAD)
        raise Invalid(
            zh=f"SCP-ECG 没有导联 {unknown} 的编号，无法导出。", en=f"SCP-ECG has no number for lead {unknown}."
        )
    spans = [_span(row) for _, row in leads]
    bodies = {
        1: _about(signal),
        2: struct.pack("<H", DEFAULT_TABLE),
        3: _lead_list(leads, spans),
        6: _rhythm(signal, spans),
    }
    statements = signal.annotations if notes is None else notes
    bodies |= {8: _statements(signal, statements)} if statements else {}
    return record_of(bodies)


def _span(row: npt.NDArray[np.float64]) -> tuple[int, int]:
    """First sample and end of what is known of a lead."""
    known = np.flatnonzero(np.isfinite(row))
    if not known.size or known.size != known[-1] - known[0] + 1:
        raise Invalid(
            zh="SCP-ECG 不能保存导联中的空缺，请改用 DICOM 导出。",
            en="SCP-ECG cannot hold gaps inside a lead; please export it as DICOM.",
        )
    return int(known[0]), int(known[-1]) + 1


# ---- frame ----


def record_of(bodies: dict[int, bytes]) -> bytes:
    """A whole record of these sections (number -> what follows the header), with its pointers and checksums."""
    sections: dict[int, bytes] = {number: _section(number, body) for number, body in bodies.items()}
    size = 16 + 10 * len(_LISTED)
    at = 7  # positions count from 1, and the record's own checksum and length come first
    pointers = [struct.pack("<HII", 0, size, at)]
    at += size
    for number in _LISTED[1:]:
        length = len(sections.get(number, b""))
        pointers.append(struct.pack("<HII", number, length, at if length else 0))
        at += length
    whole = _section(0, b"".join(pointers), b"SCPECG") + b"".join(sections[number] for number in sorted(sections))
    record = struct.pack("<I", len(whole) + 6) + whole
    return struct.pack("<H", crc_hqx(record, 0xFFFF)) + record


def _section(number: int, body: bytes, reserved: bytes = bytes(6)) -> bytes:
    body += bytes(len(body) % 2)
    rest = struct.pack("<HIBB", number, 16 + len(body), _VERSION, _VERSION) + reserved + body
    return struct.pack("<H", crc_hqx(rest, 0xFFFF)) + rest


# ---- sections ----


def _about(signal: EcgSignal) -> bytes:
    family, _, given = signal.patient_name.partition("=")[0].partition("^")
    fields = [(2, _text(signal.patient_id)), (0, _text(family)), (1, _text(given.replace("^", " ").strip()))]
    fields += [(5, struct.pack("<HBB", *day))] if (day := _day(signal.birth_date)) else []
    if signal.age_years is not None and 0 <= signal.age_years <= 150:
        fields.append((4, _age(signal.age_years)))
    fields.append((8, bytes([{"M": 1, "F": 2}.get(signal.sex, 0)])))
    fields.append((14, _machine(signal.device)))
    if signal.recorded_at:
        at = datetime.fromisoformat(signal.recorded_at)
        fields += [(25, struct.pack("<HBB", at.year, at.month, at.day)), (26, bytes((at.hour, at.minute, at.second)))]
        offset = at.utcoffset()
        fields += [(34, struct.pack("<hHx", round(offset.total_seconds() / 60), 0))] if offset is not None else []
    filters = signal.filters
    fields += [(27, struct.pack("<H", round(filters.high_pass_hz * 100)))] if filters.high_pass_hz else []
    fields += [(28, struct.pack("<H", round(filters.low_pass_hz)))] if filters.low_pass_hz else []
    fields += [(29, bytes([{60.0: 1, 50.0: 2}[filters.notch_hz]]))] if filters.notch_hz in (50.0, 60.0) else []
    return b"".join(struct.pack("<BH", tag, len(value)) + value for tag, value in fields) + b"\xff\x00\x00"


def _age(years: float) -> bytes:
    """Whole years, or months under two."""
    return struct.pack("<HB", int(years), 1) if years >= 2 else struct.pack("<HB", int(years * 12), 2)


def _machine(device: str) -> bytes:
    """Tag 14: an electrocardiograph whose maker is told in words; its text is UTF-8."""
    head = struct.pack("<HHHBB6s", 0, 0, 0, 0, 255, b"")
    return head + bytes((_VERSION, 0xA0, UTF_8, 0xC0, 0)) + bytes(16) + b"\x01\x00" + bytes(3) + _text(device)


def _day(birth_date: str) -> tuple[int, int, int] | None:
    try:
        at = datetime.strptime(birth_date.replace("-", ""), "%Y%m%d")  # noqa: DTZ007 - a day has no zone
    except ValueError:
        return None
    return at.year, at.month, at.day


def _text(text: str) -> bytes:
    """At most 63 bytes of one line, and a NUL."""
    line = "".join(c for c in text if c.isprintable())
    return line.encode()[:63].decode("utf-8", "ignore").encode() + b"\x00"


def _lead_list(leads: Sequence[tuple[int, object]], spans: Sequence[tuple[int, int]]) -> bytes:
    together = _SIMULTANEOUS if len(set(spans)) == 1 else 0
    head = bytes((len(leads), together | (len(leads) << 3 & 0xFF if together else 0)))
    rows = zip(leads, spans, strict=True)
    return head + b"".join(struct.pack("<IIB", start + 1, end, number) for (number, _), (start, end) in rows)


def _statements(signal: EcgSignal, notes: Sequence[DeviceNote]) -> bytes:
    """Section 8, not confirmed (0), one text a statement."""
    at = datetime.fromisoformat(signal.recorded_at) if signal.recorded_at else None
    when = struct.pack("<HBBBBB", at.year, at.month, at.day, at.hour, at.minute, at.second) if at else bytes(7)
    notes = notes[:_MAX_STATEMENTS]
    texts = [n.text if n.value is None else f"{n.text}: {n.value:g} {n.unit}".rstrip() for n in notes]
    rows = [" ".join(text.split()).encode()[:1000].decode("utf-8", "ignore").encode() + b"\x00" for text in texts]
    blocks = [struct.pack("<BH", n + 1, len(row)) + row for n, row in enumerate(rows)]
    return b"\x00" + when + bytes([len(rows)]) + b"".join(blocks)


# ---- samples ----


def _rhythm(signal: EcgSignal, spans: Sequence[tuple[int, int]]) -> bytes:
    interval_us = round(1e6 / signal.fs_hz)
    if not 0 < interval_us <= 0xFFFF or abs(1e6 / signal.fs_hz - interval_us) > 5e-4 * interval_us:
        raise Invalid(
            zh=f"SCP-ECG 不能表示 {signal.fs_hz:g} Hz 的采样率。",
            en=f"SCP-ECG cannot express a sampling frequency of {signal.fs_hz:g} Hz.",
        )
    step_nv = _step_nv(signal)
    rows = [
        np.rint(row[start:end] / (step_nv * 1e-6)).astype(np.int64)
        for row, (start, end) in zip(signal.samples, spans, strict=True)
    ]
    order = next(n for n in (2, 1, 0) if all(np.abs(_differences(row, n)).max() <= _LARGEST for row in rows))
    streams = [encode(_differences(row, order)) for row in rows]
    streams = [stream + bytes(len(stream) % 2) for stream in streams]
    if max(len(stream) for stream in streams) > _LONGEST_STREAM_BYTES:
        raise Invalid(
            zh="这份记录太长，SCP-ECG 每导联最多 64 KB，请改用 DICOM 导出。",
            en="This recording is too long: SCP-ECG holds at most 64 KB a lead; please export it as DICOM.",
        )
    sizes = struct.pack(f"<{len(streams)}H", *map(len, streams))
    return struct.pack("<HHBB", step_nv, interval_us, order, 0) + sizes + b"".join(streams)


def _differences(row: Counts, order: int) -> Counts:
    """The first ``order`` values as they are, then differences of that order."""
    return np.concatenate([row[:order], np.diff(row, order)]) if row.size > order else row


def _step_nv(signal: EcgSignal) -> int:
    """nV a count: the leads' own where they share one, else 1 uV; coarser where the largest value asks for it."""
    steps = {round(step * 1e6, 3) for step in signal.step_mv if step > 0}
    own = steps.pop() if len(steps) == 1 else 0.0
    step_nv = int(own) if own == int(own) and own else round(_DEFAULT_STEP_MV * 1e6)
    needed = float(np.nanmax(np.abs(signal.samples))) * 1e6 / _LARGEST
    step_nv = max(step_nv, int(np.ceil(needed)))
    if step_nv > 0xFFFF:
        raise Invalid(
            zh="幅度超出 SCP-ECG 可表示的范围（约 2 V）。", en="The amplitude is beyond SCP-ECG's range (about 2 V)."
        )
    return step_nv
