"""The reader's pages as a browser gets them, on a real database: who sees them, what they refuse, what they never lose."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from center import postgres_driver as driver
from center.accounts import Accounts
from center.clock import RandomIdentifiers
from center.codes import Role
from center.errors import Invalid
from center.identity import Actor, ClinicId
from center.objects.directory import DirectoryStore
from center.patients import PatientIdentity
from center.reads import Decision, Tier
from portal.signin import web as signin
from tests.house import PASSWORD, browser, csrf_of, house, people, signed_in
from tests.makers.ecg_reads import ISSUES, POOR, ecg_read
from tests.worklist.bench import ABSTAINED, SHIGOU, Bench, ahead, finding, make_bench
from worklist.records import CaseRow
from worklist.web import case, report, worklist
from worklist.web.answers import Fields, plain
from worklist.web.list_view import address, filter_from

XSS = '<script>alert("x")</script>'
PAGE = {"accept": "text/html,application/xhtml+xml"}
JSON = {"accept": "application/json"}
#: A second reader of the same hospital, and one who reads for nobody.
MORE: dict[str, tuple[tuple[str, Role], ...]] = {
    "other": (("tertiary", Role.READER),),
    "stranger": (("county", Role.READER),),
}


@dataclass
class House:
    bench: Bench
    app: FastAPI
    accounts: Accounts

    def actor(self, login: str) -> Actor:
        return self.accounts.actor_of(login)

    def browser(self, login: str) -> Reader:
        return Reader(signed_in(self.app, login))

    def held(self, login: str = "reader", **changes: Any) -> tuple[Reader, CaseRow]:
        """Somebody with a case that he has taken and opened on the page."""
        found, who = self.bench.arrive(**changes), self.browser(login)
        assert who.post(f"/cases/{found.case_id}/take", {"reason": "试用"}).status_code == 303
        return who, found


class Reader:
    """A browser with its session's token at hand."""

    def __init__(self, client: TestClient) -> None:
        self.client = client
        self.csrf = csrf_of(client, "/worklist")

    def get(self, path: str) -> Any:
        return self.client.get(path)

    def page(self, path: str) -> str:
        answer = self.client.get(path)
        assert answer.status_code == 200, f"{path}: {answer.status_code} {answer.text[:400]}"
        return answer.text

    def post(self, path: str, fields: dict[str, str] | None = None, *, headers: dict[str, str] = PAGE) -> Any:
        return self.client.post(path, data={"csrf": self.csrf, **(fields or {})}, headers=headers)

    def json(self, method: str, path: str, body: object = None, expect: int = 200) -> Any:
        headers = {**JSON, "x-csrf-token": self.csrf}
        answer = self.client.request(method, path, json=body, headers=headers)
        assert answer.status_code == expect, f"{method} {path}: {answer.status_code} {answer.text[:400]}"
        return answer.json()

    def token(self, case_id: str) -> str:
        found = re.search(r'name="token" value="([^"]+)"', self.page(f"/cases/{case_id}"))
        assert found
        return found[1]

    def draft(self, case_id: str, base: int, expect: int = 200, **texts: str) -> Any:
        body = {"findings": "双肺清晰。", "impression": "未见异常。", "base_version": str(base), **texts}
        return self.json("POST", f"/cases/{case_id}/draft", body, expect)


