"""The training packs -> films with labels, one row a film, split by patient; and the films altered in known ways.

Packs lie under ``HELAN_SHARED_DATA`` (cxr/kermany.zip, shenzhen.zip, nih.zip, parts.zip, ieee.zip). Each is a zip of
pictures and ``labels.csv``. The held-out patients are those that the packs name ``test``; of the others, a digest of
the patient's id says who trains and who tunes, so that adding films moves nobody.
"""

from __future__ import annotations

import csv
import hashlib
import io
import os
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage

from inference.preparing import SIDE, collimated, normalised, resampled

Gray = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]

PACKS: Final = ("kermany", "shenzhen", "nih", "parts", "ieee")
FINDINGS: Final = ("pneumonia", "tuberculosis", "effusion", "cardiomegaly")
GATE: Final = "frontal_chest"
HELPERS: Final = (
    "bacterial",
    "Infiltration",
    "Atelectasis",
    "Pneumonia",
    "No Finding",
    "Edema",
    "Consolidation",
    "Nodule",
    "Pneumothorax",
    "Emphysema",
    "Pleural_Thickening",
)  # learned beside, dropped from what is kept
OUTPUTS: Final = (*FINDINGS, GATE, *HELPERS)
TUNE_PERCENT: Final = 20
ADULT: Final = 15
CACHE_SIDE: Final = 160


@dataclass(frozen=True, slots=True)
class Row:
    """One picture: ``targets`` names what its own set can say about it; all else is masked."""

    pack: str
    id: str
    patient: str
    label: str
    view: str
    split: str
    targets: dict[str, float]


def data_folder() -> Path:
    return Path(os.environ.get("HELAN_SHARED_DATA", "../shared/data")) / "cxr"


def rows_of(pack: str, folder: Path) -> list[Row]:
    """Every picture of a pack but exact copies of another one, in the pack's order."""
    with zipfile.ZipFile(folder / f"{pack}.zip") as bag:
        table = list(csv.DictReader(io.StringIO(bag.read("labels.csv").decode())))
    rows = [
        Row(pack, r["id"], r["patient"] or r["id"], r["label"], r["view"], _split(pack, r), _targets(pack, r))
        for r in table
        if "duplicate" not in r["note"] and not (pack == "nih" and float(r["age"] or 0) < ADULT)
    ]
    return rows


def _split(pack: str, r: dict[str, str]) -> str:
    if r["split"] == "test":
        return "test"
    if pack not in ("shenzhen", "nih"):
        return "tune" if r["split"] == "val" else "train"
    digest = hashlib.sha256(f"{pack}:{r['patient']}".encode()).digest()
    return "tune" if int.from_bytes(digest[:4]) % 100 < TUNE_PERCENT else "train"


def _targets(pack: str, r: dict[str, str]) -> dict[str, float]:
    label = r["label"]
    if pack == "parts":
        return {GATE: float(label == "CXR")}
    out = {GATE: 1.0}
    if pack == "kermany":
        out["pneumonia"] = float(label != "normal")
        if label != "normal":
            out["bacterial"] = float(label == "bacterial_pneumonia")
    if pack == "shenzhen":
        out["tuberculosis"] = float(label == "tb")
    if pack == "nih":
        said = label.split("|")
        out |= {"effusion": float("Effusion" in said), "cardiomegaly": float("Cardiomegaly" in said)}
        out |= {name: float(name in said) for name in HELPERS if name != "bacterial"}
    return out


def films_of(rows: list[Row], folder: Path) -> list[Gray]:
    """The pictures as they lie in the pack: float32 [row, column], 0..1."""
    out: list[Gray] = []
    bags: dict[str, zipfile.ZipFile] = {}
    try:
        for row in rows:
            if row.pack not in bags:
                bags[row.pack] = zipfile.ZipFile(folder / f"{row.pack}.zip")
            bag = bags[row.pack]
            name = f"img/{row.id}.webp"
            data = bag.read(name if name in bag.NameToInfo else f"img/{row.id}.png")
            with Image.open(io.BytesIO(data)) as picture:
                out.append(np.asarray(picture.convert("L"), dtype=np.float32) / 255)
    finally:
        for bag in bags.values():
            bag.close()
    return out


