"""P, QRS and T of every beat: where each begins, peaks and ends, per lead and overall.

Each boundary is found in three looks.  A rule on the slope that the leads share gives a first place (QRS); a track of
how much every instant looks like the middle of a P or a T wave, seen by all leads together and averaged over like
beats, gives the places of P and T.  Then a small regression looks at each lead about that place, and a second one
looks again from there, knowing where the other leads and the other beats of the same family have it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from ecg.marks import BeatClass, Beats, Mark, Waves
from ecg.strip import Samples, Strip
from ecg.waves_late import longer_t
from ecg.waves_look import Look, look_at
from ecg.waves_nets import P_NEAR, P_WIDE, T_NEAR, T_WIDE, Index, Net, Scene, Taps, qrs_features
from ecg.waves_steps import (
    consensus,
    first_look,
    presence,
    rounded,
    second_features,
    steady,
    upright,
)
from ecg.waves_tables import Tables, tables

_SHOWN: Final = 0.5
_EARLY: Final = 0.2
_LATE: Final = 0.8
"""Overall onset: the leads' fifth (in twelve: between the second- and the third-earliest); offset likewise (ours, LUDB)."""


@dataclass(frozen=True, slots=True)
class Looks:
    """Where the first and the second look at a wave go, and how far from its middle its height is taken, s."""

    wide: Taps
    near: Taps
    half_s: float


P_LOOKS: Final = Looks(P_WIDE, P_NEAR, 0.08)
T_LOOKS: Final = Looks(T_WIDE, T_NEAR, 0.16)


def delineate(strip: Strip, beats: Beats, made: Tables | None = None, look: Look | None = None) -> Waves:
    """The waves of these beats.

    A lead without signal has none; a wave that the strip cuts off is not marked.  made: other coefficients than those
    that ship (for measuring by folds).  look: of the same strip and beats, where it was made already.
    """
    made = made or tables()
    count = len(beats)
    by_lead = np.full((len(strip.leads), count, len(Mark)), np.nan)
    certainty = np.zeros(count)
    look = look or look_at(strip, beats, made)
    if look is not None:
        views = look.scene.views
        marks, certainty = _marked(look, beats, made)
        by_lead[look.live] = np.where((marks >= 0) & (marks <= views.length - 1), marks, np.nan) * views.step
        _drop_partial(by_lead)
    return Waves(_overall(by_lead), by_lead, certainty)


def _marked(look: Look, beats: Beats, made: Tables) -> tuple[Samples, Samples]:
    """Marks [lead, beat, 9], grid samples, and the certainty of P [beat]."""
    scene, family, p, t = look.scene, look.family, look.p, look.t
    marks = np.full((scene.views.leads, len(beats), len(Mark)), np.nan)
    marks[..., Mark.QRS_ON] = _qrs_edge(scene, family, scene.on, made.qrs_on_first, made.qrs_on)
    marks[..., Mark.QRS_OFF] = _qrs_edge(scene, family, scene.off, made.qrs_off_first, made.qrs_off)
    marks[..., Mark.QRS_PEAK] = _main_peak(scene, marks)
    marks[..., Mark.T_ON :] = _wave(scene, family, t.at, T_LOOKS, (made.t_first, made.t_on, made.t_peak, made.t_off))
    longer_t(scene, marks, family)
    marks[:, ~t.is_there, Mark.T_ON :] = np.nan
    certainty = np.where(p.is_there, presence(scene, family, p, t, made.presence), 0.0)
    certainty = steady(scene, p, ~beats.where(BeatClass.VENTRICULAR), certainty)
    certainty[beats.where(BeatClass.VENTRICULAR)] = 0.0
    marks[..., : Mark.QRS_ON] = _wave(scene, family, p.at, P_LOOKS, (made.p_first, made.p_on, made.p_peak, made.p_off))
    marks[:, certainty < _SHOWN, : Mark.QRS_ON] = np.nan
    return _in_order(marks), certainty


def _qrs_edge(scene: Scene, family: Index, start: Samples, first: Net, second: Net) -> Samples:
    """[lead, beat]: a QRS boundary near ``start`` [beat], grid samples."""
    grid_per_ms = scene.views.hz / 1000.0
    anchor = np.broadcast_to(rounded(start), scene.height.shape)
    found = anchor + first(qrs_features(scene, anchor))[..., 0] * grid_per_ms
    anchor = rounded(found)
    seen = np.concatenate(
        (qrs_features(scene, anchor), consensus(found, scene.fiducial, family, scene.views.hz)), axis=2
    )
    return anchor + second(seen)[..., 0] * grid_per_ms


