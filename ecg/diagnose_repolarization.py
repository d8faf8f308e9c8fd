"""T waves, QT, U waves, and the patterns they make: ischaemia, potassium, digitalis, Brugada, embolism."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import isfinite, isnan, nan
from typing import Final

import numpy as np

from ecg.diagnose_chambers import strain_leads
from ecg.diagnose_conduction import Conduction
from ecg.diagnose_st import StLevels, brugada_lead
from ecg.diagnose_view import AHA4, UDMI, View, beyond, stated, together
from ecg.limit import Limit, in_words
from ecg.marks import Beats, Evidence, Mark, Statement
from ecg.strip import Strip

QTC_LONG: Final = {
    True: Limit(">=", 450.0, "ms", AHA4, decimals=0),
    False: Limit(">=", 460.0, "ms", AHA4, decimals=0),
}
"""True: a man's or one of unknown sex, False: a woman's or a child's."""
QTC_SHORT: Final = Limit("<=", 350.0, "ms", f"ESC 2022; {AHA4}: <= 390", decimals=0)
T_INVERTED: Final = Limit(">=", 0.1, "mV", UDMI, "where R is dominant")
T_DEEP: Final = Limit(">=", 0.2, "mV", UDMI)
_NEARLY_INVERTED: Final = Limit("<", 0.1, "mV", AHA4, "inverted")
_LITTLE_INVERTED: Final = Limit("in", 0.03, "mV", "ours", "inverted", upper=0.1)
_ST_LITTLE_LOW: Final = Limit("in", -0.1, "mV", "ours", upper=-0.04)
_T_FLAT: Final = 0.1
_U_MV: Final = 0.1
_U_ABOVE_T: Final = Limit(">=", _U_MV, "mV", AHA4, "and above T")
_ST_LOW: Final = Limit("<=", -0.05, "mV", "ours")
_TENTED: Final = {
    True: Limit(">=", 0.6, "mV", "ours", ", narrow"),
    False: Limit(">=", 1.0, "mV", "ours", ", narrow"),
}
"""True: in lead II."""
_QRS_SLOW: Final = Limit(">=", 120.0, "ms", "ours", ": prolonged too")
_PR_SLOW: Final = Limit(">", 200.0, "ms", "ours", ": prolonged too")
_SAGGING: Final = Limit("<=", -0.06, "mV", "ours", "and falling")
_QTC_DIGITALIS: Final = Limit("<=", 400.0, "ms", "ours")
_BRUGADA: Final = "HRS/EHRA/APHRS consensus 2013"
_BRUGADA_ST: Final = Limit(">=", 0.2, "mV", _BRUGADA, ", falling", decimals=2)
_BRUGADA_T: Final = Limit(">=", 0.05, "mV", _BRUGADA, "inverted")
_EMBOLISM: Final = "McGinn and White 1935; Daniel 2001"
_S1: Final = Limit(">=", 0.15, "mV", _EMBOLISM)
_Q3: Final = Limit(">=", 0.15, "mV", _EMBOLISM)
_T_RIGHT: Final = Limit(">=", 0.1, "mV", _EMBOLISM)
_NORMAL_QRS_MS: Final = 100.0
_SMOOTH: Final = 9
"""Samples over which the line after T is smoothed: 18 ms at 500 Hz."""


def qt_statements(view: View, conducted: Conduction) -> Iterator[Statement]:
    """long_qt, short_qt by Fridericia.  In a wide QRS what it is wider than 100 ms is taken off, and JT is named."""
    qtc, rate, qrs = view.of("qtc_fridericia"), view.of("heart_rate"), view.of("qrs_duration")
    if isnan(qtc) or view.sure("qtc_fridericia") < 0.3 or view.is_ventricular:
        return
    is_wide = bool(conducted.bundle) or view.is_paced or conducted.is_preexcited
    judged = qtc - max(qrs - _NORMAL_QRS_MS, 0.0) if is_wide and isfinite(qrs) else qtc
    limit = QTC_LONG[view.is_male is not False and view.is_adult]
    sure = 0.6 + 0.4 * view.sure("qtc_fridericia")
    sure *= 0.75 if view.says("afib", "aflutter") or is_wide else 1.0
    sure *= 0.7 if rate > 120 or rate < 40 else 1.0
    found = [view.evidence("qtc_fridericia", limit)]
    if is_wide:
        found.append(
            Evidence(
                "qtc_fridericia_less_qrs", judged, "ms", replace(limit, source="ours", words="for QTc - (QRS - 100)")
            )
        )
        found.append(view.evidence("jt_interval", in_words("QRS wide: JT is the measure", AHA4)))
    if view.says("afib", "aflutter"):
        found.append(
            Evidence("beats", float(view.median.beats), "1", in_words("RR irregular: mean of 10 beats wanted", AHA4))
        )
    if limit.holds(judged):
        yield stated(
            "long_qt", beyond(judged, limit.number, 30) * sure, *found, modifiers=("marked",) if judged >= 500 else ()
        )
    elif QTC_SHORT.holds(qtc) and 45 <= rate <= 110 and not is_wide:
        short = view.evidence("qtc_fridericia", QTC_SHORT)
        yield stated("short_qt", beyond(qtc, QTC_SHORT.number, 15) * sure, short)


