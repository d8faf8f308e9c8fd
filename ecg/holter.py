"""A recording of minutes to days, read block by block in constant memory: beats, summary, trends, the strips that matter.

Each block of a minute is read with five seconds on either side, so that no beat is cut, and goes through the same stages
as a resting strip.  What only the whole shows (runs over a block's edge, pauses, the class of a beat form that one block
saw too little of) is decided at the end from the beats.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from center.reads import SignalInput
from ecg import critical, diagnose, engine, statements
from ecg.beat_log import KINDS, NO_MARK, NUMBER_OF, BeatLog, joined
from ecg.holter_events import (
    SVT_RATE,
    VT_RATE,
    Event,
    KeyStrip,
    every_nth,
    extremes,
    key_strips,
    merged,
    pauses,
    runs_of,
)
from ecg.holter_trends import Hour, Variability, hours, per_minute, variability
from ecg.limit import NONE, Limit, cited
from ecg.marks import FACTS, BeatClass, Evidence, Measurements, Quantity, Rhythm, Statement
from ecg.quality import assess
from ecg.strip import Samples, Strip, strip_of

LONG_S: Final = 90.0
"""A recording longer than this is read in blocks."""
BLOCK_S: Final = 60.0
MARGIN_S: Final = 5.0
AF_LEAST_S: Final = 30.0
_AF_EPISODE: Final = Limit(">=", AF_LEAST_S, "s", "ESC 2024")
"""Atrial fibrillation is an episode from 30 s on (ESC 2020, 2024)."""
_SAME_BEAT_S: Final = 0.15
"""EC57's window: marks nearer to each other are one beat."""
_MANY: Final = Limit(">=", 10.0, "%", "ESC 2022")
"""Percent of ventricular beats from which the heart itself may suffer (ESC 2022, ventricular arrhythmias, 7.1.3)."""
_SUSTAINED_S: Final = 30.0
_MOST_FAMILIES: Final = 64
_FAMILY_HZ: Final = 125.0
_FAMILY_HALF_S: Final = 0.1
_SAME_FAMILY: Final = 0.92
_MAJORITY: Final = 0.8
_BASIC: Final = statements.terms(
    *("sinus_rhythm", "sinus_tachy", "sinus_brady", "afib", "aflutter", "atrial_tachy", "atrial_rhythm"),
    *("junctional_rhythm", "junctional_acc", "junctional_tachy", "svt", "narrow_tachy", "idioventricular", "aivr"),
    *("paced_a", "paced_v", "paced_dual"),
)
_FROM_BLOCKS: Final = statements.terms(
    *("avb2_mobitz1", "avb2_mobitz2", "avb_2to1", "avb_high", "avb3", "sa_block_1", "sa_block_2", "sinus_arrest"),
    *("pac_blocked", "v_escape", "junctional_escape", "pace_capture_v", "pace_sense_v", "preexcitation"),
    *("vf", "v_flutter", "torsades", "vt_poly", "alternans"),
)
_GREATEST: Final = ("vf_s", "r_on_t", "r_on_t_sure", "t_alternans", "svt_rate", "svt_longest_s")
if unknown := set(_GREATEST) - FACTS:
    raise statements.UnknownKey(f"no such number: {unknown}")
_SOURCE: Final = "ISHNE-HRS 2017"

Block = Callable[[int, int], Samples]


@dataclass(frozen=True, slots=True)
class LongReading:
    """beats: samples of the recording as it came.  rates: float64 [minute], /min, NaN where unknown.

    unusable_s: time in which no lead could be read.  af_s: time in atrial fibrillation or flutter.
    """

    seconds: float
    beats: BeatLog
    measurements: Measurements
    statements: tuple[Statement, ...]
    critical: critical.Critical
    events: tuple[Event, ...]
    strips: tuple[KeyStrip, ...]
    hours: tuple[Hour, ...]
    rates: npt.NDArray[np.float64]
    variability: Variability | None
    unusable_s: float
    af_s: float


