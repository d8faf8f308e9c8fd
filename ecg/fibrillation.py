"""Ventricular fibrillation and flutter, from the signal itself: where there is no QRS, beats can't tell.

In windows of 3 s each lead is asked whether it is a wave without QRS: no slope stands out, the level hardly rests,
and most of the power lies between 2.4 and 8 Hz.  Ordinary beats, however fast or wide, have slopes five to fifteen
times the mean and rest for most of the time.  Limits (all ours): set on the flutter of record 207 and on made
fibrillation, with MIT-BIH DS1 and PTB-XL folds 7-8 as what must not pass.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from ecg.strip import Samples, Strip

Flags = npt.NDArray[np.bool_]

_HZ: Final = 100.0
"""About the rate at which it is looked for; nothing above 30 Hz is used."""
_WINDOW_S: Final = 3.0
_HOP_S: Final = 0.5
_BLOCK_S: Final = 600.0
_BAND_HZ: Final = (0.9, 30.0)

_MOST_PEAK: Final = 5.0
"""Slope that one in a hundred passes, against the mean slope: a sine has 1.6, fibrillation 2.4-3.9, 207's flutter
2.3-4.8, ordinary beats 6-15."""
_GATE_PEAK: Final = 9.0
"""Largest slope against the mean slope, before filtering: what is above is not looked at further."""
_MOST_REST: Final = 0.48
"""Share of time with less than 15 % of the steep slopes: 0.1-0.45 in fibrillation, 0.6-0.9 between beats."""
_LEAST_OCCUPIED: Final = 0.36
"""Share of time beyond a fifth of the largest deflection (threshold crossing; Arafat et al. 2011 ask for 0.48)."""
_LEAST_IN_BAND: Final = 0.62
_MOST_FAST: Final = 0.25
_MOST_SLOW: Final = 0.30
_SLOWEST_HZ: Final = 2.9
"""Compressions of the chest (1.7-2.0 Hz) and tachycardias below 175/min lie under it."""
_LEAST_MV: Final = 0.10
"""Between the 5th and 95th percentile; less is asystole or noise (fine fibrillation: about 0.1-0.2 mV)."""
_LEADS_AGREE: Final = 0.66
_SHORTEST_S: Final = {1: 4.0, 2: 4.0}
"""By the number of leads; 3 s with three or more."""

_REGULAR: Final = 0.72
"""Share of the power within 1 Hz of the main frequency: flutter and torsades above, fibrillation mostly below."""
_FLUTTER_HZ: Final = (3.05, 5.6)
"""A regular wave slower than this (183/min), or one that rests, is left to the beats: ventricular tachycardia."""
_FLUTTER_REST: Final = 0.40
_IRREGULAR_FROM_HZ: Final = 3.2
_IRREGULAR_REST: Final = 0.42
_IRREGULAR_PEAK: Final = 4.3
"""What isn't regular may be fast atrial fibrillation with broad QRS: it has to be faster and smoother (ours)."""
_TWIST_TO_HZ: Final = 4.5
_TWIST: Final = 0.25
_TWIST_LEADS: Final = 3

Kind = Literal["vf", "v_flutter", "torsades"]


@dataclass(frozen=True, slots=True)
class Span:
    """start_s, end_s: seconds of the strip.  rate: /min of the wave.  mv: its height.  certainty: 0..1.

    fs_hz: of the strip, so that samples can be told to lie inside.
    """

    kind: Kind
    start_s: float
    end_s: float
    rate: float
    mv: float
    certainty: float
    fs_hz: float

    @property
    def seconds(self) -> float:
        return self.end_s - self.start_s


def spans(strip: Strip) -> tuple[Span, ...]:
    """Where the ventricles fibrillate or flutter, in time; empty almost always."""
    step = max(1, round(strip.fs_hz / _HZ))
    hz = strip.fs_hz / step
    length = strip.mv.shape[1] // step
    if length < int(_WINDOW_S * hz):
        return ()
    block = int(_BLOCK_S * hz)
    found: list[Span] = []
    for first in range(0, length, block):
        last = min(length, first + block + int(_WINDOW_S * hz))
        if last - first < int(_WINDOW_S * hz):
            break
        rows = slice(first * step, last * step)
        thin = strip.mv[:, rows].reshape(len(strip.leads), last - first, step).mean(axis=2)
        known = strip.is_known[:, first * step : last * step : step]
        found += _spans_of_block(thin, known, hz, first / hz)
    found = [replace(span, fs_hz=strip.fs_hz) for span in found]
    return _joined(found)


_LIKELY_IN_BAND: Final = 0.5
_LIKELY_FAST: Final = 0.3
_LIKELY_SLOW: Final = 0.4
_LIKELY_PEAK: Final = 6.0
_LIKELY_SHARE: Final = 0.4


