"""Signing: the preview exactly as it will be signed, the password, what became of it; amending and withdrawing."""

from __future__ import annotations

from urllib.parse import quote

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from center.errors import Failure, Forbidden, NotFound, OverLimit, WrongState
from center.identity import Actor, CaseId
from center.permits import Act, permit
from center.web import Web
from worklist.records import CaseDetail
from worklist.room import Worklist
from worklist.web.answers import Fields, bounded, by_program, done, json_answer, sent, takes
from worklist.web.reading_view import held_view

#: The browser's own PDF viewer shows it in the page; nothing else may be loaded from it.
_PDF_HEADERS = {"Cache-Control": "private, no-store", "Content-Security-Policy": "frame-ancestors 'self'; object-src 'self'; plugin-types application/pdf"}  # fmt: skip


def router(web: Web, worklist: Worklist) -> APIRouter:
    """``/cases/{case_id}/preview``, ``/sign``, ``/done``, ``/reports``, ``/amend`` and ``/withdraw``."""
    routes = APIRouter(dependencies=[Depends(bounded)])

    def sign_page(request: Request, actor: Actor, detail: CaseDetail, failure: Failure | None = None) -> Response:
        status = failure.answer.http if failure else 200
        return web.page(
            request, "worklist/sign.html", status=status, detail=detail, held=held_view(detail, actor),
            sha256=detail.draft.preview_sha256 if detail.draft else "", failure=failure,
            blocked=sum(1 for item in detail.gate if item.level == "block"),
        )  # fmt: skip

    # ------------------------------------------------------------ preview and signature
    @routes.get("/cases/{case_id}/preview", include_in_schema=False)
    def preview(request: Request, case_id: str, actor: Actor = Depends(web.actor)) -> Response:
        permit(actor, Act.DRAFT_WRITE)
        detail = worklist.case(actor, CaseId(case_id))
        if not detail.token:
            return web.redirect(f"/cases/{case_id}")
        return sign_page(request, actor, detail)

    @routes.get("/cases/{case_id}/preview/{sha256}.pdf", include_in_schema=False)
    def preview_pdf(case_id: str, sha256: str, actor: Actor = Depends(web.actor)) -> Response:
        """The bytes that will be signed."""
        permit(actor, Act.DRAFT_WRITE)
        token = worklist.case(actor, CaseId(case_id)).token
        if not token:
            raise NotFound("没有找到，或不在您的范围内。", "Not found, or not within your reach.")
        return _pdf(worklist.preview_pdf(actor, CaseId(case_id), token, sha256), "preview.pdf")

    @routes.post("/cases/{case_id}/sign", include_in_schema=False)
    @routes.post(
        "/api/cases/{case_id}/sign",
        tags=["worklist"],
        openapi_extra=takes(preview_sha256="of the preview that was looked at", password="the signer's own"),
    )
    def sign(
        request: Request, case_id: str, form: Fields = Depends(sent), actor: Actor = Depends(web.actor)
    ) -> Response:
        """Signs as final. A person's own session only: software does not stand in for a physician."""
        permit(actor, Act.REPORT_SIGN)
        detail = worklist.case(actor, CaseId(case_id))
        try:
            signed = worklist.sign(
                actor, CaseId(case_id), form.text("token", most=200) or detail.token,
                form.text("preview_sha256", most=64), form.text("password", most=1000),
            )  # fmt: skip
        except (Forbidden, OverLimit, WrongState) as failure:
            if by_program(request) or not detail.token or "act" in failure.facts:
                raise
            return sign_page(request, actor, worklist.case(actor, CaseId(case_id)), failure)
        return done(request, web, f"/cases/{case_id}/done", signed)

    @routes.get("/cases/{case_id}/sign", include_in_schema=False)
    def back(case_id: str, actor: Actor = Depends(web.actor)) -> Response:
        """The address of a refused signature, asked for again (a reload, the language switch)."""
        permit(actor, Act.DRAFT_WRITE)
        return web.redirect(f"/cases/{quote(case_id)}/preview")

    @routes.get("/cases/{case_id}/done", include_in_schema=False)
    def signed_page(request: Request, case_id: str, actor: Actor = Depends(web.actor)) -> Response:
        """What becomes of the report, and the next case."""
        permit(actor, Act.READ_VIEW)
        detail = worklist.case(actor, CaseId(case_id))
        if not detail.versions:
            return web.redirect(f"/cases/{case_id}")
        return web.page(
            request, "worklist/done.html", held=held_view(detail, actor), following=worklist.next_case(actor)
        )

    # ------------------------------------------------------------ what was signed
    @routes.get("/cases/{case_id}/reports/{version}.pdf", tags=["worklist"])
    def report_pdf(case_id: str, version: int, actor: Actor = Depends(web.actor)) -> Response:
        """A signed version as it was sealed, for its readers."""
        permit(actor, Act.READ_VIEW)
        known, pdf = worklist.report_pdf(actor, CaseId(case_id), version)
        return _pdf(pdf, f"{known.report_no}.pdf")

    @routes.post("/cases/{case_id}/amend", include_in_schema=False)
    @routes.post(
        "/api/cases/{case_id}/amend", tags=["worklist"], openapi_extra=takes(reason="printed in the new version")
    )
    def amend(
        request: Request, case_id: str, form: Fields = Depends(sent), actor: Actor = Depends(web.actor)
    ) -> Response:
        """A new lease; the version in force stays so until the new one is signed."""
        permit(actor, Act.REPORT_AMEND)
        lease = worklist.amend(actor, CaseId(case_id), form.text("reason", most=500))
        return done(request, web, f"/cases/{case_id}", worklist.open_case(actor, lease.case_id, lease.token))

    @routes.post("/cases/{case_id}/withdraw", include_in_schema=False)
    @routes.post(
        "/api/cases/{case_id}/withdraw",
        tags=["worklist"],
        openapi_extra=takes(
            reason="told to everyone who has it",
            wrong_patient="1: these are not this patient's images",
            password="his own, again",
        ),
    )
    def withdraw(
        request: Request, case_id: str, form: Fields = Depends(sent), actor: Actor = Depends(web.actor)
    ) -> Response:
        permit(actor, Act.REPORT_WITHDRAW)
        reason, wrong = form.text("reason", most=500), form.flag("wrong_patient")
        worklist.confirm(actor, form.text("password", most=1024))
        worklist.withdraw(actor, CaseId(case_id), reason, wrong_patient=wrong)
        return done(request, web, f"/cases/{case_id}")

    @routes.get("/api/cases/{case_id}/versions", tags=["worklist"])
    def versions(case_id: str, actor: Actor = Depends(web.actor)) -> Response:
        permit(actor, Act.READ_VIEW)
        return json_answer(worklist.versions(actor, CaseId(case_id)))

    return routes


def _pdf(content: bytes, name: str) -> Response:
    disposition = f'inline; filename="{name}"'
    return Response(content, media_type="application/pdf", headers={**_PDF_HEADERS, "Content-Disposition": disposition})
