"""Rhythm statements against labels: sensitivity (Se) and positive predictive value (PPV), with n, a key a line.

    python benchmarks/rhythm.py [--made SEEDS] [--mitdb] [--ptbxl FOLDS] [--ludb]

Made rhythms (tests/makers/rhythms.py): seeds from 1000, through the whole engine; a statement counts as false where
the maker neither asks for it nor allows it.  MIT-BIH: spans of ventricular fibrillation or flutter, first lead.
PTB-XL: the cardiologists' scp_codes (folds 7-8 tune, 9 choose, 10 is reported once); LUDB: the rhythm in its table.
A label that's missing isn't proof of absence there: PPV against labels is a lower bound.
"""

from __future__ import annotations

import argparse
import ast
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from center.reads import SignalInput
from ecg import engine, fibrillation
from ecg.marks import Rhythm
from ecg.quality import assess
from ecg.signal import STANDARD_LEADS, derived_limb_leads
from ecg.strip import strip_of
from tests.ecgx import Record, packs
from tests.makers.rhythms import MAKERS, make_rhythm
from tests.outside import ROOT

CRITICAL = (
    "vt",
    "vt_nonsustained",
    "vt_poly",
    "torsades",
    "vf",
    "v_flutter",
    "wide_tachy",
    "avb3",
    "avb_high",
    "avb_2to1",
)
CRITICAL += ("avb2_mobitz2", "sinus_arrest", "svt", "psvt", "alternans", "idioventricular")

PTBXL = {
    "afib": {"AFIB"},
    "aflutter": {"AFLT"},
    "sinus_tachy": {"STACH"},
    "sinus_brady": {"SBRAD"},
    "sinus_arrhythmia": {"SARRH"},
    "sinus_rhythm": {"SR", "SARRH"},
    "svt": {"SVTAC", "PSVT"},
    "psvt": {"PSVT", "SVTAC"},
    "pac": {"PAC"},
    "pvc": {"PVC"},
    "bigeminy_v": {"BIGU"},
    "trigeminy_v": {"TRIGU"},
    "paced_v": {"PACE"},
    "avb2_mobitz1": {"2AVB"},
    "avb2_mobitz2": {"2AVB"},
    "avb_2to1": {"2AVB", "3AVB"},
    "avb_high": {"2AVB", "3AVB"},
    "avb3": {"3AVB"},
}
LUDB = {
    "sinus_rhythm": "Sinus rhythm",
    "sinus_tachy": "Sinus tachycardia",
    "sinus_brady": "Sinus bradycardia",
    "sinus_arrhythmia": "Sinus arrhythmia",
    "afib": "Atrial fibrillation",
    "aflutter": "Atrial flutter",
}


@dataclass
class Score:
    hits: Counter[str] = field(default_factory=Counter[str])
    missed: Counter[str] = field(default_factory=Counter[str])
    false: Counter[str] = field(default_factory=Counter[str])

    def add(self, said: set[str], wanted: set[str], allowed: set[str]) -> None:
        self.hits.update(said & wanted)
        self.missed.update(wanted - said)
        self.false.update(said - wanted - allowed)

    def lines(self) -> Iterator[str]:
        for key in sorted({*self.hits, *self.missed, *self.false}):
            hits, missed, false = self.hits[key], self.missed[key], self.false[key]
            se = f"{100 * hits / (hits + missed):5.1f}" if hits + missed else "    -"
            ppv = f"{100 * hits / (hits + false):5.1f}" if hits + false else "    -"
            yield f"  {key:20s} Se {se} (n {hits + missed:4d})   PPV {ppv} (n {hits + false:4d})"


def read(recording: SignalInput) -> Rhythm:
    strip = strip_of(recording)
    return engine.analyse(strip, assess(strip.mv, strip.leads, strip.fs_hz)).rhythm


def keys_of(result: Rhythm) -> set[str]:
    return {statement.key for statement in result.statements}


def made(seeds: int) -> None:
    score, wrong = Score(), Counter[str]()
    for kind in MAKERS:
        for seed in range(1000, 1000 + seeds):
            recording, truth = make_rhythm(kind, seed)
            said = keys_of(read(recording))
            score.add(said, set(truth.must), set(truth.may))
            wrong[kind] += not truth.must <= said or bool(said - truth.must - truth.may)
    print(f"made rhythms, {len(MAKERS)} kinds x {seeds} seeds from 1000; all statements right in each:")
    print("  " + ", ".join(f"{kind} {seeds - wrong[kind]}/{seeds}" for kind in MAKERS))
    print("\n".join(score.lines()))


