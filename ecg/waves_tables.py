"""The coefficients of the delineation's regressions, made by ``benchmarks/delineation_tables.py``."""

from __future__ import annotations

import io
from dataclasses import dataclass, fields
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np

from ecg.waves_nets import Floats, Net


@dataclass(frozen=True, slots=True)
class Tables:
    """The regressions.  track: P and T middles; presence: of P; atria: neither, fibrillation, flutter; ``_first``: the first look at a wave; the others: second looks."""

    track: Net
    presence: Net
    atria: Net
    qrs_on_first: Net
    qrs_on: Net
    qrs_off_first: Net
    qrs_off: Net
    p_first: Net
    p_on: Net
    p_peak: Net
    p_off: Net
    t_first: Net
    t_on: Net
    t_peak: Net
    t_off: Net


_PARTS = ("first", "first_bias", "second", "second_bias")


@cache
def tables() -> Tables:
    """The tables that ship with the engine."""
    return unpacked((files("ecg") / "delineation" / "regressions.npz").read_bytes())


def packed(made: Tables) -> bytes:
    """The tables as the bytes of an npz file, float16."""
    parts: dict[str, Any] = {
        f"{field.name}.{part}": np.asarray(getattr(getattr(made, field.name), part), dtype=np.float16)
        for field in fields(Tables)
        for part in _PARTS
    }
    out = io.BytesIO()
    np.savez_compressed(out, **parts)
    return out.getvalue()


def unpacked(data: bytes) -> Tables:
    """Tables from the bytes of ``packed``."""
    with np.load(io.BytesIO(data), allow_pickle=False) as held:

        def part(name: str) -> Floats:
            return np.ascontiguousarray(held[name], dtype=np.float32)

        return Tables(**{field.name: Net(*(part(f"{field.name}.{one}") for one in _PARTS)) for field in fields(Tables)})
