"""kill -9 at eight places: the case goes on, nothing acknowledged is missing, nothing is done twice."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from center import faults
from portal.demo_studies import MadePerson
from tests import steps
from tests.region import Region, until
from tests.steps import Archive

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]

#: Places in the door, which the sender notices; the others are noticed by nobody outside.
DOOR = ("ingest.mid_object", "ingest.flushed", "ingest.committed")


@pytest.fixture(autouse=True)
def disarmed(fragile: Region) -> Iterator[None]:
    yield
    for point in faults.POINTS:
        (fragile.folder / "faults" / point).unlink(missing_ok=True)


def sent(region: Region, folder: Path) -> tuple[MadePerson, str, bytes]:
    """A film that was acknowledged: whose, its study, its file."""
    patient = steps.made_person()
    file = steps.film_file(folder, patient)
    region.storescu(file)
    return patient, steps.study_uid(file), file.read_bytes()


def died(region: Region, marker: Path) -> None:
    until(f"a process to die at {marker.name}", lambda: not marker.exists(), 60.0)


def once(region: Region, study: str) -> None:
    """One object, one case, one read of each input, one report of each version."""
    counts = {
        "instances": "select count(*) from gateway.instance where study_uid = %s and origin <> 'result'",
        "cases": 'select count(*) from worklist."case" where study_uid = %s',
    }
    for what, sql in counts.items():
        assert region.rows(sql, study) == [(1,)], what
    reads = region.rows(
        "select count(*), count(distinct (model, version, input_digest)) from inference.preliminary_read"
        " where study_uid = %s", study,
    )  # fmt: skip
    assert reads[0][0] == reads[0][1]
    versions = region.rows("select n, count(*) from worklist.report_version where study_uid = %s group by n", study)
    assert all(count == 1 for _, count in versions)


@pytest.mark.parametrize("point", DOOR)
def test_a_cut_in_the_door_loses_nothing_that_was_acknowledged(fragile: Region, tmp_path: Path, point: str) -> None:
    before, study_before, raw_before = sent(fragile, tmp_path)
    patient = steps.made_person()
    file = steps.film_file(tmp_path, patient)
    # the worker files reads through the same door: the cut is meant for the receiver
    filed = "select count(*) from gateway.instance where study_uid = %s and origin = 'result'"
    until("the first film's read to be filed", lambda: fragile.rows(filed, study_before)[0][0] > 0, 120.0)
    marker = fragile.arm(point)
    cut = fragile.storescu(file, check=False)
    died(fragile, marker)
    assert cut.returncode != 0, "nothing was acknowledged"
    again = until("the door to be back", lambda: fragile.storescu(file, check=False).returncode == 0, 60.0, 0.5)
    assert again
    reader = fragile.person("chenyu")
    for who, study, raw in ((before, study_before, raw_before), (patient, steps.study_uid(file), file.read_bytes())):
        steps.find_case(reader, who.local_id, within_s=120.0)  # an association of a dead process counts for 60 s
        once(fragile, study)
        steps.same_bytes(fragile, study, raw)


def test_a_cut_while_a_model_reads_leaves_one_read(fragile: Region, tmp_path: Path) -> None:
    marker = fragile.arm("inference.mid_read")
    patient, study, _ = sent(fragile, tmp_path)
    died(fragile, marker)
    reader = fragile.person("chenyu")
    row = steps.find_case(reader, patient.local_id)
    assert len(steps.wait_read(reader, row["case_id"], 90.0)) == 1
    once(fragile, study)


def signed_report(region: Region, folder: Path) -> tuple[str, str, str]:
    """(case, study, preview) that needs only the password."""
    patient, study, _ = sent(region, folder)
    reader = region.person("chenyu")
    case_id = steps.find_case(reader, patient.local_id)["case_id"]
    steps.wait_read(reader, case_id, 90.0)
    steps.take(reader, case_id)
    return case_id, study, steps.write(reader, case_id, steps.NORMAL)["sha256"]


def is_home_once(region: Region, archive: Archive, case_id: str, study: str) -> None:
    """Delivered: one version, one acknowledged delivery to each receiver, one document in the archive."""
    reader = region.person("chenyu")
    found = steps.wait_state(reader, case_id, "delivered", within_s=90.0)
    once(region, study)
    assert [v["version"] for v in found["versions"]] == [1]
    assert {d["recipient"]: d["state"] for d in found["deliveries"]} == {"page": "sent", "pacs:SHIGOU_PACS": "sent"}
    assert [a["acknowledged"] for d in found["deliveries"] for a in d["ledger"]].count(True) <= 1
    told = region.rows(
        "select count(*) from center.event where kind = 'DeliveryAcknowledged' and payload->>'case_id' = %s", case_id
    )
    assert told == [(2,)], "each receiver acknowledged once"
    documents = [p for p in archive.received() if study in steps.dump(p)]
    assert len(documents) == 1


def test_a_cut_right_after_the_signature_leaves_one_report(fragile: Region, archive: Archive, tmp_path: Path) -> None:
    case_id, study, preview = signed_report(fragile, tmp_path)
    marker = fragile.arm("report.signed")
    with pytest.raises(httpx.HTTPError):
        steps.sign(fragile.person("chenyu"), case_id, preview, fragile.password("chenyu"))
    died(fragile, marker)
    until("the pages to be back", lambda: fragile.health_code() == 200, 60.0)
    body = {"preview_sha256": preview, "password": fragile.password("chenyu")}
    again = fragile.person("chenyu").post(f"/api/cases/{case_id}/sign", json=body)
    assert again.status_code == 200 and again.json()["version"] == 1, "it is signed already, and says so"
    is_home_once(fragile, archive, case_id, study)


@pytest.mark.parametrize("point", ["report.before_stamp", "delivery.mid_send"])
def test_a_cut_on_the_way_home_delivers_once(fragile: Region, archive: Archive, tmp_path: Path, point: str) -> None:
    case_id, study, preview = signed_report(fragile, tmp_path)
    marker = fragile.arm(point)
    steps.sign(fragile.person("chenyu"), case_id, preview, fragile.password("chenyu"))
    died(fragile, marker)
    is_home_once(fragile, archive, case_id, study)


def test_a_killed_supervisor_leaves_nobody_behind_and_the_next_one_goes_on(fragile: Region, tmp_path: Path) -> None:
    patient, study, raw = sent(fragile, tmp_path)  # acknowledged, nothing else has happened yet
    pids = [fragile.pid_of(name) for name in ("web", "dicom", "worker", "inference")]
    fragile.kill_supervisor()
    until("its processes to end", lambda: not any(steps.lives(pid) for pid in pids), 40.0)
    fragile.start()
    assert "adopted" in fragile.output(), "the database lived on"
    reader = fragile.person("chenyu")
    steps.wait_read(reader, steps.find_case(reader, patient.local_id)["case_id"], 90.0)
    once(fragile, study)
    steps.same_bytes(fragile, study, raw)


def test_a_burst_of_signals_stops_each_process_in_order(fragile: Region) -> None:
    for name in ("worker", "inference", "dicom", "web"):
        pid = fragile.pid_of(name)
        for _ in range(300):
            try:
                os.kill(pid, signal.SIGTERM)
            except ProcessLookupError:
                break
        until(f"{name} to end", lambda pid=pid: not steps.lives(pid), 30.0)
    until("all of them to be back", lambda: fragile.health_code() == 200, 90.0)


def test_every_point_has_its_trial() -> None:
    tried = {*DOOR, "inference.mid_read", "report.signed", "report.before_stamp", "delivery.mid_send"}
    assert tried == set(faults.POINTS)
