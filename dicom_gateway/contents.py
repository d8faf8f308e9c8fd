"""An object's bytes, wherever they lie: this host's spool first, then the store."""

from __future__ import annotations

import contextlib
import mmap
import tempfile
from collections.abc import Iterator
from typing import BinaryIO

from center.database import Database
from center.errors import Damaged, NotFound, Unavailable
from center.identity import SYSTEM
from center.objects.checked import checked
from center.ports import Clock, ObjectStore
from center.scrub import note_damage
from dicom_gateway.spool import SLAB_BYTES, Spool
from dicom_gateway.store import QUERIES


class Contents:
    """Reads objects. An object in another host's spool is there, but not here: Unavailable, try again."""

    def __init__(self, database: Database, store: ObjectStore, spool: Spool, clock: Clock) -> None:
        self._database = database
        self._store = store
        self._spool = spool
        self._clock = clock

    def open_range(self, sha256: str, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        """The bytes in pieces; failures come at once, not with the first piece.

        A whole object is compared with its name: its last piece comes only where it is right.
        Raises NotFound, Unavailable, Damaged.
        """
        file = self._spool.open(sha256)
        try:
            pieces = _pieces(file, start, length) if file else iter(self._store.open_range(sha256, start, length))
            if start == 0 and length is None:
                pieces = checked(pieces, sha256, self._note_damage)
            first = next(pieces, b"")
        except NotFound:
            raise self._why_not(sha256) from None
        return _chain(first, pieces)

    def is_right(self, sha256: str) -> bool:
        """Its bytes can be read now and are what the name says; False too where nobody can tell at this moment."""
        try:
            for _ in self.open_range(sha256):
                pass
        except (NotFound, Damaged, Unavailable):
            return False
        return True

    def _note_damage(self, sha256: str) -> None:
        note_damage(self._database, self._clock, sha256)

    def read(self, sha256: str, start: int = 0, length: int | None = None) -> bytes:
        return b"".join(self.open_range(sha256, start, length))

    @contextlib.contextmanager
    def mapped(self, sha256: str) -> Iterator[memoryview]:
        """The whole object as bytes that lie on disk, not in memory."""
        file = self._spool.open(sha256)
        if file is None:
            file = tempfile.TemporaryFile(dir=self._spool.folder)  # noqa: SIM115 - closed by the with below
            for piece in self.open_range(sha256):
                file.write(piece)
            file.flush()
        with file, mapping(file) as view:
            yield view

    def _why_not(self, sha256: str) -> NotFound | Unavailable:
        with self._database.transaction(SYSTEM) as work:
            row = work.one(QUERIES["object"], sha256=sha256)
        if row is not None and row["location"] == "spool":
            return Unavailable(
                "影像刚到另一台服务器，正在移入存储。请 30 秒后再试。",
                "The object has just arrived at another server and is on its way to the store. Try again in 30 seconds.",
            )
        return NotFound("对象不在存储中。", "The object is not in the store.", {"sha256": sha256})


@contextlib.contextmanager
def mapping(file: BinaryIO) -> Iterator[memoryview]:
    """A file's bytes as a view that may not outlive the block."""
    mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    try:
        yield memoryview(mapped)
    finally:
        with contextlib.suppress(BufferError):  # a slice still lives in a header or a traceback: the map goes with it
            mapped.close()


def _pieces(file: BinaryIO, start: int, length: int | None) -> Iterator[bytes]:
    with file:
        file.seek(start)
        left = length
        while left is None or left > 0:
            piece = file.read(SLAB_BYTES if left is None else min(SLAB_BYTES, left))
            if not piece:
                return
            left = None if left is None else left - len(piece)
            yield piece


def _chain(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    if first:
        yield first
    yield from rest
