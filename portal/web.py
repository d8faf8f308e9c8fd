"""Parts -> the web application: rooms' routers, one failure handler, headers, static files, health, metrics, events."""

from __future__ import annotations

import gzip
import mimetypes
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from functools import lru_cache
from pathlib import Path

from fastapi import Depends, FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse
from prometheus_client import generate_latest
from starlette.exceptions import HTTPException

from center import observe
from center.errors import Failure, Forbidden, Invalid, NotFound, Stranger
from center.identity import Actor
from center.web import failure_json
from portal.rim import Rim
from portal.signin import web as signin
from portal.wiring import Parts, routers

log = observe.log("portal")

_STATIC = Path(__file__).with_name("static")
_OHIF = _STATIC / "vendor" / "ohif"
#: Pages load nothing from elsewhere and run no script that is not a file of ours.
_CSP = (
    "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; frame-src 'self' blob:;"
    " object-src 'self' blob:; base-uri 'none'; form-action 'self'; frame-ancestors 'self'"
)
#: The viewer's codecs compile at run time (VIEWERS.md section 1: without unsafe-eval compressed frames fail).
_CSP_OHIF = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' 'wasm-unsafe-eval'; worker-src 'self' blob:;"
    " connect-src 'self' blob: data:; img-src 'self' blob: data:; style-src 'self' 'unsafe-inline'; font-src 'self' data:;"
    " object-src 'self' blob:; frame-ancestors 'self'"
)
#: Doors for studies take large bodies and bound them themselves; everything else is a form.
_LARGE = ("/dicom-web", "/cases/", "/uploads")
_FORM_BYTES = 2 << 20
#: What set-up has not packed beside the file is packed when it is asked for.
_PACKABLE = (".css", ".js", ".svg")
#: What /health tells anybody may be this old.
_STRANGERS_SEE_S = 2.0
_PROGRAM_PATHS = ("/dicom-web", "/api/", "/health", "/metrics", "/openapi.json")


def make_app(parts: Parts) -> FastAPI:
    """The application over these parts."""

    @asynccontextmanager
    async def life(_: FastAPI):
        parts.live.start()
        yield
        parts.live.stop()

    app = FastAPI(title="Helan", version="0.1.0", docs_url=None, redoc_url=None, lifespan=life)
    app.middleware("http")(guard)
    app.add_middleware(
        Rim, is_large=lambda path: path.startswith(_LARGE), trusted_proxy=parts.settings.trusted_proxy,
        over_tls=parts.settings.secure_cookies,
    )  # fmt: skip
    _handle_failures(app, parts)
    for router in routers(parts):
        app.include_router(router)
    app.include_router(signin.router(parts.web, parts.accounts, parts.settings.secure_cookies))
    _common_routes(app, parts)
    return app


