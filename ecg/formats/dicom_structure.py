"""Whether a DICOM file's lengths hold together, down to its last byte; and where in it the samples of waveforms lie.

A general parser stops quietly where a file was cut off and hands over what it had; a recording must not be shorter
than it was, so every length is walked before anything is interpreted (PS3.5 section 7, PS3.10 section 7).
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from pydicom.datadict import dictionary_VR

from center.errors import Unreadable
from ecg.formats.long_signal import Buffer
from ecg.formats.trouble import EXPORT_AGAIN, unreadable

MAX_FILE_BYTES: Final = 400 << 20
"""Most that is ever parsed; samples that are only pointed at don't count."""
_MAX_MAPPED_BYTES: Final = 8 << 30
_WAVEFORMS: Final = 0x54000100
_WAVEFORM_DATA: Final = 0x54001010
_MAX_ELEMENTS: Final = 500_000
_MAX_DEPTH: Final = 16
_UNDEFINED: Final = 0xFFFFFFFF
_LONG_VRS: Final = frozenset(
    vr.encode() for vr in ("OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV")
)
_ITEM: Final = 0xFFFEE000
_ITEM_END: Final = 0xFFFEE00D
_SEQUENCE_END: Final = 0xFFFEE0DD
_DEFLATED: Final = "1.2.840.10008.1.2.1.99"
_BIG_ENDIAN: Final = "1.2.840.10008.1.2.2"
_IMPLICIT: Final = "1.2.840.10008.1.2"


@dataclass(slots=True)
class _Walk:
    """A walk over one buffer; ``elements`` counts what it passed."""

    content: Buffer
    file: str
    order: str
    elements: int = 0

    def number(self, at: int, size: int) -> int:
        return int.from_bytes(self.content[at : at + size], "big" if self.order == "big" else "little")

    def tag(self, at: int) -> int:
        return self.number(at, 2) << 16 | self.number(at + 2, 2)

    def cut(self, at: int) -> Unreadable:
        return unreadable(
            self.file,
            f"不完整或长度有误：共 {len(self.content)} 字节",
            f"is incomplete or its lengths are wrong: it has {len(self.content)} bytes",
            todo=EXPORT_AGAIN,
            expected="complete DICOM elements",
            at_byte=at,
        )

    def header(self, at: int, end: int, *, explicit: bool) -> tuple[int, bytes, int, int]:
        """(tag, VR or b"", length, where the value begins) of the element at ``at``."""
        self.elements += 1
        if at + 8 > end or self.elements > _MAX_ELEMENTS:
            raise self.cut(at)
        tag = self.tag(at)
        if tag in (_ITEM, _ITEM_END, _SEQUENCE_END) or not explicit:
            return tag, b"", self.number(at + 4, 4), at + 8
        vr = bytes(self.content[at + 4 : at + 6])
        if not (vr.isalpha() and vr.isupper()):
            raise self.cut(at)
        if vr not in _LONG_VRS:
            return tag, vr, self.number(at + 6, 2), at + 8
        if at + 12 > end:
            raise self.cut(at)
        return tag, vr, self.number(at + 8, 4), at + 12

    def dataset(self, at: int, end: int, *, explicit: bool, depth: int, until_item_end: bool) -> int:
        """Where the data set that begins at ``at`` ends: at ``end``, or after its item delimiter."""
        while at < end or until_item_end:
            tag, vr, length, value = self.header(at, end, explicit=explicit)
            if tag == _ITEM_END and until_item_end:
                return value
            at = self.element_end(tag, vr, length, value, end, explicit=explicit, depth=depth)
        return at

    def element_end(self, tag: int, vr: bytes, length: int, value: int, end: int, *, explicit: bool, depth: int) -> int:
        """Where the element whose header was read ends."""
        if length == _UNDEFINED and tag == 0x7FE00010:
            return self.fragments(value, end)
        if length == _UNDEFINED:
            return self.sequence(value, end, explicit=explicit and vr != b"UN", depth=depth, bounded=False)
        if value + length > end:
            raise self.cut(value)
        if vr == b"SQ" or (not explicit and _is_sequence(tag)):
            self.sequence(value, value + length, explicit=explicit, depth=depth, bounded=True)
        return value + length

    def sequence(self, at: int, end: int, *, explicit: bool, depth: int, bounded: bool) -> int:
        """Where the sequence of items that begins at ``at`` ends."""
        if depth > _MAX_DEPTH:
            raise self.cut(at)
        while not bounded or at < end:
            tag, _, length, value = self.header(at, end, explicit=explicit)
            if tag == _SEQUENCE_END and not bounded:
                return value
            if tag != _ITEM or (length != _UNDEFINED and value + length > end):
                raise self.cut(at)
            open_end = length == _UNDEFINED
            stop = end if open_end else value + length
            at = self.dataset(value, stop, explicit=explicit, depth=depth + 1, until_item_end=open_end)
        return at

    def fragments(self, at: int, end: int) -> int:
        while True:
            tag, _, length, value = self.header(at, end, explicit=False)
            if tag == _SEQUENCE_END:
                return value
            if tag != _ITEM or value + length > end:
                raise self.cut(at)
            at = value + length


