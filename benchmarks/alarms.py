"""How often an alarm is raised where there is nothing to alarm about, by the kind of strip, and what is kept beside it.

    python -m benchmarks.alarms [--folds 9 10] [--seeds 200] [--only KIND ...] [--verbose]

Strips: normal 12 leads of PTB-XL (labelled NORM and nothing else beside sinus rhythm), their cuts to one lead (I and II),
made hand-held sinus with motion and without (tests/makers/handheld.py), with two or more premature beats, made noise,
MIT-BIH first lead in 30 s (DS1 tunes, DS2 reports; --ds).  PVC on MIT-BIH is told per beat and per strip.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import pandas as pd

from center.reads import SignalInput
from ecg import engine
from ecg.critical import Tier
from ecg.engine import Reading
from ecg.marks import BeatClass
from ecg.signal import STANDARD_LEADS, derived_limb_leads
from tests.ecgx import packs
from tests.makers.handheld import make_handheld, make_noise
from tests.outside import ROOT

DS1: Final = (
    *("101", "106", "108", "109", "112", "114", "115", "116", "118", "119", "122", "124", "201", "203", "205", "207"),
    *("208", "209", "215", "220", "223", "230"),
)
DS2: Final = (
    *("100", "103", "105", "111", "113", "117", "121", "123", "200", "202", "210", "212", "213", "214", "219", "221"),
    *("222", "228", "231", "232", "233", "234"),
)
_ONLY_SINUS: Final = frozenset({"NORM", "SR"})
_STRIP_S: Final = 30.0
_PVC: Final = frozenset({"pvc", "bigeminy_v", "trigeminy_v", "vt_nonsustained", "vt", "vt_poly", "couplets"})
_NEAR_S: Final = 0.15


@dataclass(slots=True)
class Tally:
    """What was said of one kind of strip."""

    tiers: Counter[str] = field(default_factory=Counter[str])
    rules: Counter[str] = field(default_factory=Counter[str])
    pvc: int = 0
    refused: int = 0

    def add(self, read: Reading) -> None:
        self.tiers[read.critical.tier.value] += 1
        self.rules.update({fired.id for fired in read.critical.rules if fired.tier is Tier.RED})
        self.pvc += says_pvc(read)
        self.refused += read.refused is not None

    def line(self) -> str:
        n = sum(self.tiers.values())
        share = {k: f"{100 * self.tiers[k] / max(n, 1):.1f} %" for k in ("red", "orange", "yellow", "green")}
        return (
            f"n {n:5d}  red {share['red']:>7} ({self.tiers['red']})  orange {share['orange']:>7}  green {share['green']:>7}  "
            f"PVC said {100 * self.pvc / max(n, 1):5.1f} %  not read {100 * self.refused / max(n, 1):5.1f} %  "
            f"red by {dict(self.rules)}"
        )


def says_pvc(read: Reading) -> bool:
    return bool({s.key for s in read.statements} & _PVC)


Named = Iterator[tuple[str, SignalInput]]


def normal_twelve(folds: tuple[int, ...]) -> Named:
    """PTB-XL's normals, whole: (id, 12 leads)."""
    rows = pd.read_parquet(ROOT / "ecg/ptbxl_meta.parquet").set_index("ecg_id")
    for record in packs(ROOT / "ecg", "ptbxl"):
        row = rows.loc[int(record.id)]
        codes = set(json.loads(str(row["scp_codes"])))
        if int(row["strat_fold"]) not in folds or "NORM" not in codes or not codes <= _ONLY_SINUS:
            continue
        leads = dict(zip(record.leads, record.mv, strict=True))
        leads |= derived_limb_leads(leads["I"], leads["II"])
        signal = np.stack([leads[name] for name in STANDARD_LEADS]).astype(np.float32)
        age = float(row["age"]) if row["age"] == row["age"] and row["age"] < 120 else None
        yield record.id, SignalInput(signal, STANDARD_LEADS, record.fs_hz, age, {0: "M", 1: "F"}.get(row["sex"], ""))


def normal_cuts(folds: tuple[int, ...]) -> Named:
    """The same, lead I or II alone in turn."""
    for n, (name, whole) in enumerate(normal_twelve(folds)):
        row = n % 2
        yield (
            f"{name} {STANDARD_LEADS[row]}",
            SignalInput(whole.signal[row : row + 1], STANDARD_LEADS[row : row + 1], whole.fs_hz, whole.age_years),
        )


def handheld(seeds: range, pvcs: int = 0) -> Named:
    for seed in seeds:
        yield f"handheld {seed}", make_handheld(seed, pvcs=pvcs)[0]


def noise(seeds: range) -> Named:
    for seed in seeds:
        yield f"noise {seed}", make_noise(seed)


