"""Made recordings of a known rhythm, from a seed: when each P and each QRS is, of what class, and what must be said.

Waves are Gaussians a lead (as in ``portal.demo_ecgs``); wide beats are wide in every lead and of another axis.
Atrial and ventricular events are planned apart, so that block, dissociation, capture and sensing can be made.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from center.reads import SignalInput
from ecg.marks import BeatClass
from ecg.signal import STANDARD_LEADS, derived_limb_leads

Samples = npt.NDArray[np.float64]
Rng = np.random.Generator
Artefact = Literal["", "muscle", "movement", "compressions", "mains", "wander", "taps"]

_STORED: Final = ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")
N, S, V, F, P = (
    BeatClass.NORMAL,
    BeatClass.SUPRAVENTRICULAR,
    BeatClass.VENTRICULAR,
    BeatClass.FUSION,
    BeatClass.PACED,
)

# mV, [lead I II V1..V6]: an adult's ordinary recording, read off by eye.
_NARROW: Final = np.array(
    [
        # q, R, S
        (-0.05, 0.70, -0.12),
        (-0.07, 1.05, -0.18),
        (0.00, 0.22, -0.95),
        (0.00, 0.45, -1.35),
        (0.00, 0.80, -0.95),
        (-0.05, 1.35, -0.55),
        (-0.08, 1.25, -0.25),
        (-0.08, 0.95, -0.10),
    ]
)
_NARROW_T: Final = np.array([0.20, 0.30, -0.06, 0.35, 0.45, 0.45, 0.35, 0.25])
_SINUS_P: Final = np.array([0.08, 0.14, 0.06, 0.07, 0.08, 0.08, 0.08, 0.07])
_RETRO_P: Final = np.array([0.02, -0.14, 0.08, 0.04, 0.00, -0.03, -0.06, -0.06])
_ATRIAL_P: Final = np.array([-0.07, 0.06, 0.10, 0.08, 0.04, 0.02, -0.03, -0.05])
_LBBB: Final = np.array([1.0, 0.5, -1.3, -1.6, -1.2, -0.3, 0.9, 1.1])
_RBBB_LATE: Final = np.array([-0.30, -0.22, 0.75, 0.55, 0.20, -0.15, -0.30, -0.32])
_LEFT_V: Final = np.array([-0.6, 1.2, 1.3, 1.2, 0.9, 0.5, -0.3, -0.7])  # from the left ventricle: up in V1
_RIGHT_V: Final = np.array([0.8, 1.1, -1.1, -1.5, -1.0, 0.3, 0.9, 1.2])  # from the right: down in V1
_APEX: Final = np.array([0.7, -1.0, -1.0, -1.3, -1.2, -0.9, -0.5, -0.4])  # a pacing lead in the right apex


@dataclass(frozen=True, slots=True)
class RhythmTruth:
    """What was made.

    kind: the maker's key.  must: statements that have to be made.  may: statements that may be made beside them.
    at_s: [beat], the R peak, s.  marks_s: [beat, 9] (``ecg.marks.Mark``), NaN where there's no such wave.
    p_s: [atrial beat], every P wave with or without a QRS.  spikes_s: pacing spikes.
    fibrillation_s: when ventricular fibrillation or flutter begins and ends, empty where there is none.
    atrial: p (P waves), fibrillation, flutter, or none.  atrial_rate: /min, of the flutter or fibrillation.
    """

    kind: str
    must: frozenset[str]
    may: frozenset[str]
    at_s: Samples
    kinds: tuple[BeatClass, ...]
    marks_s: Samples
    p_s: Samples
    spikes_s: Samples
    fibrillation_s: tuple[float, float] | tuple[()] = ()
    atrial: str = "p"
    atrial_rate: float = 0.0


@dataclass(frozen=True, slots=True)
class _Shape:
    """heights: [lead, wave] mV; centres, widths: [wave] s against the R peak; the last wave is T."""

    heights: Samples
    centres: Samples
    widths: Samples
    on_s: float
    off_s: float


@dataclass(slots=True)
class _Plan:
    """What happens when: (time of the R peak, class, shape's name, scale), (time of the P peak, shape's name)."""

    must: set[str]
    may: set[str] = field(default_factory=set[str])
    beats: list[tuple[float, BeatClass, str, float]] = field(default_factory=list[tuple[float, BeatClass, str, float]])
    atria: list[tuple[float, str]] = field(default_factory=list[tuple[float, str]])
    spikes: list[float] = field(default_factory=list[float])
    background: Literal["", "fibrillation", "flutter", "vf", "vf_fine", "v_flutter"] = ""
    background_hz: float = 0.0
    span_s: tuple[float, float] | tuple[()] = ()
    twist: bool = False
    t_alternates: bool = False
    r_alternates: bool = False

    def beat(self, at: float, kind: BeatClass = N, shape: str = "narrow", scale: float = 1.0) -> None:
        self.beats.append((at, kind, shape, scale))

    def p(self, at: float, shape: str = "sinus") -> None:
        self.atria.append((at, shape))

    def conducted(self, p_at: float, pr: float, kind: BeatClass = N, shape: str = "narrow", p: str = "sinus") -> float:
        """A P wave and its QRS; pr: from the P wave's peak to the R peak, s."""
        self.p(p_at, p)
        self.beat(p_at + pr, kind, shape)
        return p_at + pr


_PR: Final = 0.155
"""P peak to R peak, s: a PR interval of some 165 ms in the shapes below."""
Maker = Callable[[Rng, float, float | None], _Plan]
MAKERS: dict[str, Maker] = {}


def _maker(name: str) -> Callable[[Maker], Maker]:
    def keep(made: Maker) -> Maker:
        MAKERS[name] = made
        return made

    return keep


