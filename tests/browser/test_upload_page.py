"""The upload panel in a real browser: a cut line loses nothing, only what is missing goes again, a bad file is named."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Route, sync_playwright

from dicom_gateway.room import scan
from portal.demo_ecgs import make_ecg, write_wfdb
from portal.demo_studies import film_dicom
from tests import steps
from tests.makers import oddities
from tests.region import Region

pytestmark = pytest.mark.timeout(420)
STOW = "**/dicom-web/studies**"
FILES = 8


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert found, "Chromium is missing: sudo apt-get install -y chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Browser, shared_region: Region) -> Iterator[Page]:
    """The technician's page."""
    context = chromium.new_context(viewport={"width": 1440, "height": 900}, locale="zh-CN")
    context.set_default_timeout(60_000)
    made = context.new_page()
    made.goto(f"{shared_region.base}/sign-in")
    made.fill("input[name=login]", "haixiaoyan")
    made.fill("input[name=password]", shared_region.password("haixiaoyan"))
    made.click("form#sign-in button.pri")
    made.wait_for_url("**/clinic**")
    yield made
    context.close()


def folder_of(tmp_path: Path, tag: str, *, broken: bool = False) -> tuple[Path, str]:
    """(a folder as a disc has it, the patient's number): films of one person, a viewer's program beside them."""
    person = steps.made_person()
    folder = tmp_path / tag
    folder.mkdir()
    for n in range(FILES):
        content = film_dicom(f"{tag}{person.local_id}{n}", person, datetime(2026, 11, 22, 9, 0), rows=120, columns=100)
        (folder / f"IMG_{n:04}").write_bytes(content[: len(content) // 2] if broken and n == 3 else content)
    (folder / "viewer.exe").write_bytes(b"MZ" * 50)
    return folder, person.local_id


def test_after_a_cut_line_only_what_is_missing_is_sent(page: Page, tmp_path: Path) -> None:
    folder, _ = folder_of(tmp_path, "cut")
    sent: list[str] = []
    line = {"whole": False}

    def through(route: Route) -> None:
        if line["whole"] or len(sent) < 3:
            sent.append("sent")
            route.continue_()
        else:
            route.abort("internetdisconnected")

    page.route(STOW, through)
    page.set_input_files("#pick-folder", str(folder))
    page.wait_for_selector(".up.held")
    assert "网络中断" in page.inner_text(".up")
    page.reload()
    assert "请再选同一文件夹" in page.inner_text("#unfinished")
    before = len(sent)
    line["whole"] = True
    page.set_input_files("#pick-folder", str(folder))
    page.wait_for_selector('.up[data-tone="green"]')
    words = page.inner_text(".up")
    assert f"中心已收齐 {FILES} / {FILES}" in words and "中心早已有" in words and "1 个不是影像或心电" in words
    assert len(sent) - before == FILES - before, "only what did not arrive goes again"
    assert page.is_hidden("#unfinished")


def test_a_line_that_comes_back_is_used_without_a_hand(page: Page, tmp_path: Path) -> None:
    folder, local_id = folder_of(tmp_path, "back")
    cut = {"n": 3}

    def through(route: Route) -> None:
        cut["n"] -= 1
        if cut["n"] >= 0:
            route.abort("connectionreset")
        else:
            route.continue_()

    page.route(STOW, through)
    page.set_input_files("#pick-folder", str(folder))
    page.wait_for_selector('.up[data-tone="green"]')
    page.wait_for_selector(f"#cases >> text={local_id} >> nth=0")


def test_a_file_that_is_cut_off_is_named_and_the_others_go_on(page: Page, tmp_path: Path) -> None:
    folder, _ = folder_of(tmp_path, "half", broken=True)
    page.set_input_files("#pick-folder", str(folder))
    page.wait_for_selector('.up[data-tone="red"]')
    assert f"中心已收 {FILES - 1} 个，1 个没有上传" in page.inner_text(".up")
    failed = page.inner_text(".failed li")
    assert "IMG_0003" in failed and "不是完整的 DICOM 文件" in failed
    page.click('.failed [data-do="skip"]')
    page.wait_for_selector('.up[data-tone="green"]')


def test_a_recording_is_asked_whose_it_is_and_a_print_of_one_is_refused(
    page: Page, shared_region: Region, tmp_path: Path
) -> None:
    patient = steps.made_person()
    for name, content in write_wfdb(make_ecg(7), "ecg").items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "print.pdf").write_bytes(b"%PDF-1.4\n" + b"x" * 300)
    page.set_input_files("#pick-files", [str(p) for p in sorted(tmp_path.iterdir()) if p.is_file()])
    page.wait_for_selector('.up[data-tone="red"]')
    assert "PDF" in page.inner_text('.up[data-tone="red"]')
    page.fill(".whose [name=local_id]", patient.local_id)
    page.fill(".whose [name=name]", patient.name)
    page.fill(".whose [name=question]", "有无房颤？")
    page.click(".whose button")
    page.wait_for_selector('.up[data-tone="green"]')
    reader = shared_region.person("gunanxing")
    case = steps.find_case(reader, patient.local_id)
    assert case["question"] == "有无房颤？"


def test_a_disc_of_old_files_goes_in_and_its_index_is_passed_over(page: Page, tmp_path: Path) -> None:
    folder, _ = folder_of(tmp_path, "disc")
    for file in sorted(folder.glob("IMG_000[0-3]")):
        raw = file.read_bytes()
        file.write_bytes(raw[scan(raw).dataset_offset if file.name < "IMG_0002" else 132 :])
    (folder / "DICOMDIR").write_bytes(oddities.dicomdir())
    (folder / "INDEX").write_bytes(oddities.dicomdir())
    page.set_input_files("#pick-folder", str(folder))
    page.wait_for_selector('.up[data-tone="green"]')
    words = page.inner_text(".up")
    assert f"中心已收齐 {FILES} / {FILES}" in words and "DICOMDIR 是光盘目录" in words
