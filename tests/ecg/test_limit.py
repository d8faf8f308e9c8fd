"""A limit compares, prints and cites; what is printed beside it is what it decided on."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecg.limit import Limit, Sign, cited, in_words
from ecg.marks import Evidence
from tests.printed import contradicts, printed

_NUMBERS = st.floats(-1000, 1000)
_SIGNS = st.sampled_from([">=", "<=", ">", "<"])
_UNITS = st.sampled_from(["ms", "mV", "/min", "1", "%", "deg", "s"])


@given(_SIGNS, _NUMBERS, _UNITS, st.none() | st.integers(0, 3), st.floats(-5, 5) | _NUMBERS)
def test_what_held_holds_as_printed_and_what_failed_fails(
    sign: Sign, number: float, unit: str, decimals: int | None, beside: float
) -> None:
    for value in (beside, number + beside, number + beside / 1000):
        limit = Limit(sign, number, unit, "x", decimals=decimals)
        line = printed(Evidence("k", value, unit, limit))
        assert contradicts(line) is not limit.holds(value)


@given(_NUMBERS, _NUMBERS, _UNITS, _NUMBERS)
def test_a_range_holds_from_its_lower_to_its_upper_end(one: float, other: float, unit: str, value: float) -> None:
    limit = Limit("in", min(one, other), unit, upper=max(one, other))
    assert contradicts(printed(Evidence("k", value, unit, limit))) is not limit.holds(value)
    assert limit.holds(limit.number) and limit.holds(limit.upper)


@pytest.mark.parametrize(
    ("limit", "text"),
    [
        (Limit(">=", 120, "ms", "AHA"), ">= 120 ms"),
        (Limit("<=", -0.05, "mV", words="at J and J+60"), "<= -0.05 mV at J and J+60"),
        (Limit(">", 0.5, "1"), "> 0.5"),
        (Limit("in", 60, "/min", upper=100), "60-100 /min"),
        (Limit("in", -90, "deg", upper=-45), "-90 to -45 deg"),
        (in_words("qR", "AHA"), "qR"),
        (cited("AHA"), ""),
    ],
)
def test_a_limit_is_printed_with_its_unit(limit: Limit, text: str) -> None:
    assert Evidence("k", 1.0, limit.unit, limit).limit == text
    assert Evidence("k", 1.0, limit.unit, limit).source == limit.source


def test_a_value_is_told_as_precisely_as_its_limit_needs() -> None:
    assert Evidence("k", 84.6, "ms", Limit("<", 120, "ms")).value == 85
    assert Evidence("k", 120.4, "ms", Limit(">", 120, "ms")).value == 120.4
    assert Evidence("k", 199.6, "/min", Limit(">=", 200, "/min", decimals=0)).value == 200
    assert Evidence("k", float("nan"), "ms", Limit(">", 120, "ms")).value is None


def test_nothing_passes_with_a_value_that_is_not_known() -> None:
    for limit in (Limit(">=", 1), Limit("<=", 1), Limit("in", 0, upper=2)):
        assert not limit.holds(float("nan"))


def test_an_array_is_judged_as_its_values_are() -> None:
    limit = Limit(">=", 0.3, "mV", decimals=1)
    values = np.array([0.24, 0.26, 0.3, np.nan])
    assert (
        limit.each(values).tolist() == [limit.holds(value) for value in values.tolist()] == [False, True, True, False]
    )


def test_a_limit_that_decided_nothing_is_not_printed_beside_a_value() -> None:
    limit = Limit(">=", 0.5, "1", "ours")
    assert Evidence("k", 0.0, "1", limit.if_held(0.0)).limit == ""
    assert Evidence("k", 0.7, "1", limit.if_held(0.7)).limit == ">= 0.5"
    assert Evidence("k", 0.0, "1", limit.if_held(0.0)).source == "ours"
