"""A preliminary read as JSON and back: what the table keeps and the command line prints. Pure."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from center.reads import Code, Decision, Finding, Measurement, Outcome, PreliminaryRead, Reason


def to_json(read: PreliminaryRead) -> dict[str, Any]:
    """All of it, as plain JSON values."""
    return asdict(read)


def from_json(kept: dict[str, Any]) -> PreliminaryRead:
    """The read that ``to_json`` wrote; unknown fields of a later version are left out."""
    reason = kept.get("reason")
    return PreliminaryRead(
        kind=kept["kind"],
        model=kept["model"],
        version=kept["version"],
        input_digest=kept["input_digest"],
        outcome=Outcome(kept["outcome"]),
        reason=Reason(**reason) if reason else None,
        findings=tuple(_finding(f) for f in kept.get("findings", ())),
        measurements=tuple(_measurement(m) for m in kept.get("measurements", ())),
        quality=kept.get("quality", {}),
        extra=kept.get("extra", {}),
    )


def _finding(kept: dict[str, Any]) -> Finding:
    return Finding(**{**kept, "decision": Decision(kept["decision"]), "codes": _codes(kept)})


def _measurement(kept: dict[str, Any]) -> Measurement:
    return Measurement(**{**kept, "codes": _codes(kept)})


def _codes(kept: dict[str, Any]) -> tuple[Code, ...]:
    return tuple(Code(**c) for c in kept.get("codes", ()))