def make_rhythm(
    kind: str,
    seed: int,
    *,
    seconds: float = 10.0,
    fs_hz: float = 500.0,
    leads: tuple[str, ...] = STANDARD_LEADS,
    rate: float | None = None,
    noise_mv: float = 0.012,
    artefact: Artefact = "",
    dropout_s: tuple[tuple[float, float], ...] = (),
    flat_s: tuple[tuple[float, float], ...] = (),
    leads_off: tuple[str, ...] = (),
) -> tuple[SignalInput, RhythmTruth]:
    """The recording and its truth.

    kind: a key of ``MAKERS``.  rate: /min (of the tachycardia, of the ventricles ...), None: one from the seed.
    dropout_s: spans without values in all leads; flat_s: spans at exactly 0 mV; leads_off: leads without a signal.
    """
    rng = np.random.default_rng((seed, sorted(MAKERS).index(kind)))
    plan = MAKERS[kind](rng, seconds, rate)
    time_s = np.arange(round(seconds * fs_hz)) / fs_hz
    shapes = _shapes(rng)
    mv = np.zeros((len(_STORED), time_s.size))
    marks = _add_beats(mv, time_s, plan, shapes)
    p_marks = _add_atria(mv, time_s, plan, rng)
    _add_background(mv, time_s, plan, rng)
    _add_spikes(mv, fs_hz, plan)
    _add_noise(mv, time_s, rng, noise_mv, artefact)
    rows = dict(zip(_STORED, mv, strict=True))
    rows |= derived_limb_leads(rows["I"], rows["II"])
    for lead in leads_off:
        rows[lead] = np.zeros_like(time_s)
    signal = np.stack([rows[lead] for lead in leads])
    for start, end in dropout_s:
        signal[:, int(start * fs_hz) : int(end * fs_hz)] = np.nan
    for start, end in flat_s:
        signal[:, int(start * fs_hz) : int(end * fs_hz)] = 0.0
    truth = _truth(kind, plan, marks, p_marks, seconds, (*dropout_s, *flat_s))
    return SignalInput(signal.astype(np.float32), leads, fs_hz, 61.0, "M"), truth


# -- shapes and waves


def _shapes(rng: Rng) -> dict[str, _Shape]:
    person = rng.normal(1.0, 0.12, (8, 1)).clip(0.7, 1.3)
    narrow = _Shape(
        np.hstack([_NARROW * person, _NARROW_T[:, None] * person]),
        np.array([-0.026, 0.0, 0.030, 0.290]),
        np.array([0.008, 0.010, 0.011, 0.045]),
        -0.045,
        0.050,
    )
    rbbb = _Shape(
        np.hstack([_NARROW * person, _RBBB_LATE[:, None], _NARROW_T[:, None] * person - 0.3 * _RBBB_LATE[:, None]]),
        np.array([-0.026, 0.0, 0.030, 0.070, 0.310]),
        np.array([0.008, 0.010, 0.011, 0.018, 0.045]),
        -0.045,
        0.105,
    )
    lbbb = _wide(_LBBB * (0.9 + 0.2 * rng.random()), 0.026, 0.055)
    ventricles = (_LEFT_V, _RIGHT_V, _LEFT_V * np.array([1, -1, 1, 1, 1, 1, 1, 1]))
    first, second = rng.permutation(3)[:2]
    pre = np.where(_NARROW[:, 1:2] > 0.4, 0.5 * _NARROW[:, 1:2], -0.25)
    preexcited = _Shape(
        np.hstack([pre, _NARROW * person, -0.4 * _NARROW_T[:, None]]),
        np.array([-0.038, -0.020, 0.008, 0.034, 0.290]),
        np.array([0.022, 0.010, 0.016, 0.014, 0.045]),
        -0.085,
        0.065,
    )
    v1 = _wide(ventricles[first] * rng.normal(1.1, 0.1), 0.030, 0.065)
    fusion = _Shape(
        np.hstack([narrow.heights[:, :3] * 0.6, v1.heights * 0.45]),
        np.concatenate([narrow.centres[:3], v1.centres]),
        np.concatenate([narrow.widths[:3], v1.widths]),
        -0.07,
        0.09,
    )
    return {
        "narrow": narrow,
        "rbbb": rbbb,
        "lbbb": lbbb,
        "preexcited": preexcited,
        "v1": v1,
        "v2": _wide(ventricles[second] * rng.normal(1.0, 0.1), 0.034, 0.060),
        "paced": _wide(_APEX * rng.normal(1.0, 0.1), 0.028, 0.062),
        "fusion": fusion,
    }


def _wide(heights: Samples, width_s: float, apart_s: float) -> _Shape:
    """A QRS of some 140-170 ms: a first part, a slurred larger one, and a T wave against it."""
    first = 0.6 * width_s
    return _Shape(
        np.stack([0.6 * heights, heights, -0.42 * heights], axis=1),
        np.array([-0.5 * apart_s, 0.5 * apart_s, 0.290]),
        np.array([first, 0.85 * width_s, 0.050]),
        -0.5 * apart_s - 2.2 * first,
        0.5 * apart_s + 2.0 * width_s,
    )


def _add_wave(mv: Samples, time_s: Samples, heights: Samples, centre: float, width: float) -> None:
    near = slice(*np.searchsorted(time_s, (centre - 5 * width, centre + 5 * width)))
    mv[:, near] += heights[:, None] * np.exp(-0.5 * ((time_s[near] - centre) / width) ** 2)


def _add_beats(mv: Samples, time_s: Samples, plan: _Plan, shapes: dict[str, _Shape]) -> list[Samples]:
    """Draws them, in time; the marks of each, s [9]."""
    plan.beats.sort(key=lambda beat: beat[0])
    times = np.array([beat[0] for beat in plan.beats])
    marks: list[Samples] = []
    for n, (at, _, name, scale) in enumerate(plan.beats):
        shape = shapes[name]
        after = times[n + 1] - at if n + 1 < times.size else 1.0
        before = at - times[n - 1] if n else after
        shrink = float(np.sqrt(np.clip(min(before, 1.15 * after), 0.22, 1.1)))
        heights = shape.heights * scale
        if plan.twist:
            turn = np.cos(2 * np.pi * n / 11.0 + np.linspace(0.0, 1.6, heights.shape[0]))
            heights = np.abs(heights[:, :1]) * turn[:, None] * np.sign(shape.heights[0]) * 1.4
        if plan.t_alternates and n % 2:
            heights = heights * np.array([1.0] * (heights.shape[1] - 1) + [0.25])
        if plan.r_alternates and n % 2:
            heights = heights * 0.55
        last = len(shape.centres) - 1
        t_width = shape.widths[last] * min(1.0, shrink)
        for wave, (centre, width) in enumerate(zip(shape.centres, shape.widths, strict=True)):
            is_t = wave == last
            _add_wave(mv, time_s, heights[:, wave], at + centre * (shrink if is_t else 1.0), t_width if is_t else width)
        t = at + shape.centres[last] * shrink
        marks.append(
            np.array(
                [
                    *(np.nan, np.nan, np.nan),
                    *(at + shape.on_s, at, at + shape.off_s),
                    *(t - 2.2 * t_width, t, t + 2.2 * t_width),
                ]
            )
        )
    return marks


