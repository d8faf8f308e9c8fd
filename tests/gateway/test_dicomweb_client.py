"""A stranger's client library (dicomweb-client) against our routes."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
import pytest
import requests
from dicomweb_client.web import DICOMwebClient
from fastapi import FastAPI
from fastapi.testclient import TestClient
from pydicom import dcmread
from requests.adapters import BaseAdapter

from tests.gateway.conftest import House
from tests.gateway.test_dicomweb import access, app, compressed  # noqa: F401 - fixtures
from tests.makers.dicom import make_cr, make_ct


class Through(BaseAdapter):
    """Carries the library's requests to the application without a socket between."""

    def __init__(self, client: TestClient) -> None:
        super().__init__()
        self._client = client

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        body = request.body if isinstance(request.body, (bytes, str, type(None))) else b"".join(request.body)
        answer = self._client.request(
            str(request.method), str(request.url), content=body, headers=dict(request.headers)
        )
        found = requests.Response()
        found.status_code, found.raw, found.request = answer.status_code, BytesIO(answer.content), request
        found.headers = requests.structures.CaseInsensitiveDict(
            {k: v for k, v in answer.headers.items() if k != "content-encoding"}
        )
        found.url = str(request.url)
        return found

    def close(self) -> None:
        return


@pytest.fixture
def stranger(app: FastAPI) -> DICOMwebClient:  # noqa: F811
    session = requests.Session()
    session.headers["x-person"] = "t1"
    session.mount("http://", Through(TestClient(app)))
    return DICOMwebClient("http://testserver/dicom-web", session=session)


def test_it_stores_searches_and_retrieves(house: House, stranger: DICOMwebClient) -> None:
    files = [dcmread(BytesIO(raw)) for raw in make_ct(1, slices=3, size=(32, 32))]
    answer = stranger.store_instances(files)
    assert len(answer.ReferencedSOPSequence) == 3
    study = str(files[0].StudyInstanceUID)
    found = stranger.search_for_studies(search_filters={"PatientID": "S1001"}, fields=["StudyDescription"], limit=10)
    assert [s["0020000D"]["Value"][0] for s in found] == [study]
    series = stranger.search_for_series(study)[0]["0020000E"]["Value"][0]
    assert len(stranger.search_for_instances(study, series)) == 3
    assert len(stranger.retrieve_study(study)) == 3 and len(stranger.retrieve_series(study, series)) == 3
    one = stranger.retrieve_instance(study, series, str(files[1].SOPInstanceUID))
    assert np.array_equal(one.pixel_array, files[1].pixel_array)
    metadata = stranger.retrieve_series_metadata(study, series)
    assert len(metadata) == 3 and metadata[0]["00280010"]["Value"] == [32]
    assert len(stranger.retrieve_study_metadata(study)) == 3


def test_it_reads_frames_pictures_and_values(house: House, stranger: DICOMwebClient) -> None:
    from pydicom.uid import JPEG2000Lossless

    raw, pixels = compressed(JPEG2000Lossless)
    house.accept(raw)
    ds = dcmread(BytesIO(raw), stop_before_pixels=True)
    names = (str(ds.StudyInstanceUID), str(ds.SeriesInstanceUID), str(ds.SOPInstanceUID))
    stored = stranger.retrieve_instance_frames(*names, [2], media_types=(("image/jp2", JPEG2000Lossless),))
    assert stored[0] in raw
    plain = stranger.retrieve_instance_frames(
        *names, [1, 3], media_types=(("application/octet-stream", "1.2.840.10008.1.2.1"),)
    )
    assert plain == [pixels[0].tobytes(), pixels[2].tobytes()]
    picture = stranger.retrieve_instance_rendered(*names, media_types=("image/png",))
    assert picture.startswith(b"\x89PNG")
    film = make_cr(2, size=(32, 32), RedPaletteColorLookupTableData=bytes(2048))
    house.accept(film)
    ds = dcmread(BytesIO(film))
    series = f"http://testserver/dicom-web/studies/{ds.StudyInstanceUID}/series/{ds.SeriesInstanceUID}"
    uri = stranger.retrieve_series_metadata(str(ds.StudyInstanceUID), str(ds.SeriesInstanceUID))[0]["00281201"][
        "BulkDataURI"
    ]
    assert b"".join(stranger.retrieve_bulkdata(f"{series}/{uri}")) == bytes(2048)
