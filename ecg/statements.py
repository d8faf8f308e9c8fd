"""The vocabulary of ECG statements (AHA/ACC/HRS 2007 part II, SCP, SNOMED CT, MDC), and which may stand together.

The words are in ``vocabulary/statements.csv``, the rules in ``vocabulary/pairing.toml``: data that a center may edit.
"""

from __future__ import annotations

import csv
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cache
from importlib.resources import files
from typing import Any, Final

from ecg.limit import in_words
from ecg.marks import Evidence, Statement

_FOLDER: Final = "vocabulary"
BORDERLINE: Final = "borderline"


class Kind(StrEnum):
    """What part of the AHA's list a statement belongs to."""

    OVERALL = "overall"
    TECHNICAL = "technical"
    PRIMARY = "primary"
    SECONDARY = "secondary"
    MODIFIER = "modifier"
    COMPARISON = "comparison"


_KINDS: Final = (
    (range(1, 10), Kind.OVERALL),
    (range(10, 20), Kind.TECHNICAL),
    (range(20, 200), Kind.PRIMARY),
    (range(200, 300), Kind.SECONDARY),
    (range(300, 400), Kind.MODIFIER),
    (range(400, 500), Kind.COMPARISON),
    (range(500, 600), Kind.PRIMARY),  # convenience statements stand for a primary and its modifier
)


@dataclass(frozen=True, slots=True)
class Term:
    """One row of the vocabulary.

    aha: ``104``, or ``147+367`` for a primary with its modifier; empty where AHA 2007 has none.
    scp: PTB-XL's acronym (two with a slash).  snomed, mdc: empty where unknown.  critical: when it alarms, in words.
    """

    key: str
    en: str
    zh: str
    aha: str
    scp: str
    snomed: str
    mdc: str
    critical: str
    kind: Kind
    rank: int

    @property
    def code(self) -> int | None:
        """The first AHA code, None where there is none."""
        return int(self.aha.split("+")[0]) if self.aha else None


class UnknownKey(ValueError):
    """A table names a statement, a modifier or a number that nothing is called by."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a combination of statements is refused: a stable code, the statements concerned, a sentence in each language."""

    code: str
    keys: tuple[str, ...]
    zh: str
    en: str
    source: str = ""


@dataclass(frozen=True, slots=True)
class _Exclusive:
    groups: tuple[frozenset[str], ...]
    keeps_surest: bool
    zh: str
    en: str
    source: str


@dataclass(frozen=True, slots=True)
class _Instead:
    keys: frozenset[str]
    of: frozenset[str]
    source: str


@dataclass(frozen=True, slots=True)
class _Rules:
    needs: dict[str, frozenset[str]]
    modifies: dict[str, frozenset[str]]
    one_modifier_of: tuple[tuple[str, ...], ...]
    exclusive: tuple[_Exclusive, ...]
    instead: tuple[_Instead, ...]
    normal: frozenset[str]
    otherwise_normal: frozenset[str]
    untold: frozenset[str]


def term(key: str) -> Term:
    """The vocabulary's row of this key.  Raises KeyError."""
    return vocabulary()[key]


@cache
def vocabulary() -> dict[str, Term]:
    """Every term by key, in the file's order."""
    rows = csv.DictReader(_text("statements.csv").splitlines())
    plain = [dict(row) for row in rows]
    order = _ranks(plain)
    primary = {key.strip() for key in _pairing()["kinds"]["primary"].split(",")}
    return {
        row["key"]: Term(**row, kind=_kind(row, primary), rank=order.get(row["key"], len(order) + 1000))
        for row in plain
    }


def terms(*keys: str) -> tuple[str, ...]:
    """These keys, each a term of the vocabulary.  Raises UnknownKey: a table that names no statement does nothing.

    Every table of statement keys is made with it, so that a slip of the pen stops the import.
    """
    unknown = [key for key in keys if key not in vocabulary()]
    if unknown:
        raise UnknownKey(f"no such statement: {', '.join(unknown)}")
    return keys


def of_scp(acronym: str) -> tuple[Term, ...]:
    """The terms that stand for PTB-XL's acronym; empty where none does."""
    return tuple(t for t in vocabulary().values() if acronym in t.scp.split("/"))


def validated(statements: Iterable[Statement]) -> tuple[Statement, ...]:
    """What may be said together of these, the most important first.

    Doubles are merged, modifiers that don't belong are taken off, of statements that exclude each other one stays, a
    secondary statement without its primary goes, and the overall statement is made to fit the rest.  Unknown keys and
    bare modifiers are dropped.  The order of what comes in doesn't matter.
    """
    known = vocabulary()
    rules = _rules()
    found = {key: s for key, s in _merged(statements).items() if known[key].kind is not Kind.MODIFIER}
    found = {key: _with_fitting_modifiers(s, rules) for key, s in found.items()}
    found = _without_implied(_without_excluded(_without_implied(found, rules), rules), rules)
    found = _without_orphans(found, rules)
    found = _with_fitting_overall(found, rules)
    return tuple(sorted(found.values(), key=lambda s: (known[s.key].rank, s.key)))


