"""One lead as a hand-held or worn recorder gives it, from a seed: dry electrodes, motion, muscle, lost contact, clipping.

The heart is sinus with respiratory arrhythmia, with or without ventricular premature beats.  The noises are those that
the noise stress test of MIT-BIH names (electrode motion, muscle artefact, baseline wander), made anew, and what dry
electrodes add: steps that the recorder's high-pass turns into slow humps, contact that comes and goes, the end of the
range.  All of it passes the recorder's own band, as it does in life: that is what makes motion look like beats.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
from scipy import signal as dsp

from center.reads import SignalInput

Samples = npt.NDArray[np.float64]
Rng = np.random.Generator
Noise = Literal["motion", "bumps", "muscle", "wander", "contact", "mains", "steps", "taps", "squares", "white"]

NOISES: Final[tuple[Noise, ...]] = (
    *("motion", "bumps", "muscle", "wander", "contact", "mains", "steps", "taps", "squares", "white"),
)
_RATES_HZ: Final = (300.0, 300.0, 300.0, 250.0, 200.0, 500.0, 125.0, 128.0)
_BANDS_HZ: Final = ((0.5, 40.0), (0.5, 40.0), (0.67, 40.0), (0.05, 100.0), (0.5, 25.0))


@dataclass(frozen=True, slots=True)
class HandheldTruth:
    """at_s: R peaks; is_v: [beat], which are ventricular premature beats; dirty: [second], where motion was added."""

    at_s: Samples
    is_v: npt.NDArray[np.bool_]
    dirty: npt.NDArray[np.bool_]
    rate: float


def make_handheld(
    seed: int, *, pvcs: int = 0, dirt: float | None = None, seconds: float = 30.0
) -> tuple[SignalInput, HandheldTruth]:
    """A sinus strip of one lead.  pvcs: how many premature beats.  dirt: 0 (clean) to 1 (as bad as is still read)."""
    rng = np.random.default_rng((seed, 301))
    fs_hz, band = float(rng.choice(_RATES_HZ)), _BANDS_HZ[int(rng.integers(len(_BANDS_HZ)))]
    dirt = float(rng.beta(1.2, 2.0)) if dirt is None else dirt
    rate = float(rng.uniform(45, 110))
    at_s, is_v = _beats(rng, rate, seconds, pvcs)
    mv = _heart(rng, at_s, is_v, rate, seconds, fs_hz)
    added, dirty = _dirt(rng, dirt, seconds, fs_hz)
    mv = mv + added
    if rng.random() < 0.15:
        mv = -mv  # held the other way round
    mv = _recorded(rng, mv, fs_hz, band)
    if rng.random() < 0.2:
        limit = float(np.quantile(np.abs(mv), 0.999)) * rng.uniform(0.7, 1.0)
        mv = np.clip(mv, -limit, limit)
    age = float(rng.integers(20, 80)) if rng.random() < 0.5 else None
    recording = SignalInput(mv[None].astype(np.float32), ("I",), fs_hz, age, "")
    return recording, HandheldTruth(at_s, is_v, dirty, rate)


def make_noise(seed: int, kind: Noise | None = None, *, seconds: float = 30.0) -> SignalInput:
    """A strip of one lead without a heart: one kind of noise, or two of them."""
    rng = np.random.default_rng((seed, 302))
    fs_hz, band = float(rng.choice(_RATES_HZ)), _BANDS_HZ[int(rng.integers(len(_BANDS_HZ)))]
    some = rng.choice(len(NOISES), size=int(rng.integers(1, 3)), replace=False).tolist() if kind is None else []
    kinds: list[Noise] = [kind] if kind is not None else [NOISES[one] for one in some]
    count = int(seconds * fs_hz)
    mv = rng.normal(0, rng.uniform(0.002, 0.03), count)
    for name in kinds:
        mv = mv + _NOISE_MAKERS[name](rng, count, fs_hz) * rng.uniform(0.3, 1.5)
    mv = _recorded(rng, mv, fs_hz, band)
    return SignalInput(mv[None].astype(np.float32), ("I",), fs_hz)


# ------------------------------------------------------------------------------------------------ the heart


def _beats(rng: Rng, rate: float, seconds: float, pvcs: int) -> tuple[Samples, npt.NDArray[np.bool_]]:
    """Sinus with breathing and drift; each premature beat with its pause."""
    usual, breath_hz = 60.0 / rate, rng.uniform(0.15, 0.35)
    swing, drift = rng.uniform(0.01, 0.10), rng.uniform(0.005, 0.02)
    at: list[float] = [float(rng.uniform(0.1, usual))]
    kinds = [False]
    wanted = set(_places(rng, int((seconds - 2) / usual) - 3, pvcs))
    index = 0
    while at[-1] < seconds - 0.35:
        breathing = swing * np.sin(2 * np.pi * breath_hz * at[-1])
        rr = usual * (1 + breathing + rng.normal(0, drift))
        index += 1
        if index in wanted:
            coupling = usual * rng.uniform(0.55, 0.75)
            at += [at[-1] + coupling, at[-1] + usual * rng.uniform(1.9, 2.05)]
            kinds += [True, False]
        else:
            at.append(at[-1] + rr)
            kinds.append(False)
    kept = np.array(at) < seconds - 0.05
    return np.array(at)[kept], np.array(kinds)[kept]


def _places(rng: Rng, room: int, count: int) -> list[int]:
    """Beats before which a premature one comes: apart from each other, and neither first nor last."""
    if room < 3 or not count:
        return []
    return (2 + np.sort(rng.choice(max(room // 2, 1), size=min(count, room // 2), replace=False)) * 2).tolist()


def _heart(rng: Rng, at_s: Samples, is_v: npt.NDArray[np.bool_], rate: float, seconds: float, fs_hz: float) -> Samples:
    t = np.arange(int(seconds * fs_hz)) / fs_hz
    r, q, s = rng.uniform(0.25, 1.4), rng.uniform(0.0, 0.12), rng.uniform(0.02, 0.35)
    p, t_high = rng.uniform(0.04, 0.15), rng.uniform(0.08, 0.45)
    width, qt = rng.uniform(0.009, 0.014), 0.39 * (60.0 / rate) ** (1 / 3) * rng.uniform(0.93, 1.07)
    pr, st = rng.uniform(0.12, 0.18), rng.uniform(-0.02, 0.04)
    v_high, v_width = rng.uniform(0.9, 2.0) * r * rng.choice([-1.0, 1.0]), rng.uniform(0.026, 0.04)
    mv = np.zeros(t.size)

    def wave(centre: float, high: float, sigma: float) -> None:
        first, last = int(max((centre - 5 * sigma) * fs_hz, 0)), int((centre + 5 * sigma) * fs_hz) + 1
        mv[first:last] += high * np.exp(-0.5 * np.square((t[first:last] - centre) / sigma))

    for at, ventricular in zip(at_s.tolist(), is_v.tolist(), strict=True):
        one = 1.0 + rng.normal(0, 0.03)
        if ventricular:
            wave(at, v_high * one, v_width)
            wave(at + 2.2 * v_width, -0.35 * v_high * one, 1.3 * v_width)
            wave(at + 0.30, -0.4 * v_high * one, 0.06)
            continue
        wave(at - pr, p * one, 0.022)
        wave(at - 2.2 * width, -q * one, 0.8 * width)
        wave(at, r * one, width)
        wave(at + 2.4 * width, -s * one, width)
        wave(at + 0.14, st, 0.05)
        wave(at + qt - 0.11, t_high * one, 0.045)
        wave(at + qt - 0.17, 0.35 * t_high * one, 0.05)
    return mv


# ------------------------------------------------------------------------------------------------ noise


def made_dirt(rng: Rng, dirt: float, seconds: float, fs_hz: float) -> Samples:
    """Noise to be added to any lead, mV where its beats are 1 mV high."""
    return _dirt(rng, dirt, seconds, fs_hz)[0]


def _dirt(rng: Rng, dirt: float, seconds: float, fs_hz: float) -> tuple[Samples, npt.NDArray[np.bool_]]:
    """What is added to a heart, mV, and the seconds in which it is motion or lost contact."""
    count = int(seconds * fs_hz)
    out = rng.normal(0, 0.004 + 0.02 * dirt * rng.random(), count)
    out += _wander(rng, count, fs_hz) * dirt * rng.uniform(0.1, 0.8)
    out += _muscle(rng, count, fs_hz) * dirt * rng.uniform(0.1, 0.8)
    dirty = np.zeros(int(seconds), dtype=bool)
    for _ in range(rng.poisson(5 * dirt)):
        name = str(rng.choice(["motion", "bumps", "muscle", "contact", "steps", "taps"]))
        length = min(int(rng.uniform(0.5, 6.0) * fs_hz), count)
        first = int(rng.integers(0, count - length + 1))
        piece = _NOISE_MAKERS[name](rng, length, fs_hz)
        out[first : first + length] += piece * rng.uniform(0.4, 1.2)
        dirty[int(first / fs_hz) : int((first + length) / fs_hz) + 1] = True
    return out, dirty


def _band(rng: Rng, count: int, fs_hz: float, low: float, high: float) -> Samples:
    """Noise of rms 1 in this band."""
    high = min(high, 0.45 * fs_hz)
    sos = dsp.butter(2, [low, high], "bandpass", fs=fs_hz, output="sos")
    seen = np.asarray(dsp.sosfilt(sos, rng.normal(0, 1, count + int(2 * fs_hz)))[int(2 * fs_hz) :])
    return seen / max(float(seen.std()), 1e-9)


def _motion(rng: Rng, count: int, fs_hz: float) -> Samples:
    """Electrode motion: 1 to 10 Hz, in gusts."""
    return 0.6 * _band(rng, count, fs_hz, 1.0, 10.0) * _gusts(rng, count, fs_hz)


def _gusts(rng: Rng, count: int, fs_hz: float) -> Samples:
    slow = np.abs(_band(rng, count, fs_hz, 0.1, 0.6)) if count > 4 * fs_hz else np.ones(count)
    return 0.3 + slow


def _bumps(rng: Rng, count: int, fs_hz: float) -> Samples:
    """Single deflections as wide as a ventricular beat, some with a tail the other way."""
    t, out = np.arange(count) / fs_hz, np.zeros(count)
    for _ in range(max(1, rng.poisson(0.8 * count / fs_hz))):
        at, sigma, high = rng.uniform(0, count / fs_hz), rng.uniform(0.02, 0.12), rng.normal(0, 1.0)
        out += high * np.exp(-0.5 * np.square((t - at) / sigma))
        out -= 0.4 * high * rng.random() * np.exp(-0.5 * np.square((t - at - 2.5 * sigma) / (2 * sigma)))
    return out


def _muscle(rng: Rng, count: int, fs_hz: float) -> Samples:
    return 0.15 * _band(rng, count, fs_hz, 15.0, 110.0) * _gusts(rng, count, fs_hz)


def _wander(rng: Rng, count: int, fs_hz: float) -> Samples:
    t = np.arange(count) / fs_hz
    parts = (rng.normal(0, 0.4) * np.sin(2 * np.pi * (rng.uniform(0.05, 0.7) * t + rng.random())) for _ in range(5))
    return np.sum(list(parts), axis=0)


def _contact(rng: Rng, count: int, fs_hz: float) -> Samples:
    """Contact comes and goes: off, another level and the mains' hum; each change a jump."""
    t, out = np.arange(count) / fs_hz, np.zeros(count)
    at = 0
    while at < count:
        length = int(rng.uniform(0.1, 1.5) * fs_hz)
        if rng.random() < 0.5:
            hum = rng.uniform(0.0, 0.3) * np.sin(2 * np.pi * 50.0 * t[at : at + length])
            out[at : at + length] += rng.normal(0, 1.5) + hum
        at += length
    return out


