"""The one way in: acknowledged means durable, order and repeats don't matter, a refusal leaves nothing."""

from __future__ import annotations

import itertools
import os
import threading
from datetime import date
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import dcmread

from center.codes import Origin, Role, Visibility
from center.database import Database
from center.errors import Damaged, Failure, Forbidden, Invalid, Mismatched, NoRoom, NotFound, Unavailable, Unreadable
from center.identity import SYSTEM, Actor, ClinicId, Membership, PersonId, system_for
from center.jobs import Runner
from center.objects.directory import DirectoryStore
from center.ports import Provenance, Quarantined, Same, Stored
from dicom_gateway.completion import Arrivals, Complete, Wait, decide
from dicom_gateway.ingest import move_handler
from tests.gateway.conftest import House
from tests.makers.dicom import IMPLICIT_LITTLE, Flaw, Person, make_cr, make_ct

SHIGOU, HELAN = ClinicId("shigou"), ClinicId("helan")
BOTH = system_for(SHIGOU, HELAN)
TECHNICIAN = Actor(PersonId("t1"), "tech", "技师甲", memberships=frozenset({Membership(SHIGOU, Role.TECHNICIAN)}))


def spooled(house: House) -> list[Path]:
    return sorted(p for p in (house.folder / "spool").rglob("*") if p.is_file() and p.name != "host")


def test_what_is_acknowledged_is_in_the_spool_and_in_the_index(house: House) -> None:
    raw = make_cr(1, size=(64, 64))
    outcome = house.accept(raw)
    assert isinstance(outcome, Stored)
    assert [p.read_bytes() for p in spooled(house)] == [raw]
    assert house.gateway.index.read_bytes(BOTH, SHIGOU, outcome.sop_uid) == raw
    assert isinstance(house.accept(raw), Same)
    assert house.rows("select location, references_n from center.object") == [{"location": "spool", "references_n": 1}]


def test_the_spool_file_goes_only_after_the_store_has_it(house: House) -> None:
    raw = make_cr(1, size=(64, 64))
    outcome = house.accept(raw)
    house.run_jobs()
    assert spooled(house) == [] and b"".join(house.store.open_range(outcome.sha256)) == raw
    assert house.rows("select location, host from center.object") == [{"location": "store", "host": ""}]
    assert house.gateway.index.read_bytes(BOTH, SHIGOU, outcome.sop_uid) == raw


def test_a_store_away_holds_nobody_up_and_is_caught_up_later(house: House) -> None:
    objects = house.folder / "objects"
    objects.rename(house.folder / "gone")
    (house.folder / "objects").write_text("a file where a folder was")
    outcome = house.accept(make_cr(1, size=(64, 64)))
    house.run_jobs()
    assert house.rows("select state from center.job where handler like 'gateway.move%%'") == [{"state": "ready"}]
    objects.unlink()
    (house.folder / "gone").rename(objects)
    house.clock.advance(600)
    house.run_jobs()
    assert spooled(house) == [] and house.store.stat(outcome.sha256) is not None


@pytest.mark.parametrize(
    ("flaw", "failure"),
    [
        (Flaw.TRUNCATED, Unreadable), (Flaw.GARBAGE, Unreadable), (Flaw.LYING_LENGTH, Unreadable), (Flaw.DEEP, Unreadable),
        (Flaw.EVIL_UID, Mismatched), (Flaw.NO_STUDY_UID, Mismatched),
    ],
)  # fmt: skip
def test_a_refusal_leaves_nothing_and_says_why_in_both_languages(
    house: House, flaw: Flaw, failure: type[Failure]
) -> None:
    with pytest.raises(failure) as caught:
        house.accept(make_cr(1, size=(64, 64), flaw=flaw))
    assert caught.value.zh and caught.value.en and spooled(house) == []
    assert house.rows("select count(*) as n from gateway.study") == [{"n": 0}]
    with pytest.raises(Unreadable):
        house.accept(b"")


@pytest.mark.parametrize("flaw", [Flaw.WRONG_VR, Flaw.NO_PREAMBLE, Flaw.META_DIFFERS])
def test_what_the_data_set_itself_tells_is_taken_in(house: House, flaw: Flaw) -> None:
    whole = make_cr(1, size=(64, 64))
    outcome = house.accept(make_cr(1, size=(64, 64), flaw=flaw))
    assert isinstance(outcome, Stored) and outcome.sop_uid == dcmread(BytesIO(whole)).SOPInstanceUID
    assert isinstance(house.accept(whole), Same)  # however its head says it