def _add_atria(mv: Samples, time_s: Samples, plan: _Plan, rng: Rng) -> list[Samples]:
    plan.atria.sort()
    heights = {"sinus": _SINUS_P, "retro": _RETRO_P, "atrial": _ATRIAL_P, "between": 0.5 * (_SINUS_P + _ATRIAL_P)}
    size = float(np.clip(rng.normal(1.0, 0.15), 0.7, 1.4))
    for at, name in plan.atria:
        _add_wave(mv, time_s, heights[name] * size, at, 0.022)
    return [np.array([at - 0.05, at, at + 0.05]) for at, _ in plan.atria]


def _add_spikes(mv: Samples, fs_hz: float, plan: _Plan) -> None:
    """Of 2 ms, or one sample: what a recorder without a pacing channel leaves."""
    heights = np.array([0.8, -1.6, -1.2, -1.4, -1.2, -1.0, -0.9, -0.8])
    for at in plan.spikes:
        first = round(at * fs_hz)
        last = first + max(1, round(0.002 * fs_hz))
        if first >= 0 and last <= mv.shape[1]:
            mv[:, first:last] += heights[:, None]


# -- backgrounds: what has no beats


def _band_noise(rng: Rng, count: int, fs_hz: float, centre_hz: float, spread_hz: float) -> Samples:
    """Noise of unit rms around a frequency."""
    frequency = np.fft.rfftfreq(count, 1 / fs_hz)
    gain = np.exp(-0.5 * ((frequency - centre_hz) / spread_hz) ** 2)
    values = np.fft.irfft(gain * np.fft.rfft(rng.standard_normal(count)), count)
    return values / max(float(np.std(values)), 1e-9)


def _add_background(mv: Samples, time_s: Samples, plan: _Plan, rng: Rng) -> None:
    if not plan.background:
        return
    count, fs_hz = time_s.size, 1.0 / (time_s[1] - time_s[0])
    hz = plan.background_hz
    if plan.background == "fibrillation":
        size = rng.uniform(0.025, 0.06)
        gains = size * np.array([0.6, 1.0, 1.6, 1.1, 0.7, 0.5, 0.45, 0.4])
        parts = np.stack([_band_noise(rng, count, fs_hz, hz, 0.7) for _ in range(3)])
        mix = np.abs(rng.normal(1.0, 0.4, (8, 3)))
        mv += gains[:, None] * (mix / np.linalg.norm(mix, axis=1, keepdims=True)) @ parts
        return
    if plan.background == "flutter":
        phase = 2 * np.pi * hz * time_s + rng.uniform(0, 6) + 0.05 * np.cumsum(rng.standard_normal(count)) / fs_hz
        saw = sum(np.sin(k * phase + 0.3 * (k - 1)) / k for k in (1, 2, 3))
        gains = rng.uniform(0.09, 0.2) * np.array([0.25, 1.0, -0.6, -0.3, 0.15, 0.25, 0.3, 0.3])
        mv -= gains[:, None] * saw
        return
    if plan.background == "v_flutter":
        phase = 2 * np.pi * hz * time_s + 0.1 * np.cumsum(rng.standard_normal(count)) / np.sqrt(fs_hz)
        wave = (np.sin(phase) + 0.2 * np.sin(2 * phase + 0.5)) * (1 + 0.08 * _band_noise(rng, count, fs_hz, 0.5, 0.3))
        gains = rng.choice([-1.0, 1.0], 8) * rng.uniform(0.5, 1.4, 8)
        made = gains[:, None] * wave
    else:
        fine = plan.background == "vf_fine"
        parts = np.stack([_band_noise(rng, count, fs_hz, hz + rng.normal(0, 0.5), 1.2) for _ in range(3)])
        parts += 0.35 * np.stack([_band_noise(rng, count, fs_hz, 1.7 * hz, 1.5) for _ in range(3)])
        mix = rng.normal(0.0, 1.0, (8, 3))
        size = rng.uniform(0.06, 0.10) if fine else rng.uniform(0.2, 0.5)
        made = size * (mix / np.linalg.norm(mix, axis=1, keepdims=True)) @ parts
    start, end = plan.span_s or (float(time_s[0]), float(time_s[-1]) + 1.0)
    edge = np.clip((time_s - start) / 0.15, 0, 1) * np.clip((end - time_s) / 0.15, 0, 1)
    mv += made * (edge if plan.span_s else 1.0)


def _add_noise(mv: Samples, time_s: Samples, rng: Rng, noise_mv: float, artefact: str) -> None:
    count, fs_hz = time_s.size, 1.0 / (time_s[1] - time_s[0])
    mv += rng.normal(0.0, noise_mv, mv.shape)
    mv += rng.uniform(0.01, 0.05, (8, 1)) * np.sin(2 * np.pi * (0.22 * time_s + rng.random((8, 1))))
    if artefact == "mains":
        mv += rng.uniform(0.05, 0.15, (8, 1)) * np.sin(2 * np.pi * 50.0 * time_s + rng.uniform(0, 6, (8, 1)))
    elif artefact == "wander":
        mv += rng.uniform(0.2, 0.7, (8, 1)) * np.stack([_band_noise(rng, count, fs_hz, 0.25, 0.12) for _ in range(8)])
    elif artefact == "muscle":
        bursts = np.clip(_band_noise(rng, count, fs_hz, 0.3, 0.2), 0, 2)
        mv += rng.uniform(0.03, 0.08, (8, 1)) * bursts * rng.standard_normal(mv.shape)
    elif artefact == "movement":
        start = rng.uniform(0.1, 0.5) * time_s[-1]
        window = np.exp(-0.5 * ((time_s - start - 1.5) / 0.9) ** 2)
        parts = np.stack([_band_noise(rng, count, fs_hz, rng.uniform(1.0, 6.0), 1.5) for _ in range(8)])
        mv += rng.uniform(0.05, 0.8, (8, 1)) * window * parts
    elif artefact == "compressions":
        rate_hz = rng.uniform(1.6, 2.0)
        phase = 2 * np.pi * rate_hz * time_s + 0.3 * _band_noise(rng, count, fs_hz, 0.2, 0.1)
        wave = np.sin(phase) + 0.4 * np.sin(2 * phase + 1.0) + 0.15 * np.sin(3 * phase + 2.0)
        mv += rng.uniform(0.3, 1.0, (8, 1)) * wave
    elif artefact == "taps":
        wave = np.sin(2 * np.pi * rng.uniform(4.0, 6.0) * time_s + _band_noise(rng, count, fs_hz, 0.5, 0.3))
        mv[:2] += rng.uniform(0.05, 0.2, (2, 1)) * wave  # a tremor: limb leads only


