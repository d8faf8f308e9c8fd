"""Made preliminary reads of an ECG, full in every field: for the rooms that keep, file, print and show one."""

from __future__ import annotations

from math import sin

from center.reads import (
    Code,
    Critical,
    CriticalRule,
    DeviceLine,
    EvidenceLine,
    Measurement,
    MedianWaveform,
    Outcome,
    PreliminaryRead,
    Reason,
    StatementLine,
    Tier,
)

LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
POOR = Reason("poor_quality", "信号质量差，未读。请检查电极后重新采集。", "Not read, the signal is poor. Record again.")

_SOURCES = "中国心电图危急值专家共识 2017"
_RULES = {
    Tier.RED: CriticalRule(
        "st_elevation_mi", "急性 ST 段抬高型心肌梗死？", "Acute ST-elevation infarction?", Tier.RED,
        (EvidenceLine("st_j", "J 点 ST", "ST at J", 0.31, "mV", ">= 0.1 mV", "III", None, None, "ESC 2018"),
         EvidenceLine("st_j", "J 点 ST", "ST at J", 0.24, "mV", ">= 0.1 mV", "aVF", None, None, "ESC 2018")), _SOURCES,
    ),
    Tier.ORANGE: CriticalRule(
        "af_fast", "心房颤动伴快速心室率", "Atrial fibrillation, fast ventricular rate", Tier.ORANGE,
        (EvidenceLine("heart_rate", "心室率", "Ventricular rate", 152.0, "/min", ">= 150 /min"),), _SOURCES,
    ),
    Tier.YELLOW: CriticalRule(
        "qtc_long", "QTc 延长", "Long QTc", Tier.YELLOW,
        (EvidenceLine("qtc_fridericia", "QTcF", "QTcF", 482.0, "ms", ">= 480 ms"),), _SOURCES,
    ),
}  # fmt: skip
STATEMENTS = (
    StatementLine(
        "sinus_rhythm", "窦性心律", "Sinus rhythm", 0.98, (Code("426783006", "SCT", "Sinus rhythm"),), (),
        (EvidenceLine("p_before_qrs", "P 波在 QRS 前", "P before QRS", 1.0, "1", ">= 0.9", "II", 0.0, 10.0, "AHA 2009"),),
    ),
    StatementLine(
        "lvh", "左心室肥大？", "Left ventricular hypertrophy?", 0.62, (Code("164873001", "SCT", "LVH"),), ("possible",),
        (EvidenceLine("sokolow_lyon", "Sokolow-Lyon", "Sokolow-Lyon", 3.81, "mV", ">= 3.5 mV", "", None, None, "AHA 2009"),),
    ),
)  # fmt: skip
_GLOBAL = (
    ("heart_rate", "心率", "Heart rate", 71.5, "/min", Code("8867-4", "LN", "Heart rate")),
    ("pr_interval", "PR 间期", "PR interval", 168.0, "ms", Code("8625-6", "LN", "P-R interval")),
    ("qrs_duration", "QRS 时限", "QRS duration", 92.0, "ms", Code("8633-0", "LN", "QRS duration")),
    ("qt_interval", "QT 间期", "QT interval", 372.0, "ms", Code("8634-8", "LN", "Q-T interval")),
    ("qtc_fridericia", "QTcF", "QTcF", 394.0, "ms", None),
    ("p_axis", "P 轴", "P axis", 57.0, "deg", None),
    ("qrs_axis", "QRS 轴", "QRS axis", -12.0, "deg", None),
    ("t_axis", "T 轴", "T axis", 95.0, "deg", None),
)


ISSUES = (
    Reason("uncalibrated", "导联 II 未标定，幅度不可靠。", "Lead II is uncalibrated; its amplitude is not reliable."),
    Reason("unproven_format", "CSV：没有样本验证。", "CSV: no sample from a device was at hand."),
)


def ecg_read(
    tier: Tier = Tier.GREEN, *, digest: str = "ef" * 32, refused: Reason | None = None, rate: float = 71.5
) -> PreliminaryRead:
    """A read whose gravest rule is of this tier; refused: the recording was not read, its tier stands all the same."""
    rules = (_RULES[tier],) if tier in _RULES else ()
    critical = Critical(tier, "national-2017", "2026.1", rules)
    if refused is not None:
        return PreliminaryRead(
            "ecg", "helan_ecg", "1.0.0", digest, Outcome.ABSTAINED, refused, quality={"grade": "poor"}, critical=critical
        )  # fmt: skip
    return PreliminaryRead(
        kind="ecg",
        model="helan_ecg",
        version="1.0.0",
        input_digest=digest,
        outcome=Outcome.READ,
        measurements=(*_overall(rate), *_by_lead()),
        quality={"grade": "good"},
        extra={"fs_hz": 500.0, "beats": [{"sample": 400, "class": "normal", "qrs_on": 380, "qrs_off": 426}]},
        statements=STATEMENTS,
        critical=critical,
        device=(DeviceLine("Normal sinus rhythm"), DeviceLine("PR", 166.0, "ms"), DeviceLine("QRS", 94.0, "ms")),
        median=_median(),
    )


def _overall(rate: float) -> tuple[Measurement, ...]:
    return tuple(
        Measurement(key, zh, en, rate if key == "heart_rate" else value, unit, (code,) if code else (), "", 0.9)
        for key, zh, en, value, unit, code in _GLOBAL
    )


def _by_lead() -> tuple[Measurement, ...]:
    return tuple(
        Measurement(key, zh, en, round(value + 0.02 * n, 3), unit, (), lead, 0.8)
        for n, lead in enumerate(LEADS)
        for key, zh, en, value, unit in (
            ("r_amplitude", "R 波振幅", "R amplitude", 0.6, "mV"),
            ("s_amplitude", "S 波振幅", "S amplitude", 0.3, "mV"),
            ("st_j60", "J+60 ST", "ST at J+60", -0.1, "mV"),
            ("t_amplitude", "T 波振幅", "T amplitude", 0.2, "mV"),
        )
    )


def _median() -> MedianWaveform:
    rows = tuple(tuple(round(900 * sin(n / 30) * (1 + lead / 12)) for n in range(400)) for lead in range(12))
    return MedianWaveform(LEADS, 500.0, rows, 200, 9, {"p_on": 120, "qrs_on": 180, "qrs_off": 226, "t_off": 366})
