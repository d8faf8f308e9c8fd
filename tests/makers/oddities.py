"""Data sets byte by byte, as odd devices write them: any VR, length, order, head; what pydicom would put right."""

from __future__ import annotations

import struct
from collections.abc import Mapping

from tests.makers.dicom import CR_STORAGE, EXPLICIT_LITTLE, IMPLICIT_LITTLE, uid

_LONG = (b"OB", b"OW", b"SQ", b"UN", b"UT", b"UC", b"UR", b"OV", b"SV", b"UV", b"OD", b"OL", b"OF")
Values = dict[int, tuple[bytes, bytes]]


def tag_bytes(tag: int, big: bool = False) -> bytes:
    return struct.pack(">HH" if big else "<HH", tag >> 16, tag & 0xFFFF)


def element(tag: int, vr: bytes, value: bytes, *, long: bool | None = None, big: bool = False) -> bytes:
    """An element with explicit VR; long: with a 32-bit length (default: as its VR has it). Odd values are padded."""
    order = ">" if big else "<"
    value += (b"\x00" if vr in (b"UI", *_LONG) else b" ") * (len(value) % 2)
    if vr in _LONG if long is None else long:
        return tag_bytes(tag, big) + vr + struct.pack(order + "HI", 0, len(value)) + value
    return tag_bytes(tag, big) + vr + struct.pack(order + "H", len(value)) + value


def implicit(tag: int, value: bytes) -> bytes:
    value += b" " * (len(value) % 2)
    return tag_bytes(tag) + struct.pack("<I", len(value)) + value


def item(*elements: bytes) -> bytes:
    body = b"".join(elements)
    return struct.pack("<HHI", 0xFFFE, 0xE000, len(body)) + body


def values(seed: str, *, rows: int = 32, columns: int = 32) -> Values:
    """A small film's elements: tag -> (VR, value)."""
    number = lambda n: struct.pack("<H", n)  # noqa: E731
    ids = {t: uid("odd", seed, w).encode() for t, w in ((0x00080018, "i"), (0x0020000D, "s"), (0x0020000E, "e"))}
    return {
        0x00080005: (b"CS", b"ISO_IR 100"), 0x00080016: (b"UI", CR_STORAGE.encode()),
        0x00080018: (b"UI", ids[0x00080018]), 0x00080020: (b"DA", b"20261130"), 0x00080030: (b"TM", b"101500"),
        0x00080050: (b"SH", b""), 0x00080060: (b"CS", b"CR"), 0x00080090: (b"PN", b""),
        0x00100010: (b"PN", b"Odd^Seed"), 0x00100020: (b"LO", b"S-" + seed.encode()), 0x00100030: (b"DA", b"19700101"),
        0x00100040: (b"CS", b"M"), 0x0020000D: (b"UI", ids[0x0020000D]), 0x0020000E: (b"UI", ids[0x0020000E]),
        0x00200010: (b"SH", b"1"), 0x00200011: (b"IS", b"1"), 0x00200013: (b"IS", b"1"), 0x00280002: (b"US", number(1)),
        0x00280004: (b"CS", b"MONOCHROME2"), 0x00280010: (b"US", number(rows)), 0x00280011: (b"US", number(columns)),
        0x00280100: (b"US", number(16)), 0x00280101: (b"US", number(12)), 0x00280102: (b"US", number(11)),
        0x00280103: (b"US", number(0)), 0x7FE00010: (b"OW", bytes(n * 7 % 256 * (n % 2 == 0) for n in range(rows * columns * 2))),
    }  # fmt: skip


def data_set(seed: str, changes: Mapping[int, tuple[bytes, bytes] | bytes | None] | None = None) -> bytes:
    """Explicit VR little endian; changes: (VR, value), an element's whole bytes, or None to leave it out."""
    parts: dict[int, bytes] = {tag: element(tag, *value) for tag, value in values(seed).items()}
    for tag, change in (changes or {}).items():
        if change is None:
            parts.pop(tag, None)
        else:
            parts[tag] = change if isinstance(change, bytes) else element(tag, *change)
    return b"".join(parts[tag] for tag in sorted(parts))


def implicit_data_set(seed: str) -> bytes:
    return b"".join(implicit(tag, value) for tag, (_, value) in sorted(values(seed).items()))


def big_data_set(seed: str) -> bytes:
    turned = lambda vr, v: v[::-1] if vr == b"US" else b"".join(v[n : n + 2][::-1] for n in range(0, len(v), 2)) if vr == b"OW" else v  # noqa: E731 # fmt: skip
    return b"".join(element(tag, vr, turned(vr, v), big=True) for tag, (vr, v) in sorted(values(seed).items()))


def head(
    seed: str, *, syntax: str | None = EXPLICIT_LITTLE, sop_class: str = CR_STORAGE, sop_uid: str | None = None,
    group_length: int | None = None,
) -> bytes:  # fmt: skip
    """Group 0002. None leaves the transfer syntax out; group_length: one that lies."""
    sop = sop_uid or values(seed)[0x00080018][1].decode()
    body = element(0x00020001, b"OB", b"\x00\x01") + element(0x00020002, b"UI", sop_class.encode())
    body += element(0x00020003, b"UI", sop.encode())
    body += element(0x00020010, b"UI", syntax.encode()) if syntax else b""
    body += element(0x00020012, b"UI", b"1.2.3.4")
    return element(0x00020000, b"UL", struct.pack("<I", len(body) if group_length is None else group_length)) + body


def part10(seed: str, changes: Mapping[int, tuple[bytes, bytes] | bytes | None] | None = None) -> bytes:
    """A file with preamble and head."""
    return bytes(128) + b"DICM" + head(seed) + data_set(seed, changes)


def dicomdir() -> bytes:
    """The index of a disc with one patient's record and no image."""
    records = element(0x00041220, b"SQ", item(element(0x00041430, b"CS", b"PATIENT")))
    return bytes(128) + b"DICM" + head("disc", sop_class="1.2.840.10008.1.3.10") + element(0x00041130, b"CS", b"DISC") + records  # fmt: skip


__all__ = [
    "EXPLICIT_LITTLE", "IMPLICIT_LITTLE", "big_data_set", "data_set", "dicomdir", "element", "head", "implicit",
    "implicit_data_set", "item", "part10", "tag_bytes", "values",
]  # fmt: skip
