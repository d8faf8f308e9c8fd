"""How soon a recording must be read: red, orange, yellow, green, and by which rule of which authority.

The rules are data (``critical_rules/*.toml``): one line a condition, each rule with its source, standing and version.
``grade`` only evaluates them.  Certainty: a way rests on the least certain thing that it rests on; a red way that rests
on less than ``red_from`` (0.5) is orange and says so, because a queue that alarms at every doubt is soon ignored (goal:
PPV >= 60 %); lethal rhythms stay red down to 0.35-0.4, because there a missed minute costs more.  Nothing that fired is
ever below yellow.
"""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from importlib.resources import files
from typing import Any, Final

from ecg.limit import NONE, Limit, in_words, sign_of
from ecg.marks import FACTS, Evidence, Measurements, Quantity, Rhythm, Statement
from ecg.measurement_names import NAMES
from ecg.statements import UnknownKey, terms

DEFAULT_PROFILE: Final = "national_2017"
PROFILES: Final = ("national_2017", "zhejiang", "zhejiang:first", "zhejiang:revised", "shanxi")
"""Every profile that ``grade`` takes; ``name:edition`` where a province has more than one edition."""


class Tier(StrEnum):
    RED = "red"
    ORANGE = "orange"
    YELLOW = "yellow"
    GREEN = "green"


_DOWN: Final = {Tier.RED: Tier.ORANGE, Tier.ORANGE: Tier.YELLOW, Tier.YELLOW: Tier.YELLOW}
_ORDER: Final = tuple(Tier)


@dataclass(frozen=True, slots=True)
class Fired:
    """A rule that holds for this recording.

    zh, en: the rule, and what could not be proved or known.  standing: s, p or ours.  certainty: 0..1.
    """

    id: str
    zh: str
    en: str
    tier: Tier
    evidence: tuple[Evidence, ...]
    source: str
    standing: str
    version: str
    certainty: float


@dataclass(frozen=True, slots=True)
class Critical:
    """The recording's tier, the rules that fired (the most urgent first), and exactly which rules were asked.

    digest: sha256 hex of the rules as they were evaluated (canonical JSON).
    """

    tier: Tier
    rules: tuple[Fired, ...]
    profile: str
    version: str
    digest: str


@dataclass(frozen=True, slots=True)
class Condition:
    """One line of a rule.

    is_negated: none of ``names`` is stated.  limit: of a value, compared as it is told.  groups: lead groups, empty for a value or statement.
    """

    text: str
    names: tuple[str, ...]
    is_negated: bool = False
    limit: Limit = NONE
    count: int = 0
    groups: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Way:
    """Conditions that together make the rule fire with this tier; notes say what could not be proved."""

    tier: Tier
    all: tuple[Condition, ...]
    note_zh: str = ""
    note_en: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    """red_from: the certainty from which a red way stays red."""

    id: str
    zh: str
    en: str
    source: str
    standing: str
    version: str
    red_from: float
    ways: tuple[Way, ...]


@dataclass(frozen=True, slots=True)
class Profile:
    """The rules of one authority's edition, complete."""

    name: str
    version: str
    zh: str
    en: str
    orange_from: float
    rules: tuple[Rule, ...]
    digest: str


def grade(
    statements: Sequence[Statement],
    measurements: Measurements,
    rhythm: Rhythm,
    *,
    seconds: float,
    profile: str = DEFAULT_PROFILE,
    age_years: float | None = None,
) -> Critical:
    """The tier by this profile's rules; seconds: the recording's length.  Raises KeyError for an unknown profile."""
    asked = rules_of(profile)
    seen = _Seen.of(statements, measurements, rhythm, seconds, age_years)
    fired = [one for one in (_fired(rule, seen, asked.orange_from) for rule in asked.rules) if one is not None]
    fired.sort(key=lambda one: _ORDER.index(one.tier))  # stable: within a tier in the file's order
    tier = fired[0].tier if fired else Tier.GREEN
    return Critical(tier, tuple(fired), asked.name, asked.version, asked.digest)


# ---------------------------------------------------------------------------------------------- evaluating


