"""Places where a trial may end the process as a power cut would: named, and without effect unless asked for."""

from __future__ import annotations

import os
import signal
from pathlib import Path

#: Every place that a trial can name in HELAN_FAULT; tests/faults walks this list.
POINTS = (
    "ingest.mid_object",
    "ingest.flushed",
    "ingest.committed",
    "inference.mid_read",
    "report.signed",
    "report.before_stamp",
    "delivery.mid_send",
)


def point(name: str) -> None:
    """Kills this process with SIGKILL where HELAN_FAULT names this place and its marker file is still there.

    HELAN_FAULT is ``name@/path/of/marker``: the marker is removed first, so that the next start goes on.
    """
    asked, _, marker = os.environ.get("HELAN_FAULT", "").partition("@")
    if asked != name or not marker:
        return
    try:
        Path(marker).unlink()
    except FileNotFoundError:
        return
    os.kill(os.getpid(), signal.SIGKILL)
