"""Reports: the preview that is exactly what will be signed, signing, amending, reading.

Sign = the preview's digest + the password again.  The bytes that were shown are the bytes that are signed; the commit
checks lease, draft, images and gate once more (GROUND.md "Signing").
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from center import faults, observe
from center.codes import Origin, Service
from center.database import Row, Work
from center.errors import Forbidden, Invalid, WrongState
from center.events import ReportSigned
from center.identity import Actor, CaseId, ClinicId, system_for
from center.jobs import Job, Later
from center.permits import Act, permitted
from center.ports import SealedReport, Signature, StoredRead
from worklist import drafts, leases, lifecycle, moves, qr, routing, store, tasks, whose
from worklist.lifecycle import CaseMove, CaseState, DeliveryMove, DeliveryState, ReportMove, ReportState
from worklist.parts import Parts
from worklist.records import CaseRow, DraftContent, GateItem, Lease, Preview, ReportVersion, Signed, Verdict
from worklist.sheet import Answer, CriticalLine, MachineLine, ReportSheet, Text, content_of
from worklist.store import SQL
from worklist.timing import is_film

log = observe.log("worklist")

#: So long a preview is kept at least: longer than anybody's shift.
_PREVIEW_KEPT = timedelta(hours=24)
_PENDING = frozenset({DeliveryState.QUEUED, DeliveryState.SENDING, DeliveryState.FAILED, DeliveryState.GIVEN_UP})


@dataclass(frozen=True, slots=True)
class _Loaded:
    """What a preview is made of, read in one transaction."""

    row: CaseRow
    draft: Row
    version: int
    clinic: Row
    serial: str
    verdicts: tuple[Verdict, ...]
    alerts: tuple[Row, ...]
    replaced: ReportVersion | None
    amend_reason: str


# ---------------------------------------------------------------- preview
def preview(parts: Parts, actor: Actor, case_id: CaseId, token: str, lang: str) -> Preview:
    """The PDF exactly as it would be signed, kept with the draft; what the gate says of it."""
    if lang not in ("zh", "en"):
        raise Invalid("报告语言只能是中文或英文。", "A report is in Chinese or English.", {"field": "lang"})
    loaded = _load(parts, actor, case_id, token)
    row = loaded.row
    reads = parts.reads.of(row.clinic_id, row.study_uid)
    sops = _received(parts, actor, row)
    sheet = sheet_of(parts, actor, loaded, reads)
    pdf = parts.renderer.render(sheet, lang)
    sha256 = hashlib.sha256(pdf).hexdigest()
    parts.objects.put(sha256, io.BytesIO(pdf), len(pdf))
    with moves.on_case(parts, actor, case_id, Act.DRAFT_WRITE) as (work, now_row):
        leases.require_holder(parts, now_row, actor, token)
        kept = work.run(
            SQL["keep_preview"], clinic_id=row.clinic_id, case_id=row.case_id, token=token,
            version=loaded.draft["version"], sha256=sha256, facts_n=row.facts_n, lang=lang,
            content=work.json(content_of(sheet)), content_sha256=sheet.content_sha256, sops=sops,
        )  # fmt: skip
        if not kept or now_row.facts_n != row.facts_n:
            raise drafts.preview_again(Text("预览时内容又有改动。", "Something changed while the preview was made."))
        leases.keep_alive(parts, work, now_row, active=True)
        work.audit("report:preview", f"case:{case_id}", clinic_id=row.clinic_id, sha256=sha256)
        work.enqueue(
            row.clinic_id, "worklist.drop_preview", sha256, {"sha256": sha256}, run_at=parts.clock.now() + _PREVIEW_KEPT
        )
    content = store.content_from(loaded.draft["content"])
    gate = drafts.gate_of(row, content, reads, loaded.verdicts)
    return Preview(sha256, sheet.content_sha256, loaded.draft["version"], gate)


def drop_preview(parts: Parts, job: Job) -> None:
    """A preview that nobody can sign any more goes; what was signed is another object, with the signature in it."""
    sha256 = str(job.payload["sha256"])
    with parts.database.transaction(system_for(job.clinic_id)) as work:
        held = work.one(SQL["preview_held"], clinic_id=job.clinic_id, sha256=sha256)
    if held is None:
        parts.objects.delete(sha256)
    elif held["waits"]:
        raise Later(parts.clock.now() + _PREVIEW_KEPT)


def _load(parts: Parts, actor: Actor, case_id: CaseId, token: str) -> _Loaded:
    with moves.on_case(parts, actor, case_id, Act.DRAFT_WRITE, locked=False) as (work, row):
        leases.require_holder(parts, row, actor, token)
        if row.state is not CaseState.READING:
            raise lifecycle.wrong_state(row.state, lifecycle.possible(lifecycle.CASE, row.state))
        draft = work.one(SQL["draft"], clinic_id=row.clinic_id, case_id=case_id, token=token)
        clinic = work.one(SQL["clinic"], clinic_id=row.clinic_id)
        serial = work.one(SQL["certificate"], person_id=actor.person_id)
        if serial is None:
            raise Forbidden(
                "您还没有签名证书，不能签发。请联系管理员。",
                "You have no certificate to sign with. Ask the administrator.",
                {"grantor": "administrator"},
            )
        assert draft is not None and clinic is not None  # the lease made the one, the case's key names the other
        number = drafts.next_version(work, row)
        replaced = store.version(work, row.clinic_id, case_id, row.version) if row.version else None
        alerts = work.all(SQL["case_alerts"], clinic_id=row.clinic_id, case_id=case_id)
        return _Loaded(
            row, draft, number, clinic, serial["serial"], store.verdicts(work, row, number), tuple(alerts), replaced,
            row.amend_reason,
        )  # fmt: skip


def _received(parts: Parts, actor: Actor, row: CaseRow) -> list[str]:
    """SOP instance UIDs of what the reader was shown: what came, not what we made."""
    found = parts.studies.instances(actor, row.clinic_id, row.study_uid)
    return sorted(i.sop_uid for i in found if i.origin is not Origin.RESULT)


def preview_pdf(parts: Parts, actor: Actor, case_id: CaseId, token: str, sha256: str) -> bytes:
    """The bytes of the preview that this lease's draft holds. Raises NotFound, HeldByAnother."""
    with moves.on_case(parts, actor, case_id, Act.DRAFT_WRITE, locked=False) as (work, row):
        leases.require_holder(parts, row, actor, token)
        draft = drafts.own_draft(work, row, token)
    if draft is None or not sha256 or draft.preview_sha256 != sha256:
        raise store.missing()
    return _bytes(parts, sha256)


