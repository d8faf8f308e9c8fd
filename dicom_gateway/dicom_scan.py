"""Bytes of a Part 10 file -> Header: elements by tag, where pixel data and frames lie. Nothing is decoded or copied.

The scan is iterative (deep nesting can't exhaust the stack), counts its elements, and holds every length against what
is there: a length that lies is an ``Unreadable`` naming the byte.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from typing import Final

from center.errors import Mismatched, Unreadable
from dicom_gateway.charset import Repertoire
from dicom_gateway.encoding import (
    DEFLATED,
    EXPLICIT_BIG,
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    LONG_VRS,
    NATIVE,
    VRS,
    implicit_vr,
    private_vr,
    unreadable,
)
from dicom_gateway.file_head import Head, file_meta, read_head, stream_syntax

RLE: Final = "1.2.840.10008.1.2.5"
#: MPEG-2, MPEG-4 AVC and HEVC, each also in fragments ("....1"): one stream, no frames apart (PS3.5 8.2.5 to 8.2.8).
VIDEO: Final = frozenset(f"1.2.840.10008.1.2.4.{n}{part}" for n in range(100, 109) for part in ("", ".1"))

MAX_DEPTH: Final = 64
MAX_ELEMENTS: Final = 400_000
#: Text and small binary together; pixel data, waveforms, documents and LUTs don't count.
MAX_HEADER_BYTES: Final = 64 << 20
#: What a deflated data set may grow to: its pixels are kept deflated, this is for finding them.
MAX_INFLATED_BYTES: Final = 256 << 20
_LARGE_BYTES: Final = 1 << 20
_UNDEFINED: Final = 0xFFFFFFFF
TEXT_VRS: Final = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UT"})
#: What is written in characters, codes and numbers included.
CHARACTER_VRS: Final = TEXT_VRS | {"AE", "AS", "CS", "DA", "DS", "DT", "IS", "TM", "UI", "UR"}
_UID: Final = re.compile(r"(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*))+")
PIXEL_DATA: Final = 0x7FE00010
_PIXEL_TAGS: Final = frozenset({0x7FE00008, 0x7FE00009, PIXEL_DATA})
#: Media Storage Directory (PS3.3 F): a DICOMDIR.
MEDIA_DIRECTORY: Final = "1.2.840.10008.1.3.10"
_DIRECTORY_RECORDS: Final = 0x00041220
_RECOGNITION_CODE: Final = 0x00080010  # of ACR-NEMA, retired
#: Signatures and padding, the only groups behind 7FE0; a file's end is padded by less than a block of a disc's.
_AFTER_PIXELS: Final = frozenset({0xFFFA, 0xFFFC})
_MOST_PADDING: Final = 4096
Buffer = bytes | memoryview

__all__ = [
    "DEFLATED", "EXPLICIT_BIG", "EXPLICIT_LITTLE", "IMPLICIT_LITTLE", "INTEGERS", "NATIVE", "PIXEL_DATA", "Element",
    "Elements", "FrameMap", "Header", "check_identity", "frame_map", "is_uid", "private_vr", "scan", "unreadable",
]  # fmt: skip


@dataclass(slots=True)
class Element:
    """One element: ``offset`` and ``length`` of its value in the scanned bytes; ``items`` of a sequence.

    fragments: (offset, length) of encapsulated pixel data, the basic offset table first.
    """

    tag: int
    vr: str
    offset: int
    length: int
    items: list[dict[int, Element]] | None = None
    fragments: list[tuple[int, int]] | None = None


Elements = dict[int, Element]


@dataclass(frozen=True, slots=True)
class FrameMap:
    """Where frames lie in the file: ``frame_bytes`` each from ``offset`` on, or the fragments of each.

    kind: native | bits (1 bit a pixel, frames not on byte borders) | encapsulated | deflated (inflate first)
    """

    kind: str
    frames: int
    offset: int = 0
    frame_bytes: int = 0
    fragments: tuple[tuple[tuple[int, int], ...], ...] = ()

    def as_json(self) -> dict[str, object]:
        if self.kind == "encapsulated":
            return {
                "kind": self.kind,
                "frames": self.frames,
                "fragments": [[list(f) for f in fs] for fs in self.fragments],
            }
        return {"kind": self.kind, "frames": self.frames, "offset": self.offset, "frame_bytes": self.frame_bytes}

    @classmethod
    def from_json(cls, value: dict[str, object]) -> FrameMap:
        fragments = tuple(tuple((int(o), int(n)) for o, n in fs) for fs in value.get("fragments", ()))  # type: ignore[union-attr]
        return cls(
            str(value["kind"]), int(value["frames"]), int(value.get("offset", 0)),  # type: ignore[call-overload]
            int(value.get("frame_bytes", 0)), fragments,  # type: ignore[call-overload]
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Header:
    """What a file says before its pixels. ``buffer`` holds the scanned bytes (inflated where the syntax is).

    noted: where the file's head is not what the data set says (``HEAD_NOTES``); odd_vrs: where in the file a value
    representation is none, and which two letters of the same length form read the element as the dictionary does.
    """

    buffer: Buffer
    transfer_syntax: str
    meta: dict[int, str]
    dataset_offset: int
    elements: Elements
    repertoire: Repertoire
    big_endian: bool = False
    inflated: bool = False
    declared_charsets: tuple[str, ...] = field(default=())
    noted: tuple[str, ...] = field(default=())
    odd_vrs: tuple[tuple[int, bytes], ...] = field(default=())

    # ---- values
    def raw(self, element: Element | int) -> bytes:
        """The value's bytes as they lie; empty when the element is missing or a sequence."""
        found = self.elements.get(element) if isinstance(element, int) else element
        if found is None or found.items is not None or found.fragments is not None:
            return b""
        return bytes(self.buffer[found.offset : found.offset + found.length])

    def text(self, tag: int) -> str:
        """The whole value as text, without padding."""
        element = self.elements.get(tag)
        if element is None or element.length > _LARGE_BYTES:
            return ""
        return self.text_of(element)

    def text_of(self, element: Element) -> str:
        """Its text by the data set's repertoire; codes and numbers too, which devices write in Chinese as well."""
        words = self.repertoire.decode(self.raw(element))
        return words.strip() if element.vr not in ("LT", "ST", "UT") else words.rstrip()

    def texts(self, tag: int) -> list[str]:
        text = self.text(tag)
        return [part.strip() for part in text.split("\\")] if text else []

    def within(self, item: Elements) -> Header:
        """For reading an item of a sequence: by its own character set, where it declares one."""
        own = item.get(0x00080005)
        if own is None or own.items is not None:
            return self
        return replace(self, repertoire=self.repertoire.redeclared(self.text_of(own).split("\\")))

    def first(self, tag: int) -> str:
        return next(iter(self.texts(tag)), "")

    def integer(self, tag: int) -> int | None:
        """US, UL, SS, SL or IS as a number; None when absent or not one."""
        element = self.elements.get(tag)
        if element is None:
            return None
        if element.vr in INTEGERS:
            code, width = INTEGERS[element.vr]
            raw = self.raw(element)[:width]
            return struct.unpack((">" if self.big_endian else "<") + code, raw)[0] if len(raw) == width else None
        try:
            number = int(float(self.first(tag)))
        except (ValueError, OverflowError):
            return None
        return number if -(2**31) <= number < 2**31 else None  # IS holds no more (PS3.5 6.2)

    def items(self, tag: int) -> list[Elements]:
        element = self.elements.get(tag)
        return (element.items or []) if element else []

    @property
    def sop_class_uid(self) -> str:
        return self.text(0x00080016)

    @property
    def sop_uid(self) -> str:
        return self.text(0x00080018)

    @property
    def study_uid(self) -> str:
        return self.text(0x0020000D)

    @property
    def series_uid(self) -> str:
        return self.text(0x0020000E)

    @property
    def has_pixels(self) -> bool:
        return any(tag in self.elements for tag in _PIXEL_TAGS)

    @property
    def frames(self) -> int:
        """How many frames are said to be there; 0 without pixel data."""
        return max(1, self.integer(0x00280008) or 1) if self.has_pixels else 0


