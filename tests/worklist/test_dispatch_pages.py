"""The dispatcher's page and the printed code's page: who sees them, no names, phone calls written down."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest
from fastapi.testclient import TestClient

from center import postgres_driver as driver
from center.accounts import Accounts
from center.clock import CountedIdentifiers, HeldClock
from center.codes import Service
from center.database import Database
from center.notifier import KeptNotifier, LogNotifier
from portal.signin import web as signin
from tests.house import PEOPLE, browser, csrf_of, house, people, signed_in
from worklist.parts import Parts
from worklist.room import Worklist
from worklist.tasks import FOR_ROLE
from worklist.web import dispatch, qr

XSS = "<script>alert('x')</script>"
NAME = "不该出现的姓名"
#: Whom the ladder's first step tells.
TOLD = (("clinic_doctors", "page"), ("clinic_doctors", "sms"), ("clinic_duty", "phone"))


@dataclass
class Rows:
    """Cases as the worklist keeps them, written as the owner; the pages' own doors move them on."""

    dsn: str
    now: datetime
    n: int = field(default=0)

    def run(self, sql: str, **values: Any) -> None:
        with driver.connect(self.dsn, autocommit=True) as connection:
            connection.execute(sql.encode(), values)

    def case(self, **changes: Any) -> str:
        self.n += 1
        values: dict[str, Any] = {
            "clinic_id": "shigou", "case_id": f"case-{self.n}", "case_no": f"X{self.n:04}",
            "study_uid": f"1.2.{self.n}",
            "service": "imaging", "state": "queued", "urgency": "routine", "due_at": self.now + timedelta(minutes=90),
            "arrived_at": self.now - timedelta(minutes=31), "completed_at": self.now - timedelta(minutes=30),
            "patient_id": f"p-{self.n}", "patient_name": NAME, "patient_local_id": f"MRN-{self.n}", "modality": "DX",
            "created_at": self.now,
        } | changes  # fmt: skip
        names = ", ".join(values)
        self.run(f'insert into worklist."case" ({names}) values ({", ".join(f"%({n})s" for n in values)})', **values)
        return str(values["case_id"])

    def alert(self, case_id: str, finding: str, **changes: Any) -> str:
        values: dict[str, Any] = {
            "clinic_id": "shigou", "alert_id": f"alert-{case_id}", "case_id": case_id, "finding_key": f"k-{case_id}",
            "finding": finding, "level": 1, "state": "notified", "step": 1, "next_at": self.now + timedelta(minutes=2),
            "found_at": self.now - timedelta(minutes=3), "raised_at": self.now - timedelta(minutes=3),
            "raised_by": "reader", "teller": "沈知微",
        } | changes  # fmt: skip
        names = ", ".join(values)
        self.run(f"insert into worklist.alert ({names}) values ({', '.join(f'%({n})s' for n in values)})", **values)
        for n, (to, means) in enumerate(
            (("clinic_doctors", "page"), ("clinic_doctors", "sms"), ("clinic_duty", "phone"))
        ):
            self.run(
                "insert into worklist.alert_notice (clinic_id, alert_id, n, step, recipient, means, at)"
                " values (%(c)s, %(a)s, %(n)s, 0, %(to)s, %(m)s, %(at)s)",
                c=values["clinic_id"], a=values["alert_id"], n=n, to=to, m=means, at=values["raised_at"],
            )  # fmt: skip
        return str(values["alert_id"])

    def task(self, case_id: str, kind: str, key: str, for_role: str = "dispatcher", **changes: Any) -> str:
        facts = changes.pop("facts", "{}")
        values: dict[str, Any] = {
            "clinic_id": "shigou", "task_id": f"task-{case_id}-{kind}", "case_id": case_id, "kind": kind, "key": key,
            "for_role": for_role, "due_at": self.now + timedelta(minutes=12),
            "made_at": self.now - timedelta(minutes=3),
            "facts": facts,
        } | changes  # fmt: skip
        names = ", ".join(values)
        self.run(f"insert into worklist.task ({names}) values ({', '.join(f'%({n})s' for n in values)})", **values)
        return str(values["task_id"])


