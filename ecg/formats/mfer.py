"""MFER, the medical waveform format encoding rules (ISO 22077-1, with the lead codes of parts 2 and 3) -> EcgSignal.

A file is a row of definitions, each a tag, a length and a value; waveform data are laid out as the definitions before
them say: sequences, in each the channels, in each a block of samples.  Written by the published text alone: no file of
a device was at hand, and what is read says so.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import IntEnum
from typing import Final

import numpy as np
import numpy.typing as npt

from center.reads import Reason
from ecg.formats.kinds import left_out, not_an_ecg
from ecg.formats.lead_codes import LEAD_OF_NUMBER
from ecg.formats.leads import StoredLead, recording, unproven
from ecg.formats.text import decoded
from ecg.formats.trouble import EXPORT_AGAIN, unreadable
from ecg.signal import MAX_LEADS, MAX_SAMPLES, DeviceNote, EcgSignal, Filters

_MARK: Final = b"MFR "
_MAX_DEFINITIONS: Final = 100_000
_MAX_NOTES: Final = 500
_GROUP_END: Final = b"\x00\x00"


class Tag(IntEnum):
    """ISO 22077-1 annex; those that are not here are passed over."""

    BYTE_ORDER = 0x01
    CHARACTERS = 0x03
    BLOCK = 0x04
    CHANNELS = 0x05
    SEQUENCES = 0x06
    KIND = 0x08
    LEAD = 0x09
    TYPE = 0x0A
    INTERVAL = 0x0B
    SENSITIVITY = 0x0C
    OFFSET = 0x0D
    COMPRESSION = 0x0E
    FILTER = 0x11
    NULL = 0x12
    NOTE = 0x16
    MAKER = 0x17
    WAVEFORM = 0x1E
    CHANNEL = 0x3F
    PREAMBLE = 0x40
    VALUE = 0x42
    SKEW = 0x43
    GROUP = 0x67
    END = 0x80
    NAME = 0x81
    PATIENT_ID = 0x82
    AGE = 0x83
    SEX = 0x84
    TIME = 0x85


_TYPES: Final = {0: "i2", 1: "u2", 2: "i4", 3: "u1", 5: "i1", 6: "u4", 7: "f4", 8: "f8"}
_STATUS: Final = 4
_VOLT: Final = 0
_HERTZ, _SECOND = 0, 1
_DOMINANT_BEAT: Final = 9
_HEART_KINDS: Final = frozenset((1, 2, 3, 4, 9))
_ANY_KINDS: Final = frozenset((0, 20, 21))
"""Not said, and monitors' recordings of all sorts: here a channel is a lead by its code or its words alone."""
_OTHER_KINDS: Final = {
    **{5: "intracardiac ECG", 6: "body surface map", 7: "late potentials", 8: "late potential map"},
    **{25: "power spectrum", 26: "trend", 30: "sound", 31: "pulse wave"},
    **{40: "EEG", 41: "evoked potential", 42: "EEG frequencies", 43: "long-term EEG"},
}
_OTHER_LEADS: Final = {65: "-aVR", 70: "D", 71: "A", 72: "J"}


@dataclass(frozen=True, slots=True)
class _Channel:
    """What the definitions say of one channel; None: nothing yet.  null, offset: as stored, of the channel's type."""

    block: int | None = None
    sequences: int | None = None
    lead: int = 0
    lead_text: str = ""
    type: int = 0
    interval_s: float | None = None
    scale: tuple[int, float] | None = None
    offset: bytes = b""
    null: bytes = b""


@dataclass(slots=True)
class _State:
    """The definitions in force as the file is walked; ``parent`` holds for channels that don't say otherwise."""

    file: str
    order: str = ">"
    characters: str = "ascii"
    channels: int = 1
    kind: int = 0
    parent: _Channel = field(default_factory=_Channel)
    children: dict[int, dict[str, object]] = field(default_factory=dict)
    frames: list[_Frame] = field(default_factory=list)
    header: dict[str, str] = field(default_factory=dict)
    age_years: float | None = None
    filters: Filters = field(default_factory=Filters)
    notes: list[DeviceNote] = field(default_factory=list)
    definitions: int = 0

    def channel(self, n: int) -> _Channel:
        """What holds for channel n.  A lead code of the parent is the first channel's alone."""
        own = self.children.get(n, {})
        base = self.parent if n == 0 else replace(self.parent, lead=0, lead_text="")
        return replace(base, **own)  # pyright: ignore[reportArgumentType] - keys are those of _Channel

    def whole(self, value: bytes) -> int:
        return int.from_bytes(value, "big" if self.order == ">" else "little")

    def signed(self, value: bytes) -> int:
        return int.from_bytes(value, "big" if self.order == ">" else "little", signed=True)


