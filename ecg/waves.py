"""P, QRS and T of every beat: where each begins, peaks and ends, per lead and overall."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from ecg.marks import BeatClass, Beats, Mark, Waves
from ecg.strip import Samples, Strip
from ecg.waves_views import Views, views_of

Index = npt.NDArray[np.int64]

QRS_BEFORE_S: Final = 0.16
QRS_AFTER_S: Final = 0.24
ONSET_FRACTION: Final = 0.10
OFFSET_FRACTION: Final = 0.10


def delineate(strip: Strip, beats: Beats) -> Waves:
    """The waves of these beats.  A lead without signal has none; neither has a beat that the strip cuts off."""
    count = len(beats)
    by_lead = np.full((len(strip.leads), count, len(Mark)), np.nan)
    overall = np.full((count, len(Mark)), np.nan)
    views = views_of(strip)
    if not count or not views.live.any():
        return Waves(overall, by_lead, np.zeros(count))
    at = np.clip(np.asarray(beats.at) / views.step, 0, views.length - 1)
    live = np.flatnonzero(views.live)
    marks = np.full((live.size, count, len(Mark)), np.nan)
    certainty = _mark(views, live, at, beats, marks)
    by_lead[live] = marks * views.step
    overall = _overall(by_lead)
    return Waves(overall, by_lead, certainty)


def _mark(views: Views, live: Index, at: Samples, beats: Beats, marks: Samples) -> Samples:
    hz = views.hz
    slope, smooth = views.fine_slope[live], views.smooth[live]
    velocity = np.sqrt((slope**2).mean(axis=0))
    on, off = _qrs_span(velocity, at, hz)
    _qrs_by_lead(views, live, on, off, marks)
    after = np.append(on[1:], views.length + 0.3 * hz)
    before = np.append(-0.3 * hz, on[:-1])
    _t_by_lead(smooth, hz, on, off, after, marks)
    t_end = (
        np.append(-0.1 * hz, np.nan_to_num(np.nanmedian(marks[:, :-1, Mark.T_OFF], axis=0), nan=-1e9))
        if len(at) > 1
        else np.array([-0.1 * hz])
    )
    certainty = _p_by_lead(smooth, hz, on, np.maximum(t_end, before + 0.2 * hz), velocity, marks)
    none = beats.where(BeatClass.VENTRICULAR) | (certainty < 0.5)
    marks[:, none, : Mark.P_OFF + 1] = np.nan
    return np.where(beats.where(BeatClass.VENTRICULAR), 0.0, certainty)


def _windows(views_length: int, start: Samples, width: int) -> Index:
    """int64 [beat, width], sample indices held at the strip's ends."""
    return np.clip(np.rint(start).astype(np.int64)[:, None] + np.arange(width), 0, views_length - 1)


def _qrs_span(velocity: Samples, at: Samples, hz: float) -> tuple[Samples, Samples]:
    """Onset and offset [beat] in grid samples, by the leads' common slope."""
    before, after = int(QRS_BEFORE_S * hz), int(QRS_AFTER_S * hz)
    index = _windows(velocity.size, at - before, before + after + 1)
    v = velocity[index]
    near = slice(before - int(0.06 * hz), before + int(0.06 * hz) + 1)
    peak = v[:, near].max(axis=1, keepdims=True)
    strong = v >= 0.5 * peak
    strong[:, : near.start] = False
    strong[:, near.stop :] = False
    first = strong.argmax(axis=1)
    last = v.shape[1] - 1 - strong[:, ::-1].argmax(axis=1)
    column = np.arange(v.shape[1])
    floor = np.minimum(np.quantile(v[:, : int(0.1 * hz)], 0.5, axis=1, keepdims=True), 0.06 * peak)
    low = v < ONSET_FRACTION * peak + floor
    low3 = low.copy()
    low3[:, 2:] &= low[:, 1:-1] & low[:, :-2]
    on_run = np.where(low3 & (column <= first[:, None]), column, 0).max(axis=1)
    low = v < OFFSET_FRACTION * peak + floor
    low3 = low.copy()
    low3[:, :-2] &= low[:, 1:-1] & low[:, 2:]
    off_run = np.where(low3 & (column >= last[:, None]), column, v.shape[1] - 1).min(axis=1)
    start = np.rint(at - before)
    return start + on_run, start + off_run


def _qrs_by_lead(views: Views, live: Index, on: Samples, off: Samples, marks: Samples) -> None:
    hz = views.hz
    fine = views.fine[live]
    width = int(0.4 * hz)
    index = _windows(fine.shape[1], on, width)
    level = fine[:, np.clip(on.astype(np.int64) - 2, 0, fine.shape[1] - 1)]
    inside = np.arange(width) <= (off - on)[:, None]
    height = np.where(inside, np.abs(fine[:, index] - level[..., None]), -1.0)
    marks[..., Mark.QRS_ON] = on
    marks[..., Mark.QRS_OFF] = off
    marks[..., Mark.QRS_PEAK] = on + height.argmax(axis=2)


