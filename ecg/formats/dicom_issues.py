"""What was known of a file goes with the DICOM object that it is wrapped in: a private sequence, as PS3.5 7.8 has it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pydicom.dataset import Dataset

from center.reads import Reason

_GROUP: Final = 0x0099
_CREATOR: Final = "HELAN ECG 1"
_ISSUES, _CODE, _ZH, _EN = 0x01, 0x02, 0x03, 0x04
_MOST: Final = 50
_MOST_CHARACTERS: Final = 600
_FOUND_AGAIN: Final = ("not_an_ecg", "limb_leads_disagree")
"""What the wrapped samples and the object's own class say again when it is read."""


def put_issues(dataset: Dataset, issues: Sequence[Reason]) -> None:
    """Kept in the object, but for those that it shows itself."""
    kept = [issue for issue in issues if issue.code not in _FOUND_AGAIN][:_MOST]
    if not kept:
        return
    items: list[Dataset] = []
    for issue in kept:
        item = Dataset()
        block = item.private_block(_GROUP, _CREATOR, create=True)
        block.add_new(_CODE, "LO", issue.code[:64])
        block.add_new(_ZH, "UT", issue.zh[:_MOST_CHARACTERS])
        block.add_new(_EN, "UT", issue.en[:_MOST_CHARACTERS])
        items.append(item)
    dataset.private_block(_GROUP, _CREATOR, create=True).add_new(_ISSUES, "SQ", items)


def issues_in(dataset: Dataset) -> tuple[Reason, ...]:
    """What ``put_issues`` kept; nothing where there is none of ours."""
    try:
        items: Sequence[Dataset] = dataset.private_block(_GROUP, _CREATOR)[_ISSUES].value or ()
        return tuple(_issue(item) for item in items[:_MOST])
    except (KeyError, TypeError, AttributeError, ValueError):
        return ()


def _issue(item: Dataset) -> Reason:
    block = item.private_block(_GROUP, _CREATOR)
    code, zh, en = (_line(str(block[n].value or "")) for n in (_CODE, _ZH, _EN))
    return Reason(code[:64], zh, en)


def _line(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text)[:_MOST_CHARACTERS].strip()
