"""Text of a data set -> Unicode, by the declared character set where it tells the truth, by the bytes where not.

Chinese devices write GB18030 and declare ISO_IR 100 or nothing at all (PEERS.md section 3): the object keeps its bytes,
the index and the JSON answers get the text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

#: Defined terms of (0008,0005) -> codec (PS3.3 C.12.1.1.2).
CODECS: Final[dict[str, str]] = {
    "": "ascii", "ISO_IR 6": "ascii", "ISO_IR 100": "latin_1", "ISO_IR 101": "iso8859_2", "ISO_IR 109": "iso8859_3",
    "ISO_IR 110": "iso8859_4", "ISO_IR 144": "iso8859_5", "ISO_IR 127": "iso8859_6", "ISO_IR 126": "iso8859_7",
    "ISO_IR 138": "iso8859_8", "ISO_IR 148": "iso8859_9", "ISO_IR 203": "iso8859_15", "ISO_IR 13": "shift_jis",
    "ISO_IR 166": "iso8859_11", "ISO_IR 192": "utf_8", "GB18030": "gb18030", "GBK": "gb18030", "GB2312": "gb18030",
    "ISO 2022 IR 6": "ascii", "ISO 2022 IR 100": "latin_1", "ISO 2022 IR 101": "iso8859_2",
    "ISO 2022 IR 109": "iso8859_3", "ISO 2022 IR 110": "iso8859_4", "ISO 2022 IR 144": "iso8859_5",
    "ISO 2022 IR 127": "iso8859_6", "ISO 2022 IR 126": "iso8859_7", "ISO 2022 IR 138": "iso8859_8",
    "ISO 2022 IR 148": "iso8859_9", "ISO 2022 IR 13": "shift_jis", "ISO 2022 IR 166": "iso8859_11",
    "ISO 2022 IR 58": "gb18030", "ISO 2022 IR 149": "euc_kr", "ISO 2022 IR 87": "iso2022_jp",
    "ISO 2022 IR 159": "iso2022_jp_2", "ISO 2022 GBK": "gb18030", "ISO 2022 GB18030": "gb18030",
}  # fmt: skip
#: Escape sequences -> codec and whether the codec wants to see the escape itself (PS3.3 table C.12-3, -4).
_ESCAPES: Final[tuple[tuple[bytes, str, bool], ...]] = (
    (b"\x1b$)A", "gb2312", False), (b"\x1b$)C", "euc_kr", False), (b"\x1b$B", "iso2022_jp", True),
    (b"\x1b$@", "iso2022_jp", True), (b"\x1b$(D", "iso2022_jp_2", True), (b"\x1b(J", "iso2022_jp", True),
    (b"\x1b)I", "shift_jis", False), (b"\x1b(B", "ascii", False), (b"\x1b-A", "latin_1", False),
    (b"\x1b-B", "iso8859_2", False), (b"\x1b-C", "iso8859_3", False), (b"\x1b-D", "iso8859_4", False),
    (b"\x1b-L", "iso8859_5", False), (b"\x1b-G", "iso8859_6", False), (b"\x1b-F", "iso8859_7", False),
    (b"\x1b-H", "iso8859_8", False), (b"\x1b-M", "iso8859_9", False), (b"\x1b-T", "iso8859_11", False),
)  # fmt: skip
#: Between delimiters; not within two-byte codes of G0, whose bytes look like them (JIS X 0208 has 0x5E, 0x3D, 0x5C).
_DELIMITERS: Final = re.compile(rb"((?:\x1b\$(?:[B@]|\(D)(?:[\x21-\x7e]{2})*)+)|([\\^=\r\n\f\t])")
#: Declared sets under which Chinese bytes are found in practice; others are believed.
_DOUBTED: Final = frozenset({"ascii", "latin_1", "iso8859_9", "iso8859_15"})
_COMMON_HAN: Final = re.compile(r"[\u4e00-\u9fff\u3400-\u4dbf\u3000-\u303f\uff00-\uffef·]")


@dataclass(frozen=True, slots=True)
class Repertoire:
    """How to read the text of one data set. ``repaired``: the declaration was not believed."""

    codecs: tuple[str, ...]
    repaired: bool = False

    @classmethod
    def of(cls, declared: Sequence[str], samples: Sequence[bytes]) -> Repertoire:
        """The declared repertoire, or the one that these pieces of text are really written in."""
        codecs = tuple(CODECS.get(term.strip().upper().replace("ISO-IR", "ISO_IR"), "ascii") for term in declared) or (
            "ascii",
        )
        high = [s for s in samples if any(b > 0x7F for b in s)]
        if not high or codecs[0] == "shift_jis" or any(b"\x1b" in s for s in high):
            return cls(codecs)
        joined = b"\n".join(high)
        if codecs[0] == "gb18030" and _is_utf8_han(joined):
            return cls(("utf_8",), repaired=True)
        if codecs[0] in _DOUBTED or not _decodes(joined, codecs[0]):
            found = _guess(joined, codecs[0])
            return cls((found,), repaired=True) if found else cls(codecs)
        return cls(codecs)

    def decode(self, raw: bytes) -> str:
        """The text; never raises: what can't be read becomes U+FFFD."""
        if b"\x1b" in raw:
            return _decode_escaped(raw, self.codecs[0])
        first = self.codecs[0]
        if not raw.isascii():
            for codec in self.codecs:
                if codec != "ascii" and _decodes(raw, codec):
                    return raw.decode(codec)
        return raw.decode("latin_1" if first == "ascii" and not raw.isascii() else first, "replace")


