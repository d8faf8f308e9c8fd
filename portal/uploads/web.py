"""Uploads that no DICOMweb route takes: recordings as the device wrote them, and what the upload page asks.

By a program, with a token (``helan token create``):

    curl -H "Authorization: Bearer $TOKEN" -F files=@100.hea -F files=@100.dat \\
         -F local_id=S1001 -F sex=M -F birth_date=1959-04-02 -F urgent=1 https://center/uploads/ecg
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Depends, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, Response
from starlette.datastructures import UploadFile

from center.codes import Service
from center.database import Queries, Row
from center.errors import Forbidden, Invalid, NotFound
from center.identity import Actor, ClinicId, system_for
from center.permits import Act, Thing, permit, permitted
from center.ports import Quarantined, Same
from center.web import Web
from portal.ecg_files import Taken, take_in
from portal.parts import Parts
from portal.uploads.form import FIELDS, MOST_FILES, Sent, bare_name, sent_from

SQL = Queries.load(Path(__file__).with_name("queries.sql"))
#: Three days of three leads at 250 Hz and 16 bits; a resting ECG is a thousandth of it.
MOST_BYTES = 400 << 20
_ENVELOPE = 1 << 20  # fields and part heads around the files
_MOST_DIGESTS = 1000


def router(web: Web, parts: Parts) -> APIRouter:
    """``/uploads/ecg``, ``/uploads/known``, ``/uploads/finished`` and ``/uploads/originals``."""
    routes, bounded = APIRouter(tags=["uploads"]), [Depends(_bounded)]

    @routes.post("/uploads/ecg", status_code=201, openapi_extra=_ECG_BODY, dependencies=bounded)
    async def ecg(request: Request, actor: Actor = Depends(web.actor)) -> Response:
        """One recording in any format that is read, with all its files. Complete on arrival.

        Fields that are filled in say whose it is and become its request. Sent again it is the same recording.
        """
        permit(actor, Act.STUDY_UPLOAD)
        files, fields = await _received(request)
        answer = await run_in_threadpool(_take, parts, actor, files, fields)
        if "text/html" in request.headers.get("accept", ""):
            clinic = f"&clinic={answer['clinic']}" if fields.get("clinic") else ""
            return web.redirect(f"/clinic?said=uploaded{clinic}")
        return JSONResponse(answer, status_code=202 if answer["outcome"] == "quarantined" else 201)

    @routes.get("/uploads/originals/{clinic_id}/{study_uid}")
    def originals(clinic_id: str, study_uid: str, actor: Actor = Depends(web.actor)) -> Response:
        """The device's own file that the recording was made from, byte for byte; several come as one ZIP archive."""
        name, kind, content = _originals(parts, actor, ClinicId(clinic_id), study_uid)
        quoted = f"attachment; filename=ecg-original; filename*=UTF-8''{quote(name, safe='')}"
        return Response(
            content, media_type=kind, headers={"Content-Disposition": quoted, "Cache-Control": "private, no-store"}
        )

    @routes.post(
        "/uploads/known",
        dependencies=bounded,
        openapi_extra=_takes(sha256="up to 1000, hex", clinic="where he works at several"),
    )
    async def known(request: Request, actor: Actor = Depends(web.actor)) -> Response:
        """Which of these files the clinic's center has already, ``{"known": [...], "study_uids": [...]}``; send the rest."""
        permit(actor, Act.STUDY_UPLOAD)
        body = await _json(request)
        return JSONResponse(await run_in_threadpool(_known, parts, actor, body))

    @routes.post(
        "/uploads/finished",
        dependencies=bounded,
        openapi_extra=_takes(study_uids="of the studies sent", clinic="as above"),
    )
    async def finished(request: Request, actor: Actor = Depends(web.actor)) -> Response:
        """Nothing more comes for these studies: they are complete without further waiting."""
        permit(actor, Act.STUDY_UPLOAD)
        body = await _json(request)
        return JSONResponse(await run_in_threadpool(_finish, parts, actor, body))

    return routes


# ---------------------------------------------------------------- what is done
def _take(parts: Parts, actor: Actor, files: Mapping[str, bytes], fields: Mapping[str, str]) -> dict[str, Any]:
    clinic = _clinic(parts, actor, fields.get("clinic", ""))
    clinic_id, now = ClinicId(clinic["clinic_id"]), parts.clock.now()
    sent = sent_from(files, fields, now.astimezone(ZoneInfo(clinic["zone"])).date())
    taken = take_in(
        sent.files, sent.person, clinic_id=clinic_id, zone=clinic["zone"], actor=actor, now=now,
        door=parts.gateway.door, store=parts.store,
    )  # fmt: skip
    if taken.originals:
        _keep_originals(parts, actor, clinic_id, taken, sent)
    answer: dict[str, Any] = {
        "outcome": type(taken.outcome).__name__.lower(), "clinic": clinic_id, "study_uid": taken.outcome.study_uid,
        "sop_uid": taken.outcome.sop_uid, "sha256": taken.outcome.sha256, "originals": list(taken.originals),
    }  # fmt: skip
    if isinstance(taken.outcome, Quarantined):
        return answer | _QUARANTINED
    if sent.request is not None and (request_id := _write_request(parts, actor, clinic_id, taken, sent)):
        answer["request_id"] = request_id
    return answer


