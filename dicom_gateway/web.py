"""DICOMweb over HTTP: one set of routes, mounted for programs and clinics, and under every case for its reader.

Who asks decides the scope; past that line nothing else is there: a 404, whatever exists.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from fastapi import APIRouter, Depends, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response, StreamingResponse
from starlette.requests import ClientDisconnect

from center.codes import Origin, Visibility
from center.errors import BadQuery, Forbidden, Invalid, Unavailable, Unreadable
from center.identity import Actor, CaseId, ClinicId
from center.permits import Act, Thing, permit, permitted
from center.ports import Grant, Provenance
from center.web import Web
from dicom_gateway import media, qido, rendering, stow, wado
from dicom_gateway.dicom_json import unpack
from dicom_gateway.qido import Level, Scope
from dicom_gateway.store import Shelved

if TYPE_CHECKING:
    from dicom_gateway.room import Gateway

MAX_FRAMES: Final = 2000
#: A case that one person opens is audited once in this time.
AUDITED_FOR: Final = timedelta(hours=1)
_PRIVATE: Final = {"Cache-Control": "private, no-cache"}
_KEPT: Final = {"Cache-Control": "private, max-age=3600"}
_BOTH: Final = (str(Visibility.CLINIC), str(Visibility.READERS))


@dataclass(frozen=True, slots=True)
class Asking:
    """Who asks, and what is there for him. ``grant``: through a case."""

    actor: Actor
    scope: Scope
    root: str
    grant: Grant | None = None


Ask = Callable[..., Awaitable[Asking]]


def routers(web: Web, gateway: Gateway) -> list[APIRouter]:
    """/dicom-web for programs and clinics, /cases/{case_id}/dicom-web for the reader of a case."""
    doors = _Doors(gateway, web.own_origins)

    async def own(request: Request, actor: Actor = Depends(web.actor)) -> Asking:
        study = request.path_params.get("study") or _asked_study(request)
        return await run_in_threadpool(doors.own, request, actor, study)

    async def case(request: Request, case_id: str, actor: Actor = Depends(web.actor)) -> Asking:
        return await run_in_threadpool(doors.case, request, actor, CaseId(case_id))

    return [
        _router("/dicom-web", "dicomweb", own, doors, gateway),
        _router("/cases/{case_id}/dicom-web", "dicomweb of a case", case, doors, gateway),
    ]


def _asked_study(request: Request) -> str | None:
    return request.query_params.get("StudyInstanceUID") or request.query_params.get("0020000D")


class _Doors:
    """What a person or a program may see, for each mount."""

    def __init__(self, gateway: Gateway, own_origins: frozenset[str] = frozenset()) -> None:
        self._gateway = gateway
        self._own_origins = own_origins
        self._audited: dict[tuple[str, str], Any] = {}
        self._lock = threading.Lock()

    def _origin(self, request: Request) -> str:
        """Ours as configured: the Host header is the caller's word, and would send the next reader elsewhere."""
        return next(iter(self._own_origins), f"{request.url.scheme}://{request.url.netloc}")

    def own(self, request: Request, actor: Actor, study: str | None) -> Asking:
        """His own clinics' studies; one study of another clinic where a case gives it to him.  Raises Forbidden."""
        root = f"{self._origin(request)}/dicom-web"
        clinics = tuple(sorted(c for c in actor.own_clinics if permitted(actor, Act.STUDY_VIEW, Thing(c))))
        if study:
            grant = self._granted(actor, clinics, study)
            if grant is not None:
                return Asking(actor, _scope_of(actor, grant), root, grant)
        permit(actor, Act.STUDY_VIEW)
        return Asking(actor, Scope(clinics, (str(Visibility.CLINIC),)), root)

    def _granted(self, actor: Actor, own: tuple[str, ...], study: str) -> Grant | None:
        access = self._gateway.access
        others = sorted(actor.clinics - set(own))
        if access is None or not others:
            return None
        for clinic in others:
            grant = access.may_see(actor, ClinicId(clinic), study)
            if grant is not None:
                return grant
        return None

    def case(self, request: Request, actor: Actor, case_id: CaseId) -> Asking:
        """Exactly the case's study and its linked priors.  Raises NotFound, Forbidden, HeldByAnother."""
        access = self._gateway.access
        if access is None:
            raise Unavailable("病例服务尚未就绪。", "Cases are not available yet.")
        grant = access.through_case(actor, case_id)
        permit(actor, Act.CASE_VIEW, Thing(grant.clinic_id, grant.service))
        self._audit(actor, grant)
        root = f"{self._origin(request)}/cases/{case_id}/dicom-web"
        return Asking(actor, _scope_of(actor, grant), root, grant)

    def _audit(self, actor: Actor, grant: Grant) -> None:
        """One row for a person and a case within the hour, however many frames he looks at."""
        key, now = (actor.person_id, grant.case_id), self._gateway.clock.now()
        with self._lock:
            seen = self._audited.get(key)
            if seen is not None and now - seen < AUDITED_FOR:
                return
        with self._gateway.database.transaction(actor, [grant.clinic_id]) as work:
            known = work.one(
                "select 1 from center.audit where clinic_id = %(c)s and at > %(since)s and person_id = %(p)s"
                " and act = 'case:images:view' and thing = %(t)s limit 1",
                c=grant.clinic_id, since=now - AUDITED_FOR, p=actor.person_id, t=f"case:{grant.case_id}",
            )  # fmt: skip
            if known is None:
                work.audit(
                    "case:images:view",
                    f"case:{grant.case_id}",
                    clinic_id=grant.clinic_id,
                    studies=len(grant.study_uids),
                )
        with self._lock:
            if len(self._audited) > 10_000:
                self._audited.clear()
            self._audited[key] = now

    # ---------------------------------------------------------------- who stores what
    def sender(self, asking: Asking, wanted: str) -> tuple[ClinicId, Callable[[str | None, str | None], stow.Receiver]]:
        """(clinic, maker of one part's receiver).  Raises Forbidden, Invalid."""
        actor, door = asking.actor, self._gateway.door
        if asking.grant is not None:
            return asking.grant.clinic_id, self._saver(actor, asking.grant)
        clinic = _uploading_clinic(actor, wanted)

        def receive(study: str | None, association: str | None) -> stow.Receiver:
            provenance = Provenance(
                clinic, "stow", actor, expected_study_uid=study, association=association, peer="STOW"
            )
            return stow.Receiver(door.begin(provenance))

        return clinic, receive

    def _saver(self, actor: Actor, grant: Grant) -> Callable[[str | None, str | None], stow.Receiver]:
        permit(actor, Act.RESULT_SAVE, Thing(grant.clinic_id, grant.service))

        def receive(study: str | None, _: str | None) -> stow.Receiver:
            provenance = Provenance(
                grant.clinic_id, "result", actor, origin=Origin.RESULT, visibility=Visibility.READERS,
                expected_study_uid=study,
            )  # fmt: skip
            return stow.SavedReceiver(self._gateway.door.begin(provenance), actor.name, grant.study_uids)

        return receive


