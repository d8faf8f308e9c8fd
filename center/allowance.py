"""How much one address may ask at once and over time: a bucket that refills, for pages that need no sign-in."""

from __future__ import annotations

import ipaddress
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


def address_of(request: _Asked, trusted_proxy: str) -> str:
    """The address that asks.  X-Forwarded-For counts only where the connection comes from the trusted proxy's network
    (CIDR): then the last address in it that is not the proxy's own; whatever stands before, anybody could have written.
    """
    host = request.client.host if request.client else ""
    if not trusted_proxy or not _within(host, trusted_proxy):
        return host
    told = [part.strip() for part in request.headers.get("x-forwarded-for", "").split(",")]
    return next((one for one in reversed(told) if _is_address(one) and not _within(one, trusted_proxy)), host)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _within(text: str, network: str) -> bool:
    return _is_address(text) and ipaddress.ip_address(text) in ipaddress.ip_network(network)
