"""Beat-by-beat scoring by the rules of ANSI/AAMI EC57 (4.2, 4.3): found beats against a record's reference.

A reference beat and a found beat match when they lie within 150 ms; each is used once.  Of all such pairings the one
with the most pairs counts, and of those the one whose pairs lie closest.  Spans of ventricular fibrillation are left
out of both sides.  Two rules: the whole record, or from the sixth minute on (EC57's learning period).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt

Index = npt.NDArray[np.int64]

WINDOW_S: Final = 0.150
"""EC57 4.3.2."""
LEARNING_S: Final = 300.0
"""EC57 4.3.1: the first five minutes."""
CLASSES: Final = "NSVFQ"
"""EC57 4.3.3: normal (bundle branch block too), supraventricular, ventricular, fusion, paced or not classifiable."""
MISSED: Final = "-"
"""Row or column of the confusion for beats without a partner."""

CLASS_OF: Final = {
    **dict.fromkeys("NLReBjn", "N"),
    **dict.fromkeys("AaJS", "S"),
    **dict.fromkeys("VEr", "V"),
    "F": "F",
    **dict.fromkeys("/fQ?", "Q"),
}
"""Symbols of MIT annotations that are beats, and their class.  ``!`` (flutter wave) and ``x`` (blocked P) are none."""


@dataclass(frozen=True, slots=True)
class Reference:
    """at: samples of the beats, in order; classes: one letter each; left_out: spans (first, last sample) of VF."""

    at: Index
    classes: str
    left_out: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Score:
    """Counts of one record or of many (they add up), and the found-minus-reference times of the pairs, ms."""

    pairs: int = 0
    missed: int = 0
    extra: int = 0
    apart_ms: tuple[float, ...] = ()
    confusion: dict[tuple[str, str], int] = field(default_factory=dict[tuple[str, str], int])

    def __add__(self, other: Score) -> Score:
        both = dict(self.confusion)
        for key, n in other.confusion.items():
            both[key] = both.get(key, 0) + n
        return Score(
            self.pairs + other.pairs,
            self.missed + other.missed,
            self.extra + other.extra,
            self.apart_ms + other.apart_ms,
            both,
        )

    @property
    def beats(self) -> int:
        return self.pairs + self.missed

    @property
    def sensitivity(self) -> float:
        """Percent of the reference beats that were found."""
        return 100.0 * self.pairs / self.beats if self.beats else float("nan")

    @property
    def predictivity(self) -> float:
        """Percent of the found beats that are beats (+P)."""
        found = self.pairs + self.extra
        return 100.0 * self.pairs / found if found else float("nan")

    @property
    def error_rate(self) -> float:
        """Detection error rate: missed and extra, percent of the reference beats."""
        return 100.0 * (self.missed + self.extra) / self.beats if self.beats else float("nan")

    @property
    def sd_ms(self) -> float:
        """Standard deviation of the pairs' time differences, ms."""
        return float(np.std(self.apart_ms)) if self.apart_ms else float("nan")

    def of_class(self, letter: str, ignored: str = "") -> tuple[float, float, int]:
        """Sensitivity and +P of a class in percent, and its number of reference beats.

        Missed beats count against sensitivity, extra ones against +P.  ignored: found classes are not held against +P
        where the reference is of these (EC57 4.3.3.2: fusion and unclassifiable beats for VEB, and so on).
        """
        right = self.confusion.get((letter, letter), 0)
        there = sum(n for (truth, _), n in self.confusion.items() if truth == letter)
        called = sum(n for (truth, said), n in self.confusion.items() if said == letter and truth not in ignored)
        return (
            100.0 * right / there if there else float("nan"),
            100.0 * right / called if called else float("nan"),
            there,
        )


def total(scores: Iterable[Score]) -> Score:
    """Gross counts: every beat of every record weighs the same."""
    out = Score()
    for score in scores:
        out = out + score
    return out


def score(
    reference: Reference, found: Index, fs_hz: float, found_classes: str | None = None, from_s: float = 0.0
) -> Score:
    """One record's counts.  found: samples in order; found_classes: one letter each, or None; from_s: learning."""
    at, classes, found, said = _counted(reference, found, fs_hz, found_classes)
    mine, yours = pairing(at, found, round(WINDOW_S * fs_hz))
    first = int(from_s * fs_hz)
    keep = at[mine] >= first
    mine, yours = mine[keep], yours[keep]
    lost = np.setdiff1d(np.flatnonzero(at >= first), mine)
    paired = set(yours.tolist())
    extra = [k for k in np.flatnonzero(found >= first).tolist() if k not in paired]
    confusion: dict[tuple[str, str], int] = {}
    if said is not None:
        told = [(classes[i], said[j]) for i, j in zip(mine.tolist(), yours.tolist(), strict=True)]
        told += [(classes[i], MISSED) for i in lost.tolist()] + [(MISSED, said[j]) for j in extra]
        for key in told:
            confusion[key] = confusion.get(key, 0) + 1
    apart = (found[yours] - at[mine]) * (1000.0 / fs_hz)
    return Score(mine.size, lost.size, len(extra), tuple(apart.tolist()), confusion)


