"""PR interval, bundle-branch and fascicular blocks, preexcitation, axis.  AHA/ACCF/HRS 2009 part III."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import isfinite, isnan, nan
from typing import Final

import numpy as np

from ecg.diagnose_limits import Limits, limits_at
from ecg.diagnose_view import AHA3, View, beyond, stated
from ecg.limit import Limit, in_words
from ecg.marks import Evidence, Mark, Statement

_DELTA: Final = Limit(">=", 38.0, "ms", "ours")
"""From the QRS onset to the first quarter of its steepest rise: a delta wave takes longer (ours, on made beats)."""
_RIGHT_FROM: Final = 0.6
_LEFT_FROM: Final = 0.95
_LEFT_FROM_WIDE: Final = 0.75
"""Shares of a block's form from which it is named (ours, on PTB-XL folds 7-8)."""
_PR_LITTLE_MS: Final = 10.0
"""As far beyond its limit a PR interval is borderline: what two readers differ by (ours)."""
_AXIS_LITTLE_DEG: Final = 10.0
_SMALLEST_NET: Final = Limit("<", 0.12, "mV", "ours", "|R - S| in I, II, aVF")
"""Below this net QRS in I, II and aVF the axis has no direction (ours)."""
_SUPERIOR: Final = Limit("<", -90.0, "deg", AHA3, decimals=0)
_R_PRIME: Final = Limit(">=", 0.1, "mV", AHA3)
_LATE_V1: Final = Limit(">=", 50.0, "ms", AHA3)
_LATE_SIDE: Final = Limit(">=", 60.0, "ms", AHA3)
_LONG_S: Final = Limit(">", 40.0, "ms", AHA3)
_NO_Q: Final = Limit("<", 0.05, "mV", AHA3, ": no q in I, V6")
_LAFB: Final = Limit("in", -90.0, "deg", AHA3, upper=-45.0, decimals=0)
_LAFB_POSSIBLE: Final = Limit("in", -44.0, "deg", "ours", "with the form: possible", upper=-30.0, decimals=0)
_LPFB: Final = Limit("in", 90.0, "deg", AHA3, upper=180.0)
_QR: Final = in_words("qR", AHA3)
_DISCORDANT: Final = in_words("T against the QRS", AHA3)


_Scored = tuple[float, tuple[Evidence, ...]]


@dataclass(frozen=True, slots=True)
class Conduction:
    """What later rules must know.  bundle: lbbb, rbbb, ivcd or empty (complete, QRS at or above the limit)."""

    bundle: str
    is_preexcited: bool
    statements: tuple[Statement, ...]


def conduction(view: View) -> Conduction:
    """The statements on conduction, and what they forbid."""
    limits = limits_at(view.age_years)
    pre = tuple(_preexcitation(view, limits))
    blocks = () if pre else tuple(_bundle(view, limits))
    keys = {s.key for s in blocks}
    fascicles = () if pre or "lbbb" in keys else tuple(_fascicles(view))
    bundle = next((key for key in ("lbbb", "rbbb", "ivcd") if key in keys), "")
    if bundle == "ivcd" and view.qrs_ms < limits.qrs_complete.number:
        bundle = ""
    said = (*pre, *blocks, *fascicles, *(() if pre else _pr(view, limits)), *_axis(view, limits))
    return Conduction(bundle, bool(pre), said)


# ------------------------------------------------------------------------------------------------ PR, preexcitation


def _pr(view: View, limits: Limits) -> Iterator[Statement]:
    """Only where P waves lead the QRS."""
    if view.says(
        "afib", "aflutter", "avb3", "avb2_mobitz1", "avb_high", "junctional_rhythm", "junctional_tachy", "svt"
    ):
        return
    pr = view.of("pr_interval")
    trust = view.sure("pr_interval")
    if trust < 0.3:
        return
    if limits.pr.holds(pr):
        evidence = view.evidence("pr_interval", limits.pr)
        is_little = round(pr) <= limits.pr.number + _PR_LITTLE_MS
        sure = beyond(round(pr), limits.pr.number, 20) * (0.6 + 0.4 * trust)
        yield stated("avb1", sure, evidence, modifiers=("borderline",) if is_little else ())
    elif limits.pr_short.holds(pr) and view.says("sinus_rhythm", "sinus_tachy", "sinus_brady", "sinus_arrhythmia"):
        evidence = view.evidence("pr_interval", limits.pr_short)
        yield stated("short_pr", beyond(round(pr), limits.pr_short.number, 15) * (0.6 + 0.4 * trust), evidence)


