"""A modality's own tools against the receiver, over real sockets."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmread
from pynetdicom import AE
from pynetdicom.dimse_messages import C_STORE_RQ
from pynetdicom.dimse_primitives import C_STORE

from center.identity import SYSTEM, ClinicId, system_for
from dicom_gateway.dimse.scp import Receiver
from dicom_gateway.dimse.scu import Sender
from tests.gateway.conftest import House
from tests.makers.dicom import IMPLICIT_LITTLE, Flaw, Person, make_cr, make_ct

SHIGOU = ClinicId("shigou")
BOTH = system_for(SHIGOU, ClinicId("helan"))


@pytest.fixture
def receiver(house: House) -> Iterator[Receiver]:
    house.gateway.register.add(SYSTEM, "SHIGOU_DR", SHIGOU)
    house.gateway.register.add(SYSTEM, "HELAN_DR", ClinicId("helan"))
    gateway = house.gateway
    receiver = Receiver(
        gateway.door,
        gateway.register,
        gateway.associations,
        "HELAN",
        "127.0.0.1",
        0,
        house.folder / "spool" / "arriving",
    )
    receiver.start()
    yield receiver
    receiver.stop()


def storescu(
    receiver: Receiver, *files: Path, aet: str = "SHIGOU_DR", called: str = "HELAN", more: tuple[str, ...] = ()
):
    assert shutil.which("storescu"), "DCMTK is needed: apt-get install dcmtk"
    return subprocess.run(
        ["storescu", "-v", "-aet", aet, "-aec", called, *more, "127.0.0.1", str(receiver.port), *map(str, files)],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip


def file(folder: Path, name: str, raw: bytes) -> Path:
    path = folder / name
    path.write_bytes(raw)
    return path


def test_a_modality_sends_and_what_is_kept_is_what_came(house: House, receiver: Receiver, tmp_path: Path) -> None:
    sent = [file(tmp_path, f"ct{n}.dcm", raw) for n, raw in enumerate(make_ct(3, slices=3))]
    result = storescu(receiver, *sent)
    assert result.returncode == 0, result.stderr
    study = dcmread(sent[0]).StudyInstanceUID
    summary = house.gateway.index.summary(BOTH, SHIGOU, study)
    assert (summary.instances, summary.modalities, summary.patient.name) == (3, frozenset({"CT"}), "张三")
    assert summary.source == "SHIGOU_DR" and summary.state == "arriving"
    kept = house.gateway.index.read_bytes(BOTH, SHIGOU, dcmread(sent[1]).SOPInstanceUID)
    assert kept.endswith(sent[1].read_bytes()[-5000:])
    rows = house.rows("select * from gateway.association")
    assert rows[0]["objects"] == 3 and rows[0]["ended_at"] is not None


def test_the_same_object_has_the_same_name_whoever_sends_it(house: House, receiver: Receiver, tmp_path: Path) -> None:
    path = file(tmp_path, "a.dcm", make_cr(4, size=(64, 64)))
    assert storescu(receiver, path).returncode == 0
    assert storescu(receiver, path, aet="HELAN_DR").returncode == 0
    one = house.rows("select sha256 from gateway.instance")
    other = house.rows("select sha256 from gateway.instance", "helan")
    assert one == other
    assert house.rows("select references_n from center.object") == [{"references_n": 2}]


def test_a_stranger_is_rejected(receiver: Receiver, tmp_path: Path) -> None:
    path = file(tmp_path, "a.dcm", make_cr(1, size=(64, 64)))
    result = storescu(receiver, path, aet="NOBODY")
    assert result.returncode != 0 and "Calling AE Title Not Recognized" in result.stderr + result.stdout
    result = storescu(receiver, path, called="OTHER")
    assert result.returncode != 0 and "Called AE Title Not Recognized" in result.stderr + result.stdout


def test_echo_answers(receiver: Receiver) -> None:
    result = subprocess.run(
        ["echoscu", "-aet", "SHIGOU_DR", "-aec", "HELAN", "127.0.0.1", str(receiver.port)],
        capture_output=True,
        timeout=20,
    )
    assert result.returncode == 0


def test_other_pixels_under_a_known_uid_are_kept_aside_with_a_warning(
    house: House, receiver: Receiver, tmp_path: Path
) -> None:
    first = make_cr(1, size=(64, 64))
    changed = bytearray(first)
    changed[-100] ^= 0xFF
    assert storescu(receiver, file(tmp_path, "a.dcm", first)).returncode == 0
    result = storescu(receiver, file(tmp_path, "b.dcm", bytes(changed)))
    assert "CoercionOfDataElements" in result.stderr
    assert [r["difference"] for r in house.rows("select difference from gateway.quarantine")] == [["7FE00010"]]
    again = storescu(receiver, file(tmp_path, "c.dcm", first))
    assert again.returncode == 0 and "Coercion" not in again.stderr


def test_implicit_and_explicit_of_the_same_data_set_are_the_same(
    house: House, receiver: Receiver, tmp_path: Path
) -> None:
    explicit = make_cr(1, size=(64, 64))
    implicit = make_cr(1, size=(64, 64), transfer_syntax=IMPLICIT_LITTLE)
    assert storescu(receiver, file(tmp_path, "a.dcm", explicit)).returncode == 0
    result = storescu(receiver, file(tmp_path, "b.dcm", implicit), more=("-xi",))
    assert result.returncode == 0 and "Coercion" not in result.stderr
    assert house.rows("select count(*) as n from gateway.quarantine") == [{"n": 0}]


def test_a_disk_at_its_reserve_is_answered_out_of_resources(house: House, receiver: Receiver, tmp_path: Path) -> None:
    house.free[0] = 1 << 20
    result = storescu(receiver, file(tmp_path, "a.dcm", make_cr(1, size=(64, 64))))
    assert "OutOfResources" in result.stderr
    house.free[0] = 1 << 40
    assert storescu(receiver, tmp_path / "a.dcm").returncode == 0


def test_one_association_lives_on_after_a_bad_object(house: House, receiver: Receiver, tmp_path: Path) -> None:
    good, bad = (
        dcmread(file(tmp_path, "g.dcm", make_cr(2, size=(64, 64)))),
        dcmread(file(tmp_path, "x.dcm", make_cr(3, size=(64, 64)))),
    )
    del bad.StudyInstanceUID
    ae = AE("SHIGOU_DR")
    ae.add_requested_context(good.SOPClassUID, "1.2.840.10008.1.2.1")
    association = ae.associate("127.0.0.1", receiver.port, ae_title="HELAN")
    assert association.is_established
    refused = association.send_c_store(bad)
    assert refused.Status == 0xA900 and len(refused.ErrorComment) <= 64
    assert association.send_c_store(good).Status == 0x0000
    association.release()


def test_a_sender_that_goes_in_the_middle_of_an_object_leaves_nothing(house: House, receiver: Receiver) -> None:
    request, message, film = C_STORE(), C_STORE_RQ(), "1.2.840.10008.5.1.4.1.1.1"
    request.MessageID, request.Priority, request.DataSet = 1, 2, BytesIO(bytes(100_000))
    request.AffectedSOPClassUID, request.AffectedSOPInstanceUID = film, "1.2.3"
    message.primitive_to_message(request)
    ae = AE("SHIGOU_DR")
    ae.add_requested_context(film, "1.2.840.10008.1.2.1")
    association = ae.associate("127.0.0.1", receiver.port, ae_title="HELAN")
    context_id = association.accepted_contexts[0].context_id
    assert context_id is not None
    for piece in list(message.encode_msg(context_id, 4096))[:-1]:
        association.dul.send_pdu(piece)
    arriving = house.folder / "spool" / "arriving"
    assert _within_10_s(lambda: list(arriving.iterdir()))
    association.abort()
    assert _within_10_s(lambda: not list(arriving.iterdir()))


def _within_10_s(true: Callable[[], object]) -> bool:
    end = time.monotonic() + 10
    while not true() and time.monotonic() < end:
        time.sleep(0.02)
    return bool(true())


def test_a_mislabelled_chinese_name_is_found_by_characters_and_pinyin(
    house: House, receiver: Receiver, tmp_path: Path
) -> None:
    raw = make_cr(9, size=(64, 64), person=Person(name="Shan^Xiong=单^雄"), flaw=Flaw.GB18030_AS_LATIN1)
    assert storescu(receiver, file(tmp_path, "a.dcm", raw)).returncode == 0
    patient = house.rows("select name, pinyin from center.patient")[0]
    assert patient["name"] == "单雄" and " shanxiong " in str(patient["pinyin"])
    sop = dcmread(tmp_path / "a.dcm").SOPInstanceUID
    kept = house.gateway.index.read_bytes(BOTH, SHIGOU, sop)
    assert "单".encode("gb18030") in kept  # the object's bytes stay as they came


def test_sending_goes_to_a_registered_peer_once(house: House, tmp_path: Path) -> None:
    inbox = tmp_path / "pacs"
    inbox.mkdir()
    port = _free_port()
    server = subprocess.Popen(["storescp", "-od", str(inbox), "-aet", "PACS", str(port)])
    try:
        _until_listening(port)
        house.gateway.register.add(SYSTEM, "PACS", SHIGOU, address=f"127.0.0.1:{port}")
        stored = house.accept(make_cr(5, size=(64, 64)))
        outcome = house.gateway.peers.send(SHIGOU, "PACS", "report:1", stored.sop_uid)
        assert outcome.acknowledged and outcome.status == 0
        assert house.gateway.peers.send(SHIGOU, "PACS", "report:1", stored.sop_uid).acknowledged
        assert len(list(inbox.iterdir())) == 1
        assert house.rows("select attempts, acknowledged from gateway.sending") == [
            {"attempts": 2, "acknowledged": True}
        ]
        assert Sender("HELAN").echo("PACS", "127.0.0.1", port).acknowledged
    finally:
        server.terminate()
        server.wait(10)
    failed = house.gateway.peers.send(SHIGOU, "PACS", "report:2", stored.sop_uid)
    assert not failed.acknowledged and failed.retry and failed.status is None
    unknown = house.gateway.peers.send(SHIGOU, "NOBODY", "report:3", stored.sop_uid)
    assert not unknown.acknowledged and not unknown.retry


def _free_port() -> int:
    import socket

    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def _until_listening(port: int) -> None:
    import socket
    import time

    for _ in range(100):
        with socket.socket() as s:
            if s.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
