"""Odd encodings on their way in: UN of known tags, VRs that are none, heads that lie or are missing, DICOMDIR."""

from __future__ import annotations

import socket
import struct
import subprocess
import time
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient
from pydicom import dcmread
from pynetdicom import AE, association

from center.errors import Unreadable
from center.reads import FilmInput
from dicom_gateway import dicom_json
from dicom_gateway.dicom_scan import frame_map, readable, scan
from dicom_gateway.dimse.scp import Receiver
from dicom_gateway.dimse.scu import Sender
from dicom_gateway.pixels import film_input
from tests.gateway import test_dicomweb as web
from tests.gateway import test_dimse as dimse
from tests.gateway.conftest import House
from tests.makers.dicom import CR_STORAGE, EXPLICIT_LITTLE, IMPLICIT_LITTLE
from tests.makers.oddities import (
    big_data_set,
    data_set,
    dicomdir,
    element,
    head,
    implicit,
    implicit_data_set,
    item,
    part10,
    tag_bytes,
    values,
)

access, app, client, receiver = web.access, web.app, web.client, dimse.receiver  # fixtures
SHIGOU, BOTH = dimse.SHIGOU, dimse.BOTH
EXPLICIT_BIG = "1.2.840.10008.1.2.2"
PREFIX = bytes(128) + b"DICM"


def un(tag: int, value: bytes) -> bytes:
    return element(tag, b"UN", value)


def un_undefined(tag: int, *items: bytes) -> bytes:
    return tag_bytes(tag) + b"UN\x00\x00\xff\xff\xff\xff" + b"".join(items) + b"\xfe\xff\xdd\xe0" + bytes(4)


def stow(client: TestClient, raw: bytes):
    body, headers = web.related(raw)
    return client.post("/dicom-web/studies", content=body, headers=headers)


# ---------------------------------------------------------------- UN
def test_known_tags_written_as_un_are_read_by_the_dictionary(house: House, client: TestClient) -> None:
    raw = part10("u1", {
        0x00080060: un(0x00080060, b"CR"), 0x00100010: un(0x00100010, "王建国".encode("gb18030")),
        0x00280010: un(0x00280010, struct.pack("<H", 32)), 0x00080020: un(0x00080020, b"2019.03.07"),
        0x0020000D: un(0x0020000D, values("u1")[0x0020000D][1]), 0x00080005: un(0x00080005, b"ISO_IR 100"),
        0x00091001: un(0x00091001, b"\x01\x02"), 0x00180060: un(0x00180060, b"120"),
    })  # fmt: skip
    assert stow(client, raw).status_code == 200
    row = client.get("/dicom-web/studies", params={"StudyDate": "20190307", "PatientName": "王建国"}).json()[0]
    assert row["00080061"]["Value"] == ["CR"]
    metadata = client.get(f"/dicom-web/studies/{row['0020000D']['Value'][0]}/metadata").json()[0]
    assert metadata["00080060"] == {"vr": "CS", "Value": ["CR"]}
    assert metadata["00100010"] == {"vr": "PN", "Value": [{"Alphabetic": "王建国"}]}
    assert metadata["00280010"] == {"vr": "US", "Value": [32]} and metadata["00180060"]["Value"] == [120]
    assert metadata["00091001"] == {"vr": "UN", "InlineBinary": "AQI="}  # a private one stays what it is


@pytest.mark.parametrize("depth", [1, 3])
@pytest.mark.parametrize("explicit", [False, True])
def test_a_sequence_as_un_of_known_length_has_items(depth: int, explicit: bool) -> None:
    inner = element(0x00080100, b"SH", b"CHEST") if explicit else implicit(0x00080100, b"CHEST")
    for _ in range(depth - 1):
        body = item(inner)
        inner = element(0x00082218, b"SQ", body) if explicit else implicit(0x00082218, body)
    for written in (un(0x00082218, item(inner)), un_undefined(0x00082218, item(inner))):
        metadata = dicom_json.metadata(scan(part10("u2", {0x00082218: written})))
        for _ in range(depth):
            metadata = metadata["00082218"]["Value"][0]
        assert metadata["00080100"] == {"vr": "SH", "Value": ["CHEST"]}


