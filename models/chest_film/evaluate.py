"""Trained weights -> the bundle with its figures; or the committed bundle -> its figures again.

    python models/chest_film/evaluate.py                        prints the card's figures from the committed weights
    python models/chest_film/evaluate.py --weights trained.pt   makes weights, calibration, thresholds, card, manifest
    python models/chest_film/evaluate.py --seal                 only writes the files' digests into the manifest again

Calibration, thresholds and the gate's limits come from the tuning patients; the held-out patients are looked at once,
for the report. Every film goes through the code that reads films in the center, from the packs' own pictures.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy.optimize import minimize

HERE: Final = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]

import films  # noqa: E402
from card import card_text  # noqa: E402

from center.reads import Reason  # noqa: E402
from inference import gate  # noqa: E402
from inference.device import Device  # noqa: E402
from inference.preparing import prepared, resampled  # noqa: E402
from inference.registry import FilmModel, files_of, load_film_model  # noqa: E402
from portal.demo_films import Flaw, Sign, make_film  # noqa: E402

Numbers = npt.NDArray[np.float64]

VERSION: Final = "1.0.0"
SEED: Final = 20240614
RESAMPLES: Final = 2000
KEPT: Final = (*films.FINDINGS, films.GATE)
AXES: Final = 64
ALTERED_AT_MOST: Final = 120  # of a pack's held-out films, seeded; altering all seven ways takes long
PACK_OF: Final = {"pneumonia": "kermany", "tuberculosis": "shenzhen", "effusion": "nih", "cardiomegaly": "nih"}
BAND: Final = 0.4  # log odds: within a factor of 1.5 of the threshold's odds nothing is called
MOST_SPREAD: Final = 0.15
#: Rare findings: so many of the films without them must stay below the threshold, or the flag means little.
LEAST_SPECIFICITY: Final = {"effusion": 0.9, "cardiomegaly": 0.9}
LABELS: Final = {
    "pneumonia": ("肺炎", "Pneumonia", "233604007", "Pneumonia", 1, 6),
    "tuberculosis": ("肺结核", "Pulmonary tuberculosis", "154283005", "Pulmonary tuberculosis", 15, 120),
    "effusion": ("胸腔积液", "Pleural effusion", "60046008", "Pleural effusion", 15, 120),
    "cardiomegaly": ("心影增大", "Cardiomegaly", "8186001", "Cardiomegaly", 15, 120),
}


@dataclass(frozen=True, slots=True)
class Seen:
    """Films of one set as the model saw them: mean logit of every finding, gate score, distance, spread of each."""

    rows: list[films.Row]
    logits: Numbers  # [film, way, finding]
    chest: Numbers
    distance: Numbers

    def of(self, finding: str) -> Numbers:
        return self.logits.mean(axis=1)[:, films.FINDINGS.index(finding)]

    def truth(self, finding: str) -> Numbers:
        return np.array([r.targets.get(finding, np.nan) for r in self.rows])

    @property
    def patients(self) -> list[str]:
        return [f"{r.pack}:{r.patient}" for r in self.rows]


def seen(model: FilmModel, rows: list[films.Row], pixels: list[films.Gray]) -> Seen:
    views = [model.view(film) for film in pixels]
    return Seen(
        rows,
        np.array([view.logits for view in views], dtype=np.float64),
        np.array([view.chest for view in views]),
        np.array([view.distance for view in views]),
    )


def of_rows(view: Seen, rows: list[films.Row]) -> Seen:
    """The part of what was seen that belongs to these rows."""
    taken = [view.rows.index(row) for row in rows]
    return Seen(rows, view.logits[taken], view.chest[taken], view.distance[taken])


# --- statistics ------------------------------------------------------------------------------------------------------


def auc(truth: Numbers, score: Numbers) -> float:
    """Area under the curve by ranks, ties halved; NaN where one side is empty."""
    positive = truth > 0.5
    count = int(positive.sum()), int((~positive).sum())
    if 0 in count:
        return float("nan")
    _, inverse, counts = np.unique(score, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    return float((ranks[positive].sum() - count[0] * (count[0] + 1) / 2) / (count[0] * count[1]))


def bootstrapped(patients: Sequence[str], figure: Callable[[npt.NDArray[np.intp]], float]) -> tuple[float, float]:
    """95 % interval of a figure over films, patients drawn with replacement."""
    chance = np.random.default_rng(SEED)
    names, owner = np.unique(patients, return_inverse=True)
    order = np.argsort(owner, kind="stable")
    parts = np.split(order, np.cumsum(np.bincount(owner))[:-1])
    values = [
        figure(np.concatenate([parts[i] for i in chance.integers(0, len(names), len(names))])) for _ in range(RESAMPLES)
    ]
    low, high = np.nanpercentile(values, (2.5, 97.5))
    return round(float(low), 3), round(float(high), 3)


def auc_with_interval(truth: Numbers, score: Numbers, patients: Sequence[str]) -> dict[str, Any]:
    interval = bootstrapped(patients, lambda taken: auc(truth[taken], score[taken]))
    return {"auc": round(auc(truth, score), 3), "ci95": interval, "n": len(truth), "positive": int(truth.sum())}


def wilson(hits: int, count: int) -> dict[str, Any]:
    """A share with its 95 % Wilson interval."""
    if count == 0:
        return {"share": None, "ci95": None, "n": 0}
    z, p = 1.96, hits / count
    middle, half = p + z * z / (2 * count), z * float(np.sqrt(p * (1 - p) / count + z * z / (4 * count * count)))
    scale = 1 + z * z / count
    return {
        "share": round(p, 3),
        "ci95": (round(max((middle - half) / scale, 0), 3), round(min((middle + half) / scale, 1), 3)),
        "n": count,
    }


def calibration_error(truth: Numbers, chance: Numbers, bins: int = 15) -> float:
    """Expected calibration error over bins of equal mass."""
    parts = np.array_split(np.argsort(chance, kind="stable"), bins)
    return float(sum(abs(truth[p].mean() - chance[p].mean()) * len(p) for p in parts if len(p)) / len(truth))


def platt(truth: Numbers, logit: Numbers) -> tuple[float, float]:
    """(slope, intercept) of a logistic curve through the logits; targets as Platt 1999 shrinks them."""
    positive, negative = truth.sum(), len(truth) - truth.sum()
    target = np.where(truth > 0.5, (positive + 1) / (positive + 2), 1 / (negative + 2))

    def loss(at: Numbers) -> float:
        z = at[0] * logit + at[1]
        return float((np.logaddexp(0, z) - target * z).mean())

    slope, intercept = minimize(loss, np.array([1.0, 0.0]), method="BFGS").x
    return round(float(slope), 5), round(float(intercept), 5)


def best_threshold(truth: Numbers, chance: Numbers, least_specificity: float = 0.0) -> float:
    """Where sensitivity plus specificity is greatest on the tuning films (Youden 1950), between two films' scores.

    Among those thresholds only that keep the specificity asked for.
    """
    scores = np.unique(chance)
    cuts = (scores[1:] + scores[:-1]) / 2
    specific = np.array([(chance[truth < 0.5] < cut).mean() for cut in cuts])
    gain = np.array([(chance[truth > 0.5] >= cut).mean() for cut in cuts]) + specific
    gain[specific < least_specificity] = -1
    best = np.flatnonzero(gain >= gain.max() - 1e-9)
    return round(float(cuts[best[len(best) // 2]]), 4)


# --- the thumbnail that cannot see disease ------------------------------------------------------------------------


def thumbnails(pixels: list[films.Gray]) -> Numbers:
    return np.array([resampled(prepared(film)[0], 16, 16).ravel() for film in pixels], dtype=np.float64)


def linear(x: Numbers, y: Numbers, ridge: float) -> Callable[[Numbers], Numbers]:
    """Logistic regression with a ridge, on standardised pixels."""
    mean, spread = x.mean(axis=0), x.std(axis=0) + 1e-6
    z = np.c_[(x - mean) / spread, np.ones(len(x))]
    mask = np.r_[np.ones(x.shape[1]), 0]

    def loss(w: Numbers) -> tuple[float, Numbers]:
        out = z @ w
        slope = z.T @ (1 / (1 + np.exp(-out)) - y) / len(y) + ridge * mask * w
        return float((np.logaddexp(0, out) - y * out).mean() + ridge / 2 * (mask * w * w).sum()), slope

    weights = minimize(loss, np.zeros(z.shape[1]), jac=True, method="L-BFGS-B").x
    return lambda other: np.c_[(other - mean) / spread, np.ones(len(other))] @ weights


def thumbnail_scores(train: Numbers, tune: Numbers, test: Numbers, y: dict[str, Numbers]) -> Numbers:
    """The best of four ridges by the tuning patients, on the held-out ones."""
    fits = [linear(train, y["train"], ridge) for ridge in (0.003, 0.03, 0.3, 3.0)]
    return max(fits, key=lambda fit: auc(y["tune"], fit(tune)))(test)


# --- making the bundle --------------------------------------------------------------------------------------------


def kept_weights(path: Path) -> dict[str, npt.NDArray[np.floating]]:
    """The trained tensors that a reading needs: helpers' outputs dropped; large ones in half precision."""
    import torch

    wanted = [films.OUTPUTS.index(name) for name in KEPT]
    out: dict[str, npt.NDArray[np.floating]] = {}
    for name, tensor in torch.load(path, weights_only=True).items():
        if "num_batches" in name:
            continue
        values = tensor[wanted] if name.startswith("head.") else tensor
        out[name] = values.numpy().astype(np.float16 if values.ndim > 1 else np.float32)
    return out


