"""Names of ECG leads among other signals, and what is said of a recording that has none."""

from __future__ import annotations

import re
from typing import Final

from center.reads import Reason
from ecg.signal import canonical_lead, is_known_lead

_HEART: Final = re.compile(r"(?:ECG|EKG)\b|(?:ECG|EKG)\d", re.IGNORECASE)


def lead_name(label: str) -> str:
    """A signal's label as the name of a lead: ``EKG II`` and ``ECG Lead II`` are II, ``EKG`` is ECG, others stay."""
    bare = re.sub(r"^(?:EKG|ECG)(?=[\s_-]|$)", "ECG", " ".join(label.split()), flags=re.IGNORECASE)
    name = canonical_lead(re.sub(r"^(?:ECG)[\s_-]+", "", bare))
    return name if is_known_lead(name) else bare


def is_heart(name: str) -> bool:
    """Whether the name is that of an ECG lead."""
    return is_known_lead(name) or _HEART.match(name) is not None


def not_an_ecg(kind: str) -> Reason:
    """What goes with a recording that is kept and shown, but not interpreted.  kind: what it is, such as EEG."""
    return Reason(
        "not_an_ecg",
        zh=f"{kind} 不是心电图：保留并显示，不作解读。",
        en=f"{kind} is not an ECG: kept and shown, not interpreted.",
    )
