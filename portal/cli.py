"""``helan``: argv -> a process, an administrator's command, a read of files.  Failures are one sentence, exit status 1.

Every command imports what it needs when it runs: `helan --help` answers at once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn
from zoneinfo import ZoneInfo

import typer

if TYPE_CHECKING:
    from center.accounts import Accounts
    from center.clock import SystemClock
    from center.codes import Role, Service
    from center.database import Database
    from center.settings import Settings

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="贺兰区域影像与心电诊断中心 | Helan, a regional center for imaging and ECG diagnosis",
)


def _group(name: str, text: str) -> typer.Typer:
    group = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help=text)
    app.add_typer(group, name=name)
    return group


clinic_commands = _group("clinic", "机构 | clinics")
person_commands = _group("person", "人员 | people")
agreement_commands = _group("agreement", "阅片协议 | who reads for whom")
peer_commands = _group("peer", "DICOM 设备与 PACS | modalities and archives")
token_commands = _group("token", "程序令牌 | tokens for programs")
audit_commands = _group("audit", "审计 | the audit")
job_commands = _group("jobs", "失败的任务 | jobs that failed again and again")


def main() -> None:
    """The console script: whatever fails is one sentence in two languages."""
    import logging
    import warnings

    from center.errors import Failure
    from center.settings import SettingsError

    warnings.simplefilter("ignore")  # foreign libraries quote data sets in theirs
    logging.getLogger().addHandler(logging.NullHandler())  # a command speaks for itself; processes write their logs
    try:
        app(standalone_mode=True)
    except Failure as failure:
        _fail(failure.zh, failure.en)
    except SettingsError as error:
        _fail(f"设置有误：{error}", f"A setting is wrong: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        os._exit(1)
    except Exception as error:
        if not type(error).__module__.startswith("psycopg"):  # the driver is not worth importing for its name
            raise
        said = str(error).partition("\n")[0]
        _fail(
            f"数据库拒绝了：{said}。结构是否最新：helan migrate",
            f"The database refused: {said}. Is it up to date? helan migrate",
        )


def _fail(zh: str, en: str) -> NoReturn:
    print(zh, en, sep="\n", file=sys.stderr, flush=True)
    sys.exit(1)


def _say(zh: str, en: str) -> None:
    print(f"{zh}  |  {en}", flush=True)


def _settings() -> Settings:
    from center.settings import Settings

    return Settings.parse(os.environ)


# ---------------------------------------------------------------- running
@app.command()
def up(
    no_demo: Annotated[bool, typer.Option("--no-demo", help="不建演示区域 | without the demo region")] = False,
) -> None:
    """启动全部进程 | start the database and all processes here; Ctrl-C stops them."""
    import asyncio

    from portal.first_run import DemoFirst, EmptyFirst
    from portal.supervisor import Supervisor

    settings = _settings()
    supervisor = Supervisor(settings, EmptyFirst() if no_demo else DemoFirst(), _say)
    _leave(asyncio.run(supervisor.run()))


def _process(name: str, number: int | None = None) -> None:
    from portal import processes

    _leave(processes.run(name, _settings(), number))


def _leave(status: int) -> NoReturn:
    """Ends at once: everything is closed, and taking so large an interpreter apart would hold a stop up for seconds."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


@app.command()
def web(number: Annotated[int, typer.Option(help="第几个 | which of several", min=1)] = 1) -> None:
    """网页、接口、DICOMweb | pages, API and DICOMweb; several share one port."""
    _process("web", number if number > 1 else None)


@app.command()
def dicom() -> None:
    """接收 DICOM | take DICOM in."""
    _process("dicom")


@app.command()
def worker() -> None:
    """任务、时钟、发送 | jobs, clocks, sending."""
    _process("worker")


@app.command()
def inference() -> None:
    """影像模型初读 | the film models' preliminary reads."""
    _process("inference")


@app.command()
def ecg(number: Annotated[int, typer.Option(help="第几个 | which of several", min=1)] = 1) -> None:
    """心电初读，可有几个 | the engine's ECG reads, one of several."""
    _process("ecg", number)


