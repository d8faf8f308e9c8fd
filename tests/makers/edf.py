"""Made EDF and BDF files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ecg.signal import EcgSignal


@dataclass(frozen=True)
class Made:
    """A signal of a made file: counts [record, sample]."""

    label: str
    counts: np.ndarray
    unit: str = "uV"
    low: str = "-3276.8"
    high: str = "3276.7"
    prefilter: str = "HP:0.05Hz LP:150Hz N:50Hz"
    digital: tuple[str, str] | None = None  # minimum and maximum, those of the width where it's None


def make_edf(
    signals: Sequence[Made],
    *,
    record_s: str = "1",
    records: int | None = None,
    kind: str = "",
    notes: Sequence[str] = (),
    width: int = 2,
    patient: str = "H-7 F 03-FEB-1960 张_三",
    recording: str = "Startdate 22-NOV-2026 A-9 T Recorder_3",
) -> bytes:
    """An EDF file (width 2) or BDF file (3); notes: for each record the bytes of its annotation lists, as text."""
    limit = 1 << (8 * width - 1)
    count = len(signals[0].counts)
    note_bytes = 60
    total = len(signals) + bool(notes)
    fixed = (b"0" if width == 2 else b"\xffBIOSEMI").ljust(8)
    fixed += patient.encode()[:80].ljust(80) + recording.encode().ljust(80) + b"22.11.2608.30.15"
    fixed += (
        f"{256 * (total + 1):<8}{kind:<44}{count if records is None else records:<8}{record_s:<8}{total:<4}".encode()
    )
    rows = [
        (
            s.label,
            "",
            s.unit,
            s.low,
            s.high,
            *(s.digital or (str(-limit), str(limit - 1))),
            s.prefilter,
            str(s.counts.shape[1]),
            "",
        )
        for s in signals
    ]
    label = "EDF Annotations" if width == 2 else "BDF Annotations"
    rows += [(label, "", "", "-1", "1", str(-limit), str(limit - 1), "", str(note_bytes // width), "")] if notes else []
    widths = (16, 80, 8, 8, 8, 8, 8, 80, 8, 32)
    head = fixed + b"".join(row[n].encode().ljust(widths[n]) for n in range(10) for row in rows)
    body = b""
    for n in range(count):
        body += b"".join(_stored(s.counts[n], width) for s in signals)
        body += notes[n].encode().ljust(note_bytes, b"\0") if notes else b""
    return head + body


def _stored(counts: np.ndarray, width: int) -> bytes:
    whole = counts.astype("<i4").view(np.uint8).reshape(-1, 4)
    return whole[:, :width].tobytes()


def channels_of(signal: EcgSignal, names: Sequence[str] = (), *, width: int = 2) -> list[Made]:
    """A recording's leads, one record a second, 0.1 uV a count (BDF: 10 uV / 2560); names: called otherwise."""
    fs_hz, step_uv = int(signal.fs_hz), 6553.5 / ((1 << (8 * width)) - 1)
    counts = np.rint(signal.samples * 1000 / step_uv).astype(np.int64)
    counts = counts[:, : counts.shape[1] // fs_hz * fs_hz].reshape(len(signal.leads), -1, fs_hz)
    return [Made(name, rows) for name, rows in zip(names or signal.leads, counts, strict=True)]
