"""Around every request, before anything reads it: bodies that come in time, HEAD, and what TLS promises.

A sender that opens many bodies and finishes none holds its own address's places and nobody else's; one that is too slow
is told so (408), and his connection ends.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from center import observe
from center.allowance import address_of
from center.clock import monotonic_s
from center.errors import Failure, OverLimit, TooLarge, TooSlow
from center.web import failure_json

log = observe.log("portal")
_refused = observe.counter("helan_portal_bodies_refused_total", "Bodies that were not read to their end", ("why",))

Message = MutableMapping[str, Any]  # ASGI's own
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

#: A form is there within this (2 MB at 0.5 Mbit/s).
FORM_WITHIN_S: Final = 40.0
#: A study: its next piece within the first, all of it at the second at least (a weak village line does 60 kB/s).
PIECE_WITHIN_S: Final = 60.0
SLOWEST_BYTES_PER_S: Final = 4_000
#: Bodies on their way at once: of one address, of all.
OF_ONE_ADDRESS: Final = 64
OF_ALL: Final = 512
#: The largest study that is taken in one request (its door bounds its parts); said from the header, before a byte is read.
MOST_BYTES: Final = 3 << 30
_YEAR_S: Final = 31_536_000


class Rim:
    """ASGI: the application with these bounds around it.  is_large: addresses that take studies.

    trusted_proxy: network whose X-Forwarded-For counts.  over_tls: browsers come by HTTPS only.
    """

    def __init__(
        self, app: App, *, is_large: Callable[[str], bool], trusted_proxy: str = "", over_tls: bool = False
    ) -> None:
        self._app = app
        self._is_large = is_large
        self._trusted_proxy = trusted_proxy
        self._over_tls = over_tls
        self._open: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        send = self._with_headers(send)
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        if scope["method"] == "HEAD":
            await self._app({**scope, "method": "GET"}, receive, _without_body(send))
            return
        length = headers.get("content-length", "")
        if length in ("", "0") and "transfer-encoding" not in headers:
            await self._app(scope, receive, send)
            return
        if length.isdecimal() and int(length) > MOST_BYTES:
            await _answer(_too_large(), scope, receive, send)
            return
        await self._with_body(scope, receive, send, address_of(_Asked(scope, headers), self._trusted_proxy))

    async def _with_body(self, scope: Scope, receive: Receive, send: Send, address: str) -> None:
        if self._open[address] >= OF_ONE_ADDRESS or self._open.total() >= OF_ALL:
            _refused.labels("too_many").inc()
            await _answer(_too_many(), scope, receive, send)
            return
        body = _Body(receive, None if self._is_large(scope["path"]) else FORM_WITHIN_S)
        self._open[address] += 1

        def ended() -> None:
            self._open[address] -= 1
            if self._open[address] <= 0:
                del self._open[address]

        body.on_end = ended
        try:
            await self._app(scope, body.receive, body.guarded(send))
        except TooSlow:
            if not body.has_answered:
                await _answer(_too_slow(), scope, receive, send)
        finally:
            body.end()

    def _with_headers(self, send: Send) -> Send:
        async def out(message: Message) -> None:
            if message["type"] == "http.response.start" and self._over_tls:
                message["headers"] = [
                    *message.get("headers", ()),
                    (b"strict-transport-security", b"max-age=%d; includeSubDomains" % _YEAR_S),
                ]
            await send(message)

        return out


class _Body:
    """One body on its way in, with its deadline.  within_s: for all of it; None: a study, by pieces and rate."""

    def __init__(self, receive: Receive, within_s: float | None) -> None:
        self._receive = receive
        self._within_s = within_s
        self._began = monotonic_s()
        self._bytes = 0
        self._ended = False
        self.on_end: Callable[[], None] = lambda: None
        self.is_slow = False
        self.has_answered = False

    async def receive(self) -> Message:
        """Raises TooSlow."""
        if self._ended:
            return await self._receive()
        try:
            message = await asyncio.wait_for(self._receive(), max(0.0, self._left_s()))
        except TimeoutError:
            self.is_slow = True
            self.end()
            _refused.labels("too_slow").inc()
            raise _too_slow() from None
        self._bytes += len(message.get("body", b""))
        if message["type"] == "http.disconnect" or not message.get("more_body", False):
            self.end()
        return message

    def _left_s(self) -> float:
        spent = monotonic_s() - self._began
        if self._within_s is not None:
            return self._within_s - spent
        return min(PIECE_WITHIN_S, PIECE_WITHIN_S + self._bytes / SLOWEST_BYTES_PER_S - spent)

    def end(self) -> None:
        if not self._ended:
            self._ended = True
            self.on_end()

    def guarded(self, send: Send) -> Send:
        """What a handler makes of a body that was too slow (a parser's complaint, a 500) is said as what it is."""

        async def out(message: Message) -> None:
            if self.is_slow and not self.has_answered:
                raise _too_slow()
            self.has_answered = True
            await send(message)

        return out


class _Client:
    def __init__(self, host: str) -> None:
        self.host = host


class _Asked:
    """A request as ``address_of`` asks for it."""

    def __init__(self, scope: Scope, headers: dict[str, str]) -> None:
        client = scope.get("client")
        self.client = _Client(client[0]) if client else None
        self.headers = headers


def _without_body(send: Send) -> Send:
    async def out(message: Message) -> None:
        if message["type"] == "http.response.body":
            message = {"type": "http.response.body", "body": b"", "more_body": message.get("more_body", False)}
        await send(message)

    return out


async def _answer(failure: Failure, scope: Scope, receive: Receive, send: Send) -> None:
    answer = failure_json(failure)
    answer.headers["Connection"] = "close"
    answer.headers["X-Content-Type-Options"] = "nosniff"
    await answer(scope, receive, send)


def _too_slow() -> TooSlow:
    return TooSlow("内容没有在规定时间内传完，请重试。", "The request's content did not come in time; try again.")


def _too_many() -> OverLimit:
    return OverLimit("同时上传太多，请稍后再试。", "Too many uploads at once from there; try again in a minute.")


def _too_large() -> TooLarge:
    return TooLarge(
        f"一次最多 {MOST_BYTES >> 30} GB，请分批发送。", f"At most {MOST_BYTES >> 30} GB at once: send it in parts."
    )
