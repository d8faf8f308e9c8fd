"""The dispatcher's page: whom to phone, what is late, where cases stand; no patient's name."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from center.codes import Service, Urgency
from center.errors import Invalid
from center.identity import Actor, CaseId
from center.permits import Act, permit
from center.web import Web
from worklist.lifecycle import CaseState
from worklist.room import Worklist
from worklist.web.answers import Fields, bounded, sent
from worklist.web.dispatch_view import Place, Tried, dispatch_view

#: What one field of these forms holds, characters.
_LONGEST = 500


def router(web: Web, worklist: Worklist) -> APIRouter:
    """``/dispatch`` and what a dispatcher does there."""
    routes = APIRouter(include_in_schema=False, dependencies=[Depends(bounded)])

    def shown(
        request: Request, actor: Actor, *, service: str = "", state: str = "", tried: Tried | None = None
    ) -> Response:
        places = {r["clinic_id"]: Place(r["name"], r["name_en"], r["duty_phone"]) for r in web.accounts.clinics()}
        view = dispatch_view(worklist.board(actor), places, service=service, state=state, tried=tried)
        return web.page(request, "worklist/dispatch.html", status=422 if tried else 200, view=view)

    @routes.get("/dispatch")
    def look(request: Request, service: str = "", state: str = "", actor: Actor = Depends(web.actor)) -> Response:
        permit(actor, Act.BOARD_VIEW)
        narrow_service = service if service in set(Service) else ""
        return shown(request, actor, service=narrow_service, state=state if state in set(CaseState) else "")

    @routes.post("/dispatch/alerts/{alert_id}/acknowledge")
    def acknowledge(
        request: Request, alert_id: str, actor: Actor = Depends(web.actor), form: Fields = Depends(sent)
    ) -> Response:
        """A read-back heard on the telephone; one that does not fit is shown again and kept only when insisted on."""
        permit(actor, Act.BOARD_VIEW)
        permit(actor, Act.ALERT_ACKNOWLEDGE)
        heard = Tried(alert_id, _line(form, "receiver"), _line(form, "read_back"), _line(form, "action"))
        answer = worklist.acknowledge_alert(
            actor, alert_id, read_back=heard.read_back, receiver=heard.receiver, means="phone", action=heard.action,
            insist=form.flag("insist"),
        )  # fmt: skip
        return web.redirect("/dispatch") if answer.kept else shown(request, actor, tried=heard)

    @routes.post("/dispatch/alerts/{alert_id}/close")
    def close(alert_id: str, actor: Actor = Depends(web.actor), form: Fields = Depends(sent)) -> Response:
        permit(actor, Act.BOARD_VIEW)
        permit(actor, Act.ALERT_ACKNOWLEDGE)
        worklist.close_alert(actor, alert_id, _line(form, "action"))
        return web.redirect("/dispatch")

    @routes.post("/dispatch/tasks/{task_id}/done")
    def done(task_id: str, actor: Actor = Depends(web.actor), form: Fields = Depends(sent)) -> Response:
        permit(actor, Act.BOARD_VIEW)
        permit(actor, Act.TASK_DO)
        worklist.finish_task(actor, task_id, _line(form, "reason"))
        return web.redirect("/dispatch")

    @routes.post("/dispatch/cases/{case_id}/reassign")
    def reassign(case_id: str, actor: Actor = Depends(web.actor), form: Fields = Depends(sent)) -> Response:
        permit(actor, Act.BOARD_VIEW)
        permit(actor, Act.CASE_REASSIGN)
        worklist.reassign(actor, CaseId(case_id), _line(form, "reason"))
        return web.redirect("/dispatch")

    @routes.post("/dispatch/cases/{case_id}/urgency")
    def raise_urgency(case_id: str, actor: Actor = Depends(web.actor), form: Fields = Depends(sent)) -> Response:
        permit(actor, Act.BOARD_VIEW)
        permit(actor, Act.URGENCY_RAISE)
        wanted = form.text("urgency", most=20)
        if wanted not in set(Urgency):
            raise Invalid("没有这种紧急程度。", "There is no such urgency.", {"fields": ["urgency"]})
        worklist.raise_urgency(actor, CaseId(case_id), Urgency(wanted), _line(form, "reason"))
        return web.redirect("/dispatch")

    return routes


def _line(form: Fields, name: str) -> str:
    return form.text(name, most=_LONGEST).strip()
