"""The samples of an SCP-ECG record (EN 1064 5.7 to 5.9, annex C): rhythm, reference beat, bimodal compression -> mV.

What was stored is undone in the order that it was done in: codes, differences, decimation outside the QRS complexes,
subtraction of the reference beat.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from ecg.formats.scp_huffman import Huffman, Values, decode, read_tables
from ecg.formats.scp_sections import SUBTRACTED, Lead, cut
from ecg.formats.trouble import EXPORT_AGAIN, unreadable

_MV_PER_NV: Final = 1e-6
_US_PER_S: Final = 1e6
_DECIMATION: Final = 4
"""Samples that are stored as one outside the protected zones (EN 1064 annex C)."""
_SPARE_BYTES: Final = 3
"""A stream may be filled up to an even number of bytes, or to four (ours: the samples beyond would be lost)."""
_LARGEST_COUNT: Final = 1 << 31
_MAX_STREAM_BYTES: Final = 2 << 20
"""Of all leads together (ours): 32 leads of the 64 KB that one can have."""
_MAX_BEATS: Final = 5000

MilliVolts = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Rhythm:
    """mv: one [sample] per lead, in the file's order; step_mv: the step of its counts."""

    mv: tuple[MilliVolts, ...]
    fs_hz: float
    step_mv: float


@dataclass(frozen=True, slots=True)
class _Encoded:
    """Section 5 or 6: nV a count, us a sample, which differences (0, 1, 2), whether bimodal, one stream per lead."""

    section: int
    step_nv: int
    interval_us: int
    differences: int
    is_bimodal: bool
    streams: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class _Zones:
    """Section 4, sample numbers from 0.

    beat_ms: how long the reference beat is.  fiducial: its sample that lies on a beat's.  subtracted: (first, fiducial, last) of each beat that the reference beat
    was subtracted from.  protected: (first, last) of each stretch that was not decimated, in time.
    """

    beat_ms: int
    fiducial: int
    subtracted: tuple[tuple[int, int, int], ...]
    protected: tuple[tuple[int, int], ...]


def read_rhythm(sections: dict[int, bytes], leads: Sequence[Lead], flags: int, file: str) -> Rhythm:
    """The rhythm of section 6 as it was before compression.  Raises Unreadable."""
    if 6 not in sections:
        raise unreadable(
            file,
            "不含节律数据（第 6 节）",
            "holds no rhythm data (section 6)",
            expected="section 6 of EN 1064",
        )
    huffman = read_tables(sections[2], file) if 2 in sections else None
    rhythm = _encoded(6, sections[6], len(leads), file)
    subtracts = bool(flags & SUBTRACTED)
    zones = _Zones(0, 0, (), ())
    beat = None
    if subtracts or rhythm.is_bimodal:
        if 4 not in sections or 5 not in sections:
            raise unreadable(
                file,
                "使用了参考心搏压缩，但缺少第 4 或第 5 节",
                "is compressed by a reference beat, but lacks section 4 or 5",
                todo=EXPORT_AGAIN,
                expected="sections 4 and 5 of EN 1064",
            )
        beat = _encoded(5, sections[5], len(leads), file)
        zones = _zones(sections[4], max(lead.samples for lead in leads), file)
    interval_us = _interval_us(rhythm, beat, file)
    layouts = _layouts(zones, leads, file) if rhythm.is_bimodal else {}
    mv: list[MilliVolts] = []
    for n, lead in enumerate(leads):
        values = _rhythm_of(rhythm, n, lead.samples, layouts.get(lead.samples), huffman, file) * (
            rhythm.step_nv * _MV_PER_NV
        )
        if subtracts and beat is not None:
            _add_reference_beat(values, beat, n, zones, huffman, file)
        mv.append(values)
    return Rhythm(tuple(mv), _rate_hz(interval_us), rhythm.step_nv * _MV_PER_NV)


def _layouts(zones: _Zones, leads: Sequence[Lead], file: str) -> dict[int, _Layout]:
    """By the leads' numbers of samples.  A stream of 64 KB makes at most four samples a bit."""
    lengths = {lead.samples for lead in leads}
    if max(lengths) > _DECIMATION * 8 * 0xFFFF:
        raise cut(file, 3)
    return {samples: _Layout.of(_runs(zones.protected, samples), samples) for samples in lengths}


