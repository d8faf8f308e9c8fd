"""Tables of samples as text: read where leads, rate and unit are said, refused where one of them is not."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from center.errors import Unreadable
from ecg.formats.recognise import Format, read, recognise
from ecg.signal import EcgSignal
from tests.makers.ecg import EIGHT_LEADS, make_ecg


def _table(
    signal: EcgSignal,
    *,
    head: Sequence[str] = ("Sampling rate: 500 Hz", "Unit: mV"),
    names: str | None = "",
    delimiter: str = ",",
    comma: bool = False,
    factor: float = 1.0,
    decimals: int = 3,
    times: Sequence[str] = (),
    encoding: str = "utf-8",
    newline: str = "\r\n",
) -> bytes:
    lines = list(head)
    if names is not None:
        lines.append(names or delimiter.join((["time"] if times else []) + list(signal.leads)))
    for n, row in enumerate((signal.samples * factor).T.tolist()):
        cells = ([times[n]] if times else []) + [f"{value:.{decimals}f}" for value in row]
        text = delimiter.join(cells)
        lines.append(text.replace(".", ",") if comma else text)
    return newline.join([*lines, ""]).encode(encoding)


MADE = make_ecg(1, seconds=1)
EIGHT = make_ecg(1, seconds=1, leads=EIGHT_LEADS)


def _is_made(found: EcgSignal, made: EcgSignal = MADE) -> bool:
    return found.leads == made.leads and found.fs_hz == 500 and np.abs(found.samples - made.samples).max() < 6e-4


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|", " "])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "gb18030"])
def test_every_delimiter_and_charset(delimiter: str, encoding: str) -> None:
    content = _table(MADE, delimiter=delimiter, encoding=encoding, head=("采样率：500 Hz", "单位：mV", "姓名：张三"))
    assert recognise(content) is Format.CSV
    found = read({"export.txt": content})
    assert _is_made(found)
    assert found.patient_name == "张三"
    assert [issue.code for issue in found.issues] == ["unproven_format"]


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_decimal_commas(delimiter: str) -> None:
    assert _is_made(read({"x": _table(MADE, delimiter=delimiter, comma=True)}))


@pytest.mark.parametrize(
    ("head", "names", "factor", "decimals"),
    [
        (("fs = 500", "unit = uV"), "", 1000, 0),
        (("# fs: 500", "# counts per mV: 200"), "", 200, 0),
        (("SampleRate,500", "uVPerBit,5"), "", 200, 0),
        (("Sampling interval: 2 ms",), ",".join(f"{x} (mV)" for x in MADE.leads), 1, 3),
        (("fs,500",), ",".join(f"Lead {x} [uV]" for x in MADE.leads), 1000, 0),
        (("fs,500",), ",".join(f"{x}_uV" for x in MADE.leads), 1000, 0),
        (("fs,500",), ",".join(MADE.leads) + "\n" + ",".join(["mV"] * 12), 1, 3),
        (("Sample Rate,500 Hz", "Resolution: 5 uV"), "", 200, 0),
    ],
)
def test_units_and_rates_wherever_they_are_said(
    head: tuple[str, ...], names: str, factor: float, decimals: int
) -> None:
    found = read({"x": _table(MADE, head=head, names=names, factor=factor, decimals=decimals)})
    assert found.leads == MADE.leads
    assert found.fs_hz == 500
    assert np.abs(found.samples - MADE.samples).max() < 3e-3


@pytest.mark.parametrize(
    "times",
    [
        [f"{n * 0.002:.3f}" for n in range(500)],
        [str(n * 2) for n in range(500)],
        [f"0:{n * 0.002:06.3f}" for n in range(500)],
        [f"08:59:{59 + n * 0.002:.3f}" if n < 500 else "" for n in range(500)],
    ],
)
def test_a_column_of_times_gives_the_rate(times: list[str]) -> None:
    found = read({"x": _table(MADE, head=("Unit: mV",), times=times)})
    assert _is_made(found)


def test_physionets_own_tables_are_read() -> None:
    """'Elapsed time','I' over 'hh:mm:ss.mmm','mV': as PhysioNet's converter writes them."""
    lines = ["'Elapsed time','MLII','V5'", "'hh:mm:ss.mmm','mV','mV'"]
    lines += [f"'0:{n / 360:06.3f}',{-0.145 + n / 1000:.3f},-0.065" for n in range(720)]
    found = read({"x": "\n".join(lines).encode()})
    assert (found.leads, found.fs_hz) == (("MLII", "V5"), 360.0)
    assert found.lead("MLII")[1] == pytest.approx(-0.144)


