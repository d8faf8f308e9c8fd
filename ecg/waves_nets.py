"""Small regressions on what a signal looks like around a point: which features they see, and how they are evaluated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from ecg.strip import Samples
from ecg.waves_views import Floats, Rows, Views

Index = npt.NDArray[np.int64]

TRACK_STEP_MS: Final = 8.0
BUMP_HALF_MS: Final = 56.0
USUAL_LOG_MV: Final = 0.0
"""Log of the usual QRS, 1 mV: a lead counts as high or low beside the strip's other leads, so that gain moves nothing."""


@dataclass(frozen=True, slots=True)
class Taps:
    """Where a regression looks: from ``first_ms`` before a point to ``last_ms`` after it, every ``step_ms``."""

    first_ms: float
    last_ms: float
    step_ms: float

    @property
    def count(self) -> int:
        return round((self.last_ms - self.first_ms) / self.step_ms) + 1


TRACK_FAR: Final = Taps(-400, -200, 40)
TRACK_NEAR: Final = Taps(-160, 112, 16)
"""Little is looked at to the right, so that a P wave need not have a QRS behind it to be seen."""
TRACK_BUMP: Final = Taps(-96, 96, 24)
QRS_TAPS: Final = Taps(-80, 80, 8)
P_WIDE: Final = Taps(-120, 120, 8)
P_NEAR: Final = Taps(-80, 80, 8)
T_WIDE: Final = Taps(-192, 208, 16)
T_NEAR: Final = Taps(-120, 120, 12)


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


@dataclass(frozen=True, slots=True)
class Scene:
    """What all looks share, for the live leads of a strip.

    velocity, soft_velocity: the leads' common slope, mV/s, fine and smooth, one row each; soft_log its logarithm.
    on, off, fiducial: float64 [beat], grid samples; the fiducial is the QRS's centre of energy.
    slope_top: [lead, beat], velocity_top [beat]: largest slope within the QRS.  height: [lead, beat], mV, peak to peak.
    soft_scale, mV/s, and height_scale, mV: the strip's usual QRS, all leads.  rr_before, rr_after: [beat], s.
    """

    views: Views
    velocity: Rows
    soft_velocity: Rows
    soft_log: Rows
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


def around(rows: Rows, anchor: Index, taps: Taps, hz: float) -> Floats:
    """float32 [..., lead, beat, tap] of the rows [lead] about anchors [..., lead, beat], grid samples.

    A single row serves every anchor as it is: [..., tap].
    """
    step = max(1, round(taps.step_ms * hz / 1000.0))
    first = round(taps.first_ms * hz / 1000.0)
    count, (row_stride, stride) = taps.count, rows.padded.strides
    windows = np.lib.stride_tricks.as_strided(
        rows.padded,
        shape=(rows.padded.shape[0], rows.padded.shape[1] - step * (count - 1), count),
        strides=(row_stride, stride, step * stride),
        writeable=False,
    )
    start = np.minimum(np.maximum(anchor, 0), rows.length - 1) + (rows.margin + first)
    if windows.shape[0] == 1:
        return windows[0][start]
    return windows[np.arange(windows.shape[0])[:, None], start]


def qrs_features(scene: Scene, anchor: Index) -> Floats:
    """float32 [lead, beat, feature] for a QRS boundary near ``anchor`` [lead, beat]."""
    views = scene.views
    own = np.abs(around(views.fine_slope, anchor, QRS_TAPS, views.hz)) * (1.0 / scene.slope_top)[..., None]
    common = around(scene.velocity, anchor, QRS_TAPS, views.hz) * (1.0 / scene.velocity_top)[:, None]
    level = around(views.fine, anchor, QRS_TAPS, views.hz)
    level = np.abs(level - level[..., QRS_TAPS.count // 2, None]) * (1.0 / scene.height)[..., None]
    n = QRS_TAPS.count
    out = np.empty((*anchor.shape, 3 * n + 3), np.float32)
    out[..., :n], out[..., n : 2 * n] = own, common
    out[..., : 2 * n] += 0.02
    np.log(out[..., : 2 * n], out=out[..., : 2 * n])
    np.sqrt(level, out=out[..., 2 * n : 3 * n], casting="same_kind")
    out[..., 3 * n] = (scene.off - scene.on) / views.hz * 10.0
    out[..., 3 * n + 1] = np.log(scene.height / scene.height_scale) + USUAL_LOG_MV
    out[..., 3 * n + 2] = views.leads > 1
    return out


def wave_features(scene: Scene, anchor: Index, taps: Taps, sign: Floats, height: Floats) -> Floats:
    """float32 [..., lead, beat, feature] for P and T about anchors [..., lead, beat].

    Level and slope in units of the wave (height, mV) and turned upright (sign), and the leads' common slope.
    """
    views, n = scene.views, taps.count
    upright = (sign / height)[..., None]
    out = np.empty((*anchor.shape, 3 * n + 6), np.float32)
    level = around(views.smooth, anchor, taps, views.hz)
    np.clip((level - level.mean(axis=-1, keepdims=True)) * upright, -2.0, 2.0, out=out[..., :n])
    slope = around(views.smooth_slope, anchor, taps, views.hz)
    np.clip(slope * (upright * np.float32(0.05)), -3.0, 3.0, out=out[..., n : 2 * n])
    common = around(scene.soft_log, anchor, taps, views.hz)
    np.subtract(common, common.mean(axis=-1, keepdims=True), out=out[..., 2 * n : 3 * n])
    more = out[..., 3 * n :]
    more[..., 0] = np.log(height / scene.height + 0.01)
    more[..., 1] = np.minimum(scene.rr_before, 2.0)
    more[..., 2] = np.minimum(scene.rr_after, 2.0)
    more[..., 3] = np.clip((anchor - scene.off) / views.hz, -0.5, 0.8)
    more[..., 4] = (scene.off - scene.on) / views.hz * 10.0
    more[..., 5] = views.leads > 1
    return out


def track_features(scene: Scene, at: Index, since_s: Samples) -> Floats:
    """float32 [position, feature]: the leads' slope and bulge about each position, and the time since the last QRS ended."""
    hz = scene.views.hz
    near = around(scene.soft_log, at, TRACK_NEAR, hz)
    middle = near.mean(axis=1, keepdims=True)
    return np.concatenate(
        (
            near - middle,
            around(scene.soft_log, at, TRACK_FAR, hz) - middle,
            middle - np.float32(np.log(scene.soft_scale)),
            around(_bulge(scene), at, TRACK_BUMP, hz),
            np.minimum(since_s, 1.2)[:, None],
            np.exp(since_s / -0.15)[:, None],
            np.full((at.size, 1), float(scene.views.leads > 1)),
        ),
        axis=1,
        dtype=np.float32,
    )


def _bulge(scene: Scene) -> Rows:
    """One row: log of how far the leads stand out from the straight line over 112 ms, in units of the QRS (root mean square)."""
    rows = scene.views.smooth.inside
    half = round(BUMP_HALF_MS * scene.views.hz / 1000.0)
    out = np.zeros(rows.shape[1], np.float32)
    if rows.shape[1] > 2 * half:
        over = rows[:, half:-half] - 0.5 * (rows[:, 2 * half :] + rows[:, : -2 * half])
        out[half:-half] = np.sqrt(np.einsum("ij,ij->j", over, over) / rows.shape[0])
    return Rows.of(np.log(out / np.float32(scene.height_scale) + np.float32(0.005))[None])
