"""Critical tiers end to end: made recordings on both sides of every limit, and PTB-XL folds 9-10.

    python -m benchmarks.critical            made cases (goal: Se >= 97 %, PPV >= 60 %; reach 99 / 80)
    python -m benchmarks.critical --ptbxl    PTB-XL folds 9 and 10, 100 Hz (fold 10 is never tuned on)

A made case's truth is computed from what was made (exact waves, times of beats), never from what the engine measured.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from center.reads import SignalInput
from ecg import engine
from ecg.critical import Tier
from ecg.diagnose_st import elevation_limit_mv
from ecg.diagnose_view import NEIGHBOURS
from ecg.marks import BeatClass, Mark
from ecg.signal import STANDARD_LEADS, derived_limb_leads
from tests.ecgx import packs
from tests.makers import exact_ecg as exact
from tests.makers.rhythms import RhythmTruth, make_rhythm

NOISES: Final = {
    "clean": exact.NO_NOISE,
    "hf 25 uV": exact.HF_NOISE,
    "50 Hz": exact.MAINS_50,
    "wander": replace(exact.WANDER, wander_mv=0.5),
}


@dataclass(frozen=True, slots=True)
class Case:
    """expected: the tier by the national rules of 2017; rule: the rule that is at its limit here, or ``none``."""

    name: str
    rule: str
    expected: Tier
    recording: SignalInput


def cases() -> Iterator[Case]:
    """Every made case, in order."""
    for family in (
        _infarcts,
        _look_alikes,
        _slow,
        _pauses,
        _edge_pauses,
        _fast_above,
        _fast_below,
        _preexcited,
        _long_qt,
        _chaos,
        _alternans,
        _early_beats,
        _patterns,
        _other_rhythms,
        _artefacts,
    ):
        yield from family()


# ------------------------------------------------------------------------------------------------ form


def _spec(name: str, levels: dict[str, float], *, sex: str = "M", age: float = 60.0) -> exact.Spec:
    leads = exact.normal_leads()
    for lead, level in levels.items():
        tall = (max(0.35, 1.6 * level),) if level > 0 else leads[lead].t
        leads[lead] = replace(leads[lead], st_j=level, t=tall)
    return exact.Spec(name, exact.Shape(leads), rr_ms=(820.0,), sex=sex, age_years=age)


def _is_injured(truth: exact.Truth, age: float, sex: str) -> bool:
    """Two neighbouring leads at their limit, as the true J levels are told (hundredths of a millivolt)."""
    beyond = {
        lead
        for lead in STANDARD_LEADS
        if lead != "aVR"
        and round(truth.by_lead[lead]["st_j"], 2) >= elevation_limit_mv(lead, age, {"M": True, "F": False}[sex])
    }
    return any(beyond.issuperset(pair) for pair in NEIGHBOURS)


def _infarcts() -> Iterator[Case]:
    """Injuries of four territories at heights around the limits."""
    for noise_name, noise in NOISES.items():
        for mv in (0.06, 0.08, 0.09, 0.10, 0.11, 0.13, 0.20, 0.35):
            shapes = {
                "inferior": {"II": mv, "I": -0.04},
                "lateral": {"I": mv, "V5": mv, "V6": mv},
                "anterior": {"V2": 2 * mv, "V3": 2 * mv, "V4": mv},
                "septal": {"V1": mv, "V2": 2 * mv, "V3": 2 * mv},
            }
            for place, levels in shapes.items():
                spec = _spec(f"st {place} {mv:.2f} mV {noise_name}", levels)
                recording, truth = exact.make(spec, noise=noise)
                red = _is_injured(truth, 60.0, "M")
                yield Case(spec.name, "acute_mi", Tier.RED if red else Tier.GREEN, recording)


def _look_alikes() -> Iterator[Case]:
    """Elevations that are no injury: early repolarization, pericarditis, a large ventricle, blocks, an old aneurysm."""
    rising = {"I": 0.08, "II": 0.12, "V4": 0.16, "V5": 0.14, "V6": 0.12}
    early = exact.normal_leads()
    for lead, mv in rising.items():
        early[lead] = replace(early[lead], st_j=mv, st_slope=1.2, t=(0.85,))
    everywhere = exact.normal_leads()
    for lead in ("I", "II", "V2", "V3", "V4", "V5", "V6"):
        everywhere[lead] = replace(everywhere[lead], st_j=0.22 if lead in ("V2", "V3") else 0.15, t=(0.4,))
    scar = exact.normal_leads()
    for lead, depth in (("V1", 1.1), ("V2", 1.6), ("V3", 1.4), ("V4", 0.9)):
        scar[lead] = exact.Lead(p=(0.08,), qrs=((0.5, -depth),), st_j=0.22, t=(0.26,))
    shapes = {
        "early repolarization": exact.Spec("early", exact.Shape(early), rr_ms=(900.0,), age_years=25.0),
        "pericarditis": exact.Spec("pericarditis", exact.Shape(everywhere), rr_ms=(700.0,), age_years=35.0),
        "aneurysm": exact.Spec("aneurysm", exact.Shape(scar), rr_ms=(850.0,), age_years=70.0),
        **{name: exact.ANE[name] for name in ("lbbb", "rbbb", "lvh_strain", "wpw", "right_paced", "inferior_q")},
        **{name: exact.ANE[name] for name in ("anterior_q", "rvh", "flat_t", "low_voltage", "left_axis", "brugada")},
    }
    for noise_name, noise in NOISES.items():
        for name, spec in shapes.items():
            yield Case(f"{name} {noise_name}", "none", Tier.YELLOW, exact.make(spec, noise=noise)[0])
        for spec in (
            exact.NORMAL,
            replace(exact.NORMAL, sex="F", age_years=30.0),
            replace(exact.NORMAL, age_years=8.0),
        ):
            name = f"normal {spec.sex} {spec.age_years} {noise_name}"
            yield Case(name, "none", Tier.GREEN, exact.make(spec, noise=noise)[0])


def _long_qt() -> Iterator[Case]:
    for noise_name, noise in NOISES.items():
        for rate in (55, 75):
            for qtc in (480, 520, 540, 544, 556, 560, 590, 640):
                qt = qtc * (60.0 / rate) ** (1 / 3)
                shape = replace(exact.NORMAL.shape, qt_ms=qt, st_ms=max(60.0, qt - 330.0))
                spec = exact.Spec(f"qtc {qtc} rate {rate} {noise_name}", shape, rr_ms=(60000.0 / rate,))
                tier = Tier.RED if qtc >= 550 else Tier.YELLOW
                yield Case(spec.name, "qtc_550", tier, exact.make(spec, noise=noise)[0])


def _patterns() -> Iterator[Case]:
    """Patterns that are orange without a laboratory."""
    tall = {n: replace(of, t=(1.3,) if n.startswith("V") else (0.75,)) for n, of in exact.normal_leads().items()}
    for noise_name, noise in NOISES.items():
        shape = exact.Shape(tall, pr_ms=230.0, qrs_ms=126.0, qt_ms=360.0, st_ms=90.0)
        spec = exact.Spec(f"tented t {noise_name}", shape, rr_ms=(800.0,))
        yield Case(spec.name, "hyperkalemia", Tier.ORANGE, exact.make(spec, noise=noise)[0])
        leads = exact.normal_leads()
        leads["I"] = exact.lead(0.03, 0.5, 0.4, p=0.08, t=0.15)
        leads["II"] = exact.lead(0.25, 0.7, 0.1, p=0.12, t=-0.05)
        for n, mv in (("V1", -0.25), ("V2", -0.3), ("V3", -0.25)):
            leads[n] = replace(leads[n], t=(mv,))
        strained = exact.Shape(leads, qt_ms=320.0, st_ms=50.0, pr_ms=130.0, p_ms=85.0)
        spec = exact.Spec(f"s1q3t3 {noise_name}", strained, rr_ms=(520.0,))
        yield Case(spec.name, "pulmonary_embolism", Tier.ORANGE, exact.make(spec, noise=noise)[0])


# ------------------------------------------------------------------------------------------------ rhythm, exact times


def _slow() -> Iterator[Case]:
    for noise_name, noise in NOISES.items():
        for rate in (28, 31, 33, 34, 35, 36, 37, 39, 42, 48):
            spec = exact.Spec(f"rate {rate} {noise_name}", exact.NORMAL.shape, rr_ms=(60000.0 / rate,))
            tier = Tier.RED if rate <= 35 else Tier.GREEN
            yield Case(spec.name, "bradycardia", tier, exact.make(spec, noise=noise, seconds=12.0)[0])


def _pauses() -> Iterator[Case]:
    """Never without noise: a line of exact zeros is a recorder's gap, not a heart's."""
    quiet = {"clean": replace(exact.HF_NOISE, hf_rms_mv=0.006)}
    for noise_name, noise in (NOISES | quiet).items():
        for pause in (2.2, 2.8, 2.98, 3.02, 3.4, 4.9, 4.98, 5.02, 5.6):
            rr = (800.0, 800.0, 800.0, pause * 1000, *(800.0,) * 20)
            spec = exact.Spec(f"pause {pause} s {noise_name}", exact.NORMAL.shape, rr_ms=rr)
            tier = Tier.RED if pause >= 5.0 else Tier.ORANGE if pause >= 3.0 else Tier.YELLOW
            yield Case(spec.name, "pause", tier, exact.make(spec, noise=noise, seconds=14.0)[0])


def _edge_pauses() -> Iterator[Case]:
    """Beats that stop before the strip's end: asystole of unknown length."""
    for seed in range(8):
        yield Case(f"asystole {seed}", "pause", Tier.RED, make_rhythm("asystole", seed)[0])


