"""Whose definition or rule was followed, in the reader's language: the works' titles as the rule files cite them."""

from __future__ import annotations

from functools import lru_cache
from typing import Final, Literal

#: What the citations are made of, Chinese as in the rule files; the longest first where one holds another.
_ENGLISH: Final[tuple[tuple[str, str], ...]] = (
    ("心电图危急值2017中国专家共识", "2017 Chinese expert consensus on critical ECG values"),
    ("浙江省心电图危急值专家共识", "Zhejiang expert consensus on critical ECG values"),
    ("山西省心电图危急值专家共识", "Shanxi expert consensus on critical ECG values"),
    ("2023 远程心电图危险分级共识", "2023 consensus on risk tiers of remote ECGs"),
    ("（2017 共识：注意与以往心电图及临床病史比较）", " (2017 consensus: compare with earlier ECGs and the history)"),
    ("（伴血流动力学障碍时为危急值，症状未知）", " (critical where the circulation suffers; symptoms unknown)"),
    ("（重大阳性；条目为本中心）", " (major positive; the item is this center's)"),
    ("（须结合实验室检查）", " (to be seen with laboratory results)"),
    ("（须结合临床）", " (to be seen with the clinical picture)"),
    ("（分级原则）", " (principles of grading)"),
    ("（第一版）", " (first edition)"),
    ("（修订版）", " (revised edition)"),
)
#: A textbook that is cited by both its names.
_TEXTBOOK: Final = ("诊断学", "Chinese textbook of diagnostics")


@lru_cache(maxsize=1024)
def cited(source: str, lang: Literal["zh", "en"]) -> str:
    """The citation in that language; what isn't known stays as it was written."""
    zh, en = _TEXTBOOK
    source = source.replace(f"{zh} ({en})", zh if lang == "zh" else en)
    if lang == "en":
        for written, english in _ENGLISH:
            source = source.replace(written, english)
    return source
