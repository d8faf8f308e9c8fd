"""WFDB recordings read block by block: headers now, of the signal files only what a block needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from center.reads import Reason
from ecg.formats.long_signal import Block, Buffer, LongSignal, checked_length
from ecg.formats.trouble import EXPORT_AGAIN, unreadable
from ecg.formats.wfdb import (
    MV_PER_UNIT,
    PACKINGS,
    Header,
    Lead,
    SignalLine,
    as_signal,
    averaged_issue,
    base_name,
    find_file,
    parse_header,
    read_wfdb,
    uncalibrated_issue,
)
from ecg.signal import MAX_LEADS, EcgSignal, distinct

_CHUNK: Final = 1 << 19
"""Samples of all leads that are unpacked at once."""


def open_wfdb(header_file: str, files: Mapping[str, Buffer]) -> LongSignal:
    """The recording that ``files[header_file]`` describes, as ``read_wfdb`` reads it; checksums are not compared.

    Format 8 holds differences only and is read whole.  Raises Unreadable.
    """
    by_name = {base_name(name): content for name, content in files.items()}
    header = parse_header(header_file, bytes(files[header_file]))
    segments = _segments(header, by_name)
    if any(signal.format == "8" for part in segments if part for signal in part.header.signals):
        return _held(read_wfdb(header_file, {name: bytes(content) for name, content in files.items()}))
    names = list(dict.fromkeys(name for part in segments if part for name in part.names))
    if not names or len(names) > MAX_LEADS:
        raise unreadable(header.file, "没有可读的导联", "has no readable lead", expected=f"1..{MAX_LEADS} leads")
    lengths = [samples for _, samples in header.segments] or [part.length for part in segments if part]
    starts = np.concatenate([[0], np.cumsum(lengths)])
    length = checked_length(header.file, int(starts[-1]), header.fs_hz)
    leads = [_head_lead(name, [part for part in segments if part]) for name in names]
    kept = [name for name, lead in zip(names, leads, strict=True) if lead.step_mv > 0]

    def block(start: int, stop: int) -> Block:
        out = np.full((len(kept), stop - start), np.nan)
        first = max(0, int(np.searchsorted(starts, start, side="right")) - 1)
        for n in range(first, min(len(segments), int(np.searchsorted(starts, stop, side="left")))):
            part, begin = segments[n], int(starts[n])
            low, high = max(start, begin), min(stop, int(starts[n + 1]))
            if part is not None and high > low:
                part.put(out[:, low - start : high - start], kept, low - begin, high - begin)
        return out

    return LongSignal(as_signal(header, leads), length, block)


def _held(signal: EcgSignal) -> LongSignal:
    head = replace(signal, samples=np.empty((len(signal.leads), 0)))
    return LongSignal(head, signal.samples.shape[1], lambda start, stop: signal.samples[:, start:stop].copy())


def _head_lead(name: str, parts: Sequence[_Part]) -> Lead:
    steps = [step for part in parts for lead, step in zip(part.names, part.steps_mv, strict=True) if lead == name]
    issues = dict.fromkeys(issue for part in parts for issue in part.issues if issue[0] == name)
    return Lead(name, np.empty(0), min(steps), tuple(issue for _, issue in issues))


def _segments(header: Header, files: Mapping[str, Buffer]) -> list[_Part | None]:
    """The parts in time; None: a gap, or the layout of a record whose leads change."""
    if not header.segments:
        return [_Part.of(header, files)]
    out: list[_Part | None] = []
    for name, samples in header.segments:
        if name == "~" or samples == 0:
            out.append(None)
            continue
        segment = parse_header(name + ".hea", bytes(find_file(header, name + ".hea", files)))
        if segment.segments or segment.samples not in (None, samples) or segment.fs_hz != header.fs_hz:
            raise unreadable(
                segment.file,
                f"与总头文件“{header.file}”不符（长度或采样率）",
                f'does not fit the master header "{header.file}" (length or frequency)',
            )
        names = [signal.lead for signal in segment.signals]
        if len(set(names)) != len(names):
            raise unreadable(header.file, "的某一段中导联名重复", "has a segment with the same lead name twice")
        out.append(_Part.of(replace(segment, samples=samples), files))
    return out


@dataclass(frozen=True, slots=True)
class _Part:
    """A header of one segment whose signal files are all there.  steps_mv: 0 for what is no voltage."""

    header: Header
    length: int
    names: tuple[str, ...]
    steps_mv: tuple[float, ...]
    issues: tuple[tuple[str, Reason], ...]
    unpack: tuple[Callable[[int, int], Block], ...]
    rows: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, header: Header, files: Mapping[str, Buffer]) -> _Part:
        unpack: list[Callable[[int, int], Block]] = []
        rows: list[tuple[int, ...]] = []
        lengths: set[int] = set()
        for file in dict.fromkeys(signal.file for signal in header.signals):
            group = [signal for signal in header.signals if signal.file == file]
            rows.append(tuple(n for n, signal in enumerate(header.signals) if signal.file == file))
            length, counts = _opened(header, group, files)
            unpack.append(counts)
            lengths.add(length)
        if len(lengths) != 1:
            raise unreadable(header.file, "的各信号文件长度不一致", "has signal files of different lengths")
        names = tuple(signal.lead for signal in header.signals)
        issues = [(s.lead, uncalibrated_issue(s.lead)) for s in header.signals if not s.calibrated]
        issues += [(s.lead, averaged_issue(s.lead)) for s in header.signals if s.per_frame > 1]
        steps = tuple(abs(MV_PER_UNIT.get(s.unit.casefold(), 0.0) / s.gain) for s in header.signals)
        return cls(header, lengths.pop(), distinct(names), steps, tuple(issues), tuple(unpack), tuple(rows))

    def put(self, out: Block, kept: Sequence[str], start: int, stop: int) -> None:
        """This part's samples start..stop into ``out`` [kept lead, sample]; leads that it lacks stay as they are."""
        for rows, unpack in zip(self.rows, self.unpack, strict=True):
            step = max(1, _CHUNK // max(1, sum(self.header.signals[n].per_frame for n in rows)))
            for low in range(start, stop, step):
                high = min(stop, low + step)
                mv = unpack(low, high)
                for n, values in zip(rows, mv, strict=True):
                    if self.names[n] in kept:
                        out[kept.index(self.names[n]), low - start : high - start] = values


def _opened(
    header: Header, group: Sequence[SignalLine], files: Mapping[str, Buffer]
) -> tuple[int, Callable[[int, int], Block]]:
    """Samples a lead of one signal file, and how a stretch of them is had: mV [signal of the file, sample]."""
    name, frame = group[0].file, sum(signal.per_frame for signal in group)
    if name == "~":
        if not header.samples:
            raise unreadable(header.file, "没有样本数", "does not say how many samples it has")
        return header.samples, lambda start, stop: np.full((len(group), stop - start), np.nan)
    packing = PACKINGS.get(group[0].format)
    if packing is None or any(s.format != group[0].format or s.offset != group[0].offset for s in group):
        raise unreadable(
            header.file,
            f"使用的存储格式 {group[0].format} 尚不支持",
            f"uses storage format {group[0].format}, which is not yet readable here",
            expected="format " + ", ".join(PACKINGS),
        )
    content, offset = find_file(header, name, files), group[0].offset
    size = max(0, len(content) - offset)
    length = header.samples or packing.samples_in(size) // frame
    if not length or size < packing.bytes_for(length * frame):
        raise unreadable(
            name,
            f"不完整：应有 {offset + packing.bytes_for(length * frame)} 字节，实有 {len(content)} 字节",
            f"is incomplete: {offset + packing.bytes_for(length * frame)} bytes expected, {len(content)} found",
            todo=EXPORT_AGAIN,
            expected=f"{offset + packing.bytes_for(length * frame)} bytes",
            at_byte=len(content),
        )
    if header.samples is None and size > packing.bytes_for(length * frame) + 3:
        raise unreadable(name, "在一个样本中间结束", "ends in the middle of a sample")

    def frames(start: int, stop: int) -> Block:
        """[sample, value of a frame] of samples start..stop; NaN for invalid counts."""
        first = start * frame // packing.block * packing.block
        low, high = offset + first // packing.block * packing.block_bytes, offset + packing.bytes_for(stop * frame)
        counts = packing.unpack(bytes(content[low:high]))[start * frame - first : stop * frame - first]
        values = counts.astype(np.float64)
        if packing.invalid is not None:
            values[counts == packing.invalid] = np.nan
        return values.reshape(stop - start, frame)

    def unpack(start: int, stop: int) -> Block:
        out = np.full((len(group), stop - start), np.nan)
        skews = {signal.skew for signal in group}
        for skew in skews:
            low, high = min(length, start + skew), min(length, stop + skew)
            values = frames(low, high) if high > low else np.empty((0, frame))
            column = 0
            for n, signal in enumerate(group):
                mine = values[:, column : column + signal.per_frame]
                column += signal.per_frame
                if signal.skew == skew:
                    per_unit = MV_PER_UNIT.get(signal.unit.casefold(), 0.0)
                    mv = (mine - signal.baseline) * (per_unit / signal.gain)
                    out[n, : high - low] = mv.mean(axis=1)
        return out

    return length, unpack
