"""Signing in and out: passwords, lock-out, second factor, sessions, tokens; what ends when a person is disabled."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pyotp
import pytest

from center import passwords
from center.accounts import IDLE_FOR, SESSION_FOR, SIGNING_FAILURES, Accounts, WrongCredentials
from center.clock import CountedIdentifiers, HeldClock
from center.codes import Role, Service
from center.database import Database
from center.errors import Invalid, NotFound, OverLimit, Stranger
from center.identity import SYSTEM, ClinicId
from center.lockout import FAILURES_ALLOWED, GUARDED_FOR, GUARDED_FROM, LOCKED_FOR

PASSWORD = "correct horse"


@pytest.fixture
def clock() -> HeldClock:
    """Agreements and memberships are in force by the database's clock: this one starts beside it."""
    return HeldClock(datetime.now(UTC))


@pytest.fixture
def accounts(
    database: Database, clinics: tuple[str, ...], clock: HeldClock, identifiers: CountedIdentifiers
) -> Accounts:
    accounts = Accounts(database, clock, identifiers)
    accounts.add_person("ji", "季", PASSWORD, [("shigou", Role.TECHNICIAN)])
    return accounts


def add_reader(accounts: Accounts) -> None:
    accounts.add_person(
        "du", "杜", PASSWORD, [("tertiary", Role.READER)], licence="110000", scope=[Service.IMAGING]
    )  # fmt: skip


def audited(database: Database, act: str) -> int:
    with database.transaction(SYSTEM) as work:
        return len(work.all("select 1 from center.audit where act = %(a)s", a=act))


# ---------------------------------------------------------------- signing in
def test_a_person_signs_in_and_the_session_knows_him(accounts: Accounts, database: Database) -> None:
    signed_in = accounts.sign_in(" JI ", PASSWORD)
    session = accounts.session(signed_in.token)
    assert session.actor.login == "ji"
    assert session.actor.own_clinics == {"shigou"}
    assert session.csrf == signed_in.csrf
    assert audited(database, "session:begin") == 1


def test_the_secret_of_a_session_or_token_is_nowhere_in_the_database(accounts: Accounts, database: Database) -> None:
    token, api = accounts.sign_in("ji", PASSWORD).token, accounts.make_token("ji")
    with database.transaction(SYSTEM) as work:
        kept = str(work.all("select * from center.session")) + str(work.all("select * from center.api_token"))
        kept += str(work.all("select * from center.person"))
    assert token not in kept
    assert api not in kept
    assert PASSWORD not in kept


@pytest.mark.parametrize(("login", "password"), [("ji", "wrong horse"), ("nobody", PASSWORD), ("ji", ""), ("", "")])
def test_a_refusal_never_says_which_was_wrong(accounts: Accounts, login: str, password: str) -> None:
    with pytest.raises(WrongCredentials) as caught:
        accounts.sign_in(login, password)
    assert caught.value.en == "The name or password is wrong."


DESK, ELSEWHERE = "192.0.2.7", "198.51.100.9"


def fail(accounts: Accounts, login: str = "ji", address: str = ELSEWHERE, times: int = FAILURES_ALLOWED) -> None:
    for _ in range(times):
        with pytest.raises(WrongCredentials):
            accounts.sign_in(login, "wrong horse", address=address)


@pytest.mark.parametrize("login", ["ji", "nobody"])
def test_an_address_is_locked_for_a_name_after_too_many_wrong_passwords_whether_anybody_has_the_name_or_not(
    accounts: Accounts, clock: HeldClock, login: str
) -> None:
    fail(accounts, login)
    with pytest.raises(OverLimit) as caught:
        accounts.sign_in(login, PASSWORD, address=ELSEWHERE)
    assert caught.value.facts["minutes"] == LOCKED_FOR.seconds // 60
    clock.advance(LOCKED_FOR.total_seconds() + 1)
    with pytest.raises(WrongCredentials):
        accounts.sign_in(login, "wrong horse", address=ELSEWHERE)


def test_a_stranger_locks_nobody_out_but_himself(accounts: Accounts) -> None:
    """The doctor signs in from his own desk, and signs in his open session, however often his name was tried."""
    person_id = accounts.actor_of("ji").person_id
    fail(accounts)
    assert accounts.sign_in("ji", PASSWORD, address=DESK)
    accounts.check_password(person_id, PASSWORD)
    with pytest.raises(OverLimit):
        accounts.sign_in("ji", PASSWORD, address=ELSEWHERE)