def _early_beats() -> Iterator[Case]:
    """A ventricular beat upon the T wave before it (coupling shorter than the QT interval), or after it."""
    for noise_name, noise in NOISES.items():
        for coupling in (300.0, 330.0, 350.0, 520.0, 560.0, 600.0):
            spec = replace(exact.NORMAL, rr_ms=(1000.0,))
            spec = exact.with_premature(spec, (3, 7), coupling_ms=coupling)
            name = f"coupling {coupling:g} ms {noise_name}"
            tier = Tier.RED if coupling < exact.NORMAL.shape.qt_ms - 30 else Tier.YELLOW
            yield Case(name, "r_on_t", tier, exact.make(spec, noise=noise)[0])


def _preexcited() -> Iterator[Case]:
    """Fibrillation over an accessory pathway: the same wide beat, no P, the shortest interval at its limit."""
    wide = replace(exact.ANE["wpw"].shape, pr_ms=None, qt_ms=300.0, st_ms=30.0)
    for noise_name in ("clean", "hf 25 uV"):
        for shortest in (200.0, 220.0, 240.0, 246.0, 254.0, 262.0, 280.0, 300.0):
            others = (410.0, 330.0, 370.0, 300.0, 450.0, 320.0, 390.0, 340.0)
            rr = (others[0], others[1], shortest, *others[2:])
            spec = exact.Spec(f"af preexcited {shortest:g} {noise_name}", wide, rr_ms=rr, flicker_mv=0.06)
            tier = Tier.RED if shortest <= 250 else Tier.ORANGE
            yield Case(spec.name, "af_preexcited", tier, exact.make(spec, noise=NOISES[noise_name])[0])


