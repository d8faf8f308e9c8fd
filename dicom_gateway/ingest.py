"""The one way in: a stream -> a flushed spool file, its rows, its jobs, one commit; then, and only then, an answer."""

from __future__ import annotations

import mmap
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, BinaryIO, Final

from center import faults, observe
from center.codes import Origin
from center.database import Database, Row, UniqueViolation, Work
from center.errors import Damaged, Failure, Mismatched, NotFound, Unavailable
from center.events import StudyCompleted, StudyExtended
from center.identity import SYSTEM, Actor, ClinicId, system_for
from center.ports import Clock, Identifiers, Provenance, Quarantined, Same, Stored
from dicom_gateway import dicom_json, persons, sop_classes
from dicom_gateway.completion import OTHERWISE_S, QUIET_S, quiet_s
from dicom_gateway.conflicts import Comparison, compare
from dicom_gateway.contents import Contents
from dicom_gateway.dates import date_text, time_text
from dicom_gateway.dicom_scan import Header, check_identity, frame_map, scan, unreadable
from dicom_gateway.file_head import file_meta
from dicom_gateway.persons import clean
from dicom_gateway.spool import SLAB_BYTES, Piece, Spool
from dicom_gateway.store import QUERIES, frame_map_json

log = observe.log("gateway")

Outcome = Stored | Same | Quarantined
_received = observe.counter("helan_gateway_instances_total", "Instances by outcome", ("door", "outcome"))
_bytes = observe.counter("helan_gateway_received_bytes", "Bytes of stored instances", ("door",))
_accept_s = observe.histogram("helan_gateway_accept_seconds", "From the last byte to the commit", ("door",))
_ATTEMPTS: Final = 3
_RECLAIMED_AT_ONCE: Final = 500
#: Stands where the differing tags would, when the first copy can no longer be read.
HELD_IS_LOST: Final = "(first copy lost)"


@dataclass(frozen=True, slots=True)
class Scanned:
    """What the index keeps of a file, taken while its bytes were at hand."""

    header: Header
    dataset_digest: str
    frame_map_json: str | None
    metadata: bytes
    remade: dict[str, Any] | None = (
        None  # where the head was made from the data set: why, and what came (for the audit)
    )


def scanned(piece: Piece, provenance: Provenance) -> Scanned:
    """The piece's header; its head is made from the data set where it is missing or says otherwise.

    Raises Unreadable, Mismatched.
    """
    header = scan(_mapped(piece))
    piece.names = (header.sop_class_uid[:64], header.sop_uid[:64])
    check_identity(header)
    _check_expected(header, provenance)
    remade = None
    if header.noted:
        remade = {"head_from_data_set": list(header.noted), "arrived_sha256": piece.sha256}
        log.info("ingest.head_from_data_set", notes=list(header.noted), door=provenance.door, sha256=piece.sha256)
        head = file_meta(header.sop_class_uid, header.sop_uid, header.transfer_syntax)
        piece.replace_head(head, header.dataset_offset)
        header = scan(_mapped(piece))
    packed = dicom_json.pack(dicom_json.metadata(header))
    digest = piece.digest_from(header.dataset_offset)
    return Scanned(header, digest, frame_map_json(frame_map(header)), packed, remade)


def _mapped(piece: Piece) -> memoryview:
    # Not closed by hand: the header's slices live as long as their frame, the map goes with the last of them.
    return memoryview(mmap.mmap(piece.fileno(), piece.size, access=mmap.ACCESS_READ))