@dataclass(frozen=True, slots=True)
class _Frame:
    """Waveform data with what held for them: one array of stored values a channel."""

    kind: int
    order: str
    channels: tuple[_Channel, ...]
    values: tuple[npt.NDArray[np.generic], ...]


def looks_like_mfer(content: bytes) -> bool:
    """Whether these bytes begin with MFER's preamble."""
    return content[:1] == bytes([Tag.PREAMBLE]) and content[2:6] == _MARK


def read_mfer(content: bytes, file: str = "ECG") -> EcgSignal:
    """The recording: its rhythm, else the dominant beat that the device made of it.  Raises Unreadable."""
    state = _State(file)
    ended = _walk(state, memoryview(content), 0, len(content), None)
    if not ended and not _is_whole(state):
        raise _bad(file, "the definition of its end (80)", len(content))
    frames = [frame for frame in state.frames if frame.kind != _DOMINANT_BEAT] or state.frames
    if not frames:
        raise unreadable(file, "不含波形数据", "holds no waveform", expected="MWF_WAV (1E)")
    same = [frame for frame in frames if frame.channels == frames[0].channels and frame.kind == frames[0].kind]
    if len(same) != len(frames):
        raise unreadable(
            file,
            "的各段波形定义不同，尚不支持",
            "changes its channels between parts of the waveform, which is not yet readable here",
            expected="one definition for all parts",
        )
    kind = frames[0].kind
    has_leads = kind in _HEART_KINDS | _ANY_KINDS
    leads, fs_hz, others = _leads(frames, file, has_leads=has_leads)
    issues: tuple[Reason, ...] = (unproven("MFER"), *others)
    issues += () if has_leads else (not_an_ecg(_OTHER_KINDS.get(kind, f"MFER {kind}")),)
    return recording(
        file,
        leads,
        fs_hz,
        filters=state.filters,
        age_years=state.age_years,
        annotations=tuple(state.notes[:_MAX_NOTES]),
        source_format="MFER",
        is_ecg_by_type=kind in _HEART_KINDS,
        issues=issues,
        **state.header,
    )


def _is_whole(state: _State) -> bool:
    """Whether a file that does not mark its end is surely all there: one waveform, with its sequences declared."""
    return len(state.frames) == 1 and all(channel.sequences for channel in state.frames[0].channels)


# ---- definitions ----


def _walk(state: _State, content: memoryview, at: int, end: int, channel: int | None) -> bool:
    """The definitions from ``at`` on, taken in.  True where the file's end is among them.  Raises Unreadable."""
    for tag, number, start, stop in _definitions(state, content, at, end):
        value = content[start:stop]
        if tag == Tag.END:
            return True
        if tag == Tag.CHANNEL:
            if channel is not None or number is None or number >= state.channels:
                raise _bad(state.file, f"channels below {state.channels}", start)
            _walk(state, content, start, stop, number)
        elif tag == Tag.GROUP:
            _walk(state, content, start, stop, channel)
        elif tag == Tag.WAVEFORM:
            state.frames.append(_frame(state, value))
        else:
            _define(state, tag, bytes(value[:4096]), channel)
    return False


def _definitions(state: _State, content: memoryview, at: int, end: int) -> Iterator[tuple[int, int | None, int, int]]:
    """(tag, channel or None, where the value begins and ends) of each definition."""
    while at < end:
        state.definitions += 1
        begin, tag = at, content[at]
        at += 1
        if tag == 0:  # filling
            continue
        if tag == Tag.END:
            yield tag, None, at, at
            return
        number = None
        if tag == Tag.CHANNEL:
            number, at = _channel_number(state, content, at, end)
        length, at = _length(state, content, at, end)
        stop = at + length if length is not None else _group_end(state, content, at, end)
        if stop > end or state.definitions > _MAX_DEFINITIONS:
            raise _bad(state.file, f"{length} bytes for tag {tag:02X}", begin)
        yield tag, number, at, stop
        at = stop + (len(_GROUP_END) if length is None else 0)


