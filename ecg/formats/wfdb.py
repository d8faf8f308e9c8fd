"""WFDB (PhysioNet): a header (.hea) and its signal files, all given as bytes -> EcgSignal, and back.

By the format's own text, header(5) and signal(5) of the WFDB applications guide.  Read in memory: a header names its
signal files, and what it names is only ever looked up among the files that came with it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, TypeVar

import numpy as np
import numpy.typing as npt

from center.errors import Unreadable
from center.reads import Reason
from ecg.formats.kinds import left_out, no_lead_named
from ecg.formats.trouble import EXPORT_AGAIN, SEND_BOTH, unreadable
from ecg.heart_leads import heart_leads, names_lead
from ecg.signal import (
    MAX_LEADS,
    MAX_SAMPLES,
    DeviceNote,
    EcgSignal,
    canonical_lead,
    distinct,
    is_known_lead,
    limb_issue,
)

_MAX_HEADER_BYTES: Final = 1 << 20
_MAX_SEGMENTS: Final = 10_000
_MAX_NOTES: Final = 200
_PLAIN_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,199}")
_NUMBER: Final = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_RECORD_LINE: Final = re.compile(
    rf"(?P<name>[^\s/]{{1,200}})(?:/(?P<segments>\d{{1,6}}))?[ \t]+(?P<signals>\d{{1,6}})"
    rf"(?:[ \t]+(?P<fs>{_NUMBER})(?:/{_NUMBER}(?:\({_NUMBER}\))?)?(?!\S)(?:[ \t]+(?P<samples>\d{{1,12}})(?!\S))?)?"
    r"(?:[ \t]+(?P<tail>\S.{0,200}))?"
)
"""Behind the number of samples stand a time and a date, if anything; how they are written decides on nothing else."""
_TIMES_ONLY: Final = re.compile(r"[\d:.]{1,20}(?:[ \t]+\d{1,2}/\d{1,2}/\d{2,4})?")
_CLOCK: Final = re.compile(r"(?<![\d:])(\d{1,2}):(\d{2})(?::(\d{2})(?:\.\d{1,6})?)?(?![\d:])")
_DAYS: Final = (
    re.compile(r"(?<!\d)(?P<day>\d{1,2})/(?P<month>\d{1,2})/(?P<year>\d{4})(?!\d)"),
    re.compile(r"(?<!\d)(?P<year>\d{4})[-/.](?P<month>\d{1,2})[-/.](?P<day>\d{1,2})(?!\d)"),
    re.compile(r"(?<!\d)(?P<day>\d{1,2})[-. ](?P<month>[A-Za-z]{3})[a-z]*[-. ](?P<year>\d{4})(?!\d)"),
)
"""As header(5) has it, as ISO 8601 has it, and with the month as a word."""
_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_NAMED_SIGNAL: Final = re.compile(
    r"(?:~|\S*[A-Za-z]\S*)[ \t]+(?:8|16|24|32|61|80|160|212|310|311|508|516|524)(?=[x:+ \t]|$)"
)
"""A signal line by its file and by a format that signal(5) knows."""
_SIGNAL_LINE: Final = re.compile(
    r"(?P<file>\S+)[ \t]+(?P<format>\d{1,4})"
    r"(?:x(?P<per_frame>\d{1,5}))?(?::(?P<skew>\d{1,7}))?(?:\+(?P<offset>\d{1,10}))?"
    rf"(?:[ \t]+(?P<gain>{_NUMBER})(?:\((?P<baseline>[+-]?\d{{1,12}})\))?(?:/(?P<unit>\S+))?"
    r"(?:[ \t]+(?P<bits>\d{1,3})(?!\S))?(?:[ \t]+(?P<zero>[+-]?\d{1,12})(?!\S))?"
    r"(?:[ \t]+(?P<first>[+-]?\d{1,12})(?!\S))?(?:[ \t]+(?P<checksum>[+-]?\d{1,12})(?!\S))?"
    r"(?:[ \t]+(?P<block>\d{1,12})(?!\S))?(?:[ \t]+(?P<lead>[^\r\n]*))?)?"
    r"[ \t]*"
)
MV_PER_UNIT: Final = {"mv": 1.0, "uv": 1e-3, "µv": 1e-3, "μv": 1e-3, "v": 1e3, "nv": 1e-6}
_DEFAULT_GAIN: Final = 200.0  # header(5): 0 or missing means 200, and that nobody calibrated it
_DEFAULT_FS_HZ: Final = 250.0

Counts = npt.NDArray[np.int64]
_Content = TypeVar("_Content")


@dataclass(frozen=True, slots=True)
class SignalLine:
    """One signal line of a header."""

    file: str
    format: str
    per_frame: int
    skew: int
    offset: int
    gain: float
    baseline: int
    unit: str
    first: int | None
    checksum: int | None
    lead: str
    calibrated: bool


@dataclass(frozen=True, slots=True)
class Header:
    """A header of one segment (``signals``) or of several (``segments``: name, samples)."""

    file: str
    record: str
    fs_hz: float
    samples: int | None
    recorded_at: str
    signals: tuple[SignalLine, ...] = ()
    segments: tuple[tuple[str, int], ...] = ()
    comments: tuple[str, ...] = ()
    issues: tuple[Reason, ...] = ()


def looks_like_header(content: bytes) -> bool:
    """Whether these bytes begin as a WFDB header does: text, and a record line first."""
    head = content[:4096]
    if b"\x00" in head:
        return False
    lines = [line.strip() for line in head.decode("latin-1").splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    found = _RECORD_LINE.fullmatch(lines[0]) if lines else None
    if found is None:
        return False
    if found["fs"] is not None and (found["tail"] is None or _TIMES_ONLY.fullmatch(found["tail"])):
        return True
    if found["segments"] is not None:
        return True
    return len(lines) > 1 and _NAMED_SIGNAL.match(lines[1]) is not None  # a table of numbers names no file


def signal_files(header: bytes) -> frozenset[str]:
    """The names that a header gives to its signal files: whatever their bytes look like, they are no recordings."""
    lines = [
        line for line in header[:200_000].decode("latin-1").splitlines() if line.strip() and line.lstrip()[:1] != "#"
    ]
    return frozenset(base_name(line.split()[0]) for line in lines[1:])


def master_of(headers: Sequence[str], files: Mapping[str, bytes]) -> str:
    """The header that is read: the only one, or the only one that lists the others as its segments."""
    masters = [name for name in headers if re.match(rb"(?:\s*#[^\n]*\n)*\s*[^\s/#]+/\d+\s", files[name][:65536])]
    if len(headers) > 1 and len(masters) != 1:
        raise unreadable(headers[1], "是另一份心电图，须逐份上传", "is another ECG; recordings are sent one at a time")
    return headers[0] if len(headers) == 1 else masters[0]


def read_wfdb(header_file: str, files: Mapping[str, bytes]) -> EcgSignal:
    """The recording that ``files[header_file]`` describes.  Raises Unreadable.

    files: name -> content; folders in the names are ignored.  The whole recording is at most 64 leads and 50 million
    samples.  A checksum or first value that doesn't fit is an issue, a file that is too short is a refusal.
    """
    by_name = {base_name(name): content for name, content in files.items()}
    header = parse_header(header_file, files[header_file])
    if header.segments:
        leads = _read_segments(header, by_name)
    else:
        leads = _read_one(header, by_name)
    return as_signal(header, leads)


def write_wfdb(signal: EcgSignal, record: str) -> dict[str, bytes]:
    """``record.hea`` and ``record.dat`` (format 16): within one count of the source, 1 uV where that isn't known.

    NaN is written as WFDB's invalid sample.  A lead that does not fit 16 bits gets a coarser count.
    """
    if not _PLAIN_NAME.fullmatch(record) or "." in record:
        raise ValueError(f"not a WFDB record name: {record!r}")
    counts = np.empty(signal.samples.shape, dtype=np.int16)
    lines = [f"{record} {len(signal.leads)} {signal.fs_hz:.12g} {signal.samples.shape[1]}{_written_time(signal)}"]
    for row, (lead, values) in enumerate(zip(signal.leads, signal.samples, strict=True)):
        step = max(_step(signal, row), float(np.nanmax(np.abs(values), initial=0.0)) / 32767)
        gain = float(f"{1 / step:.9g}")
        counts[row] = np.where(np.isfinite(values), np.rint(np.nan_to_num(values) * gain), -32768)
        first = int(counts[row, 0]) if signal.samples.shape[1] else 0
        lines.append(f"{record}.dat 16 {gain:.9g}(0)/mV 16 0 {first} {_checksum(counts[row])} 0 {lead}")
    lines += [f"#<age>: {signal.age_years:.0f}"] if signal.age_years is not None else []
    lines += [f"#<sex>: {signal.sex}"] if signal.sex else []
    text = "".join(line + "\n" for line in lines)
    return {f"{record}.hea": text.encode("utf-8"), f"{record}.dat": counts.T.astype("<i2").tobytes()}


def _step(signal: EcgSignal, row: int) -> float:
    return signal.step_mv[row] if signal.step_mv and signal.step_mv[row] > 0 else 1e-3


def _written_time(signal: EcgSignal) -> str:
    if not signal.recorded_at:
        return ""
    at = datetime.fromisoformat(signal.recorded_at)
    return f" {at:%H:%M:%S} {at:%d/%m/%Y}"


# ---- header ----


def parse_header(file: str, content: bytes) -> Header:
    if len(content) > _MAX_HEADER_BYTES:
        raise unreadable(file, "作为 WFDB 头文件过大（上限 1 MB）", "is too large for a WFDB header (at most 1 MB)")
    text = _decoded(content)
    lines = text.splitlines()
    whole = text.endswith(("\n", "\r"))
    body = [(n, line.strip()) for n, line in enumerate(lines) if line.strip() and not line.lstrip().startswith("#")]
    comments = [line.lstrip()[1:].strip() for line in lines if line.lstrip().startswith("#")]
    if comments and not whole and lines[-1].lstrip().startswith("#"):
        comments.pop()  # it may be cut off in the middle of a word
    record = _RECORD_LINE.fullmatch(body[0][1]) if body else None
    if record is None:
        raise unreadable(
            file,
            "不是 WFDB 头文件：第一行应为“记录名 导联数 采样率 样本数”",
            "is not a WFDB header: its first line should read 'record signals frequency samples'",
            expected="record line",
            at_byte=0,
        )
    header = Header(
        file=file,
        record=record["name"],
        fs_hz=_positive(file, record["fs"], _DEFAULT_FS_HZ),
        samples=int(record["samples"]) if record["samples"] and int(record["samples"]) else None,
        recorded_at=_recorded_at(record["tail"] or ""),
        comments=tuple(comments),
        issues=(
            *(() if whole else (_NO_LAST_NEWLINE,)),
            *(() if _is_understood(record["tail"] or "") else (_TIME_UNKNOWN,)),
        ),
    )
    rows = [line for _, line in body[1:]]
    if record["segments"] is not None:
        return replace(header, segments=_segment_lines(header, int(record["segments"]), rows))
    return replace(header, signals=_signal_lines(header, int(record["signals"]), rows, whole))


def _segment_lines(header: Header, count: int, rows: Sequence[str]) -> tuple[tuple[str, int], ...]:
    if not 0 < count <= _MAX_SEGMENTS or len(rows) < count:
        raise _cut_header(header.file, count, len(rows), "段", "segments")
    out: list[tuple[str, int]] = []
    for row in rows[:count]:
        parts = row.split()
        if len(parts) != 2 or not parts[1].isdigit() or len(parts[1]) > 12:
            raise unreadable(
                header.file, "中有无法识别的分段行", "has a segment line that cannot be read", expected="name samples"
            )
        out.append((_plain(header.file, parts[0]) if parts[0] != "~" else "~", int(parts[1])))
    if _NO_LAST_NEWLINE in header.issues and header.samples != sum(samples for _, samples in out):
        raise _cut_header(header.file, count, len(rows), "段", "segments")
    return tuple(out)


def _signal_lines(header: Header, count: int, rows: Sequence[str], whole: bool) -> tuple[SignalLine, ...]:
    if not 0 < count <= MAX_LEADS:
        raise unreadable(
            header.file,
            f"声明了 {count} 个导联，只接受 1 到 {MAX_LEADS} 个",
            f"declares {count} leads; 1 to {MAX_LEADS} are accepted",
            expected=f"1..{MAX_LEADS} leads",
        )
    if len(rows) < count:
        raise _cut_header(header.file, count, len(rows), "导联", "leads")
    signals = tuple(_signal_line(header.file, n, row) for n, row in enumerate(rows[:count]))
    # Without its last newline a header may be cut in the middle of a number: take it only if nothing is open.
    if not whole and len(rows) == count:
        names = [s.lead for s in signals]
        if signals[-1].checksum is None or not is_known_lead(names[-1]) or len(set(names)) != len(names):
            raise _cut_header(header.file, count, count - 1, "导联", "leads")
    return signals


def _signal_line(file: str, n: int, row: str) -> SignalLine:
    found = _SIGNAL_LINE.fullmatch(row)
    if found is None:
        raise unreadable(
            file,
            f"第 {n + 1} 个导联行无法识别",
            f"has a line for lead {n + 1} that cannot be read",
            expected="file format gain(baseline)/unit bits zero first checksum block lead",
        )
    gain = float(found["gain"] or 0)
    calibrated = 1e-6 <= abs(gain) <= 1e12
    zero = int(found["zero"] or 0)
    return SignalLine(
        file=_plain(file, found["file"]) if found["file"] != "~" else "~",
        format=found["format"],
        per_frame=max(1, int(found["per_frame"] or 1)),
        skew=int(found["skew"] or 0),
        offset=int(found["offset"] or 0),
        gain=gain if calibrated else _DEFAULT_GAIN,
        baseline=int(found["baseline"]) if found["baseline"] is not None else zero,
        unit=found["unit"] or "mV",
        first=int(found["first"]) if found["first"] is not None else None,
        checksum=int(found["checksum"]) if found["checksum"] is not None else None,
        lead=canonical_lead(found["lead"] or "") or f"lead {n + 1}",
        calibrated=calibrated,
    )


def _plain(file: str, name: str) -> str:
    """The name, if it is one of a file beside the header; a path, a URL or a hidden file is refused."""
    if not _PLAIN_NAME.fullmatch(name) or ".." in name:
        raise unreadable(
            file,
            "引用的信号文件名不是普通文件名（不得含路径）",
            "names a signal file that is not a plain file name (no folders are allowed)",
            expected="a plain file name",
        )
    return name


def _positive(file: str, text: str | None, default: float) -> float:
    value = float(text) if text is not None else default
    if not 0 < value <= 1e6:
        raise unreadable(
            file, "的采样率不合理", "has an impossible sampling frequency", expected="0 < frequency <= 1000000 Hz"
        )
    return value


def _cut_header(file: str, wanted: int, found: int, zh: str, en: str) -> Unreadable:
    return unreadable(
        file,
        f"不完整：声明了 {wanted} 个{zh}，只找到 {found} 个完整的行",
        f"is incomplete: it declares {wanted} {en} and has {found} complete lines",
        todo=EXPORT_AGAIN,
        expected=f"{wanted} lines",
    )


def _recorded_at(tail: str) -> str:
    """ISO 8601 of the time and the date behind a record line, in any order; empty where there aren't both."""
    clock = _CLOCK.search(tail)
    day = next((found for pattern in _DAYS if (found := pattern.search(tail))), None)
    if clock is None or day is None:
        return ""
    month = day["month"] if day["month"].isdigit() else str(_month(day["month"]))
    hour, minute, second = (int(part or 0) for part in clock.groups())
    try:
        return datetime(int(day["year"]), int(month), int(day["day"]), hour, minute, second).isoformat()  # noqa: DTZ001 - no zone is written
    except ValueError:
        return ""


