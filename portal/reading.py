"""``helan read``: a preliminary read of files on disk, one line a study, in the order given; no database needed."""

from __future__ import annotations

import hashlib
import mmap
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from center.errors import Failure
from center.reads import Abstention, Finding, Measurement, ModelInput, PreliminaryRead, Reason
from dicom_gateway.room import scan
from ecg.room import read_files, to_model_input
from inference.room import Reader
from portal.inputs import Source, model_input

_MOST_BYTES = 4 << 30
_MODALITY = 0x00080060


@dataclass(slots=True)
class Study:
    """Files that belong together. kind: dicom | wfdb | other."""

    kind: str
    files: list[Path] = field(default_factory=list)
    study_uid: str = ""
    sources: list[Source] = field(default_factory=list)


def read_paths(paths: Iterable[Path], readers: Mapping[str, Reader]) -> Iterator[dict[str, Any]]:
    """The lines of ``helan read --jsonl``; readers: by kind of input (film, ecg)."""
    for study in grouped(list(files_of(paths))):
        yield line(study, readers)


def files_of(paths: Iterable[Path]) -> Iterator[Path]:
    """Files as given, folders walked in the order of names; each once."""
    seen: set[Path] = set()
    for path in paths:
        inside = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
        for file in inside:
            if file not in seen and not (path.is_dir() and file.name.startswith(".")):
                seen.add(file)
                yield file


def grouped(files: list[Path]) -> list[Study]:
    """Studies in the order of their first file; a .hea takes the signal files that it names."""
    signals = _wfdb_signals(files)
    taken = {signal for group in signals.values() for signal in group}
    studies: list[Study] = []
    by_uid: dict[str, Study] = {}
    for path in files:
        if path in taken:
            continue
        if path in signals:
            studies.append(Study("wfdb", [path, *signals[path]]))
        elif (found := _dicom_source(path)) is not None:
            study_uid, source = found
            if study_uid not in by_uid:
                by_uid[study_uid] = Study("dicom", study_uid=study_uid)
                studies.append(by_uid[study_uid])
            by_uid[study_uid].files.append(path)
            by_uid[study_uid].sources.append(source)
        else:
            studies.append(Study("other", [path]))
    return studies


def line(study: Study, readers: Mapping[str, Reader]) -> dict[str, Any]:
    """One study's line; never raises for what the files hold."""
    out: dict[str, Any] = {"path": str(study.files[0]), "files": [str(f) for f in study.files]}
    if study.study_uid:
        out["study_instance_uid"] = study.study_uid
    try:
        given = _input(study)
    except Failure as failure:
        return out | _without("unreadable", Reason(failure.name, failure.zh, failure.en))
    except (OSError, MemoryError) as error:
        reason = Reason("unreadable_file", "文件无法读取。", f"The file cannot be read ({type(error).__name__}).")
        return out | _without("unreadable", reason)
    if isinstance(given, Abstention):
        broken = given.reason.code in ("unreadable_pixels", "unreadable_signal")
        return out | _without("unreadable" if broken else "abstained", given.reason)
    reader = readers.get(given.kind)
    if reader is None:
        reason = Reason("no_model", "模型没有载入。", "The model is not loaded.")
        return out | {"kind": given.kind} | _without("abstained", reason)
    return out | _as_line(reader(given), given)


# ---------------------------------------------------------------- grouping
def _wfdb_signals(files: list[Path]) -> dict[Path, list[Path]]:
    """Each .hea with the signal files beside it that it names (plain names only)."""
    out: dict[Path, list[Path]] = {}
    for path in files:
        if path.suffix.lower() != ".hea":
            continue
        try:
            lines = path.read_text("latin-1")[:200_000].splitlines()
        except OSError:
            continue
        names = {ln.split()[0] for ln in lines[1:] if ln.strip() and not ln.startswith("#")}
        beside = [path.with_name(n) for n in sorted(names) if n == os.path.basename(n) and n not in ("", ".", "..")]
        out[path] = [b for b in beside if b.is_file()]
    return out


def _dicom_source(path: Path) -> tuple[str, Source] | None:
    """(study, instance) when the file is DICOM that can be scanned."""
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size == 0 or size > _MOST_BYTES:
                return None
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
                header = scan(bytes(mapped))
        return header.study_uid, Source(
            header.sop_uid, header.sop_class_uid, header.first(_MODALITY), _file_digest(path), path.read_bytes
        )
    except (Failure, OSError, ValueError):
        return None


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _input(study: Study) -> ModelInput | Abstention:
    if study.kind == "dicom":
        return model_input(study.study_uid, study.sources)
    contents = {f.name: f.read_bytes() for f in study.files}
    digest = hashlib.sha256("".join(hashlib.sha256(c).hexdigest() for c in contents.values()).encode()).hexdigest()
    return to_model_input(read_files(contents), "", (), digest)


# ---------------------------------------------------------------- printing
def _without(outcome: str, reason: Reason) -> dict[str, Any]:
    return {"outcome": outcome, "reason": {"code": reason.code, "en": reason.en, "zh": reason.zh}}


def _as_line(read: PreliminaryRead, given: ModelInput) -> dict[str, Any]:
    out: dict[str, Any] = {"kind": read.kind, "outcome": str(read.outcome)}
    if read.reason is not None:
        out["reason"] = {"code": read.reason.code, "en": read.reason.en, "zh": read.reason.zh}
    out["model"] = {"name": read.model, "version": read.version}
    if read.findings:
        out["findings"] = [_finding(f) for f in read.findings]
    if read.measurements:
        out["measurements"] = [_measurement(m) for m in read.measurements]
    if read.quality:
        out["quality"] = read.quality
    return out | read.extra


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "key": finding.key, "en": finding.en, "zh": finding.zh, "probability": round(finding.probability, 4),
        "decision": str(finding.decision),
        "codes": [{"value": c.value, "scheme": c.scheme, "meaning": c.meaning} for c in finding.codes],
    }  # fmt: skip


def _measurement(measurement: Measurement) -> dict[str, Any]:
    return {"key": measurement.key, "value": measurement.value, "unit": measurement.unit}


_DECISIONS = {"present": "提示 present", "absent": "未提示 not flagged", "uncertain": "不确定 uncertain"}
_UNCONFIRMED = (
    "  机器初读，未经医师确认；未提示不等于没有 | a machine's read, unconfirmed; not flagged does not rule out"
)


def in_words(line: Mapping[str, Any]) -> str:
    """A line as a person reads it: what said it and that nobody has confirmed it stand beside the figures."""
    model = line.get("model")
    said_by = f"  {model['name']} {model['version']}" if model else ""
    words = [f"{line['path']}  {line.get('kind', '-')}  {line['outcome']}{said_by}"]
    if "reason" in line:
        words.append(f"  {line['reason']['zh']} | {line['reason']['en']}")
    words += [
        f"  {f['zh']} {f['en']}: {f['probability']:.3f} {_DECISIONS[f['decision']]}" for f in line.get("findings", ())
    ]
    words += [f"  {m['key']}: {m['value']:g} {m['unit']}" for m in line.get("measurements", ())]
    if line["outcome"] == "read":
        words.append(_UNCONFIRMED)
    return "\n".join(words)
