"""The frame of an SCP-ECG record (EN 1064 / ISO 11073-91064): its checks, its sections, and those that hold no samples.

Section 1 says whose recording it is, 3 which leads; 7, 8, 10 and 11 are what the device itself measured and stated.
"""

from __future__ import annotations

import struct
from binascii import crc_hqx
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from itertools import pairwise
from typing import Final

from ecg.formats.lead_codes import LEAD_OF_NUMBER
from ecg.formats.text import decoded
from ecg.formats.trouble import EXPORT_AGAIN, unreadable
from ecg.signal import MAX_LEADS, DeviceNote, Filters

_MAX_RECORD_BYTES: Final = 64 << 20
_HEADER_BYTES: Final = 16
_POINTER_BYTES: Final = 10
_SECTIONS: Final = frozenset(range(1, 12))
_MAX_NOTES: Final = 500
_UNKNOWN: Final = frozenset((19999, 29997, 29998, 29999))
"""In place of a measurement: not computed, not found, not to be had (EN 1064 5.10.3)."""

SUBTRACTED: Final = 1
"""Bit of the lead section's flags: the reference beat is subtracted from the rhythm."""


@dataclass(frozen=True, slots=True)
class Lead:
    """A lead of section 3.  start, end: its first and last sample, counted from the same origin for all leads."""

    name: str
    start: int
    end: int

    @property
    def samples(self) -> int:
        return self.end - self.start + 1


@dataclass(frozen=True, slots=True)
class Demographics:
    """What section 1 says of patient, device and recording; fields as in ``EcgSignal``."""

    patient_id: str = ""
    patient_name: str = ""
    sex: str = ""
    birth_date: str = ""
    age_years: float | None = None
    recorded_at: str = ""
    device: str = ""
    filters: Filters = field(default_factory=Filters)


def looks_like_section_0(content: bytes) -> bool:
    """Section 0 of SCP-ECG: id 0, a small length, twice the same version (EN 1064 5.2)."""
    length = int.from_bytes(content[10:14], "little")
    return (
        content[8:10] == b"\x00\x00"
        and 16 <= length <= 1024
        and content[14:15] == content[15:16]
        and content[14:15] in (b"\x0a", b"\x0b", b"\x0d", b"\x14", b"\x1e")
    )


# ---- frame ----


def read_sections(content: bytes, file: str) -> dict[int, bytes]:
    """The bodies (after their headers) of sections 1 to 11, by number.  Raises Unreadable.

    The whole record and each of these sections must have the checksum that they declare (CRC-CCITT, EN 1064 5.2).
    """
    length = int.from_bytes(content[2:6], "little")
    if content[16:22] != b"SCPECG" and content[2:4] == b"\x00\x00" and len(content) < length:
        raise unreadable(
            file,
            "形似 SCP-ECG，但文件头不符合 EN 1064（例如 Healforce 设备的自有格式），无法可靠读取",
            "resembles SCP-ECG, but its record header is not that of EN 1064 (Healforce devices write such files); "
            "it cannot be read reliably",
            todo=("请从设备导出标准 SCP-ECG、DICOM 或 aECG", "Export standard SCP-ECG, DICOM or aECG from the device"),
            expected="CRC, 32-bit length, section 0",
        )
    if not 6 + _HEADER_BYTES <= length <= min(len(content), _MAX_RECORD_BYTES):
        raise unreadable(
            file,
            f"不完整或长度有误：记录声明 {length} 字节，实有 {len(content)} 字节",
            f"is incomplete or its length is wrong: the record declares {length} bytes, {len(content)} found",
            todo=EXPORT_AGAIN,
            expected=f"{length} bytes",
            at_byte=2,
        )
    record = memoryview(content)[:length]
    _check(record, 0, length, "record", file)
    out: dict[int, bytes] = {}
    for number, size, at in _pointers(record, file):
        if number in _SECTIONS and size:
            if number in out:
                raise _bad_frame(file, f"section {number} once", at)
            out[number] = _section(record, number, size, at, file)
    return out


