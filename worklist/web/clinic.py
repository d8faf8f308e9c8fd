"""The clinic's pages: what was sent and how far it is, its reports, critical findings to read back, requests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date, datetime
from typing import Protocol
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from center.codes import Urgency
from center.errors import Failure, Forbidden, Invalid, NotFound, WrongState
from center.identity import Actor, CaseId, ClinicId
from center.permits import Act, Thing, permit, permitted
from center.ports import Clock
from center.web import Web
from worklist.lifecycle import CaseMove, ReportState
from worklist.records import CaseDetail, RequestForm, UploadRow
from worklist.room import Worklist
from worklist.sheet import Text
from worklist.web import clinic_view
from worklist.web.answers import Fields, bounded, by_program, done, json_answer, plain, sent, takes
from worklist.web.clinic_view import (
    PAGE_SIZE,
    VIEWS,
    CaseView,
    Clinic,
    ClinicView,
    IdentityView,
    Line,
    RequestView,
    Tried,
    Version,
)

#: How many of the latest studies the first page looks through for what is open.
_LATEST = 100
#: What one line of these forms holds, characters.
_LONGEST = 500
_PDF_HEADERS = {"Cache-Control": "private, no-store", "Content-Security-Policy": "frame-ancestors 'self'; object-src 'self'; plugin-types application/pdf"}  # fmt: skip
_FIELDS = (
    "local_id",
    "name",
    "sex",
    "birth",
    "exam",
    "question",
    "history",
    "accession",
    "referring",
    "urgent",
    "study",
)
#: What may still be done with a case that waits.
_RAISES = (Urgency.URGENT, Urgency.STAT)


class Identities(Protocol):
    """What these pages need of the door: putting right whose a study is."""

    def correct_identity(
        self, actor: Actor, clinic_id: ClinicId, study_uid: str, *, local_id: str, name: str, sex: str,
        birth_date: date | None, reason: str,
    ) -> int: ...  # fmt: skip


def router(web: Web, worklist: Worklist, identities: Identities, clock: Clock) -> APIRouter:
    """``/clinic`` and what lies below it, and ``/api/clinic`` for programs."""
    routes = APIRouter(dependencies=[Depends(bounded)])

    def clinics_of(actor: Actor) -> tuple[Clinic, ...]:
        """Where he works, by name.  Raises Forbidden when that is nowhere."""
        mine = {c for c in actor.own_clinics if permitted(actor, Act.UPLOADS_LIST, Thing(c))}
        if not mine:
            raise Forbidden(
                "这一页属于基层机构的技师和医师。", "This page belongs to a clinic's technicians and doctors.",
                {"act": Act.UPLOADS_LIST.value, "grantor": "administrator"},
            )  # fmt: skip
        return tuple(
            Clinic(r["clinic_id"], Text(r["name"], r["name_en"] or r["name"]), r["zone"])
            for r in web.accounts.clinics()
            if r["clinic_id"] in mine
        )

    def chosen(actor: Actor, asked: str) -> tuple[Clinic, tuple[Clinic, ...]]:
        clinics = clinics_of(actor)
        if asked and asked not in {c.clinic_id for c in clinics}:
            raise NotFound("没有找到，或不在您的范围内。", "Not found, or not within your reach.")
        return next((c for c in clinics if c.clinic_id == asked), clinics[0]), clinics

    # ------------------------------------------------------------ the page
    def shown(request: Request, actor: Actor, *, status: int = 200, tried: Tried | None = None) -> Response:
        query = request.query_params
        clinic, clinics = chosen(actor, query.get("clinic", ""))
        view = _view(worklist, actor, clinic, clinics, query, clock.now(), tried)
        said = query.get("said", "")
        return web.page(
            request, "worklist/clinic.html", status=status, view=view, said=said if said in _SAID else "",
            may_upload=permitted(actor, Act.STUDY_UPLOAD, Thing(ClinicId(clinic.clinic_id))),
        )  # fmt: skip

    @routes.get("/clinic", include_in_schema=False)
    def page(request: Request, actor: Actor = Depends(web.actor)) -> Response:
        return shown(request, actor)

    @routes.get("/api/clinic/{clinic_id}/uploads", tags=["clinic"])
    def uploads(clinic_id: str, limit: int = PAGE_SIZE, actor: Actor = Depends(web.actor)) -> Response:
        """What arrived lately and what is waited for, latest first, with the case and the report of each."""
        permit(actor, Act.UPLOADS_LIST, Thing(ClinicId(clinic_id)))
        return json_answer(worklist.clinic_rows(actor, ClinicId(clinic_id), limit))

    # ------------------------------------------------------------ critical findings
    @routes.post("/clinic/alerts/{alert_id}/acknowledge", include_in_schema=False)
    @routes.post(
        "/api/alerts/{alert_id}/acknowledge",
        tags=["clinic"],
        openapi_extra=takes(
            read_back="what was read back, in words", receiver="who", action="", insist="1: kept though it differs"
        ),
    )
    def acknowledge(
        request: Request, alert_id: str, actor: Actor = Depends(web.actor), form: Fields = Depends(sent)
    ) -> Response:
        """The read-back; one that does not fit is shown again and kept only when insisted on."""
        permit(actor, Act.ALERT_ACKNOWLEDGE)
        heard = Tried(alert_id, _line(form, "read_back"), _line(form, "receiver"), _line(form, "action"))
        answer = worklist.acknowledge_alert(
            actor, alert_id, read_back=heard.read_back, receiver=heard.receiver, means="page", action=heard.action,
            insist=form.flag("insist"),
        )  # fmt: skip
        if by_program(request):
            return json_answer(answer, 200 if answer.kept else 409)
        return web.redirect(_back(form)) if answer.kept else shown(request, actor, status=422, tried=heard)

    @routes.post("/clinic/alerts/{alert_id}/close", include_in_schema=False)
    @routes.post("/api/alerts/{alert_id}/close", tags=["clinic"], openapi_extra=takes(action="what was done"))
    def close(
        request: Request, alert_id: str, actor: Actor = Depends(web.actor), form: Fields = Depends(sent)
    ) -> Response:
        permit(actor, Act.ALERT_ACKNOWLEDGE)
        closed = worklist.close_alert(actor, alert_id, _line(form, "action"))
        return done(request, web, _back(form), closed)

    @routes.post("/clinic/notices", include_in_schema=False)
    def seen(request: Request, actor: Actor = Depends(web.actor), form: Fields = Depends(sent)) -> Response:
        """He has read what became of a report; ``ids`` with spaces between."""
        permit(actor, Act.REPORT_RECEIPT)
        for notice_id in _line(form, "ids").split()[:20]:
            worklist.see_notice(actor, notice_id)
        return done(request, web, _back(form))

    # ------------------------------------------------------------ reports
    @routes.get("/clinic/reports/{case_id}/{version}.pdf", tags=["clinic"])
    def report(case_id: str, version: int, download: bool = False, actor: Actor = Depends(web.actor)) -> Response:
        """The sealed report; that a person of the clinic opened it is noted."""
        permit(actor, Act.REPORT_VIEW)
        found, pdf = worklist.report_pdf(actor, CaseId(case_id), version)
        worklist.opened(actor, CaseId(case_id), version)
        name = "".join(c for c in found.report_no if c.isascii() and (c.isalnum() or c in "-_")) or "report"
        kind = "attachment" if download else "inline"
        headers = {**_PDF_HEADERS, "Content-Disposition": f'{kind}; filename="{name}-v{version}.pdf"'}
        return Response(pdf, media_type="application/pdf", headers=headers)

    @routes.post("/clinic/cases/{case_id}/receipt", include_in_schema=False)
    @routes.post("/api/cases/{case_id}/receipt", tags=["clinic"], openapi_extra=takes(version="of the report"))
    def receipt(
        request: Request, case_id: str, actor: Actor = Depends(web.actor), form: Fields = Depends(sent)
    ) -> Response:
        """The clinic says that it has the report."""
        permit(actor, Act.REPORT_RECEIPT)
        version = form.number("version")
        if not 0 < version < 100_000:
            raise NotFound("没有这一版报告。", "There is no such version.")
        worklist.receipt(actor, CaseId(case_id), version)
        return done(request, web, _back(form))

    # ------------------------------------------------------------ one case
    @routes.get("/clinic/cases/{case_id}", include_in_schema=False)
    def case(request: Request, case_id: str, actor: Actor = Depends(web.actor)) -> Response:
        permit(actor, Act.CASE_VIEW)
        detail = worklist.case(actor, CaseId(case_id))
        clinic, clinics = chosen(actor, detail.case.clinic_id)
        row = worklist.study_row(actor, detail.case.clinic_id, detail.case.study_uid)
        view = _case_view(detail, row, clinic, clinics, actor, clock.now())
        return web.page(request, "worklist/clinic_case.html", view=view)

    @routes.post("/clinic/cases/{case_id}/cancel", include_in_schema=False)
    @routes.post("/api/cases/{case_id}/cancel", tags=["clinic"], openapi_extra=takes(reason="why"))
    def cancel(
        request: Request, case_id: str, actor: Actor = Depends(web.actor), form: Fields = Depends(sent)
    ) -> Response:
        """The clinic takes a case back that nobody reads yet."""
        permit(actor, Act.CASE_CANCEL)
        worklist.cancel(actor, CaseId(case_id), _line(form, "reason"))
        return done(request, web, f"/clinic/cases/{case_id}")

    @routes.post("/clinic/cases/{case_id}/urgency", include_in_schema=False)
    def raise_urgency(
        request: Request, case_id: str, actor: Actor = Depends(web.actor), form: Fields = Depends(sent)
    ) -> Response:
        permit(actor, Act.URGENCY_RAISE)
        wanted = form.text("urgency", most=20)
        if wanted not in set(Urgency):
            raise Invalid("没有这种紧急程度。", "There is no such urgency.", {"fields": ["urgency"]})
        worklist.raise_urgency(actor, CaseId(case_id), Urgency(wanted), _line(form, "reason"))
        return done(request, web, f"/clinic/cases/{case_id}")

    # ------------------------------------------------------------ requests
    def request_page(
        request: Request, actor: Actor, clinic: Clinic, values: Mapping[str, str], trouble: Failure | None = None
    ) -> Response:
        uid = values.get("study", "")
        line = (
            _line_of(worklist.study_row(actor, ClinicId(clinic.clinic_id), uid), clock.now(), clinic) if uid else None
        )
        wrong = str(trouble.facts.get("field", "")) if trouble else ""
        wrong = "birth" if wrong in ("birth_date", "age_years") else wrong
        view = RequestView(
            clinic, clinics_of(actor), values, line, wrong, Text(trouble.zh, trouble.en) if trouble else None
        )
        return web.page(
            request, "worklist/clinic_request.html", status=trouble.answer.http if trouble else 200, view=view
        )

    @routes.get("/clinic/requests/new", include_in_schema=False)
    def new_request(request: Request, clinic: str = "", study: str = "", actor: Actor = Depends(web.actor)) -> Response:
        """Before the upload, or for a study that is here (``study``)."""
        where, _ = chosen(actor, clinic)
        permit(actor, Act.REQUEST_WRITE, Thing(ClinicId(where.clinic_id)))
        values = {"study": study[:64]} if study else {}
        if study:
            line = _line_of(worklist.study_row(actor, ClinicId(where.clinic_id), study[:64]), clock.now(), where)
            values |= {"local_id": line.local_id, "name": line.name, "sex": line.sex, "exam": line.exam}
        return request_page(request, actor, where, values)

    @routes.post("/clinic/requests", include_in_schema=False)
    @routes.post(
        "/api/requests",
        tags=["clinic"],
        status_code=201,
        openapi_extra=takes(
            clinic="code, where he works at several", local_id="the clinic's number of the patient", name="", sex="M, F, O",
            birth="YYYY-MM-DD, or years of age", exam="", question="what is asked", history="", accession="",
            referring="", urgent="1 or 0", study="Study Instance UID of one that is here",
        ),
    )  # fmt: skip
    def write_request(request: Request, actor: Actor = Depends(web.actor), form: Fields = Depends(sent)) -> Response:
        """Keeps a request; its study is matched by UID, accession number or the patient's number, now or when it comes."""
        where, clinics = chosen(actor, form.text("clinic", most=64))
        clinic = ClinicId(where.clinic_id)
        permit(actor, Act.REQUEST_WRITE, Thing(clinic))
        values = {name: form.text(name, most=4000) for name in _FIELDS}
        try:
            written = worklist.write_request(actor, clinic, _request_form(values, _today(clock.now(), where)))
        except (Invalid, WrongState) as failure:
            if by_program(request):
                raise
            return request_page(request, actor, where, values, failure)
        if by_program(request):
            return json_answer(plain(written), 201)
        return web.redirect(clinic_view.address(where.clinic_id if len(clinics) > 1 else "", said="request"))

    # ------------------------------------------------------------ whose a study is
    def identity_page(
        request: Request, where: Clinic, row: UploadRow, values: Mapping[str, str], trouble: Failure | None = None
    ) -> Response:
        line = _line_of(row, clock.now(), where)
        birth = row.study.patient.birth_date.isoformat() if row.study and row.study.patient.birth_date else ""
        view = IdentityView(
            where, line, birth, row.study.source if row.study else "", values,
            str(trouble.facts.get("field", "")) if trouble else "", Text(trouble.zh, trouble.en) if trouble else None,
        )  # fmt: skip
        return web.page(
            request, "worklist/clinic_identity.html", status=trouble.answer.http if trouble else 200, view=view
        )

    @routes.get("/clinic/studies/{study_uid}/identity", include_in_schema=False)
    def identity(request: Request, study_uid: str, clinic: str = "", actor: Actor = Depends(web.actor)) -> Response:
        where, _ = chosen(actor, clinic)
        permit(actor, Act.IDENTITY_CORRECT, Thing(ClinicId(where.clinic_id)))
        row = worklist.study_row(actor, ClinicId(where.clinic_id), study_uid)
        assert row.study is not None
        person = row.study.patient
        birth = person.birth_date.isoformat() if person.birth_date else ""
        values = {"local_id": person.local_id, "name": person.name, "sex": person.sex, "birth": birth}
        return identity_page(request, where, row, values)

    @routes.post("/clinic/studies/{study_uid}/identity", include_in_schema=False)
    @routes.post(
        "/api/studies/{study_uid}/identity",
        tags=["clinic"],
        openapi_extra=takes(
            clinic="", local_id="", name="", sex="M, F, O", birth="YYYY-MM-DD", reason="why it was wrong"
        ),
    )
    def correct(
        request: Request, study_uid: str, actor: Actor = Depends(web.actor), form: Fields = Depends(sent)
    ) -> Response:
        """Puts right whose the study is, before anybody reads it; the files stay as they came."""
        where, clinics = chosen(actor, form.text("clinic", most=64))
        clinic = ClinicId(where.clinic_id)
        permit(actor, Act.IDENTITY_CORRECT, Thing(clinic))
        row = worklist.study_row(actor, clinic, study_uid)
        values = {n: form.text(n, most=_LONGEST) for n in ("local_id", "name", "sex", "birth", "reason")}
        try:
            if not row.may_correct_identity:
                state = row.case.state.value if row.case else "complete"
                raise WrongState(
                    "已有医师在阅读或已签发，不能再改身份。请联系中心。",
                    "A physician reads it or has signed; the identity cannot be changed here. Call the center.",
                    {"state": state, "possible": ["call"]},
                )
            born, years = _born(values["birth"], _today(clock.now(), where))
            if years is not None:
                raise Invalid("请填写出生日期，不是年龄。", "Give the birth date, not the age.", {"field": "birth"})
            number = identities.correct_identity(
                actor, clinic, study_uid, local_id=values["local_id"], name=values["name"],
                sex=values["sex"] if values["sex"] in clinic_view.SEXES else "", birth_date=born, reason=values["reason"],
            )  # fmt: skip
        except (Invalid, WrongState) as failure:
            if by_program(request):
                raise
            return identity_page(request, where, row, values, failure)
        if by_program(request):
            return json_answer({"corrections": number})
        return web.redirect(clinic_view.address(where.clinic_id if len(clinics) > 1 else "", said="identity"))

    return routes