def _scope_of(actor: Actor, grant: Grant) -> Scope:
    reads = permitted(actor, Act.READ_VIEW, Thing(grant.clinic_id, grant.service))
    return Scope((grant.clinic_id,), _BOTH if reads else _BOTH[:1], grant.study_uids)


def _uploading_clinic(actor: Actor, wanted: str) -> ClinicId:
    """The one clinic for which he uploads, or the one he names.  Raises Forbidden, Invalid."""
    clinics = sorted(c for c in actor.own_clinics if permitted(actor, Act.STUDY_UPLOAD, Thing(c)))
    if wanted:
        permit(actor, Act.STUDY_UPLOAD, Thing(ClinicId(wanted)))
        return ClinicId(wanted)
    if not clinics:
        permit(actor, Act.STUDY_UPLOAD)
        raise Forbidden("您没有上传权限。", "You may not upload.", {"grantor": "administrator"})
    if len(clinics) > 1:
        raise Invalid(
            "您在几家机构工作，请用参数 clinic 指明上传到哪一家。",
            "You work at several clinics: name the one with the parameter clinic.",
            {"clinics": clinics},
        )
    return clinics[0]


# ---------------------------------------------------------------- routes
def _router(prefix: str, tag: str, ask: Ask, doors: _Doors, gateway: Gateway) -> APIRouter:
    """The same routes at either mount."""
    routes = APIRouter(prefix=prefix, tags=[tag])
    shelf = wado.Shelf(gateway.database, gateway.contents)
    _search_routes(routes, ask, gateway)
    _object_routes(routes, ask, shelf)
    _frame_routes(routes, ask, shelf)
    _picture_routes(routes, ask, shelf)
    _store_routes(routes, ask, doors, gateway)
    return routes


