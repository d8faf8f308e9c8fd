"""What the atria do: P waves that keep their shape and place, fibrillation or flutter waves between the beats."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from ecg.flutter import flutter_of
from ecg.marks import BeatClass, Beats, Mark, Waves
from ecg.strip import Samples, Strip
from ecg.waves_look import Look, look_at
from ecg.waves_nets import Index, Scene
from ecg.waves_steps import coherence_of
from ecg.waves_tables import Tables, tables
from ecg.waves_views import Floats

FEWEST_BEATS: Final = 4
"""Fewer beats tell nothing of how regular a rhythm is (ours)."""
F_BAND_HZ: Final = (3.0, 12.0)
"""Fibrillation 4..9 Hz, flutter 3..6 Hz (AHA/ACC/HRS 2009; Bollmann 2006)."""
F_NEAR_HZ: Final = 0.6
FREE_ODDS: Final = 1.5
"""Log odds on the track from which a wave that no QRS follows counts as P (ours)."""
_FAST_PER_MIN: Final = 100.0
_WIDE_S: Final = 0.12
APART_S: Final = 0.20
BACKED_S: Final = 0.06


@dataclass(frozen=True, slots=True)
class Atrial:
    """Evidence about the atria.

    p_evidence: float64 [beat], 0..1, that this beat has a P wave before it, fibrillation and flutter considered.
    p_samples: float64 [P], peaks of all P waves in time, samples of the strip, those without a QRS among them.
    p_beat: int64 [P], the beat that each belongs to, -1 for a P wave that no beat follows.
    pp_ms: median interval of neighbouring P waves, NaN when there are fewer than three; pp_spread: its
    median deviation as a share of it.  pr_spread_ms: standard deviation of P peak to QRS onset, NaN below three.
    p_coherence: 0..1, how alike what lies before the QRS is from beat to beat, all leads (1: the same; 0: chance).
    rr_irregularity: median change between neighbouring RR intervals as a share of the median RR, ventricular beats
    left out.
    f_hz: dominant frequency, 3..12 Hz, of what remains without QRS and T; NaN where there's nothing.
    f_concentration: 0..1, the share of that band's power within 0.6 Hz of it; f_mv: its root mean square.
    af_probability, flutter_probability: 0..1.
    """

    p_evidence: Samples
    p_samples: Samples
    p_beat: Index
    pp_ms: float
    pp_spread: float
    pr_spread_ms: float
    p_coherence: float
    rr_irregularity: float
    f_hz: float
    f_concentration: float
    f_mv: float
    af_probability: float
    flutter_probability: float


def evidence(strip: Strip, beats: Beats, waves: Waves, made: Tables | None = None, look: Look | None = None) -> Atrial:
    """What can be told of the atria from these beats and waves.

    made: other coefficients than those that ship.  look: of the same strip and beats, where it was made already.
    """
    made = made or tables()
    look = look or look_at(strip, beats, made)
    if look is None:
        return _nothing(len(beats))
    view = _seen(look, beats, waves)
    odds = made.atria(view.features[None])[0].astype(np.float64)
    weight = np.exp(odds - odds.max())
    _, af, flutter = weight / weight.sum()
    f_hz = view.f_hz
    if len(beats) < FEWEST_BEATS:
        af = flutter = 0.0
    elif not _is_wide_and_fast(strip, beats, waves) and (folded := flutter_of(strip, beats)) is not None:
        flutter, f_hz = max(float(flutter), folded.probability), folded.rate / 60.0
        af = min(float(af), 1.0 - flutter)
    own = waves.p_certainty * (1.0 - max(af, flutter))
    peaks, owner = _all_p(view, waves, own, step=view.scene.views.step, is_sinus=af + flutter < 0.5)
    apart = np.diff(peaks) * (1000.0 / strip.fs_hz)
    pp = float(np.median(apart)) if apart.size > 1 else float("nan")
    mine = np.flatnonzero(own >= 0.5)
    pr = (waves.overall[mine, Mark.QRS_ON] - waves.overall[mine, Mark.P_PEAK]) * (1000.0 / strip.fs_hz)
    pr = pr[np.isfinite(pr)]
    return Atrial(
        p_evidence=own,
        p_samples=peaks,
        p_beat=owner,
        pp_ms=pp,
        pp_spread=float(np.median(np.abs(apart - pp)) / pp) if apart.size > 1 else float("nan"),
        pr_spread_ms=float(pr.std()) if pr.size > 2 else float("nan"),
        p_coherence=view.coherence,
        rr_irregularity=view.irregularity,
        f_hz=f_hz,
        f_concentration=view.f_concentration,
        f_mv=view.f_mv,
        af_probability=float(af),
        flutter_probability=float(flutter),
    )


def _is_wide_and_fast(strip: Strip, beats: Beats, waves: Waves) -> bool:
    """Whether the beats are: a wide tachycardia is ventricular until a person says otherwise, and no flutter."""
    width = waves.overall[:, Mark.QRS_OFF] - waves.overall[:, Mark.QRS_ON]
    width = width[np.isfinite(width)]
    interval = float(np.median(np.diff(beats.at)))
    return (
        interval <= strip.fs_hz * 60.0 / _FAST_PER_MIN
        and width.size > 0
        and float(np.median(width)) >= _WIDE_S * strip.fs_hz
    )


def without_false_p(waves: Waves, atrial: Atrial) -> Waves:
    """The waves without P waves where the atria more probably fibrillate or flutter, or the evidence is poor."""
    return waves.without_p(atrial.p_evidence < 0.5)


def _nothing(beats: int) -> Atrial:
    nan = float("nan")
    none = np.zeros(0)
    return Atrial(np.zeros(beats), none, none.astype(np.int64), nan, nan, nan, 0.0, 0.0, nan, 0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen of the atria.  features: float32 [feature], for the regression; p_track: log odds, ``track_step`` grid samples apart."""

    features: Floats
    scene: Scene
    p_track: Floats
    track_step: float
    coherence: float
    irregularity: float
    f_hz: float
    f_concentration: float
    f_mv: float


