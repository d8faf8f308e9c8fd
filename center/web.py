"""What every room's HTTP face needs: who is asking, is the request forged, and a page rendered in the common frame."""

from __future__ import annotations

import gzip
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from fastapi import Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from center.accounts import Accounts, Session
from center.allowance import address_of
from center.errors import Failure, Forbidden, Stranger
from center.identity import Actor

COOKIE = "helan_session"
LANG_COOKIE = "helan_lang"
#: How pages look to somebody who is not signed in; a person's own choice is kept with him.
LOOK_COOKIES = {"theme": "helan_theme", "density": "helan_density"}
LOOKS = frozenset({"zh", "en", "dark", "light", "dense", "roomy"})
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
#: Bytes: below this packing gains nothing.
_PACKED_FROM = 1400
#: A page's form with an ECG in it, posted before scripts load.
_FORM_BYTES = 65 << 20


@dataclass(frozen=True, slots=True)
class PageRequest:
    """What the frame of a page is made from. ``session`` is None where nobody is signed in."""

    url: str
    lang: str
    session: Session | None
    theme: str | None = None
    density: str | None = None


Render = Callable[[str, PageRequest, Mapping[str, Any]], str]


@dataclass(slots=True)
class Web:
    """Handed to every ``router(web, ...)``; use ``Depends(web.actor)`` in each route."""

    accounts: Accounts
    render: Render
    own_origins: frozenset[str] = field(default_factory=frozenset)
    trusted_proxy: str = ""  # its network, as a CIDR; empty: none

    async def actor(self, request: Request) -> Actor:
        """Who is asking, by session cookie or bearer token.  Raises Stranger, Forbidden (forged request)."""
        known: Actor | None = getattr(request.state, "actor", None)
        if known is not None:
            return known
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and token:
            actor = await run_in_threadpool(self.accounts.by_token, token.strip())
        else:
            session = await self.session(request)
            if request.method not in _SAFE:
                await self._refuse_forged(request, session)
            actor = session.actor
        request.state.actor = actor
        return actor

    async def session(self, request: Request) -> Session:
        """The session of the cookie.  Raises Stranger."""
        known: Session | None = getattr(request.state, "session", None)
        if known is not None:
            return known
        token = request.cookies.get(COOKIE, "")
        if not token:
            raise Stranger("请先登录。", "Sign in first.")
        session = await run_in_threadpool(self.accounts.session, token)
        request.state.session = session
        return session

    def is_in_force(self, request: Request) -> bool:
        """What the request came with opens the door still; asking keeps no session alive."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        try:
            if scheme.lower() == "bearer" and token:
                self.accounts.by_token(token.strip())
            else:
                self.accounts.session(request.cookies.get(COOKIE, ""), used=False)
        except Stranger:
            return False
        except Failure:
            return True  # the database is away: nobody knows, and nothing is shown either
        return True

    def address(self, request: Request) -> str:
        """Where the request comes from; what a proxy says counts only where it is the one that we trust."""
        return address_of(request, self.trusted_proxy)

    async def _refuse_forged(self, request: Request, session: Session) -> None:
        """A state-changing request of a browser bears the session's own token, or comes from our viewer's page."""
        origin = request.headers.get("origin")
        if origin and not self.is_own(request, origin):
            raise _forged()
        given = request.headers.get("x-csrf-token", "")
        kind = request.headers.get("content-type", "")
        if not given and _is_form(request, kind):
            given = str((await request.form()).get("csrf", ""))
        if given and hmac.compare_digest(given.encode(), session.csrf.encode()):
            return
        # The viewer saves by STOW and can't add a header: a multipart/related body from our own origin, which a
        # form of another site can't send, with a SameSite=Strict cookie.
        if kind.startswith("multipart/related") and origin and self.is_own(request, origin):
            return
        raise _forged()

    def is_own(self, request: Request, origin: str) -> bool:
        """The request comes from a page of ours."""
        return origin in self.own_origins or urlsplit(origin).netloc == request.headers.get("host", "")

    def page(self, request: Request, template: str, *, status: int = 200, **context: Any) -> HTMLResponse:
        """The template in the common frame, in the person's language."""
        body = self.render(template, self.page_request(request), context)
        answer = _html(body, status, packed="gzip" in request.headers.get("accept-encoding", ""))
        asked = request.query_params.get("lang", "")
        if asked in ("zh", "en"):
            answer.set_cookie(LANG_COOKIE, asked, max_age=31_536_000, samesite="strict", httponly=True)
        return answer

    def page_request(self, request: Request) -> PageRequest:
        session: Session | None = getattr(request.state, "session", None)
        preferences = session.preferences if session else _looks(request)
        url = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return PageRequest(url, self.lang(request), session, preferences.get("theme"), preferences.get("density"))

    def lang(self, request: Request) -> str:
        """?lang=, else the cookie, else the person's, else Chinese."""
        session: Session | None = getattr(request.state, "session", None)
        wishes = (request.query_params.get("lang"), request.cookies.get(LANG_COOKIE), session and session.actor.lang)
        return next((w for w in wishes if w in ("zh", "en")), "zh")

    @staticmethod
    def redirect(path: str, status: int = 303) -> RedirectResponse:
        return RedirectResponse(path, status_code=status)


def _looks(request: Request) -> dict[str, Any]:
    kept = {name: request.cookies.get(cookie, "") for name, cookie in LOOK_COOKIES.items()}
    return {name: value for name, value in kept.items() if value in LOOKS}


def _html(body: str, status: int, *, packed: bool) -> HTMLResponse:
    """Packed where that is understood: a clinic's line is thin. Cookies are SameSite=Strict, so that nobody else's
    page can have it packed beside text of his own and guess from its length."""
    headers = {"Cache-Control": "no-store", "Vary": "Accept-Encoding"}
    content = body.encode()
    if packed and len(content) > _PACKED_FROM:
        return HTMLResponse(gzip.compress(content, 5, mtime=0), status, headers | {"Content-Encoding": "gzip"})
    return HTMLResponse(content, status, headers)


def failure_json(failure: Failure) -> Response:
    """The failure as a program reads it, with the status of the table of failures."""
    body = {"failure": failure.name, "zh": failure.zh, "en": failure.en, "facts": failure.facts}
    headers = {"Cache-Control": "no-store"}
    if failure.answer.retry_after_s is not None:
        headers["Retry-After"] = str(failure.answer.retry_after_s)
    return JSONResponse(body, status_code=failure.answer.http, headers=headers)


def _is_form(request: Request, kind: str) -> bool:
    """A form whose hidden field may be looked for: only where its size is bounded, since all of it is read."""
    length = request.headers.get("content-length", "")
    known = kind.startswith(("application/x-www-form-urlencoded", "multipart/form-data"))
    return known and length.isdecimal() and int(length) <= _FORM_BYTES


def _forged() -> Forbidden:
    return Forbidden(
        "页面已过期，没有执行。请刷新后再试。",
        "This page has expired and nothing was done. Reload it and try again.",
        {"cause": "csrf"},
    )
