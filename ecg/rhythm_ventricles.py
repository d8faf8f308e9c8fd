"""What the ventricles do of their own: premature beats and their patterns, escapes, runs, tachycardia, R on T."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from ecg.broad_waves import LEAST_RECURRENCE, MOST_REST, MOST_STEEP, SLOWEST, Train
from ecg.limit import Limit, cited
from ecg.marks import Evidence, Statement
from ecg.rhythm_shape import Shape
from ecg.rhythm_view import AHA, OURS, TEXTBOOK, Flags, Found, View, When, middle, runs_of, said
from ecg.strip import Samples

TACHY: Final = 100.0
"""/min from which a run of three ventricular beats is a tachycardia (AHA 2007 part II, code 70-71)."""
_ABOVE: Final = Limit(">", TACHY, "/min", AHA)
_RUN_FAST: Final = Limit(">=", TACHY, "/min", AHA)
_RUN_SLOW: Final = Limit("<", TACHY, "/min", AHA)
_RUN: Final = 3
_IN_RUN: Final = Limit(">=", _RUN, "1", AHA)
SUSTAINED_S: Final = 30.0
_SUSTAINED: Final = Limit(">=", SUSTAINED_S, "s", AHA)
_SHORTER: Final = Limit("<", SUSTAINED_S, "s", AHA)
_IDIO: Final = Limit("<", 50.0, "/min", f"{AHA}; limit {OURS}")
_ACCELERATED: Final = Limit("in", 50.0, "/min", f"{AHA}; limit {OURS}", upper=TACHY)
"""Below idioventricular, from here to 100 accelerated (ours; textbooks draw it at 40 to 60)."""
_SURE: Final = 0.4
_WIDE_MS: Final = 120.0
_WIDE: Final = Limit(">=", _WIDE_MS, "ms", AHA)
_WIDE_TACHY: Final = Limit(">=", 135.0, "ms", f"{AHA}; limit {OURS}")
"""120 ms by definition; single beats of a tachycardia measure up to 15 ms wide of their median beat (ours)."""
_SURELY_WIDE_MS: Final = 140.0
_HARDLY_ABERRANT_MS: Final = 165.0
"""Aberrant conduction is seldom wider than 160 ms (Wellens 1978)."""
_POLYMORPHIC_SURE: Final = 0.6
"""Shapes that differ from beat to beat are polymorphic only where each is likely a beat: artefacts differ too (ours)."""
_LEADS_FOR_T_END: Final = 3
_T_END_UNSURE: Final = 0.45
_LONE_SURE: Final = 0.6
"""With one lead or two a single premature beat, of a form that doesn't come again, must be surer than others (ours)."""
_SURELY_P: Final = 0.9
"""Mean certainty of the P waves from which one lead is believed that P waves, and no T waves, lead fast wide beats."""
_EVEN: Final = Limit("<=", 0.06, "1", OURS)
_MOSTLY: Final = 0.7
_BROAD_SURE: Final = 0.7
_REGULAR: Final = Limit("<=", 0.12, "1", OURS)
_P_HIDDEN: Final = Limit("<=", 0.035, "mV", OURS, "in the mean beat")
_FEW_LED: Final = Limit("<", 0.6, "1", OURS)
_PR_VARIES: Final = Limit(">=", 35.0, "ms", OURS)
"""P waves lead the beats where they stand before most of them, at a steady distance (ours)."""
_DISSOCIATED: Final = Limit(">=", 2, "1", AHA)
_FUSED: Final = Limit(">=", 1, "1", AHA)
_FREQUENT: Final = Limit(">", 5.0, "/min", TEXTBOOK)
_REPEATED: Final = Limit(">=", 3, "1", AHA)


@dataclass(frozen=True, slots=True)
class Ventricles:
    """found: what's said.  fills: the ventricles beat by themselves through the whole strip, so that no other basic
    rhythm is named.  tachy: bool [beat], beats of ventricular (or wide) tachycardia.
    """

    found: Found
    fills: bool
    tachy: Flags


