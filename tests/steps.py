"""What people do in a region, over HTTP and DICOM as they would: send, find, take, write, sign, receive."""

from __future__ import annotations

import subprocess
import uuid
from dataclasses import dataclass, field
from datetime import date, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
from pydicom import dcmread

from portal.demo_ecgs import make_ecg, write_wfdb
from portal.demo_films import Sign
from portal.demo_studies import MadePerson, film_dicom
from tests.region import Person, Region, free_port, until

NORMAL = {
    "findings": "胸廓对称，双肺野清晰，未见实变影，未见气胸。心影大小、形态正常。双侧肋膈角锐利。",
    "impression": "心肺膈未见明确异常，未见气胸。",
    "recommendation": "结合临床。",
}
ECG_NORMAL = {
    "findings": "窦性心律，心率 76 次/分。P 波、PR 间期、QRS 波群、ST 段及 T 波未见异常。",
    "impression": "窦性心律，正常范围心电图。",
}


def made_person(local_id: str = "") -> MadePerson:
    """Somebody whom no other test knows."""
    return MadePerson(local_id or f"T-{uuid.uuid4().hex[:10]}", "田家乐", "TIAN^JIALE", "M", date(1968, 5, 17))


def film_file(folder: Path, person: MadePerson, *, signs: frozenset[Sign] = frozenset(), seed: str = "") -> Path:
    """A made chest film of this person as a file."""
    at = datetime(2026, 11, 20, 9, 30)
    raw = film_dicom(seed or f"step|{person.local_id}", person, at, signs=signs, rows=700, columns=600)
    path = folder / f"{person.local_id}-{uuid.uuid4().hex[:6]}.dcm"
    path.write_bytes(raw)
    return path


def ecg_files(seed: int = 5, heart_rate: float = 76.0) -> dict[str, bytes]:
    """A WFDB header and its signal."""
    return write_wfdb(make_ecg(seed, heart_rate=heart_rate), f"ecg{seed}")


# ---------------------------------------------------------------- the reader
def find_case(reader: Person, local_id: str, *, view: str = "", within_s: float = 40.0) -> dict[str, Any]:
    """His list's row of this patient, as soon as it is there."""

    def look() -> dict[str, Any] | None:
        rows = reader.json("GET", f"/api/worklist?q={local_id}&view={view}")["rows"]
        return next((r for r in rows if r["patient_local_id"] == local_id), None)

    return until(f"the case of {local_id}", look, within_s, 0.2)


def case(reader: Person, case_id: str) -> dict[str, Any]:
    return dict(reader.json("GET", f"/api/cases/{case_id}"))


def wait_state(reader: Person, case_id: str, *states: str, within_s: float = 40.0) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        found = case(reader, case_id)
        return found if found["case"]["state"] in states else None

    return until(f"the case to be {' or '.join(states)}", look, within_s, 0.2)


def wait_read(reader: Person, case_id: str, within_s: float = 60.0) -> list[dict[str, Any]]:
    """The preliminary reads, as soon as there is one."""
    return until("the preliminary read", lambda: case(reader, case_id)["reads"], within_s, 0.3)


def take(reader: Person, case_id: str, reason: str = "") -> None:
    """As the next one: raised to the top of the list first, so that no order is passed over."""
    if not reason:
        held = case(reader, case_id)["case"]
        if held["urgency"] != "stat":
            body = {"urgency": "stat", "reason": "试用"}
            reader.json("POST", f"/api/cases/{case_id}/urgency", body)
    reader.json("POST", f"/api/cases/{case_id}/take", {"reason": reason or "临床来电"})


def write(reader: Person, case_id: str, content: dict[str, str]) -> dict[str, Any]:
    """Saves this text, answers every machine finding and every open question, and makes a preview."""
    found = case(reader, case_id)
    for read in found["reads"]:
        for finding in read["read"]["findings"]:
            verdict = {"verdict": "rejected", "reason": "肉眼未见"}
            reader.json("POST", f"/api/cases/{case_id}/verdicts/{read['read_id']}/{finding['key']}", verdict)
    body: dict[str, Any] = {**content, "answers": dict.fromkeys(found["questions"], "未见。")}
    body["base_version"] = found["draft"]["version"] if found["draft"] else 0
    reader.json("POST", f"/api/cases/{case_id}/draft", body)
    made = dict(reader.json("POST", f"/api/cases/{case_id}/preview", {"lang": "zh"}))
    blocks = [item for item in made["gate"] if item["level"] == "block"]
    assert not blocks, f"the gate blocks: {blocks}"
    return made


def sign(reader: Person, case_id: str, preview_sha256: str, password: str) -> dict[str, Any]:
    body = {"preview_sha256": preview_sha256, "password": password}
    return dict(reader.json("POST", f"/api/cases/{case_id}/sign", body))


