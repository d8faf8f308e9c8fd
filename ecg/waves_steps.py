"""The steps of the delineation: the QRS by the leads' common slope, places of P and T, and the looks at each lead."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from ecg.strip import Samples
from ecg.waves_nets import TRACK_STEP_MS, Index, Net, Scene, Taps, track_features, wave_features
from ecg.waves_views import Floats, Rows, Views

QRS_BEFORE_S: Final = 0.16
QRS_AFTER_S: Final = 0.24
QRS_NEAR_S: Final = 0.06
EDGE_FRACTION: Final = 0.10
LONGEST_PR_S: Final = 0.40
T_AFTER_S: Final = 0.04
LATEST_T_S: Final = 0.70
P_BEFORE_S: Final = 0.02
P_AFTER_T_S: Final = 0.04
BEFORE_QRS_S: Final = (0.24, 0.02)
"""The P wave's place, from its usual earliest begin to just before the QRS, s before the QRS onset."""
_STEADY_S: Final = 0.02
_STEADY_PARTS: Final = (0.2, 0.8)
_STEADY_PR_S: Final = 0.097
_STEADY_HINT: Final = 0.10
_STEADY_COHERENCE: Final = 0.4
_STEADY_BEATS: Final = 4
_STEADY_LEADS: Final = 3
_STEADY_CERTAINTY: Final = 0.6
_UNLIKELY: Final = -11.0


def scene_of(views: Views, at: Samples) -> Scene:
    """What the steps look at, for these views (live leads only) and QRS places (grid samples)."""
    hz = views.hz
    velocity, soft = _common(views.fine_slope.inside), _common(views.smooth_slope.inside)
    on, off, fiducial, velocity_top = _qrs_span(velocity, at, hz)
    index = _windows(views.length, on - 0.02 * hz, int(0.24 * hz))
    outside = np.arange(index.shape[1]) > (off - on + 0.04 * hz)[:, None]
    last = index.shape[1] - 1 - (~outside)[:, ::-1].argmax(axis=1)
    index = np.where(outside, np.take_along_axis(index, last[:, None], axis=1), index)
    seen = views.fine.inside[:, index]
    height = np.maximum(seen.max(axis=2) - seen.min(axis=2), 1e-3).astype(np.float64)
    rr = np.diff(fiducial) / hz
    usual = float(np.median(rr)) if rr.size else 0.8
    soft_scale = max(1e-3, float(np.median(soft[index].max(axis=1))))
    return Scene(
        views=views,
        velocity=Rows.of(velocity[None]),
        soft_velocity=Rows.of(soft[None]),
        soft_log=Rows.of(np.log(soft + np.float32(0.005 * soft_scale))[None]),
        on=on,
        off=off,
        fiducial=fiducial,
        slope_top=np.maximum(np.abs(views.fine_slope.inside[:, index]).max(axis=2), 1e-3).astype(np.float64),
        velocity_top=np.maximum(velocity_top, 1e-3).astype(np.float64),
        height=height,
        soft_scale=soft_scale,
        height_scale=max(1e-3, float(np.sqrt((np.median(height, axis=1) ** 2).mean()))),
        rr_before=np.append(usual, rr),
        rr_after=np.append(rr, usual),
    )


def _common(slopes: Floats) -> Floats:
    """[sample]: root mean square over the leads."""
    return np.sqrt(np.einsum("ij,ij->j", slopes, slopes) / slopes.shape[0])


def _windows(length: int, start: Samples, width: int) -> Index:
    """int64 [beat, width], sample indices held at the strip's ends."""
    return np.clip(np.rint(start).astype(np.int64)[:, None] + np.arange(width), 0, length - 1)


