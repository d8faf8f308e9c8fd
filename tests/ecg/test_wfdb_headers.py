"""Headers as the world writes them, beside the wfdb package: a date's form decides on nothing but the date."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import wfdb

from ecg.formats.recognise import Format, read, recognise
from ecg.formats.wfdb import looks_like_header
from ecg.room import open_long
from ecg.signal import STANDARD_LEADS, EcgSignal
from tests.makers.ecg import make_ecg

MADE = make_ecg(1, seconds=10)
COUNTS = np.rint(MADE.samples * 1000).astype("<i2")


def challenge(first: str, *, gain: str = "1000/mV", tail: str = "", skip: int = 24, last: str = "") -> dict[str, bytes]:
    """A record of the PhysioNet challenges: 12 leads in a MAT file of version 4, whose head is skipped.

    first: the record line; tail: what stands between gain and lead, the usual five numbers where empty.
    """
    head = np.array([30, 12, 5000, 0, 4], dtype="<i4").tobytes() + b"val\0"
    lines = [first]
    for lead, row in zip(STANDARD_LEADS, COUNTS, strict=True):
        numbers = tail or f" 16 0 {row[0]} {_checksum(row)} 0"
        lines.append(f"r.mat 16+{skip} {gain}{numbers} {lead}".rstrip())
    comments = ["#Age: 74", "#Sex: Male", "#Dx: 426783006,59118001", "#Rx: Unknown", "#Hx: Unknown", "#Sx: Unknown"]
    text = "\n".join([*lines, *comments]) + last
    return {"r.hea": text.encode(), "r.mat": head[:skip] + COUNTS.T.tobytes()}


def _checksum(row: np.ndarray) -> int:
    total = int(row.astype(np.int64).sum()) & 0xFFFF
    return total - 0x10000 if total >= 0x8000 else total


def _is_as_wfdb_reads_it(files: dict[str, bytes], folder: Path) -> EcgSignal:
    for name, content in files.items():
        (folder / name).write_bytes(content)
    theirs = wfdb.rdrecord(str(folder / "r"))
    ours = read(files)
    assert isinstance(theirs, wfdb.Record)
    assert theirs.p_signal is not None
    assert ours.fs_hz == theirs.fs
    assert np.allclose(ours.samples.T, theirs.p_signal, atol=1e-9, equal_nan=True)
    return ours


TAILS = {
    "": "", " 12:33:59": "", " 12-May-2020 12:33:59": "2020-05-12T12:33:59", " 04-Feb-2020 10:00:00": "2020-02-04T10:00:00",
    " 12:33:59 12/05/2020": "2020-05-12T12:33:59", " 12:33:59.250 12/05/2020": "2020-05-12T12:33:59",
    " 2020-05-12 12:33:59": "2020-05-12T12:33:59", " 2020/05/12 12:33": "2020-05-12T12:33:00",
    " 12:33:59 2020-05-12": "2020-05-12T12:33:59", " 12:33:59 1/2/89": "",
}  # fmt: skip
LOST = (
    " 31-Feb-2020 10:00:00", " 12-Mai-2020 12:33:59", " 12:33:59 05/25/2020x", " unknown", " 25:61:61 04-Feb-2020",
    " 12-May-2020", " 二〇二〇年",
)  # fmt: skip


@pytest.mark.parametrize("tail", [*TAILS, *LOST])
def test_the_form_of_a_date_decides_on_nothing_else(tail: str) -> None:
    files = challenge(f"r 12 500 5000{tail}", last="\n")
    assert recognise(files["r.hea"]) is Format.WFDB
    signal = read(files)
    assert signal.leads == STANDARD_LEADS
    assert np.allclose(signal.samples, COUNTS / 1000)
    assert signal.recorded_at == TAILS.get(tail, "")
    assert (signal.age_years, signal.sex) == (74, "M")
    assert [issue.code for issue in signal.issues] == (["header_time_unknown"] if tail in LOST else [])
    long = open_long(files)
    assert long is not None
    assert np.allclose(long.block(0, 5000), COUNTS / 1000)


@pytest.mark.parametrize("tail", ["", " 12-May-2020 12:33:59", " 04-Feb-2020 10:00:00", " 12:33:59 12/05/2020"])
def test_samples_are_those_that_the_wfdb_package_reads(tail: str, tmp_path: Path) -> None:
    _is_as_wfdb_reads_it(challenge(f"r 12 500 5000{tail}", last="\n"), tmp_path)


@pytest.mark.parametrize(
    "gain", ["1000/mV", "1000.0(0)/mV", "1000(0)/mV", "1000.0/mV", "1000", "4880.0(12)/mV", "1e3/mV"]
)
@pytest.mark.parametrize("tail", ["", " 16 0", " 16", " "])
def test_what_is_missing_has_the_formats_own_default(gain: str, tail: str, tmp_path: Path) -> None:
    signal = _is_as_wfdb_reads_it(challenge("r 12 500 5000", gain=gain, tail=tail, last="\n"), tmp_path)
    assert signal.leads == STANDARD_LEADS


def test_a_gain_of_zero_is_the_formats_200_and_told(tmp_path: Path) -> None:
    signal = _is_as_wfdb_reads_it(challenge("r 12 500 5000", gain="0/mV", last="\n"), tmp_path)
    assert {issue.code for issue in signal.issues} == {"uncalibrated"}
    assert np.allclose(signal.samples, COUNTS / 200)


@pytest.mark.parametrize(
    "first", ["r 12 500", "r 12 500 0", "r 12 500/250(3) 5000", "r 12 500.0 5000", "r 12 5e2 5000"]
)
def test_record_lines_without_their_end(first: str) -> None:
    assert np.allclose(read(challenge(first, skip=0, last="\n")).samples, COUNTS / 1000)


def test_a_header_without_a_frequency_is_one_of_250_hertz(tmp_path: Path) -> None:
    assert _is_as_wfdb_reads_it(challenge("r 12", skip=0, last="\n"), tmp_path).fs_hz == 250


@pytest.mark.parametrize(
    "text",
    [
        "12 34 500 7 0.1 0.2 0.3 0.4\n0.1 16 0.3 0.4\n", "the 12 leads were recorded\non 2 days\n",
        "1 2 3 4 5 6 7\n8 9 10 11 12 13 14\n", "r 12 500 5000 some words\n", "name 3 note of something\nnot a signal\n",
    ],
)  # fmt: skip
def test_a_table_or_a_note_is_no_header(text: str) -> None:
    assert not looks_like_header(text.encode())
