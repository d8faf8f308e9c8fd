"""Studies as the other rooms know them (port ``StudyIndex``), their bytes, and putting right a wrong identity."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from center.codes import service_of
from center.database import Database
from center.errors import Invalid, NotFound
from center.events import IdentityCorrected
from center.identity import Actor, ClinicId
from center.patients import is_placeholder
from center.permits import Act, Thing, permit
from center.pinyin import search_key
from center.ports import Clock, Identifiers, InstanceRef, StudySummary
from dicom_gateway.contents import Contents
from dicom_gateway.store import QUERIES, reference_of, summary_of

MAX_INSTANCES = 20_000


class Index:
    """Reads with row security of the one who asks; changes only whose a study is."""

    def __init__(self, database: Database, contents: Contents, clock: Clock, identifiers: Identifiers) -> None:
        self._database = database
        self._contents = contents
        self._clock = clock
        self._identifiers = identifiers

    def summary(self, actor: Actor, clinic_id: ClinicId, study_uid: str) -> StudySummary:
        """Raises NotFound."""
        found = self._summaries(actor, clinic_id, study=study_uid, limit=1)
        if not found:
            raise _no_study()
        return found[0]

    def instances(self, actor: Actor, clinic_id: ClinicId, study_uid: str) -> Sequence[InstanceRef]:
        """In reading order: by series and instance number."""
        with self._database.transaction(actor, actor.clinics & {clinic_id}) as work:
            rows = work.all(QUERIES["instances"], clinic=clinic_id, study=study_uid, limit=MAX_INSTANCES)
        return [reference_of(row) for row in rows]

    def priors(self, actor: Actor, clinic_id: ClinicId, study_uid: str, limit: int = 20) -> Sequence[StudySummary]:
        """Other studies of the same patient at the same clinic, latest first; none for a placeholder id."""
        study = self.summary(actor, clinic_id, study_uid)
        if is_placeholder(study.patient.local_id):
            return []
        return self._summaries(actor, clinic_id, patient=study.patient.patient_id, besides=study_uid, limit=limit)

    def recent(self, actor: Actor, clinic_id: ClinicId, limit: int = 50) -> Sequence[StudySummary]:
        return self._summaries(actor, clinic_id, limit=min(limit, 500))

    def read_bytes(self, actor: Actor, clinic_id: ClinicId, sop_uid: str) -> bytes:
        """A whole instance as a Part 10 file, wherever its bytes are.  Raises NotFound, Unavailable."""
        with self._database.transaction(actor, actor.clinics & {clinic_id}) as work:
            row = work.one(QUERIES["held_instance"], clinic=clinic_id, sop=sop_uid)
        if row is None:
            raise NotFound("没有找到该影像。", "There is no such instance.", {"sop": sop_uid})
        return self._contents.read(row["sha256"])

    def correct_identity(
        self,
        actor: Actor,
        clinic_id: ClinicId,
        study_uid: str,
        *,
        local_id: str,
        name: str,
        sex: str,
        birth_date: date | None,
        reason: str,
    ) -> int:
        """The study belongs to this patient from now on; how often it was put right. Its bytes stay as they came.

        A patient of this number and another name is an error: the right one is chosen, not written over.
        Raises NotFound, Forbidden, Invalid.
        """
        study = self.summary(actor, clinic_id, study_uid)
        permit(actor, Act.IDENTITY_CORRECT, Thing(clinic_id, service_of(study.modalities)))
        local_id, name = local_id.strip()[:64], name.strip()[:200]
        if is_placeholder(local_id) or not name or not reason.strip():
            raise Invalid(
                "请填写门诊号、姓名和更正原因。",
                "Fill in the patient's number, the name and the reason of the correction.",
            )
        now = self._clock.now()
        with self._database.transaction(actor, actor.clinics & {clinic_id}) as work:
            person = {
                "name": name, "person_name": name, "pinyin": search_key(name),
                "sex": sex.upper()[:1], "birth_date": birth_date,
            }  # fmt: skip
            row = work.one(
                QUERIES["put_patient"], clinic=clinic_id, patient=self._identifiers.new(), local_id=local_id,
                placeholder=False, now=now, **person,
            )  # fmt: skip
            if row is None:
                row = work.one(QUERIES["known_patient"], clinic=clinic_id, local_id=local_id)
                assert row is not None
                if row["patient_id"] == study.patient.patient_id:
                    work.run(QUERIES["change_patient"], clinic=clinic_id, patient=row["patient_id"], **person)
                elif row["name"] and row["name"] != name:
                    raise Invalid(
                        "该门诊号已属于另一姓名的患者，请核对。",
                        "This number belongs to a patient of another name; check it.",
                        {"local_id": local_id},
                    )
            changed = work.one(
                QUERIES["correct_identity"], clinic=clinic_id, study=study_uid, patient=row["patient_id"]
            )
            assert changed is not None
            number = changed["corrections"]
            work.audit(
                Act.IDENTITY_CORRECT, f"study:{study_uid}", clinic_id=clinic_id, reason=reason.strip()[:500],
                from_patient=study.patient.patient_id, to_patient=row["patient_id"], number=number,
            )  # fmt: skip
            work.emit(IdentityCorrected(clinic_id, study_uid, number))
        return number

    def _summaries(
        self,
        actor: Actor,
        clinic_id: ClinicId,
        *,
        study: str | None = None,
        patient: str | None = None,
        besides: str = "",
        limit: int,
    ) -> list[StudySummary]:
        with self._database.transaction(actor, actor.clinics & {clinic_id}) as work:
            rows = work.all(
                QUERIES["summaries"],
                clinic=clinic_id, study=study, patient=patient, besides=besides, limit=limit,
            )  # fmt: skip
        return [summary_of(row) for row in rows]


def _no_study() -> NotFound:
    return NotFound("没有找到该检查，或不在您的范围内。", "There is no such study, or it is not within your reach.")
