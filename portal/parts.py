"""Everything that runs in one process, bound once by wiring; and how it is: health and gauges."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from center import observe
from center.accounts import Accounts
from center.audit import AuditSealer, AuditVerifier
from center.authority import Authority
from center.clock import RandomIdentifiers, SystemClock
from center.database import Database
from center.errors import Failure
from center.identity import SYSTEM
from center.ports import ObjectStore
from center.scrub import Scrubber
from center.settings import Settings
from center.signing import CenterSealer, CertificateSigner
from center.web import Web
from portal.live import Live

if TYPE_CHECKING:
    from dicom_gateway.room import Gateway
    from inference.room import ReadStore
    from worklist.room import Worklist

#: Jobs that wait longer than this, or are given up, are named by /health.
_LATE_S = 120

_waiting = observe.gauge("helan_center_jobs_waiting", "Jobs that are due and wait")
_dead = observe.gauge("helan_center_jobs_dead", "Jobs that were given up")
_late = observe.gauge("helan_center_jobs_oldest_seconds", "How long the oldest due job has waited")
_spool = observe.gauge("helan_gateway_spool_oldest_seconds", "Age of the oldest object that is not in the store yet")


@dataclass(slots=True)
class Parts:
    """``web`` is None outside the web process."""

    settings: Settings
    clock: SystemClock
    identifiers: RandomIdentifiers
    database: Database
    store: ObjectStore
    accounts: Accounts
    authority: Authority
    signer: CertificateSigner
    sealer: CenterSealer
    audit_sealer: AuditSealer
    audit_verifier: AuditVerifier
    scrubber: Scrubber
    gateway: Gateway
    reads: ReadStore
    worklist: Worklist
    live: Live
    web: Web
    notifier_is_automatic: bool

    def health(self) -> dict[str, object]:
        """What /health answers: ``status`` ok | degraded | down, and each part in words."""
        checks: dict[str, str] = {"database": "ok", "store": "ok", "clock": "ok", "jobs": "ok"}
        facts: dict[str, object] = {}
        try:
            now, took_s = self.database.now()
            skew_s = self.clock.correct(now, took_s)
            facts["clock_skew_s"] = round(skew_s, 3)
            if not self.clock.trusted:
                checks["clock"] = f"{skew_s:+.1f} s from the database's clock: no cases are handed out"
            jobs = self._jobs()
            facts["jobs"] = jobs
            if jobs["dead"] or jobs["oldest_s"] > _LATE_S:
                checks["jobs"] = f"{jobs['dead']} given up, the oldest waits {jobs['oldest_s']:.0f} s"
        except Failure as failure:
            checks["database"] = failure.en
        try:
            self.store.stat("0" * 64)
        except Failure as failure:
            checks["store"] = failure.en
        down = checks["database"] != "ok"
        status = "down" if down else "ok" if all(v == "ok" for v in checks.values()) else "degraded"
        return {"status": status, "checks": checks, "notifier_automatic": self.notifier_is_automatic, **facts}

    def measure(self) -> None:
        """Sets the gauges that come from the database."""
        try:
            jobs = self._jobs()
        except Failure:
            return
        _waiting.set(jobs["waiting"])
        _dead.set(jobs["dead"])
        _late.set(jobs["oldest_s"])
        _spool.set(jobs["spool_oldest_s"])

    def _jobs(self) -> dict[str, float]:
        with self.database.transaction(SYSTEM) as work:
            row = work.one(_JOBS)
            spool = work.one(_SPOOL)
        assert row is not None and spool is not None
        return {
            "waiting": float(row["waiting"]),
            "dead": float(row["dead"]),
            "oldest_s": float(row["oldest_s"] or 0),
            "spool_oldest_s": float(spool["oldest_s"] or 0),
        }


_JOBS = """select count(*) filter (where state = 'ready' and run_at <= now()) as waiting,
  count(*) filter (where state = 'dead') as dead,
  extract(epoch from now() - min(run_at) filter (where state = 'ready' and run_at <= now())) as oldest_s
from center.job where state in ('ready', 'dead')"""
_SPOOL = "select extract(epoch from now() - min(created_at)) as oldest_s from center.object where location = 'spool'"
