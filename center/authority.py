"""The center's own certificate authority: a root, a time-stamp certificate, a key for heads, and people's keys.

All of it lies in one folder (0700, files 0600), made once. The authority and its clock are *internal*: pages and
documents say so. A person's key is never kept open: it lies wrapped by his secret, in the database.
"""

from __future__ import annotations

import base64
import binascii
import secrets
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from argon2.low_level import Type, hash_secret_raw
from cryptography import x509
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from center.errors import Forbidden
from center.files import write_private_once
from center.ports import Clock

CENTER_NAME: Final = "贺兰区域影像与心电诊断中心"
ROOT_FOR = timedelta(days=365 * 20)
STAMP_FOR = timedelta(days=365 * 15)
PERSON_FOR = timedelta(days=365 * 3)
#: Certificates begin a little earlier, so that a machine whose clock lags can check them at once.
_LEEWAY = timedelta(minutes=5)

#: 19 MiB, t=2, p=1: OWASP's first choice for argon2id, as for passwords.
_COST: Final = {"time": 2, "memory_kib": 19456, "lanes": 1}
#: What a stored row may ask for at most: a forged one must not eat the machine's memory.
_COST_LIMIT: Final = {"time": 10, "memory_kib": 262144, "lanes": 4}
_HASHING = threading.BoundedSemaphore(2)

Wrapped = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class IssuedCertificate:
    """A person's new certificate. serial: 16 hex digits; wrapped_key: JSON values, opened by his secret only."""

    serial: str
    certificate_pem: str
    wrapped_key: dict[str, object]


@dataclass(frozen=True, slots=True)
class Credential:
    """A private key with its certificate, PKCS#8 and X.509, both DER."""

    key_der: bytes
    certificate_der: bytes


class Authority:
    """Issues and opens; everything it needs was read by ``open``."""

    def __init__(self, root: Credential, stamp: Credential, heads: Ed25519PrivateKey, clock: Clock) -> None:
        self._root = root
        self._stamp = stamp
        self._heads = heads
        self._clock = clock
        self._root_key = _ec_key(root.key_der)
        self._root_certificate = x509.load_der_x509_certificate(root.certificate_der)

    @classmethod
    def open(cls, keys_dir: Path, clock: Clock, *, center_name: str = CENTER_NAME) -> Authority:
        """The authority of this folder; made first where it is not there. Two processes at once make one."""
        keys_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        keys_dir.chmod(0o700)
        root = _pair(keys_dir / "authority.pem", lambda: _new_root(center_name, clock.now()))
        stamp = _pair(keys_dir / "timestamp.pem", lambda: _new_stamp(root, center_name, clock.now()))
        heads = _once(keys_dir / "heads.pem", lambda: _pem_key(Ed25519PrivateKey.generate()))
        write_private_once(keys_dir / "authority.crt", _pem_certificate(root.certificate_der))
        key = serialization.load_pem_private_key(heads, password=None)
        if not isinstance(key, Ed25519PrivateKey):
            raise TypeError(f"{keys_dir / 'heads.pem'} holds another kind of key: Ed25519 expected")
        return cls(root, stamp, key, clock)

    # ------------------------------------------------------------ what others check with
    @property
    def certificate_pem(self) -> bytes:
        """The root certificate: what ``helan verify`` trusts."""
        return _pem_certificate(self._root.certificate_der)

    @property
    def stamp_credential(self) -> Credential:
        """Of the time-stamp authority."""
        return self._stamp

    def sign_head(self, raw: bytes) -> str:
        """Ed25519 signature, hex: audit heads and model manifests."""
        return self._heads.sign(raw).hex()

    def check_head(self, raw: bytes, signature: str) -> bool:
        """It is this center's signature of these bytes."""
        try:
            self._heads.public_key().verify(bytes.fromhex(signature), raw)
        except (InvalidSignature, ValueError):
            return False
        return True

    # ------------------------------------------------------------ people
    def issue_for(self, person_id: str, name: str, licence: str, secret: str) -> IssuedCertificate:
        """A new key and certificate of this person, the key wrapped by his secret."""
        key = ec.generate_private_key(ec.SECP256R1())
        serial = _new_serial()
        subject = [
            x509.NameAttribute(NameOID.COMMON_NAME, name[:64]),
            x509.NameAttribute(NameOID.USER_ID, person_id),
        ]
        if licence:
            subject.append(x509.NameAttribute(NameOID.SERIAL_NUMBER, licence[:64]))
        usage = _usage(digital_signature=True, content_commitment=True)
        builder = _builder(x509.Name(subject), self._root_certificate, key.public_key(), self._clock.now(), PERSON_FOR)
        certificate = builder.serial_number(serial).add_extension(usage, critical=True)
        signed = certificate.sign(self._root_key, hashes.SHA256())
        text = serial_text(serial)
        wrapped = wrap(_der_key(key), secret, bound_to=text)
        return IssuedCertificate(text, signed.public_bytes(serialization.Encoding.PEM).decode(), wrapped)