@pytest.fixture
def all_of_it(emptied: dict[str, str], clinics: tuple[str, ...], store: DirectoryStore) -> Iterator[House]:
    bench = make_bench(emptied, store, ahead())
    people(bench.admin)
    with driver.connect(bench.admin, autocommit=True) as connection:
        for login, roles in MORE.items():
            connection.execute(
                "insert into center.person (person_id, login, name, hash)"
                " select %s, %s, %s, hash from center.person where login = 'tech'",
                (f"p-{login}", login, login),
            )
            for clinic_id, role in roles:
                connection.execute(
                    "insert into center.membership (person_id, clinic_id, role) values (%s, %s, %s)",
                    (f"p-{login}", clinic_id, str(role)),
                )
        readers = ["reader", "other", "stranger"]
        connection.execute(
            "update center.person set licence = '110', scope = '{imaging,ecg}' where login = any(%s)", (readers,)
        )
        connection.execute(
            "insert into center.agreement (requesting_clinic, reading_clinic, service)"
            " values ('shigou', 'tertiary', 'imaging'), ('shigou', 'tertiary', 'ecg')"
        )
        for login in ("reader", "other"):
            connection.execute(
                "insert into center.certificate (serial, person_id, certificate, wrapped_key, created_at)"
                " values (%s, %s, 'x', '{}', now())",
                (f"page-{login}", f"p-{login}"),
            )
    accounts = Accounts(bench.database, bench.clock, RandomIdentifiers())
    app = house(
        accounts,
        bench.clock,
        lambda web: (
            signin.router(web, accounts, secure_cookies=False),
            worklist.router(web, bench.room),
            case.router(web, bench.room, bench.studies),
            report.router(web, bench.room),
        ),
    )
    yield House(bench, app, accounts)
    bench.database.close()


# ---------------------------------------------------------------- who sees what
GETS = (
    "/worklist", "/worklist/live", "/worklist/preview/{case}", "/cases/{case}", "/cases/{case}/live",
    "/cases/{case}/preview", "/cases/{case}/preview/00.pdf", "/cases/{case}/done", "/cases/{case}/reports/1.pdf",
    "/api/worklist", "/api/cases/{case}", "/api/cases/{case}/timeline", "/api/cases/{case}/versions",
)  # fmt: skip
POSTS = (
    "/worklist/next", "/cases/{case}/take", "/cases/{case}/open", "/cases/{case}/heartbeat", "/cases/{case}/release",
    "/cases/{case}/draft", "/cases/{case}/verdicts/r/f", "/cases/{case}/seen", "/cases/{case}/reject-quality",
    "/cases/{case}/alerts", "/cases/{case}/alerts/a/refute", "/cases/{case}/preview", "/cases/{case}/sign",
    "/cases/{case}/amend", "/cases/{case}/withdraw", "/api/cases/next",
)  # fmt: skip
NUMBERS = {"base_version": "0", "generation": "1", "finding": "气胸", "reason": "试用", "urgency": "stat"}


def test_nobody_but_readers_comes_in(all_of_it: House) -> None:
    found = all_of_it.bench.arrive()
    for login in ("tech", "doctor", "dispatch", "admin", "regulator"):
        who = all_of_it.browser(login)
        for path in GETS:
            assert who.get(path.format(case=found.case_id)).status_code == 403, (login, path)
        for path in POSTS:
            assert who.post(path.format(case=found.case_id), NUMBERS).status_code == 403, (login, path)
    assert all_of_it.bench.now_is(found).lease_n == 0


def test_a_stranger_is_led_to_sign_in_and_a_program_told(all_of_it: House) -> None:
    found = all_of_it.bench.arrive()
    for path in GETS:
        address_of = path.format(case=found.case_id)
        page = browser(all_of_it.app).get(address_of)
        assert page.status_code == 303, path
        assert page.headers["location"].startswith("/sign-in")
        assert TestClient(all_of_it.app).get(address_of, headers=JSON).status_code == 401


def test_another_clinics_case_is_not_there(all_of_it: House) -> None:
    far = all_of_it.bench.arrive(ClinicId("helan"))
    who = all_of_it.browser("reader")
    for path in GETS[2:9]:
        wanted = path.format(case=far.case_id)
        assert who.get(wanted).status_code == 404, path
    for path in POSTS[1:12]:
        if "alerts/a" not in path:
            assert who.post(path.format(case=far.case_id), NUMBERS).status_code == 404, path
    assert far.case_no not in who.page("/worklist")
    assert all_of_it.bench.now_is(far).lease_n == 0


def test_one_who_reads_for_nobody_sees_an_empty_list(all_of_it: House) -> None:
    found = all_of_it.bench.arrive()
    who = all_of_it.browser("stranger")
    assert found.case_no not in who.page("/worklist")
    assert who.get(f"/cases/{found.case_id}").status_code in (403, 404)


