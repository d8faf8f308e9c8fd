"""Pages in English: nothing in Chinese but what people wrote, and every written name has its Latin letters beside it."""

from __future__ import annotations

import html
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from center.citations import cited
from center.exam_names import english_exam
from center.pinyin import latin_name
from ecg.rhythm_view import TEXTBOOK
from portal.frame.environment import pages_of
from portal.frame.frame import Frame
from portal.pages import FOLDERS
from tests.clinic_house import ClinicHouse, in_emptied

HAN = re.compile(r"[^<>]{0,20}[\u3400-\u9fff（）。？，]+[^<>]{0,20}")
FINDING, HISTORY, REASON = "左侧张力性气胸", "咳嗽三天", "先读"
#: What people wrote, and the language switch, which names itself for those who can't read English.
WRITTEN = (
    "马忆舟",
    "陈屿",
    "海晓燕",
    "双肺清晰，心影不大。",
    "心肺膈未见明确异常。",
    FINDING,
    HISTORY,
    REASON,
    "语言",
)
RULES = Path(__file__).parents[2] / "ecg" / "critical_rules"


@pytest.fixture
def region(emptied: dict[str, str], clinics: tuple[str, ...]) -> ClinicHouse:
    return in_emptied(emptied)


def left(page: str) -> list[str]:
    """Chinese that nobody wrote by hand."""
    text = re.sub(r">中<", "><", html.unescape(page))  # the language switch
    text = re.sub(r'(<input[^>]*name="exam"[^>]*) value="[^"]*"', r"\1", text)  # what will be sent as it was written
    for written in sorted(WRITTEN, key=len, reverse=True):
        text = text.replace(written, "")
    return HAN.findall(text)


def test_pages_of_a_case_say_in_english_all_that_nobody_wrote(region: ClinicHouse) -> None:
    uid = region.film()
    region.request(history=HISTORY)
    region.run()
    reader, tech = region.browser("reader"), region.browser("tech")
    case_id = region.case_of(uid).case_id

    def look() -> None:
        for client, path in (
            (reader, "/worklist"), (reader, f"/worklist?case={case_id}"), (reader, "/worklist?view=finished"),
            (reader, f"/cases/{case_id}"), (tech, "/clinic"), (tech, "/clinic?view=all"),
            (tech, f"/clinic/cases/{case_id}"), (tech, f"/clinic/requests/new?study={uid}"),
            (tech, f"/clinic/studies/{uid}/identity"),
        ):  # fmt: skip
            answer = client.get(path + ("&" if "?" in path else "?") + "lang=en")
            assert answer.status_code == 200, path
            assert not left(answer.text), (path, left(answer.text)[:5])

    look()
    page = reader.get("/worklist?lang=en").text
    assert "Ma Yizhou" in page and "马忆舟" in page and "chest, frontal" in page
    lease = region.reading(uid)
    look()
    assert "Chen Yu" in tech.get("/clinic?lang=en").text
    region.worklist.raise_alert(region.actor("reader"), case_id, FINDING)
    region.run()
    look()
    region.sign(lease)
    look()
    for client, path in (
        (reader, f"/cases/{case_id}"),
        (reader, f"/cases/{case_id}/done"),
        (tech, f"/clinic/cases/{case_id}"),
    ):
        answer = client.get(f"{path}?lang=en")
        assert answer.status_code == 200, path
        assert not left(answer.text), path
        assert not re.findall(r".{60}陈屿(?! Chen Yu).{30}", html.unescape(answer.text), re.S), path
        assert "Chen Yu" in answer.text, path


def test_pages_in_chinese_are_as_they_were(region: ClinicHouse) -> None:
    region.film()
    region.request()
    page = region.browser("reader").get("/worklist?lang=zh").text
    assert "胸部正位" in page and "Ma Yizhou" not in page and "chest" not in page


@pytest.mark.parametrize(
    ("written", "latin"),
    [
        ("单雄信", "Shan Xiongxin"), ("欧阳修", "Ouyang Xiu"), ("尉迟恭", "Yuchi Gong"), ("曾国藩", "Zeng Guofan"),
        ("阿依古丽·买买提", "Ayiguli Maimaiti"), ("Li Si", ""), ("", ""), ("马", "Ma"), ("马" * 65, ""),
    ],
)  # fmt: skip
def test_a_name_sounds_as_its_family_says_it(written: str, latin: str) -> None:
    assert latin_name(written) == latin


@pytest.mark.parametrize(
    ("written", "english"),
    [
        ("胸部正位", "chest, frontal"), ("DX 胸部正位", "DX chest, frontal"), ("十二导联心电图", "12-lead ECG"),
        ("ECG 十二导联心电图", "ECG 12-lead"), ("左膝关节正侧位", "left knee, frontal and lateral"),
        ("胸部CT平扫", "chest CT plain"), ("左手、右足正位", "left hand, right foot, frontal"),
        ("左膝某位", ""), ("CHEST", ""), ("胸" * 201, ""),
    ],
)  # fmt: skip
def test_an_exam_is_told_in_english_whole_or_not_at_all(written: str, english: str) -> None:
    assert english_exam(written) == english


def test_every_rule_says_in_english_whence_it_is() -> None:
    for file in RULES.glob("*.toml"):
        for source in re.findall(r'^source = "(.*)"$', file.read_text(), re.M):
            told = cited(source, "en")
            assert not HAN.search(told), source
            assert re.findall(r"\d\.\d", told) == re.findall(r"\d\.\d", source)
    assert (cited(TEXTBOOK, "zh"), cited(TEXTBOOK, "en")) == ("诊断学", "Chinese textbook of diagnostics")


def test_evidence_on_an_english_page_cites_in_english() -> None:
    page = pages_of(FOLDERS).from_string("{{ 'ours（2017 共识：注意与以往心电图及临床病史比较）' | cited }}")
    assert not HAN.search(page.render(frame=Frame(lang="en", now=datetime(2026, 1, 1, tzinfo=UTC))))
