"""What two readings of one patient differ in, from keys and numbers alone."""

from __future__ import annotations

import pytest

from ecg.comparison import Kept, compare
from ecg.marks import Measurements, Quantity, Statement
from ecg.statements import Kind, term


def kept(*keys: str, st: dict[str, float] | None = None, t: dict[str, float] | None = None, **values: float) -> Kept:
    leads: dict[str, dict[str, float]] = {}
    for lead, mv in (st or {}).items():
        leads.setdefault(lead, {})["st_j"] = mv
    for lead, mv in (t or {}).items():
        leads.setdefault(lead, {}).update(t_amplitude=max(mv, 0.0), t_negative=max(-mv, 0.0))
    return Kept(frozenset(keys), values, leads)


def said(now: Kept, before: Kept) -> list[str]:
    return [s.key for s in compare(now, before)]


def test_the_same_twice_has_not_changed() -> None:
    one = kept("sinus_rhythm", "normal", heart_rate=70, qtc_fridericia=410, st={"II": 0.02, "III": 0.0})
    assert said(one, one) == ["no_significant_change"]


@pytest.mark.parametrize(("now", "before", "changed"), [(481, 420, True), (480, 420, False), (360, 421, True)])
def test_qtc_changes_by_more_than_60_ms(now: float, before: float, changed: bool) -> None:
    a, b = kept("sinus_rhythm", qtc_fridericia=now), kept("sinus_rhythm", qtc_fridericia=before)
    assert ("repolarization_changed" in said(a, b)) is changed


@pytest.mark.parametrize(
    ("now", "before", "changed"),
    [(101, 80, True), (100, 79, False), (101, 81, False), (49, 70, True), (50, 80, False), (90, 60, False)],
)
def test_a_rate_changes_by_more_than_20_and_lies_outside_50_to_100(now: float, before: float, changed: bool) -> None:
    a, b = kept("sinus_rhythm", heart_rate=now), kept("sinus_rhythm", heart_rate=before)
    assert ("rhythm_changed" in said(a, b)) is changed


def test_another_rhythm_is_a_change_and_names_both() -> None:
    (changed,) = compare(kept("afib", "abnormal"), kept("sinus_rhythm", "normal"))
    assert changed.key == "rhythm_changed"
    assert {(e.key, e.limit) for e in changed.evidence} == {("afib", "new"), ("sinus_rhythm", "no longer there")}


def test_sinus_rhythm_and_sinus_bradycardia_are_one_rhythm() -> None:
    assert said(kept("sinus_brady", heart_rate=55), kept("sinus_rhythm", heart_rate=65)) == ["interpretation_changed"]


def test_a_new_block_is_a_conduction_change_and_says_what_it_was() -> None:
    (changed,) = compare(kept("sinus_rhythm", "lbbb"), kept("sinus_rhythm", "ilbbb"))
    assert changed.key == "conduction_new"
    assert changed.evidence[0].limit == "new, was ilbbb"


def test_a_block_that_went_is_no_new_block() -> None:
    assert said(kept("sinus_rhythm"), kept("sinus_rhythm", "rbbb")) == ["interpretation_changed"]


def test_a_new_infarct_is_new_ischaemia() -> None:
    assert said(kept("mi_inferior", "mi_acute"), kept("mi_inferior", "mi_old")) == ["ischemia_new_or_worse"]


@pytest.mark.parametrize(("now", "is_worse"), [(0.12, True), (0.10, False)])
def test_st_that_moves_a_small_square_in_two_neighbours_is_worse(now: float, is_worse: bool) -> None:
    before = kept("sinus_rhythm", st={"II": 0.01, "III": 0.01, "aVF": 0.02})
    after = kept("sinus_rhythm", st={"II": now, "III": now, "aVF": 0.02})
    assert ("ischemia_new_or_worse" in said(after, before)) is is_worse


def test_st_that_comes_back_is_a_repolarization_change() -> None:
    before = kept("sinus_rhythm", st={"II": 0.3, "aVF": 0.3})
    assert said(kept("sinus_rhythm", st={"II": 0.05, "aVF": 0.05}), before) == ["repolarization_changed"]


def test_st_of_one_lead_or_of_leads_far_apart_is_not_taken() -> None:
    before = kept("sinus_rhythm", st={"III": 0.0, "V4": 0.0})
    assert said(kept("sinus_rhythm", st={"III": 0.3, "V4": 0.3}), before) == ["no_significant_change"]


def test_st_is_not_compared_through_a_bundle_branch_block() -> None:
    before = kept("sinus_rhythm", st={"V1": 0.0, "V2": 0.0})
    now = kept("sinus_rhythm", "lbbb", st={"V1": 0.3, "V2": 0.3})
    assert said(now, before) == ["conduction_new"]


def test_t_waves_that_turned_over_are_a_repolarization_change() -> None:
    before = kept("sinus_rhythm", t={"V4": 0.3, "V5": 0.25})
    assert said(kept("sinus_rhythm", t={"V4": -0.2, "V5": -0.1}), before) == ["repolarization_changed"]
    assert said(kept("sinus_rhythm", t={"V4": -0.09, "V5": -0.09}), before) == ["no_significant_change"]


def test_other_words_alone_are_a_changed_interpretation() -> None:
    assert said(kept("sinus_rhythm", "lad"), kept("sinus_rhythm")) == ["interpretation_changed"]


def test_nothing_is_said_where_one_of_them_cannot_be_read() -> None:
    assert said(kept("uninterpretable"), kept("sinus_rhythm")) == []
    assert said(kept("sinus_rhythm"), kept("uninterpretable")) == []


def test_missing_numbers_change_nothing() -> None:
    assert said(kept("sinus_rhythm"), kept("sinus_rhythm", heart_rate=120, qtc_fridericia=500)) == [
        "no_significant_change"
    ]


def test_a_reading_leaves_behind_what_the_next_one_needs() -> None:
    measured = Measurements({"heart_rate": Quantity(70, "/min", 1)}, {"II": {"st_j": Quantity(0.1, "mV", 1)}})
    left = Kept.of([Statement("mi_inferior", 0.8, (), ("mi_acute",))], measured)
    assert left == Kept(frozenset({"mi_inferior", "mi_acute"}), {"heart_rate": 70}, {"II": {"st_j": 0.1}})


def test_every_comparison_is_of_the_aha_s_table() -> None:
    now = kept("afib", "lbbb", "mi_acute", "mi_anterior", heart_rate=130, qtc_fridericia=500)
    found = compare(now, kept("sinus_rhythm", heart_rate=60, qtc_fridericia=400))
    assert [term(s.key).aha for s in found] == ["401", "402", "403", "404"]
    assert all(term(s.key).kind is Kind.COMPARISON for s in found)
