"""Which films may be read, and when a finding is called."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from center.reads import Code, Decision, FilmInput, Reason
from inference import gate
from inference.gate import Label, Limits, View

CODE = (Code("1", "SCT", "one"),)
CHILD = Label("pneumonia", "肺炎", "Pneumonia", CODE, 1, 6, 0.5, 0.4, 1.0, 0.0)
TB = Label("tuberculosis", "肺结核", "Tuberculosis", CODE, 15, 120, 0.3, 0.4, 1.0, 0.0)
EFFUSION = Label("effusion", "胸腔积液", "Effusion", CODE, 15, 120, 0.2, 0.4, 1.0, 0.0)
LIMITS = Limits(least_chest=0.5, most_distance=2.0, most_spread=0.15)
FILM = FilmInput(np.random.default_rng(1).random((256, 256), dtype=np.float32), "DX", "1.2.840.10008.5.1.4.1.1.1.1")


def logit(probability: float) -> float:
    return math.log(probability / (1 - probability))


def test_an_ordinary_film_is_not_refused_by_its_header() -> None:
    assert gate.refused_by_header(FILM) is None
    assert gate.refused_by_header(replace(FILM, view_position="PA", body_part="CHEST")) is None


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"modality": "CT"}, "unknown_kind"),
        ({"modality": "OT"}, "unknown_kind"),
        ({"frames": 2}, "unknown_kind"),
        ({"photometric": "RGB"}, "unknown_kind"),
        ({"presentation_intent": "FOR PROCESSING"}, "unknown_kind"),
        ({"sop_class_uid": "1.2.840.10008.5.1.4.1.1.1.1.1"}, "unknown_kind"),
        ({"sop_class_uid": "1.2.840.10008.5.1.4.1.1.7"}, "unknown_kind"),
        ({"sop_class_uid": "1.2.840.10008.5.1.4.1.1.7.2"}, "unknown_kind"),
        ({"view_position": "LL"}, "not_frontal_chest"),
        ({"view_position": "lateral"}, "not_frontal_chest"),
        ({"body_part": "HAND"}, "not_frontal_chest"),
    ],
)
def test_a_tag_may_reject(changes: dict[str, object], code: str) -> None:
    reason = gate.refused_by_header(replace(FILM, **changes))  # type: ignore[arg-type]
    assert reason is not None
    assert reason.code == code


@pytest.mark.parametrize(
    ("pixels", "code"),
    [
        (np.full((256, 256), 0.5, np.float32), "unreadable_pixels"),
        (np.full((256, 256), np.nan, np.float32), "unreadable_pixels"),
        (np.full((256, 256), np.inf, np.float32), "unreadable_pixels"),
        (np.random.default_rng(0).random((64, 256), dtype=np.float32), "unknown_kind"),
        (np.random.default_rng(0).random((256, 256, 3), dtype=np.float32), "unknown_kind"),
        (np.random.default_rng(0).random(9, dtype=np.float32), "unknown_kind"),
        (np.zeros((0, 0), np.float32), "unknown_kind"),
        (np.random.default_rng(0).random((100, 400), dtype=np.float32), "not_frontal_chest"),
        (np.random.default_rng(0).random((400, 100), dtype=np.float32), "not_frontal_chest"),
    ],
)
def test_pixels_that_cannot_be_a_film_are_refused(pixels: np.ndarray, code: str) -> None:
    reason = gate.refused_by_pixels(replace(FILM, pixels=pixels))
    assert reason is not None
    assert reason.code == code


def test_only_a_near_and_chest_like_view_admits_and_nan_never() -> None:
    good = View(((0.0,),), 0.9, 1.0)
    assert gate.refused_by_view(good, LIMITS) is None
    for bad in (replace(good, chest=0.4), replace(good, distance=2.1), replace(good, chest=math.nan)):
        assert gate.refused_by_view(bad, LIMITS) == gate.NOT_FRONTAL_CHEST


@pytest.mark.parametrize(
    ("age", "expected"),
    [
        (None, "age_unknown"),
        (math.nan, "age_unknown"),
        (0.5, "age_out_of_range"),
        (1.0, "pneumonia"),
        (5.9, "pneumonia"),
        (6.0, "age_out_of_range"),
        (14.9, "age_out_of_range"),
        (15.0, "tuberculosis"),
        (130.0, "age_out_of_range"),
    ],
)
def test_the_age_chooses_the_findings(age: float | None, expected: str) -> None:
    asked = gate.labels_at(age, (CHILD, TB, EFFUSION))
    assert (asked.code if isinstance(asked, Reason) else asked[0].key) == expected


def test_a_single_finding_near_its_threshold_is_uncertain_and_the_film_is_still_read() -> None:
    found = gate.found((TB, EFFUSION), {"tuberculosis": [logit(0.31)] * 3, "effusion": [logit(0.9)] * 3}, LIMITS)
    assert not isinstance(found, Reason)
    assert [finding.decision for finding in found] == [Decision.UNCERTAIN, Decision.PRESENT]


def test_every_finding_near_its_threshold_is_an_abstention() -> None:
    near = {"tuberculosis": [logit(0.31)] * 3, "effusion": [logit(0.19)] * 3, "pneumonia": [0.1] * 3}
    assert gate.found((TB, EFFUSION), near, LIMITS) == gate.NEAR_THRESHOLD
    assert gate.found((CHILD,), near, LIMITS) == gate.NEAR_THRESHOLD


def test_a_probability_that_moves_with_the_cut_is_uncertain() -> None:
    moving = {"tuberculosis": [logit(0.7), logit(0.9), logit(0.95)], "effusion": [logit(0.01)] * 3}
    found = gate.found((TB, EFFUSION), moving, LIMITS)
    assert not isinstance(found, Reason)
    assert [finding.decision for finding in found] == [Decision.UNCERTAIN, Decision.ABSENT]


@given(st.floats(0, 1), st.floats(0.02, 0.98))
def test_calls_agree_with_the_threshold_outside_the_band(probability: float, threshold: float) -> None:
    decision = gate.decided(replace(TB, threshold=threshold), probability)
    if decision is Decision.PRESENT:
        assert probability > threshold
    if decision is Decision.ABSENT:
        assert probability < threshold
    if probability == threshold:
        assert decision is Decision.UNCERTAIN


@given(st.floats(-80, 80), st.floats(-80, 80))
def test_calibration_keeps_the_order(first: float, second: float) -> None:
    low, high = sorted((first, second))
    assert 0 <= TB.probability(low) <= TB.probability(high) <= 1


def test_every_reason_is_a_sentence_in_both_languages() -> None:
    reasons = [value for name, value in vars(gate).items() if name.isupper() and isinstance(value, Reason)]
    assert {r.code for r in reasons} == {
        "not_frontal_chest", "age_out_of_range", "age_unknown", "unknown_kind", "findings_near_threshold",
        "unreadable_pixels",
    }  # fmt: skip
    assert all(r.zh.endswith("。") and r.en.endswith(".") for r in reasons)
