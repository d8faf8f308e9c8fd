"""A seed -> a frontal chest film that nobody ever had: anatomy drawn as thicknesses, exposed as a detector would.

Pure numpy and scipy. For the demo region, the pictures in the README and the tests; for showing, never for teaching a
model. Image left is the patient's right, as films are hung. Lengths are shares of the drawing's half width.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Gray = npt.NDArray[np.float32]
Field = npt.NDArray[np.float64]

_DRAWN: Final = 640  # side of the drawing; fine grain comes afterwards, at the film's own size
_RIBS: Final = 10


class Flaw(StrEnum):
    """What makes a film that must not be read."""

    BLANK = "blank"
    NOISE = "noise"
    MISSING_VALUES = "missing_values"
    INVERTED = "inverted"
    TURNED = "turned"  # a quarter to the right
    UPSIDE_DOWN = "upside_down"
    CUT = "cut"  # a small part of the chest only


class Sign(StrEnum):
    """What can be drawn into a film."""

    EFFUSION = "effusion"
    LARGE_HEART = "large_heart"
    OPACITY = "opacity"  # in a lower zone, as pneumonia shows
    APICAL = "apical"  # patches and a small cavity in an upper zone, as tuberculosis shows


@dataclass(frozen=True, slots=True)
class _Build:
    """One made-up body: what differs between people."""

    wall: float  # half width of the rib cage
    apex: float  # heights: -1 is the film's top, 1 its bottom
    right_dome: float
    left_dome: float
    heart: float  # half width to the patient's left
    thick: float
    lean: float  # of the spine, sideways over the film's height


def make_film(
    seed: int,
    *,
    rows: int = 1024,
    columns: int = 1024,
    flaw: Flaw | None = None,
    signs: frozenset[Sign] = frozenset(),
    child: bool = False,
) -> Gray:
    """float32 [rows, columns], 0..1, bone bright.  Same arguments, same film."""
    chance = np.random.default_rng(seed)
    if flaw is Flaw.BLANK:
        return np.full((rows, columns), 0.5, dtype=np.float32)
    if flaw is Flaw.NOISE:
        return chance.random((rows, columns), dtype=np.float32)
    film = _exposed(_thickness(_build(chance, signs, child=child), signs, chance), rows, columns, chance)
    return _flawed(film, flaw)


def _build(chance: np.random.Generator, signs: frozenset[Sign], *, child: bool) -> _Build:
    heart = chance.uniform(0.34, 0.42) + (0.16 if Sign.LARGE_HEART in signs else 0.0) + (0.03 if child else 0.0)
    dome = chance.uniform(0.38, 0.48) - (0.05 if child else 0.0)
    return _Build(
        wall=chance.uniform(0.72, 0.79),
        apex=chance.uniform(-0.84, -0.76),
        right_dome=dome,
        left_dome=dome + chance.uniform(0.03, 0.09),
        heart=heart,
        thick=chance.uniform(0.9, 1.15),
        lean=chance.normal(0, 0.02),
    )


def _thickness(build: _Build, signs: frozenset[Sign], chance: np.random.Generator) -> Field:
    """Attenuation along each ray, arbitrary units."""
    y, x = np.mgrid[-1 : 1 : _DRAWN * 1j, -1 : 1 : _DRAWN * 1j]
    x = x - build.lean * y
    lungs, height = _lungs(x, y, build)
    absorbed = 1.15 * build.thick * _body(x, y, build)
    air = 0.92 * lungs * np.sqrt(np.clip(1 - (np.abs(x) / (build.wall * 1.08)) ** 4, 0, 1)) * height
    absorbed -= air * build.thick
    absorbed += _heart(x, y, build) * (0.25 + 0.75 * _above_domes(x, y, build)) + _spine(x, y) - 0.28 * _airway(x, y)
    absorbed += 0.16 * lungs * _vessels(x, y, chance)
    absorbed += _ribs(x, y, build, chance) + _clavicles(x, y) + _scapulae(x, y)
    absorbed -= 0.3 * _blob(x, y, 0.34, build.left_dome + 0.2, 0.13, 0.08)  # gas in the stomach
    for sign in sorted(signs):
        absorbed += _drawn_sign(sign, x, y, lungs, build, chance)
    soft = ndimage.gaussian_filter(chance.normal(0, 1, x.shape), 9) * 9
    return np.maximum(absorbed + 0.02 * soft * (absorbed > 0.1), 0)


def _step(signed: Field, soft: float = 0.012) -> Field:
    """0 outside, 1 inside of a border, as wide as ``soft``."""
    return 1 / (1 + np.exp(-np.clip(signed / soft, -60, 60)))


def _blob(x: Field, y: Field, cx: float, cy: float, rx: float, ry: float) -> Field:
    """An ellipsoid's thickness, 0..1."""
    return np.sqrt(np.maximum(1 - ((x - cx) / rx) ** 2 - ((y - cy) / ry) ** 2, 0))


