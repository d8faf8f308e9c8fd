"""A recording of hours is taken in and read block by block."""

from __future__ import annotations

import hashlib
import io
from datetime import UTC, datetime

import numpy as np

from center.identity import ClinicId, system_for
from center.ports import Stored
from center.reads import ModelInput
from portal import ecg_files
from portal.ecg_files import Person, take_in
from portal.inputs import Source, model_input
from tests.makers.rhythms import make_rhythm

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
FS_HZ = 250


class _Door:
    """Keeps what it is given."""

    def __init__(self) -> None:
        self.content = b""

    def accept(self, stream: io.BufferedIOBase, provenance: object) -> Stored:
        self.content = stream.read()
        return Stored("2.25.1", "1.2.840.10008.5.1.4.1.1.9.1.3", "2.25.3", hashlib.sha256(self.content).hexdigest())


class _Store:
    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}

    def put(self, sha256: str, stream: io.BytesIO, size: int) -> None:
        self.kept[sha256] = stream.read()


def _wfdb(minutes: int) -> dict[str, bytes]:
    """Three leads of a made sinus rhythm, format 16, 200 counts a mV, repeated to that length."""
    recording, _ = make_rhythm("sinus", 4, seconds=60.0, fs_hz=float(FS_HZ), leads=("II", "V1", "V5"))
    minute = np.rint(np.asarray(recording.signal) * 200).astype("<i2")
    lines = [f"day.dat 16 200 16 0 0 0 0 {lead}" for lead in recording.leads]
    header = "\n".join([f"day 3 {FS_HZ} {minute.shape[1] * minutes} 03:04:05 02/01/2026", *lines]) + "\n"
    return {"day.hea": header.encode(), "day.dat": np.tile(minute, (1, minutes)).T.tobytes()}


def test_hours_of_an_ecg_are_wrapped_kept_and_read_in_blocks() -> None:
    files = _wfdb(100)
    assert sum(map(len, files.values())) > ecg_files._HELD_BYTES  # pyright: ignore[reportPrivateUsage]
    door, store = _Door(), _Store()
    taken = take_in(
        files, Person("S1", "测试"), clinic_id=ClinicId("c1"), zone="Asia/Shanghai", actor=system_for(ClinicId("c1")),
        now=NOW, door=door, store=store,
    )  # fmt: skip  # pyright: ignore[reportArgumentType]
    assert isinstance(taken.outcome, Stored)
    assert [store.kept[digest] for digest in taken.originals] == list(files.values())
    source = Source("2.25.3", "1.2.840.10008.5.1.4.1.1.9.1.3", "ECG", "digest", lambda: door.content)
    given = model_input("2.25.1", [source])
    assert isinstance(given, ModelInput)
    assert given.long is not None and given.recording is None
    assert given.long.seconds == 6000
    assert np.abs(given.long.block(0, 100)[0] - np.frombuffer(files["day.dat"], "<i2")[:300:3] / 200).max() < 0.006
