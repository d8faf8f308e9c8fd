"""Which P waves reach the ventricles: second-degree and complete AV block, AV dissociation, blocked premature beats."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from ecg.limit import Limit, cited, in_words
from ecg.marks import Evidence, Statement
from ecg.rhythm_view import AHA, OURS, Flags, Found, Index, View, middle, said
from ecg.strip import Samples

_ON_TIME: Final = 0.16
"""A sinus P wave comes within this share of the PP interval; what is earlier is premature (ours)."""
_LENGTHENS: Final = Limit(">=", 25.0, "ms", f"{AHA}; limit {OURS}")
_STEADY_MS: Final = 25.0
"""Two 40-mm/s readings apart: PR intervals closer than this are equal (ours)."""
_EQUAL: Final = Limit("<=", 2 * _STEADY_MS, "ms", f"{AHA}; {OURS}")
_UNCHANGED: Final = Limit("<=", _STEADY_MS, "ms", f"{AHA}; {OURS}")
_ALIKE: Final = 0.6
_ALIKE_EARLY: Final = 0.0
_ESCAPE: Final = Limit("<=", 65.0, "/min", OURS)
"""Complete block has an escape rhythm no faster (ours; junctional escapes run at 40-60)."""
_VARIES: Final = Limit(">=", 130.0, "ms", f"{AHA}; limit {OURS}", "while the QRS are regular")
_FREE: Final = Limit(">=", 2, "1", AHA)
_BLOCKED: Final = Limit(">=", 1, "1", AHA)
_AROUND: Final = Limit("in", 1.12, "1", OURS, "of the usual RR", upper=2.1)
"""A blocked premature beat leaves a pause shorter than two usual intervals (ours)."""
_SINUS_TO: Final = 130.0
"""/min: faster atria are in tachycardia or flutter, where not every wave is meant to be conducted (ours)."""


@dataclass(frozen=True, slots=True)
class Conduction:
    """found: what's said.  is_blocked: AV block of second or third degree: the atrial rate names the rhythm.
    free_s: P waves without a QRS that hold against the shape of the others; early: bool, those that are premature.
    """

    found: Found
    is_blocked: bool
    free_s: Samples
    early: Flags


NONE: Final = Conduction(Found(), False, np.zeros(0), np.zeros(0, dtype=bool))


def of(view: View) -> Conduction:
    """Not to be asked in atrial fibrillation or flutter."""
    free = _proven_free(view)
    if not free.size or view.count < 2:
        return NONE
    pp = view.pp_s
    early = _premature(view, free, pp)
    statement = _block(view, free[~early], pp)
    statements: list[Statement] = [statement] if statement is not None else []
    if statement is None and early.any():
        blocked = _blocked_premature(view, free[early], pp)
        statements += [blocked] if blocked is not None else []
    if statement is not None and statement.key == "avb3":
        dissociated = Evidence("free_p_waves", float(free.size), "1", cited(AHA))
        statements.append(said("av_dissociation", statement.certainty, dissociated))
    return Conduction(Found(tuple(statements)), statement is not None, free, early)


# -- which P waves stand alone


def _proven_free(view: View) -> Samples:
    """s: P waves without a QRS, between two beats that are seen, that look like the P waves with one."""
    free = np.flatnonzero(view.p_beat < 0)
    if not free.size or view.count < 2:
        return np.zeros(0)
    at = view.p_all_s[free]
    before = np.searchsorted(view.at_s, at) - 1
    inside = (before >= 0) & (before < view.count - 1)
    # What stands beside a beat out of turn is that beat's: the sinus goes on behind every ventricular beat.
    in_turn = view.is_own | (view.is_v if view.is_v.mean() > 0.7 else False)
    inside[inside] &= view.is_seen[before[inside]] & in_turn[before[inside]] & in_turn[before[inside] + 1]
    likeness = _likeness(view, view.p_all_s)[free]
    # An ectopic P wave has a shape of its own.
    alike = likeness >= np.where(_premature(view, at, view.pp_s), _ALIKE_EARLY, _ALIKE)
    return np.sort(at[inside & alike])


def _likeness(view: View, p_s: Samples) -> Samples:
    """Correlation over all leads of each P wave (120 ms) with the mean of the others; 1 where there's no other."""
    hz, mv = view.strip.fs_hz, view.strip.mv
    half, step = int(0.06 * hz), max(1, int(hz / 125))
    centre = np.clip(np.rint(p_s * hz).astype(np.int64), half, mv.shape[1] - half - 1)
    if centre.size < 3:
        return np.ones(centre.size)
    cut = mv[:, centre[:, None] + np.arange(-half, half + 1, step)].transpose(1, 0, 2)
    ramp = np.linspace(-1.0, 1.0, cut.shape[2])
    cut = cut - cut.mean(axis=2, keepdims=True)
    cut = cut - (cut @ ramp)[:, :, None] * ramp / float(ramp @ ramp)  # a sloping level (the end of T) isn't shape
    flat = cut.reshape(centre.size, -1)
    led = view.p_beat >= 0
    pattern = np.median(flat[led] if led.sum() >= 2 else flat, axis=0)
    scale = np.linalg.norm(flat, axis=1) * float(np.linalg.norm(pattern)) + 1e-12
    return np.asarray(flat @ pattern / scale, dtype=np.float64)


def _premature(view: View, free: Samples, pp: float) -> Flags:
    """bool [free P]: clearly before its time."""
    at = np.searchsorted(view.p_all_s, free)
    before = np.where(at > 0, free - view.p_all_s[np.maximum(at - 1, 0)], np.nan)
    return np.nan_to_num(before, nan=np.inf) < (1.0 - _ON_TIME) * pp


