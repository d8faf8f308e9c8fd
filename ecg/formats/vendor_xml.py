"""Makers' XML without a published schema -> EcgSignal, by the names and layouts in ``vendors.toml``.

First a layout with a public description; else by shape: elements that name a known lead and hold its samples, or one
block of samples with the order of its leads.  Sampling frequency and scale must be named in the file, next to the lead
or above it; where they aren't, or where two differ, the file is refused.  Nothing here was proven on a device's file.
"""

from __future__ import annotations

import base64
import binascii
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from center.errors import Unreadable
from ecg.formats.leads import (
    StoredLead,
    age_years,
    coded_day,
    coded_sex,
    decimal_numbers,
    instant,
    mv_per_unit,
    number,
    recording,
    unproven,
    whole_numbers,
)
from ecg.formats.trouble import EXPORT_AGAIN, unreadable
from ecg.formats.xml_bounded import Element, parse_xml
from ecg.signal import DeviceNote, EcgSignal, canonical_lead, is_known_lead

_MAX_NOTES: Final = 100
_FILLING: Final = re.compile(r"[\s_.\-]+")
_BASE64: Final = re.compile(r"[A-Za-z0-9+/\s]{64,}={0,2}\s*")
_NUMBERS: Final = re.compile(r"[\s\d.,;eE+-]{64,}")
_LEAD_WORDS: Final = re.compile(r"(?i)^(?:mdc_ecg_lead_|lead|channel|导联|通道)[\s_-]*")


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """``vendors.toml``: every name folded, so that case and filling don't matter."""

    names: Mapping[str, frozenset[str]]
    measurements: Mapping[str, tuple[str, str]]
    makers: tuple[Mapping[str, Any], ...]
    layouts: tuple[Mapping[str, str], ...]
    csv: tuple[Mapping[str, Any], ...]


@cache
def vocabulary() -> Vocabulary:
    """The names and layouts that this installation knows."""
    raw = tomllib.loads((files("ecg.formats") / "vendors.toml").read_text(encoding="utf-8"))
    return Vocabulary(
        names={key: frozenset(map(folded, names)) for key, names in raw["names"].items()},
        measurements={
            folded(name): (text, row["unit"]) for text, row in raw["measurements"].items() for name in row["names"]
        },
        makers=tuple(raw.get("maker", ())),
        layouts=tuple(raw.get("layout", ())),
        csv=tuple(raw.get("csv", ())),
    )


def folded(name: str) -> str:
    """A name without case, blanks and filling."""
    return _FILLING.sub("", name).casefold()


def maker_of(root: Element) -> tuple[str, str]:
    """(English, Chinese) name of the maker that the file names; empty where it names none that we know."""
    words = " ".join(_short_texts(root)).casefold()
    for maker in vocabulary().makers:
        if any(word in words for word in maker["words"]):
            return maker["name"], maker["zh"]
    return "", ""


def read_vendor_xml(content: bytes, file: str = "ECG") -> EcgSignal:
    """The recording in a maker's XML.  Raises Unreadable, also where rate or scale are not named in it."""
    root = parse_xml(content, file)
    for layout in vocabulary().layouts:
        if root.name == layout["root"] and root.find(layout["leads"]) is not None:
            return _by_layout(root, layout, file)
    return by_shape(root, file)


# ---- layouts with a public description ----


def _by_layout(root: Element, layout: Mapping[str, str], file: str) -> EcgSignal:
    fs_hz = _one(root, layout["rate_hz"], file, "采样率", "sampling frequency")
    per_count = _layout_scale(root, layout, file)
    leads: list[StoredLead] = []
    for element in root.all(layout["leads"]):
        name = lead_name(element.get(layout["lead_name"]))
        values = _samples(element.get(layout["samples"]), layout["encoding"], name, file)
        leads.append(StoredLead(name, values * per_count, per_count if layout["scale"] != "unit" else 0.0))
    return _recording(root, leads, fs_hz, layout["name"], layout["zh"], file)


def _layout_scale(root: Element, layout: Mapping[str, str], file: str) -> float:
    """mV a count, or mV a unit."""
    if layout["scale"] == "unit":
        units = {mv_per_unit(text) for text in _texts(root, layout["scale_at"])}
        if len(units) == 1 and (per_unit := units.pop()):
            return per_unit
        raise no_scale(file)
    path, _, told = layout.get("scale_unit", "").partition("=")
    if told and root.get(path).casefold() != told.casefold():
        raise no_scale(file)
    value = _one(root, layout["scale_at"], file, "幅度比例", "scale")
    return value * 1e-3 if layout["scale"] == "uv_per_count" else 1 / value


