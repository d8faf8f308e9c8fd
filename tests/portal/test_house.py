"""/health sees the house: disk, spool, the own DICOM door, beats, jobs; what is wrong is named in both languages."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from pydicom import dcmread
from pynetdicom import AE

from center import postgres_driver as driver
from center.codes import Role
from center.identity import SYSTEM
from center.settings import Settings
from dicom_gateway.dimse.staging import Staged
from dicom_gateway.room import DoorWatch
from portal import house, wiring
from portal.parts import Parts
from portal.web import make_app
from tests import steps
from tests.house import csrf_of
from tests.portal.up import free_port, until

PASSWORD = "correct horse battery"
HTML = {"Accept": "text/html"}
NO_RESOURCES = 0xA700


@dataclass(frozen=True, slots=True)
class Small:
    """A center in this process, with its DIMSE door open."""

    parts: Parts
    near: TestClient
    far: TestClient

    def health(self) -> tuple[int, dict[str, Any]]:
        self.parts.look()
        assert self.parts.looking is not None
        self.parts.looking._echoed = None  # pyright: ignore[reportPrivateUsage]  # asked anew
        answer = self.near.get("/health")
        return answer.status_code, answer.json()

    def stored(self, file: Path) -> int:
        ae = AE(ae_title="DR")
        data_set = dcmread(file)
        ae.add_requested_context(data_set.SOPClassUID, data_set.file_meta.TransferSyntaxUID)
        opened = ae.associate("127.0.0.1", self.parts.settings.dicom.port, ae_title="HELAN")
        assert opened.is_established
        try:
            return int(opened.send_c_store(data_set).Status)
        finally:
            opened.release()


def settings_of(emptied: dict[str, str], folder: Path, **more: str) -> Settings:
    return Settings.parse({
        "HELAN_DATA": str(folder / "var"), "HELAN_DATABASE_WEB": emptied["helan_web"],
        "HELAN_DATABASE_SERVICE": emptied["helan_service"], "HELAN_PUBLIC_URL": "http://testserver",
        "HELAN_DICOM": f"127.0.0.1:{free_port()}", **more,
    })  # fmt: skip


@pytest.fixture
def small(emptied: dict[str, str], clinics: tuple[str, ...], tmp_path: Path) -> Iterator[Small]:
    with running(settings_of(emptied, tmp_path)) as made:
        yield made


@contextmanager
def running(settings: Settings) -> Iterator[Small]:
    door, web = wiring.open_parts(settings, "dicom"), wiring.open_parts(settings, "web")
    door.gateway.add_peer("DR", "shigou", "127.0.0.1")
    stop = threading.Event()
    thread = threading.Thread(target=wiring.run_dicom, args=(door, stop))
    thread.start()
    app = make_app(web)
    try:
        made = Small(web, TestClient(app, client=("127.0.0.1", 5000)), TestClient(app, client=("10.9.9.9", 5000)))
        until(lambda: web.gateway.echo_own("127.0.0.1", settings.dicom.port) is None, "the door to be open")
        yield made
    finally:
        stop.set()
        thread.join(20)
        web.live.stop()
        door.database.close()
        web.database.close()


def kill_a_job(emptied: dict[str, str]) -> None:
    with driver.connect(emptied["admin"], autocommit=True) as connection:
        connection.execute(
            "insert into center.job (clinic_id, handler, dedup, payload, state, attempts, error) values ('shigou',"
            " 'gateway.file_report', 'x', '{\"study_uid\": \"1.2.3.4\"}', 'dead', 20,"
            ' \'{"name": "invalid", "zh": "数字不对。", "en": "A number is wrong.", "at": "results.py:1"}\')'
        )


def test_all_is_well_and_every_part_is_named(small: Small) -> None:
    status, report = small.health()
    assert (status, report["status"]) == (200, "ok"), report
    expected = {
        "database",
        "store",
        "disk",
        "spool",
        "dimse",
        "clock",
        "jobs",
        "failed_jobs",
        "spooled",
        "objects",
        "loops",
        "processes",
    }
    assert set(report["checks"]) == expected and set(report["checks"].values()) == {"ok"}
    assert report["jobs"]["dead"] == 0 and report["spool_free_bytes"] > 0 and report["dead_jobs"] == []


def test_the_own_doors_title_may_ask_and_nothing_else(small: Small) -> None:
    title = (small.parts.settings.spool_dir / "door").read_text()
    assert len(title) <= 16 and (small.parts.settings.spool_dir / "door").stat().st_mode & 0o077 == 0
    ae = AE(ae_title=title)
    ae.add_requested_context("1.2.840.10008.5.1.4.1.1.1.1")
    opened = ae.associate("127.0.0.1", small.parts.settings.dicom.port, ae_title="HELAN")
    assert opened.is_established
    person = steps.made_person()
    file = steps.film_file(small.parts.settings.data, person)
    assert int(opened.send_c_store(dcmread(file)).Status) == NO_RESOURCES
    opened.release()


def test_without_its_spool_nothing_is_taken_in_and_everybody_is_told(small: Small, tmp_path: Path) -> None:
    file = steps.film_file(tmp_path, steps.made_person())
    assert small.stored(file) == 0x0000
    spool = small.parts.settings.spool_dir
    shutil.move(spool, tmp_path / "away")
    status, report = small.health()
    assert (status, report["status"]) == (503, "degraded") and report["checks"]["spool"] != "ok"
    assert "接收区" in report["sentences"]["spool"]["zh"] and report["checks"]["dimse"] == "ok"
    assert small.stored(file) == NO_RESOURCES
    shutil.move(tmp_path / "away", spool)
    assert small.health()[0] == 200
    assert small.stored(file) == 0x0000


def test_at_the_disks_reserve_health_says_so(emptied: dict[str, str], clinics: tuple[str, ...], tmp_path: Path) -> None:
    parts = wiring.open_parts(settings_of(emptied, tmp_path, HELAN_RESERVE_BYTES=str(1 << 60)), "web")
    try:
        found = {f.part: f for f in parts.look().parts}
    finally:
        parts.database.close()
    assert found["disk"].level is house.Level.BAD and "磁盘" in found["disk"].zh and "disk" in found["disk"].en
    assert found["dimse"].level is house.Level.BAD and "does not answer" in found["dimse"].en, "nobody listens there"


@pytest.fixture
def tight_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MB for the spool."""
    spool = tmp_path / "var" / "spool"
    spool.mkdir(parents=True, mode=0o700)
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "none", str(spool)], capture_output=True)
    if done.returncode:
        pytest.skip("may not mount a file system here")
    yield spool
    subprocess.run(["umount", "-l", str(spool)], check=True)


