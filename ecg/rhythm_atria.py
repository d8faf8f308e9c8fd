"""The basic rhythm where it comes from above the ventricles, and premature beats from there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from ecg.limit import Limit, cited, in_words
from ecg.marks import Evidence, Statement
from ecg.rhythm_shape import Shape
from ecg.rhythm_view import AHA, OURS, TEXTBOOK, Found, View, middle, runs_of, said

BRADY: Final = 60.0
TACHY: Final = 100.0
_SINUS: Final = Limit("in", BRADY, "/min", f"{AHA}; {TEXTBOOK}", upper=TACHY, decimals=0)
_SINUS_SLOW: Final = Limit("<", BRADY, "/min", f"{AHA}; {TEXTBOOK}", decimals=0)
_SINUS_FAST: Final = Limit(">", TACHY, "/min", f"{AHA}; {TEXTBOOK}", decimals=0)
_ABOVE: Final = Limit(">", TACHY, "/min", AHA)
_NOT_ABOVE: Final = Limit("<=", TACHY, "/min", AHA)
_SVT: Final = 150.0
"""/min: a narrow regular tachycardia without P waves from here on isn't taken for sinus (ours)."""
_SVT_ABOVE: Final = Limit(">", _SVT, "/min", OURS)
_EPISODE: Final = Limit(">=", 0.93 * _SVT, "/min", OURS)
"""The mean rate of a fast run among slower beats (ours)."""
_SVT_WITHOUT_P: Final = 145.0
"""/min: from here on where the intervals are all alike and no P wave is seen before any beat (ours)."""
_WIDE_TACHY: Final = Limit(">=", 135.0, "ms", f"{AHA}; limit {OURS}")
_WIDE_MS: Final = 120.0
_P_HIDDEN: Final = Limit("<", 0.022, "mV", OURS, "in the mean beat")
_JUNCTIONAL: Final = Limit("<=", 60.0, "/min", AHA)
_JUNCTIONAL_FAST: Final = Limit("in", 60.0, "/min", AHA, upper=TACHY)
_ATRIAL_PR: Final = Limit(">=", 110.0, "ms", f"{AHA}; limit {OURS}")
_SHORT_PR: Final = Limit("<", 110.0, "ms", f"{AHA}; limit {OURS}")
_ARRHYTHMIA: Final = Limit(">=", 160.0, "ms", f"{AHA} and {TEXTBOOK}: 120 ms; {OURS}")
"""Longest less shortest RR; AHA and the Chinese textbook say 120 ms of PP, which marks every third healthy adult:
their limit for the child's arrhythmia, 160 ms, is the usual reading program's (ours)."""
_REGULAR: Final = 0.06
_REGULAR_FAST: Final = Limit("<=", 0.10, "1", OURS)
_RUN: Final = 4
_RUN_BEATS: Final = Limit(">=", _RUN + 1, "1", OURS)
_HALF: Final = 0.5
_FIBRILLATES: Final = Limit(">=", _HALF, "1", OURS)
_LED: Final = Limit(">=", _HALF, "1", OURS)
"""Sinus rhythm is proved by P waves before at least half of its beats: where fewer have one it is right in three of four
records of PTB-XL's folds 7-8, where more have one in 96 %."""
_NOT_LED: Final = Limit("<", _HALF, "1", OURS)
_SURELY_LED: Final = 0.8
_HARDLY_LED: Final = Limit("<", 0.25, "1", OURS)
_EACH_WAY: Final = Limit(">=", 2, "1", AHA)
_DOWN: Final = in_words("P wave down in II", AHA)


@dataclass(frozen=True, slots=True)
class Atria:
    """found: what's said.  key: of the basic rhythm, empty where none can be named.  hides_p: no P wave may be marked."""

    found: Found
    key: str
    hides_p: bool


def is_fibrillating(view: View) -> bool:
    return _FIBRILLATES.holds(view.af) and not is_fluttering(view)


def is_fluttering(view: View) -> bool:
    """Flutter with changing conduction is as irregular as fibrillation: its waves decide."""
    return _flutters(view).holds(view.atrial.flutter_probability)


def _flutters(view: View) -> Limit:
    return Limit(">=", max(_HALF, view.af - 0.3), "1", OURS)


