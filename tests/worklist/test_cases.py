"""Studies become cases, grow, are put right and are read by a machine: on a real database, each handler also twice."""

from __future__ import annotations

import threading
from datetime import date, timedelta

import pytest

from center.codes import Role, Urgency
from center.errors import Invalid, NotFound, WrongState
from center.events import PreliminaryReadMade
from center.identity import system_for
from center.patients import PatientIdentity
from center.reads import Decision, Tier, ecg_not_read
from tests.makers.ecg_reads import POOR, ecg_read
from tests.worklist.bench import ABSTAINED, HELAN, SHIGOU, Bench, finding, person, reader
from worklist.lifecycle import CaseState
from worklist.records import RequestForm
from worklist.store import SQL

READER = reader()
TECHNICIAN = person(Role.TECHNICIAN)


def test_a_complete_study_waits_in_the_queue_with_its_due_time(bench: Bench) -> None:
    case = bench.arrive()
    assert case.state is CaseState.QUEUED
    assert case.urgency is Urgency.ROUTINE
    assert case.due_at == case.completed_at + timedelta(hours=2)
    assert case.flags == {"request_missing"}
    assert case.patient_name == "马忆舟" and case.patient_age_years is not None
    assert [e[0] for e in bench.query("select event from worklist.case_event order by n")] == ["open_case", "enqueue"]


def test_opening_a_case_twice_opens_one(bench: Bench) -> None:
    study = bench.study()
    case = bench.complete(study)
    bench.again("worklist.open_case", study_uid=study.study_uid, generation=1)
    assert bench.case_of(study).case_id == case.case_id
    assert bench.query('select count(*) from worklist."case"') == [(1,)]
    assert bench.query("select count(*) from center.event where kind = 'CaseOpened'") == [(1,)]


def test_two_clinics_may_have_the_same_study_uid(bench: Bench) -> None:
    one = bench.arrive(SHIGOU, study_uid="1.2.3.4")
    two = bench.arrive(HELAN, study_uid="1.2.3.4")
    assert one.case_id != two.case_id


def test_a_request_before_the_upload_is_matched_by_accession(bench: Bench) -> None:
    bench.room.write_request(
        TECHNICIAN, SHIGOU, RequestForm(accession="SG1", question="有无气胸？", urgent=True, exam="胸部正位")
    )
    case = bench.arrive(accession="SG1")
    assert case.question == "有无气胸？" and "request_missing" not in case.flags
    assert case.urgency is Urgency.URGENT
    assert case.due_at == case.completed_at + timedelta(minutes=30)


def test_a_request_before_the_upload_is_matched_by_the_patients_number(bench: Bench) -> None:
    bench.room.write_request(TECHNICIAN, SHIGOU, RequestForm(local_id="MRN1", name="马忆舟", question="有无骨折？"))
    assert bench.arrive().question == "有无骨折？"


def test_a_request_and_its_study_that_come_at_the_same_moment_wait_for_each_other(bench: Bench) -> None:
    """Neither sees what the other has not committed: while one matches, the other one waits its turn."""
    study = bench.study()
    form = RequestForm(study_uid=study.study_uid, question="有无气胸？", urgent=True)
    writing = threading.Thread(target=bench.room.write_request, args=(TECHNICIAN, SHIGOU, form))
    opening = threading.Thread(target=bench.complete, args=(study,))
    with bench.database.transaction(system_for(SHIGOU)) as work:
        work.run(SQL["matching_lock"], clinic_id=SHIGOU)
        for one in (writing, opening):
            one.start()
            one.join(timeout=0.7)
            assert one.is_alive()
    for one in (writing, opening):
        one.join(timeout=20)
    case = bench.case_of(study)
    assert case.question == "有无气胸？" and case.urgency is Urgency.URGENT


def test_a_request_of_another_clinic_is_not_matched(bench: Bench) -> None:
    bench.room.write_request(person(Role.TECHNICIAN, HELAN), HELAN, RequestForm(local_id="MRN1", question="别人的"))
    assert bench.arrive().question == ""


def test_a_placeholder_number_matches_nothing(bench: Bench) -> None:
    bench.room.write_request(TECHNICIAN, SHIGOU, RequestForm(local_id="0", name="马忆舟", question="有无骨折？"))
    case = bench.arrive(patient=PatientIdentity("p", "0", "马忆舟"))
    assert case.question == ""


def test_a_request_after_the_upload_finds_its_case_and_raises_it(bench: Bench) -> None:
    case = bench.arrive()
    request = bench.room.write_request(
        TECHNICIAN, SHIGOU, RequestForm(study_uid=case.study_uid, question="有无气胸？", urgent=True)
    )
    assert request.case_id == case.case_id
    now = bench.now_is(case)
    assert now.urgency is Urgency.URGENT and now.question == "有无气胸？" and not now.flags
    assert now.facts_n > case.facts_n


