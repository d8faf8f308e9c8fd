"""DICOMweb as OHIF, dicomweb-client and an upload page ask for it."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime
from io import BytesIO

import numpy as np
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import Response
from fastapi.testclient import TestClient
from PIL import Image
from pydicom import dcmread
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.pixels import get_encoder
from pydicom.tag import Tag
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless, RLELossless

from center.codes import Origin, Role, Service, Visibility
from center.errors import Failure, HeldByAnother, NotFound
from center.identity import Actor, CaseId, ClinicId, Membership, PersonId, Reading
from center.ports import Grant
from center.web import failure_json
from dicom_gateway.web import routers
from tests.gateway.conftest import House
from tests.makers.dicom import Exam, Flaw, Person, encapsulated, make_cr, make_ct, multi_frame, uid, written

SHIGOU, HELAN = ClinicId("shigou"), ClinicId("helan")
TECHNICIAN = Actor(PersonId("t1"), "tech", "技师甲", memberships=frozenset({Membership(SHIGOU, Role.TECHNICIAN)}))
OTHER = replace(TECHNICIAN, person_id=PersonId("t2"), memberships=frozenset({Membership(HELAN, Role.TECHNICIAN)}))
READER = Actor(
    PersonId("r1"), "reader", "陈屿", memberships=frozenset({Membership(ClinicId("tertiary"), Role.READER)}),
    readings=frozenset({Reading(SHIGOU, ClinicId("tertiary"), Service.IMAGING)}), licence="L1",
    scope=frozenset({Service.IMAGING}),
)  # fmt: skip
DISPATCHER = replace(READER, person_id=PersonId("d1"), memberships=frozenset({Membership(ClinicId("county"), Role.DISPATCHER)}), readings=frozenset())  # fmt: skip
PEOPLE = {p.person_id: p for p in (TECHNICIAN, OTHER, READER, DISPATCHER)}
FRAMES = "multipart/related; type=application/octet-stream; transfer-syntax=*"


class Access:
    """The worklist's port: cases by hand."""

    def __init__(self) -> None:
        self.grants: dict[str, Grant] = {}
        self.held = False

    def through_case(self, actor: Actor, case_id: CaseId) -> Grant:
        if self.held:
            raise HeldByAnother("别人正在阅片。", "Somebody else is reading.", {"holder": "x"})
        if case_id not in self.grants:
            raise NotFound("没有。", "None.")
        return self.grants[case_id]

    def may_see(self, actor: Actor, clinic_id: ClinicId, study_uid: str) -> Grant | None:
        return next((g for g in self.grants.values() if g.clinic_id == clinic_id and study_uid in g.study_uids), None)


class HeaderWeb:
    """Signs in by a header."""

    own_origins: frozenset[str] = frozenset()

    async def actor(self, request: Request) -> Actor:
        return PEOPLE[PersonId(request.headers["x-person"])]


@pytest.fixture
def access(house: House) -> Access:
    access = Access()
    house.gateway.access = access
    return access


@pytest.fixture
def app(house: House, access: Access) -> FastAPI:
    app = FastAPI()
    for router in routers(HeaderWeb(), house.gateway):  # type: ignore[arg-type]
        app.include_router(router)

    @app.exception_handler(Failure)
    async def failed(request: Request, failure: Failure) -> Response:
        return failure_json(failure)

    return app


@pytest.fixture
def client(app: FastAPI) -> Iterator[TestClient]:
    with TestClient(app, headers={"x-person": "t1"}) as client:
        yield client


def parts_of(answer) -> list[tuple[str, bytes]]:
    """(content type, body) of each part."""
    boundary = re.search(r"boundary=([^;]+)", answer.headers["content-type"])[1].strip('"')
    found = []
    for piece in answer.content.split(b"\r\n--" + boundary.encode()):
        head, found_body, body = piece.partition(b"\r\n\r\n")
        if found_body:
            found.append((re.search(rb"Content-Type: (.*)", head)[1].decode().strip(), body))
    return found