def of(view: View, shape: Shape, *, is_blocked: bool) -> Atria:
    """is_blocked: AV block of second or third degree, so that the P waves' rate names the rhythm."""
    rate = view.rate(view.is_own) or view.rate()
    if rate is None:
        return Atria(Found(), "", hides_p=False)
    if is_fibrillating(view):
        return _fibrillation(view)
    if is_fluttering(view):
        return _flutter(view, rate)
    episode = _episode(view)
    main = _basic(view, shape, rate, is_blocked=is_blocked)
    premature = _premature(view, episode)
    statements = (*((main,) if main is not None else ()), *_variations(view, main), *premature)
    facts: tuple[tuple[str, float], ...] = ()
    if episode is not None:
        first, last = episode
        here = 60.0 / float(view.rr_s[first:last].mean())
        facts = (("svt_rate", here), ("svt_longest_s", float(view.at_s[last] - view.at_s[first])))
        statements = (*statements, _psvt(view, first, last, here))
    elif main is not None and main.key in ("svt", "atrial_tachy", "narrow_tachy", "junctional_tachy"):
        facts = (("svt_rate", rate), ("svt_longest_s", float(view.at_s[-1] - view.at_s[0])), ("fills_strip", 1.0))
    return Atria(Found(statements, facts), main.key if main is not None else "", hides_p=False)


# -- fibrillation and flutter


def _fibrillation(view: View) -> Atria:
    rr = view.rr_s[view.is_seen]
    rate = 60.0 / float(rr.mean())
    a = view.atrial
    evidence = (
        Evidence("af_probability", view.af, "1", _FIBRILLATES),
        Evidence("rr_irregularity", a.rr_irregularity, "1", cited(OURS)),
        Evidence("p_waves", view.p_share, "1", in_words("no steady P waves", AHA)),
        Evidence("ventricular_rate", rate, "/min", cited(AHA)),
    )
    statements = [said("afib", view.af, *evidence, modifiers=_response(rate))]
    # Wide and too fast for the AV node: fibrillation over an accessory pathway alarms by its shortest RR.
    # In one or two leads it may as well be a ventricular tachycardia that isn't even.
    limit = _ABOVE if view.is_few else _SVT_ABOVE
    if view.is_wide and limit.holds(rate):
        statements.append(said("wide_tachy", 0.55, Evidence("ventricular_rate", rate, "/min", limit)))
    facts = (("af_shortest_rr_ms", 1000.0 * float(rr.min())),)
    return Atria(Found(tuple(statements), facts), "afib", hides_p=True)


def _flutter(view: View, rate: float) -> Atria:
    a = view.atrial
    ratio = 60.0 * a.f_hz / rate if np.isfinite(a.f_hz) else float("nan")
    evidence = (
        Evidence("flutter_probability", a.flutter_probability, "1", _flutters(view)),
        Evidence("flutter_rate", 60.0 * a.f_hz, "/min", cited(AHA)),
        Evidence("atrial_per_ventricular", ratio, "1", cited(AHA)),
    )
    statement = said("aflutter", a.flutter_probability, *evidence, modifiers=_response(rate))
    return Atria(Found((statement,)), "aflutter", hides_p=True)


def _response(rate: float) -> tuple[str, ...]:
    return ("rapid_response",) if rate > TACHY else ("slow_response",) if rate < BRADY else ()


# -- one basic rhythm


def _basic(view: View, shape: Shape, rate: float, *, is_blocked: bool) -> Statement | None:
    if is_blocked and np.isfinite(view.pp_s):
        return _sinus(view, 60.0 / view.pp_s, 0.75)
    rr = view.nn_s if view.nn_s.size else view.rr_s
    spread = float(np.std(rr) / rr.mean()) if rr.size else 0.0
    has_p = _LED.holds(view.p_share)
    if _ABOVE.holds(rate):
        return _tachycardia(view, shape, rate, spread, has_p=has_p)
    if has_p and shape.p_up < 0 and view.p_share >= 0.7:
        return _from_below(view, rate)
    if has_p:
        return _sinus(view, rate, (0.95 if view.p_share >= _SURELY_LED else 0.8) - 0.5 * view.af)
    if _P_HIDDEN.holds(shape.p_mv) and spread < _REGULAR and _HARDLY_LED.holds(view.p_share) and not view.is_wide:
        return _junctional(view, shape, rate)
    return _untold(view, rate)


def _untold(view: View, rate: float) -> Statement:
    """A rhythm without P waves that lead it and without a name: never sinus for want of a better word."""
    evidence = (
        Evidence("p_before_qrs", view.p_share, "1", _NOT_LED),
        Evidence("ventricular_rate", rate, "/min", cited(AHA)),
    )
    return said("rhythm_uncertain" if not view.width < _WIDE_MS else "sv_rhythm_uncertain", 0.5, *evidence)


