"""The printed code: a random token, kept as a hash, leads to current, replaced or withdrawn; not to whom."""

from __future__ import annotations

import hashlib

from center.database import Database, Work
from center.errors import NotFound
from center.identity import SYSTEM
from worklist.lifecycle import ReportState
from worklist.parts import Parts
from worklist.records import QrPage
from worklist.store import SQL

_STATUS = {
    ReportState.FINAL: "current",
    ReportState.AMENDED: "replaced",
    ReportState.WITHDRAWN: "withdrawn",
}


def address(parts: Parts, token: str) -> str:
    """What the code says."""
    return f"{parts.public_url.rstrip('/')}/q/{token}"


def keep(work: Work, clinic_id: str, case_id: str, version: int, token: str) -> None:
    """From now on the token leads to this version."""
    work.run(SQL["insert_qr"], token_hash=hash_of(token), clinic_id=clinic_id, case_id=case_id, n=version)


def page(parts: Parts, token: str) -> QrPage:
    """Raises NotFound."""
    with parts.database.transaction(SYSTEM) as work:
        row = work.one(SQL["qr_page"], token_hash=hash_of(token))
    if row is None:
        raise NotFound(
            "没有这个核对码。请核对纸质报告是否为本中心签发。",
            "There is no such code. Check whether this center issued the paper.",
        )
    status = _STATUS[ReportState(row["status"])]
    return QrPage(status, row["n"], row["signed_at"], row["content_sha256"], row["current_n"])


def standing(database: Database, content_sha256: str) -> tuple[str, int | None] | None:
    """(current | replaced | withdrawn, the version in force) of a report by what it says; None where it is not ours."""
    with database.transaction(SYSTEM) as work:
        row = work.one(SQL["standing"], content_sha256=content_sha256)
    return None if row is None else (_STATUS[ReportState(row["status"])], row["current_n"])


def hash_of(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
