"""Over real sockets: broken files, hostile names, forged sessions, racing readers; each gets its answer."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import httpx
import pytest
from pydicom import dcmread
from pynetdicom import AE, association

from center.web import COOKIE
from tests import steps
from tests.makers.dicom import DX_STORAGE, Exam, Flaw, make_cr
from tests.makers.dicom import Person as Patient
from tests.region import Person, Region, until

#: The region is started by the first of these tests.
pytestmark = pytest.mark.timeout(300)

HTML = {"Accept": "text/html"}
#: A flaw -> what a door may answer over HTTP: the file is refused, or taken in as it is, and the service lives on.
REFUSED = (Flaw.TRUNCATED, Flaw.LYING_LENGTH, Flaw.EVIL_UID, Flaw.NO_STUDY_UID, Flaw.GARBAGE)
REFUSED_BY_DIMSE = (Flaw.TRUNCATED, Flaw.GARBAGE, Flaw.EVIL_UID, Flaw.LYING_LENGTH)
TAKEN = (Flaw.WRONG_VR, Flaw.DEEP, Flaw.NO_PREAMBLE, Flaw.META_DIFFERS)


@pytest.fixture
def program(shared_region: Region) -> Iterator[httpx.Client]:
    """A program of the clinic's."""
    with steps.bearer(shared_region, "haixiaoyan") as made:
        yield made


def patient_of(test: str) -> Patient:
    return Patient(local_id=f"E-{test}-{steps.made_person().local_id[2:]}", name="Tian^Jiale=田^家乐")


# ---------------------------------------------------------------- broken files
@pytest.mark.parametrize("flaw", REFUSED, ids=lambda flaw: flaw.value)
def test_a_broken_file_is_refused_by_stow_in_both_languages(
    shared_region: Region, program: httpx.Client, flaw: Flaw
) -> None:
    raw = make_cr(41, person=patient_of(flaw.value), flaw=flaw, size=(64, 64))
    answer = steps.stow(program, raw)
    assert answer.status_code in (400, 409), f"{answer.status_code} {answer.text[:400]}"
    assert "00081198" in answer.text or "zh" in answer.text, "which file, and why"
    assert program.get("/dicom-web/studies?limit=1").status_code == 200


@pytest.mark.parametrize("flaw", TAKEN, ids=lambda flaw: flaw.value)
def test_an_odd_file_is_taken_or_refused_but_never_breaks_the_door(
    shared_region: Region, program: httpx.Client, flaw: Flaw
) -> None:
    answer = steps.stow(program, make_cr(42, person=patient_of(flaw.value), flaw=flaw, size=(64, 64)))
    assert answer.status_code in (200, 202, 400, 409), f"{answer.status_code} {answer.text[:400]}"


@pytest.mark.parametrize(
    "flaw", [Flaw.TRUNCATED, Flaw.GARBAGE, Flaw.EVIL_UID, Flaw.LYING_LENGTH], ids=lambda f: f.value
)
def test_a_broken_data_set_by_c_store_is_refused_and_the_association_goes_on(
    shared_region: Region, monkeypatch: pytest.MonkeyPatch, flaw: Flaw
) -> None:
    whose = patient_of(f"d{flaw.value}")
    sound = dcmread(BytesIO(make_cr(43, person=whose, modality="DX", size=(64, 64))))
    spoilt = make_cr(43, person=whose, modality="DX", size=(64, 64), flaw=flaw)
    raw = spoilt if flaw is Flaw.GARBAGE else steps.data_set(spoilt)
    ae = AE(ae_title="SHIGOU_DR")
    ae.add_requested_context(DX_STORAGE, "1.2.840.10008.1.2.1")
    opened = ae.associate("127.0.0.1", shared_region.dicom_port, ae_title="HELAN")
    assert opened.is_established
    with monkeypatch.context() as patched:
        patched.setattr(association, "encode", lambda *_: raw)
        refused = int(opened.send_c_store(sound).Status)
    assert refused & 0xF000 == 0xC000 or refused == 0xA900, f"{refused:04X}"
    assert int(opened.send_c_store(sound).Status) == 0x0000, "the same association goes on"
    opened.release()