def related(*files: bytes, kind: str = "application/dicom", end: bool = True) -> tuple[bytes, dict[str, str]]:
    body = b"".join(b"--B0\r\nContent-Type: " + kind.encode() + b"\r\n\r\n" + f + b"\r\n" for f in files)
    return body + (b"--B0--\r\n" if end else b""), {
        "Content-Type": 'multipart/related; type="application/dicom"; boundary=B0'
    }


def path_of(raw: bytes) -> str:
    ds = dcmread(BytesIO(raw), stop_before_pixels=True)
    return f"/studies/{ds.StudyInstanceUID}/series/{ds.SeriesInstanceUID}/instances/{ds.SOPInstanceUID}"


# ---------------------------------------------------------------- search
def test_the_viewers_list_is_answered_with_what_it_shows(house: House, client: TestClient) -> None:
    house.accept(make_cr(1, size=(64, 64), exam=Exam(accession="A7", referring="李^医生")))
    for raw in make_ct(2, slices=3):
        house.accept(raw)
    answer = client.get(
        "/dicom-web/studies?limit=101&offset=0&fuzzymatching=false&includefield=00081030,00080060,00080090,00100030",
        headers={"Accept": "application/dicom+json", "Accept-Encoding": "gzip"},
    )
    assert answer.headers["content-type"] == "application/dicom+json"
    by_modality = {s["00080061"]["Value"][0]: s for s in answer.json()}
    cr, ct = by_modality["CR"], by_modality["CT"]
    for tag in ("0020000D", "00080020", "00080030", "00080050", "00080061", "00080090", "00081030", "00100010", "00100020",
                "00100030", "00100040", "00201206", "00201208"):  # fmt: skip
        assert tag in cr
    assert cr["00100010"]["Value"] == [{"Alphabetic": "Zhang^San", "Ideographic": "张^三"}]
    assert cr["00080050"]["Value"] == ["A7"] and ct["00201208"]["Value"] == [3] and ct["00201206"]["Value"] == [1]
    series = client.get(
        f"/dicom-web/studies/{ct['0020000D']['Value'][0]}/series?includefield=00080021,00080031,0008103E,00200011"
    ).json()
    assert series[0]["00201209"]["Value"] == [3] and series[0]["00080060"]["Value"] == ["CT"]
    instances = client.get(f"/dicom-web/studies/{ct['0020000D']['Value'][0]}/instances").json()
    assert [i["00200013"]["Value"][0] for i in instances] == [1, 2, 3]


SEARCHES = (
        ("PatientName=*三*", 1), ("PatientName=zhangsan", 1), ("PatientName=zs", 1), ("PatientName=Zhang^San*", 1),
        ("PatientName=shanxiong", 1), ("PatientName=danxiong", 1), ("PatientName=单雄", 1), ("PatientName=wang*", 0),
        ("PatientName=*iong*", 1), ("PatientID=S1001", 1), ("00100020=S10*", 1), ("00100020=S100?", 1), ("00100020=S", 0),
        ("StudyDate=20261101-20261130", 2), ("StudyDate=20261122", 1), ("StudyDate=-20261101", 0), ("StudyDate=20261123-", 1),
        ("ModalitiesInStudy=CR", 1), ("ModalitiesInStudy=CT,CR", 2), ("AccessionNumber=X%25", 0), ("AccessionNumber=*", 2),
        ("StudyDescription=头颅*", 1), ("limit=1", 1), ("limit=5&offset=1", 1), ("offset=7", 0), ("PatientName=", 2),
        ("PatientSex=F", 1), ("PatientName='; drop table gateway.study;--", 0),
)  # fmt: skip


def test_searches(house: House, client: TestClient) -> None:
    house.accept(make_cr(1, size=(64, 64)))
    person = Person("Z9", "Shan^Xiong=单^雄", "F", date(1990, 1, 1))
    house.accept(
        make_ct(3, slices=1, person=person, exam=Exam(at=datetime(2026, 11, 23, 8, 0), description="头颅平扫"))[0]
    )
    for query, hits in SEARCHES:
        answer = client.get(f"/dicom-web/studies?{query}")
        assert (query, answer.status_code, len(answer.json())) == (query, 200, hits)


