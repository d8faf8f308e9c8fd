"""What the diagnostic rules look at: one median beat's numbers by name and lead, the patient, and what the rhythm forbids.

A number that could not be measured is NaN, so that every comparison with it is False: a rule never fires on nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from math import isfinite, isnan, nan, tanh
from typing import Final

import numpy as np

from ecg.limit import Limit
from ecg.marks import BeatClass, Beats, Evidence, Mark, Measurements, MedianBeat, Rhythm, Statement
from ecg.statements import terms
from ecg.strip import Strip

ADULT_YEARS: Final = 16.0
CHILD: Final = Limit(
    "<",
    ADULT_YEARS,
    "year",
    "ours",
    ": adult limits not applied; Q waves, infarction, ischaemia and T waves not judged",
)
"""Adult limits of voltage, axis, duration and repolarization hold from here on (AHA/ACCF/HRS 2009 part III, V)."""

SLOW_HZ: Final = 240.0
"""Below this rate a recording's QRS measures about a sample wider than it is (PTB-XL normals at 100 Hz: 10 ms)."""

AHA3: Final = "AHA/ACCF/HRS 2009 part III"
AHA4: Final = "AHA/ACCF/HRS 2009 part IV"
AHA5: Final = "AHA/ACCF/HRS 2009 part V"
UDMI: Final = "4th universal definition of MI 2018"

INFERIOR: Final = ("II", "aVF", "III")
LATERAL: Final = ("I", "aVL", "V5", "V6")
ANTERIOR: Final = ("V1", "V2", "V3", "V4", "V5", "V6")
NEIGHBOURS: Final = (
    *(("aVL", "I"), ("II", "aVF"), ("aVF", "III"), ("II", "III"), ("I", "V6"), ("aVL", "V6"), ("aVL", "V5")),
    *(("I", "V5"), ("V1", "V2"), ("V2", "V3"), ("V3", "V4"), ("V4", "V5"), ("V5", "V6")),
)
"""Leads that look at neighbouring parts of the heart: the limb leads in Cabrera's order, the chest leads in theirs,
and the lateral leads among themselves (4th universal definition of MI; pairs across limb and chest are ours)."""

_ST_ERROR_MV: Final = 0.04
"""Standard error at which half of the certainty of an ST level is gone: nearly half a small square (ours)."""
_WAVES: Final = frozenset({"q_amplitude", "r_amplitude", "s_amplitude", "r_prime", "s_prime"})
_MEASURED: Final = ("qrs_peak_to_peak", "r_amplitude", "s_amplitude", "st_j")
_VENTRICULAR: Final = frozenset(
    terms("vt", "vt_poly", "torsades", "wide_tachy", "idioventricular", "aivr", "fascicular_tachy")
)
_NO_QRS: Final = frozenset(terms("vf", "v_flutter"))
_PACED: Final = frozenset(terms("paced_v", "paced_dual", "paced_vat"))


