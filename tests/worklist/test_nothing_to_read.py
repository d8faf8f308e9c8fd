"""A dose report is no case: it lies beside the study, where clinic and reader see it."""

from __future__ import annotations

import io

import pytest

from center.ports import Provenance, Stored
from tests.clinic_house import SHIGOU, ClinicHouse, in_emptied
from tests.makers.beside import DOSE_SR, NOTHING_TO_READ, make_object
from tests.makers.dicom import make_cr


@pytest.fixture
def region(emptied: dict[str, str], clinics: tuple[str, ...]) -> ClinicHouse:
    return in_emptied(emptied)


def send(region: ClinicHouse, content: bytes) -> str:
    provenance = Provenance(SHIGOU, "upload", region.actor("tech"), complete_on_arrival=True)
    outcome = region.gateway.door.accept(io.BytesIO(content), provenance)
    assert isinstance(outcome, Stored)
    region.run()
    return outcome.study_uid


@pytest.mark.parametrize(("sop_class", "modality"), [(c, m) for c, m, _ in NOTHING_TO_READ[::4]])
def test_alone_it_opens_no_case_and_the_clinic_sees_why(region: ClinicHouse, sop_class: str, modality: str) -> None:
    uid = send(region, make_object(sop_class, modality))
    assert region.worklist.case_of_study(region.actor("reader"), SHIGOU, uid) is None
    assert "没有可阅片的影像" in region.browser("tech").get("/clinic?view=today").text
    assert not region.query("select 1 from center.job where last_error is not null")


def test_an_image_opens_the_case_of_one_image(region: ClinicHouse) -> None:
    uid = send(region, make_object(DOSE_SR, "SR"))
    send(region, make_cr(1, size=(32, 32), study_uid=uid))
    case = region.case_of(uid)
    assert (case.images, case.modality) == (1, "CR")
    region.reading(uid)
    assert "报告 1" in region.browser("reader").get(f"/cases/{case.case_id}").text


def test_into_a_signed_study_it_makes_no_task(region: ClinicHouse) -> None:
    uid = region.film()
    region.signed(uid)
    for sop_class, modality, _ in NOTHING_TO_READ:
        send(region, make_object(sop_class, modality, study_uid=uid))
    assert region.worklist.tasks(region.actor("reader")) == ()
    assert region.case_of(uid).images == 1 and region.case_of(uid).generation == 1
    send(region, make_cr(7, size=(32, 32), study_uid=uid))
    assert [t.kind for t in region.worklist.tasks(region.actor("reader"))] == ["late_images"]
