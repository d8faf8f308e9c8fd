"""``helan convert``: an ECG file of any format that is read -> DICOM, SCP-ECG or HL7 aECG; the original stays as it is."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path

from center.errors import Invalid, NotFound, WrongState
from ecg.room import EcgSignal, WaveformIdentity, read_files, write_aecg, write_dicom, write_scp

_NAMESPACE = uuid.UUID("0c1d7a0e-5a0b-5d67-9f0e-5b1f7a2f6c33")


class Target(StrEnum):
    DICOM = "dicom"
    SCP = "scp"
    AECG = "aecg"


_SUFFIX = {Target.DICOM: ".dcm", Target.SCP: ".scp", Target.AECG: ".xml"}


def convert(paths: list[Path], target: Target, out: Path | None) -> Path:
    """Where the recording of these files (a WFDB header with its signal files) was written.

    out: a file, or None for the first file's name with the format's suffix, beside it.
    Raises Unreadable, NotFound, Invalid, and WrongState where something lies there already.
    """
    for path in paths:
        if not path.is_file():
            raise NotFound(f"没有文件 {path}。", f"There is no file {path}.")
    files = {path.name: path.read_bytes() for path in paths}
    written = converted(read_files(files), files, target)
    there = out or paths[0].with_suffix(_SUFFIX[target])
    try:
        with there.open("xb") as file:
            file.write(written)
    except FileExistsError as error:
        raise WrongState(f"{there} 已经存在，不覆盖。", f"{there} is there already and is not overwritten.") from error
    return there


def converted(signal: EcgSignal, files: Mapping[str, bytes], target: Target) -> bytes:
    """The recording in that format.  Raises Invalid for what the format cannot hold."""
    if target is Target.SCP:
        return write_scp(signal)
    identity = _identity(signal, files)
    if not (identity.recorded_at or target is Target.SCP):
        raise Invalid(
            zh="文件没有写明记录时间，这种格式必须有。",
            en="The file does not say when it was recorded; this format needs it.",
        )
    return write_aecg(signal, identity) if target is Target.AECG else write_dicom(signal, identity)


def _identity(signal: EcgSignal, files: Mapping[str, bytes]) -> WaveformIdentity:
    """As the file says it; UIDs from its bytes, so that the same file becomes the same object."""
    digest = hashlib.sha256(b"".join(hashlib.sha256(files[name]).digest() for name in sorted(files))).hexdigest()

    def uid(of: str) -> str:
        return f"2.25.{uuid.uuid5(_NAMESPACE, f'{of}|{digest}').int}"

    return WaveformIdentity(
        study_instance_uid=uid("study"),
        series_instance_uid=uid("series"),
        sop_instance_uid=uid("instance"),
        patient_id=signal.patient_id,
        patient_name=signal.patient_name,
        birth_date=signal.birth_date,
        sex=signal.sex,
        accession_number=signal.accession_number,
        recorded_at=signal.recorded_at,
    )
