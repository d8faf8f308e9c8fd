"""Every key in a table or a rule is in a vocabulary: what nothing is called by stops the import."""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Iterator
from pathlib import Path

import pytest

import ecg
from ecg import critical, statements
from ecg.marks import FACTS
from ecg.statements import UnknownKey, terms, vocabulary

_FOLDER = Path(str(ecg.__file__)).parent
_FILES = sorted(p for p in _FOLDER.glob("*.py") if p.stem not in ("sheet_words", "measurement_names"))
_SAYS = {"said", "stated", "Statement", "says"}


def test_a_wrong_key_in_a_table_is_refused() -> None:
    assert terms("vt", "afib") == ("vt", "afib")
    with pytest.raises(UnknownKey, match="av_dissociation_"):
        terms("vt", "av_dissociation_")


@pytest.mark.parametrize(
    "text",
    [
        "statement av_dissociation_",
        "no statement vt | afibb",
        "heart_rat >= 150 /min",
        "vt_rate | heartrate >= 150 /min",
        "lead st_jj >= 0.1 mV in 2 of II III aVF",
    ],
)
def test_a_wrong_name_in_a_critical_rule_is_refused(text: str) -> None:
    with pytest.raises(UnknownKey):
        critical.condition_of(text)


@pytest.mark.parametrize("module", ["rhythm", "engine", "comparison", "holter", "critical", "diagnose_view", "measure"])
def test_a_wrong_key_stops_the_import(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    known = dict(vocabulary())
    for key in ("vt", "afib", "paced_v"):
        del known[key]
    spec = importlib.util.find_spec(f"ecg.{module}")
    assert spec is not None and spec.loader is not None
    monkeypatch.setattr(statements, "vocabulary", lambda: known)
    with pytest.raises(UnknownKey):
        spec.loader.exec_module(importlib.util.module_from_spec(spec))


def _literals(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Keys that code names: what is said or asked about, and modifiers."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if name in _SAYS:
            asked = node.args if name == "says" else node.args[:1]
            yield from (
                (a.value, node.lineno) for a in asked if isinstance(a, ast.Constant) and isinstance(a.value, str)
            )
            for given in node.keywords:
                if given.arg == "modifiers":
                    found = (
                        c for c in ast.walk(given.value) if isinstance(c, ast.Constant) and isinstance(c.value, str)
                    )
                    yield from ((c.value, node.lineno) for c in found)


@pytest.mark.parametrize("path", _FILES, ids=lambda p: p.stem)
def test_every_key_that_code_says_or_asks_about_is_a_term(path: Path) -> None:
    known = vocabulary().keys() | {"", "lbbb"}
    assert [found for found in _literals(ast.parse(path.read_text(encoding="utf-8"))) if found[0] not in known] == []


@pytest.mark.parametrize("path", _FILES, ids=lambda p: p.stem)
def test_no_table_holds_keys_that_were_not_checked(path: Path) -> None:
    """A set, tuple or dict at the top of a module most of whose words are statements: all of them are."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if not isinstance(node, ast.AnnAssign) or node.value is None:
            continue
        words = [c.value for c in ast.walk(node.value) if isinstance(c, ast.Constant) and isinstance(c.value, str)]
        known = [word for word in words if word in vocabulary()]
        if len(known) > len(words) / 2:
            beside = {"pause", "st_shift", "couplet_v", "fastest", "slowest"}  # a long recording's events
            assert set(words) - vocabulary().keys() - beside == set(), (path.stem, node.lineno)


def test_every_fact_that_the_rhythm_leaves_is_listed() -> None:
    from ecg import engine
    from tests.makers.rhythms import MAKERS, make_rhythm

    for kind in sorted(MAKERS)[::8]:
        recording, _ = make_rhythm(kind, 3, seconds=8.0)
        assert engine.read(recording).rhythm.facts.keys() <= FACTS