def _month(word: str) -> int:
    return _MONTHS.index(word.casefold()) + 1 if word.casefold() in _MONTHS else 0


def _is_understood(tail: str) -> bool:
    """Whether nothing is lost: no date at all, one of two digits' year (which could be any century's), or one read."""
    return not tail.strip() or _TIMES_ONLY.fullmatch(tail.strip()) is not None or _recorded_at(tail) != ""


# ---- samples ----


@dataclass(frozen=True, slots=True)
class Lead:
    """One lead, read: mV [sample], with NaN for invalid samples."""

    name: str
    values_mv: npt.NDArray[np.float64]
    step_mv: float
    issues: tuple[Reason, ...]


def _read_one(header: Header, files: Mapping[str, bytes]) -> list[Lead]:
    """The leads of a header with one segment."""
    _bounded(header.file, header.samples or 0, sum(s.per_frame for s in header.signals))
    out: list[Lead | None] = [None] * len(header.signals)
    for file in dict.fromkeys(s.file for s in header.signals):
        rows = [n for n, s in enumerate(header.signals) if s.file == file]
        group = [header.signals[n] for n in rows]
        for n, lead in zip(rows, _read_file(header, group, files), strict=True):
            out[n] = lead
    leads = [lead for lead in out if lead is not None]
    if len({lead.values_mv.size for lead in leads}) != 1:
        raise unreadable(header.file, "的各信号文件长度不一致", "has signal files of different lengths")
    return leads


