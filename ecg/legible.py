"""Whether a strip of one or two leads shows a heart at all, or only noise in which a detector found something.

In an ECG most beats look alike and explain most of what moves; in noise every "beat" looks another way, or they come
at any distance.  What may be ventricular fibrillation is never called noise.  Limits are ours, set on made noise, made
rhythms and MIT-BIH DS1 (``benchmarks/alarms.py``).
"""

from __future__ import annotations

from typing import Final

import numpy as np

from ecg.beat_trust import explained
from ecg.marks import Beats
from ecg.strip import Samples, Strip

FEW_LEADS: Final = 2
"""Three leads and more are judged by how many of them can be read (``quality``)."""
_FEWEST_BEATS: Final = 5
_ALIKE: Final = 0.30
"""Share of the beats that the largest family has: 0.35 and more on DS1, 0.25 and less in muscle, motion and white noise."""
_EXPLAINED: Final = 0.20
"""Share of the slopes' energy that the families explain: 0.29 and more on DS1, 0.1 and less in that noise."""
_JUMPY_ALIKE: Final = 0.62
_JUMPY: Final = 0.35
"""Irregularity of the intervals: contact that comes and goes has 0.4 and more,
fibrillation under 0.3, and its beats are of one family."""


_SLOW_S: Final = 1.35
_SLOW_ALIKE: Final = 0.80
_SLOW_JUMPY: Final = 0.45
"""A slow heart's beats are of one form; electrodes that jump every few seconds are not, and must not be called slow."""


def is_legible(strip: Strip, beats: Beats) -> bool:
    """Whether the beats found are likely a heart's."""
    if len(strip.leads) > FEW_LEADS or len(beats) < _FEWEST_BEATS:
        return True
    alike = float(np.bincount(beats.family).max()) / len(beats)
    if alike < _ALIKE and explained(strip, beats) < _EXPLAINED:
        return False
    rr_s = np.diff(beats.at) / strip.fs_hz
    jumpy = _irregularity(rr_s)
    if float(np.median(rr_s)) > _SLOW_S and (alike < _SLOW_ALIKE or jumpy >= _SLOW_JUMPY):
        return False
    return alike >= _JUMPY_ALIKE or jumpy < _JUMPY


def _irregularity(rr_s: Samples) -> float:
    """The median change from an interval to the next, the second or the third after it (bigeminy and trigeminy come
    back), whichever is least, as a share of the middle interval."""
    apart = [float(np.median(np.abs(rr_s[k:] - rr_s[:-k]))) for k in range(1, min(4, rr_s.size))]
    return min(apart) / float(np.median(rr_s))
