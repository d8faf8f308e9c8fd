"""EDF, EDF+, BDF, BDF+ (Kemp 1992, 2003; BioSemi) -> a recording, whole or block by block.

A file may hold signals of several kinds and rates.  The view that is made of it has one rate: that of the ECG leads
where there are any, else that of most signals.  Slower voltages are held at that rate, value by value; what is faster
or no voltage is named and left to the original.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice
from typing import Final

import numpy as np
import numpy.typing as npt

from center.reads import Reason
from ecg.formats.kinds import is_heart, lead_name, left_out, no_lead_named
from ecg.formats.leads import check_rate, mv_per_unit, number
from ecg.formats.long_signal import Block, Buffer, LongSignal, checked_length
from ecg.formats.text import decoded
from ecg.formats.trouble import EXPORT_AGAIN, unreadable
from ecg.heart_leads import heart_leads, names_lead
from ecg.signal import MAX_LEADS, DeviceNote, EcgSignal, Filters, distinct

_EDF_MARK: Final = b"0       "
_BDF_MARK: Final = b"\xffBIOSEMI"
_FIXED_BYTES: Final = 256
_MAX_SIGNALS: Final = 1024
_MAX_RECORD_BYTES: Final = 64 << 20
_MAX_RECORDS: Final = 100_000_000
_MAX_FS_HZ: Final = 1e6
_MAX_NOTES: Final = 500
_CHUNK_BYTES: Final = 4 << 20
_MAX_TIMED_RECORDS: Final = 3_000_000
"""Of a discontinuous file (ours): a month of records of a second."""
_LIST_END: Final = 20
_FIELDS: Final = (("label", 16), ("transducer", 80), ("unit", 8), ("low", 8), ("high", 8), ("digital_low", 8),
                  ("digital_high", 8), ("prefilter", 80), ("samples", 8), ("reserved", 32))  # fmt: skip
_ANNOTATION_LABELS: Final = ("EDF Annotations", "BDF Annotations")
_MONTHS: Final = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")

Raw = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class _Signal:
    """One signal.  at, size: its bytes in a record.  step_mv: 0 where it is no voltage; level_mv: of digital 0.

    is_unscaled: a voltage whose limits make no scale, or that has no samples.
    """

    name: str
    at: int
    size: int
    samples: int
    step_mv: float
    level_mv: float
    prefilter: str
    is_annotation: bool
    is_unscaled: bool = False


@dataclass(frozen=True, slots=True)
class _File:
    """A header, understood, and the records as bytes [record, byte]."""

    file: str
    width: int
    is_plus: bool
    is_discontinuous: bool
    head: bytes
    records: Raw
    record_s: float
    signals: tuple[_Signal, ...]
    issues: tuple[Reason, ...]

    def fs_hz(self, signal: _Signal) -> float:
        return signal.samples / self.record_s


def looks_like_edf(content: Buffer) -> bool:
    """Whether these bytes begin as EDF or BDF does: its version, then text (a name may be in any characters)."""
    head = bytes(content[:_FIXED_BYTES])
    return head.startswith(_BDF_MARK) or (head.startswith(_EDF_MARK) and min(head) >= 32)


def read_edf(content: bytes, file: str = "ECG") -> EcgSignal:
    """The whole recording.  Raises Unreadable."""
    return open_edf(content, file).whole(file)


def open_edf(content: Buffer, file: str = "ECG") -> LongSignal:
    """The recording, block by block; its header and its annotations are read now.  Raises Unreadable."""
    edf = _opened(content, file)
    shown, held, others = _shown(edf)
    onsets, notes = _annotations(edf)
    per_record = shown[0].samples
    fs_hz = edf.fs_hz(shown[0])
    starts = _starts(edf, onsets, per_record, fs_hz)
    length = checked_length(file, int(starts[-1]) + per_record, fs_hz)
    signals = (*shown, *held)

    def block(start: int, stop: int) -> Block:
        return _block(edf, signals, per_record, starts, start, stop)

    head = _head(edf, signals, fs_hz, notes)
    if heart_leads(head):
        check_rate(file, fs_hz)
    issues = [*edf.issues, *([] if heart_leads(head) else [no_lead_named(head.leads)])]
    issues += [_held_issue(held)] if held else []
    unscaled = [signal.name for signal in edf.signals if signal.is_unscaled]
    issues += left_out(unscaled, "上下限无法换算为毫伏，或没有样本", "its limits make no scale, or it has no samples")
    others = [signal for signal in others if not signal.is_unscaled]
    for is_lead in (True, False):
        some = [signal for signal in others if (names_lead(signal.name) and signal.step_mv != 0) == is_lead]
        issues += [_left_out_issue(some, is_lead=is_lead)] if some else []
    issues += [_GAPS] if length > per_record * len(starts) else []
    return LongSignal(replace(head, issues=tuple(issues)), length, block)


# ---- header ----


def _opened(content: Buffer, file: str) -> _File:
    head = bytes(content[:_FIXED_BYTES])
    if len(head) < _FIXED_BYTES or not head.startswith((_EDF_MARK, _BDF_MARK)):
        raise _bad(file, "a header of 256 bytes", len(head))
    width = 3 if head.startswith(_BDF_MARK) else 2
    count = _whole(head[252:256])
    if count is None or not 0 < count <= _MAX_SIGNALS:
        raise _bad(file, f"1..{_MAX_SIGNALS} signals", 252)
    header_bytes = _FIXED_BYTES * (count + 1)
    body = bytes(content[_FIXED_BYTES:header_bytes])
    if _whole(head[184:192]) != header_bytes or len(body) < header_bytes - _FIXED_BYTES:
        raise _bad(file, f"{header_bytes} bytes of header", 184)
    record_s = number(head[244:252].decode("latin-1"))
    if record_s is None or not 0 < record_s <= 86400:
        raise _bad(file, "records of more than 0 s", 244)
    signals = _signals(body, count, width, file)
    record_bytes = sum(signal.size for signal in signals)
    records, issues = _records(content, header_bytes, record_bytes, _whole(head[236:244]), file)
    kind = head[192:197]
    return _File(
        file=file,
        width=width,
        is_plus=kind in (b"EDF+C", b"EDF+D", b"BDF+C", b"BDF+D"),
        is_discontinuous=kind in (b"EDF+D", b"BDF+D"),
        head=head,
        records=records,
        record_s=record_s,
        signals=signals,
        issues=issues,
    )


def _records(
    content: Buffer, first_byte: int, record_bytes: int, declared: int | None, file: str
) -> tuple[Raw, tuple[Reason, ...]]:
    """The records [record, byte].  -1 of them: the recorder was cut short, and what is there is all there is."""
    found = len(content) - first_byte
    count, rest = divmod(found, record_bytes)
    wanted = count if declared == -1 else declared
    if wanted is None or not 0 < wanted <= _MAX_RECORDS or wanted != count or rest:
        raise unreadable(
            file,
            f"不完整或长度有误：声明 {wanted} 个数据块，每块 {record_bytes} 字节，实有 {found} 字节",
            f"is incomplete or its length is wrong: it declares {wanted} records of {record_bytes} bytes, "
            f"{found} bytes found",
            todo=EXPORT_AGAIN,
            expected=f"{(wanted or 0) * record_bytes} bytes of samples",
            at_byte=len(content),
        )
    raw = np.frombuffer(content, dtype=np.uint8, count=count * record_bytes, offset=first_byte)
    return raw.reshape(count, record_bytes), (_NOT_CLOSED,) if declared == -1 else ()


def _signals(body: bytes, count: int, width: int, file: str) -> tuple[_Signal, ...]:
    columns: dict[str, list[bytes]] = {}
    at = 0
    for name, size in _FIELDS:
        columns[name] = [body[at + n * size : at + (n + 1) * size] for n in range(count)]
        at += count * size
    out: list[_Signal] = []
    at = 0
    for n in range(count):
        samples = _whole(columns["samples"][n])
        if samples is None or not 0 <= samples <= _MAX_RECORD_BYTES // width or at > _MAX_RECORD_BYTES:
            raise _bad(file, f"samples in each record, signal {n + 1}", _FIXED_BYTES)
        label = decoded(columns["label"][n])
        is_annotation = label in _ANNOTATION_LABELS
        row = {key: values[n] for key, values in columns.items()}
        scale = (0.0, 0.0) if is_annotation else _scale(row, width)
        step, level = scale if scale and samples else (0.0, 0.0)
        prefilter = decoded(columns["prefilter"][n])
        name = lead_name(label) or f"signal {n + 1}"
        out.append(
            _Signal(name, at, samples * width, samples, step, level, prefilter, is_annotation, not (scale and samples))
        )
        at += samples * width
    if not at:
        raise _bad(file, "samples in each record", _FIXED_BYTES)
    return tuple(out)


def _scale(row: dict[str, bytes], width: int) -> tuple[float, float] | None:
    """mV a count and mV at count 0; (0, 0) for what is no voltage, None where the limits make no scale."""
    per_unit = mv_per_unit(decoded(row["unit"]))
    if per_unit is None:
        return 0.0, 0.0
    low, high = (number(row[key].decode("latin-1")) for key in ("low", "high"))
    digital_low, digital_high = (_whole(row[key]) for key in ("digital_low", "digital_high"))
    limit = 1 << (8 * width - 1)
    if low is None or high is None or digital_low is None or digital_high is None or low == high:
        return None
    if not -limit <= digital_low < digital_high < limit or max(abs(low), abs(high)) * per_unit > 1e6:
        return None
    step = (high - low) / (digital_high - digital_low)
    return step * per_unit, (low - digital_low * step) * per_unit


def _whole(field: bytes) -> int | None:
    text = field.decode("latin-1").strip()
    return int(text) if re.fullmatch(r"[+-]?\d{1,8}", text) else None


def _bad(file: str, expected: str, at: int) -> Exception:
    return unreadable(
        file,
        "的 EDF/BDF 文件头有误或不完整",
        "has an EDF/BDF header that is wrong or incomplete",
        todo=EXPORT_AGAIN,
        expected=expected,
        at_byte=at,
    )


# ---- which signals ----


def _shown(edf: _File) -> tuple[list[_Signal], list[_Signal], list[_Signal]]:
    """The signals of the common rate, those that are held at it, and those that are left to the original."""
    voltages = [signal for signal in edf.signals if signal.step_mv != 0]
    if not voltages:
        raise unreadable(
            edf.file,
            "中没有以伏、毫伏或微伏计的信号",
            "holds no signal in volts, millivolts or microvolts",
            expected="a signal whose dimension is uV, mV or V",
        )
    rates = {signal.samples for signal in voltages}
    common = max(rates, key=lambda n: _weight([signal for signal in voltages if signal.samples == n]))
    if not 1 <= common / edf.record_s <= _MAX_FS_HZ:
        raise unreadable(
            edf.file,
            f"的采样率 {common / edf.record_s:g} Hz 超出范围",
            f"has a sampling frequency of {common / edf.record_s:g} Hz, which is out of range",
            expected=f"1..{_MAX_FS_HZ:g} Hz",
        )
    shown = [signal for signal in voltages if signal.samples == common]
    held = [signal for signal in voltages if signal.samples < common and common % signal.samples == 0]
    if len(shown) + len(held) > MAX_LEADS:
        raise unreadable(
            edf.file,
            f"有 {len(shown) + len(held)} 个信号，最多接受 {MAX_LEADS} 个",
            f"has {len(shown) + len(held)} signals; at most {MAX_LEADS} are accepted",
            expected=f"1..{MAX_LEADS} signals",
        )
    kept = {id(signal) for signal in (*shown, *held)}
    return shown, held, [s for s in edf.signals if id(s) not in kept and not s.is_annotation]


def _weight(signals: Sequence[_Signal]) -> tuple[int, int]:
    """What decides on the common rate: ECG leads first, then how many samples there are at all."""
    return sum(is_heart(signal.name) for signal in signals), sum(signal.samples for signal in signals)


# ---- samples ----


def _starts(edf: _File, onsets: npt.NDArray[np.float64] | None, per_record: int, fs_hz: float) -> npt.NDArray[np.int64]:
    """The sample at which each record begins; records of a discontinuous file say it themselves."""
    count = len(edf.records)
    if onsets is None:
        return np.arange(count, dtype=np.int64) * per_record
    exact = (onsets - onsets[0]) * fs_hz
    starts = np.rint(np.clip(exact, -1e15, 1e15)).astype(np.int64)
    if (np.diff(starts) < per_record).any():
        raise unreadable(
            edf.file,
            "的数据块时间互相重叠或倒退",
            "has records whose times overlap or run backwards",
            todo=EXPORT_AGAIN,
            expected="records in time",
        )
    return starts


def _block(
    edf: _File, signals: Sequence[_Signal], per_record: int, starts: npt.NDArray[np.int64], start: int, stop: int
) -> Block:
    """mV [signal, stop - start] of the common rate; NaN between records."""
    out = np.full((len(signals), stop - start), np.nan)
    if stop <= start:
        return out
    first = max(0, int(np.searchsorted(starts, start, side="right")) - 1)
    end = int(np.searchsorted(starts, stop, side="left"))
    step = max(1, _CHUNK_BYTES // edf.records.shape[1])
    for at in range(first, end, step):
        rows = slice(at, min(end, at + step))
        _put(out, edf, signals, per_record, rows, starts[rows] - start)
    return out


def _put(
    out: Block,
    edf: _File,
    signals: Sequence[_Signal],
    per_record: int,
    rows: slice,
    begins: npt.NDArray[np.int64],
) -> None:
    """These records into the block, each at its place; what lies outside the block is cut off."""
    is_one_piece = bool((np.diff(begins) == per_record).all())
    for n, signal in enumerate(signals):
        counts = _counts(edf.records[rows, signal.at : signal.at + signal.size], edf.width)
        mv = counts * signal.step_mv + signal.level_mv
        mv = np.repeat(mv, per_record // signal.samples, axis=1) if signal.samples != per_record else mv
        pieces = [(int(begins[0]), mv.reshape(-1))] if is_one_piece else zip(begins.tolist(), mv, strict=True)
        for begin, values in pieces:
            low, high = max(0, begin), min(out.shape[1], begin + values.size)
            if high > low:
                out[n, low:high] = values[low - begin : high - begin]


def _counts(raw: Raw, width: int) -> npt.NDArray[np.int32]:
    """Little-endian two's complement of two or three bytes [record, sample]."""
    raw = np.ascontiguousarray(raw)
    if width == 2:
        return raw.view("<i2").astype(np.int32)
    parts = raw.reshape(raw.shape[0], -1, 3).astype(np.int32)
    value = parts[..., 0] | parts[..., 1] << 8 | parts[..., 2] << 16
    return value - ((value >> 23) << 24)


