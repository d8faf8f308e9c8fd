"""A preliminary read as JSON and back: what the table keeps and the command line prints. Pure."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, TypeVar

from center.reads import (
    Code,
    Critical,
    CriticalRule,
    Decision,
    DeviceLine,
    EvidenceLine,
    Finding,
    Measurement,
    MedianWaveform,
    Outcome,
    PreliminaryRead,
    Reason,
    StatementLine,
    Tier,
)

_Value = TypeVar("_Value")


def to_json(read: PreliminaryRead) -> dict[str, Any]:
    """All of it, as plain JSON values."""
    return asdict(read)


def from_json(kept: dict[str, Any]) -> PreliminaryRead:
    """The read that ``to_json`` wrote, now or by an earlier version; unknown fields of a later one are left out."""
    reason, critical, median = kept.get("reason"), kept.get("critical"), kept.get("median")
    return PreliminaryRead(
        kind=kept["kind"],
        model=kept["model"],
        version=kept["version"],
        input_digest=kept["input_digest"],
        outcome=Outcome(kept["outcome"]),
        reason=_of(Reason, reason) if reason else None,
        findings=tuple(_finding(f) for f in kept.get("findings", ())),
        measurements=tuple(_measurement(m) for m in kept.get("measurements", ())),
        quality=kept.get("quality", {}),
        extra=kept.get("extra", {}),
        statements=tuple(_statement(s) for s in kept.get("statements", ())),
        critical=_critical(critical) if critical else None,
        device=tuple(_of(DeviceLine, line) for line in kept.get("device", ())),
        median=_median(median) if median else None,
        compared_with=kept.get("compared_with", ""),
        compared_at=kept.get("compared_at", ""),
        issues=tuple(_of(Reason, issue) for issue in kept.get("issues", ())),
    )


def _of(cls: type[_Value], kept: dict[str, Any], **known: Any) -> _Value:
    """The dataclass that these fields make: those in ``known`` in place of the kept ones, unknown ones left out."""
    names = cls.__dataclass_fields__  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUnknownVariableType]
    return cls(**{name: value for name, value in {**kept, **known}.items() if name in names})


def _finding(kept: dict[str, Any]) -> Finding:
    return _of(Finding, kept, decision=Decision(kept["decision"]), codes=_codes(kept))


def _measurement(kept: dict[str, Any]) -> Measurement:
    return _of(Measurement, kept, codes=_codes(kept))


def _statement(kept: dict[str, Any]) -> StatementLine:
    modifiers = tuple(kept.get("modifiers", ()))
    return _of(StatementLine, kept, codes=_codes(kept), modifiers=modifiers, evidence=_evidence(kept))


def _critical(kept: dict[str, Any]) -> Critical:
    rules = tuple(_of(CriticalRule, r, tier=Tier(r["tier"]), evidence=_evidence(r)) for r in kept.get("rules", ()))
    return _of(Critical, kept, tier=Tier(kept["tier"]), rules=rules)


def _median(kept: dict[str, Any]) -> MedianWaveform:
    return _of(MedianWaveform, kept, leads=tuple(kept["leads"]), uv=tuple(tuple(row) for row in kept["uv"]))


def _evidence(kept: dict[str, Any]) -> tuple[EvidenceLine, ...]:
    return tuple(_of(EvidenceLine, line) for line in kept.get("evidence", ()))


def _codes(kept: dict[str, Any]) -> tuple[Code, ...]:
    return tuple(_of(Code, c) for c in kept.get("codes", ()))
