"""Text of a data set -> Unicode, value by value: as declared where that is possible, else as the bytes say.

Chinese devices write GB18030 and declare ISO_IR 100, ISO_IR 192 or nothing at all (PEERS.md section 3); others cut a
value inside a character, or write GBK where GB 2312 is designated.  The object keeps its bytes; index, JSON, worklist
and report get the text that is decided here and nowhere else.  Nothing raises, ASCII stays what it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

#: Number of a registration in a defined term, ISO_IR n or ISO 2022 IR n -> codec (PS3.3 C.12.1.1.2).
_NUMBERED: Final[dict[str, str]] = {
    "6": "ascii", "100": "latin_1", "101": "iso8859_2", "109": "iso8859_3", "110": "iso8859_4", "144": "iso8859_5",
    "127": "iso8859_6", "126": "iso8859_7", "138": "iso8859_8", "148": "iso8859_9", "203": "iso8859_15",
    "13": "shift_jis", "166": "iso8859_11", "192": "utf_8", "58": "gb18030", "149": "cp949", "87": "iso2022_jp",
    "159": "iso2022_jp_2",
}  # fmt: skip
#: Terms by name: the standard's two, and what devices write in their place; only letters and digits are compared.
_NAMED: Final[dict[str, str]] = {
    "GB18030": "gb18030", "GBK": "gb18030", "GB2312": "gb18030", "GB231280": "gb18030", "CP936": "gb18030",
    "EUCCN": "gb18030", "ISO2022GBK": "gb18030", "ISO2022GB18030": "gb18030", "ISO2022GB2312": "gb18030",
    "UTF8": "utf_8", "UNICODE": "utf_8", "ISO10646": "utf_8", "ISO2022B5": "big5hkscs", "BIG5": "big5hkscs",
    "EUCKR": "cp949", "KSC5601": "cp949", "CP949": "cp949", "SHIFTJIS": "shift_jis", "SJIS": "shift_jis",
    "CP932": "shift_jis", "LATIN1": "latin_1", "ISO88591": "latin_1", "CP1252": "latin_1", "WINDOWS1252": "latin_1",
    "ASCII": "ascii", "USASCII": "ascii", "CP1251": "cp1251", "WINDOWS1251": "cp1251",
}  # fmt: skip
_TERM: Final = re.compile(r"(?:ISO)?(?:2022)?(?:IR)?([0-9]+)")

#: Designations: escape sequence -> (set, what is in force there) (PS3.3 tables C.12-3 and C.12-4; the forms into G0
#: of the same sets are ISO 2022's own and come from consoles).
_DESIGNATIONS: Final[dict[bytes, tuple[str, str]]] = {
    b"\x1b(B": ("G0", "ascii"), b"\x1b(J": ("G0", "ascii"), b"\x1b)I": ("G1", "katakana"),
    b"\x1b$B": ("G0", "jis"), b"\x1b$@": ("G0", "jis"), b"\x1b$(B": ("G0", "jis"), b"\x1b$(D": ("G0", "jis0212"),
    b"\x1b$)A": ("G1", "gb18030"), b"\x1b$)C": ("G1", "cp949"), b"\x1b$A": ("G0", "gb2312"),
    b"\x1b$(A": ("G0", "gb2312"), b"\x1b$(C": ("G0", "euc_kr"), b"\x1b-A": ("G1", "latin_1"),
    b"\x1b-B": ("G1", "iso8859_2"), b"\x1b-C": ("G1", "iso8859_3"), b"\x1b-D": ("G1", "iso8859_4"),
    b"\x1b-L": ("G1", "iso8859_5"), b"\x1b-G": ("G1", "iso8859_6"), b"\x1b-F": ("G1", "iso8859_7"),
    b"\x1b-H": ("G1", "iso8859_8"), b"\x1b-M": ("G1", "iso8859_9"), b"\x1b-T": ("G1", "iso8859_11"),
    b"\x1b-b": ("G1", "iso8859_15"),
}  # fmt: skip
#: Any designation of ISO 2022, known or not: intermediate bytes, one final byte; else the escape character alone.
_ESCAPE: Final = re.compile(rb"\x1b(?:[\x24-\x2f]+[\x30-\x7e])?")
#: A designation whose escape character was filtered out on the way.
_BARE_DESIGNATION: Final = re.compile(rb"(?<!\x1b)\$\)([AC])(?=[\x80-\xff])")
#: After these the initial sets are in force again (PS3.5 6.1.2.5.3).
_DELIMITERS: Final = frozenset(b"\\^=\r\n\f\t")
_PAIRS: Final = re.compile(rb"(?:[\x21-\x7e]{2})+")
#: What belongs together of high bytes; a lead byte before a delimiter and an escape is a character that was cut.
_RUNS: Final[dict[str, re.Pattern[bytes]]] = {
    "gb18030": re.compile(
        rb"(?:[\x81-\xfe][0-9][\x81-\xfe][0-9]|[\x81-\xfe](?![\\^]\x1b)[\x40-\x7e\x80-\xfe]|[\x80-\xff])+"
    ),
    "cp949": re.compile(rb"(?:[\x81-\xfe][\x41-\x5a\x61-\x7a\x81-\xfe]|[\x80-\xff])+"),
}
_HIGH: Final = re.compile(rb"[\x80-\xff]+")

#: Declared sets under which Chinese bytes are found in practice; other one-byte sets are believed.
_DOUBTED: Final = frozenset({"latin_1", "iso8859_9", "iso8859_15"})
_MULTI_BYTE: Final = frozenset({"utf_8", "gb18030", "cp949", "shift_jis", "big5hkscs"})
#: Characters of Chinese text: ideographs, private use, their punctuation, full-width forms and the symbols of GB 2312.
_HAN: Final = re.compile(
    r"[\u2000-\u206f\u2100-\u2bff\u3000-\u33ff\u3400-\u4dbf\u4e00-\u9fff\ue000-\ufaff\ufe30-\ufe4f\uff00-\uffef"
    r"\U00020000-\U0003ffff·°±×÷§¤]"
)
_IDEOGRAPH: Final = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3\u3040-\u30ff\U00020000-\U0003ffff]")
#: How much of what isn't ASCII is Chinese when these bytes are (the rest: Greek, Cyrillic and such of GB 2312).
_SHARE: Final = 0.8
#: Whole characters for each broken one, where a value is still taken for what it was cut from.
_WHOLE_EACH_BROKEN: Final = 3
#: GB18030-2000 had no code points yet for these; GB18030-2022 has (its annex D). Decoders map them to private use.
_SINCE_ASSIGNED: Final = {
    0xE816: 0x20087, 0xE817: 0x20089, 0xE818: 0x200CC, 0xE81E: 0x9FB4, 0xE826: 0x9FB5, 0xE82B: 0x9FB6, 0xE82C: 0x9FB7,
    0xE831: 0x215D7, 0xE832: 0x9FB8, 0xE83B: 0x2298F, 0xE843: 0x9FB9, 0xE854: 0x9FBA, 0xE855: 0x241FE, 0xE864: 0x9FBB,
}  # fmt: skip
#: The most bytes of a value: SH and CS, LO and PN (PS3.5 table 6.2-1, where devices count bytes).
_LIMITS: Final = (16, 64)
#: Controls are no text: all of C0 but the blanks that ST, LT and UT may hold (PS3.5 6.1.3), DEL and C1.
_CONTROLS: Final = dict.fromkeys([*(n for n in range(0x20) if n not in (9, 10, 12, 13)), *range(0x7F, 0xA0)])


@dataclass(frozen=True, slots=True)
class Repertoire:
    """How to read the text of one data set.

    codecs: as declared; leaning: utf_8 or gb18030 where other values of the data set are written so beside their
    declaration, which decides what is doubtful by itself; repaired: a declaration was not believed.
    """

    codecs: tuple[str, ...]
    leaning: str = ""
    repaired: bool = False

    @classmethod
    def of(cls, declared: Sequence[str], samples: Iterable[bytes]) -> Repertoire:
        """The declared repertoire, with what these pieces of text say against it."""
        codecs = codecs_of(declared)
        high = [s for s in samples if not s.isascii() and b"\x1b" not in s]
        draft = cls(codecs, _leaning(high))
        repaired = any(_family(draft.codec_of(s)) not in map(_family, codecs) for s in high)
        return cls(codecs, draft.leaning, repaired)

    def redeclared(self, declared: Sequence[str]) -> Repertoire:
        """For an item of a sequence that declares its own set (PS3.3 C.12.1.1.2)."""
        return Repertoire(codecs_of(declared), self.leaning, self.repaired)

    def decode(self, raw: bytes) -> str:
        """The text; never raises: a byte that can't be read becomes U+FFFD and takes no other with it."""
        if b"\x1b" not in raw and raw.isascii():
            return raw.decode("ascii").translate(_CONTROLS)
        if self._extends:
            raw = _BARE_DESIGNATION.sub(b"\x1b$)\\1", raw)
        text = "".join(self._extended(raw)) if b"\x1b" in raw else _decoded(raw, self.codec_of(raw))
        return text.translate(_CONTROLS)

    def codec_of(self, raw: bytes) -> str:
        """Which codec reads this value, which has no escapes."""
        for codec in self.codecs:
            if codec != "ascii" and self._fits(raw, codec):
                return codec
        if "ascii" in self.codecs and self.codecs[-1] == "ascii" and self._is_latin(raw):
            return "latin_1"
        return self._found(raw)

    @property
    def _extends(self) -> bool:
        return any(codec in ("gb18030", "cp949") for codec in self.codecs)

    def _fits(self, raw: bytes, codec: str) -> bool:
        """The declared codec reads the value whole, and nothing speaks for another."""
        if codec in _DOUBTED:
            return self._is_latin(raw)
        if not _decodes(raw, codec):
            return False
        if codec == "utf_8":
            return not (self.leaning == "gb18030" and _may_be_han_pairs(raw))
        if codec == "gb18030":
            return not _is_utf8_han(raw) or _decodes(raw, "gb2312")
        return not _is_utf8_han(raw)

    def _is_latin(self, raw: bytes) -> bool:
        """A western language's words; in a data set of Chinese ones only what can't be Chinese."""
        if not _reads_as_latin(raw) or (_decodes(raw, "utf_8") and not _may_be_han_pairs(raw)):
            return False
        return not (self.leaning == "gb18030" and _decodes(raw, "gb18030"))

    def _found(self, raw: bytes) -> str:
        """No declared codec fits: strict UTF-8, then GB18030, then what lost the fewest characters to a cut."""
        if _decodes(raw, "utf_8") and (self.leaning == "utf_8" or not _may_be_han_pairs(raw)):
            return "utf_8"
        prefers_utf8 = "utf_8" in self.codecs and self.leaning != "gb18030"
        cut_utf8 = _is_cut(raw, "utf_8")
        if cut_utf8 and (prefers_utf8 or self.leaning == "utf_8" or not _decodes(raw, "gb2312")):
            return "utf_8"
        if _decodes(raw, "gb18030") and _share(raw.decode("gb18030")) >= _SHARE:
            return "gb18030"
        for codec in self.codecs:
            if codec in _MULTI_BYTE and _is_cut(raw, codec):
                return codec
        if _is_cut(raw, "gb18030"):
            return "gb18030"
        first = next((codec for codec in self.codecs if codec != "ascii"), "latin_1")
        return self.leaning or first

    # ---------------------------------------------------------------- ISO 2022
    def _extended(self, raw: bytes) -> Iterator[str]:
        """ISO 2022 as consoles write it: GBK under GB 2312's designation, escapes left out after a delimiter."""
        bare = _ESCAPE.sub(b"", raw)
        if _is_utf8_han(bare) and not _decodes(bare, "gb2312"):
            yield bare.decode("utf_8")
            return
        g0, g1, used, at = "ascii", "", "", 0
        while at < len(raw):
            if raw[at] == 0x1B:
                match = _ESCAPE.match(raw, at)
                assert match is not None
                which, codec = _DESIGNATIONS.get(match[0], ("", ""))
                g0, g1 = (codec if which == "G0" else g0), (codec if which == "G1" else g1)
                used, at = (g1 or used), match.end()
            elif g0 != "ascii" and (pairs := _PAIRS.match(raw, at)):
                at = pairs.end()
                yield _two_byte(pairs[0], g0)
            elif raw[at] < 0x80:
                g0, g1 = ("ascii", "") if raw[at] in _DELIMITERS else (g0, g1)
                yield chr(raw[at])
                at += 1
            else:
                codec = g1 or self._undesignated(used)
                run = _RUNS.get(codec, _HIGH).match(raw, at)
                assert run is not None
                at = run.end()
                yield _decoded(run[0], codec or self.codec_of(run[0]))

    def _undesignated(self, used: str) -> str:
        """What high bytes are in where no escape says it: the set used before in this value, or the one declared."""
        if used in _RUNS or self.codecs[0] in _DOUBTED:
            return used if used in _RUNS else ""
        return next((codec for codec in self.codecs if codec not in ("ascii", "iso2022_jp", "iso2022_jp_2")), "")