@app.command()
def migrate() -> None:
    """更新数据库结构 | bring the database's schema up to date."""
    from center.migrations import migrate as bring_up_to_date
    from portal import databases

    settings = _settings()
    with databases.at_hand(settings):
        ran = bring_up_to_date(databases.admin_dsn(settings), settings.secrets_dir)
    for name in ran:
        print(name)
    _say("数据库结构是最新的", "the schema is up to date")


@app.command()
def demo() -> None:
    """建立演示区域 | fill the demo region (only where nobody is known yet)."""
    from center.errors import WrongState
    from portal import databases
    from portal.first_run import fill_demo, refuse_demo_outside

    settings = _settings()
    refuse_demo_outside(settings, demo=True)
    with databases.at_hand(settings):
        lines = fill_demo(settings, _say)
    if not lines:
        raise WrongState("已有人员，不再建立演示区域。", "There are people already: the demo region is not made.")
    print("\n".join(lines))


@app.command()
def doctor() -> None:
    """检查设置和各部件 | what is configured and reachable; secrets stay hidden."""
    from portal.doctor import examine

    sys.exit(examine(_settings(), sys.stdout))


# ---------------------------------------------------------------- keeping the books
@dataclass(frozen=True, slots=True)
class _Office:
    settings: Settings
    database: Database
    accounts: Accounts
    clock: SystemClock


@contextmanager
def _office() -> Iterator[_Office]:
    """The database as the service role, with the embedded server started where nothing runs it."""
    from center.accounts import Accounts
    from center.clock import RandomIdentifiers, SystemClock
    from center.database import Database
    from portal import databases

    settings = _settings()
    with databases.at_hand(settings):
        database = Database(databases.role_dsn(settings, "helan_service"), {}, size=2)
        clock = SystemClock()
        try:
            yield _Office(settings, database, Accounts(database, clock, RandomIdentifiers()), clock)
        finally:
            database.close()


@clinic_commands.command("add")
def clinic_add(
    code: Annotated[str, typer.Argument(help="代码，小写字母和数字 | code: lower-case letters and digits")],
    name: Annotated[str, typer.Argument(help="中文名称 | Chinese name")],
    name_en: Annotated[str, typer.Option(help="英文名称 | English name")] = "",
    kind: Annotated[str, typer.Option(help="township | county | tertiary")] = "township",
    duty_phone: Annotated[str, typer.Option(help="值班电话 | duty phone")] = "",
) -> None:
    """添加机构 | add a clinic."""
    from center.errors import Invalid

    if kind not in ("township", "county", "tertiary"):
        raise Invalid("机构类别：township、county 或 tertiary。", "A clinic's kind is township, county or tertiary.")
    with _office() as office:
        office.accounts.add_clinic(code, name, name_en=name_en, kind=kind, duty_phone=duty_phone)
    _say(f"已添加机构 {code}", f"clinic {code} added")


@person_commands.command("add")
def person_add(
    login: str,
    name: Annotated[str, typer.Argument(help="姓名 | name")],
    role: Annotated[list[str], typer.Option(help="ROLE@CLINIC, 可多次 | may be given several times")],
    name_en: Annotated[str, typer.Option(help="拼音姓名 | name in Latin letters")] = "",
    licence: Annotated[str, typer.Option(help="执业证号，签发报告需要 | physician's licence, needed to sign")] = "",
    scope: Annotated[str, typer.Option(help="imaging,ecg")] = "",
    totp: Annotated[bool, typer.Option("--totp", help="二次验证 | a second factor")] = False,
    ask: Annotated[bool, typer.Option("--ask", help="询问密码，不自动生成 | ask for the password")] = False,
) -> None:
    """添加人员，密码只显示一次 | add a person; the password is shown once."""
    from center.authority import Authority
    from center.signing import CertificateSigner

    roles = [_role(text) for text in role]
    services = _services(scope)
    password = _password(ask)
    with _office() as office:
        person_id, secret = office.accounts.add_person(
            login, name, password, roles, name_en=name_en, licence=licence, scope=services, totp=totp
        )
        if licence and services:
            signer = CertificateSigner(
                office.database, Authority.open(office.settings.keys_dir, office.clock), office.clock
            )
            serial = signer.issue(person_id, name, licence, password)
            _say(f"签名证书 {serial}", f"signing certificate {serial}")
    _say(f"已添加 {login}", f"{login} added")
    if not ask:
        print(f"密码 password: {password}")
    if secret:
        print(f"二次验证密钥 second factor's secret: {secret}")


