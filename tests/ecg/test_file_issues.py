"""What a reader of a file knows goes with the read, and takes from it what it must."""

from __future__ import annotations

import ast
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import ecg
from center.reads import (
    Critical,
    CriticalRule,
    EvidenceLine,
    Measurement,
    Outcome,
    PreliminaryRead,
    Reason,
    StatementLine,
    Tier,
)
from ecg import file_issues
from ecg.formats.dicom import read_dicom, write_dicom
from ecg.formats.wfdb import write_wfdb
from ecg.room import read_ecg, read_files, to_model_input
from ecg.signal import EcgSignal
from inference.values import from_json, to_json
from tests.makers.ecg import IDENTITY, make_ecg

HOUSE = Path(ecg.__file__).parent


def _codes_in(tree: ast.AST) -> set[str]:
    """First arguments of Reason(...), both ends of a choice."""
    calls = [n for n in ast.walk(tree) if isinstance(n, ast.Call) and getattr(n.func, "id", "") == "Reason" and n.args]
    return {
        part.value
        for call in calls
        for part in ast.walk(call.args[0])
        if isinstance(part, ast.Constant) and isinstance(part.value, str)
    }


def test_every_code_that_a_reader_gives_stands_in_the_table() -> None:
    files = [*(HOUSE / "formats").glob("*.py"), HOUSE / "signal.py", HOUSE / "in_turn.py"]
    given = set[str]().union(*(_codes_in(ast.parse(file.read_text())) for file in files))
    assert len(given) > 15
    assert given - {"lead_left_out", "channel_left_out"} <= file_issues.KINDS.keys()
    assert file_issues.KINDS.keys() - given <= {"lead_left_out", "channel_left_out"}
    for kind in file_issues.KINDS.values():
        assert kind.zh
        assert kind.en


def _told(issues: tuple[Reason, ...], read: PreliminaryRead) -> PreliminaryRead:
    return file_issues.told(read, issues)


def _issue(code: str) -> Reason:
    return Reason(code, "某事", "something")


GREEN = PreliminaryRead(
    "ecg", "m", "1", "d", Outcome.READ, critical=Critical(Tier.GREEN, "p", "1"),
    statements=(StatementLine("sinus_rhythm", "窦性", "Sinus", 0.9), StatementLine("normal", "正常", "Normal", 0.8)),
    measurements=(Measurement("heart_rate", "", "", 60, "/min", certainty=0.9),
                  Measurement("r_amplitude", "", "", 1.5, "mV", lead="V5", certainty=0.9)),
)  # fmt: skip
_ST = EvidenceLine("st_j", value=0.3, unit="mV", limit=">= 0.1 mV", lead="V2")
RED = replace(
    GREEN,
    statements=(StatementLine("mi_acute", "急性梗死", "Acute MI", 0.9, evidence=(_ST,)),),
    critical=Critical(
        Tier.RED, "p", "1", (CriticalRule("acute_mi", "疑似梗死", "Suspected MI", Tier.RED, (EvidenceLine("mi_acute"), _ST)),)
    ),
)  # fmt: skip


@pytest.mark.parametrize("code", [code for code, kind in file_issues.KINDS.items() if kind.whole] + ["of_tomorrow"])
def test_what_was_not_looked_at_whole_is_neither_normal_nor_green(code: str) -> None:
    read = _told((_issue(code),), GREEN)
    assert [s.key for s in read.statements] == ["sinus_rhythm"]
    assert read.tier is Tier.YELLOW
    assert read.critical is not None
    assert read.critical.rules[0].rule == "file_issues"
    assert read.critical_findings == ()


@pytest.mark.parametrize("code", ["unproven_format", "checksum_rule_unknown", "channel_left_out", "recorded_in_turn"])
def test_what_costs_no_lead_is_told_and_stays_in_its_turn(code: str) -> None:
    read = _told((_issue(code),), GREEN)
    assert (read.tier, read.issues) == (Tier.GREEN, (_issue(code),))


def test_an_unproven_format_makes_every_statement_less_sure() -> None:
    assert [s.certainty for s in _told((_issue("unproven_format"),), GREEN).statements] == [0.81, 0.72]


@pytest.mark.parametrize("code", ["uncalibrated", "unit_assumed", "limb_leads_disagree"])
def test_an_amplitude_without_a_proved_gain_raises_no_red_alarm(code: str) -> None:
    read = _told((_issue(code),), RED)
    assert (read.tier, read.critical_findings) == (Tier.ORANGE, ())
    assert read.statements[0].certainty < 0.5
    assert [m.certainty for m in read.measurements] == [0.9, file_issues.DOUBTED]


@pytest.mark.parametrize("code", ["uncalibrated", "limb_leads_disagree"])
def test_a_lethal_rhythm_needs_no_gain(code: str) -> None:
    rule = CriticalRule("vf", "室颤", "VF", Tier.RED, (EvidenceLine("vf", value=0.4, unit="mV"),))
    vf = replace(RED, critical=Critical(Tier.RED, "p", "1", (rule,)))
    assert _told((_issue(code),), vf).tier is Tier.RED


def test_another_recordings_file_does_not_doubt_the_gravest() -> None:
    read = file_issues.beside(RED, (_issue("uncalibrated"),))
    assert (read.tier, read.statements) == (Tier.RED, RED.statements)
    assert read.issues == (_issue("uncalibrated"),)


# ---- from the file to the read ----


def _read(signal: EcgSignal) -> PreliminaryRead:
    return read_ecg(to_model_input(signal, "", (), "d"))


def _uncalibrated() -> EcgSignal:
    files = write_wfdb(make_ecg(1, seconds=10), "r")
    header = files["r.hea"].decode().replace(" 16 400(0)/mV", " 16 0(0)/mV").replace(" 16 1000(0)/mV", " 16 0(0)/mV")
    return read_files(files | {"r.hea": header.encode()})


def test_an_uncalibrated_recording_is_neither_normal_nor_green() -> None:
    signal = _uncalibrated()
    assert {issue.code for issue in signal.issues} >= {"uncalibrated"}
    read = _read(signal)
    assert read.outcome is Outcome.READ
    assert read.tier is not Tier.GREEN
    assert "normal" not in [s.key for s in read.statements]
    assert {issue.code for issue in read.issues} >= {"uncalibrated"}
    assert max(m.certainty or 0 for m in read.measurements if m.unit == "mV") <= file_issues.DOUBTED


def test_the_kept_read_tells_it_again() -> None:
    read = _read(_uncalibrated())
    assert from_json(to_json(read)) == read
    old = to_json(read)
    del old["issues"]  # kept by an earlier version
    assert from_json(old).issues == ()


def test_what_was_known_of_the_file_survives_its_wrapping(tmp_path: Path) -> None:
    signal = _uncalibrated()
    content = write_dicom(signal, replace(IDENTITY, recorded_at="2026-03-11T02:03:11"))
    back = read_dicom(content)
    assert set(back.issues) == set(signal.issues)
    assert np.abs(back.samples - signal.samples).max() < 0.006
    file = tmp_path / "ecg.dcm"
    file.write_bytes(content)
    said = subprocess.run(["dciodvfy", str(file)], capture_output=True, text=True, check=False, timeout=60)
    assert [line for line in (said.stdout + said.stderr).splitlines() if line.startswith("Error")] == []


def test_a_strangers_private_elements_are_not_ours() -> None:
    content = write_dicom(_uncalibrated(), replace(IDENTITY, recorded_at="2026-03-11T02:03:11"))
    assert read_dicom(content.replace(b"HELAN ECG 1", b"OTHERS ECG1")).issues != read_dicom(content).issues
