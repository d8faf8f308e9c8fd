"""A recording -> everything that the engine says of it.  The stages, in the order in which they know more."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from center.reads import Reason, SignalInput
from ecg import (
    atrial,
    beat_trust,
    beats,
    broad_waves,
    critical,
    diagnose,
    electrodes,
    fibrillation,
    hum,
    measure,
    median,
    qrs,
    rhythm,
    statements,
)
from ecg import waves as delineation
from ecg.legible import is_legible
from ecg.limit import Limit
from ecg.marks import Beats, Evidence, Measurements, MedianBeat, Rhythm, Statement, Waves
from ecg.quality import Grade, SignalQuality, assess
from ecg.strip import Strip, strip_of
from ecg.waves_look import look_at
from ecg.waves_tables import tables

SHORTEST_S: Final = 4.0
"""Three beats at 45/min: below this neither a rate nor a rhythm can be told (ours)."""


_FAST: Final = Limit(">=", 120.0, "/min", "ours")
_WIDE: Final = Limit(">=", 140.0, "ms", "AHA 2007: 120 ms; ours")
"""Above the 120 ms of a wide-QRS tachycardia by what a boundary may be off (ours)."""
_RHYTHMS: Final = frozenset(
    statements.terms(
        *("sinus_rhythm", "sinus_tachy", "afib", "aflutter", "atrial_tachy", "atrial_rhythm", "svt", "psvt"),
        *("junctional_tachy", "junctional_acc", "narrow_tachy", "vt", "vt_poly", "torsades", "vf", "v_flutter"),
        *("wide_tachy", "paced_a", "paced_v", "paced_dual", "aivr", "fascicular_tachy"),
    )
)
_SINUS: Final = frozenset({"sinus_rhythm", "sinus_tachy", "sinus_brady"})
_ENOUGH_LEADS: Final = 3
_FEW_LEADS_CERTAINTY: Final = 0.45
_LIVING_S: Final = 2
_LIVING_SHARE: Final = 1 / 3
_MOSTLY: Final = 0.6
_SILENT_MV: Final = 0.15
"""Peak to peak within a second: P waves and tremor, but no QRS (ours)."""
_NO_BEATS: Final = Reason(
    "no_beats",
    zh="没有找到 QRS 波：可能是心脏停搏，也可能是电极没有接好。请立即查看患者和电极，并直接阅图。",
    en="No QRS complex was found: the heart may have stopped, or the electrodes may be off. "
    "Look at the patient and the electrodes now, and read the tracing.",
)
_ONLY_NOISE: Final = Reason(
    "poor_quality",
    zh="信号中噪声盖过心搏，未读。请立即直接阅图，检查电极后重新采集。",
    en="Not read: noise hides the beats. Look at the tracing now, check the electrodes and record again.",
)
_NO_RHYTHM: Final = Rhythm((), np.zeros(0, dtype=bool), None, None, {})


@dataclass(frozen=True, slots=True)
class Reading:
    """What was found.  refused: why the recording was not read at all; the fields after it are then empty."""

    strip: Strip
    quality: SignalQuality
    refused: Reason | None
    beats: Beats
    waves: Waves
    median: MedianBeat | None
    measurements: Measurements
    rhythm: Rhythm
    statements: tuple[Statement, ...]
    critical: critical.Critical


def read(recording: SignalInput, *, profile: str = critical.DEFAULT_PROFILE) -> Reading:
    """The reading of a resting strip (up to a minute or two; ``holter`` reads what is longer)."""
    if recording.signal.shape[1] < SHORTEST_S * recording.fs_hz:
        return _too_short(recording, profile)
    strip = strip_of(recording)
    quality = assess(strip.mv, strip.leads, strip.fs_hz)
    if quality.grade is Grade.POOR and not _falls_silent(strip, quality) and not _runs_broad(strip):
        return _unread(strip, quality, _poor(quality), profile)
    return _read(strip, quality, profile)


@dataclass(frozen=True, slots=True)
class Stages:
    """What a strip shows before statements are made of it.  is_legible: False where it is noise, and no heart's."""

    beats: Beats
    waves: Waves
    median: MedianBeat
    measurements: Measurements
    rhythm: Rhythm
    is_legible: bool


def analyse(strip: Strip, quality: SignalQuality) -> Stages:
    """Beats, waves, rhythm and measurements of a strip or of a long recording's block."""
    strip = hum.without_hum(strip)
    spans = fibrillation.spans(strip)
    at = fibrillation.outside(qrs.detect(strip.mv, strip.fs_hz, quality.usable), spans)
    trains = broad_waves.unexplained(broad_waves.trains(strip, spans), at, strip)
    at, is_broad = broad_waves.claimed(at, trains, strip.fs_hz)
    found = beats.of_ventricles(beat_trust.believed(strip, beats.classify(strip, at)), is_broad)
    look = look_at(strip, found, tables())
    marked = delineation.delineate(strip, found, look=look)
    atria = atrial.evidence(strip, found, marked, look=look)
    rhythmic = rhythm.analyse(strip, found, marked, atria, spans, trains)
    marked = marked.without_p(~rhythmic.has_p)
    middle = median.median_beat(strip, found, marked)
    measured = _doubted(measure.measure(strip, found, marked, middle, rhythmic), len(strip.leads))
    readable = bool(spans or trains) or is_legible(strip, found) or fibrillation.is_likely(strip)
    return Stages(found, marked, middle, measured, _proved(_named(rhythmic, measured), measured), is_legible=readable)