def _body(x: Field, y: Field, build: _Build) -> Field:
    neck, torso = 0.26, build.wall + 0.17
    shoulder = _step(y + 0.86 - 0.12 * np.abs(x), 0.06)
    half = neck + (torso + 0.16 * np.exp(-(((y + 0.5) / 0.35) ** 2)) - neck) * shoulder
    arms = _step(np.abs(x) - torso, 0.01) * _step(y + 0.62 + 0.15 * np.abs(x), 0.05) * _step(1.25 - np.abs(x), 0.08)
    return np.sqrt(np.clip(1 - (x / half) ** 2, 0, 1)) * (0.8 + 0.2 * _step(y - 0.4, 0.2)) + 0.35 * arms * _step(
        0.1 - y, 0.25
    )


def _lungs(x: Field, y: Field, build: _Build) -> tuple[Field, Field]:
    """(share of lung on the ray 0..1, how deep the lung is there: less at apex and over the dome)."""
    side = np.where(x < 0, -1.0, 1.0)
    reach = np.clip((y - build.apex) / (0.62 - build.apex), 0, 1)
    wall = build.wall * np.clip(1 - (1 - reach) ** 2.9, 0, 1) ** 0.55 * (1 - 0.05 * np.clip(y - 0.35, 0, 1))
    dome = np.where(side < 0, build.right_dome, build.left_dome)
    floor = dome + 0.34 * np.clip((np.abs(x) - 0.36) / (build.wall - 0.36), -0.6, 1.1) ** 2
    middle = np.where(side < 0, 0.15, 0.14) + 0.03 * np.cos(5 * y)
    inside = _step(wall - np.abs(x)) * _step(floor - y) * _step(np.abs(x) - middle, 0.02) * _step(y - build.apex, 0.02)
    height = np.clip(0.62 + 0.38 * np.sqrt(reach), 0, 1) * (0.55 + 0.45 * _step(floor - y - 0.05, 0.09))
    return inside, height


def _above_domes(x: Field, y: Field, build: _Build) -> Field:
    """1 over the midriff, 0 in the belly, whose organs take the heart's place there."""
    return _step(np.where(x < 0, build.right_dome, build.left_dome) + 0.02 - y, 0.03)


def _heart(x: Field, y: Field, build: _Build) -> Field:
    turned_x, turned_y = x - 0.10, y - 0.22
    along = turned_x * 0.86 + turned_y * 0.5
    across = turned_y * 0.86 - turned_x * 0.5
    left = np.sqrt(np.maximum(1 - (along / build.heart) ** 2 - (across / 0.3) ** 2, 0))
    right = _blob(x, y, -0.02, 0.2, 0.19, 0.3)
    knob = _blob(x, y, 0.13, -0.33, 0.085, 0.095)
    trunk = _blob(x, y, 0.12, -0.14, 0.12, 0.16)
    upper = _step(0.13 - np.abs(x - 0.01), 0.02) * _step(0.15 - y, 0.08) * _step(y + 0.75, 0.1)
    whole = np.maximum.reduce([0.56 * left**0.6, 0.42 * right**0.7, 0.36 * knob**0.6, 0.36 * trunk**0.7, 0.26 * upper])
    return ndimage.gaussian_filter(whole, 3)


def _spine(x: Field, y: Field) -> Field:
    column = _step(0.075 - np.abs(x), 0.012)
    bodies = 0.75 + 0.25 * np.cos(2 * np.pi * y / 0.135) ** 2
    processes = 0.5 * np.exp(-((x / 0.02) ** 2)) * np.cos(np.pi * y / 0.135) ** 8
    return 0.19 * column * bodies + 0.09 * processes