def atrial_features(strip: Strip, beats: Beats, waves: Waves, made: Tables) -> Floats | None:
    """float32 [16]: what the regression of the atria's state sees; None without beats or signal."""
    look = look_at(strip, beats, made)
    return None if look is None else _seen(look, beats, waves).features


def _seen(look: Look, beats: Beats, waves: Waves) -> Seen:
    scene, family, p, t = look.scene, look.family, look.p, look.t
    views = scene.views
    own = ~beats.where(BeatClass.VENTRICULAR)
    counted = own & p.is_there if (own & p.is_there).any() else np.ones(len(beats), dtype=bool)
    coherence = coherence_of(scene, counted & (family == _largest(family[counted])))
    irregularity, swing, after_one = _irregularity(scene, own)
    f_hz, concentration, f_mv, second = _between_beats(scene, family, t.at)
    pr = (scene.on - p.at)[counted] / views.hz
    features = np.array(
        (
            *(min(irregularity, 0.5) * 10.0, min(swing, 0.6) * 5.0, after_one),
            *(np.clip(p.seen[counted], -8, 8).mean(), p.usual[counted].max(), np.median(p.usual[counted])),
            *(waves.p_certainty[counted].mean(), min(float(pr.std()), 0.15) * 20.0, float(pr.mean()) * 5.0),
            *(coherence, np.log(f_mv / scene.height_scale + 0.003), f_hz / 3.0, concentration, second),
            *(min(60.0 / max(float(np.median(scene.rr_after)), 0.25), 240.0) / 60.0, float(views.leads > 1)),
        ),
        dtype=np.float32,
    )
    return Seen(features, scene, look.p_track, look.step, coherence, irregularity, f_hz, concentration, f_mv)


def _largest(family: Index) -> int:
    kinds, counts = np.unique(family, return_counts=True)
    return int(kinds[counts.argmax()])


def _irregularity(scene: Scene, own: npt.NDArray[np.bool_]) -> tuple[float, float, float]:
    """Median and root mean square change of neighbouring RR as a share of the median RR, and the RR's autocorrelation at one."""
    rr = np.diff(scene.fiducial) / scene.views.hz
    good = own[1:] & own[:-1]
    pairs = good[1:] & good[:-1]
    if pairs.sum() < 2:
        return 0.0, 0.0, 0.0
    usual = float(np.median(rr[good]))
    change = np.minimum(np.abs(np.diff(rr))[pairs] / usual, 1.0)
    off = np.clip(rr - usual, -usual, usual)
    after_one = float((off[1:] * off[:-1])[pairs].sum() / max(float((off[good] ** 2).sum()), 1e-6))
    return float(np.median(change)), float(np.sqrt((change**2).mean())), after_one