@dataclass
class Desk:
    rows: Rows
    worklist: Worklist
    build: Callable[..., Any]

    def sees(self, login: str = "dispatch") -> TestClient:
        return signed_in(self.build(), login)


def worklist_over(database: Database, clock: Any, identifiers: Any, notifier: Any) -> Worklist:
    """What the board's use cases need; the other ports are for reading and signing."""
    unused = cast(Any, SimpleNamespace())
    return Worklist(
        Parts(
            database=database, clock=clock, identifiers=identifiers, objects=unused, studies=unused, reads=unused,
            peers=unused, signer=unused, sealer=unused, notifier=notifier, renderer=unused, report_sop_uid=unused,
            public_url="http://127.0.0.1:8080",
        )
    )  # fmt: skip


@pytest.fixture
def desk(
    emptied: dict[str, str], web_database: Database, clinics: tuple[str, ...], clock: HeldClock,
    identifiers: CountedIdentifiers,
) -> Desk:  # fmt: skip
    accounts = Accounts(web_database, clock, identifiers)
    rows = Rows(emptied["admin"], clock.now())
    rows.run("update center.clinic set duty_phone = '0951-5550100' where clinic_id = 'shigou'")
    people(emptied["admin"])
    accounts.add_agreement("shigou", "tertiary", Service.IMAGING)
    worklist = worklist_over(web_database, clock, identifiers, LogNotifier())

    def build(*, demo: bool = False, worklist: Worklist = worklist) -> Any:
        return house(
            accounts, clock,
            lambda web: [signin.router(web, accounts, False), dispatch.router(web, worklist), qr.router(web, worklist)],
            demo=demo,
        )  # fmt: skip

    return Desk(rows, worklist, build)


# ---------------------------------------------------------------- who
def test_only_a_dispatcher_sees_and_works_on_the_board(desk: Desk) -> None:
    alert = desk.rows.alert(desk.rows.case(), "左侧张力性气胸")
    paths = (
        f"/dispatch/alerts/{alert}/acknowledge", f"/dispatch/alerts/{alert}/close", "/dispatch/tasks/t/done",
        "/dispatch/cases/case-1/reassign", "/dispatch/cases/case-1/urgency",
    )  # fmt: skip
    app = desk.build()
    for login in (name for name in PEOPLE if name != "dispatch"):
        client = signed_in(app, login)
        token = csrf_of(client, "/dispatch")
        assert client.get("/dispatch").status_code == 403
        for path in paths:
            body = {"csrf": token, "read_back": "左侧张力性气胸", "receiver": "x", "reason": "x", "action": "x"}
            assert client.post(path, data=body).status_code == 403, (login, path)


def test_nobody_signed_in_is_asked_to_sign_in(desk: Desk) -> None:
    answer = browser(desk.build()).get("/dispatch?state=queued")
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in?next=/dispatch%3Fstate%3Dqueued")


def test_no_act_without_the_pages_own_token(desk: Desk) -> None:
    alert = desk.rows.alert(desk.rows.case(), "左侧张力性气胸")
    client = desk.sees()
    body = {"receiver": "马医师", "read_back": "左侧张力性气胸"}
    assert client.post(f"/dispatch/alerts/{alert}/acknowledge", data=body).status_code == 403
    token = csrf_of(client, "/dispatch")
    foreign = client.post(
        f"/dispatch/alerts/{alert}/acknowledge",
        data=body | {"csrf": token},
        headers={"origin": "https://elsewhere.example"},
    )
    assert foreign.status_code == 403
    assert "气胸" in client.get("/dispatch").text


