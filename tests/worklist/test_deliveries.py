"""Every receiver gets a version once, with ledger and growing retries, the phone at last; then receipt and closing."""

from __future__ import annotations

from datetime import timedelta

import pytest

from center.codes import Role
from center.errors import Forbidden, Invalid, NotFound, WrongState
from center.ports import SendOutcome
from tests.worklist.bench import HELAN, SHIGOU, Bench, person, reader
from worklist.lifecycle import CaseState, DeliveryState
from worklist.records import CaseRow, Delivery

READER = reader()
TECHNICIAN, DOCTOR = person(Role.TECHNICIAN), person(Role.CLINIC_DOCTOR)
DISPATCHER = person(Role.DISPATCHER, HELAN)
BUSY = SendOutcome(False, 0xA700, "out of resources")


def pacs(bench: Bench, case: CaseRow) -> Delivery:
    return next(d for d in bench.room.case(READER, case.case_id).deliveries if d.means == "dicom")


def test_page_and_pacs_are_sent_and_the_case_is_delivered(bench: Bench) -> None:
    bench.pacs.aets = ["CLINICPACS"]
    case = bench.arrive()
    bench.signed(READER, case)
    deliveries = bench.room.case(READER, case.case_id).deliveries
    assert {(d.recipient, d.state) for d in deliveries} == {
        ("page", DeliveryState.SENT),
        ("pacs:CLINICPACS", DeliveryState.SENT),
    }
    assert bench.now_is(case).state is CaseState.DELIVERED
    kinds = "select key from center.event where kind = 'DeliveryAcknowledged' order by 1"
    assert bench.query(kinds) == [(f"{case.case_id}:1:pacs:CLINICPACS",), (f"{case.case_id}:1:page",)]


def test_a_delivery_waits_for_its_document_to_be_filed(bench: Bench) -> None:
    bench.pacs.aets = ["CLINICPACS"]
    case = bench.arrive()
    signed = bench.sign(READER, bench.reading(READER, case))
    bench.run()
    bench.later(seconds=5)
    assert not bench.pacs.sent and pacs(bench, case).attempts == 0
    bench.file(signed, case)
    bench.later(seconds=2)
    assert pacs(bench, case).state is DeliveryState.SENT and len(bench.pacs.sent) == 1


def test_a_busy_peer_is_tried_again_at_growing_waits_and_then_phoned(bench: Bench) -> None:
    bench.pacs.aets = ["CLINICPACS"]
    bench.pacs.answers = [BUSY] * 6
    case = bench.arrive()
    bench.signed(READER, case)
    for minutes in (1, 2, 5, 15, 60):
        found = pacs(bench, case)
        assert found.state is DeliveryState.FAILED
        assert found.next_at == bench.clock.now() + timedelta(minutes=minutes)
        bench.later(minutes=minutes, seconds=-1)
        assert pacs(bench, case).attempts == found.attempts  # not a second early
        bench.later(seconds=1)
    found = pacs(bench, case)
    assert found.state is DeliveryState.GIVEN_UP and found.attempts == 6
    assert [(a.n, a.status) for a in found.ledger] == [(n, 0xA700) for n in range(1, 7)]
    assert bench.now_is(case).state is CaseState.FINAL  # not everybody has it
    tasks = [t for t in bench.room.board(DISPATCHER).tasks if "recipient" in t.facts]
    assert [(t.kind, t.facts["recipient"]) for t in tasks] == [("phone", "pacs:CLINICPACS")]
    with pytest.raises(Invalid):
        bench.room.finish_task(DISPATCHER, tasks[0].task_id, "")
    bench.room.finish_task(DISPATCHER, tasks[0].task_id, "电话告知，传真已收")
    bench.run()
    assert pacs(bench, case).state is DeliveryState.SENT
    assert bench.now_is(case).state is CaseState.DELIVERED
    with pytest.raises(WrongState):
        bench.room.finish_task(DISPATCHER, tasks[0].task_id, "再来一次")


def test_a_peer_that_refuses_for_good_is_phoned_at_once(bench: Bench) -> None:
    bench.pacs.aets = ["CLINICPACS"]
    bench.pacs.answers = [SendOutcome(False, 0x0122, "SOP class not supported", retry=False)]
    case = bench.arrive()
    bench.signed(READER, case)
    assert pacs(bench, case).state is DeliveryState.GIVEN_UP


def test_a_peer_that_comes_back_gets_it(bench: Bench) -> None:
    bench.pacs.aets = ["CLINICPACS"]
    bench.pacs.answers = [BUSY]
    case = bench.arrive()
    bench.signed(READER, case)
    bench.later(minutes=1)
    assert [a.acknowledged for a in pacs(bench, case).ledger] == [False, True]
    assert bench.now_is(case).state is CaseState.DELIVERED


