"""The clinic's pages: what was sent, the report and its receipt, read-backs, requests, whose a study is."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date

import pytest

from tests.clinic_house import HELAN, MA, ClinicHouse, in_emptied
from tests.house import csrf_of
from worklist.web.clinic_view import birth_from, day_bounds

FINDING = "左侧张力性气胸"
XSS = replace(MA, local_id="X-1", name="<script>alert(1)</script>")
PLACEHOLDER = replace(MA, local_id="0", name="未知")


@pytest.fixture
def region(emptied: dict[str, str], clinics: tuple[str, ...]) -> ClinicHouse:
    return in_emptied(emptied)


def alert(region: ClinicHouse) -> str:
    lease = region.reading(region.film())
    raised = region.worklist.raise_alert(region.actor("reader"), lease.case_id, FINDING)
    region.run()
    return raised.alert_id


# ---------------------------------------------------------------- the list
def test_a_film_stands_on_the_page_with_how_far_it_is(region: ClinicHouse) -> None:
    uid = region.film(whole=False)
    tech = region.browser("tech")
    assert "接收中" in tech.get("/clinic").text
    region.later(2)
    page = tech.get("/clinic").text
    assert "马忆舟" in page and "待领" in page and f'id="row-{uid}"' in page
    region.reading(uid)
    page = tech.get("/clinic").text
    assert "医师阅读中" in page and "陈屿" in page


def test_the_page_is_in_english_where_that_is_asked_for(region: ClinicHouse) -> None:
    region.film()
    page = region.browser("tech").get("/clinic?lang=en").text
    assert "Unclaimed" in page and "Today&#39;s cases" in page


def test_names_are_neither_markup_nor_in_title_or_address(region: ClinicHouse) -> None:
    uid = region.film(XSS)
    tech = region.browser("tech")
    case_id = region.case_of(uid).case_id
    for path in (
        "/clinic",
        f"/clinic/cases/{case_id}",
        f"/clinic/studies/{uid}/identity",
        f"/clinic/requests/new?study={uid}",
    ):
        text = tech.get(path).text
        assert "<script>alert" not in text and "&lt;script&gt;alert" in text, path
        assert "alert" not in re.search(r"<title>(.*?)</title>", text, re.S)[1]  # type: ignore[index]
        assert "script" not in path


def test_other_clinics_people_see_and_change_nothing(region: ClinicHouse) -> None:
    uid = region.film()
    case_id = region.signed(uid)
    far = region.browser("far")
    assert "马忆舟" not in far.get("/clinic").text
    for path in (f"/clinic/cases/{case_id}", f"/clinic/reports/{case_id}/1.pdf", f"/clinic/studies/{uid}/identity"):
        assert far.get(path).status_code == 404, path
    assert far.get("/clinic?clinic=shigou").status_code == 404
    assert region.post(far, f"/clinic/cases/{case_id}/receipt", version=1).status_code == 404
    answer = region.post(far, "/clinic/requests", clinic="shigou", local_id="S1", name="马忆舟")
    assert answer.status_code == 404
    assert region.query("select count(*) from worklist.request")[0][0] == 0


def test_who_has_no_clinic_is_told_so(region: ClinicHouse) -> None:
    assert region.browser("reader").get("/clinic").status_code == 403
    assert region.browser("reader").get("/clinic/requests/new").status_code == 403


def test_a_person_of_two_clinics_chooses(region: ClinicHouse) -> None:
    region.film(clinic=HELAN)
    both = region.browser("both")
    assert "马忆舟" in both.get("/clinic?clinic=helan").text
    assert "马忆舟" not in both.get("/clinic?clinic=shigou").text


def test_all_cases_are_found_by_day_name_and_number(region: ClinicHouse) -> None:
    region.film()
    region.film(replace(MA, local_id="SG-9", name="祁向阳"))
    tech = region.browser("tech")
    day = region.local().strftime("%Y-%m-%d")
    both = tech.get(f"/clinic?view=all&day={day}").text
    assert "马忆舟" in both and "祁向阳" in both
    assert "马忆舟" not in tech.get("/clinic?view=all&q=祁向").text
    assert "马忆舟" in tech.get("/clinic?view=all&q=SG-2048").text
    assert "没有找到" in tech.get("/clinic?view=all&q=%25").text
    assert "这一天没有病例" in tech.get("/clinic?view=all&day=2001-01-01").text
    for offset in ("-1", "%C2%B2", "9999999", "x"):
        assert tech.get(f"/clinic?view=all&day=zz&offset={offset}").status_code == 200


def test_why_a_film_was_sent_back_is_said_and_it_can_be_cancelled(region: ClinicHouse) -> None:
    lease = region.reading(region.film())
    region.worklist.reject_quality(region.actor("reader"), lease.case_id, lease.token, "肺尖未包全")
    tech = region.browser("tech")
    assert "退回重拍：肺尖未包全" in tech.get("/clinic").text
    assert "肺尖未包全" in tech.get("/clinic?view=rejected").text
    page = f"/clinic/cases/{lease.case_id}"
    assert region.post(tech, f"{page}/cancel", page, reason="病人已走").status_code == 303
    assert "已取消" in tech.get(page).text


def test_a_forged_form_changes_nothing(region: ClinicHouse) -> None:
    case_id = region.signed(region.film())
    tech = region.browser("tech")
    assert tech.post(f"/clinic/cases/{case_id}/receipt", data={"version": 1}).status_code == 403
    assert tech.post("/clinic/requests", data={"name": "x", "csrf": "wrong"}).status_code == 403


# ---------------------------------------------------------------- reports
def test_a_report_is_opened_downloaded_and_receipted(region: ClinicHouse) -> None:
    case_id = region.signed(region.film())
    tech = region.browser("tech")
    page = tech.get("/clinic").text
    assert "报告已到" in page and f"/clinic/reports/{case_id}/1.pdf" in page
    saved = tech.get(f"/clinic/reports/{case_id}/1.pdf?download=1")
    assert saved.content.startswith(b"%PDF")
    assert saved.headers["content-disposition"].startswith("attachment")
    assert "MA" not in saved.headers["content-disposition"]
    assert region.post(tech, f"/clinic/cases/{case_id}/receipt", version=9_999_999_999).status_code == 404
    assert tech.get(f"/clinic/reports/{case_id}/99999999999.pdf").status_code == 404
    assert region.post(tech, f"/clinic/cases/{case_id}/receipt", version=1).status_code == 303
    region.run()
    page = tech.get("/clinic").text
    assert "已签收" in page and ">签收<" not in re.sub(r"<svg.*?</svg>", "", page)
    opened = region.query("select count(*) from center.audit where act = 'report:receipt'")
    assert opened[0][0] == 1


def test_an_amended_report_is_told_to_who_opened_it_and_marked(region: ClinicHouse) -> None:
    case_id = region.signed(region.film())
    tech, reader = region.browser("tech"), region.actor("reader")
    tech.get(f"/clinic/reports/{case_id}/1.pdf")
    lease = region.worklist.amend(reader, case_id, "左右写反")
    region.sign(region.worklist.open_case(reader, case_id, lease.token), impression="左侧肋骨骨折。")
    page = tech.get("/clinic").text
    assert page.count("第 1 版报告已修订") == 1 and f"/clinic/reports/{case_id}/2.pdf" in page
    case_page = tech.get(f"/clinic/cases/{case_id}").text
    assert "已被替换" in case_page and "现行版" in case_page
    ids = re.search(r'name="ids" value="([^"]+)"', page)
    assert ids and region.post(tech, "/clinic/notices", ids=ids[1]).status_code == 303
    assert "已修订" not in tech.get("/clinic").text


def test_a_withdrawn_report_is_told_and_gone(region: ClinicHouse) -> None:
    case_id = region.signed(region.film())
    tech = region.browser("tech")
    tech.get(f"/clinic/reports/{case_id}/1.pdf")
    region.worklist.withdraw(region.actor("reader"), case_id, "拍错了人", wrong_patient=True)
    region.run()
    assert "已撤回" in tech.get("/clinic").text
    page = tech.get(f"/clinic/cases/{case_id}").text
    assert "原报告已撤回，请勿使用" in page and "还没有报告" not in page
    assert tech.get(f"/clinic/reports/{case_id}/1.pdf").status_code == 404


# ---------------------------------------------------------------- critical findings
def test_a_technician_is_told_to_fetch_the_doctor_and_cannot_acknowledge(region: ClinicHouse) -> None:
    alert_id = alert(region)
    tech = region.browser("tech")
    page = tech.get("/clinic").text
    assert FINDING in page and "请马上请本院医师来复述" in page and 'name="read_back"' not in page
    answer = region.post(tech, f"/clinic/alerts/{alert_id}/acknowledge", read_back=FINDING)
    assert answer.status_code == 403


def test_a_read_back_is_never_prefilled_and_one_that_differs_is_asked_again(region: ClinicHouse) -> None:
    alert_id = alert(region)
    doctor = region.browser("doctor")
    page = doctor.get("/clinic").text
    assert re.search(r'name="read_back"[^>]*value=""', page)
    path = f"/clinic/alerts/{alert_id}/acknowledge"
    answer = region.post(doctor, path, read_back="右侧气胸", receiver="柳春禾")
    assert answer.status_code == 422
    assert "复述与所见不一致" in answer.text and 'value="右侧气胸"' in answer.text and 'name="insist"' in answer.text
    assert region.post(doctor, path, read_back="右侧气胸", receiver="柳春禾", insist="1").status_code == 303
    page = doctor.get("/clinic").text
    assert "危急值已复述" in page and "复述不一致" in page
    assert region.post(doctor, f"/clinic/alerts/{alert_id}/close", action="已转上级医院").status_code == 303
    assert FINDING not in doctor.get("/clinic").text


def test_a_read_back_that_fits_needs_one_step(region: ClinicHouse) -> None:
    alert_id = alert(region)
    doctor = region.browser("doctor")
    answer = region.post(
        doctor, f"/clinic/alerts/{alert_id}/acknowledge", read_back=f"马忆舟，{FINDING}", receiver="", action="穿刺减压",
        next="/clinic?view=all",
    )  # fmt: skip
    assert answer.status_code == 303 and answer.headers["location"] == "/clinic?view=all"
    assert region.query("select state, receiver from worklist.alert") == [("closed", "柳春禾")]


def test_another_clinics_alert_is_not_there(region: ClinicHouse) -> None:
    alert_id = alert(region)
    far = region.browser("far")
    assert FINDING not in far.get("/clinic").text
    answer = region.post(far, f"/clinic/alerts/{alert_id}/acknowledge", read_back=FINDING)
    assert answer.status_code in (403, 404)


@pytest.mark.parametrize("path", ["//evil.example/", "https://evil.example", "/cases/1", "/clinic\\@evil", "/clinicx"])
def test_a_form_never_leads_elsewhere(region: ClinicHouse, path: str) -> None:
    tech = region.browser("tech")
    answer = region.post(tech, "/clinic/notices", ids="", next=path)
    assert answer.headers["location"] == "/clinic"


# ---------------------------------------------------------------- requests
def test_a_request_before_the_film_waits_and_is_matched(region: ClinicHouse) -> None:
    tech = region.browser("tech")
    answer = region.post(
        tech, "/clinic/requests", "/clinic/requests/new", local_id=MA.local_id, name=MA.name, sex="M", birth="67",
        exam="胸部正位", question="有无气胸？", urgent="1",
    )  # fmt: skip
    assert answer.status_code == 303
    page = tech.get("/clinic?said=request").text
    assert "等待检查" in page and "申请已保存" in page
    case = region.case_of(region.film())
    assert case.urgency.value == "urgent" and case.question == "有无气胸？"
    page = tech.get("/clinic").text
    assert "等待检查" not in page and "补写申请" not in page


def test_a_request_for_a_study_that_is_here(region: ClinicHouse) -> None:
    uid = region.film()
    tech = region.browser("tech")
    form = tech.get(f"/clinic/requests/new?study={uid}").text
    assert 'value="马忆舟"' in form
    answer = region.post(tech, "/clinic/requests", study=uid, question="有无肋骨骨折？")
    assert answer.status_code == 303
    assert region.case_of(uid).question == "有无肋骨骨折？"


def test_a_wrong_field_is_named_and_what_was_written_stays(region: ClinicHouse) -> None:
    tech = region.browser("tech")
    answer = region.post(tech, "/clinic/requests", local_id="S1", name="马忆舟", birth="二月", question="有无气胸？")
    assert answer.status_code == 422
    assert re.search(r'name="birth"[^>]*aria-invalid="true"', answer.text) and "有无气胸？" in answer.text
    assert region.post(tech, "/clinic/requests").status_code == 422


@pytest.mark.parametrize(
    ("text", "born", "years"),
    [("1959-04-02", date(1959, 4, 2), None), ("19590402", date(1959, 4, 2), None), ("1959.4.2", date(1959, 4, 2), None),
     (" 67 岁 ", None, 67), ("", None, None)],
)  # fmt: skip
def test_a_birth_date_is_read_as_people_write_it(text: str, born: date | None, years: int | None) -> None:
    assert birth_from(text, date(2026, 11, 22)) == (born, years)


@pytest.mark.parametrize("text", ["abc", "1959-13-01", "2999-01-01", "1700-01-01", "1-2", "--", "１２"])
def test_a_birth_date_that_cannot_be_is_refused(text: str) -> None:
    if text == "１２":  # full-width digits of a Chinese keyboard are digits
        assert birth_from(text, date(2026, 11, 22)) == (None, 12)
        return
    with pytest.raises(ValueError, match=r".*"):
        birth_from(text, date(2026, 11, 22))


def test_a_day_is_the_clinics_own() -> None:
    begin, end = day_bounds("2026-11-22", "Asia/Shanghai")
    assert begin is not None and end is not None
    assert begin.utcoffset().total_seconds() == 8 * 3600 and (end - begin).days == 1  # type: ignore[union-attr]
    assert day_bounds("x", "Asia/Shanghai") == (None, None)


# ---------------------------------------------------------------- whose a study is
def test_a_wrong_identity_is_put_right_before_reading(region: ClinicHouse) -> None:
    uid = region.film(PLACEHOLDER, seed="ph")
    tech = region.browser("tech")
    page = f"/clinic/studies/{uid}/identity"
    assert "身份待核" in tech.get("/clinic").text
    answer = region.post(
        tech, page, page, local_id="SG-1", name="马忆舟", sex="M", birth="1959-04-02", reason="机器上选错了患者"
    )
    assert answer.status_code == 303
    region.run()
    assert region.case_of(uid).patient_name == "马忆舟"
    assert "身份待核" not in tech.get("/clinic").text
    assert region.query("select count(*) from center.audit where act = 'study:identity:correct'")[0][0] == 1


def test_once_it_is_read_the_identity_stays(region: ClinicHouse) -> None:
    uid = region.film()
    region.reading(uid)
    tech = region.browser("tech")
    page = f"/clinic/studies/{uid}/identity"
    assert "这里不能再改" in tech.get(page).text
    answer = region.post(tech, page, local_id="SG-1", name="别人", reason="x")
    assert answer.status_code == 409
    assert region.case_of(uid).patient_name == "马忆舟"


def test_an_identity_without_reason_or_number_is_refused(region: ClinicHouse) -> None:
    uid = region.film()
    tech = region.browser("tech")
    page = f"/clinic/studies/{uid}/identity"
    assert region.post(tech, page, page, local_id="0", name="马忆舟", reason="x").status_code == 422
    assert region.post(tech, page, page, local_id="SG-2", name="马忆舟", reason="").status_code == 422
    assert region.post(tech, page, page, local_id="SG-2", name="马忆舟", birth="67", reason="x").status_code == 422


# ---------------------------------------------------------------- programs
def test_a_program_gets_the_same_as_json(region: ClinicHouse) -> None:
    uid = region.film()
    tech = region.browser("tech")
    rows = tech.get("/api/clinic/shigou/uploads", headers={"accept": "application/json"}).json()
    assert rows[0]["study"]["study_uid"] == uid and "lease_token" not in rows[0]["case"]
    made = tech.post(
        "/api/requests", json={"local_id": "S-2", "name": "祁向阳", "question": "心律？"},
        headers={"accept": "application/json", "X-CSRF-Token": csrf_of(tech, "/clinic")},
    )  # fmt: skip
    assert made.status_code == 201 and made.json()["form"]["local_id"] == "S-2"


def test_a_critical_card_says_whose_it_is_by_number_and_birth_date(region: ClinicHouse) -> None:
    uid = region.film()
    region.reading(uid)
    region.worklist.raise_alert(region.actor("reader"), region.case_of(uid).case_id, "左侧张力性气胸")
    region.run()
    page = region.browser("tech").get("/clinic").text
    card = page[page.index('class="ack') :]
    card = card[: card.index("</section>")]
    assert "患者号 SG-20480117" in card and "出生 1959-04-02" in card and "马忆舟" in card
    region.film(replace(MA, name="贝二", latin="BEI^ER"), seed="other")
    assert "同一患者号的另一检查写的是“贝二" in region.browser("tech").get("/clinic").text.split("</section>")[0]
