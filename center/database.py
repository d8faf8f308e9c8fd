"""The one door to PostgreSQL: pooled transactions with row security set, named queries, events and jobs in one commit.

A transaction belongs to an actor and the clinics he may see; policies read both through
``current_setting('helan.clinics')``.  Rooms never import the driver: they get a ``Work``.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, cast

import psycopg
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb, set_json_dumps
from psycopg_pool import ConnectionPool, PoolTimeout

from center.errors import Invalid, Unavailable
from center.events import Event
from center.identity import Actor, ClinicId

set_json_dumps(lambda value: json.dumps(value, ensure_ascii=False, default=str))

Row = dict[str, Any]  # rows come from SQL, whose types the checker can't know
#: Which handlers run on which kind of event: wiring's table.
Subscriptions = Mapping[str, tuple[str, ...]]

#: Raised by an insert that breaks a unique key; rooms catch it by this name.
UniqueViolation = psycopg.errors.UniqueViolation


class Queries:
    """The statements of a ``queries.sql``: each begins with ``-- name: why``."""

    def __init__(self, statements: Mapping[str, str]) -> None:
        self._statements = dict(statements)

    @classmethod
    def load(cls, path: Path) -> Queries:
        parts = re.split(r"^-- (\w+): .*$", path.read_text("utf-8"), flags=re.MULTILINE)
        return cls({name: body.strip().rstrip(";") for name, body in zip(parts[1::2], parts[2::2], strict=True)})

    def __getitem__(self, name: str) -> str:
        return self._statements[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._statements)


#: A statement ends at the server after this long, a wait for a lock earlier, s.
STATEMENT_S = 30
LOCK_S = 10
#: A server that is frozen keeps its own limits no more: whoever waits for an answer longer than this gives up, s.
ANSWER_S = STATEMENT_S + 5.0
#: A connection that lies ready must answer at once, a new one must be there soon, s.
_READY_S = 3.0
_CONNECT_S = 5
#: A line that is cut without a word is noticed by the kernel: bytes that nobody acknowledges, ms; silence, s.
_LINE: dict[str, Any] = {  # keyword arguments of the driver, passed on
    "connect_timeout": _CONNECT_S, "tcp_user_timeout": 20_000,
    "keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3,
}  # fmt: skip

#: What means "not now": out of reach, cancelled, timed out, full, or a server that only reads after a failover.
_AWAY = (
    psycopg.OperationalError, PoolTimeout, psycopg.errors.ReadOnlySqlTransaction,
    psycopg.errors.IdleInTransactionSessionTimeout, psycopg.errors.TransactionTimeout,
)  # fmt: skip
_BUSY = (psycopg.errors.QueryCanceled, psycopg.errors.LockNotAvailable, psycopg.errors.TransactionRollback)


def away(error: Exception) -> Unavailable:
    """The failure a person reads when the database can't be reached, or did not do it in time."""
    if isinstance(error, _BUSY):
        return Unavailable(
            "中心数据库正忙，没有按时完成，没有保存任何内容。请 1 分钟后再试。",
            "The center's database is busy and did not do it in time; nothing was saved. Try again in 1 minute.",
            {"cause": type(error).__name__},
        )
    return Unavailable(
        "中心数据库暂时不可用，没有保存任何内容。请 1 分钟后再试。",
        "The center's database cannot be reached; nothing was saved. Try again in 1 minute.",
        {"cause": type(error).__name__},
    )


