"""The printed report: the same bytes each time, nothing evaluated, no name lost, every page known by its patient."""

from __future__ import annotations

import hashlib
import json
import random
import threading
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from io import BytesIO
from typing import Any

import pypdf
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from center.errors import Invalid
from center.fonts import FONTS, font_path
from center.glyphs import BREAK, coverage, printable
from tests.makers.sheets import SIGNED_AT, make_sheet
from worklist.parts import Renderer
from worklist.pdf import TypstRenderer, qr_svg
from worklist.printed import LATERALITY, MODALITY, SEX, URGENCY, WORDS, Words, age, instant, printed
from worklist.sheet import ReportSheet, canonical_json, content_digest, content_of


@pytest.fixture(scope="module")
def renderer() -> Renderer:
    return TypstRenderer()


@pytest.fixture(scope="module")
def known() -> frozenset[int]:
    """What the three fonts can print."""
    return frozenset().union(*(coverage(font_path(package, name).read_bytes(), face) for package, name, face in FONTS))


def pages(pdf: bytes) -> list[str]:
    """Each page's text, as a reader copies it out."""
    return [page.extract_text().replace(BREAK, "") for page in pypdf.PdfReader(BytesIO(pdf)).pages]


def squeezed(text: str) -> str:
    return "".join(text.split())


# ---------------------------------------------------------------- bytes
def test_the_same_sheet_is_the_same_bytes(renderer: Renderer) -> None:
    first = renderer.render(make_sheet(), "zh")
    renderer.render(make_sheet(findings="另一份"), "en")
    assert renderer.render(make_sheet(), "zh") == first
    assert TypstRenderer().render(make_sheet(), "zh") == first


