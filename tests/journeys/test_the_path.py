"""Whole paths over real sockets: from the modality to the receipt, from the recording to the read-back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.journeys.the_path import EcgPath, FilmPath, archive_of, walk_ecg, walk_film
from tests.region import Region
from tests.steps import Archive

#: The region is started by the first of these tests.
pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def archive(shared_region: Region) -> Iterator[Archive]:
    made = archive_of(shared_region)
    yield made
    made.stop()


def test_a_film_goes_from_the_modality_to_the_receipt_is_amended_and_withdrawn(
    shared_region: Region, archive: Archive, tmp_path: Path
) -> None:
    path = FilmPath(shared_region, archive, tmp_path)
    walk_film(path)
    what = [line[1] for line in path.time_line()]
    assert what.index("first byte") < what.index("study complete") < what.index("sign") < what.index("delivered v1")
    assert "receipt" in what
    path.is_amended()
    path.is_withdrawn()


def test_an_ecg_is_uploaded_measured_marked_critical_and_read_back(shared_region: Region) -> None:
    walk_ecg(EcgPath(shared_region))
