"""Limits of normal by age.  Durations in ms, axis in degrees, voltages in mV.

Under 16: Davignon 1980 (98th percentiles) for PR and voltages, AHA/ACCF/HRS 2009 part III for QRS and axis.  Standing
[s]: written from knowledge of the tables; check the bought text before claiming conformity.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from typing import Final

DAVIGNON: Final = "Davignon 1980, 98th percentile"
_AHA3: Final = "AHA/ACCF/HRS 2009 part III"

_DAY: Final = 1 / 365.25
_FROM_YEARS: Final = (0.0, _DAY, 3 * _DAY, 7 * _DAY, 30 * _DAY, 0.25, 0.5, 1.0, 3.0, 5.0, 8.0, 12.0)
"""Davignon's age groups by their begin, years."""
_PR_MS: Final = (160, 140, 140, 140, 130, 150, 160, 150, 160, 160, 170, 180)
_R_V1_MV: Final = (2.6, 2.7, 2.4, 2.1, 1.9, 2.0, 2.0, 1.8, 1.8, 1.4, 1.2, 1.0)
_S_V1_MV: Final = (2.3, 2.0, 1.7, 1.1, 1.3, 1.7, 1.8, 2.1, 2.2, 2.3, 2.5, 2.2)
_R_V6_MV: Final = (1.1, 1.2, 1.2, 1.6, 2.1, 2.2, 2.3, 2.3, 2.5, 2.6, 2.5, 2.3)

_AXIS_FROM_YEARS: Final = (0.0, 30 * _DAY, 1.0, 5.0, 8.0)
_AXIS_DEG: Final = ((30.0, 190.0), (10.0, 120.0), (5.0, 100.0), (0.0, 140.0), (0.0, 120.0))


@dataclass(frozen=True, slots=True)
class Limits:
    """pr: longer is prolonged.  pr_short: shorter is short.  qrs_incomplete, qrs_complete: an incomplete, a complete
    block begins.  axis: left of the first is left deviation, right of the second right deviation.

    r_v1, s_v1, r_v6: voltages above which the ventricle is enlarged, None in adults (who have other criteria).
    """

    pr: float
    pr_short: float
    qrs_incomplete: float
    qrs_complete: float
    axis: tuple[float, float]
    r_v1: float | None
    s_v1: float | None
    r_v6: float | None
    source: str
    voltage_source: str


_ADULT: Final = Limits(200.0, 120.0, 110.0, 120.0, (-30.0, 90.0), None, None, None, _AHA3, _AHA3)


def limits_at(age_years: float | None) -> Limits:
    """The limits at this age; an adult's where it's unknown."""
    if age_years is None or age_years >= 16.0:
        return _ADULT
    age = max(age_years, 0.0)
    group = bisect_right(_FROM_YEARS, age) - 1
    axis = _AXIS_DEG[bisect_right(_AXIS_FROM_YEARS, age) - 1]
    complete = 90.0 if age < 4.0 else 100.0  # part III: under 4 years, and from 4 to 16
    return Limits(
        pr=float(_PR_MS[group]),
        pr_short=80.0 if age < 8.0 else 90.0,  # below the 2nd percentile of every group (Davignon), rounded down
        qrs_incomplete=86.0 if age < 4.0 else 91.0,  # part III: 86-90 ms, and above 90 ms
        qrs_complete=complete,
        axis=axis,
        r_v1=_R_V1_MV[group],
        s_v1=_S_V1_MV[group],
        r_v6=_R_V6_MV[group],
        source=f"{DAVIGNON}; {_AHA3}",
        voltage_source=DAVIGNON,
    )
