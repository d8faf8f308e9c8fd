"""HL7 aECG: read to the microvolt, written and read back within one step."""

from __future__ import annotations

import gzip
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from center.errors import Invalid, Unreadable
from ecg.formats.aecg import read_aecg, write_aecg
from ecg.formats.recognise import read
from ecg.signal import DeviceNote, EcgSignal, Filters
from tests.makers.ecg import IDENTITY, make_ecg
from tests.outside import outside_data


def _text(signal: EcgSignal | None = None) -> str:
    return write_aecg(make_ecg(1, seconds=1) if signal is None else signal, IDENTITY).decode()


def test_the_same_record_in_three_formats_agrees_to_the_microvolt() -> None:
    folder = outside_data("ecg_formats")
    aecg = read({"x": (folder / "same_record_aecg.xml.gz").read_bytes()})
    for name in ("same_record.dcm", "same_record.scp"):
        other = read({"x": (folder / name).read_bytes()})
        assert set(other.leads) == set(aecg.leads)
        assert other.fs_hz == aecg.fs_hz
        for lead in aecg.leads:
            assert np.abs(other.lead(lead) - aecg.lead(lead)).max() < 1e-9, (name, lead)
    assert (aecg.patient_id, aecg.sex, aecg.birth_date, aecg.age_years) == ("SBJ-123", "M", "19530508", 46.0)
    assert aecg.recorded_at == "2002-11-22T09:10:00"
    assert aecg.filters == Filters(None, 150.0, 60.0)
    assert DeviceNote("QRS duration", 120.0, "ms") in aecg.annotations


def test_another_makers_file_is_read_and_its_contradiction_said() -> None:
    found = read({"x": (outside_data("ecg_formats") / "hl7aecg_100hz.xml").read_bytes()})
    assert found.is_twelve_lead
    assert (found.fs_hz, found.samples.shape[1]) == (100.0, 1000)
    assert found.lead("I")[:3].tolist() == pytest.approx([-0.21, -0.2, -0.19])
    assert [issue.code for issue in found.issues] == ["limb_leads_disagree"]  # its II isn't I + III
    assert DeviceNote("Rythme sinusal avec ESA") in found.annotations
    assert DeviceNote("Heart rate", 57.0, "/min") in found.annotations


def test_what_is_written_comes_back_with_its_header() -> None:
    notes = (
        DeviceNote("Sinus rhythm <normal> & 正常"),
        DeviceNote("QT interval", 402.0, "ms"),
        DeviceNote("RV5", 1.25, "mV"),
    )
    made = replace(
        make_ecg(2, seconds=2),
        filters=Filters(0.05, 150.0, 50.0),
        annotations=notes,
        device="Cart & Co",
        age_years=61.0,
    )
    found = read({"x": write_aecg(made, IDENTITY)})
    assert np.array_equal(np.rint(found.samples * 1000), np.rint(made.samples * 1000))
    assert (found.leads, found.fs_hz, found.filters, found.annotations) == (made.leads, 500.0, made.filters, notes)
    assert (found.patient_id, found.patient_name, found.birth_date, found.sex) == (
        "P-0001",
        "Zhang^San=张^三",
        "19650123",
        "M",
    )
    assert (found.age_years, found.device, found.recorded_at) == (61.0, "Cart & Co", made.recorded_at)
    assert write_aecg(made, IDENTITY) == write_aecg(made, IDENTITY)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([50.0, 100.0, 128.0, 250.0, 360.0, 500.0, 977.5, 1000.0, 4000.0]),
    st.sampled_from([0.0, 1e-4, 0.0025, 0.00488, 0.02]),
    hnp.arrays(np.float64, st.tuples(st.integers(1, 4), st.integers(1, 60)), elements=st.floats(-40, 40, width=32)),
)
def test_reading_what_was_written_is_within_one_step(fs_hz: float, step_mv: float, samples: np.ndarray) -> None:
    leads = ("II", "V1", "V3R", "lead <4>")[: len(samples)]
    steps = (step_mv,) * len(leads) if step_mv else ()
    made = EcgSignal(leads, samples, fs_hz, step_mv=steps, recorded_at="2020-02-29T23:59:59")
    found = read_aecg(write_aecg(made, IDENTITY))
    assert found.leads == leads
    assert found.fs_hz == pytest.approx(fs_hz, rel=1e-9)
    assert np.abs(found.samples - made.samples).max() <= (step_mv or 1e-3) * 0.5 + 1e-9


def test_gaps_and_unknown_times_cannot_be_written() -> None:
    made = make_ecg(1, seconds=1)
    holed = made.samples.copy()
    holed[0, 5] = np.nan
    with pytest.raises(Invalid, match="missing"):
        write_aecg(replace(made, samples=holed), IDENTITY)
    with pytest.raises(Invalid, match="recorded"):
        write_aecg(replace(made, recorded_at=""), IDENTITY)


