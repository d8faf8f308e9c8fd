"""Two people under one number, from the bytes to the sealed report: nobody's name but the images' own."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date

import pytest

from portal.demo_studies import MadePerson
from tests.clinic_house import SHIGOU, ClinicHouse, in_emptied
from worklist.records import ListFilter, RequestForm

ALPHA = MadePerson("DUP1", "艾一", "AI^YI", "M", date(1950, 1, 1))
BETA = MadePerson("DUP1", "贝二", "BEI^ER", "F", date(1990, 5, 5))


@pytest.fixture
def region(emptied: dict[str, str], clinics: tuple[str, ...]) -> ClinicHouse:
    return in_emptied(emptied)


def content(region: ClinicHouse, study_uid: str) -> dict[str, object]:
    case = region.case_of(study_uid)
    return region.worklist.versions(region.actor("reader"), case.case_id)[0].content


def test_each_is_listed_found_and_sealed_under_the_name_of_his_images(region: ClinicHouse) -> None:
    one, two = region.film(ALPHA, seed="a"), region.film(BETA, seed="b")
    for uid, own, other in ((one, "艾一", "贝二"), (two, "贝二", "艾一")):
        case = region.case_of(uid)
        assert case.patient_name == own and [o.name for o in case.others] == [other]
        assert "identity_unconfirmed" in case.flags
        found = region.worklist.list_cases(region.actor("reader"), ListFilter(text=own)).rows
        assert [r.study_uid for r in found] == [uid]
    region.signed(two)
    sheet = content(region, two)
    assert sheet["patient_name"] == "贝二"
    note = json.dumps(sheet["notes"], ensure_ascii=False)
    assert "贝二" in note and "艾一" in note and "患者身份待核" in note


def test_every_page_shows_both_names(region: ClinicHouse) -> None:
    region.film(ALPHA, seed="a")
    two = region.film(BETA, seed="b")
    case_id = region.case_of(two).case_id
    tech, reader = region.browser("tech"), region.browser("reader")
    said = "同一患者号的另一检查写的是“艾一"
    assert said in tech.get("/clinic").text and said in tech.get(f"/clinic/cases/{case_id}").text
    assert said in reader.get(f"/worklist?case={case_id}").text
    region.reading(two)
    page = reader.get(f"/cases/{case_id}").text
    assert said in page and "贝二" in page


def test_an_amendment_after_the_conflict_says_it_and_keeps_the_name(region: ClinicHouse) -> None:
    one = region.film(ALPHA, seed="a")
    case_id = region.signed(one)
    assert "identity_unconfirmed" not in region.case_of(one).flags
    region.film(BETA, seed="b")
    assert "identity_unconfirmed" in region.case_of(one).flags
    assert not [t for t in region.worklist.tasks(region.actor("reader")) if t.kind == "identity"]
    lease = region.worklist.amend(region.actor("reader"), case_id, "补充")
    lease = region.worklist.open_case(region.actor("reader"), case_id, lease.token)
    region.sign(lease, impression="心肺膈未见明确异常。复阅。")
    sheet = content(region, one)
    assert sheet["patient_name"] == "艾一" and "贝二" in json.dumps(sheet["notes"], ensure_ascii=False)


def test_put_right_by_the_clinic_the_doubt_ends_in_both_cases(region: ClinicHouse) -> None:
    one, two = region.film(ALPHA, seed="a"), region.film(BETA, seed="b")
    page = f"/clinic/studies/{two}/identity"
    answer = region.post(
        region.browser("tech"), page, page, local_id="DUP2", name="贝二", sex="F", birth="1990-05-05", reason="号码录错"
    )
    assert answer.status_code == 303
    region.run()
    for uid in (one, two):
        assert "identity_unconfirmed" not in region.case_of(uid).flags and region.case_of(uid).others == ()


def test_a_reader_reaches_no_other_persons_images(region: ClinicHouse) -> None:
    one, two = region.film(ALPHA, seed="a"), region.film(BETA, seed="b")
    region.reading(two)
    grant = region.worklist.through_case(region.actor("reader"), region.case_of(two).case_id)
    assert grant.study_uids == (two,) and one not in grant.study_uids


def test_a_request_of_another_person_under_the_number_is_not_his_question(region: ClinicHouse) -> None:
    region.request(ALPHA, question="有无气胸？")
    two = region.film(BETA, seed="b")
    case = region.case_of(two)
    assert case.question == "" and "request_missing" in case.flags and "identity_unconfirmed" in case.flags
    assert [(o.source, o.name) for o in case.others] == [("request", "艾一")]
    one = region.film(ALPHA, seed="a")
    assert region.case_of(one).question == "有无气胸？"


def test_a_request_after_the_upload_finds_its_own_person(region: ClinicHouse) -> None:
    one, two = region.film(ALPHA, seed="a"), region.film(BETA, seed="b")
    region.request(ALPHA, question="有无气胸？")
    assert region.case_of(one).question == "有无气胸？" and region.case_of(two).question == ""


def test_a_request_for_this_study_that_names_another_is_attached_and_told(region: ClinicHouse) -> None:
    two = region.film(replace(BETA, birth_date=date(1990, 5, 5)), seed="b")
    form = RequestForm(name="艾一", sex="M", birth_date=date(1950, 1, 1), study_uid=two, question="有无骨折？")
    region.worklist.write_request(region.actor("tech"), SHIGOU, form)
    case = region.case_of(two)
    assert (case.patient_name, case.patient_sex, case.patient_birth_date) == ("贝二", "F", date(1990, 5, 5))
    assert case.question == "有无骨折？" and [o.name for o in case.others] == ["艾一"]


def test_what_the_request_said_of_him_stays_when_the_doubt_comes(region: ClinicHouse) -> None:
    two = region.film(replace(BETA, sex=""), seed="b")
    form = RequestForm(name="贝二", sex="F", study_uid=two)
    region.worklist.write_request(region.actor("tech"), SHIGOU, form)
    region.film(ALPHA, seed="a")  # the conflict comes later: what the request said of him stays
    case = region.case_of(two)
    assert case.patient_sex == "F" and [o.name for o in case.others] == ["艾一"]