def test_a_program_may_prepare_but_never_sign(all_of_it: House) -> None:
    found = all_of_it.bench.arrive()
    program = TestClient(all_of_it.app)
    program.headers["authorization"] = f"Bearer {all_of_it.accounts.make_token('reader')}"
    taken = program.post("/api/cases/next").json()
    assert taken["case_id"] == found.case_id
    assert "token" not in taken
    body = {"findings": "双肺清晰。", "impression": "未见异常。", "base_version": 0}
    assert program.post(f"/api/cases/{found.case_id}/draft", json=body).json()["version"] == 1
    preview = program.post(f"/api/cases/{found.case_id}/preview", json={}).json()
    signed = program.post(
        f"/api/cases/{found.case_id}/sign", json={"preview_sha256": preview["sha256"], "password": PASSWORD}
    )
    assert signed.status_code == 403
    assert all_of_it.bench.now_is(found).state == "reading"


def test_no_answer_to_a_program_holds_a_leases_token(all_of_it: House) -> None:
    who, found = all_of_it.held()
    secret = who.token(found.case_id)
    for path in ("/api/worklist", f"/api/cases/{found.case_id}", "/worklist", "/worklist/live"):
        assert secret not in who.get(path).text, path


# ---------------------------------------------------------------- forged, markup, sentences
def test_a_forged_form_does_nothing(all_of_it: House) -> None:
    found, who = all_of_it.bench.arrive(), all_of_it.browser("reader")
    for path in POSTS:
        answer = who.client.post(path.format(case=found.case_id), data=NUMBERS, headers=PAGE)
        assert answer.status_code == 403, path
    elsewhere = who.client.post(
        "/worklist/next", data={"csrf": who.csrf}, headers={**PAGE, "origin": "https://elsewhere.example"}
    )
    assert elsewhere.status_code == 403
    assert all_of_it.bench.now_is(found).lease_n == 0


def test_what_people_and_devices_wrote_never_becomes_markup(all_of_it: House) -> None:
    patient = PatientIdentity("px", XSS, XSS, XSS, "M")
    who, found = all_of_it.held(patient=patient, description=XSS, body_part=XSS, accession=XSS, referring=XSS)
    all_of_it.bench.machine_reads(found, replace(finding("f"), zh=XSS, en=XSS))
    who.draft(found.case_id, 0, findings=XSS, impression=XSS, recommendation=XSS)
    all_of_it.bench.room.raise_alert(all_of_it.actor("reader"), found.case_id, XSS)
    for path in ("/worklist", "/worklist/live", f"/worklist/preview/{found.case_id}", f"/cases/{found.case_id}"):
        for lang in ("zh", "en"):
            text = who.page(f"{path}?lang={lang}")
            assert XSS not in text, path
            assert "&lt;script&gt;" in text, path
    assert XSS not in who.page(f"/worklist?q={XSS}&flag={XSS}&clinic={XSS}&case={XSS}&offset={XSS}")


def test_no_title_names_a_patient(all_of_it: House) -> None:
    who, found = all_of_it.held()
    for path in ("/worklist", f"/cases/{found.case_id}"):
        title = re.search(r"<title>(.*?)</title>", who.page(path))
        assert title and found.patient_name not in title[1] and found.patient_local_id not in title[1]


def test_english_pages_hold_no_chinese_but_names(all_of_it: House) -> None:
    bench = all_of_it.bench
    patient = PatientIdentity("pe", "MRN-E", "Ma Yizhou", "", "M")
    found = bench.arrive(patient=patient, description="Chest PA", referring="Liu")
    bench.machine_reads(found, finding("effusion"), finding("mass", Decision.UNCERTAIN), finding("tb", Decision.ABSENT))
    who = all_of_it.browser("reader")
    pages = [who.page("/worklist?lang=en"), who.page(f"/cases/{found.case_id}")]
    assert who.post(f"/cases/{found.case_id}/take", {"reason": "test"}).status_code == 303
    pages.append(who.page(f"/cases/{found.case_id}"))
    for text in pages:
        body = re.sub(r'<header class="bar".*?</header>|<span class="lang".*?</span>', "", text, flags=re.DOTALL)
        left = set(re.findall(r"[\u3400-\u9fff]+", body))
        assert not left, left


