"""Places where a trial may end the process as a power cut would: named, and without effect unless asked for."""

from __future__ import annotations

import os
import signal
from pathlib import Path

#: Every place that a trial can name; tests/faults walks this list.
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
    """Kills this process with SIGKILL where the folder HELAN_FAULT holds a file of this name.

    The file is removed first: one trial ends one process, and the next start goes on.
    """
    folder = os.environ.get("HELAN_FAULT", "")
    if not folder:
        return
    try:
        (Path(folder) / name).unlink()
    except OSError:
        return
    os.kill(os.getpid(), signal.SIGKILL)
