"""All beats of a long recording as columns: 80 bytes a beat, so that a day takes ten megabytes and no more."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from ecg.marks import BeatClass

KINDS: Final = tuple(BeatClass)
NUMBER_OF: Final = {kind: number for number, kind in enumerate(KINDS)}
NO_MARK: Final = -1

Whole = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class BeatLog:
    """The beats in time; samples are those of the recording as it came.

    at: int64 [beat].  kind: uint8 [beat], index into ``KINDS``.  marks: int64 [beat, 9] (``Mark``), -1 where absent.
    is_after_gap: bool [beat], no beat could have been seen since the one before (signal lost), so their RR says nothing.
    """

    at: Whole
    kind: npt.NDArray[np.uint8]
    marks: Whole
    is_after_gap: npt.NDArray[np.bool_]
    fs_hz: float

    def __len__(self) -> int:
        return int(self.at.size)

    @property
    def seconds(self) -> npt.NDArray[np.float64]:
        """float64 [beat], from the recording's begin."""
        return self.at / self.fs_hz

    @property
    def rr_s(self) -> npt.NDArray[np.float64]:
        """float64 [beat], the time since the beat before; NaN for the first and after a gap."""
        rr = np.full(len(self), np.nan)
        rr[1:] = np.diff(self.at) / self.fs_hz
        rr[self.is_after_gap] = np.nan
        return rr

    def where(self, *kinds: BeatClass) -> npt.NDArray[np.bool_]:
        """bool [beat]: those of these classes."""
        return np.isin(self.kind, [NUMBER_OF[kind] for kind in kinds])

    def runs(self, which: npt.NDArray[np.bool_], shortest: int = 1) -> Iterator[tuple[int, int]]:
        """(first, one past the last) of each unbroken run of such beats; a gap in the signal breaks a run."""
        cuts = np.flatnonzero(np.diff(np.concatenate([[False], which, [False]]).astype(np.int8)))
        for first, past in zip(cuts[::2].tolist(), cuts[1::2].tolist(), strict=True):
            inside = first + 1 + np.flatnonzero(self.is_after_gap[first + 1 : past])
            edges = [first, *inside.tolist(), past]
            for begin, end in itertools.pairwise(edges):
                if end - begin >= shortest:
                    yield begin, end


def joined(parts: list[BeatLog], fs_hz: float) -> BeatLog:
    """The logs of successive blocks as one."""
    if not parts:
        none = np.zeros(0, dtype=np.int64)
        return BeatLog(none, none.astype(np.uint8), np.zeros((0, 9), dtype=np.int64), none.astype(bool), fs_hz)
    return BeatLog(
        at=np.concatenate([p.at for p in parts]),
        kind=np.concatenate([p.kind for p in parts]),
        marks=np.concatenate([p.marks for p in parts]),
        is_after_gap=np.concatenate([p.is_after_gap for p in parts]),
        fs_hz=fs_hz,
    )
