"""Signatures under reports: a person's PAdES B-B, the center's document time-stamp, and the check of both.

GROUND.md "Signing". The two together are the seal. Input bytes always stay the prefix of what comes back, so a digest
taken before is still the digest of that prefix.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from io import BytesIO
from typing import Any, Final

from asn1crypto import cms
from asn1crypto import keys as asn1_keys
from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.pdf_utils.misc import PdfError
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign import PdfSignatureMetadata, PdfSigner, PdfTimeStamper, SimpleSigner
from pyhanko.sign.diff_analysis import ModificationLevel
from pyhanko.sign.fields import SigSeedSubFilter
from pyhanko.sign.signers.pdf_signer import PdfSigningSession
from pyhanko.sign.validation import (
    EmbeddedPdfSignature,
    SignatureCoverageLevel,
    validate_pdf_signature,
    validate_pdf_timestamp,
)
from pyhanko_certvalidator import ValidationContext
from pyhanko_certvalidator.registry import SimpleCertificateStore

from center import authority as authorities
from center.authority import CENTER_NAME, Authority
from center.database import Database, Row, Work
from center.errors import Forbidden, Stranger, Unreadable
from center.identity import SYSTEM
from center.ports import Clock, Signature
from center.timestamps import DIGEST, InternalTimeStamper

SIGNATURE_FIELD: Final = "Signature"
STAMP_FIELD: Final = "Timestamp"
#: The report's canonical content lies in its PDF under this name, its sha256 in a keyword with this head.
CONTENT_NAME: Final = "content.json"
CONTENT_KEYWORD: Final = "content-sha256:"

#: (person, password) -> None, or raises: the account's own check, which counts wrong ones towards the lock-out.
PasswordCheck = Callable[[str, str], None]


class CertificateSigner:
    """Signs with the person's own key, which lies in the database and opens with his secret only, for this one act."""

    def __init__(
        self,
        database: Database,
        authority: Authority,
        clock: Clock,
        *,
        check_password: PasswordCheck | None = None,
        location: str = CENTER_NAME,
    ) -> None:
        self._database = database
        self._authority = authority
        self._clock = clock
        self._check_password = check_password
        self._location = location

    # ------------------------------------------------------------ signing
    def sign(self, pdf: bytes, person_id: str, secret: str, reason: str) -> Signature:
        """PAdES B-B over exactly these bytes, which stay the prefix.

        Raises Forbidden (no certificate, expired, wrong secret), OverLimit (locked out), Unreadable (not a PDF).
        """
        row = self._active(person_id)
        now = self._clock.now()
        self._check(person_id, secret)
        key = authorities.unwrap(row["wrapped_key"], secret, bound_to=row["serial"])
        signed = sign_pdf(pdf, key, row["certificate"], at=now, reason=reason, location=self._location)
        return Signature(signed, hashlib.sha256(signed).hexdigest(), row["serial"], now)

    def confirm(self, person_id: str, secret: str) -> None:
        """The secret is this person's, for an act as grave as signing.  Raises Forbidden, OverLimit."""
        if self._check_password is not None:
            self._check(person_id, secret)
            return
        row = self._active(person_id)
        authorities.unwrap(row["wrapped_key"], secret, bound_to=row["serial"])

    def serial_of(self, person_id: str) -> str | None:
        """Serial of the certificate that he would sign with now, as the preview prints it; None: he can't sign."""
        try:
            return str(self._active(person_id)["serial"])
        except Forbidden:
            return None

    # ------------------------------------------------------------ certificates
    def issue(self, person_id: str, name: str, licence: str, secret: str) -> str:
        """Serial of a new certificate; the one before is revoked in the same commit."""
        issued = self._authority.issue_for(person_id, name, licence, secret)
        now = self._clock.now()
        with self._database.transaction(SYSTEM) as work:
            _revoke(work, person_id, now)
            work.run(
                "insert into center.certificate (serial, person_id, certificate, wrapped_key, created_at)"
                " values (%(s)s, %(p)s, %(c)s, %(w)s, %(now)s)",
                s=issued.serial, p=person_id, c=issued.certificate_pem, w=work.json(issued.wrapped_key), now=now,
            )  # fmt: skip
            work.audit("certificate:issue", f"person:{person_id}", serial=issued.serial)
        return issued.serial

    def rewrap(self, person_id: str, old_secret: str, new_secret: str) -> None:
        """The key opens with the new secret from now on.  Raises Forbidden when the old one does not open it.

        A person without a certificate has nothing to wrap: nothing happens.
        """
        with self._database.transaction(SYSTEM) as work:
            row = _latest(work, person_id)
            if row is None:
                return
            wrapped = authorities.rewrap(row["wrapped_key"], old_secret, new_secret, bound_to=row["serial"])
            work.run(
                "update center.certificate set wrapped_key = %(w)s where serial = %(s)s",
                w=work.json(wrapped), s=row["serial"],
            )  # fmt: skip
            work.audit("certificate:rewrap", f"person:{person_id}", serial=row["serial"])

    def revoke(self, person_id: str, reason: str) -> None:
        """He can't sign from now on; what he signed before stays valid."""
        with self._database.transaction(SYSTEM) as work:
            if _revoke(work, person_id, self._clock.now()):
                work.audit("certificate:revoke", f"person:{person_id}", reason=reason)

    def revoked(self) -> dict[str, datetime]:
        """When each revoked certificate was revoked, by serial: for ``verify_pdf``."""
        with self._database.transaction(SYSTEM) as work:
            rows = work.all(
                "select serial, revoked_at from center.certificate where revoked_at is not null"
                " order by revoked_at desc limit 10000"
            )
        return {row["serial"]: row["revoked_at"] for row in rows}

    def _active(self, person_id: str) -> Row:
        with self._database.transaction(SYSTEM) as work:
            row = _latest(work, person_id)
        if row is None:
            raise Forbidden(
                "您还没有签名证书，不能签发。请联系管理员。",
                "You have no signing certificate. Ask the administrator.",
                {"grantor": "administrator"},
            )
        until = x509.load_pem_x509_certificate(row["certificate"].encode()).not_valid_after_utc
        if until <= self._clock.now():
            raise Forbidden(
                f"签名证书已于 {until:%Y-%m-%d} 到期。请联系管理员换发。",
                f"Your signing certificate expired on {until:%Y-%m-%d}. Ask the administrator for a new one.",
                {"grantor": "administrator", "expired": until.date().isoformat()},
            )
        return row

    def _check(self, person_id: str, secret: str) -> None:
        if self._check_password is None:
            return
        try:
            self._check_password(person_id, secret)
        except Stranger:  # he is signed in: a wrong password here must not look like a lost session
            raise authorities.wrong_secret() from None


