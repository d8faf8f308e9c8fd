"""How many rows a statement touches: what it costs on any machine, however fast."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from center.database import Work


def touched(work: Work, sql: str, **params: Any) -> int:
    """Rows that the statement reads from tables and indexes, kept or thrown away.  It is run."""
    row = work.one(f"explain (analyze, timing off, summary off, format json) {sql}", **params)
    assert row is not None
    (plan,) = row.values()
    held = json.loads(plan) if isinstance(plan, str) else plan
    return sum(_rows(node) for node in _nodes(held[0]["Plan"]) if "Scan" in node["Node Type"])


def _nodes(plan: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [plan, *(node for part in plan.get("Plans", ()) for node in _nodes(part))]


def _rows(node: Mapping[str, Any]) -> int:
    """Of all loops; what a filter or a recheck threw away counts."""
    each = sum(node.get(key, 0) for key in ("Actual Rows", "Rows Removed by Filter", "Rows Removed by Index Recheck"))
    return round(each * node.get("Actual Loops", 1))
