"""Clinics, people, sign-in: passwords by argon2, lock-out, a second factor, sessions and API tokens -> Actor."""

from __future__ import annotations

import hashlib
import math
import re
import secrets
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import argon2
import pyotp
from pyotp.totp import TOTP

from center.codes import Role, Service
from center.database import Database, Row, Work
from center.errors import Failure, Invalid, NotFound, OverLimit, Stranger
from center.identity import SYSTEM, Actor, ClinicId, Membership, PersonId, Reading
from center.ports import Clock, Identifiers

#: Wrong passwords in a row before the account is locked, and for how long.
FAILURES_ALLOWED = 5
LOCKED_FOR = timedelta(minutes=15)
#: A session ends this long after it was last used, and in any case after the second time.
IDLE_FOR = timedelta(minutes=60)
SESSION_FOR = timedelta(hours=12)
#: 19 MiB, t=2, p=1: OWASP's first choice for argon2id; two at once keep the machine usable.
_HASHER = argon2.PasswordHasher(time_cost=2, memory_cost=19456, parallelism=1)
_HASHING = threading.BoundedSemaphore(2)
_NOBODY = _HASHER.hash(secrets.token_urlsafe(16))  # spends the same time on unknown names
MIN_PASSWORD = 10


@dataclass(frozen=True, slots=True)
class Session:
    """A signed-in person's session: the cookie's value is known to the browser only."""

    actor: Actor
    csrf: str
    preferences: dict[str, Any]


@dataclass(frozen=True, slots=True)
class SignedIn:
    token: str
    csrf: str
    actor: Actor


class WrongCredentials(Stranger):
    """Name, password or second factor do not fit; the answer never says which."""