def sheet_of(parts: Parts, actor: Actor, loaded: _Loaded, reads: Sequence[StoredRead]) -> ReportSheet:
    """What the PDF prints, from the case, the draft and what was decided about machine and critical findings."""
    row, clinic = loaded.row, loaded.clinic
    content = store.content_from(loaded.draft["content"])
    return ReportSheet(
        center=parts.center,
        clinic=Text(clinic["name"], clinic["name_en"] or clinic["name"]),
        title=title_of(row),
        report_no=f"{row.case_no}-{loaded.version}",
        version=loaded.version,
        patient_name=row.patient_name,
        patient_sex=row.patient_sex,
        patient_birth_date=row.patient_birth_date,
        patient_age_years=row.patient_age_years,
        patient_local_id=row.patient_local_id,
        exam=row.exam,
        modality=row.modality,
        body_part=row.body_part,
        laterality=row.laterality,
        study_at=row.study_at,
        study_uid=row.study_uid,
        images=row.images,
        accession=row.accession,
        urgency=row.urgency.value,
        referring=row.referring,
        question=row.question,
        history=row.history,
        findings=content.findings,
        impression=content.impression,
        recommendation=content.recommendation,
        signer_name=actor.name,
        signer_licence=actor.licence,
        certificate_serial=loaded.serial,
        signed_at=parts.clock.now(),
        zone=clinic["zone"],
        answers=_answers(content),
        critical=tuple(_critical_line(a) for a in loaded.alerts if a["state"] != "refuted"),
        machine=_machine_lines(reads, loaded.verdicts),
        notes=_notes(row),
        replaces=loaded.replaced.version if loaded.replaced else None,
        replaces_signed_at=loaded.replaced.signed_at if loaded.replaced else None,
        amend_reason=loaded.amend_reason if loaded.replaced else "",
        demo=parts.demo,
        qr_url=qr.address(parts, loaded.draft["qr_token"]),
    )


