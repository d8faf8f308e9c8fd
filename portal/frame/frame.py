"""What the layout needs to know of a request: who looks, in which language, theme and zone, and when."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from urllib.parse import parse_qsl, urlencode, urlsplit

from center.pinyin import with_latin
from portal.frame.texts import Lang


@dataclass(frozen=True, slots=True)
class NavItem:
    """One entry of the top bar; ``text`` is a text key, ``count`` is shown from 1 on, in ``tone`` if it has one."""

    href: str
    text: str
    count: int = 0
    tone: str = ""


@dataclass(frozen=True, slots=True)
class Frame:
    """One page's frame. ``now`` is aware, UTC; ``zone`` an IANA name; ``url`` path and query as asked.

    ``theme`` dark | light, ``density`` dense | roomy: the person's choice, else the page's own (UI.md section 2).
    ``roles`` are text keys. ``demo`` marks a demo region on every page.
    """

    lang: Lang
    now: datetime
    url: str = "/"
    csrf: str = ""
    theme: str = "light"
    density: str = "roomy"
    zone: str = "Asia/Shanghai"
    person: str = ""
    roles: tuple[str, ...] = ()
    clinic: str = ""
    nav: tuple[NavItem, ...] = ()
    demo: bool = False
    person_en: str = ""

    @property
    def person_shown(self) -> str:
        """Who looks, in the page's language."""
        return (self.person_en or with_latin(self.person)) if self.lang == "en" else self.person

    @property
    def html_lang(self) -> str:
        return "zh-CN" if self.lang == "zh" else "en"

    @property
    def here(self) -> str:
        """The address without the language switch: where a form returns to."""
        return self._with(None)

    @property
    def path(self) -> str:
        return urlsplit(self.url).path

    def in_language(self, lang: Lang) -> str:
        """The same address, in that language."""
        return self._with(lang)

    def is_here(self, href: str) -> bool:
        """The nav entry that this page belongs to: itself or what lies below it."""
        path = urlsplit(href).path
        return self.path == path or (path != "/" and self.path.startswith(path.rstrip("/") + "/"))

    def _with(self, lang: str | None) -> str:
        parts = urlsplit(self.url)
        query = [(k, v) for k, v in parse_qsl(parts.query, keep_blank_values=True) if k != "lang"]
        if lang is not None:
            query.append(("lang", lang))
        # only a path of this site: an address like //elsewhere/x must not become a link out
        path = "/" + parts.path.lstrip("/")
        return path + ("?" + urlencode(query) if query else "")
