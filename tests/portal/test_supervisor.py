"""``helan up``: what it says, who it starts again, and that nobody is left behind however it ends."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from center.errors import WrongState
from center.settings import Address, Settings, SettingsError
from portal import databases
from portal.first_run import refuse_demo_outside
from portal.processes import PROCESSES, members
from portal.supervisor import FIRST_BEAT_LOOKS, FROZEN_LOOKS, Child, refuse_taken
from tests.portal.up import READY, Place, Up, free_port, until


# ---------------------------------------------------------------- refusals, in words
def test_a_taken_port_is_named_with_the_setting_that_changes_it() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(WrongState) as caught:
            refuse_taken(Address("127.0.0.1", port), "HELAN_HTTP")
    assert f"127.0.0.1:{port}" in caught.value.en
    assert f"HELAN_HTTP=127.0.0.1:{port + 1}" in caught.value.zh


def test_a_free_port_and_one_that_was_just_closed_are_taken_as_free() -> None:
    refuse_taken(Address("127.0.0.1", free_port()), "HELAN_HTTP")
    refuse_taken(Address("::1", free_port()), "HELAN_HTTP")


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(WrongState, match="not an address of this machine"):
        refuse_taken(Address("192.0.2.1", free_port()), "HELAN_DICOM")


def test_two_cannot_hold_one_data_folder(tmp_path: Path) -> None:
    with databases.alone(tmp_path), pytest.raises(databases.Busy, match=str(os.getpid())):
        with databases.alone(tmp_path):
            pass
    with databases.alone(tmp_path):  # and it is free again afterwards
        pass


def test_demo_accounts_are_never_served_beyond_this_machine(tmp_path: Path) -> None:
    near = Settings.parse({"HELAN_DATA": str(tmp_path)})
    far = Settings.parse(
        {"HELAN_DATA": str(tmp_path), "HELAN_HTTP": "0.0.0.0:8080", "HELAN_TRUSTED_PROXY": "10.0.0.0/8"}
    )
    refuse_demo_outside(far, demo=False)
    with pytest.raises(WrongState):
        refuse_demo_outside(far, demo=True)
    near.secrets_dir.mkdir()
    (near.secrets_dir / "demo-logins.json").write_text("[]")
    refuse_demo_outside(near, demo=True)
    with pytest.raises(WrongState):
        refuse_demo_outside(far, demo=False)


# ---------------------------------------------------------------- who stands still
def test_a_process_stands_still_after_so_many_looks_without_a_beat_and_not_before() -> None:
    child = Child("ecg-2")
    assert (child.kind, child.number) == ("ecg", "2")
    assert not any(child.look(n) for n in range(1, 200)), "it beats"
    assert [child.look(199) for _ in range(FROZEN_LOOKS)] == [False] * (FROZEN_LOOKS - 1) + [True]
    child = Child("web")
    looks = [child.look(None) for _ in range(FIRST_BEAT_LOOKS)]
    assert looks == [False] * (FIRST_BEAT_LOOKS - 1) + [True], "it loads its libraries first"


def test_readers_and_web_processes_are_as_many_as_the_settings_say(tmp_path: Path) -> None:
    environ = {"HELAN_DATA": str(tmp_path)}
    wanted = {"HELAN_ECG_READERS": "3", "HELAN_WEB_PROCESSES": "3"}
    more = members(Settings.parse(environ | wanted))[len(PROCESSES) :]
    assert more == ("ecg-1", "ecg-2", "ecg-3", "web-2", "web-3")
    by_default = Settings.parse(environ)
    assert by_default.ecg_readers == by_default.web_processes == min(os.cpu_count() or 1, 4)
    for wrong in ("0", "65", "two", "-1", "1.5", "²"):
        with pytest.raises(SettingsError, match="HELAN_ECG_READERS"):
            Settings.parse(environ | {"HELAN_ECG_READERS": wrong})


# ---------------------------------------------------------------- the whole of it
@pytest.fixture
def place(open_folder: Path) -> Iterator[Place]:
    place = Place(open_folder / f"up-{secrets.token_hex(4)}")
    yield place
    shutil.rmtree(place.data, ignore_errors=True)


@pytest.fixture
def running(place: Place) -> Iterator[Up]:
    up = Up(place, "--no-demo")
    try:
        yield up.wait_ready()
    finally:
        up.clear_away()


def nobody_left(place: Place) -> None:
    until(lambda: not place.processes(), "nobody is left behind")


@pytest.mark.timeout(300)
def test_it_starts_empty_tells_the_password_once_refuses_a_second_one_and_stops_without_a_trace(
    place: Place, running: Up
) -> None:
    assert "admin" in running.text and "shown this once" in running.text
    assert f"HELAN@127.0.0.1:{place.dicom}" in running.text
    assert place.health()["status"] == "ok"
    assert {name for name in PROCESSES if place.beating(name)} == set(PROCESSES)
    readers = members(Settings.parse(place.environ))[len(PROCESSES) :]
    assert readers and all(place.beating(name) for name in readers)
    told = place.command("doctor")
    assert told.returncode == 0 and "运行 dimse" in told.stdout and "运行 loops" in told.stdout, told.stdout
    second = place.command("up", "--no-demo")
    assert second.returncode == 1
    assert "HELAN_DATA" in second.stderr and "Traceback" not in second.stderr
    assert place.health()["status"] == "ok"
    assert running.stop(signal.SIGINT) == 0
    nobody_left(place)
    assert running.lines[-1] == "已停止  |  stopped"

    began = time.monotonic()
    again = Up(place, "--no-demo")
    try:
        again.wait_ready()
        assert time.monotonic() - began < 60  # 15 s on a machine of its own
        assert "password" not in again.text
        assert again.stop() == 0
        nobody_left(place)
    finally:
        again.clear_away()


@pytest.mark.timeout(300)
def test_a_taken_port_ends_the_start_with_a_sentence(place: Place) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", place.http))
        other.listen()
        done = place.command("up", "--no-demo")
    assert done.returncode == 1
    assert "HELAN_HTTP" in done.stderr and "Traceback" not in done.stderr + done.stdout
    nobody_left(place)


@pytest.mark.long
def test_a_dead_process_is_started_again_and_said_so(place: Place, running: Up) -> None:
    for name in PROCESSES:
        before = place.beating(name)
        assert before is not None
        os.kill(before, signal.SIGKILL)
        running.wait_for(f"{name} ended by itself (-9)")
        until(lambda name=name, before=before: place.beating(name) not in (None, before), f"{name} beats again")
    until(lambda: place.health()["status"] == "ok", "all is well again")
    assert running.stop() == 0
    nobody_left(place)


@pytest.mark.long
def test_a_dead_database_is_started_again_and_the_processes_go_on(place: Place, running: Up) -> None:
    alive = {name: place.beating(name) for name in PROCESSES}
    before = place.postmaster()
    assert before is not None
    os.kill(before, signal.SIGKILL)
    running.wait_for("the database ended by itself")
    until(lambda: place.postmaster() not in (None, before), "another postmaster")
    until(lambda: place.health()["status"] == "ok", "all is well again")
    assert {name: place.beating(name) for name in PROCESSES} == alive
    assert running.stop() == 0
    nobody_left(place)


@pytest.mark.long
def test_a_killed_supervisor_leaves_only_the_database_which_the_next_start_adopts(place: Place, running: Up) -> None:
    postmaster = place.postmaster()
    os.kill(running.process.pid, signal.SIGKILL)
    running.process.wait()
    again = Up(place, "--no-demo")
    try:
        again.wait_ready()
        assert "adopted the database" in again.text
        assert place.postmaster() == postmaster
        assert place.health()["status"] == "ok"
        assert again.stop() == 0
        nobody_left(place)
    finally:
        again.clear_away()


@pytest.mark.long
def test_a_killed_supervisors_processes_end_by_themselves(place: Place, running: Up) -> None:
    children = {place.beating(name) for name in PROCESSES}
    os.kill(running.process.pid, signal.SIGKILL)
    running.process.wait()
    until(lambda: not children & place.processes(), "the four have ended")


@pytest.mark.long
def test_ctrl_c_during_the_start_leaves_nobody(place: Place) -> None:
    for moment in ("making the database", "starting web"):
        up = Up(place, "--no-demo")
        try:
            up.wait_for(moment if not (place.data / "postgres" / "data").exists() else "starting web")
            assert up.stop(signal.SIGINT) == 0
            nobody_left(place)
            assert READY not in up.text
        finally:
            up.clear_away()
