"""Philips Sierra files: XLI unpacked to the last count, derived leads put together, the calibration pulse cut off."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from center.errors import Unreadable
from ecg.formats.philips import read_philips
from ecg.formats.recognise import read
from ecg.formats.xli import unpack_chunks
from ecg.signal import DeviceNote, EcgSignal, derived_limb_leads
from tests.makers.ecg import make_ecg
from tests.makers.ecg_xml import counts_of, make_philips, pack_xli
from tests.outside import outside_data

STEP_MV = 5e-3


def _same(found: EcgSignal, made: EcgSignal, step_mv: float = STEP_MV) -> bool:
    return np.array_equal(np.rint(found.samples / step_mv), counts_of(made, step_mv))


@pytest.mark.parametrize(
    ("name", "samples", "rate", "note"),
    [
        ("philips_1_03.xml", 5264, 41, "Sinus bradycardia, rate< 50"),
        ("philips_1_04_demo.xml", 5300, 84, "SINUS RHYTHM, normal P axis, V-rate 60-99"),
        ("philips_1_04_01.xml", 5300, 64, "Sinus rhythm, normal P axis, V-rate 50-99"),
    ],
)
def test_the_sample_files_are_whole_obey_the_limb_laws_and_have_no_pulse(
    name: str, samples: int, rate: int, note: str
) -> None:
    found = read({name: (outside_data("ecg_formats") / name).read_bytes()})
    assert found.is_twelve_lead
    assert (found.fs_hz, found.samples.shape[1]) == (500.0, samples)
    assert found.step_mv == (STEP_MV,) * 12
    assert DeviceNote(note) in found.annotations
    assert DeviceNote("Heart rate", float(rate), "/min") in found.annotations
    assert [issue.code for issue in found.issues] == ["calibration_pulse_removed"]
    for lead, values in derived_limb_leads(found.lead("I"), found.lead("II")).items():
        assert np.abs(found.lead(lead) - values).max() <= 2 * STEP_MV + 1e-9, lead
    assert not (found.samples[:, -250:] == 1.0).all(axis=0).any()


@pytest.mark.parametrize("name", ["philips_1_04_demo.xml", "philips_1_04_01.xml"])
def test_the_leads_are_as_high_as_the_device_measured_them(name: str) -> None:
    """The device's own peak-to-peak of the QRS in each lead, uV, beside that of what was read."""
    content = (outside_data("ecg_formats") / name).read_bytes()
    found = read_philips(content)
    text = content.decode("utf-16")
    for lead in found.leads:
        at = text.index(f'<leadmeasurement leadname="{lead}"')
        told_uv = float(text[text.index("<qrsppk>", at) + 8 : text.index("</qrsppk>", at)])
        spread_uv = 1000 * float(np.quantile(found.lead(lead), 0.999) - np.quantile(found.lead(lead), 0.001))
        assert 0.7 * told_uv - 60 <= spread_uv <= 1.5 * told_uv + 250, lead


@pytest.mark.parametrize("version", ["1.03", "1.04", "1.04.01"])
@pytest.mark.parametrize("encoding", ["utf-16", "utf-8"])
def test_made_files_come_back_to_the_count(version: str, encoding: str) -> None:
    made = make_ecg(3, seconds=3, wander_mv=0.2)
    found = read({"x": make_philips(made, version=version, encoding=encoding)})
    assert _same(found, made)
    assert (found.patient_name, found.sex, found.age_years) == ("Li^Si", "M", 44.0)
    assert found.recorded_at == "2020-05-18T15:48:11"


def test_other_steps_and_rates_are_taken_from_the_file() -> None:
    made = make_ecg(4, seconds=2, fs_hz=1000)
    found = read_philips(make_philips(made, 2.5))
    assert (found.fs_hz, found.step_mv[0]) == (1000.0, 2.5e-3)
    assert _same(found, made, 2.5e-3)


def test_a_file_without_the_pulse_loses_nothing() -> None:
    made = make_ecg(5, seconds=2)
    found = read_philips(make_philips(made, pulse=False))
    assert found.issues == ()
    assert _same(found, made)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(-3000, 3000), min_size=3, max_size=400), st.integers(1, 3))
def test_packed_channels_come_back(values: list[int], copies: int) -> None:
    row = np.array(values, dtype=np.int64)
    found = unpack_chunks(pack_xli([row] * copies), copies, 10_000)
    assert all(np.array_equal(channel, row) for channel in found)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_are_channels_or_a_value_error(junk: bytes) -> None:
    for content in (junk, len(junk).to_bytes(4, "little") + b"\x01\x00\x00\x00" + junk):
        try:
            assert all(channel.size <= 5000 for channel in unpack_chunks(content, 4, 5000))
        except ValueError:
            pass


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('compression="XLI"', 'compression="ZIP"', "not readable"),
        ('durationperchannel="', 'durationperchannel="1', "damaged or incomplete"),
        ('samplespersecond="500"', 'samplespersecond="20000"', "damaged|out of range"),
        ('resolution="5"', 'resolution="500000"', "gain is wrong"),
        ("parsedwaveforms", "otherwaves", "no readable waveform"),
    ],
)
def test_one_lie_is_refused_with_its_reason(old: str, new: str, said: str) -> None:
    text = make_philips(make_ecg(6, seconds=1), encoding="utf-8").decode()
    with pytest.raises(Unreadable, match=said):
        read_philips(text.replace(old, new).encode())


def test_without_rate_or_resolution_it_is_refused() -> None:
    text = make_philips(make_ecg(6, seconds=1), version="1.03", encoding="utf-8").decode()
    for name, said in (("samplingrate", "sampling frequency"), ("signalresolution", "resolution")):
        with pytest.raises(Unreadable, match=f"does not state its {said}"):
            read_philips(text.replace(name, "other").encode())