class Door:
    """Takes instances in (port ``Ingest``). One for each process; the spool is this host's.

    quiet: seconds to wait for more by modality, ``otherwise_s`` for those not named.
    """

    def __init__(
        self,
        database: Database,
        contents: Contents,
        spool: Spool,
        clock: Clock,
        identifiers: Identifiers,
        *,
        quiet: Mapping[str, float] = QUIET_S,
        otherwise_s: float = OTHERWISE_S,
    ) -> None:
        self._database = database
        self._contents = contents
        self._spool = spool
        self._clock = clock
        self._identifiers = identifiers
        self._quiet = quiet
        self._otherwise_s = otherwise_s

    def accept(self, stream: BinaryIO, provenance: Provenance) -> Outcome:
        """Takes one Part 10 stream in; durable when it returns.

        Raises Unreadable, Mismatched, NoRoom, OverLimit, Unavailable.
        """
        arriving = self.begin(provenance)
        try:
            while slab := stream.read(SLAB_BYTES):
                arriving.write(slab)
            return arriving.finish()
        finally:
            arriving.close()

    def begin(self, provenance: Provenance) -> Arriving:
        """For doors that are handed pieces: write them, finish, and close in any case.  Raises NoRoom, Unavailable."""
        return Arriving(self, self._spool.begin(), provenance)

    def take_in(self, piece: Piece, provenance: Provenance) -> Outcome:
        """The flushed piece, looked at, compared and indexed."""
        began = self._clock.now()
        try:
            outcome = self._take_in(piece, provenance)
        except Failure as failure:
            _received.labels(provenance.door, failure.name).inc()
            log.warning(
                "ingest.refused", failure=failure.name, door=provenance.door, clinic=provenance.clinic_id,
                bytes=piece.size, sha256=piece.sha256, fact_names=sorted(failure.facts),
            )  # fmt: skip
            raise
        _received.labels(provenance.door, type(outcome).__name__.lower()).inc()
        _accept_s.labels(provenance.door).observe(max(0.0, (self._clock.now() - began).total_seconds()))
        if not isinstance(outcome, Same):
            _bytes.labels(provenance.door).inc(piece.size)
            log.info(
                f"ingest.{type(outcome).__name__.lower()}", door=provenance.door, clinic=provenance.clinic_id,
                bytes=piece.size, sha256=piece.sha256, association=provenance.association,
            )  # fmt: skip
        return outcome

    def _take_in(self, piece: Piece, provenance: Provenance) -> Outcome:
        if piece.size == 0:
            raise unreadable("a DICOM file", 0, "DICOM 文件")
        piece.flush()
        found = scanned(piece, provenance)
        for _ in range(_ATTEMPTS):
            try:
                kept = self._keep_new(piece, found, provenance)
                return kept if isinstance(kept, Stored) else self._beside(kept, piece, found, provenance)
            except UniqueViolation:
                continue  # another association brought it at the same moment: compare with what it brought
        raise Unavailable(
            "同一对象正在同时接收，请重试。", "The same object is arriving at the same moment; try again."
        )

    # ---------------------------------------------------------------- the same UID again
    def _beside(self, held: Row, piece: Piece, found: Scanned, provenance: Provenance) -> Outcome:
        header = found.header
        names = (header.study_uid, header.sop_class_uid, header.sop_uid)
        comparison = self._compare(held, found)
        if comparison.same:
            self._note_same(header, provenance)
            if self._contents.is_right(held["sha256"]):
                return Same(*names, held["sha256"])
            return self._put_back(held, piece, found, provenance)
        with self._database.transaction(self._actor(provenance), [provenance.clinic_id]) as work:
            known = work.one(
                QUERIES["quarantined"], clinic=provenance.clinic_id, sop=header.sop_uid, sha256=piece.sha256
            )
            if known is None:
                self._put_aside(work, held, piece, header, provenance, comparison)
        return Quarantined(*names, piece.sha256, comparison.difference)

    def _put_back(self, held: Row, piece: Piece, found: Scanned, provenance: Provenance) -> Outcome:
        """The same data set came again and the first copy's bytes are lost, wrong or out of reach: these take their
        place. Where only group 0002 differs the instance names the new object from now on."""
        header, now = found.header, self._clock.now()
        names = (header.study_uid, header.sop_class_uid, header.sop_uid)
        if held["sha256"] != piece.sha256 and held["dataset_digest"] != found.dataset_digest:
            return Same(*names, held["sha256"])  # compared element by element just now: the first copy can be read
        with self._database.transaction(self._actor(provenance), [provenance.clinic_id]) as work:
            piece.keep()
            work.run(QUERIES["spool_again"], sha256=piece.sha256, bytes=piece.size, host=self._spool.host, now=now)
            work.enqueue(
                "", move_handler(self._spool.host), piece.sha256, {"sha256": piece.sha256, "anew": True},
                run_at=now, move=True,
            )  # fmt: skip
            if held["sha256"] != piece.sha256:
                work.run(
                    QUERIES["other_object"], clinic=provenance.clinic_id, sop=header.sop_uid, sha256=piece.sha256,
                    bytes=piece.size, dataset_offset=header.dataset_offset, frame_map=found.frame_map_json,
                )  # fmt: skip
            work.audit(
                "instance:put_back", f"instance:{header.sop_uid}", clinic_id=provenance.clinic_id, sha256=piece.sha256
            )
        log.warning("ingest.put_back", sha256=piece.sha256, held=held["sha256"])
        return Same(*names, piece.sha256)

    def _put_aside(
        self, work: Work, held: Row, piece: Piece, header: Header, provenance: Provenance, comparison: Comparison
    ) -> None:
        now = self._clock.now()
        piece.keep()
        self._object(work, piece, provenance, now)
        work.run(
            QUERIES["put_quarantine"], clinic=provenance.clinic_id, sop=header.sop_uid, sha256=piece.sha256,
            study=header.study_uid, sop_class=header.sop_class_uid, held=held["sha256"], reason="other_data_set",
            difference=list(comparison.difference), door=provenance.door, person=_person(provenance),
            peer=provenance.peer, now=now,
        )  # fmt: skip
        work.audit(
            "instance:quarantine", f"instance:{header.sop_uid}", clinic_id=provenance.clinic_id,
            difference=list(comparison.difference), sha256=piece.sha256,
        )  # fmt: skip

    def _compare(self, held: Row, found: Scanned) -> Comparison:
        if held["dataset_digest"] == found.dataset_digest:
            return Comparison(())
        try:
            with self._contents.mapped(held["sha256"]) as view:
                return compare(scan(view), found.header)
        except (NotFound, Damaged):  # nobody can say whether it is the same: kept aside, for an administrator
            return Comparison((HELD_IS_LOST,))

    def _note_same(self, header: Header, provenance: Provenance) -> None:
        """A re-send keeps its association alive, and a finished upload of nothing new still ends the waiting."""
        with self._database.transaction(system_for(provenance.clinic_id)) as work:
            now = self._clock.now()
            if provenance.association:
                work.run(QUERIES["saw_association"], id=provenance.association, now=now)
            if provenance.complete_on_arrival and provenance.origin is not Origin.RESULT:
                complete(work, provenance.clinic_id, header.study_uid, now)

    # ---------------------------------------------------------------- a new instance
    def _keep_new(self, piece: Piece, found: Scanned, provenance: Provenance) -> Stored | Row:
        """Stored; or the row of what this clinic holds under its UID already, and nothing was written."""
        header, clinic = found.header, provenance.clinic_id
        now = self._clock.now()
        with self._database.transaction(self._actor(provenance), [clinic]) as work:
            study = work.one(QUERIES["lock_study"], clinic=clinic, study=header.study_uid)
            held = work.one(QUERIES["held_instance"], clinic=clinic, sop=header.sop_uid)
            if held is not None:
                return held
            if provenance.origin is Origin.RESULT:
                _check_result(study)
            else:
                self._arrive(work, study, header, provenance, now)
            piece.keep()
            faults.point("ingest.flushed")
            with work.connection.pipeline():  # nothing below is looked at: one round trip for all of it
                _put_series(work, header, clinic)
                self._object(work, piece, provenance, now)
                _put_instance(work, found, piece, provenance, now)
                self._after(work, found, provenance, now)
        faults.point("ingest.committed")
        return Stored(header.study_uid, header.sop_class_uid, header.sop_uid, piece.sha256)

    def _object(self, work: Work, piece: Piece, provenance: Provenance, now: datetime) -> None:
        """The object's row and the job that moves it."""
        row = work.one(QUERIES["put_object"], sha256=piece.sha256, bytes=piece.size, host=self._spool.host, now=now)
        assert row is not None
        if row["location"] == "spool" and row["host"] == self._spool.host:
            # the object is nobody's alone: one job, whichever clinics sent it
            work.enqueue("", move_handler(self._spool.host), piece.sha256, {"sha256": piece.sha256}, run_at=now)
        else:
            piece.superfluous = True

    def _arrive(self, work: Work, study: Row | None, header: Header, provenance: Provenance, now: datetime) -> None:
        """The study's row, made or moved on, with whom it is of."""
        clinic, person = provenance.clinic_id, persons.person_of(header)
        described = _study_fields(header)
        if study is None and not self._begin(work, header, person, described, provenance, now):
            study = work.one(QUERIES["lock_study"], clinic=clinic, study=header.study_uid)
        notes: list[str] = []
        other = None
        if study is not None:
            notes, other = _study_notes(study, person), persons.other_identity(study, person)
            self._name(work, study, person, clinic, now)
        work.run(
            QUERIES["arrived"], clinic=clinic, study=header.study_uid, now=now, association=provenance.association,
            readable=_readable(header), notes=notes, others=work.json([persons.as_json(other)] if other else []),
            **{k: described[k] for k in ("accession", "description", "body_part", "laterality")},
        )  # fmt: skip

    def _begin(
        self, work: Work, header: Header, person: persons.Person, described: dict[str, str], provenance: Provenance,
        now: datetime,
    ) -> bool:  # fmt: skip
        """The study's row and its patient's; False when another association made it at this moment."""
        clinic = provenance.clinic_id
        patient, another = persons.patient_row(work, clinic, header.study_uid, person, self._identifiers, now)
        try:
            with work.connection.transaction():
                work.run(
                    QUERIES["put_study"], clinic=clinic, study=header.study_uid, patient=patient["patient_id"], now=now,
                    source=provenance.peer or provenance.door, notes=["placeholder_id"] if patient["placeholder"] else [],
                    **described, **persons.completed(person, patient),
                )  # fmt: skip
        except UniqueViolation:
            return False
        if another:
            persons.tell_namesakes(work, clinic, header.study_uid, patient["patient_id"], [person["local_id"]], 0)
        return True

    def _name(self, work: Work, study: Row, person: persons.Person, clinic: ClinicId, now: datetime) -> None:
        """What the study's first objects left out of whom it is of, where this one says it."""
        more = persons.merged(study, person)
        if more is None:
            return
        uid = study["study_uid"]
        patient, another = persons.patient_row(work, clinic, uid, more, self._identifiers, now)
        named = persons.completed(more, patient)
        work.run(
            QUERIES["name_study"], clinic=clinic, study=uid, patient=patient["patient_id"],
            **{k: named[k] for k in persons.FIELDS},
        )  # fmt: skip
        if another:
            persons.tell_namesakes(work, clinic, uid, patient["patient_id"], [study["local_id"]], 0)

    def _after(self, work: Work, found: Scanned, provenance: Provenance, now: datetime) -> None:
        """What follows of an arrival: completion is looked at later, or at once; a person's act is audited."""
        clinic, header = provenance.clinic_id, found.header
        if provenance.association:
            work.run(QUERIES["saw_association"], id=provenance.association, now=now)
        if provenance.actor.kind != "system":
            work.audit(
                "study:upload" if provenance.origin is not Origin.RESULT else "result:save",
                f"study:{header.study_uid}", clinic_id=clinic, sop=header.sop_uid, door=provenance.door,
                **(found.remade or {}),
            )  # fmt: skip
        if provenance.origin is Origin.RESULT:
            return
        if provenance.complete_on_arrival:
            complete(work, clinic, header.study_uid, now)
            return
        work.tell_pages(clinic, "InstanceArrived", {"study_uid": header.study_uid})
        if not _readable(header):
            return
        quiet = quiet_s(frozenset({header.first(0x00080060)}), self._quiet, self._otherwise_s)
        work.enqueue(
            clinic, "gateway.complete", header.study_uid, {"study_uid": header.study_uid},
            run_at=now + timedelta(seconds=quiet), move=True,
        )  # fmt: skip

    def finish_upload(self, actor: Actor, clinic_id: ClinicId, study_uids: list[str]) -> None:
        """A page says that an upload is whole: its studies are complete without further waiting."""
        with self._database.transaction(actor, actor.clinics & {clinic_id}) as work:
            for uid in study_uids[:1000]:
                complete(work, clinic_id, uid, self._clock.now())

    def _actor(self, provenance: Provenance) -> Actor:
        return provenance.actor if provenance.actor.kind != "system" else system_for(provenance.clinic_id)

    # ---------------------------------------------------------------- after a crash
    def reclaim(self, older_than_s: float = 3600.0) -> dict[str, int]:
        """At start: nothing that was not acknowledged is adopted; what has no row goes; what has one is moved again."""
        counts = {"parts": self._spool.drop_parts(older_than_s), "orphans": 0, "moved": 0, "again": 0}
        kept = iter(self._spool.kept())
        while names := list(islice(kept, _RECLAIMED_AT_ONCE)):
            with self._database.transaction(SYSTEM) as work:
                places = {row["sha256"]: row for row in work.all(QUERIES["places"], names=names)}
            for sha256 in names:
                row = places.get(sha256)
                if row is None and self._spool.age_s(sha256) >= older_than_s:
                    self._spool.drop(sha256)
                    counts["orphans"] += 1
                elif row is not None and not (row["location"] == "spool" and row["host"] == self._spool.host):
                    self._spool.drop(sha256)
                    counts["moved"] += 1
        with self._database.transaction(SYSTEM) as work:
            counts["again"] = work.run(
                QUERIES["move_again"],
                host=self._spool.host,
                handler=move_handler(self._spool.host),
                now=self._clock.now(),
            )
        if any(counts.values()):
            log.info("spool.reclaimed", **counts)
        return counts


