"""What stands on the printed report, in one language: every word and figure as text, for a template that only sets it.

Patient, request and findings are printed as they were written, in whatever language; the words around them are ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Final, Literal
from zoneinfo import ZoneInfo

from worklist.sheet import CriticalLine, MachineLine, ReportSheet, Text

Lang = Literal["zh", "en"]
NONE: Final = "—"

WORDS: Final[dict[str, Text]] = {
    "kind": Text("远程诊断报告", "Remote diagnostic report"),
    "report_no": Text("报告号", "Report"),
    "version": Text("第 {n} 版", "Version {n}"),
    "page": Text("第 {page} / {pages} 页", "Page {page} of {pages}"),
    "name": Text("姓名", "Name"),
    "sex": Text("性别", "Sex"),
    "age": Text("年龄", "Age"),
    "born": Text("出生", "Born"),
    "local_id": Text("患者号", "Patient ID"),
    "clinic": Text("申请机构", "From"),
    "referring": Text("申请医师", "Requested by"),
    "urgency": Text("紧急", "Urgency"),
    "exam": Text("检查", "Exam"),
    "study_at": Text("检查时间", "Examined"),
    "images": Text("图像", "Images"),
    "accession": Text("检查号", "Accession"),
    "history": Text("临床资料", "Clinical information"),
    "question": Text("问：", "Question: "),
    "answers": Text("对问题的回答", "Answers to the request"),
    "findings": Text("检查所见", "Findings"),
    "impression": Text("印象", "Impression"),
    "recommendation": Text("建议", "Recommendation"),
    "critical": Text("危急值记录", "Critical finding"),
    "machine": Text("AI 参与", "Use of AI"),
    "machine_end": Text("结论由签发医师作出。", "The conclusion is the signing physician's."),
    "accepted": Text("AI 提示，经医师采纳", "AI flag, accepted by the physician"),
    "rejected": Text("AI 提示，医师驳回", "AI flag, rejected by the physician"),
    "notes": Text("注意", "Note"),
    "amended": Text("更正报告", "Amended report"),
    "replaces": Text("本版替代第 {n} 版", "This version replaces version {n}"),
    "replaces_of": Text("（{at} 签发）", " (signed {at})"),
    "amend_reason": Text("更正原因：", "Reason: "),
    "signer": Text("签发医师", "Signed by"),
    "licence": Text("执业证号", "Licence"),
    "signature": Text("电子签名", "Electronic signature"),
    "certificate": Text("证书", "Certificate"),
    "internal_certificate": Text("内部证书", "internal"),
    "prepared": Text("定稿", "Final text"),
    "exact_time": Text("签名时刻见电子签名，为中心内部时间", "exact time: see the signature; internal time"),
    "stamp": Text("报告专用章", "REPORTS"),
    "stamp_demo": Text("演示", "DEMO"),
    "check": Text("扫码核对真伪与是否为当前版本", "Scan to check that this is genuine and current"),
    "content": Text("内容核对码 SHA-256", "Content SHA-256"),
    "by_center": Text("由中心内部证书签名，时间为中心内部时间", "Internal certificate, internal time"),
    "use": Text("本报告仅供申请医师参考，供诊疗使用", "For the requesting physician, for use in care"),
    "demo": Text("演示 DEMO", "DEMO 演示"),
    "demo_line": Text("演示报告，不得用于诊疗", "Demonstration only, not for patient care"),
    "missing_glyph": Text(
        "〓（U+…）处的字没有字体可印，原字保存在报告内容数据中",
        "〓(U+…) stands for a character without a printable font; the content data holds it",
    ),
}
SEX: Final = {"M": Text("男", "Male"), "F": Text("女", "Female"), "O": Text("其他", "Other")}
URGENCY: Final = {"stat": Text("急诊", "STAT"), "urgent": Text("加急", "Urgent"), "routine": Text("普通", "Routine")}
#: How a critical finding reached its receiver.
MEANS: Final = {"page": Text("网页", "page"), "phone": Text("电话", "phone"), "sms": Text("短信", "SMS")}
MODALITY: Final = {
    "CR": Text("X 线", "Radiography"),
    "DX": Text("X 线", "Radiography"),
    "RF": Text("透视", "Fluoroscopy"),
    "CT": Text("CT", "CT"),
    "MR": Text("磁共振", "MRI"),
    "US": Text("超声", "Ultrasound"),
    "ECG": Text("心电", "ECG"),
    "HD": Text("动态心电", "Holter ECG"),
}
LATERALITY: Final = {"L": Text("左", "left"), "R": Text("右", "right"), "B": Text("双侧", "both sides")}


@dataclass(frozen=True, slots=True)
class Words:
    """The words of one language."""

    lang: Lang

    def __call__(self, key: str, **values: object) -> str:
        text = self.of(WORDS[key])
        return text.format(**values) if values else text

    def of(self, text: Text) -> str:
        """In this language; in the other one where this is empty."""
        return (text.zh or text.en) if self.lang == "zh" else (text.en or text.zh)


def printed(sheet: ReportSheet, lang: Lang, qr_svg: str = "") -> dict[str, object]:
    """JSON values for the template. Lists of strings are paragraphs; an empty one is a part that is left out."""
    t = Words(lang)
    return {
        "lang": lang,
        "head": _head(sheet, t),
        "fields": _fields(sheet, t),
        "amended": _amended(sheet, t),
        "notes": [t.of(note) for note in sheet.notes],
        "parts": _parts(sheet, t),
        "answers": [[a.question.strip(), a.answer.strip() or NONE] for a in sheet.answers],
        "critical": [_critical(line, sheet.zone, t) for line in sheet.critical],
        "machine": _machine(sheet.machine, t),
        "sign": _sign(sheet, t),
        "foot": _foot(sheet, t, qr_svg),
        "words": {key: t(key) for key in ("answers", "critical", "machine", "notes", "amended", "missing_glyph")},
        "demo": t("demo") if sheet.demo else "",
    }


def _head(sheet: ReportSheet, t: Words) -> dict[str, object]:
    modality = MODALITY.get(sheet.modality)
    kind = " · ".join(filter(None, (t("kind"), t.of(modality) if modality else sheet.modality)))
    who = (sheet.patient_name, _sex(sheet, t), age(sheet, t), sheet.patient_local_id)
    other = sheet.center.en if t.lang == "zh" else sheet.center.zh
    return {
        "center": t.of(sheet.center),
        "center_other": other if other != t.of(sheet.center) else "",
        "kind": kind,
        "number": f"{t('report_no')} {sheet.report_no}",
        "version": t("version", n=sheet.version),
        "page": t("page", page="{page}", pages="{pages}"),
        "running": "  ".join(part for part in who if part and part != NONE),
        "title": f"{t('kind')} {sheet.report_no}",
    }


def _fields(sheet: ReportSheet, t: Words) -> list[list[str]]:
    """[label, value] in reading order, three columns; the first value is the name."""
    exam = " ".join(filter(None, (sheet.exam or t.of(sheet.title), _side(sheet, t))))
    urgency = URGENCY.get(sheet.urgency)
    images = f"{sheet.images} 幅" if t.lang == "zh" else str(sheet.images)
    values = {
        "name": sheet.patient_name,
        "sex": _sex(sheet, t),
        "clinic": t.of(sheet.clinic),
        "born": sheet.patient_birth_date.isoformat() if sheet.patient_birth_date else "",
        "age": age(sheet, t),
        "referring": sheet.referring,
        "local_id": sheet.patient_local_id,
        "urgency": t.of(urgency) if urgency else sheet.urgency,
        "exam": exam,
        "study_at": instant(sheet.study_at, sheet.zone, seconds=False),
        "images": images if sheet.images else "",
        "accession": sheet.accession,
    }
    return [[t(key), value.strip() or NONE] for key, value in values.items()]


def _side(sheet: ReportSheet, t: Words) -> str:
    """The side, unless the exam's own words name it already."""
    side = LATERALITY.get(sheet.laterality)
    if side is None or t.of(side) in sheet.exam:
        return ""
    return t.of(side) if t.lang == "zh" else f"({t.of(side)})"


