"""The engine reads what shows the heart and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from center.reads import Reason
from ecg.heart_leads import heart_leads
from ecg.signal import EcgSignal


def signal_of(*leads: str, issues: tuple[Reason, ...] = (), is_ecg_by_type: bool = False) -> EcgSignal:
    samples = np.zeros((len(leads), 10))
    return EcgSignal(leads=leads, samples=samples, fs_hz=100.0, issues=issues, is_ecg_by_type=is_ecg_by_type)


@pytest.mark.parametrize(
    ("leads", "read"),
    [
        (("I", "II", "V1"), ("I", "II", "V1")),
        (("MLII", "V5"), ("MLII", "V5")),
        (("ECG", "ABP", "PLETH", "RESP"), ("ECG",)),
        (("EEG Fpz-Cz", "EEG Pz-Oz", "EOG horizontal", "EMG submental", "Resp oro-nasal"), ()),
        (("EEG C3-A2", "ECG", "SaO2"), ("ECG",)),
        (("ch0", "ch1"), ()),
        (("record1", "marker"), ()),
        (("lead 1", "channel 2", "signal 3", "AIN0"), ()),
        (("heart rate", "HR", "phonocardiogram", "SCG", "impedance cardiogram"), ()),
        (
            ("ECG resp", "ECG-derived respiration", "ECG HR", "ECG status", "RR (ECG)", "ECoG 1", "fetal ECG", "FECG"),
            (),
        ),
        (("X", "Y", "Z"), ()),
        (("ES", "AS", "AI"), ()),
        (("ECG X", "ECG Y", "ECG Z"), ("ECG X", "ECG Y", "ECG Z")),
        (("Ⅱ", "导联V1", "LA-RA", "Lead aVF"), ("Ⅱ", "导联V1", "LA-RA", "Lead aVF")),
        (("V1", "X", "Y", "Z"), ("V1", "X", "Y", "Z")),
        (
            ("EKG1-EKG2", "ecg_2", "心电", "MCL1", "ML2", "CM5", "mod.V1", "DII", "vx"),
            ("ecg_2", "EKG1-EKG2", "心电", "MCL1", "ML2", "CM5", "mod.V1", "DII", "vx"),
        ),
        (("ECG1", "ECG2"), ("ECG1", "ECG2")),
        (("II", "RESP", "ECG 2"), ("II", "ECG 2")),
    ],
)
def test_rows_are_chosen_by_what_they_are_called(leads: tuple[str, ...], read: tuple[str, ...]) -> None:
    assert sorted(heart_leads(signal_of(*leads))) == sorted(read)


@pytest.mark.parametrize(
    ("leads", "read"),
    [
        (("ch0", "ch1"), ("ch0", "ch1")),
        (("record1", "marker", "Resp"), ("record1",)),
        (("X", "Y", "Z"), ("X", "Y", "Z")),
        (("lead 1", "V5"), ("V5",)),
    ],
)
def test_an_object_that_is_an_ecg_by_its_type_needs_no_names(leads: tuple[str, ...], read: tuple[str, ...]) -> None:
    assert heart_leads(signal_of(*leads, is_ecg_by_type=True)) == read


def test_an_electrode_of_the_brain_that_is_called_like_a_lead_is_none() -> None:
    reason = Reason("not_an_ecg", zh="脑电", en="EEG")
    assert heart_leads(signal_of("V1", "I", "ECG", issues=(reason,))) == ("ECG",)


def test_a_format_that_is_no_ecg_gives_no_heart_leads() -> None:
    reason = Reason("not_an_ecg", zh="脑电", en="EEG")
    assert heart_leads(signal_of("ch0", issues=(reason,))) == ()
