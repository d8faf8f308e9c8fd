"""The way of a case: every event that a room acts on is wired, and every name in the table is a handler."""

from __future__ import annotations

from center.events import BY_KIND
from portal.wiring import LANES, SUBSCRIPTIONS, lanes
from worklist import room


def test_what_the_worklist_acts_on_is_wired() -> None:
    for kind, handlers in room.SUBSCRIPTIONS.items():
        assert set(handlers) <= set(SUBSCRIPTIONS[kind]), kind


def test_the_table_names_known_events_only() -> None:
    assert set(SUBSCRIPTIONS) <= set(BY_KIND)


def test_every_handler_runs_in_exactly_one_lane() -> None:
    names = ["gateway.move:host", "gateway.complete", *{n for names in SUBSCRIPTIONS.values() for n in names}]
    found = lanes({name: lambda _: None for name in names})
    assert sorted(n for lane in found for n in lane) == sorted(names) and len(found) == len(LANES) + 1
    assert "gateway.move:host" in found[1]
