"""Objects in an S3 bucket, through the ``minio`` client."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from typing import BinaryIO

import urllib3
from minio import Minio
from minio.error import MinioException, S3Error

from center.errors import Mismatched, NotFound, Unavailable
from center.ports import ObjectInfo

_SLAB_BYTES = 1 << 20
_PART_BYTES = 16 << 20
_NAME = re.compile(r"[0-9a-f]{64}")
_KEY = re.compile(r"[0-9a-f]{2}/[0-9a-f]{2}/[0-9a-f]{64}")


class S3Store:
    """One bucket, one key an object (``aa/bb/<sha256>`` after the prefix)."""

    def __init__(self, endpoint: str, bucket: str, access_key: str, secret_key: str, prefix: str = "") -> None:
        secure = endpoint.startswith("https://")
        host = endpoint.split("://", 1)[-1].rstrip("/")
        http = urllib3.PoolManager(
            timeout=urllib3.Timeout(connect=3, read=30), retries=urllib3.Retry(total=1, backoff_factor=0.2), maxsize=16
        )
        self._client = Minio(host, access_key=access_key, secret_key=secret_key, secure=secure, http_client=http)
        self._bucket = bucket
        self._prefix = prefix

    def put(self, sha256: str, stream: BinaryIO, size: int) -> None:
        if self.stat(sha256) is not None:
            return
        reader = _Hashing(stream)
        try:
            self._client.put_object(self._bucket, self._key(sha256), reader, size, part_size=_PART_BYTES)  # type: ignore[arg-type]
        except _AWAY as error:
            raise _away(error) from error
        if reader.digest.hexdigest() != sha256:
            self.delete(sha256)
            raise Mismatched(
                "对象内容与其名称不符。", "The object's content is not what its name says.",
                {"named": sha256, "found": reader.digest.hexdigest()},
            )  # fmt: skip

    def open_range(self, sha256: str, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        if length == 0:
            return iter(())
        try:
            answer = self._client.get_object(self._bucket, self._key(sha256), offset=start, length=length or 0)
        except S3Error as error:
            if error.code in ("NoSuchKey", "NoSuchObject"):
                raise NotFound("对象不在存储中。", "The object is not in the store.", {"sha256": sha256}) from None
            if error.code == "InvalidRange":
                return iter(())
            raise _away(error) from error
        except _AWAY as error:
            raise _away(error) from error
        return _pieces(answer)

    def stat(self, sha256: str) -> ObjectInfo | None:
        try:
            found = self._client.stat_object(self._bucket, self._key(sha256))
        except S3Error as error:
            if error.code in ("NoSuchKey", "NoSuchObject"):
                return None
            raise _away(error) from error
        except _AWAY as error:
            raise _away(error) from error
        return ObjectInfo(sha256, int(found.size or 0))

    def delete(self, sha256: str) -> None:
        try:
            self._client.remove_object(self._bucket, self._key(sha256))
        except _AWAY as error:
            raise _away(error) from error

    def list(self) -> Iterator[str]:
        try:
            for item in self._client.list_objects(self._bucket, prefix=self._prefix or None, recursive=True):
                key = (item.object_name or "").removeprefix(self._prefix)
                if _KEY.fullmatch(key):
                    yield key[-64:]
        except _AWAY as error:
            raise _away(error) from error

    def _key(self, sha256: str) -> str:
        if not _NAME.fullmatch(sha256):
            raise Mismatched("对象名不是 SHA-256。", "An object's name is a SHA-256.", {"name": sha256[:80]})
        return f"{self._prefix}{sha256[:2]}/{sha256[2:4]}/{sha256}"

    def make_bucket(self) -> None:
        """The bucket exists afterwards."""
        try:
            if not self._client.bucket_exists(self._bucket):
                self._client.make_bucket(self._bucket)
        except _AWAY as error:
            raise _away(error) from error


class _Hashing:
    """The stream, hashed as the client reads it."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.digest = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        piece = self._stream.read(size)
        self.digest.update(piece)
        return piece


def _pieces(answer: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
    try:
        yield from answer.stream(_SLAB_BYTES)
    except urllib3.exceptions.HTTPError as error:
        raise _away(error) from error
    finally:
        answer.close()
        answer.release_conn()


_AWAY = (MinioException, urllib3.exceptions.HTTPError, OSError)


def _away(error: Exception) -> Unavailable:
    return Unavailable(
        "对象存储暂时不可用。已收到的内容保存在本机，存储恢复后移入。",
        "The object store cannot be reached. What arrived is kept here and moved when the store is back.",
        {"cause": type(error).__name__},
    )
