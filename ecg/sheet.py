"""A recording -> the sheet that a cardiologist reads, as SVG: every millimetre is a millimetre in print.

One unit of the drawing is one millimetre.  Colours are the page's ``--ecg-*`` tokens, with plain ones where there are
none (a file of its own, a PDF).  The trace is the recording as it came: each lead is only moved up or down as a whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from math import isnan
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from center.errors import Invalid
from ecg.sheet_words import SheetWords
from ecg.signal import STANDARD_LEADS, EcgSignal, Filters

Language = Literal["zh", "en"]

SPEEDS_MM_S: Final = (12.5, 25.0, 50.0)
GAINS_MM_MV: Final = (5.0, 10.0, 20.0)
TRACE_WIDTH_MM: Final = 250.0
"""Ten seconds at 25 mm/s."""
PULSE_WIDTH_MM: Final = 10.0
PULSE_MV: Final = 1.0
PULSE_S: Final = 0.2
_LINE_MM: Final = 4.5
_FOOT_MM: Final = 6.0
_RIM_MM: Final = 0.2  # a line on the grid's edge is drawn whole
_MOST_POINTS_HZ: Final = 1000.0
_MOST_ROWS: Final = 24
_LABEL_MM: Final = 3.2
_LABEL_MOVES_MM: Final = 10.0
"""As far as a lead's name may move to the right of its usual place."""
_CLEAR_MM: Final = 0.5
"""Between a lead's name and any trace."""
_Line = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]


@dataclass(frozen=True, slots=True)
class Layout:
    """Rows of leads side by side, then rhythm strips over the whole width.  ``-aVR`` is aVR upside down."""

    rows: tuple[tuple[str, ...], ...]
    rhythm: tuple[str, ...] = ()


_THREE_BY_FOUR: Final = (("I", "aVR", "V1", "V4"), ("II", "aVL", "V2", "V5"), ("III", "aVF", "V3", "V6"))
LAYOUTS: Final[dict[str, Layout]] = {
    "3x4+1R": Layout(_THREE_BY_FOUR, ("II",)),
    "3x4+3R": Layout(_THREE_BY_FOUR, ("II", "V1", "V5")),
    "6x2": Layout(tuple(zip(STANDARD_LEADS[:6], STANDARD_LEADS[6:], strict=True))),
    "12x1": Layout(tuple((lead,) for lead in STANDARD_LEADS)),
    "cabrera": Layout(tuple(zip(("aVL", "I", "-aVR", "II", "aVF", "III"), STANDARD_LEADS[6:], strict=True))),
}

_STYLE: Final = (
    ".ecg-sheet{--p:var(--ecg-paper,#fffaf8);--t:var(--ecg-trace,#13191c);background:var(--p);display:block;page:ecg-sheet}"
    "@page ecg-sheet{size:A4 landscape;margin:5mm}"  # a page that's too narrow is shrunk, and a millimetre is no more
    ".ecg-sheet .es-paper{fill:var(--p)}"
    ".ecg-sheet .es-minor{stroke:var(--ecg-minor,#f7dfda)}"
    ".ecg-sheet .es-major{stroke:var(--ecg-major,#e8aea6)}"
    ".ecg-sheet .es-trace,.ecg-sheet .es-pulse,.ecg-sheet .es-tick{stroke:var(--t)}"
    ".ecg-sheet text{fill:var(--t);stroke:var(--p);font-family:var(--sans,sans-serif)}"
    ".ecg-sheet .es-screen{fill:var(--orange,#975200);stroke:none}"
    "@media print{.ecg-sheet{--ecg-paper:#fff;--ecg-trace:#000;--ecg-minor:#f7dfda;--ecg-major:#e8aea6}"
    ".ecg-sheet .es-screen{display:none}}"
)
_WORDS: Final = {
    "zh": {
        "name": "心电图",
        "notch_off": "陷波 关",
        "notch": "陷波 {} Hz",
        "no_filters": "滤波 未注明",
        "computed": "{} 由 I、II 计算",
        "uncalibrated": "屏幕未校准",
        "list": "、",
        "device": "设备自带：{}",
    },
    "en": {
        "name": "ECG",
        "notch_off": "notch off",
        "notch": "notch {} Hz",
        "no_filters": "filters not stated",
        "computed": "{} computed from I and II",
        "uncalibrated": "Screen not calibrated",
        "list": ", ",
        "device": "Device's own: {}",
    },
}


