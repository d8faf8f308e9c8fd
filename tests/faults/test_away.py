"""Database, store and disk taken away and given back: what was acknowledged is there, everything else says when."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pydicom import dcmread
from pynetdicom import AE
from pynetdicom.association import Association

from center.postgres import EmbeddedPostgres
from portal.demo_studies import MadePerson
from tests import steps
from tests.contracts import seaweed
from tests.region import Region, region, until

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]

DX_STORAGE = "1.2.840.10008.5.1.4.1.1.1.1"
NO_RESOURCES = 0xA700


@contextmanager
def association(where: Region, aet: str = "SHIGOU_DR") -> Iterator[Association]:
    """An association of our own, so that something can happen between two of its C-STOREs."""
    ae = AE(ae_title=aet)
    ae.add_requested_context(DX_STORAGE, "1.2.840.10008.1.2.1")  # as the file is: nothing is written anew
    opened = ae.associate("127.0.0.1", where.dicom_port, ae_title="HELAN")
    assert opened.is_established
    try:
        yield opened
    finally:
        opened.release() if opened.is_established else opened.abort()


def stored(opened: Association, file: Path) -> int:
    """The status of one C-STORE."""
    return int(opened.send_c_store(dcmread(file)).Status)


def made(folder: Path) -> tuple[MadePerson, Path]:
    patient = steps.made_person()
    return patient, steps.film_file(folder, patient)


@contextmanager
def frozen_supervisor(where: Region) -> Iterator[None]:
    """It brings nothing back meanwhile."""
    assert where.process is not None
    where.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        where.process.send_signal(signal.SIGCONT)


# ---------------------------------------------------------------- the database
def test_without_its_database_the_center_refuses_and_then_goes_on(fragile: Region, tmp_path: Path) -> None:
    reader = fragile.person("chenyu")
    (first, file_one), (second, file_two) = made(tmp_path), made(tmp_path)
    with association(fragile) as opened:
        assert stored(opened, file_one) == 0x0000
        with frozen_supervisor(fragile):
            server = EmbeddedPostgres(fragile.data).pid
            assert server is not None
            os.kill(server, signal.SIGKILL)
            until("the server to be gone", lambda: not steps.lives(server), 10.0)
            assert stored(opened, file_two) == NO_RESOURCES, "the sender is told to try again"
            program = reader.get("/api/worklist")
            page = reader.get("/worklist", headers={"Accept": "text/html"})
            for answer in (program, page):
                assert answer.status_code == 503 and int(answer.headers["Retry-After"]) > 0, answer.text[:300]
            assert "数据库" in page.text and program.json()["en"] and fragile.health_code() == 503
            assert fragile.storescu(file_two, check=False).returncode != 0, "nobody can be recognised now"
    until("the database to be back", lambda: reader.get("/api/worklist").status_code == 200, 60.0, 0.3)
    fragile.storescu(file_two)
    for patient, file in ((first, file_one), (second, file_two)):
        # that the first association has ended could not be written down: it counts as alive for 60 s
        steps.find_case(reader, patient.local_id, within_s=120.0)
        steps.same_bytes(fragile, steps.study_uid(file), file.read_bytes())
    fragile.wait_healthy(150.0)


def test_killed_database_comes_back_by_itself_with_all_that_was_acknowledged(fragile: Region, tmp_path: Path) -> None:
    sent = [made(tmp_path) for _ in range(5)]
    for _, file in sent:
        fragile.storescu(file)
    server = EmbeddedPostgres(fragile.data).pid
    assert server is not None
    os.kill(server, signal.SIGKILL)
    reader = fragile.person_when_back("chenyu")
    for patient, file in sent:
        # the end of the last association may not have been written down: it counts as alive for 60 s
        steps.find_case(reader, patient.local_id, within_s=120.0)
        steps.same_bytes(fragile, steps.study_uid(file), file.read_bytes())


# ---------------------------------------------------------------- the object store
def moved_to_store(where: Region, file: Path) -> bool:
    """The study's object is in the store, and nowhere else."""
    found = where.rows(
        "select o.location from gateway.instance i join center.object o using (sha256)"
        " where i.study_uid = %s and i.origin <> 'result'", steps.study_uid(file),
    )  # fmt: skip
    return found == [("store",)]


def retrieved(where: Region, file: Path) -> tuple[int, str]:
    """(status, Retry-After) of asking for the file's study."""
    with steps.bearer(where, "haixiaoyan") as program:
        headers = {"Accept": 'multipart/related; type="application/dicom"; transfer-syntax=*'}
        answer = program.get(f"/dicom-web/studies/{steps.study_uid(file)}", headers=headers)
        return answer.status_code, answer.headers.get("Retry-After", "")


def arrives_without_store(where: Region, known: Path, folder: Path) -> Path:
    """What arrived while the store is away: it is taken in and can be read; what is only in the store says when."""
    patient, file = made(folder)
    where.storescu(file)
    reader = where.person("chenyu")
    case_id = steps.find_case(reader, patient.local_id)["case_id"]
    assert retrieved(where, file)[0] == 200, "it is still in the spool"
    steps.wait_read(reader, case_id, 90.0)
    status, wait_s = retrieved(where, known)
    assert status == 503 and int(wait_s) > 0
    assert where.health_code() == 503, "/health says that the store is away"
    return file


def test_with_its_store_folder_gone_the_center_takes_in_and_moves_later(fragile: Region, tmp_path: Path) -> None:
    _, known = made(tmp_path)
    fragile.storescu(known)
    until("the object to be moved", lambda: moved_to_store(fragile, known), 40.0)
    objects, aside = fragile.data / "objects", fragile.data / "objects-away"
    objects.rename(aside)
    try:
        file = arrives_without_store(fragile, known, tmp_path)
    finally:
        assert not objects.exists(), "nothing is written where the store should be"
        aside.rename(objects)
    assert retrieved(fragile, known)[0] == 200
    until("what arrived to be moved", lambda: moved_to_store(fragile, file), 120.0, 0.5)
    steps.same_bytes(fragile, steps.study_uid(file), file.read_bytes())