# ------------------------------------------------------------------------------------------------ rhythm, by seed


def _true_rate(truth: RhythmTruth) -> float:
    return 60.0 / float(np.diff(truth.at_s).mean())


def _fast(kind: str, rule: str, rates: tuple[float, ...], red_from: float, below: Tier) -> Iterator[Case]:
    for seed, rate in enumerate(rates):
        recording, truth = make_rhythm(kind, 100 + seed, rate=rate)
        tier = Tier.RED if round(_true_rate(truth)) >= red_from else below
        yield Case(f"{kind} {_true_rate(truth):.1f}/min", rule, tier, recording)


def _fast_above() -> Iterator[Case]:
    rates = (160.0, 175.0, 190.0, 195.0, 198.0, 199.0, 200.0, 201.0, 203.0, 206.0, 212.0, 220.0, 232.0, 240.0)
    yield from _fast("svt", "svt_fast", rates, 200, Tier.ORANGE)
    yield from _fast("aflutter_2to1", "svt_fast", (130.0, 140.0, 155.0), 200, Tier.YELLOW)


def _fast_below() -> Iterator[Case]:
    rates = (122.0, 130.0, 140.0, 145.0, 148.0, 149.0, 150.0, 151.0, 153.0, 156.0, 165.0, 175.0, 190.0, 205.0)
    yield from _fast("vt", "vt_sustained", rates, 150, Tier.ORANGE)


