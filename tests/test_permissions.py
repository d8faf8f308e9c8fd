"""Every route of the assembled application x every role x own or other clinic: what center/permits grants, nothing else.

A route that has no line here fails the first test: who adds one says who may use it.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from pydicom import dcmread

from center.codes import Role, Service
from center.identity import CaseId, ClinicId
from center.jobs import Runner
from center.permits import GRANTS, Act, Where
from center.ports import Provenance
from center.settings import Settings
from center.web import COOKIE
from portal import wiring
from portal.demo_studies import film_dicom
from portal.parts import Parts
from portal.web import make_app
from tests import steps
from worklist.records import DraftContent

PASSWORD = "correct horse battery"
OWN, OTHER = "shigou", "helan"
#: login -> role and where it is held; the reader reads for OWN by agreement, ``elsewhere`` for OTHER.
PEOPLE: dict[str, tuple[Role, str]] = {
    "tech": (Role.TECHNICIAN, OWN),
    "doctor": (Role.CLINIC_DOCTOR, OWN),
    "reader": (Role.READER, "tertiary"),
    "dispatch": (Role.DISPATCHER, "county"),
    "admin": (Role.ADMINISTRATOR, "county"),
    "regulator": (Role.REGULATOR, "county"),
}


@dataclass(frozen=True, slots=True)
class Rule:
    """acts: all must be granted. thing: what the address or the body names, "" where it names no clinic's thing.

    or_act: enough by itself. misses: what it asks for is not there even for those who may (404). lists: others' things
    are left out, not refused.
    """

    acts: tuple[Act, ...] = ()
    thing: str = ""
    misses: bool = False
    lists: bool = False
    or_act: Act | None = None


PUBLIC = Rule()
#: Somebody must be signed in; the stream has no end, so that only a stranger asks for it here.
STREAM = Rule(thing="stream")
#: About nobody but the asker: his own account.
ONESELF = Rule(thing="oneself")


def on(*acts: Act, thing: str = "signed", misses: bool = False, lists: bool = False) -> Rule:
    return Rule(acts, thing, misses, lists)


def _both(method: str, tail: str, rule: Rule) -> dict[str, Rule]:
    """The same act for a page and for a program."""
    return {f"{method} /cases/{{case_id}}{tail}": rule, f"{method} /api/cases/{{case_id}}{tail}": rule}


_WADO = (
    "", "/metadata", "/rendered", "/thumbnail", "/series/{series}", "/series/{series}/metadata",
    "/series/{series}/rendered", "/series/{series}/thumbnail", "/series/{series}/instances/{sop}",
    "/series/{series}/instances/{sop}/metadata", "/series/{series}/instances/{sop}/rendered",
    "/series/{series}/instances/{sop}/thumbnail", "/series/{series}/instances/{sop}/frames/{numbers}",
    "/series/{series}/instances/{sop}/frames/{number}/rendered",
    "/series/{series}/instances/{sop}/frames/{number}/thumbnail",
    "/series/{series}/instances/{sop}/bulkdata/{path:path}",
)  # fmt: skip
_QIDO = (
    "/studies", "/series", "/instances", "/studies/{study}/series", "/studies/{study}/instances",
    "/studies/{study}/series/{series}/instances",
)  # fmt: skip
_CASE_WEB = "/cases/{case_id}/dicom-web"

RULES: dict[str, Rule] = {
    # the reader's pages
    **{f"GET {path}": on(Act.WORKLIST_VIEW, thing="") for path in ("/worklist", "/worklist/live", "/api/worklist")},
    "GET /worklist/preview/{case_id}": on(Act.WORKLIST_VIEW, Act.CASE_VIEW),
    "POST /worklist/next": on(Act.LEASE_TAKE, thing=""),
    "POST /api/cases/next": on(Act.LEASE_TAKE, thing=""),
    **_both("GET", "", on(Act.READ_VIEW)),
    "GET /cases/{case_id}/live": on(Act.READ_VIEW),
    "GET /api/cases/{case_id}/timeline": on(Act.READ_VIEW),
    **{k: v for tail in ("/take", "/open", "/heartbeat", "/release")
       for k, v in _both("POST", tail, on(Act.LEASE_TAKE, thing="queued")).items()},
    **{k: v for tail in ("/draft", "/seen", "/preview")
       for k, v in _both("POST", tail, on(Act.DRAFT_WRITE, thing="queued")).items()},
    "GET /cases/{case_id}/preview": on(Act.DRAFT_WRITE, thing="queued"),
    "GET /cases/{case_id}/preview/{sha256}.pdf": on(Act.DRAFT_WRITE, thing="queued", misses=True),
    **_both("POST", "/verdicts/{read_id}/{finding_key}", on(Act.VERDICT_WRITE, thing="queued", misses=True)),
    **_both("POST", "/reject-quality", on(Act.QUALITY_REJECT, thing="queued")),
    **_both("POST", "/urgency", on(Act.URGENCY_RAISE, thing="queued")),
    **_both("POST", "/alerts", on(Act.ALERT_RAISE)),
    **_both("POST", "/alerts/{alert_id}/refute", on(Act.ALERT_RAISE)),
    **_both("POST", "/tasks/{task_id}", on(Act.TASK_DO, misses=True)),
    **_both("POST", "/sign", on(Act.REPORT_SIGN)),
    "GET /cases/{case_id}/sign": on(Act.DRAFT_WRITE, thing=""),  # leads to the preview, whatever the case
    "GET /cases/{case_id}/done": on(Act.READ_VIEW),
    "GET /cases/{case_id}/reports/{version}.pdf": on(Act.READ_VIEW),
    **_both("POST", "/amend", on(Act.REPORT_AMEND)),
    **_both("POST", "/withdraw", on(Act.REPORT_WITHDRAW)),
    "GET /api/cases/{case_id}/versions": on(Act.READ_VIEW),
    # the clinic's pages
    "GET /clinic": on(Act.UPLOADS_LIST, thing=""),
    "GET /api/clinic/{clinic_id}/uploads": on(Act.UPLOADS_LIST),
    **{f"POST {root}/alerts/{{alert_id}}/{act}": on(Act.ALERT_ACKNOWLEDGE)
       for root in ("/clinic", "/api") for act in ("acknowledge", "close")},
    "POST /clinic/notices": on(Act.REPORT_RECEIPT, thing=""),
    "GET /clinic/reports/{case_id}/{version}.pdf": on(Act.REPORT_VIEW),
    "POST /clinic/cases/{case_id}/receipt": on(Act.REPORT_RECEIPT),
    "POST /api/cases/{case_id}/receipt": on(Act.REPORT_RECEIPT),
    "GET /clinic/cases/{case_id}": on(Act.CASE_VIEW, Act.UPLOADS_LIST),
    "POST /clinic/cases/{case_id}/cancel": on(Act.CASE_CANCEL, thing="queued"),
    "POST /api/cases/{case_id}/cancel": on(Act.CASE_CANCEL, thing="queued"),
    "POST /clinic/cases/{case_id}/urgency": on(Act.URGENCY_RAISE, thing="queued"),
    "GET /clinic/requests/new": on(Act.REQUEST_WRITE, thing="clinic"),
    "POST /clinic/requests": on(Act.REQUEST_WRITE, thing="clinic"),
    "POST /api/requests": on(Act.REQUEST_WRITE, thing="clinic"),
    "GET /clinic/studies/{study_uid}/identity": on(Act.IDENTITY_CORRECT, thing="clinic"),
    "POST /clinic/studies/{study_uid}/identity": on(Act.IDENTITY_CORRECT, thing="clinic"),
    "POST /api/studies/{study_uid}/identity": on(Act.IDENTITY_CORRECT, thing="clinic"),
    "GET /uploads/originals/{clinic_id}/{study_uid}": on(Act.STUDY_VIEW, misses=True),
    "POST /uploads/ecg": on(Act.STUDY_UPLOAD, thing=""),
    "POST /uploads/known": on(Act.STUDY_UPLOAD, thing="clinic"),
    "POST /uploads/finished": on(Act.STUDY_UPLOAD, thing="clinic"),
    # the dispatcher's
    "GET /dispatch": on(Act.BOARD_VIEW, thing=""),
    "POST /dispatch/alerts/{alert_id}/acknowledge": on(Act.BOARD_VIEW, Act.ALERT_ACKNOWLEDGE),
    "POST /dispatch/alerts/{alert_id}/close": on(Act.BOARD_VIEW, Act.ALERT_ACKNOWLEDGE),
    "POST /dispatch/tasks/{task_id}/done": on(Act.BOARD_VIEW, Act.TASK_DO, misses=True),
    "POST /dispatch/cases/{case_id}/reassign": on(Act.BOARD_VIEW, Act.CASE_REASSIGN, thing="queued"),
    "POST /dispatch/cases/{case_id}/urgency": on(Act.BOARD_VIEW, Act.URGENCY_RAISE, thing="queued"),
    # administration, audit, what the machine said
    "GET /administration": on(Act.ADMIN_VIEW, thing=""),
    "GET /administration/{name}": on(Act.ADMIN_VIEW, thing=""),
    "GET /access": on(Act.ACCESS_CHANGE, thing=""),
    "POST /access/people/{login}/unlock": on(Act.ACCESS_CHANGE, thing="", misses=True),
    "POST /access/tokens/{token_id}/revoke": on(Act.ACCESS_CHANGE, thing="", misses=True),
    "GET /jobs": on(Act.JOBS_VIEW, thing=""),
    "GET /api/jobs": on(Act.JOBS_VIEW, thing=""),
    "POST /jobs/{job_id}/retry": on(Act.JOB_DECIDE, thing="", misses=True),
    "POST /jobs/{job_id}/dismiss": on(Act.JOB_DECIDE, thing="", misses=True),
    "GET /audit": on(Act.AUDIT_VIEW, thing=""),
    "POST /audit/verify": on(Act.AUDIT_VIEW, thing=""),
    "GET /ecg/sheet/{clinic_id}/{study_uid}": on(Act.STUDY_VIEW, misses=True),
    "GET /ecg/sheet/{clinic_id}/{study_uid}.pdf": on(Act.STUDY_VIEW, misses=True),
    "GET /reads/{clinic_id}/{study_uid}": on(Act.READ_VIEW),
    # DICOMweb
    **{f"GET /dicom-web{path}": on(Act.STUDY_VIEW, lists=True) for path in _QIDO},
    **{f"GET /dicom-web/studies/{{study}}{path}": on(Act.STUDY_VIEW, misses="bulkdata" in path) for path in _WADO},
    "POST /dicom-web/studies": on(Act.STUDY_UPLOAD, thing="clinic"),
    "POST /dicom-web/studies/{study}": Rule((Act.STUDY_UPLOAD,), "clinic", or_act=Act.RESULT_SAVE),
    **{f"GET {_CASE_WEB}{path}": on(Act.READ_VIEW) for path in _QIDO},
    **{f"GET {_CASE_WEB}/studies/{{study}}{path}": on(Act.READ_VIEW, misses="bulkdata" in path) for path in _WADO},
    f"POST {_CASE_WEB}/studies": on(Act.RESULT_SAVE),
    f"POST {_CASE_WEB}/studies/{{study}}": on(Act.RESULT_SAVE),
    # anybody's
    **{f"GET {path}": PUBLIC for path in ("/openapi.json", "/qr/{token}", "/q/{token}", "/", "/sign-in",
       "/static/{path:path}", "/ohif/{path:path}", "/health", "/metrics", "/favicon.ico")},
    **{f"POST {path}": PUBLIC for path in ("/sign-in", "/sign-out", "/preferences")},
    "GET /events": STREAM,
    **dict.fromkeys(("GET /account", "POST /account/password", "POST /account/sign-out"), ONESELF),
}  # fmt: skip


def routes_of(app: FastAPI) -> set[str]:
    """ "METHOD /path/{template}" of every route, routers in routers included."""

    def walk(routes: Any) -> Iterator[Any]:
        for route in routes:
            inner = getattr(route, "original_router", None)
            if inner is None:
                yield route
            else:
                yield from walk(inner.routes)

    return {f"{m} {r.path}" for r in walk(app.routes) for m in r.methods - {"HEAD"}}


def granted(role: Role, rule: Rule, where: str) -> bool:
    """By the table of center/permits alone: what one role's holder may do with his own, or another clinic's, thing."""

    def one(act: Act) -> bool:
        return any(g.role is role and (g.where is Where.ANY or where == OWN) for g in GRANTS[act])

    return all(one(act) for act in rule.acts) or (rule.or_act is not None and one(rule.or_act))


# ---------------------------------------------------------------- a small center
@dataclass(frozen=True, slots=True)
class Things:
    """What the addresses name at one clinic: a case that waits, and one that is signed, with its alert."""

    queued: dict[str, str]
    signed: dict[str, str]


@dataclass(frozen=True, slots=True)
class Center:
    app: FastAPI
    things: dict[str, Things]


@pytest.fixture
def center(emptied: dict[str, str], clinics: tuple[str, ...], tmp_path: Path) -> Iterator[Center]:
    environ = {
        "HELAN_DATA": str(tmp_path / "var"), "HELAN_DATABASE_WEB": emptied["helan_web"],
        "HELAN_DATABASE_SERVICE": emptied["helan_service"], "HELAN_PUBLIC_URL": "http://testserver",
    }  # fmt: skip
    settings = Settings.parse(environ)
    worker, web = wiring.open_parts(settings, "worker"), wiring.open_parts(settings, "web")
    try:
        _people(worker)
        things = {OWN: _things(worker, OWN, "reader"), OTHER: _things(worker, OTHER, "elsewhere")}
        yield Center(make_app(web), things)
    finally:
        web.live.stop()
        worker.database.close()
        web.database.close()


def _people(parts: Parts) -> None:
    for requesting, reading in ((OWN, "tertiary"), (OTHER, "county")):
        for service in Service:
            parts.accounts.add_agreement(requesting, reading, service)
    for login, (role, clinic) in {
        **PEOPLE,
        "elsewhere": (Role.READER, "county"),
        "far": (Role.TECHNICIAN, OTHER),
    }.items():
        licence, scope = ("110640000000009", list(Service)) if role is Role.READER else ("", [])
        person_id, _ = parts.accounts.add_person(login, login, PASSWORD, [(clinic, role)], licence=licence, scope=scope)
        if licence:
            parts.signer.issue(person_id, login, licence, PASSWORD)


def _things(parts: Parts, clinic: str, reader: str) -> Things:
    queued, signed = _film(parts, clinic, "queued"), _film(parts, clinic, "signed")
    runner = Runner(parts.database, wiring.worker_handlers(parts), parts.clock)
    runner.run_until_idle()
    actor, work = parts.accounts.actor_of(reader), parts.worklist
    for one in (queued, signed):
        row = work.case_of_study(actor, ClinicId(clinic), one["study"])
        assert row is not None
        one["case_id"] = row.case_id
    lease = work.take(actor, CaseId(signed["case_id"]), "test")
    work.open_case(actor, lease.case_id, lease.token)
    work.save_draft(actor, lease.case_id, lease.token, DraftContent(impression="未见异常。"), 0)
    shown = work.preview(actor, lease.case_id, lease.token)
    work.sign(actor, lease.case_id, lease.token, shown.sha256, PASSWORD)
    signed["alert_id"] = work.raise_alert(actor, lease.case_id, "左侧气胸").alert_id
    runner.run_until_idle()
    return Things(queued, signed)


def _film(parts: Parts, clinic: str, name: str) -> dict[str, str]:
    person = steps.made_person()
    raw = film_dicom(f"{clinic}|{name}|{person.local_id}", person, datetime(2026, 11, 20, 9, 0), rows=64, columns=64)
    sender = parts.accounts.actor_of("tech" if clinic == OWN else "far")
    parts.gateway.door.accept(io.BytesIO(raw), Provenance(ClinicId(clinic), "upload", sender, complete_on_arrival=True))
    header = dcmread(io.BytesIO(raw), stop_before_pixels=True)
    return {
        "study": str(header.StudyInstanceUID), "study_uid": str(header.StudyInstanceUID),
        "series": str(header.SeriesInstanceUID), "sop": str(header.SOPInstanceUID), "clinic_id": clinic,
        "version": "1", "alert_id": "none", "job_id": "1", "task_id": "none", "read_id": "none", "finding_key": "none",
        "sha256": "0" * 64, "numbers": "1", "number": "1", "path": "00091001", "name": "clinics", "token": "none",
        "login": "nobody", "token_id": "none",
    }  # fmt: skip


def _client(app: FastAPI, parts_login: str | None) -> TestClient:
    client = TestClient(app, base_url="http://testserver", follow_redirects=False, raise_server_exceptions=False)
    client.headers["Accept"] = "application/json"
    if parts_login is not None:
        answer = client.post("/sign-in", data={"login": parts_login, "password": PASSWORD})
        assert answer.status_code == 303 and COOKIE in client.cookies, answer.text[:200]
        page = client.get(answer.headers["location"], headers={"Accept": "text/html"})
        found = re.search(r'<meta name="csrf" content="([^"]+)"', page.text)
        assert found, page.text[:300]
        client.headers["X-CSRF-Token"] = found.group(1)
    return client


#: What makes every form whole; with it, only permission stands between the asker and another clinic's thing.
_WHOLE = {
    "reason": "试用", "token": "x", "impression": "x", "base_version": 0, "version": 1, "urgency": "stat", "finding": "x",
    "generation": 1, "verdict": "accepted", "read_back": "左侧气胸", "receiver": "x", "action": "x", "local_id": "x",
    "name": "x", "birth": "1970-01-01", "sex": "M", "preview_sha256": "0" * 64, "password": "x", "ids": "", "sha256": [],
    "study_uids": [], "wrong_patient": "1",
}  # fmt: skip


def ask(client: TestClient, route: str, rule: Rule, things: Things, where: str) -> Any:
    """One request. With one's own things forms stay empty: what is permitted then changes nothing."""
    method, template = route.split(" ", 1)
    values = things.queued if rule.thing == "queued" else things.signed
    path = re.sub(r"\{(\w+)(?::path)?\}", lambda m: values[m.group(1)], template)
    query = {"clinic": values["clinic_id"]} if rule.thing == "clinic" else {}
    query |= {"StudyInstanceUID": values["study"]} if rule.lists else {}
    if method == "GET":
        accept = {"Accept": "*/*"} if "dicom-web" in path else {}
        return client.get(path, params=query, headers=accept)
    if "dicom-web" in path:
        body = b"--part--\r\n"
        kind = 'multipart/related; type="application/dicom"; boundary=part'
        return client.post(path, params=query, content=body, headers={"Content-Type": kind})
    body = (_WHOLE if where == OTHER else {}) | query
    return client.post(path, params=query, json=body)