def test_at_0_bytes_free_a_c_store_is_a700_and_a_stow_507_and_both_go_on_afterwards(
    emptied: dict[str, str], clinics: tuple[str, ...], tmp_path: Path, tight_disk: Path
) -> None:
    with running(settings_of(emptied, tmp_path)) as small:
        file = steps.film_file(tmp_path, steps.made_person())
        small.parts.accounts.add_person("tech", "技", PASSWORD, [("shigou", Role.TECHNICIAN)])
        small.near.headers["Authorization"] = f"Bearer {small.parts.accounts.make_token('tech')}"
        filler = tight_disk / "filler"
        with filler.open("wb", buffering=0) as full:
            try:
                while full.write(bytes(4096)):
                    pass
            except OSError:
                pass
        assert shutil.disk_usage(tight_disk).free == 0
        assert small.stored(file) == NO_RESOURCES
        answer = steps.stow(small.near, file.read_bytes())
        assert answer.status_code == 507 and int(answer.headers["retry-after"]) > 0
        status, report = small.health()
        assert status == 503 and "disk" in report["sentences"] and "spool" in report["sentences"]
        assert report["checks"]["dimse"] == "ok", "the door itself answers"
        filler.unlink()
        assert small.stored(file) == 0x0000
        assert steps.stow(small.near, file.read_bytes()).status_code == 200
        assert small.health()[0] == 200


