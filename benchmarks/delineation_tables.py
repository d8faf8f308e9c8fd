"""Makes ``ecg/delineation/regressions.npz``: the coefficients of the delineation's and the atria's regressions.

    python benchmarks/delineation_tables.py OUT.npz [--without FOLD] [--data FOLDER]

Boundaries and tracks: LUDB's 140 records (hand-set marks), each seen whole, as five single leads, as two small sets of
leads, and once more as a noisy 100 Hz recording.  Presence of P, and the atria's state: also PTB-XL folds 7 and 8 by
their statements (AFIB, AFLT).  ``--without K`` leaves out the LUDB records whose place modulo 10 is K.  One hidden
layer each, AdamW, Huber loss; about two minutes on a quiet core.  QTDB and PTB-XL folds 9 and 10 are never seen.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from scipy.signal import resample_poly

from center.reads import SignalInput
from ecg import beats as classes
from ecg import qrs
from ecg.atrial import atrial_features
from ecg.marks import BeatClass, Beats, Mark
from ecg.signal import STANDARD_LEADS, derived_limb_leads
from ecg.strip import Samples, Strip, strip_of
from ecg.waves import P_LOOKS, T_LOOKS, Looks, delineate
from ecg.waves_nets import Floats, Index, Net, Scene, qrs_features, track_features, wave_features
from ecg.waves_steps import (
    Place,
    consensus,
    first_look,
    p_places,
    presence_features,
    rounded,
    scene_of,
    second_features,
    since_qrs,
    t_places,
    tracks,
    upright,
)
from ecg.waves_tables import Tables, packed
from ecg.waves_views import views_of
from tests.ecgx import Record, packs
from tests.outside import ROOT

Marks = dict[tuple[str, str], npt.NDArray[np.float64]]
"""(lead, wave) -> [wave, 3]: onset, peak, offset, strip samples, NaN where not marked."""
NOT_SINUS = {"PACE", "3AVB", "2AVB", "SVTAC", "PSVT", "AFLT", "AFIB", "SVARR", "TRIGU", "BIGU"}
UNSTEADY = {"SARRH", "PAC", "PVC", "SVARR", "BIGU", "TRIGU", "PACE", "STACH", "SVTAC", "PSVT"}
NOISE_MV = 0.010
FIRST_SHAKE_MS, SECOND_SHAKE_MS, CENTRE_SHAKE_MS = 6.0, 3.0, 8.0
"""Looks are trained from places shaken by this much, so that they come home from a poor first place (ours)."""


@dataclass(slots=True)
class Case:
    """A strip seen in one way.  truth: [lead, beat, 9] grid samples, NaN where not marked; span: what the experts marked."""

    strip: Strip
    beats: Beats
    scene: Scene
    truth: Samples
    span: tuple[float, float]
    fibrillates: bool | None = None
    p: Place | None = None
    t: Place | None = None

    @property
    def family(self) -> Index:
        return self.beats.family

    def place(self, track: Net) -> None:
        p_track, t_track, step = tracks(self.scene, track)
        self.t = t_places(self.scene, t_track, step, self.family)
        self.p = p_places(self.scene, p_track, step, self.family, self.t)


# ------------------------------------------------------------------------------------------------ recordings
def twelve(record: Record) -> Samples:
    rows = dict(zip(record.leads, record.mv, strict=True))
    rows |= derived_limb_leads(rows["I"], rows["II"])
    return np.stack([rows[name] for name in STANDARD_LEADS])


def ludb(folder: Path) -> list[tuple[str, Samples, Marks]]:
    """Every LUDB record: id, 12 leads at 500 Hz, the experts' marks."""
    table: Any = pd.read_parquet(folder / "ludb_waves.parquet")
    names = {name.upper(): name for name in STANDARD_LEADS}
    held: dict[str, Marks] = {}
    for (record, lead, wave), rows in table.groupby(["id", "lead", "wave"]):
        values = rows[["on", "peak", "off"]].to_numpy(dtype=np.float64)
        held.setdefault(str(record), {})[names[str(lead).upper()], str(wave)] = np.where(values < 0, np.nan, values)
    return [(record.id, twelve(record), held[record.id]) for record in packs(folder, "ludb")]


def a_strip(mv: Samples, leads: Sequence[int], source_hz: float = 500.0) -> Strip:
    some = mv[list(leads)]
    samples = round(mv.shape[1] * source_hz / 500.0)
    return Strip(
        tuple(STANDARD_LEADS[k] for k in leads), some, 500.0, source_hz, samples, np.ones(some.shape, dtype=bool)
    )