def _counted(
    reference: Reference, found: Index, fs_hz: float, said: str | None
) -> tuple[Index, str, Index, str | None]:
    """Both sides without what lies in the spans that are left out (found ones also within the window of their edges,
    unless a reference beat that counts is as near)."""
    at = np.asarray(reference.at, dtype=np.int64)
    found = np.asarray(found, dtype=np.int64)
    window = round(WINDOW_S * fs_hz)
    keep, stay = np.ones(at.size, dtype=bool), np.ones(found.size, dtype=bool)
    for first, last in reference.left_out:
        keep &= (at < first) | (at > last)
    for first, last in reference.left_out:
        at_edge = (found >= first - window) & (found <= last + window)
        near = _distance(found, at[keep]) <= window
        stay &= ~at_edge | (near & ((found < first) | (found > last)))
    classes = "".join(letter for letter, kept in zip(reference.classes, keep, strict=True) if kept)
    if said is not None:
        said = "".join(letter for letter, kept in zip(said, stay, strict=True) if kept)
    return at[keep], classes, found[stay], said


def _distance(points: Index, others: Index) -> Index:
    """Samples from each point to the nearest of others."""
    if not others.size:
        return np.full(points.size, np.iinfo(np.int64).max)
    right = np.clip(np.searchsorted(others, points), 0, others.size - 1)
    left = np.maximum(right - 1, 0)
    return np.minimum(np.abs(points - others[left]), np.abs(points - others[right]))


def pairing(at: Index, found: Index, window: int) -> tuple[Index, Index]:
    """Indices into at and into found of the pairs: as many as can be, and of those ways the closest.

    In one dimension some best pairing keeps the order, so a table over (reference, found) finds it; the table is made
    for each stretch by itself, where stretches are parted by a gap that no pair can bridge.
    """
    mine: list[int] = []
    yours: list[int] = []
    for refs, hits in _stretches(at, found, window):
        if len(refs) == 1 and len(hits) == 1:
            mine.append(refs[0])
            yours.append(hits[0])
            continue
        for i, j in _best([int(at[i]) for i in refs], [int(found[j]) for j in hits], window):
            mine.append(refs[i])
            yours.append(hits[j])
    return np.array(mine, dtype=np.int64), np.array(yours, dtype=np.int64)


def _stretches(at: Index, found: Index, window: int) -> Iterable[tuple[list[int], list[int]]]:
    """Runs of reference and found beats whose neighbours lie within the window, where both kinds are present."""
    time = np.concatenate([at, found])
    order = np.argsort(time, kind="stable")
    cuts = np.flatnonzero(np.diff(time[order]) > window) + 1
    edges = [0, *cuts.tolist(), order.size]
    for first, last in pairwise(edges):
        members = order[first:last].tolist()
        refs = [k for k in members if k < at.size]
        hits = [k - at.size for k in members if k >= at.size]
        if refs and hits:
            yield refs, hits


def _best(at: Sequence[int], found: Sequence[int], window: int) -> list[tuple[int, int]]:
    """The pairing of one stretch: most pairs first, then the least sum of distances."""
    rows, columns = len(at), len(found)
    value = [[(0, 0)] * (columns + 1) for _ in range(rows + 1)]
    for i in range(1, rows + 1):
        for j in range(1, columns + 1):
            best = max(value[i - 1][j], value[i][j - 1])
            apart = abs(at[i - 1] - found[j - 1])
            if apart <= window:
                n, minus = value[i - 1][j - 1]
                best = max(best, (n + 1, minus - apart))
            value[i][j] = best
    pairs: list[tuple[int, int]] = []
    i, j = rows, columns
    while i and j:
        if value[i][j] == value[i - 1][j]:
            i -= 1
        elif value[i][j] == value[i][j - 1]:
            j -= 1
        else:
            i, j = i - 1, j - 1
            pairs.append((i, j))
    return pairs[::-1]


def reference_of(samples: Sequence[int], symbols: Sequence[str], record_samples: int) -> Reference:
    """A record's reference from MIT annotations: its beats, and the spans between ``[`` and ``]``."""
    beats = [(int(t), CLASS_OF[s]) for t, s in zip(samples, symbols, strict=True) if s in CLASS_OF]
    spans: list[tuple[int, int]] = []
    opened: int | None = None
    for t, s in zip(samples, symbols, strict=True):
        if s == "[":
            opened = int(t)
        elif s == "]" and opened is not None:
            spans.append((opened, int(t)))
            opened = None
    if opened is not None:
        spans.append((opened, record_samples))
    return Reference(np.array([t for t, _ in beats], dtype=np.int64), "".join(c for _, c in beats), tuple(spans))
