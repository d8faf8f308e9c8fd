"""The engine's reading of a recording -> PreliminaryRead, the value that all rooms understand."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from typing import Final

import numpy as np

from center import observe
from center.errors import Unavailable
from center.reads import (
    NOT_READ,
    Code,
    Critical,
    CriticalRule,
    EvidenceLine,
    LongSignalInput,
    Measurement,
    MedianWaveform,
    ModelInput,
    Outcome,
    PreliminaryRead,
    Reason,
    StatementLine,
    Tier,
    ecg_not_read,
    with_not_read,
)
from ecg import comparison, critical, engine, file_issues, holter, statements
from ecg.beat_log import KINDS, NO_MARK
from ecg.holter import LongReading
from ecg.marks import Evidence, Mark, Measurements, MedianBeat, Statement
from ecg.measurement_names import NAMES, name_of
from ecg.strip import Samples, Strip

log = observe.log("ecg")

MODEL: Final = "helan_ecg"
VERSION: Final = "1.0.0"
_BROKE: Final = Reason(
    "machine_failed",
    zh="机器读图时出错，没有初读：请立即人工阅图。",
    en="The machine failed on this ECG and read nothing: look now.",
)
_NO_RECORDING: Final = Reason("not_an_ecg", zh="没有可读的心电记录。", en="There is no ECG recording to read.")
_BOUNDARIES: Final = {
    "p_on": Mark.P_ON,
    "p_off": Mark.P_OFF,
    "qrs_on": Mark.QRS_ON,
    "qrs_off": Mark.QRS_OFF,
    "t_on": Mark.T_ON,
    "t_off": Mark.T_OFF,
}
_MOST_UV: Final = 32_767


def read_ecg(model_input: ModelInput, profile: str = critical.DEFAULT_PROFILE) -> PreliminaryRead:
    """What the engine says of the recording; of several the gravest, and which one it is.

    A recording that it can't read it refuses, never as green.
    """
    if not model_input.more:
        return _answered(model_input, profile) or _failed(model_input)
    inputs = [_like(one, model_input) for one in (model_input, *model_input.more)]
    answers = [_answered(one, profile) for one in inputs]
    reads = [answer for answer in answers if answer is not None]
    if not reads:
        return _failed(model_input)
    gravest = min(reads, key=_gravity)
    which = next(n for n, answer in enumerate(answers) if answer is gravest)
    tiers = [str((NOT_READ.tier if answer is None else answer.tier) or "") for answer in answers]
    told = {"recordings": len(answers), "recording": which + 1, "tiers": tiers}
    read = replace(gravest, input_digest=model_input.input_digest, quality=gravest.quality | told)
    read = file_issues.beside(read, [issue for one in inputs for issue in one.issues])
    return with_not_read(read) if len(reads) < len(answers) else read


def _answered(model_input: ModelInput, profile: str) -> PreliminaryRead | None:
    """One recording's read; None where the engine failed on it: that must neither hide the others nor end the queue."""
    try:
        return file_issues.told(_read(model_input, profile), model_input.issues)
    except Unavailable:
        raise
    except Exception as error:  # the engine's rim: whatever broke, a person is told to look
        log.error("ecg.read_failed", exc=error)
        return None


def _failed(model_input: ModelInput) -> PreliminaryRead:
    return replace(ecg_not_read(MODEL, VERSION, model_input.input_digest, _BROKE), issues=model_input.issues)


def _like(one: ModelInput, asked: ModelInput) -> ModelInput:
    """One of the recordings, read as the whole input was asked to be."""
    return replace(
        one,
        more=(),
        every_lead=asked.every_lead,
        every_beat=asked.every_beat,
        previous=asked.previous,
        previous_study_uid=asked.previous_study_uid,
        previous_at=asked.previous_at,
    )


