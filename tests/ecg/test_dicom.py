"""DICOM waveforms: property 11, formats_round_trip; truncation, lies, and the files of other makers."""

from __future__ import annotations

import gzip
import re
import shutil
import struct
import subprocess
import zlib
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.data import get_testdata_file

from center.errors import Invalid, Unreadable
from ecg.formats.dicom import (
    AMBULATORY_ECG,
    GENERAL_ECG,
    TWELVE_LEAD_ECG,
    read_dicom,
    read_median,
    stream_dicom,
    write_dicom,
)
from ecg.formats.edf import read_edf
from ecg.formats.kinds import not_an_ecg
from ecg.formats.long_signal import LongSignal
from ecg.formats.recognise import read
from ecg.signal import STANDARD_LEADS, DeviceNote, EcgSignal, Filters
from tests.makers.ecg import EIGHT_LEADS, IDENTITY, make_ecg, make_ecg_dicom
from tests.outside import outside_data

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom speaks up about broken values


def _short() -> EcgSignal:
    return make_ecg(1, seconds=0.02, leads=("I", "II"))


@settings(max_examples=60, deadline=None)
@given(
    counts=st.lists(st.lists(st.integers(-40000, 40000), min_size=8, max_size=8), min_size=1, max_size=12),
    step=st.floats(1e-5, 0.01),
    offset_mv=st.floats(-300, 300),
    is_step_known=st.booleans(),
)
def test_a_wrapped_recording_comes_back_within_one_count(
    counts: list[list[int]], step: float, offset_mv: float, is_step_known: bool
) -> None:
    samples = np.array(counts) * step + offset_mv
    leads = STANDARD_LEADS[: len(counts)]
    signal = EcgSignal(leads, samples, 250.0, step_mv=(step,) * len(leads) if is_step_known else ())
    back = read_dicom(write_dicom(signal, replace(IDENTITY, recorded_at="2026-03-11T02:03:11")))
    assert back.leads == leads
    apart = np.abs(back.samples - samples).max(axis=1)
    assert (apart <= np.array(back.step_mv) * 1.001).all()
    wanted = np.maximum(step if is_step_known else 1e-3, np.ptp(samples, axis=1) / 65000)
    assert (np.array(back.step_mv) <= wanted * 1.0001).all()


def test_known_steps_come_back_exactly_with_header_filters_and_gaps() -> None:
    signal = make_ecg(3, step_mv=0.0025)
    samples = signal.samples.copy()
    samples[4, 100:160] = np.nan
    signal = replace(
        signal, samples=samples, filters=Filters(0.05, 150.0, 50.0), annotations=(DeviceNote("SINUS RHYTHM"),)
    )
    back = read({"x.dcm": make_ecg_dicom(signal)})
    assert np.allclose(back.samples, samples, rtol=0, atol=1e-12, equal_nan=True)
    assert (back.leads, back.fs_hz, back.filters) == (signal.leads, signal.fs_hz, signal.filters)
    assert (back.patient_id, back.patient_name, back.sex) == ("P-0001", "Zhang^San=张^三", "M")
    assert (back.birth_date, back.accession_number) == ("19650123", "A-1")
    assert back.recorded_at == "2026-03-11T02:03:11+08:00"
    assert back.annotations == signal.annotations
    assert back.issues == ()


def test_made_again_it_is_the_same_file() -> None:
    assert make_ecg_dicom() == make_ecg_dicom()


def test_what_a_person_typed_is_kept_within_the_standards_bounds() -> None:
    typed = replace(
        IDENTITY,
        patient_id="A\\B\n" + "9" * 100,
        patient_name="欧阳" * 60 + "=" + "x" * 90,
        birth_date="1965-01-23",
        sex="男",
        accession_number="0123456789abcdefgh",
    )
    back = read_dicom(make_ecg_dicom(replace(make_ecg(1), age_years=0.5, device="a\\b"), typed))
    assert back.patient_id.startswith("A/B999")
    assert back.patient_name == "欧阳" * 32 + "=" + "x" * 64
    assert (back.birth_date, back.sex, back.age_years) == ("19650123", "", 0.5)
    assert back.accession_number == "0123456789abcdef"
    nonsense = read_dicom(make_ecg_dicom(identity=replace(IDENTITY, birth_date="unknown")))
    assert nonsense.birth_date == ""


def test_it_must_be_known_when_it_was_recorded() -> None:
    with pytest.raises(Invalid):
        make_ecg_dicom(replace(make_ecg(1), recorded_at=""))


