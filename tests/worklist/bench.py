"""The room on a real database and store, with twins of what other rooms give it, and a clock that is moved by hand."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

from center import postgres_driver as driver
from center.clock import CountedIdentifiers, HeldClock
from center.codes import Origin, Role, Service, Visibility
from center.database import Database
from center.errors import Forbidden, NotFound
from center.events import IdentityCorrected, PreliminaryReadMade, StudyCompleted, StudyExtended
from center.identity import Actor, ClinicId, Membership, PersonId, Reading, system_for
from center.jobs import Job, Runner
from center.notifier import KeptNotifier
from center.patients import PatientIdentity
from center.ports import InstanceRef, ObjectStore, SendOutcome, Signature, StoredRead, StudySummary
from center.reads import Decision, Finding, Outcome, PreliminaryRead, Reason
from worklist import store
from worklist.parts import Parts
from worklist.records import CaseRow, DraftContent, Lease, Preview, Signed
from worklist.room import SUBSCRIPTIONS, Worklist
from worklist.sheet import ReportSheet, canonical_json

PASSWORD = "correct horse battery"
SHIGOU, HELAN, TERTIARY = ClinicId("shigou"), ClinicId("helan"), ClinicId("tertiary")


# ---------------------------------------------------------------- people
def reader(name: str = "reader", *clinics: ClinicId, service: Service = Service.IMAGING, licence: str = "1") -> Actor:
    """A licensed reader of the tertiary hospital for these clinics (both townships when none are named)."""
    readings = frozenset(Reading(c, TERTIARY, service) for c in clinics or (SHIGOU, HELAN))
    return Actor(
        PersonId(name), name, f"医师{name}", memberships=frozenset({Membership(TERTIARY, Role.READER)}),
        readings=readings, licence=licence, scope=frozenset({service}),
    )  # fmt: skip


def person(role: Role, clinic: ClinicId = SHIGOU, name: str = "") -> Actor:
    name = name or role.value
    return Actor(PersonId(name), name, f"人员{name}", memberships=frozenset({Membership(clinic, role)}))


# ---------------------------------------------------------------- twins of the other rooms
class Studies:
    """The gateway's index, in memory."""

    def __init__(self) -> None:
        self.known: dict[tuple[str, str], StudySummary] = {}
        self.filed: dict[str, list[str]] = {}

    def summary(self, actor: Actor, clinic_id: ClinicId, study_uid: str) -> StudySummary:
        found = self.known.get((clinic_id, study_uid))
        if found is None or clinic_id not in actor.clinics:
            raise NotFound("没有找到。", "Not found.")
        return found

    def instances(self, actor: Actor, clinic_id: ClinicId, study_uid: str) -> Sequence[InstanceRef]:
        study = self.summary(actor, clinic_id, study_uid)
        received = [self._ref(f"{study_uid}.{n}", Origin.RECEIVED) for n in range(study.instances)]
        return received + [self._ref(uid, Origin.RESULT) for uid in self.filed.get(study_uid, [])]

    @staticmethod
    def _ref(uid: str, origin: Origin) -> InstanceRef:
        return InstanceRef("1.2.3", uid, "1.2", "1.2.840.10008.1.2.1", "0" * 64, "DX", origin, Visibility.CLINIC, 1, 10)

    def priors(self, actor: Actor, clinic_id: ClinicId, study_uid: str, limit: int = 20) -> Sequence[StudySummary]:
        own = self.summary(actor, clinic_id, study_uid)
        return [
            s for (c, u), s in self.known.items()
            if c == clinic_id and u != study_uid and s.patient.patient_id == own.patient.patient_id
        ][:limit]  # fmt: skip

    def recent(self, actor: Actor, clinic_id: ClinicId, limit: int = 50) -> Sequence[StudySummary]:
        found = [s for (c, _), s in self.known.items() if c == clinic_id]
        return sorted(found, key=lambda s: s.last_arrival_at, reverse=True)[:limit]

    def read_bytes(self, actor: Actor, clinic_id: ClinicId, sop_uid: str) -> bytes:
        raise NotFound("没有找到。", "Not found.")


class KeptReads:
    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], list[StoredRead]] = {}

    def of(self, clinic_id: ClinicId, study_uid: str) -> Sequence[StoredRead]:
        return list(reversed(self.kept.get((clinic_id, study_uid), [])))


class Pacs:
    """Peers whose answers a test lays out; what arrived is kept by delivery key."""

    def __init__(self) -> None:
        self.aets: list[str] = []
        self.answers: list[SendOutcome] = []
        self.sent: list[tuple[str, str, str]] = []
        self.while_sending: Any = None

    def destinations(self, clinic_id: ClinicId) -> Sequence[str]:
        return list(self.aets)

    def send(self, clinic_id: ClinicId, peer_aet: str, delivery_key: str, sop_uid: str) -> SendOutcome:
        self.sent.append((peer_aet, delivery_key, sop_uid))
        if self.while_sending is not None:
            self.while_sending()
        return self.answers.pop(0) if self.answers else SendOutcome(True, 0, "")


