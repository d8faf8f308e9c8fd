"""Frames, whole objects and metadata of one retrieval say the same; what is missing, or a video, is told apart."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import Response
from fastapi.testclient import TestClient
from PIL import Image
from pydicom import dcmread
from pydicom.encaps import encapsulate_extended
from pydicom.pixels.utils import pixel_array
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless, RLELossless

from center.errors import Failure
from center.identity import ClinicId, system_for
from center.web import failure_json
from dicom_gateway.web import routers
from tests.gateway.conftest import House
from tests.gateway.test_dicomweb import FRAMES, HeaderWeb, parts_of, path_of
from tests.makers.dicom import encapsulated, multi_frame, written
from tests.makers.odd_header import with_odd
from tests.makers.pictures import (
    JPEG_BASELINE,
    JPEG_EXTENDED,
    RAMP,
    by_dcmtk,
    coloured,
    colours,
    encoded,
    frame_in,
    grey,
    jpeg_of,
    native_colours,
    picture_by_dcmtk,
    with_frame,
    without_selection,
)

PICTURE = colours()
PLAIN = 'multipart/related; type="application/octet-stream"; transfer-syntax=1.2.840.10008.1.2.1'
DECODED = "application/dicom; transfer-syntax=1.2.840.10008.1.2.1"
MPEG4 = "1.2.840.10008.1.2.4.102"


@pytest.fixture
def client(house: House) -> Iterator[TestClient]:
    app = FastAPI()
    for router in routers(HeaderWeb(), house.gateway):  # type: ignore[arg-type]
        app.include_router(router)

    @app.exception_handler(Failure)
    async def failed(request: Request, failure: Failure) -> Response:
        return failure_json(failure)

    with TestClient(app, headers={"x-person": "t1"}) as client:
        yield client


def asked(client: TestClient, raw: bytes, rest: str, accept: str) -> Any:
    return client.get(f"/dicom-web{path_of(raw)}{rest}", headers={"Accept": accept})


def said(client: TestClient, raw: bytes, tag: str) -> Any:
    return asked(client, raw, "/metadata", "application/dicom+json").json()[0][tag]["Value"][0]


def decoded(client: TestClient, raw: bytes) -> Any:
    return dcmread(BytesIO(asked(client, raw, "", DECODED).content))


# ---------------------------------------------------------------- F03
@pytest.mark.parametrize("syntax", ["native", RLELossless])
def test_high_values_are_served_moved_down_and_the_metadata_says_so(
    house: House, client: TestClient, syntax: str
) -> None:
    words = (RAMP << 4).astype(np.uint16)
    raw = grey(words | 0xF, HighBit=15)
    if syntax != "native":
        raw = with_frame(raw, [encoded(syntax, words, "MONOCHROME2")], syntax)
    house.accept(raw)
    assert said(client, raw, "00280102") == 11 and said(client, raw, "00280101") == 12
    assert said(client, raw, "00083002") == "1.2.840.10008.1.2.1"
    for rest, accept in (("/frames/1", FRAMES), ("/frames/1", PLAIN), ("/bulkdata/7FE00010", "*/*")):
        ((kind, body),) = parts_of(asked(client, raw, rest, accept))
        assert kind == "application/octet-stream; transfer-syntax=1.2.840.10008.1.2.1" and body == RAMP.tobytes()
    if syntax != "native":
        as_stored = f'multipart/related; type="image/dicom-rle"; transfer-syntax={syntax}'
        assert asked(client, raw, "/frames/1", as_stored).status_code == 406
    assert asked(client, raw, "", "application/dicom").content == raw


def test_ordinary_words_go_out_as_they_lie(house: House, client: TestClient) -> None:
    raw = grey(RAMP | 0xF000)  # bits above HighBit are an overlay's; the metadata says where the values are
    house.accept(raw)
    ((_, body),) = parts_of(asked(client, raw, "/frames/1", FRAMES))
    assert body == (RAMP | 0xF000).tobytes() and said(client, raw, "00280102") == 11


@pytest.mark.parametrize(
    ("center", "width", "served"),
    [
        ("0.4565", "0.913", ([0.4565], [0.913], "LINEAR_EXACT")),
        ("40", "400", ([40.0], [400.0], None)),
        ("40\\5", "400\\0", ([40.0], [400.0], None)),
        ("40", "0", (None, None, None)),
        ("40", "wide", (None, None, None)),
    ],
)
def test_a_viewer_is_told_only_windows_that_are_some(
    house: House, client: TestClient, center: str, width: str, served: tuple[Any, Any, Any]
) -> None:
    raw = with_odd(grey(), {"WindowCenter": center.encode(), "WindowWidth": width.encode()})
    house.accept(raw)
    found = asked(client, raw, "/metadata", "application/dicom+json").json()[0]
    assert (found["00281050"].get("Value"), found["00281051"].get("Value")) == served[:2]
    assert (found.get("00281056") or {}).get("Value", [None])[0] == served[2]


# ---------------------------------------------------------------- F17
COLOURED = {
    "rle": lambda: encapsulated(coloured(PICTURE), [encoded(RLELossless, PICTURE)], RLELossless),
    "rle by plane": lambda: encapsulated(
        coloured(PICTURE, PlanarConfiguration=1), [encoded(RLELossless, PICTURE)], RLELossless
    ),
    "jpeg-ls": lambda: encapsulated(coloured(PICTURE), [encoded(JPEGLSLossless, PICTURE)], JPEGLSLossless),
    "wavelet": lambda: encapsulated(
        coloured(PICTURE, "YBR_RCT"), [encoded(JPEG2000Lossless, PICTURE, "YBR_RCT", use_mct=True)], JPEG2000Lossless
    ),
    "jpeg 422": lambda: encapsulated(
        coloured(PICTURE, "YBR_FULL_422"), [jpeg_of(PICTURE, subsampling=1)], JPEG_BASELINE
    ),
    "jpeg full": lambda: encapsulated(coloured(PICTURE, "YBR_FULL"), [jpeg_of(PICTURE, subsampling=0)], JPEG_BASELINE),
    "jpeg said rgb": lambda: encapsulated(coloured(PICTURE, "RGB"), [jpeg_of(PICTURE, subsampling=0)], JPEG_BASELINE),
}


def as_metadata_says(client: TestClient, raw: bytes, body: bytes) -> np.ndarray:
    """RGB of plain octets, read by nothing but the metadata."""
    out = coloured(PICTURE, said(client, raw, "00280004"), PlanarConfiguration=said(client, raw, "00280006"))
    out.add_new(0x7FE00010, "OB", body)
    return np.asarray(pixel_array(dcmread(BytesIO(written(out)))))


@pytest.mark.parametrize("kind", COLOURED)
def test_plain_octets_are_what_the_metadata_says_or_refused(house: House, client: TestClient, kind: str) -> None:
    raw = COLOURED[kind]()
    house.accept(raw)
    answer = asked(client, raw, "/frames/1", PLAIN)
    if kind in ("wavelet", "jpeg 422"):
        assert answer.status_code == 406 and answer.json()["zh"] and answer.json()["en"]
    else:
        ((_, body),) = parts_of(answer)
        shown = as_metadata_says(client, raw, body).astype(int)
        assert np.abs(shown - PICTURE).max() <= (12 if kind.startswith("jpeg ") else 0)
    ((_, stored),) = parts_of(asked(client, raw, "/frames/1", FRAMES))
    assert stored in raw


@pytest.mark.parametrize("kind", COLOURED)
def test_a_decoded_object_says_exactly_what_it_holds(house: House, client: TestClient, kind: str) -> None:
    raw = COLOURED[kind]()
    house.accept(raw)
    made = decoded(client, raw)
    assert (made.PhotometricInterpretation, made.PlanarConfiguration, made.HighBit) == ("RGB", 0, 7)
    assert np.abs(made.pixel_array.astype(int) - PICTURE).max() <= (24 if kind.startswith("jpeg ") else 0)
    out = BytesIO()
    made.save_as(out)
    assert np.array_equal(picture_by_dcmtk(out.getvalue()), made.pixel_array)


def test_a_decoded_object_keeps_odd_numbers_and_names_its_bits(house: House, client: TestClient) -> None:
    extended = by_dcmtk(grey(), "dcmcjpeg", "+ee")
    odd = with_frame(
        extended, [without_selection(frame_in(extended))], JPEG_EXTENDED, BitsAllocated=8, BitsStored=8, HighBit=7
    )
    odd = dcmread(BytesIO(odd))
    odd.add_new(0x00180060, "DS", "120")
    raw = encapsulated(odd, [without_selection(frame_in(extended))], JPEG_EXTENDED).replace(
        b"DS\x04\x00120 ", b"DS\x04\x0080,5"
    )
    house.accept(raw)
    made = decoded(client, raw)
    assert (made.BitsAllocated, made.BitsStored, made.HighBit) == (16, 12, 11)
    assert np.abs(made.pixel_array.astype(int) - RAMP).max() <= 8 and made.get_item("KVP").value == b"80,5"


def test_native_colours_by_plane_go_out_by_plane(house: House, client: TestClient) -> None:
    raw = native_colours(PICTURE, PICTURE.transpose(2, 0, 1).tobytes(), PlanarConfiguration=1)
    house.accept(raw)
    ((_, body),) = parts_of(asked(client, raw, "/frames/1", FRAMES))
    assert np.array_equal(as_metadata_says(client, raw, body), PICTURE)


# ---------------------------------------------------------------- frames that are not all there
def lying(said_frames: int, there: float, syntax: str = "") -> tuple[bytes, np.ndarray]:
    """An object that says so many frames and holds fewer."""
    ds, pixels = multi_frame(4, said_frames)
    each = pixels[0].size
    if syntax:
        frames = [encoded(syntax, p, "MONOCHROME2") for p in pixels[: int(there)]]
        return encapsulated(ds, frames, syntax, offset_table=False), pixels
    ds.add_new(0x7FE00010, "OB", pixels.tobytes()[: int(each * there) // 2 * 2])
    return written(ds), pixels


@pytest.mark.parametrize("syntax", ["", RLELossless, JPEG2000Lossless])
def test_the_whole_frames_are_shown_and_the_missing_are_said(house: House, client: TestClient, syntax: str) -> None:
    raw, pixels = lying(5, 3.5 if not syntax else 3, syntax)
    house.accept(raw)
    ((_, body),) = parts_of(asked(client, raw, "/frames/3", PLAIN))
    assert body == pixels[2].tobytes()
    picture = asked(client, raw, "/frames/3/rendered", "image/png")
    assert np.asarray(Image.open(BytesIO(picture.content))).shape == (32, 40)
    missing = asked(client, raw, "/frames/4", PLAIN)
    assert missing.status_code == 400 and missing.json()["facts"] == {"frames": 5, "whole": 3}
    assert "3" in missing.json()["zh"] and asked(client, raw, "/frames/6", PLAIN).status_code == 404
    assert asked(client, raw, "/thumbnail", "image/jpeg").status_code == 200
    if syntax:
        assert asked(client, raw, "", DECODED).status_code == 400


def test_objects_taken_in_before_are_looked_at_again(house: House, client: TestClient) -> None:
    raw, pixels = lying(5, 3.5)
    house.accept(raw)
    with house.database.transaction(system_for(ClinicId("shigou"))) as work:
        work.run("update gateway.instance set frame_map = null")
    ((_, body),) = parts_of(asked(client, raw, "/frames/2", PLAIN))
    assert body == pixels[1].tobytes()


@pytest.mark.parametrize("table", ["none", "wrong", "extended", "split"])
def test_frames_are_told_apart_whatever_the_offset_table_says(house: House, client: TestClient, table: str) -> None:
    ds, pixels = multi_frame(4, 3)
    frames = [encoded(JPEG2000Lossless, p, "MONOCHROME2") for p in pixels]
    frames = [f + b"\0" * (len(f) % 2) for f in frames]
    if table == "extended":
        value, offsets, lengths = encapsulate_extended(frames)
        ds.ExtendedOffsetTable, ds.ExtendedOffsetTableLengths = offsets, lengths
        ds.add_new(0x7FE00010, "OB", value)
        ds["PixelData"].is_undefined_length = True
        raw = written(ds, JPEG2000Lossless)
    else:
        raw = encapsulated(ds, frames, JPEG2000Lossless, offset_table=table == "wrong")
    if table == "wrong":
        at = raw.index(b"\xfe\xff\x00\xe0\x0c\x00\x00\x00") + 8
        raw = raw[:at] + b"\x07\0\0\0\x09\0\0\0\x63\0\0\0" + raw[at + 12 :]
    if table == "split":
        for whole in frames:
            half = len(whole) // 4 * 2
            item = b"\xfe\xff\x00\xe0" + len(whole).to_bytes(4, "little") + whole
            parts = (whole[:half], whole[half:])
            raw = raw.replace(item, b"".join(b"\xfe\xff\x00\xe0" + len(p).to_bytes(4, "little") + p for p in parts))
    house.accept(raw)
    for number in (1, 2, 3):
        ((_, body),) = parts_of(asked(client, raw, f"/frames/{number}", PLAIN))
        assert body == pixels[number - 1].tobytes()


# ---------------------------------------------------------------- video
@pytest.mark.parametrize("syntax", [MPEG4, "1.2.840.10008.1.2.4.100", "1.2.840.10008.1.2.4.107"])
def test_a_video_is_no_damage_it_is_downloaded(house: House, client: TestClient, syntax: str) -> None:
    stream = b"\0\0\0\x18ftypmp42" + bytes(range(256)) * 40
    raw = encapsulated(coloured(PICTURE, "YBR_PARTIAL_420", NumberOfFrames=250), [stream[:4000], stream[4000:]], syntax)
    house.accept(raw)
    for rest, accept in (
        ("/frames/1", FRAMES),
        ("/rendered", "image/jpeg"),
        ("/thumbnail", "image/jpeg"),
        ("", DECODED),
    ):
        answer = asked(client, raw, rest, accept)
        assert answer.status_code == 406 and "视频" in answer.json()["zh"] and "video" in answer.json()["en"], rest
        assert answer.json()["facts"]["download"].endswith("/bulkdata/7FE00010")
    kind = "video/mpeg" if syntax.endswith(".100") else "video/mp4"
    whole = asked(client, raw, "/bulkdata/7FE00010", kind)
    assert whole.headers["content-type"] == kind and whole.content == stream
    assert asked(client, raw, "/rendered", kind).content == stream
    assert asked(client, raw, "", "application/dicom").content == raw


def test_an_odd_number_makes_no_frame_unreadable(house: House, client: TestClient) -> None:
    raw = with_odd(grey(), {"AcquisitionNumber": b"1.5", "KVP": b"80,5", "WindowWidth": b"wide"})
    house.accept(raw)
    assert asked(client, raw, "/rendered", "image/png").status_code == 200
    assert asked(client, raw, "/frames/1", FRAMES).status_code == 200
