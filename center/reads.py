"""What rooms hand each other about a study's content: a model's input, and the preliminary read made from it.

Values only. ``ModelInput`` is filled in wiring (the gateway decodes films, the heart room signals), so that
``inference`` reads an ECG without importing ``ecg``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

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
    """One thing looked for. ``probability`` is calibrated, 0..1; ``critical`` asks for a read-now task."""

    key: str
    zh: str
    en: str
    probability: float
    decision: Decision
    codes: tuple[Code, ...] = ()
    critical: bool = False


@dataclass(frozen=True, slots=True)
class Measurement:
    """A number with its UCUM unit, and where it comes from."""

    key: str
    zh: str
    en: str
    value: float
    unit: str
    codes: tuple[Code, ...] = ()


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
    """signal: float32 [lead, sample], mV; NaN where the device gave no value."""

    signal: npt.NDArray[np.float32]
    leads: tuple[str, ...]
    fs_hz: float
    age_years: float | None = None
    sex: str = ""


@dataclass(frozen=True, slots=True)
class ModelInput:
    """What a model reads: the first readable film or recording of a study, and where it came from.

    input_digest: sha256 hex over the sorted content digests of the instances that it was made of.
    """

    kind: Literal["film", "ecg"]
    study_instance_uid: str
    sop_instance_uids: tuple[str, ...]
    input_digest: str
    film: FilmInput | None = None
    recording: SignalInput | None = None


@dataclass(frozen=True, slots=True)
class Abstention:
    """No read, and why. Never an exception: the case goes on without it."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class PreliminaryRead:
    """A model's output: name, version, input digest, and probability or abstention (rule 3)."""

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

    @property
    def critical_findings(self) -> tuple[Finding, ...]:
        """Those that ask for a human read at once; a machine never raises the clinic's alert itself."""
        return tuple(f for f in self.findings if f.critical and f.decision is Decision.PRESENT)
