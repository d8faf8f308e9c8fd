"""An XML file's bytes -> its elements, within bounds: no entities, no fetched DTD, no depth or size without an end.

A document type declaration that only names a file (``<!DOCTYPE RestingECG SYSTEM "restecg.dtd">``) is passed over and
never fetched; one with declarations of its own is refused, since only there can an entity be defined.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NoReturn
from xml.parsers import expat

from center.errors import Unreadable
from ecg.formats.trouble import EXPORT_AGAIN, unreadable

MAX_XML_BYTES: Final = 64 << 20
_MAX_ELEMENTS: Final = 50_000
_MAX_ATTRIBUTES: Final = 200_000
_MAX_DEPTH: Final = 64
_BUFFER_BYTES: Final = 1 << 20  # one piece of text for nearly every lead

_ENCODING: Final = re.compile(rb"""<\?xml[^>]{0,200}?encoding\s*=\s*["']([A-Za-z0-9._-]{1,40})["']""")
# A declared charset -> the codec that reads it; the wider one where makers declare the narrower.
_CODECS: Final = {
    **dict.fromkeys(("gb2312", "gbk", "gb18030", "cp936", "x-gbk", "hz-gb-2312"), "gb18030"),
    **dict.fromkeys(("iso-8859-1", "iso8859-1", "latin1", "latin-1"), "latin-1"),
    **dict.fromkeys(("windows-1252", "cp1252"), "cp1252"),
    **dict.fromkeys(("big5", "big-5"), "big5"),
    **dict.fromkeys(("shift_jis", "shift-jis", "windows-31j"), "cp932"),
    **{name: name for name in ("iso-8859-2", "iso-8859-15", "windows-1250", "windows-1251", "euc-jp", "euc-kr")},
}
_ILLEGAL: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f]")
_NO_ATTRIBUTES: Final[Mapping[str, str]] = {}
_NOT_WELL_FORMED: Final = ("不是完整的 XML", "is not complete XML")


class Element:
    """One element: local name and attribute names in lower case, the text before its first child."""

    __slots__ = ("attributes", "children", "name", "text")

    def __init__(self, name: str, attributes: Mapping[str, str] = _NO_ATTRIBUTES) -> None:
        self.name = name
        self.attributes = attributes
        self.children: Sequence[Element] = ()  # a list from the first child on: most have none
        self.text = ""

    def all(self, path: str) -> list[Element]:
        """The elements at this path of names (``a/b``), below this one."""
        found: list[Element] = [self]
        for name in path.split("/"):
            found = [child for element in found for child in element.children if child.name == name]
        return found

    def find(self, path: str) -> Element | None:
        """The first element at this path."""
        return next(iter(self.all(path)), None)

    def get(self, path: str) -> str:
        """The first such element's text, ``a/b@c`` its attribute; stripped, empty where there's none."""
        path, _, attribute = path.partition("@")
        element = self.find(path) if path else self
        if element is None:
            return ""
        return (element.attributes.get(attribute, "") if attribute else element.text).strip()

    def walk(self) -> Iterator[Element]:
        """This element and all below it, as the file has them."""
        pending: list[Element] = [self]
        while pending:
            element = pending.pop()
            yield element
            pending.extend(reversed(element.children))


def parse_xml(content: bytes, file: str) -> Element:
    """The root of the file's XML.  Raises Unreadable: not complete, too large, too deep, or with declarations."""
    text = decoded(content, file)
    try:
        return _parse(text, file)
    except expat.ExpatError as trouble:
        first = trouble
    cleaned = _without_illegal(text)
    try:
        if cleaned != text:
            return _parse(cleaned, file)
    except expat.ExpatError:
        pass
    raise unreadable(
        file,
        f"{_NOT_WELL_FORMED[0]}（第 {first.lineno} 行）",
        f"{_NOT_WELL_FORMED[1]} (line {first.lineno})",
        todo=EXPORT_AGAIN,
        expected=expat.ErrorString(first.code),
    )


def decoded(content: bytes, file: str, *, keep_end: bool = False) -> str:
    """The file's characters, whatever charset it is in: UTF-16, UTF-8, GB18030, ISO 8859-1 ..., declared or not.

    Blanks and NULs around them are stripped; at the end only where ``keep_end`` is False.
    """
    if len(content) > MAX_XML_BYTES:
        raise unreadable(
            file, f"作为 XML 过大（上限 {MAX_XML_BYTES >> 20} MB）", f"is too large (at most {MAX_XML_BYTES >> 20} MB)"
        )
    try:
        text = _characters(content)
    except UnicodeDecodeError as trouble:
        raise unreadable(
            file, *_NOT_WELL_FORMED, todo=EXPORT_AGAIN, expected="UTF-16 text", at_byte=trouble.start
        ) from None
    text = text.lstrip("\ufeff\x00 \t\r\n").removeprefix("?").lstrip()
    return text if keep_end else text.rstrip("\x00 \t\r\n\x1a")