class Arriving:
    """One instance on its way in: pieces are written, then it is finished; ``close`` leaves nothing behind."""

    def __init__(self, door: Door, piece: Piece, provenance: Provenance) -> None:
        self._door = door
        self._piece = piece
        self._provenance = provenance

    @property
    def size(self) -> int:
        return self._piece.size

    @property
    def names(self) -> tuple[str, str]:
        """(class, instance) that its header says, empty before it is finished or where it can't be read."""
        return self._piece.names

    def write(self, slab: bytes | memoryview) -> None:
        self._piece.write(slab)
        faults.point("ingest.mid_object")

    def finish(self) -> Outcome:
        outcome = self._door.take_in(self._piece, self._provenance)
        self._piece.drop_if_superfluous()
        return outcome

    def close(self) -> None:
        self._piece.close()


def move_handler(host: str) -> str:
    """The name of the job that moves this host's spool: only its own workers take it."""
    return f"gateway.move:{host}"


def complete(work: Work, clinic_id: ClinicId, study_uid: str, now: datetime, *, partial: bool = False) -> bool:
    """Ends the study's batch and says so; False when nothing was pending."""
    row = work.one(QUERIES["complete"], clinic=clinic_id, study=study_uid, now=now, partial=partial)
    if row is None:
        return False
    generation = row["generation"]
    if generation == 1:
        work.emit(StudyCompleted(clinic_id, study_uid, generation))
    else:
        work.emit(StudyExtended(clinic_id, study_uid, generation, row["added"]))
    return True