def _truth(
    kind: str,
    plan: _Plan,
    marks: list[Samples],
    p_marks: list[Samples],
    seconds: float,
    gone_s: tuple[tuple[float, float], ...],
) -> RhythmTruth:
    """The beats that lie wholly in the strip and outside its gaps."""

    def is_seen(at: float, margin: float) -> bool:
        return margin < at < seconds - margin and not any(a - 0.05 < at < b + 0.05 for a, b in gone_s)

    p_all = np.array([p[1] for p in p_marks if is_seen(p[1], 0.03)])
    rows: list[Samples] = []
    kinds: list[BeatClass] = []
    for (at, beat, _, _), mark in zip(plan.beats, marks, strict=True):
        if not is_seen(at, 0.06):
            continue
        row = mark.copy()
        near = [p for p in p_marks if mark[3] - 0.42 < p[1] < mark[3] - 0.02 and is_seen(p[1], 0.03)]
        if near and not any(p[1] < other < at for p in near[-1:] for other in (b[0] for b in plan.beats)):
            row[:3] = near[-1]
        rows.append(row)
        kinds.append(beat)
    stacked = np.array(rows).reshape(len(rows), 9)
    silent = {"fibrillation": "fibrillation", "flutter": "flutter", "vf": "none", "vf_fine": "none"}
    return RhythmTruth(
        kind=kind,
        must=frozenset(plan.must),
        may=frozenset(plan.may),
        at_s=stacked[:, 4],
        kinds=tuple(kinds),
        marks_s=stacked,
        p_s=p_all,
        spikes_s=np.array([s for s in plan.spikes if is_seen(s, 0.01)]),
        fibrillation_s=(plan.span_s or (0.0, seconds)) if plan.background in ("vf", "vf_fine", "v_flutter") else (),
        atrial=silent.get(plan.background, "p"),
        atrial_rate=60.0 * plan.background_hz if plan.background in ("fibrillation", "flutter") else 0.0,
    )


# -- intervals


def _steady(rng: Rng, rate: float, seconds: float, variation: float = 0.02) -> list[float]:
    """Times from before the strip to beyond it, s: a rate with breathing, slow waves and jitter (each about a part)."""
    mean = 60.0 / rate
    at = -mean * (1.0 + rng.random())
    breath, slow = rng.uniform(0.2, 0.3), rng.uniform(0.08, 0.12)
    phase, phase2 = rng.uniform(0, 6, 2)
    times: list[float] = []
    while at < seconds + 2.0:
        times.append(at)
        wave = np.sin(2 * np.pi * breath * at + phase) + 0.7 * np.sin(2 * np.pi * slow * at + phase2)
        at += mean * (1.0 + variation * (wave + 0.4 * rng.standard_normal()))
    return times


def _irregular(rng: Rng, rate: float, seconds: float, spread: float = 0.22) -> list[float]:
    """Ventricular times of atrial fibrillation, s: intervals without order, skewed to the long side."""
    mean = 60.0 / rate
    at = -mean * (1.0 + rng.random())
    times: list[float] = []
    while at < seconds + 2.0:
        times.append(at)
        at += mean * float(np.clip(rng.lognormal(-0.5 * spread**2, spread), 0.55, 1.9))
    return times


def _sinus_plan(rng: Rng, seconds: float, rate: float, must: set[str], shape: str = "narrow") -> _Plan:
    plan = _Plan(must=must)
    pr = _pr(rate)
    for p_at in _steady(rng, rate, seconds):
        plan.conducted(p_at, pr, shape=shape)
    return plan


def _pr(rate: float) -> float:
    return _PR * float(np.clip(1.15 - 0.0018 * rate, 0.7, 1.1))


# -- makers: sinus


@_maker("sinus")
def _sinus(rng: Rng, seconds: float, rate: float | None) -> _Plan:
    return _sinus_plan(rng, seconds, rate or rng.uniform(62, 97), {"sinus_rhythm"})


@_maker("sinus_brady")
def _sinus_brady(rng: Rng, seconds: float, rate: float | None) -> _Plan:
    plan = _sinus_plan(rng, seconds, rate or rng.uniform(36, 56), {"sinus_brady"})
    plan.may.add("sinus_arrhythmia")
    return plan


@_maker("sinus_tachy")
def _sinus_tachy(rng: Rng, seconds: float, rate: float | None) -> _Plan:
    return _sinus_plan(rng, seconds, rate or rng.uniform(106, 146), {"sinus_tachy"})


@_maker("sinus_arrhythmia")
def _sinus_arrhythmia(rng: Rng, seconds: float, rate: float | None) -> _Plan:
    plan = _Plan(must={"sinus_arrhythmia"}, may={"sinus_rhythm", "sinus_brady"})
    rate = rate or rng.uniform(58, 80)
    for p_at in _steady(rng, rate, seconds, variation=rng.uniform(0.13, 0.18)):
        plan.conducted(p_at, _PR)
    return plan


@_maker("sinus_rbbb")
def _sinus_rbbb(rng: Rng, seconds: float, rate: float | None) -> _Plan:
    return _sinus_plan(rng, seconds, rate or rng.uniform(62, 97), {"sinus_rhythm"}, "rbbb")


@_maker("sinus_lbbb")
def _sinus_lbbb(rng: Rng, seconds: float, rate: float | None) -> _Plan:
    return _sinus_plan(rng, seconds, rate or rng.uniform(62, 97), {"sinus_rhythm"}, "lbbb")


@_maker("sinus_tachy_lbbb")
def _sinus_tachy_lbbb(rng: Rng, seconds: float, rate: float | None) -> _Plan:
    plan = _sinus_plan(rng, seconds, rate or rng.uniform(104, 130), {"sinus_tachy"}, "lbbb")
    plan.may.add("wide_tachy")
    return plan


@_maker("sinus_avb1")
def _sinus_avb1(rng: Rng, seconds: float, rate: float | None) -> _Plan:
    plan = _Plan(must={"sinus_rhythm"}, may={"avb1"})
    pr = rng.uniform(0.23, 0.31)
    for p_at in _steady(rng, rate or rng.uniform(62, 85), seconds):
        plan.conducted(p_at, pr)
    return plan


@_maker("wandering_pacemaker")
def _wandering(rng: Rng, seconds: float, rate: float | None) -> _Plan:
    plan = _Plan(must={"wandering_pacemaker"}, may={"sinus_rhythm", "sinus_arrhythmia", "atrial_rhythm", "sinus_brady"})
    shapes = ("sinus", "sinus", "between", "atrial", "atrial", "retro", "between")
    for n, p_at in enumerate(_steady(rng, rate or rng.uniform(65, 85), seconds, variation=0.07)):
        plan.conducted(p_at, _PR + 0.02 * (n % 3) - 0.02, p=shapes[n % len(shapes)])
    return plan