def title_of(row: CaseRow) -> Text:
    """What kind of report it is."""
    if row.service is Service.ECG:
        return Text("心电图诊断报告", "ECG report")
    if is_film(row.modality):
        return Text("X 线诊断报告", "Radiography report")
    kinds = {
        "CT": Text("CT 诊断报告", "CT report"),
        "MR": Text("磁共振诊断报告", "MR report"),
        "US": Text("超声诊断报告", "Ultrasound report"),
    }
    return kinds.get(row.modality.split("/")[0], Text("影像诊断报告", "Imaging report"))


def _answers(content: DraftContent) -> tuple[Answer, ...]:
    return tuple(Answer(q, a.strip()) for q, a in content.answers.items() if a.strip())


def _critical_line(alert: Row) -> CriticalLine:
    return CriticalLine(
        alert["finding"], alert["found_at"], alert["teller"], alert["receiver"], alert["received_at"], alert["means"],
        alert["read_back"], alert["action"],
    )  # fmt: skip


def _machine_lines(reads: Sequence[StoredRead], verdicts: Sequence[Verdict]) -> tuple[MachineLine, ...]:
    decided = {(v.read_id, v.finding_key): v for v in verdicts}
    return tuple(
        MachineLine(
            r.read.model, r.read.version, f.zh, f.en, round(f.probability, 4), decided[r.read_id, f.key].verdict,
            decided[r.read_id, f.key].reason,
        )
        for r in routing.latest_of_each(reads)
        for f in r.read.answerable
        if (r.read_id, f.key) in decided
    )  # fmt: skip


def _notes(row: CaseRow) -> tuple[Text, ...]:
    if "identity_unconfirmed" not in row.flags:
        return ()
    said = whose.conflict(row)
    doubt = Text("患者身份待核。", "The patient's identity is unconfirmed.")
    return (doubt,) if said is None else (Text(doubt.zh + said.zh, f"{doubt.en} {said.en}"),)


# ---------------------------------------------------------------- signing
def sign(parts: Parts, actor: Actor, case_id: CaseId, token: str, preview_sha256: str, password: str) -> Signed:
    """Signed as final: the version fixed, deliveries queued, ReportSigned in the same commit."""
    with moves.on_case(parts, actor, case_id, Act.REPORT_SIGN, locked=False) as (work, row):
        if (before := _signed_before(work, row, actor, preview_sha256)) is not None:
            return before
        _may_sign(parts, work, row, actor, token, preview_sha256)
    reads = parts.reads.of(row.clinic_id, row.study_uid)
    receivers = parts.peers.destinations(row.clinic_id)
    signature = parts.signer.sign(
        _bytes(parts, preview_sha256), actor.person_id, password, f"report:final:sign {row.case_no}"
    )
    parts.objects.put(signature.sha256, io.BytesIO(signature.pdf), len(signature.pdf))
    with moves.on_case(parts, actor, case_id, Act.REPORT_SIGN) as (work, row):
        if (before := _signed_before(work, row, actor, preview_sha256)) is not None:
            return before
        draft = _may_sign(parts, work, row, actor, token, preview_sha256)
        content = store.content_from(draft["content"])
        number = int(draft["preview_content"]["version"])
        _gate_open(drafts.gate_of(row, content, reads, store.verdicts(work, row, number)))
        _fix_version(parts, work, row, draft, signature, reads, number)
        _replace(parts, work, row)
        _queue_deliveries(parts, work, row, number, receivers)
        now = parts.clock.now()
        row = moves.move(
            work, row, CaseMove.SIGN, now, detail={"version": number}, version=number, final_at=now, delivered_at=None,
            receipted_at=None, closed_at=None, amend_reason="", flags=row.flags - {"reopened", "wider_pool"},
        )  # fmt: skip
        tasks.finish_of_case(work, row, ("read_now", "late_images", "identity", "dispatch"), now, "signed")
        work.audit(
            Act.REPORT_SIGN.value, f"case:{case_id}", clinic_id=row.clinic_id, version=number,
            pdf_sha256=signature.sha256, certificate=signature.certificate_serial,
        )  # fmt: skip
        work.emit(ReportSigned(row.clinic_id, case_id, row.study_uid, number))
    faults.point("report.signed")
    log.info("report.signed", case=case_id, version=number)
    return Signed(case_id, number, signature.sha256, signature.signed_at)


