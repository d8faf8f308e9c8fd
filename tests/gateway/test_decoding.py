"""Frames decoded: every form in which pixels are stored, against DCMTK, pydicom and what was put in."""

from __future__ import annotations

import random
import struct
from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from pydicom import dcmread
from pydicom.pixels.processing import convert_color_space
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless, RLELossless

from center.errors import NotAcceptable, Unreadable
from center.reads import Abstention, FilmInput
from dicom_gateway import rendering
from dicom_gateway.decoding import Layout, decode
from dicom_gateway.dicom_json import element_at, little_endian, metadata
from dicom_gateway.dicom_scan import EXPLICIT_BIG, Header, frame_map, scan
from dicom_gateway.pixels import film_input
from dicom_gateway.rendering import Frame, Look, decoded_frame, frame_of, rendered
from tests.makers.dicom import encapsulated, make_cr
from tests.makers.pictures import (
    JPEG_BASELINE,
    JPEG_EXTENDED,
    JPEG_LOSSLESS,
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
    without_height,
    without_selection,
)


def frame(raw: bytes, number: int = 1) -> Frame:
    """A frame as the door takes it out of a file."""
    header = scan(raw)
    places = frame_map(header)
    assert places is not None
    if places.kind == "encapsulated":
        content = b"".join(raw[o : o + n] for o, n in places.fragments[number - 1])
    else:
        start = places.offset + (number - 1) * places.frame_bytes
        content = raw[start : start + places.frame_bytes]
    said = metadata(header)
    if header.transfer_syntax == EXPLICIT_BIG:
        content = little_endian(content, said["00280100"]["Value"][0] // 8)
    return frame_of(said, header.transfer_syntax, content, number, lambda uri: value_behind(header, uri))


def value_behind(header: Header, uri: str) -> bytes:
    element = element_at(header, uri.partition("/bulkdata/")[2])
    assert element is not None
    return header.raw(element)


def shown(raw: bytes, window: rendering.Window | None = None, number: int = 1) -> npt.NDArray[np.int16]:
    return np.asarray(Image.open(BytesIO(rendered(frame(raw, number), Look("image/png", window))))).astype(np.int16)


def plain(raw: bytes) -> bytes:
    return decoded_frame(frame(raw))


def closest(raw: bytes, *options: str) -> int:
    """The largest difference to what DCMTK shows."""
    return int(np.abs(shown(raw) - picture_by_dcmtk(raw, *options).astype(np.int16)).max())


# ---------------------------------------------------------------- F03: HighBit
@pytest.mark.parametrize("high", [11, 12, 15])
@pytest.mark.parametrize("signed", [0, 1])
def test_the_value_lies_below_high_bit_whatever_lies_beside_it(high: int, signed: int) -> None:
    values = ((RAMP.astype(np.int32) - 2000 * signed) & 0xFFF).astype(np.uint32)
    words = (values << (high - 11) & 0xFFFF).astype(np.uint16)
    rubbish = np.uint16(0xFFFF ^ (0xFFF << (high - 11)))  # an overlay's bits
    centre = 2048 - 2000 * signed
    tags = {"HighBit": high, "PixelRepresentation": signed, "WindowCenter": str(centre), "WindowWidth": "4096"}
    raw = grey(words | rubbish, **tags)
    assert closest(grey(words, **tags), "+Wi", "1") <= 1
    assert np.array_equal(shown(raw), shown(grey(words, **tags)))
    expected = RAMP.astype(np.int32) - 2000 * signed
    kind = "<i2" if signed else "<u2"
    assert np.array_equal(np.frombuffer(plain(raw), kind).reshape(64, 64), expected)
    film = film_input(raw)
    assert isinstance(film, FilmInput) and np.ptp(film.pixels) > 0.9


def test_a_codec_keeps_or_loses_the_low_bits_and_high_bit_says_which() -> None:
    words = (RAMP << 4).astype(np.uint16)
    whole = with_frame(grey(words, HighBit=15), [encoded(RLELossless, words, "MONOCHROME2")], RLELossless)
    assert np.array_equal(np.frombuffer(plain(whole), "<u2").reshape(64, 64), RAMP)
    aligned = encoded(JPEGLSLossless, RAMP, "MONOCHROME2", bits_stored=12)
    lied = with_frame(grey(HighBit=15), [aligned], JPEGLSLossless)  # 12 bits in the stream: nothing to move
    assert np.array_equal(np.frombuffer(plain(lied), "<u2").reshape(64, 64), RAMP)


# ---------------------------------------------------------------- F01: windows
def ramp_shown(**tags: Any) -> npt.NDArray[np.int16]:
    return shown(grey(**tags))[0]


def by_formula(center: float, width: float, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return np.rint(255 * np.clip((values - center) / width + 0.5, 0, 1))


def test_a_window_under_1_is_exact() -> None:
    values = RAMP[0] * 0.000244 - 0.000244
    seen = ramp_shown(RescaleSlope="0.000244", RescaleIntercept="-0.000244", WindowCenter="0.4565", WindowWidth="0.913")
    assert np.abs(seen - by_formula(0.4565, 0.913, values)).max() <= 1 and len(set(seen.tolist())) > 50


@pytest.mark.parametrize(
    ("center", "width"),
    [("2000", "0"), ("2000", "-5"), ("", ""), ("NaN", "100"), ("abc", "100"), ("2000", "inf"), ("1", "")],
)
def test_a_window_that_is_none_is_left_out(center: str, width: str) -> None:
    from tests.makers.odd_header import with_odd

    raw = with_odd(grey(), {"WindowCenter": center.encode(), "WindowWidth": width.encode()})
    bare = dcmread(BytesIO(grey()))
    del bare.WindowCenter, bare.WindowWidth
    out = BytesIO()
    bare.save_as(out)
    assert np.array_equal(shown(raw), shown(out.getvalue())) and np.ptp(shown(raw)) == 255


def test_the_first_window_that_is_one_is_taken_and_a_width_of_1_is_a_threshold() -> None:
    assert np.array_equal(
        ramp_shown(WindowCenter=["5", "2000"], WindowWidth=["0", "1000"]),
        ramp_shown(WindowCenter="2000", WindowWidth="1000"),
    )
    assert set(ramp_shown(WindowCenter="2000", WindowWidth="1").tolist()) == {0, 255}
    assert closest(grey(WindowCenter="2000", WindowWidth="1"), "+Wi", "1") == 0


def test_a_viewer_may_ask_for_windows_under_1_and_for_other_functions() -> None:
    ask = rendering.look_from("image/png", "", "0.5,0.25,linear-exact", "")
    assert ask.window == rendering.Window(0.5, 0.25, "LINEAR_EXACT")
    assert rendering.look_from("image/png", "", "40,400", "").window == rendering.Window(40, 400)
    raw = grey()
    seen = shown(raw, rendering.Window(2048, 1000, "SIGMOID"))
    assert abs(int(seen[0, 37]) - round(255 / (1 + np.exp(-4 * (int(RAMP[0, 37]) - 2048) / 1000)))) <= 1


@pytest.mark.parametrize(
    "tags",
    [
        {"RescaleSlope": "0", "RescaleIntercept": "10"},
        {"PhotometricInterpretation": "MONOCHROME1"},
        {"PhotometricInterpretation": "MONOCHROME1", "PresentationLUTShape": "IDENTITY"},
        {"PhotometricInterpretation": "MONOCHROME2", "PresentationLUTShape": "INVERSE"},
        {"WindowCenter": "1000", "WindowWidth": "700"},
        {"RescaleSlope": "2", "RescaleIntercept": "-100", "WindowCenter": "1000", "WindowWidth": "700"},
    ],
)
def test_grey_is_as_dcmtk_shows_it(tags: dict[str, Any]) -> None:
    assert closest(grey(**tags), "+Wi", "1") <= 1


def lut(first: int, bits: int, entries: npt.NDArray[Any], *, words: bool) -> Any:
    from pydicom.dataset import Dataset

    item = Dataset()
    item.add_new(0x00283002, "US", [len(entries), first, bits])
    item.add_new(0x00283006, "OW" if not words else "US", entries.tobytes() if not words else [int(v) for v in entries])
    item.LUTExplanation = "made"
    return item


@pytest.mark.parametrize("words", [False, True])
def test_a_voi_table_is_gone_through(words: bool) -> None:
    entries = (np.arange(2000) ** 2 // 1000).astype(np.uint16)
    raw = grey(VOILUTSequence=[lut(500, 12, entries, words=words)])
    expected = entries[np.clip(RAMP[0].astype(int) - 500, 0, 1999)] / 4095 * 255
    assert np.abs(shown(raw)[0] - np.rint(expected)).max() <= 1


def test_padding_stays_out_of_the_window_and_is_black() -> None:
    words = RAMP.astype(np.int16).copy() - 1000
    words[:20] = -2000
    tags = {"BitsStored": 16, "HighBit": 15, "PixelRepresentation": 1, "WindowCenter": "", "WindowWidth": ""}
    raw = grey(words.view(np.uint16), **tags)
    at = raw.index(b"\x28\x00\x50\x10DS")
    padding = struct.pack("<HH2sHH", 0x0028, 0x0120, b"US", 2, 63536)  # -2000, written unsigned
    seen = shown(raw[:at] + padding + raw[at:])
    assert seen[0].max() == 0 and seen[20:].min() <= 1 and seen[20:].max() == 255
    assert seen[40, 32] > 40


def test_a_mask_of_few_ones_is_seen() -> None:
    mask = np.zeros((64, 64), np.uint8)
    mask[30, 30:33] = 1
    raw = grey(
        np.packbits(mask, bitorder="little").reshape(64, 8), Rows=64, Columns=64, BitsAllocated=1, BitsStored=1, HighBit=0,
        WindowCenter="", WindowWidth="",
    )  # fmt: skip
    assert shown(raw)[30, 31] == 255 and shown(raw)[0, 0] == 0
    assert plain(raw) == np.packbits(mask, bitorder="little").tobytes()


def test_each_frame_has_its_own_window() -> None:
    from pydicom.dataset import Dataset

    def group(center: str) -> Any:
        item, voi = Dataset(), Dataset()
        voi.WindowCenter, voi.WindowWidth = center, "1000"
        item.FrameVOILUTSequence = [voi]
        return item

    raw = make_cr(
        1, pixels=np.stack([RAMP, RAMP]), WindowCenter="", WindowWidth="",
        PerFrameFunctionalGroupsSequence=[group("1000"), group("3000")],
    )  # fmt: skip
    assert np.array_equal(shown(raw, number=1)[0], ramp_shown(WindowCenter="1000", WindowWidth="1000"))
    assert np.array_equal(shown(raw, number=2)[0], ramp_shown(WindowCenter="3000", WindowWidth="1000"))


# ---------------------------------------------------------------- F04: JPEGs
@pytest.fixture(scope="module")
def extended() -> bytes:
    return by_dcmtk(grey(), "dcmcjpeg", "+ee")


def spoiled(kind: str, jpeg: bytes) -> bytes:
    return {
        "whole": jpeg, "no selection": without_selection(jpeg), "no height": without_height(jpeg),
        "no end": jpeg[:-2], "padded": jpeg + b"\0" * 40, "all": without_height(without_selection(jpeg))[:-2],
    }[kind]  # fmt: skip


KINDS = ("whole", "no selection", "no height", "no end", "padded", "all")


@pytest.mark.parametrize("kind", KINDS)
def test_an_odd_jpeg_of_12_bits_is_the_same_picture(extended: bytes, kind: str) -> None:
    raw = with_frame(extended, [spoiled(kind, frame_in(extended))], JPEG_EXTENDED)
    assert np.array_equal(shown(raw), shown(extended)) and closest(extended, "+Wi", "1") <= 1
    assert np.abs(np.frombuffer(plain(raw), "<u2").reshape(64, 64).astype(int) - RAMP).max() <= 8


@pytest.mark.parametrize("kind", KINDS)
def test_an_odd_jpeg_of_8_bits_is_the_same_picture(kind: str) -> None:
    pixels = (RAMP >> 4).astype(np.uint8)
    tags = {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7, "WindowCenter": "128", "WindowWidth": "256"}
    raw = with_frame(grey(**tags), [spoiled(kind, jpeg_of(pixels))], JPEG_BASELINE)
    assert np.abs(shown(raw) - pixels).max() <= 4


def test_the_stream_decides_not_its_label(extended: bytes) -> None:
    lossless = frame_in(by_dcmtk(grey(), "dcmcjpeg", "+e1"))
    for syntax in (JPEG_BASELINE, JPEG_EXTENDED, JPEGLSLossless, JPEG2000Lossless):
        raw = with_frame(extended, [lossless], syntax)
        assert np.array_equal(np.frombuffer(plain(raw), "<u2").reshape(64, 64), RAMP)
    raw = with_frame(extended, [encoded(JPEG2000Lossless, RAMP, "MONOCHROME2", bits_stored=12)], JPEG_LOSSLESS)
    assert np.array_equal(np.frombuffer(plain(raw), "<u2").reshape(64, 64), RAMP)


def test_more_bits_than_are_said_are_shown_and_not_given_as_plain_pixels(extended: bytes) -> None:
    raw = with_frame(extended, [frame_in(extended)], JPEG_EXTENDED, BitsAllocated=8, BitsStored=8, HighBit=7)
    assert np.ptp(shown(raw)) > 200
    with pytest.raises(NotAcceptable):
        plain(raw)


def test_what_no_codec_reads_is_unreadable(extended: bytes) -> None:
    for broken in (b"\xff\xd8\xff\xd9", frame_in(extended)[:60], b"\0" * 100, frame_in(extended)[:-200]):
        with pytest.raises(Unreadable):
            shown(with_frame(extended, [broken], JPEG_EXTENDED))
    huge = bytearray(frame_in(extended))
    at = huge.index(b"\xff\xc1")
    huge[at + 5 : at + 9] = b"\xff\xff\xff\xff"
    assert isinstance(film_input(with_frame(extended, [bytes(huge)], JPEG_EXTENDED)), Abstention)


def test_damage_anywhere_is_a_picture_or_unreadable_and_ends(extended: bytes) -> None:
    """A codec that never comes back, or dies in a way of its own, would take a thread with it."""
    frames = {
        JPEG_EXTENDED: frame_in(extended),
        JPEG_BASELINE: jpeg_of((RAMP >> 4).astype(np.uint8)),
        JPEGLSLossless: bytes(encoded(JPEGLSLossless, RAMP, "MONOCHROME2", bits_stored=12)),
        JPEG2000Lossless: bytes(encoded(JPEG2000Lossless, RAMP, "MONOCHROME2", bits_stored=12)),
        RLELossless: bytes(encoded(RLELossless, RAMP, "MONOCHROME2")),
    }
    layout = Layout(64, 64, 1, 16, 12, 11, False, 0, "MONOCHROME2")
    chance, shapes = random.Random(7), set()
    for n in range(500):
        syntax, whole = list(frames.items())[n % len(frames)]
        damaged = bytearray(whole[: chance.randrange(10, len(whole))] if n % 7 == 0 else whole)
        for _ in range(chance.choice((1, 2, 4))):
            damaged[chance.randrange(2, len(damaged))] = chance.choice((0, 255, chance.randrange(256)))
        try:
            shapes.add(decode(bytes(damaged), syntax, layout).values.ndim)
        except Exception as error:
            assert not isinstance(error, MemoryError)
    assert 2 in shapes


def test_run_lengths_longer_than_the_picture_are_unreadable() -> None:
    stream = bytearray(encoded(RLELossless, RAMP, "MONOCHROME2"))
    stream[64] = 127  # copies of bytes beyond the plane
    raw = with_frame(grey(), [bytes(stream) + bytes(stream[64:]) * 4], RLELossless, Rows=2, Columns=2)
    with pytest.raises(Unreadable):
        shown(raw)


@pytest.mark.parametrize("interleaved", ["+il", "+is", "+in"])
def test_each_way_of_interleaving_jpeg_ls(interleaved: str) -> None:
    raw = by_dcmtk(native_colours(PICTURE, PICTURE.tobytes()), "dcmcjpls", interleaved)
    assert np.array_equal(shown(raw), PICTURE)


# ---------------------------------------------------------------- F17: colours
PICTURE = colours()


def ybr(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    return np.asarray(convert_color_space(pixels, "RGB", "YBR_FULL"), np.uint8)


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless, JPEG2000Lossless])
@pytest.mark.parametrize("planar", [0, 1])
def test_colours_come_out_as_the_header_lays_them(syntax: str, planar: int) -> None:
    raw = encapsulated(coloured(PICTURE, PlanarConfiguration=planar), [encoded(syntax, PICTURE)], syntax)
    assert np.array_equal(shown(raw), PICTURE)
    assert plain(raw) == (PICTURE.transpose(2, 0, 1) if planar else PICTURE).tobytes()


def test_native_colours_by_plane_by_pixel_and_by_luminance() -> None:
    by_plane = native_colours(PICTURE, PICTURE.transpose(2, 0, 1).tobytes(), PlanarConfiguration=1)
    assert np.array_equal(shown(by_plane), PICTURE)
    full = native_colours(PICTURE, ybr(PICTURE).tobytes(), "YBR_FULL")
    assert np.abs(shown(full) - PICTURE).max() <= 3 and closest(full) <= 2
    halves = ybr(PICTURE).astype(np.uint16)
    pairs = halves.reshape(32, 24, 2, 3)
    stored = np.concatenate((pairs[..., 0], pairs[..., 1:].mean(axis=2)), axis=-1).astype(np.uint8)
    raw = native_colours(PICTURE, stored.tobytes(), "YBR_FULL_422")
    assert np.abs(shown(raw) - PICTURE).max() <= 8
    mislabelled = native_colours(PICTURE, ybr(PICTURE).tobytes(), "YBR_FULL_422")  # three bytes a pixel all the same
    assert np.abs(shown(mislabelled) - PICTURE).max() <= 3


@pytest.mark.parametrize("photometric", ["YBR_FULL", "YBR_FULL_422", "RGB"])
def test_a_jpegs_own_word_on_its_colours_is_believed(photometric: str) -> None:
    jfif = jpeg_of(PICTURE, subsampling=0)
    raw = encapsulated(coloured(PICTURE, photometric), [jfif], JPEG_BASELINE)
    assert np.abs(shown(raw) - PICTURE).max() <= 12
    if photometric == "RGB":
        assert np.abs(np.frombuffer(plain(raw), np.uint8).reshape(PICTURE.shape).astype(int) - PICTURE).max() <= 12
    elif photometric == "YBR_FULL":
        assert np.abs(np.frombuffer(plain(raw), np.uint8).reshape(PICTURE.shape).astype(int) - ybr(PICTURE)).max() <= 12
    else:
        with pytest.raises(NotAcceptable):  # two bytes a pixel would be what the header says
            plain(raw)


def test_a_jpeg_that_says_nothing_of_its_colours_is_as_the_header_says() -> None:
    as_rgb = by_dcmtk(native_colours(PICTURE, PICTURE.tobytes()), "dcmcjpeg", "+eb", "+cr")
    assert np.abs(shown(as_rgb) - PICTURE).max() <= 16 and closest(as_rgb) <= 16
    jfif = jpeg_of(ybr(PICTURE), subsampling=0)
    bare = jfif[:2] + jfif[2 + 2 + int.from_bytes(jfif[4:6], "big") :]  # without APP0; its own coding is YCbCr of ybr
    raw = encapsulated(coloured(PICTURE, "YBR_FULL"), [bare], JPEG_BASELINE)
    assert (
        np.abs(np.frombuffer(plain(raw), np.uint8).reshape(PICTURE.shape).astype(int) - ybr(ybr(PICTURE))).max() <= 12
    )


def test_wavelets_give_rgb_and_say_so_or_are_refused() -> None:
    stream = encoded(JPEG2000Lossless, PICTURE, "YBR_RCT", use_mct=True)
    raw = encapsulated(coloured(PICTURE, "YBR_RCT"), [stream], JPEG2000Lossless)
    assert np.array_equal(shown(raw), PICTURE)
    with pytest.raises(NotAcceptable):
        plain(raw)
    assert plain(encapsulated(coloured(PICTURE, "RGB"), [stream], JPEG2000Lossless)) == PICTURE.tobytes()


def test_a_palette_is_gone_through_even_when_it_lies_elsewhere() -> None:
    index = (np.arange(64 * 64) % 256).astype(np.uint8).reshape(64, 64)
    ramps = [(np.arange(256) * k % 256 * 256).astype("<u2") for k in (1, 3, 7)]
    tables = {f"{c}PaletteColorLookupTable{d}": v for c, r in zip(("Red", "Green", "Blue"), ramps, strict=True)
              for d, v in (("Descriptor", [256, 0, 16]), ("Data", np.repeat(r, 1).tobytes()))}  # fmt: skip
    raw = grey(index, BitsAllocated=8, BitsStored=8, HighBit=7, PhotometricInterpretation="PALETTE COLOR", **tables)
    assert shown(raw)[0, 5].tolist() == [5, 15, 35] and closest(raw) <= 1


def test_big_endian_words_are_turned() -> None:
    raw = grey(RAMP.byteswap(), "1.2.840.10008.1.2.2")
    assert np.array_equal(shown(raw), shown(grey()))