def _channel_number(state: _State, content: memoryview, at: int, end: int) -> tuple[int, int]:
    """Seven bits a byte, the highest set where another follows."""
    number = 0
    for n in range(at, min(end, at + 3)):
        number = number << 7 | content[n] & 0x7F
        if not content[n] & 0x80:
            return number, n + 1
    raise _bad(state.file, "a channel number", at)


def _length(state: _State, content: memoryview, at: int, end: int) -> tuple[int | None, int]:
    """One byte, or with its highest bit set the number of bytes that hold it; None: up to two zero bytes."""
    if at >= end:
        raise _bad(state.file, "a length", at)
    first = content[at]
    count = first & 0x7F
    if first < 0x80:
        return first, at + 1
    if count > 4 or at + 1 + count > end:
        raise _bad(state.file, "a length of at most 4 bytes", at)
    return (int.from_bytes(content[at + 1 : at + 1 + count], "big") if count else None), at + 1 + count


def _group_end(state: _State, content: memoryview, at: int, end: int) -> int:
    """Where a value of open length ends: at two zero bytes between its definitions."""
    while at + 1 < end:
        state.definitions += 1
        if bytes(content[at : at + 2]) == _GROUP_END:
            return at
        tag = content[at]
        at += 1
        if tag == Tag.CHANNEL:
            _, at = _channel_number(state, content, at, end)
        length, at = _length(state, content, at, end) if tag else (0, at)
        if length is None or state.definitions > _MAX_DEFINITIONS:
            raise _bad(state.file, "one open group inside another is not accepted", at)
        at += length
    raise _bad(state.file, "the end of an open group", at)


def _define(state: _State, tag: int, value: bytes, channel: int | None) -> None:
    if tag == Tag.BYTE_ORDER:
        state.order = "<" if value[:1] == b"\x01" else ">"
    elif tag == Tag.CHANNELS and channel is None:
        state.channels = state.whole(value[:4]) if value else 1
        state.children = {}
        if not 0 < state.channels <= MAX_LEADS:
            raise unreadable(
                state.file,
                f"声明了 {state.channels} 个通道，只接受 1 到 {MAX_LEADS} 个",
                f"declares {state.channels} channels; 1 to {MAX_LEADS} are accepted",
                expected=f"1..{MAX_LEADS} channels",
            )
    elif tag == Tag.KIND and channel is None:
        state.kind = state.whole(value[:2])
    elif tag == Tag.COMPRESSION and state.whole(value[:2]):
        raise unreadable(state.file, "使用压缩，尚不支持", "is compressed, which is not yet readable here")
    elif tag == Tag.SKEW and any(value):
        state.notes.append(DeviceNote("MFER sampling skew", float(state.whole(value)), "ns"))
    elif (found := _of_channel(state, tag, value)) is not None:
        if channel is None:
            state.parent = replace(state.parent, **found)  # pyright: ignore[reportArgumentType] - keys of _Channel
        else:
            state.children.setdefault(channel, {}).update(found)
    else:
        _describe(state, tag, value)


def _of_channel(state: _State, tag: int, value: bytes) -> dict[str, object] | None:
    """What this definition says of a channel, None where it's no definition of a channel."""
    if tag in (Tag.BLOCK, Tag.SEQUENCES):
        name = "block" if tag == Tag.BLOCK else "sequences"
        return {name: state.whole(value[:4]) if value else None}
    if tag == Tag.LEAD:
        return {"lead": state.whole(value[:2]), "lead_text": decoded(value[2:], state.characters)}
    if tag == Tag.TYPE:
        return {"type": value[0] if value else 0}
    if tag in (Tag.INTERVAL, Tag.SENSITIVITY):
        return _scaled(state, tag, value)
    if tag == Tag.OFFSET:
        return {"offset": value}
    return {"null": value} if tag == Tag.NULL else None