def is_likely(strip: Strip) -> bool:
    """Whether four windows in ten nearly look like fibrillation: too little to say so, enough not to call it noise."""
    step = max(1, round(strip.fs_hz / _HZ))
    hz, length = strip.fs_hz / step, strip.mv.shape[1] // step
    window = int(_WINDOW_S * hz)
    if length < window:
        return False
    thin = strip.mv[:, : length * step].reshape(len(strip.leads), length, step).mean(axis=2)
    starts = np.arange(0, length - window + 1, window // 2)[:1000]
    seen = traits_of(thin[:, starts[:, None] + np.arange(window)], hz)
    looks = (seen.in_band > _LIKELY_IN_BAND) & (seen.fast < _LIKELY_FAST) & (seen.slow < _LIKELY_SLOW)
    looks &= (seen.peak < _LIKELY_PEAK) & (seen.main_hz >= _SLOWEST_HZ) & (seen.height_mv >= _LEAST_MV)
    return float(looks.any(axis=0).mean()) >= _LIKELY_SHARE


def outside(at: npt.NDArray[np.int64], found: tuple[Span, ...]) -> npt.NDArray[np.int64]:
    """The beats (samples of the strip) outside all spans.  What is found inside them is no heart beat."""
    keep = np.ones(at.size, dtype=bool)
    for span in found:
        keep &= (at < span.start_s * span.fs_hz) | (at > span.end_s * span.fs_hz)
    return at[keep]


def _spans_of_block(mv: Samples, known: Flags, hz: float, from_s: float) -> list[Span]:
    window, hop = int(_WINDOW_S * hz), int(_HOP_S * hz)
    starts = np.arange(0, mv.shape[1] - window + 1, hop)
    gate = without_sharp_slopes(mv, window, starts)
    enough = gate.mean(axis=0) >= 0.5
    if not enough.any():
        return []
    seen = np.flatnonzero(enough)
    cut = starts[seen][:, None] + np.arange(window)
    traits = traits_of(mv[:, cut], hz)
    live = known[:, cut].mean(axis=2) > 0.95
    live &= traits.height_mv >= _LEAST_MV
    is_wave = live & _is_wave(traits)
    counted = np.maximum(live.sum(axis=0), 1)
    share = is_wave.sum(axis=0) / counted
    needed = min(3, mv.shape[0])
    passed = (share >= _LEADS_AGREE) & (live.sum(axis=0) >= max(needed, mv.shape[0] // 3))
    return _runs(passed, share, traits, is_wave, starts[seen] / hz + from_s, mv.shape[0])


@dataclass(frozen=True, slots=True)
class Traits:
    """Each [lead, window]."""

    peak: Samples
    rest: Samples
    occupied: Samples
    in_band: Samples
    fast: Samples
    slow: Samples
    main_hz: Samples
    regular: Samples
    height_mv: Samples
    twist: Samples


def without_sharp_slopes(mv: Samples, window: int, starts: npt.NDArray[np.int64]) -> Flags:
    """[lead, window]: a cheap first look that ordinary beats don't pass."""
    slope = np.abs(np.diff(mv, axis=1, append=mv[:, -1:]))
    total = np.concatenate([np.zeros((mv.shape[0], 1)), np.cumsum(slope, axis=1)], axis=1)
    mean = (total[:, starts + window] - total[:, starts]) / window
    hop = int(starts[1] - starts[0]) if starts.size > 1 else window
    blocks = slope[:, : slope.shape[1] // hop * hop].reshape(mv.shape[0], -1, hop).max(axis=2)
    inside = np.clip((starts // hop)[:, None] + np.arange(window // hop), 0, blocks.shape[1] - 1)
    # The sharpest half second of a window may be one artefact: the second sharpest is asked.
    second = (
        np.partition(blocks[:, inside], -2, axis=2)[:, :, -2] if inside.shape[1] > 1 else blocks[:, inside][:, :, 0]
    )
    return second < _GATE_PEAK * mean


def traits_of(windows: Samples, hz: float) -> Traits:
    """windows: [lead, window, sample], mV."""
    count = windows.shape[2]
    frequency = np.asarray(np.fft.rfftfreq(count, 1.0 / hz), dtype=np.float64)
    spectrum = np.fft.rfft(windows - windows.mean(axis=2, keepdims=True), axis=2)
    spectrum[:, :, (frequency < _BAND_HZ[0]) | (frequency > _BAND_HZ[1])] = 0.0
    wave = np.fft.irfft(spectrum, count, axis=2)
    power = np.square(np.abs(np.fft.rfft(wave * np.hanning(count), axis=2)))
    whole = power.sum(axis=2) + 1e-12
    band = (frequency >= 2.0) & (frequency <= 10.0)
    main = _peak_hz(power[:, :, band], frequency[band])
    slope = np.abs(np.diff(wave, axis=2))
    steep = np.quantile(slope, (0.98, 0.99), axis=2)
    size = np.abs(wave)
    low, high = np.quantile(wave, (0.05, 0.95), axis=2)
    thirds = np.sqrt(np.square(wave[:, :, : count // 6 * 6]).reshape(*wave.shape[:2], 6, -1).mean(axis=3))
    return Traits(
        peak=steep[1] / (slope.mean(axis=2) + 1e-12),
        rest=(slope < 0.15 * steep[0][:, :, None]).mean(axis=2),
        occupied=(size > 0.2 * size.max(axis=2, keepdims=True)).mean(axis=2),
        in_band=power[:, :, (frequency >= 2.4) & (frequency <= 8.0)].sum(axis=2) / whole,
        fast=power[:, :, frequency > 10.0].sum(axis=2) / whole,
        slow=power[:, :, frequency < 2.4].sum(axis=2) / whole,
        main_hz=main,
        regular=(power * (np.abs(frequency - main[:, :, None]) <= 1.0)).sum(axis=2) / whole,
        height_mv=high - low,
        twist=thirds.std(axis=2) / (thirds.mean(axis=2) + 1e-12),
    )


def _peak_hz(power: Samples, frequency: Samples) -> Samples:
    """[lead, window]: the strongest frequency, between the lines of the spectrum (their centre of gravity)."""
    best = np.argmax(power, axis=2)
    near = np.clip(best[:, :, None] + np.arange(-1, 2), 0, frequency.size - 1)
    weight = np.take_along_axis(power, near, axis=2)
    moment = np.einsum("lwk,lwk->lw", weight, frequency[near])
    return np.asarray(moment / (weight.sum(axis=2) + 1e-12), dtype=np.float64)


def _is_wave(t: Traits) -> Flags:
    return (
        (t.peak < _MOST_PEAK)
        & (t.rest < _MOST_REST)
        & (t.occupied > _LEAST_OCCUPIED)
        & (t.in_band > _LEAST_IN_BAND)
        & (t.fast < _MOST_FAST)
        & (t.slow < _MOST_SLOW)
        & (t.main_hz >= _SLOWEST_HZ)
    )


def _runs(passed: Flags, share: Samples, t: Traits, is_wave: Flags, starts_s: Samples, leads: int) -> list[Span]:
    """The spans that windows which pass, one after the other, make up."""
    found: list[Span] = []
    at = np.flatnonzero(passed)
    if not at.size:
        return found
    breaks = np.flatnonzero(np.diff(starts_s[at]) > _WINDOW_S / 2 + 0.01) + 1
    for run in np.split(at, breaks):
        start, end = float(starts_s[run[0]]), float(starts_s[run[-1]]) + _WINDOW_S
        if end - start < _SHORTEST_S.get(leads, _WINDOW_S):
            continue
        waves = is_wave[:, run]
        seen = _Middle(*(float(np.median(v[:, run][waves])) for v in (t.main_hz, t.regular, t.twist, t.rest, t.peak)))
        kind = _kind(seen, leads)
        if kind is None:
            continue
        certainty = min(0.99, 0.6 + 0.3 * float(share[run].mean()) + 0.02 * min(5.0, end - start - _WINDOW_S))
        found.append(
            Span(kind, start, end, 60.0 * seen.main_hz, float(np.median(t.height_mv[:, run][waves])), certainty, 0.0)
        )
    return found


class _Middle(NamedTuple):
    """Medians over the leads and windows of a run."""

    main_hz: float
    regular: float
    twist: float
    rest: float
    peak: float


def _kind(seen: _Middle, leads: int) -> Kind | None:
    """None: a wave that the beats explain better."""
    if seen.regular >= _REGULAR and seen.main_hz <= _FLUTTER_HZ[1]:
        twists = seen.twist >= _TWIST and leads >= _TWIST_LEADS and seen.rest < _IRREGULAR_REST
        if twists and seen.main_hz <= _TWIST_TO_HZ:
            return "torsades"
        return "v_flutter" if seen.main_hz >= _FLUTTER_HZ[0] and seen.rest < _FLUTTER_REST else None
    is_smooth = seen.rest < _IRREGULAR_REST and seen.peak < _IRREGULAR_PEAK
    return "vf" if seen.main_hz >= _IRREGULAR_FROM_HZ and is_smooth else None


def _joined(found: list[Span]) -> tuple[Span, ...]:
    """Spans of neighbouring blocks, and those less than a window apart, as one: the larger one's kind."""
    out: list[Span] = []
    for span in found:
        if out and span.start_s - out[-1].end_s < _WINDOW_S / 2:
            larger = max(out[-1], span, key=lambda s: s.seconds)
            start, end = out[-1].start_s, max(out[-1].end_s, span.end_s)
            out[-1] = replace(larger, start_s=start, end_s=end)
        else:
            out.append(span)
    return tuple(out)
