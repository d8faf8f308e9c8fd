"""EDF and BDF, plain and plus: beside the edfio package, with gaps, mixed rates and 24 bits, and damage."""

from __future__ import annotations

import random
from pathlib import Path

import edfio
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from center.errors import Unreadable
from ecg.formats.edf import looks_like_edf, open_edf, read_edf
from ecg.formats.kinds import is_heart, lead_name
from tests.makers.edf import Made, make_edf
from tests.outside import outside_data


def _counts(records: int, samples: int, seed: int = 0, limit: int = 30000) -> np.ndarray:
    return np.random.default_rng(seed).integers(-limit, limit, (records, samples))


# ---- beside edfio ----


@pytest.mark.parametrize(("name", "other"), [("psg_short.edf", edfio.read_edf), ("psg_short.bdf", edfio.read_bdf)])
def test_the_outside_files_read_as_edfio_reads_them(name: str, other: object) -> None:
    path = outside_data(f"ecg_formats/{name}")
    signal = read_edf(path.read_bytes())
    truth = {s.label: s.data / 1000 for s in other(path).signals}  # pyright: ignore[reportCallIssue]
    assert signal.leads == ("EEG Fpz-Cz", "EEG Pz-Oz", "EOG horizontal", "EMG submental")
    assert (signal.fs_hz, signal.recorded_at, signal.sex) == (100, "1989-04-24T16:13:00", "F")
    for lead, values in zip(signal.leads, signal.samples, strict=True):
        assert np.abs(values[:: values.size // truth[lead].size] - truth[lead]).max() < 1e-12
    assert [issue.code for issue in signal.issues] == ["not_an_ecg", "held", "channel_left_out"]
    assert "Temp rectal" in signal.issues[2].en


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 4), st.sampled_from([2, 3]))
def test_a_made_file_reads_as_edfio_reads_it(seed: int, records: int, width: int) -> None:
    limit = 30000 if width == 2 else 8_000_000
    signals = [
        Made("ECG II", _counts(records, 25, seed, limit)),
        Made("V1", _counts(records, 25, seed + 1, limit), "mV"),
    ]
    content = make_edf(signals, width=width, patient="X X X X", record_s="0.1")
    truth = (edfio.read_edf if width == 2 else edfio.read_bdf)(content)
    signal = read_edf(content)
    assert signal.leads == ("II", "V1")
    assert np.allclose(signal.samples[0], truth.signals[0].data / 1000, rtol=1e-9, atol=1e-12)
    assert np.allclose(signal.samples[1], truth.signals[1].data, rtol=1e-9, atol=1e-12)


# ---- what it holds ----


def test_its_header_is_read() -> None:
    signal = read_edf(make_edf([Made("EKG II", _counts(2, 250))], kind="EDF+C", notes=["+0\x14\x14\0", "+1\x14\x14\0"]))
    assert (signal.patient_id, signal.patient_name, signal.sex, signal.birth_date) == ("H-7", "张 三", "F", "19600203")
    assert (signal.recorded_at, signal.accession_number, signal.device) == ("2026-11-22T08:30:15", "A-9", "Recorder 3")
    assert (signal.filters.high_pass_hz, signal.filters.low_pass_hz, signal.filters.notch_hz) == (0.05, 150, 50)
    assert (signal.leads, signal.source_format, signal.issues) == (("II",), "EDF+", ())


def test_annotations_are_kept_with_their_times() -> None:
    notes = ["+0\x14\x14\0+0.5\x152\x14AF\x14pause\x14\0", "+1\x14\x14\0+1.25\x14早搏\x14\0"]
    signal = read_edf(make_edf([Made("II", _counts(2, 250))], kind="EDF+C", notes=notes))
    assert [note.text for note in signal.annotations] == ["0.5 s: AF (2 s)", "0.5 s: pause (2 s)", "1.25 s: 早搏"]


@pytest.mark.parametrize("width", [2, 3])
def test_gaps_of_a_discontinuous_file_are_empty(width: int) -> None:
    counts = _counts(3, 100)
    notes = ["+5\x14\x14\0", "+6\x14\x14\0", "+9.5\x14\x14\0"]
    kind = "EDF+D" if width == 2 else "BDF+D"
    signal = read_edf(make_edf([Made("II", counts)], kind=kind, notes=notes, width=width))
    plain = read_edf(make_edf([Made("II", counts)], width=width))
    assert signal.samples.shape == (1, 550)
    assert np.array_equal(signal.samples[0, :200], plain.samples[0, :200])
    assert np.isnan(signal.samples[0, 200:450]).all()
    assert np.array_equal(signal.samples[0, 450:], plain.samples[0, 200:])
    assert [issue.code for issue in signal.issues] == ["gaps"]


@pytest.mark.parametrize(
    "notes", [["+5\x14\x14\0", "+5.5\x14\x14\0"], ["+5\x14\x14\0", "+1\x14\x14\0"], ["+5\x14\x14\0", "x"]]
)
def test_records_without_a_time_or_out_of_time_are_refused(notes: list[str]) -> None:
    with pytest.raises(Unreadable):
        read_edf(make_edf([Made("II", _counts(2, 100))], kind="EDF+D", notes=notes))


@pytest.mark.parametrize("samples", [5, 20000])
def test_a_rate_that_no_electrocardiograph_has_is_refused(samples: int) -> None:
    with pytest.raises(Unreadable, match="out of range"):
        read_edf(make_edf([Made("ECG II", _counts(1, samples))]))