@pytest.mark.parametrize(
    ("signal", "sop_class"),
    [
        (make_ecg(1), TWELVE_LEAD_ECG),
        (make_ecg(1, leads=EIGHT_LEADS), GENERAL_ECG),
        (make_ecg(1, seconds=60), GENERAL_ECG),
        (make_ecg(1, fs_hz=100), AMBULATORY_ECG),
        (make_ecg(1, leads=("II",)), GENERAL_ECG),
    ],
)
def test_each_kind_is_valid_dicom(signal: EcgSignal, sop_class: str, tmp_path: Path) -> None:
    content = make_ecg_dicom(
        replace(signal, filters=Filters(0.05, 40.0, 50.0), annotations=(DeviceNote("x", 1, "ms"),))
    )
    assert pydicom.dcmread(BytesIO(content)).SOPClassUID == sop_class
    assert shutil.which("dciodvfy"), "dicom3tools is missing: apt-get install dicom3tools"
    file = tmp_path / "ecg.dcm"
    file.write_bytes(content)
    said = subprocess.run(["dciodvfy", str(file)], capture_output=True, text=True, check=False, timeout=60)
    assert [line for line in (said.stdout + said.stderr).splitlines() if line.startswith("Error")] == []


def test_a_file_cut_at_any_byte_is_refused_or_complete() -> None:
    content = make_ecg_dicom(_short())
    whole = read_dicom(content)
    for size in range(len(content)):
        try:
            got = read({"x.dcm": content[:size]})
        except Unreadable as refused:
            assert refused.zh
            continue
        assert np.array_equal(got.samples, whole.samples)


@settings(max_examples=100, deadline=None)
@given(at=st.integers(0, 2000), byte=st.integers(0, 255))
def test_any_changed_byte_is_read_or_refused(at: int, byte: int) -> None:
    content = bytearray(make_ecg_dicom(_short()))
    content[at % len(content)] = byte
    try:
        read({"x.dcm": bytes(content)})
    except Unreadable as refused:
        assert refused.en


@pytest.mark.parametrize("keyword", ["NumericValue", "PatientAge", "AcquisitionDateTime"])
def test_a_header_that_cannot_be_interpreted_is_refused_or_left_out(keyword: str) -> None:
    signal = replace(_short(), age_years=40.0, annotations=(DeviceNote("x"),))
    dataset = pydicom.dcmread(BytesIO(make_ecg_dicom(signal)))
    if keyword == "NumericValue":
        note = dataset.WaveformAnnotationSequence[0]
        note.ConceptNameCodeSequence = [pydicom.Dataset()]
        note.ConceptNameCodeSequence[0].CodeMeaning = "QT"
        note.NumericValue = "4.5"
    out = BytesIO()
    dataset.save_as(out)
    for old in (b"4.5 ", b"040Y", b"20260311"):
        try:
            assert read_dicom(out.getvalue().replace(old, b"}" * len(old))).leads == ("I", "II")
        except Unreadable as refused:
            assert "interpreted" in refused.en


def _changed(change: str, value: object) -> bytes:
    dataset = pydicom.dcmread(BytesIO(make_ecg_dicom(_short())))
    group = dataset.WaveformSequence[0]
    target = group.ChannelDefinitionSequence[0] if change.startswith("Channel") else group
    setattr(target, change, value)
    out = BytesIO()
    dataset.save_as(out)
    return out.getvalue()


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("NumberOfWaveformSamples", 11),
        ("NumberOfWaveformSamples", 4_000_000_000),
        ("SamplingFrequency", "0"),
        ("WaveformSampleInterpretation", "MB"),
        ("WaveformBitsAllocated", 12),
    ],
)
def test_a_lying_header_is_refused(keyword: str, value: object) -> None:
    with pytest.raises(Unreadable):
        read_dicom(_changed(keyword, value))


def test_the_number_of_channels_may_lie() -> None:
    signal = read_dicom(_changed("NumberOfWaveformChannels", 1))
    assert len(signal.leads) == 2
    assert [issue.code for issue in signal.issues] == ["channel_count"]


