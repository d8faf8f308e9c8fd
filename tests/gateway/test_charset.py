"""Bytes of a value, what was declared -> its text: the table of what devices do, and what holds for any bytes."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from center.characters import STAND_IN, kept, shown
from center.patients import shown_name
from center.pinyin import search_key
from dicom_gateway.charset import Repertoire

GB, U8 = "gb18030", "utf_8"
ESC58 = b"\x1b$)A"
CHINESE = "胸部正位检查"


def gb(text: str) -> bytes:
    return text.encode(GB)


def read(declared: Sequence[str], raw: bytes, *others: bytes) -> str:
    return Repertoire.of(declared, [raw, *others]).decode(raw)


# ---------------------------------------------------------------- declared one thing, written another
@pytest.mark.parametrize("codec", [GB, U8])
@pytest.mark.parametrize(
    "declared",
    [
        [], [""], ["ISO_IR 6"], ["ISO_IR 100"], ["ISO_IR 192"], ["GB18030"], ["GBK"], ["GB2312"], ["ISO_IR 148"],
        ["", "ISO 2022 IR 58"], ["ISO 2022 IR 6", "ISO 2022 IR 58"], ["ISO_IR 100", "ISO 2022 IR 58"], ["nonsense"],
        ["ISO 2022 GBK"], ["\\ISO 2022 GBK"], ["utf8"], ["UTF-8"], ["ISO-IR 192"], ["ISO_IR_192"], ["ISO IR 192"],
        ["ISO_IR192"], ["iso_ir 100"], ["ISO2022 IR 58"], ["ISO 2022 58"], ["ISO_IR 58"], ["ISO_IR 999"],
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    "text", ["王建国", "张^珣珺", "=王^小明", "CT平扫", "胸", CHINESE, "欧阳娜娜", "李昇", "朱镕基"]
)
def test_chinese_is_read_whatever_was_declared(declared: list[str], codec: str, text: str) -> None:
    other = "石沟镇卫生院放射科"  # a file holds more than one value
    assert read(declared, text.encode(codec), other.encode(codec)) == text


@pytest.mark.parametrize(
    ("declared", "raw", "text"),
    [
        (["ISO_IR 100"], "Müller^Jürgen".encode("latin_1"), "Müller^Jürgen"),
        (["ISO_IR 100"], "Besançon é à «non»".encode("latin_1"), "Besançon é à «non»"),
        (["ISO_IR 100"], "créée, 37 °C, 5 µm, m²".encode("latin_1"), "créée, 37 °C, 5 µm, m²"),
        (["ISO_IR 100"], b"l\x92aorte \x96 ok", "l’aorte – ok"),
        (["ISO_IR 100"], "RADIAÇÃO".encode("latin_1"), "RADIAÇÃO"),
        ([], "Jürgen".encode("latin_1"), "Jürgen"),
        ([], "Jürgen".encode(), "Jürgen"),
        (["ISO_IR 148"], "ığır şığ çığlık".encode("iso8859_9"), "ığır şığ çığlık"),
        (["ISO_IR 144"], "Люкceмбypг".encode("iso8859_5"), "Люкceмбypг"),
        (["ISO_IR 126"], "Διονυσιος".encode("iso8859_7"), "Διονυσιος"),
        (["ISO_IR 13"], b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3", "ﾔﾏﾀﾞ^ﾀﾛｳ"),
        (["ISO_IR 149"], "김희중".encode("euc_kr"), "김희중"),
        (["ISO_IR 101"], "Żółć".encode("iso8859_2"), "Żółć"),
        (["ISO_IR 101"], "王小明".encode(), "王小明"),
        (["ISO 2022 B5"], "張三".encode("big5"), "張三"),
    ],
)
def test_what_tells_the_truth_is_believed(declared: list[str], raw: bytes, text: str) -> None:
    assert read(declared, raw) == text
    assert not Repertoire.of(declared, [raw]).repaired or declared in ([], ["ISO_IR 101"])


@pytest.mark.parametrize("name", ["毛", "楼", "梅^芳", "路"])  # in GB 2312 also valid UTF-8: ë, ¥, ·, ·
@pytest.mark.parametrize("declared", [[], ["ISO_IR 100"], ["ISO_IR 192"], ["GB18030"]])
def test_a_surname_that_is_also_utf8_is_read_as_the_file_is_written(declared: list[str], name: str) -> None:
    assert read(declared, gb(name), gb("石沟镇卫生院")) == name


def test_the_values_of_one_file_are_decided_one_by_one() -> None:
    """One system writes the name, another the description."""
    values = {"王建国": GB, "腰椎正侧位": U8, "Müller": "latin_1"}
    repertoire = Repertoire.of(["ISO_IR 192"], [text.encode(codec) for text, codec in values.items()])
    assert [repertoire.decode(t.encode(c)) for t, c in values.items()][:2] == ["王建国", "腰椎正侧位"]
    assert repertoire.repaired


# ---------------------------------------------------------------- cut inside a character
@pytest.mark.parametrize("codec", [GB, U8])
@pytest.mark.parametrize("declared", [[], ["ISO_IR 100"], ["ISO_IR 192"], ["GB18030"], ["", "ISO 2022 IR 58"]])
@pytest.mark.parametrize("pad", [b"", b" ", b"\x00"])
def test_a_cut_character_costs_itself_only(declared: list[str], codec: str, pad: bytes) -> None:
    name, whole = "王建国".encode(codec), (CHINESE * 6).encode(codec)
    for at in range(30, 70):
        cut = whole[:at] + pad
        repertoire = Repertoire.of(declared, [name, cut])
        assert repertoire.decode(name) == "王建国"
        sure = whole[:at].decode(codec, "ignore")
        assert repertoire.decode(cut).rstrip("\ufffd ") == sure, (at, cut)


def test_a_cut_by_itself_is_told_apart() -> None:
    assert read(["ISO_IR 100"], gb("胸部正位")[:-1]).startswith("胸部正")
    assert read(["ISO_IR 192"], "胸部正位".encode()[:-1]).startswith("胸部正")
    assert read([], b"CT" + gb("平扫")[:-1]).startswith("CT平")
    assert read(["ISO_IR 100"], gb("胸部")[:-1] + b"\\" + gb("腹部")).endswith("腹部")


def test_a_value_cut_at_its_limit_leaves_the_delimiter_and_the_next_one() -> None:
    cut = b"C" + gb("胸部正位检查" * 6)[:63]
    assert read(["ISO_IR 100"], cut + b"\\" + gb("腹部")).split("\\")[1:] == ["腹部"]
    assert read(["GB18030"], gb("李昞\\栢")) == "李昞\\栢"  # characters that end with the delimiter's byte


# ---------------------------------------------------------------- ISO 2022
ZHANG = "张^珣珺"
IR58 = (
    b"Zhang^Xunjun=" + ESC58 + gb("张") + b"^" + ESC58 + gb("珣珺"),  # as the standard, but beyond GB 2312
    b"Zhang^Xunjun=" + ESC58 + gb("张^珣珺"),  # no second escape
    b"Zhang^Xunjun=" + gb("张^珣珺"),  # none at all
    b"Zhang^Xunjun=$)A" + gb("张") + b"^$)A" + gb("珣珺"),  # the escape character was filtered out
    ESC58 + b"Zhang^Xunjun=" + gb("张") + b"^" + gb("珣珺"),  # once, at the beginning
    b"Zhang^Xunjun=" + ESC58 + gb("张") + b"\x1b(B^" + ESC58 + gb("珣珺") + b"\x1b(B",  # back to ASCII each time
    b"Zhang^Xunjun=" + ESC58 + b"\x1b(B" + gb("张") + b"^" + ESC58 + b"\x1b(B" + gb("珣珺"),  # G0 leaves G1 alone
    b"Zhang^Xunjun=" + ESC58 + gb("张") + b"^" + ESC58 + gb("珣珺") + b"\x1b",  # and one too many
    b"Zhang^Xunjun=\x1b%5" + ESC58 + gb("张") + b"^" + ESC58 + gb("珣珺"),  # one that nobody knows
)


@pytest.mark.parametrize("raw", IR58)
@pytest.mark.parametrize(
    "declared", [["", "ISO 2022 IR 58"], ["ISO 2022 IR 6", "ISO 2022 IR 58"], ["ISO_IR 100", "ISO 2022 IR 58"]]
)
def test_ir58_as_consoles_write_it(declared: list[str], raw: bytes) -> None:
    assert read(declared, raw) == f"Zhang^Xunjun={ZHANG}"


@pytest.mark.parametrize("raw", [r for r in IR58 if ESC58 in r])
@pytest.mark.parametrize("declared", [[], ["ISO_IR 100"], ["GB18030"], ["ISO_IR 192"]])
def test_escapes_are_read_though_nobody_declared_them(declared: list[str], raw: bytes) -> None:
    assert read(declared, raw) == f"Zhang^Xunjun={ZHANG}"


@pytest.mark.parametrize(
    ("declared", "raw", "text"),
    [
        (["", "ISO 2022 IR 58"], ESC58 + gb("栢^淺"), "栢^淺"),  # trail bytes that look like ^ and \\
        (["", "ISO 2022 IR 58"], ESC58 + gb("王建国")[:-1] + b"^" + ESC58 + gb("明"), "王建\ufffd^明"),
        (["", "ISO 2022 IR 58"], b"\x1b$A" + bytes(b & 0x7F for b in "小东".encode("gb2312")) + b"\x1b(B", "小东"),
        (["", "ISO 2022 IR 58"], ESC58 + "王小明".encode(), "王小明"),  # UTF-8 behind the escape
        (["", "ISO 2022 IR 58"], ESC58 + gb("𠮷"), "𠮷"),
        (["ISO_IR 100", "ISO 2022 IR 58"], b"M\xfcller=" + ESC58 + gb("张"), "Müller=张"),
        (["", "ISO 2022 IR 149"], b"Hong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7", "Hong=洪^吉洞"),
        (["", "ISO 2022 IR 149"], b"Hong=\x1b$)C\xfb\xf3^\xd1\xce\xd4\xd7", "Hong=洪^吉洞"),
        (["", "ISO 2022 IR 149"], b"=\x1b$)C" + "똠방".encode("cp949"), "=똠방"),  # beyond KS X 1001
        (["", "ISO 2022 IR 87"], b"Y=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B", "Y=山田^太郎"),
        (["", "ISO 2022 IR 87"], b"Y=\x1b$B;3ED^\x1b$BB@O:", "Y=山田^太郎"),  # not reset
        (["", "ISO 2022 IR 87"], b"\x1b$B\x7c\x62\x1b(B", "髙"),  # a maker's row
        (["", "ISO 2022 IR 159"], b"\x1b$(D0\x21\x1b(B", "丂"),
        (["ISO 2022 IR 13", "ISO 2022 IR 87"], b"\xd4\xcf\xc0\xde=\x1b$B;3ED\x1b(J", "ﾔﾏﾀﾞ=山田"),
        (["ISO 2022 IR 13", "ISO 2022 IR 87"], "山田".encode("shift_jis"), "山田"),
        (["", "ISO 2022 IR 87"], "山田".encode(), "山田"),
        (["ISO 2022 IR 100", "ISO 2022 IR 144"], b"Buc^J\xe9=\x1b-L\xbb\xee\xda", "Buc^Jé=Люк"),
    ],
)
def test_iso_2022_and_its_like(declared: list[str], raw: bytes, text: str) -> None:
    assert read(declared, raw) == text


# ---------------------------------------------------------------- private use
@pytest.mark.parametrize(
    ("declared", "raw", "text"),
    [
        (["ISO_IR 192"], "马\ue1a5明".encode(), "马\ue1a5明"),
        (["GB18030"], "马\ue1a5明".encode(GB), "马\ue1a5明"),
        (["GB18030"], b"\xc2\xed\xaa\xa1\xc3\xf7", "马\ue000明"),  # two bytes, user-defined area 1
        (["ISO_IR 100"], b"\xc2\xed\xf8\xa1\xc3\xf7", "马\ue234明"),  # area 2
        ([], b"\xc2\xed\xa1\x40\xc3\xf7", "马\ue4c6明"),  # area 3
        (["", "ISO 2022 IR 58"], ESC58 + b"\xc2\xed\xaa\xa1\xc3\xf7", "马\ue000明"),
        (["GB18030"], "马\U000f0001明".encode(GB), "马\U000f0001明"),
        (["GB18030"], b"\xc2\xed\xfe\x59", "马龴"),  # private in 2000, a character since
    ],
)
def test_private_characters_keep_their_place(declared: list[str], raw: bytes, text: str) -> None:
    found = read(declared, raw)
    assert found == text
    assert shown(found) == "".join(STAND_IN if c >= "\ue000" and not "\ufa00" < c < "\U000f0000" else c for c in text)


def test_a_name_with_a_private_character_is_shown_with_a_stand_in_and_found() -> None:
    assert shown_name("马\ue1a5明") == "马〓明"
    assert shown_name("Ma^X=马^\ue1a5明") == "马〓明"
    assert " maming " in search_key("马\ue1a5明") and " mm " in search_key("马〓明")
    assert kept("马\ue1a5明\U00031350") == "马\ue1a5明\U00031350"  # one that Python's tables don't know yet


def test_names_padded_to_three_characters_are_shown_without_the_blank() -> None:
    assert shown_name("王　明") == shown_name("王 明") == "王明"
    assert shown_name("Omura^Jun") == "Omura Jun"


# ---------------------------------------------------------------- whatever comes
TERMS = st.sampled_from(
    ["", "ISO_IR 6", "ISO_IR 100", "ISO_IR 192", "GB18030", "ISO 2022 IR 58", "ISO 2022 IR 87", "ISO 2022 IR 149",
     "ISO_IR 13", "ISO 2022 IR 159", "ISO_IR 144", "ISO 2022 B5", "utf8", "??"]
)  # fmt: skip
PIECES = st.one_of(
    st.binary(max_size=6),
    st.sampled_from([ESC58, b"\x1b", b"\x1b(B", b"\x1b$B", b"\x1b)I", b"^", b"=", b"\\", b"$)A", b"\x00", gb("张珣"), "张珣".encode()]),
)  # fmt: skip


@given(st.lists(TERMS, max_size=3), st.lists(PIECES, max_size=12).map(b"".join), st.binary(max_size=20))
def test_any_bytes_are_read_without_controls(declared: list[str], raw: bytes, other: bytes) -> None:
    text = Repertoire.of(declared, [raw, other]).decode(raw)
    assert not any((ord(c) < 0x20 and c not in "\t\n\f\r") or 0x7F <= ord(c) < 0xA0 for c in text)
    text.encode()


WORDS = st.text("abcXYZ 0129.,;()-", min_size=1, max_size=8)


@given(st.lists(TERMS, max_size=2), st.lists(st.tuples(WORDS, st.text("胸部正位王建国毛楼", max_size=4)), min_size=1, max_size=5), st.sampled_from([GB, U8]))  # fmt: skip
def test_ascii_always_survives(declared: list[str], parts: list[tuple[str, str]], codec: str) -> None:
    text = "".join(ascii_part + "^" + chinese for ascii_part, chinese in parts)
    found = Repertoire.of(declared, [text.encode(codec)]).decode(text.encode(codec))
    assert (
        "".join(c for c in found if c.isascii()) == "".join(c for c in text if c.isascii()) or "ISO_IR 13" in declared
    )
