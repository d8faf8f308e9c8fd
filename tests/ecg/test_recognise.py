"""Which format it is, by content; a refusal says what to do, in both languages."""

from __future__ import annotations

import gzip
import io
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from center.errors import Unreadable
from ecg.formats.long import open_long
from ecg.formats.recognise import READABLE, Format, read, recognise
from tests.makers.ecg import make_ecg, make_ecg_dicom, write_wfdb
from tests.outside import outside_data

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom speaks up about broken values

_MADE = {
    Format.PDF: b"%PDF-1.7\n1 0 obj\n",
    Format.PICTURE: b"\xff\xd8\xff\xe0JFIF",
    Format.SCP: b"\x12\x34\x00\x10\x00\x00\x00\x00\x00\x00\x88\x00\x00\x00\x0d\x0dSCPECG" + bytes(200),
    Format.EDF: b"0       " + b"X X X X".ljust(176) + b"512".ljust(72) + bytes(100),
    Format.BDF: b"\xffBIOSEMI" + b" " * 248,
    Format.ISHNE: b"ISHNE1.0" + bytes(600),
    Format.MFER: b"@ MFR  " + bytes(60),
    Format.AECG: b'<?xml version="1.0"?><AnnotatedECG xmlns="urn:hl7-org:v3">',
    Format.MUSE: b'<?xml version="1.0"?><!DOCTYPE RestingECG SYSTEM "restecg.dtd"><RestingECG>',
    Format.PHILIPS: '<?xml version="1.0"?><restingecgdata>'.encode("utf-16"),
    Format.XML: b"<svg><script>alert(1)</script></svg>",
    Format.EMPTY: b"",
    Format.UNKNOWN: b"\x01\x02\x03" * 50,
}


@pytest.mark.parametrize("kind", _MADE)
def test_the_format_is_told_by_content_and_a_broken_one_refused_in_both_languages(kind: Format) -> None:
    assert recognise(_MADE[kind]) is kind
    with pytest.raises(Unreadable) as refused:
        read({"upload.dcm": _MADE[kind]})
    assert "“upload.dcm”" in refused.value.zh
    assert '"upload.dcm"' in refused.value.en


def test_a_refusal_of_an_unknown_format_lists_what_is_readable() -> None:
    with pytest.raises(Unreadable) as refused:
        read({"upload": _MADE[Format.UNKNOWN]})
    for kind in READABLE:
        assert kind in refused.value.zh
        assert kind in refused.value.en


def test_the_name_of_a_file_decides_nothing() -> None:
    assert read({"report.pdf": make_ecg_dicom()}).source_format == "DICOM"
    files = write_wfdb(make_ecg(1, seconds=0.1), "r")
    assert read({"r.txt": files["r.hea"], "r.dat": files["r.dat"]}).source_format == "WFDB"


def test_two_recordings_at_once_are_refused() -> None:
    with pytest.raises(Unreadable, match="one at a time"):
        read({"a.dcm": make_ecg_dicom(), "b.dcm": make_ecg_dicom()})


def test_nothing_is_refused_too() -> None:
    with pytest.raises(Unreadable):
        read({})
    with pytest.raises(Unreadable):
        read({"empty.zip": _zipped({})})


def _zipped(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()


def test_a_recording_packed_once_is_read_and_two_or_a_doubly_packed_one_are_not() -> None:
    dicom = make_ecg_dicom()
    assert read({"a.dcm.gz": gzip.compress(dicom)}).source_format == "DICOM"
    assert read({"a.zip": _zipped({"folder/a.dcm": dicom, "print.pdf": b"%PDF-1.4"})}).source_format == "DICOM"
    assert read({"r.zip": _zipped(write_wfdb(make_ecg(1, seconds=0.1), "r"))}).source_format == "WFDB"
    with pytest.raises(Unreadable, match="one at a time"):
        read({"two.zip": _zipped({"a.dcm": dicom, "b.dcm": dicom})})
    with pytest.raises(Unreadable, match="packed twice"):
        read({"a.gz": gzip.compress(gzip.compress(dicom))})
    with pytest.raises(Unreadable, match="archive in an archive"):
        read({"a.zip": _zipped({"b.zip": _zipped({"a.dcm": dicom})})})


@pytest.mark.parametrize("cut", [1, 9, 40, -1, -8])
def test_a_packed_recording_that_is_cut_off_is_refused(cut: int) -> None:
    packed = gzip.compress(make_ecg_dicom())
    with pytest.raises(Unreadable):
        read({"a.gz": packed[:cut]})


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes_are_read_or_refused(junk: bytes) -> None:
    for content in (
        junk,
        bytes(128) + b"DICM" + junk,
        b"\x08\x00\x05\x00" + junk,
        b"<" + junk,
        b"\x1f\x8b\x08\x00" + junk,
        b"PK\x03\x04" + junk,
    ):
        with pytest.raises(Unreadable):
            read({"x": content})


def test_every_outside_file_is_read_or_refused_with_a_sentence() -> None:
    folder = outside_data("ecg_formats")
    unreadable = {"README.md", "pfe105_reference.dat", "healforce_nonconformant.scp"}
    no_hearts = {"eeg_made.dcm", "psg_short.edf", "psg_short.bdf"}  # kept and shown, or refused: the readers' own tests
    for file in sorted(folder.iterdir()):
        if file.name.startswith("ludb_1.") or file.name in no_hearts:
            continue
        if file.name not in unreadable:
            assert read({file.name: file.read_bytes()}).has("I", "II"), file.name
            continue
        with pytest.raises(Unreadable) as refused:
            read({file.name: file.read_bytes()})
        assert file.name in refused.value.zh
        assert file.name in refused.value.en


@pytest.mark.parametrize("mark", [b"\x08\x00\x08\x00", b"\x89PNG", b"ISHNE1.0", b"0       "])
def test_a_signal_file_may_begin_as_another_format_does(mark: bytes) -> None:
    files = write_wfdb(make_ecg(1), "rec")
    files["rec.dat"] = mark + files["rec.dat"][len(mark) :]
    assert read(files).samples.shape == (12, 5000)
    opened = open_long(files)
    assert opened is not None and opened.length == 5000