def test_a_watchs_one_lead_is_read_with_decimal_points_or_commas() -> None:
    row = MADE.lead("I") * 1000
    head = [
        "Name,Li",
        "Date of Birth,1965-01-23",
        "Recorded Date,2024-05-06 07:08:09 +0800",
        "Classification,Sinus Rhythm",
    ]
    head += ['Device,"Watch6,2"', "Sample Rate,512 hertz", "", "Lead,Lead I", "Unit,µV", ""]
    for comma in (False, True):
        lines = [*head, *(f"{value:.3f}".replace(".", "," if comma else ".") for value in row.tolist())]
        found = read({"x": "\n".join(lines).encode()})
        assert (found.leads, found.fs_hz) == (("I",), 512.0)
        assert np.abs(found.lead("I") * 1000 - row).max() < 1e-3
        assert (found.patient_name, found.birth_date) == ("Li", "19650123")
        assert found.recorded_at == "2024-05-06T07:08:09+08:00"


def test_a_column_called_ecg_is_one_lead_without_a_name() -> None:
    lines = ["time_s,ecg_mV", *(f"{n / 300:.6f},{value:.3f}" for n, value in enumerate(MADE.lead("II").tolist()))]
    found = read({"x": "\n".join(lines).encode()})
    assert (found.leads, found.fs_hz) == (("ECG",), 300.0)


def test_columns_without_names_need_a_row_of_the_vendor_map() -> None:
    head = ("12导联心电图", "采样率,500", "单位,mV")
    assert _is_made(read({"x": _table(MADE, head=head, names=None)}))
    assert _is_made(read({"x": _table(EIGHT, head=("8 lead export", *head[1:]), names=None)}), EIGHT)
    with pytest.raises(Unreadable, match="which column is which lead"):
        read({"x": _table(MADE, head=head[1:], names=None)})


def test_empty_cells_are_samples_that_nobody_has() -> None:
    lines = _table(MADE).decode().split("\r\n")
    cells = lines[40].split(",")
    lines[40] = ",".join(["", *cells[1:-1], ""])
    found = read({"x": "\r\n".join(lines).encode()})
    assert np.isnan(found.lead("I")[37])
    assert np.isnan(found.lead("V6")[37])
    assert np.isfinite(found.lead("II")).all()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (_table(MADE, head=("Unit: mV",)), "no sampling frequency"),
        (_table(MADE, head=("fs: 500",)), "unit or gain"),
        (_table(MADE, head=("fs: 500", "Unit: mmHg")), "unit or gain"),
        (_table(MADE, head=("fs: 5", "Unit: mV")), "out of range"),
        (_table(MADE, head=("fs: 500", "Unit: V")), "gain is wrong"),
        (_table(MADE, head=("fs: 500", "Unit: mV"), names="I,II,III"), "names 3 columns and has 12"),
        (_table(MADE, times=[f"{n * 0.004:.3f}" for n in range(500)]), "states 500 Hz"),
        (
            _table(MADE, head=("Unit: mV",), times=[f"{n * 0.002 + (n > 250):.3f}" for n in range(500)]),
            "not evenly spaced",
        ),
        (_table(MADE, head=("Unit: mV",), times=["1.0"] * 500), "not evenly spaced"),
        (_table(MADE).replace(b"\r\n-", b"\r\nx", 1) + b"1,2\r\n", "cannot be read"),
        (_table(MADE) + b"1,2,3\r\n", "cannot be read"),
        (_table(MADE) + b"Average,2,3,4,5,6,7,8,9,10,11,12\r\n", "cannot be read"),
    ],
)
def test_what_cannot_be_known_is_refused_with_its_reason(content: bytes, said: str) -> None:
    with pytest.raises(Unreadable, match=said) as refused:
        read({"t.csv": content})
    assert "“t.csv”" in refused.value.zh


def test_text_without_a_table_is_no_recording() -> None:
    for content in (b"# Notes\nI, II and III were bad.\n", b"a,b\n1,2\n3,4\n", b"I,II\n" * 100):
        assert recognise(content) is Format.UNKNOWN
