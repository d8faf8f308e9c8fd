"""One delivery attempt -> C-STORE and its row (port ``Peers``); which version, when again: ``worklist.deliveries``."""

from __future__ import annotations

from collections.abc import Sequence

from center import observe
from center.database import Database
from center.errors import Failure, NotFound
from center.identity import ClinicId, system_for
from center.ports import Clock, SendOutcome
from dicom_gateway.associations import Peers, destination
from dicom_gateway.contents import Contents
from dicom_gateway.dimse.scu import Sender
from dicom_gateway.store import QUERIES

log = observe.log("gateway")
_sent = observe.counter("helan_gateway_sendings_total", "Attempts to send to a peer", ("outcome",))


class Deliveries:
    """Sends instances to registered peers; an acknowledged delivery is never sent again."""

    def __init__(self, database: Database, contents: Contents, peers: Peers, sender: Sender, clock: Clock) -> None:
        self._database = database
        self._contents = contents
        self._peers = peers
        self._sender = sender
        self._clock = clock

    def destinations(self, clinic_id: ClinicId) -> Sequence[str]:
        """AE titles of the clinic's peers that have an address to send to, in order."""
        return [aet for aet, _ in self._peers.destinations(clinic_id)]

    def send(self, clinic_id: ClinicId, peer_aet: str, delivery_key: str, sop_uid: str) -> SendOutcome:
        """One C-STORE of one instance to a registered peer; never raises for what the peer does."""
        found = self._peers.destinations(clinic_id, peer_aet)
        if not found:
            return SendOutcome(False, None, f"no peer {peer_aet} with an address is registered", retry=False)
        with self._database.transaction(system_for(clinic_id)) as work:
            began = work.one(
                QUERIES["sending_began"], clinic=clinic_id, key=delivery_key, sop=sop_uid, peer=peer_aet,
                now=self._clock.now(),
            )  # fmt: skip
            assert began is not None
            held = work.one(QUERIES["held_instance"], clinic=clinic_id, sop=sop_uid)
        if began["acknowledged"]:
            return SendOutcome(True, began["status"], began["note"])
        outcome = self._attempt(peer_aet, found[0][1], held["sha256"] if held else None)
        with self._database.transaction(system_for(clinic_id)) as work:
            work.run(
                QUERIES["sending_ended"], clinic=clinic_id, key=delivery_key, sop=sop_uid, status=outcome.status,
                acknowledged=outcome.acknowledged, note=outcome.note, now=self._clock.now(),
            )  # fmt: skip
        _sent.labels("acknowledged" if outcome.acknowledged else "failed").inc()
        log.info("sending.ended", peer=peer_aet, status=outcome.status, acknowledged=outcome.acknowledged)
        return outcome

    def _attempt(self, aet: str, address: str, sha256: str | None) -> SendOutcome:
        if sha256 is None:
            return SendOutcome(False, None, "the instance is not filed yet")
        try:
            raw = self._contents.read(sha256)
        except NotFound:
            return SendOutcome(False, None, "the instance's bytes are missing", retry=False)
        except Failure as failure:
            return SendOutcome(False, None, failure.en)
        host, port = destination(address)
        return self._sender.store(aet, host, port, raw)
