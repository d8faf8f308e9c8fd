"""This room's HTTP faces, for portal to hang in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter

from center.ports import Clock, StudyIndex
from center.web import Web
from worklist.room import Worklist
from worklist.web import case, clinic, dispatch, qr, report, worklist

if TYPE_CHECKING:
    from worklist.web.clinic import Identities


def all_routers(
    web: Web, room: Worklist, *, studies: StudyIndex, identities: Identities, clock: Clock
) -> list[APIRouter]:
    """identities: who puts right whose a study is (the gateway's index)."""
    return [
        worklist.router(web, room),
        case.router(web, room, studies),
        report.router(web, room),
        clinic.router(web, room, identities, clock),
        dispatch.router(web, room),
        qr.router(web, room),
    ]
