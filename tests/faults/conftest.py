"""A region that these tests may kill, starve and cut: it is theirs alone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.journeys.the_path import archive_of
from tests.region import Region, region
from tests.steps import Archive


@pytest.fixture(scope="module")
def fragile() -> Iterator[Region]:
    """A region of this file's tests."""
    with region() as running:
        yield running


@pytest.fixture(scope="module")
def archive(fragile: Region) -> Iterator[Archive]:
    made = archive_of(fragile)
    yield made
    made.stop()