def _mains(rng: Rng, count: int, fs_hz: float) -> Samples:
    t = np.arange(count) / fs_hz
    return rng.uniform(0.1, 0.8) * np.sin(2 * np.pi * float(rng.choice([50.0, 60.0])) * t) * _gusts(rng, count, fs_hz)


def _steps(rng: Rng, count: int, fs_hz: float) -> Samples:
    """Jumps of the level, each of which dies away."""
    out = np.zeros(count)
    for _ in range(max(1, rng.poisson(0.5 * count / fs_hz))):
        at = int(rng.integers(0, count))
        after = np.arange(count - at) / fs_hz
        out[at:] += rng.normal(0, 1.2) * np.exp(-after / rng.uniform(0.05, 1.0))
    return out


def _taps(rng: Rng, count: int, fs_hz: float) -> Samples:
    """Knocks on the recorder, one like the other, at their own pace: a swing that rings out."""
    t, out = np.arange(count) / fs_hz, np.zeros(count)
    at, every = float(rng.uniform(0, 1)), float(rng.uniform(0.3, 1.5))
    ring_hz, fades_s, high = rng.uniform(3, 15), rng.uniform(0.03, 0.12), rng.uniform(0.4, 2.0)
    while at < count / fs_hz:
        after = t[int(at * fs_hz) :] - at
        out[int(at * fs_hz) :] += high * np.exp(-after / fades_s) * np.sin(2 * np.pi * ring_hz * after)
        at += every * rng.uniform(0.8, 1.2)
    return out


