"""Rows of this room to values and back: the only file that knows columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from center.codes import Service, Urgency
from center.database import Queries, Row, Work
from center.errors import NotFound
from center.identity import Actor, CaseId, ClinicId
from center.patients import Description
from center.ports import StudySummary
from worklist import whose
from worklist.lifecycle import AlertState, CaseState, DeliveryState, ReportState
from worklist.records import (
    Alert,
    AlertNotice,
    Attempt,
    BoardRow,
    CaseEventRow,
    CaseRow,
    Delivery,
    Draft,
    DraftContent,
    MachineFlag,
    ReportNotice,
    ReportVersion,
    Request,
    RequestForm,
    Task,
    Verdict,
)
from worklist.sheet import Text
from worklist.timing import Timing

SQL = Queries.load(Path(__file__).with_name("queries.sql"))

#: Columns of a case that a move or a note may set.
_CASE_COLUMNS = frozenset(
    {
        "state", "urgency", "due_at", "flags", "machine", "generation", "seen_generation", "facts_n", "version",
        "amend_reason", "lease_n", "lease_token", "lease_by", "lease_by_name", "lease_since", "lease_until",
        "lease_active_at", "events_n", "opened_at", "final_at", "delivered_at", "receipted_at", "closed_at",
        "request_id", "patient_id", "patient_name", "patient_pinyin", "patient_local_id", "patient_sex",
        "patient_birth_date", "patient_age_years", "modality", "exam", "body_part", "laterality", "images", "study_at",
        "accession", "referring", "question", "history", "others",
    }
)  # fmt: skip


def missing() -> NotFound:
    """Not there, or not within reach: the same words for both."""
    return NotFound("没有找到，或不在您的范围内。", "Not found, or not within your reach.")


def reach_of(actor: Actor) -> dict[str, list[str]]:
    """The (clinic, service) pairs that this reader's agreements and licence cover, as two arrays."""
    pairs = sorted((r.requesting_clinic, r.service.value) for r in actor.readings if r.service in actor.scope)
    return {"clinics": [p[0] for p in pairs], "services": [p[1] for p in pairs]}


# ---------------------------------------------------------------- cases
def case_from(row: Row) -> CaseRow:
    machine: dict[str, Any] = row["machine"] or {}
    return CaseRow(
        case_id=CaseId(row["case_id"]), clinic_id=ClinicId(row["clinic_id"]), clinic_name=row["clinic_name"],
        clinic_name_en=row["clinic_name_en"], case_no=row["case_no"], study_uid=row["study_uid"],
        service=Service(row["service"]), state=CaseState(row["state"]), urgency=Urgency(row["urgency"]),
        due_at=row["due_at"], completed_at=row["completed_at"], patient_id=row["patient_id"],
        patient_name=row["patient_name"], patient_pinyin=row["patient_pinyin"],
        patient_local_id=row["patient_local_id"], patient_sex=row["patient_sex"],
        patient_birth_date=row["patient_birth_date"], patient_age_years=row["patient_age_years"],
        modality=row["modality"], exam=row["exam"], body_part=row["body_part"], laterality=row["laterality"],
        images=row["images"], study_at=_instant(row["study_at"]), accession=row["accession"],
        referring=row["referring"], question=row["question"], history=row["history"], flags=frozenset(row["flags"]),
        machine=MachineFlag(
            machine.get("kind", ""), Text(machine.get("zh", ""), machine.get("en", "")), machine.get("probability"),
            machine.get("tier", ""),
        ),
        generation=row["generation"], seen_generation=row["seen_generation"], facts_n=row["facts_n"],
        version=row["version"], lease_n=row["lease_n"], lease_by=row["lease_by"] or "",
        lease_by_name=row["lease_by_name"] or "", lease_since=row["lease_since"], lease_until=row["lease_until"],
        opened_at=row["opened_at"], final_at=row["final_at"], delivered_at=row["delivered_at"],
        receipted_at=row["receipted_at"], amend_reason=row["amend_reason"],
        lease_token=row["lease_token"] or "", others=whose.from_json(row["others"]),
    )  # fmt: skip


def case(work: Work, case_id: str, *, locked: bool = False) -> CaseRow:
    """Raises NotFound."""
    row = work.one(SQL["case_by_id_locked" if locked else "case_by_id"], case_id=case_id)
    if row is None:
        raise missing()
    return case_from(row)


def case_of_study(work: Work, clinic_id: str, study_uid: str, *, locked: bool = False) -> CaseRow | None:
    name = "case_by_study_locked" if locked else "case_by_study"
    row = work.one(SQL[name], clinic_id=clinic_id, study_uid=study_uid)
    return None if row is None else case_from(row)


