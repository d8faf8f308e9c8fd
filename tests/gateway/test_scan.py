"""The scan beside pydicom, in every transfer syntax; and what it does with bytes that lie."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames
from pydicom.uid import JPEGBaseline8Bit

from center.errors import Failure, Unreadable
from center.pinyin import search_key
from dicom_gateway import dicom_json, dicom_scan
from dicom_gateway.charset import Repertoire
from dicom_gateway.conflicts import compare
from dicom_gateway.dicom_scan import FrameMap, check_identity, frame_map, scan
from tests.makers.dicom import Flaw, Person, encapsulated, make_cr, make_ct, multi_frame, written

NATIVE = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99")
QUICK = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
NAMES = st.text(alphabet="abcXYZ 张王李单曾^", min_size=1, max_size=20).map(lambda s: s.strip() or "x")


def flat(dataset: Dataset, path: tuple[int, ...] = ()) -> dict[tuple[int, ...], object]:
    """Every element as pydicom sees it."""
    out: dict[tuple[int, ...], object] = {}
    for element in dataset:
        here = (*path, int(element.tag))
        if element.VR == "SQ":
            for n, item in enumerate(element.value):
                out |= flat(item, (*here, n))
        elif int(element.tag) != 0x7FE00010:
            out[here] = element
    return out


def ours(elements, path: tuple[int, ...] = ()) -> dict[tuple[int, ...], object]:
    out: dict[tuple[int, ...], object] = {}
    for tag, element in elements.items():
        here = (*path, tag)
        if element.items is not None:
            for n, item in enumerate(element.items):
                out |= ours(item, (*here, n))
        elif tag != 0x7FE00010:
            out[here] = element
    return out


@st.composite
def data_sets(draw: st.DrawFn) -> Dataset:
    out = dcmread(BytesIO(make_cr(draw(st.integers(0, 50)), size=(8, 8))))
    out.PatientName = draw(NAMES)
    out.StudyDescription = draw(NAMES)
    out.PatientWeight = str(draw(st.integers(1, 200)))
    out.add_new(0x00091001, "UN", draw(st.binary(max_size=40).map(lambda b: b + b"\x00" * (len(b) % 2))))
    out.add_new(0x00280106, "US", draw(st.integers(0, 65535)))
    out.FrameTimeVector = [str(n) for n in draw(st.lists(st.integers(0, 99), max_size=5))]

    def item(depth: int) -> Dataset:
        inner = Dataset()
        inner.CodeValue = draw(st.text("AB12", max_size=6))
        inner.CodeMeaning = draw(NAMES)
        if depth:
            inner.EquivalentCodeSequence = [item(depth - 1) for _ in range(draw(st.integers(0, 2)))]
        return inner

    out.ProcedureCodeSequence = [item(draw(st.integers(0, 3))) for _ in range(draw(st.integers(0, 3)))]
    return out


@QUICK
@given(data_sets(), st.sampled_from(NATIVE), st.booleans())
def test_scan_agrees(dataset: Dataset, syntax: str, undefined: bool) -> None:
    """Property 2: tags, values and nesting equal pydicom's in every native syntax, lengths defined or not."""
    dataset["ProcedureCodeSequence"].is_undefined_length = undefined
    for item in dataset.ProcedureCodeSequence:
        item.is_undefined_length_sequence_item = undefined
    raw = written(dataset, syntax)
    header, theirs = scan(raw), dcmread(BytesIO(raw))
    found = ours(header.elements)
    expected = flat(theirs)
    assert found.keys() == expected.keys()
    for key, element in expected.items():
        if element.VR in ("LO", "SH", "PN", "UI", "CS", "DS", "IS", "DA", "TM"):  # type: ignore[attr-defined]
            values = element.value if isinstance(element.value, (list, tuple)) or element.VM > 1 else [element.value]  # type: ignore[attr-defined]
            text = "\\".join("" if v is None else str(v) for v in values)
            assert header.text_of(found[key]).strip() == text.strip()  # type: ignore[arg-type]
    assert header.integer(0x00280106) == theirs[0x00280106].value
    places = frame_map(header)
    assert places is not None
    if places.kind == "native":
        assert bytes(raw[places.offset : places.offset + places.frame_bytes]) == theirs.PixelData


