"""A DICOM image -> shades 0..1 as a person would see them: rescale, VOI or window, inversion, in that order.

Order and traps: PS3.3 C.11.1 (modality LUT), C.11.2 (VOI LUT), C.7.6.3.1.2 (MONOCHROME1), C.8.11.1.1 (presentation
intent).  Bounded: nothing larger than ``MOST_PIXELS`` is decoded.
"""

from __future__ import annotations

import io
from datetime import date
from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.multival import MultiValue
from pydicom.pixels.processing import apply_modality_lut, apply_voi
from pydicom.pixels.utils import pixel_array

from center.patients import age_on
from center.reads import Abstention, FilmInput, Reason

MOST_PIXELS = 100_000_000
Shades = npt.NDArray[np.float32]

_NOT_DECODED = Reason(
    "unreadable_pixels",
    "图像像素无法解码。请从设备重新导出这一张。",
    "The image's pixels cannot be decoded. Export this one again from the device.",
)
_NO_PIXELS = Reason("no_pixels", "没有图像像素。", "There are no image pixels.")
_TOO_LARGE = Reason("too_large", "图像过大，没有解码。", "The image is too large to be decoded.")
_UNKNOWN_KIND = Reason(
    "unknown_kind", "不是灰度影像。请直接阅片。", "This is not a grey-scale image. Read it without AI."
)


def film_input(content: bytes) -> FilmInput | Abstention:
    """The first frame of an image as a model gets it, or why not."""
    dataset = _read(content)
    if dataset is None:
        return Abstention(_NOT_DECODED)
    if "PixelData" not in dataset:
        return Abstention(_NO_PIXELS)
    if str(dataset.get("PhotometricInterpretation", "")) not in ("MONOCHROME1", "MONOCHROME2"):
        return Abstention(_UNKNOWN_KIND)
    try:
        shades = shades_of(dataset, frame=1)
        return shades if isinstance(shades, Abstention) else _film(dataset, shades)
    except (ValueError, TypeError, OverflowError):  # the library reads a value when it is asked for
        return Abstention(_NOT_DECODED)


def shades_of(dataset: Dataset, *, frame: int = 1, window: tuple[float, float] | None = None) -> Shades | Abstention:
    """Frame ``frame`` (from 1) of a grey image as float32 [row, column], 0..1; 1 is white.

    window: (center, width) asked for by the viewer instead of the image's own.
    """
    rows, columns = int(dataset.get("Rows", 0) or 0), int(dataset.get("Columns", 0) or 0)
    if rows <= 0 or columns <= 0:
        return Abstention(_NO_PIXELS)
    if rows * columns > MOST_PIXELS:
        return Abstention(_TOO_LARGE)
    try:
        stored = pixel_array(dataset, index=frame - 1, raw=True)
        values, padding = _stored_values(dataset, stored)
        return _to_shades(dataset, values, padding, window)
    except Exception:  # codecs raise whatever they like on broken data; the answer is the same
        return Abstention(_NOT_DECODED)


def colour_of(dataset: Dataset, *, frame: int = 1) -> npt.NDArray[np.uint8] | Abstention:
    """Frame of a colour image as uint8 [row, column, 3], RGB."""
    if int(dataset.get("Rows", 0) or 0) * int(dataset.get("Columns", 0) or 0) > MOST_PIXELS:
        return Abstention(_TOO_LARGE)
    try:
        pixels = pixel_array(dataset, index=frame - 1)
    except Exception:
        return Abstention(_NOT_DECODED)
    if pixels.ndim != 3 or pixels.shape[2] != 3:
        return Abstention(_UNKNOWN_KIND)
    bits = int(dataset.get("BitsStored", 8))
    return np.asarray(pixels >> max(0, bits - 8), dtype=np.uint8)


def _read(content: bytes) -> Dataset | None:
    try:
        return pydicom.dcmread(io.BytesIO(content))
    except (InvalidDicomError, EOFError, ValueError, KeyError, AttributeError, OSError):
        return None


def _stored_values(dataset: Dataset, stored: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_] | None]:
    """The values with the bits above BitsStored masked and the sign extended, and where padding lies."""
    if stored.ndim != 2:
        raise ValueError("expected one sample a pixel")
    bits, signed = int(dataset.BitsStored), int(dataset.get("PixelRepresentation", 0)) == 1
    wide = stored.astype(np.int64)
    if bits < int(dataset.BitsAllocated):
        wide &= (1 << bits) - 1
        if signed:
            wide = np.where(wide >= 1 << (bits - 1), wide - (1 << bits), wide)
    padding = dataset.get("PixelPaddingValue")
    if padding is None:
        return wide, None
    low = int(padding)
    high = int(dataset.get("PixelPaddingRangeLimit", low))
    mask = (wide >= min(low, high)) & (wide <= max(low, high))
    return wide, mask if mask.any() and not mask.all() else None