def _pointers(record: memoryview, file: str) -> Iterator[tuple[int, int, int]]:
    """(number, length, where it begins) of each section that section 0 lists."""
    length = int.from_bytes(record[10:14], "little")
    if int.from_bytes(record[8:10], "little") != 0 or not _HEADER_BYTES <= length <= len(record) - 6:
        raise _bad_frame(file, "section 0", 6)
    _check(record, 6, length, "section 0", file)
    for at in range(6 + _HEADER_BYTES, 6 + length - _POINTER_BYTES + 1, _POINTER_BYTES):
        number, size, begins = struct.unpack_from("<HII", record, at)
        yield number, size, begins - 1


def _section(record: memoryview, number: int, size: int, at: int, file: str) -> bytes:
    if at < 0 or size < _HEADER_BYTES or at + size > len(record):
        raise _bad_frame(file, f"section {number} inside the record", max(at, 0))
    _, stored_number, stored_size = struct.unpack_from("<HHI", record, at)
    if (stored_number, stored_size) != (number, size):
        raise _bad_frame(file, f"section {number} of {size} bytes", at)
    _check(record, at, size, f"section {number}", file)
    return bytes(record[at + _HEADER_BYTES : at + size])


def _check(record: memoryview, at: int, size: int, what: str, file: str) -> None:
    """Nothing, where the checksum before these bytes is theirs."""
    stored = int.from_bytes(record[at : at + 2], "little")
    found = crc_hqx(record[at + 2 : at + size], 0xFFFF)
    if stored != found:
        raise unreadable(
            file,
            f"的校验和不符（{what}：应为 {stored:04X}，实为 {found:04X}），数据已损坏",
            f"is damaged: the checksum of {what} should be {stored:04X} and is {found:04X}",
            todo=EXPORT_AGAIN,
            expected=f"CRC-CCITT {stored:04X}",
            at_byte=at,
        )


def _bad_frame(file: str, expected: str, at: int) -> Exception:
    return unreadable(
        file,
        "的 SCP-ECG 分节有误",
        "has SCP-ECG sections that do not fit",
        todo=EXPORT_AGAIN,
        expected=expected,
        at_byte=at,
    )


def cut(file: str, section: int) -> Exception:
    """A section that ends before what it declares."""
    return unreadable(
        file,
        f"的第 {section} 节不完整或自相矛盾",
        f"has a section {section} that is incomplete or contradicts itself",
        todo=EXPORT_AGAIN,
        expected=f"section {section} of EN 1064",
    )


# ---- section 3 ----


def read_leads(body: bytes, file: str) -> tuple[tuple[Lead, ...], int]:
    """The leads in the file's order, and the flags.  Raises Unreadable."""
    count = body[0] if body else 0
    if not 0 < count <= MAX_LEADS or len(body) < 2 + 9 * count:
        raise unreadable(
            file,
            f"声明了 {count} 个导联，只接受 1 到 {MAX_LEADS} 个，或导联表不完整",
            f"declares {count} leads, of which 1 to {MAX_LEADS} are accepted, or its list of leads is incomplete",
            expected=f"1..{MAX_LEADS} leads in section 3",
        )
    leads: list[Lead] = []
    for at in range(2, 2 + 9 * count, 9):
        start, end, number = struct.unpack_from("<IIB", body, at)
        if end < start:
            raise cut(file, 3)
        leads.append(Lead(LEAD_OF_NUMBER.get(number) or f"SCP lead {number}", start, end))
    return tuple(leads), body[1]


# ---- section 1 ----


def read_demographics(body: bytes, file: str) -> Demographics:
    """Patient, device and recording.  A field that makes no sense is left empty.  Raises Unreadable."""
    tags = _tags(body, file)
    machine = tags.get(14, b"")
    language = machine[16] if len(machine) > 16 else 0
    names = [_text(tags.get(tag, b""), language) for tag in (0, 1)]
    return Demographics(
        patient_id=_text(tags.get(2, b""), language),
        patient_name="^".join(names).rstrip("^"),
        sex={1: "M", 2: "F"}.get(int.from_bytes(tags.get(8, b"")[:1], "little"), ""),
        birth_date=_day(tags.get(5, b"")).replace("-", ""),
        age_years=_age_years(tags.get(4, b"")),
        recorded_at=_recorded_at(tags),
        device=_device(machine, language),
        filters=_filters(tags),
    )