def test_padding_that_a_lead_can_also_take_is_a_gap_only_in_long_runs() -> None:
    signal = make_ecg(1, leads=("II",))
    samples = signal.samples.copy()
    samples[0, 1000:1060] = 0.0
    samples[0, 2000:2400] = 0.0
    dataset = pydicom.dcmread(BytesIO(make_ecg_dicom(replace(signal, samples=samples))))
    dataset.WaveformSequence[0].WaveformPaddingValue = b"\0\0"
    out = BytesIO()
    dataset.save_as(out)
    gaps = np.flatnonzero(np.isnan(read_dicom(out.getvalue()).samples[0]))
    assert 400 <= gaps.size < 410
    assert gaps[0] >= 1990


@pytest.mark.parametrize(("sop_class", "is_read"), [("2.1", True), ("1.2", True), ("6.1", False), ("5.1", False)])
def test_the_kind_of_object_does_not_decide_unless_it_is_no_heart(sop_class: str, is_read: bool) -> None:
    dataset = pydicom.dcmread(BytesIO(make_ecg_dicom()))
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.9." + sop_class
    out = BytesIO()
    dataset.save_as(out)
    if is_read:
        assert read_dicom(out.getvalue()).is_twelve_lead
    else:
        with pytest.raises(Unreadable, match="no readable ECG lead"):
            read_dicom(out.getvalue())


def test_lead_names_by_scpecg_and_mdc_numbers_and_by_label() -> None:
    dataset = pydicom.dcmread(BytesIO(make_ecg_dicom(_short())))
    first, second = dataset.WaveformSequence[0].ChannelDefinitionSequence
    first.ChannelSourceSequence[0].CodeValue = "5.6.3-9-64"
    first.ChannelSourceSequence[0].CodingSchemeDesignator = "SCPECG"
    second.ChannelSourceSequence[0].CodeValue = str(0x20000 + 62)
    out = BytesIO()
    dataset.save_as(out)
    assert read_dicom(out.getvalue()).leads == ("aVF", "aVR")
    del second.ChannelSourceSequence
    second.ChannelLabel = "Lead v4r"
    out = BytesIO()
    dataset.save_as(out)
    assert read_dicom(out.getvalue()).leads == ("aVF", "V4R")


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2", "1.2.840.10008.1.2.1.99"])
def test_other_transfer_syntaxes_read_the_same(syntax: str) -> None:
    dataset = pydicom.dcmread(BytesIO(make_ecg_dicom()))
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.UID(syntax)
    out = BytesIO()
    dataset.save_as(out, implicit_vr=syntax == "1.2.840.10008.1.2", little_endian=True)
    assert np.array_equal(read_dicom(out.getvalue()).samples, make_ecg(1).samples)


def test_a_deflated_bomb_is_refused() -> None:
    meta = make_ecg_dicom(_short()).replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.1.99"[:20])
    machine = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = machine.compress(bytes(1 << 20)) + machine.flush()
    with pytest.raises(Unreadable):
        read_dicom(meta[:340] + bomb)


def test_a_film_is_refused_by_its_name() -> None:
    with pytest.raises(Unreadable, match="CT Image Storage"):
        read({"ct.dcm": Path(get_testdata_file("CT_small.dcm")).read_bytes()})


def test_nested_sequences_without_end_are_refused() -> None:
    item = struct.pack("<HH2sHI", 0x0040, 0xA730, b"SQ", 0, 0xFFFFFFFF) + struct.pack(
        "<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF
    )
    with pytest.raises(Unreadable):
        read_dicom(bytes(128) + b"DICM" + item * 5000)


def test_the_twelve_leads_behind_a_wrong_count_are_the_reference() -> None:
    folder = outside_data("ecg_formats/pfe105.dcm").parent
    signal = read({"pfe105.dcm": (folder / "pfe105.dcm").read_bytes()})
    truth = np.fromfile(folder / "pfe105_reference.dat", dtype="<i2").reshape(5000, 8).T / 1000
    assert (
        np.abs(np.stack([signal.lead(lead) for lead in EIGHT_LEADS]) - truth).max() <= 0.0025 + 1e-9
    )  # stored in 5 uV
    assert signal.limb_leads_agree is True
    assert [issue.code for issue in signal.issues] == ["channel_count"]


def test_zero_as_padding_does_not_make_gaps_of_true_zeros() -> None:
    folder = outside_data("ecg_formats/same_record.dcm").parent
    signal = read({"x": (folder / "same_record.dcm").read_bytes()})
    text = gzip.decompress((folder / "same_record_aecg.xml.gz").read_bytes()).decode()
    truth = _aecg_microvolts(text)
    assert not np.isnan(signal.samples).any()
    assert set(truth) == set(STANDARD_LEADS)
    for lead, values in truth.items():
        assert np.abs(signal.lead(lead) * 1000 - values).max() < 1e-6
    assert (signal.filters, signal.device) == (Filters(), "Unknown ELI250")


