"""The worklist as its page prints it: rows, tabs, filters and banners, from values alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from urllib.parse import urlencode

from center.codes import Service, Urgency
from center.identity import Actor
from worklist import whose
from worklist.lifecycle import FINISHED, HELD, OPEN_STATES, AlertState, CaseState
from worklist.records import Alert, CaseList, CaseRow, ListFilter, MachineFlag, Task
from worklist.sheet import Text

PAGE_SIZE = 50
#: In the order of their keys 1 to 7.
VIEWS = ("all", "stat", "mine", "waiting", "draft", "critical", "finished")
MODALITIES = ("CR", "DX", "CT", "MR", "US", "MG", "RF", "XA", "ECG")
#: What a row may be marked with, gravest first; a row shows two at most.
MARKS: dict[str, tuple[str, str]] = {
    "late_images": ("img", "orange"),
    "identity_unconfirmed": ("hold", "orange"),
    "escalated": ("warn", "orange"),
    "reopened": ("hist", "blue"),
    "request_missing": ("info", "grey"),
}
FLAGS = (*MARKS, "machine_critical")
_UNANSWERED = frozenset({AlertState.RAISED, AlertState.NOTIFIED})
_BANNERS = 2


@dataclass(frozen=True, slots=True)
class Tab:
    view: str
    count: int
    tone: str
    href: str
    current: bool
    key: str


@dataclass(frozen=True, slots=True)
class Mark:
    flag: str
    icon: str
    tone: str


@dataclass(frozen=True, slots=True)
class RowView:
    """One line. state: name of its badge; holder: empty when nobody or he himself holds it; due_at: None when no limit
    runs any more; images: None for a recording."""

    case_id: str
    case_no: str
    urgency: str
    state: str
    holder: str
    mine: bool
    due_at: datetime | None
    from_at: datetime
    name: str
    sex: str
    age: int | None
    clinic: Text
    exam: str
    images: int | None
    machine: MachineFlag
    marks: tuple[Mark, ...]
    question: str
    at: datetime
    finished: bool
    conflict: Text | None = None  # whom else something names, in one sentence
    others: str = ""  # their names alone


@dataclass(frozen=True, slots=True)
class Banner:
    """An alert that nobody has read back; steps: (minutes, text key of who) of the ladder."""

    alert: Alert
    clinic: Text
    href: str
    steps: tuple[tuple[int, str], ...]


@dataclass(frozen=True, slots=True)
class Guess:
    """A machine's critical that waits for a person: title in both languages, or the case's number alone."""

    task: Task
    title: Text
    href: str


@dataclass(frozen=True, slots=True)
class ListView:
    tabs: tuple[Tab, ...]
    narrowed: ListFilter
    narrow: bool
    rows: tuple[RowView, ...]
    next: RowView | None
    selected: str
    total: int
    first: int
    last: int
    newer: str
    older: str
    clinics: tuple[tuple[str, Text], ...]
    banners: tuple[Banner, ...]
    more_banners: int
    guesses: tuple[Guess, ...]
    more_guesses: int
    query: str
    at: datetime


STEP_WHO = ("who_clinic", "who_head", "who_dispatcher", "who_medical", "who_region")


def filter_from(query: Mapping[str, str]) -> ListFilter:
    """What the address asks for; what it does not know is left out."""

    def one(name: str, among: Sequence[str]) -> str:
        return query.get(name, "") if query.get(name, "") in among else ""

    urgency, service = one("urgency", [*Urgency]), one("service", [*Service])
    return ListFilter(
        view=one("view", VIEWS) or "all",
        urgency=Urgency(urgency) if urgency else None,
        modality=one("modality", MODALITIES),
        service=Service(service) if service else None,
        clinic_id=query.get("clinic", "")[:64],
        flag=one("flag", FLAGS),
        text=query.get("q", "").replace("\x00", "").strip()[:64],
    )


def address(narrowed: ListFilter, offset: int = 0, **more: str) -> str:
    """The list's address for this filter."""
    values = {
        "view": "" if narrowed.view == "all" else narrowed.view,
        "urgency": narrowed.urgency or "",
        "modality": narrowed.modality,
        "service": narrowed.service or "",
        "clinic": narrowed.clinic_id,
        "flag": narrowed.flag,
        "q": narrowed.text,
        "offset": str(offset) if offset else "",
        **more,
    }
    query = urlencode({k: v for k, v in values.items() if v})
    return "/worklist" + (f"?{query}" if query else "")


