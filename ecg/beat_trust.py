"""Whether what was taken for a ventricular beat is a beat at all: motion makes the like.

A premature ventricular beat stands on a line as quiet as elsewhere, replaces the beat that was due and is followed by
its pause, has a T wave of its own, and often comes again in the same form.  Motion comes in a gust, moves the level,
lies upon a rhythm that goes on beneath it, and looks each time another way.  The signs are weighed by a small
network (``beat_trust_weights``); what is not believed keeps its class, but its certainty falls below what is said.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from ecg.beat_trust_weights import CENTRE, HIDDEN, HIDDEN_BIAS, OUT, OUT_BIAS, SCALE
from ecg.beats import Index, times_of
from ecg.filters import narrowed
from ecg.marks import BeatClass, Beats
from ecg.strip import Samples, Strip

_BAND_HZ: Final = (1.0, 30.0)
_RATE_HZ: Final = 125.0
_BEFORE_S: Final = 0.25
_AFTER_S: Final = 0.45
_NEAR_S: Final = 1.5
_OWN_S: Final = (0.16, 0.40)
"""From a beat's main deflection back and on: what lies within is its own and not the line it stands on."""
_PEAK_S: Final = 0.08
_T_S: Final = (0.14, 0.45)
_LEVEL_S: Final = 1.0
_FEWEST: Final = 3
_LEAST: Final = 1e-3
_MOST: Final = 4.0
_FARTHEST: Final = 4.0
_LONG_RUN: Final = 5
_RUN_RR_S: Final = (0.2, 0.6)
_RUN_SURE: Final = 0.55
"""Enough to be said and read next, too little for the alarm of a polymorphic tachycardia (ours)."""
_RUN_STEADY: Final = 0.22
"""Of a run's intervals, standard deviation over mean: polymorphic tachycardia has under 0.2, gusts of motion more (ours)."""
_LARGEST: Final = 8.0
_DOUBT: Final = 0.8
"""Taken off the odds: a beat is said from 0.4 on (``rhythm_ventricles``), that is from 0.6 of the network's (ours)."""


def believed(strip: Strip, beats: Beats) -> Beats:
    """The beats, each ventricular one no surer than that it is a beat."""
    is_v = beats.where(BeatClass.VENTRICULAR)
    if not is_v.any() or len(beats) < _FEWEST:
        return beats
    seen = np.clip((signs(strip, beats)[is_v] - np.asarray(CENTRE)) / np.asarray(SCALE), -_FARTHEST, _FARTHEST)
    odds = np.tanh(seen @ np.asarray(HIDDEN).T + np.asarray(HIDDEN_BIAS)) @ np.asarray(OUT) + OUT_BIAS - _DOUBT
    certainty, runs = beats.certainty.copy(), _in_run(beats.at / strip.fs_hz, is_v)
    certainty[is_v] = np.minimum(certainty[is_v], 1.0 / (1.0 + np.exp(-np.clip(odds, -30.0, 30.0))))
    certainty[runs] = np.maximum(certainty[runs], np.minimum(beats.certainty[runs], _RUN_SURE))
    return replace(beats, certainty=certainty)


def _in_run(at_s: Samples, is_v: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """bool [beat]: of a run as a tachycardia has it, long, fast and steady: there the neighbours are no noise."""
    out = np.zeros(is_v.size, dtype=bool)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], is_v, [False]]).astype(np.int8)))
    for first, stop in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        rr = np.diff(at_s[first:stop])
        if stop - first < _LONG_RUN or rr.min() < _RUN_RR_S[0] or rr.max() > _RUN_RR_S[1]:
            continue
        out[first:stop] = float(rr.std() / rr.mean()) < _RUN_STEADY
    return out


def explained(strip: Strip, beats: Beats) -> float:
    """The share of the slopes' energy that families of three beats and more explain; 1 is all of it."""
    seen = _seen(strip, beats)
    whole = float(np.square(np.diff(seen.mv, axis=1)).sum())
    return 1.0 - float(np.square(np.diff(seen.rest, axis=1)).sum()) / max(whole, _LEAST)


@dataclass(frozen=True, slots=True)
class _Seen:
    """mv: [lead, sample], 1-30 Hz, each lead in units of its usual beat; rest: the same without the usual beats."""

    mv: Samples
    rest: Samples
    hz: float
    at: Index


