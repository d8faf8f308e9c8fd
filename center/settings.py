"""Settings from the environment, complete before anything is opened; a wrong one is named with what it should be."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

#: Whose critical values an ECG may be graded by; the rules lie in the heart room (a test holds both to the same names).
CRITICAL_PROFILES = ("national_2017", "zhejiang", "zhejiang:first", "zhejiang:revised", "shanxi")


#: Processes of one kind: without a setting, and at all.
MOST_BY_DEFAULT, MOST_PROCESSES = 4, 64


class SettingsError(ValueError):
    """A setting that can't be used; its text says which and why."""


@dataclass(frozen=True, slots=True)
class Address:
    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        return self.host == "localhost" or ipaddress.ip_address(self.host).is_loopback

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Settings:
    """All that can be set from outside. Secrets are never printed (``shown``)."""

    data: Path
    http: Address
    dicom: Address
    ae_title: str
    database: str
    database_web: str
    database_service: str
    objects: str
    audit_heads: str  # a second place for the audit's signed heads: a folder, or s3://bucket; empty: none
    s3_endpoint: str
    s3_access_key: str
    s3_secret_key: str
    device: str
    public_url: str
    tls_cert: Path | None
    tls_key: Path | None
    tls_min: str  # the oldest TLS that is spoken: 1.3, or 1.2 for clinics' old PCs (its modern suites only)
    trusted_proxy: str
    quiet_s: float | None  # completion: quiet seconds for every modality, for trials; None: by modality
    ladder_minutes: tuple[float, ...] | None  # critical ladder, for trials; None: policy
    critical_profile: str  # whose critical values an ECG is graded by
    reserve_bytes: int | None  # disk's reserve; None: 2 GB or 5 %, whichever is less
    web_processes: int  # processes that answer HTTP on one port; by default as many as cores, at most MOST_BY_DEFAULT
    ecg_readers: int  # processes that read ECGs; by default as many as cores, at most MOST_BY_DEFAULT

    @classmethod
    def parse(cls, environ: Mapping[str, str]) -> Settings:
        """Raises SettingsError."""
        http = _address(environ, "HELAN_HTTP", "127.0.0.1:8080")
        cert, key = _path(environ, "HELAN_TLS_CERT"), _path(environ, "HELAN_TLS_KEY")
        proxy = _network(environ, "HELAN_TRUSTED_PROXY")
        if not http.is_loopback and cert is None and not proxy:
            raise SettingsError(
                f"HELAN_HTTP={http} is reachable from outside: set HELAN_TLS_CERT and HELAN_TLS_KEY, "
                "or HELAN_TRUSTED_PROXY (CIDR of the proxy that ends TLS)"
            )
        if (cert is None) != (key is None):
            raise SettingsError("HELAN_TLS_CERT and HELAN_TLS_KEY belong together")
        scheme = "https" if cert else "http"
        return cls(
            data=Path(environ.get("HELAN_DATA") or "./var").absolute(),
            http=http,
            dicom=_address(environ, "HELAN_DICOM", "127.0.0.1:11112"),
            ae_title=_ae_title(environ.get("HELAN_AE_TITLE") or "HELAN"),
            database=environ.get("HELAN_DATABASE", ""),
            database_web=environ.get("HELAN_DATABASE_WEB", ""),
            database_service=environ.get("HELAN_DATABASE_SERVICE", ""),
            objects=_objects(environ, "HELAN_OBJECTS"),
            audit_heads=_objects(environ, "HELAN_AUDIT_HEADS"),
            s3_endpoint=environ.get("HELAN_S3_ENDPOINT", ""),
            s3_access_key=environ.get("HELAN_S3_ACCESS_KEY", ""),
            s3_secret_key=environ.get("HELAN_S3_SECRET_KEY", ""),
            device=_one_of(environ, "HELAN_DEVICE", ("auto", "cpu", "cuda")),
            public_url=(environ.get("HELAN_PUBLIC_URL") or f"{scheme}://{http}").rstrip("/"),
            tls_cert=cert,
            tls_key=key,
            tls_min=_one_of(environ, "HELAN_TLS_MIN", ("1.3", "1.2")),
            trusted_proxy=proxy,
            quiet_s=_number(environ, "HELAN_QUIET_S"),
            ladder_minutes=_numbers(environ, "HELAN_LADDER_MINUTES"),
            critical_profile=_one_of(environ, "HELAN_CRITICAL_PROFILE", CRITICAL_PROFILES),
            reserve_bytes=_whole(environ, "HELAN_RESERVE_BYTES"),
            web_processes=_processes(environ, "HELAN_WEB_PROCESSES"),
            ecg_readers=_processes(environ, "HELAN_ECG_READERS"),
        )

    @property
    def secrets_dir(self) -> Path:
        return self.data / "secrets"

    @property
    def keys_dir(self) -> Path:
        return self.data / "keys"

    @property
    def spool_dir(self) -> Path:
        return self.data / "spool"

    @property
    def objects_dir(self) -> Path:
        """Of the directory store."""
        return Path(self.objects) if self.objects else self.data / "objects"

    @property
    def uses_s3(self) -> bool:
        return self.objects.startswith("s3://")

    @property
    def bucket(self) -> str:
        return self.objects.removeprefix("s3://")

    @property
    def secure_cookies(self) -> bool:
        return self.public_url.startswith("https://")

    def shown(self) -> dict[str, str]:
        """Every setting as `helan doctor` prints it, secrets hidden."""
        out: dict[str, str] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            secret = field.name in ("s3_secret_key", "database", "database_web", "database_service")
            out[field.name] = ("(set)" if value else "(not set)") if secret else ("" if value is None else str(value))
        return out


