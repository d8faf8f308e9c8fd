"""Statements on form: conduction, axis, chambers, infarction, ST, T and QT, and the overall one.  Rhythm is ``rhythm``'s.

Each is a rule on the median beat's measurements, with what it saw (lead, value), the limit and the limit's source.
Where the beat isn't the heart's own (paced, ventricular) or there's no QRS, nothing is said of chambers, ST and T.
Under 16 years: durations, axis and voltages by age; Q waves, infarction and ischaemia are withheld, and that is said.
"""

from __future__ import annotations

from collections.abc import Iterator

from ecg.diagnose_chambers import chambers
from ecg.diagnose_conduction import Conduction, conduction
from ecg.diagnose_infarction import infarction
from ecg.diagnose_repolarization import (
    brugada,
    digitalis,
    embolism,
    potassium,
    qt_statements,
    t_statements,
    u_statements,
    u_waves,
)
from ecg.diagnose_st import explanation_statements, ischemia_statements, st_levels, st_statements
from ecg.diagnose_view import CHILD, View, stated, view_of
from ecg.limit import cited, in_words
from ecg.marks import Beats, Evidence, Measurements, MedianBeat, Rhythm, Statement
from ecg.quality import Grade, SignalQuality
from ecg.statements import makes_abnormal
from ecg.strip import Strip


def statements(
    strip: Strip,
    measurements: Measurements,
    median: MedianBeat,
    rhythm: Rhythm,
    beats: Beats,
    quality: SignalQuality | None = None,
) -> tuple[Statement, ...]:
    """All but the rhythm's, unvalidated.  quality: where given, artefact and poor quality are stated too."""
    view = view_of(strip, measurements, median, rhythm, beats)
    technical = tuple(_technical(quality))
    if view.is_fibrillating:
        return (*technical, _overall(view, (), rhythm))
    found = tuple(_form(view, strip, beats))
    return (
        (*technical, *found, _overall(view, found, rhythm)) if _can_judge(view, found, rhythm) else (*technical, *found)
    )


def _form(view: View, strip: Strip, beats: Beats) -> Iterator[Statement]:
    if view.is_ventricular or not view.median.beats:
        return
    if view.is_paced:
        yield from qt_statements(view, Conduction("", False, ()))
        return
    conducted = conduction(view)
    yield from conducted.statements
    yield from chambers(view, conducted)
    yield from qt_statements(view, conducted)
    if conducted.is_preexcited:
        return
    levels = st_levels(view, conducted)
    yield from st_statements(view, levels, conducted)
    yield from explanation_statements(view, levels)
    yield from brugada(view, conducted)
    u = u_waves(view, strip, beats)
    yield from u_statements(view, u)
    yield from potassium(view, levels, conducted, u)
    if not view.is_adult:
        return
    yield from infarction(view, levels, conducted)
    glycoside = tuple(digitalis(view, levels, conducted))
    yield from glycoside
    yield from ischemia_statements(view, levels, conducted, bool(glycoside))
    yield from t_statements(view, levels, conducted)
    yield from embolism(view, conducted)


def _technical(quality: SignalQuality | None) -> Iterator[Statement]:
    if quality is None:
        return
    noisy = [q for q in quality.leads if q.is_noisy and not q.is_off]
    if quality.grade is Grade.POOR:
        yield stated("poor_quality", 0.9, *[Evidence(r.code, passed=cited("ours")) for r in quality.reasons])
    elif len(noisy) * 3 >= len(quality.leads):
        yield stated(
            "artifact", 0.7, *[Evidence("snr_db", q.snr_db, "dB", in_words("noisy", "ours"), q.lead) for q in noisy]
        )


def _can_judge(view: View, found: tuple[Statement, ...], rhythm: Rhythm) -> bool:
    """An abnormality in one lead is one; that all is normal takes twelve, and a sinus rhythm that is proved."""
    if any(makes_abnormal(s) for s in (*found, *rhythm.statements)):
        return True
    return view.has_twelve and not rhythm.facts.get("rhythm_unproved", 0.0)


def _overall(view: View, found: tuple[Statement, ...], rhythm: Rhythm) -> Statement:
    """normal, or abnormal with what made it so; ``validated`` settles it once more over everything that is said."""
    wrong = [s for s in (*found, *rhythm.statements) if makes_abnormal(s)]
    withheld: tuple[Evidence, ...] = ()
    if not view.is_adult:
        withheld = (Evidence("age_years", view.age_years, "year", CHILD),)
    if wrong:
        why = tuple(Evidence(s.key, passed=in_words("stated", "AHA 2007 part II")) for s in wrong)
        return stated("abnormal", max(s.certainty for s in wrong), *why, *withheld)
    sure = 0.8 if rhythm.statements else 0.5
    return stated("normal", sure, *withheld)
