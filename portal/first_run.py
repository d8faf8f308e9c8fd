"""What a data folder gets when it is first used: the demo region, or one administrator and one first clinic."""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING

from center.codes import Role
from center.errors import WrongState
from center.files import write_private_once
from center.jobs import Runner
from center.settings import Settings

if TYPE_CHECKING:
    from portal.parts import Parts
    from portal.supervisor import Say

FIRST_CLINIC = "first"
ADMIN = "admin"
_FIRST_PASSWORD = "first-admin.password"
#: Written by the demo region when it is complete (portal/demo.py).
_DEMO_LOGINS = "demo-logins.json"
_DEMO_BEGUN = "demo-begun"
_BEGUN = "begun"


class DemoFirst:
    """The demo region, made by our own generators through the same doors as real cases."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def before(self, settings: Settings, say: Say) -> None:
        refuse_demo_outside(settings, demo=True)
        self._lines = fill_demo(settings, say)

    def after(self, settings: Settings, say: Say) -> Sequence[str]:
        return self._lines


class EmptyFirst:
    """One administrator and one first clinic that takes C-STORE from this machine; nothing where people are known."""

    def before(self, settings: Settings, say: Say) -> None:
        refuse_demo_outside(settings, demo=False)
        if has_begun(settings):
            return
        from portal import wiring

        parts = wiring.open_parts(settings, "worker")
        try:
            if not parts.accounts.people(limit=1):
                say("建立管理员和第一家机构", "making an administrator and a first clinic")
                begin_empty(parts)
            (settings.data / _BEGUN).touch()
        finally:
            parts.database.close()

    def after(self, settings: Settings, say: Say) -> Sequence[str]:
        """The password lies in a file until it was shown: a first start that failed shows it the next time."""
        path = settings.secrets_dir / _FIRST_PASSWORD
        if not path.exists():
            return ()
        password = path.read_text()
        path.unlink()
        return begun_lines(settings, password)


def begin_empty(parts: Parts) -> None:
    """The first clinic, its sender on this machine, and the administrator, whose being there ends the beginning."""
    if FIRST_CLINIC not in {row["clinic_id"] for row in parts.accounts.clinics()}:
        parts.accounts.add_clinic(FIRST_CLINIC, "第一家机构", name_en="First clinic")
    for network in ("127.0.0.1", "::1"):
        parts.gateway.add_peer("*", FIRST_CLINIC, network)
    path = parts.settings.secrets_dir / _FIRST_PASSWORD
    write_private_once(path, secrets.token_urlsafe(12))
    parts.accounts.add_person(
        ADMIN, "系统管理员", path.read_text(), [(FIRST_CLINIC, Role.ADMINISTRATOR)], name_en="Administrator"
    )


def begun_lines(settings: Settings, password: str) -> list[str]:
    """What a new administrator reads, once."""
    return [
        "",
        f"管理员 administrator   {ADMIN}   密码 password {password}   （只显示这一次 | shown this once）",
        f"第一家机构 first clinic {FIRST_CLINIC}：接收本机发来的检查 | takes studies from this machine:",
        f"  storescu -aec {settings.ae_title} {settings.dicom.host} {settings.dicom.port} FILE.dcm",
        "添加人员和机构 | add people and clinics:  helan person add --help,  helan clinic add --help",
    ]


def fill_demo(settings: Settings, say: Say) -> list[str]:
    """The lines with the demo's logins; the region is filled first where it is not yet."""
    if not has_demo(settings) and not has_begun(settings):
        _fill(settings, say)
    if not has_demo(settings):
        return []  # begun with --no-demo: it stays a region of its own
    logins = json.loads((settings.secrets_dir / _DEMO_LOGINS).read_text("utf-8"))
    width = max(len(one["login"]) for one in logins)
    rows = [f"  {one['login']:<{width}}  {one['password']:<22}  {one['does']}" for one in logins]
    return ["", "演示账号 demo logins", *rows]


def _fill(settings: Settings, say: Say) -> None:
    from portal import demo, wiring

    parts = wiring.open_parts(settings, "demo")
    try:
        if parts.accounts.people(limit=1) and not _cut_off(settings):
            (settings.data / _BEGUN).touch()
            return
        say("建立演示区域（六个病例，自制数据）", "making the demo region: six cases by our own generators")
        (settings.data / _DEMO_BEGUN).touch()
        handlers = {**wiring.worker_handlers(parts), **wiring.inference_handlers(parts)}
        demo.Demo(parts, Runner(parts.database, handlers, parts.clock), lambda _: None).fill()
    finally:
        parts.database.close()


def has_begun(settings: Settings) -> bool:
    """People are known here, and no demo: known without opening anything, since every start asks."""
    return (settings.data / _BEGUN).exists()


def _cut_off(settings: Settings) -> bool:
    """A first fill began here and did not end."""
    return (settings.data / _DEMO_BEGUN).exists()


def has_demo(settings: Settings) -> bool:
    return (settings.secrets_dir / _DEMO_LOGINS).exists()


def refuse_demo_outside(settings: Settings, *, demo: bool) -> None:
    """Demo accounts answer this machine only (GROUND.md "Processes").  Raises WrongState."""
    if (demo or has_demo(settings)) and not (settings.http.is_loopback and settings.dicom.is_loopback):
        raise WrongState(
            "有演示账号时只能在本机上使用。请用 helan up --no-demo 和新的 HELAN_DATA，"
            "或把 HELAN_HTTP、HELAN_DICOM 改回 127.0.0.1。",
            "With demo accounts only this machine may be answered. Use `helan up --no-demo` with a new HELAN_DATA, "
            "or set HELAN_HTTP and HELAN_DICOM back to 127.0.0.1.",
        )