INTEGERS: Final = {"US": ("H", 2), "SS": ("h", 2), "UL": ("I", 4), "SL": ("i", 4), "SV": ("q", 8), "UV": ("Q", 8)}


# ---------------------------------------------------------------- identity
def is_uid(text: str) -> bool:
    """A UID by PS3.5 9.1: digits and dots, at most 64 characters, no leading zeros."""
    return len(text) <= 64 and _UID.fullmatch(text) is not None


def _tolerable_uid(text: str) -> bool:
    # Devices write components with leading zeros; those are kept as they are. What could be a path is not.
    return 0 < len(text) <= 64 and re.fullmatch(r"[0-9]+(\.[0-9]+)*", text) is not None


def check_identity(header: Header) -> None:
    """Returns when study, series, class and instance are named by UIDs.  Raises Mismatched."""
    if not header.sop_uid and header.text(_RECOGNITION_CODE).upper().startswith("ACR-NEMA"):
        raise Mismatched(
            "这是早于 DICOM 的 ACR-NEMA 文件，没有 UID，不能入库。请在设备或厂家软件上转换为 DICOM 后再传。",
            "This is an ACR-NEMA file, older than DICOM: it has no UIDs. Convert it to DICOM at the device and send again.",
            {"kind": "acr_nema", "tag": "00080018"},
        )
    for tag, name in ((0x00080016, "SOP Class UID"), (0x00080018, "SOP Instance UID"), (0x0020000D, "Study Instance UID"), (0x0020000E, "Series Instance UID")):  # fmt: skip
        if not _tolerable_uid(header.text(tag)):
            raise Mismatched(
                f"数据集里的 {name} 缺失或不是合法的 UID。请检查设备设置后重发。",
                f"The data set's {name} is missing or not a UID. Check the device's settings and send again.",
                {"tag": f"{tag:08X}", "found_characters": len(header.text(tag))},
            )


