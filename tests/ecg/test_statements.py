"""The vocabulary is whole and editable; what may stand together is by rule, and a refusal is explained."""

from __future__ import annotations

import csv
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecg.marks import Evidence, Statement
from ecg.statements import Kind, is_abnormal, of_scp, problems, term, validated, vocabulary
from tests.outside import outside_data

KEYS = tuple(vocabulary())
MODIFIERS = tuple(key for key, t in vocabulary().items() if t.kind is Kind.MODIFIER)


def said(*keys: str, certainty: float = 0.8) -> tuple[Statement, ...]:
    return tuple(Statement(key, certainty) for key in keys)


def keys(statements: tuple[Statement, ...]) -> list[str]:
    return [s.key for s in statements]


def codes(*statements: Statement) -> set[str]:
    return {p.code for p in problems(statements)}


# ------------------------------------------------------------------------------------------------ the vocabulary


def test_every_term_has_words_in_both_languages_and_a_place_in_the_order() -> None:
    for t in vocabulary().values():
        assert t.en.strip() and t.zh.strip(), t.key
        assert t.kind is Kind.MODIFIER or t.rank < 1000, f"{t.key} is in no order group of pairing.toml"


def test_the_whole_list_of_the_aha_is_there() -> None:
    count = {kind: {t.code for t in vocabulary().values() if t.kind is kind and t.code} for kind in Kind}
    primary = {c for kind in (Kind.OVERALL, Kind.TECHNICAL, Kind.PRIMARY) for c in count[kind] if c < 200}
    assert len(primary) == 117
    assert len(count[Kind.SECONDARY]) == 28
    assert count[Kind.COMPARISON] == set(range(400, 407))
    assert {500, 501, 502, 503} <= count[Kind.PRIMARY]


def test_the_given_rows_are_kept_as_they_were_given() -> None:
    with outside_data("ecg_statements.csv").open(encoding="utf-8-sig", newline="") as file:
        for row in csv.DictReader(file):
            ours = term(row["key"])
            assert (ours.aha, ours.scp, ours.snomed, ours.mdc) == (row["aha"], row["scp"], row["snomed"], row["mdc"])


def test_ptbxl_acronyms_lead_to_statements() -> None:
    assert keys(tuple(Statement(t.key, 1) for t in of_scp("2AVB"))) == ["avb2_mobitz1", "avb2_mobitz2", "avb_2to1"]
    assert of_scp("LAO")[0].key == "lae"
    assert of_scp("no such") == ()


def test_an_unknown_key_has_no_term() -> None:
    with pytest.raises(KeyError):
        term("no_such_statement")


# ------------------------------------------------------------------------------------------------ validated


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (("normal", "sinus_rhythm"), ["sinus_rhythm", "normal"]),
        (("normal", "rbbb"), ["rbbb", "abnormal"]),
        (("normal", "sinus_brady"), ["sinus_brady", "otherwise_normal"]),
        (("rbbb", "irbbb", "abnormal"), ["rbbb", "abnormal"]),
        (("lbbb", "lafb", "ivcd", "abnormal"), ["lbbb", "abnormal"]),
        (("lvh", "low_voltage", "abnormal"), ["lvh", "abnormal"]),
        (("lvh", "lv_high_voltage", "abnormal"), ["lvh", "abnormal"]),
        (("lvh", "rvh", "bvh", "abnormal"), ["bvh", "abnormal"]),
        (("avb3", "avb1", "abnormal"), ["avb3", "abnormal"]),
        (("mi_anterior", "q_waves", "abnormal"), ["mi_anterior", "abnormal"]),
        (("preexcitation", "lbbb", "mi_inferior", "abnormal"), ["preexcitation", "abnormal"]),
        (("vf", "sinus_rhythm", "st_elevation", "abnormal"), ["vf", "abnormal"]),
        (("uninterpretable", "sinus_rhythm", "normal", "poor_quality"), ["uninterpretable", "poor_quality"]),
        (("sinus_tachy", "sinus_rhythm"), ["sinus_tachy"]),
        (("no_significant_change", "rhythm_changed"), ["rhythm_changed"]),
    ],
)
def test_what_cannot_stand_together_is_settled(before: tuple[str, ...], after: list[str]) -> None:
    assert keys(validated(said(*before))) == after


def test_fibrillation_and_sinus_rhythm_exclude_each_other_and_the_surer_stays() -> None:
    assert keys(validated((Statement("afib", 0.6), Statement("sinus_rhythm", 0.7)))) == ["sinus_rhythm"]
    assert keys(validated((Statement("afib", 0.7), Statement("sinus_rhythm", 0.6)))) == ["afib"]


