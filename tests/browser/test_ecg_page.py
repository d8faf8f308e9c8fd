"""The ECG's reading page at 1366 x 768: a statement is one line, what is written stays in sight, the sheet keeps its place."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from portal.demo_ecgs import make_ecg, write_wfdb
from tests import steps
from tests.browser.test_journey import chromium, signed_in, watched
from tests.region import Region

pytestmark = pytest.mark.timeout(420)
__all__ = ["chromium"]  # the fixture


@pytest.fixture
def page(shared_region: Region, chromium: Browser) -> Iterator[Page]:
    """A fast atrial fibrillation with several statements, held and open."""
    technician, reader = shared_region.person("haixiaoyan"), shared_region.person("gunanxing")
    who = steps.made_person()
    files = write_wfdb(make_ecg(5, heart_rate=140, rhythm="af"), "ecg5")
    fields = {"local_id": who.local_id, "name": who.name, "sex": "M", "question": "有无房颤？"}
    shared_region.upload_ecg(technician, files, **fields)
    case_id = steps.find_case(reader, who.local_id)["case_id"]
    steps.wait_read(reader, case_id, 90.0)
    taken = reader.post(f"/api/cases/{case_id}/take", json={"reason": "先读"})
    assert taken.status_code == 200, taken.text
    context = chromium.new_context(viewport={"width": 1366, "height": 768}, locale="zh-CN")
    context.set_default_timeout(60_000)
    made = signed_in(context, shared_region, "gunanxing")
    made.goto(f"{shared_region.base}/cases/{case_id}")
    if made.locator("main form[action$='/open'] button").count():
        made.click("main form[action$='/open'] button")
    made.wait_for_selector("#sheet svg")
    yield made
    reader.json("POST", f"/api/cases/{case_id}/release", {"reason": "试用"})
    context.close()


def box(page: Page, selector: str) -> dict[str, float]:
    found = page.locator(selector).first.bounding_box()
    assert found is not None, selector
    return dict(found)


def test_impression_and_answer_stay_in_sight_and_the_sheet_in_its_place(page: Page) -> None:
    _, broken = watched(page)
    lines = page.locator("#machine .find.line")
    assert lines.count() >= 1
    assert max(b["height"] for n in range(lines.count()) if (b := lines.nth(n).bounding_box())) <= 56
    for selector in ("#impression", "#question input.in", "#go"):
        at = box(page, selector)
        assert at["y"] >= 0 and at["y"] + at["height"] <= 768, selector
        assert page.evaluate(
            "([x, y, s]) => !!document.elementFromPoint(x, y)?.closest(s)",
            [at["x"] + at["width"] / 2, at["y"] + at["height"] / 2, selector],
        ), f"nothing lies over {selector}"
    before, impression = box(page, "#sheet svg"), box(page, "#impression")
    page.locator("#machine .find.line summary").first.click()
    assert page.locator("#machine .find.line details[open] ul.because").count() == 1, "the evidence, on demand"
    assert box(page, "#sheet svg") == before and box(page, "#impression")["y"] + 60 <= 768
    assert abs(box(page, "#impression")["y"] - impression["y"]) < 120
    page.keyboard.press("a")
    page.wait_for_selector("#machine .find.line.yes")
    assert box(page, "#sheet svg")["width"] == before["width"]  # the alarm above it is answered and gone
    assert not broken, broken
