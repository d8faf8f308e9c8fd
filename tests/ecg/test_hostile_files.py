"""Files that want to do harm, or came to harm: refused with the reason, in bounded time and memory, never misread."""

from __future__ import annotations

import base64
import gzip
import io
import random
import struct
import time
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from center.errors import Unreadable
from ecg.formats.aecg import write_aecg
from ecg.formats.recognise import read
from ecg.signal import EcgSignal
from tests.makers.ecg import EIGHT_LEADS, IDENTITY, make_ecg
from tests.makers.ecg_xml import (
    make_attributes,
    make_block,
    make_cardiosoft,
    make_chinese,
    make_ecgml,
    make_elements,
    make_mortara,
    make_muse,
    make_philips,
)
from tests.outside import outside_data

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom speaks up about broken values

_MEGABYTE = 1 << 20


def _bounded(files: Mapping[str, bytes], *, seconds: float, megabytes: float) -> EcgSignal | Unreadable:
    """What reading gives; fails where it takes longer (CPU) or holds more at once than it may."""
    tracemalloc.start()
    started = time.process_time()
    try:
        outcome: EcgSignal | Unreadable = read(files)
    except Unreadable as refused:
        outcome = refused
    finally:
        took, peak = time.process_time() - started, tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert took < seconds, f"{took:.1f} s"
    assert peak < megabytes * _MEGABYTE, f"{peak / _MEGABYTE:.0f} MB"
    return outcome


# ---- XML ----

_LAUGHS = "<!DOCTYPE RestingECG [<!ENTITY a0 'ha'>" + "".join(
    f"<!ENTITY a{n} '{f'&a{n - 1};' * 10}'>" for n in range(1, 10)
)
_HOSTILE_XML = {
    "billion laughs": _LAUGHS + "]><RestingECG>&a9;</RestingECG>",
    "quadratic blowup": f"<!DOCTYPE RestingECG [<!ENTITY a '{'x' * 50_000}'>]><RestingECG>{'&a;' * 50_000}</RestingECG>",
    "external entity": "<!DOCTYPE RestingECG [<!ENTITY a SYSTEM 'file:///etc/passwd'>]><RestingECG>&a;</RestingECG>",
    "external parameter entity": "<!DOCTYPE RestingECG [<!ENTITY % a SYSTEM 'http://127.0.0.1:9/x'> %a;]><RestingECG/>",
    "entity of a DTD that is not fetched": '<!DOCTYPE RestingECG SYSTEM "restecg.dtd"><RestingECG>&who;</RestingECG>',
    "attribute defaults": "<!DOCTYPE RestingECG [<!ATTLIST RestingECG a CDATA 'b'>]><RestingECG/>",
    "depth": "<RestingECG>" + "<a>" * 100_000 + "</a>" * 100_000 + "</RestingECG>",
    "breadth": "<RestingECG>" + "<a/>" * 600_000 + "</RestingECG>",
    "attributes": "<RestingECG " + " ".join(f'a{n}="1"' for n in range(500_000)) + "/>",
    "text in pieces": "<RestingECG>" + "x<a/>" * 49_000 + "</RestingECG>",
    "unclosed": "<RestingECG><Waveform>" + "<" * 200_000,
    "declarations": "<!" * 100_000 + "<RestingECG/>",
    "brackets": "<![" * 30_000,
    "two roots": "<RestingECG/><RestingECG/>",
    "comment": "<!--" + "-" * 200_000,
}


@pytest.mark.parametrize("kind", _HOSTILE_XML)
def test_hostile_xml_is_refused_in_bounded_time_and_memory(kind: str) -> None:
    content = _HOSTILE_XML[kind].encode()
    for variant in (content, b'<?xml version="1.0"?>' + content):
        outcome = _bounded({"evil.xml": variant}, seconds=3, megabytes=60 + 40 * len(variant) / _MEGABYTE)
        assert isinstance(outcome, Unreadable)
        assert "evil.xml" in outcome.zh
        assert "root:" not in outcome.en  # nothing of another file


def test_xml_beyond_its_size_is_refused_before_it_is_parsed() -> None:
    content = b"<RestingECG>" + b" " * (65 << 20) + b"</RestingECG>"
    outcome = _bounded({"x": content}, seconds=3, megabytes=20)
    assert isinstance(outcome, Unreadable)
    assert "too large" in outcome.en