def _qrs_span(velocity: Floats, at: Samples, hz: float) -> tuple[Samples, Samples, Samples, Floats]:
    """Onset, offset, centre of energy (grid samples) and largest slope [beat], by the leads' common slope."""
    before, after = int(QRS_BEFORE_S * hz), int(QRS_AFTER_S * hz)
    start = np.rint(at - before)
    v = velocity[_windows(velocity.size, start, before + after + 1)]
    column = np.arange(v.shape[1])
    near = np.abs(column - before) <= QRS_NEAR_S * hz
    peak = np.where(near, v, 0.0).max(axis=1, keepdims=True)
    strong = near & (v >= 0.5 * peak)
    first, last = strong.argmax(axis=1), column[-1] - strong[:, ::-1].argmax(axis=1)
    floor = np.minimum(np.median(v[:, : int(0.1 * hz)], axis=1, keepdims=True), 0.06 * peak)
    low = v < EDGE_FRACTION * peak + floor
    early, late = low.copy(), low.copy()
    early[:, 2:] &= low[:, 1:-1] & low[:, :-2]
    late[:, :-2] &= low[:, 1:-1] & low[:, 2:]
    on = np.where(early & (column <= first[:, None]), column, 0).max(axis=1)
    off = np.where(late & (column >= last[:, None]), column, column[-1]).min(axis=1)
    energy = np.where((column >= on[:, None]) & (column <= off[:, None]), v * v, 0.0)
    centre = (energy * column).sum(axis=1) / np.maximum(energy.sum(axis=1), 1e-12)
    return start + on, start + off, start + centre, peak[:, 0]


