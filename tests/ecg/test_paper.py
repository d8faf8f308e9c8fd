"""The sheet on paper: measured with a caliper on what comes out, not on what was meant.

The PDF is drawn by cairo at 300 dpi (poppler's own painter moves thin lines by up to half a pixel), the SVG by Chromium; the grid, the 1 mV pulse and beats exactly 1 s apart are
measured in pixels and held to 0.5 % (ECG.md section 7).
"""

from __future__ import annotations

import io
import shutil
import subprocess
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pypdf
import pytest
from PIL import Image

from center.reads import DeviceLine, PreliminaryRead, Tier
from ecg.paper import sheet_pdf
from ecg.sheet import LAYOUTS, sheet_svg
from ecg.sheet_words import Language, amount, device_words, number, words_of
from ecg.signal import STANDARD_LEADS, DeviceNote, EcgSignal, Filters
from tests.makers.ecg import make_ecg
from tests.makers.ecg_reads import ISSUES, POOR, ecg_read

AT = datetime(2026, 11, 22, 4, 0, tzinfo=UTC)
WHO = ["祁连升", "男 · 61 岁", "病历号 31020558"]
DPI = 300
LINE_MM = 0.25
Ink = npt.NDArray[np.float64]


def spikes(seconds: float = 10.0) -> EcgSignal:
    """Twelve leads with a narrow peak of 1 mV at each half second."""
    t = np.arange(round(seconds * 500)) / 500
    peaks = np.exp(-(((t - np.round(t - 0.5) - 0.5) / 0.006) ** 2))
    return EcgSignal(STANDARD_LEADS, np.tile(peaks, (12, 1)), 500.0, filters=Filters(0.05, 150.0, 50.0))


@dataclass(frozen=True, slots=True)
class Measured:
    """Millimetres as they came out: five small squares, the pulse, a second."""

    five_across: float
    five_down: float
    pulse_high: float
    pulse_wide: float
    second: float


def measured(picture: Image.Image, px_per_mm: float, gain: float = 10.0) -> Measured:
    """The caliper.  The picture is a whole sheet, or a page that holds one."""
    pixels = np.asarray(picture.convert("RGB"), dtype=np.float64)
    reddish = pixels[..., 0] - pixels[..., 1:].mean(axis=-1)  # the grid; neither ink nor paper has a colour
    dark = 255.0 - pixels.max(axis=-1)
    dark[dark < 0.12 * 255] = 0.0  # ink alone
    rows = np.flatnonzero((reddish > 8).mean(axis=1) > 0.3)
    above = max(0, rows[0] - round(0.3 * px_per_mm))  # a line on the edge reaches out of it
    reddish, dark = reddish[rows[0] : rows[-1] + 1], dark[above : rows[-1] + 1]
    columns = np.flatnonzero((reddish > 8).mean(axis=0) > 0.3)
    reddish, dark = reddish[:, columns[0] : columns[-1] + 1], dark[:, columns[0] : columns[-1] + 1]
    across = _pitch(np.median(reddish, axis=0), 5 * px_per_mm)
    down = _pitch(np.median(reddish, axis=1), 5 * px_per_mm)
    high, wide = _pulse(dark[: round(25 * px_per_mm), : round(9.8 * px_per_mm)], px_per_mm, gain)
    return Measured(
        five_across=across / px_per_mm,
        five_down=down / px_per_mm,
        pulse_high=high / px_per_mm,
        pulse_wide=wide / px_per_mm,
        second=_second(dark, px_per_mm) / px_per_mm,
    )


def _pitch(profile: Ink, near: float) -> float:
    """The distance of the bold lines, px, by a line through all of them."""
    strong = np.clip(profile - np.quantile(profile, 0.7), 0, None)
    at: list[float] = []
    for begin in np.arange(0.0, profile.size - near / 2, near):
        window = np.arange(max(0, round(begin - near / 3)), min(profile.size, round(begin + near / 3) + 1))
        weight = np.where(strong[window] > 0.6 * strong[window].max(), strong[window], 0)
        at.append(float((window * weight).sum() / weight.sum()))
    inner = np.array(at[1:-1])  # the outermost are cut by the edge
    return float(np.polyfit(np.arange(inner.size), inner, 1)[0])