def test_a_request_with_another_name_flags_the_identity(bench: Bench) -> None:
    case = bench.arrive()
    bench.room.write_request(TECHNICIAN, SHIGOU, RequestForm(study_uid=case.study_uid, name="祁连升"))
    assert "identity_unconfirmed" in bench.now_is(case).flags


def test_a_request_fills_in_what_the_device_did_not_send(bench: Bench) -> None:
    case = bench.arrive(patient=PatientIdentity("p", "MRN1", "马忆舟"))
    assert case.patient_age_years is None
    bench.room.write_request(
        TECHNICIAN, SHIGOU, RequestForm(study_uid=case.study_uid, sex="F", birth_date=date(1990, 1, 1))
    )
    now = bench.now_is(case)
    assert (now.patient_sex, now.patient_birth_date) == ("F", date(1990, 1, 1))
    assert now.patient_age_years is not None and now.patient_age_years >= 36


def test_looking_at_a_case_is_audited_once_in_ten_minutes(bench: Bench) -> None:
    case = bench.arrive()
    for actor in (TECHNICIAN, TECHNICIAN, READER):
        bench.room.case(actor, case.case_id)
    assert bench.query("select person_id from center.audit where act = 'case:view' order by 1") == [
        ("reader",),
        ("technician",),
    ]


def test_the_same_accession_twice_is_refused(bench: Bench) -> None:
    bench.room.write_request(TECHNICIAN, SHIGOU, RequestForm(accession="SG1"))
    with pytest.raises(WrongState):
        bench.room.write_request(TECHNICIAN, SHIGOU, RequestForm(accession="SG1"))


@pytest.mark.parametrize(
    "form",
    [
        RequestForm(),
        RequestForm(name="x" * 65),
        RequestForm(name="a", sex="Q"),
        RequestForm(name="a", age_years=140),
        RequestForm(name="a", birth_date=date(1700, 1, 1)),
        RequestForm(name="a", question="？" * 1001),
    ],
)
def test_a_form_that_cannot_be_right_is_refused_by_field(bench: Bench, form: RequestForm) -> None:
    with pytest.raises(Invalid) as caught:
        bench.room.write_request(TECHNICIAN, SHIGOU, form)
    assert caught.value.facts["field"]


def test_doubtful_identity_is_flagged_and_cleared_when_put_right(bench: Bench) -> None:
    case = bench.arrive(identity_notes=("other_name",))
    assert "identity_unconfirmed" in case.flags
    bench.correct(case, name="祁连升", patient_id="p99")
    now = bench.now_is(case)
    assert "identity_unconfirmed" not in now.flags and now.patient_name == "祁连升"


def test_an_identity_put_right_after_signing_is_a_readers_task(bench: Bench) -> None:
    case = bench.arrive()
    bench.signed(READER, case)
    bench.correct(case, name="祁连升")
    assert [t.kind for t in bench.room.tasks(READER)] == ["identity"]


# ---------------------------------------------------------------- late images
def test_late_images_extend_an_unopened_case(bench: Bench) -> None:
    case = bench.arrive()
    bench.extend(case)
    bench.again("worklist.extend_case", study_uid=case.study_uid, generation=2)
    now = bench.now_is(case)
    assert (now.generation, now.seen_generation, now.images) == (2, 2, 2)
    assert now.due_at == case.due_at
    assert bench.query("select count(*) from center.event where kind = 'CaseExtended'") == [(1,)]


def test_late_images_hold_the_signature_until_they_were_seen(bench: Bench) -> None:
    case = bench.arrive()
    lease = bench.reading(READER, case)
    preview = bench.write(READER, lease)
    bench.extend(case)
    assert "late_images" in bench.now_is(case).flags
    with pytest.raises(WrongState):
        bench.room.sign(READER, case.case_id, lease.token, preview.sha256, "correct horse battery")
    assert not bench.room.preview(READER, case.case_id, lease.token).may_sign
    bench.room.see_images(READER, case.case_id, lease.token, 2)
    assert bench.room.preview(READER, case.case_id, lease.token).may_sign
    bench.sign(READER, lease)


def test_late_images_after_signing_are_a_task(bench: Bench) -> None:
    case = bench.arrive()
    bench.signed(READER, case)
    bench.extend(case)
    bench.again("worklist.extend_case", study_uid=case.study_uid, generation=2)
    task = bench.room.tasks(READER)
    assert [(t.kind, t.due_at - bench.clock.now()) for t in task] == [("late_images", timedelta(hours=24))]
    bench.room.finish_task(READER, task[0].task_id, "无变化")
    assert not bench.room.tasks(READER)


