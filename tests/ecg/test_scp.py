"""SCP-ECG: the truth files and the twin of other formats, property 11, own tables, and damage of every kind."""

from __future__ import annotations

import random
import struct
from binascii import crc_hqx
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from center.errors import Invalid, Unreadable
from ecg.formats.dicom import read_dicom
from ecg.formats.scp import looks_like_scp, read_scp
from ecg.formats.scp_huffman import Code, decode, default_huffman, encode, prepare, read_tables
from ecg.formats.scp_write import record_of, write_scp
from ecg.signal import STANDARD_LEADS, DeviceNote, EcgSignal, Filters
from tests.makers.ecg import EIGHT_LEADS, make_ecg
from tests.outside import outside_data

FLIPS = 1000


# ---- the truth ----


def _truth_mv() -> np.ndarray:
    return np.fromfile(outside_data("ecg_formats/pfe105_reference.dat"), dtype="<i2").reshape(5000, 8).T / 1000


def _file(name: str) -> bytes:
    return outside_data(f"ecg_formats/{name}").read_bytes()


def test_redundancy_reduction_is_undone_to_2_microvolts() -> None:
    signal = read_scp(_file("pfe105_redred.scp"))
    assert signal.leads == EIGHT_LEADS
    assert signal.fs_hz == 500
    assert np.abs(signal.samples - _truth_mv()).max() <= 0.002 + 1e-9


def test_reference_beat_and_bimodal_compression_are_undone_to_10_microvolts_rms() -> None:
    signal = read_scp(_file("pfe105_high.scp"))
    assert (signal.leads, signal.fs_hz, signal.samples.shape) == (EIGHT_LEADS, 500, (8, 5000))
    apart = (signal.samples - _truth_mv()) * 1000
    assert np.sqrt((apart**2).mean()) <= 10
    # The recorder was switched on in its first two samples, which decimation by four has lost.
    assert np.sqrt((apart[:, 12:] ** 2).mean(axis=1)).max() <= 9


def test_the_same_record_in_dicom_agrees_to_the_last_bit() -> None:
    scp, dicom = read_scp(_file("same_record.scp")), read_dicom(_file("same_record.dcm"))
    assert set(scp.leads) == set(dicom.leads) == set(STANDARD_LEADS)
    for lead in STANDARD_LEADS:
        assert np.abs(scp.lead(lead) - dicom.lead(lead)).max() < 1e-9
    assert (scp.fs_hz, scp.patient_id, scp.sex, scp.birth_date) == (500, "SBJ-123", "M", "19530508")
    assert scp.recorded_at == "2002-11-22T09:10:00"
    assert DeviceNote("QRS duration", 120.0, "ms") in scp.annotations


def test_childrens_leads_and_the_devices_own_words_are_read() -> None:
    signal = read_scp(_file("scp_600hz_v3r_v7.scp"))
    assert signal.leads == ("I", "II", "V3R", "V1", "V2", "V4", "V6", "V7")
    assert (signal.fs_hz, signal.samples.shape) == (600, (8, 6000))
    assert signal.filters == Filters(None, 35.0, 50.0)
    texts = [note.text for note in signal.annotations if note.value is None]
    assert "sinusrytm" in texts
    assert any("hjälp" in text for text in texts)  # bytes beyond ASCII that nothing declares
    assert DeviceNote("PR interval", 177.0, "ms") in signal.annotations
    assert any(note.text == "V3R R amplitude" and note.unit == "uV" for note in signal.annotations)


def test_another_makers_form_of_it_is_refused_with_what_to_do() -> None:
    content = _file("healforce_nonconformant.scp")
    assert looks_like_scp(content)
    with pytest.raises(Unreadable, match="Healforce") as refused:
        read_scp(content, "62.SCP")
    assert "请从设备导出" in refused.value.zh


# ---- property 11 ----