@QUICK
@given(st.integers(1, 6), st.booleans(), st.integers(0, 100))
def test_encapsulated_frames_agree(frames: int, table: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    ds, _ = multi_frame(seed, frames)
    pieces = [b"\xff\xd8\xff\xe0" + rng.bytes(int(rng.integers(2, 300))) + b"\xff\xd9" for _ in range(frames)]
    raw = encapsulated(ds, [p + b"\x00" * (len(p) % 2) for p in pieces], JPEGBaseline8Bit, offset_table=table)
    places = frame_map(scan(raw))
    assert places is not None and len(places.fragments) == frames
    assert FrameMap.from_json(places.as_json()) == places
    theirs = list(generate_frames(dcmread(BytesIO(raw)).PixelData, number_of_frames=frames))
    found = [b"".join(raw[o : o + n] for o, n in fragments) for fragments in places.fragments]
    assert found == theirs


def test_frames_in_several_fragments_without_a_table_are_told_apart_by_their_first_bytes() -> None:
    ds, _ = multi_frame(1, 2)
    pieces = [b"\xff\xd8\xff\xe0aa", b"bbbb", b"\xff\xd8\xff\xe0cc", b"dddd", b"eeee"]
    body = b"\xfe\xff\x00\xe0" + struct.pack("<I", 0)
    body += b"".join(b"\xfe\xff\x00\xe0" + struct.pack("<I", len(p)) + p for p in pieces)
    ds.add_new(0x7FE00010, "OB", body)
    ds["PixelData"].is_undefined_length = True
    places = frame_map(scan(written(ds, JPEGBaseline8Bit)))
    assert places is not None and [len(f) for f in places.fragments] == [2, 3]


@QUICK
@given(st.data())
def test_any_cut_and_any_flipped_bytes_are_told_or_read(data: st.DataObject) -> None:
    """Hostile bytes end in a header or in Unreadable, nothing else; a cut is always found."""
    raw = bytearray(make_cr(1, size=(16, 16), transfer_syntax=data.draw(st.sampled_from(NATIVE[:3]))))
    if data.draw(st.booleans()):
        cut = data.draw(st.integers(0, len(raw) - 1))
        # A cut between two elements leaves a well-formed, shorter data set: its pixels are missing.
        try:
            header = scan(bytes(raw[:cut]))
        except Unreadable as failure:
            assert "byte" in failure.facts and failure.zh and failure.en
        else:
            assert not header.has_pixels
        return
    for _ in range(data.draw(st.integers(1, 8))):
        raw[data.draw(st.integers(132, len(raw) - 1))] = data.draw(st.integers(0, 255))
    try:
        header = scan(bytes(raw))
        check_identity(header)
        dicom_json.metadata(header)
        frame_map(header)
    except Failure:
        pass


@pytest.mark.parametrize(
    "flaw",
    [Flaw.TRUNCATED, Flaw.LYING_LENGTH, Flaw.DEEP, Flaw.GARBAGE],
)
def test_what_is_wrong_is_said_with_its_byte(flaw: Flaw) -> None:
    with pytest.raises(Unreadable) as caught:
        scan(make_cr(1, size=(64, 64), flaw=flaw))
    assert caught.value.facts["byte"] and str(caught.value.facts["byte"]) in caught.value.en


def test_depth_elements_and_inflation_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    deep = b"".join(struct.pack("<HH2sHI", 0x40, 0x275, b"SQ", 0, 0xFFFFFFFF) + struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF) for _ in range(50_000))  # fmt: skip
    start = make_cr(1, size=(8, 8))
    head = start[: scan(start).dataset_offset]
    with pytest.raises(Unreadable):
        scan(head + deep)
    many = struct.pack("<HH2sHI", 0x40, 0x275, b"SQ", 0, 0xFFFFFFFF) + struct.pack("<HHI", 0xFFFE, 0xE000, 0) * 500_000
    with pytest.raises(Unreadable):
        scan(head + many)
    machine = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = b"".join([*(machine.compress(bytes(1 << 20)) for _ in range(9)), machine.flush()])
    monkeypatch.setattr(dicom_scan, "MAX_INFLATED_BYTES", 8 << 20)
    deflated = make_cr(1, size=(8, 8), transfer_syntax=NATIVE[3])
    with pytest.raises(Unreadable):
        scan(deflated[: scan(deflated).dataset_offset] + bomb)


def test_a_file_padded_with_zeros_is_read() -> None:
    raw = make_cr(1, size=(16, 16))
    assert scan(raw + bytes(512)).elements.keys() == scan(raw).elements.keys()


