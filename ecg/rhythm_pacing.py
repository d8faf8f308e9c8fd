"""Pacing, by the spikes: which chamber is paced, and a spike without answer or at the wrong time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from ecg.limit import Limit, cited, in_words
from ecg.marks import Evidence, Statement
from ecg.rhythm_view import AHA, OURS, Flags, Found, View, said
from ecg.strip import Samples

_V_REACH_S: Final = 0.14
"""A ventricular spike lies so shortly before the QRS's main deflection (ours)."""
_A_REACH_S: Final = 0.40
_A_STEADY_S: Final = 0.03
_REFRACTORY_S: Final = 0.32
_ANSWER_S: Final = 0.36
_LEAST: Final = Limit(">=", 2, "1", AHA)


@dataclass(frozen=True, slots=True)
class Pacing:
    """found: what's said.  v, a: bool [beat], a ventricular, an atrial spike before it.  is_basic: most beats are paced."""

    found: Found
    v: Flags
    a: Flags
    is_basic: bool


def of(view: View) -> Pacing:
    """Nothing without spikes: recordings below 400 Hz don't show them."""
    v, a = _spikes_before(view)
    paced_v = v | view.is_paced
    if not _LEAST.holds(max(int(paced_v.sum()), int(a.sum()))):
        return Pacing(Found(), paced_v, a, False)
    dual = paced_v & a
    out: list[Statement] = []
    if _LEAST.holds(dual.sum()) and dual.mean() >= 0.25:
        out.append(_paced("paced_dual", dual, view))
    elif _LEAST.holds(paced_v.sum()):
        out.append(_paced("paced_v", paced_v, view))
    if _LEAST.holds((a & ~paced_v).sum()) and not out:
        out.append(_paced("paced_a", a & ~paced_v, view))
    if _LEAST.holds(paced_v.sum()):
        out += _failures(view, paced_v, a)
    return Pacing(Found(tuple(out)), paced_v, a, bool((paced_v | a).mean() >= 0.5))


def _spikes_before(view: View) -> tuple[Flags, Flags]:
    """bool [beat] each: the last spike before it is ventricular; there's one at the distance of an atrial spike."""
    v, a = np.zeros(view.count, dtype=bool), np.zeros(view.count, dtype=bool)
    delays: list[float] = []
    for spike in view.spikes_s.tolist():
        after = int(np.searchsorted(view.at_s, spike - 0.005))
        if after >= view.count:
            continue
        delay = float(view.at_s[after]) - spike
        v[after] |= delay <= _V_REACH_S
        if _V_REACH_S < delay <= _A_REACH_S:
            a[after] = True
            delays.append(delay)
    # The AV node's delay is steady; spikes that take no notice of the beats come at any distance.
    return (v, a) if len(delays) > 1 and float(np.std(delays)) < _A_STEADY_S else (v, np.zeros_like(a))


def _paced(key: str, which: Flags, view: View) -> Statement:
    at = np.flatnonzero(which)
    evidence = (
        Evidence("paced_beats", float(at.size), "1", _LEAST, **view.span(int(at[0]), int(at[-1]))),
        Evidence("spikes", float(view.spikes_s.size), "1", cited(OURS)),
    )
    modifiers = () if which.mean() >= 0.9 else ("intermittent",)
    return said(key, 0.7 + 0.25 * float(which.mean()), *evidence, modifiers=modifiers)


def _failures(view: View, paced_v: Flags, a: Flags) -> list[Statement]:
    """Only where the ventricles are surely paced.  An atrial spike has a ventricular answer of its own."""
    lost: list[float] = []
    late: list[float] = []
    spikes = view.spikes_s
    too_soon = min(0.7, 0.7 * float(np.median(np.diff(spikes)))) if spikes.size > 1 else 0.5
    for spike in spikes.tolist():
        k = int(np.searchsorted(view.at_s, spike - 0.005))
        since = spike - float(view.at_s[k - 1]) if k else np.inf
        until = float(view.at_s[k]) - spike if k < view.count else np.inf
        if until == np.inf and view.seconds - spike < _ANSWER_S:
            continue
        if (spikes[(spikes > spike + 0.02) & (spikes < spike + _A_REACH_S)]).size:
            continue  # the first of two: atrial
        if until > _ANSWER_S and since > _REFRACTORY_S:
            lost.append(spike)
        # In the T wave or shortly after a beat of the heart's own, where an inhibited pacemaker is silent.
        if k and not (paced_v | a)[k - 1] and 0.08 < since < too_soon and not a.any():
            late.append(spike)
    out: list[Statement] = []
    if lost:
        out.append(_failure("pace_capture_v", np.array(lost), f"no QRS within {1000 * _ANSWER_S:.0f} ms"))
    if late:
        out.append(_failure("pace_sense_v", np.array(late), "within 70 % of the pacing interval after an own QRS"))
    return out


def _failure(key: str, spikes: Samples, limit: str) -> Statement:
    seen = tuple(
        Evidence("spike", None, "", in_words(limit, OURS), start_s=round(s, 3), end_s=round(s, 3))
        for s in spikes[:5].tolist()
    )
    return said(key, 0.6 + 0.05 * min(spikes.size, 4), *seen)