# ------------------------------------------------------------------------------------------------ T


def t_statements(view: View, levels: StLevels, conducted: Conduction) -> Iterator[Statement]:
    """t_inversion, t_low, t_abnormal, nonspecific_stt where the QRS leaves the T wave to be read."""
    if conducted.bundle == "lbbb":
        return
    skipped = {"V1", "V2", "V3"} if conducted.bundle == "rbbb" or not view.is_adult else set[str]()
    strained = set(strain_leads(view))
    inverted = [lead for lead in _t_leads(view) if lead not in skipped and T_INVERTED.holds(view.t_down_mv(lead))]
    inverted = together(view, inverted)
    if inverted:
        deepest = max(view.t_down_mv(lead) for lead in inverted)
        found = [view.evidence("t_negative", T_INVERTED, lead) for lead in inverted]
        yield stated("t_inversion", beyond(deepest, T_INVERTED.number, 0.15), *found)
        deep = [lead for lead in inverted if lead not in strained and T_DEEP.holds(view.t_down_mv(lead))]
        if len(together(view, deep)) >= 2 and not strained and not conducted.bundle:
            deepest_found = [view.evidence("t_negative", T_DEEP, lead) for lead in deep]
            yield stated("s_ischemia", 0.5, *deepest_found)
    flat = [lead for lead in ("I", "II", "V4", "V5", "V6") if _is_flat(view, lead)]
    if len(flat) >= 3 and not inverted:
        found = [_flat_evidence(view, lead) for lead in flat]
        yield stated("t_low", 0.5 + 0.05 * len(flat), *found)
    elif not inverted and not levels.elevated and not levels.depressed:
        yield from _nonspecific(view, flat)


def _t_leads(view: View) -> list[str]:
    """Leads whose T wave should be upright: those where R is dominant, and V3-V6 (I, II always)."""
    leads = [lead for lead in ("I", "II", "V4", "V5", "V6") if view.r_mv(lead) >= 0.2]
    leads += [lead for lead in ("aVL", "aVF") if view.net_mv(lead) >= 0.3]
    leads += [lead for lead in ("V3", "V2") if view.r_mv(lead) > view.s_mv(lead) or view.t_mv(lead) <= -0.2]
    return leads


def _is_flat(view: View, lead: str) -> bool:
    r, t = view.r_mv(lead), view.t_mv(lead)
    return r >= 0.5 and _flat_limit(view, lead).holds(abs(t)) and abs(t) < 0.15


def _flat_limit(view: View, lead: str) -> Limit:
    """Below a tenth of R, and where it is inverted, less than an inversion."""
    if view.t_mv(lead) < 0:
        return _NEARLY_INVERTED
    return Limit("<", _T_FLAT * view.r_mv(lead), "mV", AHA4, "(10 % of R)")


def _flat_evidence(view: View, lead: str) -> Evidence:
    return view.t_evidence(_flat_limit(view, lead), lead)


def _nonspecific(view: View, flat: list[str]) -> Iterator[Statement]:
    """Small T waves in two leads, or ST a little low in two: not enough for more."""
    low = [
        lead
        for lead in ("I", "II", "V4", "V5", "V6")
        if _ST_LITTLE_LOW.holds(view.of("st_j60", lead)) and view.of("st_j", lead) <= -0.03
    ]
    turned = [
        lead
        for lead in ("I", "II", "V4", "V5", "V6")
        if view.r_mv(lead) >= 0.3 and _LITTLE_INVERTED.holds(view.t_down_mv(lead))
    ]
    if len(low) >= 2 or len(flat) >= 2 or len(turned) >= 2:
        found = [view.evidence("st_j60", _ST_LITTLE_LOW, lead) for lead in low]
        found += [_flat_evidence(view, lead) for lead in flat]
        found += [view.evidence("t_negative", _LITTLE_INVERTED, lead) for lead in turned]
        yield stated("nonspecific_stt", 0.5, *found)


