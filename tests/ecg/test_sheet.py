"""The sheet: true to the millimetre, complete, and safe to print a name on."""

from __future__ import annotations

import re
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest

from center.errors import Invalid
from ecg.sheet import LAYOUTS, sheet_svg
from ecg.signal import STANDARD_LEADS, EcgSignal, Filters
from tests.makers.ecg import EIGHT_LEADS, make_ecg

_SVG = "{http://www.w3.org/2000/svg}"


def _root(svg: str) -> ElementTree.Element:
    return ElementTree.fromstring(svg)


def _traces(svg: str) -> list[tuple[str, np.ndarray]]:
    """(lead, [[x, y] ...] in mm) of each trace, in the order drawn."""
    out: list[tuple[str, np.ndarray]] = []
    for path in _root(svg).iter(f"{_SVG}path"):
        if path.get("class") == "es-trace":
            numbers = re.findall(r"[ML]([-\d.e]+) ([-\d.e]+)", path.get("d") or "")
            out.append((path.get("data-lead") or "", np.array(numbers, dtype=float).reshape(-1, 2)))
    return out


def _ramp(fs_hz: float = 500.0, seconds: float = 10.0) -> EcgSignal:
    """Twelve leads that each rise by 0.1 mV a second, from -0.5 mV."""
    count = round(fs_hz * seconds)
    return EcgSignal(STANDARD_LEADS, np.tile(np.arange(count) / fs_hz * 0.1 - 0.5, (12, 1)), fs_hz)


@pytest.mark.parametrize("speed", [12.5, 25.0, 50.0])
@pytest.mark.parametrize("gain", [5.0, 10.0, 20.0])
def test_a_second_and_a_millivolt_are_as_long_as_they_say(speed: float, gain: float) -> None:
    traces = _traces(sheet_svg(_ramp(), layout="12x1", speed_mm_s=speed, gain_mm_mv=gain))
    assert [lead for lead, _ in traces] == list(STANDARD_LEADS)
    for _, points in traces:
        seconds = (points[-1, 0] - points[0, 0]) / speed
        assert points[0, 0] == 10.0
        assert np.allclose(np.diff(points[:, 0]), speed / 500, atol=2e-3)
        assert seconds == pytest.approx(min(10.0 - 1 / 500, 250 / speed), abs=1e-4)
        assert points[0, 1] - points[-1, 1] == pytest.approx(seconds * 0.1 * gain, abs=0.011)


def test_the_unit_of_the_drawing_is_the_millimetre() -> None:
    root = _root(sheet_svg(_ramp()))
    width, height = root.get("width") or "", root.get("height") or ""
    assert root.get("viewBox") == f"0 0 {width.removesuffix('mm')} {height.removesuffix('mm')}"
    assert width == "260mm"
    assert float(height.removesuffix("mm")) <= 200  # A4 in landscape
    grids = {path.get("class"): path.get("d") or "" for path in root.iter(f"{_SVG}path")}
    assert [float(x) for x in re.findall(r"M(\d+) 0V", grids["es-major"])] == list(range(0, 261, 5))
    assert len(re.findall(r"M(\d+) 0V", grids["es-minor"])) == 260 - 52


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_row_has_a_pulse_of_one_millivolt_for_200_ms(layout: str) -> None:
    root = _root(sheet_svg(_ramp(), layout=layout, gain_mm_mv=20.0))
    pulses = [path.get("d") or "" for path in root.iter(f"{_SVG}path") if path.get("class") == "es-pulse"]
    assert len(pulses) == len(LAYOUTS[layout].rows) + len(LAYOUTS[layout].rhythm)
    assert all("v-20h5v20" in pulse for pulse in pulses)
    assert float((root.get("height") or "").removesuffix("mm")) <= 200


def test_columns_follow_each_other_in_time_over_a_rhythm_strip() -> None:
    traces = _traces(sheet_svg(_ramp()))
    assert " ".join(lead for lead, _ in traces) == "I aVR V1 V4 II aVL V2 V5 III aVF V3 V6 II"
    for n, (_, points) in enumerate(traces[:12]):
        assert points[0, 0] == pytest.approx(10 + 62.5 * (n % 4), abs=0.051)
        assert points[-1, 0] <= 10 + 62.5 * (n % 4 + 1) + 1e-6
    rhythm = traces[12][1]
    fourth = traces[3][1]
    middle_of_rhythm, middle_of_row = rhythm[3750, 1], fourth[0, 1]
    assert rhythm[3750, 0] == fourth[0, 0]  # the same instant stands over itself
    assert (middle_of_rhythm - middle_of_row) % 25 == pytest.approx(0, abs=0.02)


def test_the_same_sample_is_where_its_time_and_height_are() -> None:
    signal = make_ecg(3)
    traces = dict(_traces(sheet_svg(signal, layout="12x1")))
    values = signal.lead("V2")
    points = traces["V2"]
    assert points.shape == (5000, 2)
    assert np.abs(points[:, 0] - (10 + np.arange(5000) * 0.05)).max() < 1e-3
    level = points[0, 1] + values[0] * 10
    assert np.abs(points[:, 1] - (level - values * 10)).max() <= 0.011