@dataclass(frozen=True, slots=True)
class _Paper:
    """Where things lie, mm: the rows' middles below ``head_mm``, the columns' left edges after the pulse."""

    speed_mm_s: float
    gain_mm_mv: float
    head_mm: float
    pitch_mm: float
    rows: int

    @property
    def width_mm(self) -> float:
        return PULSE_WIDTH_MM + TRACE_WIDTH_MM

    @property
    def grid_mm(self) -> float:
        return self.pitch_mm * self.rows + 5.0  # room below the last row for a deep S

    @property
    def height_mm(self) -> float:
        return self.head_mm + self.grid_mm + _FOOT_MM

    def middle_mm(self, row: int) -> float:
        """The level of a row's baseline, counted from the grid's top, on a bold line wherever rows are 25 or 15 mm.

        The first row has room for its pulse.
        """
        room_mm = 5 * int(np.ceil(PULSE_MV * self.gain_mm_mv / 5))
        return self.pitch_mm * row + max(5 * round(self.pitch_mm * 0.6 / 5), room_mm)


def sheet_svg(
    signal: EcgSignal,
    *,
    layout: str = "3x4+1R",
    speed_mm_s: float = 25.0,
    gain_mm_mv: float = 10.0,
    patient_lines: Sequence[str] = (),
    lang: Language = "zh",
    start_s: float = 0.0,
    is_screen_calibrated: bool = False,
    read: SheetWords | None = None,
    device: Sequence[str] = (),
    is_print: bool = False,
) -> str:
    """The sheet as an <svg> element, 260 mm wide, for a page, a file of its own or a PDF.

    Columns follow each other in time, as on paper; a rhythm strip runs under all of them.  Fewer than twelve leads are
    drawn as rows of what's there; further ones (V3R, V7 ...) as rows below.  start_s: where the sheet begins.
    read: the machine's words above the traces; device: the recorder's own, below them and as such.
    is_print: for a page that has its own head, without styles, on white.  Raises Invalid for a layout, speed or gain that isn't offered.
    """
    _check(layout, speed_mm_s, gain_mm_mv, start_s)
    shown = signal.with_limb_leads()
    rows, rhythm = _arranged(shown, LAYOUTS[layout])
    lines = [*patient_lines][:6]
    heads = max(
        len(lines),
        len(_read_lines(read)),
        len(read.measured) if read else 0,
        int(not is_screen_calibrated and not is_print),
    )
    paper = _Paper(
        speed_mm_s=speed_mm_s,
        gain_mm_mv=gain_mm_mv,
        head_mm=1.0 if is_print else 5.0 * int(np.ceil((_LINE_MM * heads + 0.4) / 5)),
        pitch_mm=_pitch_mm(len(rows) + len(rhythm)),
        rows=len(rows) + len(rhythm),
    )
    words = _WORDS[lang]
    body = [
        f'<rect class="es-paper" width="{_n(paper.width_mm)}" height="{_n(paper.height_mm)}" fill="#fffaf8"/>',
        *_head(lines, words, paper, is_screen_calibrated or is_print),
        *_read_head(read),
        f'<svg y="{_n(paper.head_mm - _RIM_MM)}" width="{_n(paper.width_mm)}" height="{_n(paper.grid_mm + 2 * _RIM_MM)}" '
        f'viewBox="0 {-_RIM_MM:g} {_n(paper.width_mm)} {_n(paper.grid_mm + 2 * _RIM_MM)}" overflow="hidden">',
        *_grid(paper),
        *_traces(shown, rows, rhythm, paper, start_s),
        "</svg>",
        _text(1.5, paper.height_mm - 1.8, _foot(signal, shown, words, paper), size=3.0),
        *([_text(150, paper.height_mm - 1.8, words["device"].format(" · ".join(device)), size=2.6)] if device else []),
    ]
    drawn = "".join(body)
    if is_print:
        drawn = drawn.replace('"#fffaf8"', '"#ffffff"').replace('"#13191c"', '"#000000"')
        drawn = drawn.replace('font-family="sans-serif"', 'font-family="Noto Sans SC, Noto Sans CJK SC"')
    label = f"{words['name']}, {speed_mm_s:g} mm/s, {gain_mm_mv:g} mm/mV"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="ecg-sheet" role="img" aria-label="{escape(label)}" '
        f'width="{_n(paper.width_mm)}mm" height="{_n(paper.height_mm)}mm" '
        f'viewBox="0 0 {_n(paper.width_mm)} {_n(paper.height_mm)}">{"" if is_print else f"<style>{_STYLE}</style>"}'
        + drawn
        + "</svg>"
    )