def test_a_body_larger_than_any_form_is_refused(all_of_it: House) -> None:
    who, found = all_of_it.held()
    answer = who.post(f"/cases/{found.case_id}/draft", {"findings": "x" * (600 << 10), "base_version": "0"})
    assert answer.status_code == 422


# ---------------------------------------------------------------- the list
def test_the_list_shows_the_order_and_a_machines_word(all_of_it: House) -> None:
    bench = all_of_it.bench
    routine, urgent = bench.arrive(), bench.arrive()
    bench.machine_reads(routine, finding("effusion", p=0.87))
    bench.machine_reads(urgent, finding("pneumothorax", critical=True, p=0.93))
    text = all_of_it.browser("reader").page("/worklist")
    assert text.index(f"case-{urgent.case_id}") < text.index(f"case-{routine.case_id}")
    assert "0.87" in text
    assert "crit guess" in text and "AI 提示不是诊断" in text


def test_an_abstention_says_why_and_no_number(all_of_it: House) -> None:
    bench = all_of_it.bench
    found = bench.arrive()
    bench.machine_reads(found, reason=ABSTAINED)
    who = all_of_it.browser("reader")
    assert "未读：不是正位胸片" in who.page("/worklist")
    assert "AI 未读：不是正位胸片" in who.page(f"/worklist/preview/{found.case_id}")


def test_a_case_is_found_by_name_pinyin_and_number(all_of_it: House) -> None:
    found = all_of_it.bench.arrive()
    who = all_of_it.browser("reader")
    for text in ("马忆舟", "mayizhou", "MRN1", "A1"):
        assert f"case-{found.case_id}" in who.page(f"/worklist?q={text}"), text
    assert f"case-{found.case_id}" not in who.page("/worklist?q=zzz")
    assert "没有找到" in who.page("/worklist?q=zzz")


def test_a_filters_address_leads_to_the_same_filter() -> None:
    query = {
        "view": "stat",
        "urgency": "urgent",
        "modality": "CT",
        "service": "imaging",
        "flag": "escalated",
        "q": "马 &",
    }
    narrowed = filter_from(query)
    again = filter_from(
        {k: v for k, v in (p.split("=") for p in address(narrowed).partition("?")[2].split("&")) if k != "q"}
    )
    assert replace(narrowed, text="") == again
    assert filter_from({"view": "nonsense", "urgency": "x", "service": "y", "flag": "z"}) == filter_from({})


def test_the_list_comes_even_when_the_preview_can_not(all_of_it: House) -> None:
    found = all_of_it.bench.arrive()
    who = all_of_it.browser("reader")
    del all_of_it.bench.studies.known[SHIGOU, found.study_uid]
    assert f"case-{found.case_id}" in who.page("/worklist")


def test_next_case_takes_the_first_and_opens_it(all_of_it: House) -> None:
    first = all_of_it.bench.arrive()
    all_of_it.bench.arrive()
    who = all_of_it.browser("reader")
    answer = who.post("/worklist/next")
    assert answer.headers["location"] == f"/cases/{first.case_id}"
    assert all_of_it.bench.now_is(first).state == "reading"
    assert 'id="report"' in who.page(f"/cases/{first.case_id}")


def test_next_case_of_an_empty_list_says_so(all_of_it: House) -> None:
    who = all_of_it.browser("reader")
    answer = who.post("/worklist/next")
    assert answer.status_code == 303
    assert "没有待领的病例" in who.page(answer.headers["location"])


def test_another_case_than_the_next_wants_a_reason(all_of_it: House) -> None:
    all_of_it.bench.arrive()
    second = all_of_it.bench.arrive()
    who = all_of_it.browser("reader")
    assert who.post(f"/cases/{second.case_id}/take").status_code == 422
    assert who.post(f"/cases/{second.case_id}/take", {"other": "临床来电催"}).status_code == 303