#: Toasts after a form was taken.
_SAID = frozenset({"request", "identity", "uploaded"})


# ---------------------------------------------------------------- from fields
def _line(form: Fields, name: str) -> str:
    return form.text(name, most=_LONGEST).strip()


def _back(form: Fields) -> str:
    """The page of ours that the form stood on."""
    path = form.text("next", most=2000)
    ours = path == "/clinic" or path.startswith(("/clinic?", "/clinic/"))
    return path if ours and path.isprintable() and "\\" not in path else "/clinic"


def _today(now: datetime, clinic: Clinic) -> date:
    return now.astimezone(ZoneInfo(clinic.zone)).date()


def _born(text: str, today: date) -> tuple[date | None, int | None]:
    try:
        return clinic_view.birth_from(text, today)
    except ValueError:
        raise Invalid(
            "出生日期写作 1959-04-02；不知道就写年龄，如 67。",
            "Write the birth date as 1959-04-02, or the age, as 67, where it is not known.",
            {"field": "birth"},
        ) from None


def _request_form(values: Mapping[str, str], today: date) -> RequestForm:
    born, years = _born(values["birth"], today)
    texts = ("local_id", "name", "sex", "exam", "question", "history", "accession", "referring")
    return RequestForm(
        **{name: values[name] for name in texts}, birth_date=born, age_years=years,
        urgent=values["urgent"].lower() in ("1", "true", "on", "yes"), study_uid=values["study"],
    )  # fmt: skip


