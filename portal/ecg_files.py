"""An ECG device's files -> one DICOM instance for the door; what it was made from is kept beside, byte for byte."""

from __future__ import annotations

import hashlib
import io
import re
import tempfile
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from zoneinfo import ZoneInfo

from center.codes import Origin
from center.errors import Mismatched, Unreadable
from center.identity import Actor, ClinicId
from center.ports import Ingest, ObjectStore, Provenance, Quarantined, Same, Stored
from ecg.room import (
    EcgSignal,
    LongSignal,
    WaveformIdentity,
    is_long,
    open_long,
    read_files,
    stream_dicom,
    write_dicom,
)

_HELD_BYTES = 8 << 20  # a resting ECG is never so large, and what is smaller needs no blocks
_NAMESPACE = uuid.UUID("3b0b6a52-6f0d-5b0a-8d3a-7a0b3f6f7c11")


@dataclass(frozen=True, slots=True)
class Person:
    """Whose recording it is, as the technician says; empty fields are taken from the file. birth_date: YYYYMMDD."""

    local_id: str = ""
    name: str = ""
    sex: str = ""
    birth_date: str = ""
    accession: str = ""


@dataclass(frozen=True, slots=True)
class Taken:
    """What the door said, and the digests of the files as they came."""

    outcome: Stored | Same | Quarantined
    originals: tuple[str, ...]


def take_in(
    files: Mapping[str, bytes], person: Person, *, clinic_id: ClinicId, zone: str, actor: Actor, now: datetime,
    door: Ingest, store: ObjectStore,
) -> Taken:  # fmt: skip
    """One recording taken in, complete on arrival.  Raises Unreadable, Unavailable, NoRoom and what the door raises.

    A DICOM file goes in as it is; anything else, and a DICOM file whose UIDs the door can't take, is wrapped (origin
    ``converted``) after its original files are durable in the store, so that nothing is acknowledged that could not be
    shown again as it came.  A recording of hours is wrapped block by block.
    """
    long = _long(files)
    signal = read_files(files) if long is None else long.head  # refuses what is no recording, whatever the name says
    provenance = Provenance(
        clinic_id=clinic_id, door="upload", actor=actor, origin=Origin.RECEIVED, peer="upload", complete_on_arrival=True
    )
    if signal.source_format.upper().startswith("DICOM") and len(files) == 1:
        try:
            return Taken(door.accept(io.BytesIO(next(iter(files.values()))), provenance), ())
        except (Mismatched, Unreadable):
            pass  # old carts write UIDs that are none, or leave them out: the recording itself was read above
    identity = _identity(files, person, clinic_id, signal, now, zone)
    with tempfile.TemporaryFile() as wrapped:
        for piece in (write_dicom(signal, identity),) if long is None else stream_dicom(long, identity):
            wrapped.write(piece)
        wrapped.seek(0)
        originals = tuple(_keep(store, raw) for raw in files.values())
        return Taken(door.accept(wrapped, replace(provenance, origin=Origin.CONVERTED)), originals)


def _long(files: Mapping[str, bytes]) -> LongSignal | None:
    """The recording where it's one of hours, None where it's read whole.  Raises Unreadable."""
    if sum(len(raw) for raw in files.values()) < _HELD_BYTES:
        return None
    long = open_long(files)
    return long if long is not None and is_long(long) else None


def _identity(
    files: Mapping[str, bytes], person: Person, clinic_id: ClinicId, signal: EcgSignal, now: datetime, zone: str
) -> WaveformIdentity:
    """The same files of the same person at the same clinic are the same instance, however often they are sent."""
    digests = ",".join(sorted(hashlib.sha256(raw).hexdigest() for raw in files.values()))
    whose = f"{person.local_id}|{person.name}|{person.accession}"
    return WaveformIdentity(
        study_instance_uid=_uid("study", clinic_id, digests, whose),
        series_instance_uid=_uid("series", clinic_id, digests, whose),
        sop_instance_uid=_uid("instance", clinic_id, digests, whose),
        patient_id=person.local_id,
        patient_name=_person_name(person.name),
        birth_date=person.birth_date,
        sex=person.sex,
        accession_number=person.accession,
        recorded_at=signal.recorded_at or now.astimezone(ZoneInfo(zone)).isoformat(timespec="seconds"),
        study_description="ECG",
    )


def _person_name(name: str) -> str:
    """A typed name as DICOM PN: Chinese goes into the ideographic group (PS3.5 6.2.1)."""
    bare = re.sub(r"[\\^=\x00-\x1f]", " ", name).strip()
    return f"={bare}" if re.search(r"[\u3400-\u9fff\U00020000-\U0003ffff]", bare) else bare


def _keep(store: ObjectStore, raw: bytes) -> str:
    digest = hashlib.sha256(raw).hexdigest()
    store.put(digest, io.BytesIO(raw), len(raw))
    return digest


def _uid(*meaning: str) -> str:
    return f"2.25.{uuid.uuid5(_NAMESPACE, '|'.join(meaning)).int}"