def _latest(work: Work, person_id: str) -> Row | None:
    return work.one(
        "select serial, certificate, wrapped_key from center.certificate"
        " where person_id = %(p)s and revoked_at is null order by created_at desc, serial limit 1",
        p=person_id,
    )


def _revoke(work: Work, person_id: str, now: datetime) -> int:
    return work.run(
        "update center.certificate set revoked_at = %(now)s where person_id = %(p)s and revoked_at is null",
        now=now, p=person_id,
    )  # fmt: skip


class CenterSealer:
    """Appends the center's document time-stamp: internal authority, internal clock."""

    def __init__(self, authority: Authority, clock: Clock) -> None:
        self._authority = authority
        self._clock = clock

    def stamp(self, pdf: bytes) -> bytes:
        """The signed PDF with a document time-stamp as an incremental update.  Raises Unreadable."""
        stamper = InternalTimeStamper(self._authority.stamp_credential, self._clock.now())
        try:
            out = PdfTimeStamper(stamper, field_name=STAMP_FIELD).timestamp_pdf(_open(pdf), DIGEST)
        except _PDF_TROUBLE as error:
            raise _not_pdf() from error
        return _prefixed(pdf, out.getvalue())


# ---------------------------------------------------------------- bytes to bytes
class _SignerAt(PdfSigner):
    """pyHanko's signer, with the signing time handed in."""

    def __init__(self, *args: Any, at: datetime, **kwargs: Any) -> None:  # pyHanko's own arguments, passed on
        super().__init__(*args, **kwargs)
        self._at = at

    def init_signing_session(self, pdf_out: Any, existing_fields_only: bool = False) -> PdfSigningSession:
        session = super().init_signing_session(pdf_out, existing_fields_only)
        session.system_time = self._at
        return session