# ------------------------------------------------------------------------------------------------ U, potassium


def u_waves(view: View, strip: Strip, beats: Beats) -> dict[str, float]:
    """Height of the bump after T in V2-V4, mV, where there is room before the next P wave; empty where there isn't."""
    off, on = view.median.overall[Mark.T_OFF], view.median.overall[Mark.P_ON]
    rr = view.of("rr_min")
    if not isfinite(off) or isnan(rr) or view.says("afib", "aflutter") or view.of("heart_rate") > 95:
        return {}
    fs, at = strip.fs_hz, view.median.at
    begin = round(off - at + 0.02 * fs)
    room = rr / 1000 * fs + (on - at if isfinite(on) else -0.25 * fs) - begin - 0.02 * fs
    length = min(round(room), round(0.24 * fs))
    if length < round(0.12 * fs):
        return {}
    mine = beats.at[beats.family == beats.dominant]
    mine = mine[mine + begin + length <= strip.mv.shape[1]]
    if mine.size < 2:
        return {}
    leads = [lead for lead in ("V2", "V3", "V4") if lead in strip.leads]
    if not leads:
        return {}
    rows = strip.mv[[strip.leads.index(lead) for lead in leads]]
    middle = np.median(rows[:, mine[:, None] + begin + np.arange(length)], axis=1)
    first, last = middle[:, :5].mean(axis=1), middle[:, -5:].mean(axis=1)
    line = first[:, None] + (last - first)[:, None] * (np.arange(length) / (length - 1))
    sums = np.cumsum(np.pad(middle - line, ((0, 0), (1, 0))), axis=1)
    bump = (sums[:, _SMOOTH:] - sums[:, :-_SMOOTH]) / _SMOOTH
    peaks = bump.argmax(axis=1) + _SMOOTH // 2
    return {
        lead: float(bump[n].max())
        for n, lead in enumerate(leads)
        if 0.15 * length < peaks[n] < 0.85 * length  # a slope has its highest point at an end
    }


def u_statements(view: View, u: dict[str, float]) -> Iterator[Statement]:
    """u_prominent: at least 0.1 mV and a quarter of T in two of V2-V4."""
    large = [lead for lead, mv in u.items() if _u_limit(view, lead).holds(mv)]
    if len(large) >= 2:
        found = [Evidence("u_amplitude", u[lead], "mV", _u_limit(view, lead), lead) for lead in large]
        yield stated("u_prominent", 0.6, *found)


def _u_limit(view: View, lead: str) -> Limit:
    t = abs(view.t_mv(lead))
    return Limit(">=", max(_U_MV, 0.25 * t) if isfinite(t) else float("inf"), "mV", AHA4, "and 25 % of T")


def potassium(view: View, levels: StLevels, conducted: Conduction, u: dict[str, float]) -> Iterator[Statement]:
    """s_hyperk: tall narrow T; s_hypok: U above T, low T, low ST."""
    tall = [lead for lead in ("II", "V2", "V3", "V4", "V5") if _is_tented(view, lead)]
    asked = (("qrs_duration", _QRS_SLOW), ("pr_interval", _PR_SLOW))
    prolonged = [view.evidence(key, limit) for key, limit in asked if limit.holds(view.of(key))]
    slow = bool(prolonged)
    if len(tall) >= 3 and (len(tall) >= 4 or slow):
        found = [view.evidence("t_amplitude", _TENTED[lead == "II"], lead) for lead in tall]
        found += prolonged
        yield stated("t_abnormal", 0.6, *found)
        yield stated("s_hyperk", 0.45 + 0.2 * slow + 0.04 * len(tall), *found)
    above = [lead for lead, mv in u.items() if _U_ABOVE_T.holds(mv) and mv > max(view.t_mv(lead), 0.0)]
    low = [lead for lead in ("II", "V3", "V4", "V5") if _ST_LOW.holds(view.of("st_j60", lead))]
    if len(above) >= 2 and low and not conducted.bundle:
        found = [Evidence("u_amplitude", u[lead], "mV", _U_ABOVE_T, lead) for lead in above]
        found += [view.evidence("st_j60", _ST_LOW, lead) for lead in low]
        yield stated("s_hypok", 0.5 + 0.05 * len(low), *found)


