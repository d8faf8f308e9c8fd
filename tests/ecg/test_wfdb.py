"""WFDB: what comes back, what is refused; the wfdb package beside ours."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import wfdb
from hypothesis import given, settings
from hypothesis import strategies as st

from center.errors import Unreadable
from ecg.formats.recognise import read
from ecg.formats.wfdb import read_wfdb
from ecg.signal import EcgSignal
from tests.makers.ecg import make_ecg, write_wfdb
from tests.outside import outside_data


@settings(deadline=None)
@given(
    counts=st.lists(st.lists(st.integers(-32000, 32000), min_size=6, max_size=6), min_size=1, max_size=5),
    step=st.floats(1e-4, 0.02),
    fs_hz=st.sampled_from([100.0, 250.0, 500.0, 977.5]),
)
def test_a_written_recording_comes_back_within_one_count(counts: list[list[int]], step: float, fs_hz: float) -> None:
    samples = np.array(counts) * step
    leads = tuple(f"V{n + 1}" for n in range(len(counts)))
    signal = EcgSignal(leads=leads, samples=samples, fs_hz=fs_hz, step_mv=(step,) * len(leads))
    back = read(write_wfdb(signal, "r"))
    assert back.leads == leads
    assert back.fs_hz == fs_hz
    assert np.abs(back.samples - samples).max() <= step * 1.001
    assert back.issues == ()


@pytest.mark.parametrize("fmt", ["8", "16", "24", "32", "61", "80", "160", "212", "310", "311"])
@pytest.mark.parametrize("length", [600, 601, 602])
def test_each_storage_format_reads_as_the_wfdb_package_reads_it(fmt: str, length: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(int(fmt) + length)
    steps = rng.integers(-20, 20, (length, 2))
    counts = np.cumsum(steps, axis=0) if fmt == "8" else rng.integers(-120, 120, (length, 2))
    if fmt in ("61", "160", "310", "311", "8"):  # the package writes none of these: bytes of ours, both read them
        return _compare_raw(fmt, length, tmp_path)
    wfdb.wrsamp(
        "r", fs=360, units=["mV", "uV"], sig_name=["II", "V1"], d_signal=counts.astype(np.int64), fmt=[fmt, fmt],
        adc_gain=[200.0, 1.5], baseline=[10, -3], write_dir=str(tmp_path),
    )  # fmt: skip
    _compare(tmp_path)


def _compare_raw(fmt: str, length: int, folder: Path) -> None:
    sizes = {"8": 1.0, "61": 2.0, "160": 2.0, "310": 4 / 3, "311": 4 / 3}
    rng = np.random.default_rng(length)
    body = rng.integers(0, 256, int(np.ceil(2 * length * sizes[fmt])) + 4, dtype=np.uint8).tobytes()
    if fmt == "311":  # signal(5): the two highest bits of each word stay empty
        body = bytes(byte & 0x3F if n % 4 == 3 else byte for n, byte in enumerate(body))
    (folder / "r.dat").write_bytes(body)
    (folder / "r.hea").write_text(f"r 2 360 {length}\nr.dat {fmt} 200(10)/mV 0 0 5 0 0 II\nr.dat {fmt} 150/mV\n")
    _compare(folder)


def _compare(folder: Path) -> None:
    truth = wfdb.rdrecord(str(folder / "r")).p_signal.T.copy()
    ours = read({p.name: p.read_bytes() for p in folder.iterdir()})
    if ours.leads == ("II", "V1"):
        truth[1] /= 1000  # the package leaves microvolts as they are
    assert ours.fs_hz == 360
    assert np.array_equal(np.isnan(ours.samples), np.isnan(truth))
    assert np.nanmax(np.abs(ours.samples - truth)) < 1e-9


def test_a_signal_file_cut_at_any_byte_is_refused() -> None:
    files = write_wfdb(make_ecg(1, seconds=0.1, fs_hz=100), "r")
    for size in range(len(files["r.dat"])):
        with pytest.raises(Unreadable) as refused:
            read(files | {"r.dat": files["r.dat"][:size]})
        assert refused.value.facts["file"] == "r.dat"


def test_bytes_after_the_last_sample_change_nothing() -> None:
    files = write_wfdb(make_ecg(1, seconds=0.1), "r")
    assert np.array_equal(read(files | {"r.dat": files["r.dat"] + b"\0\0"}).samples, read(files).samples)


def test_a_header_cut_at_any_byte_never_misreads() -> None:
    files = write_wfdb(make_ecg(1, seconds=0.1, age_years=51, sex="F"), "r")
    whole = read(files)
    for size in range(len(files["r.hea"])):
        try:
            got = read(files | {"r.hea": files["r.hea"][:size]})
        except Unreadable:
            continue
        assert np.array_equal(got.samples, whole.samples)
        assert got.leads == whole.leads
        assert got.fs_hz == whole.fs_hz
        assert got.age_years in (None, 51)


@pytest.mark.parametrize(
    "name", ["../r.dat", "/etc/passwd", "..\\r.dat", "s3://bucket/r.dat", "http://a/r.dat", "a/../r.dat", "..", ".r"]
)
def test_a_header_that_names_a_path_is_refused(name: str) -> None:
    files = write_wfdb(make_ecg(1, seconds=0.1), "r")
    files["r.hea"] = files["r.hea"].replace(b"r.dat", name.encode())
    with pytest.raises(Unreadable, match="plain file name"):
        read(files | {name: files["r.dat"]})


def test_a_missing_signal_file_is_named_in_both_languages() -> None:
    with pytest.raises(Unreadable) as refused:
        read({"r.hea": write_wfdb(make_ecg(1, seconds=0.1), "r")["r.hea"]})
    assert "“r.dat”" in refused.value.zh
    assert '"r.dat"' in refused.value.en
    assert "Send both together" in refused.value.en


@pytest.mark.parametrize("line", [b"r 65 500 10\n", b"r 0 500 10\n", b"r 1 0 10\n", b"r 12 500 999999999999\n"])
def test_impossible_sizes_are_refused(line: bytes) -> None:
    files = write_wfdb(make_ecg(1, seconds=0.1), "r")
    with pytest.raises(Unreadable):
        read({"r.hea": line + files["r.hea"].split(b"\n", 1)[1], "r.dat": files["r.dat"]})


def test_damaged_samples_are_shown_with_a_warning() -> None:
    files = write_wfdb(make_ecg(1, seconds=0.1), "r")
    damaged = bytearray(files["r.dat"])
    damaged[24] ^= 0x40
    assert [issue.code for issue in read(files | {"r.dat": bytes(damaged)}).issues][:1] == ["checksum"]


def test_names_with_folders_and_other_case_are_found() -> None:
    files = write_wfdb(make_ecg(1, seconds=0.1), "r")
    assert read({"dir/r.hea": files["r.hea"], "C:\\x\\R.DAT": files["r.dat"]}).leads[0] == "I"


def test_gaps_come_back_as_gaps() -> None:
    signal = make_ecg(1, seconds=0.2)
    samples = signal.samples.copy()
    samples[3, 10:20] = np.nan
    back = read(write_wfdb(replace(signal, samples=samples), "r"))
    assert np.array_equal(np.isnan(back.samples), np.isnan(samples))


def test_segments_are_joined_and_gaps_between_them_kept() -> None:
    first, second = make_ecg(1, seconds=1), make_ecg(2, seconds=1)
    files = write_wfdb(first, "a") | write_wfdb(second, "b")
    files["all.hea"] = b"all/3 12 500 1100\na 500\n~ 100\nb 500\n"
    joined = read(files)
    assert joined.samples.shape == (12, 1100)
    assert np.allclose(joined.samples[:, :500], first.samples)
    assert np.isnan(joined.samples[:, 500:600]).all()
    assert np.allclose(joined.samples[:, 600:], second.samples)


def test_a_byte_offset_is_skipped() -> None:
    files = write_wfdb(make_ecg(1, seconds=0.1), "r")
    files["r.hea"] = files["r.hea"].replace(b"r.dat 16 ", b"r.dat 16+24 ")
    assert np.array_equal(
        read({**files, "r.dat": bytes(24) + files["r.dat"]}).samples[0], make_ecg(1, seconds=0.1).samples[0]
    )


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_any_header_is_read_or_refused(junk: bytes) -> None:
    try:
        read_wfdb("r.hea", {"r.hea": b"r 1 500 10\nr.dat 16 " + junk, "r.dat": bytes(40)})
    except Unreadable as refused:
        assert refused.zh
        assert refused.en


def test_the_ludb_record_reads_as_published() -> None:
    folder = outside_data("ecg_formats/ludb_1.hea").parent
    signal = read({p.name: p.read_bytes() for p in folder.glob("ludb_1.*")})
    truth = wfdb.rdrecord(str(folder / "ludb_1")).p_signal.T
    assert signal.leads == ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
    assert np.abs(signal.samples - truth).max() < 1e-9
    assert (signal.age_years, signal.sex, signal.fs_hz) == (51, "F", 500)
    # Its gains stretch every lead to 1 mV, so the limb leads can't agree: a reader must be told.
    assert [issue.code for issue in signal.issues] == ["limb_leads_disagree"]