# ---------------------------------------------------------------- around every request
async def guard(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    path = request.url.path
    # a body that does not say how large it is would be read to its end before anybody asks who sends it
    length = request.headers.get("content-length", "" if "transfer-encoding" in request.headers else "0")
    if not path.startswith(_LARGE) and (not length.isdigit() or int(length) > _FORM_BYTES):
        return _guarded(path, failure_json(Invalid("表单太大。", "The form is too large.")))
    if "\x00" in path or b"%00" in request.scope["query_string"]:  # no name holds it, and PostgreSQL takes none
        return _guarded(path, failure_json(NotFound("没有这个地址。", "There is no such address.")))
    return _guarded(path, await call_next(request))


def _guarded(path: str, answer: Response) -> Response:
    """With the headers that every answer bears, whatever became of the request."""
    answer.headers.setdefault("Content-Security-Policy", _CSP_OHIF if path.startswith("/ohif") else _CSP)
    answer.headers["X-Content-Type-Options"] = "nosniff"
    # not no-referrer: a browser then sends "Origin: null" with our own forms, and they would look forged
    answer.headers["Referrer-Policy"] = "same-origin"
    return answer


def _handle_failures(app: FastAPI, parts: Parts) -> None:
    async def failed(request: Request, failure: Exception) -> Response:
        assert isinstance(failure, Failure)
        return await _answer(request, failure, parts)

    async def refused(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return await _answer(request, _from_http(error), parts, status=error.status_code)

    async def invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        places = [".".join(str(p) for p in e["loc"]) for e in error.errors()][:10]
        return await _answer(
            request, Invalid("填写不完整或格式不对。", "Incomplete or malformed.", {"fields": places}), parts
        )

    async def broken(request: Request, error: Exception) -> Response:
        log.error("web.broken", exc=error, method=request.method)
        failure = Failure(
            "中心暂时不能处理，没有丢失。请 1 分钟后再试。", "Cannot do this now; nothing lost. Retry in 1 min."
        )
        try:
            answer = await _answer(request, failure, parts)
        except Exception as again:  # the page itself can be what is broken
            log.error("web.broken", exc=again, method=request.method)
            answer = failure_json(failure)
        # the framework answers this outside of every middleware: guard has not seen it
        return _guarded(request.url.path, answer)

    app.add_exception_handler(Failure, failed)
    app.add_exception_handler(HTTPException, refused)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(Exception, broken)


def _from_http(error: HTTPException) -> Failure:
    if error.status_code == 404:
        return NotFound("没有这个页面。", "There is no such page.")
    if error.status_code == 405:
        return Invalid("这里不能这样做。", "That cannot be done here.")
    return Failure(f"请求不能处理（{error.status_code}）。", f"The request cannot be handled ({error.status_code}).")


async def _answer(request: Request, failure: Failure, parts: Parts, status: int | None = None) -> Response:
    if not _wants_page(request):
        answer = failure_json(failure)
        answer.status_code = status or answer.status_code
        return answer
    if isinstance(failure, Stranger) and request.method == "GET":
        return parts.web.redirect(signin.address(request))
    if getattr(request.state, "session", None) is None:
        try:
            await parts.web.session(request)
        except Failure:
            pass  # nobody is signed in, or the database is away: the page says what it can without
    answer = await run_in_threadpool(
        lambda: parts.web.page(request, "frame/failure.html", status=status or failure.answer.http, failure=failure)
    )
    if failure.answer.retry_after_s is not None:
        answer.headers["Retry-After"] = str(failure.answer.retry_after_s)
    return answer


def _wants_page(request: Request) -> bool:
    path = request.url.path
    if path.startswith(_PROGRAM_PATHS) or "/dicom-web" in path or request.headers.get("hx-request"):
        return False
    return "text/html" in request.headers.get("accept", "")


# ---------------------------------------------------------------- what no room owns
def _common_routes(app: FastAPI, parts: Parts) -> None:
    @app.get("/static/{path:path}", include_in_schema=False)
    def static(request: Request, path: str) -> Response:
        return _file(request, _STATIC, path)

    @app.get("/ohif/{path:path}", include_in_schema=False)
    def ohif(request: Request, path: str) -> Response:
        if not _OHIF.is_dir():
            raise NotFound("影像阅读器没有安装。请运行 make setup。", "The viewer is not installed: run `make setup`.")
        found = inside(_OHIF, path)
        return _file(request, _OHIF, path if found and found.is_file() else "index.html")

    @app.get("/events", include_in_schema=False)
    async def events(request: Request, actor: Actor = Depends(parts.web.actor)) -> StreamingResponse:
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}

        async def still() -> bool:
            return await run_in_threadpool(parts.web.is_in_force, request)

        return StreamingResponse(parts.live.stream(actor, still), media_type="text/event-stream", headers=headers)

    @app.get("/health", tags=["operation"])
    def health(request: Request) -> JSONResponse:
        """Whether the center can take studies in and hand out work; what is wrong is named.

        Studies of failed jobs and each loop only to this machine: a stranger gets counts.
        """
        near = _from_this_machine(request)
        house = parts.look(within_s=0.0 if near else _STRANGERS_SEE_S)
        return JSONResponse(
            house.as_json(whole=near),
            status_code=200 if house.serves else 503,
            headers={"Cache-Control": "no-store"},
        )

    @app.get("/metrics", tags=["operation"])
    async def metrics(request: Request) -> PlainTextResponse:
        """Prometheus text, for loopback or a bearer token."""
        if not _from_this_machine(request):
            if not request.headers.get("authorization"):
                raise Forbidden("指标只对本机或令牌开放。", "Metrics answer loopback or a token.")
            await parts.web.actor(request)
        await run_in_threadpool(parts.measure)
        return PlainTextResponse(generate_latest(observe.registry), media_type="text/plain; version=0.0.4")

    @app.get("/favicon.ico", include_in_schema=False)
    def favicon() -> Response:
        return FileResponse(_STATIC / "favicon.svg", media_type="image/svg+xml")


def _from_this_machine(request: Request) -> bool:
    client = request.client.host if request.client else ""
    return client in ("127.0.0.1", "::1") and "x-forwarded-for" not in request.headers


def inside(root: Path, path: str) -> Path | None:
    try:
        found = (root / path).resolve(strict=True)
    except (OSError, ValueError):  # not there, or no name that a file could have
        return None
    return found if found.is_relative_to(root.resolve()) else None


def _file(request: Request, root: Path, path: str) -> Response:
    found = inside(root, path)
    if found is None or not found.is_file():
        raise NotFound("没有这个文件。", "There is no such file.")
    kind = mimetypes.guess_type(found.name)[0] or "application/octet-stream"
    kind = {".js": "text/javascript", ".wasm": "application/wasm", ".woff2": "font/woff2"}.get(found.suffix, kind)
    headers = {"Cache-Control": _cache(found), "Vary": "Accept-Encoding"}
    accepted = request.headers.get("accept-encoding", "")
    for suffix, coding in ((".br", "br"), (".gz", "gzip")):
        packed = found.with_name(found.name + suffix)
        if coding in accepted and packed.is_file():
            return FileResponse(packed, media_type=kind, headers={**headers, "Content-Encoding": coding})
    if "gzip" in accepted and found.suffix in _PACKABLE:
        content = _packed(found, found.stat().st_mtime_ns)
        return Response(content, media_type=kind, headers={**headers, "Content-Encoding": "gzip"})
    return FileResponse(found, media_type=kind, headers=headers)


@lru_cache(maxsize=200)
def _packed(path: Path, changed_ns: int) -> bytes:
    """Our own small files, packed once for each change."""
    return gzip.compress(path.read_bytes(), 9, mtime=0)


def _cache(path: Path) -> str:
    """Hashed file names of the viewer and the fonts are for ever; everything else asks again."""
    hashed = len(path.name.split(".")) > 2 and any(len(p) >= 16 and p.isalnum() for p in path.name.split("."))
    if hashed or path.suffix in (".woff2", ".wasm"):
        return "public, max-age=31536000, immutable"
    return "no-cache"