def test_an_extension_heard_first_waits_for_the_case(bench: Bench) -> None:
    study = bench.study(generation=2)
    with pytest.raises(NotFound):
        bench.again("worklist.extend_case", study_uid=study.study_uid, generation=2)
    assert bench.complete(study).generation == 2


# ---------------------------------------------------------------- the machine
def test_a_machines_critical_raises_urgency_and_makes_a_task_but_no_alert(bench: Bench) -> None:
    case = bench.arrive()
    bench.machine_reads(case, finding("pneumothorax", critical=True), finding("effusion", Decision.ABSENT))
    now = bench.now_is(case)
    assert now.urgency is Urgency.STAT and now.due_at == bench.clock.now() + timedelta(minutes=10)
    assert now.machine.kind == "critical" and "machine_critical" in now.flags
    assert [(t.kind, t.due_at) for t in bench.room.tasks(READER)] == [("read_now", now.due_at)]
    assert bench.query("select count(*) from worklist.alert") == [(0,)]
    assert not bench.notifier.told


def test_a_later_calm_read_does_not_lower_it_again(bench: Bench) -> None:
    case = bench.arrive()
    bench.machine_reads(case, finding("pneumothorax", critical=True))
    raised = bench.now_is(case)
    bench.machine_reads(case, finding("pneumothorax", Decision.ABSENT))
    now = bench.now_is(case)
    assert (now.urgency, now.due_at) == (raised.urgency, raised.due_at)
    assert "machine_critical" in now.flags


def test_an_abstention_is_shown_with_its_reason_and_changes_nothing(bench: Bench) -> None:
    case = bench.arrive()
    bench.machine_reads(case, reason=ABSTAINED)
    now = bench.now_is(case)
    assert (now.machine.kind, now.machine.text.zh) == ("abstained", "不是正位胸片")
    assert (now.urgency, now.due_at) == (case.urgency, case.due_at)


def test_a_read_after_signing_opens_a_task_only_when_critical(bench: Bench) -> None:
    case = bench.arrive()
    bench.signed(READER, case)
    bench.machine_reads(case, finding("effusion"))
    assert not bench.room.tasks(READER)
    bench.machine_reads(case, finding("pneumothorax", critical=True), model="second")
    assert [t.kind for t in bench.room.tasks(READER)] == ["read_now"]
    assert bench.now_is(case).urgency is Urgency.ROUTINE


# ---------------------------------------------------------------- an ECG's tiers
def test_a_red_tier_makes_the_read_now_task(bench: Bench) -> None:
    case = bench.arrive(modalities=frozenset({"ECG"}))
    bench.tell(case, ecg_read(Tier.RED))
    now = bench.now_is(case)
    assert now.urgency is Urgency.STAT and now.due_at <= bench.clock.now() + timedelta(minutes=10)
    assert (now.machine.kind, now.machine.tier, now.machine.probability) == ("critical", "red", None)
    assert "ST" in now.machine.text.zh and "machine_critical" in now.flags
    assert bench.query("select kind, key from worklist.task") == [("read_now", "helan_ecg:critical:st_elevation_mi")]
    assert not bench.notifier.told


def test_what_a_red_tier_sets_going_goes_before_all_else(bench: Bench) -> None:
    first, second = bench.arrive(), bench.arrive(modalities=frozenset({"ECG"}))
    with bench.database.transaction(system_for(SHIGOU)) as work:
        for case, critical in ((first, 0), (second, 1)):
            work.emit(PreliminaryReadMade(SHIGOU, case.study_uid, "m", "1", "d", "read", critical))
    rows = bench.query(
        "select payload ->> 'study_uid' from center.job where handler = 'worklist.on_read' order by priority desc, id"
    )
    assert [uid for (uid,) in rows] == [second.study_uid, first.study_uid]


def test_a_recording_that_nobody_can_read_may_still_be_red(bench: Bench) -> None:
    case = bench.arrive(modalities=frozenset({"ECG"}))
    bench.tell(case, ecg_read(Tier.RED, refused=POOR))
    assert bench.now_is(case).urgency is Urgency.STAT
    assert bench.query("select count(*) from worklist.task where kind = 'read_now'") == [(1,)]


def test_an_ecg_that_the_machine_failed_on_is_looked_at_now(bench: Bench) -> None:
    case = bench.arrive(modalities=frozenset({"ECG"}))
    bench.tell(case, ecg_not_read("none", "0", "d", POOR))
    now = bench.now_is(case)
    assert now.urgency is Urgency.STAT and now.due_at <= bench.clock.now() + timedelta(minutes=10)
    assert (now.machine.kind, now.machine.tier) == ("critical", "orange") and "立即人工阅图" in now.machine.text.zh
    assert bench.query("select kind, key from worklist.task") == [("read_now", "none:critical:machine_failed")]
    assert not bench.notifier.told