def test_a_process_that_dies_while_sending_sends_again_under_the_same_key(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.pacs.aets = ["CLINICPACS"]
    case = bench.arrive()
    signed = bench.sign(READER, bench.reading(READER, case))
    bench.file(signed, case)

    def cut(name: str) -> None:
        if name == "delivery.mid_send":
            raise OSError("power cut")

    with monkeypatch.context() as m:
        m.setattr("worklist.deliveries.faults.point", cut)
        bench.run(failures=True)
    assert pacs(bench, case).state is DeliveryState.SENDING
    bench.clock.advance(5)
    bench.run(failures=True)
    assert pacs(bench, case).state is DeliveryState.SENT and len(set(bench.pacs.sent)) == 1
    bench.again("worklist.deliver", delivery_id=pacs(bench, case).delivery_id)
    assert len(pacs(bench, case).ledger) == 1


def test_a_report_withdrawn_while_it_is_being_sent_is_phoned_after(bench: Bench) -> None:
    bench.pacs.aets = ["CLINICPACS"]
    case = bench.arrive()
    signed = bench.sign(READER, bench.reading(READER, case))
    bench.file(signed, case)
    bench.pacs.while_sending = lambda: bench.room.withdraw(READER, case.case_id, "患者错误", wrong_patient=True)
    bench.run()
    assert pacs(bench, case).state is DeliveryState.RECALLED
    assert [t.kind for t in bench.room.board(DISPATCHER).tasks] == ["phone"]


# ---------------------------------------------------------------- receipt
def test_opened_by_the_clinic_the_case_is_received_and_closed(bench: Bench) -> None:
    case = bench.arrive()
    bench.signed(READER, case)
    bench.room.opened(READER, case.case_id, 1)  # its reader's looking is no receipt
    bench.run()
    assert bench.now_is(case).state is CaseState.DELIVERED
    bench.room.opened(TECHNICIAN, case.case_id, 1)
    bench.room.opened(TECHNICIAN, case.case_id, 1)
    bench.run()
    now = bench.now_is(case)
    assert now.state is CaseState.CLOSED and now.receipted_at is not None
    assert bench.query("select count(*) from center.event where kind = 'ReportOpened'") == [(1,)]
    assert bench.query("select count(*) from center.audit where act = 'report:opened'") == [(1,)]


def test_a_receipt_is_the_clinics_own(bench: Bench) -> None:
    case = bench.arrive()
    bench.signed(READER, case)
    with pytest.raises(Forbidden):
        bench.room.receipt(READER, case.case_id, 1)
    with pytest.raises(NotFound):
        bench.room.receipt(person(Role.TECHNICIAN, HELAN), case.case_id, 1)
    with pytest.raises(WrongState):  # nobody has opened it: a receipt must not stand for that
        bench.room.receipt(DOCTOR, case.case_id, 1)
    assert bench.query("select count(*) from center.audit where act = 'report:opened'") == [(0,)]
    bench.room.opened(DOCTOR, case.case_id, 1)
    bench.room.receipt(DOCTOR, case.case_id, 1)
    bench.room.receipt(TECHNICIAN, case.case_id, 1)
    assert bench.query("select receipted_by from worklist.delivery") == [("clinic_doctor",)]


def test_nothing_can_be_opened_before_it_is_sealed(bench: Bench) -> None:
    case = bench.arrive()
    bench.sign(READER, bench.reading(READER, case))
    with pytest.raises(NotFound):
        bench.room.opened(TECHNICIAN, case.case_id, 1)
    with pytest.raises(NotFound):
        bench.room.report_pdf(TECHNICIAN, case.case_id, 1)


def test_an_open_alert_keeps_the_case_from_closing(bench: Bench) -> None:
    case = bench.arrive()
    lease = bench.reading(READER, case)
    alert = bench.room.raise_alert(READER, case.case_id, "左侧张力性气胸")
    bench.sign(READER, lease, "左侧张力性气胸。")
    bench.run()
    bench.room.opened(DOCTOR, case.case_id, 1)
    bench.run()
    assert bench.now_is(case).state is CaseState.RECEIPTED
    bench.room.acknowledge_alert(DOCTOR, alert.alert_id, read_back="左侧张力性气胸", receiver="", action="已穿刺减压")
    bench.run()
    assert bench.now_is(case).state is CaseState.CLOSED


def test_a_report_that_nobody_opens_is_phoned_after_and_the_opening_answers_it(bench: Bench) -> None:
    case = bench.arrive()
    bench.signed(READER, case)
    bench.later(minutes=24 * 60 - 1)
    assert not bench.room.board(DISPATCHER).tasks
    bench.later(minutes=1)
    assert [t.key for t in bench.room.board(DISPATCHER).tasks] == ["unopened:v1"]
    bench.room.opened(DOCTOR, case.case_id, 1)
    assert not bench.room.board(DISPATCHER).tasks


def test_the_time_line_runs_from_the_first_byte_to_the_receipt(bench: Bench) -> None:
    case = bench.arrive()
    bench.later(seconds=20)
    bench.signed(READER, case)
    bench.later(seconds=20)
    bench.room.opened(DOCTOR, case.case_id, 1)
    bench.run()
    lines = bench.room.timeline(SHIGOU, case.case_id)
    assert [at for at, _, _ in lines] == sorted(at for at, _, _ in lines)
    what = [w for _, w, _ in lines]
    assert what[0] == "first byte" and what[-1] in ("close", "receipt", "opened v1")
    for step in ("open_case", "take", "open", "sign", "sealed v1", "delivered v1", "deliver", "receipt", "close"):
        assert step in what
