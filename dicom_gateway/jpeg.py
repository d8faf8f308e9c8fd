"""Bytes of a JPEG -> what its own markers say, and a copy put right where old encoders wrote what decoders refuse.

The stream's word on itself decides how it is decoded; the data set's only where the stream says nothing
(ITU-T T.81 annex B).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

_START: Final = b"\xff\xd8"
_END: Final = b"\xff\xd9"
_APP0: Final = 0xE0
_APP14: Final = 0xEE
_SCAN: Final = 0xDA
_LOSSLESS_LS: Final = 0xF7
#: Start-of-frame markers by process; 0xC4, 0xC8 and 0xCC are others (T.81 table B.1), 0xF7 is of JPEG-LS (T.87).
_FRAMES: Final = frozenset({*range(0xC0, 0xD0), _LOSSLESS_LS}) - {0xC4, 0xC8, 0xCC}
_SEQUENTIAL: Final = (0xC0, 0xC1)
_MOST_SEGMENTS: Final = 1000
#: APP14 "Adobe", version 100, no flags, transform 0: the components are as they are named.
_NO_TRANSFORM: Final = b"\xff\xee\x00\x0eAdobe\x00d\x00\x00\x00\x00\x00"


@dataclass(frozen=True, slots=True)
class JpegHead:
    """What the markers up to the first scan say.

    process: the low byte of its start-of-frame marker.  rows 0: given behind the scan (DNL).  colour: RGB, YBR_FULL or
    empty where it isn't said.  frame_at, scan_at: where these segments begin.
    """

    process: int
    precision: int
    rows: int
    columns: int
    components: int
    colour: str
    frame_at: int
    scan_at: int

    @property
    def is_lossless(self) -> bool:
        return self.process in (0xC3, 0xC7, 0xCB, 0xCF, _LOSSLESS_LS)


def is_jpeg(stream: bytes) -> bool:
    return stream.startswith(_START)


def head_of(stream: bytes) -> JpegHead:
    """Raises ValueError where it is no JPEG with a frame and a scan."""
    at, adobe, jfif = 2, -1, False
    frame: tuple[int, int, bytes] | None = None
    for _ in range(_MOST_SEGMENTS):
        while stream[at : at + 2] == b"\xff\xff":  # fill bytes (B.1.1.2)
            at += 1
        if len(stream) < at + 4 or stream[at] != 0xFF:
            break
        marker, length = stream[at + 1], struct.unpack_from(">H", stream, at + 2)[0]
        body = stream[at + 4 : at + 2 + length]
        if marker == _APP0 and body.startswith(b"JFIF"):
            jfif = True
        elif marker == _APP14 and body.startswith(b"Adobe") and len(body) >= 12:
            adobe = body[11]
        elif marker in _FRAMES and len(body) >= 6:
            frame = (marker, at, body)
        elif marker == _SCAN and frame is not None:
            return _head(*frame, adobe, jfif, at)
        at += 2 + length
    raise ValueError("no JPEG with a frame and a scan")


def _head(marker: int, frame_at: int, body: bytes, adobe: int, jfif: bool, scan_at: int) -> JpegHead:
    precision, rows, columns, components = struct.unpack_from(">BHHB", body)
    named = bytes(body[6 + 3 * n] for n in range(components) if 6 + 3 * n < len(body))
    colour = ""
    if components == 3:
        said = {0: "RGB", 1: "YBR_FULL"}.get(adobe, "")
        colour = said or ("YBR_FULL" if jfif else "RGB" if named == b"RGB" else "")
    return JpegHead(marker, precision, rows, columns, components, colour, frame_at, scan_at)


def without_transform(stream: bytes) -> bytes:
    """A copy that says its colours are no YCbCr, for a decoder that else would guess so."""
    return stream[:2] + _NO_TRANSFORM + stream[2:]


def is_ended(stream: bytes, head: JpegHead) -> bool:
    return stream.rfind(_END) > head.scan_at


def going_on(stream: bytes) -> bytes:
    """A copy of a stream without an end that goes on with other bits: where its scan was whole, nobody looks at them."""
    return stream + bytes(n * 37 % 251 for n in range(1, 120)) + _END


def repaired(stream: bytes, rows: int) -> bytes:
    """A copy with what encoders got wrong put right; pixels are the same.

    A sequential scan's spectral selection is 0..63 (B.2.3; some wrote 0), a height of 0 is the data set's, an end is
    put where it is missing, and what follows the end is left out.  Raises ValueError.
    """
    head, out = head_of(stream), bytearray(stream)
    if head.process in _SEQUENTIAL:
        selection = head.scan_at + 5 + 2 * stream[head.scan_at + 4]
        out[selection : selection + 3] = bytes((0, 63, 0))
    if head.rows == 0:
        out[head.frame_at + 5 : head.frame_at + 7] = struct.pack(">H", rows)
    end = out.rfind(_END)
    if end < head.scan_at:
        return bytes(out) + _END
    return bytes(out[: end + 2])
