"""Logs as events with fields, and metrics with closed label sets. Never a patient's name, number or text."""

from __future__ import annotations

import json
import logging
import sys
import warnings
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from prometheus_client import REGISTRY, Counter, Gauge, Histogram


class Log:
    """Writes ``event field=value`` lines of one room."""

    def __init__(self, room: str) -> None:
        self._logger = logging.getLogger(f"helan.{room}")

    def info(self, event: str, **fields: Any) -> None:
        self._logger.info(event, extra={"fields": fields})

    def warning(self, event: str, **fields: Any) -> None:
        self._logger.warning(event, extra={"fields": fields})

    def error(self, event: str, *, exc: BaseException | None = None, **fields: Any) -> None:
        """``exc`` gives the trace's places and the error's class, not its text: that can hold a patient's data."""
        if exc is not None:
            fields = {**fields, "error": type(exc).__name__, "at": places(exc)}
        self._logger.error(event, extra={"fields": fields})


def log(room: str) -> Log:
    return Log(room)


def places(exc: BaseException) -> str:
    """Where it was raised and through which lines it came: files and lines only."""
    frames: list[str] = []
    trace = exc.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        frames.append(f"{code.co_filename.rsplit('/', 1)[-1]}:{trace.tb_lineno}")
        trace = trace.tb_next
    return ">".join(frames[-6:])


class _Lines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        fields = getattr(record, "fields", {})
        words = " ".join(f"{k}={json.dumps(v, ensure_ascii=False, default=str)}" for k, v in fields.items())
        at = datetime.fromtimestamp(record.created, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        text = record.getMessage() if hasattr(record, "fields") or record.name.startswith("helan") else record.name
        return f"{at} {record.levelname.lower()} {text} {words}".rstrip()


def start_logging(process: str) -> None:
    """Lines to standard error; foreign libraries' texts and warnings are left out, since they quote data sets."""
    warnings.simplefilter("ignore")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Lines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("helan").setLevel(logging.INFO)
    logging.getLogger("helan").info("process.started", extra={"fields": {"process": process}})


def counter(name: str, help_text: str, labels: Sequence[str] = ()) -> Counter:
    return _once(name, lambda: Counter(name, help_text, labels))


def gauge(name: str, help_text: str, labels: Sequence[str] = ()) -> Gauge:
    return _once(name, lambda: Gauge(name, help_text, labels))


def histogram(name: str, help_text: str, labels: Sequence[str] = ()) -> Histogram:
    return _once(name, lambda: Histogram(name, help_text, labels))


_MADE: dict[str, Any] = {}


def _once(name: str, make: Any) -> Any:
    if name not in _MADE:
        _MADE[name] = make()
    return _MADE[name]


registry = REGISTRY
