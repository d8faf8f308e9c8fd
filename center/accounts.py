"""Clinics, people, sign-in: passwords, a second factor, sessions and API tokens -> Actor."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pyotp
from pyotp.totp import TOTP
from pyotp.utils import strings_equal

from center import lockout, passwords
from center.codes import Role, Service
from center.database import Database, Row, Work
from center.errors import Failure, Invalid, NotFound, Stranger
from center.identity import SYSTEM, Actor, ClinicId, Membership, PersonId, Reading
from center.pinyin import latin_name
from center.ports import Clock, Identifiers

#: A session ends this long after it was last used, and in any case after the second time.
IDLE_FOR = timedelta(minutes=60)
SESSION_FOR = timedelta(hours=12)
#: Told to the processes that hold open streams: this person's end now.
ACCESS_ENDED = "AccessEnded"
#: Wrong passwords when signing, in a row, before his sessions end: who has his desk but not his password signs nothing.
SIGNING_FAILURES = 5


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
    def sign_in(self, login: str, password: str, code: str = "", address: str = "") -> SignedIn:
        """A new session.  address: where he sits, for the lock-out.  Raises WrongCredentials, OverLimit (locked)."""
        login = login.strip().lower()
        now = self._clock.now()
        with self._database.transaction(SYSTEM) as work:
            lockout.refuse_locked(work, login, address, now)
            person = work.one("select * from center.person where login = %(login)s", login=login)
        fits = passwords.fits_of_stranger(person["hash"] if person else None, password)
        if person is None or person["status"] != "active" or not fits or not self._second_factor(person, code, now):
            with self._database.transaction(SYSTEM) as work:
                failures = lockout.note_failure(work, login, address, now)
                known = person["person_id"] if person else "unknown"
                work.audit("session:refused", f"person:{known}", failures=failures)
            raise WrongCredentials("账号或密码不对。", "The name or password is wrong.")
        return self._new_session(person, address, now)

    def _new_session(self, person: Row, address: str, now: datetime) -> SignedIn:
        token, csrf = self._identifiers.token() + secrets.token_urlsafe(16), secrets.token_urlsafe(24)
        with self._database.transaction(SYSTEM) as work:
            # asked again: of many guesses sent at once, those after the lock count for nothing
            lockout.refuse_locked(work, person["login"], address, now)
            lockout.note_success(work, person["login"], address, now)
            work.run(
                "insert into center.session (hash, person_id, csrf, created_at, expires, seen_at)"
                " values (%(hash)s, %(person)s, %(csrf)s, %(now)s, %(expires)s, %(now)s)",
                hash=_digest(token), person=person["person_id"], csrf=csrf, now=now, expires=now + SESSION_FOR,
            )  # fmt: skip
            actor = _actor(work, person, now)
        with self._database.transaction(actor) as work:
            work.audit("session:begin", f"person:{actor.person_id}")
        return SignedIn(token, csrf, actor)

    def _second_factor(self, person: Row, code: str, now: datetime) -> bool:
        """No second factor, or a code of this moment that was not used before."""
        if not person["totp"]:
            return True
        step = _step_of(person["totp"], code.strip(), now)
        if step is None:
            return False
        with self._database.transaction(SYSTEM) as work:
            return work.run(
                "update center.person set totp_step = %(s)s where person_id = %(p)s and totp_step < %(s)s",
                s=step, p=person["person_id"],
            ) == 1  # fmt: skip

    def check_password(self, person_id: str, password: str) -> None:
        """Returns when it is this person's, who is signed in.  What strangers try at the sign-in form is no matter here.

        After ``SIGNING_FAILURES`` wrong ones his sessions end.  Raises WrongCredentials, OverLimit (too many at once).
        """
        with self._database.transaction(SYSTEM) as work:
            person = work.one("select * from center.person where person_id = %(p)s and status = 'active'", p=person_id)
        right = person is not None and passwords.fits(person["hash"], password)
        with self._database.transaction(SYSTEM) as work:
            row = work.one(
                "update center.person set failures = case when %(right)s then 0 else failures + 1 end"
                " where person_id = %(p)s returning failures",
                right=right, p=person_id,
            )  # fmt: skip
            failures = int(row["failures"]) if row else 0
            if not right:
                work.audit("password:refused", f"person:{person_id}", failures=failures)
            if failures >= SIGNING_FAILURES:
                work.run("update center.person set failures = 0 where person_id = %(p)s", p=person_id)
                _end_sessions(work, person_id)
        if failures >= SIGNING_FAILURES:
            raise WrongCredentials(
                "密码连续输错，已退出登录。草稿已保存，请重新登录。",
                "Wrong too often: you are signed out. Your draft is kept; sign in again.",
            )
        if not right:
            raise WrongCredentials("密码不对。", "The password is wrong.")

    def session(self, token: str, *, used: bool = True) -> Session:
        """Who holds this cookie.  used: somebody did something; an open page alone keeps no session alive.

        Raises Stranger.
        """
        now = self._clock.now()
        with self._database.transaction(SYSTEM) as work:
            row = work.one(
                "select s.csrf, s.seen_at, s.hash, p.* from center.session s join center.person p using (person_id)"
                " where s.hash = %(hash)s and s.expires > %(now)s and s.seen_at > %(idle)s and p.status = 'active'",
                hash=_digest(token), now=now, idle=now - IDLE_FOR,
            )  # fmt: skip
            if row is None:
                raise _stranger()
            if used and now - row["seen_at"] > timedelta(seconds=60):
                work.run("update center.session set seen_at = %(now)s where hash = %(h)s", now=now, h=_digest(token))
            return Session(_actor(work, row, now), row["csrf"], row["preferences"])

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
            return _actor(work, row, now, kind="program")

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
        kept = passwords.hashed(password)
        person_id, secret = self._identifiers.new(), pyotp.random_base32() if totp else ""
        with self._database.transaction(SYSTEM) as work:
            added = work.run(
                "insert into center.person (person_id, login, name, name_en, hash, totp, licence, scope) values"
                " (%(id)s, %(login)s, %(name)s, %(en)s, %(hash)s, %(totp)s, %(licence)s, %(scope)s) on conflict do nothing",
                id=person_id, login=login, name=name, en=name_en or latin_name(name) or login, hash=kept, totp=secret or None,
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
        """The person can't sign in any more; sessions, streams, tokens and the certificate end now."""
        now = self._clock.now()
        with self._database.transaction(SYSTEM) as work:
            person = _person(work, login)
            work.run("update center.person set status = 'disabled' where person_id = %(p)s", p=person["person_id"])
            _end_access(work, person["person_id"], now)
            work.run(
                "update center.certificate set revoked_at = %(now)s where person_id = %(p)s and revoked_at is null",
                now=now, p=person["person_id"],
            )  # fmt: skip
            work.audit("person:disable", f"person:{person['person_id']}")

    def set_password(self, login: str, password: str) -> str:
        """A new password set by an administrator; the person's id. His signing key has to be issued anew.

        Whoever had the old one has nothing left: sessions, streams and tokens end now.
        """
        kept = passwords.hashed(password)
        with self._database.transaction(SYSTEM) as work:
            person = _person(work, login)
            work.run(
                "update center.person set hash = %(h)s, failures = 0 where person_id = %(p)s",
                h=kept, p=person["person_id"],
            )  # fmt: skip
            lockout.unlock(work, person["login"])
            _end_access(work, person["person_id"], self._clock.now())
            work.audit("person:password", f"person:{person['person_id']}")
        return str(person["person_id"])

    def change_password(self, actor: Actor, old: str, new: str, rewrap: Callable[[str, str, str], None]) -> None:
        """His own: sessions, streams and tokens end, also this one.  rewrap: his signing key opens with the new one.

        Raises WrongCredentials, Invalid.
        """
        kept = passwords.hashed(new)
        self.check_password(actor.person_id, old)
        rewrap(actor.person_id, old, new)
        with self._database.transaction(SYSTEM) as work:
            work.run("update center.person set hash = %(h)s where person_id = %(p)s", h=kept, p=actor.person_id)
            _end_access(work, actor.person_id, self._clock.now())
        with self._database.transaction(actor) as work:
            work.audit("password:change", f"person:{actor.person_id}")

    def sign_out_everywhere(self, actor: Actor) -> int:
        """His sessions and streams on every machine end; how many sessions there were."""
        with self._database.transaction(SYSTEM) as work:
            ended = _end_sessions(work, actor.person_id)
        with self._database.transaction(actor) as work:
            work.audit("session:end_all", f"person:{actor.person_id}", sessions=ended)
        return ended

    def unlock(self, login: str, by: Actor = SYSTEM) -> int:
        """Every address may try this name again; how many had failed."""
        with self._database.transaction(by) as work:
            person = _person(work, login)
            work.audit("person:unlock", f"person:{person['person_id']}")
            return lockout.unlock(work, person["login"])

    def give_role(self, login: str, clinic_id: str, role: Role, *, until: datetime | None = None) -> None:
        """From now on, until then.  Raises NotFound."""
        with self._database.transaction(SYSTEM) as work:
            person = _person(work, login)
            _known_clinic(work, clinic_id)
            work.run(
                "insert into center.membership (person_id, clinic_id, role, until) values (%(p)s, %(c)s, %(r)s, %(u)s)"
                " on conflict (person_id, clinic_id, role) do update set until = excluded.until",
                p=person["person_id"], c=clinic_id, r=str(role), u=until,
            )  # fmt: skip
            work.audit("role:give", f"person:{person['person_id']}", clinic_id=clinic_id, role=str(role))

    def end_role(self, login: str, clinic_id: str, role: Role) -> None:
        """The role ends now, and with it sessions, streams and tokens.  Raises NotFound."""
        with self._database.transaction(SYSTEM) as work:
            person = _person(work, login)
            ended = work.run(
                "update center.membership set until = least(coalesce(until, 'infinity'), now())"
                " where person_id = %(p)s and clinic_id = %(c)s and role = %(r)s",
                p=person["person_id"], c=clinic_id, r=str(role),
            )  # fmt: skip
            if not ended:
                raise NotFound("这个人没有这个岗位。", "The person has no such role.")
            _end_access(work, person["person_id"], self._clock.now())
            work.audit("role:end", f"person:{person['person_id']}", clinic_id=clinic_id, role=str(role))

    def set_licence(self, login: str, licence: str, until: datetime | None) -> None:
        """The licence and when it ends; from then on he signs nothing."""
        with self._database.transaction(SYSTEM) as work:
            person = _person(work, login)
            work.run(
                "update center.person set licence = %(l)s, licence_until = %(u)s where person_id = %(p)s",
                l=licence, u=until, p=person["person_id"],
            )  # fmt: skip
            work.audit("person:licence", f"person:{person['person_id']}")

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

    def make_token(self, login: str, *, expires: datetime | None = None, label: str = "") -> str:
        """A secret for a program that acts as this person; shown once, kept as a hash."""
        token = "helan_" + secrets.token_urlsafe(32)
        with self._database.transaction(SYSTEM) as work:
            person = _person(work, login)
            work.run(
                "insert into center.api_token (hash, person_id, created_at, expires, token_id, label)"
                " values (%(h)s, %(p)s, %(now)s, %(e)s, %(i)s, %(l)s)",
                h=_digest(token), p=person["person_id"], now=self._clock.now(), e=expires, i=self._identifiers.new(),
                l=label.strip()[:100],
            )  # fmt: skip
            work.audit("token:create", f"person:{person['person_id']}")
        return token

    def tokens(self, limit: int = 500) -> list[Row]:
        """Those in force, the latest first: id, login, label, created_at, expires; never the secret."""
        with self._database.transaction(SYSTEM) as work:
            return work.all(
                "select t.token_id, p.login, t.label, t.created_at, t.expires from center.api_token t"
                " join center.person p using (person_id) where t.revoked_at is null"
                " and (t.expires is null or t.expires > %(now)s) order by t.created_at desc limit %(n)s",
                now=self._clock.now(), n=limit,
            )  # fmt: skip

    def revoke_token(self, token_id: str, by: Actor = SYSTEM) -> None:
        """It opens nothing from now on.  Raises NotFound."""
        with self._database.transaction(by) as work:
            row = work.one(
                "update center.api_token set revoked_at = %(now)s where token_id = %(i)s and revoked_at is null"
                " returning person_id",
                now=self._clock.now(), i=token_id,
            )  # fmt: skip
            if row is None:
                raise NotFound("没有这个令牌。", "There is no such token.")
            work.audit("token:revoke", f"person:{row['person_id']}")

    def actor_of(self, login: str) -> Actor:
        """A person as actor, for commands.  Raises NotFound."""
        with self._database.transaction(SYSTEM) as work:
            return _actor(work, _person(work, login), self._clock.now())

    def people(self, limit: int = 500) -> list[Row]:
        with self._database.transaction(SYSTEM) as work:
            return work.all(
                "select p.person_id, p.login, p.name, p.name_en, p.licence, p.scope, p.status,"
                " p.licence_until, (select max(f.locked_until) from center.sign_in_failure f where f.locked_until > %(now)s"
                " and f.name = encode(sha256(convert_to(p.login, 'UTF8')), 'hex')) as locked_until,"
                " p.totp is not null as has_totp, coalesce(array_agg(m.clinic_id || ':' || m.role order by m.clinic_id)"
                " filter (where m.clinic_id is not null), '{}') as roles from center.person p"
                " left join center.membership m using (person_id) group by p.person_id order by p.login limit %(n)s",
                n=limit, now=self._clock.now(),
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


def _actor(work: Work, person: Row, now: datetime, kind: str = "person") -> Actor:
    licensed = person["licence_until"] is None or person["licence_until"] > now
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
        members, readings, person["licence"] if licensed else "", frozenset(Service(s) for s in person["scope"]),
        person["preferences"].get("lang", "zh"), person["name_en"] or "",
    )  # fmt: skip


