"""The frame's script in a real browser: keys, kept text, clocks, preferences, under the pages' own CSP."""

from __future__ import annotations

import mimetypes
import os
import re
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Route, expect, sync_playwright

from portal.frame.environment import FRAME_FOLDER, environment
from portal.frame.frame import Frame
from portal.frame.texts import load_texts

STATIC = Path(__file__).resolve().parents[2] / "portal" / "static"
SITE = "http://helan.test"
CSP = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; frame-src 'self'"
PAGE = """
{% extends "frame/layout.html" %}
{% from "frame/parts/clock.html" import clock, since with context %}
{% from "frame/parts/lease.html" import lease with context %}
{% block body %}<main id="main">
{{ clock(soon, past) }}{{ since(past) }}{{ lease(true, soon) }}
<button data-key="n" id="next" data-key-words="NEXT">x</button>
<button data-key="Ctrl+s" id="save">save</button>
<button data-key="F4" id="danger" class="dan" data-confirm="SURE?">danger</button>
<input data-key="/" id="search"><textarea id="text" data-keep="text-1">before</textarea>
<output id="hits"></output></main>{% endblock %}
"""


class Site:
    """Answers the browser's requests from the rendered page and the static folder; keeps what was sent."""

    def __init__(self, folder: Path) -> None:
        (folder / "page.html").write_text(PAGE)
        self.pages = environment({"probe": folder}, load_texts([FRAME_FOLDER]))
        self.sent: list[tuple[str, str, str]] = []

    def answer(self, route: Route) -> None:
        asked = route.request
        path = asked.url.removeprefix(SITE)
        if asked.method == "POST":
            self.sent.append((path, asked.headers.get("x-csrf-token", ""), asked.post_data or ""))
            route.fulfill(status=204)
        elif path.startswith("/static/"):
            file = STATIC / path.removeprefix("/static/")
            kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
            route.fulfill(
                status=200 if file.is_file() else 404,
                body=file.read_bytes() if file.is_file() else b"",
                content_type=kind,
            )
        else:
            now = datetime(2026, 11, 21, 18, 0, tzinfo=UTC)
            html = self.pages.get_template("probe/page.html").render(
                frame=Frame(lang="zh", now=now, csrf="token-1"),
                soon=now + timedelta(seconds=62),
                past=now - timedelta(seconds=1000),
            )
            route.fulfill(
                status=200, body=html, content_type="text/html; charset=utf-8", headers={"content-security-policy": CSP}
            )


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.fail("Chromium is needed: sudo apt-get install -y chromium")
    with sync_playwright() as play:
        made = play.chromium.launch(executable_path=chromium, args=["--no-sandbox"] if os.geteuid() == 0 else [])
        yield made
        made.close()


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


@pytest.fixture
def page(browser: Browser, site: Site) -> Iterator[Page]:
    context: BrowserContext = browser.new_context()
    made = context.new_page()
    wrong: list[str] = []
    made.on("pageerror", lambda error: wrong.append(str(error)))
    made.on("console", lambda said: wrong.append(said.text) if "Content Security Policy" in said.text else None)
    made.route("**/*", site.answer)
    made.goto(SITE + "/page")
    made.evaluate(
        "['next', 'save', 'danger'].forEach((id) => document.getElementById(id)"
        ".addEventListener('click', () => { document.getElementById('hits').value += id + ' '; }))"
    )
    yield made
    context.close()
    assert wrong == []


def hits(page: Page) -> str:
    return page.evaluate("document.getElementById('hits').value").strip()


def test_single_keys_work_outside_fields_and_never_inside(page: Page) -> None:
    page.keyboard.press("n")
    page.keyboard.press("/")
    page.keyboard.type("nn?")
    assert page.input_value("#search") == "nn?"
    assert hits(page) == "next"
    page.keyboard.press("Control+s")  # a chord works inside, too
    assert hits(page) == "next save"


def test_no_key_acts_while_an_input_method_composes(page: Page) -> None:
    page.evaluate(
        "document.body.dispatchEvent(new KeyboardEvent('keydown', {key: 'n', isComposing: true, bubbles: true}));"
        "document.body.dispatchEvent(new KeyboardEvent('keydown', {key: 'n', keyCode: 229, bubbles: true}))"
    )
    assert hits(page) == ""


def test_the_question_mark_lists_the_keys_of_the_page(page: Page) -> None:
    page.evaluate("helan.keys.add('j', 'DOWN', () => {})")
    page.keyboard.press("?")
    listed = page.inner_text("#key-help .keymap")
    assert "NEXT" in listed
    assert "DOWN" in listed
    page.keyboard.press("n")  # behind the list nothing acts
    assert hits(page) == ""
    page.keyboard.press("Escape")
    assert not page.is_visible("#key-help")


def test_what_is_dangerous_asks_first(page: Page) -> None:
    page.keyboard.press("F4")
    assert page.inner_text("#ask h2") == "SURE?"
    page.click("#ask button[value=no]")
    assert hits(page) == ""
    page.keyboard.press("F4")
    page.click("#ask button[value=yes]")
    expect(page.locator("#hits")).to_have_text("danger ")


def test_text_that_was_not_saved_survives_a_reload(page: Page) -> None:
    page.on("dialog", lambda dialog: dialog.accept())
    page.fill("#text", "half a sentence")
    page.reload()
    assert page.input_value("#text") == "half a sentence"
    page.evaluate("helan.saved()")
    page.reload()
    assert page.input_value("#text") == "before"


def test_clocks_tick_by_the_servers_time(page: Page) -> None:
    expect(page.locator("[data-due]")).to_have_text(re.compile(r"^\s*剩 00:5\d\s*$"))
    assert page.get_attribute("[data-due]", "data-tone") == "orange"
    assert page.get_attribute("[data-until]", "data-tone") == "orange"
    assert page.inner_text("[data-since]").startswith("16:4")


def test_a_preference_is_shown_at_once_and_sent_with_the_token(page: Page, site: Site) -> None:
    page.click("[data-act=theme]")
    assert page.get_attribute("html", "data-theme") == "dark"
    page.wait_for_timeout(50)
    assert site.sent == [("/preferences", "token-1", "theme=dark")]


def test_a_lost_connection_is_said_and_its_return_too(page: Page) -> None:
    page.evaluate("helan.offline()")
    assert "连接已断" in page.inner_text("#offline")
    page.evaluate("helan.online()")
    assert not page.is_visible("#offline")
    assert "连接已恢复" in page.inner_text("#toasts")


def test_a_failed_answer_speaks_the_pages_language(page: Page) -> None:
    said = page.evaluate(
        "helan.sentenceOf(new Response(JSON.stringify({zh: '不行', en: 'no', number: '7F3A'}), {status: 409}))"
    )
    assert said == "不行 (7F3A)"
    assert page.evaluate("helan.sentenceOf(new Response('<p>', {status: 500}))") == "没有完成。请 1 分钟后再试。"
