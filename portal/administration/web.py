"""The administrator's pages: to look at, not to change; each names the command that changes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from center.accounts import Accounts
from center.database import Database
from center.errors import NotFound
from center.identity import Actor
from center.permits import Act, permit
from center.ports import Clock
from center.web import Web
from portal.administration import view
from portal.administration.view import AdministrationView, Section, Table
from portal.house import House

if TYPE_CHECKING:
    from portal.parts import Parts

Rows = Sequence[Mapping[str, Any]]

#: Whoever has a certificate that was not revoked can sign; the administration shows yes or no, never the key.
_CERTIFIED = "select distinct person_id from center.certificate where revoked_at is null limit 5000"


@dataclass(frozen=True, slots=True)
class Books:
    """Where the pages read.  quarantine gets the codes of the clinics; settings: shown without secrets."""

    accounts: Accounts
    database: Database
    clock: Clock
    settings: Mapping[str, str]
    peers: Callable[[], Rows]
    quarantine: Callable[[Sequence[str]], Rows]
    models: Callable[[], Rows]
    health: Callable[[], House]


def router(web: Web, parts: Parts) -> APIRouter:
    """``/administration`` and one page a section below it."""
    return pages(web, books_of(parts))


def books_of(parts: Parts) -> Books:
    """Where the running center keeps what the pages show."""
    return Books(
        accounts=parts.accounts,
        database=parts.database,
        clock=parts.clock,
        settings=parts.settings.shown(),
        peers=lambda: parts.gateway.register.all(limit=view.LIMIT + 1),
        quarantine=lambda clinics: parts.gateway.kept_aside(clinics, limit=view.LIMIT + 1),
        models=parts.reads.models,
        health=parts.look,
    )


def pages(web: Web, books: Books) -> APIRouter:
    """The pages over these books."""
    routes = APIRouter(include_in_schema=False)

    def page(request: Request, actor: Actor, section: Section) -> Response:
        permit(actor, Act.ADMIN_VIEW)
        if section is Section.QUARANTINE:
            permit(actor, Act.QUARANTINE_VIEW)
        shown = _table(books, actor, section)
        seen = AdministrationView(section, shown, {section: len(shown.rows)})
        return web.page(request, "administration/section.html", view=seen, sections=tuple(Section))

    @routes.get("/administration")
    def begin(request: Request, actor: Actor = Depends(web.actor)) -> Response:
        return page(request, actor, Section.HEALTH)

    @routes.get("/administration/{name}")
    def section(request: Request, name: str, actor: Actor = Depends(web.actor)) -> Response:
        permit(actor, Act.ADMIN_VIEW)
        if name not in set(Section):
            raise NotFound("没有这个页面。", "There is no such page.")
        return page(request, actor, Section(name))

    return routes


def _table(books: Books, actor: Actor, section: Section) -> Table:
    now = books.clock.now()
    limit = view.LIMIT + 1  # one more than is shown tells that there are more
    names = {r["clinic_id"]: r for r in books.accounts.clinics(limit)}
    match section:
        case Section.CLINICS:
            return view.clinics(tuple(names.values()))
        case Section.PEOPLE:
            return view.people(books.accounts.people(limit), _certified(books, actor), names, now)
        case Section.AGREEMENTS:
            return view.agreements(books.accounts.agreements(limit), names, now)
        case Section.PEERS:
            return view.peers(books.peers(), names)
        case Section.QUARANTINE:
            return view.quarantine(books.quarantine(tuple(names)), names)
        case Section.MODELS:
            return view.models(books.models())
        case Section.SETTINGS:
            return view.settings(books.settings)
        case Section.HEALTH:
            return view.health(books.health())


def _certified(books: Books, actor: Actor) -> frozenset[str]:
    with books.database.transaction(actor) as work:
        return frozenset(r["person_id"] for r in work.all(_CERTIFIED))
