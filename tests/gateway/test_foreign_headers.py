"""Whatever a device wrote into its header, our results are filed, valid, and delivered; its own bytes stay."""

from __future__ import annotations

import subprocess
import warnings
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pydicom import config, dcmread
from pydicom.datadict import dictionary_VR

from center.identity import SYSTEM, CaseId, ClinicId, system_for
from center.ports import SealedReport, StoredRead
from center.reads import Tier
from dicom_gateway import ecg_results, results
from dicom_gateway.dicom_json import metadata
from dicom_gateway.dicom_scan import scan
from dicom_gateway.room import report_sop_uid
from dicom_gateway.source_header import SourceHeader, clock_time, day, person_name, sex, whole_or_empty
from tests.gateway.conftest import House
from tests.gateway.test_dimse import _free_port, _until_listening
from tests.gateway.test_filing import READ, Reports, job
from tests.gateway.test_results import dciodvfy, kept, report
from tests.makers.dicom import make_cr
from tests.makers.ecg_reads import ecg_read
from tests.makers.odd_header import ODD_VALUES, with_odd

SHIGOU = ClinicId("shigou")
ACTOR = system_for(SHIGOU)
ZONE = "Asia/Shanghai"
PLAIN = make_cr(1, size=(8, 8))


def all_results(header: SourceHeader) -> dict[str, bytes]:
    """One of each kind that we write about a study."""
    recorded = replace(header, sop_class_uid="1.2.840.10008.5.1.4.1.1.9.1.1")
    ecg = kept(ecg_read(Tier.RED))
    return {
        "sr": results.read_as_sr(kept(READ), [header], ZONE),
        "pdf": results.report_as_pdf(report(), header, ZONE),
        "ecg": ecg_results.ecg_read_as_sr(ecg, [recorded], ZONE),
        "median": ecg_results.median_as_waveform(ecg, recorded, ZONE),
    }


def read_strictly(content: bytes) -> pydicom.FileDataset:
    """The object with every value looked at by the library's rules.  Raises ValueError for one that breaks them."""
    before = config.settings.reading_validation_mode
    config.settings.reading_validation_mode = config.RAISE
    try:
        found = dcmread(BytesIO(content))
        for element in found.iterall():
            assert element.value is not Ellipsis
        return found
    finally:
        config.settings.reading_validation_mode = before


def header_of(raw: bytes) -> SourceHeader:
    return SourceHeader.of(metadata(scan(raw)))


@pytest.mark.parametrize("keyword", ODD_VALUES)
def test_one_odd_value_makes_no_result_invalid(keyword: str) -> None:
    for value in ODD_VALUES[keyword]:
        header = header_of(with_odd(PLAIN, {keyword: value}))
        read_strictly(results.report_as_pdf(report(), header, ZONE))
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # the library's words on names would stand in a log
        read_strictly(results.read_as_sr(kept(READ), [header], ZONE))


def test_all_of_them_at_once_are_nothing_a_checker_objects_to(tmp_path: Path) -> None:
    for n in range(0, max(len(values) for values in ODD_VALUES.values()), 2):
        odd = {keyword: values[n % len(values)] for keyword, values in ODD_VALUES.items()}
        for kind, content in all_results(header_of(with_odd(PLAIN, odd))).items():
            assert (n, kind, dciodvfy(content, tmp_path)) == (n, kind, [])


_TAKEN = ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "IssuerOfPatientID", "StudyID", "StudyDate", "StudyTime", "AccessionNumber", "ReferringPhysicianName", "StudyDescription")  # fmt: skip
_VRS = st.sampled_from(["LO", "SH", "PN", "UN", "CS", "DS", "IS", "UT", "OB", "DA", "TM", "DT", "US", "FD"])
_BYTES = st.binary(max_size=90) | st.text(max_size=90).map(lambda t: t.encode("utf_8", "replace"))


def _ascii(value: bytes) -> bytes:
    return bytes(b & 0x7F for b in value)


@settings(max_examples=100, deadline=None, phases=(Phase.explicit, Phase.generate, Phase.shrink))
@given(
    values=st.dictionaries(st.sampled_from([*_TAKEN, *ODD_VALUES]), _BYTES, max_size=6),
    vrs=st.dictionaries(st.sampled_from(_TAKEN), _VRS, max_size=3),
)
def test_any_foreign_header_gives_a_valid_result(values: dict[str, bytes], vrs: dict[str, str]) -> None:
    raw = with_odd(PLAIN, values, vrs={k: v for k, v in vrs.items() if k in values})
    read_strictly(results.report_as_pdf(report(), header_of(raw), ZONE))


@settings(
    max_examples=12,
    deadline=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    values=st.dictionaries(st.sampled_from(_TAKEN), _BYTES.map(_ascii), min_size=4)
)  # it counts bytes, not characters
def test_any_foreign_header_gives_what_a_checker_takes(values: dict[str, bytes], tmp_path: Path) -> None:
    header = header_of(with_odd(PLAIN, values))
    assert dciodvfy(results.report_as_pdf(report(), header, ZONE), tmp_path) == []


