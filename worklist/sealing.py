"""The seal: the center's time-stamp after the signature, as a second object; once, whenever the worker dies."""

from __future__ import annotations

import hashlib
import io

from center import faults, observe
from center.events import ReportSealed
from center.identity import CaseId, system_for
from center.jobs import Job
from worklist import store
from worklist.lifecycle import ReportState
from worklist.parts import Parts
from worklist.store import SQL

log = observe.log("worklist")


def seal(parts: Parts, job: Job) -> None:
    """On ReportSigned: stamps the signed bytes, keeps them, and says ReportSealed in the commit that names them.

    A version withdrawn meanwhile is sealed for the record, but nobody is told to file or send it.
    """
    clinic, case_id, number = job.clinic_id, CaseId(str(job.payload["case_id"])), int(job.payload["version"])
    with parts.database.transaction(system_for(clinic)) as work:
        found = store.version(work, clinic, case_id, number)
    if found.sealed_sha256:
        return
    signed = b"".join(parts.objects.open_range(found.pdf_sha256))
    faults.point("report.before_stamp")
    sealed = parts.sealer.stamp(signed)
    sha256 = hashlib.sha256(sealed).hexdigest()
    parts.objects.put(sha256, io.BytesIO(sealed), len(sealed))
    with parts.database.transaction(system_for(clinic)) as work:
        now_is = store.version(work, clinic, case_id, number, locked=True)
        if now_is.sealed_sha256:  # another run of this job was quicker
            return
        work.run(SQL["seal_version"], clinic_id=clinic, case_id=case_id, n=number, sealed=sha256, now=parts.clock.now())
        work.run(SQL["keep_object"], sha256=sha256, bytes=len(sealed))
        work.audit("report:sealed", f"case:{case_id}", clinic_id=clinic, version=number, sealed_sha256=sha256)
        if now_is.status is not ReportState.WITHDRAWN:
            work.emit(ReportSealed(clinic, case_id, found.study_uid, number))
    log.info("report.sealed", case=case_id, version=number)
