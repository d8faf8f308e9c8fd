"""ISHNE Holter files (Badilini, ISHNE standard output format, 1998) -> a recording, whole or block by block."""

from __future__ import annotations

import struct
from binascii import crc_hqx
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import numpy as np

from ecg.formats.kinds import left_out
from ecg.formats.leads import check_rate
from ecg.formats.long_signal import Block, Buffer, LongSignal, checked_length
from ecg.formats.text import decoded
from ecg.formats.trouble import EXPORT_AGAIN, unreadable
from ecg.signal import DeviceNote, EcgSignal, distinct

_MARK: Final = b"ISHNE"
_ANNOTATION_MARK: Final = b"ANN"
_HEADER_BYTES: Final = 522
_MAX_HEADER_BYTES: Final = 16 << 20
_MAX_LEADS: Final = 12
_MV_PER_NV: Final = 1e-6
_LEADS: Final = (
    *("", "", "X", "Y", "Z", "I", "II", "III", "aVR", "aVL", "aVF"),
    *("V1", "V2", "V3", "V4", "V5", "V6", "ES", "AS", "AI"),
)
_PACEMAKERS: Final = (
    *("", "pacemaker of unknown type", "single chamber unipolar pacemaker", "dual chamber unipolar pacemaker"),
    *("single chamber bipolar pacemaker", "dual chamber bipolar pacemaker"),
)


@dataclass(frozen=True, slots=True)
class _Header:
    samples: int
    first_byte: int
    numbers: tuple[int, ...]
    step_mv: tuple[float, ...]
    fs_hz: float


def looks_like_ishne(content: Buffer) -> bool:
    """Whether these bytes begin as an ISHNE recording, or as its annotation file, which holds no samples."""
    head = bytes(content[:8])
    return head.startswith(_MARK) or head == b"ANN  1.0"


def read_ishne(content: bytes, file: str = "ECG") -> EcgSignal:
    """The whole recording.  Raises Unreadable."""
    return open_ishne(content, file).whole(file)


def open_ishne(content: Buffer, file: str = "ECG") -> LongSignal:
    """The recording, block by block; only its header is read now.  Raises Unreadable."""
    raw = bytes(content[:_HEADER_BYTES])
    if raw.startswith(_ANNOTATION_MARK):
        raise unreadable(
            file,
            "是 ISHNE 注释文件，只有搏动标注，不含心电信号",
            "is an ISHNE annotation file: it lists beats and holds no ECG samples",
            todo=("请上传同名的 ISHNE 心电文件（.ecg）", "Send the ISHNE recording (.ecg) of the same name"),
            expected="ISHNE1.0",
        )
    header = _header(raw, content, file)
    leads = len(header.numbers)
    frames = np.frombuffer(content, dtype="<i2", count=header.samples * leads, offset=header.first_byte)
    frames = frames.reshape(header.samples, leads)
    columns = [n for n, step in enumerate(header.step_mv) if step > 0]
    scale = np.array(header.step_mv)[columns, None]

    def block(start: int, stop: int) -> Block:
        rows = frames[start:stop].T
        return np.multiply(rows if len(columns) == leads else rows[columns], scale, dtype=np.float64, order="C")

    return LongSignal(_head(raw, header), header.samples, block)