def _wave(scene: Scene, family: Index, centre: Samples, looks: Looks, nets: tuple[Net, Net, Net, Net]) -> Samples:
    """[lead, beat, 3]: onset, peak and offset of the wave about ``centre`` [beat], grid samples."""
    sign, height = upright(scene, centre, looks.half_s)
    found = first_look(scene, nets[0], centre, looks.wide, sign, height)
    anchor, seen = second_features(scene, found, family, looks.near, sign, height)
    moved = np.stack([net(some)[..., 0] for net, some in zip(nets[1:], seen, strict=True)])
    return np.moveaxis(anchor + moved * (scene.views.hz / 1000.0), 0, 2)


def _main_peak(scene: Scene, marks: Samples) -> Samples:
    """[lead, beat]: where the lead stands farthest from its level at the onset, grid samples."""
    views = scene.views
    start = rounded(marks[..., Mark.QRS_ON])
    width = round(0.24 * views.hz)
    index = start[..., None] + np.arange(width)
    inside = index <= marks[..., Mark.QRS_OFF, None]
    lead = np.arange(start.shape[0])[:, None, None]
    seen = views.fine.inside[lead, np.clip(index, 0, views.length - 1)]
    return start + np.where(inside, np.abs(seen - seen[..., :1]), -1.0).argmax(axis=2)


def _in_order(marks: Samples) -> Samples:
    """The same with no boundary past its neighbour."""
    out = marks.copy()
    out[..., Mark.QRS_ON] = np.minimum(out[..., Mark.QRS_ON], out[..., Mark.QRS_PEAK])
    out[..., Mark.QRS_OFF] = np.maximum(out[..., Mark.QRS_OFF], out[..., Mark.QRS_PEAK])
    out[..., Mark.P_OFF] = np.minimum(out[..., Mark.P_OFF], out[..., Mark.QRS_ON])
    out[..., Mark.P_PEAK] = np.minimum(out[..., Mark.P_PEAK], out[..., Mark.P_OFF])
    out[..., Mark.P_ON] = np.minimum(out[..., Mark.P_ON], out[..., Mark.P_PEAK])
    out[..., Mark.T_ON] = np.maximum(out[..., Mark.T_ON], out[..., Mark.QRS_OFF])
    out[..., Mark.T_PEAK] = np.maximum(out[..., Mark.T_PEAK], out[..., Mark.T_ON])
    out[..., Mark.T_OFF] = np.maximum(out[..., Mark.T_OFF], out[..., Mark.T_PEAK])
    return out


def _drop_partial(by_lead: Samples) -> None:
    """A wave that the strip cuts off at either end is no wave: NaN, in place."""
    for first in (Mark.P_ON, Mark.T_ON):
        wave = by_lead[..., first : first + 3]
        wave[np.isnan(wave).any(axis=2)] = np.nan


def _overall(by_lead: Samples) -> Samples:
    """[beat, 9]: onsets from the early leads, offsets from the late ones, peaks from the middle one."""
    out = np.full(by_lead.shape[1:], np.nan)
    for marks, part in (
        ((Mark.P_ON, Mark.QRS_ON, Mark.T_ON), _EARLY),
        ((Mark.P_PEAK, Mark.QRS_PEAK, Mark.T_PEAK), 0.5),
        ((Mark.P_OFF, Mark.QRS_OFF, Mark.T_OFF), _LATE),
    ):
        column = list(marks)
        out[:, column] = quantile_over_leads(by_lead[..., column], part)
    out = _in_order(out)
    late = out[:-1, Mark.T_OFF] > out[1:, Mark.QRS_ON]  # where there is no wave, nothing is late
    out[:-1, Mark.T_OFF][late] = out[1:, Mark.QRS_ON][late]
    out[:-1, Mark.T_PEAK] = np.minimum(out[:-1, Mark.T_PEAK], out[:-1, Mark.T_OFF])
    out[:-1, Mark.T_ON] = np.minimum(out[:-1, Mark.T_ON], out[:-1, Mark.T_PEAK])
    return out


def quantile_over_leads(values: Samples, part: float) -> Samples:
    """[...]: this quantile over the first axis of those that are no NaN; NaN where none is."""
    ordered = np.sort(values, axis=0)  # NaN comes last
    count = np.isfinite(values).sum(axis=0)
    place = np.maximum(count - 1, 0) * part
    low = np.floor(place).astype(np.int64)
    high = np.minimum(low + 1, np.maximum(count - 1, 0))
    a, b = (np.take_along_axis(ordered, which[None], axis=0)[0] for which in (low, high))
    return a + (b - a) * (place - low)
