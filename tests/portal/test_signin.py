"""Signing in: whose page comes next, what is refused, the lock-out, and what a page says when something fails."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyotp
import pytest
from fastapi import APIRouter, Depends
from fastapi.testclient import TestClient

from center.accounts import Accounts
from center.allowance import Allowance
from center.authority import Authority
from center.clock import CountedIdentifiers, HeldClock
from center.codes import Role
from center.database import Database
from center.errors import (
    Failure,
    Forbidden,
    HeldByAnother,
    Invalid,
    NoRoom,
    NotFound,
    OverLimit,
    Stranger,
    Unavailable,
    Unreadable,
    WrongState,
)
from center.identity import Actor
from center.signing import CertificateSigner
from center.web import COOKIE, Web
from portal.access import web as access
from portal.signin import web as signin
from tests.house import PASSWORD, browser, csrf_of, house, people, signed_in

HOMES = {
    "tech": "/clinic",
    "doctor": "/clinic",
    "reader": "/worklist",
    "dispatch": "/dispatch",
    "admin": "/administration",
    "regulator": "/audit",
}


def failing(web: Web, failures: Sequence[Failure]) -> APIRouter:
    routes = APIRouter()

    @routes.get("/fails/{n}")
    def fails(n: int, _: Actor = Depends(web.actor)) -> None:
        raise failures[n]

    return routes


@pytest.fixture
def accounts(
    web_database: Database, emptied: dict[str, str], clinics: tuple[str, ...], clock: HeldClock,
    identifiers: CountedIdentifiers,
) -> Accounts:  # fmt: skip
    people(emptied["admin"])
    return Accounts(web_database, clock, identifiers)


@pytest.fixture
def app(accounts: Accounts, clock: HeldClock) -> Any:
    return house(accounts, clock, lambda web: [signin.router(web, accounts, False)])


def enter(client: TestClient, login: str, password: str = PASSWORD, **more: Any) -> Any:
    path = more.pop("path", "/sign-in")
    return client.post(path, data={"login": login, "password": password, **more.pop("data", {})}, **more)


# ---------------------------------------------------------------- where it leads
def test_everybody_begins_at_the_page_of_his_role(app: Any) -> None:
    client = browser(app)
    assert client.get("/").headers["location"] == "/sign-in"
    for login, path in HOMES.items():
        assert enter(client, login).headers["location"] == path
        assert client.get("/").headers["location"] == path


def test_of_several_roles_reading_comes_first_and_without_a_role_nobody_is_led_anywhere(
    app: Any, accounts: Accounts
) -> None:
    accounts.add_person("both", "both", PASSWORD, [("county", Role.ADMINISTRATOR), ("county", Role.READER)])
    accounts.add_person("none", "none", PASSWORD, [])
    assert enter(browser(app), "both").headers["location"] == "/worklist"
    refused = enter(browser(app), "none")
    assert refused.status_code == 403 and "还没有岗位" in refused.text


def test_after_signing_in_the_page_that_was_asked_for_comes(app: Any) -> None:
    answer = enter(browser(app), "tech", path="/sign-in?next=%2Fcases%2F7%3Ftab%3Dimages")
    assert answer.headers["location"] == "/cases/7?tab=images"


ELSEWHERE = (
    "https://elsewhere.example/", "//elsewhere.example", "/\\elsewhere.example", "\\\\elsewhere.example",
    "/\t/elsewhere.example", "javascript:alert(1)", "elsewhere", "/ /x", "/x\r\nSet-Cookie: a=b", "/" + "x" * 2001,
    "/sign-out", "/sign-in?next=/x",
)  # fmt: skip


def test_no_address_leads_out_of_this_site(app: Any) -> None:
    assert [text for text in ELSEWHERE if signin.own_path(text)] == []
    client = browser(app)
    for elsewhere in ELSEWHERE:
        assert '<form method="post" action="/sign-in" ' in client.get("/sign-in", params={"next": elsewhere}).text
    for elsewhere in ELSEWHERE[:3]:
        body = {"login": "tech", "password": PASSWORD}
        assert client.post("/sign-in", params={"next": elsewhere}, data=body).headers["location"] == "/clinic"


# ---------------------------------------------------------------- what is refused
def test_the_answer_never_says_whether_name_or_password_was_wrong(app: Any) -> None:
    client = browser(app)
    known, unknown = enter(client, "tech", "wrong password"), enter(client, "nobody", "wrong password")
    assert known.status_code == unknown.status_code == 401
    said = [re.findall(r'id="trouble".*?</p>', a.text, re.DOTALL) for a in (known, unknown)]
    assert said[0] == said[1] and "账号或密码不对" in said[0][0] and "5 次" in said[0][0]
    assert COOKIE not in known.cookies and "wrong password" not in known.text


def test_after_five_wrong_passwords_the_page_says_how_long_that_name_is_locked_here_whether_it_exists_or_not(
    app: Any, clock: HeldClock
) -> None:
    client, said = browser(app), []
    for name in ("tech", "nobody"):
        for _ in range(5):
            assert enter(client, name, "wrong").status_code == 401
        locked = enter(client, name)
        assert locked.status_code == 429 and "15 分钟内不能登录" in locked.text and "retry-after" in locked.headers
        said.append(re.findall(r'id="trouble".*?</p>', locked.text, re.DOTALL))
    assert said[0] == said[1] != []
    assert "cannot be entered for 15 min" in enter(client, "tech", path="/sign-in?lang=en").text
    assert enter(browser(app, "198.51.100.9"), "tech").status_code == 303, "the doctor at his own desk"
    clock.advance(15 * 60 + 1)
    assert enter(client, "tech").status_code == 303


def test_one_password_tried_on_many_names_is_stopped_by_the_address(app: Any) -> None:
    client = browser(app)
    answers = [enter(client, f"name{n}", "Spring2026!!").status_code for n in range(32)]
    assert answers[:30] == [401] * 30 and answers[30:] == [429, 429]
    forged = {"x-forwarded-for": "10.0.0.9"}  # anybody can write that
    assert enter(client, "tech", headers=forged).status_code == 429
    assert enter(browser(app, "198.51.100.9"), "tech").status_code == 303


def test_a_signer_with_a_second_factor_needs_its_code(app: Any, accounts: Accounts, clock: HeldClock) -> None:
    _, secret = accounts.add_person("signer", "signer", PASSWORD, [("tertiary", Role.READER)], totp=True)
    client = browser(app)
    assert enter(client, "signer").status_code == 401
    code = pyotp.TOTP(secret).at(clock.now())
    assert enter(client, "signer", data={"code": code}).headers["location"] == "/worklist"


def test_no_other_site_signs_anybody_in_or_out(app: Any) -> None:
    client, inside = browser(app), signed_in(app, "tech")
    for headers in ({"origin": "https://elsewhere.example"}, {"sec-fetch-site": "cross-site"}, {"origin": "null"}):
        assert enter(client, "tech", headers=headers).status_code == 403
        assert inside.post("/sign-out", headers=headers).status_code == 403
    assert inside.get("/").headers["location"] == "/clinic"


def test_signing_out_and_preferences_need_the_pages_token(app: Any) -> None:
    client = signed_in(app, "tech")
    assert client.post("/sign-out").status_code == 403
    assert client.post("/preferences", data={"theme": "dark"}).status_code == 403
    token = csrf_of(client, "/sign-in")
    assert token == ""  # the sign-in page is nobody's
    for guess in ("guess", "中", "é"):
        assert client.post("/sign-out", data={"csrf": guess}).status_code == 403


def test_nonsense_as_a_name_is_a_wrong_name(app: Any) -> None:
    client = browser(app)
    for nonsense in ("tech\x00", "\ud7ff", "a" * 5000, "<script>alert(1)</script>", "'; drop table x"):
        answer = enter(client, nonsense)
        assert answer.status_code == 401 and "<script>alert" not in answer.text
    assert enter(client, "tech", "\x00" + PASSWORD).status_code == 401


def test_the_cookie_is_kept_from_scripts_and_other_sites_and_secure_behind_tls(
    accounts: Accounts, clock: HeldClock
) -> None:
    for secure in (False, True):
        app = house(accounts, clock, lambda web, s=secure: [signin.router(web, accounts, s)])
        cookie = enter(browser(app), "tech").headers["set-cookie"]
        assert "HttpOnly" in cookie and "SameSite=strict" in cookie and ("Secure" in cookie) is secure


def test_a_new_sign_in_ends_the_session_before_it_and_signing_out_ends_it_for_good(
    app: Any, accounts: Accounts
) -> None:
    client = signed_in(app, "tech")
    first = client.cookies[COOKIE]
    assert enter(client, "doctor").status_code == 303
    second = client.cookies[COOKIE]
    with pytest.raises(Failure):
        accounts.session(first)
    csrf = accounts.session(second).csrf
    assert client.post("/sign-out", data={"csrf": csrf}).headers["location"] == "/sign-in"
    with pytest.raises(Failure):
        accounts.session(second)
    assert client.get("/").headers["location"] == "/sign-in"
    assert client.post("/sign-out").headers["location"] == "/sign-in"  # twice does no harm


# ---------------------------------------------------------------- how it looks
def test_a_persons_look_is_kept_with_him_and_a_strangers_in_his_browser(app: Any, accounts: Accounts) -> None:
    stranger = browser(app)
    assert stranger.post("/preferences", data={"theme": "dark", "next": "//x"}).headers["location"] == "/sign-in"
    assert 'data-theme="dark"' in stranger.get("/sign-in").text
    client = signed_in(app, "tech")
    session = accounts.session(client.cookies[COOKIE])
    data = {"csrf": session.csrf, "theme": "dark", "density": "dense", "lang": "en", "next": "/clinic?day=1"}
    answer = client.post("/preferences", data=data)
    assert answer.headers["location"] == "/clinic?day=1"
    assert accounts.session(client.cookies[COOKIE]).preferences == {"theme": "dark", "density": "dense", "lang": "en"}
    by_script = client.post(
        "/preferences", data={"csrf": session.csrf, "theme": "light"}, headers={"accept": "application/json"}
    )
    assert by_script.status_code == 204
    assert client.post("/preferences", data={"csrf": session.csrf, "theme": "pink"}).status_code == 422


def test_the_page_speaks_both_languages_works_without_scripts_and_never_shows_the_demo_s_logins(
    accounts: Accounts, clock: HeldClock
) -> None:
    app = house(accounts, clock, lambda web: [signin.router(web, accounts, False)], demo=True)
    chinese, english = browser(app).get("/sign-in").text, browser(app).get("/sign-in?lang=en").text
    assert "登录" in chinese and "演示账号只印在启动它的终端里" in chinese
    assert "Sign in" in english and "printed only in the terminal" in english
    for text in (chinese, english):
        assert '<form method="post" action="/sign-in"' in text and PASSWORD not in text
        assert not re.search(r"<script(?![^>]*\bsrc=)", text)
        assert all(login not in text for login in ("chenyu", "regulator"))


# ---------------------------------------------------------------- failures
AT = datetime(2026, 11, 22, 2, 22, tzinfo=UTC).isoformat()
FAILURES = [
    Forbidden("没有权限。", "Not permitted.", {"grantor": "administrator", "act": "x"}),
    NotFound("没有找到。", "Not found."),
    HeldByAnother("由沈知微持有。", "Held.", {"holder": "沈知微", "since": AT, "until": None}),
    WrongState("现在不行。", "Not now.", {"state": "queued", "possible": ["take", "cancel"]}),
    Invalid("填写有误。", "Malformed.", {"fields": ["name"]}),
    Unreadable("读不出来。", "Unreadable."),
    OverLimit("太多。", "Too many."),
    NoRoom("满了。", "Full."),
    Unavailable("数据库不可用。", "Away.", {"cause": "secret detail"}),
    Failure("不能处理。", "Cannot."),
]


def test_every_failure_has_a_page_that_says_what_is_and_what_to_do(accounts: Accounts, clock: HeldClock) -> None:
    app = house(accounts, clock, lambda web: [signin.router(web, accounts, False), failing(web, FAILURES)])
    client = signed_in(app, "tech")
    said: dict[str, str] = {}
    for n, failure in enumerate(FAILURES):
        for lang, sentence, home in (("zh", failure.zh, "回到首页"), ("en", failure.en, "Home")):
            answer = client.get(f"/fails/{n}?lang={lang}")
            assert answer.status_code == failure.answer.http
            assert sentence in answer.text and home in answer.text and failure.name in answer.text
            assert "secret detail" not in answer.text  # facts without a label are for logs
            said[failure.name] = answer.text
        as_json = client.get(f"/fails/{n}", headers={"accept": "application/json"}).json()
        assert as_json["zh"] == failure.zh and as_json["en"] == failure.en
    assert "沈知微" in said["held_by_another"] and "2026-11-22 10:22:00" in said["held_by_another"]
    assert "Unclaimed" in said["wrong_state"] and "take · cancel" in said["wrong_state"]


def test_markup_in_a_failures_facts_stays_text(accounts: Accounts, clock: HeldClock) -> None:
    failure = Invalid("<b>x</b>", "<b>x</b>", {"file": "<script>alert(1)</script>"})
    app = house(accounts, clock, lambda web: [signin.router(web, accounts, False), failing(web, [failure])])
    text = signed_in(app, "tech").get("/fails/0").text
    assert "<b>x" not in text and "<script>alert" not in text and "&lt;script&gt;" in text


# ---------------------------------------------------------------- allowance
def test_an_allowance_refills_with_time_and_forgets_who_asked_longest_ago() -> None:
    at = [0.0]
    allowance = Allowance(2, 60, lambda: at[0])
    assert [allowance.take("a") for _ in range(3)] == [True, True, False]
    assert allowance.take("b") and not allowance.left("a")
    at[0] = 1.0
    assert allowance.left("a") and allowance.take("a") and not allowance.take("a")
    for n in range(10_001):
        allowance.take(f"c{n}")
    assert allowance.left("a")


# ---------------------------------------------------------------- one's own account, and what an administrator ends
@pytest.fixture
def with_account(
    accounts: Accounts, clock: HeldClock, web_database: Database, tmp_path: Path
) -> tuple[Any, CertificateSigner]:
    signer = CertificateSigner(web_database, Authority.open(tmp_path / "keys", clock), clock)
    routers = lambda web: [signin.router(web, accounts, False), access.router(web, accounts, signer)]  # noqa: E731
    return house(accounts, clock, routers), signer


def test_a_new_password_of_ones_own_ends_every_session_and_opens_the_signing_key(
    with_account: tuple[Any, CertificateSigner], accounts: Accounts
) -> None:
    app, signer = with_account
    person_id = accounts.actor_of("tech").person_id
    signer.issue(person_id, "tech", "110", PASSWORD)
    here, there = signed_in(app, "tech"), signed_in(app, "tech")
    token = csrf_of(here, "/account")
    fields = {"csrf": token, "old": PASSWORD, "new": "another horse", "again": "another horse"}
    assert here.post("/account/password", data={**fields, "old": "wrong horse"}).status_code == 422
    assert here.post("/account/password", data={**fields, "again": "other"}).status_code == 422
    assert here.post("/account/password", data={**fields, "csrf": "x"}).status_code == 403
    assert here.post("/account/password", data=fields).headers["location"] == "/sign-in"
    for client in (here, there):
        assert client.get("/account").headers["location"].startswith("/sign-in")
    assert enter(browser(app), "tech", "another horse").status_code == 303
    signer.rewrap(person_id, "another horse", PASSWORD)  # it opens with the new one


def test_signing_out_everywhere_ends_the_other_browser_too(with_account: tuple[Any, CertificateSigner]) -> None:
    app, _ = with_account
    here, there = signed_in(app, "tech"), signed_in(app, "tech")
    here.post("/account/sign-out", data={"csrf": csrf_of(here, "/account")})
    assert there.get("/account").headers["location"].startswith("/sign-in")


def test_an_administrator_unlocks_a_name_and_revokes_a_token(
    with_account: tuple[Any, CertificateSigner], accounts: Accounts
) -> None:
    app, _ = with_account
    secret = accounts.make_token("tech", label="RIS")
    stranger = browser(app, "198.51.100.9")
    for _ in range(5):
        enter(stranger, "tech", "wrong")
    admin = signed_in(app, "admin")
    text, token = admin.get("/access").text, csrf_of(admin, "/access")
    assert "RIS" in text and secret not in text and "/access/people/tech/unlock" in text
    admin.post("/access/people/tech/unlock", data={"csrf": token})
    assert enter(stranger, "tech").status_code == 303
    admin.post(f"/access/tokens/{accounts.tokens()[0]['token_id']}/revoke", data={"csrf": token})
    with pytest.raises(Stranger):
        accounts.by_token(secret)