# ---------------------------------------------------------------- what
def test_the_board_counts_by_state_and_shows_the_next_due_first_without_a_name(desk: Desk) -> None:
    late = desk.rows.case(
        due_at=desk.rows.now - timedelta(minutes=3), flags=["escalated", "wider_pool"], urgency="stat"
    )
    desk.rows.case(service="ecg", modality="ECG", clinic_id="helan", machine='{"kind": "critical"}')
    desk.rows.case(
        state="reading", lease_token="t", lease_by="reader", lease_by_name="沈知微",
        lease_since=desk.rows.now, lease_until=desk.rows.now + timedelta(minutes=9),
    )  # fmt: skip
    text = desk.sees().get("/dispatch").text
    assert NAME not in text and "MRN-" not in text
    assert text.index(f"case-{late}") < text.index("case-case-2")
    assert "已超时上报" in text and "AI 提示危急" in text and "阅读中 沈知微" in text
    assert "贺兰山镇卫生院" in text and "0951-5550100" not in text.partition('id="cases"')[2]
    narrowed = desk.sees().get("/dispatch?service=ecg&state=queued").text
    assert f"case-{late}" not in narrowed and "另有 2 例" in narrowed
    assert desk.sees().get("/dispatch?service=nonsense&state=%00").status_code == 200


def test_an_open_alert_names_the_duty_phone_its_step_and_that_nobody_is_called_by_machine(desk: Desk) -> None:
    desk.rows.alert(desk.rows.case(), "左侧张力性气胸")
    text = desk.sees().get("/dispatch").text
    assert "tel:0951-5550100" in text and "系统不会自动打电话" in text and "已通知 3 次" in text
    assert text.count('class="on"') == 1
    english = desk.sees().get("/dispatch?lang=en").text
    assert "Nobody is called automatically: phone now" in english and "Clinic duty phone" in english
    assert NAME not in text + english


def test_where_a_service_calls_people_the_red_banner_is_gone(
    desk: Desk, web_database: Database, clock: HeldClock, identifiers: CountedIdentifiers
) -> None:
    calling = worklist_over(web_database, clock, identifiers, KeptNotifier())
    client = signed_in(desk.build(worklist=calling), "dispatch")
    assert "系统不会自动打电话" not in client.get("/dispatch").text
    assert "演示区域不会自动打电话" in signed_in(desk.build(demo=True), "dispatch").get("/dispatch").text


def test_markup_in_names_and_findings_stays_text(desk: Desk) -> None:
    desk.rows.run("update center.clinic set name = %(n)s || clinic_id, name_en = %(n)s, duty_phone = %(n)s", n=XSS)
    case = desk.rows.case(case_no=XSS, modality=XSS)
    desk.rows.alert(case, XSS)
    desk.rows.task(case, "phone", "unopened:v1", facts='{"version": 1, "recipient": "<b>x</b>"}')
    for lang in ("zh", "en"):
        text = desk.sees().get(f"/dispatch?lang={lang}").text
        assert "<script>alert" not in text and "<b>x</b>" not in text
        assert "&lt;script&gt;alert" in text


# ---------------------------------------------------------------- acts
def test_a_read_back_by_phone_is_kept_with_all_its_fields_and_the_call_is_over(desk: Desk) -> None:
    alert = desk.rows.alert(desk.rows.case(), "左侧张力性气胸")
    client = desk.sees()
    body = {"csrf": csrf_of(client, "/dispatch"), "receiver": "马医师", "read_back": "左侧张力性气胸，收到"}
    answer = client.post(f"/dispatch/alerts/{alert}/acknowledge", data=body)
    assert (answer.status_code, answer.headers["location"]) == (303, "/dispatch")
    text = client.get("/dispatch").text
    assert "已复述，待处置" in text and "马医师" in text and f"/dispatch/alerts/{alert}/close" in text
    done = client.post(f"/dispatch/alerts/{alert}/close", data={"csrf": body["csrf"], "action": "已行胸腔闭式引流"})
    assert done.status_code == 303
    assert f"alert-{alert}" not in client.get("/dispatch").text