def test_of_two_readers_who_press_at_once_one_holds_it(all_of_it: House) -> None:
    found = all_of_it.bench.arrive()
    readers = [all_of_it.browser("reader"), all_of_it.browser("other")]
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda who: who.post(f"/cases/{found.case_id}/take", {"reason": "试用"}), readers))
    assert sorted(a.status_code for a in answers) == [303, 409]
    pages = [who.page(f"/cases/{found.case_id}") for who in readers]
    assert sum('class="lease" data-tone="blue"' in text for text in pages) == 1
    assert sum('class="lease" data-tone="grey"' in text for text in pages) == 1


# ---------------------------------------------------------------- writing
def test_autosave_counts_versions_and_a_second_window_overwrites_nothing(all_of_it: House) -> None:
    who, found = all_of_it.held()
    assert who.draft(found.case_id, 0, impression="第一个窗口")["version"] == 1
    refused = who.draft(found.case_id, 0, expect=409, impression="第二个窗口")
    assert refused["failure"] == "wrong_state"
    assert refused["facts"]["current"] == 1
    assert "第一个窗口" in who.page(f"/cases/{found.case_id}")
    assert who.draft(found.case_id, 1, impression="第二个窗口")["version"] == 2


def test_text_of_a_lapsed_lease_is_kept_aside_and_offered_again(all_of_it: House) -> None:
    who, found = all_of_it.held()
    token = who.token(found.case_id)
    who.draft(found.case_id, 0, impression="先写的", token=token)
    all_of_it.bench.later(minutes=40)
    refused = who.draft(found.case_id, 1, expect=409, impression="断线时写的", token=token)
    assert refused["failure"] == "held_by_another"
    who = all_of_it.browser("reader")
    assert who.post(f"/cases/{found.case_id}/take", {"reason": "试用"}).status_code == 303
    assert "断线时写的" in who.page(f"/cases/{found.case_id}")


def test_the_heartbeat_moves_the_lease_and_tells_when_it_is_lost(all_of_it: House) -> None:
    who, found = all_of_it.held()
    token = who.token(found.case_id)
    before = all_of_it.bench.now_is(found).lease_until
    all_of_it.bench.clock.advance(60)
    who.json("POST", f"/cases/{found.case_id}/heartbeat", {"token": token, "active": "1"})
    after = all_of_it.bench.now_is(found).lease_until
    assert before and after and after > before
    all_of_it.bench.room.reassign(all_of_it.actor("dispatch"), found.case_id, "另派")
    lost = who.json("POST", f"/cases/{found.case_id}/heartbeat", {"token": token, "active": "1"}, expect=409)
    assert lost["failure"] == "held_by_another"


def test_a_machines_finding_is_accepted_or_rejected_with_a_reason(all_of_it: House) -> None:
    who, found = all_of_it.held()
    read_id = all_of_it.bench.machine_reads(found, finding("effusion"), finding("tb"))
    page = who.page(f"/cases/{found.case_id}")
    assert page.count("data-verdict") == 4
    at = f"/cases/{found.case_id}/verdicts/{read_id}"
    assert who.post(f"{at}/effusion", {"verdict": "accepted"}).status_code == 303
    assert who.post(f"{at}/tb", {"verdict": "rejected", "reason": "陈旧改变"}).status_code == 303
    live = who.page(f"/cases/{found.case_id}/live")
    assert "已驳回：陈旧改变" in live
    assert 'class="find line yes"' in live
    assert "data-verdict" not in live


def test_a_machines_words_are_offered_for_the_text_only_once_accepted(all_of_it: House) -> None:
    who, found = all_of_it.held()
    read_id = all_of_it.bench.machine_reads(found, finding("effusion"))
    assert "data-origin" not in who.page(f"/cases/{found.case_id}")
    who.post(f"/cases/{found.case_id}/verdicts/{read_id}/effusion", {"verdict": "accepted"})
    assert 'data-origin="machine"' in who.page(f"/cases/{found.case_id}")