def space_of(features: list[Numbers]) -> dict[str, npt.NDArray[np.float32]]:
    """Means of each source, shared axes scaled to unit spread, their basis, and the spread of what is left."""
    means = np.array([part.mean(axis=0) for part in features])
    away = np.concatenate([part - mean for part, mean in zip(features, means, strict=True)])
    _, spread, basis = np.linalg.svd(away, full_matrices=False)
    basis = basis[:AXES].T
    axes = basis / (spread[:AXES] / np.sqrt(len(away)))
    rest = ((away - away @ basis @ basis.T) ** 2).sum(axis=1).mean()
    return {
        k: np.asarray(v, np.float32) for k, v in (("means", means), ("axes", axes), ("basis", basis), ("rest", rest))
    }


def made(weights: Path, folder: Path) -> None:
    """The bundle's weights and manifest, calibrated on the tuning patients."""
    from safetensors.numpy import save_file

    tensors, device = kept_weights(weights), Device.chosen("cpu")
    network = device.film_network(tensors, KEPT)
    rows = {pack: films.rows_of(pack, folder) for pack in films.PACKS}
    features = []
    for pack in ("kermany", "shenzhen", "nih"):
        train = sampled([r for r in rows[pack] if r.split == "train"], 400)
        squares = films.films_of(train, folder)
        features.append(np.concatenate([network(prepared(film)[None])[1] for film in squares]).astype(np.float64))
        print("features of", pack, len(train), flush=True)
    space = space_of(features)
    (HERE / "models").mkdir(exist_ok=True)
    kept = {f"gate.{name}": space[name].astype(np.float16) for name in ("axes", "basis")}
    save_file(tensors | kept | {"gate.means": space["means"]}, HERE / "models/model.safetensors")
    manifest = {
        "name": "chest_film",
        "version": VERSION,
        "kind": "film",
        "state": "assist",
        "preparing": "inference.preparing.prepared",
        "outputs": list(KEPT),
        "labels": [label_entry(key, 0.5, 1.0, 0.0) for key in films.FINDINGS],
        "gate": {"least_chest": 0.5, "most_distance": 1e9, "most_spread": MOST_SPREAD, "rest": float(space["rest"])},
        "memory_mb": 400,
        "max_batch": 1,
        "timeout_s": 30,
        "packs": {pack: hashlib.sha256((folder / f"{pack}.zip").read_bytes()).hexdigest() for pack in films.PACKS},
        "splits": {pack: split_counts(rows[pack]) for pack in films.PACKS},
    }
    manifest["golden"] = golden_films()
    calibrated(manifest, rows, folder, device)
    write(manifest)


