"""What rooms hand each other about a study's content: a model's input, and the preliminary read made from it.

Values only. ``ModelInput`` is filled in wiring (the gateway decodes films, the heart room signals), so that
``inference`` reads an ECG without importing ``ecg``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final, Literal

import numpy as np
import numpy.typing as npt


class Outcome(StrEnum):
    READ = "read"
    ABSTAINED = "abstained"
    UNREADABLE = "unreadable"


class Decision(StrEnum):
    PRESENT = "present"
    ABSENT = "absent"
    UNCERTAIN = "uncertain"


class Tier(StrEnum):
    """How soon a person must look: red now, orange next, yellow soon, green in turn.  Green is not "normal"."""

    RED = "red"
    ORANGE = "orange"
    YELLOW = "yellow"
    GREEN = "green"

    @property
    def rank(self) -> int:
        """0 is the gravest."""
        return list(Tier).index(self)


@dataclass(frozen=True, slots=True)
class Reason:
    """Why there is no read: a stable ``code`` and a sentence in each language."""

    code: str
    zh: str
    en: str


@dataclass(frozen=True, slots=True)
class Code:
    """A coded concept: ``scheme`` is DICOM's designator (SCT, DCM, RADLEX, UCUM, 99HELAN)."""

    value: str
    scheme: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked for. ``probability`` is calibrated, 0..1; ``critical`` asks for a read-now task.

    by_rule: a rule was met; its ``probability`` is 1 and says nothing, pages leave it out.
    """

    key: str
    zh: str
    en: str
    probability: float
    decision: Decision
    codes: tuple[Code, ...] = ()
    critical: bool = False
    by_rule: bool = False


@dataclass(frozen=True, slots=True)
class Measurement:
    """A number with its UCUM unit.  lead: empty where it holds for all; certainty: 0..1, None where it isn't told."""

    key: str
    zh: str
    en: str
    value: float
    unit: str
    codes: tuple[Code, ...] = ()
    lead: str = ""
    certainty: float | None = None


@dataclass(frozen=True, slots=True)
class EvidenceLine:
    """What was seen where, and the limit that it passed, with the limit's source.

    key: of the measurement or fact; zh, en: its name, empty where the key is all there is.
    limit: in words with its unit (``>= 120 ms``).  start_s, end_s: seconds from the recording's begin.
    """

    key: str
    zh: str = ""
    en: str = ""
    value: float | None = None
    unit: str = ""
    limit: str = ""
    lead: str = ""
    start_s: float | None = None
    end_s: float | None = None
    source: str = ""


@dataclass(frozen=True, slots=True)
class StatementLine:
    """One diagnostic statement of a machine, present.  zh, en say the modifiers already; modifiers: their keys."""

    key: str
    zh: str
    en: str
    certainty: float
    codes: tuple[Code, ...] = ()
    modifiers: tuple[str, ...] = ()
    evidence: tuple[EvidenceLine, ...] = ()


@dataclass(frozen=True, slots=True)
class CriticalRule:
    """A rule that was met.  source: the document that it is taken from."""

    rule: str
    zh: str
    en: str
    tier: Tier
    evidence: tuple[EvidenceLine, ...] = ()
    source: str = ""


@dataclass(frozen=True, slots=True)
class Critical:
    """The gravest tier of all rules met, with the site's profile and the version of its rules."""

    tier: Tier
    profile: str
    version: str
    rules: tuple[CriticalRule, ...] = ()


NOT_READ: Final = CriticalRule(
    "machine_failed",
    "机器未能读这份心电图：请立即人工阅图。",
    "The machine could not read this ECG: look now.",
    Tier.ORANGE,
    source="ours",
)
"""What keeps a machine from reading an ECG may be what is critical in it: it goes up, never down."""
_NOT_READ_EDITION: Final = ("ours", "1")


@dataclass(frozen=True, slots=True)
class DeviceLine:
    """What the recording device itself said: a statement (``text``) or a measurement (``value`` and ``unit``)."""

    text: str
    value: float | None = None
    unit: str = ""


@dataclass(frozen=True, slots=True)
class MedianWaveform:
    """The median beat.  uv: whole microvolts [lead][sample] at fs_hz, as 16 bits hold them; beats: how many made it.

    at: sample of the fiducial.  marks: samples of ``p_on`` .. ``t_off``, absent where there is no such wave.
    """

    leads: tuple[str, ...]
    fs_hz: float
    uv: tuple[tuple[int, ...], ...]
    at: int
    beats: int
    marks: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FilmInput:
    """A frontal chest film as a model gets it.

    pixels: float32 [row, column], 0..1, after rescale, VOI and inversion: 1 is white, bone is bright.
    age_years: None when unknown. spacing_mm: (row, column) or None.
    """

    pixels: npt.NDArray[np.float32]
    modality: str
    sop_class_uid: str
    age_years: float | None = None
    sex: str = ""
    view_position: str = ""
    body_part: str = ""
    image_type: tuple[str, ...] = ()
    photometric: str = "MONOCHROME2"
    frames: int = 1
    presentation_intent: str = ""
    spacing_mm: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class SignalInput:
    """signal: float32 [lead, sample], mV; NaN where the device gave no value.

    device: what the device said itself; never mixed with ours.
    """

    signal: npt.NDArray[np.float32]
    leads: tuple[str, ...]
    fs_hz: float
    age_years: float | None = None
    sex: str = ""
    device: tuple[DeviceLine, ...] = ()