def _chaos() -> Iterator[Case]:
    for kind in ("vf", "vf_fine", "v_flutter", "torsades", "vt_poly", "vf_onset"):
        rule = "vt_poly" if kind in ("torsades", "vt_poly") else "vf"
        for seed in range(6):
            yield Case(f"{kind} {seed}", rule, Tier.RED, make_rhythm(kind, seed)[0])


def _alternans() -> Iterator[Case]:
    for seed in range(6):
        yield Case(f"t_alternans {seed}", "t_alternans", Tier.RED, make_rhythm("t_alternans", seed)[0])


def _other_rhythms() -> Iterator[Case]:
    """Rhythms that are not red, however striking; those that are by their rate are left to the other families."""
    kinds = (
        *("sinus", "sinus_tachy", "sinus_arrhythmia", "sinus_rbbb", "sinus_lbbb", "sinus_avb1", "sa_block_2"),
        *("pac", "pac_aberrant", "pac_blocked", "pvc", "couplet", "bigeminy", "trigeminy", "fusion", "afib"),
        *("afib_pvc", "aflutter_4to1", "atrial_rhythm", "junctional_rhythm", "mobitz1", "paced_v", "paced_dual"),
    )
    for kind in kinds:
        for seed in range(4):
            recording, truth = make_rhythm(kind, 200 + seed)
            longest = float(np.diff(truth.at_s).max())
            if 36 <= _true_rate(truth) < 190 and longest < 2.9 and not _has_r_on_t(truth):
                yield Case(f"{kind} {seed}", "none", Tier.YELLOW, recording)


def _has_r_on_t(truth: RhythmTruth) -> bool:
    """Whether a ventricular beat begins before the T wave before it ends, within 40 ms of it."""
    ends, begins = truth.marks_s[:-1, Mark.T_OFF], truth.marks_s[1:, Mark.QRS_ON]
    is_v = np.array([kind is BeatClass.VENTRICULAR for kind in truth.kinds[1:]], dtype=bool)
    return bool((is_v & (begins < ends + 0.04)).any())


def _artefacts() -> Iterator[Case]:
    for artefact in ("muscle", "movement", "compressions", "mains", "wander", "taps"):
        for seed in range(5):
            recording = make_rhythm("sinus", 300 + seed, artefact=artefact)[0]
            yield Case(f"sinus with {artefact} {seed}", "none", Tier.YELLOW, recording)
    for seed in range(5):
        gone = make_rhythm("sinus", 320 + seed, dropout_s=((4.0, 7.5),))[0]
        yield Case(f"sinus, dropout of 3.5 s {seed}", "none", Tier.YELLOW, gone)
        flat = make_rhythm("sinus", 340 + seed, leads_off=("V1", "V2", "V3"))[0]
        yield Case(f"sinus, leads off {seed}", "none", Tier.YELLOW, flat)


# ------------------------------------------------------------------------------------------------ counting


@dataclass(slots=True)
class Count:
    hit: int = 0
    missed: int = 0
    false: int = 0
    right: int = 0

    def add(self, expected: bool, found: bool) -> None:
        self.hit += expected and found
        self.missed += expected and not found
        self.false += found and not expected
        self.right += not (expected or found)

    def line(self) -> str:
        def share(part: int, whole: int) -> str:
            return f"{100 * part / whole:5.1f}" if whole else "  -  "

        n = self.hit + self.missed
        return (
            f"n={n + self.false + self.right:4d} true={n:4d}  Se {share(self.hit, n)} %  "
            f"Sp {share(self.right, self.right + self.false)} %  PPV {share(self.hit, self.hit + self.false)} %"
        )


_URGENT: Final = (Tier.RED, Tier.ORANGE)


def score_made(rules: tuple[str, ...], verbose: bool) -> None:
    """Prints Se, Sp, PPV of the red tier (and of red or orange), by rule and over all made cases (of these rules)."""
    red: dict[str, Count] = defaultdict(Count)
    urgent = Count()
    for case in cases():
        if rules and case.rule not in rules:
            continue
        read = engine.read(case.recording)
        tier = read.critical.tier
        for rule in (case.rule, "all"):
            red[rule].add(case.expected is Tier.RED, tier is Tier.RED)
        urgent.add(case.expected in _URGENT, tier in _URGENT)
        if verbose and ((tier is Tier.RED) != (case.expected is Tier.RED)):
            fired = ", ".join(f"{f.id}:{f.tier}:{f.certainty:.2f}" for f in read.critical.rules[:3])
            keys = " ".join(s.key for s in read.statements)
            print(f"  {case.name}: expected {case.expected}, is {tier}  [{fired}]  {keys}")
    for rule, count in sorted(red.items(), key=lambda one: one[0] == "all"):
        print(f"red {rule:20} {count.line()}")
    print(f"red or orange         {urgent.line()}")


