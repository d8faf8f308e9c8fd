"""Recordings block by block: the same as whole, in any cut, and a day of three leads in little memory."""

from __future__ import annotations

import mmap
import tracemalloc
from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
import pytest
import wfdb
from hypothesis import given, settings
from hypothesis import strategies as st

from center.errors import Unreadable
from ecg.formats.dicom_structure import check_structure
from ecg.formats.long import LongSignal, open_long
from ecg.formats.recognise import read
from ecg.formats.wfdb import read_wfdb
from ecg.signal import EcgSignal
from tests.ecg.test_edf import Made, make_edf
from tests.ecg.test_ishne import make_ishne
from tests.makers.ecg import make_ecg, make_ecg_dicom, write_wfdb
from tests.outside import outside_data

LEADS, FS_HZ, DAY_S = 3, 250, 86400
DAY = DAY_S * FS_HZ
BLOCK = 600 * FS_HZ
MEMORY_BYTES = 100 << 20


def _same(long: LongSignal, signal: EcgSignal) -> None:
    assert (long.head.leads, long.head.fs_hz, long.length) == (signal.leads, signal.fs_hz, signal.samples.shape[1])
    assert long.head.samples.shape == (len(signal.leads), 0)
    rng = np.random.default_rng(0)
    cuts = np.sort(rng.integers(0, long.length + 1, (20, 2)), axis=1).tolist()
    for start, stop in [(0, 0), (0, long.length), (long.length - 1, long.length), *cuts]:
        assert np.array_equal(long.block(start, stop), signal.samples[:, start:stop], equal_nan=True)


# ---- the same as whole ----


def test_made_recordings_are_the_same_in_blocks() -> None:
    signal = make_ecg(1, seconds=4.0)
    samples = signal.samples.copy()
    samples[2, 300:700] = np.nan
    signal = EcgSignal(signal.leads, samples, signal.fs_hz, step_mv=signal.step_mv, recorded_at=signal.recorded_at)
    counts = np.rint(make_ecg(1, seconds=4.0, leads=("I", "II", "V1")).samples * 400).astype(int)
    for files in (
        {"a.dcm": make_ecg_dicom(signal)},
        write_wfdb(signal, "a"),
        {"a.ecg": make_ishne(counts)},
        {"a.edf": make_edf([Made("II", counts[0].reshape(4, 500)), Made("V1", counts[1].reshape(4, 500))])},
    ):
        long = open_long(files)
        assert long is not None
        _same(long, read(files))
        assert long.whole("a").issues == read(files).issues


@pytest.mark.parametrize(
    "names", [["ishne_made.ecg"], ["psg_short.edf"], ["psg_short.bdf"], ["eeg_made.dcm"], ["same_record.dcm"],
              ["pfe105.dcm"], ["hemodynamic_12lead_240hz.dcm"], ["ludb_1.hea", "ludb_1.dat"]],
)  # fmt: skip
def test_outside_recordings_are_the_same_in_blocks(names: list[str]) -> None:
    files = {name: outside_data(f"ecg_formats/{name}").read_bytes() for name in names}
    long = open_long(files)
    assert long is not None
    _same(long, read(files))
    assert long.whole(names[0]).issues == read(files).issues


