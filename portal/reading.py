"""``helan read``: a preliminary read of files on disk, one line a study, in the order given; no database needed.

Studies are read in processes side by side; one that breaks, or takes its process with it, gets a line that says so.
"""

from __future__ import annotations

import hashlib
import mmap
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from center import observe
from center.errors import Failure
from center.reads import (
    Abstention,
    Code,
    Critical,
    EvidenceLine,
    Finding,
    Measurement,
    ModelInput,
    PreliminaryRead,
    Reason,
    StatementLine,
    ecg_not_read,
)
from dicom_gateway.room import scan
from ecg.room import is_known_format, is_long, open_long, read_files, to_long_input, to_model_input
from inference.room import Reader
from portal.inputs import Source, is_waveform, model_input
from portal.workers import in_order

log = observe.log("portal")

_MOST_BYTES: Final = 4 << 30
_MODALITY: Final = 0x00080060
_HEAD_BYTES: Final = 132
_LOOKED_AT_BYTES: Final = 1 << 16
_LARGE_BYTES: Final = 1 << 20
"""A minute and a half of twelve leads; what is smaller is read whole."""
#: A data set without preamble begins with an element of group 0002, 0004 or 0008 (PS3.10 7.1), or with the prefix.
_BARE_DATA_SETS: Final = (b"\x02\x00", b"\x04\x00", b"\x08\x00", b"\x00\x08", b"DI")
_INDEX: Final = Reason(
    "dicomdir",
    "这是光盘目录文件 DICOMDIR，只是索引，不含影像。",
    "This is a DICOMDIR, the index of a disc: it holds no images.",
)
_BROKE: Final = Reason("read_failed", "程序读取时出错，这份没有初读。", "The program failed on this one: no read.")
_LOST: Final = {
    "died": Reason(
        "process_died", "读取进程意外终止（可能内存不足），这份没有初读。", "The reading process died: no read."
    ),
    "too_long": Reason("too_long", "读取超过 30 分钟，已中止。", "Reading took over 30 minutes and was stopped."),
}

Readers = Mapping[str, Reader]
Line = dict[str, Any]


@dataclass(slots=True)
class Study:
    """Files that belong together. kind: dicom | wfdb | index | other; annotations: of a .hea, which are no recordings."""

    kind: str
    files: list[Path] = field(default_factory=list)
    annotations: list[Path] = field(default_factory=list)
    study_uid: str = ""
    sources: list[Source] = field(default_factory=list)


def read_paths(paths: Iterable[Path], readers: Readers, *, every_lead: bool = False) -> Iterator[Line]:
    """The lines of ``helan read --jsonl``, read one by one here; readers: by kind of input (film, ecg)."""
    for study in grouped(list(files_of(paths))):
        yield line(study, readers, every_lead=every_lead)


def read_side_by_side(
    studies: list[Study], make_readers: Callable[[], Readers], jobs: int, *, every_lead: bool = False
) -> Iterator[Line]:
    """The same lines in the same order, from ``jobs`` processes that each make their readers."""
    if len(studies) < 2 or jobs < 1:
        readers = make_readers()
        return (line(study, readers, every_lead=every_lead) for study in studies)
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # processes are what runs side by side, not their libraries' threads
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    made = partial(_reading, make_readers, every_lead)
    return in_order(studies, made, _lost, min(jobs, len(studies)), preload=("portal.reading",))


def _reading(make_readers: Callable[[], Readers], every_lead: bool) -> Callable[[Study], Line]:
    return partial(line, readers=make_readers(), every_lead=every_lead)


def _lost(study: Study, why: str) -> Line:
    return _of(study) | _not_read(study, _LOST[why])


def _not_read(study: Study, reason: Reason) -> Line:
    """Nothing was read, for no fault of the file's: an ECG goes up, since what broke the machine may be critical."""
    out = _without("unreadable", reason)
    critical = ecg_not_read("none", "0", "", reason).critical if _may_be_ecg(study) else None
    return out | ({"kind": "ecg", "critical": _critical(critical)} if critical else {})


def _may_be_ecg(study: Study) -> bool:
    return any(map(is_waveform, study.sources)) or (
        study.kind != "dicom" and not all(_says_nothing(path) for path in study.files)
    )


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
    """Studies in the order of their first file; a .hea takes the signal files that it names, and its annotations."""
    signals = _wfdb_signals(files)
    beside = _wfdb_annotations(files, signals)
    taken = {file for group in (*signals.values(), *beside.values()) for file in group}
    studies: list[Study] = []
    by_uid: dict[str, Study] = {}
    for path in files:
        if path in taken:
            continue
        if path in signals:
            studies.append(Study("wfdb", [path, *signals[path]], beside[path]))
        elif (found := _dicom_source(path)) is not None:
            if isinstance(found, Reason):
                studies.append(Study("index", [path]))
                continue
            study_uid, source = found
            if study_uid not in by_uid:
                by_uid[study_uid] = Study("dicom", study_uid=study_uid)
                studies.append(by_uid[study_uid])
            by_uid[study_uid].files.append(path)
            by_uid[study_uid].sources.append(source)
        else:
            studies.append(Study("other", [path]))
    return studies