class Accounts:
    """People and clinics in the database, and who they are when they ask."""

    def __init__(self, database: Database, clock: Clock, identifiers: Identifiers) -> None:
        self._database = database
        self._clock = clock
        self._identifiers = identifiers

    # ------------------------------------------------------------ signing in
    def sign_in(self, login: str, password: str, code: str = "") -> SignedIn:
        """A new session.  Raises WrongCredentials, OverLimit (locked)."""
        login = login.strip().lower()
        now = self._clock.now()
        with self._database.transaction(SYSTEM) as work:
            person = work.one("select * from center.person where login = %(login)s", login=login)
        if person is not None and person["locked_until"] and person["locked_until"] > now:
            raise _locked(person["locked_until"], now)
        fits = _verify(person["hash"] if person else _NOBODY, password)
        if person is None or person["status"] != "active" or not fits or not _second_factor(person, code, now):
            self._note_failure(login, person, now)
            raise WrongCredentials("账号或密码不对。", "The name or password is wrong.")
        return self._new_session(person, now)

    def _new_session(self, person: Row, now: datetime) -> SignedIn:
        token, csrf = self._identifiers.token() + secrets.token_urlsafe(16), secrets.token_urlsafe(24)
        with self._database.transaction(SYSTEM) as work:
            _refuse_locked(work, person["person_id"], now)
            work.run(
                "insert into center.session (hash, person_id, csrf, created_at, expires, seen_at)"
                " values (%(hash)s, %(person)s, %(csrf)s, %(now)s, %(expires)s, %(now)s)",
                hash=_digest(token), person=person["person_id"], csrf=csrf, now=now, expires=now + SESSION_FOR,
            )  # fmt: skip
            work.run(
                "update center.person set failures = 0, locked_until = null where person_id = %(p)s",
                p=person["person_id"],
            )
            actor = _actor(work, person)
        with self._database.transaction(actor) as work:
            work.audit("session:begin", f"person:{actor.person_id}")
        return SignedIn(token, csrf, actor)

    def _note_failure(self, login: str, person: Row | None, now: datetime) -> None:
        with self._database.transaction(SYSTEM) as work:
            if person is None:
                work.audit("session:refused", "person:unknown")
                return
            row = work.one(
                "update center.person set failures = failures + 1, locked_until = case when failures + 1 >= %(n)s"
                " then %(until)s else locked_until end where person_id = %(p)s returning failures",
                n=FAILURES_ALLOWED, until=now + LOCKED_FOR, p=person["person_id"],
            )  # fmt: skip
            failures = row["failures"] if row else 0
            if failures >= FAILURES_ALLOWED:
                work.run("update center.person set failures = 0 where person_id = %(p)s", p=person["person_id"])
            work.audit("session:refused", f"person:{person['person_id']}", failures=failures)

    def check_password(self, person_id: str, password: str) -> None:
        """Returns when it is this person's; counts towards the lock-out.  Raises WrongCredentials, OverLimit."""
        now = self._clock.now()
        with self._database.transaction(SYSTEM) as work:
            person = work.one("select * from center.person where person_id = %(p)s", p=person_id)
        if person is not None and person["locked_until"] and person["locked_until"] > now:
            raise _locked(person["locked_until"], now)
        if person is None or not _verify(person["hash"], password):
            self._note_failure("", person, now)
            raise WrongCredentials("密码不对。", "The password is wrong.")
        with self._database.transaction(SYSTEM) as work:
            _refuse_locked(work, person_id, now)

    def session(self, token: str) -> Session:
        """Who holds this cookie.  Raises Stranger."""
        now = self._clock.now()
        with self._database.transaction(SYSTEM) as work:
            row = work.one(
                "select s.csrf, s.seen_at, s.hash, p.* from center.session s join center.person p using (person_id)"
                " where s.hash = %(hash)s and s.expires > %(now)s and s.seen_at > %(idle)s and p.status = 'active'",
                hash=_digest(token), now=now, idle=now - IDLE_FOR,
            )  # fmt: skip
            if row is None:
                raise _stranger()
            if now - row["seen_at"] > timedelta(seconds=60):
                work.run("update center.session set seen_at = %(now)s where hash = %(h)s", now=now, h=_digest(token))
            return Session(_actor(work, row), row["csrf"], row["preferences"])

    def sign_out(self, token: str) -> None:
        with self._database.transaction(SYSTEM) as work:
            work.run("delete from center.session where hash = %(hash)s", hash=_digest(token))

    def by_token(self, token: str) -> Actor:
        """The program's actor behind an API token.  Raises Stranger."""
        now = self._clock.now()
        with self._database.transaction(SYSTEM) as work:
            row = work.one(
                "select p.* from center.api_token t join center.person p using (person_id) where t.hash = %(hash)s"
                " and t.revoked_at is null and (t.expires is null or t.expires > %(now)s) and p.status = 'active'",
                hash=_digest(token), now=now,
            )  # fmt: skip
            if row is None:
                raise _stranger()
            return _actor(work, row, kind="program")

    def prefer(self, actor: Actor, **changes: str) -> None:
        """Keeps theme, density or language for this person."""
        allowed = {"theme": {"dark", "light"}, "density": {"dense", "roomy"}, "lang": {"zh", "en"}}
        if any(value not in allowed.get(name, set()) for name, value in changes.items()):
            raise Invalid("没有这种显示设置。", "There is no such display setting.")
        with self._database.transaction(SYSTEM) as work:
            for name, value in changes.items():
                work.run(
                    "update center.person set preferences = preferences || jsonb_build_object(%(n)s::text, %(v)s::text)"
                    " where person_id = %(p)s",
                    n=name, v=value, p=actor.person_id,
                )  # fmt: skip

    # ------------------------------------------------------------ keeping the books
    def add_clinic(
        self, clinic_id: str, name: str, *, name_en: str = "", kind: str = "township", duty_phone: str = ""
    ) -> None:
        if not re.fullmatch(r"[a-z0-9_-]{1,32}", clinic_id):
            raise Invalid(
                "机构代码用小写字母、数字、- 和 _，最多 32 个。",
                "A clinic's code is lower-case letters, digits, - and _, 32 at most.",
            )
        with self._database.transaction(SYSTEM) as work:
            added = work.run(
                "insert into center.clinic (clinic_id, name, name_en, kind, duty_phone) values"
                " (%(id)s, %(name)s, %(en)s, %(kind)s, %(phone)s) on conflict do nothing",
                id=clinic_id, name=name, en=name_en or clinic_id, kind=kind, phone=duty_phone,
            )  # fmt: skip
            if not added:
                raise Invalid("已有这个代码或名称的机构。", "There is a clinic of this code or name already.")
            work.audit("clinic:add", f"clinic:{clinic_id}", clinic_id=clinic_id)

    def add_person(
        self,
        login: str,
        name: str,
        password: str,
        roles: Iterable[tuple[str, Role]],
        *,
        name_en: str = "",
        licence: str = "",
        scope: Iterable[Service] = (),
        totp: bool = False,
    ) -> tuple[str, str]:
        """(person id, TOTP secret or '').  Raises Invalid."""
        login = login.strip().lower()
        if not re.fullmatch(r"[a-z0-9._-]{1,64}", login):
            raise Invalid(
                "登录名用小写字母、数字、点、- 和 _。", "A login is lower-case letters, digits, dots, - and _."
            )
        _strong(password)
        person_id, secret = self._identifiers.new(), pyotp.random_base32() if totp else ""
        with self._database.transaction(SYSTEM) as work:
            added = work.run(
                "insert into center.person (person_id, login, name, name_en, hash, totp, licence, scope) values"
                " (%(id)s, %(login)s, %(name)s, %(en)s, %(hash)s, %(totp)s, %(licence)s, %(scope)s) on conflict do nothing",
                id=person_id, login=login, name=name, en=name_en or login, hash=_hash(password), totp=secret or None,
                licence=licence, scope=[str(s) for s in scope],
            )  # fmt: skip
            if not added:
                raise Invalid("已有这个登录名。", "There is a person of this login already.")
            for clinic_id, role in roles:
                _known_clinic(work, clinic_id)
                work.run(
                    "insert into center.membership (person_id, clinic_id, role) values (%(p)s, %(c)s, %(r)s) on conflict do nothing",
                    p=person_id, c=clinic_id, r=str(role),
                )  # fmt: skip
            work.audit("person:add", f"person:{person_id}", roles=[f"{c}:{r}" for c, r in roles])
        return person_id, secret

    def disable(self, login: str) -> None:
        """The person can't sign in any more; sessions, tokens and the certificate end now."""
        with self._database.transaction(SYSTEM) as work:
            person = _person(work, login)
            work.run("update center.person set status = 'disabled' where person_id = %(p)s", p=person["person_id"])
            work.run("delete from center.session where person_id = %(p)s", p=person["person_id"])
            now = self._clock.now()
            for table in ("api_token", "certificate"):
                work.run(
                    f"update center.{table} set revoked_at = %(now)s where person_id = %(p)s and revoked_at is null",
                    now=now, p=person["person_id"],
                )  # fmt: skip
            work.audit("person:disable", f"person:{person['person_id']}")

    def set_password(self, login: str, password: str) -> str:
        """A new password set by an administrator; the person's id. His signing key has to be issued anew."""
        _strong(password)
        with self._database.transaction(SYSTEM) as work:
            person = _person(work, login)
            work.run(
                "update center.person set hash = %(h)s, failures = 0, locked_until = null where person_id = %(p)s",
                h=_hash(password), p=person["person_id"],
            )  # fmt: skip
            work.run("delete from center.session where person_id = %(p)s", p=person["person_id"])
            work.audit("person:password", f"person:{person['person_id']}")
        return str(person["person_id"])

    def add_agreement(self, requesting: str, reading: str, service: Service, *, until: datetime | None = None) -> None:
        with self._database.transaction(SYSTEM) as work:
            _known_clinic(work, requesting)
            _known_clinic(work, reading)
            work.run(
                "insert into center.agreement (requesting_clinic, reading_clinic, service, until) values (%(a)s, %(b)s, %(s)s, %(u)s)"
                " on conflict (requesting_clinic, reading_clinic, service) do update set until = excluded.until",
                a=requesting, b=reading, s=str(service), u=until,
            )  # fmt: skip
            work.audit("agreement:add", f"agreement:{requesting}:{reading}:{service}", clinic_id=requesting)

    def make_token(self, login: str, *, expires: datetime | None = None) -> str:
        """A secret for a program that acts as this person; shown once, kept as a hash."""
        token = "helan_" + secrets.token_urlsafe(32)
        with self._database.transaction(SYSTEM) as work:
            person = _person(work, login)
            work.run(
                "insert into center.api_token (hash, person_id, created_at, expires) values (%(h)s, %(p)s, %(now)s, %(e)s)",
                h=_digest(token), p=person["person_id"], now=self._clock.now(), e=expires,
            )  # fmt: skip
            work.audit("token:create", f"person:{person['person_id']}")
        return token

    def actor_of(self, login: str) -> Actor:
        """A person as actor, for commands.  Raises NotFound."""
        with self._database.transaction(SYSTEM) as work:
            return _actor(work, _person(work, login))

    def people(self, limit: int = 500) -> list[Row]:
        with self._database.transaction(SYSTEM) as work:
            return work.all(
                "select p.person_id, p.login, p.name, p.name_en, p.licence, p.scope, p.status, p.locked_until,"
                " p.totp is not null as has_totp, coalesce(array_agg(m.clinic_id || ':' || m.role order by m.clinic_id)"
                " filter (where m.clinic_id is not null), '{}') as roles from center.person p"
                " left join center.membership m using (person_id) group by p.person_id order by p.login limit %(n)s",
                n=limit,
            )  # fmt: skip

    def clinics(self, limit: int = 500) -> list[Row]:
        with self._database.transaction(SYSTEM) as work:
            return work.all("select * from center.clinic order by kind, clinic_id limit %(n)s", n=limit)

    def agreements(self, limit: int = 500) -> list[Row]:
        with self._database.transaction(SYSTEM) as work:
            return work.all(
                "select * from center.agreement order by requesting_clinic, reading_clinic, service limit %(n)s",
                n=limit,
            )


