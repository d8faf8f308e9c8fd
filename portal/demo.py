"""The demo region: clinics, people and six cases in different states, all through the same doors as real ones."""

from __future__ import annotations

import io
import json
import secrets
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from center.codes import Role, Service
from center.files import write_private
from center.identity import Actor, CaseId, ClinicId, Membership
from center.jobs import Runner
from center.ports import Provenance, Quarantined
from portal.demo_ecgs import make_ecg, write_wfdb
from portal.demo_films import Sign
from portal.demo_studies import MadePerson, film_dicom
from portal.ecg_files import Person, take_in
from portal.parts import Parts
from worklist.records import DraftContent, RequestForm

ZONE = "Asia/Shanghai"
#: code, name, English name, kind, duty phone (nobody's: numbers that are not given out).
CLINICS = (
    ("shigou", "石沟镇卫生院", "Shigou township clinic", "township", "0000-10001"),
    ("nanwan", "南湾镇卫生院", "Nanwan township clinic", "township", "0000-10002"),
    ("liuquan", "柳泉乡卫生院", "Liuquan township clinic", "township", "0000-10003"),
    ("qingshan", "青山县人民医院", "Qingshan county hospital", "county", "0000-20001"),
    ("saishang", "塞上中心医院", "Saishang central hospital", "tertiary", "0000-30001"),
)
TOWNSHIPS = ("shigou", "nanwan", "liuquan")
_BOTH = (Service.IMAGING, Service.ECG)


@dataclass(frozen=True, slots=True)
class CastMember:
    login: str
    name: str
    name_en: str
    roles: tuple[tuple[str, Role], ...]
    does: str
    licence: str = ""
    scope: tuple[Service, ...] = ()


CAST = (
    CastMember("haixiaoyan", "海晓燕", "Hai Xiaoyan", tuple((c, Role.TECHNICIAN) for c in TOWNSHIPS[:1]), "technician, Shigou"),
    CastMember("liuchunhe", "柳春禾", "Liu Chunhe", (("shigou", Role.CLINIC_DOCTOR),), "clinic doctor, Shigou", "110640000000001"),
    CastMember("chenyu", "陈屿", "Chen Yu", (("saishang", Role.READER),), "radiologist", "110640000000002", (Service.IMAGING,)),
    CastMember("shenzhiwei", "沈知微", "Shen Zhiwei", (("qingshan", Role.READER),), "radiologist, county", "110640000000003", (Service.IMAGING,)),
    CastMember("gunanxing", "顾南星", "Gu Nanxing", (("saishang", Role.READER),), "cardiologist", "110640000000004", (Service.ECG,)),
    CastMember("dingwang", "丁望", "Ding Wang", (("saishang", Role.DISPATCHER),), "dispatcher"),
    CastMember("admin", "系统管理员", "Administrator", (("saishang", Role.ADMINISTRATOR),), "administrator"),
    CastMember("anlan", "安澜", "An Lan", (("saishang", Role.REGULATOR),), "regulator"),
)  # fmt: skip

_MA = MadePerson("SG-20480117", "马忆舟", "MA^YIZHOU", "M", date(1959, 4, 2))
_YANG = MadePerson("NW-10230047", "杨小满", "YANG^XIAOMAN", "F", date(2022, 5, 20))
_QI = MadePerson("SG-20480121", "祁向阳", "QI^XIANGYANG", "M", date(1977, 1, 30))
_FENG = MadePerson("LQ-30110009", "冯大有", "FENG^DAYOU", "M", date(1972, 6, 5))
_HE = MadePerson("SG-20480099", "贺兰亭", "HE^LANTING", "F", date(1993, 3, 8))
_BAI = MadePerson("NW-10230031", "白雨荷", "BAI^YUHE", "F", date(1981, 12, 21))


@dataclass(frozen=True, slots=True)
class Login:
    login: str
    password: str
    does: str


Say = Callable[[str], None]