@dataclass(slots=True)
class _Families:
    """Beat forms of the whole recording: unit waveforms [lead * sample] and how often each class was given to them."""

    forms: list[npt.NDArray[np.float64]] = field(default_factory=list)
    votes: list[npt.NDArray[np.int64]] = field(default_factory=list)

    def number_of(self, form: npt.NDArray[np.float64], votes: npt.NDArray[np.int64]) -> int:
        """The form's number, -1 once there are too many forms; its votes are counted."""
        norm = float(np.linalg.norm(form))
        if norm < 1e-9:
            return -1
        unit = form / norm
        likeness = [float(unit @ known) for known in self.forms]
        best = int(np.argmax(likeness)) if likeness else -1
        if best < 0 or likeness[best] < _SAME_FAMILY:
            if len(self.forms) >= _MOST_FAMILIES:
                return -1
            self.forms.append(unit)
            self.votes.append(np.zeros(len(KINDS), dtype=np.int64))
            best = len(self.forms) - 1
        self.votes[best] = self.votes[best] + votes
        return best


@dataclass(slots=True)
class _Whole:
    """What is gathered block by block; all of it grows with beats and minutes, none of it with samples."""

    logs: list[BeatLog] = field(default_factory=list)
    families: list[npt.NDArray[np.int16]] = field(default_factory=list)
    known: _Families = field(default_factory=_Families)
    basic_s: dict[str, float] = field(default_factory=dict)
    spans: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    certainty: dict[str, float] = field(default_factory=dict)
    facts: dict[str, list[float]] = field(default_factory=dict)
    measured: list[Measurements] = field(default_factory=list)
    said: list[tuple[Statement, ...]] = field(default_factory=list)
    unusable_s: float = 0.0
    lost_until_s: float = -1.0


def read_long(
    block: Block,
    *,
    leads: tuple[str, ...],
    fs_hz: float,
    length: int,
    age_years: float | None = None,
    sex: str = "",
    profile: str = critical.DEFAULT_PROFILE,
    progress: Callable[[float], None] | None = None,
) -> LongReading:
    """The reading of a long recording; block(start, stop): float64 [lead, sample], mV.  progress: share done, 0..1."""
    whole = _Whole()
    for start, stop in _cores(length, fs_hz):
        begin, end = max(0, start - int(MARGIN_S * fs_hz)), min(length, stop + int(MARGIN_S * fs_hz))
        recording = SignalInput(block(begin, end).astype(np.float32), leads, fs_hz, age_years, sex)
        _take(whole, strip_of(recording), begin, start, stop, fs_hz)
        if progress is not None:
            progress(stop / length)
    return _finished(whole, length / fs_hz, fs_hz, profile, age_years)


def _cores(length: int, fs_hz: float) -> Iterator[tuple[int, int]]:
    """The blocks without their margins; a last piece shorter than half a block goes with the one before."""
    step = max(1, int(BLOCK_S * fs_hz))
    edges = list(range(0, length, step))
    if len(edges) > 1 and length - edges[-1] < step // 2:
        edges.pop()
    yield from zip(edges, [*edges[1:], length], strict=True)


# ---- one block ----


def _take(whole: _Whole, strip: Strip, begin: int, start: int, stop: int, fs_hz: float) -> None:
    """One block's beats and findings into the whole."""
    quality = assess(strip.mv, strip.leads, strip.fs_hz)
    lost: npt.NDArray[np.bool_] = np.logical_not(np.any(quality.usable, axis=0))
    first_s, last_s = begin / fs_hz, (begin + strip.source_samples) / fs_hz
    whole.unusable_s += float(np.sum(lost[round(start / fs_hz - first_s) :][: round((stop - start) / fs_hz)]))
    if lost.all():
        whole.lost_until_s = last_s
        return
    stages = engine.analyse(strip, quality)
    at = begin + strip.in_source(stages.beats.at)
    mine = (at >= start) & (at < stop)
    if whole.logs:  # a beat on the seam, seen from either side a few samples apart, is one
        mine &= at > whole.logs[-1].at[-1] + _SAME_BEAT_S * fs_hz
    marks = np.full((at.size, 9), NO_MARK, dtype=np.int64)
    there = np.isfinite(stages.waves.overall)
    marks[there] = begin + strip.in_source(stages.waves.overall[there])
    kinds = np.array([NUMBER_OF[kind] for kind in stages.beats.kinds], dtype=np.uint8)
    after_gap = _after_gaps(at / fs_hz, lost, first_s)
    chosen = np.flatnonzero(mine)
    if chosen.size:
        after_gap[chosen[0]] |= not whole.logs or whole.lost_until_s > float(whole.logs[-1].at[-1]) / fs_hz
        whole.logs.append(BeatLog(at[mine], kinds[mine], marks[mine], after_gap[mine], fs_hz))
        whole.families.append(_families(whole.known, strip, stages.beats.at, stages.beats.family, kinds)[mine])
        whole.measured.append(stages.measurements)
        whole.said.append(
            diagnose.statements(strip, stages.measurements, stages.median, stages.rhythm, stages.beats, quality)
        )
    if lost.any():
        whole.lost_until_s = max(whole.lost_until_s, first_s + float(np.flatnonzero(lost)[-1]) + 1.0)
    _note_rhythm(whole, stages.rhythm, start / fs_hz, stop / fs_hz, first_s)