def _gravity(read: PreliminaryRead) -> tuple[int, bool]:
    """Lowest is the gravest; at the same tier one that was read before one that wasn't."""
    return (read.tier.rank if read.tier is not None else len(Tier), read.outcome is not Outcome.READ)


def _read(model_input: ModelInput, profile: str) -> PreliminaryRead:
    """One recording."""
    long, recording = model_input.long, model_input.recording
    if long is not None and long.leads:
        return _of_long(model_input, long, profile)
    if recording is None or not recording.leads:
        reason = next((issue for issue in model_input.issues if issue.code == _NO_RECORDING.code), _NO_RECORDING)
        return PreliminaryRead("ecg", MODEL, VERSION, model_input.input_digest, Outcome.ABSTAINED, reason)
    if recording.signal.shape[1] / recording.fs_hz > holter.LONG_S:
        signal = recording.signal
        held = LongSignalInput(
            block=lambda start, stop: signal[:, start:stop].astype(np.float64),
            leads=recording.leads,
            fs_hz=recording.fs_hz,
            length=signal.shape[1],
            age_years=recording.age_years,
            sex=recording.sex,
            device=recording.device,
        )
        return _of_long(model_input, held, profile)
    reading = engine.read(recording, profile=profile)
    now = comparison.Kept.of(reading.statements, reading.measurements)
    compared = _compared(model_input, now) if reading.refused is None else ()
    graded = reading.critical
    if compared:  # what is new since the last ECG may itself be critical
        graded = critical.grade(
            (*reading.statements, *compared),
            reading.measurements,
            reading.rhythm,
            seconds=reading.strip.seconds,
            profile=profile,
            age_years=recording.age_years,
        )
    return PreliminaryRead(
        kind="ecg",
        model=MODEL,
        version=VERSION,
        input_digest=model_input.input_digest,
        outcome=Outcome.READ if reading.refused is None else Outcome.ABSTAINED,
        reason=reading.refused,
        measurements=_measurements(reading.measurements),
        quality=reading.quality.as_fields()
        | {"beats": len(reading.beats), "analysed_s": round(reading.strip.seconds, 1)},
        extra={"fs_hz": recording.fs_hz, "beats": _beats(reading, every_lead=model_input.every_lead)},
        statements=tuple(_statement(s) for s in (*reading.statements, *compared)),
        critical=_critical(graded),
        device=recording.device,
        median=_median(reading.median),
        compared_with=model_input.previous_study_uid if compared else "",
        compared_at=model_input.previous_at if compared else "",
    )


def _of_long(model_input: ModelInput, long: LongSignalInput, profile: str) -> PreliminaryRead:
    reading = holter.read_long(
        long.block,
        leads=long.leads,
        fs_hz=long.fs_hz,
        length=long.length,
        age_years=long.age_years,
        sex=long.sex,
        profile=profile,
    )
    nothing = len(reading.beats) == 0
    extra: dict[str, object] = {"fs_hz": long.fs_hz, "holter": _summary(reading)}
    if model_input.every_beat:
        extra["beats"] = _logged(reading)
    return PreliminaryRead(
        kind="ecg",
        model=MODEL,
        version=VERSION,
        input_digest=model_input.input_digest,
        outcome=Outcome.ABSTAINED if nothing else Outcome.READ,
        reason=_no_beats(reading) if nothing else None,
        measurements=_measurements(reading.measurements),
        quality={
            "grade": "poor" if nothing else "good" if reading.unusable_s < 0.05 * reading.seconds else "limited",
            "beats": len(reading.beats),
            "analysed_s": round(reading.seconds - reading.unusable_s, 1),
            "unusable_s": round(reading.unusable_s, 1),
        },
        extra=extra,
        statements=tuple(_statement(s) for s in reading.statements),
        critical=_critical(reading.critical),
        device=long.device,
    )