def _texts(root: Element, path: str) -> list[str]:
    where, _, attribute = path.partition("@")
    return [e.attributes.get(attribute, "") if attribute else e.text for e in root.all(where)]


def _one(root: Element, path: str, file: str, zh: str, en: str) -> float:
    """The one number at this path, above 0."""
    values = {number(text) for text in _texts(root, path)}
    value = values.pop() if len(values) == 1 else None
    if not value or value <= 0:
        raise unreadable(file, f"没有写明唯一的{zh}", f"does not state one {en}", todo=EXPORT_AGAIN, expected=path)
    return value


# ---- by shape ----


@dataclass(frozen=True, slots=True)
class _Found:
    """A lead's samples, and the elements around it, nearest first."""

    name: str
    text: str
    around: tuple[Element, ...]


def by_shape(root: Element, file: str) -> EcgSignal:
    """The recording in XML of whatever makers, where it names leads, sampling frequency and scale."""
    groups: dict[int, list[_Found]] = {}
    for found in _leads_in(root):
        groups.setdefault(id(found.around[1] if len(found.around) > 1 else root), []).append(found)
    group = max(groups.values(), key=lambda leads: sum(len(lead.text) for lead in leads), default=[])
    if group:
        fs_hz = _rate(group[0].around, file)
        leads = [_scaled(found, file) for found in group]
        if any(_rate(found.around, file) != fs_hz for found in group):
            raise _two_values(file, "采样率", "sampling frequencies")
    else:
        leads, fs_hz = _block(root, file)
    name, zh = maker_of(root)
    return _recording(root, leads, fs_hz, f"{name} XML".strip(), f"{zh} XML".strip(), file)


def _leads_in(root: Element) -> list[_Found]:
    """Every element that names a known lead and holds samples, averaged beats left out."""
    found: list[_Found] = []
    pending: list[tuple[Element, tuple[Element, ...]]] = [(root, (root,))]
    averaged = vocabulary().names["averaged"]
    while pending:
        element, around = pending.pop()
        if any(word in folded(element.name) for word in averaged):
            continue
        name = _name_of(element)
        text = _text_of(element) if name else ""
        if text:
            found.append(_Found(name, text, around))
            continue
        pending.extend((child, (child, *around)) for child in reversed(element.children))
    return found


def _name_of(element: Element) -> str:
    """The known lead that this element is, by an attribute, a child or its own name; else empty."""
    wanted = vocabulary().names["lead_name"]
    texts = [value for key, value in element.attributes.items() if folded(key) in wanted]
    texts += [child.text for child in element.children if folded(child.name) in wanted and len(child.text) < 40]
    return next((name for text in (*texts, element.name) if is_known_lead(name := lead_name(text))), "")


def _text_of(element: Element) -> str:
    """The samples that this element holds: its own text, or that of a child or an attribute named for them."""
    wanted = vocabulary().names["samples"]
    texts = [value for key, value in element.attributes.items() if folded(key) in wanted]
    texts += [child.text for child in element.children if folded(child.name) in wanted]
    return next((text for text in (element.text, *texts) if _is_samples(text)), "")


def _is_samples(text: str) -> bool:
    return bool(_NUMBERS.match(text) or _BASE64.match(text))


def lead_name(text: str) -> str:
    """The usual name of a lead written like ``Lead_aVR``, ``导联V1``, ``ii``."""
    bare = _LEAD_WORDS.sub("", text.strip())
    name = canonical_lead(bare)
    return name if is_known_lead(name) else canonical_lead(text)[:40]


