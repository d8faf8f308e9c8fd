"""Objects as files of a folder: ``aa/bb/<sha256>``, durable when put returns."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from center.errors import Mismatched, NotFound, Unavailable
from center.files import sync_directory
from center.ports import ObjectInfo

_SLAB_BYTES = 1 << 20
_NAME = re.compile(r"[0-9a-f]{64}")


class DirectoryStore:
    """One folder, one file an object; the temporary part lies in the same file system."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, sha256: str, stream: BinaryIO, size: int) -> None:
        target = self._path(sha256)
        if target.exists():
            return
        self._check_here()
        try:
            self._make(target.parent)
            part = self._folder / f".part-{secrets.token_hex(8)}"
            try:
                self._write(part, sha256, stream)
                os.replace(part, target)
            finally:
                part.unlink(missing_ok=True)
            sync_directory(target.parent)
        except OSError as error:
            raise _away(error) from error

    def open_range(self, sha256: str, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        path = self._path(sha256)
        try:
            file = path.open("rb")
        except FileNotFoundError:
            self._check_here()
            raise NotFound("对象不在存储中。", "The object is not in the store.", {"sha256": sha256}) from None
        except OSError as error:
            raise _away(error) from error
        return _pieces(file, start, length)

    def stat(self, sha256: str) -> ObjectInfo | None:
        try:
            return ObjectInfo(sha256, self._path(sha256).stat().st_size)
        except FileNotFoundError:
            self._check_here()
            return None
        except OSError as error:
            raise _away(error) from error

    def delete(self, sha256: str) -> None:
        try:
            self._path(sha256).unlink(missing_ok=True)
        except OSError as error:
            raise _away(error) from error

    def list(self) -> Iterator[str]:
        self._check_here()
        for path in sorted(self._folder.glob("[0-9a-f][0-9a-f]/[0-9a-f][0-9a-f]/*")):
            if _NAME.fullmatch(path.name):
                yield path.name

    def _check_here(self) -> None:
        """Raises Unavailable where the folder is gone: a disk that is not mounted must not be written beside."""
        if not self._folder.is_dir():
            raise _away(FileNotFoundError())

    def _path(self, sha256: str) -> Path:
        if not _NAME.fullmatch(sha256):
            raise Mismatched("对象名不是 SHA-256。", "An object's name is a SHA-256.", {"name": sha256[:80]})
        return self._folder / sha256[:2] / sha256[2:4] / sha256

    def _make(self, folder: Path) -> None:
        missing = [p for p in (folder, *folder.parents) if not p.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        for made in missing:
            sync_directory(made.parent)

    def _write(self, part: Path, sha256: str, stream: BinaryIO) -> None:
        digest = hashlib.sha256()
        fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(fd, "wb", buffering=0) as file:
            while slab := stream.read(_SLAB_BYTES):
                digest.update(slab)
                file.write(slab)
            os.fdatasync(file.fileno())
        if digest.hexdigest() != sha256:
            raise Mismatched(
                "对象内容与其名称不符。", "The object's content is not what its name says.", {"named": sha256, "found": digest.hexdigest()}
            )  # fmt: skip


def _pieces(file: BinaryIO, start: int, length: int | None) -> Iterator[bytes]:
    with file:
        file.seek(start)
        left = length
        while left is None or left > 0:
            piece = file.read(_SLAB_BYTES if left is None else min(_SLAB_BYTES, left))
            if not piece:
                return
            left = None if left is None else left - len(piece)
            yield piece


def _away(error: OSError) -> Unavailable:
    return Unavailable(
        "对象存储暂时不可用。已收到的内容保存在本机，存储恢复后移入。",
        "The object store cannot be reached. What arrived is kept here and moved when the store is back.",
        {"cause": type(error).__name__},
    )
