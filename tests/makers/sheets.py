"""Report sheets for tests: one that is whole, and changes to it. Everyone in it is made up."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

from worklist.sheet import Answer, CriticalLine, MachineLine, ReportSheet, Text

SIGNED_AT = datetime(2026, 11, 21, 18, 19, 8, tzinfo=UTC)
_WHOLE = ReportSheet(
    center=Text("贺兰区域影像与心电诊断中心", "Helan Regional Imaging and ECG Diagnostic Center"),
    clinic=Text("石沟镇卫生院", "Shigou"),
    title=Text("DR 胸部正位", "Chest PA"),
    report_no="C2611220042-1",
    version=1,
    patient_name="马忆舟",
    patient_sex="M",
    patient_birth_date=date(1959, 4, 2),
    patient_age_years=67,
    patient_local_id="20480117",
    exam="DR 胸部正位",
    modality="DX",
    body_part="CHEST",
    laterality="",
    study_at=datetime(2026, 11, 22, 1, 57),
    study_uid="2.25.1",
    images=1,
    accession="SG26112200017",
    urgency="stat",
    referring="柳春禾",
    question="有无气胸？",
    history="突发左侧胸痛、气促 2 小时。",
    findings="左侧胸腔透亮度增高，肺纹理消失。\n心影不大。",
    impression="1. 左侧张力性气胸。\n2. 所示肋骨未见明确骨折。",
    recommendation="立即转上级医院急诊。",
    signer_name="顾长宁",
    signer_licence="110640000012345",
    certificate_serial="5F0A91C04B2D7E13",
    signed_at=SIGNED_AT,
    answers=(Answer("有无气胸？", "有，左侧张力性气胸。"),),
    critical=(
        CriticalLine(
            "左侧张力性气胸", SIGNED_AT, "顾长宁", "柳春禾", SIGNED_AT, "电话", "左侧张力性气胸", "已穿刺减压"
        ),
    ),
    machine=(
        MachineLine("film_reader", "1.0.0", "胸腔积液", "Pleural effusion", 0.62, "rejected", "肋膈角锐利"),
        MachineLine("film_reader", "1.0.0", "心影增大", "Cardiomegaly", 0.91, "accepted"),
    ),
    qr_url="http://127.0.0.1:8080/v/abcdEFGHijklMNOPqrstUVWX",
)


def make_sheet(**changes: Any) -> ReportSheet:
    """The whole sheet, with these fields changed."""
    return replace(_WHOLE, **changes)
