"""Fixtures of the room's tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from center.objects.directory import DirectoryStore
from tests.worklist.bench import Bench, ahead, make_bench


@pytest.fixture
def bench(emptied: dict[str, str], clinics: tuple[str, ...], store: DirectoryStore) -> Iterator[Bench]:
    made = make_bench(emptied, store, ahead(), people=("reader", "other", "heart"))
    yield made
    made.database.close()
