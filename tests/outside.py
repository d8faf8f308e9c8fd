"""Outside data for tests: real recordings and films that are never committed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(os.environ.get("HELAN_SHARED_DATA") or Path(__file__).resolve().parent.parent.parent / "shared" / "data")

#: How a skip for want of data is told from any other; those tests are listed at the end of the run.
LACKING = "needs outside data"


def outside_data(path: str) -> Path:
    """The file or folder, or the test is recorded as not run."""
    found = ROOT / path
    if not found.exists():
        pytest.skip(f"{LACKING} {path}")
    return found