# ---------------------------------------------------------------- views
def _view(
    worklist: Worklist, actor: Actor, clinic: Clinic, clinics: tuple[Clinic, ...], query: Mapping[str, str],
    now: datetime, tried: Tried | None,
) -> ClinicView:  # fmt: skip
    at, own = ClinicId(clinic.clinic_id), {c.clinic_id for c in clinics}
    alerts = [a for a in worklist.open_alerts(actor) if a.clinic_id in own]
    critical = clinic_view.calling_cases(alerts)
    latest = _joined(worklist.clinic_rows(actor, at, _LATEST), now)
    chosen = query.get("view", "") if query.get("view", "") in VIEWS else "today"
    day, text = query.get("day", "")[:10], query.get("q", "").replace("\x00", "").strip()[:64]
    found, total, offset = latest, 0, 0
    if chosen != "today":
        offset = int(query["offset"]) if query.get("offset", "").isdecimal() and len(query["offset"]) < 7 else 0
        found, total = worklist.find_rows(
            actor, at, span=clinic_view.day_bounds(day, clinic.zone), text=text,
            state="qc_rejected" if chosen == "rejected" else "", limit=PAGE_SIZE, offset=offset,
        )  # fmt: skip
    made = clinic_view.lines(found, critical, _reasons(worklist, actor, found), now, clinic.zone)
    may_answer = frozenset(c for c in own if permitted(actor, Act.ALERT_ACKNOWLEDGE, Thing(ClinicId(c))))
    _, rejected = worklist.find_rows(actor, at, state="qc_rejected", limit=1)
    several = clinic.clinic_id if len(clinics) > 1 else ""

    def turned(to: int) -> str:
        return clinic_view.address(several, chosen, day=day, q=text, offset=str(to) if to > 0 else "")

    return ClinicView(
        clinic=clinic, clinics=clinics, view=chosen,
        alerts=clinic_view.alert_cards(alerts, (*latest, *found), may_answer=may_answer, tried=tried),
        told=clinic_view.told(latest), lines=clinic_view.today(made) if chosen == "today" else made, rejected=rejected,
        may_acknowledge=bool(may_answer), at=now, day=day, text=text, total=total,
        newer=turned(offset - PAGE_SIZE) if offset else "",
        older=turned(offset + PAGE_SIZE) if offset + len(found) < total else "",
    )  # fmt: skip