def _search_routes(routes: APIRouter, ask: Ask, gateway: Gateway) -> None:
    def search(request: Request, asking: Asking, level: Level, **fixed: str) -> Response:
        media.json_form(_accept(request))
        pairs = [(k, v) for k, v in request.query_params.multi_items() if k not in fixed]
        query = qido.parse(level, [*pairs, *fixed.items()])
        sql, params = qido.statement(query, asking.scope)
        with gateway.database.transaction(asking.actor, asking.actor.clinics & set(asking.scope.clinics)) as work:
            rows = work.all(sql, **params)
        more = len(rows) > query.limit
        answers = [
            qido.answer(row, level, asking.root, unpack(bytes(row["metadata"])) if row.get("metadata") else None)
            for row in rows[: query.limit]
        ]
        headers = {"Warning": '299 helan "There are more results; ask with offset"'} if more else {}
        return _json(request, json.dumps(answers, ensure_ascii=False, separators=(",", ":")).encode(), headers)

    @routes.get("/studies")
    def studies(request: Request, asking: Asking = Depends(ask)) -> Response:
        """Studies by attributes, latest first: QIDO-RS."""
        return search(request, asking, Level.STUDY)

    @routes.get("/series")
    def series(request: Request, asking: Asking = Depends(ask)) -> Response:
        return search(request, asking, Level.SERIES)

    @routes.get("/instances")
    def instances(request: Request, asking: Asking = Depends(ask)) -> Response:
        return search(request, asking, Level.INSTANCE)

    @routes.get("/studies/{study}/series")
    def series_of_study(request: Request, study: str, asking: Asking = Depends(ask)) -> Response:
        return search(request, asking, Level.SERIES, StudyInstanceUID=study)

    @routes.get("/studies/{study}/instances")
    def instances_of_study(request: Request, study: str, asking: Asking = Depends(ask)) -> Response:
        return search(request, asking, Level.INSTANCE, StudyInstanceUID=study)

    @routes.get("/studies/{study}/series/{series}/instances")
    def instances_of_series(request: Request, study: str, series: str, asking: Asking = Depends(ask)) -> Response:
        return search(request, asking, Level.INSTANCE, StudyInstanceUID=study, SeriesInstanceUID=series)