# ---------------------------------------------------------------- checks
def _check_expected(header: Header, provenance: Provenance) -> None:
    """The data set is what the command or the address said; over group 0002 it decides itself.  Raises Mismatched."""
    pairs = (
        (0x0020000D, provenance.expected_study_uid, header.study_uid),
        (0x00080016, provenance.expected_sop_class_uid, header.sop_class_uid),
        (0x00080018, provenance.expected_sop_instance_uid, header.sop_uid),
    )
    for tag, said, found in pairs:
        if said is not None and said != found:
            raise Mismatched(
                "数据集与传输命令或网址所说的不一致，未接收。请检查设备后重发。",
                "The data set is not what the command or the address says; it was not taken in.",
                {"tag": f"{tag:08X}", "said": said[:64], "found": found},
            )


def _check_result(study: Row | None) -> None:
    if study is None:
        raise Mismatched(
            "结果所属的检查不在本中心。", "The study that this result belongs to is not here.", {"tag": "0020000D"}
        )


def _person(provenance: Provenance) -> str:
    return provenance.actor.person_id if provenance.actor.kind != "system" else ""


def _study_notes(study: Row, person: persons.Person) -> list[str]:
    """What this object says of the study's number; nothing once a person has put it right."""
    return ["other_id"] if person["local_id"] != study["local_id"] and not study["corrections"] else []


