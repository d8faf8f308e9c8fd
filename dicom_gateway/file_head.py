"""The head of a file, preamble and group 0002, and what the data set says where the head lacks or contradicts it.

Old discs hold data sets without a head, gateways forget the transfer syntax or write another: the data set decides, by
how its first elements are written.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from typing import Final

from dicom_gateway.encoding import (
    DEFLATED,
    EXPLICIT_BIG,
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    LONG_VRS,
    VRS,
    implicit_vr,
    unreadable,
)

_PREAMBLE_BYTES: Final = 128
_SYNTAX: Final = 0x00020010
_UID: Final = re.compile(r"[0-9]+(\.[0-9]+)+")
#: A data set begins with one of these groups: identifying (0008), or the directory's own (0004).
_FIRST_GROUPS: Final = (0x0004, 0x0008)
_ENCODINGS: Final = (EXPLICIT_LITTLE, IMPLICIT_LITTLE, EXPLICIT_BIG)
#: How a stream of compressed pixels begins -> its transfer syntax; JPEG by its start of frame (ITU-T T.81 table B.1).
_JPEG_FRAMES: Final = {
    0xC0: "1.2.840.10008.1.2.4.50", 0xC1: "1.2.840.10008.1.2.4.51", 0xC3: "1.2.840.10008.1.2.4.70",
    0xF7: "1.2.840.10008.1.2.4.81",
}  # fmt: skip
_JPEG_2000: Final = "1.2.840.10008.1.2.4.91"
_RLE: Final = "1.2.840.10008.1.2.5"

#: Ours, in the deterministic group 0002 of what comes by C-STORE.
IMPLEMENTATION_UID: Final = "2.25.209641350953317561905226938410972263041"
IMPLEMENTATION_VERSION: Final = "HELAN"


@dataclass(frozen=True, slots=True)
class Head:
    """meta: group 0002 as text by tag; dataset_offset: where the data set begins; syntax: as it is really written;
    implicit: its VRs are left out; notes: no_head, transfer_syntax, where the data set had to tell."""

    meta: dict[int, str]
    dataset_offset: int
    syntax: str
    implicit: bool
    notes: tuple[str, ...] = ()


def read_head(view: memoryview) -> Head:
    """The head as it is there, the rest from the data set's first elements.  Raises Unreadable."""
    at, notes = _begin(view)
    meta, at = _read_meta(view, at)
    declared = meta.get(_SYNTAX, "") if _UID.fullmatch(meta.get(_SYNTAX, "")) else ""
    if declared == DEFLATED:
        return Head(meta, at, declared, implicit=False, notes=notes)
    written = _written(view, at, declared)
    if not written and not declared:
        if not meta:
            raise unreadable("the letters DICM", _PREAMBLE_BYTES, "字母 DICM")
        raise unreadable("a transfer syntax UID (0002,0010)", at, "传输语法 UID (0002,0010)")
    if declared and declared not in _ENCODINGS:  # compressed or private: that stays, whatever the VRs
        return Head(meta, at, declared, implicit=written == IMPLICIT_LITTLE, notes=notes)
    syntax = written or declared
    if syntax != declared and "no_head" not in notes:
        notes += ("transfer_syntax",)
    return Head(meta, at, syntax, implicit=syntax == IMPLICIT_LITTLE, notes=notes)


def _begin(view: memoryview) -> tuple[int, tuple[str, ...]]:
    """Where group 0002, or the data set without one, begins."""
    if bytes(view[_PREAMBLE_BYTES : _PREAMBLE_BYTES + 4]) == b"DICM":
        return _PREAMBLE_BYTES + 4, ()
    if bytes(view[:4]) == b"DICM":
        return 4, ("no_head",)
    if _is_meta(view, 0):
        return 0, ("no_head",)
    if _is_meta(view, _PREAMBLE_BYTES):
        return _PREAMBLE_BYTES, ("no_head",)
    return 0, ("no_head",)


def _is_meta(view: memoryview, at: int) -> bool:
    group, number, vr = bytes(view[at : at + 2]), bytes(view[at + 2 : at + 4]), bytes(view[at + 4 : at + 6])
    return group == b"\x02\x00" and number[1:] == b"\x00" and vr in (b"UL", b"OB", b"UI")


def _read_meta(view: memoryview, at: int) -> tuple[dict[int, str], int]:
    """Group 0002 as text by tag, and where the data set begins; its own group length isn't needed and may lie."""
    out: dict[int, str] = {}
    while at + 8 <= len(view):
        group, number = struct.unpack_from("<HH", view, at)
        if group != 0x0002:
            break
        vr = bytes(view[at + 4 : at + 6])
        if vr in LONG_VRS:
            if at + 12 > len(view):
                raise unreadable("12 bytes of an element's head", at, "12 字节的元素头")
            length, value = struct.unpack_from("<I", view, at + 8)[0], at + 12
        elif vr in VRS:
            length, value = struct.unpack_from("<H", view, at + 6)[0], at + 8
        else:  # written with implicit VR, as the standard forbids
            length, value = struct.unpack_from("<I", view, at + 4)[0], at + 8
        if value + length > len(view):
            raise unreadable(f"{length} bytes of (0002,{number:04X})", value, f"{length} 字节的 (0002,{number:04X})")
        text = bytes(view[value : value + min(length, 256)]).decode("latin_1")
        out[0x00020000 | number] = "".join(c for c in text if c.isprintable()).strip()
        at = value + length
    return out, at