@person_commands.command("disable")
def person_disable(login: str) -> None:
    """停用人员：会话、令牌、证书立即失效 | disable: sessions, tokens and certificate end now."""
    with _office() as office:
        office.accounts.disable(login)
    _say(f"已停用 {login}", f"{login} disabled")


@person_commands.command("unlock")
def person_unlock(login: str) -> None:
    """解锁登录名 | every address may try this name again."""
    with _office() as office:
        office.accounts.unlock(login)
    _say(f"已解锁 {login}", f"{login} unlocked")


@person_commands.command("role")
def person_role(
    login: str,
    role: Annotated[str, typer.Argument(help="role@clinic")],
    until: Annotated[str, typer.Option(help="YYYY-MM-DD")] = "",
    end: Annotated[
        bool, typer.Option("--end", help="立即结束，会话和令牌失效 | ends now, with sessions and tokens")
    ] = False,
) -> None:
    """给予或结束岗位 | give a role, until a day, or end it now."""
    clinic, which = _role(role)
    with _office() as office:
        if end:
            office.accounts.end_role(login, clinic, which)
        else:
            office.accounts.give_role(login, clinic, which, until=_day(until))
    _say(f"{login}：{role}{' 已结束' if end else ''}", f"{login}: {role}{' ended' if end else ''}")


@person_commands.command("licence")
def person_licence(
    login: str,
    licence: Annotated[str, typer.Argument(help="执业证号 | number")],
    until: Annotated[str, typer.Option(help="YYYY-MM-DD")] = "",
) -> None:
    """执业证和有效期，过期后不能签发 | the licence and its end: after it nothing is signed."""
    with _office() as office:
        office.accounts.set_licence(login, licence, _day(until))
    _say(f"{login} 的执业证已更新", f"the licence of {login} is set")


@person_commands.command("password")
def person_password(
    login: str, ask: Annotated[bool, typer.Option("--ask", help="询问密码 | ask for the password")] = False
) -> None:
    """重设密码；有执业证的人换发签名证书 | a new password; a licensed person gets a new signing certificate."""
    from center.authority import Authority
    from center.signing import CertificateSigner

    password = _password(ask)
    with _office() as office:
        person_id = office.accounts.set_password(login, password)
        person = next(row for row in office.accounts.people() if row["person_id"] == person_id)
        if person["licence"] and person["scope"]:
            signer = CertificateSigner(
                office.database, Authority.open(office.settings.keys_dir, office.clock), office.clock
            )
            serial = signer.issue(person_id, person["name"], person["licence"], password)
            _say(f"换发签名证书 {serial}", f"new signing certificate {serial}")
    _say(f"{login} 的密码已重设", f"the password of {login} is set")
    if not ask:
        print(f"密码 password: {password}")


@agreement_commands.command("add")
def agreement_add(
    requesting: Annotated[str, typer.Option(help="送检机构 | clinic that asks")],
    reading: Annotated[str, typer.Option(help="诊断机构 | clinic that reads")],
    service: Annotated[str, typer.Option(help="imaging | ecg")],
    until: Annotated[str, typer.Option(help="YYYY-MM-DD")] = "",
) -> None:
    """添加协议：诊断机构的医生可阅送检机构的检查 | readers of one clinic may read for another."""
    services = _services(service)
    with _office() as office:
        for one in services:
            office.accounts.add_agreement(requesting, reading, one, until=_day(until))
    _say(f"{reading} 可为 {requesting} 诊断（{service}）", f"{reading} reads {service} for {requesting}")