def _sinus(view: View, rate: float, sure: float) -> Statement:
    kinds = (("sinus_brady", _SINUS_SLOW), ("sinus_tachy", _SINUS_FAST), ("sinus_rhythm", _SINUS))
    key, limit = next((kind for kind in kinds if kind[1].holds(rate)), kinds[-1])
    evidence = (
        Evidence("atrial_rate", rate, "/min", limit),
        Evidence("p_before_qrs", view.p_share, "1", _LED.if_held(view.p_share)),
    )
    return said(key, sure, *evidence)


def _tachycardia(view: View, shape: Shape, rate: float, spread: float, *, has_p: bool) -> Statement | None:
    steady_pr = view.p_share >= 0.6 and float(np.nanstd(view.pr_ms[view.is_own])) < 30.0
    at = Evidence("ventricular_rate", rate, "/min", _ABOVE)
    if steady_pr and shape.p_up < 0 and spread < _REGULAR:
        p = Evidence("p_axis_down", -1.0, "1", _DOWN)
        return said("atrial_tachy", 0.65, at, p)
    age = view.strip.age_years
    fastest = 220.0 - age if age is not None else 180.0
    is_led = has_p and shape.p_up >= 0
    if is_led and (rate < _SVT or steady_pr) and rate <= max(fastest + 10.0, _SVT):
        return _sinus(view, rate, 0.9 if steady_pr and rate < 140 else 0.65)
    if _WIDE_TACHY.holds(view.width):
        wide = Evidence("qrs_duration", view.width, "ms", _WIDE_TACHY)
        return _sinus(view, rate, 0.4) if has_p and rate < 130 else said("wide_tachy", 0.5, at, wide)
    if not _REGULAR_FAST.holds(spread):
        return _sinus(view, rate, 0.4) if has_p and rate < _SVT else _untold(view, rate)
    regular = Evidence("rr_spread", spread, "1", _REGULAR_FAST)
    if rate >= _SVT or (rate >= _SVT_WITHOUT_P and view.p_share < 0.2 and spread < 0.03):
        return said("svt", 0.9 if spread < 0.03 and rate >= _SVT else 0.7, at, regular)
    if has_p:
        return _sinus(view, rate, 0.55)
    if not view.width < _WIDE_MS:
        return _untold(view, rate)
    p = Evidence("p_before_qrs", view.p_share, "1", _NOT_LED)
    return said("narrow_tachy", 0.55 if _P_HIDDEN.holds(shape.p_mv) else 0.45, at, regular, p)


def _from_below(view: View, rate: float) -> Statement:
    """P waves that point away from II: an ectopic atrial rhythm, or the junction's where PR is short."""
    pr = middle(view.pr_ms)
    evidence = (
        Evidence("p_axis_down", -1.0, "1", _DOWN),
        Evidence("pr_interval", pr, "ms", _ATRIAL_PR if _ATRIAL_PR.holds(pr) else _SHORT_PR),
        Evidence("ventricular_rate", rate, "/min", _NOT_ABOVE),
    )
    key = "atrial_rhythm" if _ATRIAL_PR.holds(pr) else _junctional_key(rate)
    return said(key, 0.6, *evidence)


def _junctional(view: View, shape: Shape, rate: float) -> Statement:
    evidence = (
        Evidence("p_before_qrs", view.p_share, "1", _HARDLY_LED),
        Evidence("p_height", shape.p_mv, "mV", _P_HIDDEN),
        Evidence("ventricular_rate", rate, "/min", _JUNCTIONAL if _JUNCTIONAL.holds(rate) else _JUNCTIONAL_FAST),
    )
    quiet = shape.noise_mv < 0.012
    return said(_junctional_key(rate), 0.65 if quiet and view.p_share < 0.1 else 0.45, *evidence)


def _junctional_key(rate: float) -> str:
    return "junctional_rhythm" if _JUNCTIONAL.holds(rate) else "junctional_acc"


# -- beside the basic rhythm


def _variations(view: View, main: Statement | None) -> list[Statement]:
    """Sinus arrhythmia, wandering pacemaker."""
    if main is None or not main.key.startswith("sinus"):
        return []
    wanders = _wandering(view)
    if wanders is not None:
        return [wanders]
    nn = view.nn_s
    if nn.size < 4 or view.p_share < _HALF or main.key == "sinus_tachy":
        return []
    middle_rr = float(np.median(nn))
    nn = nn[(nn < 1.6 * middle_rr) & (nn > 0.6 * middle_rr)]  # a pause and what is premature are said by themselves
    swing = 1000.0 * float(np.ptp(nn)) if nn.size > 3 else 0.0
    if not _ARRHYTHMIA.holds(swing) or swing < 100.0 * middle_rr:
        return []
    evidence = Evidence("rr_range", swing, "ms", _ARRHYTHMIA)
    return [said("sinus_arrhythmia", 0.6 + min(0.3, (swing - _ARRHYTHMIA.number) / 500.0), evidence)]