def set_case(work: Work, row: CaseRow, **columns: Any) -> CaseRow:
    """The case with these columns set; its row must be held."""
    unknown = columns.keys() - _CASE_COLUMNS
    if unknown:
        raise ValueError(f"no such columns: {sorted(unknown)}")
    columns = {k: v.value if isinstance(v, CaseState | Urgency) else v for k, v in columns.items()}
    columns = {k: sorted(v) if isinstance(v, frozenset | set) else v for k, v in columns.items()}  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    sets = ", ".join(f"{name} = %({name})s" for name in columns)
    work.run(
        f'update worklist."case" set {sets} where clinic_id = %(at_clinic)s and case_id = %(at_case)s',
        at_clinic=row.clinic_id,
        at_case=row.case_id,
        **columns,
    )
    return case(work, row.case_id)


def copies(study: StudySummary) -> dict[str, Any]:
    """What a case copies of its study for the list."""
    return {
        "patient_id": study.patient.patient_id,
        "patient_name": study.patient.name,
        "patient_pinyin": study.patient.pinyin,
        "patient_local_id": study.patient.local_id,
        "patient_sex": study.patient.sex,
        "patient_birth_date": study.patient.birth_date,
        "modality": "/".join(sorted(study.modalities)),
        "body_part": study.body_part,
        "laterality": study.laterality,
        "images": study.images,
        "study_at": study.study_at.isoformat() if study.study_at else "",
    }


def events(work: Work, row: CaseRow) -> tuple[CaseEventRow, ...]:
    found = work.all(SQL["case_events"], clinic_id=row.clinic_id, case_id=row.case_id)
    return tuple(
        CaseEventRow(
            r["n"], r["event"], CaseState(r["from_state"]) if r["from_state"] else None, CaseState(r["to_state"]),
            r["actor_name"], r["at"], r["reason"],
        )
        for r in found
    )  # fmt: skip


def timing(work: Work, clinic_id: str, base: Timing, now: datetime) -> Timing:
    """The region's and the clinic's policy over the defaults."""
    rows = work.all(SQL["policy"], clinic_id=clinic_id, now=now)
    return base.with_policy({r["name"]: r["value"] for r in rows})


# ---------------------------------------------------------------- requests
def request_from(row: Row) -> Request:
    form = RequestForm(
        local_id=row["local_id"], name=row["name"], sex=row["sex"], birth_date=row["birth_date"],
        age_years=row["age_years"], exam=row["exam"], question=row["question"], history=row["history"],
        urgent=row["urgent"], accession=row["accession"], referring=row["referring"], study_uid=row["study_uid"],
    )  # fmt: skip
    return Request(
        row["request_id"], ClinicId(row["clinic_id"]), form, row["written_by"], row["written_at"],
        CaseId(row["case_id"]) if row["case_id"] else None,
    )  # fmt: skip


# ---------------------------------------------------------------- drafts and reports
def content_values(content: DraftContent) -> dict[str, Any]:
    return asdict(content)


def content_from(values: dict[str, Any]) -> DraftContent:
    return DraftContent(
        values.get("findings", ""), values.get("impression", ""), values.get("recommendation", ""),
        dict(values.get("answers") or {}), values.get("template", ""),
    )  # fmt: skip


def draft_from(row: Row, amend_reason: str = "") -> Draft:
    return Draft(
        CaseId(row["case_id"]), row["version"], content_from(row["content"]), row["saved_at"], row["person_id"],
        row["orphan"], row["preview_sha256"], row["preview_lang"], amend_reason,
    )  # fmt: skip


def version_from(row: Row) -> ReportVersion:
    title: dict[str, str] = row["content"].get("title") or {}
    return ReportVersion(
        clinic_id=ClinicId(row["clinic_id"]), case_id=CaseId(row["case_id"]), study_uid=row["study_uid"],
        version=row["n"], status=ReportState(row["status"]), title=Text(title.get("zh", ""), title.get("en", "")),
        report_no=row["report_no"], content=row["content"], content_sha256=row["content_sha256"], lang=row["lang"],
        preview_sha256=row["preview_sha256"], pdf_sha256=row["pdf_sha256"], sealed_sha256=row["sealed_sha256"],
        signer=row["signer"], signer_name=row["signer_name"], certificate_serial=row["certificate_serial"],
        signed_at=row["signed_at"], sealed_at=row["sealed_at"], replaces=row["replaces"],
        seen_sop_uids=tuple(row["seen_sops"]), withdrawn_at=row["withdrawn_at"],
        withdraw_reason=row["withdraw_reason"],
    )  # fmt: skip


def versions(work: Work, row: CaseRow) -> tuple[ReportVersion, ...]:
    """Latest first."""
    return tuple(version_from(r) for r in work.all(SQL["versions"], clinic_id=row.clinic_id, case_id=row.case_id))