def test_a_gap_of_years_is_refused_and_not_filled() -> None:
    notes = ["+0\x14\x14\0", "+999999999999\x14\x14\0"]
    with pytest.raises(Unreadable, match="impossible length"):
        read_edf(make_edf([Made("II", _counts(2, 100))], kind="EDF+D", notes=notes))


def test_the_rate_is_that_of_the_ecg_and_slower_voltages_are_held() -> None:
    eeg, ecg, slow = _counts(2, 512, 1), _counts(2, 256, 2), _counts(2, 64, 3)
    pulse = Made("Pleth", _counts(2, 256, 4), "%")
    signal = read_edf(make_edf([Made("EEG C3-A2", eeg), Made("ECG", ecg), Made("EMG Chin", slow), pulse]))
    assert (signal.leads, signal.fs_hz) == (("ECG", "EMG Chin"), 256)
    assert np.allclose(signal.samples[0], ecg.reshape(-1) * 1e-4, atol=1e-7)
    assert np.allclose(signal.samples[1], np.repeat(slow.reshape(-1), 4) * 1e-4, atol=1e-7)
    assert [issue.code for issue in signal.issues] == ["held", "channel_left_out"]
    assert "EEG C3-A2" in signal.issues[1].zh


@pytest.mark.parametrize("labels", [("CH1", "CH2"), ("Fp1-A2", "O2")])
def test_what_is_not_called_a_lead_is_none(labels: tuple[str, ...]) -> None:
    signal = read_edf(make_edf([Made(label, _counts(1, 250)) for label in labels]))
    assert [issue.code for issue in signal.issues] == ["not_an_ecg"]


@pytest.mark.parametrize(
    ("label", "name"),
    [("ECG II", "II"), ("EKG", "ECG"), ("ekg v1", "V1"), ("ECG Lead aVF", "aVF"), ("ECG1", "ECG1"), ("ECG LA-RA", "ECG LA-RA")],
)  # fmt: skip
def test_ecg_labels_are_leads(label: str, name: str) -> None:
    assert lead_name(label) == name
    assert is_heart(name)


def test_a_recorder_that_was_cut_short_is_read_to_its_last_whole_record_and_says_so() -> None:
    content = make_edf([Made("II", _counts(3, 100))], records=-1)
    assert [issue.code for issue in read_edf(content).issues] == ["not_closed"]
    with pytest.raises(Unreadable):
        read_edf(content[:-1])


@pytest.mark.parametrize(
    ("at", "field"),
    [(104, "nan"), (104, "inf"), (104, "3276.7"), (120, "32767"), (128, "99999")],
)
def test_a_signal_whose_limits_make_no_scale_is_left_out(at: int, field: str) -> None:
    content = bytearray(_small())
    content[256 + 2 * at : 256 + 2 * at + 8] = field.encode().ljust(8)
    signal = read_edf(bytes(content))
    assert (signal.leads, [issue.code for issue in signal.issues]) == (("V1",), ["lead_left_out"])


# ---- damage ----


def _small(width: int = 2) -> bytes:
    return make_edf([Made("II", _counts(2, 20)), Made("V1", _counts(2, 20))], width=width, record_s="0.1")


@pytest.mark.parametrize("width", [2, 3])
def test_a_file_cut_at_any_byte_is_refused(width: int) -> None:
    content = _small(width)
    assert looks_like_edf(content)
    for size in range(len(content)):
        with pytest.raises(Unreadable):
            read_edf(content[:size])


@pytest.mark.parametrize(
    ("at", "field"),
    [
        (236, "0"), (236, "3"), (236, "99999999"), (236, "1e3"), (244, "0"), (244, "-1"), (244, "nan"), (244, "1e-9"),
        (252, "0"), (252, "9999"), (184, "512"), (256 + 2 * 96, "x"), (256 + 2 * 216, "0"),
        (256 + 2 * 216, "-20"), (256 + 2 * 216, "99999999"),
    ],
)  # fmt: skip
def test_lies_in_the_header_are_refused(at: int, field: str) -> None:
    content = _small()
    size = 4 if at == 252 else 8
    changed = content[:at] + field.encode().ljust(size) + content[at + size :]
    if at == 256 + 2 * 96:  # the first signal is no voltage then, which is no lie
        assert read_edf(changed).leads == ("V1",)
        return
    with pytest.raises(Unreadable):
        read_edf(changed)


def test_damage_is_read_or_refused() -> None:
    rng = random.Random(2)
    notes = ["+0\x14\x14\0+0.5\x152\x14AF\x14\0", "+3\x14\x14\0"]
    sources = [_small(), _small(3), make_edf([Made("II", _counts(2, 20))], kind="EDF+D", notes=notes, record_s="0.1")]
    for n in range(2000):
        changed = bytearray(sources[n % 3])
        for _ in range(rng.choice((1, 2, 4))):
            changed[rng.randrange(len(changed))] = rng.choice((0, 32, 48, 57, 255, rng.randrange(256)))
        try:
            signal = read_edf(bytes(changed))
        except Unreadable as refused:
            assert refused.zh
        else:
            assert np.isfinite(signal.samples).any()


def test_blocks_are_the_whole(tmp_path: Path) -> None:
    notes = ["+0\x14\x14\0", "+1\x14\x14\0", "+7\x14\x14\0", "+8\x14\x14\0"]
    signals = [Made("II", _counts(4, 100)), Made("EMG", _counts(4, 50, 1))]
    long = open_edf(make_edf(signals, kind="EDF+D", notes=notes))
    whole = long.whole("x").samples
    for start, stop in [(0, 0), (0, 900), (99, 101), (150, 750), (300, 400), (899, 900), (700, 900)]:
        assert np.array_equal(long.block(start, stop), whole[:, start:stop], equal_nan=True)
