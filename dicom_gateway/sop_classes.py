"""Which objects are something to read, and what the others are.

A case is opened by what a person reads: an image or a recording.  What only describes, marks, plans or reports on such
objects opens none and is no late image; it lies beside the study.  A class that is in no table is read: nothing that
anybody sends is lost for want of a line here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_ROOT: Final = "1.2.840.10008.5.1.4."
#: Beginning of a SOP Class UID -> what such an object is (PS3.4 table B.5-1, PS3.6 annex A; IODs in PS3.3 annex A).
#: An entry ends in a dot where it stands for all classes below it.
BESIDE: Final[Mapping[str, str]] = {
    f"{_ROOT}1.1.88.59": "key_objects",  # Key Object Selection (A.35.4)
    f"{_ROOT}1.1.88.": "report",  # structured reports: dose, CAD, measurements, logs (A.35)
    f"{_ROOT}1.1.11.": "presentation",  # softcopy presentation states (A.33)
    f"{_ROOT}1.1.9.100.": "presentation",  # waveform presentation states (A.33)
    f"{_ROOT}1.1.131": "presentation",  # Basic Structured Display (A.33)
    f"{_ROOT}1.1.8": "presentation",  # standalone overlay, retired
    f"{_ROOT}1.1.10": "presentation",  # standalone modality LUT, retired
    f"{_ROOT}1.1.11": "presentation",  # standalone VOI LUT, retired
    f"{_ROOT}1.1.481.1": "",  # RT Image: a picture (A.17)
    f"{_ROOT}1.1.481.23": "",  # Enhanced RT Image (A.86)
    f"{_ROOT}1.1.481.24": "",  # Enhanced Continuous RT Image (A.86)
    f"{_ROOT}1.1.481.": "radiotherapy",  # dose, structure set, plan, records (A.18-A.21, A.28-A.31, A.86)
    f"{_ROOT}34.": "radiotherapy",  # delivery instructions (A.62)
    f"{_ROOT}1.1.66": "raw",  # Raw Data (A.37)
    f"{_ROOT}1.1.66.4": "segmentation",  # A.51
    f"{_ROOT}1.1.66.5": "segmentation",  # surfaces (A.57)
    f"{_ROOT}1.1.66.7": "segmentation",  # label maps (A.51)
    f"{_ROOT}1.1.66.": "registration",  # registrations, fiducials, tracts (A.39, A.40, A.78)
    f"{_ROOT}1.1.67": "registration",  # Real World Value Mapping (A.46)
    f"{_ROOT}1.1.77.1.5.3": "registration",  # Stereometric Relationship (A.43)
    f"{_ROOT}1.1.68.": "segmentation",  # surface scans (A.65)
    f"{_ROOT}1.1.78.": "report",  # refraction, acuity, spectacles: numbers (A.60)
    f"{_ROOT}1.1.79.1": "report",  # Macular Grid Thickness and Volume Report (A.61)
    f"{_ROOT}1.1.90.1": "report",  # Content Assessment Results (A.81)
    f"{_ROOT}1.1.91.1": "report",  # Microscopy Bulk Simple Annotations (A.87)
    f"{_ROOT}1.1.9.4.1": "document",  # Basic Voice Audio: a dictation (A.34.7)
    f"{_ROOT}1.1.104.": "document",  # encapsulated PDF, CDA, models (A.45, A.85)
    f"{_ROOT}1.1.200.": "other",  # procedure protocols (A.82)
    f"{_ROOT}1.1.201.": "other",  # inventories (A.88)
    f"{_ROOT}38.": "other",  # hanging protocols
    f"{_ROOT}39.": "other",  # colour palettes
    f"{_ROOT}43.": "other",  # implant templates
    f"{_ROOT}44.": "other",
    f"{_ROOT}45.": "other",
    "1.2.840.10008.1.3.10": "other",  # a media directory (PS3.10)
}
_PDF: Final = f"{_ROOT}1.1.104.1"
#: A recording that a cart printed as PDF is all there is of it: its Modality says so (PS3.3 C.24.1).
_RECORDED: Final = frozenset({"ECG", "HD", "EEG", "EMG", "EOG", "EPS", "RESP"})


def beside(sop_class_uid: str, modality: str) -> str:
    """What an object is that is nothing to read, as a key; empty where it is read."""
    if sop_class_uid == _PDF and modality.strip().upper() in _RECORDED:
        return ""
    if sop_class_uid in BESIDE:
        return BESIDE[sop_class_uid]
    parts = sop_class_uid.split(".")
    for n in range(len(parts) - 1, 0, -1):
        found = BESIDE.get(".".join(parts[:n]) + ".")
        if found is not None:
            return found
    return ""