def test_a_name_tried_from_many_addresses_opens_from_known_ones_only(accounts: Accounts, clock: HeldClock) -> None:
    accounts.sign_in("ji", PASSWORD, address=DESK)
    for n in range(GUARDED_FROM):
        fail(accounts, address=f"198.51.100.{n}", times=1)
    with pytest.raises(OverLimit):
        accounts.sign_in("ji", PASSWORD, address="198.51.100.200")
    assert accounts.sign_in("ji", PASSWORD, address=DESK)
    clock.advance(GUARDED_FOR.total_seconds() + 1)
    assert accounts.sign_in("ji", PASSWORD, address="198.51.100.200")


def test_an_administrator_unlocks_a_name(accounts: Accounts, database: Database) -> None:
    fail(accounts)
    assert [p["login"] for p in accounts.people() if p["locked_until"]] == ["ji"]
    assert accounts.unlock("ji") == 1
    assert accounts.sign_in("ji", PASSWORD, address=ELSEWHERE) and audited(database, "person:unlock") == 1


def test_the_right_one_of_many_guesses_sent_at_once_is_of_no_use(
    accounts: Accounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    verify = passwords.fits_of_stranger

    def slow(kept: str | None, password: str) -> bool:
        """While this one is looked at, the others have been refused."""
        monkeypatch.setattr(passwords, "fits_of_stranger", verify)
        fail(accounts)
        return verify(kept, password)

    monkeypatch.setattr(passwords, "fits_of_stranger", slow)
    with pytest.raises(OverLimit):
        accounts.sign_in("ji", PASSWORD, address=ELSEWHERE)


def test_a_flood_of_strangers_is_turned_away_and_a_signer_has_his_place(
    accounts: Accounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    person_id, go, busy = accounts.actor_of("ji").person_id, threading.Event(), []
    monkeypatch.setattr(passwords, "_STRANGER_WAITS_S", 0.2)
    verified = passwords._verified

    def held(kept: str, password: str) -> bool:
        if password == "wrong horse":
            go.wait(10)
        return verified(kept, password)

    monkeypatch.setattr(passwords, "_verified", held)

    def stranger(n: int) -> None:
        try:
            accounts.sign_in("ji", "wrong horse", address=f"198.51.100.{n}")
        except OverLimit:
            busy.append(n)
        except WrongCredentials:
            pass

    flood = [threading.Thread(target=stranger, args=(n,)) for n in range(20)]
    for one in flood:
        one.start()
    try:
        accounts.check_password(person_id, PASSWORD)  # not after the flood: now
    finally:
        go.set()
        for one in flood:
            one.join()
    assert len(busy) >= 11, "those that found no place to wait, at least"


def test_a_right_password_forgets_the_wrong_ones_before(accounts: Accounts) -> None:
    for _ in range(2):
        for _ in range(FAILURES_ALLOWED - 1):
            with pytest.raises(WrongCredentials):
                accounts.sign_in("ji", "wrong horse")
        accounts.sign_in("ji", PASSWORD)


def test_wrong_passwords_when_signing_end_the_sessions_and_lock_nobody_out(
    accounts: Accounts, database: Database
) -> None:
    person_id, token = accounts.actor_of("ji").person_id, accounts.sign_in("ji", PASSWORD, address=DESK).token
    for _ in range(SIGNING_FAILURES):
        accounts.session(token)
        with pytest.raises(WrongCredentials):
            accounts.check_password(person_id, "wrong horse")
    with pytest.raises(Stranger):
        accounts.session(token)
    assert accounts.sign_in("ji", PASSWORD, address=DESK)
    assert audited(database, "password:refused") == SIGNING_FAILURES


def test_a_second_factor_is_asked_for_and_its_code_ages(accounts: Accounts, clock: HeldClock) -> None:
    _, secret = accounts.add_person("shen", "沈", PASSWORD, [("tertiary", Role.READER)], totp=True)
    totp = pyotp.TOTP(secret)
    for code in ("", "000000", totp.at(clock.now() - timedelta(minutes=3))):
        with pytest.raises(WrongCredentials):
            accounts.sign_in("shen", PASSWORD, code)
    assert accounts.sign_in("shen", PASSWORD, totp.at(clock.now())).actor.login == "shen"


# ---------------------------------------------------------------- sessions
def test_an_idle_session_ends_and_a_used_one_goes_on_until_its_end(accounts: Accounts, clock: HeldClock) -> None:
    token = accounts.sign_in("ji", PASSWORD).token
    used = timedelta(0)
    while used + IDLE_FOR / 2 < SESSION_FOR:
        clock.advance((IDLE_FOR / 2).total_seconds())
        used += IDLE_FOR / 2
        accounts.session(token)
    clock.advance((IDLE_FOR / 2).total_seconds() + 1)
    with pytest.raises(Stranger):
        accounts.session(token)
    idle = accounts.sign_in("ji", PASSWORD).token
    clock.advance(IDLE_FOR.total_seconds() + 1)
    with pytest.raises(Stranger):
        accounts.session(idle)


def test_signing_out_ends_this_session_only(accounts: Accounts) -> None:
    one, other = accounts.sign_in("ji", PASSWORD).token, accounts.sign_in("ji", PASSWORD).token
    accounts.sign_out(one)
    with pytest.raises(Stranger):
        accounts.session(one)
    accounts.session(other)


@pytest.mark.parametrize("token", ["", "x", "' or 1=1 --", "helan_" + "a" * 43])
def test_an_unknown_cookie_or_token_is_a_stranger(accounts: Accounts, token: str) -> None:
    with pytest.raises(Stranger):
        accounts.session(token)
    with pytest.raises(Stranger):
        accounts.by_token(token)


# ---------------------------------------------------------------- tokens
def test_a_token_acts_as_its_person_but_as_a_program(accounts: Accounts, clock: HeldClock) -> None:
    actor = accounts.by_token(accounts.make_token("ji", expires=clock.now() + timedelta(days=1)))
    assert (actor.login, actor.kind) == ("ji", "program")


def test_a_token_ends_when_it_expires(accounts: Accounts, clock: HeldClock) -> None:
    token = accounts.make_token("ji", expires=clock.now() + timedelta(hours=1))
    clock.advance(3601)
    with pytest.raises(Stranger):
        accounts.by_token(token)


# ---------------------------------------------------------------- the books
def test_disabling_ends_sessions_and_tokens_and_the_password(accounts: Accounts) -> None:
    session, token = accounts.sign_in("ji", PASSWORD).token, accounts.make_token("ji")
    accounts.disable("ji")
    for ask in (lambda: accounts.session(session), lambda: accounts.by_token(token)):
        with pytest.raises(Stranger):
            ask()
    with pytest.raises(WrongCredentials):
        accounts.sign_in("ji", PASSWORD)


def test_a_new_password_ends_the_old_one_its_sessions_and_the_lock(accounts: Accounts) -> None:
    session = accounts.sign_in("ji", PASSWORD).token
    for _ in range(FAILURES_ALLOWED):
        with pytest.raises(WrongCredentials):
            accounts.sign_in("ji", "wrong horse")
    accounts.set_password("ji", "another horse")
    with pytest.raises(Stranger):
        accounts.session(session)
    with pytest.raises(WrongCredentials):
        accounts.sign_in("ji", PASSWORD)
    accounts.sign_in("ji", "another horse")


def test_a_short_password_a_known_login_and_a_bad_code_are_refused(accounts: Accounts) -> None:
    with pytest.raises(Invalid):
        accounts.add_person("zu", "祖", "short", [])
    with pytest.raises(Invalid):
        accounts.add_person("ji", "另一位", PASSWORD, [])
    with pytest.raises(Invalid):
        accounts.add_clinic("Not A Code", "诊所")
    with pytest.raises(Invalid):
        accounts.add_clinic("shigou", "另一家")
    with pytest.raises(NotFound):
        accounts.add_person("zu", "祖", PASSWORD, [("nowhere", Role.READER)])
    with pytest.raises(NotFound):
        accounts.disable("zu")  # the refused one was not half made


def test_an_agreement_opens_a_clinic_to_the_readers_of_another_and_its_end_closes_it(
    accounts: Accounts, clock: HeldClock
) -> None:
    add_reader(accounts)
    assert accounts.actor_of("du").clinics == {"tertiary"}
    accounts.add_agreement("shigou", "tertiary", Service.IMAGING)
    actor = accounts.actor_of("du")
    assert actor.clinics == {"tertiary", "shigou"}
    assert actor.reads(ClinicId("shigou"), Service.IMAGING)
    assert not actor.reads(ClinicId("shigou"), Service.ECG)
    accounts.add_agreement("shigou", "tertiary", Service.IMAGING, until=clock.now() - timedelta(days=1))
    assert accounts.actor_of("du").clinics == {"tertiary"}


def test_an_agreement_gives_nothing_to_those_who_are_no_readers_there(accounts: Accounts) -> None:
    accounts.add_person("ding", "丁", PASSWORD, [("tertiary", Role.DISPATCHER)])
    accounts.add_agreement("shigou", "tertiary", Service.IMAGING)
    assert accounts.actor_of("ding").clinics == {"tertiary"}


def test_preferences_are_a_closed_set(accounts: Accounts) -> None:
    signed_in = accounts.sign_in("ji", PASSWORD)
    accounts.prefer(signed_in.actor, theme="light", lang="en")
    assert accounts.session(signed_in.token).preferences == {"theme": "light", "lang": "en"}
    for name, value in (("theme", "<script>"), ("role", "administrator")):
        with pytest.raises(Invalid):
            accounts.prefer(signed_in.actor, **{name: value})


# ---------------------------------------------------------------- what ends access
def test_a_code_opens_once_only(accounts: Accounts, clock: HeldClock) -> None:
    _, secret = accounts.add_person("li", "李", PASSWORD, [("shigou", Role.TECHNICIAN)], totp=True)
    code = pyotp.TOTP(secret).at(clock.now())
    accounts.sign_in("li", PASSWORD, code)
    with pytest.raises(WrongCredentials):  # somebody looked over his shoulder
        accounts.sign_in("li", PASSWORD, code)
    clock.advance(30)
    accounts.sign_in("li", PASSWORD, pyotp.TOTP(secret).at(clock.now()))


@pytest.mark.parametrize("how", ["password", "disable", "role"])
def test_sessions_and_tokens_end_with_the_password_the_person_or_a_role(accounts: Accounts, how: str) -> None:
    session, token = accounts.sign_in("ji", PASSWORD).token, accounts.make_token("ji")
    {
        "password": lambda: accounts.set_password("ji", "another horse"),
        "disable": lambda: accounts.disable("ji"),
        "role": lambda: accounts.end_role("ji", "shigou", Role.TECHNICIAN),
    }[how]()
    with pytest.raises(Stranger):
        accounts.session(session)
    with pytest.raises(Stranger):
        accounts.by_token(token)
    if how == "role":
        assert accounts.session(accounts.sign_in("ji", PASSWORD).token).actor.own_clinics == set()


def test_one_changes_ones_own_password_with_the_old_one(accounts: Accounts) -> None:
    signed, rewrapped = accounts.sign_in("ji", PASSWORD), []
    with pytest.raises(WrongCredentials):
        accounts.change_password(signed.actor, "wrong horse", "another horse", lambda *a: rewrapped.append(a))
    with pytest.raises(Invalid):
        accounts.change_password(signed.actor, PASSWORD, "short", lambda *a: rewrapped.append(a))
    assert rewrapped == []
    accounts.change_password(signed.actor, PASSWORD, "another horse", lambda *a: rewrapped.append(a))
    assert rewrapped == [(signed.actor.person_id, PASSWORD, "another horse")]
    with pytest.raises(Stranger):
        accounts.session(signed.token)
    assert accounts.sign_in("ji", "another horse")


def test_one_signs_out_everywhere(accounts: Accounts) -> None:
    tokens = [accounts.sign_in("ji", PASSWORD, address=a).token for a in (DESK, ELSEWHERE)]
    assert accounts.sign_out_everywhere(accounts.actor_of("ji")) == 2
    for token in tokens:
        with pytest.raises(Stranger):
            accounts.session(token)


def test_tokens_are_listed_without_their_secrets_and_revoked_one_by_one(accounts: Accounts) -> None:
    kept, lost = accounts.make_token("ji", label="RIS"), accounts.make_token("ji", label="lost laptop")
    rows = {row["label"]: row for row in accounts.tokens()}
    assert set(rows) == {"RIS", "lost laptop"} and kept not in str(rows)
    accounts.revoke_token(rows["lost laptop"]["token_id"])
    assert accounts.by_token(kept).login == "ji"
    with pytest.raises(Stranger):
        accounts.by_token(lost)
    with pytest.raises(NotFound):
        accounts.revoke_token(rows["lost laptop"]["token_id"])


def test_a_licence_that_has_ended_signs_nothing_and_a_role_ends_on_its_day(
    accounts: Accounts, clock: HeldClock
) -> None:
    add_reader(accounts)
    accounts.set_licence("du", "110000", clock.now() + timedelta(days=1))
    accounts.give_role("du", "county", Role.READER, until=datetime.now(UTC) + timedelta(days=1))
    token = accounts.sign_in("du", PASSWORD).token
    assert accounts.session(token).actor.licence == "110000"
    accounts.give_role("du", "county", Role.READER, until=datetime.now(UTC) - timedelta(seconds=1))
    clock.advance(timedelta(days=1).total_seconds() + 1)
    actor = accounts.session(accounts.sign_in("du", PASSWORD).token).actor
    assert actor.licence == "" and actor.own_clinics == {"tertiary"}


def test_an_open_page_alone_keeps_no_session_alive(accounts: Accounts, clock: HeldClock) -> None:
    token = accounts.sign_in("ji", PASSWORD).token
    for _ in range(3):
        clock.advance(IDLE_FOR.total_seconds() / 2)
        try:
            accounts.session(token, used=False)
        except Stranger:
            return
    pytest.fail("the session outlived its idle time")
