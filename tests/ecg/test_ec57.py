"""The beat-by-beat scorer against an independent count and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from benchmarks import ec57

HZ = 360.0
WINDOW = 54

moments = st.lists(st.integers(0, 1500), max_size=14, unique=True).map(lambda t: np.array(sorted(t), dtype=np.int64))


def counted_otherwise(at: np.ndarray, found: np.ndarray) -> tuple[int, int]:
    """The most pairs and their least total distance, by the assignment problem's general solution."""
    if not at.size or not found.size:
        return 0, 0
    apart = np.abs(at[:, None] - found[None, :])
    cost = np.where(apart <= WINDOW, apart, 1_000_000)
    rows, columns = linear_sum_assignment(cost)
    kept = apart[rows, columns] <= WINDOW
    return int(kept.sum()), int(apart[rows, columns][kept].sum())


@settings(max_examples=150, deadline=None)
@given(moments, moments)
def test_pairs_are_as_many_and_as_close_as_an_independent_count_finds(at: np.ndarray, found: np.ndarray) -> None:
    mine, yours = ec57.pairing(at, found, WINDOW)
    assert (mine.size, int(np.abs(at[mine] - found[yours]).sum())) == counted_otherwise(at, found)
    assert np.unique(mine).size == mine.size and np.unique(yours).size == yours.size


@settings(max_examples=60, deadline=None)
@given(moments, moments)
def test_every_beat_is_counted_once(at: np.ndarray, found: np.ndarray) -> None:
    score = ec57.score(ec57.Reference(at, "N" * at.size), found, HZ, "V" * found.size)
    assert score.pairs + score.missed == at.size
    assert score.pairs + score.extra == found.size
    assert sum(score.confusion.values()) == score.pairs + score.missed + score.extra


def test_150_ms_is_within_and_one_sample_more_is_not() -> None:
    reference = ec57.Reference(np.array([1000]), "N")
    assert ec57.score(reference, np.array([1054]), HZ).pairs == 1
    assert ec57.score(reference, np.array([1055]), HZ).pairs == 0


def test_the_nearer_of_two_found_beats_is_the_match() -> None:
    score = ec57.score(ec57.Reference(np.array([1000]), "V"), np.array([960, 1010]), HZ, "NV")
    assert (score.pairs, score.missed, score.extra) == (1, 0, 1)
    assert score.confusion == {("V", "V"): 1, (ec57.MISSED, "N"): 1}


def test_the_first_five_minutes_can_be_left_out() -> None:
    at = np.array([1000, 200_000])
    late = ec57.score(ec57.Reference(at, "NN"), np.array([500, 200_000]), HZ, from_s=ec57.LEARNING_S)
    assert (late.pairs, late.missed, late.extra) == (1, 0, 0)
    whole = ec57.score(ec57.Reference(at, "NN"), np.array([500, 200_000]), HZ)
    assert (whole.pairs, whole.missed, whole.extra) == (1, 1, 1)


def test_fibrillation_counts_on_neither_side() -> None:
    reference = ec57.reference_of([100, 500, 600, 900, 1300], ["N", "[", "!", "]", "N"], 2000)
    assert reference.at.tolist() == [100, 1300]
    assert reference.left_out == ((500, 900),)
    score = ec57.score(reference, np.array([100, 480, 600, 700, 920, 1300]), HZ)
    assert (score.pairs, score.missed, score.extra) == (2, 0, 0)


def test_fibrillation_to_the_record_s_end_is_left_out_too() -> None:
    assert ec57.reference_of([100, 500], ["N", "["], 2000).left_out == ((500, 2000),)


def test_only_symbols_of_beats_are_beats() -> None:
    symbols = [*list("NLRejAaJSVEF/fQ"), "+", "~", "|", "x", '"', "!", "(", "p"]
    reference = ec57.reference_of(list(range(0, 1000 * len(symbols), 1000)), symbols, 10**6)
    assert reference.classes == "NNNNNSSSSVVFQQQ"


def test_sensitivity_and_predictivity_of_a_class_follow_the_table() -> None:
    at = np.arange(6) * 1000 + 500
    score = ec57.score(ec57.Reference(at, "VVVNFN"), np.append(at[1:], 9000), HZ, "VNVVNV")
    sensitivity, predictivity, beats = score.of_class("V", ignored="F")
    assert beats == 3
    assert sensitivity == pytest.approx(100 / 3)
    assert predictivity == pytest.approx(100 / 3)
    assert score.of_class("V")[1] == pytest.approx(25.0)


def test_records_add_up_beat_by_beat() -> None:
    one = ec57.score(ec57.Reference(np.array([100, 500]), "NN"), np.array([100]), HZ)
    other = ec57.score(ec57.Reference(np.array([100]), "N"), np.array([100, 500]), HZ)
    both = ec57.total([one, other])
    assert (both.pairs, both.missed, both.extra) == (2, 1, 1)
    assert both.error_rate == pytest.approx(200 / 3)
