"""Who acts: persons, programs and the system itself, with their clinics, roles, agreements and licences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NewType

from center.codes import Role, Service

ClinicId = NewType("ClinicId", str)
PersonId = NewType("PersonId", str)
CaseId = NewType("CaseId", str)
LeaseToken = NewType("LeaseToken", str)


@dataclass(frozen=True, slots=True)
class Membership:
    """One role of a person at one clinic."""

    clinic_id: ClinicId
    role: Role


@dataclass(frozen=True, slots=True)
class Reading:
    """An agreement in force that lets a reader of ``reading_clinic`` read ``service`` for ``requesting_clinic``."""

    requesting_clinic: ClinicId
    reading_clinic: ClinicId
    service: Service


@dataclass(frozen=True, slots=True)
class Actor:
    """Who is asking. ``readings`` holds only agreements whose reading clinic he is a reader of.

    name_en: his name in Latin letters, where the administrator gave one.
    licence: number of the physician's licence, empty when he has none; scope: services it covers.
    """

    person_id: PersonId
    login: str
    name: str
    kind: Literal["person", "program", "system"] = "person"
    memberships: frozenset[Membership] = frozenset()
    readings: frozenset[Reading] = frozenset()
    licence: str = ""
    scope: frozenset[Service] = frozenset()
    lang: str = "zh"
    name_en: str = ""

    @property
    def own_clinics(self) -> frozenset[ClinicId]:
        return frozenset(m.clinic_id for m in self.memberships)

    @property
    def clinics(self) -> frozenset[ClinicId]:
        """All whose rows he may see at all: his own and those that he reads for (row security)."""
        return self.own_clinics | frozenset(r.requesting_clinic for r in self.readings)

    def has_role(self, *roles: Role, at: ClinicId | None = None) -> bool:
        """He has one of these roles, at this clinic or (None) at any."""
        return any(m.role in roles and (at is None or m.clinic_id == at) for m in self.memberships)

    def reads(self, clinic_id: ClinicId, service: Service) -> bool:
        """His licence and an agreement in force cover this clinic's cases of this service."""
        return service in self.scope and any(
            r.requesting_clinic == clinic_id and r.service == service for r in self.readings
        )


#: The center's own processes: jobs act as this, for the one clinic that the job's row names.
SYSTEM = Actor(PersonId("system"), "system", "中心系统", kind="system")


def system_for(*clinic_ids: ClinicId) -> Actor:
    """The system acting for these clinics only."""
    members = frozenset(Membership(c, Role.TECHNICIAN) for c in clinic_ids)
    return Actor(PersonId("system"), "system", "中心系统", kind="system", memberships=members)