def _check(layout: str, speed_mm_s: float, gain_mm_mv: float, start_s: float) -> None:
    if layout not in LAYOUTS or speed_mm_s not in SPEEDS_MM_S or gain_mm_mv not in GAINS_MM_MV or not start_s >= 0:
        raise Invalid(
            zh="没有这种心电图版式、走纸速度或增益。",
            en="There is no such ECG layout, speed or gain.",
            facts={"layouts": list(LAYOUTS), "speeds_mm_s": SPEEDS_MM_S, "gains_mm_mv": GAINS_MM_MV},
        )


def _arranged(signal: EcgSignal, layout: Layout) -> tuple[tuple[tuple[str, ...], ...], tuple[str, ...]]:
    """The rows and rhythm strips that this recording can fill."""
    if not signal.has(*STANDARD_LEADS):
        return tuple((lead,) for lead in signal.leads[:_MOST_ROWS]), ()
    others = tuple(lead for lead in signal.leads if lead not in STANDARD_LEADS)
    return layout.rows, (*layout.rhythm, *others[: _MOST_ROWS - len(layout.rows) - len(layout.rhythm)])


def _pitch_mm(rows: int) -> float:
    """How far apart the rows' baselines are: as far as an A4 page in landscape permits."""
    if rows <= 2:
        return 40.0
    return 25.0 if rows <= 6 else 20.0 if rows <= 8 else 15.0


# ---- what is drawn ----


def _grid(paper: _Paper) -> list[str]:
    """Lines each millimetre, bold each fifth, drawn one by one: a pattern's tiles drift in print."""
    across, down = round(paper.width_mm), round(paper.grid_mm)

    def lines(step: int, *, skip: int = 0) -> str:
        upright = "".join(f"M{x} 0V{down}" for x in range(0, across + 1, step) if not skip or x % skip)
        return upright + "".join(f"M0 {y}H{across}" for y in range(0, down + 1, step) if not skip or y % skip)

    return [
        f'<path class="es-minor" fill="none" stroke="#f7dfda" stroke-width="0.1" d="{lines(1, skip=5)}"/>',
        f'<path class="es-major" fill="none" stroke="#e8aea6" stroke-width="0.15" d="{lines(5)}"/>',
    ]


def _traces(
    signal: EcgSignal, rows: Sequence[Sequence[str]], rhythm: Sequence[str], paper: _Paper, start_s: float
) -> list[str]:
    out: list[str] = []
    drawn: list[_Line] = []
    named: list[tuple[float, int, str]] = []
    for row, leads in enumerate([*rows, *((lead,) for lead in rhythm)]):
        middle = paper.middle_mm(row)
        out.append(_pulse(paper, middle))
        column_s = _column_s(signal, paper, len(leads), start_s)
        for column, lead in enumerate(leads):
            left = PULSE_WIDTH_MM + column * column_s * paper.speed_mm_s
            begin_s = start_s + column * column_s
            line = _line(signal, lead, begin_s, begin_s + column_s, left, middle, paper)
            drawn.append(line)
            path = _path(line)
            out.append(
                f'<path class="es-trace" data-lead="{escape(_printable(lead))}" fill="none" stroke="#13191c" '
                f'stroke-width="0.25" stroke-linejoin="round" stroke-linecap="round" d="{path}"/>'
            )
            if column:
                tick = f"M{_n(left)} {_n(middle - 10.5)}v2.5M{_n(left)} {_n(middle + 6.5)}v2.5"
                out.append(f'<path class="es-tick" fill="none" stroke="#13191c" stroke-width="0.2" d="{tick}"/>')
            named.append((left + 1.2, row, lead))
    labels = [_text(*_label_mm(x, row, lead, drawn, paper), lead, size=_LABEL_MM, weight=600) for x, row, lead in named]
    return labels + out  # a label's rim of paper must not hide a trace


