"""The center's authority, signatures, time-stamps, and the check that finds one flipped bit."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyhanko.pdf_utils.generic import NameObject, pdf_string
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.pdf_utils.reader import PdfFileReader

from center import authority as authorities
from center.accounts import Accounts
from center.authority import Authority, rewrap, unwrap, wrap
from center.clock import CountedIdentifiers, HeldClock
from center.codes import Role, Service
from center.database import Database
from center.errors import Forbidden, Unreadable
from center.identity import SYSTEM
from center.ports import Sealer, Signer
from center.signing import CenterSealer, CertificateSigner, sign_pdf, verify_pdf
from tests.makers.sheets import make_sheet
from worklist.pdf import TypstRenderer

START = datetime(2026, 11, 22, 2, 0, tzinfo=UTC)
SECRET = "correct horse battery"
ROOT = Path(__file__).resolve().parents[2]


class Seal:
    """A report through all its forms, made once for the file: rendered, signed 5 s before it was stamped."""

    def __init__(self, folder: Path) -> None:
        clock = HeldClock(START)
        self.folder = folder / "keys"
        self.authority = Authority.open(self.folder, clock)
        self.sheet = make_sheet()
        self.pdf = TypstRenderer().render(self.sheet, "zh")
        self.issued = self.authority.issue_for("p1", "顾长宁", "110640000012345", SECRET)
        self.key = unwrap(self.issued.wrapped_key, SECRET, bound_to=self.issued.serial)
        self.signed = self.sign(self.pdf)
        clock.advance(5)
        self.sealed = CenterSealer(self.authority, clock).stamp(self.signed)
        self.root = self.authority.certificate_pem

    def sign(self, pdf: bytes, at: datetime = START) -> bytes:
        return sign_pdf(pdf, self.key, self.issued.certificate_pem, at=at, reason="签发", location="中心")


@pytest.fixture(scope="module")
def seal(tmp_path_factory: pytest.TempPathFactory) -> Seal:
    return Seal(tmp_path_factory.mktemp("seal"))


def codes(pdf: bytes, root: bytes, **more: object) -> list[str]:
    return [problem.code for problem in verify_pdf(pdf, root, **more).problems]  # type: ignore[arg-type]


# ---------------------------------------------------------------- the authority's folder
def test_keys_are_readable_by_their_owner_only(seal: Seal) -> None:
    assert seal.folder.stat().st_mode & 0o777 == 0o700
    files = list(seal.folder.iterdir())
    assert {f.name for f in files} == {"authority.pem", "timestamp.pem", "heads.pem", "authority.crt"}
    assert all(f.stat().st_mode & 0o777 == 0o600 for f in files)


def test_an_authority_is_made_once(seal: Seal) -> None:
    again = Authority.open(seal.folder, HeldClock(START + timedelta(days=400)))
    assert again.certificate_pem == seal.root
    assert again.stamp_credential == seal.authority.stamp_credential


def test_processes_that_race_make_one_authority(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from datetime import datetime, UTC\n"
        "from center.authority import Authority; from center.clock import HeldClock\n"
        "a = Authority.open(Path(sys.argv[1]), HeldClock(datetime(2026, 11, 22, tzinfo=UTC)))\n"
        "print(a.certificate_pem.hex(), a.stamp_credential.certificate_der.hex(), a.sign_head(b'x'))"
    )
    line = [sys.executable, "-c", program, str(tmp_path / "keys")]
    running = [subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE) for _ in range(4)]
    answers = {process.communicate(timeout=60)[0] for process in running}
    assert len(answers) == 1 and answers != {b""}
    assert not list((tmp_path / "keys").glob(".*"))


def test_heads_are_signed_and_checked(seal: Seal) -> None:
    signature = seal.authority.sign_head(b"head 7")
    assert seal.authority.check_head(b"head 7", signature)
    assert not seal.authority.check_head(b"head 8", signature)
    assert not seal.authority.check_head(b"head 7", "no hex")


# ---------------------------------------------------------------- wrapped keys
def test_a_key_opens_with_its_own_secret_only(seal: Seal) -> None:
    wrapped = json.loads(json.dumps(seal.issued.wrapped_key))  # as it comes back from the row
    assert unwrap(wrapped, SECRET, bound_to=seal.issued.serial) == seal.key
    with pytest.raises(Forbidden, match="wrong"):
        unwrap(wrapped, SECRET + " ", bound_to=seal.issued.serial)


def test_a_key_moved_to_another_certificates_row_does_not_open(seal: Seal) -> None:
    with pytest.raises(Forbidden):
        unwrap(seal.issued.wrapped_key, SECRET, bound_to="0000000000000001")


def test_a_forged_row_cannot_ask_for_gigabytes(seal: Seal) -> None:
    with pytest.raises(Forbidden, match="damaged"):
        unwrap({**seal.issued.wrapped_key, "memory_kib": 2**31}, SECRET, bound_to=seal.issued.serial)
    with pytest.raises(Forbidden, match="damaged"):
        unwrap({"v": 1}, SECRET, bound_to=seal.issued.serial)


def test_a_rewrapped_key_is_the_same_key(seal: Seal) -> None:
    serial = seal.issued.serial
    new = rewrap(seal.issued.wrapped_key, SECRET, "another long secret", bound_to=serial)
    assert unwrap(new, "another long secret", bound_to=serial) == seal.key
    with pytest.raises(Forbidden):
        unwrap(new, SECRET, bound_to=serial)
    with pytest.raises(Forbidden):
        rewrap(new, SECRET, "third", bound_to=serial)


def test_at_most_two_secrets_are_stretched_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    now, most, guard, enough = [0], [0], threading.Lock(), threading.Event()

    def slow(*_: object, **__: object) -> bytes:
        with guard:
            now[0] += 1
            most[0] = max(most[0], now[0])
        enough.wait(0.05)
        with guard:
            now[0] -= 1
        return b"k" * 32

    monkeypatch.setattr(authorities, "hash_secret_raw", slow)
    threads = [threading.Thread(target=wrap, args=(b"key", SECRET), kwargs={"bound_to": "1"}) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most[0] == 2


# ---------------------------------------------------------------- bytes
def test_what_was_shown_stays_the_prefix_of_what_is_signed_and_sealed(seal: Seal) -> None:
    assert seal.signed.startswith(seal.pdf) and len(seal.signed) > len(seal.pdf)
    assert seal.sealed.startswith(seal.signed) and len(seal.sealed) > len(seal.signed)


def test_a_sealed_report_is_intact_trusted_and_says_who_and_when(seal: Seal) -> None:
    verdict = verify_pdf(seal.sealed, seal.root)
    assert verdict.sealed and verdict.problems == ()
    assert (verdict.signer, verdict.licence) == ("顾长宁", "110640000012345")
    assert verdict.certificate_serial == seal.issued.serial
    assert verdict.reason == "签发"
    assert (verdict.signed_at, verdict.stamped_at) == (START, START + timedelta(seconds=5))
    assert verdict.content_sha256 == seal.sheet.content_sha256


def test_the_verdict_is_told_in_both_languages(seal: Seal) -> None:
    good, bad = verify_pdf(seal.sealed, seal.root), verify_pdf(_flipped(seal.sealed, 5000, 1), seal.root)
    assert good.lines("zh")[0].startswith("有效") and good.lines("en")[0].startswith("Valid")
    assert any("顾长宁" in line for line in good.lines("en"))
    assert bad.lines("zh")[0].startswith("无效") and bad.lines("en")[0].startswith("Not valid")
    assert len(bad.lines("zh")) == len(bad.lines("en"))


def test_a_signed_report_without_its_stamp_is_intact_but_not_sealed(seal: Seal) -> None:
    verdict = verify_pdf(seal.signed, seal.root)
    assert verdict.intact and verdict.trusted and not verdict.sealed
    assert [p.code for p in verdict.problems] == ["stamp_missing"]


def test_an_unsigned_report_says_so(seal: Seal) -> None:
    verdict = verify_pdf(seal.pdf, seal.root)
    assert not verdict.intact and [p.code for p in verdict.problems] == ["unsigned"]


@given(data=st.data())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_one_flipped_bit_anywhere_fails(seal: Seal, data: st.DataObject) -> None:
    position = data.draw(st.integers(0, len(seal.sealed) - 1), label="byte")
    bit = data.draw(st.integers(0, 7), label="bit")
    assert not verify_pdf(_flipped(seal.sealed, position, bit), seal.root).sealed


@given(data=st.data())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_one_flipped_bit_in_a_signatures_own_container_fails(seal: Seal, data: st.DataObject) -> None:
    begin, end = data.draw(st.sampled_from(_gaps(seal.sealed)), label="container")
    position = data.draw(st.integers(begin, end - 1), label="byte")
    # Flips that give another hex digit: all others stop the parser.
    digits = [b for b in range(8) if chr(seal.sealed[position] ^ 1 << b) in "0123456789ABCDEFabcdef"]
    bit = data.draw(st.sampled_from(digits or list(range(8))), label="bit")
    assert not verify_pdf(_flipped(seal.sealed, position, bit), seal.root).sealed


@pytest.mark.long
@pytest.mark.timeout(900)
def test_every_tenth_flip_in_the_time_stamps_container_is_found(seal: Seal) -> None:
    """All of them take a quarter of an hour and were tried once: none was missed."""
    begin, end = _gaps(seal.sealed)[-1]
    end = begin + len(seal.sealed[begin:end].rstrip(b"0>")) + 8
    places = [(p, b) for p in range(begin, end) for b in range(8)]
    hex_again = [(p, b) for p, b in places if chr(seal.sealed[p] ^ 1 << b) in "0123456789ABCDEFabcdef"]
    assert len(hex_again) > 1000
    for position, bit in hex_again[::10]:
        assert not verify_pdf(_flipped(seal.sealed, position, bit), seal.root).sealed, (position, bit)


def _flipped(pdf: bytes, position: int, bit: int) -> bytes:
    out = bytearray(pdf)
    out[position] ^= 1 << bit
    return bytes(out)


def _gaps(pdf: bytes) -> list[tuple[int, int]]:
    """Where the signatures' own containers lie."""
    found: list[tuple[int, int]] = []
    for signature in PdfFileReader(BytesIO(pdf)).embedded_signatures:
        start, length, after, _ = (int(n) for n in signature.sig_object["/ByteRange"])
        found.append((start + length, after))
    return found


