"""Limits, waits and ladders as data, with their sources; a clinic's policy overrides single values.

Durations are minutes unless the name says seconds.  Values only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, cast

from center.codes import Service, Urgency

_CLINIC = (("clinic_doctors", "page"), ("clinic_doctors", "sms"), ("clinic_duty", "phone"))
#: WORKFLOW.md section 4, critical level 1: whom each step tells.
LADDER_NOTICES: tuple[tuple[tuple[str, str], ...], ...] = (
    _CLINIC,
    (*_CLINIC, ("clinic_head", "phone")),
    (("dispatcher", "phone"), ("county_duty", "phone")),
    (("medical_affairs", "phone"),),
    (("regional_duty", "phone"),),
)


@dataclass(frozen=True, slots=True)
class Timing:
    """Site data with the defaults of WORKFLOW.md sections 2 to 4.

    ladder: minutes after the mark of each step; retries: waits of a delivery after each failure; offer_s: an
    unanswered lease; idle_s: a lease after the reader last did something.
    """

    limit_ecg_urgent: float = 10
    limit_ecg_routine: float = 30
    limit_film_urgent: float = 30
    limit_film_routine: float = 120
    limit_ct_urgent: float = 60
    limit_ct_routine: float = 240
    machine_critical: float = 10
    ladder: tuple[float, ...] = (0, 5, 10, 15, 30)
    retries: tuple[float, ...] = (1, 2, 5, 15, 60)
    unopened_urgent: float = 30
    unopened_routine: float = 24 * 60
    late_images_urgent: float = 60
    late_images_routine: float = 24 * 60
    phone_task: float = 15
    offer_stat_s: float = 60
    offer_urgent_s: float = 180
    offer_routine_s: float = 600
    idle_ecg_s: float = 300
    idle_film_s: float = 600
    idle_ct_s: float = 1800
    offline_stat_s: float = 210  # three heartbeats of 30 s missed, and 2 min more
    held_at_once: int = 3
    skips_per_shift: int = 3
    shift_s: float = 8 * 3600
    clock_shares: tuple[float, ...] = field(default=(0.5, 0.8, 1.0))

    def with_policy(self, values: Mapping[str, Any]) -> Timing:
        """These values with a clinic's own in place of those that it names; unknown names are left out."""
        known = {f.name for f in fields(self)}
        own: dict[str, Any] = {k: _value(v) for k, v in values.items() if k in known}
        return replace(self, **own) if own else self

    def limit_minutes(self, service: Service, modality: str, urgency: Urgency) -> float:
        """T2 to T7 (WORKFLOW.md section 4)."""
        urgent = urgency is not Urgency.ROUTINE
        if service is Service.ECG:
            return self.limit_ecg_urgent if urgent else self.limit_ecg_routine
        if is_film(modality):
            return self.limit_film_urgent if urgent else self.limit_film_routine
        return self.limit_ct_urgent if urgent else self.limit_ct_routine

    def offer_seconds(self, urgency: Urgency) -> float:
        return {
            Urgency.STAT: self.offer_stat_s,
            Urgency.URGENT: self.offer_urgent_s,
            Urgency.ROUTINE: self.offer_routine_s,
        }[urgency]

    def idle_seconds(self, service: Service, modality: str) -> float:
        if service is Service.ECG:
            return self.idle_ecg_s
        return self.idle_film_s if is_film(modality) else self.idle_ct_s

    def unopened_minutes(self, urgency: Urgency) -> float:
        return self.unopened_routine if urgency is Urgency.ROUTINE else self.unopened_urgent

    def late_images_minutes(self, urgency: Urgency) -> float:
        return self.late_images_routine if urgency is Urgency.ROUTINE else self.late_images_urgent


def _value(value: object) -> object:
    """A list of JSON as the tuple that the field is."""
    return tuple(cast("list[object]", value)) if isinstance(value, list) else value


#: Projection radiography: read like DR.
FILM_MODALITIES = frozenset({"CR", "DX", "DR", "RG", "MG", "PX", "IO", "XC", "OT"})


def is_film(modality: str) -> bool:
    """Read in a film's time; several modalities in one study count as the slower of them."""
    return bool(modality) and set(modality.split("/")) <= FILM_MODALITIES