def xml_root_name(content: bytes) -> str | None:
    """The root element's local name in lower case, None where this isn't XML.  Nothing is parsed or expanded."""
    head = content[:65536]
    try:
        text = _characters(head[: len(head) // 2 * 2], final=False)
    except UnicodeDecodeError:
        return None
    text = text.lstrip("\ufeff\x00 \t\r\n").removeprefix("?")
    at = 0
    while text.startswith("<", at):
        if text.startswith("<!--", at):
            end, mark = text.find("-->", at), 3
        elif text.startswith("<?", at):
            end, mark = text.find("?>", at), 2
        elif text.startswith("<!", at):
            end, mark = text.find(">", at), 1
            if "[" in text[at : end + 1]:
                end, mark = text.find("]", at), 1
                end = text.find(">", end) if end >= 0 else -1
        else:
            found = re.compile(r"<(?:[\w.-]{1,100}:)?([\w.-]{1,100})").match(text, at)
            return found[1].lower() if found else ("" if at else None)
        if end < 0:
            return ""
        at = end + mark
        at += len(text[at : at + 4096]) - len(text[at : at + 4096].lstrip())
    return "" if at else None


def _characters(content: bytes, *, final: bool = True) -> str:
    """Decoded by its mark, its declaration, or what its bytes can be.  Raises UnicodeDecodeError for broken UTF-16."""
    errors = "strict" if final else "ignore"
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return content.decode("utf-16", errors)
    if content[:2] in (b"<\x00", b"\x00<"):
        return content.decode("utf-16-le" if content[1:2] == b"\x00" else "utf-16-be", errors)
    content = content.removeprefix(b"\xef\xbb\xbf")
    declared = _ENCODING.search(content[:400])
    codec = _CODECS.get(declared[1].decode("ascii").lower()) if declared else None
    if codec is None or codec == "latin-1":
        try:
            return content.decode("utf-8")
        except UnicodeDecodeError:
            codec = codec or _not_utf8(content)
    return content.decode(codec, "replace")


def _not_utf8(content: bytes) -> str:
    """The codec for 8-bit text that says UTF-8, or nothing, and isn't: damaged UTF-8, or Chinese without saying so."""
    text = content.decode("utf-8", "replace")
    damaged = text.count("\ufffd")
    foreign = sum(map(text.count, ("\u3000", "，", "。"))) + len(re.findall("[\u0080-\ufffc]", text))
    if foreign > 8 * damaged:
        return "utf-8"
    try:
        content.decode("gb18030")
    except UnicodeDecodeError:
        return "utf-8"
    return "gb18030"


class _LocalNames(dict[str, str]):
    """Names as written -> local, in lower case: a file has few, many times."""

    def __missing__(self, name: str) -> str:
        found = self[name] = name.rpartition(":")[2].lower()
        return found


def _parse(text: str, file: str) -> Element:
    if text.count("<") > 3 * _MAX_ELEMENTS or text.count("=") > _MAX_ATTRIBUTES:
        raise _too_much(file)
    parser = expat.ParserCreate(encoding="utf-8", namespace_separator=None)
    parser.buffer_size = _BUFFER_BYTES
    parser.buffer_text = True
    parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)
    top = Element("")
    path = [top]
    count = 0
    local = _LocalNames().__getitem__

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal count
        count += 1
        if count > _MAX_ELEMENTS or len(path) > _MAX_DEPTH:
            raise _too_much(file)
        element = Element(local(name))
        if attributes:
            element.attributes = {local(key): value for key, value in attributes.items()}
        siblings = path[-1].children
        if isinstance(siblings, list):
            siblings.append(element)
        else:
            path[-1].children = [element]
        path.append(element)

    def end(_name: str) -> None:
        path.pop()

    def characters(piece: str) -> None:
        element = path[-1]
        if not element.children:
            element.text += piece

    def doctype(_name: str, _system: str | None, _public: str | None, has_declarations: bool) -> None:
        if has_declarations:
            raise _declares(file)

    def refuse(*_arguments: object) -> NoReturn:
        raise _declares(file)

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = characters
    parser.StartDoctypeDeclHandler = doctype
    parser.EntityDeclHandler = refuse
    parser.SkippedEntityHandler = refuse
    parser.ExternalEntityRefHandler = refuse
    parser.Parse(text.encode("utf-8", "replace"), True)
    return top.children[0]


def _without_illegal(text: str) -> str:
    """The text with what XML cannot hold marked as unreadable: some devices put control characters into names.

    The mark is no digit and not in Base64, so it never makes other samples of damaged ones.
    """

    def kept(reference: re.Match[str]) -> str:
        code = int(reference[1][1:], 16) if reference[1][:1] in "xX" else int(reference[1])
        return reference[0] if code >= ord(" ") or chr(code) in "\t\r\n" else "\ufffd"

    return re.sub(r"&#([xX][0-9a-fA-F]{1,6}|\d{1,7});", kept, _ILLEGAL.sub("\ufffd", text))


def _too_much(file: str) -> Unreadable:
    return unreadable(
        file,
        f"的 XML 超出限度（最多 {_MAX_ELEMENTS} 个元素、{_MAX_DEPTH} 层）",
        f"has XML beyond all bounds (at most {_MAX_ELEMENTS} elements, {_MAX_DEPTH} deep)",
        expected="an ECG",
    )


def _declares(file: str) -> Unreadable:
    return unreadable(
        file,
        "的 XML 自带实体或类型声明，出于安全不予读取",
        "has XML with entities or declarations of its own, which are not read for safety",
        expected="no internal DTD, no entities",
    )
