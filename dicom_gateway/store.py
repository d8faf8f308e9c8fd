"""Rows of the door's tables -> values."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone
from pathlib import Path
from typing import Any

from center.codes import Origin, Visibility
from center.database import Queries, Row
from center.identity import ClinicId
from center.patients import Description, OtherIdentity, PatientIdentity, differences
from center.ports import InstanceRef, StudySummary
from dicom_gateway import sop_classes
from dicom_gateway.dates import date_of
from dicom_gateway.dicom_scan import VIDEO, FrameMap

QUERIES = Queries.load(Path(__file__).with_name("queries.sql"))


@dataclass(frozen=True, slots=True)
class Shelved:
    """One instance as WADO serves it."""

    clinic_id: ClinicId
    study_uid: str
    series_uid: str
    sop_uid: str
    sop_class_uid: str
    transfer_syntax: str
    sha256: str
    bytes: int
    number: int | None
    frames: int
    frame_map: FrameMap | None
    dataset_offset: int
    origin: Origin
    modality: str
    metadata: bytes | None

    @property
    def whole_frames(self) -> int:
        """How many frames are really there; ``frames`` is what the header says."""
        return self.frame_map.frames if self.frame_map is not None else 0

    @property
    def is_video(self) -> bool:
        return self.transfer_syntax in VIDEO

    @classmethod
    def from_row(cls, row: Row) -> Shelved:
        return cls(
            ClinicId(row["clinic_id"]), row["study_uid"], row["series_uid"], row["sop_uid"], row["sop_class_uid"],
            row["transfer_syntax"], row["sha256"], row["bytes"], row["number"], row["frames"],
            FrameMap.from_json(row["frame_map"]) if row["frame_map"] else None, row["dataset_offset"],
            Origin(row["origin"]), row["modality"], bytes(row["metadata"]) if row["metadata"] is not None else None,
        )  # fmt: skip


def frame_map_json(frames: FrameMap | None) -> str | None:
    return json.dumps(frames.as_json(), separators=(",", ":")) if frames else None


def instant_of(day: str, clock: str, offset: str) -> datetime | None:
    """StudyDate and StudyTime as an instant: aware where the device said its offset, else the clinic's local time."""
    known = date_of(day)
    if known is None:
        return None
    digits = re.sub(r"[^0-9]", "", clock.split(".")[0])[:6].ljust(6, "0")
    try:
        clock_time = time(int(digits[:2]), int(digits[2:4]), min(int(digits[4:6]), 59))
    except ValueError:
        clock_time = time()
    at = datetime.combine(known, clock_time)
    match = re.fullmatch(r"([+-])(\d\d)(\d\d)", offset.strip())
    if match is None:
        return at
    minutes = int(match[2]) * 60 + int(match[3])
    if minutes > 14 * 60:
        return at
    return at.replace(tzinfo=timezone(timedelta(minutes=-minutes if match[1] == "-" else minutes)))


def patient_of(row: Row) -> PatientIdentity:
    return PatientIdentity(
        row["patient_id"], row["local_id"], row["name"], row["pinyin"], row["sex"], row["birth_date"]
    )


def summary_of(row: Row) -> StudySummary:
    others = tuple(other_from(o) for o in (*row["other_identities"], *row["namesakes"]))
    return StudySummary(
        clinic_id=ClinicId(row["clinic_id"]), study_uid=row["study_uid"], patient=patient_of(row),
        accession=row["accession"], modalities=frozenset(row["modalities"]), description=row["description"],
        body_part=row["body_part"], study_at=instant_of(row["study_date"], row["study_time"], row["zone_offset"]),
        first_arrival_at=row["first_arrival_at"], last_arrival_at=row["last_arrival_at"],
        completed_at=row["completed_at"], instances=row["instances"], series=row["series"],
        laterality=row["laterality"], referring=row["referring"], state=row["state"], generation=row["generation"],
        source=row["source"], identity_notes=_notes(row, others), others=others, beside=row["beside"],
    )  # fmt: skip


def other_from(values: dict[str, Any]) -> OtherIdentity:  # parsed JSON
    born = values["birth_date"]
    return OtherIdentity(
        values["source"], values["name"], date.fromisoformat(born) if born else None, values["sex"], values["local_id"]
    )


def _notes(row: Row, others: Sequence[OtherIdentity]) -> tuple[str, ...]:
    """Why the identity is doubtful, as codes."""
    said = Description(row["person_name"] or row["name"], row["birth_date"], row["sex"])
    notes = set(row["identity_notes"])
    for other in others:
        found = differences(said, Description(other.name, other.birth_date, other.sex))
        notes |= {f"other_{one}" for one in found} | ({"other_person"} if other.source == "number" else set())
    return tuple(sorted(notes))


def reference_of(row: Row) -> InstanceRef:
    return InstanceRef(
        row["series_uid"], row["sop_uid"], row["sop_class_uid"], row["transfer_syntax"], row["sha256"], row["modality"],
        Origin(row["origin"]), Visibility(row["visibility"]), row["frames"], row["bytes"],
        sop_classes.beside(row["sop_class_uid"], row["modality"]),
    )  # fmt: skip