def codecs_of(declared: Sequence[str]) -> tuple[str, ...]:
    """Codecs of the values of (0008,0005), also misspelt ones; what is none is as good as undeclared."""
    found = tuple(_codec(term) for term in declared)
    return tuple(dict.fromkeys(found)) or ("ascii",)


def _codec(term: str) -> str:
    bare = re.sub(r"[^A-Z0-9]", "", term.upper())
    if bare in _NAMED:
        return _NAMED[bare]
    match = _TERM.fullmatch(bare)
    return _NUMBERED.get(match[1], "ascii") if match else "ascii"


def _family(codec: str) -> str:
    return "latin_1" if codec in ("ascii", *_DOUBTED) else codec


# ---------------------------------------------------------------- bytes -> text
def _decoded(raw: bytes, codec: str) -> str:
    if codec == "katakana":
        codec = "shift_jis"
    if codec in ("latin_1", "ascii"):
        # 0x80..0x9F are controls there, and quotation marks and dashes in what Windows writes.
        return "".join(chr(b) if not 0x80 <= b < 0xA0 else bytes([b]).decode("cp1252", "replace") for b in raw)
    if codec == "shift_jis" and not _decodes(raw, codec):
        codec = "cp932"
    if codec == "gb18030":
        return _gb(raw).translate(_SINCE_ASSIGNED)
    return raw.decode(codec, "replace")