def consensus(found: Samples, fiducial: Samples, family: Index, hz: float) -> Floats:
    """float32 [..., lead, beat, 4], units of 10 ms: where the others have it, from where this lead has it in this beat.

    The others: the middle, the early and the late quarter of the leads in this beat; this lead in the like beats.
    """
    ordered = np.sort(found, axis=-2)
    n = found.shape[-2]
    middle = (ordered[..., (n - 1) // 2, :] + ordered[..., n // 2, :]) / 2
    from_qrs = found - fiducial
    usual = np.empty_like(found)
    for kind in np.unique(family):
        of = family == kind
        few = np.sort(from_qrs[..., of], axis=-1)
        m = few.shape[-1]
        usual[..., of] = ((few[..., (m - 1) // 2] + few[..., m // 2]) / 2)[..., None] + fiducial[of]
    out = np.empty((*found.shape, 4), np.float32)
    for column, other in enumerate((middle, ordered[..., (n - 1) // 4, :], ordered[..., n - 1 - (n - 1) // 4, :])):
        np.subtract(other[..., None, :], found, out=out[..., column], casting="same_kind")
    np.subtract(usual, found, out=out[..., 3], casting="same_kind")
    return np.clip(out * np.float32(100.0 / hz), -6.0, 6.0)


def rounded(place: Samples) -> Index:
    return np.rint(place).astype(np.int64)


def tracks(scene: Scene, net: Net) -> tuple[Floats, Floats, float]:
    """How much each instant looks like the middle of a P and of a T wave: log odds [position] each, and the positions' step.

    Position k lies at grid sample k * step.
    """
    step = max(1, round(TRACK_STEP_MS * scene.views.hz / 1000.0))
    at = np.arange(0, scene.views.length, step)
    out = net(track_features(scene, at, since_qrs(scene, at)))
    weight = np.exp(out - out.max(axis=1, keepdims=True))
    share = weight[:, 1:] / weight.sum(axis=1, keepdims=True)
    odds = np.log((share + 1e-5) / (1.0 - share + 1e-5))
    return odds[:, 0], odds[:, 1], float(step)


def since_qrs(scene: Scene, at: Index) -> Samples:
    """Seconds since the last QRS ended at each of these grid samples (0 within one, 2 before the first)."""
    which = np.searchsorted(scene.on, at, side="right") - 1
    ended = np.where(which >= 0, scene.off[np.maximum(which, 0)], -2.0 * scene.views.hz)
    return np.maximum((at - ended) / scene.views.hz, 0.0)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a wave's middle is [beat], grid samples; the log odds there of this beat and of its family; whether there is room."""

    at: Samples
    seen: Floats
    usual: Floats
    is_there: npt.NDArray[np.bool_]


def t_places(scene: Scene, track: Floats, step: float, family: Index) -> Place:
    """The middle of each beat's T wave: between this QRS and the next one."""
    hz = scene.views.hz
    start = scene.off + T_AFTER_S * hz
    stop = np.minimum(np.append(scene.on[1:] - T_AFTER_S * hz, np.inf), scene.off + LATEST_T_S * hz)
    return _places(track, step, start, stop, rounded(scene.fiducial / step), int(1.15 * LATEST_T_S * hz / step), family)


def p_places(scene: Scene, track: Floats, step: float, family: Index, t: Place) -> Place:
    """The middle of the P wave before each QRS: after the T wave before it."""
    hz = scene.views.hz
    stop = scene.on - P_BEFORE_S * hz
    after_t = np.append(-np.inf, np.where(t.is_there[:-1], t.at[:-1] + P_AFTER_T_S * hz, scene.off[:-1]))
    width = int((LONGEST_PR_S + 0.1) * hz / step)
    start = np.maximum(after_t, scene.on - LONGEST_PR_S * hz)
    return _places(track, step, start, stop, rounded(scene.fiducial / step) - width, width, family)


def _places(track: Floats, step: float, start: Samples, stop: Samples, base: Index, width: int, family: Index) -> Place:
    """The likeliest instant within start..stop (grid samples) among ``width`` positions from ``base`` [beat].

    The track is averaged over the beats of a family, and each beat is drawn to where its family has the wave.
    """
    index = base[:, None] + np.arange(width)
    allowed = (index * step >= start[:, None]) & (index * step <= stop[:, None]) & (index >= 0) & (index < track.size)
    seen = track[np.clip(index, 0, track.size - 1)]
    usual = np.empty_like(seen)
    for kind in np.unique(family):
        of = family == kind
        weight = allowed[of].sum(axis=0)
        usual[of] = np.where(
            weight > 0, np.where(allowed[of], seen[of], 0.0).sum(axis=0) / np.maximum(weight, 1), _UNLIKELY
        )
    both = seen + usual
    best = np.where(allowed, both, -np.inf).argmax(axis=1)
    row = np.arange(best.size)
    return Place(
        (base + best + _summit(both, best)) * step, seen[row, best], usual[row, best], np.asarray(allowed.any(axis=1))
    )


def _summit(rows: Floats, best: Index) -> Samples:
    """[row], -0.5..0.5: how far from its largest sample the parabola through it and its neighbours has its summit."""
    row, inner = np.arange(best.size), np.clip(best, 1, rows.shape[1] - 2)
    left, middle, right = (rows[row, inner + k].astype(np.float64) for k in (-1, 0, 1))
    bend = left - 2.0 * middle + right
    off = np.where(bend < -1e-6, 0.5 * (left - right) / np.minimum(bend, -1e-6), 0.0)
    return np.where(inner == best, np.clip(off, -0.5, 0.5), 0.0)


def presence_features(scene: Scene, family: Index, p: Place, t: Place) -> Floats:
    """float32 [beat, feature]: what tells whether there is a P wave where it would be."""
    hz = scene.views.hz
    pr = (scene.fiducial - p.at) / hz
    usual, mean, share = np.empty_like(pr), np.empty_like(pr), np.empty_like(pr)
    for kind in np.unique(family):
        of = family == kind
        usual[of] = np.median(pr[of])
        mean[of] = p.seen[of].mean()
        share[of] = np.abs(pr[of] - usual[of]).mean()
    after_t = np.append(1.0, (p.at[1:] - t.at[:-1]) / hz)
    few = np.full(pr.shape, float(scene.height.shape[0] > 1))
    return np.stack(
        (
            *(p.seen, p.usual, mean, np.full(pr.shape, p.seen.mean())),
            *(pr * 5.0, np.minimum(np.abs(pr - usual), 0.2) * 20.0, np.minimum(share, 0.2) * 20.0),
            *(np.clip(after_t, 0.0, 0.6) * 5.0, np.minimum(scene.rr_before, 1.5), few),
        ),
        axis=1,
        dtype=np.float32,
    )


def presence(scene: Scene, family: Index, p: Place, t: Place, net: Net) -> Samples:
    """[beat], 0..1: that there is a P wave."""
    return 1.0 / (1.0 + np.exp(-net(presence_features(scene, family, p, t))[:, 0].astype(np.float64)))


def steady(scene: Scene, p: Place, own: npt.NDArray[np.bool_], certainty: Samples) -> Samples:
    """[beat]: the same certainty, raised where many leads see something alike at one distance before every beat.

    A P wave on the end of T, as in first-degree block, looks like one in no single beat; but fibrillation has nothing
    steady there, and what tachycardias and flutter have is nearer.  Limits (ours): on PTB-XL's folds 1-8, of 253 records
    of first-degree block whose P waves weren't seen 106 pass, of 402 of fibrillation, flutter and tachycardia one.
    """
    own = own & p.is_there
    if scene.views.leads < _STEADY_LEADS or own.sum() < _STEADY_BEATS:
        return certainty
    ahead_s = (scene.on - p.at) / scene.views.hz
    first, last = np.quantile(ahead_s[own], _STEADY_PARTS)
    usual_s = float(np.median(ahead_s[own]))
    if last - first > _STEADY_S or usual_s < _STEADY_PR_S or float(np.median(certainty[own])) < _STEADY_HINT:
        return certainty
    if coherence_of(scene, own) < _STEADY_COHERENCE:
        return certainty
    in_place = own & (np.abs(ahead_s - usual_s) <= _STEADY_S)
    return np.where(in_place, np.maximum(certainty, _STEADY_CERTAINTY), certainty)


def coherence_of(scene: Scene, which: npt.NDArray[np.bool_]) -> float:
    """How alike the stretches before the QRS are, -1/(n-1)..1: power of their mean over their mean power, chance removed."""
    n = int(which.sum())
    if n < 3:
        return 0.0
    hz = scene.views.hz
    width = round((BEFORE_QRS_S[0] - BEFORE_QRS_S[1]) * hz)
    start = np.rint(scene.fiducial[which] - np.median(scene.fiducial[which] - scene.on[which]) - BEFORE_QRS_S[0] * hz)
    index = np.clip(start.astype(np.int64)[:, None] + np.arange(width), 0, scene.views.length - 1)
    seen = scene.views.smooth.inside[:, index]
    line = np.arange(width) - (width - 1) / 2
    seen = seen - seen.mean(axis=2, keepdims=True)
    seen = seen - (seen @ line)[..., None] * (line / (line**2).sum())
    power = float((seen**2).sum(axis=2).mean(axis=1).sum())
    common = float((seen.mean(axis=1) ** 2).sum())
    return (n * common / max(power, 1e-12) - 1.0) / (n - 1.0)


def upright(scene: Scene, centre: Samples, half_s: float) -> tuple[Floats, Floats]:
    """float32 [lead, beat]: which way the wave about ``centre`` [beat] points (+1, -1), and how high it is, mV."""
    views = scene.views
    half = round(half_s * views.hz)
    index = np.clip(rounded(centre)[:, None] + np.arange(-half, half + 1), 0, views.length - 1)
    seen = views.smooth.inside[:, index]
    line = np.linspace(0.0, 1.0, 2 * half + 1, dtype=np.float32)
    seen = seen - (seen[..., :1] + (seen[..., -1:] - seen[..., :1]) * line)
    high, low = seen.max(axis=2), seen.min(axis=2)
    return np.where(-low > high, np.float32(-1.0), np.float32(1.0)), np.maximum(
        np.maximum(high, -low), np.float32(0.005)
    )


def first_look(scene: Scene, net: Net, centre: Samples, taps: Taps, sign: Floats, height: Floats) -> Samples:
    """[3, lead, beat]: onset, peak, offset of the wave about ``centre`` [beat], grid samples."""
    anchor = np.broadcast_to(rounded(centre), sign.shape)
    found = net(wave_features(scene, anchor, taps, sign, height)).astype(np.float64)
    return anchor + np.moveaxis(found, 2, 0) * (scene.views.hz / 1000.0)


def second_features(
    scene: Scene, found: Samples, family: Index, taps: Taps, sign: Floats, height: Floats
) -> tuple[Index, Floats]:
    """Anchors [3, lead, beat] at what the first look found, and the features of the second look there."""
    anchor = rounded(found)
    seen = wave_features(scene, anchor, taps, sign, height)
    others = consensus(found, scene.fiducial, family, scene.views.hz)
    width = np.broadcast_to(((found[2] - found[0]) * (10.0 / scene.views.hz))[..., None], (*found.shape, 1))
    return anchor, np.concatenate((seen, others, width), axis=3, dtype=np.float32)
