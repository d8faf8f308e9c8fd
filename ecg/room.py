"""The heart room's face: the names that portal may use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from center.reads import DeviceLine, LongSignalInput, ModelInput, SignalInput
from ecg.formats.aecg import write_aecg
from ecg.formats.dicom import WaveformIdentity, write_dicom
from ecg.formats.dicom import read_dicom as read_dicom_signal
from ecg.formats.dicom_write import stream_dicom
from ecg.formats.long import open_long
from ecg.formats.long_signal import LongSignal
from ecg.formats.recognise import Format, recognise
from ecg.formats.recognise import read as read_files
from ecg.formats.scp_write import write_scp
from ecg.heart_leads import heart_leads
from ecg.holter import LONG_S
from ecg.in_turn import pieces_of
from ecg.reading import MODEL, VERSION, read_ecg
from ecg.sheet import LAYOUTS, sheet_svg
from ecg.signal import DeviceNote, EcgSignal, Filters, canonical_lead, distinct

__all__ = [
    "LAYOUTS",
    "MODEL",
    "VERSION",
    "DeviceNote",
    "EcgSignal",
    "Filters",
    "LongSignal",
    "SignalReader",
    "WaveformIdentity",
    "is_known_format",
    "is_long",
    "open_long",
    "read_dicom_signal",
    "read_ecg",
    "read_files",
    "sheet_svg",
    "stream_dicom",
    "to_long_input",
    "to_model_input",
    "write_aecg",
    "write_dicom",
    "write_scp",
]


def to_model_input(
    signal: EcgSignal, study_instance_uid: str, sop_instance_uids: tuple[str, ...], input_digest: str
) -> ModelInput:
    """What a model reads of this recording: the rows that show the heart, limb leads completed.

    Where no row does, the input has no recording, and a reader abstains.  input_digest: as ``ModelInput`` says.
    """
    names = heart_leads(signal)
    pieces, unread = pieces_of(signal, names) if names else ([], ())
    inputs = [
        ModelInput(
            "ecg", study_instance_uid, sop_instance_uids, input_digest, recording=_recording(*piece),
            issues=(*signal.issues, *unread),
        )
        for piece in pieces
    ]  # fmt: skip
    if not inputs:
        return ModelInput("ecg", study_instance_uid, sop_instance_uids, input_digest, issues=signal.issues)
    return replace(inputs[0], more=tuple(inputs[1:]))


def to_long_input(
    long: LongSignal, study_instance_uid: str, sop_instance_uids: tuple[str, ...], input_digest: str
) -> ModelInput:
    """The same for a recording that is read block by block."""
    names = heart_leads(long.head)
    if not names:
        return ModelInput("ecg", study_instance_uid, sop_instance_uids, input_digest, issues=long.head.issues)
    rows = [long.head.leads.index(name) for name in names]
    shown = _completed(long.head, names)

    def block(start: int, stop: int) -> npt.NDArray[np.float64]:
        held = replace(long.head, samples=long.block(start, stop))
        return _completed(held, names).samples

    given = LongSignalInput(
        block=block if len(shown.leads) > len(rows) else lambda start, stop: long.block(start, stop)[rows],
        leads=shown.leads,
        fs_hz=long.head.fs_hz,
        length=long.length,
        age_years=long.head.age_years,
        sex=long.head.sex,
        device=_device(long.head),
    )
    issues = long.head.issues
    return ModelInput("ecg", study_instance_uid, sop_instance_uids, input_digest, long=given, issues=issues)


def is_known_format(head: bytes) -> bool:
    """Whether a file that begins so is in a format that we can name, readable or not."""
    return recognise(head) not in (Format.UNKNOWN, Format.EMPTY)


def is_long(long: LongSignal) -> bool:
    """Whether it's to be read block by block."""
    return long.seconds > LONG_S


def _completed(signal: EcgSignal, names: tuple[str, ...]) -> EcgSignal:
    """These rows under their usual names, limb leads completed."""
    return replace(
        signal,
        leads=distinct(canonical_lead(name) for name in names),
        samples=np.stack([signal.lead(name) for name in names]),
        step_mv=(),
    ).with_limb_leads()


def _device(signal: EcgSignal) -> tuple[DeviceLine, ...]:
    return tuple(DeviceLine(note.text, note.value, note.unit) for note in signal.annotations)


def _recording(signal: EcgSignal, names: tuple[str, ...]) -> SignalInput:
    shown = _completed(signal, names)
    return SignalInput(
        signal=shown.samples.astype(np.float32),
        leads=shown.leads,
        fs_hz=signal.fs_hz,
        age_years=signal.age_years,
        sex=signal.sex,
        device=_device(signal),
    )


@dataclass(frozen=True, slots=True)
class SignalReader:
    """The port's form: a DICOM waveform's bytes -> EcgSignal, or files of one recording by name."""

    def read(self, content: bytes) -> EcgSignal:
        """The recording in one DICOM file.  Raises Unreadable."""
        return read_dicom_signal(content)

    def read_files(self, files: Mapping[str, bytes]) -> EcgSignal:
        """The recording in these files, whatever their format.  Raises Unreadable."""
        return read_files(files)