def _after_gaps(at_s: npt.NDArray[np.float64], lost: npt.NDArray[np.bool_], first_s: float) -> npt.NDArray[np.bool_]:
    """bool [beat]: a second without any usable lead lies between this beat and the one before."""
    count = np.concatenate([[0], np.cumsum(lost)])
    second = np.clip((at_s - first_s).astype(np.int64), 0, lost.size)
    before = np.concatenate([second[:1], second[:-1]])
    return count[second] > count[np.minimum(before + 1, lost.size)]


def _families(
    known: _Families,
    strip: Strip,
    at: npt.NDArray[np.int64],
    family: npt.NDArray[np.int64],
    kinds: npt.NDArray[np.uint8],
) -> npt.NDArray[np.int16]:
    """int16 [beat]: the number of each beat's form in the whole recording."""
    step = round(strip.fs_hz / _FAMILY_HZ)
    half = int(_FAMILY_HALF_S * strip.fs_hz)
    offsets = np.arange(-half, half + 1, step)
    out = np.full(at.size, -1, dtype=np.int16)
    for one in np.unique(family).tolist():
        members = np.flatnonzero((family == one) & (at >= half) & (at < strip.mv.shape[1] - half))
        if members.size:
            form = np.median(strip.mv[:, at[members[:40], None] + offsets], axis=1)
            form = form - form.mean(axis=1, keepdims=True)
            votes = np.bincount(kinds[members], minlength=len(KINDS))
            out[family == one] = known.number_of(form.ravel(), votes)
    return out


def _note_rhythm(whole: _Whole, rhythm: Rhythm, start_s: float, stop_s: float, first_s: float) -> None:
    basic = next((s.key for s in rhythm.statements if s.key in _BASIC), "")
    if basic:
        whole.basic_s[basic] = whole.basic_s.get(basic, 0.0) + stop_s - start_s
    for said in rhythm.statements:
        if said.key in ("afib", "aflutter"):
            whole.spans.setdefault(said.key, []).append((start_s, stop_s))
        elif said.key in _FROM_BLOCKS:
            times = [
                (first_s + e.start_s, first_s + e.end_s)
                for e in said.evidence
                if e.start_s is not None and e.end_s is not None
            ]
            inside = [t for t in times if start_s <= t[0] < stop_s] or ([] if times else [(start_s, stop_s)])
            if inside:
                whole.spans.setdefault(said.key, []).extend(inside)
        else:
            continue
        whole.certainty[said.key] = max(whole.certainty.get(said.key, 0.0), said.certainty)
    for key, value in rhythm.facts.items():
        whole.facts.setdefault(key, []).append(value)


# ---- the whole ----


def _finished(whole: _Whole, seconds: float, fs_hz: float, profile: str, age_years: float | None) -> LongReading:
    log = _reclassed(joined(whole.logs, fs_hz), whole)
    af = merged(whole.spans.get("afib", []) + whole.spans.get("aflutter", []), 1.0)
    af_s = sum(end - begin for begin, end in af)
    events = _events(log, whole)
    measured = _measured(whole.measured, log)
    facts = _facts(whole, log, events)
    found = (
        *_rhythm_statements(whole, log, events, af_s),
        *_form_statements(whole.said),
        *_readable(whole, log, seconds),
    )
    grave = (Statement("abnormal", 0.9),) if any(statements.makes_abnormal(s) for s in found) else ()
    said = statements.validated((*found, *grave))
    rate = measured.get("heart_rate")
    rhythm = Rhythm(said, np.zeros(0, dtype=bool), rate, measured.get("atrial_rate"), facts)
    return LongReading(
        seconds=seconds,
        beats=log,
        measurements=measured,
        statements=said,
        critical=critical.grade(said, measured, rhythm, seconds=seconds, profile=profile, age_years=age_years),
        events=events,
        strips=key_strips(events, seconds),
        hours=hours(log, seconds),
        rates=per_minute(log, seconds),
        variability=None if af_s > 0.1 * seconds else variability(log),
        unusable_s=whole.unusable_s,
        af_s=af_s,
    )


