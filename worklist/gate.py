"""What stands between a draft and a signature: blanks, sides, sex, age, negations, questions, late images, AI.

Text in, items out; ``block`` items hold the signature back, ``warn`` items are shown.  Values only.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from worklist.records import DraftContent, GateItem

_SIDES = {"L": ("左", "left"), "R": ("右", "right")}
_SIDE_NAMES = {"L": ("左", "left"), "R": ("右", "right")}
#: Where 左 and 右 are part of a name and say nothing about the side examined.
_NAMED = re.compile(
    r"[左右](?:心室|心房|心缘|心耳|心|房|室|束支|前分支|后分支|前降支|回旋支|旋支|主干|冠状?动脉?|位心|前斜位?"
    r"|后斜位?|侧位|胸导联)"
    r"|(?:left|right)[ -](?:ventric\w*|atri\w*|heart|bundle|axis|anterior descending|main|circumflex|coronary"
    r"|anterior oblique)",
    re.IGNORECASE,
)
_BOTH = re.compile(r"双|两侧|两肺|bilateral|both", re.IGNORECASE)
#: A side and what it is the side of: 左侧气胸, 左肺, left pneumothorax.
_SIDED = re.compile(
    r"([左右])侧?(?:的)?([\u4e00-\u9fff]{1,3})|\b(left|right)[ -](?:sided? )?([a-z]{4,})", re.IGNORECASE
)

_MALE = re.compile(r"前列腺|睾丸|附睾|精囊|精索|阴茎|阴囊|prostat|testi[sc]|seminal|scrot|penis|penile", re.IGNORECASE)
_FEMALE = re.compile(
    r"子宫|卵巢|输卵管|阴道|宫颈|宫腔|宫内|妊娠|孕[囊周期妇]|早孕|月经|绝经|胎儿"
    r"|uter(?:us|ine)|ovar(?:y|ian)|vagin|cervix uteri|pregnan|f(?:o)?etus|menopaus",
    re.IGNORECASE,
)
_CHILD = re.compile(r"患儿|新生儿|婴儿|囟门|infant|neonat|newborn|paediatric|pediatric", re.IGNORECASE)
_OLD = re.compile(r"老年性|老年改变|绝经后|senile|age-related degener", re.IGNORECASE)

#: So many open machine findings are named one by one; an ECG's statements are counted.
_MOST_NAMED = 3
#: Findings whose negation must not flip between findings and impression.
_FLIPS = ("气胸", "骨折", "积液", "出血", "梗死", "肺炎", "结核", "占位", "结节", "肿块", "脱位", "心包积液", "实变",
          "pneumothorax", "fracture", "effusion", "hemorrhage", "haemorrhage", "infarct", "pneumonia", "tuberculosis",
          "nodule", "mass", "dislocation", "consolidation")  # fmt: skip
_NOT = re.compile(
    r"(?:未见|未发现|无|没有|不伴|排除|除外|否认|未提示)[^。；;，,.]{0,12}$"
    r"|\b(?:no|without|not|negative for|absence of|free of)\b[^.;,]{0,40}$",
    re.IGNORECASE,
)

#: What a template leaves open (``worklist.templates``).
_BLANK = re.compile(r"【[^】\n]{1,12}】|\[(?:side|leads)\]", re.IGNORECASE)

_ASKS = re.compile(r"有无|有没有|是否|能否|除外|排除|排查|rule out|r/o|\bis there\b|\bany\b|exclude", re.IGNORECASE)
_TERM = re.compile(
    r"(?:有无|有没有|是否(?:有|为|存在|合并)?|能否|除外|排除|排查|rule out|r/o|is there|any|exclude)\s*(.+?)"
    r"(?:吗|呢|可能)?$",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class MachineFinding:
    """A machine finding that says "present", and whether the reader has answered it."""

    read_id: str
    key: str
    zh: str
    en: str
    critical: bool
    decided: bool


@dataclass(frozen=True, slots=True)
class Facts:
    """What the draft is held against. sex: M, F, O or empty; laterality: L, R, B or empty."""

    sex: str = ""
    age_years: int | None = None
    exam: str = ""
    laterality: str = ""
    question: str = ""
    flags: frozenset[str] = frozenset()
    unseen_images: bool = False
    machine: tuple[MachineFinding, ...] = ()


def check(content: DraftContent, facts: Facts) -> tuple[GateItem, ...]:
    """Everything found, blocks first."""
    items = [
        *_empty(content),
        *_blanks(content),
        *_late(facts),
        *_sides(content, facts),
        *_sex(content, facts),
        *_age(content, facts),
        *_unanswered(content, facts),
        *_flips(content),
        *_machine(facts),
        *_identity(facts),
    ]
    return tuple(sorted(items, key=lambda item: item.level != "block"))


def questions(text: str) -> tuple[str, ...]:
    """The questions that a request asks: sentences with a question mark, or with words that ask."""
    parts = re.findall(r"[^？?；;。\n]+[？?]?", text)
    asked = [p.strip() for p in parts if p.strip() and (p.strip()[-1] in "？?" or _ASKS.search(p))]
    return tuple(dict.fromkeys(p.rstrip("？?").strip() for p in asked if p.rstrip("？?").strip()))


def unanswered(content: DraftContent, question: str) -> tuple[str, ...]:
    """Questions that neither an answer of their own nor the text answers."""
    text = _bare(f"{content.findings}{content.impression}{content.recommendation}")
    return tuple(q for q in questions(question) if not content.answers.get(q, "").strip() and not _answers(text, q))


def sides_of(text: str) -> frozenset[str]:
    """L and R as far as the text names a side; both for "bilateral"; names such as 左心室 do not count."""
    bare = _NAMED.sub("", text)
    found = {side for side, words in _SIDES.items() if any(_has_word(bare, w) for w in words)}
    return frozenset({"L", "R"} if _BOTH.search(bare) else found)


def _empty(content: DraftContent) -> list[GateItem]:
    items: list[GateItem] = []
    if not content.impression.strip():
        items.append(GateItem("impression_empty", "block", "印象还没有写。", "The impression is empty.", "impression"))
    if not content.findings.strip():
        items.append(GateItem("findings_empty", "warn", "检查所见还没有写。", "The findings are empty.", "findings"))
    return items


def _blanks(content: DraftContent) -> list[GateItem]:
    """What a template left open and nobody filled: a report without its side reads as if it had one."""
    items: list[GateItem] = []
    for jump, zh, en in (
        ("findings", "所见", "findings"),
        ("impression", "印象", "impression"),
        ("recommendation", "建议", "recommendation"),
    ):
        blank = _BLANK.search(getattr(content, jump))
        if blank is not None:
            words = (f"{zh}里“{blank[0]}”还没有填。", f'"{blank[0]}" in the {en} is not filled in yet.')
            items.append(GateItem(f"blank_{jump}", "block", *words, "impression" if jump == "recommendation" else jump))
    return items


def _late(facts: Facts) -> list[GateItem]:
    if not facts.unseen_images:
        return []
    zh, en = "有新到的图像还没有看，看过才能签发。", "Images came late and were not seen yet; look at them first."
    return [GateItem("late_images", "block", zh, en, "images")]


def _sides(content: DraftContent, facts: Facts) -> list[GateItem]:
    asked = _asked_side(facts)
    items: list[GateItem] = []
    for jump, name, text in (
        ("findings", ("所见", "findings"), content.findings),
        ("impression", ("印象", "impression"), content.impression),
    ):
        sides = sides_of(text)
        if not asked or not sides or sides == {asked}:
            continue
        only_other = asked not in sides
        zh_side, en_side = _SIDE_NAMES[asked]
        items.append(
            GateItem(
                f"laterality_{jump}", "block" if only_other else "warn",
                f"申请检查{zh_side}侧，{name[0]}写的是{'另一侧' if only_other else '两侧'}。",
                f"The {en_side} side was examined; in {name[1]}: {'the other side' if only_other else 'both sides'}.",
                jump,
            )
        )  # fmt: skip
    return items + _sides_between(content)


def _asked_side(facts: Facts) -> str:
    if facts.laterality in ("L", "R"):
        return facts.laterality
    sides = sides_of(facts.exam)
    return next(iter(sides)) if len(sides) == 1 else ""


def _sides_between(content: DraftContent) -> list[GateItem]:
    said = _sided_terms(content.findings)
    for term, sides in _sided_terms(content.impression).items():
        before = said.get(term)
        if before and not (sides & before):
            zh = f"“{term}”的侧别在所见与印象中不一致。"
            en = f'The side of "{term}" differs between findings and impression.'
            return [GateItem("laterality_between", "block", zh, en, "impression")]
    findings, impression = sides_of(content.findings), sides_of(content.impression)
    if findings and impression and not (findings & impression):
        zh, en = "所见与印象的侧别不一致。", "Findings and impression name different sides."
        return [GateItem("laterality_between", "block", zh, en, "impression")]
    return []


def _sided_terms(text: str) -> dict[str, set[str]]:
    out: dict[str, set[str]] = {}
    for match in _SIDED.finditer(_NAMED.sub("", text)):
        side = "L" if (match[1] == "左" or (match[3] or "").lower() == "left") else "R"
        term = (match[2] or match[4] or "").lower()
        out.setdefault(term[:2] if match[2] else term, set()).add(side)
    return out


def _sex(content: DraftContent, facts: Facts) -> list[GateItem]:
    text = _whole(content)
    other = _FEMALE.search(text) if facts.sex == "M" else _MALE.search(text) if facts.sex == "F" else None
    if other is None:
        return []
    zh_sex, en_sex = ("男", "male") if facts.sex == "M" else ("女", "female")
    zh = f"患者登记为{zh_sex}性，报告里写了“{other[0]}”。"
    en = f'The patient is registered as {en_sex}; the report says "{other[0]}".'
    return [GateItem("sex", "block", zh, en, "findings" if other[0] in content.findings else "impression")]


def _age(content: DraftContent, facts: Facts) -> list[GateItem]:
    if facts.age_years is None:
        return []
    text = _whole(content)
    word = _CHILD.search(text) if facts.age_years >= 18 else _OLD.search(text) if facts.age_years < 40 else None
    if word is None:
        return []
    zh = f"患者 {facts.age_years} 岁，报告里写了“{word[0]}”。"
    en = f'The patient is {facts.age_years} years old; the report says "{word[0]}".'
    return [GateItem("age", "warn", zh, en, "findings")]


def _unanswered(content: DraftContent, facts: Facts) -> list[GateItem]:
    return [
        GateItem(f"question_{n}", "block", f"未回答：“{q}？”", f'Not answered: "{q}?"', "question")
        for n, q in enumerate(unanswered(content, facts.question), 1)
    ]


def _flips(content: DraftContent) -> list[GateItem]:
    for term in _FLIPS:
        said, concluded = _affirmed(term, content.findings), _affirmed(term, content.impression)
        if said is not None and concluded is not None and said != concluded:
            zh = f"“{term}”在所见与印象中一处肯定、一处否定。"
            en = f'"{term}" is affirmed in one of findings and impression and denied in the other.'
            return [GateItem("negation", "warn", zh, en, "impression")]
    return []


def _affirmed(term: str, text: str) -> bool | None:
    """True or False when every mention agrees, None when it is not mentioned or mentioned both ways."""
    found = {not _NOT.search(text[: m.start()]) for m in re.finditer(re.escape(term), text, re.IGNORECASE)}
    return found.pop() if len(found) == 1 else None


def _machine(facts: Facts) -> list[GateItem]:
    items: list[GateItem] = []
    left = [f for f in facts.machine if not f.decided]
    if (quiet := sum(not f.critical for f in left)) > _MOST_NAMED:
        zh = f"{quiet} 条机器语句还没有采纳或驳回。"
        en = f"{quiet} machine statements are neither accepted nor rejected."
        items.append(GateItem("machine_several", "warn", zh, en, "machine"))
        left = [f for f in left if f.critical]
    for finding in left:
        level = "block" if finding.critical else "warn"
        zh = f"机器提示“{finding.zh}”还没有采纳或驳回。"
        en = f'The machine finding "{finding.en}" is neither accepted nor rejected.'
        items.append(GateItem(f"machine_{finding.read_id}_{finding.key}", level, zh, en, "machine"))
    return items


def _identity(facts: Facts) -> list[GateItem]:
    if "identity_unconfirmed" not in facts.flags:
        return []
    zh, en = "患者身份待核，报告会写明。", "The patient's identity is unconfirmed; the report will say so."
    return [GateItem("identity", "warn", zh, en, "identity")]


def _answers(bare_text: str, question: str) -> bool:
    match = _TERM.search(question)
    if match is None:
        return False
    terms = [_bare(t) for t in re.split(r"[、，,/和及或与]| or | and ", match[1]) if _bare(t)]
    return bool(terms) and all(t in bare_text for t in terms)


def _bare(text: str) -> str:
    return re.sub(r"[\s\-_，,。.、；;：:？?！!（）()“”\"']+", "", text).casefold()


def _whole(content: DraftContent) -> str:
    return f"{content.findings}\n{content.impression}\n{content.recommendation}"


def _has_word(text: str, word: str) -> bool:
    if word.isascii():
        return re.search(rf"\b{word}\b", text, re.IGNORECASE) is not None
    return word in text
