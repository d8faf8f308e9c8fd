"""What our results are called: a UID follows from what an object means, so made again it's the same one."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from center.reads import PreliminaryRead

_NAMESPACE = uuid.UUID("b5a0d6c2-7d0e-5d5c-9d3b-5f7c0a6f9b21")


@dataclass(frozen=True, slots=True)
class ResultUids:
    """Series and instance of a result."""

    series: str
    instance: str


def uid_of(*meaning: object) -> str:
    """2.25.<name-based UUID> of what an object means."""
    return f"2.25.{uuid.uuid5(_NAMESPACE, '|'.join(str(part) for part in meaning)).int}"


def read_uids(clinic_id: str, study_uid: str, read: PreliminaryRead) -> ResultUids:
    series = uid_of("read-series", clinic_id, study_uid, read.model)
    return ResultUids(series, uid_of("read", clinic_id, study_uid, read.model, read.version, read.input_digest))


def median_uids(clinic_id: str, study_uid: str, read: PreliminaryRead) -> ResultUids:
    series = uid_of("median-series", clinic_id, study_uid, read.model)
    return ResultUids(series, uid_of("median", clinic_id, study_uid, read.model, read.version, read.input_digest))


def report_uids(clinic_id: str, study_uid: str, case_id: str, version: int) -> ResultUids:
    series = uid_of("report-series", clinic_id, study_uid)
    return ResultUids(series, uid_of("report", clinic_id, study_uid, case_id, version))