def _read_file(header: Header, group: Sequence[SignalLine], files: Mapping[str, bytes]) -> list[Lead]:
    name = group[0].file
    if name == "~":
        empty = np.full(_bounded(header.file, header.samples or 0, len(group)), np.nan)
        return [Lead(s.lead, empty, 1 / abs(s.gain), ()) for s in group]
    content = find_file(header, name, files)
    packing = PACKINGS.get(group[0].format)
    if packing is None or any(s.format != group[0].format or s.offset != group[0].offset for s in group):
        raise unreadable(
            header.file,
            f"使用的存储格式 {group[0].format} 尚不支持",
            f"uses storage format {group[0].format}, which is not yet readable here",
            expected="format " + ", ".join(PACKINGS),
        )
    frame = sum(s.per_frame for s in group)
    body = content[group[0].offset :]
    samples = header.samples or packing.samples_in(len(body)) // frame
    total = _bounded(header.file, samples, frame)
    need = packing.bytes_for(total)
    if len(body) < need or not samples:
        raise unreadable(
            name,
            f"不完整：应有 {group[0].offset + need} 字节，实有 {len(content)} 字节",
            f"is incomplete: {group[0].offset + need} bytes expected, {len(content)} found",
            todo=EXPORT_AGAIN,
            expected=f"{group[0].offset + need} bytes",
            at_byte=len(content),
        )
    if header.samples is None and len(body) > need + 3:
        raise unreadable(name, "在一个样本中间结束", "ends in the middle of a sample", at_byte=group[0].offset + need)
    counts = packing.unpack(body[:need])[:total].reshape(samples, frame)
    out: list[Lead] = []
    column = 0
    for signal in group:
        out.append(_lead(signal, counts[:, column : column + signal.per_frame], packing.invalid))
        column += signal.per_frame
    return out


