"""Signing in and out, where each role's pages begin, and how a person wants his pages to look."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import Response

from center.accounts import Accounts, WrongCredentials
from center.allowance import Allowance
from center.clock import monotonic_s
from center.codes import Role
from center.errors import Failure, Forbidden, OverLimit, Stranger
from center.identity import Actor
from center.lockout import FAILURES_ALLOWED, LOCKED_FOR
from center.passwords import MIN_PASSWORD
from center.web import COOKIE, LANG_COOKIE, LOOK_COOKIES, LOOKS, Web

#: Where each role's work begins; of several roles the first here counts.
HOMES: tuple[tuple[Role, str], ...] = (
    (Role.READER, "/worklist"),
    (Role.TECHNICIAN, "/clinic"),
    (Role.CLINIC_DOCTOR, "/clinic"),
    (Role.DISPATCHER, "/dispatch"),
    (Role.ADMINISTRATOR, "/administration"),
    (Role.REGULATOR, "/audit"),
)
_OWN = ("/sign-in", "/sign-out", "/preferences")
_LONGEST_PATH = 2000
_YEAR_S = 31_536_000
#: Wrong answers from one address over all accounts: beyond this somebody tries one password on many names.
_WRONG_AT_ONCE, _WRONG_PER_MINUTE = 30, 6.0


@dataclass(frozen=True, slots=True)
class SignInView:
    """What the sign-in page shows. trouble: why the last try was refused; locked: waiting helps, another try doesn't."""

    login: str = ""
    next_path: str = ""
    trouble: Failure | None = None
    locked: bool = False
    failures_allowed: int = FAILURES_ALLOWED
    locked_minutes: int = int(LOCKED_FOR.total_seconds() // 60)
    shortest_password: int = MIN_PASSWORD


def home(actor: Actor) -> str:
    """The address of his own page.  Raises Forbidden when he has no role yet."""
    for role, path in HOMES:
        if actor.has_role(role):
            return path
    raise Forbidden(
        "这个账号还没有岗位。请联系本中心管理员。",
        "This account has no role yet. Ask the center's administrator.",
        {"grantor": "administrator"},
    )


def own_path(text: str) -> str:
    """The address when it is a page of this site, else empty: nobody is led elsewhere after signing in."""
    if not text.startswith("/") or text.startswith("//") or len(text) > _LONGEST_PATH:
        return ""
    if any(c == "\\" or ord(c) <= 32 or ord(c) == 127 for c in text):  # browsers read \ as / and drop tabs
        return ""
    parts = urlsplit(text)
    return "" if parts.scheme or parts.netloc or parts.path in _OWN else text


def address(request: Request) -> str:
    """Where a stranger signs in, to come back to what he asked for."""
    query = [(k, v) for k, v in parse_qsl(request.url.query, keep_blank_values=True) if k != "lang"]
    wanted = own_path(request.url.path + (f"?{urlencode(query)}" if query else ""))
    return "/sign-in" if wanted in ("", "/") else f"/sign-in?next={quote(wanted)}"


def router(web: Web, accounts: Accounts, secure_cookies: bool) -> APIRouter:
    """``/``, ``/sign-in``, ``/sign-out`` and ``/preferences``."""
    routes = APIRouter(include_in_schema=False)
    wrong = Allowance(_WRONG_AT_ONCE, _WRONG_PER_MINUTE, monotonic_s)

    async def known(request: Request) -> Actor | None:
        """Who asks, if anybody.  Raises Forbidden (forged)."""
        try:
            return await web.actor(request)
        except Stranger:
            _refuse_foreign(request, web)
            return None

    def form(request: Request, view: SignInView, status: int = 200) -> Response:
        return web.page(request, "frame/signin.html", status=status, view=view)

    @routes.get("/")
    def begin(actor: Actor | None = Depends(known)) -> Response:
        return web.redirect(home(actor) if actor else "/sign-in")

    @routes.get("/sign-in")
    def ask(request: Request, next: str = "") -> Response:
        return form(request, SignInView(next_path=own_path(next)))

    @routes.post("/sign-in")
    def enter(
        request: Request, next: str = "", login: str = Form(""), password: str = Form(""), code: str = Form("")
    ) -> Response:
        _refuse_foreign(request, web)  # nobody is signed in yet, so there is no token of a session to ask for
        who, wanted = web.address(request), own_path(next)
        try:
            if not wrong.left(who):
                raise _too_many()
            if not login.isprintable() or "\x00" in password:
                raise WrongCredentials("账号或密码不对。", "The name or password is wrong.")
            signed = accounts.sign_in(login, password, code, who)
        except WrongCredentials as refused:
            wrong.take(who)
            return form(request, SignInView(login[:64], wanted, refused), refused.answer.http)
        except OverLimit as refused:
            answer = form(request, SignInView(login[:64], wanted, refused, locked=True), refused.answer.http)
            answer.headers["Retry-After"] = str(refused.answer.retry_after_s)
            return answer
        _end_former(request, accounts)
        answer = web.redirect(wanted or home(signed.actor))
        answer.set_cookie(COOKIE, signed.token, httponly=True, samesite="strict", secure=secure_cookies, path="/")
        return answer

    @routes.post("/sign-out")
    def leave(request: Request, _: Actor | None = Depends(known)) -> Response:
        _end_former(request, accounts)
        answer = web.redirect("/sign-in")
        answer.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict", secure=secure_cookies)
        return answer

    @routes.post("/preferences")
    def prefer(
        request: Request,
        theme: str = Form(""),
        density: str = Form(""),
        lang: str = Form(""),
        next: str = Form(""),
        actor: Actor | None = Depends(known),
    ) -> Response:
        wishes = {n: v for n, v in {"theme": theme, "density": density, "lang": lang}.items() if v}
        if actor is not None:
            accounts.prefer(actor, **wishes)
        by_script = "application/json" in request.headers.get("accept", "")
        answer = (
            Response(status_code=204) if by_script else web.redirect(own_path(next) or ("/" if actor else "/sign-in"))
        )
        kept = {LANG_COOKIE: lang} | ({} if actor else {LOOK_COOKIES["theme"]: theme, LOOK_COOKIES["density"]: density})
        for name, value in kept.items():
            if value in LOOKS:
                answer.set_cookie(name, value, max_age=_YEAR_S, samesite="strict", httponly=True, secure=secure_cookies)
        return answer

    return routes


def _end_former(request: Request, accounts: Accounts) -> None:
    token = request.cookies.get(COOKIE, "")
    if token:
        accounts.sign_out(token)


def _refuse_foreign(request: Request, web: Web) -> None:
    """Without a session: a form of another site can't sign somebody in or out.  Raises Forbidden."""
    if request.method in ("GET", "HEAD"):
        return
    site, origin = request.headers.get("sec-fetch-site", ""), request.headers.get("origin", "")
    if site not in ("", "same-origin", "none") or (origin and not web.is_own(request, origin)):
        raise Forbidden(
            "这个请求来自别的网站，没有执行。",
            "This request came from another site and nothing was done.",
            {"cause": "origin"},
        )


def _too_many() -> OverLimit:
    return OverLimit(
        "这台电脑上输错太多次。请几分钟后再试，或联系管理员。",
        "Too many wrong tries from this computer. Wait a few minutes or ask the administrator.",
    )