def _scaled(state: _State, tag: int, value: bytes) -> dict[str, object]:
    """Unit, power of ten, number: the sampling interval (or rate) and the value of one count."""
    if not value:
        return {"interval_s" if tag == Tag.INTERVAL else "scale": None}
    number = state.signed(value[2:6])
    power = int.from_bytes(value[1:2], "big", signed=True)
    if tag == Tag.SENSITIVITY and number <= 0 and len(value) >= 3:
        return {"scale": (value[0], 0.0)}  # this channel is left out, not the recording
    if len(value) < 3 or number <= 0 or abs(power) > 30:
        raise _bad(state.file, "unit, power of ten and a number above 0", 0)
    amount = number * 10.0**power
    if tag == Tag.SENSITIVITY:
        return {"scale": (value[0], amount)}
    if value[0] not in (_HERTZ, _SECOND):
        raise _bad(state.file, "a sampling interval in s or Hz", 0)
    return {"interval_s": amount if value[0] == _SECOND else 1 / amount}


# ---- waveform ----


def _frame(state: _State, value: memoryview) -> _Frame:
    """The samples of each channel: for each sequence, for each channel, a block."""
    channels = tuple(state.channel(n) for n in range(state.channels))
    if any(channel.type not in _TYPES and channel.type != _STATUS for channel in channels):
        raise unreadable(
            state.file,
            "使用的数据类型尚不支持",
            "uses a data type that is not yet readable here",
            expected="MWF_DTP 0-8",
        )
    parts: list[tuple[str, str, tuple[int, ...]]] = []
    for n, channel in enumerate(channels):
        block = 1 if channel.block is None else channel.block
        if not 0 < block <= MAX_SAMPLES:
            raise _bad(state.file, "blocks of 1 sample or more", 0)
        parts.append((f"c{n}", state.order + _TYPES.get(channel.type, "u2"), (block,)))
    size = sum(np.dtype(kind).itemsize * shape[0] for _, kind, shape in parts)
    declared = {channel.sequences for channel in channels}
    count = len(value) // size
    wanted = declared.pop() if len(declared) == 1 else -1
    if not count or count * size != len(value) or wanted not in (None, count):
        raise unreadable(
            state.file,
            f"的波形数据长度不符：每组 {size} 字节、声明 {wanted} 组，实有 {len(value)} 字节",
            f"has waveform data of the wrong length: sequences of {size} bytes, {wanted} of them declared, "
            f"{len(value)} bytes found",
            todo=EXPORT_AGAIN,
            expected="whole sequences",
        )
    rows = np.frombuffer(value, dtype=np.dtype(parts), count=count)
    return _Frame(state.kind, state.order, channels, tuple(rows[name].reshape(-1) for name, _, _ in parts))


def _leads(frames: list[_Frame], file: str, *, has_leads: bool) -> tuple[list[StoredLead], float, tuple[Reason, ...]]:
    """has_leads: lead codes mean an ECG's leads; elsewhere the same numbers are an EEG's electrodes."""
    if sum(values.size for frame in frames for values in frame.values) > MAX_SAMPLES:
        raise unreadable(file, "的样本过多", "has too many samples", expected=f"at most {MAX_SAMPLES} samples")
    leads: list[tuple[float, StoredLead]] = []
    unscaled: list[str] = []
    for n, channel in enumerate(frames[0].channels):
        if channel.type == _STATUS or (channel.scale is not None and channel.scale[0] != _VOLT):
            continue  # beat marks, pressures
        coded = LEAD_OF_NUMBER.get(channel.lead) or _OTHER_LEADS.get(channel.lead) if has_leads else None
        name = coded or channel.lead_text or f"{'lead' if has_leads else 'channel'} {n + 1}"
        if channel.interval_s is None or channel.scale is None or not 0 < channel.scale[1] * 1e3 < 1e6:
            unscaled.append(name)
            continue
        stored = np.concatenate([frame.values[n] for frame in frames])
        step_mv = channel.scale[1] * 1e3
        offset, null = (_stored_value(raw, stored.dtype) for raw in (channel.offset, channel.null))
        mv = (stored.astype(np.float64) + (offset or 0.0)) * step_mv
        mv[~np.isfinite(mv)] = np.nan
        if null is not None:
            mv[stored == null] = np.nan
        leads.append((round(1 / channel.interval_s, 6), StoredLead(name, mv, step_mv)))
    if unscaled and not leads:
        raise unreadable(
            file,
            f"没有给出通道 {', '.join(unscaled[:8])} 的采样间隔或灵敏度",
            f"gives no sampling interval or no sensitivity for channel {', '.join(unscaled[:8])}",
            expected="MWF_IVL (0B) and MWF_SEN (0C)",
        )
    if len({rate for rate, _ in leads}) != 1:
        raise unreadable(
            file,
            "没有以伏计的通道，或各通道采样率不同，尚不支持",
            "has no channel in volts, or channels of different rates, which is not yet readable here",
            expected="one sampling interval",
        )
    issues = left_out(unscaled, "没有采样间隔或灵敏度", "no sampling interval or no sensitivity")
    return [lead for _, lead in leads], leads[0][0], issues