@dataclass(frozen=True, slots=True)
class _Seen:
    """What conditions ask about: statements (and modifiers) by key, numbers by name, numbers by lead."""

    said: dict[str, Statement]
    values: dict[str, Quantity]
    by_lead: dict[str, dict[str, Quantity]] = field(default_factory=dict)

    @staticmethod
    def of(
        statements: Sequence[Statement],
        measurements: Measurements,
        rhythm: Rhythm,
        seconds: float,
        age_years: float | None,
    ) -> _Seen:
        said: dict[str, Statement] = {}
        for statement in statements:
            for key in (statement.key, *statement.modifiers):
                if key not in said or said[key].certainty < statement.certainty:
                    said[key] = statement
        values = dict(measurements.values) | {key: Quantity(v, "", 1.0) for key, v in rhythm.facts.items()}
        values["seconds"] = Quantity(seconds, "s", 1.0)
        values["vt_to_edge_s"] = Quantity(_to_edge_s(statements, seconds), "s", 1.0)
        if age_years is not None:
            values["age"] = Quantity(age_years, "year", 1.0)
        return _Seen(said, values, measurements.by_lead)


_RUNS: Final = frozenset(terms("vt", "vt_nonsustained", "vt_poly"))
_AT_EDGE_S: Final = 0.6
"""A run whose next beat would lie outside the strip has no end in it: one interval at 100/min (ours)."""


def _to_edge_s(statements: Sequence[Statement], seconds: float) -> float:
    """How long the ventricular run is that begins or ends at the strip's edge, s; 0 where none does."""
    spans = [
        (e.start_s, e.end_s)
        for s in statements
        if s.key in _RUNS
        for e in s.evidence
        if e.start_s is not None and e.end_s is not None
    ]
    return max((b - a for a, b in spans if a < _AT_EDGE_S or b > seconds - _AT_EDGE_S), default=0.0)


@dataclass(frozen=True, slots=True)
class _Held:
    certainty: float
    evidence: tuple[Evidence, ...]


_DECIMALS: Final = {"/min": 0, "ms": 0, "s": 2, "mV": 2, "year": 2, "": 3}
"""To how many decimals a value is told, and so compared: 199.6/min is printed as 200 and alarms as 200 (ours)."""


def _fired(rule: Rule, seen: _Seen, orange_from: float) -> Fired | None:
    for way in rule.ways:
        held = [_held(condition, seen) for condition in way.all]
        if all(one is not None for one in held):
            return _outcome(rule, way, [one for one in held if one is not None], orange_from)
    return None


def _outcome(rule: Rule, way: Way, held: Sequence[_Held], orange_from: float) -> Fired:
    certainty = min(one.certainty for one in held)
    needed = {Tier.RED: rule.red_from, Tier.ORANGE: orange_from}.get(way.tier, 0.0)
    is_doubtful = certainty < needed
    zh = [rule.zh, way.note_zh, f"把握较低（{certainty:.0%}），降一级。" if is_doubtful else ""]
    en = [rule.en, way.note_en, f"Of low certainty ({certainty:.0%}): one tier lower." if is_doubtful else ""]
    return Fired(
        id=rule.id,
        zh="。".join(part.rstrip("。") for part in zh if part) + "。",
        en=". ".join(part.rstrip(".") for part in en if part) + ".",
        tier=_DOWN[way.tier] if is_doubtful else way.tier,
        evidence=tuple(dict.fromkeys(e for one in held for e in one.evidence)),
        source=rule.source,
        standing=rule.standing,
        version=rule.version,
        certainty=certainty,
    )


def _held(condition: Condition, seen: _Seen) -> _Held | None:
    """What the condition rests on; None where it doesn't hold, or what it asks for could not be measured."""
    if condition.groups:
        return _held_in_leads(condition, seen)
    if condition.limit.has_number:
        return _held_by_value(condition, seen)
    stated = [seen.said[name] for name in condition.names if name in seen.said]
    if condition.is_negated:
        return None if stated else _Held(1.0, ())
    if not stated:
        return None
    surest = max(stated, key=lambda s: s.certainty)
    return _Held(surest.certainty, (Evidence(surest.key, passed=in_words("stated")), *surest.evidence))


def _held_by_value(condition: Condition, seen: _Seen) -> _Held | None:
    name = next((name for name in condition.names if name in seen.values), None)
    if name is None or not condition.limit.holds(seen.values[name].value):
        return None
    quantity = seen.values[name]
    return _Held(quantity.certainty, (Evidence(name, quantity.value, condition.limit.unit, condition.limit),))


def _held_in_leads(condition: Condition, seen: _Seen) -> _Held | None:
    """Of the groups with enough leads beyond the limit, that whose weakest counted lead is surest."""
    best: _Held | None = None
    for group in condition.groups:
        found = [(lead, seen.by_lead.get(lead, {}).get(condition.names[0])) for lead in group]
        beyond = [(lead, q) for lead, q in found if q is not None and condition.limit.holds(q.value)]
        if len(beyond) < condition.count:
            continue
        certainty = sorted((q.certainty for _, q in beyond), reverse=True)[condition.count - 1]
        if best is None or certainty > best.certainty:
            best = _Held(
                certainty,
                tuple(
                    Evidence(condition.names[0], q.value, condition.limit.unit, condition.limit, lead)
                    for lead, q in beyond
                ),
            )
    return best