def test_a_staged_data_set_that_finds_no_room_is_dropped_and_says_why(tmp_path: Path) -> None:
    from center.errors import NoRoom, Unavailable

    with pytest.raises(Unavailable):
        missing = Staged(tmp_path / "gone")
        assert missing.write(b"x") == 1
        missing.check()
    full = Staged(tmp_path)
    full.close()
    full._fd = os.open("/dev/full", os.O_WRONLY)  # pyright: ignore[reportPrivateUsage]  # the kernel's own ENOSPC
    assert full.write(b"x" * 100) == 100
    with pytest.raises(NoRoom):
        full.check()
    assert not Path(full.name).exists()


def test_a_failed_job_warns_with_its_study_and_does_not_turn_the_center_red(
    small: Small, emptied: dict[str, str]
) -> None:
    kill_a_job(emptied)
    status, report = small.health()
    assert (status, report["status"], report["warnings"]) == (200, "warning", ["failed_jobs"])
    (job,) = report["dead_jobs"]
    assert (job["study_uid"], job["zh"], job["en"]) == ("1.2.3.4", "数字不对。", "A number is wrong.")
    stranger = small.far.get("/health").json()
    assert "dead_jobs" not in stranger and "beats" not in stranger and "1.2.3.4" not in str(stranger)
    assert stranger["jobs"]["dead"] == 1


def test_late_jobs_and_silent_or_ailing_loops_are_not_well(small: Small, emptied: dict[str, str]) -> None:
    with driver.connect(emptied["admin"], autocommit=True) as connection:
        connection.execute(
            "insert into center.job (clinic_id, handler, dedup, payload, run_at) values"
            " ('', 'gateway.move:abc', 'x', '{}', now() - interval '10 minutes'),"
            " ('', 'worklist.settle', 'x', '{}', now() + interval '1 hour')"
        )
        connection.execute(
            "insert into center.beat (host, process, loop, pid, at, age_s, ailing_s, within_s, failures) values"
            " ('h', 'worker', 'lane 0', 1, now() - interval '40 seconds', 1, 1, 120, 0),"
            " ('h', 'ecg-1', 'lane', 1, now(), 200, 200, 120, 0), ('h', 'web', 'live', 1, now(), 1, 500, 120, 90),"
            " ('h', 'dicom', 'dimse', 1, now(), 1, 1, 120, 0)"
        )
    status, report = small.health()
    assert status == 503 and report["jobs"]["lanes"].keys() == {"gateway.move"}
    assert 590 < report["jobs"]["oldest_s"] < 700
    said = report["checks"]["loops"]
    for one in ("worker@h has given no beat for 4", "ecg-1's lane has not turned", "web's live has failed each time"):
        assert one in said, said
    assert "dicom" not in said and "心跳" in report["sentences"]["loops"]["zh"]
    metrics = small.near.get("/metrics").text
    assert 'helan_center_loop_age_seconds{loop="lane",process="ecg-1"} 20' in metrics
    assert 'helan_center_part_well{part="loops"} 0.0' in metrics
    assert 'helan_center_jobs_oldest_seconds{handler="gateway.move"}' in metrics


def test_a_door_that_answers_nobody_is_dead_after_a_while_and_one_that_refuses_is_not(
    monkeypatch: pytest.MonkeyPatch, small: Small
) -> None:
    monkeypatch.setattr("dicom_gateway.room.ECHO_EVERY_S", 0.01)
    monkeypatch.setattr("dicom_gateway.room.DOOR_DEAD_S", 0.2)
    stop, port = threading.Event(), free_port()
    watch = DoorWatch(lambda: small.parts.gateway.echo_own("127.0.0.1", port))
    thread = threading.Thread(target=watch.serve, args=(stop,))
    thread.start()
    until(lambda: watch.is_dead, "the door to be given up")
    stop.set()
    thread.join(10)


