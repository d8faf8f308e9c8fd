"""PR interval, bundle-branch and fascicular blocks, preexcitation, axis.  AHA/ACCF/HRS 2009 part III."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import isfinite, isnan, nan
from typing import Final

import numpy as np

from ecg.diagnose_limits import Limits, limits_at
from ecg.diagnose_view import AHA3, View, beyond, stated
from ecg.limit import in_words
from ecg.marks import Evidence, Mark, Statement

_DELTA_MS: Final = 38.0
"""From the QRS onset to the first quarter of its steepest rise: a delta wave takes longer (ours, on made beats)."""
_RIGHT_FROM: Final = 0.6
_LEFT_FROM: Final = 0.95
_LEFT_FROM_WIDE: Final = 0.75
"""Shares of a block's form from which it is named (ours, on PTB-XL folds 7-8)."""
_PR_LITTLE_MS: Final = 10.0
"""As far beyond its limit a PR interval is borderline: what two readers differ by (ours)."""
_AXIS_LITTLE_DEG: Final = 10.0
_SMALLEST_NET_MV: Final = 0.12
"""Below this net QRS in I, II and aVF the axis has no direction (ours)."""


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
    if bundle == "ivcd" and view.qrs_ms < limits.qrs_complete:
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
    pr = round(view.of("pr_interval"), 0)
    trust = view.sure("pr_interval")
    if trust < 0.3:
        return
    if pr > limits.pr:
        limit = f"> {limits.pr:g} ms"
        evidence = view.evidence("pr_interval", limit=limit, source=limits.source)
        is_little = pr <= limits.pr + _PR_LITTLE_MS
        sure = beyond(pr, limits.pr, 20) * (0.6 + 0.4 * trust)
        yield stated("avb1", sure, evidence, modifiers=("borderline",) if is_little else ())
    elif pr < limits.pr_short and view.says("sinus_rhythm", "sinus_tachy", "sinus_brady", "sinus_arrhythmia"):
        evidence = view.evidence("pr_interval", limit=f"< {limits.pr_short:g} ms", source=limits.source)
        yield stated("short_pr", beyond(pr, limits.pr_short, 15) * (0.6 + 0.4 * trust), evidence)


def _preexcitation(view: View, limits: Limits) -> Iterator[Statement]:
    """Short PR (or fibrillation), a slow begin of the QRS, and a QRS that is wide for it."""
    qrs, pr = view.qrs_ms, view.of("pr_interval")
    slow = delta_ms(view)
    is_fibrillating = view.says("afib")
    if not (qrs >= limits.qrs_incomplete - 10 and slow >= _DELTA_MS):
        return
    # without P waves a slow begin alone is too little: the pathway must also show its speed
    is_fast = view.of("heart_rate") >= 120 or view.facts.get("af_shortest_rr_ms", 1000.0) <= 300
    if not (pr < limits.pr_short or (is_fibrillating and qrs >= limits.qrs_complete and is_fast)):
        return
    evidence = [
        view.evidence("qrs_duration", limit=f">= {limits.qrs_incomplete - 10:g} ms", source=AHA3),
        Evidence("delta_wave", slow, "ms", in_words(f">= {_DELTA_MS:g} ms", "ours")),
    ]
    if not is_fibrillating:
        evidence.insert(0, view.evidence("pr_interval", limit=f"< {limits.pr_short:g} ms", source=AHA3))
    yield stated("preexcitation", 0.55 if is_fibrillating else beyond(slow, _DELTA_MS, 12), *evidence)


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
    if isnan(qrs) or qrs < limits.qrs_incomplete - 10:
        return
    width = round(qrs)
    right, left = _right_score(view), _left_score(view)
    if width >= limits.qrs_complete:
        yield _complete(view, limits, width, right, left)
    elif right[0] >= _RIGHT_FROM:
        limit = f"{limits.qrs_incomplete - 10:g}-{limits.qrs_complete - 1:g} ms with an R' in V1"
        duration = view.evidence(
            "qrs_duration", limit=limit, source=f"{AHA3} (from {limits.qrs_incomplete:g} ms); ours"
        )
        sure = 0.35 + 0.5 * right[0] * (0.6 if width < limits.qrs_incomplete else 1.0)
        yield stated("irbbb", sure, duration, *right[1])
    elif width >= limits.qrs_incomplete:
        limit = f"{limits.qrs_incomplete:g}-{limits.qrs_complete - 1:g} ms"
        duration = view.evidence("qrs_duration", limit=limit, source=AHA3)
        if left[0] >= _LEFT_FROM:
            yield stated("ilbbb", 0.35 + 0.5 * left[0], duration, *left[1])
        else:
            yield stated("ivcd", 0.5, duration, modifiers=("borderline",))


def _complete(view: View, limits: Limits, width: int, right: _Scored, left: _Scored) -> Statement:
    """A QRS of 120 ms and more: right, left, or of neither form."""
    duration = view.evidence("qrs_duration", limit=f">= {limits.qrs_complete:g} ms", source=AHA3)
    sure = beyond(width, limits.qrs_complete, 15)
    # the wider, the less form is asked for: nothing else makes a QRS of 140 ms with a late lateral R (Strauss 2011)
    left_from = _LEFT_FROM if width < limits.qrs_complete + 20 else _LEFT_FROM_WIDE
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
    score = 0.0
    if late >= 0.1:
        score = 0.7 if late > first else 0.55
        found.append(view.evidence("r_prime", "V1", limit=">= 0.1 mV", source=AHA3))
    elif late >= 0.05 and view.of("r_prime", "V2") > view.of("r_amplitude", "V2"):
        score = 0.5
        found.append(view.evidence("r_prime", "V2", limit="> R", source=AHA3))
    elif first > max(view.of("s_amplitude", "V1"), 0.2) and view.of("vat", "V1") >= 50:
        score = 0.55
        found.append(view.evidence("vat", "V1", limit="> 50 ms", source=AHA3))
    elif view.is_qr("V1"):
        score = 0.5
        found.append(view.evidence("r_amplitude", "V1", limit="qR", source=AHA3))
    for lead in ("I", "V6"):
        s, long = view.of("s_amplitude", lead), view.of("s_duration", lead)
        if s >= 0.08 and (s > view.of("r_amplitude", lead) or long > 40):
            score += 0.15 if score else 0.1
            found.append(view.evidence("s_duration", lead, limit="> 40 ms, or S > R", source=AHA3))
    return min(score, 1.0), tuple(found)


