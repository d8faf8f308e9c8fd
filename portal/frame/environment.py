"""The Jinja environment of all pages: rooms' folders by name, texts by key, times in the reader's zone."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from jinja2 import Environment, FileSystemLoader, PrefixLoader, StrictUndefined, pass_context
from jinja2.runtime import Context

from center.citations import cited
from center.exam_names import english_exam
from center.pinyin import with_latin
from portal.frame.frame import Frame
from portal.frame.texts import Texts, load_texts

FRAME_FOLDER = Path(__file__).resolve().parent

#: What ``when`` prints: 24 h, ISO order (UI.md section 6).
WHEN = {
    "second": "%Y-%m-%d %H:%M:%S",
    "minute": "%Y-%m-%d %H:%M",
    "date": "%Y-%m-%d",
    "time": "%H:%M",
    "clock": "%H:%M:%S",
}
UNKNOWN = "—"


def duration(seconds: float) -> str:
    """``18:20`` or ``1:06:48``; the sign is left to the words around it."""
    whole = abs(int(seconds))
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes:02}:{rest:02}"


def local(instant: datetime, zone: str) -> datetime:
    """The instant on the clocks of that zone."""
    return instant.astimezone(ZoneInfo(zone))


def _frame(context: Context) -> Frame:
    return context["frame"]


@pass_context
def _when(context: Context, value: datetime | date | None, form: str = "minute") -> str:
    if value is None:
        return UNKNOWN
    if isinstance(value, datetime):
        return local(value, _frame(context).zone).strftime(WHEN[form])
    return value.isoformat()


def _from_iso(text: str) -> datetime | str:
    """The aware instant that the text writes, else the text."""
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        return text
    return read if read.tzinfo else text


def environment(folders: Mapping[str, Path], texts: Texts) -> Environment:
    """The environment in which ``frame/layout.html`` and ``<room>/<page>.html`` are found.

    Pages get ``frame`` (a Frame) in their context; parts are imported ``with context``.
    Globals: t(key, **values), raw_text(key), has_text(key). Filters: duration, when(form), iso, from_iso, or_unknown, person, exam, cited.
    """
    loader = PrefixLoader({n: FileSystemLoader(p) for n, p in {**folders, "frame": FRAME_FOLDER}.items()})
    made = Environment(
        loader=loader,
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )

    @pass_context
    def t(context: Context, key: str, **values: object) -> str:
        return texts.t(_frame(context).lang, key, **values)

    @pass_context
    def raw_text(context: Context, key: str) -> str:
        return texts.raw(_frame(context).lang, key)

    # typed Any: jinja2 infers the type of these mappings from its own defaults
    shared: dict[str, Any] = {"t": t, "raw_text": raw_text, "has_text": texts.has}
    filters: dict[str, Any] = {
        "duration": duration,
        "when": _when,
        "iso": _iso,
        "from_iso": _from_iso,
        "or_unknown": _or_unknown,
        "person": _person,
        "exam": _exam,
        "cited": _cited,
    }
    made.globals.update(shared)
    made.filters.update(filters)
    return made


@pass_context
def _person(context: Context, name: str) -> str:
    """A person as he is written; on English pages with Latin letters beside each of the names."""
    return name if _frame(context).lang == "zh" else " / ".join(with_latin(n) for n in name.split(" / "))


@pass_context
def _exam(context: Context, words: str) -> str:
    """An exam's name; on English pages in English where it is made of known words."""
    return words if _frame(context).lang == "zh" else english_exam(words) or words


@pass_context
def _cited(context: Context, source: str) -> str:
    return cited(source, _frame(context).lang)


def _iso(instant: datetime) -> str:
    return instant.isoformat()


def _or_unknown(value: object) -> object:
    return UNKNOWN if value in (None, "") else value


def pages_of(rooms: Mapping[str, Path]) -> Environment:
    """The environment of these rooms' ``pages`` folders and the frame, with the texts that lie in them."""
    return environment(rooms, load_texts([FRAME_FOLDER, *rooms.values()]))
