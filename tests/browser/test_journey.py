"""In a real browser: sign in, worklist, the film shows in OHIF, report, preview, signature; the clinic downloads it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from portal.demo_films import Sign
from tests import steps
from tests.region import Region

#: The region is started by the first of these tests; OHIF's first frame takes a while without a graphics card.
pytestmark = pytest.mark.timeout(420)

#: Drawing by software, as a machine without a graphics card does.
FLAGS = (
    "--headless=new", "--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
    "--ignore-gpu-blocklist", "--disable-dev-shm-usage",
)  # fmt: skip
PICTURES = Path(__file__).resolve().parent.parent.parent / "docs" / "pictures"
#: Below these everything that a reading page asks for must lie.
OWN_PATHS = (
    "/ohif/",
    "/cases/",
    "/static/",
    "/worklist",
    "/events",
    "/sign-in",
    "/preferences",
    "/ecg/",
    "/api/",
    "/clinic",
)
#: Samples a canvas of the viewer: how many of 64 x 64 points are not black.
SAMPLE = """() => Math.max(0, ...Array.from(document.querySelectorAll('canvas')).map((canvas) => {
  if (canvas.width < 64 || canvas.height < 64) return 0;
  const probe = document.createElement('canvas');
  probe.width = probe.height = 64;
  const pen = probe.getContext('2d', { willReadFrequently: true });
  pen.drawImage(canvas, 0, 0, 64, 64);
  const data = pen.getImageData(0, 0, 64, 64).data;
  let lit = 0;
  for (let at = 0; at < data.length; at += 4) if (data[at] > 16 || data[at + 1] > 16 || data[at + 2] > 16) lit += 1;
  return lit;
}))"""


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert found, "Chromium is missing: sudo apt-get install -y chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture
def context(chromium: Browser) -> Iterator[BrowserContext]:
    made = chromium.new_context(viewport={"width": 1440, "height": 900}, locale="zh-CN", accept_downloads=True)
    made.set_default_timeout(60_000)
    yield made
    made.close()


def signed_in(context: BrowserContext, region: Region, login: str) -> Page:
    """By the form, as a person does."""
    page = context.new_page()
    page.goto(f"{region.base}/sign-in")
    page.fill("input[name=login]", login)
    page.fill("input[name=password]", region.password(login))
    page.click("form#sign-in button.pri")
    page.wait_for_url(lambda url: "/sign-in" not in url)
    return page


def watched(page: Page) -> tuple[list[str], list[str]]:
    """(addresses asked for, errors of our own pages' scripts), filled as the page lives."""
    asked: list[str] = []
    broken: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: broken.append(str(error)))
    return asked, broken


def picture(page: Page, name: str) -> None:
    """Kept for the README when asked for (`make pictures`)."""
    if os.environ.get("HELAN_PICTURES") == "1":
        PICTURES.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=str(PICTURES / f"{name}.png"), timeout=90_000)


def strangers(asked: list[str], region: Region) -> list[str]:
    """What was asked of anybody else, or of a place where a reading page has no business."""
    out: list[str] = []
    for url in asked:
        parts = urlsplit(url)
        if parts.scheme in ("data", "blob", "chrome", "chrome-extension"):  # the browser's own, such as its PDF viewer
            continue
        if f"{parts.scheme}://{parts.netloc}" != region.base or not parts.path.startswith(OWN_PATHS):
            out.append(url)
    return out


