"""Everything that runs in one process, bound once by wiring; and how it is: health and gauges."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from center.accounts import Accounts
from center.audit import AuditSealer, AuditVerifier
from center.authority import Authority
from center.clock import RandomIdentifiers, SystemClock
from center.database import Database
from center.ports import ObjectStore
from center.scrub import Scrubber
from center.settings import Settings
from center.signing import CenterSealer, CertificateSigner
from center.web import Web
from portal.house import House, Looking, measure
from portal.live import Live

if TYPE_CHECKING:
    from dicom_gateway.room import Gateway
    from inference.room import ReadStore
    from worklist.room import Worklist


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
    looking: Looking | None = None

    def look(self, within_s: float = 0.0) -> House:
        """How the center is, part by part; ``within_s``: as it was seen so lately."""
        if self.looking is None:
            echo = partial(self.gateway.echo_own, self.settings.dicom.host, self.settings.dicom.port)
            self.looking = Looking(self, echo)
        return self.looking.look(within_s)

    def health(self, *, whole: bool = True) -> dict[str, object]:
        """What /health answers; ``whole``: with the studies of failed jobs and each loop."""
        return self.look().as_json(whole=whole)

    def measure(self) -> None:
        """Sets the gauges that come from looking."""
        measure(self.look())
