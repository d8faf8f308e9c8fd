"""A case: the reading page of its holder, the read-only page of everybody else, and every act on it.

Each act answers a form with a redirect and a program with JSON; ``/api/cases/...`` is the same under another name.
"""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from center.codes import Urgency
from center.errors import Invalid, WrongState
from center.identity import Actor, CaseId
from center.permits import Act, permit
from center.ports import StudyIndex
from center.web import Web
from worklist.records import CaseDetail, DraftContent
from worklist.room import Worklist
from worklist.web.answers import Fields, bounded, by_program, done, json_answer, plain, sent, takes
from worklist.web.reading_view import held_view, reading_view

_REASON = "why, in words"


def router(web: Web, worklist: Worklist, studies: StudyIndex) -> APIRouter:
    """``/cases/{case_id}`` and what is done there."""
    routes = APIRouter(dependencies=[Depends(bounded)])

    def token_of(actor: Actor, case_id: str, form: Fields) -> str:
        """The lease that the page was made for; without a page, his own one now."""
        return form.text("token", most=200) or worklist.case(actor, CaseId(case_id)).token

    # ------------------------------------------------------------ looking
    @routes.get("/cases/{case_id}", include_in_schema=False)
    def page(request: Request, case_id: str, compare: str = "", actor: Actor = Depends(web.actor)) -> Response:
        permit(actor, Act.READ_VIEW)
        detail = worklist.case(actor, CaseId(case_id))
        if not detail.token:
            following = worklist.next_case(actor)
            shown = held_view(detail, actor)
            return web.page(request, "worklist/case.html", view=shown, following=following.case_id if following else "")
        return web.page(request, "worklist/reading.html", view=_reading(worklist, studies, actor, detail, compare))

    @routes.get("/cases/{case_id}/live", include_in_schema=False)
    def live(request: Request, case_id: str, actor: Actor = Depends(web.actor)) -> Response:
        """The parts of the reading page that change while he writes."""
        permit(actor, Act.READ_VIEW)
        detail = worklist.case(actor, CaseId(case_id))
        return web.page(request, "worklist/reading_live.html", view=_reading(worklist, studies, actor, detail, ""))

    @routes.get("/api/cases/{case_id}", tags=["worklist"])
    def as_json(case_id: str, actor: Actor = Depends(web.actor)) -> Response:
        """All that is known of the case; ``held`` says whether the asker holds it."""
        permit(actor, Act.READ_VIEW)
        detail = worklist.case(actor, CaseId(case_id))
        whole = plain(detail)
        assert isinstance(whole, dict)
        return json_answer(whole | {"held": bool(detail.token)})

    @routes.get("/api/cases/{case_id}/timeline", tags=["worklist"])
    def timeline(case_id: str, actor: Actor = Depends(web.actor)) -> Response:
        """(when, what, who) from the first byte on."""
        permit(actor, Act.READ_VIEW)
        case = worklist.case(actor, CaseId(case_id)).case
        return json_answer([list(line) for line in worklist.timeline(case.clinic_id, case.case_id)])

    # ------------------------------------------------------------ the lease
    @routes.post("/cases/{case_id}/take", include_in_schema=False)
    @routes.post("/api/cases/{case_id}/take", tags=["worklist"], openapi_extra=takes(reason=_REASON))
    def take(
        request: Request, case_id: str, form: Fields = Depends(sent), actor: Actor = Depends(web.actor)
    ) -> Response:
        """Takes this case and opens it; another than the next one needs a reason."""
        permit(actor, Act.LEASE_TAKE)
        reason = form.text("reason", most=500) or form.text("other", most=500)
        lease = worklist.take(actor, CaseId(case_id), reason)
        opened = worklist.open_case(actor, lease.case_id, lease.token)
        return done(request, web, f"/cases/{case_id}", opened)

    @routes.post("/cases/{case_id}/open", include_in_schema=False)
    @routes.post("/api/cases/{case_id}/open", tags=["worklist"])
    def open_case(
        request: Request, case_id: str, form: Fields = Depends(sent), actor: Actor = Depends(web.actor)
    ) -> Response:
        permit(actor, Act.LEASE_TAKE)
        lease = worklist.open_case(actor, CaseId(case_id), token_of(actor, case_id, form))
        return done(request, web, f"/cases/{case_id}", lease)

    @routes.post("/cases/{case_id}/heartbeat", include_in_schema=False)
    @routes.post("/api/cases/{case_id}/heartbeat", tags=["worklist"], openapi_extra=takes(active="1 or 0"))
    def heartbeat(case_id: str, form: Fields = Depends(sent), actor: Actor = Depends(web.actor)) -> Response:
        """The page is still there, every 30 s; ``active``: he did something since."""
        permit(actor, Act.LEASE_TAKE)
        lease = worklist.renew(actor, CaseId(case_id), token_of(actor, case_id, form), active=form.flag("active"))
        return json_answer({"until": lease.until})

    @routes.post("/cases/{case_id}/release", include_in_schema=False)
    @routes.post("/api/cases/{case_id}/release", tags=["worklist"], openapi_extra=takes(reason=_REASON))
    def release(
        request: Request, case_id: str, form: Fields = Depends(sent), actor: Actor = Depends(web.actor)
    ) -> Response:
        permit(actor, Act.LEASE_TAKE)
        _save_along(worklist, actor, case_id, form)
        worklist.release(actor, CaseId(case_id), token_of(actor, case_id, form), form.text("reason", most=500))
        return done(request, web, "/worklist")

    # ------------------------------------------------------------ writing
    @routes.post("/cases/{case_id}/draft", include_in_schema=False)
    @routes.post(
        "/api/cases/{case_id}/draft",
        tags=["worklist"],
        openapi_extra=takes(
            findings="", impression="", recommendation="", answers="by question", base_version="the last one saved"
        ),
    )
    def save(
        request: Request, case_id: str, form: Fields = Depends(sent), actor: Actor = Depends(web.actor)
    ) -> Response:
        """Autosave. 409 with ``current`` when somebody saved meanwhile; 409 held_by_another keeps the text aside."""
        permit(actor, Act.DRAFT_WRITE)
        saved = worklist.save_draft(
            actor, CaseId(case_id), token_of(actor, case_id, form), content_of(form), form.number("base_version")
        )
        return done(request, web, f"/cases/{case_id}", saved)

    @routes.post("/cases/{case_id}/verdicts/{read_id}/{finding_key}", include_in_schema=False)
    @routes.post(
        "/api/cases/{case_id}/verdicts/{read_id}/{finding_key}",
        tags=["worklist"],
        openapi_extra=takes(verdict="accepted or rejected", reason=_REASON),
    )
    def verdict(
        request: Request,
        case_id: str,
        read_id: str,
        finding_key: str,
        form: Fields = Depends(sent),
        actor: Actor = Depends(web.actor),
    ) -> Response:
        permit(actor, Act.VERDICT_WRITE)
        said = form.text("verdict", most=20)
        worklist.write_verdict(
            actor, CaseId(case_id), token_of(actor, case_id, form), read_id, finding_key, said, form.text("reason", most=500)
        )  # fmt: skip
        return done(request, web, f"/cases/{case_id}#machine", {"verdict": said})

    @routes.post("/cases/{case_id}/seen", include_in_schema=False)
    @routes.post("/api/cases/{case_id}/seen", tags=["worklist"], openapi_extra=takes(generation="as shown"))
    def seen(
        request: Request, case_id: str, form: Fields = Depends(sent), actor: Actor = Depends(web.actor)
    ) -> Response:
        """He has looked at the images that came late."""
        permit(actor, Act.DRAFT_WRITE)
        generation = form.number("generation")
        worklist.see_images(actor, CaseId(case_id), token_of(actor, case_id, form), generation)
        return done(request, web, f"/cases/{case_id}", {"generation": generation})

    # ------------------------------------------------------------ what else can come of a case
    @routes.post("/cases/{case_id}/reject-quality", include_in_schema=False)
    @routes.post("/api/cases/{case_id}/reject-quality", tags=["worklist"], openapi_extra=takes(reason=_REASON))
    def reject_quality(
        request: Request, case_id: str, form: Fields = Depends(sent), actor: Actor = Depends(web.actor)
    ) -> Response:
        """Not diagnostic: back to the technician."""
        permit(actor, Act.QUALITY_REJECT)
        worklist.reject_quality(
            actor, CaseId(case_id), token_of(actor, case_id, form), _both(form.text("reason", most=500), form.text("other", most=500))
        )  # fmt: skip
        return done(request, web, f"/cases/{case_id}")

    @routes.post("/cases/{case_id}/urgency", include_in_schema=False)
    @routes.post(
        "/api/cases/{case_id}/urgency",
        tags=["worklist"],
        openapi_extra=takes(urgency="stat or urgent", reason=_REASON),
    )
    def raise_urgency(
        request: Request, case_id: str, form: Fields = Depends(sent), actor: Actor = Depends(web.actor)
    ) -> Response:
        permit(actor, Act.URGENCY_RAISE)
        wanted = form.text("urgency", most=20)
        if wanted not in {u.value for u in Urgency}:
            raise Invalid("没有这种紧急程度。", "There is no such urgency.", {"field": "urgency"})
        worklist.raise_urgency(actor, CaseId(case_id), Urgency(wanted), form.text("reason", most=500))
        return done(request, web, f"/cases/{case_id}")

    @routes.post("/cases/{case_id}/alerts", include_in_schema=False)
    @routes.post(
        "/api/cases/{case_id}/alerts",
        tags=["worklist"],
        openapi_extra=takes(finding="as the clinic is told", finding_key="of a machine finding"),
    )
    def raise_alert(
        request: Request, case_id: str, form: Fields = Depends(sent), actor: Actor = Depends(web.actor)
    ) -> Response:
        """Marks a finding critical: the clinic's ladder starts at once."""
        permit(actor, Act.ALERT_RAISE)
        finding = form.text("finding", most=200).strip()
        if not finding:
            raise Invalid("请写明哪一项危急。", "Say which finding is critical.", {"field": "finding"})
        key = form.text("finding_key", most=100)
        return done(request, web, f"/cases/{case_id}", worklist.raise_alert(actor, CaseId(case_id), finding, key))

    @routes.post("/cases/{case_id}/alerts/{alert_id}/refute", include_in_schema=False)
    @routes.post(
        "/api/cases/{case_id}/alerts/{alert_id}/refute", tags=["worklist"], openapi_extra=takes(reason=_REASON)
    )
    def refute(
        request: Request, case_id: str, alert_id: str, form: Fields = Depends(sent), actor: Actor = Depends(web.actor)
    ) -> Response:
        """Takes a critical finding back; the clinic is told."""
        permit(actor, Act.ALERT_RAISE)
        alert = worklist.refute_alert(actor, alert_id, form.text("reason", most=500))
        return done(request, web, f"/cases/{case_id}", alert)

    @routes.post("/cases/{case_id}/tasks/{task_id}", include_in_schema=False)
    @routes.post("/api/cases/{case_id}/tasks/{task_id}", tags=["worklist"], openapi_extra=takes(reason=_REASON))
    def finish_task(
        request: Request, case_id: str, task_id: str, form: Fields = Depends(sent), actor: Actor = Depends(web.actor)
    ) -> Response:
        permit(actor, Act.TASK_DO)
        worklist.finish_task(actor, task_id, _both(form.text("reason", most=500), form.text("other", most=500)))
        return done(request, web, f"/cases/{case_id}")

    # ------------------------------------------------------------ to the preview
    @routes.post("/cases/{case_id}/preview", include_in_schema=False)
    @routes.post("/api/cases/{case_id}/preview", tags=["worklist"], openapi_extra=takes(lang="zh or en"))
    def preview(
        request: Request, case_id: str, form: Fields = Depends(sent), actor: Actor = Depends(web.actor)
    ) -> Response:
        """Saves what was sent along, and renders the PDF as it would be signed."""
        permit(actor, Act.DRAFT_WRITE)
        _save_along(worklist, actor, case_id, form)
        lang = form.text("lang", most=2) or "zh"
        made = worklist.preview(actor, CaseId(case_id), token_of(actor, case_id, form), lang)
        if by_program(request):
            return json_answer(made)
        return web.redirect(f"/cases/{case_id}/preview")

    return routes