def line(study: Study, readers: Readers, *, every_lead: bool = False) -> Line:
    """One study's line; never raises, whatever the files hold."""
    out = _of(study)
    try:
        return out | _read(study, readers, every_lead)
    except Exception as error:  # the rim: one study must not end the others
        log.error("read.broke", exc=error)
        return out | _not_read(study, _BROKE)


def _of(study: Study) -> Line:
    out: Line = {"path": str(study.files[0]), "files": [str(f) for f in study.files]}
    if study.annotations:
        out["annotation_files"] = [str(f) for f in study.annotations]
    return out | ({"study_instance_uid": study.study_uid} if study.study_uid else {})


def _read(study: Study, readers: Readers, every_lead: bool) -> Line:
    try:
        given = _input(study)
    except Failure as failure:
        return _without("unreadable", Reason(failure.name, failure.zh, failure.en))
    except (OSError, MemoryError) as error:
        reason = Reason("unreadable_file", "文件无法读取。", f"The file cannot be read ({type(error).__name__}).")
        return _without("unreadable", reason)
    if isinstance(given, Abstention):
        broken = given.reason.code in ("unreadable_pixels", "unreadable_signal")
        return _without("unreadable" if broken else "abstained", given.reason)
    reader = readers.get(given.kind)
    if reader is None:
        reason = Reason("no_model", "模型没有载入。", "The model is not loaded.")
        return {"kind": given.kind} | _without("abstained", reason)
    return _as_line(reader(replace(given, every_lead=every_lead, every_beat=True)))


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


def _wfdb_annotations(files: list[Path], signals: Mapping[Path, list[Path]]) -> dict[Path, list[Path]]:
    """Each .hea with the files of its own name beside it that are no signals and no recordings by themselves."""
    named = {signal for group in signals.values() for signal in group}
    headers = {(header.parent, header.stem): header for header in signals}
    out: dict[Path, list[Path]] = {header: [] for header in signals}
    for path in files:
        header = headers.get((path.parent, path.stem))
        if header is not None and path not in named and path not in signals and _says_nothing(path):
            out[header].append(path)
    return out


def _says_nothing(path: Path) -> bool:
    """In no format that is known."""
    try:
        with path.open("rb") as file:
            return not is_known_format(file.read(_LOOKED_AT_BYTES))
    except OSError:
        return False


def _dicom_source(path: Path) -> tuple[str, Source] | Reason | None:
    """(study, instance) when the file is DICOM that can be scanned; why not where it is a disc's index."""
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            head = file.read(_HEAD_BYTES)
            if not _may_be_dicom(head) or size > _MOST_BYTES:
                return None
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
                header = scan(bytes(mapped))
        return header.study_uid, Source(
            header.sop_uid, header.sop_class_uid, header.first(_MODALITY), _file_digest(path), path.read_bytes
        )
    except Failure as failure:
        return _INDEX if failure.facts.get("kind") == "dicomdir" else None
    except (OSError, ValueError):
        return None


def _may_be_dicom(head: bytes) -> bool:
    """By its first bytes, so that a recording of another format isn't read whole to be told apart."""
    return head[128:132] == b"DICM" or head[:2] in _BARE_DATA_SETS


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _input(study: Study) -> ModelInput | Abstention:
    if (long := _long_input(study)) is not None:
        return long
    if study.kind == "index":
        return Abstention(_INDEX)
    if study.kind == "dicom":
        return model_input(study.study_uid, study.sources)
    return to_model_input(read_files({f.name: f.read_bytes() for f in study.files}), "", (), _digest(study))


def _long_input(study: Study) -> ModelInput | None:
    """A recording of hours stays on the disk and is read from there, block by block; None: anything else."""
    if sum(f.stat().st_size for f in study.files) < _LARGE_BYTES or not all(map(is_waveform, study.sources)):
        return None
    opened = open_long({f.name: _mapped(f) for f in study.files if f.stat().st_size})
    if opened is None or not is_long(opened):
        return None
    return to_long_input(opened, study.study_uid, tuple(s.sop_uid for s in study.sources), _digest(study))


def _mapped(path: Path) -> mmap.mmap:
    """The file's bytes, as long as somebody holds them."""
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def _digest(study: Study) -> str:
    return hashlib.sha256("".join(_file_digest(f) for f in study.files).encode()).hexdigest()


