"""A clinic's side of the house on a real database, store and spool: door, worklist, uploads, with their pages."""

from __future__ import annotations

import atexit
import io
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from zoneinfo import ZoneInfo

from fastapi import FastAPI
from fastapi.testclient import TestClient

from center import postgres_driver as driver
from center.accounts import Accounts
from center.clock import CountedIdentifiers, HeldClock
from center.codes import Role, Service
from center.database import Database
from center.identity import Actor, CaseId, ClinicId
from center.jobs import Runner
from center.notifier import KeptNotifier
from center.objects.directory import DirectoryStore
from center.ports import Provenance, Stored
from dicom_gateway.room import Gateway, report_sop_uid
from portal.demo_studies import MadePerson, film_dicom
from portal.parts import Parts
from portal.signin import web as signin
from portal.uploads import web as uploads
from tests.house import PASSWORD, csrf_of, house, signed_in
from tests.worklist.bench import KeptReads, PasswordSigner, PlainRenderer, PlainSealer
from worklist.parts import Parts as WorklistParts
from worklist.records import CaseRow, DraftContent, Lease, RequestForm
from worklist.room import SUBSCRIPTIONS, Worklist
from worklist.timing import Timing
from worklist.web import routers as worklist_web

SHIGOU, HELAN = ClinicId("shigou"), ClinicId("helan")
ZONE = "Asia/Shanghai"
MA = MadePerson("SG-20480117", "马忆舟", "MA^YIZHOU", "M", date(1959, 4, 2))
#: login -> name and roles.
PEOPLE: dict[str, tuple[str, tuple[tuple[str, Role], ...]]] = {
    "tech": ("海晓燕", (("shigou", Role.TECHNICIAN),)),
    "doctor": ("柳春禾", (("shigou", Role.CLINIC_DOCTOR),)),
    "far": ("江远", (("helan", Role.TECHNICIAN),)),
    "both": ("柏同", (("shigou", Role.TECHNICIAN), ("helan", Role.TECHNICIAN))),
    "reader": ("陈屿", (("tertiary", Role.READER),)),
}


@dataclass
class ClinicHouse:
    """Everything bound as wiring does it, without models; jobs run when ``run`` is called."""

    app: FastAPI
    accounts: Accounts
    clock: HeldClock
    gateway: Gateway
    worklist: Worklist
    store: DirectoryStore
    runner: Runner
    database: Database
    admin: str
    people: Mapping[str, str]

    # ------------------------------------------------------------ what arrives
    def run(self) -> None:
        self.runner.run_until_idle()

    def later(self, minutes: float) -> None:
        self.clock.advance(60 * minutes)
        self.run()

    def local(self) -> Any:
        return self.clock.now().astimezone(ZoneInfo(ZONE)).replace(microsecond=0, tzinfo=None)

    def film(self, person: MadePerson = MA, clinic: ClinicId = SHIGOU, *, seed: str = "", whole: bool = True) -> str:
        """The study's UID; ``whole``: complete, with its case."""
        content = _film(seed or person.local_id, person, self.local().replace(minute=0, second=0))
        sender = "tech" if clinic == SHIGOU else "far"
        outcome = self.gateway.door.accept(
            io.BytesIO(content), Provenance(clinic, "upload", self.actor(sender), complete_on_arrival=whole)
        )
        assert isinstance(outcome, Stored)
        self.run()
        return outcome.study_uid

    def request(self, person: MadePerson = MA, clinic: ClinicId = SHIGOU, **more: Any) -> None:
        form = RequestForm(person.local_id, person.name, person.sex, person.birth_date, exam="胸部正位", **more)
        self.worklist.write_request(self.actor("tech" if clinic == SHIGOU else "far"), clinic, form)

    # ------------------------------------------------------------ what is read
    def actor(self, login: str) -> Actor:
        return self.accounts.actor_of(login)

    def case_of(self, study_uid: str, clinic: ClinicId = SHIGOU) -> CaseRow:
        found = self.worklist.case_of_study(self.actor("reader"), clinic, study_uid)
        assert found is not None
        return found

    def reading(self, study_uid: str, clinic: ClinicId = SHIGOU) -> Lease:
        reader, case_id = self.actor("reader"), self.case_of(study_uid, clinic).case_id
        lease = self.worklist.take(reader, case_id, "先读")
        return self.worklist.open_case(reader, case_id, lease.token)

    def signed(self, study_uid: str, clinic: ClinicId = SHIGOU, *, impression: str = "心肺膈未见明确异常。") -> CaseId:
        """Read, signed, sealed and on the clinic's page."""
        return self.sign(self.reading(study_uid, clinic), impression=impression)

    def sign(self, lease: Lease, *, impression: str = "心肺膈未见明确异常。") -> CaseId:
        reader = self.actor("reader")
        detail = self.worklist.case(reader, lease.case_id)
        assert detail.draft is not None
        content = DraftContent(findings="双肺清晰，心影不大。", impression=impression)
        self.worklist.save_draft(reader, lease.case_id, lease.token, content, detail.draft.version)
        preview = self.worklist.preview(reader, lease.case_id, lease.token)
        self.worklist.sign(reader, lease.case_id, lease.token, preview.sha256, PASSWORD)
        self.run()
        return lease.case_id

    # ------------------------------------------------------------ who looks
    def browser(self, login: str) -> TestClient:
        return signed_in(self.app, login)

    def post(self, client: TestClient, path: str, page: str = "/clinic", **fields: Any) -> Any:
        return client.post(path, data={"csrf": csrf_of(client, page), **fields})

    def query(self, sql: str, *params: Any) -> list[tuple[Any, ...]]:
        """As the administrator, for looking only."""
        with driver.connect(self.admin) as connection:
            return connection.execute(sql.encode(), params).fetchall()


