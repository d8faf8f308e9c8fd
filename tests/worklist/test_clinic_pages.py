"""The clinic's pages: what was sent, the report and its receipt, read-backs, requests, whose a study is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from center.objects.directory import DirectoryStore
from tests.clinic_house import ClinicHouse, clinic_house


@pytest.fixture
def region(
    emptied: dict[str, str], clinics: tuple[str, ...], store: DirectoryStore, tmp_path: Path
) -> Iterator[ClinicHouse]:
    made = clinic_house(emptied, store, tmp_path / "spool")
    yield made
    made.database.close()


def test_a_film_stands_on_the_page_with_how_far_it_is(region: ClinicHouse) -> None:
    uid = region.film(whole=False)
    tech = region.browser("tech")
    assert "接收中" in tech.get("/clinic").text
    region.later(2)
    page = tech.get("/clinic").text
    assert "马忆舟" in page and "待领" in page and f'id="row-{uid}"' in page