def label_entry(key: str, threshold: float, slope: float, intercept: float) -> dict[str, Any]:
    zh, en, code, meaning, age_from, age_below = LABELS[key]
    return {
        "key": key,
        "zh": zh,
        "en": en,
        "codes": [{"value": code, "scheme": "SCT", "meaning": meaning}],
        "age_from": age_from,
        "age_below": age_below,
        "threshold": threshold,
        "band": BAND,
        "slope": slope,
        "intercept": intercept,
    }


def split_counts(rows: list[films.Row]) -> dict[str, dict[str, int]]:
    return {
        split: {"films": len(part), "patients": len({r.patient for r in part})}
        for split in ("train", "tune", "test")
        if (part := [r for r in rows if r.split == split])
    }


def calibrated(manifest: dict[str, Any], rows: dict[str, list[films.Row]], folder: Path, device: Device) -> None:
    """Fills in calibration, thresholds and the gate's limits, from tuning patients only."""
    write(manifest, golden=False)
    model = load_film_model(HERE, device)
    tune = {p: [r for r in rows[p] if r.split == "tune"] for p in ("kermany", "shenzhen", "nih")}
    views = {pack: seen(model, part, films.films_of(part, folder)) for pack, part in tune.items()}
    entries = []
    for key in films.FINDINGS:
        view = views[PACK_OF[key]]
        slope, intercept = platt(view.truth(key), view.of(key))
        chance = 1 / (1 + np.exp(-(slope * view.of(key) + intercept)))
        threshold = best_threshold(view.truth(key), chance, LEAST_SPECIFICITY.get(key, 0.0))
        entries.append(label_entry(key, threshold, slope, intercept))
        print(key, "tune AUC", round(auc(view.truth(key), chance), 3), entries[-1]["threshold"], slope, flush=True)
    manifest["labels"] = entries
    chest = np.concatenate([view.chest for view in views.values()])
    distance = np.concatenate([view.distance for view in views.values()])
    wrong = wrong_scores(model, rows["parts"], [r for part in tune.values() for r in part], folder)
    middle = (log_odds(float(np.percentile(chest, 0.5))) + log_odds(float(np.percentile(wrong, 99.5)))) / 2
    print("tune: chest", np.percentile(chest, (0, 1, 50)), "others", np.percentile(wrong, (50, 99, 100)), flush=True)
    manifest["gate"]["least_chest"] = round(1 / (1 + float(np.exp(-middle))), 3)
    # a quarter beyond: another detector lies a little further out than the sources that were trained on
    manifest["gate"]["most_distance"] = round(1.25 * float(np.percentile(distance, 99.5)), 3)


