"""The door's jobs: moving spooled objects, completing studies, filing results. Each may run twice."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from io import BytesIO

from center import observe
from center.codes import Origin, Visibility
from center.database import Database, Row
from center.errors import NotFound
from center.identity import SYSTEM, CaseId, ClinicId, system_for
from center.jobs import Job, Later
from center.ports import Clock, ObjectStore, Provenance, Reads, Reports, SealedReport, StoredRead
from center.reads import Outcome
from dicom_gateway.completion import (
    CAP_S,
    DEAD_AFTER_S,
    OTHERWISE_S,
    QUIET_S,
    Arrivals,
    Complete,
    decide,
    quiet_s,
)
from dicom_gateway.contents import Contents
from dicom_gateway.dicom_json import identity_json, unpack
from dicom_gateway.ingest import Door, complete
from dicom_gateway.result_uids import median_uids, read_uids, report_uids
from dicom_gateway.source_header import SourceHeader
from dicom_gateway.spool import Spool
from dicom_gateway.store import QUERIES

log = observe.log("gateway")
_spooled = observe.gauge("helan_gateway_spool_oldest_seconds", "Age of the oldest object not yet in the store")
_completed = observe.counter("helan_gateway_studies_total", "Studies completed or extended", ("how",))


class Mover:
    """Spool -> object store; the row says where the bytes are, the spool file goes only afterwards."""

    def __init__(self, database: Database, store: ObjectStore, spool: Spool, clock: Clock) -> None:
        self._database = database
        self._store = store
        self._spool = spool
        self._clock = clock

    def move(self, job: Job) -> None:
        sha256 = str(job.payload["sha256"])
        with self._database.transaction(SYSTEM) as work:
            row = work.one(QUERIES["object"], sha256=sha256)
        if row is None:
            return
        if row["location"] == "spool":
            file = self._spool.open(sha256)
            if file is None:
                raise NotFound("接收区缺少对象。", "The spool lacks an object.", {"sha256": sha256})
            with file:
                if job.payload.get("anew"):  # what lies there under its name is not what the name says
                    self._store.delete(sha256)
                self._store.put(sha256, file, row["bytes"])
            with self._database.transaction(SYSTEM) as work:
                work.run(QUERIES["object_moved"], sha256=sha256)
        self._spool.drop(sha256)
        self.measure()

    def measure(self) -> None:
        with self._database.transaction(SYSTEM) as work:
            row = work.one(QUERIES["oldest_spooled"], host=self._spool.host, now=self._clock.now())
        _spooled.set((row["seconds"] or 0.0) if row else 0.0)


class Completer:
    """Asks ``completion.decide`` until a study is complete."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        *,
        quiet: Mapping[str, float] = QUIET_S,
        otherwise_s: float = OTHERWISE_S,
        cap_s: float = CAP_S,
    ) -> None:
        self._database = database
        self._clock = clock
        self._quiet = quiet
        self._otherwise_s = otherwise_s
        self._cap_s = cap_s

    def complete(self, job: Job) -> None:
        study_uid, now = str(job.payload["study_uid"]), self._clock.now()
        with self._database.transaction(system_for(job.clinic_id)) as work:
            alive_since = now - timedelta(seconds=DEAD_AFTER_S)
            row = work.one(QUERIES["batch"], clinic=job.clinic_id, study=study_uid, alive_since=alive_since)
            if row is None or row["pending"] == 0:
                return
            modalities = frozenset(row["modalities"] or ())
            arrivals = Arrivals(row["batch_first_at"], row["last_arrival_at"], modalities, row["open_association"])
            decision = decide(arrivals, now, quiet_s(modalities, self._quiet, self._otherwise_s), self._cap_s)
            if isinstance(decision, Complete):
                complete(work, job.clinic_id, study_uid, now, partial=decision.partial)
                _completed.labels("partial" if decision.partial else "quiet").inc()
                return
        raise Later(decision.until)


