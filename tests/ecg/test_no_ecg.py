"""A heart's own signal under names that are no lead's, in every format that can carry anything: no ECG to read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from io import BytesIO

import numpy as np
import pydicom
import pytest
from pydicom.uid import UID

from center.errors import Unreadable
from center.reads import Outcome, PreliminaryRead
from ecg.formats.wfdb import write_wfdb
from ecg.room import read_ecg, read_files, to_model_input
from ecg.signal import EcgSignal
from tests.ecg.test_mfer import make_mfer
from tests.makers.ecg import make_ecg, make_ecg_dicom
from tests.makers.edf import channels_of, make_edf

NAMES = ("Resp", "Pleth", "EEG C3-A2", "ch4")
MADE = make_ecg(1, seconds=10, leads=("I", "II", "V1", "V5"), heart_rate=190)  # would be red, were it an ECG
HEMODYNAMIC = "1.2.840.10008.5.1.4.1.1.9.2.1"


def _read(signal: EcgSignal) -> PreliminaryRead:
    return read_ecg(to_model_input(signal, "", (), "d"))


def _edf(names: tuple[str, ...], width: int = 2) -> bytes:
    return make_edf(channels_of(MADE, names, width=width), width=width)


def _wfdb(names: tuple[str, ...]) -> dict[str, bytes]:
    return write_wfdb(replace(MADE, leads=names), "r")


def _csv(names: tuple[str, ...]) -> bytes:
    rows = [",".join(f"{value:.3f}" for value in row) for row in MADE.samples.T.tolist()]
    return "\n".join(["Sampling rate: 500 Hz", "Unit: mV", ",".join(names), *rows, ""]).encode()


def _mfer(kind: int, leads: tuple[int, ...]) -> bytes:
    return make_mfer(np.rint(MADE.samples * 200).astype(np.int16), leads=leads, kind=kind)


def _dicom(sop_class: str, names: tuple[str, ...]) -> bytes:
    dataset = pydicom.dcmread(BytesIO(make_ecg_dicom(MADE)))
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = UID(sop_class)
    for name, channel in zip(names, dataset.WaveformSequence[0].ChannelDefinitionSequence, strict=True):
        channel.ChannelLabel = name
        del channel.ChannelSourceSequence
    out = BytesIO()
    dataset.save_as(out)
    return out.getvalue()


@pytest.mark.parametrize(
    "make",
    [
        lambda: {"a": _edf(NAMES)},
        lambda: {"a": _edf(NAMES, 3)},
        lambda: _wfdb(NAMES),
        lambda: {"a": _csv(("X", "Y", "Z", "ch4"))},
        lambda: {"a": _mfer(0, (0, 0, 200, 201))},
        lambda: {"a": _mfer(40, (1, 2, 3, 4))},  # an EEG's electrodes 1 to 4 are no I, II, V1, V2
        lambda: {"a": _dicom("1.2.840.10008.5.1.4.1.1.9.7.1", ("I", "V1", "C3", "ch4"))},
        lambda: {"a": _dicom("1.2.840.10008.5.1.4.1.1.9.1.2", ("Resp", "Pleth", "EEG C3", "ABP"))},
    ],
)  # fmt: skip
def test_no_rhythm_no_tier_and_nobody_is_called(make: Callable[[], dict[str, bytes]]) -> None:
    signal = read_files(make())
    read = _read(signal)
    assert (read.outcome, read.statements, read.measurements) == (Outcome.ABSTAINED, (), ())
    assert read.reason is not None
    assert read.reason.code == "not_an_ecg"
    assert (read.tier, read.critical_findings) == (None, ())
    assert "not_an_ecg" in [issue.code for issue in signal.issues]


def test_a_hemodynamic_object_without_a_named_lead_holds_no_ecg() -> None:
    with pytest.raises(Unreadable, match="no readable ECG lead"):
        read_files({"a": _dicom(HEMODYNAMIC, NAMES)})


@pytest.mark.parametrize(
    "make",
    [
        lambda: {"a": _edf(("EEG C3", "ECG II", "Resp", "ch4"))},
        lambda: _wfdb(("PLETH", "MLII", "RESP", "ch4")),
        lambda: {"a": _csv(("X", "ECG", "Z", "ch4"))},
        lambda: {"a": _mfer(20, (0, 2, 200, 201))},
        lambda: {"a": _mfer(1, (0, 0, 200, 201))},
        lambda: {"a": _dicom("1.2.840.10008.5.1.4.1.1.9.1.2", ("ch1", "ch2", "ch3", "ch4"))},
        lambda: {"a": _dicom(HEMODYNAMIC, ("ABP", "II", "RESP", "ch4"))},
    ],
)  # fmt: skip
def test_a_named_lead_or_an_object_that_is_an_ecg_is_read(make: Callable[[], dict[str, bytes]]) -> None:
    read = _read(read_files(make()))
    assert read.outcome is Outcome.READ
    assert abs({m.key: m.value for m in read.measurements}["heart_rate"] - 190) < 4