# ---------------------------------------------------------------- the scan
def scan(buffer: Buffer) -> Header:
    """The header of a Part 10 file, or of a data set that lost its head.  Raises Unreadable."""
    view = memoryview(buffer)
    head = read_head(view)
    check_no_index(head.meta)
    at, inflated, big = head.dataset_offset, head.syntax == DEFLATED, head.syntax == EXPLICIT_BIG
    start = at
    if inflated:
        view, start = memoryview(_inflate(view, at)), 0
    scanner = _Scanner(view, big)
    elements = scanner.run(start, implicit=head.implicit)
    if not elements:
        raise unreadable("a data set", at, "数据集")
    check_no_index(elements)
    syntax, notes = _syntax_of(view, head, elements), head.notes
    draft = Header(view, syntax, head.meta, at, elements, Repertoire(("latin_1",)), big, inflated)
    notes += ("transfer_syntax",) if syntax != head.syntax and "transfer_syntax" not in notes else ()
    notes += ("uid",) if _names_another(draft) else ()
    declared = tuple(part.strip() for part in draft.text(0x00080005).split("\\")) if 0x00080005 in elements else ()
    repertoire = Repertoire.of(declared, list(_text_samples(draft, elements)))
    odd = () if inflated else tuple(scanner.odd_vrs)
    return replace(draft, repertoire=repertoire, declared_charsets=declared, noted=notes, odd_vrs=odd)


def readable(content: bytes) -> bytes:
    """The same object for a library: with a head, and VRs of the dictionary where the file's are none.

    What can't be scanned is given back as it is.
    """
    try:
        header = scan(content)
    except Unreadable:
        return content
    if not header.noted and not header.odd_vrs:
        return content
    out = bytearray(content)
    for at, vr in header.odd_vrs:
        out[at : at + 2] = vr
    head = file_meta(header.sop_class_uid, header.sop_uid, header.transfer_syntax)
    return head + out[header.dataset_offset :] if header.noted else bytes(out)


