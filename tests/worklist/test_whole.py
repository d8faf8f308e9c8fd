"""A report from the queue to the verified PDF, with the real signer, seal and typesetter."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from center import postgres_driver as driver
from center.authority import Authority
from center.clock import HeldClock
from center.codes import Role
from center.database import Database
from center.errors import Forbidden
from center.objects.directory import DirectoryStore
from center.signing import CenterSealer, CertificateSigner, verify_pdf
from tests.worklist.bench import PASSWORD, SHIGOU, Bench, ahead, finding, make_bench, person, reader
from worklist.pdf import TypstRenderer
from worklist.records import RequestForm

READER, DOCTOR, TECHNICIAN = reader(), person(Role.CLINIC_DOCTOR), person(Role.TECHNICIAN)


@pytest.fixture
def real(
    emptied: dict[str, str], clinics: tuple[str, ...], store: DirectoryStore, tmp_path: Path
) -> Iterator[tuple[Bench, Authority]]:
    """The bench with everything real that this machine has: keys, signature, time-stamp, typesetting."""
    clock = ahead()
    authority = Authority.open(tmp_path / "keys", HeldClock(clock.now() - timedelta(days=1)))
    database = Database(emptied["helan_service"], {})
    signer = CertificateSigner(database, authority, clock)
    with driver.connect(emptied["admin"], autocommit=True) as connection:
        connection.execute(
            "insert into center.person (person_id, login, name, hash) values ('reader', 'reader', 'reader', 'x')"
        )
    signer.issue("reader", READER.name, READER.licence, PASSWORD)
    sealer = CenterSealer(authority, clock)
    bench = make_bench(emptied, store, clock, signer=signer, sealer=sealer, renderer=TypstRenderer())
    yield bench, authority
    bench.database.close()
    database.close()


def test_a_report_is_printed_signed_sealed_and_verified(real: tuple[Bench, Authority]) -> None:
    bench, authority = real
    case = bench.arrive()
    bench.room.write_request(
        TECHNICIAN, SHIGOU, RequestForm(study_uid=case.study_uid, question="有无气胸？", urgent=True, history="胸痛")
    )
    read = bench.machine_reads(case, finding("pneumothorax", critical=True))
    lease = bench.reading(READER, case)
    bench.room.write_verdict(READER, case.case_id, lease.token, read, "pneumothorax", "accepted")
    alert = bench.room.raise_alert(READER, case.case_id, "左侧张力性气胸")
    bench.run()
    bench.room.acknowledge_alert(DOCTOR, alert.alert_id, read_back="左侧张力性气胸", receiver="", action="已穿刺减压")
    preview = bench.write(READER, lease, "左侧张力性气胸。", findings="左侧胸腔透亮度增高，肺纹理消失。")
    assert preview.gate == ()
    with pytest.raises(Forbidden):
        bench.room.sign(READER, case.case_id, lease.token, preview.sha256, "guess")
    signed = bench.room.sign(READER, case.case_id, lease.token, preview.sha256, PASSWORD)
    bench.run()
    version, pdf = bench.room.report_pdf(DOCTOR, case.case_id, signed.version)
    verdict = verify_pdf(pdf, authority.certificate_pem)
    assert verdict.intact and verdict.trusted and verdict.sealed, verdict.problems
    assert verdict.content_sha256 == version.content_sha256
    flipped = bytearray(pdf)
    flipped[len(pdf) // 3] ^= 1
    assert not verify_pdf(bytes(flipped), authority.certificate_pem).intact
