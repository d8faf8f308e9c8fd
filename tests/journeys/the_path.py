"""The whole path with outside tools: storescu and storescp of DCMTK, and HTTP; each step asserts what it promises.

``main`` is ``make journey``: it prints what happens, and the case's time line from the first byte to the receipt.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
from pypdf import PdfReader

from portal.demo_studies import MadePerson
from tests import steps
from tests.region import LADDER_MINUTES, Region, region, until
from tests.steps import Archive

ENCAPSULATED_PDF = "1.2.840.10008.5.1.4.1.1.104.1"
Say = Callable[[str], None]


def silent(_: str) -> None:
    """For tests."""


@dataclass
class FilmPath:
    """A chest film, from the modality to the receipt, then amended and withdrawn. Steps are called in order."""

    region: Region
    archive: Archive
    folder: Path
    say: Say = silent
    patient: MadePerson = field(default_factory=steps.made_person)
    case_id: str = ""
    codes: list[str] = field(default_factory=list)  # what the printed QR codes say, by version

    def __post_init__(self) -> None:
        self.technician = self.region.person("haixiaoyan")
        self.reader = self.region.person("chenyu")

    # ------------------------------------------------------------ to the worklist
    def request(self) -> None:
        self.say("the technician writes a request / 技师填写申请")
        steps.write_request(
            self.technician, self.patient, exam="胸部正位", question="有无气胸？", history="胸痛 2 小时。", urgent=True
        )

    def send(self) -> None:
        self.say("the modality sends the film: storescu / 设备发送胸片")
        file = steps.film_file(self.folder, self.patient)
        done = self.region.storescu(file)
        assert "Received Store Response (Success)" in done.stdout + done.stderr, done.stdout + done.stderr

    def becomes_a_case(self) -> None:
        row = steps.find_case(self.reader, self.patient.local_id)
        self.case_id = row["case_id"]
        self.say(f"the study is complete: case {row['case_no']} / 成为病例")
        assert row["patient_name"] == self.patient.name and row["clinic_id"] == "shigou"
        assert row["urgency"] in ("urgent", "stat") and "request_missing" not in row["flags"]

    def is_read_by_the_model(self) -> None:
        reads = steps.wait_read(self.reader, self.case_id)
        read = reads[0]["read"]
        what = read["outcome"] if not read["reason"] else f"{read['outcome']}: {read['reason']['en']}"
        self.say(f"preliminary read by {read['model']} {read['version']}: {what} / 初读")
        assert read["outcome"] in ("read", "abstained")
        assert all(0 <= f["probability"] <= 1 for f in read["findings"])

    # ------------------------------------------------------------ the report
    def is_written(self) -> str:
        """The preview's digest."""
        steps.take(self.reader, self.case_id)
        self.say("the radiologist takes it, reads, writes, looks at the preview / 医师领取、阅片、书写、预览")
        assert steps.case(self.reader, self.case_id)["case"]["state"] == "reading"
        made = steps.write(self.reader, self.case_id, steps.NORMAL)
        shown = self.reader.get(f"/cases/{self.case_id}/preview/{made['sha256']}.pdf")
        assert shown.status_code == 200 and hashlib.sha256(shown.content).hexdigest() == made["sha256"]
        return str(made["sha256"])

    def is_signed(self, preview_sha256: str, version: int = 1) -> None:
        self.say("he signs with his password / 输入密码签发")
        signed = steps.sign(self.reader, self.case_id, preview_sha256, self.region.password("chenyu"))
        assert signed["version"] == version
        found = until("the seal", lambda: self._version(version, sealed=True), 30.0)
        assert found["status"] == "final"

    def _version(self, number: int, *, sealed: bool = False) -> dict[str, Any] | None:
        versions = self.reader.json("GET", f"/api/cases/{self.case_id}/versions")
        found = next((v for v in versions if v["version"] == number), None)
        return found if found and (found["sealed_sha256"] or not sealed) else None

    # ------------------------------------------------------------ home
    def is_delivered(self, number: int = 1) -> None:
        document = self.archive.report(self.patient.local_id, number)
        self.say(f"the clinic's PACS has it: storescp received {document.name} / 已送达卫生院 PACS")
        text = steps.dump(document)
        assert ENCAPSULATED_PDF in text or "EncapsulatedPDFStorage" in text, text
        assert self.patient.local_id in text and self.patient.name in text
        pdf = steps.extracted_pdf(document, self.folder / f"{document.name}.pdf")
        verdict = self.region.helan("verify", str(pdf))
        assert "in force" in verdict.stdout, verdict.stdout
        self.say(f"helan verify: {verdict.stdout.strip().splitlines()[-1]}")
        at_clinic = self.technician.get(f"/clinic/reports/{self.case_id}/{number}.pdf")
        assert at_clinic.status_code == 200, at_clinic.text[:300]
        assert at_clinic.content == pdf.read_bytes(), "the clinic's page and its PACS hold the same bytes"
        words = "".join(page.extract_text() for page in PdfReader(pdf).pages)
        printed = re.sub(r"[\s\u200b]", "", words)  # the address stands in two lines, with places to break it
        code = re.search(r"https?://[^/]+/q/([\w-]{32})", printed)
        assert code, words
        self.codes.append(code.group(1))

    def is_received(self, number: int = 1) -> None:
        steps.receipt(self.technician, self.case_id, number)
        found = steps.wait_state(self.reader, self.case_id, "receipted", "closed")
        self.say(f"the technician confirms: the case is {found['case']['state']} / 技师签收")
        ledger = {d["recipient"]: d["state"] for d in found["deliveries"] if d["version"] == number}
        assert ledger == {"page": "opened", f"pacs:{self.archive.aet}": "sent"}, ledger

    def code_says(self, number: int, status: str) -> None:
        """The printed code's page names the state and nobody's name."""
        words = {"current": "有效", "replaced": "替换", "withdrawn": "撤回"}[status]
        address = f"{self.region.base}/q/{self.codes[number - 1]}"
        page = httpx.get(address, headers={"Accept": "text/html"}, trust_env=False)
        assert page.status_code == 200 and words in page.text, page.text
        for secret in (self.patient.name, self.patient.local_id, self.patient.latin):
            assert secret not in page.text

    # ------------------------------------------------------------ put right
    def is_amended(self) -> None:
        self.say("he amends it: a new version replaces the old one / 修订")
        self.reader.json("POST", f"/api/cases/{self.case_id}/amend", {"reason": "补充结论"})
        content = {**steps.NORMAL, "impression": "心肺膈未见明确异常，未见气胸。请结合临床随访。"}
        made = steps.write(self.reader, self.case_id, content)
        self.is_signed(made["sha256"], version=2)
        self.is_delivered(2)
        versions = self.reader.json("GET", f"/api/cases/{self.case_id}/versions")
        assert [(v["version"], v["status"], v["replaces"]) for v in versions] == [(2, "final", 1), (1, "amended", None)]
        assert self.technician.get(f"/clinic/reports/{self.case_id}/1.pdf").status_code == 200, (
            "replaced, still readable"
        )
        self.code_says(1, "replaced")
        self.code_says(2, "current")
        self._is_told("amended", 1)

    def is_withdrawn(self) -> None:
        self.say("wrong patient: he withdraws it / 撤回")
        body = {"reason": "图像不是此患者的", "wrong_patient": "1"}
        self.reader.json("POST", f"/api/cases/{self.case_id}/withdraw", {**body, "password": "guess"}, expect=403)
        body["password"] = self.region.password("chenyu")
        self.reader.json("POST", f"/api/cases/{self.case_id}/withdraw", body)
        for number in (1, 2):
            hidden = self.technician.get(f"/clinic/reports/{self.case_id}/{number}.pdf")
            assert hidden.status_code == 404, hidden.status_code
            self.code_says(number, "withdrawn")
        self._is_told("withdrawn", 2)
        assert steps.case(self.reader, self.case_id)["case"]["state"] == "cancelled"

    def _is_told(self, kind: str, version: int) -> None:
        def look() -> bool:
            notices = steps.case(self.reader, self.case_id)["notices"]
            return any(n["kind"] == kind and n["version"] == version and n["recipient"] == "clinic" for n in notices)

        until(f"the clinic to be told: {kind}", look, 30.0)

    def time_line(self) -> list[tuple[datetime, str, str]]:
        lines = self.reader.json("GET", f"/api/cases/{self.case_id}/timeline")
        return [(datetime.fromisoformat(at), what, who) for at, what, who in lines]


