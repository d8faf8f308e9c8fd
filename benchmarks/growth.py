"""What is asked each second or at each look, at a tenth and at the whole of a large region: milliseconds, and the ratio.

``python -m benchmarks.growth [--share 0.1]`` starts a PostgreSQL of its own, fills it as ``tests/center/test_growth.py``
does (whole: 1,000,000 jobs, 200,000 studies, 5,000,000 audit rows) and times each statement, interleaved with the one
that it took the place of.  Medians of 15 rounds; everything is rolled back.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from center import audit, jobs
from center import postgres_driver as driver
from center.database import Database
from center.identity import SYSTEM, Actor, system_for
from center.migrations import migrate, passwords
from center.postgres import EmbeddedPostgres
from dicom_gateway.qido import Level, Scope, parse, statement
from dicom_gateway.store import QUERIES
from tests.center.test_growth import HANDLERS, NOW, SHIGOU, WHOLE, Size, fill

ROUNDS = 15
_CLAIM_BEFORE = """update center.job set state = 'running', attempts = attempts + 1, lease_by = %(me)s,
  lease_until = now() + make_interval(secs => %(lease)s)
where id in (select id from center.job where state = 'ready' and run_at <= %(now)s and handler = any(%(handlers)s)
  order by priority desc, run_at, id for update skip locked limit %(limit)s) returning id"""
_LIST_BEFORE = """select s.*, c.instances from gateway.study s cross join lateral (
  select count(*)::int as instances from gateway.instance i join gateway.series e on e.clinic_id = i.clinic_id
    and e.study_uid = i.study_uid and e.series_uid = i.series_uid
  where i.clinic_id = s.clinic_id and i.study_uid = s.study_uid and i.origin <> 'result') c
where s.clinic_id = %(clinic)s order by s.last_arrival_at desc nulls last, s.study_date desc limit %(limit)s"""
_UNCHAINED_BEFORE = """select a.* from center.audit a
where not exists (select 1 from center.audit_chain c where c.audit_id = a.id) order by a.id limit %(n)s"""


class _Undone(Exception):
    pass


def took_ms(database: Database, actor: Actor, sql: str, params: Mapping[str, object]) -> float:
    began = 0.0
    try:
        with database.transaction(actor) as work:
            began = time.perf_counter()
            work.all(sql, **params)
            raise _Undone
    except _Undone:
        return 1000 * (time.perf_counter() - began)


def asked() -> dict[str, tuple[Actor, str, Mapping[str, object]]]:
    claim = {"me": "me", "lease": 60, "now": NOW, "limit": 1, "handlers": HANDLERS}
    studies = {"clinic": SHIGOU, "study": None, "patient": None, "besides": "", "limit": 50}
    search, params = statement(parse(Level.STUDY, [("limit", "50")]), Scope(("shigou",), ("clinic",)))
    clinic = system_for(SHIGOU)
    return {
        "claim a job": (SYSTEM, jobs._CLAIM, claim),  # pyright: ignore[reportPrivateUsage]
        "  as it was": (SYSTEM, _CLAIM_BEFORE, claim),
        "audit rows to chain": (SYSTEM, audit._UNCHAINED, {"n": 500}),  # pyright: ignore[reportPrivateUsage]
        "  as it was ": (SYSTEM, _UNCHAINED_BEFORE, {"n": 500}),
        "list of 50 studies": (clinic, QUERIES["summaries"], studies),
        "  as it was  ": (clinic, _LIST_BEFORE, {"clinic": SHIGOU, "limit": 50}),
        "QIDO, 50 studies": (clinic, search, params),
    }


def measured(database: Database) -> dict[str, float]:
    """Milliseconds by name; the statements take turns."""
    found: dict[str, list[float]] = {}
    for _ in range(ROUNDS):
        for name, (actor, sql, params) in asked().items():
            found.setdefault(name, []).append(took_ms(database, actor, sql, params))
    return {name: statistics.median(times) for name, times in found.items()}


def at(size: Size) -> dict[str, float]:
    folder = Path(tempfile.mkdtemp(prefix="helan-growth-", dir="/tmp"))
    folder.chmod(0o755)
    server = EmbeddedPostgres(folder / "pg")
    try:
        admin = server.start()
        with driver.connect(admin, autocommit=True) as connection:
            connection.execute("alter system set fsync = off")
            connection.execute("select pg_reload_conf()")
        migrate(admin, folder / "secrets")
        fill(admin, size)
        word = passwords(folder / "secrets")["helan_service"]
        database = Database(driver.dsn_for(admin, user="helan_service", password=word), {})
        try:
            return measured(database)
        finally:
            database.close()
    finally:
        server.stop()


def main() -> None:
    reader = argparse.ArgumentParser(description=__doc__)
    reader.add_argument("--share", type=float, default=1.0, help="of the whole size")
    share = reader.parse_args().share
    whole = replace(
        WHOLE, jobs=int(WHOLE.jobs * share), studies=int(WHOLE.studies * share), audit=int(WHOLE.audit * share)
    )
    tenth = replace(whole, jobs=whole.jobs // 10, studies=whole.studies // 10, audit=whole.audit // 10)
    small, large = at(tenth), at(whole)
    print(f"{'':24}{'tenth, ms':>12}{'whole, ms':>12}{'ratio':>8}   whole: {whole}")
    for name in large:
        print(f"{name:24}{small[name]:12.2f}{large[name]:12.2f}{large[name] / small[name]:8.1f}")


if __name__ == "__main__":
    main()