def test_bytes_that_are_no_items_stay_bytes() -> None:
    metadata = dicom_json.metadata(scan(part10("u3", {0x00082218: un(0x00082218, b"anything")})))
    assert metadata["00082218"]["vr"] == "UN" and metadata["00280010"]["Value"] == [32]


@pytest.mark.parametrize("blank", [b"", b"    ", b"\x00\x00", b" \x00"])
def test_empty_means_missing(house: House, client: TestClient, blank: bytes) -> None:
    raw = part10("e1", {
        t: element(t, vr, blank) for t, vr in ((0x00080005, b"CS"), (0x00080020, b"DA"), (0x00080030, b"TM"), (0x00080050, b"SH"), (0x00100010, b"PN"), (0x00100020, b"LO"), (0x00100030, b"DA"), (0x00100040, b"CS"), (0x00200011, b"IS"), (0x00200013, b"IS"), (0x00280008, b"IS"), (0x00281050, b"DS"))
    })  # fmt: skip
    assert stow(client, raw).status_code == 200
    assert house.rows("select local_id, name, sex, birth_date from center.patient") == [
        {"local_id": "", "name": "", "sex": "", "birth_date": None}
    ]
    found = client.get("/dicom-web/instances").json()[0]
    assert "Value" not in found["00080020"] and "Value" not in found["00200013"] and found["00280008"]["Value"] == [1]
    metadata = client.get(f"/dicom-web/studies/{found['0020000D']['Value'][0]}/metadata").json()[0]
    assert metadata["00100020"] == {"vr": "LO"} and metadata["00281050"] == {"vr": "DS"}


# ---------------------------------------------------------------- value representations
VRS = (b"  ", b"??", b"us", b"\x00\x00", b"OX", b"--", b"\xff\xff", b"U ", b"ZZ")


@pytest.mark.parametrize("vr", VRS)
@pytest.mark.parametrize("long", [False, True])
def test_a_vr_that_is_none_is_read_by_the_dictionary(vr: bytes, long: bool) -> None:
    odd = element(0x00280120, vr, struct.pack("<H", 63), long=long)
    raw = part10("v1", {0x00280120: odd})
    header = scan(raw)
    metadata = dicom_json.metadata(header)
    assert metadata["00280120"] == {"vr": "US", "Value": [63]}
    places = frame_map(header)
    assert places is not None and raw[places.offset :][: places.frame_bytes] == values("v1")[0x7FE00010][1]


@pytest.mark.parametrize("vr", [b"  ", b"??", b"QQ", b"lo"])
@pytest.mark.parametrize("long", [False, True])
@pytest.mark.parametrize("tag", [0x00080070, 0x00091001, 0x00104000, 0x00282110])
@pytest.mark.parametrize("value", [b"", b"value ", b"\x28\x00\x00\x00"])
def test_it_may_be_anywhere_and_of_any_length(vr: bytes, long: bool, tag: int, value: bytes) -> None:
    raw = part10("v2", {tag: element(tag, vr, value, long=long)})
    assert scan(raw).elements.keys() == {*values("v2"), tag}
    nested = element(
        0x00082218, b"SQ", item(element(0x00080100, b"SH", b"A "), element(tag | 0x8000, vr, value, long=long))
    )
    assert len(scan(part10("v3", {0x00082218: nested})).elements[0x00082218].items or ()) == 1


@pytest.mark.parametrize("vr", [b"OV", b"SV", b"UV", b"OD", b"OL", b"UC", b"UR"])
def test_vrs_of_later_editions_have_32_bits(vr: bytes) -> None:
    header = scan(part10("v4", {0x00091001: element(0x00091001, vr, struct.pack("<Q", 7))}))
    metadata = dicom_json.metadata(header)["00091001"]
    assert metadata["vr"] == vr.decode() and (vr not in (b"SV", b"UV") or metadata["Value"] == [7])