# ---------------------------------------------------------------- wrapping
def wrap(key_der: bytes, secret: str, *, bound_to: str) -> dict[str, object]:
    """The key under AES-256-GCM, its key from argon2id over the secret; ``bound_to`` (the serial) is authenticated."""
    salt, nonce = secrets.token_bytes(16), secrets.token_bytes(12)
    sealed = AESGCM(_derive(secret, salt, _COST)).encrypt(nonce, key_der, bound_to.encode())
    return {
        "v": 1,
        "kdf": "argon2id",
        **_COST,
        "salt": _b64(salt),
        "cipher": "aes-256-gcm",
        "nonce": _b64(nonce),
        "key": _b64(sealed),
    }


def unwrap(wrapped: Wrapped, secret: str, *, bound_to: str) -> bytes:
    """The private key, PKCS#8 DER.  Raises Forbidden when the secret does not open it."""
    try:
        if (wrapped["v"], wrapped["kdf"], wrapped["cipher"]) != (1, "argon2id", "aes-256-gcm"):
            raise ValueError("unknown wrapping")
        cost = {name: _bounded(wrapped, name) for name in _COST}
        salt, nonce, sealed = (_unb64(wrapped[name]) for name in ("salt", "nonce", "key"))
        return AESGCM(_derive(secret, salt, cost)).decrypt(nonce, sealed, bound_to.encode())
    except InvalidTag:
        raise wrong_secret() from None
    except (KeyError, ValueError, binascii.Error):
        raise Forbidden(
            "签名密钥的记录已损坏。请联系管理员重新签发证书。",
            "The record of your signing key is damaged. Ask the administrator for a new certificate.",
            {"grantor": "administrator"},
        ) from None


def rewrap(wrapped: Wrapped, old_secret: str, new_secret: str, *, bound_to: str) -> dict[str, object]:
    """The same key under the new secret.  Raises Forbidden when the old one does not open it."""
    return wrap(unwrap(wrapped, old_secret, bound_to=bound_to), new_secret, bound_to=bound_to)


def wrong_secret() -> Forbidden:
    """What a person reads whose password does not open his key."""
    return Forbidden(
        "密码不对，报告没有签发。请重新输入。如果管理员刚重设过您的密码，请让他重新签发证书。",
        "The password is wrong; the report is not signed. Enter it again. If an administrator has just reset your "
        "password, ask for a new certificate.",
        {"grantor": "administrator"},
    )


def serial_text(serial: int) -> str:
    """16 hex digits: as it stands in the row, on the page and in the document."""
    return f"{serial:016X}"


def _derive(secret: str, salt: bytes, cost: Mapping[str, int]) -> bytes:
    with _HASHING:  # two at once: each takes its memory
        return hash_secret_raw(
            secret.encode(), salt, time_cost=cost["time"], memory_cost=cost["memory_kib"], parallelism=cost["lanes"],
            hash_len=32, type=Type.ID,
        )  # fmt: skip


