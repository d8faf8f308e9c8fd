"""One channel that has no scale, or no samples, is left out by its name; the others are read as they are."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO

import numpy as np
import pydicom
import pytest

from center.errors import Unreadable
from ecg.formats.aecg import write_aecg
from ecg.formats.wfdb import write_wfdb
from ecg.room import read_files
from ecg.signal import EcgSignal
from tests.ecg.test_ishne import make_ishne
from tests.ecg.test_mfer import definition, make_mfer, of_channel
from tests.makers.ecg import IDENTITY, make_ecg, make_ecg_dicom
from tests.makers.edf import Made, channels_of, make_edf

MADE = make_ecg(1, seconds=4)
THREE = make_ecg(1, seconds=4, leads=("I", "II", "V1"))

EDF_FLAWS: dict[str, dict[str, object]] = {
    "digital minimum = maximum": {"digital": ("0", "0")},
    "digital limits the wrong way": {"digital": ("100", "-100")},
    "digital limits wider than 16 bits": {"digital": ("-8388608", "8388607")},
    "physical minimum = maximum": {"low": "0", "high": "0"},
    "no physical limits": {"low": "", "high": ""},
    "no digital limits": {"digital": ("", "")},
    "other units": {"unit": "mmHg"},
    "no unit": {"unit": ""},
}


@pytest.mark.parametrize("flaw", EDF_FLAWS)
@pytest.mark.parametrize("width", [2, 3])
def test_an_unused_channel_of_an_edf_costs_itself_only(flaw: str, width: int) -> None:
    blank = replace(Made("-", np.zeros((4, 500), int)), **EDF_FLAWS[flaw])  # type: ignore[arg-type] - fields of Made
    if width == 3 and flaw.startswith("digital limits wider"):
        blank = replace(blank, digital=("-8388609", "8388607"))
    signal = read_files({"a": make_edf([*channels_of(MADE, width=width), blank], width=width)})
    assert signal.leads == MADE.leads
    assert np.abs(signal.samples - MADE.samples).max() < 1e-4
    assert [issue.code for issue in signal.issues] == ["channel_left_out"]
    assert "-" in signal.issues[0].en


def test_a_channel_without_a_sample_is_left_out() -> None:
    signal = read_files({"a": make_edf([*channels_of(MADE), Made("-", np.zeros((4, 0), int))])})
    assert (signal.leads, [issue.code for issue in signal.issues]) == (MADE.leads, ["channel_left_out"])


def test_a_lead_that_is_left_out_is_told_as_a_lead() -> None:
    channels = channels_of(MADE)
    channels[3] = replace(channels[3], digital=("7", "7"))
    signal = read_files({"a": make_edf(channels)})
    assert signal.leads == MADE.leads[:3] + MADE.leads[4:]
    assert [issue.code for issue in signal.issues] == ["lead_left_out"]
    assert "aVR" in signal.issues[0].en
    assert "aVR" in signal.issues[0].zh


def test_where_every_channel_is_bad_the_file_is_refused() -> None:
    with pytest.raises(Unreadable):
        read_files({"a": make_edf([replace(made, digital=("0", "0")) for made in channels_of(MADE)])})
    with pytest.raises(Unreadable, match="no usable sensitivity"):
        read_files({"a": _dicom(range(3), ChannelSensitivity=None)})
    with pytest.raises(Unreadable):
        read_files({"a": make_ishne(np.zeros((3, 500)), step_nv=(0, 0, 0))})


def _dicom(which: range | tuple[int, ...], **values: object) -> bytes:
    dataset = pydicom.dcmread(BytesIO(make_ecg_dicom(THREE)))
    for n in which:
        channel = dataset.WaveformSequence[0].ChannelDefinitionSequence[n]
        for keyword, value in values.items():
            if value is None:
                delattr(channel, keyword)
            else:
                channel[keyword]._value = value  # as a foreign writer would: pydicom refuses to set it
    out = BytesIO()
    dataset.save_as(out)
    return out.getvalue()


def _csv(name: str, cell: str) -> bytes:
    rows = [",".join([*(f"{value:.3f}" for value in row), cell]) for row in THREE.samples.T.tolist()]
    return "\n".join(["Sampling rate: 500 Hz", "Unit: mV", f"I,II,V1,{name}", *rows, ""]).encode()


def _mfer(sensitivity: bytes) -> bytes:
    counts = np.rint(np.vstack([THREE.samples, THREE.samples[:1]]) * 200).astype(np.int16)
    extra = of_channel(3, definition(0x0C, sensitivity))
    return make_mfer(counts, leads=(1, 2, 3, 5), extra=extra)


def _ishne() -> bytes:
    counts = np.rint(np.vstack([THREE.samples, THREE.samples[:1]]) * 400)
    return make_ishne(counts, numbers=(5, 6, 11, 15), step_nv=(2500, 2500, 2500, 0), fs_hz=500)


def _aecg(scale: str) -> bytes:
    made = write_aecg(THREE, replace(IDENTITY, recorded_at="2026-03-11T02:03:11")).decode()
    return re.sub(r"<scale[^>]*/>", scale, made, count=1).encode()


def _wfdb() -> dict[str, bytes]:
    four = EcgSignal((*THREE.leads, "Resp"), np.vstack([THREE.samples, THREE.samples[:1]]), 500.0)
    files = write_wfdb(four, "r")
    lines = files["r.hea"].decode().splitlines()
    lines[4] = lines[4].replace("/mV", "/l/min")
    return files | {"r.hea": "\n".join([*lines, ""]).encode()}


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (lambda: {"a": _dicom((2,), ChannelSensitivity=None, ChannelSensitivityUnitsSequence=None)}, "V1"),
        (lambda: {"a": _dicom((2,), ChannelSensitivity="0")}, "V1"),
        (lambda: {"a": _dicom((2,), ChannelSensitivity=None)}, "V1"),
        (lambda: {"a": _csv("V5", "")}, "V5"),
        (lambda: {"a": _csv("V5", "nan")}, "V5"),
        (lambda: {"a": _csv("V5", "n/a")}, "V5"),
        (lambda: {"a": _aecg("")}, "I"),
        (lambda: {"a": _aecg('<scale value="1" unit="kg"/>')}, "I"),
        (lambda: {"a": _mfer(b"\x00\xfa\x00")}, "V3"),
        (lambda: {"a": _ishne()}, "V5"),
        (_wfdb, "Resp"),
    ],
)  # fmt: skip
def test_the_other_channels_are_read_in_every_format(make: Callable[[], dict[str, bytes]], code: str) -> None:
    signal = read_files(make())
    kept = [lead for lead in ("I", "II", "V1") if lead != code]
    assert list(signal.leads) == kept
    for lead in kept:
        assert np.abs(signal.lead(lead) - THREE.lead(lead)).max() < 6e-3
    told = [issue for issue in signal.issues if issue.code in ("lead_left_out", "channel_left_out", "not_a_voltage")]
    assert len(told) == 1
    assert code in told[0].en
