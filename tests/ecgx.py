"""Reader of the ``.ecgx`` packs of recordings that lie outside the project: tests and benchmarks share it."""

from __future__ import annotations

import bz2
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class Record:
    """One recording of a pack.  mv: float64 [lead, sample], mV."""

    id: str
    leads: tuple[str, ...]
    mv: npt.NDArray[np.float64]
    fs_hz: float


def records(path: Path) -> Iterator[Record]:
    """The pack's recordings: a JSON line, then bz2 of zigzag-coded first differences, low bytes before high bytes."""
    with path.open("rb") as file:
        head = json.loads(file.readline())
        packed = np.frombuffer(bz2.decompress(file.read()), np.uint8)
    half = packed.size // 2
    coded = packed[:half].astype(np.int32) | (packed[half:].astype(np.int32) << 8)
    steps = (coded >> 1) ^ -(coded & 1)
    leads, at = tuple(head["leads"]), 0
    for name, samples in zip(head["ids"], head["lens"], strict=True):
        counts = np.cumsum(steps[at : at + len(leads) * samples].reshape(len(leads), samples), axis=1).astype(np.int16)
        at += counts.size
        yield Record(str(name), leads, counts * (head["unit_uv"] / 1000.0), float(head["fs"]))


def packs(folder: Path, stem: str) -> Iterator[Record]:
    """The recordings of every pack ``<stem>*.ecgx`` of a folder, in order."""
    for path in sorted(folder.glob(f"{stem}*.ecgx")):
        yield from records(path)
