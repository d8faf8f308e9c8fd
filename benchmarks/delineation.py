"""P, QRS and T boundaries against hand-set marks: LUDB by record in 10 folds, and QTDB, which nothing was tuned on.

    python benchmarks/delineation.py --tables FOLDER [--fit] [--peers] [--af]

FOLDER holds ``fold0.npz`` .. ``fold9.npz``, each made by ``benchmarks/delineation_tables.py --without K``: a record is
scored with coefficients that never saw it.  ``--fit`` makes those that are missing (minutes each).  ``--peers`` times
and scores NeuroKit2 (dwt, prominence) on lead II in rounds with ours in between.  ``--af``: PTB-XL folds 9 and 10.

Scored as ECG.md section 6: a mark counts when an expert's mark of that point in that lead lies within 150 ms; marks
outside the experts' first and last mark of the lead are not counted.  P waves are those that are left after
``atrial.without_false_p``.  Chosen in folds: every coefficient; fixed before: windows, tap distances, filters.
"""

from __future__ import annotations

import argparse
import platform
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from benchmarks import delineation_tables as making
from ecg import beats as classes
from ecg import qrs
from ecg.atrial import evidence, without_false_p
from ecg.marks import Mark
from ecg.signal import STANDARD_LEADS
from ecg.strip import Samples, Strip, strip_of
from ecg.waves import delineate, quantile_over_leads
from ecg.waves_tables import Tables, packed, tables, unpacked
from tests.ecgx import packs
from tests.outside import ROOT

WINDOW_MS = 150.0
ALONE = ("I", "II", "aVF", "V1", "V5")
FIRST = {"P": Mark.P_ON, "QRS": Mark.QRS_ON, "T": Mark.T_ON}


@dataclass
class Score:
    """Found, missed and invented marks of each point, and how far the found ones lie off, ms."""

    found: dict[Mark, int] = field(default_factory=lambda: dict.fromkeys(Mark, 0))
    missed: dict[Mark, int] = field(default_factory=lambda: dict.fromkeys(Mark, 0))
    invented: dict[Mark, int] = field(default_factory=lambda: dict.fromkeys(Mark, 0))
    off_ms: dict[Mark, list[Samples]] = field(default_factory=lambda: {mark: [] for mark in Mark})

    def add(self, mark: Mark, expert: Samples, ours: Samples, span: tuple[float, float], fs_hz: float) -> None:
        expert, ours = np.sort(expert[np.isfinite(expert)]), np.sort(ours[np.isfinite(ours)])
        pairs = paired(expert, ours, WINDOW_MS * fs_hz / 1000.0)
        alone = np.delete(ours, pairs[:, 1]) if pairs.size else ours
        self.found[mark] += len(pairs)
        self.missed[mark] += expert.size - len(pairs)
        self.invented[mark] += int(((alone >= span[0]) & (alone <= span[1])).sum())
        self.off_ms[mark].append((ours[pairs[:, 1]] - expert[pairs[:, 0]]) * (1000.0 / fs_hz))

    def show(self, title: str) -> None:
        print(title)
        for mark in Mark:
            total = self.found[mark] + self.missed[mark]
            if not total:
                continue
            off = np.concatenate(self.off_ms[mark])
            told = self.found[mark] + self.invented[mark]
            print(
                f"  {mark.name:9s} Se {100 * self.found[mark] / total:6.2f}  +P {100 * self.found[mark] / max(1, told):6.2f}"
                f"   {off.mean():6.1f} +- {off.std():5.1f} ms   n {total}"
            )


def paired(expert: Samples, ours: Samples, reach: float) -> npt.NDArray[np.int64]:
    """[pair, 2]: indices of marks that are each other's nearest and within reach."""
    if not expert.size or not ours.size:
        return np.zeros((0, 2), dtype=np.int64)
    apart = np.abs(expert[:, None] - ours)
    to_ours, to_expert = apart.argmin(axis=1), apart.argmin(axis=0)
    mine = np.arange(expert.size)
    good = (to_expert[to_ours] == mine) & (apart[mine, to_ours] <= reach)
    return np.stack((mine[good], to_ours[good]), axis=1)


def span_of(marks: making.Marks, lead: str) -> tuple[float, float]:
    points = np.concatenate([rows.ravel() for key, rows in marks.items() if key[0] == lead] or [np.zeros(0)])
    points = points[np.isfinite(points)]
    return (float(points.min()), float(points.max())) if points.size else (0.0, -1.0)


def add_lead(score: Score, marks: making.Marks, lead: str, ours: Samples, fs_hz: float) -> None:
    """ours: [beat, 9] samples of the experts' record."""
    span = span_of(marks, lead)
    for wave, first in FIRST.items():
        rows = marks.get((lead, wave), np.zeros((0, 3)))
        for which in range(3):
            score.add(Mark(first + which), rows[:, which], ours[:, first + which], span, fs_hz)


