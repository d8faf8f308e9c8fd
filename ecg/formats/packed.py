"""Files that are packed once (GZIP, ZIP) -> the files in them, within bounds of size, number and ratio."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Mapping
from typing import Final

from center.errors import Unreadable
from ecg.formats.trouble import EXPORT_AGAIN, unreadable

MAX_UNPACKED_BYTES: Final = 400 << 20
_MAX_RATIO: Final = 100
_FREE_BYTES: Final = 1 << 20  # below this any ratio is harmless
_MAX_FILES: Final = 200
_STEP_BYTES: Final = 1 << 20
_METHODS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ZIP_TROUBLE: Final = (
    *(zipfile.BadZipFile, zlib.error, struct.error, ValueError, KeyError, IndexError),
    *(NotImplementedError, RuntimeError, EOFError, OSError, OverflowError),
)


def is_gzip(content: bytes) -> bool:
    """Whether these bytes begin as a GZIP file does."""
    return content[:3] == b"\x1f\x8b\x08"


def is_zip(content: bytes) -> bool:
    """Whether these bytes begin as a ZIP archive does, an empty one too."""
    return content[:4] in (b"PK\x03\x04", b"PK\x05\x06")


def unpacked(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """The same files with each packed one replaced by what's in it, once.  Raises Unreadable."""
    out: dict[str, bytes] = {}
    for name, content in files.items():
        if is_gzip(content):
            inner = {name.removesuffix(".gz"): gunzipped(content, name)}
        elif is_zip(content):
            inner = _unzipped(content, name)
        else:
            inner = {name: content}
        for key, value in inner.items():
            out[key if key not in out else f"{name}/{key}"] = value
    return out


def gunzipped(content: bytes, file: str) -> bytes:
    """What a GZIP file holds, checksum and all.  Raises Unreadable."""
    limit = _limit(len(content))
    unpacker = zlib.decompressobj(zlib.MAX_WBITS | 16)
    pieces: list[bytes] = []
    size = 0
    pending = content
    try:
        while not unpacker.eof:
            piece = unpacker.decompress(pending, _STEP_BYTES)
            pending = unpacker.unconsumed_tail
            size += len(piece)
            if size > limit:
                raise _too_much(file)
            pieces.append(piece)
            if not piece and not pending:
                raise zlib.error("cut off")
    except zlib.error:
        raise _damaged(file, "GZIP") from None
    if unpacker.unused_data.strip(b"\0"):
        raise unreadable(
            file, "含有不止一个压缩部分", "holds more than one packed part", expected="one file in one GZIP"
        )
    return b"".join(pieces)


def _unzipped(content: bytes, file: str) -> dict[str, bytes]:
    """name -> content of the files in an archive; folders and what macOS adds are left out."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = [m for m in archive.infolist() if not m.is_dir() and not m.filename.startswith("__MACOSX/")]
            if len(members) > _MAX_FILES or len({m.filename for m in members}) != len(members):
                raise unreadable(
                    file,
                    f"中有 {len(members)} 个文件，须只含一份心电图",
                    f"holds {len(members)} files; it should hold one ECG",
                    expected="one recording",
                )
            return _contents(archive, members, _limit(len(content)), file)
    except _ZIP_TROUBLE:
        raise _damaged(file, "ZIP") from None


def _contents(archive: zipfile.ZipFile, members: list[zipfile.ZipInfo], limit: int, file: str) -> dict[str, bytes]:
    out: dict[str, bytes] = {}
    for member in members:
        if member.flag_bits & 1 or member.compress_type not in _METHODS:
            raise unreadable(
                file,
                "是加密或特殊压缩的 ZIP，不能读取",
                "is an encrypted or unusually packed ZIP, which cannot be read",
                expected="a plain ZIP",
            )
        if member.file_size > limit:
            raise _too_much(file)
        with archive.open(member) as source:
            out[member.filename] = source.read(limit + 1)
        limit -= len(out[member.filename])
        if limit < 0:
            raise _too_much(file)
    return out


def _limit(packed_bytes: int) -> int:
    return min(MAX_UNPACKED_BYTES, max(_FREE_BYTES, packed_bytes * _MAX_RATIO))


def _too_much(file: str) -> Unreadable:
    return unreadable(
        file,
        f"解压后过大（上限 {MAX_UNPACKED_BYTES >> 20} MB，且不超过压缩包的 {_MAX_RATIO} 倍）",
        f"is too large when unpacked (at most {MAX_UNPACKED_BYTES >> 20} MB and {_MAX_RATIO} times the archive)",
        expected="one ECG",
    )


def _damaged(file: str, kind: str) -> Unreadable:
    return unreadable(
        file,
        f"是损坏或不完整的 {kind} 文件",
        f"is a damaged or incomplete {kind} file",
        todo=EXPORT_AGAIN,
        expected=f"a whole {kind} file",
    )
