"""The audit: rows written plainly with the act, chained every second, heads signed and kept apart in the store.

What a later reader can prove with them: no row was removed, changed or swapped, the tail was not cut, and the whole
was not written anew (the heads in the object store are older than such a rewriting).
"""

from __future__ import annotations

import hashlib
import io
import json
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import accumulate, islice
from typing import Any

from center import loops, observe
from center.database import Database, Row, Work
from center.errors import Failure, Unavailable
from center.identity import SYSTEM
from center.jobs import Job
from center.ports import Clock, ObjectStore

log = observe.log("center")

_BATCH = 500
_PROBLEMS_KEPT = 200
_LONGEST_HEAD = 1000  # bytes: a number, a hash, a signature
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
    """Chains new rows and signs the head; one at a time over all processes.

    places: where heads are kept apart, the first beside the objects, another on a machine that whoever holds this one
    can't write to.  A place that is away gets its heads when it is back.
    """

    def __init__(self, database: Database, places: Mapping[str, ObjectStore], clock: Clock, sign: Sign) -> None:
        self._database = database
        self._places = places
        self._clock = clock
        self._sign = sign

    def serve(self, stop: threading.Event, every_s: float = 1.0) -> None:
        """Seals until told to stop, whatever it meets."""
        loops.every(every_s, "audit", stop, self.seal)

    def seal(self) -> int:
        """Chains what is not chained yet; how many rows. A head goes to each place when there were any."""
        with self._database.transaction(SYSTEM) as work:
            if not _only_one(work):
                return 0
            rows = work.all(_UNCHAINED, n=_BATCH)
            if rows:
                self._chain(work, rows)
        for place, store in self._places.items():
            self._ship(place, store)
        return len(rows)

    def _chain(self, work: Work, rows: list[Row]) -> None:
        last = work.one("select seq, hash from center.audit_chain order by seq desc limit 1")
        seq, head = (last["seq"], last["hash"]) if last else (0, GENESIS)
        hashes = list(islice(accumulate(rows, row_hash, initial=head), 1, None))
        ids = [row["id"] for row in rows]
        work.run(_CHAIN, seqs=list(range(seq + 1, seq + 1 + len(ids))), ids=ids, hashes=hashes)
        work.run("delete from center.audit_unchained where audit_id = any(%(ids)s)", ids=ids)
        work.run(
            "insert into center.audit_head (seq, hash, signature, at) values (%(s)s, %(h)s, %(g)s, %(at)s)",
            s=seq + len(ids), h=hashes[-1], g=self._sign(_head_bytes(seq + len(ids), hashes[-1])), at=self._clock.now(),
        )  # fmt: skip

    def _ship(self, place: str, store: ObjectStore) -> None:
        """The heads that the place lacks, in their order."""
        try:
            with self._database.transaction(SYSTEM) as work:
                waiting = work.all(_UNSHIPPED, place=place, n=_BATCH)
            for head in waiting:
                raw = json.dumps({"audit_head": head["seq"], "hash": head["hash"], "signature": head["signature"]})
                store.put(hashlib.sha256(raw.encode()).hexdigest(), io.BytesIO(raw.encode()), len(raw))
            if waiting:
                with self._database.transaction(SYSTEM) as work:
                    work.run(_SHIPPED, place=place, seq=waiting[-1]["seq"], now=self._clock.now())
        except Failure as failure:
            log.warning("audit.head_not_kept_apart", place=place, failure=failure.name)


#: Of a queue that a trigger fills: what is chained already is never looked at.
_UNCHAINED = """select a.* from (select audit_id from center.audit_unchained order by audit_id limit %(n)s) u
join center.audit a on a.id = u.audit_id order by a.id"""
_CHAIN = """insert into center.audit_chain (seq, audit_id, hash)
select * from unnest(%(seqs)s::bigint[], %(ids)s::bigint[], %(hashes)s::text[])"""
_UNSHIPPED = """select seq, hash, signature from center.audit_head
where seq > coalesce((select seq from center.audit_shipped where place = %(place)s), 0) order by seq limit %(n)s"""
_SHIPPED = """insert into center.audit_shipped (place, seq, at) values (%(place)s, %(seq)s, %(now)s)
on conflict (place) do update set seq = excluded.seq, at = excluded.at"""