def read(strip: Strip, made: Tables) -> tuple[Samples, Samples]:
    """Ours: overall [beat, 9] and by lead [lead, beat, 9], strip samples, no P waves where the atria fibrillate."""
    found = classes.classify(strip, qrs.detect(strip.mv, strip.fs_hz))
    waves = delineate(strip, found, made)
    waves = without_false_p(waves, evidence(strip, found, waves, made))
    return waves.overall, waves.by_lead


def expert_overall(strip: Strip, marks: making.Marks) -> Samples:
    """[beat, 9]: of the leads' hand-set marks the third-earliest onset, the middle peak, the third-latest offset."""
    found = classes.classify(strip, qrs.detect(strip.mv, strip.fs_hz))
    truth = making.truth_of(found, marks, strip.leads, 1)
    out = np.full(truth.shape[1:], np.nan)
    for mark in Mark:
        part = (2 / 11, 0.5, 9 / 11)[mark % 3]
        out[:, mark] = quantile_over_leads(truth[..., mark], part)
    return out


def fold_tables(folder: Path, fit: bool, data: Path) -> dict[int, Tables]:
    """The tables of each fold that is there; ``fit`` makes the missing ones."""
    made = {}
    for fold in range(10):
        path = folder / f"fold{fold}.npz"
        if not path.exists() and fit:
            rng = np.random.default_rng(0)
            cases, others = list(making.ludb_cases(data, fold, rng)), making.ptbxl_cases(data, rng)
            bounds = making.fit_boundaries(cases, others, rng)
            path.write_bytes(packed(making.with_atria(bounds, making.atria_rows(data, (7, 8), bounds, rng))))
        if path.exists():
            made[fold] = unpacked(path.read_bytes())
    return made


def held_out(folder: Path, made: dict[int, Tables]) -> list[tuple[Tables, Samples, making.Marks]]:
    """Every LUDB record of these folds with the tables that never saw it."""
    return [
        (made[number % 10], mv, marks)
        for number, (_, mv, marks) in enumerate(making.ludb(folder))
        if number % 10 in made
    ]


def on_ludb(folder: Path, made: dict[int, Tables]) -> None:
    whole, second, alone, alone_ii, overall = Score(), Score(), Score(), Score(), Score()
    records = held_out(folder, made)
    for own, mv, marks in records:
        strip = making.a_strip(mv, range(12))
        ours, by_lead = read(strip, own)
        for row, lead in enumerate(STANDARD_LEADS):
            add_lead(whole, marks, lead, by_lead[row], 500.0)
        add_lead(second, marks, "II", by_lead[1], 500.0)
        truth = expert_overall(strip, marks)
        spans = np.array([span_of(marks, lead) for lead in STANDARD_LEADS])
        for mark in Mark:
            overall.add(mark, truth[:, mark], ours[:, mark], (spans[:, 0].min(), spans[:, 1].max()), 500.0)
        for lead in ALONE:
            single, _ = read(making.a_strip(mv, [STANDARD_LEADS.index(lead)]), own)
            add_lead(alone, marks, lead, single, 500.0)
            if lead == "II":
                add_lead(alone_ii, marks, lead, single, 500.0)
    n = f"{len(records)} ({len(made)} of 10 folds)"
    second.show(f"LUDB, held out by record, n {n}: lead II, all leads seen")
    whole.show(f"LUDB, held out by record, n {n}: all 12 leads, each against its own marks")
    overall.show(f"LUDB, held out by record, n {n}: overall, against the third-earliest onset and third-latest offset")
    alone_ii.show(f"LUDB, held out by record, n {n}: lead II as a one-lead recording")
    alone.show(f"LUDB, held out by record, n {n}: leads {' '.join(ALONE)}, each as a one-lead recording")


def qtdb(folder: Path) -> Iterator[tuple[str, Strip, npt.NDArray[np.float64], dict[str, Samples]]]:
    """Record, strip, and the first observer's marks [wave, 3], samples of the record."""
    table: Any = pd.read_parquet(folder / "qtdb_waves.parquet")  # pandas' own types lose rows on the way
    table = table[table.observer == 1]
    for record in packs(folder, "qtdb"):
        rows = table[table.id == record.id]
        marks = {
            str(wave): np.where(
                of[["on", "peak", "off"]] < 0, np.nan, of[["on", "peak", "off"]].to_numpy(dtype=np.float64)
            )
            for wave, of in rows.groupby("wave")
            if wave in FIRST
        }
        signal = making.SignalInput(record.mv.astype(np.float32), ("ES", "AS"), record.fs_hz)
        yield record.id, strip_of(signal), record.mv, marks