def _no_beats(reading: LongReading) -> Reason:
    return Reason(
        "no_beats",
        zh=f"在 {reading.seconds:.0f} 秒记录中没有找到心搏（其中 {reading.unusable_s:.0f} 秒信号不可用）。请直接阅图。",
        en=f"No beat was found in {reading.seconds:.0f} s ({reading.unusable_s:.0f} s of them without usable signal). "
        "Please read the tracing.",
    )


# ---- comparison with the last ECG ----


def _compared(model_input: ModelInput, now: comparison.Kept) -> tuple[Statement, ...]:
    before = model_input.previous
    if before is None or before.outcome is not Outcome.READ or before.kind != "ecg":
        return ()
    by_lead: dict[str, dict[str, float]] = {}
    for m in before.measurements:
        if m.lead:
            by_lead.setdefault(m.lead, {})[m.key] = m.value
    kept = comparison.Kept(
        keys=frozenset(key for s in before.statements for key in (s.key, *s.modifiers)),
        values={m.key: m.value for m in before.measurements if not m.lead},
        by_lead=by_lead,
    )
    return comparison.compare(now, kept)


# ---- values ----


def _measurements(measured: Measurements) -> tuple[Measurement, ...]:
    """Those of the whole in the table's order, then lead by lead."""
    order = {key: n for n, key in enumerate(NAMES)}

    def lines(found: Mapping[str, object], lead: str) -> Iterable[Measurement]:
        source = measured.by_lead[lead] if lead else measured.values
        for key in sorted(found, key=lambda k: (order.get(k, len(order)), k)):
            name, quantity = name_of(key), source[key]
            yield Measurement(
                key=key,
                zh=name.zh,
                en=name.en,
                value=round(quantity.value, name.decimals),
                unit=quantity.unit,
                codes=name.codes(key),
                lead=lead,
                certainty=round(quantity.certainty, 2),
            )

    return (*lines(measured.values, ""), *(m for lead, found in measured.by_lead.items() for m in lines(found, lead)))


def _statement(said: Statement) -> StatementLine:
    term = statements.term(said.key)
    codes = [Code(term.snomed, "SCT", term.en[:64])] if term.snomed else []
    codes += [Code(term.mdc, "MDC", term.en[:64])] if term.mdc else []
    codes += [Code(term.aha, "99AHA2007", term.en[:64])] if term.aha else []
    spoken = [_modifier(m) for m in said.modifiers]
    return StatementLine(
        key=said.key,
        zh=term.zh + (f"（{'、'.join(zh for zh, _ in spoken)}）" if spoken else ""),
        en=term.en + (f" ({', '.join(en for _, en in spoken)})" if spoken else ""),
        certainty=round(said.certainty, 2),
        codes=tuple(codes),
        modifiers=said.modifiers,
        evidence=tuple(_evidence(e) for e in said.evidence),
    )


def _modifier(key: str) -> tuple[str, str]:
    """(zh, en) of a modifier; a pair of electrodes speaks for itself."""
    try:
        term = statements.term(key)
    except KeyError:
        spelled = key.upper().replace("_", "/")
        return spelled, spelled
    return term.zh, term.en


def _evidence(seen: Evidence) -> EvidenceLine:
    known = NAMES.get(seen.key)
    zh, en = (known.zh, known.en) if known else _of_vocabulary(seen.key)
    return EvidenceLine(
        key=seen.key,
        zh=zh,
        en=en,
        value=seen.value,
        unit=seen.unit,
        limit=seen.limit,
        lead=seen.lead,
        start_s=None if seen.start_s is None else round(seen.start_s, 3),
        end_s=None if seen.end_s is None else round(seen.end_s, 3),
        source=seen.source,
    )


def _of_vocabulary(key: str) -> tuple[str, str]:
    try:
        term = statements.term(key)
    except KeyError:
        return "", ""
    return term.zh, term.en