def _preexcitation(view: View, limits: Limits) -> Iterator[Statement]:
    """Short PR (or fibrillation), a slow begin of the QRS, and a QRS that is wide for it."""
    qrs, pr = view.qrs_ms, view.of("pr_interval")
    slow = delta_ms(view)
    is_fibrillating = view.says("afib")
    if not (limits.qrs_nearly.holds(qrs) and _DELTA.holds(slow)):
        return
    # without P waves a slow begin alone is too little: the pathway must also show its speed
    is_fast = view.of("heart_rate") >= 120 or view.facts.get("af_shortest_rr_ms", 1000.0) <= 300
    short = replace(limits.pr_short, decimals=None)
    if not (short.holds(pr) or (is_fibrillating and qrs >= limits.qrs_complete.number and is_fast)):
        return
    evidence = [
        view.evidence("qrs_duration", view.corrected(limits.qrs_nearly), value=qrs),
        Evidence("delta_wave", slow, "ms", _DELTA),
    ]
    if not is_fibrillating:
        evidence.insert(0, view.evidence("pr_interval", short))
    yield stated("preexcitation", 0.55 if is_fibrillating else beyond(slow, _DELTA.number, 12), *evidence)


def delta_ms(view: View) -> float:
    """From the QRS onset until the leads together rise at a quarter of their steepest, ms; NaN without a QRS."""
    median = view.median
    on, off = median.overall[Mark.QRS_ON], median.overall[Mark.QRS_OFF]
    if not (isfinite(on) and isfinite(off)) or off - on < 4 or median.mv.shape[1] < off + 1:
        return nan
    piece = median.mv[:, max(int(on) - 1, 0) : int(off) + 1]
    speed = np.linalg.norm(np.diff(piece, axis=1), axis=0)
    if speed.size < 4:
        return nan
    speed = np.convolve(speed, np.ones(3) / 3, mode="same")
    return float(np.argmax(speed >= 0.45 * speed.max())) * 1000.0 / median.fs_hz


# ------------------------------------------------------------------------------------------------ bundle branches


def _bundle(view: View, limits: Limits) -> Iterator[Statement]:
    qrs = view.qrs_ms
    if not limits.qrs_nearly.holds(qrs):
        return
    width = round(qrs)
    right, left = _right_score(view), _left_score(view)
    if limits.qrs_complete.holds(qrs):
        yield _complete(view, limits, width, right, left)
    elif right[0] >= _RIGHT_FROM:
        source = f"{AHA3} (from {limits.qrs_incomplete.number:g} ms); ours"
        limit = replace(limits.qrs_nearly_widened, words="with an R' in V1", source=source)
        duration = view.evidence("qrs_duration", view.corrected(limit), value=qrs)
        sure = 0.35 + 0.5 * right[0] * (1.0 if limits.qrs_incomplete.holds(qrs) else 0.6)
        yield stated("irbbb", sure, duration, *right[1])
    elif limits.qrs_incomplete.holds(qrs):
        duration = view.evidence("qrs_duration", view.corrected(limits.qrs_widened), value=qrs)
        if left[0] >= _LEFT_FROM:
            yield stated("ilbbb", 0.35 + 0.5 * left[0], duration, *left[1])
        else:
            yield stated("ivcd", 0.5, duration, modifiers=("borderline",))