def _interval_us(rhythm: _Encoded, beat: _Encoded | None, file: str) -> int:
    """The time between two restored samples.  A bimodal rhythm declares that of its decimated ones."""
    if beat is None or beat.interval_us == rhythm.interval_us:
        return rhythm.interval_us
    if rhythm.is_bimodal and rhythm.interval_us == _DECIMATION * beat.interval_us:
        return beat.interval_us
    raise cut(file, 5)


def _rate_hz(interval_us: int) -> float:
    """The rate that was meant: 1666 us stand for 600 Hz, since the file can only hold whole microseconds."""
    exact = _US_PER_S / interval_us
    for meant in (10 * round(exact / 10), round(exact)):
        if meant and interval_us in (int(_US_PER_S / meant), round(_US_PER_S / meant)):
            return float(meant)
    return exact


def _encoded(section: int, body: bytes, leads: int, file: str) -> _Encoded:
    if len(body) < 6 + 2 * leads:
        raise cut(file, section)
    step_nv, interval_us, differences, bimodal, *sizes = struct.unpack_from(f"<HHBB{leads}H", body)
    if not step_nv or not interval_us or differences > 2 or bimodal > 1:
        raise cut(file, section)
    ends = np.cumsum(sizes) + 6 + 2 * leads
    if ends[-1] > min(len(body), _MAX_STREAM_BYTES):
        raise cut(file, section)
    streams = tuple(body[int(end) - size : int(end)] for end, size in zip(ends, sizes, strict=True))
    return _Encoded(section, step_nv, interval_us, differences, bimodal == 1 and section == 6, streams)


def _zones(body: bytes, samples: int, file: str) -> _Zones:
    """Beat types without a reference beat have first and last 0."""
    if len(body) < 6:
        raise cut(file, 4)
    beat_ms, fiducial, count = struct.unpack_from("<HHH", body)
    if len(body) < 6 + 22 * count or count > _MAX_BEATS:
        raise cut(file, 4)
    beats = [struct.unpack_from("<HIII", body, 6 + 14 * n) for n in range(count)]
    protected = [struct.unpack_from("<II", body, 6 + 14 * count + 8 * n) for n in range(count)]
    subtracted = [(first - 1, at - 1, last - 1) for kind, first, at, last in beats if kind == 0 and first and last]
    zones = sorted((first - 1, last - 1) for first, last in protected if first and last)
    ends = [-1, *(last for _, last in zones)]
    if any(first > last or last >= samples for first, last in zones):
        raise cut(file, 4)
    if any(first <= end for (first, _), end in zip(zones, ends, strict=False)):
        raise cut(file, 4)
    if any(first > last or last >= samples for first, _, last in subtracted):
        raise cut(file, 4)
    if sum(last - first + 1 for first, _, last in subtracted) > samples:  # they would lie over each other
        raise cut(file, 4)
    return _Zones(beat_ms, fiducial - 1, tuple(subtracted), tuple(zones))


# ---- one stream ----


def _rhythm_of(
    rhythm: _Encoded, n: int, samples: int, layout: _Layout | None, huffman: Huffman | None, file: str
) -> MilliVolts:
    """A lead's residual, counts [sample]."""
    if layout is None:
        return _counts(rhythm, n, samples, huffman, file).astype(np.float64)
    return _undecimated(_counts(rhythm, n, layout.widths.size, huffman, file).astype(np.float64), layout)


