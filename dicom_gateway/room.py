"""The door's face: the names that portal may use, and every part of the door bound together."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from center import loops
from center.database import Database, Row
from center.errors import Failure, Unavailable
from center.files import write_private_once
from center.identity import SYSTEM, ClinicId
from center.jobs import Handler
from center.ports import CaseAccess, Clock, Identifiers, ObjectStore, Reads, Reports
from dicom_gateway.associations import Associations, Peers
from dicom_gateway.completion import OTHERWISE_S, QUIET_S
from dicom_gateway.contents import Contents
from dicom_gateway.dicom_scan import readable, scan
from dicom_gateway.dimse.scp import Receiver
from dicom_gateway.dimse.scu import Knock, Sender
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


#: The own door is asked this often, and must answer within, s; without any answer for so long it is dead.
ECHO_EVERY_S, ECHO_WITHIN_S, DOOR_DEAD_S = 15.0, 5.0, 120.0


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

    def studies_holding(self, clinic_ids: Iterable[str], objects: Sequence[str]) -> Mapping[str, str]:
        """sha256 -> UID of a study that holds the object, for administration."""
        with self.database.transaction(SYSTEM, (ClinicId(c) for c in clinic_ids)) as work:
            rows = work.all(QUERIES["studies_holding"], objects=list(objects), limit=2000)
        return {row["sha256"]: row["study_uid"] for row in rows}

    def serve_dimse(self, host: str, port: int, stop: threading.Event) -> None:
        """Receives until told to stop.  Raises RuntimeError when the door no longer takes connections."""
        receiver = Receiver(
            self.door, self.register, self.associations, self.ae_title, host, port, self.spool.folder / "arriving",
            own_title=self._own_title() or "",
        )  # fmt: skip
        receiver.start()
        watch = DoorWatch(lambda: self.echo_own(host, receiver.port))
        threading.Thread(target=watch.serve, args=(stop,), name="dimse", daemon=True).start()
        try:
            while not stop.wait(1.0):
                if not receiver.listens or watch.is_dead:
                    raise RuntimeError("the DIMSE door takes no connections any more")
        finally:
            receiver.stop()

    def echo_own(self, host: str, port: int) -> Failure | None:
        """C-ECHO to this center's own door over a real association; None: it answers."""
        reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
        title = self._own_title() or self.ae_title
        knock = Sender(title, timeout_s=ECHO_WITHIN_S).knock(self.ae_title, reachable, port)
        if knock in (Knock.ANSWERED, Knock.STRANGER):  # a stranger was looked up in the database: all of it works
            return None
        where = f"{self.ae_title}@{reachable}:{port}"
        return Unavailable(
            f"自己的 DICOM 端口 {where} 不应答：检查送不进来。",
            f"The center's own DICOM door {where} does not answer: no study can be sent.",
            {"knock": knock.value},
        )

    def _own_title(self) -> str | None:
        """By which the center asks its own door: known only to who may read this host's spool. None: no spool here."""
        kept = self.spool.folder / "door"
        try:
            if not kept.exists():
                write_private_once(kept, f"HELAN~{secrets.token_hex(5)}")
            return kept.read_text().strip()
        except OSError:
            return None

    def reclaim(self) -> None:
        self.door.reclaim()


class DoorWatch:
    """Asks the own door again and again, and tells by its beat what it finds."""

    def __init__(self, echo: Callable[[], Failure | None]) -> None:
        self._echo = echo
        self._silent_since: float | None = None

    @property
    def is_dead(self) -> bool:
        """For so long nobody has answered at all, be it with a refusal."""
        return self._silent_since is not None and time.monotonic() - self._silent_since > DOOR_DEAD_S

    def serve(self, stop: threading.Event) -> None:
        def live(beat: loops.Beat) -> None:
            while not stop.wait(ECHO_EVERY_S):
                failure = self._echo()
                heard = failure is None or failure.facts["knock"] != Knock.SILENT
                self._silent_since = None if heard else self._silent_since or time.monotonic()
                beat.note(*((failure.zh, failure.en) if failure else ("", "")))
                beat()

        loops.keep("dimse", stop, live)


def _split(address: str) -> tuple[str, str]:
    """(network that may call, host:port to send to or '')."""
    host, colon, port = address.rpartition(":")
    if colon and port.isdigit() and (host.count(":") == 0 or host.startswith("[")):
        return host.strip("[]"), address
    return address.strip("[]"), ""
