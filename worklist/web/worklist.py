"""The reader's list: page, live part, preview, "next case", and the same for programs under /api."""

from __future__ import annotations

from collections.abc import Mapping

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from center.errors import Failure
from center.identity import Actor, CaseId
from center.permits import Act, permit
from center.web import Web
from worklist.records import ListFilter
from worklist.room import Worklist
from worklist.sheet import Text
from worklist.web import list_view
from worklist.web.answers import bounded, done, json_answer
from worklist.web.list_view import PAGE_SIZE, ListView
from worklist.web.reading_view import HeldView, held_view

_NONE = "/worklist?nothing=1"


def router(web: Web, worklist: Worklist) -> APIRouter:
    """``/worklist``, its parts, and ``/api/worklist``."""
    routes = APIRouter(dependencies=[Depends(bounded)])

    @routes.get("/worklist", include_in_schema=False)
    def page(request: Request, actor: Actor = Depends(web.actor)) -> Response:
        shown = _view(web, worklist, actor, request.query_params)
        preview = _preview(worklist, actor, shown.selected)
        nothing = "nothing" in request.query_params
        following = shown.next.case_id if shown.next else ""
        return web.page(
            request, "worklist/list.html", view=shown, preview=preview, following=following, nothing=nothing
        )

    @routes.get("/worklist/live", include_in_schema=False)
    def live(request: Request, actor: Actor = Depends(web.actor)) -> Response:
        """The parts of the page that change, to be put in place by its script."""
        return web.page(request, "worklist/list_live.html", view=_view(web, worklist, actor, request.query_params))

    @routes.get("/worklist/preview/{case_id}", include_in_schema=False)
    def preview(request: Request, case_id: str, actor: Actor = Depends(web.actor)) -> Response:
        """What is known of one case before it is taken; no image is shown without a lease."""
        permit(actor, Act.WORKLIST_VIEW)
        detail = worklist.case(actor, CaseId(case_id))
        found = worklist.next_case(actor)
        following = found.case_id if found else ""
        return web.page(request, "worklist/list_preview.html", preview=held_view(detail, actor), following=following)

    @routes.post("/worklist/next", include_in_schema=False)
    @routes.post("/api/cases/next", tags=["worklist"])
    def take_next(request: Request, actor: Actor = Depends(web.actor)) -> Response:
        """Takes the most urgent case that he may read; 200 with ``case_id`` null when none waits."""
        permit(actor, Act.LEASE_TAKE)
        lease = worklist.take_next(actor)
        if lease is None:
            return done(request, web, _NONE, {"case_id": None})
        worklist.open_case(actor, lease.case_id, lease.token)
        return done(request, web, f"/cases/{lease.case_id}", lease)

    @routes.get("/api/worklist", tags=["worklist"])
    def as_json(
        request: Request, limit: int = PAGE_SIZE, offset: int = 0, actor: Actor = Depends(web.actor)
    ) -> Response:
        """Cases in the order of reading; filters as in the page's address: view, urgency, modality, service, clinic,
        flag, q."""
        permit(actor, Act.WORKLIST_VIEW)
        narrowed = list_view.filter_from(request.query_params)
        return json_answer(worklist.list_cases(actor, narrowed, limit=min(max(limit, 1), 200), offset=max(offset, 0)))

    return routes


def _view(web: Web, worklist: Worklist, actor: Actor, query: Mapping[str, str]) -> ListView:
    permit(actor, Act.WORKLIST_VIEW)
    narrowed = list_view.filter_from(query)
    offset = int(query["offset"]) if query.get("offset", "").isdecimal() and len(query["offset"]) < 7 else 0
    tasks = worklist.tasks(actor)
    asked = any(t.kind == "read_now" for t in tasks)
    flagged = worklist.list_cases(actor, ListFilter(flag="machine_critical")).rows if asked else ()
    return list_view.view(
        actor,
        narrowed,
        worklist.list_cases(actor, narrowed, limit=PAGE_SIZE, offset=offset),
        offset=offset,
        following=worklist.next_case(actor),
        selected=query.get("case", ""),
        clinics=_clinics(web, actor),
        alerts=worklist.open_alerts(actor),
        tasks=tasks,
        flagged=flagged,
    )


def _preview(worklist: Worklist, actor: Actor, case_id: str) -> HeldView | None:
    """The side panel; None when it can't be had: the list itself must still come."""
    try:
        return held_view(worklist.case(actor, CaseId(case_id)), actor) if case_id else None
    except Failure:
        return None


def _clinics(web: Web, actor: Actor) -> list[tuple[str, Text]]:
    """Those that he reads for, by name."""
    read = {r.requesting_clinic for r in actor.readings}
    return [
        (row["clinic_id"], Text(row["name"], row["name_en"] or row["name"]))
        for row in web.accounts.clinics()
        if row["clinic_id"] in read
    ]
