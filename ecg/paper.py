"""The sheet as PDF/A-2b: A4 in landscape, vector, a millimetre of the drawing a millimetre of the page, evidence after it.

A printer's "fit to page" would shrink it: the document asks for no scaling (ISO 32000-1 12.2, PrintScaling), and the
page's foot says so to whoever prints.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Final

import typst

from center.errors import Invalid
from center.fonts import font_folders, known_characters
from center.glyphs import printable
from center.reads import DeviceLine, PreliminaryRead
from ecg.sheet import sheet_svg
from ecg.sheet_words import Language, SheetWords, device_words, words_of
from ecg.signal import EcgSignal

TEMPLATE: Final = Path(__file__).with_name("sheet.typ")
STANDARD: Final = "a-2b"
_PAGE_MM: Final = 210.0 - 4.0 - 8.5
_HEAD_MM: Final = 30.0
_WORDS: Final = {
    "zh": {
        "title": "心电图",
        "machine": "机器初读 · 未经医师确认",
        "machine_short": "机器测量，未经确认",
        "actual_size": "请按实际大小（100%）打印，不要选“适合页面”。每小格 1 mm。",
        "made": "打印 {}",
        "evidence_title": "机器初读依据",
        "rules": "危急分级所依规则",
        "statements": "语句及依据",
        "file": "关于这份文件",
        "measurements": "测量值",
        "by_lead": "各导联测量值",
        "device": "设备自带的测量与语句（不是本中心的判读）",
        "more": "其余见后页",
        "missing_glyph": "有字符无法印出，以〓及编码代替。",
        "columns": ["语句", "可信度", "所见", "导联", "值", "界限", "时间", "出处"],
    },
    "en": {
        "title": "ECG",
        "machine": "Machine read, not confirmed by a physician",
        "machine_short": "machine's, not confirmed",
        "actual_size": "Print at actual size (100 %), not fitted to the page. A small square is 1 mm.",
        "made": "printed {}",
        "evidence_title": "Evidence of the machine read",
        "rules": "Rules behind the critical tier",
        "statements": "Statements and evidence",
        "file": "About this file",
        "measurements": "Measurements",
        "by_lead": "Measurements by lead",
        "device": "The device's own measurements and statements (not this center's reading)",
        "more": "more on the next page",
        "missing_glyph": "Characters that cannot be printed stand as 〓 with their code.",
        "columns": ["Statement", "Certainty", "Seen", "Lead", "Value", "Limit", "Time", "Source"],
    },
}  # fmt: skip


def sheet_pdf(
    signal: EcgSignal,
    *,
    printed_at: datetime,
    read: PreliminaryRead | None = None,
    patient_lines: Sequence[str] = (),
    layout: str = "3x4+1R",
    speed_mm_s: float = 25.0,
    gain_mm_mv: float = 10.0,
    lang: Language = "zh",
    start_s: float = 0.0,
) -> bytes:
    """The PDF, the same bytes for the same arguments.  printed_at: aware, in the clinic's zone; read: None leaves the
    machine's words out.  Raises Invalid as ``sheet_svg``."""
    svg = sheet_svg(
        signal,
        layout=layout,
        speed_mm_s=speed_mm_s,
        gain_mm_mv=gain_mm_mv,
        lang=lang,
        start_s=start_s,
        is_screen_calibrated=True,
        is_print=True,
    )
    height_mm = float(re.findall(r' height="([\d.]+)mm"', svg)[0])
    values = _values(signal, read, patient_lines, lang, printed_at, height_mm)
    return _unscaled(_compiled(svg, values, printed_at))