@peer_commands.command("add")
def peer_add(
    aet: Annotated[str, typer.Argument(help="AE title；* 表示任意 | '*' takes any")],
    clinic: Annotated[str, typer.Option(help="所属机构代码 | code of its clinic")],
    address: Annotated[str, typer.Option(help="HOST[:PORT]；有端口才能向它发送 | with a port it can be sent to")],
) -> None:
    """登记设备或 PACS；接收时也核对地址 | register a modality or archive; its address is checked on receiving, too."""
    from portal import databases
    from portal.wiring import open_parts

    settings = _settings()
    with databases.at_hand(settings):
        parts = open_parts(settings, "worker")
        try:
            parts.gateway.add_peer(aet, clinic, address)
        finally:
            parts.database.close()
    _say(f"已登记 {aet}（{clinic}，{address}）", f"{aet} registered ({clinic}, {address})")


@token_commands.command("create")
def token_create(
    person: Annotated[str, typer.Option(help="登录名 | login")],
    until: Annotated[str, typer.Option(help="YYYY-MM-DD")] = "",
    label: Annotated[str, typer.Option(help="用途 | what it is for")] = "",
) -> None:
    """为程序建令牌，只显示一次 | a token for a program that acts as this person; shown once."""
    with _office() as office:
        print(office.accounts.make_token(person, expires=_day(until), label=label))


@token_commands.command("list")
def token_list() -> None:
    """列出有效的令牌，不含密钥 | tokens in force, without their secrets."""
    with _office() as office:
        for row in office.accounts.tokens():
            until = _here(row["expires"]) if row["expires"] else "-"
            print(f"{row['token_id']}  {row['login']}  {row['label'] or '-'}  {_here(row['created_at'])}  {until}")


@token_commands.command("revoke")
def token_revoke(token_id: Annotated[str, typer.Argument(help="helan token list")]) -> None:
    """吊销令牌 | the token opens nothing from now on."""
    with _office() as office:
        office.accounts.revoke_token(token_id)
    _say("令牌已吊销", "the token is revoked")


@audit_commands.command("verify")
def audit_verify() -> None:
    """核对审计链 | check that no audit row was removed, changed or rewritten."""
    from center.audit import verify as verify_audit
    from center.authority import Authority
    from portal.wiring import open_heads

    with _office() as office:
        authority = Authority.open(office.settings.keys_dir, office.clock)
        verdict = verify_audit(office.database, open_heads(office.settings), authority.check_head)
    for problem in verdict.problems:
        print(problem)
    counts = f"{verdict.rows} + {verdict.unchained}, {verdict.heads}"
    if not verdict.sound:
        _fail(f"审计链有 {len(verdict.problems)} 处问题。", f"The audit has {len(verdict.problems)} problems.")
    _say(f"审计链完整（已链、待链、链头：{counts}）", f"the audit is whole (chained + waiting, heads: {counts})")


@job_commands.command("list")
def jobs_list(
    as_json: Annotated[bool, typer.Option("--json", help="每行一个 JSON | one JSON line a job")] = False,
) -> None:
    """一再失败的任务：哪个检查，什么原因 | what failed again and again: of which study, and why."""
    import json

    from portal import databases
    from portal.jobs.rows import named
    from portal.wiring import open_parts

    settings = _settings()
    with databases.at_hand(settings):
        parts = open_parts(settings, "worker")
        try:
            found = named(parts)
        finally:
            parts.database.close()
    for one in found:
        job, line = one.job, one.as_json()
        if as_json:
            print(json.dumps(line, ensure_ascii=False))
            continue
        state = "已放弃 dead" if job.is_dead else "再试 failing"
        print(f"{job.id}  {state}  {job.handler}  x{job.attempts}  {one.case_no or '-'}  {one.study_uid or '-'}")
        print(f"    {job.zh}  |  {job.en}")
    if not as_json and not found:
        _say("没有失败的任务", "no job has failed")