@_maker("atrial_rhythm")
def _atrial_rhythm(rng: Rng, seconds: float, rate: float | None) -> _Plan:
    plan = _Plan(must={"atrial_rhythm"}, may={"junctional_rhythm"})
    for p_at in _steady(rng, rate or rng.uniform(62, 90), seconds):
        plan.conducted(p_at, 0.135, p="retro")
    return plan


# -- makers: pauses


@_maker("sinus_pause")
def _sinus_pause(rng: Rng, seconds: float, rate: float | None) -> _Plan:
    """A pause of 2.2 to 5.5 s, not a multiple of the PP interval."""
    plan = _Plan(must={"sinus_arrest"}, may={"sinus_rhythm", "sinus_brady", "sinus_arrhythmia"})
    rate = rate or rng.uniform(62, 85)
    step = 60.0 / rate
    steps = rng.integers(2, max(3, int(5.0 / step))) + rng.uniform(0.35, 0.65)
    start = rng.uniform(1.5, seconds - steps * step - 2.2)
    for p_at in _steady(rng, rate, seconds, 0.01):
        if p_at <= start:
            plan.conducted(p_at, _PR)
    last = max(p for p, _ in plan.atria)
    for n in range(40):
        if last + steps * step + n * step < seconds + 2:
            plan.conducted(last + steps * step + n * step, _PR)
    return plan