class PlainRenderer:
    """The sheet's canonical bytes behind a PDF's first line: enough where no page is looked at."""

    def render(self, sheet: ReportSheet, lang: str) -> bytes:
        return b"%PDF-1.7\n" + lang.encode() + canonical_json(sheet) + sheet.qr_url.encode()


class PasswordSigner:
    def __init__(self, clock: HeldClock) -> None:
        self._clock = clock

    def confirm(self, person_id: str, secret: str) -> None:
        if secret != PASSWORD:
            raise Forbidden("密码不正确。", "The password is not right.")

    def sign(self, pdf: bytes, person_id: str, secret: str, reason: str) -> Signature:
        self.confirm(person_id, secret)
        signed = pdf + b"\nsigned by " + person_id.encode()
        return Signature(signed, hashlib.sha256(signed).hexdigest(), "serial-1", self._clock.now())


class PlainSealer:
    def stamp(self, pdf: bytes) -> bytes:
        return pdf + b"\nstamped"


# ---------------------------------------------------------------- the bench
def sop_uid(clinic_id: str, study_uid: str, case_id: str, version: int) -> str:
    return f"2.25.{int(hashlib.sha256(f'{case_id}{version}'.encode()).hexdigest()[:16], 16)}"


@dataclass
class Bench:
    database: Database
    admin: str
    clock: HeldClock
    parts: Parts
    room: Worklist
    studies: Studies
    reads: KeptReads
    pacs: Pacs
    notifier: KeptNotifier
    runner: Runner
    _n: int = field(default=0)

    # ------------------------------------------------------------ arrivals
    def study(self, clinic: ClinicId = SHIGOU, **changes: Any) -> StudySummary:
        """A chest film that is complete, of a patient of his own; not yet told."""
        self._n += 1
        now = self.clock.now()
        patient = PatientIdentity(f"p{self._n}", f"MRN{self._n}", "马忆舟", "ma yi zhou", "M", date(1959, 4, 2))
        study = StudySummary(
            clinic, f"1.2.826.0.1.{self._n}", patient, f"A{self._n}", frozenset({"DX"}), "胸部正位", "CHEST",
            now.replace(tzinfo=None), now - timedelta(seconds=30), now - timedelta(seconds=5), now, 1, 1,
            state="complete", generation=1,
        )  # fmt: skip
        study = replace(study, **changes)
        self.studies.known[clinic, study.study_uid] = study
        return study

    def complete(self, study: StudySummary) -> CaseRow:
        """The case that was opened when the study was told complete."""
        self.emit(StudyCompleted(study.clinic_id, study.study_uid, study.generation))
        return self.case_of(study)

    def arrive(self, clinic: ClinicId = SHIGOU, **changes: Any) -> CaseRow:
        return self.complete(self.study(clinic, **changes))

    def extend(self, case: CaseRow, added: int = 1) -> None:
        old = self.studies.known[case.clinic_id, case.study_uid]
        new = replace(old, instances=old.instances + added, generation=old.generation + 1)
        self.studies.known[case.clinic_id, case.study_uid] = new
        self.emit(StudyExtended(case.clinic_id, case.study_uid, new.generation, added))

    def correct(self, case: CaseRow, number: int = 1, **patient: Any) -> None:
        old = self.studies.known[case.clinic_id, case.study_uid]
        new = replace(old, patient=replace(old.patient, **patient), identity_notes=())
        self.studies.known[case.clinic_id, case.study_uid] = new
        self.emit(IdentityCorrected(case.clinic_id, case.study_uid, number))

    def machine_reads(
        self, case: CaseRow, *findings: Finding, model: str = "film", reason: Reason | None = None
    ) -> str:
        """The id of the read that was made, and told."""
        outcome = Outcome.ABSTAINED if reason else Outcome.READ
        return self.tell(case, PreliminaryRead("film", model, "1.0", "", outcome, reason, tuple(findings)))

    def tell(self, case: CaseRow, read: PreliminaryRead) -> str:
        """The id of this read, kept under a digest of its own, and told."""
        kept = self.reads.kept.setdefault((case.clinic_id, case.study_uid), [])
        read, model, outcome = replace(read, input_digest=f"digest{len(kept)}"), read.model, read.outcome
        stored = StoredRead(
            f"read-{len(kept)}-{model}", case.clinic_id, case.study_uid,
            self.clock.now() + timedelta(milliseconds=len(kept)), (f"{case.study_uid}.0",), read,
        )  # fmt: skip
        kept.append(stored)
        critical = len(read.critical_findings)
        self.emit(
            PreliminaryReadMade(
                case.clinic_id, case.study_uid, model, read.version, read.input_digest, outcome.value, critical
            )
        )
        return stored.read_id

    def emit(self, event: Any) -> None:
        with self.database.transaction(system_for(event.clinic_id)) as work:
            work.emit(event)
        self.run()

    # ------------------------------------------------------------ time and jobs
    def run(self, *, failures: bool = False) -> None:
        """Runs what is due; a handler that failed fails the test unless ``failures``."""
        self.runner.run_until_idle()
        if not failures:
            with driver.connect(self.admin) as connection:
                bad = connection.execute(
                    "select handler, last_error from center.job where last_error is not null"
                ).fetchall()
            assert not bad, bad

    def later(self, *, seconds: float = 0, minutes: float = 0) -> None:
        self.clock.advance(seconds + 60 * minutes)
        self.run()

    def again(self, handler: str, clinic: ClinicId = SHIGOU, **payload: Any) -> None:
        """Runs a handler once more, as after a crash between its commit and its job's."""
        self.room.handlers[handler](Job(0, clinic, handler, "again", payload, 1))

    # ------------------------------------------------------------ reading
    def case_of(self, study: StudySummary) -> CaseRow:
        with self.database.transaction(system_for(study.clinic_id)) as work:
            found = store.case_of_study(work, study.clinic_id, study.study_uid)
        assert found is not None
        return found

    def now_is(self, case: CaseRow) -> CaseRow:
        return self.case_of(self.studies.known[case.clinic_id, case.study_uid])

    def reading(self, actor: Actor, case: CaseRow) -> Lease:
        """A lease, opened."""
        lease = self.room.take(actor, case.case_id, "先读")
        return self.room.open_case(actor, case.case_id, lease.token)

    def write(self, actor: Actor, lease: Lease, impression: str = "心肺膈未见明确异常。", **more: Any) -> Preview:
        detail = self.room.case(actor, lease.case_id)
        assert detail.draft is not None
        content = DraftContent(findings=more.pop("findings", "双肺清晰。"), impression=impression, **more)
        self.room.save_draft(actor, lease.case_id, lease.token, content, detail.draft.version)
        return self.room.preview(actor, lease.case_id, lease.token)

    def sign(self, actor: Actor, lease: Lease, impression: str = "心肺膈未见明确异常。", **more: Any) -> Signed:
        preview = self.write(actor, lease, impression, **more)
        return self.room.sign(actor, lease.case_id, lease.token, preview.sha256, PASSWORD)

    def file(self, signed: Signed, case: CaseRow) -> None:
        """What the gateway does on ReportSealed: the document is an instance of the study."""
        uid = sop_uid(case.clinic_id, case.study_uid, signed.case_id, signed.version)
        self.studies.filed.setdefault(case.study_uid, []).append(uid)

    def signed(self, actor: Actor, case: CaseRow, **more: Any) -> Signed:
        """Read, written, signed, sealed and delivered as far as that goes now."""
        signed = self.sign(actor, self.reading(actor, case), **more)
        self.file(signed, case)
        self.run()
        return signed

    def query(self, sql: str, *params: Any) -> list[tuple[Any, ...]]:
        """As the administrator: past row security, for looking only."""
        with driver.connect(self.admin) as connection:
            return connection.execute(sql.encode(), params).fetchall()


