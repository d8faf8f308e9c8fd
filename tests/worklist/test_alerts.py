"""Critical findings: only a person's mark starts the ladder; it ends with a read-back, an action or a reason."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from center.codes import Role
from center.errors import Forbidden, HeldByAnother, Invalid, NotFound, WrongState
from tests.worklist.bench import HELAN, SHIGOU, TERTIARY, Bench, person, reader
from worklist.lifecycle import AlertState
from worklist.records import Alert, CaseRow

READER, OTHER = reader(), reader("other")
DOCTOR, TECHNICIAN = person(Role.CLINIC_DOCTOR), person(Role.TECHNICIAN)
DISPATCHER = person(Role.DISPATCHER, HELAN)
FINDING = "左侧张力性气胸"


@pytest.fixture
def raised(bench: Bench) -> tuple[CaseRow, Alert]:
    case = bench.arrive()
    bench.reading(READER, case)
    alert = bench.room.raise_alert(READER, case.case_id, FINDING)
    bench.run()
    return case, alert


def told(bench: Bench) -> list[tuple[str, str]]:
    return [(n.to, n.means) for n in bench.notifier.told if n.text_key == "worklist.alert.call"]


def test_the_mark_tells_the_clinic_at_once(bench: Bench, raised: tuple[CaseRow, Alert]) -> None:
    assert told(bench) == [("clinic_doctors", "page"), ("clinic_doctors", "sms"), ("clinic_duty", "phone")]
    (shown,) = bench.room.open_alerts(DOCTOR)
    assert (shown.finding, shown.state, shown.step) == (FINDING, AlertState.NOTIFIED, 1)
    assert shown.next_at == bench.clock.now() + timedelta(minutes=5)
    assert shown.patient_name == "马忆舟" and len(shown.notices) == 3
    assert all(FINDING not in str(n.facts) and "马" not in str(n.facts) for n in bench.notifier.told)


def test_the_ladder_climbs_until_its_end_and_then_escalates(bench: Bench, raised: tuple[CaseRow, Alert]) -> None:
    case, alert = raised
    bench.later(minutes=5)
    assert ("clinic_head", "phone") in told(bench)
    bench.later(minutes=5)
    assert told(bench)[-2:] == [("dispatcher", "phone"), ("county_duty", "phone")]
    assert [t.key for t in bench.room.board(DISPATCHER).tasks] == [f"alert:{alert.alert_id}"]
    bench.later(minutes=5)
    assert told(bench)[-1] == ("medical_affairs", "phone")
    bench.later(minutes=15)
    assert told(bench)[-1] == ("regional_duty", "phone")
    assert "escalated" in bench.now_is(case).flags
    count = len(told(bench))
    for step in range(5):
        bench.again("worklist.ladder", alert_id=alert.alert_id, step=step)
    bench.later(minutes=600)
    assert len(told(bench)) == count
    assert bench.room.open_alerts(DOCTOR)  # open until somebody answers


def test_minutes_are_the_clinics_policy(bench: Bench) -> None:
    with bench.database.transaction(DOCTOR) as work:
        work.run(
            "insert into center.policy (clinic_id, name, value, version, \"from\") values ('shigou', 'ladder', '[0, 1]', 1, %(at)s)",
            at=bench.clock.now(),
        )
    case = bench.arrive()
    bench.reading(READER, case)
    bench.room.raise_alert(READER, case.case_id, FINDING)
    bench.run()
    bench.later(minutes=1)
    assert "escalated" in bench.now_is(case).flags
    assert bench.room.open_alerts(DOCTOR)[0].steps_minutes == (0, 1)


def test_a_read_back_keeps_six_fields_and_stops_the_ladder(bench: Bench, raised: tuple[CaseRow, Alert]) -> None:
    _, alert = raised
    bench.later(minutes=3)
    answer = bench.room.acknowledge_alert(DOCTOR, alert.alert_id, read_back="左侧张力性气胸，收到", receiver="")
    assert answer.matches and answer.kept
    found = answer.alert
    assert (found.state, found.teller, found.receiver, found.means, found.received_at) == (
        AlertState.ACKNOWLEDGED, READER.name, DOCTOR.name, "page", bench.clock.now(),
    )  # fmt: skip
    assert found.read_back and not found.mismatch and found.next_at is None
    before = len(bench.notifier.told)
    bench.later(minutes=60)
    assert len(bench.notifier.told) == before
    with pytest.raises(WrongState):
        bench.room.acknowledge_alert(DOCTOR, alert.alert_id, read_back=FINDING, receiver="")
    closed = bench.room.close_alert(DOCTOR, alert.alert_id, "已穿刺减压")
    assert (closed.state, closed.action) == (AlertState.CLOSED, "已穿刺减压")
    assert not bench.room.open_alerts(DOCTOR)


def test_a_wrong_read_back_is_not_kept_unless_insisted_on(bench: Bench, raised: tuple[CaseRow, Alert]) -> None:
    _, alert = raised
    answer = bench.room.acknowledge_alert(DOCTOR, alert.alert_id, read_back="右侧气胸", receiver="")
    assert not answer.matches and not answer.kept and answer.alert.state is AlertState.NOTIFIED
    answer = bench.room.acknowledge_alert(DOCTOR, alert.alert_id, read_back="右侧气胸", receiver="", insist=True)
    assert answer.kept and answer.alert.mismatch


def test_a_dispatcher_acknowledges_by_phone_without_seeing_a_name(bench: Bench, raised: tuple[CaseRow, Alert]) -> None:
    _, alert = raised
    bench.later(minutes=10)
    (shown,) = bench.room.open_alerts(DISPATCHER)
    assert shown.patient_name == ""
    with pytest.raises(Invalid):
        bench.room.acknowledge_alert(DISPATCHER, alert.alert_id, read_back=FINDING, receiver="", means="phone")
    answer = bench.room.acknowledge_alert(
        DISPATCHER, alert.alert_id, read_back=FINDING, receiver="值班医生", means="phone", action="立即转诊"
    )
    assert answer.alert.patient_name == "" and answer.alert.state is AlertState.CLOSED
    assert not bench.room.board(DISPATCHER).tasks


def test_a_reader_refutes_with_a_reason_and_the_clinic_is_told(bench: Bench, raised: tuple[CaseRow, Alert]) -> None:
    _, alert = raised
    with pytest.raises(Invalid):
        bench.room.refute_alert(READER, alert.alert_id, "")
    with pytest.raises(Forbidden):
        bench.room.refute_alert(DOCTOR, alert.alert_id, "不像")
    assert bench.room.refute_alert(READER, alert.alert_id, "皮褶影").state is AlertState.REFUTED
    assert bench.notifier.told[-1].text_key == "worklist.alert.refuted"
    bench.later(minutes=60)
    assert bench.notifier.told[-1].text_key == "worklist.alert.refuted"


def test_the_same_finding_twice_is_one_alert(bench: Bench, raised: tuple[CaseRow, Alert]) -> None:
    case, alert = raised
    assert bench.room.raise_alert(READER, case.case_id, FINDING).alert_id == alert.alert_id
    assert bench.room.raise_alert(READER, case.case_id, "肋骨骨折").alert_id != alert.alert_id


def test_who_may_raise(bench: Bench) -> None:
    case = bench.arrive()
    bench.reading(READER, case)
    with pytest.raises(HeldByAnother):
        bench.room.raise_alert(OTHER, case.case_id, FINDING)
    with pytest.raises(Forbidden):
        bench.room.raise_alert(TECHNICIAN, case.case_id, FINDING)
    with pytest.raises(Forbidden):
        bench.room.raise_alert(replace(READER, licence=""), case.case_id, FINDING)
    with pytest.raises(NotFound):
        bench.room.raise_alert(person(Role.CLINIC_DOCTOR, TERTIARY), case.case_id, FINDING)
    with pytest.raises(Invalid):
        bench.room.raise_alert(READER, case.case_id, " ")


def test_who_may_answer(bench: Bench, raised: tuple[CaseRow, Alert]) -> None:
    _, alert = raised
    for nobody, failure in (
        (TECHNICIAN, Forbidden),
        (READER, Forbidden),
        (person(Role.CLINIC_DOCTOR, HELAN), NotFound),
    ):
        with pytest.raises(failure):
            bench.room.acknowledge_alert(nobody, alert.alert_id, read_back=FINDING, receiver="x")
    with pytest.raises(NotFound):
        bench.room.alert(person(Role.CLINIC_DOCTOR, HELAN), alert.alert_id)
    assert not bench.room.open_alerts(person(Role.CLINIC_DOCTOR, HELAN))


def test_after_signing_any_reader_in_reach_may_raise(bench: Bench) -> None:
    case = bench.arrive()
    bench.signed(READER, case)
    assert bench.room.raise_alert(OTHER, case.case_id, FINDING).state is AlertState.RAISED


def test_the_report_cites_the_alert(bench: Bench, raised: tuple[CaseRow, Alert]) -> None:
    case, _ = raised
    token = bench.room.case(READER, case.case_id).token
    bench.room.save_draft(
        READER, case.case_id, token, bench.room.case(READER, case.case_id).draft.content, 0  # type: ignore[union-attr]
    )  # fmt: skip
    bench.room.preview(READER, case.case_id, token)
    critical = bench.query("select preview_content->'critical'->0->>'finding' from worklist.draft")
    assert critical == [(FINDING,)]
    assert bench.room.board(DISPATCHER).alerts[0].clinic_id == SHIGOU