def test_values_are_understood_where_they_can_be() -> None:
    assert [day(t) for t in ("1960-01-02", "1960.1.2", "19600102", "20261130101500", "1960年1月2日")] == [
        "19600102", "19600102", "19600102", "20261130", "19600102",
    ]  # fmt: skip
    assert [day(t) for t in ("00000000", "unknown", "19600231", "00010101", "60", "", "١٩٦٠٠١٠٢")] == [""] * 7
    assert [clock_time(t) for t in ("10:20:30", "1020", "102030.1234567", "10:20")] == ["102030", "1020", "102030.123456", "1020"]  # fmt: skip
    assert [clock_time(t) for t in ("256090", "10h20", "", "1")] == [""] * 4
    assert [sex(t) for t in ("男", "M ", "female", "X", "1")] == ["M", "M", "F", "", ""]
    assert person_name("Zhang^San=张^三") == "Zhang^San=张^三" and person_name("a^b^c^d^e^f") == "a^b^c^d^e f"
    assert whole_or_empty("A" * 17) == "" and whole_or_empty("A1") == "A1"


# ---------------------------------------------------------------- through the door
ODD = {"AcquisitionNumber": b"3.5", "KVP": b"80,5", "StudyTime": b"10:20:30", "PatientBirthDate": b"00000000",
       "PatientSex": "男".encode("gb18030"), "StudyDescription": b"d" * 1000}  # fmt: skip


def filed(house: House, raw: bytes) -> dict[str, pydicom.FileDataset]:
    """What lies beside a study after its read and its report were filed by their jobs."""
    stored = house.accept(raw)
    house.reads.kept.append(StoredRead("r", SHIGOU, stored.study_uid, house.clock.now(), (stored.sop_uid,), READ))
    sealed = SealedReport(
        SHIGOU, CaseId("c1"), stored.study_uid, 1, "胸部正位", b"%PDF-1.7 sealed", "00" * 32, "陈屿", house.clock.now(), None,
        (stored.sop_uid,),
    )  # fmt: skip
    house.gateway.bind(reports=Reports(sealed), access=None)  # type: ignore[arg-type]
    handlers = house.gateway.handlers
    handlers["gateway.file_read"](
        job("r", study_uid=stored.study_uid, model="chest_film", version="1.0", input_digest="ab" * 32)
    )
    handlers["gateway.file_report"](job("p", case_id="c1", study_uid=stored.study_uid, version=1))
    index = house.gateway.index
    assert index.read_bytes(ACTOR, SHIGOU, stored.sop_uid) == raw
    found = [i for i in index.instances(ACTOR, SHIGOU, stored.study_uid) if i.origin.value == "result"]
    return {i.modality: read_or_open(index.read_bytes(ACTOR, SHIGOU, i.sop_uid)) for i in found}


def read_or_open(content: bytes) -> pydicom.FileDataset:
    return dcmread(BytesIO(content))


def test_an_odd_study_gets_its_report_and_its_read(house: House) -> None:
    beside = filed(house, with_odd(PLAIN, ODD))
    assert set(beside) == {"SR", "DOC"}
    for made in beside.values():
        assert (made.StudyTime, made.PatientBirthDate) == ("102030", "") and made.PatientSex in ("M", "")
        assert len(made.StudyDescription if made.Modality == "DOC" else "") <= 64
        assert "KVP" not in made and "AcquisitionNumber" not in made
        assert str(made.PatientName) == "Zhang^San=张^三" and made.PatientID == "S1001"


def test_uids_with_leading_zeros_stay_as_they_came(house: House) -> None:
    odd = {"StudyInstanceUID": b"1.2.003.4", "SeriesInstanceUID": b"1.2.003.5", "SOPInstanceUID": b"1.2.003.06"}
    raw = with_odd(PLAIN, odd)
    for made in filed(house, raw).values():
        assert made.StudyInstanceUID == "1.2.003.4"
    sr = filed_sr(house, "1.2.003.4")
    assert sr.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence[0].SeriesInstanceUID == "1.2.003.5"


def filed_sr(house: House, study_uid: str) -> pydicom.FileDataset:
    index = house.gateway.index
    uid = next(i.sop_uid for i in index.instances(ACTOR, SHIGOU, study_uid) if i.modality == "SR")
    return read_or_open(index.read_bytes(ACTOR, SHIGOU, uid))


def test_the_report_of_an_odd_study_reaches_a_pacs(house: House, tmp_path: Path) -> None:
    filed(house, with_odd(PLAIN, ODD))
    study = str(dcmread(BytesIO(PLAIN)).StudyInstanceUID)
    port, inbox = _free_port(), tmp_path / "pacs"
    inbox.mkdir()
    server = subprocess.Popen(["storescp", "-od", str(inbox), "-aet", "PACS", str(port)])
    try:
        _until_listening(port)
        house.gateway.register.add(SYSTEM, "PACS", SHIGOU, address=f"127.0.0.1:{port}")
        sent = house.gateway.peers.send(SHIGOU, "PACS", "k", report_sop_uid(SHIGOU, study, "c1", 1))
        assert sent.acknowledged, sent
    finally:
        server.terminate()
        server.wait(10)
    (arrived,) = inbox.iterdir()
    assert dcmread(arrived).Modality == "DOC"


def test_every_keyword_of_the_table_is_one() -> None:
    assert all(dictionary_VR(keyword) for keyword in ODD_VALUES)
