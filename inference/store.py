"""Preliminary reads and served models, kept."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from center.database import Database, Queries, Row, Work
from center.identity import SYSTEM, ClinicId, system_for
from center.ports import StoredRead
from center.reads import PreliminaryRead
from inference.values import from_json, to_json

_SQL = Queries.load(Path(__file__).with_name("queries.sql"))


class ReadStore:
    """Implements the port ``Reads``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of(self, clinic_id: ClinicId, study_uid: str) -> Sequence[StoredRead]:
        with self._database.transaction(system_for(clinic_id)) as work:
            rows = work.all(_SQL["reads_of_study"], clinic_id=clinic_id, study_uid=study_uid)
        return tuple(_from_row(row) for row in rows)

    def note_model(self, name: str, version: str, digest: str, *, serving: bool, reason: str, now: datetime) -> None:
        state = "serving" if serving else "refused"
        with self._database.transaction(SYSTEM) as work:
            work.run(_SQL["note_model"], name=name, version=version, digest=digest, state=state, reason=reason, now=now)

    def models(self) -> list[Row]:
        with self._database.transaction(SYSTEM) as work:
            return work.all(_SQL["models"])


def keep(
    work: Work,
    clinic_id: ClinicId,
    read_id: str,
    study_uid: str,
    read: PreliminaryRead,
    sop_uids: Sequence[str],
    now: datetime,
) -> bool:
    """Kept now; False when this very read was kept before."""
    return bool(
        work.run(
            _SQL["keep_read"], clinic_id=clinic_id, read_id=read_id, study_uid=study_uid, model=read.model,
            version=read.version, input_digest=read.input_digest, kind=read.kind, outcome=str(read.outcome),
            reason_code=read.reason.code if read.reason else "", values=work.json(to_json(read)), sop_uids=list(sop_uids),
            made_at=now,
        )
    )  # fmt: skip


def _from_row(row: Row) -> StoredRead:
    return StoredRead(
        row["read_id"],
        row["clinic_id"],
        row["study_uid"],
        row["made_at"],
        tuple(row["sop_uids"]),
        from_json(row["values"]),
    )