def _critical(graded: critical.Critical) -> Critical:
    return Critical(
        tier=Tier(graded.tier.value),
        profile=graded.profile,
        version=graded.version,
        rules=tuple(
            CriticalRule(
                rule=fired.id,
                zh=fired.zh,
                en=fired.en,
                tier=Tier(fired.tier.value),
                evidence=tuple(_evidence(e) for e in fired.evidence),
                source=fired.source,
            )
            for fired in graded.rules
        ),
    )


def _median(median: MedianBeat | None) -> MedianWaveform | None:
    if median is None or not median.beats or not median.mv.size:
        return None
    uv = np.clip(np.rint(median.mv * 1000.0), -_MOST_UV, _MOST_UV).astype(np.int64)
    return MedianWaveform(
        leads=median.leads,
        fs_hz=median.fs_hz,
        uv=tuple(tuple(row) for row in uv.tolist()),
        at=median.at,
        beats=median.beats,
        marks={
            name: round(float(median.overall[mark]))
            for name, mark in _BOUNDARIES.items()
            if np.isfinite(median.overall[mark])
        },
    )


# ---- beats ----


def _beats(reading: engine.Reading, *, every_lead: bool) -> list[dict[str, object]]:
    """As ``helan read`` prints them: samples of the recording as it came; a wave that isn't there has no key."""
    if not len(reading.beats):
        return []
    strip = reading.strip
    at = strip.in_source(reading.beats.at).tolist()
    overall = _in_source(strip, reading.waves.overall)
    lines: list[dict[str, object]] = [
        {"sample": sample, "class": str(kind), **_marked(marks)}
        for sample, kind, marks in zip(at, reading.beats.kinds, overall, strict=True)
    ]
    if every_lead:
        by_lead = [_in_source(strip, rows) for rows in reading.waves.by_lead]
        for n, line in enumerate(lines):
            line["leads"] = {lead: _marked(by_lead[k][n]) for k, lead in enumerate(strip.leads)}
    return lines


def _in_source(strip: Strip, marks: Samples) -> list[list[int]]:
    """[beat][9] as whole samples of the recording, -1 where absent."""
    out = np.full(marks.shape, NO_MARK, dtype=np.int64)
    there = np.isfinite(marks)
    out[there] = strip.in_source(marks[there])
    return [[int(sample) for sample in row] for row in out]


def _marked(marks: list[int]) -> dict[str, int]:
    return {name: marks[mark] for name, mark in _BOUNDARIES.items() if marks[mark] != NO_MARK}


def _logged(reading: LongReading) -> list[dict[str, object]]:
    log = reading.beats
    rows = zip(log.at.tolist(), log.kind.tolist(), log.marks.tolist(), strict=True)
    return [{"sample": sample, "class": str(KINDS[kind]), **_marked(marks)} for sample, kind, marks in rows]


def _summary(reading: LongReading) -> dict[str, object]:
    """The long recording's own part of the line: totals, hours, trend, events, strips, variability."""
    kinds = reading.beats.kind
    return {
        "seconds": round(reading.seconds, 1),
        "unusable_s": round(reading.unusable_s, 1),
        "af_s": round(reading.af_s, 1),
        "totals": {str(kind): int((kinds == n).sum()) for n, kind in enumerate(KINDS)},
        "hours": [_plain(asdict(hour)) for hour in reading.hours],
        "rate_per_minute": [None if np.isnan(r) else round(r, 1) for r in reading.rates.tolist()],
        "variability": _plain(asdict(reading.variability)) if reading.variability else None,
        "strips": [_plain(asdict(strip)) for strip in reading.strips],
        "events": [_plain(asdict(event)) for event in reading.events[:1000]],
        "events_in_all": len(reading.events),
    }


def _plain(values: Mapping[str, object]) -> dict[str, object]:
    """Figures as told: three decimals, and null where there is no number."""
    return {key: _told(value) for key, value in values.items()}


def _told(value: object) -> object:
    if isinstance(value, float):
        return None if np.isnan(value) else round(value, 3)
    return value
