"""The engine reads what shows the heart and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from center.reads import Reason
from ecg.heart_leads import heart_leads
from ecg.signal import EcgSignal


def signal_of(*leads: str, issues: tuple[Reason, ...] = ()) -> EcgSignal:
    return EcgSignal(leads=leads, samples=np.zeros((len(leads), 10)), fs_hz=100.0, issues=issues)


@pytest.mark.parametrize(
    ("leads", "read"),
    [
        (("I", "II", "V1"), ("I", "II", "V1")),
        (("MLII", "V5"), ("MLII", "V5")),
        (("ECG", "ABP", "PLETH", "RESP"), ("ECG",)),
        (("EEG Fpz-Cz", "EEG Pz-Oz", "EOG horizontal", "EMG submental", "Resp oro-nasal"), ()),
        (("EEG C3-A2", "ECG", "SaO2"), ("ECG",)),
        (("ch0", "ch1"), ("ch0", "ch1")),
        (("record1", "marker"), ("record1",)),
        (("ECG1", "ECG2"), ("ECG1", "ECG2")),
        (("II", "RESP", "ECG 2"), ("II", "ECG 2")),
    ],
)
def test_rows_are_chosen_by_what_they_are_called(leads: tuple[str, ...], read: tuple[str, ...]) -> None:
    assert heart_leads(signal_of(*leads)) == read


def test_a_format_that_is_no_ecg_gives_no_heart_leads() -> None:
    reason = Reason("not_an_ecg", zh="脑电", en="EEG")
    assert heart_leads(signal_of("ch0", issues=(reason,))) == ()
