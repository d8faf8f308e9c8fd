"""The door with everything real: database, spool, store, index, a small web application around its routes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import pytest

from center.clock import CountedIdentifiers, HeldClock
from center.codes import Origin, Visibility
from center.database import Database
from center.identity import SYSTEM, Actor, ClinicId, system_for
from center.jobs import Runner
from center.objects.directory import DirectoryStore
from center.ports import Provenance, StoredRead
from dicom_gateway.ingest import Outcome
from dicom_gateway.room import Gateway


class KeptReads:
    """The reads port over a list."""

    def __init__(self) -> None:
        self.kept: list[StoredRead] = []

    def of(self, clinic_id: ClinicId, study_uid: str) -> list[StoredRead]:
        return [k for k in self.kept if (k.clinic_id, k.study_uid) == (clinic_id, study_uid)]


@dataclass
class House:
    """A gateway and what lies around it."""

    gateway: Gateway
    database: Database
    store: DirectoryStore
    clock: HeldClock
    folder: Path
    reads: KeptReads
    free: list[int] = field(default_factory=lambda: [1 << 40])

    def accept(
        self,
        raw: bytes,
        clinic: str = "shigou",
        *,
        actor: Actor = SYSTEM,
        origin: Origin = Origin.RECEIVED,
        visibility: Visibility = Visibility.CLINIC,
        whole: bool = False,
        door: str = "dimse",
    ) -> Outcome:
        provenance = Provenance(
            ClinicId(clinic), door, actor, origin=origin, visibility=visibility, complete_on_arrival=whole
        )
        return self.gateway.door.accept(BytesIO(raw), provenance)

    def run_jobs(self) -> int:
        return Runner(self.database, self.gateway.handlers, self.clock).run_until_idle()

    def rows(self, sql: str, clinic: str = "shigou", **params: object) -> list[dict[str, object]]:
        with self.database.transaction(system_for(ClinicId(clinic))) as work:
            return work.all(sql, **params)


MakeHouse = Callable[..., House]


@pytest.fixture
def house(
    database: Database,
    clinics: tuple[str, ...],
    store: DirectoryStore,
    clock: HeldClock,
    identifiers: CountedIdentifiers,
    tmp_path: Path,
) -> Iterator[House]:
    free = [1 << 40]
    reads = KeptReads()
    gateway = Gateway.open(
        database, store, tmp_path / "spool", clock, identifiers, reads, reserve_bytes=None, quiet_s=None,
        ae_title="HELAN", space=lambda _: (free[0], 1 << 41),
    )  # fmt: skip
    yield House(gateway, database, store, clock, tmp_path, reads, free)


@pytest.fixture
def stop() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()