def test_an_element_without_vr_among_others_is_read() -> None:
    raw = part10("v5", {0x00081030: implicit(0x00081030, b"CT CHEST"), 0x00101010: implicit(0x00101010, b"")})
    assert scan(raw).text(0x00081030) == "CT CHEST" and scan(raw).frames == 1


def test_a_delimiter_too_many_is_passed_over() -> None:
    stray = b"\xfe\xff\x0d\xe0" + bytes(4)
    raw = part10("v6", {0x00082218: element(0x00082218, b"SQ", item(element(0x00080100, b"SH", b"A "), stray))})
    assert scan(raw).elements[0x00082218].items and scan(raw).frames == 1


@pytest.mark.parametrize("tail", [bytes(3), bytes(700), b"\xff" * 16, b"\r\n", b"padding!", b"\x00\x01"])
def test_what_pads_a_file_behind_its_pixels_is_passed_over(tail: bytes) -> None:
    for raw in (part10("v8"), data_set("v8")):
        header = scan(raw + tail)
        assert header.elements.keys() == values("v8").keys() and frame_map(header) == frame_map(scan(raw))


def test_a_signature_cut_behind_the_pixels_is_no_padding() -> None:
    with pytest.raises(Unreadable):
        scan(part10("v9") + element(0xFFFCFFFC, b"OB", bytes(200))[:-20])


def test_private_elements_may_be_odd_one_after_the_other() -> None:
    odd = ((0x00091001, b"  ", b"ab", False), (0x00091002, b"??", b"cdef", False), (0x00091003, b"zz", b"x ", True))
    raw = part10("v10", {tag: element(tag, vr, value, long=long) for tag, vr, value, long in odd})
    assert [scan(raw).raw(tag) for tag, *_ in odd] == [b"ab", b"cdef", b"x "]


def test_it_is_stored_as_it_came(house: House, client: TestClient) -> None:
    raw = part10("v7", {0x00280120: element(0x00280120, b"  ", struct.pack("<H", 63), long=False)})
    assert stow(client, raw).status_code == 200
    found = client.get("/dicom-web/instances").json()[0]
    path = "/dicom-web" + "/".join(["", "studies", found["0020000D"]["Value"][0], "series", found["0020000E"]["Value"][0], "instances", found["00080018"]["Value"][0]])  # fmt: skip
    assert (
        web.parts_of(client.get(path, headers={"accept": 'multipart/related; type="application/dicom"'}))[0][1] == raw
    )
    frame = client.get(path + "/frames/1", headers={"accept": web.FRAMES})
    assert web.parts_of(frame)[0][1] == values("v7")[0x7FE00010][1]


