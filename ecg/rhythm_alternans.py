"""Electrical alternans: every other QRS, or every other T wave, is smaller, while the rhythm is steady."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from ecg.limit import Limit
from ecg.marks import Evidence
from ecg.rhythm_view import AHA, OURS, Flags, Found, View, middle, runs_of, said
from ecg.strip import Samples

_BEATS: Final = 8
_QRS_SHARE: Final = Limit(">=", 18.0, "%", f"{AHA}; limit {OURS}")
_QRS_MV: Final = 0.10
_T_SHARE: Final = Limit(">=", 30.0, "%", f"{AHA}; limit {OURS}")
"""Alternation as a share of the wave's height, in so many leads (or all, where there are fewer)."""
_T_MV: Final = 0.08
_CONSISTENT: Final = 0.9
_STEADY_RR: Final = 0.06
_LEADS: Final = 3
_LIMB: Final = frozenset({"I", "II", "III", "aVR", "aVL", "aVF"})
_T_FROM_S: Final = 0.10
_T_LEAST_S: Final = 0.04
"""A T wave whose peak is marked within the QRS leaves no window of its own: this much is looked at all the same (ours)."""


def of(view: View) -> Found:
    """Over the longest run of beats in turn; none where intervals alternate or beats differ in family too often."""
    own = view.is_own
    joined = own[1:] & own[:-1] & view.is_seen
    run = max(runs_of(joined), key=lambda r: r[1] - r[0], default=None)
    if run is None or run[1] - run[0] + 2 < _BEATS:
        return Found((), (("t_alternans", 0.0),))
    first, last = run[0], run[1] + 1
    rr = view.rr_s[first:last]
    if float(np.std(rr) / rr.mean()) > _STEADY_RR:
        return Found((), (("t_alternans", 0.0),))
    qrs, t = _heights(view, first, last + 1)
    evidence: list[Evidence] = []
    where = view.span(first, last)
    qrs_share = _alternation(qrs, _QRS_SHARE, _QRS_MV, view)
    if qrs_share > 0:
        evidence.append(Evidence("qrs_alternation", qrs_share, "%", _in_leads(_QRS_SHARE, qrs), **where))
    t_share = _alternation(t, _T_SHARE, _T_MV, view) if not evidence else 0.0
    if t_share > 0:
        evidence.append(Evidence("t_alternation", t_share, "%", _in_leads(_T_SHARE, t), **where))
    statements = (said("alternans", 0.75, *evidence),) if evidence else ()
    is_seen = t_share > 0 and _independent(view.strip.leads) >= _LEADS  # motion of one lead alternates too
    return Found(statements, (("t_alternans", float(is_seen)),))


def _heights(view: View, first: int, stop: int) -> tuple[Samples, Samples]:
    """Peak to peak of the QRS and of the T wave, mV, [lead, beat] each."""
    hz = view.strip.fs_hz
    at = np.rint(view.at_s[first:stop] * hz).astype(np.int64)
    t_after = middle((view.t_peak_s - view.at_s)[first:stop])
    t_after = t_after if np.isfinite(t_after) else 0.28
    step = max(1, int(hz / 125))

    def cut(start_s: float, end_s: float) -> Samples:
        index = at[:, None] + np.arange(int(start_s * hz), int(end_s * hz), step)
        return view.strip.mv[:, np.clip(index, 0, view.strip.mv.shape[1] - 1)]

    qrs = cut(-0.06, 0.07)
    t_from = max(_T_FROM_S, t_after - 0.10)
    t = cut(t_from, max(t_after + 0.06, t_from + _T_LEAST_S))
    level = cut(-0.08, -0.055).mean(axis=2)
    return qrs.max(axis=2) - qrs.min(axis=2), np.abs(t - level[:, :, None]).max(axis=2)


def _independent(leads: tuple[str, ...], which: Flags | None = None) -> int:
    """How many of these leads tell something of their own: the six limb leads are two."""
    chosen = [lead for n, lead in enumerate(leads) if which is None or which[n]]
    limb = sum(lead in _LIMB for lead in chosen)
    return min(limb, 2) + len(chosen) - limb


def _in_leads(share: Limit, heights: Samples) -> Limit:
    return replace(share, words=f"in {min(_LEADS, heights.shape[0])} leads")


def _alternation(heights: Samples, share: Limit, least_mv: float, view: View) -> float:
    """The mean alternation, as a share of the height, %, in the leads that alternate; 0 where too few do."""
    sign = np.where(np.arange(heights.shape[1]) % 2 == 0, 1.0, -1.0)
    smooth = 0.5 * (heights + 0.5 * (np.roll(heights, 1, axis=1) + np.roll(heights, -1, axis=1)))
    swing = (heights - smooth)[:, 1:-1] * sign[1:-1]
    size = 2.0 * np.abs(swing.mean(axis=1))
    steady = np.maximum((swing > 0).mean(axis=1), (swing < 0).mean(axis=1)) >= _CONSISTENT
    mean = heights.mean(axis=1) + 1e-9
    percent = 100.0 * size / mean
    alternates = steady & share.each(percent) & (size >= least_mv)
    if _independent(view.strip.leads, alternates) < min(_LEADS, _independent(view.strip.leads)):
        return 0.0
    return float(percent[alternates].mean())
