"""The sheet over HTTP, in millimetres: SVG for a page, PDF for paper; for whoever may see the study."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response

from center.codes import Origin, Service
from center.errors import NotFound
from center.identity import Actor, ClinicId
from center.patients import age_on
from center.permits import Act, Thing, permit, permitted
from center.ports import CaseAccess, Clock, Reads, StudyIndex, StudySummary
from center.reads import PreliminaryRead
from center.web import Web
from ecg.paper import sheet_pdf
from ecg.room import LAYOUTS, EcgSignal, read_dicom_signal, sheet_svg
from ecg.sheet import GAINS_MM_MV, SPEEDS_MM_S
from ecg.sheet_words import Language

_WAVEFORM = "1.2.840.10008.5.1.4.1.1.9."
_LAYOUT, _SPEED, _GAIN = "3x4+1R", 25.0, 10.0
_SEX = {"zh": {"M": "男", "F": "女", "O": "其他"}, "en": {"M": "male", "F": "female", "O": "other"}}
_SPEED_ASKED = Query(_SPEED, description="paper speed, mm/s")
_GAIN_ASKED = Query(_GAIN, description="mm/mV")
_START_ASKED = Query(0.0, description="where the sheet begins, s")


def router(
    web: Web, index: StudyIndex, access: CaseAccess, reads: Reads, clock: Clock, zone_of: Callable[[ClinicId], str]
) -> APIRouter:
    """``GET /ecg/sheet/{clinic}/{study}`` (SVG) and ``.../{study}.pdf``."""
    routes = APIRouter(tags=["ecg"])

    @routes.get("/ecg/sheet/{clinic_id}/{study_uid}.pdf")
    def paper(
        request: Request,
        clinic_id: str,
        study_uid: str,
        layout: str = _LAYOUT,
        speed: float = _SPEED_ASKED,
        gain: float = _GAIN_ASKED,
        start: float = _START_ASKED,
        actor: Actor = Depends(web.actor),
    ) -> Response:
        """The same on A4 in landscape, true to the millimetre, with the evidence behind it for those who read."""
        clinic = ClinicId(clinic_id)
        signal, lang = _signal(index, access, actor, clinic, study_uid), _language(web, request)
        study, zone = index.summary(actor, clinic, study_uid), ZoneInfo(zone_of(clinic))
        pdf = sheet_pdf(
            signal,
            printed_at=clock.now().astimezone(zone),
            read=_read(reads, actor, clinic, study_uid),
            patient_lines=_patient_lines(study, signal, lang, clock.now().astimezone(zone)),
            layout=_known(layout),
            speed_mm_s=_offered(speed, SPEEDS_MM_S, _SPEED),
            gain_mm_mv=_offered(gain, GAINS_MM_MV, _GAIN),
            lang=lang,
            start_s=_start(start, signal),
        )
        headers = {"Cache-Control": "private, no-store", "Content-Disposition": "inline; filename=ecg.pdf"}
        return Response(pdf, media_type="application/pdf", headers=headers)

    @routes.get("/ecg/sheet/{clinic_id}/{study_uid}")
    def sheet(
        request: Request,
        clinic_id: str,
        study_uid: str,
        layout: str = _LAYOUT,
        speed: float = _SPEED_ASKED,
        gain: float = _GAIN_ASKED,
        start: float = _START_ASKED,
        actor: Actor = Depends(web.actor),
    ) -> Response:
        """The first recording of the study as it is read: 25 mm/s and 10 mm/mV unless asked otherwise."""
        signal = _signal(index, access, actor, ClinicId(clinic_id), study_uid)
        svg = sheet_svg(
            signal,
            layout=_known(layout),
            speed_mm_s=_offered(speed, SPEEDS_MM_S, _SPEED),
            gain_mm_mv=_offered(gain, GAINS_MM_MV, _GAIN),
            lang=_language(web, request),
            start_s=_start(start, signal),
        )
        return Response(svg, media_type="image/svg+xml", headers={"Cache-Control": "private, no-store"})

    return routes


def _signal(index: StudyIndex, access: CaseAccess, actor: Actor, clinic: ClinicId, study_uid: str) -> EcgSignal:
    """Clinic people see their own; a reader sees it through its case.  Raises NotFound, Forbidden, Unreadable."""
    permit(actor, Act.STUDY_VIEW, Thing(clinic, Service.ECG))
    if clinic not in actor.own_clinics and access.may_see(actor, clinic, study_uid) is None:
        raise NotFound("没有找到，或不在您的范围内。", "Not found, or not within your reach.")
    return read_dicom_signal(index.read_bytes(actor, clinic, _first_waveform(index, actor, clinic, study_uid)))


def _first_waveform(index: StudyIndex, actor: Actor, clinic: ClinicId, study_uid: str) -> str:
    for instance in index.instances(actor, clinic, study_uid):
        if instance.sop_class_uid.startswith(_WAVEFORM) and instance.origin is not Origin.RESULT:
            return instance.sop_uid
    raise NotFound("这次检查没有心电波形。", "This study has no ECG waveform.")


def _read(reads: Reads, actor: Actor, clinic: ClinicId, study_uid: str) -> PreliminaryRead | None:
    """The newest read of the machine, for readers only: what nobody has confirmed doesn't go to the clinic."""
    if not permitted(actor, Act.READ_VIEW, Thing(clinic, Service.ECG)):
        return None
    return next((kept.read for kept in reads.of(clinic, study_uid) if kept.read.kind == "ecg"), None)


def _patient_lines(study: StudySummary, signal: EcgSignal, lang: Language, today: datetime) -> list[str]:
    """Who it is, and when it was recorded."""
    patient = study.patient
    on = study.study_at.date() if study.study_at else today.date()
    age = age_on(patient.birth_date, on)
    years = "" if age is None else f"{age} 岁" if lang == "zh" else f"{age} years"
    born = patient.birth_date.isoformat() if patient.birth_date else ""
    number, taken = ("病历号 {}", "采集 {}") if lang == "zh" else ("ID {}", "recorded {}")
    at = study.study_at.strftime("%Y-%m-%d %H:%M:%S") if study.study_at else "—"
    return [
        patient.name or "—",
        " · ".join(filter(None, (_SEX[lang].get(patient.sex, ""), years, born))),
        number.format(patient.local_id or "—"),
        f"{taken.format(at)} · {signal.seconds:.0f} s · {signal.fs_hz:g} Hz",
        signal.device,
    ]


def _language(web: Web, request: Request) -> Language:
    return "en" if web.lang(request) == "en" else "zh"


def _known(layout: str) -> str:
    return layout if layout in LAYOUTS else _LAYOUT


def _offered(asked: float, offered: tuple[float, ...], usual: float) -> float:
    return asked if asked in offered else usual


def _start(asked: float, signal: EcgSignal) -> float:
    """Within the recording: the last second at the latest."""
    return min(asked, max(0.0, signal.seconds - 1.0)) if asked > 0 else 0.0
