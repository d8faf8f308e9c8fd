"""Makers' XML without a published schema: read by its shape, never without a rate and a scale of its own."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from center.errors import Unreadable
from ecg.formats.edan import looks_like_edan_holter
from ecg.formats.recognise import Format, read, recognise
from ecg.formats.vendor_xml import vocabulary
from ecg.signal import DeviceNote, EcgSignal
from tests.makers.ecg import EIGHT_LEADS, make_ecg
from tests.makers.ecg_xml import (
    make_attributes,
    make_block,
    make_cardiosoft,
    make_chinese,
    make_ecgml,
    make_elements,
    make_mortara,
)

_MAKERS: dict[str, tuple[Callable[[EcgSignal], bytes], float]] = {
    "mortara": (make_mortara, 1 / 400),
    "cardiosoft": (make_cardiosoft, 5e-3),
    "ecgml": (make_ecgml, 1e-4),
    "edan, Chinese names": (make_chinese, 2.5e-3),
    "biocare, attributes and Base64": (make_attributes, 1 / 200),
    "nalong, one block": (make_block, 5e-3),
    "contec, one element a lead": (make_elements, 1e-3),
}


@pytest.mark.parametrize("kind", _MAKERS)
@pytest.mark.parametrize("leads", [None, EIGHT_LEADS])
def test_every_layout_is_read_to_the_count_and_marked_as_unproven(kind: str, leads: tuple[str, ...] | None) -> None:
    write, step_mv = _MAKERS[kind]
    made = make_ecg(1, seconds=1, leads=leads) if leads else make_ecg(1, seconds=1)
    found = read({"x": write(made)})
    assert found.leads == made.leads
    assert found.fs_hz == 500
    assert np.abs(found.samples - made.samples).max() <= step_mv / 2 + 1e-9
    assert "unproven_format" in [issue.code for issue in found.issues]


@pytest.mark.parametrize("kind", [kind for kind in _MAKERS if kind != "nalong, one block"])
def test_the_order_of_leads_decides_nothing(kind: str) -> None:
    write, _ = _MAKERS[kind]
    made = make_ecg(2, seconds=1)
    shuffled = EcgSignal(made.leads[::-1], made.samples[::-1], made.fs_hz)
    one, other = read({"x": write(made)}), read({"x": write(shuffled)})
    assert all(np.array_equal(one.lead(lead), other.lead(lead)) for lead in made.leads)


@pytest.mark.parametrize("declared", ["GB18030", "gb2312", "GBK", ""])
def test_a_chinese_file_is_read_in_its_charset_declared_or_not(declared: str) -> None:
    found = read({"x": make_chinese(make_ecg(1, seconds=1), declared=declared)})
    assert (found.patient_name, found.patient_id, found.sex, found.age_years) == ("张三丰", "B9", "M", 51.0)
    assert found.recorded_at == "2021-02-03T04:05:06"
    assert found.annotations == (
        DeviceNote("Heart rate", 72.0, "/min"),
        DeviceNote("窦性心律"),
        DeviceNote("正常心电图"),
    )
    assert found.source_format == "Edan XML"
    assert "理邦" in found.issues[0].zh


@pytest.mark.parametrize("maker", [maker["name"] for maker in vocabulary().makers])
def test_every_maker_is_told_by_its_words(maker: str) -> None:
    row = next(row for row in vocabulary().makers if row["name"] == maker)
    for word in row["words"]:
        assert read({"x": make_elements(make_ecg(1, seconds=1), word)}).source_format == f"{maker} XML"


def test_mortara_says_what_the_device_said() -> None:
    content = make_mortara(make_ecg(1, seconds=1))
    assert recognise(content) is Format.MORTARA
    found = read({"x": content})
    assert (found.patient_id, found.patient_name, found.sex, found.birth_date) == ("W1", "Wang^Wu", "M", "19610203")
    assert found.recorded_at == "2021-02-03T04:05:06"
    assert DeviceNote("Sinus rhythm") in found.annotations
    assert DeviceNote("Ventricular rate", 75.0, "/min") in found.annotations


@pytest.mark.parametrize(
    ("write", "old", "new", "said"),
    [
        (make_elements, "<Unit>uV</Unit>", "", "unit or gain"),
        (make_elements, "<Unit>uV</Unit>", "<Unit>mmHg</Unit>", "unit or gain"),
        (make_elements, "<SamplingRate>500</SamplingRate>", "", "does not state its sampling frequency"),
        (make_elements, "<SamplingRate>500", "<SamplingRate>1", "sampling frequency|out of range"),
        (make_elements, "</SamplingRate>", "</SamplingRate><SampleRate>250</SampleRate>", "two different sampling"),
        (make_attributes, 'UnitsPerMv="200"', "", "unit or gain"),
        (make_attributes, 'SampleRate="500Hz"', "", "sampling frequency"),
        (make_attributes, 'LeadName="V1"', 'LeadName="?"', "never"),
        (make_block, "<LeadOrder>I,", "<LeadOrder>", "no multiple"),
        (make_block, "<LeadOrder>I,II,", "<LeadOrder>one,II,", "order of its leads"),
        (make_block, "<uVPerBit>5</uVPerBit>", "", "unit or gain"),
        (make_cardiosoft, "uVperLsb", "furlongs", "unit or gain"),
        (make_cardiosoft, "<SampleRate", "<Other", "Not|not complete XML"),
        (make_ecgml, 'unit="mV"', 'unit="?"', "unit or gain"),
        (make_mortara, 'UNITS_PER_MV="400"', 'UNITS_PER_MV="0"', "no usable gain"),
        (make_mortara, 'BITS="16"', 'BITS="12"', "not readable here"),
        (make_mortara, 'DATA="', 'DATA="AA', "damaged data"),
        (make_mortara, 'SAMPLE_FREQ="500"', 'SAMPLE_FREQ="250"', "one sampling frequency"),
        (make_mortara, 'DURATION="500"', 'DURATION="499"', "damaged data"),
    ],
)
def test_what_is_not_named_is_never_guessed(write: Callable[[EcgSignal], bytes], old: str, new: str, said: str) -> None:
    content = write(make_ecg(1, seconds=1))
    changed = content.replace(old.encode(), new.encode(), 1)
    assert changed != content
    if said == "never":  # a lead without a name is left out; the others are read
        assert "V1" not in read({"x": changed}).leads
        return
    with pytest.raises(Unreadable, match=said) as refused:
        read({"x": changed})
    assert "“x”" in refused.value.zh


def test_xml_that_is_no_ecg_is_refused() -> None:
    for content in (b"<svg><path d='M 0 0'/></svg>", b"<a><b>1 2 3</b></a>", b"<html><body>I II III</body></html>"):
        with pytest.raises(Unreadable, match="no waveform data"):
            read({"x": content})


def test_an_edan_holter_is_refused_by_name_since_its_scale_is_not_published() -> None:
    header = bytearray(3672)
    header[4:12] = (1_600_000_000).to_bytes(4, "little") + (1_600_086_400).to_bytes(4, "little")
    header[12] = 12
    header[32:34] = (250).to_bytes(2, "little")
    assert looks_like_edan_holter(bytes(header))
    with pytest.raises(Unreadable, match="Edan Holter") as refused:
        read({"patient.hea": bytes(header), "ecgraw.dat": bytes(1000)})
    assert "DICOM" in refused.value.zh