def _counts(encoded: _Encoded, n: int, count: int, huffman: Huffman | None, file: str) -> Values:
    """The stored values of a lead, differences undone."""
    stream = encoded.streams[n]
    if huffman is None:
        raw = np.frombuffer(stream[: len(stream) // 2 * 2], dtype="<i2").astype(np.int64)
        found = (raw[:count], len(stream) - 2 * count) if raw.size >= count else None
    else:
        found = decode(stream, count, huffman)
    if found is None or found[1] > _SPARE_BYTES or not count:
        raise unreadable(
            file,
            f"第 {n + 1} 导联的数据与声明的 {count} 个值不符",
            f"holds data for lead {n + 1} that does not make the {count} values declared",
            todo=EXPORT_AGAIN,
            expected=f"{count} values in section {encoded.section}",
        )
    values = found[0]
    if encoded.differences == 2 and count > 1:
        values = np.concatenate([values[:1], values[1:2] - values[:1], values[2:]])
        values[1:] = np.cumsum(values[1:])
    if encoded.differences:
        values = np.cumsum(values)
    if np.abs(values).max() > _LARGEST_COUNT:
        raise cut(file, encoded.section)
    return values


# ---- bimodal compression ----


@dataclass(frozen=True, slots=True)
class _Run:
    """A stretch of samples, decimated or protected.  first, end: as in a slice."""

    first: int
    end: int
    is_decimated: bool


def _runs(protected: Sequence[tuple[int, int]], samples: int) -> list[_Run]:
    out: list[_Run] = []
    at = 0
    for first, last in protected:
        out += [_Run(at, first, True)] if first > at else []
        out.append(_Run(first, last + 1, False))
        at = last + 1
    return [*out, _Run(at, samples, True)] if samples > at else out


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where the stored values of a bimodal lead lie: groups of one to four samples each.

    middles: of each group, in samples.  whose: for each sample its group.  from_middle: how far it lies from there.
    """

    widths: npt.NDArray[np.int64]
    middles: MilliVolts
    whose: npt.NDArray[np.int64]
    from_middle: MilliVolts

    @classmethod
    def of(cls, runs: Sequence[_Run], samples: int) -> _Layout:
        edges = [np.arange(run.first, run.end, _DECIMATION if run.is_decimated else 1) for run in runs]
        starts = np.concatenate(edges)
        widths = np.diff(np.append(starts, samples))
        middles = starts + (widths - 1) / 2
        whose = np.repeat(np.arange(widths.size), widths)
        return cls(widths, middles, whose, np.arange(samples) - middles[whose])


def _undecimated(stored: MilliVolts, layout: _Layout) -> MilliVolts:
    """All samples [sample].  A decimated value is the level of four samples: a line of that mean stands for them.

    Its slope is that to the neighbours, none at a peak (van Leer 1977), so that nothing is drawn that was not stored;
    at the recording's two ends, which have one neighbour, the parabola through three groups goes on.
    """
    if stored.size < 2:
        return stored[layout.whose]
    steps = np.diff(stored) / np.diff(layout.middles)
    before, after = np.concatenate([steps[:1], steps]), np.concatenate([steps, steps[-1:]])
    limit = np.minimum(2 * np.minimum(np.abs(before), np.abs(after)), np.abs(before + after) / 2)
    slopes = np.where((before * after > 0) & (layout.widths > 1), np.sign(before) * limit, 0.0)
    out = stored[layout.whose] + slopes[layout.whose] * layout.from_middle
    if stored.size >= 3 and (layout.widths[:3] == _DECIMATION).all():
        out[:_DECIMATION] = _PARABOLA @ stored[:3]
    if stored.size >= 3 and (layout.widths[-3:] == _DECIMATION).all():
        out[-_DECIMATION:] = (_PARABOLA @ stored[:-4:-1])[::-1]
    return out


def _parabola() -> MilliVolts:
    """[sample, group]: the first four samples of the parabola whose means over three times four samples are given."""
    edges = np.vander(np.arange(4.0) * _DECIMATION, 4)  # its sum is a cubic, known at the groups' edges
    sums = np.tril(np.ones((4, 3)), -1) * _DECIMATION
    return np.diff(np.vander(np.arange(_DECIMATION + 1.0), 4) @ np.linalg.solve(edges, sums), axis=0)


_PARABOLA: Final = _parabola()


# ---- reference beat ----


def _add_reference_beat(
    mv: MilliVolts, beat: _Encoded, n: int, zones: _Zones, huffman: Huffman | None, file: str
) -> None:
    """The reference beat added where it had been subtracted, in place."""
    values = _beat_counts(beat, n, zones.beat_ms, huffman, file) * (beat.step_nv * _MV_PER_NV)
    for first, at, last in zones.subtracted:
        if at - first > zones.fiducial or last - at >= values.size - zones.fiducial:
            raise cut(file, 4)
    for first, at, last in zones.subtracted:
        begin = zones.fiducial + first - at
        mv[first : last + 1] += values[begin : begin + last - first + 1]


def _beat_counts(beat: _Encoded, n: int, beat_ms: int, huffman: Huffman | None, file: str) -> Values:
    """The reference beat, counts [sample].  Its length is told in whole ms, which may be a sample more or less."""
    samples = beat_ms * 1e3 / beat.interval_us
    for count in (round(samples), int(samples)):
        if huffman is None or decode(beat.streams[n], count, huffman) is not None:
            return _counts(beat, n, count, huffman, file)
    raise cut(file, 5)
