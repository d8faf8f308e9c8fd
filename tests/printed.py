"""Evidence as a reader sees it: the printed value against the printed limit, whatever decided."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, Protocol

from center.reads import EvidenceLine, PreliminaryRead
from ecg.marks import Evidence

_NUMBER: Final = r"(-?\d+(?:\.\d+)?(?:e[-+]?\d+)?)"
_ONE_SIDED: Final = re.compile(rf"(>=|<=|>|<) {_NUMBER}")
_RANGE: Final = re.compile(rf"{_NUMBER}(?:-| to ){_NUMBER}(?= |$)")


class Line(Protocol):
    """What both ``Evidence`` and ``EvidenceLine`` have."""

    @property
    def value(self) -> float | None: ...
    @property
    def limit(self) -> str: ...


def printed(seen: Evidence) -> EvidenceLine:
    return EvidenceLine(seen.key, value=seen.value, unit=seen.unit, limit=seen.limit, lead=seen.lead)


def contradicts(line: Line) -> bool:
    """Whether the printed value lies outside the printed limit; words and what has no value are not judged."""
    if line.value is None:
        return False
    if found := _RANGE.match(line.limit):
        low, high = sorted((float(found[1]), float(found[2])))
        return not low <= line.value <= high
    if not (found := _ONE_SIDED.match(line.limit)):
        return False
    limit = float(found[2])
    return not {
        ">=": line.value >= limit,
        "<=": line.value <= limit,
        ">": line.value > limit,
        "<": line.value < limit,
    }[found[1]]


def lines_of(read: PreliminaryRead) -> Iterator[tuple[str, EvidenceLine]]:
    """Every printed line with the statement or rule that it stands under."""
    for said in read.statements:
        yield from ((said.key, line) for line in said.evidence)
    for rule in read.critical.rules if read.critical else ():
        yield from ((f"rule {rule.rule}", line) for line in rule.evidence)
