"""Requests: written before or after the upload, matched both ways; "my uploads" with the state of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta

from center.characters import shown
from center.database import Work
from center.errors import Invalid, WrongState
from center.identity import Actor, ClinicId
from center.patients import is_placeholder
from center.permits import Act, Thing, permit, permitted
from worklist import cases, store, whose
from worklist.lifecycle import OPEN_STATES
from worklist.parts import Parts
from worklist.records import CaseRow, ReportNotice, ReportVersion, Request, RequestForm, UploadRow
from worklist.store import SQL

_LIMITS = {"local_id": 64, "name": 64, "accession": 64, "exam": 200, "question": 1000, "history": 2000, "referring": 64}


def write(parts: Parts, actor: Actor, clinic_id: ClinicId, form: RequestForm) -> Request:
    """The request; where its study is here already, its case has it at once."""
    permit(actor, Act.REQUEST_WRITE, Thing(clinic_id))
    form = _checked(form, parts.clock.now().date())
    with parts.database.transaction(actor) as work:
        work.run(SQL["matching_lock"], clinic_id=clinic_id)
        made = work.one(
            SQL["insert_request"], clinic_id=clinic_id, request_id=parts.identifiers.new(), written_by=actor.person_id,
            written_at=parts.clock.now(), accession=form.accession, local_id=form.local_id, name=form.name,
            sex=form.sex, birth_date=form.birth_date, age_years=form.age_years, exam=form.exam, question=form.question,
            history=form.history, referring=form.referring, urgent=form.urgent, study_uid=form.study_uid,
        )  # fmt: skip
        if made is None:
            raise WrongState(
                "这个检查号已有申请。", "There is a request with this accession number already.",
                {"state": "requested", "possible": ["open"], "accession": form.accession},
            )  # fmt: skip
        request = _request(work, clinic_id, made["request_id"])
        work.audit(Act.REQUEST_WRITE.value, f"request:{request.request_id}", clinic_id=clinic_id, urgent=form.urgent)
        _match(parts, work, request)
        work.tell_pages(clinic_id, "request", {"request_id": request.request_id})
        return _request(work, clinic_id, request.request_id)


def _match(parts: Parts, work: Work, request: Request) -> None:
    form = request.form
    found = work.all(
        SQL["cases_without_request"], clinic_id=request.clinic_id, study_uid=form.study_uid, accession=form.accession,
        local_id=form.local_id, placeholder=is_placeholder(form.local_id),
        since=request.written_at - cases.REQUEST_WAITS,
    )  # fmt: skip
    rows = [store.case_from(r) for r in found]
    row = next((r for r in rows if whose.names_it(request, r) or whose.of_request(form, r) is None), None)
    if row is not None:
        row = cases.attach_request(parts, work, row, request)
        if row.state in OPEN_STATES:
            cases.start_clocks(parts, work, row)
    elif rows:
        cases.doubt_request(parts, work, rows[0], request)


def _request(work: Work, clinic_id: str, request_id: str) -> Request:
    row = work.one(SQL["request_by_id"], clinic_id=clinic_id, request_id=request_id)
    if row is None:
        raise store.missing()
    return store.request_from(row)


def _checked(form: RequestForm, today: date) -> RequestForm:
    """The form with its texts trimmed. Raises Invalid with the field's name."""
    trimmed = {name: str(getattr(form, name)).strip() for name in (*_LIMITS, "study_uid")}
    form = replace(form, sex=form.sex.strip().upper(), **trimmed)  # type: ignore[arg-type]  # these fields are texts
    for name, limit in _LIMITS.items():
        if len(trimmed[name]) > limit:
            raise Invalid(f"这一栏最多 {limit} 字。", f"This field holds {limit} characters at most.", {"field": name})
    if form.sex not in ("", "M", "F", "O"):
        raise Invalid("性别请选男、女或其他。", "Sex is male, female or other.", {"field": "sex"})
    if form.birth_date is not None and not date(1880, 1, 1) <= form.birth_date <= today + timedelta(days=1):
        raise Invalid("出生日期不对，请核对。", "The birth date cannot be right.", {"field": "birth_date"})
    if form.age_years is not None and not 0 <= form.age_years <= 130:
        raise Invalid("年龄应在 0 到 130 岁之间。", "An age lies between 0 and 130 years.", {"field": "age_years"})
    if not (form.local_id or form.name or form.accession or form.study_uid):
        raise Invalid(
            "请至少填写患者号、姓名或检查号。", "Fill in the patient's number, name or accession number.",
            {"field": "local_id"},
        )  # fmt: skip
    return form


