"""The frame of every page: texts in two languages, parts, icons, the address of the language switch."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from jinja2 import Environment

from portal.frame.environment import FRAME_FOLDER, duration, environment
from portal.frame.frame import Frame, NavItem
from portal.frame.texts import LANGS, TextMissing, Texts, load_texts, parse_texts

ROOT = Path(__file__).resolve().parents[2]
STATIC = ROOT / "portal" / "static"
NOW = datetime(2026, 11, 21, 18, 14, 36, tzinfo=UTC)

CASE_STATES = (
    "TRIAGED QUEUED LEASED READING FINAL DELIVERED RECEIPTED CLOSED CANCELLED QC_REJECTED".split()  # noqa: SIM905
)


def templates() -> list[Path]:
    """Every template of the house: the frame's and each room's pages."""
    return sorted([*FRAME_FOLDER.rglob("*.html"), *ROOT.glob("*/pages/**/*.html")])


def text_folders() -> list[Path]:
    return [FRAME_FOLDER, *sorted(p.parent for p in ROOT.glob("*/pages/zh.toml"))]


def sprite() -> set[str]:
    return set(re.findall(r'<symbol id="i-([\w-]+)"', (STATIC / "icons.svg").read_text("utf-8")))


def a_frame(**changes: object) -> Frame:
    values: dict[str, object] = {"lang": "zh", "now": NOW, "csrf": "token-1", "url": "/worklist?tab=mine&lang=zh"}
    return Frame(**{**values, **changes})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    folder = tmp_path_factory.mktemp("pages")
    (folder / "plain.html").write_text(
        '{% extends "frame/layout.html" %}{% block title %}T{% endblock %}{% block body %}BODY{% endblock %}'
    )
    return environment({"probe": folder}, load_texts([FRAME_FOLDER]))


def part(pages: Environment, source: str, **values: object) -> str:
    """What a line of template prints inside a page."""
    return pages.from_string(source).render({"frame": a_frame(), **values}).strip()


def test_both_languages_have_the_same_keys_and_the_same_places() -> None:
    texts = load_texts(text_folders())
    for key, zh in texts.sentences["zh"].items():
        en = texts.raw("en", key)
        assert sorted(re.findall(r"\{(\w+)", zh)) == sorted(re.findall(r"\{(\w+)", en)), key


def test_no_chinese_stands_in_a_template() -> None:
    for path in templates():
        found = re.findall(r"[\u3400-\u9fff\uff00-\uffef\u3000-\u303f]+", path.read_text("utf-8"))
        assert not found, f"{path.relative_to(ROOT)}: {found[:3]}"


def test_every_text_key_that_a_template_names_is_there() -> None:
    texts = load_texts(text_folders())
    for path in templates():
        for key in re.findall(r"""\b(?:t|raw_text)\(\s*["']([\w.]+\.\w+)["']\s*[,)]""", path.read_text("utf-8")):
            assert texts.has(key), f"{path.relative_to(ROOT)}: {key}"


def test_every_icon_that_a_page_shows_is_in_the_sprite() -> None:
    known = sprite()
    for path in templates():
        text = path.read_text("utf-8")
        used = set(re.findall(r"""\bicon\(\s*["']([\w-]+)["']""", text)) | set(re.findall(r"#i-([\w-]+)", text))
        assert used <= known, f"{path.relative_to(ROOT)}: {used - known}"
    for path in STATIC.glob("**/*.js"):
        if "vendor" not in path.parts:
            used = set(re.findall(r"\bicon: '([\w-]+)'", path.read_text("utf-8")))
            assert used <= known, f"{path.name}: {used - known}"


def test_no_script_is_written_into_a_page() -> None:
    for path in templates():
        text = path.read_text("utf-8")
        assert not re.search(r"<script(?![^>]*\bsrc=)", text), path.name
        assert not re.search(r"\son[a-z]+\s*=\s*[\"']", text), path.name
        assert "javascript:" not in text, path.name


def test_our_pages_and_styles_name_no_other_host() -> None:
    ours = [p for p in STATIC.rglob("*") if p.suffix in {".css", ".js", ".svg"} and "vendor" not in p.parts]
    for path in [*templates(), *ours]:
        found = re.findall(r"(?:https?:)?//[\w.-]+\.[a-z]{2,}[^\s\"')]*", path.read_text("utf-8"))
        assert all("www.w3.org" in u for u in found), f"{path.name}: {found}"


def test_every_stylesheet_and_script_a_template_asks_for_is_there() -> None:
    for path in templates():
        for address in re.findall(r'(?:href|src)="/static/([^"{#]+)', path.read_text("utf-8")):
            if not address.startswith("vendor/"):
                assert (STATIC / address).is_file(), f"{path.name}: {address}"


@pytest.mark.parametrize("lang", LANGS)
def test_the_layout_carries_what_the_scripts_need(pages: Environment, lang: str) -> None:
    frame = a_frame(
        lang=lang,
        theme="dark",
        density="dense",
        person="P",
        roles=("portal.role.reader",),
        nav=(NavItem("/", "portal.frame.brand", 2, "red"),),
    )
    html = pages.get_template("probe/plain.html").render(frame=frame)
    assert f'<html lang="{frame.html_lang}" data-theme="dark" data-density="dense">' in html
    assert '<meta name="csrf" content="token-1">' in html
    assert '<meta name="now" content="2026-11-21T18:14:36+00:00">' in html
    assert "BODY" in html
    assert html.index("tokens.css") < html.index("helan.css") < html.index("noto.css")
    assert 'action="/sign-out"' in html
    assert html.count('value="token-1"') == 2
    assert ("退出" in html) == (lang == "zh")


def test_what_a_person_typed_never_becomes_markup(pages: Environment) -> None:
    html = pages.get_template("probe/plain.html").render(frame=a_frame(person='<img src=x onerror="1">'))
    assert "<img" not in html
    assert "&lt;img" in html


def test_the_language_switch_keeps_the_address() -> None:
    frame = a_frame(url="/cases/7?tab=a%26b&lang=zh&q=%E9%A9%AC")
    assert frame.in_language("en") == "/cases/7?tab=a%26b&q=%E9%A9%AC&lang=en"
    assert frame.here == "/cases/7?tab=a%26b&q=%E9%A9%AC"


def test_the_language_switch_never_leads_to_another_host() -> None:
    assert a_frame(url="//elsewhere.example/x").in_language("en").startswith("/x?") or a_frame(
        url="//elsewhere.example/x"
    ).in_language("en").startswith("/?")
    assert not a_frame(url="///elsewhere.example/x").here.startswith("//")


def test_the_nav_marks_the_page_and_what_lies_below_it() -> None:
    frame = a_frame(url="/clinic/uploads/3?lang=en")
    assert frame.is_here("/clinic/uploads")
    assert frame.is_here("/clinic")
    assert not frame.is_here("/clin")
    assert not frame.is_here("/")


@pytest.mark.parametrize("state", CASE_STATES)
def test_every_case_state_has_icon_word_and_tone(pages: Environment, state: str) -> None:
    html = part(pages, '{% from "frame/parts/badge.html" import badge with context %}{{ badge(s) }}', s=state)
    icon = re.search(r"#i-([\w-]+)", html)
    assert icon is not None
    assert icon[1] in sprite()
    assert re.search(r'data-tone="\w+"', html)
    assert re.search(r"</svg>[^<]+</span>$", html)


@pytest.mark.parametrize(
    ("left_s", "span_s", "tone", "words"),
    [
        (1100, 1800, "", "剩 18:20"),
        (144, 600, "orange", "剩 02:24"),
        (-190, 1800, "red", "超 03:10"),
        (4008, 40000, "orange", "剩 1:06:48"),
    ],
)
def test_a_clock_tells_the_time_left_and_its_tone(
    pages: Environment, left_s: int, span_s: int, tone: str, words: str
) -> None:
    due = NOW + timedelta(seconds=left_s)
    html = part(
        pages,
        '{% from "frame/parts/clock.html" import clock with context %}{{ clock(due, since) }}',
        due=due,
        since=due - timedelta(seconds=span_s),
    )
    assert words in html
    assert f'data-due="{due.isoformat()}"' in html
    assert (f'data-tone="{tone}"' in html) if tone else ("data-tone" not in html)


def test_a_case_without_a_limit_shows_a_dash(pages: Environment) -> None:
    source = '{% from "frame/parts/clock.html" import clock with context %}{{ clock(none) }}'
    assert part(pages, source) == '<span class="mute">—</span>'


def test_a_machine_finding_stays_dashed_until_a_person_decides(pages: Environment) -> None:
    head = '{% from "frame/parts/finding.html" import finding with context %}'
    open_ = part(pages, head + '{{ finding("F", 0.714, post_url="/v", reasons=[("old", "O")]) }}')
    assert 'class="find ai"' in open_
    assert "0.71" in open_
    assert open_.count('name="csrf"') == 2
    assert part(pages, head + '{{ finding("F", 0.9, "accepted") }}').startswith('<div class="find yes">')
    rejected = part(pages, head + '{{ finding("F", 0.9, "rejected", "乳头影") }}')
    assert "已驳回：乳头影" in rejected
    assert "<form" not in rejected


def test_every_part_prints_in_both_languages(pages: Environment) -> None:
    source = """
    {% from "frame/parts/urgency.html" import urgency with context %}{{ urgency("stat") }}{{ urgency("ROUTINE") }}
    {% from "frame/parts/lease.html" import lease with context %}{{ lease(true, soon) }}{{ lease(false, holder="H") }}
    {% from "frame/parts/critical.html" import critical, critical_guess with context %}
    {{ critical("T", "S", 1, past, 2, [(0, "a"), (5, "b")]) }}
    {% call critical_guess("T", past) %}<i>more</i>{% endcall %}
    {% from "frame/parts/strip.html" import strip with context %}{{ strip("W", "A", "I", [("x", "y")], back="/") }}
    {% from "frame/parts/gate.html" import gate with context %}{{ gate([{"ok": false, "words": "w"}]) }}
    {% from "frame/parts/empty.html" import empty, note with context %}
    {{ empty("info", "t") }}{{ note("info", "red", "n") }}
    {% from "frame/parts/toast.html" import toast with context %}{{ toast("done") }}
    {% from "frame/parts/finding.html" import abstained with context %}{{ abstained("age") }}
    {{ past | when }} {{ past | when("date") }} {{ none | when }} {{ none | or_unknown }}
    """
    for lang in LANGS:
        html = pages.from_string(source).render(
            frame=a_frame(lang=lang), soon=NOW + timedelta(seconds=45), past=NOW - timedelta(minutes=12)
        )
        assert "12:00" in html
        assert "00:45" in html
        assert "2026-11-22 02:02" in html  # the clinic's zone, not UTC
        assert "<i>more</i>" in html


def test_durations_are_whole_seconds_without_a_sign() -> None:
    assert [duration(s) for s in (0, 59.9, -190, 3600, 100000)] == ["00:00", "00:59", "03:10", "1:00:00", "27:46:40"]


def test_a_missing_text_is_an_error_and_not_a_blank() -> None:
    texts = parse_texts([("zh", 'a.b = "甲 {n}"'), ("en", 'a.b = "A {n}"')])
    assert texts.t("zh", "a.b", n=3) == "甲 3"
    with pytest.raises(TextMissing):
        texts.t("zh", "a.c")
    with pytest.raises(TextMissing):
        texts.t("en", "a.b")


@pytest.mark.parametrize(
    "sources",
    [
        [("zh", 'a = "x"')],
        [("zh", 'a = "x"'), ("en", 'a = "x"'), ("en", 'a = "y"')],
        [("zh", "a = 1"), ("en", "a = 1")],
    ],
)
def test_texts_that_do_not_agree_are_refused(sources: list[tuple[str, str]]) -> None:
    with pytest.raises(TextMissing):
        parse_texts(sources)  # type: ignore[arg-type]


def test_the_texts_of_the_frame_are_loaded_as_one(pages: Environment) -> None:
    assert isinstance(load_texts([FRAME_FOLDER]), Texts)
    assert part(pages, '{{ t("portal.state.queued") }}') == "待领"


def test_no_date_field_follows_the_browsers_locale() -> None:
    """A date is written and read YYYY-MM-DD: a browser's own field turns day and month round by its locale."""
    root = Path(__file__).resolve().parent.parent.parent
    pages = [p for room in ("portal", "worklist", "ecg", "dicom_gateway") for p in (root / room).rglob("*.html")]
    assert len(pages) > 20
    assert [p.name for p in pages if 'type="date"' in p.read_text() or 'kind="date"' in p.read_text()] == []