def _syntax_of(view: memoryview, head: Head, elements: Elements) -> str:
    """The declared transfer syntax, but that of the stream where native pixels are said and fragments are there."""
    pixels = elements.get(PIXEL_DATA)
    if pixels is None or not pixels.fragments or head.syntax not in NATIVE:
        return head.syntax
    for offset, length in pixels.fragments[1:2]:
        found = stream_syntax(bytes(view[offset : offset + min(length, 65_536)]))
        if found:
            return found
    raise unreadable("a transfer syntax UID (0002,0010)", head.dataset_offset, "传输语法 UID (0002,0010)")


def _names_another(header: Header) -> bool:
    pairs = ((0x00020002, header.sop_class_uid), (0x00020003, header.sop_uid))
    return any(header.meta.get(tag, "") not in ("", found) for tag, found in pairs)


def check_no_index(held: Collection[int]) -> None:
    """Returns when these aren't a DICOMDIR's tags.  Raises Unreadable."""
    if _DIRECTORY_RECORDS in held or (isinstance(held, dict) and held.get(0x00020002) == MEDIA_DIRECTORY):
        raise Unreadable(
            "这是光盘目录文件 DICOMDIR，只是索引，不含影像，无需上传。请上传同一光盘上的影像文件夹。",
            "This is a DICOMDIR, the index of a disc: it holds no images and need not be sent. Send the disc's folders.",
            {"kind": "dicomdir"},
        )


def _inflate(view: memoryview, at: int) -> bytes:
    """The data set of a deflated file, within bounds: a bomb is refused before it is whole."""
    machine = zlib.decompressobj(-15)
    try:
        out = machine.decompress(view[at:], MAX_INFLATED_BYTES)
    except zlib.error:
        raise unreadable("deflated bytes", at, "压缩的数据") from None
    if machine.unconsumed_tail:
        raise Unreadable(
            "压缩数据集展开后过大，未接收。", "The deflated data set grows too large and was not taken in.",
            {"limit_bytes": MAX_INFLATED_BYTES},
        )  # fmt: skip
    if not machine.eof:
        raise unreadable("the end of the deflated bytes", len(view), "压缩数据的结尾")
    return out


@dataclass(slots=True)
class _Level:
    """One open sequence or item on the way down."""

    elements: Elements | None  # of an item or the data set; None: between the items of a sequence
    end: int | None  # None: until a delimiter
    implicit: bool
    sequence: Element | None = None
    unknown: bool = False  # what was UN: items are looked at for how they are written


@dataclass(frozen=True, slots=True)
class _ElementHead:
    """How an element is read, how long its value is and where it begins; unknown: its VR was not said."""

    vr: str
    length: int
    value_at: int
    unknown: bool = False


