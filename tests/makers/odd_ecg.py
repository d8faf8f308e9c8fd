"""Recordings that no engine likes, from a seed: every way of being odd that a recorder, a lead or a heart has shown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

import numpy as np
import numpy.typing as npt

from center.reads import SignalInput
from ecg.atrial import Atrial
from ecg.marks import Beats, Waves
from ecg.signal import STANDARD_LEADS
from ecg.strip import Strip, strip_of
from tests.makers.known_rhythms import known_stages
from tests.makers.rhythms import MAKERS, make_rhythm

Samples = npt.NDArray[np.float64]
Rng = np.random.Generator
Oddity = Callable[[Samples, float, Rng], None]

_RATES_HZ: Final = (50.0, 100.0, 125.0, 128.0, 180.0, 200.0, 250.0, 257.0, 300.0, 333.3, 360.0, 500.0, 977.0, 1000.0)
_SECONDS: Final = (0.1, 1.0, 2.0, 3.9, 4.0, 4.1, 5.0, 6.0, 8.0, 10.0, 15.0, 30.0)
_LEADS: Final = (1, 1, 1, 2, 3, 8, 12)
_KINDS: Final = tuple(MAKERS)


def odd_recording(seed: int) -> SignalInput:
    """A made rhythm, or none, cut, scaled and spoilt by up to three oddities."""
    rng = np.random.default_rng((seed, 77))
    fs_hz, seconds = float(rng.choice(_RATES_HZ)), float(rng.choice(_SECONDS))
    rows = int(rng.choice(_LEADS))
    count = max(int(seconds * fs_hz), 1)
    leads = tuple(rng.permutation(STANDARD_LEADS)[:rows].tolist())
    mv = _heart(rng, leads, count, fs_hz) if rng.random() < 0.8 else rng.normal(0, 0.3, (rows, count))
    for oddity in rng.choice(len(_ODDITIES), size=int(rng.integers(0, 4)), replace=False).tolist():
        _ODDITIES[oddity](mv, fs_hz, rng)
    age = None if rng.random() < 0.5 else float(rng.choice([0.0, 0.01, 0.5, 3.0, 12.0, 40.0, 70.0, 110.0]))
    return SignalInput(mv.astype(np.float32), leads, fs_hz, age, str(rng.choice(["", "M", "F"])))


def _heart(rng: Rng, leads: tuple[str, ...], count: int, fs_hz: float) -> Samples:
    """[lead, sample]: a made rhythm resampled by straight lines and repeated to length."""
    made = make_rhythm(str(rng.choice(_KINDS)), int(rng.integers(1, 10_000)))[0]
    rows = [made.leads.index(lead) for lead in leads]
    time = (np.arange(count) / fs_hz) % (made.signal.shape[1] / made.fs_hz)
    there = np.arange(made.signal.shape[1]) / made.fs_hz
    return np.stack([np.interp(time, there, made.signal[row].astype(np.float64)) for row in rows])


def _span(mv: Samples, rng: Rng, longest: float = 1.0) -> slice:
    count = mv.shape[1]
    length = max(1, int(count * rng.uniform(0, longest)))
    start = int(rng.integers(0, max(count - length, 0) + 1))
    return slice(start, start + length)


def _gap(mv: Samples, fs_hz: float, rng: Rng) -> None:
    mv[int(rng.integers(0, len(mv))), _span(mv, rng)] = np.nan


def _gap_in_all(mv: Samples, fs_hz: float, rng: Rng) -> None:
    mv[:, _span(mv, rng, 0.7)] = np.nan


def _infinite(mv: Samples, fs_hz: float, rng: Rng) -> None:
    mv[:, _span(mv, rng, 0.01)] = np.inf


def _flat(mv: Samples, fs_hz: float, rng: Rng) -> None:
    mv[:, _span(mv, rng)] = float(rng.choice([0.0, 1.5, -32.0]))


def _spikes(mv: Samples, fs_hz: float, rng: Rng) -> None:
    at = rng.integers(0, mv.shape[1], size=int(rng.integers(1, 60)))
    mv[:, at] += rng.choice([-1.0, 1.0], size=at.size) * float(rng.choice([0.5, 5.0, 300.0]))


def _saturated(mv: Samples, fs_hz: float, rng: Rng) -> None:
    np.clip(mv * rng.uniform(1, 20), -1.0, 1.0, out=mv)


def _absurd(mv: Samples, fs_hz: float, rng: Rng) -> None:
    mv *= float(rng.choice([1e-9, 1e-4, 0.01, 50.0, 1e4, 1e9]))


def _offset(mv: Samples, fs_hz: float, rng: Rng) -> None:
    mv += float(rng.choice([-300.0, 20.0, 1e6]))


def _few_beats(mv: Samples, fs_hz: float, rng: Rng) -> None:
    """The signal stops after some seconds: three beats, two, one."""
    rest = mv[:, int(rng.uniform(0.5, 3.5) * fs_hz) :]
    rest[:] = rng.normal(0, 0.002, rest.shape)


def _noisy(mv: Samples, fs_hz: float, rng: Rng) -> None:
    mv += rng.normal(0, float(rng.choice([0.02, 0.1, 0.5])), mv.shape)


def _steps(mv: Samples, fs_hz: float, rng: Rng) -> None:
    for _ in range(int(rng.integers(1, 6))):
        mv[:, int(rng.integers(0, mv.shape[1])) :] += rng.normal(0, 3.0)


def _quantised(mv: Samples, fs_hz: float, rng: Rng) -> None:
    step = float(rng.choice([0.05, 0.5]))
    mv[:] = np.round(mv / step) * step


def _upside_down(mv: Samples, fs_hz: float, rng: Rng) -> None:
    mv *= -1.0


def _same_leads(mv: Samples, fs_hz: float, rng: Rng) -> None:
    mv[:] = mv[:1]


_ODDITIES: Final[tuple[Oddity, ...]] = (
    *(_gap, _gap_in_all, _infinite, _flat, _spikes, _saturated, _absurd, _offset, _few_beats, _noisy, _steps),
    *(_quantised, _upside_down, _same_leads),
)


def odd_stages(seed: int) -> tuple[Strip, Beats, Waves, Atrial]:
    """A made rhythm's strip with its true beats, waves and atria, then with some of them lost, moved or doubled."""
    rng = np.random.default_rng((seed, 78))
    recording, truth = make_rhythm(str(rng.choice(_KINDS)), seed)
    rows = rng.permutation(len(recording.leads))[: int(rng.choice((1, 3, 12)))]
    some = replace(recording, signal=recording.signal[rows], leads=tuple(recording.leads[row] for row in rows.tolist()))
    strip = strip_of(some)
    beats, waves, atria = known_stages(strip, truth)
    kept = np.sort(rng.permutation(len(beats))[: int(rng.choice((0, 1, 2, 3, 8, 100)))])
    moved = rng.normal(0, float(rng.choice((0.0, 0.02, 0.3))), waves.overall.shape) * strip.fs_hz
    lost = rng.random(waves.overall.shape) < float(rng.choice((0.0, 0.1, 0.5, 1.0)))
    overall = np.where(lost, np.nan, waves.overall + moved)[kept]
    by_lead = np.where(lost, np.nan, waves.by_lead + moved)[:, kept]
    at = np.clip(beats.at + rng.integers(-1, 2, len(beats)), 0, strip.mv.shape[1] - 1)[kept]
    odd = Beats(
        at=np.maximum.accumulate(at) if at.size else at,
        kinds=tuple(beats.kinds[k] for k in kept.tolist()),
        family=beats.family[kept],
        dominant=beats.dominant,
        certainty=rng.random(kept.size),
        spikes=beats.spikes,
    )
    evidence = replace(
        atria,
        p_evidence=atria.p_evidence[kept],
        p_samples=atria.p_samples[:0],
        p_beat=atria.p_beat[:0],
    )
    return strip, odd, Waves(overall, by_lead, waves.p_certainty[kept]), evidence
