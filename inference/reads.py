"""A queued read -> PreliminaryRead or Abstention, kept once, told as an event. A case never waits for it."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from center import faults, observe
from center.database import Database
from center.errors import Failure, Unavailable
from center.events import PreliminaryReadMade
from center.identity import ClinicId, system_for
from center.jobs import Job
from center.ports import Clock, ModelInputs
from center.reads import Abstention, ModelInput, Outcome, PreliminaryRead, Reason, ecg_not_read
from inference import store

log = observe.log("inference")

#: One reader a kind of input: wiring's table (film: ours; ecg: the heart room's).
Reader = Callable[[ModelInput], PreliminaryRead]
#: After so many tries a model that fails is answered by "no preliminary read: it failed" (MODELS.md section 4).
TRIES = 3
#: An ECG's read that failed or died so often is not tried again: it must not hold up the ECGs behind it for ever.
LAST_TRY = 10
#: A strip takes under a second, a day of three leads under a minute: what takes longer is sent up while it goes on.
LATE_S, LATE_LONG_S = 60.0, 900.0
_NAMESPACE = uuid.UUID("6f0c2a5e-3a42-5a0e-9c5d-0c6f7d1b9a11")
_FAILED = Reason("model_failed", "AI 初读失败。请直接阅片。", "The model failed. Please read without it.")
_ECG_FAILED = Reason(
    "model_failed",
    "机器没有读成这份心电图：请立即人工阅图。",
    "The machine did not manage to read this ECG: look now.",
)
_ECG_LATE = Reason(
    "model_late",
    "机器读这份心电图过久，仍在进行：请先人工阅图。",
    "The machine is taking too long over this ECG and goes on: look now.",
)
_NO_MODEL = Reason("no_model", "没有适用的模型。请直接阅片。", "No model fits. Please read without it.")


class ReadingRoom:
    """Runs the queued reads of one inference process."""

    def __init__(self, database: Database, inputs: ModelInputs, readers: Mapping[str, Reader], clock: Clock) -> None:
        self._database = database
        self._inputs = inputs
        self._readers = dict(readers)
        self._clock = clock
        self._seconds = observe.histogram("helan_inference_read_seconds", "Time of one preliminary read", ("kind",))
        self._outcomes = observe.counter("helan_inference_reads_total", "Preliminary reads", ("kind", "outcome"))

    def read_study(self, job: Job) -> None:
        """Handler on CaseOpened and CaseExtended: all but ECGs.  Raises Unavailable when the study can't be got at."""
        if self._inputs.kind(job.clinic_id, str(job.payload["study_uid"])) != "ecg":
            self._read_job(job)

    def read_ecg(self, job: Job) -> None:
        """The same for ECGs, in a lane of their own: a film takes seconds, a critical value has none to lose."""
        study_uid = str(job.payload["study_uid"])
        if self._inputs.kind(job.clinic_id, study_uid) != "ecg":
            return
        if job.attempts > TRIES:  # it failed, was killed or could not be got at: a person looks before the next try
            self._send_up(job.clinic_id, study_uid, _ECG_FAILED)
        if job.attempts <= LAST_TRY:
            self._read_job(job, is_ecg=True)

    def _send_up(self, clinic_id: ClinicId, study_uid: str, reason: Reason) -> None:
        """The machine owes this ECG its read: told as urgently as a critical value, once."""
        self._keep(clinic_id, study_uid, ecg_not_read("none", "0", reason.code, reason), ())

    def _send_up_late(self, clinic_id: ClinicId, study_uid: str) -> None:
        try:
            self._send_up(clinic_id, study_uid, _ECG_LATE)
        except Exception as error:  # a timer's thread has nobody above it
            log.error("read.late_not_told", exc=error)

    @contextmanager
    def _watched(self, given: ModelInput, job: Job, study_uid: str) -> Iterator[None]:
        """A read of an ECG that lasts too long is sent up while it goes on."""
        if given.kind != "ecg":
            yield
            return
        late_s = LATE_S if given.long is None else LATE_LONG_S
        timer = threading.Timer(late_s, self._send_up_late, (job.clinic_id, study_uid))
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _read_job(self, job: Job, *, is_ecg: bool = False) -> None:
        study_uid = str(job.payload["study_uid"])
        given = self._inputs.of(job.clinic_id, study_uid)
        if isinstance(given, Abstention):
            read, sops = _without_input(given.reason, is_ecg=is_ecg), ()
        else:
            with self._watched(given, job, study_uid):
                read, sops = self._read(given, job), given.sop_instance_uids
        faults.point("inference.mid_read")
        self._keep(job.clinic_id, study_uid, read, sops)

    def _read(self, given: ModelInput, job: Job) -> PreliminaryRead:
        reader = self._readers.get(given.kind)
        if reader is None:
            return _abstained(given, _NO_MODEL)
        began = time.monotonic()
        try:
            read = reader(given)
        except Unavailable:
            raise
        except Exception as error:
            if job.attempts < TRIES and not isinstance(error, Failure):
                raise
            log.error("read.failed", exc=error, kind=given.kind, job=job.id)
            read = _abstained(given, _FAILED)
        self._seconds.labels(given.kind).observe(time.monotonic() - began)
        self._outcomes.labels(read.kind, str(read.outcome)).inc()
        return read

    def _keep(self, clinic_id: ClinicId, study_uid: str, read: PreliminaryRead, sops: tuple[str, ...]) -> None:
        key = f"{clinic_id}:{study_uid}:{read.model}:{read.version}:{read.input_digest}"
        made = PreliminaryReadMade(
            clinic_id,
            study_uid,
            read.model,
            read.version,
            read.input_digest,
            str(read.outcome),
            len(read.critical_findings),
        )
        with self._database.transaction(system_for(clinic_id)) as work:
            if store.keep(work, clinic_id, str(uuid.uuid5(_NAMESPACE, key)), study_uid, read, sops, self._clock.now()):
                work.audit(
                    "read:make", f"study:{study_uid}", clinic_id=clinic_id, model=read.model, version=read.version,
                    outcome=str(read.outcome),
                )  # fmt: skip
                work.emit(made)


def _without_input(reason: Reason, *, is_ecg: bool) -> PreliminaryRead:
    """Nothing that a model could read: filed under no model's name.  An ECG that can't be decoded is looked at now."""
    if is_ecg:
        return ecg_not_read("none", "0", "", reason)
    return PreliminaryRead("film", "none", "0", "", Outcome.ABSTAINED, reason)


def _abstained(given: ModelInput, reason: Reason) -> PreliminaryRead:
    if given.kind == "ecg":
        return ecg_not_read("none", "0", given.input_digest, _ECG_FAILED)
    return PreliminaryRead(given.kind, "none", "0", given.input_digest, Outcome.ABSTAINED, reason)
