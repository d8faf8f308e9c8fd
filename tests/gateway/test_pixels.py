"""Shades: what a person would see, from every way a device may store it."""

from __future__ import annotations

import io

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from center.reads import Abstention, FilmInput
from dicom_gateway.pixels import film_input

RAMP = np.tile(np.arange(100, dtype=np.uint16) * 40, (100, 1))


def film(pixels: np.ndarray = RAMP, **tags: object) -> bytes:
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPClassUID, ds.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.1.1", "1.2.3"
    ds.Modality, ds.PhotometricInterpretation, ds.SamplesPerPixel = "DX", "MONOCHROME2", 1
    ds.Rows, ds.Columns = pixels.shape
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    ds.PixelData = pixels.astype(np.uint16).tobytes()
    for name, value in tags.items():
        setattr(ds, name, value)
    out = io.BytesIO()
    ds.save_as(out, enforce_file_format=True)
    return out.getvalue()


def shades(content: bytes) -> np.ndarray:
    found = film_input(content)
    assert isinstance(found, FilmInput), found
    return found.pixels


def test_without_a_window_the_middle_99_percent_fill_the_range() -> None:
    seen = shades(film())
    assert seen.dtype == np.float32 and seen[0, 0] == 0.0 and seen[0, -1] == 1.0
    assert np.all(np.diff(seen[0]) >= 0)


def test_a_linear_window_follows_ps3_3_c_11_2_1_2() -> None:
    seen = shades(film(WindowCenter=2000, WindowWidth=1001))
    assert seen[0, 37] == 0.0 and seen[0, 63] == 1.0
    assert seen[0, 50] == pytest.approx((2000 - 1999.5) / 1000 + 0.5, abs=1e-6)


def test_the_first_of_several_windows_is_taken() -> None:
    one = shades(film(WindowCenter=2000, WindowWidth=1001))
    assert np.array_equal(one, shades(film(WindowCenter=[2000, 100], WindowWidth=[1001, 50])))


@pytest.mark.parametrize("function", ["LINEAR_EXACT", "SIGMOID"])
def test_other_window_functions_are_half_at_their_centre(function: str) -> None:
    seen = shades(film(WindowCenter=2000, WindowWidth=1000, VOILUTFunction=function))
    assert seen[0, 50] == pytest.approx(0.5, abs=1e-6)


def test_monochrome1_and_an_inverse_lut_invert_once() -> None:
    plain, inverse = shades(film()), 1 - shades(film(PhotometricInterpretation="MONOCHROME1"))
    assert np.allclose(plain, inverse)
    both = film(PhotometricInterpretation="MONOCHROME1", PresentationLUTShape="INVERSE")
    assert np.allclose(plain, 1 - shades(both))


def test_bits_above_bits_stored_are_masked() -> None:
    assert np.array_equal(shades(film()), shades(film(RAMP | 0xF000)))


def test_signed_values_keep_their_sign() -> None:
    signed = (RAMP.astype(np.int32) - 2000) & 0xFFF
    assert np.allclose(shades(film()), shades(film(signed.astype(np.uint16), PixelRepresentation=1)))


def test_rescale_comes_before_the_window() -> None:
    seen = shades(film(RescaleSlope=2, RescaleIntercept=-1000, WindowCenter=3000, WindowWidth=2001))
    assert seen[0, 37] == 0.0 and seen[0, 63] == 1.0


def test_padding_does_not_set_the_range_and_is_black() -> None:
    padded = RAMP.copy()
    padded[:50] = 4095
    seen = shades(film(padded, PixelPaddingValue=4095))
    assert seen[0, 0] == 0.0 and seen[80, -1] == 1.0


def test_age_comes_from_the_age_or_from_two_dates() -> None:
    ages = [film_input(film(**tags)) for tags in (
        {"PatientAge": "006M"}, {"PatientBirthDate": "19800601", "StudyDate": "20260531"}, {},
    )]  # fmt: skip
    assert [a.age_years for a in ages if isinstance(a, FilmInput)] == [0.5, 45.0, None]


def test_a_value_that_is_no_number_takes_nothing_else_with_it() -> None:
    whole = film(PixelSpacing=[0.2, 0.2], PatientAge="045Y")
    found = film_input(whole.replace(b"0.2\\0.2", b"a.b\\0.2").replace(b"045Y", b"\xb2\xb2\xb2Y"))
    assert isinstance(found, FilmInput) and found.spacing_mm is None and found.age_years is None


@pytest.mark.parametrize("broken", [b"", b"%PDF-1.7", film()[:-5000], film(PhotometricInterpretation="RGB")])
def test_what_cannot_be_shown_is_an_abstention_with_its_reason(broken: bytes) -> None:
    found = film_input(broken)
    assert isinstance(found, Abstention) and found.reason.zh and found.reason.en
