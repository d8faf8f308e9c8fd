"""Pauses between beats: sinus arrest, SA block, escapes; and what a strip's edges and gaps keep from being proven."""

from __future__ import annotations

from typing import Final

import numpy as np

from ecg import fibrillation
from ecg.limit import Limit, in_words
from ecg.marks import Evidence, Statement
from ecg.rhythm_view import AHA, OURS, Found, View, middle, said
from ecg.strip import Samples

PAUSE_S: Final = 2.0
"""A pause, s (ours and usual in Holter reports; national consensus 2017 alarms from 3.0 and 5.0 s)."""
_EDGE_PAUSE: Final = Limit(">=", 3.0, "s", OURS)
_LONGER: Final = 1.5
_SOURCE: Final = f"{AHA}; limit {OURS}"
_BLOCK_FIT: Final = 0.08
_LEADS_FOR_ASYSTOLE: Final = 3
"""One lead or two in which no beat was ever seen may as well lie on a table: said, and looked at next, but no pause (ours)."""
_HIDDEN: Final = 0.35
"""A slope of this share of the QRS's slopes within a pause may be a beat that was missed (ours)."""


def of(view: View, free_s: Samples, *, is_sinus: bool, is_blocked: bool) -> Found:
    """free_s: P waves without QRS.  is_sinus: P waves lead the beats.  is_blocked: AV block explains the pauses."""
    if not view.count:
        return _no_beats(view)
    rr = view.rr_s
    empty = _without_hidden_beats(view)
    proven = view.is_seen & empty
    longest = float(rr[proven].max()) if proven.any() else 0.0
    edge = _edge_s(view)
    facts = (
        ("longest_pause_s", longest),
        ("pauses", float((proven & (rr >= PAUSE_S)).sum())),
        ("pause_at_edge_s", edge),
        ("edge_pause_s", edge),
    )
    out: list[Statement] = []
    if is_sinus and not is_blocked:
        out += _sinus_pauses(view, proven, free_s)
    if not is_blocked and _EDGE_PAUSE.holds(edge) and edge > 1.5 * max(longest, middle(rr) if rr.size else 0.0):
        out.append(_at_edge(view, edge))
    return Found(tuple(out), facts)


def _no_beats(view: View) -> Found:
    """No QRS at all: asystole where the leads are alive, which flat leads can't tell."""
    dead = sum(end - start for start, end in view.dead_s)
    alive = view.seconds - dead
    if len(view.strip.leads) < _LEADS_FOR_ASYSTOLE and not fibrillation.is_likely(view.strip):
        return Found((), (("longest_pause_s", 0.0), ("pauses", 0.0), ("signal_s", alive)))
    facts = (("longest_pause_s", 0.0), ("pauses", 0.0), ("pause_at_edge_s", alive), ("edge_pause_s", alive))
    if not _EDGE_PAUSE.holds(alive):
        return Found((), (*facts, ("signal_s", alive)))
    evidence = Evidence("no_qrs", alive, "s", _EDGE_PAUSE, start_s=0.0, end_s=view.seconds)
    return Found((said("sinus_arrest", 0.5, evidence),), (*facts, ("signal_s", alive)))


def _edge_s(view: View) -> float:
    """The longer of begin to first beat and last beat to end, without what the recorder left out."""
    first, last = float(view.at_s[0]), float(view.at_s[-1])
    before = max([0.0, *(end for _, end in view.dead_s if end <= first)])
    after = min([view.seconds, *(start for start, _ in view.dead_s if start >= last)])
    edges = [(before, first), (last, after)]
    if any(_EDGE_PAUSE.holds(stop - start) for start, stop in edges) and not fibrillation.is_likely(view.strip):
        edges = [edge for edge in edges if _is_empty(view, *edge)]
    return max((stop - start for start, stop in edges), default=0.0)


def _is_empty(view: View, start_s: float, stop_s: float) -> bool:
    """Whether nothing as steep as a QRS lies between, beats at its ends left out: motion at the edge is no standstill."""
    hz, slope, usual = view.thin.hz, *_slopes(view)
    inside = slope[:, max(0, int((start_s + 0.45) * hz)) : int((stop_s - 0.16) * hz)]
    return inside.shape[1] < 5 or float(np.mean(inside.max(axis=1) > _HIDDEN * usual)) < 0.5