# ---- annotations (EDF+ 2.2: onset, duration and texts between bytes 20, 21 and 0) ----

_LIST: Final = re.compile(rb"([+-]\d{1,12}(?:\.\d{1,12})?)(?:\x15(\d{1,12}(?:\.\d{1,12})?))?\x14([^\x00]*)\x14\x00")


def _annotations(edf: _File) -> tuple[npt.NDArray[np.float64] | None, tuple[DeviceNote, ...]]:
    """When each record begins (s; None where one follows the other), and what is noted, in the file's order."""
    listed = [signal for signal in edf.signals if signal.is_annotation]
    if not listed:
        if edf.is_discontinuous:
            raise _bad(edf.file, "an annotation signal that tells the records' times", 192)
        return None, ()
    if edf.is_discontinuous and len(edf.records) > _MAX_TIMED_RECORDS:
        raise _bad(edf.file, f"at most {_MAX_TIMED_RECORDS} records that tell their times", 192)
    onsets = np.zeros(len(edf.records) if edf.is_discontinuous else 0)
    notes: list[DeviceNote] = []
    step = max(1, _CHUNK_BYTES // edf.records.shape[1])
    for at in range(0, len(edf.records), step):
        for signal in listed:
            rows = edf.records[at : at + step, signal.at : signal.at + signal.size]
            if edf.is_discontinuous and signal is listed[0]:
                onsets[at : at + step] = [_onset(row.tobytes(), at + n, edf.file) for n, row in enumerate(rows)]
            # A list without a text ends its onset, and itself, with byte 20: two of them in all.
            worded = np.flatnonzero((rows == _LIST_END).sum(axis=1) > 2)
            for n in worded[: _MAX_NOTES - len(notes)]:
                notes += islice(_notes(rows[n].tobytes()), _MAX_NOTES - len(notes))
        if len(notes) >= _MAX_NOTES and not edf.is_discontinuous:
            break
    return (onsets if edf.is_discontinuous else None), tuple(notes)


def _onset(raw: bytes, record: int, file: str) -> float:
    """When a record begins, s: its first list says so, before any other."""
    found = _LIST.match(raw)
    if found is None:
        raise unreadable(
            file,
            f"的第 {record + 1} 个数据块没有时间，无法确定中断多久",
            f"gives no time for record {record + 1}, so the length of its gaps is not known",
            todo=EXPORT_AGAIN,
            expected="an EDF+ time-keeping annotation in each record",
        )
    return float(found[1])


def _notes(raw: bytes) -> Iterator[DeviceNote]:
    for found in _LIST.finditer(raw):
        seconds = f" ({float(found[2]):g} s)" if found[2] else ""
        for part in found[3].split(b"\x14", _MAX_NOTES):
            text = decoded(part[:4000], "utf-8")
            if text:
                yield DeviceNote(f"{float(found[1]):g} s: {text}{seconds}")


# ---- what is known of it ----


def _head(edf: _File, signals: Sequence[_Signal], fs_hz: float, notes: tuple[DeviceNote, ...]) -> EcgSignal:
    patient, recording = decoded(edf.head[8:88]), decoded(edf.head[88:168])
    person = re.match(r"(\S+) ([MFX]) (\d{2}-[A-Z]{3}-\d{4}|X) (\S+)", patient)
    study = re.match(r"Startdate (\S+) (\S+) (\S+) (\S+)", recording)
    return EcgSignal(
        leads=distinct(signal.name for signal in signals),
        samples=np.empty((len(signals), 0)),
        fs_hz=fs_hz,
        filters=_filters(signals),
        step_mv=tuple(abs(signal.step_mv) for signal in signals),
        patient_id=_known(person[1]) if person else patient[:64],
        patient_name=_known(person[4]).replace("_", " ") if person else "",
        sex=_known(person[2]) if person else "",
        birth_date=_day(person[3]).replace("-", "") if person else "",
        recorded_at=_recorded_at(edf.head, study[1] if study else ""),
        device=_known(study[4]).replace("_", " ")[:64] if study else "",
        accession_number=_known(study[2]) if study else "",
        annotations=notes,
        source_format=("BDF" if edf.width == 3 else "EDF") + ("+" if edf.is_plus else ""),
    )


def _known(text: str) -> str:
    return "" if text == "X" else text


def _day(text: str) -> str:
    """YYYY-MM-DD of dd-MMM-yyyy; empty where it is none."""
    found = re.fullmatch(r"(\d{2})-([A-Z]{3})-(\d{4})", text.upper())
    if not found or found[2] not in _MONTHS:
        return ""
    return f"{found[3]}-{_MONTHS.index(found[2]) + 1:02}-{found[1]}"


def _recorded_at(head: bytes, start: str) -> str:
    """ISO 8601 of the local start.  EDF's two digits of a year lie between 1985 and 2084; EDF+ has four beside."""
    found = re.fullmatch(rb"(\d\d)[.:/-](\d\d)[.:/-](\d\d)(\d\d)[.:](\d\d)[.:](\d\d)", head[168:184])
    if not found:
        return ""
    day, month, year, *clock = (int(part) for part in found.groups())
    iso = _day(start) or f"{year + (1900 if year >= 85 else 2000):04}-{month:02}-{day:02}"
    try:
        return datetime.fromisoformat(iso + "T" + ":".join(f"{part:02}" for part in clock)).isoformat()
    except ValueError:
        return ""


def _filters(signals: Sequence[_Signal]) -> Filters:
    """``HP:0.1Hz LP:75Hz N:50Hz`` of the first ECG lead, or of the first signal."""
    chosen = next((signal for signal in signals if is_heart(signal.name)), signals[0])
    found = {
        m[1].upper(): float(m[2]) for m in re.finditer(r"\b(HP|LP|N):\s?(\d{1,6}(?:\.\d{1,6})?) ?Hz", chosen.prefilter)
    }
    return Filters(*(found.get(key) or None for key in ("HP", "LP", "N")))


# ---- what a reader should know ----

_NOT_CLOSED: Final = Reason(
    "not_closed",
    zh="记录未正常结束（数据块数为 -1），按实有数据读取，末尾可能缺失。",
    en="The recording was not closed (it declares -1 records); what it holds was read, and its end may be missing.",
)
_GAPS: Final = Reason(
    "gaps",
    zh="记录不连续，中断处留空。",
    en="The recording is not continuous; what lies between its parts is left empty.",
)


def _held_issue(signals: Sequence[_Signal]) -> Reason:
    names = ", ".join(signal.name for signal in signals)
    return Reason(
        "held",
        zh=f"信号 {names} 采样率较低，每个值保持到下一个值。",
        en=f"{names} was sampled more slowly; each value is held until the next.",
    )


def _left_out_issue(signals: Sequence[_Signal], *, is_lead: bool) -> Reason:
    names = ", ".join(signal.name for signal in signals[:20])
    return Reason(
        "lead_left_out" if is_lead else "channel_left_out",
        zh=f"通道 {names} 不以伏计或采样率不同，未显示，保留在原文件中。",
        en=f"{names}: no voltage, or another sampling frequency; not shown, kept in the original file.",
    )