def _values(
    signal: EcgSignal,
    read: PreliminaryRead | None,
    patient_lines: Sequence[str],
    lang: Language,
    printed_at: datetime,
    height_mm: float,
) -> dict[str, Any]:
    words: dict[str, Any] = dict(_WORDS[lang])
    words["made"] = str(words["made"]).format(printed_at.strftime("%Y-%m-%d %H:%M"))
    said = words_of(read, lang) if read is not None else None
    device = [DeviceLine(note.text, note.value, note.unit) for note in signal.annotations]
    values: dict[str, Any] = {
        "lang": lang,
        "words": words,
        "who": [line for line in patient_lines if line][:6] or ["—"],
        "height_mm": height_mm,
        "compact": height_mm > _PAGE_MM - _HEAD_MM,
        "has_read": said is not None,
        "device": device_words(device, lang),
    }
    return values | asdict(said or _NOTHING)


_NOTHING: Final = SheetWords(
    title="", model="", tier="", alarm="", profile="", not_read="", measured=(), others=(), leads=(), by_lead=(),
    rules=(), said=(), more="",
)  # fmt: skip


# ---- the compiler ----

_compiling = threading.Lock()


@cache
def _compiler() -> typst.Compiler:
    fonts = typst.Fonts(include_system_fonts=False, font_paths=list(font_folders()))
    return typst.Compiler(str(TEMPLATE), root=str(TEMPLATE.parent), font_paths=fonts, ignore_system_fonts=True)


def _compiled(svg: str, values: dict[str, Any], printed_at: datetime) -> bytes:
    settable, replaced = _settable(values)
    inputs = {"svg": svg, "sheet": json.dumps(settable | {"replaced": replaced}, ensure_ascii=False)}
    at = int(printed_at.astimezone(UTC).replace(microsecond=0).timestamp())
    try:
        with _compiling:  # one compiler, one at a time: a sheet takes a tenth of a second
            pdf = _compiler().compile(format="pdf", sys_inputs=inputs, pdf_standards=STANDARD, timestamp=at)
    except typst.TypstError as error:
        raise Invalid(
            "心电图无法排版。请联系值班工程师。",
            "The sheet cannot be set. Ask the engineer on duty.",
            {"cause": error.message.split("`")[0].strip()},  # what follows quotes the text itself
        ) from None
    assert isinstance(pdf, bytes)
    return pdf


def _settable(values: dict[str, Any]) -> tuple[dict[str, Any], bool]:
    """The same values with every text in characters that have a glyph."""
    known, replaced = known_characters(), False

    def walk(value: Any) -> Any:
        nonlocal replaced
        if isinstance(value, str):
            text, missing = printable(value, known)
            replaced = replaced or missing
            return text
        if isinstance(value, dict):
            return {key: walk(item) for key, item in value.items()}  # pyright: ignore[reportUnknownVariableType]
        if isinstance(value, list | tuple):
            return [walk(item) for item in value]  # pyright: ignore[reportUnknownVariableType]
        return value

    return {key: walk(value) for key, value in values.items()}, replaced


def _unscaled(pdf: bytes) -> bytes:
    """The same document asking to be printed at its size: its catalog written anew behind it (ISO 32000-1 7.5.6)."""
    root = re.search(rb"trailer\s*<<.*?/Root (\d+) 0 R.*?>>", pdf, re.DOTALL)
    catalog = root and re.search(rb"\n%b 0 obj\s*(<<.*?>>)\s*endobj" % root[1], pdf, re.DOTALL)
    start = re.search(rb"startxref\s+(\d+)\s+%%EOF\s*$", pdf)
    if root is None or not catalog or start is None or b"/ViewerPreferences<<" not in catalog[1]:
        raise RuntimeError("the compiler writes its catalog in another form")
    asking = catalog[1].replace(b"/ViewerPreferences<<", b"/ViewerPreferences<</PrintScaling/None", 1)
    body = pdf if pdf.endswith(b"\n") else pdf + b"\n"
    at = len(body)
    trailer = re.sub(rb">>\s*$", b"/Prev %b>>" % start[1], root[0])
    added = b"%b 0 obj\n%b\nendobj\n" % (root[1], asking)
    table = b"xref\n%b 1\n%010d 00000 n \n" % (root[1], at)
    return body + added + table + trailer + b"\nstartxref\n%d\n%%%%EOF\n" % (at + len(added))
