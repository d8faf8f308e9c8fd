"""Studies as the other rooms know them (port ``StudyIndex``), their bytes, and putting right a wrong identity."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from center.codes import service_of
from center.database import Database, Work
from center.errors import Invalid, NotFound
from center.events import IdentityCorrected
from center.identity import Actor, ClinicId
from center.patients import Description, differences, is_placeholder
from center.permits import Act, Thing, permit
from center.pinyin import search_key
from center.ports import Clock, Identifiers, InstanceRef, StudySummary
from dicom_gateway import persons
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
        found = self._summaries(actor, clinic_id, patient=study.patient.patient_id, besides=study_uid, limit=limit)
        return [prior for prior in found if _linked(study, prior)]

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
        person = {
            "local_id": local_id, "name": name, "person_name": name, "pinyin": search_key(name),
            "sex": sex.upper()[:1], "birth_date": birth_date,
        }  # fmt: skip
        with self._database.transaction(actor, actor.clinics & {clinic_id}) as work:
            patient = self._patient(work, study, person)
            changed = work.one(
                QUERIES["correct_identity"], clinic=clinic_id, study=study_uid, patient=patient, **person
            )
            assert changed is not None
            number = changed["corrections"]
            work.audit(
                Act.IDENTITY_CORRECT, f"study:{study_uid}", clinic_id=clinic_id, reason=reason.strip()[:500],
                from_patient=study.patient.patient_id, to_patient=patient, number=number,
            )  # fmt: skip
            work.emit(IdentityCorrected(clinic_id, study_uid, number))
            numbers = [study.patient.local_id, local_id]
            persons.tell_namesakes(work, clinic_id, study_uid, patient, numbers, number)
        return number

    def _patient(self, work: Work, study: StudySummary, person: persons.Person) -> str:
        """The row of the person whom the clinic names: one of this number's, or a new one.  Raises Invalid."""
        clinic, same_number = study.clinic_id, person["local_id"] == study.patient.local_id
        asked = {"clinic": clinic, "local_id": person["local_id"], "study": study.study_uid}
        said = persons.description(person)
        rows = work.all(QUERIES["persons_of_number"], **asked)
        fits = any(not differences(persons.description(r), said) for r in rows)
        if not fits and not same_number and any(r["in_use"] and r["name"] for r in rows):
            raise Invalid(
                "该门诊号已属于另一姓名、出生日期或性别的患者，请核对。",
                "This number belongs to a patient of another name, birth date or sex; check it.",
                {"local_id": person["local_id"]},
            )
        own = next((r for r in rows if r["patient_id"] == study.patient.patient_id and not r["in_use"]), None)
        if own is not None and not fits:  # nobody else's row: it follows
            work.run(
                QUERIES["change_patient"], clinic=clinic, patient=own["patient_id"],
                **{k: person[k] for k in persons.FIELDS},
            )  # fmt: skip
            return own["patient_id"]
        row, _ = persons.patient_row(work, clinic, study.study_uid, person, self._identifiers, self._clock.now())
        return row["patient_id"]

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


def _linked(study: StudySummary, prior: StudySummary) -> bool:
    """The two are of one person as far as anyone can tell: where a number has several people, both must be named."""
    one, other = study.patient, prior.patient
    if any(o.source == "images" for o in (*study.others, *prior.others)):
        return False  # which of the people in it the study is of is open
    if (study.others or prior.others) and not (one.name and other.name):
        return False
    # Their names fit their one row; a birth date that came to it later may not.
    return not differences(Description("", one.birth_date, one.sex), Description("", other.birth_date, other.sex))


def _no_study() -> NotFound:
    return NotFound("没有找到该检查，或不在您的范围内。", "There is no such study, or it is not within your reach.")