def on_qtdb(folder: Path, made: Tables) -> None:
    """As in the literature (Martinez 2004): of the two leads the mark nearer to the observer's counts; and both by the overall mark."""
    nearer, overall = Score(), Score()
    count = 0
    for _, strip, _, marks in qtdb(folder):
        if not marks:
            continue
        count += 1
        points = np.concatenate([rows.ravel() for rows in marks.values()])
        points = points[np.isfinite(points)]
        span = (points.min() * 2, points.max() * 2)
        ours, by_lead = read(strip, made)
        for wave, first in FIRST.items():
            rows = marks.get(wave, np.zeros((0, 3))) * 2
            for which in range(3):
                mark = Mark(first + which)
                if not np.isfinite(rows[:, which]).any():
                    continue
                overall.add(mark, rows[:, which], ours[:, mark], span, 500.0)
                nearer.add(mark, rows[:, which], _nearer(rows[:, which], by_lead[..., mark]), span, 500.0)
    nearer.show(f"QTDB, never tuned on, n {count} records: the nearer of the two leads")
    overall.show(f"QTDB, never tuned on, n {count} records: overall")
    print("  (+P of single points counts beats that the observer left unmarked in that point)")


def _nearer(expert: Samples, by_lead: Samples) -> Samples:
    """[beat]: of the leads' marks the one that lies nearer to an expert's."""
    expert = expert[np.isfinite(expert)]
    apart = np.abs(np.nan_to_num(by_lead, nan=-1e9)[..., None] - expert).min(axis=2)
    return np.take_along_axis(by_lead, apart.argmin(axis=0)[None], axis=0)[0]


# ------------------------------------------------------------------------------------------------ fibrillation
def on_ptbxl(folder: Path, made: Tables) -> None:
    for fold in (9, 10):
        for leads in (list(range(12)), [0], [1]):
            truth, told = [], []
            for codes, mv in making.ptbxl(folder, (fold,)):
                strip = making.a_strip(mv, leads, 100.0)
                found = classes.classify(strip, qrs.detect(strip.mv, strip.fs_hz))
                atria = evidence(strip, found, delineate(strip, found, made), made)
                truth.append("AFIB" in codes)
                told.append(atria.af_probability >= 0.5)
            t, p = np.array(truth), np.array(told)
            print(
                f"PTB-XL fold {fold}, {'12 leads' if len(leads) > 1 else 'lead ' + STANDARD_LEADS[leads[0]]}:"
                f" AF Se {100 * (t & p).sum() / t.sum():.1f}  PPV {100 * (t & p).sum() / p.sum():.1f}   n {t.size}, AF {t.sum()}"
            )


# ------------------------------------------------------------------------------------------------ beside others
def beside_neurokit(folder: Path, made: dict[int, Tables]) -> None:
    import neurokit2

    keys = (
        ("ECG_P_Onsets", "ECG_P_Peaks", "ECG_P_Offsets"),
        ("ECG_R_Onsets", "ECG_R_Peaks", "ECG_R_Offsets"),
        ("ECG_T_Onsets", "ECG_T_Peaks", "ECG_T_Offsets"),
    )

    def neurokit(method: str, mv: Samples) -> Samples:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            clean = neurokit2.ecg_clean(mv[1], sampling_rate=500)
            _, peaks = neurokit2.ecg_peaks(clean, sampling_rate=500)
            _, found = neurokit2.ecg_delineate(clean, peaks["ECG_R_Peaks"], sampling_rate=500, method=method)
        columns = [np.asarray(found.get(key, peaks.get(key, [])), dtype=np.float64) for row in keys for key in row]
        out = np.full((max(map(len, columns)), len(Mark)), np.nan)
        for column, values in enumerate(columns):
            out[: values.size, column] = values
        return out

    ways = {
        "ours, 12 leads": lambda mv, own: read(making.a_strip(mv, range(12)), own)[1][1],
        "ours, lead II": lambda mv, own: read(making.a_strip(mv, [1]), own)[0],
        "NeuroKit2 prominence, lead II": lambda mv, own: neurokit("prominence", mv),
        "NeuroKit2 dwt, lead II": lambda mv, own: neurokit("dwt", mv),
    }
    scores, seconds, failed = {way: Score() for way in ways}, dict.fromkeys(ways, 0.0), dict.fromkeys(ways, 0)
    records = held_out(folder, made)
    for own, mv, marks in records:
        for way, run in ways.items():
            started = time.process_time()
            try:
                ours = run(mv, own)
            except Exception:  # the peer raises whatever its parts raise
                failed[way] += 1
                continue
            finally:
                seconds[way] += time.process_time() - started
            add_lead(scores[way], marks, "II", ours, 500.0)
    for way, score in scores.items():
        rate = len(records) / seconds[way]
        score.show(f"{way}: {rate:.1f} strips/s of CPU time, QRS detection included; failed on {failed[way]}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT / "ecg")
    parser.add_argument("--tables", type=Path, required=True)
    parser.add_argument("--fit", action="store_true")
    parser.add_argument("--peers", action="store_true")
    parser.add_argument("--af", action="store_true")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{platform.machine()}, Python {platform.python_version()}, numpy {np.__version__}")
    made = fold_tables(chosen.tables, chosen.fit, chosen.data)
    on_ludb(chosen.data, made)
    on_qtdb(chosen.data, tables())
    if chosen.peers:
        beside_neurokit(chosen.data, made)
    if chosen.af:
        on_ptbxl(chosen.data, tables())


if __name__ == "__main__":
    main()
