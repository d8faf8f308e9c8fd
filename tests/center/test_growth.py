"""What is asked each second or at each look costs what it gives back, whatever lies in the tables besides."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest

from center import audit, jobs
from center import postgres_driver as driver
from center.database import Database
from center.identity import SYSTEM, Actor, ClinicId, system_for
from dicom_gateway.qido import Level, Scope, parse, statement
from dicom_gateway.store import QUERIES
from portal.audit import rows as audit_rows
from tests.growth import touched

SHIGOU = ClinicId("shigou")
NOW = datetime(2026, 11, 22, 2, 0, tzinfo=UTC)
HANDLERS = [f"room.work_{n}" for n in range(12)]


@dataclass(frozen=True, slots=True)
class Size:
    jobs: int
    studies: int
    audit: int


SMALL, WHOLE = Size(4_000, 800, 4_000), Size(1_000_000, 200_000, 5_000_000)


def fill(admin: str, size: Size) -> None:
    """Waiting jobs of all handlers (half not due, few urgent) and done ones, studies of 3 series and 6 images, a
    chained audit with three rows that wait for the sealer."""
    with driver.connect(admin, autocommit=True) as connection:
        connection.execute(
            "set session_replication_role = replica"
        )  # no triggers, no foreign keys: a day's work made at once
        for statement_text in _FILL:
            connection.execute(
                statement_text.encode(), {"jobs": size.jobs, "studies": size.studies, "audit": size.audit}
            )
        for table in ("center.job", "center.audit", "center.audit_chain", "center.audit_unchained", "gateway.study",
                      "gateway.series", "gateway.instance", "center.patient", "center.clinic", "center.person"):  # fmt: skip
            connection.execute(f"vacuum analyze {table}".encode())


_FILL = (
    """insert into center.job (clinic_id, handler, dedup, payload, priority, run_at, state, finished_at)
    select 'shigou', 'room.work_' || n %% 12, n::text, '{}', case when n %% 1000 = 0 then 9 else 0 end,
      timestamptz '2026-11-22 02:00Z' + case when n %% 2 = 0 then interval '1 day' else interval '-1 hour' end
        + n * interval '1 millisecond',
      case when n %% 4 = 3 then 'done' else 'ready' end, case when n %% 4 = 3 then now() - interval '1 day' end
    from generate_series(1, %(jobs)s) n""",
    """insert into center.patient (clinic_id, patient_id, local_id, name)
    select 'shigou', 'p' || n, n::text, '患者' || n from generate_series(1, %(studies)s / 2) n""",
    """insert into gateway.study (clinic_id, study_uid, patient_id, study_date, study_time, batch_first_at,
      first_arrival_at, last_arrival_at)
    select 'shigou', '2.25.' || n, 'p' || (1 + n %% (%(studies)s / 2)), to_char(date '2026-01-01' + n %% 300, 'YYYYMMDD'),
      '101500', now(), now(), timestamptz '2026-01-01 00:00Z' + n * interval '1 second'
    from generate_series(1, %(studies)s) n""",
    """insert into gateway.series (clinic_id, study_uid, series_uid, modality, received_n, clinic_n, clinic_classes)
    select 'shigou', '2.25.' || n, '2.25.' || n || '.' || k, 'CT', 2, 2, array['1.2.840.10008.5.1.4.1.1.2']
    from generate_series(1, %(studies)s) n, generate_series(1, 3) k""",
    """insert into gateway.instance (clinic_id, sop_uid, study_uid, series_uid, sop_class_uid, transfer_syntax, sha256,
      bytes, dataset_offset, dataset_digest, metadata, origin, visibility, door, received_at)
    select 'shigou', '2.25.' || n || '.' || k || '.' || i, '2.25.' || n, '2.25.' || n || '.' || k,
      '1.2.840.10008.5.1.4.1.1.2', '1.2.840.10008.1.2.1', '', 0, 0, '', '', 'received', 'clinic', 'dimse', now()
    from generate_series(1, least(%(studies)s, 20000)) n, generate_series(1, 3) k, generate_series(1, 2) i""",
    """insert into center.audit (at, person_id, login, clinic_id, act, thing)
    select timestamptz '2026-01-01 00:00Z' + n * interval '1 second', 'p', 'chenyu', 'shigou',
      'case:act' || n %% 40, 'case:' || n from generate_series(1, %(audit)s) n""",
    "insert into center.audit_chain (seq, audit_id, hash) select id, id, '' from center.audit order by id limit %(audit)s - 3",
    "insert into center.audit_unchained select id from center.audit order by id desc limit 3",
)


@pytest.fixture(
    scope="module", params=[pytest.param(SMALL, id="small"), pytest.param(WHOLE, id="whole", marks=pytest.mark.long)]
)
def size(request: pytest.FixtureRequest, migrated: dict[str, str]) -> Iterator[Size]:
    with driver.connect(migrated["admin"], autocommit=True) as connection:
        connection.execute(_EMPTY)
    fill(migrated["admin"], request.param)
    yield request.param
    with driver.connect(migrated["admin"], autocommit=True) as connection:
        connection.execute(_EMPTY)


_EMPTY = """truncate center.job, center.audit, center.audit_chain, center.audit_unchained, gateway.study, gateway.series,
  gateway.instance, center.patient cascade"""


@pytest.fixture
def filled(size: Size, migrated: dict[str, str]) -> Iterator[Database]:
    database = Database(migrated["helan_service"], {})
    yield database
    database.close()


class _RolledBack(Exception):
    pass


def cost(database: Database, sql: str, actor: Actor = SYSTEM, **params: object) -> int:
    """Rows touched; whatever the statement did is undone."""
    found = 0
    try:
        with database.transaction(actor) as work:
            found = touched(work, sql, **params)
            raise _RolledBack
    except _RolledBack:
        return found


def test_claiming_a_job_touches_the_few_that_are_next(filled: Database) -> None:
    claim = {"me": "me", "lease": 60, "now": NOW, "limit": 1}
    assert cost(filled, jobs._CLAIM, handlers=HANDLERS, **claim) < 150  # pyright: ignore[reportPrivateUsage]
    assert cost(filled, jobs._CLAIM, handlers=["room.none"], **claim) < 10  # pyright: ignore[reportPrivateUsage]


def test_the_most_urgent_due_job_is_claimed_whatever_else_waits(filled: Database, size: Size) -> None:
    with pytest.raises(_RolledBack), filled.transaction(SYSTEM) as work:
        taken = [
            work.all(jobs._CLAIM, me="me", lease=60, now=NOW, handlers=HANDLERS, limit=1)[0]  # pyright: ignore[reportPrivateUsage]
            for _ in range(5)
        ]
        due = work.all(
            "select id from center.job where run_at <= %(now)s and (state = 'ready' or lease_by = 'me')"
            " order by priority desc, run_at, id limit 5",
            now=NOW,
        )
        assert [t["id"] for t in taken] == [d["id"] for d in due]
        raise _RolledBack


def test_housekeeping_does_not_walk_over_what_is_done(filled: Database) -> None:
    assert cost(filled, jobs._OLD) < 10  # pyright: ignore[reportPrivateUsage]
    lapsed = {"most": 20, "waits": [1, 2], "said": "", "error": "{}"}
    assert cost(filled, jobs._LAPSED.replace("%(error)s", "%(error)s::jsonb"), **lapsed) < 10  # pyright: ignore[reportPrivateUsage]


def test_the_sealer_reads_what_it_has_to_chain(filled: Database) -> None:
    assert cost(filled, audit._UNCHAINED, n=500) <= 6  # pyright: ignore[reportPrivateUsage]


def test_the_audits_page_reads_a_page(filled: Database) -> None:
    found = {"clinic": "", "act": "", "login": "", "begin": None, "end": None, "before": None}
    assert cost(filled, audit_rows._SQL["audit_page"], **found, limit=101) < 1_000  # pyright: ignore[reportPrivateUsage]
    assert cost(filled, audit_rows._SQL["audit_page"], **found | {"clinic": "shigou"}, limit=101) < 1_000  # pyright: ignore[reportPrivateUsage]
    assert cost(filled, audit_rows._SQL["audit_chain_state"]) < 20  # pyright: ignore[reportPrivateUsage]


@pytest.mark.parametrize("wanted", [{}, {"study": "2.25.17"}, {"patient": "p9"}], ids=["latest", "study", "patient"])
def test_a_list_of_studies_counts_only_what_it_shows(filled: Database, wanted: dict[str, str]) -> None:
    asked = {"clinic": SHIGOU, "study": None, "patient": None, "besides": ""} | wanted
    assert cost(filled, QUERIES["summaries"], system_for(SHIGOU), **asked, limit=50) < 500


@pytest.mark.parametrize(
    "asked", [[], [("ModalitiesInStudy", "CT")], [("StudyDate", "20260105-")], [("PatientID", "77")]]
)
def test_a_qido_search_costs_its_answer(filled: Database, asked: list[tuple[str, str]]) -> None:
    search = parse(Level.STUDY, [*asked, ("limit", "50")])
    sql, params = statement(search, Scope(("shigou",), ("clinic", "readers")))
    assert cost(filled, sql, system_for(SHIGOU), **params) < 1_000