def test_a_pdf_as_an_ecg_is_refused_in_both_languages(shared_region: Region) -> None:
    who = shared_region.person("haixiaoyan")
    answer = who.post("/uploads/ecg", files=[("files", ("ecg.dat", b"%PDF-1.7\n" + bytes(3000), "application/pdf"))])
    assert answer.status_code == 400, answer.text[:300]
    said = answer.json()
    assert said["zh"] and said["en"] and said["zh"] != said["en"]


def test_garbage_on_the_dicom_port_ends_only_its_own_connection(shared_region: Region, tmp_path: Path) -> None:
    for noise in (b"GET / HTTP/1.1\r\n\r\n", bytes(4096), b"\x01\x00\xff\xff\xff\xff" + b"A" * 100_000):
        with socket.create_connection(("127.0.0.1", shared_region.dicom_port), timeout=5.0) as line:
            line.sendall(noise)
    shared_region.storescu(steps.film_file(tmp_path, steps.made_person()))


def test_a_strange_device_and_a_wrong_title_are_rejected(shared_region: Region, tmp_path: Path) -> None:
    file = steps.film_file(tmp_path, steps.made_person())
    stranger = shared_region.storescu(file, aet="NOBODY", check=False)
    assert stranger.returncode != 0 and "Calling AE Title Not Recognized" in stranger.stdout + stranger.stderr
    ae = AE(ae_title="SHIGOU_DR")
    ae.add_requested_context(DX_STORAGE)
    assert ae.associate("127.0.0.1", shared_region.dicom_port, ae_title="OTHER").is_rejected


# ---------------------------------------------------------------- hostile names
def test_markup_in_a_name_is_text_on_every_page(shared_region: Region, program: httpx.Client) -> None:
    evil = "<script>alert(1)</script>"
    whose = replace(patient_of("xss"), name=f"Evil^{evil}=<b>坏^名</b>")
    raw = make_cr(44, person=whose, modality="DX", size=(64, 64), exam=Exam(description=f"胸片{evil}"))
    answer = steps.stow(program, raw)
    assert answer.status_code == 200, answer.text[:300]
    reader = shared_region.person("chenyu")
    row = steps.find_case(reader, whose.local_id)
    pages = [
        reader.get("/worklist", headers=HTML),
        reader.get(f"/worklist?case={row['case_id']}", headers=HTML),
        reader.get(f"/cases/{row['case_id']}", headers=HTML),
        shared_region.person("haixiaoyan").get("/clinic", headers=HTML),
    ]
    for page in pages:
        assert page.status_code == 200
        assert "<script>alert" not in page.text and "<b>坏" not in page.text
        assert "script-src 'unsafe-inline'" not in page.headers["Content-Security-Policy"]


