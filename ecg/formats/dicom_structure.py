"""Whether a DICOM file's lengths hold together, down to its last byte.

A general parser stops quietly where a file was cut off and hands over what it had; a recording must not be shorter
than it was, so every length is walked before anything is interpreted (PS3.5 section 7, PS3.10 section 7).
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Final

from pydicom.datadict import dictionary_VR

from center.errors import Unreadable
from ecg.formats.trouble import EXPORT_AGAIN, unreadable

MAX_FILE_BYTES: Final = 400 << 20
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

    content: bytes
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
        vr = self.content[at + 4 : at + 6]
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
            if length == _UNDEFINED and tag == 0x7FE00010:
                at = self.fragments(value, end)
            elif length == _UNDEFINED:
                at = self.sequence(value, end, explicit=explicit and vr != b"UN", depth=depth, bounded=False)
            elif value + length > end:
                raise self.cut(at)
            else:
                if vr == b"SQ" or (not explicit and _is_sequence(tag)):
                    self.sequence(value, value + length, explicit=explicit, depth=depth, bounded=True)
                at = value + length
        return at

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


def check_structure(content: bytes, file: str) -> None:
    """Nothing, where each element, item and sequence ends inside the one around it.  Raises Unreadable."""
    walk = _Walk(content, file, "little")
    start, syntax = 0, ""
    if content[128:132] == b"DICM":
        start, syntax = _file_meta(walk)
    if syntax == _DEFLATED:
        walk = _Walk(_inflated(content[start:], file), file, "little")
        start = 0
    explicit = walk.content[start + 4 : start + 6].isalpha() if not syntax else syntax != _IMPLICIT
    walk.order = "big" if syntax == _BIG_ENDIAN else "little"
    walk.dataset(start, len(walk.content), explicit=explicit, depth=0, until_item_end=False)


def _file_meta(walk: _Walk) -> tuple[int, str]:
    """Where the data set begins, and its transfer syntax."""
    at, syntax = 132, ""
    while at < len(walk.content) and walk.number(at, 2) == 2:
        tag, _, length, value = walk.header(at, len(walk.content), explicit=True)
        if value + length > len(walk.content):
            raise walk.cut(at)
        if tag == 0x00020010:
            syntax = walk.content[value : value + length].rstrip(b"\x00 ").decode("latin-1")
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