def of(view: View, shape: Shape, *, is_fibrillating: bool, is_paced: bool) -> Ventricles:
    """is_fibrillating: the atria fibrillate or flutter.  is_paced: most beats are paced."""
    none = np.zeros(view.count, dtype=bool)
    if view.count < _RUN or is_paced:
        return Ventricles(Found(_ectopy(view, none)), False, none)
    is_broad = view.is_broad.mean() >= _MOSTLY
    if is_broad:
        return _broad(view)
    whole = None if is_fibrillating and not _is_wide_and_even(view) else _of_whole_strip(view, shape)
    if whole is not None:
        return whole
    tachy, in_run, said_runs, facts = _runs(view)
    statements = (*_ectopy(view, in_run), *said_runs)
    return Ventricles(Found(statements, (*facts, *_r_on_t(view))), False, tachy)


# -- the whole strip is wide


def _is_wide_and_even(view: View) -> bool:
    """Whether fast wide beats come too evenly for fibrillation, which few leads tell by the want of P waves alone."""
    limit = _REGULAR if view.is_few else _EVEN
    return (view.rate() or 0.0) > TACHY and view.is_wide and limit.holds(_spread(view.rr_s))


def _of_whole_strip(view: View, shape: Shape) -> Ventricles | None:
    """A wide rhythm with no P wave that leads it, from end to end; None where it isn't."""
    rate = view.rate()
    ventricular = view.is_v | (view.width_ms >= _WIDE_MS)
    if rate is None or ventricular.mean() < 0.8 or not _WIDE.holds(middle(view.width_ms)):
        return None
    if _led_by_p(view, shape):
        return None
    v_share = float(view.is_v.mean())
    width = middle(view.width_ms)
    if _ABOVE.holds(rate):
        if not (_WIDE if view.is_few else _WIDE_TACHY).holds(width) and v_share < 0.5:
            return None
        return _wide_tachycardia(view, shape, rate, width, v_share)
    is_odd = v_share >= 0.5 or (width >= _SURELY_WIDE_MS and not shape.is_bundle_branch)
    if not is_odd or not _P_HIDDEN.holds(shape.p_mv) or not _REGULAR.holds(_spread(view.rr_s)) or view.af > 0.5:
        return None
    key, limit = ("idioventricular", _IDIO) if _IDIO.holds(rate) else ("aivr", _ACCELERATED)
    evidence = (
        Evidence("ventricular_rate", rate, "/min", limit),
        Evidence("qrs_duration", width, "ms", _WIDE),
        Evidence("p_height", shape.p_mv, "mV", _P_HIDDEN),
        *_not_led(view),
    )
    sure = 0.5 + 0.25 * v_share + (0.1 if width >= 150 else 0.0)
    return Ventricles(Found((said(key, sure, *evidence),)), True, np.zeros(view.count, dtype=bool))


def _broad(view: View) -> Ventricles:
    """Waves from end to end in which nothing is steep: where QRS ends and T begins can't be told, a name can."""
    train = max(view.trains, key=lambda one: one.seconds)
    evidence = (
        Evidence("wave_rate", train.rate, "/min", SLOWEST, **_of(train)),
        Evidence("steepness", train.steepness, "1", MOST_STEEP, **_of(train)),
        Evidence("rest", train.rest, "1", MOST_REST, **_of(train)),
        Evidence("recurrence", train.recurrence, "1", LEAST_RECURRENCE, **_of(train)),
    )
    facts = (
        ("vt_longest_s", float(view.at_s[-1] - view.at_s[0])),
        ("vt_rate", view.rate() or train.rate),
        ("vt_beats", float(view.count)),
        ("fills_strip", 1.0),
    )
    return Ventricles(Found((said("vt", _BROAD_SURE, *evidence),), facts), True, np.ones(view.count, dtype=bool))


def _of(train: Train) -> When:
    return {"start_s": round(train.start_s, 3), "end_s": round(train.end_s, 3)}


def _led_by_p(view: View, shape: Shape) -> bool:
    """Whether P waves at a steady distance lead the beats: then the rhythm comes from above."""
    led = np.isfinite(view.p_s)
    if view.is_few and _ABOVE.holds(view.rate() or 0.0) and not float(view.p_sure.mean()) >= _SURELY_P:
        return False
    if not _FEW_LED.holds(float(led.mean())) and float(np.nanstd(view.pr_ms)) < _PR_VARIES.number:
        return True
    return shape.p_mv >= 0.05 and (view.rate() or 0.0) < 130.0


