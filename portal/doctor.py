"""``helan doctor``: every setting without its secrets, and whether each thing that running needs can be reached."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from typing import IO

from center import postgres_driver as driver
from center.database import Database
from center.errors import Failure
from center.migrations import migrations
from center.settings import Settings
from portal import databases
from portal.first_run import has_demo
from portal.supervisor import refuse_taken

_OK, _BAD, _NOTE = "✓", "✗", "·"


def examine(settings: Settings, out: IO[str]) -> int:
    """Prints what it finds; 0 when nothing is wrong."""
    for name, value in settings.shown().items():
        print(f"  {name:<18}{value}", file=out)
    print(file=out)
    bad = 0
    for name, check in _CHECKS:
        try:
            mark, text = check(settings)
        except Failure as failure:
            mark, text = _BAD, f"{failure.zh} | {failure.en}"
        except (OSError, RuntimeError, driver.Error) as error:
            mark, text = _BAD, str(error).partition("\n")[0]
        bad += mark == _BAD
        print(f"{mark} {name:<22}{text}", file=out)
    for name, mark, text in _house(settings):
        bad += mark == _BAD
        print(f"{mark} {name:<22}{text}", file=out)
    return 1 if bad else 0


Found = tuple[str, str]


def _house(settings: Settings) -> Iterator[tuple[str, str, str]]:
    """What /health says of the running center, part by part; nothing is asked of one that doesn't run here."""
    if not any(path for path in (settings.data / "run").glob("*.beat") if path.name != "up.beat"):
        yield "运行 running", _NOTE, "本机没有运行 | not running here"
        return
    from portal.house import Level
    from portal.wiring import open_parts

    try:
        parts = open_parts(settings, "worker")
    except (Failure, OSError) as error:
        yield "运行 running", _BAD, str(error)
        return
    try:
        for found in parts.look().parts:
            mark = {Level.WELL: _OK, Level.LOOK: _NOTE, Level.BAD: _BAD}[found.level]
            yield f"运行 {found.part}", mark, f"{found.zh} | {found.en}" if found.en else "正常 well"
    finally:
        parts.database.close()


def _folder(settings: Settings) -> Found:
    place = next(p for p in (settings.data, *settings.data.parents) if p.exists())
    if not os.access(place, os.W_OK):
        return _BAD, f"{place} 不可写 | cannot be written"
    usage = shutil.disk_usage(place)
    reserve = settings.reserve_bytes if settings.reserve_bytes is not None else min(2 << 30, usage.total // 20)
    text = f"{settings.data}: {usage.free / 1e9:.1f} GB 可用 free (保留 reserve {reserve / 1e9:.1f} GB)"
    return (_OK if usage.free > reserve else _BAD), text


def _database(settings: Settings) -> Found:
    kind = "内置 embedded" if databases.is_embedded(settings) else "外部 external"
    if databases.is_embedded(settings) and not (settings.data / "postgres.port").exists():
        return _NOTE, f"{kind}; 首次 make up 时建立 | made by the first `make up`"
    database = Database(databases.role_dsn(settings, "helan_service"), {}, size=1, wait_s=3.0)
    try:
        _, took_s = database.now()
        database.refuse_if_powerful()
    finally:
        database.close()
    return _OK, f"{kind}, {took_s * 1000:.1f} ms"


def _schema(settings: Settings) -> Found:
    if databases.is_embedded(settings) and not (settings.data / "postgres.port").exists():
        return _NOTE, "-"
    with driver.connect(databases.role_dsn(settings, "helan_service")) as connection:
        if connection.execute("select to_regclass('public.helan_migration')").fetchone() == (None,):
            return _BAD, "未迁移 not migrated: helan migrate"
        done = {(r[0], r[1]) for r in connection.execute("select room, number from public.helan_migration")}
    late = [f"{m.room}/{m.path.name}" for m in migrations() if (m.room, m.number) not in done]
    return (
        (_BAD, f"未迁移 not migrated: {', '.join(late)}; helan migrate") if late else (_OK, f"{len(done)} migrations")
    )


def _store(settings: Settings) -> Found:
    from portal.wiring import open_store

    if not settings.uses_s3 and not settings.objects_dir.exists():
        return _NOTE, f"{settings.objects_dir} 首次使用时建立 | made when first used"
    open_store(settings).stat("0" * 64)
    return _OK, settings.objects if settings.uses_s3 else str(settings.objects_dir)


def _port(name: str) -> Callable[[Settings], Found]:
    def check(settings: Settings) -> Found:
        address = settings.http if name == "HELAN_HTTP" else settings.dicom
        holder = (settings.data / "run" / ("web.beat" if name == "HELAN_HTTP" else "dicom.beat")).exists()
        if holder:
            return _OK, f"{address} 正在服务 serving"
        refuse_taken(address, name)
        return _OK, f"{address} 空闲 free"

    return check


def _web_parts(settings: Settings) -> Found:
    from portal.assets import VENDOR

    found = (VENDOR / "stamp").exists()
    return (_OK, str(VENDOR)) if found else (_BAD, "没有安装 | not installed: make setup")


def _device(settings: Settings) -> Found:
    from inference.room import Device

    try:
        return _OK, f"{settings.device}: {Device.chosen(settings.device).name}"
    except ValueError as error:
        return _BAD, f"没有可用的 GPU | {error}"


def _demo(settings: Settings) -> Found:
    if not has_demo(settings):
        return _NOTE, "没有演示账号 | no demo accounts"
    near = settings.http.is_loopback and settings.dicom.is_loopback
    return (_NOTE if near else _BAD), "有演示账号，只限本机 | demo accounts: this machine only"


_CHECKS: tuple[tuple[str, Callable[[Settings], Found]], ...] = (
    ("数据 data", _folder),
    ("数据库 database", _database),
    ("结构 schema", _schema),
    ("对象 objects", _store),
    ("网页 HELAN_HTTP", _port("HELAN_HTTP")),
    ("DICOM HELAN_DICOM", _port("HELAN_DICOM")),
    ("网页部件 web parts", _web_parts),
    ("设备 device", _device),
    ("演示 demo", _demo),
)