# ---------------------------------------------------------------- two at once
def test_of_two_readers_who_take_the_same_case_at_once_one_holds_it(shared_region: Region, tmp_path: Path) -> None:
    patient = steps.made_person()
    shared_region.storescu(steps.film_file(tmp_path, patient))
    readers = [shared_region.person(login) for login in ("chenyu", "shenzhiwei")]
    case_id = steps.find_case(readers[0], patient.local_id)["case_id"]
    readers[0].json("POST", f"/api/cases/{case_id}/urgency", {"urgency": "stat", "reason": "试用"})
    start, answers = threading.Barrier(2), [0, 0]

    def taking(n: int) -> None:
        start.wait()
        answers[n] = readers[n].post(f"/api/cases/{case_id}/take", json={"reason": "临床来电"}).status_code

    threads = [threading.Thread(target=taking, args=(n,)) for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [200, 409]
    winner, loser = (readers[n] for n in sorted((0, 1), key=lambda n: answers[n]))
    stale = loser.post(f"/api/cases/{case_id}/draft", json={"impression": "x", "base_version": 0})
    assert stale.status_code == 409 and stale.json()["failure"] == "held_by_another"
    winner.json("POST", f"/api/cases/{case_id}/release", {"reason": "试用"})
    shared_region.person("haixiaoyan").json("POST", f"/api/cases/{case_id}/cancel", {"reason": "试用"})


# ---------------------------------------------------------------- who asks
def test_a_forged_session_or_token_is_a_stranger(shared_region: Region) -> None:
    for headers in (
        {"Cookie": f"{COOKIE}=forged"},
        {"Cookie": f"{COOKIE}={'A' * 5000}"},
        {"Authorization": "Bearer forged"},
        {"Authorization": "Basic YWRtaW46YWRtaW4="},
        {},
    ):
        with httpx.Client(base_url=shared_region.base, headers=headers, trust_env=False) as stranger:
            for path in ("/api/worklist", "/dicom-web/studies", "/clinic", "/administration", "/events"):
                assert stranger.get(path).status_code == 401, f"{path} {headers}"


def test_a_form_without_its_token_or_from_elsewhere_does_nothing(shared_region: Region) -> None:
    reader = shared_region.person("chenyu")
    del reader.headers["X-CSRF-Token"]
    assert reader.post("/api/cases/next").status_code == 403
    assert reader.post("/api/cases/next", data={"csrf": "guessed"}).status_code == 403
    good = shared_region.person("chenyu")
    elsewhere = good.post("/worklist/next", headers={"Origin": "https://evil.example"})
    assert elsewhere.status_code == 403
    assert good.post("/sign-out", headers={"Origin": "https://evil.example"}).status_code == 403


def test_a_session_that_was_signed_out_is_of_no_use(shared_region: Region) -> None:
    who = shared_region.person("haixiaoyan")
    kept = dict(who.cookies)
    assert who.post("/sign-out").status_code == 303
    with httpx.Client(base_url=shared_region.base, cookies=kept, trust_env=False) as replayed:
        assert replayed.get("/clinic", headers={"Accept": "application/json"}).status_code == 401


def test_a_program_cannot_sign_for_a_physician(shared_region: Region, tmp_path: Path) -> None:
    patient = steps.made_person()
    shared_region.storescu(steps.film_file(tmp_path, patient))
    case_id = steps.find_case(shared_region.person("chenyu"), patient.local_id)["case_id"]
    with steps.bearer(shared_region, "chenyu") as program:
        body = {"preview_sha256": "0" * 64, "password": shared_region.password("chenyu")}
        assert program.post(f"/api/cases/{case_id}/sign", json=body).status_code == 403
        assert program.post(f"/api/cases/{case_id}/withdraw", json={"reason": "x"}).status_code == 403


def test_another_clinics_people_learn_nothing_of_a_case(shared_region: Region) -> None:
    """The demo's Nanwan case, asked for by Shigou's people: as if it were not there."""
    reader = shared_region.person("chenyu")
    rows = reader.json("GET", "/api/worklist?clinic=nanwan")["rows"]
    assert rows, "the demo has a case of Nanwan's"
    case_id, study = rows[0]["case_id"], rows[0]["study_uid"]
    clinic: list[Person] = [shared_region.person(login) for login in ("haixiaoyan", "liuchunhe")]
    for person in clinic:
        for path in (
            f"/clinic/cases/{case_id}",
            f"/clinic/reports/{case_id}/1.pdf",
            f"/dicom-web/studies/{study}/metadata",
        ):
            assert person.get(path).status_code == 404, path
        listed = person.get(f"/dicom-web/studies?StudyInstanceUID={study}")
        assert listed.status_code in (200, 204) and (not listed.content or listed.json() == [])


def test_the_service_is_well_after_all_that(shared_region: Region) -> None:
    until("/health to be ok", lambda: shared_region.health_code() == 200, 60.0)
    assert not list((shared_region.data / "spool").glob("*.part"))
