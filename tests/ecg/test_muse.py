"""GE MUSE files: what a hospital's export may look like, read to the last count, or refused with the reason."""

from __future__ import annotations

import re
import zlib
from dataclasses import replace

import numpy as np
import pytest

from center.errors import Unreadable
from ecg.formats.muse import read_muse
from ecg.formats.recognise import read
from ecg.signal import DeviceNote, EcgSignal, derived_limb_leads
from tests.makers.ecg import EIGHT_LEADS, make_ecg
from tests.makers.ecg_xml import counts_of, make_muse
from tests.outside import outside_data

TWELVE = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")


def _eight(seed: int = 1, fs_hz: float = 500.0, seconds: float = 2.0) -> EcgSignal:
    return make_ecg(seed, seconds=seconds, fs_hz=fs_hz, leads=EIGHT_LEADS)


def _same(found: EcgSignal, made: EcgSignal, step_mv: float) -> bool:
    return all(np.allclose(found.lead(x), counts_of(made, step_mv)[n] * step_mv) for n, x in enumerate(made.leads))


def test_the_sample_file_holds_the_counts_of_its_record_and_the_leads_that_follow() -> None:
    folder = outside_data("ecg_formats")
    found = read({"x": (folder / "muse_made.xml").read_bytes()})
    truth = np.frombuffer((folder / "ludb_1.dat").read_bytes(), "<i2").reshape(-1, 12)  # LUDB's counts are uV
    assert found.leads == TWELVE
    assert found.fs_hz == 500
    for name in EIGHT_LEADS:
        counts = np.rint(truth[:, TWELVE.index(name)] / 4.88)
        assert np.array_equal(np.rint(found.lead(name) / 4.88e-3), counts), name
        assert np.abs(found.lead(name) * 1000 - truth[:, TWELVE.index(name)]).max() <= 4.88 / 2 + 1e-9
    for name, values in derived_limb_leads(found.lead("I"), found.lead("II")).items():
        assert np.array_equal(found.lead(name), values)
    assert (found.sex, found.age_years, found.recorded_at) == ("F", 51.0, "2018-01-01T08:00:00")


@pytest.mark.parametrize("step_uv", [4.88, 1.25, 2.5, 0.5])
@pytest.mark.parametrize(("fs_hz", "exponent"), [(500, 0), (250, 0), (1000, 0), (500, 1), (1000, 2)])
def test_steps_and_rates_of_other_exports(step_uv: float, fs_hz: float, exponent: int) -> None:
    made = _eight(fs_hz=fs_hz)
    found = read_muse(make_muse(made, step_uv, exponent=exponent))
    assert found.fs_hz == fs_hz
    assert _same(found, made, step_uv * 1e-3)
    assert found.filters.high_pass_hz == 0.05
    assert found.filters.notch_hz is None


@pytest.mark.parametrize("encoding", ["ISO-8859-1", "UTF-8", "UTF-16", "UTF-16-LE", "windows-1252", "GB2312"])
def test_every_charset_and_what_stands_before_the_declaration(encoding: str) -> None:
    made = _eight()
    people = "<PatientDemographics><PatientLastName>{}</PatientLastName></PatientDemographics>"
    name = "张三" if encoding.startswith(("UTF", "GB")) else "Müller"
    content = make_muse(made, encoding=encoding, demographics=people.format(name))
    found = read({"x": content})
    assert found.patient_name == name
    assert _same(found, made, 4.88e-3)
    if not encoding.startswith("UTF-16"):
        for before in (b"\xef\xbb\xbf", b"\n  \r\n", b"?"):
            assert np.array_equal(read({"x": before + content}).samples, found.samples)


def test_utf_16_declared_over_eight_bit_bytes_is_read() -> None:
    content = make_muse(_eight(), encoding="UTF-8").replace(b'encoding="UTF-8"', b'encoding="utf-16"')
    assert read({"x": content}).fs_hz == 500


@pytest.mark.parametrize(
    "demographics", ["", "<PatientDemographics/>", "<PatientDemographics><PatientID/></PatientDemographics>"]
)
def test_an_anonymous_export_is_read(demographics: str) -> None:
    found = read_muse(make_muse(_eight(), demographics=demographics, doctype=""))
    assert (found.patient_id, found.patient_name, found.sex, found.age_years) == ("", "", "", None)


def test_twelve_and_fifteen_leads_and_any_order_are_read_as_stored() -> None:
    twelve = make_ecg(2, seconds=1)
    assert _same(read_muse(make_muse(twelve)), twelve, 4.88e-3)
    extra = np.concatenate([twelve.samples, twelve.samples[:3] / 2])
    fifteen = EcgSignal((*twelve.leads, "V3R", "V4R", "V7"), extra, twelve.fs_hz)
    found = read_muse(make_muse(fifteen))
    assert _same(found, fifteen, 4.88e-3)
    shuffled = EcgSignal(fifteen.leads[::-1], fifteen.samples[::-1], fifteen.fs_hz)
    for lead in fifteen.leads:
        assert np.array_equal(read_muse(make_muse(shuffled)).lead(lead), found.lead(lead))


