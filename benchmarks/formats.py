"""Reading the 20 example files: is each right, and how long does it take, beside EcgDataKit in interleaved rounds.

    .venv/bin/python -m benchmarks.formats FOLDER [--peer PYTHON] [--rounds 20]

FOLDER holds the examples (ecg_formats).  PYTHON is the interpreter of an environment with EcgDataKit in it; the peer
reads in a process of its own and both report CPU time.  "Right" is judged against a file's truth (counts that it was
made from, a reference recording, a twin in another format) or against a decoding written here; it says how.
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from center.errors import Unreadable
from ecg.formats.recognise import read

MilliVolts = dict[str, npt.NDArray[np.float64]]
EIGHT: Final = ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")
TWELVE: Final = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")

# The peer reads what it is told line by line, and answers with CPU seconds; samples go through a file.
_PEER: Final = r"""
import json, sys, time, warnings
warnings.simplefilter("ignore")
import numpy as np
from ecgdatakit import FileParser
for line in sys.stdin:
    path, out = json.loads(line)
    started = time.process_time()
    try:
        leads = FileParser().parse(path).leads
        took, said = time.process_time() - started, ""
        if out:
            np.savez(out, **{f"{n}:{x.label}:{x.units}": x.samples for n, x in enumerate(leads)})
    except Exception as trouble:
        took, said = time.process_time() - started, f"{type(trouble).__name__}: {trouble}"[:200]
    print(json.dumps([took, said]), flush=True)
"""


@dataclass(frozen=True, slots=True)
class Example:
    """One file, how its truth is known, and the judgement: leads in mV -> "" where right, else what is wrong."""

    name: str
    truth: str
    judge: Callable[[MilliVolts], str]
    must_refuse: bool = False


# ---- judgements ----


def _near(found: MilliVolts, truth: Mapping[str, npt.NDArray[np.float64]], peak_uv: float, rms_uv: float = 1e9) -> str:
    """Right where every lead of the truth is there, as long, and within these limits; rms over all leads together."""
    squares: list[float] = []
    for lead, wanted in truth.items():
        values = found.get(lead)
        if values is None or values.size != wanted.size:
            return f"{lead}: {'missing' if values is None else f'{values.size} samples of {wanted.size}'}"
        if not np.isfinite(values).all():
            return f"{lead}: {int((~np.isfinite(values)).sum())} samples lost"
        apart = 1000 * np.abs(values - wanted)
        squares.append(float(np.mean(apart**2)))
        if apart.max() > peak_uv:
            return f"{lead}: up to {apart.max():.1f} uV, {np.sqrt(squares[-1]):.1f} uV rms off"
    rms = float(np.sqrt(np.mean(squares)))
    return f"{rms:.1f} uV rms off" if rms > rms_uv else ""


def _ludb(folder: Path, step_uv: float | None) -> dict[str, npt.NDArray[np.float64]]:
    """LUDB record 1: as WFDB defines it (None), or its integers as uV in whole steps."""
    counts = np.frombuffer((folder / "ludb_1.dat").read_bytes(), "<i2").reshape(-1, 12).T.astype(np.float64)
    if step_uv is not None:
        return {lead: np.rint(row / step_uv) * step_uv * 1e-3 for lead, row in zip(TWELVE, counts, strict=True)}
    gains = re.findall(r"16 (\d+)\((-?\d+)\)/mV", (folder / "ludb_1.hea").read_text())
    return {lead: (row - int(zero)) / int(gain) for lead, row, (gain, zero) in zip(TWELVE, counts, gains, strict=True)}


def _reference(folder: Path) -> dict[str, npt.NDArray[np.float64]]:
    counts = np.frombuffer((folder / "pfe105_reference.dat").read_bytes(), "<i2").reshape(-1, 8)
    return {lead: counts[:, n] * 1e-3 for n, lead in enumerate(EIGHT)}


def _digits(folder: Path) -> dict[str, npt.NDArray[np.float64]]:
    """The aECG's first twelve leads, by a pattern and 5 uV a digit."""
    found = re.findall(r'"MDC_ECG_LEAD_(\w+)".*?<digits>([^<]*)', (folder / "hl7aecg_100hz.xml").read_text(), re.DOTALL)
    names = {lead.upper(): lead for lead in TWELVE}
    return {names[name]: np.array(text.split(), np.float64) * 5e-3 for name, text in found[:12]}


