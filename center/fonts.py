"""The fonts that we print with: from pinned packages only, so that the same page is the same bytes on every machine."""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path
from typing import Final

from center.glyphs import coverage

#: (package, file, face in it): what the templates' font lists name, so that both know the same characters.
FONTS: Final = (
    ("pylopdf_fonts_zh_cn", "NotoSansSC-Regular.otf", 0),
    ("pylopdf_fonts_zh_cn", "NotoSerifSC-Regular.otf", 0),
    ("noto_cjk_sans_otc", "NotoSansCJK-Regular.ttc", 2),
)


@cache
def font_path(package: str, name: str) -> Path:
    """Where an installed package keeps a font, found without importing it."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeError(f"the font package {package} is not installed")
    path = Path(spec.submodule_search_locations[0]) / name
    if not path.is_file():
        raise RuntimeError(f"the font {name} is not in {package}")
    return path


@cache
def font_folders() -> tuple[str, ...]:
    """Where a compiler finds all of them."""
    return tuple(sorted({str(font_path(package, name).parent) for package, name, _ in FONTS}))


@cache
def known_characters() -> frozenset[int]:
    """Code points that one of the fonts has a glyph for."""
    covered = (coverage(font_path(package, name).read_bytes(), face) for package, name, face in FONTS)
    return frozenset[int]().union(*covered)
