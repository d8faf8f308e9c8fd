"""One frame's bytes -> its stored values, whatever the syntax: the only door to the codecs.

The stream decides which codec reads it (devices label lossless as baseline); a second one is asked where the first
refuses, then both again with a repaired copy.  Values come out as PS3.5 8.1.1 defines them: BitsStored bits below
HighBit, sign extended; colours by pixel.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from libjpeg.utils import decode as libjpeg_decode
from openjpeg.utils import decode as openjpeg_decode
from openjpeg.utils import get_parameters as openjpeg_parameters
from PIL import Image
from pydicom.dataset import Dataset
from rle.utils import decode_frame as rle_planes

from dicom_gateway.dicom_scan import NATIVE, RLE
from dicom_gateway.jpeg import JpegHead, going_on, head_of, is_ended, is_jpeg, repaired, without_transform

MOST_PIXELS: Final = 100_000_000
#: The pixels of these are colours by luminance and chrominance (PS3.3 C.7.6.3.1.2).
_YBR: Final = ("YBR_FULL", "YBR_FULL_422")
_CODESTREAM: Final = (b"\xff\x4f\xff\x51", b"\x00\x00\x00\x0cjP  ")
Samples = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Layout:
    """How a data set says that its pixels lie (PS3.3 C.7.6.3); what it leaves out or says wrong is what must be meant.

    floating: bytes a value of Float or Double Float Pixel Data, 0 for whole numbers.
    """

    rows: int
    columns: int
    samples: int
    bits_allocated: int
    bits_stored: int
    high_bit: int
    signed: bool
    planar: int
    photometric: str
    floating: int = 0

    @classmethod
    def of(cls, dataset: Dataset) -> Layout:
        allocated = whole(dataset, "BitsAllocated") or 8
        stored = whole(dataset, "BitsStored")
        stored = stored if 0 < stored <= allocated else allocated
        high = whole(dataset, "HighBit", stored - 1)
        return cls(
            rows=whole(dataset, "Rows"),
            columns=whole(dataset, "Columns"),
            samples=whole(dataset, "SamplesPerPixel") or 1,
            bits_allocated=allocated,
            bits_stored=stored,
            high_bit=high if stored - 1 <= high < allocated else stored - 1,
            signed=whole(dataset, "PixelRepresentation") == 1,
            planar=whole(dataset, "PlanarConfiguration"),
            photometric=first_text(dataset, "PhotometricInterpretation"),
            floating=4 if "FloatPixelData" in dataset else 8 if "DoubleFloatPixelData" in dataset else 0,
        )

    @property
    def shift(self) -> int:
        """Bits below the value; other than 0 where HighBit isn't BitsStored - 1."""
        return self.high_bit + 1 - self.bits_stored


@dataclass(frozen=True, slots=True)
class Decoded:
    """values: [row, column] or [row, column, sample], as stored.  bits: how many they need; photometric: what they are."""

    values: Samples
    bits: int
    photometric: str


def decode(frame: bytes, transfer_syntax: str, layout: Layout) -> Decoded:
    """The frame's stored values.  Raises ValueError, or whatever a codec raises on what it can't read."""
    if layout.rows * layout.columns > MOST_PIXELS:
        raise ValueError("too many pixels")
    if transfer_syntax in NATIVE:
        return _native(frame, layout)
    if transfer_syntax == RLE:
        return _run_length(frame, layout)
    if is_jpeg(frame):
        return _jpeg(frame, layout)
    if frame.startswith(_CODESTREAM):
        return _jpeg_2000(frame, layout)
    raise ValueError("no known picture")


# ---------------------------------------------------------------- header values
def whole(dataset: Dataset, keyword: str, otherwise: int = 0) -> int:
    """A whole number of a data set; ``otherwise`` where there is none or it is no number."""
    try:
        value = dataset.get(keyword)
        return int(value[0] if isinstance(value, list | tuple) else value)
    except (ValueError, TypeError, OverflowError, IndexError):
        return otherwise


def first_text(dataset: Dataset, keyword: str) -> str:
    try:
        value = dataset.get(keyword)
    except (ValueError, TypeError):
        return ""
    return "" if value is None else str(value).strip()


# ---------------------------------------------------------------- native and run length
def _native(frame: bytes, layout: Layout) -> Decoded:
    rows, columns, samples = layout.rows, layout.columns, layout.samples
    pixels = rows * columns
    if layout.floating:
        return Decoded(np.frombuffer(frame, f"<f{layout.floating}", pixels).reshape(rows, columns), 0, "MONOCHROME2")
    if layout.bits_allocated == 1:
        bits = np.unpackbits(np.frombuffer(frame, np.uint8), bitorder="little")[:pixels]
        return Decoded(bits.reshape(rows, columns), 1, layout.photometric)
    if layout.bits_allocated not in (8, 16, 32):
        raise ValueError(f"{layout.bits_allocated} bits a sample")
    if layout.photometric == "YBR_FULL_422" and samples == 3 and len(frame) < pixels * 3:
        return Decoded(_halves_of_chroma(frame, rows, columns), 8, "YBR_FULL")
    words = np.frombuffer(frame, f"<u{layout.bits_allocated // 8}", pixels * samples)
    return Decoded(_meant(_by_pixel(words, layout, layout.planar), layout), layout.bits_stored, _named(layout))


