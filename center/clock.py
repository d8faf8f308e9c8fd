"""Time and identifiers: the real ones, and twins that a test holds in its hand."""

from __future__ import annotations

import secrets
import threading
import time
import uuid
from datetime import UTC, datetime, timedelta

#: Farther apart than this from the database's clock, no leases are taken and /health says so (GROUND.md "Clock").
TOLERATED_SKEW_S = 2.0


class SystemClock:
    """The machine's clock plus a correction learned from the database."""

    def __init__(self) -> None:
        self._offset = timedelta(0)
        self._lock = threading.Lock()

    def now(self) -> datetime:
        return datetime.now(UTC) + self._offset

    def correct(self, database_now: datetime, round_trip_s: float) -> float:
        """Learns the offset from one reading of the database's clock; returns it in seconds (database - machine)."""
        offset = database_now - (datetime.now(UTC) - timedelta(seconds=round_trip_s / 2))
        with self._lock:
            self._offset = offset if abs(offset.total_seconds()) > 0.05 else timedelta(0)
        return offset.total_seconds()

    @property
    def skew_s(self) -> float:
        return self._offset.total_seconds()

    @property
    def trusted(self) -> bool:
        """Close enough to the database's clock to hand out leases."""
        return abs(self.skew_s) <= TOLERATED_SKEW_S


class HeldClock:
    """A clock that stands still until it is moved: the tests' twin."""

    def __init__(self, at: datetime) -> None:
        self._at = at

    def now(self) -> datetime:
        return self._at

    def advance(self, seconds: float) -> None:
        self._at += timedelta(seconds=seconds)

    skew_s = 0.0
    trusted = True


class RandomIdentifiers:
    """UUIDs and tokens from the operating system's chance."""

    def new(self) -> str:
        return str(uuid.uuid4())

    def token(self) -> str:
        return secrets.token_urlsafe(24)


class CountedIdentifiers:
    """Identifiers that count up: the tests' twin."""

    def __init__(self, seed: int = 0) -> None:
        self._n = seed * 1_000_000

    def new(self) -> str:
        self._n += 1
        return str(uuid.UUID(int=self._n))

    def token(self) -> str:
        return self.new().replace("-", "")


def monotonic_s() -> float:
    """Seconds for measuring durations, never for dates."""
    return time.monotonic()
