"""Closed sets that more than one room names: services, roles, urgency, sex, and the codes we print."""

from __future__ import annotations

from enum import StrEnum


class Service(StrEnum):
    """What one clinic reads for another; an agreement and a licence name it."""

    IMAGING = "imaging"
    ECG = "ecg"


class Role(StrEnum):
    """What a person is at one clinic (WORKFLOW.md section 7)."""

    TECHNICIAN = "technician"
    CLINIC_DOCTOR = "clinic_doctor"
    READER = "reader"
    DISPATCHER = "dispatcher"
    ADMINISTRATOR = "administrator"
    REGULATOR = "regulator"


class Urgency(StrEnum):
    """Order of reading; ``rank`` 0 is first."""

    STAT = "stat"
    URGENT = "urgent"
    ROUTINE = "routine"

    @property
    def rank(self) -> int:
        return ("stat", "urgent", "routine").index(self.value)

    @staticmethod
    def highest(*urgencies: Urgency) -> Urgency:
        """The most urgent of those given: a machine or a rule can only raise."""
        return min(urgencies, key=lambda u: u.rank)


class Origin(StrEnum):
    """Where an instance comes from; a ``result`` never touches completion, counts or cases."""

    RECEIVED = "received"
    CONVERTED = "converted"
    RESULT = "result"


class Visibility(StrEnum):
    """Who sees an instance beside its readers."""

    CLINIC = "clinic"
    READERS = "readers"


#: Modalities whose studies are read by the heart room's readers; everything else is imaging.
ECG_MODALITIES = frozenset({"ECG", "HD"})


def service_of(modalities: frozenset[str] | set[str]) -> Service:
    """The service that reads a study of these modalities."""
    return Service.ECG if modalities and modalities <= ECG_MODALITIES else Service.IMAGING
