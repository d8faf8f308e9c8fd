"""Outside data for tests: real recordings and films that are never committed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(os.environ.get("HELAN_SHARED_DATA") or Path(__file__).resolve().parent.parent.parent / "shared" / "data")

#: Tests that did not run because the data is not here: (test, path); listed at the end of the run.
NOT_RUN: list[tuple[str, str]] = []


def outside_data(path: str) -> Path:
    """The file or folder, or the test is recorded as not run."""
    found = ROOT / path
    if not found.exists():
        test = os.environ.get("PYTEST_CURRENT_TEST", "?").split(" ")[0]
        NOT_RUN.append((test, path))
        pytest.skip(f"outside data {path} is not here (HELAN_SHARED_DATA)")
    return found