def _bounded(wrapped: Wrapped, name: str) -> int:
    value = wrapped[name]
    if not isinstance(value, int) or not 1 <= value <= _COST_LIMIT[name]:
        raise ValueError(f"{name} out of bounds")
    return value


def _b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _unb64(text: object) -> bytes:
    return base64.b64decode(str(text), validate=True)


# ---------------------------------------------------------------- making it, once
def _once(path: Path, make: Callable[[], bytes]) -> bytes:
    """The file's content, made first if need be; of two who make it at once, the first one's."""
    if not path.exists():
        write_private_once(path, make())
    return path.read_bytes()


def _pair(path: Path, make: Callable[[], bytes]) -> Credential:
    """Key and certificate lie in one file, so that there is never one without its other."""
    raw = _once(path, make)
    key = serialization.load_pem_private_key(raw, password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise TypeError(f"{path} holds another kind of key: EC expected")
    certificate = x509.load_pem_x509_certificate(raw)
    return Credential(_der_key(key), certificate.public_bytes(serialization.Encoding.DER))


def _new_root(center_name: str, now: datetime) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name(center_name, "内部签名机构 internal authority")
    certificate = (
        _builder(name, name, key.public_key(), now, ROOT_FOR, ca=True)
        .serial_number(_new_serial())
        .add_extension(_usage(key_cert_sign=True, crl_sign=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    return _pem_key(key) + certificate.public_bytes(serialization.Encoding.PEM)


def _new_stamp(root: Credential, center_name: str, now: datetime) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = x509.load_der_x509_certificate(root.certificate_der)
    certificate = (
        _builder(_name(center_name, "内部时间戳 internal time"), issuer, key.public_key(), now, STAMP_FOR)
        .serial_number(_new_serial())
        .add_extension(_usage(digital_signature=True, content_commitment=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING]), critical=True)  # RFC 3161 2.3
        .sign(_ec_key(root.key_der), hashes.SHA256())
    )
    return _pem_key(key) + certificate.public_bytes(serialization.Encoding.PEM)


def _builder(
    subject: x509.Name,
    issuer: x509.Name | x509.Certificate,
    public_key: ec.EllipticCurvePublicKey,
    now: datetime,
    valid_for: timedelta,
    *,
    ca: bool = False,
) -> x509.CertificateBuilder:
    """What all three kinds of certificate have in common; serial and key usage come from the caller."""
    key_id = x509.SubjectKeyIdentifier.from_public_key(public_key)
    if isinstance(issuer, x509.Certificate):
        issuer_name = issuer.subject
        of_issuer = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    else:
        issuer_name, of_issuer = issuer, key_id
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer_name)
        .public_key(public_key)
        .not_valid_before(now - _LEEWAY)
        .not_valid_after(now + valid_for)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=0 if ca else None), critical=True)
        .add_extension(key_id, critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(of_issuer), critical=False)
    )


def _usage(
    *,
    digital_signature: bool = False,
    content_commitment: bool = False,
    key_cert_sign: bool = False,
    crl_sign: bool = False,
) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature, content_commitment=content_commitment, key_encipherment=False,
        data_encipherment=False, key_agreement=False, key_cert_sign=key_cert_sign, crl_sign=crl_sign,
        encipher_only=False, decipher_only=False,
    )  # fmt: skip


def _name(organization: str, common_name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "CN"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization[:64]),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name[:64]),
        ]
    )


def _new_serial() -> int:
    """62 random bits with the next one set: positive, always 16 hex digits."""
    return (1 << 62) | secrets.randbits(62)


def _ec_key(der: bytes) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_der_private_key(der, password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise TypeError("the authority's key is of another kind: EC expected")
    return key


def _der_key(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _pem_key(key: ec.EllipticCurvePrivateKey | Ed25519PrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _pem_certificate(der: bytes) -> bytes:
    return x509.load_der_x509_certificate(der).public_bytes(serialization.Encoding.PEM)
