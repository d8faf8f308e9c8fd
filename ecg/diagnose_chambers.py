"""Atria, ventricles, voltage, R-wave progression.  AHA/ACCF/HRS 2009 part V."""

from __future__ import annotations

from collections.abc import Iterator
from math import isnan
from typing import Final

from ecg.diagnose_conduction import Conduction
from ecg.diagnose_limits import Limits, limits_at
from ecg.diagnose_view import AHA5, ANTERIOR, View, beyond, stated
from ecg.limit import in_words
from ecg.marks import Evidence, Statement

_LIMBS: Final = ("I", "II", "III", "aVR", "aVL", "aVF")

SOKOLOW_MV: Final = 3.5
R_AVL_MV: Final = 1.1
CORNELL_MV: Final = {True: 2.8, False: 2.0}
CORNELL_PRODUCT: Final = 244.0
ROMHILT_ESTES: Final = 5.0
PEGUERO_MV: Final = {True: 2.8, False: 2.3}
PTF_MV_MS: Final = 4.0
"""P terminal force in V1: one small square by one small square, 0.1 mV x 40 ms (Morris 1964)."""
P_LONG_MS: Final = 120.0
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
    if round(best[1], 2) > 0.25:
        right.append(view.evidence("p_amplitude", best[0], limit="> 0.25 mV", source=AHA5))
    if view.of("p_amplitude", "V1") > 0.15:
        right.append(view.evidence("p_amplitude", "V1", limit="> 0.15 mV", source=AHA5))
    if right:
        yield stated("rae", 0.6 + 0.15 * len(right), *right)


def _left_atrium(view: View) -> Iterator[Statement]:
    """By P's terminal force, with a long P; either alone only where it lies far beyond its limit."""
    force, long = view.of("p_terminal_force_v1"), view.of("p_duration") - view.slack_ms
    found: list[Evidence] = []
    if round(force, 1) >= PTF_MV_MS:
        limit = f">= {PTF_MV_MS:g} mV.ms"
        found.append(view.evidence("p_terminal_force_v1", limit=limit, source=f"Morris 1964; {AHA5}"))
    if round(long, 0) > P_LONG_MS:
        found.append(view.evidence("p_duration", limit=f"> {P_LONG_MS:g} ms", source=AHA5))
    if len(found) == 2 or force >= 2.25 * PTF_MV_MS or long >= P_LONG_MS + 15:
        is_little = force < 1.5 * PTF_MV_MS and long < P_LONG_MS + 10
        sure = max(beyond(force, PTF_MV_MS, 3) - 0.1, 0.5) + 0.1 * (len(found) - 1)
        yield stated("lae", sure, *found, modifiers=("borderline",) if is_little else ())


# ------------------------------------------------------------------------------------------------ ventricles


def _left(view: View, conducted: Conduction) -> Iterator[Statement]:
    """Several criteria, each an evidence.  In left bundle-branch block none of them holds."""
    if conducted.bundle == "lbbb":
        return
    is_male = view.is_male is not False  # unknown: the higher limits
    cornell, peguero = CORNELL_MV[is_male], PEGUERO_MV[is_male]
    criteria = (
        ("sokolow_lyon", SOKOLOW_MV, "mV", "Sokolow and Lyon 1949"),
        ("r_avl", R_AVL_MV, "mV", "Sokolow and Lyon 1949"),
        ("cornell_voltage", cornell, "mV", "Casale 1985"),
        ("cornell_product", CORNELL_PRODUCT, "mV.ms", "Molloy 1992"),
        ("peguero", peguero, "mV", "Peguero 2017"),
    )
    voltage: list[Evidence] = []
    for key, limit, unit, source in criteria:
        is_reached = view.of(key) >= limit if key == "sokolow_lyon" else view.of(key) > limit
        if is_reached:
            sign = ">=" if key == "sokolow_lyon" else ">"
            voltage.append(Evidence(key, view.of(key), unit, in_words(f"{sign} {limit:g} {unit}", source)))
    if not voltage or [e.key for e in voltage] == ["peguero"]:
        return  # alone, the youngest criterion is met by one normal adult in ten (PTB-XL folds 7-8)
    found = list(voltage)
    points = view.of("romhilt_estes")
    if points >= ROMHILT_ESTES:
        found.append(
            Evidence("romhilt_estes", points, "1", in_words(f">= {ROMHILT_ESTES:g}", "Romhilt and Estes 1968"))
        )
    strain = strain_leads(view)
    if strain:
        found.append(view.evidence("st_j60", strain[0], limit="depressed with an inverted T", source=AHA5))
    is_young = view.age_years is not None and view.age_years < YOUNG_YEARS
    kinds = {e.key.partition("_")[0] for e in voltage}  # Cornell's voltage and product are one
    weight = len(kinds) + 2 * (points >= ROMHILT_ESTES) + 2 * bool(strain) - is_young
    if weight >= 3:
        yield stated("lvh", 0.4 + 0.09 * weight, *found)
    else:
        yield stated("lv_high_voltage", 0.6, *found, modifiers=("borderline",) if len(kinds) == 1 else ())