def _actor(work: Work, person: Row, kind: str = "person") -> Actor:
    members = frozenset(
        Membership(ClinicId(r["clinic_id"]), Role(r["role"]))
        for r in work.all(
            'select clinic_id, role from center.membership where person_id = %(p)s and "from" <= now()'
            " and (until is null or until > now())",
            p=person["person_id"],
        )
    )
    reading = [m.clinic_id for m in members if m.role is Role.READER]
    readings = frozenset(
        Reading(ClinicId(r["requesting_clinic"]), ClinicId(r["reading_clinic"]), Service(r["service"]))
        for r in work.all(
            'select * from center.agreement where reading_clinic = any(%(c)s) and "from" <= now()'
            " and (until is null or until > now())",
            c=reading,
        )
    )
    return Actor(
        PersonId(person["person_id"]), person["login"], person["name"], "program" if kind == "program" else "person",
        members, readings, person["licence"], frozenset(Service(s) for s in person["scope"]),
        person["preferences"].get("lang", "zh"),
    )  # fmt: skip


def _person(work: Work, login: str) -> Row:
    row = work.one("select * from center.person where login = %(l)s", l=login.strip().lower())
    if row is None:
        raise NotFound("没有这个登录名。", "There is no person of this login.", {"login": login})
    return row


def _refuse_locked(work: Work, person_id: str, now: datetime) -> None:
    """Asked again once the password fits: of many guesses sent at once, those after the lock count for nothing.
    Raises OverLimit."""
    row = work.one("select locked_until from center.person where person_id = %(p)s for update", p=person_id)
    if row is not None and row["locked_until"] and row["locked_until"] > now:
        raise _locked(row["locked_until"], now)