def _joined(rows: tuple[UploadRow, ...], now: datetime) -> tuple[UploadRow, ...]:
    """A request that names a study which is here stands with it; one that waits for longer than requests wait goes."""
    waiting = {r.request.form.study_uid: r.request for r in rows if r.request and r.study is None}
    here = {r.study.study_uid for r in rows if r.study}
    kept: list[UploadRow] = []
    for row in rows:
        if row.study is None and row.request is not None:
            fresh = now - row.request.written_at < clinic_view.REQUEST_SHOWN
            if fresh and row.request.form.study_uid not in here:
                kept.append(row)
        elif row.study is not None and row.request is None:
            kept.append(replace(row, request=waiting.get(row.study.study_uid)))
        else:
            kept.append(row)
    return tuple(kept)


def _reasons(worklist: Worklist, actor: Actor, rows: tuple[UploadRow, ...]) -> dict[str, str]:
    """Why cases were sent back, by case."""
    back = [r.case.case_id for r in rows if r.case and r.case.state.value == "qc_rejected"]
    return {case_id: _reason_of(worklist.case(actor, case_id)) for case_id in back[:PAGE_SIZE]}


def _reason_of(detail: CaseDetail) -> str:
    moved = [e for e in detail.events if e.event == CaseMove.REJECT_QUALITY.value]
    return moved[-1].reason if moved else ""


