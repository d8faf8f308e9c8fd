"""Who may call, and who is sending now: peers' rows and associations' rows."""

from __future__ import annotations

import ipaddress
import os
import socket
import threading
from collections.abc import Sequence
from dataclasses import dataclass

from center import loops
from center.database import Database, Row
from center.errors import Invalid, NotFound, Unavailable
from center.identity import SYSTEM, Actor, ClinicId
from center.permits import Act, permit
from center.ports import Clock, Identifiers
from dicom_gateway.store import QUERIES

#: Open associations are marked alive this often, s; completion takes one for dead after 60.
HEARTBEAT_S = 10.0


@dataclass(frozen=True, slots=True)
class Peer:
    """A registered caller: AE title (or ``*``), its network, its clinic, how many associations at once."""

    aet: str
    cidr: str
    clinic_id: ClinicId
    address: str
    may_send: bool
    associations: int


class Peers:
    """The register of peers. ``'*'`` takes any AE title of its network, after those that are named."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def caller(self, aet: str, address: str) -> Peer | None:
        """Who calls by this title from this address; None: a stranger.  Raises Unavailable."""
        try:
            source = ipaddress.ip_address(address)
        except ValueError:
            return None
        mapped = getattr(source, "ipv4_mapped", None)
        source = mapped or source
        with self._database.transaction(SYSTEM) as work:
            rows = work.all(QUERIES["peers_of_title"], aet=aet)
        peers = (_peer(row) for row in rows)
        return next((p for p in peers if p.may_send and source in ipaddress.ip_network(p.cidr)), None)

    def add(
        self,
        actor: Actor,
        aet: str,
        clinic_id: ClinicId,
        *,
        cidr: str = "127.0.0.0/8",
        address: str = "",
        may_send: bool = True,
        associations: int = 16,
    ) -> None:
        """Registers a peer, or changes it. ``address``: host:port to send to.  Raises Invalid, NotFound, Forbidden."""
        if actor.kind != "system":
            permit(actor, Act.ADMIN_VIEW)
        title = aet.strip()
        if not 1 <= len(title) <= 16 or not title.isascii() or "\\" in title or not title.isprintable():
            raise Invalid(
                "AE 标题为 1 到 16 个 ASCII 字符。", "An AE title has 1 to 16 ASCII characters.", {"aet": title[:40]}
            )
        try:
            network = str(ipaddress.ip_network(cidr, strict=False))
        except ValueError:
            raise Invalid(
                "来源网段格式不对，例如 10.0.0.0/24。", "Not a network, such as 10.0.0.0/24.", {"cidr": cidr}
            ) from None
        if address:
            destination(address)
        with self._database.transaction(SYSTEM) as work:
            if not work.one("select 1 from center.clinic where clinic_id = %(c)s", c=clinic_id):
                raise NotFound("没有这个机构代码。", "There is no clinic of this code.", {"clinic": clinic_id})
            work.run(
                QUERIES["put_peer"], aet=title, cidr=network, clinic=clinic_id, address=address, may_send=may_send,
                associations=associations, now=self._clock.now(),
            )  # fmt: skip
            work.audit("peer:add", f"peer:{title}", clinic_id=clinic_id, cidr=network, by=actor.login)

    def all(self, limit: int = 200) -> Sequence[Row]:
        """For administration: every peer, and when it was last seen."""
        with self._database.transaction(SYSTEM) as work:
            return work.all(QUERIES["peers"], limit=limit)

    def destinations(self, clinic_id: ClinicId, aet: str | None = None) -> Sequence[tuple[str, str]]:
        """(AE title, host:port) of this clinic's peers that take reports."""
        with self._database.transaction(SYSTEM) as work:
            rows = work.all(QUERIES["destinations"], clinic=clinic_id, aet=aet)
        return [(row["aet"], row["address"]) for row in rows]


def destination(address: str) -> tuple[str, int]:
    """host:port apart.  Raises Invalid."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise Invalid("地址格式应为 主机:端口。", "An address is HOST:PORT.", {"address": address[:80]})
    return host.strip("[]"), int(port)


def _peer(row: Row) -> Peer:
    return Peer(
        row["aet"], str(row["cidr"]), ClinicId(row["clinic_id"]), row["address"], row["may_send"], row["associations"]
    )


class Associations:
    """Rows of those who are sending now: completion waits while the one that last brought an object is alive."""

    def __init__(self, database: Database, clock: Clock, identifiers: Identifiers) -> None:
        self._database = database
        self._clock = clock
        self._identifiers = identifiers
        self._process = f"{socket.gethostname()}:{os.getpid()}"
        self._open: dict[str, str] = {}
        self._lock = threading.Lock()

    def begin(self, aet: str, clinic_id: ClinicId, address: str) -> str:
        """The new association's id.  Raises Unavailable."""
        id_ = self._identifiers.new()
        with self._database.transaction(SYSTEM) as work:
            work.run(
                QUERIES["begin_association"], id=id_, aet=aet[:16], clinic=clinic_id, address=address,
                process=self._process, now=self._clock.now(),
            )  # fmt: skip
        with self._lock:
            self._open[id_] = aet
        return id_

    def end(self, id_: str) -> None:
        """Nothing more comes from it; an association that can't be ended now is dead a minute later anyway."""
        with self._lock:
            self._open.pop(id_, None)
        try:
            with self._database.transaction(SYSTEM) as work:
                work.run(QUERIES["end_association"], id=id_, now=self._clock.now())
        except Unavailable:
            return

    def open_now(self, aet: str) -> int:
        """How many this process holds open of a peer."""
        with self._lock:
            return sum(1 for title in self._open.values() if title == aet)

    def serve(self, stop: threading.Event) -> None:
        """Marks the open ones alive until told to stop."""
        loops.every(HEARTBEAT_S, "associations", stop, self.beat)

    def beat(self) -> None:
        """Raises Unavailable."""
        with self._lock:
            ids = list(self._open)
        if not ids:
            return
        with self._database.transaction(SYSTEM) as work:
            work.run(QUERIES["saw_associations"], ids=ids, now=self._clock.now())
