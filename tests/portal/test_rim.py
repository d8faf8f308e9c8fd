"""Slow and half-sent bodies, HEAD, and TLS's promise: over real sockets, against a small application."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI, Request
from fastapi.testclient import TestClient
from granian.constants import HTTPModes, Interfaces
from granian.server.embed import Server

from portal import rim
from portal.rim import OF_ONE_ADDRESS, Rim


def application() -> FastAPI:
    app = FastAPI()

    @app.get("/")
    def look() -> dict[str, str]:
        return {"here": "yes"}

    @app.post("/form")
    async def form(request: Request) -> dict[str, int]:
        return {"bytes": len(str(await request.form()))}

    @app.post("/uploads")
    async def upload(request: Request) -> dict[str, int]:
        return {"bytes": len(await request.body())}

    return app


def wrapped(**how: Any) -> FastAPI:
    app = application()
    app.add_middleware(Rim, is_large=lambda path: path.startswith("/uploads"), **how)
    return app


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    monkeypatch.setattr(rim, "FORM_WITHIN_S", 1.0)
    monkeypatch.setattr(rim, "PIECE_WITHIN_S", 1.0)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number = probe.getsockname()[1]
    loop = asyncio.new_event_loop()
    server = Server(
        wrapped(), address="127.0.0.1", port=number, interface=Interfaces.ASGI, http=HTTPModes.http1,
        websockets=False, backlog=1024, log_enabled=False,
    )  # fmt: skip
    thread = threading.Thread(target=lambda: loop.run_until_complete(server.serve()), daemon=True)
    thread.start()
    for _ in range(100):
        try:
            socket.create_connection(("127.0.0.1", number), 1).close()
            break
        except OSError:
            time.sleep(0.05)
    yield number
    loop.call_soon_threadsafe(server.stop)
    thread.join(5)


def half(port: int, path: str, length: int = 1000, sent: bytes = b"a=1") -> socket.socket:
    line = socket.create_connection(("127.0.0.1", port), 5)
    line.sendall(
        f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n"
        f"Content-Length: {length}\r\n\r\n".encode() + sent
    )  # fmt: skip
    return line


def status(line: socket.socket, wait_s: float = 10.0) -> int:
    line.settimeout(wait_s)
    return int(line.recv(4096).split(b" ")[1])


@pytest.mark.parametrize("path", ["/form", "/uploads"])
def test_a_body_that_does_not_come_is_told_so_and_its_connection_ends(port: int, path: str) -> None:
    with half(port, path) as line:
        assert status(line) == 408
        line.settimeout(5)
        while line.recv(4096):
            pass  # the rest, and then the end: no place is held


def test_half_sent_forms_hold_their_own_addresss_places_and_pages_go_on(port: int) -> None:
    lines = [half(port, "/form") for _ in range(OF_ONE_ADDRESS + 20)]
    try:
        answers = []
        for line in lines[OF_ONE_ADDRESS:]:
            answers.append(status(line, 3.0))
        assert answers == [429] * 20
        with socket.create_connection(("127.0.0.1", port), 5) as page:
            page.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert status(page) == 200
        assert status(lines[0]) == 408
        with half(port, "/form", 3) as whole:  # the places are free again
            assert status(whole) == 200
    finally:
        for line in lines:
            line.close()


def test_a_slow_study_that_keeps_coming_is_taken(port: int) -> None:
    with half(port, "/uploads", 40_000, b"") as line:
        for _ in range(4):
            time.sleep(0.6)
            line.sendall(b"x" * 10_000)
        assert status(line) == 200


def test_a_length_beyond_all_measure_is_refused_before_a_byte_is_read(port: int) -> None:
    with half(port, "/uploads", 4_000_000_000, b"") as line:
        assert status(line, 3.0) == 413


def test_head_says_what_get_says_without_its_body() -> None:
    client = TestClient(wrapped())
    got, head = client.get("/"), client.head("/")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == got.headers["content-length"]
    assert client.head("/none").status_code == 404


def test_over_tls_browsers_are_told_to_stay_with_it() -> None:
    assert "strict-transport-security" not in TestClient(wrapped()).get("/").headers
    answer = TestClient(wrapped(over_tls=True)).get("/none")
    assert answer.headers["strict-transport-security"].startswith("max-age=31536000")


@pytest.mark.parametrize(
    ("host", "forwarded", "proxy", "address"),
    [
        ("198.51.100.9", "", "", "198.51.100.9"),
        ("198.51.100.9", "10.0.0.1", "", "198.51.100.9"),  # anybody may write that
        ("198.51.100.9", "10.0.0.1", "192.0.2.0/24", "198.51.100.9"),
        ("192.0.2.1", "203.0.113.5", "192.0.2.0/24", "203.0.113.5"),
        ("192.0.2.1", "1.2.3.4, 203.0.113.5, 192.0.2.2", "192.0.2.0/24", "203.0.113.5"),
        ("192.0.2.1", "nonsense", "192.0.2.0/24", "192.0.2.1"),
        ("192.0.2.1", "", "192.0.2.0/24", "192.0.2.1"),
    ],
)
def test_what_a_proxy_says_counts_only_where_it_is_ours(host: str, forwarded: str, proxy: str, address: str) -> None:
    class Client:
        pass

    class Asked:
        client = Client()
        headers = {"x-forwarded-for": forwarded}  # noqa: RUF012

    Asked.client.host = host  # type: ignore[attr-defined]
    assert rim.address_of(Asked(), proxy) == address  # type: ignore[arg-type]
