"""Pictures in every form that devices store them in: made pixels, encoded, and then spoiled as old encoders did."""

from __future__ import annotations

import subprocess
import tempfile
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from pydicom import dcmread
from pydicom.encaps import get_frame
from pydicom.pixels import get_encoder

from tests.makers.dicom import EXPLICIT_LITTLE, encapsulated, make_cr, multi_frame, written

JPEG_BASELINE = "1.2.840.10008.1.2.4.50"
JPEG_EXTENDED = "1.2.840.10008.1.2.4.51"
JPEG_LOSSLESS = "1.2.840.10008.1.2.4.70"
#: A smooth ramp of 12 bits, 64 x 64.
RAMP = np.add.outer(np.arange(64, dtype=np.uint16) * 8, np.arange(64, dtype=np.uint16) * 54)


def colours(rows: int = 32, columns: int = 48) -> npt.NDArray[np.uint8]:
    """[row, column, 3] RGB that changes slowly in each channel, each otherwise."""
    y, x = np.mgrid[0:rows, 0:columns]
    return np.stack((x * 5, y * 7, 255 - x * 3 - y), axis=-1).astype(np.uint8)


def grey(pixels: npt.NDArray[Any] = RAMP, transfer_syntax: str = EXPLICIT_LITTLE, **attributes: Any) -> bytes:
    """A film of these stored words, 12 bits unless ``attributes`` say otherwise."""
    return make_cr(1, pixels=pixels, transfer_syntax=transfer_syntax, **attributes)


def by_dcmtk(raw: bytes, *command: str) -> bytes:
    """The file as DCMTK's tool writes it: dcmcjpeg +ee, dcmcrle, dcmdjpeg ..."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "in.dcm", Path(folder) / "out.dcm"
        source.write_bytes(raw)
        subprocess.run([*command, str(source), str(target)], check=True, capture_output=True)
        return target.read_bytes()


def picture_by_dcmtk(raw: bytes, *options: str) -> npt.NDArray[np.uint8]:
    """What dcmj2pnm shows of it."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "in.dcm", Path(folder) / "out.png"
        source.write_bytes(raw)
        subprocess.run(["dcmj2pnm", "+on", *options, str(source), str(target)], check=True, capture_output=True)
        return np.asarray(Image.open(target))


def frame_in(raw: bytes) -> bytes:
    """The one frame of an encapsulated file, without what pads it."""
    frame = get_frame(dcmread(BytesIO(raw)).PixelData, 0, number_of_frames=1)
    return frame[: frame.rfind(b"\xff\xd9") + 2] if frame.startswith(b"\xff\xd8") else frame


def with_frame(raw: bytes, frames: list[bytes], transfer_syntax: str, **attributes: Any) -> bytes:
    """The same file with other frames."""
    made = dcmread(BytesIO(raw))
    for keyword, value in attributes.items():
        setattr(made, keyword, value)
    del made.PixelData
    return encapsulated(made, frames, transfer_syntax)


def without_selection(jpeg: bytes) -> bytes:
    """A sequential JPEG whose scan says Ss, Se 0, 0, as some encoders wrote."""
    at = jpeg.index(b"\xff\xda")
    selection = at + 5 + 2 * jpeg[at + 4]
    return jpeg[:selection] + bytes((0, 0, 0)) + jpeg[selection + 3 :]


def without_height(jpeg: bytes) -> bytes:
    """A JPEG whose frame says 0 lines."""
    at = next(n for n in range(len(jpeg)) if jpeg[n] == 0xFF and jpeg[n + 1] in (0xC0, 0xC1))
    return jpeg[: at + 5] + b"\0\0" + jpeg[at + 7 :]


def jpeg_of(pixels: npt.NDArray[np.uint8], **options: Any) -> bytes:
    """JPEG Baseline by another encoder; ``options`` are Pillow's."""
    out = BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=95, **options)
    return out.getvalue()


def coloured(pixels: npt.NDArray[Any], photometric: str = "RGB", **attributes: Any) -> Any:
    """The data set of a colour picture without its pixels."""
    out, _ = multi_frame(5, 1)
    del out.NumberOfFrames
    out.Rows, out.Columns = pixels.shape[:2]
    out.SamplesPerPixel, out.PhotometricInterpretation, out.PlanarConfiguration = 3, photometric, 0
    for keyword, value in attributes.items():
        setattr(out, keyword, value)
    return out


def native_colours(pixels: npt.NDArray[Any], stored: bytes, photometric: str = "RGB", **attributes: Any) -> bytes:
    """A colour picture whose stored bytes are these."""
    out = coloured(pixels, photometric, **attributes)
    out.add_new(0x7FE00010, "OB", stored + b"\0" * (len(stored) % 2))
    return written(out)


def encoded(syntax: str, pixels: npt.NDArray[Any], photometric: str = "RGB", **options: Any) -> bytes:
    """One frame by pydicom's encoder."""
    samples = pixels.shape[2] if pixels.ndim == 3 else 1
    bits = pixels.dtype.itemsize * 8
    return get_encoder(syntax).encode(
        np.ascontiguousarray(pixels).tobytes(), rows=pixels.shape[0], columns=pixels.shape[1], samples_per_pixel=samples,
        bits_allocated=bits, bits_stored=options.pop("bits_stored", bits), pixel_representation=0, number_of_frames=1,
        photometric_interpretation=photometric, planar_configuration=0, **options,
    )  # fmt: skip
