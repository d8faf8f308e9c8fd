"""A strip at about 125 Hz, all that the rules of rhythm need of the signal: P waves have nothing above 40 Hz."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ecg.strip import Samples, Strip

_HZ: Final = 125.0


@dataclass(frozen=True, slots=True)
class Thin:
    """mv: [lead, sample], means over neighbouring samples of the strip, mV."""

    leads: tuple[str, ...]
    mv: Samples
    hz: float


def thin_of(strip: Strip) -> Thin:
    """The strip at a whole fraction of its rate."""
    step = max(1, round(strip.fs_hz / _HZ))
    whole = strip.mv.shape[1] // step * step
    mv = strip.mv[:, 0:whole:step].copy()
    for k in range(1, step):
        mv += strip.mv[:, k:whole:step]
    mv /= step
    return Thin(strip.leads, mv, strip.fs_hz / step)
