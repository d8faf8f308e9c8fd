"""Made tachycardias of the ventricles, of the kinds that have no steep slope: one lead or twelve, from a seed.

A turn of the heart is a loop in space that every lead sees from its own side: a QRS of a few broad parts and a T wave
against it that runs into the next QRS; or, for the sine-like ones, a sum of two or three harmonics.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from center.reads import SignalInput
from ecg.signal import STANDARD_LEADS, derived_limb_leads

Samples = npt.NDArray[np.float64]
Form = Literal["sine", "triangle", "monophasic", "biphasic", "notched", "hyperkalaemic"]
FORMS: Final[tuple[Form, ...]] = ("sine", "triangle", "monophasic", "biphasic", "notched", "hyperkalaemic")
Noise = Literal["", "muscle", "wander", "both"]

_STORED: Final = ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")
_VIEWS: Final = np.array(
    # x (left), y (down), z (back): about where the leads look from
    [
        (1.0, 0.0, 0.1),
        (0.45, 0.9, 0.05),
        (-0.45, 0.1, -0.9),
        (-0.05, 0.15, -1.0),
        (0.35, 0.2, -0.85),
        (0.75, 0.25, -0.55),
        (0.95, 0.25, -0.1),
        (0.95, 0.2, 0.2),
    ]
)


@dataclass(frozen=True, slots=True)
class Made:
    """at_s: where each turn's main deflection is about, s.  rate: /min."""

    form: Form
    rate: float
    at_s: Samples


def make_ventricular(
    form: Form,
    seed: int,
    *,
    rate: float | None = None,
    seconds: float = 10.0,
    fs_hz: float = 250.0,
    leads: tuple[str, ...] = ("II",),
    height_mv: float | None = None,
    noise: Noise | None = None,
    is_restless: bool = False,
) -> tuple[SignalInput, Made]:
    """The recording, filled by the tachycardia, and its truth.  height_mv: peak to peak in the largest lead told.

    is_restless: turns vary by 2 to 5 % in time and by a quarter in height, every other one may be smaller.
    """
    rng = np.random.default_rng((seed, FORMS.index(form)))
    beats_per_min = rate or rng.uniform(*((100, 160) if form == "hyperkalaemic" else (112, 245)))
    time_s = np.arange(round(seconds * fs_hz)) / fs_hz
    phase, at_s = _turns(rng, 60.0 / beats_per_min, time_s, (0.02, 0.05) if is_restless else (0.002, 0.02))
    loop = _harmonics(rng, phase) if form == "sine" else _parts(rng, form, phase, 60.0 / beats_per_min)
    mv = _VIEWS @ _turned(rng) @ loop
    breath = 1.0 + rng.uniform(0.0, 0.15) * np.sin(2 * np.pi * (rng.uniform(0.15, 0.35) * time_s + rng.random()))
    if is_restless:
        breath = breath * _restless(rng, phase)
    rows = dict(zip(_STORED, mv * breath, strict=True))
    rows |= derived_limb_leads(rows["I"], rows["II"])
    signal = np.stack([rows[lead] for lead in leads])
    if len(leads) == 1 and np.ptp(signal) < 0.35 * max(np.ptp(row) for row in rows.values()):
        signal = max(rows.values(), key=np.ptp)[None]  # nobody monitors in the lead that shows nothing
    size = height_mv or float(np.exp(rng.uniform(np.log(0.4), np.log(6.0))))
    signal = signal * size / max(float(np.ptp(signal, axis=1).max()), 1e-9)
    signal = signal + _noise(rng, signal.shape, time_s, size, noise)
    return SignalInput(signal.astype(np.float32), leads, fs_hz, 64.0, "F"), Made(form, beats_per_min, at_s)


def twelve(form: Form, seed: int, **more: float) -> tuple[SignalInput, Made]:
    """The same in twelve leads at 500 Hz."""
    return make_ventricular(form, seed, leads=STANDARD_LEADS, fs_hz=500.0, **more)  # type: ignore[arg-type]  # floats alone


def _turns(
    rng: np.random.Generator, mean_s: float, time_s: Samples, spreads: tuple[float, float]
) -> tuple[Samples, Samples]:
    """Phase of every sample, turns; and when each turn is at 0."""
    spread = rng.uniform(*spreads)
    steps = mean_s * (1.0 + spread * rng.standard_normal(int(time_s[-1] / mean_s) + 8))
    at = np.cumsum(steps) - mean_s * (2.0 + rng.random())
    phase = np.interp(time_s, at, np.arange(at.size))
    return phase, at[(at > 0) & (at < time_s[-1])]