def _signed_before(work: Work, row: CaseRow, actor: Actor, preview_sha256: str) -> Signed | None:
    """What this very request brought about when it came first: a button pressed twice is one signature."""
    found = work.one(
        SQL["signed_of_preview"], clinic_id=row.clinic_id, case_id=row.case_id, signer=actor.person_id,
        preview_sha256=preview_sha256,
    )  # fmt: skip
    return Signed(row.case_id, found["n"], found["pdf_sha256"], found["signed_at"]) if found else None


def _may_sign(parts: Parts, work: Work, row: CaseRow, actor: Actor, token: str, preview_sha256: str) -> Row:
    """The draft whose preview this is. Raises HeldByAnother, WrongState."""
    leases.require_holder(parts, row, actor, token)
    if row.state is not CaseState.READING:
        raise lifecycle.wrong_state(row.state, lifecycle.possible(lifecycle.CASE, row.state))
    draft = work.one(SQL["draft_locked"], clinic_id=row.clinic_id, case_id=row.case_id, token=token)
    if draft is None or not draft["preview_sha256"] or draft["preview_sha256"] != preview_sha256:
        raise drafts.preview_again(Text("草稿在预览之后改过。", "The draft was changed after the preview."))
    if draft["preview_facts_n"] != row.facts_n or row.seen_generation < row.generation:
        raise drafts.preview_again(
            Text("图像、申请或身份在预览之后有变化。", "Images, request or identity changed after the preview.")
        )
    return draft


def _gate_open(items: Sequence[GateItem]) -> None:
    blocks = [item for item in items if item.level == "block"]
    if blocks:
        first = Text(blocks[0].zh, blocks[0].en)
        facts: dict[str, object] = {"state": "reading", "possible": ["edit"], "gate": [item.key for item in blocks]}
        raise WrongState(f"还不能签发：{first.zh}", f"It cannot be signed yet: {first.en}", facts)


def _fix_version(
    parts: Parts, work: Work, row: CaseRow, draft: Row, signature: Signature, reads: Sequence[StoredRead], number: int
) -> None:
    status = lifecycle.advance(lifecycle.REPORT, ReportState.DRAFT, ReportMove.SIGN)
    work.run(
        SQL["insert_version"], clinic_id=row.clinic_id, case_id=row.case_id, n=number, study_uid=row.study_uid,
        status=status.value, report_no=draft["preview_content"]["report_no"],
        content=work.json(draft["preview_content"]), content_sha256=draft["preview_content_sha256"],
        lang=draft["preview_lang"], preview_sha256=draft["preview_sha256"], pdf_sha256=signature.sha256,
        signer=work.actor.person_id, signer_name=work.actor.name, certificate_serial=signature.certificate_serial,
        signed_at=signature.signed_at, replaces=row.version or None, seen_sops=draft["preview_sops"],
        reads=work.json([_shown(r) for r in reads]), amend_reason=draft["preview_content"].get("amend_reason") or "",
    )  # fmt: skip
    work.run(SQL["keep_object"], sha256=signature.sha256, bytes=len(signature.pdf))
    qr.keep(work, row.clinic_id, row.case_id, number, draft["qr_token"])


def _shown(read: StoredRead) -> dict[str, str]:
    return {
        "read_id": read.read_id,
        "model": read.read.model,
        "version": read.read.version,
        "input_digest": read.read.input_digest,
        "outcome": read.read.outcome.value,
    }


def _replace(parts: Parts, work: Work, row: CaseRow) -> None:
    """The version in force is replaced; what of it was still on its way is recalled, who has it is told."""
    if not row.version:
        return
    old = store.version(work, row.clinic_id, row.case_id, row.version, locked=True)
    status = lifecycle.advance(lifecycle.REPORT, old.status, ReportMove.REPLACE)
    work.run(
        SQL["set_version_status"], clinic_id=row.clinic_id, case_id=row.case_id, n=old.version, status=status.value,
        withdrawn_at=None, withdraw_reason="",
    )  # fmt: skip
    recall(work, row, only=_PENDING, versions=(old.version,))
    work.audit("report:replaced", f"case:{row.case_id}", clinic_id=row.clinic_id, version=old.version)
    payload = {"case_id": row.case_id, "version": old.version}
    work.enqueue(row.clinic_id, "worklist.tell_amended", f"{row.case_id}:{old.version}", payload)