_ROWS = "I,II\n" + "1,2\n" * 40
_HOSTILE_TEXT = {
    "nothing but line ends": "fs: 500\nUnit: mV\n" + _ROWS + "\n" * 6_000_000,
    "one endless line": "fs: 500\nUnit: mV\n" + _ROWS + "1 " * 4_000_000,
    "an endless header": "fs: 500" + " " * 2_000_000 + "\nUnit: mV\n" + _ROWS,
    "an endless name": "fs: 500\nUnit: mV\n" + "I" + " " * 2_000_000 + ",II\n" + "1,2\n" * 40,
    "an endless number": "fs: 500\nUnit: mV\n" + _ROWS + "1" * 2_000_000 + ",2\n",
}


@pytest.mark.parametrize("kind", _HOSTILE_TEXT)
def test_hostile_text_is_refused_in_bounded_time_and_memory(kind: str) -> None:
    content = _HOSTILE_TEXT[kind].encode()
    outcome = _bounded({"evil.csv": content}, seconds=4, megabytes=40 + 30 * len(content) / _MEGABYTE)
    assert isinstance(outcome, Unreadable)


# ---- archives ----


def test_a_gzip_bomb_is_refused_before_it_unfolds() -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    head = packer.compress(b"x") + packer.flush(zlib.Z_FULL_FLUSH)
    zeros = packer.compress(bytes(_MEGABYTE)) + packer.flush(zlib.Z_FULL_FLUSH)
    bomb = head + zeros * 1024  # a gigabyte
    outcome = _bounded({"bomb.gz": bomb}, seconds=8, megabytes=2 * len(bomb) * 100 / _MEGABYTE + 20)
    assert isinstance(outcome, Unreadable)
    assert "too large when unpacked" in outcome.en