def _lead(signal: SignalLine, counts: Counts, invalid: int | None) -> Lead:
    """One lead in mV from its counts [frame, sample in frame].  More than one sample a frame: their mean."""
    issues: list[Reason] = []
    if signal.format == "8":
        counts = (signal.first or 0) + np.cumsum(counts.reshape(-1)).reshape(counts.shape)
    if signal.checksum is not None and signal.checksum & 0xFFFF != _checksum(counts) & 0xFFFF:
        issues.append(_checksum_issue(signal.lead))
    if not signal.calibrated:
        issues.append(uncalibrated_issue(signal.lead))
    if signal.per_frame > 1:
        issues.append(averaged_issue(signal.lead))
    per_unit = MV_PER_UNIT.get(signal.unit.casefold(), 0.0)
    values = (counts - signal.baseline) * (per_unit / signal.gain)
    if invalid is not None:
        values = np.where(counts == invalid, np.nan, values)
    flat = values.mean(axis=1)
    if signal.skew:
        flat = np.concatenate([flat[signal.skew :], np.full(min(signal.skew, flat.size), np.nan)])
    return Lead(signal.lead, flat, abs(per_unit / signal.gain), tuple(issues))


def _read_segments(header: Header, files: Mapping[str, bytes]) -> list[Lead]:
    """The leads of a header of several segments, one after another; a lead that a segment lacks is NaN there."""
    parts: list[tuple[int, list[Lead]]] = []
    for name, samples in header.segments:
        if name == "~" or samples == 0:  # a gap, or the layout segment of a variable layout
            parts.append((samples, []))
            continue
        segment = parse_header(name + ".hea", find_file(header, name + ".hea", files))
        if segment.segments or segment.samples not in (None, samples) or segment.fs_hz != header.fs_hz:
            raise unreadable(
                segment.file,
                f"与总头文件“{header.file}”不符（长度或采样率）",
                f'does not fit the master header "{header.file}" (length or frequency)',
            )
        parts.append((samples, _read_one(replace(segment, samples=samples), files)))
    if any(len({lead.name for lead in leads}) != len(leads) for _, leads in parts):
        raise unreadable(header.file, "的某一段中导联名重复", "has a segment with the same lead name twice")
    names = list(dict.fromkeys(lead.name for _, leads in parts for lead in leads))
    total = _bounded(header.file, sum(samples for samples, _ in parts), max(1, len(names))) // max(1, len(names))
    if not names or len(names) > MAX_LEADS:
        raise unreadable(header.file, "的各段都没有可读的导联", "has no readable lead in any segment")
    return [_joined(name, parts, total) for name in names]


