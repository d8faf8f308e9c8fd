"""Cases as studies come, grow, are put right and are read by a model; urgency, cancelling, quality.

Handlers load the state and decide; each may run twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from center import observe
from center.codes import Urgency, service_of
from center.database import Row, Work
from center.errors import Invalid, WrongState
from center.events import CaseExtended, CaseOpened
from center.identity import Actor, CaseId, system_for
from center.jobs import Job
from center.patients import OtherIdentity, age_on, is_placeholder
from center.permits import Act
from center.ports import StoredRead, StudySummary
from worklist import leases, lifecycle, moves, routing, store, tasks, whose
from worklist.lifecycle import FINISHED, OPEN_STATES, CaseMove, CaseState
from worklist.parts import Parts
from worklist.records import CaseRow, MachineFlag, Request
from worklist.routing import Priority
from worklist.sheet import Text
from worklist.store import SQL
from worklist.timing import Timing

log = observe.log("worklist")
_opened = observe.counter("helan_worklist_cases_opened_total", "Cases opened", ("service",))

#: How long a request waits for its study when only the patient's number ties them.
REQUEST_WAITS = timedelta(days=7)
#: So many other identities are kept beside a case's own.
_MOST_OTHERS = 5


# ---------------------------------------------------------------- opening
def open_case(parts: Parts, job: Job) -> None:
    """On StudyCompleted: the case, matched with its request, in the queue, clocks started."""
    clinic, study_uid = job.clinic_id, str(job.payload["study_uid"])
    study = parts.studies.summary(system_for(clinic), clinic, study_uid)
    made_before = parts.reads.of(clinic, study_uid)
    with parts.database.transaction(system_for(clinic)) as work:
        if store.case_of_study(work, clinic, study_uid) is not None:
            return
        work.run(SQL["matching_lock"], clinic_id=clinic)
        row = _insert(parts, work, study)
        if row is None:  # another run of this handler was quicker
            return
        moves.begin(work, row, parts.clock.now())
        row = _match_waiting(parts, work, store.case(work, row.case_id, locked=True), study)
        row = _machine_says(parts, work, row, made_before)
        row = moves.move(work, row, CaseMove.ENQUEUE, parts.clock.now())
        start_clocks(parts, work, row)
        work.emit(CaseOpened(clinic, row.case_id, study_uid))
    _opened.labels(row.service.value).inc()
    log.info("case.opened", case=row.case_id, service=row.service.value, urgency=row.urgency.value)


def _insert(parts: Parts, work: Work, study: StudySummary) -> CaseRow | None:
    now = parts.clock.now()
    service = service_of(study.modalities)
    completed = study.completed_at or study.last_arrival_at
    clinic = work.one(SQL["clinic"], clinic_id=study.clinic_id)
    reading = work.one(SQL["reading_clinic"], clinic_id=study.clinic_id, service=service.value, now=now)
    columns = store.copies(study)
    timing = store.timing(work, study.clinic_id, parts.timing, now)
    flags = {"request_missing"} | _doubt(study, study.others)
    made = work.one(
        SQL["insert_case"], clinic_id=study.clinic_id, case_id=parts.identifiers.new(),
        case_no=_case_no(work, now, clinic), study_uid=study.study_uid, service=service.value,
        reading_clinic=reading["reading_clinic"] if reading else None,
        state=CaseState.TRIAGED.value, urgency=Urgency.ROUTINE.value,
        due_at=routing.due_at(timing, service, columns["modality"], Urgency.ROUTINE, completed),
        arrived_at=study.first_arrival_at, completed_at=completed, patient_age_years=_age(study),
        exam=study.description, accession=study.accession, referring=study.referring, question=study.questions,
        history="", flags=sorted(flags), others=work.json(whose.as_json(study.others)), generation=max(study.generation, 1),
        now=now, **columns,
    )  # fmt: skip
    return None if made is None else store.case(work, made["case_id"], locked=True)


def _case_no(work: Work, now: datetime, clinic: Row | None) -> str:
    """C, the clinic's date, and a number that counts up over all clinics."""
    found = work.one(SQL["next_case_number"])
    assert found is not None
    zone = ZoneInfo(clinic["zone"]) if clinic else UTC
    return f"C{now.astimezone(zone):%y%m%d}{found['n']:04d}"