def _aecg_microvolts(text: str) -> dict[str, np.ndarray]:
    """The first rhythm series of an HL7 aECG: lead -> microvolts.  Only for this file."""
    pattern = (
        r'code="MDC_ECG_LEAD_(\w+)".*?<origin[^>]*value="([^"]*)".*?<scale[^>]*value="([^"]*)"[^>]*unit="([^"]*)".*?'
        r"<digits>([^<]*)</digits>"
    )
    names = {"AVR": "aVR", "AVL": "aVL", "AVF": "aVF"}
    out: dict[str, np.ndarray] = {}
    for lead, origin, scale, _, digits in re.findall(pattern, text, re.DOTALL):
        values = np.array(digits.split(), dtype=float) * float(scale) + float(origin)
        if values.size == 5000:
            out.setdefault(names.get(lead, lead), values)
    return out


def test_twelve_leads_in_a_hemodynamic_object_are_an_ecg() -> None:
    signal = read({"x": outside_data("ecg_formats/hemodynamic_12lead_240hz.dcm").read_bytes()})
    assert signal.is_twelve_lead
    assert (signal.fs_hz, signal.samples.shape) == (240, (12, 2400))
    assert signal.filters == Filters(0.05, 100.0, None)
    assert signal.limb_leads_agree is True
    assert DeviceNote("Heart rate", 69.0, "{H.B.}/min") in signal.annotations


def test_the_wheels_own_recording_agrees_with_pydicoms_reading() -> None:
    file = Path(get_testdata_file("waveform_ecg.dcm"))
    signal = read({"x": file.read_bytes()})
    truth = pydicom.dcmread(file).waveform_array(0).T / 1000
    assert np.abs(signal.samples - truth).max() < 1e-9
    assert (signal.fs_hz, signal.seconds) == (1000, 10)  # the rhythm, not the median beat
    assert signal.filters == Filters(0.05, 300.0, None)
    assert (signal.age_years, signal.recorded_at) == (42, "2013-01-25T10:59:19")


@pytest.mark.parametrize(("n", "kind"), [(1, "Routine Scalp EEG"), (2, "EMG"), (3, "EOG"), (4, "Sleep EEG")])
def test_signals_of_brain_and_muscle_are_kept_under_their_own_names_and_said_to_be_no_ecg(n: int, kind: str) -> None:
    dataset = pydicom.dcmread(BytesIO(make_ecg_dicom(make_ecg(1, leads=("I", "II")))))
    dataset.SOPClassUID = f"1.2.840.10008.5.1.4.1.1.9.7.{n}"
    for label, channel in zip(("C3-A2", "O1-A2"), dataset.WaveformSequence[0].ChannelDefinitionSequence, strict=True):
        channel.ChannelLabel = label
    out = BytesIO()
    dataset.save_as(out)
    signal = read_dicom(out.getvalue())
    assert signal.leads == ("C3-A2", "O1-A2")
    assert signal.source_format == f"DICOM {kind}"
    assert [issue.code for issue in signal.issues] == ["not_an_ecg"]
    assert kind in signal.issues[0].zh
    assert np.array_equal(signal.samples, make_ecg(1, leads=("I", "II")).samples)


def test_an_eeg_is_the_one_it_was_made_from() -> None:
    signal = read_dicom(outside_data("ecg_formats/eeg_made.dcm").read_bytes())
    source = read_edf(outside_data("ecg_formats/psg_short.edf").read_bytes())
    assert (
        np.abs(signal.samples - source.samples[:2, : signal.samples.shape[1]]).max() <= 0.05e-3 * 1.001
    )  # 0.1 uV steps
    assert [issue.code for issue in signal.issues] == ["not_an_ecg"]


