"""A film, what a network said of it -> may it be read, and what is found. Thresholds come from the model's manifest.

Three doors, each may refuse: the header's facts, the pixels themselves, the network's own view of them. Tags may
reject; only pixels admit (an empty or wrong ViewPosition is common).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from center.reads import Code, Decision, FilmInput, Finding, Reason

NOT_FRONTAL_CHEST: Final = Reason(
    "not_frontal_chest",
    "不像是正位胸片，或方向、灰度反转异常。请直接阅片。",
    "This does not look like an upright frontal chest film. Please read without it.",
)
AGE_OUT_OF_RANGE: Final = Reason(
    "age_out_of_range",
    "患者年龄不在模型适用范围内（儿童肺炎：1 至 5 岁；成人项目：15 岁及以上）。请直接阅片。",
    "No finding was validated at this age (children's pneumonia: 1 to 5 years; adult findings: 15 years and over).",
)
AGE_UNKNOWN: Final = Reason(
    "age_unknown",
    "患者年龄未知，无法选择适用的项目。请补填出生日期或年龄。",
    "The patient's age is not known, so no finding can be chosen. Please enter a birth date or an age.",
)
UNKNOWN_KIND: Final = Reason(
    "unknown_kind",
    "图像类型不受支持：只读单帧、供显示的 CR/DX 胸片。请直接阅片。",
    "This kind of image is not read: only single-frame CR or DX films made for presentation.",
)
NEAR_THRESHOLD: Final = Reason(
    "findings_near_threshold",
    "所有项目的结果都接近判定界限，无法给出初读。请直接阅片。",
    "Every finding lies too near its threshold to be called. Please read without it.",
)
UNREADABLE_PIXELS: Final = Reason(
    "unreadable_pixels",
    "图像为空白，或像素无法读取。请检查后重新发送。",
    "The image is blank or its pixels cannot be read. Please check it and send it again.",
)

MODALITIES: Final = frozenset({"CR", "DX"})
_PROCESSING: Final = "1.2.840.10008.5.1.4.1.1.1.1.1"  # Digital X-Ray Image Storage - For Processing (PS3.4 B.5)
_SECONDARY: Final = "1.2.840.10008.5.1.4.1.1.7"  # Secondary Capture and its multi-frame kinds (7.1 to 7.4)
_SIDE_VIEWS: Final = ("LL", "RL", "LLD", "RLD", "LAT", "LATERAL", "LLO", "RLO", "LAO", "RAO", "LPO", "RPO")  # PS3.3 C.8
_OTHER_PARTS: Final = (
    "ABDOMEN ANKLE ARM BREAST CALCANEUS CLAVICLE COCCYX CSPINE ELBOW EXTREMITY FEMUR FINGER FOOT FOREARM HAND HEAD HIP"
    " HUMERUS JAW KNEE LEG LSPINE MANDIBLE NECK ORBIT PATELLA PELVIS SCAPULA SHOULDER SKULL SPINE SSPINE TEETH"
    " THIGH THUMB TIBIA TOE TSPINE WRIST ZYGOMA"
)  # PS3.16 annex L

_LEAST_SIDE: Final = 96
_MOST_PIXELS: Final = 30_000_000
_ASPECT: Final = (0.6, 1.7)  # width over height
_SMALL_FILM_PIXELS: Final = 500_000  # noted, not refused
_LEAST_SPAN: Final = 1e-3  # of 0..1, between the 2nd and the 98th percentile


@dataclass(frozen=True, slots=True)
class Label:
    """One thing that a model looks for, as its manifest says.

    threshold: calibrated probability from which it is called present. band: natural log of odds, to either side of
    the threshold, within which it is uncertain. slope, intercept: Platt's calibration of the logit. Ages in years,
    from the first and under the second.
    """

    key: str
    zh: str
    en: str
    codes: tuple[Code, ...]
    age_from: float
    age_below: float
    threshold: float
    band: float
    slope: float
    intercept: float

    def probability(self, logit: float) -> float:
        """Calibrated, 0..1."""
        return _chance(self.slope * logit + self.intercept)


@dataclass(frozen=True, slots=True)
class Limits:
    """From the manifest: least score of the network's own gate, greatest distance of its features, greatest spread."""

    least_chest: float
    most_distance: float
    most_spread: float


