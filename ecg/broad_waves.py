"""Large regular deflections without a steep slope: the beats of a tachycardia that has no narrow part to find them by.

In windows of 4 s the recording is asked whether it comes back to itself every 0.22 to 0.60 s (autocorrelation of all
leads together) while most leads that show anything move without steep slopes and hardly rest.  Ordinary beats, however
fast, have slopes six to sixteen times the mean and rest most of the time; sine-like ventricular tachycardia two to
five.  Where such waves run, their crests are the beats, whatever a detector of QRS complexes found among them.

Limits (all ours): set on made tachycardias (tests/makers/ventricular.py), with MIT-BIH DS1 and PTB-XL folds 7-8, lead by
lead, as what must not pass: of 1,272 leads of sinus tachycardia 1.1 % do, of 2,680 others 0.04 %.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from ecg.fibrillation import Span, Traits, traits_of, without_sharp_slopes
from ecg.limit import Limit
from ecg.strip import Samples, Strip

Flags = npt.NDArray[np.bool_]
Index = npt.NDArray[np.int64]

_HZ: Final = 100.0
_WINDOW_S: Final = 4.0
_HOP_S: Final = 1.0
_SHORTEST_S: Final = 5.0
_SHORT_STRIP_S: Final = 6.0
_SEVERAL: Final = 3
_TOO_FAST: Final = 140.0
_BLOCK_S: Final = 600.0
_PERIOD_S: Final = (0.22, 0.60)
"""273 to 100/min: what is faster is fibrillation's and flutter's, what is slower no tachycardia."""
SLOWEST: Final = Limit(">", 100.0, "/min", "AHA/ACC/HRS 2007 part II")
_FEWEST: Final = 4
MOST_STEEP: Final = Limit("<=", 6.0, "1", "ours")
"""Slope that one in a hundred passes, against the mean slope."""
MOST_REST: Final = Limit("<=", 0.72, "1", "ours")
_SURELY_STEEP: Final = 5.5
_SURELY_REST: Final = 0.60
"""Up to these it is no ordinary beat whatever else found it; between, only where no beats account for the waves."""
LEAST_RECURRENCE: Final = Limit(">=", 0.70, "1", "ours")
_LEAST_OCCUPIED: Final = 0.35
_MOST_FAST: Final = 0.30
_LEAST_MV: Final = 0.15
_LEAST_OF_LARGEST: Final = 0.2
_LEADS_AGREE: Final = 0.6
_FIRST_SHARE: Final = 0.9
"""The shortest distance at which the recording is nearly as like itself as at any."""
_SAME_RATE: Final = 0.12
_CREST_HZ: Final = (0.9, 12.0)
_APART: Final = 0.65
_PROMINENT: Final = 0.35
_AGREES: Final = 0.08
_STEADY: Final = 0.10


@dataclass(frozen=True, slots=True)
class Train:
    """start_s, end_s: seconds of the strip.  at: int64 [wave], the crests, samples of the strip.  rate: /min.

    steepness: slope that one in a hundred passes over the mean slope.  rest: share of time without slope.
    recurrence: how like itself the recording is one wave later, 0..1.  (Medians.)
    """

    start_s: float
    end_s: float
    at: Index
    rate: float
    steepness: float
    rest: float
    recurrence: float

    @property
    def seconds(self) -> float:
        return self.end_s - self.start_s

    def holds(self, at: Index, fs_hz: float) -> Flags:
        """bool [beat]: those that lie in it."""
        return (at >= self.start_s * fs_hz) & (at <= self.end_s * fs_hz)

    @property
    def is_surely_broad(self) -> bool:
        return self.steepness <= _SURELY_STEEP and self.rest <= _SURELY_REST


class _Window(NamedTuple):
    start: int
    period_s: float
    steepness: float
    rest: float
    recurrence: float


def trains(strip: Strip, taken: tuple[Span, ...] = ()) -> tuple[Train, ...]:
    """Where such waves run, in time; empty almost always.  taken: what fibrillates or flutters already."""
    step = max(1, round(strip.fs_hz / _HZ))
    hz = strip.fs_hz / step
    length = strip.mv.shape[1] // step
    if length < int(_WINDOW_S * hz):
        return ()
    found: list[Train] = []
    block = int(_BLOCK_S * hz)
    for first in range(0, length, block):
        last = min(length, first + block + int(_WINDOW_S * hz))
        if last - first < int(_WINDOW_S * hz):
            break
        thin = strip.mv[:, first * step : last * step].reshape(len(strip.leads), last - first, step).mean(axis=2)
        windows = [w._replace(start=w.start + first) for w in _windows(thin, hz)]
        windows = [w for w in windows if not _is_taken(w, hz, taken)]
        found += [train for run in _runs(windows, hz) if (train := _train(strip, run, hz, step)) is not None]
    return _apart(found)


def unexplained(found: tuple[Train, ...], at: Index, strip: Strip) -> tuple[Train, ...]:
    """Those that these beats, found by their slopes, don't account for; and what is surely broad in any case.

    With three leads and more the beats' own width and P waves are asked first, up to ``_TOO_FAST``: there a bundle
    branch block under a sinus tachycardia shows its P waves.
    """
    few = len(strip.leads) < _SEVERAL
    return tuple(
        train
        for train in found
        if (train.is_surely_broad and (few or train.rate >= _TOO_FAST)) or not _is_same(at, train, strip.fs_hz)
    )


def claimed(at: Index, found: tuple[Train, ...], fs_hz: float) -> tuple[Index, Flags]:
    """The beats with those of the trains in their place, and which of them lie in one."""
    keep = np.ones(at.size, dtype=bool)
    added: list[Index] = []
    for train in found:
        if not _is_same(at, train, fs_hz):
            keep &= ~train.holds(at, fs_hz)
            added.append(train.at)
    beats = np.unique(np.concatenate([at[keep], *added])).astype(np.int64)
    is_claimed = np.zeros(beats.size, dtype=bool)
    for train in found:
        is_claimed |= train.holds(beats, fs_hz)
    return beats, is_claimed


def _is_same(at: Index, train: Train, fs_hz: float) -> bool:
    """Whether the beats there are the train's waves, found by something sharper than their crests."""
    at = at[train.holds(at, fs_hz)]
    if at.size < 3:
        return False
    steps = np.diff(at) / fs_hz * train.rate / 60.0
    return bool(abs(np.median(steps) - 1.0) < _AGREES and np.std(steps) < _STEADY and abs(at.size - train.at.size) <= 2)


