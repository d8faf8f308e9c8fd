"""What the engine says of one-lead strips of a known rhythm: tiers and rhythm statements, with n, a label a line.

    python -m benchmarks.strips [--tune] [--most N] [--made SEEDS]

MIT-BIH's first lead, cut into strips of 10 s (whole spans of 4 s and more where a rhythm lasts less) by the rhythm that
is annotated; DS2, or DS1 (which rules were set on) with --tune.  most: strips of a rhythm from one record.
Made ventricular tachycardias (tests/makers/ventricular.py): seeds from 9000, six forms, 100 to 500 Hz, 0.4 to 6 mV.
"""

from __future__ import annotations

import argparse
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterator

import numpy as np
import pandas as pd

from center.reads import SignalInput
from ecg import engine
from tests.ecgx import packs
from tests.makers.ventricular import FORMS, make_ventricular
from tests.outside import ROOT

DS1 = [
    "101",
    "106",
    "108",
    "109",
    "112",
    "114",
    "115",
    "116",
    "118",
    "119",
    "122",
    "124",
    "201",
    "203",
    "205",
    "207",
    "208",
    "209",
    "215",
    "220",
    "223",
    "230",
]
DS2 = [
    "100",
    "103",
    "105",
    "111",
    "113",
    "117",
    "121",
    "123",
    "200",
    "202",
    "210",
    "212",
    "213",
    "214",
    "219",
    "221",
    "222",
    "228",
    "231",
    "232",
    "233",
    "234",
]
STRIP_S, SHORTEST_S = 10.0, 4.0
SAID = {
    "sinus": {"sinus_rhythm", "sinus_tachy", "sinus_brady"},
    "ventricular": {"vt", "vt_poly", "vt_nonsustained", "wide_tachy", "v_flutter", "vf", "torsades"},
    "afib": {"afib"},
    "aflutter": {"aflutter"},
    "untold": {"rhythm_uncertain", "sv_rhythm_uncertain"},
}


def strips(ids: list[str], most: int) -> Iterator[tuple[str, SignalInput]]:
    marks = pd.read_parquet(ROOT / "ecg/mitdb_ann.parquet")
    marks = marks[marks["symbol"] == "+"]
    for record in packs(ROOT / "ecg", "mitdb"):
        if record.id not in ids:
            continue
        own = marks.query("id == @record.id").sort_values(by="sample")
        starts = [int(sample) for sample in own["sample"]]
        ends = [*starts[1:], record.mv.shape[1]]
        taken = Counter[str]()
        for label, start, end in zip(own["aux"].str.strip("\x00 "), starts, ends, strict=True):
            length = int(min(STRIP_S * record.fs_hz, end - start))
            if length < SHORTEST_S * record.fs_hz:
                continue
            for at in range(start, end - length + 1, length):
                if taken[label] < most:
                    taken[label] += 1
                    cut = record.mv[:1, at : at + length].astype(np.float32)
                    yield str(label), SignalInput(cut, record.leads[:1], record.fs_hz)


def made(seeds: int) -> Iterator[tuple[str, SignalInput]]:
    for form in FORMS:
        for seed in range(9000, 9000 + seeds):
            hz = (100.0, 125.0, 250.0, 360.0, 500.0)[seed % 5]
            yield f"made, {form}", make_ventricular(form, seed, fs_hz=hz, is_restless=seed % 2 == 1)[0]


def score(of: Iterator[tuple[str, SignalInput]]) -> None:
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for label, recording in of:
        reading = engine.read(recording)
        keys = {s.key for s in reading.statements}
        counts[label]["n"] += 1
        counts[label][reading.critical.tier.value] += 1
        counts[label].update(name for name, which in SAID.items() if which & keys)
    for label, count in sorted(counts.items()):
        tiers = ", ".join(f"{tier} {count[tier]}" for tier in ("red", "orange", "yellow", "green"))
        print(f"  {label:22s} n {count['n']:4d}: {tiers}; said " + ", ".join(f"{k} {count[k]}" for k in SAID))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tune", action="store_true", help="DS1 instead of DS2")
    parser.add_argument("--most", type=int, default=12)
    parser.add_argument("--made", type=int, default=0, metavar="SEEDS")
    asked = parser.parse_args()
    warnings.simplefilter("ignore", RuntimeWarning)
    if asked.made:
        score(made(asked.made))
        return
    score(strips(DS1 if asked.tune else DS2, asked.most))


if __name__ == "__main__":
    main()
