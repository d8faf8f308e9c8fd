"""The weights in ecg/qrs_weights.py and ecg/beat_weights.py, fitted again: logistic regressions on what may be tuned on.

    python -m benchmarks.qrs_fit [--data FOLDER]

QRS: MIT-BIH's DS1 (lead 0, as it is and with noise added), every second record of LUDB (twelve leads together and each
by itself, inside the marked span) and made rhythms with what goes wrong in life.  Classes: DS1, lead 0.  Prints the two
files' tuples; nothing is written.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from benchmarks import ec57
from benchmarks.qrs import DS1, references
from ecg import beats, qrs
from ecg.signal import derived_limb_leads
from ecg.strip import Strip
from tests.ecgx import packs, records
from tests.makers.beats_ecg import made
from tests.outside import ROOT

Samples = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]

_MATCH_S: Final = 0.12
_LOOKS: Final = 3


@dataclass(frozen=True, slots=True)
class Case:
    """One recording to learn from.  left_out: spans of samples that teach nothing; weight: of each candidate."""

    mv: Samples
    fs_hz: float
    at: Index
    left_out: tuple[tuple[int, int], ...]
    weight: float


def logistic(signs: Samples, is_beat: Samples, weight: Samples, ridge: float) -> Samples:
    """The constant, then a weight a sign: the greatest penalised likelihood, by Newton's steps."""
    table = np.column_stack([np.ones(len(signs)), signs])
    penalty = ridge * np.eye(table.shape[1])
    penalty[0, 0] = 0.0
    out = np.zeros(table.shape[1])
    for _ in range(25):
        chance = 1.0 / (1.0 + np.exp(-np.clip(table @ out, -30.0, 30.0)))
        slope = table.T @ (weight * (is_beat - chance)) - penalty @ out
        bend = (table * (weight * chance * (1.0 - chance))[:, None]).T @ table + penalty
        step = np.linalg.solve(bend, slope)
        out += step
        if np.abs(step).max() < 1e-6:
            break
    return out


# ------------------------------------------------------------------------------------------------ what is learned from
def mit_bih(folder: Path) -> Iterator[Case]:
    rng = np.random.default_rng(1)
    chosen = [record for record in packs(folder, "mitdb_360hz") if record.id in DS1]
    truth = references(folder, chosen)
    for record in chosen:
        reference, mv = truth[record.id], record.mv[:1]
        noise = 0.08 * rng.normal(size=mv.shape) + np.cumsum(0.006 * rng.normal(size=mv.shape), axis=1)
        yield Case(mv, record.fs_hz, reference.at, reference.left_out, 1.0)
        yield Case(mv + noise, record.fs_hz, reference.at, reference.left_out, 0.25)


def ludb(folder: Path) -> Iterator[Case]:
    waves = pd.read_parquet(folder / "ludb_waves.parquet")
    waves = waves[waves["wave"] == "QRS"]
    for record in list(records(folder / "ludb_500hz_uv5_00.ecgx"))[::2]:
        rows = dict(zip(record.leads, record.mv, strict=True)) | derived_limb_leads(record.mv[0], record.mv[1])
        its = waves[waves["id"] == int(record.id)]
        for name, mv in [("II", np.stack(list(rows.values()))), *((name, row[None]) for name, row in rows.items())]:
            peaks = np.sort(np.asarray(its[its["lead"] == name]["peak"], dtype=np.int64))
            if peaks.size >= 2:
                outside = ((-1, int(peaks[0]) - 76), (int(peaks[-1]) + 76, mv.shape[1]))
                yield Case(mv, record.fs_hz, peaks, outside, 0.5)