def _gb(raw: bytes) -> str:
    """GB18030, whose second bytes may look like the delimiter of values: not behind a value that was cut at its limit."""
    parts = raw.split(b"\\")
    if any(len(part) in _LIMITS and part[-1] > 0x80 and _is_odd(part) for part in parts[:-1]):
        return "\\".join(part.decode("gb18030", "replace") for part in parts)
    return raw.decode("gb18030", "replace")


def _is_odd(part: bytes) -> bool:
    """It ends with the first half of a character."""
    return _decodes(part[:-1], "gb18030") and not _decodes(part, "gb18030")


def _two_byte(pairs: bytes, codec: str) -> str:
    """Pairs of 7 bits each: JIS X 0208 with the makers' rows, JIS X 0212, GB 2312 or KS X 1001 in G0."""
    if codec == "jis":
        return "".join(_jis(pairs[n], pairs[n + 1]) for n in range(0, len(pairs), 2))
    if codec == "jis0212":
        return (b"\x1b$(D" + pairs).decode("iso2022_jp_2", "replace")
    return bytes(b | 0x80 for b in pairs).decode(codec, "replace")


def _jis(row: int, cell: int) -> str:
    """Through Shift JIS, whose Microsoft form knows the rows that makers added (髙, 﨑)."""
    lead = (row + 1) // 2 + (0x70 if row <= 0x5E else 0xB0)
    trail = cell + (0x7E if row % 2 == 0 else 0x20 if cell >= 0x60 else 0x1F)
    try:
        return (b"\x1b$B" + bytes([row, cell])).decode("iso2022_jp")
    except UnicodeDecodeError:
        return bytes([lead, trail]).decode("cp932", "replace")


