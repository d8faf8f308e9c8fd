"""Statements on form against PTB-XL's labels: sensitivity, specificity, PPV by key, and what is said of normal records.

    python -m benchmarks.statements              fold 10, reported once (7-8 tuned on, 9 chosen on)
    python -m benchmarks.statements --folds 7 8

100 Hz records.  A label with a likelihood from 1 to 49 counts neither way; form and rhythm labels have none.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from center.reads import SignalInput
from ecg import engine
from ecg.signal import STANDARD_LEADS, derived_limb_leads
from tests.ecgx import packs

_FORM_AND_RHYTHM: Final = frozenset(
    [
        "ABQRS",
        "PVC",
        "STD_",
        "VCLVH",
        "QWAVE",
        "LOWT",
        "NT_",
        "PAC",
        "LPR",
        "INVT",
        "LVOLT",
        "HVOLT",
        "TAB_",
        "STE_",
        "PRC(S)",
        "NDT",
        "NST_",
        "DIG",
        "LNGQT",
        "SR",
        "AFIB",
        "STACH",
        "SARRH",
        "SBRAD",
        "PACE",
        "SVARR",
        "BIGU",
        "AFLT",
        "SVTAC",
        "PSVT",
        "TRIGU",
    ]
)
_INJURY: Final = "INJAS INJAL INJIN INJLA INJIL"
"""Subendocardial injury: mostly ST depression, often in old infarcts; no label says that an infarct is acute."""
_ISCHEMIA: Final = "ISC_ ISCAL ISCIN ISCIL ISCAS ISCLA ISCAN"
_ANY_MI: Final = f"IMI ILMI IPMI IPLMI ASMI AMI ALMI LMI PMI {_INJURY}"
_ANY_STT: Final = f"{_ISCHEMIA} STD_ STE_ NST_ NDT NT_ INVT LOWT TAB_ DIG LNGQT ANEUR EL"

ROWS: Final[tuple[tuple[str, str], ...]] = (
    ("lbbb", "CLBBB"),
    ("rbbb", "CRBBB"),
    ("irbbb", "IRBBB"),
    ("ilbbb", "ILBBB"),
    ("ivcd", "IVCD"),
    ("lafb", "LAFB"),
    ("lpfb", "LPFB"),
    ("avb1", "1AVB LPR"),
    ("preexcitation", "WPW"),
    ("low_voltage", "LVOLT"),
    ("lae", "LAO/LAE"),
    ("rae", "RAO/RAE"),
    ("lvh bvh", "LVH"),
    ("lvh lv_high_voltage bvh", "LVH VCLVH HVOLT"),
    ("rvh bvh", "RVH"),
    ("st_elevation", "STE_"),
    ("st_depression", "STD_"),
    ("t_inversion", "INVT"),
    ("t_low", "LOWT"),
    ("nonspecific_stt", "NST_ NDT NT_"),
    ("st_elevation st_depression nonspecific_stt t_inversion t_low t_abnormal s_ischemia s_ischemia_acute", _ANY_STT),
    ("s_ischemia s_ischemia_acute", _ISCHEMIA),
    ("s_ischemia_acute mi_acute", f"{_ISCHEMIA} {_INJURY}"),
    ("s_ischemia s_ischemia_acute mi_acute", _INJURY),
    ("mi_inferior", "IMI ILMI IPMI IPLMI INJIN INJIL"),
    ("mi_anterior mi_anteroseptal mi_extensive", "ASMI AMI ALMI INJAS INJAL"),
    ("mi_lateral mi_extensive", "LMI ALMI ILMI IPLMI INJLA INJAL INJIL"),
    ("mi_posterior", "PMI IPMI IPLMI"),
    ("any infarct", _ANY_MI),
    ("q_waves", "QWAVE"),
    ("long_qt", "LNGQT"),
    ("s_aneurysm", "ANEUR"),
    ("s_digitalis", "DIG"),
    ("s_hyperk s_hypok", "EL"),
)
"""Our keys (any of them), PTB-XL's acronyms (any of them)."""
WITHOUT_LABEL: Final = (
    *("short_pr", "poor_r", "short_qt", "early_repol", "s_pericarditis", "s_brugada", "s_pe", "u_prominent"),
    *("axis_superior", "axis_indeterminate", "mi_rv", "mi_lbbb"),
)
_AXES: Final = {"lad": {"LAD", "ALAD"}, "rad": {"RAD", "ARAD"}}