# ---------------------------------------------------------------- header -> columns
def _study_fields(header: Header) -> dict[str, str]:
    return {
        "accession": clean(header.text(0x00080050), 64),
        "description": clean(header.text(0x00081030), 200),
        "study_date": date_text(header.first(0x00080020)),
        "study_time": time_text(header.first(0x00080030)),
        "zone_offset": clean(header.first(0x00080201), 8),
        "study_id": clean(header.text(0x00200010), 64),
        "referring": clean(header.text(0x00080090), 200),
        "body_part": clean(header.first(0x00180015), 64),
        "laterality": clean(header.first(0x00200062) or header.first(0x00200060), 16),
    }


def _readable(header: Header) -> bool:
    return not sop_classes.beside(header.sop_class_uid, header.first(0x00080060))


def _put_series(work: Work, header: Header, clinic: ClinicId) -> None:
    work.run(
        QUERIES["put_series"], readable=_readable(header), clinic=clinic, study=header.study_uid, series=header.series_uid,
        modality=clean(header.first(0x00080060), 16), number=_whole(header.integer(0x00200011)),
        description=clean(header.text(0x0008103E), 200), body_part=clean(header.first(0x00180015), 64),
        laterality=clean(header.first(0x00200060) or header.first(0x00200062), 16),
        protocol=clean(header.text(0x00181030), 200), series_date=date_text(header.first(0x00080021)),
        series_time=time_text(header.first(0x00080031)), manufacturer=clean(header.text(0x00080070), 200),
        station=clean(header.text(0x00081010), 64), institution=clean(header.text(0x00080080), 200),
    )  # fmt: skip


def _put_instance(work: Work, found: Scanned, piece: Piece, provenance: Provenance, now: datetime) -> None:
    header = found.header
    work.run(
        QUERIES["put_instance"], clinic=provenance.clinic_id, sop=header.sop_uid, study=header.study_uid,
        series=header.series_uid, sop_class=header.sop_class_uid, syntax=header.transfer_syntax, sha256=piece.sha256,
        bytes=piece.size, dataset_offset=header.dataset_offset, dataset_digest=found.dataset_digest,
        number=_whole(header.integer(0x00200013)), frames=header.frames, frame_map=found.frame_map_json,
        rows=_whole(header.integer(0x00280010)), columns=_whole(header.integer(0x00280011)),
        bits=_whole(header.integer(0x00280100)), metadata=found.metadata, origin=str(provenance.origin),
        visibility=str(provenance.visibility), door=provenance.door, person=_person(provenance), peer=provenance.peer,
        association=provenance.association, repaired=header.repertoire.repaired, now=now,
    )  # fmt: skip


def _whole(value: int | None) -> int | None:
    return value if value is not None and -(2**31) <= value < 2**31 else None