# ---------------------------------------------------------------- a clinic's archive
@dataclass
class Archive:
    """DCMTK's storescp in the place of a clinic's PACS."""

    folder: Path
    aet: str
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> Archive:
        self.folder.mkdir(parents=True, exist_ok=True)
        log = (self.folder.parent / f"{self.aet}.log").open("ab")
        self.process = subprocess.Popen(
            ["storescp", "-v", "-aet", self.aet, "-od", str(self.folder), str(self.port)], stdout=log, stderr=log
        )
        return self

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(10.0)
            self.process = None

    def received(self) -> list[Path]:
        """What lies there, oldest first."""
        return sorted((p for p in self.folder.iterdir() if p.is_file()), key=lambda p: p.stat().st_mtime)

    def report(self, local_id: str, number: int, within_s: float = 40.0) -> Path:
        """The n-th document that came of this patient, 1 first."""

        def look() -> Path | None:
            files = [p for p in self.received() if f"[{local_id}]" in dump(p)]
            return files[number - 1] if len(files) >= number else None

        return until(f"document {number} at {self.aet}", look, within_s, 0.2)


def dump(path: Path) -> str:
    """What DCMTK reads in the file."""
    return subprocess.run(["dcmdump", "+U8", str(path)], capture_output=True, text=True, check=True, timeout=30).stdout


def extracted_pdf(path: Path, target: Path) -> Path:
    """The document inside an Encapsulated PDF, taken out by DCMTK."""
    subprocess.run(["dcm2pdf", str(path), str(target)], check=True, capture_output=True, timeout=30)
    return target


def register_archive(region: Region, archive: Archive, clinic: str) -> None:
    region.helan("peer", "add", archive.aet, "--clinic", clinic, "--address", f"127.0.0.1:{archive.port}")


# ---------------------------------------------------------------- the clinic
def write_request(
    who: Person, patient: MadePerson, *, exam: str, question: str, history: str = "", urgent: bool = False
) -> None:
    """As on the clinic's form."""
    form = {
        "local_id": patient.local_id, "name": patient.name, "sex": patient.sex, "birth": patient.birth_date.isoformat(),
        "exam": exam, "question": question, "history": history, "urgent": "1" if urgent else "0",
    }  # fmt: skip
    who.json("POST", "/api/requests", form, expect=201)


def receipt(who: Person, case_id: str, version: int) -> None:
    """The clinic has the report."""
    who.json("POST", f"/api/cases/{case_id}/receipt", {"version": version})


def read_back(who: Person, alert_id: str, words: str, action: str) -> httpx.Response:
    """What was understood of a critical finding, and what is done about it."""
    form = {"read_back": words, "receiver": "", "action": action}
    return who.post(f"/api/alerts/{alert_id}/acknowledge", json=form)


# ---------------------------------------------------------------- bytes
def study_uid(file: Path) -> str:
    return str(dcmread(file, stop_before_pixels=True).StudyInstanceUID)


def data_set(raw: bytes) -> bytes:
    """What follows group 0002: the part that a C-STORE carries (PS3.7 9.3.1)."""
    return raw[144 + int.from_bytes(raw[140:144], "little") :]


def same_bytes(region: Region, study: str, raw: bytes) -> None:
    """The center gives back what it acknowledged, byte for byte, by DICOMweb."""
    with bearer(region, "haixiaoyan") as program:
        listed = program.get(f"/dicom-web/studies/{study}/instances")
        assert listed.status_code == 200, listed.text[:300]
        sent_sop = str(dcmread(BytesIO(raw), stop_before_pixels=True).SOPInstanceUID)
        found = next(i for i in listed.json() if i["00080018"]["Value"][0] == sent_sop)
        series = found["0020000E"]["Value"][0]
        path = f"/dicom-web/studies/{study}/series/{series}/instances/{sent_sop}"
        got = program.get(path, headers={"Accept": "application/dicom; transfer-syntax=*"})
        assert got.status_code == 200, got.text[:300]
        assert data_set(got.content) == data_set(raw)


_TOKENS: dict[tuple[Path, str], str] = {}


def bearer(region: Region, login: str) -> httpx.Client:
    """A program that acts as this person."""
    key = (region.data, login)
    if key not in _TOKENS:
        _TOKENS[key] = region.helan("token", "create", "--person", login).stdout.strip().splitlines()[-1]
    headers = {"Authorization": f"Bearer {_TOKENS[key]}", "Accept": "application/json"}
    return httpx.Client(base_url=region.base, headers=headers, timeout=60.0, trust_env=False)


def lives(pid: int) -> bool:
    """It is there, and not only as a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def token(region: Region, login: str) -> str:
    """A program's token, made once for each region."""
    bearer(region, login).close()
    return _TOKENS[region.data, login]


def memory_bytes(pid: int) -> int:
    """What the process holds in memory now."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096


def stow(program: httpx.Client, *files: bytes, path: str = "/dicom-web/studies") -> httpx.Response:
    """STOW-RS of these Part 10 files in one request."""
    parts = b"".join(b"--part\r\nContent-Type: application/dicom\r\n\r\n" + raw + b"\r\n" for raw in files)
    kind = 'multipart/related; type="application/dicom"; boundary=part'
    headers = {"Content-Type": kind, "Accept": "application/dicom+json"}
    return program.post(path, content=parts + b"--part--\r\n", headers=headers)


def first_of_all(region: Region, reader: Person, case_id: str) -> None:
    """Returns when this case is the one that "next" gives: a colleague takes what stands before it."""
    colleague = region.person("shenzhiwei")
    while (ahead := reader.json("GET", "/api/worklist?view=waiting&limit=1")["rows"][0]["case_id"]) != case_id:
        assert colleague.json("POST", "/api/cases/next")["case_id"] == ahead