@pytest.mark.parametrize(
    ("unit", "origin", "scale", "first_mv"),
    [("uV", "0", "2.5", 0.1), ("mV", "0", "0.0025", 0.1), ("nV", "0", "2500", 0.1), ("uV", "-50", "2.5", 0.05)],
)
def test_units_and_origins(unit: str, origin: str, scale: str, first_mv: float) -> None:
    text = _text(EcgSignal(("I",), np.array([[0.04] * 60]), 500.0, recorded_at="2020-01-01"))
    text = text.replace(
        '<origin value="0" unit="uV"/><scale value="1" unit="uV"/>',
        f'<origin value="{origin}" unit="{unit}"/><scale value="{scale}" unit="{unit}"/>',
    )
    assert read_aecg(text.encode()).lead("I")[0] == pytest.approx(first_mv)


@pytest.mark.parametrize(
    ("increment", "fs_hz"),
    [
        ('value="0.002" unit="s"', 500.0),
        ('value="2" unit="ms"', 500.0),
        ('value="1000" unit="us"', 1000.0),
        ('value="0.004"', 250.0),
        ('value="4"', 250.0),
        ('value="2777.7777777777778" unit="us"', 360.0),
    ],
)
def test_increments_in_every_unit(increment: str, fs_hz: float) -> None:
    text = _text().replace('value="0.002" unit="s"', increment)
    assert read_aecg(text.encode()).fs_hz == pytest.approx(fs_hz)
    relative = text.replace("TIME_ABSOLUTE", "TIME_RELATIVE").replace("GLIST_TS", "GLIST_PQ")
    assert read_aecg(relative.encode()).fs_hz == pytest.approx(fs_hz)


def test_the_representative_beat_is_left_alone_and_the_longest_series_read() -> None:
    text = _text()
    series = text[
        text.index("<component><series>") : text.index("</series></component>") + len("</series></component>")
    ]
    short = series.replace("RHYTHM", "REPRESENTATIVE_BEAT")
    found = read_aecg(text.replace(series, short + series).encode())
    assert found.samples.shape[1] == 500
    assert found.issues == ()
    longer = _text(make_ecg(9, seconds=2))
    both = longer.replace("<component><series>", series + "<component><series>", 1)
    found = read_aecg(both.encode())
    assert found.samples.shape[1] == 1000
    assert [issue.code for issue in found.issues] == ["other_segments"]
    only = text.replace(series, short)
    with pytest.raises(Unreadable, match="no recorded waveform"):
        read_aecg(only.encode())


def test_lead_codes_in_any_order_and_case_and_duplicates() -> None:
    made = make_ecg(3, seconds=1)
    shuffled = EcgSignal(
        made.leads[::-1], made.samples[::-1], made.fs_hz, step_mv=made.step_mv, recorded_at="2020-01-01"
    )
    text = _text(shuffled).replace("MDC_ECG_LEAD_AVR", "MDC_ECG_LEAD_aVR").replace("MDC_ECG_LEAD_V6", "MDC_ECG_LEAD_V5")
    found = read_aecg(text.encode())
    assert found.leads == ("V5", "V5 (2)", *made.leads[-3::-1])
    assert np.allclose(found.lead("aVR"), made.lead("aVR"))


def test_what_is_not_measured_in_volts_is_left_out() -> None:
    text = _text()
    at = text.index('<component><sequence><code code="MDC_ECG_LEAD_I"')
    pulse = (
        '<component><sequence><code code="MDC_PULS_OXIM_PLETH"/><value xsi:type="SLIST_PQ"><origin value="0" unit="%"/>'
        '<scale value="1" unit="%"/><digits>1 2 3</digits></value></sequence></component>'
    )
    assert read_aecg((text[:at] + pulse + text[at:]).encode()).is_twelve_lead


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("<digits>", "<digits>1 ", "different lengths"),
        ("<digits>", "<digits>x ", "no number"),
        ("<digits>", "<digits>1-2 ", "no number"),
        ("<digits>", "<digits>- ", "no number"),
        ("<digits>", "<digits>99999999999999999999 ", "no number"),
        ("<digits>", "<digits>nan. ", "no number"),
        ('<scale value="1" unit="uV"/>', '<scale value="1" unit="V"/>', "gain is wrong"),
        ('value="0.002" unit="s"', 'value="0" unit="s"', "sampling increment"),
        ('value="0.002" unit="s"', 'value="2" unit="s"', "sampling increment"),
        ('value="0.002" unit="s"', 'value="2" unit="h"', "sampling increment"),
        ("TIME_ABSOLUTE", "WHEN", "sampling increment|no usable scale"),
    ],
)
def test_one_lie_is_refused_with_its_reason(old: str, new: str, said: str) -> None:
    with pytest.raises(Unreadable, match=said) as refused:
        read_aecg(_text().replace(old, new, 1).encode(), "a.xml")
    assert "a.xml" in refused.value.zh


def test_packed_twice_the_size_it_says_is_still_one_file() -> None:
    content = write_aecg(make_ecg(1, seconds=1), IDENTITY)
    assert read({"x.gz": gzip.compress(content)}).samples.shape == (12, 500)
    with pytest.raises(Unreadable, match="more than one packed part"):
        read({"x.gz": gzip.compress(content) + gzip.compress(content)})
