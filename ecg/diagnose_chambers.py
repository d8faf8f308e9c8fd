"""Atria, ventricles, voltage, R-wave progression.  AHA/ACCF/HRS 2009 part V."""

from __future__ import annotations

from collections.abc import Iterator
from math import isnan
from typing import Final

from ecg.diagnose_conduction import Conduction
from ecg.diagnose_limits import Limits, limits_at
from ecg.diagnose_view import AHA5, ANTERIOR, View, beyond, stated
from ecg.limit import Limit
from ecg.marks import Evidence, Statement

_LIMBS: Final = ("I", "II", "III", "aVR", "aVL", "aVF")

_SOKOLOW: Final = "Sokolow and Lyon 1949"
SOKOLOW: Final = Limit(">=", 3.5, "mV", _SOKOLOW)
R_AVL: Final = Limit(">", 1.1, "mV", _SOKOLOW)
CORNELL: Final = {True: Limit(">", 2.8, "mV", "Casale 1985"), False: Limit(">", 2.0, "mV", "Casale 1985")}
CORNELL_PRODUCT: Final = Limit(">", 244.0, "mV.ms", "Molloy 1992")
ROMHILT_ESTES: Final = Limit(">=", 5.0, "1", "Romhilt and Estes 1968")
PEGUERO: Final = {True: Limit(">", 2.8, "mV", "Peguero 2017"), False: Limit(">", 2.3, "mV", "Peguero 2017")}
"""True: a man's, False: a woman's."""
PTF: Final = Limit(">=", 4.0, "mV.ms", f"Morris 1964; {AHA5}", decimals=1)
"""P terminal force in V1: one small square by one small square, 0.1 mV x 40 ms."""
P_LONG: Final = Limit(">", 120.0, "ms", AHA5, decimals=0)
P_TALL: Final = Limit(">", 0.25, "mV", AHA5, decimals=2)
P_TALL_V1: Final = Limit(">", 0.15, "mV", AHA5)
STRAIN_ST: Final = Limit("<=", -0.04, "mV", AHA5, "with an inverted T")
_RIGHT_AXIS: Final = Limit(">", 90.0, "deg", AHA5)
_SUPERIOR_AXIS: Final = Limit("<", -120.0, "deg", AHA5)
_R_V1: Final = Limit(">", 0.7, "mV", AHA5)
_R_V1_OVER_S_MV: Final = 0.5
_RV1_SV56: Final = Limit(">", 1.05, "mV", _SOKOLOW)
_LOW_LIMB: Final = Limit("<", 0.5, "mV", AHA5, "in all limb leads")
_LOW_CHEST: Final = Limit("<", 1.0, "mV", AHA5, "in all chest leads")
_POOR_R: Final = Limit("<=", 0.3, "mV", "Zema and Kligfield 1982", decimals=2)
YOUNG_YEARS: Final = 35.0
"""Voltage alone says little below this age (AHA 2009 part V: 35)."""


def chambers(view: View, conducted: Conduction) -> Iterator[Statement]:
    """Statements on atria, ventricles and voltage; none on ventricles that are activated out of turn."""
    yield from _atria(view)
    if conducted.is_preexcited:
        return
    limits = limits_at(view.age_years)
    left = tuple(_left(view, conducted) if view.is_adult else _left_of_child(view, limits))
    right = tuple(_right(view, conducted) if view.is_adult else _right_of_child(view, limits))
    if any(s.key == "lvh" for s in left) and right:
        evidence = [e for s in (*left, *right) for e in s.evidence]
        yield stated("bvh", min(left[0].certainty, right[0].certainty), *evidence)
    else:
        yield from left
        yield from right
    yield from _voltage(view)
    if view.is_adult and not any(s.key in ("lvh", "rvh") for s in (*left, *right)):
        yield from _progression(view, conducted)


# ------------------------------------------------------------------------------------------------ atria


def _atria(view: View) -> Iterator[Statement]:
    if view.says("afib", "aflutter", "junctional_rhythm", "svt") or view.sure("p_duration") < 0.3:
        return
    yield from _left_atrium(view)
    tall = [(lead, view.of("p_amplitude", lead)) for lead in ("II", "III", "aVF")]
    best = max(tall, key=lambda one: -1.0 if isnan(one[1]) else one[1])
    right: list[Evidence] = []
    if P_TALL.holds(best[1]):
        right.append(view.evidence("p_amplitude", P_TALL, best[0]))
    if P_TALL_V1.holds(view.of("p_amplitude", "V1")):
        right.append(view.evidence("p_amplitude", P_TALL_V1, "V1"))
    if right:
        yield stated("rae", 0.6 + 0.15 * len(right), *right)


def _left_atrium(view: View) -> Iterator[Statement]:
    """By P's terminal force, with a long P; either alone only where it lies far beyond its limit."""
    force, long = view.of("p_terminal_force_v1"), view.of("p_duration") - view.slack_ms
    found: list[Evidence] = []
    if PTF.holds(force):
        found.append(view.evidence("p_terminal_force_v1", PTF))
    if P_LONG.holds(long):
        found.append(view.evidence("p_duration", view.corrected(P_LONG), value=long))
    if len(found) == 2 or force >= 2.25 * PTF.number or long >= P_LONG.number + 15:
        is_little = force < 1.5 * PTF.number and long < P_LONG.number + 10
        sure = max(beyond(force, PTF.number, 3) - 0.1, 0.5) + 0.1 * (len(found) - 1)
        yield stated("lae", sure, *found, modifiers=("borderline",) if is_little else ())


# ------------------------------------------------------------------------------------------------ ventricles


