"""Every sentence a page says, in Chinese and English, by key ``room.page.element``.

A room keeps its own in ``pages/zh.toml`` and ``pages/en.toml``, the frame in ``frame/``; nested tables make the key.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

Lang = Literal["zh", "en"]
LANGS: tuple[Lang, ...] = ("zh", "en")


class TextMissing(Exception):
    """A page asked for a sentence that is not there, two files hold the same key, or a language lacks one."""


@dataclass(frozen=True, slots=True)
class Texts:
    """The sentences of both languages; both have the same keys."""

    sentences: Mapping[Lang, Mapping[str, str]]

    def raw(self, lang: Lang, key: str) -> str:
        """The sentence with its {places} still open. Raises TextMissing."""
        try:
            return self.sentences[lang][key]
        except KeyError:
            raise TextMissing(f"{lang}: {key}") from None

    def t(self, lang: Lang, key: str, **values: object) -> str:
        """The sentence with its places filled. Raises TextMissing, also for a place without a value."""
        try:
            return self.raw(lang, key).format(**values)
        except (KeyError, IndexError) as wrong:
            raise TextMissing(f"{lang}: {key} wants {wrong}") from None

    def has(self, key: str) -> bool:
        return key in self.sentences["zh"]


def flatten(table: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, str]]:
    """(key, sentence) of nested tables: ``{"a": {"b": "c"}}`` gives ``("a.b", "c")``. Raises TextMissing."""
    for name, value in table.items():
        key = prefix + name
        if isinstance(value, Mapping):
            yield from flatten(cast(Mapping[str, object], value), key + ".")
        elif isinstance(value, str):
            yield key, value
        else:
            raise TextMissing(f"{key} is not a sentence")


def parse_texts(sources: Iterable[tuple[Lang, str]]) -> Texts:
    """The texts of (language, TOML) pairs. Raises TextMissing where a key comes twice or in one language only."""
    sentences: dict[Lang, dict[str, str]] = {"zh": {}, "en": {}}
    for lang, toml in sources:
        for key, sentence in flatten(tomllib.loads(toml)):
            if key in sentences[lang]:
                raise TextMissing(f"{lang}: {key} stands twice")
            sentences[lang][key] = sentence
    alone = sentences["zh"].keys() ^ sentences["en"].keys()
    if alone:
        raise TextMissing(f"in one language only: {', '.join(sorted(alone))}")
    return Texts(sentences)


def load_texts(folders: Iterable[Path]) -> Texts:
    """The texts of every ``zh.toml`` and ``en.toml`` in the folders. Raises TextMissing, OSError."""
    return parse_texts((lang, (folder / f"{lang}.toml").read_text("utf-8")) for folder in folders for lang in LANGS)
