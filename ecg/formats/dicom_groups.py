"""The multiplex groups of a DICOM waveform (PS3.3 C.10.9): each by itself, then all of them placed in time.

A 12-lead ECG may hold one to five groups (PS3.3 A.34.3): most carts that print 3x4 store four groups of three leads,
one after another, and a strip of one lead beside them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from center.reads import Reason
from ecg.formats.dicom_write import EMG, EOG, SCALP_EEG, SLEEP_EEG
from ecg.formats.kinds import IN_TURN, left_out
from ecg.formats.lead_codes import LEAD_OF_NUMBER
from ecg.formats.leads import check_rate
from ecg.formats.long_signal import Block
from ecg.formats.trouble import unreadable
from ecg.heart_leads import names_lead
from ecg.signal import MAX_LEADS, MAX_SAMPLES, Filters, canonical_lead, is_known_lead

KEPT: Final = {SCALP_EEG: "Routine Scalp EEG", EMG: "EMG", EOG: "EOG", SLEEP_EEG: "Sleep EEG"}
"""Signals that are kept and shown as they are."""
ECG_CLASSES: Final = "1.2.840.10008.5.1.4.1.1.9.1."
"""12-lead, general, ambulatory and 32-bit: their channels are leads unless they say otherwise."""
_GAP_S: Final = 0.2
"""A padding value that a living lead can also take counts as a gap from this length on (ours): no resting lead holds
one value for a fifth of a second, and one maker declares 0 as padding."""

_MV_PER_UNIT: Final = {"mv": 1.0, "millivolt": 1.0, "uv": 1e-3, "microvolt": 1e-3, "nv": 1e-6, "v": 1e3, "volt": 1e3}
_SAMPLE_TYPES: Final = {
    (8, "SB"): "i1",
    (8, "UB"): "u1",
    (16, "SS"): "i2",
    (16, "US"): "u2",
    (32, "SL"): "i4",
    (32, "UL"): "u4",
}
_STRIP_SHARE: Final = 0.1
"""Groups whose lengths add up to the longest one's within this were recorded under that strip, in turn (ours)."""
_MOST_APART_S: Final = 60.0
"""Groups that lie farther apart than this are no one tracing (ours)."""


@dataclass(frozen=True, slots=True)
class Channel:
    """A lead.  column: which of the group's channels; level_mv: of count 0."""

    name: str
    column: int
    per_count_mv: float
    level_mv: float


@dataclass(frozen=True, slots=True)
class Group:
    """One multiplex group whose channels are leads in millivolts.  frames: counts [sample, channel]."""

    fs_hz: float
    leads: tuple[Channel, ...]
    frames: npt.NDArray[Any]
    padding: int | None
    filters: Filters
    issues: tuple[Reason, ...]
    offset_s: float | None = None

    @property
    def length(self) -> int:
        return int(self.frames.shape[0])

    @property
    def seconds(self) -> float:
        return self.length / self.fs_hz

    def block(self, start: int, stop: int) -> Block:
        """mV [lead, stop - start]; NaN where there is no sample."""
        margin = int(np.ceil(_GAP_S * self.fs_hz)) if self.padding is not None else 0  # a gap may begin before
        low, high = max(0, start - margin), min(self.frames.shape[0], stop + margin)
        out = np.empty((len(self.leads), stop - start))
        for row, lead in zip(out, self.leads, strict=True):
            counts = self.frames[low:high, lead.column]
            np.multiply(counts[start - low : stop - low], lead.per_count_mv, out=row)
            row += lead.level_mv
            if self.padding is not None:
                row[_is_gap(counts, self.padding, self.fs_hz)[start - low : stop - low]] = np.nan
        return out


