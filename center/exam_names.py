"""What was examined, in English: the words that departments write as an exam's name, part by part.

An exam's name comes as free text or as a DICOM code (PS3.16 CID 4031, Body Part Examined). Only a name of which every
part is known is told in English: half a translation of "左膝" could send the other knee to the reader.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

#: Side, part, view and technique, in the order in which English says them.
_SIDES: Final = {"左侧": "left", "右侧": "right", "双侧": "bilateral", "左": "left", "右": "right", "双": "bilateral"}
_PARTS: Final = {
    "胸部": "chest", "胸": "chest", "头颅": "head", "头部": "head", "颅脑": "brain", "腹部": "abdomen", "腹": "abdomen",
    "上腹部": "upper abdomen", "下腹部": "lower abdomen", "全腹": "whole abdomen", "全腹部": "whole abdomen",
    "盆腔": "pelvic cavity", "骨盆": "pelvis", "颈椎": "cervical spine", "胸椎": "thoracic spine", "腰椎": "lumbar spine",
    "骶尾椎": "sacrum and coccyx", "颈部": "neck", "鼻窦": "paranasal sinuses", "鼻骨": "nasal bones", "肋骨": "ribs",
    "锁骨": "clavicle", "肩胛骨": "scapula", "肩关节": "shoulder", "肘关节": "elbow", "腕关节": "wrist", "髋关节": "hip",
    "膝关节": "knee", "踝关节": "ankle", "肩": "shoulder", "肘": "elbow", "腕": "wrist", "髋": "hip", "膝": "knee",
    "踝": "ankle", "手": "hand", "足": "foot", "股骨": "femur", "肱骨": "humerus", "尺桡骨": "radius and ulna",
    "胫腓骨": "tibia and fibula", "跟骨": "calcaneus", "乳腺": "breast", "甲状腺": "thyroid", "心脏": "heart",
    "肝": "liver", "胆": "gallbladder", "脾": "spleen", "胰": "pancreas", "肾": "kidney", "心电图": "ECG",
}  # fmt: skip
_VIEWS: Final = {
    "正侧位": "frontal and lateral", "后前位": "PA", "前后位": "AP", "正位": "frontal", "侧位": "lateral", "斜位": "oblique",
    "轴位": "axial", "立位": "erect", "卧位": "supine", "平片": "plain film", "正侧": "frontal and lateral",
    "平扫加增强": "plain and with contrast", "平扫+增强": "plain and with contrast", "平扫": "plain", "增强": "with contrast",
    "血管成像": "angiography", "超声": "ultrasound", "透视": "fluoroscopy", "检查": "examination", "片": "film",
}  # fmt: skip
_BEFORE: Final = {"十二导联": "12-lead", "12导联": "12-lead", "常规": "routine", "动态": "ambulatory", "床旁": "bedside",
                  "床边": "bedside", "数字化": "digital", "高分辨率": "high-resolution"}  # fmt: skip
#: In English pages alone these stand as they are.
_KEPT: Final = re.compile(r"[A-Za-z0-9/+.\-]+")
_BETWEEN: Final = re.compile(r"[\s,，、·()（）_]+")
_KINDS: Final = (("before", _BEFORE), ("side", _SIDES), ("part", _PARTS), ("view", _VIEWS))
_LONGEST: Final = max(len(w) for _, words in _KINDS for w in words)
_HAN: Final = re.compile(r"[\u3400-\u9fff]")


@lru_cache(maxsize=4096)
def english_exam(words: str) -> str:
    """The exam's name in English, empty where any part of it isn't known or none is Chinese."""
    if not _HAN.search(words) or len(words) > 200:
        return ""
    told: list[tuple[str, str]] = []
    rest = words
    while rest:
        if between := _BETWEEN.match(rest):
            rest = rest[between.end() :]
            continue
        found = _longest(rest)
        if found is None:
            return ""
        kind, english, length = found
        told.append((kind, english))
        rest = rest[length:]
    return _said(told)


def _longest(text: str) -> tuple[str, str, int] | None:
    for length in range(min(_LONGEST, len(text)), 0, -1):
        for kind, words in _KINDS:
            if text[:length] in words:
                return kind, words[text[:length]], length
    kept = _KEPT.match(text)
    return ("kept", kept.group(), kept.end()) if kept else None


def _said(told: list[tuple[str, str]]) -> str:
    """As written; a second side or part is listed after a comma so that it's plain what belongs to what."""
    out = ""
    before = ""
    for kind, english in told:
        if kind == "part" and english in out.split():
            continue  # "ECG 十二导联心电图": the modality says it already
        comma = (before in ("part", "view") and kind in ("part", "view")) or (
            kind == "side" and before not in ("", "kept")
        )
        out += (", " if comma else " " if out else "") + english
        before = kind
    return out