def _object_routes(routes: APIRouter, ask: Ask, shelf: wado.Shelf) -> None:
    def objects(
        request: Request, asking: Asking, study: str, series: str | None = None, sop: str | None = None
    ) -> Response:
        found = shelf.find(asking.actor, asking.scope, study, series, sop)
        accept = _accept(request)
        forms = {
            one.transfer_syntax: media.instance_form(accept, one.transfer_syntax, many=sop is None) for one in found
        }
        form = forms[found[0].transfer_syntax]
        parts = shelf.instances(found, form, asking.root)
        if form.single:
            return _stream(next(parts).body, media.DICOM)
        return _multipart(parts, media.DICOM)

    def metadata(
        request: Request, asking: Asking, level: str, study: str, series: str | None = None, sop: str | None = None
    ):
        media.json_form(_accept(request))
        found = shelf.find(asking.actor, asking.scope, study, series, sop, metadata=True)
        return _json(request, shelf.metadata(asking.actor, found, level))

    @routes.get("/studies/{study}")
    def study_objects(request: Request, study: str, asking: Asking = Depends(ask)) -> Response:
        """Every object of a study as multipart/related: WADO-RS."""
        return objects(request, asking, study)

    @routes.get("/studies/{study}/metadata")
    def study_metadata(request: Request, study: str, asking: Asking = Depends(ask)) -> Response:
        return metadata(request, asking, "study", study)

    @routes.get("/studies/{study}/series/{series}")
    def series_objects(request: Request, study: str, series: str, asking: Asking = Depends(ask)) -> Response:
        return objects(request, asking, study, series)

    @routes.get("/studies/{study}/series/{series}/metadata")
    def series_metadata(request: Request, study: str, series: str, asking: Asking = Depends(ask)) -> Response:
        return metadata(request, asking, "series", study, series)

    @routes.get("/studies/{study}/series/{series}/instances/{sop}")
    def instance_object(request: Request, study: str, series: str, sop: str, asking: Asking = Depends(ask)) -> Response:
        return objects(request, asking, study, series, sop)

    @routes.get("/studies/{study}/series/{series}/instances/{sop}/metadata")
    def instance_metadata(
        request: Request, study: str, series: str, sop: str, asking: Asking = Depends(ask)
    ) -> Response:
        return metadata(request, asking, "instance", study, series, sop)


def _frame_routes(routes: APIRouter, ask: Ask, shelf: wado.Shelf) -> None:
    @routes.get("/studies/{study}/series/{series}/instances/{sop}/frames/{numbers}")
    def frames(
        request: Request, study: str, series: str, sop: str, numbers: str, asking: Asking = Depends(ask)
    ) -> Response:
        """Frames by number (1,2,5), each a part that says its type and transfer syntax."""
        one = _one(shelf, asking, study, series, sop)
        wanted = _numbers(numbers)
        shelf.check_frames(one, wanted)
        form = shelf.frame_form(one, _accept(request))
        parts = shelf.frames(one, wanted, form)
        if form.single and len(wanted) == 1:
            return _stream(next(parts).body, form.media_type)
        return _multipart(parts, form.media_type)

    @routes.get("/studies/{study}/series/{series}/instances/{sop}/bulkdata/{path:path}")
    def bulk(request: Request, study: str, series: str, sop: str, path: str, asking: Asking = Depends(ask)) -> Response:
        """A value that the metadata left to its address."""
        one = _one(shelf, asking, study, series, sop)
        if path.upper() == "7FE00010" and one.frame_map is not None:
            if one.is_video:
                return _video(shelf, one, _accept(request))
            form = shelf.frame_form(one, "*/*")
            if form.decode or one.frame_map.kind == "encapsulated":
                return _multipart(shelf.frames(one, range(1, one.whole_frames + 1), form), form.media_type)
        kind, pieces = shelf.bulk(one, path)
        form = media.bulk_form(_accept(request), kind)
        if form.single:
            return _stream(pieces, form.media_type)
        return _multipart(iter([wado.Part(form.media_type, "", pieces)]), form.media_type)