def _age(study: StudySummary) -> int | None:
    on = (study.study_at or study.first_arrival_at).date()
    return age_on(study.patient.birth_date, on)


# ---------------------------------------------------------------- requests
def _match_waiting(parts: Parts, work: Work, row: CaseRow, study: StudySummary) -> CaseRow:
    """The case with the request that waits for it. One that shares only the number, and names another person, is not
    attached: his question is not this patient's; the case says so."""
    found = work.all(
        SQL["waiting_requests"], clinic_id=study.clinic_id, accession=study.accession, study_uid=study.study_uid,
        local_id=study.patient.local_id, placeholder=is_placeholder(study.patient.local_id),
        since=study.first_arrival_at - REQUEST_WAITS,
    )  # fmt: skip
    waiting = [store.request_from(r) for r in found]
    fits = next((r for r in waiting if whose.names_it(r, row) or whose.of_request(r.form, row) is None), None)
    if fits is not None:
        return attach_request(parts, work, row, fits)
    return doubt_request(parts, work, row, waiting[0]) if waiting else row


def doubt_request(parts: Parts, work: Work, row: CaseRow, request: Request) -> CaseRow:
    """The case with whom a request under its patient's number names; the request goes on waiting."""
    other = whose.of_request(request.form, row)
    if other is None or other in row.others:
        return row
    return moves.note(
        work, row, "request_names_another", parts.clock.now(), detail={"request_id": request.request_id},
        others=work.json(whose.as_json((*row.others, other)[:_MOST_OTHERS])),
        flags=row.flags | {"identity_unconfirmed"}, facts_n=row.facts_n + 1,
    )  # fmt: skip


def attach_request(parts: Parts, work: Work, row: CaseRow, request: Request | None) -> CaseRow:
    """The case with what the request says; it can only make it more urgent. The case as it was without one."""
    if request is None:
        return row
    form, now = request.form, parts.clock.now()
    timing = store.timing(work, row.clinic_id, parts.timing, now)
    wanted = Urgency.URGENT if form.urgent else Urgency.ROUTINE
    priority = routing.raised(
        Priority(row.urgency, row.due_at), wanted, timing, row.service, row.modality, row.completed_at
    )
    flags = row.flags - {"request_missing"}
    other = whose.of_request(form, row)
    if other is not None:  # nothing of another person's is filled in
        flags |= {"identity_unconfirmed"}
        form = replace(form, birth_date=None, sex="", age_years=None)
    others = (*row.others, other) if other is not None and other not in row.others else row.others
    birth_date = row.patient_birth_date or form.birth_date
    age = row.patient_age_years if row.patient_age_years is not None else age_on(birth_date, row.completed_at.date())
    columns: dict[str, Any] = {
        "request_id": request.request_id,
        "question": form.question or row.question,
        "history": form.history or row.history,
        "exam": form.exam or row.exam,
        "accession": row.accession or form.accession,
        "referring": form.referring or row.referring,
        "patient_birth_date": birth_date,
        "patient_age_years": age if age is not None else form.age_years,
        "patient_sex": row.patient_sex or form.sex,
        "flags": flags,
        "others": work.json(whose.as_json(others[:_MOST_OTHERS])),
        "urgency": priority.urgency,
        "due_at": priority.due_at,
        "facts_n": row.facts_n + 1,
    }
    work.run(SQL["attach_request"], clinic_id=row.clinic_id, case_id=row.case_id, request_id=request.request_id)
    return moves.note(work, row, "request_matched", now, detail={"request_id": request.request_id}, **columns)