def _stored_value(raw: bytes, dtype: np.dtype[np.generic]) -> float | None:
    """A value of the samples' own type, None where there is none."""
    if len(raw) != dtype.itemsize:
        return None
    value = float(np.frombuffer(raw, dtype=dtype)[0])
    return value if np.isfinite(value) else None


# ---- what is known of it ----


def _describe(state: _State, tag: int, value: bytes) -> None:
    text = decoded(value, state.characters) if tag not in (Tag.AGE, Tag.SEX, Tag.TIME) else ""
    if tag == Tag.CHARACTERS:
        state.characters = _codec(text)
    elif tag == Tag.NAME:
        state.header["patient_name"] = text
    elif tag == Tag.PATIENT_ID:
        state.header["patient_id"] = text.split("^")[0]
    elif tag == Tag.MAKER:
        state.header["device"] = " ".join(part for part in text.split("^")[:2] if part)[:64]
    elif tag == Tag.SEX:
        state.header["sex"] = {1: "M", 2: "F"}.get(value[0] if value else 0, "")
    elif tag == Tag.AGE:
        _take_age(state, value)
    elif tag == Tag.TIME and len(value) >= 7:
        state.header["recorded_at"] = _instant(state, value)
    elif tag == Tag.FILTER:
        _take_filter(state, text)
    elif tag == Tag.NOTE and text and len(state.notes) < _MAX_NOTES:
        state.notes.append(DeviceNote(text))
    elif tag == Tag.VALUE and len(value) > 6 and len(state.notes) < _MAX_NOTES:
        state.notes.append(DeviceNote(f"MFER {state.whole(value[:2])}: {decoded(value[6:], state.characters)}"))


def _codec(name: str) -> str:
    folded = name.casefold()
    if "utf" in folded or "unicode" in folded:
        return "utf-8"
    if "2022" in folded or "0208" in folded:
        return "iso2022_jp"
    if "jis" in folded:
        return "shift_jis"
    return "latin-1" if "8859" in folded else "ascii"


def _take_age(state: _State, value: bytes) -> None:
    """Years, days over them, and the birth date."""
    if value and (value[0] or any(value[1:3])):
        days = state.whole(value[1:3]) if len(value) >= 3 else 0
        state.age_years = round(value[0] + min(days, 366) / 365.25, 3)
    if len(value) >= 7:
        try:
            born = datetime(state.whole(value[3:5]), value[5], value[6])  # noqa: DTZ001 - a day
        except ValueError:
            return
        state.header["birth_date"] = born.strftime("%Y%m%d")


def _instant(state: _State, value: bytes) -> str:
    try:
        return datetime(state.whole(value[:2]), value[2], value[3], value[4], value[5], value[6]).isoformat()  # noqa: DTZ001
    except ValueError:
        return ""


def _take_filter(state: _State, text: str) -> None:
    """``HPF=0.05``, ``LPF=150``, ``BEF=50^Hum filter``."""
    found = re.match(r"(HPF|LPF|BEF)=\s*(\d{1,6}(?:\.\d{1,6})?)", text, re.IGNORECASE)
    if found and float(found[2]) > 0:
        name = {"HPF": "high_pass_hz", "LPF": "low_pass_hz", "BEF": "notch_hz"}[found[1].upper()]
        state.filters = replace(state.filters, **{name: float(found[2])})


def _bad(file: str, expected: str, at: int) -> Exception:
    return unreadable(
        file,
        "的 MFER 内容有误或不完整",
        "has MFER content that is wrong or incomplete",
        todo=EXPORT_AGAIN,
        expected=expected,
        at_byte=at,
    )