def _not_led(view: View) -> tuple[Evidence, ...]:
    """Why P waves don't lead the beats: there are too few, or they keep no distance."""
    share = float(np.isfinite(view.p_s).mean())
    if _FEW_LED.holds(share):
        return (Evidence("p_before_qrs", share, "1", _FEW_LED),)
    return (Evidence("pr_sd", float(np.nanstd(view.pr_ms)), "ms", _PR_VARIES),)


def _wide_tachycardia(view: View, shape: Shape, rate: float, width: float, v_share: float) -> Ventricles | None:
    spread = _spread(view.rr_s)
    free = _dissociated(view)
    families = _families(view, np.ones(view.count, dtype=bool))
    is_sure = v_share > 0.3 and float(view.sure[view.is_v].mean()) >= _POLYMORPHIC_SURE
    if families >= 3 and spread > 0.06 and is_sure:
        key, sure = "vt_poly", 0.6
    elif not _REGULAR.holds(spread):
        return None  # irregular: fibrillation with a bundle branch block more likely
    elif _DISSOCIATED.holds(free):
        key, sure = "vt", 0.9
    elif _is_ventricular(shape, width, v_share):
        key, sure = "vt", 0.6 + 0.1 * min(shape.ventricular_signs, 2) + (0.1 if width >= 150 else 0.0)
    else:
        key, sure = "wide_tachy", 0.7
    evidence = (
        Evidence("ventricular_rate", rate, "/min", _ABOVE, **view.span(0, view.count - 1)),
        Evidence("qrs_duration", width, "ms", _WIDE_TACHY if _WIDE_TACHY.holds(width) else _WIDE),
        *_not_led(view),
        *((Evidence("free_p_waves", float(free), "1", _DISSOCIATED),) if _DISSOCIATED.holds(free) else ()),
        Evidence("ventricular_signs", float(shape.ventricular_signs), "1", cited("Vereckei 2008; Brugada 1991")),
    )
    statements: list[Statement] = [said(key, sure, *evidence)]
    if key == "vt" and _DISSOCIATED.holds(free):
        statements.append(said("av_dissociation", 0.8, Evidence("free_p_waves", float(free), "1", _DISSOCIATED)))
    lasts = float(view.at_s[-1] - view.at_s[0])
    facts = (
        ("vt_longest_s", lasts),
        ("vt_rate", rate),
        ("vt_beats", float(view.count)),
        ("fills_strip", 1.0),
    )
    return Ventricles(
        Found(tuple(statements), facts if key.startswith("vt") else (("fills_strip", 1.0),)),
        True,
        np.ones(view.count, dtype=bool),
    )


def _is_ventricular(shape: Shape, width: float, v_share: float) -> bool:
    """Whether a wide regular tachycardia without P waves has signs of a ventricular origin: class, width, axis."""
    if v_share >= 0.6 or width >= _HARDLY_ABERRANT_MS or shape.ventricular_signs >= 2:
        return True
    return width >= 150.0 and shape.ventricular_signs >= 1


def _dissociated(view: View) -> int:
    """How many P waves follow their own clock: none of a beat's, at places that vary against the beats."""
    free = view.p_all_s[view.p_beat < 0]
    if free.size < 2 or not np.isfinite(view.pp_s):
        return 0
    before = np.searchsorted(view.at_s, free) - 1
    inside = before >= 0
    phase = free[inside] - view.at_s[before[inside]]
    return int(inside.sum()) if phase.size >= 2 and float(np.std(phase)) > 0.04 and view.pp_spread < 0.15 else 0


def _spread(rr_s: Samples) -> float:
    return float(np.std(rr_s) / np.mean(rr_s)) if rr_s.size else 0.0


def _families(view: View, which: Flags) -> int:
    """How many shapes make up nine tenths of these beats."""
    counts = np.sort(np.bincount(view.family[which]))[::-1]
    return int(np.searchsorted(np.cumsum(counts), 0.9 * counts.sum()) + 1)


# -- runs among other beats