def test_images_that_come_late_block_until_they_were_seen(all_of_it: House) -> None:
    who, found = all_of_it.held()
    all_of_it.bench.extend(found, 3)
    live = who.page(f"/cases/{found.case_id}/live")
    assert "看过后才能签发" in live
    generation = str(all_of_it.bench.now_is(found).generation)
    assert who.post(f"/cases/{found.case_id}/seen", {"generation": generation}).status_code == 303
    assert "看过后才能签发" not in who.page(f"/cases/{found.case_id}/live")


def test_given_back_it_waits_again_with_the_draft_kept(all_of_it: House) -> None:
    who, found = all_of_it.held()
    who.draft(found.case_id, 0, impression="写了一半")
    assert who.post(f"/cases/{found.case_id}/release").headers["location"] == "/worklist"
    assert all_of_it.bench.now_is(found).state == "queued"
    who.post(f"/cases/{found.case_id}/take", {"reason": "试用"})
    assert "写了一半" in who.page(f"/cases/{found.case_id}")


def test_what_is_not_diagnostic_goes_back_with_its_reason(all_of_it: House) -> None:
    who, found = all_of_it.held()
    answer = who.post(f"/cases/{found.case_id}/reject-quality", {"reason": "体位不正", "other": "右肩未入片"})
    assert answer.status_code == 303
    assert all_of_it.bench.now_is(found).state == "qc_rejected"
    assert "体位不正；右肩未入片" in who.page(f"/cases/{found.case_id}")


def test_a_finding_marked_critical_stands_on_every_page(all_of_it: House) -> None:
    who, found = all_of_it.held()
    assert who.post(f"/cases/{found.case_id}/alerts", {"finding": "左侧张力性气胸"}).status_code == 303
    for path in ("/worklist", f"/cases/{found.case_id}"):
        text = who.page(path)
        assert 'role="alert"' in text and "左侧张力性气胸" in text, path
    alert = all_of_it.bench.room.open_alerts(all_of_it.actor("reader"))[0]
    who.post(f"/cases/{found.case_id}/alerts/{alert.alert_id}/refute", {"reason": "是皮肤皱褶"})
    assert "crit" not in re.sub(
        r"crits|critical", "", who.page("/worklist").partition("<main")[0].partition("<body")[2]
    )


# ---------------------------------------------------------------- signing
def prepared(all_of_it: House) -> tuple[Reader, CaseRow, str]:
    """A case with a preview that may be signed, and the preview's digest."""
    who, found = all_of_it.held()
    answer = who.post(
        f"/cases/{found.case_id}/preview",
        {"findings": "双肺清晰。", "impression": "未见异常。", "recommendation": "", "base_version": "0"},
    )
    assert answer.headers["location"] == f"/cases/{found.case_id}/preview"
    shown = re.search(r"/preview/([0-9a-f]{64})\.pdf", who.page(answer.headers["location"]))
    assert shown
    return who, found, shown[1]


def test_the_preview_shows_the_bytes_that_will_be_signed(all_of_it: House) -> None:
    who, found, sha256 = prepared(all_of_it)
    shown = who.get(f"/cases/{found.case_id}/preview/{sha256}.pdf")
    assert shown.status_code == 200
    assert shown.headers["content-type"] == "application/pdf"
    assert "no-store" in shown.headers["cache-control"]
    assert who.get(f"/cases/{found.case_id}/preview/{'0' * 64}.pdf").status_code == 404
    assert all_of_it.browser("other").get(f"/cases/{found.case_id}/preview/{sha256}.pdf").status_code == 404


def test_a_wrong_password_stays_on_the_page_with_a_sentence(all_of_it: House) -> None:
    who, found, sha256 = prepared(all_of_it)
    answer = who.post(f"/cases/{found.case_id}/sign", {"preview_sha256": sha256, "password": "wrong"})
    assert answer.status_code == 403
    assert "密码不正确" in answer.text and sha256 in answer.text and "wrong" not in answer.text
    assert who.get(f"/cases/{found.case_id}/sign").headers["location"] == f"/cases/{found.case_id}/preview"
    assert all_of_it.bench.now_is(found).state == "reading"


