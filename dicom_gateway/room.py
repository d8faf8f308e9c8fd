"""The door's face: the names that portal may use, and every part of the door bound together."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from center.database import Database, Row
from center.identity import SYSTEM, ClinicId
from center.jobs import Handler
from center.ports import CaseAccess, Clock, Identifiers, ObjectStore, Reads, Reports
from dicom_gateway.associations import Associations, Peers
from dicom_gateway.completion import OTHERWISE_S, QUIET_S
from dicom_gateway.contents import Contents
from dicom_gateway.dicom_scan import readable, scan
from dicom_gateway.dimse.scp import Receiver
from dicom_gateway.dimse.scu import Sender
from dicom_gateway.handlers import Completer, Filer, Mover
from dicom_gateway.index import Index
from dicom_gateway.ingest import Door, move_handler
from dicom_gateway.pixels import film_input
from dicom_gateway.result_uids import report_uids
from dicom_gateway.sending import Deliveries
from dicom_gateway.spool import FreeSpace, Spool, disk_space
from dicom_gateway.store import QUERIES

if TYPE_CHECKING:
    from fastapi import APIRouter

    from center.web import Web

__all__ = ["Gateway", "film_input", "readable", "report_sop_uid", "scan"]


def report_sop_uid(clinic_id: str, study_uid: str, case_id: str, version: int) -> str:
    """SOP instance UID of the Encapsulated PDF that is filed for a report version."""
    return report_uids(clinic_id, study_uid, case_id, version).instance


@dataclass(slots=True)
class Gateway:
    """Every part of the door in this process. ``bind`` closes the circle with the worklist, once."""

    database: Database
    store: ObjectStore
    spool: Spool
    contents: Contents
    clock: Clock
    identifiers: Identifiers
    door: Door
    index: Index
    register: Peers
    peers: Deliveries
    associations: Associations
    completer: Completer
    reads: Reads
    ae_title: str
    reports: Reports | None = None
    access: CaseAccess | None = None

    @classmethod
    def open(
        cls, database: Database, store: ObjectStore, spool_dir: Path, clock: Clock, identifiers: Identifiers,
        reads: Reads, *, reserve_bytes: int | None, quiet_s: float | None, ae_title: str, space: FreeSpace = disk_space,
    ) -> Gateway:  # fmt: skip
        """quiet_s: one quiet time for every modality, for trials; None: by modality."""
        spool = Spool(spool_dir, reserve_bytes=reserve_bytes, space=space)
        contents = Contents(database, store, spool, clock)
        quiet = QUIET_S if quiet_s is None else dict.fromkeys(QUIET_S, quiet_s)
        otherwise_s = OTHERWISE_S if quiet_s is None else quiet_s
        register = Peers(database, clock)
        return cls(
            database, store, spool, contents, clock, identifiers,
            Door(database, contents, spool, clock, identifiers, quiet=quiet, otherwise_s=otherwise_s),
            Index(database, contents, clock, identifiers), register,
            Deliveries(database, contents, register, Sender(ae_title), clock),
            Associations(database, clock, identifiers),
            Completer(database, clock, quiet=quiet, otherwise_s=otherwise_s), reads, ae_title,
        )  # fmt: skip

    def bind(self, *, reports: Reports, access: CaseAccess) -> None:
        self.reports, self.access = reports, access

    @property
    def handlers(self) -> Mapping[str, Handler]:
        """Jobs of the door; the spool's name is this host's, so that only its own workers move it."""
        mover = Mover(self.database, self.store, self.spool, self.clock)
        filer = Filer(self.database, self.contents, self.door, self.reads, self.reports)
        return {
            move_handler(self.spool.host): mover.move,
            "gateway.complete": self.completer.complete,
            "gateway.file_read": filer.file_read,
            "gateway.file_report": filer.file_report,
            "gateway.hide_report": filer.hide_report,
        }

    def routers(self, web: Web) -> list[APIRouter]:
        """DICOMweb, at /dicom-web and under every case."""
        from dicom_gateway.web import routers

        return routers(web, self)

    def add_peer(self, aet: str, clinic_id: str, address: str) -> None:
        """``address``: a host or network that may send, with :PORT where it also takes reports.  Raises Invalid."""
        host, sends_to = _split(address)
        self.register.add(SYSTEM, aet, ClinicId(clinic_id), cidr=host, address=sends_to)

    def kept_aside(self, clinic_ids: Iterable[str], limit: int = 500) -> Sequence[Row]:
        """For administration: instances that wait for a decision, latest first; the tags that differ, no values."""
        with self.database.transaction(SYSTEM, (ClinicId(c) for c in clinic_ids)) as work:
            return work.all(QUERIES["quarantine_everywhere"], limit=limit)

    def serve_dimse(self, host: str, port: int, stop: threading.Event) -> None:
        """Receives until told to stop."""
        receiver = Receiver(
            self.door, self.register, self.associations, self.ae_title, host, port, self.spool.folder / "arriving"
        )
        receiver.start()
        stop.wait()
        receiver.stop()

    def reclaim(self) -> None:
        self.door.reclaim()


def _split(address: str) -> tuple[str, str]:
    """(network that may call, host:port to send to or '')."""
    host, colon, port = address.rpartition(":")
    if colon and port.isdigit() and (host.count(":") == 0 or host.startswith("[")):
        return host.strip("[]"), address
    return address.strip("[]"), ""