def refusal(answer: Any) -> bool:
    """Permission was refused, by the table or by row security; a wrong password or a state is another matter."""
    if answer.status_code == 404:
        return True
    return answer.status_code == 403 and "act" in answer.json()["facts"]


def wrong(answer: Any, rule: Rule, allowed: bool, where: str) -> bool:
    if answer.status_code in (401, 500):
        return True
    if rule.lists and where == OTHER and allowed is False and answer.status_code in (200, 204):
        return bool(answer.content) and answer.json() != []
    if allowed:
        return refusal(answer) and not (answer.status_code == 404 and rule.misses)
    return answer.status_code not in (403, 404)


# ---------------------------------------------------------------- the tests
def test_every_route_has_a_line_here_and_answers_each_role_by_the_table_of_grants(center: Center) -> None:
    routes = routes_of(center.app)
    assert routes == set(RULES), f"no line: {routes - set(RULES)}; no route: {set(RULES) - routes}"
    mistakes: list[str] = []
    for login, (role, _) in PEOPLE.items():
        client = _client(center.app, login)
        for route, rule in sorted(RULES.items()):
            if not rule.acts:
                continue
            for where in (OWN, OTHER) if rule.thing else (OWN,):
                answer = ask(client, route, rule, center.things[where], where)
                allowed = granted(role, rule, where)
                if wrong(answer, rule, allowed, where):
                    mistakes.append(
                        f"{role:14} {where:7} {allowed!s:5} {answer.status_code} {route} {answer.text[:120]}"
                    )
    assert not mistakes, "\n" + "\n".join(mistakes)


def test_a_stranger_gets_nothing_but_what_is_anybodys(center: Center) -> None:
    client = _client(center.app, None)
    mistakes = [
        f"{answer.status_code} {route}"
        for route, rule in sorted(RULES.items())
        if rule is not PUBLIC and (answer := ask(client, route, rule, center.things[OWN], OWN)).status_code != 401
    ]
    assert not mistakes, mistakes