def test_a_text_changed_after_the_preview_has_to_be_looked_at_again(all_of_it: House) -> None:
    who, found, sha256 = prepared(all_of_it)
    who.draft(found.case_id, 1, impression="又改了。")
    answer = who.post(f"/cases/{found.case_id}/sign", {"preview_sha256": sha256, "password": PASSWORD})
    assert answer.status_code == 409
    assert "重新预览" in answer.text
    assert all_of_it.bench.now_is(found).state == "reading"


def test_what_the_gate_blocks_can_not_be_signed_and_says_why(all_of_it: House) -> None:
    who, found = all_of_it.held()
    who.post(f"/cases/{found.case_id}/preview", {"findings": "", "impression": "", "base_version": "0"})
    text = who.page(f"/cases/{found.case_id}/preview")
    assert "印象还没有写" in text
    assert 'name="password"' not in text


def test_signed_shows_what_becomes_of_it_and_the_next_case(all_of_it: House) -> None:
    who, found, sha256 = prepared(all_of_it)
    answer = who.post(f"/cases/{found.case_id}/sign", {"preview_sha256": sha256, "password": PASSWORD})
    assert answer.headers["location"] == f"/cases/{found.case_id}/done"
    all_of_it.bench.run()
    text = who.page(f"/cases/{found.case_id}/done")
    assert "第 1 版已签发" in text and "/worklist/next" in text and "机构页面" in text
    pdf = who.get(f"/cases/{found.case_id}/reports/1.pdf")
    assert pdf.status_code == 200 and pdf.content.startswith(b"%PDF")
    assert who.json("GET", f"/api/cases/{found.case_id}/versions")[0]["version"] == 1


def test_the_report_pdf_is_for_its_readers_alone(all_of_it: House) -> None:
    who, found, sha256 = prepared(all_of_it)
    who.post(f"/cases/{found.case_id}/sign", {"preview_sha256": sha256, "password": PASSWORD})
    all_of_it.bench.run()
    assert all_of_it.browser("tech").get(f"/cases/{found.case_id}/reports/1.pdf").status_code == 403
    assert all_of_it.browser("stranger").get(f"/cases/{found.case_id}/reports/1.pdf").status_code in (403, 404)
    assert who.get(f"/cases/{found.case_id}/reports/9.pdf").status_code == 404


def test_amended_and_withdrawn_by_the_page(all_of_it: House) -> None:
    who, found, sha256 = prepared(all_of_it)
    who.post(f"/cases/{found.case_id}/sign", {"preview_sha256": sha256, "password": PASSWORD})
    all_of_it.bench.run()
    finished = who.page(f"/cases/{found.case_id}")
    assert "/amend" in finished and "/withdraw" in finished and "未见异常。" in finished
    assert who.post(f"/cases/{found.case_id}/amend", {"reason": "补充结论"}).status_code == 303
    amending = who.page(f"/cases/{found.case_id}")
    assert "正在修订第 1 版" in amending and "补充结论" in amending
    answer = who.post(f"/cases/{found.case_id}/release")
    assert answer.status_code == 303
    gone = {"reason": "图像不是他的", "wrong_patient": "1"}
    assert who.post(f"/cases/{found.case_id}/withdraw", gone).status_code in (403, 422)
    assert who.post(f"/cases/{found.case_id}/withdraw", {**gone, "password": "guess"}).status_code == 403
    assert all_of_it.bench.now_is(found).state != "cancelled", "without his password nothing is withdrawn"
    gone["password"] = PASSWORD
    assert who.post(f"/cases/{found.case_id}/withdraw", gone).status_code == 303
    assert all_of_it.bench.now_is(found).state == "cancelled"
    assert "图像不是他的" in who.page(f"/cases/{found.case_id}")


def test_the_time_line_begins_with_the_first_byte(all_of_it: House) -> None:
    who, found = all_of_it.held()
    lines = who.json("GET", f"/api/cases/{found.case_id}/timeline")
    assert "first byte" in [line[1] for line in lines][:2]
    assert lines == sorted(lines, key=lambda line: line[0])