@pytest.mark.parametrize("tail", [b"x", b"\n", b"%%EOF\n", b"\x00" * 4096])
def test_bytes_appended_to_a_seal_fail(seal: Seal, tail: bytes) -> None:
    assert not verify_pdf(seal.sealed + tail, seal.root).sealed


@pytest.mark.parametrize("cut", [1, 100, 5000, 60_000])
def test_a_cut_file_fails(seal: Seal, cut: int) -> None:
    assert not verify_pdf(seal.sealed[:-cut], seal.root).sealed


def test_a_change_appended_after_the_seal_is_found(seal: Seal) -> None:
    writer = IncrementalPdfFileWriter(BytesIO(seal.sealed))
    writer.root[NameObject("/Lang")] = pdf_string("xx")
    writer.update_root()
    out = BytesIO()
    writer.write(out)
    found = codes(out.getvalue(), seal.root)
    assert "stamp_broken" in found and "appended" in found


def test_a_report_is_signed_once(seal: Seal) -> None:
    with pytest.raises(Unreadable):
        seal.sign(seal.signed)


def test_another_centers_seal_is_not_trusted(seal: Seal, tmp_path: Path) -> None:
    other = Authority.open(tmp_path / "other", HeldClock(START))
    verdict = verify_pdf(seal.sealed, other.certificate_pem)
    assert verdict.intact and not verdict.trusted and not verdict.sealed
    assert {p.code for p in verdict.problems} == {"not_ours", "stamp_not_ours"}


