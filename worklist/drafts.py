"""Drafts: saved by lease token with versions; a stale token's text is kept as an orphan. Verdicts."""

from __future__ import annotations

from collections.abc import Sequence

from center.database import Work
from center.errors import HeldByAnother, Invalid, WrongState
from center.identity import Actor, CaseId
from center.permits import Act
from center.ports import StoredRead
from center.reads import Decision
from worklist import gate, leases, lifecycle, moves, routing, store
from worklist.lifecycle import CaseState
from worklist.parts import Parts
from worklist.records import CaseRow, Draft, DraftContent, GateItem, Saved, Verdict
from worklist.sheet import Text
from worklist.store import SQL

#: A report's text fields hold this many characters each at most.
TEXT_LIMIT = 20_000


def save(parts: Parts, actor: Actor, case_id: CaseId, token: str, content: DraftContent, base_version: int) -> Saved:
    """The new version. A stale token: kept as an orphan, then HeldByAnother; an older base: WrongState."""
    _fits(content)
    stale: HeldByAnother | None = None
    with moves.on_case(parts, actor, case_id, Act.DRAFT_WRITE) as (work, row):
        try:
            leases.require_holder(parts, row, actor, token)
        except HeldByAnother as failure:
            stale = failure  # raised after the commit: what was written must be kept
            _keep_orphan(parts, work, row, actor, token, content)
        else:
            _same_base(work, row, token, base_version)
            leases.keep_alive(parts, work, row, active=True)
            return _keep(parts, work, row, token, content, orphan=False)
    raise stale


def _keep(parts: Parts, work: Work, row: CaseRow, token: str, content: DraftContent, *, orphan: bool) -> Saved:
    now = parts.clock.now()
    found = work.one(
        SQL["save_draft"], clinic_id=row.clinic_id, case_id=row.case_id, token=token,
        content=work.json(store.content_values(content)), now=now, orphan=orphan,
    )  # fmt: skip
    if found is None:
        raise store.missing()
    return Saved(found["version"], now)


def _keep_orphan(parts: Parts, work: Work, row: CaseRow, actor: Actor, token: str, content: DraftContent) -> None:
    draft = work.one(SQL["draft_locked"], clinic_id=row.clinic_id, case_id=row.case_id, token=token)
    if draft is None or draft["person_id"] != actor.person_id:
        return  # never a lease of his: a made-up token keeps nothing
    if store.content_from(draft["content"]) == content:
        return
    _keep(parts, work, row, token, content, orphan=True)
    work.audit("draft:orphan", f"case:{row.case_id}", clinic_id=row.clinic_id)


def _same_base(work: Work, row: CaseRow, token: str, base_version: int) -> None:
    draft = work.one(SQL["draft_locked"], clinic_id=row.clinic_id, case_id=row.case_id, token=token)
    if draft is None:
        raise store.missing()
    if draft["version"] != base_version:
        raise WrongState(
            "这份草稿已在另一个窗口保存过，请先载入最新内容。",
            "This draft was saved in another window; load the latest first.",
            {"state": "draft", "possible": ["reload"], "current": draft["version"]},
        )


def _fits(content: DraftContent) -> None:
    texts = (content.findings, content.impression, content.recommendation, *content.answers.values())
    if any(len(text) > TEXT_LIMIT for text in texts) or len(content.answers) > 50:
        raise Invalid(
            f"一栏最多 {TEXT_LIMIT} 字。", f"A field holds {TEXT_LIMIT} characters at most.", {"limit": TEXT_LIMIT}
        )


# ---------------------------------------------------------------- verdicts
def write_verdict(
    parts: Parts, actor: Actor, case_id: CaseId, token: str, read_id: str, finding_key: str, verdict: str, reason: str
) -> None:
    """Kept for the version being written; the preview that the draft had is out of date."""
    if verdict not in ("accepted", "rejected"):
        raise Invalid("只能采纳或驳回。", "Only accepted or rejected.", {"field": "verdict"})
    with moves.on_case(parts, actor, case_id, Act.VERDICT_WRITE, locked=False) as (_, seen):
        study = seen.clinic_id, seen.study_uid
    finding = _finding(parts.reads.of(*study), read_id, finding_key)
    if verdict == "rejected" and finding.critical and not reason.strip():
        raise Invalid(
            "驳回机器的危急提示须写明原因。",
            "Rejecting a critical machine finding needs a reason.",
            {"field": "reason"},
        )
    with moves.on_case(parts, actor, case_id, Act.VERDICT_WRITE) as (work, row):
        leases.require_holder(parts, row, actor, token)
        if row.state is not CaseState.READING:
            raise lifecycle.wrong_state(row.state, lifecycle.possible(lifecycle.CASE, row.state))
        work.run(
            SQL["keep_verdict"], clinic_id=row.clinic_id, case_id=row.case_id, version=next_version(work, row),
            read_id=read_id, finding_key=finding_key, verdict=verdict, reason=reason.strip(), person_id=actor.person_id,
            now=parts.clock.now(),
        )  # fmt: skip
        work.run(SQL["drop_preview"], clinic_id=row.clinic_id, case_id=row.case_id, token=token)
        leases.keep_alive(parts, work, row, active=True)
        work.audit(
            f"verdict:{verdict}", f"case:{row.case_id}", clinic_id=row.clinic_id, reason=reason.strip(),
            read_id=read_id, finding=finding_key,
        )  # fmt: skip


def _finding(reads: Sequence[StoredRead], read_id: str, key: str) -> gate.MachineFinding:
    for found in machine_findings(reads, (), every=True):
        if found.read_id == read_id and found.key == key:
            return found
    raise store.missing()


def machine_findings(
    reads: Sequence[StoredRead], verdicts: Sequence[Verdict], *, every: bool = False
) -> tuple[gate.MachineFinding, ...]:
    """Findings of each model's newest read that say "present" (``every``: all of them), with whether he answered."""
    decided = {(v.read_id, v.finding_key) for v in verdicts}
    return tuple(
        gate.MachineFinding(
            r.read_id, f.key, f.zh, f.en, f.critical and f.decision is Decision.PRESENT, (r.read_id, f.key) in decided
        )
        for r in routing.latest_of_each(reads)
        for f in r.read.answerable
        if every or f.decision is Decision.PRESENT
    )


# ---------------------------------------------------------------- the gate
def next_version(work: Work, row: CaseRow) -> int:
    """The number that the version being written will have."""
    return max((v.version for v in store.versions(work, row)), default=0) + 1


def gate_of(
    row: CaseRow, content: DraftContent, reads: Sequence[StoredRead], verdicts: Sequence[Verdict]
) -> tuple[GateItem, ...]:
    """What the gate finds in this draft now."""
    facts = gate.Facts(
        sex=row.patient_sex,
        age_years=row.patient_age_years,
        exam=row.exam,
        laterality=row.laterality,
        question=row.question,
        flags=row.flags,
        unseen_images=row.seen_generation < row.generation,
        machine=machine_findings(reads, verdicts),
    )
    return gate.check(content, facts)


def own_draft(work: Work, row: CaseRow, token: str) -> Draft | None:
    """The draft of this lease."""
    found = work.one(SQL["draft"], clinic_id=row.clinic_id, case_id=row.case_id, token=token)
    return None if found is None else store.draft_from(found)


def preview_again(why: Text) -> WrongState:
    """The failure of a signature whose preview is not what would be signed."""
    return WrongState(
        f"{why.zh}请重新预览后再签发。", f"{why.en} Preview again before signing.",
        {"state": CaseState.READING.value, "possible": ["preview"]},
    )  # fmt: skip
