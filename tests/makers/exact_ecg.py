"""Made ECGs whose truth is exact: waves of bounded support, so that every boundary and amplitude holds by definition.

The idea is that of the CTS calibration and analytic signals (CAL, ANE) of IEC 60601-2-25; the shapes here are our own.
A lead's beat is a curve through knots (a monotone piecewise cubic, Fritsch and Carlson 1980): it has its extremes at
knots only and is zero outside its waves.  I, II and V1-V6 are described; III, aVR, aVL, aVF follow by Einthoven and
Goldberger.  Truth is read off the same curve on a grid of 0.05 ms, wherever the recording happens to sample it.

    recording, truth = make(ANE["lbbb"], noise=HF_NOISE)
    truth.values["qrs_duration"], truth.by_lead["V1"]["s_amplitude"], truth.beats(), truth.waves()
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.interpolate import PchipInterpolator

from center.reads import SignalInput
from ecg.marks import BeatClass, Beats, Mark, Waves
from ecg.signal import STANDARD_LEADS

Samples = npt.NDArray[np.float64]

DESCRIBED: Final = ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")
_DERIVED: Final = {"III": (-1.0, 1.0), "aVR": (-0.5, -0.5), "aVL": (1.0, -0.5), "aVF": (-0.5, 1.0)}
_GRID_S: Final = 0.00005
_QRS_FOOT_MS: Final = 3.0
_SLOW_FOOT_MS: Final = 8.0


@dataclass(frozen=True, slots=True)
class Lead:
    """One lead's beat, mV against the level before the QRS.

    p: the P wave's peaks, one or two (``(0.08, -0.1)`` is biphasic).
    qrs: (share of the QRS duration, mV) of each knot, in time; extremes and, where a flank bends, points on it.
    st_j: level at the J point.  st_slope: mV/s from J to the T wave's onset.  t: the T wave's peaks, one or two.
    starts_ms, ends_ms: how much later than the whole QRS this lead's begins, and how much earlier it ends.
    """

    p: tuple[float, ...] = ()
    qrs: tuple[tuple[float, float], ...] = ()
    st_j: float = 0.0
    st_slope: float = 0.0
    t: tuple[float, ...] = ()
    starts_ms: float = 0.0
    ends_ms: float = 0.0


def lead(
    q: float = 0.0,
    r: float = 0.0,
    s: float = 0.0,
    *,
    r2: float = 0.0,
    p: float | tuple[float, ...] = 0.1,
    t: float | tuple[float, ...] = 0.2,
    st: float = 0.0,
    slope: float = 0.0,
    starts_ms: float = 0.0,
    ends_ms: float = 0.0,
) -> Lead:
    """A lead by the usual names; magnitudes of q, r, s, r2 (R') in mV, 0 where there is no such wave."""
    if r2:
        knots = ((0.16, -q), (0.34, r), (0.56, -s), (0.78, r2))
    else:
        knots = ((0.2, -q), (0.45, r), (0.72, -s))
    return Lead(
        p=_peaks(p),
        qrs=tuple((share, mv) for share, mv in knots if mv),
        st_j=st,
        st_slope=slope,
        t=_peaks(t),
        starts_ms=starts_ms,
        ends_ms=ends_ms,
    )


def _peaks(of: float | tuple[float, ...]) -> tuple[float, ...]:
    return of if isinstance(of, tuple) else (of,) if of else ()


@dataclass(frozen=True, slots=True)
class Shape:
    """A beat of all leads.  pr_ms: P onset to QRS onset; None: no P wave.  st_ms: J to the T wave's onset.

    spikes_ms: pacing spikes, ms before the QRS onset.
    """

    leads: Mapping[str, Lead]
    pr_ms: float | None = 160.0
    p_ms: float = 100.0
    qrs_ms: float = 90.0
    qt_ms: float = 390.0
    st_ms: float = 100.0
    kind: BeatClass = BeatClass.NORMAL
    spikes_ms: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Spec:
    """A recording: its usual beat, the RR intervals (cycled), and other beats by number.

    others: {beat number: Shape}; their time comes from rr_ms.
    lone_p_s: P waves of the usual shape with no QRS, onset, s.  flicker_mv: fibrillation waves; flutter_mv, flutter_rate.
    expects: keys of ``statements.csv`` that a reader should make of it.
    """

    name: str
    shape: Shape
    rr_ms: tuple[float, ...] = (800.0,)
    others: Mapping[int, Shape] = field(default_factory=dict)
    first_qrs_s: float = 0.45
    lone_p_s: tuple[float, ...] = ()
    flicker_mv: float = 0.0
    flutter_mv: float = 0.0
    flutter_rate: float = 300.0
    expects: frozenset[str] = frozenset()
    age_years: float | None = 55.0
    sex: str = "M"


@dataclass(frozen=True, slots=True)
class Noise:
    """What is added: white noise (rms), mains and wander (peak to valley), mV; offset and delay; a step of the converter."""

    hf_rms_mv: float = 0.0
    mains_mv: float = 0.0
    mains_hz: float = 50.0
    wander_mv: float = 0.0
    wander_hz: float = 0.3
    offset_mv: float = 0.0
    delay_s: float = 0.0
    step_mv: float = 0.0
    seed: int = 1


NO_NOISE: Final = Noise()
HF_NOISE: Final = Noise(hf_rms_mv=0.025)
"""High-frequency noise of 25 uV rms; this and the next two: IEC 60601-2-51 and -2-25, interval measurement under noise."""
MAINS_50: Final = Noise(mains_mv=0.05, mains_hz=50.0)
MAINS_60: Final = Noise(mains_mv=0.05, mains_hz=60.0)
WANDER: Final = Noise(wander_mv=1.0, wander_hz=0.3)
IEC_NOISES: Final = {"hf 25 uV": HF_NOISE, "50 Hz 50 uV": MAINS_50, "60 Hz 50 uV": MAINS_60, "0.3 Hz 1 mV": WANDER}


@dataclass(frozen=True, slots=True)
class Truth:
    """What is so in the recording, by definition.

    overall: [beat, 9], by_lead_marks: [lead, beat, 9], float samples of the recording (``Mark``), NaN where absent.
    values, by_lead: of the usual beat, under the keys of the engine's measurements.
    kinds: a class for each beat.  spikes: float samples.
    """

    leads: tuple[str, ...]
    fs_hz: float
    overall: Samples
    by_lead_marks: Samples
    kinds: tuple[BeatClass, ...]
    is_usual: npt.NDArray[np.bool_]
    spikes: Samples
    values: dict[str, float]
    by_lead: dict[str, dict[str, float]]

    def beats(self) -> Beats:
        """As the engine has them: the usual beats are family 0."""
        return Beats(
            at=np.rint(self.overall[:, Mark.QRS_PEAK]).astype(np.int64),
            kinds=self.kinds,
            family=np.where(self.is_usual, 0, 1).astype(np.int64),
            dominant=0,
            certainty=np.ones(len(self.kinds)),
            spikes=np.rint(self.spikes).astype(np.int64),
        )

    def waves(self) -> Waves:
        has_p = np.isfinite(self.overall[:, Mark.P_PEAK])
        return Waves(self.overall.copy(), self.by_lead_marks.copy(), has_p.astype(np.float64))


def make(
    spec: Spec,
    *,
    seconds: float = 10.0,
    fs_hz: float = 500.0,
    noise: Noise = NO_NOISE,
    leads: tuple[str, ...] = STANDARD_LEADS,
) -> tuple[SignalInput, Truth]:
    """The recording and what is true of it.  Beats whose QRS would not end within it are left out."""
    curves = {id(shape): _curves_of(shape) for shape in (spec.shape, *spec.others.values())}
    onsets = _onsets_s(spec, seconds, noise.delay_s)
    shapes = [spec.others.get(n, spec.shape) for n in range(onsets.size)]
    at_s = np.arange(round(seconds * fs_hz)) / fs_hz
    eight = np.zeros((len(DESCRIBED), at_s.size))
    for onset, shape in zip(onsets, shapes, strict=True):
        curves[id(shape)].add(eight, at_s, float(onset))
    _add_atria(eight, at_s, spec, noise.delay_s)
    rows = _twelve(eight)
    for onset, shape in zip(onsets, shapes, strict=True):
        for before in shape.spikes_ms:
            _add_spike(rows, onset - before / 1000, fs_hz)
    mv = _with_noise(np.stack([rows[name] for name in leads]), at_s, noise)
    usual = np.array([shape is spec.shape for shape in shapes], dtype=bool)
    told = {key: curve.truth(leads) for key, curve in curves.items()}
    overall = np.stack([told[id(s)].overall + onset for s, onset in zip(shapes, onsets, strict=True)]) * fs_hz
    by_lead = np.stack([told[id(s)].by_lead + onset for s, onset in zip(shapes, onsets, strict=True)], axis=1) * fs_hz
    beyond = max(0, at_s.size - 1)
    for marks in (overall, by_lead):
        marks[(marks < 0) | (marks > beyond)] = np.nan
    usual_told = told[id(spec.shape)]
    values = usual_told.values | _rates(spec, onsets)
    measured = {name: dict(of) for name, of in usual_told.measured.items()}
    recording = SignalInput(mv.astype(np.float32), leads, fs_hz, spec.age_years, spec.sex)
    spikes = np.array(
        [o - b / 1000 for o, s in zip(onsets, shapes, strict=True) for b in s.spikes_ms], dtype=np.float64
    )
    return recording, Truth(
        leads, fs_hz, overall, by_lead, tuple(s.kind for s in shapes), usual, spikes * fs_hz, values, measured
    )


# ------------------------------------------------------------------------------------------------ the curve


@dataclass(frozen=True, slots=True)
class _Told:
    """A shape's truth over some leads."""

    overall: Samples
    by_lead: Samples
    values: dict[str, float]
    measured: dict[str, dict[str, float]]


_KEPT: Final = 200
_known: dict[int, tuple[Shape, _Curves]] = {}


def _curves_of(shape: Shape) -> _Curves:
    """The shape's curves, drawn once (a shape holds a mapping and has no hash: it is known by identity)."""
    if id(shape) not in _known:
        if len(_known) >= _KEPT:
            _known.clear()
        _known[id(shape)] = (shape, _Curves(shape))
    return _known[id(shape)][1]


class _Curves:
    """A shape's curves, time in s from the QRS onset."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.begin_s = -(shape.pr_ms or 0.0) / 1000 - 0.02
        self.end_s = shape.qt_ms / 1000 + 0.02
        self.curves = {
            name: _curve(shape, shape.leads.get(name, Lead()), self.begin_s, self.end_s) for name in DESCRIBED
        }
        at_s = np.arange(np.ceil(self.begin_s / _GRID_S), np.floor(self.end_s / _GRID_S)) * _GRID_S
        self.grid = at_s, _twelve(np.stack([self.curves[name](at_s) for name in DESCRIBED]))
        self.told: dict[tuple[str, ...], _Told] = {}

    def add(self, eight: Samples, at_s: Samples, onset_s: float) -> None:
        here = slice(*np.searchsorted(at_s, [onset_s + self.begin_s, onset_s + self.end_s]))
        for row, name in enumerate(DESCRIBED):
            eight[row, here] += self.curves[name](at_s[here] - onset_s)

    def truth(self, leads: tuple[str, ...]) -> _Told:
        """Measured once for each set of leads."""
        if leads not in self.told:
            self.told[leads] = _Told(*self.marks(leads), *self.values(leads))
        return self.told[leads]

    def marks(self, leads: tuple[str, ...]) -> tuple[Samples, Samples]:
        """[9] overall over these leads and [lead, 9], s from the QRS onset; the overall QRS peak is the strongest point."""
        at_s, rows = self.grid
        by_lead = np.stack([self._lead_marks(at_s, rows[name]) for name in leads])
        overall = np.full(9, np.nan)
        for mark in Mark:
            column = by_lead[:, mark]
            column = column[np.isfinite(column)]
            if column.size:
                ends = {Mark.P_ON: np.min, Mark.QRS_ON: np.min, Mark.T_ON: np.min}
                ends |= {Mark.P_OFF: np.max, Mark.QRS_OFF: np.max, Mark.T_OFF: np.max}
                overall[mark] = ends.get(mark, np.median)(column)
        strength = np.linalg.norm(np.stack([rows[name] for name in leads]), axis=0)
        if np.isfinite(overall[Mark.QRS_ON]):
            inside = np.flatnonzero((at_s >= overall[Mark.QRS_ON]) & (at_s <= overall[Mark.QRS_OFF]))
            overall[Mark.QRS_PEAK] = at_s[inside[np.argmax(strength[inside])]]
        return overall, by_lead

    def spans_s(self) -> dict[str, tuple[float, float]]:
        """Where P, QRS and T may lie."""
        s = self.shape
        spans = {"qrs": (0.0, s.qrs_ms / 1000), "t": ((s.qrs_ms + s.st_ms) / 1000, s.qt_ms / 1000)}
        if s.pr_ms is not None:
            spans["p"] = (-s.pr_ms / 1000, (s.p_ms - s.pr_ms) / 1000)
        return spans

    def _lead_marks(self, at_s: Samples, row: Samples) -> Samples:
        out = np.full(9, np.nan)
        for wave, first in (("p", Mark.P_ON), ("qrs", Mark.QRS_ON), ("t", Mark.T_ON)):
            if wave not in self.spans_s():
                continue
            low, high = self.spans_s()[wave]
            inside = np.flatnonzero((at_s > low - _GRID_S / 2) & (at_s < high + _GRID_S / 2))
            moving = inside[np.abs(row[inside] - (row[inside[-1]] if wave == "qrs" else row[inside[0]])) > 1e-6]
            if moving.size and np.ptp(row[inside]) > 1e-6:
                changing = inside[:-1][np.abs(np.diff(row[inside])) > 1e-9]
                peak = inside[np.argmax(np.abs(row[inside]))]
                out[first : first + 3] = at_s[changing[0]], at_s[peak], at_s[changing[-1] + 1]
        return out

    def values(self, leads: tuple[str, ...]) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
        """Measurements of the shape, overall and by lead."""
        at_s, rows = self.grid
        overall, marks = self.marks(leads)
        on, off = overall[Mark.QRS_ON], overall[Mark.QRS_OFF]
        values = {
            "p_duration": (overall[Mark.P_OFF] - overall[Mark.P_ON]) * 1000,
            "pr_interval": (on - overall[Mark.P_ON]) * 1000,
            "qrs_duration": (off - on) * 1000,
            "qt_interval": (overall[Mark.T_OFF] - on) * 1000,
        }
        inside = (at_s >= on) & (at_s <= off)
        for key, span in (
            ("qrs_axis", inside),
            ("p_axis", at_s < overall[Mark.P_OFF]),
            ("t_axis", at_s > overall[Mark.T_ON]),
        ):
            net_i, net_f = rows["I"][span].sum(), rows["aVF"][span].sum()
            if abs(net_i) + abs(net_f) > 1e-9:
                values[key] = float(np.degrees(np.arctan2(net_f * 2 / np.sqrt(3), net_i)))
        by_lead = {name: _lead_values(at_s, rows[name], marks[n], on, off) for n, name in enumerate(leads)}
        return {key: float(v) for key, v in values.items() if np.isfinite(v)}, by_lead


def _curve(shape: Shape, of: Lead, begin_s: float, end_s: float) -> PchipInterpolator:
    knots: list[tuple[float, float]] = [(begin_s * 1000, 0.0)]
    if shape.pr_ms is not None:
        knots += _wave(-shape.pr_ms, shape.p_ms - shape.pr_ms, of.p)
    knots.append((min(-4.0, -0.1), 0.0))
    j = shape.qrs_ms
    first, last = of.starts_ms, j - of.ends_ms
    t_on = shape.qrs_ms + shape.st_ms
    before_t = of.st_j + of.st_slope * shape.st_ms / 1000
    if of.qrs:
        inner = [(first + share * (last - first), mv) for share, mv in of.qrs]
        knots += [(first, 0.0), _foot((first, 0.0), inner[0], _QRS_FOOT_MS)]
        knots += [*inner, _foot((last, of.st_j), inner[-1], _QRS_FOOT_MS), (last, of.st_j)]
    elif of.st_j:
        knots += [(0.5 * j, 0.0), (j, of.st_j)]
    if of.st_j or of.st_slope or of.t:
        knots += [(j + share * (t_on - j), of.st_j + share * (before_t - of.st_j)) for share in (0.05, 0.5, 0.95)]
        knots += _wave(t_on, shape.qt_ms, of.t, before_t)
    knots.append((end_s * 1000, 0.0))
    at, level = zip(*sorted(dict(knots).items()), strict=True)
    return PchipInterpolator(np.array(at) / 1000, np.array(level), extrapolate=False)


def _wave(on_ms: float, off_ms: float, peaks: tuple[float, ...], from_mv: float = 0.0) -> list[tuple[float, float]]:
    """Knots of a slow wave that comes from a level and goes to zero."""
    shares = {0: (), 1: (0.55,), 2: (0.28, 0.75)}[len(peaks)]
    inner = [(on_ms + share * (off_ms - on_ms), mv) for share, mv in zip(shares, peaks, strict=True)]
    if not inner:
        return [(on_ms, from_mv), (off_ms, 0.0)]
    first, last = (on_ms, from_mv), (off_ms, 0.0)
    return [first, _foot(first, inner[0], _SLOW_FOOT_MS), *inner, _foot(last, inner[-1], _SLOW_FOOT_MS), last]


def _foot(end: tuple[float, float], inner: tuple[float, float], width_ms: float) -> tuple[float, float]:
    """A knot that lets the curve leave its end within a few ms: half way up the chord at that time."""
    width = min(width_ms, abs(inner[0] - end[0]) / 3)
    share = 0.6 * width / abs(inner[0] - end[0])
    return end[0] + np.sign(inner[0] - end[0]) * width, end[1] + share * (inner[1] - end[1])


def _twelve(eight: Samples) -> dict[str, Samples]:
    rows = dict(zip(DESCRIBED, eight, strict=True))
    derived = {name: a * rows["I"] + b * rows["II"] for name, (a, b) in _DERIVED.items()}
    return {name: np.nan_to_num((rows | derived)[name]) for name in STANDARD_LEADS}


def _lead_values(at_s: Samples, row: Samples, marks: Samples, on_s: float, off_s: float) -> dict[str, float]:
    inside = (at_s >= on_s) & (at_s <= off_s + _GRID_S / 2)
    out: dict[str, float] = {}
    if inside.any():
        out |= _qrs_values(at_s[inside], row[inside])
        for key, after in (("st_j", 0.0), ("st_j40", 0.04), ("st_j60", 0.06), ("st_j80", 0.08)):
            out[key] = float(np.interp(off_s + after, at_s, row))
        out["qrs_peak_to_peak"] = float(np.ptp(row[inside]))
        out["qrs_area"] = float(row[inside].sum() * _GRID_S * 1000)
    for up, down, first in (("p_amplitude", "p_negative", Mark.P_ON), ("t_amplitude", "t_negative", Mark.T_ON)):
        if np.isfinite(marks[first]):
            wave = row[(at_s >= marks[first]) & (at_s <= marks[first + 2])]
            out[up], out[down] = _turning(wave), _turning(-wave)
    return out


def _turning(wave: Samples) -> float:
    """The highest turning point; 0 where the highest point is an end, or below the line."""
    top = int(wave.argmax())
    return max(0.0, float(wave[top])) if 0 < top < wave.size - 1 else 0.0


def _qrs_values(at_s: Samples, row: Samples) -> dict[str, float]:
    """q, r, s, r', s' as the runs of one sign inside the QRS; a run from the J level's side of less than 1 uV is none."""
    sign = np.where(np.abs(row) < 1e-6, 0, np.sign(row))
    edges = np.flatnonzero(np.diff(sign)) + 1
    runs = [(int(sign[a]), a, b) for a, b in zip([0, *edges], [*edges, sign.size], strict=True) if sign[a]]
    out: dict[str, float] = {}
    out |= dict.fromkeys(("q_amplitude", "r_amplitude", "s_amplitude", "r_prime", "s_prime"), 0.0)
    names = {1: ["r", "r_prime"], -1: ["s", "s_prime"]}
    seen_r = False
    for sign_of, a, b in runs:
        height = float(np.abs(row[a:b]).max())
        if b == sign.size and abs(row[-1]) > height - 1e-6:
            continue  # the way to a J point that is off the line, not a wave
        if sign_of < 0 and not seen_r:
            name = "q"
        else:
            seen_r = seen_r or sign_of > 0
            if not names[sign_of]:
                continue
            name = names[sign_of].pop(0)
        key = name if name.endswith("prime") else f"{name}_amplitude"
        out[key] = height
        if name in ("q", "r", "s"):
            out[f"{name}_duration"] = float((at_s[b - 1] - at_s[a] + _GRID_S) * 1000)
        if name in ("r", "r_prime") and height >= max(out["r_amplitude"], out["r_prime"]):
            out["vat"] = float((at_s[a + int(np.argmax(row[a:b]))] - at_s[0]) * 1000)
    return out


# ------------------------------------------------------------------------------------------------ in time


def _onsets_s(spec: Spec, seconds: float, delay_s: float) -> Samples:
    at, onsets, n = spec.first_qrs_s + delay_s, [], 0
    while True:
        shape = spec.others.get(n, spec.shape)
        if at + shape.qrs_ms / 1000 > seconds:
            return np.array(onsets)
        onsets.append(at)
        at += spec.rr_ms[n % len(spec.rr_ms)] / 1000
        n += 1


def _add_atria(eight: Samples, at_s: Samples, spec: Spec, delay_s: float) -> None:
    if spec.lone_p_s and spec.shape.pr_ms is not None:
        for row, name in enumerate(DESCRIBED):
            knots = [(-1.0, 0.0), *_wave(0.0, spec.shape.p_ms, spec.shape.leads.get(name, Lead()).p)]
            knots.append((spec.shape.p_ms + 1.0, 0.0))
            at, level = zip(*knots, strict=True)
            curve = PchipInterpolator(np.array(at) / 1000, np.array(level), extrapolate=False)
            for onset in spec.lone_p_s:
                eight[row] += np.nan_to_num(curve(at_s - onset - delay_s))
    weights = {"I": 0.2, "II": 0.7, "V1": 1.0, "V2": 0.6, "V3": 0.3}
    if spec.flicker_mv:
        wave = sum(np.sin(2 * np.pi * hz * at_s + k + 0.8 * np.sin(2 * np.pi * 0.31 * (k + 1) * at_s))
                   for k, hz in enumerate((5.3, 6.4, 7.1)))  # fmt: skip
        for row, name in enumerate(DESCRIBED):
            eight[row] += spec.flicker_mv / 4 * weights.get(name, 0.15) * wave
    if spec.flutter_mv:
        phase = (at_s * spec.flutter_rate / 60) % 1.0
        saw = np.where(phase < 0.7, 0.5 - phase / 0.7, -0.5 + (phase - 0.7) / 0.3)
        for row, name in enumerate(DESCRIBED):
            eight[row] += spec.flutter_mv * {"I": 0.1, "II": 1.0, "V1": -0.6}.get(name, 0.1) * saw


def _add_spike(rows: dict[str, Samples], at_s: float, fs_hz: float) -> None:
    """A pacing pulse of 2 mV (in II), as wide as one sample at least and 1 ms else."""
    first, width = round(at_s * fs_hz), max(1, round(fs_hz / 1000))
    heights = {"I": 1.0, "II": 2.0, "III": 1.0, "aVR": -1.5, "aVL": 0.0, "aVF": 1.5, "V1": -1.0}
    if 0 <= first < rows["I"].size:
        for name, row in rows.items():
            row[first : first + width] += heights.get(name, 1.2)


def _with_noise(mv: Samples, at_s: Samples, noise: Noise) -> Samples:
    out = mv + noise.offset_mv
    if noise.wander_mv:
        out = out + noise.wander_mv / 2 * np.sin(2 * np.pi * noise.wander_hz * at_s)
    if noise.mains_mv:
        out = out + noise.mains_mv / 2 * np.sin(2 * np.pi * noise.mains_hz * at_s + 0.4)
    if noise.hf_rms_mv:
        out = out + np.random.default_rng(noise.seed).normal(0.0, noise.hf_rms_mv, mv.shape)
    return np.round(out / noise.step_mv) * noise.step_mv if noise.step_mv else out


def _rates(spec: Spec, onsets: Samples) -> dict[str, float]:
    if onsets.size < 2:
        return {}
    rr = np.diff(onsets) * 1000
    out = {"rr_mean": float(rr.mean()), "rr_min": float(rr.min()), "rr_max": float(rr.max())}
    return out | {"heart_rate": 60000 / float(rr.mean())}


# ------------------------------------------------------------------------------------------------ sets


def normal_leads() -> dict[str, Lead]:
    """A quiet adult's eight leads."""
    return {
        "I": lead(0.06, 0.7, 0.1, p=0.08, t=0.22),
        "II": lead(0.08, 1.1, 0.15, p=0.14, t=0.3),
        "V1": lead(0.0, 0.25, 0.8, p=(0.06, -0.04), t=0.08),
        "V2": lead(0.0, 0.5, 1.2, p=0.08, t=0.45, st=0.05),
        "V3": lead(0.0, 0.8, 0.8, p=0.08, t=0.45, st=0.04),
        "V4": lead(0.06, 1.4, 0.4, p=0.08, t=0.4),
        "V5": lead(0.08, 1.3, 0.2, p=0.08, t=0.32),
        "V6": lead(0.08, 1.0, 0.1, p=0.07, t=0.25),
    }


def _changed(**changes: dict[str, object]) -> dict[str, Lead]:
    """The quiet adult with fields of some leads replaced."""
    leads = normal_leads()
    return {name: replace(of, **changes.get(name, {})) for name, of in leads.items()}  # type: ignore[arg-type]


def _only_qrs(*waves: tuple[float, float]) -> dict[str, Lead]:
    """Calibration: the same beat in all leads but with gains that keep II = I + III away from zero."""
    gains = {"I": 0.6, "II": 1.0}
    return {
        name: Lead(p=(0.15 * g,), qrs=tuple((s, mv * g) for s, mv in waves), t=(0.3 * g,))
        for name in DESCRIBED
        for g in (gains.get(name, 1.0),)
    }


NORMAL: Final = Spec("normal", Shape(normal_leads()), expects=frozenset({"sinus_rhythm", "normal"}))


def _cal() -> dict[str, Spec]:
    out: dict[str, Spec] = {}
    for gain in (0.5, 1.0, 2.0, 4.0):
        waves = ((0.15, -0.2 * gain), (0.45, gain), (0.8, -0.3 * gain))
        name = f"cal_{int(gain * 1000):05d}_uv"
        out[name] = Spec(name, Shape(_only_qrs(*waves), qrs_ms=100.0, qt_ms=400.0), rr_ms=(1000.0,))
    out["cal_r_only"] = Spec("cal_r_only", Shape(_only_qrs((0.5, 1.5)), qrs_ms=56.0, qt_ms=360.0), rr_ms=(1000.0,))
    out["cal_rs"] = Spec("cal_rs", Shape(_only_qrs((0.3, 1.2), (0.7, -1.0)), qrs_ms=100.0), rr_ms=(1000.0,))
    out["cal_qr"] = Spec("cal_qr", Shape(_only_qrs((0.25, -0.8), (0.65, 1.2)), qrs_ms=100.0), rr_ms=(1000.0,))
    out["cal_st_up"] = Spec(
        "cal_st_up",
        Shape({n: replace(of, st_j=0.2, t=(0.5,)) for n, of in _only_qrs((0.2, -0.1), (0.5, 1.2)).items()}),
        rr_ms=(1000.0,),
    )
    out["cal_st_down"] = Spec(
        "cal_st_down",
        Shape({n: replace(of, st_j=-0.2, t=(0.3,)) for n, of in _only_qrs((0.2, -0.1), (0.5, 1.2)).items()}),
        rr_ms=(1000.0,),
    )
    for rate in (40, 60, 80, 100, 120, 150):
        name = f"cal_rate_{rate:03d}"
        shape = Shape(_only_qrs((0.2, -0.2), (0.5, 1.2), (0.8, -0.3)), pr_ms=140.0, p_ms=90.0, qt_ms=round(390 * (60 / rate) ** 0.5) if rate > 60 else 390, st_ms=60.0)  # fmt: skip
        out[name] = Spec(name, shape, rr_ms=(60000 / rate,))
    return out


def _lbbb_leads() -> dict[str, Lead]:
    def wide(notch: float, top: float, p: float = 0.1) -> Lead:
        return Lead(p=(p,), qrs=((0.35, top), (0.5, notch), (0.68, top * 1.03)), st_j=-0.1, t=(-0.25 * top / 0.9,))

    def deep(r: float, s: float) -> Lead:
        return Lead(p=(0.06, -0.05), qrs=((0.12, r), (0.5, -s)), st_j=0.15, st_slope=0.5, t=(0.55,))

    return {
        "I": wide(0.75, 0.9, 0.08),
        "II": Lead(p=(0.13,), qrs=((0.4, 0.7), (0.75, -0.15)), st_j=-0.04, t=(-0.1,)),
        "V1": deep(0.12, 1.6),
        "V2": deep(0.2, 2.2),
        "V3": deep(0.25, 1.9),
        "V4": Lead(p=(0.08,), qrs=((0.25, 0.7), (0.6, -0.9)), st_j=0.06, t=(0.3,)),
        "V5": wide(0.9, 1.1),
        "V6": wide(0.8, 1.0),
    }


def _rbbb_leads() -> dict[str, Lead]:
    leads = _changed(
        I={"qrs": ((0.12, -0.05), (0.32, 0.7), (0.72, -0.35))},
        II={"qrs": ((0.12, -0.07), (0.32, 1.0), (0.72, -0.3))},
        V1={"qrs": ((0.14, 0.25), (0.36, -0.4), (0.7, 1.0)), "st_j": -0.05, "t": (-0.25,)},
        V2={"qrs": ((0.14, 0.4), (0.38, -0.6), (0.7, 0.7)), "st_j": -0.05, "t": (-0.15,)},
        V3={"qrs": ((0.18, 0.6), (0.45, -0.8), (0.75, 0.2))},
    )
    late = {"V4": 1.3, "V5": 1.2, "V6": 0.9}
    return leads | {
        name: replace(leads[name], qrs=((0.12, -0.06), (0.34, r), (0.74, -0.4))) for name, r in late.items()
    }


def _ane() -> dict[str, Spec]:
    quiet = Shape(normal_leads())

    def spec(name: str, shape: Shape, *expects: str, rr: float = 800.0, **more: object) -> Spec:
        return Spec(name, shape, rr_ms=(rr,), expects=frozenset(expects), **more)  # type: ignore[arg-type]

    def st(name: str, levels: dict[str, float], *expects: str) -> Spec:
        leads = normal_leads()
        for of, level in levels.items():
            leads[of] = replace(leads[of], st_j=level, t=(max(0.3, level * 1.6),) if level > 0 else leads[of].t)
        return spec(name, Shape(leads), *expects)

    high = {"V1": (0.1, 2.2), "V2": (0.2, 2.6), "V3": (0.5, 1.8)}
    lvh = normal_leads() | {
        n: lead(0.0, r, s, p=(0.07, -0.13) if n == "V1" else 0.08, t=0.35) for n, (r, s) in high.items()
    }
    lvh |= {n: lead(0.1, r, 0.1, p=0.08, t=-0.25, st=-0.1) for n, r in (("V5", 2.9), ("V6", 2.4))}
    lvh |= {"I": lead(0.05, 1.6, 0.05, p=0.09, t=-0.15, st=-0.05), "II": lead(0.05, 0.9, 0.1, p=0.12, t=0.1)}
    low = {n: replace(of, qrs=tuple((s, mv * (0.3 if n in ("I", "II") else 0.45)) for s, mv in of.qrs)) for n, of in normal_leads().items()}  # fmt: skip
    small = {
        n: Lead(p=of.p, qrs=tuple((s, mv * 0.12) for s, mv in of.qrs), t=(0.06,)) for n, of in normal_leads().items()
    }
    delta = {
        n: replace(of, qrs=((0.22, 0.16 * r), *((0.35 + 0.65 * s, mv) for s, mv in of.qrs if s > 0.3)))
        for n, of in normal_leads().items()
        for r in (max(mv for _, mv in of.qrs),)
    }
    inferior_q = normal_leads() | {"I": lead(0.05, 0.8, 0.0, p=0.08, t=0.25), "II": Lead(p=(0.13,), qrs=((0.25, -0.35), (0.6, 0.6)), t=(-0.15,))}  # fmt: skip
    anterior_q = normal_leads() | {n: Lead(p=(0.08,), qrs=((0.5, -s),), st_j=0.05, t=(-0.3,)) for n, s in (("V1", 0.9), ("V2", 1.4), ("V3", 1.2))}  # fmt: skip
    rvh = normal_leads() | {"I": lead(0.0, 0.2, 0.8, p=0.05, t=0.15), "II": lead(0.1, 1.0, 0.3, p=0.28, t=0.2), "V1": lead(0.05, 1.1, 0.2, p=0.15, t=-0.25, st=-0.08), "V2": lead(0.0, 0.9, 0.6, p=0.15, t=-0.1), "V5": lead(0.0, 0.6, 0.8), "V6": lead(0.0, 0.4, 0.8)}  # fmt: skip
    left = normal_leads() | {"I": lead(0.1, 1.0, 0.0, p=0.08, t=0.2), "II": lead(0.0, 0.35, 0.75, p=0.13, t=0.2)}
    right = normal_leads() | {"I": lead(0.0, 0.2, 0.7, p=0.06, t=0.1), "II": lead(0.1, 0.8, 0.2, p=0.13, t=0.25)}
    extreme = normal_leads() | {"I": lead(0.1, 0.1, 0.9, p=0.06, t=0.1), "II": lead(0.2, 0.1, 0.8, p=0.1, t=0.15)}
    brugada = _changed(V1={"qrs": ((0.3, 0.2), (0.55, -0.5)), "st_j": 0.3, "st_slope": -2.0, "t": (-0.2,)}, V2={"qrs": ((0.3, 0.3), (0.55, -0.6)), "st_j": 0.35, "st_slope": -2.0, "t": (-0.25,)})  # fmt: skip
    bi = {
        n: replace(of, t=(0.25 * g, -0.2 * g)) for n, of in normal_leads().items() for g in (0.7 if n == "I" else 1.0,)
    }
    rows = (
        spec("normal", quiet, "normal", "sinus_rhythm"),
        spec("tachycardia", replace(quiet, qt_ms=310.0, st_ms=60.0, pr_ms=130.0, p_ms=85.0), "sinus_tachy", rr=500.0),
        spec("bradycardia", replace(quiet, qt_ms=440.0), "sinus_brady", rr=1400.0),
        spec("first_degree_block", replace(quiet, pr_ms=260.0, p_ms=110.0), "avb1", rr=900.0),
        spec("lbbb", Shape(_lbbb_leads(), qrs_ms=156.0, qt_ms=450.0, st_ms=60.0, pr_ms=180.0), "lbbb"),
        spec("rbbb", Shape(_rbbb_leads(), qrs_ms=144.0, qt_ms=430.0, st_ms=80.0), "rbbb"),
        spec("incomplete_rbbb", Shape(_rbbb_leads(), qrs_ms=112.0, qt_ms=400.0), "irbbb"),
        spec("lvh_strain", Shape(lvh, qrs_ms=104.0), "lvh"),
        spec("rvh", Shape(rvh), "rvh"),
        spec("inferior_q", Shape(inferior_q), "mi_inferior"),
        spec("anterior_q", Shape(anterior_q), "mi_anterior"),
        st("stemi_anterior", {"V1": 0.2, "V2": 0.4, "V3": 0.45, "V4": 0.3}, "mi_acute"),
        st("stemi_inferior", {"II": 0.3, "I": -0.15}, "mi_acute"),
        st("stemi_lateral", {"I": 0.2, "V5": 0.2, "V6": 0.2}, "mi_acute"),
        st("st_depression", {"V3": -0.15, "V4": -0.2, "V5": -0.2, "V6": -0.12, "II": -0.1}, "st_depression"),
        spec("wpw", Shape(delta, qrs_ms=130.0, pr_ms=100.0, p_ms=90.0, qt_ms=410.0), "preexcitation"),
        spec("long_qt", replace(quiet, qt_ms=520.0, st_ms=160.0), "long_qt", rr=900.0),
        spec("short_qt", replace(quiet, qt_ms=290.0, st_ms=30.0), "short_qt", rr=900.0),
        spec("low_voltage", Shape(low), "low_voltage"),
        spec("tiny", Shape(small)),
        spec("left_axis", Shape(left), "lad"),
        spec("right_axis", Shape(right), "rad"),
        spec("extreme_axis", Shape(extreme), "axis_superior"),
        spec("brugada", Shape(brugada, qrs_ms=100.0), "s_brugada"),
        spec("biphasic_t", Shape(bi)),
        spec("flat_t", Shape({n: replace(of, t=(0.06,)) for n, of in normal_leads().items()})),
        spec("fibrillation", replace(quiet, pr_ms=None), "afib", flicker_mv=0.1),
        spec(
            "right_paced",
            Shape(
                _lbbb_leads(), qrs_ms=160.0, qt_ms=460.0, st_ms=60.0, pr_ms=None, spikes_ms=(8.0,), kind=BeatClass.PACED
            ),
            "paced_v",
        ),
    )
    named = {row.name: row for row in rows}
    named["fibrillation"] = replace(
        named["fibrillation"], rr_ms=(620.0, 910.0, 540.0, 760.0, 1050.0, 680.0, 590.0, 830.0)
    )
    return named


CAL: Final = _cal()
"""Calibration: the same shape in every lead, amplitude and rate by name."""
ANE: Final = _ane()
"""Artificial ECGs of many conditions, by name."""


def premature_ventricular() -> Shape:
    """A wide beat with no P wave, to go into ``Spec.others``."""
    leads = {
        name: Lead(qrs=((0.45, 1.4 * g), (0.8, -0.3 * g)), t=(-0.45 * g,))
        for name, g in zip(DESCRIBED, (0.8, -0.9, -1.0, -1.2, -0.8, 0.4, 0.9, 1.0), strict=True)
    }
    return Shape(leads, pr_ms=None, qrs_ms=150.0, qt_ms=420.0, st_ms=40.0, kind=BeatClass.VENTRICULAR)


def with_premature(spec: Spec, at: tuple[int, ...], *, coupling_ms: float = 480.0, beats: int = 40) -> Spec:
    """The recording with ventricular premature beats at these beat numbers, each with a compensatory pause."""
    usual = spec.rr_ms[0]
    rr = [usual] * beats
    for n in at:
        rr[n - 1], rr[n] = coupling_ms, 2 * usual - coupling_ms
    pvc = premature_ventricular()
    return replace(spec, rr_ms=tuple(rr), others={**spec.others, **dict.fromkeys(at, pvc)})