@dataclass(frozen=True, slots=True)
class View:
    """numbers: (key, lead or "") -> value; certainties alike.  leads: those with a measured QRS.

    st_error_mv: standard error of the ST level by lead, from how it differs between beats.
    slack_ms: by how much the device's own slow sampling widens a QRS.  is_male: None where the sex is unknown.  is_paced, is_ventricular: the measured beat is a pacemaker's or the
    ventricles' own; is_fibrillating: there is no QRS at all.
    """

    numbers: dict[tuple[str, str], float]
    certainties: dict[tuple[str, str], float]
    leads: frozenset[str]
    age_years: float | None
    is_male: bool | None
    is_paced: bool
    is_ventricular: bool
    is_fibrillating: bool
    said: dict[str, float]
    median: MedianBeat
    seconds: float
    slack_ms: float = 0.0
    st_error_mv: dict[str, float] = field(default_factory=dict[str, float])
    facts: dict[str, float] = field(default_factory=dict)

    def of(self, key: str, lead: str = "") -> float:
        """The value, NaN where it wasn't measured; a wave that a measured lead doesn't have is 0."""
        found = self.numbers.get((key, lead))
        if found is not None:
            return found
        return 0.0 if lead in self.leads and key in _WAVES else nan

    def each(self, key: str, leads: Iterable[str]) -> list[float]:
        return [self.of(key, lead) for lead in leads]

    def sure(self, key: str, lead: str = "") -> float:
        """How far the measurement can be relied on, 0..1; 1 for what was derived."""
        sure = self.certainties.get((key, lead), 1.0)
        if key == "st_j" and lead in self.st_error_mv:
            sure /= 1.0 + (self.st_error_mv[lead] / _ST_ERROR_MV) ** 2
        return sure

    def t_mv(self, lead: str) -> float:
        """The T wave's larger deflection, mV, signed."""
        up, down = self.of("t_amplitude", lead), self.of("t_negative", lead)
        if isnan(up) and isnan(down):
            return nan
        up, down = (0.0 if isnan(up) else up), (0.0 if isnan(down) else down)
        return up if up >= down else -down

    def t_down_mv(self, lead: str) -> float:
        """How deep the T wave is inverted, mV; negative where it is upright."""
        return -self.t_mv(lead)

    def r_mv(self, lead: str) -> float:
        """The tallest upward deflection of the QRS, mV."""
        return max(self.of("r_amplitude", lead), self.of("r_prime", lead))

    def s_mv(self, lead: str) -> float:
        """The deepest downward deflection after an R, or the QS complex, mV, positive."""
        deepest = max(self.of("s_amplitude", lead), self.of("s_prime", lead))
        return max(deepest, self.of("q_amplitude", lead)) if self.is_qs(lead) else deepest

    def net_mv(self, lead: str) -> float:
        """R less the deepest of Q and S, mV: upright or not."""
        return self.r_mv(lead) - max(self.s_mv(lead), self.of("q_amplitude", lead))

    def is_qs(self, lead: str) -> bool:
        """One downward deflection without an R wave (of 50 uV, ours)."""
        return self.r_mv(lead) < 0.05 and max(self.of("q_amplitude", lead), self.of("s_amplitude", lead)) >= 0.1

    def is_qr(self, lead: str) -> bool:
        """A Q wave and an R taller than it, with no S to speak of (ours)."""
        r, q = self.of("r_amplitude", lead), self.of("q_amplitude", lead)
        return q >= 0.05 and r > max(q, 0.2) and self.of("s_amplitude", lead) < 0.5 * r

    @property
    def qrs_ms(self) -> float:
        """QRS duration, less what slow sampling adds to it."""
        return self.of("qrs_duration") - self.slack_ms

    @property
    def is_adult(self) -> bool:
        """An unknown age counts as adult."""
        return self.age_years is None or not CHILD.holds(self.age_years)

    @property
    def is_woman(self) -> bool:
        return self.is_male is False

    @property
    def has_twelve(self) -> bool:
        """Whether all of the heart was looked at: the twelve leads, two may be missing."""
        return len(self.leads & {"I", "II", "III", "aVR", "aVL", "aVF", *ANTERIOR}) >= 10

    def says(self, *keys: str) -> bool:
        return any(key in self.said for key in keys)

    def evidence(self, key: str, passed: Limit, lead: str = "", *, value: float | None = None) -> Evidence:
        """value: what the limit was asked about, where that isn't what was measured under this key."""
        return Evidence(key, self.of(key, lead) if value is None else value, _unit(key), passed, lead)

    def corrected(self, passed: Limit) -> Limit:
        """This limit for a duration less what slow sampling adds to it, which the reader is told."""
        if not self.slack_ms:
            return passed
        return replace(passed, words=f"{passed.words}, less {self.slack_ms:g} ms of slow sampling")

    def r_evidence(self, passed: Limit, lead: str) -> Evidence:
        """The tallest upward deflection (``r_mv``), by the name of the wave that it is."""
        is_late = self.of("r_prime", lead) > self.of("r_amplitude", lead)
        return self.evidence("r_prime" if is_late else "r_amplitude", passed, lead)

    def s_evidence(self, passed: Limit, lead: str) -> Evidence:
        """The deepest downward deflection (``s_mv``), by the name of the wave that it is."""
        keys = ("s_amplitude", "s_prime", "q_amplitude")
        key = next((key for key in keys if self.of(key, lead) == self.s_mv(lead)), "s_amplitude")
        return self.evidence(key, passed, lead)

    def t_evidence(self, passed: Limit, lead: str) -> Evidence:
        """The T wave's larger deflection, without its sign, by the name of the wave that it is."""
        key = "t_negative" if self.t_mv(lead) < 0 else "t_amplitude"
        return self.evidence(key, passed, lead, value=abs(self.t_mv(lead)))


