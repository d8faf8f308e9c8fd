"""A machine that fails on an ECG, dies over it or takes too long sends the case up; a film's failure changes no order."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime
from typing import Any, Literal

import pytest

from center.clock import HeldClock
from center.database import Database
from center.errors import NotFound, Unavailable
from center.identity import ClinicId
from center.jobs import Job
from center.ports import StoredRead
from center.reads import Abstention, ModelInput, Outcome, PreliminaryRead, Reason, Tier
from inference import reads
from inference.reads import LAST_TRY, TRIES, Reader, ReadingRoom
from inference.store import ReadStore

SHIGOU = ClinicId("shigou")
CALM = Reason("unreadable_signal", "读不了。", "It can't be decoded.")


class Inputs:
    """A study of one kind, whose input is this, or which breaks so when it is asked for."""

    def __init__(self, kind: Literal["ecg", "film"], given: ModelInput | Abstention | Exception | None = None) -> None:
        self._kind: Literal["ecg", "film"] = kind
        self._given = given if given is not None else ModelInput(kind, "1.2", ("1.2.3",), "digest")

    def kind(self, clinic_id: ClinicId, study_uid: str) -> str:
        return self._kind

    def of(self, clinic_id: ClinicId, study_uid: str) -> ModelInput | Abstention:
        if isinstance(self._given, Exception):
            raise self._given
        return self._given


def _room(database: Database, inputs: Inputs, reader: Reader) -> ReadingRoom:
    return ReadingRoom(database, inputs, {"ecg": reader, "film": reader}, HeldClock(datetime(2026, 1, 2, tzinfo=UTC)))


def _job(attempts: int = 1) -> Job:
    return Job(1, SHIGOU, "inference.read_ecg", "k", {"study_uid": "1.2"}, attempts)


def _kept(database: Database) -> list[StoredRead]:
    return list(ReadStore(database).of(SHIGOU, "1.2"))


def _goes_up(read: PreliminaryRead) -> bool:
    return (
        read.kind == "ecg"
        and read.outcome is Outcome.ABSTAINED
        and read.tier is Tier.ORANGE
        and [f.key for f in read.critical_findings] == ["critical:machine_failed"]
        and read.reason is not None
    )


def _breaks(given: ModelInput) -> PreliminaryRead:
    raise MemoryError


def _calm(given: ModelInput) -> PreliminaryRead:
    return PreliminaryRead(given.kind, "helan_ecg", "1", given.input_digest, Outcome.READ)


def test_a_reader_that_breaks_each_time_sends_the_ecg_up(database: Database, clinics: tuple[str, ...]) -> None:
    room = _room(database, Inputs("ecg"), _breaks)
    for attempt in range(1, TRIES):
        with pytest.raises(MemoryError):
            room.read_ecg(_job(attempt))
    room.read_ecg(_job(TRIES))
    assert [_goes_up(kept.read) for kept in _kept(database)] == [True]


def test_a_film_whose_model_breaks_changes_no_order(database: Database, clinics: tuple[str, ...]) -> None:
    _room(database, Inputs("film"), _breaks).read_study(_job(TRIES))
    (kept,) = _kept(database)
    assert (kept.read.tier, kept.read.critical_findings) == (None, ())


def test_an_ecg_that_cannot_be_decoded_goes_up(database: Database, clinics: tuple[str, ...]) -> None:
    _room(database, Inputs("ecg", Abstention(CALM)), _calm).read_ecg(_job())
    (kept,) = _kept(database)
    assert _goes_up(kept.read) and kept.read.reason == CALM


@pytest.mark.parametrize("error", [NotFound("没有", "not there"), Unavailable("不在", "away"), KeyError("x")])
def test_what_cannot_be_got_at_goes_up_after_some_tries_and_is_still_tried(
    error: Exception, database: Database, clinics: tuple[str, ...]
) -> None:
    room = _room(database, Inputs("ecg", error), _calm)
    for attempt in range(1, TRIES + 3):
        assert bool(_kept(database)) == (attempt > TRIES + 1)
        with pytest.raises(type(error)):
            room.read_ecg(_job(attempt))
    assert [_goes_up(kept.read) for kept in _kept(database)] == [True]
    _room(database, Inputs("ecg"), _calm).read_ecg(_job(TRIES + 3))
    assert {kept.read.outcome for kept in _kept(database)} == {Outcome.ABSTAINED, Outcome.READ}


def test_an_ecg_whose_reading_kills_the_process_goes_up_and_is_given_up_at_last(
    database: Database, clinics: tuple[str, ...]
) -> None:
    """A killed process leaves nothing but a job that was claimed once more: it is told before the next try."""

    def killed(given: ModelInput) -> PreliminaryRead:
        raise SystemExit

    room = _room(database, Inputs("ecg"), killed)
    with pytest.raises(SystemExit):
        room.read_ecg(_job(TRIES + 1))
    assert [_goes_up(kept.read) for kept in _kept(database)] == [True]
    room.read_ecg(_job(LAST_TRY + 1))  # not read again: the ECGs behind it wait no longer
    assert len(_kept(database)) == 1


def test_a_read_that_takes_too_long_goes_up_while_it_goes_on(
    database: Database, clinics: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reads, "LATE_S", 0.05)
    told: list[bool] = []

    def slow(given: ModelInput) -> PreliminaryRead:
        until = time.monotonic() + 10
        while not _kept(database) and time.monotonic() < until:
            threading.Event().wait(0.02)
        told.append(any(_goes_up(kept.read) for kept in _kept(database)))
        return _calm(given)

    _room(database, Inputs("ecg"), slow).read_ecg(_job())
    assert told == [True]
    assert len(_kept(database)) == 2


def test_a_read_in_time_goes_nowhere(database: Database, clinics: tuple[str, ...]) -> None:
    _room(database, Inputs("ecg"), _calm).read_ecg(_job())
    assert [kept.read.outcome for kept in _kept(database)] == [Outcome.READ]


def test_the_events_of_what_goes_up_go_before_all_else(emptied: dict[str, Any], clinics: tuple[str, ...]) -> None:
    database = Database(emptied["helan_service"], {"PreliminaryReadMade": ("worklist.on_read",)})
    _room(database, Inputs("ecg", Abstention(CALM)), _calm).read_ecg(_job())
    from center.identity import SYSTEM

    with database.transaction(SYSTEM) as work:
        rows = work.all("select payload, priority from center.job where handler = 'worklist.on_read'")
    database.close()
    assert [row["payload"]["critical"] for row in rows] == [1]
    assert rows[0]["priority"] > 0