def _amended(sheet: ReportSheet, t: Words) -> list[str]:
    if sheet.replaces is None:
        return []
    which = t("replaces", n=sheet.replaces)
    if sheet.replaces_signed_at is not None:
        which += t("replaces_of", at=instant(sheet.replaces_signed_at, sheet.zone, seconds=False))
    reason = [t("amend_reason") + sheet.amend_reason.strip()] if sheet.amend_reason.strip() else []
    return [which, *reason]


def _parts(sheet: ReportSheet, t: Words) -> list[dict[str, object]]:
    history = paragraphs(sheet.history)
    if sheet.question.strip():
        history = [*history, t("question") + sheet.question.strip()]
    texts = {
        "history": history,
        "findings": paragraphs(sheet.findings) or [NONE],
        "impression": paragraphs(sheet.impression) or [NONE],
        "recommendation": paragraphs(sheet.recommendation),
    }
    return [{"key": key, "title": t(key), "lines": lines} for key, lines in texts.items() if lines]


def _critical(line: CriticalLine, zone: str, t: Words) -> str:
    """One record in one line: what, found when and told by whom, received by whom and when, read back, done."""
    zh = t.lang == "zh"
    told = f"{instant(line.found_at, zone, seconds=False)} {line.teller}" + ("发现并通知" if zh else " found and told")
    words = MEANS.get(line.means, Text(line.means, line.means))
    means = words.zh if zh else words.en
    parts = [
        line.finding,
        told + (f"（{means}）" if means and zh else f" ({means})" if means else ""),
    ]
    if line.receiver:
        at = f"{instant(line.received_at, zone, seconds=False)} " if line.received_at else ""
        parts.append(f"{at}{line.receiver} 接收" if zh else f"{at}received by {line.receiver}")
    else:
        parts.append("尚未接收" if zh else "not yet received")
    if line.read_back:
        parts.append(f"复述：{line.read_back}" if zh else f"read back: {line.read_back}")
    if line.action:
        parts.append(f"处置：{line.action}" if zh else f"action: {line.action}")
    return " · ".join(parts)


