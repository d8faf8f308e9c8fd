"""Bytes compared with the name that they lie under, as they are read whole."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import BinaryIO

from center.errors import Damaged, Failure, NotFound
from center.ports import ObjectInfo, ObjectStore

#: Told the SHA-256 of an object whose bytes are not what its name says.
OnDamage = Callable[[str], None]


class CheckedStore:
    """A store whose whole objects are what their names say; parts of them are passed on as they are (``scrub`` reads
    everything in its time)."""

    def __init__(self, store: ObjectStore, on_damage: OnDamage) -> None:
        self._store = store
        self._on_damage = on_damage

    def put(self, sha256: str, stream: BinaryIO, size: int) -> None:
        self._store.put(sha256, stream, size)

    def open_range(self, sha256: str, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        """The bytes in pieces.  Raises NotFound; Damaged before the last piece of a whole object that isn't right."""
        pieces = self._store.open_range(sha256, start, length)
        return checked(pieces, sha256, self._on_damage) if start == 0 and length is None else pieces

    def stat(self, sha256: str) -> ObjectInfo | None:
        return self._store.stat(sha256)

    def delete(self, sha256: str) -> None:
        self._store.delete(sha256)

    def list(self) -> Iterator[str]:
        return self._store.list()


def checked(pieces: Iterator[bytes], sha256: str, on_damage: OnDamage) -> Iterator[bytes]:
    """The pieces; the last is held back until all of them are known to be right.  Raises Damaged."""
    digest, held = hashlib.sha256(), b""
    for piece in pieces:
        if held:
            yield held
        digest.update(piece)
        held = piece
    if digest.hexdigest() != sha256:
        on_damage(sha256)
        raise damaged(sha256)
    if held:
        yield held


def is_right(store: ObjectStore, sha256: str) -> bool:
    """The object is there and its bytes are what its name says.  Raises Unavailable."""
    try:
        for _ in checked(store.open_range(sha256), sha256, lambda _: None):
            pass
    except (NotFound, Damaged):
        return False
    return True


def damaged(sha256: str) -> Failure:
    return Damaged(
        "保存的内容已损坏，与接收时不同，不予显示。管理员页面已记录；请让送检端重新发送，或从备份恢复。",
        "What is kept here is damaged, it is not what was received, and is not shown. The administrator's page names it; "
        "have it sent again, or bring it back from a backup.",
        {"sha256": sha256},
    )