def mitdb(records: tuple[str, ...], verbose: bool) -> None:
    """Prints tiers by whether a strip has a ventricular beat, and PVC by beat (EC57's 150 ms) and by strip."""
    marks = pd.read_parquet(ROOT / "ecg/mitdb_ann.parquet")
    marks["id"] = marks["id"].astype(str)
    with_v, without, beats = Tally(), Tally(), Counter[str]()
    strips = Counter[str]()
    for record in packs(ROOT / "ecg", "mitdb"):
        if record.id not in records:
            continue
        mine = marks[marks["id"] == record.id]
        at, symbols = np.asarray(mine["sample"]), np.asarray(mine["symbol"])
        step = int(_STRIP_S * record.fs_hz)
        for start in range(0, record.mv.shape[1] - step + 1, step):
            piece = SignalInput(record.mv[:1, start : start + step].astype(np.float32), record.leads[:1], record.fs_hz)
            read = engine.read(piece)
            inside = (at >= start) & (at < start + step)
            truth = (at[inside & np.isin(symbols, ("V", "E"))] - start) / record.fs_hz
            tally = with_v if truth.size else without
            tally.add(read)
            said = says_pvc(read)
            strips["hit" if truth.size and said else "missed" if truth.size else "false" if said else "right"] += 1
            if verbose and read.critical.tier is Tier.RED:
                print("red", record.id, start // step, truth.size, [f.id for f in read.critical.rules][:2])
            beats.update(_beat_counts(read, truth))
    print("MIT-BIH strips without a ventricular beat:", without.line())
    print("MIT-BIH strips with one or more:          ", with_v.line())
    se, pp = (beats["hit"] / max(beats["hit"] + beats[k], 1) for k in ("missed", "false"))
    print(f"ventricular beats as said: Se {100 * se:.1f} % +P {100 * pp:.1f} % (n {beats['hit'] + beats['missed']})")
    se, pp = (strips["hit"] / max(strips["hit"] + strips[k], 1) for k in ("missed", "false"))
    print(f"PVC by strip: Se {100 * se:.1f} % +P {100 * pp:.1f} %  {dict(strips)}")


def _beat_counts(read: Reading, truth: np.ndarray) -> Counter[str]:
    """Beats of ventricular class that the reading holds for sure against the annotated ones."""
    sure = (
        read.beats.where(BeatClass.VENTRICULAR) & (read.beats.certainty >= 0.4)
        if len(read.beats)
        else np.zeros(0, bool)
    )
    at = read.beats.at[sure] / read.strip.fs_hz if sure.size else np.zeros(0)
    hit = sum(bool(at.size and np.abs(at - t).min() <= _NEAR_S) for t in truth)
    false = sum(not (truth.size and np.abs(truth - t).min() <= _NEAR_S) for t in at)
    return Counter({"hit": hit, "missed": int(truth.size) - hit, "false": false})


def score(name: str, strips: Named, verbose: bool) -> None:
    tally, began = Tally(), time.process_time()
    for label, recording in strips:
        read = engine.read(recording)
        tally.add(read)
        if verbose and (read.critical.tier is Tier.RED or says_pvc(read)):
            fired = [(f.id, round(f.certainty, 2)) for f in read.critical.rules if f.tier is Tier.RED]
            print(f"  {label}: {fired} {[s.key for s in read.statements][:6]}")
    spent = (time.process_time() - began) / max(sum(tally.tiers.values()), 1)
    print(f"{name:28} {tally.line()}  {1000 * spent:.0f} ms CPU", flush=True)


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--folds", type=int, nargs="+", default=[7, 8])
    asked.add_argument("--seeds", type=int, default=200)
    asked.add_argument("--from-seed", type=int, default=0)
    asked.add_argument("--ds", type=int, choices=(1, 2), default=1)
    asked.add_argument("--only", nargs="*", default=[])
    asked.add_argument("--verbose", action="store_true")
    options = asked.parse_args()
    folds, seeds = tuple(options.folds), range(options.from_seed, options.from_seed + options.seeds)
    kinds: dict[str, Callable[[], Named]] = {
        "handheld": lambda: handheld(seeds),
        "handheld_pvc": lambda: handheld(seeds, pvcs=3),
        "noise": lambda: noise(seeds),
        "cuts": lambda: normal_cuts(folds),
        "twelve": lambda: normal_twelve(folds),
    }
    for name, strips in kinds.items():
        if not options.only or name in options.only:
            score(name, strips(), options.verbose)
    if not options.only or "mitdb" in options.only:
        mitdb({1: DS1, 2: DS2}[options.ds], options.verbose)


if __name__ == "__main__":
    main()
