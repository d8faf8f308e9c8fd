"""Films and ECGs are read in lanes of their own: each handler takes its kind and loads nothing of the other's."""

from __future__ import annotations

from typing import Any, cast

import pytest

from center.errors import Unavailable
from center.identity import ClinicId
from center.jobs import Job
from inference.reads import ReadingRoom


class Inputs:
    """Says which kind a study is of; loading it is away."""

    def __init__(self, kind: str) -> None:
        self._kind = kind

    def kind(self, clinic_id: ClinicId, study_uid: str) -> str:
        return self._kind

    def of(self, clinic_id: ClinicId, study_uid: str) -> Any:
        raise Unavailable("不在", "away")


@pytest.mark.parametrize(("kind", "lane"), [("ecg", "read_ecg"), ("film", "read_study")])
def test_each_lane_reads_its_own_kind_only(kind: str, lane: str) -> None:
    nothing = cast(Any, None)
    room = ReadingRoom(nothing, cast(Any, Inputs(kind)), {}, nothing)
    job = Job(1, ClinicId("shigou"), f"inference.{lane}", "k", {"study_uid": "1.2"}, 1)
    with pytest.raises(Unavailable):
        getattr(room, lane)(job)
    other = {"read_ecg": "read_study", "read_study": "read_ecg"}[lane]
    getattr(room, other)(job)