def _zip(files: Mapping[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()


def test_a_zip_bomb_an_overstuffed_and_an_encrypted_one_are_refused() -> None:
    for content in (_zip({"a": bytes(40 << 20)}), _zip({str(n): b"x" for n in range(500)})):
        assert isinstance(_bounded({"x.zip": content}, seconds=8, megabytes=120), Unreadable)
    lying = bytearray(_zip({"a": bytes(3 << 20)}))
    central = lying.index(b"PK\x01\x02")
    lying[central + 24 : central + 28] = struct.pack("<I", 10)  # says that it unpacks to ten bytes
    assert isinstance(_bounded({"x.zip": bytes(lying)}, seconds=3, megabytes=20), Unreadable)
    locked = bytearray(_zip({"a": b"secret"}))
    central = locked.index(b"PK\x01\x02")
    locked[6] |= 1
    locked[central + 8] |= 1
    outcome = _bounded({"x.zip": bytes(locked)}, seconds=1, megabytes=10)
    assert isinstance(outcome, Unreadable)
    assert "encrypted" in outcome.en


# ---- samples that lie ----


def test_garbage_for_base64_and_wrong_checksums_say_so() -> None:
    muse = make_muse(make_ecg(1, seconds=1, leads=EIGHT_LEADS))
    for old, new, said in (
        (b"<WaveFormData>\n", b"<WaveFormData>\n\xff\xfe~~", "not Base64"),
        (b"<WaveFormData>\n", b"<WaveFormData>\nAAAA", "wrong length"),
        (b"<LeadDataCRC32>", b"<LeadDataCRC32>1", "wrong checksum"),
    ):
        head, mark, tail = muse.partition(b"<WaveformType>Rhythm")
        with pytest.raises(Unreadable, match=said):
            read({"x": head + mark + tail.replace(old, new, 1)})


def test_endless_names_and_words_are_cut_short() -> None:
    endless = "V" * 100_000
    text = write_aecg(make_ecg(1, seconds=1, patient_name=endless), IDENTITY).decode()
    found = read({"x": text.replace("MDC_ECG_LEAD_V6", endless).encode()})
    assert max(map(len, found.leads)) <= 40
    assert len(found.patient_name) <= 1000
    with pytest.raises(Unreadable) as refused:
        read({"x": text.replace("MDC_ECG_LEAD_V6", endless).replace("<digits>", "<digits>x ").encode()})
    assert len(refused.value.zh) < 300


def test_xli_that_would_unfold_without_end_is_refused() -> None:
    """Each code of a full table stands for hundreds of bytes; a file of 20 MB could ask for gigabytes."""
    codes = [0, *range(256, 1023)] + [1022] * 200_000
    bits = np.array(codes, dtype=np.uint16)
    rows = np.unpackbits(bits.astype(">u2").view(np.uint8).reshape(-1, 2), axis=1)[:, 6:]
    body = np.packbits(rows.reshape(-1)).tobytes()
    chunk = len(body).to_bytes(4, "little") + b"\x01\x00\x00\x00" + body
    text = make_philips(make_ecg(1, seconds=1), encoding="utf-8").decode()
    start = text.index(">", text.index("<parsedwaveforms")) + 1
    evil = text[:start] + base64.b64encode(chunk).decode() + text[text.index("</parsedwaveforms") :]
    outcome = _bounded({"x": evil.encode()}, seconds=5, megabytes=400)
    assert isinstance(outcome, Unreadable)
    assert "damaged" in outcome.en


# ---- cut off, changed ----

_SMALL = make_ecg(1, seconds=0.12, leads=("I", "II"))
_SMALL_TWELVE = make_ecg(1, seconds=0.12)
_SMALL_FILES: dict[str, Callable[[], bytes]] = {
    "muse": lambda: make_muse(_SMALL, median=False, demographics=""),
    "aecg": lambda: write_aecg(_SMALL, IDENTITY),
    "philips 1.03": lambda: make_philips(_SMALL_TWELVE, version="1.03", encoding="utf-8"),
    "philips 1.04": lambda: make_philips(_SMALL_TWELVE),
    "mortara": lambda: make_mortara(_SMALL),
    "cardiosoft": lambda: make_cardiosoft(_SMALL),
    "ecgml": lambda: make_ecgml(_SMALL),
    "chinese": lambda: make_chinese(_SMALL),
    "attributes": lambda: make_attributes(_SMALL),
    "block": lambda: make_block(_SMALL),
    "elements": lambda: make_elements(_SMALL),
}


@pytest.mark.parametrize("kind", _SMALL_FILES)
def test_cut_off_at_any_byte_it_is_refused_or_the_same(kind: str) -> None:
    content = _SMALL_FILES[kind]()
    whole = read({"x": content})
    for end in range(len(content)):
        try:
            found = read({"x": content[:end]})
        except Unreadable:
            continue
        assert found.leads == whole.leads, end
        assert np.array_equal(found.samples, whole.samples, equal_nan=True), end


@pytest.mark.parametrize("kind", _SMALL_FILES)
def test_a_changed_byte_never_raises_anything_else(kind: str) -> None:
    content = _SMALL_FILES[kind]()
    chance = random.Random(7)
    for _ in range(300):
        _changed_is_read_or_refused(content, chance)


def _changed_is_read_or_refused(content: bytes, chance: random.Random) -> None:
    changed = bytearray(content)
    for _ in range(chance.choice((1, 1, 1, 4, 20))):
        at = chance.randrange(len(changed))
        match chance.randrange(3):
            case 0:
                changed[at] ^= 1 << chance.randrange(8)
            case 1:
                changed[at] = chance.randrange(256)
            case _:
                del changed[at : at + chance.randrange(1, 9)]
    try:
        found = read({"x": bytes(changed)})
    except Unreadable as refused:
        assert "x" in refused.zh
        assert refused.en
        return
    assert found.samples.ndim == 2
    assert not np.isinf(found.samples).any()


def _outside_files() -> list[Path]:
    folder = outside_data("ecg_formats")
    return [
        file for file in sorted(folder.iterdir()) if file.suffix not in (".md", ".hea") and file.name[:5] != "ludb_"
    ]


@pytest.mark.parametrize("flips", [6, pytest.param(150, marks=pytest.mark.long)])
def test_every_makers_file_with_bytes_changed_is_read_or_refused(flips: int) -> None:
    chance = random.Random(11)
    for file in _outside_files():
        content = file.read_bytes()
        for _ in range(flips):
            _changed_is_read_or_refused(content, chance)
        if content[:2] == b"\x1f\x8b":
            content = gzip.decompress(content)
            for _ in range(flips):
                _changed_is_read_or_refused(content, chance)


@pytest.mark.parametrize("cuts", [4, pytest.param(100, marks=pytest.mark.long)])
def test_every_makers_file_cut_off_is_refused(cuts: int) -> None:
    chance = random.Random(13)
    for file in _outside_files():
        content = file.read_bytes()
        try:
            whole = read({"x": content})
        except Unreadable:
            continue
        for end in [0, 1, len(content) // 2, *(chance.randrange(len(content)) for _ in range(cuts))]:
            try:
                found = read({"x": content[:end]})
            except Unreadable:
                continue
            assert np.array_equal(found.samples, whole.samples, equal_nan=True), (file.name, end)


def test_every_makers_wfdb_header_with_bytes_changed_is_read_or_refused() -> None:
    folder = outside_data("ecg_formats")
    header, samples = (folder / "ludb_1.hea").read_bytes(), (folder / "ludb_1.dat").read_bytes()
    chance = random.Random(17)
    for _ in range(60):
        changed = bytearray(header)
        changed[chance.randrange(len(changed))] = chance.randrange(256)
        try:
            read({"ludb_1.hea": bytes(changed), "ludb_1.dat": samples})
        except Unreadable as refused:
            assert refused.zh