def view(
    actor: Actor,
    narrowed: ListFilter,
    found: CaseList,
    *,
    offset: int,
    following: CaseRow | None,
    selected: str,
    clinics: Sequence[tuple[str, Text]],
    alerts: Sequence[Alert],
    tasks: Sequence[Task],
    flagged: Sequence[CaseRow],
) -> ListView:
    """The whole page. flagged: cases that a machine called critical, to name the tasks' banners."""
    open_alerts = tuple(a for a in alerts if a.state in _UNANSWERED)
    critical = frozenset(a.case_id for a in open_alerts)
    rows = tuple(row_view(r, actor, critical) for r in found.rows)
    named = {r.case_id: r.machine.text for r in flagged if r.machine.kind == "critical"}
    asked = tuple(t for t in tasks if t.kind == "read_now")
    return ListView(
        tabs=_tabs(narrowed, found.counts),
        narrowed=narrowed,
        narrow=replace(narrowed, view="all") != ListFilter(),
        rows=rows,
        next=row_view(following, actor, critical) if following else None,
        selected=selected if selected in {r.case_id for r in rows} else (rows[0].case_id if rows else ""),
        total=found.total,
        first=offset + 1 if rows else 0,
        last=offset + len(rows),
        newer=address(narrowed, max(0, offset - PAGE_SIZE)) if offset else "",
        older=address(narrowed, offset + PAGE_SIZE) if offset + len(rows) < found.total else "",
        clinics=tuple(clinics),
        banners=tuple(banner(a, dict(clinics).get(a.clinic_id)) for a in open_alerts[:_BANNERS]),
        more_banners=max(0, len(open_alerts) - _BANNERS),
        guesses=tuple(Guess(t, named.get(t.case_id, Text("", "")), f"/cases/{t.case_id}") for t in asked[:_BANNERS]),
        more_guesses=max(0, len(asked) - _BANNERS),
        query=address(narrowed, offset).partition("?")[2],
        at=found.at,
    )


def banner(alert: Alert, clinic: Text | None) -> Banner:
    steps = tuple(
        (int(minutes), f"worklist.list.{STEP_WHO[min(n, len(STEP_WHO) - 1)]}")
        for n, minutes in enumerate(alert.steps_minutes)
    )
    return Banner(alert, clinic or Text(alert.clinic_name, alert.clinic_name), f"/cases/{alert.case_id}", steps)


def row_view(row: CaseRow, actor: Actor, critical: frozenset[str] = frozenset()) -> RowView:
    mine = row.lease_by == actor.person_id and row.state in HELD
    marks = tuple(Mark(flag, *look) for flag, look in MARKS.items() if flag in row.flags)
    return RowView(
        case_id=row.case_id,
        case_no=row.case_no,
        urgency=row.urgency.value,
        state="critical" if row.case_id in critical else row.state.value,
        holder="" if mine or row.state not in HELD else row.lease_by_name,
        mine=mine,
        due_at=row.due_at if row.state in OPEN_STATES else None,
        from_at=row.completed_at,
        name=row.patient_name,
        sex=row.patient_sex,
        age=row.patient_age_years,
        clinic=Text(row.clinic_name, row.clinic_name_en or row.clinic_name),
        exam=exam_of(row),
        images=None if row.service is Service.ECG else row.images,
        machine=row.machine,
        marks=marks[:2],
        question=row.question,
        at=row.completed_at,
        finished=row.state in FINISHED or row.state is CaseState.CANCELLED,
        conflict=whose.conflict(row),
        others=" / ".join(dict.fromkeys(o.name or "—" for o in row.others)),
    )


def exam_of(row: CaseRow) -> str:
    """Modality and what was examined, each once: ``DX 胸部正位``."""
    words = row.exam or row.body_part
    shown = row.modality or ("ECG" if row.service is Service.ECG else "")
    return words if words.upper().startswith(shown.upper()) and words else f"{shown} {words}".strip()


def _tabs(narrowed: ListFilter, counts: Mapping[str, int]) -> tuple[Tab, ...]:
    def tab(number: int, name: str) -> Tab:
        count = counts.get(name, 0)
        tone = "red" if name in ("stat", "critical") and count else ""
        href = address(replace(narrowed, view=name))
        return Tab(name, count, tone, href, narrowed.view == name, str(number))

    return tuple(tab(n, name) for n, name in enumerate(VIEWS, 1))