def verify(database: Database, places: Mapping[str, ObjectStore], check: Check) -> AuditVerdict:
    """Walks the whole chain against rows and signed heads, then the heads that each place holds.

    A batch at a time, each in a transaction of its own: nothing else waits for it, and it holds a batch in memory.
    """
    problems: list[str] = []
    rows, heads = _walk(database, check, problems)
    with database.transaction(SYSTEM) as work:
        unchained = work.one(_UNCHAINED_COUNTS)
        assert unchained is not None  # an aggregate answers one row
    if unchained["lost"]:
        problems.append(f"{unchained['lost']} rows wait for no sealer: they were taken out of its queue")
    for place, store in places.items():
        problems += _kept_apart(database, place, store, check)
    return AuditVerdict(rows, int(unchained["waiting"]), heads, tuple(problems))


#: Rows that are neither chained nor in the queue were taken out of it by hand.
_UNCHAINED_COUNTS = """select (select count(*) from center.audit_unchained) as waiting, (select count(*) from center.audit a
  where not exists (select 1 from center.audit_chain c where c.audit_id = a.id)
    and not exists (select 1 from center.audit_unchained u where u.audit_id = a.id)) as lost"""
_LINKS = """select c.seq, c.hash, c.audit_id, a.*, h.hash as head_hash, h.signature as head_signature
from center.audit_chain c left join center.audit a on a.id = c.audit_id left join center.audit_head h on h.seq = c.seq
where c.seq > %(after)s order by c.seq limit %(n)s"""
_HEADS_BEYOND = """select seq from center.audit_head h
where not exists (select 1 from center.audit_chain c where c.seq = h.seq) order by seq limit 100"""


def _walk(database: Database, check: Check, problems: list[str]) -> tuple[int, int]:
    """(rows, heads)."""
    previous, expected, heads = GENESIS, 0, 0
    while True:
        with database.transaction(SYSTEM) as work:
            links = work.all(_LINKS, after=expected, n=_BATCH)
        for link in links:
            if link["seq"] != expected + 1:
                problems.append(f"chain: {expected + 1} to {link['seq'] - 1} are missing")
            expected = link["seq"]
            if link["id"] is None:
                problems.append(f"row {link['audit_id']} (seq {expected}) was removed")
            elif row_hash(previous, link) != link["hash"]:
                problems.append(f"row {link['audit_id']} (seq {expected}) was changed or swapped")
            previous = link["hash"]
            if link["head_hash"] is not None:
                heads += 1
                problems += _head_problems(link, check)
        if not links:
            break
    with database.transaction(SYSTEM) as work:
        beyond = work.all(_HEADS_BEYOND)
    problems += [_unlike(f"head {row['seq']}") for row in beyond]
    return expected, heads + len(beyond)


def _head_problems(link: Row, check: Check) -> Iterator[str]:
    if not check(_head_bytes(link["seq"], link["head_hash"]), link["head_signature"]):
        yield f"head {link['seq']}: the signature is not the center's"
    if link["head_hash"] != link["hash"]:
        yield _unlike(f"head {link['seq']}")


def _unlike(head: str) -> str:
    return f"{head}: the chain has another hash there, or ends before it"


