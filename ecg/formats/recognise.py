"""Which format a recording is in, told by its content and never by its name -> EcgSignal, or why not."""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from ecg.formats.dicom import looks_like_dicom, read_dicom
from ecg.formats.trouble import EXPORT_DICOM, EXPORT_EITHER, unreadable
from ecg.formats.wfdb import looks_like_header, read_wfdb
from ecg.signal import EcgSignal


class Format(StrEnum):
    """What was recognised; all but the first two are refused by name."""

    DICOM = "DICOM"
    WFDB = "WFDB"
    SCP = "SCP-ECG"
    SCP_LIKE = "SCP-ECG (non-standard)"
    AECG = "HL7 aECG XML"
    MUSE = "GE MUSE XML"
    PHILIPS = "Philips ECG XML"
    XML = "XML"
    EDF = "EDF"
    BDF = "BDF"
    ISHNE = "ISHNE"
    MFER = "MFER"
    PDF = "PDF"
    PICTURE = "JPEG/PNG/TIFF"
    ZIP = "ZIP"
    GZIP = "GZIP"
    EMPTY = "empty"
    UNKNOWN = "unknown"


_READABLE: Final = frozenset({Format.DICOM, Format.WFDB})
_NOT_RECORDINGS: Final = {
    Format.PDF: ("是 PDF 打印件，不含心电数据", "is a PDF print, which holds no ECG samples"),
    Format.PICTURE: ("是图片，不含心电数据", "is a picture, which holds no ECG samples"),
    Format.ZIP: ("是压缩包，须先解压", "is a ZIP archive and must be unpacked first"),
    Format.GZIP: ("是 GZIP 压缩文件，须先解压", "is GZIP-compressed and must be unpacked first"),
    Format.EMPTY: ("是空文件", "is empty"),
}
_EXPECTED: Final = "DICOM ECG (DICM at byte 128), or a WFDB header (.hea) with its signal file (.dat)"
_XML_ROOTS: Final = {"annotatedecg": Format.AECG, "restingecg": Format.MUSE, "restingecgdata": Format.PHILIPS}
_PICTURES: Final = (b"\xff\xd8\xff", b"\x89PNG", b"II*\x00", b"MM\x00*", b"GIF8", b"BM")


def read(files: Mapping[str, bytes]) -> EcgSignal:
    """The one recording in these files: name -> content.  Raises Unreadable, with what a technician can do.

    A WFDB header takes its signal files from among them; annotation files beside it are left alone.
    """
    kinds = {name: recognise(content) for name, content in files.items()}
    headers = [name for name, kind in kinds.items() if kind is Format.WFDB]
    dicoms = [name for name, kind in kinds.items() if kind is Format.DICOM]
    if len(dicoms) > 1 or (dicoms and headers):
        raise unreadable(
            (dicoms + headers)[1], "是另一份心电图，须逐份上传", "is another ECG; recordings are sent one at a time"
        )
    if dicoms:
        return read_dicom(files[dicoms[0]], dicoms[0])
    if headers:
        return read_wfdb(_master(headers, files), files)
    raise _refusal(kinds)


def recognise(content: bytes) -> Format:
    """The format by its content."""
    if not content:
        return Format.EMPTY
    if content[128:132] == b"DICM":  # its preamble may carry another format's mark
        return Format.DICOM
    by_mark = _by_mark(content)
    if by_mark is not None:
        return by_mark
    if looks_like_dicom(content):
        return Format.DICOM
    root = _xml_root(content)
    if root is not None:
        return _XML_ROOTS.get(root, Format.XML)
    if content[:2] == b"\x1f\x8b":
        return _inside_gzip(content)
    return Format.WFDB if looks_like_header(content) else Format.UNKNOWN


def _by_mark(content: bytes) -> Format | None:
    """The formats that begin with a mark of their own."""
    if content[16:22] == b"SCPECG":
        return Format.SCP
    if _is_section_0(content):
        return Format.SCP_LIKE
    if content[:8] == b"0       " and _is_ascii(content[8:256]):
        return Format.EDF
    if content[:8] == b"\xffBIOSEMI":
        return Format.BDF
    if content[:5] == b"ISHNE" or content[:8] == b"ANN  1.0":
        return Format.ISHNE
    if content[:5] == b"@ MFR":
        return Format.MFER
    if b"%PDF-" in content[:1024]:
        return Format.PDF
    if content.startswith(_PICTURES):
        return Format.PICTURE
    return Format.ZIP if content[:4] == b"PK\x03\x04" else None


def _is_section_0(content: bytes) -> bool:
    """Section 0 of SCP-ECG: id 0, a small length, twice the same version (EN 1064 5.2)."""
    length = int.from_bytes(content[10:14], "little")
    return (
        content[8:10] == b"\x00\x00"
        and 16 <= length <= 1024
        and content[14:15] == content[15:16]
        and content[14:15] in (b"\x0a", b"\x0b", b"\x0d", b"\x14", b"\x1e")
    )


def _xml_root(content: bytes) -> str | None:
    """The root element's local name in lower case, None where this isn't XML.  Nothing is parsed or expanded."""
    head = content[:16384]
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        text = head[: len(head) // 2 * 2].decode("utf-16", "replace")
    else:
        text = head.removeprefix(b"\xef\xbb\xbf").decode("latin-1")
    text = text.lstrip()
    if not text.startswith("<"):
        return None
    bare = re.sub(r"<\?.*?\?>|<!--.*?-->|<![^>\[]*(?:\[[^\]]*\])?[^>]*>", "", text, flags=re.DOTALL)
    found = re.search(r"<(?:[\w.-]+:)?([\w.-]+)", bare)
    return found[1].lower() if found else ""


def _inside_gzip(content: bytes) -> Format:
    try:
        head = zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(content[:65536], 65536)
    except zlib.error:
        return Format.GZIP
    inner = recognise(head) if head[:2] != b"\x1f\x8b" else Format.GZIP
    return inner if inner not in _READABLE | {Format.UNKNOWN, Format.EMPTY} else Format.GZIP


def _is_ascii(content: bytes) -> bool:
    return all(32 <= byte < 127 for byte in content)


def _master(headers: list[str], files: Mapping[str, bytes]) -> str:
    """The header that is read: the only one, or the only one that lists the others as its segments."""
    if len(headers) == 1:
        return headers[0]
    masters = [name for name in headers if re.match(rb"(?:\s*#[^\n]*\n)*\s*[^\s/#]+/\d+\s", files[name][:65536])]
    if len(masters) == 1:
        return masters[0]
    raise unreadable(headers[1], "是另一份心电图，须逐份上传", "is another ECG; recordings are sent one at a time")


def _refusal(kinds: Mapping[str, Format]) -> Exception:
    if not kinds:
        return unreadable("-", "没有收到", "was not received", expected=_EXPECTED)
    name, kind = next(((n, k) for n, k in kinds.items() if k is not Format.UNKNOWN), next(iter(kinds.items())))
    todo = EXPORT_DICOM
    if kind is Format.UNKNOWN:
        zh, en, todo = "不是能识别的心电图", "is not an ECG format that is recognised", EXPORT_EITHER
    elif kind in _NOT_RECORDINGS:
        (zh, en), todo = _NOT_RECORDINGS[kind], EXPORT_EITHER
    else:
        zh, en = f"是 {kind} 格式，这里尚不能读取", f"is {kind}, which is not yet readable here"
    return unreadable(name, zh, en, todo=todo, expected=_EXPECTED, at_byte=0)