def problems(statements: Iterable[Statement]) -> tuple[Problem, ...]:
    """Why these statements may not stand together as they are, in both languages; empty where they may."""
    said = list(statements)
    known = vocabulary()
    rules = _rules()
    out = [_unknown(s.key) for s in said if s.key not in known]
    out += [_unknown(m) for s in said for m in s.modifiers if m not in known]
    present = {s.key: s for s in said if s.key in known}
    out += [_doubled(key) for key in present if sum(s.key == key for s in said) > 1]
    out += [_bare_modifier(key) for key in present if known[key].kind is Kind.MODIFIER]
    for statement in present.values():
        out += _modifier_problems(statement, rules)
    out += [_orphan(key, rules) for key in present if _is_orphan(key, present, rules)]
    out += _exclusion_problems(present, rules)
    out += _implied_problems(present, rules)
    out += _overall_problems(present, rules)
    return tuple(out)


def makes_abnormal(statement: Statement) -> bool:
    """Whether this statement makes an ECG abnormal; what is only borderline leaves it otherwise normal."""
    return is_abnormal(statement.key) and BORDERLINE not in statement.modifiers


@cache
def is_abnormal(key: str) -> bool:
    """Whether a statement of this key, without a modifier, makes an ECG other than normal or otherwise normal."""
    rules = _rules()
    beside = (Kind.OVERALL, Kind.TECHNICAL, Kind.MODIFIER, Kind.COMPARISON)
    harmless = rules.normal | rules.otherwise_normal | rules.untold
    return term(key).kind not in beside and key not in harmless


# ---------------------------------------------------------------------------------------------- applying the rules


def _merged(statements: Iterable[Statement]) -> dict[str, Statement]:
    """One statement a key: the highest certainty, all evidence and modifiers, each once."""
    known = vocabulary()
    out: dict[str, Statement] = {}
    for statement in sorted((s for s in statements if s.key in known), key=_settled_order):
        before = out.get(statement.key)
        if before is None:
            out[statement.key] = statement
        else:
            out[statement.key] = replace(
                before,
                certainty=max(before.certainty, statement.certainty),
                evidence=tuple(dict.fromkeys(before.evidence + statement.evidence)),
                modifiers=tuple(dict.fromkeys(before.modifiers + statement.modifiers)),
            )
    return out


def _settled_order(statement: Statement) -> tuple[str, float, str, str]:
    return statement.key, -statement.certainty, repr(statement.modifiers), repr(statement.evidence)


def _with_fitting_modifiers(statement: Statement, rules: _Rules) -> Statement:
    if not statement.modifiers:
        return statement
    fitting = [m for m in dict.fromkeys(statement.modifiers) if statement.key in rules.modifies.get(m, frozenset())]
    for choice in rules.one_modifier_of:
        chosen = [m for m in choice if m in fitting]
        fitting = [m for m in fitting if m not in chosen[1:]]
    return replace(statement, modifiers=tuple(fitting))


def _without_excluded(found: dict[str, Statement], rules: _Rules) -> dict[str, Statement]:
    for rule in rules.exclusive:
        there = [(i, group & found.keys()) for i, group in enumerate(rule.groups)]
        there = [(i, keys) for i, keys in there if keys]
        if len(there) < 2:
            continue
        if rule.keeps_surest:
            there.sort(key=lambda one: (-max(found[key].certainty for key in one[1]), one[0]))
        dropped = frozenset[str]().union(*(keys for _, keys in there[1:])) - there[0][1]
        found = {key: s for key, s in found.items() if key not in dropped}
    return found


def _without_implied(found: dict[str, Statement], rules: _Rules) -> dict[str, Statement]:
    for rule in rules.instead:
        if rule.keys & found.keys():
            found = {key: s for key, s in found.items() if key not in rule.of or key in rule.keys}
    return found


def _without_orphans(found: dict[str, Statement], rules: _Rules) -> dict[str, Statement]:
    return {key: s for key, s in found.items() if not _is_orphan(key, found, rules)}


def _is_orphan(key: str, present: dict[str, Statement], rules: _Rules) -> bool:
    return key in rules.needs and not rules.needs[key] & present.keys()