@dataclass(frozen=True, slots=True)
class Outline:
    """small: the file without the samples of its waveforms.  spans: for each group where they lie, (first, bytes)."""

    small: bytes
    spans: tuple[tuple[int, int] | None, ...] = ()
    is_big_endian: bool = False

    def samples(self, content: Buffer) -> list[npt.NDArray[np.uint8] | None]:
        """The bytes of each group's samples, not copied; None: they are in ``small``."""
        return [
            None if span is None else np.frombuffer(content, dtype=np.uint8, count=span[1], offset=span[0])
            for span in self.spans
        ]


def check_structure(content: Buffer, file: str) -> Outline:
    """The file's outline, where each element, item and sequence ends inside the one around it.  Raises Unreadable."""
    if len(content) > _MAX_MAPPED_BYTES:
        raise _too_large(file)
    walk = _Walk(content, file, "little")
    start, syntax = 0, ""
    if bytes(content[128:132]) == b"DICM":
        start, syntax = _file_meta(walk)
    if syntax == _DEFLATED:
        if len(content) > MAX_FILE_BYTES:
            raise _too_large(file)
        walk = _Walk(_inflated(bytes(content[start:]), file), file, "little")
        start = 0
    explicit = bytes(walk.content[start + 4 : start + 6]).isalpha() if not syntax else syntax != _IMPLICIT
    walk.order = "big" if syntax == _BIG_ENDIAN else "little"
    if syntax in (_DEFLATED, _BIG_ENDIAN):
        walk.dataset(start, len(walk.content), explicit=explicit, depth=0, until_item_end=False)
        if len(content) > MAX_FILE_BYTES:
            raise _too_large(file)
        return Outline(bytes(content), is_big_endian=syntax == _BIG_ENDIAN)
    return _outline(walk, start, explicit=explicit)


def _outline(walk: _Walk, start: int, *, explicit: bool) -> Outline:
    """The data set copied, but for the samples: its waveform sequence is written anew with open lengths."""
    content, end = walk.content, len(walk.content)
    small = bytearray(content[:start])
    spans: list[tuple[int, int] | None] = []
    at = start
    while at < end:
        tag, vr, length, value = walk.header(at, end, explicit=explicit)
        after = walk.element_end(tag, vr, length, value, end, explicit=explicit, depth=0)
        if tag == _WAVEFORMS and vr in (b"", b"SQ"):
            small += _header_bytes(tag, b"SQ" if explicit else b"", _UNDEFINED)
            stop = after - (8 if length == _UNDEFINED else 0)
            _outline_items(walk, value, stop, small, spans, explicit=explicit)
            small += _header_bytes(_SEQUENCE_END, b"", 0)
        else:
            small += content[at:after]
        if len(small) > MAX_FILE_BYTES:
            raise _too_large(walk.file)
        at = after
    return Outline(bytes(small), tuple(spans))


def _outline_items(
    walk: _Walk, at: int, end: int, small: bytearray, spans: list[tuple[int, int] | None], *, explicit: bool
) -> None:
    while at < end:
        _, _, length, at = walk.header(at, end, explicit=explicit)
        stop = end if length == _UNDEFINED else at + length
        small += _header_bytes(_ITEM, b"", _UNDEFINED)
        span: tuple[int, int] | None = None
        while at < stop:
            tag, vr, size, value = walk.header(at, stop, explicit=explicit)
            if tag == _ITEM_END:
                at = value
                break
            after = walk.element_end(tag, vr, size, value, stop, explicit=explicit, depth=1)
            if tag == _WAVEFORM_DATA and size != _UNDEFINED:
                span = (value, size)
            else:
                small += walk.content[at:after]
            at = after
        small += _header_bytes(_ITEM_END, b"", 0)
        spans.append(span)


def _header_bytes(tag: int, vr: bytes, length: int) -> bytes:
    """A little-endian element header; vr: one with a 32-bit length, or none."""
    head = (tag >> 16).to_bytes(2, "little") + (tag & 0xFFFF).to_bytes(2, "little")
    return head + (vr + b"\x00\x00" if vr else b"") + length.to_bytes(4, "little")


def _too_large(file: str) -> Unreadable:
    return unreadable(file, "过大（上限 400 MB）", "is too large (at most 400 MB)")


def _file_meta(walk: _Walk) -> tuple[int, str]:
    """Where the data set begins, and its transfer syntax."""
    at, syntax = 132, ""
    while at < len(walk.content) and walk.number(at, 2) == 2:
        tag, _, length, value = walk.header(at, len(walk.content), explicit=True)
        if value + length > len(walk.content):
            raise walk.cut(at)
        if tag == 0x00020010:
            syntax = bytes(walk.content[value : value + length]).rstrip(b"\x00 ").decode("latin-1")
        at = value + length
    return at, syntax


def _inflated(content: bytes, file: str) -> bytes:
    machine = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        out = machine.decompress(content, MAX_FILE_BYTES)
    except zlib.error:
        out = b""
    if not machine.eof:
        raise unreadable(file, "的压缩数据不完整", "holds compressed data that is incomplete", expected="deflate")
    return out


def _is_sequence(tag: int) -> bool:
    try:
        return dictionary_VR(tag) == "SQ"
    except KeyError:
        return False
