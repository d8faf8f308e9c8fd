"""Made ECGs, valid or with one flaw."""

from __future__ import annotations

from ecg.formats.dicom import WaveformIdentity, write_dicom
from ecg.signal import EcgSignal
from portal.demo_ecgs import EIGHT_LEADS, make_ecg, write_wfdb

__all__ = ["EIGHT_LEADS", "IDENTITY", "make_ecg", "make_ecg_dicom", "write_wfdb"]

IDENTITY = WaveformIdentity(
    study_instance_uid="2.25.101",
    series_instance_uid="2.25.102",
    sop_instance_uid="2.25.103",
    patient_id="P-0001",
    patient_name="Zhang^San=张^三",
    birth_date="19650123",
    sex="M",
    accession_number="A-1",
    study_id="1",
)


def make_ecg_dicom(signal: EcgSignal | None = None, identity: WaveformIdentity = IDENTITY) -> bytes:
    """A DICOM ECG of this recording, or of one made from seed 1."""
    return write_dicom(make_ecg(1) if signal is None else signal, identity)