def log_odds(chance: float) -> float:
    return float(np.log(chance / (1 - chance)))


def wrong_scores(model: FilmModel, parts: list[films.Row], proper: list[films.Row], folder: Path) -> Numbers:
    """Gate scores of the tuning share's other parts of the body, and of its films turned and inverted."""
    others = films.films_of([r for r in parts if r.split == "tune" and r.label != "CXR"], folder)
    views = [model.view(resampled(film, films.SIDE, films.SIDE)) for film in others]
    chosen = films.films_of(sampled(proper, 60), folder)
    views += [model.view(WRONG[how](film)) for how in ("inverted", "a quarter turn", "upside down") for film in chosen]
    return np.array([view.chest for view in views])


def golden_films() -> dict[str, dict[str, float]]:
    """Our own generator's films, written as pictures; their answers come when the manifest is written."""
    (HERE / "golden").mkdir(exist_ok=True)
    chosen = {
        "adult.png": make_film(1, rows=256, columns=256),
        "child.png": make_film(2, rows=256, columns=224, child=True, signs=frozenset({Sign.OPACITY})),
        "effusion.png": make_film(3, rows=256, columns=256, signs=frozenset({Sign.EFFUSION})),
        "inverted.png": make_film(4, rows=256, columns=256, flaw=Flaw.INVERTED),
    }
    for name, film in chosen.items():
        Image.fromarray(films.as_bytes(film)).save(HERE / "golden" / name, optimize=True)
    return {name: {} for name in chosen}


def write(manifest: dict[str, Any], *, golden: bool = True) -> None:
    """The manifest, with digests of all files and, where asked, the golden films' answers."""
    manifest["files"] = files_of(HERE)
    text = json.dumps(manifest, ensure_ascii=False, indent=1) + "\n"
    (HERE / "manifest.json").write_text(text, "utf-8")
    if not golden:
        return
    for name in manifest["golden"]:
        manifest["golden"][name] = {}
    (HERE / "manifest.json").write_text(json.dumps(manifest, ensure_ascii=False, indent=1) + "\n", "utf-8")
    model = load_film_model(HERE, Device.chosen("cpu"))
    for name in manifest["golden"]:
        with Image.open(HERE / "golden" / name) as picture:
            scores = model.scores(np.asarray(picture.convert("L"), dtype=np.float32) / 255)
        manifest["golden"][name] = {key: round(value, 6) for key, value in scores.items() if key != "distance"}
    (HERE / "manifest.json").write_text(json.dumps(manifest, ensure_ascii=False, indent=1) + "\n", "utf-8")


# --- the report ---------------------------------------------------------------------------------------------------