def test_only_the_recording_is_read_never_the_median_beat() -> None:
    made = _eight()
    assert read_muse(make_muse(made)).samples.shape[1] == made.samples.shape[1]
    assert read_muse(make_muse(made, median=False)).samples.shape[1] == made.samples.shape[1]
    only = re.sub(rb"<WaveformType>Rhythm", b"<WaveformType>Median", make_muse(made))
    with pytest.raises(Unreadable, match="only the averaged beat"):
        read_muse(only)


def test_what_the_device_said_is_kept_with_its_units() -> None:
    extra = (
        "<RestingECGMeasurements><VentricularRate>72</VentricularRate><PRInterval>160</PRInterval>"
        "<QRSDuration>88</QRSDuration><QTCorrected>421</QTCorrected><RAxis>-12</RAxis><TAxis/></RestingECGMeasurements>"
        "<OriginalRestingECGMeasurements><VentricularRate>73</VentricularRate></OriginalRestingECGMeasurements>"
        "<Diagnosis><Modality>RESTING</Modality><DiagnosisStatement><StmtText>Normal</StmtText></DiagnosisStatement>"
        "<DiagnosisStatement><StmtFlag>USERINSERT</StmtFlag><StmtText>sinus</StmtText></DiagnosisStatement>"
        "<DiagnosisStatement><StmtFlag>ENDSLINE</StmtFlag><StmtText>rhythm</StmtText></DiagnosisStatement></Diagnosis>"
        "<OriginalDiagnosis><DiagnosisStatement><StmtFlag>ENDSLINE</StmtFlag><StmtText>AF</StmtText>"
        "</DiagnosisStatement></OriginalDiagnosis>"
    )
    notes = read_muse(make_muse(_eight(), extra=extra)).annotations
    assert notes[:3] == (DeviceNote("Normal"), DeviceNote("sinus rhythm"), DeviceNote("AF"))
    assert DeviceNote("Ventricular rate", 72.0, "/min") in notes
    assert DeviceNote("Ventricular rate", 73.0, "/min") in notes
    assert DeviceNote("QRS axis", -12.0, "deg") in notes
    assert not any(note.text == "T axis" for note in notes)


def test_an_electrode_off_and_a_count_at_the_limit_are_said() -> None:
    made = _eight()
    content = make_muse(made).replace(b"<LeadOff>FALSE", b"<LeadOff>TRUE")
    assert [issue.code for issue in read_muse(content).issues] == ["lead_off"]
    samples = made.samples.copy()
    samples[2, 10:20] = -32768 * 4.88e-3
    found = read_muse(make_muse(replace(made, samples=samples)))
    assert np.isnan(found.lead("V1")[10:20]).all()
    assert np.isfinite(found.lead("V2")).all()


def test_base64_without_padding_and_numbers_between_commas_are_read() -> None:
    made = _eight()
    bare = make_muse(made).replace(b"=\n</Wave", b"\n</Wave").replace(b"=\n</Wave", b"\n</Wave")
    assert b"=\n</Wave" not in bare
    assert _same(read_muse(bare), made, 4.88e-3)
    counts = iter(counts_of(made, 4.88e-3))
    head, mark, tail = make_muse(made).partition(b"<WaveformType>Rhythm")
    written = re.sub(
        rb"<WaveFormData>[^<]*",
        lambda _: b"<WaveFormData>" + ",".join(map(str, next(counts).tolist())).encode(),
        tail,
    )
    assert _same(read_muse(head + mark + written), made, 4.88e-3)


def test_a_rate_that_only_the_measurements_name_and_a_unit_that_nobody_names() -> None:
    made = _eight()
    measured = "<RestingECGMeasurements><ECGSampleBase>500</ECGSampleBase></RestingECGMeasurements>"
    content = re.sub(
        rb"<SampleBase>\d+</SampleBase><SampleExponent>0</SampleExponent>", b"", make_muse(made, extra=measured)
    )
    assert read_muse(content).fs_hz == 500
    found = read_muse(make_muse(made).replace(b"<LeadAmplitudeUnits>MICROVOLTS</LeadAmplitudeUnits>", b""))
    assert [issue.code for issue in found.issues] == ["unit_assumed"]
    assert _same(found, made, 4.88e-3)