def test_a_search_that_cannot_be_is_told_so(client: TestClient) -> None:
    for query in (
        "limit=-1",
        "limit=x",
        "NoSuchThing=1",
        "StudyDate=yesterday",
        "00109999=1",
        "offset=99999999",
        "Rows=5",
    ):
        answer = client.get(f"/dicom-web/studies?{query}")
        assert (query, answer.status_code) == (query, 400) and answer.json()["zh"] and answer.json()["en"]


def test_more_results_are_announced_and_bounded(house: House, client: TestClient) -> None:
    for n in range(3):
        house.accept(make_cr(n, size=(64, 64)))
    answer = client.get("/dicom-web/studies?limit=2")
    assert len(answer.json()) == 2 and "299" in answer.headers["warning"]


def test_another_clinics_studies_are_not_there(house: House, client: TestClient) -> None:
    raw = make_cr(1, size=(64, 64))
    house.accept(raw, "helan")
    assert client.get("/dicom-web/studies").json() == []
    assert client.get(f"/dicom-web{path_of(raw)}/metadata").status_code == 404
    assert client.get(f"/dicom-web{path_of(raw)}/metadata", headers={"x-person": "t2"}).status_code == 200
    assert client.get("/dicom-web/studies", headers={"x-person": "d1"}).status_code == 403


def test_two_clinics_hold_the_same_uid_each_for_itself(house: House, client: TestClient) -> None:
    raw = make_cr(1, size=(64, 64))
    other = make_cr(1, size=(64, 64), PatientComments="another hospital", pixels=np.zeros((64, 64), np.uint16))
    house.accept(raw)
    house.accept(other, "helan")
    path = f"/dicom-web{path_of(raw)}"
    plain = {"Accept": "application/dicom"}
    assert client.get(path, headers=plain).content == raw
    assert client.get(path, headers={**plain, "x-person": "t2"}).content == other


# ---------------------------------------------------------------- retrieve
def test_metadata_is_whole_in_utf8_and_its_uris_lead_to_the_bytes(house: House, client: TestClient) -> None:
    raw = make_cr(5, size=(64, 64), flaw=Flaw.GB18030_AS_LATIN1, RedPaletteColorLookupTableData=bytes(range(256)) * 8)
    house.accept(raw)
    path = path_of(raw)
    series = "/dicom-web" + path.split("/instances/")[0]
    found = client.get(f"{series}/metadata", headers={"Accept-Encoding": "gzip"})
    one = found.json()[0]
    assert one["00080005"]["Value"] == ["ISO_IR 192"] and one["00100010"]["Value"][0]["Ideographic"] == "张^三"
    assert one["00083002"]["Value"] == ["1.2.840.10008.1.2.1"] and one["0020000D"]["vr"] == "UI"
    uri = one["00281201"]["BulkDataURI"]
    assert uri.startswith("instances/")
    whole = client.get(f"{series}/{uri}", headers={"Accept": "application/octet-stream"})
    assert whole.content == bytes(range(256)) * 8
    at_instance = client.get(f"/dicom-web{path}/metadata").json()[0]["00281201"]["BulkDataURI"]
    assert f"{path}/{at_instance}".endswith(uri)
    at_study = client.get(series.split("/series/")[0] + "/metadata").json()[0]["00281201"]["BulkDataURI"]
    assert f"{series.split('/series/')[0]}/{at_study}" == f"{series}/{uri}"
    assert client.get(f"{series}/metadata", headers={"Accept": "text/html"}).status_code == 406


def test_objects_come_back_as_they_came(house: House, client: TestClient) -> None:
    files = make_ct(3, slices=3)
    for raw in files:
        house.accept(raw)
    study = "/dicom-web" + path_of(files[0]).split("/series/")[0]
    answer = client.get(study, headers={"Accept": 'multipart/related; type="application/dicom"; transfer-syntax=*'})
    assert [body for _, body in parts_of(answer)] == files
    assert all(
        kind.startswith("application/dicom; transfer-syntax=1.2.840.10008.1.2.1") for kind, _ in parts_of(answer)
    )
    one = client.get(f"/dicom-web{path_of(files[1])}", headers={"Accept": "application/dicom"})
    assert one.content == files[1] and one.headers["content-type"] == "application/dicom"
    assert client.get(study, headers={"Accept": "image/png"}).status_code == 406
    house.run_jobs()  # moved to the store: nothing changes for who asks
    assert not list((house.folder / "spool").glob("??/*"))
    assert client.get(f"/dicom-web{path_of(files[1])}", headers={"Accept": "application/dicom"}).content == files[1]