_QUARANTINED = {
    "zh": "中心已有同一编号而内容不同的记录，这一份已隔离，等管理员处理。",
    "en": "The center has another recording under the same number; this one is kept aside for an administrator.",
}


def _keep_originals(parts: Parts, actor: Actor, clinic_id: ClinicId, taken: Taken, sent: Sent) -> None:
    """The audit says which files the recording was made from; the objects are referred to."""
    sizes = [len(raw) for raw in sent.files.values()]
    # sent again after a crash in between, what was not written then is written now
    keep = SQL["keep_missing_object" if isinstance(taken.outcome, Same) else "keep_object"]
    with parts.database.transaction(actor, [clinic_id]) as work:
        new = [work.run(keep, sha256=digest, bytes=size) for digest, size in zip(taken.originals, sizes, strict=True)]
        for n, (name, digest, size) in enumerate(zip(sent.files, taken.originals, sizes, strict=True)):
            work.run(
                SQL["keep_original"], clinic_id=clinic_id, sop_uid=taken.outcome.sop_uid, n=n, name=name, sha256=digest,
                bytes=size,
            )  # fmt: skip
        if any(new):
            work.audit(
                "study:upload:originals", f"instance:{taken.outcome.sop_uid}", clinic_id=clinic_id,
                originals=list(taken.originals), sha256=taken.outcome.sha256,
            )  # fmt: skip


def _originals(parts: Parts, actor: Actor, clinic_id: ClinicId, study_uid: str) -> tuple[str, str, bytes]:
    """(file name, media type, bytes), for whoever may see the study.  Raises NotFound, Forbidden, Unavailable."""
    permit(actor, Act.STUDY_VIEW, Thing(clinic_id, Service.ECG))
    if clinic_id not in actor.own_clinics and parts.worklist.may_see(actor, clinic_id, study_uid) is None:
        raise NotFound("没有找到，或不在您的范围内。", "Not found, or not within your reach.")
    with parts.database.transaction(system_for(clinic_id)) as work:
        rows = work.all(SQL["originals_of_study"], clinic_id=clinic_id, study_uid=study_uid)
    if not rows:
        raise NotFound(
            "这次检查按 DICOM 收到，没有另外的原始文件。", "This study came as DICOM; there is no other original file."
        )
    with parts.database.transaction(actor, [clinic_id]) as work:
        digests = [row["sha256"] for row in rows]
        work.audit("study:originals:open", f"study:{study_uid}", clinic_id=clinic_id, originals=digests)
    contents = [(str(row["name"]), b"".join(parts.store.open_range(row["sha256"]))) for row in rows]
    if len(contents) == 1:
        return contents[0][0], "application/octet-stream", contents[0][1]
    return "ecg-originals.zip", "application/zip", _zipped(contents)


def _zipped(contents: list[tuple[str, bytes]]) -> bytes:
    """An archive that is the same each time; a name that is there twice gets its number."""
    out, names = io.BytesIO(), set[str]()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for n, (name, content) in enumerate(contents):
            single = name if name not in names else f"{n}-{name}"
            names.add(single)
            archive.writestr(zipfile.ZipInfo(single), content, zipfile.ZIP_DEFLATED)
    return out.getvalue()


def _write_request(parts: Parts, actor: Actor, clinic_id: ClinicId, taken: Taken, sent: Sent) -> str:
    """The request's id; empty when one was written with the same recording before."""
    assert sent.request is not None
    study_uid = taken.outcome.study_uid
    with parts.database.transaction(actor, [clinic_id]) as work:
        if work.one(SQL["request_of_study"], clinic_id=clinic_id, study_uid=study_uid):
            return ""
    return parts.worklist.write_request(actor, clinic_id, replace(sent.request, study_uid=study_uid)).request_id


def _known(parts: Parts, actor: Actor, body: Mapping[str, Any]) -> dict[str, Any]:
    clinic = ClinicId(_clinic(parts, actor, _text(body, "clinic"))["clinic_id"])
    digests = [d.lower() for d in _texts(body, "sha256", _MOST_DIGESTS)]
    with parts.database.transaction(actor, [clinic]) as work:
        rows = work.all(SQL["known"], clinic_id=clinic, digests=digests)
    studies = sorted({str(row["study_uid"]) for row in rows})
    return {"known": sorted({str(row["sha256"]) for row in rows}), "study_uids": studies}