def group_of(item: Dataset, samples: npt.NDArray[np.uint8] | None, order: str, sop_class: str, file: str) -> Group:
    kept = sop_class in KEPT
    channels: Sequence[Dataset] = list(item.get("ChannelDefinitionSequence") or ())
    fs_hz = float(item.get("SamplingFrequency") or 0)
    if not 0 < len(channels) <= MAX_LEADS or not 0 < fs_hz <= 1e6:
        raise unreadable(
            file,
            f"的波形组有 {len(channels)} 个通道、采样率 {fs_hz:g} Hz，无法使用",
            f"has a waveform group of {len(channels)} channels at {fs_hz:g} Hz, which cannot be used",
            expected=f"1..{MAX_LEADS} channels, 0 < frequency <= 1000000 Hz",
        )
    frames = _frames(item, samples, len(channels), order, file)
    issues: list[Reason] = []
    declared = item.get("NumberOfWaveformChannels")
    if declared != len(channels):
        issues.append(_channel_count_issue(declared, len(channels)))
    leads: list[Channel] = []
    unscaled: list[str] = []
    for n, channel in enumerate(channels):
        name = _own_name(channel, n) if kept else _lead_name(channel, n)
        scaled = _scale_mv(channel, name)
        if scaled is None:
            unscaled.append(name)
        elif scaled[0] > 0:
            leads.append(Channel(name, n, *scaled))
        elif not kept and names_lead(name):
            issues += left_out([name], "不以毫伏计", "not in millivolts")
        else:
            issues.append(_not_voltage_issue(name))
    if unscaled and not leads:
        raise _no_scale(file, unscaled)
    issues += left_out(unscaled, "没有可用的灵敏度，无法换算为毫伏", "no usable sensitivity, so no millivolts")
    filters, differ = _filters(channels)
    issues += [_FILTERS_DIFFER] if differ else []
    is_other = not sop_class.startswith(ECG_CLASSES) or _has_other_source(channels)
    if not kept and is_other and not any(names_lead(lead.name) for lead in leads):
        leads = []  # a pressure in millivolts, but no lead of a heart
    if leads and not kept:
        check_rate(file, fs_hz)
    return Group(
        fs_hz=fs_hz,
        leads=tuple(leads),
        frames=frames,
        padding=_padding(item, frames.dtype),
        filters=filters,
        issues=tuple(issues),
        offset_s=_offset_s(item),
    )


def _offset_s(item: Dataset) -> float | None:
    """When the group begins against the others, s; None where it isn't said."""
    try:
        value = float(item.get("MultiplexGroupTimeOffset"))
    except (TypeError, ValueError):
        return None
    return value / 1000 if np.isfinite(value) and abs(value) < 1e9 else None


def _frames(
    item: Dataset, samples: npt.NDArray[np.uint8] | None, channels: int, order: str, file: str
) -> npt.NDArray[Any]:
    """The counts [sample, channel].  Their bytes decide, and must be what channels x samples ask for."""
    bits = int(item.get("WaveformBitsAllocated") or 0)
    kind = str(item.get("WaveformSampleInterpretation") or "")
    dtype = _SAMPLE_TYPES.get((bits, kind))
    if dtype is None or (bits == 8 and order == ">"):  # words of two samples, whose order nobody agrees on
        raise unreadable(
            file,
            f"的样本格式 {bits} 位 {kind or '未知'} 不支持",
            f"has samples of {bits} bits {kind or 'unknown'}, which is not supported",
            expected="8 SB/UB, 16 SS/US, 32 SL/UL",
        )
    count = int(item.get("NumberOfWaveformSamples") or 0)
    if samples is None:
        content = item.get("WaveformData") or b""
        if not isinstance(content, bytes):
            raise TypeError("waveform data")
        samples = np.frombuffer(content, dtype=np.uint8)
    need = count * channels * bits // 8
    if not count or not need <= samples.size <= need + need % 2:
        raise unreadable(
            file,
            f"的波形数据长度不符：{channels} 通道 x {count} 样本应为 {need} 字节，实有 {samples.size} 字节",
            f"has waveform data of the wrong length: {channels} channels x {count} samples make {need} bytes, "
            f"{samples.size} found",
            expected=f"{need} bytes",
        )
    return samples[:need].view(order + dtype).reshape(count, channels)


