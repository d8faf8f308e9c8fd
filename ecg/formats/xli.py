"""The bytes of Philips' XLI compression -> whole numbers: LZW with ten-bit codes over second differences.

A chunk a lead: u32 length, u16 (1), i16 first difference, then the codes.  They unpack to the high bytes of all
samples, then the low bytes.  By the public description of the Sierra ECG format; written anew.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

_BITS: Final = 10
_END: Final = (1 << _BITS) - 1  # the code that ends a chunk; the table is full one short of it
_BIAS: Final = 64
_HEAD_BYTES: Final = 8
_SINGLE_BYTES: Final = [bytes([n]) for n in range(256)]


def unpack_chunks(content: bytes, channels_wanted: int, max_samples: int) -> list[npt.NDArray[np.int64]]:
    """The first channels in these bytes: whole numbers [sample].  Devices store 16, of which 12 are connected.

    Raises ValueError for what isn't XLI, or isn't whole down to its last byte.
    """
    channels: list[npt.NDArray[np.int64]] = []
    at = 0
    while at < len(content):
        length = int.from_bytes(content[at : at + 4], "little")
        first = int.from_bytes(content[at + 6 : at + 8], "little", signed=True)
        body = content[at + _HEAD_BYTES : at + _HEAD_BYTES + length]
        if len(body) != length or not length:
            raise ValueError(f"a chunk of {length} bytes at {at}, {len(body)} found")
        at += _HEAD_BYTES + length
        if len(channels) == channels_wanted:
            continue
        raw = np.frombuffer(_unpacked(body, 2 * max_samples), dtype=np.uint8)
        if raw.size % 2 or raw.size < 4:
            raise ValueError(f"{raw.size} bytes are no samples")
        high, low = raw.astype(np.uint16).reshape(2, -1)
        channels.append(_integrated((high << 8 | low).view(np.int16), first))
    return channels


def _unpacked(body: bytes, max_bytes: int) -> bytes:
    """What the codes stand for.

    Entry n of the table is made by the n-th code, and none ever changes: so the table is built first, from the codes
    that fill it, and then all codes are only looked up.
    """
    codes = _codes(body)
    order = codes.tolist()
    if not order or order[0] >= len(_SINGLE_BYTES):
        raise ValueError("no first code")
    table = _SINGLE_BYTES.copy()
    last = table[order[0]]
    for entry, code in enumerate(order[1 : _END - len(_SINGLE_BYTES) + 1], start=len(_SINGLE_BYTES)):
        if code > entry:
            raise ValueError(f"code {code} stands before its entry")
        word = table[code] if code < entry else last + last[:1]
        table.append(last + word[:1])
        last = word
    lengths = np.fromiter(map(len, table), dtype=np.int64, count=len(table))
    if int(codes.max()) >= len(table) or int(lengths[codes].sum()) > max_bytes:
        raise ValueError("more than a recording holds")
    return b"".join(map(table.__getitem__, order))


def _codes(body: bytes) -> npt.NDArray[np.int64]:
    """Ten-bit codes, most significant bit first, up to the end mark."""
    fives = -(-len(body) // 5)
    b = np.frombuffer(body.ljust(fives * 5, b"\0"), dtype=np.uint8).astype(np.int64).reshape(fives, 5)
    codes = np.stack(
        [
            b[:, 0] << 2 | b[:, 1] >> 6,
            (b[:, 1] & 0x3F) << 4 | b[:, 2] >> 4,
            (b[:, 2] & 0x0F) << 6 | b[:, 3] >> 2,
            (b[:, 3] & 0x03) << 8 | b[:, 4],
        ],
        axis=1,
    ).reshape(-1)[: len(body) * 8 // _BITS]
    ends = np.flatnonzero(codes == _END)
    return codes[: ends[0]] if ends.size else codes


def _integrated(stored: npt.NDArray[np.int16], first: int) -> npt.NDArray[np.int64]:
    """The samples from their second differences, in 16 bits as the device keeps them.

    The first two stored values are samples.  x[n] = 2 x[n-1] - x[n-2] - d[n], where d[2] is the chunk's first
    difference and every other d[n] is the value stored one place earlier, less 64.
    """
    values = stored.astype(np.int64)
    second = np.empty(values.size - 2, dtype=np.int64)
    second[:1] = -first
    second[1:] = _BIAS - values[2:-1]
    slopes = values[1] - values[0] + np.concatenate([[0], np.cumsum(second)])
    samples = values[0] + np.concatenate([[0], np.cumsum(slopes)])
    return samples.astype(np.int16).astype(np.int64)