# ---------------------------------------------------------------- text
@pytest.mark.parametrize(
    ("declared", "raw", "text", "repaired"),
    [
        (["ISO_IR 100"], "王小明".encode("gb18030"), "王小明", True),
        ([], "欧阳娜娜".encode("gbk"), "欧阳娜娜", True),
        ([], "王小明".encode(), "王小明", True),
        (["ISO_IR 100"], "王小明".encode(), "王小明", True),
        (["GB18030"], "𠮷田".encode("gb18030"), "𠮷田", False),
        (["ISO_IR 192"], "王小明".encode("gb18030"), "王小明", True),
        (["ISO_IR 100"], "Müller^Jürgen".encode("latin_1"), "Müller^Jürgen", False),
        (["ISO_IR 100"], "Besançon é à".encode("latin_1"), "Besançon é à", False),
        (["ISO_IR 144"], "Люкceмбypг".encode("iso8859_5"), "Люкceмбypг", False),
        (
            ["", "ISO 2022 IR 58"],
            b"Zhang^XiaoDong=\x1b$)A\xd5\xc5^\x1b$)A\xd0\xa1\xb6\xab",
            "Zhang^XiaoDong=张^小东",
            False,
        ),
        (["", "ISO 2022 IR 87"], b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B", "Yamada^Tarou=山田^太郎", False),
        # the bytes of ま, 誠 and 暁 hold 0x5E, 0x3D and 0x5C: ^, = and \\ between names, but not inside a character
        (
            ["", "ISO 2022 IR 87"],
            b"Yamada=\x1b$B$d$^$@\x1b(B^\x1b$B@=6G\x1b(B=\x1b$B$^$^\x1b(B",
            "Yamada=やまだ^製暁=まま",
            False,
        ),
        (["GB18030"], "查^良镛".encode(), "查^良镛", True),
        (["GB18030"], "琚^辈".encode("gb18030"), "琚^辈", False),
        (
            ["", "ISO 2022 IR 149"],
            b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7",
            "Hong^Gildong=洪^吉洞",
            False,
        ),
    ],
)
def test_names_survive_their_declaration(declared: list[str], raw: bytes, text: str, repaired: bool) -> None:
    repertoire = Repertoire.of(declared, [raw])
    assert (repertoire.decode(raw), repertoire.repaired) == (text, repaired)


@pytest.mark.parametrize("flaw", [Flaw.GB18030_AS_LATIN1, Flaw.GB18030_UNDECLARED, Flaw.UTF8_UNDECLARED])
def test_a_mislabelled_file_reads_right_in_header_and_json(flaw: Flaw) -> None:
    header = scan(make_cr(1, size=(8, 8), flaw=flaw, person=Person(name="Zeng^Hua=曾^华")))
    metadata = dicom_json.metadata(header)
    assert header.text(0x00100010) == "Zeng^Hua=曾^华"
    assert metadata["00100010"]["Value"] == [{"Alphabetic": "Zeng^Hua", "Ideographic": "曾^华"}]
    assert metadata["00080080"]["Value"] == ["石沟镇卫生院"] and metadata["00080005"]["Value"] == ["ISO_IR 192"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("单雄", ("shanxiong", "danxiong", "sx")), ("曾华", ("zenghua", "cenghua", "zh")), ("解放", ("xiefang", "jiefang")),
        ("仇一", ("qiuyi",)), ("区明", ("ouming",)), ("查良", ("zhaliang",)), ("朴正", ("piaozheng",)), ("盖立", ("geli", "gaili")),
        ("乐嘉", ("yuejia", "lejia")), ("尉迟恭", ("yuchigong", "ycg")), ("Zhang^San=张^三", ("zhangsan", "sanzhang", "zs")),
    ],
)  # fmt: skip
def test_surnames_are_found_by_every_reading(name: str, words: tuple[str, ...]) -> None:
    key = search_key(name)
    assert all(f" {word} " in key for word in words), key


# ---------------------------------------------------------------- the same or not
def test_encodings_of_one_data_set_are_the_same() -> None:
    versions = [scan(make_ct(1, slices=1, transfer_syntax=s)[0]) for s in NATIVE[:2] + NATIVE[3:]]
    for one in versions:
        for other in versions:
            assert compare(one, other).same


def test_added_tags_and_padding_do_not_count_but_content_does() -> None:
    plain = scan(make_cr(1, size=(8, 8)))
    assert compare(plain, scan(make_cr(1, size=(8, 8), RetrieveAETitle="PACS", PatientComments="added"))).same
    assert compare(plain, scan(make_cr(1, size=(8, 8), PatientID="S1001 "))).same
    assert compare(plain, scan(make_cr(1, size=(8, 8), PatientID="S1002"))).difference == ("00100020",)
    assert "7FE00010" in compare(plain, scan(make_cr(2, size=(8, 8), StudyInstanceUID="1.2"))).difference