def _person(work: Work, login: str) -> Row:
    row = work.one("select * from center.person where login = %(l)s", l=login.strip().lower())
    if row is None:
        raise NotFound("没有这个登录名。", "There is no person of this login.", {"login": login})
    return row


def _known_clinic(work: Work, clinic_id: str) -> None:
    if work.one("select 1 from center.clinic where clinic_id = %(c)s", c=clinic_id) is None:
        raise NotFound("没有这个机构代码。", "There is no clinic of this code.", {"clinic": clinic_id})


def _step_of(secret: str, code: str, now: datetime) -> int | None:
    """The time step (30 s) that the code belongs to: this, the last or the next one; None: to none of them."""
    factor = TOTP(secret)
    this = factor.timecode(now)
    return next((step for step in (this, this - 1, this + 1) if strings_equal(factor.generate_otp(step), code)), None)


def _end_sessions(work: Work, person_id: str) -> int:
    """His sessions, and the open streams of his pages; how many sessions there were."""
    ended = work.run("delete from center.session where person_id = %(p)s", p=person_id)
    work.tell_pages("", ACCESS_ENDED, {"person_id": person_id})
    return ended


def _end_access(work: Work, person_id: str, now: datetime) -> None:
    """Sessions, streams and tokens."""
    _end_sessions(work, person_id)
    work.run(
        "update center.api_token set revoked_at = %(now)s where person_id = %(p)s and revoked_at is null",
        now=now, p=person_id,
    )  # fmt: skip


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _stranger() -> Failure:
    return Stranger("请先登录。", "Sign in first.")
