"""Preview, signature, amendment, withdrawal: what was shown is what is signed, and what is signed does not change."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import pytest

from center import postgres_driver as driver
from center.codes import Role
from center.errors import Failure, Forbidden, HeldByAnother, Invalid, NotFound, WrongState
from tests.worklist.bench import HELAN, PASSWORD, SHIGOU, Bench, finding, person, reader
from worklist.lifecycle import AlertState, CaseState, DeliveryState, ReportState
from worklist.qr import standing
from worklist.records import DraftContent, RequestForm
from worklist.sheet import content_digest

READER, OTHER = reader(), reader("other")
TECHNICIAN, DOCTOR = person(Role.TECHNICIAN), person(Role.CLINIC_DOCTOR)


# ---------------------------------------------------------------- preview and signature
def test_the_bytes_that_were_shown_are_the_bytes_that_are_signed(bench: Bench) -> None:
    case = bench.arrive()
    lease = bench.reading(READER, case)
    preview = bench.write(READER, lease)
    shown = bench.room.preview_pdf(READER, case.case_id, lease.token, preview.sha256)
    assert hashlib.sha256(shown).hexdigest() == preview.sha256
    signed = bench.room.sign(READER, case.case_id, lease.token, preview.sha256, PASSWORD)
    version, pdf = bench.room.report_pdf(READER, case.case_id, signed.version)
    assert pdf.startswith(shown) and hashlib.sha256(pdf).hexdigest() == version.pdf_sha256 == signed.pdf_sha256
    bench.run()
    version, sealed = bench.room.report_pdf(DOCTOR, case.case_id, 1)
    assert sealed.startswith(pdf) and hashlib.sha256(sealed).hexdigest() == version.sealed_sha256
    assert version.content_sha256 == content_digest(version.content) == preview.content_sha256
    assert version.seen_sop_uids == (f"{case.study_uid}.0",)
    assert bench.query("select count(*) from center.object") == [(2,)]


def test_a_draft_changed_after_the_preview_cannot_be_signed(bench: Bench) -> None:
    case = bench.arrive()
    lease = bench.reading(READER, case)
    preview = bench.write(READER, lease)
    bench.room.save_draft(READER, case.case_id, lease.token, DraftContent("别的", "别的"), 1)
    with pytest.raises(WrongState) as caught:
        bench.room.sign(READER, case.case_id, lease.token, preview.sha256, PASSWORD)
    assert caught.value.facts["possible"] == ["preview"]
    with pytest.raises(NotFound):
        bench.room.preview_pdf(READER, case.case_id, lease.token, preview.sha256)


def test_a_request_that_came_after_the_preview_asks_for_a_new_one(bench: Bench) -> None:
    case = bench.arrive()
    lease = bench.reading(READER, case)
    preview = bench.write(READER, lease)
    bench.room.write_request(TECHNICIAN, SHIGOU, RequestForm(study_uid=case.study_uid, question="有无气胸？"))
    with pytest.raises(WrongState):
        bench.room.sign(READER, case.case_id, lease.token, preview.sha256, PASSWORD)
    again = bench.room.preview(READER, case.case_id, lease.token)
    assert [i.key for i in again.gate] == ["question_1"] and not again.may_sign


def test_the_gate_holds_the_signature_back(bench: Bench) -> None:
    case = bench.arrive(laterality="L")
    lease = bench.reading(READER, case)
    preview = bench.write(READER, lease, "右侧气胸。", findings="右侧气胸。")
    with pytest.raises(WrongState) as caught:
        bench.room.sign(READER, case.case_id, lease.token, preview.sha256, PASSWORD)
    assert caught.value.facts["gate"] == ["laterality_findings", "laterality_impression"]
    assert bench.now_is(case).state is CaseState.READING


def test_a_wrong_password_signs_nothing(bench: Bench) -> None:
    case = bench.arrive()
    lease = bench.reading(READER, case)
    preview = bench.write(READER, lease)
    with pytest.raises(Forbidden):
        bench.room.sign(READER, case.case_id, lease.token, preview.sha256, "guess")
    assert bench.query("select count(*) from worklist.report_version") == [(0,)]
    assert bench.now_is(case).state is CaseState.READING


def test_a_lapsed_lease_cannot_sign(bench: Bench) -> None:
    case = bench.arrive()
    lease = bench.reading(READER, case)
    preview = bench.write(READER, lease)
    bench.later(minutes=11)
    with pytest.raises(HeldByAnother):
        bench.room.sign(READER, case.case_id, lease.token, preview.sha256, PASSWORD)


def test_one_without_certificate_or_licence_cannot_sign(bench: Bench) -> None:
    case = bench.arrive()
    nobody = reader("nobody")
    lease = bench.reading(nobody, case)
    with pytest.raises(Forbidden):
        bench.room.preview(nobody, case.case_id, lease.token)
    with pytest.raises(Forbidden):
        bench.room.sign(replace(nobody, licence=""), case.case_id, lease.token, "0" * 64, PASSWORD)


def test_only_an_opened_case_can_be_previewed(bench: Bench) -> None:
    case = bench.arrive()
    lease = bench.room.take(READER, case.case_id)
    with pytest.raises(WrongState):
        bench.room.preview(READER, case.case_id, lease.token)


def test_machine_findings_are_answered_and_printed_with_the_answer(bench: Bench) -> None:
    case = bench.arrive()
    read = bench.machine_reads(case, finding("pneumothorax", critical=True), finding("effusion"))
    lease = bench.reading(READER, case)
    blocked = bench.write(READER, lease)
    assert [i.level for i in blocked.gate] == ["block", "warn"]
    with pytest.raises(Invalid):
        bench.room.write_verdict(READER, case.case_id, lease.token, read, "pneumothorax", "rejected")
    with pytest.raises(NotFound):
        bench.room.write_verdict(READER, case.case_id, lease.token, read, "nothing", "accepted")
    bench.room.write_verdict(READER, case.case_id, lease.token, read, "pneumothorax", "rejected", "皮褶影")
    bench.room.write_verdict(READER, case.case_id, lease.token, read, "effusion", "accepted")
    preview = bench.room.preview(READER, case.case_id, lease.token)
    assert preview.gate == ()
    signed = bench.room.sign(READER, case.case_id, lease.token, preview.sha256, PASSWORD)
    (version,) = bench.room.versions(READER, case.case_id)
    machine = version.content["machine"]
    assert isinstance(machine, list)
    assert [(m["verdict"], m["reason"]) for m in machine] == [("rejected", "皮褶影"), ("accepted", "")]
    assert not bench.room.tasks(READER) and signed.version == 1
    assert bench.query("select reads->0->>'read_id' from worklist.report_version") == [(read,)]


def test_the_clinic_sees_no_machine_read_and_no_draft(bench: Bench) -> None:
    case = bench.arrive()
    bench.machine_reads(case, finding("effusion"))
    lease = bench.reading(READER, case)
    bench.write(READER, lease)
    detail = bench.room.case(TECHNICIAN, case.case_id)
    assert not detail.reads and not detail.verdicts and detail.draft is None and not detail.token
    assert not detail.versions and not detail.tasks


def test_an_unconfirmed_identity_is_printed(bench: Bench) -> None:
    case = bench.arrive(identity_notes=("other_name",))
    bench.signed(READER, case)
    assert "身份待核" in json.dumps(bench.room.versions(READER, case.case_id)[0].content, ensure_ascii=False)


def test_sealing_runs_twice_and_seals_once(bench: Bench) -> None:
    case = bench.arrive()
    bench.signed(READER, case)
    before = bench.query("select sealed_sha256, sealed_at from worklist.report_version")
    bench.clock.advance(60)
    bench.again("worklist.seal", case_id=case.case_id, version=1)
    bench.again("worklist.start_deliveries", case_id=case.case_id, version=1)
    assert bench.query("select sealed_sha256, sealed_at from worklist.report_version") == before
    assert bench.query("select count(*) from center.event where kind = 'ReportSealed'") == [(1,)]


def test_a_signed_report_cannot_be_changed_even_by_the_owner(bench: Bench) -> None:
    bench.signed(READER, bench.arrive())
    with driver.connect(bench.admin, autocommit=True) as connection:
        for change in ("content = '{}'", "pdf_sha256 = 'x'", "sealed_sha256 = 'x'", "signer = 'x'", "seen_sops = '{}'"):
            with pytest.raises(Exception, match="does not change"):
                connection.execute(f"update worklist.report_version set {change}".encode())


def test_the_port_gives_the_sealed_report(bench: Bench) -> None:
    case = bench.arrive()
    signed = bench.sign(READER, bench.reading(READER, case))
    with pytest.raises(NotFound):
        bench.room.sealed(SHIGOU, case.case_id, 1)
    bench.run()
    report = bench.room.sealed(SHIGOU, case.case_id, signed.version)
    assert report.pdf.endswith(b"stamped") and report.signer_name == READER.name and report.replaces is None
    with pytest.raises(NotFound):
        bench.room.sealed(HELAN, case.case_id, 1)


# ---------------------------------------------------------------- amending
def test_an_amendment_replaces_and_tells_who_had_the_old_one(bench: Bench) -> None:
    bench.pacs.aets = ["CLINICPACS"]
    case = bench.arrive()
    bench.signed(READER, case)
    bench.room.opened(DOCTOR, case.case_id, 1)
    with pytest.raises(Invalid):
        bench.room.amend(READER, case.case_id, "")
    lease = bench.room.amend(READER, case.case_id, "漏看肋骨骨折")
    assert bench.room.versions(DOCTOR, case.case_id)[0].status is ReportState.FINAL  # in force meanwhile
    draft = bench.room.case(READER, case.case_id).draft
    assert draft is not None and draft.content.impression == "心肺膈未见明确异常。"
    bench.room.open_case(READER, case.case_id, lease.token)
    second = bench.sign(READER, lease, "左侧第 5 肋骨骨折。")
    bench.file(second, case)
    bench.run()
    newest, oldest = bench.room.versions(DOCTOR, case.case_id)
    assert (newest.version, newest.status, newest.replaces) == (2, ReportState.FINAL, 1)
    assert (newest.content["amend_reason"], newest.content["replaces"]) == ("漏看肋骨骨折", 1)
    assert oldest.status is ReportState.AMENDED
    assert bench.room.report_pdf(DOCTOR, case.case_id, 1)[1]  # readable still
    told = {(n.to, n.means) for n in bench.notifier.told if n.text_key == "worklist.notice.amended"}
    assert told == {("clinic", "page"), ("person:clinic_doctor", "page"), ("clinic_duty", "phone")}
    (row,) = bench.room.clinic_rows(DOCTOR, SHIGOU)
    assert row.report is not None and row.report.version == 2
    assert sorted(n.recipient for n in row.notices) == ["clinic", "person:clinic_doctor"]
    for notice in row.notices:
        bench.room.see_notice(DOCTOR, notice.notice_id)
    assert not bench.room.clinic_rows(DOCTOR, SHIGOU)[0].notices
    bench.again("worklist.tell_amended", case_id=case.case_id, version=1)
    assert len([n for n in bench.notifier.told if n.text_key == "worklist.notice.amended"]) == 3


def test_a_version_that_nobody_has_yet_is_not_sent_any_more(bench: Bench) -> None:
    case = bench.arrive()
    bench.pacs.aets = ["CLINICPACS"]
    bench.sign(READER, bench.reading(READER, case))  # neither sealed nor sent
    lease = bench.room.amend(READER, case.case_id, "更正")
    bench.room.open_case(READER, case.case_id, lease.token)
    second = bench.sign(READER, lease, "更正后的印象。")
    bench.file(second, case)
    bench.run()
    states = {(d.version, d.recipient): d.state for d in bench.room.case(READER, case.case_id).deliveries}
    assert states[1, "page"] is states[1, "pacs:CLINICPACS"] is DeliveryState.RECALLED
    assert states[2, "page"] is states[2, "pacs:CLINICPACS"] is DeliveryState.SENT
    assert not [n for n in bench.notifier.told if n.text_key == "worklist.notice.amended"]


# ---------------------------------------------------------------- withdrawing
def test_a_withdrawn_report_is_hidden_told_and_phoned_after(bench: Bench) -> None:
    bench.pacs.aets = ["CLINICPACS"]
    case = bench.arrive()
    bench.signed(READER, case)
    bench.room.opened(DOCTOR, case.case_id, 1)
    with pytest.raises(Invalid):
        bench.room.withdraw(READER, case.case_id, " ", wrong_patient=True)
    bench.room.withdraw(READER, case.case_id, "患者错误", wrong_patient=True)
    bench.run()
    assert bench.now_is(case).state is CaseState.CANCELLED
    assert not bench.room.versions(DOCTOR, case.case_id)
    with pytest.raises(NotFound):
        bench.room.report_pdf(DOCTOR, case.case_id, 1)
    with pytest.raises(NotFound):
        bench.room.opened(DOCTOR, case.case_id, 1)
    with pytest.raises(NotFound):
        bench.room.sealed(SHIGOU, case.case_id, 1)
    assert bench.room.versions(READER, case.case_id)[0].status is ReportState.WITHDRAWN
    (task,) = bench.room.board(person(Role.DISPATCHER, HELAN)).tasks
    assert (task.kind, task.facts["recipient"]) == ("phone", "pacs:CLINICPACS")
    told = {n.to for n in bench.notifier.told if n.text_key == "worklist.notice.withdrawn"}
    assert told == {"clinic", "person:clinic_doctor", "clinic_duty"}
    assert bench.query("select count(*) from center.event where kind = 'ReportWithdrawn'") == [(1,)]


def test_a_critical_alert_does_not_stay_in_the_name_of_the_wrong_patient(bench: Bench) -> None:
    case = bench.arrive()
    lease = bench.reading(READER, case)
    alert = bench.room.raise_alert(READER, case.case_id, "左侧张力性气胸")
    bench.file(bench.sign(READER, lease, "左侧张力性气胸。"), case)
    bench.run()
    bench.room.withdraw(READER, case.case_id, "图像不是他的", wrong_patient=True)
    bench.run()
    assert bench.room.alert(READER, alert.alert_id).state is AlertState.REFUTED
    assert not bench.room.open_alerts(DOCTOR)
    assert "worklist.alert.refuted" in {n.text_key for n in bench.notifier.told}
    assert bench.now_is(case).state is CaseState.CANCELLED


def test_withdrawn_for_another_reason_it_is_read_again(bench: Bench) -> None:
    case = bench.arrive()
    bench.signed(READER, case)
    bench.room.withdraw(READER, case.case_id, "报告写反了", wrong_patient=False)
    assert bench.now_is(case).state is CaseState.QUEUED
    assert bench.signed(OTHER, case).version == 2
    assert bench.room.versions(DOCTOR, case.case_id)[0].replaces is None


def test_without_a_report_in_force_there_is_nothing_to_withdraw(bench: Bench) -> None:
    case = bench.arrive()
    with pytest.raises(WrongState):
        bench.room.withdraw(READER, case.case_id, "没有", wrong_patient=False)
    assert bench.now_is(case).state is CaseState.QUEUED


def test_a_version_withdrawn_before_its_seal_is_sealed_but_never_sent(bench: Bench) -> None:
    case = bench.arrive()
    bench.sign(READER, bench.reading(READER, case))
    bench.room.withdraw(READER, case.case_id, "患者错误", wrong_patient=True)
    bench.run()
    assert bench.query("select sealed_sha256 <> '' from worklist.report_version") == [(True,)]
    assert bench.query("select count(*) from center.event where kind = 'ReportSealed'") == [(0,)]
    assert not bench.notifier.told  # nobody had it


def test_withdrawing_while_it_is_amended_takes_the_lease_away(bench: Bench) -> None:
    case = bench.arrive()
    bench.signed(READER, case)
    lease = bench.room.amend(OTHER, case.case_id, "补充")
    bench.room.withdraw(READER, case.case_id, "患者错误", wrong_patient=True)
    with pytest.raises(HeldByAnother):
        bench.room.open_case(OTHER, case.case_id, lease.token)


# ---------------------------------------------------------------- the printed code
def test_the_printed_code_tells_the_state_and_nothing_of_the_patient(bench: Bench) -> None:
    case = bench.arrive()
    bench.signed(READER, case)
    token = bench.query("select qr_token from worklist.draft")[0][0]
    _, pdf = bench.room.report_pdf(READER, case.case_id, 1)
    assert f"https://helan.example/q/{token}".encode() in pdf
    assert (bench.room.qr_page(token).status, bench.room.qr_page(token).current_version) == ("current", 1)
    lease = bench.room.amend(READER, case.case_id, "更正")
    bench.room.open_case(READER, case.case_id, lease.token)
    bench.sign(READER, lease, "更正。")
    assert (bench.room.qr_page(token).status, bench.room.qr_page(token).current_version) == ("replaced", 2)
    bench.room.withdraw(READER, case.case_id, "患者错误", wrong_patient=True)
    page = bench.room.qr_page(token)
    assert (page.status, page.current_version) == ("withdrawn", None)
    assert "马忆舟" not in repr(page) and "MRN" not in repr(page)
    with pytest.raises(NotFound):
        bench.room.qr_page("guess")
    assert not [r for r in bench.query("select token_hash from worklist.qr") if r[0] == token]


# ---------------------------------------------------------------- a process that dies
def test_whatever_dies_between_two_lines_the_report_is_signed_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Signing is cut before its commit and after it, sealing before its stamp and before its commit."""
    case = bench.arrive()
    lease = bench.reading(READER, case)
    preview = bench.write(READER, lease)
    sign = lambda: bench.room.sign(READER, case.case_id, lease.token, preview.sha256, PASSWORD)  # noqa: E731

    class Cut(Failure):
        pass

    def cut(*_: object, **__: object) -> None:
        raise Cut("断电", "power cut")

    with monkeypatch.context() as m:
        m.setattr("worklist.reports._queue_deliveries", cut)
        with pytest.raises(Cut):
            sign()
    assert bench.query("select count(*) from worklist.report_version") == [(0,)]
    with monkeypatch.context() as m:
        m.setattr("worklist.reports.faults.point", cut)
        with pytest.raises(Cut):
            sign()
    assert sign().version == 1  # the browser asks again: it is signed already, and says so
    with pytest.raises((HeldByAnother, WrongState)):
        bench.room.sign(READER, case.case_id, lease.token, "0" * 64, PASSWORD)
    for place in ("worklist.sealing.faults.point", "worklist.sealing.hashlib.sha256"):
        with monkeypatch.context() as m:
            m.setattr(place, cut)
            bench.run(failures=True)
        bench.clock.advance(600)
    bench.run(failures=True)
    assert bench.query("select n, sealed_sha256 <> '' from worklist.report_version") == [(1, True)]
    kinds = "select kind, count(*) from center.event where kind like 'Report%%' group by 1 order by 1"
    assert bench.query(kinds) == [("ReportSealed", 1), ("ReportSigned", 1)]