def _to_shades(
    dataset: Dataset,
    values: npt.NDArray[Any],
    padding: npt.NDArray[np.bool_] | None,
    window: tuple[float, float] | None,
) -> Shades:
    rescaled = np.asarray(apply_modality_lut(_for_lut(values, dataset), dataset), dtype=np.float64)
    if window is not None:
        out = _windowed(rescaled, *window, "LINEAR")
    elif "VOILUTSequence" in dataset and len(dataset.VOILUTSequence):
        out = _looked_up(rescaled, dataset)
    elif _own_window(dataset) is not None:
        center, width = _own_window(dataset) or (0.0, 1.0)
        out = _windowed(rescaled, center, width, str(dataset.get("VOILUTFunction", "LINEAR") or "LINEAR"))
    else:
        out = _stretched(rescaled, padding)
    if _is_inverted(dataset):
        out = 1.0 - out
    if padding is not None:
        out = np.where(padding, 0.0, out)
    return out.astype(np.float32)


def _for_lut(values: npt.NDArray[Any], dataset: Dataset) -> npt.NDArray[Any]:
    """A modality LUT is indexed by whole numbers of the stored type."""
    return values.astype(np.int32) if "ModalityLUTSequence" in dataset else values


def _looked_up(values: npt.NDArray[np.float64], dataset: Dataset) -> npt.NDArray[np.float64]:
    lut = dataset.VOILUTSequence[0]
    bits = int(lut.LUTDescriptor[2]) or 8
    seen = apply_voi(np.rint(values).astype(np.int32), dataset, index=0)
    return np.clip(np.asarray(seen, dtype=np.float64) / float((1 << bits) - 1), 0.0, 1.0)


def _own_window(dataset: Dataset) -> tuple[float, float] | None:
    """The first window that the image brings, or None (a width of 0 is none)."""
    center, width = dataset.get("WindowCenter"), dataset.get("WindowWidth")
    if center is None or width is None or center == "" or width == "":
        return None
    first = [float(v[0]) if isinstance(v, MultiValue) else float(v) for v in (center, width)]
    return (first[0], first[1]) if first[1] > 0 and np.isfinite(first).all() else None


def _windowed(values: npt.NDArray[np.float64], center: float, width: float, function: str) -> npt.NDArray[np.float64]:
    """PS3.3 C.11.2.1.2 and C.11.2.1.3: LINEAR, LINEAR_EXACT, SIGMOID; output 0..1."""
    if function == "SIGMOID":
        return 1.0 / (1.0 + np.exp(np.clip(-4.0 * (values - center) / width, -60, 60)))
    if function == "LINEAR_EXACT":
        return np.clip((values - center) / width + 0.5, 0.0, 1.0)
    if width <= 1:
        return (values > center - 0.5).astype(np.float64)
    return np.clip((values - (center - 0.5)) / (width - 1.0) + 0.5, 0.0, 1.0)


def _stretched(values: npt.NDArray[np.float64], padding: npt.NDArray[np.bool_] | None) -> npt.NDArray[np.float64]:
    """Without any window: from the 0.5th to the 99.5th percentile of what is not padding (MODELS.md section 6)."""
    inside = values if padding is None else values[~padding]
    low, high = (float(v) for v in np.percentile(inside, (0.5, 99.5)))
    if high <= low:
        return np.zeros_like(values)
    return np.clip((values - low) / (high - low), 0.0, 1.0)


def _is_inverted(dataset: Dataset) -> bool:
    """Low is white: MONOCHROME1 or an inverse presentation LUT; both together invert once (PS3.3 C.11.6)."""
    shape = str(dataset.get("PresentationLUTShape", "")).upper()
    if shape in ("INVERSE", "IDENTITY"):
        return shape == "INVERSE"
    return str(dataset.get("PhotometricInterpretation", "")) == "MONOCHROME1"


def _film(dataset: Dataset, shades: Shades) -> FilmInput:
    return FilmInput(
        pixels=shades,
        modality=str(dataset.get("Modality", "")),
        sop_class_uid=str(dataset.get("SOPClassUID", "")),
        age_years=age_years(dataset),
        sex=str(dataset.get("PatientSex", "") or ""),
        view_position=str(dataset.get("ViewPosition", "") or ""),
        body_part=str(dataset.get("BodyPartExamined", "") or ""),
        image_type=tuple(str(v) for v in dataset.get("ImageType", ()) or ()),
        photometric=str(dataset.get("PhotometricInterpretation", "")),
        frames=int(dataset.get("NumberOfFrames", 1) or 1),
        presentation_intent=str(dataset.get("PresentationIntentType", "") or ""),
        spacing_mm=_spacing_mm(dataset),
    )


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