def _known_clinic(work: Work, clinic_id: str) -> None:
    if work.one("select 1 from center.clinic where clinic_id = %(c)s", c=clinic_id) is None:
        raise NotFound("没有这个机构代码。", "There is no clinic of this code.", {"clinic": clinic_id})


def _second_factor(person: Row, code: str, now: datetime) -> bool:
    if not person["totp"]:
        return True
    return TOTP(person["totp"]).verify(code.strip(), for_time=now, valid_window=1)


def _strong(password: str) -> None:
    if len(password) < MIN_PASSWORD:
        raise Invalid(f"密码至少 {MIN_PASSWORD} 个字符。", f"A password has at least {MIN_PASSWORD} characters.")


def _hash(password: str) -> str:
    with _HASHING:
        return _HASHER.hash(password)


def _verify(hashed: str, password: str) -> bool:
    with _HASHING:
        try:
            return _HASHER.verify(hashed, password)
        except argon2.exceptions.VerifyMismatchError:
            return False


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _stranger() -> Failure:
    return Stranger("请先登录。", "Sign in first.")


def _locked(until: datetime, now: datetime) -> OverLimit:
    minutes = max(1, math.ceil((until - now).total_seconds() / 60))
    return OverLimit(
        f"账号锁定 {minutes} 分钟。请联系管理员。",
        f"Locked for {minutes} min. Contact the administrator.",
        {"minutes": minutes},
    )