def view_of(strip: Strip, measurements: Measurements, median: MedianBeat, rhythm: Rhythm, beats: Beats) -> View:
    """The rules' view of a strip."""
    numbers: dict[tuple[str, str], float] = {}
    certainties: dict[tuple[str, str], float] = {}
    for lead, found in (("", measurements.values), *measurements.by_lead.items()):
        for key, quantity in found.items():
            if isfinite(quantity.value):
                numbers[key, lead], certainties[key, lead] = quantity.value, quantity.certainty
    said = {s.key: s.certainty for s in rhythm.statements}
    basic = {s.key for s in rhythm.statements if "intermittent" not in s.modifiers}
    dominant = {kind for kind, family in zip(beats.kinds, beats.family, strict=True) if family == beats.dominant}
    return View(
        numbers=numbers,
        certainties=certainties,
        leads=frozenset(lead for lead, found in measurements.by_lead.items() if any(k in found for k in _MEASURED)),
        age_years=strip.age_years,
        is_male={"M": True, "F": False}.get(strip.sex),
        is_paced=BeatClass.PACED in dominant or bool(_PACED & said.keys()),
        is_ventricular=dominant == {BeatClass.VENTRICULAR} or bool(_VENTRICULAR & basic),
        is_fibrillating=bool(_NO_QRS & said.keys()),
        said=said,
        median=median,
        seconds=strip.seconds,
        slack_ms=1000.0 / strip.source_fs_hz if strip.source_fs_hz < SLOW_HZ else 0.0,
        st_error_mv=_st_errors(strip, median, beats),
        facts=dict(rhythm.facts),
    )


def _st_errors(strip: Strip, median: MedianBeat, beats: Beats) -> dict[str, float]:
    """Standard error of the level 60 ms after J against that before the QRS, mV by lead; empty below three beats.

    Chest compressions, movement and atrial waves that keep no step with the QRS change it from beat to beat.
    """
    on, off = median.overall[Mark.QRS_ON], median.overall[Mark.QRS_OFF]
    if not (isfinite(on) and isfinite(off)):
        return {}
    fs, samples = strip.fs_hz, strip.mv.shape[1]
    before, after = round(on - median.at - 0.012 * fs), round(off - median.at + 0.06 * fs)
    at = beats.at[beats.family == beats.dominant]
    at = at[(at + before >= 2) & (at + after + 2 < samples)]
    if at.size < 3:
        return {}
    near = np.arange(-2, 3)
    index = np.concatenate([at[:, None] + after + near, at[:, None] + before + near])
    level = strip.mv[:, index].mean(axis=2)
    step = level[:, : at.size] - level[:, at.size :]
    spread = np.quantile(step, (0.16, 0.84), axis=1)
    error = (spread[1] - spread[0]) / 2 / np.sqrt(at.size)
    return dict(zip(strip.leads, error.tolist(), strict=True))


def beyond(value: float, limit: float, scale: float) -> float:
    """Certainty from how far a value lies beyond its limit: 0.6 at it, towards 0.95 a few ``scale`` away (ours)."""
    return 0.6 + 0.35 * tanh(max(abs(value - limit), 0.0) / scale)


def stated(key: str, certainty: float, *evidence: Evidence, modifiers: Sequence[str] = ()) -> Statement:
    return Statement(key, round(min(max(certainty, 0.0), 0.99), 3), tuple(evidence), tuple(modifiers))


def together(view: View, leads: Sequence[str]) -> list[str]:
    """Those of the leads that have a neighbour among them."""
    chosen = set(leads)
    kept = {lead for pair in NEIGHBOURS if chosen.issuperset(pair) for lead in pair}
    return [lead for lead in leads if lead in kept]


_UNITS: Final = {
    **dict.fromkeys(("heart_rate", "atrial_rate"), "/min"),
    **dict.fromkeys(("p_axis", "qrs_axis", "t_axis", "qrs_t_angle"), "deg"),
    **dict.fromkeys(("romhilt_estes", "sgarbossa", "notches"), "1"),
    **dict.fromkeys(("cornell_product", "p_terminal_force_v1", "qrs_area"), "mV.ms"),
    "st_slope": "mV/s",
    "age_years": "year",
}
_MILLISECONDS: Final = ("_duration", "_interval", "_segment", "qt_", "qtc_", "rr_", "vat")


def _unit(key: str) -> str:
    if key in _UNITS:
        return _UNITS[key]
    return "ms" if any(part in key for part in _MILLISECONDS) else "mV"