_INJURY: Final = frozenset({"INJAS", "INJAL", "INJIN", "INJLA", "INJIL"})
_ISCHEMIA: Final = frozenset({"ISCAL", "ISCIN", "ISCIL", "ISCAS", "ISCLA", "ISCAN", "ISC_"})


def _is_critical(row: dict[str, object], rate: float | None) -> tuple[bool, bool]:
    """What PTB-XL's labels support: (red, at least orange).

    Red: injury (INJ*), an infarct of stage I or I-II, third-degree block or sinus bradycardia at <= 35/min, SVT at
    >= 200/min (rates by the engine, as the labels have none).  Orange at least: those, third-degree block at all,
    SVT, ischaemia (ISC*: old or new, the labels do not tell).
    """
    codes = set(json.loads(str(row["scp_codes"])))
    stage = {str(row["infarction_stadium1"]), str(row["infarction_stadium2"])}
    acute = bool(codes & _INJURY) or bool(stage & {"Stadium I", "Stadium I-II"})
    slow = rate is not None and round(rate) <= 35
    fast = rate is not None and round(rate) >= 200 and bool(codes & {"SVTAC", "PSVT"})
    red = acute or slow or fast
    return red, red or bool(codes & ({"3AVB", "SVTAC", "PSVT"} | _ISCHEMIA))


def score_ptbxl(folder: Path, folds: tuple[int, ...], verbose: bool) -> None:
    """Prints the tiers of PTB-XL's folds against what the labels support."""
    import pyarrow.parquet as pq

    rows = {str(r["ecg_id"]): r for r in pq.read_table(folder / "ptbxl_meta.parquet").to_pylist()}
    red: dict[int, Count] = defaultdict(Count)
    urgent: dict[int, Count] = defaultdict(Count)
    tiers: dict[int, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    by_rule: dict[str, Count] = defaultdict(Count)
    for record in packs(folder, "ptbxl"):
        row = rows[record.id]
        if row["strat_fold"] not in folds:
            continue
        leads = dict(zip(record.leads, record.mv, strict=True))
        leads |= derived_limb_leads(leads["I"], leads["II"])
        signal = np.stack([leads[name] for name in STANDARD_LEADS]).astype(np.float32)
        sex = {0: "M", 1: "F"}.get(row["sex"], "")
        read = engine.read(SignalInput(signal, STANDARD_LEADS, record.fs_hz, row["age"], sex))
        is_red, is_urgent = _is_critical(row, read.measurements.get("heart_rate"))
        tier, fold = read.critical.tier, row["strat_fold"]
        red[fold].add(is_red, tier is Tier.RED)
        urgent[fold].add(is_urgent, tier in _URGENT)
        tiers[fold][tier.value] += 1
        for fired in read.critical.rules:
            if fired.tier is Tier.RED:
                by_rule[fired.id].add(is_red, True)
        if verbose and is_red != (tier is Tier.RED):
            print(
                record.id,
                "labelled red" if is_red else "called red",
                row["scp_codes"],
                [f.id for f in read.critical.rules],
            )
    for fold in folds:
        print(f"fold {fold}: red {red[fold].line()}")
        print(f"fold {fold}: red or orange {urgent[fold].line()}; tiers {dict(tiers[fold])}")
    for rule, count in by_rule.items():
        print(f"  fired red by {rule}: {count.hit + count.false}, labelled so {count.hit}")


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--ptbxl", action="store_true", help="PTB-XL instead of made cases")
    asked.add_argument("--rules", nargs="*", default=[], help="only the made cases of these rules")
    asked.add_argument("--folds", type=int, nargs="+", default=[9, 10])
    asked.add_argument("--data", type=Path, default=Path("../shared/data/ecg"))
    asked.add_argument("--verbose", action="store_true", help="name each case that went wrong")
    options = asked.parse_args()
    if options.ptbxl:
        score_ptbxl(options.data, tuple(options.folds), options.verbose)
    else:
        score_made(tuple(options.rules), options.verbose)


if __name__ == "__main__":
    main()
