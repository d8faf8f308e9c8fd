"""A header -> DICOM JSON (PS3.18 annex F), made once at ingest: UTF-8, large values by series-relative BulkDataURI."""

from __future__ import annotations

import base64
import json
import math
import re
import struct
import zlib
from collections.abc import Iterable, Mapping
from typing import Any, Final

from dicom_gateway.dates import as_written_now
from dicom_gateway.dicom_scan import EXPLICIT_LITTLE, PIXEL_DATA, Element, Elements, Header, private_vr

#: Binary up to this long is sent inline.
INLINE_BYTES: Final = 1024
#: Any other value above this is left to its BulkDataURI.
LONG_BYTES: Final = 1 << 20
_NUMBERS: Final = {
    "US": ("H", 2), "SS": ("h", 2), "UL": ("I", 4), "SL": ("i", 4), "FL": ("f", 4), "FD": ("d", 8), "SV": ("q", 8),
    "UV": ("Q", 8),
}  # fmt: skip
BINARY_VRS: Final = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "UN"})
WORD_BYTES: Final = {"OW": 2, "OF": 4, "OL": 4, "OD": 8, "OV": 8, "US": 2, "SS": 2, "UL": 4, "SL": 4, "FL": 4, "FD": 8}
_LEFT_OUT: Final = frozenset({0x00080005, 0xFFFCFFFC, 0x7FE00001, 0x7FE00002})
_GROUPS_OF_NAME: Final = ("Alphabetic", "Ideographic", "Phonetic")
type_Json = dict[str, Any]  # parsed JSON
Json = type_Json


def metadata(header: Header) -> Json:
    """All of the data set as DICOM JSON; (0008,0005) says ISO_IR 192, group 0002 is left out but for the syntax.

    (0008,3002) Available Transfer Syntax UID is added: viewers label frames by it.
    """
    sop_uid = header.sop_uid
    out: Json = {"00080005": {"vr": "CS", "Value": ["ISO_IR 192"]}}
    out |= _level(header, header.elements, f"instances/{sop_uid}/bulkdata/", _unsigned(header))
    out["00083002"] = {"vr": "UI", "Value": [header.transfer_syntax]}
    return dict(sorted(out.items()))


def is_shifted(metadata: Json) -> bool:
    """HighBit is not BitsStored - 1: values lie higher in their words, which viewers take no notice of."""
    stored, high = (value_of(metadata, tag) for tag in ("00280101", "00280102"))
    return isinstance(stored, int) and isinstance(high, int) and high > stored - 1 >= 0


def served(metadata: Json) -> Json:
    """The metadata of what is served as frames, for viewers that take the header at its word.

    Where values lie too high they are moved down, and it says so.  Windows that are none are left out, and those under 1
    are named LINEAR_EXACT: by LINEAR, which is defined from 1 on, a viewer would show them upside down.
    """
    return metadata | _moved_down(metadata) | _windows(metadata)


def _moved_down(metadata: Json) -> Json:
    if not is_shifted(metadata):
        return {}
    high: Json = {"vr": "US", "Value": [value_of(metadata, "00280101") - 1]}
    return {"00280102": high, "00083002": {"vr": "UI", "Value": [EXPLICIT_LITTLE]}}


def _windows(metadata: Json) -> Json:
    centers, widths = ((metadata.get(tag) or {}).get("Value") or [] for tag in ("00281050", "00281051"))
    pairs = [(c, w) for c, w in zip(centers, widths, strict=False) if _is_number(c) and _is_number(w) and w > 0]
    if len(pairs) == len(centers) == len(widths) and all(w >= 1 for _, w in pairs):
        return {}
    named: Json = {"00281050": _decimals(c for c, _ in pairs), "00281051": _decimals(w for _, w in pairs)}
    if any(w < 1 for _, w in pairs) and value_of(metadata, "00281056") != "SIGMOID":
        named["00281056"] = {"vr": "CS", "Value": ["LINEAR_EXACT"]}
    return named


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float)


def _decimals(values: Iterable[float]) -> Json:
    found = list(values)
    return {"vr": "DS", "Value": found} if found else {"vr": "DS"}


def pack(value: Json) -> bytes:
    return zlib.compress(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode(), 6)


def unpack_text(packed: bytes) -> bytes:
    return zlib.decompress(packed)


def unpack(packed: bytes) -> Json:
    return json.loads(zlib.decompress(packed))


def _unsigned(header: Header) -> bool:
    return (header.integer(0x00280103) or 0) == 0


def _level(header: Header, elements: Elements, path: str, unsigned: bool) -> Json:
    out: Json = {}
    creators: dict[int, str] = {}
    for tag in sorted(elements):
        element = elements[tag]
        if tag & 0xFFFF == 0 or tag in _LEFT_OUT:
            continue
        if (tag >> 16) & 1 and tag & 0xFFFF < 0x100:
            creators[tag >> 16 << 16 | (tag & 0xFF) << 8] = header.text_of(element)
        out[f"{tag:08X}"] = _element(header, element, _vr(element, creators, unsigned), f"{path}{tag:08X}", unsigned)
    return out


def _vr(element: Element, creators: Mapping[int, str], unsigned: bool) -> str:
    if element.vr == "UN" and (element.tag >> 16) & 1 and element.items is None:
        known = private_vr(element.tag, creators.get(element.tag & 0xFFFFFF00, ""))
        return known if len(known) == 2 and known != "SQ" else "UN"
    if element.vr == "US" and not unsigned and element.tag in _SIGNED_BY_PIXELS:
        return "SS"
    return element.vr


