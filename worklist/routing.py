"""Who reads what next, and by when: cases, reads and limits in, order and due times out.

The order is total: urgency first, then the earlier due time, then the case's id (WORKFLOW.md section 4 and 6).  What a
machine says can only raise urgency and bring the due time nearer (rule 3).  Values only.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from center.codes import Service, Urgency
from center.identity import Actor
from center.ports import StoredRead
from center.reads import CriticalRule, Decision, Finding, Outcome, PreliminaryRead, StatementLine, Tier
from worklist.lifecycle import CaseState
from worklist.records import CaseRow, MachineFlag
from worklist.sheet import Text
from worklist.timing import Timing


def order_key(row: CaseRow) -> tuple[int, datetime, str]:
    """Sorts cases into the order of reading; no two cases have the same."""
    return row.urgency.rank, row.due_at, row.case_id


def in_order(rows: Iterable[CaseRow]) -> tuple[CaseRow, ...]:
    return tuple(sorted(rows, key=order_key))


def may_read(actor: Actor, row: CaseRow) -> bool:
    """Agreement and licence cover it, and it waits."""
    return row.state is CaseState.QUEUED and actor.reads(row.clinic_id, row.service)


def next_for(actor: Actor, rows: Iterable[CaseRow]) -> CaseRow | None:
    """The most urgent waiting case that he may read."""
    return min((row for row in rows if may_read(actor, row)), key=order_key, default=None)


def due_at(timing: Timing, service: Service, modality: str, urgency: Urgency, completed_at: datetime) -> datetime:
    """T2 plus the limit of this class (WORKFLOW.md section 4)."""
    return completed_at + timedelta(minutes=timing.limit_minutes(service, modality, urgency))


@dataclass(frozen=True, slots=True)
class Priority:
    """How urgent a case is and when it is due."""

    urgency: Urgency
    due_at: datetime


def raised(
    now_is: Priority, to: Urgency, timing: Timing, service: Service, modality: str, completed_at: datetime
) -> Priority:
    """Never less urgent, never due later."""
    urgency = Urgency.highest(now_is.urgency, to)
    return Priority(urgency, min(now_is.due_at, due_at(timing, service, modality, urgency, completed_at)))


def after_machine(now_is: Priority, flag: MachineFlag, timing: Timing, now: datetime) -> Priority:
    """A machine's critical asks for a human read within minutes; nothing else that it says changes the order."""
    if flag.kind != "critical":
        return now_is
    by = now + timedelta(minutes=timing.machine_critical)
    return Priority(Urgency.highest(now_is.urgency, Urgency.STAT), min(now_is.due_at, by))


def gravest_tier(reads: Sequence[StoredRead]) -> Tier | None:
    """Of all reads: a newer read never takes back what an older one asked for."""
    return min((r.read.tier for r in reads if r.read.tier is not None), key=lambda tier: tier.rank, default=None)


def after_tier(
    now_is: Priority, tier: Tier | None, timing: Timing, service: Service, modality: str, completed_at: datetime
) -> Priority:
    """Orange is read next, without alarm; red is ``after_machine``'s; yellow and green change nothing."""
    if tier is not Tier.ORANGE:
        return now_is
    return raised(now_is, Urgency.URGENT, timing, service, modality, completed_at)


def latest_of_each(reads: Sequence[StoredRead]) -> tuple[StoredRead, ...]:
    """Each model's newest read, newest first."""
    seen: set[str] = set()
    out: list[StoredRead] = []
    for read in sorted(reads, key=lambda r: r.made_at, reverse=True):
        if read.read.model not in seen:
            seen.add(read.read.model)
            out.append(read)
    return tuple(out)


def machine_flag(reads: Sequence[StoredRead]) -> MachineFlag:
    """What the list shows of the newest reads: the gravest finding, else why there is none."""
    newest = latest_of_each(reads)
    tier = gravest_tier(newest)
    return replace(_leading(newest), tier=tier.value if tier else "")


def _leading(newest: Sequence[StoredRead]) -> MachineFlag:
    done = [r.read for r in newest if r.read.outcome is Outcome.READ]
    alarms = [f for r in newest for f in r.read.critical_findings]
    if findings := [*alarms, *(f for read in done for f in read.findings)]:
        gravest = min(findings, key=_gravity)
        kind = "critical" if _is_critical(gravest) else gravest.decision.value
        return MachineFlag(kind, Text(gravest.zh, gravest.en), None if gravest.by_rule else gravest.probability)
    for read in done:
        if read.statements:
            return MachineFlag("stated", _stated(read))
    for read in done:
        if read.measurements:
            return MachineFlag("measured", _measured(read))
    for stored in newest:
        if stored.read.reason is not None:
            return MachineFlag("abstained", Text(stored.read.reason.zh, stored.read.reason.en))
    return MachineFlag("abstained", Text("没有初读", "no preliminary read")) if newest else MachineFlag()


def _stated(read: PreliminaryRead) -> Text:
    """A rule that asks to be read next, then the first statements, then the rate."""
    rules = [r for r in read.critical.rules if r.tier is Tier.ORANGE] if read.critical else []
    leading: list[CriticalRule | StatementLine] = [*rules[:1], *read.statements]
    zh, en = ([*dict.fromkeys(words)][:2] for words in zip(*((s.zh, s.en) for s in leading), strict=True))
    rate = next((m.value for m in read.measurements if m.key == "heart_rate"), None)
    if rate is not None:
        zh, en = [*zh, f"{rate:.0f} 次/分"], [*en, f"{rate:.0f}/min"]
    return Text(" · ".join(zh), " · ".join(en))


def _measured(read: PreliminaryRead) -> Text:
    """What was measured and nothing more: a rate is no diagnosis, and silence about it is no "normal"."""
    rate = next((m for m in read.measurements if m.key == "heart_rate"), None)
    zh, en = (f"心率 {rate.value:.0f} 次/分", f"{rate.value:.0f}/min") if rate else ("只有测量值", "measured only")
    regularity = (read.quality.get("regularity_zh"), read.quality.get("regularity_en"))
    return Text(f"{zh} · {regularity[0]}", f"{en} · {regularity[1]}") if all(regularity) else Text(zh, en)


def _is_critical(finding: Finding) -> bool:
    return finding.critical and finding.decision is Decision.PRESENT


def _gravity(finding: Finding) -> tuple[int, float]:
    order = {Decision.PRESENT: 1, Decision.UNCERTAIN: 2, Decision.ABSENT: 3}
    return (0 if _is_critical(finding) else order[finding.decision]), -finding.probability