# ---------------------------------------------------------------- evidence
def _decodes(raw: bytes, codec: str) -> bool:
    try:
        raw.decode(codec)
    except (UnicodeDecodeError, LookupError):
        return False
    return True


def _share(text: str) -> float:
    """How much of what is not ASCII is Chinese, 0..1."""
    foreign = [c for c in text if c > "\x7f" and c != "\ufffd"]
    return sum(1 for c in foreign if _HAN.match(c)) / len(foreign) if foreign else 0.0


def _is_utf8_han(raw: bytes) -> bool:
    """UTF-8 of an East Asian script: chance makes hardly any other bytes so."""
    if not _decodes(raw, "utf_8"):
        return False
    text = raw.decode("utf_8")
    return _share(text) >= _SHARE and _IDEOGRAPH.search(text) is not None


def _may_be_han_pairs(raw: bytes) -> bool:
    """UTF-8 of two-byte characters and GB 2312 at once: 毛 is also ë, 楼 also ¥; not where it reads as a western word."""
    if not _decodes(raw, "utf_8") or not _decodes(raw, "gb2312") or _is_utf8_han(raw):
        return False
    accented = all("\xc0" <= c <= "\u017f" for c in raw.decode("utf_8") if c > "\x7f")
    return not accented or re.search(rb"[A-Za-z][\x80-\xff]|[\x80-\xff][A-Za-z]", raw) is None


