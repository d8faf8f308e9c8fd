"""Leads that a file holds in several stretches -> each lead where it lies in time, NaN where it was not recorded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from ecg.formats.leads import StoredLead
from ecg.signal import MAX_LEADS, MAX_SAMPLES

_MOST_APART_S: Final = 60.0
"""Stretches that lie farther apart than this are no one tracing (ours)."""
_ALIKE_MV: Final = 0.1
"""Two stretches of one lead at one time are the same where they differ by less than this (ours: a filter's doing)."""


def joined(stretches: Sequence[tuple[float, Sequence[StoredLead]]], fs_hz: float) -> list[StoredLead] | None:
    """The leads of these stretches (begin in s, leads of one length); None where they make no one recording."""
    if not all(leads and leads[0].values_mv.size for _, leads in stretches):
        return None
    first = min(begin for begin, _ in stretches)
    placed = [(round((begin - first) * fs_hz), leads) for begin, leads in stretches]
    total = max(at + leads[0].values_mv.size for at, leads in placed)
    recorded = sum(leads[0].values_mv.size for _, leads in placed)
    names = list(dict.fromkeys(lead.name for _, leads in placed for lead in leads))
    if total - recorded > _MOST_APART_S * fs_hz or len(names) > MAX_LEADS or total * len(names) > MAX_SAMPLES:
        return None
    rows = {name: np.full(total, np.nan) for name in names}
    steps = {lead.name: lead.step_mv for _, leads in placed for lead in leads}
    for at, leads in sorted(placed, key=lambda part: -part[1][0].values_mv.size):
        for lead in leads:
            there = rows[lead.name][at : at + lead.values_mv.size]
            apart = np.abs(there - lead.values_mv)
            if (apart[np.isfinite(apart)] > _ALIKE_MV).any():
                return None
            there[np.isnan(there)] = lead.values_mv[np.isnan(there)]
    return [StoredLead(name, rows[name], steps[name]) for name in names]