def a_case(strip: Strip, marks: Marks | None) -> Case | None:
    beats = classes.classify(strip, qrs.detect(strip.mv, strip.fs_hz))
    if len(beats) < 2:
        return None
    views = views_of(strip, beats.spikes)
    live = np.flatnonzero(views.live)
    if not live.size:
        return None
    scene = scene_of(views.of(live), beats.at / views.step)
    if marks is None:
        return Case(strip, beats, scene, np.full((live.size, len(beats), len(Mark)), np.nan), (0.0, 0.0))
    leads = [strip.leads[k] for k in live]
    peaks = np.concatenate([marks[key][:, 1] for key in marks if key[0] in leads]) / views.step
    return Case(strip, beats, scene, truth_of(beats, marks, leads, views.step), (peaks.min() - 10, peaks.max() + 10))


def truth_of(beats: Beats, marks: Marks, leads: Sequence[str], step: int) -> Samples:
    """[lead, beat, 9], grid samples: the QRS within 160 ms, the next T before the next beat, the last P within 500 ms."""
    out = np.full((len(leads), len(beats), len(Mark)), np.nan)
    at = np.asarray(beats.at, dtype=np.float64)
    before, after = np.append(-np.inf, at[:-1]), np.append(at[1:], np.inf)
    windows = (
        ("P", Mark.P_ON, np.maximum(before, at - 250), at, -1),
        ("QRS", Mark.QRS_ON, at - 80, at + 80, 0),
        ("T", Mark.T_ON, at, after, 0),
    )
    for row, lead in enumerate(leads):
        for wave, first, start, stop, which in windows:
            rows = marks.get((lead, wave), np.zeros((0, 3)))
            for beat in range(at.size):
                inside = np.flatnonzero((rows[:, 1] > start[beat]) & (rows[:, 1] < stop[beat]))
                if inside.size:
                    out[row, beat, first : first + 3] = rows[inside[which]] / step
    return out


def slowed(mv: Samples, rng: np.random.Generator) -> Samples:
    """The recording as a noisy 100 Hz recorder would have stored it, back at 500 Hz."""
    low = resample_poly(mv, 1, 5, axis=1, padtype="line")
    low = low + rng.normal(0.0, NOISE_MV, low.shape)
    return strip_of(SignalInput(low.astype(np.float32), STANDARD_LEADS, 100.0)).mv[:, : mv.shape[1]]


def ludb_cases(folder: Path, without: int | None, rng: np.random.Generator) -> Iterator[Case]:
    for number, (_, mv, marks) in enumerate(ludb(folder)):
        slow = slowed(mv, rng)
        everything = list(range(12))
        ways = [(mv, everything, 500.0), (slow, everything, 100.0)]
        ways += [(mv, [int(k)], 500.0) for k in rng.choice(12, 5, replace=False)]
        ways += [(slow, [int(k)], 100.0) for k in rng.choice(12, 2, replace=False)]
        ways += [(mv, [int(k) for k in rng.choice(12, n, replace=False)], 500.0) for n in (2, 3)]
        if without is not None and number % 10 == without:
            continue
        for signal, leads, source_hz in ways:
            case = a_case(a_strip(signal, leads, source_hz), marks)
            if case is not None:
                yield case


def ptbxl(folder: Path, folds: Sequence[int]) -> Iterator[tuple[set[str], Samples]]:
    """Statements and 12 leads (brought to 500 Hz) of every record of these folds."""
    meta = pd.read_parquet(folder / "ptbxl_meta.parquet")
    meta = meta[meta.strat_fold.isin(folds)]
    codes = {str(k): set(json.loads(v)) for k, v in zip(meta.ecg_id, meta.scp_codes, strict=True)}
    for record in packs(folder, "ptbxl"):
        if record.id in codes:
            mv = strip_of(SignalInput(twelve(record).astype(np.float32), STANDARD_LEADS, record.fs_hz)).mv
            yield codes[record.id], mv