def _header(raw: bytes, content: Buffer, file: str) -> _Header:
    if len(raw) < _HEADER_BYTES or not raw.startswith(_MARK):
        raise _bad(file, "a header of 522 bytes that begins with ISHNE1.0", len(raw))
    stored_crc, _, size, _, first_byte = struct.unpack_from("<Hiiii", raw, 8)
    count = struct.unpack_from("<h", raw, 156)[0]
    if not 0 < count <= _MAX_LEADS:
        raise unreadable(
            file,
            f"声明了 {count} 个导联，只接受 1 到 {_MAX_LEADS} 个",
            f"declares {count} leads; 1 to {_MAX_LEADS} are accepted",
            expected=f"1..{_MAX_LEADS} leads",
            at_byte=156,
        )
    if not _HEADER_BYTES <= first_byte <= min(len(content), _MAX_HEADER_BYTES):
        raise _bad(file, "an offset of the samples inside the file", 22)
    crc = crc_hqx(content[10:first_byte], 0xFFFF)
    if crc != stored_crc:
        raise unreadable(
            file,
            f"的校验和不符（应为 {stored_crc:04X}，实为 {crc:04X}），文件头已损坏",
            f"is damaged: the checksum of its header should be {stored_crc:04X} and is {crc:04X}",
            todo=EXPORT_AGAIN,
            expected=f"CRC-CCITT {stored_crc:04X}",
            at_byte=8,
        )
    fs_hz = float(struct.unpack_from("<h", raw, 272)[0])
    check_rate(file, fs_hz)
    numbers, steps = (struct.unpack_from(f"<{count}h", raw, at) for at in (158, 206))
    if max(steps) <= 0:
        raise _bad(file, "an amplitude resolution above 0 nV", 206)
    samples = _samples(len(content) - first_byte, size, count, file)
    step_mv = tuple(step * _MV_PER_NV for step in steps)
    return _Header(checked_length(file, samples, fs_hz), first_byte, numbers, step_mv, fs_hz)


def _samples(found_bytes: int, size: int, leads: int, file: str) -> int:
    """Samples a lead.  Makers put the samples of one lead in the header, or those of all leads."""
    if found_bytes == 2 * leads * size:
        return size
    if found_bytes == 2 * size and size % leads == 0:
        return size // leads
    raise unreadable(
        file,
        f"不完整或长度有误：{leads} 个导联 x {size} 个样本应为 {2 * leads * size} 字节，实有 {found_bytes} 字节",
        f"is incomplete or its length is wrong: {leads} leads x {size} samples make {2 * leads * size} bytes, "
        f"{found_bytes} found",
        todo=EXPORT_AGAIN,
        expected=f"{2 * leads * size} bytes of samples",
    )


def _head(raw: bytes, header: _Header) -> EcgSignal:
    names = distinct(
        (_LEADS[number] if 0 <= number < len(_LEADS) else "") or f"lead {n + 1}"
        for n, number in enumerate(header.numbers)
    )
    kept = [(name, step) for name, step in zip(names, header.step_mv, strict=True) if step > 0]
    unscaled = [name for name, step in zip(names, header.step_mv, strict=True) if step <= 0]
    first, last, patient_id = (decoded(raw[a:b]) for a, b in ((28, 68), (68, 108), (108, 128)))
    sex, pacemaker = struct.unpack_from("<h", raw, 128)[0], struct.unpack_from("<h", raw, 230)[0]
    note = _PACEMAKERS[pacemaker] if 0 < pacemaker < len(_PACEMAKERS) else ""
    day, clock = struct.unpack_from("<3h", raw, 138), struct.unpack_from("<3h", raw, 150)
    return EcgSignal(
        leads=tuple(name for name, _ in kept),
        samples=np.empty((len(kept), 0)),
        fs_hz=header.fs_hz,
        step_mv=tuple(step for _, step in kept),
        patient_id=patient_id,
        patient_name=f"{last}^{first}".rstrip("^"),
        sex={1: "M", 2: "F"}.get(sex, ""),
        birth_date=_instant(struct.unpack_from("<3h", raw, 132))[:10].replace("-", ""),
        recorded_at=_instant(day, clock),
        device=decoded(raw[232:272])[:64],
        annotations=(DeviceNote(note),) if note else (),
        source_format="ISHNE",
        is_ecg_by_type=True,
        issues=left_out(unscaled, "没有幅度分辨率", "no amplitude resolution"),
    )


def _instant(day: tuple[int, ...], clock: tuple[int, ...] = (0, 0, 0)) -> str:
    """ISO 8601 of day, month, year and hour, minute, second; empty where they are none."""
    try:
        return datetime(day[2], day[1], day[0], clock[0], clock[1], clock[2]).isoformat()  # noqa: DTZ001 - the file names no zone
    except (ValueError, OverflowError):
        return ""


def _bad(file: str, expected: str, at: int) -> Exception:
    return unreadable(
        file,
        "的 ISHNE 文件头有误或不完整",
        "has an ISHNE header that is wrong or incomplete",
        todo=EXPORT_AGAIN,
        expected=expected,
        at_byte=at,
    )
