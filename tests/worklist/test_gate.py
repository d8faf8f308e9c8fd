"""The consistency gate and the read-back: text against facts."""

from __future__ import annotations

import pytest

from center.codes import Service
from worklist import gate, readback
from worklist.gate import Facts, MachineFinding
from worklist.records import DraftContent
from worklist.templates import templates_for

#: What a template with an open side or lead brings along.
BLANKS = {"blank_findings", "blank_impression"}


def keys(findings: str, impression: str, facts: Facts = Facts(), **more: object) -> dict[str, str]:
    items = gate.check(DraftContent(findings, impression, **more), facts)  # type: ignore[arg-type]
    assert all(i.zh and i.en and i.jump for i in items)
    return {i.key: i.level for i in items}


def test_a_sound_report_passes() -> None:
    assert (
        keys("左侧胸腔透亮度增高，肺纹理消失。", "左侧气胸。", Facts("M", 67, "胸部正位", question="有无气胸？")) == {}
    )


@pytest.mark.parametrize(
    ("findings", "impression", "facts", "key", "level"),
    [
        ("双肺清晰。", " ", Facts(), "impression_empty", "block"),
        ("【侧别】下肺野可见密度增高影。", "左侧胸腔积液。", Facts(), "blank_findings", "block"),
        ("Opacity of the left lower lung.", "Pleural effusion, [side].", Facts(), "blank_impression", "block"),
        ("", "未见异常。", Facts(), "findings_empty", "warn"),
        ("左侧胸腔积液。", "右侧胸腔积液。", Facts(), "laterality_between", "block"),
        ("Left pleural effusion.", "Right pleural effusion.", Facts(), "laterality_between", "block"),
        ("右膝骨质连续。", "右膝未见骨折。", Facts(exam="左膝正侧位"), "laterality_findings", "block"),
        ("骨质连续。", "右膝未见骨折。", Facts(laterality="L"), "laterality_impression", "block"),
        ("双膝骨质连续。", "左膝未见骨折。", Facts(laterality="L"), "laterality_findings", "warn"),
        ("前列腺增大。", "前列腺增生。", Facts(sex="F"), "sex", "block"),
        ("子宫未见异常。", "未见异常。", Facts(sex="M"), "sex", "block"),
        ("The prostate is enlarged.", "Enlarged prostate.", Facts(sex="F"), "sex", "block"),
        ("患儿双肺清晰。", "未见异常。", Facts(age_years=60), "age", "warn"),
        ("未见骨折。", "桡骨远端骨折。", Facts(), "negation", "warn"),
        ("No fracture.", "Fracture of the radius.", Facts(), "negation", "warn"),
        ("双肺清晰。", "未见异常。", Facts(unseen_images=True), "late_images", "block"),
        ("双肺清晰。", "未见异常。", Facts(flags=frozenset({"identity_unconfirmed"})), "identity", "warn"),
        ("双肺清晰。", "未见异常。", Facts(question="有无肋骨骨折？"), "question_1", "block"),
    ],
)
def test_what_does_not_fit_is_found(findings: str, impression: str, facts: Facts, key: str, level: str) -> None:
    assert keys(findings, impression, facts)[key] == level


@pytest.mark.parametrize(
    ("findings", "impression", "facts"),
    [
        ("左心室高电压。", "右束支阻滞。", Facts()),  # names, not sides
        ("双肺清晰。", "左肺结节。", Facts()),
        ("前列腺增大。", "前列腺增生。", Facts(sex="M")),
        ("子宫增大。", "子宫肌瘤。", Facts(sex="F")),
        ("子宫增大。", "子宫肌瘤。", Facts(sex="")),
        ("左膝骨质连续。", "左膝未见骨折。", Facts(exam="左膝正侧位")),
        ("右膝骨质连续。", "右膝未见骨折。", Facts(exam="双膝正侧位")),
    ],
)
def test_what_fits_is_let_through(findings: str, impression: str, facts: Facts) -> None:
    assert "block" not in keys(findings, impression, facts).values()


def test_questions_are_those_that_ask() -> None:
    assert gate.questions("突发胸痛 2 小时。有无气胸？有无肋骨骨折？") == ("有无气胸", "有无肋骨骨折")
    assert gate.questions("咳嗽、发热") == ()
    assert gate.questions("排除肺结核") == ("排除肺结核",)
    assert gate.questions("Is there a fracture?") == ("Is there a fracture",)


def test_a_question_is_answered_by_the_text_or_by_words_of_its_own() -> None:
    question = "有无气胸？有无肋骨骨折？"
    assert gate.unanswered(DraftContent("未见气胸。", "无肋骨骨折。"), question) == ()
    assert gate.unanswered(DraftContent("左侧气胸。", "气胸。"), question) == ("有无肋骨骨折",)
    told = DraftContent("左侧气胸。", "气胸。", answers={"有无肋骨骨折": "本片不能判断"})
    assert gate.unanswered(told, question) == ()


def test_a_machine_finding_left_open_warns_and_a_critical_one_blocks() -> None:
    open_ = MachineFinding("r", "effusion", "积液", "effusion", critical=False, decided=False)
    critical = MachineFinding("r", "pneumothorax", "气胸", "pneumothorax", critical=True, decided=False)
    decided = MachineFinding("r", "nodule", "结节", "nodule", critical=True, decided=True)
    found = keys("双肺清晰。", "未见异常。", Facts(machine=(open_, critical, decided)))
    assert found == {"machine_r_effusion": "warn", "machine_r_pneumothorax": "block"}


def test_blocks_come_first() -> None:
    items = gate.check(DraftContent("", ""), Facts(flags=frozenset({"identity_unconfirmed"})))
    assert [i.level for i in items] == ["block", "warn", "warn"]


@pytest.mark.parametrize(
    ("finding", "read_back", "matches"),
    [
        ("左侧张力性气胸", "左侧张力性气胸", True),
        ("左侧张力性气胸", "收到，左侧 张力性气胸，马上处理", True),
        ("左侧张力性气胸", "右侧张力性气胸", False),
        ("左侧张力性气胸", "张力性气胸", False),
        ("左侧张力性气胸", "没有气胸", False),
        ("左侧张力性气胸", "收到", False),
        ("左侧张力性气胸", "", False),
        ("acute epidural haematoma", "acute epidural haematoma, understood", True),
        ("acute epidural haematoma", "no haematoma", False),
    ],
)
def test_a_read_back_says_what_the_finding_says(finding: str, read_back: str, matches: bool) -> None:
    assert readback.matches(finding, read_back) is matches


def test_every_template_passes_the_gate_of_its_own_text() -> None:
    for service, modality in ((Service.ECG, "ECG"), (Service.IMAGING, "DX"), (Service.IMAGING, "CT")):
        for template in templates_for(service, modality, "CHEST"):
            for lang in ("zh", "en"):
                content = DraftContent(getattr(template.findings, lang), getattr(template.impression, lang))
                levels = {i.key: i.level for i in gate.check(content, Facts(sex="M", age_years=50))}
                assert set(levels) <= ({"impression_empty", "findings_empty"} if template.key == "blank" else BLANKS)


def test_a_knee_gets_the_bone_template_first() -> None:
    assert templates_for(Service.IMAGING, "DX", "KNEE")[0].key == "bone_normal"
    assert templates_for(Service.IMAGING, "DX", "", "左膝正侧位")[0].key == "bone_normal"
    assert templates_for(Service.IMAGING, "DX", "")[0].key == "chest_normal"