@job_commands.command("retry")
def jobs_retry(number: Annotated[int, typer.Argument(help="编号 | its number")]) -> None:
    """立即重试 | run it again now."""
    from center.identity import SYSTEM
    from center.stuck import retry

    with _office() as office:
        job = retry(office.database, SYSTEM, number)
    _say(f"任务 {number}（{job.handler}）将重试", f"job {number} ({job.handler}) runs again")


@job_commands.command("dismiss")
def jobs_dismiss(
    number: Annotated[int, typer.Argument(help="编号 | its number")],
    reason: Annotated[str, typer.Option(help="理由，记入审计 | why; it stands in the audit")],
) -> None:
    """搁置，不再重试 | set it aside: it is not tried again."""
    from center.identity import SYSTEM
    from center.stuck import dismiss

    with _office() as office:
        job = dismiss(office.database, SYSTEM, number, reason)
    _say(f"任务 {number}（{job.handler}）已搁置", f"job {number} ({job.handler}) is set aside")


def _role(text: str) -> tuple[str, Role]:
    from center.codes import Role as AnyRole
    from center.errors import Invalid

    role, _, clinic = text.partition("@")
    if role not in list(AnyRole) or not clinic:
        names = ", ".join(AnyRole)
        raise Invalid(
            f"{text}：应为 ROLE@机构代码，ROLE 是 {names} 之一。", f"{text}: ROLE@CLINIC, ROLE one of {names}."
        )
    return clinic, AnyRole(role)


def _services(text: str) -> list[Service]:
    from center.codes import Service as AnyService
    from center.errors import Invalid

    words = [w.strip() for w in text.split(",") if w.strip()]
    if any(w not in list(AnyService) for w in words):
        raise Invalid(f"{text}：应为 imaging、ecg，可用逗号分隔。", f"{text}: imaging or ecg, separated by commas.")
    return [AnyService(w) for w in words]


def _day(text: str) -> datetime | None:
    from center.errors import Invalid

    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC) if text else None
    except ValueError:
        raise Invalid(f"{text}：日期应为 YYYY-MM-DD。", f"{text}: a date is YYYY-MM-DD.") from None


def _password(ask: bool) -> str:
    import secrets

    if not ask:
        return secrets.token_urlsafe(12)
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\n")
    return str(typer.prompt("密码 password", hide_input=True, confirmation_prompt=True))


# ---------------------------------------------------------------- files
@app.command()
def read(
    paths: Annotated[list[Path], typer.Argument(help="文件或文件夹 | files or folders")],
    jsonl: Annotated[bool, typer.Option("--jsonl", help="每个检查一行 JSON | one JSON line a study")] = False,
    leads: Annotated[
        bool, typer.Option("--leads", help="心搏各导联的边界 | each beat's boundaries lead by lead")
    ] = False,
    jobs: Annotated[int, typer.Option("--jobs", min=0, help="并行进程数，0 为全部核心 | processes, 0: all cores")] = 0,
) -> None:
    """对磁盘上的文件做初读，不需要数据库 | a preliminary read of files on disk; no database needed.

    每个检查一行，按给定的顺序；读不了的也有一行，写明原因，退出状态仍为 0。 | One line a study, in the order given; what
    cannot be read has a line with its reason, and the exit status is still 0.
    """
    import json
    from functools import partial

    from center.settings import CRITICAL_PROFILES, SettingsError
    from portal.reading import files_of, grouped, in_words, read_side_by_side
    from portal.wiring import readers

    studies = grouped(list(files_of(paths)))
    profile = os.environ.get("HELAN_CRITICAL_PROFILE") or CRITICAL_PROFILES[0]
    if profile not in CRITICAL_PROFILES:
        raise SettingsError(f"HELAN_CRITICAL_PROFILE={profile}: one of {', '.join(CRITICAL_PROFILES)}")
    make = partial(readers, os.environ.get("HELAN_DEVICE") or "auto", profile)
    lines = read_side_by_side(studies, make, jobs or _cores(), every_lead=leads)
    with _progress(len(studies)) as advance:
        for line in lines:
            print(json.dumps(line, ensure_ascii=False) if jsonl else in_words(line), flush=True)
            advance()