def test_a_stamp_of_another_center_is_found(seal: Seal, tmp_path: Path) -> None:
    other = Authority.open(tmp_path / "other", HeldClock(START))
    assert codes(CenterSealer(other, HeldClock(START)).stamp(seal.signed), seal.root) == ["stamp_not_ours"]


def test_a_certificate_revoked_before_fails_and_one_revoked_after_does_not(seal: Seal) -> None:
    serial = seal.issued.serial
    assert codes(seal.sealed, seal.root, revoked={serial: START - timedelta(minutes=1)}) == ["revoked"]
    assert codes(seal.sealed, seal.root, revoked={serial: START + timedelta(days=1)}) == []


def test_a_signature_after_the_certificates_end_is_not_trusted(seal: Seal) -> None:
    late = seal.sign(seal.pdf, START + timedelta(days=365 * 3 + 1))
    assert "not_ours" in codes(late, seal.root)


def test_a_seal_is_still_good_when_the_certificate_has_ended(seal: Seal) -> None:
    # The check looks at the stamped instant, so that a report of 2026 can be checked in 2035.
    assert verify_pdf(seal.sealed, seal.root).sealed


def test_content_that_is_not_the_rows_is_found(seal: Seal) -> None:
    assert codes(seal.sealed, seal.root, content_sha256=seal.sheet.content_sha256) == []
    assert codes(seal.sealed, seal.root, content_sha256="0" * 64) == ["content_differs"]