def _padding(item: Dataset, dtype: np.dtype[Any]) -> int | None:
    """The value that stands for "no sample", or None.  Stored in the samples' own type (PS3.3 C.10.9.1.7)."""
    raw = item.get("WaveformPaddingValue")
    if isinstance(raw, bytes) and len(raw) >= dtype.itemsize:
        return int(np.frombuffer(raw[: dtype.itemsize], dtype=dtype)[0])
    return None


def _is_gap(counts: npt.NDArray[Any], padding: int, fs_hz: float) -> npt.NDArray[np.bool_]:
    """Which samples are no samples.  At the type's limits each one; elsewhere only long runs (see ``_GAP_S``)."""
    equal = counts == padding
    limits = np.iinfo(counts.dtype)
    if padding in (limits.min, limits.max) or not equal.any():
        return equal
    edges = np.flatnonzero(np.diff(np.concatenate([[False], equal, [False]]).astype(np.int8)))
    gap = np.zeros(counts.size, dtype=np.bool_)
    for start, end in edges.reshape(-1, 2):
        if end - start >= _GAP_S * fs_hz:
            gap[start:end] = True
    return gap


def _scale_mv(channel: Dataset, name: str) -> tuple[float, float] | None:
    """mV a count and mV at count 0: sensitivity x correction, baseline (PS3.3 C.10.9.1.4.3).

    (0, 0): no voltage.  None: a voltage, or a lead, that gives no scale.
    """
    units = channel.get("ChannelSensitivityUnitsSequence")
    unit = str(units[0].get("CodeValue") or "") if units else ""
    per_unit = _MV_PER_UNIT.get(unit.casefold(), 0.0)
    if not units and (channel.get("ChannelSensitivity") is None or not names_lead(name)):
        return None if names_lead(name) else (0.0, 0.0)
    try:
        sensitivity = float(channel.get("ChannelSensitivity") or 0)
        factor = channel.get("ChannelSensitivityCorrectionFactor")
        scale = sensitivity * float(1 if factor is None else factor) * per_unit
        baseline = float(channel.get("ChannelBaseline") or 0) * per_unit
    except (TypeError, ValueError):
        return None
    if not (0 <= scale < 1e6 and abs(baseline) < 1e9) or (scale == 0 and per_unit):
        return None
    return scale, baseline if scale > 0 else 0.0


def _no_scale(file: str, names: Sequence[str]) -> Exception:
    told = ", ".join(names[:8])
    return unreadable(
        file,
        f"的导联 {told} 没有可用的灵敏度，无法换算为毫伏",
        f"gives no usable sensitivity for lead {told}, so it cannot be shown in millivolts",
        expected="(003A,0210) Channel Sensitivity",
    )


def _lead_name(channel: Dataset, n: int) -> str:
    """The lead of a channel: by MDC or SCPECG code, by its meaning, by its label; else ``channel n``."""
    label = text_of(channel, "ChannelLabel")
    sources = channel.get("ChannelSourceSequence")
    meaning = ""
    if sources:
        number = _lead_number(text_of(sources[0], "CodeValue"), text_of(sources[0], "CodingSchemeDesignator"))
        if number in LEAD_OF_NUMBER:
            return LEAD_OF_NUMBER[number]
        meaning = canonical_lead(text_of(sources[0], "CodeMeaning"))
    for name in (meaning, canonical_lead(label)):
        if is_known_lead(name):
            return name
    return label or meaning or f"channel {n + 1}"


def _own_name(channel: Dataset, n: int) -> str:
    """What the channel calls itself: an EEG's electrodes have numbers that are an ECG's leads elsewhere."""
    sources = channel.get("ChannelSourceSequence")
    label, meaning = text_of(channel, "ChannelLabel"), text_of(sources[0], "CodeMeaning") if sources else ""
    # A label has room for 16 characters, its meaning for 64.
    return (meaning if meaning.startswith(label) else label) or f"channel {n + 1}"


def _lead_number(code: str, scheme: str) -> int:
    """``2:61`` and ``131133`` in MDC, ``5.6.3-9-61`` in SCPECG: 61.  -1 for anything else."""
    if scheme.upper() == "SCPECG" and code.startswith("5.6.3-9-"):
        code = code.removeprefix("5.6.3-9-")
    elif scheme.upper() in ("MDC", "ISO/IEEE 11073"):
        code = code.removeprefix("2:")
        code = str(int(code) - 0x20000) if code.isascii() and code.isdigit() and int(code) > 0x20000 else code
    else:
        return -1
    return int(code) if code.isascii() and code.isdigit() and len(code) < 7 else -1