def _pulse(corner: Ink, px_per_mm: float, near: float) -> tuple[float, float]:
    """Height and width, px: as far as the ink of its edge and of its top reaches, less one line's thickness.

    near: about how many mm high it is.
    """
    ink = corner / corner.max()
    top = int(np.argmax(ink.sum(axis=1) > 0.8 * ink.sum(axis=1).max()))
    ink = ink[max(0, top - round(px_per_mm)) : top + round((near + 2) * px_per_mm)]
    edge, roof = ink[:, int(np.argmax(ink.sum(axis=0)))], ink[int(np.argmax(ink[: round(2 * px_per_mm)].sum(axis=1)))]
    thick = LINE_MM * px_per_mm
    return float(edge.sum()) - thick, float(roof.sum()) - thick


def _second(dark: Ink, px_per_mm: float) -> float:
    """The distance of the peaks in the lowest row, px."""
    inked = np.flatnonzero((dark > 100).sum(axis=1) > 0.3 * dark.shape[1])  # the base line of each row
    base = int(inked[-1])
    band = dark[base - round(9 * px_per_mm) : base - round(3 * px_per_mm), round(12 * px_per_mm) :]
    profile = band.sum(axis=0)
    at = np.flatnonzero(profile > 0.4 * profile.max())
    peaks = [group.mean() for group in np.split(at, np.flatnonzero(np.diff(at) > 5 * px_per_mm) + 1)]
    return float(np.polyfit(np.arange(len(peaks)), np.array(peaks), 1)[0])


def within(found: Measured, gain: float = 10.0, speed: float = 25.0) -> None:
    assert found.five_across == pytest.approx(5.0, rel=0.005)
    assert found.five_down == pytest.approx(5.0, rel=0.005)
    assert found.pulse_high == pytest.approx(gain, rel=0.005)
    assert found.pulse_wide == pytest.approx(0.2 * speed, rel=0.005)
    assert found.second == pytest.approx(speed, rel=0.005)


def drawn(pdf: bytes, folder: Path, page: int = 1) -> Image.Image:
    (folder / "sheet.pdf").write_bytes(pdf)
    subprocess.run(
        ["pdftocairo", "-png", "-r", str(DPI), "-f", str(page), "-l", str(page), "-singlefile", "sheet.pdf", "sheet"],
        cwd=folder, check=True, capture_output=True,
    )  # fmt: skip
    return Image.open(folder / "sheet.png")


SLOWER = {"3x4+3R", "6x2", "cabrera"}
BY_LAYOUT = [pytest.param(name, marks=[pytest.mark.long] if name in SLOWER else []) for name in LAYOUTS]


@pytest.mark.parametrize("layout", BY_LAYOUT)
def test_the_pdf_is_true_to_half_a_percent(layout: str, tmp_path: Path) -> None:
    pdf = sheet_pdf(spikes(), printed_at=AT, read=ecg_read(Tier.RED), patient_lines=WHO, layout=layout)
    within(measured(drawn(pdf, tmp_path), DPI / 25.4))


@pytest.mark.parametrize(("speed", "gain"), [(12.5, 5.0), (25.0, 20.0)])
def test_so_it_is_at_other_speeds_and_gains(speed: float, gain: float, tmp_path: Path) -> None:
    pdf = sheet_pdf(spikes(), printed_at=AT, patient_lines=WHO, speed_mm_s=speed, gain_mm_mv=gain)
    found = measured(drawn(pdf, tmp_path), DPI / 25.4, gain)
    assert found.pulse_high == pytest.approx(gain, rel=0.005) and found.five_across == pytest.approx(5, rel=0.005)
    assert found.pulse_wide == pytest.approx(0.2 * speed, rel=0.005)


