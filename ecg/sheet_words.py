"""A preliminary read -> the words of a printed sheet: what was measured, what is said of it and why, what the device said.

Everything here is the machine's or the device's, and says so; nothing is a physician's.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from center.citations import cited
from center.reads import (
    CriticalRule,
    DeviceLine,
    EvidenceLine,
    Measurement,
    Outcome,
    PreliminaryRead,
    StatementLine,
    Tier,
)

Language = Literal["zh", "en"]

_MOST_DEVICE_LINES: Final = 30
_MOST_ISSUES, _MOST_ISSUE = 12, 300
_UNITS: Final = {
    "/min": ("次/分", "/min"),
    "1/min": ("次/分", "/min"),
    "deg": ("°", "°"),
    "1": ("", ""),
    "mV.ms": ("mV·ms", "mV·ms"),
}
_DECIMALS: Final = {"ms": 0, "/min": 0, "1/min": 0, "deg": 0, "%": 0, "mV": 2, "mV.ms": 0, "mV/s": 1, "s": 1}
#: Rows of the table by lead, in the order of the beat.
_BY_LEAD: Final = (
    *("p_amplitude", "q_amplitude", "q_duration", "r_amplitude", "s_amplitude", "r_prime", "s_prime", "vat"),
    *("st_j", "st_j60", "st_j80", "t_amplitude", "t_negative"),
)
_LEADS: Final = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
_WORDS: Final = {
    "zh": {
        "machine": "机器初读 · 未经医师确认",
        "rate": "心室率", "pr": "PR", "qrs": "QRS", "qt": "QT / QTc", "axes": "P / QRS / T 电轴",
        "not_read": "未读：{}", "whole": "全程", "more": "另 {} 条见后",
        Tier.RED: "红 · 请立即人工判读", Tier.ORANGE: "橙 · 优先判读", Tier.YELLOW: "黄 · 请关注", Tier.GREEN: "",
    },
    "en": {
        "machine": "Machine read, not confirmed by a physician",
        "rate": "Ventricular rate", "pr": "PR", "qrs": "QRS", "qt": "QT / QTc", "axes": "P / QRS / T axis",
        "not_read": "Not read: {}", "whole": "throughout", "more": "{} more below",
        Tier.RED: "Red: human read now", Tier.ORANGE: "Orange: read next", Tier.YELLOW: "Yellow: note", Tier.GREEN: "",
    },
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Row:
    """One line of evidence: what was seen, in which lead and when, its value, the limit and the limit's source."""

    what: str
    lead: str
    value: str
    limit: str
    when: str
    source: str


@dataclass(frozen=True, slots=True)
class Said:
    """A statement or a rule with why it was made.  certainty: ``0.62``, empty for a rule; tier: of a rule."""

    words: str
    certainty: str
    codes: str
    tier: str
    source: str
    evidence: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class SheetWords:
    """measured: (name, value with unit) of the block above the traces.  by_lead: rows of (name, unit, values by lead).

    alarm: the tier in words, empty where none is called; not_read: why, where the machine did not read.
    """

    title: str
    model: str
    tier: str
    alarm: str
    profile: str
    not_read: str
    measured: tuple[tuple[str, str], ...]
    others: tuple[tuple[str, str], ...]
    leads: tuple[str, ...]
    by_lead: tuple[tuple[str, str, tuple[str, ...]], ...]
    rules: tuple[Said, ...]
    said: tuple[Said, ...]
    more: str
    file: tuple[str, ...] = ()


def words_of(read: PreliminaryRead, lang: Language) -> SheetWords:
    """What a sheet prints of this read."""
    t, critical = _WORDS[lang], read.critical
    overall = {m.key: m for m in read.measurements if not m.lead}
    rules = sorted(critical.rules, key=lambda r: r.tier.rank) if critical else []
    reason = (read.reason.zh if lang == "zh" else read.reason.en) if read.reason else ""
    block = _block(overall, t, lang)
    return SheetWords(
        title=t["machine"],
        model=f"{read.model} {read.version}",
        tier=critical.tier.value if critical else "",
        alarm=t[critical.tier] if critical else "",
        profile=f"{critical.profile} {critical.version}" if critical else "",
        not_read=t["not_read"].format(reason) if read.outcome is not Outcome.READ else "",
        file=tuple((i.zh if lang == "zh" else i.en)[:_MOST_ISSUE] for i in read.issues[:_MOST_ISSUES]),
        measured=block,
        others=tuple((_name(m, lang), amount(m.value, m.unit, lang)) for m in overall.values()),
        leads=tuple(lead for lead in _LEADS if any(m.lead == lead for m in read.measurements)),
        by_lead=_table(read.measurements, lang),
        rules=tuple(_said(rule, lang) for rule in rules),
        said=tuple(_said(line, lang) for line in read.statements),
        more=t["more"],
    )


