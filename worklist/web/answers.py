"""What the reader's routes share: fields of a form or of JSON alike, and an answer for a page or for a program."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Any

from fastapi import Request
from fastapi.responses import JSONResponse, Response

from center.errors import Invalid
from center.web import Web

#: A report with its answers; images never come this way.
MOST_BYTES = 512 << 10
#: What a program may not learn, and what only fills a page: the token of a lease is its holder's own.
_SECRET = frozenset({"lease_token", "token"})


@dataclass(frozen=True, slots=True)
class Fields:
    """What was sent, by name. Text comes with plain line ends and without characters that no text holds."""

    values: Mapping[str, object]

    def text(self, name: str, *, most: int = 20_000) -> str:
        """The field, empty when it is not there. Raises Invalid when it is too long."""
        value = self.values.get(name)
        if value is None:
            return ""
        if not isinstance(value, str | int | float):
            raise _not_text(name)
        text = _storable(str(value).replace("\r\n", "\n"))
        if len(text) > most:
            raise Invalid("文字太长。", "The text is too long.", {"field": name, "most": most})
        return text

    def flag(self, name: str) -> bool:
        return str(self.values.get(name, "")).lower() in ("1", "true", "on", "yes")

    def number(self, name: str) -> int:
        """Raises Invalid."""
        text = self.text(name, most=12)
        if not re.fullmatch(r"-?[0-9]{1,11}", text):
            raise Invalid("这里要填一个整数。", "A whole number is needed here.", {"field": name})
        return int(text)

    def table(self, name: str) -> dict[str, str]:
        """An object of texts; from a form: the fields ``name.0``, named by ``name.0.key``."""
        sent = self.values.get(name)
        if isinstance(sent, Mapping):
            return {_storable(key): Fields(sent).text(key) for key in map(str, sent)}
        keys = [k for k in self.values if k.startswith(f"{name}.") and not k.endswith(".key")]
        return {self.text(f"{k}.key"): self.text(k) for k in keys if self.text(f"{k}.key")}

    def __contains__(self, name: str) -> bool:
        return name in self.values


async def bounded(request: Request) -> None:
    """Raises Invalid for a body that is larger than any form here, or that does not say how large it is."""
    if request.method in ("GET", "HEAD"):
        return
    length = request.headers.get("content-length", "" if "transfer-encoding" in request.headers else "0")
    if not length.isdigit() or int(length) > MOST_BYTES:
        raise Invalid("表单太大。", "The form is too large.")


async def sent(request: Request) -> Fields:
    """The fields of a form or of a JSON object. Raises Invalid."""
    if request.headers.get("content-type", "").startswith("application/json"):
        try:
            body: Any = await request.json()
        except (ValueError, RecursionError):
            body = None
        if not isinstance(body, dict):
            raise Invalid("内容不是 JSON 对象。", "The body is not a JSON object.")
        return Fields(body)
    return Fields({k: v for k, v in (await request.form()).items() if isinstance(v, str)})


def takes(**names: str) -> dict[str, Any]:
    """What /openapi.json says of a route's body: each field and what it is."""
    properties = {name: {"type": "string", "description": words} for name, words in names.items()}
    schema = {"type": "object", "properties": properties}
    kinds = ("application/json", "application/x-www-form-urlencoded")
    return {"requestBody": {"content": {kind: {"schema": schema} for kind in kinds}}}


def by_program(request: Request) -> bool:
    """The asker wants JSON: an address under /api/, or it says so."""
    return request.url.path.startswith("/api/") or "application/json" in request.headers.get("accept", "")


def done(request: Request, web: Web, path: str, value: object = None) -> Response:
    """After an act: to a page, where to go next; to a program, what came of it."""
    if by_program(request):
        return json_answer(value if value is not None else {"next": path})
    return web.redirect(path)


def json_answer(value: object, status: int = 200) -> Response:
    return JSONResponse(plain(value), status_code=status, headers={"Cache-Control": "no-store"})


def plain(value: object) -> object:
    """JSON values of this room's records; what is secret is left out."""
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, StrEnum):
        return value.value
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in fields(value) if f.name not in _SECRET}
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items() if k not in _SECRET}
    if isinstance(value, frozenset | set):
        return sorted(str(v) for v in value)
    if isinstance(value, tuple | list):
        return [plain(v) for v in value]
    return value


def _storable(text: str) -> str:
    """Without what PostgreSQL takes in no text: NUL and halves of surrogate pairs."""
    return text.replace("\x00", "").encode("utf-8", "replace").decode()


def _not_text(name: str) -> Invalid:
    return Invalid("这里要填文字。", "Text is needed here.", {"field": name})