def _label_mm(x_mm: float, row: int, lead: str, drawn: Sequence[_Line], paper: _Paper) -> tuple[float, float]:
    """Where a lead's name stands: in its row's band, as near its usual place as no trace of any row runs through it;
    else where most room is."""
    wide_mm = 0.75 * _LABEL_MM * len(lead)
    top_mm = paper.pitch_mm * row
    usual = min(4.2, paper.pitch_mm - 0.4)
    places = np.arange(3.0, paper.pitch_mm - 0.2, 0.4)
    places = np.concatenate([[usual], places[np.argsort(np.abs(places - usual), kind="stable")]])
    best, room = (x_mm, top_mm + usual), -np.inf
    for right_mm in np.arange(0.0, _LABEL_MOVES_MM, 0.8).tolist():
        at = x_mm + right_mm
        spans = [_spans(line, at - 0.4, at + wide_mm) for line in drawn]
        low, high = (np.concatenate([s[n] for s in spans]) for n in (0, 1))
        foot = top_mm + places[:, None]
        gaps = np.maximum(low - foot, foot - 0.75 * _LABEL_MM - high)
        rooms = np.minimum(gaps.min(axis=1, initial=_CLEAR_MM), _CLEAR_MM)
        n = int(rooms.argmax())
        if rooms[n] > room:
            best, room = (at, top_mm + float(places[n])), float(rooms[n])
        if room >= _CLEAR_MM:
            break
    return best


def _spans(line: _Line, left_mm: float, right_mm: float) -> _Line:
    """(highest, lowest) of each piece of a line between these; y counts down."""
    x, y = line
    if x.size < 2:
        return y[:0], y[:0]
    inside = (x[1:] >= left_mm) & (x[:-1] <= right_mm) & np.isfinite(y[1:]) & np.isfinite(y[:-1])
    return np.minimum(y[:-1], y[1:])[inside], np.maximum(y[:-1], y[1:])[inside]


def _column_s(signal: EcgSignal, paper: _Paper, columns: int, start_s: float) -> float:
    """How long each column is: what its width takes, or its share of a recording that is shorter."""
    left_s = max(0.0, signal.seconds - start_s)
    return min(TRACE_WIDTH_MM / columns / paper.speed_mm_s, left_s / columns)


def _pulse(paper: _Paper, middle_mm: float) -> str:
    """1 mV for 200 ms, before the row."""
    high, wide = PULSE_MV * paper.gain_mm_mv, PULSE_S * paper.speed_mm_s
    rest = max(0.0, min(2.0, PULSE_WIDTH_MM - 0.5 - wide) / 2)
    return (
        '<path class="es-pulse" fill="none" stroke="#13191c" stroke-width="0.25" stroke-linejoin="round" '
        f'd="M0 {_n(middle_mm)}h{_n(rest)}v-{_n(high)}h{_n(wide)}v{_n(high)}h{_n(rest)}"/>'
    )


def _line(
    signal: EcgSignal, lead: str, begin_s: float, end_s: float, left_mm: float, middle_mm: float, paper: _Paper
) -> _Line:
    """The lead between two times, from ``left_mm`` on: x and y, mm; NaN where the recording has a gap."""
    sign = -1.0 if lead.startswith("-") else 1.0
    values = sign * signal.lead(lead.removeprefix("-"))
    level = float(np.nanmedian(values)) if np.isfinite(values).any() else 0.0
    first, last = int(np.ceil(begin_s * signal.fs_hz - 1e-9)), int(np.floor(end_s * signal.fs_hz + 1e-9))
    index = _thinned(values, np.arange(first, min(last + 1, values.size)), signal.fs_hz)
    x_mm = left_mm + (index / signal.fs_hz - begin_s) * paper.speed_mm_s
    return x_mm, middle_mm - (values[index] - level) * paper.gain_mm_mv


def _path(line: _Line) -> str:
    """A gap in the recording is a gap in the line."""
    out: list[str] = []
    pen_is_down = False
    for x, y in zip(line[0].tolist(), line[1].tolist(), strict=True):
        if isnan(y):
            pen_is_down = False
            continue
        out.append(f"{'L' if pen_is_down else 'M'}{x:.6g} {y:.5g}")
        pen_is_down = True
    return "".join(out)