def signs(strip: Strip, beats: Beats) -> Samples:
    """float64 [beat, sign]: logarithms and shares, as ``beat_trust_weights`` names them."""
    seen = _seen(strip, beats)
    times = times_of(beats.at / strip.fs_hz)
    is_v = beats.where(BeatClass.VENTRICULAR)
    noise = _noise(seen)
    typical = float(np.median(noise))
    early, late = np.log(times.before / times.usual), np.log(times.after / times.usual)
    both = (times.before + times.after) / times.usual
    size = _around(seen.mv, seen, -_PEAK_S, _PEAK_S)
    fine = _around(np.abs(np.diff(seen.mv, 2, axis=1, prepend=0, append=0)), seen, -_NEAR_S, _NEAR_S, mean=True)
    family = np.bincount(beats.family, minlength=int(beats.family.max()) + 1)[beats.family]
    of_v = np.bincount(beats.family, weights=is_v.astype(np.float64))[beats.family]
    odds = np.log(np.clip(beats.certainty, 0.01, 0.99) / (1 - np.clip(beats.certainty, 0.01, 0.99)))
    v_share = np.full(len(beats), float(is_v.mean()))
    columns = [
        odds,
        np.log(noise + 0.02),
        np.log((noise + 0.02) / (typical + 0.02)),
        np.full(len(beats), np.log(typical + 0.02)),
        np.log(np.maximum(size, _LEAST)),
        np.abs(np.log(np.maximum(size, _LEAST))),
        np.log((fine + _LEAST) / (float(np.median(fine)) + _LEAST)),
        np.log(_level_jump(strip, seen, beats) + 0.05),
        early,
        late,
        np.minimum(np.abs(both - 2.0), 1.5),
        np.minimum(np.abs(both - 1.0), 1.0),
        np.log(_t_after(seen) + 0.05),
        np.log(family),
        np.log(of_v + 1.0),
        v_share,
        np.log(_own_likeness(seen, beats)),
        np.minimum(times.irregular, 0.5),
        np.full(len(beats), float(min(seen.mv.shape[0], 3) > 1)),
    ]
    return np.clip(np.column_stack(columns), -_LARGEST, _LARGEST)


def _seen(strip: Strip, beats: Beats) -> _Seen:
    (band,), hz = narrowed(strip.mv, strip.fs_hz, (_BAND_HZ,), 2, _RATE_HZ)
    mv = np.asarray(band.real, dtype=np.float64)
    at = np.clip(np.rint(beats.at * (hz / strip.fs_hz)).astype(np.int64), 0, mv.shape[1] - 1)
    usual = at[(beats.family == beats.dominant) & ~beats.where(BeatClass.VENTRICULAR)]
    usual = usual if usual.size >= _FEWEST else at[~beats.where(BeatClass.VENTRICULAR)]
    usual = usual if usual.size >= _FEWEST else at
    window = np.arange(-int(_BEFORE_S * hz), int(_AFTER_S * hz))
    pieces = mv[:, np.clip(usual[:, None] + window, 0, mv.shape[1] - 1)]
    shape = np.median(pieces, axis=1)
    height = np.maximum(np.abs(shape).max(axis=1, keepdims=True), 0.02)
    mv, shape = mv / height, shape / height
    rest = mv.copy()
    for kind in np.flatnonzero(np.bincount(beats.family) >= _FEWEST).tolist():
        _subtract(rest, at[beats.family == kind], window)
    return _Seen(mv, rest, hz, at)


def _subtract(rest: Samples, at: Index, window: Index) -> None:
    """Takes these beats' middle shape off, in place, at each of them."""
    pieces = rest[:, np.clip(at[:, None] + window, 0, rest.shape[1] - 1)]
    shape = np.median(pieces, axis=1)
    for one in at.tolist():
        first, last = max(one + int(window[0]), 0), min(one + int(window[-1]) + 1, rest.shape[1])
        begin = first - (one + int(window[0]))
        rest[:, first:last] -= shape[:, begin : begin + last - first]