def _between_beats(scene: Scene, family: Index, t_at: Samples) -> tuple[float, float, float, float]:
    """Dominant frequency, Hz, its share of the band's power, the band's root mean square, mV, and the second line's share.

    QRS and T are taken away as the median of the family's beats, drawn to zero at its ends; a beat of a small family
    is bridged by a straight line.
    """
    hz = scene.views.hz
    rest = scene.views.smooth.inside.copy()
    samples = rest.shape[1]
    end = np.minimum(t_at - scene.on + 0.14 * hz, np.append(np.diff(scene.on) - 0.02 * hz, np.inf))
    for kind in np.unique(family):
        of = np.flatnonzero(family == kind)
        width = max(4, int(np.median(end[of])))
        start = np.rint(scene.fiducial[of] - np.median(scene.fiducial[of] - scene.on[of]) - 0.02 * hz).astype(np.int64)
        index = start[:, None] + np.arange(width)
        inside = (index >= 0) & (index < samples)
        seen = rest[:, np.clip(index, 0, samples - 1)]
        part = np.linspace(0.0, 1.0, width, dtype=np.float32)
        seen = seen - (seen[..., :1] + (seen[..., -1:] - seen[..., :1]) * part)
        usual = np.median(seen, axis=1, keepdims=True) if of.size > 2 else seen
        lead = np.arange(rest.shape[0])[:, None]
        rest[lead, index[inside]] -= np.broadcast_to(usual, seen.shape)[:, inside]
    rest -= rest.mean(axis=1, keepdims=True)
    every = max(1, int(hz // 60))
    thin = rest[:, ::every] * np.hanning(rest[:, ::every].shape[1]).astype(np.float32)
    points = max(512, thin.shape[1])
    power = (np.abs(np.fft.rfft(thin, n=points, axis=1)) ** 2).mean(axis=0)
    f = np.arange(power.size) * (hz / every / points)
    band = (f >= F_BAND_HZ[0]) & (f <= F_BAND_HZ[1])
    total = float(power[band].sum())
    if total <= 0.0:
        return F_BAND_HZ[0], 0.0, 0.0, 0.0
    summed = np.cumsum(np.where(band, power, 0.0))
    half = F_NEAR_HZ / 2
    around = np.interp(f + half, f, summed) - np.interp(f - half, f, summed)
    best = int(np.where(band, around, -1.0).argmax())
    away = band & (np.abs(f - f[best]) > 2 * half)
    second = float(np.where(away, around, 0.0).max()) / total
    rms = np.sqrt(2.0 * total / thin.shape[1] / points / 0.375)
    return float(f[best]), float(around[best]) / total, float(rms), second


def _all_p(view: Seen, waves: Waves, own: Samples, *, step: int, is_sinus: bool) -> tuple[Samples, Index]:
    """Peaks [P], strip samples, of all P waves in time, and the beat of each (-1: none)."""
    peaks = waves.overall[:, Mark.P_PEAK]
    beat = np.flatnonzero(np.isfinite(peaks) & (own >= 0.5))
    at, owner = peaks[beat], beat
    if is_sinus:
        free = _free_p(view, at / step)
        at, owner = np.append(at, free * step), np.append(owner, np.full(free.size, -1))
    order = np.argsort(at, kind="stable")
    return at[order], owner[order]


def _free_p(view: Seen, known: Samples) -> Samples:
    """Grid samples of P waves on the track away from any QRS and from the P waves that are known."""
    scene, track, hz = view.scene, view.p_track, view.scene.views.hz
    at = np.arange(track.size) * view.track_step
    reach = max(1, int(APART_S * hz / view.track_step))
    padded = np.pad(track, reach, constant_values=-np.inf)
    top = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1).max(axis=1)
    good = (track >= FREE_ODDS) & (track >= top)
    which = np.clip(np.searchsorted(scene.on, at, side="right") - 1, 0, scene.on.size - 1)
    good &= (at > scene.off[which] + 0.1 * hz) | (at < scene.on[0])
    for places, apart_s in ((known, APART_S), (scene.on, BACKED_S)):
        if places.size:
            good &= np.abs(at[:, None] - places).min(axis=1) > apart_s * hz
    return at[good].astype(np.float64)