@settings(max_examples=60, deadline=None)
@given(
    counts=st.integers(1, 8).flatmap(
        lambda leads: st.lists(
            st.lists(st.integers(-32767, 32767), min_size=leads, max_size=leads), min_size=1, max_size=40
        )
    ),
    step_nv=st.integers(1, 65535),
    fs_hz=st.sampled_from([100.0, 125.0, 250.0, 500.0, 600.0, 1000.0]),
)
def test_what_is_written_comes_back_within_one_count(counts: list[list[int]], step_nv: int, fs_hz: float) -> None:
    samples = np.array(counts, dtype=float).T * step_nv * 1e-6
    samples = samples if np.abs(samples).max(initial=0) < 50 else samples / 50
    leads = EIGHT_LEADS[: samples.shape[0]]
    signal = EcgSignal(leads, samples, fs_hz, step_mv=(step_nv * 1e-6,) * len(leads))
    back = read_scp(write_scp(signal))
    assert (back.leads, back.fs_hz) == (leads, fs_hz)
    assert back.samples.shape == samples.shape
    assert np.abs(back.samples - samples).max() <= back.step_mv[0] * 0.501
    assert back.step_mv[0] <= max(step_nv * 1e-6, np.abs(samples).max() / 32767 + 1e-6) * 1.0001


def test_header_statements_and_order_come_back() -> None:
    signal = replace(
        make_ecg(4, step_mv=0.0025),
        patient_id="P-1", patient_name="张^三", sex="F", birth_date="19651231", age_years=60.0,
        recorded_at="2026-03-11T02:03:11+08:00", filters=Filters(0.05, 150.0, 50.0),
        annotations=(DeviceNote("窦性心律"), DeviceNote("QT interval", 400.0, "ms")),
    )  # fmt: skip
    content = write_scp(signal)
    assert content == write_scp(signal)
    assert looks_like_scp(content)
    back = read_scp(content)
    assert np.allclose(back.samples, signal.samples, rtol=0, atol=1e-9)
    assert (back.leads, back.filters, back.device) == (signal.leads, signal.filters, signal.device)
    assert (back.patient_id, back.patient_name, back.sex) == ("P-1", "张^三", "F")
    assert (back.birth_date, back.age_years, back.recorded_at) == ("19651231", 60.0, "2026-03-11T02:03:11+08:00")
    assert back.annotations == (DeviceNote("窦性心律"), DeviceNote("QT interval: 400 ms"))
    assert read_scp(write_scp(signal, notes=())).annotations == ()


def test_leads_that_begin_later_are_empty_before() -> None:
    samples = make_ecg(1, seconds=1.0, leads=("I", "II")).samples.copy()
    samples[0, :120] = np.nan
    samples[1, 400:] = np.nan
    back = read_scp(write_scp(EcgSignal(("I", "II"), samples, 500.0)))
    assert np.array_equal(np.isnan(back.samples), np.isnan(samples))
    assert np.nanmax(np.abs(back.samples - samples)) <= 0.0005001


@pytest.mark.parametrize(
    "change",
    [
        lambda s: replace(s, leads=("I", "EEG C3")),
        lambda s: replace(s, fs_hz=0.5),
        lambda s: replace(s, fs_hz=7000.0),
        lambda s: replace(s, samples=np.where(np.arange(500) == 100, np.nan, s.samples)),
        lambda s: replace(s, samples=s.samples * 1e5),
        lambda s: replace(s, samples=np.tile(s.samples, 400) + np.arange(200_000) % 7),
    ],
)
def test_what_it_cannot_hold_is_refused_in_both_languages(change: Callable[[EcgSignal], EcgSignal]) -> None:
    with pytest.raises(Invalid) as refused:
        write_scp(change(make_ecg(1, seconds=1.0, leads=("I", "II"))))
    assert refused.value.zh
    assert refused.value.en


# ---- codes ----


@settings(max_examples=100, deadline=None)
@given(st.lists(st.one_of(st.integers(-12, 12), st.integers(-32768, 32767)), min_size=1, max_size=300))
def test_the_default_codes_come_back(values: list[int]) -> None:
    stream = encode(np.array(values))
    found = decode(stream, len(values), default_huffman())
    assert found is not None
    assert found[0].tolist() == values
    assert found[1] == 0
    assert decode(stream[:-1], len(values), default_huffman()) is None


def _table(rows: list[tuple[int, int, int, int, str]]) -> bytes:
    """A table of section 2: (bits of the prefix, of all, 1 value or 0 switch, value, code as digits)."""
    out = struct.pack("<H", len(rows))
    for prefix_bits, bits, is_value, value, code in rows:
        out += struct.pack("<BBBhI", prefix_bits, bits, is_value, value, int(code[::-1], 2))
    return out