def _wandering(view: View) -> Statement | None:
    """P waves up and down in II, each more than once, at a rate of 100/min at most."""
    rate = view.rate() or 0.0
    if "II" not in view.strip.leads or rate > TACHY:
        return None
    hz = view.strip.fs_hz
    own = view.is_own & np.isfinite(view.p_marked_s)
    at = np.rint(view.p_marked_s[own] * hz).astype(np.int64)
    row = view.strip.lead("II")
    near, side = int(0.012 * hz), int(0.055 * hz)
    at = at[(at > side + near) & (at < row.size - side - near)]
    if at.size < 6:
        return None
    at_peak = row[at[:, None] + np.arange(-near, near + 1)].mean(axis=1)
    beside = 0.5 * (row[at - side] + row[at + side])
    height = at_peak - beside
    up, down = int((height > 0.06).sum()), int((height < -0.06).sum())
    if not _EACH_WAY.holds(min(up, down)) or float(np.std((view.at_s - view.p_marked_s)[own])) < 0.008:
        return None
    evidence = (
        Evidence("p_up", float(up), "1", _EACH_WAY, lead="II"),
        Evidence("p_down", float(down), "1", _EACH_WAY, lead="II"),
    )
    return said("wandering_pacemaker", 0.5, *evidence)


def _episode(view: View) -> tuple[int, int] | None:
    """First and last beat of the longest narrow fast run among slower beats; None where there's none."""
    if view.count < _RUN + 2:
        return None
    narrow = ~(view.is_v | view.is_paced)
    fast = narrow[1:] & narrow[:-1] & view.is_seen & (view.rr_s <= 60.0 / _SVT * 1.1)
    best = max(runs_of(fast), key=lambda run: run[1] - run[0], default=None)
    if best is None or best[1] - best[0] + 1 < _RUN:
        return None
    inside = np.zeros(view.rr_s.size, dtype=bool)
    inside[best[0] : best[1] + 1] = True
    others = view.rr_s[~inside & view.is_seen]
    mean = float(view.rr_s[inside].mean())
    if others.size < 2 or not _EPISODE.holds(60.0 / mean) or mean > 0.72 * float(np.median(others)):
        return None
    return best[0], best[1] + 1


def _psvt(view: View, first: int, last: int, rate: float) -> Statement:
    evidence = (
        Evidence("run_rate", rate, "/min", _EPISODE, **view.span(first, last)),
        Evidence("run_beats", float(last - first + 1), "1", _RUN_BEATS),
    )
    return said("psvt", 0.6 + 0.02 * min(last - first, 10), *evidence)


def _premature(view: View, episode: tuple[int, int] | None) -> list[Statement]:
    early = view.is_s & (view.sure >= 0.4)
    if episode is not None:
        early[episode[0] : episode[1] + 1] = False
    at = np.flatnonzero(early)
    if not at.size:
        return []
    others_have_p = view.p_share >= 0.85
    usual_t = middle((view.t_off_s - view.at_s)[view.is_own])
    before = np.concatenate([[np.nan], view.rr_s])
    lacks_p = ~np.isfinite(view.p_s) & others_have_p & (before > (usual_t + 0.16 if np.isfinite(usual_t) else 9.0))
    out: list[Statement] = []
    for key, which in (("pac", at[~lacks_p[at]]), ("jpc", at[lacks_p[at]])):
        if not which.size:
            continue
        seen = tuple(
            Evidence("premature_beat", 1000.0 * float(before[k]), "ms", cited(AHA), **view.span(k, k))
            for k in which[:6].tolist()
        )
        per_minute = 60.0 * which.size / max(view.seconds, 1.0)
        often = "one" if which.size == 1 else "frequent" if which.size >= 3 and per_minute > 5 else "occasional"
        sure = float(view.sure[which].max()) * (0.9 if key == "pac" else 0.6)
        out.append(said(key, sure, *seen, modifiers=(often,)))
    wider = Limit(">", max(120.0, 1.25 * view.width), "ms", AHA)
    wide = at[wider.each(view.width_ms[at])] if np.isfinite(view.width) else at[:0]
    if wide.size:
        evidence = Evidence("qrs_duration", float(view.width_ms[wide[0]]), "ms", wider)
        out.append(said("aberrancy", 0.5, evidence))
    return out