def _block(root: Element, file: str) -> tuple[list[StoredLead], float]:
    """The leads of one block of samples that are stored turn by turn, with the order that the file names."""
    wanted = vocabulary().names
    blocks = [
        (element, around)
        for element, around in _with_surroundings(root)
        if folded(element.name) in wanted["samples"] and _is_samples(element.text)
    ]
    if len(blocks) != 1:
        raise unreadable(
            file,
            "中找不到带导联名的波形数据",
            "holds no waveform data with names of leads that are recognised",
            todo=EXPORT_AGAIN,
            expected="leads by name, sampling frequency, scale",
        )
    element, around = blocks[0]
    orders = _named(around, wanted["order"])
    names = [lead_name(text) for text in re.split(r"[\s,;|/、，]+", orders[0]) if text] if orders else []
    if not names or not all(map(is_known_lead, names)):
        raise unreadable(
            file,
            "没有写明各导联的存储顺序",
            "does not state the order of its leads",
            todo=EXPORT_AGAIN,
            expected="order of leads",
        )
    values = _samples(element.text, "", "?", file)
    if values.size % len(names):
        raise unreadable(
            file,
            f"的样本数 {values.size} 不是 {len(names)} 个导联的整数倍",
            f"has {values.size} samples, which is no multiple of its {len(names)} leads",
            todo=EXPORT_AGAIN,
            expected="whole rows",
        )
    per_count, step = _scale(around, file)
    rows = values.reshape(-1, len(names)).T * per_count
    return [StoredLead(name, row, step) for name, row in zip(names, rows, strict=True)], _rate(around, file)


def _with_surroundings(root: Element) -> Iterable[tuple[Element, tuple[Element, ...]]]:
    pending: list[tuple[Element, tuple[Element, ...]]] = [(root, (root,))]
    while pending:
        element, around = pending.pop()
        yield element, around
        pending.extend((child, (child, *around)) for child in reversed(element.children))


def _scaled(found: _Found, file: str) -> StoredLead:
    per_count, step = _scale(found.around, file)
    return StoredLead(found.name, _samples(found.text, "", found.name, file) * per_count, step)


def _rate(around: Sequence[Element], file: str) -> float:
    texts = _named(around, vocabulary().names["rate_hz"])
    values = {value for text in texts if (value := number(re.sub(r"(?i)\s*(hz|赫兹)$", "", text.strip())))}
    if len(values) > 1:
        raise _two_values(file, "采样率", "sampling frequencies")
    if not values:
        raise unreadable(
            file,
            "没有写明采样率",
            "does not state its sampling frequency",
            todo=EXPORT_AGAIN,
            expected="sampling frequency",
        )
    return values.pop()


def _scale(around: Sequence[Element], file: str) -> tuple[float, float]:
    """(mV a stored number, mV a count or 0 where the stored numbers are millivolts or microvolts themselves)."""
    names = vocabulary().names
    for key, to_mv in (
        ("uv_per_count", lambda value: value * 1e-3),
        ("nv_per_count", lambda value: value * 1e-6),
        ("counts_per_mv", lambda value: 1 / value),
    ):
        values = {value for text in _named(around, names[key]) if (value := number(text)) and value > 0}
        if len(values) > 1:
            raise _two_values(file, "幅度比例", "scales")
        if values:
            per_count = to_mv(values.pop())
            return per_count, per_count
    return _scale_with_unit(around, file)


def _scale_with_unit(around: Sequence[Element], file: str) -> tuple[float, float]:
    """A scale that needs its unit beside it: ``<Resolution unit="uV">5</Resolution>``, ``5 uV``; or only a unit."""
    names = vocabulary().names
    units = {unit for text in _named(around, names["unit"]) if (unit := mv_per_unit(text)) is not None}
    scales: set[float] = set()
    for text in _named(around, names["resolution"]):
        found = re.fullmatch(r"\s*([\d.eE+-]{1,20})\s*([^\d\s]*)(?:/(?:lsb|bit|count|单位))?\s*", text, re.IGNORECASE)
        value = number(found[1]) if found else None
        own = mv_per_unit(found[2].partition("/")[0]) if found and found[2] else None
        per_unit = own if own is not None else next(iter(units)) if len(units) == 1 else None
        if value and value > 0 and per_unit:
            scales.add(value * per_unit)
    if len(scales) == 1:
        return (step := scales.pop()), step
    if not scales and len(units) == 1 and not _named(around, names["resolution"]):
        return units.pop(), 0.0
    raise no_scale(file)


def _named(around: Sequence[Element], wanted: frozenset[str]) -> list[str]:
    """The values of these names at the nearest place that has any: an element's attributes, then its children."""
    for element in around:
        texts = [value for key, value in element.attributes.items() if folded(key) in wanted]
        texts += [child.text for child in element.children if folded(child.name) in wanted]
        texts += [child.attributes["value"] for child in element.children if _is_valued(child, wanted)]
        if texts := [text.strip() for text in texts if text.strip() and len(text) < 400]:
            return texts
    everywhere = around[-1].walk()
    texts = [
        element.text.strip() for element in everywhere if folded(element.name) in wanted and len(element.text) < 400
    ]
    return [text for text in texts if text]


