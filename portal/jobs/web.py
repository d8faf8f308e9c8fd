"""``/jobs``: what failed again and again, for administrators and dispatchers: tried again there, or set aside with a reason."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response

from center import stuck
from center.database import Database
from center.errors import Invalid
from center.identity import Actor
from center.permits import Act, permit
from center.web import Web
from portal.jobs.rows import NamedJob, named

if TYPE_CHECKING:
    from portal.parts import Parts

_LONGEST_REASON = 500


@dataclass(frozen=True, slots=True)
class JobsView:
    """clinics: code -> (name, English name)."""

    jobs: Sequence[NamedJob]
    clinics: dict[str, tuple[str, str]]
    cut: bool


def router(web: Web, parts: Parts) -> APIRouter:
    return pages(web, parts.database, lambda: named(parts, stuck.LIMIT + 1))


def pages(web: Web, database: Database, jobs: Callable[[], list[NamedJob]]) -> APIRouter:
    """The page over these jobs."""
    routes = APIRouter(include_in_schema=False)

    @routes.get("/jobs")
    def look(request: Request, actor: Actor = Depends(web.actor)) -> Response:
        permit(actor, Act.JOBS_VIEW)
        found = jobs()
        clinics = {c["clinic_id"]: (str(c["name"]), str(c["name_en"])) for c in web.accounts.clinics()}
        view = JobsView(found[: stuck.LIMIT], clinics, len(found) > stuck.LIMIT)
        return web.page(request, "jobs/jobs.html", view=view)

    @routes.get("/api/jobs")
    def listed(actor: Actor = Depends(web.actor)) -> JSONResponse:
        permit(actor, Act.JOBS_VIEW)
        return JSONResponse(
            {"jobs": [job.as_json() for job in jobs()[: stuck.LIMIT]]}, headers={"Cache-Control": "no-store"}
        )

    @routes.post("/jobs/{job_id}/retry")
    def retry(job_id: int, actor: Actor = Depends(web.actor)) -> Response:
        stuck.retry(database, actor, _number(job_id))
        return web.redirect("/jobs")

    @routes.post("/jobs/{job_id}/dismiss")
    def dismiss(job_id: int, actor: Actor = Depends(web.actor), reason: str = Depends(_reason)) -> Response:
        stuck.dismiss(database, actor, _number(job_id), reason)
        return web.redirect("/jobs")

    return routes


async def _reason(request: Request) -> str:
    """Of a form or of JSON, as far as it may go: one character more is refused."""
    if request.headers.get("content-type", "").startswith("application/json"):
        try:
            sent = await request.json()
        except ValueError:
            sent = None
        said = sent.get("reason", "") if isinstance(sent, dict) else ""
    else:
        said = (await request.form()).get("reason", "")
    return str(said)[: _LONGEST_REASON + 1].replace("\x00", "")


def _number(job_id: int) -> int:
    if not 0 < job_id < 1 << 63:
        raise Invalid("没有这个编号。", "There is no such number.", {"fields": ["job_id"]})
    return job_id
