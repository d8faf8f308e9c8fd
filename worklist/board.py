"""The dispatcher's board: every open case, task and alert of all clinics, through views that hold no names."""

from __future__ import annotations

from center.identity import Actor
from center.permits import Act, permit
from center.stuck import count
from worklist import alerts, store
from worklist.parts import Parts
from worklist.records import Board
from worklist.store import SQL


def board(parts: Parts, actor: Actor) -> Board:
    """Cases in the order of reading, tasks by due time, alerts longest waiting first."""
    permit(actor, Act.BOARD_VIEW)
    with parts.database.transaction(actor) as work:
        stuck = count(work)
        return Board(
            tuple(store.board_from(r) for r in work.all(SQL["board_cases"])),
            tuple(store.task_from(r) for r in work.all(SQL["board_tasks"])),
            alerts.shown_all(parts, work, work.all(SQL["board_alerts"])),
            parts.clock.now(),
            parts.notifier.automatic,
            stuck.dead + stuck.failing,
        )