def _is_valued(element: Element, wanted: frozenset[str]) -> bool:
    return "value" in element.attributes and folded(element.name) in wanted and not element.text.strip()


def _samples(text: str, encoding: str, name: str, file: str) -> npt.NDArray[np.float64]:
    """The stored numbers: written out, or Base64 of 16 bits each, little-endian."""
    if encoding == "numbers" or (not encoding and _NUMBERS.fullmatch(text.strip())):
        is_whole = not any(mark in text for mark in ".eE")
        values = whole_numbers(text, file, name) if is_whole else decimal_numbers(text, file, name)
        return values.astype(np.float64)
    try:
        raw = base64.b64decode("".join(text.split()).encode("ascii", "replace"), validate=True)
        if len(raw) % 2:
            raise ValueError
    except (binascii.Error, ValueError):
        raise unreadable(
            file,
            f"的导联 {name} 数据损坏（不是数字，也不是 Base64）",
            f"has damaged data in lead {name} (neither numbers nor Base64)",
            todo=EXPORT_AGAIN,
            expected="numbers, or Base64 of 16-bit samples",
        ) from None
    return np.frombuffer(raw, dtype="<i2").astype(np.float64)


def no_scale(file: str) -> Unreadable:
    """The refusal where millivolts cannot be known."""
    return unreadable(
        file,
        "没有写明幅度的单位或增益，无法换算为毫伏",
        "does not state the unit or gain of its samples, so they cannot be shown in millivolts",
        todo=EXPORT_AGAIN,
        expected="unit, uV per count, or counts per mV",
    )


def _two_values(file: str, zh: str, en: str) -> Unreadable:
    return unreadable(
        file, f"写有两个不同的{zh}", f"states two different {en}", todo=EXPORT_AGAIN, expected=f"one of {en}"
    )


# ---- what the file says beside the samples ----


def _short_texts(root: Element) -> Iterable[str]:
    for element in root.walk():
        yield element.name
        if len(element.text) < 200:
            yield element.text
        yield from (value for value in element.attributes.values() if len(value) < 200)


def _recording(root: Element, leads: list[StoredLead], fs_hz: float, kind: str, zh: str, file: str) -> EcgSignal:
    told = _told(root)
    return recording(
        file,
        leads,
        fs_hz,
        patient_id=told.get("patient_id", ""),
        patient_name=told.get("patient_name", ""),
        sex=coded_sex(told.get("sex", "")),
        birth_date=coded_day(told.get("birth_date", "")),
        age_years=age_years(told.get("age", ""), told.get("age_unit", "")),
        recorded_at=instant(told.get("recorded_at", "")),
        device=" ".join(dict.fromkeys(filter(None, (maker_of(root)[0], told.get("device", ""))))),
        accession_number=told.get("accession_number", ""),
        annotations=_notes(root),
        source_format=kind,
        is_ecg_by_type=True,
        issues=(unproven(zh if zh == kind else f"{zh} ({kind})"),),
    )


def _told(root: Element) -> dict[str, str]:
    """The first value of each name that a header has, from elements and attributes."""
    by_name = {name: key for key, names in vocabulary().names.items() for name in names if key in _HEADER}
    told: dict[str, str] = {}
    for element in root.walk():
        pairs = [(element.name, element.text or element.attributes.get("value", "")), *element.attributes.items()]
        for name, text in pairs:
            key = by_name.get(folded(name))
            if key and text.strip() and len(text) < 200:
                told.setdefault(key, text.strip())
    return told


_HEADER: Final = frozenset(
    ("patient_id", "patient_name", "sex", "age", "age_unit", "birth_date", "recorded_at", "device", "accession_number")
)


def _notes(root: Element) -> tuple[DeviceNote, ...]:
    known, statements = vocabulary().measurements, vocabulary().names["statement"]
    notes: list[DeviceNote] = []
    for element in root.walk():
        name, text = folded(element.name), element.text.strip() or element.attributes.get("value", "").strip()
        if name in statements and text and len(text) < 2000:
            notes += [DeviceNote(line.strip()) for line in re.split(r"[\r\n]+", text) if line.strip()]
        elif (
            name in known
            and (value := number(re.sub(r"(?i)\s*(ms|bpm|deg|°|/min|次/分|毫秒|度)$", "", text))) is not None
        ):
            notes.append(DeviceNote(known[name][0], value, known[name][1]))
    return tuple(dict.fromkeys(notes))[:_MAX_NOTES]
