"""A folder of models -> those that may serve, and why the others may not. A model that differs by a byte stays out.

At load every file is held against its sha256 in ``manifest.json`` and the golden films against their kept answers.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from center.reads import Code, Reason
from inference.device import Array, Device, Network
from inference.gate import Label, Limits, View
from inference.preparing import prepared, reduced

MANIFEST: Final = "manifest.json"
WEIGHTS: Final = "models/model.safetensors"
GOLDEN_TOLERANCE: Final = 1e-3  # of a probability; what differing processors' rounding stays far below
_WAYS: Final = ((0.0, 0.0, 1.0, 1.0), (0.0, 0.0, 0.96, 0.96), (0.04, 0.04, 1.0, 1.0))  # top, left, bottom, right
_IGNORED: Final = ("__pycache__", ".DS_Store")


class Spoiled(Exception):
    """A model folder that must not serve; ``reason`` says why, for administrators."""

    def __init__(self, code: str, zh: str, en: str) -> None:
        super().__init__(en)
        self.reason = Reason(code, zh, en)


@dataclass(frozen=True, slots=True)
class Refused:
    """A model that stays out; the center goes on without it."""

    name: str
    reason: Reason


@dataclass(frozen=True, slots=True)
class Space:
    """Where features of proper films lie: means [source, 1280], axes [1280, k] scaled to unit spread, and what is left.

    A film's distance is to the nearest source's mean, 1 being a usual one's.
    """

    means: npt.NDArray[np.float32]
    axes: npt.NDArray[np.float32]
    basis: npt.NDArray[np.float32]
    rest: float

    def distance(self, features: npt.NDArray[np.float32]) -> float:
        away = features[None] - self.means
        inside = (away @ self.axes) ** 2
        rest = ((away - away @ self.basis @ self.basis.T) ** 2).sum(axis=1) / self.rest
        return float(np.sqrt((inside.mean(axis=1) + rest) / 2).min())


@dataclass(frozen=True, slots=True)
class FilmModel:
    """A film model that passed its checks, ready to look. ``digest``: sha256 hex of its manifest."""

    name: str
    version: str
    digest: str
    labels: tuple[Label, ...]
    limits: Limits
    outputs: tuple[str, ...]
    network: Network
    space: Space

    def view(self, pixels: npt.NDArray[np.float32]) -> View:
        """What the network says of one film, seen whole and cut two ways; depends on this film alone."""
        logits, features = self.network(ways(pixels))
        wanted = [self.outputs.index(label.key) for label in self.labels]
        gate = logits[:, self.outputs.index("frontal_chest")].mean()
        return View(
            tuple(tuple(float(row[index]) for index in wanted) for row in logits),
            float(1 / (1 + np.exp(-gate))),
            self.space.distance(features[0]),
        )

    def scores(self, pixels: npt.NDArray[np.float32]) -> dict[str, float]:
        """Calibrated probability of every finding, and the gate's score and distance, whatever the age; for checks."""
        view = self.view(pixels)
        means = [float(np.mean(column)) for column in zip(*view.logits, strict=True)]
        found = {label.key: label.probability(mean) for label, mean in zip(self.labels, means, strict=True)}
        return found | {"frontal_chest": view.chest, "distance": view.distance}


@dataclass(frozen=True, slots=True)
class Registry:
    """The models that serve, by name, and those that were refused."""

    films: Mapping[str, FilmModel]
    refused: tuple[Refused, ...]


def ways(pixels: npt.NDArray[np.float32]) -> Array:
    """float32 [3, 1, 128, 128]: the film whole, and without 4 % of its lower right and upper left edges."""
    pixels = reduced(pixels)
    rows, columns = pixels.shape
    return np.stack(
        [
            prepared(pixels[round(top * rows) : round(bottom * rows), round(left * columns) : round(right * columns)])
            for top, left, bottom, right in _WAYS
        ]
    )


def load_models(folder: Path, device: Device) -> Registry:
    """Every model under ``folder`` (``models/``) that can be trusted; never raises for a bad one."""
    films: dict[str, FilmModel] = {}
    refused: list[Refused] = []
    for path in sorted(p for p in folder.iterdir() if (p / MANIFEST).is_file()):
        try:
            manifest = _manifest(path)
            if manifest.get("kind") == "film":
                films[path.name] = load_film_model(path, device)
        except Spoiled as spoiled:
            refused.append(Refused(path.name, spoiled.reason))
    return Registry(films, tuple(refused))


