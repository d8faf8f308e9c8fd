"""One frame of an instance -> a JPEG or PNG as a person sees it; the frame's bytes are all that is read."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from io import BytesIO
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image
from pydicom.dataset import Dataset

from center.errors import BadQuery, NotAcceptable, NotFound, Unreadable
from center.reads import Abstention
from dicom_gateway.decoding import Decoded, Layout, as_rgb, octets
from dicom_gateway.dicom_json import Json
from dicom_gateway.pixels import IS_VIDEO, Window, colour_of, decoded_of, shades_of

THUMBNAIL: Final = (256, 256)
MAX_SIDE: Final = 8192
#: Reads the value behind a BulkDataURI of the metadata.
ReadBulk = Callable[[str], bytes]


@dataclass(frozen=True, slots=True)
class Look:
    """How a picture is asked for: ``viewport`` the largest (width, height) in pixels."""

    media_type: str
    window: Window | None = None
    viewport: tuple[int, int] | None = None
    quality: int = 90


def look_from(
    media_type: str, viewport: str, window: str, quality: str, default: tuple[int, int] | None = None
) -> Look:
    """The query of a rendered resource (PS3.18 8.3.5).  Raises BadQuery."""
    size = default
    if viewport:
        parts = viewport.split(",")
        if not all(re.fullmatch(r"[0-9]{1,5}", p) for p in parts[:2]) or len(parts) < 2:
            raise _bad("viewport", "256,256")
        size = (min(MAX_SIDE, max(1, int(parts[0]))), min(MAX_SIDE, max(1, int(parts[1]))))
    if quality and not re.fullmatch(r"[1-9][0-9]?|100", quality):
        raise _bad("quality", "1-100")
    return Look(media_type, _window(window) if window else None, size, int(quality or 90))


def _window(text: str) -> Window:
    """center,width or center,width,function.  Raises BadQuery."""
    parts = [part.strip() for part in text.split(",")]
    function = {"": "LINEAR", "linear": "LINEAR", "linear-exact": "LINEAR_EXACT", "sigmoid": "SIGMOID"}.get(
        parts[2].lower() if len(parts) > 2 else ""
    )
    try:
        center, width = (float(part) for part in parts[:2])
    except ValueError:
        raise _bad("window", "40,400,linear") from None
    if function is None or not np.isfinite([center, width]).all() or width <= 0:
        raise _bad("window", "40,400,linear")
    return Window(center, width, function)


def _bad(name: str, example: str) -> BadQuery:
    return BadQuery(f"参数 {name} 应形如 {example}。", f"{name} is written like {example}.", {"parameter": name})


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame: its bytes (native ones little endian) and all that says how to show it."""

    attributes: Dataset
    transfer_syntax: str
    content: bytes


def frame_of(metadata: Json, transfer_syntax: str, content: bytes, number: int, read_bulk: ReadBulk) -> Frame:
    """A frame with what its instance's metadata says of it."""

    def value(tag: str, vr: str, uri: str) -> bytes:
        return read_bulk(uri) if tag[:4] in ("0028",) else b""

    attributes = Dataset()
    for tag, element in {**metadata, **_lifted(metadata, number)}.items():
        if tag[:4] in ("0008", "0028", "0018", "2050"):
            try:
                attributes.update(Dataset.from_json({tag: element}, bulk_data_uri_handler=value))
            except (ValueError, TypeError, OverflowError):
                continue  # a number that is none: the picture is shown without it
    for tag in ("7FE00008", "7FE00009"):
        if tag in metadata:
            attributes.add_new(int(tag, 16), "OF" if tag == "7FE00008" else "OD", b"")
    return Frame(attributes, transfer_syntax, content)


def _lifted(metadata: Json, number: int) -> Json:
    """Enhanced objects keep window and rescale in functional groups: those of this frame, as classic ones have them."""
    found: Json = {}
    each = _items(metadata, "52009230")
    for group in (*_items(metadata, "52009229")[:1], *each[number - 1 : number]):
        for macro in ("00289132", "00289145"):  # Frame VOI LUT, Pixel Value Transformation
            for item in _items(group, macro)[:1]:
                found |= item
    return found


def _items(level: Json, tag: str) -> list[Json]:
    element = level.get(tag) or {}
    return [item for item in element.get("Value") or [] if isinstance(item, dict)] if element.get("vr") == "SQ" else []


def rendered(frame: Frame, look: Look) -> bytes:
    """The picture's bytes.  Raises Unreadable, NotFound."""
    decoded = decoded_of(frame.attributes, frame.content, frame.transfer_syntax)
    pixels = decoded if isinstance(decoded, Abstention) else _pixels(frame.attributes, decoded, look)
    if isinstance(pixels, Abstention):
        raise Unreadable(pixels.reason.zh, pixels.reason.en, {"reason": pixels.reason.code})
    return _encoded(Image.fromarray(pixels), look)