def test_content_that_does_not_fit_its_digest_is_found_even_when_signed(seal: Seal) -> None:
    digest = seal.sheet.content_sha256.encode()
    forged = seal.pdf.replace(b"content-sha256:" + digest[:8], b"content-sha256:" + bytes(reversed(digest[:8])))
    assert forged != seal.pdf
    found = codes(CenterSealer(seal.authority, HeldClock(START)).stamp(seal.sign(forged)), seal.root)
    assert found == ["content_differs"]


@pytest.mark.parametrize("junk", [b"", b"%PDF-1.7\n", b"GIF89a", b"\x00" * 10_000, b"%PDF-1.7\n" + b"<<" * 5000])
def test_junk_is_a_verdict_or_a_sentence(seal: Seal, junk: bytes) -> None:
    assert codes(junk, seal.root) == ["unreadable"]
    with pytest.raises(Unreadable):
        seal.sign(junk)
    with pytest.raises(Unreadable):
        CenterSealer(seal.authority, HeldClock(START)).stamp(junk)


def test_poppler_calls_the_signature_valid(seal: Seal, tmp_path: Path) -> None:
    pdfsig = shutil.which("pdfsig")
    assert pdfsig is not None, "poppler-utils is missing: `make test` installs it"
    path = tmp_path / "report.pdf"
    path.write_bytes(seal.sealed)
    said = subprocess.run([pdfsig, "-nocert", str(path)], capture_output=True, text=True, timeout=60).stdout
    assert "Signature Validation: Signature is Valid." in said
    assert "Signer Certificate Common Name: 顾长宁" in said
    assert "ETSI.CAdES.detached" in said and "Total document signed" in said


# ---------------------------------------------------------------- with the database
@pytest.fixture
def accounts(database: Database, clinics: tuple[str, ...], clock: HeldClock) -> Accounts:
    return Accounts(database, clock, CountedIdentifiers(7))


@pytest.fixture
def reader(accounts: Accounts) -> str:
    person, _ = accounts.add_person(
        "gu", "顾长宁", SECRET, [("tertiary", Role.READER)], licence="110640000012345", scope=[Service.IMAGING]
    )
    return person


@pytest.fixture
def signer(database: Database, seal: Seal, clock: HeldClock) -> CertificateSigner:
    return CertificateSigner(database, seal.authority, clock)


def test_a_reader_signs_with_his_own_secret(
    signer: CertificateSigner, reader: str, seal: Seal, clock: HeldClock
) -> None:
    port: Signer = signer
    serial = signer.issue(reader, "顾长宁", "110640000012345", SECRET)
    assert signer.serial_of(reader) == serial
    signature = port.sign(seal.pdf, reader, SECRET, "签发")
    assert signature.certificate_serial == serial and signature.signed_at == clock.now()
    assert signature.pdf.startswith(seal.pdf)
    sealer: Sealer = CenterSealer(seal.authority, clock)
    assert verify_pdf(sealer.stamp(signature.pdf), seal.root, revoked=signer.revoked()).sealed