def _by_pixel(words: Samples, layout: Layout, planar: int) -> Samples:
    rows, columns, samples = layout.rows, layout.columns, layout.samples
    if samples == 1:
        return words.reshape(rows, columns)
    return words.reshape(samples, rows, columns).transpose(1, 2, 0) if planar else words.reshape(rows, columns, samples)


def _halves_of_chroma(frame: bytes, rows: int, columns: int) -> Samples:
    """Y1 Y2 Cb Cr for two pixels (PS3.3 C.7.6.3.1.2, YBR_FULL_422)."""
    pairs = np.frombuffer(frame, np.uint8, rows * columns * 2).reshape(-1, 4)
    out = np.empty((pairs.shape[0], 2, 3), np.uint8)
    out[:, :, 0], out[:, :, 1], out[:, :, 2] = pairs[:, :2], pairs[:, 2:3], pairs[:, 3:4]
    return out.reshape(rows, columns, 3)


def _named(layout: Layout) -> str:
    return "YBR_FULL" if layout.photometric in _YBR else layout.photometric


def _meant(words: Samples, layout: Layout) -> Samples:
    """The bits that are the value: below HighBit, BitsStored of them, the sign extended; others may be overlays'."""
    bits = layout.bits_stored
    if layout.shift == 0 and bits == layout.bits_allocated:
        return words.view(words.dtype.str.replace("u", "i")) if layout.signed else words
    values = (words >> layout.shift) & words.dtype.type((1 << bits) - 1)
    return _signed(values, bits) if layout.signed else values


def _signed(values: Samples, bits: int) -> Samples:
    """Two's complement of ``bits`` bits -> numbers."""
    wide = values.astype(np.int64)
    size = 8 if bits <= 8 else 16 if bits <= 16 else 32
    return np.where(wide >= 1 << (bits - 1), wide - (1 << bits), wide).astype(f"i{size // 8}")


def _run_length(frame: bytes, layout: Layout) -> Decoded:
    raw = _planes(frame, layout)
    words = np.frombuffer(raw, f"<u{layout.bits_allocated // 8}")
    return Decoded(_meant(_by_pixel(words, layout, planar=1), layout), layout.bits_stored, _named(layout))


def _planes(frame: bytes, layout: Layout) -> bytes:
    try:
        return bytes(rle_planes(frame, layout.rows * layout.columns, layout.bits_allocated, "<"))
    except BaseException as error:
        if (
            type(error).__name__ == "PanicException"
        ):  # of the library's own language; no Exception, and no reason to die
            raise ValueError("broken run lengths") from error
        raise


# ---------------------------------------------------------------- JPEG and its kin
def _jpeg(frame: bytes, layout: Layout) -> Decoded:
    head = head_of(frame)
    if not 0 < (head.rows or layout.rows) * head.columns <= MOST_PIXELS:
        raise ValueError("no pixels, or too many")
    failure: Exception = ValueError("no codec")
    for attempt in _attempts(frame, head, layout):
        try:
            values = attempt()
        except Exception as error:  # codecs raise whatever they like; the next one may read it
            failure = error
            continue
        if not is_ended(frame, head):
            _check_whole(frame, layout)
        return _fitted(values, head.precision, layout, _jpeg_colour(head, layout))
    raise failure


def _check_whole(frame: bytes, layout: Layout) -> None:
    """Raises ValueError where a stream without its end breaks off before its last pixel: codecs fill up with black."""
    mended = libjpeg_decode(repaired(frame, layout.rows))
    if not np.array_equal(mended, libjpeg_decode(repaired(going_on(frame), layout.rows))):
        raise ValueError("the stream breaks off")


def _jpeg_colour(head: JpegHead, layout: Layout) -> str:
    """What the components are: lossless ones as the data set says, others as the stream does where it does."""
    if head.components == 1 or head.is_lossless:
        return _named(layout)
    return head.colour or _named(layout)


def _attempts(frame: bytes, head: JpegHead, layout: Layout) -> Iterator[Callable[[], Samples]]:
    ybr = _jpeg_colour(head, layout) == "YBR_FULL"
    mended = repaired(frame, layout.rows)
    as_it_is = frame if head.rows else mended  # libjpeg never comes back from a height of 0
    is_of_8_bits = head.precision == 8 and not head.is_lossless
    # libjpeg reads JPEG-LS too; CharLS is quicker, but may look for markers in damaged pixels for ever
    for stream in (as_it_is, mended):
        if is_of_8_bits:
            yield lambda stream=stream: _pillow(stream if ybr or head.colour else without_transform(stream), ybr=ybr)
        yield lambda stream=stream: libjpeg_decode(stream)