def strain_leads(view: View) -> list[str]:
    """Lateral leads with a tall R whose ST is depressed and whose T is inverted: the pattern of a loaded left ventricle."""
    return [
        lead
        for lead in ("V5", "V6", "I", "aVL")
        if view.r_mv(lead) >= 0.8 and view.of("st_j60", lead) <= -0.04 and view.t_mv(lead) <= -0.05
    ]


def _right(view: View, conducted: Conduction) -> Iterator[Statement]:
    if conducted.bundle:
        return
    axis, r, s = view.of("qrs_axis"), view.r_mv("V1"), view.of("s_amplitude", "V1")
    if not (axis > 90 or axis < -120):
        return
    found = [view.evidence("qrs_axis", limit="> 90 deg", source=AHA5)]
    if r > 0.7:
        found.append(view.evidence("r_amplitude", "V1", limit="> 0.7 mV", source=AHA5))
    if r > s and r > 0.5:
        found.append(view.evidence("r_amplitude", "V1", limit="R > S", source=AHA5))
    if r + view.s_mv("V5") > 1.05 or r + view.s_mv("V6") > 1.05:
        found.append(
            view.evidence("s_amplitude", "V6", limit="RV1 + SV5 or SV6 > 1.05 mV", source="Sokolow and Lyon 1949")
        )
    if len(found) >= 2 and (r > 0.7 or (r > s and r > 0.5) or len(found) >= 3):
        yield stated("rvh", 0.45 + 0.12 * len(found), *found)


def _right_of_child(view: View, limits: Limits) -> Iterator[Statement]:
    r = view.of("r_amplitude", "V1")
    if limits.r_v1 is not None and r > limits.r_v1:
        yield stated(
            "rvh",
            beyond(r, limits.r_v1, 0.3),
            view.evidence("r_amplitude", "V1", limit=f"> {limits.r_v1:g} mV at this age", source=limits.voltage_source),
        )


def _left_of_child(view: View, limits: Limits) -> Iterator[Statement]:
    found: list[Evidence] = []
    if limits.r_v6 is not None and view.of("r_amplitude", "V6") > limits.r_v6:
        limit = f"> {limits.r_v6:g} mV at this age"
        found.append(view.evidence("r_amplitude", "V6", limit=limit, source=limits.voltage_source))
    if limits.s_v1 is not None and view.of("s_amplitude", "V1") > limits.s_v1:
        limit = f"> {limits.s_v1:g} mV at this age"
        found.append(view.evidence("s_amplitude", "V1", limit=limit, source=limits.voltage_source))
    if len(found) == 2 or (found and strain_leads(view)):
        yield stated("lvh", 0.65, *found)
    elif found:
        yield stated("lv_high_voltage", 0.55, *found)


# ------------------------------------------------------------------------------------------------ voltage, progression


def _voltage(view: View) -> Iterator[Statement]:
    """All limb leads below 0.5 mV, or all chest leads below 1.0 mV, peak to peak."""
    limb, chest = view.each("qrs_peak_to_peak", _LIMBS), view.each("qrs_peak_to_peak", ANTERIOR)
    found: list[Evidence] = []
    if all(mv < 0.5 for mv in limb):
        found.append(Evidence("qrs_peak_to_peak", max(limb), "mV", in_words("< 0.5 mV in all limb leads", AHA5)))
    if all(mv < 1.0 for mv in chest):
        found.append(Evidence("qrs_peak_to_peak", max(chest), "mV", in_words("< 1.0 mV in all chest leads", AHA5)))
    if found:
        yield stated("low_voltage", 0.6 + 0.2 * (len(found) - 1) + (0.1 if max(limb, default=1) < 0.4 else 0), *found)


def _progression(view: View, conducted: Conduction) -> Iterator[Statement]:
    """R in V3 of 0.3 mV or less, where nothing else explains it."""
    if conducted.bundle or view.of("qrs_peak_to_peak", "V3") < 0.5:
        return
    r2, r3 = view.r_mv("V2"), view.r_mv("V3")
    if round(r3, 2) <= 0.3 and r3 < 0.6 * view.s_mv("V3"):
        is_plain = r3 < min(r2, 0.25) or r3 < 0.1
        yield stated(
            "poor_r",
            0.65 if is_plain else 0.5,
            view.evidence("r_amplitude", "V3", limit="<= 0.3 mV", source="Zema and Kligfield 1982"),
            modifiers=() if is_plain else ("borderline",),
        )
