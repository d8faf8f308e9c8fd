"""Pages as a browser gets them: routers behind the real frame, failures and headers, with a held clock."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

import argon2
from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import FileResponse, Response
from fastapi.testclient import TestClient

from center import postgres_driver as driver
from center.accounts import Accounts
from center.codes import Role
from center.errors import Failure, Stranger
from center.ports import Clock
from center.web import Web, failure_json
from portal.pages import renderer
from portal.signin.web import address

ROOT = Path(__file__).resolve().parent.parent
PASSWORD = "correct horse battery"


def house(
    accounts: Accounts,
    clock: Clock,
    routers: Callable[[Web], Iterable[APIRouter]],
    *,
    demo: bool = False,
) -> FastAPI:
    """The application with these routers."""
    names = {c["clinic_id"]: {"zh": str(c["name"]), "en": str(c["name_en"] or c["name"])} for c in accounts.clinics()}
    named = lambda clinic, lang: names.get(clinic, {}).get(lang, "")  # noqa: E731
    web = Web(accounts, renderer(clock, demo=demo, clinic_name=named))
    app = FastAPI()
    for router in routers(web):
        app.include_router(router)

    @app.exception_handler(Failure)
    async def failed(request: Request, failure: Failure) -> Response:
        if "text/html" not in request.headers.get("accept", ""):
            return failure_json(failure)
        if isinstance(failure, Stranger) and request.method == "GET":
            return web.redirect(address(request))
        return web.page(request, "frame/failure.html", status=failure.answer.http, failure=failure)

    @app.middleware("http")
    async def guard(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        answer = await call_next(request)
        answer.headers.setdefault("Content-Security-Policy", "default-src 'self'; style-src 'self' 'unsafe-inline'")
        answer.headers.setdefault("Referrer-Policy", "same-origin")
        return answer

    @app.get("/static/{path:path}")
    def static(path: str) -> Response:
        return FileResponse(ROOT / "portal" / "static" / path)

    return app


def browser(app: FastAPI, address: str = "192.0.2.7") -> TestClient:
    """A client that asks as a browser does, from that address, and does not follow redirects by itself."""
    headers = {"accept": "text/html,application/xhtml+xml", "origin": "http://testserver"}
    return TestClient(app, headers=headers, follow_redirects=False, client=(address, 50_000))


def signed_in(app: FastAPI, login: str, password: str = PASSWORD) -> TestClient:
    """A browser in which this person is signed in."""
    client = browser(app)
    answer = client.post("/sign-in", data={"login": login, "password": password})
    assert answer.status_code == 303, answer.text
    return client


def csrf_of(client: TestClient, path: str) -> str:
    """The token that the forms of this page carry."""
    text = client.get(path).text
    return text.partition('<meta name="csrf" content="')[2].partition('"')[0]


#: login -> the roles it has, by clinic, of a region small enough for every test.
PEOPLE: dict[str, tuple[tuple[str, Role], ...]] = {
    "tech": (("shigou", Role.TECHNICIAN),),
    "doctor": (("shigou", Role.CLINIC_DOCTOR),),
    "reader": (("tertiary", Role.READER),),
    "dispatch": (("county", Role.DISPATCHER),),
    "admin": (("county", Role.ADMINISTRATOR),),
    "regulator": (("county", Role.REGULATOR),),
}
#: A hash that costs little: these tests sign in many times, tests/center looks at the real one.
_CHEAP = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


def people(dsn: str) -> None:
    """Everybody of PEOPLE, with PASSWORD; dsn: the administrator's."""
    hashed = _CHEAP.hash(PASSWORD)
    with driver.connect(dsn, autocommit=True) as connection:
        for login, roles in PEOPLE.items():
            connection.execute(
                "insert into center.person (person_id, login, name, hash) values (%s, %s, %s, %s)",
                (f"p-{login}", login, login, hashed),
            )
            for clinic_id, role in roles:
                connection.execute(
                    "insert into center.membership (person_id, clinic_id, role) values (%s, %s, %s)",
                    (f"p-{login}", clinic_id, str(role)),
                )
