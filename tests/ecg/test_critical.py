"""Every rule of every profile has a positive, a negative and both boundary cases; a strip too short goes up, not down."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest

from ecg.critical import PROFILES, Critical, Tier, condition_of, grade, rules_of
from ecg.marks import Evidence, Measurements, Quantity, Rhythm, Statement
from ecg.statements import vocabulary

RED, ORANGE, YELLOW = Tier.RED, Tier.ORANGE, Tier.YELLOW


@dataclass(frozen=True, slots=True)
class Seen:
    """A reading: statements with their certainty (``+`` parts modifiers off), facts, measurements, ST by lead."""

    said: dict[str, float] = field(default_factory=dict[str, float])
    facts: dict[str, float] = field(default_factory=dict[str, float])
    values: dict[str, float] = field(default_factory=dict[str, float])
    st_mv: dict[str, float] = field(default_factory=dict[str, float])
    seconds: float = 10.0
    age_years: float | None = None
    sure: float = 0.9

    def graded(self, profile: str) -> Critical:
        statements = [
            Statement(key.split("+")[0], certainty, (), tuple(key.split("+")[1:]))
            for key, certainty in self.said.items()
        ]
        measured = Measurements(
            {key: Quantity(value, "", self.sure) for key, value in self.values.items()},
            {lead: {"st_j": Quantity(mv, "mV", self.sure)} for lead, mv in self.st_mv.items()},
        )
        rhythm = Rhythm((), np.zeros(0, dtype=bool), None, None, self.facts)
        return grade(statements, measured, rhythm, seconds=self.seconds, profile=profile, age_years=self.age_years)

    def tier_by(self, profile: str, rule: str) -> Tier | None:
        return next((fired.tier for fired in self.graded(profile).rules if fired.id == rule), None)


@dataclass(frozen=True, slots=True)
class Cases:
    """What the rule says of each; inside and outside lie one step apart at the limit."""

    positive: tuple[Seen, Tier]
    negative: Seen
    inside: tuple[Seen, Tier]
    outside: tuple[Seen, Tier | None]


def by_statement(key: str, tier: Tier, limit: float, below: Tier | None, other: str = "rbbb") -> Cases:
    """A rule that rests on a statement alone: its limit is the certainty."""
    return Cases(
        positive=(Seen({key: 0.9}), tier),
        negative=Seen({other: 0.9}),
        inside=(Seen({key: limit}), tier),
        outside=(Seen({key: limit - 0.01}), below),
    )


def tachycardia(key: str, rate: float, **other: float) -> Seen:
    return Seen({key: 0.9}, dict(other), {"heart_rate": rate})


def elevated(mv: float, leads: tuple[str, ...], **said: float) -> Seen:
    return Seen({"st_elevation": 0.8} | said, st_mv=dict.fromkeys(leads, mv))


NATIONAL: dict[str, Cases] = {
    "acute_mi": by_statement("mi_anterior+mi_acute", RED, 0.5, ORANGE, "mi_anterior+mi_old"),
    "acute_ischemia": by_statement("s_ischemia_acute", RED, 0.5, ORANGE, "s_ischemia"),
    "st_elevation_explained": Cases(
        positive=(Seen({"st_elevation": 0.9, "s_aneurysm": 0.6}), ORANGE),
        negative=Seen({"st_elevation": 0.9, "s_aneurysm": 0.6, "mi_anterior+mi_acute": 0.6}),
        inside=(Seen({"st_elevation": 0.9, "mi_inferior+mi_old": 0.25}), ORANGE),
        outside=(Seen({"st_elevation": 0.9, "mi_inferior+mi_old": 0.24}), YELLOW),
    ),
    "ischemia_new": by_statement("ischemia_new_or_worse", RED, 0.5, ORANGE, "no_significant_change"),
    "vf": by_statement("vf", RED, 0.35, ORANGE, "artifact"),
    "vt_poly": by_statement("torsades", RED, 0.4, ORANGE, "pvc"),
    "vt_sustained": Cases(
        positive=(tachycardia("vt", 180, vt_rate=180, vt_longest_s=45, fills_strip=0), RED),
        negative=tachycardia("svt", 180, vt_rate=0, vt_longest_s=0),
        inside=(tachycardia("vt", 90, vt_rate=150, vt_longest_s=30), RED),
        outside=(tachycardia("vt", 90, vt_rate=150, vt_longest_s=29.99), None),
    ),
    "vt_shorter": by_statement("vt", ORANGE, 0.25, YELLOW, "svt"),
    "fibrillation_likely": Cases(
        positive=(Seen({"afib": 0.9}, {"fibrillation_likely": 1}), ORANGE),
        negative=Seen({"afib": 0.9}),
        inside=(Seen({}, {"fibrillation_likely": 1}), ORANGE),
        outside=(Seen({}, {"fibrillation_likely": 0}), None),
    ),
    "svt_fast": Cases(
        positive=(tachycardia("svt", 230), RED),
        negative=tachycardia("sinus_tachy", 210),
        inside=(tachycardia("svt", 200), RED),
        outside=(tachycardia("svt", 199), None),
    ),
    "svt_slower": Cases(
        positive=(tachycardia("svt", 180), ORANGE),
        negative=tachycardia("sinus_tachy", 160),
        inside=(tachycardia("afib", 150), ORANGE),
        outside=(tachycardia("afib", 149), None),
    ),
    "af_preexcited": Cases(
        positive=(Seen({"afib": 0.9, "preexcitation": 0.8}, {"af_shortest_rr_ms": 220}), RED),
        negative=Seen({"afib": 0.9}, {"af_shortest_rr_ms": 220}),
        inside=(Seen({"afib": 0.9, "preexcitation": 0.8}, {"af_shortest_rr_ms": 250}), RED),
        outside=(Seen({"afib": 0.9, "preexcitation": 0.8}, {"af_shortest_rr_ms": 252}), None),
    ),
    "bradycardia": Cases(
        positive=(Seen({"avb3": 0.9}, {}, {"heart_rate": 28}), RED),
        negative=Seen({"avb3": 0.9}, {}, {"heart_rate": 60}),
        inside=(Seen({"sinus_brady": 0.9}, {}, {"heart_rate": 35}), RED),
        outside=(Seen({"sinus_brady": 0.9}, {}, {"heart_rate": 36}), None),
    ),
    "av_block": by_statement("avb3", ORANGE, 0.25, YELLOW, "avb1"),
    "pause": Cases(
        positive=(Seen({}, {"longest_pause_s": 6.2}), RED),
        negative=Seen({}, {"longest_pause_s": 1.2, "edge_pause_s": 0.8}),
        inside=(Seen({}, {"longest_pause_s": 3.0}), ORANGE),
        outside=(Seen({}, {"longest_pause_s": 2.99}), None),
    ),
    "qtc_550": Cases(
        positive=(Seen({"long_qt": 0.9}, {}, {"qtc_fridericia": 610, "heart_rate": 60}), RED),
        negative=Seen({}, {}, {"qtc_fridericia": 420, "heart_rate": 60}),
        inside=(Seen({"long_qt": 0.9}, {}, {"qtc_fridericia": 550, "heart_rate": 60}), RED),
        outside=(Seen({"long_qt": 0.9}, {}, {"qtc_fridericia": 549, "heart_rate": 60}), None),
    ),
    "t_alternans": Cases(
        positive=(Seen({"alternans": 0.8}, {"t_alternans": 1}), RED),
        negative=Seen({}, {"t_alternans": 0}),
        inside=(Seen({}, {"t_alternans": 1}), RED),
        outside=(Seen({"alternans": 0.8}, {"t_alternans": 0}), ORANGE),
    ),
    "r_on_t": Cases(
        positive=(Seen({"pvc": 0.9}, {"r_on_t": 3, "r_on_t_sure": 0.9}), RED),
        negative=Seen({"pac": 0.9}, {"r_on_t": 0}),
        inside=(Seen({"pvc": 0.5}, {"r_on_t": 1, "r_on_t_sure": 0.6}), RED),
        outside=(Seen({"pvc": 0.9}, {"r_on_t": 1, "r_on_t_sure": 0.59}), ORANGE),
    ),
    "hyperkalemia": by_statement("s_hyperk", ORANGE, 0.25, YELLOW),
    "hypokalemia": by_statement("s_hypok", ORANGE, 0.25, YELLOW),
    "pulmonary_embolism": by_statement("s_pe", ORANGE, 0.25, YELLOW),
    "brugada": by_statement("s_brugada", ORANGE, 0.25, YELLOW),
    "pacing_failure": by_statement("pace_capture_v", ORANGE, 0.25, YELLOW, "paced_v"),
    "qtc_500": Cases(
        positive=(Seen({}, {}, {"qtc_fridericia": 520}), YELLOW),
        negative=Seen({}, {}, {"qtc_fridericia": 400}),
        inside=(Seen({}, {}, {"qtc_fridericia": 500}), YELLOW),
        outside=(Seen({}, {}, {"qtc_fridericia": 499}), None),
    ),
    "unreadable": by_statement("uninterpretable", ORANGE, 0.25, YELLOW),
    "rhythm_unproved": Cases(
        positive=(Seen({"rhythm_uncertain": 0.5}, {"rhythm_unproved": 1}), YELLOW),
        negative=Seen({"sinus_rhythm": 0.9}, {"rhythm_unproved": 0}),
        inside=(Seen({"sinus_rhythm": 0.9}, {"rhythm_unproved": 1}), YELLOW),
        outside=(Seen({"sinus_rhythm": 0.9}), None),
    ),
    "abnormal": by_statement("abnormal", YELLOW, 0.01, YELLOW, "normal"),
}

_ST = Cases(
    positive=(elevated(0.35, ("V1", "V2", "V3")), RED),
    negative=elevated(0.05, ("II", "III", "aVF")),
    inside=(elevated(0.10, ("II", "aVF")), RED),
    outside=(elevated(0.09, ("II", "aVF")), None),
)
_FIRST: dict[str, Cases] = {
    "acute_st_elevation": _ST,
    "bradycardia": Cases(
        positive=(Seen({}, {"mean_rate": 30}), RED),
        negative=Seen({}, {"mean_rate": 60}),
        inside=(Seen({}, {"mean_rate": 34}), RED),
        outside=(Seen({}, {"mean_rate": 35}), None),
    ),
    "svt_fast": Cases(
        positive=(tachycardia("svt", 240), RED),
        negative=tachycardia("sinus_tachy", 235),
        inside=(tachycardia("svt", 230), RED),
        outside=(tachycardia("svt", 229), None),
    ),
}
_REVISED: dict[str, Cases] = {
    "acute_st_elevation": _ST,
    "qtc_550": Cases(
        positive=(Seen({"pvc": 0.9}, {"r_on_t": 2}, {"qtc_fridericia": 600}), RED),
        negative=Seen({"pvc": 0.9}, {"r_on_t": 2}, {"qtc_fridericia": 430}),
        inside=(Seen({"pvc": 0.9}, {"r_on_t": 1}, {"qtc_fridericia": 550}), RED),
        outside=(Seen({"pvc": 0.9}, {"r_on_t": 0}, {"qtc_fridericia": 550}), ORANGE),
    ),
}
_SHANXI: dict[str, Cases] = {
    "acute_st_elevation": _ST,
    "svt_fast": Cases(
        positive=(tachycardia("svt", 200, svt_longest_s=40), RED),
        negative=tachycardia("sinus_tachy", 185),
        inside=(Seen({"svt": 0.9}, {"svt_longest_s": 30}, {"heart_rate": 180}, seconds=60), RED),
        outside=(Seen({"svt": 0.9}, {"svt_longest_s": 30}, {"heart_rate": 179}, seconds=60), None),
    ),
    "major_positive_rhythm": Cases(
        positive=(Seen({"avb2_mobitz2": 0.9}), ORANGE),
        negative=Seen({"sinus_rhythm": 0.9}, {"longest_pause_s": 1.0}),
        inside=(Seen({"afib": 0.9}, {}, {"heart_rate": 130}), ORANGE),
        outside=(Seen({"afib": 0.9}, {}, {"heart_rate": 129}), None),
    ),
    "major_positive_form": Cases(
        positive=(Seen({"lbbb": 0.9}), ORANGE),
        negative=Seen({"rbbb": 0.9}),
        inside=(Seen({}, {}, {"qtc_fridericia": 500}), ORANGE),
        outside=(Seen({}, {}, {"qtc_fridericia": 499}), None),
    ),
}
CASES: dict[str, dict[str, Cases]] = {
    "national_2017": NATIONAL,
    "zhejiang": NATIONAL | _REVISED,
    "zhejiang:revised": NATIONAL | _REVISED,
    "zhejiang:first": NATIONAL | _FIRST,
    "shanxi": NATIONAL | _SHANXI,
}
EVERY = [(profile, rule.id) for profile in PROFILES for rule in rules_of(profile).rules]


def test_every_rule_of_every_profile_has_its_four_cases() -> None:
    assert set(CASES) == set(PROFILES)
    for profile in PROFILES:
        assert {rule.id for rule in rules_of(profile).rules} == set(CASES[profile]), profile


@pytest.mark.parametrize(("profile", "rule"), EVERY)
def test_the_four_cases_of_a_rule(profile: str, rule: str) -> None:
    cases = CASES[profile][rule]
    assert cases.positive[0].tier_by(profile, rule) is cases.positive[1]
    assert cases.negative.tier_by(profile, rule) is None
    assert cases.inside[0].tier_by(profile, rule) is cases.inside[1]
    assert cases.outside[0].tier_by(profile, rule) is cases.outside[1]


# ------------------------------------------------------------------------------------------------ the rules as data


@pytest.mark.parametrize("profile", PROFILES)
def test_every_rule_names_its_source_standing_and_version_and_speaks_both_languages(profile: str) -> None:
    whole = rules_of(profile)
    assert len(whole.digest) == 64
    assert len({rule.id for rule in whole.rules}) == len(whole.rules)
    for rule in whole.rules:
        assert rule.zh and rule.en and rule.source and rule.version
        assert rule.standing in ("s", "p", "ours")
        assert all(bool(way.note_zh) is bool(way.note_en) for way in rule.ways)


@pytest.mark.parametrize("profile", PROFILES)
def test_every_statement_that_a_rule_asks_for_is_in_the_vocabulary(profile: str) -> None:
    for rule in rules_of(profile).rules:
        for way in rule.ways:
            for condition in way.all:
                if not condition.limit.has_number:
                    assert set(condition.names) <= vocabulary().keys(), condition.text


def test_another_rule_has_another_digest_and_the_same_rules_the_same() -> None:
    digests = {profile: rules_of(profile).digest for profile in PROFILES}
    assert digests["zhejiang"] == digests["zhejiang:revised"]
    assert len(set(digests.values())) == 4


def test_an_unknown_profile_is_refused() -> None:
    with pytest.raises(KeyError):
        Seen().graded("atlantis")


@pytest.mark.parametrize(
    "text", ["heart_rate > fast", "statement", "lead st_j >= 0.1 mV", "rm -rf", "heart_rate >= 3 mmHg"]
)
def test_what_is_not_a_condition_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a condition"):
        condition_of(text)


# ------------------------------------------------------------------------------------------------ single rules


def test_nothing_found_is_green() -> None:
    graded = Seen({"sinus_rhythm": 0.9, "normal": 0.9}, {"longest_pause_s": 0.9}, {"heart_rate": 70}).graded(
        "national_2017"
    )
    assert graded.tier is Tier.GREEN
    assert graded.rules == ()


def test_the_tier_is_that_of_the_most_urgent_rule() -> None:
    graded = Seen({"abnormal": 0.9, "vf": 0.9, "s_pe": 0.5}).graded("national_2017")
    assert [fired.tier for fired in graded.rules] == [RED, ORANGE, YELLOW]
    assert graded.tier is RED


def test_a_tachycardia_that_fills_a_short_strip_is_red_and_says_that_it_cannot_be_proved() -> None:
    seen = tachycardia("vt", 170, vt_rate=170, vt_longest_s=9.4, fills_strip=1)
    fired = next(f for f in seen.graded("national_2017").rules if f.id == "vt_sustained")
    assert fired.tier is RED
    assert "无法证实" in fired.zh and "too short to prove" in fired.en


def test_a_long_strip_in_which_it_ends_is_not_taken_as_sustained() -> None:
    seen = Seen({"vt": 0.9}, {"vt_rate": 170, "vt_longest_s": 12, "fills_strip": 0}, {"heart_rate": 90}, seconds=60)
    assert seen.tier_by("national_2017", "vt_sustained") is None
    assert seen.tier_by("national_2017", "vt_shorter") is ORANGE


@pytest.mark.parametrize(
    ("start_s", "end_s", "tier"), [(5.0, 9.7, RED), (0.2, 3.3, RED), (5.0, 9.3, None), (6.9, 9.7, None)]
)
def test_a_run_that_the_edge_cuts_off_is_taken_as_sustained(start_s: float, end_s: float, tier: Tier | None) -> None:
    run = Statement("vt_nonsustained", 0.9, (Evidence("run_beats", 9, start_s=start_s, end_s=end_s),))
    rhythm = Rhythm((), np.zeros(0, dtype=bool), None, None, {"vt_rate": 160, "vt_longest_s": end_s - start_s})
    graded = grade((run,), Measurements({}, {}), rhythm, seconds=10.0)
    assert next((f.tier for f in graded.rules if f.id == "vt_sustained"), None) is tier


def test_a_slow_ventricular_tachycardia_is_not_red() -> None:
    assert tachycardia("vt", 149, vt_rate=149, vt_longest_s=40).tier_by("national_2017", "vt_sustained") is None


def test_a_pause_at_the_edge_goes_up() -> None:
    assert Seen({}, {"longest_pause_s": 0.9, "edge_pause_s": 3.0}).tier_by("national_2017", "pause") is RED
    assert Seen({}, {"longest_pause_s": 0.9, "edge_pause_s": 2.99}).tier_by("national_2017", "pause") is None


def test_a_pause_of_five_seconds_needs_no_symptoms() -> None:
    assert Seen({}, {"longest_pause_s": 5.0}).tier_by("national_2017", "pause") is RED
    assert Seen({}, {"longest_pause_s": 4.99}).tier_by("national_2017", "pause") is ORANGE


@pytest.mark.parametrize("key", ["afib", "lbbb", "paced_v"])
def test_a_long_qtc_that_cannot_be_relied_on_is_orange(key: str) -> None:
    assert Seen({key: 0.9}, {}, {"qtc_fridericia": 570, "heart_rate": 80}).tier_by("national_2017", "qtc_550") is ORANGE


def test_a_long_qtc_above_120_is_orange() -> None:
    assert Seen({}, {}, {"qtc_fridericia": 570, "heart_rate": 121}).tier_by("national_2017", "qtc_550") is ORANGE
    assert Seen({}, {}, {"qtc_fridericia": 570, "heart_rate": 120}).tier_by("national_2017", "qtc_550") is RED


@pytest.mark.parametrize(("ms", "tier"), [(248, RED), (250, RED), (252, None)])
def test_preexcited_fibrillation_at_its_limit(ms: float, tier: Tier | None) -> None:
    seen = Seen({"afib": 0.9, "preexcitation": 0.8}, {"af_shortest_rr_ms": ms})
    assert seen.tier_by("national_2017", "af_preexcited") is tier


def test_an_infant_s_tachycardia_is_left_to_a_person() -> None:
    fast = Seen({"svt": 0.9}, {}, {"heart_rate": 210}, age_years=0.5)
    assert fast.tier_by("national_2017", "svt_fast") is ORANGE
    assert Seen({"svt": 0.9}, {}, {"heart_rate": 210}, age_years=1.0).tier_by("national_2017", "svt_fast") is RED


def test_values_are_compared_as_they_are_told() -> None:
    assert tachycardia("svt", 199.5).tier_by("national_2017", "svt_fast") is RED
    assert tachycardia("svt", 199.4).tier_by("national_2017", "svt_fast") is None
    assert Seen({}, {"longest_pause_s": 2.996}).tier_by("national_2017", "pause") is ORANGE


@pytest.mark.parametrize("key", ["early_repol", "s_pericarditis", "s_aneurysm", "lbbb", "lvh"])
@pytest.mark.parametrize("profile", ["zhejiang", "shanxi"])
def test_an_elevation_with_another_explanation_is_orange(profile: str, key: str) -> None:
    assert elevated(0.2, ("II", "aVF", "III"), **{key: 0.7}).tier_by(profile, "acute_st_elevation") is ORANGE


@pytest.mark.parametrize(("mv", "tier"), [(0.29, None), (0.30, RED)])
@pytest.mark.parametrize("profile", ["zhejiang", "shanxi"])
def test_the_front_leads_have_a_higher_limit(profile: str, mv: float, tier: Tier | None) -> None:
    assert elevated(mv, ("V1", "V2")).tier_by(profile, "acute_st_elevation") is tier


def test_one_lead_alone_is_no_elevation() -> None:
    assert elevated(0.4, ("III",)).tier_by("zhejiang", "acute_st_elevation") is None
    assert elevated(0.4, ("III", "V4")).tier_by("zhejiang", "acute_st_elevation") is None


def test_a_doubtful_red_is_orange_and_says_so_but_never_below_yellow() -> None:
    graded = Seen({"s_ischemia_acute": 0.3}).graded("national_2017")
    assert graded.tier is ORANGE
    assert "Of low certainty" in graded.rules[0].en and "把握较低" in graded.rules[0].zh
    assert Seen({"s_hyperk": 0.01}).graded("national_2017").tier is YELLOW


def test_a_doubtful_lethal_rhythm_stays_red() -> None:
    assert Seen({"vf": 0.4}).graded("national_2017").tier is RED


def test_a_measurement_that_is_not_sure_lowers_the_tier() -> None:
    assert Seen({}, {}, {"heart_rate": 30}, sure=0.3).tier_by("national_2017", "bradycardia") is ORANGE


def test_a_recording_that_cannot_be_read_is_never_green() -> None:
    for key in ("uninterpretable", "poor_quality", "limb_reversal"):
        graded = Seen({key: 0.9}).graded("national_2017")
        assert graded.tier is (ORANGE if key == "uninterpretable" else YELLOW)
        assert "no heartbeat" in graded.rules[0].en


def test_a_day_s_slowest_minute_is_not_its_mean() -> None:
    night = Seen({}, {"min_rate_over_6s": 34}, {"heart_rate": 66}, seconds=86400)
    assert night.tier_by("national_2017", "bradycardia") is ORANGE
    assert Seen({}, {"min_rate_over_6s": 34}, {"heart_rate": 66}).tier_by("national_2017", "bradycardia") is None


def test_a_missing_number_fires_nothing() -> None:
    assert Seen({"svt": 0.9}).tier_by("national_2017", "svt_fast") is None
    assert Seen({"vt": 0.9}, {"vt_rate": float("nan")}).tier_by("national_2017", "vt_sustained") is None


def test_the_evidence_names_value_and_limit() -> None:
    fired = Seen({"svt": 0.9}, {}, {"heart_rate": 212.0}).graded("national_2017").rules[0]
    assert [(e.key, e.value, e.limit) for e in fired.evidence] == [
        ("svt", None, "stated"),
        ("heart_rate", 212.0, ">= 200 /min"),
    ]


def test_statements_in_any_order_grade_alike() -> None:
    one = Seen({"vf": 0.9, "abnormal": 0.9, "s_pe": 0.5}).graded("shanxi")
    two = Seen({"s_pe": 0.5, "abnormal": 0.9, "vf": 0.9}).graded("shanxi")
    assert one == two