def _has_other_source(channels: Sequence[Dataset]) -> bool:
    """Whether the channels say that they come from something else than a lead we have no name for."""
    return any(c.get("ChannelSourceSequence") and not _is_unspecified(c) for c in channels)


def _is_unspecified(channel: Dataset) -> bool:
    source = channel.ChannelSourceSequence[0]
    return _lead_number(text_of(source, "CodeValue"), text_of(source, "CodingSchemeDesignator")) >= 0


def text_of(dataset: Dataset, keyword: str) -> str:
    value = dataset.get(keyword)
    return "" if value is None else str(value).strip(" \x00")


def _filters(channels: Sequence[Dataset]) -> tuple[Filters, bool]:
    """The commonest filters of the channels, and whether any channel differs."""
    found = [
        Filters(
            high_pass_hz=_frequency(channel, "FilterLowFrequency"),
            low_pass_hz=_frequency(channel, "FilterHighFrequency"),
            notch_hz=_frequency(channel, "NotchFilterFrequency"),
        )
        for channel in channels
    ]
    commonest = max(found, key=found.count)
    return commonest, any(filters != commonest for filters in found)


def _frequency(channel: Dataset, keyword: str) -> float | None:
    value = float(channel.get(keyword) or 0)
    return value if 0 < value < 1e6 else None


# ---- what a reader should know ----

_FILTERS_DIFFER: Final = Reason(
    "filters_differ",
    zh="各导联的滤波设置不同，显示的是最常见的一组。",
    en="The leads' filters differ; the commonest are shown.",
)


def _channel_count_issue(declared: object, found: int) -> Reason:
    return Reason(
        "channel_count",
        zh=f"文件声明 {declared} 个通道，实有 {found} 个，按实有读取。",
        en=f"The file declares {declared} channels and holds {found}; those it holds were read.",
    )


def _not_voltage_issue(name: str) -> Reason:
    return Reason(
        "not_a_voltage",
        zh=f"通道 {name} 不以毫伏计，未显示。",
        en=f"Channel {name} is not in millivolts and is left out.",
    )


_TIMES_UNKNOWN: Final = Reason(
    "group_times_unknown",
    zh="文件没有写明各组导联的时间，按组的先后顺序排列。",
    en="The file doesn't say when its groups of leads were recorded; they stand in their order.",
)
_RESAMPLED: Final = Reason(
    "resampled",
    zh="各组采样率不同，已换算到最高的采样率。",
    en="The groups' sampling frequencies differ; they are shown at the highest.",
)


def _not_read_issue(count: int) -> Reason:
    return Reason(
        "groups_not_read",
        zh=f"另有 {count} 组波形无法读取或无法按时间排列，没有解读，请看原文件。",
        en=f"{count} more group(s) of waveforms could not be read or placed in time and were not looked at; "
        "see the original file.",
    )


# ---- all groups, in time ----


@dataclass(frozen=True, slots=True)
class Placed:
    """Groups in one time: what a ``Group`` gives, with each lead where it was recorded and NaN elsewhere.

    parts: (group, its column of leads, at which sample it begins) of each lead, the part to be preferred first.
    """

    fs_hz: float
    length: int
    leads: tuple[Channel, ...]
    filters: Filters
    issues: tuple[Reason, ...]
    parts: tuple[tuple[tuple[Group, int, int], ...], ...]

    def block(self, start: int, stop: int) -> Block:
        """mV [lead, stop - start]; NaN where a lead was not recorded."""
        out = np.full((len(self.leads), stop - start), np.nan)
        held: dict[tuple[int, int], Block] = {}
        for row, parts in zip(out, self.parts, strict=True):
            for group, n, begin in parts:
                low, high = max(start, begin), min(stop, begin + round(group.seconds * self.fs_hz))
                if high <= low:
                    continue
                if (id(group), begin) not in held:  # its other leads come with it
                    held[id(group), begin] = _at_rate(group, self.fs_hz, low - begin, high - begin)
                values, there = held[id(group), begin][n], row[low - start : high - start]
                there[np.isnan(there)] = values[np.isnan(there)]
        return out