def _with_fitting_overall(found: dict[str, Statement], rules: _Rules) -> dict[str, Statement]:
    """``normal``, ``otherwise_normal``, ``abnormal`` or ``uninterpretable``: the one that the others leave possible."""
    if not {"normal", "otherwise_normal", "abnormal"} & found.keys():
        return found
    said = next(found[key] for key in ("abnormal", "otherwise_normal", "normal") if key in found)
    others = {key: s for key, s in found.items() if key not in ("normal", "otherwise_normal", "abnormal")}
    wrong = {key: s for key, s in others.items() if makes_abnormal(s)}
    if "abnormal" in found or wrong:
        fitting = "abnormal"
    elif "otherwise_normal" in found or any(key in rules.otherwise_normal or is_abnormal(key) for key in others):
        fitting = "otherwise_normal"
    else:
        fitting = "normal"
    if fitting != "abnormal" and rules.untold & found.keys():
        return others
    if fitting == said.key:
        return others | {fitting: said}
    why = tuple(Evidence(key, passed=in_words("stated", "AHA 2007 part II")) for key in sorted(wrong))
    surest = max((s.certainty for s in wrong.values()), default=said.certainty)
    return others | {fitting: Statement(fitting, surest, why)}


# ---------------------------------------------------------------------------------------------- explaining the rules


def _named(keys: Iterable[str], *, zh: bool) -> str:
    known = vocabulary()
    words = [(known[key].zh if zh else known[key].en) if key in known else key for key in keys]
    return "、".join(words) if zh else ", ".join(words)


def _unknown(key: str) -> Problem:
    return Problem("unknown", (key,), zh=f"词表中没有“{key}”。", en=f"The vocabulary has no statement '{key}'.")


def _doubled(key: str) -> Problem:
    return Problem(
        "doubled",
        (key,),
        zh=f"“{_named((key,), zh=True)}”重复。",
        en=f"'{_named((key,), zh=False)}' is said twice.",
    )


def _bare_modifier(key: str) -> Problem:
    return Problem(
        "bare_modifier",
        (key,),
        zh=f"“{_named((key,), zh=True)}”是修饰语，不能单独使用。",
        en=f"'{_named((key,), zh=False)}' is a modifier and cannot stand alone.",
        source="AHA 2007 part II, table 3",
    )


def _modifier_problems(statement: Statement, rules: _Rules) -> list[Problem]:
    out: list[Problem] = []
    for modifier in statement.modifiers:
        if modifier in vocabulary() and statement.key not in rules.modifies.get(modifier, frozenset()):
            out.append(
                Problem(
                    "modifier",
                    (statement.key, modifier),
                    zh=f"修饰语“{_named((modifier,), zh=True)}”不能用于“{_named((statement.key,), zh=True)}”。",
                    en=f"'{_named((modifier,), zh=False)}' cannot modify '{_named((statement.key,), zh=False)}'.",
                    source="AHA 2007 part II, table 7",
                )
            )
    for choice in rules.one_modifier_of:
        chosen = tuple(m for m in choice if m in statement.modifiers)
        if len(chosen) > 1:
            out.append(
                Problem(
                    "modifiers_exclusive",
                    (statement.key, *chosen),
                    zh=f"“{_named((statement.key,), zh=True)}”上只能用其中一个：{_named(chosen, zh=True)}。",
                    en=f"Only one of these on '{_named((statement.key,), zh=False)}': {_named(chosen, zh=False)}.",
                    source="AHA 2007 part II, table 7",
                )
            )
    return out


def _orphan(key: str, rules: _Rules) -> Problem:
    needed = sorted(rules.needs[key], key=lambda k: vocabulary()[k].rank)
    return Problem(
        "needs_primary",
        (key,),
        zh=f"“{_named((key,), zh=True)}”须与主要诊断之一同用：{_named(needed, zh=True)}。",
        en=f"'{_named((key,), zh=False)}' needs one of these primary statements: {_named(needed, zh=False)}.",
        source="AHA 2007 part II, table 6",
    )


def _exclusion_problems(present: dict[str, Statement], rules: _Rules) -> list[Problem]:
    out: list[Problem] = []
    for rule in rules.exclusive:
        there = [group & present.keys() for group in rule.groups if group & present.keys()]
        if len(there) > 1:
            keys = tuple(sorted(frozenset[str]().union(*there), key=lambda k: vocabulary()[k].rank))
            out.append(Problem("exclusive", keys, rule.zh, rule.en, rule.source))
    return out


def _implied_problems(present: dict[str, Statement], rules: _Rules) -> list[Problem]:
    out: list[Problem] = []
    for rule in rules.instead:
        over, under = sorted(rule.keys & present.keys()), sorted((rule.of - rule.keys) & present.keys())
        if over and under:
            out.append(
                Problem(
                    "implied",
                    (*over, *under),
                    zh=f"已有“{_named(over, zh=True)}”，不再报“{_named(under, zh=True)}”。",
                    en=f"With '{_named(over, zh=False)}' these are not stated: {_named(under, zh=False)}.",
                    source=rule.source,
                )
            )
    return out


