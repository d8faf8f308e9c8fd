"""Made-up studies for the tests: the demo's own generators."""

from portal.demo_dicom import (
    CR_STORAGE,
    CT_STORAGE,
    DX_STORAGE,
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    Exam,
    Flaw,
    Person,
    chest,
    encapsulated,
    make_cr,
    make_ct,
    multi_frame,
    phantom,
    uid,
    written,
)

__all__ = [
    "CR_STORAGE",
    "CT_STORAGE",
    "DX_STORAGE",
    "EXPLICIT_LITTLE",
    "IMPLICIT_LITTLE",
    "Exam",
    "Flaw",
    "Person",
    "chest",
    "encapsulated",
    "make_cr",
    "make_ct",
    "multi_frame",
    "phantom",
    "uid",
    "written",
]
