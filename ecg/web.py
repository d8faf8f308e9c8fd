"""The 12-lead sheet over HTTP: SVG in millimetres, for whoever may see the study."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response

from center.codes import Service
from center.errors import NotFound
from center.identity import Actor, ClinicId
from center.permits import Act, Thing, permit
from center.ports import CaseAccess, StudyIndex
from center.web import Web
from ecg.room import LAYOUTS, read_dicom_signal, sheet_svg

_WAVEFORM = "1.2.840.10008.5.1.4.1.1.9."


def router(web: Web, index: StudyIndex, access: CaseAccess) -> APIRouter:
    """``GET /ecg/sheet/{clinic}/{study}``."""
    routes = APIRouter(tags=["ecg"])

    @routes.get("/ecg/sheet/{clinic_id}/{study_uid}")
    def sheet(
        request: Request,
        clinic_id: str,
        study_uid: str,
        layout: str = "3x4+1R",
        speed: float = Query(25.0, description="paper speed, mm/s"),
        gain: float = Query(10.0, description="mm/mV"),
        actor: Actor = Depends(web.actor),
    ) -> Response:
        """The first recording of the study as it is read: 25 mm/s and 10 mm/mV unless asked otherwise."""
        clinic = ClinicId(clinic_id)
        _permit(actor, access, clinic, study_uid)
        signal = read_dicom_signal(index.read_bytes(actor, clinic, _first_waveform(index, actor, clinic, study_uid)))
        known = layout if layout in LAYOUTS else "3x4+1R"
        svg = sheet_svg(
            signal,
            layout=known,
            speed_mm_s=speed if speed in (12.5, 25.0, 50.0) else 25.0,
            gain_mm_mv=gain if gain in (5.0, 10.0, 20.0) else 10.0,
            lang="en" if web.lang(request) == "en" else "zh",
        )
        return Response(svg, media_type="image/svg+xml", headers={"Cache-Control": "private, no-store"})

    return routes


def _permit(actor: Actor, access: CaseAccess, clinic: ClinicId, study_uid: str) -> None:
    """Clinic people see their own; a reader sees it through its case."""
    permit(actor, Act.STUDY_VIEW, Thing(clinic, Service.ECG))
    if clinic not in actor.own_clinics and access.may_see(actor, clinic, study_uid) is None:
        raise NotFound("没有找到，或不在您的范围内。", "Not found, or not within your reach.")


def _first_waveform(index: StudyIndex, actor: Actor, clinic: ClinicId, study_uid: str) -> str:
    for instance in index.instances(actor, clinic, study_uid):
        if instance.sop_class_uid.startswith(_WAVEFORM):
            return instance.sop_uid
    raise NotFound("这次检查没有心电波形。", "This study has no ECG waveform.")
