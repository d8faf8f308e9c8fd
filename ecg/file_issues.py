"""What a reader of a file knows of it -> what that takes from the machine's read.  One table of all codes.

A read that rests on a gain nobody stated, or on a part of the leads, says so, and is neither normal nor green.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from center.reads import (
    Critical,
    CriticalRule,
    EvidenceLine,
    Measurement,
    PreliminaryRead,
    Reason,
    StatementLine,
    Tier,
)
from ecg import statements

DOUBTED: Final = 0.45
"""Certainty of what rests on a voltage that nobody calibrated: below the 0.5 from which a rule alarms (ours)."""
MOST_TOLD: Final = 50
_NORMAL: Final = frozenset({"normal", "otherwise_normal"})
_VOLTAGE_UNITS: Final = frozenset({"mV", "uV", "mm", "mV.ms", "mV/s"})
_RHYTHM_CODES: Final = (range(20, 100), range(180, 200))
"""Of the AHA/ACC/HRS list (2007): rhythms, atrioventricular conduction, pacemakers."""
_RULE: Final = "file_issues"


@dataclass(frozen=True, slots=True)
class Kind:
    """What one code means.  zh, en: its name; the Reason itself says which lead and why.

    voltage: amplitudes can't be relied on.  whole: something was not looked at, or may be another's: no "normal", and
    never green.  sure: what every statement's certainty is multiplied by (ours).
    """

    zh: str
    en: str
    voltage: bool = False
    whole: bool = False
    sure: float = 1.0


KINDS: Final[dict[str, Kind]] = {
    "not_an_ecg": Kind("没有可读的心电图", "No ECG to read", whole=True),
    "unproven_format": Kind("格式未经设备样本验证", "Format not proven by a device's sample", sure=0.9),
    "uncalibrated": Kind("增益未标定", "Gain not calibrated", voltage=True, whole=True),
    "unit_assumed": Kind("单位为推定", "Unit assumed", voltage=True, whole=True),
    "limb_leads_disagree": Kind("肢体导联互不吻合", "Limb leads disagree", voltage=True, whole=True, sure=0.8),
    "checksum": Kind("校验和不符", "Checksum does not fit", whole=True, sure=0.8),
    "checksum_rule_unknown": Kind("校验规则未知", "Checksum by an unknown rule", sure=0.95),
    "lead_left_out": Kind("有导联未读取", "A lead was left out", whole=True),
    "leads_not_read": Kind("有导联未解读", "Leads were not looked at", whole=True),
    "groups_not_read": Kind("有波形组未读取", "Groups of waveforms were not read", whole=True),
    "other_segments": Kind("有记录段未读取", "Stretches of recording were not read", whole=True),
    "channel_left_out": Kind("有通道未读取", "A channel was left out"),
    "not_a_voltage": Kind("有通道不以毫伏计", "A channel is no voltage"),
    "recorded_in_turn": Kind("导联先后记录", "Leads recorded in turn"),
    "group_times_unknown": Kind("各组导联的时间不明", "Times of the groups unknown"),
    "resampled": Kind("采样率已换算", "Sampling frequency converted"),
    "averaged": Kind("采样率已取平均", "Averaged to a lower frequency"),
    "held": Kind("较慢的通道保持到下一个值", "Slower channels held"),
    "gaps": Kind("记录不连续", "Recording with gaps"),
    "lead_off": Kind("有导联脱落", "A lead is off"),
    "filters_differ": Kind("各导联滤波不同", "Filters differ"),
    "channel_count": Kind("通道数与声明不符", "Number of channels differs"),
    "not_closed": Kind("记录未正常结束", "Recording not closed"),
    "no_last_newline": Kind("文件末尾可能被截断", "File may be cut off"),
    "header_without_last_newline": Kind("头文件末尾可能被截断", "Header may be cut off"),
    "header_time_unknown": Kind("记录时间无法识别", "Time of recording not understood"),
    "calibration_pulse_removed": Kind("已去除定标脉冲", "Calibration pulse removed"),
}
"""Every code that a reader of a format gives; ``tests/ecg/test_file_issues.py`` walks the readers for others."""
_UNKNOWN: Final = Kind("文件另有说明", "A note on the file", whole=True)


def kind_of(code: str) -> Kind:
    """The code's row; a code of a later version costs the green, since nobody here knows what it means."""
    return KINDS.get(code, _UNKNOWN)