def ahead() -> HeldClock:
    """A clock an hour ahead of the database's, whose own time stands in jobs that may run at once."""
    return HeldClock(datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1))


def make_bench(
    emptied: dict[str, str], objects: ObjectStore, clock: HeldClock, *, people: Sequence[str] = (), **changes: Any
) -> Bench:
    """Connected as the service role; these people have certificates, by name only."""
    database = Database(emptied["helan_service"], SUBSCRIPTIONS, size=12)
    studies, reads, pacs, notifier = Studies(), KeptReads(), Pacs(), KeptNotifier()
    parts = Parts(
        database=database, clock=clock, identifiers=CountedIdentifiers(), objects=objects, studies=studies, reads=reads,
        peers=pacs, signer=PasswordSigner(clock), sealer=PlainSealer(), notifier=notifier, renderer=PlainRenderer(),
        report_sop_uid=sop_uid, public_url="https://helan.example",
    )  # fmt: skip
    parts = replace(parts, **changes)
    room = Worklist(parts)
    with driver.connect(emptied["admin"], autocommit=True) as connection:
        for name in people:
            connection.execute(
                "insert into center.person (person_id, login, name, hash) values (%s, %s, %s, 'x')", (name, name, name)
            )
            connection.execute(
                "insert into center.certificate (serial, person_id, certificate, wrapped_key, created_at)"
                " values (%s, %s, 'x', '{}', now())", (f"serial-{name}", name),
            )  # fmt: skip
    runner = Runner(database, room.handlers, clock)
    return Bench(database, emptied["admin"], clock, parts, room, studies, reads, pacs, notifier, runner)


# ---------------------------------------------------------------- findings
def finding(key: str, decision: Decision = Decision.PRESENT, *, critical: bool = False, p: float = 0.9) -> Finding:
    return Finding(key, f"所见{key}", f"finding {key}", p, decision, critical=critical)


ABSTAINED = Reason("not_frontal", "不是正位胸片", "not a frontal chest film")
