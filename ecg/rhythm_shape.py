"""The mean beat as far as rhythm asks for it: is there a P wave before it, which way does it point, whose is the QRS."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from ecg.rhythm_thin import Thin
from ecg.strip import Samples

_BEFORE_S: Final = 0.46
_AFTER_S: Final = 0.14

_FARTHEST_ONSET_S: Final = 0.2
"""A QRS onset marked farther from its main deflection, or behind it, is a mistaken one (ours)."""


@dataclass(frozen=True, slots=True)
class Shape:
    """p_mv: height of the largest deflection between 300 and 60 ms before the QRS that all beats share (the mean over
    the two leads where it is largest).  p_up: its sign in II (aVF, I where II isn't there): 1 up, -1 down, 0 unknown.
    noise_mv: what such a mean shows by chance.
    ventricular_signs: how many signs of a ventricular origin the wide QRS has; is_bundle_branch: it looks like a block.
    """

    p_mv: float
    p_up: int
    noise_mv: float
    ventricular_signs: int
    is_bundle_branch: bool


NO_SHAPE: Final = Shape(0.0, 0, 0.0, 0, False)


def shape_of(
    thin: Thin,
    at_s: Samples,
    own: np.ndarray[tuple[int], np.dtype[np.bool_]],
    p_ahead_s: float,
    onset_ahead_s: float,
) -> Shape:
    """Over the beats of the basic rhythm (own: bool [beat]).

    p_ahead_s, onset_ahead_s: how far the P peak and the QRS's onset lie ahead of the main deflection, NaN unknown.
    """
    mv, hz = thin.mv, thin.hz
    before, after = int(_BEFORE_S * hz), int(_AFTER_S * hz)
    onset = min(max(onset_ahead_s, 0.0), _FARTHEST_ONSET_S) if np.isfinite(onset_ahead_s) else 0.045
    at = (at_s[own] * hz).astype(np.int64)
    at = at[(at >= before) & (at + after < mv.shape[1])][:60]
    if at.size < 2:
        return NO_SHAPE
    cut = mv[:, at[:, None] + np.arange(-before, after)]
    level_at = before - int((onset + 0.02) * hz)
    level = cut[:, :, level_at - 2 : level_at + 1].mean(axis=2, keepdims=True)
    mean = np.median(cut - level, axis=1)
    p_mv, p_up, noise = _p_wave(thin, mean, cut - level, hz, before, p_ahead_s, onset)
    signs, is_block = _ventricular_signs(thin, mean, hz, before)
    return Shape(p_mv, p_up, noise, signs, is_block)


def _p_wave(
    thin: Thin, mean: Samples, beats: Samples, hz: float, before: int, ahead_s: float, onset_s: float
) -> tuple[float, int, float]:
    """A bump between two lower (or higher) sides: the middle of 80 ms against its ends, at its best place."""
    reach = 0.38 if np.isfinite(ahead_s) and ahead_s > 0.25 else 0.30
    first, last = before - int(reach * hz), before - int((onset_s + 0.02) * hz)
    half, near = int(0.055 * hz), max(1, int(0.012 * hz))
    places = np.arange(max(first + half + near, half + near), last - near)
    if not places.size:
        return 0.0, 0, 0.0
    total = np.concatenate([np.zeros((mean.shape[0], 1)), np.cumsum(mean, axis=1)], axis=1)

    def at(where: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Samples:
        low, high = np.clip(where - near, 0, mean.shape[1] - 1), np.clip(where + near + 1, 0, mean.shape[1])
        return (total[:, high] - total[:, low]) / (high - low)

    left, right = at(places - half), at(places + half)
    bump = at(places) - 0.5 * (left + right)
    # On a slope (the end of T) one side is far above: only what stands out from both sides counts.
    out = np.minimum(np.abs(at(places) - left), np.abs(at(places) - right)) * (
        np.sign(at(places) - left) == np.sign(at(places) - right)
    )
    together = np.sort(out, axis=0)[-2:].mean(axis=0) if out.shape[0] > 1 else out[0]
    if np.isfinite(ahead_s):
        there = np.abs(places - (before - ahead_s * hz)) <= 0.03 * hz
        together = np.where(there, together, 0.0) if there.any() else together
        best = int(np.argmin(np.abs(places - (before - ahead_s * hz)))) if there.any() else int(np.argmax(together))
    else:
        best = int(np.argmax(together))
    noise = float(np.median(beats[:, :, places].std(axis=1)) / np.sqrt(beats.shape[1]))
    sign = 0
    for lead in ("II", "aVF", "MLII", "I", "V5", "V6"):
        if lead in thin.leads:
            row = thin.leads.index(lead)
            sign = int(np.sign(bump[row, best])) if abs(bump[row, best]) > max(0.015, 2 * noise) else 0
            break
    return float(together.max()), sign, noise


def _ventricular_signs(thin: Thin, mean: Samples, hz: float, before: int) -> tuple[int, bool]:
    """(signs, looks like a bundle branch block).

    Signs: dominant R in aVR (Vereckei 2008), concordant chest leads (Brugada 1991), superior axis to the right.
    """
    if not all(lead in thin.leads for lead in ("I", "aVF", "aVR", "V1", "V6")):
        return 0, False
    qrs = mean[:, before - int(0.06 * hz) : before + int(0.10 * hz)]
    up, down = qrs.max(axis=1), -qrs.min(axis=1)

    def net(lead: str) -> float:
        row = thin.leads.index(lead)
        return float(up[row] - down[row])

    chest = [thin.leads.index(lead) for lead in ("V1", "V2", "V3", "V4", "V5", "V6") if lead in thin.leads]
    all_up = bool((up[chest] > 2.0 * down[chest]).all())
    all_down = bool((down[chest] > 2.0 * up[chest]).all())
    signs = int(net("aVR") > 0.3 * (up + down)[thin.leads.index("aVR")])
    signs += int(all_up or all_down)
    signs += int(net("I") < 0 and net("aVF") < 0)
    lbbb = net("V1") < 0 < net("V6") and net("I") > 0
    rbbb = up[thin.leads.index("V1")] > 0.2 and net("V6") > -0.3 and net("I") > -0.3
    return signs, bool((lbbb or rbbb) and signs == 0)