@dataclass(frozen=True, slots=True)
class Judged:
    """One record: labels that hold, labels in doubt, the cardiologist's axis, and what we said."""

    holds: frozenset[str]
    doubtful: frozenset[str]
    axis: str
    said: frozenset[str]

    @property
    def is_only_normal(self) -> bool:
        return "NORM" in self.holds and self.holds <= {"NORM", "SR"}


def judged(folder: Path, folds: tuple[int, ...], *, every: int = 1) -> Iterator[Judged]:
    """Each record of these folds (every n-th), read by the engine."""
    import pyarrow.parquet as pq

    rows = {str(r["ecg_id"]): r for r in pq.read_table(folder / "ptbxl_meta.parquet").to_pylist()}
    for record in packs(folder, "ptbxl"):
        row = rows[record.id]
        if row["strat_fold"] not in folds or int(record.id) % every:
            continue
        leads = dict(zip(record.leads, record.mv, strict=True))
        leads |= derived_limb_leads(leads["I"], leads["II"])
        signal = np.stack([leads[name] for name in STANDARD_LEADS]).astype(np.float32)
        sex = {0: "M", 1: "F"}.get(row["sex"], "")
        read = engine.read(SignalInput(signal, STANDARD_LEADS, record.fs_hz, row["age"], sex))
        said = {key for s in read.statements for key in (s.key, *s.modifiers)}
        if any(key.startswith("mi_") for key in said):
            said.add("any infarct")
        holds, doubtful = labels(str(row["scp_codes"]))
        yield Judged(holds, doubtful, str(row["heart_axis"] or ""), frozenset(said))


def labels(scp_codes: str) -> tuple[frozenset[str], frozenset[str]]:
    """The acronyms that hold (no likelihood, 0 for unknown, or 50 and more), and those in doubt."""
    codes: dict[str, float | None] = json.loads(scp_codes)
    doubtful = {
        key for key, sure in codes.items() if key not in _FORM_AND_RHYTHM and sure is not None and 0 < sure < 50
    }
    return frozenset(codes.keys() - doubtful), frozenset(doubtful)


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:5.1f}" if whole else "  -  "


def _line(name: str, pairs: list[tuple[bool, bool]], normal: int) -> str:
    hit = sum(said and held for said, held in pairs)
    said, held = sum(s for s, _ in pairs), sum(h for _, h in pairs)
    right = sum(not s and not h for s, h in pairs)
    return (
        f"{name[:46]:46} n={held:4d} said={said:4d}  Se {_share(hit, held)}  "
        f"Sp {_share(right, len(pairs) - held)}  PPV {_share(hit, said)}  said of NORM {normal}"
    )


def report(records: list[Judged]) -> None:
    """Prints every row, and what is said of records whose only label is NORM."""
    for keys, acronyms in ROWS:
        ours, theirs = set(keys.split()) if " " in keys and keys != "any infarct" else {keys}, set(acronyms.split())
        fair = [r for r in records if r.holds & theirs or not r.doubtful & theirs]
        pairs = [(bool(ours & r.said), bool(theirs & r.holds)) for r in fair]
        print(_line(keys, pairs, sum(bool(ours & r.said) and "NORM" in r.holds for r in fair)))
    with_axis = [r for r in records if r.axis]
    for key, theirs in _AXES.items():
        pairs = [(key in r.said, r.axis in theirs) for r in with_axis]
        print(_line(f"{key} (of {len(with_axis)} with an axis)", pairs, 0))
    for key in WITHOUT_LABEL:
        count, normal = sum(key in r.said for r in records), sum(key in r.said and "NORM" in r.holds for r in records)
        print(f"{key:46} no label; said {count}, of NORM {normal}")
    only = [r for r in records if r.is_only_normal]
    abnormal = [r for r in only if "abnormal" in r.said]
    print(
        f"records {len(records)}; only NORM {len(only)}, called abnormal {len(abnormal)} ({_share(len(abnormal), len(only))} %)"
    )
    why = Counter(key for r in abnormal for key in r.said if key not in ("abnormal", "sinus_rhythm"))
    print("  by", ", ".join(f"{key} {n}" for key, n in why.most_common(25)))
    sick = [r for r in records if "NORM" not in r.holds]
    told = sum("abnormal" in r.said for r in sick)
    print(f"not NORM {len(sick)}, called abnormal {told} ({_share(told, len(sick))} %)")


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--folds", type=int, nargs="+", default=[10])
    asked.add_argument("--every", type=int, default=1, help="only every n-th record, by its number")
    asked.add_argument("--data", type=Path, default=Path("../shared/data/ecg"))
    options = asked.parse_args()
    report(list(judged(options.data, tuple(options.folds), every=options.every)))


if __name__ == "__main__":
    main()