@dataclass
class EcgPath:
    """A WFDB recording, uploaded over HTTP; its reader finds something critical, the clinic reads it back."""

    region: Region
    say: Say = silent
    patient: MadePerson = field(default_factory=steps.made_person)
    case_id: str = ""
    alert_id: str = ""

    def __post_init__(self) -> None:
        self.technician = self.region.person("haixiaoyan")
        self.doctor = self.region.person("liuchunhe")
        self.reader = self.region.person("gunanxing")

    def upload(self) -> None:
        self.say("an ECG is uploaded: WFDB header and signal / 上传心电")
        day = self.patient.birth_date.isoformat()
        seed = int(self.patient.local_id[-4:], 36) % 1000
        self.region.upload_ecg(
            self.technician, steps.ecg_files(seed), local_id=self.patient.local_id,
            name=self.patient.name, sex=self.patient.sex, birth_date=day, question="有无心律失常？",
        )  # fmt: skip
        self.case_id = steps.find_case(self.reader, self.patient.local_id)["case_id"]

    def is_measured(self) -> None:
        read = steps.wait_read(self.reader, self.case_id)[0]["read"]
        rate = next(m for m in read["measurements"] if m["key"] == "heart_rate")
        self.say(f"heart rate {rate['value']:.0f} {rate['unit']} / 心率")
        assert abs(rate["value"] - 76) < 4
        assert self._sheet().status_code == 404, "nobody is shown an image before he holds the case"

    def _sheet(self) -> httpx.Response:
        row = steps.case(self.reader, self.case_id)["case"]
        return self.reader.get(f"/ecg/sheet/{row['clinic_id']}/{row['study_uid']}")

    def is_critical(self) -> None:
        steps.take(self.reader, self.case_id)
        assert "<svg" in self._sheet().text
        self.say("the cardiologist marks a finding critical: the ladder starts / 危急值")
        alert = self.reader.json("POST", f"/api/cases/{self.case_id}/alerts", {"finding": "三度房室传导阻滞"})
        self.alert_id = alert["alert_id"]
        escalated = until("the second step of the ladder", lambda: self._steps() >= 2 and self._steps(), 30.0)
        self.say(f"nobody answers: step {escalated} / 无人应答，升级")
        banner = self.doctor.get("/clinic", headers={"Accept": "text/html"}).text
        assert "三度房室传导阻滞" in banner

    def _steps(self) -> int:
        alerts = steps.case(self.reader, self.case_id)["alerts"]
        return max((n["step"] + 1 for a in alerts for n in a["notices"]), default=0)

    def is_read_back(self) -> None:
        refused = steps.read_back(self.technician, self.alert_id, "三度房室传导阻滞", "已转诊")
        assert refused.status_code == 403, f"a technician may not: {refused.status_code}"
        taken = steps.read_back(self.doctor, self.alert_id, "三度房室传导阻滞", "已启动转诊")
        assert taken.status_code in (200, 303), taken.text[:300]
        alert = next(a for a in steps.case(self.reader, self.case_id)["alerts"] if a["alert_id"] == self.alert_id)
        self.say(f"the clinic's doctor reads back: {alert['state']} / 复述确认")
        assert alert["state"] == "closed" and alert["receiver"] == "柳春禾" and not alert["mismatch"]
        before = self._steps()
        time.sleep(2.5)  # longer than a step of the ladder
        assert self._steps() == before, "a ladder that was answered stands still"

    def is_signed(self) -> None:
        made = steps.write(self.reader, self.case_id, steps.ECG_NORMAL)
        steps.sign(self.reader, self.case_id, made["sha256"], self.region.password("gunanxing"))
        steps.wait_state(self.reader, self.case_id, "delivered", "receipted", "closed")


