"""Settings from the environment: the defaults, and for each wrong one a sentence that names it."""

from __future__ import annotations

from pathlib import Path

import pytest

from center.settings import CRITICAL_PROFILES, Settings, SettingsError
from ecg.critical import PROFILES


def test_nothing_set_is_a_complete_loopback_center() -> None:
    settings = Settings.parse({})
    assert str(settings.http) == "127.0.0.1:8080"
    assert str(settings.dicom) == "127.0.0.1:11112"
    assert settings.ae_title == "HELAN"
    assert settings.data == Path("var").absolute()
    assert settings.public_url == "http://127.0.0.1:8080"
    assert settings.objects_dir == settings.data / "objects"
    assert not settings.uses_s3
    assert not settings.secure_cookies


@pytest.mark.parametrize(
    ("environ", "named"),
    [
        ({"HELAN_HTTP": "nonsense"}, "HELAN_HTTP"),
        ({"HELAN_HTTP": "127.0.0.1:0"}, "HELAN_HTTP"),
        ({"HELAN_HTTP": "127.0.0.1:99999"}, "HELAN_HTTP"),
        ({"HELAN_DICOM": "somewhere.example:104"}, "HELAN_DICOM"),
        ({"HELAN_AE_TITLE": "LONGER THAN SIXTEEN"}, "HELAN_AE_TITLE"),
        ({"HELAN_AE_TITLE": "贺兰"}, "HELAN_AE_TITLE"),
        ({"HELAN_AE_TITLE": "A\\B"}, "HELAN_AE_TITLE"),
        ({"HELAN_DEVICE": "abacus"}, "HELAN_DEVICE"),
        ({"HELAN_OBJECTS": "s3://bucket"}, "HELAN_S3_ENDPOINT"),
        ({"HELAN_OBJECTS": "s3://b", "HELAN_S3_ENDPOINT": "x", "HELAN_S3_ACCESS_KEY": "x", "HELAN_S3_SECRET_KEY": "x"},
         "3 characters"),
        ({"HELAN_TLS_CERT": "/no/such/file"}, "HELAN_TLS_CERT"),
        ({"HELAN_TRUSTED_PROXY": "proxy"}, "HELAN_TRUSTED_PROXY"),
        ({"HELAN_HTTP": "0.0.0.0:8080"}, "HELAN_TLS_CERT"),
        ({"HELAN_QUIET_S": "soon"}, "HELAN_QUIET_S"),
        ({"HELAN_CRITICAL_PROFILE": "elsewhere"}, "HELAN_CRITICAL_PROFILE"),
        ({"HELAN_RESERVE_BYTES": "2 GB"}, "HELAN_RESERVE_BYTES"),
        ({"HELAN_LADDER_MINUTES": "0;5"}, "HELAN_LADDER_MINUTES"),
    ],
)  # fmt: skip
def test_a_wrong_setting_is_named(environ: dict[str, str], named: str) -> None:
    with pytest.raises(SettingsError, match=named):
        Settings.parse(environ)


def test_a_certificate_without_its_key_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cert.pem").write_text("")
    with pytest.raises(SettingsError, match="belong together"):
        Settings.parse({"HELAN_TLS_CERT": str(tmp_path / "cert.pem")})


def test_beyond_loopback_with_a_certificate_or_a_named_proxy_is_allowed(tmp_path: Path) -> None:
    for name in ("cert.pem", "key.pem"):
        (tmp_path / name).write_text("")
    both = {"HELAN_TLS_CERT": str(tmp_path / "cert.pem"), "HELAN_TLS_KEY": str(tmp_path / "key.pem")}
    assert Settings.parse({"HELAN_HTTP": "0.0.0.0:8443", **both}).secure_cookies
    assert Settings.parse({"HELAN_HTTP": "0.0.0.0:8080", "HELAN_TRUSTED_PROXY": "10.0.0.0/24"}).trusted_proxy


def test_an_ipv6_address_is_written_in_brackets() -> None:
    address = Settings.parse({"HELAN_HTTP": "[::1]:8080"}).http
    assert (address.host, address.port, str(address)) == ("::1", 8080, "[::1]:8080")


def test_no_secret_is_shown() -> None:
    environ = {
        "HELAN_DATABASE": "postgresql://owner:hush-1@db/helan",
        "HELAN_DATABASE_WEB": "postgresql://web:hush-2@db/helan",
        "HELAN_DATABASE_SERVICE": "postgresql://service:hush-3@db/helan",
        "HELAN_OBJECTS": "s3://helan-objects",
        "HELAN_S3_ENDPOINT": "http://127.0.0.1:9000",
        "HELAN_S3_ACCESS_KEY": "key",
        "HELAN_S3_SECRET_KEY": "hush-4",
    }
    shown = Settings.parse(environ).shown()
    assert "hush" not in str(shown)
    assert shown["database"] == "(set)"
    assert shown["objects"] == "s3://helan-objects"


def test_the_profiles_of_critical_values_are_those_that_the_heart_room_has() -> None:
    assert CRITICAL_PROFILES == PROFILES
    assert Settings.parse({}).critical_profile == "national_2017"