def _plain_dicom(path: Path) -> dict[str, npt.NDArray[np.float64]]:
    """A DICOM waveform's first group by pydicom's own scaling."""
    from pydicom import dcmread

    dataset = dcmread(path)
    group = dataset.WaveformSequence[0]
    unit = {"uV": 1e-3, "mV": 1.0}[group.ChannelDefinitionSequence[0].ChannelSensitivityUnitsSequence[0].CodeValue]
    values = dataset.waveform_array(0).T * unit
    return dict(zip(TWELVE, values, strict=False))


def _edf_signals(path: Path, width: int) -> dict[str, npt.NDArray[np.float64]]:
    """The EDF's or BDF's signals by name, decoded here: physical values, uV as mV."""
    raw = path.read_bytes()
    count = int(raw[252:256])
    field = lambda at, size: [raw[256 + at * count + n * size :][:size].decode().strip() for n in range(count)]  # noqa: E731
    labels, units = field(0, 16), field(96, 8)
    low, high, dlow, dhigh = (np.array(field(at, 8), float) for at in (104, 112, 120, 128))
    per = np.array(field(216, 8), int)
    body = np.frombuffer(raw, np.uint8, offset=256 * (count + 1))
    records = (
        body[: body.size // (per.sum() * width) * per.sum() * width].reshape(-1, per.sum(), width).astype(np.int64)
    )
    values = sum(records[:, :, k] << 8 * k for k in range(width))
    values = np.where(values >= 1 << (8 * width - 1), values - (1 << 8 * width), values)
    ends = np.cumsum(per)
    out: dict[str, npt.NDArray[np.float64]] = {}
    for n, label in enumerate(labels):
        if units[n] == "uV":
            counts = values[:, ends[n] - per[n] : ends[n]].reshape(-1)
            out[label] = ((counts - dlow[n]) * (high[n] - low[n]) / (dhigh[n] - dlow[n]) + low[n]) * 1e-3
    return out


def _any_of(found: MilliVolts, truth: Mapping[str, npt.NDArray[np.float64]]) -> str:
    """Right where every voltage that was read is one of the truth's, a slower one held, and the truth has no more."""
    left = list(truth.values())
    for lead, values in found.items():
        if np.isnan(values).all():
            continue  # in no unit of voltage: a breath, a temperature
        hit = [n for n, w in enumerate(left) if not values.size % w.size and _same(values, w)]
        if not hit:
            return f"{lead}: not the file's values"
        left.pop(hit[0])
    return f"{len(left)} voltages missing" if left else ""


def _same(values: npt.NDArray[np.float64], wanted: npt.NDArray[np.float64]) -> bool:
    return bool(np.abs(np.repeat(wanted, values.size // wanted.size) - values).max() < 1e-3)


def _philips(found: MilliVolts) -> str:
    """Right where twelve leads obey the limb laws within two counts of 5 uV and no calibration pulse is left."""
    if set(found) != set(TWELVE):
        return "not twelve leads"
    i, ii = found["I"], found["II"]
    laws = {"III": ii - i, "aVR": -(i + ii) / 2, "aVL": i - ii / 2, "aVF": ii - i / 2}
    pulse = np.all([np.isclose(values, 1.0) for values in found.values()], axis=0)
    quiet = ~pulse
    for lead, values in laws.items():
        if np.abs(found[lead] - values)[quiet].max() > 0.0101:
            return f"{lead} breaks its law"
    return f"calibration pulse left in ({int(pulse.sum())} samples)" if pulse.sum() > 50 else ""


def examples(folder: Path) -> list[Example]:
    """The twenty files, each with its judgement."""
    aecg = dict(zip(*_read(folder / "same_record_aecg.xml.gz"), strict=True))
    ref, dicom = _reference(folder), _plain_dicom(folder / "hemodynamic_12lead_240hz.dcm")
    same = lambda found: _near(found, aecg, 0.01)  # noqa: E731
    twins = "its twins: aECG, SCP and DICOM of one record, 0 uV"
    second = "the other reader's samples, 2 uV"
    return [
        Example("same_record.dcm", twins, same),
        Example("same_record.scp", twins, same),
        Example("same_record_aecg.xml.gz", twins, same),
        Example("pfe105_redred.scp", "pfe105_reference.dat, 2 uV", lambda f: _near(f, ref, 2.01)),
        Example("pfe105_high.scp", "pfe105_reference.dat, 10 uV rms", lambda f: _near(f, ref, 1e9, 10)),
        Example("pfe105.dcm", "pfe105_reference.dat, 2 uV", lambda f: _near(f, ref, 2.01)),
        Example("hemodynamic_12lead_240hz.dcm", "pydicom's scaling", lambda f: _near(f, dicom, 0.1)),
        Example("scp_600hz_8lead.scp", second, lambda f: ""),
        Example("scp_600hz_v3r_v7.scp", second, lambda f: ""),
        Example("healforce_nonconformant.scp", "not SCP-ECG: refused", lambda f: "read", must_refuse=True),
        Example("philips_1_03.xml", "limb laws, no pulse", _philips),
        Example("philips_1_04_demo.xml", "limb laws, no pulse", _philips),
        Example("philips_1_04_01.xml", "limb laws, no pulse", _philips),
        Example("hl7aecg_100hz.xml", "its digits by a pattern", lambda f: _near(f, _digits(folder), 0.01)),
        Example("muse_made.xml", "LUDB's counts / 4.88 uV", lambda f: _near(f, _eight(_ludb(folder, 4.88)), 0.01)),
        Example("ishne_made.ecg", "LUDB's counts, 1 uV", lambda f: _near(f, _eight(_ludb(folder, 1.0)), 0.01)),
        Example("ludb_1.hea", "its counts and gains", lambda f: _near(f, _ludb(folder, None), 0.01)),
        Example("psg_short.edf", "decoded here", lambda f: _any_of(f, _edf_signals(folder / "psg_short.edf", 2))),
        Example("psg_short.bdf", "decoded here", lambda f: _any_of(f, _edf_signals(folder / "psg_short.bdf", 3))),
        Example("eeg_made.dcm", "pydicom's scaling", lambda f: _any_of(f, _plain_dicom(folder / "eeg_made.dcm"))),
    ]


def _eight(leads: dict[str, npt.NDArray[np.float64]]) -> dict[str, npt.NDArray[np.float64]]:
    return {lead: leads[lead] for lead in EIGHT}


# ---- readers ----


def _files(path: Path) -> dict[str, bytes]:
    files = {path.name: path.read_bytes()}
    if path.suffix == ".hea":
        files[path.with_suffix(".dat").name] = path.with_suffix(".dat").read_bytes()
    return files


def _read(path: Path) -> tuple[tuple[str, ...], npt.NDArray[np.float64]]:
    signal = read(_files(path))
    return signal.leads, signal.samples


def _unpacked(path: Path, folder: str) -> Path:
    """The file as the peer takes it: it opens no GZIP."""
    if path.suffix != ".gz":
        return path
    plain = Path(folder) / path.stem
    plain.write_bytes(gzip.decompress(path.read_bytes()))
    return plain


def _ours(path: Path) -> tuple[float, str]:
    files = _files(path)
    started = time.process_time()
    try:
        read(files)
        return time.process_time() - started, ""
    except Unreadable as refused:
        return time.process_time() - started, refused.en


class _Peer:
    """EcgDataKit in a process of its own."""

    def __init__(self, python: str) -> None:
        self._process = subprocess.Popen(
            [python, "-c", _PEER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def read(self, path: Path, out: str = "") -> tuple[float, str]:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(json.dumps([str(path), out]) + "\n")
        self._process.stdin.flush()
        took, said = json.loads(self._process.stdout.readline())
        return took, said

    def leads(self, path: Path) -> MilliVolts | str:
        """The peer's samples, mV, by lead; what it said where it has none."""
        with tempfile.TemporaryDirectory() as folder:
            out = f"{folder}/leads.npz"
            _, said = self.read(path, out)
            if said:
                return said
            per = {"mV": 1.0, "uV": 1e-3}
            found = np.load(out)
            return {key.split(":")[1]: found[key] * per.get(key.split(":")[2], np.nan) for key in found.files}

    def close(self) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait(10)


def _verdict(example: Example, found: MilliVolts | str) -> str:
    if isinstance(found, str):
        return "right (refused)" if example.must_refuse else f"refused: {found[:90]}"
    wrong = example.judge(found)
    return f"WRONG: {wrong}" if wrong else "right"


def main() -> None:
    """Prints a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--peer", default="")
    parser.add_argument("--rounds", type=int, default=20)
    arguments = parser.parse_args()
    peer = _Peer(arguments.peer) if arguments.peer else None
    rows = examples(arguments.folder)
    with tempfile.TemporaryDirectory() as folder:
        plain = {row.name: _unpacked(arguments.folder / row.name, folder) for row in rows}
        _compare(rows, arguments.folder, plain, peer, arguments.rounds)
    if peer:
        peer.close()


def _compare(rows: list[Example], folder: Path, plain: Mapping[str, Path], peer: _Peer | None, rounds: int) -> None:
    times: dict[tuple[str, str], list[float]] = {}
    for _ in range(rounds + 1):
        for row in rows:
            path = folder / row.name
            times.setdefault(("ours", row.name), []).append(_ours(path)[0])
            if peer:
                times.setdefault(("peer", row.name), []).append(peer.read(plain[row.name])[0])
    ms = {key: 1000 * float(np.median(values[1:])) for key, values in times.items()}  # the first round warms up
    print("| file | truth | ours | ms | EcgDataKit | ms |\n|---|---|---|---|---|---|")
    right = {"ours": 0, "peer": 0}
    for row in rows:
        path = folder / row.name
        try:
            mine: MilliVolts | str = dict(zip(*_read(path), strict=True))
        except Unreadable as refused:
            mine = refused.en
        theirs = peer.leads(plain[row.name]) if peer else ""
        said = [_verdict(row, mine), _verdict(row, theirs) if peer else "-"]
        if row.truth.startswith("the other") and isinstance(mine, dict) and isinstance(theirs, dict):
            said = [_verdict_of(_near(mine, {k: v for k, v in theirs.items() if k in mine}, 2.01))] * 2
        right["ours"] += said[0].startswith("right")
        right["peer"] += said[1].startswith("right")
        cells = [row.name, row.truth, said[0], f"{ms['ours', row.name]:.1f}", said[1]]
        print("| " + " | ".join([*cells, f"{ms.get(('peer', row.name), float('nan')):.1f}"]) + " |")
    for who in ("ours", "peer"):
        mine_ms = [value for (name, _), value in ms.items() if name == who]
        if mine_ms:
            every = [1000 * v for (name, _), values in times.items() if name == who for v in values[1:]]
            print(
                f"\n{who}: {right[who]} of {len(rows)} right; median {np.median(mine_ms):.1f} ms, "
                f"p95 of files {np.quantile(mine_ms, 0.95):.1f} ms, p95 of all reads {np.quantile(every, 0.95):.1f} ms"
                f" (CPU; {rounds} interleaved rounds; Python {sys.version.split()[0]}, numpy {np.__version__})"
            )


def _verdict_of(wrong: str) -> str:
    return f"differs: {wrong}" if wrong else "right (both agree)"


if __name__ == "__main__":
    main()