class _Scanner:
    """One pass over the data set with a stack of its own."""

    def __init__(self, view: memoryview, big: bool) -> None:
        self._view = view
        self._big = big
        self._size = len(view)
        self._tag = struct.Struct(">HH" if big else "<HH")
        self._u16 = struct.Struct(">H" if big else "<H")
        self._u32 = struct.Struct(">I" if big else "<I")
        self._count = 0
        self._header_bytes = 0
        self.odd_vrs: list[tuple[int, bytes]] = []

    def run(self, at: int, implicit: bool) -> Elements:
        root: Elements = {}
        self._run([_Level(root, self._size, implicit)], at)
        return root

    def _run(self, stack: list[_Level], at: int) -> None:
        while stack:
            level = stack[-1]
            if level.end is not None and at >= level.end:
                if at > level.end:
                    raise unreadable("the end of a sequence", level.end, "序列的结尾")
                stack.pop()
                continue
            at = self._items(stack, at) if level.elements is None else self._element(stack, at)
            if len(stack) > MAX_DEPTH:
                raise unreadable(f"at most {MAX_DEPTH} levels of nesting", at, f"不超过 {MAX_DEPTH} 层嵌套")

    def _items(self, stack: list[_Level], at: int) -> int:
        """Between the items of a sequence."""
        level = stack[-1]
        sequence = level.sequence
        assert sequence is not None and sequence.items is not None
        if at + 8 > self._size:
            raise unreadable("a sequence item", at, "序列项")
        tag, length = self._head(at)
        at += 8
        if tag == 0xFFFEE0DD and level.end is None:
            stack.pop()
            return at
        if tag != 0xFFFEE000:
            raise unreadable("a sequence item (FFFE,E000)", at - 8, "序列项 (FFFE,E000)")
        self._note()
        item: Elements = {}
        sequence.items.append(item)
        end = None if length == _UNDEFINED else self._end(at, length, level.end)
        implicit = level.implicit and not (level.unknown and self._is_explicit(at, end))
        stack.append(_Level(item, end, implicit))
        return at

    def _is_explicit(self, at: int, end: int | None) -> bool:
        """An item of UN that is written with explicit VR after all (PS3.5 6.2.2 says implicit)."""
        limit = self._size if end is None else end
        if at + 8 > limit or bytes(self._view[at + 4 : at + 6]) not in VRS:
            return False
        return at + 8 + self._head(at)[1] > limit

    def _element(self, stack: list[_Level], at: int) -> int:
        level = stack[-1]
        assert level.elements is not None
        start = at
        if at + 8 > (self._size if level.end is None else level.end):
            if len(stack) == 1 and self._is_padding(at, level.elements):
                return self._size
            raise unreadable("8 bytes of an element's head", at, "8 字节的元素头")
        tag, length = self._head(at)
        if tag == 0xFFFEE00D and level.end is None:
            stack.pop()
            return at + 8
        if tag in (0xFFFEE00D, 0xFFFEE0DD) and length == 0 and (len(stack) > 1 or level.elements):
            return at + 8  # a delimiter where a length says the end already
        if len(stack) == 1 and self._is_padding(at, level.elements):
            return self._size
        head = self._head_rest(tag, length, at, level)
        self._note()
        if tag >> 16 in (0x0000, 0x0002, 0xFFFE):
            raise unreadable("an element of the data set", start, "数据集元素")
        if head.length == _UNDEFINED:
            return self._undefined(stack, level.elements, tag, head)
        return self._defined(stack, level, tag, head)

    def _is_padding(self, at: int, elements: Elements) -> bool:
        """Zeros to a whole block, as media have them; behind the pixels also what little else is no element."""
        if not elements or (self._size - at > _MOST_PADDING and self._view[at]):
            return False
        if not any(self._view[at:]):
            return True
        if elements.keys().isdisjoint(_PIXEL_TAGS) or self._size - at > _MOST_PADDING:
            return False
        if at + 8 > self._size:
            return True
        return self._head(at)[0] >> 16 not in _AFTER_PIXELS and bytes(self._view[at + 4 : at + 6]) not in VRS

    def _defined(self, stack: list[_Level], level: _Level, tag: int, head: _ElementHead) -> int:
        assert level.elements is not None
        vr, at, length = head.vr, head.value_at, head.length
        end = self._end(at, length, level.end, tag)
        if vr == "SQ" and head.unknown:
            if (items := self._unknown_items(at, end, len(stack))) is not None:
                level.elements[tag] = Element(tag, vr, at, length, items=items)
                return end
            vr = "UN"
        if vr == "SQ":
            element = Element(tag, vr, at, length, items=[])
            level.elements[tag] = element
            stack.append(_Level(None, end, level.implicit, element))
            return at
        if tag not in _PIXEL_TAGS and length < _LARGE_BYTES:
            self._header_bytes += length
            if self._header_bytes > MAX_HEADER_BYTES:
                raise unreadable("a header of at most 64 MB", at, "不超过 64 MB 的文件头")
        level.elements[tag] = Element(tag, vr, at, length)
        return end

    def _unknown_items(self, at: int, end: int, depth: int) -> list[Elements] | None:
        """The items of a sequence that was written as UN of a known length; None where there are none to be read."""
        element = Element(0, "SQ", at, end - at, items=[])
        inner = _Scanner(self._view[:end], False)
        inner._count, inner._header_bytes = self._count, self._header_bytes
        # As deep as it lies already: what is nested past the limit is bytes, and recursion has its end.
        above = [_Level({}, end, True) for _ in range(depth)]
        try:
            inner._run([*above, _Level(None, end, True, element, unknown=True)], at)
        except Unreadable:
            return None
        self._count, self._header_bytes = inner._count, inner._header_bytes
        return element.items

    def _undefined(self, stack: list[_Level], elements: Elements, tag: int, head: _ElementHead) -> int:
        """Undefined length: a sequence, encapsulated pixel data, or UN that is an implicit sequence (PS3.5 6.2.2)."""
        vr, at = head.vr, head.value_at
        if (tag == PIXEL_DATA and len(stack) == 1) or (tag == PIXEL_DATA and vr in ("OB", "OW")):
            element = Element(tag, "OB" if head.unknown else vr, at, 0, fragments=[])
            elements[tag] = element
            return self._fragments(element, at)
        if vr not in ("SQ", "UN") and not head.unknown:
            raise unreadable("a defined length", at - 4, "确定的长度")
        element = Element(tag, "SQ", at, 0, items=[])
        elements[tag] = element
        unknown = head.unknown or vr == "UN"
        stack.append(_Level(None, None, stack[-1].implicit or unknown, element, unknown=unknown))
        return at

    def _fragments(self, element: Element, at: int) -> int:
        assert element.fragments is not None
        while True:
            if at + 8 > self._size:
                raise unreadable("a fragment of pixel data", at, "像素数据片段")
            tag, length = self._head(at)
            at += 8
            if tag == 0xFFFEE0DD:
                element.length = at - element.offset
                return at
            if tag != 0xFFFEE000 or length == _UNDEFINED:
                raise unreadable("a fragment of pixel data", at - 8, "像素数据片段")
            self._note()
            end = self._end(at, length, None, PIXEL_DATA)
            element.fragments.append((at, length))
            at = end

    def _head(self, at: int) -> tuple[int, int]:
        group, number = self._tag.unpack_from(self._view, at)
        return group << 16 | number, self._u32.unpack_from(self._view, at + 4)[0]

    def _head_rest(self, tag: int, length: int, at: int, level: _Level) -> _ElementHead:
        """The rest of an element's head; UN of a tag that the dictionary knows is read by it (PS3.5 6.2.2)."""
        if level.implicit:
            return _ElementHead(implicit_vr(tag), length, at + 8)
        code = bytes(self._view[at + 4 : at + 6])
        if code not in VRS:
            return self._odd_vr(tag, code, at, level)
        if code not in LONG_VRS:
            return _ElementHead(code.decode(), self._u16.unpack_from(self._view, at + 6)[0], at + 8)
        if at + 12 > self._size:
            raise unreadable("12 bytes of an element's head", at, "12 字节的元素头")
        if self._view[at + 6] | self._view[at + 7]:  # the two reserved bytes hold something: written as a short one?
            short = self._u16.unpack_from(self._view, at + 6)[0]
            if self._is_followed(at + 8 + short, tag, code, level):
                return _ElementHead(code.decode(), short, at + 8)
        unknown = code == b"UN" and not (tag >> 16) & 1
        vr = implicit_vr(tag) if unknown else code.decode()
        return _ElementHead(vr, self._u32.unpack_from(self._view, at + 8)[0], at + 12, unknown)

    def _odd_vr(self, tag: int, code: bytes, at: int, level: _Level) -> _ElementHead:
        """No value representation, or one of a later edition: the dictionary's, in the length form that an element follows.

        Two capitals have 32 bits by PS3.5 7.1.2; blanks, question marks and such come from writers that had 16, and an
        element of implicit VR among explicit ones has no VR at all.
        """
        limit = self._size if level.end is None else level.end
        named = code.upper() if code.upper() in VRS else b""
        short, bare = (self._u16, 6, 8), (self._u32, 4, 8)
        long = (self._u32, 8, 12) if at + 12 <= limit and not self._view[at + 6] | self._view[at + 7] else None
        capitals = code.isalpha() and code.isupper()
        forms = [long, short, bare] if capitals or named in LONG_VRS else [short, long, bare]
        for form in (f for f in forms if f is not None):
            length, value_at = form[0].unpack_from(self._view, at + form[1])[0], at + form[2]
            if self._is_value(value_at, length, tag, code, level):
                return self._odd_head(tag, named, at, length, value_at, is_long=form is long)
        if capitals and long is not None:
            return _ElementHead(implicit_vr(tag), self._u32.unpack_from(self._view, at + 8)[0], at + 12, unknown=True)
        raise unreadable("a value representation", at + 4, "值表示 (VR)")

    def _odd_head(
        self, tag: int, named: bytes, at: int, length: int, value_at: int, *, is_long: bool
    ) -> _ElementHead:  # fmt: skip
        vr = implicit_vr(tag)
        vr = named.decode() if vr == "UN" and named else vr
        if is_long:
            self.odd_vrs.append((at + 4, vr.encode() if vr.encode() in LONG_VRS else b"UN"))
        elif value_at == at + 8 and length < 0x10000:
            self.odd_vrs.append((at + 4, vr.encode() if vr.encode() not in LONG_VRS else b"SH"))
        return _ElementHead(vr, length, value_at, unknown=vr in ("SQ", "UN") or is_long)

    def _is_value(self, at: int, length: int, tag: int, code: bytes, level: _Level) -> bool:
        if length != _UNDEFINED:
            return self._is_followed(at + length, tag, code, level)
        return at + 8 <= self._size and self._head(at)[0] in (0xFFFEE000, 0xFFFEE0DD)

    def _is_followed(self, end: int, tag: int, code: bytes, level: _Level) -> bool:
        """Something that may come after this tag begins here: the end, or an element in order."""
        limit = self._size if level.end is None else level.end
        if end + 8 > limit:
            return end == limit
        following, after = self._head(end)[0], bytes(self._view[end + 4 : end + 6])
        if following in (0xFFFEE00D, 0xFFFEE0DD):
            return self._head(end)[1] == 0
        if following <= tag or following >> 16 == 0xFFFE:
            return False
        if after in VRS or (after == code and code != b"\x00\x00"):
            return True
        near = following >> 16 == tag >> 16 and following - tag < 0x100  # the next of a private block, as odd as this
        return following & 0xFFFF != 0 and (near or implicit_vr(following) != "UN")

    def _end(self, at: int, length: int, limit: int | None, tag: int = 0) -> int:
        end = at + length
        if end > (self._size if limit is None else limit):
            what = f"({tag >> 16:04X},{tag & 0xFFFF:04X})" if tag else "a sequence item"
            raise unreadable(f"{length} bytes of {what}", at, f"{length} 字节的 {what}")
        return end

    def _note(self) -> None:
        self._count += 1
        if self._count > MAX_ELEMENTS:
            raise Unreadable(
                "文件头的元素过多，未接收。", "The header holds too many elements and was not taken in.",
                {"limit_elements": MAX_ELEMENTS},
            )  # fmt: skip