def _airway(x: Field, y: Field) -> Field:
    trachea = _step(0.042 - np.abs(x + 0.01), 0.008) * _step(-0.2 - y, 0.03)
    main = sum(
        _step(0.03 - np.abs(y + 0.2 - slope * np.abs(x)), 0.01) * _step(side * x, 0.01) * _step(0.16 - np.abs(x), 0.02)
        for side, slope in ((-1, 1.1), (1, 0.75))
    )
    return trachea + 0.6 * main


def _ribs(x: Field, y: Field, build: _Build, chance: np.random.Generator) -> Field:
    """Posterior arcs falling gently outwards, anterior ones steeper and fainter; bright at their edges."""
    out = np.zeros_like(x)
    s = np.abs(x) / build.wall
    wobble = chance.normal(0, 0.006, (_RIBS, 2))
    for index in range(_RIBS):
        reach = np.clip((index + 1.2) / 4, 0.55, 1.0) * 1.02  # the upper ones end nearer to the spine
        start = build.apex + 0.02 + 0.138 * index
        t = s / reach
        back = start - 0.10 * np.sin(np.pi * np.clip(t, 0, 1) * 0.85) + 0.30 * t**3 + wobble[index, 0]
        inside = _step(reach - s, 0.02) * _step(s - 0.09, 0.02) * _step(1.05 - y, 0.05)
        out += 0.2 * inside * _band(y - back, 0.031)
        if index < 7:
            front = start + 0.26 + 0.30 * (1 - t) + 0.05 * np.sin(np.pi * t) + wobble[index, 1]
            out += 0.085 * _step(reach - s, 0.02) * _step(s - 0.42, 0.05) * _band(y - front, 0.034)
    return ndimage.gaussian_filter(out, 0.8)


def _band(distance: Field, half: float) -> Field:
    """A flat band with brighter rims, as a hollow bone shows."""
    near = np.abs(distance) / half
    return (0.6 + 0.55 * np.clip(near, 0, 1) ** 4) * _step(1 - near, 0.09)


def _clavicles(x: Field, y: Field) -> Field:
    s = np.abs(x)
    line = -0.60 - 0.18 * (s - 0.1) - 0.035 * np.sin(2 * np.pi * (s - 0.1) / 0.75)
    return 0.2 * _band(y - line, 0.034) * _step(s - 0.1, 0.015) * _step(0.86 - s, 0.03)


def _scapulae(x: Field, y: Field) -> Field:
    s = np.abs(x)
    edge = 0.86 - 0.10 * np.clip(y + 0.3, -0.5, 0.6)
    blade = _step(s - edge, 0.01) * _step(1.02 - s, 0.04) * _step(y + 0.72, 0.04) * _step(0.12 - y, 0.08)
    head = _blob(x, y, 0.98, -0.66, 0.13, 0.13) + _blob(x, y, -0.98, -0.66, 0.13, 0.13)
    return 0.12 * blade + 0.3 * head


def _vessels(x: Field, y: Field, chance: np.random.Generator) -> Field:
    """Branches from both hila outwards, thinner with every fork; about 0..1."""
    out = np.zeros_like(x)
    twigs: list[tuple[float, float, float, float, int]] = []
    for side in (-1, 1):
        hilum_y = -0.05 if side < 0 else -0.09
        out += 0.9 * _blob(x, y, side * 0.19, hilum_y + 0.02, 0.085, 0.15)
        twigs += [(side * 0.19, hilum_y, angle, 0.016, side) for angle in np.linspace(-1.25, 1.25, 8)]
    pixel = 2 / _DRAWN
    while twigs:
        x0, y0, angle, width, side = twigs.pop()
        length = chance.uniform(0.11, 0.19)
        bent = angle + chance.normal(0, 0.18)
        x1, y1 = x0 + side * np.cos(bent) * length, y0 + np.sin(bent) * length
        _stroke(out, (x0, y0), (x1, y1), width, pixel)
        if width > 0.0045:
            twigs += [
                (x1, y1, bent + turn, width * 0.72, side)
                for turn in (chance.uniform(0.1, 0.5), -chance.uniform(0.1, 0.5))
            ]
    return ndimage.gaussian_filter(np.minimum(out, 1.6), 1.0)


