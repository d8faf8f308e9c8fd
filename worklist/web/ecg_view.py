"""An ECG's preliminary read as the reading page prints it: numbers side by side with the last ECG's, leads, strips."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, cast
from urllib.parse import quote

from center.codes import Origin
from center.ports import InstanceRef
from center.reads import DeviceLine, Measurement, Outcome, PreliminaryRead, Tier
from worklist import routing
from worklist.records import CaseDetail

#: (text key below worklist.ecg, measurement, decimals) of each column.
COLUMNS: Final = (
    ("rate", "heart_rate", 0), ("pr", "pr_interval", 0), ("qrs", "qrs_duration", 0), ("qt", "qt_interval", 0),
    ("qtcf", "qtc_fridericia", 0), ("qtcb", "qtc_bazett", 0), ("p_axis", "p_axis", 0), ("qrs_axis", "qrs_axis", 0),
    ("t_axis", "t_axis", 0),
)  # fmt: skip
LEADS: Final = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
ROWS: Final = (
    ("r", "r_amplitude"), ("s", "s_amplitude"), ("st_j", "st_j"), ("st_j60", "st_j60"), ("t", "t_amplitude"),
)  # fmt: skip
_MOST_STRIPS: Final = 24
_MOST_DEVICE_LINES: Final = 40
_WAVEFORM: Final = "1.2.840.10008.5.1.4.1.1.9."


@dataclass(frozen=True, slots=True)
class Numbers:
    """One row of the table. at: when the recording was made, None for the present one; cells: ``—`` where unknown."""

    at: datetime | None
    cells: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LeadRow:
    key: str
    cells: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StripView:
    """A stretch of a long recording worth looking at. key: why; clock: from the recording's begin, ``03:12:45``."""

    key: str
    start_s: float
    clock: str
    value: str


@dataclass(frozen=True, slots=True)
class EcgView:
    """model: whose numbers these are; others: further measurements of the whole, (Measurement, told)."""

    model: str
    rows: tuple[Numbers, ...]
    by_lead: tuple[LeadRow, ...]
    others: tuple[tuple[Measurement, str], ...]
    device: tuple[str, ...]
    grade: str
    tier: Tier | None
    strips: tuple[StripView, ...]
    print_url: str
    original_url: str


def ecg_view(detail: CaseDetail, instances: Sequence[InstanceRef]) -> EcgView:
    """Of the newest read of the case's ECG."""
    stored = next((r for r in routing.latest_of_each(detail.reads) if r.read.kind == "ecg"), None)
    read = stored.read if stored else None
    measured = read.measurements if read and read.outcome is Outcome.READ else ()
    rows = [Numbers(None, _cells(measured))] if measured else []
    if measured and detail.previous is not None:
        rows.append(Numbers(_instant(read), _cells(detail.previous.read.measurements)))
    shown = {key for _, key, _ in COLUMNS}
    case = detail.case
    return EcgView(
        model=f"{read.model} {read.version}" if read else "",
        rows=tuple(rows),
        by_lead=_by_lead(measured),
        others=tuple((m, told(m.value, m.unit)) for m in measured if not m.lead and m.key not in shown),
        device=_device(read),
        grade=str(read.quality.get("grade", "")) if read else "",
        tier=read.tier if read else None,
        strips=_strips(read),
        print_url=f"/ecg/sheet/{quote(case.clinic_id)}/{quote(case.study_uid)}.pdf",
        original_url=_original(detail, instances),
    )


def told(value: float, unit: str) -> str:
    """A number to as many decimals as its unit is told; a minus that rounds to nothing goes."""
    decimals = {"ms": 0, "/min": 0, "deg": 0, "mV": 2, "mV.ms": 0, "mV/s": 1, "s": 1, "%": 0}.get(unit, 2)
    text = f"{value:.{0 if value == int(value) and unit not in ('mV',) else decimals}f}"
    return text.removeprefix("-") if float(text) == 0 else text


def _cells(measured: Sequence[Measurement]) -> tuple[str, ...]:
    found = {m.key: m for m in measured if not m.lead}
    return tuple(told(found[key].value, found[key].unit) if key in found else "—" for _, key, _ in COLUMNS)


def _by_lead(measured: Sequence[Measurement]) -> tuple[LeadRow, ...]:
    found = {(m.key, m.lead): m for m in measured if m.lead}
    out: list[LeadRow] = []
    for name, key in ROWS:
        cells = tuple(_signed(found[key, lead], name) if (key, lead) in found else "—" for lead in LEADS)
        if any(cell != "—" for cell in cells):
            out.append(LeadRow(name, cells))
    return tuple(out)


def _signed(m: Measurement, row: str) -> str:
    """An ST level has its sign always, as on paper."""
    text = told(m.value, m.unit)
    return f"+{text}" if row.startswith("st") and float(text) > 0 else text


def _device(read: PreliminaryRead | None) -> tuple[str, ...]:
    lines: Sequence[DeviceLine] = read.device[:_MOST_DEVICE_LINES] if read else ()
    return tuple(f"{d.text} {d.value:g} {d.unit}".strip() if d.value is not None else d.text for d in lines)


def _instant(read: PreliminaryRead | None) -> datetime | None:
    try:
        return datetime.fromisoformat(read.compared_at) if read else None
    except ValueError:
        return None


def _strips(read: PreliminaryRead | None) -> tuple[StripView, ...]:
    """The strips that matter of a recording of hours, the gravest first."""
    holter = cast("dict[str, Any]", read.extra.get("holter") or {}) if read else {}
    strips = cast("list[dict[str, Any]]", holter.get("strips") or [])[:_MOST_STRIPS]
    return tuple(
        StripView(str(s["key"]), float(s["start_s"]), _clock(float(s["start_s"])), f"{float(s['value']):g} {s['unit']}")
        for s in strips
    )


def _clock(seconds: float) -> str:
    whole = int(seconds)
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def _original(detail: CaseDetail, instances: Sequence[InstanceRef]) -> str:
    """Where the device's own file is, when the recording was made from one."""
    made = any(i.origin is Origin.CONVERTED and i.sop_class_uid.startswith(_WAVEFORM) for i in instances)
    case = detail.case
    return f"/uploads/originals/{quote(case.clinic_id)}/{quote(case.study_uid)}" if made else ""
