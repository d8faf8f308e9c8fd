"""Names: what is one name in two spellings, and what is two people."""

from __future__ import annotations

from datetime import date

import pytest

from center.patients import Description, differences, same_name


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Zhang^San=张^三", "张三"), ("Zhang^San=张^三", "ZHANG SAN"), ("张^三", "zhang^san"), ("张 三", "张^三^^"),
        ("San^Zhang", "ZHANG^SAN"), ("Alpha^One", "alpha one"), ("ALPHA^ONE^^^", "Alpha, One"), ("Müller^A", "MULLER A"),
        ("Wang^Fang^^Ms", "wang fang"), ("Zhang^San=张^三=チャン", "张三"), ("吕^布", "LYU BU"), ("吕布", "Lv^Bu"), ("单雄", "Shan^Xiong"),
        ("", "张三"), ("^^", "Beta^Two"), ("Ｚｈａｎｇ　Ｓａｎ", "zhang san"), ("Zhnag^San=张^三", "张三"), ("张\ue123", "张〓"), ("张\ufffd", "张三"),
    ],
)  # fmt: skip
def test_two_spellings_are_one_name(one: str, other: str) -> None:
    assert same_name(one, other) and same_name(other, one)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Alpha^One", "Beta^Two"), ("张三", "张珊"), ("Zhang^San=张^三", "Zhang^Shan=张^珊"), ("王芳", "王芳之子"), ("王芳之子", "王芳之女"),
        ("Wang^Fang", "Wang^Fang Baby"), ("张三", "Li^Si"), ("Zhang^San=张^三", "Zhang^San=章^三"), ("张三", "张三丰"), ("张", "张\ue123"), ("张\ue123", "张\ue124"), ("\ue123\ue124", "张三"),
    ],
)  # fmt: skip
def test_two_people_are_told_apart(one: str, other: str) -> None:
    assert not same_name(one, other) and not same_name(other, one)


def test_only_what_both_say_can_differ() -> None:
    one = Description("张三", date(1950, 1, 2), "M")
    assert differences(one, Description("张三")) == differences(one, Description("", None, "O")) == frozenset()
    assert differences(one, Description("李四", date(1951, 1, 2), "F")) == {"name", "birth_date", "sex"}