def invented(count: int = 240) -> Iterator[Case]:
    """Made rhythms of 20 s: 20 to 300/min, 0.1 to 4 mV, 100 to 500 Hz; jumps, standstills, dead and noisy leads."""
    rng = np.random.default_rng(77)
    for k in range(count):
        shape = str(rng.choice(["narrow", "tall_t", "rs", "bundle", "wide"]))
        fastest = 300.0 if shape in ("narrow", "rs") else 240.0
        interval = 60.0 / float(np.exp(rng.uniform(np.log(20.0), np.log(fastest))))
        fs_hz, leads = float(rng.choice([100, 250, 500])), int(rng.choice([1, 1, 3, 12]))
        size = float(np.exp(rng.uniform(np.log(0.1), np.log(4.0))))
        vary = float(rng.choice([0.01, 0.05, 0.2])) if interval > 0.43 else 0.01
        times = [float(rng.uniform(0.05, interval))]
        while (following := times[-1] + interval * max(1 + vary * rng.normal(), 0.5)) < 19.9:
            times.append(following)
        shapes = ["wide" if interval > 0.5 and rng.uniform() < 0.1 else shape for _ in times]
        noise = size * float(rng.choice([0.01, 0.05, 0.12]))
        it = made(times, shapes, 20.0, fs_hz=fs_hz, leads=leads, mv=size, noise_mv=noise, seed=k)
        mv, at = _troubled(it.mv.copy(), it.at, fs_hz, size, k % 6, rng)
        margin = int(0.06 * fs_hz)
        yield Case(mv, fs_hz, at, ((-1, margin), (mv.shape[1] - margin, mv.shape[1])), 0.12)


def _troubled(
    mv: Samples, at: Index, fs_hz: float, size: float, trouble: int, rng: np.random.Generator
) -> tuple[Samples, Index]:
    samples = mv.shape[1]
    t = np.arange(samples) / fs_hz
    mv += float(rng.choice([0.0, 1.0])) * np.sin(2 * np.pi * 0.3 * t)
    first = int(rng.uniform(5, 8) * fs_hz)
    last = first + int(rng.uniform(3, 11) * fs_hz)
    if trouble == 1:
        for where in rng.integers(0, samples, 3):
            mv[:, where:] += 4 * size * rng.normal()
    elif trouble == 2:
        mv[:, first:last] = 0.01 * rng.normal(size=mv[:, first:last].shape)
        at = at[(at < first - 0.1 * fs_hz) | (at > last + 0.1 * fs_hz)]
    elif trouble == 3 and mv.shape[0] > 1:
        dead = mv.shape[0] // 3
        mv[:dead] = 2.0 * rng.normal(size=(dead, samples))
        mv[-1] = 0.0
    elif trouble == 4:
        burst = slice(first, first + int(3 * fs_hz))
        mv[:, burst] += 0.4 * size * rng.normal(size=mv[:, burst].shape)
    return mv, at


# ------------------------------------------------------------------------------------------------ QRS
def labels(at: Index, case: Case) -> Index:
    """1 a beat, 0 none, -1 neither (beside a beat's candidate, or where the reference is silent)."""
    window = int(_MATCH_S * case.fs_hz)
    out = np.zeros(at.size, dtype=np.int64)
    near = np.abs(at[:, None] - case.at[None, :]).min(axis=1) <= window if case.at.size else np.zeros(at.size, bool)
    out[near] = -1
    out[ec57.pairing(case.at, at, window)[1]] = 1
    for first, last in case.left_out:
        out[(at >= first - window) & (at <= last + window) & (out != 1)] = -1
    return out


def fit_qrs(cases: Iterator[Case]) -> tuple[Samples, Samples]:
    """The first and the second look's weights."""
    seen: list[tuple[qrs.Energy, Index, Index, float]] = []
    for case in cases:
        energy = qrs.energy_of(case.mv, case.fs_hz, None)
        at = qrs.candidates(energy)
        if at.size:
            there = np.rint(at * (case.fs_hz / energy.fs_hz)).astype(np.int64)
            seen.append((energy, at, labels(there, case), case.weight))
    none = np.zeros(0, dtype=np.int64)
    alone = [qrs.by_heights(energy, at) for energy, at, _, _ in seen]
    shapes = [qrs.shapes_at(energy, at) for energy, at, _, _ in seen]
    first = _fitted(alone, seen)
    chosen = _chosen(alone, seen, first, [none] * len(seen))
    second = first
    for _ in range(_LOOKS):
        known = [k for k, indices in enumerate(chosen) if indices.size]
        seen, alone = [seen[k] for k in known], [alone[k] for k in known]
        shapes = [shapes[k] for k in known]
        chosen = [chosen[k] for k in known]
        signs = [
            np.column_stack([rows, qrs.by_beats(energy, at, rows, shape, indices)])
            for rows, shape, indices, (energy, at, _, _) in zip(alone, shapes, chosen, seen, strict=True)
        ]
        second = _fitted(signs, seen)
        chosen = _chosen(signs, seen, second, chosen)
    return first, second


