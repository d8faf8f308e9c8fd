"""Small regressions on what a signal looks like around a point: which features they see, and how they are evaluated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from ecg.strip import Samples
from ecg.waves_views import Views

Index = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]

TRACK_STEP_MS: Final = 8.0
TRACK_TAPS_MS: Final = (*range(-400, -160, 40), *range(-160, 121, 16))
"""Where the tracks look: little to the right, so that a P wave need not have a QRS behind it to be seen."""
BUMP_TAPS_MS: Final = tuple(range(-96, 97, 24))
BUMP_HALF_S: Final = 0.056
CENTRE_TAPS_MS: Final = tuple(range(-200, 201, 16))
P_CENTRE_TAPS_MS: Final = tuple(range(-120, 121, 8))
EDGE_TAPS_MS: Final = tuple(range(-80, 81, 8))
T_EDGE_TAPS_MS: Final = tuple(range(-120, 121, 12))


@dataclass(frozen=True, slots=True)
class Net:
    """One hidden layer.  first: float32 [feature, hidden], first_bias [hidden], second: [hidden, out], second_bias."""

    first: Floats
    first_bias: Floats
    second: Floats
    second_bias: Floats

    def __call__(self, features: Floats) -> Floats:
        """float32 [..., out] of float32 [..., feature]."""
        flat = features.reshape(-1, features.shape[-1])
        out = np.tanh(flat @ self.first + self.first_bias) @ self.second + self.second_bias
        return out.reshape(*features.shape[:-1], out.shape[-1])


def taps(offsets_ms: tuple[int, ...], hz: float) -> Index:
    """The offsets in grid samples."""
    return np.rint(np.array(offsets_ms) * hz / 1000.0).astype(np.int64)


def around(rows: Samples | Floats, anchor: Index, offsets: Index) -> Floats:
    """float32 [lead, beat, tap] of rows [lead, sample] (or [sample]: [beat, tap]) about anchors [lead, beat]."""
    there = np.clip(anchor[..., None] + offsets, 0, rows.shape[-1] - 1)
    if rows.ndim == 1:
        return rows[there].astype(np.float32)
    base = (np.arange(rows.shape[0]) * rows.shape[1])[:, None, None]
    return rows.reshape(-1)[there + base].astype(np.float32)


@dataclass(frozen=True, slots=True)
class Scene:
    """What all steps look at, for the live leads of a strip.

    slope_log: float32 [lead, sample], log of the fine slope; velocity, soft_velocity: [sample], the leads' common
    slope, mV/s, fine and smooth.  at, on, off: float64 [beat], grid samples; fiducial: the QRS's centre of energy.
    slope_top: [lead, beat], velocity_top, soft_top: [beat], largest slope within the QRS.  height: [lead, beat], mV,
    peak to peak.  rr_before, rr_after: [beat], s.
    """

    views: Views
    velocity: Samples
    soft_velocity: Samples
    on: Samples
    off: Samples
    fiducial: Samples
    slope_top: Samples
    velocity_top: Samples
    height: Samples
    soft_scale: float
    height_scale: float
    rr_before: Samples
    rr_after: Samples


def qrs_features(scene: Scene, anchor: Index) -> Floats:
    """float32 [lead, beat, feature] for a QRS boundary near ``anchor`` [lead, beat]."""
    views = scene.views
    offsets = taps(EDGE_TAPS_MS, views.hz)
    own = np.abs(around(views.fine_slope, anchor, offsets)) / scene.slope_top[..., None]
    common = around(scene.velocity, anchor, offsets) / scene.velocity_top[:, None]
    level = around(views.fine, anchor, offsets)
    level = np.abs(level - level[..., offsets.size // 2, None]) / scene.height[..., None]
    more = np.empty((*anchor.shape, 3), np.float32)
    more[..., 0] = (scene.off - scene.on) / views.hz * 10.0
    more[..., 1] = np.log(scene.height)
    more[..., 2] = anchor.shape[0] > 1
    return np.concatenate(
        (np.log(own + 0.02), np.log(common + 0.02), 2.0 * np.sqrt(level) - 1.0, more), axis=2, dtype=np.float32
    )


def wave_features(scene: Scene, anchor: Index, offsets_ms: tuple[int, ...], sign: Floats, amplitude: Floats) -> Floats:
    """float32 [lead, beat, feature] for P and T: level and slope in units of the wave, turned upright, and the leads' slope."""
    views = scene.views
    offsets = taps(offsets_ms, views.hz)
    upright = (sign / amplitude)[..., None]
    level = around(views.smooth, anchor, offsets)
    level = np.clip((level - level.mean(axis=2, keepdims=True)) * upright, -2.0, 2.0)
    slope = np.clip(around(views.smooth_slope, anchor, offsets) * upright * 0.05, -3.0, 3.0)
    common = around(scene.soft_velocity, anchor, offsets)
    common = np.log(common / (np.median(common, axis=2, keepdims=True) + 0.01 * scene.soft_scale) + 0.1)
    more = np.empty((*anchor.shape, 6), np.float32)
    more[..., 0] = np.log(amplitude / scene.height + 0.01)
    more[..., 1] = np.minimum(scene.rr_before, 2.0)
    more[..., 2] = np.minimum(scene.rr_after, 2.0)
    more[..., 3] = np.clip((anchor - scene.off) / views.hz, -0.5, 0.8)
    more[..., 4] = (scene.off - scene.on) / views.hz * 10.0
    more[..., 5] = anchor.shape[0] > 1
    return np.concatenate((level, slope, common, more), axis=2, dtype=np.float32)


def bump(scene: Scene) -> Samples:
    """[sample]: how far the leads stand out from the straight line over 112 ms, in units of the QRS (root mean square)."""
    rows, half = scene.views.smooth, round(BUMP_HALF_S * scene.views.hz)
    out = np.zeros(rows.shape[1])
    if rows.shape[1] > 2 * half:
        over = rows[:, half:-half] - (rows[:, 2 * half :] + rows[:, : -2 * half]) / 2
        out[half:-half] = np.sqrt((over**2).mean(axis=0))
    return out / scene.height_scale


def track_features(scene: Scene, at: Index, since: Samples) -> Floats:
    """float32 [position, feature]: the leads' slope about each position, and the time since the last QRS ended, s."""
    offsets = taps(TRACK_TAPS_MS, scene.views.hz)
    logged = np.log(scene.soft_velocity / scene.soft_scale + 0.005)
    seen = around(logged, at, offsets)
    middle = seen[:, 6:].mean(axis=1, keepdims=True)
    bumps = np.log(bump(scene) + 0.005)
    swell = around(bumps, at, taps(BUMP_TAPS_MS, scene.views.hz))
    more = np.stack(
        (np.minimum(since, 1.2), np.exp(-since / 0.15), np.full(at.size, float(scene.views.fine.shape[0] > 1))), axis=1
    )
    return np.concatenate((seen - middle, middle, swell, more), axis=1, dtype=np.float32)
