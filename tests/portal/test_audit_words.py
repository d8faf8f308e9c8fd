"""Every act that the code can write into the audit has its words, in both languages; the acts are found in the source."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from center.permits import Act
from portal.frame.texts import load_texts
from worklist.lifecycle import CaseMove

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("center", "dicom_gateway", "ecg", "inference", "portal", "worklist")
#: Acts whose end is a value: written so -> the ends that the code gives.
ENDS: dict[str, frozenset[str]] = {
    "verdict:": frozenset({"accepted", "rejected"}),  # drafts.judge refuses any other
    "notice:": frozenset({"amended", "withdrawn"}),  # withdrawing.tell
}


def called(tree: ast.AST, *names: str) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if name in names:
                yield node


def words_of(node: ast.expr) -> set[str]:
    """The texts that an expression can be; empty where it names what is passed in."""
    match node:
        case ast.Constant(value=str(text)):
            return {text}
        case ast.IfExp(body=one, orelse=other):
            return words_of(one) | words_of(other)
        case ast.Attribute(value=ast.Attribute() as inner, attr="value"):
            return words_of(inner)
        case ast.Attribute(value=ast.Name(id="Act"), attr=name):
            return {Act[name].value}
        case ast.JoinedStr(values=[ast.Constant(value=str(begin)), ast.FormattedValue()]):
            return {begin + end for end in ENDS[begin]} if begin != "case:" else set()
        case _:
            return set()


def noted(tree: ast.Module) -> set[str]:
    """What is noted about a case here: ``moves.note(work, row, WHAT)``, through one function or one name as well."""
    out: set[str] = set()
    for function in (n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)):
        for what in (c.args[2] for c in called(function, "note") if len(c.args) > 2):
            found = words_of(what)
            if isinstance(what, ast.Name):
                places = [n for n, a in enumerate(function.args.args) if a.arg == what.id]
                for call in called(tree, function.name) if places else ():
                    found |= words_of(call.args[places[0]])
                for node in ast.walk(function):
                    if isinstance(node, ast.Assign) and ast.dump(node.targets[0]) == ast.dump(
                        ast.Name(what.id, ast.Store())
                    ):
                        found |= words_of(node.value)
            assert found, f"{function.name}: what it notes could not be found"
            out |= found
    return out


def acts() -> set[str]:
    """Of the whole code: the table of permits, what is written literally, the case's moves and notes."""
    out = {a.value for a in Act} | {f"case:{m.value}" for m in CaseMove}
    for path in (p for room in ROOMS for p in (ROOT / room).rglob("*.py")):
        tree = ast.parse(path.read_text("utf-8"))
        for call in (c for c in called(tree, "audit") if len(c.args) > 1):
            found = words_of(call.args[0])
            assert found or path.name == "moves.py", f"{path}:{call.lineno}: the act could not be found"
            out |= found
        if path.parent.name == "worklist":
            out |= {f"case:note:{what}" for what in noted(tree)}
    return out


def test_every_act_that_the_code_writes_has_words_in_both_languages() -> None:
    found = acts()
    assert {"case:view", "case:note:wider_pool", "case:note:alert_acknowledged", "verdict:rejected"} <= found
    texts = load_texts([ROOT / "portal" / "audit" / "pages"])  # raises where one language lacks a key
    assert sorted(a for a in found if not texts.has(f"portal.audit.act.{a}")) == []
