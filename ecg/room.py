"""The heart room's face: the names that portal may use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from center.reads import ModelInput, SignalInput
from ecg.formats.dicom import WaveformIdentity, write_dicom
from ecg.formats.dicom import read_dicom as read_dicom_signal
from ecg.formats.recognise import read as read_files
from ecg.reading import MODEL, VERSION, read_ecg
from ecg.sheet import LAYOUTS, sheet_svg
from ecg.signal import DeviceNote, EcgSignal, Filters

__all__ = [
    "LAYOUTS",
    "MODEL",
    "VERSION",
    "DeviceNote",
    "EcgSignal",
    "Filters",
    "SignalReader",
    "WaveformIdentity",
    "read_dicom_signal",
    "read_ecg",
    "read_files",
    "sheet_svg",
    "to_model_input",
    "write_dicom",
]


def to_model_input(
    signal: EcgSignal, study_instance_uid: str, sop_instance_uids: tuple[str, ...], input_digest: str
) -> ModelInput:
    """What a model reads of this recording; input_digest: as ``ModelInput`` says."""
    recording = SignalInput(
        signal=signal.samples.astype(np.float32),
        leads=signal.leads,
        fs_hz=signal.fs_hz,
        age_years=signal.age_years,
        sex=signal.sex,
    )
    return ModelInput("ecg", study_instance_uid, sop_instance_uids, input_digest, recording=recording)


@dataclass(frozen=True, slots=True)
class SignalReader:
    """The port's form: a DICOM waveform's bytes -> EcgSignal, or files of one recording by name."""

    def read(self, content: bytes) -> EcgSignal:
        """The recording in one DICOM file.  Raises Unreadable."""
        return read_dicom_signal(content)

    def read_files(self, files: Mapping[str, bytes]) -> EcgSignal:
        """The recording in these files, whatever their format.  Raises Unreadable."""
        return read_files(files)
