"""Report templates as data: a normal one and the common findings, by service and kind of examination.  Values only.

【侧别】 and [side] are blanks: the gate holds a signature back until each is filled (``worklist.gate``).
"""

from __future__ import annotations

from dataclasses import dataclass

from center.codes import Service
from worklist.sheet import Text
from worklist.timing import is_film

NOTHING = Text("", "")


@dataclass(frozen=True, slots=True)
class ReportTemplate:
    key: str
    name: Text
    findings: Text
    impression: Text
    recommendation: Text = NOTHING


_CHEST_FILM = (
    ReportTemplate(
        "chest_normal",
        Text("胸片未见异常", "Chest film, normal"),
        Text(
            "胸廓对称。双肺野清晰，肺纹理走行自然，未见实变及占位。肺门影不大。纵隔居中，心影大小、形态正常。双侧膈面光整，肋膈角锐利。所示骨质未见异常。",
            "The thorax is symmetrical. Both lungs are clear without consolidation or mass. The hila are not enlarged. "
            "The mediastinum is central; heart size and shape are normal. Both diaphragms are smooth and the "
            "costophrenic angles sharp. No bony abnormality is shown.",
        ),
        Text("心肺膈未见明确异常。", "No definite abnormality of heart, lungs or diaphragm."),
    ),
    ReportTemplate(
        "chest_pneumonia",
        Text("肺部炎症", "Pneumonia"),
        Text(
            "【侧别】肺野可见斑片状密度增高影，边缘模糊。肺门影不大。纵隔居中，心影不大。肋膈角锐利。",
            "Patchy opacities with blurred margins are seen in the [side] lung field. The hila are not enlarged. The "
            "mediastinum is central and the heart is not enlarged. The costophrenic angles are sharp.",
        ),
        Text(
            "【侧别】肺部炎症性改变，请结合临床。",
            "Inflammatory change of the [side] lung; please correlate clinically.",
        ),
        Text("抗感染治疗后复查胸片。", "Repeat the film after treatment."),
    ),
    ReportTemplate(
        "chest_tuberculosis",
        Text("疑似肺结核", "Suspected tuberculosis"),
        Text(
            "【侧别】上肺野可见斑片及条索状密度增高影，密度不均。肺门影不大。肋膈角锐利。",
            "Patchy and linear opacities of uneven density are seen in the [side] upper lung field. The hila are not "
            "enlarged. The costophrenic angles are sharp.",
        ),
        Text("【侧别】上肺病变，肺结核待排。", "Lesion of the [side] upper lung; tuberculosis is to be excluded."),
        Text("转定点医院做痰检及胸部 CT。", "Refer to the designated hospital for sputum tests and chest CT."),
    ),
    ReportTemplate(
        "chest_effusion",
        Text("胸腔积液", "Pleural effusion"),
        Text(
            "【侧别】下肺野可见外高内低的弧形密度增高影，肋膈角消失。纵隔居中，心影不大。",
            "A meniscus-shaped opacity is seen in the [side] lower lung field; the costophrenic angle is lost. The "
            "mediastinum is central and the heart is not enlarged.",
        ),
        Text("【侧别】胸腔积液。", "Pleural effusion, [side]."),
        Text("超声定位，查明原因。", "Ultrasound to locate it and find its cause."),
    ),
)
_BONE_FILM = (
    ReportTemplate(
        "bone_normal",
        Text("骨关节未见异常", "Bone and joint, normal"),
        Text(
            "所示骨皮质连续，骨小梁清晰，未见骨折及骨质破坏。关节在位，关节间隙正常。软组织未见肿胀。",
            "The cortex is continuous and the trabeculae are clear; no fracture or bone destruction. The joint is in "
            "place with a normal space. No soft tissue swelling.",
        ),
        Text("未见明确骨折及脱位。", "No definite fracture or dislocation."),
        Text("疼痛不缓解时复查或做 CT。", "Repeat or CT if the pain does not settle."),
    ),
)
_ECG = (
    ReportTemplate(
        "ecg_normal",
        Text("窦性心律，正常心电图", "Sinus rhythm, normal ECG"),
        Text(
            "窦性心律，节律整齐。P 波形态正常，PR 间期正常。QRS 时限及形态正常，电轴不偏。"
            "ST 段无偏移，T 波正常。QT 间期正常。",
            "Sinus rhythm, regular. Normal P waves and PR interval. Normal QRS duration and shape, normal axis. No ST "
            "deviation, normal T waves. Normal QT interval.",
        ),
        Text("窦性心律，正常心电图。", "Sinus rhythm, normal ECG."),
    ),
    ReportTemplate(
        "ecg_atrial_fibrillation",
        Text("心房颤动", "Atrial fibrillation"),
        Text(
            "P 波消失，代以大小、形态、间距不等的 f 波，RR 间期绝对不齐。QRS 时限正常。",
            "P waves are replaced by f waves of varying size, shape and distance; RR intervals are absolutely "
            "irregular. Normal QRS duration.",
        ),
        Text("心房颤动。", "Atrial fibrillation."),
        Text("评估卒中风险，心内科就诊。", "Assess the risk of stroke; see a cardiologist."),
    ),
    ReportTemplate(
        "ecg_stemi",
        Text("急性 ST 段抬高型心肌梗死", "Acute ST-elevation myocardial infarction"),
        Text(
            "窦性心律。【导联】导联 ST 段弓背向上抬高，【导联】导联 ST 段压低。",
            "Sinus rhythm. Convex ST elevation in [leads], ST depression in [leads].",
        ),
        Text("急性 ST 段抬高型心肌梗死。", "Acute ST-elevation myocardial infarction."),
        Text("立即启动胸痛中心流程，转上级医院。", "Start the chest-pain pathway now; transfer."),
    ),
)  # fmt: skip
_OTHER = (
    ReportTemplate(
        "blank",
        Text("空白模板", "Blank"),
        Text("", ""),
        Text("", ""),
    ),
)
_BONES = (
    "膝",
    "踝",
    "腕",
    "肘",
    "肩",
    "髋",
    "手",
    "足",
    "指",
    "趾",
    "股骨",
    "胫",
    "腓",
    "桡",
    "尺骨",
    "肱",
    "腰椎",
    "颈椎",
    "胸椎",
    "骨盆",
    "knee",
    "ankle",
    "wrist",
    "elbow",
    "shoulder",
    "hip",
    "hand",
    "foot",
    "leg",
    "arm",
    "spine",
    "pelvis",
    "extremity",
    "femur",
    "tibia",
    "humerus",
    "forearm",
)


def templates_for(service: Service, modality: str, body_part: str, exam: str = "") -> tuple[ReportTemplate, ...]:
    """Those that fit, the normal one first, a blank one last. ``exam`` helps where the device gave no body part."""
    if service is Service.ECG:
        return _ECG + _OTHER
    if not is_film(modality):
        return _OTHER
    where = f"{body_part} {exam}".lower()
    return (_BONE_FILM if any(b in where for b in _BONES) else _CHEST_FILM) + _OTHER