# ---------------------------------------------------------------- how the data set is written
def _written(view: memoryview, at: int, declared: str) -> str:
    """The plain transfer syntax that the first elements are written in; the declared one where it may be, '' for none."""
    likely = declared if declared in _ENCODINGS else EXPLICIT_LITTLE
    for syntax in (likely, *(one for one in _ENCODINGS if one != likely)):
        if _reads(view, at, syntax):
            return syntax
    return ""


def _reads(view: memoryview, at: int, syntax: str) -> bool:
    """Two elements in order, or the only one, are written so; the first is of a group that data sets begin with."""
    first = _element(view, at, syntax)
    if first is None or first[0] >> 16 not in _FIRST_GROUPS:
        return False
    tag, end = first
    if end == len(view):
        return True
    second = _element(view, end, syntax)
    return second is not None and second[0] > tag


def _element(view: memoryview, at: int, syntax: str) -> tuple[int, int] | None:
    """(tag, where its value ends) of the element that begins here in this syntax, None where none can."""
    if at + 8 > len(view):
        return None
    order = ">" if syntax == EXPLICIT_BIG else "<"
    group, number = struct.unpack_from(order + "HH", view, at)
    tag, vr = group << 16 | number, bytes(view[at + 4 : at + 6])
    if syntax == IMPLICIT_LITTLE:
        length, value = struct.unpack_from("<I", view, at + 4)[0], at + 8
        if vr in VRS or (implicit_vr(tag) == "UN" and not group & 1):
            return None
    elif vr in LONG_VRS:
        if at + 12 > len(view):
            return None
        length, value = struct.unpack_from(order + "I", view, at + 8)[0], at + 12
    elif vr in VRS:
        length, value = struct.unpack_from(order + "H", view, at + 6)[0], at + 8
    else:
        return None
    if length == 0xFFFFFFFF:
        return tag, len(view)
    return (tag, value + length) if value + length <= len(view) else None


def stream_syntax(head: bytes) -> str:
    """The transfer syntax of a stream of compressed pixels that begins so; '' where it can't be told."""
    if head[:4] == b"\xff\x4f\xff\x51" or head[4:8] == b"jP  ":
        return _JPEG_2000
    if head[:2] == b"\xff\xd8":
        return _jpeg_syntax(head)
    segments = int.from_bytes(head[:4], "little")
    offsets = struct.unpack_from("<15I", head, 4) if len(head) >= 64 else ()
    is_rle = 1 <= segments <= 15 and offsets[:1] == (64,) and not any(offsets[segments:])
    return _RLE if is_rle else ""


def _jpeg_syntax(head: bytes) -> str:
    """By the marker of its frame; segments before it are passed over by their lengths."""
    at = 2
    while at + 4 <= len(head) and head[at] == 0xFF:
        marker = head[at + 1]
        if marker in _JPEG_FRAMES:
            return _JPEG_FRAMES[marker]
        at += 2 + int.from_bytes(head[at + 2 : at + 4], "big")
    return ""


# ---------------------------------------------------------------- a head of ours
def file_meta(sop_class_uid: str, sop_uid: str, transfer_syntax: str) -> bytes:
    """Preamble and group 0002: the same for the same object whoever sent it, and whenever (GROUND.md "Bytes")."""
    parts = [
        _meta_element(0x0001, b"OB", b"\x00\x01"),
        _meta_element(0x0002, b"UI", _padded(sop_class_uid, b"\x00")),
        _meta_element(0x0003, b"UI", _padded(sop_uid, b"\x00")),
        _meta_element(0x0010, b"UI", _padded(transfer_syntax, b"\x00")),
        _meta_element(0x0012, b"UI", _padded(IMPLEMENTATION_UID, b"\x00")),
        _meta_element(0x0013, b"SH", _padded(IMPLEMENTATION_VERSION, b" ")),
    ]
    body = b"".join(parts)
    return bytes(128) + b"DICM" + _meta_element(0x0000, b"UL", struct.pack("<I", len(body))) + body


def _meta_element(number: int, vr: bytes, value: bytes) -> bytes:
    if vr == b"OB":
        return struct.pack("<HH2sHI", 2, number, vr, 0, len(value)) + value
    return struct.pack("<HH2sH", 2, number, vr, len(value)) + value


def _padded(text: str, pad: bytes) -> bytes:
    raw = text.encode("ascii", "replace")
    return raw + pad if len(raw) % 2 else raw
