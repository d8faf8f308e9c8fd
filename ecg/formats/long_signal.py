"""A recording that is read piece by piece, so that a day of it needs no more memory than the piece that is asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from mmap import mmap
from typing import Final

import numpy as np
import numpy.typing as npt

from ecg.formats.trouble import unreadable
from ecg.signal import MAX_SAMPLES, EcgSignal, limb_issue

Buffer = bytes | bytearray | memoryview | mmap
Block = npt.NDArray[np.float64]

MAX_DAYS: Final = 31
"""Longest recording (ours): a loop recorder's month."""


@dataclass(frozen=True, slots=True)
class LongSignal:
    """A recording of ``length`` samples a lead.

    head: what is known of it, samples [lead, 0].  block(start, stop): float64 [lead, stop - start], mV, NaN where the
    device gave no value; 0 <= start <= stop <= length.  A block's cost grows with the block alone.
    """

    head: EcgSignal
    length: int
    block: Callable[[int, int], Block]

    @property
    def seconds(self) -> float:
        return self.length / self.head.fs_hz

    def whole(self, file: str) -> EcgSignal:
        """All of it at once.  Raises Unreadable where that is more than ``MAX_SAMPLES``."""
        samples = self.length * len(self.head.leads)
        if samples > MAX_SAMPLES:
            raise unreadable(
                file,
                f"过大：{samples} 个样本，上限 {MAX_SAMPLES}",
                f"is too large: {samples} samples, at most {MAX_SAMPLES} are accepted",
            )
        signal = replace(self.head, samples=self.block(0, self.length))
        return replace(signal, issues=signal.issues + limb_issue(signal))


def checked_length(file: str, length: int, fs_hz: float) -> int:
    """The number of samples a lead.  Raises Unreadable where that is none, or more than ``MAX_DAYS``."""
    if not 0 < length <= MAX_DAYS * 86400 * fs_hz:
        raise unreadable(
            file,
            f"的长度不合理：{length} 个样本，{fs_hz:g} Hz",
            f"has an impossible length: {length} samples at {fs_hz:g} Hz",
            expected=f"1 sample to {MAX_DAYS} days",
        )
    return length