def _address(environ: Mapping[str, str], name: str, default: str) -> Address:
    text = environ.get(name) or default
    host, _, port = text.rpartition(":")
    host = host.strip("[]") or "127.0.0.1"
    try:
        number = int(port)
        if host != "localhost":
            ipaddress.ip_address(host)
    except ValueError:
        raise SettingsError(f"{name}={text}: expected ADDRESS:PORT, such as {default}") from None
    if not 0 < number < 65536:
        raise SettingsError(f"{name}={text}: a port lies between 1 and 65535")
    return Address(host, number)


def _ae_title(text: str) -> str:
    if not text.strip() or len(text.strip()) > 16 or "\\" in text or not text.isascii():
        raise SettingsError(f"HELAN_AE_TITLE={text}: 1 to 16 ASCII characters, no backslash (PS3.5 6.2)")
    return text.strip()


def _objects(environ: Mapping[str, str], name: str) -> str:
    text = environ.get(name, "")
    if text.startswith("s3://"):
        missing = [n for n in ("HELAN_S3_ENDPOINT", "HELAN_S3_ACCESS_KEY", "HELAN_S3_SECRET_KEY") if not environ.get(n)]
        if missing:
            raise SettingsError(f"{name}={text} needs {', '.join(missing)}")
        if len(text.removeprefix("s3://").strip("/")) < 3:
            raise SettingsError(f"{name}={text}: a bucket's name has at least 3 characters")
        return text.rstrip("/")
    return str(Path(text).absolute()) if text else ""


def _one_of(environ: Mapping[str, str], name: str, allowed: tuple[str, ...]) -> str:
    text = environ.get(name) or allowed[0]
    if text not in allowed:
        raise SettingsError(f"{name}={text}: one of {', '.join(allowed)}")
    return text


def _path(environ: Mapping[str, str], name: str) -> Path | None:
    text = environ.get(name)
    if not text:
        return None
    path = Path(text).absolute()
    if not path.is_file():
        raise SettingsError(f"{name}={text}: there is no such file")
    return path


def _network(environ: Mapping[str, str], name: str) -> str:
    text = environ.get(name, "")
    try:
        return str(ipaddress.ip_network(text, strict=False)) if text else ""
    except ValueError:
        raise SettingsError(f"{name}={text}: expected a network, such as 10.0.0.0/24") from None


def _number(environ: Mapping[str, str], name: str) -> float | None:
    text = environ.get(name)
    try:
        return float(text) if text else None
    except ValueError:
        raise SettingsError(f"{name}={text}: expected seconds") from None


def _whole(environ: Mapping[str, str], name: str) -> int | None:
    text = environ.get(name)
    try:
        return int(text) if text else None
    except ValueError:
        raise SettingsError(f"{name}={text}: expected bytes") from None


def _processes(environ: Mapping[str, str], name: str) -> int:
    text = environ.get(name) or str(min(os.cpu_count() or 1, MOST_BY_DEFAULT))
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= MOST_PROCESSES:
        raise SettingsError(f"{name}={text}: expected a number of processes from 1 to {MOST_PROCESSES}")
    return int(text)


def _numbers(environ: Mapping[str, str], name: str) -> tuple[float, ...] | None:
    text = environ.get(name)
    try:
        return tuple(float(part) for part in text.split(",")) if text else None
    except ValueError:
        raise SettingsError(f"{name}={text}: expected minutes, such as 0,5,10,15,30") from None
