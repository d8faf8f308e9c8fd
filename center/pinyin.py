"""Names as people type them: the key under which a patient is found by characters, pinyin or initials.

A surname is often read otherwise than the same character elsewhere (单 shan, not dan), and a stranger to the family
can't know which: both readings are kept.  Tones are left out.
"""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import product
from typing import Final

from center.characters import STAND_IN, is_private

#: Readings of a character as a surname, where they differ from the common one (Xinhua dictionary, 百家姓 readings).
SURNAMES: Final[dict[str, tuple[str, ...]]] = {
    "单": ("shan",), "曾": ("zeng",), "解": ("xie",), "仇": ("qiu",), "区": ("ou",), "查": ("zha",), "任": ("ren",),
    "华": ("hua",), "朴": ("piao",), "盖": ("ge", "gai"), "乐": ("yue", "le"), "翟": ("zhai", "di"), "尉": ("wei", "yu"),
    "万": ("wan",), "缪": ("miao",), "宓": ("mi", "fu"), "折": ("she",), "黑": ("he", "hei"), "秘": ("bi",), "繁": ("po",),
    "覃": ("qin", "tan"), "员": ("yun",), "召": ("shao",), "燕": ("yan",), "晟": ("cheng",), "纪": ("ji",), "哈": ("ha",),
    "逄": ("pang",), "冼": ("xian",), "洗": ("xian",), "种": ("chong",), "令": ("ling",), "阚": ("kan",), "教": ("jiao",),
    "郇": ("xun", "huan"), "幺": ("yao",), "那": ("na",), "过": ("guo",), "应": ("ying",), "宁": ("ning",), "訾": ("zi",),
    "贠": ("yun",), "佴": ("nai",), "厘": ("xi",), "牟": ("mu", "mou"), "葛": ("ge",), "褚": ("chu",), "隗": ("wei", "kui"),
    "相": ("xiang",), "车": ("che",), "卜": ("bu",), "石": ("shi",), "祭": ("zhai",), "尹": ("yin",), "柏": ("bai", "bo"),
    "尉迟": ("yuchi",), "万俟": ("moqi",), "长孙": ("zhangsun",), "澹台": ("tantai",), "单于": ("chanyu",),
    "夏侯": ("xiahou",), "令狐": ("linghu",), "皇甫": ("huangfu",), "宰父": ("zaifu",), "鲜于": ("xianyu",),
}  # fmt: skip
_MOST_READINGS: Final = 24
_HAN: Final = re.compile(r"[\u3400-\u9fff\U00020000-\U0003ffff]")
#: What stands for a character that has no reading.
_UNREAD: Final = frozenset({STAND_IN, "\ufffd"})
_SEPARATORS: Final = re.compile(r"[\s^=,.·'’\-]+")


def has_han(text: str) -> bool:
    """It holds a Chinese character."""
    return _HAN.search(text) is not None


def fold(text: str) -> str:
    """A name as the search compares it: lower case, without separators."""
    return _SEPARATORS.sub("", text).casefold()


def search_key(person_name: str) -> str:
    """Words under which a DICOM PN (or a plain name) is found, each between spaces, without characters.

    ``Zhang^San=张^三`` -> `` zhangsan zs sanzhang ``;  单雄 -> `` danxiong dx shanxiong sx ``.
    """
    words: dict[str, None] = {}
    for group in person_name.split("=")[:2]:
        for word in _han_words(group) if has_han(group) else _latin_words(group):
            words[word] = None
    return f" {' '.join(words)} " if words else ""


def _han_words(group: str) -> list[str]:
    text = _SEPARATORS.sub("", "".join(c for c in group if c not in _UNREAD and not is_private(c)))
    out: list[str] = []
    for reading in readings(text):
        out += ["".join(reading), "".join(r[0] for r in reading if r)]
    return out


def readings(text: str) -> list[tuple[str, ...]]:
    """Ways in which Chinese characters may be read, syllable by syllable, the common one first; tones left out."""
    from pypinyin import Style, lazy_pinyin, pinyin  # 0.4 s: loaded when the first Chinese name comes

    common = tuple(fold(s) for s in lazy_pinyin(text))
    found: dict[tuple[str, ...], None] = {common: None}
    for length in (2, 1):
        for special in SURNAMES.get(text[:length], ()):
            rest = tuple(fold(s) for s in lazy_pinyin(text[length:])) if len(text) > length else ()
            found[_split(special, length) + rest] = None
    # Characters with several readings in the given name (长, 行, 重): each is a way in.
    if 1 < len(text) <= 4:
        single = [dict.fromkeys(fold(s) for s in pinyin(c, style=Style.NORMAL, heteronym=True)[0]) for c in text]
        for one in product(*(tuple(s)[:3] for s in single)):
            if len(found) >= _MOST_READINGS:
                break
            found[one] = None
    return list(found)


def _split(reading: str, characters: int) -> tuple[str, ...]:
    """A compound surname's reading by character, so that initials come right: ``yuchi`` -> yu, chi."""
    if characters == 1:
        return (reading,)
    initials = re.findall(
        r"(?:zh|ch|sh|[bpmfdtnlgkhjqxzcsryw])?[aeiouv]+(?:ng(?![aeiouv])|n(?![aeiouv])|r(?![aeiouv]))?", reading
    )
    return tuple(initials) if len(initials) == characters else (reading,)


def _latin_words(group: str) -> list[str]:
    parts = [fold(p) for p in re.split(r"[\s^]+", group) if fold(p)]
    if not parts:
        return []
    return ["".join(parts), "".join(reversed(parts)), "".join(p[0] for p in parts)]


#: Compound surnames that the dictionary reads right and SURNAMES therefore lacks (百家姓).
_COMPOUND: Final = frozenset(
    [
        "欧阳",
        "司马",
        "上官",
        "诸葛",
        "东方",
        "司徒",
        "司空",
        "慕容",
        "公孙",
        "端木",
        "宇文",
        "赫连",
        "闻人",
        "钟离",
        "申屠",
        "轩辕",
    ]
)
_LONGEST_WITH_SURNAME: Final = 4
_LONGEST_NAME: Final = 64  # DICOM PN, one group (PS3.5 6.2)


@lru_cache(maxsize=4096)
def latin_name(name: str) -> str:
    """A Chinese name in Latin letters, family name first: ``单雄信`` -> ``Shan Xiongxin``; empty where none is Chinese.

    A guess at the sound, for those who can't read the characters: it stands beside the written name, never for it.
    """
    if len(name) > _LONGEST_NAME or not has_han(name):
        return ""
    words = [w for w in _SEPARATORS.split(name) if w]
    if len(words) == 1 and 1 < len(words[0]) <= _LONGEST_WITH_SURNAME:
        length = 2 if len(words[0]) > 2 and (words[0][:2] in SURNAMES or words[0][:2] in _COMPOUND) else 1
        family, given = words[0][:length], words[0][length:]
        return f"{_sound(family, family=True)} {_sound(given)}".strip()
    return " ".join(_sound(w) for w in words).strip()


def with_latin(name: str) -> str:
    """The written name with its Latin letters beside it, for pages in English."""
    latin = latin_name(name)
    return f"{name} {latin}" if latin else name


def _sound(text: str, *, family: bool = False) -> str:
    from pypinyin import lazy_pinyin

    readable = "".join(c for c in text if c not in _UNREAD and not is_private(c))
    if family and readable in SURNAMES:
        return SURNAMES[readable][0].capitalize()
    return "".join(lazy_pinyin(readable, errors="default")).capitalize()