def _reclassed(log: BeatLog, whole: _Whole) -> BeatLog:
    """A form that nearly always is ventricular is so everywhere, and the other way round: one minute sees too little."""
    if not len(log):
        return log
    family = np.concatenate(whole.families)
    kind = log.kind.copy()
    ventricular, normal = NUMBER_OF[BeatClass.VENTRICULAR], NUMBER_OF[BeatClass.NORMAL]
    for number, votes in enumerate(whole.known.votes):
        if votes.sum() >= 10:
            mine = family == number
            if votes[ventricular] >= _MAJORITY * votes.sum():
                kind[mine & (kind == normal)] = ventricular
            elif votes[ventricular] <= (1 - _MAJORITY) * votes.sum() and votes.argmax() == normal:
                kind[mine & (kind == ventricular)] = normal
    return BeatLog(log.at, kind, log.marks, log.is_after_gap, log.fs_hz)


def _events(log: BeatLog, whole: _Whole) -> tuple[Event, ...]:
    """Everything that happened, by time."""
    runs = runs_of(log, BeatClass.VENTRICULAR, shortest=3, key="vt_nonsustained", rate_min=VT_RATE)
    found = [
        *(Event("vt", e.start_s, e.end_s, e.value, e.unit, e.beats) if e.lasts_s >= _SUSTAINED_S else e for e in runs),
        *(e for e in runs_of(log, BeatClass.VENTRICULAR, shortest=2, key="couplet_v") if e.beats == 2),
        *runs_of(log, BeatClass.SUPRAVENTRICULAR, shortest=3, key="svt", rate_min=SVT_RATE),
        *every_nth(log, BeatClass.VENTRICULAR, 2, "bigeminy_v"),
        *every_nth(log, BeatClass.VENTRICULAR, 3, "trigeminy_v"),
        *pauses(log),
        *extremes(log),
    ]
    for key, spans in whole.spans.items():
        gap_s = 1.0 if key in ("afib", "aflutter") else 5.0
        found += [Event(key, begin, end, end - begin, "s") for begin, end in merged(spans, gap_s)]
    return tuple(sorted(found, key=lambda e: (e.start_s, e.key)))