def test_a_wrong_secret_signs_nothing(signer: CertificateSigner, reader: str, seal: Seal) -> None:
    signer.issue(reader, "顾长宁", "1", SECRET)
    with pytest.raises(Forbidden) as raised:
        signer.sign(seal.pdf, reader, "not his secret", "签发")
    assert "密码不对" in raised.value.zh and "wrong" in raised.value.en


def test_who_has_no_certificate_cannot_sign(signer: CertificateSigner, reader: str, seal: Seal) -> None:
    assert signer.serial_of(reader) is None
    with pytest.raises(Forbidden, match="no signing certificate"):
        signer.sign(seal.pdf, reader, SECRET, "签发")


def test_an_expired_certificate_cannot_sign(
    signer: CertificateSigner, reader: str, seal: Seal, clock: HeldClock
) -> None:
    signer.issue(reader, "顾长宁", "1", SECRET)
    clock.advance(timedelta(days=365 * 3 + 1).total_seconds())
    assert signer.serial_of(reader) is None
    with pytest.raises(Forbidden, match="expired on 2029-"):
        signer.sign(seal.pdf, reader, SECRET, "签发")


def test_a_new_certificate_revokes_the_one_before(
    signer: CertificateSigner, reader: str, seal: Seal, clock: HeldClock
) -> None:
    first = signer.issue(reader, "顾长宁", "1", SECRET)
    old = CenterSealer(seal.authority, clock).stamp(signer.sign(seal.pdf, reader, SECRET, "签发").pdf)
    clock.advance(60)
    second = signer.issue(reader, "顾长宁", "1", "another long secret")
    assert signer.serial_of(reader) == second != first
    assert set(signer.revoked()) == {first}
    with pytest.raises(Forbidden):
        signer.sign(seal.pdf, reader, SECRET, "签发")
    assert verify_pdf(old, seal.root, revoked=signer.revoked()).sealed  # what he signed before stays valid


def test_a_revoked_person_cannot_sign(signer: CertificateSigner, reader: str, seal: Seal) -> None:
    signer.issue(reader, "顾长宁", "1", SECRET)
    signer.revoke(reader, "left the center")
    with pytest.raises(Forbidden):
        signer.sign(seal.pdf, reader, SECRET, "签发")


def test_a_changed_password_opens_the_same_key(signer: CertificateSigner, reader: str, seal: Seal) -> None:
    serial = signer.issue(reader, "顾长宁", "1", SECRET)
    with pytest.raises(Forbidden):
        signer.rewrap(reader, "not his secret", "another long secret")
    signer.rewrap(reader, SECRET, "another long secret")
    assert signer.sign(seal.pdf, reader, "another long secret", "签发").certificate_serial == serial
    with pytest.raises(Forbidden):
        signer.sign(seal.pdf, reader, SECRET, "签发")


def test_wrong_passwords_at_signing_end_his_sessions_and_never_lock_him_out(
    database: Database, accounts: Accounts, reader: str, seal: Seal, clock: HeldClock
) -> None:
    signer = CertificateSigner(database, seal.authority, clock, check_password=accounts.check_password)
    signer.issue(reader, "顾长宁", "1", SECRET)
    with database.transaction(SYSTEM) as work:
        work.run(
            "insert into center.session (hash, person_id, csrf, created_at, expires, seen_at)"
            " values ('h', %(p)s, 'c', now(), now() + interval '1 hour', now())",
            p=reader,
        )  # fmt: skip
    for _ in range(5):
        with pytest.raises(Forbidden):
            signer.sign(seal.pdf, reader, "not his secret", "签发")
    with database.transaction(SYSTEM) as work:
        assert work.one("select 1 as n from center.session where person_id = %(p)s", p=reader) is None
    assert signer.sign(seal.pdf, reader, SECRET, "签发").pdf.startswith(seal.pdf)