def sign_pdf(pdf: bytes, key_der: bytes, certificate_pem: str, *, at: datetime, reason: str, location: str) -> bytes:
    """PAdES B-B with an invisible field, as an incremental update.  Raises Unreadable."""
    certificate = x509.load_pem_x509_certificate(certificate_pem.encode())
    own = asn1_x509.Certificate.load(_der(certificate))
    signer = SimpleSigner(
        signing_cert=own,
        signing_key=asn1_keys.PrivateKeyInfo.load(key_der),
        cert_registry=SimpleCertificateStore(),  # only his own goes in: the root is the verifier's business
        embed_roots=False,
    )
    metadata = PdfSignatureMetadata(
        field_name=SIGNATURE_FIELD,
        md_algorithm=DIGEST,
        subfilter=SigSeedSubFilter.PADES,
        name=common_name(certificate),
        reason=reason,
        location=location,
    )
    try:
        out = _SignerAt(metadata, signer=signer, at=at).sign_pdf(_open(pdf))
    except _PDF_TROUBLE as error:
        raise _not_pdf() from error
    return _prefixed(pdf, out.getvalue())


def common_name(certificate: x509.Certificate) -> str:
    names = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    return str(names[0].value) if names else ""


def _der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.DER)


def _open(pdf: bytes) -> IncrementalPdfFileWriter:
    return IncrementalPdfFileWriter(BytesIO(pdf))


def _prefixed(before: bytes, after: bytes) -> bytes:
    if not after.startswith(before):
        raise RuntimeError("the incremental update changed bytes that came before it")
    return after


def _not_pdf() -> Unreadable:
    return Unreadable("这个文件不是可签名的 PDF。", "This file is not a PDF that can be signed.")


#: What pyHanko raises on bytes that are not a sound PDF.
_PDF_TROUBLE: Final = (PdfError, ValueError, KeyError, IndexError, TypeError, RecursionError)


# ---------------------------------------------------------------- checking
@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, as a stable code and a sentence in each language."""

    code: str
    zh: str
    en: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What ``helan verify`` says of a PDF.

    intact: no byte differs from what was signed and stamped, and the content's digest fits; trusted: the certificates
    are the given authority's and were valid then. stamped_at: None where the document time-stamp is still missing.
    """

    intact: bool
    trusted: bool
    signer: str
    licence: str
    certificate_serial: str
    reason: str
    signed_at: datetime | None
    stamped_at: datetime | None
    content_sha256: str
    problems: tuple[Problem, ...]

    @property
    def sealed(self) -> bool:
        """Signature and time-stamp are both there and both good."""
        return self.intact and self.trusted and self.stamped_at is not None

    def lines(self, lang: str) -> list[str]:
        """What a person reads: the verdict first, then who and when, then what is wrong."""
        zh = lang == "zh"
        if self.sealed:
            head = "有效：签名与中心时间戳完好。" if zh else "Valid: signature and the center's time-stamp are whole."
        elif self.intact and self.trusted:
            head = "签名有效，尚无中心时间戳。" if zh else "The signature is valid; the time-stamp is still missing."
        else:
            head = "无效：请勿使用。" if zh else "Not valid: do not use."
        out = [head]
        if self.certificate_serial:
            names = ("签名人", "证书", "内部证书") if zh else ("Signer", "certificate", "internal")
            out.append(f"{names[0]}: {self.signer} {self.licence}, {names[1]} {self.certificate_serial} ({names[2]})")
        if self.signed_at is not None:
            out.append(f"{'签名时间' if zh else 'Signed'}: {self.signed_at.isoformat()}")
        if self.stamped_at is not None:
            out.append(f"{'中心时间戳' if zh else 'Time-stamp'}: {self.stamped_at.isoformat()}")
        if self.content_sha256:
            out.append(f"{'内容核对码' if zh else 'Content SHA-256'}: {self.content_sha256}")
        return out + [f"- {p.zh if zh else p.en}" for p in self.problems]


PROBLEMS: Final[Mapping[str, Problem]] = {
    p.code: p
    for p in (
        Problem("unreadable", "不是完整的 PDF，或已损坏。", "Not a whole PDF, or damaged."),
        Problem("unsigned", "文件没有签名。", "The file has no signature."),
        Problem("several_signatures", "文件有不止一个签名。", "There is more than one signature."),
        Problem("changed", "签名之后内容被改动。", "The content was changed after signing."),
        Problem("appended", "签名之后追加了内容。", "Something was appended after signing."),
        Problem("stamp_broken", "时间戳与文件不符。", "The time-stamp does not fit the file."),
        Problem("stamp_missing", "还没有中心时间戳。", "The center's time-stamp is not there yet."),
        Problem("not_ours", "签名证书不是本中心颁发，或签名时无效。", "The certificate is not ours or was not valid."),
        Problem("stamp_not_ours", "时间戳不是本中心的。", "The time-stamp is not of this center."),
        Problem("revoked", "签名时证书已吊销。", "The certificate had been revoked when this was signed."),
        Problem("content_missing", "文件里没有报告内容数据。", "The report's content data is missing from the file."),
        Problem("content_differs", "报告内容数据与核对码不符。", "The report's content data does not fit its digest."),
    )
}  # fmt: skip
_NOT_INTACT: Final = frozenset({
    "unreadable", "unsigned", "several_signatures", "changed", "appended", "stamp_broken", "content_missing",
    "content_differs",
})  # fmt: skip
_NOT_TRUSTED: Final = frozenset({
    "unreadable", "unsigned", "several_signatures", "not_ours", "stamp_not_ours", "revoked",
})  # fmt: skip