def compressed(syntax, frames: int = 3) -> tuple[bytes, np.ndarray]:
    ds, pixels = multi_frame(4, frames)
    encoder = get_encoder(syntax)
    encoded = []
    for one in pixels:
        encoded.append(
            encoder.encode(
                one.tobytes(), rows=one.shape[0], columns=one.shape[1], samples_per_pixel=1, bits_allocated=8, bits_stored=8,
                pixel_representation=0, photometric_interpretation="MONOCHROME2", number_of_frames=1,
                encoding_plugin={RLELossless: "pydicom"}.get(syntax, ""),
            )
        )  # fmt: skip
    return encapsulated(ds, encoded, syntax), pixels


@pytest.mark.parametrize(
    ("syntax", "label"),
    [(RLELossless, "image/dicom-rle"), (JPEG2000Lossless, "image/jp2"), (JPEGLSLossless, "image/jls")],
    ids=["rle", "j2k", "jls"],
)
def test_frames_are_labelled_as_they_are_and_decoded_when_asked(
    house: House, client: TestClient, syntax, label: str
) -> None:
    raw, pixels = compressed(syntax)
    house.accept(raw)
    frame = f"/dicom-web{path_of(raw)}/frames/2"
    kind, body = parts_of(client.get(frame, headers={"Accept": FRAMES}))[0]
    assert kind == f"{label}; transfer-syntax={syntax}"
    assert body in raw
    plain = 'multipart/related; type="application/octet-stream"; transfer-syntax=1.2.840.10008.1.2.1'
    kind, body = parts_of(client.get(frame, headers={"Accept": plain}))[0]
    assert kind == "application/octet-stream; transfer-syntax=1.2.840.10008.1.2.1" and body == pixels[1].tobytes()
    all_three = parts_of(client.get(frame[:-1] + "1,2,3", headers={"Accept": FRAMES}))
    assert len(all_three) == 3
    picture = Image.open(BytesIO(client.get(f"{frame}/rendered", headers={"Accept": "image/png"}).content))
    assert picture.size == (40, 32) and np.ptp(np.asarray(picture)) > 50
    whole = client.get(
        f"/dicom-web{path_of(raw)}", headers={"Accept": "application/dicom; transfer-syntax=1.2.840.10008.1.2.1"}
    )
    assert np.array_equal(dcmread(BytesIO(whole.content)).pixel_array, pixels)


def test_native_frames_are_read_by_range(house: House, client: TestClient) -> None:
    ds, pixels = multi_frame(4, 5)
    ds.add_new(0x7FE00010, "OB", pixels.tobytes())
    raw = written(ds)
    house.accept(raw)
    kind, body = parts_of(client.get(f"/dicom-web{path_of(raw)}/frames/4", headers={"Accept": FRAMES}))[0]
    assert kind == "application/octet-stream; transfer-syntax=1.2.840.10008.1.2.1" and body == pixels[3].tobytes()
    for wrong in ("0", "6"):
        assert client.get(f"/dicom-web{path_of(raw)}/frames/{wrong}", headers={"Accept": FRAMES}).status_code == 404
    assert client.get(f"/dicom-web{path_of(raw)}/frames/x", headers={"Accept": FRAMES}).status_code == 400
    assert client.get(f"/dicom-web{path_of(raw)}/frames/1", headers={"Accept": "text/plain"}).status_code == 406


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"])
def test_other_native_syntaxes_give_little_endian_frames(house: House, client: TestClient, syntax: str) -> None:
    pixels = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64) % 4096
    big = syntax.endswith(".2.2")
    raw = make_cr(6, size=(64, 64), transfer_syntax=syntax, pixels=pixels.byteswap() if big else pixels)
    house.accept(raw)
    _, body = parts_of(client.get(f"/dicom-web{path_of(raw)}/frames/1", headers={"Accept": FRAMES}))[0]
    assert body == pixels.tobytes()
    picture = client.get(f"/dicom-web{path_of(raw)}/rendered", headers={"Accept": "image/jpeg"})
    assert picture.status_code == 200