def _restless(rng: np.random.Generator, phase: Samples) -> Samples:
    """[sample]: a height for each turn, joined smoothly."""
    turns = np.arange(int(phase.max()) + 3)
    heights = np.clip(1.0 + rng.uniform(0.05, 0.25) * rng.standard_normal(turns.size), 0.4, 1.6)
    heights *= np.where(turns % 2 == 0, 1.0, 1.0 - rng.uniform(0.0, 0.4))
    return np.interp(phase, turns + 0.5, heights)


def _turned(rng: np.random.Generator) -> Samples:
    """A rotation by chance: any axis."""
    q, _ = np.linalg.qr(rng.standard_normal((3, 3)))
    return q


def _harmonics(rng: np.random.Generator, phase: Samples) -> Samples:
    """[axis, sample]: a sine with little of its second and third harmonic, its axes a little out of step."""
    shares = (1.0, rng.uniform(0.0, 0.35), rng.uniform(0.0, 0.12))
    weight = np.array([1.0, rng.uniform(0.2, 0.6), rng.uniform(0.1, 0.3)])
    lag = np.array([0.0, rng.uniform(-0.12, 0.12), rng.uniform(-0.2, 0.2)])
    offsets = rng.random(3)
    rows = [
        sum(share * np.sin(2 * np.pi * ((k + 1) * (phase + shift) + offsets[k])) for k, share in enumerate(shares))
        for shift in lag
    ]
    return weight[:, None] * np.stack(rows)


def _parts(rng: np.random.Generator, form: Form, phase: Samples, mean_s: float) -> Samples:
    """[axis, sample]: broad parts of a QRS and a T wave, each with a direction of its own."""
    within = phase - np.floor(phase)
    width_s = rng.uniform(0.14, 0.20) if form != "hyperkalaemic" else rng.uniform(0.18, 0.26)
    width = min(width_s / mean_s, 0.62)
    axis = np.array([1.0, rng.uniform(-0.3, 0.3), rng.uniform(-0.3, 0.3)])
    out = np.zeros((3, phase.size))
    t_height = -rng.uniform(0.25, 0.7)
    if form == "triangle":
        rise = rng.uniform(0.25, 0.75)
        span = rng.uniform(0.7, 1.0)
        x = within / span
        wave = np.where(x < rise, x / rise, np.clip((1 - x) / (1 - rise), 0, None))
        return axis[:, None] * _smooth(wave, within)[None]
    if form == "hyperkalaemic":
        t_height = rng.choice([-1.0, 1.0]) * rng.uniform(0.6, 1.2)
    parts = {
        "monophasic": [(0.5, 1.0, 1.0)],
        "biphasic": [(0.28, 0.7, rng.uniform(0.4, 1.0)), (0.72, 0.8, -rng.uniform(0.5, 1.0))],
        "notched": [(0.3, 0.6, 0.9), (0.68, 0.7, rng.uniform(0.5, 1.0))],
        "hyperkalaemic": [(0.5, 1.0, 1.0)],
    }[form]
    for place, broad, height in parts:
        tilt = axis + rng.normal(0.0, 0.25, 3)
        out += tilt[:, None] * height * _bell(within, place * width, broad * width / 4.2)[None]
    t_at = width + rng.uniform(0.35, 0.5) * (1.0 - width)
    t_tilt = axis + rng.normal(0.0, 0.3, 3)
    t_width = max((1.0 - width) * rng.uniform(0.2, 0.3), 0.09)
    return out + t_tilt[:, None] * t_height * _bell(within, t_at, t_width)[None]


def _bell(within: Samples, centre: float, width: float) -> Samples:
    """A wave that comes once a turn."""
    apart = (within - centre + 0.5) % 1.0 - 0.5
    return np.exp(-0.5 * np.square(apart / width))


def _smooth(wave: Samples, within: Samples) -> Samples:
    """Its corners rounded, as the body does."""
    size = max(3, round(0.1 / max(float(np.median(np.abs(np.diff(within)))), 1e-4)))
    kernel = np.hanning(size + 2)[1:-1]
    return np.asarray(np.convolve(wave, kernel / kernel.sum(), mode="same"), dtype=np.float64)


def _noise(
    rng: np.random.Generator, shape: tuple[int, ...], time_s: Samples, size: float, noise: Noise | None
) -> Samples:
    kind = noise if noise is not None else ("", "muscle", "wander", "both")[int(rng.integers(0, 4))]
    out = rng.normal(0.0, 0.006, shape)
    if kind in ("muscle", "both"):
        out += rng.normal(0.0, rng.uniform(0.01, 0.05) * min(size, 2.0), shape)
    if kind in ("wander", "both"):
        wave = np.sin(2 * np.pi * (rng.uniform(0.1, 0.4) * time_s + rng.random((shape[0], 1))))
        out += rng.uniform(0.05, 0.3) * min(size, 2.0) * wave
    return out
