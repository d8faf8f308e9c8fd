"""The entropy code of SCP-ECG (EN 1064 5.5): prefix codes, a default table or tables of the file's own -> values.

Several short codes are taken at once: a window of bits is looked up in a table that says which values lie in it, how
many bits they took, and (where codes switch between tables) which table goes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt

from ecg.formats.trouble import unreadable

DEFAULT_TABLE: Final = 19999
"""In place of a number of tables: the default one (EN 1064 5.5.3)."""

_MAX_TABLES: Final = 64
_MAX_CODES: Final = 4096
_MAX_PREFIX_BITS: Final = 31
_MAX_EXTRA_BITS: Final = 24
_VALUES: Final = 8
"""Most values of one window."""

_RAW_8: Final = 0b1111111110
_RAW_16: Final = 0b1111111111

Values = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Code:
    """One prefix code, first bit highest.

    extra_bits: a two's complement number of so many bits follows and is added to ``value``.
    goes_to: the table that the next code is of; None: the same.  A code that switches stands for no value.
    """

    prefix: int
    prefix_bits: int
    extra_bits: int = 0
    value: int = 0
    goes_to: int | None = None


@dataclass(frozen=True, slots=True)
class Huffman:
    """Tables made ready.  Index of the lists: table << window_bits | the next bits; 0 bits used: no whole code there.

    by_size: for each table, bits of a prefix -> prefix -> code.
    steps: ``used``, or the bits of the one code that begins there and is longer than the window.
    longer: that code's prefix bits, extra bits and value, one row a window.
    counts, values: two rows more than windows: one value that was taken alone, and a switch that was taken alone.
    """

    by_size: tuple[dict[int, dict[int, Code]], ...]
    window_bits: int
    switches: bool
    used: list[int]
    steps: npt.NDArray[np.uint8]
    longest: int
    longer: npt.NDArray[np.int64]
    then: list[int]
    counts: npt.NDArray[np.int64]
    values: npt.NDArray[np.int32]


def _default_codes() -> tuple[Code, ...]:
    """EN 1064 table 9: 0 is 0; n ones, a zero and the sign are 1..8; ten bits lead 8 or 16 bits as they are."""
    short = [Code(((1 << n) - 1) << 2 | sign, n + 2, value=-n if sign else n) for n in range(1, 9) for sign in (0, 1)]
    return (Code(0, 1), *short, Code(_RAW_8, 10, 8), Code(_RAW_16, 10, 16))


@cache
def default_huffman() -> Huffman:
    """The default table, made ready once."""
    return prepare((_default_codes(),), "SCP-ECG")


# ---- the tables of a file ----


def read_tables(body: bytes, file: str) -> Huffman:
    """The tables in section 2 (its bytes after the header).  Raises Unreadable."""
    count = int.from_bytes(body[:2], "little")
    if count == DEFAULT_TABLE:
        return default_huffman()
    if len(body) < 2 or not 0 < count <= _MAX_TABLES:
        raise _bad_tables(file)
    tables: list[tuple[Code, ...]] = []
    at = 2
    for _ in range(count):
        size = int.from_bytes(body[at : at + 2], "little")
        rows = body[at + 2 : at + 2 + 9 * size]
        if not 0 < size <= _MAX_CODES or len(rows) < 9 * size:
            raise _bad_tables(file)
        tables.append(tuple(_code(rows[n : n + 9], count, file) for n in range(0, 9 * size, 9)))
        at += 2 + 9 * size
    return prepare(tables, file)


def _code(row: bytes, tables: int, file: str) -> Code:
    """Bits of the prefix, bits of all, 1 for a value or 0 for a switch, value or table, code from its lowest bit on."""
    prefix_bits, all_bits, is_value = row[0], row[1], row[2]
    value = int.from_bytes(row[3:5], "little", signed=True)
    extra_bits = all_bits - prefix_bits
    if not 0 < prefix_bits <= _MAX_PREFIX_BITS or not 0 <= extra_bits <= _MAX_EXTRA_BITS:
        raise _bad_tables(file)
    bits = int.from_bytes(row[5:9], "little") & ((1 << prefix_bits) - 1)
    prefix = int(f"{bits:0{prefix_bits}b}"[::-1], 2)
    if is_value:
        return Code(prefix, prefix_bits, extra_bits, value)
    if not 1 <= value <= tables or extra_bits:
        raise _bad_tables(file)
    return Code(prefix, prefix_bits, goes_to=value - 1)


def prepare(tables: Sequence[tuple[Code, ...]], file: str) -> Huffman:
    """The tables as lookups.  Raises Unreadable where one code is the beginning of another."""
    bits = 14 if len(tables) == 1 else 11 if len(tables) <= 8 else 9
    rows = [_lookup(codes, table, bits, file) for table, codes in enumerate(tables)]
    used = np.concatenate([row[0] for row in rows])
    longer = np.concatenate([row[4] for row in rows])
    by_size: list[dict[int, dict[int, Code]]] = [{} for _ in tables]
    for sizes, codes in zip(by_size, tables, strict=True):
        for code in codes:
            sizes.setdefault(code.prefix_bits, {})[code.prefix] = code
    return Huffman(
        by_size=tuple(by_size),
        window_bits=bits,
        switches=any(code.goes_to is not None for codes in tables for code in codes),
        used=used.tolist(),
        steps=np.where(used > 0, used, longer[:, :2].sum(axis=1)).astype(np.uint8),
        longest=max(bits, *(code.prefix_bits + code.extra_bits for codes in tables for code in codes)),
        longer=longer,
        then=np.concatenate([row[1] for row in rows]).tolist(),
        counts=np.concatenate([*(row[2] for row in rows), [1, 0]]),
        values=np.concatenate([*(row[3] for row in rows), np.zeros((2, _VALUES), dtype=np.int32)]),
    )


def _lookup(
    codes: Sequence[Code], table: int, bits: int, file: str
) -> tuple[Values, Values, Values, npt.NDArray[np.int32], Values]:
    """For each window: bits used, the table to go on with (shifted), how many values, the values, the longer code."""
    which = _first_code(codes, bits, file)
    all_bits = np.array([code.prefix_bits + code.extra_bits for code in codes] + [99], dtype=np.int64)
    extra = np.array([code.extra_bits for code in codes] + [0], dtype=np.int64)
    value = np.array([code.value for code in codes] + [0], dtype=np.int64)
    goes_to = np.array([-1 if code.goes_to is None else code.goes_to for code in codes] + [-1], dtype=np.int64)
    windows = np.arange(1 << bits)
    used, count = np.zeros_like(windows), np.zeros_like(windows)
    then = np.full_like(windows, table)
    values = np.zeros((windows.size, _VALUES), dtype=np.int32)
    going = windows
    for n in range(_VALUES):
        rest = (windows[going] << used[going]) & ((1 << bits) - 1)
        code = which[rest]
        fits = all_bits[code] <= bits - used[going]
        going, rest, code = going[fits], rest[fits], code[fits]
        raw = (rest >> (bits - all_bits[code])) & ((1 << extra[code]) - 1)
        negative = (extra[code] > 0) & ((raw >> np.maximum(extra[code] - 1, 0)) == 1)
        used[going] += all_bits[code]
        switches = goes_to[code] >= 0
        then[going[switches]] = goes_to[code[switches]]
        going, plain = going[~switches], ~switches
        values[going, n] = (value[code] + raw - (negative.astype(np.int64) << extra[code]))[plain]
        count[going] += 1
    prefix = np.array([code.prefix_bits for code in codes] + [0], dtype=np.int64)
    longer = np.stack([prefix[which], extra[which], value[which]], axis=1)
    longer[(used > 0) | (goes_to[which] >= 0)] = 0
    return used, then << bits, count, values, longer


def _first_code(codes: Sequence[Code], bits: int, file: str) -> npt.NDArray[np.int64]:
    """For each window the index of the code it begins with, or len(codes) where none is that short."""
    spans = sorted((code.prefix << (32 - code.prefix_bits), code.prefix_bits) for code in codes)
    for (low, size), (next_low, _) in pairwise(spans):
        if low + (1 << (32 - size)) > next_low:
            raise _bad_tables(file)
    which = np.full(1 << bits, len(codes), dtype=np.int64)
    for n, code in enumerate(codes):
        if code.prefix_bits <= bits:
            low = code.prefix << (bits - code.prefix_bits)
            which[low : low + (1 << (bits - code.prefix_bits))] = n
    return which


# ---- streams ----


def decode(stream: bytes, count: int, huffman: Huffman) -> tuple[Values, int] | None:
    """The first ``count`` values, and how many whole bytes were left over; None where the stream ends before them."""
    if count > 8 * len(stream):  # the shortest code is a bit
        return None
    taken, at, singles = (_switching_windows if huffman.switches else _windows)(stream, huffman)
    counts = huffman.counts[taken]
    ends = np.cumsum(counts)
    if not ends.size or count > ends[-1]:
        return None
    values = huffman.values[taken][np.arange(_VALUES) < counts[:, None]].astype(np.int64)
    values[ends[taken == len(huffman.used)] - 1] = singles
    used_bits = int(at[int(np.searchsorted(ends, count)) + 1])
    return values[:count], len(stream) - (used_bits + 7) // 8


def _windows(stream: bytes, huffman: Huffman) -> tuple[Values, Values, Values]:
    """What was taken (rows of ``Huffman.counts``), the bits where each began and the last ended, values taken alone.

    For one table, that of the first codes.  How far each bit's window, and the window after it, reach is laid out for all bits at once, so that
    the walk along the stream is only a sum.
    """
    bits, codes, alone = huffman.window_bits, huffman.by_size[0], len(huffman.used)
    windows = _every_window(stream, bits)
    one = huffman.steps[windows]
    reached = np.minimum(np.arange(one.size) + one, one.size - 1)
    two = (one + one[reached]).tobytes()
    limit = 8 * len(stream) - 2 * huffman.longest
    starts: list[int] = []
    single_at: list[int] = []
    singles: list[int] = []
    at = 0
    while True:
        while at <= limit and (step := two[at]):
            starts.append(at)
            at += step
        found = _one(stream, at, codes)
        if found is None:
            break
        single_at.append(at)
        singles.append(found[1])
        at += found[2]
    first = np.array(starts, dtype=np.int64)
    begins = np.concatenate([first, (first + one[first])[one[reached[first]] > 0]])
    rows = windows[begins].astype(np.int64)
    is_longer = huffman.counts[rows] == 0
    longer = _longer_values(stream, begins[is_longer], huffman.longer[rows[is_longer]])
    rows[is_longer] = alone
    begins = np.concatenate([begins, np.array(single_at, dtype=np.int64)])
    rows = np.concatenate([rows, np.full(len(single_at), alone)])
    values = np.zeros(begins.size, dtype=np.int64)
    values[np.flatnonzero(is_longer)] = longer
    values[begins.size - len(singles) :] = singles
    order = np.argsort(begins, kind="stable")
    rows, values = rows[order], values[order]
    return rows, np.append(begins[order], at), values[rows == alone]


def _longer_values(stream: bytes, at: Values, codes: Values) -> Values:
    """The values of the codes (prefix bits, extra bits, value) that begin at these bits."""
    raw = np.frombuffer(stream + bytes(8), dtype=np.uint8)
    words = np.ascontiguousarray(raw[(at >> 3)[:, None] + np.arange(8)]).view(">u8").reshape(-1).astype(np.uint64)
    prefix_bits, extra_bits, value = codes.T
    shift = 64 - (at & 7) - prefix_bits - extra_bits
    bits = (words >> shift.astype(np.uint64)).astype(np.int64) & ((1 << extra_bits) - 1)
    return value + bits - ((bits >> np.maximum(extra_bits - 1, 0)) << extra_bits)


def _every_window(stream: bytes, bits: int) -> npt.NDArray[np.int32]:
    """The window that begins at each bit of the stream (zeros follow its end)."""
    raw = np.frombuffer(stream + bytes(3), dtype=np.uint8).astype(np.int32)
    words = raw[:-2] << 16 | raw[1:-1] << 8 | raw[2:]
    return (words[:-1, None] >> (24 - bits - np.arange(8, dtype=np.int32)) & ((1 << bits) - 1)).reshape(-1)


def _switching_windows(stream: bytes, huffman: Huffman) -> tuple[Values, Values, Values]:
    """The same as ``_windows`` for several tables, between which codes switch."""
    words = _every_window(stream, huffman.window_bits).tolist()
    bits, used, then, alone = huffman.window_bits, huffman.used, huffman.then, len(huffman.used)
    taken: list[int] = []
    starts: list[int] = []
    singles: list[int] = []
    end = 8 * len(stream)
    table = at = 0
    while at < end:
        window = table | words[at]
        size = used[window]
        starts.append(at)
        if size and at + bits <= end:
            table = then[window]
        else:
            found = _one(stream, at, huffman.by_size[table >> bits])
            if found is None:
                starts.pop()
                break
            code, value, size = found
            if code.goes_to is None:
                window = alone
                singles.append(value)
            else:
                window, table = alone + 1, code.goes_to << bits
        taken.append(window)
        at += size
    return np.array(taken, dtype=np.int64), np.array([*starts, at], dtype=np.int64), np.array(singles, dtype=np.int64)


def _one(stream: bytes, at: int, by_size: dict[int, dict[int, Code]]) -> tuple[Code, int, int] | None:
    """The code that begins at this bit, its value and size; None where there is none or the stream ends within it."""
    first, left = at >> 3, 8 * len(stream) - at
    bits = (int.from_bytes(stream[first : first + 8].ljust(8, b"\x00"), "big") << (at & 7)) & ((1 << 64) - 1)
    for prefix_bits, codes in by_size.items():
        code = codes.get(bits >> (64 - prefix_bits))
        if code is not None:
            size = code.prefix_bits + code.extra_bits
            if size > left:
                return None
            raw = (bits >> (64 - size)) & ((1 << code.extra_bits) - 1)
            if code.extra_bits and raw >> (code.extra_bits - 1):
                raw -= 1 << code.extra_bits
            return code, code.value + raw, size
    return None


def encode(values: npt.NDArray[np.int64]) -> bytes:
    """The values (int16 range) in the default table's codes, filled up with zero bits to a whole byte."""
    size = np.abs(values)
    is_byte = (values >= -128) & (values <= 127)
    short = ((1 << np.minimum(size, 8)) - 1) << 2 | (values < 0)
    codes = np.select(
        [size == 0, size <= 8, is_byte],
        [np.zeros_like(values), short, _RAW_8 << 8 | (values & 0xFF)],
        _RAW_16 << 16 | (values & 0xFFFF),
    )
    lengths = np.select([size == 0, size <= 8, is_byte], [np.ones_like(size), size + 2, np.full_like(size, 18)], 26)
    which = np.repeat(np.arange(values.size), lengths)
    place = np.arange(which.size) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    return np.packbits((codes[which] >> (lengths[which] - 1 - place) & 1).astype(np.uint8)).tobytes()


def _bad_tables(file: str) -> Exception:
    return unreadable(
        file,
        "的霍夫曼码表（第 2 节）无法使用",
        "has Huffman tables (section 2) that cannot be used",
        expected="prefix-free tables, or the default table 19999",
    )
