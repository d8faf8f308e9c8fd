"""``helan`` on the command line: quick help, one sentence for each failure, the books kept without a running center."""

from __future__ import annotations

import secrets
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from center.migrations import migrate
from center.postgres import EmbeddedPostgres
from portal import cli
from tests.portal.up import Place


@dataclass(frozen=True, slots=True)
class Ended:
    """A command that ran: in this process, since each of its own would load everything anew."""

    status: int
    out: str
    err: str


Helan = Callable[..., Ended]


@pytest.fixture(scope="module")
def place(open_folder: Path) -> Iterator[Place]:
    """A data folder whose database runs."""
    place = Place(open_folder / f"cli-{secrets.token_hex(4)}")
    server = EmbeddedPostgres(place.data)
    migrate(server.start(), place.data / "secrets")
    yield place
    server.stop()
    shutil.rmtree(place.data, ignore_errors=True)


def run_here(place: Place, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Helan:
    for name, value in place.environ.items():
        monkeypatch.setenv(name, value)

    def run(*words: str) -> Ended:
        monkeypatch.setattr(sys, "argv", ["helan", *words])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capfd.readouterr()
        return Ended(int(ended.value.code or 0), said.out, said.err)

    return run


@pytest.fixture
def helan(place: Place, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Helan:
    return run_here(place, monkeypatch, capfd)


def test_help_lists_every_command_at_once(open_folder: Path) -> None:
    began = time.monotonic()
    text = Place(open_folder / "help").command("--help").stdout
    assert time.monotonic() - began < 5  # half a second on a machine of its own
    for name in ("up", "web", "dicom", "worker", "inference", "ecg", "jobs", "migrate", "demo", "doctor", "clinic", "person", "agreement",
                 "peer", "token", "read", "audit", "verify", "backup", "restore"):  # fmt: skip
        assert f"  {name} " in text, name


def test_the_books_are_kept_by_commands(helan: Helan) -> None:
    def done(*words: str) -> str:
        result = helan(*words)
        assert result.status == 0, result.err
        return result.out

    done("clinic", "add", "shigou", "石沟镇卫生院")
    done("clinic", "add", "county", "县人民医院", "--kind", "county")
    added = done("person", "add", "du", "杜", "--role", "reader@county", "--licence", "1100", "--scope", "imaging")
    assert "password: " in added and "signing certificate" in added
    done("agreement", "add", "--requesting", "shigou", "--reading", "county", "--service", "imaging")
    done("peer", "add", "DR1", "--clinic", "shigou", "--address", "127.0.0.1:11999")
    assert done("token", "create", "--person", "du").startswith("helan_")
    assert "the audit is whole" in done("audit", "verify")
    assert "no job has failed" in done("jobs", "list")
    done("person", "disable", "du")


def test_a_command_starts_the_database_where_nothing_runs_it_and_stops_it_again(
    open_folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    place = Place(open_folder / f"cli-{secrets.token_hex(4)}")
    result = run_here(place, monkeypatch, capfd)("clinic", "add", "shigou", "石沟镇卫生院")
    assert result.status == 0, result.err
    assert place.postmaster() is None


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("clinic", "add", "NOT A CODE", "诊所"), "lower-case"),
        (("person", "add", "x", "某", "--role", "king@shigou"), "ROLE@CLINIC"),
        (("person", "disable", "nobody"), "no person of this login"),
        (("agreement", "add", "--requesting", "a", "--reading", "b", "--service", "tea"), "imaging or ecg"),
        (("token", "create", "--person", "x", "--until", "soon"), "YYYY-MM-DD"),
        (("verify", "no-such.pdf"), "no file"),
        (("restore", "no-such-folder"), "no whole backup"),
        (("jobs", "retry", "7"), "no such failed job"),
        (("jobs", "dismiss", "7", "--reason", " "), "Say why"),
    ],
)
def test_a_failure_is_a_sentence_in_two_languages_and_status_1(helan: Helan, words: tuple[str, ...], said: str) -> None:
    result = helan(*words)
    assert result.status == 1
    zh, en = result.err.strip().splitlines()[:2]
    assert said in en
    assert any("\u4e00" <= c <= "\u9fff" for c in zh)


def test_a_process_without_its_database_says_so_and_ends(open_folder: Path) -> None:
    result = Place(open_folder / "nothing").command("worker")
    assert result.returncode == 1
    assert "make up" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_wrong_setting_is_named(helan: Helan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HELAN_HTTP", "127.0.0.1:99999")
    result = helan("doctor")
    assert result.status == 1
    assert "HELAN_HTTP" in result.err and "设置有误" in result.err


def test_doctor_names_every_part_before_anything_is_there(
    open_folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    untouched = Place(open_folder / "untouched")
    result = run_here(untouched, monkeypatch, capfd)("doctor")
    assert result.status == 0, result.out + result.err
    for part in ("data", "database", "objects", "HELAN_HTTP", "HELAN_DICOM", "device"):
        assert part in result.out
    assert not untouched.data.exists()  # looking changes nothing


def test_without_the_center_nobody_can_know_whether_a_report_still_stands(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HELAN_DATA", str(tmp_path / "empty"))
    said = cli._standing("0" * 64)  # pyright: ignore[reportPrivateUsage]
    assert "not known" in said and "不知道" in said