# ------------------------------------------------------------------------------------------------ fitting
def fitted(
    features: Floats, target: npt.NDArray[np.generic], kind: str, *, hidden: int, epochs: int, batch: int = 512,
    rate: float = 5e-3, decay: float = 1e-2, huber_ms: float = 15.0, weight: Samples | None = None,
) -> Net:  # fmt: skip
    """The regression.  kind: ``place`` (ms, Huber), ``class`` (of three), ``odds`` (of one, weighted)."""
    torch.manual_seed(0)
    mean, sd = features.mean(axis=0), features.std(axis=0) + 1e-3
    x = torch.from_numpy(((features - mean) / sd).astype(np.float32))
    y = torch.from_numpy(np.asarray(target, dtype=np.int64 if kind == "class" else np.float32))
    w = torch.ones(len(y)) if weight is None else torch.from_numpy(weight.astype(np.float32))
    outputs = 3 if kind == "class" else 1 if target.ndim == 1 else target.shape[1]
    net = torch.nn.Sequential(
        torch.nn.Linear(x.shape[1], hidden), torch.nn.Tanh(), torch.nn.Linear(hidden, outputs)
    )  # fmt: skip
    scale = 25.0 if kind == "place" else 1.0
    optimizer = torch.optim.AdamW(net.parameters(), lr=rate, weight_decay=decay)
    steps = epochs * -(-len(y) // batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps)
    for _ in range(epochs):
        order = torch.randperm(len(y))
        for chosen in order.split(batch):
            out = net(x[chosen]) * scale
            if kind == "class":
                loss = (torch.nn.functional.cross_entropy(out, y[chosen], reduction="none") * w[chosen]).mean()
            elif kind == "odds":
                plain = torch.nn.functional.binary_cross_entropy_with_logits(out[:, 0], y[chosen], reduction="none")
                loss = (plain * w[chosen]).mean()
            else:
                marked = torch.isfinite(y[chosen])
                plain = torch.nn.functional.huber_loss(
                    out.reshape(y[chosen].shape), torch.nan_to_num(y[chosen]), delta=huber_ms, reduction="none"
                )
                loss = (plain * marked).sum() / marked.sum().clamp(min=1)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    a, b, c, d = (p.detach().numpy().astype(np.float64) for p in net.parameters())
    parts = ((a / sd).T, b - (a / sd) @ mean, c.T * scale, d * scale)
    return Net(*(np.ascontiguousarray(part, dtype=np.float32) for part in parts))


def track_rows(case: Case, share: float, rng: np.random.Generator) -> tuple[Floats, Index]:
    """Features and class (0 neither, 1 P, 2 T) of the track's positions within the experts' span."""
    at = np.arange(0, case.scene.views.length, 2)
    at = at[(at >= case.span[0]) & (at <= case.span[1])]
    kind, doubtful = np.zeros(at.size, np.int64), np.zeros(at.size, dtype=bool)
    for which, mark, edge_ms in ((1, Mark.P_PEAK, 36.0), (2, Mark.T_PEAK, 60.0)):
        for peak in np.nanmedian(case.truth[:, :, mark], axis=0):
            apart_ms = np.abs(at - peak) * 4.0
            kind[apart_ms <= 20.0] = which
            doubtful |= (apart_ms > 20.0) & (apart_ms < edge_ms)
    kept = ~doubtful & ((kind > 0) | (rng.random(at.size) < share))
    return track_features(case.scene, at[kept], since_qrs(case.scene, at[kept])), kind[kept]


def quiet_rows(case: Case, rng: np.random.Generator) -> tuple[Floats, Index]:
    """Positions between T and QRS in fibrillation: none of them is a P wave."""
    assert case.t is not None
    at = np.arange(0, case.scene.views.length, 2)
    inside = np.zeros(at.size, dtype=bool)
    for start, stop in zip(case.t.at + 40, np.append(case.scene.on[1:], 0.0) - 3, strict=True):
        inside |= (at >= start) & (at <= stop)
    at = at[inside & (rng.random(at.size) < 0.2)]
    return track_features(case.scene, at, since_qrs(case.scene, at)), np.zeros(at.size, np.int64)


def fit_track(
    cases: Sequence[Case], more: Sequence[tuple[Floats, Index]], epochs: int, rng: np.random.Generator
) -> Net:
    rows = [track_rows(case, 0.4 if len(case.strip.leads) == 12 else 0.12, rng) for case in cases]
    features, kind = (np.concatenate(part) for part in zip(*rows, *more, strict=True))
    return fitted(features, kind, "class", hidden=24, epochs=epochs, batch=1024, decay=1e-3)


def fit_presence(cases: Sequence[Case], others: Sequence[Case]) -> Net:
    features, there, weight = [], [], []
    for case in (*cases, *others):
        assert case.p is not None and case.t is not None
        use = case.p.is_there & ~case.beats.where(BeatClass.VENTRICULAR)
        if case.fibrillates is None:
            place = case.beats.at / case.scene.views.step
            use &= (place > case.span[0] + 40) & (place < case.span[1])
            use &= np.isfinite(case.truth[:, :, Mark.QRS_PEAK]).any(axis=0)
            truth, heavy = np.asarray(np.isfinite(case.truth[:, :, Mark.P_PEAK]).any(axis=0)), (0.7, 3.0)
        else:
            truth, heavy = np.full(use.size, not case.fibrillates), (0.35, 0.7)
        features.append(presence_features(case.scene, case.family, case.p, case.t)[use])
        there.append(truth[use])
        weight.append(np.full(int(use.sum()), heavy[len(case.strip.leads) == 12]))
    return fitted(
        np.concatenate(features), np.concatenate(there), "odds",
        hidden=8, epochs=20, rate=1e-2, decay=3e-2, weight=np.concatenate(weight),
    )  # fmt: skip


def fit_qrs(cases: Sequence[Case], start: str, mark: Mark, rng: np.random.Generator) -> tuple[Net, Net]:
    first, second = _Rows(90.0), _Rows(90.0)
    for case in cases:
        place = getattr(case.scene, start) + rng.normal(0.0, FIRST_SHAKE_MS / 4, len(case.beats))
        anchor = rounded(np.broadcast_to(place, case.truth.shape[:2]))
        first.add(qrs_features(case.scene, anchor), anchor, case.truth[..., mark])
    one = fitted(*first.all(), "place", hidden=24, epochs=12)
    for case in cases:
        anchor = rounded(np.broadcast_to(getattr(case.scene, start), case.truth.shape[:2]))
        found = anchor + one(qrs_features(case.scene, anchor))[..., 0] / 4.0
        anchor = rounded(found + rng.normal(0.0, SECOND_SHAKE_MS / 4, found.shape))
        others = consensus(found, case.scene.fiducial, case.family, case.scene.views.hz)
        seen = np.concatenate((qrs_features(case.scene, anchor), others), axis=2)
        second.add(seen, anchor, case.truth[..., mark])
    return one, fitted(*second.all(), "place", hidden=24, epochs=12)


def fit_wave(cases: Sequence[Case], looks: Looks, begin: Mark, rng: np.random.Generator) -> tuple[Net, Net, Net, Net]:
    far_ms, reach_ms = (140.0, 100.0) if begin == Mark.T_ON else (70.0, 60.0)
    first, second = _Rows(far_ms), [_Rows(reach_ms) for _ in range(3)]

    def looked(case: Case, shake_ms: float) -> tuple[Samples, Floats, Floats]:
        place = case.t if begin == Mark.T_ON else case.p
        assert place is not None
        centre = place.at + rng.normal(0.0, shake_ms / 4, len(case.beats))
        return centre, *upright(case.scene, centre, looks.half_s)

    for case in cases:
        centre, sign, height = looked(case, CENTRE_SHAKE_MS)
        anchor = np.broadcast_to(rounded(centre), sign.shape)
        first.add(
            wave_features(case.scene, anchor, looks.wide, sign, height), anchor, case.truth[..., begin : begin + 3]
        )  # fmt: skip
    one = fitted(*first.all(), "place", hidden=32, epochs=12, huber_ms=20.0)
    for case in cases:
        centre, sign, height = looked(case, CENTRE_SHAKE_MS / 2)
        found = first_look(case.scene, one, centre, looks.wide, sign, height)
        anchor, seen = second_features(case.scene, found, case.family, looks.near, sign, height)
        for which in range(3):
            second[which].add(seen[which], anchor[which], case.truth[..., begin + which])
    nets = [fitted(*rows.all(), "place", hidden=24, epochs=12, huber_ms=20.0) for rows in second]
    return one, nets[0], nets[1], nets[2]


class _Rows:
    """Features and how far, ms, the experts' place lies from the anchor, where that is near enough to be the same wave."""

    def __init__(self, farthest_ms: float) -> None:
        self.farthest_ms = farthest_ms
        self.features: list[Floats] = []
        self.apart_ms: list[Samples] = []

    def add(self, features: Floats, anchor: Index, truth: Samples) -> None:
        apart_ms = (truth - (anchor if truth.ndim == anchor.ndim else anchor[..., None])) * 4.0
        middle = apart_ms if apart_ms.ndim == anchor.ndim else apart_ms[..., 1]
        use = np.abs(middle) < self.farthest_ms
        self.features.append(features[use])
        self.apart_ms.append(apart_ms[use])

    def all(self) -> tuple[Floats, Samples]:
        return np.concatenate(self.features), np.concatenate(self.apart_ms)


# ------------------------------------------------------------------------------------------------ everything
def ptbxl_cases(folder: Path, rng: np.random.Generator, most: int = 300) -> list[Case]:
    """Up to ``most`` strips in fibrillation and as many in sinus rhythm, whole and as single leads."""
    out: list[Case] = []
    counts = {True: 0, False: 0}
    for codes, mv in ptbxl(folder, (7, 8)):
        fibrillates = "AFIB" in codes
        if not fibrillates and ("SR" not in codes or codes & NOT_SINUS or rng.random() < 0.8):
            continue
        if counts[fibrillates] >= most:
            continue
        counts[fibrillates] += 1
        for leads in (list(range(12)), [1], [int(rng.choice([0, 6, 7, 10, 11]))]):
            case = a_case(a_strip(mv, leads, 100.0), None)
            if case is not None and len(case.beats) >= 4:
                case.fibrillates = fibrillates
                out.append(case)
    return out


def fit_boundaries(cases: Sequence[Case], others: Sequence[Case], rng: np.random.Generator) -> Tables:
    """All tables but ``atria``, whose place holds zeros."""
    track = fit_track(cases, (), 2, rng)
    for case in others:
        case.place(track)
    track = fit_track(cases, [quiet_rows(case, rng) for case in others if case.fibrillates], 5, rng)
    for case in (*cases, *others):
        case.place(track)
    on, off = fit_qrs(cases, "on", Mark.QRS_ON, rng), fit_qrs(cases, "off", Mark.QRS_OFF, rng)
    p, t = fit_wave(cases, P_LOOKS, Mark.P_ON, rng), fit_wave(cases, T_LOOKS, Mark.T_ON, rng)
    return Tables(track, fit_presence(cases, others), _unset(), *on, *off, *p, *t)


def _unset() -> Net:
    zeros = (np.zeros(shape, np.float32) for shape in ((16, 6), (6,), (6, 3), (3,)))
    return Net(*zeros)


def atria_rows(
    folder: Path, folds: Sequence[int], made: Tables, rng: np.random.Generator
) -> tuple[Floats, Index, Samples, Index]:
    """Features, state (0 neither, 1 fibrillation, 2 flutter), weight and number of leads of strips of these folds.

    All strips in fibrillation or flutter; half of the other unsteady ones; an eighth of the rest: weighted accordingly.
    """
    features, state, weight, count = [], [], [], []
    for codes, mv in ptbxl(folder, folds):
        kind = 1 if "AFIB" in codes else 2 if "AFLT" in codes else 0
        share = 1.0 if kind else 0.5 if codes & UNSTEADY else 0.125
        if rng.random() >= share:
            continue
        for leads in (list(range(12)), [int(rng.integers(2))]):
            strip = a_strip(mv, leads, 100.0)
            beats = classes.classify(strip, qrs.detect(strip.mv, strip.fs_hz))
            seen = atrial_features(strip, beats, delineate(strip, beats, made), made) if len(beats) >= 4 else None
            if seen is not None:
                features.append(seen)
                state.append(kind)
                weight.append(1.0 / share)
                count.append(len(leads))
    return np.stack(features), np.array(state), np.array(weight), np.array(count)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--without", type=int, help="leave out this fold of LUDB (0..9)")
    parser.add_argument("--data", type=Path, default=ROOT / "ecg")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    cases = list(ludb_cases(chosen.data, chosen.without, rng))
    made = fit_boundaries(cases, ptbxl_cases(chosen.data, rng), rng)
    chosen.out.write_bytes(packed(with_atria(made, atria_rows(chosen.data, (7, 8), made, rng))))


def with_atria(made: Tables, rows: tuple[Floats, Index, Samples, Index]) -> Tables:
    from dataclasses import replace

    features, state, weight, _ = rows
    heavy = weight / weight.mean()
    return replace(
        made, atria=fitted(features, state, "class", hidden=6, epochs=40, batch=128, decay=5e-2, weight=heavy)
    )  # fmt: skip


if __name__ == "__main__":
    main()
