"""Odd text on its whole way: STOW-RS -> row, list, search, viewer's JSON."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient

from dicom_gateway import dicom_json
from dicom_gateway.dicom_scan import scan
from tests.gateway import test_dicomweb as web
from tests.gateway.conftest import House
from tests.makers.oddities import element, item, part10

access, app, client = web.access, web.app, web.client  # fixtures
GB = "gb18030"


def store(client: TestClient, raw: bytes) -> None:
    body, headers = web.related(raw)
    answer = client.post("/dicom-web/studies", content=body, headers=headers)
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(
    ("declared", "name", "shown"),
    [
        (b"ISO_IR 100", "王建国".encode(GB), "王建国"),
        (b"\\ISO 2022 IR 58", b"Zhang^Xunjun=\x1b$)A\xd5\xc5^\x1b$)A" + "珣珺".encode(GB), "张珣珺"),
        (b"ISO_IR 192", "马\ue1a5明".encode(), "马〓明"),
        (b"GB18030", "马\ue1a5明".encode(GB), "马〓明"),
    ],
)
def test_the_name_is_right_in_list_search_and_viewer(
    house: House, client: TestClient, declared: bytes, name: bytes, shown: str
) -> None:  # fmt: skip
    cut = ("胸部正位检查" * 6).encode(GB)[:63]
    store(client, part10("t1", {0x00080005: (b"CS", declared), 0x00100010: (b"PN", name), 0x00081030: (b"LO", cut)}))
    assert house.rows("select name from center.patient") == [{"name": shown}]
    row = house.rows("select description from gateway.study")[0]
    assert str(row["description"]).startswith("胸部正位检查" * 5)
    for query in (shown, shown[:1] + "*", shown[0] + "?" + shown[-1], shown[0] + "〓" + shown[-1]):
        found = client.get("/dicom-web/studies", params={"PatientName": query}).json()
        assert len(found) == 1, query
    said = found[0]["00100010"]["Value"][0]
    assert [g.replace("\ue1a5", "〓").replace("^", "") for g in said.values()][-1] == shown
    study = found[0]["0020000D"]["Value"][0]
    metadata = client.get(f"/dicom-web/studies/{study}/metadata").json()[0]
    assert metadata["00080005"]["Value"] == ["ISO_IR 192"] and metadata["00100010"]["Value"] == [said]


def test_a_private_character_is_found_as_another_system_writes_it(house: House, client: TestClient) -> None:
    store(client, part10("t2", {0x00080005: (b"CS", b"ISO_IR 192"), 0x00100010: (b"PN", "马\ue1a5明".encode()), 0x00081030: (b"LO", "\ue1a5科".encode())}))  # fmt: skip
    for query in ({"PatientName": "马\ue1a5明"}, {"PatientName": "maming"}, {"StudyDescription": "\ue1a5科"}, {"StudyDescription": "〓科"}):  # fmt: skip
        assert len(client.get("/dicom-web/studies", params=query).json()) == 1, query
    assert client.get("/dicom-web/studies", params={"PatientName": "马明"}).json() == []  # not without its place


def test_codes_and_identifiers_in_chinese_are_text(house: House, client: TestClient) -> None:
    store(client, part10("t3", {0x00180015: (b"CS", "胸部".encode(GB)), 0x00100020: (b"LO", "门诊7".encode(GB)), 0x00080060: (b"CS", b"CR"), 0x00081010: (b"SH", "一号机".encode(GB))}))  # fmt: skip
    assert house.rows("select body_part from gateway.study") == [{"body_part": "胸部"}]
    found = client.get("/dicom-web/series", params={"BodyPartExamined": "胸部"}).json()[0]
    metadata = client.get(f"/dicom-web/studies/{found['0020000D']['Value'][0]}/metadata").json()[0]
    assert metadata["00180015"] == {"vr": "CS", "Value": ["胸部"]}
    assert (metadata["00100020"]["Value"], metadata["00081010"]["Value"]) == (["门诊7"], ["一号机"])


def test_an_item_is_read_by_the_set_that_it_declares() -> None:
    own = item(element(0x00080005, b"CS", b"ISO_IR 144"), element(0x00080104, b"LO", "Люк".encode("iso8859_5")))
    other = item(element(0x00080104, b"LO", "胸部".encode(GB)))
    metadata = dicom_json.metadata(scan(part10("t4", {0x00081032: (b"SQ", own + other), 0x00100010: (b"PN", "王".encode(GB))})))  # fmt: skip
    first, second = metadata["00081032"]["Value"]
    assert (first["00080104"]["Value"], second["00080104"]["Value"]) == (["Люк"], ["胸部"])
    assert "00080005" not in first  # all is UTF-8 now


def test_no_control_reaches_row_or_json(house: House, client: TestClient) -> None:
    store(client, part10("t5", {0x00100010: (b"PN", b"Ma\x1b^Ming\x00\x00"), 0x00081030: (b"LO", b"\x00CT \x1b\x07chest\x00\x00"), 0x00100020: (b"LO", b"\x00\x00 A1\x00")}))  # fmt: skip
    assert house.rows("select name, local_id from center.patient") == [{"name": "Ma Ming", "local_id": "A1"}]
    study = house.rows("select study_uid, description from gateway.study")[0]
    assert study["description"] == "CT chest"
    assert "\\u00" not in client.get(f"/dicom-web/studies/{study['study_uid']}/metadata").text
