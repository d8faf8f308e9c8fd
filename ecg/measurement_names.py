"""Measurements by key: their names in both languages, their codes, and to how many decimals they are told.

Codes are LOINC's where it has one for the ECG (8867-4, 8625-6 ...), else our own key; values are never rounded before
they are judged, only when they are told.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from center.reads import Code


@dataclass(frozen=True, slots=True)
class MeasurementName:
    """zh, en: as a page and an SR print it; loinc: empty where there is none; decimals: as told."""

    zh: str
    en: str
    decimals: int = 0
    loinc: str = ""

    def codes(self, key: str) -> tuple[Code, ...]:
        """The concept's codes, the outer standard's first."""
        own = Code(key[:16], "99HELAN", self.en[:64])
        return (Code(self.loinc, "LN", self.en[:64]), own) if self.loinc else (own,)


NAMES: Final[dict[str, MeasurementName]] = {
    "heart_rate": MeasurementName("心室率", "Ventricular rate", 1, "8867-4"),
    "atrial_rate": MeasurementName("心房率", "Atrial rate", 0),
    "rr_mean": MeasurementName("平均 RR 间期", "Mean RR interval", 0, "8637-1"),
    "rr_min": MeasurementName("最短 RR 间期", "Shortest RR interval"),
    "rr_max": MeasurementName("最长 RR 间期", "Longest RR interval"),
    "rr_sd": MeasurementName("RR 间期标准差", "Standard deviation of RR intervals"),
    "p_duration": MeasurementName("P 波时限", "P duration"),
    "pr_interval": MeasurementName("PR 间期", "PR interval", 0, "8625-6"),
    "pr_segment": MeasurementName("PR 段", "PR segment"),
    "qrs_duration": MeasurementName("QRS 时限", "QRS duration", 0, "8633-0"),
    "qt_interval": MeasurementName("QT 间期", "QT interval", 0, "8634-8"),
    "qt_tangent": MeasurementName("QT 间期（切线法）", "QT interval, tangent method"),
    "qt_peak": MeasurementName("QT 峰间期", "QT interval to the peak of T"),
    "qtc_fridericia": MeasurementName("QTc（Fridericia）", "QTc, Fridericia", 0, "76634-5"),
    "qtc_bazett": MeasurementName("QTc（Bazett）", "QTc, Bazett", 0, "76635-2"),
    "qtc_framingham": MeasurementName("QTc（Framingham）", "QTc, Framingham"),
    "qtc_hodges": MeasurementName("QTc（Hodges）", "QTc, Hodges"),
    "jt_interval": MeasurementName("JT 间期", "JT interval"),
    "p_axis": MeasurementName("P 电轴", "P axis", 0, "8626-4"),
    "qrs_axis": MeasurementName("QRS 电轴", "QRS axis", 0, "8632-2"),
    "t_axis": MeasurementName("T 电轴", "T axis", 0, "8638-9"),
    "qrs_t_angle": MeasurementName("QRS-T 夹角", "QRS-T angle"),
    "sokolow_lyon": MeasurementName("SV1 + RV5/V6", "Sokolow-Lyon voltage", 2),
    "r_avl": MeasurementName("RaVL", "R amplitude in aVL", 2),
    "cornell_voltage": MeasurementName("Cornell 电压", "Cornell voltage", 2),
    "cornell_product": MeasurementName("Cornell 乘积", "Cornell product", 0),
    "peguero": MeasurementName("Peguero-Lo Presti 电压", "Peguero-Lo Presti voltage", 2),
    "romhilt_estes": MeasurementName("Romhilt-Estes 积分", "Romhilt-Estes score", 1),
    "p_terminal_force_v1": MeasurementName("V1 P 波终末电势", "P terminal force in V1", 1),
    "sgarbossa": MeasurementName("Sgarbossa 积分", "Sgarbossa score", 0),
    "p_amplitude": MeasurementName("P 波振幅", "P amplitude", 3),
    "p_negative": MeasurementName("P 波负向振幅", "Negative P amplitude", 3),
    "q_amplitude": MeasurementName("Q 波振幅", "Q amplitude", 3),
    "r_amplitude": MeasurementName("R 波振幅", "R amplitude", 3),
    "s_amplitude": MeasurementName("S 波振幅", "S amplitude", 3),
    "r_prime": MeasurementName("R' 波振幅", "R' amplitude", 3),
    "s_prime": MeasurementName("S' 波振幅", "S' amplitude", 3),
    "t_amplitude": MeasurementName("T 波振幅", "T amplitude", 3),
    "t_negative": MeasurementName("T 波负向振幅", "Negative T amplitude", 3),
    "q_duration": MeasurementName("Q 波时限", "Q duration"),
    "r_duration": MeasurementName("R 波时限", "R duration"),
    "s_duration": MeasurementName("S 波时限", "S duration"),
    "vat": MeasurementName("室壁激动时间", "Ventricular activation time"),
    "qrs_area": MeasurementName("QRS 净面积", "QRS net area", 1),
    "st_j": MeasurementName("J 点 ST 偏移", "ST level at J", 3),
    "st_j40": MeasurementName("J+40 ms ST 偏移", "ST level at J + 40 ms", 3),
    "st_j60": MeasurementName("J+60 ms ST 偏移", "ST level at J + 60 ms", 3),
    "st_j80": MeasurementName("J+80 ms ST 偏移", "ST level at J + 80 ms", 3),
    "st_slope": MeasurementName("ST 段斜率", "ST slope", 2),
    "notches": MeasurementName("QRS 切迹数", "QRS notches"),
    "qrs_peak_to_peak": MeasurementName("QRS 峰峰值", "QRS peak to peak", 3),
}
"""In the order in which they are told."""


def name_of(key: str) -> MeasurementName:
    """The name, or the key itself where a measurement is new."""
    return NAMES.get(key) or MeasurementName(key, key, 2)