# ---------------------------------------------------------------- the pages
def admin_of(small: Small, role: Role = Role.ADMINISTRATOR) -> TestClient:
    small.parts.accounts.add_person(f"a-{role.value}", "管", PASSWORD, [("county", role)])
    client = TestClient(small.near.app, follow_redirects=False, headers={**HTML, "Origin": "http://testserver"})
    assert client.post("/sign-in", data={"login": f"a-{role.value}", "password": PASSWORD}).status_code == 303
    return client


def test_the_administrators_page_says_the_same_in_both_languages(small: Small, emptied: dict[str, str]) -> None:
    kill_a_job(emptied)
    client = admin_of(small)
    for lang, said in (
        ("zh", ("自己的 DICOM 端口", "接收区所在磁盘", "数字不对。", "请留意")),
        ("en", ("own DICOM door", "Spool", "A number is wrong.", "Worth a look")),
    ):
        text = client.get(f"/administration?lang={lang}").text
        assert all(one in text for one in said), [one for one in said if one not in text]
        assert "health." not in text, "a line without its words"


@pytest.mark.parametrize("role", [Role.ADMINISTRATOR, Role.DISPATCHER])
def test_failed_jobs_are_seen_and_decided_on_their_page(small: Small, emptied: dict[str, str], role: Role) -> None:
    kill_a_job(emptied)
    client = admin_of(small, role)
    zh, en = client.get("/jobs?lang=zh").text, client.get("/jobs?lang=en").text
    assert "数字不对。" in zh and "把报告归档到检查旁" in zh and "1.2.3.4" in zh
    assert "A number is wrong." in en and "File a report beside its study" in en and "Given up" in en
    if role is Role.DISPATCHER:
        assert 'href="/jobs"' in client.get("/dispatch").text
    (job,) = client.get("/api/jobs").json()["jobs"]
    token = csrf_of(client, "/jobs")
    assert client.post(f"/jobs/{job['job']}/dismiss", data={"csrf": token, "reason": ""}).status_code == 422
    assert client.post(f"/jobs/{job['job']}/dismiss", data={"reason": "作废"}).status_code == 403, "forged"
    path, form = (
        (f"/jobs/{job['job']}/dismiss", {"reason": "作废"})
        if role is Role.DISPATCHER
        else (f"/jobs/{job['job']}/retry", {})
    )
    assert client.post(path, data={"csrf": token, **form}).headers["location"] == "/jobs"
    assert client.get("/api/jobs").json()["jobs"] == []
    with small.parts.database.transaction(SYSTEM) as work:
        states = [r["state"] for r in work.all("select state from center.job where handler = 'gateway.file_report'")]
    assert states == (["dismissed"] if role is Role.DISPATCHER else ["ready"])


def test_a_500_page_bears_the_same_headers_as_the_rest(small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    client = admin_of(small)
    client = TestClient(small.near.app, raise_server_exceptions=False, headers=HTML, cookies=dict(client.cookies))
    usual = client.get("/administration/clinics")
    monkeypatch.setattr(small.parts.accounts, "clinics", lambda *_: 1 / 0)
    for accept in ("text/html", "application/json"):
        broken = client.get("/administration/clinics", headers={"Accept": accept})
        assert broken.status_code == 500
        for name in ("content-security-policy", "x-content-type-options", "referrer-policy"):
            assert broken.headers[name] == usual.headers[name], name
        assert broken.headers["cache-control"] == "no-store" and "ZeroDivision" not in broken.text


def test_a_page_whose_query_was_cancelled_is_503_and_says_when_to_come_again(
    emptied: dict[str, str], clinics: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("center.database.LOCK_S", 0.3)
    parts = wiring.open_parts(settings_of(emptied, tmp_path), "web")
    try:
        app = TestClient(make_app(parts))
        client = admin_of(Small(parts, app, app))
        with driver.connect(emptied["admin"]) as held:
            held.execute("lock table center.agreement in access exclusive mode")
            answer = client.get("/administration/agreements")
        assert answer.status_code == 503 and int(answer.headers["retry-after"]) > 0 and "正忙" in answer.text
        assert client.get("/administration/agreements").status_code == 200
    finally:
        parts.database.close()