def _pillow(stream: bytes, *, ybr: bool) -> Samples:
    with Image.open(BytesIO(stream), formats=("JPEG",)) as image:
        if ybr and len(image.getbands()) == 3:
            image.draft("YCbCr", image.size)
        return np.asarray(image)


def _jpeg_2000(frame: bytes, layout: Layout) -> Decoded:
    """Its colour transforms are the codec's own business: what comes out is RGB (PS3.3 C.7.6.3.1.2, YBR_RCT, YBR_ICT)."""
    said = openjpeg_parameters(frame)
    if int(said["rows"]) * int(said["columns"]) > MOST_PIXELS:
        raise ValueError("too many pixels")
    colour = "RGB" if layout.photometric in ("YBR_RCT", "YBR_ICT") else _named(layout)
    return _fitted(openjpeg_decode(frame), int(said["precision"]), layout, colour)


def _fitted(values: Samples, precision: int, layout: Layout, photometric: str) -> Decoded:
    """What a codec gave, as the values the data set means; where they don't fit into BitsStored, with the bits they need."""
    bits = layout.bits_stored
    if precision > bits and layout.shift:
        values = values >> layout.shift
    if layout.signed:
        return _fitted_signed(values, precision, layout, photometric)
    if values.dtype.kind == "i":  # coded signed, meant unsigned: the same bits
        values = values.view(values.dtype.str.replace("i", "u")) & ((1 << precision) - 1)
    fits = precision <= bits or not values.size or int(values.max()) < 1 << bits
    return Decoded(values, bits if fits else precision, photometric)


def _fitted_signed(values: Samples, precision: int, layout: Layout, photometric: str) -> Decoded:
    bits = layout.bits_stored
    if values.dtype.kind == "u":
        high = int(values.max()) if values.size else 0
        values = _signed(values, bits if high < 1 << bits else max(precision, bits))
    fits = not values.size or (int(values.min()) >= -(1 << (bits - 1)) and int(values.max()) < 1 << (bits - 1))
    return Decoded(values, bits if fits else precision, photometric)


# ---------------------------------------------------------------- colours
def as_rgb(decoded: Decoded) -> Samples:
    """[row, column, 3] as RGB, in the values' own bits.  Raises ValueError where they are no colours we know."""
    values = decoded.values
    if values.ndim != 3 or values.shape[2] != 3:
        raise ValueError("no three colours a pixel")
    if decoded.photometric == "RGB":
        return values
    if decoded.photometric == "YBR_FULL":
        return _ybr_to_rgb(values, decoded.bits)
    raise ValueError(f"no colours of {decoded.photometric}")


def _ybr_to_rgb(values: Samples, bits: int) -> Samples:
    """PS3.3 C.7.6.3.1.2, full range, around half of it."""
    half, most = float(1 << (bits - 1)), float((1 << bits) - 1)
    y, cb, cr = (values[..., n].astype(np.float32) for n in range(3))
    cb, cr = cb - half, cr - half
    out = np.stack((y + 1.402 * cr, y - 0.344136 * cb - 0.714136 * cr, y + 1.772 * cb), axis=-1)
    return np.clip(np.rint(out), 0, most).astype(values.dtype)


def octets(decoded: Decoded, layout: Layout) -> bytes:
    """The frame uncompressed, little endian, exactly as the data set describes it, HighBit being BitsStored - 1.

    Raises ValueError where what was decoded is something else: other size, more bits, other colours.
    """
    shape = (layout.rows, layout.columns, layout.samples)[: 3 if layout.samples > 1 else 2]
    if decoded.values.shape != shape:
        raise ValueError(f"decoded {decoded.values.shape}, said {shape}")
    if decoded.bits > layout.bits_stored:
        raise ValueError(f"decoded {decoded.bits} bits, said {layout.bits_stored}")
    values = decoded.values
    if layout.samples == 3 and decoded.photometric != layout.photometric:
        if layout.photometric != "RGB":
            raise ValueError(f"decoded {decoded.photometric}, said {layout.photometric}")
        values = as_rgb(decoded)
    if layout.bits_allocated == 1:
        return np.packbits(values.astype(np.uint8).ravel(), bitorder="little").tobytes()
    if layout.samples > 1 and layout.planar:
        values = values.transpose(2, 0, 1)
    kind = f"<{'i' if layout.signed else 'u'}{max(1, layout.bits_allocated // 8)}"
    return np.ascontiguousarray(values.astype(kind)).tobytes()