# ---------------------------------------------------------------- printing
def _without(outcome: str, reason: Reason) -> dict[str, Any]:
    return {"outcome": outcome, "reason": {"code": reason.code, "en": reason.en, "zh": reason.zh}}


def _as_line(read: PreliminaryRead) -> Line:
    out: Line = {"kind": read.kind, "outcome": str(read.outcome)}
    if read.reason is not None:
        out["reason"] = {"code": read.reason.code, "en": read.reason.en, "zh": read.reason.zh}
    out["model"] = {"name": read.model, "version": read.version}
    if read.findings:
        out["findings"] = [_finding(f) for f in read.findings]
    if read.critical is not None:
        out["critical"] = _critical(read.critical)
    if read.statements:
        out["statements"] = [_statement(s) for s in read.statements]
    if read.measurements:
        out["measurements"] = [_measurement(m) for m in read.measurements if not m.lead]
        if by_lead := _by_lead(read.measurements):
            out["measurements_by_lead"] = by_lead
    if read.quality:
        out["quality"] = read.quality
    if read.issues:
        out["issues"] = [{"code": issue.code, "en": issue.en, "zh": issue.zh} for issue in read.issues]
    if read.device:
        out["device"] = [_there({"text": d.text, "value": d.value, "unit": d.unit}) for d in read.device]
    return out | read.extra


def _finding(finding: Finding) -> Line:
    return {
        "key": finding.key, "en": finding.en, "zh": finding.zh, "probability": round(finding.probability, 4),
        "decision": str(finding.decision), "codes": _codes(finding.codes),
    }  # fmt: skip


def _statement(said: StatementLine) -> Line:
    out: Line = {"key": said.key, "en": said.en, "zh": said.zh, "certainty": round(said.certainty, 4)}
    out |= {"codes": _codes(said.codes), "evidence": _evidence(said.evidence)}
    return out | ({"modifiers": list(said.modifiers)} if said.modifiers else {})


def _critical(critical: Critical) -> Line:
    rules = [
        {"rule": r.rule, "tier": str(r.tier), "en": r.en, "zh": r.zh, "source": r.source,
         "evidence": _evidence(r.evidence)}
        for r in critical.rules
    ]  # fmt: skip
    return {"tier": str(critical.tier), "profile": critical.profile, "version": critical.version, "rules": rules}


def _evidence(lines: Iterable[EvidenceLine]) -> list[Line]:
    return [
        _there(
            {"key": e.key, "en": e.en, "zh": e.zh, "value": e.value, "unit": e.unit, "limit": e.limit, "lead": e.lead,
             "start_s": e.start_s, "end_s": e.end_s, "source": e.source}
        )
        for e in lines
    ]  # fmt: skip


def _by_lead(measurements: Iterable[Measurement]) -> dict[str, list[Line]]:
    """Apart from those of the whole, whose keys they share."""
    found: dict[str, list[Line]] = {}
    for m in measurements:
        if m.lead:
            found.setdefault(m.lead, []).append(_measurement(replace(m, lead="")))
    return found


def _measurement(measurement: Measurement) -> Line:
    out: Line = {"key": measurement.key, "value": measurement.value, "unit": measurement.unit}
    certainty = None if measurement.certainty is None else round(measurement.certainty, 3)
    return out | _there({"lead": measurement.lead, "certainty": certainty})


def _codes(codes: Iterable[Code]) -> list[Line]:
    return [{"value": c.value, "scheme": c.scheme, "meaning": c.meaning} for c in codes]


def _there(fields: Line) -> Line:
    """Those that say something."""
    return {name: value for name, value in fields.items() if value is not None and value != ""}


_TIERS = {
    "red": "红 · 请立即判读 red: read now", "orange": "橙 · 优先判读 orange: read next",
    "yellow": "黄 · 关注 yellow", "green": "绿 · 按序 green: in turn",
}  # fmt: skip
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
    if critical := line.get("critical"):
        words.append(f"  {_TIERS[critical['tier']]}（{critical['profile']} {critical['version']}）")
        words += [f"    {r['zh']} {r['en']}" for r in critical["rules"]]
    words += [f"  注意 note: {i['zh']} | {i['en']}" for i in line.get("issues", ())]
    words += [f"  {s['zh']} {s['en']}: {s['certainty']:.2f}" for s in line.get("statements", ())]
    words += [f"  {m['key']}: {m['value']:g} {m['unit']}" for m in line.get("measurements", ()) if not m.get("lead")]
    if line["outcome"] == "read":
        words.append(_UNCONFIRMED)
    return "\n".join(words)
