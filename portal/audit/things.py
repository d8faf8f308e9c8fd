"""What an audit row was done to, in the words people have for it: a case by its number, a person by his login."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from center.codes import Service
from center.identity import Actor
from center.permits import Act, Thing, permitted
from portal.audit.rows import AuditRow, short

#: (clinic_id, kind, id) of things -> rows of ``Worklist.cases_named``.
CasesNamed = Callable[[Sequence[tuple[str, str, str]]], Sequence[Mapping[str, Any]]]
#: Kinds that are a case or belong to one.
OF_CASES = frozenset({"case", "study", "alert", "task", "request"})


@dataclass(frozen=True, slots=True)
class ShownThing:
    """kind: text key below ``portal.audit.kind``; name: login, clinic's id or short id, "" where case_no says it all.

    case_no: of the case that it is or is of, "" where none is known; address: "" for who may not open that case.
    """

    kind: str
    name: str
    case_no: str
    address: str


def shown(rows: Sequence[AuditRow], actor: Actor, cases_named: CasesNamed) -> Mapping[int, ShownThing]:
    """By the row's number."""
    parted = {r.number: (r, *_parted(r.thing)) for r in rows}
    asked = {(r.clinic_id, kind, name) for r, kind, name in parted.values() if kind in OF_CASES and r.clinic_id}
    cases = {(c["clinic_id"], c["kind"], c["id"]): c for c in cases_named(sorted(asked))}
    return {
        n: _shown(r, kind, name, cases.get((r.clinic_id, kind, name)), actor) for n, (r, kind, name) in parted.items()
    }


def address(case: Mapping[str, Any], actor: Actor) -> str:
    """Where this person may open the case; "" where nowhere."""
    thing = Thing(case["clinic_id"], Service(case["service"]))
    if permitted(actor, Act.READ_VIEW, thing):
        return f"/cases/{case['case_id']}"
    return f"/clinic/cases/{case['case_id']}" if permitted(actor, Act.CASE_VIEW, thing) else ""


def _parted(thing: str) -> tuple[str, str]:
    kind, _, name = thing.partition(":")
    return kind, name


def _shown(row: AuditRow, kind: str, name: str, case: Mapping[str, Any] | None, actor: Actor) -> ShownThing:
    number, at = (str(case["case_no"]), address(case, actor)) if case else ("", "")
    if kind == "person":
        return ShownThing(kind, row.login_of or short(name), "", "")
    said_by_number = case is not None and kind != "study"
    return ShownThing(kind, "" if said_by_number else name if kind == "clinic" else short(name), number, at)