def test_pictures_and_thumbnails(house: House, client: TestClient) -> None:
    raw = make_cr(1, size=(300, 200))
    house.accept(raw)
    thumbnail = client.get(f"/dicom-web{path_of(raw)}/thumbnail?viewport=100,100", headers={"Accept": "image/jpeg"})
    assert thumbnail.headers["content-type"] == "image/jpeg" and Image.open(BytesIO(thumbnail.content)).size == (
        67,
        100,
    )
    dark = client.get(f"/dicom-web{path_of(raw)}/rendered?window=4000,10", headers={"Accept": "image/png"})
    light = client.get(f"/dicom-web{path_of(raw)}/rendered?window=10,10", headers={"Accept": "image/png"})
    assert np.asarray(Image.open(BytesIO(dark.content))).mean() < np.asarray(Image.open(BytesIO(light.content))).mean()
    assert client.get(f"/dicom-web{path_of(raw)}/rendered?window=a,b").status_code == 400
    series = path_of(raw).split("/instances/")[0]
    assert client.get(f"/dicom-web{series}/thumbnail").status_code == 200
    assert client.get(f"/dicom-web{series.split('/series/')[0]}/thumbnail").status_code == 200
    assert client.get(f"/dicom-web{path_of(raw)}/rendered", headers={"Accept": "application/dicom"}).status_code == 406


def test_an_object_without_pixels_has_no_frames_and_no_picture(house: House, client: TestClient) -> None:
    bare = dcmread(BytesIO(make_cr(1, size=(64, 64))))
    del bare.PixelData
    raw = written(bare)
    house.accept(raw)
    for what in ("frames/1", "rendered", "thumbnail"):
        assert client.get(f"/dicom-web{path_of(raw)}/{what}").status_code == 404


@pytest.mark.parametrize("rest", ["frames/²", "frames/²/rendered", "bulkdata/54000100/²/54001010", "bulkdata/²"])
def test_a_number_in_other_digits_is_no_number(house: House, client: TestClient, rest: str) -> None:
    raw = make_cr(9, size=(8, 8))
    house.accept(raw)
    answer = client.get(f"/dicom-web{path_of(raw)}/{rest}")
    assert answer.status_code in (400, 404)


def _wrong(keyword: str, value: bytes) -> bytes:
    """A film in which this element, written beside the others, is no number."""
    vr = dictionary_VR(keyword)
    ds = dcmread(BytesIO(make_cr(10, size=(8, 8))))
    value += b" " * (len(value) % 2)
    ds[keyword] = RawDataElement(Tag(keyword), vr, len(value), value, 0, False, True)
    return written(ds)


@pytest.mark.parametrize("keyword", ["WindowCenter", "RescaleSlope", "PixelSpacing", "NumberOfFrames"])
def test_a_number_that_is_none_spoils_no_picture(house: House, client: TestClient, keyword: str) -> None:
    raw = _wrong(keyword, b"abc")
    house.accept(raw)
    assert client.get(f"/dicom-web{path_of(raw)}/thumbnail").status_code == 200
    assert client.get(f"/dicom-web{path_of(raw)}/metadata").status_code == 200


def test_more_frames_than_a_number_holds_are_taken_in_as_the_lie_they_are(house: House, client: TestClient) -> None:
    raw = _wrong("NumberOfFrames", b"99999999999")
    body, headers = related(raw)
    assert client.post("/dicom-web/studies", content=body, headers=headers).status_code == 200
    assert client.get(f"/dicom-web{path_of(raw)}").status_code == 200