def test_threads_that_share_a_renderer_get_their_own_reports(renderer: Renderer) -> None:
    sheets = [make_sheet(report_no=f"C{i}-1") for i in range(8)]
    out: dict[int, bytes] = {}
    threads = [
        threading.Thread(target=lambda i=i: out.__setitem__(i, renderer.render(sheets[i], "zh"))) for i in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(f"报告号C{i}-1" in squeezed(pages(out[i])[0]) for i in range(8))


def test_it_is_pdf_a_with_a_title_that_names_nobody(renderer: Renderer) -> None:
    reader = pypdf.PdfReader(BytesIO(renderer.render(make_sheet(), "zh")))
    xmp = reader.trailer["/Root"]["/Metadata"].get_data().decode()  # type: ignore[index,union-attr]
    assert "<pdfaid:part>3</pdfaid:part>" in xmp and "<pdfaid:conformance>B</pdfaid:conformance>" in xmp
    assert reader.metadata is not None
    assert reader.metadata.title == "远程诊断报告 C2611220042-1"
    assert reader.metadata.creation_date == SIGNED_AT
    assert "马忆舟" not in str(reader.metadata)


def test_the_content_lies_in_the_file_under_its_digest(renderer: Renderer) -> None:
    sheet = make_sheet()
    pdf = renderer.render(sheet, "en")
    reader = pypdf.PdfReader(BytesIO(pdf))
    raw = reader.attachments["content.json"][0]
    assert raw == canonical_json(sheet)
    assert hashlib.sha256(raw).hexdigest() == sheet.content_sha256
    assert reader.metadata is not None and f"content-sha256:{sheet.content_sha256}" in str(reader.metadata.keywords)
    assert sheet.content_sha256 in squeezed(pages(pdf)[0])


def test_every_font_is_embedded(renderer: Renderer) -> None:
    names: set[str] = set()
    for page in pypdf.PdfReader(BytesIO(renderer.render(make_sheet(patient_name="单𠮷"), "zh"))).pages:
        for font in page["/Resources"]["/Font"].values():  # type: ignore[index]
            inner = font.get_object()["/DescendantFonts"][0].get_object()
            described = inner["/FontDescriptor"].get_object()
            assert "/FontFile3" in described or "/FontFile2" in described
            names.add(str(inner["/BaseFont"]).split("+")[-1].removesuffix("-Identity-H"))
    assert {"NotoSansSC-Regular", "NotoSerifSC-Regular", "DejaVuSansMono"} <= names
    assert any("CJK" in name for name in names)  # the rare one came from the fallback


# ---------------------------------------------------------------- text is data
MARKUP = '*bold* _it_ #read("/etc/passwd") #import "x.typ" \\ $x^2$ <tag> @ref `code` // no /* no */ = head - item [x]'


def test_markup_is_printed_as_it_was_written(renderer: Renderer) -> None:
    fields = ("patient_name", "history", "findings", "impression", "recommendation", "referring", "exam", "signer_name")
    pdf = renderer.render(make_sheet(**dict.fromkeys(fields, MARKUP)), "zh")
    text = squeezed("".join(pages(pdf)))
    assert text.count(squeezed(MARKUP)) >= len(fields) - 1  # narrow columns may mix with their neighbours
    assert "root:" not in text


@pytest.mark.parametrize(
    "text", ["]", "#", "\\", "#{", '"', '"}', "\\u{0}", "#panic()", "{{page}}", "{page}", "#sys.inputs", "=" * 300]
)
def test_no_text_breaks_out_of_its_place(renderer: Renderer, text: str) -> None:
    pdf = renderer.render(make_sheet(findings=text, patient_name=text, question=text), "en")
    assert squeezed(text) in squeezed("".join(pages(pdf)))


@given(text=st.text(max_size=200))
@settings(max_examples=40, deadline=None)
def test_any_text_is_set(text: str) -> None:
    try:
        pdf = _SHARED.render(make_sheet(findings=text, patient_name=text[:40], impression=text), "zh")
    except UnicodeEncodeError:  # lone surrogates are no text: JSON's own rule
        assert any(0xD800 <= ord(c) < 0xE000 for c in text)
        return
    assert pdf.startswith(b"%PDF-")


_SHARED = TypstRenderer()


# ---------------------------------------------------------------- names
@pytest.mark.parametrize(
    "name", ["单雄信", "曾国藩", "𠮷野", "𰻞面", "李䶮", "阿依古丽·买买提", "Nguyễn Thị Hồng", "石沟𬭎"]
)
def test_names_survive(renderer: Renderer, name: str) -> None:
    pdf = renderer.render(make_sheet(patient_name=name), "zh")
    assert squeezed(name) in squeezed(pages(pdf)[0])
    assert json.loads(pypdf.PdfReader(BytesIO(pdf)).attachments["content.json"][0])["patient_name"] == name


def test_a_character_without_a_font_is_marked_and_kept(renderer: Renderer) -> None:
    name = "王\U000313ff\ue123"
    pdf = renderer.render(make_sheet(patient_name=name), "zh")
    text = squeezed(pages(pdf)[0])
    assert "王〓(U+313FF)〓(U+E123)" in text and "没有字体可印" in text
    assert json.loads(pypdf.PdfReader(BytesIO(pdf)).attachments["content.json"][0])["patient_name"] == name
    assert "没有字体可印" not in pages(renderer.render(make_sheet(), "zh"))[0]


def test_marks_that_turn_the_direction_of_text_are_shown(known: frozenset[int]) -> None:
    assert printable("左\u202e右", known) == ("左〓(U+202E)右", True)


def test_invisible_marks_and_variants_are_left_out(known: frozenset[int]) -> None:
    assert printable("葛\U000e0100\ufeff\u200b\x07", known) == ("葛", False)


def test_long_words_get_places_to_break(known: frozenset[int]) -> None:
    uid = "1.2.826.0.1.3680043.8.498.12345678901234567890123456789012"
    text, replaced = printable(f"见 {uid}。", known)
    assert text.replace(BREAK, "") == f"见 {uid}。" and not replaced
    text, _ = printable(uid, known)
    assert max(len(piece) for piece in text.split(BREAK)) < 10


@given(text=st.text(st.characters(codec="gb18030", categories=("Lu", "Ll", "Lo", "Nd", "Po")), max_size=60))
@settings(max_examples=50, deadline=None)
def test_what_has_a_glyph_is_printed_unchanged(known: frozenset[int], text: str) -> None:
    if all(ord(c) in known for c in text):
        printed_text, replaced = printable(text, known)
        assert printed_text.replace(BREAK, "") == text and not replaced


def test_coverage_is_that_of_the_fonts(known: frozenset[int]) -> None:
    assert {ord(c) for c in "马忆舟𠮷𰻞〓aé°μ≥→"} <= known
    assert ord("😀") not in known and len(known) > 44_000


# ---------------------------------------------------------------- pages
def test_a_long_report_runs_over_pages_that_each_name_the_patient(renderer: Renderer) -> None:
    line = "左肺上叶见磨玻璃影，边界不清，邻近胸膜牵拉；右肺中叶见条索影，考虑陈旧性病变，建议与前片对照复查。"
    pdf = renderer.render(make_sheet(findings="\n".join(f"{i}. {line}" for i in range(1, 36))), "zh")
    all_pages = [squeezed(text) for text in pages(pdf)]
    assert len(all_pages) == 3
    for n, text in enumerate(all_pages, 1):
        assert f"第{n}/3页" in text and "马忆舟" in text and "20480117" in text and "C2611220042-1" in text
    assert "签发医师" in all_pages[2] and "签发医师" not in all_pages[0]
    body = "".join(all_pages)
    assert all(f"{i}.左肺上叶" in body for i in range(1, 36))


def test_an_ordinary_report_is_one_page(renderer: Renderer) -> None:
    for lang in ("zh", "en"):
        assert len(pages(renderer.render(make_sheet(), lang))) == 1


def test_a_report_beyond_all_measure_is_refused_with_a_sentence(renderer: Renderer) -> None:
    with pytest.raises(Invalid, match="too long"):
        renderer.render(make_sheet(findings="长" * 200_000), "zh")


def test_everything_of_the_sheet_is_printed(renderer: Renderer) -> None:
    text = squeezed(pages(renderer.render(make_sheet(), "zh"))[0])
    for part in (
        "贺兰区域影像与心电诊断中心", "石沟镇卫生院", "报告号C2611220042-1", "第1版", "第1/1页", "男", "1959-04-02",
        "67岁", "20480117", "DR胸部正位", "2026-11-2201:57", "1幅", "SG26112200017", "急诊", "柳春禾", "问：有无气胸？",
        "突发左侧胸痛、气促2小时。", "左侧胸腔透亮度增高，肺纹理消失。", "1.左侧张力性气胸。", "立即转上级医院急诊。",
        "有，左侧张力性气胸。", "危急值记录", "复述：左侧张力性气胸", "处置：已穿刺减压", "顾长宁", "110640000012345",
        "证书5F0A91C04B2D7E13", "内部证书", "2026-11-2202:19:08", "中心内部时间", "AI提示，医师驳回：肋膈角锐利",
        "AI提示，经医师采纳", "film_reader1.0.0,0.62", "结论由签发医师作出",
    ):  # fmt: skip
        assert part in text, part
    assert "演示" not in text and "替代" not in text


def test_the_english_report_has_english_around_what_was_written(renderer: Renderer) -> None:
    text = " ".join(pages(renderer.render(make_sheet(), "en"))[0].split())
    for part in (
        "Remote diagnostic report", "Radiography", "Version 1", "Page 1 of 1", "Male", "67 y", "STAT", "Findings",
        "Impression", "Pleural effusion", "rejected by the physician", "internal", "左侧张力性气胸",
    ):  # fmt: skip
        assert part in text, part


def test_an_amended_report_names_what_it_replaces(renderer: Renderer) -> None:
    sheet = make_sheet(version=2, replaces=1, replaces_signed_at=SIGNED_AT, amend_reason="左右侧写反")
    text = squeezed(pages(renderer.render(sheet, "zh"))[0])
    assert "更正报告本版替代第1版（2026-11-2202:19签发）更正原因：左右侧写反" in text


def test_a_demonstration_says_so_on_every_page(renderer: Renderer) -> None:
    sheet = make_sheet(demo=True, findings="\n".join(["行"] * 60))
    for text in pages(renderer.render(sheet, "zh")):
        assert "演示DEMO" in squeezed(text) and "不得用于诊疗" in text
    for text in pages(renderer.render(sheet, "en")):
        assert "DEMO演示" in squeezed(text) and "not for patient care" in text


def test_what_is_unknown_is_a_dash(renderer: Renderer) -> None:
    sheet = make_sheet(patient_sex="", patient_age_years=None, patient_birth_date=None, referring="", accession="")
    fields = dict(_fields(printed(sheet, "zh")))
    assert [fields[k] for k in ("性别", "年龄", "出生", "申请医师", "检查号")] == ["—"] * 5
    renderer.render(make_sheet(study_at=None, images=0, question="", history="", answers=(), qr_url=""), "zh")


def _fields(values: Mapping[str, Any]) -> list[list[str]]:
    return values["fields"]


# ---------------------------------------------------------------- words and figures
def test_every_word_is_there_in_both_languages() -> None:
    tables = (WORDS, SEX, URGENCY, MODALITY, LATERALITY)
    for key, text in [pair for table in tables for pair in table.items()]:
        assert text.zh and text.en, key
        assert text.zh.count("{") == text.en.count("{"), key


@pytest.mark.parametrize(
    ("born", "at", "years", "zh", "en"),
    [
        (date(1959, 4, 2), datetime(2026, 11, 22), 67, "67 岁", "67 y"),
        (date(2026, 11, 12), datetime(2026, 11, 22), 0, "10 天", "10 d"),
        (date(2025, 3, 23), datetime(2026, 11, 22), 1, "19 个月", "19 mo"),
        (date(2024, 11, 22), datetime(2026, 11, 22), 2, "2 岁", "2 y"),
        (None, datetime(2026, 11, 22), 40, "40 岁", "40 y"),
        (date(2027, 1, 1), datetime(2026, 11, 22), None, "—", "—"),
        (None, None, None, "—", "—"),
    ],
)
def test_age_is_told_as_a_ward_tells_it(
    born: date | None, at: datetime | None, years: int | None, zh: str, en: str
) -> None:
    sheet = make_sheet(patient_birth_date=born, study_at=at, patient_age_years=years)
    assert (age(sheet, Words("zh")), age(sheet, Words("en"))) == (zh, en)


def test_instants_are_in_the_clinics_zone_and_device_times_as_they_are() -> None:
    assert instant(datetime(2026, 11, 21, 18, 19, 8, tzinfo=UTC), "Asia/Shanghai") == "2026-11-22 02:19:08"
    assert instant(datetime(2026, 11, 21, 18, 19, 8, tzinfo=UTC), "Asia/Urumqi", seconds=False) == "2026-11-22 00:19"
    assert instant(datetime(2026, 11, 22, 1, 57), "Asia/Shanghai", seconds=False) == "2026-11-22 01:57"


def test_the_side_stands_in_the_exam_once() -> None:
    def exam(**changes: Any) -> str:
        return dict(_fields(printed(make_sheet(**changes), "zh")))["检查"]

    assert exam(exam="DR 手正斜位", laterality="L") == "DR 手正斜位 左"
    assert exam(exam="DR 左手正斜位", laterality="L") == "DR 左手正斜位"


def test_the_qr_code_is_a_drawing_without_text() -> None:
    svg = qr_svg("http://127.0.0.1:8080/v/token")
    assert svg.startswith("<svg") and "token" not in svg and "<text" not in svg
    assert qr_svg("") == ""


# ---------------------------------------------------------------- canonical content
@given(seed=st.integers(0, 2**32), text=st.text(st.characters(exclude_categories=("Cs",)), max_size=80))
@settings(max_examples=60, deadline=None)
def test_key_order_never_changes_the_canonical_json(seed: int, text: str) -> None:
    content = content_of(make_sheet(findings=text))
    assert canonical_json(_shuffled(content, random.Random(seed))) == canonical_json(content)
    assert content_digest(json.loads(canonical_json(content))) == content_digest(content)


def _shuffled(value: Any, chance: random.Random) -> Any:
    if isinstance(value, dict):
        items = list(value.items())
        chance.shuffle(items)
        return {key: _shuffled(item, chance) for key, item in items}
    if isinstance(value, list):
        return [_shuffled(item, chance) for item in value]
    return value


def test_any_change_of_the_content_changes_its_digest() -> None:
    sheet = make_sheet()
    changed: list[ReportSheet] = [
        make_sheet(findings=sheet.findings + " "),
        make_sheet(laterality="L"),
        make_sheet(signed_at=sheet.signed_at + timedelta(seconds=1)),
        make_sheet(machine=sheet.machine[:1]),
        make_sheet(version=2),
    ]
    assert len({s.content_sha256 for s in [sheet, *changed]}) == 6
    assert make_sheet(qr_url="elsewhere").content_sha256 == sheet.content_sha256