@pytest.mark.parametrize("fmt", ["16", "24", "32", "61", "80", "160", "212", "310", "311"])
@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 999), samples=st.integers(1, 200), per_frame=st.integers(1, 3), skew=st.integers(0, 5))
def test_each_storage_format_is_the_same_in_blocks(
    fmt: str, seed: int, samples: int, per_frame: int, skew: int
) -> None:
    body = np.random.default_rng(seed).integers(0, 256, samples * (2 + per_frame) * 4 + 8, dtype=np.uint8).tobytes()
    lines = f"r 3 250 {samples}\nr.dat {fmt} 200 12 0 0 0 0 II\nr.dat {fmt}x{per_frame} 100/uV 12 5 0 0 0 V1\n"
    lines += f"r.dat {fmt}:{skew} 50(7) 12 5 0 0 0 V5\n"
    files = {"r.hea": lines.encode(), "r.dat": body}
    whole = read_wfdb("r.hea", files)
    long = open_long(files)
    assert long is not None
    assert long.head.leads == whole.leads
    for start, stop in [(0, samples), (samples // 3, samples // 2), (samples - 1, samples)]:
        assert np.array_equal(long.block(start, stop), whole.samples[:, start:stop], equal_nan=True)


def test_differences_and_segments_are_the_same_in_blocks(tmp_path: Path) -> None:
    parts = [make_ecg(n, seconds=1.0, leads=("II", "V1")[: 1 + n % 2]) for n in range(3)]
    files: dict[str, bytes] = {}
    for n, part in enumerate(parts):
        files |= write_wfdb(part, f"s{n}")
    files["m.hea"] = b"m/4 2 500 1700\ns0 500\n~ 200\ns1 500\ns2 500\n"
    long = open_long(files)
    assert long is not None
    assert long.length == 1700
    _same(long, read_wfdb("m.hea", files))
    steps = np.random.default_rng(0).integers(-5, 5, (300, 1))
    eight = {"d.hea": b"d 1 250 300\nd.dat 8 200 12 0 0 0 0 II\n", "d.dat": steps.astype("i1").tobytes()}
    held = open_long(eight)
    assert held is not None
    _same(held, read_wfdb("d.hea", eight))


def test_a_gap_that_begins_before_the_block_is_one_in_the_block() -> None:
    signal = make_ecg(1, seconds=4.0, leads=("II",))
    samples = signal.samples.copy()
    samples[0, 500:620] = 0.0
    dataset = pydicom.dcmread(BytesIO(make_ecg_dicom(EcgSignal(("II",), samples, 500.0, step_mv=signal.step_mv,
                                                             recorded_at=signal.recorded_at))))  # fmt: skip
    dataset.WaveformSequence[0].WaveformPaddingValue = b"\0\0"
    out = BytesIO()
    dataset.save_as(out)
    files = {"x": out.getvalue()}
    long = open_long(files)
    assert long is not None
    _same(long, read(files))
    assert np.isnan(long.block(610, 615)).all()


def test_other_formats_are_only_read_whole_and_two_recordings_are_refused() -> None:
    assert open_long({"a.xml": b"<?xml version='1.0'?><AnnotatedECG/>"}) is None
    assert open_long({}) is None
    content = make_ishne(np.zeros((1, 5), dtype=int))
    with pytest.raises(Unreadable):
        open_long({"a": content, "b": content})


# ---- a day ----


def _ishne_day(folder: Path) -> list[Path]:
    return [_stretched(folder / "day.ecg", make_ishne(np.zeros((LEADS, 0), dtype=int), size=DAY), 2 * LEADS * DAY)]


def _edf_day(folder: Path) -> list[Path]:
    signals = [Made(label, np.zeros((0, FS_HZ))) for label in ("ECG I", "ECG II", "ECG V1")]
    return [_stretched(folder / "day.edf", make_edf(signals, records=DAY_S), 2 * LEADS * DAY)]


def _bdf_day(folder: Path) -> list[Path]:
    signals = [Made(label, np.zeros((0, FS_HZ))) for label in ("ECG I", "ECG II", "ECG V1")]
    return [_stretched(folder / "day.bdf", make_edf(signals, records=DAY_S, width=3), 3 * LEADS * DAY)]


def _wfdb_day(folder: Path) -> list[Path]:
    header = folder / "day.hea"
    header.write_text(
        f"day 3 {FS_HZ} {DAY}\n" + "".join(f"day.dat 212 200 12 0 0 0 0 {name}\n" for name in ("I", "II", "V1"))
    )
    return [header, _stretched(folder / "day.dat", b"", LEADS * DAY * 3 // 2)]


def _dicom_day(folder: Path) -> list[Path]:
    small = check_structure(make_ecg_dicom(make_ecg(1, seconds=1.0, fs_hz=FS_HZ, leads=("I", "II", "V1"))), "x").small
    count = b"\x3a\x00\x10\x00UL\x04\x00"
    at = small.index(count) + len(count)
    small = small[:at] + DAY.to_bytes(4, "little") + small[at + 4 :]
    head = small[:-16] + b"\x00\x54\x10\x10OW\0\0" + (2 * LEADS * DAY).to_bytes(4, "little")
    path = _stretched(folder / "day.dcm", head, 2 * LEADS * DAY)
    with path.open("ab") as out:
        out.write(small[-16:])
    return [path]


def _stretched(path: Path, head: bytes, size: int) -> Path:
    """A file of these bytes and then so many zeros, which take no room on the disk."""
    with path.open("wb") as out:
        out.write(head)
        out.truncate(len(head) + size)
    return path


@pytest.mark.parametrize("day", [_ishne_day, _edf_day, _bdf_day, _wfdb_day, _dicom_day])
def test_a_day_of_three_leads_needs_less_than_100_megabytes(day: Callable[[Path], list[Path]], tmp_path: Path) -> None:
    paths = day(tmp_path)
    handles = [path.open("rb") for path in paths]
    files: Mapping[str, mmap.mmap] = {
        path.name: mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ)
        for path, handle in zip(paths, handles, strict=True)
    }
    tracemalloc.start()
    try:
        long = open_long(files)
        assert long is not None
        assert (long.length, long.head.fs_hz, len(long.head.leads)) == (DAY, FS_HZ, LEADS)
        assert long.seconds == DAY_S
        for start in range(0, DAY, BLOCK * 12):  # a twelfth of it; all blocks alike
            assert long.block(start, min(DAY, start + BLOCK)).shape == (LEADS, min(DAY, start + BLOCK) - start)
        assert tracemalloc.get_traced_memory()[1] < MEMORY_BYTES
    finally:
        tracemalloc.stop()
    with pytest.raises(Unreadable, match="too large"):
        long.whole("day")


def test_a_day_is_wfdbs_day(tmp_path: Path) -> None:
    counts = np.random.default_rng(0).integers(-500, 500, (5000, 3))
    wfdb.wrsamp("h", fs=250, units=["mV"] * 3, sig_name=["I", "II", "V1"], d_signal=counts, fmt=["212"] * 3,
                adc_gain=[200.0] * 3, baseline=[0] * 3, write_dir=str(tmp_path))  # fmt: skip
    long = open_long({name: (tmp_path / name).read_bytes() for name in ("h.hea", "h.dat")})
    assert long is not None
    assert np.allclose(long.block(1234, 2345), counts[1234:2345].T / 200)