def _stroke(out: Field, start: tuple[float, float], end: tuple[float, float], width: float, pixel: float) -> None:
    """Adds a soft line to the drawing, within its own box only."""
    pad = 3 * width
    columns = [int((v + 1) / pixel) for v in (min(start[0], end[0]) - pad, max(start[0], end[0]) + pad)]
    rows = [int((v + 1) / pixel) for v in (min(start[1], end[1]) - pad, max(start[1], end[1]) + pad)]
    r0, r1, c0, c1 = max(rows[0], 0), min(rows[1] + 1, _DRAWN), max(columns[0], 0), min(columns[1] + 1, _DRAWN)
    if r0 >= r1 or c0 >= c1:
        return
    y = (np.arange(r0, r1) * pixel - 1)[:, None]
    x = (np.arange(c0, c1) * pixel - 1)[None, :]
    along = np.array(end) - np.array(start)
    share = np.clip(((x - start[0]) * along[0] + (y - start[1]) * along[1]) / float(along @ along), 0, 1)
    squared = (x - start[0] - share * along[0]) ** 2 + (y - start[1] - share * along[1]) ** 2
    out[r0:r1, c0:c1] += np.exp(-squared / (2 * (width * 0.6) ** 2)) * min(1.0, width / 0.011)


def _drawn_sign(sign: Sign, x: Field, y: Field, lungs: Field, build: _Build, chance: np.random.Generator) -> Field:
    side = float(chance.choice([-1, 1]))
    match sign:
        case Sign.EFFUSION:  # a level that rises towards the wall
            surface = 0.30 - 0.22 * np.clip(np.abs(x) / build.wall, 0, 1) ** 2 + chance.normal(0, 0.03)
            return 0.72 * lungs * _step(side * x) * _step(y - surface, 0.04)
        case Sign.LARGE_HEART:
            return np.zeros_like(x)  # drawn with the heart
        case Sign.OPACITY:
            grain = 0.75 + 0.25 * ndimage.gaussian_filter(chance.normal(0, 1, x.shape), 8) * 16
            return 0.6 * lungs * grain * _blob(x, y, side * 0.44, 0.24, 0.36, 0.38) ** 2
        case Sign.APICAL:
            out = np.zeros_like(x)
            for _ in range(14):
                cx, cy, r = side * chance.uniform(0.24, 0.55), chance.uniform(-0.62, -0.22), chance.uniform(0.02, 0.08)
                out += 0.34 * _blob(x, y, cx, cy, r, r) ** 1.7
            ring = np.abs(np.hypot(x - side * 0.4, y + 0.45) - 0.08)
            return lungs * ndimage.gaussian_filter(np.minimum(out, 0.5) + 0.26 * np.exp(-((ring / 0.02) ** 2)), 3)


def _exposed(absorbed: Field, rows: int, columns: int, chance: np.random.Generator) -> Gray:
    """The film of these thicknesses: scatter, film curve, grain, a side marker, the shutter's rim."""
    scattered = 0.82 * absorbed + 0.18 * ndimage.gaussian_filter(absorbed, 45)
    scale = (rows / _DRAWN, columns / _DRAWN)
    shown = np.asarray(ndimage.zoom(scattered, scale, order=1, grid_mode=True, mode="nearest"), np.float64)
    low, high = np.percentile(shown, (0.5, 99.5))
    film = np.clip((shown - low) / (high - low), 0, 1) ** chance.uniform(0.85, 1.05)
    film = 0.03 + 0.92 * (1 - (1 - film) ** 1.15)  # a film's shoulder: the middle does not burn out
    film += chance.normal(0, 0.008, film.shape) * np.sqrt(1.2 - film)
    return np.clip(_marked(film), 0, 1).astype(np.float32)


def _marked(film: Field) -> Field:
    """With the letter L high on the patient's left."""
    rows, columns = film.shape
    high, wide = max(rows // 26, 5), max(columns // 40, 4)
    top, left = round(rows * 0.055), round(columns * 0.93)
    thick = max(wide // 4, 1)
    film[top : top + high, left : left + thick] = 0.97
    film[top + high - thick : top + high, left : left + wide] = 0.97
    return film


def _flawed(film: Gray, flaw: Flaw | None) -> Gray:
    match flaw:
        case Flaw.INVERTED:
            return 1 - film
        case Flaw.TURNED:
            return np.ascontiguousarray(np.rot90(film, -1))
        case Flaw.UPSIDE_DOWN:
            return np.ascontiguousarray(film[::-1])
        case Flaw.CUT:
            rows, columns = film.shape
            return film[: max(rows * 2 // 5, 96), : max(columns * 2 // 5, 96)].copy()
        case Flaw.MISSING_VALUES:
            out = film.copy()
            out[len(out) // 3 : len(out) // 2] = np.nan
            return out
        case _:
            return film