# ---------------------------------------------------------------- clocks
def start_clocks(parts: Parts, work: Work, row: CaseRow) -> None:
    """One job for each share of the limit (50, 80, 100 %); those of an older due time find that it has moved."""
    timing = store.timing(work, row.clinic_id, parts.timing, parts.clock.now())
    whole = row.due_at - row.completed_at
    for share in timing.clock_shares:
        percent = round(share * 100)
        work.enqueue(
            row.clinic_id, "worklist.case_clock", f"{row.case_id}:{percent}:{row.due_at.timestamp():.0f}",
            {"case_id": row.case_id, "percent": percent, "due_at": row.due_at.isoformat()},
            run_at=row.completed_at + whole * share,
        )  # fmt: skip


# ---------------------------------------------------------------- extension
def extend_case(parts: Parts, job: Job) -> None:
    """On StudyExtended: unopened, the case grows; being read, signing waits until it was seen; signed, a task."""
    clinic, study_uid = job.clinic_id, str(job.payload["study_uid"])
    generation = int(job.payload["generation"])
    study = parts.studies.summary(system_for(clinic), clinic, study_uid)
    with parts.database.transaction(system_for(clinic)) as work:
        row = store.case_of_study(work, clinic, study_uid, locked=True)
        if row is None:
            # heard before the completion, whose own job may be under way: tried again, so that nothing is missed
            raise store.missing()
        if generation <= row.generation:
            return
        now = parts.clock.now()
        columns: dict[str, Any] = {
            "generation": generation,
            "images": study.images,
            "modality": "/".join(sorted(study.modalities)),
            "facts_n": row.facts_n + 1,
            **_identity(work, row, study),
        }
        if row.state is CaseState.READING:
            columns["flags"] = columns["flags"] | {"late_images"}
        elif row.state in OPEN_STATES:
            columns["seen_generation"] = generation
        row = moves.note(work, row, "images_added", now, detail={"generation": generation}, **columns)
        if row.state in FINISHED or (row.version and row.state is not CaseState.CANCELLED):
            timing = store.timing(work, clinic, parts.timing, now)
            due = now + timedelta(minutes=timing.late_images_minutes(row.urgency))
            tasks.open_task(parts, work, row, "late_images", str(generation), due, generation=generation)
        work.emit(CaseExtended(clinic, row.case_id, study_uid, generation))


def see_images(parts: Parts, actor: Actor, case_id: CaseId, token: str, generation: int) -> None:
    """The holder has looked at what came late, up to this generation."""
    with moves.on_case(parts, actor, case_id, Act.DRAFT_WRITE) as (work, row):
        leases.require_holder(parts, row, actor, token)
        if generation <= row.seen_generation:
            return
        seen = min(generation, row.generation)
        flags = row.flags - {"late_images"} if seen == row.generation else row.flags
        moves.note(
            work, row, "images_seen", parts.clock.now(), detail={"generation": seen}, seen_generation=seen, flags=flags
        )


# ---------------------------------------------------------------- identity
def _doubt(study: StudySummary, others: Sequence[OtherIdentity]) -> frozenset[str]:
    return frozenset({"identity_unconfirmed"} if study.identity_notes or others else ())


def _identity(work: Work, row: CaseRow, study: StudySummary) -> dict[str, Any]:
    """What a case copies of whom its study is of, as more is known of it; what the request said of him stays."""
    copied = store.copies(study)
    asked = [o for o in row.others if o.source == "request"]
    others = (*study.others, *asked)[:_MOST_OTHERS]
    doubt = _doubt(study, others) | (row.flags & {"identity_unconfirmed"})  # only a person takes it back
    return {
        **{k: copied[k] for k in ("patient_id", "patient_name", "patient_pinyin", "patient_local_id")},
        "patient_sex": study.patient.sex or row.patient_sex,
        "patient_birth_date": study.patient.birth_date or row.patient_birth_date,
        "patient_age_years": _age(study) if study.patient.birth_date else row.patient_age_years,
        "others": work.json(whose.as_json(others)),
        "flags": row.flags | doubt,
    }


