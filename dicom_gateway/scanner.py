"""Bytes of a data set -> its elements by tag, nothing copied; odd devices' forms are read as they are meant.

The scan is iterative (deep nesting can't exhaust the stack), counts its elements, and holds every length against what
is there: a length that lies is an ``Unreadable`` naming the byte.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from center.errors import Unreadable
from dicom_gateway.encoding import LONG_VRS, VRS, implicit_vr, unreadable

MAX_DEPTH: Final = 64
MAX_ELEMENTS: Final = 400_000
#: Text and small binary together; pixel data, waveforms, documents and LUTs don't count.
MAX_HEADER_BYTES: Final = 64 << 20
LARGE_BYTES: Final = 1 << 20
_UNDEFINED: Final = 0xFFFFFFFF
PIXEL_DATA: Final = 0x7FE00010
PIXEL_TAGS: Final = frozenset({0x7FE00008, 0x7FE00009, PIXEL_DATA})
#: Signatures and padding, the only groups behind 7FE0; a file's end is padded by less than a block of a disc's.
_AFTER_PIXELS: Final = frozenset({0xFFFA, 0xFFFC})
_MOST_PADDING: Final = 4096


@dataclass(slots=True)
class Element:
    """One element: ``offset`` and ``length`` of its value in the scanned bytes; ``items`` of a sequence.

    fragments: (offset, length) of encapsulated pixel data, the basic offset table first.
    """

    tag: int
    vr: str
    offset: int
    length: int
    items: list[dict[int, Element]] | None = None
    fragments: list[tuple[int, int]] | None = None


Elements = dict[int, Element]


@dataclass(slots=True)
class _Level:
    """One open sequence or item on the way down."""

    elements: Elements | None  # of an item or the data set; None: between the items of a sequence
    end: int | None  # None: until a delimiter
    implicit: bool
    sequence: Element | None = None
    unknown: bool = False  # what was UN: items are looked at for how they are written


@dataclass(frozen=True, slots=True)
class _ElementHead:
    """How an element is read, how long its value is and where it begins; unknown: its VR was not said."""

    vr: str
    length: int
    value_at: int
    unknown: bool = False


class Scanner:
    """One pass over the data set with a stack of its own."""

    def __init__(self, view: memoryview, big: bool) -> None:
        self._view = view
        self._big = big
        self._size = len(view)
        self._tag = struct.Struct(">HH" if big else "<HH")
        self._u16 = struct.Struct(">H" if big else "<H")
        self._u32 = struct.Struct(">I" if big else "<I")
        self._count = 0
        self._header_bytes = 0
        self.odd_vrs: list[tuple[int, bytes]] = []

    def run(self, at: int, implicit: bool) -> Elements:
        root: Elements = {}
        self._run([_Level(root, self._size, implicit)], at)
        return root

    def _run(self, stack: list[_Level], at: int) -> None:
        while stack:
            level = stack[-1]
            if level.end is not None and at >= level.end:
                if at > level.end:
                    raise unreadable("the end of a sequence", level.end, "序列的结尾")
                stack.pop()
                continue
            at = self._items(stack, at) if level.elements is None else self._element(stack, at)
            if len(stack) > MAX_DEPTH:
                raise unreadable(f"at most {MAX_DEPTH} levels of nesting", at, f"不超过 {MAX_DEPTH} 层嵌套")

    def _items(self, stack: list[_Level], at: int) -> int:
        """Between the items of a sequence."""
        level = stack[-1]
        sequence = level.sequence
        assert sequence is not None and sequence.items is not None
        if at + 8 > self._size:
            raise unreadable("a sequence item", at, "序列项")
        tag, length = self._head(at)
        at += 8
        if tag == 0xFFFEE0DD and level.end is None:
            stack.pop()
            return at
        if tag != 0xFFFEE000:
            raise unreadable("a sequence item (FFFE,E000)", at - 8, "序列项 (FFFE,E000)")
        self._note()
        item: Elements = {}
        sequence.items.append(item)
        end = None if length == _UNDEFINED else self._end(at, length, level.end)
        implicit = level.implicit and not (level.unknown and self._is_explicit(at, end))
        stack.append(_Level(item, end, implicit))
        return at

    def _is_explicit(self, at: int, end: int | None) -> bool:
        """An item of UN that is written with explicit VR after all (PS3.5 6.2.2 says implicit)."""
        limit = self._size if end is None else end
        if at + 8 > limit or bytes(self._view[at + 4 : at + 6]) not in VRS:
            return False
        return at + 8 + self._head(at)[1] > limit

    def _element(self, stack: list[_Level], at: int) -> int:
        level = stack[-1]
        assert level.elements is not None
        start = at
        if at + 8 > (self._size if level.end is None else level.end):
            if len(stack) == 1 and self._is_padding(at, level.elements):
                return self._size
            raise unreadable("8 bytes of an element's head", at, "8 字节的元素头")
        tag, length = self._head(at)
        if tag == 0xFFFEE00D and level.end is None:
            stack.pop()
            return at + 8
        if tag in (0xFFFEE00D, 0xFFFEE0DD) and length == 0 and (len(stack) > 1 or level.elements):
            return at + 8  # a delimiter where a length says the end already
        if len(stack) == 1 and self._is_padding(at, level.elements):
            return self._size
        head = self._head_rest(tag, length, at, level)
        self._note()
        if tag >> 16 in (0x0000, 0x0002, 0xFFFE):
            raise unreadable("an element of the data set", start, "数据集元素")
        if head.length == _UNDEFINED:
            return self._undefined(stack, level.elements, tag, head)
        return self._defined(stack, level, tag, head)

    def _is_padding(self, at: int, elements: Elements) -> bool:
        """Zeros to a whole block, as media have them; behind the pixels also what little else is no element."""
        if not elements or (self._size - at > _MOST_PADDING and self._view[at]):
            return False
        if not any(self._view[at:]):
            return True
        if elements.keys().isdisjoint(PIXEL_TAGS) or self._size - at > _MOST_PADDING:
            return False
        if at + 8 > self._size:
            return True
        return self._head(at)[0] >> 16 not in _AFTER_PIXELS and bytes(self._view[at + 4 : at + 6]) not in VRS

    def _defined(self, stack: list[_Level], level: _Level, tag: int, head: _ElementHead) -> int:
        assert level.elements is not None
        vr, at, length = head.vr, head.value_at, head.length
        end = self._end(at, length, level.end, tag)
        if vr == "SQ" and head.unknown:
            if (items := self._unknown_items(at, end, len(stack))) is not None:
                level.elements[tag] = Element(tag, vr, at, length, items=items)
                return end
            vr = "UN"
        if vr == "SQ":
            element = Element(tag, vr, at, length, items=[])
            level.elements[tag] = element
            stack.append(_Level(None, end, level.implicit, element))
            return at
        if tag not in PIXEL_TAGS and length < LARGE_BYTES:
            self._header_bytes += length
            if self._header_bytes > MAX_HEADER_BYTES:
                raise unreadable("a header of at most 64 MB", at, "不超过 64 MB 的文件头")
        level.elements[tag] = Element(tag, vr, at, length)
        return end

    def _unknown_items(self, at: int, end: int, depth: int) -> list[Elements] | None:
        """The items of a sequence that was written as UN of a known length; None where there are none to be read."""
        element = Element(0, "SQ", at, end - at, items=[])
        inner = Scanner(self._view[:end], False)
        inner._count, inner._header_bytes = self._count, self._header_bytes
        # As deep as it lies already: what is nested past the limit is bytes, and recursion has its end.
        above = [_Level({}, end, True) for _ in range(depth)]
        try:
            inner._run([*above, _Level(None, end, True, element, unknown=True)], at)
        except Unreadable:
            return None
        self._count, self._header_bytes = inner._count, inner._header_bytes
        return element.items

    def _undefined(self, stack: list[_Level], elements: Elements, tag: int, head: _ElementHead) -> int:
        """Undefined length: a sequence, encapsulated pixel data, or UN that is an implicit sequence (PS3.5 6.2.2)."""
        vr, at = head.vr, head.value_at
        if (tag == PIXEL_DATA and len(stack) == 1) or (tag == PIXEL_DATA and vr in ("OB", "OW")):
            element = Element(tag, "OB" if head.unknown else vr, at, 0, fragments=[])
            elements[tag] = element
            return self._fragments(element, at)
        if vr not in ("SQ", "UN") and not head.unknown:
            raise unreadable("a defined length", at - 4, "确定的长度")
        element = Element(tag, "SQ", at, 0, items=[])
        elements[tag] = element
        unknown = head.unknown or vr == "UN"
        stack.append(_Level(None, None, stack[-1].implicit or unknown, element, unknown=unknown))
        return at

    def _fragments(self, element: Element, at: int) -> int:
        assert element.fragments is not None
        while True:
            if at + 8 > self._size:
                raise unreadable("a fragment of pixel data", at, "像素数据片段")
            tag, length = self._head(at)
            at += 8
            if tag == 0xFFFEE0DD:
                element.length = at - element.offset
                return at
            if tag != 0xFFFEE000 or length == _UNDEFINED:
                raise unreadable("a fragment of pixel data", at - 8, "像素数据片段")
            self._note()
            end = self._end(at, length, None, PIXEL_DATA)
            element.fragments.append((at, length))
            at = end

    def _head(self, at: int) -> tuple[int, int]:
        group, number = self._tag.unpack_from(self._view, at)
        return group << 16 | number, self._u32.unpack_from(self._view, at + 4)[0]

    def _head_rest(self, tag: int, length: int, at: int, level: _Level) -> _ElementHead:
        """The rest of an element's head; UN of a tag that the dictionary knows is read by it (PS3.5 6.2.2)."""
        if level.implicit:
            return _ElementHead(implicit_vr(tag), length, at + 8)
        code = bytes(self._view[at + 4 : at + 6])
        if code not in VRS:
            return self._odd_vr(tag, code, at, level)
        if code not in LONG_VRS:
            return _ElementHead(code.decode(), self._u16.unpack_from(self._view, at + 6)[0], at + 8)
        if at + 12 > self._size:
            raise unreadable("12 bytes of an element's head", at, "12 字节的元素头")
        if self._view[at + 6] | self._view[at + 7]:  # the two reserved bytes hold something: written as a short one?
            short = self._u16.unpack_from(self._view, at + 6)[0]
            if self._is_followed(at + 8 + short, tag, code, level):
                return _ElementHead(code.decode(), short, at + 8)
        unknown = code == b"UN" and not (tag >> 16) & 1
        vr = implicit_vr(tag) if unknown else code.decode()
        return _ElementHead(vr, self._u32.unpack_from(self._view, at + 8)[0], at + 12, unknown)

    def _odd_vr(self, tag: int, code: bytes, at: int, level: _Level) -> _ElementHead:
        """No value representation, or one of a later edition: the dictionary's, in the length form that an element follows.

        Two capitals have 32 bits by PS3.5 7.1.2; blanks, question marks and such come from writers that had 16, and an
        element of implicit VR among explicit ones has no VR at all.
        """
        limit = self._size if level.end is None else level.end
        named = code.upper() if code.upper() in VRS else b""
        short, bare = (self._u16, 6, 8), (self._u32, 4, 8)
        long = (self._u32, 8, 12) if at + 12 <= limit and not self._view[at + 6] | self._view[at + 7] else None
        capitals = code.isalpha() and code.isupper()
        forms = [long, short, bare] if capitals or named in LONG_VRS else [short, long, bare]
        for form in (f for f in forms if f is not None):
            length, value_at = form[0].unpack_from(self._view, at + form[1])[0], at + form[2]
            if self._is_value(value_at, length, tag, code, level):
                return self._odd_head(tag, named, at, length, value_at, is_long=form is long)
        if capitals and long is not None:
            return _ElementHead(implicit_vr(tag), self._u32.unpack_from(self._view, at + 8)[0], at + 12, unknown=True)
        raise unreadable("a value representation", at + 4, "值表示 (VR)")

    def _odd_head(
        self, tag: int, named: bytes, at: int, length: int, value_at: int, *, is_long: bool
    ) -> _ElementHead:  # fmt: skip
        vr = implicit_vr(tag)
        vr = named.decode() if vr == "UN" and named else vr
        if is_long:
            self.odd_vrs.append((at + 4, vr.encode() if vr.encode() in LONG_VRS else b"UN"))
        elif value_at == at + 8 and length < 0x10000:
            self.odd_vrs.append((at + 4, vr.encode() if vr.encode() not in LONG_VRS else b"SH"))
        return _ElementHead(vr, length, value_at, unknown=vr in ("SQ", "UN") or is_long)

    def _is_value(self, at: int, length: int, tag: int, code: bytes, level: _Level) -> bool:
        if length != _UNDEFINED:
            return self._is_followed(at + length, tag, code, level)
        return at + 8 <= self._size and self._head(at)[0] in (0xFFFEE000, 0xFFFEE0DD)

    def _is_followed(self, end: int, tag: int, code: bytes, level: _Level) -> bool:
        """Something that may come after this tag begins here: the end, or an element in order."""
        limit = self._size if level.end is None else level.end
        if end + 8 > limit:
            return end == limit
        following, after = self._head(end)[0], bytes(self._view[end + 4 : end + 6])
        if following in (0xFFFEE00D, 0xFFFEE0DD):
            return self._head(end)[1] == 0
        if following <= tag or following >> 16 == 0xFFFE:
            return False
        if after in VRS or (after == code and code != b"\x00\x00"):
            return True
        near = following >> 16 == tag >> 16 and following - tag < 0x100  # the next of a private block, as odd as this
        return following & 0xFFFF != 0 and (near or implicit_vr(following) != "UN")

    def _end(self, at: int, length: int, limit: int | None, tag: int = 0) -> int:
        end = at + length
        if end > (self._size if limit is None else limit):
            what = f"({tag >> 16:04X},{tag & 0xFFFF:04X})" if tag else "a sequence item"
            raise unreadable(f"{length} bytes of {what}", at, f"{length} 字节的 {what}")
        return end

    def _note(self) -> None:
        self._count += 1
        if self._count > MAX_ELEMENTS:
            raise Unreadable(
                "文件头的元素过多，未接收。", "The header holds too many elements and was not taken in.",
                {"limit_elements": MAX_ELEMENTS},
            )  # fmt: skip