def verify_pdf(
    pdf: bytes,
    authority_pem: bytes,
    *,
    revoked: Mapping[str, datetime] | None = None,
    content_sha256: str | None = None,
) -> Verdict:
    """The verdict on a report's PDF; never raises for what the bytes are.

    revoked: when certificates were revoked, by serial; content_sha256: as the row has it, where there is a database.
    """
    try:
        return _Check(pdf, authority_pem, revoked or {}, content_sha256).verdict()
    except Exception:  # a forged file may break the parser anywhere: that is a verdict, not a failure
        return _verdict(["unreadable"])


def _verdict(codes: list[str], **known: Any) -> Verdict:
    values: dict[str, Any] = {
        "signer": "", "licence": "", "certificate_serial": "", "reason": "", "signed_at": None, "stamped_at": None,
        "content_sha256": "",
    }  # fmt: skip
    found = dict.fromkeys(codes)  # each once, in the order they were found
    return Verdict(
        intact=not _NOT_INTACT & found.keys(),
        trusted=not _NOT_TRUSTED & found.keys(),
        problems=tuple(PROBLEMS[code] for code in found),
        **(values | known),
    )


class _Check:
    """One file under examination: codes of what is wrong are collected on the way."""

    def __init__(
        self, pdf: bytes, authority_pem: bytes, revoked: Mapping[str, datetime], content_sha256: str | None
    ) -> None:
        self._pdf = pdf
        root = x509.load_pem_x509_certificate(authority_pem)
        self._root = asn1_x509.Certificate.load(_der(root))
        self._revoked = revoked
        self._expected_content = content_sha256
        self._codes: list[str] = []

    def verdict(self) -> Verdict:
        reader = PdfFileReader(BytesIO(self._pdf))
        signatures = reader.embedded_regular_signatures
        stamps = reader.embedded_timestamp_signatures
        if not signatures:
            return _verdict(["unsigned"])
        if len(signatures) > 1:
            self._codes.append("several_signatures")
        stamped_at = self._stamps(stamps)
        known = self._signature(signatures[0], stamped_at, last=not stamps)
        known["content_sha256"] = self._content(reader)
        return _verdict(self._codes, stamped_at=stamped_at, **known)

    def _stamps(self, stamps: list[EmbeddedPdfSignature]) -> datetime | None:
        """The first time-stamp's instant; the last one must cover the whole file."""
        if not stamps:
            self._codes.append("stamp_missing")
            return None
        first: datetime | None = None
        for stamp in stamps:
            at = _stamped_at(stamp.signed_data)
            status = validate_pdf_timestamp(stamp, self._context(at))
            last = stamp is stamps[-1]
            whole = _covers(status.coverage, status.modification_level, last=last)
            if not (status.intact and status.valid and whole and _plain(stamp, self._pdf)):
                self._codes.append("stamp_broken")
            if not status.trusted:
                self._codes.append("stamp_not_ours")
            first = first or status.timestamp
        return first

    def _signature(self, signature: EmbeddedPdfSignature, stamped_at: datetime | None, *, last: bool) -> dict[str, Any]:
        signed_at = signature.self_reported_timestamp
        at = stamped_at or signed_at
        status = validate_pdf_signature(signature, self._context(at))
        if not (status.intact and status.valid and _plain(signature, self._pdf)):
            self._codes.append("changed")
        if not _covers(status.coverage, status.modification_level, last=last):
            self._codes.append("appended")
        if not status.trusted:
            self._codes.append("not_ours")
        certificate = x509.load_der_x509_certificate(status.signing_cert.dump())
        serial = authorities.serial_text(certificate.serial_number)
        gone = self._revoked.get(serial)
        if gone is not None and (at is None or gone <= at):
            self._codes.append("revoked")
        licences = certificate.subject.get_attributes_for_oid(x509.NameOID.SERIAL_NUMBER)
        return {
            "signer": common_name(certificate),
            "licence": str(licences[0].value) if licences else "",
            "certificate_serial": serial,
            "reason": str(signature.sig_object.get("/Reason", "")),
            "signed_at": signed_at,
        }

    def _content(self, reader: PdfFileReader) -> str:
        """Digest of the content that lies in the file, which must be the one that the file (and the row) names."""
        raw = _attached(reader, CONTENT_NAME)
        if raw is None:
            self._codes.append("content_missing")
            return ""
        digest = hashlib.sha256(raw).hexdigest()
        named = set(_named_digests(reader))
        if self._expected_content is not None:
            named.add(self._expected_content)
        if named != {digest}:
            self._codes.append("content_differs")
        return digest

    def _context(self, at: datetime | None) -> ValidationContext:
        # Revocation is the database's own table here (the authority is internal), so nothing is fetched.
        return ValidationContext(
            trust_roots=[self._root], allow_fetching=False, moment=at, revocation_mode="soft-fail", other_certs=[]
        )