_FIRST = [(1, 1, 1, 0, "0"), (2, 2, 1, 1, "10"), (3, 3, 1, -1, "110"), (4, 12, 1, 0, "1110"), (4, 4, 0, 2, "1111")]
_SECOND = [(1, 17, 1, 0, "0"), (1, 1, 0, 1, "1")]


def _own_codes(values: list[int]) -> str:
    """Bits by ``_FIRST``, and by ``_SECOND`` for what 8 bits don't hold."""
    short = {0: "0", 1: "10", -1: "110"}
    out = ""
    for value in values:
        if value in short:
            out += short[value]
        elif -128 <= value < 128:
            out += "1110" + format(value & 0xFF, "08b")
        else:
            out += "1111" + "0" + format(value & 0xFFFF, "016b") + "1"
    return out


def _bytes(bits: str) -> bytes:
    whole = bits.ljust(-(-len(bits) // 8) * 8, "0")
    return int(whole, 2).to_bytes(len(whole) // 8, "big")


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(st.integers(-2, 2), st.integers(-32768, 32767)), min_size=1, max_size=200))
def test_a_files_own_tables_and_their_switches_are_followed(values: list[int]) -> None:
    huffman = read_tables(struct.pack("<H", 2) + _table(_FIRST) + _table(_SECOND), "x")
    stream = _bytes(_own_codes(values))
    found = decode(stream, len(values), huffman)
    assert found is not None
    assert found[0].tolist() == values


def test_a_record_with_own_tables_reads_as_the_one_with_the_default_table() -> None:
    counts = np.rint(make_ecg(2, seconds=1.0, leads=("I", "II")).samples * 1000).astype(int)
    streams = [_bytes(_own_codes([int(row[0]), *np.diff(row).tolist()])) for row in counts]
    tables = struct.pack("<H", 2) + _table(_FIRST) + _table(_SECOND)
    signal = read_scp(record_of({2: tables, 3: _leads(2, 500), 6: _section_6(1000, 2000, 1, 0, streams)}))
    assert np.array_equal(np.rint(signal.samples * 1000), counts)


def test_a_record_without_tables_holds_plain_numbers() -> None:
    counts = np.arange(-20, 20).reshape(2, 20) * 5
    streams = [row.astype("<i2").tobytes() for row in counts]
    signal = read_scp(record_of({3: _leads(2, 20), 6: _section_6(2500, 4000, 0, 0, streams)}))
    assert signal.fs_hz == 250
    assert np.allclose(signal.samples, counts * 0.0025)


@pytest.mark.parametrize(
    "body",
    [
        b"", b"\x00\x00", struct.pack("<H", 65), struct.pack("<H", 1) + b"\x05\x00",
        struct.pack("<H", 1) + _table([(1, 1, 1, 0, "0"), (2, 2, 1, 1, "01")]),  # one begins as the other
        struct.pack("<H", 1) + _table([(0, 0, 1, 0, "0")]),
        struct.pack("<H", 1) + _table([(1, 200, 1, 0, "0")]),
        struct.pack("<H", 1) + _table([(1, 1, 0, 9, "0")]),
    ],
)  # fmt: skip
def test_tables_that_cannot_be_are_refused(body: bytes) -> None:
    with pytest.raises(Unreadable, match="Huffman"):
        read_tables(body, "x")


def test_a_switch_to_the_same_table_stands_for_no_value() -> None:
    rows = [(1, 1, 1, 7, "0"), (2, 2, 0, 1, "10"), (2, 22, 1, 0, "11")]
    huffman = read_tables(struct.pack("<H", 1) + _table(rows), "x")
    values = "0" + "10" * 9 + "11" + format(123456, "020b") + "10" + "0" * 20
    found = decode(_bytes(values * 5), 110, huffman)
    assert found is not None
    assert found[0].tolist() == [7, 123456, *[7] * 20] * 5


def test_tables_that_switch_for_ever_end_with_the_stream() -> None:
    tables = prepare(((Code(0, 1, goes_to=1),), (Code(0, 1, goes_to=0),)), "x")
    assert decode(bytes(60000), 1, tables) is None


# ---- compression, made here ----


def _leads(count: int, samples: int, flags: int = 4) -> bytes:
    rows = b"".join(struct.pack("<IIB", 1, samples, n + 1) for n in range(count))
    return bytes((count, flags | count << 3 & 0xFF)) + rows


def _section_6(step_nv: int, interval_us: int, order: int, bimodal: int, streams: list[bytes]) -> bytes:
    sizes = struct.pack(f"<{len(streams)}H", *map(len, streams))
    return struct.pack("<HHBB", step_nv, interval_us, order, bimodal) + sizes + b"".join(streams)


def _compressed(*, bimodal: bool, order: int) -> tuple[bytes, np.ndarray]:
    """A record of one lead with three beats, and its mV: flat in steps of four outside the QRS, so nothing is lost."""
    rng = np.random.default_rng(5)
    beat = np.concatenate([np.zeros(20), 400 * np.hanning(20), np.zeros(20)]).round().astype(int)
    at, samples = (100, 300, 480), 601
    residual = np.repeat(np.cumsum(rng.integers(-1, 2, 151)), 4)[:samples] * 2
    whole = residual.copy()
    zones = [(n - 15, n + 16) for n in at]  # sample numbers from 0
    for low, high in zones:
        whole[low : high + 1] = residual[low : high + 1] = rng.integers(-3, 4, high - low + 1)
    for n in at:
        whole[n - 30 : n + 30] += beat
    stored: list[int] = []
    begin = 0
    for low, high in [*zones, (samples, samples - 1)]:
        run = residual[begin:low]
        groups = (
            [run[n : n + 4] for n in range(0, run.size, 4)] if bimodal else [run[n : n + 1] for n in range(run.size)]
        )
        stored += [round(float(group.mean())) for group in groups]
        whole[begin:low] += np.repeat([round(float(g.mean())) for g in groups], [g.size for g in groups]) - run
        stored += residual[low : high + 1].tolist()
        begin = high + 1
    zone_list = struct.pack("<HHH", 120, 31, 3)
    zone_list += b"".join(struct.pack("<HIII", 0, n - 29, n + 1, n + 30) for n in at)
    zone_list += b"".join(struct.pack("<II", low + 1, high + 1) for low, high in zones)
    rhythm = _section_6(
        5000, 8000 if bimodal else 2000, order, bimodal, [encode(_differences(np.array(stored), order))]
    )
    sections = {
        2: struct.pack("<H", 19999),
        3: _leads(1, samples, flags=5),
        4: zone_list,
        5: _section_6(5000, 2000, 2, 0, [encode(_differences(beat, 2))]),
        6: rhythm,
    }
    return record_of(sections), whole * 0.005


def _differences(values: np.ndarray, order: int) -> np.ndarray:
    return np.concatenate([values[:order], np.diff(values, order)])


@pytest.mark.parametrize("order", [0, 1, 2])
def test_a_reference_beat_is_added_where_it_was_subtracted(order: int) -> None:
    content, mv = _compressed(bimodal=False, order=order)
    signal = read_scp(content)
    assert signal.fs_hz == 500
    assert np.abs(signal.samples[0] - mv).max() < 1e-9


@pytest.mark.parametrize("order", [0, 1, 2])
def test_bimodal_values_stand_for_the_mean_of_four_and_qrs_samples_for_themselves(order: int) -> None:
    content, mv = _compressed(bimodal=True, order=order)
    signal = read_scp(content)
    assert signal.samples.shape == (1, 601)
    assert signal.fs_hz == 500
    for n in (100, 300, 480):
        assert np.abs(signal.samples[0, n - 15 : n + 17] - mv[n - 15 : n + 17]).max() < 1e-9
    assert np.allclose(signal.samples[0, :84].reshape(-1, 4).mean(axis=1), mv[:84].reshape(-1, 4).mean(axis=1))
    assert np.abs(signal.samples[0] - mv).max() <= 0.02  # the steps of the residual, drawn as lines


@pytest.mark.parametrize("missing", [4, 5])
def test_a_compressed_record_without_its_beat_is_refused(missing: int) -> None:
    content, _ = _compressed(bimodal=True, order=2)
    with pytest.raises(Unreadable, match="reference beat"):
        read_scp(_without(content, missing))


def _without(content: bytes, number: int) -> bytes:
    changed = bytearray(content)
    for at in range(22, 6 + int.from_bytes(content[10:14], "little"), 10):
        if int.from_bytes(content[at : at + 2], "little") == number:
            changed[at + 2 : at + 10] = bytes(8)
    return _with_checksums(bytes(changed))


# ---- damage ----


def _with_checksums(content: bytes) -> bytes:
    """The same with every checksum that can be computed, so that what is damaged is met beyond them."""
    out = bytearray(content)
    size = min(len(out), int.from_bytes(out[2:6], "little"))
    length = min(int.from_bytes(out[10:14], "little"), len(out) - 6)

    def fix(at: int, count: int) -> None:
        if 2 <= count <= size - at and at >= 0:
            out[at : at + 2] = struct.pack("<H", crc_hqx(bytes(out[at + 2 : at + count]), 0xFFFF))

    for at in range(22, 6 + length - 9, 10):
        number, count, begins = struct.unpack_from("<HII", out, at)
        if number and count:
            fix(begins - 1, count)
    fix(6, length)
    fix(0, size)
    return bytes(out)


def _small() -> bytes:
    return write_scp(replace(make_ecg(1, seconds=0.1, leads=("I", "II")), annotations=(DeviceNote("SINUS"),)))


def test_a_record_cut_at_any_byte_is_refused() -> None:
    content = _small()
    read_scp(content)
    for size in range(len(content)):
        with pytest.raises(Unreadable):
            read_scp(content[:size])


def test_any_changed_byte_is_noticed_by_the_checksums() -> None:
    content = _small()
    for at in range(len(content)):
        changed = bytearray(content)
        changed[at] ^= 0x10
        with pytest.raises(Unreadable):
            read_scp(bytes(changed))


@pytest.mark.parametrize("number", [0, 1, 2, 3, 6, 8])
def test_a_section_whose_checksum_is_not_its_own_is_refused_by_name(number: int) -> None:
    content = bytearray(_small())
    at = 6 if number == 0 else int.from_bytes(content[22 + 10 * number + 6 : 22 + 10 * number + 10], "little") - 1
    content[at] ^= 1
    content[:2] = struct.pack("<H", crc_hqx(bytes(content[2:]), 0xFFFF))
    with pytest.raises(Unreadable, match=f"checksum of section {number}"):
        read_scp(bytes(content))


def _random_damage(content: bytes, rng: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 4))):
        at, width = rng.randrange(len(changed)), rng.choice((1, 1, 2, 4))
        changed[at : at + width] = bytes(rng.choice((0, 255, 127, 128, rng.randrange(256))) for _ in range(width))
    return _with_checksums(bytes(changed[: len(content)]))