def _finish(parts: Parts, actor: Actor, body: Mapping[str, Any]) -> dict[str, Any]:
    clinic = ClinicId(_clinic(parts, actor, _text(body, "clinic"))["clinic_id"])
    uids = list(dict.fromkeys(_texts(body, "study_uids", _MOST_DIGESTS)))
    parts.gateway.door.finish_upload(actor, clinic, uids)
    return {"finished": uids}


def _clinic(parts: Parts, actor: Actor, asked: str) -> Row:
    """The clinic that this person uploads for: the one that is named, or the only one.  Raises Forbidden, NotFound,
    Invalid."""
    mine = {c for c in actor.own_clinics if permitted(actor, Act.STUDY_UPLOAD, Thing(c))}
    if asked and asked not in mine:
        raise NotFound("没有找到，或不在您的范围内。", "Not found, or not within your reach.", {"clinic": asked[:32]})
    if not mine:
        raise Forbidden(
            "您没有上传权限。", "You may not upload.", {"act": Act.STUDY_UPLOAD.value, "grantor": "administrator"}
        )
    if not asked and len(mine) > 1:
        raise Invalid("请选择机构。", "Choose the clinic.", {"field": "clinic", "possible": sorted(mine)})
    wanted = asked or next(iter(mine))
    return next(row for row in parts.accounts.clinics() if row["clinic_id"] == wanted)


# ---------------------------------------------------------------- what was sent
async def _bounded(request: Request) -> None:
    """Raises Invalid for a body that is too large, or does not say how large it is: before any of it is read."""
    length = request.headers.get("content-length", "")
    if not length.isdigit():
        raise Invalid("请求没有说明大小。", "The request does not say how large it is.", {"field": "Content-Length"})
    whole = request.headers.get("content-type", "").startswith("multipart/form-data")
    most = MOST_BYTES + _ENVELOPE if whole else _ENVELOPE
    if int(length) > most:
        size = f"{int(length) / (1 << 20):.0f} MB"
        raise Invalid(
            f"文件太大（{size}）。心电文件最大 400 MB。",
            f"Too large ({size}): an ECG has 400 MB at most.",
            {"most": most},
        )


async def _received(request: Request) -> tuple[dict[str, bytes], dict[str, str]]:
    """(files by name, fields).  Raises Invalid."""
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        raise Invalid("请用 multipart/form-data 上传。", "Upload as multipart/form-data.", {"field": "Content-Type"})
    form = await request.form(max_files=MOST_FILES + 1, max_fields=len(FIELDS) + 8)
    files: dict[str, bytes] = {}
    fields: dict[str, str] = {}
    for name, value in form.multi_items():
        if isinstance(value, UploadFile):
            if value.filename:  # a browser sends an empty part for a field without a file
                files[_free(bare_name(value.filename), files)] = await value.read()
        else:
            fields[name] = value
    return files, fields


def _free(name: str, taken: Mapping[str, bytes]) -> str:
    """Two files of one name from two folders are two files."""
    return name if name not in taken else f"{len(taken)}-{name}"


async def _json(request: Request) -> dict[str, Any]:
    try:
        body: Any = await request.json()
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        raise Invalid("内容不是 JSON 对象。", "The body is not a JSON object.")
    return body


def _text(body: Mapping[str, Any], name: str) -> str:
    value = body.get(name) or ""
    if not isinstance(value, str):
        raise Invalid("这里要填文字。", "Text is needed here.", {"field": name})
    return value


def _texts(body: Mapping[str, Any], name: str, most: int) -> list[str]:
    value = body.get(name)
    if not isinstance(value, list) or not all(isinstance(v, str) and len(v) <= 64 and v.isascii() for v in value):
        raise Invalid("这里要填一列短文字。", "A list of short texts is needed here.", {"field": name})
    if len(value) > most:
        raise Invalid(f"一次最多 {most} 个。", f"{most} at a time at most.", {"field": name})
    return [v.replace("\x00", "") for v in value]


# ---------------------------------------------------------------- what /openapi.json says
def _takes(**names: str) -> dict[str, Any]:
    lists = {"sha256", "study_uids"}
    properties = {
        name: ({"type": "array", "items": {"type": "string"}} if name in lists else {"type": "string"})
        | {"description": words}
        for name, words in names.items()
    }
    return {"requestBody": {"content": {"application/json": {"schema": {"type": "object", "properties": properties}}}}}


_ECG_BODY: dict[str, Any] = {
    "requestBody": {
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["files"],
                    "properties": {
                        "files": {"type": "array", "items": {"type": "string", "format": "binary"}},
                        "clinic": {"type": "string", "description": "code, where he works at several"},
                        **{name: {"type": "string"} for name in FIELDS},
                    },
                }
            }
        }
    }
}
