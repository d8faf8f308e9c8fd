"""This host's spool: one file an arriving object, flushed before anyone is told, reclaimed after a crash."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from center.errors import Failure, NoRoom, Unavailable
from center.files import sync_directory, write_private_once

SLAB_BYTES = 1 << 20
_CHECK_EVERY_BYTES = 64 << 20
_RESERVE_BYTES = 2 << 30
_NAME = re.compile(r"[0-9a-f]{64}")
#: Left over from a dead process when older than this, s.
ABANDONED_S = 3600.0

FreeSpace = Callable[[Path], tuple[int, int]]


def disk_space(folder: Path) -> tuple[int, int]:
    """(free, total) bytes of the folder's file system."""
    usage = shutil.disk_usage(folder)
    return usage.free, usage.total


class Spool:
    """A folder on a local disk. Each host has its own; ``host`` names it in the objects' rows."""

    def __init__(self, folder: Path, *, reserve_bytes: int | None = None, space: FreeSpace = disk_space) -> None:
        self._folder = folder
        self._reserve = reserve_bytes
        self._space = space
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_private_once(folder / "host", secrets.token_hex(8))
            self.host = (folder / "host").read_text().strip()
        except OSError as error:
            raise away(error) from error

    @property
    def folder(self) -> Path:
        return self._folder

    def free_bytes(self) -> int:
        """Of the spool's disk.  Raises Unavailable."""
        return self._room()[0]

    def _room(self) -> tuple[int, int]:
        try:
            return self._space(self._folder)
        except OSError as error:
            raise away(error) from error

    def check_room(self) -> None:
        """Returns while the disk's reserve is not reached.  Raises NoRoom, Unavailable."""
        free, total = self._room()
        reserve = self._reserve if self._reserve is not None else min(_RESERVE_BYTES, total // 20)
        if free < reserve:
            raise NoRoom(
                "中心磁盘空间不足，未接收。请通知管理员，5 分钟后再试。",
                "The center's disk has reached its reserve; nothing was taken in. Tell the administrator, try again in 5 minutes.",
                {"free_bytes": free, "reserve_bytes": reserve},
            )

    def begin(self) -> Piece:
        """A new, empty file.  Raises NoRoom, Unavailable."""
        self.check_room()
        return Piece(self, self._folder)

    def path(self, sha256: str) -> Path:
        if not _NAME.fullmatch(sha256):
            raise ValueError("an object's name is a SHA-256")
        return self._folder / sha256[:2] / sha256

    def open(self, sha256: str) -> BinaryIO | None:
        """The object where this host still holds it, else None."""
        try:
            return self.path(sha256).open("rb")
        except FileNotFoundError:
            return None
        except OSError as error:
            raise away(error) from error

    def drop(self, sha256: str) -> None:
        self.path(sha256).unlink(missing_ok=True)

    def kept(self) -> Iterator[str]:
        """Names of the objects that lie here."""
        for path in self._folder.glob("[0-9a-f][0-9a-f]/*"):
            if _NAME.fullmatch(path.name):
                yield path.name

    def age_s(self, sha256: str) -> float:
        try:
            return self._now() - self.path(sha256).stat().st_mtime
        except FileNotFoundError:
            return 0.0

    def _now(self) -> float:
        """The present by the file system's own clock, s: a file made now is compared with the others."""
        probe = self._folder / f"{secrets.token_hex(12)}.now"
        probe.touch(mode=0o600)
        at = probe.stat().st_mtime
        probe.unlink(missing_ok=True)
        return at

    def drop_parts(self, older_than_s: float = ABANDONED_S) -> int:
        """Removes pieces that a dead process left; how many."""
        count = 0
        for path in self._folder.glob("*.part"):
            try:
                if self._now() - path.stat().st_mtime >= older_than_s:
                    path.unlink()
                    count += 1
            except FileNotFoundError:
                continue
        return count


class Piece:
    """One arriving object: written in slabs, hashed on the way, kept under its digest or dropped."""

    def __init__(self, spool: Spool, folder: Path) -> None:
        self._spool = spool
        self.path = folder / f"{secrets.token_hex(12)}.part"
        self._digest = hashlib.sha256()
        self.size = 0
        self.names: tuple[str, str] = ("", "")  # class and instance by its header, once it was looked at
        self.superfluous = False  # its bytes lie in the store or at another host already
        self._checked = 0
        self._kept = False
        try:
            self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError as error:
            raise away(error) from error
        self._open = True

    def write(self, slab: bytes | memoryview) -> None:
        """Raises NoRoom, Unavailable."""
        try:
            view = memoryview(slab)
            while view:
                view = view[os.write(self._fd, view) :]
        except OSError as error:
            raise away(error) from error
        self._digest.update(slab)
        self.size += len(slab)
        if self.size - self._checked >= _CHECK_EVERY_BYTES:
            self._checked = self.size
            self._spool.check_room()

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    def replace_head(self, head: bytes, dataset_offset: int) -> None:
        """The same data set behind this head, in a file of its own; flushed when it returns.  Raises NoRoom, Unavailable."""
        other = Piece(self._spool, self.path.parent)
        try:
            other.write(head)
            at = dataset_offset
            while slab := os.pread(self._fd, SLAB_BYTES, at):
                other.write(slab)
                at += len(slab)
            other.flush()
        except BaseException:
            other.close()
            raise
        self.close()
        self.path, self._fd, self._digest, self.size, self._open = (
            other.path,
            other._fd,
            other._digest,
            other.size,
            True,
        )

    def digest_from(self, start: int) -> str:
        """sha256 of what follows this byte; read in slabs, so that a large object does not fill the memory."""
        digest = hashlib.sha256()
        at = start
        while slab := os.pread(self._fd, SLAB_BYTES, at):
            digest.update(slab)
            at += len(slab)
        return digest.hexdigest()

    def fileno(self) -> int:
        return self._fd

    def flush(self) -> None:
        """The content is on disk when it returns."""
        try:
            os.fdatasync(self._fd)
        except OSError as error:
            raise away(error) from error

    def keep(self) -> None:
        """Under its digest when it returns, name and directory entry on disk; the content was flushed before."""
        if self._kept:
            return
        target = self._spool.path(self.sha256)
        try:
            if not target.parent.is_dir():
                target.parent.mkdir(mode=0o700, exist_ok=True)
                sync_directory(self._spool.folder)
            os.replace(self.path, target)
            sync_directory(target.parent)
        except OSError as error:
            raise away(error) from error
        self._kept = True

    def drop_if_superfluous(self) -> None:
        """After the commit: the same bytes are safe elsewhere."""
        if self.superfluous:
            self._spool.drop(self.sha256)

    def close(self) -> None:
        """Ends it; a piece that was not kept is removed."""
        if self._open:
            self._open = False
            os.close(self._fd)
            self.path.unlink(missing_ok=True)


def away(error: OSError) -> Failure:
    """What a failing spool disk means to the sender."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return NoRoom(
            "中心磁盘已满，未接收。请通知管理员，5 分钟后再试。",
            "The center's disk is full; nothing was taken in. Tell the administrator, try again in 5 minutes.",
        )
    return Unavailable(
        "中心接收区暂时不可用，没有保存任何内容。请 1 分钟后再试。",
        "The center's spool cannot be reached; nothing was saved. Try again in 1 minute.",
        {"cause": type(error).__name__},
    )