@pytest.mark.parametrize("illegal", ["\x13", "&#19;", "&#x1f;"])
def test_a_control_character_in_a_name_costs_no_recording_but_one_in_the_samples_does(illegal: str) -> None:
    made = _eight()
    people = f"<PatientDemographics><PatientLastName>Li{illegal}</PatientLastName></PatientDemographics>"
    found = read_muse(make_muse(made, demographics=people))
    assert found.patient_name == "Li\ufffd"
    assert _same(found, made, 4.88e-3)
    with pytest.raises(Unreadable, match="not Base64"):
        read_muse(_with_lead(make_muse(made), rb"<WaveFormData>\s*", b"<WaveFormData>" + illegal.encode()))


# ---- refusals ----


def _with_lead(content: bytes, pattern: bytes, by: bytes, count: int = 1) -> bytes:
    head, mark, tail = content.partition(b"<WaveformType>Rhythm")
    return head + mark + re.sub(pattern, by, tail, count=count)


@pytest.mark.parametrize(
    ("pattern", "by", "said"),
    [
        (rb"<LeadSampleCountTotal>\d+", b"<LeadSampleCountTotal>999", "wrong length"),
        (rb"<LeadByteCountTotal>\d+", b"<LeadByteCountTotal>4", "wrong length"),
        (rb"<LeadDataCRC32>\d+", b"<LeadDataCRC32>12345", "wrong checksum"),
        (rb"<WaveFormData>\s*\S{8}", b"<WaveFormData>!!!!!!!!", "not Base64"),
        (rb"<WaveFormData>\s*\S{76}", b"<WaveFormData>", "wrong length"),
        (rb"<LeadAmplitudeUnitsPerBit>[\d.]+", b"<LeadAmplitudeUnitsPerBit>", "no usable gain"),
        (rb"<LeadAmplitudeUnitsPerBit>[\d.]+", b"<LeadAmplitudeUnitsPerBit>0", "no usable gain"),
        (rb"<LeadAmplitudeUnitsPerBit>[\d.]+", b"<LeadAmplitudeUnitsPerBit>9999999", "gain is wrong"),
        (rb"MICROVOLTS", b"FURLONGS", "no usable gain"),
        (rb"<LeadSampleSize>2", b"<LeadSampleSize>3", "size that is not readable"),
        (rb"<SampleBase>\d+", b"<SampleBase>", "no usable sampling frequency"),
        (rb"<SampleBase>\d+", b"<SampleBase>20", "out of range"),
        (rb"<SampleBase>\d+", b"<SampleBase>99999", "out of range"),
        (rb"<SampleExponent>0", b"<SampleExponent>99", "no usable sampling frequency"),
    ],
)
def test_one_lie_is_refused_with_its_reason(pattern: bytes, by: bytes, said: str) -> None:
    with pytest.raises(Unreadable, match=said) as refused:
        read_muse(_with_lead(make_muse(_eight()), pattern, by), "ward7.xml")
    assert "ward7.xml" in refused.value.zh


def test_a_changed_sample_is_found_by_its_checksum() -> None:
    made = _eight()
    counts = counts_of(made, 4.88e-3)
    wrong = zlib.crc32((counts[0] + 1).astype("<i2").tobytes())
    right = zlib.crc32(counts[0].astype("<i2").tobytes())
    with pytest.raises(Unreadable, match="wrong checksum in lead I"):
        read_muse(make_muse(made).replace(str(right).encode(), str(wrong).encode()))


def test_checksums_by_another_rule_are_a_warning_and_none_at_all_is_none() -> None:
    made = _eight()
    content = re.sub(rb"<LeadDataCRC32>\d+", b"<LeadDataCRC32>12345", make_muse(made))
    assert [issue.code for issue in read_muse(content).issues] == ["checksum_rule_unknown"]
    for none in (make_muse(made, crc=False), re.sub(rb"<LeadDataCRC32>\d+", b"<LeadDataCRC32>0", make_muse(made))):
        assert read_muse(none).issues == ()
    # The median beat's checksums prove the rule: then wrong ones are damage.
    head, mark, tail = make_muse(made).partition(b"<WaveformType>Rhythm")
    with pytest.raises(Unreadable, match="wrong checksum"):
        read_muse(head + mark + re.sub(rb"<LeadDataCRC32>\d+", b"<LeadDataCRC32>12345", tail))


def test_leads_of_different_lengths_are_refused() -> None:
    made = _eight()
    longer = make_muse(_eight(seconds=3))
    content = make_muse(made)
    leads = re.findall(rb"<LeadData>.*?</LeadData>", longer.partition(b"<WaveformType>Rhythm")[2], re.DOTALL)
    mixed = _with_lead(content, rb"<LeadData>(?s:.*?)</LeadData>", leads[0].replace(b"\\", b"\\\\"))
    with pytest.raises(Unreadable, match="different lengths"):
        read_muse(mixed)