def _slopes(view: View) -> tuple[Samples, Samples]:
    """The leads' steepness [lead, sample], and the usual QRS's [lead]."""
    slope = np.abs(np.diff(view.thin.mv, axis=1))
    beside = round(0.08 * view.thin.hz)
    near = np.rint(view.at_s[:, None] * view.thin.hz).astype(np.int64) + np.arange(-beside, beside + 1)
    near = np.clip(near, 0, slope.shape[1] - 1)
    return slope, np.median(slope[:, near].max(axis=2), axis=1)


def _at_edge(view: View, edge: float) -> Statement:
    at_end = view.seconds - float(view.at_s[-1]) >= edge - 1e-6
    start = float(view.at_s[-1]) if at_end else max(0.0, float(view.at_s[0]) - edge)
    evidence = Evidence(
        "pause_at_edge",
        edge,
        "s",
        _EDGE_PAUSE,
        start_s=round(start, 3),
        end_s=start + edge,
    )
    return said("sinus_arrest", 0.55, evidence, modifiers=("possible",))


def _without_hidden_beats(view: View) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """bool [beat - 1]: nothing as steep as a QRS between the two beats; only long intervals are looked at."""
    empty = np.ones(view.rr_s.size, dtype=bool)
    long = np.flatnonzero(view.rr_s >= min(PAUSE_S, 1.4 * middle(view.rr_s) if view.rr_s.size else PAUSE_S))
    if not long.size:
        return empty
    hz, slope, usual = view.thin.hz, *_slopes(view)
    for k in long.tolist():
        first = int((view.at_s[k] + 0.45) * hz)
        last = int((view.at_s[k + 1] - 0.16) * hz)
        if last - first < 5:
            continue
        inside = slope[:, first:last].copy()
        for spike in view.spikes_s[(view.spikes_s > view.at_s[k]) & (view.spikes_s < view.at_s[k + 1])]:
            centre = int(spike * hz) - first
            inside[:, max(0, centre - 3) : max(0, centre + 4)] = 0.0
        empty[k] = float(np.mean(inside.max(axis=1) > _HIDDEN * usual)) < 0.5
    return empty


def _sinus_pauses(view: View, proven: np.ndarray[tuple[int], np.dtype[np.bool_]], free_s: Samples) -> list[Statement]:
    """One statement of each kind, with the longest pause of that kind first in its evidence."""
    usual = middle(view.nn_s)
    own = view.is_own
    # A pause after a premature beat is that beat's.
    asked = np.flatnonzero(proven & own[:-1] & (view.rr_s > 1.25 * usual)) if np.isfinite(usual) else []
    kinds: dict[str, list[tuple[int, Limit]]] = {}
    for k in np.asarray(asked, dtype=np.int64).tolist():
        if ((free_s > view.at_s[k]) & (free_s < view.at_s[k + 1])).any():
            continue
        kind = _kind_of_pause(view, k, usual)
        if kind is not None:
            kinds.setdefault(kind[0], []).append((k, kind[1]))
    out: list[Statement] = []
    for key, at in kinds.items():
        at.sort(key=lambda pause: -view.rr_s[pause[0]])
        seen = tuple(Evidence("pause", float(view.rr_s[k]), "s", limit, **view.span(k, k + 1)) for k, limit in at[:4])
        sure = {"sinus_arrest": 0.75, "sa_block_2": 0.6}.get(key, 0.55)
        out.append(said(key, sure, *seen))
    return out


def _kind_of_pause(view: View, k: int, usual: float) -> tuple[str, Limit] | None:
    """What the pause after beat k is called, and the limit that it passed; None where it has no name."""
    rr = float(view.rr_s[k])
    has_no_p = not np.isfinite(view.p_s[k + 1])
    escape = Limit(">=", max(1.0, 1.3 * usual), "s", _SOURCE, "before a beat without P")
    if has_no_p and view.p_share >= 0.7 and escape.holds(rr) and view.is_own[k + 1]:
        return "junctional_escape", escape
    arrest = Limit(">=", max(PAUSE_S, _LONGER * usual), "s", _SOURCE)
    is_arrest = arrest.holds(rr)
    if has_no_p or not np.isfinite(view.p_s[k]):
        return ("sinus_arrest", arrest) if is_arrest else None
    pause = float(view.p_s[k + 1] - view.p_s[k])
    nn = view.nn_s
    times = pause / usual
    is_steady = float(np.median(np.abs(nn - usual)) / usual) < 0.04
    if is_steady and round(times) in (2, 3) and abs(times - round(times)) < _BLOCK_FIT * round(times) / 2 + 0.02:
        return "sa_block_2", in_words(f"{round(times)} PP intervals", _SOURCE)
    return ("sinus_arrest", arrest) if is_arrest else None