@dataclass(frozen=True, slots=True)
class View:
    """What a network said of one film seen a few ways: logits [way][label], gate score 0..1, feature distance."""

    logits: tuple[tuple[float, ...], ...]
    chest: float
    distance: float


def refused_by_header(film: FilmInput) -> Reason | None:
    """Why this kind of object is not read at all; None when nothing speaks against it."""
    if film.modality.upper() not in MODALITIES or film.frames != 1 or not film.photometric.startswith("MONOCHROME"):
        return UNKNOWN_KIND
    if film.presentation_intent.upper() == "FOR PROCESSING" or film.sop_class_uid == _PROCESSING:
        return UNKNOWN_KIND
    if film.sop_class_uid == _SECONDARY or film.sop_class_uid.startswith(_SECONDARY + "."):
        return UNKNOWN_KIND
    if film.view_position.upper().strip() in _SIDE_VIEWS or film.body_part.upper().strip() in _OTHER_PARTS.split():
        return NOT_FRONTAL_CHEST
    return None


def refused_by_pixels(film: FilmInput) -> Reason | None:
    """Why these pixels cannot be a film: size, proportions, missing values, or nothing on them."""
    pixels = film.pixels
    if pixels.ndim != 2 or min(pixels.shape) < _LEAST_SIDE or pixels.size > _MOST_PIXELS:
        return UNKNOWN_KIND
    if not bool(np.isfinite(pixels).all()):
        return UNREADABLE_PIXELS
    step = max(1, min(pixels.shape) // 128)
    low, high = np.percentile(pixels[::step, ::step], (2, 98))
    if high - low < _LEAST_SPAN:
        return UNREADABLE_PIXELS
    if not _ASPECT[0] <= pixels.shape[1] / pixels.shape[0] <= _ASPECT[1]:
        return NOT_FRONTAL_CHEST
    return None


def refused_by_view(view: View, limits: Limits) -> Reason | None:
    """Why the network's own view does not admit the film. NaN never admits."""
    if view.chest >= limits.least_chest and view.distance <= limits.most_distance:
        return None
    return NOT_FRONTAL_CHEST


def labels_at(age_years: float | None, labels: Sequence[Label]) -> tuple[Label, ...] | Reason:
    """The findings that were validated at this age, or why there are none."""
    if age_years is None or not math.isfinite(age_years) or age_years < 0:
        return AGE_UNKNOWN
    fitting = tuple(label for label in labels if label.age_from <= age_years < label.age_below)
    return fitting or AGE_OUT_OF_RANGE


def decided(label: Label, probability: float) -> Decision:
    """Present, absent, or uncertain within the band around the threshold."""
    away = _log_odds(probability) - _log_odds(label.threshold)
    if abs(away) < label.band:
        return Decision.UNCERTAIN
    return Decision.PRESENT if away > 0 else Decision.ABSENT


def found(
    asked: Sequence[Label], logits: Mapping[str, Sequence[float]], limits: Limits
) -> tuple[Finding, ...] | Reason:
    """One finding a label, from its logits seen a few ways; a Reason when none of them can be called.

    A probability that moves by more than ``most_spread`` when the film is cut a little differently is uncertain.
    """
    findings = tuple(_finding(label, logits[label.key], limits) for label in asked)
    if all(finding.decision is Decision.UNCERTAIN for finding in findings):
        return NEAR_THRESHOLD
    return findings


def _finding(label: Label, logits: Sequence[float], limits: Limits) -> Finding:
    probability = label.probability(math.fsum(logits) / len(logits))
    each = [label.probability(logit) for logit in logits]
    steady = max(each) - min(each) <= limits.most_spread
    decision = decided(label, probability) if steady else Decision.UNCERTAIN
    return Finding(label.key, label.zh, label.en, round(probability, 4), decision, label.codes)


def notes(film: FilmInput) -> dict[str, object]:
    """What a clinic may want to know of the picture, whatever the outcome; no patient's data."""
    if film.pixels.ndim < 2:
        return {}
    rows, columns = film.pixels.shape[:2]
    return {"rows": rows, "columns": columns, "small_film": rows * columns < _SMALL_FILM_PIXELS}


def _log_odds(probability: float) -> float:
    kept = min(max(probability, 1e-6), 1 - 1e-6)
    return math.log(kept / (1 - kept))


def _chance(log_odds: float) -> float:
    if log_odds >= 0:
        return 1 / (1 + math.exp(-log_odds))
    return math.exp(log_odds) / (1 + math.exp(log_odds))