def test_a_read_back_that_says_something_else_is_shown_again_and_kept_only_when_insisted_on(desk: Desk) -> None:
    alert = desk.rows.alert(desk.rows.case(), "左侧张力性气胸")
    client = desk.sees()
    body = {"csrf": csrf_of(client, "/dispatch"), "receiver": "马医师", "read_back": "右侧气胸"}
    answer = client.post(f"/dispatch/alerts/{alert}/acknowledge", data=body)
    assert answer.status_code == 422
    assert "复述与所见不一致" in answer.text and 'value="右侧气胸"' in answer.text and 'name="insist"' in answer.text
    assert "已复述，待处置" not in client.get("/dispatch").text
    assert client.post(f"/dispatch/alerts/{alert}/acknowledge", data=body | {"insist": "1"}).status_code == 303
    assert "复述不一致" in client.get("/dispatch").text


def test_the_read_back_field_is_never_prefilled(desk: Desk) -> None:
    desk.rows.alert(desk.rows.case(), "左侧张力性气胸")
    text = desk.sees().get("/dispatch").text
    field_text = text.partition('name="read_back"')[2].partition(">")[0]
    assert 'value=""' in field_text


def test_a_phone_task_is_done_with_how_it_was_done(desk: Desk) -> None:
    task = desk.rows.task(desk.rows.case(), "phone", "unopened:v1", facts='{"version": 1}')
    client = desk.sees()
    text = client.get("/dispatch").text
    assert "报告第 1 版已送达，还没有人打开" in text and "0951-5550100" in text
    token = csrf_of(client, "/dispatch")
    empty = client.post(f"/dispatch/tasks/{task}/done", data={"csrf": token, "reason": "  "})
    assert empty.status_code == 422 and f"task-{task}" in client.get("/dispatch").text
    assert client.post(f"/dispatch/tasks/{task}/done", data={"csrf": token, "reason": "已电话告知"}).status_code == 303
    assert f"task-{task}" not in client.get("/dispatch").text


def test_a_reader_s_task_is_shown_but_is_not_the_dispatchers_to_finish(desk: Desk) -> None:
    task = desk.rows.task(desk.rows.case(), "read_now", "k", for_role="reader")
    text = desk.sees().get("/dispatch").text
    assert "AI 提示危急，请人工判读" in text and f"/dispatch/tasks/{task}/done" not in text


@pytest.mark.parametrize("kind", [*FOR_ROLE])
def test_a_late_reader_is_rung_at_the_reading_clinic_and_a_late_clinic_at_its_own(desk: Desk, kind: str) -> None:
    desk.rows.run("update center.clinic set duty_phone = '0951-5559999' where clinic_id = 'tertiary'")
    case = desk.rows.case(
        state="leased", reading_clinic="tertiary", lease_token="t", lease_by="reader", lease_by_name="沈知微", lease_n=1,
        lease_since=desk.rows.now, lease_until=desk.rows.now + timedelta(minutes=9),
    )  # fmt: skip
    task = desk.rows.task(case, kind, "k", for_role=FOR_ROLE[kind].value)
    card = desk.sees().get("/dispatch").text.partition(f'id="task-{task}"')[2].partition('id="no-tasks"')[0]
    ours, theirs = ("石沟镇卫生院", "0951-5550100"), ("阅读方：区人民医院", "沈知微", "tel:0951-5559999")
    rung, other = (ours, theirs) if kind == "phone" else (theirs, ours)
    assert all(said in card for said in rung) and not any(said in card for said in other)


def test_a_case_that_no_clinic_reads_names_no_clinics_phone(desk: Desk) -> None:
    task = desk.rows.task(desk.rows.case(), "dispatch", "due:1")
    card = desk.sees().get("/dispatch").text.partition(f'id="task-{task}"')[2].partition('id="no-tasks"')[0]
    assert "没有机构负责阅读" in card and "0951-5550100" not in card and "没有登记值班电话" not in card


