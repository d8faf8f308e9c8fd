"""How much one address may ask at once and over time: a bucket that refills, for pages that need no sign-in."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Protocol

#: Addresses remembered at most; the one that asked longest ago is forgotten first.
_KEPT = 10_000


class Allowance:
    """``at_once`` tries, refilled by ``per_minute``; seconds come from ``monotonic``."""

    def __init__(self, at_once: int, per_minute: float, monotonic: Callable[[], float]) -> None:
        self._most = float(at_once)
        self._per_s = per_minute / 60
        self._monotonic = monotonic
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def left(self, who: str) -> bool:
        """There is one more try."""
        with self._lock:
            return self._level(who) >= 1

    def take(self, who: str) -> bool:
        """Uses one up; False when there was none."""
        with self._lock:
            level = self._level(who)
            taken = level >= 1
            self._buckets[who] = (level - 1 if taken else level, self._monotonic())
            self._buckets.move_to_end(who)
            while len(self._buckets) > _KEPT:
                self._buckets.popitem(last=False)
        return taken

    def _level(self, who: str) -> float:
        level, at = self._buckets.get(who, (self._most, self._monotonic()))
        return min(self._most, level + (self._monotonic() - at) * self._per_s)


class _Client(Protocol):
    @property
    def host(self) -> str: ...


class _Asked(Protocol):
    @property
    def client(self) -> _Client | None: ...

    @property
    def headers(self) -> Mapping[str, str]: ...


def caller(request: _Asked) -> str:
    """The address that asks; behind a proxy the one that it names last. Good for allowances, never for rights."""
    forwarded = request.headers.get("x-forwarded-for", "").rpartition(",")[2].strip()
    host = request.client.host if request.client else ""
    return f"{host} {forwarded[:64]}"
