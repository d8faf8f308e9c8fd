"""The report as PDF/A-3b: a held typst compiler, fonts from pinned packages only, text passed as data.

PDF/A-3 rather than -2, because the canonical content lies in the file as an attachment: who has the PDF alone can
check the text against its digest. The same sheet is the same bytes on every machine.
"""

from __future__ import annotations

import json
import threading
from datetime import UTC
from io import BytesIO
from pathlib import Path
from typing import Final

import segno
import typst

from center.errors import Invalid
from center.fonts import font_folders, known_characters
from center.glyphs import printable
from worklist.printed import Lang, printed
from worklist.sheet import ReportSheet, canonical_json

TEMPLATE: Final = Path(__file__).with_name("report.typ")
STANDARD: Final = "a-3b"
CONTENT_KEYWORD: Final = "content-sha256:"  # read by center.signing
LONGEST_BYTES: Final = 400_000  # of a sheet's JSON: some hundred pages


class TypstRenderer:
    """Renders report sheets; one compiler, one at a time (a page takes milliseconds)."""

    def __init__(self) -> None:
        self._compiling = threading.Lock()
        self._compiler: typst.Compiler | None = None
        self._known: frozenset[int] = frozenset()

    def render(self, sheet: ReportSheet, lang: str) -> bytes:
        """The PDF, the same bytes for the same sheet; lang: en, else zh.  Raises Invalid where it can't be set."""
        content = canonical_json(sheet)
        if len(content) > LONGEST_BYTES:
            raise Invalid(
                "报告文字太长，无法排版。请缩短。",
                "The report is too long to be printed. Shorten it.",
                {"bytes": len(content)},
            )
        with self._compiling:
            compiler = self._open()
            language: Lang = "en" if lang == "en" else "zh"
            values, replaced = self._settable(printed(sheet, language, qr_svg(sheet.qr_url)))
            values |= {
                "replaced": replaced,
                "keywords": [CONTENT_KEYWORD + sheet.content_sha256, f"report:{sheet.report_no}", f"lang:{language}"],
                "content_description": f"Canonical report content, sha256 {sheet.content_sha256}",
            }
            inputs = {"report": json.dumps(values, ensure_ascii=False), "content": content.decode()}
            at = sheet.signed_at.astimezone(UTC).replace(microsecond=0)
            try:
                pdf = compiler.compile(
                    format="pdf", sys_inputs=inputs, pdf_standards=STANDARD, timestamp=int(at.timestamp())
                )
            except typst.TypstError as error:
                raise Invalid(
                    "报告无法排版。请检查文字中的特殊符号，或联系值班工程师。",
                    "The report cannot be set. Check it for unusual symbols, or ask the engineer on duty.",
                    {"cause": error.message.split("`")[0].strip()},  # what follows quotes the text itself
                ) from None
        assert isinstance(pdf, bytes)
        return pdf

    def _open(self) -> typst.Compiler:
        if self._compiler is None:
            fonts = typst.Fonts(include_system_fonts=False, font_paths=list(font_folders()))
            self._compiler = typst.Compiler(
                str(TEMPLATE), root=str(TEMPLATE.parent), font_paths=fonts, ignore_system_fonts=True
            )
            self._known = known_characters()
        return self._compiler

    def _settable(self, values: dict[str, object]) -> tuple[dict[str, object], bool]:
        """The same values with every text in characters that have a glyph."""
        replaced = False

        def walk(value: object, key: str = "") -> object:
            nonlocal replaced
            if isinstance(value, str) and key != "qr":
                text, missing = printable(value, self._known)
                replaced = replaced or missing
                return text
            if isinstance(value, list):
                return [walk(item) for item in value]  # pyright: ignore[reportUnknownVariableType]
            if isinstance(value, dict):
                return {k: walk(v, str(k)) for k, v in value.items()}  # pyright: ignore
            return value

        return {key: walk(value, key) for key, value in values.items()}, replaced


def qr_svg(url: str) -> str:
    """The address as a QR code, level M, without border; empty for none."""
    if not url:
        return ""
    out = BytesIO()
    segno.make_qr(url, error="m").save(out, kind="svg", border=0, xmldecl=False, svgns=True, dark="#16191b")
    return out.getvalue().decode()
