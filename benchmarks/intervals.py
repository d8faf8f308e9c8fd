"""Intervals and amplitudes against IEC 60601-2-25: made records whose truth is exact, and LUDB's hand marks.

    python benchmarks/intervals.py [--ludb FOLDER]

Made records: every one of ``CAL`` and ``ANE`` (tests/makers/exact_ecg.py), mean and SD of the difference, ms, and of
amplitudes; then the shift of each interval under the standard's noises.  LUDB: global intervals of 140 records.  A
lead's boundary is the middle of its hand marks over the beats, against the beat's middle; the global one is the third
earliest onset and the third latest end of the leads, so that two slips do not set it (--rank 0 takes the outermost).
"""

from __future__ import annotations

import argparse
import platform
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from center.reads import SignalInput
from ecg import engine
from ecg.marks import Mark, Measurements
from ecg.quality import assess
from ecg.signal import STANDARD_LEADS, derived_limb_leads
from ecg.strip import strip_of
from tests.ecgx import Record, packs
from tests.makers.exact_ecg import ANE, CAL, IEC_NOISES, NO_NOISE, Noise, Spec, make
from tests.outside import ROOT

INTERVALS = {"P": "p_duration", "PQ": "pr_interval", "QRS": "qrs_duration", "QT": "qt_interval"}
BIOLOGICAL = {"P": (10, 15), "PQ": (10, 10), "QRS": (10, 10), "QT": (25, 30)}
CALIBRATION = {"P": (10, 8), "PQ": (10, 8), "QRS": (6, 5), "QT": (12, 10)}
WAVES = {"Q": "q_duration", "R": "r_duration", "S": "s_duration"}
AMPLITUDES = ("p_amplitude", "q_amplitude", "r_amplitude", "s_amplitude", "t_amplitude", "st_j", "st_j80")


def measured(recording: SignalInput) -> Measurements:
    strip = strip_of(recording)
    return engine.analyse(strip, assess(strip.mv, strip.leads, strip.fs_hz)).measurements


def made(
    noise: Noise = NO_NOISE,
) -> Iterator[tuple[str, Spec, Measurements, dict[str, float], dict[str, dict[str, float]]]]:
    for name, spec in {**CAL, **ANE}.items():
        recording, truth = make(spec, noise=noise)
        yield name, spec, measured(recording), truth.values, truth.by_lead


def line(name: str, off: list[float], limits: tuple[float, float], unit: str = "ms") -> str:
    if not off:
        return f"  {name:14s} none"
    mean, sd = float(np.mean(off)), float(np.std(off))
    ok = abs(mean) <= limits[0] and sd <= limits[1]
    reach = abs(mean) <= limits[0] / 2 and sd <= limits[1] / 2
    return (
        f"  {name:14s} {mean:7.1f} +- {sd:5.1f} {unit}   must {limits[0]:g}/{limits[1]:g}: {'yes' if ok else 'NO'}"
        f"   half: {'yes' if reach else 'no'}   n {len(off)}"
    )


def on_made_records() -> dict[tuple[str, str], float]:
    print(f"made records, clean: {len(CAL)} CAL + {len(ANE)} ANE")
    quiet: dict[tuple[str, str], float] = {}
    apart: dict[str, list[float]] = {key: [] for key in (*INTERVALS, *WAVES)}
    missing: dict[str, int] = dict.fromkeys(INTERVALS, 0)
    invented = 0
    amplitude: dict[str, list[tuple[float, float]]] = {key: [] for key in AMPLITUDES}
    for name, _, found, values, by_lead in made():
        for short, key in INTERVALS.items():
            got = found.get(key)
            if key in values and got is not None:
                apart[short].append(got - values[key])
                quiet[name, short] = got
            elif key in values:
                missing[short] += 1
            elif got is not None:
                invented += 1
        for lead, true in by_lead.items():
            for short, key in WAVES.items():
                got = found.get(key, lead)
                if true.get(f"{short.lower()}_amplitude", 0.0) >= 0.05 and got is not None:
                    apart[short].append(got - true[key])
            for key in AMPLITUDES:
                got = found.get(key, lead)
                if key in true and got is not None and (abs(true[key]) >= 0.02 or key.startswith("st")):
                    amplitude[key].append((true[key], got))
    for short in INTERVALS:
        print(line(short, apart[short], CALIBRATION[short]), f"  not measured {missing[short]}")
    for short in WAVES:
        print(line(f"{short} by lead", apart[short], (6, 5)))
    print(f"  intervals told where there is no such wave: {invented}")
    for key, pairs in amplitude.items():
        true, got = np.array(pairs).T
        limit = np.maximum(0.025, 0.05 * np.abs(true))
        within = float(np.mean(np.abs(got - true) <= limit))
        print(
            f"  {key:14s} {1000 * np.mean(got - true):7.1f} +- {1000 * np.std(got - true):5.1f} uV   within 25 uV or 5 %: {100 * within:.1f} %   n {true.size}"
        )
    return quiet