@_maker("sa_block_2")
def _sa_block(rng: Rng, seconds: float, rate: float | None) -> _Plan:
    """One sinus beat left out: a pause of exactly two PP intervals."""
    plan = _Plan(must={"sa_block_2"}, may={"sinus_rhythm", "sinus_brady", "sinus_arrhythmia", "sinus_arrest"})
    times = _steady(rng, rate or rng.uniform(62, 85), seconds, 0.004)
    gone = {len(times) // 2, len(times) // 2 + 4} if rng.random() < 0.5 else {len(times) // 2}
    for n, p_at in enumerate(times):
        if n not in gone:
            plan.conducted(p_at, _PR)
    return plan


@_maker("pac_blocked")
def _pac_blocked(rng: Rng, seconds: float, rate: float | None) -> _Plan:
    plan = _Plan(must={"pac_blocked"}, may={"sinus_rhythm", "sinus_brady", "sinus_arrhythmia", "pac"})
    rate = rate or rng.uniform(60, 78)
    step, at, n = 60.0 / rate, -0.6, 0
    early_at = rng.integers(3, 6)
    while at < seconds + 1:
        plan.conducted(at, _PR)
        n += 1
        if n == early_at:
            plan.p(at + 0.62 * step, "between")
            at += 1.60 * step
        else:
            at += step * (1 + 0.01 * rng.standard_normal())
    return plan


@_maker("asystole")
def _asystole(rng: Rng, seconds: float, rate: float | None) -> _Plan:
    """Sinus beats that stop after two to three seconds."""
    plan = _Plan(must={"sinus_arrest"}, may={"sinus_rhythm", "sinus_brady", "sinus_arrhythmia"})
    stop = rng.uniform(2.5, 3.2)
    for p_at in _steady(rng, rate or rng.uniform(62, 85), seconds):
        if p_at < stop:
            plan.conducted(p_at, _PR)
    return plan


# -- makers: atria


@_maker("afib")
def _afib(rng: Rng, seconds: float, rate: float | None) -> _Plan:
    plan = _Plan(must={"afib"}, background="fibrillation", background_hz=rng.uniform(5.5, 8.5))
    for at in _irregular(rng, rate or rng.uniform(55, 150), seconds, rng.uniform(0.16, 0.28)):
        plan.beat(at)
    return plan


@_maker("afib_lbbb")
def _afib_lbbb(rng: Rng, seconds: float, rate: float | None) -> _Plan:
    plan = _Plan(must={"afib"}, may={"wide_tachy"}, background="fibrillation", background_hz=rng.uniform(5.5, 8.5))
    for at in _irregular(rng, rate or rng.uniform(65, 140), seconds, rng.uniform(0.16, 0.28)):
        plan.beat(at, shape="lbbb")
    return plan


@_maker("afib_pvc")
def _afib_pvc(rng: Rng, seconds: float, rate: float | None) -> _Plan:
    plan = _Plan(must={"afib", "pvc"}, may={"aberrancy"}, background="fibrillation", background_hz=rng.uniform(5.5, 8))
    times = _irregular(rng, rate or rng.uniform(60, 100), seconds, 0.2)
    for n, at in enumerate(times):
        is_v = n % 6 == 4
        plan.beat(at - (0.12 if is_v else 0.0), V if is_v else N, "v1" if is_v else "narrow")
    return plan


@_maker("afib_wpw")
def _afib_wpw(rng: Rng, seconds: float, rate: float | None) -> _Plan:
    plan = _Plan(
        must={"afib"}, may={"wide_tachy", "aberrancy"}, background="fibrillation", background_hz=rng.uniform(6, 8)
    )
    for at in _irregular(rng, rate or rng.uniform(170, 215), seconds, 0.2):
        plan.beat(at, shape="preexcited" if rng.random() < 0.85 else "narrow")
    return plan


def _flutter(rng: Rng, seconds: float, atrial: float, ratios: tuple[int, ...]) -> _Plan:
    plan = _Plan(must={"aflutter"}, may={"narrow_tachy"}, background="flutter", background_hz=atrial / 60)
    step = 60.0 / atrial
    at, n = -2.0 * step, int(rng.integers(0, len(ratios)))
    while at < seconds + 1:
        plan.beat(at + 0.006 * rng.standard_normal())
        at += step * ratios[n % len(ratios)]
        n += 1 if len(ratios) == 1 else int(rng.integers(1, 3))
    return plan


@_maker("aflutter_2to1")
def _aflutter_2(rng: Rng, seconds: float, rate: float | None) -> _Plan:
    return _flutter(rng, seconds, 2 * rate if rate else rng.uniform(240, 330), (2,))


@_maker("aflutter_3to1")
def _aflutter_3(rng: Rng, seconds: float, rate: float | None) -> _Plan:
    return _flutter(rng, seconds, 3 * rate if rate else rng.uniform(230, 330), (3,))


@_maker("aflutter_4to1")
def _aflutter_4(rng: Rng, seconds: float, rate: float | None) -> _Plan:
    return _flutter(rng, seconds, 4 * rate if rate else rng.uniform(230, 330), (4,))


@_maker("aflutter_variable")
def _aflutter_v(rng: Rng, seconds: float, rate: float | None) -> _Plan:
    return _flutter(rng, seconds, rng.uniform(230, 330), (2, 4, 3, 2, 4))


@_maker("svt")
def _svt(rng: Rng, seconds: float, rate: float | None) -> _Plan:
    plan = _Plan(must={"svt"}, may={"psvt", "narrow_tachy"})
    for at in _steady(rng, rate or rng.uniform(165, 240), seconds, 0.004):
        plan.beat(at)
    return plan


@_maker("psvt")
def _psvt(rng: Rng, seconds: float, rate: float | None) -> _Plan:
    """Sinus rhythm, and a supraventricular tachycardia that begins and ends in the strip."""
    plan = _Plan(must={"psvt"}, may={"sinus_rhythm", "sinus_tachy", "svt", "pac", "sinus_arrhythmia", "atrial_tachy"})
    sinus = 60.0 / rng.uniform(65, 85)
    step = 60.0 / (rate or rng.uniform(165, 210))
    start = rng.uniform(2.2, 3.2)
    at = last = -0.5
    while at < start:
        last = plan.conducted(at, _PR)
        at += sinus
    end = start + max(seconds - 5.5, 3.5)
    at = last + 0.75 * step + 0.1
    while at < end:
        plan.beat(at, S)
        at += step * (1 + 0.005 * rng.standard_normal())
    at += 0.75
    while at < seconds + 1:
        plan.conducted(at, _PR)
        at += sinus
    return plan


@_maker("atrial_tachy")
def _atrial_tachy(rng: Rng, seconds: float, rate: float | None) -> _Plan:
    plan = _Plan(must={"atrial_tachy"}, may={"svt", "narrow_tachy"})
    for p_at in _steady(rng, rate or rng.uniform(120, 165), seconds, 0.005):
        plan.conducted(p_at, 0.125, p="retro")
    return plan


# -- makers: ectopy


def _ectopic(
    rng: Rng, seconds: float, rate: float, early: Callable[[int], str], must: set[str], may: set[str]
) -> _Plan:
    """Sinus beats; ``early(n)`` says for the n-th beat what follows it early: '', s, a, v, w, vv, vvv...

    A ventricular beat stays within its compensatory pause; a supraventricular one resets the sinus node.
    """
    plan = _Plan(must=must, may=may | {"sinus_rhythm", "sinus_brady", "sinus_arrhythmia", "sinus_tachy"})
    step, n = 60.0 / rate, 0
    p_at = -step * (0.3 + rng.random())
    while p_at < seconds + 1:
        r_at = plan.conducted(p_at, _PR)
        what = early(n) if p_at > 0.3 else ""
        n += 1 if p_at > 0.3 else 0
        here = step * (1 + 0.012 * rng.standard_normal())
        if what in ("s", "a"):
            ahead = rng.uniform(0.58, 0.70)
            plan.p(p_at + ahead * step, "atrial")
            plan.beat(p_at + ahead * step + _PR, S, "rbbb" if what == "a" else "narrow")
            p_at += ahead * step + 1.12 * step
        elif what:
            gap = 0.44 * np.sqrt(step) if what.startswith("R") else rng.uniform(0.56, 0.66) * step
            at = r_at
            for k, letter in enumerate(what.lstrip("R")):
                at += gap if k == 0 else min(0.62 * step, 0.42)
                plan.beat(at, V, "v1" if letter == "v" else "v2")
            skipped = int((at - r_at) / step) + 2
            for k in range(1, skipped):
                hidden = p_at + k * step  # the sinus node goes on; its wave is seen where no QRS covers it
                if not any(abs(hidden - b[0]) < 0.10 for b in plan.beats):
                    plan.p(hidden)
            p_at += skipped * step
        else:
            p_at += here
    return plan


@_maker("pac")
def _pac(rng: Rng, seconds: float, rate: float | None) -> _Plan:
    at = set(rng.choice(np.arange(1, 7), 2, replace=False).tolist())
    return _ectopic(rng, seconds, rate or rng.uniform(58, 85), lambda n: "s" if n in at else "", {"pac"}, set())


@_maker("pac_aberrant")
def _pac_aberrant(rng: Rng, seconds: float, rate: float | None) -> _Plan:
    at = set(rng.choice(np.arange(1, 7), 2, replace=False).tolist())
    may = {"aberrancy", "pvc"}
    return _ectopic(rng, seconds, rate or rng.uniform(58, 85), lambda n: "a" if n in at else "", {"pac"}, may)


@_maker("pvc")
def _pvc(rng: Rng, seconds: float, rate: float | None) -> _Plan:
    at = set(rng.choice(np.arange(1, 7), int(rng.integers(1, 3)), replace=False).tolist())
    return _ectopic(rng, seconds, rate or rng.uniform(58, 90), lambda n: "v" if n in at else "", {"pvc"}, {"fusion"})


@_maker("pvc_multiform")
def _pvc_two(rng: Rng, seconds: float, rate: float | None) -> _Plan:
    return _ectopic(rng, seconds, rate or rng.uniform(60, 85), lambda n: {2: "v", 5: "w"}.get(n, ""), {"pvc"}, set())


@_maker("pvc_r_on_t")
def _r_on_t(rng: Rng, seconds: float, rate: float | None) -> _Plan:
    return _ectopic(rng, seconds, rate or rng.uniform(60, 72), lambda n: {2: "Rv", 6: "Rv"}.get(n, ""), {"pvc"}, set())


@_maker("couplet")
def _couplet(rng: Rng, seconds: float, rate: float | None) -> _Plan:
    return _ectopic(rng, seconds, rate or rng.uniform(62, 85), lambda n: {3: "vv"}.get(n, ""), {"pvc"}, set())


@_maker("bigeminy")
def _bigeminy(rng: Rng, seconds: float, rate: float | None) -> _Plan:
    return _ectopic(rng, seconds, rate or rng.uniform(62, 90), lambda _: "v", {"pvc", "bigeminy_v"}, set())


@_maker("trigeminy")
def _trigeminy(rng: Rng, seconds: float, rate: float | None) -> _Plan:
    rate = rate or rng.uniform(70, 95)
    return _ectopic(rng, seconds, rate, lambda n: "v" if n % 2 else "", {"pvc", "trigeminy_v"}, set())


@_maker("fusion")
def _fusion(rng: Rng, seconds: float, rate: float | None) -> _Plan:
    plan = _ectopic(rng, seconds, rate or rng.uniform(62, 80), lambda n: {2: "v"}.get(n, ""), {"pvc"}, {"fusion"})
    normal = [k for k, b in enumerate(plan.beats) if b[1] is N and 5.0 < b[0] < seconds - 1]
    at, _, _, scale = plan.beats[normal[1]]
    plan.beats[normal[1]] = (at - 0.02, F, "fusion", scale)
    return plan


# -- makers: ventricular rhythms


@_maker("vt_nonsustained")
def _vt_short(rng: Rng, seconds: float, rate: float | None) -> _Plan:
    run = "v" * int(rng.integers(4, 9))
    plan = _ectopic(rng, seconds, rng.uniform(65, 85), lambda n: {3: run}.get(n, ""), {"vt_nonsustained"}, {"pvc"})
    plan.may |= {"av_dissociation"}
    return plan


@_maker("vt")
def _vt(rng: Rng, seconds: float, rate: float | None) -> _Plan:
    """Filling the strip; the sinus node beats on by itself."""
    plan = _Plan(must={"vt"}, may={"av_dissociation"})
    for at in _steady(rng, rate or rng.uniform(115, 178), seconds, 0.006):
        plan.beat(at, V, "v1")
    for p_at in _steady(rng, rng.uniform(60, 95), seconds, 0.01):
        plan.p(p_at)
    return plan


@_maker("vt_poly")
def _vt_poly(rng: Rng, seconds: float, rate: float | None) -> _Plan:
    plan = _Plan(must={"vt_poly"}, may={"vt", "wide_tachy", "torsades", "v_flutter", "vf"})
    at, step = -0.5, 60.0 / (rate or rng.uniform(170, 230))
    while at < seconds + 1:
        plan.beat(at, V, ("v1", "v2", "lbbb")[int(rng.integers(0, 3))], float(rng.choice([-1.0, 0.6, 1.0, 1.3])))
        at += step * float(np.clip(rng.normal(1.0, 0.12), 0.7, 1.4))
    return plan


@_maker("torsades")
def _torsades(rng: Rng, seconds: float, rate: float | None) -> _Plan:
    plan = _Plan(must={"torsades"}, may={"vt_poly", "vt", "wide_tachy", "vf", "v_flutter"}, twist=True)
    at, step = -0.5, 60.0 / (rate or rng.uniform(190, 250))
    while at < seconds + 1:
        plan.beat(at, V, "v1")
        at += step * float(np.clip(rng.normal(1.0, 0.05), 0.8, 1.2))
    return plan


@_maker("vf")
def _vf(rng: Rng, seconds: float, rate: float | None) -> _Plan:
    return _Plan(must={"vf"}, may={"v_flutter", "torsades"}, background="vf", background_hz=rng.uniform(3.8, 6.5))


@_maker("vf_fine")
def _vf_fine(rng: Rng, seconds: float, rate: float | None) -> _Plan:
    return _Plan(must={"vf"}, background="vf_fine", background_hz=rng.uniform(4.0, 6.5))


@_maker("vf_onset")
def _vf_onset(rng: Rng, seconds: float, rate: float | None) -> _Plan:
    """Sinus rhythm, one R on T, fibrillation to the end."""
    start = rng.uniform(2.5, 4.0)
    plan = _sinus_plan(rng, seconds, rng.uniform(65, 90), {"vf"})
    plan.may |= {"sinus_rhythm", "pvc", "v_flutter", "torsades", "sinus_arrhythmia"}
    plan.beats = [b for b in plan.beats if b[0] < start - 0.3]
    plan.atria = [p for p in plan.atria if p[0] < start - 0.5]
    plan.background, plan.background_hz, plan.span_s = "vf", rng.uniform(4.0, 6.5), (start, seconds)
    return plan


@_maker("v_flutter")
def _v_flutter(rng: Rng, seconds: float, rate: float | None) -> _Plan:
    hz = (rate or rng.uniform(220, 300)) / 60
    return _Plan(must={"v_flutter"}, may={"vf"}, background="v_flutter", background_hz=hz)


@_maker("idioventricular")
def _idioventricular(rng: Rng, seconds: float, rate: float | None) -> _Plan:
    plan = _Plan(must={"idioventricular"})
    for at in _steady(rng, rate or rng.uniform(28, 45), seconds, 0.015):
        plan.beat(at, V, "v1")
    return plan


@_maker("aivr")
def _aivr(rng: Rng, seconds: float, rate: float | None) -> _Plan:
    plan = _Plan(must={"aivr"}, may={"av_dissociation"})
    for at in _steady(rng, rate or rng.uniform(58, 95), seconds, 0.01):
        plan.beat(at, V, "v1")
    return plan


# -- makers: junction


def _junctional(rng: Rng, seconds: float, rate: float, must: set[str]) -> _Plan:
    plan = _Plan(must=must)
    retro = rng.random() < 0.5
    for at in _steady(rng, rate, seconds, 0.006):
        plan.beat(at)
        if retro:
            plan.p(at + 0.12, "retro")
    return plan


@_maker("junctional_rhythm")
def _junctional_rhythm(rng: Rng, seconds: float, rate: float | None) -> _Plan:
    return _junctional(rng, seconds, rate or rng.uniform(38, 58), {"junctional_rhythm"})


@_maker("junctional_acc")
def _junctional_acc(rng: Rng, seconds: float, rate: float | None) -> _Plan:
    return _junctional(rng, seconds, rate or rng.uniform(64, 95), {"junctional_acc"})


@_maker("junctional_escape")
def _junctional_escape(rng: Rng, seconds: float, rate: float | None) -> _Plan:
    """A sinus pause that a junctional beat ends."""
    plan = _Plan(
        must={"junctional_escape"},
        may={"sinus_rhythm", "sinus_brady", "sinus_arrest", "sinus_arrhythmia", "sa_block_2"},
    )
    step = 60.0 / (rate or rng.uniform(62, 78))
    at = last = -0.4
    while at < 4.0:
        last = plan.conducted(at, _PR)
        at += step * (1 + 0.01 * rng.standard_normal())
    plan.beat(last + rng.uniform(1.45, 1.75))
    at = last + 1.75 + step
    while at < seconds + 1:
        plan.conducted(at, _PR)
        at += step * (1 + 0.01 * rng.standard_normal())
    return plan


# -- makers: AV block


def _blocked(rng: Rng, seconds: float, atrial: float, ratio: Callable[[int], float | None], must: set[str]) -> _Plan:
    """Sinus P waves; ``ratio(n)``: P peak to R peak of the n-th, s, None where it isn't conducted."""
    plan = _Plan(must=must, may={"sinus_rhythm", "sinus_tachy", "avb1", "sinus_brady", "sinus_arrhythmia"})
    for n, p_at in enumerate(_steady(rng, atrial, seconds, 0.006)):
        pr = ratio(n)
        plan.p(p_at)
        if pr is not None:
            plan.beat(p_at + pr)
    return plan


@_maker("mobitz1")
def _mobitz1(rng: Rng, seconds: float, rate: float | None) -> _Plan:
    cycle = int(rng.integers(3, 6))
    delays = (0.17, 0.25, 0.29, 0.32, 0.34)
    return _blocked(
        rng,
        seconds,
        rate or rng.uniform(70, 92),
        lambda n: None if n % cycle == cycle - 1 else delays[n % cycle],
        {"avb2_mobitz1"},
    )


@_maker("mobitz2")
def _mobitz2(rng: Rng, seconds: float, rate: float | None) -> _Plan:
    cycle = int(rng.integers(3, 6))
    rate = rate or rng.uniform(70, 92)
    return _blocked(rng, seconds, rate, lambda n: None if n % cycle == 1 else 0.16, {"avb2_mobitz2"})


@_maker("avb_2to1")
def _avb_2(rng: Rng, seconds: float, rate: float | None) -> _Plan:
    rate = rate or rng.uniform(70, 100)
    return _blocked(rng, seconds, rate, lambda n: None if n % 2 else 0.17, {"avb_2to1"})


@_maker("avb_high")
def _avb_high(rng: Rng, seconds: float, rate: float | None) -> _Plan:
    every = int(rng.integers(3, 5))
    rate = rate or rng.uniform(80, 105)
    return _blocked(rng, seconds, rate, lambda n: None if n % every else 0.17, {"avb_high"})


def _avb3(rng: Rng, seconds: float, escape: float, shape: str) -> _Plan:
    plan = _Plan(must={"avb3"}, may={"av_dissociation", "junctional_rhythm", "idioventricular", "v_escape"})
    plan.may |= {"junctional_escape", "sinus_rhythm", "sinus_tachy"}
    ratio = float(rng.choice([1.35, 1.6, 1.75, 2.3, 2.4, 2.65]))  # nowhere near 2:1, which a short strip can't tell
    while escape * ratio < 68.0:
        ratio += 1.0
    for p_at in _steady(rng, escape * ratio, seconds, 0.008):
        plan.p(p_at)
    for at in _steady(rng, escape, seconds, 0.004):
        plan.beat(at, V if shape == "v1" else N, shape)
    return plan


@_maker("avb3_narrow")
def _avb3_narrow(rng: Rng, seconds: float, rate: float | None) -> _Plan:
    return _avb3(rng, seconds, rate or rng.uniform(38, 52), "narrow")


@_maker("avb3_wide")
def _avb3_wide(rng: Rng, seconds: float, rate: float | None) -> _Plan:
    return _avb3(rng, seconds, rate or rng.uniform(27, 40), "v1")


# -- makers: pacing


@_maker("paced_v")
def _paced_v(rng: Rng, seconds: float, rate: float | None) -> _Plan:
    plan = _Plan(must={"paced_v"}, may={"afib", "av_dissociation"})
    for at in _steady(rng, rate or rng.uniform(60, 75), seconds, 0.0):
        plan.spikes.append(at - 0.105)
        plan.beat(at, P, "paced")
    return plan


@_maker("paced_a")
def _paced_a(rng: Rng, seconds: float, rate: float | None) -> _Plan:
    plan = _Plan(must={"paced_a"})
    for at in _steady(rng, rate or rng.uniform(60, 80), seconds, 0.0):
        plan.spikes.append(at - 0.055)
        plan.conducted(at, 0.185)
    return plan


@_maker("paced_dual")
def _paced_dual(rng: Rng, seconds: float, rate: float | None) -> _Plan:
    plan = _Plan(must={"paced_dual"}, may={"paced_v", "paced_a"})
    for at in _steady(rng, rate or rng.uniform(60, 75), seconds, 0.0):
        plan.spikes += [at - 0.055, at + 0.150]
        plan.p(at)
        plan.beat(at + 0.255, P, "paced")
    return plan


@_maker("paced_no_capture")
def _no_capture(rng: Rng, seconds: float, rate: float | None) -> _Plan:
    """Every third or fourth spike isn't followed by a QRS."""
    plan = _Plan(must={"paced_v", "pace_capture_v"}, may={"afib"})
    lost = int(rng.integers(3, 5))
    for n, at in enumerate(_steady(rng, rate or rng.uniform(60, 75), seconds, 0.0)):
        plan.spikes.append(at - 0.105)
        if n % lost != lost - 1:
            plan.beat(at, P, "paced")
    return plan


@_maker("paced_no_sensing")
def _no_sensing(rng: Rng, seconds: float, rate: float | None) -> _Plan:
    """Sinus beats of its own, and spikes that take no notice of them."""
    plan = _Plan(must={"pace_sense_v"}, may={"paced_v", "sinus_rhythm", "fusion", "sinus_arrhythmia", "pace_capture_v"})
    step = 60.0 / (rate or rng.uniform(60, 72))
    beats = _steady(rng, rng.uniform(72, 82), seconds, 0.01)
    for p_at in beats:
        plan.conducted(p_at, _PR)
    own = [p + _PR for p in beats]
    at = 0.45
    while at < seconds:
        plan.spikes.append(at)
        before = max((b for b in own if b < at), default=-1.0)
        after = min((b for b in own if b > at), default=99.0)
        if at - before > 0.36 and after - at > 0.20:  # the ventricle is excitable again, and its own beat isn't near
            plan.beats = [b for b in plan.beats if not at < b[0] < at + 0.45]
            plan.beat(at + 0.105, P, "paced")
        at += step
    return plan


# -- makers: alternans


@_maker("alternans")
def _alternans(rng: Rng, seconds: float, rate: float | None) -> _Plan:
    plan = _sinus_plan(rng, seconds, rate or rng.uniform(80, 130), {"alternans"})
    plan.may |= {"sinus_rhythm", "sinus_tachy"}
    plan.r_alternates = True
    return plan


@_maker("t_alternans")
def _t_alternans(rng: Rng, seconds: float, rate: float | None) -> _Plan:
    plan = _sinus_plan(rng, seconds, rate or rng.uniform(75, 105), {"alternans"})
    plan.may |= {"sinus_rhythm", "sinus_tachy"}
    plan.t_alternates = True
    return plan
