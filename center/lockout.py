"""Who has tried too many wrong passwords: counted by address and name as typed, known or not, never by account.

So a stranger locks his own address out, and nobody else: the doctor whose name he tries signs in from his own desk, and
signs reports in his open session, as before.  From many addresses a name is guarded too: after ``GUARDED_FROM`` wrong
tries within ``GUARDED_FOR`` it can be entered only from addresses where it was entered before.
"""

from __future__ import annotations

import hashlib
import math
from datetime import datetime, timedelta

from center.database import Work
from center.errors import OverLimit

#: Wrong passwords in a row from one address for one name before that address waits, and for how long (ours).
FAILURES_ALLOWED = 5
LOCKED_FOR = timedelta(minutes=15)
#: Wrong tries for one name over all addresses, before it opens from known addresses only (ours).
GUARDED_FROM = 50
GUARDED_FOR = timedelta(hours=1)
#: An address is known so long after the last right password.
KNOWN_FOR = timedelta(days=30)


def refuse_locked(work: Work, name: str, address: str, now: datetime) -> None:
    """Raises OverLimit, in the same words for a name that nobody has."""
    row = work.one(_LOCKED, name=_key(name), address=address, now=now)
    if row is not None:
        raise _locked(row["locked_until"], now)
    wide = work.one(_OVER_ALL, name=_key(name), since=now - GUARDED_FOR)
    is_guarded = wide is not None and (wide["n"] or 0) >= GUARDED_FROM
    if is_guarded and work.one(_KNOWN, name=_key(name), address=address, since=now - KNOWN_FOR) is None:
        raise _locked(now + LOCKED_FOR, now)


def note_failure(work: Work, name: str, address: str, now: datetime) -> int:
    """How many wrong ones in a row this is."""
    row = work.one(
        _FAILED, name=_key(name), address=address, now=now, n=FAILURES_ALLOWED, until=now + LOCKED_FOR,
        since=now - LOCKED_FOR,
    )  # fmt: skip
    work.run(_FORGET, before=now - max(GUARDED_FOR, LOCKED_FOR))
    return int(row["failures"]) if row else 0


def note_success(work: Work, name: str, address: str, now: datetime) -> None:
    """The address is one of his; what was wrong before is forgotten."""
    work.run("delete from center.sign_in_failure where name = %(n)s and address = %(a)s", n=_key(name), a=address)
    work.run(_NOW_KNOWN, name=_key(name), address=address, now=now)


def unlock(work: Work, name: str) -> int:
    """Every address may try this name again; how many had failed."""
    return work.run("delete from center.sign_in_failure where name = %(n)s", n=_key(name))


def _key(name: str) -> str:
    """A digest: what somebody typed as a name may be his password."""
    return hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()


_LOCKED = """select locked_until from center.sign_in_failure
where name = %(name)s and address = %(address)s and locked_until > %(now)s"""
_OVER_ALL = "select sum(tries)::int as n from center.sign_in_failure where name = %(name)s and last_at > %(since)s"
_KNOWN = "select 1 as yes from center.known_address where name = %(name)s and address = %(address)s and at > %(since)s"
_FAILED = """insert into center.sign_in_failure as f (name, address, failures, tries, last_at)
values (%(name)s, %(address)s, 1, 1, %(now)s)
on conflict (name, address) do update set last_at = %(now)s, tries = f.tries + 1,
  failures = case when f.last_at < %(since)s or f.failures >= %(n)s then 1 else f.failures + 1 end,
  locked_until = case when (case when f.last_at < %(since)s or f.failures >= %(n)s then 1 else f.failures + 1 end) >= %(n)s
    then %(until)s else f.locked_until end
returning failures"""
_FORGET = """delete from center.sign_in_failure where (name, address) in (select name, address from center.sign_in_failure
  where last_at < %(before)s order by last_at limit 100)"""
_NOW_KNOWN = """insert into center.known_address (name, address, at) values (%(name)s, %(address)s, %(now)s)
on conflict (name, address) do update set at = %(now)s"""


def _locked(until: datetime, now: datetime) -> OverLimit:
    minutes = max(1, math.ceil((until - now).total_seconds() / 60))
    return OverLimit(
        f"这里输错太多次，{minutes} 分钟内不能登录这个账号。别处不受影响；急用请联系管理员解锁。",
        f"Too many wrong tries from here: this name cannot be entered for {minutes} min. Elsewhere it can; in a hurry "
        "ask the administrator to unlock it.",
        {"minutes": minutes},
    )