def mitdb() -> None:
    print("MIT-BIH, first lead, spans of ventricular fibrillation or flutter:")
    marks = pd.read_parquet(ROOT / "ecg/mitdb_ann.parquet")
    for record in packs(ROOT / "ecg", "mitdb"):
        one = SignalInput(record.mv[:1].astype(np.float32), record.leads[:1], record.fs_hz)
        found = fibrillation.spans(strip_of(one, 250.0))
        mine = marks[marks["id"] == record.id]
        truth = [np.asarray(mine[mine["symbol"] == symbol]["sample"]) / record.fs_hz for symbol in "[]"]
        if not found and not truth[0].size:
            continue
        inside = np.zeros(int(record.mv.shape[1] / record.fs_hz * 10), dtype=bool)
        said = inside.copy()
        for start, end in zip(*truth, strict=True):
            inside[int(start * 10) : int(end * 10)] = True
        for span in found:
            said[int(span.start_s * 10) : int(span.end_s * 10)] = True
        both = float((inside & said).sum()) / 10
        print(
            f"  {record.id}: {inside.sum() / 10:.0f} s annotated, {both:.0f} s found, {said.sum() / 10 - both:.0f} s beside"
        )


def twelve(record: Record, age: float | None = None) -> SignalInput:
    rows = dict(zip(record.leads, record.mv, strict=True))
    rows |= derived_limb_leads(rows["I"], rows["II"])
    signal = np.stack([rows[lead] for lead in STANDARD_LEADS]).astype(np.float32)
    return SignalInput(signal, STANDARD_LEADS, record.fs_hz, age)


def ptbxl(folds: list[int]) -> None:
    table = pd.read_parquet(ROOT / "ecg/ptbxl_meta.parquet").set_index("ecg_id")
    score, critical, count, alarms = Score(), Counter[str](), 0, 0
    began = time.perf_counter()
    for record in packs(ROOT / "ecg", "ptbxl"):
        row = table.loc[int(record.id)]
        if int(row["strat_fold"]) not in folds:
            continue
        age = float(row["age"]) if row["age"] == row["age"] and row["age"] < 120 else None
        said = keys_of(read(twelve(record, age)))
        codes = set(ast.literal_eval(str(row["scp_codes"]).replace("null", "None")))
        wanted = {key for key, labels in PTBXL.items() if labels & codes}
        allowed = {"psvt", "svt"} if codes & {"PSVT", "SVTAC"} else set[str]()
        score.add(said & set(PTBXL), {key for key in wanted if key in said or len(PTBXL[key]) == 1}, allowed)
        critical.update(said & set(CRITICAL))
        alarms += bool(said & {"vt", "vt_poly", "torsades", "vf", "v_flutter", "wide_tachy", "avb3"})
        count += 1
    print(f"PTB-XL folds {folds}, {count} records, {(time.perf_counter() - began) / max(count, 1) * 1000:.0f} ms each:")
    print("\n".join(score.lines()))
    print(f"  critical statements made: {dict(critical)}; records with a lethal one: {alarms}")


def ludb() -> None:
    table = pd.read_parquet(ROOT / "ecg/ludb_meta.parquet").set_index("ID")
    score = Score()
    for record in packs(ROOT / "ecg", "ludb"):
        label = str(table.loc[int(record.id), "Rhythms"]).strip()
        wanted = {key for key, words in LUDB.items() if label.startswith(words)}
        allowed = {"sinus_rhythm", "sinus_brady"} if "arrhythmia" in label or "Irregular" in label else set[str]()
        score.add(keys_of(read(twelve(record))) & set(LUDB), wanted, allowed)
    print("LUDB, 140 records:")
    print("\n".join(score.lines()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--made", type=int, default=0, metavar="SEEDS")
    parser.add_argument("--mitdb", action="store_true")
    parser.add_argument("--ptbxl", type=int, nargs="*", default=[], metavar="FOLD")
    parser.add_argument("--ludb", action="store_true")
    asked = parser.parse_args()
    warnings.simplefilter("ignore", RuntimeWarning)
    if asked.made:
        made(asked.made)
    if asked.mitdb:
        mitdb()
    if asked.ptbxl:
        ptbxl(asked.ptbxl)
    if asked.ludb:
        ludb()


if __name__ == "__main__":
    main()
