"""How many printed evidence lines contradict their own limit: each value against the limit as a reader sees both.

    python -m benchmarks.evidence                 1,500 records of PTB-XL, every fourteenth, all folds
    python -m benchmarks.evidence --most 200      the first 200 of them

Lines of statements and of critical rules, from the text that leaves the engine (``EvidenceLine``), not from the values
that decided: a number with a limit of ``>=``, ``<=``, ``>``, ``<`` or ``a-b``; words are not judged.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from center.reads import EvidenceLine, ModelInput, PreliminaryRead, SignalInput
from ecg.reading import read_ecg
from ecg.signal import STANDARD_LEADS, derived_limb_leads
from tests.ecgx import packs
from tests.printed import contradicts, lines_of


@dataclass(slots=True)
class Count:
    """records: read.  lines: with a value and a limit.  broken: of these.  hit: records with one.  kinds: of broken."""

    records: int = 0
    lines: int = 0
    broken: int = 0
    hit: int = 0
    kinds: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    shown: dict[tuple[str, str, str], EvidenceLine] = field(default_factory=dict)


def counted(reads: Iterable[PreliminaryRead]) -> Count:
    count = Count()
    for read in reads:
        judged = [(key, line) for key, line in lines_of(read) if line.value is not None and line.limit]
        broken = [(key, line) for key, line in judged if contradicts(line)]
        count.records += 1
        count.lines += len(judged)
        count.broken += len(broken)
        count.hit += bool(broken)
        for key, line in broken:
            kind = (key, line.key, line.limit)
            count.kinds[kind] += 1
            count.shown.setdefault(kind, line)
    return count


def ptb_xl(folder: Path, *, every: int, most: int, first: int = 0) -> Iterator[SignalInput]:
    """Every n-th record of PTB-XL with its patient's age and sex, 12 leads at 100 Hz."""
    import pyarrow.parquet as pq

    rows = {str(r["ecg_id"]): r for r in pq.read_table(folder / "ptbxl_meta.parquet").to_pylist()}
    left = most
    for record in packs(folder, "ptbxl"):
        if int(record.id) % every != first:
            continue
        if not left:
            return
        left -= 1
        leads = dict(zip(record.leads, record.mv, strict=True))
        leads |= derived_limb_leads(leads["I"], leads["II"])
        signal = np.stack([leads[name] for name in STANDARD_LEADS]).astype(np.float32)
        row = rows[record.id]
        yield SignalInput(signal, STANDARD_LEADS, record.fs_hz, row["age"], {0: "M", 1: "F"}.get(row["sex"], ""))


def read_of(recording: SignalInput) -> PreliminaryRead:
    return read_ecg(ModelInput("ecg", "2.25.1", ("2.25.2",), "digest", recording=recording))


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--every", type=int, default=14)
    asked.add_argument("--first", type=int, default=0, help="the record numbers' rest by --every")
    asked.add_argument("--most", type=int, default=1500)
    asked.add_argument("--data", type=Path, default=Path("../shared/data/ecg"))
    options = asked.parse_args()
    inputs = ptb_xl(options.data, every=options.every, most=options.most, first=options.first)
    count = counted(read_of(one) for one in inputs)
    print(f"records {count.records}; lines with value and limit {count.lines}")
    print(f"lines that contradict their limit {count.broken} ({100 * count.broken / max(count.lines, 1):.1f} %)")
    print(f"records with one {count.hit} ({100 * count.hit / max(count.records, 1):.1f} %)")
    for kind, times in count.kinds.most_common(60):
        print(f"{times:5d}  {kind[0]}: {kind[1]} {count.shown[kind].value:g} {count.shown[kind].unit}, {kind[2]}")


if __name__ == "__main__":
    main()
