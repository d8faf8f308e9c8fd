"""The door -> sockets: C-ECHO and C-STORE to a peer, with the presentation context that the stored file needs."""

from __future__ import annotations

import tempfile
from enum import StrEnum
from io import BytesIO
from typing import Any, Final

from pydicom import dcmread
from pydicom.dataset import Dataset
from pynetdicom import AE, _config
from pynetdicom.association import Association
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]  # made at import by the library

from center.errors import Failure
from center.ports import SendOutcome
from dicom_gateway.dicom_scan import Header, readable, scan
from dicom_gateway.file_head import IMPLEMENTATION_UID, IMPLEMENTATION_VERSION, file_meta

TIMEOUT_S: Final = 30
#: Explicit and implicit little endian can be written from one another without touching a pixel.
_PLAIN: Final = ("1.2.840.10008.1.2.1", "1.2.840.10008.1.2")


# A file's data set goes over the wire as it lies: what a library writes anew is no longer what was signed or sent.
_config.STORE_SEND_CHUNKED_DATASET = True


class Knock(StrEnum):
    """What became of a C-ECHO.  STRANGER: refused because our title is not known; REFUSED: for another reason."""

    ANSWERED = "answered"
    STRANGER = "stranger"
    REFUSED = "refused"
    SILENT = "silent"


class Sender:
    """One association a call; never raises for what the peer does."""

    def __init__(self, ae_title: str, timeout_s: float = TIMEOUT_S) -> None:
        self._ae_title = ae_title
        self._timeout_s = timeout_s

    def store(self, aet: str, host: str, port: int, raw: bytes) -> SendOutcome:
        """One C-STORE of one Part 10 file."""
        try:
            header = scan(raw)
        except Failure as failure:
            return SendOutcome(False, None, f"unreadable: {failure.name}", retry=False)
        syntax, sop_class = header.transfer_syntax, header.sop_class_uid
        ae = self._entity()
        for one in _PLAIN if syntax in _PLAIN else (syntax,):
            ae.add_requested_context(sop_class, one)
        try:
            association = ae.associate(host, port, ae_title=aet)
        except (OSError, RuntimeError, ValueError) as error:
            return SendOutcome(False, None, f"no connection: {type(error).__name__}")
        if not association.is_established:
            return _no_association(association, syntax)
        try:
            answer = _send(association, raw, header)
        except (ValueError, RuntimeError, AttributeError, OSError) as error:
            return SendOutcome(
                False, None, f"the peer takes this class or syntax {syntax} not: {type(error).__name__}", retry=False
            )
        finally:
            association.release()
        return _outcome(answer)

    def echo(self, aet: str, host: str, port: int) -> SendOutcome:
        """C-ECHO: is the peer there, and does it know us."""
        ae = self._entity()
        ae.add_requested_context(Verification)
        try:
            association = ae.associate(host, port, ae_title=aet)
        except (OSError, RuntimeError, ValueError) as error:
            return SendOutcome(False, None, f"no connection: {type(error).__name__}")
        if not association.is_established:
            return _no_association(association, "")
        try:
            answer = association.send_c_echo()
        finally:
            association.release()
        return _outcome(answer)

    def knock(self, aet: str, host: str, port: int) -> Knock:
        """C-ECHO, and how far it came."""
        ae = self._entity()
        ae.add_requested_context(Verification)
        try:
            association = ae.associate(host, port, ae_title=aet)
        except (OSError, RuntimeError, ValueError):
            return Knock.SILENT
        if not association.is_established:
            return _refused(association)
        try:
            answer = association.send_c_echo()
        except (ValueError, RuntimeError):
            return Knock.SILENT
        finally:
            association.release()
        return Knock.ANSWERED if getattr(answer, "Status", None) == 0x0000 else Knock.REFUSED

    def _entity(self) -> AE:
        ae = AE(ae_title=self._ae_title)
        ae.implementation_class_uid = IMPLEMENTATION_UID
        ae.implementation_version_name = IMPLEMENTATION_VERSION
        ae.connection_timeout = min(10, self._timeout_s)
        ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = self._timeout_s
        return ae


def _send(association: Association, raw: bytes, header: Header) -> Dataset:
    """The peer's answer. Written anew only where it takes the other of the two plain syntaxes."""
    accepted = {str(syntax) for context in association.accepted_contexts for syntax in context.transfer_syntax or ()}
    if header.transfer_syntax not in accepted:
        return association.send_c_store(dcmread(BytesIO(readable(raw))))
    with tempfile.NamedTemporaryFile() as file:
        file.write(file_meta(header.sop_class_uid, header.sop_uid, header.transfer_syntax))
        file.write(memoryview(raw)[header.dataset_offset :])
        file.flush()
        return association.send_c_store(file.name)


def _refused(association: object) -> Knock:
    if not getattr(association, "is_rejected", False):
        return Knock.SILENT
    answer: Any = getattr(association, "acceptor", None)
    reason = getattr(answer.primitive, "result_source", None), getattr(answer.primitive, "diagnostic", None)
    return Knock.STRANGER if reason == (1, 3) else Knock.REFUSED  # PS3.8 9.3.4: calling AE title not recognized


def _no_association(association: object, syntax: str) -> SendOutcome:
    if getattr(association, "is_rejected", False):
        return SendOutcome(False, None, "association rejected: the peer does not know our AE title, or is busy")
    if getattr(association, "rejected_contexts", None):
        return SendOutcome(False, None, f"the peer takes no such object in transfer syntax {syntax}", retry=False)
    return SendOutcome(False, None, "no association: address, port or network")


def _outcome(answer: object) -> SendOutcome:
    status = getattr(answer, "Status", None)
    if status is None:
        return SendOutcome(False, None, "no answer in time")
    # Warnings (B000H, B006H, B007H) mean that the peer holds it (PS3.4 B.2.3).
    taken = status in (0x0000, 0xB000, 0xB006, 0xB007)
    refused = not taken and status & 0xF000 in (0xA000, 0xC000) and status & 0xFF00 != 0xA700
    comment = str(getattr(answer, "ErrorComment", "") or "")
    return SendOutcome(taken, int(status), comment[:200] or f"status {status:04X}H", retry=not refused)