def test_the_data_set_must_be_what_the_command_said(house: House) -> None:
    provenance = Provenance(SHIGOU, "dimse", SYSTEM, expected_sop_instance_uid="1.2.3")
    with pytest.raises(Mismatched) as caught:
        house.gateway.door.accept(BytesIO(make_cr(1, size=(64, 64))), provenance)
    assert caught.value.facts["said"] == "1.2.3" and spooled(house) == []


def test_the_disks_reserve_refuses_and_the_database_away_too(house: House, emptied: dict[str, str]) -> None:
    house.free[0] = (2 << 30) - 1
    with pytest.raises(NoRoom):
        house.accept(make_cr(1, size=(64, 64)))
    house.free[0] = 1 << 40
    nowhere = Database("host=127.0.0.1 port=1 dbname=x user=x", {}, wait_s=0.5)
    house.gateway.door._database = nowhere
    with pytest.raises(Unavailable):
        house.accept(make_cr(1, size=(64, 64)))
    nowhere.close()
    assert not [p for p in spooled(house) if p.suffix == ".part"]


# ---------------------------------------------------------------- a set
SEEDS = itertools.count(100)


@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_ingest_is_a_set(house: House, emptied: dict[str, str], data: st.DataObject) -> None:
    """Property 3: order, repeats and encodings don't matter; a refusal leaves nothing."""
    seed = next(SEEDS)
    files = make_ct(seed, slices=3, size=(16, 16))
    implicit = make_ct(seed, slices=3, size=(16, 16), transfer_syntax=IMPLICIT_LITTLE)
    broken = make_ct(seed, slices=1, size=(16, 16), flaw=Flaw.TRUNCATED)
    everything = [*files, *files, *implicit, *broken]
    arrivals = [everything[n] for n in data.draw(st.permutations(range(len(everything))))]
    stored = 0
    for raw in arrivals:
        try:
            stored += isinstance(house.accept(raw), Stored)
        except Unreadable:
            continue
    study = house.rows("select study_uid, pending from gateway.study order by first_arrival_at desc, study_uid")
    assert stored == 3
    uids = {r["study_uid"]: r["pending"] for r in study}
    assert uids[dcmread(BytesIO(files[0])).StudyInstanceUID] == 3
    assert house.rows("select count(*) as n from gateway.quarantine") == [{"n": 0}]