def _joined(name: str, parts: Sequence[tuple[int, list[Lead]]], total: int) -> Lead:
    values = np.full(total, np.nan)
    steps: list[float] = []
    issues: list[Reason] = []
    at = 0
    for samples, leads in parts:
        for lead in leads:
            if lead.name == name:
                values[at : at + samples] = lead.values_mv
                steps.append(lead.step_mv)
                issues += [issue for issue in lead.issues if issue not in issues]
        at += samples
    return Lead(name, values, min(steps), tuple(issues))


def as_signal(header: Header, leads: Sequence[Lead]) -> EcgSignal:
    """The recording of these leads.  Raises Unreadable where none is a voltage."""
    kept = [lead for lead in leads if lead.step_mv > 0]
    if not kept:
        raise unreadable(
            header.file, "中没有以毫伏计的导联", "holds no lead in millivolts", expected="mV, uV or V in a signal line"
        )
    issues = [*header.issues, *(issue for lead in kept for issue in lead.issues)]
    others = [lead.name for lead in leads if lead.step_mv <= 0]
    issues += left_out([name for name in others if names_lead(name)], "不以毫伏计", "not in millivolts")
    issues += [_not_voltage_issue(name) for name in others if not names_lead(name)]
    age, sex, notes = _from_comments(header.comments)
    signal = EcgSignal(
        leads=distinct(lead.name for lead in kept),
        samples=np.stack([lead.values_mv for lead in kept]),
        fs_hz=header.fs_hz,
        step_mv=tuple(lead.step_mv for lead in kept),
        sex=sex,
        age_years=age,
        recorded_at=header.recorded_at,
        annotations=notes,
        source_format="WFDB",
    )
    if not heart_leads(signal):
        issues.append(no_lead_named(signal.leads))
    return replace(signal, issues=(*issues, *limb_issue(signal)))


