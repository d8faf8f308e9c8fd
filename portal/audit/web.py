"""The audit's page, for regulator and administrator. Reading it is itself written down."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response

from center import audit
from center.audit import AuditVerdict
from center.database import Database
from center.errors import OverLimit
from center.identity import Actor
from center.permits import Act, permit
from center.ports import Clock
from center.web import Web
from portal.audit import rows
from portal.audit.rows import AuditFilter, AuditPage

if TYPE_CHECKING:
    from portal.parts import Parts


@dataclass(frozen=True, slots=True)
class AuditView:
    """verdict: what the last walk over the whole chain said, at verified_at; None: nobody asked since the start."""

    page: AuditPage
    wanted: AuditFilter
    older: str  # address of the next page, empty on the last
    verdict: AuditVerdict | None
    verified_at: datetime | None


class Verifier:
    """Walks the whole chain when somebody asks, one walk at a time, and remembers what it found."""

    def __init__(self, verify: Callable[[], AuditVerdict], clock: Clock) -> None:
        self._verify = verify
        self._clock = clock
        self._busy = threading.Lock()
        self.verdict: AuditVerdict | None = None
        self.at: datetime | None = None

    def walk(self) -> AuditVerdict:
        """Raises OverLimit while another walk goes on."""
        if not self._busy.acquire(blocking=False):
            raise OverLimit("正在核对，请稍后刷新。", "The chain is being verified; reload in a moment.")
        try:
            verdict = self._verify()
            self.verdict, self.at = verdict, self._clock.now()
            return verdict
        finally:
            self._busy.release()


def router(web: Web, parts: Parts) -> APIRouter:
    """``/audit`` and ``/audit/verify``."""
    check = parts.authority.check_head
    return pages(web, parts.database, parts.clock, lambda: audit.verify(parts.database, parts.store, check))


def pages(web: Web, database: Database, clock: Clock, verify: Callable[[], AuditVerdict]) -> APIRouter:
    """The pages; verify: as `helan audit verify` does it."""
    routes = APIRouter(include_in_schema=False)
    verifier = Verifier(verify, clock)

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
            work.audit(Act.AUDIT_VIEW, "audit", clinic_id=wanted.clinic_id, rows=len(page.rows), **_asked(wanted))
        older = f"/audit?{urlencode({**wanted.query(), 'before': page.older})}" if page.older else ""
        seen = AuditView(page, wanted, older, verifier.verdict, verifier.at)
        return web.page(request, "audit/list.html", view=seen)

    @routes.post("/audit/verify")
    def verify_all(actor: Actor = Depends(web.actor)) -> Response:
        # not at each look: it reads every row of the chain and every head in the object store
        permit(actor, Act.AUDIT_VIEW)
        verdict = verifier.walk()
        with database.transaction(actor) as work:
            work.audit("audit:verify", "audit", rows=verdict.rows, problems=len(verdict.problems))
        return web.redirect("/audit")

    return routes


def _asked(wanted: AuditFilter) -> dict[str, Any]:
    narrowed = {f"for_{name}": value for name, value in wanted.query().items() if name != "clinic"}
    return narrowed | ({"before": wanted.before} if wanted.before else {})