def _covers(coverage: SignatureCoverageLevel | None, modified: ModificationLevel | None, *, last: bool) -> bool:
    """The last one covers the file to its end; one before it its revision, with nothing but time-stamps after it."""
    if coverage is None:
        return False
    if last:
        return coverage >= SignatureCoverageLevel.ENTIRE_FILE
    return (
        coverage >= SignatureCoverageLevel.ENTIRE_REVISION
        and modified is not None
        and modified <= ModificationLevel.LTA_UPDATES
    )


def _plain(signature: EmbeddedPdfSignature, pdf: bytes) -> bool:
    """The gap that the signature leaves out holds its container in the one form that we write.

    A container has lists and lengths that no signature covers: a bit flipped there would change nothing that is
    checked. So it is built anew from the parts that are covered, and must be the same bytes (then zeros).
    """
    start, length, after, _ = (int(n) for n in signature.sig_object["/ByteRange"])
    gap = pdf[start + length : after]
    der = _container(signature.signed_data)
    return gap == b"<" + der.hex().upper().encode().ljust(len(gap) - 2, b"0") + b">"


def _stamped_at(data: Any) -> datetime:  # asn1crypto's values are untyped
    return data["encap_content_info"]["content"].parsed["gen_time"].native


def _container(data: Any) -> bytes:  # asn1crypto's values are untyped
    """The CMS container of these signed parts: one signer, his certificate, SHA-256 with ECDSA, nothing else."""
    signer = data["signer_infos"][0]
    certificate = data["certificates"][0].chosen
    stamp = data["encap_content_info"]["content_type"].native == "tst_info"
    digest = {"algorithm": DIGEST}
    content = {"content": cms.ParsableOctetString(bytes(data["encap_content_info"]["content"]))} if stamp else {}
    rebuilt = {
        "version": "v3" if stamp else "v1",
        "digest_algorithms": [digest],
        "encap_content_info": {"content_type": "tst_info" if stamp else "data", **content},
        "certificates": [certificate],
        "signer_infos": [
            {
                "version": "v1",
                "sid": cms.SignerIdentifier(
                    name="issuer_and_serial_number",
                    value={"issuer": certificate.issuer, "serial_number": certificate.serial_number},
                ),
                "digest_algorithm": digest,
                "signed_attrs": signer["signed_attrs"].untag(),
                "signature_algorithm": {"algorithm": "sha256_ecdsa"},
                "signature": signer["signature"].native,
            }
        ],
    }
    return cms.ContentInfo({"content_type": "signed_data", "content": cms.SignedData(rebuilt)}).dump()


def _attached(reader: PdfFileReader, name: str) -> bytes | None:
    """An embedded file by its name; None when it is not there, or there twice."""
    try:
        names = reader.root["/Names"]["/EmbeddedFiles"]["/Names"]
    except KeyError:
        return None
    found = [names[i + 1] for i in range(0, len(names), 2) if str(names[i]) == name]
    return bytes(found[0]["/EF"]["/F"].data) if len(found) == 1 else None


def _named_digests(reader: PdfFileReader) -> Iterator[str]:
    """The digests that the document's keywords name."""
    try:
        words = str(reader.trailer_view["/Info"]["/Keywords"])
    except KeyError:
        return
    for word in words.replace(",", " ").split():
        if word.startswith(CONTENT_KEYWORD):
            yield word.removeprefix(CONTENT_KEYWORD)
