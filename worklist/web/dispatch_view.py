"""What the dispatcher's page shows: who waits where, whom to phone now, what is overdue. Values in, values out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from center.codes import Role, Service, Urgency
from worklist.lifecycle import ALERT_CALLING, HELD, CaseState
from worklist.records import Alert, Board, BoardRow, Task
from worklist.tasks import FOR_ROLE
from worklist.timing import LADDER_NOTICES

#: The matrix's columns, as work flows; TRIAGED is shown only when something stands there.
FLOW = (
    CaseState.TRIAGED,
    CaseState.QUEUED,
    CaseState.LEASED,
    CaseState.READING,
    CaseState.FINAL,
    CaseState.DELIVERED,
)
#: Flags that a dispatcher acts on, the gravest first: text key -> (icon, tone).
FLAGS: Mapping[str, tuple[str, str]] = {
    "escalated": ("crit", "red"),
    "late_images": ("img", "orange"),
    "identity_unconfirmed": ("hold", "orange"),
    "wider_pool": ("queue", "grey"),
    "request_missing": ("missing", "grey"),
    "reopened": ("hist", "grey"),
}
#: Tasks that end only when the case is read: the reading clinic is rung; all others are the requesting clinic's.
FOR_READER = frozenset({"dispatch", *(kind for kind, role in FOR_ROLE.items() if role is Role.READER)})
_SOON = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Place:
    """One clinic as the page names it."""

    name: str
    name_en: str
    phone: str


@dataclass(frozen=True, slots=True)
class Count:
    """How many stand in this state; the nearest due time among them; tone: red overdue, orange within 10 min."""

    state: CaseState
    n: int
    due_at: datetime | None
    tone: str


@dataclass(frozen=True, slots=True)
class Lane:
    """One service's cases by state."""

    service: Service
    counts: tuple[Count, ...]
    n: int


@dataclass(frozen=True, slots=True)
class CaseLine:
    row: BoardRow
    place: Place
    flags: tuple[tuple[str, str, str], ...]  # text key, icon, tone
    machine_critical: bool
    held: bool
    may_rise_to: tuple[Urgency, ...]


@dataclass(frozen=True, slots=True)
class TaskLine:
    """mine: waits for a dispatcher; why: text key; about: version and receiver for it; alert_id: read back above.

    place: whose duty phone is rung, the reading clinic's where the reader is late; reader: who holds the case then.
    """

    task: Task
    place: Place
    at_reader: bool
    reader: str
    mine: bool
    why: str
    about: Mapping[str, str]
    alert_id: str


@dataclass(frozen=True, slots=True)
class Tried:
    """A read-back that was not kept, because it does not say what the finding says: shown again with its words."""

    alert_id: str
    receiver: str
    read_back: str
    action: str


@dataclass(frozen=True, slots=True)
class CallLine:
    """calling: nobody has read it back yet; steps: minutes of each step of the ladder and whom it tells (text keys)."""

    alert: Alert
    place: Place
    calling: bool
    steps: tuple[tuple[str, tuple[str, ...]], ...]
    tried: Tried | None


@dataclass(frozen=True, slots=True)
class DispatchView:
    """automatic: the center's machine phones and texts by itself; shown: how the list is narrowed.

    stuck: jobs of the center that failed again and again.
    """

    calls: tuple[CallLine, ...]
    lanes: tuple[Lane, ...]
    states: tuple[CaseState, ...]
    cases: tuple[CaseLine, ...]
    hidden: int
    tasks: tuple[TaskLine, ...]
    automatic: bool
    service: str
    state: str
    stuck: int = 0


