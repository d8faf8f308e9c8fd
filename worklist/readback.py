"""Whether a read-back says what the finding says: side, negation and enough of the words.  Values only."""

from __future__ import annotations

import re
from difflib import SequenceMatcher

from worklist.gate import sides_of

#: Share of the finding's characters that must come back, in order.
ENOUGH = 0.6
_DENIES = re.compile(r"未见|没有|无|不是|排除|\bno\b|\bnot\b|without", re.IGNORECASE)


def matches(finding: str, read_back: str) -> bool:
    """Says the same side, does not turn it round, and holds most of the words."""
    said, heard = _bare(finding), _bare(read_back)
    if not said or not heard:
        return False
    if sides_of(finding) != sides_of(read_back) and sides_of(finding):
        return False
    if bool(_DENIES.search(finding)) != bool(_DENIES.search(read_back)):
        return False
    if said in heard:
        return True
    same = sum(block.size for block in SequenceMatcher(None, said, heard, autojunk=False).get_matching_blocks())
    return same / len(said) >= ENOUGH


def _bare(text: str) -> str:
    return re.sub(r"[\W_]+", "", text).casefold()
