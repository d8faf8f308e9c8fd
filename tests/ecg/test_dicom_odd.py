"""A converted ECG is a valid object, whatever the file it came from said of itself."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO

import pytest
from pydicom import dcmread

from center.errors import Invalid
from ecg.formats.dicom import write_dicom
from ecg.signal import Filters
from tests.makers.ecg import IDENTITY, make_ecg

ODD = ("x" * 300, "a\\b", "a\r\nb\x00", "A=B=C=D", "男")


@pytest.mark.parametrize("hz", [float("nan"), float("inf"), -1.0])
def test_a_filter_that_is_no_frequency_is_left_out(hz: float) -> None:
    made = dcmread(BytesIO(write_dicom(replace(make_ecg(1), filters=Filters(hz, 150.0, hz)), IDENTITY)))
    channel = made.WaveformSequence[0].ChannelDefinitionSequence[0]
    assert "FilterLowFrequency" not in channel and "NotchFilterFrequency" not in channel
    assert float(channel.FilterHighFrequency) == 150.0


@pytest.mark.parametrize("recorded_at", ["0001-01-01T00:00:00", "0900-01-01T00:00:00", "yesterday"])
def test_a_time_before_there_were_ecgs_is_not_known(recorded_at: str) -> None:
    with pytest.raises(Invalid):
        write_dicom(make_ecg(1), replace(IDENTITY, recorded_at=recorded_at))


@pytest.mark.parametrize("text", ODD)
def test_odd_words_fit_their_values(text: str) -> None:
    identity = replace(
        IDENTITY, patient_id=text, patient_name=text, birth_date=text, sex=text, accession_number=text, study_id=text,
        institution_name=text, study_description=text,
    )  # fmt: skip
    made = dcmread(BytesIO(write_dicom(replace(make_ecg(1), device=text), identity)))
    assert made.PatientBirthDate == "" and made.PatientSex == ""
    assert all(len(str(made[k].value)) <= 16 and "\\" not in str(made[k].value) for k in ("AccessionNumber", "StudyID"))
    assert len(made.InstitutionName) <= 64 and len(made.PatientID) <= 64