def sampled(rows: list[films.Row], most: int) -> list[films.Row]:
    """At most so many, seeded, in their order."""
    if len(rows) <= most:
        return rows
    taken = np.sort(np.random.default_rng(SEED).choice(len(rows), most, replace=False))
    return [rows[i] for i in taken]


def report(model: FilmModel, folder: Path) -> dict[str, Any]:
    """Every figure of the card, on held-out patients."""
    out: dict[str, Any] = {"seed": SEED, "resamples": RESAMPLES, "findings": {}, "altered_at_most": ALTERED_AT_MOST}
    held: dict[str, Seen] = {}
    changed: dict[str, dict[str, Seen]] = {}
    small: dict[str, dict[str, Numbers]] = {}
    known: dict[str, dict[str, list[films.Row]]] = {}
    began, count = perf_counter(), 0
    for pack in ("kermany", "shenzhen", "nih"):
        rows = films.rows_of(pack, folder)
        known[pack] = {split: [r for r in rows if r.split == split] for split in ("train", "tune", "test")}
        small[pack] = {split: thumbnails(films.films_of(part, folder)) for split, part in known[pack].items()}
        part = known[pack]["test"]
        pixels = films.films_of(part, folder)
        started = perf_counter()
        held[pack] = seen(model, part, pixels)
        out.setdefault("ms_per_film", {})[pack] = round(1000 * (perf_counter() - started) / len(part), 1)
        fewer = sampled(part, ALTERED_AT_MOST)
        originals = films.films_of(fewer, folder)
        changed[pack] = {"as sent": of_rows(held[pack], fewer)} | {
            how: seen(model, fewer, [films.altered(film, how) for film in originals]) for how in films.ALTERATIONS
        }
        count += len(part) + 7 * len(fewer)
        print(f"{pack}: {count} films, {perf_counter() - began:.0f} s", flush=True)
    for label in model.labels:
        pack = PACK_OF[label.key]
        out["findings"][label.key] = {
            "pack": pack,
            **one_finding(label, held[pack], small[pack], known[pack]),
            "altered": {how: altered_figures(label, changed[pack], how) for how in films.ALTERATIONS},
        }
    out["gate"] = gate_figures(model, held, folder)
    out["abstained"] = abstentions(model, held)
    return out


def one_finding(
    label: gate.Label, view: Seen, small: dict[str, Numbers], known: dict[str, list[films.Row]]
) -> dict[str, Any]:
    truth, logit = view.truth(label.key), view.of(label.key)
    chance = np.array([label.probability(value) for value in logit])
    y = {split: np.array([r.targets[label.key] for r in part]) for split, part in known.items()}
    thumb = thumbnail_scores(small["train"], small["tune"], small["test"], y)
    gain = bootstrapped(view.patients, lambda t: auc(truth[t], chance[t]) - auc(truth[t], thumb[t]))
    called = [str(gate.decided(label, value)) for value in chance]
    positive = truth > 0.5
    over = chance >= label.threshold
    certain = np.array([word != "uncertain" for word in called])
    out: dict[str, Any] = {
        "held_out": auc_with_interval(truth, chance, view.patients),
        "patients": len(set(view.patients)),
        "thumbnail": auc_with_interval(truth, thumb, view.patients),
        "gain_over_thumbnail_ci95": gain,
        "ece": round(calibration_error(truth, chance), 3),
        "brier": round(float(((chance - truth) ** 2).mean()), 3),
        "brier_of_prevalence": round(float(((y["train"].mean() - truth) ** 2).mean()), 3),
        "threshold": label.threshold,
        "sensitivity": wilson(int((over & positive).sum()), int(positive.sum())),
        "specificity": wilson(int((~over & ~positive).sum()), int((~positive).sum())),
        "uncertain": wilson(int((~certain).sum()), len(certain)),
        "sensitivity_when_called": wilson(int((over & positive & certain).sum()), int((positive & certain).sum())),
        "specificity_when_called": wilson(int((~over & ~positive & certain).sum()), int((~positive & certain).sum())),
        "apart": {},
    }
    parts = {"AP": lambda r: r.view == "AP", "PA": lambda r: r.view == "PA"}
    if known["test"][0].pack == "nih":
        for name, fits in parts.items():
            taken = np.array([fits(r) for r in view.rows])
            names = [p for p, t in zip(view.patients, taken, strict=True) if t]
            out["apart"][name] = auc_with_interval(truth[taken], chance[taken], names)
    return out