def _limit(sign: str, number: str, unit: str, source: str) -> Limit:
    return Limit(sign_of(sign), float(number), unit, source, decimals=_DECIMALS[unit])


# ---------------------------------------------------------------------------------------------- reading the rules

_NUMBERS: Final = frozenset({*NAMES, *FACTS, "seconds", "vt_to_edge_s", "age"})
_STATED: Final = re.compile(r"(no )?statement (\w+(?: \| \w+)*)")
_VALUE: Final = re.compile(r"(\w+(?: \| \w+)*) (>=|<=|>|<) (-?[\d.]+)(?: (/min|ms|s|mV|year))?")
_LEADS: Final = re.compile(r"lead (\w+) (>=|<=|>|<) (-?[\d.]+) (ms|mV) in (\d) of ([\w ;]+)")


def condition_of(text: str, source: str = "") -> Condition:
    """The line as a condition; source: of its limit.  Raises ValueError where it isn't one, UnknownKey for a name
    that nothing has.
    """
    if found := _STATED.fullmatch(text):
        return Condition(text, terms(*_split(found[2], "|")), is_negated=bool(found[1]))
    if found := _LEADS.fullmatch(text):
        _numbers(found[1])
        groups = tuple(tuple(group.split()) for group in found[6].split(";"))
        return Condition(text, (found[1],), False, _limit(found[2], found[3], found[4], source), int(found[5]), groups)
    if found := _VALUE.fullmatch(text):
        return Condition(
            text, _numbers(*_split(found[1], "|")), False, _limit(found[2], found[3], found[4] or "", source)
        )
    raise ValueError(f"not a condition: {text!r}")


def _numbers(*names: str) -> tuple[str, ...]:
    unknown = [name for name in names if name not in _NUMBERS]
    if unknown:
        raise UnknownKey(f"no such number: {', '.join(unknown)}")
    return names


def _split(text: str, by: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(by))


@cache
def rules_of(profile: str) -> Profile:
    """The profile's rules, complete (a province's over the nation's).  Raises KeyError for an unknown profile."""
    if profile not in PROFILES:
        raise KeyError(profile)
    name, _, edition = profile.partition(":")
    raw = _effective(name, edition)
    canonical = json.dumps(raw, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    red_from = float(raw["certainty"]["red_from"])
    edition = edition or raw.get("default_edition", "")
    return Profile(
        name=profile,
        version=f"{raw['version']}/{edition}" if edition else raw["version"],
        zh=raw["zh"],
        en=raw["en"],
        orange_from=float(raw["certainty"]["orange_from"]),
        rules=tuple(_rule(one, red_from) for one in raw["rule"]),
        digest=hashlib.sha256(canonical.encode()).hexdigest(),
    )


def _effective(name: str, edition: str) -> dict[str, Any]:
    """Parsed TOML with what it extends filled in, and the rules of other editions left out."""
    raw = tomllib.loads((files("ecg") / "critical_rules" / f"{name}.toml").read_text(encoding="utf-8"))
    edition = edition or raw.get("default_edition", "")
    own = [rule for rule in raw["rule"] if rule.get("edition", edition) == edition]
    if "extends" not in raw:
        return raw | {"rule": own}
    base = _effective(raw["extends"], "")
    replaced = {rule["id"]: rule for rule in own}
    national = {rule["id"] for rule in base["rule"]}
    kept = [replaced.get(rule["id"], rule) for rule in base["rule"]]
    return base | raw | {"rule": [*(rule for rule in own if rule["id"] not in national), *kept]}


def _rule(raw: dict[str, Any], red_from: float) -> Rule:
    return Rule(
        id=raw["id"],
        zh=raw["zh"],
        en=raw["en"],
        source=raw["source"],
        standing=raw["standing"],
        version=raw["version"],
        red_from=float(raw.get("red_from", red_from)),
        ways=tuple(
            Way(
                Tier(way["tier"]),
                tuple(condition_of(text, raw["source"]) for text in way["all"]),
                way.get("note_zh", ""),
                way.get("note_en", ""),
            )
            for way in raw["way"]
        ),
    )


for _profile in PROFILES:  # a rule that asks for what nothing is called by stops the import
    rules_of(_profile)
