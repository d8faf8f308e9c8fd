"""``helan read``: one line a study, in the order given, whatever the files hold."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import date, datetime
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from center.reads import ModelInput, Outcome, PreliminaryRead, Tier
from dicom_gateway.room import scan
from portal.demo_ecgs import make_ecg, write_wfdb
from portal.demo_studies import MadePerson, film_dicom
from portal.reading import files_of, grouped, in_words, read_paths, read_side_by_side
from tests.makers import oddities
from tests.makers.ecg_reads import ecg_read

ROOT = Path(__file__).resolve().parent.parent.parent
PERSON = MadePerson("P1", "单小满", "SHAN^XIAOMAN", "F", date(1990, 5, 4))
AT = datetime(2026, 11, 22, 1, 2, 3)


@cache
def film(seed: str) -> bytes:
    return film_dicom(seed, PERSON, AT, rows=200, columns=180)


def echo(given: ModelInput) -> PreliminaryRead:
    """A reader that says which input it got."""
    return PreliminaryRead(given.kind, "echo", "1", given.input_digest, Outcome.READ)


READERS = {"film": echo, "ecg": echo}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a_film.dcm").write_bytes(film("a"))
    for name, raw in write_wfdb(make_ecg(1, heart_rate=80), "b_rec").items():
        (tmp_path / name).write_bytes(raw)
    (tmp_path / "c.pdf").write_bytes(b"%PDF-1.7\n%%EOF")
    (tmp_path / "d_cut.dcm").write_bytes(film("d")[:9000])
    (tmp_path / "e_empty").write_bytes(b"")
    return tmp_path


def test_each_study_gets_one_line_in_the_order_given(folder: Path) -> None:
    lines = list(read_paths([folder], READERS))
    assert [Path(x["path"]).name for x in lines] == ["a_film.dcm", "b_rec.hea", "c.pdf", "d_cut.dcm", "e_empty"]
    assert [x["outcome"] for x in lines] == ["read", "read", "unreadable", "unreadable", "unreadable"]
    assert [x.get("kind") for x in lines] == ["film", "ecg", None, None, None]
    turned = list(read_paths([folder / "c.pdf", folder / "a_film.dcm"], READERS))
    assert [Path(x["path"]).name for x in turned] == ["c.pdf", "a_film.dcm"]


def test_a_path_that_is_not_there_gets_its_line_and_stops_nothing(folder: Path) -> None:
    lines = list(read_paths([folder / "nowhere.dcm", folder / "a_film.dcm"], READERS))
    assert [x["outcome"] for x in lines] == ["unreadable", "read"] and lines[0]["reason"]["code"] == "unreadable_file"


def test_a_disc_without_file_heads_is_read_and_its_index_is_said_to_be_one(tmp_path: Path) -> None:
    raw = film("bare")
    (tmp_path / "DICOMDIR").write_bytes(oddities.dicomdir())
    (tmp_path / "IM1").write_bytes(raw[scan(raw).dataset_offset :])
    (tmp_path / "IM2").write_bytes(oddities.implicit_data_set("read"))
    lines = list(read_paths([tmp_path], READERS))
    assert [x["outcome"] for x in lines] == ["abstained", "read", "read"]
    assert lines[0]["reason"]["code"] == "dicomdir" and "DICOMDIR" in lines[0]["reason"]["zh"]


def test_a_header_and_its_signal_are_one_study(folder: Path) -> None:
    (line,) = read_paths([folder / "b_rec.dat", folder / "b_rec.hea"], READERS)
    assert [Path(f).name for f in line["files"]] == ["b_rec.hea", "b_rec.dat"]


def test_annotations_beside_a_header_are_no_recordings(folder: Path) -> None:
    (folder / "b_rec.atr").write_bytes(b"\x12\x70\x00\x00" * 9)
    (folder / "z_other.atr").write_bytes(b"\x12\x70\x00\x00" * 9)
    lines = list(read_paths([folder], READERS))
    assert [Path(x["path"]).name for x in lines][1:3] == ["b_rec.hea", "c.pdf"] and len(lines) == 6
    assert [Path(f).name for f in lines[1]["annotation_files"]] == ["b_rec.atr"]


def test_a_recording_of_hours_is_read_block_by_block_from_the_disk(tmp_path: Path) -> None:
    long = make_ecg(1, heart_rate=60, fs_hz=250.0, seconds=1500.0, leads=("I", "II", "V1", "V5"))
    for file, raw in write_wfdb(long, "day").items():
        (tmp_path / file).write_bytes(raw)
    seen: list[ModelInput] = []

    def reader(given: ModelInput) -> PreliminaryRead:
        seen.append(given)
        return echo(given)

    (line,) = read_paths([tmp_path], {"ecg": reader})
    assert line["outcome"] == "read" and seen[0].recording is None and seen[0].long is not None
    assert seen[0].long.seconds == 1500 and seen[0].every_beat
    assert seen[0].long.leads[:6] == ("I", "II", "III", "aVR", "aVL", "aVF")  # completed from I and II
    block = seen[0].long.block(250_000, 250_500)
    assert np.allclose(block[0], long.lead("I")[250_000:250_500], atol=0.002)


def test_files_of_one_study_share_a_line(tmp_path: Path) -> None:
    import io

    import pydicom

    first = film("same")
    second = pydicom.dcmread(io.BytesIO(first))
    second.SOPInstanceUID = second.file_meta.MediaStorageSOPInstanceUID = "1.2.3.4.5"
    (tmp_path / "1.dcm").write_bytes(first)
    second.save_as(tmp_path / "2.dcm")
    (line,) = read_paths([tmp_path], READERS)
    assert len(line["files"]) == 2 and line["study_instance_uid"] == str(second.StudyInstanceUID)


def test_every_failure_has_a_code_and_a_sentence_in_both_languages(folder: Path) -> None:
    for line in read_paths([folder], READERS):
        if line["outcome"] != "read":
            assert line["reason"]["code"] and line["reason"]["zh"] and line["reason"]["en"]


def test_a_header_that_names_a_path_does_not_reach_it(tmp_path: Path) -> None:
    (tmp_path / "x.hea").write_text("x 1 500 100\n../../../etc/passwd 16 200 16 0 0 0 0 I\n")
    (line,) = read_paths([tmp_path], READERS)
    assert line["outcome"] == "unreadable" and len(line["files"]) == 1


def test_the_command_prints_json_lines_and_ends_with_0(folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "portal.cli", "read", str(folder), "--jsonl"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    lines = [json.loads(x) for x in done.stdout.splitlines()]
    assert len(lines) == 5
    ecg = lines[1]
    measured = {m["key"]: m for m in ecg["measurements"] if "lead" not in m}
    assert ecg["model"]["name"] == "helan_ecg" and abs(measured["heart_rate"]["value"] - 80) < 2
    assert measured["qrs_duration"]["unit"] == "ms" and ecg["statements"] and ecg["critical"]["tier"]
    assert ecg["fs_hz"] == 500 and {"sample", "class", "qrs_on", "qrs_off"} <= set(ecg["beats"][5])
    assert lines[0]["model"]["name"] == "chest_film" and lines[0]["outcome"] in ("read", "abstained")
    assert "单" not in done.stderr and "SHAN" not in done.stderr


def test_in_words_a_read_says_that_it_is_a_machine_s_and_unconfirmed() -> None:
    finding = {
        "key": "effusion",
        "zh": "胸腔积液",
        "en": "Pleural effusion",
        "probability": 0.094,
        "decision": "absent",
    }
    line = {"path": "a.dcm", "kind": "film", "outcome": "read", "model": {"name": "m", "version": "1"}}
    words = in_words({**line, "findings": [finding]})
    assert "m 1" in words and "0.094 未提示" in words and "未经医师确认" in words and "unconfirmed" in words
    assert "未经医师确认" not in in_words({**line, "outcome": "abstained", "reason": {"zh": "无", "en": "none"}})


# ---------------------------------------------------------------- side by side
def readers_that_break() -> dict[str, Callable[[ModelInput], PreliminaryRead]]:
    return {"film": echo, "ecg": breaking}


def breaking(given: ModelInput) -> PreliminaryRead:
    """Ends its process at one sampling rate, raises at another."""
    assert given.recording is not None
    if given.recording.fs_hz == 250:
        os.kill(os.getpid(), signal.SIGKILL)
    if given.recording.fs_hz == 100:
        raise RuntimeError("a bug")
    return echo(given)


def test_neither_a_bug_nor_a_dead_process_stops_the_others(tmp_path: Path) -> None:
    for name, fs_hz in (("a", 500), ("b", 250), ("c", 100), ("d", 500)):
        for file, raw in write_wfdb(make_ecg(1, heart_rate=80, fs_hz=fs_hz), name).items():
            (tmp_path / file).write_bytes(raw)
    lines = list(read_side_by_side(grouped(list(files_of([tmp_path]))), readers_that_break, 2))
    assert [Path(x["path"]).name for x in lines] == ["a.hea", "b.hea", "c.hea", "d.hea"]
    assert [x["outcome"] for x in lines] == ["read", "unreadable", "unreadable", "read"]
    assert [lines[n]["reason"]["code"] for n in (1, 2)] == ["process_died", "read_failed"]
    assert [lines[n]["critical"]["tier"] for n in (1, 2)] == ["orange", "orange"]  # what broke us may be critical
    assert "look now" in lines[1]["critical"]["rules"][0]["en"]


def test_an_ecgs_line_says_statements_evidence_tier_and_units(tmp_path: Path) -> None:
    for file, raw in write_wfdb(make_ecg(1, heart_rate=80), "a").items():
        (tmp_path / file).write_bytes(raw)
    seen: list[bool] = []

    def reader(given: ModelInput) -> PreliminaryRead:
        seen.append(given.every_lead)
        return ecg_read(Tier.RED)

    (line,) = read_paths([tmp_path], {"ecg": reader}, every_lead=True)
    assert seen == [True]
    line = json.loads(json.dumps(line))
    assert line["critical"]["tier"] == "red" and line["critical"]["rules"][0]["rule"] == "st_elevation_mi"
    assert line["critical"]["rules"][0]["evidence"][0]["limit"] == ">= 0.1 mV"
    assert line["statements"][0]["key"] == "sinus_rhythm" and line["statements"][0]["certainty"] == 0.98
    assert line["statements"][0]["codes"][0]["scheme"] == "SCT" and line["statements"][0]["evidence"][0]["unit"] == "1"
    assert {m["key"]: m["unit"] for m in line["measurements_by_lead"]["V5"]}["st_j60"] == "mV"
    assert len({m["key"] for m in line["measurements"]}) == len(line["measurements"])
    assert line["beats"][0]["qrs_on"] == 380 and line["fs_hz"] == 500 and "median" not in line
    assert line["device"][1] == {"text": "PR", "value": 166.0, "unit": "ms"}
    words = in_words(line)
    assert "红" in words and "窦性心律" in words and "未经医师确认" in words