def content_of(form: Fields) -> DraftContent:
    return DraftContent(
        findings=form.text("findings"),
        impression=form.text("impression"),
        recommendation=form.text("recommendation"),
        answers={q: a for q, a in form.table("answers").items() if a.strip()},
        template=form.text("template", most=100),
    )


def _save_along(worklist: Worklist, actor: Actor, case_id: str, form: Fields) -> None:
    """A form that carries the report saves it first, unless nothing changed. Raises WrongState (another window)."""
    if "impression" not in form:
        return
    detail = worklist.case(actor, CaseId(case_id))
    content = content_of(form)
    if detail.draft is not None and _same(detail.draft.content, content):
        return
    token = form.text("token", most=200) or detail.token
    worklist.save_draft(actor, CaseId(case_id), token, content, form.number("base_version"))


def _same(held: DraftContent, new: DraftContent) -> bool:
    return (held.findings, held.impression, held.recommendation, held.answers) == (
        new.findings,
        new.impression,
        new.recommendation,
        new.answers,
    )


def _reading(worklist: Worklist, studies: StudyIndex, actor: Actor, detail: CaseDetail, compare: str):
    if not detail.token:
        raise WrongState(
            "您没有持有这个病例。", "You do not hold this case.", {"state": detail.case.state.value, "possible": []}
        )
    case = detail.case
    instances = studies.instances(actor, case.clinic_id, case.study_uid)
    return reading_view(detail, actor, worklist.templates(case), instances, compare)


def _both(tapped: str, typed: str) -> str:
    return "；".join(filter(None, (tapped.strip(), typed.strip())))