def placed_in_time(groups: Sequence[Group], broken: int, file: str) -> Group | Placed:
    """The groups as one recording; the longest alone where they make none.  broken: how many could not be used."""
    if len(groups) == 1:
        return _told(groups[0], broken)
    starts, issues = _starts(groups)
    fs_hz = max(group.fs_hz for group in groups)
    ends = [start + group.seconds for start, group in zip(starts, groups, strict=True)]
    names = list(dict.fromkeys(lead.name for group in groups for lead in group.leads))
    length = round(max(ends) * fs_hz)
    apart = max(ends) - sum(group.seconds for group in groups)
    if length * len(names) > MAX_SAMPLES or len(names) > MAX_LEADS or apart > _MOST_APART_S:
        longest = max(groups, key=lambda group: (group.seconds, len(group.leads)))
        return _told(longest, broken + len(groups) - 1)
    order = sorted(range(len(groups)), key=lambda n: -groups[n].seconds)  # a strip before the piece that it repeats
    parts: dict[str, list[tuple[Group, int, int]]] = {name: [] for name in names}
    for n in order:
        for column, lead in enumerate(groups[n].leads):
            parts[lead.name].append((groups[n], column, round(starts[n] * fs_hz)))
    first = [(group, column) for name in names for group, column, _ in parts[name][:1]]
    most = max(groups, key=lambda group: len(group.leads))
    issues += [_RESAMPLED] if any(group.fs_hz != fs_hz for group in groups) else []
    issues += [_not_read_issue(broken)] if broken else []
    return Placed(
        fs_hz=fs_hz,
        length=length,
        leads=tuple(group.leads[column] for group, column in first),
        filters=most.filters,
        issues=tuple(dict.fromkeys([*(issue for group in groups for issue in group.issues), *issues])),
        parts=tuple(tuple(parts[name]) for name in names),
    )


def _told(group: Group, left: int) -> Group:
    return replace(group, issues=(*group.issues, _not_read_issue(left))) if left else group


def _starts(groups: Sequence[Group]) -> tuple[list[float], list[Reason]]:
    """When each group begins, s from the first one's begin; and what to say of it."""
    offsets = [group.offset_s for group in groups]
    if all(offset is not None for offset in offsets):
        known = [offset for offset in offsets if offset is not None]
        starts = [offset - min(known) for offset in known]
        if len(set(starts)) == 1:
            return starts, []
        return starts, [IN_TURN]
    strip = max(range(len(groups)), key=lambda n: groups[n].seconds)
    others = [n for n in range(len(groups)) if n != strip]
    in_turn = sum(groups[n].seconds for n in others)
    is_strip = abs(in_turn - groups[strip].seconds) <= _STRIP_SHARE * groups[strip].seconds
    starts, at = [0.0] * len(groups), 0.0
    for n in others if is_strip and len(others) > 1 else range(len(groups)):
        starts[n] = at
        at += groups[n].seconds
    return starts, [IN_TURN, _TIMES_UNKNOWN]


def _at_rate(group: Group, fs_hz: float, start: int, stop: int) -> Block:
    """The group's leads at this rate, mV [lead, stop - start], samples of this rate from the group's begin."""
    if group.fs_hz == fs_hz:
        out = np.full((len(group.leads), stop - start), np.nan)
        end = min(stop, group.length)
        out[:, : end - start] = group.block(start, end)
        return out
    at = np.arange(start, stop) * (group.fs_hz / fs_hz)
    first, last = int(at[0]), min(group.length, int(at[-1]) + 2)
    values = group.block(first, last)
    near = np.clip(np.rint(at).astype(np.int64) - first, 0, last - first - 1)
    return np.stack([np.interp(at - first, np.arange(last - first), row) + 0 * row[near] for row in values])
