"""Tasks -> their results, in the order given, each done in a process that may die without harming the others."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import util
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from time import monotonic
from typing import Any, Final, Generic, TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")

LONGEST_S: Final = 1800.0
"""A task that takes longer is given up: a day of three leads is read in under a minute."""
_LONGEST_FOLDER: Final = 80  # the fork server's socket lies in it, and a socket's path has at most 107 bytes
_AHEAD: Final = 32  # results kept for each worker while an earlier one is still on its way


@dataclass(slots=True)
class _Worker(Generic[Task]):
    process: BaseProcess
    pipe: Connection
    number: int = -1
    since: float = 0.0
    task: Task | None = None


def in_order(
    tasks: Iterable[Task],
    make: Callable[[], Callable[[Task], Result]],
    lost: Callable[[Task, str], Result],
    jobs: int,
    *,
    longest_s: float = LONGEST_S,
    preload: Sequence[str] = (),
) -> Iterator[Result]:
    """One result a task.  make: called once in each process, gives what does the work (both must be picklable).

    lost: the result of a task whose process died (``died``) or that took too long (``too_long``).
    preload: modules that are imported once for all processes, where the system can.
    """
    waiting, done = enumerate(tasks), dict[int, Result]()
    workers: list[_Worker[Task]] = []
    context = _context(preload)
    printed, more = 0, True
    try:
        while more or done or any(w.task is not None for w in workers):
            while (
                more
                and (free := _free(workers, context, make, jobs)) is not None
                and _given(workers, done) < jobs * _AHEAD
            ):
                following = next(waiting, None)
                if following is None:
                    more = False
                    break
                free.number, free.task, free.since = *following, monotonic()
                _send(free)
            for worker, answer in _answered(workers, longest_s):
                assert worker.task is not None
                done[worker.number] = lost(worker.task, answer) if isinstance(answer, str) else answer[0]
                worker.task = None
            while printed in done:
                yield done.pop(printed)
                printed += 1
    finally:
        for worker in workers:
            _end(worker)


def _given(workers: list[_Worker[Task]], done: Mapping[int, object]) -> int:
    return len(done) + sum(w.task is not None for w in workers)


def _context(preload: Sequence[str]) -> Any:
    """How processes begin: never as a copy of this one, whose threads would be left half done in it."""
    if os.name != "posix" or len(util.get_temp_dir()) > _LONGEST_FOLDER:
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["__main__", *preload])
    return context


def _free(workers: list[_Worker[Task]], context: Any, make: Callable[[], Any], jobs: int) -> _Worker[Task] | None:
    """A worker that has nothing to do, a new one while there are fewer than ``jobs``; None when all are at work."""
    for worker in workers:
        if worker.task is None:
            return worker
    if len(workers) >= jobs:
        return None
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, make), daemon=True)
    process.start()
    theirs.close()
    workers.append(_Worker(process, ours))
    return workers[-1]


def _send(worker: _Worker[Any]) -> None:
    with suppress(OSError):  # it died meanwhile: its pipe says so when it is waited for
        worker.pipe.send(worker.task)


def _answered(workers: list[_Worker[Task]], longest_s: float) -> Iterator[tuple[_Worker[Task], tuple[Any] | str]]:
    """Who has ended a task: (result,), ``died`` or ``too_long``; the last two are no longer among the workers."""
    busy = [w for w in workers if w.task is not None]
    if not busy:
        return
    soonest = min(w.since for w in busy) + longest_s - monotonic()
    ready = wait([w.pipe for w in busy], timeout=max(0.0, soonest))
    for worker in busy:
        if worker.pipe in ready:
            try:
                yield worker, (worker.pipe.recv(),)
                continue
            except (EOFError, OSError):
                answer = "died"
        elif monotonic() - worker.since < longest_s:
            continue
        else:
            answer = "too_long"
        workers.remove(worker)
        _end(worker)
        yield worker, answer


def _end(worker: _Worker[Any]) -> None:
    worker.pipe.close()
    worker.process.kill()
    worker.process.join(timeout=5.0)


def _serve(pipe: Connection, make: Callable[[], Callable[[Any], Any]]) -> None:
    """One process: a task in, its result out, until the pipe closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C is the parent's, which ends this process
    work = make()
    with suppress(EOFError, OSError):
        while True:
            pipe.send(work(pipe.recv()))
