"""How data sets are encoded: transfer syntaxes, value representations and the dictionary's word on each tag."""

from __future__ import annotations

from typing import Final

from pydicom.datadict import dictionary_VR, private_dictionary_VR  # a table of the standard: no I/O

from center.errors import Unreadable

IMPLICIT_LITTLE: Final = "1.2.840.10008.1.2"
EXPLICIT_LITTLE: Final = "1.2.840.10008.1.2.1"
EXPLICIT_BIG: Final = "1.2.840.10008.1.2.2"
DEFLATED: Final = "1.2.840.10008.1.2.1.99"
#: Syntaxes whose pixel data is native; all others encapsulate it (PS3.5 annex A).
NATIVE: Final = frozenset({IMPLICIT_LITTLE, EXPLICIT_LITTLE, EXPLICIT_BIG, DEFLATED})

#: Value representations with a 32-bit length (PS3.5 7.1.2), and all of them.
LONG_VRS: Final = frozenset({b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"})
VRS: Final = LONG_VRS | {
    b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FL", b"FD", b"IS", b"LO", b"LT", b"PN", b"SH", b"SL", b"SS",
    b"ST", b"TM", b"UI", b"UL", b"US",
}  # fmt: skip


def unreadable(expected: str, at: int, expected_zh: str = "") -> Unreadable:
    """Not DICOM here: what was expected, at which byte."""
    return Unreadable(
        f"不是完整的 DICOM 文件：第 {at} 字节处应为{expected_zh or expected}。请重新发送或重新导出该文件。",
        f"Not a whole DICOM file: expected {expected} at byte {at}. Send or export the file again.",
        {"expected": expected, "byte": at},
    )


_AMBIGUOUS: Final = {"US or SS": "US", "OB or OW": "OW", "US or OW": "OW", "US or SS or OW": "OW"}
_vr_cache: dict[int, str] = {}


def implicit_vr(tag: int) -> str:
    """The VR of a tag where the data set doesn't say it; UN for private and unknown ones (PS3.5 A.1)."""
    known = _vr_cache.get(tag)
    if known is None:
        try:
            vr = "UL" if tag & 0xFFFF == 0 else "LO" if _is_creator(tag) else dictionary_VR(tag)
        except KeyError:
            vr = "UN"
        known = _AMBIGUOUS.get(vr, vr)
        if len(_vr_cache) < 20_000:
            _vr_cache[tag] = known
    return known


def _is_creator(tag: int) -> bool:
    return (tag >> 16) % 2 == 1 and 0x10 <= tag & 0xFFFF <= 0xFF


def private_vr(tag: int, creator: str) -> str:
    """The VR of a known private tag, for showing; UN where nobody published it."""
    try:
        return private_dictionary_VR(tag, creator)
    except KeyError:
        return "UN"