def _line_of(row: UploadRow, now: datetime, clinic: Clinic) -> Line:
    return clinic_view.lines([row], frozenset(), {}, now, clinic.zone)[0]


def _case_view(
    detail: CaseDetail, row: UploadRow, clinic: Clinic, clinics: tuple[Clinic, ...], actor: Actor, now: datetime
) -> CaseView:
    case = detail.case
    critical = clinic_view.calling_cases(detail.alerts)
    reasons: dict[str, str] = {case.case_id: _reason_of(detail)}
    line = clinic_view.lines([row], critical, reasons, now, clinic.zone)[0]
    at = Thing(case.clinic_id, case.service)
    may_answer = frozenset({case.clinic_id} if permitted(actor, Act.ALERT_ACKNOWLEDGE, at) else ())
    cards = clinic_view.alert_cards(detail.alerts, [row], may_answer=may_answer, tried=None)
    current = case.version
    versions = tuple(
        Version(
            v.case_id, v.version, "here" if v.version == current and v.status is ReportState.FINAL else "replaced",
            v.signed_at, v.signer_name,
        )
        for v in detail.versions if v.sealed_sha256 and v.status is not ReportState.WITHDRAWN
    )  # fmt: skip
    possible = ["cancel"] if CaseMove.CANCEL in detail.possible and permitted(actor, Act.CASE_CANCEL, at) else []
    if case.state.value in ("triaged", "queued", "leased") and permitted(actor, Act.URGENCY_RAISE, at):
        possible += [u.value for u in _RAISES if u.rank < case.urgency.rank]
    return CaseView(
        clinic, clinics, line, case, detail.request, versions, tuple(c for c in cards if c.calling), tuple(possible),
        tuple(a.alert for a in cards if not a.calling),
        is_withdrawn=not versions and any(n.kind == "withdrawn" for n in detail.notices),
    )  # fmt: skip