def _noise(seen: _Seen) -> Samples:
    """[beat]: rms, in units of the usual beat's height, of what no beat explains within 1.5 s, this beat left out."""
    square = np.square(seen.rest).mean(axis=0)
    before, after = int(_OWN_S[0] * seen.hz), int(_OWN_S[1] * seen.hz)
    total = np.concatenate([[0.0], np.cumsum(square)])
    near = int(_NEAR_S * seen.hz)

    def over(first: Index, last: Index) -> tuple[Samples, Index]:
        first, last = np.clip(first, 0, square.size), np.clip(last, 0, square.size)
        return total[last] - total[first], last - first

    left, n_left = over(seen.at - near, seen.at - before)
    right, n_right = over(seen.at + after, seen.at + near)
    return np.sqrt((left + right) / np.maximum(n_left + n_right, 1))


def _around(rows: Samples, seen: _Seen, from_s: float, to_s: float, *, mean: bool = False) -> Samples:
    """[beat]: the largest (or mean) of the leads' root mean square from ``from_s`` to ``to_s`` about each beat."""
    together = np.sqrt(np.square(rows).mean(axis=0))
    window = np.arange(int(from_s * seen.hz), int(to_s * seen.hz) + 1)
    cut = together[np.clip(seen.at[:, None] + window, 0, together.size - 1)]
    return cut.mean(axis=1) if mean else cut.max(axis=1)


def _level_jump(strip: Strip, seen: _Seen, beats: Beats) -> Samples:
    """[beat]: how far the level of the second after lies from that of the second before, in usual beats' heights."""
    step = max(1, round(strip.fs_hz / 25.0))
    thin = strip.mv[:, ::step]
    scale = np.maximum(np.ptp(strip.mv, axis=1) / np.maximum(np.ptp(seen.mv, axis=1), _LEAST), 0.02)
    at = (beats.at // step).astype(np.int64)
    span = np.arange(1, int(_LEVEL_S * strip.fs_hz / step) + 1)
    last = thin.shape[1] - 1
    before = np.median(thin[:, np.clip(at[:, None] - span, 0, last)], axis=2)
    after = np.median(thin[:, np.clip(at[:, None] + span, 0, last)], axis=2)
    return np.sqrt(np.square((after - before) / scale[:, None]).mean(axis=0))


def _t_after(seen: _Seen) -> Samples:
    """[beat]: height of the largest deflection after the QRS that goes against it, as a share of it."""
    rows = np.arange(seen.mv.shape[0])[:, None]
    peak = np.arange(-int(_PEAK_S * seen.hz), int(_PEAK_S * seen.hz) + 1)
    near = seen.mv[:, np.clip(seen.at[:, None] + peak, 0, seen.mv.shape[1] - 1)]
    which = np.abs(near).argmax(axis=2)
    top = near[rows, np.arange(seen.at.size)[None, :], which]
    later = np.arange(int(_T_S[0] * seen.hz), int(_T_S[1] * seen.hz))
    wave = seen.mv[:, np.clip(seen.at[:, None] + later, 0, seen.mv.shape[1] - 1)]
    against = np.maximum((-np.sign(top)[:, :, None] * wave).max(axis=2), 0.0)
    share = against / np.maximum(np.abs(top), _LEAST)
    return np.minimum(np.median(share, axis=0), _MOST)


def _own_likeness(seen: _Seen, beats: Beats) -> Samples:
    """[beat], 0.05..1: correlation with the nearest other beat of its family, lead by lead; 0.05 where it has none."""
    window = np.arange(-int(_OWN_S[0] * seen.hz), int(_OWN_S[1] * seen.hz))
    cut = seen.mv[:, np.clip(seen.at[:, None] + window, 0, seen.mv.shape[1] - 1)]
    flat = cut.transpose(1, 0, 2).reshape(seen.at.size, -1)
    flat = flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), _LEAST)
    out = np.full(seen.at.size, 0.05)
    for kind in np.unique(beats.family[beats.where(BeatClass.VENTRICULAR)]):
        of = np.flatnonzero(beats.family == kind)[:400]
        if of.size < 2:
            continue
        alike = flat[of] @ flat[of].T
        np.fill_diagonal(alike, -1.0)
        out[of] = np.clip(alike.max(axis=1), 0.05, 1.0)
    return out
