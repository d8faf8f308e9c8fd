"""One frame of an instance -> a JPEG or PNG as a person sees it; the frame's bytes are all that is read."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.processing import apply_color_lut
from pydicom.pixels.utils import pixel_array
from pydicom.uid import UID

from center.errors import BadQuery, NotFound, Unreadable
from center.reads import Abstention
from dicom_gateway.dicom_json import Json
from dicom_gateway.dicom_scan import EXPLICIT_LITTLE, NATIVE
from dicom_gateway.pixels import MOST_PIXELS, colour_of, shades_of

THUMBNAIL: Final = (256, 256)
MAX_SIDE: Final = 8192
_GRAY: Final = ("MONOCHROME1", "MONOCHROME2")
#: Reads the value behind a BulkDataURI of the metadata.
ReadBulk = Callable[[str], bytes]


@dataclass(frozen=True, slots=True)
class Look:
    """How a picture is asked for: ``window`` (center, width), ``viewport`` the largest (width, height) in pixels."""

    media_type: str
    window: tuple[float, float] | None = None
    viewport: tuple[int, int] | None = None
    quality: int = 90


def look_from(
    media_type: str, viewport: str, window: str, quality: str, default: tuple[int, int] | None = None
) -> Look:
    """The query of a rendered resource (PS3.18 8.3.5).  Raises BadQuery."""
    size, shades = default, None
    if viewport:
        parts = viewport.split(",")
        if not all(re.fullmatch(r"[0-9]{1,5}", p) for p in parts[:2]) or len(parts) < 2:
            raise _bad("viewport", "256,256")
        size = (min(MAX_SIDE, max(1, int(parts[0]))), min(MAX_SIDE, max(1, int(parts[1]))))
    if window:
        try:
            center, width = (float(p) for p in window.split(",")[:2])
        except ValueError:
            raise _bad("window", "40,400,linear") from None
        if not np.isfinite([center, width]).all() or width < 1:
            raise _bad("window", "40,400,linear")
        shades = (center, width)
    if quality and not re.fullmatch(r"[1-9][0-9]?|100", quality):
        raise _bad("quality", "1-100")
    return Look(media_type, shades, size, int(quality or 90))


def _bad(name: str, example: str) -> BadQuery:
    return BadQuery(f"参数 {name} 应形如 {example}。", f"{name} is written like {example}.", {"parameter": name})


def frame_dataset(metadata: Json, transfer_syntax: str, frame: bytes, number: int, read_bulk: ReadBulk) -> Dataset:
    """A data set of this one frame, with all that says how to show it."""

    def value(tag: str, vr: str, uri: str) -> bytes:
        return read_bulk(uri) if tag[:4] in ("0028",) else b""

    dataset = Dataset()
    for tag, element in metadata.items():
        if tag[:4] in ("0008", "0028", "0018", "2050", "5200"):
            try:
                dataset.update(Dataset.from_json({tag: element}, bulk_data_uri_handler=value))
            except (ValueError, TypeError, OverflowError):
                continue  # a number that is none: the picture is shown without it
    _lift(dataset, number)
    dataset.file_meta = FileMetaDataset()
    native = transfer_syntax in NATIVE
    dataset.file_meta.TransferSyntaxUID = UID(EXPLICIT_LITTLE if native else transfer_syntax)
    dataset.NumberOfFrames = 1
    dataset.PixelData = frame + b"\x00" * (len(frame) % 2) if native else encapsulate([frame])
    dataset["PixelData"].VR = "OW" if native and int(dataset.get("BitsAllocated", 16)) > 8 else "OB"
    if not native:
        dataset["PixelData"].is_undefined_length = True
    return dataset


def _lift(dataset: Dataset, number: int) -> None:
    """Enhanced objects keep window and rescale in functional groups: brought up to where classic ones have them."""
    groups = [*dataset.get("SharedFunctionalGroupsSequence", [])]
    each = dataset.get("PerFrameFunctionalGroupsSequence", [])
    if 0 < number <= len(each):
        groups.append(each[number - 1])
    for group in groups:
        for name in ("FrameVOILUTSequence", "PixelValueTransformationSequence"):
            for item in group.get(name, [])[:1]:
                dataset.update(item)


def rendered(dataset: Dataset, look: Look) -> bytes:
    """The picture's bytes.  Raises Unreadable, NotFound."""
    if str(dataset.get("PhotometricInterpretation", "")) in _GRAY:
        seen = shades_of(dataset, window=look.window)
        pixels = seen if isinstance(seen, Abstention) else np.asarray(np.rint(seen * 255), dtype=np.uint8)
    else:
        pixels = _colour(dataset)
    if isinstance(pixels, Abstention):
        raise Unreadable(pixels.reason.zh, pixels.reason.en, {"reason": pixels.reason.code})
    return _encoded(Image.fromarray(pixels), look)


def _colour(dataset: Dataset) -> npt.NDArray[np.uint8] | Abstention:
    if str(dataset.get("PhotometricInterpretation", "")) != "PALETTE COLOR":
        return colour_of(dataset)
    try:
        looked_up = apply_color_lut(pixel_array(dataset, index=0), dataset)
    except (ValueError, AttributeError, KeyError, IndexError):
        return colour_of(dataset)
    return np.asarray(looked_up >> (8 if looked_up.dtype == np.uint16 else 0), dtype=np.uint8)


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


def decoded_frame(dataset: Dataset) -> bytes:
    """The frame's pixels uncompressed, little endian, as the header describes them.  Raises Unreadable."""
    if int(dataset.get("Rows", 0) or 0) * int(dataset.get("Columns", 0) or 0) > MOST_PIXELS:
        raise Unreadable("图像过大，没有解码。", "The image is too large to be decoded.", {})
    try:
        decoder: Any = get_decoder(dataset.file_meta.TransferSyntaxUID)
        raw, _ = decoder.as_buffer(dataset, index=0)
    except Exception as error:  # codecs raise whatever they like on broken data
        raise Unreadable(
            "图像像素无法解码。请从设备重新导出这一张。",
            "The image's pixels cannot be decoded. Export this one again from the device.",
            {"cause": type(error).__name__},
        ) from error
    return bytes(raw)


def no_picture() -> NotFound:
    return NotFound("该对象没有可显示的图像。", "There is no picture in this object.", {})
