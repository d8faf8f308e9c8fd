"""Withdrawing a report, and telling everyone who received or opened a version that is withdrawn or amended."""

from __future__ import annotations

from datetime import timedelta

from center.database import Work
from center.errors import Invalid
from center.events import ReportWithdrawn
from center.identity import Actor, CaseId, system_for
from center.jobs import Job
from center.permits import Act, permit
from center.ports import Notice
from worklist import alerts, lifecycle, moves, reports, store, tasks
from worklist.lifecycle import DELIVERED_STATES, CaseMove, ReportMove, ReportState
from worklist.parts import Parts
from worklist.records import CaseRow, Delivery, ReportVersion
from worklist.sheet import Text
from worklist.store import SQL


def withdraw(parts: Parts, actor: Actor, case_id: CaseId, reason: str, *, wrong_patient: bool) -> None:
    """Every version is hidden from the clinic; a PACS that holds a copy gets a phone task.

    wrong_patient: the images are somebody else's, so an open critical alert in this patient's name is taken back, too.
    """
    if not reason.strip():
        raise Invalid("请写明撤回原因。", "Give the reason for withdrawing.", {"field": "reason"})
    with moves.on_case(parts, actor, case_id, Act.REPORT_WITHDRAW) as (work, row):
        if not row.version:
            why = Text("没有生效的报告可以撤回。", "There is no report in force to withdraw.")
            raise lifecycle.wrong_state(row.state, (), why)
        now, number = parts.clock.now(), row.version
        standing = [v for v in store.versions(work, row) if v.status is not ReportState.WITHDRAWN]
        for version in standing:
            _withdraw_version(parts, work, version, reason)
        _phone_holders(parts, work, row, store.deliveries(work, row))
        reports.recall(work, row)
        tasks.finish_of_case(work, row, ("late_images", "identity", "read_now"), now, "withdrawn")
        if wrong_patient:
            row = alerts.refute_all(parts, work, row, reason)
        what = CaseMove.WITHDRAW_WRONG_PATIENT if wrong_patient else CaseMove.WITHDRAW
        flags = row.flags - {"reopened"} | ({"identity_unconfirmed"} if wrong_patient else set())
        moves.move(
            work, row, what, now, reason=reason, detail={"version": number}, version=0, final_at=None,
            delivered_at=None, receipted_at=None, closed_at=None, flags=flags, facts_n=row.facts_n + 1,
        )  # fmt: skip
        for version in standing:
            work.emit(ReportWithdrawn(row.clinic_id, case_id, row.study_uid, version.version))


def _withdraw_version(parts: Parts, work: Work, version: ReportVersion, reason: str) -> None:
    status = lifecycle.advance(lifecycle.REPORT, version.status, ReportMove.WITHDRAW)
    work.run(
        SQL["set_version_status"], clinic_id=version.clinic_id, case_id=version.case_id, n=version.version,
        status=status.value, withdrawn_at=parts.clock.now(), withdraw_reason=reason,
    )  # fmt: skip
    work.audit(
        Act.REPORT_WITHDRAW.value, f"case:{version.case_id}", clinic_id=version.clinic_id, reason=reason,
        version=version.version,
    )  # fmt: skip


def _phone_holders(parts: Parts, work: Work, row: CaseRow, deliveries: tuple[Delivery, ...]) -> None:
    due = parts.clock.now() + timedelta(minutes=parts.timing.phone_task)
    for delivery in deliveries:
        if delivery.means == "dicom" and delivery.state in DELIVERED_STATES:
            key = f"withdrawn:{delivery.recipient}:v{delivery.version}"
            tasks.open_task(parts, work, row, "phone", key, due, recipient=delivery.recipient, version=delivery.version)


# ---------------------------------------------------------------- telling
def tell(parts: Parts, job: Job) -> None:
    """On a withdrawn or replaced version: a notice, once each, for the clinic and every person who opened it."""
    clinic, case_id, number = job.clinic_id, str(job.payload["case_id"]), int(job.payload["version"])
    kind = "amended" if job.handler.endswith("amended") else "withdrawn"
    with parts.database.transaction(system_for(clinic)) as work:
        row = store.case(work, case_id, locked=True)
        for recipient in _receivers(work, row, number):
            _tell_one(parts, work, row, number, kind, recipient)
        work.tell_pages(clinic, "notice", {"case_id": case_id, "event": kind})


def _receivers(work: Work, row: CaseRow, number: int) -> list[str]:
    """The clinic where this version reached it, each person who opened it, each PACS that took it."""
    had = [d for d in store.deliveries(work, row) if d.version == number and d.acked_at is not None]
    people = work.all(SQL["openings"], clinic_id=row.clinic_id, case_id=row.case_id, versions=[number])
    out = ["clinic"] if had else []
    out += sorted({d.recipient for d in had if d.means == "dicom"})
    return out + sorted({f"person:{p['person_id']}" for p in people})


def _tell_one(parts: Parts, work: Work, row: CaseRow, number: int, kind: str, recipient: str) -> None:
    made = work.one(
        SQL["insert_notice"], clinic_id=row.clinic_id, notice_id=parts.identifiers.new(), case_id=row.case_id,
        version=number, kind=kind, recipient=recipient, now=parts.clock.now(),
    )  # fmt: skip
    if made is None:
        return
    to, means = ("clinic_duty", "phone") if recipient.startswith("pacs:") else (recipient, "page")
    facts = {"case_no": row.case_no, "version": str(number), "recipient": recipient}
    parts.notifier.tell(Notice(row.clinic_id, to, means, f"worklist.notice.{kind}", facts))
    work.audit(f"notice:{kind}", f"case:{row.case_id}", clinic_id=row.clinic_id, version=number, recipient=recipient)


def see_notice(parts: Parts, actor: Actor, notice_id: str) -> None:
    """Seen; of a personal notice only the person himself may say so."""
    with parts.database.transaction(actor) as work:
        found = work.one(SQL["notice_locked"], notice_id=notice_id)
        if found is None:
            raise store.missing()
        row = store.case(work, found["case_id"])
        permit(actor, Act.REPORT_RECEIPT, moves.thing(row))
        recipient: str = found["recipient"]
        if recipient.startswith("person:") and recipient != f"person:{actor.person_id}":
            raise store.missing()
        work.run(
            SQL["see_notice"], clinic_id=row.clinic_id, notice_id=notice_id, now=parts.clock.now(), by=actor.person_id
        )
        work.audit("notice:seen", f"case:{row.case_id}", clinic_id=row.clinic_id, kind=found["kind"])