def cached_squares(rows: list[Row], folder: Path) -> Bytes:
    """uint8 [film, 160, 160]: exposed part only, squashed to a square; what training alters and shrinks to 128."""
    squares = (resampled(collimated(film), CACHE_SIDE, CACHE_SIDE) for film in films_of(rows, folder))
    return np.stack([as_bytes(square) for square in squares])


def as_bytes(film: Gray) -> Bytes:
    return np.clip(film * 255 + 0.5, 0, 255).astype(np.uint8)


def jpeg(film: Gray, quality: int) -> Gray:
    """The film once through JPEG."""
    store = io.BytesIO()
    Image.fromarray(as_bytes(film)).save(store, "JPEG", quality=quality)
    with Image.open(store) as picture:
        return np.asarray(picture, dtype=np.float32) / 255


def turned(film: Gray, degrees: float) -> Gray:
    return ndimage.rotate(film, degrees, reshape=False, order=1, mode="constant", cval=float(film.min()))


def altered(film: Gray, how: str) -> Gray:
    """The film as another workplace might have sent it; ``how`` is one of ``ALTERATIONS``."""
    rows, columns = film.shape
    match how:
        case "gamma 0.7":
            return film**0.7
        case "gamma 1.4":
            return film**1.4
        case "turned 5 degrees":
            return turned(film, 5)
        case "cropped 5 %":
            return film[rows // 20 : rows - rows // 20, columns // 20 : columns - columns // 20]
        case "JPEG 60":
            return jpeg(film, 60)
        case "corners blanked":
            out, r, c = film.copy(), rows // 6, columns // 6
            for corner in (np.s_[:r, :c], np.s_[:r, -c:], np.s_[-r:, :c], np.s_[-r:, -c:]):
                out[corner] = 0
            return out
        case "black border 5 %":
            return np.pad(film, ((rows // 20, rows // 20), (columns // 20, columns // 20)))
        case _:
            raise ValueError(how)


ALTERATIONS: Final = (
    "gamma 0.7",
    "gamma 1.4",
    "turned 5 degrees",
    "cropped 5 %",
    "JPEG 60",
    "corners blanked",
    "black border 5 %",
)


def augmented(square: Bytes, chance: np.random.Generator) -> Gray:
    """A training view of a cached square: float32 [128, 128], 0..1, moved, re-exposed, blurred, marked, compressed."""
    film = _moved(square, chance)
    film = np.clip(film, 0, 1) ** float(np.exp(chance.uniform(-0.45, 0.45)))
    if chance.random() < 0.35:
        small = int(chance.integers(56, 112))
        film = resampled(resampled(film, small, small), *film.shape)
    if chance.random() < 0.3:
        film = film + chance.normal(0, chance.uniform(0.005, 0.04), film.shape).astype(np.float32)
    if chance.random() < 0.5:
        film = _marked(film, chance)
    if chance.random() < 0.3:
        film = jpeg(np.clip(film, 0, 1), int(chance.integers(35, 90)))
    return film.astype(np.float32)


def _moved(square: Bytes, chance: np.random.Generator) -> Gray:
    side, target = CACHE_SIDE, SIDE
    angle = np.deg2rad(chance.normal(0, 4))
    grow = np.exp(chance.uniform(-0.13, 0.07, 2)) if chance.random() < 0.9 else np.ones(2)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = turn @ np.diag(grow * side / target)
    offset = (side - 1) / 2 + chance.uniform(-0.05, 0.05, 2) * side - matrix @ np.full(2, (target - 1) / 2)
    film = square.astype(np.float32) / 255
    mode = "constant" if chance.random() < 0.5 else "nearest"
    return ndimage.affine_transform(film, matrix, offset, (target, target), order=1, mode=mode)


def _marked(film: Gray, chance: np.random.Generator) -> Gray:
    """Corners blanked or lettered, an edge left black: what a network must not read the hospital from."""
    out = film.copy()
    side = len(out)
    for _ in range(int(chance.integers(1, 4))):
        r, c = chance.integers(4, side // 5, 2)
        row = int(chance.choice([chance.integers(0, 8), side - r - chance.integers(0, 8)]))
        column = int(chance.choice([chance.integers(0, 8), side - c - chance.integers(0, 8)]))
        box = out[max(row, 0) : row + r, max(column, 0) : column + c]
        if chance.random() < 0.5:
            box[...] = chance.choice([0.0, 1.0, float(out.mean())])
        else:
            box[chance.random(box.shape) < 0.3] = 1.0
    if chance.random() < 0.2:
        width, quarter = int(chance.integers(1, 8)), int(chance.integers(4))
        np.rot90(out, quarter)[:width] = chance.choice([0.0, 1.0])
    return out


def not_a_film(square: Bytes, other: Bytes, chance: np.random.Generator) -> Gray:
    """float32 [128, 128], 0..1, that must not be read: films turned, inverted, cut up, or no film at all."""
    film = augmented(square, chance)
    match int(chance.integers(10)):
        case 0 | 1:
            return np.rot90(film, int(chance.integers(1, 4))).copy()
        case 2 | 3:
            return 1 - film
        case 4:
            return film[::-1].copy()
        case 5:
            size = int(chance.integers(40, 68))
            row, column = chance.integers(0, 128 - size, 2)
            return resampled(film[row : row + size, column : column + size], 128, 128)
        case 6:
            second = augmented(other, chance)
            halves = np.hstack([film[:, ::2], second[:, ::2]])
            return halves if chance.random() < 0.5 else np.vstack([film[::2], second[::2]])
        case 7:
            return _drawn(chance)
        case 8:
            return _page(chance)
        case _:
            rough = chance.random((128, 128))
            return _spread(ndimage.gaussian_filter(rough, chance.uniform(0, 25))) ** chance.uniform(0.5, 2)


def _spread(values: npt.NDArray[np.floating]) -> Gray:
    low, high = values.min(), values.max()
    return ((values - low) / max(high - low, 1e-9)).astype(np.float32)


def _drawn(chance: np.random.Generator) -> Gray:
    """Bright or dark limbs, rings and discs on a ground: no anatomy in particular."""
    y, x = np.mgrid[-1:1:128j, -1:1:128j]
    out = np.full((128, 128), chance.uniform(0, 0.3))
    for _ in range(int(chance.integers(1, 7))):
        angle, reach = chance.uniform(0, np.pi), chance.uniform(0.1, 0.9, 2)
        cx, cy = chance.uniform(-0.6, 0.6, 2)
        u = (x - cx) * np.cos(angle) + (y - cy) * np.sin(angle)
        v = (y - cy) * np.cos(angle) - (x - cx) * np.sin(angle)
        r = (u / reach[0]) ** 2 + (v / reach[1]) ** 2
        out += chance.uniform(-0.4, 1) * (r < 1) * (np.sqrt(np.maximum(1 - r, 0)) if chance.random() < 0.6 else 1)
        if chance.random() < 0.4:
            out += chance.uniform(0.2, 0.8) * (np.abs(r - 0.85) < 0.12)
    out = ndimage.gaussian_filter(out, chance.uniform(0.3, 3)) + chance.normal(0, 0.02, out.shape)
    return _spread(out)


def _page(chance: np.random.Generator) -> Gray:
    """Lines of marks, as a scanned sheet or a screen shows them."""
    out = np.ones((128, 128), dtype=np.float32)
    row = int(chance.integers(2, 10))
    while row < 124:
        height = int(chance.integers(1, 5))
        width = int(chance.integers(30, 120))
        marks = chance.random((height, width)) < 0.45
        out[row : row + height, 6 : 6 + width][marks[: 128 - row, :122]] = chance.uniform(0, 0.4)
        row += height + int(chance.integers(1, 6))
    return 1 - out if chance.random() < 0.4 else out


def network_view(film: Gray) -> Gray:
    """[1, 128, 128]: the last step of ``inference.preparing.prepared``, for squares that were already cut."""
    return normalised(film)[None]