def _left(view: View, conducted: Conduction) -> Iterator[Statement]:
    """Several criteria, each an evidence.  In left bundle-branch block none of them holds."""
    if conducted.bundle == "lbbb":
        return
    is_male = view.is_male is not False  # unknown: the higher limits
    criteria = (
        ("sokolow_lyon", SOKOLOW),
        ("r_avl", R_AVL),
        ("cornell_voltage", CORNELL[is_male]),
        ("cornell_product", CORNELL_PRODUCT),
        ("peguero", PEGUERO[is_male]),
    )
    voltage = [view.evidence(key, limit) for key, limit in criteria if limit.holds(view.of(key))]
    if not voltage or [e.key for e in voltage] == ["peguero"]:
        return  # alone, the youngest criterion is met by one normal adult in ten (PTB-XL folds 7-8)
    found = list(voltage)
    points = view.of("romhilt_estes")
    if ROMHILT_ESTES.holds(points):
        found.append(view.evidence("romhilt_estes", ROMHILT_ESTES))
    strain = strain_leads(view)
    if strain:
        found.append(view.evidence("st_j60", STRAIN_ST, strain[0]))
    is_young = view.age_years is not None and view.age_years < YOUNG_YEARS
    kinds = {e.key.partition("_")[0] for e in voltage}  # Cornell's voltage and product are one
    weight = len(kinds) + 2 * ROMHILT_ESTES.holds(points) + 2 * bool(strain) - is_young
    if weight >= 3:
        yield stated("lvh", 0.4 + 0.09 * weight, *found)
    else:
        yield stated("lv_high_voltage", 0.6, *found, modifiers=("borderline",) if len(kinds) == 1 else ())


def strain_leads(view: View) -> list[str]:
    """Lateral leads with a tall R whose ST is depressed and whose T is inverted: the pattern of a loaded left ventricle."""
    return [
        lead
        for lead in ("V5", "V6", "I", "aVL")
        if view.r_mv(lead) >= 0.8 and STRAIN_ST.holds(view.of("st_j60", lead)) and view.t_mv(lead) <= -0.05
    ]


def _right(view: View, conducted: Conduction) -> Iterator[Statement]:
    if conducted.bundle:
        return
    axis, r, s = view.of("qrs_axis"), view.r_mv("V1"), view.of("s_amplitude", "V1")
    turned = next((limit for limit in (_RIGHT_AXIS, _SUPERIOR_AXIS) if limit.holds(axis)), None)
    if turned is None:
        return
    found = [view.evidence("qrs_axis", turned)]
    is_tall = _R_V1.holds(r)
    if is_tall:
        found.append(view.r_evidence(_R_V1, "V1"))
    over_s = Limit(">", max(s, _R_V1_OVER_S_MV), "mV", AHA5, "and > S")
    is_over_s = over_s.holds(r)
    if is_over_s:
        found.append(view.r_evidence(over_s, "V1"))
    sums = {lead: r + view.s_mv(lead) for lead in ("V5", "V6") if _RV1_SV56.holds(r + view.s_mv(lead))}
    if sums:
        lead = max(sums, key=lambda name: sums[name])
        found.append(Evidence(f"r_v1_s_{lead.lower()}", sums[lead], "mV", _RV1_SV56))
    if len(found) >= 2 and (is_tall or is_over_s or len(found) >= 3):
        yield stated("rvh", 0.45 + 0.12 * len(found), *found)


def _right_of_child(view: View, limits: Limits) -> Iterator[Statement]:
    r = view.of("r_amplitude", "V1")
    if limits.r_v1 is not None and limits.r_v1.holds(r):
        yield stated("rvh", beyond(r, limits.r_v1.number, 0.3), view.evidence("r_amplitude", limits.r_v1, "V1"))


def _left_of_child(view: View, limits: Limits) -> Iterator[Statement]:
    asked = (("r_amplitude", "V6", limits.r_v6), ("s_amplitude", "V1", limits.s_v1))
    found = [
        view.evidence(key, limit, lead)
        for key, lead, limit in asked
        if limit is not None and limit.holds(view.of(key, lead))
    ]
    if len(found) == 2 or (found and strain_leads(view)):
        yield stated("lvh", 0.65, *found)
    elif found:
        yield stated("lv_high_voltage", 0.55, *found)


# ------------------------------------------------------------------------------------------------ voltage, progression


def _voltage(view: View) -> Iterator[Statement]:
    """All limb leads below 0.5 mV, or all chest leads below 1.0 mV, peak to peak."""
    limb, chest = view.each("qrs_peak_to_peak", _LIMBS), view.each("qrs_peak_to_peak", ANTERIOR)
    found: list[Evidence] = []
    if all(_LOW_LIMB.holds(mv) for mv in limb):
        found.append(Evidence("qrs_peak_to_peak", max(limb), "mV", _LOW_LIMB))
    if all(_LOW_CHEST.holds(mv) for mv in chest):
        found.append(Evidence("qrs_peak_to_peak", max(chest), "mV", _LOW_CHEST))
    if found:
        yield stated("low_voltage", 0.6 + 0.2 * (len(found) - 1) + (0.1 if max(limb, default=1) < 0.4 else 0), *found)


def _progression(view: View, conducted: Conduction) -> Iterator[Statement]:
    """R in V3 of 0.3 mV or less, where nothing else explains it."""
    if conducted.bundle or view.of("qrs_peak_to_peak", "V3") < 0.5:
        return
    r2, r3 = view.r_mv("V2"), view.r_mv("V3")
    if _POOR_R.holds(r3) and r3 < 0.6 * view.s_mv("V3"):
        is_plain = r3 < min(r2, 0.25) or r3 < 0.1
        yield stated(
            "poor_r",
            0.65 if is_plain else 0.5,
            view.r_evidence(_POOR_R, "V3"),
            modifiers=() if is_plain else ("borderline",),
        )