def load_film_model(folder: Path, device: Device) -> FilmModel:
    """The model in this folder, its digests and golden answers checked.  Raises Spoiled."""
    manifest = _manifest(folder)
    _check_digests(folder, manifest)
    try:
        model = _assembled(folder, manifest, device)
    except (KeyError, TypeError, ValueError) as error:
        raise _spoiled(
            "manifest_invalid", manifest, "清单或权重与程序不符", "manifest or weights do not fit"
        ) from error
    _check_golden(folder, manifest, model)
    return model


def _manifest(folder: Path) -> dict[str, Any]:  # parsed JSON
    try:
        manifest = json.loads((folder / MANIFEST).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise _spoiled(
            "manifest_invalid", {"name": folder.name}, "清单无法读取", "its manifest cannot be read"
        ) from error
    if not isinstance(manifest, dict):
        raise _spoiled("manifest_invalid", {"name": folder.name}, "清单无法读取", "its manifest cannot be read")
    return manifest


def files_of(folder: Path) -> dict[str, str]:
    """sha256 hex of every file of a model's folder but the manifest itself, by path."""
    paths = sorted(p for p in folder.rglob("*") if p.is_file() and not any(part in _IGNORED for part in p.parts))
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in paths
        if path.name != MANIFEST
    }


def _check_digests(folder: Path, manifest: dict[str, Any]) -> None:
    listed: dict[str, str] = manifest.get("files", {})
    for name, digest in listed.items():
        path = folder / name
        if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != digest:
            raise _spoiled(
                "digest_differs", manifest, f"文件 {name} 缺失或被改动", f"its file {name} is missing or was changed"
            )
    if WEIGHTS not in listed:
        raise _spoiled("manifest_invalid", manifest, "清单未列出权重", "its manifest does not name the weights")


def _assembled(folder: Path, manifest: dict[str, Any], device: Device) -> FilmModel:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        tensors = load_file(folder / WEIGHTS)
    except SafetensorError as error:
        raise ValueError("not safetensors") from error
    gate = manifest["gate"]
    means, axes, basis = (tensors.pop(f"gate.{name}").astype(np.float32) for name in ("means", "axes", "basis"))
    space = Space(means, axes, basis, float(gate["rest"]))
    outputs = tuple(str(name) for name in manifest["outputs"])
    return FilmModel(
        name=str(manifest["name"]),
        version=str(manifest["version"]),
        digest=hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest(),
        labels=tuple(_label(entry) for entry in manifest["labels"]),
        limits=Limits(float(gate["least_chest"]), float(gate["most_distance"]), float(gate["most_spread"])),
        outputs=outputs,
        network=device.film_network(tensors, outputs),
        space=space,
    )


def _label(entry: dict[str, Any]) -> Label:
    return Label(
        key=str(entry["key"]),
        zh=str(entry["zh"]),
        en=str(entry["en"]),
        codes=tuple(Code(str(c["value"]), str(c["scheme"]), str(c["meaning"])) for c in entry["codes"]),
        age_from=float(entry["age_from"]),
        age_below=float(entry["age_below"]),
        threshold=float(entry["threshold"]),
        band=float(entry["band"]),
        slope=float(entry["slope"]),
        intercept=float(entry["intercept"]),
    )


def _check_golden(folder: Path, manifest: dict[str, Any], model: FilmModel) -> None:
    golden: dict[str, dict[str, float]] = manifest.get("golden", {})
    if not golden:
        raise _spoiled("golden_differs", manifest, "没有标准影像", "it has no golden films")
    for name, expected in golden.items():
        try:
            with Image.open(folder / "golden" / name) as picture:
                pixels = np.asarray(picture.convert("L"), dtype=np.float32) / np.float32(255)
        except OSError as error:
            raise _spoiled(
                "golden_differs", manifest, f"标准影像 {name} 无法读取", f"golden film {name} is unreadable"
            ) from error
        scores = model.scores(pixels)
        if any(not abs(scores[key] - value) <= GOLDEN_TOLERANCE for key, value in expected.items()):
            raise _spoiled(
                "golden_differs", manifest, f"标准影像 {name} 的结果不符", f"golden film {name} reads differently"
            )


def _spoiled(code: str, manifest: Mapping[str, Any], zh: str, en: str) -> Spoiled:
    name = manifest.get("name", "?")
    return Spoiled(code, f"模型 {name} 未启用：{zh}。", f"Model {name} stays out: {en}.")
