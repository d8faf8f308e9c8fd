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


class ThreadEnds(BaseException):
    """What a trial throws to end one thread, past every rim."""


def end_thread(name: str) -> None:
    """Ends this thread, and nothing else, where the folder HELAN_FAULT holds a file of this name; once."""
    if _asked(name):
        raise ThreadEnds


def point(name: str) -> None:
    """Kills this process with SIGKILL where the folder HELAN_FAULT holds a file of this name.

    The file is removed first: one trial ends one process, and the next start goes on.
    """
    if _asked(name):
        os.kill(os.getpid(), signal.SIGKILL)


def _asked(name: str) -> bool:
    folder = os.environ.get("HELAN_FAULT", "")
    if not folder:
        return False
    try:
        (Path(folder) / name).unlink()
    except OSError:
        return False
    return True
