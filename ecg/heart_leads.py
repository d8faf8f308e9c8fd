"""Which rows of a recording show the heart: a sleep study or a monitor's file holds breath, brain and pressure beside.

A row is a lead by its name, or because the object itself says that it holds an ECG and the row doesn't say otherwise.
Nothing else makes a row a lead: a breath that is read as a heart becomes a rhythm, an alarm and somebody's night.
"""

from __future__ import annotations

import re
from typing import Final

from ecg.signal import EcgSignal, canonical_lead, is_known_lead

MOST_LEADS: Final = 18
"""Standard, right and posterior leads together; a body-surface map is read by its first eighteen."""
_ECG_WORD: Final = re.compile(r"(?<![a-z])e[ck]g(?![a-z])|electrocardiogra|elektrokardiogra|心电", re.IGNORECASE)
"""What calls a row an ECG by itself: ``ECG``, ``EKG 2``, ``ecg_1``."""
_MADE_OF_ECG: Final = re.compile(
    r"""resp|breath|(?<![a-z])edr(?![a-z])|rate|(?<![a-z])hr(?![a-z])|(?<![a-z])rr(?![a-z])|status|quality|impedance
    |lead.?off|contact|event|annot|marker|trigger|derived|fo?etal|胎|intra.?card|esoph|oesoph|心率|呼吸|导联脱落""",
    re.IGNORECASE | re.VERBOSE,
)
"""What is taken from an ECG, or lies inside the body or belongs to a fetus, and is no surface lead."""
_MODIFIED: Final = re.compile(
    r"""mod\.?\s?(?:v[1-6]|i{1,3}|avf)|m(?:l|v)(?:[1-9]|i{1,3}|r|l|f)|mcl\s?[1-6]?|cm[1-9]|c[sbr]5|cc[1-9]
    |v[xyz]|(?:la|ra|ll|rl)-(?:la|ra|ll|rl)|v[1-9]-v[1-9]|[eas]-[si]""",
    re.IGNORECASE | re.VERBOSE,
)
"""Leads of monitors and Holters that have no place among the standard ones: ``MCL1``, ``ML2``, ``CM5``, ``mod.V1``."""
_ALSO_OTHERS: Final = (frozenset("XYZ"), frozenset(("ES", "AS", "AI")))
"""Frank's and EASI's leads are named like an accelerometer's axes and an input: only beside a lead, or by type."""
_NOT_HEART: Final = re.compile(
    r"""eeg|eog|emg|chin|e[lr]oc|fp[1z2]|^[fcpot]p?[z0-9]{1,2}(-|$)|^a[12]$|^m[12]$|resp|thor|abdo|airflow|flow|nasal|breath
    |snor|spo2|sao2|pleth|ppg|pulse|puls\b|abp|^art|cvp|^pap|^icp|nibp|pressure|\bbp\b|temp|rectal|^gsr|eda|accel|^acc
    |gyro|marker|event|annot|trigger|status|scg|pcg|sound|co2|volume|battery|light|position|posture|^hr$|rate$""",
    re.IGNORECASE | re.VERBOSE,
)


def heart_leads(signal: EcgSignal) -> tuple[str, ...]:
    """The names of the rows that the engine may read, as stored; empty where nothing says that there's an ECG.

    Named leads first of all, then rows that call themselves an ECG; where there are neither and the object is an ECG
    by its own type, all whose names don't say that they're something else (``ch0``, ``record1``).
    """
    if any(issue.code == "not_an_ecg" for issue in signal.issues):  # an electrode of the brain may be called V1
        return tuple(name for name in signal.leads if says_ecg(name))[:MOST_LEADS]
    called = tuple(name for name in signal.leads if says_ecg(name))
    known = tuple(name for name in signal.leads if _is_lead(name))
    if not known and not called and not signal.is_ecg_by_type:
        return ()
    known = tuple(n for n in signal.leads if n in known or is_known_lead(canonical_lead(n)))
    if known or called:
        return (known + tuple(name for name in called if name not in known))[:MOST_LEADS]
    return tuple(name for name in signal.leads if not _NOT_HEART.search(name))[:MOST_LEADS]


def names_lead(name: str) -> bool:
    """Whether a row of this name is an ECG lead by the name alone."""
    return _is_lead(name) or says_ecg(name)


def says_ecg(name: str) -> bool:
    """Whether the name calls its row an ECG, and not something that was made of one."""
    return _ECG_WORD.search(name) is not None and _MADE_OF_ECG.search(name) is None


def _is_lead(name: str) -> bool:
    usual = canonical_lead(name)
    if any(usual in names for names in _ALSO_OTHERS):
        return False
    return is_known_lead(usual) or _MODIFIED.fullmatch(name.strip()) is not None