class Filer:
    """Results of ours beside the study: reads for readers, sealed reports for the clinic."""

    def __init__(
        self, database: Database, contents: Contents, door: Door, reads: Reads | None, reports: Reports | None
    ) -> None:
        self._database = database
        self._contents = contents
        self._door = door
        self._reads = reads
        self._reports = reports

    def file_read(self, job: Job) -> None:
        """On PreliminaryReadMade: a Comprehensive SR (TID 1500; an ECG's TID 3700 with its median beat beside it), for
        readers only."""
        assert self._reads is not None
        wanted = (job.payload["model"], job.payload["version"], job.payload["input_digest"])
        study_uid = str(job.payload["study_uid"])
        for kept in self._reads.of(job.clinic_id, study_uid):
            if (kept.read.model, kept.read.version, kept.read.input_digest) == wanted:
                uid = read_uids(job.clinic_id, study_uid, kept.read).instance
                self._file(job.clinic_id, uid, Visibility.READERS, lambda k=kept: self._report_of(k))
                if kept.read.median is not None:
                    uid = median_uids(job.clinic_id, study_uid, kept.read).instance
                    self._file(job.clinic_id, uid, Visibility.READERS, lambda k=kept: self._median_of(k))
                return
        raise NotFound("没有找到该初读。", "There is no such preliminary read.", {"study": study_uid})

    def _report_of(self, kept: StoredRead) -> bytes:
        from dicom_gateway import ecg_results, results  # 2 s with their libraries: loaded when the first is filed

        evidence, zone = self.evidence(ClinicId(kept.clinic_id), kept.study_uid, kept.sop_instance_uids)
        is_ecg = kept.read.kind == "ecg" and kept.read.outcome is Outcome.READ
        return (ecg_results.ecg_read_as_sr if is_ecg else results.read_as_sr)(kept, evidence, zone)

    def _median_of(self, kept: StoredRead) -> bytes:
        from dicom_gateway import ecg_results

        evidence, zone = self.evidence(ClinicId(kept.clinic_id), kept.study_uid, kept.sop_instance_uids)
        return ecg_results.median_as_waveform(kept, evidence[0], zone)

    def file_report(self, job: Job) -> None:
        """On ReportSealed: the sealed file as Encapsulated PDF, visible to its clinic at once."""
        assert self._reports is not None
        report = self._reports.sealed(job.clinic_id, CaseId(job.payload["case_id"]), int(job.payload["version"]))
        uid = report_uids(job.clinic_id, report.study_uid, report.case_id, report.version).instance
        self._file(job.clinic_id, uid, Visibility.CLINIC, lambda: self._pdf_of(report))

    def _pdf_of(self, report: SealedReport) -> bytes:
        from dicom_gateway import results

        evidence, zone = self.evidence(report.clinic_id, report.study_uid, report.seen_sop_uids)
        return results.report_as_pdf(report, evidence[0], zone, evidence)

    def hide_report(self, job: Job) -> None:
        """On ReportWithdrawn: gone for the clinic, kept for readers and the audit.  Raises NotFound until it is filed."""
        case_id, version, study_uid = (
            str(job.payload["case_id"]),
            int(job.payload["version"]),
            str(job.payload["study_uid"]),
        )
        uid = report_uids(job.clinic_id, study_uid, case_id, version).instance
        with self._database.transaction(system_for(job.clinic_id)) as work:
            found = work.run(QUERIES["show_to"], clinic=job.clinic_id, sop=uid, visibility=str(Visibility.READERS))
            if found:
                work.audit("report:hide", f"instance:{uid}", clinic_id=job.clinic_id)
                return
        raise NotFound("报告尚未归档，稍后再隐藏。", "The report is not filed yet; it will be hidden later.")

    def _file(self, clinic_id: ClinicId, uid: str, visibility: Visibility, make: Callable[[], bytes]) -> None:
        with self._database.transaction(system_for(clinic_id)) as work:
            if work.one(QUERIES["held_instance"], clinic=clinic_id, sop=uid):
                return  # made before; made again it would be the same object
        self._door.accept(
            BytesIO(make()), Provenance(clinic_id, "result", SYSTEM, origin=Origin.RESULT, visibility=visibility)
        )

    def evidence(
        self, clinic_id: ClinicId, study_uid: str, sop_uids: tuple[str, ...]
    ) -> tuple[list[SourceHeader], str]:
        """Headers of the instances that a result is about, with the patient as the center knows him; the clinic's zone."""
        with self._database.transaction(system_for(clinic_id)) as work:
            rows = work.all(
                QUERIES["shelf"], clinic=clinic_id, study=study_uid, series=None, sop=None, with_metadata=True,
                visibilities=[str(v) for v in Visibility], limit=5000,
            )  # fmt: skip
            identity = work.one(QUERIES["identity_of_study"], clinic=clinic_id, study=study_uid)
            zone = work.one("select zone from center.clinic where clinic_id = %(c)s", c=clinic_id)
        received = [r for r in rows if r["origin"] != str(Origin.RESULT)]
        named = [r for r in received if r["sop_uid"] in set(sop_uids)] or received
        if not named or identity is None or zone is None:
            raise NotFound("没有找到该检查。", "There is no such study.", {"study": study_uid})
        return [_header(r, identity) for r in named[:200]], zone["zone"]


def _header(row: Row, identity: Row) -> SourceHeader:
    """What a result takes over from an instance; the study's patient is the one that is named, also where
    it named another."""
    metadata = unpack(bytes(row["metadata"]))
    other = identity["corrections"] or identity["other_identities"]
    found = SourceHeader.of(metadata | identity_json(identity) if other else metadata)
    return replace(
        found, study_uid=row["study_uid"], series_uid=row["series_uid"], sop_uid=row["sop_uid"],
        sop_class_uid=row["sop_class_uid"],
    )  # fmt: skip
