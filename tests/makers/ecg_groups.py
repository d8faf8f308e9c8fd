"""DICOM ECGs of several multiplex groups, cut from one recording."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from io import BytesIO

import pydicom

from ecg.signal import EcgSignal
from tests.makers.ecg import make_ecg_dicom

THREE_BY_FOUR = (("I", "II", "III"), ("aVR", "aVL", "aVF"), ("V1", "V2", "V3"), ("V4", "V5", "V6"))


@dataclass(frozen=True)
class Cut:
    """Leads of a recording from ``start_s`` to ``stop_s``.  every: of so many samples one is kept."""

    leads: tuple[str, ...]
    start_s: float
    stop_s: float
    every: int = 1
    originality: str = "ORIGINAL"
    label: str = ""


def printed(strip: str = "II", seconds: float = 10.0) -> list[Cut]:
    """As a cart prints 3x4: four groups of three leads in turn, and a strip."""
    part = seconds / 4
    cuts = [Cut(leads, n * part, (n + 1) * part) for n, leads in enumerate(THREE_BY_FOUR)]
    return [*cuts, Cut((strip,), 0.0, seconds)] if strip else cuts


def make_groups(signal: EcgSignal, cuts: Sequence[Cut], *, has_offsets: bool = False) -> bytes:
    """The recording as these groups; has_offsets: MultiplexGroupTimeOffset says when each begins."""
    items: list[pydicom.Dataset] = []
    for cut in cuts:
        first, last = round(cut.start_s * signal.fs_hz), round(cut.stop_s * signal.fs_hz)
        rows = [signal.leads.index(lead) for lead in cut.leads]
        part = replace(
            signal, leads=cut.leads, samples=signal.samples[rows, first : last : cut.every],
            fs_hz=signal.fs_hz / cut.every, step_mv=tuple(signal.step_mv[row] for row in rows),
        )  # fmt: skip
        item = pydicom.dcmread(BytesIO(make_ecg_dicom(part))).WaveformSequence[0]
        item.WaveformOriginality, item.MultiplexGroupLabel = cut.originality, cut.label
        if has_offsets:
            item.MultiplexGroupTimeOffset = f"{cut.start_s * 1000:g}"
        items.append(item)
    whole = pydicom.dcmread(BytesIO(make_ecg_dicom(signal)))
    whole.WaveformSequence = items
    out = BytesIO()
    whole.save_as(out)
    return out.getvalue()