def version(work: Work, clinic_id: str, case_id: str, n: int, *, locked: bool = False) -> ReportVersion:
    """Raises NotFound."""
    row = work.one(SQL["version_locked" if locked else "version"], clinic_id=clinic_id, case_id=case_id, n=n)
    if row is None:
        raise missing()
    return version_from(row)


def verdicts(work: Work, row: CaseRow, version_n: int) -> tuple[Verdict, ...]:
    found = work.all(SQL["verdicts"], clinic_id=row.clinic_id, case_id=row.case_id, version=version_n)
    return tuple(
        Verdict(r["read_id"], r["finding_key"], r["verdict"], r["reason"], r["person_id"], r["at"]) for r in found
    )


# ---------------------------------------------------------------- tasks, alerts, deliveries, notices
def task_from(row: Row) -> Task:
    return Task(
        row["task_id"], row["clinic_id"], CaseId(row["case_id"]), row["case_no"], row["kind"], row["key"],
        row["for_role"], row["due_at"], row["made_at"], row["done_at"], row["done_by"] or "", row["reason"],
        row["facts"], row.get("reading_clinic") or "", row.get("reader") or "",
    )  # fmt: skip


def alert_from(row: Row, notices: Sequence[Row], steps_minutes: tuple[float, ...], automatic: bool) -> Alert:
    return Alert(
        alert_id=row["alert_id"], clinic_id=ClinicId(row["clinic_id"]), clinic_name=row["clinic_name"],
        duty_phone=row["duty_phone"], case_id=CaseId(row["case_id"]), case_no=row["case_no"], finding=row["finding"],
        level=row["level"], state=AlertState(row["state"]), step=row["step"], steps_minutes=steps_minutes,
        found_at=row["found_at"], next_at=row["next_at"], teller=row["teller"], receiver=row["receiver"],
        received_at=row["received_at"], means=row["means"], read_back=row["read_back"], mismatch=row["mismatch"],
        action=row["action"], refute_reason=row["refute_reason"],
        notices=tuple(
            AlertNotice(n["n"], n["step"], n["recipient"], n["means"], n["at"])
            for n in notices
            if n["alert_id"] == row["alert_id"]
        ),
        patient_name=row["patient_name"], automatic=automatic, patient_local_id=row.get("patient_local_id") or "",
        patient_birth_date=row.get("patient_birth_date"), conflict=_conflict(row),
    )  # fmt: skip


def _conflict(row: Row) -> Text | None:
    said = Description(row["patient_name"], row.get("patient_birth_date"), row.get("patient_sex") or "")
    return whose.conflict_of(said, row.get("patient_local_id") or "", whose.from_json(row.get("others") or ()))


def delivery_from(row: Row, attempts: Sequence[Row] = ()) -> Delivery:
    return Delivery(
        row["delivery_id"], ClinicId(row["clinic_id"]), CaseId(row["case_id"]), row["version"], row["recipient"],
        row["means"], row["mandatory"], DeliveryState(row["state"]), row["attempts"], row["next_at"], row["acked_at"],
        row["opened_at"], row["note"],
        tuple(
            Attempt(a["n"], a["at"], a["acknowledged"], a["status"], a["note"])
            for a in attempts
            if a["delivery_id"] == row["delivery_id"]
        ),
    )  # fmt: skip


def deliveries(work: Work, row: CaseRow, *, with_ledger: bool = False) -> tuple[Delivery, ...]:
    """Latest version first."""
    rows = work.all(SQL["deliveries"], clinic_id=row.clinic_id, case_id=row.case_id)
    ids = [r["delivery_id"] for r in rows]
    ledger = work.all(SQL["attempts"], clinic_id=row.clinic_id, delivery_ids=ids) if with_ledger and ids else []
    return tuple(delivery_from(r, ledger) for r in rows)


def notice_from(row: Row) -> ReportNotice:
    return ReportNotice(
        row["notice_id"], ClinicId(row["clinic_id"]), CaseId(row["case_id"]), row["version"], row["kind"],
        row["recipient"], row["at"], row["seen_at"],
    )  # fmt: skip


def board_from(row: Row) -> BoardRow:
    return BoardRow(
        CaseId(row["case_id"]), ClinicId(row["clinic_id"]), row["clinic_name"], row["case_no"], Service(row["service"]),
        row["modality"], CaseState(row["state"]), Urgency(row["urgency"]), row["due_at"], row["completed_at"],
        frozenset(row["flags"]), row["machine_kind"] or "", row["lease_by_name"] or "", row["lease_until"],
        row["version"],
    )  # fmt: skip


def _instant(text: str) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