def _complete(view: View, limits: Limits, width: int, right: _Scored, left: _Scored) -> Statement:
    """A QRS of 120 ms and more: right, left, or of neither form."""
    duration = view.evidence("qrs_duration", view.corrected(limits.qrs_complete), value=view.qrs_ms)
    sure = beyond(width, limits.qrs_complete.number, 15)
    # the wider, the less form is asked for: nothing else makes a QRS of 140 ms with a late lateral R (Strauss 2011)
    left_from = _LEFT_FROM if width < limits.qrs_complete.number + 20 else _LEFT_FROM_WIDE
    if right[0] >= _RIGHT_FROM and right[0] >= left[0]:
        return stated("rbbb", min(sure, 0.45 + 0.5 * right[0]), duration, *right[1])
    if left[0] >= left_from:
        return stated("lbbb", min(sure, 0.45 + 0.5 * left[0]), duration, *left[1])
    if right[0] >= _RIGHT_FROM:
        return stated("rbbb", min(sure, 0.45 + 0.5 * right[0]), duration, *right[1])
    return stated("ivcd", sure, duration)


def _right_score(view: View) -> _Scored:
    """0..1: a late R' (or one wide R) in V1, with V2's help, and a wide S in I and V6."""
    found: list[Evidence] = []
    first, late = view.of("r_amplitude", "V1"), view.of("r_prime", "V1")
    over_r = Limit(">", view.of("r_amplitude", "V2"), "mV", AHA3, "(R)")
    score = 0.0
    if _R_PRIME.holds(late):
        score = 0.7 if late > first else 0.55
        found.append(view.evidence("r_prime", _R_PRIME, "V1"))
    elif late >= 0.05 and over_r.holds(view.of("r_prime", "V2")):
        score = 0.5
        found.append(view.evidence("r_prime", over_r, "V2"))
    elif first > max(view.of("s_amplitude", "V1"), 0.2) and _LATE_V1.holds(view.of("vat", "V1")):
        score = 0.55
        found.append(view.evidence("vat", _LATE_V1, "V1"))
    elif view.is_qr("V1"):
        score = 0.5
        found.append(view.evidence("r_amplitude", _QR, "V1"))
    for lead in ("I", "V6"):
        s, long = view.of("s_amplitude", lead), view.of("s_duration", lead)
        deep = Limit(">", view.of("r_amplitude", lead), "mV", AHA3, "(R)")
        if s >= 0.08 and (deep.holds(s) or _LONG_S.holds(long)):
            score += 0.15 if score else 0.1
            key, limit = ("s_duration", _LONG_S) if _LONG_S.holds(long) else ("s_amplitude", deep)
            found.append(view.evidence(key, limit, lead))
    return min(score, 1.0), tuple(found)


def _left_score(view: View) -> _Scored:
    """0..1, a fifth each: V1 rS or QS; I and V6 (V5) upright; no q there; late there; T against it there."""
    down = Limit(">", max(2 * view.r_mv("V1"), 0.3), "mV", AHA3, ": rS or QS")
    if not down.holds(view.s_mv("V1")):
        return 0.0, ()
    found = [view.s_evidence(down, "V1")]
    upright = [lead for lead in ("I", "V5", "V6") if view.net_mv(lead) > 0]
    if "I" not in upright or len(upright) < 2:
        return 0.2, tuple(found)
    score = 0.4
    side = upright[-1]
    if view.of("q_amplitude", "I") < 0.03 and _NO_Q.holds(view.of("q_amplitude", side)):
        score += 0.2
        found.append(view.evidence("q_amplitude", _NO_Q, side))
    late = [lead for lead in ("I", "aVL", "V5", "V6") if _LATE_SIDE.holds(view.of("vat", lead))]
    if len(late) >= 2:
        score += 0.2
        found.append(view.evidence("vat", _LATE_SIDE, late[-1]))
    if view.t_mv("I") <= 0.05 or view.t_mv(side) <= 0:
        score += 0.2
        found.append(view.t_evidence(_DISCORDANT, side if view.t_mv(side) <= 0 else "I"))
    return score, tuple(found)


# ------------------------------------------------------------------------------------------------ fascicles