def test_a_store_that_is_away_answers_503_and_arrivals_go_on(house: House, client: TestClient) -> None:
    moved, fresh = make_cr(1, size=(64, 64)), make_cr(2, size=(64, 64))
    house.accept(moved)
    house.run_jobs()
    (house.folder / "objects").rename(house.folder / "gone")
    away = client.get(f"/dicom-web{path_of(moved)}", headers={"Accept": "application/dicom"})
    assert away.status_code == 503 and "retry-after" in away.headers
    house.accept(fresh)
    assert client.get(f"/dicom-web{path_of(fresh)}", headers={"Accept": "application/dicom"}).content == fresh
    assert client.get("/dicom-web" + path_of(moved).split("/instances/")[0] + "/metadata").status_code == 200


# ---------------------------------------------------------------- store
def test_files_are_stored_and_named(house: House, client: TestClient) -> None:
    files = make_ct(7, slices=3)
    body, headers = related(*files)
    answer = client.post("/dicom-web/studies", content=body, headers=headers)
    assert answer.status_code == 200 and len(answer.json()["00081199"]["Value"]) == 3
    assert len(client.get("/dicom-web/instances").json()) == 3
    again = client.post("/dicom-web/studies", content=body, headers=headers)
    assert again.status_code == 200
    assert house.rows("select ended_at is not null as ended from gateway.association")[0]["ended"]
    audited = house.rows("select count(*) as n from center.audit where act = 'study:upload' and person_id = 't1'")
    assert audited == [{"n": 3}]


def test_good_and_bad_parts_are_told_apart(house: House, client: TestClient) -> None:
    good, cut, evil = (
        make_cr(1, size=(64, 64)),
        make_cr(2, size=(64, 64), flaw=Flaw.TRUNCATED),
        make_cr(3, size=(64, 64), flaw=Flaw.EVIL_UID),
    )
    body, headers = related(good, cut, evil)
    answer = client.post("/dicom-web/studies", content=body, headers=headers)
    assert answer.status_code == 202 and len(answer.json()["00081199"]["Value"]) == 1
    reasons = [
        i["00081197"]["Value"][0]
        for key in ("00081198", "0008119A")
        for i in answer.json().get(key, {}).get("Value", [])
    ]
    assert sorted(reasons) == [0xA900, 0xC000]
    only_bad = client.post("/dicom-web/studies", content=related(cut)[0], headers=headers)
    assert only_bad.status_code == 400 and "byte" in only_bad.json()["facts"] and only_bad.json()["zh"]


def test_other_content_is_kept_aside_with_a_warning(house: House, client: TestClient) -> None:
    first, other = make_cr(1, size=(64, 64)), make_cr(1, size=(64, 64), pixels=np.ones((64, 64), np.uint16))
    client.post("/dicom-web/studies", content=related(first)[0], headers=related()[1])
    answer = client.post("/dicom-web/studies", content=related(other)[0], headers=related()[1])
    assert answer.status_code == 202 and answer.json()["00081199"]["Value"][0]["00081196"]["Value"] == [0xB007]
    house.run_jobs()
    sha = house.rows("select sha256 from gateway.quarantine")[0]["sha256"]
    assert b"".join(house.store.open_range(str(sha))) == other
    assert client.get(f"/dicom-web{path_of(first)}", headers={"Accept": "application/dicom"}).content == first


BODIES = (
        (b"", {"Content-Type": 'multipart/related; type="application/dicom"; boundary=B0'}, 400),
        (b"--B0--\r\n", {"Content-Type": 'multipart/related; type="application/dicom"; boundary=B0'}, 400),
        (b"hello", {"Content-Type": "text/html"}, 415),
        (b"hello", {"Content-Type": 'multipart/related; type="application/dicom+json"; boundary=B0'}, 415),
        (b"hello", {"Content-Type": 'multipart/related; type="application/dicom"'}, 400),
        (b"garbage without any boundary", {"Content-Type": 'multipart/related; type="application/dicom"; boundary=B0'}, 400),
        (related(b"<html>", kind="text/html")[0], related()[1], 415),
)  # fmt: skip


def test_bodies_that_are_none(client: TestClient) -> None:
    for content, headers, status in BODIES:
        answer = client.post("/dicom-web/studies", content=content, headers=headers)
        assert (content, answer.status_code) == (content, status) and answer.json()["en"]