def test_orange_is_read_next_without_a_task(bench: Bench) -> None:
    case = bench.arrive(modalities=frozenset({"ECG"}))
    bench.tell(case, ecg_read(Tier.ORANGE))
    now = bench.now_is(case)
    assert now.urgency is Urgency.URGENT and now.due_at < case.due_at
    assert (now.machine.kind, now.machine.tier) == ("stated", "orange") and "心房颤动" in now.machine.text.zh
    assert bench.query("select count(*) from worklist.task") == [(0,)]


@pytest.mark.parametrize("tier", [Tier.YELLOW, Tier.GREEN])
def test_yellow_and_green_change_no_order(bench: Bench, tier: Tier) -> None:
    case = bench.arrive(modalities=frozenset({"ECG"}))
    bench.tell(case, ecg_read(tier))
    now = bench.now_is(case)
    assert (now.urgency, now.due_at, now.machine.tier) == (case.urgency, case.due_at, tier.value)


def test_a_later_green_takes_nothing_back(bench: Bench) -> None:
    case = bench.arrive(modalities=frozenset({"ECG"}))
    bench.tell(case, ecg_read(Tier.ORANGE))
    raised = bench.now_is(case)
    bench.tell(case, ecg_read(Tier.GREEN))
    now = bench.now_is(case)
    assert (now.urgency, now.due_at) == (raised.urgency, raised.due_at)


# ---------------------------------------------------------------- people
def test_urgency_only_rises_and_needs_a_reason(bench: Bench) -> None:
    case = bench.arrive()
    with pytest.raises(Invalid):
        bench.room.raise_urgency(TECHNICIAN, case.case_id, Urgency.URGENT, " ")
    bench.room.raise_urgency(TECHNICIAN, case.case_id, Urgency.STAT, "病情加重")
    assert bench.now_is(case).due_at == case.completed_at + timedelta(minutes=30)
    with pytest.raises(WrongState):
        bench.room.raise_urgency(TECHNICIAN, case.case_id, Urgency.ROUTINE, "反悔")


def test_a_dispatcher_raises_urgency_in_a_clinic_that_is_not_his(bench: Bench) -> None:
    case = bench.arrive()
    bench.room.raise_urgency(person(Role.DISPATCHER, HELAN), case.case_id, Urgency.URGENT, "电话要求")
    assert bench.now_is(case).urgency is Urgency.URGENT


def test_a_waiting_case_is_cancelled_by_its_clinic_and_nothing_follows(bench: Bench) -> None:
    case = bench.arrive()
    bench.room.cancel(TECHNICIAN, case.case_id, "拍错部位")
    assert bench.now_is(case).state is CaseState.CANCELLED
    with pytest.raises(WrongState) as caught:
        bench.room.cancel(TECHNICIAN, case.case_id, "再来")
    assert caught.value.facts == {"state": "cancelled", "possible": []}
    bench.later(minutes=600)
    assert not bench.room.board(person(Role.DISPATCHER)).tasks


def test_a_film_that_cannot_be_read_goes_back_with_its_reason(bench: Bench) -> None:
    case = bench.arrive()
    lease = bench.reading(READER, case)
    bench.room.reject_quality(READER, case.case_id, lease.token, "呼吸运动模糊")
    detail = bench.room.case(TECHNICIAN, case.case_id)
    assert detail.case.state is CaseState.QC_REJECTED
    assert detail.events[-1].reason == "呼吸运动模糊"


# ---------------------------------------------------------------- clocks
def test_the_clocks_widen_then_call_the_dispatcher_then_note_the_breach(bench: Bench) -> None:
    case = bench.arrive()
    bench.later(minutes=60)
    assert "wider_pool" in bench.now_is(case).flags
    dispatcher = person(Role.DISPATCHER, HELAN)
    assert not bench.room.board(dispatcher).tasks
    bench.later(minutes=36)
    assert [t.kind for t in bench.room.board(dispatcher).tasks] == ["dispatch"]
    bench.later(minutes=24)
    assert "escalated" in bench.now_is(case).flags
    assert bench.query("select count(*) from center.audit where act = 'case:note:escalated'") == [(1,)]


def test_a_signed_case_has_no_breach(bench: Bench) -> None:
    case = bench.arrive()
    bench.signed(READER, case)
    bench.later(minutes=300)
    assert "escalated" not in bench.now_is(case).flags