def test_a_secondary_statement_goes_without_its_primary() -> None:
    assert keys(validated(said("s_hyperk"))) == []
    assert keys(validated(said("s_hyperk", "t_abnormal"))) == ["s_hyperk", "t_abnormal"]
    assert "needs_primary" in codes(*said("s_hyperk"))


def test_a_secondary_goes_when_its_primary_was_dropped_by_another_rule() -> None:
    assert keys(validated(said("vf", "st_elevation", "s_pericarditis"))) == ["vf"]


def test_modifiers_stay_only_where_they_belong() -> None:
    infarct = Statement("mi_anterior", 0.8, (), ("mi_acute", "mi_old", "frequent"))
    assert validated((infarct,))[0].modifiers == ("mi_acute",)
    assert codes(infarct) == {"modifier", "modifiers_exclusive"}
    assert validated((Statement("pvc", 0.8, (), ("frequent", "mi_acute")),))[0].modifiers == ("frequent",)


def test_a_modifier_cannot_stand_alone() -> None:
    assert validated(said("mi_acute")) == ()
    assert codes(*said("mi_acute")) == {"bare_modifier"}


def test_doubles_become_one_with_all_their_evidence() -> None:
    one = Statement("st_elevation", 0.6, (Evidence("st_j", 0.2, "mV", lead="II"),), ("at_least_2_mm",))
    two = Statement("st_elevation", 0.9, (Evidence("st_j", 0.3, "mV", lead="III"),))
    (merged,) = validated((one, two))
    assert merged.certainty == 0.9
    assert {e.lead for e in merged.evidence} == {"II", "III"}
    assert merged.modifiers == ("at_least_2_mm",)
    assert "doubled" in codes(one, two)


def test_unknown_keys_are_dropped_and_named() -> None:
    assert keys(validated(said("no_such", "rbbb"))) == ["rbbb"]
    assert codes(*said("no_such")) == {"unknown"}


def test_an_abnormal_ecg_says_what_made_it_so() -> None:
    overall = validated(said("normal", "rbbb"))[-1]
    assert overall.key == "abnormal"
    assert [e.key for e in overall.evidence] == ["rbbb"]


def test_the_order_puts_the_lethal_first_and_the_overall_last() -> None:
    order = keys(validated(said("abnormal", "lad", "st_elevation", "sinus_rhythm", "vt", "limb_reversal", "pvc")))
    assert order == ["limb_reversal", "vt", "sinus_rhythm", "pvc", "st_elevation", "lad", "abnormal"]


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.builds(
            Statement,
            st.sampled_from(KEYS),
            st.sampled_from((0.3, 0.5, 0.8)),
            st.just(()),
            st.lists(st.sampled_from(MODIFIERS), max_size=3).map(tuple),
        ),
        max_size=8,
    ),
    st.randoms(use_true_random=False),
)
def test_validated_is_allowed_settled_and_blind_to_order(statements: list[Statement], random: object) -> None:
    once = validated(statements)
    assert problems(once) == ()
    assert validated(once) == once
    shuffled = list(statements)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert validated(shuffled) == once


# ------------------------------------------------------------------------------------------------ problems


def test_every_refusal_is_told_in_both_languages() -> None:
    statements = said(
        "normal", "abnormal", "rbbb", "lbbb", "irbbb", "s_brugada", "s_hypercalcemia", "mi_old", "xx", "rbbb"
    )
    found = problems((*statements, Statement("pvc", 0.5, (), ("mi_acute",))))
    assert {p.code for p in found} >= {"overall", "exclusive", "implied", "needs_primary", "bare_modifier", "unknown"}
    for problem in found:
        assert problem.zh and problem.en and problem.keys
        assert any("一" <= c <= "鿿" for c in problem.zh)
        assert not any("一" <= c <= "鿿" for c in problem.en)


def test_what_may_stand_together_has_no_problems() -> None:
    assert (
        problems(said("sinus_rhythm", "rbbb", "lafb", "lad", "avb1", "st_depression", "s_ischemia", "abnormal")) == ()
    )
    assert problems(said("afib", "pvc", "lvh", "long_qt", "abnormal")) == ()
    assert problems(said("sinus_rhythm", "normal")) == ()


def test_normal_with_anything_abnormal_is_refused() -> None:
    for key in KEYS:
        if is_abnormal(key):
            assert "overall" in codes(*said("normal", key)), key


def test_no_pair_of_statements_crashes_the_rules() -> None:
    for a, b in itertools.islice(itertools.combinations(KEYS, 2), 0, None, 23):
        assert problems(validated(said(a, b))) == ()