# -- blocks


def _block(view: View, free: Samples, pp: float) -> Statement | None:
    if not free.size or not np.isfinite(pp) or pp < 60.0 / _SINUS_TO or view.pp_spread > _ON_TIME:
        return None
    gap = np.searchsorted(view.at_s, free) - 1  # the interval that each lies in
    complete = _complete(view, free, pp)
    if complete is not None:
        return complete
    return _second_degree(view, free, np.bincount(gap, minlength=view.count - 1))


def _nearest_pr_ms(view: View) -> Samples:
    """P peak to R peak of the last P wave before each beat, ms; NaN without one within 1.2 s."""
    index = np.searchsorted(view.p_all_s, view.at_s - 0.05) - 1
    out = np.where(index >= 0, view.at_s - view.p_all_s[np.maximum(index, 0)], np.nan)
    out[np.nan_to_num(out, nan=9.0) > 1.2] = np.nan
    return 1000.0 * out


def _complete(view: View, free: Samples, pp: float) -> Statement | None:
    """Regular P waves, regular slower QRS, and no steady distance between them."""
    rate = view.rate()
    if rate is None or not _ESCAPE.holds(rate) or view.count < 3 or not _FREE.holds(free.size):
        return None
    rr = view.rr_s[view.is_seen]
    if view.p_all_s.size < 5 or float(np.std(rr) / rr.mean()) > 0.08 or rr.mean() < 1.2 * pp:
        return None
    pr = _nearest_pr_ms(view)
    pr = pr[np.isfinite(pr)]
    if pr.size < 3 or float(np.std(pr)) < 55.0 or not _VARIES.holds(float(np.ptp(pr))):
        return None
    steady = np.abs(pr[:, None] - pr[None, :]).min(axis=1, initial=np.inf, where=~np.eye(pr.size, dtype=bool)) < 12.0
    if steady.mean() > 0.7 and pr.size > 4:
        return None  # pairs of equal PR: conduction in a pattern
    evidence = (
        Evidence("atrial_rate", 60.0 / pp, "/min", cited(AHA)),
        Evidence("ventricular_rate", rate, "/min", _ESCAPE),
        Evidence("pr_range", float(np.ptp(pr)), "ms", _VARIES),
        Evidence("free_p_waves", float(free.size), "1", _FREE),
    )
    sure = 0.55 + 0.04 * min(free.size, 5) + (0.15 if view.pp_spread < 0.08 else 0.0)
    return said("avb3", sure, *evidence)


def _second_degree(view: View, free: Samples, blocked: Index) -> Statement | None:
    """By the PR intervals on both sides of each interval that holds P waves without QRS (blocked: [beat - 1])."""
    pr = view.pr_ms
    held = np.flatnonzero((blocked > 0) & np.isfinite(pr[1:]) & view.is_seen)
    held = held[view.rr_s[held] > 1.2 * middle(view.rr_s[blocked == 0])] if (blocked == 0).any() else held
    if not held.size:
        return None
    where = view.span(int(held[0]), int(held[0]) + 1)
    count = Evidence("blocked_p_waves", float(free.size), "1", _BLOCKED, **where)
    after = pr[held + 1]
    steady = Evidence("pr_range", float(np.ptp(after)), "ms", _EQUAL)
    same_after = _EQUAL.holds(float(np.ptp(after)))
    if (blocked >= 2).any() and same_after:
        return said("avb_high", 0.55 + 0.08 * min(int((blocked >= 2).sum()), 4), count, steady)
    in_a_row = (blocked[1:] == 1) & (blocked[:-1] == 1)
    if in_a_row.any() and (blocked == 1).mean() >= 0.6 and same_after:
        ratio = Evidence("p_per_qrs", 2.0, "1", in_words("2:1", AHA))
        return said("avb_2to1", 0.55 + 0.06 * min(int(blocked.sum()), 5), count, ratio, steady)
    before = pr[held]
    change = before - after  # NaN where the beat before the pause has no P wave
    known = np.isfinite(change)
    if not known.any():
        return None
    lengthens = Evidence("pr_lengthening", middle(change), "ms", _LENGTHENS)
    if _LENGTHENS.each(change[known]).mean() > 0.5:
        return said("avb2_mobitz1", 0.6 + 0.1 * min(int(known.sum()), 3), count, lengthens)
    if _UNCHANGED.holds(float(np.abs(change[known]).max())) and _is_steady(view):
        unchanged = Evidence("pr_change", float(np.abs(change[known]).max()), "ms", _UNCHANGED)
        return said("avb2_mobitz2", 0.5 + 0.1 * min(int(known.sum()), 3), count, unchanged)
    return None


def _is_steady(view: View) -> bool:
    known = view.pr_ms[np.isfinite(view.pr_ms) & view.is_own]
    return known.size >= 3 and float(np.median(np.abs(known - np.median(known)))) < 0.5 * _STEADY_MS


def _blocked_premature(view: View, early: Samples, pp: float) -> Statement | None:
    """A premature P wave without QRS, and a pause shorter than two usual intervals around it."""
    usual = middle(view.nn_s)
    gap = np.searchsorted(view.at_s, early) - 1
    ratio = view.rr_s[gap] / usual
    fits = np.flatnonzero(_AROUND.each(ratio))
    if not fits.size or not np.isfinite(usual):
        return None
    first = int(fits[0])
    evidence = (
        Evidence("premature_p", 1000.0 * usual, "ms", cited(AHA), start_s=round(float(early[first]), 3)),
        Evidence("rr_around", float(ratio[first]), "1", _AROUND),
    )
    return said("pac_blocked", 0.55 + 0.1 * min(fits.size, 3), *evidence)
