"""Edan (理邦) Holter recordings: recognised, and refused by name, since nobody has published their scale.

Edan's electrocardiographs export aECG, SCP-ECG and DICOM, and XML that is read by its shape (``vendor_xml``).  The
SE-2012 Holter's ``patient.hea`` with ``ecgraw.dat`` is described publicly but for its microvolts a count (Bourke 2021).
"""

from __future__ import annotations

import struct
from typing import Final

from ecg.formats.trouble import unreadable
from ecg.signal import EcgSignal

_HEADER_BYTES: Final = 3672
_EPOCHS_S: Final = (631_152_000, 3_155_760_000)  # 1990 to 2070, seconds of 1970
_RATES_HZ: Final = (100, 128, 200, 250, 256, 500, 1000)


def looks_like_edan_holter(content: bytes) -> bool:
    """Whether these bytes are the header of an SE-2012 Holter: two plausible times, 3 or 12 channels, a known rate."""
    if not _HEADER_BYTES <= len(content) <= 2 * _HEADER_BYTES:
        return False
    start, end = struct.unpack_from("<II", content, 4)
    (rate_hz,) = struct.unpack_from("<h", content, 32)
    return _EPOCHS_S[0] <= start < end <= _EPOCHS_S[1] and content[12] in (3, 12) and rate_hz in _RATES_HZ


def read_edan_holter(content: bytes, file: str = "ECG") -> EcgSignal:
    """Never a recording: raises Unreadable with what to export instead."""
    raise unreadable(
        file,
        "是理邦动态心电的头文件，其幅度比例没有公开，无法换算为毫伏",
        "is the header of an Edan Holter recording, whose scale is not published, so it cannot be shown in millivolts",
        todo=(
            "请用理邦软件导出 DICOM、SCP-ECG、aECG 或 EDF",
            "Export DICOM, SCP-ECG, aECG or EDF from Edan's software",
        ),
        expected=f"a scale; {len(content)} bytes have none",
    )
