"""What the heart's rhythm is: beats, waves and atrial evidence -> statements with their evidence, and facts.

The order in which it's asked: do the ventricles fibrillate, are they paced, do they beat by themselves, what do the
atria do, which P waves are conducted, where are pauses.  Definitions: AHA/ACC/HRS 2007 part II.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np

from ecg import fibrillation, rhythm_alternans, rhythm_atria, rhythm_conduction, rhythm_pacing, rhythm_pauses
from ecg import rhythm_ventricles as ventricles
from ecg.atrial import Atrial
from ecg.broad_waves import Train
from ecg.limit import in_words
from ecg.marks import Beats, Evidence, Rhythm, Statement, Waves
from ecg.rhythm_shape import NO_SHAPE, shape_of
from ecg.rhythm_view import AHA, OURS, Found, View, middle, said, view_of
from ecg.statements import terms
from ecg.strip import Strip

_P_MARKED: Final = 0.35
"""Evidence from which a P wave may be marked at a beat (ours)."""
_P_LEADS: Final = 0.5
_FEW_LEADS: Final = 2
_FILLS: Final = 0.9


def analyse(
    strip: Strip,
    beats: Beats,
    waves: Waves,
    atrial: Atrial,
    spans: tuple[fibrillation.Span, ...] | None = None,
    trains: tuple[Train, ...] = (),
) -> Rhythm:
    """The rhythm.  spans: of ventricular fibrillation, where they're known already; beats inside them don't count.
    trains: of large regular waves without a steep slope, whose crests are among the beats."""
    spans = fibrillation.spans(strip) if spans is None else spans
    view = view_of(strip, beats, waves, atrial, trains)
    if spans and sum(span.seconds for span in spans) >= 0.5 * view.seconds:
        return _fibrillating_whole(view, spans)
    parts = _parts(view, spans)
    statements = _settled((*_of_spans(spans), *(s for part in parts.found for s in part.statements)))
    facts = _rates(view) | _merged(parts.found) | _span_facts(spans) | _likely_facts(strip, spans)
    return Rhythm(
        statements=statements,
        has_p=_has_p(view, hides=parts.hides_p),
        ventricular_rate=view.rate(),
        atrial_rate=_atrial_rate(view, statements),
        facts=facts,
    )


class _Parts:
    __slots__ = ("found", "hides_p")

    def __init__(self, found: tuple[Found, ...], *, hides_p: bool) -> None:
        self.found = found
        self.hides_p = hides_p


def _parts(view: View, spans: tuple[fibrillation.Span, ...]) -> _Parts:
    own = view.is_own if view.is_own.sum() >= 2 else np.ones(view.count, dtype=bool)
    ahead = middle((view.at_s - view.p_s)[own]) if view.p_share >= _P_LEADS else float("nan")
    onset = middle((view.at_s - view.on_s)[own])
    shape = shape_of(view.thin, view.at_s, own, ahead, onset) if view.count else NO_SHAPE
    chaotic = rhythm_atria.is_fibrillating(view) or rhythm_atria.is_fluttering(view)
    pacing = rhythm_pacing.of(view)
    below = ventricles.of(view, shape, is_fibrillating=chaotic, is_paced=pacing.is_basic)
    no_conduction = chaotic or pacing.is_basic or (below.fills and below.tachy.any())
    conduction = rhythm_conduction.NONE if no_conduction else rhythm_conduction.of(view)
    found = [pacing.found, below.found, conduction.found]
    above = None
    if not pacing.is_basic and (not below.fills or conduction.is_blocked):
        above = rhythm_atria.of(view, shape, is_blocked=conduction.is_blocked)
        found.append(above.found)
    is_sinus = above is not None and above.key.startswith("sinus")
    if not spans:
        found.append(rhythm_pauses.of(view, conduction.free_s, is_sinus=is_sinus, is_blocked=conduction.is_blocked))
    if not chaotic and not pacing.is_basic and not below.fills:
        found.append(rhythm_alternans.of(view))
    return _Parts(tuple(found), hides_p=chaotic)


# -- ventricular fibrillation


def _of_spans(spans: tuple[fibrillation.Span, ...]) -> tuple[Statement, ...]:
    out: list[Statement] = []
    for key in ("vf", "v_flutter", "torsades"):
        seen = [span for span in spans if span.kind == key]
        if not seen:
            continue
        evidence = tuple(
            Evidence(
                "wave_rate",
                span.rate,
                "/min",
                in_words("no QRS for 3 s and more", f"{AHA}; limit {OURS}"),
                start_s=round(span.start_s, 2),
                end_s=round(span.end_s, 2),
            )
            for span in seen[:5]
        )
        out.append(said(key, max(span.certainty for span in seen), *evidence))
    return tuple(out)


def _span_facts(spans: tuple[fibrillation.Span, ...]) -> dict[str, float]:
    return {"vf_s": float(sum(span.seconds for span in spans))}


def _likely_facts(strip: Strip, spans: tuple[fibrillation.Span, ...]) -> dict[str, float]:
    """fibrillation_likely: 1 where one or two leads nearly look like fibrillation, and nothing says that it is."""
    if spans or len(strip.leads) > _FEW_LEADS:
        return {}
    return {"fibrillation_likely": float(fibrillation.is_likely(strip))}


def _fibrillating_whole(view: View, spans: tuple[fibrillation.Span, ...]) -> Rhythm:
    """Nothing else can be said of a strip that is mostly without QRS."""
    fills = sum(span.seconds for span in spans) >= _FILLS * view.seconds
    return Rhythm(
        statements=_of_spans(spans),
        has_p=np.zeros(view.count, dtype=bool),
        ventricular_rate=None,
        atrial_rate=None,
        facts=_span_facts(spans) | {"fills_strip": float(fills)},
    )


# -- numbers


def _rates(view: View) -> dict[str, float]:
    """mean_rate, min_rate_over_6s, max_rate (over four beats), /min; shortest_rr_ms.  Empty without an interval."""
    rr = view.rr_s[view.is_seen]
    if not rr.size:
        return {}
    facts = {"mean_rate": 60.0 / float(rr.mean()), "shortest_rr_ms": 1000.0 * float(rr.min())}
    size = min(3, rr.size)
    over = np.convolve(rr, np.ones(size), mode="valid")
    facts["max_rate"] = 60.0 * size / float(over.min())
    facts["min_rate_over_6s"] = _slowest(rr)
    return facts


def _slowest(rr: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float:
    """/min: the lowest mean rate over neighbouring intervals that last six seconds together (or all of them)."""
    ends = np.concatenate([[0.0], np.cumsum(rr)])
    stop = np.searchsorted(ends, ends[:-1] + 6.0)
    whole = np.flatnonzero(stop < ends.size)
    if not whole.size:
        return 60.0 * rr.size / float(ends[-1])
    return float((60.0 * (stop[whole] - whole) / (ends[stop[whole]] - ends[whole])).min())


def _atrial_rate(view: View, statements: tuple[Statement, ...]) -> float | None:
    keys = {statement.key for statement in statements}
    if "afib" in keys:
        return None
    if "aflutter" in keys and np.isfinite(view.atrial.f_hz):
        return 60.0 * view.atrial.f_hz
    if view.p_all_s.size >= 3 and np.isfinite(view.pp_s):
        return 60.0 / view.pp_s
    return None


def _has_p(view: View, *, hides: bool) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    return np.zeros(view.count, dtype=bool) if hides else view.atrial.p_evidence >= _P_MARKED


def _merged(found: Iterable[Found]) -> dict[str, float]:
    """Facts of all parts; where two know one, the greater."""
    facts: dict[str, float] = {}
    for part in found:
        for key, value in part.facts:
            facts[key] = max(value, facts.get(key, value))
    return facts


# -- what may stand together

_UNDER: Final = {
    "vt": terms("wide_tachy", "pvc", "vt_nonsustained"),
    "vt_poly": terms("vt", "wide_tachy", "pvc", "vt_nonsustained"),
    "torsades": terms("vt_poly", "vt", "wide_tachy", "vt_nonsustained", "v_flutter"),
    "avb3": terms("sinus_arrest", "sa_block_2", "junctional_escape", "sinus_arrhythmia", "v_escape"),
    "avb_high": terms("sinus_arrest", "sa_block_2", "junctional_escape", "sinus_arrhythmia"),
    "avb2_mobitz1": terms("sinus_arrest", "sa_block_2", "sinus_arrhythmia"),
    "avb2_mobitz2": terms("sinus_arrest", "sa_block_2", "sinus_arrhythmia"),
    "avb_2to1": terms("sinus_arrest", "sa_block_2", "sinus_arrhythmia"),
    "wandering_pacemaker": terms("sinus_arrhythmia", "atrial_rhythm"),
    "afib": terms("pac", "jpc"),
    "aflutter": terms("pac", "jpc"),
    "paced_dual": terms("paced_a", "paced_v"),
}
terms(*_UNDER)
"""A statement -> those that it makes needless or that it explains."""


def _settled(statements: tuple[Statement, ...]) -> tuple[Statement, ...]:
    """Each key once, the surest, without those that another one explains."""
    best: dict[str, Statement] = {}
    for statement in statements:
        if statement.key not in best or best[statement.key].certainty < statement.certainty:
            best[statement.key] = statement
    gone = {under for key in best for under in _UNDER.get(key, ())}
    return tuple(statement for key, statement in best.items() if key not in gone)
