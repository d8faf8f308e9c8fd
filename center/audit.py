"""The audit: rows written plainly with the act, chained every second, heads signed and kept apart in the store.

What a later reader can prove with them: no row was removed, changed or swapped, the tail was not cut, and the whole
was not written anew (the heads in the object store are older than such a rewriting).
"""

from __future__ import annotations

import hashlib
import io
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from center import observe
from center.database import Database, Row, Work
from center.errors import Failure, Unavailable
from center.identity import SYSTEM
from center.ports import Clock, ObjectStore

log = observe.log("center")

_BATCH = 500
_FIELDS = ("id", "at", "person_id", "login", "clinic_id", "act", "thing", "reason", "detail")
GENESIS = "0" * 64
Sign = Callable[[bytes], str]
Check = Callable[[bytes, str], bool]


@dataclass(frozen=True, slots=True)
class AuditVerdict:
    """What `helan audit verify` found: rows that chain, and sentences about what does not."""

    rows: int
    unchained: int
    heads: int
    problems: tuple[str, ...]

    @property
    def sound(self) -> bool:
        return not self.problems


def row_hash(previous: str, row: Row) -> str:
    """sha256 over the previous hash and the row's canonical JSON."""
    content: dict[str, Any] = {name: row[name] for name in _FIELDS}
    content["at"] = row["at"].isoformat()
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=str)
    return hashlib.sha256(previous.encode() + text.encode()).hexdigest()


class AuditSealer:
    """Chains new rows and signs the head; one at a time over all processes."""

    def __init__(self, database: Database, store: ObjectStore, clock: Clock, sign: Sign) -> None:
        self._database = database
        self._store = store
        self._clock = clock
        self._sign = sign

    def serve(self, stop: threading.Event, every_s: float = 1.0) -> None:
        while not stop.wait(every_s):
            try:
                self.seal()
            except Failure as failure:
                log.warning("audit.sealing_waits", failure=failure.name)

    def seal(self) -> int:
        """Chains what is not chained yet; how many rows. A head goes to the store when there were any."""
        signature = ""
        with self._database.transaction(SYSTEM) as work:
            if not _only_one(work):
                return 0
            last = work.one("select seq, hash from center.audit_chain order by seq desc limit 1")
            seq, previous = (last["seq"], last["hash"]) if last else (0, GENESIS)
            rows = work.all(
                "select a.* from center.audit a where not exists (select 1 from center.audit_chain c where c.audit_id = a.id)"
                " order by a.id limit %(n)s",
                n=_BATCH,
            )
            for row in rows:
                seq, previous = seq + 1, row_hash(previous, row)
                work.run(
                    "insert into center.audit_chain (seq, audit_id, hash) values (%(s)s, %(a)s, %(h)s)",
                    s=seq, a=row["id"], h=previous,
                )  # fmt: skip
            if rows:
                signature = self._sign(_head_bytes(seq, previous))
                work.run(
                    "insert into center.audit_head (seq, hash, signature, at) values (%(s)s, %(h)s, %(g)s, %(at)s)",
                    s=seq, h=previous, g=signature, at=self._clock.now(),
                )  # fmt: skip
        if rows:
            self._keep_apart(seq, previous, signature)
        return len(rows)

    def _keep_apart(self, seq: int, head: str, signature: str) -> None:
        raw = json.dumps({"audit_head": seq, "hash": head, "signature": signature}).encode()
        try:
            self._store.put(hashlib.sha256(raw).hexdigest(), io.BytesIO(raw), len(raw))
        except Unavailable:
            log.warning("audit.head_not_kept_apart", seq=seq)


def verify(database: Database, store: ObjectStore, check: Check) -> AuditVerdict:
    """Walks the whole chain against rows, signed heads, and the heads that the store holds."""
    problems: list[str] = []
    heads: dict[int, Row] = {}
    with database.transaction(SYSTEM) as work:
        for head in work.all("select * from center.audit_head order by seq"):
            heads[head["seq"]] = head
            if not check(_head_bytes(head["seq"], head["hash"]), head["signature"]):
                problems.append(f"head {head['seq']}: the signature is not the center's")
        count, hashes = _walk(work, problems, set(heads))
        loose = work.one(
            "select count(*) as n, count(*) filter (where a.id < (select max(audit_id) from center.audit_chain) - 10000) as old"
            " from center.audit a where not exists (select 1 from center.audit_chain c where c.audit_id = a.id)"
        )
    for seq, head in heads.items():
        if hashes.get(seq) != head["hash"]:
            problems.append(f"head {seq}: the chain has another hash there, or ends before it")
    for seq, kept in _kept_apart(store, check).items():
        if hashes.get(seq) != kept:
            problems.append(f"head {seq} in the object store: the chain has another hash there, or ends before it")
    unchained = int(loose["n"]) if loose else 0
    return AuditVerdict(count, unchained, len(heads), tuple(problems))


def _walk(work: Work, problems: list[str], head_seqs: set[int]) -> tuple[int, dict[int, str]]:
    """(rows, hash at every seq)."""
    previous, expected = GENESIS, 0
    hashes: dict[int, str] = {}
    while True:
        rows = work.all(
            "select c.seq, c.hash, c.audit_id, a.* from center.audit_chain c left join center.audit a on a.id = c.audit_id"
            " where c.seq > %(after)s order by c.seq limit %(n)s",
            after=expected, n=_BATCH,
        )  # fmt: skip
        if not rows:
            return expected, hashes
        for row in rows:
            if row["seq"] != expected + 1:
                problems.append(f"chain: {expected + 1} to {row['seq'] - 1} are missing")
            expected = row["seq"]
            if row["id"] is None:
                problems.append(f"row {row['audit_id']} (seq {expected}) was removed")
            elif row_hash(previous, row) != row["hash"]:
                problems.append(f"row {row['audit_id']} (seq {expected}) was changed or swapped")
            previous = row["hash"]
            hashes[expected] = previous


def _kept_apart(store: ObjectStore, check: Check) -> dict[int, str]:
    out: dict[int, str] = {}
    for name in store.list():
        info = store.stat(name)
        if info is None or info.bytes > 400:
            continue
        try:
            held = json.loads(b"".join(store.open_range(name)))
            seq, head, signature = int(held["audit_head"]), str(held["hash"]), str(held["signature"])
        except (ValueError, KeyError, TypeError):
            continue
        if check(_head_bytes(seq, head), signature):
            out[seq] = head
    return out


def _head_bytes(seq: int, head: str) -> bytes:
    return f"helan audit head {seq} {head}".encode()


def _only_one(work: Work) -> bool:
    row = work.one("select pg_try_advisory_xact_lock(%(k)s) as got", k=0x4155444954)
    return bool(row and row["got"])