def dispatch_view(
    board: Board,
    places: Mapping[str, Place],
    *,
    service: str = "",
    state: str = "",
    tried: Tried | None = None,
) -> DispatchView:
    """The board as one page; calls and overdue work first."""
    states = tuple(s for s in FLOW if s is not CaseState.TRIAGED or any(r.state is s for r in board.cases))
    kept = [r for r in board.cases if (not service or r.service == service) and (not state or r.state == state)]
    return DispatchView(
        calls=tuple(_call(a, places, tried) for a in sorted(board.alerts, key=_calling_first)),
        lanes=tuple(_lane(s, [r for r in board.cases if r.service is s], states, board.at) for s in Service),
        states=states,
        cases=tuple(_case(r, places) for r in sorted(kept, key=_oldest_first)),
        hidden=len(board.cases) - len(kept),
        tasks=_tasks(board.tasks, places),
        automatic=board.automatic,
        service=service,
        state=state,
        stuck=board.stuck,
    )


def _oldest_first(row: BoardRow) -> tuple[datetime, int, str]:
    return row.due_at, row.urgency.rank, row.case_id


def _calling_first(alert: Alert) -> tuple[bool, datetime, str]:
    return alert.state not in ALERT_CALLING, alert.found_at, alert.alert_id


def _lane(service: Service, rows: Sequence[BoardRow], states: Iterable[CaseState], now: datetime) -> Lane:
    return Lane(service, tuple(_count(s, [r for r in rows if r.state is s], now) for s in states), len(rows))


def _count(state: CaseState, rows: Sequence[BoardRow], now: datetime) -> Count:
    due_at = min((r.due_at for r in rows), default=None)
    waits = state in (CaseState.TRIAGED, CaseState.QUEUED, *HELD)  # what is signed has met its due time or not
    tone = ""
    if due_at is not None and waits:
        tone = "red" if due_at < now else "orange" if due_at - now < _SOON else ""
    return Count(state, len(rows), due_at if waits else None, tone)


def _case(row: BoardRow, places: Mapping[str, Place]) -> CaseLine:
    waits = row.state in (CaseState.TRIAGED, CaseState.QUEUED, *HELD)
    return CaseLine(
        row,
        places.get(row.clinic_id, Place(row.clinic_name, "", "")),
        tuple((name, *look) for name, look in FLAGS.items() if name in row.flags),
        row.machine_kind == "critical",
        row.state in HELD,
        tuple(u for u in Urgency if u.rank < row.urgency.rank) if waits else (),
    )


def _call(alert: Alert, places: Mapping[str, Place], tried: Tried | None) -> CallLine:
    known = places.get(alert.clinic_id)
    place = Place(alert.clinic_name, known.name_en if known else "", alert.duty_phone)
    mine = tried if tried is not None and tried.alert_id == alert.alert_id else None
    steps = tuple((f"{minutes:g}", _told(n)) for n, minutes in enumerate(alert.steps_minutes))
    return CallLine(alert, place, alert.state in ALERT_CALLING, steps, mine)


def _told(step: int) -> tuple[str, ...]:
    """Whom this step tells, each once."""
    return tuple(dict.fromkeys(to for to, _ in LADDER_NOTICES[min(step, len(LADDER_NOTICES) - 1)]))


def _tasks(tasks: Iterable[Task], places: Mapping[str, Place]) -> tuple[TaskLine, ...]:
    lines = [_task(t, places) for t in tasks if t.done_at is None]
    return tuple(sorted(lines, key=lambda line: (not line.mine, line.task.due_at, line.task.task_id)))


def _task(task: Task, places: Mapping[str, Place]) -> TaskLine:
    at_reader = task.kind in FOR_READER
    clinic_id = task.reading_clinic if at_reader else task.clinic_id
    place = places.get(clinic_id, Place(clinic_id, "", ""))
    about = {
        "n": str(task.facts.get("version", "")),
        "to": str(task.facts.get("recipient", "")).removeprefix("pacs:"),
    }
    alert_id = str(task.facts.get("alert_id", ""))
    why = ""
    if task.kind == "phone" and not alert_id:
        why = next((w for w in ("unopened", "withdrawn") if task.key.startswith(f"{w}:")), "undelivered")
    return TaskLine(
        task, place, at_reader, task.reader if at_reader else "", task.for_role == Role.DISPATCHER, why, about, alert_id
    )