#: "US or SS" in the dictionary: as the pixels are (PS3.5 A.1).
_SIGNED_BY_PIXELS: Final = frozenset({0x00280106, 0x00280107, 0x00280108, 0x00280109, 0x00280120, 0x00280121})


def _element(header: Header, element: Element, vr: str, path: str, unsigned: bool) -> Json:
    if element.items is not None:
        items = [_level(header.within(item), item, f"{path}/{n}/", unsigned) for n, item in enumerate(element.items)]
        return {"vr": "SQ", "Value": items} if items else {"vr": "SQ"}
    if element.fragments is not None or element.tag == PIXEL_DATA:
        return {"vr": "OB" if element.fragments is not None else vr, "BulkDataURI": path}
    if vr in BINARY_VRS:
        return _binary(header, element, vr, path)
    if element.length > LONG_BYTES:
        return {"vr": vr, "BulkDataURI": path}
    values = _values(header, element, vr)
    return {"vr": vr, "Value": values} if values else {"vr": vr}


def _binary(header: Header, element: Element, vr: str, path: str) -> Json:
    if element.length == 0:
        return {"vr": vr}
    if element.length > INLINE_BYTES:
        return {"vr": vr, "BulkDataURI": path}
    raw = little_endian(header.raw(element), WORD_BYTES.get(vr, 1) if header.big_endian else 1)
    return {"vr": vr, "InlineBinary": base64.b64encode(raw).decode()}


def little_endian(raw: bytes, width: int) -> bytes:
    """Big-endian words turned round; ``width`` 1 leaves them."""
    if width <= 1:
        return raw
    whole = len(raw) // width * width
    out = bytearray(raw[:whole])
    for n in range(width):
        out[n::width] = raw[width - 1 - n : whole : width]
    return bytes(out) + raw[whole:]


def _values(header: Header, element: Element, vr: str) -> list[Any]:
    raw = header.raw(element)
    if vr in _NUMBERS:
        code, width = _NUMBERS[vr]
        count = len(raw) // width
        found = struct.unpack(f"{'>' if header.big_endian else '<'}{count}{code}", raw[: count * width])
        return [_finite(v) for v in found]
    if vr == "AT":
        words = struct.unpack(f"{'>' if header.big_endian else '<'}{len(raw) // 2}H", raw[: len(raw) // 2 * 2])
        return [f"{g:04X}{e:04X}" for g, e in zip(words[::2], words[1::2], strict=False)]
    text = header.repertoire.decode(raw).rstrip()
    if vr in ("LT", "ST", "UT", "UR"):
        return [text] if text else []
    parts = [part.strip() for part in text.split("\\")] if text else []
    if vr == "PN":
        return [person_name(part) or None for part in parts]
    if vr in ("DS", "IS"):
        return [_number(part, whole=vr == "IS") for part in parts]
    return [as_written_now(vr, part) or None for part in parts]


def person_name(text: str) -> Json:
    """A PN as its groups; empty ones are left out."""
    return {
        name: group.rstrip("^ ")
        for name, group in zip(_GROUPS_OF_NAME, text.split("="), strict=False)
        if group.strip("^ ")
    }


def identity_json(row: Mapping[str, Any]) -> Json:
    """A patient's row as the elements that name him: shown instead of what the device wrote, once put right."""
    birth = row["birth_date"]
    name = (
        person_name(row["person_name"]) if "=" in row["person_name"] else _plain_name(row["person_name"] or row["name"])
    )
    return {
        "00100010": {"vr": "PN", "Value": [name]} if name else {"vr": "PN"},
        "00100020": {"vr": "LO", "Value": [row["local_id"]]} if row["local_id"] else {"vr": "LO"},
        "00100030": {"vr": "DA", "Value": [birth.strftime("%Y%m%d")]} if birth else {"vr": "DA"},
        "00100040": {"vr": "CS", "Value": [row["sex"]]} if row["sex"] else {"vr": "CS"},
    }


def _plain_name(text: str) -> Json:
    # A name typed by a person has no groups: viewers show the alphabetic one, whatever its script.
    return {"Alphabetic": text} if text else {}


def _number(text: str, *, whole: bool) -> Any:
    # What is not a number stays as the text that it is: JSON readers take both (PS3.18 F.2.3.1).
    if not text:
        return None
    try:
        value = int(text) if whole else float(text)
    except ValueError:
        return text
    return value if isinstance(value, int) or math.isfinite(value) else text


def _finite(value: float) -> Any:
    return value if isinstance(value, int) or math.isfinite(value) else None


def element_at(header: Header, path: str) -> Element | None:
    """The element that a BulkDataURI's path names: ``54000100/0/54001010``."""
    parts = path.split("/")
    if len(parts) % 2 == 0:
        return None
    level: Elements | None = header.elements
    for tag_text, index in _steps(parts):
        tag = int(tag_text, 16) if len(tag_text) == 8 and all(c in "0123456789ABCDEFabcdef" for c in tag_text) else -1
        element = level.get(tag) if level else None
        if index is None or element is None:
            return element
        items = element.items or []
        level = items[index] if 0 <= index < len(items) else None
    return None


def _steps(parts: list[str]) -> Iterable[tuple[str, int | None]]:
    for n in range(0, len(parts), 2):
        index = parts[n + 1] if n + 1 < len(parts) else None
        yield parts[n], None if index is None else int(index) if re.fullmatch(r"[0-9]{1,6}", index) else -1


def value_of(dataset: Mapping[str, Any], tag: str) -> Any:
    """The first value of a tag in DICOM JSON, or None."""
    values = dataset.get(tag, {}).get("Value") or [None]
    return values[0]