def language_of(body: bytes, file: str) -> int:
    """The language code that the acquiring device declares (EN 1064 5.4.5, tag 14); 0 where it declares none."""
    machine = _tags(body, file).get(14, b"")
    return machine[16] if len(machine) > 16 else 0


def _tags(body: bytes, file: str) -> dict[int, bytes]:
    """The first field of each tag."""
    out: dict[int, bytes] = {}
    at = 0
    while at < len(body) and body[at] != 255:
        size = int.from_bytes(body[at + 1 : at + 3], "little")
        value = body[at + 3 : at + 3 + size]
        if at + 3 > len(body) or len(value) < size:
            raise cut(file, 1)
        out.setdefault(body[at], value)
        at += 3 + size
    return out


_CHARACTERS: Final = {
    **{0x03: "iso8859-2", 0x0B: "iso8859-4", 0x13: "iso8859-5", 0x1B: "iso8859-6", 0x23: "iso8859-7"},
    **{0x2B: "iso8859-8", 0x33: "iso8859-11", 0x3B: "iso8859-15", 0x07: "utf-8"},
    **{0x0F: "shift_jis", 0x17: "euc_jp", 0x1F: "euc_jp", 0x27: "gb18030", 0x2F: "euc_kr"},
}
UTF_8: Final = 0x07


def _text(value: bytes, language: int) -> str:
    """One line of text up to the first NUL, in the declared characters or in what it turns out to be."""
    return decoded(value, _CHARACTERS.get(language, "latin-1" if language & 3 == 1 else "ascii"))


def _day(value: bytes) -> str:
    """YYYY-MM-DD of year u16, month, day; empty where it is none."""
    if len(value) < 4:
        return ""
    try:
        return datetime(int.from_bytes(value[:2], "little"), value[2], value[3]).date().isoformat()  # noqa: DTZ001
    except ValueError:
        return ""


def _recorded_at(tags: dict[int, bytes]) -> str:
    day, clock, zone = _day(tags.get(25, b"")), tags.get(26, b""), tags.get(34, b"")
    if not day:
        return ""
    if len(clock) < 3 or clock[0] > 23 or clock[1] > 59 or clock[2] > 59:
        clock = bytes(3)
    minutes = int.from_bytes(zone[:2], "little", signed=True) if len(zone) >= 2 else 0x7FFF
    at = datetime.fromisoformat(f"{day}T{clock[0]:02}:{clock[1]:02}:{clock[2]:02}")
    return (at.replace(tzinfo=timezone(timedelta(minutes=minutes))) if abs(minutes) < 24 * 60 else at).isoformat()


def _age_years(value: bytes) -> float | None:
    per_year = {1: 1.0, 2: 12.0, 3: 52.18, 4: 365.25, 5: 8766.0}
    if len(value) < 3 or value[2] not in per_year or value[:2] == b"\xff\xff":
        return None
    age = int.from_bytes(value[:2], "little") / per_year[value[2]]
    return round(age, 3) if age <= 150 else None


def _filters(tags: dict[int, bytes]) -> Filters:
    """Tag 27: 1/100 Hz; 28: Hz; 29: bit 0 a 60 Hz notch, bit 1 a 50 Hz notch."""
    low, high = (int.from_bytes(tags.get(tag, b"")[:2], "little") for tag in (27, 28))
    bits = int.from_bytes(tags.get(29, b"")[:1], "little")
    return Filters(low / 100 or None, float(high) or None, {1: 60.0, 2: 50.0}.get(bits & 3))


def _device(machine: bytes, language: int) -> str:
    """Maker and model of the acquiring device: text model at byte 8, maker as the last of the texts from byte 35 on."""
    if len(machine) < 36:
        return ""
    texts = machine[36:].split(b"\x00")
    maker = _text(texts[4], language) if len(texts) > 4 else ""
    return " ".join(filter(None, (maker, _text(machine[8:14], language))))[:64]


# ---- what the device said: sections 7, 8, 10, 11 ----


def read_notes(sections: dict[int, bytes], language: int) -> tuple[DeviceNote, ...]:
    """The device's statements, then its measurements.  What is cut off or contradicts itself is left out."""
    out = [*_statements(sections.get(8, b""), language), *_coded_statements(sections.get(11, b""), language)]
    out += _global_measurements(sections.get(7, b""))
    out += _lead_measurements(sections.get(10, b""))
    return tuple(dict.fromkeys(out))[:_MAX_NOTES]


