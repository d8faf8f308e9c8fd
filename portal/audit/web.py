"""The audit's page, for regulator and administrator. Reading it is itself written down."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response

from center import audit
from center.audit import AuditVerdict, AuditVerifier
from center.database import Database
from center.identity import Actor
from center.permits import Act, permit
from center.web import Web
from portal.audit import rows, things
from portal.audit.rows import AuditFilter, AuditPage
from portal.audit.things import CasesNamed, ShownThing

if TYPE_CHECKING:
    from portal.parts import Parts


@dataclass(frozen=True, slots=True)
class AuditView:
    """verdict: what the last walk over the whole chain said, at verified_at; None: there was none yet.

    verifying: a walk was asked for and has not ended.
    """

    page: AuditPage
    wanted: AuditFilter
    older: str  # address of the next page, empty on the last
    verdict: AuditVerdict | None
    verified_at: datetime | None
    verifying: bool
    things: Mapping[int, ShownThing]  # by the row's number


def router(web: Web, parts: Parts) -> APIRouter:
    """``/audit`` and ``/audit/verify``."""
    return pages(web, parts.database, parts.audit_verifier, parts.worklist.cases_named)


def pages(web: Web, database: Database, verifier: AuditVerifier, cases_named: CasesNamed) -> APIRouter:
    """The pages; the chain is walked by the worker, never while a page waits."""
    routes = APIRouter(include_in_schema=False)

    @routes.get("/audit")
    def look(
        request: Request,
        clinic: str = "",
        act: str = "",
        login: str = "",
        first: str = Query("", alias="from"),
        last: str = Query("", alias="to"),
        before: str = "",
        actor: Actor = Depends(web.actor),
    ) -> Response:
        permit(actor, Act.AUDIT_VIEW)
        wanted = rows.narrowed(clinic=clinic, act=act, login=login, first=first, last=last, before=before)
        with database.transaction(actor) as work:
            page = rows.read(work, wanted)
            verdict, verified_at = audit.last_verdict(work) or (None, None)
            verifying = audit.is_being_verified(work)
            work.audit(Act.AUDIT_VIEW, "audit", clinic_id=wanted.clinic_id, rows=len(page.rows), **_asked(wanted))
        older = f"/audit?{urlencode({**wanted.query(), 'before': page.older})}" if page.older else ""
        seen = AuditView(
            page, wanted, older, verdict, verified_at, verifying, things.shown(page.rows, actor, cases_named)
        )
        return web.page(request, "audit/list.html", view=seen)

    @routes.post("/audit/verify")
    def verify_all(actor: Actor = Depends(web.actor)) -> Response:
        permit(actor, Act.AUDIT_VIEW)
        with database.transaction(actor) as work:
            verifier.ask(work)
            work.audit("audit:verify", "audit")
        return web.redirect("/audit")

    return routes


def _asked(wanted: AuditFilter) -> dict[str, Any]:
    narrowed = {f"for_{name}": value for name, value in wanted.query().items() if name != "clinic"}
    return narrowed | ({"before": wanted.before} if wanted.before else {})