def test_cabrera_turns_avr_over() -> None:
    signal = make_ecg(3)
    traces = dict(_traces(sheet_svg(signal, layout="cabrera")))
    plain = dict(_traces(sheet_svg(signal, layout="6x2")))
    upright, upside_down = traces["-aVR"], plain["aVR"]
    assert np.allclose(np.diff(upright[:, 1]), -np.diff(upside_down[:, 1]), atol=0.021)


def test_eight_leads_make_a_whole_sheet_that_says_which_are_computed() -> None:
    svg = sheet_svg(make_ecg(3, leads=EIGHT_LEADS))
    assert len(_traces(svg)) == 13
    assert "III、aVR、aVL、aVF 由 I、II 计算" in svg


def test_fewer_leads_are_rows_of_what_is_there() -> None:
    assert [lead for lead, _ in _traces(sheet_svg(make_ecg(3, leads=("V1", "V5"))))] == ["V1", "V5"]


def test_a_gap_in_the_recording_is_a_gap_in_the_line() -> None:
    samples = make_ecg(3, leads=("II",)).samples.copy()
    samples[0, 1000:1500] = np.nan
    svg = sheet_svg(EcgSignal(("II",), samples, 500.0))
    ((_, points),) = _traces(svg)
    assert points.shape[0] == 4500
    assert svg.count("nan") == 0
    path = next(p.get("d") or "" for p in _root(svg).iter(f"{_SVG}path") if p.get("class") == "es-trace")
    assert path.count("M") == 2


def test_a_short_recording_and_an_empty_one_are_drawn() -> None:
    assert len(_traces(sheet_svg(make_ecg(3, seconds=3)))) == 13
    _root(sheet_svg(EcgSignal(("II",), np.zeros((1, 0)), 500.0)))
    _root(sheet_svg(EcgSignal(("II",), np.full((1, 900), np.nan), 500.0)))


def test_narrow_spikes_stay_when_points_are_thinned() -> None:
    samples = np.zeros((1, 80_000))
    samples[0, 41_003] = 1.5
    ((_, points),) = _traces(sheet_svg(EcgSignal(("II",), samples, 8000.0)))
    assert points.shape[0] < 25_000
    assert points[:, 1].max() - points[:, 1].min() == pytest.approx(15, abs=0.01)


def test_scale_filters_and_calibration_are_said_in_both_languages() -> None:
    signal = replace(make_ecg(3), filters=Filters(0.05, 150.0, 50.0))
    zh, en = sheet_svg(signal), sheet_svg(signal, lang="en")
    for text in ("25 mm/s", "10 mm/mV", "0.05–150 Hz", "500 Hz", "1 mm = 40 ms = 0.1 mV"):
        assert text in zh
        assert text in en
    assert "陷波 50 Hz" in zh
    assert "notch 50 Hz" in en
    assert "屏幕未校准" in zh
    assert "Screen not calibrated" in en
    assert "@media print" in zh
    assert ".es-screen{display:none}" in zh
    assert "屏幕未校准" not in sheet_svg(signal, is_screen_calibrated=True)
    assert "滤波 未注明" in sheet_svg(replace(signal, filters=Filters()))


def test_names_are_text_and_nothing_else() -> None:
    evil = "</text></svg><script>alert(1)</script><img src=x onerror=alert(1)>\x00\x1b&\"'"
    signal = EcgSignal((evil, '"><script>'), np.zeros((2, 600)), 500.0)
    svg = sheet_svg(signal, patient_lines=[evil, "欧阳^𠮷"])
    root = _root(svg)
    assert "<script" not in svg
    assert "<img" not in svg
    assert {element.tag.removeprefix(_SVG) for element in root.iter()} == {"svg", "style", "rect", "path", "text"}
    assert any("欧阳^𠮷" in (text.text or "") for text in root.iter(f"{_SVG}text"))


@pytest.mark.parametrize("wrong", [{"layout": "9x9"}, {"speed_mm_s": 30.0}, {"gain_mm_mv": 0.0}, {"start_s": -1.0}])
def test_a_scale_that_is_not_offered_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(Invalid):
        sheet_svg(make_ecg(1), **wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("layout", ["3x4+1R", "3x4+3R", "6x2", "cabrera"])
@pytest.mark.parametrize("begin_s", [0.05, 0.12, 0.2, 0.3])
def test_no_leads_name_lies_on_a_trace(layout: str, begin_s: float) -> None:
    """Tall R and deep S under where the names usually stand, in every column."""
    seconds = np.arange(5000) / 500
    beats = np.zeros(5000)
    for at in np.arange(begin_s, 10, 0.625):
        beats += 1.3 * np.exp(-(((seconds - at) / 0.012) ** 2)) - 1.2 * np.exp(-(((seconds - at - 0.06) / 0.012) ** 2))
    svg = sheet_svg(EcgSignal(STANDARD_LEADS, np.tile(beats, (12, 1)), 500.0), layout=layout)
    traces = [points for _, points in _traces(svg)]
    names = [t for t in _root(svg).iter(f"{_SVG}text") if (t.text or "").removeprefix("-") in STANDARD_LEADS]
    assert len(names) >= 12
    for name in names:
        x, foot = float(name.get("x") or 0), float(name.get("y") or 0)
        right, top = x + 2.2 * len(name.text or ""), foot - 2.4
        for points in traces:
            near = points[(points[:, 0] >= x) & (points[:, 0] <= right), 1]
            assert not ((near > top) & (near < foot)).any(), (name.text, x, foot)
