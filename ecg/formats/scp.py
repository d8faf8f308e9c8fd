"""SCP-ECG (EN 1064, ISO 11073-91064) -> EcgSignal: with its own or the default Huffman tables, first and second
differences, reference beat and bimodal compression.

Sections 9, 12 and above, and those of makers, hold nothing that is shown here; they stay in the original.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from ecg.formats.leads import StoredLead, recording
from ecg.formats.scp_samples import MilliVolts, read_rhythm
from ecg.formats.scp_sections import (
    Demographics,
    Lead,
    language_of,
    looks_like_section_0,
    read_demographics,
    read_leads,
    read_notes,
    read_sections,
)
from ecg.formats.trouble import unreadable
from ecg.signal import MAX_SAMPLES, EcgSignal

_MARK: Final = b"SCPECG"


def looks_like_scp(content: bytes) -> bool:
    """Whether these bytes begin as an SCP-ECG record does, or as a maker's own form of it."""
    return content[16:22] == _MARK or looks_like_section_0(content)


def read_scp(content: bytes, file: str = "ECG") -> EcgSignal:
    """The recording in an SCP-ECG record.  Raises Unreadable, also where a checksum is not that of its bytes."""
    sections = read_sections(content, file)
    if 3 not in sections:
        raise unreadable(
            file, "不含导联定义（第 3 节）", "defines no leads (section 3)", expected="section 3 of EN 1064"
        )
    leads, flags = read_leads(sections[3], file)
    samples = _samples(leads, file)
    rhythm = read_rhythm(sections, leads, flags, file)
    about = read_demographics(sections[1], file) if 1 in sections else Demographics()
    language = language_of(sections[1], file) if 1 in sections else 0
    stored = [
        StoredLead(lead.name, row, rhythm.step_mv)
        for lead, row in zip(leads, _in_time(leads, rhythm.mv, samples), strict=True)
    ]
    return recording(
        file,
        stored,
        rhythm.fs_hz,
        filters=about.filters,
        patient_id=about.patient_id,
        patient_name=about.patient_name,
        sex=about.sex,
        birth_date=about.birth_date,
        age_years=about.age_years,
        recorded_at=about.recorded_at,
        device=about.device,
        annotations=read_notes(sections, language),
        source_format="SCP-ECG",
        is_ecg_by_type=True,
    )


def _samples(leads: tuple[Lead, ...], file: str) -> int:
    """Samples from the first lead's begin to the last one's end.  Raises Unreadable before anything is unpacked."""
    samples = max(lead.end for lead in leads) - min(lead.start for lead in leads) + 1
    if samples * len(leads) > MAX_SAMPLES:
        raise unreadable(
            file,
            f"声明的样本过多：{samples} 个",
            f"declares too many samples: {samples}",
            expected=f"at most {MAX_SAMPLES} samples over all leads",
        )
    return samples


def _in_time(leads: tuple[Lead, ...], mv: tuple[MilliVolts, ...], samples: int) -> list[MilliVolts]:
    """Each lead's samples where they lie in the recording, NaN where that lead was not recorded."""
    first = min(lead.start for lead in leads)
    out: list[MilliVolts] = []
    for lead, values in zip(leads, mv, strict=True):
        row = values
        if values.size != samples:
            row = np.full(samples, np.nan)
            row[lead.start - first : lead.end - first + 1] = values
        out.append(row)
    return out
