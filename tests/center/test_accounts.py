"""Signing in and out: passwords, lock-out, second factor, sessions, tokens; what ends when a person is disabled."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pyotp
import pytest

import center.accounts
from center.accounts import FAILURES_ALLOWED, IDLE_FOR, LOCKED_FOR, SESSION_FOR, Accounts, WrongCredentials
from center.clock import CountedIdentifiers, HeldClock
from center.codes import Role, Service
from center.database import Database
from center.errors import Invalid, NotFound, OverLimit, Stranger
from center.identity import SYSTEM, ClinicId

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


def test_an_account_is_locked_after_too_many_wrong_passwords_even_for_the_right_one(
    accounts: Accounts, clock: HeldClock
) -> None:
    for _ in range(FAILURES_ALLOWED):
        with pytest.raises(WrongCredentials):
            accounts.sign_in("ji", "wrong horse")
    with pytest.raises(OverLimit) as caught:
        accounts.sign_in("ji", PASSWORD)
    assert caught.value.facts["minutes"] == LOCKED_FOR.seconds // 60
    clock.advance(LOCKED_FOR.total_seconds() + 1)
    accounts.sign_in("ji", PASSWORD)


def test_the_right_one_of_many_guesses_sent_at_once_is_of_no_use(
    accounts: Accounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    person_id, verify = accounts.actor_of("ji").person_id, center.accounts._verify

    def slow(hashed: str, password: str) -> bool:
        """While this one is looked at, the others have been refused."""
        monkeypatch.setattr(center.accounts, "_verify", verify)
        for _ in range(FAILURES_ALLOWED):
            with pytest.raises(WrongCredentials):
                accounts.sign_in("ji", "wrong horse")
        return verify(hashed, password)

    monkeypatch.setattr(center.accounts, "_verify", slow)
    with pytest.raises(OverLimit):
        accounts.sign_in("ji", PASSWORD)
    accounts.set_password("ji", PASSWORD)
    monkeypatch.setattr(center.accounts, "_verify", slow)
    with pytest.raises(OverLimit):
        accounts.check_password(person_id, PASSWORD)


def test_a_right_password_forgets_the_wrong_ones_before(accounts: Accounts) -> None:
    for _ in range(2):
        for _ in range(FAILURES_ALLOWED - 1):
            with pytest.raises(WrongCredentials):
                accounts.sign_in("ji", "wrong horse")
        accounts.sign_in("ji", PASSWORD)


def test_a_wrong_password_when_signing_a_report_counts_as_well(accounts: Accounts) -> None:
    person_id = accounts.actor_of("ji").person_id
    for _ in range(FAILURES_ALLOWED):
        with pytest.raises(WrongCredentials):
            accounts.check_password(person_id, "wrong horse")
    with pytest.raises(OverLimit):
        accounts.check_password(person_id, PASSWORD)


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