def _squares(rng: Rng, count: int, fs_hz: float) -> Samples:
    """A level that changes between two, as a loose plug gives it."""
    out, at, level = np.zeros(count), 0, 0.0
    while at < count:
        length = int(rng.uniform(0.05, 1.0) * fs_hz)
        out[at : at + length] = level
        level, at = (0.0 if level else float(rng.uniform(0.5, 3.0))), at + max(length, 1)
    return out


def _white(rng: Rng, count: int, fs_hz: float) -> Samples:
    return rng.normal(0, rng.uniform(0.05, 0.5), count)


_NOISE_MAKERS: Final = {
    "motion": _motion,
    "bumps": _bumps,
    "muscle": _muscle,
    "wander": _wander,
    "contact": _contact,
    "mains": _mains,
    "steps": _steps,
    "taps": _taps,
    "squares": _squares,
    "white": _white,
}


def _recorded(rng: Rng, mv: Samples, fs_hz: float, band: tuple[float, float]) -> Samples:
    """As the recorder's own band and steps leave it."""
    high = min(band[1], 0.45 * fs_hz)
    sos = dsp.butter(2, [band[0], high], "bandpass", fs=fs_hz, output="sos")
    seen = np.asarray(dsp.sosfilt(sos, mv - mv[0]))
    step = float(rng.choice([0.0005, 0.001, 0.005]))
    return np.round(seen / step) * step
