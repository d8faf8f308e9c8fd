"""Preliminary reads over HTTP, for readers: never for the clinic, unless its policy says otherwise."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends

from center.codes import Service
from center.identity import Actor, ClinicId
from center.permits import Act, Thing, permit
from center.ports import Reads, StoredRead
from center.web import Web
from inference.values import to_json

_SERVICE = {"film": Service.IMAGING, "ecg": Service.ECG, "slide": Service.IMAGING}


def router(web: Web, reads: Reads) -> APIRouter:
    """``GET /reads/{clinic}/{study}``."""
    routes = APIRouter(tags=["inference"])

    @routes.get("/reads/{clinic_id}/{study_uid}")
    def of_study(clinic_id: str, study_uid: str, actor: Actor = Depends(web.actor)) -> list[dict[str, Any]]:
        """All preliminary reads of a study, latest first: machine-made, unconfirmed."""
        permit(actor, Act.READ_VIEW, Thing(ClinicId(clinic_id), None))
        kept = reads.of(ClinicId(clinic_id), study_uid)
        return [_shown(k) for k in kept if actor.reads(ClinicId(clinic_id), _SERVICE[k.read.kind])]

    return routes


def _shown(kept: StoredRead) -> dict[str, Any]:
    return {
        "read_id": kept.read_id,
        "made_at": kept.made_at.isoformat(),
        "unconfirmed": True,
        "sop_instance_uids": list(kept.sop_instance_uids),
        **to_json(kept.read),
    }