def test_a_held_case_is_taken_back_and_urgency_only_rises(desk: Desk) -> None:
    held = desk.rows.case(
        state="leased", lease_token="t", lease_by="reader", lease_by_name="沈知微", lease_n=1,
        lease_since=desk.rows.now, lease_until=desk.rows.now + timedelta(minutes=9),
    )  # fmt: skip
    client = desk.sees()
    token = csrf_of(client, "/dispatch")
    answer = client.post(f"/dispatch/cases/{held}/reassign", data={"csrf": token, "reason": "医师离岗"})
    assert answer.status_code == 303
    raised = client.post(
        f"/dispatch/cases/{held}/urgency", data={"csrf": token, "urgency": "stat", "reason": "病情变化"}
    )
    assert raised.status_code == 303
    text = client.get("/dispatch").text
    assert 'data-u="stat"' in text and "沈知微" not in text
    lower = client.post(f"/dispatch/cases/{held}/urgency", data={"csrf": token, "urgency": "routine", "reason": "x"})
    assert lower.status_code == 409
    bad = client.post(f"/dispatch/cases/{held}/urgency", data={"csrf": token, "urgency": "'; drop", "reason": "x"})
    assert bad.status_code == 422


# ---------------------------------------------------------------- the printed code
def report(rows: Rows, token: str, status: str = "final", n: int = 1, case_id: str = "") -> str:
    case = case_id or rows.case(state="closed", version=n)
    rows.run(
        "insert into worklist.report_version (clinic_id, case_id, n, study_uid, status, report_no, content,"
        " content_sha256, lang, preview_sha256, pdf_sha256, signer, signer_name, certificate_serial, signed_at,"
        " seen_sops) values ('shigou', %(case)s, %(n)s, '1.2', %(status)s, 'R1', '{}', %(digest)s, 'zh', 'p', 'f',"
        " 'reader', %(name)s, 's', %(at)s, '{}')",
        case=case, n=n, status=status, digest="ab" * 32, name=NAME, at=rows.now,
    )  # fmt: skip
    digest = hashlib.sha256(token.encode()).hexdigest()
    rows.run("insert into worklist.qr values (%(h)s, 'shigou', %(c)s, %(n)s)", h=digest, c=case, n=n)
    return case


@pytest.mark.parametrize("path", ["/q/", "/qr/"])
def test_the_printed_code_tells_anyone_what_the_report_is_worth_and_nothing_about_whom(desk: Desk, path: str) -> None:
    report(desk.rows, "token-1")
    old = report(desk.rows, "token-2", "amended")
    report(desk.rows, "token-3", "final", n=2, case_id=old)
    report(desk.rows, "token-4", "withdrawn")
    client = browser(desk.build())
    said = {t: client.get(path + t).text for t in ("token-1", "token-2", "token-3", "token-4")}
    assert "报告有效" in said["token-1"] and "报告有效" in said["token-3"]
    assert "报告已被替换" in said["token-2"] and "第 2 版" in said["token-2"]
    assert "报告已撤回" in said["token-4"]
    assert "withdrawn" in client.get(f"{path}token-4?lang=en").text
    for text in said.values():
        assert NAME not in text and "MRN-" not in text and "shigou" not in text and "石沟" not in text
    unknown = client.get(f"{path}guess?lang=zh")
    assert unknown.status_code == 404 and "没有这份报告" in unknown.text
    assert unknown.headers["x-robots-tag"].startswith("noindex")


def test_guessing_codes_is_slowed_down(desk: Desk) -> None:
    client = browser(desk.build())
    answers = [client.get(f"/q/guess-{n}").status_code for n in range(80)]
    assert answers[:60] == [404] * 60 and 429 in answers[60:]