def _measured(each: list[Measurements], log: BeatLog) -> Measurements:
    """The median over the blocks of what each measured, and the rate over all beats."""
    keys = {key for one in each for key in one.values}
    values: dict[str, Quantity] = {}
    for key in sorted(keys):
        found = [one.values[key] for one in each if key in one.values]
        if len(found) >= max(1, len(each) // 4):  # what hardly any block could measure isn't the recording's
            middle = float(np.median([q.value for q in found]))
            values[key] = Quantity(middle, found[0].unit, float(np.median([q.certainty for q in found])))
    rr = log.rr_s[np.isfinite(log.rr_s)]
    if rr.size:
        values["heart_rate"] = Quantity(60.0 / float(rr.mean()), "/min", min(1.0, rr.size / 100))
        values["rr_min"] = Quantity(1000.0 * float(rr.min()), "ms", 0.5)
        values["rr_max"] = Quantity(1000.0 * float(rr.max()), "ms", 0.5)
        values["rr_mean"] = Quantity(1000.0 * float(rr.mean()), "ms", 1.0)
        values["rr_sd"] = Quantity(1000.0 * float(rr.std()), "ms", 1.0)
    return Measurements(values, {})


def _facts(whole: _Whole, log: BeatLog, events: tuple[Event, ...]) -> dict[str, float]:
    """What critical rules ask for: the extremes over the whole recording."""
    facts = {key: max(whole.facts[key]) for key in _GREATEST if key in whole.facts}
    if "af_shortest_rr_ms" in whole.facts:
        facts["af_shortest_rr_ms"] = min(whole.facts["af_shortest_rr_ms"])
    rr = log.rr_s[np.isfinite(log.rr_s)]
    if rr.size:
        facts |= {"mean_rate": 60.0 / float(rr.mean()), "longest_pause_s": float(rr.max())}
        facts["shortest_rr_ms"] = 1000.0 * float(rr.min())
        facts["pauses"] = float(sum(e.key == "pause" for e in events))
    for event in events:
        if event.key == "slowest":
            facts["min_rate_over_6s"] = event.value
        if event.key == "fastest":
            facts["max_rate"] = event.value
    runs = [e for e in events if e.key in ("vt", "vt_nonsustained")]
    if runs:
        longest = max(runs, key=lambda e: e.lasts_s)
        facts |= {"vt_longest_s": longest.lasts_s, "vt_rate": longest.value, "vt_beats": float(longest.beats)}
    return facts


def _rhythm_statements(whole: _Whole, log: BeatLog, events: tuple[Event, ...], af_s: float) -> Iterator[Statement]:
    """The basic rhythm that lasts longest, fibrillation from 30 s on, and what happened with how often."""
    basic = max(whole.basic_s, key=lambda key: whole.basic_s[key], default="")
    if basic and (basic not in ("afib", "aflutter") or af_s >= AF_LEAST_S):
        share = whole.basic_s[basic] / max(sum(whole.basic_s.values()), 1e-9)
        yield Statement(basic, min(0.99, share), (Evidence("share_of_time", 100 * share, "%"),))
    for key in ("afib", "aflutter"):
        spans = merged(whole.spans.get(key, []), 1.0)
        lasts = sum(end - begin for begin, end in spans)
        if _AF_EPISODE.holds(lasts) and key != basic:
            longest = max(spans, key=lambda s: s[1] - s[0])
            evidence = Evidence("episodes_s", lasts, "s", _AF_EPISODE, "", *longest)
            yield Statement(key, whole.certainty.get(key, 0.5), (evidence,))
    for key in _FROM_BLOCKS:
        spans = merged(whole.spans.get(key, []), 5.0)
        if len(spans) >= 2 or (spans and whole.certainty.get(key, 0.0) >= 0.8):
            evidence = tuple(Evidence("episode_s", e - b, "s", NONE, "", b, e) for b, e in spans[:5])
            yield Statement(key, whole.certainty.get(key, 0.5), evidence)
    yield from _ectopy(log, events)


def _readable(whole: _Whole, log: BeatLog, seconds: float) -> Iterator[Statement]:
    """What is said of a recording that could not be read, or of less than half of it: it's never green."""
    mostly = Limit(">", 0.5 * seconds, "s", "ours")
    lost = Evidence("unusable_s", whole.unusable_s, "s", mostly.if_held(whole.unusable_s))
    if not len(log):
        yield Statement("uninterpretable", 1.0, (lost,))
    elif mostly.holds(whole.unusable_s):
        yield Statement("poor_quality", 1.0, (lost,))


def _ectopy(log: BeatLog, events: tuple[Event, ...]) -> Iterator[Statement]:
    for key, kind in (
        ("pvc", BeatClass.VENTRICULAR),
        ("pac", BeatClass.SUPRAVENTRICULAR),
        ("fusion", BeatClass.FUSION),
    ):
        count = int(log.where(kind).sum())
        if count:
            share = 100.0 * count / len(log)
            yield Statement(key, 0.9, (Evidence("beats", float(count), "1"), Evidence("share_of_beats", share, "%")))
    share = 100.0 * float(log.where(BeatClass.VENTRICULAR).mean()) if len(log) else 0.0
    if _MANY.holds(share):
        yield Statement("abnormal", 0.9, (Evidence("share_of_beats", share, "%", _MANY),))
    for key in ("vt", "vt_nonsustained", "bigeminy_v", "trigeminy_v", "svt"):
        found = [e for e in events if e.key == key]
        if found:
            worst = max(found, key=lambda e: e.beats)
            yield Statement(
                key,
                0.8,
                (
                    Evidence("episodes", float(len(found)), "1", cited(_SOURCE)),
                    Evidence("longest_beats", float(worst.beats), "1", cited(_SOURCE), "", worst.start_s, worst.end_s),
                    Evidence("rate", worst.value, worst.unit, cited(_SOURCE), "", worst.start_s, worst.end_s),
                ),
            )


def _form_statements(said: list[tuple[Statement, ...]]) -> Iterator[Statement]:
    """What the beats' form says in more than half of the blocks (a minute's posture or noise isn't the recording's)."""
    by_key: dict[str, list[Statement]] = {}
    for block in said:
        for statement in block:
            by_key.setdefault(statement.key, []).append(statement)
    for key, found in by_key.items():
        if len(found) > len(said) / 2 and key not in ("normal", "abnormal"):
            yield max(found, key=lambda s: s.certainty)