def recall(
    work: Work, row: CaseRow, *, only: frozenset[DeliveryState] | None = None, versions: Sequence[int] = ()
) -> None:
    """Deliveries of these versions (all when none are named) are recalled."""
    for delivery in store.deliveries(work, row):
        wanted = not versions or delivery.version in versions
        if not wanted or delivery.state is DeliveryState.RECALLED or (only is not None and delivery.state not in only):
            continue
        after = lifecycle.advance(lifecycle.DELIVERY, delivery.state, DeliveryMove.RECALL)
        work.run(
            SQL["move_delivery"], clinic_id=row.clinic_id, delivery_id=delivery.delivery_id, state=after.value,
            attempts=delivery.attempts, next_at=None, acked_at=delivery.acked_at, note=delivery.note,
        )  # fmt: skip


def _queue_deliveries(parts: Parts, work: Work, row: CaseRow, number: int, receivers: Sequence[str]) -> None:
    for recipient, means in (("page", "page"), *((f"pacs:{aet}", "dicom") for aet in dict.fromkeys(receivers))):
        work.run(
            SQL["insert_delivery"], clinic_id=row.clinic_id, delivery_id=parts.identifiers.new(), case_id=row.case_id,
            version=number, recipient=recipient, means=means, mandatory=True, state=DeliveryState.QUEUED.value,
        )  # fmt: skip


# ---------------------------------------------------------------- amending and reading
def amend(parts: Parts, actor: Actor, case_id: CaseId, reason: str) -> Lease:
    """A new lease; version n+1 is written, n stays in force until it is signed."""
    if not reason.strip():
        raise Invalid("请写明修订原因。", "Give the reason for amending.", {"field": "reason"})
    with moves.on_case(parts, actor, case_id, Act.REPORT_AMEND, locked=False) as (work, _):
        leases.lock_person(work, actor)
        row = store.case(work, case_id, locked=True)
        return leases.reopen(parts, work, row, actor, reason)


def visible(row: CaseRow, actor: Actor, found: Sequence[ReportVersion]) -> tuple[ReportVersion, ...]:
    """Its readers see all; the clinic what is sealed and not withdrawn."""
    if actor.reads(row.clinic_id, row.service):
        return tuple(found)
    return tuple(v for v in found if v.sealed_sha256 and v.status is not ReportState.WITHDRAWN)


def versions(parts: Parts, actor: Actor, case_id: CaseId) -> tuple[ReportVersion, ...]:
    """Latest first."""
    with moves.on_case(parts, actor, case_id, Act.REPORT_VIEW, locked=False) as (work, row):
        return visible(row, actor, store.versions(work, row))


def report_pdf(parts: Parts, actor: Actor, case_id: CaseId, version: int) -> tuple[ReportVersion, bytes]:
    """The sealed PDF; while the seal is on its way, its readers get the signed one."""
    with moves.on_case(parts, actor, case_id, Act.REPORT_VIEW, locked=False) as (work, row):
        found = [v for v in visible(row, actor, store.versions(work, row)) if v.version == version]
        if not found:
            raise store.missing()
        work.audit(Act.REPORT_VIEW.value, f"case:{case_id}", clinic_id=row.clinic_id, version=version)
    return found[0], _bytes(parts, found[0].sealed_sha256 or found[0].pdf_sha256)


def sealed(parts: Parts, clinic_id: ClinicId, case_id: CaseId, version: int) -> SealedReport:
    """Port Reports: what the gateway files and sends; NotFound while unsealed, and for a withdrawn version."""
    with parts.database.transaction(system_for(clinic_id)) as work:
        found = store.version(work, clinic_id, case_id, version)
    if not found.sealed_sha256 or found.status is ReportState.WITHDRAWN:
        raise store.missing()
    title = found.title.en if found.lang == "en" else found.title.zh
    return SealedReport(
        clinic_id, case_id, found.study_uid, version, title, _bytes(parts, found.sealed_sha256), found.sealed_sha256,
        found.signer_name, found.signed_at, found.replaces, found.seen_sop_uids,
    )  # fmt: skip


def is_its_reader(actor: Actor, row: CaseRow) -> bool:
    return permitted(actor, Act.READ_VIEW, moves.thing(row))


def _bytes(parts: Parts, sha256: str) -> bytes:
    return b"".join(parts.objects.open_range(sha256))
