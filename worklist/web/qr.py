"""The page behind a printed report's code: whether it is in force, for anyone, without a word about whom."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import Response

from center.allowance import Allowance
from center.clock import monotonic_s
from center.errors import NotFound, OverLimit
from center.web import Web
from worklist.records import QrPage
from worklist.room import Worklist

#: Looks from one address: a desk that checks a pile of reports is served, a machine that tries tokens is not.
_AT_ONCE, _PER_MINUTE = 60, 30.0


def router(web: Web, worklist: Worklist) -> APIRouter:
    """``/qr/{token}`` and ``/q/{token}``."""
    routes = APIRouter(include_in_schema=False)
    looks = Allowance(_AT_ONCE, _PER_MINUTE, monotonic_s)

    @routes.get("/q/{token}")  # what the printed code says: short, so that its squares stay large
    @routes.get("/qr/{token}")
    def state(request: Request, token: str) -> Response:
        if not looks.take(web.address(request)):
            raise OverLimit("查询太频繁。请 1 分钟后再试。", "Too many look-ups. Retry in 1 min.")
        found: QrPage | None = None
        try:
            found = worklist.qr_page(token)
        except NotFound:
            pass
        answer = web.page(request, "worklist/qr.html", status=200 if found else 404, report=found)
        answer.headers["X-Robots-Tag"] = "noindex, nofollow"  # the address itself is the secret
        return answer

    return routes