def _named(rhythm: Rhythm, measured: Measurements) -> Rhythm:
    """The rhythm; a fast and wide one that has no name is called what it is, and never left without an alarm."""
    rate, width = measured.get("heart_rate"), measured.get("qrs_duration")
    if rate is None or width is None or not _FAST.holds(rate) or not _WIDE.holds(width):
        return rhythm
    if any(s.key in _RHYTHMS for s in rhythm.statements):
        return rhythm
    seen = (
        Evidence("heart_rate", rate, "/min", _FAST),
        Evidence("qrs_duration", width, "ms", _WIDE),
    )
    named = (*rhythm.statements, Statement("wide_tachy", 0.6, seen))
    return replace(rhythm, statements=named, facts=rhythm.facts | {"fills_strip": 1.0})


def _proved(rhythm: Rhythm, measured: Measurements) -> Rhythm:
    """The rhythm with the fact ``rhythm_unproved``: 0 where it is sinus rhythm, led by P waves at a PR that was measured."""
    is_sinus = any(s.key in _SINUS for s in rhythm.statements)
    unproved = not is_sinus or measured.get("pr_interval") is None
    return replace(rhythm, facts=rhythm.facts | {"rhythm_unproved": float(unproved)})


def _doubted(measured: Measurements, leads: int) -> Measurements:
    """With few leads nobody can say that T has ended: QT is told, but doesn't alarm by itself (certainty under 0.5)."""
    if leads >= _ENOUGH_LEADS:
        return measured
    values = {
        key: replace(q, certainty=min(q.certainty, _FEW_LEADS_CERTAINTY)) if key.startswith(("qt", "jt")) else q
        for key, q in measured.values.items()
    }
    return replace(measured, values=values)


def _read(strip: Strip, quality: SignalQuality, profile: str) -> Reading:
    seen = analyse(strip, quality)
    if not len(seen.beats) and not seen.rhythm.facts.get("vf_s"):
        return _unread(strip, quality, _NO_BEATS, profile, seen.rhythm)
    if not seen.is_legible:
        return _unread(strip, quality, _ONLY_NOISE, profile)
    said = statements.validated(
        (
            *seen.rhythm.statements,
            *electrodes.swaps(strip, seen.median),
            *diagnose.statements(strip, seen.measurements, seen.median, seen.rhythm, seen.beats, quality),
        )
    )
    graded = critical.grade(
        said, seen.measurements, seen.rhythm, seconds=strip.seconds, profile=profile, age_years=strip.age_years
    )
    return Reading(
        strip, quality, None, seen.beats, seen.waves, seen.median, seen.measurements, seen.rhythm, said, graded
    )


def _falls_silent(strip: Strip, quality: SignalQuality) -> bool:
    """Whether all leads together show beats and then next to nothing: a heart that stops, and not bad electrodes."""
    seconds = min(quality.usable.shape[1], int(strip.mv.shape[1] / strip.fs_hz))
    if seconds < _LIVING_S:
        return False
    length = int(strip.fs_hz)
    windows = strip.mv[:, : seconds * length].reshape(len(strip.leads), seconds, length)
    is_flat = np.all(np.ptp(windows, axis=2) < _SILENT_MV, axis=0)
    living = np.mean(quality.usable[:, :seconds], axis=0) >= _LIVING_SHARE
    return int(living.sum()) >= _LIVING_S and bool(np.all(is_flat | living)) and bool(is_flat.any())


def _runs_broad(strip: Strip) -> bool:
    """Whether large regular waves fill most of it: what beats as little alike as noise may be a heart in danger."""
    found = broad_waves.trains(hum.without_hum(strip))
    return sum(train.seconds for train in found) >= _MOSTLY * strip.seconds


def _poor(quality: SignalQuality) -> Reason:
    return Reason(
        "poor_quality",
        zh="信号质量差，未读：" + "".join(r.zh for r in quality.reasons) + "请检查电极后重新采集。",
        en="Not read, the signal is poor. "
        + " ".join(r.en for r in quality.reasons)
        + " Check the electrodes and record again.",
    )


def _too_short(recording: SignalInput, profile: str) -> Reading:
    """Nothing is measured in a recording of less than ``SHORTEST_S``."""
    seconds = recording.signal.shape[1] / recording.fs_hz
    reason = Reason(
        "too_short",
        zh=f"记录只有 {seconds:.1f} 秒，至少需要 {SHORTEST_S:.0f} 秒。",
        en=f"The recording is {seconds:.1f} s long; at least {SHORTEST_S:.0f} s are needed.",
    )
    empty = np.zeros((len(recording.leads), 0))
    strip = Strip(
        recording.leads, empty, recording.fs_hz, recording.fs_hz, recording.signal.shape[1], empty.astype(bool)
    )
    quality = SignalQuality(Grade.POOR, (), (reason,), np.zeros((len(recording.leads), 0), dtype=bool))
    return _unread(strip, quality, reason, profile)


def _unread(
    strip: Strip, quality: SignalQuality, refused: Reason, profile: str, rhythmic: Rhythm = _NO_RHYTHM
) -> Reading:
    """A recording that nobody can read is never green: no signal may also be no heartbeat."""
    nothing = np.zeros(0, dtype=np.int64)
    found = Beats(nothing, (), nothing, 0, np.zeros(0), nothing)
    marked = Waves(np.zeros((0, 9)), np.zeros((len(strip.leads), 0, 9)), np.zeros(0))
    poor = (Statement("poor_quality", 1.0),) if refused.code == "poor_quality" else ()
    said = (Statement("uninterpretable", 1.0), *poor)
    measured = Measurements({}, {})
    graded = critical.grade(said, measured, rhythmic, seconds=strip.seconds, profile=profile, age_years=strip.age_years)
    return Reading(strip, quality, refused, found, marked, None, measured, rhythmic, said, graded)