# ---------------------------------------------------------------- heads
@pytest.mark.parametrize(
    ("name", "syntax", "raw"),
    [
        ("another instance", EXPLICIT_LITTLE, PREFIX + head("h1", sop_uid="1.2.3.4.5") + data_set("h1")),
        ("another class", EXPLICIT_LITTLE, PREFIX + head("h1", sop_class="1.2.840.10008.5.1.4.1.1.7") + data_set("h1")),
        ("no syntax", EXPLICIT_LITTLE, PREFIX + head("h1", syntax=None) + data_set("h1")),
        ("a syntax that is none", EXPLICIT_LITTLE, PREFIX + head("h1", syntax="explicit") + data_set("h1")),
        ("no syntax, implicit", IMPLICIT_LITTLE, PREFIX + head("h1", syntax=None) + implicit_data_set("h1")),
        ("no syntax, big", EXPLICIT_BIG, PREFIX + head("h1", syntax=None) + big_data_set("h1")),
        ("says implicit", EXPLICIT_LITTLE, PREFIX + head("h1", syntax=IMPLICIT_LITTLE) + data_set("h1")),
        ("says explicit", IMPLICIT_LITTLE, PREFIX + head("h1") + implicit_data_set("h1")),
        ("says little", EXPLICIT_BIG, PREFIX + head("h1") + big_data_set("h1")),
        ("a letters-only head", EXPLICIT_LITTLE, PREFIX + data_set("h1")),
        ("no preamble", EXPLICIT_LITTLE, head("h1") + data_set("h1")),
        ("no preamble, implicit", IMPLICIT_LITTLE, head("h1", syntax=IMPLICIT_LITTLE) + implicit_data_set("h1")),
        ("no preamble but DICM", EXPLICIT_LITTLE, b"DICM" + head("h1") + data_set("h1")),
        ("no letters", EXPLICIT_LITTLE, bytes(128) + head("h1") + data_set("h1")),
        ("nothing", EXPLICIT_LITTLE, data_set("h1")),
        ("nothing, implicit", IMPLICIT_LITTLE, implicit_data_set("h1")),
        ("nothing, big", EXPLICIT_BIG, big_data_set("h1")),
        ("nothing, group length first", EXPLICIT_LITTLE, data_set("h1", {0x00080000: (b"UL", struct.pack("<I", 200))})),
        ("nothing, old recognition code", IMPLICIT_LITTLE, implicit(0x00080000, b"\x10\x01\x00\x00") + implicit(0x00080001, b"\x00\x10\x00\x00") + implicit_data_set("h1")),
    ],
)  # fmt: skip
def test_the_data_set_decides_over_its_head(
    house: House, client: TestClient, name: str, syntax: str, raw: bytes
) -> None:
    answer = stow(client, raw)
    assert answer.status_code == 200, (name, answer.text)
    sop = values("h1")[0x00080018][1].decode()
    assert answer.json()["00081199"]["Value"][0]["00081155"]["Value"] == [sop]
    row = house.rows("select sop_uid, transfer_syntax, sop_class_uid from gateway.instance")
    assert row == [{"sop_uid": sop, "transfer_syntax": syntax, "sop_class_uid": CR_STORAGE}]
    said = house.rows(
        "select detail ->> 'head_from_data_set' as why, length(detail ->> 'arrived_sha256') as n from center.audit"
        " where act = 'study:upload'"
    )
    assert said[0]["why"] and said[0]["n"] == 64
    found = client.get("/dicom-web/instances").json()[0]
    path = f"/dicom-web/studies/{found['0020000D']['Value'][0]}/series/{found['0020000E']['Value'][0]}/instances/{sop}"
    whole = web.parts_of(client.get(path, headers={"accept": 'multipart/related; type="application/dicom"'}))[0][1]
    held = dcmread(BytesIO(whole))
    assert (held.file_meta.MediaStorageSOPInstanceUID, held.file_meta.TransferSyntaxUID) == (sop, syntax)
    assert held.PatientName == "Odd^Seed" and held.pixel_array.shape == (32, 32)
    assert client.get(f"{path}/rendered").status_code == 200
    assert stow(client, raw).status_code == 200 and len(house.rows("select 1 from gateway.instance")) == 1  # the same


def test_a_head_whose_length_lies_is_read_and_kept(house: House, client: TestClient) -> None:
    for n, length in enumerate((0, 4, 9999)):
        raw = PREFIX + head(f"g{n}", group_length=length) + data_set(f"g{n}")
        assert stow(client, raw).status_code == 200
    assert len(house.rows("select 1 from gateway.instance")) == 3


def test_a_good_head_stays_byte_for_byte(house: House, client: TestClient) -> None:
    raw = part10("k1")
    assert stow(client, raw).status_code == 200 and scan(raw).noted == ()
    assert "head_from" not in str(house.rows("select detail from center.audit where act = 'study:upload'"))


@pytest.mark.parametrize("raw", [b"", b"\x08\x00", b"\x08\x00\x05\x00CS\x0a\x00ISO", b"\x08\x00\x10\x00" * 40, b"%PDF-1.4" + bytes(300), b"DICM", bytes(400)])  # fmt: skip
def test_what_is_no_data_set_is_refused(raw: bytes) -> None:
    with pytest.raises(Unreadable):
        scan(raw)