def _from_comments(comments: Iterable[str]) -> tuple[float | None, str, tuple[DeviceNote, ...]]:
    """Age in years, sex (M, F or empty) and the other lines, from ``<age>: 51``, ``Age: 51`` or ``51 F ...``."""
    age: float | None = None
    sex = ""
    notes: list[DeviceNote] = []
    for line in comments:
        found = re.fullmatch(r"<?(age|sex|gender)>?\s*[:=]?\s*(\d{1,3}|[A-Za-z]+)\s*", line, re.IGNORECASE)
        bare = re.match(r"(\d{1,3}|-1)\s+([MF])\b", line)
        if found and found[1].casefold() == "age" and found[2].isdigit():
            age = float(found[2])
        elif found and found[1].casefold() != "age":
            sex = {"m": "M", "f": "F"}.get(found[2][:1].casefold(), "")
        elif bare and age is None and not sex:
            age, sex = (float(bare[1]) if bare[1] != "-1" else None), bare[2]
        elif line and len(notes) < _MAX_NOTES:
            notes.append(DeviceNote(line[:1000]))
    return age, sex, tuple(notes)


# ---- packing: how counts lie in bytes, signal(5) ----


@dataclass(frozen=True, slots=True)
class Packing:
    """``block`` samples lie in ``block_bytes`` bytes; ``short`` says what an unfinished last block takes."""

    block: int
    block_bytes: int
    unpack: Callable[[bytes], Counts]
    invalid: int | None
    short: tuple[int, ...] = ()

    def bytes_for(self, samples: int) -> int:
        whole, rest = divmod(samples, self.block)
        return whole * self.block_bytes + (self.short[rest - 1] if rest else 0)

    def samples_in(self, size: int) -> int:
        whole, rest = divmod(size, self.block_bytes)
        return whole * self.block + sum(1 for need in self.short if rest >= need)