# ---------------------------------------------------------------- my uploads
def clinic_rows(parts: Parts, actor: Actor, clinic_id: ClinicId, limit: int) -> tuple[UploadRow, ...]:
    """Requests that wait for their study, then what arrived lately, latest first."""
    permit(actor, Act.UPLOADS_LIST, Thing(clinic_id))
    limit = max(1, min(limit, 200))
    studies = parts.studies.recent(actor, clinic_id, limit)
    with parts.database.transaction(actor) as work:
        found = work.all(SQL["cases_of_studies"], clinic_id=clinic_id, study_uids=[s.study_uid for s in studies])
        by_study = {r["study_uid"]: store.case_from(r) for r in found}
        ids = [c.case_id for c in by_study.values()]
        requests = {r.case_id: r for r in _requests_of(work, clinic_id, ids)}
        reports_of = _reports_of(work, clinic_id, ids)
        notices = _notices_of(work, actor, clinic_id, ids)
        waiting = work.all(SQL["requests_waiting"], clinic_id=clinic_id, limit=limit)
    may_correct = permitted(actor, Act.IDENTITY_CORRECT, Thing(clinic_id))
    rows = [UploadRow(None, None, store.request_from(w), None, (), False) for w in waiting]
    for study in studies:
        case = by_study.get(study.study_uid)
        key = case.case_id if case else None
        rows.append(
            UploadRow(
                study, case, requests.get(key) if key else None, reports_of.get(key) if key else None,
                tuple(n for n in notices if n.case_id == key), may_correct and _before_reading(case),
            )
        )  # fmt: skip
    return tuple(rows)


def find_rows(
    parts: Parts, actor: Actor, clinic_id: ClinicId, *, span: tuple[datetime | None, datetime | None], state: str,
    text: str, limit: int, offset: int,
) -> tuple[tuple[UploadRow, ...], int]:  # fmt: skip
    """A clinic's cases of all times, latest first, and how many there are. span: completed from and before;
    state: "" is any; text: part of a name, pinyin, number."""
    permit(actor, Act.UPLOADS_LIST, Thing(clinic_id))
    bare = shown(text).strip().replace(" ", "").replace("\\", "\\\\").replace("%", r"\%").replace("_", r"\_")
    with parts.database.transaction(actor) as work:
        found = work.all(
            SQL["clinic_cases"], clinic_id=clinic_id, from_at=span[0], until_at=span[1], state=state,
            pattern=f"%{bare}%" if bare else "", limit=max(1, min(limit, 200)), offset=max(0, offset),
        )  # fmt: skip
        cases_found = [store.case_from(r) for r in found]
        ids = [c.case_id for c in cases_found]
        requests = {r.case_id: r for r in _requests_of(work, clinic_id, ids)}
        reports_of = _reports_of(work, clinic_id, ids)
        notices = _notices_of(work, actor, clinic_id, ids)
    may_correct = permitted(actor, Act.IDENTITY_CORRECT, Thing(clinic_id))
    rows = tuple(
        UploadRow(
            None, case, requests.get(case.case_id), reports_of.get(case.case_id),
            tuple(n for n in notices if n.case_id == case.case_id), may_correct and _before_reading(case),
        )
        for case in cases_found
    )  # fmt: skip
    return rows, found[0]["total"] if found else 0


def study_row(parts: Parts, actor: Actor, clinic_id: ClinicId, study_uid: str) -> UploadRow:
    """One study of the clinic with its case. Raises NotFound."""
    permit(actor, Act.UPLOADS_LIST, Thing(clinic_id))
    study = parts.studies.summary(actor, clinic_id, study_uid)
    with parts.database.transaction(actor) as work:
        case = store.case_of_study(work, clinic_id, study_uid)
        ids = [case.case_id] if case else []
        request = next(iter(_requests_of(work, clinic_id, ids)), None)
        report = next(iter(_reports_of(work, clinic_id, ids).values()), None)
        notices = tuple(_notices_of(work, actor, clinic_id, ids))
    may_correct = permitted(actor, Act.IDENTITY_CORRECT, Thing(clinic_id))
    return UploadRow(study, case, request, report, notices, may_correct and _before_reading(case))


def _before_reading(case: CaseRow | None) -> bool:
    return case is None or (case.state.value in ("triaged", "queued", "leased") and not case.version)


def _requests_of(work: Work, clinic_id: str, case_ids: Sequence[str]) -> list[Request]:
    rows = work.all(SQL["requests_of_cases"], clinic_id=clinic_id, case_ids=list(case_ids)) if case_ids else []
    return [store.request_from(r) for r in rows]


def _reports_of(work: Work, clinic_id: str, case_ids: Sequence[str]) -> dict[str, ReportVersion]:
    rows = work.all(SQL["latest_versions"], clinic_id=clinic_id, case_ids=list(case_ids)) if case_ids else []
    return {r["case_id"]: store.version_from(r) for r in rows}


def _notices_of(work: Work, actor: Actor, clinic_id: str, case_ids: Sequence[str]) -> list[ReportNotice]:
    rows = work.all(SQL["notices"], clinic_id=clinic_id, case_ids=list(case_ids)) if case_ids else []
    mine = f"person:{actor.person_id}"
    return [
        store.notice_from(r) for r in rows
        if r["seen_at"] is None and (r["recipient"] == mine or not r["recipient"].startswith(("person:", "pacs:")))
    ]  # fmt: skip