def _is_tented(view: View, lead: str) -> bool:
    t = view.t_mv(lead)
    return _TENTED[lead == "II"].holds(t) and t_half_width_ms(view, lead) <= 100 and t > 0.5 * view.r_mv(lead)


def t_half_width_ms(view: View, lead: str) -> float:
    """How wide the T wave is at half its height, ms; NaN where there is none."""
    median = view.median
    if lead not in median.leads:
        return nan
    row = median.by_lead[median.leads.index(lead)]
    if not (isfinite(row[Mark.T_ON]) and isfinite(row[Mark.T_OFF])):
        return nan
    wave = np.abs(median.mv[median.leads.index(lead), int(row[Mark.T_ON]) : int(row[Mark.T_OFF]) + 1])
    return float((wave >= wave.max() / 2).sum()) * 1000.0 / median.fs_hz if wave.size else nan


# ------------------------------------------------------------------------------------------------ other patterns


def digitalis(view: View, levels: StLevels, conducted: Conduction) -> Iterator[Statement]:
    """ST that sags (lowest in its middle) where R is upright, with a short QT: stated with fibrillation or slow rates."""
    qtc = view.of("qtc_fridericia")
    if conducted.bundle or qtc > _QTC_DIGITALIS.number or view.of("heart_rate") > 110:
        return
    sagging = [
        lead
        for lead in ("I", "II", "V4", "V5", "V6")
        if _SAGGING.holds(view.of("st_j60", lead))
        and view.of("st_j80", lead) <= view.of("st_j", lead) - 0.02
        and view.net_mv(lead) > 0.3
        and view.t_mv(lead) > -0.3
    ]
    if len(sagging) >= 3:
        found = [view.evidence("st_j60", _SAGGING, lead) for lead in sagging]
        if isfinite(qtc):
            found.append(view.evidence("qtc_fridericia", _QTC_DIGITALIS))
        yield stated("s_digitalis", 0.4 + 0.15 * view.says("afib"), *found)


def brugada(view: View, conducted: Conduction) -> Iterator[Statement]:
    """Type 1 in V1 or V2 (consensus 2013); the less sure in right bundle-branch block."""
    lead = brugada_lead(view)
    if not lead or conducted.bundle == "lbbb":
        return
    found = (view.evidence("st_j", _BRUGADA_ST, lead), view.evidence("t_negative", _BRUGADA_T, lead))
    yield stated("s_brugada", 0.6 - 0.2 * (conducted.bundle == "rbbb"), *found)


def embolism(view: View, conducted: Conduction) -> Iterator[Statement]:
    """S1Q3T3 (McGinn and White 1935) with at least one more sign of a strained right ventricle."""
    if not view.is_adult or conducted.bundle == "lbbb":
        return
    has_t3 = _T_RIGHT.holds(view.t_down_mv("III"))
    has_s1q3 = _S1.holds(view.of("s_amplitude", "I")) and _Q3.holds(view.of("q_amplitude", "III"))
    is_s1q3t3 = has_s1q3 and has_t3 and view.r_mv("III") > 0.1
    right = [lead for lead in ("V1", "V2", "V3", "V4") if _T_RIGHT.holds(view.t_down_mv(lead))]
    signs = {
        "sinus_tachy": view.says("sinus_tachy"),
        "rbbb": conducted.bundle == "rbbb" or view.of("r_prime", "V1") >= 0.15,
        "t_negative": len(right) >= 3,
        "qrs_axis": view.of("qrs_axis") > 90,
    }
    others = [key for key, is_there in signs.items() if is_there]
    if (is_s1q3t3 and others) or (signs["t_negative"] and signs["sinus_tachy"] and has_t3):
        s1q3 = (view.evidence("s_amplitude", _S1, "I"), view.evidence("q_amplitude", _Q3, "III"))
        found = [
            *(s1q3 if has_s1q3 else ()),
            view.evidence("t_negative", _T_RIGHT, "III"),
            *(Evidence(key, passed=in_words("present", _EMBOLISM)) for key in others),
        ]
        yield stated("s_pe", 0.3 + 0.15 * len(others) + 0.1 * is_s1q3t3, *found)
        if right:
            yield stated(
                "t_abnormal",
                0.6,
                *[view.evidence("t_negative", _T_RIGHT, lead) for lead in right],
            )
