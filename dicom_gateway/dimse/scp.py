"""Sockets -> the door: C-ECHO and C-STORE of every storage class and transfer syntax, the data set as it came.

Who isn't registered is rejected before a single context is accepted.  Nothing is decoded here; a refusal is a status
by ``center.errors``.
"""

from __future__ import annotations

import contextlib
import hmac
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Final

from pydicom.dataset import Dataset
from pynetdicom import AE, _config, evt
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]  # made at import by the library

from center import observe
from center.errors import Failure, Mismatched, Unavailable
from center.identity import SYSTEM
from center.ports import Provenance, Quarantined
from dicom_gateway.associations import Associations, Peer, Peers
from dicom_gateway.dimse.staging import Staged, stage_in
from dicom_gateway.file_head import IMPLEMENTATION_UID, IMPLEMENTATION_VERSION, file_meta
from dicom_gateway.ingest import Door
from dicom_gateway.spool import SLAB_BYTES

log = observe.log("gateway")

MAX_ASSOCIATIONS: Final = 64
PDU_BYTES: Final = 131072
NETWORK_TIMEOUT_S: Final = 60
#: Coercion, elements discarded, or, as here, kept aside: a warning, the object is safe (DESIGN.md "Failures").
KEPT_ASIDE: Final = 0xB000
_open = observe.gauge("helan_gateway_associations", "Associations open now")
_rejected = observe.counter("helan_gateway_associations_rejected_total", "Associations refused", ("why",))


@dataclass(slots=True)
class _Session:
    peer: Peer
    association_id: str


class _Listener(AE):
    """An application entity whose register of callers is asked at each request, not fixed at its start.

    pynetdicom reads both properties in the association's own thread, right after EVT_REQUESTED has filled them.
    """

    def __init__(self, ae_title: str) -> None:
        self.verdict = threading.local()
        super().__init__(ae_title=ae_title)

    @property
    def require_calling_aet(self) -> list[str]:  # type: ignore[override]
        return ["\\"] if getattr(self.verdict, "stranger", False) else []  # no title may hold a backslash

    @property
    def maximum_associations(self) -> int:  # type: ignore[override]
        return 0 if getattr(self.verdict, "too_many", False) else MAX_ASSOCIATIONS


