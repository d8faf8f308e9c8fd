"""Which signals are leads of a heart, and what is said of a recording that has none."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from center.reads import Reason
from ecg.signal import canonical_lead, is_known_lead

_HEART: Final = re.compile(r"(?:ECG|EKG)\b|(?:ECG|EKG)\d", re.IGNORECASE)
_OTHER: Final = re.compile(
    r"(?:EEG|EOG|EMG|ECoG|SEEG|ERG|MEG|MCG|EP|RESP|RESPIRATION|SpO2|SaO2|PPG|PLETH|TEMP|GSR|CHIN[1-3]?|LEG|LOC|ROC|E[12]|"
    r"(?:Fp[12z]|AF[3478z]|F[1-9z]|FT[789]|FT10|FC[1-6z]|C[1-6z]|T[3-8]|T9|T10|TP[789]|TP10|CP[1-6z]|P[1-9z]|PO[3478z]|"
    r"O[12z]|M[12]|A[12])(?:[-/ ].*)?$)\b",
    re.IGNORECASE,
)
"""Names that EDF+ and the 10-20 system (ACNS 2016) give to signals of brain, eye, muscle, breath and skin."""


def lead_name(label: str) -> str:
    """A signal's label as the name of a lead: ``EKG II`` and ``ECG Lead II`` are II, ``EKG`` is ECG, others stay."""
    bare = re.sub(r"^(?:EKG|ECG)(?=[\s_-]|$)", "ECG", " ".join(label.split()), flags=re.IGNORECASE)
    name = canonical_lead(re.sub(r"^(?:ECG)[\s_-]+", "", bare))
    return name if is_known_lead(name) else bare


def is_other(name: str) -> bool:
    """Whether the name is that of a signal which is not a heart's."""
    return not is_heart(name) and _OTHER.match(name) is not None


def is_heart(name: str) -> bool:
    """Whether the name is that of an ECG lead."""
    return is_known_lead(name) or _HEART.match(name) is not None


def heart_leads(names: Sequence[str]) -> tuple[str, ...]:
    """Those that an ECG is read from: ECG leads by name; without any, those that nothing says are something else."""
    known = tuple(name for name in names if is_heart(name))
    return known or tuple(name for name in names if not is_other(name))


def not_an_ecg(kind: str) -> Reason:
    """What goes with a recording that is kept and shown, but not interpreted.  kind: what it is, such as EEG."""
    return Reason(
        "not_an_ecg",
        zh=f"{kind} 不是心电图：保留并显示，不作解读。",
        en=f"{kind} is not an ECG: kept and shown, not interpreted.",
    )
