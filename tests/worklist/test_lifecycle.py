"""Property 6, moves_by_table: folded moves give the state; a final version is never a draft again."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from center.errors import WrongState
from worklist import lifecycle
from worklist.lifecycle import (
    ALERT,
    CASE,
    DELIVERY,
    MOVE_NAMES,
    REPORT,
    STATE_NAMES,
    AlertState,
    CaseMove,
    CaseState,
    DeliveryState,
    ReportMove,
    ReportState,
)

TABLES: tuple[tuple[dict[Any, Any], StrEnum], ...] = (
    (CASE, CaseState.TRIAGED),
    (REPORT, ReportState.DRAFT),
    (ALERT, AlertState.RAISED),
    (DELIVERY, DeliveryState.QUEUED),
)


@given(st.data())
def test_folded_moves_give_the_state_or_name_what_is_possible(data: st.DataObject) -> None:
    table, start = data.draw(st.sampled_from(TABLES))
    moves = sorted({move for _, move in table})
    state = start
    walked: list[StrEnum] = []
    for move in data.draw(st.lists(st.sampled_from(moves), max_size=12)):
        try:
            after = lifecycle.advance(table, state, move)
        except WrongState as failure:
            assert (state, move) not in table
            assert failure.facts == {
                "state": state.value,
                "possible": [m.value for m in lifecycle.possible(table, state)],
            }
            continue
        walked.append(move)
        state = after
        assert lifecycle.fold(table, start, walked) == state


@given(st.lists(st.sampled_from(list(ReportMove)), max_size=10))
def test_a_final_version_is_never_a_draft_again(moves: list[ReportMove]) -> None:
    state, was_final = ReportState.DRAFT, False
    for move in moves:
        state = REPORT.get((state, move), state)
        was_final = was_final or state is not ReportState.DRAFT
        assert not (was_final and state is ReportState.DRAFT)
        assert not (
            state is ReportState.FINAL and move is not ReportMove.SIGN and (ReportState.AMENDED, move) in REPORT
        )


@pytest.mark.parametrize(("table", "start"), TABLES)
def test_every_state_can_be_reached(table: dict[Any, Any], start: StrEnum) -> None:
    reached = {start}
    while more := {after for (at, _), after in table.items() if at in reached} - reached:
        reached |= more
    assert reached == set(type(start))


def test_every_state_and_move_has_words_in_both_languages() -> None:
    for table, start in TABLES:
        for name in [*type(start), *{move for _, move in table}]:
            words = (STATE_NAMES | MOVE_NAMES)[name]
            assert words.zh and words.en


def test_nothing_leads_out_of_cancelled() -> None:
    assert lifecycle.possible(CASE, CaseState.CANCELLED) == ()


def test_a_case_is_signed_only_while_it_is_being_read() -> None:
    assert [state for state, move in CASE if move is CaseMove.SIGN] == [CaseState.READING]


D = DeliveryState


@pytest.mark.parametrize(
    ("state", "deliveries", "opened", "alerts", "moves"),
    [
        (CaseState.FINAL, [D.SENT, D.FAILED], True, 0, ()),
        (CaseState.FINAL, [D.SENT, D.SENT], False, 0, (CaseMove.DELIVER,)),
        (CaseState.FINAL, [D.OPENED, D.SENT], True, 0, (CaseMove.DELIVER, CaseMove.RECEIPT, CaseMove.CLOSE)),
        (CaseState.FINAL, [D.OPENED, D.SENT], True, 1, (CaseMove.DELIVER, CaseMove.RECEIPT)),
        (CaseState.FINAL, [D.OPENED, D.RECALLED], True, 0, (CaseMove.DELIVER, CaseMove.RECEIPT, CaseMove.CLOSE)),
        (CaseState.FINAL, [], True, 0, ()),
        (CaseState.RECEIPTED, [D.OPENED], True, 0, (CaseMove.CLOSE,)),
        (CaseState.READING, [D.OPENED], True, 0, ()),
    ],
)
def test_a_finished_case_settles_as_far_as_it_can(
    state: CaseState, deliveries: list[D], opened: bool, alerts: int, moves: tuple[CaseMove, ...]
) -> None:
    found = lifecycle.settle(state, deliveries, opened, alerts)
    assert found == moves
    lifecycle.fold(CASE, state, found)