def _thinned(values: npt.NDArray[np.float64], index: npt.NDArray[np.int64], fs_hz: float) -> npt.NDArray[np.int64]:
    """The samples worth drawing: all up to 1000 Hz, above that the lowest and highest of each short run."""
    run = int(2 * fs_hz / _MOST_POINTS_HZ)
    if run <= 2 or index.size < run:
        return index
    runs = index[: index.size // run * run].reshape(-1, run)
    shown = np.nan_to_num(values[runs])
    ends = np.stack([shown.argmin(axis=1), shown.argmax(axis=1)], axis=1)
    return np.unique(np.take_along_axis(runs, ends, axis=1))


def _head(lines: Sequence[str], words: dict[str, str], paper: _Paper, is_screen_calibrated: bool) -> list[str]:
    out = [_text(1.5, _LINE_MM * (n + 1) - 0.7, line, size=3.4) for n, line in enumerate(lines)]
    if not is_screen_calibrated:
        out.append(
            f'<text class="es-screen" x="{_n(paper.width_mm - 1.5)}" y="{_n(_LINE_MM - 0.7)}" font-size="3.2" '
            f'font-family="sans-serif" text-anchor="end" fill="#975200">{escape(words["uncalibrated"])}</text>'
        )
    return out


def _read_lines(read: SheetWords | None) -> list[str]:
    """The right column: that it's a machine's, its tier, then why it did not read or what it says."""
    if read is None:
        return []
    said = [read.not_read] if read.not_read else [s.words for s in read.said]
    first = f"{read.title}  {read.alarm}".strip()
    return [first, *said[:5], *([read.more.format(len(said) - 5)] if len(said) > 5 else [])][:7]


def _read_head(read: SheetWords | None) -> list[str]:
    """Two columns beside the patient's: the numbers, and the machine's words in a dashed frame (not a person's)."""
    if read is None:
        return []
    lines = _read_lines(read)
    high = _LINE_MM * max(len(lines), 1) - 0.2
    frame = (
        f'<rect class="es-machine" x="150" y="0.6" width="108.5" height="{_n(high)}" rx="1" fill="none" '
        'stroke="#13191c" stroke-width="0.2" stroke-dasharray="1.2 0.8"/>'
    )
    numbers = [_text(86, _LINE_MM * (n + 1) - 0.7, "  ".join(row), size=3.2) for n, row in enumerate(read.measured)]
    words = [_text(152, _LINE_MM * (n + 1) - 0.7, line[:60], size=3.2) for n, line in enumerate(lines)]
    return [frame, *numbers, *words]


def _foot(signal: EcgSignal, shown: EcgSignal, words: dict[str, str], paper: _Paper) -> str:
    """The scale, the filters, the sampling, and which leads were computed."""
    parts = [
        f"{paper.speed_mm_s:g} mm/s",
        f"{paper.gain_mm_mv:g} mm/mV",
        *_filter_words(signal.filters, words),
        f"{signal.fs_hz:g} Hz",
        f"1 mm = {1000 / paper.speed_mm_s:g} ms = {1 / paper.gain_mm_mv:g} mV",
    ]
    computed = [lead for lead in shown.leads if lead not in signal.leads]
    parts += [words["computed"].format(words["list"].join(computed))] if computed else []
    return "   ".join(parts)


def _filter_words(filters: Filters, words: dict[str, str]) -> list[str]:
    if filters == Filters():
        return [words["no_filters"]]
    low = f"{filters.high_pass_hz:g}" if filters.high_pass_hz is not None else "?"
    high = f"{filters.low_pass_hz:g}" if filters.low_pass_hz is not None else "?"
    notch = words["notch_off"] if filters.notch_hz is None else words["notch"].format(f"{filters.notch_hz:g}")
    return [f"{low}–{high} Hz", notch]


def _text(x: float, y: float, text: str, *, size: float, weight: int = 400) -> str:
    """A text with a rim of paper, so that it's read over the grid."""
    return (
        f'<text x="{_n(x)}" y="{_n(y)}" font-size="{size:g}" font-weight="{weight}" font-family="sans-serif" '
        'fill="#13191c" stroke="#fffaf8" stroke-width="0.6" paint-order="stroke" stroke-linejoin="round" '
        f'xml:space="preserve">{escape(_printable(text))}</text>'
    )


def _printable(text: str) -> str:
    """The text without the control characters that XML forbids, at most 200 characters."""
    return "".join(c for c in text if c >= " " and c not in "\x7f\ufffe\uffff" and not "\ud800" <= c <= "\udfff")[:200]


def _n(value: float) -> str:
    return f"{value:.6g}"