def _fascicles(view: View) -> Iterator[Statement]:
    """Not read in children: their axis is another."""
    axis = view.of("qrs_axis")
    if not view.is_adult or isnan(axis):
        return
    is_down = _is_rs(view, "II") and _is_rs(view, "III") and _is_rs(view, "aVF")
    if (
        any(limit.holds(axis) for limit in (_LAFB, _LAFB_POSSIBLE))
        and is_down
        and _is_qr_avl(view)
        and (_LAFB.holds(axis) or view.of("q_amplitude", "aVL") > 0.02)
    ):
        is_full = _LAFB.holds(axis)
        yield stated(
            "lafb",
            beyond(axis, -45, 12) if is_full else 0.5,
            view.evidence("qrs_axis", _LAFB if is_full else _LAFB_POSSIBLE),
            view.evidence("r_amplitude", _QR, "aVL"),
            view.s_evidence(in_words("rS in II, III, aVF", AHA3), "III"),
            modifiers=() if is_full else ("possible",),
        )
    yield from _posterior_fascicle(view, axis)


def _posterior_fascicle(view: View, axis: float) -> Iterator[Statement]:
    """Not below 40 years with an axis short of 110 degrees: a young, upright heart looks the same (ours)."""
    is_young = view.age_years is not None and view.age_years < 40 and axis < 110
    if not _LPFB.holds(axis) or is_young or not (_is_rs(view, "I") and _is_rs(view, "aVL")):
        return
    has_q = all(view.of("q_amplitude", lead) >= 0.03 and view.net_mv(lead) > 0 for lead in ("III", "aVF"))
    if has_q and view.r_mv("V1") < 0.7 and view.of("p_amplitude", "II") <= 0.25:  # else the right ventricle explains it
        yield stated(
            "lpfb",
            beyond(axis, 90, 15) - 0.1,
            view.evidence("qrs_axis", _LPFB),
            view.s_evidence(in_words("rS in I, aVL", AHA3), "I"),
            view.evidence("q_amplitude", in_words("qR in III, aVF", AHA3), "III"),
        )


def _is_rs(view: View, lead: str) -> bool:
    return view.of("r_amplitude", lead) >= 0.03 and view.s_mv(lead) > view.r_mv(lead)


def _is_qr_avl(view: View) -> bool:
    return view.net_mv("aVL") > 0 and view.of("r_amplitude", "aVL") >= 0.2


# ------------------------------------------------------------------------------------------------ axis


def _axis(view: View, limits: Limits) -> Iterator[Statement]:
    axis = view.of("qrs_axis")
    if not view.leads.issuperset({"I", "aVF"}):
        return
    nets = [abs(view.net_mv(lead)) for lead in ("I", "II", "aVF")]
    if all(_SMALLEST_NET.holds(net) for net in nets) or isnan(axis):
        if all(isfinite(net) for net in nets):
            limit = _SMALLEST_NET if _SMALLEST_NET.holds(max(nets)) else in_words("no direction", "ours")
            yield stated("axis_indeterminate", 0.6, Evidence("net_qrs", max(nets), "mV", limit))
        return
    left, right = limits.left.number, limits.right.number
    degrees = round(axis)
    if view.is_adult:
        turned = degrees
    else:  # a newborn's normal range goes beyond 180
        turned = degrees + 360 if degrees < left - 180 + (right - left) / 2 else degrees
    if view.is_adult and _SUPERIOR.holds(degrees):
        key, limit, sure = "axis_superior", replace(_SUPERIOR, source=limits.left.source), beyond(degrees, -90, 15)
    elif limits.left.holds(turned):
        key, limit, sure = "lad", limits.left, beyond(turned, left, 12)
    elif limits.right.holds(turned):
        key, limit, sure = "rad", limits.right, beyond(turned, right, 12)
    else:
        return
    is_little = min(abs(turned - left), abs(turned - right)) <= _AXIS_LITTLE_DEG and key != "axis_superior"
    evidence = view.evidence("qrs_axis", limit, value=turned)
    yield stated(key, sure, evidence, modifiers=("borderline",) if is_little else ())