def altered_figures(label: gate.Label, changed: dict[str, Seen], how: str) -> dict[str, Any]:
    before, after = changed["as sent"], changed[how]
    truth = before.truth(label.key)
    first = np.array([label.probability(v) for v in before.of(label.key)])
    second = np.array([label.probability(v) for v in after.of(label.key)])
    return {
        **auc_with_interval(truth, second, after.patients),
        "auc_as_sent": round(auc(truth, first), 3),
        "moved_under_0.10": round(float((np.abs(first - second) < 0.1).mean()), 3),
    }


def gate_figures(model: FilmModel, held: dict[str, Seen], folder: Path) -> dict[str, Any]:
    """How often proper films and other pictures are refused by the pixels alone (tags as of a proper film)."""

    def refused(view: Seen, taken: npt.NDArray[np.bool_] | None = None) -> dict[str, Any]:
        no = ~((view.chest >= model.limits.least_chest) & (view.distance <= model.limits.most_distance))
        no = no if taken is None else no[taken]
        return wilson(int(no.sum()), len(no))

    out: dict[str, Any] = {f"proper films refused: {pack}": refused(view) for pack, view in held.items()}
    part = [r for r in films.rows_of("parts", folder) if r.split == "test"]
    others = seen(model, part, [resampled(film, 128, 128) for film in films.films_of(part, folder)])
    for label in sorted({r.label for r in part}):
        taken = np.array([r.label == label for r in part])
        name = (
            "proper films of a 64 px source refused (parts, CXR)" if label == "CXR" else f"other parts refused: {label}"
        )
        out[name] = refused(others, taken)
    taken = np.array([r.label != "CXR" for r in part])
    out["other parts refused: all"] = refused(others, taken)
    rows = films.rows_of("ieee", folder)
    out["proper films of a source never trained on refused (ieee)"] = refused(
        seen(model, rows, films.films_of(rows, folder))
    )
    part = sampled(held["nih"].rows + held["shenzhen"].rows + held["kermany"].rows, 120)
    pixels = films.films_of(part, folder)
    for name, change in WRONG.items():
        out[f"held-out films, {name}, refused"] = refused(seen(model, part, [change(film) for film in pixels]))
    return out


WRONG: Final[dict[str, Callable[[films.Gray], films.Gray]]] = {
    "inverted": lambda film: 1 - film,
    "a quarter turn": lambda film: np.ascontiguousarray(np.rot90(film)),
    "upside down": lambda film: np.ascontiguousarray(film[::-1]),
    "one upper quarter only": lambda film: film[: len(film) // 2, : film.shape[1] // 2],
}


def abstentions(model: FilmModel, held: dict[str, Seen]) -> dict[str, Any]:
    """Share of held-out films with no read at all, at an age in range, by reason."""
    out: dict[str, Any] = {}
    for pack, age in (("kermany", 3.0), ("shenzhen", 40.0), ("nih", 50.0)):
        view, reasons = held[pack], dict[str, int]()
        asked = [label for label in model.labels if label.age_from <= age < label.age_below]
        for logits, chest, distance in zip(view.logits, view.chest, view.distance, strict=True):
            by_label = {key: column.tolist() for key, column in zip(films.FINDINGS, logits.T, strict=True)}
            answer = gate.refused_by_view(gate.View((), chest, distance), model.limits)
            answer = answer or gate.found(asked, by_label, model.limits)
            if isinstance(answer, Reason):
                reasons[answer.code] = reasons.get(answer.code, 0) + 1
        out[pack] = wilson(sum(reasons.values()), len(view.rows)) | {"reasons": reasons}
    return out


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--weights", type=Path)
    asked.add_argument("--seal", action="store_true")
    args = asked.parse_args()
    folder = films.data_folder()
    if args.seal:
        write(json.loads((HERE / "manifest.json").read_text("utf-8")))
        return
    if args.weights:
        made(args.weights, folder)
    model = load_film_model(HERE, Device.chosen("cpu"))
    figures = report(model, folder)
    manifest = json.loads((HERE / "manifest.json").read_text("utf-8"))
    if args.weights:
        manifest["metrics"] = json.loads(json.dumps(figures))
        (HERE / "docs/README.md").write_text(card_text(manifest), "utf-8")
        write(manifest)
    print(card_text(manifest | {"metrics": json.loads(json.dumps(figures))}))


if __name__ == "__main__":
    main()