def _picture_routes(routes: APIRouter, ask: Ask, shelf: wado.Shelf) -> None:
    def picture(
        request: Request, asking: Asking, one: Shelved, number: int, default: tuple[int, int] | None = None
    ) -> Response:
        query = request.query_params
        accept = query.get("accept") or _accept(request)
        if one.sop_class_uid == wado.ENCAPSULATED_PDF and default is None:
            media.bulk_form(accept, media.PDF)
            return _stream(shelf.document(one), media.PDF, {"Content-Disposition": "inline"})
        if not one.frames:
            raise rendering.no_picture()
        if one.is_video and default is None and "video/" in accept:
            return _video(shelf, one, accept)
        kind = media.picture_form(accept)
        look = rendering.look_from(
            kind, query.get("viewport", ""), query.get("window", ""), query.get("quality", ""), default
        )
        shelf.check_frames(one, [number])
        return Response(rendering.rendered(shelf.frame_of(one, number), look), media_type=kind, headers=_KEPT)

    def middle(asking: Asking, study: str, series: str | None = None) -> Shelved:
        found = [s for s in shelf.find(asking.actor, asking.scope, study, series, metadata=True) if s.frames]
        if not found:
            raise rendering.no_picture()
        found = [s for s in found if not s.is_video] or found
        return shelf.with_frames(found[len(found) // 2])

    def middle_frame(one: Shelved) -> int:
        return max(1, (one.whole_frames + 1) // 2)

    @routes.get("/studies/{study}/series/{series}/instances/{sop}/rendered")
    def instance_rendered(
        request: Request, study: str, series: str, sop: str, asking: Asking = Depends(ask)
    ) -> Response:
        """The image as a person sees it (viewport=w,h; window=center,width), or the PDF inside."""
        return picture(request, asking, _one(shelf, asking, study, series, sop), 1)

    @routes.get("/studies/{study}/series/{series}/instances/{sop}/frames/{number}/rendered")
    def frame_rendered(
        request: Request, study: str, series: str, sop: str, number: str, asking: Asking = Depends(ask)
    ) -> Response:
        wanted = _numbers(number)
        return picture(request, asking, _one(shelf, asking, study, series, sop), wanted[0])

    @routes.get("/studies/{study}/series/{series}/instances/{sop}/thumbnail")
    def instance_thumbnail(
        request: Request, study: str, series: str, sop: str, asking: Asking = Depends(ask)
    ) -> Response:
        one = _one(shelf, asking, study, series, sop)
        return picture(request, asking, one, middle_frame(one), rendering.THUMBNAIL)

    @routes.get("/studies/{study}/series/{series}/instances/{sop}/frames/{number}/thumbnail")
    def frame_thumbnail(
        request: Request, study: str, series: str, sop: str, number: str, asking: Asking = Depends(ask)
    ) -> Response:
        wanted = _numbers(number)
        return picture(request, asking, _one(shelf, asking, study, series, sop), wanted[0], rendering.THUMBNAIL)

    @routes.get("/studies/{study}/series/{series}/thumbnail")
    def series_thumbnail(request: Request, study: str, series: str, asking: Asking = Depends(ask)) -> Response:
        one = middle(asking, study, series)
        return picture(request, asking, one, middle_frame(one), rendering.THUMBNAIL)

    @routes.get("/studies/{study}/series/{series}/rendered")
    def series_rendered(request: Request, study: str, series: str, asking: Asking = Depends(ask)) -> Response:
        one = middle(asking, study, series)
        return picture(request, asking, one, middle_frame(one))

    @routes.get("/studies/{study}/thumbnail")
    def study_thumbnail(request: Request, study: str, asking: Asking = Depends(ask)) -> Response:
        one = middle(asking, study)
        return picture(request, asking, one, middle_frame(one), rendering.THUMBNAIL)

    @routes.get("/studies/{study}/rendered")
    def study_rendered(request: Request, study: str, asking: Asking = Depends(ask)) -> Response:
        one = middle(asking, study)
        return picture(request, asking, one, middle_frame(one))


_STOW_BODY: Final[dict[str, Any]] = {
    "requestBody": {"required": True, "content": {'multipart/related; type="application/dicom"': {"schema": {"type": "string", "format": "binary"}}}}
}  # fmt: skip


def _store_routes(routes: APIRouter, ask: Ask, doors: _Doors, gateway: Gateway) -> None:
    async def store(request: Request, asking: Asking, study: str | None) -> Response:
        stow.check_length(request.headers.get("content-length"))
        wanted = request.query_params.get("clinic", "")
        clinic, receive = await run_in_threadpool(doors.sender, asking, wanted)
        kind = request.headers.get("content-type", "")
        single = kind.split(";")[0].strip().lower() == media.DICOM
        boundary = b"" if single else stow.boundary_of(kind)
        association = await run_in_threadpool(
            gateway.associations.begin, "STOW", clinic, request.client.host if request.client else ""
        )
        try:
            body = stow.Body(boundary or b"one", lambda: receive(study, association), run_in_threadpool)
            report = await (body.take_one if single else body.take)(request.stream())
        except ClientDisconnect:
            raise Unreadable("传输中断。", "The transfer was cut off.", {}) from None
        finally:
            await run_in_threadpool(gateway.associations.end, association)
        if report.parts == 0:
            raise Unreadable("请求中没有 DICOM 文件。", "There is no DICOM file in the request.", {})
        if request.query_params.get("complete") and asking.grant is None:
            await run_in_threadpool(gateway.door.finish_upload, asking.actor, clinic, report.study_uids)
        status, answer = stow.answer(report, asking.root)
        headers = dict(_PRIVATE)
        if (wait := stow.retry_after_s(report)) is not None:
            headers["Retry-After"] = str(wait)
        return Response(
            json.dumps(answer, ensure_ascii=False), status_code=status, media_type=media.JSON, headers=headers
        )

    @routes.post("/studies", openapi_extra=_STOW_BODY)
    async def store_any(request: Request, asking: Asking = Depends(ask)) -> Response:
        """DICOM files as multipart/related, any number, streamed: STOW-RS.

        ``clinic``: for whom, where the sender works for several. ``complete=1``: nothing more comes of these studies.
        """
        return await store(request, asking, None)

    @routes.post("/studies/{study}", openapi_extra=_STOW_BODY)
    async def store_in_study(request: Request, study: str, asking: Asking = Depends(ask)) -> Response:
        return await store(request, asking, study)


# ---------------------------------------------------------------- little things
def _one(shelf: wado.Shelf, asking: Asking, study: str, series: str, sop: str) -> Shelved:
    return shelf.with_frames(shelf.find(asking.actor, asking.scope, study, series, sop, metadata=True)[0])


def _video(shelf: wado.Shelf, one: Shelved, accept: str) -> Response:
    """A video's stream, to be played or downloaded.  Raises NotAcceptable."""
    form = media.bulk_form(accept, media.video_type(one.transfer_syntax))
    if form.single:
        return _stream(shelf.video(one), form.media_type)
    return _multipart(iter([wado.Part(form.media_type, one.transfer_syntax, shelf.video(one))]), form.media_type)


def _accept(request: Request) -> str:
    return request.query_params.get("accept") or request.headers.get("accept", "")


def _numbers(text: str) -> list[int]:
    """Frame numbers apart.  Raises BadQuery."""
    parts = text.split(",")
    if len(parts) > MAX_FRAMES or not all(re.fullmatch(r" *[0-9]{1,9} *", p) for p in parts):
        raise BadQuery("帧号应为 1,2,5 这样的列表。", "Frames are a list such as 1,2,5.", {"frames": text[:40]})
    return [int(p) for p in parts]


def _json(request: Request, body: bytes, headers: dict[str, str] | None = None) -> Response:
    packed, more = wado.packed(body, request.headers.get("accept-encoding", ""))
    return Response(packed, media_type=media.JSON, headers={**_PRIVATE, **more, **(headers or {})})


def _stream(pieces: Iterator[bytes], kind: str, headers: dict[str, str] | None = None) -> Response:
    return StreamingResponse(pieces, media_type=kind, headers={**_KEPT, **(headers or {})})


def _multipart(parts: Iterator[wado.Part], kind: str) -> Response:
    content_type = f'multipart/related; type="{kind}"; boundary={wado.BOUNDARY}'
    return StreamingResponse(wado.multipart(parts), headers={**_KEPT, "Content-Type": content_type})