@dataclass(slots=True)
class Work:
    """One transaction: statements, events, jobs and audit rows that become true together."""

    connection: psycopg.Connection[Row]
    actor: Actor
    clinics: frozenset[ClinicId]
    subscriptions: Subscriptions

    def all(self, sql: str, **params: Any) -> list[Row]:
        return self.connection.execute(sql, params).fetchall()  # type: ignore[arg-type]

    def one(self, sql: str, **params: Any) -> Row | None:
        return self.connection.execute(sql, params).fetchone()  # type: ignore[arg-type]

    def run(self, sql: str, **params: Any) -> int:
        """How many rows it touched."""
        return self.connection.execute(sql, params).rowcount  # type: ignore[arg-type]

    @staticmethod
    def json(value: Any) -> Any:
        """A value for a jsonb parameter."""
        return Jsonb(value)

    def emit(self, event: Event) -> bool:
        """Keeps the event and one job per subscriber; False when it had been kept before."""
        row = self.one(
            _EVENT, clinic=event.clinic_id, kind=event.kind, v=event.v, key=event.key, payload=Jsonb(event.payload)
        )
        if row is None:
            return False
        for handler in self.subscriptions.get(event.kind, ()):
            payload = {"kind": event.kind, **event.payload}
            self.enqueue(event.clinic_id, handler, event.key, payload, priority=event.priority)
        self.tell_pages(event.clinic_id, event.kind, event.payload)
        return True

    def enqueue(
        self,
        clinic_id: ClinicId | str,
        handler: str,
        dedup: str,
        payload: Mapping[str, Any],
        *,
        run_at: datetime | None = None,
        priority: int = 0,
        move: bool = False,
    ) -> None:
        """A job, once per (clinic, handler, dedup) while it waits; ``move`` sets the waiting one's time anew."""
        self.run(
            _JOB_MOVE if move else _JOB,
            clinic=clinic_id, handler=handler, dedup=dedup, payload=Jsonb(dict(payload)), run_at=run_at, priority=priority,
        )  # fmt: skip
        self.run("select pg_notify('helan_job', %(handler)s)", handler=handler)

    def forget(self, clinic_id: ClinicId | str, handler: str, dedup: str) -> None:
        """Takes back a job that still waits."""
        self.run(
            "delete from center.job where clinic_id = %(c)s and handler = %(h)s and dedup = %(d)s and state = 'ready'",
            c=clinic_id, h=handler, d=dedup,
        )  # fmt: skip

    def audit(
        self, act: str, thing: str, *, clinic_id: ClinicId | str | None = None, reason: str = "", **detail: Any
    ) -> None:
        """A row of the audit, written plainly here and chained by the sealer. ``detail`` holds ids and numbers only."""
        self.run(
            _AUDIT, person=self.actor.person_id, login=self.actor.login, clinic=clinic_id or "", act=act, thing=thing,
            reason=reason, detail=Jsonb(detail),
        )  # fmt: skip

    def tell_pages(self, clinic_id: ClinicId | str, kind: str, payload: Mapping[str, Any]) -> None:
        """Wakes the open pages of those who see this clinic: ids only, they read again."""
        note = json.dumps({"clinic_id": clinic_id, "kind": kind, **payload}, default=str)
        self.run("select pg_notify('helan_page', %(note)s)", note=note[:7000])


_EVENT = """insert into center.event (clinic_id, kind, v, key, payload)
values (%(clinic)s, %(kind)s, %(v)s, %(key)s, %(payload)s) on conflict (clinic_id, kind, key) do nothing returning id"""
_JOB = """insert into center.job (clinic_id, handler, dedup, payload, run_at, priority)
values (%(clinic)s, %(handler)s, %(dedup)s, %(payload)s, coalesce(%(run_at)s::timestamptz, now()), %(priority)s)
on conflict (clinic_id, handler, dedup) where state = 'ready' do nothing"""
_JOB_MOVE = """insert into center.job (clinic_id, handler, dedup, payload, run_at, priority)
values (%(clinic)s, %(handler)s, %(dedup)s, %(payload)s, coalesce(%(run_at)s::timestamptz, now()), %(priority)s)
on conflict (clinic_id, handler, dedup) where state = 'ready'
do update set run_at = excluded.run_at, payload = excluded.payload, priority = excluded.priority"""
_AUDIT = """insert into center.audit (person_id, login, clinic_id, act, thing, reason, detail)
values (%(person)s, %(login)s, %(clinic)s, %(act)s, %(thing)s, %(reason)s, %(detail)s)"""


class _Connection(psycopg.Connection[Row]):
    """One whose every wait has an end: a frozen server acknowledges what it is sent and never answers."""

    answer_s = ANSWER_S

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:  # the driver's own types
        if timeout is not None:  # who waits for notifications says how long
            return super().wait(gen, interval, timeout)
        end = time.monotonic() + self.answer_s
        try:
            return super().wait(gen, interval, self.answer_s)
        except psycopg.OperationalError:
            if time.monotonic() >= end:
                self.close()  # an answer that comes later belongs to nobody
            raise