def _is_taken(window: _Window, hz: float, taken: tuple[Span, ...]) -> bool:
    begin, end = window.start / hz, window.start / hz + _WINDOW_S
    return any(min(end, span.end_s) - max(begin, span.start_s) > _WINDOW_S / 2 for span in taken)


def _windows(mv: Samples, hz: float) -> list[_Window]:
    """The windows that pass."""
    size, hop = int(_WINDOW_S * hz), int(_HOP_S * hz)
    starts = np.arange(0, mv.shape[1] - size + 1, hop)
    gate = without_sharp_slopes(mv, size, starts)
    seen = np.flatnonzero(gate.mean(axis=0) >= 0.5)
    if not seen.size:
        return []
    cut = mv[:, starts[seen][:, None] + np.arange(size)]
    traits = traits_of(cut, hz)
    live = (traits.height_mv >= _LEAST_MV) & (traits.height_mv >= _LEAST_OF_LARGEST * traits.height_mv.max(axis=0))
    broad = live & _is_broad(traits)
    passed = broad.sum(axis=0) >= np.maximum(_LEADS_AGREE * live.sum(axis=0), 1)
    out: list[_Window] = []
    for k in np.flatnonzero(passed).tolist():
        recurrence, period_s = _recurrence(cut[live[:, k], k], hz)
        if LEAST_RECURRENCE.holds(recurrence):
            of = broad[:, k]
            steep, rest = float(np.median(traits.peak[of, k])), float(np.median(traits.rest[of, k]))
            out.append(_Window(int(starts[seen][k]), period_s, steep, rest, recurrence))
    return out


def _is_broad(t: Traits) -> Flags:
    is_smooth = MOST_STEEP.each(t.peak) & MOST_REST.each(t.rest)
    return is_smooth & (t.occupied >= _LEAST_OCCUPIED) & (t.fast <= _MOST_FAST)