def _text_samples(header: Header, elements: Elements, budget: int = 400) -> Iterator[bytes]:
    """Text values to look at for the character set: names first, sequences afterwards that declare none of their own."""
    pending = [elements]
    while pending and budget > 0:
        level = pending.pop()
        for element in level.values():
            if element.items:
                pending.extend(item for item in element.items[:20] if 0x00080005 not in item)
            elif element.vr in CHARACTER_VRS and 0 < element.length < 65_536:
                budget -= 1
                yield header.raw(element)


# ---------------------------------------------------------------- frames
def frame_map(header: Header) -> FrameMap | None:
    """Where each frame's bytes lie; None without pixel data or where frames can't be told apart.

    Its ``frames`` are those that are whole: fewer than the header says where the pixel data is too short.
    """
    frames = header.frames
    if not frames:
        return None
    if header.inflated:
        return FrameMap("deflated", frames, 0, _frame_bits(header) // 8)
    element = header.elements.get(PIXEL_DATA)
    if element is not None and element.fragments is not None:
        if header.transfer_syntax in VIDEO:  # one stream, however many pictures are said to be in it
            return FrameMap("encapsulated", 1, fragments=(tuple(element.fragments[1:]),))
        groups = _group(header, element.fragments, frames)
        return FrameMap("encapsulated", len(groups), fragments=groups) if groups else None
    return _native_map(header, frames)


def _frame_bits(header: Header) -> int:
    rows, columns = header.integer(0x00280010) or 0, header.integer(0x00280011) or 0
    samples, bits = header.integer(0x00280002) or 1, header.integer(0x00280100) or 0
    if 0x7FE00008 in header.elements:
        bits = 32
    elif 0x7FE00009 in header.elements:
        bits = 64
    return rows * columns * samples * bits


def _native_map(header: Header, frames: int) -> FrameMap | None:
    element = next(header.elements[t] for t in sorted(_PIXEL_TAGS) if t in header.elements)
    bits = _frame_bits(header)
    if header.first(0x00280004) == "YBR_FULL_422" and bits * frames // 8 > element.length:
        bits = bits * 2 // 3  # two bytes a pixel, unless all three are there under that name
    frames = min(frames, element.length * 8 // bits) if bits > 0 else 0
    if frames == 0:
        return None
    if bits % 8:
        return FrameMap("bits", frames, element.offset, (bits * frames + 7) // 8)
    return FrameMap("native", frames, element.offset, bits // 8)


def _group(header: Header, fragments: list[tuple[int, int]], frames: int) -> tuple[tuple[tuple[int, int], ...], ...]:
    """Fragments by frame: by the extended or the basic offset table, by count, or by the streams' first bytes."""
    if not fragments:
        return ()
    table, data = fragments[0], fragments[1:]
    if not data:
        return ()
    if frames == 1:
        return (tuple(data),)
    starts = _extended_offsets(header) or _basic_offsets(header, table)
    if len(starts) == frames and starts[0] == 0:
        base = data[0][0] - 8
        places = {offset - 8 - base: n for n, (offset, _) in enumerate(data)}
        if all(s in places for s in starts):
            firsts = [places[s] for s in starts]
            if firsts == sorted(set(firsts)):
                return tuple(tuple(data[a:b]) for a, b in zip(firsts, [*firsts[1:], len(data)], strict=True))
    if len(data) == frames:
        return tuple((fragment,) for fragment in data)
    marks = [n for n, (offset, _) in enumerate(data) if _begins_image(bytes(header.buffer[offset : offset + 12]))]
    if 0 < len(marks) <= frames and marks[0] == 0:  # fewer: the others are missing
        return tuple(tuple(data[a:b]) for a, b in zip(marks, [*marks[1:], len(data)], strict=True))
    if header.transfer_syntax == RLE and len(data) < frames:  # a fragment a frame (PS3.5 A.4.2)
        return tuple((fragment,) for fragment in data)
    return ()


def _begins_image(head: bytes) -> bool:
    return head.startswith((b"\xff\xd8\xff", b"\xff\x4f\xff\x51")) or head[4:8] == b"jP  "


def _extended_offsets(header: Header) -> list[int]:
    raw = header.raw(0x7FE00001)
    return list(struct.unpack(f"<{len(raw) // 8}Q", raw[: len(raw) // 8 * 8])) if raw else []


def _basic_offsets(header: Header, table: tuple[int, int]) -> list[int]:
    offset, length = table
    raw = bytes(header.buffer[offset : offset + length // 4 * 4])
    return list(struct.unpack(f"<{len(raw) // 4}I", raw))
