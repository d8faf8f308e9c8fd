"""ST level by lead against the limits of sex and age, and what may explain it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from ecg.diagnose_chambers import strain_leads
from ecg.diagnose_conduction import Conduction
from ecg.diagnose_view import INFERIOR, LATERAL, UDMI, View, beyond, stated, together
from ecg.limit import Limit
from ecg.marks import Evidence, Statement

_LOOKED_AT: Final = ("I", "II", "III", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
POSTERIOR: Final = ("V7", "V8", "V9")
RIGHT: Final = ("V3R", "V4R", "V5R")
DEPRESSED: Final = Limit("<=", -0.05, "mV", UDMI, "at J and J+60", decimals=2)
DEEP: Final = Limit("<=", -0.1, "mV", UDMI, "at J", decimals=2)
RECIPROCAL: Final = Limit("<=", -0.05, "mV", UDMI, ", reciprocal")
_AVR: Final = Limit(">=", 0.1, "mV", UDMI, "with depression in 6 leads")
_PERICARDITIS: Final = Limit(">=", 0.25, "1", "Ginzton and Laks 1982")
_EARLY: Final = Limit(">=", 0.1, "mV", "Macfarlane 2015", ", rising, upright T", decimals=2)
_ANEURYSM: Final = Limit("<", 0.36, "1", "Smith 2005", "in QS")
_AT_LIMIT_LESS: Final = 0.16
"""Taken off the certainty of an ischaemia, so that it stays below what alarms (0.5) at the bare limit (ours)."""
_LEAST_SURE: Final = 0.25
"""A lead so noisy that its ST level is known to less than this is not counted (ours)."""
_OPPOSITE: Final = {
    "inferior": ("I", "aVL", "V1", "V2", "V3"),
    "lateral": ("III", "aVF", "II", "V1"),
    "anterior": ("III", "aVF", "II"),
}


def elevation_limit(lead: str, age_years: float | None, is_male: bool | None) -> Limit:
    """The level at J as it is told, to 0.01 mV, from which infarction is suspected."""
    return Limit(">=", elevation_limit_mv(lead, age_years, is_male), "mV", UDMI, decimals=2)


def elevation_limit_mv(lead: str, age_years: float | None, is_male: bool | None) -> float:
    """ST elevation at J from which infarction is suspected, mV.  4th universal definition of MI; unknown sex: a man's."""
    if lead in ("V2", "V3"):
        if is_male is False:
            return 0.15
        return 0.25 if age_years is not None and age_years < 40.0 else 0.2
    if lead in POSTERIOR:
        return 0.05
    if lead in RIGHT:
        return 0.1 if is_male and age_years is not None and age_years < 30.0 else 0.05
    return 0.1


@dataclass(frozen=True, slots=True)
class StLevels:
    """elevated: leads at or beyond their limit that have a neighbour so; depressed: likewise, horizontal or falling.

    explained: why the elevation is not taken for an injury (a statement's key or ``lvh``, ``lbbb``), empty where it is.
    """

    elevated: tuple[str, ...]
    depressed: tuple[str, ...]
    any_depressed: frozenset[str]
    explained: str

    def territory(self) -> str:
        """Where the elevated leads look: inferior, anterior or lateral; empty where nowhere."""
        counts = {
            "inferior": sum(lead in INFERIOR for lead in self.elevated),
            "anterior": sum(lead in ("V1", "V2", "V3", "V4") for lead in self.elevated),
            "lateral": sum(lead in LATERAL for lead in self.elevated),
        }
        best = max(counts, key=lambda key: counts[key])
        return best if counts[best] else ""


def st_levels(view: View, conducted: Conduction) -> StLevels:
    """The ST levels as they can be read; empty in a QRS that isn't the heart's own."""
    if view.is_paced or view.is_ventricular or conducted.is_preexcited:
        return StLevels((), (), frozenset(), "")
    elevated = together(view, [lead for lead in _LOOKED_AT if is_elevated(view, lead)])
    low = [lead for lead in _LOOKED_AT if is_depressed(view, lead)]
    return StLevels(tuple(elevated), tuple(together(view, low)), frozenset(low), _explained(view, conducted, elevated))


def is_elevated(view: View, lead: str) -> bool:
    limit = elevation_limit(lead, view.age_years, view.is_male)
    st, later = view.of("st_j", lead), view.of("st_j40", lead)
    # a foot of the QRS is not an elevation: it has to last; and noise is none
    return limit.holds(st) and later >= 0.6 * limit.number and view.sure("st_j", lead) >= _LEAST_SURE


def is_depressed(view: View, lead: str) -> bool:
    """At least 0.05 mV at J and still so 60 ms later: horizontal or falling (4th universal definition of MI)."""
    st, later = view.of("st_j", lead), view.of("st_j60", lead)
    if view.sure("st_j", lead) < _LEAST_SURE:
        return False
    return DEPRESSED.holds(st) and DEPRESSED.holds(later) and later <= st + 0.03