def test_a_body_cut_off_keeps_what_was_whole(house: House, client: TestClient) -> None:
    files = make_ct(8, slices=2)
    body, headers = related(*files)
    cut = body[: body.rindex(b"--B0\r\n") + 3000]
    answer = client.post("/dicom-web/studies", content=cut, headers=headers)
    assert answer.status_code == 400 and answer.json()["facts"]["parts"] == 1
    assert len(client.get("/dicom-web/instances").json()) == 1
    assert not list((house.folder / "spool").glob("*.part"))


def test_a_study_is_named_in_the_address(client: TestClient) -> None:
    raw = make_cr(1, size=(64, 64))
    body, headers = related(raw)
    study = path_of(raw).split("/")[2]
    assert client.post(f"/dicom-web/studies/{study}", content=body, headers=headers).status_code == 200
    other = client.post(
        f"/dicom-web/studies/{uid('other')}", content=related(make_cr(2, size=(64, 64)))[0], headers=headers
    )
    assert other.status_code == 409
    assert (
        client.post("/dicom-web/studies", content=raw, headers={"Content-Type": "application/dicom"}).status_code == 200
    )


def test_a_full_disk_answers_507_and_who_may_not_upload_403(house: House, client: TestClient) -> None:
    body, headers = related(make_cr(1, size=(64, 64)))
    assert client.post("/dicom-web/studies", content=body, headers={**headers, "x-person": "d1"}).status_code == 403
    house.free[0] = 0
    answer = client.post("/dicom-web/studies", content=body, headers=headers)
    assert answer.status_code == 507 and "retry-after" in answer.headers
    too_long = client.post("/dicom-web/studies", content=b"", headers={**headers, "Content-Length": str(1 << 40)})
    assert too_long.status_code == 413


# ---------------------------------------------------------------- through a case
@pytest.fixture
def case(house: House, access: Access) -> tuple[str, bytes, bytes]:
    """(address of the case's door, its film, another film of the clinic that is not of the case)."""
    film, stranger = make_cr(1, size=(64, 64)), make_cr(2, size=(64, 64), person=Person("S1001"))
    house.accept(film)
    house.accept(stranger)
    study = path_of(film).split("/")[2]
    access.grants["c1"] = Grant(CaseId("c1"), SHIGOU, Service.IMAGING, study, (), True)
    return "/cases/c1/dicom-web", film, stranger


def test_a_reader_sees_exactly_his_case(
    client: TestClient, case: tuple[str, bytes, bytes], access: Access, house: House
) -> None:
    root, film, stranger = case
    as_reader = {"x-person": "r1"}
    found = client.get(f"{root}/studies?00100020=S1001", headers=as_reader).json()
    assert [s["0020000D"]["Value"][0] for s in found] == [path_of(film).split("/")[2]]
    assert client.get(f"{root}{path_of(film)}/frames/1", headers={**as_reader, "Accept": FRAMES}).status_code == 200
    assert client.get(f"{root}{path_of(stranger)}/frames/1", headers={**as_reader, "Accept": FRAMES}).status_code == 404
    assert client.get("/cases/c2/dicom-web/studies", headers=as_reader).status_code == 404
    assert client.get("/dicom-web/studies", headers=as_reader).json() == []
    assert client.get(f"/dicom-web{path_of(film)}/metadata", headers=as_reader).status_code == 200
    assert house.rows("select count(*) as n from center.audit where act = 'case:images:view'") == [{"n": 1}]
    access.held = True
    assert client.get(f"{root}/studies", headers=as_reader).status_code == 409