@pytest.mark.parametrize("signal", [make_ecg(1), make_ecg(1, leads=EIGHT_LEADS), make_ecg(1, leads=("II",))])
def test_the_median_beat_travels_beside_the_recording(signal: EcgSignal, tmp_path: Path) -> None:
    median = replace(signal, samples=signal.samples[:, 1000:1600] / 2)
    content = write_dicom(signal, replace(IDENTITY, recorded_at="2026-03-11T02:03:11"), median)
    assert np.array_equal(read_dicom(content).samples, signal.samples)
    back = read_median(content)
    assert back is not None
    assert np.abs(back.samples - median.samples).max() <= max(median.step_mv or (1e-3,)) * 0.501
    assert read_median(make_ecg_dicom(signal)) is None
    file = tmp_path / "ecg.dcm"
    file.write_bytes(content)
    said = subprocess.run(["dciodvfy", str(file)], capture_output=True, text=True, check=False, timeout=60)
    assert [line for line in (said.stdout + said.stderr).splitlines() if line.startswith("Error")] == []


def test_an_ambulatory_object_has_no_room_for_a_median_beat() -> None:
    signal = make_ecg(1, fs_hz=100)
    with pytest.raises(Invalid):
        write_dicom(signal, replace(IDENTITY, recorded_at="2026-03-11T02:03:11"), signal)


@pytest.mark.parametrize("frequency", ["5", "20000"])
def test_a_rate_that_no_electrocardiograph_has_is_refused(frequency: str) -> None:
    with pytest.raises(Unreadable, match="out of range"):
        read_dicom(_changed("SamplingFrequency", frequency))


@pytest.mark.parametrize(
    ("leads", "sop_class", "modality"),
    [
        (("EEG Fpz-Cz", "EEG Pz-Oz"), "7.1", "EEG"), (("EMG submental",), "7.2", "EMG"), (("EOG(L)", "EOG(R)"), "7.3", "EOG"),
        (("EEG C3-A2", "EOG horizontal", "EMG Chin"), "7.4", "EEG"),
    ],
)  # fmt: skip
def test_what_is_no_ecg_is_not_wrapped_as_one(leads: tuple[str, ...], sop_class: str, modality: str) -> None:
    samples = make_ecg(1, leads=EIGHT_LEADS).samples[: len(leads)]
    signal = EcgSignal(leads, samples, 100.0, step_mv=(0.001,) * len(leads), issues=(not_an_ecg("EEG"),))
    content = write_dicom(signal, replace(IDENTITY, recorded_at="2026-03-11T02:03:11"))
    dataset = pydicom.dcmread(BytesIO(content))
    assert (dataset.SOPClassUID, dataset.Modality) == (f"1.2.840.10008.5.1.4.1.1.9.{sop_class}", modality)
    back = read_dicom(content)
    assert np.array_equal(back.samples, samples)
    assert back.leads == leads
    assert [issue.code for issue in back.issues] == ["not_an_ecg"]


@pytest.mark.parametrize("fs_hz", [500.0, 125.0])
def test_a_recording_streamed_is_the_one_written_whole(fs_hz: float, tmp_path: Path) -> None:
    signal = make_ecg(1, leads=("I", "II", "V1"), fs_hz=fs_hz)
    samples = signal.samples.copy()
    samples[1, 100:300] = np.nan
    signal = replace(signal, samples=samples, annotations=(DeviceNote("SINUS RHYTHM"),))
    head = replace(signal, samples=np.empty((3, 0)))
    long = LongSignal(head, samples.shape[1], lambda start, stop: samples[:, start:stop])
    content = b"".join(stream_dicom(long, replace(IDENTITY, recorded_at="2026-03-11T02:03:11")))
    back = read_dicom(content)
    assert np.array_equal(back.samples, samples, equal_nan=True)
    assert (back.leads, back.annotations, back.fs_hz) == (signal.leads, signal.annotations, fs_hz)
    assert pydicom.dcmread(BytesIO(content)).WaveformSequence[0].NumberOfWaveformSamples == samples.shape[1]
    file = tmp_path / "ecg.dcm"
    file.write_bytes(content)
    said = subprocess.run(["dciodvfy", str(file)], capture_output=True, text=True, check=False, timeout=60)
    assert [line for line in (said.stdout + said.stderr).splitlines() if line.startswith("Error")] == []


def test_big_endian_words_are_read_as_such() -> None:
    dataset = pydicom.dcmread(BytesIO(make_ecg_dicom()))
    group = dataset.WaveformSequence[0]
    group.WaveformData = np.frombuffer(group.WaveformData, "<i2").astype(">i2").tobytes()
    group.WaveformPaddingValue = b"\x80\x00"
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRBigEndian
    out = BytesIO()
    pydicom.dcmwrite(out, dataset, implicit_vr=False, little_endian=False, force_encoding=True)
    assert np.array_equal(read_dicom(out.getvalue()).samples, make_ecg(1).samples)