# ---------------------------------------------------------------- fields and values
def test_fields_come_clean_from_forms_and_from_json() -> None:
    form = Fields({"answers.0": "无", "answers.0.key": "有无气胸", "answers.1": "x", "text": "a\r\nb\x00\ud800"})
    assert form.table("answers") == {"有无气胸": "无"}
    assert form.text("text") == "a\nb?"
    assert Fields({"answers": {"有无气胸": "无"}}).table("answers") == {"有无气胸": "无"}
    assert Fields({"answers": {"a\x00\ud800": "x"}}).table("answers") == {"a?": "x"}
    for wrong in ({"n": "1.5"}, {"n": ""}, {"n": [1]}, {"n": "９" * 20}, {"n": "²"}, {"n": "--5"}, {"n": "-"}):
        with pytest.raises(Invalid):
            Fields(wrong).number("n")


def test_values_for_programs_leave_secrets_out() -> None:
    assert plain({"token": "x", "lease_token": "y", "a": (1, frozenset({"b"}))}) == {"a": [1, ["b"]]}


# ---------------------------------------------------------------- an ECG's read
def test_an_ecgs_read_shows_numbers_statements_evidence_tier_and_the_devices_own(all_of_it: House) -> None:
    who, found = all_of_it.held(modalities=frozenset({"ECG"}))
    all_of_it.bench.tell(found, ecg_read(Tier.ORANGE))
    page = who.page(f"/cases/{found.case_id}")
    for wanted in ("橙 · 优先", "心房颤动伴快速心室率", "窦性心律", '<ul class="because">', "3.81", "≥ 3.5 mV", "AHA 2009", "QTcF", "394",
                   "J+60", "设备自带", "Normal sinus rhythm", "PR 166 ms", "中国心电图危急值专家共识 2017", "打印"):  # fmt: skip
        assert wanted in page, wanted
    assert "/ecg/sheet/shigou/" in page and ".pdf" in page


def test_what_is_known_of_the_file_stands_beside_the_tier_in_both_languages(all_of_it: House) -> None:
    who, found = all_of_it.held(modalities=frozenset({"ECG"}))
    all_of_it.bench.tell(found, replace(ecg_read(Tier.YELLOW), issues=ISSUES))
    for lang, words in (("zh", [issue.zh for issue in ISSUES]), ("en", [issue.en for issue in ISSUES])):
        page = who.page(f"/cases/{found.case_id}?lang={lang}")
        for wanted in (*words, 'data-issue="uncalibrated"'):
            assert wanted in page, wanted


def test_a_red_tier_stands_at_the_top_as_a_machines_guess_and_must_be_answered(all_of_it: House) -> None:
    who, found = all_of_it.held(modalities=frozenset({"ECG"}))
    read_id = all_of_it.bench.tell(found, ecg_read(Tier.RED))
    page = who.page(f"/cases/{found.case_id}")
    assert "crit guess" in page and "急性 ST 段抬高型心肌梗死？" in page and "红 · 请立即判读" in page
    answer = who.post(f"/cases/{found.case_id}/verdicts/{read_id}/critical%3Ast_elevation_mi", {"verdict": "accepted"})
    assert answer.status_code < 400, answer.text
    assert "crit guess" not in who.page(f"/cases/{found.case_id}")


def test_an_ecg_that_was_not_read_still_shows_its_tier(all_of_it: House) -> None:
    who, found = all_of_it.held(modalities=frozenset({"ECG"}))
    all_of_it.bench.tell(found, ecg_read(Tier.RED, refused=POOR))
    page = who.page(f"/cases/{found.case_id}")
    assert "信号质量差，未读" in page and "红 · 请立即判读" in page and "crit guess" in page


def test_the_list_tells_an_ecgs_tier_and_statements(all_of_it: House) -> None:
    bench = all_of_it.bench
    found = bench.arrive(modalities=frozenset({"ECG"}))
    bench.tell(found, ecg_read(Tier.ORANGE))
    text = all_of_it.browser("reader").page("/worklist")
    assert "橙 · 优先" in text and "心房颤动伴快速心室率" in text and "72 次/分" in text
