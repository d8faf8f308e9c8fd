"""Infarction: Q waves and ST elevation by territory, posterior and right ventricle, left bundle-branch block."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import isnan
from typing import Final

from ecg.diagnose_conduction import Conduction
from ecg.diagnose_st import (
    POSTERIOR,
    RECIPROCAL,
    RIGHT,
    StLevels,
    elevation_evidence,
    elevation_limit_mv,
    is_elevated,
    reciprocal_leads,
)
from ecg.diagnose_view import INFERIOR, UDMI, View, stated, together
from ecg.limit import Limit, in_words
from ecg.marks import Evidence, Statement

_SGARBOSSA: Final = "Sgarbossa 1996"
_SMITH: Final = "Smith 2012"
_DRIVER: Final = "Driver 2017"
SUBTLE_ANTERIOR: Final = Limit(">=", 18.2, "1", _DRIVER)
_NOT_SUBTLE: Final = Limit("<", 18.2, "1", _DRIVER, ": not an infarct's")
_ST_V1: Final = Limit(">=", 0.1, "mV", UDMI, decimals=2)
_LONG_Q: Final = Limit(">=", 30.0, "ms", UDMI, "and >= 0.1 mV")
_LONG_Q_V23: Final = Limit(">=", 20.0, "ms", UDMI)
_QS: Final = in_words("QS", UDMI)
_R_LOST_MV: Final = 0.15
_POSTERIOR_ST: Final = Limit("<=", -0.1, "mV", UDMI, "with an upright T", decimals=2)
_POSTERIOR_R: Final = Limit(">=", 40.0, "ms", UDMI, ", R/S >= 1, T upright")
_ALONG: Final = Limit(">=", 0.1, "mV", _SGARBOSSA, "along with the QRS (5 points)", decimals=2)
_FRONT: Final = Limit("<=", -0.1, "mV", _SGARBOSSA, "in V1-V3 (3 points)", decimals=2)
_ST_OVER_S: Final = Limit("<=", -0.25, "1", _SMITH)
_LEADS: Final = ("I", "II", "III", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")


def infarction(view: View, levels: StLevels, conducted: Conduction) -> Iterator[Statement]:
    """Statements on infarcts, old (``mi_old``) and acute (``mi_acute``); none where the QRS isn't the heart's own."""
    if view.is_paced or view.is_ventricular or conducted.is_preexcited or not view.is_adult:
        return
    if conducted.bundle == "lbbb":
        yield from _in_left_block(view)
        return
    old = pathological_q(view, conducted)
    acute = acute_leads(view, levels)
    places = _places(acute) if acute else {}
    yield from _acute(view, acute, places, old)
    yield from _old(view, _places_of_q(view, old), places, old)
    if not acute:
        yield from _posterior(view, conducted, levels)


# ------------------------------------------------------------------------------------------------ acute


def acute_leads(view: View, levels: StLevels) -> tuple[str, ...]:
    """Elevated leads that nothing but an injury explains."""
    return levels.elevated if levels.elevated and not levels.explained else ()


_BARE: Final = 0.12
_BARE_MV: Final = 0.06
"""Two leads just at their limit are what one normal in 300 shows: certainty there is below what alarms, and is given
back as the second lead rises 0.06 mV above it (ours; PTB-XL's normals, folds 7-8)."""


@dataclass(frozen=True, slots=True)
class _Injury:
    certainty: float
    evidence: tuple[Evidence, ...]


def _injury(view: View, leads: Sequence[str], q: Sequence[str]) -> _Injury:
    """How surely the elevation is an acute injury: height, leads, depression opposite, Q beside it (ours).

    Elevation of the front leads alone, with nothing opposite, is told from a normal variant by the formula of
    Driver 2017: below its limit, or where a wide or fluttering beat draws the ST level, no more than 0.45.
    """
    limits = {lead: elevation_limit_mv(lead, view.age_years, view.is_male) for lead in leads}
    excess = sorted((view.of("st_j", lead) - limits[lead] for lead in leads), reverse=True)
    reciprocal = reciprocal_leads(view, leads)
    second = max(excess[min(1, len(excess) - 1)], 0.0)
    score = 0.54 + 0.6 * min(second, 0.25) + 0.03 * (len(leads) - 2)
    if len(leads) <= 2:
        score -= _BARE * max(1.0 - second / _BARE_MV, 0.0)
    score += 0.15 * bool(reciprocal) + 0.05 * bool(set(q) & set(leads))
    sure = sorted((view.sure("st_j", lead) for lead in leads), reverse=True)[min(1, len(leads) - 1)]
    score *= 0.8 + 0.2 * sure
    found = [elevation_evidence(view, lead) for lead in leads]
    found += [view.evidence("st_j", RECIPROCAL, lead) for lead in reciprocal]
    is_front = set(leads) <= {"V1", "V2", "V3", "V4"} and not reciprocal and not set(q) & set(leads)
    value = subtle_anterior(view)
    if is_front and not isnan(value):
        is_above = SUBTLE_ANTERIOR.holds(value)
        passed = SUBTLE_ANTERIOR if is_above else _NOT_SUBTLE
        found.append(Evidence("subtle_anterior_stemi", value, "1", passed))
        score = score if is_above else min(score, 0.45)
    if set(q) & set(leads) and not reciprocal and excess[min(1, len(excess) - 1)] < 0.1:
        score = min(score, 0.45)  # a scar's ST stays a little raised for years
    if view.says("aflutter") or (view.qrs_ms >= 120 and view.of("heart_rate") > 120):
        score = min(score, 0.45)
    return _Injury(score, tuple(found))


def subtle_anterior(view: View) -> float:
    """The four-variable formula for subtle anterior infarction against early repolarization.  Driver 2017.

    0.052 QTc (Bazett, ms) - 0.151 QRS in V2 (mm) - 0.268 R in V4 (mm) + 1.062 ST in V3 at J + 60 ms (mm).
    """
    return (
        0.052 * view.of("qtc_bazett")
        - 0.151 * 10 * view.of("qrs_peak_to_peak", "V2")
        - 0.268 * 10 * view.r_mv("V4")
        + 1.062 * 10 * view.of("st_j60", "V3")
    )


def _acute(
    view: View, acute: Sequence[str], places: dict[str, tuple[str, ...]], q: Sequence[str]
) -> Iterator[Statement]:
    for key, leads in places.items():
        injury = _injury(view, leads, q)
        yield stated(key, injury.certainty, *injury.evidence, modifiers=("mi_acute",))
    if "mi_inferior" in places:
        yield from _right_ventricle(view)
    behind = [lead for lead in POSTERIOR if lead in view.leads and is_elevated(view, lead)]
    if len(behind) >= 2:
        found = [elevation_evidence(view, lead) for lead in behind]
        yield stated("mi_posterior", 0.75, *found, modifiers=("mi_acute",))


def _places(leads: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Territories of elevated leads: key -> its leads."""
    there = set(leads)
    out: dict[str, tuple[str, ...]] = {}

    def among(*names: str) -> tuple[str, ...]:
        return tuple(name for name in names if name in there)

    if len(among(*INFERIOR)) >= 2:
        out["mi_inferior"] = among(*INFERIOR)
    front, side = among("V1", "V2", "V3", "V4"), among("I", "aVL", "V5", "V6")
    if len(among("V1", "V2", "V3", "V4", "V5", "V6")) >= 5 or (len(front) >= 3 and len(side) >= 2):
        out["mi_extensive"] = among("V1", "V2", "V3", "V4", "V5", "V6", "I", "aVL")
    elif len(front) >= 2:
        out["mi_anteroseptal" if "V1" in there or "V4" not in there else "mi_anterior"] = front
    elif among("V4", "V3") and among("V5"):
        out["mi_anterior"] = among("V3", "V4", "V5", "V6")
    if len(side) >= 2 and "mi_extensive" not in out and "mi_anterior" not in out:
        out["mi_lateral"] = side
    return out


def _right_ventricle(view: View) -> Iterator[Statement]:
    """With an inferior injury: elevation in right chest leads, or in V1 with III above II."""
    right = [lead for lead in RIGHT if lead in view.leads and is_elevated(view, lead)]
    above_ii = Limit(">", view.of("st_j", "II"), "mV", UDMI, "(II)")
    if right:
        found = [elevation_evidence(view, lead) for lead in right]
        yield stated("mi_rv", 0.8, *found, modifiers=("mi_acute",))
    elif _ST_V1.holds(view.of("st_j", "V1")) and above_ii.holds(view.of("st_j", "III")):
        yield stated(
            "mi_rv",
            0.55,
            view.evidence("st_j", _ST_V1, "V1"),
            view.evidence("st_j", above_ii, "III"),
            modifiers=("mi_acute",),
        )


# ------------------------------------------------------------------------------------------------ old


def pathological_q(view: View, conducted: Conduction) -> tuple[str, ...]:
    """Leads with a Q wave as infarcts leave it: >= 30 ms and >= 0.1 mV, or QS; V2-V3 >= 20 ms, or QS."""
    return tuple(lead for lead in _LEADS if _is_pathological(view, lead))


def _is_pathological(view: View, lead: str) -> bool:
    q, long, r = view.of("q_amplitude", lead), view.of("q_duration", lead), view.r_mv(lead)
    if view.is_qs(lead):
        return lead not in ("aVL", "V1", "III") or lead == "III"
    if lead in ("V2", "V3"):
        return _LONG_Q_V23.holds(long) and q >= 0.05
    if lead == "V1":
        return False
    return _LONG_Q.holds(long) and q >= 0.1 and q >= 0.2 * r


def _places_of_q(view: View, q: Sequence[str]) -> dict[str, tuple[str, ...]]:
    there = set(q)
    out: dict[str, tuple[str, ...]] = {}

    def among(*names: str) -> tuple[str, ...]:
        return tuple(name for name in names if name in there)

    if len(among(*INFERIOR)) >= 2 and ({"II", "aVF"} & there):
        out["mi_inferior"] = among(*INFERIOR)
    chest = among("V2", "V3", "V4", "V5", "V6")
    septal = _septal_loss(view, there)
    if len(chest) >= 4:
        out["mi_extensive"] = chest + among("I", "aVL")
    elif septal:
        out["mi_anteroseptal"] = septal
    elif len(among("V3", "V4", "V5")) >= 2:
        out["mi_anterior"] = among("V3", "V4", "V5")
    side = among("I", "aVL", "V5", "V6")
    if len(together(view, side)) >= 2 and "mi_extensive" not in out:
        out["mi_lateral"] = side
    return out


def _septal_loss(view: View, q: set[str]) -> tuple[str, ...]:
    """QS or Q in V2 with V1 or V3, or an R that shrinks from V1 to V3."""
    if "V2" in q and (view.is_qs("V1") or "V3" in q):
        return tuple(lead for lead in ("V1", "V2", "V3", "V4") if lead in q or view.is_qs(lead))
    if "V3" in q and view.r_mv("V3") < view.r_mv("V2"):
        return ("V3",) + (("V4",) if "V4" in q else ())
    return ()


def _r_lost(view: View) -> Limit:
    return Limit("<=", min(view.r_mv("V2") + 0.02, _R_LOST_MV), "mV", "ours", "and no taller than in V2")


def _r_is_lost(view: View) -> bool:
    """R in V3 of 0.15 mV or less and no taller than in V2, over a deep S; not in left ventricular voltage or LAFB (ours)."""
    r3 = view.r_mv("V3")
    is_large = max(view.s_mv("V1"), view.s_mv("V2")) > 2.0
    return _r_lost(view).holds(r3) and view.s_mv("V3") >= 0.5 and not is_large and view.of("qrs_axis") > -45


def _old(
    view: View, places: dict[str, tuple[str, ...]], acute: dict[str, tuple[str, ...]], q: Sequence[str]
) -> Iterator[Statement]:
    anterior = {"mi_anterior", "mi_anteroseptal", "mi_extensive"}
    used: set[str] = set()
    for key, leads in places.items():
        used |= set(leads)
        if key in acute or (key in anterior and anterior & acute.keys()):
            continue
        yield stated(
            key, _old_certainty(view, key, leads), *[_q_evidence(view, lead) for lead in leads], modifiers=("mi_old",)
        )
    if not anterior & (places.keys() | acute.keys()) and _r_is_lost(view):
        yield stated("mi_anteroseptal", 0.45, view.r_evidence(_r_lost(view), "V3"), modifiers=("mi_old", "possible"))
    rest = together(view, [lead for lead in q if lead not in used])
    if len(rest) >= 2:
        yield stated("q_waves", 0.55, *[_q_evidence(view, lead) for lead in rest])


def _old_certainty(view: View, key: str, leads: Sequence[str]) -> float:
    depth = max(view.of("q_duration", lead) if view.of("q_duration", lead) > 0 else 60.0 for lead in leads)
    inverted = any(view.t_mv(lead) <= -0.05 for lead in leads)
    sure = 0.5 + 0.06 * (len(leads) - 2) + 0.1 * inverted + 0.1 * (depth >= 40)
    if key == "mi_anteroseptal" and max(view.s_mv("V1"), view.s_mv("V2")) > 2.5:
        sure -= 0.15  # a large left ventricle also takes the R away
    return sure


def _q_evidence(view: View, lead: str) -> Evidence:
    if view.is_qs(lead):
        return view.s_evidence(_QS, lead)
    return view.evidence("q_duration", _LONG_Q_V23 if lead in ("V2", "V3") else _LONG_Q, lead)


# ------------------------------------------------------------------------------------------------ posterior, LBBB


def _posterior(view: View, conducted: Conduction, levels: StLevels) -> Iterator[Statement]:
    """A tall, wide R in V1-V2 with an upright T (old), or ST depression most in V1-V4 with an upright T (acute)."""
    if conducted.bundle or view.says("preexcitation"):
        return
    front = [lead for lead in ("V1", "V2", "V3", "V4") if lead in levels.depressed]
    deep = [lead for lead in front if _POSTERIOR_ST.holds(view.of("st_j", lead)) and view.t_mv(lead) > 0.05]
    elsewhere = max((-view.of("st_j", lead) for lead in ("II", "V5", "V6") if lead in levels.depressed), default=0.0)
    if len(deep) >= 2 and max(-view.of("st_j", lead) for lead in deep) > elsewhere:
        found = [view.evidence("st_j", _POSTERIOR_ST, lead) for lead in deep]
        tall = any(view.r_mv(lead) >= view.s_mv(lead) for lead in ("V2", "V3"))
        yield stated("mi_posterior", 0.5 + 0.1 * tall + 0.05 * (len(deep) - 2), *found, modifiers=("mi_acute",))
        return
    wide = [
        lead
        for lead in ("V1", "V2")
        if _POSTERIOR_R.holds(view.of("r_duration", lead))
        and view.r_mv(lead) >= view.s_mv(lead)
        and view.t_mv(lead) > 0
    ]
    if len(wide) == 2 and not view.of("qrs_axis") > 90:
        found = [view.evidence("r_duration", _POSTERIOR_R, lead) for lead in wide]
        yield stated("mi_posterior", 0.5, *found, modifiers=("mi_old",))


def _st_over_s(view: View, lead: str) -> float:
    """ST level over the S wave's, which is negative."""
    return view.of("st_j", lead) / -view.s_mv(lead)


def _in_left_block(view: View) -> Iterator[Statement]:
    """Sgarbossa's score >= 3, or Smith's ratio: ST opposite to a deep S by more than a quarter of it."""
    found: list[Evidence] = []
    for lead in _LEADS:
        st, net = view.of("st_j", lead), view.net_mv(lead)
        if net > 0 and _ALONG.holds(st):
            found.append(view.evidence("st_j", _ALONG, lead))
    has_five = bool(found)
    front = [lead for lead in ("V1", "V2", "V3") if _FRONT.holds(view.of("st_j", lead)) and view.net_mv(lead) < 0]
    found += [view.evidence("st_j", _FRONT, lead) for lead in front]
    score = 5 * has_five + 3 * bool(front)
    smith = [
        lead
        for lead in _LEADS
        if view.net_mv(lead) < 0
        and view.of("st_j", lead) >= 0.1
        and view.s_mv(lead) > 0
        and _ST_OVER_S.holds(_st_over_s(view, lead))
    ]
    found += [Evidence("st_over_s", _st_over_s(view, lead), "1", _ST_OVER_S, lead) for lead in smith]
    if score >= 3 or smith:
        sure = 0.55 + 0.04 * score if score >= 3 else 0.5
        if view.of("heart_rate") > 120:
            sure = min(sure, 0.45)  # a fast wide QRS may not be a conducted one
        yield stated("mi_lbbb", sure, *found, modifiers=("mi_acute",))
