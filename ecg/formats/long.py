"""Recordings too long to be held at once: which format it is -> ``LongSignal``, from mapped files as from bytes."""

from __future__ import annotations

from collections.abc import Mapping

from ecg.formats.dicom import looks_like_dicom, open_dicom
from ecg.formats.edf import looks_like_edf, open_edf
from ecg.formats.ishne import looks_like_ishne, open_ishne
from ecg.formats.long_signal import Block, Buffer, LongSignal
from ecg.formats.trouble import unreadable
from ecg.formats.wfdb import base_name, looks_like_header, master_of, signal_files
from ecg.formats.wfdb_blocks import open_wfdb

__all__ = ["Block", "Buffer", "LongSignal", "open_long"]

_HEAD_BYTES = 65536


def open_long(files: Mapping[str, Buffer]) -> LongSignal | None:
    """The one recording in these files: name -> content (bytes, memoryview or mmap, which must stay open).

    None where it is in a format that is only read whole.  Raises Unreadable for what is damaged, or more than one.
    """
    found: list[tuple[str, str]] = []
    for name, content in files.items():
        head = bytes(content[:_HEAD_BYTES])
        if looks_like_dicom(head):
            found.append((name, "dicom"))
        elif looks_like_edf(head):
            found.append((name, "edf"))
        elif looks_like_ishne(head):
            found.append((name, "ishne"))
        elif looks_like_header(head):
            found.append((name, "wfdb"))
    headers = [name for name, kind in found if kind == "wfdb"]
    signals = frozenset[str]().union(*(signal_files(bytes(files[name][:_HEAD_BYTES])) for name in headers))
    others = [(name, kind) for name, kind in found if kind != "wfdb" and base_name(name) not in signals]
    if len(others) > 1 or (others and headers):
        raise unreadable(
            (others + [(name, "") for name in headers])[1][0],
            "是另一份记录，须逐份上传",
            "is another recording; they are sent one at a time",
        )
    if others:
        name, kind = others[0]
        return {"dicom": open_dicom, "edf": open_edf, "ishne": open_ishne}[kind](files[name], name)
    if not headers:
        return None
    return open_wfdb(master_of(headers, {name: bytes(files[name][:_HEAD_BYTES]) for name in headers}), files)
