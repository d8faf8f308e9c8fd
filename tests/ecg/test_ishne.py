"""ISHNE: what its header says and its samples hold, and what is refused."""

from __future__ import annotations

import random
import struct
from binascii import crc_hqx

import numpy as np
import pytest
import wfdb
from hypothesis import given, settings
from hypothesis import strategies as st

from center.errors import Unreadable
from ecg.formats.ishne import looks_like_ishne, read_ishne
from ecg.signal import DeviceNote
from tests.outside import outside_data

_NUMBERS = {"X": 2, "Y": 3, "Z": 4, "I": 5, "II": 6, "III": 7, "V1": 11, "V5": 15, "ES": 17}


def make_ishne(
    counts: np.ndarray,
    *,
    numbers: tuple[int, ...] = (17, 18, 19),
    step_nv: int | tuple[int, ...] = 2500,
    fs_hz: int = 250,
    variable: bytes = b"",
    size: int | None = None,
    pacemaker: int = 0,
) -> bytes:
    """An ISHNE file of these counts [lead, sample]; size: what it says of the samples a lead."""
    leads = counts.shape[0]
    head = bytearray(522)
    head[:8] = b"ISHNE1.0"
    struct.pack_into("<iiiih", head, 10, len(variable), counts.shape[1] if size is None else size, 522, 522, 1)
    struct.pack_into("<i", head, 22, 522 + len(variable))
    head[28:34], head[68:72], head[108:112] = (
        "小明".encode("gb18030") + b"\0\0",
        "张".encode("gb18030") + b"\0\0",
        b"H-7\0",
    )
    struct.pack_into("<hh3h3h3h3hh", head, 128, 2, 1, 3, 2, 1960, 22, 11, 2026, 23, 11, 2026, 8, 30, 15, leads)
    steps = step_nv if isinstance(step_nv, tuple) else (step_nv,) * 12
    for at, values in ((158, numbers), (206, steps)):
        struct.pack_into("<12h", head, at, *(tuple(values) + (-9,) * 12)[:leads], *(-9,) * (12 - leads))
    struct.pack_into("<h40sh", head, 230, pacemaker, b"Holter 3", fs_hz)
    whole = bytes(head) + variable
    whole = whole[:8] + struct.pack("<H", crc_hqx(whole[10:], 0xFFFF)) + whole[10:]
    return whole + counts.T.astype("<i2").tobytes()


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 3).flatmap(
        lambda n: st.lists(st.lists(st.integers(-32768, 32767), min_size=n, max_size=n), min_size=1, max_size=30)
    ),
    st.integers(1, 32767),
)
def test_counts_come_back_as_millivolts(rows: list[list[int]], step_nv: int) -> None:
    counts = np.array(rows).T
    signal = read_ishne(make_ishne(counts, step_nv=step_nv, variable=b"site 3"))
    assert signal.leads == ("ES", "AS", "AI")[: counts.shape[0]]
    assert np.allclose(signal.samples, counts * step_nv * 1e-6, rtol=1e-12, atol=0)
    assert (signal.fs_hz, signal.step_mv[0]) == (250, pytest.approx(step_nv * 1e-6))


def test_its_header_is_read() -> None:
    signal = read_ishne(make_ishne(np.zeros((2, 5), dtype=int), numbers=(0, 6), pacemaker=3))
    assert signal.leads == ("lead 1", "II")
    assert (signal.patient_name, signal.patient_id, signal.sex) == ("张^小明", "H-7", "F")
    assert (signal.birth_date, signal.recorded_at) == ("19600203", "2026-11-22T08:30:15")
    assert (signal.device, signal.source_format) == ("Holter 3", "ISHNE")
    assert signal.annotations == (DeviceNote("dual chamber unipolar pacemaker"),)


def test_samples_counted_over_all_leads_are_taken_as_such() -> None:
    counts = np.arange(12).reshape(3, 4)
    assert np.array_equal(read_ishne(make_ishne(counts, size=12)).samples, read_ishne(make_ishne(counts)).samples)


def test_the_outside_file_is_the_record_it_was_made_from() -> None:
    folder = outside_data("ecg_formats/ishne_made.ecg").parent
    signal = read_ishne((folder / "ishne_made.ecg").read_bytes())
    record = wfdb.rdrecord(str(folder / "ludb_1"), physical=False)
    assert (signal.fs_hz, signal.samples.shape, signal.issues) == (500, (8, 5000), ())
    for lead, values in zip(signal.leads, signal.samples, strict=True):
        assert np.abs(values * 1000 - record.d_signal[:, record.sig_name.index(lead.casefold())]).max() < 1e-9


def test_an_annotation_file_is_refused_with_what_to_send() -> None:
    content = b"ANN  1.0" + bytes(600)
    assert looks_like_ishne(content)
    with pytest.raises(Unreadable, match="lists beats") as refused:
        read_ishne(content, "a.ann")
    assert "请上传" in refused.value.zh


def test_a_file_cut_at_any_byte_is_refused() -> None:
    content = make_ishne(np.arange(60).reshape(3, 20), variable=b"abc")
    for size in range(len(content)):
        with pytest.raises(Unreadable):
            read_ishne(content[:size])


def test_a_header_whose_checksum_is_wrong_is_refused() -> None:
    content = bytearray(make_ishne(np.arange(60).reshape(3, 20)))
    content[207] ^= 1
    with pytest.raises(Unreadable, match="checksum"):
        read_ishne(bytes(content))


def _checked(head: bytes) -> bytes:
    end = int.from_bytes(head[22:26], "little", signed=True)
    return head[:8] + struct.pack("<H", crc_hqx(head[10:end], 0xFFFF)) + head[10:] if 10 < end <= len(head) else head


@pytest.mark.parametrize(
    ("at", "form", "value"),
    [
        (14, "<i", -1), (14, "<i", 0), (14, "<i", 2**31 - 1), (14, "<i", 21), (22, "<i", 0), (22, "<i", 2**31 - 1),
        (156, "<h", 0), (156, "<h", 13), (156, "<h", -1),
        (272, "<h", 0), (272, "<h", -250), (272, "<h", 10), (272, "<h", 30000),
    ],
)  # fmt: skip
def test_lies_in_the_header_are_refused(at: int, form: str, value: int) -> None:
    content = bytearray(make_ishne(np.arange(60).reshape(3, 20)))
    struct.pack_into(form, content, at, value)
    with pytest.raises(Unreadable):
        read_ishne(_checked(bytes(content)))


def test_damage_with_a_right_checksum_is_read_or_refused() -> None:
    rng = random.Random(1)
    content = make_ishne(np.arange(60).reshape(3, 20))
    for _ in range(2000):
        changed = bytearray(content)
        for _ in range(rng.choice((1, 2, 4))):
            changed[rng.randrange(len(changed))] = rng.randrange(256)
        try:
            read_ishne(_checked(bytes(changed)))
        except Unreadable as refused:
            assert refused.zh
