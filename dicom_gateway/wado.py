"""WADO-RS: whole objects, metadata, frames, values and pictures of what the asker may see (PS3.18 10.4)."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from typing import Final

import numpy as np
from pydicom import dcmread
from pydicom.uid import ExplicitVRLittleEndian

from center.codes import Origin
from center.database import Database, Row
from center.errors import NotFound, Unreadable
from center.identity import Actor
from dicom_gateway import rendering
from dicom_gateway.contents import Contents
from dicom_gateway.dicom_json import (
    WORD_BYTES,
    element_at,
    identity_json,
    is_shifted,
    little_endian,
    metadata,
    served,
    unpack,
    unpack_text,
)
from dicom_gateway.dicom_scan import (
    EXPLICIT_BIG,
    EXPLICIT_LITTLE,
    NATIVE,
    VIDEO,
    Element,
    FrameMap,
    Header,
    frame_map,
    readable,
    scan,
)
from dicom_gateway.media import DICOM, OCTETS, PDF, Form, frame_form
from dicom_gateway.qido import Scope
from dicom_gateway.store import QUERIES, Shelved

MAX_INSTANCES: Final = 20_000
BOUNDARY: Final = "helan-part-7d1c4e9b2f60"
ENCAPSULATED_PDF: Final = "1.2.840.10008.5.1.4.1.1.104.1"
_GZIP_FROM_BYTES: Final = 1024
#: One window, its width 1 or more: most images' metadata goes out without being parsed.
_USUAL_WINDOW: Final = re.compile(
    rb'"00281050":\{"vr":"DS","Value":\[-?[\d.]+\]\},"00281051":\{"vr":"DS","Value":\[[1-9]\d*(\.\d+)?\]'
)


@dataclass(frozen=True, slots=True)
class Part:
    """One part of an answer."""

    media_type: str
    transfer_syntax: str
    body: Iterator[bytes]
    location: str = ""

    @property
    def content_type(self) -> str:
        return f"{self.media_type}; transfer-syntax={self.transfer_syntax}" if self.transfer_syntax else self.media_type


def multipart(parts: Iterator[Part]) -> Iterator[bytes]:
    """multipart/related, streamed."""
    for part in parts:
        head = f"\r\n--{BOUNDARY}\r\nContent-Type: {part.content_type}\r\n"
        if part.location:
            head += f"Content-Location: {part.location}\r\n"
        yield f"{head}\r\n".encode()
        yield from part.body
    yield f"\r\n--{BOUNDARY}--\r\n".encode()


class Shelf:
    """Looks up and opens what a scope lets see; all else is not there."""

    def __init__(self, database: Database, contents: Contents) -> None:
        self._database = database
        self._contents = contents

    # ---------------------------------------------------------------- looking up
    def find(
        self,
        actor: Actor,
        scope: Scope,
        study: str,
        series: str | None = None,
        sop: str | None = None,
        *,
        metadata: bool = False,
    ) -> list[Shelved]:
        """Rows in reading order.  Raises NotFound."""
        clinic = self.clinic_of(actor, scope, study)
        with self._database.transaction(actor, actor.clinics & {clinic}) as work:
            rows = work.all(
                QUERIES["shelf"], clinic=clinic, study=study, series=series, sop=sop, with_metadata=metadata,
                visibilities=list(scope.visibilities), limit=MAX_INSTANCES,
            )  # fmt: skip
        if not rows:
            raise _nothing()
        return [Shelved.from_row(row) for row in rows]

    def clinic_of(self, actor: Actor, scope: Scope, study: str) -> str:
        """Which of the scope's clinics holds the study.  Raises NotFound."""
        if scope.studies is not None and study not in scope.studies:
            raise _nothing()
        with self._database.transaction(actor, actor.clinics & set(scope.clinics)) as work:
            rows = work.all(QUERIES["clinics_of_study"], study=study)
        if not rows:
            raise _nothing()
        return rows[0]["clinic_id"]

    def identity(self, actor: Actor, clinic: str, study: str) -> Row | None:
        """The patient's row of a study that was put right, else None."""
        with self._database.transaction(actor, actor.clinics & {clinic}) as work:
            row = work.one(QUERIES["identity_of_study"], clinic=clinic, study=study)
        return row if row is not None and row["corrections"] else None

    # ---------------------------------------------------------------- whole objects
    def instances(self, found: Sequence[Shelved], form: Form, root: str) -> Iterator[Part]:
        """The first one is opened before anything is said: a store that is away is told at once."""
        first = self._instance(found[0], form, root)

        def parts() -> Iterator[Part]:
            yield first
            for one in found[1:]:
                yield self._instance(one, form, root)

        return parts()

    def _instance(self, one: Shelved, form: Form, root: str) -> Part:
        location = f"{root}/studies/{one.study_uid}/series/{one.series_uid}/instances/{one.sop_uid}"
        if form.decode and one.transfer_syntax != form.transfer_syntax:
            return Part(DICOM, form.transfer_syntax, iter([self._decompressed(one)]), location)
        return Part(DICOM, one.transfer_syntax, self._contents.open_range(one.sha256), location)

    def _decompressed(self, one: Shelved) -> bytes:
        if one.transfer_syntax in VIDEO:
            raise rendering.no_frames_of_video(_address_of(one))
        raw = self._contents.read(one.sha256)
        dataset = dcmread(BytesIO(readable(raw)))
        if one.frames and one.transfer_syntax not in NATIVE:
            rendering.put_decoded(dataset, _frames_in(raw, one))
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        out = BytesIO()
        dataset.save_as(out, implicit_vr=False, little_endian=True, enforce_file_format=True)
        return out.getvalue()

    # ---------------------------------------------------------------- metadata
    def metadata(self, actor: Actor, found: Sequence[Shelved], level: str) -> bytes:
        """DICOM JSON of these instances, put together from what was made at ingest; URIs are right for this level."""
        identity = self.identity(actor, found[0].clinic_id, found[0].study_uid)
        pieces: list[bytes] = []
        for one in found:
            text = unpack_text(one.metadata or b"")
            put_right = identity is not None and one.origin is not Origin.RESULT
            if put_right or _may_be_changed(text):
                changed = served(json.loads(text)) | (identity_json(identity) if identity and put_right else {})
                text = json.dumps(dict(sorted(changed.items())), ensure_ascii=False, separators=(",", ":")).encode()
            pieces.append(_relative(text, one, level))
        return b"[" + b",".join(pieces) + b"]"

    # ---------------------------------------------------------------- frames
    def frames(self, one: Shelved, numbers: Sequence[int], form: Form) -> Iterator[Part]:
        """Frames (from 1), each read by itself.  Raises NotFound, Unreadable."""
        bodies = [self._frame_body(one, number, form) for number in numbers[:1]]

        def parts() -> Iterator[Part]:
            for n, number in enumerate(numbers):
                body = bodies[0] if n == 0 else self._frame_body(one, number, form)
                yield Part(form.media_type, form.transfer_syntax, body)

        return parts()

    def with_frames(self, one: Shelved) -> Shelved:
        """With the places of its frames, found now where an earlier edition could not tell them apart."""
        if one.frame_map is not None or not one.frames:
            return one
        with self._contents.mapped(one.sha256) as view:
            return replace(one, frame_map=frame_map(scan(view)))

    def frame_form(self, one: Shelved, accept: str) -> Form:
        """How its frames are given.  Raises NotAcceptable."""
        if one.is_video:
            raise rendering.no_frames_of_video(_address_of(one))
        if is_shifted(unpack(one.metadata or b"")):  # never as stored: viewers would take the words for the values
            return replace(frame_form(accept, EXPLICIT_LITTLE), decode=True)
        return frame_form(accept, one.transfer_syntax)

    def check_frames(self, one: Shelved, numbers: Sequence[int]) -> None:
        if one.is_video:
            raise rendering.no_frames_of_video(_address_of(one))
        if one.frame_map is None:
            raise _no_frames(one)
        if not numbers or min(numbers) < 1 or max(numbers) > one.frames:
            raise NotFound(
                f"帧号应在 1 到 {one.frames} 之间。",
                f"Frames are numbered from 1 to {one.frames}.",
                {"frames": one.frames},
            )
        if max(numbers) > one.whole_frames:
            raise _missing(one)

    def _frame_body(self, one: Shelved, number: int, form: Form) -> Iterator[bytes]:
        if form.decode:
            return iter([rendering.decoded_frame(self.frame_of(one, number))])
        pieces = self._stored_frame(one, number)
        if one.transfer_syntax == EXPLICIT_BIG:
            return iter([little_endian(b"".join(pieces), max(1, _bits(one) // 8))])
        return pieces

    def video(self, one: Shelved) -> Iterator[bytes]:
        """The stream of a video, as it is stored.  Raises Unreadable."""
        return self._stored_frame(one, 1)

    def _stored_frame(self, one: Shelved, number: int) -> Iterator[bytes]:
        """A frame's bytes as they lie in the file."""
        places = one.frame_map
        if places is None:
            raise _no_frames(one)
        if places.kind == "encapsulated":
            fragments = places.fragments[number - 1]
            opened = [self._contents.open_range(one.sha256, offset, length) for offset, length in fragments[:1]]

            def chained() -> Iterator[bytes]:
                yield from opened[0]
                for offset, length in fragments[1:]:
                    yield from self._contents.open_range(one.sha256, offset, length)

            return chained()
        if places.kind == "native":
            return self._contents.open_range(
                one.sha256, places.offset + (number - 1) * places.frame_bytes, places.frame_bytes
            )
        return iter([self._awkward_frame(one, places, number)])

    def _awkward_frame(self, one: Shelved, places: FrameMap, number: int) -> bytes:
        """A frame of one bit a pixel that begins inside a byte, or inside a deflated data set."""
        if places.kind == "bits":
            raw = self._contents.read(one.sha256, places.offset, places.frame_bytes)
            bits = np.unpackbits(np.frombuffer(raw, np.uint8), bitorder="little")
            each = _pixels(one)
            return np.packbits(bits[(number - 1) * each : number * each], bitorder="little").tobytes()
        with self._contents.mapped(one.sha256) as view:
            header = scan(view)
            inner = frame_map(Header(header.buffer, "1.2.840.10008.1.2.1", {}, 0, header.elements, header.repertoire))
            if inner is None or inner.kind != "native":
                raise _no_frames(one)
            if number > inner.frames:
                raise _missing(replace(one, frame_map=inner))
            start = inner.offset + (number - 1) * inner.frame_bytes
            return bytes(header.buffer[start : start + inner.frame_bytes])

    def frame_of(self, one: Shelved, number: int) -> rendering.Frame:
        """One frame for decoding; what it needs beside the pixels comes from the kept metadata."""
        content = b"".join(self._stored_frame(one, number))
        if one.transfer_syntax == EXPLICIT_BIG:
            content = little_endian(content, max(1, _bits(one) // 8))
        metadata = unpack(one.metadata or b"")
        return rendering.frame_of(metadata, one.transfer_syntax, content, number, lambda uri: self._bulk_of(one, uri))

    # ---------------------------------------------------------------- values
    def bulk(self, one: Shelved, path: str) -> tuple[str, Iterator[bytes]]:
        """(media type, bytes) of the value that a BulkDataURI names.  Raises NotFound."""
        with self._contents.mapped(one.sha256) as view:
            header = scan(view)
            element = element_at(header, path)
            if element is None or element.items is not None:
                raise NotFound("没有这个数据元素。", "There is no such value.", {"path": path[:100]})
            kind = PDF if element.tag == 0x00420011 and one.sop_class_uid == ENCAPSULATED_PDF else OCTETS
            if header.inflated or header.big_endian:
                return kind, iter([_turned(header, element)])
            offset, length = element.offset, element.length
        return kind, self._contents.open_range(one.sha256, offset, length)

    def document(self, one: Shelved) -> Iterator[bytes]:
        """The file inside an Encapsulated PDF, without its padding."""
        metadata = unpack(one.metadata or b"")
        length = (metadata.get("00420015", {}).get("Value") or [None])[0]
        with self._contents.mapped(one.sha256) as view:
            element = scan(view).elements.get(0x00420011)
            if element is None:
                raise rendering.no_picture()
            offset, size = element.offset, element.length
            padded = size > 0 and length is None and bytes(view[offset + size - 1 : offset + size]) == b"\x00"
        return self._contents.open_range(one.sha256, offset, min(size, int(length)) if length else size - int(padded))

    def _bulk_of(self, one: Shelved, uri: str) -> bytes:
        _, pieces = self.bulk(one, uri.partition("/bulkdata/")[2])
        return b"".join(pieces)


def _frames_in(raw: bytes, one: Shelved) -> Iterator[rendering.Frame]:
    """Every frame of a compressed object.  Raises Unreadable where one is missing."""
    header = scan(raw)
    one = replace(one, frame_map=frame_map(header))
    if one.frame_map is None:
        raise _no_frames(one)
    if one.whole_frames < one.frames:
        raise _missing(one)
    said = metadata(header)

    def value(uri: str) -> bytes:
        element = element_at(header, uri.partition("/bulkdata/")[2])
        return b"" if element is None else header.raw(element)

    for number, places in enumerate(one.frame_map.fragments, 1):
        content = b"".join(raw[offset : offset + length] for offset, length in places)
        yield rendering.frame_of(said, one.transfer_syntax, content, number, value)


def _turned(header: Header, element: Element) -> bytes:
    raw = bytes(header.buffer[element.offset : element.offset + element.length])
    return little_endian(raw, WORD_BYTES.get(element.vr, 1)) if header.big_endian else raw


def _relative(text: bytes, one: Shelved, level: str) -> bytes:
    """Kept URIs are relative to the series; a relative URI counts from the last slash of the address that was asked."""
    kept = b'"BulkDataURI":"instances/'
    if level == "study":
        return text.replace(kept, f'"BulkDataURI":"series/{one.series_uid}/instances/'.encode())
    if level == "instance":
        return text.replace(kept + f"{one.sop_uid}/".encode(), b'"BulkDataURI":"')
    return text


def _pixels(one: Shelved) -> int:
    metadata = unpack(one.metadata or b"")
    return int(metadata["00280010"]["Value"][0]) * int(metadata["00280011"]["Value"][0])


def _bits(one: Shelved) -> int:
    metadata = unpack(one.metadata or b"")
    return int((metadata.get("00280100", {}).get("Value") or [8])[0])


def packed(body: bytes, accept_encoding: str) -> tuple[bytes, dict[str, str]]:
    """(body, headers): gzip where it is taken and worth it."""
    if len(body) < _GZIP_FROM_BYTES or "gzip" not in accept_encoding.lower():
        return body, {"Vary": "Accept-Encoding"}
    return gzip.compress(body, 1, mtime=0), {"Content-Encoding": "gzip", "Vary": "Accept-Encoding"}


def _nothing() -> NotFound:
    return NotFound("没有找到，或不在您的范围内。", "Not found, or not within your reach.", {})


def _may_be_changed(text: bytes) -> bool:
    """Whether it is worth parsing for ``served``: kept metadata is in tag order, without spaces."""
    bits = re.search(rb'"00280101":\{"vr":"US","Value":\[(\d+)\]\},"00280102":\{"vr":"US","Value":\[(\d+)\]', text)
    if b'"00280102"' in text and (bits is None or int(bits[2]) != int(bits[1]) - 1):
        return True
    windowed = b'"00281050"' in text or b'"00281051"' in text
    return windowed and _USUAL_WINDOW.search(text) is None


def _address_of(one: Shelved) -> str:
    return f"studies/{one.study_uid}/series/{one.series_uid}/instances/{one.sop_uid}/bulkdata/7FE00010"


def _missing(one: Shelved) -> Unreadable:
    return Unreadable(
        f"文件头说有 {one.frames} 帧，文件中只有 {one.whole_frames} 帧完整，其余缺失。请从设备重新发送。",
        f"The header says {one.frames} frames; only {one.whole_frames} are whole in the file, the others are missing."
        " Send it again from the device.",
        {"frames": one.frames, "whole": one.whole_frames},
    )


def _no_frames(one: Shelved) -> NotFound | Unreadable:
    if one.frames == 0:
        return rendering.no_picture()
    return Unreadable(
        "图像数据长度与说明不符，无法取帧。请从设备重新导出。",
        "The pixel data is not as long as its description says; frames cannot be told apart. Export it again.",
        {"sop": one.sop_uid},
    )
