"""A DICOM image -> shades 0..1 as a person would see them: rescale, VOI or window, inversion, in that order.

Order and traps: PS3.3 C.11.1 (modality LUT), C.11.2 (VOI LUT), C.7.6.3.1.2 (MONOCHROME1), C.8.11.1.1 (presentation
intent).  Bounded: nothing larger than ``MOST_PIXELS`` is decoded.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pydicom
from pydicom.dataset import Dataset
from pydicom.encaps import get_frame
from pydicom.errors import InvalidDicomError
from pydicom.multival import MultiValue
from pydicom.pixels.processing import apply_color_lut

from center.patients import age_on
from center.reads import Abstention, FilmInput, Reason
from dicom_gateway.decoding import MOST_PIXELS, Decoded, Layout, as_rgb, decode, first_text, whole
from dicom_gateway.dicom_json import little_endian
from dicom_gateway.dicom_scan import EXPLICIT_BIG, NATIVE, VIDEO, readable

GREY: Final = ("MONOCHROME1", "MONOCHROME2")
Shades = npt.NDArray[np.float32]

_NOT_DECODED = Reason(
    "unreadable_pixels",
    "图像像素无法解码。请从设备重新导出这一张。",
    "The image's pixels cannot be decoded. Export this one again from the device.",
)
_NO_PIXELS = Reason("no_pixels", "没有图像像素。", "There are no image pixels.")
TOO_LARGE = Reason("too_large", "图像过大，没有解码。", "The image is too large to be decoded.")
IS_VIDEO = Reason(
    "video",
    "这是视频，不是图片，没有损坏。请下载后播放。",
    "This is a video, not a picture, and not damaged: download it to play it.",
)
_UNKNOWN_KIND = Reason(
    "unknown_kind", "不是灰度影像。请直接阅片。", "This is not a grey-scale image. Read it without AI."
)


@dataclass(frozen=True, slots=True)
class Window:
    """What of the rescaled values is shown, and how (PS3.3 C.11.2.1.2 and C.11.2.1.3): LINEAR, LINEAR_EXACT, SIGMOID."""

    center: float
    width: float
    function: str = "LINEAR"


def film_input(content: bytes) -> FilmInput | Abstention:
    """The first frame of an image as a model gets it, or why not."""
    dataset = _read(content)
    if dataset is None:
        return Abstention(_NOT_DECODED)
    if "PixelData" not in dataset:
        return Abstention(_NO_PIXELS)
    if str(dataset.file_meta.get("TransferSyntaxUID", "")) in VIDEO:
        return Abstention(IS_VIDEO)
    if first_text(dataset, "PhotometricInterpretation") not in GREY:
        return Abstention(_UNKNOWN_KIND)
    try:
        found = decoded_of(dataset, _first_frame(dataset), str(dataset.file_meta.TransferSyntaxUID))
        if isinstance(found, Abstention):
            return found
        shades = shades_of(dataset, found)
        return shades if isinstance(shades, Abstention) else _film(dataset, shades)
    except (ValueError, TypeError, OverflowError):  # the library reads a value when it is asked for
        return Abstention(_NOT_DECODED)


def _first_frame(dataset: Dataset) -> bytes:
    """The first frame's bytes, little endian.  Raises ValueError."""
    syntax, raw = str(dataset.file_meta.TransferSyntaxUID), bytes(dataset.PixelData)
    if syntax not in NATIVE:
        return get_frame(raw, 0, number_of_frames=max(1, whole(dataset, "NumberOfFrames", 1)))
    return little_endian(raw, Layout.of(dataset).bits_allocated // 8) if syntax == EXPLICIT_BIG else raw


def decoded_of(dataset: Dataset, frame: bytes, transfer_syntax: str) -> Decoded | Abstention:
    """A frame's stored values, or why there are none."""
    layout = Layout.of(dataset)
    if layout.rows <= 0 or layout.columns <= 0:
        return Abstention(_NO_PIXELS)
    if layout.rows * layout.columns > MOST_PIXELS:
        return Abstention(TOO_LARGE)
    try:
        return decode(frame, transfer_syntax, layout)
    except Exception:  # codecs raise whatever they like on broken data; the answer is the same
        return Abstention(_NOT_DECODED)


def shades_of(dataset: Dataset, decoded: Decoded, window: Window | None = None) -> Shades | Abstention:
    """A frame of a grey image as float32 [row, column], 0..1; 1 is white.

    window: asked for by the viewer instead of the image's own.
    """
    if decoded.values.ndim != 2:
        return Abstention(_NOT_DECODED)
    padding = _padding(dataset, decoded.values)
    values = np.nan_to_num(_rescaled(dataset, decoded.values))
    if window is not None:
        out = _windowed(values, window)
    elif (table := _table(dataset, "VOILUTSequence")) is not None:
        out = _through(values, table) / float((1 << table.bits) - 1)
    elif (own := own_window(dataset)) is not None:
        out = _windowed(values, own)
    else:
        out = _stretched(values, padding)
    out = np.clip(out, 0.0, 1.0)
    if _is_inverted(dataset):
        out = 1.0 - out
    if padding is not None:
        out = np.where(padding, 0.0, out)
    return out.astype(np.float32)


def colour_of(dataset: Dataset, decoded: Decoded) -> npt.NDArray[np.uint8] | Abstention:
    """A frame of a colour image as uint8 [row, column, 3], RGB."""
    try:
        if decoded.photometric == "PALETTE COLOR":
            looked_up = apply_color_lut(decoded.values, dataset)
            return np.asarray(looked_up >> (8 if looked_up.dtype == np.uint16 else 0), dtype=np.uint8)
        pixels = as_rgb(decoded)
    except (ValueError, TypeError, AttributeError, KeyError, IndexError):
        return Abstention(_UNKNOWN_KIND)
    return np.asarray(pixels >> max(0, decoded.bits - 8), dtype=np.uint8)


def _read(content: bytes) -> Dataset | None:
    try:
        return pydicom.dcmread(io.BytesIO(readable(content)))
    except (InvalidDicomError, EOFError, ValueError, KeyError, AttributeError, OSError):
        return None


# ---------------------------------------------------------------- numbers of a header
def _floats(dataset: Dataset, keyword: str) -> list[float]:
    """An element's numbers, NaN where one is none; empty where it is missing or unreadable."""
    try:
        value = dataset.get(keyword)
    except (ValueError, TypeError, OverflowError):
        return []
    found = value if isinstance(value, list | tuple | MultiValue) else [] if value is None else [value]
    return [_float(v) for v in found]


def _float(value: Any) -> float:
    try:
        return float(value)
    except (ValueError, TypeError):
        return float("nan")


def own_window(dataset: Dataset) -> Window | None:
    """The first window of the image's own that is one: both numbers finite, its width above 0."""
    function = first_text(dataset, "VOILUTFunction").upper() or "LINEAR"
    for center, width in zip(_floats(dataset, "WindowCenter"), _floats(dataset, "WindowWidth"), strict=False):
        if np.isfinite((center, width)).all() and width > 0:
            return Window(center, width, function)
    return None


def _padding(dataset: Dataset, values: npt.NDArray[Any]) -> npt.NDArray[np.bool_] | None:
    """Where padding lies; None where there is none, or nothing else."""
    if values.dtype.kind == "f":
        mask = ~np.isfinite(values)
    else:
        ends = [v for k in ("PixelPaddingValue", "PixelPaddingRangeLimit") for v in _floats(dataset, k)[:1]]
        if not ends or not np.isfinite(ends).all():
            return None
        # written unsigned where the pixels are signed: the same 16 bits (PS3.5 A.1, "US or SS")
        ends = [v - 65536 if values.dtype.kind == "i" and v > 32767 else v for v in ends]
        mask = (values >= min(ends)) & (values <= max(ends))
    return mask if mask.any() and not mask.all() else None


# ---------------------------------------------------------------- the chain of PS3.3 C.11
@dataclass(frozen=True, slots=True)
class _Table:
    """A look-up table: what ``first`` and the values above it become."""

    first: int
    bits: int
    entries: npt.NDArray[np.int64]


def _table(dataset: Dataset, keyword: str) -> _Table | None:
    """The first table of a LUT sequence (PS3.3 C.11.1.1.1); None where there is none or it is no table."""
    try:
        item = dataset.get(keyword)[0]
        count, first, bits = (int(v) for v in item.LUTDescriptor)
        entries = _entries(item["LUTData"].value, count or 65536)
    except (ValueError, TypeError, AttributeError, KeyError, IndexError):
        return None
    if whole(dataset, "PixelRepresentation") == 1 and first > 32767:
        first -= 65536
    fits = 1 <= bits <= 16 and int(entries.max()) < 1 << bits
    return _Table(first, bits if fits else 16, entries)


def _entries(value: Any, count: int) -> npt.NDArray[np.int64]:
    """Table entries as numbers: a byte or a word each.  Raises ValueError."""
    if isinstance(value, bytes):
        found = np.frombuffer(value, "<u2" if len(value) >= 2 * count else np.uint8)
    else:
        found = np.atleast_1d(np.asarray(value, dtype=np.int64))
    if not found.size:
        raise ValueError("an empty table")
    return found[:count].astype(np.int64)


def _through(values: npt.NDArray[np.float64], table: _Table) -> npt.NDArray[np.float64]:
    index = np.clip(np.rint(values) - table.first, 0, len(table.entries) - 1).astype(np.int64)
    return table.entries[index].astype(np.float64)


def _rescaled(dataset: Dataset, values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Modality LUT, or slope and intercept; a slope of 0 says nothing (and is left out with its intercept)."""
    wide = values.astype(np.float64)
    if (table := _table(dataset, "ModalityLUTSequence")) is not None:
        return _through(wide, table)
    slope = next((v for v in _floats(dataset, "RescaleSlope")[:1] if np.isfinite(v)), 1.0)
    intercept = next((v for v in _floats(dataset, "RescaleIntercept")[:1] if np.isfinite(v)), 0.0)
    return wide if slope == 0 else wide * slope + intercept


def _windowed(values: npt.NDArray[np.float64], window: Window) -> npt.NDArray[np.float64]:
    """PS3.3 C.11.2.1.2 and C.11.2.1.3; output 0..1.

    LINEAR is defined for widths of 1 and more; devices whose values span less (parametric MR) write it all the same and
    mean LINEAR_EXACT, since by LINEAR a width under 1 would be upside down.
    """
    center, width = window.center, window.width
    if window.function == "SIGMOID":
        return 1.0 / (1.0 + np.exp(np.clip(-4.0 * (values - center) / width, -60, 60)))
    if window.function == "LINEAR_EXACT" or width < 1:
        return np.clip((values - center) / width + 0.5, 0.0, 1.0)
    if width == 1:
        return (values > center - 0.5).astype(np.float64)
    return np.clip((values - (center - 0.5)) / (width - 1.0) + 0.5, 0.0, 1.0)


def _stretched(values: npt.NDArray[np.float64], padding: npt.NDArray[np.bool_] | None) -> npt.NDArray[np.float64]:
    """Without any window: from the 0.5th to the 99.5th percentile of what is not padding (MODELS.md section 6); where
    nearly all are one value (a mask, a few bright dots), from the lowest to the highest."""
    inside = values if padding is None else values[~padding]
    low, high = (float(v) for v in np.percentile(inside, (0.5, 99.5)))
    if high <= low:
        low, high = float(inside.min()), float(inside.max())
    if high <= low:
        return np.zeros_like(values)
    return np.clip((values - low) / (high - low), 0.0, 1.0)


def _is_inverted(dataset: Dataset) -> bool:
    """Low is white: MONOCHROME1 or an inverse presentation LUT; both together invert once (PS3.3 C.11.6)."""
    shape = first_text(dataset, "PresentationLUTShape").upper()
    if shape in ("INVERSE", "IDENTITY"):
        return shape == "INVERSE"
    return first_text(dataset, "PhotometricInterpretation") == "MONOCHROME1"


def _film(dataset: Dataset, shades: Shades) -> FilmInput:
    return FilmInput(
        pixels=shades,
        modality=first_text(dataset, "Modality"),
        sop_class_uid=first_text(dataset, "SOPClassUID"),
        age_years=age_years(dataset),
        sex=first_text(dataset, "PatientSex"),
        view_position=first_text(dataset, "ViewPosition"),
        body_part=first_text(dataset, "BodyPartExamined"),
        image_type=_texts(dataset, "ImageType"),
        photometric=first_text(dataset, "PhotometricInterpretation"),
        frames=whole(dataset, "NumberOfFrames", 1) or 1,
        presentation_intent=first_text(dataset, "PresentationIntentType"),
        spacing_mm=_spacing_mm(dataset),
    )


def _texts(dataset: Dataset, keyword: str) -> tuple[str, ...]:
    value = dataset.get(keyword) or ()
    return (value,) if isinstance(value, str) else tuple(str(v) for v in value)


def _spacing_mm(dataset: Dataset) -> tuple[float, float] | None:
    """(row, column) spacing; None where the file gives none or no numbers."""
    try:
        spacing = dataset.get("PixelSpacing") or dataset.get("ImagerPixelSpacing")
        return (float(spacing[0]), float(spacing[1])) if spacing is not None and len(spacing) == 2 else None
    except (ValueError, TypeError):
        return None


def age_years(dataset: Dataset) -> float | None:
    """From PatientAge (nnnD, W, M, Y), else from the birth date at the study; None when neither says."""
    text = str(dataset.get("PatientAge", "") or "").strip().upper()
    if len(text) == 4 and text[:3].isdecimal() and text[3] in "DWMY":
        per_year = {"D": 365.25, "W": 52.18, "M": 12.0, "Y": 1.0}[text[3]]
        return int(text[:3]) / per_year
    born, studied = _date(dataset.get("PatientBirthDate")), _date(dataset.get("StudyDate"))
    if born is None or studied is None:
        return None
    years = age_on(born, studied)
    return None if years is None else float(years)


def _date(value: Any) -> date | None:
    text = str(value or "").replace("-", "").replace(".", "")[:8]
    try:
        return date(int(text[:4]), int(text[4:6]), int(text[6:8]))
    except ValueError:
        return None
