"""Passwords by argon2, in a pool of its own: a flood of strangers never keeps a signer waiting, nor the machine busy."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import argon2

from center.errors import Invalid, OverLimit

MIN_PASSWORD = 10
#: 19 MiB, t=2, p=1: OWASP's first choice for argon2id; two at once keep the machine usable.
_HASHER = argon2.PasswordHasher(time_cost=2, memory_cost=19456, parallelism=1)
_PLACES = threading.BoundedSemaphore(2)
#: Who is not signed in yet takes one place at most: the other is kept for those who sign reports.
_STRANGERS = threading.BoundedSemaphore(1)
#: So many strangers may wait; one more is told to come back, and holds no thread that serves pages.
_WAITING = threading.BoundedSemaphore(8)
_STRANGER_WAITS_S, _SIGNER_WAITS_S = 5.0, 15.0
_NOBODY = _HASHER.hash(secrets.token_urlsafe(16))  # spends the same time on unknown names


def hashed(password: str) -> str:
    """Raises Invalid where it is too short."""
    if len(password) < MIN_PASSWORD:
        raise Invalid(f"密码至少 {MIN_PASSWORD} 个字符。", f"A password has at least {MIN_PASSWORD} characters.")
    with _place(_SIGNER_WAITS_S):
        return _HASHER.hash(password)


def fits_of_stranger(kept: str | None, password: str) -> bool:
    """kept: None for a name that nobody has; False then, after the same time.  Raises OverLimit (too many at once)."""
    if not _WAITING.acquire(blocking=False):
        raise _busy()
    try:
        if not _STRANGERS.acquire(timeout=_STRANGER_WAITS_S):
            raise _busy()
        try:
            with _place(_STRANGER_WAITS_S):
                return _verified(kept or _NOBODY, password) and kept is not None
        finally:
            _STRANGERS.release()
    finally:
        _WAITING.release()


def fits(kept: str, password: str) -> bool:
    """Of somebody who is signed in.  Raises OverLimit."""
    with _place(_SIGNER_WAITS_S):
        return _verified(kept, password)


@contextmanager
def _place(wait_s: float) -> Iterator[None]:
    if not _PLACES.acquire(timeout=wait_s):
        raise _busy()
    try:
        yield
    finally:
        _PLACES.release()


def _verified(kept: str, password: str) -> bool:
    try:
        return _HASHER.verify(kept, password)
    except argon2.exceptions.VerifyMismatchError:
        return False


def _busy() -> OverLimit:
    return OverLimit(
        "登录的人太多，请 1 分钟后再试。", "Too many people are signing in; try again in a minute.", {"cause": "busy"}
    )
