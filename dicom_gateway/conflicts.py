"""Two data sets of one SOP Instance UID -> the same, or one to keep aside.

Group 0002, group lengths and tags that only one side has don't count (re-sends differ in them), unless such a tag
carries the content itself.  Explicit and implicit VR of the same elements are the same.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final, Protocol

from dicom_gateway.dicom_scan import Element, Elements, Header

#: Groups whose elements are content: one side lacking one is a difference. Pixel description, pixels, waveforms,
#: overlays and curves, documents, structured content.
_CONTENT_GROUPS: Final = frozenset(
    {0x0028, 0x7FE0, 0x5400, 0x0042, *range(0x6000, 0x6020, 2), *range(0x5000, 0x5020, 2)}
)
_CONTENT_TAGS: Final = frozenset(
    {
        0x00100010,
        0x00100020,
        0x00100030,
        0x00100040,
        0x0020000D,
        0x0020000E,
        0x00080016,
        0x00080018,
        0x00080060,
        0x0040A730,
    }
)
#: Written anew by whoever forwards the object: never a difference (retrieve address, padding, coercion's trace).
_FORWARDING: Final = frozenset(
    {0x00080005, 0x00080054, 0x00080056, 0x00081190, 0x04000561, 0xFFFCFFFC, 0x7FE00001, 0x7FE00002, 0x00120062}
)
_SWAPPED: Final = {"US": 2, "SS": 2, "OW": 2, "AT": 2, "UL": 4, "SL": 4, "FL": 4, "OF": 4, "OL": 4, "FD": 8, "OD": 8, "SV": 8, "UV": 8, "OV": 8}  # fmt: skip
_SLAB: Final = 1 << 22


class Digest(Protocol):
    """What takes bytes and gives their digest."""

    def update(self, data: bytes | memoryview, /) -> None: ...


@dataclass(frozen=True, slots=True)
class Comparison:
    """``difference``: tags that differ, as GGGGEEEE, no values; empty: the same data set."""

    difference: tuple[str, ...]

    @property
    def same(self) -> bool:
        return not self.difference


def compare(held: Header, arriving: Header, limit: int = 50) -> Comparison:
    """What differs between the object in place and the one that came."""
    out: list[str] = []
    for tag in sorted(held.elements.keys() | arriving.elements.keys()):
        if tag & 0xFFFF == 0 or tag in _FORWARDING:
            continue
        one, other = held.elements.get(tag), arriving.elements.get(tag)
        if one is None or other is None:
            if tag in _CONTENT_TAGS or tag >> 16 in _CONTENT_GROUPS:
                out.append(f"{tag:08X}")
        elif not _equal(held, one, arriving, other):
            out.append(f"{tag:08X}")
        if len(out) >= limit:
            break
    return Comparison(tuple(out))


def _equal(held: Header, one: Element, arriving: Header, other: Element) -> bool:
    if (one.fragments is None) != (other.fragments is None):
        return False
    if (one.items is None) != (other.items is None) and one.tag >> 16 & 1:
        return True  # a private sequence that implicit VR can't tell from bytes
    return _digest(held, one) == _digest(arriving, other)


def _digest(header: Header, element: Element) -> bytes:
    """sha256 over the element's meaning: independent of VR encoding, byte order, padding and sequence delimiters."""
    out = hashlib.sha256()
    pending: list[Element | bytes] = [element]
    while pending:
        one = pending.pop()
        if isinstance(one, bytes):
            out.update(one)
        elif one.items is not None:
            for item in reversed(one.items):
                pending += _item(item)
            pending.append(b"SQ%d" % len(one.items))
        elif one.fragments is not None:
            # How a stream is cut into fragments, and the offset table, are the sender's affair.
            for offset, length in one.fragments[1:]:
                _update(out, header, offset, length, 1)
        else:
            _value(out, header, one)
    return out.digest()


def _item(item: Elements) -> list[Element | bytes]:
    """An item's parts for a stack: last first."""
    parts: list[Element | bytes] = [b"}"]
    for tag in sorted(item, reverse=True):
        if tag & 0xFFFF:
            parts += [item[tag], tag.to_bytes(4, "big")]
    return [*parts, b"{"]


def _value(out: Digest, header: Header, element: Element) -> None:
    width = _SWAPPED.get(element.vr, 1) if header.big_endian else 1
    if element.length > 4096:
        _update(out, header, element.offset, element.length, width)
        return
    raw = header.raw(element)
    if width > 1:
        raw = _swap(raw, width)
    out.update(raw.rstrip(b"\x00 ") + b"|")


def _update(out: Digest, header: Header, offset: int, length: int, width: int) -> None:
    for at in range(offset, offset + length, _SLAB):
        piece = header.buffer[at : min(at + _SLAB, offset + length)]
        out.update(_swap(bytes(piece), width) if width > 1 else piece)


def _swap(raw: bytes, width: int) -> bytes:
    whole = len(raw) // width * width
    swapped = bytearray(raw[:whole])
    for n in range(width):
        swapped[n::width] = raw[width - 1 - n : whole : width]
    return bytes(swapped) + raw[whole:]