def _fitted(signs: Sequence[Samples], seen: Sequence[tuple[qrs.Energy, Index, Index, float]]) -> Samples:
    told = [truth >= 0 for _, _, truth, _ in seen]
    rows = np.concatenate([table[kept] for table, kept in zip(signs, told, strict=True)])
    truth = np.concatenate([label[kept] for (_, _, label, _), kept in zip(seen, told, strict=True)])
    weight = np.concatenate([np.full(int(kept.sum()), w) for (_, _, _, w), kept in zip(seen, told, strict=True)])
    return np.round(logistic(rows, truth.astype(np.float64), weight, 1.0), 3)


def _chosen(
    signs: Sequence[Samples],
    seen: Sequence[tuple[qrs.Energy, Index, Index, float]],
    weights: Samples,
    before: Sequence[Index],
) -> list[Index]:
    return [
        qrs.chain(at, qrs.log_odds(table, tuple(weights.tolist())), qrs.refractory(energy, at, known))
        for table, (energy, at, _, _), known in zip(signs, seen, before, strict=True)
    ]


# ------------------------------------------------------------------------------------------------ classes
def fit_ventricular(folder: Path) -> Samples:
    """Ventricular against normal and supraventricular; no record weighs more than 600 N, 100 S and 200 V."""
    rng = np.random.default_rng(0)
    chosen = [record for record in packs(folder, "mitdb_360hz") if record.id in DS1]
    truth = references(folder, chosen)
    tables: list[Samples] = []
    answers: list[Samples] = []
    weights: list[Samples] = []
    for record in chosen:
        mv = record.mv[:1]
        at = qrs.detect(mv, record.fs_hz)
        strip = Strip(("ch0",), mv, record.fs_hz, record.fs_hz, mv.shape[1], np.ones(mv.shape, dtype=bool))
        shapes, times = beats.shapes_of(strip, at), beats.times_of(at / record.fs_hz)
        family = beats.families(shapes)
        dominant = beats.dominant_of(family, times)
        table = beats.signs(shapes, family, dominant, beats.usual_shape(shapes, family == dominant), times)
        mine, yours = ec57.pairing(truth[record.id].at, at, int(ec57.WINDOW_S * record.fs_hz))
        letters = np.full(at.size, "-")
        letters[yours] = [truth[record.id].classes[k] for k in mine]
        weight = np.zeros(at.size)
        for letter, most in (("N", 600), ("S", 100), ("V", 200)):
            where = np.flatnonzero(letters == letter)
            if letter == "N":
                weight[rng.permutation(where)[:most]] = 1.0
            else:
                weight[where] = min(1.0, most / max(where.size, 1)) * (2.0 if letter == "V" else 1.0)
        kept = weight > 0
        tables.append(table[kept])
        answers.append((letters[kept] == "V").astype(np.float64))
        weights.append(weight[kept])
    return np.round(logistic(np.concatenate(tables), np.concatenate(answers), np.concatenate(weights), 10.0), 3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, default=ROOT / "ecg")
    folder = parser.parse_args().data
    first, second = fit_qrs(case for source in (mit_bih(folder), ludb(folder), invented()) for case in source)
    print("FIRST_LOOK =", tuple(first.tolist()))
    print("SECOND_LOOK =", tuple(second.tolist()))
    print("VENTRICULAR =", tuple(fit_ventricular(folder).tolist()))


if __name__ == "__main__":
    main()
