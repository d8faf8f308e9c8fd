"""MFER, by its published text: files made here, one definition after the other."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from center.errors import Unreadable
from ecg.formats.mfer import Tag, looks_like_mfer, read_mfer
from ecg.signal import DeviceNote, Filters


def definition(tag: int, value: bytes = b"") -> bytes:
    size = len(value)
    return bytes([tag]) + (bytes([size]) if size < 128 else b"\x84" + size.to_bytes(4, "big")) + value


def of_channel(number: int, *definitions: bytes, is_open: bool = False) -> bytes:
    body = b"".join(definitions)
    return b"\x3f" + bytes([number]) + (b"\x80" + body + b"\0\0" if is_open else definition(0, body)[1:])


def make_mfer(
    counts: np.ndarray,
    *,
    leads: tuple[int, ...] = (1, 2, 3),
    block: int = 4,
    order: str = "<",
    kind: int = 1,
    extra: bytes = b"",
    waveform: bytes | None = None,
    interval: bytes = b"\x01\xfd\x02",
    end: bytes = b"\x80",
) -> bytes:
    """counts [channel, sample] as int16 in blocks; 500 Hz, 5 uV a count."""
    size = "little" if order == "<" else "big"
    channels, samples = counts.shape
    out = definition(Tag.PREAMBLE, b"MFR Standard 12 leads ECG".ljust(32)) + definition(
        Tag.BYTE_ORDER, bytes([order == "<"])
    )
    out += definition(Tag.CHARACTERS, b"UTF-8") + definition(Tag.KIND, kind.to_bytes(2, size))
    out += definition(Tag.INTERVAL, interval) + definition(Tag.SENSITIVITY, b"\x00\xfa\x05")
    out += definition(Tag.CHANNELS, bytes([channels])) + definition(Tag.BLOCK, block.to_bytes(2, size))
    out += definition(Tag.SEQUENCES, (samples // block).to_bytes(2, size))
    for n in range(channels):
        out += of_channel(n, definition(Tag.LEAD, leads[n].to_bytes(2, size)), is_open=n % 2 == 1)
    rows = counts.reshape(channels, -1, block).transpose(1, 0, 2).astype(order + "i2").tobytes()
    return out + extra + definition(Tag.WAVEFORM, rows if waveform is None else waveform) + end


_COUNTS = np.arange(36).reshape(3, 12) * 50 - 800


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 3), st.integers(1, 6), st.sampled_from([1, 2, 3]), st.sampled_from("<>"), st.integers(0, 999))
def test_blocks_of_channels_come_back(channels: int, sequences: int, block: int, order: str, seed: int) -> None:
    counts = np.random.default_rng(seed).integers(-32768, 32768, (channels, sequences * block))
    signal = read_mfer(make_mfer(counts // 4, block=block, order=order))
    assert signal.leads == ("I", "II", "V1")[:channels]
    assert signal.fs_hz == 500
    assert np.allclose(signal.samples, counts // 4 * 0.005, rtol=1e-12, atol=0)


def test_it_says_that_it_is_unproven() -> None:
    content = make_mfer(_COUNTS)
    assert looks_like_mfer(content)
    assert [issue.code for issue in read_mfer(content).issues] == ["unproven_format"]


def test_what_else_it_says_is_read() -> None:
    extra = definition(Tag.NAME, "王^小".encode()) + definition(Tag.PATIENT_ID, b"P-3") + definition(Tag.SEX, b"\x02")
    extra += definition(Tag.AGE, bytes([63, 0, 0, 0xA7, 7, 3, 4])) + definition(
        Tag.TIME, bytes([0xEA, 7, 3, 4, 5, 6, 7])
    )
    extra += (
        definition(Tag.FILTER, b"HPF=0.05")
        + definition(Tag.FILTER, b"BEF=50^Hum")
        + definition(Tag.MAKER, b"Maker^M1^1.0")
    )
    extra += definition(Tag.NOTE, "窦性心律".encode()) + definition(Tag.NULL, (-800).to_bytes(2, "little", signed=True))
    signal = read_mfer(make_mfer(_COUNTS, extra=extra))
    assert (signal.patient_name, signal.patient_id, signal.sex, signal.age_years) == ("王^小", "P-3", "F", 63.0)
    assert (signal.birth_date, signal.recorded_at) == ("19590304", "2026-03-04T05:06:07")
    assert (signal.filters, signal.device) == (Filters(0.05, None, 50.0), "Maker M1")
    assert signal.annotations == (DeviceNote("窦性心律"),)
    assert np.isnan(signal.samples[0, 0])
    assert np.isfinite(signal.samples).sum() == 35


def test_a_rate_in_hertz_is_one_too() -> None:
    assert read_mfer(make_mfer(_COUNTS, interval=b"\x00\x00\xfa\x00")).fs_hz == 250


def test_an_eeg_is_kept_and_said_to_be_no_ecg() -> None:
    signal = read_mfer(make_mfer(_COUNTS, kind=40, leads=(1000, 1001, 1002)))
    assert [issue.code for issue in signal.issues] == ["unproven_format", "not_an_ecg"]


@pytest.mark.parametrize(
    "content",
    [
        make_mfer(_COUNTS, waveform=b"\0" * 70),
        make_mfer(_COUNTS, waveform=b""),
        make_mfer(_COUNTS, interval=b"\x01\xfd\x00"),
        make_mfer(_COUNTS, interval=b"\x07\xfd\x02"),
        make_mfer(_COUNTS, interval=b"\x01\x7f\x02"),
        make_mfer(_COUNTS, interval=b""),
        make_mfer(_COUNTS, extra=definition(Tag.COMPRESSION, b"\x01\x00")),
        make_mfer(_COUNTS, extra=definition(Tag.TYPE, b"\x09")),
        make_mfer(_COUNTS, extra=definition(Tag.BLOCK, b"\xff\xff\xff\xff")),
        make_mfer(_COUNTS, extra=definition(Tag.SEQUENCES, b"\xff\xff\xff\xff")),
        make_mfer(_COUNTS, extra=definition(Tag.CHANNELS, b"\xff\xff\xff\xff")),
        make_mfer(_COUNTS, extra=definition(Tag.CHANNELS, b"\x00")),
        make_mfer(_COUNTS, extra=b"\x16\x84\xff\xff\xff\xff"),
        make_mfer(_COUNTS, extra=b"\x67\x80" * 5000),
        make_mfer(_COUNTS, extra=definition(Tag.GROUP, definition(Tag.GROUP, b"\x67\x80"))),
        make_mfer(_COUNTS, extra=b"\x3f\xff\xff\xff\xff\x00"),
        definition(Tag.PREAMBLE, b"MFR ".ljust(32)) + b"\x80",
    ],
)
def test_lies_are_refused(content: bytes) -> None:
    with pytest.raises(Unreadable) as refused:
        read_mfer(content)
    assert refused.value.zh


def test_a_file_cut_at_any_byte_is_refused_or_complete() -> None:
    content = make_mfer(_COUNTS)
    whole = read_mfer(content)
    for size in range(len(content)):
        try:
            got = read_mfer(content[:size])
        except Unreadable:
            continue
        assert np.array_equal(got.samples, whole.samples)


def test_of_a_file_in_parts_none_goes_missing() -> None:
    content = make_mfer(_COUNTS, end=b"")
    waveform = content[content.rindex(b"\x1e\x48") :]
    assert read_mfer(content + waveform + b"\x80").samples.shape == (3, 24)
    with pytest.raises(Unreadable):
        read_mfer(content + waveform)  # without the mark of its end there might have been more


def test_damage_is_read_or_refused() -> None:
    rng = random.Random(4)
    content = make_mfer(_COUNTS)
    for _ in range(2000):
        changed = bytearray(content)
        for _ in range(rng.choice((1, 2, 4))):
            changed[rng.randrange(len(changed))] = rng.choice((0, 127, 128, 255, rng.randrange(256)))
        try:
            read_mfer(bytes(changed))
        except Unreadable as refused:
            assert refused.en
