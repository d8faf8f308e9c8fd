"""Arrivals and the present -> the study is complete, or when to look again (WORKFLOW.md section 3)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

#: Quiet seconds after the last arrival, by modality.
QUIET_S: Final[Mapping[str, float]] = {"ECG": 5, "HD": 5, "CR": 20, "DR": 20, "DX": 20, "CT": 60, "MR": 60, "US": 60}
OTHERWISE_S: Final = 60.0
#: After this long a study is read as it is, marked partial.
CAP_S: Final = 900.0
#: An open association is looked at again this often; one that hasn't been seen this long is dead.
LOOK_AGAIN_S: Final = 2.0
DEAD_AFTER_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Arrivals:
    """What came since the last completion; ``open_association``: the one that last brought an object is alive."""

    first_at: datetime
    last_at: datetime
    modalities: frozenset[str]
    open_association: bool = False


@dataclass(frozen=True, slots=True)
class Complete:
    partial: bool = False


@dataclass(frozen=True, slots=True)
class Wait:
    until: datetime


def quiet_s(modalities: frozenset[str], table: Mapping[str, float] = QUIET_S, otherwise: float = OTHERWISE_S) -> float:
    """The longest of its modalities' quiet times, s."""
    return max((table.get(m, otherwise) for m in modalities), default=otherwise)


def decide(arrivals: Arrivals, now: datetime, quiet: float, cap: float = CAP_S) -> Complete | Wait:
    """Complete when it has been quiet for ``quiet`` seconds and nobody is still sending; after ``cap`` in any case."""
    cap_at = arrivals.first_at + timedelta(seconds=cap)
    quiet_at = arrivals.last_at + timedelta(seconds=quiet)
    if now >= quiet_at and not arrivals.open_association:
        return Complete()
    if now >= cap_at:
        return Complete(partial=True)
    if now < quiet_at:
        return Wait(min(quiet_at, cap_at))
    return Wait(min(now + timedelta(seconds=LOOK_AGAIN_S), cap_at))