def test_whether_a_report_still_stands_is_found_by_what_it_says(bench: Bench) -> None:
    case = bench.arrive()
    bench.signed(READER, case)

    def said(n: int) -> str:
        return str(bench.query("select content_sha256 from worklist.report_version where n = %s", n)[0][0])

    assert standing(bench.database, said(1)) == ("current", 1) and standing(bench.database, "0" * 64) is None
    lease = bench.room.amend(READER, case.case_id, "补充")
    lease = bench.room.open_case(READER, case.case_id, lease.token)
    bench.sign(READER, lease, "心肺膈未见明确异常。复阅。")
    assert standing(bench.database, said(1)) == ("replaced", 2) and standing(bench.database, said(2)) == ("current", 2)
    bench.room.withdraw(READER, case.case_id, "错患者", wrong_patient=True)
    assert standing(bench.database, said(2)) == ("withdrawn", None) == standing(bench.database, said(1))


def test_a_preview_that_nobody_can_sign_any_more_goes_and_the_signed_one_stays(bench: Bench) -> None:
    case = bench.arrive()
    lease = bench.reading(READER, case)
    first = bench.write(READER, lease, "心肺膈未见明确异常？")
    second = bench.write(READER, lease, "心肺膈未见明确异常。")
    signed = bench.room.sign(READER, case.case_id, lease.token, second.sha256, PASSWORD)
    bench.later(minutes=60)
    assert bench.parts.objects.stat(first.sha256) is not None
    bench.later(minutes=24 * 60)
    assert bench.parts.objects.stat(first.sha256) is None and bench.parts.objects.stat(second.sha256) is None
    assert bench.parts.objects.stat(signed.pdf_sha256) is not None
    assert bench.room.report_pdf(READER, case.case_id, 1)[1].startswith(b"%PDF")