class Demo:
    """Fills an empty region; done twice it adds nothing."""

    def __init__(self, parts: Parts, runner: Runner, say: Say) -> None:
        self._parts = parts
        self._runner = runner
        self._say = say
        self._passwords: dict[str, str] = {}

    def fill(self) -> list[Login]:
        """The logins, made at the first start and kept (0600) so that they can be shown again."""
        kept = logins(self._parts)
        if kept:
            return kept
        self._say("demo region: clinics and people")
        self._people()
        self._say("demo region: six cases, made by our own generators")
        self._cases()
        made = [Login(m.login, self._passwords[m.login], m.does) for m in CAST]
        write_private(self._parts.settings.secrets_dir / "demo-logins.json", json.dumps([asdict(x) for x in made]))
        return made

    # ------------------------------------------------------------ people
    def _people(self) -> None:
        accounts = self._parts.accounts
        known = {row["clinic_id"] for row in accounts.clinics()}
        for code, name, name_en, kind, phone in CLINICS:
            if code not in known:
                accounts.add_clinic(code, name, name_en=name_en, kind=kind, duty_phone=phone)
        for township in TOWNSHIPS:
            for service in _BOTH:
                accounts.add_agreement(township, "saishang", service)
            accounts.add_agreement(township, "qingshan", Service.IMAGING)
            self._parts.gateway.add_peer(f"{township.upper()}_DR", township, "127.0.0.1")
        people = {row["login"] for row in accounts.people()}
        for member in CAST:
            self._passwords[member.login] = password = f"{member.login}-{secrets.token_hex(3)}"
            if member.login in people:  # a first fill that was cut off
                person_id = accounts.set_password(member.login, password)
            else:
                person_id, _ = accounts.add_person(
                    member.login, member.name, password, member.roles, name_en=member.name_en, licence=member.licence,
                    scope=member.scope,
                )  # fmt: skip
            if member.licence and member.scope:
                self._parts.signer.issue(person_id, member.name, member.licence, password)

    def _actor(self, login: str) -> Actor:
        return self._parts.accounts.actor_of(login)

    # ------------------------------------------------------------ cases
    def _cases(self) -> None:
        self._ready_report()
        self._closed_ecg()
        self._being_read()
        self._request(
            "shigou",
            _MA,
            "胸部正位",
            "有无气胸？有无肋骨骨折？",
            "突发左侧胸痛、气促 2 小时；慢阻肺 12 年。",
            urgent=True,
        )
        self._film("shigou", _MA, signs=frozenset({Sign.OPACITY}))
        # a child's: the one made film on which the model flags something, so that a finding can be accepted or rejected
        self._film("nanwan", _YANG, signs=frozenset({Sign.OPACITY}), child=True)
        self._request("shigou", _QI, "十二导联心电图", "有无心律失常？", "心悸半天。", urgent=True)
        self._ecg("shigou", _QI, heart_rate=128, rhythm="af")
        self._run()

    def _ready_report(self) -> None:
        """Signed, sealed and on the clinic's page; nobody has opened it yet."""
        self._request("shigou", _HE, "胸部正位", "有无肺部感染？", "咳嗽 3 天，无发热。")
        self._film("shigou", _HE)
        self._run()
        self._sign("chenyu", _HE, DraftContent(
            findings="胸廓对称，双肺野清晰，未见实变影。肺纹理走行自然。心影大小、形态正常。双侧肋膈角锐利，膈面光整。",
            impression="心肺膈未见明确异常，未见肺部感染征象。",
            recommendation="结合临床，必要时复查。",
        ))  # fmt: skip
        self._run()

    def _closed_ecg(self) -> None:
        self._request("nanwan", _BAI, "十二导联心电图", "心电图是否正常？", "体检。")
        self._ecg("nanwan", _BAI, heart_rate=71, rhythm="sinus")
        self._run()
        case_id, version = self._sign("gunanxing", _BAI, DraftContent(
            findings="窦性心律，心率 71 次/分。P 波、PR 间期、QRS 波群、ST 段及 T 波未见异常。",
            impression="窦性心律，正常范围心电图。",
        ))  # fmt: skip
        self._run()
        doctor = self._stand_in("nanwan")
        self._parts.worklist.opened(doctor, case_id, version)
        self._parts.worklist.receipt(doctor, case_id, version)
        self._run()

    def _being_read(self) -> None:
        self._request("liuquan", _FENG, "胸部正位", "有无肺结核？", "咳嗽、低热 3 周，消瘦。")
        self._film("liuquan", _FENG, signs=frozenset({Sign.APICAL}))
        self._run()
        reader, work = self._actor("shenzhiwei"), self._parts.worklist
        case_id = self._case_of(reader, _FENG)
        lease = work.take(reader, case_id, "")
        work.open_case(reader, case_id, lease.token)
        work.save_draft(
            reader, case_id, lease.token, DraftContent(findings="右上肺野可见斑片状密度增高影，边缘模糊。"), 0
        )

    # ------------------------------------------------------------ what they are made of
    def _sign(self, login: str, person: MadePerson, content: DraftContent) -> tuple[CaseId, int]:
        reader, work = self._actor(login), self._parts.worklist
        case_id = self._case_of(reader, person)
        lease = work.take(reader, case_id, "")
        work.open_case(reader, case_id, lease.token)
        for kept in work.case(reader, case_id).reads[:1]:
            for finding in kept.read.findings:
                work.write_verdict(reader, case_id, lease.token, kept.read_id, finding.key, "rejected", "演示")
        work.save_draft(reader, case_id, lease.token, content, 0)
        preview = work.preview(reader, case_id, lease.token, "zh")
        signed = work.sign(reader, case_id, lease.token, preview.sha256, self._passwords[login])
        return case_id, signed.version

    def _case_of(self, reader: Actor, person: MadePerson) -> CaseId:
        rows = self._parts.worklist.list_cases(reader).rows
        return next(row.case_id for row in rows if row.patient_local_id == person.local_id)

    def _request(
        self, clinic: str, person: MadePerson, exam: str, question: str, history: str, *, urgent: bool = False
    ) -> None:
        form = RequestForm(
            local_id=person.local_id, name=person.name, sex=person.sex, birth_date=person.birth_date, exam=exam,
            question=question, history=history, urgent=urgent,
        )  # fmt: skip
        self._parts.worklist.write_request(self._stand_in(clinic), ClinicId(clinic), form)

    def _film(
        self, clinic: str, person: MadePerson, *, signs: frozenset[Sign] = frozenset(), child: bool = False
    ) -> None:
        at = self._local() - timedelta(minutes=4)
        content = film_dicom(f"demo|{person.local_id}", person, at, signs=signs, child=child)
        provenance = Provenance(
            ClinicId(clinic), "upload", self._stand_in(clinic), peer=f"{clinic.upper()}_DR", complete_on_arrival=True
        )
        assert not isinstance(self._parts.gateway.door.accept(io.BytesIO(content), provenance), Quarantined)

    def _ecg(self, clinic: str, person: MadePerson, *, heart_rate: float, rhythm: str) -> None:
        signal = make_ecg(
            person.birth_date.toordinal(), heart_rate=heart_rate, rhythm="af" if rhythm == "af" else "sinus",
            recorded_at=self._local().isoformat(timespec="seconds"),
        )  # fmt: skip
        whose = Person(person.local_id, person.name, person.sex, person.birth_date.strftime("%Y%m%d"))
        take_in(
            write_wfdb(signal, "ecg"), whose, clinic_id=ClinicId(clinic), zone=ZONE, actor=self._stand_in(clinic),
            now=self._parts.clock.now(), door=self._parts.gateway.door, store=self._parts.store,
        )  # fmt: skip

    def _stand_in(self, clinic: str) -> Actor:
        """The demo's technician works at one township; at the others his stand-in sends."""
        members = frozenset(
            {Membership(ClinicId(clinic), Role.TECHNICIAN), Membership(ClinicId(clinic), Role.CLINIC_DOCTOR)}
        )
        return replace(self._actor("haixiaoyan"), memberships=members)

    def _local(self) -> datetime:
        return self._parts.clock.now().astimezone(ZoneInfo(ZONE)).replace(microsecond=0)

    def _run(self) -> None:
        self._runner.run_until_idle()


def logins(parts: Parts) -> list[Login]:
    """Those of a region that was filled before; empty when it was not."""
    path = parts.settings.secrets_dir / "demo-logins.json"
    return [Login(**x) for x in json.loads(path.read_text())] if path.exists() else []
