"""The audit as its readers see it: who did what to which thing, when; chained or not; no names, nobody's text.

A reason that somebody typed may hold a patient's name, so it is shown as its length only; logins, ids and numbers stay.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from center.database import Queries, Row, Work
from center.errors import Invalid

_SQL = Queries.load(Path(__file__).with_name("queries.sql"))

PAGE = 100
#: Days on these pages are the region's.
ZONE = ZoneInfo("Asia/Shanghai")
_LONGEST_DETAIL = 200
#: A longer id is shown by this many of its last characters; the whole one is its title.
_LAST = 12
_LONG_ID = re.compile(r"[0-9A-Fa-f.-]{25,}")


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """What the list is narrowed to; empty means all.  act: whole, or the part before its colons; first, last: days."""

    clinic_id: str = ""
    act: str = ""
    login: str = ""
    first: date | None = None
    last: date | None = None
    before: int | None = None  # only rows older than this one

    @property
    def narrowed(self) -> bool:
        return bool(self.clinic_id or self.act or self.login or self.first or self.last)

    def query(self) -> dict[str, str]:
        """As it stands in the address, without the place in the list."""
        days = {"from": self.first.isoformat() if self.first else "", "to": self.last.isoformat() if self.last else ""}
        return {n: v for n, v in {"clinic": self.clinic_id, "act": self.act, "login": self.login, **days}.items() if v}


@dataclass(frozen=True, slots=True)
class AuditRow:
    """reason_length: characters of what was typed; seq: its place in the chain, None while it isn't chained."""

    number: int
    at: datetime
    login: str
    clinic_id: str
    clinic: str
    clinic_en: str
    act: str
    thing: str  # as it is written: kind:id
    login_of: str  # of a person
    reason_length: int
    detail: str
    brief: str  # the same with long ids by their last characters
    seq: int | None


@dataclass(frozen=True, slots=True)
class ChainState:
    """sealed: rows in the chain; unsealed: written since; head: hash of the last signed head, made at head_at."""

    sealed: int
    unsealed: int
    head_seq: int | None
    head: str
    head_at: datetime | None


@dataclass(frozen=True, slots=True)
class AuditPage:
    rows: tuple[AuditRow, ...]
    older: int | None  # where the next page begins, None on the last
    chain: ChainState
    clinics: tuple[Row, ...]
    acts: tuple[str, ...]


def narrowed(
    *, clinic: str = "", act: str = "", login: str = "", first: str = "", last: str = "", before: str = ""
) -> AuditFilter:
    """The filter that the address says.  Raises Invalid."""
    number = before.strip()
    if number and not (number.isdecimal() and len(number) < 19):
        raise Invalid("地址里的页码不对。", "The page in the address is not a number.", {"fields": ["before"]})
    plain = {n: v.strip() for n, v in {"clinic": clinic, "act": act, "login": login}.items()}
    if any(len(v) > 64 or not v.isprintable() for v in plain.values()):
        raise Invalid("筛选条件太长或格式不对。", "A filter is too long or malformed.")
    return AuditFilter(
        plain["clinic"], plain["act"], plain["login"], _day(first), _day(last), int(number) if number else None
    )


def read(work: Work, wanted: AuditFilter) -> AuditPage:
    """One page, latest first, and where the chain stands."""
    begin, end = bounds(wanted)
    found = work.all(
        _SQL["audit_page"], clinic=wanted.clinic_id, act=wanted.act, login=wanted.login, begin=begin, end=end,
        before=wanted.before, limit=PAGE + 1,
    )  # fmt: skip
    rows = tuple(_row(r) for r in found[:PAGE])
    return AuditPage(
        rows=rows,
        older=rows[-1].number if len(found) > PAGE else None,
        chain=_chain(work),
        clinics=tuple(work.all(_SQL["audit_clinics"])),
        acts=tuple(r["act"] for r in work.all(_SQL["audit_acts"])),
    )


def bounds(wanted: AuditFilter) -> tuple[datetime | None, datetime | None]:
    """The instants of the days: from the first one's begin up to, not including, the end of the last."""
    begin = datetime.combine(wanted.first, time(), ZONE) if wanted.first else None
    end = datetime.combine(wanted.last + timedelta(days=1), time(), ZONE) if wanted.last else None
    return begin, end


def detail_text(detail: Mapping[str, Any]) -> str:
    """Ids and numbers as ``name=value``; a longer text is shown as its length."""
    return _joined(detail)[:_LONGEST_DETAIL]


def brief_text(detail: Mapping[str, Any]) -> str:
    """The same, each UUID, UID and digest by its last characters."""
    return _LONG_ID.sub(lambda found: short(found[0]), _joined(detail))[:_LONGEST_DETAIL]


def short(name: str) -> str:
    """Enough of a UID, a digest or a UUID to tell it from its neighbours."""
    return name if len(name) <= 2 * _LAST else f"\u2026{name[-_LAST:]}"


def _joined(detail: Mapping[str, Any]) -> str:
    return " ".join(f"{name}={_value(value)}" for name, value in sorted(detail.items()))


def _value(value: object) -> str:
    if isinstance(value, bool) or value is None or isinstance(value, int | float):
        return str(value).lower()
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"[{','.join(_value(v) for v in value)}]"
    text = str(value)
    return text if text.isascii() and " " not in text and len(text) <= 70 else f"({len(text)})"


def _row(row: Row) -> AuditRow:
    return AuditRow(
        row["id"], row["at"], row["login"], row["clinic_id"], row["clinic"] or "", row["clinic_en"] or "", row["act"],
        row["thing"], row["thing_login"] or "", len(row["reason"]), detail_text(row["detail"]), brief_text(row["detail"]), row["seq"],
    )  # fmt: skip


def _chain(work: Work) -> ChainState:
    row = work.one(_SQL["audit_chain_state"])
    assert row is not None  # an aggregate answers one row
    return ChainState(row["sealed"], row["unsealed"], row["head_seq"], row["head"] or "", row["head_at"])


def _day(text: str) -> date | None:
    if not text.strip():
        return None
    try:
        return date.fromisoformat(text.strip())
    except ValueError:
        raise Invalid("日期写成 2026-11-22 这样。", "Write a date as 2026-11-22.", {"fields": ["date"]}) from None
