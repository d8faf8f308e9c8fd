"""Administration and audit: to look at, for those who may; no secrets, no names, and the looking is written down."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from center import audit as chain
from center import postgres_driver as driver
from center.accounts import Accounts
from center.authority import Authority
from center.clock import CountedIdentifiers, HeldClock
from center.codes import Role, Service
from center.database import Database
from center.identity import SYSTEM
from center.jobs import Runner
from center.notifier import KeptNotifier
from center.objects.directory import DirectoryStore
from center.reads import Reason
from center.settings import Settings
from dicom_gateway.room import Gateway
from inference.registry import Refused, Registry
from inference.room import ReadStore
from portal import wiring
from portal.administration import web as administration
from portal.administration.view import Section, health, settings
from portal.audit import rows as audit_rows
from portal.audit import web as audit
from portal.audit.rows import brief_text, detail_text, narrowed
from portal.frame.environment import FRAME_FOLDER
from portal.frame.texts import load_texts
from portal.house import Found, House, Level
from portal.signin import web as signin
from tests.house import PASSWORD, PEOPLE, browser, csrf_of, house, people, signed_in
from tests.worklist.test_dispatch_pages import Rows, worklist_over

ROOT = Path(__file__).resolve().parents[2]
XSS = "<script>alert('x')</script>"
NAME = "不该出现的姓名"
SECRET = "very-secret-key"
ADMINISTRATION = ["/administration", *(f"/administration/{s}" for s in Section)]


@pytest.fixture
def accounts(
    web_database: Database, emptied: dict[str, str], clinics: tuple[str, ...], clock: HeldClock,
    identifiers: CountedIdentifiers,
) -> Accounts:  # fmt: skip
    people(emptied["admin"])
    return Accounts(web_database, clock, identifiers)


@pytest.fixture
def authority(tmp_path: Path, clock: HeldClock) -> Authority:
    return Authority.open(tmp_path / "keys", clock)


def verifier(database: Database, store: DirectoryStore, clock: HeldClock, authority: Authority) -> chain.AuditVerifier:
    return chain.AuditVerifier(database, {"the object store": store}, clock, authority.check_head)


@pytest.fixture
def app(
    accounts: Accounts, web_database: Database, store: DirectoryStore, clock: HeldClock,
    identifiers: CountedIdentifiers, authority: Authority, tmp_path: Path,
) -> Any:  # fmt: skip
    reads = ReadStore(web_database)
    gateway = Gateway.open(
        web_database, store, tmp_path / "spool", clock, identifiers, reads, reserve_bytes=0, quiet_s=None, ae_title="H"
    )
    worklist = worklist_over(web_database, clock, identifiers, KeptNotifier())
    books = administration.Books(
        accounts, web_database, clock, Settings.parse({"HELAN_S3_SECRET_KEY": SECRET}).shown(), gateway.register.all,
        gateway.kept_aside, reads.models, lambda: House((Found("database"),)),
    )  # fmt: skip
    return house(
        accounts, clock,
        lambda web: [
            signin.router(web, accounts, False),
            administration.pages(web, books),
            audit.pages(web, web_database, verifier(web_database, store, clock, authority), worklist.cases_named),
        ],
    )  # fmt: skip


# ---------------------------------------------------------------- who
def test_each_role_gets_exactly_its_own_pages(app: Any) -> None:
    for login in PEOPLE:
        client = signed_in(app, login)
        for path in ADMINISTRATION:
            assert client.get(path).status_code == (200 if login == "admin" else 403), (login, path)
        assert client.get("/audit").status_code == (200 if login in ("admin", "regulator") else 403), login
        token = csrf_of(client, "/audit")
        verified = client.post("/audit/verify", data={"csrf": token}).status_code
        assert verified == (303 if login in ("admin", "regulator") else 403), login
    stranger = browser(app)
    for path in (*ADMINISTRATION, "/audit"):
        assert stranger.get(path).headers["location"].startswith("/sign-in?next=/a")


def test_verifying_needs_the_pages_token_and_what_is_not_there_is_404(app: Any) -> None:
    client = signed_in(app, "admin")
    assert client.post("/audit/verify").status_code == 403
    assert client.post("/audit/verify", data={"csrf": "x" * 32}).status_code == 403
    assert client.get("/administration/nothing").status_code == 404


# ---------------------------------------------------------------- administration
def test_people_show_role_licence_certificate_and_lock_and_no_secret(
    app: Any, accounts: Accounts, emptied: dict[str, str], clock: HeldClock
) -> None:
    scope = [Service.IMAGING]
    accounts.add_person("signer", "沈知微", PASSWORD, PEOPLE["reader"], licence="1106400001", scope=scope, totp=True)
    accounts.add_person("bare", "白无证", PASSWORD, PEOPLE["reader"], licence="1106400002", scope=scope)
    accounts.add_person("gone", "李旧人", PASSWORD, PEOPLE["reader"])
    accounts.disable("gone")
    with driver.connect(emptied["admin"], autocommit=True) as connection:
        connection.execute(
            "insert into center.certificate select 's-1', person_id, 'pem', '{\"sealed\": \"wrapped-key\"}', now()"
            " from center.person where login = 'signer'"
        )
        connection.execute(
            "insert into center.sign_in_failure (name, address, failures, tries, last_at, locked_until)"
            " select encode(sha256(convert_to('tech', 'UTF8')), 'hex'), '198.51.100.9', 5, 5, now(), %s",
            (clock.now() + timedelta(minutes=9),),
        )
        hashes = [r[0] for r in connection.execute("select hash from center.person").fetchall()]
        (totp,) = connection.execute("select totp from center.person where login = 'signer'").fetchone() or ("",)
    text = signed_in(app, "admin").get("/administration/people").text
    for said in ("沈知微", "1106400001", "区人民医院 · 诊断医师", "已锁定", "停用", "缺证书，不能签发"):
        assert said in text, said
    assert text.count("缺证书") == 1
    assert totp not in text and "wrapped-key" not in text and not any(h in text for h in hashes)


def test_agreements_peers_models_and_what_is_kept_aside_are_listed_without_values(
    app: Any, accounts: Accounts, web_database: Database, emptied: dict[str, str], clock: HeldClock
) -> None:
    accounts.add_agreement("shigou", "tertiary", Service.ECG)
    accounts.add_agreement("helan", "tertiary", Service.IMAGING, until=clock.now() - timedelta(days=1))
    with driver.connect(emptied["admin"], autocommit=True) as connection:
        connection.execute('update center.agreement set "from" = %s', (clock.now() - timedelta(days=9),))
    ReadStore(web_database).note_model("chest_film", "1.0", "ab" * 32, serving=False, reason="digest", now=clock.now())
    with driver.connect(emptied["admin"], autocommit=True) as connection:
        connection.execute(
            "insert into gateway.peer (aet, cidr, clinic_id, address, created_at) values"
            " ('DR_1', '10.0.1.0/24', 'shigou', '', now()), ('PACS', '10.0.1.9/32', 'helan', '10.0.1.9:104', now())"
        )
        connection.execute("insert into center.object (sha256, bytes, location) values (%s, 1, 'store')", ("ab" * 32,))
        for clinic in ("shigou", "helan"):
            connection.execute(
                "insert into gateway.quarantine (clinic_id, sop_uid, sha256, study_uid, sop_class_uid, held_sha256, reason,"
                " difference, door, received_at) values (%s, %s, %s, '1.2', '1.2', 'x', 'other data set',"
                " array['(0010,0010)'], 'dimse', now())",
                (clinic, f"1.2.3.{clinic}", "ab" * 32),
            )
    client = signed_in(app, "admin")
    agreements = client.get("/administration/agreements").text
    assert "有效" in agreements and "已到期" in agreements and "心电" in agreements
    peers = client.get("/administration/peers?lang=en").text
    assert "DR_1" in peers and "10.0.1.9:104" in peers and "Shigou" in peers and "helan peer add" in peers
    aside = client.get("/administration/quarantine?lang=zh").text
    assert "1.2.3.shigou" in aside and "1.2.3.helan" in aside and "(0010,0010)" in aside
    assert "chest_film" in client.get("/administration/models").text
    settings_page = client.get("/administration/settings").text
    assert "HELAN_S3_SECRET_KEY" in settings_page and SECRET not in settings_page


def test_markup_in_names_stays_text(app: Any, accounts: Accounts, emptied: dict[str, str]) -> None:
    accounts.add_person("odd", XSS, PASSWORD, [], licence=XSS)
    accounts.add_agreement("shigou", "tertiary", Service.ECG)
    with driver.connect(emptied["admin"], autocommit=True) as connection:
        connection.execute(
            "update center.clinic set name = %s || clinic_id, name_en = %s, duty_phone = %s", (XSS, XSS, XSS)
        )
    client = signed_in(app, "admin")
    for lang in ("zh", "en"):
        for path in (*ADMINISTRATION, "/audit"):
            text = client.get(f"{path}?lang={lang}").text
            assert "<script>alert" not in text, path
        assert "&lt;script&gt;alert" in client.get(f"/administration/clinics?lang={lang}").text


def test_health_says_what_is_wrong_and_secrets_are_only_set_or_not() -> None:
    house = House(
        (Found("database"), Found("jobs", Level.BAD, "等得太久。", "Too long."), Found("failed_jobs", Level.LOOK, "有。", "Some.")),
        facts={"notifier_automatic": False, "n": 3.0},
    )  # fmt: skip
    lines = health(house).rows
    assert [line[1][0].tone for line in lines] == ["orange", "green", "red", "orange", "orange", ""]
    assert (lines[2][1][0].text, lines[2][1][0].en) == ("等得太久。", "Too long.") and lines[5][1][0].text == "3"
    shown = settings({"s3_secret_key": "(set)", "database": "(not set)", "ae_title": "HELAN"}).rows
    assert [row[1][0].key or row[1][0].text for row in shown] == ["set", "not_set", "HELAN"]


# ---------------------------------------------------------------- audit
def fill(database: Database, n: int) -> None:
    with database.transaction(SYSTEM) as work:
        for i in range(n):
            clinic = ("shigou", "helan")[i % 2]
            work.audit("case:cancel", f"case:{i}", clinic_id=clinic, reason=f"{NAME}重复了", n=i, name=f"{NAME} x")


def test_the_audit_shows_logins_and_ids_but_neither_names_nor_what_people_typed(
    app: Any, web_database: Database
) -> None:
    fill(web_database, 3)
    text = signed_in(app, "regulator").get("/audit").text
    assert NAME not in text and "理由 10 字，不显示" in text
    assert (
        "case:2" in text
        and '>人员</span> <span class="mono">regulator<' in text
        and "n=2" in text
        and "name=(9)" in text
    )
    assert detail_text({"b": [1, "x"], "a": None, "t": "has a blank", "z": "汉字"}) == "a=none b=[1,x] t=(11) z=(2)"


def test_things_are_told_by_case_number_login_and_name_and_linked_for_who_may_open_them(
    app: Any, accounts: Accounts, web_database: Database, emptied: dict[str, str], clock: HeldClock
) -> None:
    rows, study = Rows(emptied["admin"], clock.now()), f"2.25.{'7' * 36}"
    case = rows.case(case_id="0b0c8a52-7c3e-4f4c-9d55-aa1122334455", case_no="X0915", study_uid=study)
    alert = rows.alert(case, "气胸")
    task = rows.task(case, "phone", "unopened:v1")
    person = accounts.add_person(
        "both", "甲", PASSWORD, [("shigou", Role.CLINIC_DOCTOR), ("county", Role.ADMINISTRATOR)]
    )
    things = [f"case:{case}", f"alert:{alert}", f"task:{task}", f"study:{study}"]
    with web_database.transaction(SYSTEM) as work:
        for thing in (*things, "case:elsewhere"):
            work.audit("case:view", thing, clinic_id="shigou")
        work.audit("case:view", f"case:{case}", clinic_id="helan")  # no case of that clinic: never another's number
        work.audit("clinic:add", "clinic:shigou", clinic_id="shigou")

    def cells(login: str, lang: str) -> dict[str, str]:
        text = signed_in(app, login).get(f"/audit?lang={lang}").text
        found = re.findall(r'<td data-label="[^"]*" class="thing" title="([^"]*)">(.*?)</td>', text, re.DOTALL)
        return dict(found)  # the oldest of each

    told = cells("regulator", "en")
    assert all("X0915" in told[t] and "<a" not in told[t] for t in things)
    assert "Critical" in told[things[1]] and ">\u2026777777777777<" in told[things[3]] and case not in told[things[0]]
    assert detail_text({"a": case}) == f"a={case}" and brief_text({"a": case, "n": 7, "s": "ab" * 32}) == (
        "a=\u2026aa1122334455 n=7 s=\u2026abababababab"
    )
    assert "X" not in told["case:elsewhere"] and "elsewhere" in told["case:elsewhere"]
    assert "Shigou" in told["clinic:shigou"] and "both" in told[f"person:{person[0]}"]
    linked = cells("both", "zh")
    assert f'href="/clinic/cases/{case}"' in linked[things[0]] and "病例" in linked[things[0]]
    text = signed_in(app, "regulator").get("/audit?clinic=helan").text
    assert "X0915" not in text


def test_the_audit_is_paged_by_hundreds_and_narrowed_by_clinic_act_login_and_day(
    app: Any, web_database: Database, emptied: dict[str, str]
) -> None:
    fill(web_database, 230)
    with driver.connect(emptied["admin"], autocommit=True) as connection:
        # one second before and after midnight in Beijing
        connection.execute("update center.audit set at = '2026-11-20T15:59:59Z' where thing = 'case:7'")
        connection.execute("update center.audit set at = '2026-11-20T16:00:01Z' where thing = 'case:9'")
    client = signed_in(app, "regulator")
    seen: list[str] = []
    path = "/audit?act=case"
    for _ in range(3):
        text = client.get(path).text
        found = re.findall(r'title="(case:\d+)"', text)
        assert len(found) <= 100
        seen += found
        older = re.search(r'href="(/audit\?[^"]*before=\d+)"', text)
        path = older[1].replace("&amp;", "&") if older else ""
    assert seen == [f"case:{n}" for n in range(229, -1, -1)] and path == ""
    assert len(re.findall(r'title="(case:\d+)"', client.get("/audit?act=case:cancel&clinic=helan").text)) == 100
    day = client.get("/audit?from=2026-11-21&to=2026-11-21").text
    assert re.findall(r'title="(case:\d+)"', day) == ["case:9"]
    before = client.get("/audit?from=2026-11-20&to=2026-11-20").text
    assert re.findall(r'title="(case:\d+)"', before) == ["case:7"]
    assert re.findall(r'title="(case:\d+)"', client.get("/audit?login=nobody").text) == []
    for wrong in ("from=yesterday", "before=x", f"act={'x' * 65}", "login=%00"):
        assert client.get(f"/audit?{wrong}").status_code == 422, wrong
    assert narrowed(act="case", first="2026-11-21").query() == {"act": "case", "from": "2026-11-21"}


def test_reading_the_audit_is_itself_written_down(app: Any, web_database: Database) -> None:
    client = signed_in(app, "regulator")
    client.get("/audit?clinic=shigou&act=case")
    with web_database.transaction(SYSTEM) as work:
        row = work.one("select * from center.audit where act = 'audit:view' order by id desc limit 1")
    assert row is not None and row["login"] == "regulator" and row["clinic_id"] == "shigou"
    assert row["detail"] == {"rows": 0, "for_act": "case"}


def test_the_chains_state_is_shown_and_a_changed_row_is_found_when_somebody_asks(
    app: Any, web_database: Database, store: DirectoryStore, clock: HeldClock, authority: Authority,
    emptied: dict[str, str],
) -> None:  # fmt: skip
    fill(web_database, 2)
    chain.AuditSealer(web_database, {"the object store": store}, clock, authority.sign_head).seal()
    client = signed_in(app, "regulator")
    token = csrf_of(client, "/audit")
    walker = verifier(web_database, store, clock, authority)
    worker = Runner(web_database, {walker.HANDLER: walker.verify}, clock)
    assert "尚未核对" in client.get("/audit").text
    assert client.post("/audit/verify", data={"csrf": token}).headers["location"] == "/audit"
    assert "正在核对" in client.get("/audit").text
    assert worker.run_until_idle() == 1
    assert "完整：" in client.get("/audit").text
    with driver.connect(emptied["admin"], autocommit=True) as connection:
        connection.execute("update center.audit set reason = 'changed' where thing = 'case:1'")
    clock.advance(60)
    client.post("/audit/verify", data={"csrf": token})
    worker.run_until_idle()
    text = client.get("/audit").text
    assert "发现 1 处问题" in text and "was changed or swapped" in text
    with web_database.transaction(SYSTEM) as work:
        state = audit_rows.read(work, narrowed()).chain
    assert state.sealed == 2 and state.unsealed > 0 and state.head_seq == state.sealed


# ---------------------------------------------------------------- languages
def test_these_pages_say_everything_in_both_languages_and_nothing_in_their_templates() -> None:
    folders = [FRAME_FOLDER, ROOT / "portal" / "administration" / "pages", ROOT / "portal" / "audit" / "pages"]
    texts = load_texts(folders)  # raises where a key is in one language only
    for key, zh in texts.sentences["zh"].items():
        places = re.findall(r"\{(\w+)", zh)
        assert sorted(places) == sorted(re.findall(r"\{(\w+)", texts.raw("en", key))), key
    for path in (p for folder in folders for p in folder.rglob("*.html")):
        assert not re.findall(r"[\u3000-\u303f\u3400-\u9fff\uff00-\uffef]", path.read_text("utf-8")), path
    for section in Section:
        assert texts.has(f"portal.administration.tab.{section}")


def test_what_serves_and_what_was_refused_is_noted_when_the_models_are_loaded(
    app: Any, accounts: Accounts, web_database: Database, clock: HeldClock
) -> None:
    parts: Any = SimpleNamespace(reads=ReadStore(web_database), clock=clock)
    refused = Refused("spoiled_film", Reason("digest_differs", "不符", "differs"))
    wiring._note_models(parts, Registry({}, (refused,)))  # pyright: ignore[reportPrivateUsage]
    models = signed_in(app, "admin").get("/administration/models").text
    assert all(said in models for said in ("helan_ecg", "spoiled_film", "digest_differs"))
