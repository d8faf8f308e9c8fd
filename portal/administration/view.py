"""What the administration's pages show: rows of the books as tables of cells. Pure; the template only prints them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from portal.house import Found, House, Level

Row = Mapping[str, Any]  # a row of SQL, whose types the checker can't know

#: What lists show at most; more is the command line's work.
LIMIT = 500


class Section(StrEnum):
    """The administration's pages, in the order of their tabs."""

    HEALTH = "health"
    CLINICS = "clinics"
    PEOPLE = "people"
    AGREEMENTS = "agreements"
    PEERS = "peers"
    QUARANTINE = "quarantine"
    MODELS = "models"
    SETTINGS = "settings"


@dataclass(frozen=True, slots=True)
class Cell:
    """One place of a table: ``text`` as it stands (``en`` on English pages), or the text ``key``, or an instant.

    tone and icon: a state; look: mono | mute | "".
    """

    text: str = ""
    en: str = ""
    key: str = ""
    at: datetime | None = None
    tone: str = ""
    icon: str = ""
    look: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """columns: names of text keys; cut: there are more rows than are shown."""

    columns: tuple[str, ...]
    rows: tuple[tuple[tuple[Cell, ...], ...], ...]
    cut: bool = False


@dataclass(frozen=True, slots=True)
class AdministrationView:
    section: Section
    table: Table
    counts: Mapping[str, int]


def table(columns: Sequence[str], rows: Iterable[Sequence[Cell | Sequence[Cell]]]) -> Table:
    """The table of these rows; a place may hold several cells."""
    whole = [tuple((c,) if isinstance(c, Cell) else tuple(c) for c in row) for row in rows]
    return Table(tuple(columns), tuple(whole[:LIMIT]), len(whole) > LIMIT)


def clinics(rows: Sequence[Row]) -> Table:
    return table(
        ("clinic", "code", "kind", "zone", "duty_phone", "state"),
        (
            (
                Cell(r["name"], r["name_en"]),
                Cell(r["clinic_id"], look="mono"),
                Cell(key=f"kind.{r['kind']}"),
                Cell(r["zone"], look="mute"),
                Cell(r["duty_phone"]) if r["duty_phone"] else Cell(key="no_phone", tone="orange", icon="warn"),
                _status(r["status"]),
            )
            for r in rows
        ),
    )


def people(rows: Sequence[Row], certified: frozenset[str], names: Mapping[str, Row], now: datetime) -> Table:
    """certified: ids of persons with a certificate in force; names: clinics by code."""
    return table(
        ("person", "login", "roles", "licence", "scope", "certificate", "second_factor", "state"),
        (
            (
                Cell(r["name"], r["name_en"]),
                Cell(r["login"], look="mono"),
                [_role(role, names) for role in r["roles"]],
                Cell(r["licence"], look="mono"),
                [Cell(key=f"service.{s}") for s in r["scope"]],
                _certificate(r, r["person_id"] in certified),
                Cell(key="yes", tone="green", icon="ok") if r["has_totp"] else Cell(key="no", look="mute"),
                _standing(r, now),
            )
            for r in rows
        ),
    )


def agreements(rows: Sequence[Row], names: Mapping[str, Row], now: datetime) -> Table:
    return table(
        ("requesting", "reading", "service", "from", "until", "state"),
        (
            (
                _clinic(r["requesting_clinic"], names),
                _clinic(r["reading_clinic"], names),
                Cell(key=f"service.{r['service']}"),
                Cell(at=r["from"]),
                Cell(at=r["until"]) if r["until"] else Cell(key="open_end", look="mute"),
                _in_force(r["from"], r["until"], now),
            )
            for r in rows
        ),
    )


def peers(rows: Sequence[Row], names: Mapping[str, Row]) -> Table:
    return table(
        ("aet", "clinic", "from_network", "send_to", "may_send", "last_seen"),
        (
            (
                Cell(r["aet"], look="mono"),
                _clinic(r["clinic_id"], names),
                Cell(str(r["cidr"]), look="mono"),
                Cell(r["address"], look="mono") if r["address"] else Cell(key="receives_only", look="mute"),
                Cell(key="may", tone="green", icon="ok")
                if r["may_send"]
                else Cell(key="may_not", tone="grey", icon="no"),
                Cell(at=r["seen_at"]) if r["seen_at"] else Cell(key="never", look="mute"),
            )
            for r in rows
        ),
    )


def quarantine(rows: Sequence[Row], names: Mapping[str, Row]) -> Table:
    """difference: tags only, no values: what differs may be a patient's name."""
    return table(
        ("received", "clinic", "sop", "difference", "reason", "door"),
        (
            (
                Cell(at=r["received_at"]),
                _clinic(r["clinic_id"], names),
                [Cell(r["sop_uid"], look="mono"), Cell(r["sha256"][:16], look="mono mute")],
                [Cell(tag, look="mono") for tag in r["difference"]],
                Cell(r["reason"]),
                Cell(" ".join(part for part in (r["door"], r["peer"]) if part), look="mono"),
            )
            for r in rows
        ),
    )