def _t_by_lead(smooth: Samples, hz: float, on: Samples, off: Samples, after: Samples, marks: Samples) -> None:
    width = int(0.8 * hz)
    start = off + 0.04 * hz
    index = _windows(smooth.shape[1], start, width)
    level = smooth[:, np.clip((on - 0.02 * hz).astype(np.int64), 0, smooth.shape[1] - 1)]
    rr = np.minimum(after - on, 1.2 * hz)
    longest = np.minimum(0.28 * hz + 0.3 * rr, 0.75 * (after - on)) + on - start
    inside = np.arange(width) < longest[:, None]
    above = smooth[:, index] - level[..., None]
    size = np.sqrt((above**2).mean(axis=0))
    top = np.where(inside, size, -1.0).argmax(axis=1)
    near = np.abs(np.arange(width) - top[:, None]) <= 0.1 * hz
    peak = np.where(inside & near, np.abs(above), -1.0).argmax(axis=2)
    marks[..., Mark.T_PEAK] = start + peak
    limit = np.broadcast_to(np.minimum(after - 0.04 * hz, start + 2 * width)[None, :], peak.shape)
    marks[..., Mark.T_OFF] = _area_end(smooth, start + peak, limit, 0.128 * hz, 0.24 * hz, +1)
    marks[..., Mark.T_ON] = _area_end(
        smooth, start + peak, np.broadcast_to(off[None, :], peak.shape), 0.128 * hz, 0.24 * hz, -1
    )
    gone = (longest < 0.08 * hz) | (start + top >= smooth.shape[1] - 2)
    marks[:, gone, Mark.T_ON :] = np.nan


def _area_end(smooth: Samples, peak: Samples, limit: Samples, width: float, reach: float, way: int) -> Samples:
    """Where the area between the wave and the level at its end is largest [lead, beat].  Zhang et al. 2006."""
    w, r = int(width), int(reach)
    summed = np.cumsum(np.pad(smooth, ((0, 0), (1, 0))), axis=1)
    lead = np.arange(smooth.shape[0])[:, None, None]
    there = np.rint(peak)[..., None] + way * np.arange(2, r)
    end = np.clip(there, 0, smooth.shape[1] - 1).astype(np.int64)
    start = np.clip(there - way * w, 0, smooth.shape[1] - 1).astype(np.int64)
    area = np.abs(way * (summed[lead, end] - summed[lead, start]) - w * smooth[lead, end])
    allowed = way * (np.rint(limit)[..., None] - there) >= 0
    return np.rint(peak) + way * (2 + np.where(allowed, area, -1.0).argmax(axis=2))


def _p_by_lead(
    smooth: Samples, hz: float, on: Samples, earliest: Samples, velocity: Samples, marks: Samples
) -> Samples:
    width = int(0.32 * hz)
    index = _windows(smooth.shape[1], on - width, width)
    half = int(0.07 * hz)
    bump = smooth.copy()
    bump[:, half:-half] -= (smooth[:, 2 * half :] + smooth[:, : -2 * half]) / 2
    bump[:, :half] = bump[:, -half:] = 0.0
    size = np.sqrt((bump**2).mean(axis=0))[index]
    where = np.rint(on - width)[:, None] + np.arange(width)
    allowed = (where >= (earliest + 0.02 * hz)[:, None]) & (where <= (on - 0.03 * hz)[:, None]) & (where > half)
    top = np.where(allowed, size, -1.0).argmax(axis=1)
    centre = np.rint(on - width) + top
    near = allowed & (np.abs(where - centre[:, None]) <= 0.04 * hz)
    peak = np.where(near, np.abs(bump[:, index]), -1.0).argmax(axis=2)
    marks[..., Mark.P_PEAK] = np.rint(on - width) + peak
    marks[..., Mark.P_ON] = _area_end(
        smooth, marks[..., Mark.P_PEAK], np.broadcast_to(earliest, marks.shape[:2]), 0.07 * hz, 0.1 * hz, -1
    )
    marks[..., Mark.P_OFF] = _area_end(
        smooth, marks[..., Mark.P_PEAK], np.broadcast_to(on, marks.shape[:2]), 0.07 * hz, 0.09 * hz, +1
    )
    evidence = size[np.arange(on.size), top]
    common = np.median(evidence[allowed.any(axis=1)]) if allowed.any() else 0.0
    spread = np.std(on - centre) / hz
    certainty = np.full(on.size, 0.8 if spread < 0.04 else 0.3) * (evidence > 0.4 * common)
    return np.where(allowed.any(axis=1), certainty, 0.0)


def _overall(by_lead: Samples) -> Samples:
    """[beat, 9]: onsets from the early leads, offsets from the late ones, peaks from the middle one."""
    out = np.full(by_lead.shape[1:], np.nan)
    part = {Mark.P_ON: 0.25, Mark.QRS_ON: 0.25, Mark.T_ON: 0.25, Mark.P_OFF: 0.75, Mark.QRS_OFF: 0.75, Mark.T_OFF: 0.75}
    for mark in Mark:
        some = np.isfinite(by_lead[..., mark]).any(axis=0)
        if some.any():
            out[some, mark] = np.nanquantile(by_lead[:, some, mark], part.get(mark, 0.5), axis=0)
    return out
