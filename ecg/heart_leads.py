"""Which rows of a recording show the heart: a sleep study or a monitor's file holds breath, brain and pressure beside."""

from __future__ import annotations

import re
from typing import Final

from ecg.signal import EcgSignal, canonical_lead, is_known_lead

MOST_LEADS: Final = 18
"""Standard, right and posterior leads together; a body-surface map is read by its first eighteen."""
_NOT_HEART: Final = re.compile(
    r"""eeg|eog|emg|chin|e[lr]oc|fp[1z2]|^[fcpot]p?[z0-9]{1,2}(-|$)|^a[12]$|^m[12]$|resp|thor|abdo|airflow|flow|nasal|breath
    |snor|spo2|sao2|pleth|ppg|pulse|puls\b|abp|^art|cvp|^pap|^icp|nibp|pressure|\bbp\b|temp|rectal|^gsr|eda|accel|^acc
    |gyro|marker|event|annot|trigger|status|scg|pcg|sound|co2|volume|battery|light|position|posture|^hr$|rate$""",
    re.IGNORECASE | re.VERBOSE,
)


def heart_leads(signal: EcgSignal) -> tuple[str, ...]:
    """The names of the rows that the engine may read, as stored; empty where nothing says that there's an ECG.

    Named leads first of all; where none has a lead's name, all whose names don't say that they're something else
    (``ch0``, ``record1``), unless the format itself says that this is no ECG.
    """
    known = tuple(name for name in signal.leads if is_known_lead(name) or is_known_lead(canonical_lead(name)))
    if known:
        others = tuple(n for n in signal.leads if n not in known and re.search(r"e[ck]g", n, re.IGNORECASE))
        return (known + others)[:MOST_LEADS]
    if any(issue.code == "not_an_ecg" for issue in signal.issues):
        return ()
    named = tuple(n for n in signal.leads if re.search(r"e[ck]g|heart|cardi|心", n, re.IGNORECASE))
    return (named or tuple(n for n in signal.leads if not _NOT_HEART.search(n)))[:MOST_LEADS]