def on_identity_corrected(parts: Parts, job: Job) -> None:
    """On IdentityCorrected: the list's copies follow; where a report is signed, a reader decides."""
    clinic, study_uid = job.clinic_id, str(job.payload["study_uid"])
    study = parts.studies.summary(system_for(clinic), clinic, study_uid)
    with parts.database.transaction(system_for(clinic)) as work:
        row = store.case_of_study(work, clinic, study_uid, locked=True)
        if row is None:
            return
        flags = row.flags - {"identity_unconfirmed"} | _doubt(study, study.others)
        copies: dict[str, Any] = store.copies(study) | {"patient_age_years": _age(study)}
        same = all(getattr(row, k, None) == v for k, v in copies.items() if k.startswith("patient_"))
        if same and flags == row.flags and row.others == study.others:
            return
        now = parts.clock.now()
        columns: dict[str, Any] = copies | {"flags": flags, "others": work.json(whose.as_json(study.others))}
        row = moves.note(
            work, row, "identity_corrected", now, detail={"number": job.payload["number"]}, facts_n=row.facts_n + 1,
            **columns,
        )  # fmt: skip
        if "request_missing" in row.flags and row.state in OPEN_STATES:
            row = _match_waiting(parts, work, row, study)
            start_clocks(parts, work, row)
        if row.version:
            timing = store.timing(work, clinic, parts.timing, now)
            due = now + timedelta(minutes=timing.late_images_minutes(row.urgency))
            tasks.open_task(parts, work, row, "identity", str(job.payload["number"]), due)


def on_identity_doubted(parts: Parts, job: Job) -> None:
    """On IdentityDoubted: another study under the same number names another person, or no longer does; what this case
    itself is of stays."""
    clinic, study_uid = job.clinic_id, str(job.payload["study_uid"])
    study = parts.studies.summary(system_for(clinic), clinic, study_uid)
    with parts.database.transaction(system_for(clinic)) as work:
        row = store.case_of_study(work, clinic, study_uid, locked=True)
        if row is None or row.state is CaseState.CANCELLED:
            return
        others = (*study.others, *(o for o in row.others if o.source == "request"))[:_MOST_OTHERS]
        flags = row.flags - {"identity_unconfirmed"} | _doubt(study, others)
        if flags == row.flags and others == row.others:
            return
        event = "identity_doubted" if others else "identity_clear"
        moves.note(
            work, row, event, parts.clock.now(), flags=flags, others=work.json(whose.as_json(others)),
            facts_n=row.facts_n + 1,
        )  # fmt: skip


# ---------------------------------------------------------------- the machine
def on_read(parts: Parts, job: Job) -> None:
    """On PreliminaryReadMade: the flag is copied; a critical raises urgency and opens a read-now task."""
    clinic, study_uid = job.clinic_id, str(job.payload["study_uid"])
    reads = parts.reads.of(clinic, study_uid)
    with parts.database.transaction(system_for(clinic)) as work:
        row = store.case_of_study(work, clinic, study_uid, locked=True)
        if row is None or row.state is CaseState.CANCELLED:
            return
        before = row.due_at
        row = _machine_says(parts, work, row, reads)
        if row.due_at != before and row.state in OPEN_STATES:
            start_clocks(parts, work, row)


def _machine_says(parts: Parts, work: Work, row: CaseRow, reads: Sequence[StoredRead]) -> CaseRow:
    flag = routing.machine_flag(reads)
    if not flag.kind:
        return row
    now = parts.clock.now()
    timing = store.timing(work, row.clinic_id, parts.timing, now)
    columns: dict[str, Any] = {"machine": work.json(_flag_values(flag))}
    critical = any(r.read.critical_findings for r in reads)
    if critical and row.state in OPEN_STATES:
        priority = routing.after_machine(Priority(row.urgency, row.due_at), _critical(flag), timing, now)
        columns |= {"urgency": priority.urgency, "due_at": priority.due_at}
    elif row.state in OPEN_STATES:
        tier = routing.gravest_tier(reads)
        now_is = Priority(row.urgency, row.due_at)
        priority = routing.after_tier(now_is, tier, timing, row.service, row.modality, row.completed_at)
        if priority != now_is:
            columns |= {"urgency": priority.urgency, "due_at": priority.due_at}
    if critical:
        columns["flags"] = row.flags | {"machine_critical"}
    if flag == row.machine and columns.get("flags", row.flags) == row.flags:
        return row
    detail = {"kind": flag.kind, "reads": len(reads)}
    row = moves.note(work, row, "machine_read", now, detail=detail, **columns)
    if critical:
        _read_now(parts, work, row, reads, now, timing)
    return row