@app.command()
def convert(
    files: Annotated[list[Path], typer.Argument(help="一份心电图的文件 | the files of one ECG")],
    to: Annotated[str, typer.Option(help="dicom | scp | aecg")] = "dicom",
    out: Annotated[Path | None, typer.Option(help="写到哪里，缺省在原文件旁 | where to; beside the first file")] = None,
) -> None:
    """把心电图转成 DICOM、SCP-ECG 或 HL7 aECG，原文件不动 | an ECG as DICOM, SCP-ECG or HL7 aECG; the original stays."""
    from center.errors import Invalid
    from portal.convert import Target
    from portal.convert import convert as converted

    if to not in tuple(Target):
        raise Invalid(f"{to}：应为 {'、'.join(Target)}。", f"{to}: one of {', '.join(Target)}.")
    print(converted(files, Target(to), out))


def _cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def _progress(total: int) -> Iterator[Callable[[], None]]:
    """How far it is, on stderr where that is a terminal; counts only, no names."""
    if not sys.stderr.isatty() or total < 2:
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    both = sys.stdout.isatty()  # elsewhere what is printed must not pass through the bar
    with Progress(
        BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
        console=Console(stderr=True), redirect_stdout=both, transient=True,
    ) as bar:  # fmt: skip
        task = bar.add_task("", total=total)
        yield lambda: bar.advance(task)


@app.command()
def verify(
    report: Annotated[Path, typer.Argument(help="REPORT.pdf")],
    authority: Annotated[
        Path | None, typer.Option(help="根证书 | root certificate, PEM (else HELAN_DATA/keys)")
    ] = None,
) -> None:
    """核对报告的签名、时间戳和内容 | check a report's signature, time-stamp and content."""
    from center.errors import NotFound
    from center.signing import verify_pdf

    root = authority or _settings().keys_dir / "authority.crt"
    for path in (report, root):
        if not path.is_file():
            raise NotFound(f"没有文件 {path}。", f"There is no file {path}.")
    verdict = verify_pdf(report.read_bytes(), root.read_bytes(), revoked=_revoked())
    for problem in verdict.problems:
        print(f"{problem.zh}  |  {problem.en}")
    print(f"签发 signer       {verdict.signer} {verdict.licence} {verdict.certificate_serial}".rstrip())
    print(f"签名时间 signed   {_here(verdict.signed_at)}")
    print(f"时间戳 stamped    {_here(verdict.stamped_at)}")
    print(f"内容 content      {verdict.content_sha256 or '-'}")
    print(f"效力 standing      {_standing(verdict.content_sha256)}")
    if not (verdict.intact and verdict.trusted):
        _fail("报告不可信。", "The report cannot be trusted.")
    _say("签名完整，由本中心内部证书签发", "intact, signed under this center's internal certificate")


def _here(at: datetime | None) -> str:
    """As the report prints it, in the region's zone, which is named."""
    return f"{at.astimezone(ZoneInfo('Asia/Shanghai')):%Y-%m-%d %H:%M:%S} 北京时间 UTC+8" if at else "-"


_STANDINGS = {
    "current": "现行有效 in force",
    "replaced": "已被替代 replaced",
    "withdrawn": "已撤回 withdrawn",
}


def _standing(content_sha256: str) -> str:
    """Whether the center still stands by it: asked where its database is at hand, else it can't be known."""
    from center.database import Database
    from center.errors import Failure
    from center.settings import SettingsError
    from portal import databases
    from worklist.room import standing

    try:
        database = Database(databases.role_dsn(_settings(), "helan_service"), {}, size=1)
        try:
            found = standing(database, content_sha256)
        finally:
            database.close()
    except (Failure, SettingsError, OSError):
        return "不知道是否已撤回或被替代：中心数据库不在 | withdrawn or replaced since: not known, the center is not at hand"
    if found is None:
        return "本中心没有这份报告 | this center has no such report"
    status, current = found
    newer = f"，现行第 {current} 版 | version {current} is in force" if status == "replaced" and current else ""
    return _STANDINGS[status] + newer


