"""A film's pixels -> what the film network sees. Training and reading use these same functions.

Every film is brought to the same small square, whatever its source: a network that could see native resolution or
a picture's proportions would learn the hospital by them.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

Gray = npt.NDArray[np.float32]

SIDE: Final = 128  # what the smallest training source holds; more would name the source
_REDUCED: Final = 512
_SCOUT: Final = 256  # collimation is looked for in a copy of at most this size
_FLAT: Final = 0.03  # a row whose 5..95 percentile span is under this share of the film's span is border
_MOST_CROPPED: Final = 0.3  # of a side; a border wider than this is not collimation
_MARGIN: Final = 0.02
_MIDDLE: Final = 0.5
_GAMMA: Final = (0.5, 2.0)


def prepared(pixels: Gray) -> Gray:
    """float32 [1, 128, 128], -1..1, from finite pixels [row, column] of any size and range, bright bone."""
    return normalised(resampled(collimated(pixels), SIDE, SIDE))[None]


def collimated(pixels: Gray) -> Gray:
    """The film without the even strips along its edges (shutter, unexposed plate, masking), 2 % left around."""
    top, bottom, left, right = collimation(pixels)
    return pixels[top:bottom, left:right]


def collimation(pixels: Gray) -> tuple[int, int, int, int]:
    """(top, bottom, left, right) in pixels, half open, of the exposed part."""
    rows, columns = pixels.shape
    scout = resampled(pixels, min(rows, _SCOUT), min(columns, _SCOUT))
    low, high = np.percentile(scout, (0.5, 99.5))
    if high <= low:
        return 0, rows, 0, columns
    top, bottom = _exposed(scout, float(high - low) * _FLAT)
    left, right = _exposed(scout[round(top * len(scout)) : round(bottom * len(scout))].T, float(high - low) * _FLAT)
    return round(top * rows), round(bottom * rows), round(left * columns), round(right * columns)


def _exposed(scout: Gray, least: float) -> tuple[float, float]:
    """(first, last) as shares of the rows, that lie within the exposed part."""
    spans = np.subtract(*np.percentile(scout, (95, 5), axis=1))
    alive = np.flatnonzero(spans > least)
    count = len(scout)
    if len(alive) == 0:
        return 0.0, 1.0
    first, last = alive[0] / count, (alive[-1] + 1) / count
    if first > _MOST_CROPPED or 1 - last > _MOST_CROPPED:
        return 0.0, 1.0
    return max(first - _MARGIN, 0.0), min(last + _MARGIN, 1.0)


def reduced(pixels: Gray) -> Gray:
    """The film with its longer side at most 512: cheap to cut several ways, still four times what is kept."""
    longer = max(pixels.shape)
    if longer <= _REDUCED:
        return pixels
    rows, columns = (max(round(size * _REDUCED / longer), 1) for size in pixels.shape)
    block = longer // _REDUCED  # whole blocks are averaged first: a tenth of the time on a 10 MB film
    if block > 1:
        even = pixels[: pixels.shape[0] // block * block, : pixels.shape[1] // block * block]
        pixels = even.reshape(len(even) // block, block, -1, block).mean(axis=(1, 3), dtype=np.float32)
    return resampled(pixels, rows, columns)


def resampled(pixels: Gray, rows: int, columns: int) -> Gray:
    """float32 [rows, columns]: a triangle filter as wide as a target pixel (antialiased), linear when enlarging."""
    if pixels.shape == (rows, columns):
        return pixels.astype(np.float32)
    down: Gray = _weights(pixels.shape[0], rows) @ pixels.astype(np.float32, copy=False)
    return np.ascontiguousarray(down @ _weights(pixels.shape[1], columns).T)


def _weights(source: int, target: int) -> Gray:
    """[target, source]; each row sums to 1."""
    scale = source / target
    reach = max(scale, 1.0)
    centers = (np.arange(target) + 0.5) * scale - 0.5
    distance = np.abs(np.arange(source)[None, :] - centers[:, None]) / reach
    weights = np.maximum(1.0 - distance, 0.0)
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


def normalised(square: Gray) -> Gray:
    """float32, -1..1: the 1..99 percentile range stretched, its mean brought to the middle by a power law.

    So a film shown brighter, darker or with another contrast curve reaches the network nearly the same.
    """
    low, high = np.percentile(square, (1, 99))
    if high - low < 1e-6:
        return np.zeros_like(square, dtype=np.float32)
    even = np.clip((square - low) / (high - low), 0.0, 1.0)
    mean = min(max(float(even.mean()), 0.02), 0.98)
    power = min(max(float(np.log(_MIDDLE) / np.log(mean)), _GAMMA[0]), _GAMMA[1])
    return (2.0 * even**power - 1.0).astype(np.float32)