def st_statements(view: View, levels: StLevels, conducted: Conduction) -> Iterator[Statement]:
    """st_elevation and st_depression with every lead as evidence."""
    if levels.elevated and levels.explained not in ("lbbb", "early_repol"):
        found = [elevation_evidence(view, lead) for lead in levels.elevated]
        yield stated("st_elevation", _worst(view, levels.elevated), *found, modifiers=_height(view, levels.elevated))
    if levels.depressed and conducted.bundle != "lbbb":
        leads = [lead for lead in levels.depressed if not (conducted.bundle == "rbbb" and lead in ("V1", "V2", "V3"))]
        leads = together(view, leads)
        if leads:
            found = [view.evidence("st_j", DEPRESSED, lead) for lead in leads]
            yield stated("st_depression", _worst(view, leads), *found, modifiers=_height(view, leads))


def elevation_evidence(view: View, lead: str) -> Evidence:
    return view.evidence("st_j", elevation_limit(lead, view.age_years, view.is_male), lead)


def _worst(view: View, leads: Sequence[str]) -> float:
    """Certainty that rests on the second surest lead: two are needed."""
    sure = sorted(
        (
            beyond(abs(view.of("st_j", lead)), 0.1 if view.of("st_j", lead) > 0 else 0.05, 0.08)
            * (0.5 + 0.5 * view.sure("st_j", lead))
            for lead in leads
        ),
        reverse=True,
    )
    return sure[min(1, len(sure) - 1)]


def _height(view: View, leads: Sequence[str]) -> tuple[str, ...]:
    most = max(abs(view.of("st_j", lead)) for lead in leads)
    return ("at_least_2_mm",) if round(most, 2) >= 0.2 else ("at_least_1_mm",) if round(most, 2) >= 0.1 else ()


# ------------------------------------------------------------------------------------------------ explanations


def _explained(view: View, conducted: Conduction, elevated: Sequence[str]) -> str:
    if not elevated:
        return ""
    if conducted.bundle == "lbbb":
        return "lbbb"
    if conducted.bundle == "ivcd" and _is_secondary_to_width(view, elevated):
        return "ivcd"
    if conducted.bundle == "rbbb":
        return ""
    if brugada_lead(view) and set(elevated) <= {"V1", "V2", "V3"}:
        return "s_brugada"
    if _is_secondary_to_voltage(view, elevated):
        return "lvh"
    if is_aneurysm(view, elevated):
        return "s_aneurysm"
    reciprocal = reciprocal_leads(view, elevated)
    if pericarditis(view, [lead for lead in _LOOKED_AT if is_elevated(view, lead)], reciprocal):
        return "s_pericarditis"
    if early_repolarization(view) and not reciprocal:
        return "early_repol"
    return ""


def brugada_lead(view: View) -> str:
    """V1 or V2 with a type 1 pattern: J >= 0.2 mV, falling without a step into an inverted T; empty where there's none."""
    for lead in ("V1", "V2"):
        st, later, last = (view.of(key, lead) for key in ("st_j", "st_j40", "st_j80"))
        if round(st, 2) >= 0.2 and later < 0.9 * st and last < later and view.t_mv(lead) <= -0.05:
            return lead
    return ""


def _is_secondary_to_voltage(view: View, elevated: Sequence[str]) -> bool:
    """V1-V3 only, over a deep S, ST less than a quarter of it (Armstrong 2012: ST/(R-S) < 25 %)."""
    if not set(elevated) <= {"V1", "V2", "V3"} or max(view.s_mv("V1"), view.s_mv("V2"), view.s_mv("V3")) < 2.0:
        return False
    return all(view.of("st_j", lead) < 0.25 * (view.s_mv(lead) - view.r_mv(lead)) for lead in elevated)


def _is_secondary_to_width(view: View, elevated: Sequence[str]) -> bool:
    """A wide QRS draws ST against itself: all elevation lies over a negative QRS and is less than a quarter of its S."""
    return all(view.net_mv(lead) < 0 and view.of("st_j", lead) < 0.25 * view.s_mv(lead) for lead in elevated)


def is_aneurysm(view: View, elevated: Sequence[str]) -> bool:
    """Anterior QS complexes whose T wave is small beside them: T/QRS < 0.36 in every one (Smith 2005)."""
    front = [lead for lead in elevated if lead in ("V1", "V2", "V3", "V4")]
    if len(front) < 2 or sum(view.is_qs(lead) for lead in front) < 2 or len(front) < len(elevated) - 1:
        return False
    return all(_ANEURYSM.holds(_t_over_qrs(view, lead)) for lead in front)


def _t_over_qrs(view: View, lead: str) -> float:
    return abs(view.t_mv(lead)) / max(view.of("qrs_peak_to_peak", lead), 1e-9)


