"""What has changed since the patient's last ECG: the AHA's comparison statements 400-406, from two stored readings.

Works on keys and numbers alone, so that it runs on what was stored of an earlier read as well as on a fresh one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from ecg.limit import Limit, in_words
from ecg.marks import Evidence, Measurements, Statement
from ecg.statements import terms

QTC_CHANGE: Final = Limit(">", 60.0, "ms", "AHA 2007 part II, table 4", decimals=0)
"""A QTc longer (or shorter) by more than this has changed.  AHA 2007 part II, table 4."""
RATE_CHANGE: Final = Limit(">", 20.0, "/min", "AHA 2007 part II, table 4")
RATE_SLOW: Final = Limit("<", 50.0, "/min", "AHA 2007 part II, table 4")
RATE_FAST: Final = Limit(">", 100.0, "/min", "AHA 2007 part II, table 4")
"""A rate has changed by more than 20/min and is now below 50 or above 100/min.  AHA 2007 part II, table 4."""
ST_UP: Final = Limit(">=", 0.1, "mV", "ours", "of change", decimals=2)
ST_DOWN: Final = Limit("<=", -0.1, "mV", "ours", "of change", decimals=2)
"""ST level at J in two leads of a territory (ours; one small square, the step of the universal definition of MI)."""
T_UP: Final = Limit(">=", 0.1, "mV", "ours", ", turned over")
T_DOWN: Final = Limit("<=", -0.1, "mV", "ours", ", turned over")
"""A T wave that turns over is one by at least this on both sides (ours)."""

_SOURCE: Final = "AHA 2007 part II, table 4"
_CERTAINTY: Final = 0.9

_RHYTHMS: Final = frozenset(
    terms(
        *("sinus_rhythm", "afib", "aflutter", "atrial_tachy", "atrial_tachy_multifocal", "atrial_rhythm"),
        *("junctional_tachy", "svt", "narrow_tachy", "junctional_rhythm", "junctional_acc", "idioventricular"),
        *("aivr", "vt", "vt_poly", "torsades", "vf", "v_flutter", "wide_tachy", "paced_a", "paced_v", "paced_dual"),
    )
)
_SINUS: Final = frozenset(terms("sinus_rhythm", "sinus_tachy", "sinus_brady", "sinus_arrhythmia"))
_CONDUCTION: Final = frozenset(
    terms(
        *("avb1", "avb2_mobitz1", "avb2_mobitz2", "avb_2to1", "avb_high", "avb3", "lbbb", "rbbb", "ivcd", "lafb"),
        *("lpfb", "ilbbb", "irbbb", "preexcitation"),
    )
)
_ISCHEMIA: Final = frozenset(
    terms(
        *("mi_anterior", "mi_inferior", "mi_posterior", "mi_lateral", "mi_anteroseptal", "mi_extensive", "mi_lbbb"),
        *("mi_rv", "mi_acute", "mi_evolving", "s_ischemia_acute", "s_ischemia"),
    )
)
_REPOLARIZATION: Final = frozenset(
    terms(
        *("st_elevation", "st_depression", "t_inversion", "long_qt", "short_qt", "s_brugada", "s_hyperk", "s_hypok"),
        *("s_pericarditis", "early_repol"),
    )
)
_WORSE_THAN: Final = {"lbbb": set(terms("ilbbb")), "rbbb": set(terms("irbbb")), "avb3": set(terms("avb_high"))}
terms(*_WORSE_THAN)
_TERRITORIES: Final = (
    *(("II", "aVF", "III"), ("I", "aVL"), ("aVL", "V5", "V6"), ("V1", "V2", "V3"), ("V2", "V3", "V4")),
    ("V4", "V5", "V6"),
)
_QRS_ALTERED: Final = frozenset(terms("lbbb", "rbbb", "paced_v", "paced_dual", "preexcitation", "vt", "wide_tachy"))


@dataclass(frozen=True, slots=True)
class Kept:
    """What is kept of a reading: statement keys with their modifiers among them, numbers by key, numbers by lead."""

    keys: frozenset[str]
    values: Mapping[str, float]
    by_lead: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    @staticmethod
    def of(statements: Sequence[Statement], measurements: Measurements) -> Kept:
        """What a reading leaves behind for the next one's comparison."""
        return Kept(
            keys=frozenset(key for s in statements for key in (s.key, *s.modifiers)),
            values={key: q.value for key, q in measurements.values.items()},
            by_lead={lead: {key: q.value for key, q in found.items()} for lead, found in measurements.by_lead.items()},
        )