def _machine(lines: tuple[MachineLine, ...], t: Words) -> list[str]:
    """One line a finding, its model and version, and what the physician made of it; then who concluded."""
    out: list[str] = []
    for line in lines:
        verdict = t("accepted" if line.verdict == "accepted" else "rejected")
        what = t.of(Text(line.zh, line.en))
        why = ("：" if t.lang == "zh" else ": ") + line.reason.strip() if line.reason.strip() else ""
        number = f", {line.probability:.2f}" if line.probability < 1 else ""  # a rule that was met has none
        where = f"{line.model} {line.version}{number}"
        out.append(f"{what}（{where}）· {verdict}{why}" if t.lang == "zh" else f"{what} ({where}) · {verdict}{why}")
    return [*out, t("machine_end")] if out else []


def _sign(sheet: ReportSheet, t: Words) -> dict[str, object]:
    licence = f"{t('licence')} {sheet.signer_licence}" if sheet.signer_licence else ""
    return {
        "signer_label": t("signer"),
        "signer": sheet.signer_name,
        "licence": licence,
        "signature_label": t("signature"),
        "certificate": f"{t('certificate')} {grouped(sheet.certificate_serial) or NONE}",
        "internal": t("internal_certificate"),
        "prepared": f"{t('prepared')} {instant(sheet.signed_at, sheet.zone)}",
        "exact_time": t("exact_time"),
        "stamp_center": t.of(sheet.center),
        "stamp": t("stamp_demo") if sheet.demo else t("stamp"),
    }


def _foot(sheet: ReportSheet, t: Words, qr_svg: str) -> dict[str, object]:
    return {
        "qr": qr_svg,
        "check": t("check") if qr_svg else "",
        "url": sheet.qr_url,
        "content": t("content"),
        "digest": grouped(sheet.content_sha256, size=8),
        "by_center": t("by_center"),
        "use": t("demo_line") if sheet.demo else t("use"),
    }


def _sex(sheet: ReportSheet, t: Words) -> str:
    sex = SEX.get(sheet.patient_sex)
    return t.of(sex) if sex else NONE


def age(sheet: ReportSheet, t: Words) -> str:
    """Age at the study: in days below a month and in months below two years where the birth date is known."""
    zh = t.lang == "zh"
    at = sheet.study_at.date() if sheet.study_at else None
    if sheet.patient_birth_date and at and at >= sheet.patient_birth_date:
        months = _months(sheet.patient_birth_date, at)
        if months < 1:
            days = (at - sheet.patient_birth_date).days
            return f"{days} 天" if zh else f"{days} d"
        if months < 24:
            return f"{months} 个月" if zh else f"{months} mo"
    if sheet.patient_age_years is None:
        return NONE
    return f"{sheet.patient_age_years} 岁" if zh else f"{sheet.patient_age_years} y"


def _months(born: date, at: date) -> int:
    return (at.year - born.year) * 12 + at.month - born.month - (at.day < born.day)


def instant(at: datetime | None, zone: str, *, seconds: bool = True) -> str:
    """In the clinic's zone, ISO date and 24 h; a naive time is the device's own and printed as it is."""
    if at is None:
        return NONE
    local = at if at.tzinfo is None else at.astimezone(ZoneInfo(zone))
    return local.strftime("%Y-%m-%d %H:%M:%S" if seconds else "%Y-%m-%d %H:%M")


def grouped(digits: str, size: int = 4) -> str:
    return " ".join(digits[i : i + size] for i in range(0, len(digits), size))


def paragraphs(text: str) -> list[str]:
    """Lines as they were written, empty ones dropped."""
    return [line.strip() for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n") if line.strip()]
