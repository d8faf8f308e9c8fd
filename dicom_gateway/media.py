"""What a caller accepts -> the form it gets: Accept headers with their types and transfer syntaxes (PS3.18 8.7)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from center.errors import NotAcceptable
from dicom_gateway.dicom_scan import DEFLATED, EXPLICIT_BIG, EXPLICIT_LITTLE, IMPLICIT_LITTLE, NATIVE

OCTETS: Final = "application/octet-stream"
DICOM: Final = "application/dicom"
JSON: Final = "application/dicom+json"
PDF: Final = "application/pdf"
#: Transfer syntax -> media type of a frame's bytes as they are stored (PS3.18 table 8.7.3-5).
FRAME_TYPES: Final = {
    "1.2.840.10008.1.2.4.50": "image/jpeg", "1.2.840.10008.1.2.4.51": "image/jpeg",
    "1.2.840.10008.1.2.4.57": "image/jpeg", "1.2.840.10008.1.2.4.70": "image/jpeg",
    "1.2.840.10008.1.2.4.80": "image/jls", "1.2.840.10008.1.2.4.81": "image/jls",
    "1.2.840.10008.1.2.4.90": "image/jp2", "1.2.840.10008.1.2.4.91": "image/jp2",
    "1.2.840.10008.1.2.4.92": "image/jpx", "1.2.840.10008.1.2.4.93": "image/jpx",
    "1.2.840.10008.1.2.4.201": "image/jphc", "1.2.840.10008.1.2.4.202": "image/jphc",
    "1.2.840.10008.1.2.4.203": "image/jphc", "1.2.840.10008.1.2.4.110": "image/jxl",
    "1.2.840.10008.1.2.4.111": "image/jxl", "1.2.840.10008.1.2.4.112": "image/jxl",
    "1.2.840.10008.1.2.5": "image/dicom-rle",
}  # fmt: skip
_PLAIN: Final = frozenset({EXPLICIT_LITTLE, IMPLICIT_LITTLE})


@dataclass(frozen=True, slots=True)
class Wish:
    """One entry of Accept: ``related`` for multipart/related with this type inside."""

    type: str
    related: bool
    transfer_syntax: str = ""
    quality: float = 1.0
    parameters: dict[str, str] = field(default_factory=dict)

    def takes(self, media_type: str) -> bool:
        return self.type in ("*/*", media_type) or self.type == media_type.split("/")[0] + "/*"


def wishes(accept: str) -> list[Wish]:
    """Entries of an Accept header, the best first; nothing said: anything."""
    found: list[Wish] = []
    for entry in _split(accept, ","):
        head, *rest = _split(entry, ";")
        parameters = dict(_parameter(p) for p in rest)
        kind = head.strip().lower()
        related = kind == "multipart/related"
        inner = parameters.get("type", "*/*").lower() if related else kind
        if kind:
            found.append(
                Wish(
                    inner,
                    related,
                    parameters.get("transfer-syntax", ""),
                    _quality(parameters.get("q", "1")),
                    parameters,
                )
            )
    found = [w for w in found if w.quality > 0]
    return sorted(found, key=lambda w: -w.quality) if found else [Wish("*/*", False)]


def _split(text: str, separator: str) -> list[str]:
    """Apart at the separator, but not inside quotes."""
    return [p for p in re.split(separator + r'(?=(?:[^"]*"[^"]*")*[^"]*$)', text[:4000]) if p.strip()]


def _parameter(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    return name.strip().lower(), value.strip().strip('"')


def _quality(text: str) -> float:
    try:
        return min(1.0, max(0.0, float(text)))
    except ValueError:
        return 1.0


@dataclass(frozen=True, slots=True)
class Form:
    """How an answer is given: part's media type, its transfer syntax, whether pixels are to be decoded, in parts or one."""

    media_type: str
    transfer_syntax: str
    decode: bool = False
    single: bool = False


def frame_form(accept: str, stored: str) -> Form:
    """How frames of a stored transfer syntax are given.  Raises NotAcceptable."""
    as_stored = FRAME_TYPES.get(stored, OCTETS)
    label = stored if stored not in NATIVE else EXPLICIT_LITTLE
    for wish in wishes(accept):
        syntax = wish.transfer_syntax
        single = not wish.related and wish.type not in ("*/*",)
        if wish.takes(as_stored) and syntax in ("", "*", stored, label):
            return Form(as_stored, label, single=single)
        if wish.type == OCTETS:
            if syntax == "*":
                return Form(as_stored, label, single=single)
            if syntax in ("", *_PLAIN):
                return Form(OCTETS, EXPLICIT_LITTLE, decode=stored not in NATIVE, single=single)
    raise not_acceptable(
        f'multipart/related; type="{as_stored}"; transfer-syntax={label}',
        'multipart/related; type="application/octet-stream"; transfer-syntax=*',
    )


def instance_form(accept: str, stored: str, *, many: bool) -> Form:
    """How whole instances are given: as stored, or decoded where plain pixels are asked for.  Raises NotAcceptable."""
    for wish in wishes(accept):
        single = not wish.related and wish.type == DICOM and not many
        if not wish.takes(DICOM) or (wish.type == DICOM and not wish.related and many):
            continue
        if wish.transfer_syntax in ("", "*", stored):
            return Form(DICOM, stored, single=single)
        if wish.transfer_syntax == EXPLICIT_LITTLE and stored not in (EXPLICIT_BIG, DEFLATED):
            return Form(DICOM, EXPLICIT_LITTLE, decode=True, single=single)
    raise not_acceptable(f'multipart/related; type="{DICOM}"; transfer-syntax=*')


def video_type(transfer_syntax: str) -> str:
    """The media type of a video's stream (PS3.18 table 8.7.3-5)."""
    return "video/mpeg" if re.search(r"\.10[01](\.1)?$", transfer_syntax) else "video/mp4"


def json_form(accept: str) -> None:
    """Returns when JSON is taken.  Raises NotAcceptable."""
    for wish in wishes(accept):
        if not wish.related and (wish.takes(JSON) or wish.takes("application/json")):
            return
    raise not_acceptable(JSON)


def bulk_form(accept: str, media_type: str) -> Form:
    """How a value is given: multipart when asked so, else the bare bytes.  Raises NotAcceptable."""
    for wish in wishes(accept):
        if wish.takes(media_type) or wish.takes(OCTETS):
            kind = media_type if wish.takes(media_type) else OCTETS
            return Form(kind, EXPLICIT_LITTLE, single=not wish.related)
    raise not_acceptable(media_type, OCTETS)


def picture_form(accept: str) -> str:
    """image/jpeg or image/png.  Raises NotAcceptable."""
    for wish in wishes(accept):
        for kind in ("image/jpeg", "image/png"):
            if not wish.related and wish.takes(kind):
                return kind
    raise not_acceptable("image/jpeg", "image/png")


def not_acceptable(*kinds: str) -> NotAcceptable:
    return NotAcceptable(
        f"这里只能给出：{'、'.join(kinds)}。",
        f"What can be given here: {', '.join(kinds)}.",
        {"available": list(kinds)},
    )