def _runs(view: View) -> tuple[Flags, Flags, tuple[Statement, ...], tuple[tuple[str, float], ...]]:
    """Three ventricular beats and more in a row: (beats of tachycardia, of any run, statements, facts)."""
    tachy = np.zeros(view.count, dtype=bool)
    in_run = np.zeros(view.count, dtype=bool)
    slow: list[tuple[int, int, float]] = []
    fast: list[tuple[int, int, float]] = []
    for first, last in runs_of(view.is_v & (view.sure >= _SURE)):
        between = view.rr_s[first:last]
        if not _IN_RUN.holds(last - first + 1) or not view.is_seen[first:last].all():
            continue
        rate = 60.0 / float(between.mean())
        if _RUN_SLOW.holds(rate):
            slow.append((first, last, rate))
            in_run[first : last + 1] = True
        elif _is_wide(view, first, last):
            fast.append((first, last, rate))
            tachy[first : last + 1] = True
            in_run[first : last + 1] = True
    out: list[Statement] = []
    if slow:
        first, last, rate = max(slow, key=lambda run: run[1] - run[0])
        key = "idioventricular" if _IDIO.holds(rate) else "aivr"
        evidence = Evidence("run_rate", rate, "/min", _RUN_SLOW, **view.span(first, last))
        whole = first == 0 and last == view.count - 1
        out.append(said(key, 0.6, evidence, modifiers=() if whole else ("intermittent",)))
    if not fast:
        return tachy, in_run, tuple(out), ()
    first, last, rate = max(fast, key=lambda run: view.at_s[run[1]] - view.at_s[run[0]])
    out.append(_run_statement(view, first, last, rate))
    return tachy, in_run, tuple(out), _run_facts(view, first, last, rate)


def _is_wide(view: View, first: int, last: int) -> bool:
    """Most of the run's beats are wide, or clearly wider than the others."""
    if view.is_broad[first : last + 1].mean() > 0.5:
        return True
    width = middle(view.width_ms[first : last + 1])
    others = middle(view.width_ms[view.is_own])
    return not width < min(_WIDE_MS, 1.25 * others) if np.isfinite(others) else not width < _WIDE_MS


def _run_statement(view: View, first: int, last: int, rate: float) -> Statement:
    lasts = float(view.at_s[last] - view.at_s[first])
    beats = last - first + 1
    inside = np.zeros(view.count, dtype=bool)
    inside[first : last + 1] = True
    evidence = (
        Evidence("run_beats", float(beats), "1", _IN_RUN, **view.span(first, last)),
        Evidence("run_rate", rate, "/min", _RUN_FAST),
        Evidence("run_seconds", lasts, "s", _SUSTAINED if _SUSTAINED.holds(lasts) else _SHORTER),
    )
    sure = float(np.mean(view.sure[inside]))
    reaches_ends = first == 0 and last == view.count - 1
    if beats >= 5 and _families(view, inside) >= 3 and sure >= _POLYMORPHIC_SURE:
        return said("vt_poly", 0.8 * sure, *evidence)
    key = "vt" if _SUSTAINED.holds(lasts) or reaches_ends else "vt_nonsustained"
    return said(key, min(0.9, sure + 0.03 * min(beats, 6)), *evidence)


def _run_facts(view: View, first: int, last: int, rate: float) -> tuple[tuple[str, float], ...]:
    families = view.family[first : last + 1]
    turns = last - first >= 4 and families[0] != families[1] and bool((families[2:] == families[:-2]).all())
    return (
        ("vt_longest_s", float(view.at_s[last] - view.at_s[first])),
        ("vt_rate", rate),
        ("vt_beats", float(last - first + 1)),
        ("fills_strip", float(first == 0 and last == view.count - 1)),
        *((("vt_bidirectional", 1.0),) if turns else ()),
    )


# -- single beats and patterns


def _ectopy(view: View, in_run: Flags) -> tuple[Statement, ...]:
    """pvc with its modifiers, bigeminy, trigeminy, fusion, escapes."""
    counted = view.is_v & (view.sure >= _SURE) & ~in_run & ~_doubtful(view)
    escapes = _escapes(view, counted)
    early = np.flatnonzero(counted & ~escapes)
    out: list[Statement] = []
    if early.size:
        out.append(_premature(view, early))
        out += _patterns(view, counted & ~escapes)
    for index in np.flatnonzero(escapes)[:1]:
        evidence = Evidence("rr_before", 1000 * float(view.rr_s[index - 1]), "ms", _late(view))
        out.append(said("v_escape", 0.6 * float(view.sure[index]), evidence))
    fused = np.flatnonzero(view.is_fusion)
    if fused.size:
        evidence = Evidence("beats", float(fused.size), "1", _FUSED, **view.span(fused[0], fused[0]))
        out.append(said("fusion", float(view.sure[fused].max()), evidence))
    return tuple(out)