@lru_cache(maxsize=50)
def _film(seed: str, person: MadePerson, at: datetime) -> bytes:
    return film_dicom(seed, person, at, rows=60, columns=50)


@lru_cache(maxsize=2)
def shared_house(service_dsn: str, admin_dsn: str) -> ClinicHouse:
    """One for all tests of a session: binding a house takes longer than a test. Its clock only goes forward."""
    folder = Path(tempfile.mkdtemp(prefix="helan-clinic-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    (folder / "objects").mkdir()
    dsns = {"helan_service": service_dsn, "admin": admin_dsn}
    return clinic_house(dsns, DirectoryStore(folder / "objects"), folder / "spool")


def in_emptied(emptied: Mapping[str, str]) -> ClinicHouse:
    """The shared house with its people, over tables that hold nothing else but the clinics."""
    made = shared_house(emptied["helan_service"], emptied["admin"])
    made.accounts.clinics()
    if not made.query("select 1 from center.person limit 1"):
        _put_people_back(emptied["admin"], made.people)
    return made


def clinic_house(emptied: Mapping[str, str], store: DirectoryStore, spool_dir: Path, **changes: Any) -> ClinicHouse:
    """Clinics must be there. changes: other parts for the worklist (renderer, signer, sealer).

    Its clock stands an hour ahead of the database's, whose own time is in jobs that may run at once.
    """
    clock = changes.pop("clock", None) or HeldClock(datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1))
    identifiers, reads = CountedIdentifiers(), KeptReads()
    database = Database(emptied["helan_service"], SUBSCRIPTIONS, size=12)
    accounts = Accounts(database, clock, identifiers)
    gateway = Gateway.open(
        database, store, spool_dir, clock, identifiers, reads, reserve_bytes=0, quiet_s=None, ae_title="HELAN"
    )
    worklist = Worklist(
        replace(
            WorklistParts(
                database=database, clock=clock, identifiers=identifiers, objects=store, studies=gateway.index,
                reads=reads, peers=gateway.peers, signer=PasswordSigner(clock), sealer=PlainSealer(),
                notifier=KeptNotifier(), renderer=PlainRenderer(), report_sop_uid=report_sop_uid,
                public_url="https://helan.example", timing=Timing(),
            ),
            **changes,
        )
    )  # fmt: skip
    gateway.bind(reports=worklist, access=worklist)
    _people(accounts, emptied["admin"])
    parts = cast(
        Parts,
        SimpleNamespace(
            clock=clock, database=database, store=store, accounts=accounts, gateway=gateway, worklist=worklist
        ),
    )
    app = house(
        accounts, clock,
        lambda web: [
            signin.router(web, accounts, False), *gateway.routers(web),
            *worklist_web.all_routers(
                web, worklist, studies=gateway.index, identities=gateway.index, clock=clock
            ),
            uploads.router(web, parts),
        ],
    )  # fmt: skip
    runner = Runner(database, {**worklist.handlers, **gateway.handlers}, clock)
    people = _rows(emptied["admin"])
    return ClinicHouse(app, accounts, clock, gateway, worklist, store, runner, database, emptied["admin"], people)


def _people(accounts: Accounts, admin: str) -> None:
    for service in Service:
        for clinic in (SHIGOU, HELAN):
            accounts.add_agreement(clinic, "tertiary", service)
    for login, (name, roles) in PEOPLE.items():
        licence = "110640000000002" if login in ("reader", "doctor") else ""
        scope = tuple(Service) if login == "reader" else ()
        person_id, _ = accounts.add_person(
            login, name, PASSWORD, roles, name_en=login.title(), licence=licence, scope=scope
        )
        if login == "reader":
            with driver.connect(admin, autocommit=True) as connection:
                connection.execute(
                    "insert into center.certificate (serial, person_id, certificate, wrapped_key, created_at)"
                    " values ('serial-1', %s, 'x', '{}', now())", (person_id,),
                )  # fmt: skip


#: What ``_people`` fills: kept once as rows, since hashing passwords anew takes longer than a test.
_PEOPLE_TABLES = ("center.agreement", "center.person", "center.membership", "center.certificate")


def _rows(admin: str) -> dict[str, str]:
    with driver.connect(admin) as connection:
        return {
            table: str(
                connection.execute(f"select coalesce(json_agg(t), '[]')::text from {table} t".encode()).fetchone()[0]
            )  # type: ignore[index]
            for table in _PEOPLE_TABLES
        }


def _put_people_back(admin: str, rows: Mapping[str, str]) -> None:
    with driver.connect(admin, autocommit=True) as connection:
        for table, text in rows.items():
            connection.execute(
                f"insert into {table} overriding system value select * from json_populate_recordset(null::{table}, %s::json)".encode(),
                (text,),
            )