def test_damage_with_right_checksums_is_read_or_refused_and_never_more() -> None:
    rng = random.Random(3)
    sources = [_small(), _compressed(bimodal=True, order=2)[0]]
    for n in range(FLIPS):
        try:
            read_scp(_random_damage(sources[n % 2], rng))
        except Unreadable as refused:
            assert refused.zh


@pytest.mark.parametrize(
    ("at", "value"),
    [(2, 0xFFFFFFFF), (6, 0xFFFFFFFF), (6, 1_000_000)],
)
def test_a_lead_of_four_thousand_million_samples_is_refused(at: int, value: int) -> None:
    leads = bytearray(_leads(2, 500))
    leads[at : at + 4] = struct.pack("<I", value)
    streams = [encode(np.zeros(500, dtype=np.int64))] * 2
    with pytest.raises(Unreadable):
        read_scp(record_of({2: struct.pack("<H", 19999), 3: bytes(leads), 6: _section_6(1000, 2000, 2, 0, streams)}))


@pytest.mark.parametrize(
    ("step_nv", "interval_us", "order"), [(0, 2000, 2), (1000, 0, 2), (1000, 2000, 3), (1000, 50, 2), (1000, 60000, 0)]
)
def test_steps_rates_and_orders_out_of_range_are_refused(step_nv: int, interval_us: int, order: int) -> None:
    streams = [encode(np.zeros(500, dtype=np.int64))] * 2
    sections = {2: struct.pack("<H", 19999), 3: _leads(2, 500), 6: _section_6(step_nv, interval_us, order, 0, streams)}
    with pytest.raises(Unreadable):
        read_scp(record_of(sections))


def test_data_beyond_the_declared_samples_are_not_dropped_silently() -> None:
    streams = [encode(np.ones(500, dtype=np.int64))] * 2
    sections = {2: struct.pack("<H", 19999), 3: _leads(2, 400), 6: _section_6(1000, 2000, 1, 0, streams)}
    with pytest.raises(Unreadable, match="400 values"):
        read_scp(record_of(sections))