def test_many_at_once_are_each_stored_once(house: House) -> None:
    files = make_ct(5, slices=6, size=(16, 16)) * 2
    outcomes: list[object] = []

    def send(mine: list[bytes]) -> None:
        outcomes.extend(house.accept(raw) for raw in mine)

    threads = [threading.Thread(target=send, args=(files[n::3],)) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(outcomes) == 12 and sum(isinstance(o, Stored) for o in outcomes) == 6
    assert house.rows("select count(*) as n from gateway.instance") == [{"n": 6}]
    assert house.rows("select count(*) as n from center.patient") == [{"n": 1}]


def test_other_content_under_a_known_uid_is_kept_beside_the_first(house: House) -> None:
    first = house.accept(make_cr(1, size=(64, 64)))
    other = make_cr(1, size=(64, 64), PatientID="S9", WindowCenter="7")
    aside = house.accept(other)
    assert isinstance(aside, Quarantined) and aside.difference == ("00100020", "00281050")
    house.run_jobs()
    assert b"".join(house.store.open_range(aside.sha256)) == other
    assert isinstance(house.accept(other), Quarantined)  # again, after it was moved: one row
    assert house.rows("select count(*) as n from gateway.quarantine") == [{"n": 1}]
    assert house.gateway.index.read_bytes(BOTH, SHIGOU, first.sop_uid) != other
    assert len(house.gateway.index.instances(BOTH, SHIGOU, first.study_uid)) == 1


def test_two_clinics_store_the_same_uid_each_for_itself(house: House) -> None:
    raw = make_cr(1, size=(64, 64))
    assert isinstance(house.accept(raw), Stored) and isinstance(house.accept(raw, "helan"), Stored)
    assert (
        len(house.rows("select 1 from gateway.instance"))
        == 1
        == len(house.rows("select 1 from gateway.instance", "helan"))
    )
    assert house.rows("select references_n from center.object") == [{"references_n": 2}]


# ---------------------------------------------------------------- after a crash
def test_reclaim_adopts_nothing_unacknowledged_and_moves_what_was(house: House) -> None:
    spool = house.folder / "spool"
    kept = house.accept(make_cr(1, size=(64, 64)))
    (spool / "dead.part").write_bytes(b"half an object")
    orphan = spool / "ab" / ("ab" * 32)
    orphan.parent.mkdir(exist_ok=True)
    orphan.write_bytes(b"no row names me")
    for path in (spool / "dead.part", orphan):
        os.utime(path, (1, 1))
    with house.database.transaction(SYSTEM) as work:
        work.run("delete from center.job")
    counts = house.gateway.door.reclaim()
    assert counts == {"parts": 1, "orphans": 1, "moved": 0, "again": 1}
    house.run_jobs()
    assert spooled(house) == [] and house.store.stat(kept.sha256) is not None


def test_a_start_doubles_no_job_and_one_object_of_two_clinics_is_moved_once(house: House) -> None:
    raw = make_cr(1, size=(64, 64))
    house.accept(raw)
    house.accept(raw, "helan")
    assert house.gateway.door.reclaim()["again"] == 0
    assert len(house.rows("select 1 from center.job where handler like 'gateway.move%%'")) == 1
    house.run_jobs()
    assert spooled(house) == []


def stored(house: House, sha256: str) -> Path:
    return house.folder / "objects" / sha256[:2] / sha256[2:4] / sha256


@pytest.mark.parametrize("fault", ["lost", "cut", "one bit", "spool lost"])
def test_what_is_sent_again_takes_the_place_of_a_first_copy_that_is_lost_or_wrong(house: House, fault: str) -> None:
    """'Same' is said only of bytes that are there."""
    raw = make_cr(1, size=(64, 64))
    kept = house.accept(raw)
    if fault == "spool lost":
        spooled(house)[0].unlink()
    else:
        house.run_jobs()
        path = stored(house, kept.sha256)
        if fault == "lost":
            path.unlink()
        else:
            path.write_bytes(raw[:-9] if fault == "cut" else raw[:-1] + bytes([raw[-1] ^ 1]))
        with pytest.raises(NotFound if fault == "lost" else Damaged):
            house.gateway.index.read_bytes(BOTH, SHIGOU, kept.sop_uid)
    assert isinstance(house.accept(raw), Same)
    assert house.gateway.index.read_bytes(BOTH, SHIGOU, kept.sop_uid) == raw
    house.run_jobs()
    assert spooled(house) == [] and stored(house, kept.sha256).read_bytes() == raw
    assert house.gateway.index.read_bytes(BOTH, SHIGOU, kept.sop_uid) == raw
    assert house.rows("select damaged_at from center.object") == [{"damaged_at": None}]


def test_a_copy_that_is_right_is_left_where_it_is(house: House) -> None:
    raw = make_cr(1, size=(64, 64))
    house.accept(raw)
    house.run_jobs()
    assert isinstance(house.accept(raw), Same)
    assert spooled(house) == [] and house.run_jobs() == 0


def test_another_file_head_on_the_same_data_set_is_named_when_the_first_copy_is_lost(house: House) -> None:
    raw = make_cr(1, size=(64, 64))
    kept = house.accept(raw)
    house.run_jobs()
    stored(house, kept.sha256).unlink()
    other = bytes(128) + raw[128:]
    other = other[:0] + b"x" * 128 + other[128:]
    again = house.accept(other)
    assert isinstance(again, Same) and again.sha256 != kept.sha256
    house.run_jobs()
    assert house.gateway.index.read_bytes(BOTH, SHIGOU, kept.sop_uid) == other


def test_another_data_set_beside_a_lost_first_copy_is_kept_aside_not_refused(house: House) -> None:
    first, other = make_cr(1, size=(64, 64)), make_cr(1, size=(64, 64), WindowCenter="7")
    kept = house.accept(first)
    house.run_jobs()
    stored(house, kept.sha256).unlink()
    assert isinstance(house.accept(other), Quarantined)


def test_a_file_whose_row_says_store_is_dropped_at_the_next_start(house: House) -> None:
    raw = make_cr(1, size=(64, 64))
    kept = house.accept(raw)
    path = spooled(house)[0]
    house.run_jobs()
    path.write_bytes(raw)  # the process died between the row and the file
    assert house.gateway.door.reclaim()["moved"] == 1
    assert spooled(house) == [] and house.gateway.index.read_bytes(BOTH, SHIGOU, kept.sop_uid) == raw


def test_another_hosts_spool_is_503_until_moved(house: House, tmp_path: Path) -> None:
    from dicom_gateway.contents import Contents
    from dicom_gateway.spool import Spool

    kept = house.accept(make_cr(1, size=(64, 64)))
    elsewhere = Contents(house.database, house.store, Spool(tmp_path / "other-spool"), house.clock)
    with pytest.raises(Unavailable):
        elsewhere.read(kept.sha256)
    assert move_handler(Spool(tmp_path / "other-spool").host) not in house.gateway.handlers
    house.run_jobs()
    assert elsewhere.read(kept.sha256)


# ---------------------------------------------------------------- whose it is
def test_placeholder_ids_are_a_patient_of_their_own_each(house: House) -> None:
    one = house.accept(make_cr(1, size=(64, 64), flaw=Flaw.PLACEHOLDER_ID))
    two = house.accept(make_cr(2, size=(64, 64), flaw=Flaw.PLACEHOLDER_ID))
    index = house.gateway.index
    patients = {index.summary(BOTH, SHIGOU, s.study_uid).patient.patient_id for s in (one, two)}
    assert len(patients) == 2 and index.priors(BOTH, SHIGOU, one.study_uid) == []
    assert index.summary(BOTH, SHIGOU, one.study_uid).identity_notes == ("placeholder_id",)


def test_priors_are_of_the_same_patient_and_clinic(house: House) -> None:
    one, two = house.accept(make_cr(1, size=(64, 64))), house.accept(make_cr(2, size=(64, 64)))
    house.accept(make_cr(3, size=(64, 64)), "helan")
    index = house.gateway.index
    assert [s.study_uid for s in index.priors(BOTH, SHIGOU, one.study_uid)] == [two.study_uid]
    assert {s.study_uid for s in index.recent(BOTH, SHIGOU)} == {one.study_uid, two.study_uid}
    with pytest.raises(NotFound):
        index.summary(system_for(HELAN), SHIGOU, one.study_uid)


def test_a_wrong_identity_is_put_right_by_the_clinic_and_told(house: House) -> None:
    raw = make_cr(1, size=(64, 64), flaw=Flaw.PLACEHOLDER_ID)
    study = house.accept(raw)
    index = house.gateway.index
    right = {"local_id": "S77", "name": "单雄", "sex": "M", "birth_date": date(1950, 1, 2)}
    assert index.correct_identity(TECHNICIAN, SHIGOU, study.study_uid, reason="设备未录入", **right) == 1
    summary = index.summary(BOTH, SHIGOU, study.study_uid)
    assert (summary.patient.local_id, summary.patient.name, summary.identity_notes) == ("S77", "单雄", ())
    assert house.rows("select kind, key from center.event") == [
        {"kind": "IdentityCorrected", "key": f"{study.study_uid}:1"}
    ]
    assert index.read_bytes(BOTH, SHIGOU, study.sop_uid) == raw
    house.accept(make_cr(5, size=(64, 64), person=Person("S88", "Wang^Wu=王^五")))
    with pytest.raises(Invalid):
        index.correct_identity(TECHNICIAN, SHIGOU, study.study_uid, reason="x", **{**right, "local_id": "S88"})
    stranger = Actor(PersonId("d"), "d", "d", memberships=frozenset({Membership(SHIGOU, Role.DISPATCHER)}))
    with pytest.raises((Forbidden, NotFound)):
        index.correct_identity(stranger, SHIGOU, study.study_uid, reason="x", **right)


# ---------------------------------------------------------------- completion
def events(house: House) -> list[tuple[object, object]]:
    return [(e["kind"], e["key"]) for e in house.rows("select kind, key from center.event order by id")]


def test_a_film_completes_after_its_quiet_time_and_late_objects_extend_it(house: House) -> None:
    files = make_ct(1, slices=3, size=(16, 16))
    study = house.accept(files[0]).study_uid
    house.clock.advance(30)
    house.accept(files[1])
    house.clock.advance(59)
    house.run_jobs()
    assert events(house) == []
    house.clock.advance(2)
    house.run_jobs()
    assert events(house) == [("StudyCompleted", f"{study}:1")]
    summary = house.gateway.index.summary(BOTH, SHIGOU, study)
    assert (summary.state, summary.generation) == ("complete", 1)
    house.accept(files[2])
    house.clock.advance(61)
    house.run_jobs()
    assert events(house)[1:] == [("StudyExtended", f"{study}:2")]
    house.accept(files[2])
    house.clock.advance(120)
    house.run_jobs()
    assert len(events(house)) == 2


def test_results_never_touch_completion_or_counts(house: House) -> None:
    study = house.accept(make_cr(1, size=(64, 64)), whole=True).study_uid
    house.accept(
        make_cr(2, size=(64, 64), study_uid=study, modality="DX"), origin=Origin.RESULT, visibility=Visibility.READERS
    )
    house.clock.advance(1000)
    house.run_jobs()
    assert events(house) == [("StudyCompleted", f"{study}:1")]
    assert house.gateway.index.summary(BOTH, SHIGOU, study).instances == 1
    with pytest.raises(Mismatched):
        house.accept(make_cr(3, size=(64, 64)), origin=Origin.RESULT)


def test_what_is_complete_on_arrival_waits_for_nothing(house: House) -> None:
    raw = make_cr(1, size=(64, 64))
    study = house.accept(raw, whole=True).study_uid
    assert events(house) == [("StudyCompleted", f"{study}:1")]
    house.accept(raw, whole=True)
    assert len(events(house)) == 1
    other = house.accept(make_cr(2, size=(64, 64))).study_uid
    house.gateway.door.finish_upload(TECHNICIAN, SHIGOU, [other])
    assert events(house)[1:] == [("StudyCompleted", f"{other}:1")]


def test_an_open_association_is_waited_for_until_it_is_dead(house: House) -> None:
    association = house.gateway.associations.begin("CT", SHIGOU, "127.0.0.1")
    provenance = Provenance(SHIGOU, "dimse", SYSTEM, association=association)
    house.gateway.door.accept(BytesIO(make_ct(1, slices=1, size=(16, 16))[0]), provenance)
    for _ in range(10):
        house.clock.advance(10)
        house.gateway.associations.beat()
        house.run_jobs()
    assert events(house) == []
    house.clock.advance(61)  # its process died: nobody beats any more
    house.run_jobs()
    assert len(events(house)) == 1


def test_the_longest_wait_ends_in_a_partial_study(house: House) -> None:
    now = house.clock.now()
    arrivals = Arrivals(now, now, frozenset({"CT"}), open_association=True)
    assert decide(arrivals, now, 60) == Wait(house.clock.now().replace(minute=1))
    house.clock.advance(900)
    assert decide(arrivals, house.clock.now(), 60) == Complete(partial=True)
    late = Arrivals(now, house.clock.now(), frozenset({"CT"}))
    assert decide(late, house.clock.now(), 60) == Complete(partial=True)


# ---------------------------------------------------------------- who sees rows
def test_row_security_stands_behind_every_table(house: House, web_database: Database) -> None:
    house.accept(make_cr(1, size=(64, 64)))
    house.accept(make_cr(1, size=(64, 64), PatientID="S3"))
    for table in ("study", "series", "instance", "quarantine"):
        with web_database.transaction(system_for(HELAN)) as work:
            assert work.all(f"select 1 from gateway.{table}") == []
        with web_database.transaction(system_for(SHIGOU)) as work:
            assert work.all(f"select 1 from gateway.{table}") != []


def test_the_moving_job_of_one_host_is_run_by_its_own_workers_only(house: House, store: DirectoryStore) -> None:
    house.accept(make_cr(1, size=(64, 64)))
    others = {n: h for n, h in house.gateway.handlers.items() if not n.startswith("gateway.move")}
    assert (
        Runner(house.database, {"gateway.move:elsewhere": lambda _: None, **others}, house.clock).run_until_idle() == 0
    )
    assert len(spooled(house)) == 1
