"""The room's face: what a page, a command or another process may ask of cases and reports.

``Worklist(parts)`` is bound once in wiring. Every method permits first and audits in the transaction of the act; every
failure comes from ``center.errors``. ``handlers`` and ``SUBSCRIPTIONS`` are what the worker runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from center.codes import Urgency
from center.database import Row
from center.identity import SYSTEM, Actor, CaseId, ClinicId
from center.jobs import Handler
from center.ports import Grant, SealedReport
from worklist import (
    access,
    alerts,
    board,
    cases,
    clocks,
    deliveries,
    drafts,
    leases,
    lists,
    qr,
    reports,
    requests,
    sealing,
    tasks,
    withdrawing,
)
from worklist.parts import Parts
from worklist.qr import standing as standing
from worklist.records import (
    Alert,
    Board,
    CaseDetail,
    CaseList,
    CaseRow,
    DraftContent,
    Lease,
    ListFilter,
    Preview,
    QrPage,
    ReadBack,
    ReportVersion,
    Request,
    RequestForm,
    Saved,
    Signed,
    Task,
    UploadRow,
)
from worklist.store import SQL
from worklist.templates import ReportTemplate, templates_for

#: Which of this room's handlers run on which kind of event; wiring merges the rooms' tables.
SUBSCRIPTIONS: dict[str, tuple[str, ...]] = {
    "StudyCompleted": ("worklist.open_case",),
    "StudyExtended": ("worklist.extend_case",),
    "IdentityCorrected": ("worklist.identity_corrected",),
    "IdentityDoubted": ("worklist.identity_doubted",),
    "PreliminaryReadMade": ("worklist.on_read",),
    "ReportSigned": ("worklist.seal",),
    "ReportSealed": ("worklist.start_deliveries",),
    "ReportWithdrawn": ("worklist.tell_withdrawn",),
    "DeliveryAcknowledged": ("worklist.settle",),
    "ReportOpened": ("worklist.settle",),
}


class Worklist:
    """Cases, reports, alerts and deliveries of the clinics that the actor may see."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    @property
    def handlers(self) -> Mapping[str, Handler]:
        """Job handlers by name."""
        p = self._parts
        return {
            "worklist.open_case": lambda job: cases.open_case(p, job),
            "worklist.extend_case": lambda job: cases.extend_case(p, job),
            "worklist.identity_corrected": lambda job: cases.on_identity_corrected(p, job),
            "worklist.identity_doubted": lambda job: cases.on_identity_doubted(p, job),
            "worklist.on_read": lambda job: cases.on_read(p, job),
            "worklist.lapse": lambda job: leases.lapse(p, job),
            "worklist.seal": lambda job: sealing.seal(p, job),
            "worklist.start_deliveries": lambda job: deliveries.start(p, job),
            "worklist.deliver": lambda job: deliveries.deliver(p, job),
            "worklist.drop_preview": lambda job: reports.drop_preview(p, job),
            "worklist.settle": lambda job: deliveries.settle(p, job),
            "worklist.tell_amended": lambda job: withdrawing.tell(p, job),
            "worklist.tell_withdrawn": lambda job: withdrawing.tell(p, job),
            "worklist.ladder": lambda job: alerts.ladder(p, job),
            "worklist.case_clock": lambda job: clocks.case_clock(p, job),
            "worklist.unopened": lambda job: clocks.unopened(p, job),
        }

    # ------------------------------------------------------------ the list (readers)
    def list_cases(
        self, actor: Actor, narrowed: ListFilter = ListFilter(), *, limit: int = 50, offset: int = 0
    ) -> CaseList:
        """Cases that this reader may read, in the order of reading. Raises Forbidden."""
        return lists.list_cases(self._parts, actor, narrowed, limit=limit, offset=offset)

    def next_case(self, actor: Actor) -> CaseRow | None:
        """The case that ``take_next`` would give now."""
        return lists.next_case(self._parts, actor)

    def case(self, actor: Actor, case_id: CaseId) -> CaseDetail:
        """The whole case, for a reader or the clinic's people. Raises NotFound, Forbidden."""
        return lists.detail(self._parts, actor, case_id)

    def case_of_study(self, actor: Actor, clinic_id: ClinicId, study_uid: str) -> CaseRow | None:
        """The case of a study within reach, or None."""
        return lists.case_of_study(self._parts, actor, clinic_id, study_uid)

    # ------------------------------------------------------------ leases
    def take_next(self, actor: Actor) -> Lease | None:
        """A lease on the most urgent case he may read; None when nothing waits. Raises OverLimit (three held),
        Unavailable (clock not trusted)."""
        return leases.take_next(self._parts, actor)

    def take(self, actor: Actor, case_id: CaseId, reason: str = "") -> Lease:
        """A lease on this one. Another than the next needs a reason, three a shift (8 h).

        Raises Invalid (no reason), OverLimit, HeldByAnother, WrongState. Asked again by the holder: his lease.
        """
        return leases.take(self._parts, actor, case_id, reason)

    def open_case(self, actor: Actor, case_id: CaseId, token: str) -> Lease:
        """The holder opens the images: LEASED becomes READING; asked again, nothing changes. Raises HeldByAnother."""
        return leases.open_leased(self._parts, actor, case_id, token)

    def renew(self, actor: Actor, case_id: CaseId, token: str, *, active: bool = True) -> Lease:
        """The page's heartbeat, every 30 s; ``active``: the reader did something since. Raises HeldByAnother."""
        return leases.renew(self._parts, actor, case_id, token, active=active)

    def release(self, actor: Actor, case_id: CaseId, token: str, reason: str = "") -> None:
        """Back to the queue at its old due time; his draft stays."""
        leases.release(self._parts, actor, case_id, token, reason)

    def reassign(self, actor: Actor, case_id: CaseId, reason: str) -> None:
        """A dispatcher takes a case back from its holder into the queue."""
        leases.reassign(self._parts, actor, case_id, reason)

    # ------------------------------------------------------------ what happens to a case
    def raise_urgency(self, actor: Actor, case_id: CaseId, urgency: Urgency, reason: str) -> None:
        """Urgency only rises; the due time only comes nearer. Raises WrongState when it would fall."""
        cases.raise_urgency(self._parts, actor, case_id, urgency, reason)

    def cancel(self, actor: Actor, case_id: CaseId, reason: str) -> None:
        """The clinic takes a waiting case back."""
        cases.cancel(self._parts, actor, case_id, reason)

    def reject_quality(self, actor: Actor, case_id: CaseId, token: str, reason: str) -> None:
        """Not diagnostic: back to the technician, with the reason."""
        cases.reject_quality(self._parts, actor, case_id, token, reason)

    def see_images(self, actor: Actor, case_id: CaseId, token: str, generation: int) -> None:
        """The holder has looked at what came late, up to this generation; signing is free again."""
        cases.see_images(self._parts, actor, case_id, token, generation)

    # ------------------------------------------------------------ the draft
    def templates(self, case: CaseRow) -> tuple[ReportTemplate, ...]:
        """Report templates that fit the case, the normal one first."""
        return templates_for(case.service, case.modality, case.body_part, case.exam)

    def save_draft(self, actor: Actor, case_id: CaseId, token: str, content: DraftContent, base_version: int) -> Saved:
        """Autosave. A stale token: the text is kept as an orphan draft and HeldByAnother raised; a base_version that
        is not the last saved one (a second tab): WrongState with ``current``."""
        return drafts.save(self._parts, actor, case_id, token, content, base_version)

    def write_verdict(
        self, actor: Actor, case_id: CaseId, token: str, read_id: str, finding_key: str, verdict: str, reason: str = ""
    ) -> None:
        """accepted | rejected for one machine finding; rejecting a critical one needs a reason."""
        drafts.write_verdict(self._parts, actor, case_id, token, read_id, finding_key, verdict, reason)

    def preview(self, actor: Actor, case_id: CaseId, token: str, lang: str = "zh") -> Preview:
        """Renders the PDF exactly as it would be signed and keeps it with the draft."""
        return reports.preview(self._parts, actor, case_id, token, lang)

    def preview_pdf(self, actor: Actor, case_id: CaseId, token: str, sha256: str) -> bytes:
        """The bytes of the preview that the draft holds. Raises NotFound."""
        return reports.preview_pdf(self._parts, actor, case_id, token, sha256)

    # ------------------------------------------------------------ reports
    def sign(self, actor: Actor, case_id: CaseId, token: str, preview_sha256: str, password: str) -> Signed:
        """Signed as final. Raises Forbidden (password), WrongState (preview again; the gate blocks), HeldByAnother."""
        return reports.sign(self._parts, actor, case_id, token, preview_sha256, password)

    def amend(self, actor: Actor, case_id: CaseId, reason: str) -> Lease:
        """A new lease on a finished case; the version in force stays so until the new one is signed."""
        return reports.amend(self._parts, actor, case_id, reason)

    def confirm(self, actor: Actor, password: str) -> None:
        """It is he who asks, as for signing. Raises Forbidden."""
        self._parts.signer.confirm(actor.person_id, password)

    def withdraw(self, actor: Actor, case_id: CaseId, reason: str, *, wrong_patient: bool) -> None:
        """Hidden from the clinic, everyone told; wrong patient: the case is cancelled, else queued again."""
        withdrawing.withdraw(self._parts, actor, case_id, reason, wrong_patient=wrong_patient)

    def versions(self, actor: Actor, case_id: CaseId) -> tuple[ReportVersion, ...]:
        """Versions within reach, latest first; withdrawn ones only for its readers."""
        return reports.versions(self._parts, actor, case_id)

    def report_pdf(self, actor: Actor, case_id: CaseId, version: int) -> tuple[ReportVersion, bytes]:
        """The sealed PDF (the signed one while the seal is on its way, for readers). Raises NotFound, Unavailable."""
        return reports.report_pdf(self._parts, actor, case_id, version)

    def opened(self, actor: Actor, case_id: CaseId, version: int) -> None:
        """A person of the clinic opened it: noted, and the first time ReportOpened. Others' opening is not noted."""
        deliveries.opened(self._parts, actor, case_id, version)

    def receipt(self, actor: Actor, case_id: CaseId, version: int) -> None:
        """The clinic confirms that it has the report."""
        deliveries.receipt(self._parts, actor, case_id, version)

    def see_notice(self, actor: Actor, notice_id: str) -> None:
        """A person of the clinic has read that a version was amended or withdrawn."""
        withdrawing.see_notice(self._parts, actor, notice_id)

    # ------------------------------------------------------------ critical alerts
    def raise_alert(
        self, actor: Actor, case_id: CaseId, finding: str, finding_key: str = "", found_at: datetime | None = None
    ) -> Alert:
        """Marks a finding critical, level 1: the ladder starts. The same finding again is the same alert."""
        return alerts.raise_alert(self._parts, actor, case_id, finding, finding_key, found_at)

    def open_alerts(self, actor: Actor) -> tuple[Alert, ...]:
        """For the banner: alerts within reach that are not closed, longest waiting first."""
        return alerts.open_alerts(self._parts, actor)

    def alert(self, actor: Actor, alert_id: str) -> Alert:
        return alerts.alert(self._parts, actor, alert_id)

    def acknowledge_alert(
        self,
        actor: Actor,
        alert_id: str,
        *,
        read_back: str,
        receiver: str,
        means: str = "page",
        action: str = "",
        insist: bool = False,
    ) -> ReadBack:
        """The read-back (a clinic's doctor, or a dispatcher by phone). One that does not say what the finding says is
        not kept unless ``insist``; with an action the alert is closed at once."""
        return alerts.acknowledge(
            self._parts, actor, alert_id, read_back=read_back, receiver=receiver, means=means, action=action,
            insist=insist,
        )  # fmt: skip

    def close_alert(self, actor: Actor, alert_id: str, action: str) -> Alert:
        """What was done for the patient; the alert is closed."""
        return alerts.close(self._parts, actor, alert_id, action)

    def refute_alert(self, actor: Actor, alert_id: str, reason: str) -> Alert:
        """A reader takes the finding back, with the reason; the clinic is told."""
        return alerts.refute(self._parts, actor, alert_id, reason)

    # ------------------------------------------------------------ clinic
    def write_request(self, actor: Actor, clinic_id: ClinicId, form: RequestForm) -> Request:
        """Keeps a request, before or after the upload, and matches it. Raises Invalid, WrongState (same accession)."""
        return requests.write(self._parts, actor, clinic_id, form)

    def clinic_rows(self, actor: Actor, clinic_id: ClinicId, limit: int = 50) -> tuple[UploadRow, ...]:
        """ "My uploads": what arrived lately and what is waited for, latest first."""
        return requests.clinic_rows(self._parts, actor, clinic_id, limit)

    def find_rows(
        self,
        actor: Actor,
        clinic_id: ClinicId,
        *,
        span: tuple[datetime | None, datetime | None] = (None, None),
        state: str = "",
        text: str = "",
        limit: int = 50,
        offset: int = 0,
    ) -> tuple[tuple[UploadRow, ...], int]:
        """The clinic's cases of all times, latest first, and how many there are; span: completed from and before."""
        return requests.find_rows(
            self._parts, actor, clinic_id, span=span, state=state, text=text, limit=limit, offset=offset
        )

    def study_row(self, actor: Actor, clinic_id: ClinicId, study_uid: str) -> UploadRow:
        """One study of the clinic with its case. Raises NotFound."""
        return requests.study_row(self._parts, actor, clinic_id, study_uid)

    # ------------------------------------------------------------ dispatcher
    def board(self, actor: Actor) -> Board:
        """Every open case, task and alert of all clinics, without names."""
        return board.board(self._parts, actor)

    def tasks(self, actor: Actor) -> tuple[Task, ...]:
        """Open tasks for this reader's cases (the dispatcher's are on the board)."""
        return tasks.for_reader(self._parts, actor)

    def finish_task(self, actor: Actor, task_id: str, reason: str) -> None:
        """Done, and how. A phone task for a delivery counts as handed over."""
        tasks.finish(self._parts, actor, task_id, reason)

    def cases_about(
        self, clinic_ids: Sequence[str], *, cases: Sequence[str], studies: Sequence[str], deliveries: Sequence[str]
    ) -> Sequence[Row]:
        """For administration: case_id, case_no, study_uid and delivery_id of what is named; no patient."""
        with self._parts.database.transaction(SYSTEM, (ClinicId(c) for c in clinic_ids)) as work:
            return work.all(SQL["cases_about"], cases=list(cases), studies=list(studies), deliveries=list(deliveries))

    def cases_named(self, things: Sequence[tuple[str, str, str]]) -> Sequence[Row]:
        """For the audit: of (clinic_id, kind, id) the cases that they are or are of, where one is: kind, id, clinic_id,
        case_id, case_no, service; no patient."""
        if not things:
            return []
        clinics, kinds, ids = (list(values) for values in zip(*things, strict=True))
        with self._parts.database.transaction(SYSTEM, (ClinicId(c) for c in set(clinics))) as work:
            return work.all(SQL["cases_named"], clinics=clinics, kinds=kinds, ids=ids)

    # ------------------------------------------------------------ ports and the public page
    def through_case(self, actor: Actor, case_id: CaseId) -> Grant:
        """Port CaseAccess."""
        return access.through_case(self._parts, actor, case_id)

    def may_see(self, actor: Actor, clinic_id: ClinicId, study_uid: str) -> Grant | None:
        """Port CaseAccess."""
        return access.may_see(self._parts, actor, clinic_id, study_uid)

    def sealed(self, clinic_id: ClinicId, case_id: CaseId, version: int) -> SealedReport:
        """Port Reports. Raises NotFound also for a withdrawn version."""
        return reports.sealed(self._parts, clinic_id, case_id, version)

    def qr_page(self, token: str) -> QrPage:
        """What the printed code's address shows to anyone. Raises NotFound."""
        return qr.page(self._parts, token)

    def timeline(self, clinic_id: ClinicId, case_id: CaseId) -> Sequence[tuple[datetime, str, str]]:
        """(when, what, who) of a case for `make journey`: its moves, alerts and deliveries in order."""
        return lists.timeline(self._parts, clinic_id, case_id)