def test_a_readers_result_bears_his_name_and_is_for_readers(
    house: House, client: TestClient, case: tuple[str, bytes, bytes]
) -> None:
    root, film, _ = case
    source = dcmread(BytesIO(film), stop_before_pixels=True)
    saved = Dataset()
    for keyword in ("PatientName", "PatientID", "StudyInstanceUID", "StudyDate", "StudyTime", "AccessionNumber"):
        setattr(saved, keyword, source.get(keyword, ""))
    saved.SpecificCharacterSet = "ISO_IR 192"
    saved.SOPClassUID, saved.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.88.22", uid("saved")
    saved.SeriesInstanceUID, saved.Modality, saved.VerificationFlag = uid("saved series"), "SR", "VERIFIED"
    observer, concept = Dataset(), Dataset()
    concept.CodeValue, concept.CodingSchemeDesignator, concept.CodeMeaning = "121008", "DCM", "Person Observer Name"
    observer.RelationshipType, observer.ValueType = "HAS OBS CONTEXT", "PNAME"
    observer.ConceptNameCodeSequence, observer.PersonName = [concept], "unknown^unknown"
    saved.ContentSequence = [observer]
    body, headers = related(written(saved))
    answer = client.post(f"{root}/studies", content=body, headers={**headers, "x-person": "r1"})
    assert answer.status_code == 200, answer.text
    address = f"/studies/{saved.StudyInstanceUID}/series/{saved.SeriesInstanceUID}/instances/{saved.SOPInstanceUID}"
    kept = client.get(f"{root}{address}", headers={"x-person": "r1", "Accept": "application/dicom"})
    held = dcmread(BytesIO(kept.content))
    assert str(held.ContentSequence[0].PersonName) == "陈屿" and held.VerificationFlag == "UNVERIFIED"
    assert client.get(f"/dicom-web{address}/metadata").status_code == 404  # the clinic does not see it
    assert client.get("/dicom-web/studies").json()[0]["00201208"]["Value"] == [1]
    rows = house.rows("select origin, visibility, person_id from gateway.instance where origin = 'result'")
    assert rows == [{"origin": "result", "visibility": "readers", "person_id": "r1"}]
    assert house.rows("select pending from gateway.study where study_uid = %(s)s", s=str(saved.StudyInstanceUID)) == [
        {"pending": 1}
    ]
    foreign = client.post(
        f"{root}/studies", content=related(make_cr(9, size=(64, 64)))[0], headers={**headers, "x-person": "r1"}
    )
    assert foreign.status_code == 409
    assert client.post(f"{root}/studies", content=body, headers={**headers, "x-person": "t1"}).status_code == 403


def test_machine_results_are_seen_by_readers_only(
    house: House, client: TestClient, case: tuple[str, bytes, bytes]
) -> None:
    root, film, _ = case
    study = path_of(film).split("/")[2]
    result = make_cr(3, size=(64, 64), study_uid=study, modality="DX")
    house.accept(result, origin=Origin.RESULT, visibility=Visibility.READERS, door="result")
    assert len(client.get(f"{root}/studies/{study}/series", headers={"x-person": "r1"}).json()) == 2
    assert len(client.get(f"/dicom-web/studies/{study}/series").json()) == 1


def test_an_identity_put_right_is_what_the_viewer_shows(house: House, client: TestClient) -> None:
    raw = make_cr(1, size=(64, 64))
    house.accept(raw)
    study = path_of(raw).split("/")[2]
    house.gateway.index.correct_identity(
        TECHNICIAN,
        SHIGOU,
        study,
        local_id="S2002",
        name="李四",
        sex="F",
        birth_date=date(1970, 1, 1),
        reason="选错患者",
    )
    shown = client.get(f"/dicom-web{path_of(raw)}/metadata").json()[0]
    assert shown["00100020"]["Value"] == ["S2002"] and shown["00100010"]["Value"] == [{"Alphabetic": "李四"}]
    assert client.get("/dicom-web/studies?PatientName=lisi").json()[0]["00100020"]["Value"] == ["S2002"]
    assert client.get(f"/dicom-web{path_of(raw)}", headers={"Accept": "application/dicom"}).content == raw


def test_json_is_gzipped_where_it_is_taken(house: House, client: TestClient) -> None:
    raw = make_cr(1, size=(64, 64))
    house.accept(raw)
    with client.stream("GET", f"/dicom-web{path_of(raw)}/metadata", headers={"Accept-Encoding": "gzip"}) as answer:
        assert answer.headers["content-encoding"] == "gzip"
        assert json.loads(gzip.decompress(b"".join(answer.iter_raw())))
