"""Made rhythms with known beats: sums of Gaussian waves, any rate, any number of leads, with what goes wrong in life."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.float64]

#: (time s, width s, mV) of each wave against the main deflection; times over 0.1 s shrink with the interval.
SHAPES: dict[str, tuple[tuple[float, float, float], ...]] = {
    "narrow": ((-0.16, 0.022, 0.12), (-0.028, 0.009, -0.12), (0, 0.011, 1.0), (0.03, 0.01, -0.25), (0.28, 0.05, 0.3)),
    "tall_t": ((-0.16, 0.022, 0.12), (0, 0.011, 0.6), (0.03, 0.01, -0.35), (0.28, 0.05, 0.9)),
    "rs": ((-0.16, 0.022, 0.1), (-0.02, 0.009, 0.2), (0.01, 0.014, -1.0), (0.28, 0.06, 0.35)),
    "bundle": ((-0.2, 0.025, 0.1), (-0.02, 0.025, 0.8), (0.04, 0.025, 0.9), (0.28, 0.06, -0.45)),
    "wide": ((0.0, 0.035, 1.4), (0.09, 0.03, -0.5), (0.32, 0.06, -0.6)),
}


@dataclass(frozen=True, slots=True)
class Made:
    """mv: float64 [lead, sample]; at: samples of the main deflections; shapes: one a beat."""

    mv: Samples
    at: npt.NDArray[np.int64]
    shapes: tuple[str, ...]
    fs_hz: float


def wave(t: Samples, at_s: float, width_s: float, mv: float) -> Samples:
    return mv * np.exp(-0.5 * np.square((t - at_s) / width_s))


def made(
    times_s: list[float],
    shapes: list[str],
    seconds: float,
    *,
    fs_hz: float = 500.0,
    leads: int = 1,
    mv: float = 1.0,
    noise_mv: float = 0.02,
    seed: int = 0,
) -> Made:
    """Beats at these times in every lead (each lead with a gain of its own, of either sign, beyond the first)."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * fs_hz)) / fs_hz
    one = np.zeros(t.size)
    intervals = np.diff(times_s)
    for n, (at_s, shape) in enumerate(zip(times_s, shapes, strict=True)):
        interval = min(intervals[max(n - 1, 0) : n + 1], default=0.8)
        shrink = min(1.0, (interval / 0.8) ** 0.5)
        here = slice(max(round((at_s - 0.8) * fs_hz), 0), max(round((at_s + 0.8) * fs_hz), 0))
        for when, width, height in SHAPES[shape]:
            k = shrink if abs(when) > 0.1 else 1.0
            one[here] += wave(t[here] - at_s, when * k, width * k, mv * height)
    gains = np.concatenate([[1.0], rng.uniform(0.4, 1.2, leads - 1) * rng.choice([-1, 1], leads - 1)])
    mixed = gains[:, None] * one + noise_mv * rng.normal(size=(leads, t.size))
    return Made(mixed, np.rint(np.array(times_s) * fs_hz).astype(np.int64), tuple(shapes), fs_hz)


def steady(
    rate_per_min: float,
    seconds: float,
    shape: str = "narrow",
    *,
    first_s: float = 0.4,
    fs_hz: float = 500.0,
    leads: int = 1,
    mv: float = 1.0,
    noise_mv: float = 0.02,
    seed: int = 0,
) -> Made:
    """A regular rhythm of one shape, its intervals varying by 1 %."""
    rng = np.random.default_rng(seed + 1000)
    interval = 60.0 / rate_per_min
    times = [min(first_s, interval)]
    while (following := times[-1] + interval * (1 + 0.01 * rng.normal())) < seconds - 0.08:
        times.append(following)
    return made(
        times, [shape] * len(times), seconds, fs_hz=fs_hz, leads=leads, mv=mv, noise_mv=noise_mv, seed=seed
    )  # fmt: skip