def _doubtful(view: View) -> Flags:
    """bool [beat]: ventricular beats of a form that comes once, seen by too few leads, and not sure enough for that."""
    if len(view.strip.leads) >= _LEADS_FOR_T_END or not view.count:
        return np.zeros(view.count, dtype=bool)
    believed = view.is_v & (view.sure >= _SURE)
    again = np.bincount(view.family[believed], minlength=int(view.family.max()) + 1)[view.family] >= 2
    return believed & ~again & (view.sure < _LONE_SURE)


def _escapes(view: View, ventricular: Flags) -> Flags:
    """Ventricular beats that come late, not early."""
    late = np.zeros(view.count, dtype=bool)
    if np.isfinite(middle(view.nn_s)):
        late[1:] = ventricular[1:] & _late(view).each(1000.0 * view.rr_s) & view.is_seen
    return late


def _late(view: View) -> Limit:
    """From when on a beat is an escape: a fifth later than usual, and no earlier than 1200 ms (ours)."""
    return Limit(">=", max(1200.0, 1200.0 * middle(view.nn_s)), "ms", OURS)


def _premature(view: View, early: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Statement:
    per_minute = 60.0 * early.size / max(view.seconds, 1.0)
    often = (
        "one" if early.size == 1 else "frequent" if early.size >= 3 and _FREQUENT.holds(per_minute) else "occasional"
    )
    modifiers = [often]
    if (np.diff(early) == 1).any():
        modifiers.append("couplets")
    if early.size >= 3:
        families = np.bincount(view.family[early])
        modifiers.append("multifocal" if (families >= 1).sum() > 1 and np.sort(families)[-2] >= 2 else "unifocal")
    seen = tuple(
        Evidence("premature_beat", 1000 * float(view.rr_s[k - 1]) if k else None, "ms", cited(AHA), **view.span(k, k))
        for k in early[:6].tolist()
    )
    count = Evidence("beats", float(early.size), "1", cited(TEXTBOOK))
    per = (Evidence("beats_per_minute", per_minute, "/min", _FREQUENT),) if often == "frequent" else ()
    return said("pvc", float(view.sure[early].max()), count, *per, *seen, modifiers=tuple(modifiers))


def _patterns(view: View, ventricular: Flags) -> list[Statement]:
    out: list[Statement] = []
    for key, gap in (("bigeminy_v", 2), ("trigeminy_v", 3)):
        at = np.flatnonzero(ventricular)
        best = max(runs_of(np.diff(at) == gap), key=lambda run: run[1] - run[0], default=None)
        if best is None or not _REPEATED.holds(best[1] - best[0] + 2):
            continue
        first, last = int(at[best[0]]), int(at[best[1] + 1])
        count = best[1] - best[0] + 2
        evidence = Evidence("in_a_row", float(count), "1", _REPEATED, **view.span(first, last))
        out.append(said(key, float(view.sure[at].mean()) + 0.05, evidence))
    return out


def _r_on_t(view: View) -> tuple[tuple[str, float], ...]:
    """r_on_t: 1 where a premature beat begins before the end of the T wave before it (by the usual distance of T's end).
    r_on_t_sure, 0..1: how surely it is a beat; with few leads, where nobody can say that T has ended, no more than
    ``_T_END_UNSURE`` unless it begins before T's peak."""
    own = view.is_own
    reach, top = middle((view.t_off_s - view.at_s)[own]), middle((view.t_peak_s - view.at_s)[own])
    early = np.flatnonzero(view.is_v[1:] & own[:-1] & view.is_seen & (view.sure[1:] >= _SURE)) + 1
    if not np.isfinite(reach) or not early.size:
        return (("r_on_t", 0.0),)
    half = np.where(np.isfinite(view.width_ms[early]), view.width_ms[early], _WIDE_MS) / 2000.0
    begins = view.rr_s[early - 1] - half
    upon = begins <= reach - 0.02
    if not upon.any():
        return (("r_on_t", 0.0),)
    sure = view.sure[early]
    if len(view.strip.leads) < _LEADS_FOR_T_END:
        sure = np.where(begins <= top, sure, np.minimum(sure, _T_END_UNSURE))
    return (("r_on_t", 1.0), ("r_on_t_sure", float(sure[upon].max())))