def _pixels(attributes: Dataset, decoded: Decoded, look: Look) -> npt.NDArray[np.uint8] | Abstention:
    if decoded.values.ndim == 3 or decoded.photometric == "PALETTE COLOR":
        return colour_of(attributes, decoded)
    seen = shades_of(attributes, decoded, look.window)
    return seen if isinstance(seen, Abstention) else np.asarray(np.rint(seen * 255), dtype=np.uint8)


def _encoded(picture: Image.Image, look: Look) -> bytes:
    if look.viewport is not None:
        scale = min(look.viewport[0] / picture.width, look.viewport[1] / picture.height)
        if scale < 1:  # never larger than it is: enlarging invents pixels
            size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
            picture = picture.resize(size, Image.Resampling.LANCZOS if scale > 0.1 else Image.Resampling.BOX)
    out = BytesIO()
    if look.media_type == "image/png":
        picture.save(out, "PNG")
    else:
        picture.save(out, "JPEG", quality=look.quality)
    return out.getvalue()


def decoded_frame(frame: Frame) -> bytes:
    """The frame's pixels uncompressed, little endian, as the metadata describes them.  Raises Unreadable, NotAcceptable.

    Where HighBit isn't BitsStored - 1 the values are moved down, as ``dicom_json.served`` makes the metadata say.
    """
    found = decoded_of(frame.attributes, frame.content, frame.transfer_syntax)
    if isinstance(found, Abstention):
        raise Unreadable(found.reason.zh, found.reason.en, {"reason": found.reason.code})
    try:
        return octets(found, Layout.of(frame.attributes))
    except ValueError as difference:
        raise NotAcceptable(
            "这一帧解码后与文件头所说的不同（颜色、位数或大小），不能以原始像素给出。请取原存帧、整个对象或图片。",
            "Decoded, this frame is not what its header says (colours, bits or size), so it is not given as plain pixels."
            " Ask for the frame as it is stored, for the whole object, or for a picture.",
            {"difference": str(difference)},
        ) from None


def put_decoded(dataset: Dataset, frames: Iterable[Frame]) -> None:
    """The data set's pixels become these frames uncompressed, and it says exactly what they now are.  Raises Unreadable."""
    decoded = [decoded_of(frame.attributes, frame.content, frame.transfer_syntax) for frame in frames]
    whole = [one for one in decoded if isinstance(one, Decoded)]
    layout = Layout.of(dataset)
    colour = layout.samples == 3
    try:
        if len(whole) < len(decoded):
            raise ValueError("a frame that can't be decoded")
        made = [Decoded(as_rgb(one), one.bits, "RGB") if colour else one for one in whole]
        layout = _layout_for(layout, made)
        pixels = b"".join(octets(one, layout) for one in made)
    except ValueError as error:
        raise Unreadable(
            "图像像素无法解码，或与文件头不符。", "The image's pixels cannot be decoded, or are not what its header says.",
            {"cause": str(error)},
        ) from None  # fmt: skip
    _describe(dataset, layout)
    dataset.add_new(0x7FE00010, "OB" if layout.bits_allocated <= 8 else "OW", pixels + b"\0" * (len(pixels) % 2))
    for keyword in ("ExtendedOffsetTable", "ExtendedOffsetTableLengths"):
        if keyword in dataset:
            del dataset[keyword]


def _layout_for(layout: Layout, made: list[Decoded]) -> Layout:
    """How frames lie that say themselves how many bits they need."""
    bits = max([layout.bits_stored, *(one.bits for one in made)])
    allocated = max(layout.bits_allocated, 8 if bits <= 8 else 16 if bits <= 16 else 32)
    return replace(
        layout, bits_stored=bits, high_bit=bits - 1, bits_allocated=allocated, planar=0,
        photometric="RGB" if layout.samples == 3 else layout.photometric,
    )  # fmt: skip


def _describe(dataset: Dataset, layout: Layout) -> None:
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = (
        layout.bits_allocated, layout.bits_stored, layout.high_bit,
    )  # fmt: skip
    if layout.samples == 3:
        dataset.PhotometricInterpretation, dataset.PlanarConfiguration = "RGB", 0


def no_frames_of_video(address: str) -> NotAcceptable:
    """A video is one stream: nothing is damaged, there are only no pictures in it to give."""
    return NotAcceptable(IS_VIDEO.zh, IS_VIDEO.en, {"reason": IS_VIDEO.code, "download": address})


def no_picture() -> NotFound:
    return NotFound("该对象没有可显示的图像。", "There is no picture in this object.", {})