@pytest.mark.parametrize("layout", ["3x4+1R", pytest.param("12x1", marks=pytest.mark.long)])
def test_the_svg_is_true_to_half_a_percent_in_a_browser(layout: str, tmp_path: Path) -> None:
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert browser is not None, "Chromium is missing: `make test` installs it"
    scale = 4
    (tmp_path / "sheet.svg").write_text(sheet_svg(spikes(), layout=layout, is_screen_calibrated=True))
    subprocess.run(
        [browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
         f"--force-device-scale-factor={scale}", "--window-size=1000,800", f"--screenshot={tmp_path / 'sheet.png'}",
         (tmp_path / "sheet.svg").as_uri()],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    within(measured(Image.open(tmp_path / "sheet.png"), scale * 96 / 25.4))


def words(pdf: bytes) -> str:
    return "\n".join(page.extract_text() for page in pypdf.PdfReader(io.BytesIO(pdf)).pages)


def test_it_is_a4_in_landscape_asks_not_to_be_scaled_and_embeds_its_fonts() -> None:
    reader = pypdf.PdfReader(io.BytesIO(sheet_pdf(spikes(), printed_at=AT, read=ecg_read(), patient_lines=WHO)))
    for page in reader.pages:
        assert [round(float(x) / 72 * 25.4, 1) for x in page.mediabox[2:]] == [297.0, 210.0]
    assert reader.trailer["/Root"]["/ViewerPreferences"]["/PrintScaling"] == "/None"
    fonts = [f.get_object() for page in reader.pages for f in page["/Resources"]["/Font"].values()]
    assert fonts and all("+NotoSans" in str(font["/BaseFont"]) for font in fonts)


@pytest.mark.parametrize("layout", [*LAYOUTS])
def test_the_traces_and_their_head_share_the_first_page(layout: str) -> None:
    reader = pypdf.PdfReader(io.BytesIO(sheet_pdf(spikes(), printed_at=AT, read=ecg_read(Tier.RED), patient_lines=WHO, layout=layout)))  # fmt: skip
    first = reader.pages[0].extract_text()
    assert "祁连升" in first and "mm/s" in first and "mm/mV" in first and "aVF" in first
    assert len(reader.pages) == 2


def test_the_first_page_says_what_was_measured_and_said_and_that_it_is_a_machines() -> None:
    pdf = sheet_pdf(spikes(), printed_at=AT, read=ecg_read(Tier.RED), patient_lines=WHO)
    first = pypdf.PdfReader(io.BytesIO(pdf)).pages[0].extract_text()
    for wanted in ("祁连升", "72 次/分", "168 ms", "92 ms", "372 / 394 ms", "57 / -12 / 95 °", "机器初读", "未经医师确认",
                   "窦性心律", "红", "25 mm/s", "10 mm/mV", "0.05–150 Hz", "陷波 50 Hz", "100%"):  # fmt: skip
        assert wanted in first, wanted


def test_the_evidence_follows_with_values_limits_and_sources() -> None:
    second = pypdf.PdfReader(io.BytesIO(sheet_pdf(spikes(), printed_at=AT, read=ecg_read(Tier.RED), patient_lines=WHO))).pages[1].extract_text()  # fmt: skip
    for wanted in ("机器初读依据", "急性 ST 段抬高型心肌梗死？", "0.31 mV", "≥ 0.1 mV", "III", "ESC 2018", "national-2017",
                   "Sokolow-Lyon", "3.81 mV", "J+60 ST", "V6"):  # fmt: skip
        assert wanted in second, wanted


def test_the_devices_own_words_stand_apart_and_are_named_as_such() -> None:
    signal = replace(spikes(), annotations=(DeviceNote("Normal sinus rhythm"), DeviceNote("PR", 166.0, "ms")))
    text = words(sheet_pdf(signal, printed_at=AT, patient_lines=WHO))
    assert "设备自带" in text and "PR 166 ms" in text and "机器初读" not in text
    svg = sheet_svg(signal, device=device_words((DeviceLine("PR", 166.0, "ms"),), "zh"))
    assert "设备自带：PR 166 ms" in svg


def test_a_recording_that_was_not_read_says_why() -> None:
    text = words(sheet_pdf(spikes(), printed_at=AT, read=ecg_read(Tier.RED, refused=POOR), patient_lines=WHO))
    assert "未读" in text and "信号质量差" in text and "红" in text


def test_the_same_sheet_is_the_same_bytes() -> None:
    assert sheet_pdf(spikes(), printed_at=AT, read=ecg_read()) == sheet_pdf(spikes(), printed_at=AT, read=ecg_read())


def test_in_english_nothing_of_ours_is_chinese() -> None:
    text = words(sheet_pdf(spikes(), printed_at=AT, read=ecg_read(Tier.RED), patient_lines=["Qi"], lang="en"))
    assert "not confirmed by a physician" in text
    assert not [c for c in text.replace("中国心电图危急值专家共识", "") if "\u4e00" <= c <= "\u9fff"]


def test_a_name_of_rare_characters_and_markup_is_printed_whole() -> None:
    who = ["䶮𠮷 <b>#set text(red)</b> *x* $y$ \u202e"]
    text = words(sheet_pdf(spikes(), printed_at=AT, patient_lines=who))
    assert "#set text(red)" in text and "*x*" in text


def test_any_recording_can_be_printed() -> None:
    for signal in (
        EcgSignal(("II",), np.full((1, 500), np.nan), 250.0),
        EcgSignal(("X", "Y", "Z"), np.zeros((3, 100)), 100.0),
        replace(make_ecg(1), device="某厂 \x00 12"),
    ):
        assert sheet_pdf(signal, printed_at=AT, read=ecg_read(Tier.ORANGE)).startswith(b"%PDF")


def test_a_later_part_of_a_long_recording_is_drawn_from_where_it_is_asked() -> None:
    long = spikes(60.0)
    assert sheet_svg(long, start_s=30.0) != sheet_svg(replace(long, samples=long.samples * np.nan), start_s=30.0)
    assert b"%PDF" in sheet_pdf(long, printed_at=AT, start_s=49.0)


def test_the_svgs_head_says_that_it_is_a_machines() -> None:
    svg = sheet_svg(spikes(), read=words_of(ecg_read(Tier.RED), "zh"), patient_lines=WHO)
    assert "未经医师确认" in svg and "es-machine" in svg and "红 · 请立即人工判读" in svg and "72 次/分" in svg


def test_numbers_are_told_to_their_units_decimals() -> None:
    assert [amount(71.5, "/min", "zh"), amount(-12.4, "deg", "en"), amount(0.314, "mV", "en"), amount(167.9, "ms", "zh")] == [
        "72 次/分", "-12°", "0.31 mV", "168 ms",
    ]  # fmt: skip
    assert number(-0.001, "mV") == "0.00" and number(3.0, "1") == "3"


def test_a_measurement_that_is_not_there_is_a_dash_and_never_a_zero() -> None:
    read: PreliminaryRead = replace(ecg_read(), measurements=())
    assert {value for _, value in words_of(read, "zh").measured} == {"—"}


@pytest.mark.parametrize("lang", ["zh", "en"])
def test_what_is_known_of_the_file_is_printed_with_the_read(lang: Language) -> None:
    pdf = sheet_pdf(make_ecg(1), printed_at=AT, read=replace(ecg_read(), issues=ISSUES), lang=lang)
    text = "".join("".join(page.extract_text().split()) for page in pypdf.PdfReader(io.BytesIO(pdf)).pages)
    for issue in ISSUES:
        assert "".join((issue.zh if lang == "zh" else issue.en).split()) in text