def compare(now: Kept, before: Kept) -> tuple[Statement, ...]:
    """401-404 for what has changed, 406 where only words have, 400 where nothing has; empty where either can't be read.

    The clinic's own question (405, change in clinical status) is not to be seen in two recordings, and never stated.
    """
    if "uninterpretable" in now.keys or "uninterpretable" in before.keys:
        return ()
    found = (
        Statement("rhythm_changed", _CERTAINTY, _rhythm(now, before)),
        Statement("ischemia_new_or_worse", _CERTAINTY, _ischemia(now, before)),
        Statement("conduction_new", _CERTAINTY, _conduction(now, before)),
        Statement("repolarization_changed", _CERTAINTY, _repolarization(now, before)),
    )
    changed = tuple(s for s in found if s.evidence)
    if changed:
        return changed
    words = _words(now, before)
    return (Statement("interpretation_changed" if words else "no_significant_change", _CERTAINTY, words),)


def _rhythm(now: Kept, before: Kept) -> tuple[Evidence, ...]:
    """Another dominant rhythm, or a rate far from the earlier one."""
    out = [*_new(now, before, _RHYTHMS, _SINUS), *_gone(now, before, _RHYTHMS, _SINUS)]
    rate, earlier = now.values.get("heart_rate"), before.values.get("heart_rate")
    if rate is not None and earlier is not None:
        moved = abs(rate - earlier)
        now_far = next((limit for limit in (RATE_SLOW, RATE_FAST) if limit.holds(rate)), None)
        if RATE_CHANGE.holds(moved) and now_far is not None:
            out.append(Evidence("heart_rate", rate, "/min", now_far))
            was = replace(RATE_CHANGE, words=f"of change, was {earlier:.0f} /min")
            out.append(Evidence("heart_rate_change", moved, "/min", was))
    return tuple(out)


def _conduction(now: Kept, before: Kept) -> tuple[Evidence, ...]:
    return _new(now, before, _CONDUCTION)


def _ischemia(now: Kept, before: Kept) -> tuple[Evidence, ...]:
    """A new infarct or ischaemia, or ST moved further from the baseline in two leads of a territory."""
    out = list(_new(now, before, _ISCHEMIA))
    if not (now.keys | before.keys) & _QRS_ALTERED:
        out += [
            Evidence("st_j_change", moved, "mV", _st_limit(moved, "further from 0"), lead)
            for lead, moved in _st_moved(now, before, away=True)
        ]
    return tuple(out)


def _repolarization(now: Kept, before: Kept) -> tuple[Evidence, ...]:
    out = [*_new(now, before, _REPOLARIZATION), *_gone(now, before, _REPOLARIZATION - {"early_repol"})]
    qtc, earlier = now.values.get("qtc_fridericia"), before.values.get("qtc_fridericia")
    if qtc is not None and earlier is not None and QTC_CHANGE.holds(abs(round(qtc) - round(earlier))):
        was = replace(QTC_CHANGE, words=f"of change, was {earlier:.0f} ms")
        out.append(Evidence("qtc_fridericia_change", abs(round(qtc) - round(earlier)), "ms", was))
    if not (now.keys | before.keys) & _QRS_ALTERED:
        out += [
            Evidence("st_j_change", moved, "mV", _st_limit(moved, "back to 0"), lead)
            for lead, moved in _st_moved(now, before, away=False)
        ]
        out += _t_turned(now, before)
    return tuple(out)


