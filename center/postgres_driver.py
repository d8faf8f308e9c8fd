"""The driver's few names that ``center`` uses outside ``center.database``: administration only, never a room's data."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import conninfo
from psycopg import sql as _sql

Connection = psycopg.Connection[Any]
OperationalError = psycopg.OperationalError
Error = psycopg.Error


def connect(dsn: str, *, autocommit: bool = False) -> Connection:
    return psycopg.connect(dsn, autocommit=autocommit, connect_timeout=5)


def sql(template: str, **parts: _sql.Composable) -> _sql.Composed:
    return _sql.SQL(template).format(**parts)  # type: ignore[arg-type]


def name(word: str) -> _sql.Composable:
    return _sql.Identifier(word)


def literal(word: str) -> _sql.Composable:
    return _sql.Literal(word)


def dsn_for(base: str, **changes: str | int) -> str:
    """The same server and database with other words in the DSN."""
    return conninfo.make_conninfo(base, **changes)


def environment(dsn: str) -> dict[str, str]:
    """The DSN as the variables that PostgreSQL's own programs read: no password on a command line."""
    names = {"host": "PGHOST", "port": "PGPORT", "user": "PGUSER", "password": "PGPASSWORD", "dbname": "PGDATABASE",
             "sslmode": "PGSSLMODE", "sslrootcert": "PGSSLROOTCERT"}  # fmt: skip
    words = conninfo.conninfo_to_dict(dsn)
    return {names[key]: str(value) for key, value in words.items() if key in names and value is not None}