def _critical(flag: MachineFlag) -> MachineFlag:
    """An earlier read's critical finding counts even when the newest does not name it: a machine only raises."""
    return flag if flag.kind == "critical" else MachineFlag("critical", Text("", ""))


def _read_now(
    parts: Parts, work: Work, row: CaseRow, reads: Sequence[StoredRead], now: datetime, timing: Timing
) -> None:
    for read in reads:
        for finding in read.read.critical_findings:
            key = f"{read.read.model}:{finding.key}"
            due = now + timedelta(minutes=timing.machine_critical)
            tasks.open_task(parts, work, row, "read_now", key, due, read_id=read.read_id, finding=finding.key)


def _flag_values(flag: MachineFlag) -> dict[str, Any]:
    values = {"kind": flag.kind, "zh": flag.text.zh, "en": flag.text.en, "probability": flag.probability}
    return values | ({"tier": flag.tier} if flag.tier else {})


# ---------------------------------------------------------------- people
def raise_urgency(parts: Parts, actor: Actor, case_id: CaseId, urgency: Urgency, reason: str) -> None:
    """More urgent, never less."""
    _needs_reason(reason)
    with moves.on_case(parts, actor, case_id, Act.URGENCY_RAISE) as (work, row):
        if row.state not in OPEN_STATES:
            raise lifecycle.wrong_state(row.state, lifecycle.possible(lifecycle.CASE, row.state))
        if urgency.rank >= row.urgency.rank:
            raise WrongState(
                "紧急程度只能升高。", "Urgency can only be raised.",
                {"state": row.urgency.value, "possible": [u.value for u in Urgency if u.rank < row.urgency.rank]},
            )  # fmt: skip
        now = parts.clock.now()
        timing = store.timing(work, row.clinic_id, parts.timing, now)
        priority = routing.raised(
            Priority(row.urgency, row.due_at), urgency, timing, row.service, row.modality, row.completed_at
        )
        row = moves.note(
            work, row, "urgency_raised", now, reason=reason, urgency=priority.urgency, due_at=priority.due_at,
            facts_n=row.facts_n + 1,
        )  # fmt: skip
        start_clocks(parts, work, row)


def cancel(parts: Parts, actor: Actor, case_id: CaseId, reason: str) -> None:
    """A waiting case is taken back by its clinic; one that has a report in force is withdrawn instead."""
    _needs_reason(reason)
    with moves.on_case(parts, actor, case_id, Act.CASE_CANCEL) as (work, row):
        if row.version:
            why = Text("已有报告在生效，只能撤回报告。", "A report is in force; it can only be withdrawn.")
            raise lifecycle.wrong_state(row.state, (), why)
        now = parts.clock.now()
        row = moves.move(work, row, CaseMove.CANCEL, now, reason=reason)
        tasks.finish_of_case(work, row, tuple(tasks.FOR_ROLE), now, "cancelled")


def reject_quality(parts: Parts, actor: Actor, case_id: CaseId, token: str, reason: str) -> None:
    """Not diagnostic: the technician reads why; a retake is a new study and case."""
    _needs_reason(reason)
    with moves.on_case(parts, actor, case_id, Act.QUALITY_REJECT) as (work, row):
        leases.require_holder(parts, row, actor, token)
        now = parts.clock.now()
        row = moves.move(work, row, CaseMove.REJECT_QUALITY, now, reason=reason)
        tasks.finish_of_case(work, row, ("read_now", "late_images"), now, "rejected for quality")


def _needs_reason(reason: str) -> None:
    if not reason.strip():
        raise Invalid("请写明原因。", "Give a reason.", {"field": "reason"})
