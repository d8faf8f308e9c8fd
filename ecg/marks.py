"""What the engine marks in a recording: beats with their classes, and where P, QRS and T begin, peak and end."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum, StrEnum
from math import isfinite
from typing import Final

import numpy as np
import numpy.typing as npt

from ecg.limit import NONE, Limit
from ecg.strip import Samples


class BeatClass(StrEnum):
    """The classes of ANSI/AAMI EC57 4.3, by word, with paced beats by themselves."""

    NORMAL = "normal"
    SUPRAVENTRICULAR = "supraventricular"
    VENTRICULAR = "ventricular"
    FUSION = "fusion"
    PACED = "paced"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Beats:
    """The beats of a strip, in time.

    at: int64 [beat], the main deflection of each QRS, samples of the strip.
    kinds: one a beat.  family: int64 [beat], beats of one family look alike; 0 is the largest family.
    dominant: the family whose median beat is measured (the most frequent that is not ventricular, where there is one).
    certainty: float64 [beat], 0..1, that the class is right.
    spikes: int64 [spike], pacing spikes, samples of the strip.
    """

    at: npt.NDArray[np.int64]
    kinds: tuple[BeatClass, ...]
    family: npt.NDArray[np.int64]
    dominant: int
    certainty: Samples
    spikes: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.kinds)

    def where(self, *kinds: BeatClass) -> npt.NDArray[np.bool_]:
        """bool [beat]: those of these classes."""
        return np.array([kind in kinds for kind in self.kinds], dtype=bool)


class Mark(IntEnum):
    """Columns of the mark arrays."""

    P_ON = 0
    P_PEAK = 1
    P_OFF = 2
    QRS_ON = 3
    QRS_PEAK = 4
    QRS_OFF = 5
    T_ON = 6
    T_PEAK = 7
    T_OFF = 8


@dataclass(frozen=True, slots=True)
class Waves:
    """Samples of the strip as float64, NaN where there is no such wave (or it could not be marked).

    overall: [beat, 9] (``Mark``): the earliest onset and the latest offset that the leads support.
    by_lead: [lead, beat, 9].
    p_certainty: float64 [beat], 0..1, that a P wave is there at all.
    """

    overall: Samples
    by_lead: Samples
    p_certainty: Samples

    def without_p(self, which: npt.NDArray[np.bool_] | None = None) -> Waves:
        """The same with no P waves (of these beats, bool [beat]): atrial fibrillation has none."""
        beats = np.ones(self.overall.shape[0], dtype=bool) if which is None else which
        overall, by_lead, certainty = self.overall.copy(), self.by_lead.copy(), self.p_certainty.copy()
        overall[beats, : Mark.P_OFF + 1] = np.nan
        by_lead[:, beats, : Mark.P_OFF + 1] = np.nan
        certainty[beats] = 0.0
        return replace(self, overall=overall, by_lead=by_lead, p_certainty=certainty)


@dataclass(frozen=True, slots=True)
class MedianBeat:
    """The median of the dominant family's beats.

    mv: float64 [lead, sample] at fs_hz, the level before the QRS (PR segment) at zero.  at: sample of the fiducial.
    overall: [9], by_lead: [lead, 9], samples of this beat (``Mark``), NaN where absent.  beats: how many it was made of.
    """

    leads: tuple[str, ...]
    mv: Samples
    fs_hz: float
    at: int
    overall: Samples
    by_lead: Samples
    beats: int


@dataclass(frozen=True, slots=True)
class Quantity:
    """A measured value.  certainty: 0..1, how far it can be relied on (agreement of leads, noise, number of beats)."""

    value: float
    unit: str
    certainty: float


@dataclass(frozen=True, slots=True)
class Measurements:
    """Every measurement by key (``heart_rate``, ``qt_interval`` ...), and by lead (``by_lead["V1"]["r_amplitude"]``)."""

    values: dict[str, Quantity]
    by_lead: dict[str, dict[str, Quantity]]

    def get(self, key: str, lead: str = "") -> float | None:
        """The value, None where it could not be measured."""
        found = self.by_lead.get(lead, {}).get(key) if lead else self.values.get(key)
        return None if found is None else found.value


@dataclass(frozen=True, slots=True)
class Evidence:
    """Why a statement is made: what was seen where, and the limit that it passed.

    value: as it is told, None where there is no number; rounded as ``passed`` tells it, so that what is printed is what
    decided.  passed: the very limit that decided.
    start_s, end_s: seconds from the recording's begin, None where it holds for all of it.
    """

    key: str
    value: float | None = None
    unit: str = ""
    passed: Limit = NONE
    lead: str = ""
    start_s: float | None = None
    end_s: float | None = None

    def __post_init__(self) -> None:
        if self.value is not None:
            told = self.passed.told(self.value, self.unit)
            object.__setattr__(self, "value", told if isfinite(told) else None)

    @property
    def limit(self) -> str:
        """The limit in words with its unit, such as ``>= 120 ms``; empty where there is none."""
        return str(self.passed)

    @property
    def source(self) -> str:
        """Where the limit is taken from."""
        return self.passed.source


@dataclass(frozen=True, slots=True)
class Statement:
    """key: of ``statements.csv``.  certainty: 0..1.  modifiers: AHA 3xx codes as keys (``frequent``, ``possible`` ...)."""

    key: str
    certainty: float
    evidence: tuple[Evidence, ...] = ()
    modifiers: tuple[str, ...] = ()


FACTS: Final = frozenset(
    {
        *("mean_rate", "max_rate", "min_rate_over_6s", "shortest_rr_ms", "af_shortest_rr_ms"),
        *("longest_pause_s", "pauses", "pause_at_edge_s", "edge_pause_s", "signal_s"),
        *("vt_longest_s", "vt_rate", "vt_beats", "vt_bidirectional", "svt_rate", "svt_longest_s"),
        *("vf_s", "fibrillation_likely", "rhythm_unproved", "r_on_t", "r_on_t_sure", "t_alternans", "fills_strip"),
    }
)
"""Every number that a rhythm may leave in ``Rhythm.facts``, and a critical rule may ask for."""


@dataclass(frozen=True, slots=True)
class Rhythm:
    """What the heart's rhythm is.

    statements: rhythm, conduction-in-time and ectopy (sinus_rhythm, afib, avb2_mobitz1, pvc, bigeminy_v ...).
    has_p: bool [beat], whether a P wave may be marked there (False throughout atrial fibrillation and flutter).
    ventricular_rate, atrial_rate: /min, None where it could not be told.
    facts: numbers that critical rules ask for, SI units in the name: ``longest_pause_s``, ``vt_longest_s``,
    ``vt_rate``, ``shortest_rr_ms``, ``r_on_t`` (0/1), ``fills_strip`` (0/1: the tachycardia has no begin and no end here)
    """

    statements: tuple[Statement, ...]
    has_p: npt.NDArray[np.bool_]
    ventricular_rate: float | None
    atrial_rate: float | None
    facts: dict[str, float]
