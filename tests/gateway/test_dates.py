"""Dates and times of devices old and new -> what the index compares."""

from __future__ import annotations

import json

import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from dicom_gateway.dates import as_written_now, date_of, date_text, time_text
from tests.gateway import test_dicomweb as web
from tests.gateway.conftest import House
from tests.makers.oddities import part10

access, app, client = web.access, web.app, web.client  # fixtures


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("20190307", "20190307"), ("2019.03.07", "20190307"), ("2019.3.7", "20190307"), ("2019-03-07", "20190307"),
        ("2019/03/07", "20190307"), ("2019年3月7日", "20190307"), (" 20190307 ", "20190307"), ("20190307\x00", "20190307"),
        ("2019. 03. 07", "20190307"), ("2019 03 07", "20190307"), ("20190307102030", "20190307"),
        ("2019-03-07T10:20:30", "20190307"), ("2019.03.07 10:20", "20190307"), ("20190307 102030", "20190307"),
        ("", ""), ("\x00\x00", ""), ("        ", ""), ("00000000", ""), ("20190230", ""), ("20191301", ""), ("2019", ""),
        ("201903", ""), ("07.03.2019", ""), ("03/07/19", ""), ("190307", ""), ("unknown", ""), ("２０１９０３０７", ""),
        ("2019.03-07", ""), ("201903071", ""),
    ],
)  # fmt: skip
def test_dates(written: str, meant: str) -> None:
    assert date_text(written) == meant and (date_of(written) is not None) == bool(meant)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("102030", "102030"), ("10:20:30", "102030"), ("10:20:30.5", "102030.5"), ("102030.123456", "102030.123456"),
        ("1020", "102000"), ("10", "100000"), ("10:20", "102000"), ("9:05:07", "090507"), (" 102030 ", "102030"),
        ("102030\x00", "102030"), ("10 : 20 : 30", "102030"), ("10.20.30", "102030"), ("235960", "235960"),
        ("102030.12345678", "102030.123456"), ("", ""), ("\x00", ""), ("24:00:00", ""), ("106030", ""), ("92030", ""),
        ("noon", ""), ("-10:20", ""),
    ],
)  # fmt: skip
def test_times(written: str, meant: str) -> None:
    assert time_text(written) == meant


@given(st.text(max_size=20), st.text("0123456789.:-/ ", max_size=16))
def test_any_text_is_a_date_or_none(text: str, digits: str) -> None:
    for one in (text, digits):
        assert len(date_text(one)) in (0, 8) and len(time_text(one)) in (0, 6, *range(8, 14))
        date_of(one)


def test_what_is_valid_or_not_understood_stays_as_it_is() -> None:
    assert [as_written_now("TM", t) for t in ("1020", "102030.5", "10:20:30", "noon")] == ["1020", "102030.5", "102030", "noon"]  # fmt: skip
    assert [as_written_now("DA", t) for t in ("2019.03.07", "gestern", "")] == ["20190307", "gestern", ""]


@pytest.mark.parametrize(
    ("day", "hour", "found"),
    [
        (b"2019.03.07", b"10:20:30", True), (b"20190307", b"1020", True), (b"20190307\x00\x00", b"102030.5 ", True),
        (b"2019-03-07", b"10:20", True), (b"", b"", False), (b"\x00\x00", b"  ", False), (b"20191399", b"999999", False),
    ],
)  # fmt: skip
def test_a_search_finds_old_dates_and_the_viewer_gets_new_ones(
    house: House, client: TestClient, day: bytes, hour: bytes, found: bool
) -> None:
    raw = part10("d1", {0x00080020: (b"DA", day), 0x00080030: (b"TM", hour), 0x00100030: (b"DA", b"1961.03.09"), 0x00080021: (b"DA", day)})  # fmt: skip
    body, headers = web.related(raw)
    assert client.post("/dicom-web/studies", content=body, headers=headers).status_code == 200
    for query in (
        {"StudyDate": "20190307"}, {"StudyDate": "20190301-20190331"}, {"StudyDate": "20190307-"}, {"StudyDate": "2019.03.01-2019.03.31"},
        {"StudyDate": "20190307", "StudyTime": "1015-1025"}, {"StudyDate": "20190307", "StudyTime": "102000-"},
        {"StudyTime": "10:20", "StudyDate": "-20190307"},
    ):  # fmt: skip
        assert len(client.get("/dicom-web/studies", params=query).json()) == int(found), query
    row = client.get("/dicom-web/studies", params={"PatientBirthDate": "19610309"}).json()[0]
    text = client.get(f"/dicom-web/studies/{row['0020000D']['Value'][0]}/metadata").text
    metadata = json.loads(text)[0]
    read = Dataset.from_json(metadata)
    assert read.PatientBirthDate == "19610309" and len(list(read)) == len(metadata)
    if found:
        assert metadata["00080020"]["Value"] == ["20190307"] and row["00080020"]["Value"] == ["20190307"]
    elif day.strip(b"\x00 "):
        assert metadata["00080020"]["Value"] == [day.decode()] and "Value" not in row["00080020"]
    else:
        assert metadata["00080020"] == {"vr": "DA"} and row["00080020"] == {"vr": "DA"}
