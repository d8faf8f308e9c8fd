"""What stands before every route: bodies without a length, characters that no name holds, files out of their folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI, Request
from fastapi.testclient import TestClient

from portal.web import guard, inside


@pytest.fixture
def client() -> TestClient:
    app = FastAPI()
    app.middleware("http")(guard)

    @app.api_route("/{path:path}", methods=["GET", "POST"])
    async def taken(request: Request) -> int:
        return len(await request.body())

    return TestClient(app)


def _pieces() -> Iterator[bytes]:
    yield b"login=a"
    raise AssertionError("it was read on")


def test_a_form_that_does_not_say_how_large_it_is_is_not_read(client: TestClient) -> None:
    assert client.post("/sign-in", content=_pieces()).status_code == 422
    assert client.post("/sign-in", content=b"login=a").json() == 7
    assert client.post("/sign-in", content=bytes(3 << 20)).status_code == 422
    assert client.post("/dicom-web/studies", content=iter([b"x", b"y"])).json() == 2


@pytest.mark.parametrize("address", ["/cases/%00", "/cases/a%00b/dicom-web/studies", "/worklist?q=%00", "/q/%00"])
def test_nul_is_in_no_address(client: TestClient, address: str) -> None:
    assert client.get(address).status_code == 404
    assert client.get("/worklist?q=%25").status_code == 200


def test_a_file_is_found_inside_its_folder_only(tmp_path: Path) -> None:
    (tmp_path / "static").mkdir()
    for name in ("secret", "static/a.css"):
        (tmp_path / name).write_text("x")
    root = tmp_path / "static"
    assert inside(root, "a.css") == (root / "a.css").resolve()
    for path in ("../secret", "/etc/passwd", "b.css", "a" * 5000, "a\x00b", "../static/../secret"):
        assert inside(root, path) is None
