"""QRS detection and beat classes on MIT-BIH, lead 0: ours beside wfdb's and NeuroKit2's detectors, in interleaved rounds.

    python -m benchmarks.qrs [--data FOLDER] [--peers xqrs,gqrs,pantompkins,neurokit] [--records 100,101,...]

Every record is read by every detector before the next one, so that a busy machine slows all alike.  Times are CPU
seconds of the detector alone.  Scoring: ``benchmarks/ec57.py``.  DS1 tuned ours; DS2 and all 48 are what counts.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from benchmarks import ec57
from ecg import beats, qrs
from ecg.marks import BeatClass
from ecg.strip import Strip
from tests.ecgx import Record, packs
from tests.outside import ROOT

Index = npt.NDArray[np.int64]

_DS1: Final = "101 106 108 109 112 114 115 116 118 119 122 124 201 203 205 207 208 209 215 220 223 230"
_DS2: Final = "100 103 105 111 113 117 121 123 200 202 210 212 213 214 219 221 222 228 231 232 233 234"
"""The division of de Chazal 2004; the four records with paced beats are in neither."""
DS1: Final = frozenset(_DS1.split())
DS2: Final = frozenset(_DS2.split())
LETTER: Final = {
    BeatClass.NORMAL: "N",
    BeatClass.SUPRAVENTRICULAR: "S",
    BeatClass.VENTRICULAR: "V",
    BeatClass.FUSION: "F",
    BeatClass.PACED: "Q",
    BeatClass.UNKNOWN: "Q",
}


def ours(mv: npt.NDArray[np.float64], fs_hz: float) -> Index:
    return qrs.detect(mv[None], fs_hz)


def xqrs(mv: npt.NDArray[np.float64], fs_hz: float) -> Index:
    from wfdb import processing

    detector: Any = processing.XQRS(sig=mv, fs=fs_hz)
    detector.detect(verbose=False)
    return np.asarray(detector.qrs_inds, dtype=np.int64)


def gqrs(mv: npt.NDArray[np.float64], fs_hz: float) -> Index:
    from wfdb import processing

    return np.asarray(processing.gqrs_detect(sig=mv, fs=fs_hz), dtype=np.int64)


def _neurokit(method: str) -> Callable[[npt.NDArray[np.float64], float], Index]:
    def detect(mv: npt.NDArray[np.float64], fs_hz: float) -> Index:
        import neurokit2

        toolkit: Any = neurokit2
        clean = toolkit.ecg_clean(mv, sampling_rate=int(fs_hz), method=method)
        found = toolkit.ecg_findpeaks(clean, sampling_rate=int(fs_hz), method=method)["ECG_R_Peaks"]
        return np.asarray(found, dtype=np.int64)

    return detect


PEERS: Final = {
    "xqrs": xqrs,
    "gqrs": gqrs,
    "pantompkins": _neurokit("pantompkins1985"),
    "neurokit": _neurokit("neurokit"),
}


def references(folder: Path, all_records: list[Record]) -> dict[str, ec57.Reference]:
    table = pd.read_parquet(folder / "mitdb_ann.parquet")
    table["id"] = table["id"].astype(str)
    found: dict[str, ec57.Reference] = {}
    for record in all_records:
        its = table[table["id"] == record.id]
        found[record.id] = ec57.reference_of(its["sample"].tolist(), its["symbol"].tolist(), record.mv.shape[1])
    return found


def classes_of(record: Record, at: Index) -> str:
    mv = record.mv[:1]
    strip = Strip(("ch0",), mv, record.fs_hz, record.fs_hz, mv.shape[1], np.ones(mv.shape, dtype=bool))
    return "".join(LETTER[kind] for kind in beats.classify(strip, at).kinds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, default=ROOT / "ecg")
    parser.add_argument("--peers", default=",".join(PEERS))
    parser.add_argument("--records", default="")
    parser.add_argument("--hardest", type=int, default=10)
    options = parser.parse_args()
    wanted = set(options.records.split(",")) if options.records else None
    chosen = [record for record in packs(options.data, "mitdb_360hz") if wanted is None or record.id in wanted]
    truth = references(options.data, chosen)
    detectors = {"ours": ours} | {name: PEERS[name] for name in options.peers.split(",") if name}
    found: dict[str, dict[str, Index]] = {name: {} for name in detectors}
    seconds = dict.fromkeys(detectors, 0.0)
    ours(chosen[0].mv[0], chosen[0].fs_hz)  # what is loaded once is not timed
    for record in chosen:
        for name, detector in detectors.items():
            begun = time.process_time()
            found[name][record.id] = detector(record.mv[0], record.fs_hz)
            seconds[name] += time.process_time() - begun
    _print_detection(detectors, found, truth, seconds, chosen)
    _print_hardest(found["ours"], truth, chosen, options.hardest)
    _print_classes(found["ours"], truth, chosen)


def _sets(chosen: list[Record]) -> dict[str, list[str]]:
    ids = [record.id for record in chosen]
    return {"DS1": [i for i in ids if i in DS1], "DS2": [i for i in ids if i in DS2], "all": ids}


def _print_detection(
    detectors: Any,
    found: dict[str, dict[str, Index]],
    truth: dict[str, ec57.Reference],
    seconds: dict[str, float],
    chosen: list[Record],
) -> None:
    fs_hz = chosen[0].fs_hz
    minutes = sum(record.mv.shape[1] / record.fs_hz for record in chosen) / 60.0
    print("detector      set  rule        Se %    +P %    DER %  SD ms   beats   30-min records/s/core")
    for name in detectors:
        for group, ids in _sets(chosen).items():
            for rule, from_s in (("whole", 0.0), ("after 5 min", ec57.LEARNING_S)):
                s = ec57.total(ec57.score(truth[i], found[name][i], fs_hz, from_s=from_s) for i in ids)
                speed = f"{minutes / 30.0 / seconds[name]:8.2f}" if group == "all" else ""
                print(
                    f"{name:13s} {group:4s} {rule:11s} {s.sensitivity:6.2f}  {s.predictivity:6.2f}  {s.error_rate:6.3f}"
                    f"  {s.sd_ms:5.1f}  {s.beats:6d}  {speed}"
                )


def _print_hardest(found: dict[str, Index], truth: dict[str, ec57.Reference], chosen: list[Record], most: int) -> None:
    scores = {record.id: ec57.score(truth[record.id], found[record.id], record.fs_hz) for record in chosen}
    worst = sorted(scores.items(), key=lambda item: -(item[1].missed + item[1].extra))[:most]
    print("ours, hardest (missed/extra):", " ".join(f"{i} {s.missed}/{s.extra}" for i, s in worst))


def _print_classes(found: dict[str, Index], truth: dict[str, ec57.Reference], chosen: list[Record]) -> None:
    begun = time.process_time()
    said = {record.id: classes_of(record, found[record.id]) for record in chosen}
    each_ms = 1000.0 * (time.process_time() - begun) / len(chosen)
    print(f"classes, ours ({each_ms:.0f} ms a 30-min record): set, VEB Se/+P (n), SVEB Se/+P (n)")
    for group, ids in _sets(chosen).items():
        s = ec57.total(ec57.score(truth[i], found[i], chosen[0].fs_hz, said[i]) for i in ids)
        veb, sveb = s.of_class("V", ignored="FQ"), s.of_class("S", ignored="Q")
        print(f"  {group:4s} {veb[0]:5.1f}/{veb[1]:5.1f} ({veb[2]})   {sveb[0]:5.1f}/{sveb[1]:5.1f} ({sveb[2]})")
        table = s.confusion
        for row in (*ec57.CLASSES, ec57.MISSED):
            cells = "  ".join(f"{column}:{table.get((row, column), 0):6d}" for column in (*ec57.CLASSES, ec57.MISSED))
            print(f"       {row} -> {cells}")


if __name__ == "__main__":
    main()