def _blocks(body: bytes) -> Iterator[bytes]:
    """The statements: after confirmation, date and time their number, then each a sequence number and a length."""
    count, at = body[8] if len(body) > 8 else 0, 9
    for _ in range(count):
        size = int.from_bytes(body[at + 1 : at + 3], "little")
        if len(body) < at + 3 + size:
            return
        yield body[at + 3 : at + 3 + size]
        at += 3 + size


def _statements(body: bytes, language: int) -> list[DeviceNote]:
    return [DeviceNote(text) for block in _blocks(body) if (text := _text(block, language))]


def _coded_statements(body: bytes, language: int) -> list[DeviceNote]:
    """Section 11: a type byte, then codes or texts with a NUL between; type 3, the logic between them, is left out."""
    out: list[DeviceNote] = []
    for block in _blocks(body):
        if block and block[0] in (1, 2):
            text = " ".join(filter(None, (_text(part, language) for part in block[1:].split(b"\x00"))))
            out += [DeviceNote(text)] if text else []
    return out


def _global_measurements(body: bytes) -> list[DeviceNote]:
    """RR and PP, then for the first beat type P onset, P offset, QRS onset, QRS offset, T offset (ms) and three axes."""
    if len(body) < 22 or not body[0]:
        return []
    rr, pp, *marks = struct.unpack_from("<7H", body, 2)
    out = [DeviceNote(n, float(v), "ms") for n, v in (("RR interval", rr), ("PP interval", pp)) if v not in _UNKNOWN]
    p_on, p_off, qrs_on, qrs_off, t_off = (None if mark in _UNKNOWN else mark for mark in marks)
    known = [mark for mark in (p_on, p_off, qrs_on, qrs_off, t_off) if mark is not None]
    if any(later <= earlier for earlier, later in pairwise(known)):
        return out  # a maker's own layout: its numbers are not these
    spans = (
        ("P duration", p_on, p_off),
        ("PR interval", p_on, qrs_on),
        ("QRS duration", qrs_on, qrs_off),
        ("QT interval", qrs_on, t_off),
    )
    out += [DeviceNote(n, float(b - a), "ms") for n, a, b in spans if a is not None and b is not None]
    axes = zip(("P axis", "QRS axis", "T axis"), struct.unpack_from("<3h", body, 16), strict=True)
    return out + [DeviceNote(n, float(v), "deg") for n, v in axes if v not in _UNKNOWN and abs(v) <= 360]


_LEAD_FIELDS: Final = (
    *(("P duration", "ms"), ("PR interval", "ms"), ("QRS duration", "ms"), ("QT interval", "ms")),
    *(("Q duration", "ms"), ("R duration", "ms"), ("S duration", "ms"), ("R' duration", "ms"), ("S' duration", "ms")),
    *(("Q amplitude", "uV"), ("R amplitude", "uV"), ("S amplitude", "uV"), ("R' amplitude", "uV")),
    *(("S' amplitude", "uV"), ("J point amplitude", "uV"), ("P+ amplitude", "uV"), ("P- amplitude", "uV")),
    *(("T+ amplitude", "uV"), ("T- amplitude", "uV"), ("ST slope", "uV/s")),
)


def _lead_measurements(body: bytes) -> list[DeviceNote]:
    """For each lead its number, the bytes that follow, and signed values in the order of ``_LEAD_FIELDS``."""
    out: list[DeviceNote] = []
    count, at = int.from_bytes(body[:2], "little"), 4
    for _ in range(min(count, MAX_LEADS)):
        number, size = (int.from_bytes(body[at + n : at + n + 2], "little") for n in (0, 2))
        values = body[at + 4 : at + 4 + size]
        lead = LEAD_OF_NUMBER.get(number)
        if len(values) < size or not size:
            break
        for n, (name, unit) in enumerate(_LEAD_FIELDS[: size // 2] if lead else ()):
            value = int.from_bytes(values[2 * n : 2 * n + 2], "little", signed=True)
            out += [DeviceNote(f"{lead} {name}", float(value), unit)] if value not in _UNKNOWN else []
        at += 4 + size
    return out