def under_noise(quiet: dict[tuple[str, str], float]) -> None:
    for label, noise in IEC_NOISES.items():
        print(f"made records under {label}: shift from the clean record, ms")
        shifts: dict[str, list[float]] = {short: [] for short in INTERVALS}
        for name, _, found, _, _ in made(noise):
            for short, key in INTERVALS.items():
                got = found.get(key)
                if got is not None and (name, short) in quiet:
                    shifts[short].append(got - quiet[name, short])
        for short in INTERVALS:
            print(line(short, shifts[short], CALIBRATION[short]))


# ------------------------------------------------------------------------------------------------ LUDB


def as_input(record: Record) -> SignalInput:
    rows = dict(zip(record.leads, record.mv, strict=True))
    rows |= derived_limb_leads(rows["I"], rows["II"])
    return SignalInput(
        np.stack([rows[name] for name in STANDARD_LEADS]).astype(np.float32), STANDARD_LEADS, record.fs_hz
    )


def hand_marks(waves: pd.DataFrame) -> np.ndarray:
    """[lead, beat, 9] samples against the beat's middle (of the leads' QRS peaks); beats that six leads have."""
    waves = waves.assign(on=waves.on.where(waves.on >= 0), off=waves.off.where(waves.off >= 0))
    qrs = waves[waves.wave == "QRS"].sort_values("peak")
    groups: list[list[float]] = []
    for peak in qrs.peak:
        if groups and peak - groups[-1][0] <= 70:
            groups[-1].append(peak)
        else:
            groups.append([peak])
    middle = np.array([np.median(group) for group in groups if len(group) >= 6])
    leads = sorted(waves.lead.unique())
    out = np.full((len(leads), middle.size, 9), np.nan)
    for row in waves.itertuples():
        beat, first = _belongs(str(row.wave), float(row.peak), middle)
        if beat is not None:
            out[leads.index(row.lead), beat, first : first + 3] = row.on, row.peak, row.off
    return out - middle[None, :, None]


def _belongs(wave: str, peak: float, middle: np.ndarray) -> tuple[int | None, int]:
    if not middle.size:
        return None, 0
    if wave == "QRS":
        beat = int(np.argmin(np.abs(middle - peak)))
        return (beat if abs(middle[beat] - peak) < 60 else None), Mark.QRS_ON
    after = int(np.searchsorted(middle, peak))
    if wave == "T":
        return (after - 1 if after and peak - middle[after - 1] < 400 else None), Mark.T_ON
    return (after if after < middle.size and middle[after] - peak < 250 else None), Mark.P_ON


def global_intervals(marks: np.ndarray, rank: int) -> dict[str, float]:
    """ms, of the leads' middle marks; NaN where fewer than four leads have the wave."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a lead without that wave: NaN is what is wanted
        middle = np.nanmedian(marks, axis=1)

    def end(mark: Mark, pick: Callable[[np.ndarray], np.ndarray]) -> float:
        there = middle[np.isfinite(middle[:, mark]), mark]
        return float(pick(np.sort(there))[rank]) if there.size > max(3, rank) else np.nan

    p_on, p_off = end(Mark.P_ON, np.asarray), end(Mark.P_OFF, lambda x: x[::-1])
    on, off, t_off = (
        end(Mark.QRS_ON, np.asarray),
        end(Mark.QRS_OFF, lambda x: x[::-1]),
        end(Mark.T_OFF, lambda x: x[::-1]),
    )
    return {"P": 2 * (p_off - p_on), "PQ": 2 * (on - p_on), "QRS": 2 * (off - on), "QT": 2 * (t_off - on)}


def on_ludb(folder: Path, rank: int) -> None:
    waves = pd.read_parquet(folder / "ludb_waves.parquet")
    apart: dict[str, list[float]] = {short: [] for short in INTERVALS}
    missed, invented = dict.fromkeys(INTERVALS, 0), dict.fromkeys(INTERVALS, 0)
    records, spent = 0, 0.0
    for record in packs(folder, "ludb"):
        true = global_intervals(hand_marks(waves[waves.id == int(record.id)]), rank)
        begun = time.process_time()
        found = measured(as_input(record))
        spent += time.process_time() - begun
        records += 1
        for short, key in INTERVALS.items():
            got = found.get(key)
            if np.isfinite(true[short]) and got is not None:
                apart[short].append(got - true[short])
            missed[short] += int(np.isfinite(true[short]) and got is None)
            invented[short] += int(not np.isfinite(true[short]) and got is not None)
    print(
        f"LUDB, {records} records, global intervals, ours less hand marks (rank {rank}); {1000 * spent / records:.0f} ms a record"
    )
    for short in INTERVALS:
        print(
            line(short, apart[short], BIOLOGICAL[short]), f"  not measured {missed[short]}, invented {invented[short]}"
        )


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--ludb", type=Path, default=ROOT / "ecg")
    asked.add_argument("--rank", type=int, default=2)
    asked.add_argument("--only", choices=("made", "ludb"))
    given = asked.parse_args()
    print(f"python {platform.python_version()}, numpy {np.__version__}, {platform.machine()}")
    if given.only != "ludb":
        under_noise(on_made_records())
    if given.only != "made" and given.ludb.exists():
        on_ludb(given.ludb, given.rank)


if __name__ == "__main__":
    main()
