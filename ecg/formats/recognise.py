"""Which format a recording is in, told by its content and never by its name -> EcgSignal, or why not."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Final

from center.errors import Unreadable
from ecg.formats.aecg import read_aecg
from ecg.formats.csv_text import looks_like_csv, read_csv
from ecg.formats.dicom import looks_like_dicom, read_dicom
from ecg.formats.edan import looks_like_edan_holter, read_edan_holter
from ecg.formats.edf import looks_like_edf, read_edf
from ecg.formats.ishne import looks_like_ishne, read_ishne
from ecg.formats.mfer import looks_like_mfer, read_mfer
from ecg.formats.mortara import looks_like_mortara, read_mortara
from ecg.formats.muse import read_muse
from ecg.formats.packed import is_gzip, is_zip, unpacked
from ecg.formats.philips import read_philips
from ecg.formats.scp import looks_like_scp, read_scp
from ecg.formats.trouble import unreadable
from ecg.formats.vendor_xml import read_vendor_xml
from ecg.formats.wfdb import base_name, looks_like_header, read_wfdb, signal_files
from ecg.formats.xml_bounded import xml_root_name
from ecg.signal import EcgSignal


class Format(StrEnum):
    """What was recognised."""

    DICOM = "DICOM"
    WFDB = "WFDB"
    SCP = "SCP-ECG"
    SCP_LIKE = "SCP-ECG (non-standard)"
    AECG = "HL7 aECG XML"
    MUSE = "GE MUSE XML"
    PHILIPS = "Philips ECG XML"
    MORTARA = "Mortara XML"
    XML = "XML"
    CSV = "CSV"
    EDAN_HOLTER = "Edan Holter"
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


_READERS: Final[dict[Format, Callable[[bytes, str], EcgSignal]]] = {
    Format.DICOM: read_dicom,
    Format.AECG: read_aecg,
    Format.MUSE: read_muse,
    Format.PHILIPS: read_philips,
    Format.MORTARA: read_mortara,
    Format.SCP: read_scp,
    Format.SCP_LIKE: read_scp,
    Format.EDF: read_edf,
    Format.BDF: read_edf,
    Format.ISHNE: read_ishne,
    Format.MFER: read_mfer,
    Format.EDAN_HOLTER: read_edan_holter,
    Format.XML: read_vendor_xml,
    Format.CSV: read_csv,
}
_WEAK: Final = (Format.XML, Format.CSV)
"""What also stands beside a recording without being one: settings, tables of results."""
_NOT_RECORDINGS: Final = {
    Format.PDF: ("是 PDF 打印件，不含心电数据", "is a PDF print, which holds no ECG samples"),
    Format.PICTURE: ("是图片，不含心电数据", "is a picture, which holds no ECG samples"),
    Format.ZIP: ("是压缩包中的压缩包", "is an archive in an archive"),
    Format.GZIP: ("是压缩文件中的压缩文件", "is packed twice"),
    Format.EMPTY: ("是空文件", "is empty"),
}
READABLE: Final = (
    *(Format.DICOM, Format.SCP, Format.AECG, Format.MUSE, Format.PHILIPS, Format.MORTARA, Format.ISHNE),
    *(Format.EDF, Format.BDF, Format.MFER, Format.WFDB, Format.XML, Format.CSV),
)
"""What can be read, as a refusal lists it."""
_EXPORT_READABLE: Final = (
    f"请从设备导出其中一种：{'、'.join(READABLE)}（WFDB 须把 .hea 与 .dat 一起上传）",
    f"Export one of these from the device: {', '.join(READABLE)} (WFDB: send the .hea with its .dat)",
)
_EXPECTED: Final = ", ".join(READABLE)
_XML_ROOTS: Final = {"annotatedecg": Format.AECG, "restingecg": Format.MUSE, "restingecgdata": Format.PHILIPS}
_PICTURES: Final = (b"\xff\xd8\xff", b"\x89PNG", b"II*\x00", b"MM\x00*", b"GIF8")


def read(files: Mapping[str, bytes]) -> EcgSignal:
    """The one recording in these files: name -> content.  Raises Unreadable, with what a technician can do.

    A file packed by GZIP or ZIP is unpacked first.  A WFDB header takes its signal files from among the files;
    annotation files and prints beside a recording are left alone.
    """
    files = unpacked(files)
    kinds = {name: recognise(content) for name, content in files.items()}
    headers = [name for name, kind in kinds.items() if kind is Format.WFDB]
    signals = frozenset[str]().union(*(signal_files(files[name]) for name in headers))
    kinds = {name: kind for name, kind in kinds.items() if base_name(name) not in signals}
    others = [name for name, kind in kinds.items() if kind in _READERS and kind not in _WEAK]
    if not others and not headers:
        others = [name for name, kind in kinds.items() if kind in _WEAK]
    if len(others) > 1 or (others and headers):
        raise unreadable(
            (others + headers)[1], "是另一份心电图，须逐份上传", "is another ECG; recordings are sent one at a time"
        )
    if others:
        return _READERS[kinds[others[0]]](files[others[0]], others[0])
    if headers:
        return read_wfdb(_master(headers, files), files)
    raise _refusal(kinds)


def recognise(content: bytes) -> Format:
    """The format by its content; of a GZIP file, the format of what's in it where that's readable."""
    if not content:
        return Format.EMPTY
    if content[128:132] == b"DICM":  # its preamble may carry another format's mark
        return Format.DICOM
    by_mark = _by_mark(content)
    if by_mark is not None:
        return by_mark
    if looks_like_dicom(content):
        return Format.DICOM
    root = xml_root_name(content)
    if root == "ecg" and looks_like_mortara(content[:65536]):
        return Format.MORTARA
    if root is not None:
        return _XML_ROOTS.get(root, Format.XML)
    return _by_structure(content)


def _by_structure(content: bytes) -> Format:
    """The formats that have no mark, only a structure."""
    if looks_like_header(content):
        return Format.WFDB
    if looks_like_edan_holter(content):
        return Format.EDAN_HOLTER
    return Format.CSV if looks_like_csv(content) else Format.UNKNOWN


def _by_mark(content: bytes) -> Format | None:
    """The formats that begin with a mark of their own."""
    if looks_like_scp(content):
        return Format.SCP if content[16:22] == b"SCPECG" else Format.SCP_LIKE
    if looks_like_edf(content):
        return Format.BDF if content[:1] == b"\xff" else Format.EDF
    if looks_like_ishne(content):
        return Format.ISHNE
    if looks_like_mfer(content):
        return Format.MFER
    if b"%PDF-" in content[:1024]:
        return Format.PDF
    if content.startswith(_PICTURES) or (content[:2] == b"BM" and content[6:10] == bytes(4)):
        return Format.PICTURE
    if is_gzip(content):
        return Format.GZIP
    return Format.ZIP if is_zip(content) else None


def _master(headers: list[str], files: Mapping[str, bytes]) -> str:
    """The header that is read: the only one, or the only one that lists the others as its segments."""
    if len(headers) == 1:
        return headers[0]
    masters = [name for name in headers if re.match(rb"(?:\s*#[^\n]*\n)*\s*[^\s/#]+/\d+\s", files[name][:65536])]
    if len(masters) == 1:
        return masters[0]
    raise unreadable(headers[1], "是另一份心电图，须逐份上传", "is another ECG; recordings are sent one at a time")


def _refusal(kinds: Mapping[str, Format]) -> Unreadable:
    if not kinds:
        return unreadable(
            "-", "没有收到，或压缩包是空的", "was not received, or the archive is empty", expected=_EXPECTED
        )
    name, kind = next(((n, k) for n, k in kinds.items() if k is not Format.UNKNOWN), next(iter(kinds.items())))
    if kind in _NOT_RECORDINGS:
        zh, en = _NOT_RECORDINGS[kind]
    elif kind is Format.UNKNOWN:
        zh, en = "不是能识别的心电图", "is not an ECG format that is recognised"
    else:
        zh, en = f"是 {kind} 格式，这里不能读取", f"is {kind}, which is not readable here"
    return unreadable(name, zh, en, todo=_EXPORT_READABLE, expected=_EXPECTED, at_byte=0)