def test_a_film_is_read_and_signed_in_the_browser_and_the_clinic_downloads_the_report(
    shared_region: Region, context: BrowserContext, chromium: Browser, tmp_path: Path
) -> None:
    patient = steps.made_person()
    shared_region.storescu(steps.film_file(tmp_path, patient, signs=frozenset({Sign.OPACITY})))
    other_window = shared_region.person("chenyu")
    case_id = steps.find_case(other_window, patient.local_id)["case_id"]
    steps.wait_read(other_window, case_id, 90.0)
    other_window.json("POST", f"/api/cases/{case_id}/urgency", {"urgency": "stat", "reason": "临床来电"})

    page = signed_in(context, shared_region, "chenyu")
    asked, broken = watched(page)
    page.goto(f"{shared_region.base}/worklist")
    page.wait_for_selector(f"text={patient.name}")
    picture(page, "worklist")
    steps.first_of_all(shared_region, other_window, case_id)
    page.click("form[action='/worklist/next'] button")
    page.wait_for_url(f"**/cases/{case_id}")

    page.wait_for_selector("#viewer[data-drawn=yes]", timeout=120_000)
    viewer = page.query_selector("#viewer")
    frame = viewer.content_frame() if viewer else None
    assert frame is not None
    assert frame.evaluate(SAMPLE) > 400, "the film shows: its pixels are not black"
    picture(page, "reading")

    for read in steps.case(other_window, case_id)["reads"]:
        for finding in read["read"]["findings"]:
            verdict = {"verdict": "rejected", "reason": "肉眼未见"}
            other_window.json("POST", f"/api/cases/{case_id}/verdicts/{read['read_id']}/{finding['key']}", verdict)
    page.fill("#findings", steps.NORMAL["findings"])
    page.fill("#impression", steps.NORMAL["impression"])
    page.fill("#recommendation", steps.NORMAL["recommendation"])
    page.click("#go")
    page.wait_for_url("**/preview")
    shown = page.get_attribute("iframe.preview", "src") or ""
    pdf = page.request.get(f"{shared_region.base}{shown.split('#')[0]}")
    assert pdf.ok and pdf.body().startswith(b"%PDF")
    page.fill("#password", "wrong")
    page.press("#password", "Enter")
    page.wait_for_selector("#refused")
    page.fill("#password", shared_region.password("chenyu"))
    page.press("#password", "Enter")
    page.wait_for_url("**/done")
    assert not strangers(asked, shared_region)
    assert not broken, broken
    page.close()

    steps.wait_state(other_window, case_id, "delivered")
    clinic = chromium.new_context(viewport={"width": 1440, "height": 900}, locale="zh-CN", accept_downloads=True)
    try:
        desk = signed_in(clinic, shared_region, "haixiaoyan")
        desk.goto(f"{shared_region.base}/clinic")
        with desk.expect_download(timeout=60_000) as got:
            desk.click(f"a[download][href*='{case_id}']")
        kept = tmp_path / "report.pdf"
        got.value.save_as(kept)
        assert kept.read_bytes().startswith(b"%PDF")
        assert "intact" in shared_region.helan("verify", str(kept)).stdout
    finally:
        clinic.close()


def test_the_page_of_an_ecg_shows_the_sheet(shared_region: Region, context: BrowserContext) -> None:
    technician, reader = shared_region.person("haixiaoyan"), shared_region.person("gunanxing")
    patient = steps.made_person()
    shared_region.upload_ecg(technician, steps.ecg_files(77), local_id=patient.local_id, name=patient.name, sex="M")
    case_id = steps.find_case(reader, patient.local_id)["case_id"]
    steps.wait_read(reader, case_id, 90.0)
    steps.take(reader, case_id)
    page = signed_in(context, shared_region, "gunanxing")
    asked, broken = watched(page)
    page.goto(f"{shared_region.base}/cases/{case_id}")
    page.wait_for_selector("#sheet svg, #sheet img")
    box = page.locator("#sheet svg, #sheet img").first.bounding_box()
    assert box is not None and box["width"] > 500 and box["height"] > 300
    drawn = page.evaluate("() => document.querySelectorAll('#sheet svg path, #sheet svg polyline').length")
    assert drawn >= 12 or page.locator("#sheet img").count(), "twelve leads are drawn"
    picture(page, "reading-ecg")
    reader.json("POST", f"/api/cases/{case_id}/release", {"reason": "试用"})
    assert not strangers(asked, shared_region)
    assert not broken, broken