class Receiver:
    """The SCP. ``start`` returns when it listens; ``stop`` ends open associations in an orderly way."""

    def __init__(
        self, door: Door, peers: Peers, associations: Associations, ae_title: str, host: str, port: int, scratch: Path,
        own_title: str = "",
    ) -> None:  # fmt: skip
        self._door = door
        self._peers = peers
        self._own_title = own_title  # by which the center itself asks whether the door answers; it may only ask
        self._associations = associations
        self._address = (host, port)
        self._sessions: dict[Any, _Session] = {}
        self._scratch = scratch
        self._server: Any = None
        self._accepting: list[threading.Thread] = []
        self._stop = threading.Event()
        _config.UNRESTRICTED_STORAGE_SERVICE = True
        _config.STORE_RECV_CHUNKED_DATASET = True
        self._ae = _Listener(ae_title)
        self._ae.implementation_class_uid = IMPLEMENTATION_UID
        self._ae.implementation_version_name = IMPLEMENTATION_VERSION
        self._ae.maximum_pdu_size = PDU_BYTES
        self._ae.require_called_aet = True
        self._ae.acse_timeout = 10
        self._ae.dimse_timeout = NETWORK_TIMEOUT_S
        self._ae.network_timeout = NETWORK_TIMEOUT_S
        self._ae.add_supported_context(Verification)

    @property
    def port(self) -> int:
        return self._server.socket.getsockname()[1] if self._server else self._address[1]

    def start(self) -> None:
        self._scratch.mkdir(parents=True, exist_ok=True, mode=0o700)
        for left in self._scratch.glob("*.dcm"):  # of a process that died mid-object: never acknowledged
            left.unlink(missing_ok=True)
        stage_in(self._scratch)
        before = set(threading.enumerate())
        self._server = self._ae.start_server(
            self._address,
            block=False,
            evt_handlers=[
                (evt.EVT_CONN_OPEN, self._connected),
                (evt.EVT_DATA_RECV, _acknowledge_quickly),
                (evt.EVT_REQUESTED, self._requested),
                (evt.EVT_ESTABLISHED, self._established),
                (evt.EVT_RELEASED, self._ended),
                (evt.EVT_ABORTED, self._ended),
                (evt.EVT_CONN_CLOSE, self._ended),
                (evt.EVT_REJECTED, self._ended),
                (evt.EVT_C_ECHO, _echo),
                (evt.EVT_C_STORE, self._store),
            ],
        )
        self._accepting = [t for t in threading.enumerate() if t not in before and t.name.startswith("AcceptorServer")]
        threading.Thread(target=self._associations.serve, args=(self._stop,), daemon=True).start()
        log.info("dimse.listening", host=self._address[0], port=self.port, ae_title=self._ae.ae_title)

    @property
    def listens(self) -> bool:
        """The thread that takes connections lives."""
        return any(thread.is_alive() for thread in self._accepting)

    def stop(self) -> None:
        self._stop.set()
        if self._server:
            self._server.shutdown()
        self._ae.shutdown()
        for session in list(self._sessions.values()):
            self._associations.end(session.association_id)
        self._sessions.clear()

    # ---------------------------------------------------------------- association
    def _connected(self, event: evt.Event) -> None:
        with contextlib.suppress(OSError, AttributeError):
            _socket(event).setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def _requested(self, event: evt.Event) -> None:
        """Who is calling; the verdict is read by the negotiation that follows in this thread."""
        verdict = self._ae.verdict
        verdict.stranger = verdict.too_many = False
        request: Any = event.assoc.requestor  # the library types half of it
        title, address = str(request.primitive.calling_ae_title).strip(), str(request.address)
        try:
            peer = self._peers.caller(title, address)
            if self._own_title and hmac.compare_digest(title.encode(), self._own_title.encode()):
                return  # without a session nothing is stored
            if peer is None:
                verdict.stranger = True
                _rejected.labels("stranger").inc()
                log.warning("dimse.rejected", why="stranger", address=address)
                return
            if self._associations.open_now(title) >= peer.associations:
                raise Unavailable("连接过多。", "Too many associations.")
            self._sessions[event.assoc] = _Session(peer, self._associations.begin(title, peer.clinic_id, address))
        except Unavailable:
            verdict.too_many = True  # 2/3/2: local limit or temporary trouble, the sender tries again
            _rejected.labels("busy").inc()

    def _established(self, event: evt.Event) -> None:
        _open.set(len(self._sessions))

    def _ended(self, event: evt.Event) -> None:
        _drop_unfinished(event)
        session = self._sessions.pop(event.assoc, None)
        if session is not None:
            self._associations.end(session.association_id)
            _open.set(len(self._sessions))

    # ---------------------------------------------------------------- C-STORE
    def _store(self, event: evt.Event) -> Dataset:
        session = self._sessions.get(event.assoc)
        try:
            if session is None:
                raise Unavailable("连接已结束。", "The association has ended.")
            return _status(0x0000) if self._accept(event, session) else _aside()
        except Failure as failure:
            return _refusal(failure)
        except Exception as error:  # the rim: one object's trouble must not end the association
            log.error("dimse.store_failed", exc=error)
            return _refusal(
                Unavailable("中心内部错误，请稍后重发。", "Internal trouble at the center; send again later.")
            )

    def _accept(self, event: evt.Event, session: _Session) -> bool:
        """False when it was kept aside.  Raises Failure."""
        request: Any = event.request
        syntax = str(event.context.transfer_syntax)
        sop_class, sop_uid = str(request.AffectedSOPClassUID or ""), str(request.AffectedSOPInstanceUID or "")
        if not sop_class or not sop_uid:
            raise Mismatched("命令缺少 UID。", "The command lacks a UID.", {"tag": "00001000"})
        provenance = Provenance(
            session.peer.clinic_id, "dimse", SYSTEM, association=session.association_id,
            peer=str(event.assoc.requestor.ae_title).strip(), transfer_syntax=syntax,
            expected_sop_class_uid=sop_class, expected_sop_instance_uid=sop_uid,
        )  # fmt: skip
        arriving = self._door.begin(provenance)
        try:
            arriving.write(file_meta(sop_class, sop_uid, syntax))
            for slab in _data_set(event):
                arriving.write(slab)
            return not isinstance(arriving.finish(), Quarantined)
        finally:
            arriving.close()


def _data_set(event: evt.Event) -> Iterator[bytes]:
    """The data set's bytes as they came on the wire."""
    request: Any = event.request
    file_of = getattr(request, "_dataset_file", None)
    if isinstance(file_of, Staged):
        file_of.check()
    staged = getattr(request, "_dataset_path", None)
    if staged is None:
        raw = request.DataSet or BytesIO()
        yield raw.getvalue()
        return
    with Path(staged).open("rb") as file:
        file.seek(132)  # the library's own group 0002 is not ours: over it by its group length (PS3.10 7.1)
        head = file.read(12)
        file.seek(144 + int.from_bytes(head[8:12], "little"))
        while slab := file.read(SLAB_BYTES):
            yield slab


def _drop_unfinished(event: evt.Event) -> None:
    """What had come of an object when its sender went: never acknowledged, and the library leaves it lying."""
    staged = getattr(event.assoc.dimse.message, "_data_set_file", None)
    if staged is not None:
        Path(staged.name).unlink(missing_ok=True)


def _echo(event: evt.Event) -> int:
    return 0x0000


def _socket(event: evt.Event) -> socket.socket:
    dul: Any = event.assoc.dul
    return dul.socket.socket


def _acknowledge_quickly(event: evt.Event) -> None:
    """Cures the sender's half of Nagle + delayed ACK (PEERS.md section 1): Linux forgets it after each receive."""
    with contextlib.suppress(OSError, AttributeError):
        _socket(event).setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)


def _status(code: int, comment: str = "", tag: str = "") -> Dataset:
    status = Dataset()
    status.Status = code
    if comment:
        status.ErrorComment = comment.encode("ascii", "replace").decode()[:64]
    if len(tag) == 8:
        status.OffendingElement = [int(tag, 16)]
    return status


def _refusal(failure: Failure) -> Dataset:
    return _status(failure.answer.dimse, failure.en, str(failure.facts.get("tag", "")))


def _aside() -> Dataset:
    return _status(KEPT_ASIDE, "Same UID, other data set: kept aside, an administrator decides")