def _overall_problems(present: dict[str, Statement], rules: _Rules) -> list[Problem]:
    overall = [key for key in ("normal", "otherwise_normal", "abnormal", "uninterpretable") if key in present]
    if len(overall) > 1:
        return [
            Problem(
                "overall",
                tuple(overall),
                zh=f"总体结论只能有一个：{_named(overall, zh=True)}。",
                en=f"There is one overall statement: {_named(overall, zh=False)}.",
                source="AHA 2007 part II",
            )
        ]
    against = [key for key, s in present.items() if makes_abnormal(s) or key in rules.untold]
    if overall == ["normal"]:
        against = [key for key in present if is_abnormal(key) or key in rules.otherwise_normal | rules.untold]
    if overall and overall[0] in ("normal", "otherwise_normal") and against:
        return [
            Problem(
                "overall",
                (overall[0], *against),
                zh=f"“{_named(overall, zh=True)}”与异常诊断矛盾：{_named(against, zh=True)}。",
                en=f"'{_named(overall, zh=False)}' contradicts: {_named(against, zh=False)}.",
                source="AHA 2007 part II",
            )
        ]
    return []


# ---------------------------------------------------------------------------------------------- reading the data


def _text(name: str) -> str:
    return (files("ecg") / _FOLDER / name).read_text(encoding="utf-8-sig")


@cache
def _pairing() -> dict[str, Any]:
    """The rules as parsed TOML."""
    return tomllib.loads(_text("pairing.toml"))


def _kind(row: dict[str, str], primary: set[str]) -> Kind:
    if not row["aha"]:
        if row["key"] not in primary:
            raise ValueError(f"statements.csv: {row['key']} has no AHA code; name its kind in pairing.toml")
        return Kind.PRIMARY
    code = int(row["aha"].split("+")[0])
    return next(kind for span, kind in _KINDS if code in span)


def _codes(rows: Sequence[dict[str, str]]) -> dict[str, int]:
    return {row["key"]: int(row["aha"].split("+")[0]) for row in rows if row["aha"]}


def _chosen(selection: str, codes: dict[str, int], keys: Iterable[str]) -> list[str]:
    """The keys that a selection names, in its order.  Raises ValueError for a key or code that isn't there."""
    out: list[str] = []
    every = set(keys)
    for part in (p.strip() for p in selection.split(",")):
        first, _, last = part.partition("-")
        if first.isdigit():
            span = range(int(first), int(last or first) + 1)
            found = sorted((key for key, code in codes.items() if code in span), key=lambda k: (codes[k], k))
        else:
            found = [part] if part in every else []
        if part and not found:
            raise ValueError(f"pairing.toml: '{part}' names no statement")
        out += [key for key in found if key not in out]
    return out


def _ranks(rows: Sequence[dict[str, str]]) -> dict[str, int]:
    codes = _codes(rows)
    keys = [row["key"] for row in rows]
    order: list[str] = []
    for group in _pairing()["order"]:
        order += [key for key in _chosen(group["keys"], codes, keys) if key not in order]
    return {key: place for place, key in enumerate(order)}


@cache
def _rules() -> _Rules:
    raw = _pairing()
    codes = {key: t.code for key, t in vocabulary().items() if t.code is not None}
    keys = tuple(vocabulary())

    def chosen(selection: str) -> frozenset[str]:
        return frozenset(_chosen(selection, codes, keys))

    modifies: dict[str, frozenset[str]] = {}
    for row in raw["modifier"]:
        of = chosen(row["of"])
        for modifier in _chosen(row["keys"], codes, keys):
            modifies[modifier] = modifies.get(modifier, frozenset()) | of
    return _Rules(
        needs={terms(row["key"])[0]: chosen(row["needs"]) for row in raw["secondary"]},
        modifies=modifies,
        one_modifier_of=tuple(tuple(_chosen(one, codes, keys)) for one in raw["one_modifier_of"].values()),
        exclusive=tuple(
            _Exclusive(
                groups=tuple(chosen(group) for group in row["groups"]),
                keeps_surest=row["keep"] == "surest",
                zh=row["zh"],
                en=row["en"],
                source=row["source"],
            )
            for row in raw["exclusive"]
        ),
        instead=tuple(_Instead(chosen(row["keys"]), chosen(row["of"]), row["source"]) for row in raw["instead"]),
        normal=chosen(raw["overall"]["normal"]),
        otherwise_normal=chosen(raw["overall"]["otherwise_normal"]),
        untold=chosen(raw["overall"]["untold"]),
    )