def _kept_apart(database: Database, place: str, store: ObjectStore, check: Check) -> Iterator[str]:
    """What the heads of one place say against the chain."""
    try:
        for names in batched(store.list(), _BATCH):
            held = dict(filter(None, (_held_head(store, name, check) for name in names)))
            with database.transaction(SYSTEM) as work:
                found = work.all("select seq, hash from center.audit_chain where seq = any(%(s)s)", s=list(held))
            chain = {row["seq"]: row["hash"] for row in found}
            for seq in sorted(held):
                if chain.get(seq) != held[seq]:
                    yield _unlike(f"head {seq} in {place}")
    except Unavailable as failure:
        yield f"the heads in {place} could not be read: {failure.en}"


def _held_head(store: ObjectStore, name: str, check: Check) -> tuple[int, str] | None:
    """(seq, hash); None for what the center didn't sign."""
    try:
        held = json.loads(b"".join(store.open_range(name, 0, _LONGEST_HEAD)))
        seq, head, signature = int(held["audit_head"]), str(held["hash"]), str(held["signature"])
    except (ValueError, KeyError, TypeError):
        return None
    return (seq, head) if check(_head_bytes(seq, head), signature) else None


def batched(names: Iterable[str], size: int) -> Iterator[list[str]]:
    """The names, so many at a time."""
    left = iter(names)
    while batch := list(islice(left, size)):
        yield batch


class AuditVerifier:
    """Verifies each night and when somebody asks, as a job; what it found is kept for whoever may see the audit."""

    HANDLER = "center.verify_audit"

    def __init__(self, database: Database, places: Mapping[str, ObjectStore], clock: Clock, check: Check) -> None:
        self._database = database
        self._places = places
        self._clock = clock
        self._check = check

    def ask(self, work: Work) -> None:
        """As soon as the worker comes to it."""
        work.enqueue("", self.HANDLER, "asked", {}, run_at=self._clock.now(), move=True)

    def each_night(self) -> None:
        """The next night's walk waits, whether or not an earlier one was given up.  Raises Unavailable."""
        with self._database.transaction(SYSTEM) as work:
            work.enqueue("", self.HANDLER, "nightly", {}, run_at=next_night(self._clock.now()))

    def verify(self, job: Job) -> None:
        verdict = verify(self._database, self._places, self._check)
        with self._database.transaction(SYSTEM) as work:
            work.run(
                "insert into center.audit_verdict (at, rows, unchained, heads, problems)"
                " values (%(at)s, %(r)s, %(u)s, %(h)s, %(p)s) on conflict do nothing",
                at=self._clock.now(), r=verdict.rows, u=verdict.unchained, h=verdict.heads,
                p=list(verdict.problems[:_PROBLEMS_KEPT]),
            )  # fmt: skip
        if not verdict.sound:
            log.error("audit.not_whole", problems=len(verdict.problems))
        if job.key == "nightly":
            self.each_night()


def last_verdict(work: Work) -> tuple[AuditVerdict, datetime] | None:
    """What the latest walk found, and when it ended."""
    row = work.one("select * from center.audit_verdict order by at desc limit 1")
    if row is None:
        return None
    return AuditVerdict(row["rows"], row["unchained"], row["heads"], tuple(row["problems"])), row["at"]


def is_being_verified(work: Work) -> bool:
    """Somebody has asked, and the walk has not ended."""
    return work.one(
        "select 1 as n from center.job where handler = %(h)s and (state = 'running' or (state = 'ready' and"
        " run_at <= now())) limit 1",
        h=AuditVerifier.HANDLER,
    ) is not None  # fmt: skip


def next_night(now: datetime) -> datetime:
    """The next half past two in the morning at Beijing (18:30 UTC), when least is examined."""
    tonight = now.replace(hour=18, minute=30, second=0, microsecond=0)
    return tonight if tonight > now else tonight + timedelta(days=1)


def _head_bytes(seq: int, head: str) -> bytes:
    return f"helan audit head {seq} {head}".encode()


def _only_one(work: Work) -> bool:
    row = work.one("select pg_try_advisory_xact_lock(%(k)s) as got", k=0x4155444954)
    return bool(row and row["got"])