@dataclass(frozen=True, slots=True)
class LongSignalInput:
    """A recording too long to be held at once.  block(start, stop): float64 [lead, sample], mV, NaN where unknown.

    length: samples a lead.
    """

    block: Callable[[int, int], npt.NDArray[np.float64]]
    leads: tuple[str, ...]
    fs_hz: float
    length: int
    age_years: float | None = None
    sex: str = ""
    device: tuple[DeviceLine, ...] = ()

    @property
    def seconds(self) -> float:
        return self.length / self.fs_hz


@dataclass(frozen=True, slots=True)
class ModelInput:
    """What a model reads: the first readable film or recording of a study, and where it came from.

    input_digest: sha256 hex over the sorted content digests of the instances that it was made of.
    long: in place of ``recording``, where that is too long to be held.
    previous: the newest read of the same patient's last recording at the same clinic, with its study and when that
    was recorded (ISO 8601).
    every_lead: also the boundaries of each beat lead by lead (``beats[n]["leads"]``).
    more: the study's other recordings, each by itself; a reader reads all and answers with the gravest.
    issues: what the reader of the file knows of it (an unproven format, a gain that nobody calibrated, leads left out).
    every_beat: also each beat of a long recording (a hundred thousand a day), not its summary alone.
    """

    kind: Literal["film", "ecg"]
    study_instance_uid: str
    sop_instance_uids: tuple[str, ...]
    input_digest: str
    film: FilmInput | None = None
    recording: SignalInput | None = None
    long: LongSignalInput | None = None
    previous: PreliminaryRead | None = None
    previous_study_uid: str = ""
    previous_at: str = ""
    every_lead: bool = False
    every_beat: bool = False
    more: tuple[ModelInput, ...] = ()
    issues: tuple[Reason, ...] = ()


@dataclass(frozen=True, slots=True)
class Abstention:
    """No read, and why. Never an exception: the case goes on without it."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class PreliminaryRead:
    """A model's output: name, version, input digest, and probability or abstention (rule 3).

    statements, critical: of a recording, None and empty where the model says neither; an abstention may still have a
    critical tier, because a recording that nobody can read isn't green.
    issues: what is known of the file that the read was made of, as ``ModelInput`` has it.
    compared_with: the study that ``statements`` compares with, empty where none was handed in.
    """

    kind: Literal["film", "ecg", "slide"]
    model: str
    version: str
    input_digest: str
    outcome: Outcome
    reason: Reason | None = None
    findings: tuple[Finding, ...] = ()
    measurements: tuple[Measurement, ...] = ()
    quality: dict[str, object] = field(default_factory=dict)
    extra: dict[str, object] = field(default_factory=dict)  # fs_hz, beats: fields of `helan read --jsonl`
    statements: tuple[StatementLine, ...] = ()
    critical: Critical | None = None
    device: tuple[DeviceLine, ...] = ()
    median: MedianWaveform | None = None
    compared_with: str = ""
    compared_at: str = ""
    issues: tuple[Reason, ...] = ()

    @property
    def tier(self) -> Tier | None:
        return self.critical.tier if self.critical else None

    @property
    def answerable(self) -> tuple[Finding, ...]:
        """All that a person accepts or rejects: findings, rules of the red tier, and statements, in that order."""
        return (*self.findings, *(_red(r) for r in self._red_rules), *(_stated(s) for s in self.statements))

    @property
    def critical_findings(self) -> tuple[Finding, ...]:
        """Those that ask for a human read at once; a machine never raises the clinic's alert itself."""
        found = tuple(f for f in self.answerable if f.critical and f.decision is Decision.PRESENT)
        return (*found, _red(NOT_READ)) if self._is_not_read else found

    @property
    def _is_not_read(self) -> bool:
        """Whether the machine failed on it, or on one of its recordings: as urgent as a critical value, but none."""
        return self.critical is not None and any(r.rule == NOT_READ.rule for r in self.critical.rules)

    @property
    def _red_rules(self) -> tuple[CriticalRule, ...]:
        if self.critical is None or self.critical.tier is not Tier.RED:
            return ()
        rules = tuple(r for r in self.critical.rules if r.tier is Tier.RED)
        return rules or (CriticalRule("red", "危急值", "Critical value", Tier.RED),)


def ecg_not_read(model: str, version: str, input_digest: str, reason: Reason) -> PreliminaryRead:
    """The abstention of a machine that failed on an ECG, for whatever reason: a person is to look now."""
    return with_not_read(PreliminaryRead("ecg", model, version, input_digest, Outcome.ABSTAINED, reason))


def with_not_read(read: PreliminaryRead) -> PreliminaryRead:
    """The same read, at least orange: it, or another recording of the study, could not be read."""
    profile, edition = _NOT_READ_EDITION
    before = read.critical or Critical(NOT_READ.tier, profile, edition)
    tier = min(before.tier, NOT_READ.tier, key=lambda one: one.rank)
    if any(rule.rule == NOT_READ.rule for rule in before.rules):
        return read
    rules = sorted((*before.rules, NOT_READ), key=lambda rule: rule.tier.rank)  # stable
    return replace(read, critical=replace(before, tier=tier, rules=tuple(rules)))


def _red(rule: CriticalRule) -> Finding:
    zh, en = rule.zh.rstrip("。"), rule.en.rstrip(".")  # a page puts its own mark behind it
    return Finding(f"critical:{rule.rule}", zh, en, 1.0, Decision.PRESENT, critical=True, by_rule=True)


def _stated(line: StatementLine) -> Finding:
    return Finding(line.key, line.zh, line.en, line.certainty, Decision.PRESENT, line.codes)