def _decodes(raw: bytes, codec: str) -> bool:
    try:
        raw.decode(codec)
    except (UnicodeDecodeError, LookupError):
        return False
    return True


def _is_utf8_han(raw: bytes) -> bool:
    """UTF-8 under the name of GB18030. Both may decode: what is plain GB 2312 is believed, since chance makes such
    bytes UTF-8, but hardly ever turns UTF-8 into nothing but common characters."""
    if not _decodes(raw, "utf_8") or _decodes(raw, "gb2312"):
        return False
    foreign = [c for c in raw.decode("utf_8") if ord(c) > 0x7F]
    return sum(1 for c in foreign if _COMMON_HAN.match(c)) >= 0.8 * len(foreign)


def _guess(raw: bytes, declared: str) -> str | None:
    """utf_8 or gb18030 where the bytes say so, else None: the declaration stands."""
    if _decodes(raw, "utf_8"):
        return "utf_8"
    if not _decodes(raw, "gb18030"):
        return None
    text = raw.decode("gb18030")
    foreign = [c for c in text if ord(c) > 0x7F]
    han = sum(1 for c in foreign if _COMMON_HAN.match(c))
    # Western accents come alone between letters; as GBK they'd make a mixture of rare characters and letters eaten.
    lone = re.findall(rb"(?:(?<![\x80-\xff])[\xc0-\xff](?=[a-z]))", raw)
    if declared != "ascii" and lone and len(lone) * 2 >= han:
        return None
    return "gb18030" if foreign and han >= 0.8 * len(foreign) else None


def _decode_escaped(raw: bytes, first: str) -> str:
    """ISO 2022: the first repertoire is in force again after each delimiter (PS3.5 6.1.2.5.3)."""
    return "".join(_decode_part(part, first) for part in _DELIMITERS.split(raw) if part)


def _decode_part(part: bytes, first: str) -> str:
    pieces = part.split(b"\x1b")
    out = [pieces[0].decode("latin_1" if first == "ascii" else first, "replace")]
    for piece in pieces[1:]:
        code = b"\x1b" + piece
        for escape, codec, kept in _ESCAPES:
            if code.startswith(escape):
                out.append((code if kept else code[len(escape) :]).decode(codec, "replace"))
                break
        else:
            out.append(piece.decode("latin_1"))
    return "".join(out)
