"""The dispatcher's page: whom to phone, what is late, where cases stand; no patient's name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import Response

from center.codes import Service, Urgency
from center.errors import Invalid
from center.identity import Actor, CaseId
from center.permits import Act, permit
from center.ports import Clock, Notifier
from center.web import Web
from worklist.dispatch_view import Place, Tried, dispatch_view
from worklist.lifecycle import CaseState

if TYPE_CHECKING:
    from worklist.room import Worklist


def router(web: Web, worklist: Worklist, notifier: Notifier, clock: Clock) -> APIRouter:
    """``/dispatch`` and what a dispatcher does there."""
    routes = APIRouter(include_in_schema=False)

    def shown(
        request: Request, actor: Actor, *, service: str = "", state: str = "", tried: Tried | None = None
    ) -> Response:
        places = {r["clinic_id"]: Place(r["name"], r["name_en"], r["duty_phone"]) for r in web.accounts.clinics()}
        view = dispatch_view(
            worklist.board(actor), places, clock.now(), automatic=notifier.automatic, service=service, state=state,
            tried=tried,
        )  # fmt: skip
        return web.page(request, "worklist/dispatch.html", status=422 if tried else 200, view=view)

    @routes.get("/dispatch")
    def look(request: Request, service: str = "", state: str = "", actor: Actor = Depends(web.actor)) -> Response:
        permit(actor, Act.BOARD_VIEW)
        narrow_service = service if service in set(Service) else ""
        return shown(request, actor, service=narrow_service, state=state if state in set(CaseState) else "")

    @routes.post("/dispatch/alerts/{alert_id}/acknowledge")
    def acknowledge(
        request: Request,
        alert_id: str,
        receiver: str = Form("", max_length=200),
        read_back: str = Form("", max_length=2000),
        action: str = Form("", max_length=2000),
        insist: bool = Form(False),
        actor: Actor = Depends(web.actor),
    ) -> Response:
        """A read-back heard on the telephone; one that does not fit is shown again and kept only when insisted on."""
        permit(actor, Act.BOARD_VIEW)
        permit(actor, Act.ALERT_ACKNOWLEDGE)
        answer = worklist.acknowledge_alert(
            actor, alert_id, read_back=read_back.strip(), receiver=receiver.strip(), means="phone",
            action=action.strip(), insist=insist,
        )  # fmt: skip
        if answer.kept:
            return web.redirect("/dispatch")
        return shown(request, actor, tried=Tried(alert_id, receiver, read_back, action))

    @routes.post("/dispatch/alerts/{alert_id}/close")
    def close(alert_id: str, action: str = Form("", max_length=2000), actor: Actor = Depends(web.actor)) -> Response:
        permit(actor, Act.BOARD_VIEW)
        permit(actor, Act.ALERT_ACKNOWLEDGE)
        worklist.close_alert(actor, alert_id, action.strip())
        return web.redirect("/dispatch")

    @routes.post("/dispatch/tasks/{task_id}/done")
    def done(task_id: str, reason: str = Form("", max_length=2000), actor: Actor = Depends(web.actor)) -> Response:
        permit(actor, Act.BOARD_VIEW)
        permit(actor, Act.TASK_DO)
        worklist.finish_task(actor, task_id, reason.strip())
        return web.redirect("/dispatch")

    @routes.post("/dispatch/cases/{case_id}/reassign")
    def reassign(case_id: str, reason: str = Form("", max_length=2000), actor: Actor = Depends(web.actor)) -> Response:
        permit(actor, Act.BOARD_VIEW)
        permit(actor, Act.CASE_REASSIGN)
        worklist.reassign(actor, CaseId(case_id), reason.strip())
        return web.redirect("/dispatch")

    @routes.post("/dispatch/cases/{case_id}/urgency")
    def raise_urgency(
        case_id: str,
        urgency: str = Form(""),
        reason: str = Form("", max_length=2000),
        actor: Actor = Depends(web.actor),
    ) -> Response:
        permit(actor, Act.BOARD_VIEW)
        permit(actor, Act.URGENCY_RAISE)
        if urgency not in set(Urgency):
            raise Invalid("没有这种紧急程度。", "There is no such urgency.", {"fields": ["urgency"]})
        worklist.raise_urgency(actor, CaseId(case_id), Urgency(urgency), reason.strip())
        return web.redirect("/dispatch")

    return routes