# ---------------------------------------------------------------- as a whole
def walk_film(path: FilmPath) -> None:
    """From the request to the receipt."""
    path.request()
    path.send()
    path.becomes_a_case()
    path.is_read_by_the_model()
    path.is_signed(path.is_written())
    path.is_delivered()
    path.code_says(1, "current")
    path.is_received()


def walk_ecg(path: EcgPath) -> None:
    path.upload()
    path.is_measured()
    path.is_critical()
    path.is_read_back()
    path.is_signed()


def archive_of(region: Region) -> Archive:
    """A running storescp, registered as the clinic's PACS."""
    archive = Archive(region.folder / "archive", "SHIGOU_PACS").start()
    steps.register_archive(region, archive, "shigou")
    return archive


def print_time_line(lines: list[tuple[datetime, str, str]]) -> None:
    start = lines[0][0]
    print("\n  time line, from the first byte / 时间线")
    for at, what, who in lines:
        print(f"  {(at - start).total_seconds():8.2f} s  {what:<44} {who}")


def main() -> None:
    """``make journey``."""
    if missing := [tool for tool in ("storescu", "storescp", "dcmdump", "dcm2pdf") if not shutil.which(tool)]:
        raise SystemExit(f"DCMTK is missing ({', '.join(missing)}): sudo apt-get install -y dcmtk")
    say = lambda text: print(f"· {text}", flush=True)  # noqa: E731
    say("a region starts: database, web, DICOM, worker, inference / 启动一个区域")
    with tempfile.TemporaryDirectory() as folder, region(HELAN_LADDER_MINUTES=LADDER_MINUTES) as where:
        archive = archive_of(where)
        try:
            film = FilmPath(where, archive, Path(folder), say)
            walk_film(film)
            received = film.time_line()
            film.is_amended()
            film.is_withdrawn()
            walk_ecg(EcgPath(where, say))
            print_time_line(received)
        finally:
            archive.stop()