def _integers(dtype: str, shift: int = 0) -> Callable[[bytes], Counts]:
    return lambda body: np.frombuffer(body, dtype=dtype).astype(np.int64) - shift


def _padded(body: bytes, block_bytes: int) -> npt.NDArray[np.int64]:
    body = body + bytes(-len(body) % block_bytes)
    return np.frombuffer(body, dtype=np.uint8).astype(np.int64).reshape(-1, block_bytes)


def _signed(values: Counts, bits: int) -> Counts:
    return values - ((values >> (bits - 1)) << bits)


def _unpack_212(body: bytes) -> Counts:
    b = _padded(body, 3)
    pair = np.stack([b[:, 0] | ((b[:, 1] & 0x0F) << 8), b[:, 2] | ((b[:, 1] & 0xF0) << 4)], axis=1)
    return _signed(pair.reshape(-1), 12)


def _unpack_310(body: bytes) -> Counts:
    b = _padded(body, 4)
    low, high = b[:, 0] | (b[:, 1] << 8), b[:, 2] | (b[:, 3] << 8)
    third = ((low >> 11) & 0x1F) | (((high >> 11) & 0x1F) << 5)
    return _signed(np.stack([(low >> 1) & 0x3FF, (high >> 1) & 0x3FF, third], axis=1).reshape(-1), 10)


def _unpack_311(body: bytes) -> Counts:
    b = _padded(body, 4)
    word = b[:, 0] | (b[:, 1] << 8) | (b[:, 2] << 16) | (b[:, 3] << 24)
    return _signed(np.stack([word & 0x3FF, (word >> 10) & 0x3FF, (word >> 20) & 0x3FF], axis=1).reshape(-1), 10)


def _unpack_24(body: bytes) -> Counts:
    b = _padded(body, 3)
    return _signed(b[:, 0] | (b[:, 1] << 8) | (b[:, 2] << 16), 24)


