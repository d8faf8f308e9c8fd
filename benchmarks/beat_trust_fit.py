"""Fits ``ecg/beat_trust_weights.py``: what tells a ventricular beat from motion.

    python -m benchmarks.beat_trust_fit [--out ecg/beat_trust_weights.py]

Samples are the beats that ``beats.classify`` calls ventricular.  True ones: MIT-BIH DS1 (as recorded and with made
noise), made rhythms (12 leads, one lead, one lead with noise), made hand-held strips with premature beats.  False ones:
the same where no ventricular beat is, made noise, one-lead cuts of PTB-XL's normals of fold 6.  Never DS2, never the
folds 7 to 10.  Cross-validated by strip in fives; the figures are printed.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from benchmarks.alarms import DS1, normal_twelve
from center.reads import SignalInput
from ecg import beat_trust, beats, fibrillation, hum, qrs
from ecg.marks import BeatClass
from ecg.quality import Grade, assess
from ecg.strip import strip_of
from tests.ecgx import packs
from tests.makers.handheld import made_dirt, make_handheld, make_noise
from tests.makers.rhythms import make_rhythm
from tests.outside import ROOT

Samples = npt.NDArray[np.float64]

_NEAR_S: Final = 0.15
_HIDDEN: Final = 12
_STEPS: Final = 700
_SHRINK: Final = 2e-3
_KINDS: Final = (
    *(
        "pvc",
        "pvc_multiform",
        "pvc_r_on_t",
        "couplet",
        "bigeminy",
        "trigeminy",
        "vt_nonsustained",
        "torsades",
        "vt_poly",
    ),
    *("afib_pvc", "sinus", "sinus_rbbb", "pac_aberrant", "afib", "afib_lbbb"),
)
_WEIGHT: Final = {
    **{"handheld": 1.0, "handheld_pvc": 1.0, "noise": 0.3, "ds1": 1.5, "ds1_short": 1.5, "ds1_noisy": 0.7},
    **{"one": 0.7, "twelve": 0.7, "one_noisy": 0.5, "cut": 3.0, "cut_noisy": 1.5, "normal_twelve": 1.5},
}


@dataclass(frozen=True, slots=True)
class Source:
    """A strip, the ventricular beats that are in it, s, and what kind of strip it is."""

    recording: SignalInput
    ventricular_s: Samples
    group: str


def sources() -> Iterator[Source]:
    none = np.zeros(0)
    for seed in range(10_000, 10_260):
        yield Source(make_handheld(seed)[0], none, "handheld")
    for seed in range(11_000, 11_130):
        recording, truth = make_handheld(seed, pvcs=1 + seed % 5)
        yield Source(recording, truth.at_s[truth.is_v], "handheld_pvc")
    for seed in range(12_000, 12_060):
        yield Source(make_noise(seed), none, "noise")
    yield from _made()
    yield from _ds1()
    for n, (_, whole) in enumerate(normal_twelve((6,)), 1):
        if n % 3 == 0:
            one = _row(whole, (n // 3) % 2)
            yield Source(one, none, "cut")
            if n % 6 == 0:
                yield Source(_dirtied(one, n, float(np.random.default_rng(n).uniform(0, 0.6))), none, "cut_noisy")
            if n % 12 == 0:
                yield Source(whole, none, "normal_twelve")


def _made() -> Iterator[Source]:
    for kind in _KINDS:
        for seed in range(500, 505):
            recording, truth = make_rhythm(kind, seed)
            wide = [k in (BeatClass.VENTRICULAR, BeatClass.FUSION) for k in truth.kinds]
            one = _row(recording, (0, 1, 2, 7)[seed % 4])
            yield Source(recording, truth.at_s[wide], "twelve")
            yield Source(one, truth.at_s[wide], "one")
            yield Source(_dirtied(one, seed, (seed % 5) * 0.12), truth.at_s[wide], "one_noisy")


def _ds1() -> Iterator[Source]:
    marks = pd.read_parquet(ROOT / "ecg/mitdb_ann.parquet")
    marks["id"] = marks["id"].astype(str)
    for record in packs(ROOT / "ecg", "mitdb"):
        if record.id not in DS1:
            continue
        mine = marks[marks["id"] == record.id]
        at, symbols = np.asarray(mine["sample"]), np.asarray(mine["symbol"])
        for seconds, first_s, every, group in ((30, 0, 4, "ds1"), (10, 7, 15, "ds1_short")):
            step = int(seconds * record.fs_hz)
            starts = range(int(first_s * record.fs_hz), record.mv.shape[1] - step + 1, step * every)
            for n, start in enumerate(starts):
                piece = record.mv[:1, start : start + step].astype(np.float32)
                one = SignalInput(piece, record.leads[:1], record.fs_hz)
                inside = (at >= start) & (at < start + step) & np.isin(symbols, tuple("VE!Ff[]"))
                truth = (at[inside] - start) / record.fs_hz
                yield Source(one, truth, group)
                if group == "ds1" and n % 3 == 0:
                    dirt = float(np.random.default_rng(n).uniform(0, 0.6))
                    yield Source(_dirtied(one, int(record.id) * 100 + n, dirt), truth, "ds1_noisy")


def _row(whole: SignalInput, row: int) -> SignalInput:
    return SignalInput(whole.signal[row : row + 1], whole.leads[row : row + 1], whole.fs_hz, whole.age_years)


def _dirtied(recording: SignalInput, seed: int, dirt: float) -> SignalInput:
    """With made noise in proportion to how high its beats are."""
    seconds = recording.signal.shape[1] / recording.fs_hz
    mv = recording.signal.astype(np.float64)
    high = float(np.median([np.ptp(part) for part in np.array_split(mv[0], max(int(seconds), 1))]))
    added = made_dirt(np.random.default_rng((seed, 9)), dirt, seconds + 1, recording.fs_hz)
    dirty = mv + added[: mv.shape[1]] * max(high, 0.2)
    return SignalInput(dirty.astype(np.float32), recording.leads, recording.fs_hz, recording.age_years, recording.sex)


@dataclass(frozen=True, slots=True)
class Table:
    """signs [beat, sign], is_beat [beat], weight [beat], group and strip of each."""

    signs: Samples
    is_beat: Samples
    weight: Samples
    group: npt.NDArray[np.str_]
    strip: npt.NDArray[np.int64]


def table() -> Table:
    signs: list[Samples] = []
    is_beat: list[npt.NDArray[np.bool_]] = []
    groups: list[str] = []
    strips: list[int] = []
    for n, source in enumerate(sources()):
        strip = strip_of(source.recording)
        quality = assess(strip.mv, strip.leads, strip.fs_hz)
        if quality.grade is Grade.POOR:
            continue
        strip = hum.without_hum(strip)
        spans = fibrillation.spans(strip)
        at = fibrillation.outside(qrs.detect(strip.mv, strip.fs_hz, quality.usable), spans)
        found = beats.classify(strip, at)
        which = found.where(BeatClass.VENTRICULAR)
        if len(found) < 3 or not which.any():
            continue
        places = found.at[which] / strip.fs_hz
        truth = source.ventricular_s
        is_beat.append(np.array([bool(truth.size and np.abs(truth - t).min() <= _NEAR_S) for t in places]))
        signs.append(beat_trust.signs(strip, found)[which])
        groups += [source.group] * places.size
        strips += [n] * places.size
    weight = np.array([_WEIGHT[group] for group in groups])
    return Table(
        np.vstack(signs), np.concatenate(is_beat).astype(np.float64), weight, np.array(groups), np.array(strips)
    )


def fit(x: Samples, y: Samples, w: Samples, seed: int = 0) -> Any:
    """A network of one hidden layer (torch)."""
    import torch
    from torch import nn

    torch.manual_seed(seed)
    net = nn.Sequential(nn.Linear(x.shape[1], _HIDDEN), nn.Tanh(), nn.Linear(_HIDDEN, 1))
    there, wanted, weight = (torch.tensor(v, dtype=torch.float32) for v in (np.clip(x, -4, 4), y, w))
    steps = torch.optim.AdamW(net.parameters(), lr=0.02, weight_decay=10 * _SHRINK)
    for step in range(_STEPS):
        for group in steps.param_groups:
            group["lr"] = 0.02 * (1 - step / _STEPS)
        odds = net(there + 0.08 * torch.randn(there.shape))[:, 0]
        loss = (weight * nn.functional.binary_cross_entropy_with_logits(odds, wanted, reduction="none")).mean()
        loss = loss + _SHRINK / 20 * sum((p**2).sum() for p in net.parameters())
        steps.zero_grad()
        loss.backward()
        steps.step()
    return net


def chances(net: Any, x: Samples) -> Samples:
    import torch

    with torch.no_grad():
        return torch.sigmoid(net(torch.tensor(np.clip(x, -4, 4), dtype=torch.float32)))[:, 0].numpy().astype(np.float64)


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--out", type=Path)
    options = asked.parse_args()
    of = table()
    centre, scale = of.signs.mean(axis=0), of.signs.std(axis=0) + 1e-6
    scale[scale < 1e-3] = 1.0
    x, fold = (of.signs - centre) / scale, (of.strip * 7919) % 5
    held = np.zeros(of.is_beat.size)
    for k in range(5):
        held[fold == k] = chances(fit(x[fold != k], of.is_beat[fold != k], of.weight[fold != k]), x[fold == k])
    for group in _WEIGHT:
        real, false = ((of.group == group) & (of.is_beat == one) for one in (1, 0))
        kept = [
            f"{100 * float((held[some] >= 0.6).mean()):5.1f} % of {some.sum()}" if some.any() else "-"
            for some in (real, false)
        ]
        print(f"{group:14} beats kept {kept[0]:>18}  motion kept {kept[1]:>18}")
    if options.out:
        net = fit(x, of.is_beat, of.weight)
        options.out.write_text(_module(centre, scale, net), encoding="utf-8")


def _module(centre: Samples, scale: Samples, net: Any) -> str:
    def row(values: Any) -> str:
        return "(" + ", ".join(f"{float(v):.4g}" for v in values) + ")"

    head = (Path("ecg") / "beat_trust_weights.py").read_text(encoding="utf-8").split("CENTRE: Final")[0]
    hidden = "".join(f"    {row(r)},\n" for r in net[0].weight.detach().numpy())
    return (
        f"{head}CENTRE: Final = {row(centre)}\nSCALE: Final = {row(scale)}\nHIDDEN: Final = (\n{hidden})\n"
        f"HIDDEN_BIAS: Final = {row(net[0].bias.detach().numpy())}\nOUT: Final = {row(net[2].weight.detach().numpy()[0])}\n"
        f"OUT_BIAS: Final = {float(net[2].bias.detach()):.4g}\n"
    )


if __name__ == "__main__":
    main()