def _revoked() -> dict[str, datetime]:
    """Revoked certificates where the database is at hand; without it a file is checked on its own."""
    from center.authority import Authority
    from center.clock import SystemClock
    from center.database import Database
    from center.errors import Failure
    from center.settings import SettingsError
    from center.signing import CertificateSigner
    from portal import databases

    try:
        settings = _settings()
        if not (settings.keys_dir / "authority.crt").exists():
            return {}
        clock = SystemClock()
        database = Database(databases.role_dsn(settings, "helan_service"), {}, size=1)
        try:
            return CertificateSigner(database, Authority.open(settings.keys_dir, clock), clock).revoked()
        finally:
            database.close()
    except (Failure, SettingsError):
        _say("数据库不在，没有核对证书吊销", "no database: revocation was not checked")
        return {}


@app.command()
def scrub(
    rate: Annotated[float, typer.Option(min=0.1, help="MB/s")] = 20.0,
    everything: Annotated[
        bool, typer.Option("--all", help="不论上次何时核对 | whenever they were looked at last")
    ] = False,
) -> None:
    """逐个核对对象与其名称 | compare every object's bytes with its name; goes on where it was stopped."""
    from center.scrub import EVERY, Scrubber
    from portal.wiring import open_store

    with _office() as office:
        now = office.clock.now()
        scrubber = Scrubber(office.database, open_store(office.settings), office.clock, rate * 1e6)
        done = scrubber.scrub(now if everything else now - EVERY)
    for sha256 in done.wrong:
        print(sha256)
    if done.wrong:
        _fail(
            f"{len(done.wrong)} 个对象缺失或损坏（{done.right} 个完好）。请让送检端重新发送，或从备份恢复。",
            f"{len(done.wrong)} objects are missing or damaged ({done.right} are right): have them sent again, or "
            "bring them back from a backup.",
        )
    _say(f"{done.right} 个对象完好", f"{done.right} objects are right")


@app.command()
def backup(folder: Annotated[Path, typer.Argument(help="备份文件夹 | a folder of backups, or an empty one")]) -> None:
    """备份数据库、对象、密钥 | database, objects and keys; the center may run, what is there is not copied again."""
    from center.clock import SystemClock
    from portal import databases
    from portal.backup import backup as make
    from portal.wiring import open_first_heads, open_store

    settings = _settings()
    with databases.at_hand(settings):
        kept = make(settings, folder, open_store(settings), open_first_heads(settings), SystemClock())
    counts = f"{kept.rows}, {kept.objects}, {kept.bytes / 1e6:.1f} MB"
    _say(
        f"已备份到 {folder}（行、对象、大小：{counts}；新复制 {kept.copied} 个）",
        f"backed up to {folder} (rows, objects, size: {counts}; {kept.copied} copied now)",
    )
    for sha256 in kept.missing:
        print(sha256)
    if kept.missing:
        _fail(
            f"备份已完成，但有 {len(kept.missing)} 个对象缺失或损坏，见上；其余均已保存。",
            f"The backup is made, but {len(kept.missing)} objects were missing or damaged (above); all else is kept.",
        )


@app.command()
def restore(
    folder: Annotated[
        Path, typer.Argument(help="备份文件夹或其中一次 | a folder of backups (the latest), or one run of it")
    ],
) -> None:
    """从备份恢复到空的 HELAN_DATA | bring a backup back into an empty HELAN_DATA."""
    from portal.backup import restore as bring_back
    from portal.wiring import open_first_heads, open_store

    settings = _settings()
    kept = bring_back(settings, folder, open_store, open_first_heads)
    counts = f"{kept.rows}, {kept.objects}, {kept.bytes / 1e6:.1f} MB"
    _say(f"已恢复到 {settings.data}（行、对象、大小：{counts}）", f"restored to {settings.data} ({counts})")


if __name__ == "__main__":
    main()