def reciprocal_leads(view: View, elevated: Sequence[str]) -> list[str]:
    """Leads opposite the elevated ones that are depressed by 0.05 mV or more."""
    levels = StLevels(tuple(elevated), (), frozenset(), "")
    across = _OPPOSITE.get(levels.territory(), ())
    return [lead for lead in across if lead not in elevated and RECIPROCAL.holds(view.of("st_j", lead))]


def pericarditis(view: View, elevated: Sequence[str], reciprocal: Sequence[str]) -> bool:
    """Elevation in limb and chest leads alike, none opposite, ST/T >= 0.25 in V6 (Ginzton and Laks 1982)."""
    limb = [lead for lead in elevated if lead in ("I", "II", "III", "aVF", "aVL")]
    chest = [lead for lead in elevated if lead in ("V2", "V3", "V4", "V5", "V6")]
    if len(limb) < 2 or len(chest) < 3 or reciprocal or "II" not in limb:
        return False
    t6 = view.t_mv("V6")
    return (
        t6 > 0 and _PERICARDITIS.holds(view.of("st_j", "V6") / t6) and view.of("st_j", "III") <= view.of("st_j", "II")
    )


def early_repolarization(view: View) -> list[str]:
    """Leads with a J-point elevation >= 0.1 mV that rises into an upright, large T: two or more inferior or lateral.

    After the consensus of Macfarlane 2015; a notch or slur is asked for only where it could be counted.
    """
    if view.age_years is not None and view.age_years > 60.0:
        return []
    found: list[str] = []
    for lead in ("I", "II", "III", "aVL", "aVF", "V3", "V4", "V5", "V6"):
        st, slope, t = view.of("st_j", lead), view.of("st_slope", lead), view.t_mv(lead)
        if _EARLY.holds(st):
            rises = view.of("st_j60", lead) > st + 0.01 or slope > 0.2
            if rises and t >= 0.3 and st < 0.35 * t and st < 0.35 and view.r_mv(lead) > 0.5:
                found.append(lead)
    return found if len(together(view, found)) >= 2 else []


def explanation_statements(view: View, levels: StLevels) -> Iterator[Statement]:
    """early_repol, s_pericarditis, s_aneurysm where they explain the elevation."""
    if levels.explained == "s_pericarditis":
        found = [elevation_evidence(view, lead) for lead in levels.elevated]
        found.append(
            Evidence(
                "st_over_t",
                view.of("st_j", "V6") / view.t_mv("V6"),
                "1",
                _PERICARDITIS,
                "V6",
            )
        )
        yield stated("s_pericarditis", 0.55 + 0.03 * len(levels.elevated), *found)
    elif levels.explained == "early_repol":
        leads = early_repolarization(view)
        found = [view.evidence("st_j", _EARLY, lead) for lead in leads]
        yield stated("early_repol", 0.6 + 0.04 * len(leads), *found)
    elif levels.explained == "s_aneurysm":
        found = [
            Evidence("t_over_qrs", _t_over_qrs(view, lead), "1", _ANEURYSM, lead)
            for lead in levels.elevated
            if view.is_qs(lead) and _ANEURYSM.holds(_t_over_qrs(view, lead))
        ]
        yield stated("s_aneurysm", 0.6, *found)


def ischemia_statements(view: View, levels: StLevels, conducted: Conduction, is_digitalis: bool) -> Iterator[Statement]:
    """s_ischemia_acute, s_ischemia from ST depression that nothing else explains (an infarct elsewhere does)."""
    if conducted.bundle == "lbbb" or is_digitalis or (levels.elevated and not levels.explained):
        return
    strained = set(strain_leads(view))
    leads = [lead for lead in levels.depressed if lead not in strained]
    if conducted.bundle == "rbbb":
        leads = [lead for lead in leads if lead not in ("V1", "V2", "V3")]
    leads = together(view, leads)
    if strained and set(leads) <= {"I", "aVL", "II", "V4", "V5", "V6"}:
        return
    deep = [lead for lead in leads if DEEP.holds(view.of("st_j", lead))]
    evidence = [view.evidence("st_j", DEEP, lead) for lead in deep]
    if len(levels.any_depressed) >= 6 and _AVR.holds(view.of("st_j", "aVR")) and len(deep) >= 3:
        evidence.append(view.evidence("st_j", _AVR, "aVR"))
        yield stated("s_ischemia_acute", 0.75, *evidence)
    elif len(together(view, deep)) >= 2:
        worst = sorted((-view.of("st_j", lead) for lead in deep), reverse=True)[1]
        sure = beyond(worst, 0.1, 0.1) - _AT_LIMIT_LESS - 0.15 * (view.of("heart_rate") > 120) - 0.1 * bool(strained)
        yield stated("s_ischemia_acute", sure, *evidence)
    elif len(leads) >= 2:
        low = [view.evidence("st_j", DEPRESSED, lead) for lead in leads]
        yield stated("s_ischemia", 0.5, *low)
