"""A preliminary read as JSON and back, in the form of today and of the rows that are kept already."""

from __future__ import annotations

import json
from typing import Any

from center.reads import (
    Code,
    Critical,
    CriticalRule,
    Decision,
    DeviceLine,
    EvidenceLine,
    Finding,
    Measurement,
    MedianWaveform,
    Outcome,
    PreliminaryRead,
    StatementLine,
    Tier,
)
from inference.values import from_json, to_json

_SEEN = EvidenceLine("qrs_duration", "QRS 时限", "QRS duration", 148.0, "ms", ">= 120 ms", "V1", 0.0, 10.0, "AHA 2009")
_READ = PreliminaryRead(
    kind="ecg",
    model="helan_ecg",
    version="1.0.0",
    input_digest="ab" * 32,
    outcome=Outcome.READ,
    findings=(Finding("f", "甲", "a", 0.5, Decision.UNCERTAIN, (Code("1", "SCT", "one"),)),),
    measurements=(Measurement("r_amplitude", "R", "R", 0.8, "mV", (), "V5", 0.9),),
    statements=(StatementLine("lbbb", "左束支", "LBBB", 0.9, (Code("2", "SCT", "two"),), ("possible",), (_SEEN,)),),
    critical=Critical(Tier.RED, "national-2017", "1", (CriticalRule("vf", "室颤", "VF", Tier.RED, (_SEEN,), "2017"),)),
    device=(DeviceLine("Sinus rhythm"), DeviceLine("PR", 160.0, "ms")),
    median=MedianWaveform(("I",), 500.0, ((0, 5, -3),), 1, 9, {"qrs_on": 0}),
    compared_with="1.2.3",
    compared_at="2026-03-11T02:40:00",
)


def test_a_read_is_the_same_after_json() -> None:
    assert from_json(json.loads(json.dumps(to_json(_READ)))) == _READ


def test_rows_kept_before_the_engine_are_read() -> None:
    kept: dict[str, Any] = to_json(_READ)
    for later in ("statements", "critical", "device", "median", "compared_with", "compared_at"):
        del kept[later]
    for measured in kept["measurements"]:
        del measured["lead"], measured["certainty"]
    read = from_json(kept)
    assert read.statements == () and read.critical is None and read.median is None
    assert read.measurements[0].lead == "" and read.measurements[0].certainty is None


def test_fields_of_a_later_version_are_left_out() -> None:
    kept: dict[str, Any] = to_json(_READ)
    kept["of_tomorrow"] = 1
    kept["statements"][0]["of_tomorrow"] = 1
    kept["critical"]["rules"][0]["evidence"][0]["of_tomorrow"] = 1
    assert from_json(kept) == _READ


def test_only_a_red_tier_asks_for_a_read_at_once() -> None:
    assert [f.key for f in _READ.critical_findings] == ["critical:vf"]
    for tier in (Tier.ORANGE, Tier.YELLOW, Tier.GREEN):
        kept: dict[str, Any] = to_json(_READ)
        kept["critical"] = {"tier": tier.value, "profile": "p", "version": "1", "rules": []}
        assert from_json(kept).critical_findings == ()


def test_a_red_tier_without_its_rule_still_asks() -> None:
    kept: dict[str, Any] = to_json(_READ)
    kept["critical"]["rules"] = []
    assert len(from_json(kept).critical_findings) == 1


def test_a_person_answers_findings_then_the_red_rules_then_statements() -> None:
    assert [f.key for f in _READ.answerable] == ["f", "critical:vf", "lbbb"]