def _is_cut(raw: bytes, codec: str) -> bool:
    """Whole in this codec but for a few characters that were cut."""
    text = raw.decode(codec, "replace")
    broken = len(re.findall("\ufffd+", text))
    whole = sum(1 for c in text if c > "\x7f" and c != "\ufffd")
    if codec == "utf_8" and not _IDEOGRAPH.search(text):
        return False
    return broken > 0 and whole >= (1 if broken == 1 else _WHOLE_EACH_BROKEN * broken) and _share(text) >= _SHARE


def _leaning(high: Iterable[bytes]) -> str:
    """utf_8 or gb18030, whichever more of these values can't but be; '' where none says."""
    counts = {"utf_8": 0, "gb18030": 0}
    for raw in high:
        if _is_utf8_han(raw):
            counts["utf_8"] += 1
        elif not _decodes(raw, "utf_8") and _decodes(raw, "gb18030") and not _reads_as_latin(raw):
            counts["gb18030"] += _share(raw.decode("gb18030")) >= _SHARE
    most = max(counts, key=lambda codec: counts[codec])
    return most if counts[most] else ""


_WORD: Final = re.compile(rb"[A-Za-z\x80-\xff]*[\x80-\xff][A-Za-z\x80-\xff]*")
_LOWER: Final = re.compile(rb"[\xdf-\xf6\xf8-\xff]+")
_UPPER: Final = re.compile(rb"[\xc0-\xd6\xd8-\xde]+")
#: Ellipsis, quotation marks and dashes of Windows.
_WINDOWS: Final = frozenset(b"\x85\x91\x92\x93\x94\x96\x97")


def _reads_as_latin(raw: bytes) -> bool:
    """Each word has its accents as western languages do: alone or two of a case between letters, symbols alone.

    Chinese in GB 2312 begins its pairs at 0xB0: read as Latin, its words are symbols and capitals in a heap.
    """
    return all(_is_word(word) for word in _WORD.findall(raw))


def _is_word(word: bytes) -> bool:
    for match in _HIGH.finditer(word):
        run, letters = match[0], len(word) - len(match[0])
        if len(run) == 1:
            if run[0] < 0xA0 and run[0] not in _WINDOWS:
                return False
        elif _LOWER.fullmatch(run):  # three together: Turkish ığı, şığ
            if len(run) > 3 or (letters < 1 and len(run) == 2):
                return False
        elif not (len(run) == 2 and _UPPER.fullmatch(run) and match.start() > 0 and match.end() < len(word)):
            return False
    return True
