"""Uploads by page and by program: recordings, which files are there already, and the end of an upload."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import pydicom
import pytest
from fastapi.testclient import TestClient

from dicom_gateway.room import scan
from ecg.formats.aecg import write_aecg
from portal.demo_studies import film_dicom
from tests.clinic_house import MA, ClinicHouse, in_emptied
from tests.house import csrf_of
from tests.makers.ecg import IDENTITY, make_ecg, make_ecg_dicom, write_wfdb
from tests.outside import outside_data

FIELDS = {
    "local_id": "SG-77",
    "name": "祁向阳",
    "sex": "M",
    "birth_date": "1977-01-30",
    "question": "有无房颤？",
    "urgent": "1",
}
WFDB = write_wfdb(make_ecg(4), "ecg")


@pytest.fixture
def region(emptied: dict[str, str], clinics: tuple[str, ...]) -> ClinicHouse:
    return in_emptied(emptied)


def headers(client: TestClient) -> dict[str, str]:
    return {"accept": "application/json", "X-CSRF-Token": csrf_of(client, "/clinic")}


def send(client: TestClient, files: Mapping[str, bytes], **fields: str) -> Any:
    parts = [("files", (name, raw, "application/octet-stream")) for name, raw in files.items()]
    return client.post("/uploads/ecg", files=parts, data=fields, headers=headers(client))


@lru_cache
def film(n: int = 1) -> bytes:
    from datetime import datetime

    return film_dicom(f"film{n}", MA, datetime(2026, 11, 22, 9, 0), rows=40, columns=30)


def stow(client: TestClient, *files: bytes) -> Any:
    parts = b"".join(b"--x\r\nContent-Type: application/dicom\r\n\r\n" + raw + b"\r\n" for raw in files)
    kind = 'multipart/related; type="application/dicom"; boundary=x'
    return client.post(
        "/dicom-web/studies", content=parts + b"--x--\r\n", headers={**headers(client), "content-type": kind}
    )


# ---------------------------------------------------------------- recordings
def test_a_wfdb_pair_becomes_an_instance_a_case_and_a_request(region: ClinicHouse) -> None:
    answer = send(region.browser("tech"), WFDB, **FIELDS)
    assert answer.status_code == 201, answer.text
    made = answer.json()
    assert made["outcome"] == "stored" and made["request_id"]
    row = region.query("select study_uid, origin, door from gateway.instance where sop_uid = %s", made["sop_uid"])
    assert row == [(made["study_uid"], "converted", "upload")]
    region.run()
    case = region.case_of(made["study_uid"])
    assert (case.patient_name, case.patient_local_id, case.question) == ("祁向阳", "SG-77", "有无房颤？")
    assert case.urgency.value == "urgent" and case.service.value == "ecg"


def test_the_files_as_they_came_are_kept_and_named_in_the_audit(region: ClinicHouse) -> None:
    made = send(region.browser("tech"), WFDB, **FIELDS).json()
    for raw in WFDB.values():
        digest = hashlib.sha256(raw).hexdigest()
        assert digest in made["originals"]
        assert b"".join(region.store.open_range(digest)) == raw
        assert region.query("select references_n from center.object where sha256 = %s", digest) == [(1,)]
    detail = region.query("select detail from center.audit where act = 'study:upload:originals'")[0][0]
    assert set(detail["originals"]) == set(made["originals"])


def test_the_same_recording_again_is_the_same_and_asks_once(region: ClinicHouse) -> None:
    tech = region.browser("tech")
    first, again = send(tech, WFDB, **FIELDS).json(), send(tech, WFDB, **FIELDS).json()
    assert again["outcome"] == "same" and again["sop_uid"] == first["sop_uid"]
    assert region.query("select count(*) from worklist.request") == [(1,)]
    assert region.query("select count(*) from center.audit where act = 'study:upload:originals'") == [(1,)]
    assert region.query("select max(references_n) from center.object where location = 'store'")[0][0] == 1


def test_a_dicom_ecg_is_kept_as_it_is(region: ClinicHouse) -> None:
    content = make_ecg_dicom()
    made = send(region.browser("tech"), {"a.dcm": content}).json()
    assert made["sha256"] == hashlib.sha256(content).hexdigest() and made["originals"] == []
    region.run()
    assert region.case_of(made["study_uid"]).patient_name == "张三"


@pytest.mark.parametrize("broken", ["1.2.826.0.1.", "1.2..3", ""])
def test_a_dicom_ecg_whose_uids_are_none_is_wrapped_and_kept_as_it_came(region: ClinicHouse, broken: str) -> None:
    held = pydicom.dcmread(io.BytesIO(make_ecg_dicom()))
    held.StudyInstanceUID = held.SeriesInstanceUID = broken
    out = io.BytesIO()
    held.save_as(out)
    made = send(region.browser("tech"), {"old.dcm": out.getvalue()}).json()
    assert made["outcome"] == "stored", made
    assert region.query("select origin from gateway.instance where sop_uid = %s", made["sop_uid"]) == [("converted",)]
    name = hashlib.sha256(out.getvalue()).hexdigest()
    assert b"".join(region.store.open_range(name)) == out.getvalue()


@pytest.mark.parametrize(
    ("name", "raw", "words"),
    [("report.pdf", b"%PDF-1.4\n" + b"x" * 200, "PDF"), ("a.bin", bytes(range(256)) * 8, "心电"), ("e.dat", b"", "空")],
)
def test_what_is_no_recording_is_refused_with_a_sentence(
    region: ClinicHouse, name: str, raw: bytes, words: str
) -> None:
    answer = send(region.browser("tech"), {name: raw}, **FIELDS)
    assert answer.status_code == 400
    assert words in answer.json()["zh"] and answer.json()["en"]
    assert region.query("select count(*) from gateway.instance") == [(0,)]
    assert region.query("select count(*) from worklist.request") == [(0,)]


@pytest.mark.parametrize(
    ("field", "value"),
    [("sex", "X"), ("birth_date", "1999-02-31"), ("birth_date", "2999-01-01"), ("local_id", "9" * 65)],
)
def test_a_wrong_field_is_named_before_anything_is_kept(region: ClinicHouse, field: str, value: str) -> None:
    answer = send(region.browser("tech"), WFDB, **{**FIELDS, field: value})
    assert answer.status_code == 422 and answer.json()["facts"]["field"] == field
    assert region.query("select count(*) from gateway.instance") == [(0,)]
    assert region.query("select count(*) from center.object") == [(0,)]


def test_two_recordings_a_missing_file_and_no_file_are_refused(region: ClinicHouse) -> None:
    tech = region.browser("tech")
    assert send(tech, {**WFDB, "b.dcm": make_ecg_dicom()}).status_code == 400
    header = next(name for name in WFDB if name.endswith(".hea"))
    assert send(tech, {header: WFDB[header]}).status_code == 400
    assert send(tech, {}).status_code == 422
    assert send(tech, {f"{n}.bin": b"x" for n in range(21)}).status_code in (400, 422)


def test_a_name_with_a_path_is_only_a_name(region: ClinicHouse) -> None:
    answer = send(region.browser("tech"), {f"../../etc/{n}": raw for n, raw in WFDB.items()}, **FIELDS)
    assert answer.status_code == 201, answer.text


def test_a_body_that_is_too_large_is_refused_before_it_is_read(region: ClinicHouse) -> None:
    tech = region.browser("tech")
    big = {**headers(tech), "content-type": "multipart/form-data; boundary=x", "content-length": str(480 << 20)}
    answer = tech.post("/uploads/ecg", content=b"--x", headers=big)
    assert answer.status_code == 422 and "400 MB" in answer.json()["zh"]
    assert (
        tech.post(
            "/uploads/known", content=b"{}", headers={**headers(tech), "content-length": str(2 << 20)}
        ).status_code
        == 422
    )


def test_the_form_works_before_scripts_load(region: ClinicHouse) -> None:
    tech = region.browser("tech")
    parts = [("files", (name, raw, "application/octet-stream")) for name, raw in WFDB.items()]
    answer = tech.post("/uploads/ecg", files=parts, data={**FIELDS, "csrf": csrf_of(tech, "/clinic")})
    assert answer.status_code == 303 and answer.headers["location"] == "/clinic?said=uploaded"
    assert tech.post("/uploads/ecg", files=parts, data={**FIELDS, "csrf": "wrong"}).status_code == 403
    assert tech.post("/uploads/ecg", files=parts, data=FIELDS).status_code == 403


def test_a_program_uploads_with_its_token(region: ClinicHouse) -> None:
    token = region.accounts.make_token("tech")
    client = TestClient(region.app)
    parts = [("files", (name, raw, "application/octet-stream")) for name, raw in WFDB.items()]
    answer = client.post("/uploads/ecg", files=parts, data=FIELDS, headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 201, answer.text
    assert TestClient(region.app).post("/uploads/ecg", files=parts).status_code == 401


def test_only_a_clinics_people_upload_and_only_for_their_own(region: ClinicHouse) -> None:
    assert send(region.browser("reader"), WFDB, **FIELDS).status_code in (401, 403)
    assert send(region.browser("tech"), WFDB, **FIELDS, clinic="helan").status_code == 404
    both = region.browser("both")
    assert send(both, WFDB, **FIELDS).status_code == 422
    made = send(both, WFDB, **FIELDS, clinic="helan").json()
    assert made["clinic"] == "helan"


# ---------------------------------------------------------------- what is there, and the end
def test_only_what_this_clinic_holds_is_known(region: ClinicHouse) -> None:
    tech, far = region.browser("tech"), region.browser("far")
    raw = [film(1), film(2)]
    digests = [hashlib.sha256(r).hexdigest() for r in raw]
    assert stow(tech, raw[0]).status_code == 200
    ask = {"sha256": [*digests, "zz"]}
    answer = tech.post("/uploads/known", json=ask, headers=headers(tech)).json()
    assert answer["known"] == digests[:1] and answer["study_uids"] == [scan(memoryview(raw[0])).study_uid]
    assert far.post("/uploads/known", json=ask, headers=headers(far)).json()["known"] == []


def test_a_finished_upload_is_complete_at_once(region: ClinicHouse) -> None:
    tech = region.browser("tech")
    raw = film()
    uid = scan(memoryview(raw)).study_uid
    stow(tech, raw)
    region.run()
    assert region.query("select state from gateway.study") == [("arriving",)]
    answer = tech.post("/uploads/finished", json={"study_uids": [uid, uid, "1.2.3"]}, headers=headers(tech))
    assert answer.json() == {"finished": [uid, "1.2.3"]}
    region.run()
    assert region.case_of(uid).state.value == "queued"


def test_nobody_finishes_another_clinics_upload(region: ClinicHouse) -> None:
    tech, far = region.browser("tech"), region.browser("far")
    raw = film()
    stow(tech, raw)
    uid = scan(memoryview(raw)).study_uid
    far.post("/uploads/finished", json={"study_uids": [uid]}, headers=headers(far))
    region.run()
    assert region.query("select state from gateway.study") == [("arriving",)]


@pytest.mark.parametrize(
    "body", [{"sha256": "x"}, {"sha256": ["a"] * 1001}, {"sha256": [1]}, {}, {"sha256": [], "clinic": 3}]
)
def test_a_malformed_question_is_refused(region: ClinicHouse, body: dict[str, Any]) -> None:
    tech = region.browser("tech")
    assert tech.post("/uploads/known", json=body, headers=headers(tech)).status_code == 422
    assert tech.post("/uploads/known", content=b"[", headers=headers(tech)).status_code == 422


# ---------------------------------------------------------------- the originals
def fetch(client: TestClient, made: dict[str, Any]) -> Any:
    return client.get(
        f"/uploads/originals/{made['clinic']}/{made['study_uid']}", headers={"accept": "application/json"}
    )


def test_the_files_as_they_came_are_given_back_byte_for_byte(region: ClinicHouse) -> None:
    tech = region.browser("tech")
    answer = fetch(tech, send(tech, WFDB, **FIELDS).json())
    assert answer.status_code == 200 and answer.headers["content-type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == dict(WFDB)
    assert region.query("select count(*) from center.audit where act = 'study:originals:open'") == [(1,)]


def test_a_single_file_is_given_back_as_itself_under_its_name(region: ClinicHouse) -> None:
    tech, xml = region.browser("tech"), write_aecg(make_ecg(4), IDENTITY)
    made = send(tech, {"张三 1.xml": xml}).json()
    assert made["outcome"] == "stored", made
    answer = fetch(tech, made)
    assert answer.content == xml and "%E5%BC%A0%E4%B8%89%201.xml" in answer.headers["content-disposition"]
    region.run()
    assert region.case_of(made["study_uid"]).service.value == "ecg"


def test_a_study_that_came_as_dicom_has_no_other_original(region: ClinicHouse) -> None:
    tech = region.browser("tech")
    assert fetch(tech, send(tech, {"a.dcm": make_ecg_dicom()}).json()).status_code == 404


def test_recordings_of_every_format_become_cases(region: ClinicHouse) -> None:
    folder = outside_data("ecg_formats")
    tech = region.browser("tech")
    sent = 0
    for name in (
        "same_record.scp",
        "same_record_aecg.xml.gz",
        "muse_made.xml",
        "philips_1_04_demo.xml",
        "ishne_made.ecg",
    ):
        made = send(tech, {name: (folder / name).read_bytes()}).json()
        assert made.get("outcome") == "stored", (name, made)
        region.run()
        assert region.case_of(made["study_uid"]).service.value == "ecg"
        assert fetch(tech, made).content == (folder / name).read_bytes()
        sent += 1
    assert sent == 5
