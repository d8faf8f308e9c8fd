"""Voltage criteria and point scores from measured waves.  What needs a lead that is not there is left out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

ByLead = Mapping[str, Mapping[str, float]]

LIMB: Final = ("I", "II", "III", "aVR", "aVL", "aVF")
CHEST: Final = ("V1", "V2", "V3", "V4", "V5", "V6")


def r_of(lead: Mapping[str, float]) -> float:
    """The tallest upward wave, mV."""
    return max(lead.get("r_amplitude", 0.0), lead.get("r_prime", 0.0))


def s_of(lead: Mapping[str, float]) -> float:
    """The deepest downward wave after the first R, or a QS, mV."""
    qs = lead.get("q_amplitude", 0.0) if not r_of(lead) else 0.0
    return max(lead.get("s_amplitude", 0.0), lead.get("s_prime", 0.0), qs)


def voltages(leads: ByLead, qrs_ms: float | None) -> dict[str, float]:
    """Sokolow-Lyon 1949, RaVL, Cornell (Casale 1985) with its product (Molloy 1992), Peguero-Lo Presti 2017; mV."""
    out: dict[str, float] = {}
    if _has(leads, "V1") and (_has(leads, "V5") or _has(leads, "V6")):
        out["sokolow_lyon"] = s_of(leads["V1"]) + max(r_of(leads[v]) for v in ("V5", "V6") if _has(leads, v))
    if _has(leads, "aVL"):
        out["r_avl"] = r_of(leads["aVL"])
    if _has(leads, "aVL", "V3"):
        out["cornell_voltage"] = r_of(leads["aVL"]) + s_of(leads["V3"])
        if qrs_ms is not None:
            out["cornell_product"] = out["cornell_voltage"] * qrs_ms
    if _has(leads, *LIMB, *CHEST):
        out["peguero"] = max(s_of(leads[v]) for v in (*LIMB, *CHEST)) + s_of(leads["V4"])
    return out


def romhilt_estes(
    leads: ByLead, qrs_ms: float | None, axis_deg: float | None, terminal_mv: float, terminal_ms: float
) -> float | None:
    """Points for left ventricular hypertrophy; 4 probable, 5 definite.  Romhilt and Estes 1968.

    Digitalis is not known here: strain counts as without it.  None where one of the twelve leads is missing.
    """
    if qrs_ms is None or not _has(leads, *LIMB, *CHEST):
        return None
    tall = (
        max(max(r_of(leads[v]), s_of(leads[v])) for v in LIMB) >= 2.0
        or max(s_of(leads["V1"]), s_of(leads["V2"])) >= 3.0
        or max(r_of(leads["V5"]), r_of(leads["V6"])) >= 3.0
    )
    points = 3.0 * tall + 3.0 * any(_strained(leads[v]) for v in ("V5", "V6"))
    points += 3.0 * (terminal_mv >= 0.1 and terminal_ms >= 40.0)
    points += 2.0 * (axis_deg is not None and -90.0 < axis_deg <= -30.0)
    points += 1.0 * (qrs_ms >= 90.0)
    points += 1.0 * (max(leads["V5"].get("vat", 0.0), leads["V6"].get("vat", 0.0)) >= 50.0)
    return float(points)


def _strained(lead: Mapping[str, float]) -> bool:
    """ST and T against an upward QRS."""
    return (
        r_of(lead) > s_of(lead)
        and lead.get("st_j60", lead.get("st_j", 0.0)) <= -0.05
        and lead.get("t_negative", 0.0) >= 0.05
        and lead.get("t_negative", 0.0) > lead.get("t_amplitude", 0.0)
    )


def sgarbossa(leads: ByLead, qrs_ms: float | None) -> float | None:
    """Points for infarction under left bundle branch block or right ventricular pacing.  Sgarbossa 1996.

    5: concordant elevation >= 0.1 mV; 3: depression >= 0.1 mV in V1-V3; 2: discordant elevation >= 0.5 mV.
    Only told of a QRS of 120 ms and more.
    """
    if qrs_ms is None or qrs_ms < 120.0:
        return None
    usual = [v for v in (*LIMB, *CHEST) if v != "aVR" and "st_j" in leads.get(v, {})]
    if not usual:
        return None
    upward = {v: r_of(leads[v]) > max(s_of(leads[v]), leads[v].get("q_amplitude", 0.0)) for v in usual}
    st = {v: leads[v]["st_j"] for v in usual}
    points = 5.0 * any(upward[v] and st[v] >= 0.1 for v in usual)
    points += 3.0 * any(not upward[v] and st[v] <= -0.1 for v in ("V1", "V2", "V3") if v in st)
    points += 2.0 * any(not upward[v] and st[v] >= 0.5 for v in usual)
    return points


def _has(leads: ByLead, *names: str) -> bool:
    return all("r_amplitude" in leads.get(name, {}) for name in names)