def test_with_its_s3_store_stopped_the_center_takes_in_and_moves_later(tmp_path: Path) -> None:
    folder = tmp_path / "weed"
    folder.mkdir()
    ports = seaweed.free_ports(seaweed.PORTS)
    environ = {
        "HELAN_OBJECTS": "s3://helan-objects", "HELAN_S3_ENDPOINT": f"http://127.0.0.1:{ports[0]}",
        "HELAN_S3_ACCESS_KEY": seaweed.ACCESS_KEY, "HELAN_S3_SECRET_KEY": seaweed.SECRET_KEY,
    }  # fmt: skip
    _, known = made(tmp_path)
    with region_over(folder, ports, environ) as (where, server):
        where.storescu(known)
        until("the object to be moved", lambda: moved_to_store(where, known), 60.0)
        steps.same_bytes(where, steps.study_uid(known), known.read_bytes())
        server.process.kill()
        file = arrives_without_store(where, known, tmp_path)
        with seaweed.running(folder, ports):
            until("what arrived to be moved", lambda: moved_to_store(where, file), 150.0, 0.5)
            steps.same_bytes(where, steps.study_uid(file), file.read_bytes())
            steps.same_bytes(where, steps.study_uid(known), known.read_bytes())


@contextmanager
def region_over(folder: Path, ports: list[int], environ: dict[str, str]) -> Iterator[tuple[Region, seaweed.Server]]:
    """A region on a server that the test may kill."""
    with seaweed.running(folder, ports) as server:
        client = seaweed.Minio(
            server.endpoint.removeprefix("http://"), access_key=seaweed.ACCESS_KEY, secret_key=seaweed.SECRET_KEY,
            secure=False,
        )  # fmt: skip
        client.make_bucket("helan-objects")
        with region(demo=True, **environ) as where:
            yield where, server


# ---------------------------------------------------------------- the disk
def test_at_the_disks_reserve_nothing_is_taken_in_and_all_else_goes_on(fragile: Region, tmp_path: Path) -> None:
    patient, before = made(tmp_path)
    fragile.storescu(before)
    reader = fragile.person("chenyu")
    case_id = steps.find_case(reader, patient.local_id)["case_id"]
    steps.wait_read(reader, case_id, 90.0)
    fragile.stop()
    fragile.start(HELAN_RESERVE_BYTES=str(1 << 60))
    try:
        reader = fragile.person("chenyu")
        _, file = made(tmp_path)
        with association(fragile) as opened:
            assert stored(opened, file) == NO_RESOURCES
        with steps.bearer(fragile, "haixiaoyan") as program:
            answer = steps.stow(program, file.read_bytes())
            assert answer.status_code == 507 and int(answer.headers["Retry-After"]) > 0, answer.text[:300]
        assert retrieved(fragile, before)[0] == 200
        steps.take(reader, case_id)
        made_preview = steps.write(reader, case_id, steps.NORMAL)
        steps.sign(reader, case_id, made_preview["sha256"], fragile.password("chenyu"))
        steps.wait_state(reader, case_id, "delivered", "final")
    finally:
        fragile.stop()
        fragile.start()
    fragile.storescu(file)


# ---------------------------------------------------------------- the line
def test_a_2_gb_upload_cut_half_way_leaves_nothing_and_harms_nobody(fragile: Region, tmp_path: Path) -> None:
    token = steps.token(fragile, "haixiaoyan")
    boundary, whole, half = "cut", 2 << 30, 1 << 30
    _, file = made(tmp_path)
    head = (
        f"POST /dicom-web/studies HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n"
        f'Content-Type: multipart/related; type="application/dicom"; boundary={boundary}\r\n'
        f"Content-Length: {whole}\r\n\r\n--{boundary}\r\nContent-Type: application/dicom\r\n\r\n"
    ).encode()
    web = fragile.pid_of("web")
    with socket.create_connection(("127.0.0.1", fragile.http_port), timeout=60.0) as line:
        line.sendall(head + file.read_bytes()[:5000])
        slab, went = bytes(1 << 20), 0
        while went < half:
            line.sendall(slab)
            went += len(slab)
            if went % (256 << 20) == 0:  # others are served meanwhile
                assert fragile.health_code() in (200, 503)
        used = steps.memory_bytes(web)
    assert used < 1 << 30, f"{used >> 20} MiB: an upload is streamed, not held"
    spool = fragile.data / "spool"
    until("the piece to be removed", lambda: not list(spool.glob("*.part")), 30.0)
    assert fragile.pid_of("web") == web, "the same process lives on"
    assert fragile.rows("select count(*) from gateway.study where study_uid = %s", steps.study_uid(file)) == [(0,)]
    fragile.storescu(file)


def test_idle_connections_at_the_dicom_door_keep_nobody_out(fragile: Region, tmp_path: Path) -> None:
    idle = [socket.create_connection(("127.0.0.1", fragile.dicom_port), timeout=10.0) for _ in range(100)]
    try:
        idle[0].sendall(b"\x01\x00")  # an A-ASSOCIATE-RQ that never goes on
        idle[1].sendall(b"GET / HTTP/1.1\r\n\r\n")
        began = time.monotonic()
        _, file = made(tmp_path)
        fragile.storescu(file)
        assert time.monotonic() - began < 15.0
    finally:
        for one in idle:
            one.close()
    shutil.rmtree(tmp_path, ignore_errors=True)
