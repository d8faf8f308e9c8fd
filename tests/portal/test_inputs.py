"""What a model gets of a study: the recording, what the device said, and the patient's last ECG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from io import BytesIO
from typing import Any, cast

import numpy as np
import pydicom

from center.codes import Origin, Visibility
from center.identity import Actor, ClinicId
from center.patients import PatientIdentity
from center.ports import InstanceRef, Reads, StoredRead, StudyIndex, StudySummary
from center.reads import Abstention, ModelInput, Outcome, PreliminaryRead, Tier
from ecg.room import read_ecg, read_files, write_dicom
from ecg.signal import DeviceNote, EcgSignal
from portal.inputs import Source, StudyInputs, model_input
from tests.makers.ecg import IDENTITY, make_ecg, make_ecg_dicom
from tests.makers.ecg_reads import POOR, ecg_read
from tests.makers.rhythms import make_rhythm

SHIGOU = ClinicId("shigou")
TWELVE_LEAD = "1.2.840.10008.5.1.4.1.1.9.1.1"
AT = datetime(2026, 11, 22, 2, 3)
PATIENT = PatientIdentity("p", "L1", "张三")


def study(uid: str, days_ago: int | None, modality: str = "ECG") -> StudySummary:
    at = None if days_ago is None else AT - timedelta(days=days_ago)
    came = (AT - timedelta(days=days_ago or 0)).replace(tzinfo=UTC)
    return StudySummary(SHIGOU, uid, PATIENT, "", frozenset({modality}), "", "", at, came, came, came, 1, 1)


@dataclass
class House:
    """The ports over a few studies, latest first."""

    studies: list[StudySummary]
    reads: dict[str, list[PreliminaryRead]] = field(default_factory=dict)
    content: bytes = field(default_factory=make_ecg_dicom)

    def summary(self, actor: Actor, clinic_id: ClinicId, study_uid: str) -> StudySummary:
        return next(s for s in self.studies if s.study_uid == study_uid)

    def priors(self, actor: Actor, clinic_id: ClinicId, study_uid: str, limit: int = 20) -> Sequence[StudySummary]:
        return [s for s in self.studies if s.study_uid != study_uid]

    def instances(self, actor: Actor, clinic_id: ClinicId, study_uid: str) -> Sequence[InstanceRef]:
        kind = "1.2.840.10008.5.1.4.1.1.9.1.1"
        return [InstanceRef("s", "i", kind, "", "00", "ECG", Origin.RECEIVED, Visibility.CLINIC, 0, 1)]

    def read_bytes(self, actor: Actor, clinic_id: ClinicId, sop_uid: str) -> bytes:
        return self.content

    def of(self, clinic_id: ClinicId, study_uid: str) -> Sequence[StoredRead]:
        kept = self.reads.get(study_uid, [])
        return [StoredRead("r", clinic_id, study_uid, AT.replace(tzinfo=UTC), ("i",), read) for read in kept]

    def given(self, study_uid: str = "now") -> ModelInput:
        inputs = StudyInputs(cast(StudyIndex, cast(Any, self)), cast(Reads, cast(Any, self)))
        given = inputs.of(SHIGOU, study_uid)
        assert not isinstance(given, Abstention)
        return given


def test_the_last_ecg_before_this_one_is_handed_in() -> None:
    last, older, later = ecg_read(rate=60), ecg_read(rate=50), ecg_read(rate=99)
    house = House(
        [study("later", -1), study("now", 0), study("film", 1, "DX"), study("last", 3), study("older", 30)],
        {"last": [last], "older": [older], "later": [later], "film": [ecg_read()]},
    )
    given = house.given()
    assert given.previous == last and given.previous_study_uid == "last"
    assert given.previous_at == "2026-11-19T02:03:00"


def test_one_that_was_not_read_is_passed_over() -> None:
    house = House(
        [study("now", 0), study("poor", 2), study("unread", 3), study("older", 30)],
        {"poor": [ecg_read(refused=POOR)], "older": [ecg_read(rate=50)]},
    )
    assert house.given().previous_study_uid == "older"


def test_without_an_earlier_ecg_there_is_none() -> None:
    given = House([study("now", 0), study("later", -2)], {"later": [ecg_read()]}).given()
    assert given.previous is None and given.previous_study_uid == ""


def test_a_recording_without_a_time_is_as_old_as_its_arrival() -> None:
    house = House([study("now", None), study("last", 3)], {"last": [ecg_read()]})
    assert house.given().previous_study_uid == "last"


def test_what_the_device_said_goes_along_apart() -> None:
    from dataclasses import replace

    signal = replace(make_ecg(1), annotations=(DeviceNote("PR", 160.0, "ms"), DeviceNote("Normal ECG")))
    given = House([study("now", 0)], content=make_ecg_dicom(signal)).given()
    assert given.recording is not None
    assert any("160" in f"{line.text} {line.value}" for line in given.recording.device)
    assert any("Normal ECG" in line.text for line in given.recording.device)


def test_of_two_recordings_in_a_study_the_one_that_alarms_is_told() -> None:
    quiet, _ = make_rhythm("sinus", 1)
    alarming, _ = make_rhythm("vf", 1)
    files = [
        write_dicom(
            EcgSignal(
                one.leads, np.asarray(one.signal, dtype=np.float64), one.fs_hz, recorded_at="2026-01-02T03:04:05"
            ),
            replace(IDENTITY, sop_instance_uid=f"2.25.{n + 70}"),
        )
        for n, one in enumerate((quiet, alarming))
    ]
    sources = [
        Source(f"2.25.{n + 70}", TWELVE_LEAD, "ECG", f"digest{n}", lambda content=content: content)
        for n, content in enumerate(files)
    ]
    for order in (sources, sources[::-1]):
        given = model_input("2.25.1", order)
        assert isinstance(given, ModelInput)
        assert len(given.sop_instance_uids) == 2
        answer = read_ecg(given)
        assert answer.tier is Tier.RED
        assert answer.quality["recordings"] == 2
    both = [model_input("2.25.1", order) for order in (sources, sources[::-1])]
    assert len({one.input_digest for one in both if isinstance(one, ModelInput)}) == 1


def test_what_was_known_of_an_uploads_file_is_in_the_read_of_its_wrapping() -> None:
    rows = [",".join(f"{value:.3f}" for value in row) for row in make_ecg(1).samples.T.tolist()]
    table = "\n".join(["Sampling rate: 500 Hz", "Unit: mV", ",".join(make_ecg(1).leads), *rows, ""]).encode()
    content = write_dicom(read_files({"a.csv": table}), replace(IDENTITY, recorded_at="2026-01-02T03:04:05"))
    given = House([study("now", 0)], content=content).given()
    assert [issue.code for issue in read_ecg(given).issues] == ["unproven_format"]


def test_a_breath_is_no_ecg_and_nobody_is_called() -> None:
    dataset = pydicom.dcmread(BytesIO(make_ecg_dicom()))
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.9.6.1"
    out = BytesIO()
    dataset.save_as(out)
    read = read_ecg(House([study("now", 0)], content=out.getvalue()).given())
    assert (read.outcome, read.tier, read.critical_findings) == (Outcome.ABSTAINED, None, ())
    assert read.reason is not None
    assert read.reason.code == "not_an_ecg"
