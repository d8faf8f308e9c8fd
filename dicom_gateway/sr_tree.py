"""Content items of a structured report as bytes (PS3.3 C.17.3, Explicit VR Little Endian): values in, items out.

An ECG's report has some thousand items; encoded here they take milliseconds, as objects of a library a second and more.
Items are bytes without their item tag; ``sequence`` puts it on.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from math import isfinite
from typing import Final, Literal

Relation = Literal["CONTAINS", "HAS CONCEPT MOD", "HAS OBS CONTEXT", "HAS PROPERTIES", "INFERRED FROM"]

_LONG: Final = frozenset({"SQ", "UT"})
_ITEM: Final = b"\xfe\xff\x00\xe0"


@dataclass(frozen=True, slots=True)
class Coded:
    """A concept: value at most 16 characters, meaning at most 64."""

    value: str
    scheme: str
    meaning: str


MEASUREMENT_FAILURE: Final = Coded("114006", "DCM", "Measurement failure")


def element(group: int, number: int, vr: str, value: str | bytes) -> bytes:
    """One data element; texts are UTF-8, padded to an even length."""
    raw = value.encode() if isinstance(value, str) else value
    if len(raw) % 2:
        raw += b"\0" if vr == "UI" else b" "
    head = struct.pack("<HH2s", group, number, vr.encode())
    return head + (struct.pack("<2xI", len(raw)) if vr in _LONG else struct.pack("<H", len(raw))) + raw


def sequence(group: int, number: int, items: Iterable[bytes]) -> bytes:
    """A sequence of these items, lengths defined."""
    return element(group, number, "SQ", b"".join(_ITEM + struct.pack("<I", len(item)) + item for item in items))


def code(group: int, number: int, concept: Coded) -> bytes:
    """A code sequence of one concept."""
    item = element(0x0008, 0x0100, "SH", concept.value[:16])
    item += element(0x0008, 0x0102, "SH", concept.scheme)
    return sequence(group, number, [item + element(0x0008, 0x0104, "LO", concept.meaning[:64])])


def container(relation: Relation, name: Coded, children: Iterable[bytes], template: str = "") -> bytes:
    item = _head(relation, "CONTAINER", name) + element(0x0040, 0xA050, "CS", "SEPARATE")
    if template:
        held = element(0x0008, 0x0105, "CS", "DCMR") + element(0x0040, 0xDB00, "CS", template)
        item += sequence(0x0040, 0xA504, [held])
    return item + _content(children)


def text_item(relation: Relation, name: Coded, words: str, children: Iterable[bytes] = ()) -> bytes:
    return _head(relation, "TEXT", name) + element(0x0040, 0xA160, "UT", words) + _content(children)


def code_item(relation: Relation, name: Coded, value: Coded, children: Iterable[bytes] = ()) -> bytes:
    return _head(relation, "CODE", name) + code(0x0040, 0xA168, value) + _content(children)


def uid_item(relation: Relation, name: Coded, uid: str) -> bytes:
    return _head(relation, "UIDREF", name) + element(0x0040, 0xA124, "UI", uid)


def number_item(relation: Relation, name: Coded, value: float, unit: Coded, children: Iterable[bytes] = ()) -> bytes:
    """A number to six figures, which a decimal string of 16 characters holds; what is no number is not there."""
    if not isfinite(value):
        return unmeasured_item(relation, name, MEASUREMENT_FAILURE)
    measured = code(0x0040, 0x08EA, unit) + element(0x0040, 0xA30A, "DS", f"{value:.6g}")
    return _head(relation, "NUM", name) + sequence(0x0040, 0xA300, [measured]) + _content(children)


def unmeasured_item(relation: Relation, name: Coded, why: Coded) -> bytes:
    """A number that is not there, and why (CID 42)."""
    return _head(relation, "NUM", name) + sequence(0x0040, 0xA300, []) + code(0x0040, 0xA301, why)


def waveform_item(relation: Relation, name: Coded, sop_class_uid: str, sop_instance_uid: str) -> bytes:
    referenced = element(0x0008, 0x1150, "UI", sop_class_uid) + element(0x0008, 0x1155, "UI", sop_instance_uid)
    return sequence(0x0008, 0x1199, [referenced]) + _head(relation, "WAVEFORM", name)


def _head(relation: Relation, value_type: str, name: Coded) -> bytes:
    head = element(0x0040, 0xA010, "CS", relation) + element(0x0040, 0xA040, "CS", value_type)
    return head + code(0x0040, 0xA043, name)


def _content(children: Iterable[bytes]) -> bytes:
    held = list(children)
    return sequence(0x0040, 0xA730, held) if held else b""