def _words(now: Kept, before: Kept) -> tuple[Evidence, ...]:
    """Statements that differ although nothing above did."""
    beside = {"normal", "otherwise_normal", "abnormal", "poor_quality", "artifact"}
    new, gone = sorted(now.keys - before.keys - beside), sorted(before.keys - now.keys - beside)
    return tuple(
        [Evidence(key, passed=in_words("new", _SOURCE)) for key in new]
        + [Evidence(key, passed=in_words("no longer stated", _SOURCE)) for key in gone]
    )


def _new(now: Kept, before: Kept, among: frozenset[str], alike: frozenset[str] = frozenset()) -> tuple[Evidence, ...]:
    """Statements of the group that weren't made before; keys in ``alike`` count as one."""
    out: list[Evidence] = []
    for key in sorted((now.keys - before.keys) & (among | alike)):
        if key in alike and alike & before.keys:
            continue
        if key == "s_ischemia" and "s_ischemia_acute" in before.keys:
            continue
        was = sorted(_WORSE_THAN.get(key, set()) & before.keys)
        out.append(Evidence(key, passed=in_words(f"new, was {was[0]}" if was else "new", _SOURCE)))
    return tuple(out)


def _gone(now: Kept, before: Kept, among: frozenset[str], alike: frozenset[str] = frozenset()) -> tuple[Evidence, ...]:
    out: list[Evidence] = []
    for key in sorted((before.keys - now.keys) & (among | alike)):
        if not (key in alike and alike & now.keys):
            out.append(Evidence(key, passed=in_words("no longer there", _SOURCE)))
    return tuple(out)


def _st_moved(now: Kept, before: Kept, *, away: bool) -> list[tuple[str, float]]:
    """Leads whose ST moved by the limit, at least two of one territory in the same direction: (lead, change in mV)."""
    moved: dict[str, float] = {}
    for lead in {lead for group in _TERRITORIES for lead in group}:
        level, earlier = now.by_lead.get(lead, {}).get("st_j"), before.by_lead.get(lead, {}).get("st_j")
        if level is None or earlier is None:
            continue
        change = round(level - earlier, 2)
        if (ST_UP.holds(change) or ST_DOWN.holds(change)) and (abs(level) > abs(earlier)) is away:
            moved[lead] = change
    kept: set[str] = set()
    for group in _TERRITORIES:
        for sign in (1, -1):
            there = [lead for lead in group if moved.get(lead, 0.0) * sign > 0]
            if len(there) >= 2:
                kept.update(there)
    return [(lead, moved[lead]) for lead in sorted(kept)]


def _st_limit(moved: float, where: str) -> Limit:
    limit = ST_UP if moved > 0 else ST_DOWN
    return replace(limit, words=f"{limit.words}, {where}")


def _t_turned(now: Kept, before: Kept) -> list[Evidence]:
    """T waves upright before and inverted now, or the other way round, in two leads of a territory."""
    turned: dict[str, float] = {}
    for lead in {lead for group in _TERRITORIES for lead in group}:
        t, earlier = _t_mv(now, lead), _t_mv(before, lead)
        if t is None or earlier is None:
            continue
        if (T_UP.holds(t) and T_DOWN.holds(earlier)) or (T_DOWN.holds(t) and T_UP.holds(earlier)):
            turned[lead] = t
    kept = {lead for group in _TERRITORIES if sum(lead in turned for lead in group) >= 2 for lead in group}
    return [
        Evidence("t_amplitude", turned[lead], "mV", T_UP if turned[lead] > 0 else T_DOWN, lead)
        for lead in sorted(kept & turned.keys())
    ]


def _t_mv(reading: Kept, lead: str) -> float | None:
    """The T wave's greater deflection, signed, mV."""
    measured = reading.by_lead.get(lead, {})
    up, down = measured.get("t_amplitude"), measured.get("t_negative")
    if up is None and down is None:
        return None
    return max(up or 0.0, 0.0) if (up or 0.0) >= (down or 0.0) else -(down or 0.0)
