"""Work in processes side by side: in order, whatever dies."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from functools import partial
from multiprocessing import util

import pytest

from portal.workers import in_order


def make() -> Callable[[int], str]:
    return work


def work(task: int) -> str:
    """Odd ones take longer than the even ones after them; 13 dies, 17 never ends."""
    if task == 13:
        os.kill(os.getpid(), signal.SIGKILL)
    if task == 17:
        time.sleep(60)
    time.sleep(0.02 if task % 2 else 0.0)
    return f"done {task}"


def lost(task: int, why: str) -> str:
    return f"{why} {task}"


def test_results_come_in_the_order_of_the_tasks() -> None:
    assert list(in_order(range(12), make, lost, 3)) == [f"done {n}" for n in range(12)]


def test_a_process_that_dies_costs_its_own_task_only() -> None:
    wanted = [f"done {n}" if n != 13 else "died 13" for n in range(20) if n != 17]
    assert list(in_order([n for n in range(20) if n != 17], make, lost, 2)) == wanted


def test_a_task_that_never_ends_is_given_up() -> None:
    began = time.monotonic()
    assert list(in_order([17, 1, 2], make, lost, 2, longest_s=3.0)) == ["too_long 17", "done 1", "done 2"]
    assert time.monotonic() - began < 20


def test_nothing_to_do_is_nothing() -> None:
    assert list(in_order([], make, lost, 2)) == []


def test_tasks_are_taken_only_a_little_ahead() -> None:
    taken: list[int] = []

    def tasks(n: int) -> int:
        taken.append(n)
        return n

    results = in_order(map(tasks, range(1000)), partial(make), lost, 1)
    assert next(results) == "done 0" and len(taken) < 100
    results.close()


def test_a_temporary_folder_with_a_long_name_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(util, "get_temp_dir", lambda: "/tmp/" + "x" * 120)
    assert list(in_order([1, 2, 3], make, lost, 2)) == ["done 1", "done 2", "done 3"]
