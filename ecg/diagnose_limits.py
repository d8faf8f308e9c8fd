"""Limits of normal by age.  Durations in ms, axis in degrees, voltages in mV.

Under 16: Davignon 1980 (98th percentiles) for PR and voltages, AHA/ACCF/HRS 2009 part III for QRS and axis.  Standing
[s]: written from knowledge of the tables; check the bought text before claiming conformity.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, replace
from typing import Final

from ecg.limit import Limit

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
    """pr: prolonged.  pr_short: short.  qrs_incomplete, qrs_complete: an incomplete, a complete block.  qrs_widened:
    between the two.  qrs_nearly: from 10 ms below (ours).  left, right: deviation of the axis.

    r_v1, s_v1, r_v6: the ventricle is enlarged; None in adults (who have other criteria).
    """

    pr: Limit
    pr_short: Limit
    qrs_incomplete: Limit
    qrs_complete: Limit
    left: Limit
    right: Limit
    r_v1: Limit | None
    s_v1: Limit | None
    r_v6: Limit | None

    @property
    def qrs_nearly(self) -> Limit:
        return replace(self.qrs_incomplete, number=self.qrs_incomplete.number - 10.0, decimals=None)

    @property
    def qrs_widened(self) -> Limit:
        return self._until_complete(self.qrs_incomplete.number)

    @property
    def qrs_nearly_widened(self) -> Limit:
        return self._until_complete(self.qrs_nearly.number)

    def _until_complete(self, number: float) -> Limit:
        upper = self.qrs_complete.number - 1.0
        return Limit("in", number, "ms", self.qrs_incomplete.source, upper=upper, decimals=0)


def _limits(
    pr: float,
    pr_short: float,
    qrs: tuple[float, float],
    axis: tuple[float, float],
    source: str,
    voltages: tuple[Limit, Limit, Limit] | tuple[None, None, None] = (None, None, None),
) -> Limits:
    """qrs: where an incomplete and where a complete block begins."""
    r_v1, s_v1, r_v6 = voltages
    return Limits(
        pr=Limit(">", pr, "ms", source, decimals=0),
        pr_short=Limit("<", pr_short, "ms", source, decimals=0),
        qrs_incomplete=Limit(">=", qrs[0], "ms", _AHA3, decimals=0),
        qrs_complete=Limit(">=", qrs[1], "ms", _AHA3, decimals=0),
        left=Limit("<", axis[0], "deg", source, decimals=0),
        right=Limit(">", axis[1], "deg", source, decimals=0),
        r_v1=r_v1,
        s_v1=s_v1,
        r_v6=r_v6,
    )


_ADULT: Final = _limits(200.0, 120.0, (110.0, 120.0), (-30.0, 90.0), _AHA3)


def limits_at(age_years: float | None) -> Limits:
    """The limits at this age; an adult's where it's unknown."""
    if age_years is None or age_years >= 16.0:
        return _ADULT
    age = max(age_years, 0.0)
    group = bisect_right(_FROM_YEARS, age) - 1
    axis = _AXIS_DEG[bisect_right(_AXIS_FROM_YEARS, age) - 1]
    complete = 90.0 if age < 4.0 else 100.0  # part III: under 4 years, and from 4 to 16
    r_v1, s_v1, r_v6 = (Limit(">", mv[group], "mV", DAVIGNON, "at this age") for mv in (_R_V1_MV, _S_V1_MV, _R_V6_MV))
    return _limits(
        pr=float(_PR_MS[group]),
        pr_short=80.0 if age < 8.0 else 90.0,  # below the 2nd percentile of every group (Davignon), rounded down
        qrs=(86.0 if age < 4.0 else 91.0, complete),  # part III: 86-90 ms, and above 90 ms
        axis=axis,
        source=f"{DAVIGNON}; {_AHA3}",
        voltages=(r_v1, s_v1, r_v6),
    )
