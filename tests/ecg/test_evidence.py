"""Every evidence line of every statement and critical rule satisfies its limit as it is printed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from benchmarks.evidence import ptb_xl, read_of
from center.reads import PreliminaryRead
from ecg import engine
from tests.makers.rhythms import MAKERS, make_rhythm
from tests.outside import outside_data
from tests.printed import contradicts, lines_of


def _broken(read: PreliminaryRead) -> Iterator[tuple[str, str, float | None, str]]:
    for key, line in lines_of(read):
        if contradicts(line):
            yield key, line.key, line.value, line.limit


@pytest.mark.parametrize("kind", sorted(MAKERS)[::3])
def test_no_line_of_a_made_rhythm_contradicts_its_limit(kind: str) -> None:
    recording, _ = make_rhythm(kind, 7)
    assert list(_broken(read_of(recording))) == []


def test_no_line_of_real_records_contradicts_its_limit() -> None:
    folder = outside_data("ecg")
    judged = 0
    for recording in ptb_xl(folder, every=110, most=40, first=3):
        read = read_of(recording)
        assert list(_broken(read)) == []
        judged += sum(line.value is not None and bool(line.limit) for _, line in lines_of(read))
    assert judged > 120


def test_a_limit_with_a_number_has_the_unit_of_its_value() -> None:
    for kind in sorted(MAKERS)[::9]:
        recording, _ = make_rhythm(kind, 8)
        for statement in engine.read(recording).statements:
            for seen in statement.evidence:
                assert not seen.passed.has_number or seen.passed.unit == seen.unit, (statement.key, seen)