def _left_score(view: View) -> _Scored:
    """0..1, a fifth each: V1 rS or QS; I and V6 (V5) upright; no q there; late there; T against it there."""
    if not view.s_mv("V1") > max(2 * view.r_mv("V1"), 0.3):
        return 0.0, ()
    found = [view.evidence("s_amplitude", "V1", limit="rS or QS", source=AHA3)]
    upright = [lead for lead in ("I", "V5", "V6") if view.net_mv(lead) > 0]
    if "I" not in upright or len(upright) < 2:
        return 0.2, tuple(found)
    score = 0.4
    side = upright[-1]
    if view.of("q_amplitude", "I") < 0.03 and view.of("q_amplitude", side) < 0.05:
        score += 0.2
        found.append(view.evidence("q_amplitude", side, limit="no q in I, V6", source=AHA3))
    late = [lead for lead in ("I", "aVL", "V5", "V6") if view.of("vat", lead) >= 60]
    if len(late) >= 2:
        score += 0.2
        found.append(view.evidence("vat", late[-1], limit=">= 60 ms", source=AHA3))
    if view.t_mv("I") <= 0.05 or view.t_mv(side) <= 0:
        score += 0.2
        found.append(view.evidence("t_negative", side, limit="T against the QRS", source=AHA3))
    return score, tuple(found)


# ------------------------------------------------------------------------------------------------ fascicles


def _fascicles(view: View) -> Iterator[Statement]:
    """Not read in children: their axis is another."""
    axis = view.of("qrs_axis")
    if not view.is_adult or isnan(axis):
        return
    degrees = round(axis)
    is_down = _is_rs(view, "II") and _is_rs(view, "III") and _is_rs(view, "aVF")
    if (
        -90 <= degrees <= -30
        and is_down
        and _is_qr_avl(view)
        and (degrees <= -45 or view.of("q_amplitude", "aVL") > 0.02)
    ):
        is_full = degrees <= -45
        yield stated(
            "lafb",
            beyond(axis, -45, 12) if is_full else 0.5,
            view.evidence(
                "qrs_axis",
                limit="-45 to -90 deg" if is_full else "-30 to -44 deg with the form: possible",
                source=AHA3 if is_full else "ours",
            ),
            view.evidence("r_amplitude", "aVL", limit="qR", source=AHA3),
            view.evidence("s_amplitude", "III", limit="rS in II, III, aVF", source=AHA3),
            modifiers=() if is_full else ("possible",),
        )
    yield from _posterior_fascicle(view, axis)


def _posterior_fascicle(view: View, axis: float) -> Iterator[Statement]:
    """Not below 40 years with an axis short of 110 degrees: a young, upright heart looks the same (ours)."""
    is_young = view.age_years is not None and view.age_years < 40 and axis < 110
    if not 90 <= axis <= 180 or is_young or not (_is_rs(view, "I") and _is_rs(view, "aVL")):
        return
    has_q = all(view.of("q_amplitude", lead) >= 0.03 and view.net_mv(lead) > 0 for lead in ("III", "aVF"))
    if has_q and view.r_mv("V1") < 0.7 and view.of("p_amplitude", "II") <= 0.25:  # else the right ventricle explains it
        yield stated(
            "lpfb",
            beyond(axis, 90, 15) - 0.1,
            view.evidence("qrs_axis", limit="90 to 180 deg", source=AHA3),
            view.evidence("s_amplitude", "I", limit="rS in I, aVL", source=AHA3),
            view.evidence("q_amplitude", "III", limit="qR in III, aVF", source=AHA3),
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
    if all(net < _SMALLEST_NET_MV for net in nets) or isnan(axis):
        if all(isfinite(net) for net in nets):
            limit = f"|R - S| < {_SMALLEST_NET_MV:g} mV in I, II, aVF"
            yield stated("axis_indeterminate", 0.6, Evidence("net_qrs", max(nets), "mV", in_words(limit, "ours")))
        return
    left, right = limits.axis
    degrees = round(axis)
    if view.is_adult:
        turned = degrees
    else:  # a newborn's normal range goes beyond 180
        turned = degrees + 360 if degrees < left - 180 + (right - left) / 2 else degrees
    if view.is_adult and -180 <= degrees < -90:
        key, limit, sure = "axis_superior", "-90 to -180 deg", beyond(degrees, -90, 15)
    elif turned < left:
        key, limit, sure = "lad", f"< {left:g} deg", beyond(turned, left, 12)
    elif turned > right:
        key, limit, sure = "rad", f"> {right:g} deg", beyond(turned, right, 12)
    else:
        return
    is_little = min(abs(turned - left), abs(turned - right)) <= _AXIS_LITTLE_DEG and key != "axis_superior"
    evidence = view.evidence("qrs_axis", limit=limit, source=limits.source)
    yield stated(key, sure, evidence, modifiers=("borderline",) if is_little else ())