def models(rows: Sequence[Row]) -> Table:
    return table(
        ("model", "version", "state", "why", "digest", "seen"),
        (
            (
                Cell(r["name"]),
                Cell(r["version"], look="mono"),
                Cell(key="serving", tone="green", icon="ok")
                if r["state"] == "serving"
                else Cell(key="refused", tone="red", icon="no"),
                Cell(r["reason"]),
                Cell(r["digest"][:16], look="mono"),
                Cell(at=r["seen_at"]),
            )
            for r in rows
        ),
    )


def settings(shown: Mapping[str, str]) -> Table:
    """As `helan doctor` prints them, secrets hidden."""
    return table(
        ("setting", "value"), ((Cell(f"HELAN_{n.upper()}", look="mono"), _setting(v)) for n, v in shown.items())
    )


def health(house: House) -> Table:
    """What /health says, part by part, then the figures."""
    return table(("what", "value"), _lines(house))


def _lines(house: House) -> Iterable[Sequence[Cell | Sequence[Cell]]]:
    yield Cell(key="health.status"), _LEVELS[house.status]
    for found in house.parts:
        yield Cell(key=f"health.checks.{found.part}"), _part(found)
    facts: dict[str, object] = {**house.facts, **{f"jobs.{n}": v for n, v in house.jobs.items() if n != "lanes"}}
    for name, value in facts.items():
        yield Cell(key=f"health.{name}"), _figure(value)
    lanes = house.jobs.get("lanes")
    for name, seconds in sorted(lanes.items()) if isinstance(lanes, Mapping) else ():
        yield [Cell(key="health.lane"), Cell(name, look="mono mute")], Cell(f"{seconds:.0f} s")
    for beat in house.beats:
        tone = "red" if beat.is_silent or beat.turned_s > beat.within_s else ""
        yield (
            [Cell(key="health.beat"), Cell(f"{beat.process} {beat.loop}", look="mono mute")],
            Cell(f"{beat.turned_s:.0f} s", tone=tone, icon="warn" if tone else ""),
        )


_LEVELS = {
    "ok": Cell(key="well", tone="green", icon="ok"),
    "warning": Cell(key="worth_a_look", tone="orange", icon="warn"),
    "degraded": Cell(key="degraded", tone="orange", icon="warn"),
    "down": Cell(key="down", tone="red", icon="warn"),
}


def _part(found: Found) -> Cell:
    if found.level is Level.WELL:
        return _LEVELS["ok"]
    bad = found.level is Level.BAD
    key = "not_well" if bad else "worth_a_look"
    return Cell(found.zh, found.en, key=key, tone="red" if bad else "orange", icon="warn")


def _figure(value: object) -> Cell:
    if value is True:
        return _LEVELS["ok"]
    if value is False:
        return Cell(key="nobody_called", tone="orange", icon="phone")
    if isinstance(value, float) and value.is_integer():
        return Cell(str(int(value)))
    return Cell("" if value is None else str(value))


def _setting(value: str) -> Cell:
    known = {"(set)": Cell(key="set", look="mute", icon="lock"), "(not set)": Cell(key="not_set", look="mute")}
    return known.get(value) or Cell(value, look="mono")


def _status(status: str) -> Cell:
    if status == "active":
        return Cell(key="active", tone="green", icon="ok")
    return Cell(key="disabled", tone="grey", icon="no")


def _standing(person: Row, now: datetime) -> Cell:
    if person["status"] == "active" and person["locked_until"] and person["locked_until"] > now:
        return Cell(key="locked", tone="orange", icon="lock")
    return _status(person["status"])


def _certificate(person: Row, certified: bool) -> Cell:
    if certified:
        return Cell(key="yes", tone="green", icon="ok")
    if person["licence"] and person["status"] == "active":
        return Cell(key="missing", tone="orange", icon="warn")  # he can't sign without one
    return Cell(key="no", look="mute")


def _in_force(since: datetime, until: datetime | None, now: datetime) -> Cell:
    if since > now:
        return Cell(key="not_yet", tone="grey", icon="hour")
    if until and until <= now:
        return Cell(key="ended", tone="grey", icon="no")
    return Cell(key="in_force", tone="green", icon="ok")


def _clinic(code: str, names: Mapping[str, Row]) -> Cell:
    known = names.get(code)
    return Cell(known["name"], known["name_en"]) if known else Cell(code, look="mono")


def _role(held: str, names: Mapping[str, Row]) -> Cell:
    """held: ``clinic:role`` of the listing."""
    code, _, role = held.rpartition(":")
    clinic = _clinic(code, names)
    return Cell(clinic.text, clinic.en, key=f"role.{role}")