def device_words(lines: Iterable[DeviceLine], lang: Language) -> tuple[str, ...]:
    """What the device itself said, a line each, as it said it."""
    out = [f"{d.text} {amount(d.value, d.unit, lang)}" if d.value is not None else d.text for d in lines]
    return tuple(line.strip() for line in out[:_MOST_DEVICE_LINES])


def amount(value: float, unit: str, lang: Language) -> str:
    """A number with its unit, as people write it: ``72 次/分``, ``0.31 mV``, ``-12°``."""
    return _with_unit(number(value, unit), unit, lang)


def told(value: float, unit: str, lang: Language) -> str:
    """A number beside its limit, exactly as it was told: rounded again it might contradict it."""
    return _with_unit(f"{value:.9f}".rstrip("0").rstrip("."), unit, lang)


def _with_unit(text: str, unit: str, lang: Language) -> str:
    shown = _UNITS.get(unit, (unit, unit))[0 if lang == "zh" else 1]
    space = "" if shown in ("", "°", "%") else " "
    return f"{text}{space}{shown}"


def number(value: float, unit: str) -> str:
    """To as many decimals as the unit is told."""
    decimals = _DECIMALS.get(unit, 0 if abs(value - round(value)) < 1e-9 else 2)
    text = f"{value:.{decimals}f}"
    return text.removeprefix("-") if float(text) == 0 else text


def _block(overall: dict[str, Measurement], t: dict[str, str], lang: Language) -> tuple[tuple[str, str], ...]:
    """Rate, PR, QRS, QT with QTc and its formula, axes; a dash where one could not be measured."""

    def of(key: str) -> str:
        return number(overall[key].value, overall[key].unit) if key in overall else "—"

    qtc = next((k for k in ("qtc_fridericia", "qtc_bazett") if k in overall), "qtc_fridericia")
    formula = {"qtc_fridericia": "F", "qtc_bazett": "B"}[qtc]
    rows = (
        (t["rate"], of("heart_rate"), _UNITS["/min"][0 if lang == "zh" else 1]),
        (t["pr"], of("pr_interval"), "ms"),
        (t["qrs"], of("qrs_duration"), "ms"),
        (t["qt"] + formula, f"{of('qt_interval')} / {of(qtc)}", "ms"),
        (t["axes"], " / ".join(of(key) for key in ("p_axis", "qrs_axis", "t_axis")), "°"),
    )
    return tuple((name, f"{value} {unit}" if value.strip("—/ ") else "—") for name, value, unit in rows)


def _table(measurements: tuple[Measurement, ...], lang: Language) -> tuple[tuple[str, str, tuple[str, ...]], ...]:
    found: dict[str, dict[str, Measurement]] = {}
    for m in measurements:
        if m.lead:
            found.setdefault(m.key, {})[m.lead] = m
    leads = [lead for lead in _LEADS if any(lead in row for row in found.values())]
    rows: list[tuple[str, str, tuple[str, ...]]] = []
    for key in (k for k in _BY_LEAD if k in found):
        one = next(iter(found[key].values()))
        cells = tuple(number(found[key][n].value, one.unit) if n in found[key] else "—" for n in leads)
        rows.append((_name(one, lang), one.unit, cells))
    return tuple(rows)


def _said(line: StatementLine | CriticalRule, lang: Language) -> Said:
    is_rule = isinstance(line, CriticalRule)
    return Said(
        words=line.zh if lang == "zh" else line.en,
        certainty="" if is_rule else f"{line.certainty:.2f}",
        codes="" if is_rule else " · ".join(f"{c.scheme} {c.value}" for c in line.codes if c.scheme != "99HELAN"),
        tier=line.tier.value if is_rule else "",
        source=cited(line.source, lang) if is_rule else "",
        evidence=tuple(_row(e, lang) for e in line.evidence),
    )


def _row(seen: EvidenceLine, lang: Language) -> Row:
    name = (seen.zh if lang == "zh" else seen.en) or seen.zh or seen.en or seen.key
    when = _WORDS[lang]["whole"]
    if seen.start_s is not None:
        when = f"{seen.start_s:.1f}" + (f"–{seen.end_s:.1f} s" if seen.end_s is not None else " s")
    value = "" if seen.value is None else told(seen.value, seen.unit, lang)
    source = (
        ("本引擎所定" if lang == "zh" else "set by this engine") if seen.source == "ours" else cited(seen.source, lang)
    )
    limit = seen.limit.replace(">=", "≥").replace("<=", "≤").replace(" deg", "°")
    return Row(name, seen.lead, value, "" if limit == "stated" else limit, when, source)


def _name(measurement: Measurement, lang: Language) -> str:
    return measurement.zh if lang == "zh" else measurement.en
