"""What the use cases of this room are bound to, once, in wiring."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from center.database import Database
from center.ports import (
    Clock,
    Identifiers,
    Notifier,
    ObjectStore,
    Peers,
    Reads,
    Sealer,
    Signer,
    StudyIndex,
)
from worklist.sheet import ReportSheet, Text
from worklist.timing import Timing


class TrustedClock(Clock, Protocol):
    @property
    def trusted(self) -> bool:
        """Close enough to the database's clock to hand out leases."""
        ...


class Renderer(Protocol):
    def render(self, sheet: ReportSheet, lang: str) -> bytes:
        """The PDF of this sheet, the same bytes each time; lang: zh or en."""
        ...


CENTER = Text("贺兰区域影像与心电诊断中心", "Helan Regional Imaging and ECG Diagnostic Center")
#: (clinic_id, study_uid, case_id, version) -> SOP instance UID of the Encapsulated PDF that the gateway files.
ReportSopUid = Callable[[str, str, str, int], str]


@dataclass(frozen=True, slots=True)
class Parts:
    """public_url: where the QR code leads, without a slash at its end; demo: reports are watermarked."""

    database: Database
    clock: TrustedClock
    identifiers: Identifiers
    objects: ObjectStore
    studies: StudyIndex
    reads: Reads
    peers: Peers
    signer: Signer
    sealer: Sealer
    notifier: Notifier
    renderer: Renderer
    report_sop_uid: ReportSopUid
    public_url: str
    center: Text = CENTER
    timing: Timing = field(default_factory=Timing)
    demo: bool = False
