"""Jobs that failed again and again, as people read them: which study and case, what was to be done, and why it was not."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from center import stuck
from center.stuck import StuckJob

if TYPE_CHECKING:
    from portal.parts import Parts

#: Case numbers and studies of what jobs name: (cases, studies, deliveries) -> rows of ``Worklist.cases_about``.
CasesAbout = Callable[[Sequence[str], Sequence[str], Sequence[str]], Sequence[Mapping[str, Any]]]
StudiesHolding = Callable[[Sequence[str]], Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class NamedJob:
    """case_no and study_uid: "" where it is about none, or not yet."""

    job: StuckJob
    case_no: str
    study_uid: str

    def as_json(self) -> dict[str, object]:
        """For programs: ids, both sentences, no patient."""
        job = self.job
        return {
            "job": job.id, "handler": job.handler, "state": "dead" if job.is_dead else "failing",
            "clinic": job.clinic_id, "case_no": self.case_no, "case_id": job.subject.get("case_id", ""),
            "study_uid": self.study_uid, "attempts": job.attempts, "since": job.since.isoformat(),
            "failure": job.error, "zh": job.zh, "en": job.en, "at": job.at,
        }  # fmt: skip


def named(parts: Parts, limit: int = stuck.LIMIT) -> list[NamedJob]:
    """The oldest first.  Raises Unavailable."""
    jobs = stuck.listed(parts.database, limit)
    if not jobs:
        return []
    clinics = [c["clinic_id"] for c in parts.accounts.clinics()]
    held = parts.gateway.studies_holding(clinics, _all(jobs, "sha256"))
    studies = {*_all(jobs, "study_uid"), *held.values()}
    about = parts.worklist.cases_about(
        clinics, cases=_all(jobs, "case_id"), studies=sorted(studies), deliveries=_all(jobs, "delivery_id")
    )
    return [_named(job, held, about) for job in jobs]


def _all(jobs: Sequence[StuckJob], name: str) -> list[str]:
    return sorted({job.subject[name] for job in jobs if name in job.subject})


def _named(job: StuckJob, held: Mapping[str, str], about: Sequence[Mapping[str, Any]]) -> NamedJob:
    study = job.subject.get("study_uid") or held.get(job.subject.get("sha256", ""), "")
    for row in about:
        if (
            row["case_id"] == job.subject.get("case_id")
            or (row["delivery_id"] and row["delivery_id"] == job.subject.get("delivery_id"))
            or (study and row["study_uid"] == study)
        ):
            return NamedJob(job, row["case_no"], study or row["study_uid"])
    return NamedJob(job, "", study)