def _recurrence(rows: Samples, hz: float) -> tuple[float, float]:
    """(how like itself all these rows are after one period, that period in s); (0, 0) where none stands out."""
    wave = _banded(rows, hz, (0.9, 30.0))
    size = wave.shape[1]
    lags = np.arange(int(_PERIOD_S[0] * hz) - 1, int(_PERIOD_S[1] * hz) + 2)
    alike = np.array([_likeness(wave[:, :-lag], wave[:, lag:]) for lag in lags.tolist()])
    inner = np.flatnonzero((alike[1:-1] >= alike[:-2]) & (alike[1:-1] >= alike[2:])) + 1
    if not inner.size or size < 2 * lags[-1]:
        return 0.0, 0.0
    best = float(alike[inner].max())
    first = int(next(k for k in inner if alike[k] >= _FIRST_SHARE * best or alike[k] == best))
    before, here, after = alike[first - 1 : first + 2]
    bend = before - 2 * here + after
    finer = 0.5 * (before - after) / bend if bend < 0 else 0.0
    return float(here), float((lags[first] + np.clip(finer, -0.5, 0.5)) / hz)


def _likeness(a: Samples, b: Samples) -> float:
    return float((a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum() + 1e-12))


def _banded(rows: Samples, hz: float, band_hz: tuple[float, float]) -> Samples:
    frequency = np.fft.rfftfreq(rows.shape[1], 1.0 / hz)
    spectrum = np.fft.rfft(rows - rows.mean(axis=1, keepdims=True), axis=1)
    spectrum[:, (frequency < band_hz[0]) | (frequency > band_hz[1])] = 0.0
    return np.asarray(np.fft.irfft(spectrum, rows.shape[1], axis=1), dtype=np.float64)


def _runs(windows: list[_Window], hz: float) -> list[list[_Window]]:
    """Neighbouring windows of about one rate."""
    runs: list[list[_Window]] = []
    for window in windows:
        if runs:
            last = runs[-1][-1]
            near = window.start - last.start <= 2 * _HOP_S * hz + 1
            if near and abs(window.period_s / last.period_s - 1.0) <= _SAME_RATE:
                runs[-1].append(window)
                continue
        runs.append([window])
    return runs


def _train(strip: Strip, run: list[_Window], hz: float, step: int) -> Train | None:
    begin, end = run[0].start, run[-1].start + int(_WINDOW_S * hz)
    # One window may be a chance of fibrillation, unless the strip holds hardly more.
    if (end - begin) / hz < _SHORTEST_S and strip.seconds > _SHORT_STRIP_S:
        return None
    # The ends of the strip belong to the train when it comes nearly as far.
    length = strip.mv.shape[1] // step
    begin = 0 if begin <= _HOP_S * hz else begin
    end = length if length - end <= 1.2 * _HOP_S * hz else end
    rows = strip.mv[:, begin * step : end * step].reshape(len(strip.leads), end - begin, step).mean(axis=2)
    period_s = float(np.median([w.period_s for w in run]))
    crests = _crests(rows, hz, period_s)
    rate = 60.0 * hz / float(np.median(np.diff(crests))) if crests.size >= _FEWEST else 0.0
    if not SLOWEST.holds(rate):
        return None
    return Train(
        begin / hz,
        end / hz,
        (crests + begin) * step + step // 2,
        rate,
        float(np.median([w.steepness for w in run])),
        float(np.median([w.rest for w in run])),
        float(np.median([w.recurrence for w in run])),
    )


def _crests(rows: Samples, hz: float, period_s: float) -> Index:
    """int64 [wave]: the crest of each wave in what the leads share most of, on the side where it stands out more."""
    from scipy import signal

    wave = _banded(rows, hz, _CREST_HZ)
    _, vectors = np.linalg.eigh(wave @ wave.T)
    shared = vectors[:, -1] @ wave
    shared = shared if np.quantile(shared, 0.98) >= -np.quantile(shared, 0.02) else -shared
    height = float(np.quantile(shared, 0.95) - np.quantile(shared, 0.05))
    found, _ = signal.find_peaks(shared, distance=max(1, int(_APART * period_s * hz)), prominence=_PROMINENT * height)
    return np.asarray(found, dtype=np.int64)


def _apart(found: list[Train]) -> tuple[Train, ...]:
    """Of trains that overlap (at the seam of two blocks) the longer one."""
    out: list[Train] = []
    for train in found:
        if out and train.start_s < out[-1].end_s - _WINDOW_S / 2:
            out[-1] = max(out[-1], train, key=lambda one: one.seconds)
        else:
            out.append(train)
    return tuple(out)