def told(read: PreliminaryRead, issues: Sequence[Reason]) -> PreliminaryRead:
    """The read with what is known of its file, and what that takes from it."""
    issues = _ordered((*read.issues, *issues))
    if not issues:
        return read
    sure = min(kind_of(issue.code).sure for issue in issues)
    stated = tuple(replace(s, certainty=round(s.certainty * sure, 2)) for s in read.statements)
    read = replace(read, issues=issues, statements=stated)
    if any(kind_of(issue.code).voltage for issue in issues):
        read = _doubting_voltages(read)
    return _never_green(read, issues)


def beside(read: PreliminaryRead, issues: Sequence[Reason]) -> PreliminaryRead:
    """The gravest of several recordings' reads, with what is known of the others' files: it stays as sure as it is."""
    issues = _ordered((*read.issues, *issues))
    return _never_green(replace(read, issues=issues), issues)


def _ordered(issues: Sequence[Reason]) -> tuple[Reason, ...]:
    """Each once, what costs the read most first."""

    def cost(issue: Reason) -> tuple[bool, bool, float]:
        kind = kind_of(issue.code)
        return not kind.voltage, not kind.whole, kind.sure

    return tuple(sorted(dict.fromkeys(issues), key=cost))[:MOST_TOLD]


def _doubting_voltages(read: PreliminaryRead) -> PreliminaryRead:
    """Amplitudes, and what is stated or alarmed for an amplitude, of low certainty; red for one alone is orange."""
    critical = read.critical
    doubted = {s.key for s in read.statements if _rests_on_voltage(s.evidence) and not _is_rhythm(s.key)}
    if critical is not None:
        rules = tuple(_doubting(rule, doubted) for rule in critical.rules)
        critical = _of_rules(critical, rules)
    return replace(
        read,
        statements=tuple(_less_sure(s) if s.key in doubted else s for s in read.statements),
        measurements=tuple(_less_sure_value(m) for m in read.measurements),
        critical=critical,
    )


def _rests_on_voltage(evidence: Iterable[EvidenceLine]) -> bool:
    return any(line.unit in _VOLTAGE_UNITS for line in evidence)


def _is_rhythm(key: str) -> bool:
    """Whether the key states a rhythm, which a wrong gain doesn't make."""
    try:
        code = statements.term(key).code
    except KeyError:
        return False
    return code is not None and any(code in codes for codes in _RHYTHM_CODES)


def _less_sure(said: StatementLine) -> StatementLine:
    return replace(said, certainty=min(said.certainty, DOUBTED))


def _less_sure_value(m: Measurement) -> Measurement:
    if m.unit not in _VOLTAGE_UNITS:
        return m
    return replace(m, certainty=DOUBTED if m.certainty is None else min(m.certainty, DOUBTED))


def _doubting(rule: CriticalRule, doubted: set[str]) -> CriticalRule:
    rests = _rests_on_voltage(rule.evidence) or any(line.key in doubted for line in rule.evidence)
    if not rests or rule.tier is not Tier.RED or any(_is_rhythm(line.key) for line in rule.evidence):
        return rule
    return replace(
        rule,
        zh=f"{rule.zh}增益或导联存疑，降一级。",
        en=f"{rule.en} The gain or the leads are in doubt: one tier lower.",
        tier=Tier.ORANGE,
    )


def _of_rules(critical: Critical, rules: Sequence[CriticalRule]) -> Critical:
    """With these rules, the gravest first."""
    ordered = tuple(sorted(rules, key=lambda rule: rule.tier.rank))
    return replace(critical, tier=ordered[0].tier if ordered else critical.tier, rules=ordered)


def _never_green(read: PreliminaryRead, issues: Sequence[Reason]) -> PreliminaryRead:
    """Without "normal", and yellow where it was green, if one of these asks for it."""
    wrong = [issue for issue in issues if kind_of(issue.code).whole]
    if not wrong:
        return read
    read = replace(read, statements=tuple(s for s in read.statements if s.key not in _NORMAL))
    if read.critical is None or read.critical.tier is not Tier.GREEN:
        return read
    names = list(dict.fromkeys(kind_of(issue.code) for issue in wrong))
    rule = CriticalRule(
        _RULE,
        zh=f"不能评为绿色：{'、'.join(kind.zh for kind in names)}。",
        en=f"Not green: {'; '.join(kind.en for kind in names)}.",
        tier=Tier.YELLOW,
        source="ours",
    )
    return replace(read, critical=_of_rules(read.critical, (*read.critical.rules, rule)))
