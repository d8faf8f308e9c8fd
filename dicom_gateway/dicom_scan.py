"""Bytes of a file -> Header: elements by tag, where pixel data and frames lie. Nothing is decoded or copied."""

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
    NATIVE,
    private_vr,
    unreadable,
)
from dicom_gateway.file_head import Head, file_meta, read_head, stream_syntax
from dicom_gateway.scanner import LARGE_BYTES, PIXEL_DATA, PIXEL_TAGS, Element, Elements, Scanner

RLE: Final = "1.2.840.10008.1.2.5"
#: MPEG-2, MPEG-4 AVC and HEVC, each also in fragments ("....1"): one stream, no frames apart (PS3.5 8.2.5 to 8.2.8).
VIDEO: Final = frozenset(f"1.2.840.10008.1.2.4.{n}{part}" for n in range(100, 109) for part in ("", ".1"))

#: What a deflated data set may grow to: its pixels are kept deflated, this is for finding them.
MAX_INFLATED_BYTES: Final = 256 << 20
TEXT_VRS: Final = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UT"})
#: What is written in characters, codes and numbers included.
CHARACTER_VRS: Final = TEXT_VRS | {"AE", "AS", "CS", "DA", "DS", "DT", "IS", "TM", "UI", "UR"}
_UID: Final = re.compile(r"(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*))+")
#: Media Storage Directory (PS3.3 F): a DICOMDIR.
MEDIA_DIRECTORY: Final = "1.2.840.10008.1.3.10"
_DIRECTORY_RECORDS: Final = 0x00041220
_RECOGNITION_CODE: Final = 0x00080010  # of ACR-NEMA, retired
Buffer = bytes | memoryview

__all__ = [
    "DEFLATED", "EXPLICIT_BIG", "EXPLICIT_LITTLE", "IMPLICIT_LITTLE", "INTEGERS", "NATIVE", "PIXEL_DATA", "Element",
    "Elements", "FrameMap", "Header", "check_identity", "frame_map", "is_uid", "private_vr", "scan", "unreadable",
]  # fmt: skip


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
        if element is None or element.length > LARGE_BYTES:
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
        return any(tag in self.elements for tag in PIXEL_TAGS)

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
    scanner = Scanner(view, big)
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
    element = next(header.elements[t] for t in sorted(PIXEL_TAGS) if t in header.elements)
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