def _check(connection: _Connection) -> None:
    """Returns when a connection that lay ready still answers."""
    connection.answer_s = _READY_S
    try:
        ConnectionPool.check_connection(cast(Any, connection))  # typed for plain rows only
    finally:
        connection.answer_s = ANSWER_S


class Database:
    """A pool of connections as one role that owns nothing and bypasses nothing."""

    def __init__(self, dsn: str, subscriptions: Subscriptions, *, size: int = 8, wait_s: float = 5.0) -> None:
        self._dsn = dsn
        self._subscriptions = subscriptions
        self._pool = ConnectionPool[_Connection](
            dsn, connection_class=_Connection, min_size=1, max_size=size, timeout=wait_s, open=False, check=_check,
            kwargs={
                "row_factory": dict_row, "options": f"-c statement_timeout={STATEMENT_S}s -c lock_timeout={LOCK_S}s",
                **_LINE,
            },
            reconnect_timeout=0, num_workers=1,
        )  # fmt: skip
        self._opened = threading.Lock()

    @property
    def dsn(self) -> str:
        return self._dsn

    @contextmanager
    def transaction(self, actor: Actor, clinics: Iterable[ClinicId] | None = None) -> Iterator[Work]:
        """A transaction of this actor over these clinics (his own reach when none are named).

        Raises Unavailable when the database can't be reached, is busy or does not answer; whatever else is raised inside
        rolls back.
        """
        reach = frozenset(actor.clinics if clinics is None else clinics)
        try:
            self._open()
            with self._pool.connection() as connection:
                connection.execute(
                    "select set_config('helan.actor', %s, true), set_config('helan.clinics', %s, true)",
                    (actor.person_id, ",".join(sorted(reach))),
                )
                yield Work(connection, actor, reach, self._subscriptions)
        except _AWAY as error:
            raise away(error) from error
        except psycopg.errors.NumericValueOutOfRange as error:
            raise Invalid("数字超出范围。", "A number is out of range.") from error

    def now(self) -> tuple[datetime, float]:
        """The database's clock and how long the question took, s."""
        began = time.monotonic()
        try:
            self._open()
            with self._pool.connection() as connection:
                row = connection.execute("select clock_timestamp() as at").fetchone()
        except _AWAY as error:
            raise away(error) from error
        assert row is not None
        return row["at"], time.monotonic() - began

    def refuse_if_powerful(self) -> None:
        """Raises RuntimeError when connected as a role that row security does not bind (GROUND.md "Roles")."""
        with self._connection() as connection:
            row = connection.execute(
                "select rolname, rolsuper, rolbypassrls from pg_roles where rolname = current_user"
            ).fetchone()
        assert row is not None
        if row["rolsuper"] or row["rolbypassrls"]:
            raise RuntimeError(f"refusing to run as database role {row['rolname']}: row security does not bind it")

    def listen(self, *channels: str, stop: threading.Event, quiet_s: float = 1.0) -> Iterator[tuple[str, str] | None]:
        """Notifications as (channel, payload), and None after each ``quiet_s`` without one; reconnects by itself."""
        while not stop.is_set():
            try:
                with _Connection.connect(self._dsn, autocommit=True, **_LINE) as connection:
                    for channel in channels:
                        connection.execute(f"listen {channel}")  # type: ignore[arg-type]
                    yield None  # whatever came while we were away is read now
                    while not stop.is_set():
                        heard = False
                        for note in connection.notifies(timeout=quiet_s, stop_after=1):
                            heard = True  # several may lie in one packet: all of them are told
                            yield note.channel, note.payload
                        if not heard:
                            yield None
            except psycopg.Error:
                stop.wait(1.0)
                yield None

    def close(self) -> None:
        self._pool.close()

    @contextmanager
    def _connection(self) -> Iterator[psycopg.Connection[Row]]:
        try:
            self._open()
            with self._pool.connection() as connection:
                yield connection
        except _AWAY as error:
            raise away(error) from error

    def _open(self) -> None:
        if self._pool.closed:
            with self._opened:
                if self._pool.closed:
                    self._pool.open(wait=False)
