"""STOW-RS: a streamed multipart/related body -> instances, one by one; what was acknowledged stays, whatever follows.

The body is never whole in memory: each part goes to the spool in slabs as it comes, from a thread.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any, Final

from pydicom import dcmread, dcmwrite
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from center import observe
from center.errors import Failure, Mismatched, TooLarge, Unavailable, Unreadable, WrongMediaType
from center.ports import Quarantined
from dicom_gateway.dicom_json import Json
from dicom_gateway.ingest import Arriving, Outcome

log = observe.log("gateway")

SLAB_BYTES: Final = 1 << 20
MAX_PART_BYTES: Final = 4 << 30
MAX_BODY_BYTES: Final = 64 << 30
MAX_PARTS: Final = 20_000
#: What a viewer saves is small; it is held in memory, since its observer is set before it is stored.
MAX_SAVED_BYTES: Final = 64 << 20
#: 0xB007 "Data Set does not match": kept aside, the first stays (PS3.18 table I.2-2).
WARNING_KEPT_ASIDE: Final = 0xB007

InThread = Callable[..., Awaitable[Any]]


@dataclass(slots=True)
class Report:
    """What became of each part."""

    stored: list[tuple[str, str, str]] = field(default_factory=list)  # class, instance, study
    aside: list[tuple[str, str, str]] = field(default_factory=list)
    failed: list[tuple[str, str, Failure]] = field(default_factory=list)  # class, instance ('' where unknown)

    @property
    def parts(self) -> int:
        return len(self.stored) + len(self.aside) + len(self.failed)

    @property
    def study_uids(self) -> list[str]:
        return sorted({study for _, _, study in (*self.stored, *self.aside)})

    def note(self, outcome: Outcome) -> None:
        names = (outcome.sop_class_uid, outcome.sop_uid, outcome.study_uid)
        (self.aside if isinstance(outcome, Quarantined) else self.stored).append(names)


def boundary_of(content_type: str) -> bytes:
    """The boundary of a multipart/related body of DICOM files.  Raises WrongMediaType, Unreadable."""
    kind, options = parse_options_header(content_type)
    inner = options.get(b"type", b"application/dicom").strip().lower()
    if kind.lower() != b"multipart/related" or inner != b"application/dicom":
        raise wrong_type()
    boundary = options.get(b"boundary", b"")
    if not 0 < len(boundary) <= 200:
        raise Unreadable("请求缺少 boundary 参数。", "The request has no boundary parameter.", {})
    return boundary


def check_length(content_length: str | None) -> None:
    """Refused from the header, before a byte is read.  Raises TooLarge."""
    if content_length is not None and content_length.isdigit() and int(content_length) > MAX_BODY_BYTES:
        raise _too_large(MAX_BODY_BYTES)


class Body:
    """Takes the body apart; ``begin`` makes the receiver of one part, ``in_thread`` runs what waits for disk or database."""

    def __init__(
        self, boundary: bytes, begin: Callable[[], Receiver], in_thread: InThread, max_part: int = MAX_PART_BYTES
    ) -> None:
        self._begin = begin
        self._in_thread = in_thread
        self._max_part = max_part
        self._events: list[tuple[str, bytes]] = []
        self._receiver: Receiver | None = None
        self._refused: Failure | None = None
        self._buffer = bytearray()
        self._size = 0
        self._total = 0
        self._headers: dict[bytes, bytes] = {}
        self._name = b""
        self._ended = False
        self.report = Report()
        note = self._events.append
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": lambda: note(("begin", b"")),
                "on_header_begin": lambda: note(("header", b"")),
                "on_header_field": lambda data, start, end: note(("name", data[start:end])),
                "on_header_value": lambda data, start, end: note(("value", data[start:end])),
                "on_headers_finished": lambda: note(("headers", b"")),
                "on_part_data": lambda data, start, end: note(("data", data[start:end])),
                "on_part_end": lambda: note(("part_end", b"")),
                "on_end": lambda: note(("end", b"")),
            },
            max_header_size=8192,
        )

    async def take(self, chunks: AsyncIterator[bytes]) -> Report:
        """Raises Unreadable (the body is cut off or no multipart), TooLarge; the report so far stays in ``report``."""
        try:
            async for chunk in chunks:
                self._total += len(chunk)
                if self._total > MAX_BODY_BYTES:
                    raise _too_large(MAX_BODY_BYTES)
                self._parse(chunk)
                for kind, data in self._drained():
                    await self._on(kind, data)
        finally:
            await self._drop()
        if not self._ended:
            raise _cut_off(self._total, self.report.parts)
        return self.report

    async def take_one(self, chunks: AsyncIterator[bytes]) -> Report:
        """A body that is one file, not in parts.  Raises TooLarge."""
        try:
            await self._part_begins()
            async for chunk in chunks:
                await self._part_data(chunk)
            await self._part_ends()
        finally:
            await self._drop()
        return self.report

    def _parse(self, chunk: bytes) -> None:
        try:
            self._parser.write(chunk)
        except FormParserError:
            raise Unreadable(
                "请求体不是 multipart/related 格式。", "The body is not multipart/related.", {"byte": self._total}
            ) from None

    def _drained(self) -> list[tuple[str, bytes]]:
        events, self._events[:] = list(self._events), []
        return events

    async def _on(self, kind: str, data: bytes) -> None:
        match kind:
            case "begin":
                self._headers, self._size, self._refused = {}, 0, None
                if self.report.parts >= MAX_PARTS:
                    raise TooLarge("一次上传的文件过多。", "Too many files in one request.", {"limit": MAX_PARTS})
            case "header":
                self._name = b""
            case "name":
                self._name += data.lower()
            case "value":
                self._headers[self._name] = self._headers.get(self._name, b"") + data
            case "headers":
                await self._part_begins()
            case "data":
                await self._part_data(data)
            case "part_end":
                await self._part_ends()
            case _:
                self._ended = True

    async def _part_begins(self) -> None:
        kind = self._headers.get(b"content-type", b"application/dicom").split(b";")[0].strip().lower()
        if kind not in (b"application/dicom", b"application/octet-stream"):
            self._refused = wrong_type()
            return
        try:
            self._receiver = await self._in_thread(self._begin)
        except Failure as failure:
            self._refused = failure

    async def _part_data(self, data: bytes) -> None:
        self._size += len(data)
        if self._receiver is None:
            return
        if self._size > self._max_part:
            await self._refuse(_too_large(self._max_part))
            return
        self._buffer += data
        if len(self._buffer) >= SLAB_BYTES:
            await self._flush()

    async def _flush(self) -> None:
        slab, self._buffer = bytes(self._buffer), bytearray()
        if self._receiver is None or not slab:
            return
        try:
            await self._in_thread(self._receiver.write, slab)
        except Failure as failure:
            await self._refuse(failure)

    async def _refuse(self, failure: Failure) -> None:
        self._refused = failure
        await self._drop()

    async def _part_ends(self) -> None:
        await self._flush()
        receiver, self._receiver = self._receiver, None
        if self._refused is not None or receiver is None:
            failure = self._refused or Unavailable("内部错误。", "Internal trouble.")
            self.report.failed.append(("", "", failure))
            return
        try:
            self.report.note(await self._in_thread(receiver.finish))
        except Failure as failure:
            self.report.failed.append((*receiver.names, failure))
        finally:
            await self._in_thread(receiver.close)

    async def _drop(self) -> None:
        self._buffer = bytearray()
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            await self._in_thread(receiver.close)


class Receiver:
    """One part on its way in (the door's ``Arriving``)."""

    def __init__(self, arriving: Arriving) -> None:
        self._arriving = arriving

    @property
    def names(self) -> tuple[str, str]:
        return self._arriving.names

    def write(self, slab: bytes) -> None:
        self._arriving.write(slab)

    def finish(self) -> Outcome:
        return self._arriving.finish()

    def close(self) -> None:
        self._arriving.close()


class SavedReceiver(Receiver):
    """What a reader saves from the viewer: held, its observer set to him, then stored as a result."""

    def __init__(self, arriving: Arriving, observer: str, study_uids: tuple[str, ...]) -> None:
        super().__init__(arriving)
        self._observer = observer
        self._study_uids = study_uids
        self._held = BytesIO()

    def write(self, slab: bytes) -> None:
        if self._held.tell() + len(slab) > MAX_SAVED_BYTES:
            raise _too_large(MAX_SAVED_BYTES)
        self._held.write(slab)

    def finish(self) -> Outcome:
        self._arriving.write(observed(self._held.getvalue(), self._observer, self._study_uids))
        return super().finish()


def observed(raw: bytes, observer: str, study_uids: tuple[str, ...]) -> bytes:
    """A saved object with its observer, author and creator set to the signed-in reader.  Raises Unreadable, Mismatched."""
    try:
        dataset = dcmread(BytesIO(raw))
        study = str(dataset.get("StudyInstanceUID", ""))
    except (InvalidDicomError, EOFError, ValueError, KeyError, AttributeError, OSError):
        raise Unreadable("保存的对象不是 DICOM 文件。", "What was saved is not a DICOM file.", {}) from None
    if study not in study_uids:
        raise Mismatched("保存的对象不属于本病例。", "What was saved is not of this case.", {"tag": "0020000D"})
    dataset.SpecificCharacterSet = "ISO_IR 192"
    if "ContentSequence" in dataset:
        if not _set_observers(dataset, observer):
            dataset.ContentSequence.insert(0, _observer_item(observer))
        for verifying in dataset.get("VerifyingObserverSequence", []):
            verifying.VerifyingObserverName = observer
        dataset.VerificationFlag = "UNVERIFIED"
        dataset.AuthorObserverSequence = [_author(observer)]
    else:
        dataset.ContentCreatorName = observer
    dataset.OperatorsName = observer
    out = BytesIO()
    dcmwrite(out, dataset, enforce_file_format=True)
    return out.getvalue()


def _set_observers(dataset: Dataset, observer: str) -> bool:
    """Every Person Observer Name of the tree (TID 1003); whether there was one."""
    found = False
    pending = list(dataset.get("ContentSequence", []))
    while pending:
        item = pending.pop()
        concept = item.get("ConceptNameCodeSequence")
        if concept and concept[0].get("CodeValue") == "121008":
            item.PersonName = observer
            found = True
        pending += item.get("ContentSequence", [])
    return found


def _observer_item(observer: str) -> Dataset:
    item, concept = Dataset(), Dataset()
    concept.CodeValue, concept.CodingSchemeDesignator, concept.CodeMeaning = "121008", "DCM", "Person Observer Name"
    item.RelationshipType, item.ValueType = "HAS OBS CONTEXT", "PNAME"
    item.ConceptNameCodeSequence, item.PersonName = [concept], observer
    return item


def _author(observer: str) -> Dataset:
    author = Dataset()
    author.ObserverType, author.PersonName = "PSN", observer
    author.InstitutionName, author.InstitutionCodeSequence = "", []
    return author


# ---------------------------------------------------------------- the answer
def answer(report: Report, root: str) -> tuple[int, Json]:
    """(HTTP status, DICOM JSON) of what became of the parts (PS3.18 10.5.3)."""
    body: Json = {}
    if len(report.study_uids) == 1:
        body["00081190"] = {"vr": "UR", "Value": [f"{root}/studies/{report.study_uids[0]}"]}
    taken = [_reference(c, i, root, s) for c, i, s in report.stored]
    taken += [
        _reference(c, i, root, s) | {"00081196": {"vr": "US", "Value": [WARNING_KEPT_ASIDE]}}
        for c, i, s in report.aside
    ]
    known = [(c, i, f) for c, i, f in report.failed if i]
    unknown = [f for _, i, f in report.failed if not i]
    if taken:
        body["00081199"] = {"vr": "SQ", "Value": taken}
    if known:
        body["00081198"] = {"vr": "SQ", "Value": [_reference(c, i, root, "") | _reason(f) for c, i, f in known]}
    if unknown:
        body["0008119A"] = {"vr": "SQ", "Value": [_reason(f) for f in unknown]}
    status = _status(report)
    if status >= 400:
        first = report.failed[0][2]
        body |= {"failure": first.name, "zh": first.zh, "en": first.en, "facts": first.facts}
    return status, body


def _status(report: Report) -> int:
    if not report.failed:
        return 202 if report.aside else 200
    if report.stored or report.aside:
        return 202
    statuses = {failure.answer.http for _, _, failure in report.failed}
    return statuses.pop() if len(statuses) == 1 else 409


def retry_after_s(report: Report) -> int | None:
    waits = [f.answer.retry_after_s for _, _, f in report.failed if f.answer.retry_after_s is not None]
    return max(waits, default=None)


def _reference(sop_class: str, sop_uid: str, root: str, study: str) -> Json:
    out: Json = {"00081150": {"vr": "UI", "Value": [sop_class]}, "00081155": {"vr": "UI", "Value": [sop_uid]}}
    if study:
        out["00081190"] = {"vr": "UR", "Value": [f"{root}/studies/{study}"]}
    return out


def _reason(failure: Failure) -> Json:
    """The status of the table of failures, and the sentence that a technician can act on."""
    return {
        "00081197": {"vr": "US", "Value": [failure.answer.dimse]},
        "00000902": {"vr": "LO", "Value": [f"{failure.zh} {failure.en}"]},
    }


def wrong_type() -> WrongMediaType:
    return WrongMediaType(
        '请以 multipart/related; type="application/dicom" 发送 DICOM 文件。',
        'Send DICOM files as multipart/related; type="application/dicom".',
        {},
    )


def _too_large(limit: int) -> TooLarge:
    return TooLarge(
        f"文件过大，上限 {limit >> 20} MB。",
        f"Too large: at most {limit >> 20} MB are taken in.",
        {"limit_bytes": limit},
    )


def _cut_off(total: int, parts: int) -> Unreadable:
    return Unreadable(
        f"传输在第 {total} 字节处中断。已确认的 {parts} 个文件已保存，其余请重新发送。",
        f"The transfer was cut off at byte {total}. {parts} files were dealt with and stay; send the rest again.",
        {"byte": total, "parts": parts},
    )