PACKINGS: Final[dict[str, Packing]] = {
    "8": Packing(1, 1, _integers("i1"), None),
    "16": Packing(1, 2, _integers("<i2"), -(2**15)),
    "24": Packing(1, 3, _unpack_24, -(2**23)),
    "32": Packing(1, 4, _integers("<i4"), -(2**31)),
    "61": Packing(1, 2, _integers(">i2"), -(2**15)),
    "80": Packing(1, 1, _integers("u1", 128), -(2**7)),
    "160": Packing(1, 2, _integers("<u2", 32768), -(2**15)),
    "212": Packing(2, 3, _unpack_212, -(2**11), short=(2,)),
    "310": Packing(3, 4, _unpack_310, -(2**9), short=(2, 4)),
    "311": Packing(3, 4, _unpack_311, -(2**9), short=(2, 3)),
}


def _checksum(counts: npt.NDArray[np.signedinteger]) -> int:
    """The 16-bit sum of all samples, as header(5) has it, -32768..32767."""
    total = int(counts.sum(dtype=np.int64)) & 0xFFFF
    return total - 0x10000 if total >= 0x8000 else total


def _bounded(file: str, samples: int, frame: int) -> int:
    if samples * frame > MAX_SAMPLES:
        raise unreadable(
            file,
            f"过大：{samples * frame} 个样本，上限 {MAX_SAMPLES}",
            f"is too large: {samples * frame} samples, at most {MAX_SAMPLES} are accepted",
        )
    return samples * frame


def find_file(header: Header, name: str, files: Mapping[str, _Content]) -> _Content:
    """The named file among those given; upper and lower case don't matter where that leaves one."""
    if name in files:
        return files[name]
    alike = [content for other, content in files.items() if other.casefold() == name.casefold()]
    if len(alike) == 1:
        return alike[0]
    raise unreadable(
        header.file,
        f"需要信号文件“{name}”，但没有一起收到",
        f'needs the file "{name}", which did not come with it',
        todo=SEND_BOTH,
        expected=name,
    )


def base_name(name: str) -> str:
    return re.split(r"[\\/]", name)[-1]


def _decoded(content: bytes) -> str:
    for encoding in ("utf-8-sig", "gb18030"):
        try:
            return content.decode(encoding)
        except UnicodeDecodeError:
            continue
    return content.decode("latin-1")


# ---- what a reader should know ----

_TIME_UNKNOWN: Final = Reason(
    "header_time_unknown",
    zh="头文件中的记录时间无法识别，按未知处理。",
    en="When it was recorded is written in a way that is not understood; it counts as unknown.",
)
_NO_LAST_NEWLINE: Final = Reason(
    "header_without_last_newline",
    zh="头文件最后一行没有换行，可能被截断，请核对导联与患者信息。",
    en="The header's last line has no line end; it may be cut off. Check leads and patient.",
)


def _checksum_issue(lead: str) -> Reason:
    return Reason(
        "checksum",
        zh=f"导联 {lead} 的校验和与头文件不符，数据可能已损坏。",
        en=f"Lead {lead} does not match the header's checksum; the samples may be damaged.",
    )


def uncalibrated_issue(lead: str) -> Reason:
    return Reason(
        "uncalibrated",
        zh=f"导联 {lead} 未标定，按 200 计数/mV 显示，幅度不可靠。",
        en=f"Lead {lead} is uncalibrated and shown at 200 counts/mV; its amplitude is not reliable.",
    )


def averaged_issue(lead: str) -> Reason:
    return Reason(
        "averaged",
        zh=f"导联 {lead} 采样率较高，已取平均到公共采样率。",
        en=f"Lead {lead} was sampled faster and is averaged to the common frequency.",
    )


def _not_voltage_issue(lead: str) -> Reason:
    return Reason(
        "not_a_voltage",
        zh=f"通道 {lead} 不以毫伏计，未显示。",
        en=f"Channel {lead} is not in millivolts and is left out.",
    )