def test_an_acr_nema_file_is_told_to_be_one(house: House, client: TestClient) -> None:
    raw = implicit(0x00080000, b"\x10\x01\x00\x00") + implicit(0x00080010, b"ACR-NEMA 2.0")
    raw += implicit(0x00080060, b"CT") + implicit(0x00280010, b"\x20\x00")
    answer = stow(client, raw)
    assert (
        answer.status_code == 409 and "ACR-NEMA" in answer.json()["zh"] and answer.json()["facts"]["kind"] == "acr_nema"
    )


# ---------------------------------------------------------------- DICOMDIR
def test_a_dicomdir_is_an_index_and_said_so(house: House, client: TestClient) -> None:
    raw = dicomdir()
    for one in (raw, raw[132:], raw[raw.index(b"\x04\x00\x30\x11") :]):
        answer = stow(client, one)
        assert answer.status_code == 400 and "DICOMDIR" in answer.json()["zh"] and "DICOMDIR" in answer.json()["en"]
        assert answer.json()["facts"] == {"kind": "dicomdir"}
    body, headers = web.related(raw, part10("beside"))
    answer = client.post("/dicom-web/studies", content=body, headers=headers)
    assert answer.status_code == 202 and len(answer.json()["00081199"]["Value"]) == 1


# ---------------------------------------------------------------- what libraries are given
@pytest.mark.parametrize("raw", [
    data_set("r1"), implicit_data_set("r1"), head("r1") + data_set("r1"), PREFIX + head("r1", syntax=None) + data_set("r1"),
    part10("r1", {0x00280120: element(0x00280120, b"  ", b"?\x00", long=False)}),
    part10("r1", {0x00280120: element(0x00280120, b"QQ", b"?\x00", long=True)}),
    part10("r1", {0x00091001: element(0x00091001, b"??", b"?\x00", long=False)}),
    part10("r1", {0x00280010: un(0x00280010, struct.pack("<H", 32)), 0x00280100: un(0x00280100, struct.pack("<H", 16))}),
])  # fmt: skip
def test_a_model_gets_the_film_of_an_odd_file(raw: bytes) -> None:
    plain, odd = film_input(part10("r1")), film_input(raw)
    assert isinstance(plain, FilmInput) and isinstance(odd, FilmInput)
    assert np.array_equal(plain.pixels, odd.pixels)


def test_what_is_sound_is_given_as_it_is() -> None:
    raw = part10("r2")
    assert readable(raw) is raw and readable(b"garbage") == b"garbage"


# ---------------------------------------------------------------- C-STORE, both ways
ODD = part10("c1", {0x00280120: element(0x00280120, b"  ", b"?\x00", long=False), 0x00081030: (b"LO", b"odd")})


def test_an_odd_vr_by_c_store_is_taken_as_it_came(
    house: House, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    ae = AE(ae_title="SHIGOU_DR")
    ae.add_requested_context(CR_STORAGE, EXPLICIT_LITTLE)
    opened = ae.associate("127.0.0.1", receiver.port, ae_title="HELAN")
    assert opened.is_established
    body = ODD[scan(ODD).dataset_offset :]
    with monkeypatch.context() as patched:
        patched.setattr(association, "encode", lambda *_: body)  # a device's own bytes, which no library writes
        assert int(opened.send_c_store(dcmread(BytesIO(part10("c1")))).Status) == 0x0000
    opened.release()
    sop = values("c1")[0x00080018][1].decode()
    held = house.gateway.index.read_bytes(BOTH, SHIGOU, sop)
    assert held[scan(held).dataset_offset :] == body


def test_an_odd_vr_is_sent_with_its_bytes_as_they_are(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(["storescp", "+B", "-od", str(tmp_path), "-aet", "PACS", str(port)])
    try:
        sender = Sender("HELAN")
        end = time.monotonic() + 10
        while not sender.echo("PACS", "127.0.0.1", port).acknowledged and time.monotonic() < end:
            time.sleep(0.05)
        outcome = sender.store("PACS", "127.0.0.1", port, ODD)
        assert outcome.acknowledged, outcome
    finally:
        server.terminate()
        server.wait()
    (file,) = tmp_path.iterdir()
    assert file.read_bytes().endswith(ODD[scan(ODD).dataset_offset :])
