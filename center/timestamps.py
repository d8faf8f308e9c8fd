"""RFC 3161 time-stamp tokens from the center's internal authority, made in this process.

Stands behind pyHanko's ``TimeStamper``, so that a licensed time service can take its place. The time is the center's
corrected clock and is called internal wherever it is shown.
"""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime
from typing import Any, Final

from asn1crypto import algos, cms, core, tsp, x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from pyhanko.sign.timestamps import TimeStamper

from center.authority import Credential
from center.errors import Unavailable

#: Our time-stamp policy: internal time, no claim of a licensed service. 2.25 + UUID needs no registration.
POLICY: Final = "2.25.231784560117299015836172653009148530917"
DIGEST: Final = "sha256"


class InternalTimeStamper(TimeStamper):
    """Stamps one digest with one instant; a new one is made for each document."""

    def __init__(self, credential: Credential, at: datetime) -> None:
        super().__init__(include_nonce=True)
        self._certificate = x509.Certificate.load(credential.certificate_der)
        self._key = serialization.load_der_private_key(credential.key_der, password=None)
        self._at = at.replace(microsecond=0)

    async def async_request_tsa_response(self, req: tsp.TimeStampReq) -> tsp.TimeStampResp:
        """The token over the request's digest.  Raises Unavailable for a digest that we do not stamp."""
        asked: Any = req  # asn1crypto's values are untyped
        if asked["message_imprint"]["hash_algorithm"]["algorithm"].native != DIGEST:
            raise Unavailable("中心时间戳只支持 SHA-256。", "The center's time-stamp takes SHA-256 only.")
        token = self._token(self._info(asked["message_imprint"], asked["nonce"]).dump())
        return tsp.TimeStampResp({"status": tsp.PKIStatusInfo({"status": "granted"}), "time_stamp_token": token})

    def _info(self, imprint: tsp.MessageImprint, nonce: core.Integer) -> tsp.TSTInfo:
        values: dict[str, object] = {
            "version": "v1",
            "policy": POLICY,
            "message_imprint": imprint,
            "serial_number": secrets.randbits(63),
            "gen_time": self._at,
            "tsa": x509.GeneralName(name="directory_name", value=self._certificate.subject),
        }
        if nonce.native is not None:
            values["nonce"] = nonce
        return tsp.TSTInfo(values)

    def _token(self, info: bytes) -> cms.ContentInfo:
        digest_algorithm = algos.DigestAlgorithm({"algorithm": DIGEST})
        attributes = self._attributes(info)
        assert isinstance(self._key, ec.EllipticCurvePrivateKey)
        signer = {
            "version": "v1",
            "sid": cms.SignerIdentifier(
                name="issuer_and_serial_number",
                value={"issuer": self._certificate.issuer, "serial_number": self._certificate.serial_number},
            ),
            "digest_algorithm": digest_algorithm,
            "signature_algorithm": algos.SignedDigestAlgorithm({"algorithm": "sha256_ecdsa"}),
            "signed_attrs": attributes,
            "signature": self._key.sign(attributes.dump(), ec.ECDSA(hashes.SHA256())),
        }
        data = {
            "version": "v3",
            "digest_algorithms": [digest_algorithm],
            "encap_content_info": {"content_type": "tst_info", "content": cms.ParsableOctetString(info)},
            "certificates": [self._certificate],
            "signer_infos": [signer],
        }
        return cms.ContentInfo({"content_type": "signed_data", "content": cms.SignedData(data)})

    def _attributes(self, info: bytes) -> cms.CMSAttributes:
        """What the token's signature covers: RFC 5652 5.3, and the certificate's own digest (RFC 5816)."""
        own = tsp.ESSCertIDv2({"cert_hash": hashlib.sha256(self._certificate.dump()).digest()})
        return cms.CMSAttributes(
            [
                cms.CMSAttribute({"type": "content_type", "values": ["tst_info"]}),
                cms.CMSAttribute({"type": "message_digest", "values": [hashlib.sha256(info).digest()]}),
                cms.CMSAttribute({"type": "signing_certificate_v2", "values": [{"certs": [own]}]}),
            ]
        )
