"""Tables of samples as text (CSV, TSV, TXT) -> EcgSignal.

A row that names the leads, or header lines and a row of ``vendors.toml``, say what the columns are; a column of times or
a header line gives the sampling frequency; the lead's cell, a row of units or a header line gives the unit.  Where one
of the three cannot be known the file is refused: nothing is guessed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from center.errors import Unreadable
from center.reads import Reason
from ecg.formats.kinds import left_out
from ecg.formats.leads import (
    MAX_FS_HZ,
    MIN_FS_HZ,
    StoredLead,
    age_years,
    coded_day,
    coded_sex,
    instant,
    mv_per_unit,
    number,
    recording,
    unproven,
)
from ecg.formats.trouble import EXPORT_AGAIN, unreadable
from ecg.formats.vendor_xml import folded, lead_name, no_scale, vocabulary
from ecg.formats.xml_bounded import decoded
from ecg.signal import EcgSignal, is_known_lead

_MAX_HEADER_LINES: Final = 200
_MIN_ROWS: Final = 20
_MAX_ROWS: Final = 4_000_000  # four hours at 250 Hz
_MAX_LINE: Final = 10_000  # characters: 64 leads take a tenth of it
_ROWS_AT_ONCE: Final = 20_000
_DELIMITERS: Final = ("\t", ";", "|", ",")
_NUMERIC: Final = re.compile(r"[+-]?(?:\d+(?:[.,]\d*)?|[.,]\d+)(?:[eE][+-]?\d+)?")
_CLOCK: Final = re.compile(
    r"\[?(?:\d{1,4}[-/]\d{1,2}[-/]\d{1,4}[ T])?(?:(\d{1,2}):)?(\d{1,2}):(\d{1,2}(?:[.,]\d+)?)\]?"
)
_CELL_UNIT: Final = re.compile(r"(.*?)\s*[\[(（/,]\s*([A-Za-zµμ微毫伏秒]{1,12})\s*[\])）]?")
_TIMES: Final = frozenset(
    map(folded, ("time", "t", "times", "elapsed time", "seconds", "timestamp", "sec", "时间", "秒"))
)
_NOT_ENDED: Final = Reason(
    "no_last_newline",
    zh="文件最后一行没有换行，可能已被截断，最后一个样本或有误。",
    en="The file's last line has no end: it may have been cut off, and its last sample may be wrong.",
)
_UNNAMED: Final = "ECG"
_ECG_NAMES: Final = frozenset(map(folded, ("ecg", "ekg", "ecg signal", "ecg value", "心电", "心电信号", "lead")))
_SECONDS_PER: Final = {
    **dict.fromkeys(("s", "sec", "second", "seconds", "秒"), 1.0),
    **dict.fromkeys(("ms", "msec", "millisecond", "milliseconds", "毫秒"), 1e-3),
    **dict.fromkeys(("us", "µs", "μs", "微秒"), 1e-6),
}
_CLOCK_UNITS: Final = frozenset(("hh:mm:ss", "hh:mm:ss.mmm", "mm:ss", "mm:ss.mmm"))
_MISSING: Final = frozenset(("nan", "null", "none", "-", "--", "na", "n/a", "#n/a", "inf", "-inf"))
"""What stands in a cell without a sample."""
_INTERVAL_NAMES: Final = frozenset(map(folded, ("sampling interval", "sample interval", "采样间隔")))


@dataclass(frozen=True, slots=True)
class _Table:
    """The text's parts: header lines as name -> value, the columns' names and units, and the rows of numbers."""

    told: dict[str, str]
    head: str
    names: tuple[str, ...]
    units: tuple[str, ...]
    rows: tuple[str, ...]
    delimiter: str
    decimal_comma: bool
    is_ended: bool


def looks_like_csv(content: bytes) -> bool:
    """Whether these bytes are text with many rows of numbers."""
    head = content[:65536]
    if head[:2] not in (b"\xff\xfe", b"\xfe\xff") and b"\x00" in head:
        return False
    try:
        lines = decoded(head[: len(head) // 2 * 2], "-").splitlines()[:-1]
    except Unreadable:
        return False
    return _first_row(lines) is not None


def read_csv(content: bytes, file: str = "ECG") -> EcgSignal:
    """The recording in a table of text.  Raises Unreadable, also where leads, rate or unit cannot be known."""
    table = _table(decoded(content, file, keep_end=True), file)
    values = _values(table, file)
    if not table.names:
        table, values = _by_vendor_map(table, values, file)
    known = vocabulary().names
    fs_hz = _rate(table, values, file)
    columns = [n for n, name in enumerate(table.names) if is_known_lead(name) or name == _UNNAMED]
    empty = [table.names[n] for n in columns if not np.isfinite(values[:, n]).any()]
    leads = [_lead(table, n, values[:, n], file) for n in columns if table.names[n] not in empty]
    told = table.told
    return recording(
        file,
        leads,
        fs_hz,
        patient_id=_told(told, known["patient_id"]),
        patient_name=_told(told, known["patient_name"] | {"name"}),
        sex=coded_sex(_told(told, known["sex"])),
        birth_date=coded_day(_told(told, known["birth_date"])),
        age_years=age_years(_told(told, known["age"])),
        recorded_at=instant(re.sub(r" ([+-]\d{4})$", r"\1", _told(told, known["recorded_at"] | {"recordeddate"}))),
        device=_told(told, known["device"]),
        source_format="CSV",
        issues=(
            unproven("CSV"),
            *left_out(empty, "整列为空", "its column is empty"),
            *(() if table.is_ended else (_NOT_ENDED,)),
        ),
    )


# ---- what is where ----


def _first_row(lines: Sequence[str]) -> int | None:
    """The first of many rows of numbers; None where there's no table."""
    run = 0
    if any(len(line) > _MAX_LINE for line in lines):
        return None
    for n, line in enumerate(lines[: _MAX_HEADER_LINES + _MIN_ROWS]):
        run = run + 1 if _is_numbers(line) else 0
        if run == _MIN_ROWS:
            return n - _MIN_ROWS + 1
    return None


def _is_numbers(line: str) -> bool:
    cells = [cell for cell in re.split(r"[\t;|,\s]+", line.strip()) if cell]
    told = [cell for cell in cells if cell.strip("\"'").casefold() not in _MISSING]
    return len(told) > 0 and len(cells) < 300 and all(_NUMERIC.fullmatch(c.strip("\"'")) or _is_clock(c) for c in told)


def _is_clock(cell: str) -> bool:
    cell = cell.strip("\"'[]")
    return bool(_CLOCK.fullmatch(cell) or re.fullmatch(r"\d{1,4}[-/]\d{1,2}[-/]\d{1,4}", cell))


def _table(text: str, file: str) -> _Table:
    if text.count("\n") > _MAX_ROWS:
        raise unreadable(
            file,
            f"有超过 {_MAX_ROWS} 行，作为文本过长，请导出 EDF 或 DICOM",
            f"has more than {_MAX_ROWS} rows, too many for text; export EDF or DICOM",
            expected=f"at most {_MAX_ROWS} rows",
        )
    lines = text.splitlines()
    first = _first_row(lines)
    if first is None:
        raise unreadable(
            file,
            "中没有成列的样本",
            "holds no table of samples",
            todo=EXPORT_AGAIN,
            expected=f"{_MIN_ROWS} rows of numbers",
        )
    rows = lines[first:]
    while rows and not rows[-1].strip():
        rows.pop()
    delimiter = _delimiter(rows[:_MIN_ROWS])
    names, units = _column_row(lines[:first], delimiter)
    width = len(rows[0].split() if delimiter == " " else rows[0].split(delimiter))
    is_last_named = len(names) == width and names[-1] != ""  # else a delimiter only ends the row
    if delimiter != " " and not is_last_named and all(row.rstrip(" \r").endswith(delimiter) for row in rows):
        rows = [row.rstrip(" \r")[:-1] for row in rows]
        width -= 1
    if names and len(names) == width + 1 and not names[-1]:
        names, units = names[:-1], units[:-1]
    if names and len(names) != width:
        raise unreadable(
            file,
            f"的列名有 {len(names)} 个，数据有 {width} 列",
            f"names {len(names)} columns and has {width}",
            todo=EXPORT_AGAIN,
            expected=f"{len(names)} columns",
        )
    return _Table(
        told=_header_lines(lines[:first]),
        head="\n".join(lines[:first]),
        names=names,
        units=units,
        rows=tuple(rows),
        delimiter=delimiter,
        is_ended=text.endswith(("\n", "\r")),
        decimal_comma=delimiter != ","
        and any("," in cell for row in rows[:_MIN_ROWS] for cell in _cells(row, delimiter)),
    )


def _delimiter(rows: Sequence[str]) -> str:
    """What stands between the cells of every row, as often in each; a blank where nothing else does."""
    for delimiter in _DELIMITERS:
        counts = {row.rstrip(delimiter).count(delimiter) for row in rows}
        if len(counts) == 1 and counts != {0}:
            # One comma in every number of a single column is a decimal comma.
            if delimiter == "," and counts == {1} and _has_clear_decimals(rows):
                continue
            return delimiter
    return " "


def _has_clear_decimals(rows: Sequence[str]) -> bool:
    """Whether ``-12,345`` can only be one number: some have more digits behind the comma than a count has."""
    tails = [row.strip().partition(",")[2] for row in rows]
    return all(tail.isdigit() for tail in tails) and any(len(tail) > 1 and tail[0] == "0" for tail in tails)


def _cells(line: str, delimiter: str) -> list[str]:
    parts = line.split() if delimiter == " " else line.strip("\r\n").rstrip(delimiter).split(delimiter)
    return [part.strip().strip("\"'").strip() for part in parts]


def _column_row(lines: Sequence[str], delimiter: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The columns' names and units: the last row that names leads, and a row of units under it."""
    for n in range(len(lines) - 1, -1, -1):
        cells = _named_cells(_cells(lines[n].lstrip("#% "), delimiter))
        if any(is_known_lead(name) or name == _UNNAMED for name, _ in cells) and not _is_told(lines[n]):
            names, units = tuple(name for name, _ in cells), [unit for _, unit in cells]
            for row in lines[n + 1 :]:
                below = _cells(row.lstrip("#% "), delimiter)
                if len(below) == len(units) and any(mv_per_unit(cell) for cell in below):
                    units = [unit or cell.strip("()[]") for unit, cell in zip(units, below, strict=True)]
            return names, tuple(units)
    return (), ()


def _named_cells(cells: Sequence[str]) -> list[tuple[str, str]]:
    """Name and unit of each column; where no lead is named but one column is an ECG, that's one lead without a name."""
    named = [_name_and_unit(cell) for cell in cells]
    unnamed = [n for n, (name, _) in enumerate(named) if folded(name) in _ECG_NAMES]
    if len(unnamed) == 1 and not any(is_known_lead(name) for name, _ in named):
        named[unnamed[0]] = (_UNNAMED, named[unnamed[0]][1])
    return named


def _is_told(line: str) -> bool:
    """Whether this is a header line of a name and a value, like ``Lead,Lead I``."""
    pair = _pair(line)
    return pair is not None and pair[0] in vocabulary().names["lead_name"] | vocabulary().names["order"]


def _name_and_unit(cell: str) -> tuple[str, str]:
    found = _CELL_UNIT.fullmatch(cell)
    if found and (mv_per_unit(found[2]) or found[2].casefold() in _SECONDS_PER):
        return lead_name(found[1]), found[2]
    underscored = re.fullmatch(r"(.+)_([A-Za-zµμ]{1,2}[Vv]|ms|s)", cell)
    if underscored and (is_known_lead(lead_name(underscored[1])) or folded(underscored[1]) in _ECG_NAMES | _TIMES):
        return lead_name(underscored[1]), underscored[2]
    return lead_name(cell), ""


def _header_lines(lines: Sequence[str]) -> dict[str, str]:
    told: dict[str, str] = {}
    for line in lines:
        if (pair := _pair(line)) and pair[1]:
            told.setdefault(*pair)
    return told


def _pair(line: str) -> tuple[str, str] | None:
    """``Sampling rate: 500 Hz``, ``采样率,500``, ``# fs = 500`` -> folded name and value; a unit in the name stays."""
    found = re.fullmatch(r"[#%;\s]*([^:=,;\t：]{1,60}?)\s*[:=,;\t：]\s*(.*)", line.strip())
    return (folded(found[1].strip("\"'")), found[2].strip().strip(",;\t").strip("\"'").strip()) if found else None


def _told(told: dict[str, str], wanted: frozenset[str]) -> str:
    return next((value for name, value in told.items() if re.sub(r"[(（\[].*$", "", name) in wanted), "")


# ---- numbers ----


def _values(table: _Table, file: str) -> npt.NDArray[np.float64]:
    """The table's numbers [row, column]; NaN where a cell is empty, seconds where it is a time of day."""
    width = len(table.names) or len(_cells(table.rows[0], table.delimiter))
    fast = _fast_values(table, width)
    if fast is not None:
        return fast
    out = np.empty((len(table.rows), width))
    for n, row in enumerate(table.rows):
        cells = row.split() if table.delimiter == " " else row.split(table.delimiter)
        if len(cells) == width + 1 and not cells[-1].strip():
            cells.pop()
        try:
            out[n] = [_cell(cell.strip().strip("\"'").strip(), table.decimal_comma) for cell in cells]
        except ValueError:
            raise unreadable(
                file,
                f"的第 {n + 1} 行数据无法识别（应为 {width} 列数字）",
                f"has a row of data that cannot be read, number {n + 1} ({width} columns of numbers expected)",
                todo=EXPORT_AGAIN,
                expected=f"{width} numbers",
            ) from None
    return out


def _fast_values(table: _Table, width: int) -> npt.NDArray[np.float64] | None:
    """The numbers where every cell is a plain one; None where the cells must be looked at one by one."""
    parts: list[npt.NDArray[np.float64]] = []
    for at in range(0, len(table.rows), _ROWS_AT_ONCE):
        part = _fast_rows(table, table.rows[at : at + _ROWS_AT_ONCE], width)
        if part is None:
            return None
        parts.append(part)
    return np.concatenate(parts)


def _fast_rows(table: _Table, rows: Sequence[str], width: int) -> npt.NDArray[np.float64] | None:
    text = "\n".join(rows)
    if table.decimal_comma:
        text = text.replace(",", ".")
    if table.delimiter != " ":
        mark = re.escape(table.delimiter)
        if {row.count(table.delimiter) for row in rows} != {width - 1}:
            return None
        if re.search(rf"(?:^|{mark})[ \t]*(?={mark}|$)", text, re.MULTILINE):
            return None
        text = text.replace(table.delimiter, " ")
    elif {len(row.split()) for row in rows} != {width}:
        return None
    try:
        values = np.array(text.split(), dtype=np.float64)
    except ValueError:
        return None
    whole = values.size == len(rows) * width and np.isfinite(values).all()
    return values.reshape(len(rows), width) if whole else None


def _cell(cell: str, decimal_comma: bool) -> float:
    if decimal_comma:
        cell = cell.replace(",", ".")
    if not cell or cell.casefold() in _MISSING:
        return float("nan")
    if found := _CLOCK.fullmatch(cell):
        return int(found[1] or 0) * 3600.0 + int(found[2]) * 60 + float(found[3].replace(",", "."))
    value = number(cell)
    if value is None:
        raise ValueError(cell)
    return value


# ---- leads, rate, unit ----


def _by_vendor_map(table: _Table, values: npt.NDArray[np.float64], file: str) -> tuple[_Table, npt.NDArray[np.float64]]:
    """The table with its columns named by a row of ``vendors.toml``."""
    for row in vocabulary().csv:
        if row["columns"] != values.shape[1]:
            continue
        name = lead_name(_told(table.told, frozenset((row.get("leads_from", "-"),))))
        words = row.get("maker_words", ())
        names = (name,) if is_known_lead(name) else tuple(row.get("leads", ()))
        if names and (is_known_lead(name) or any(word in table.head.casefold() for word in words)):
            return replace(table, names=names, units=("",) * len(names)), values
    raise unreadable(
        file,
        "没有写明各列是哪个导联",
        "does not say which column is which lead",
        todo=EXPORT_AGAIN,
        expected="a row with the names of the leads",
    )


def _lead(table: _Table, n: int, values: npt.NDArray[np.float64], file: str) -> StoredLead:
    names = vocabulary().names
    told = table.told
    per_unit = mv_per_unit(table.units[n])
    if per_unit is None:
        per_unit = mv_per_unit(_told(told, names["unit"]))
    if per_unit is not None:
        return StoredLead(table.names[n], values * per_unit, 0.0)
    uv, nv, per_mv = (number(_told(told, names[key])) for key in ("uv_per_count", "nv_per_count", "counts_per_mv"))
    step = uv * 1e-3 if uv else nv * 1e-6 if nv else 1 / per_mv if per_mv else None
    if step is None and (
        found := re.fullmatch(r"([\d.]+)\s*([A-Za-zµμ]{1,2})(?:/\w+)?", _told(told, names["resolution"]))
    ):
        value, unit = number(found[1]), mv_per_unit(found[2])
        step = value * unit if value and unit else None
    if step is None or step <= 0:
        raise no_scale(file)
    return StoredLead(table.names[n], values * step, step)


def _rate(table: _Table, values: npt.NDArray[np.float64], file: str) -> float:
    """Hz: as told in the header, as the column of times has it, or both where they agree."""
    told = _told_rate(table.told)
    column = next((n for n, name in enumerate(table.names) if folded(name) in _TIMES), None)
    timed = _timed_rate(table.units[column], values[:, column], file) if column is not None else None
    if told and timed and abs(told - timed) > 0.01 * told:
        raise unreadable(
            file,
            f"写明的采样率 {told:g} Hz 与时间列（{timed:g} Hz）不符",
            f"states {told:g} Hz, while its column of times gives {timed:g} Hz",
            expected="one sampling frequency",
        )
    rate = told or timed
    if not rate:
        raise unreadable(
            file,
            "没有写明采样率，也没有时间列",
            "states no sampling frequency and has no column of times",
            todo=EXPORT_AGAIN,
            expected="sampling frequency",
        )
    return rate


def _told_rate(told: dict[str, str]) -> float | None:
    text = _told(told, vocabulary().names["rate_hz"])
    found = re.match(r"([\d.,]+)\s*(hz|hertz|赫兹|次/秒)?\s*$", text.casefold())
    if found:
        return number(found[1].replace(",", "."))
    interval = re.match(r"([\d.]+)\s*(\S+)\s*$", _told(told, _INTERVAL_NAMES))
    if interval and (per := _SECONDS_PER.get(interval[2].casefold())) and (value := number(interval[1])):
        return 1 / (value * per)
    return None


def _timed_rate(unit: str, times: npt.NDArray[np.float64], file: str) -> float:
    """Hz of evenly spaced times; without a unit, the only one of s, ms and us that makes it a sampling frequency."""
    steps = np.diff(times)
    step = (times[-1] - times[0]) / steps.size if steps.size else 0.0
    # Times are rounded when written: each may be off by its last digit, which a step of the whole is not.
    if not np.isfinite(times).all() or step <= 0 or np.abs(steps - step).max() > 0.6 * step:
        raise unreadable(
            file,
            "的时间列不是等间隔的，记录有缺口或时间有误",
            "has times that are not evenly spaced: the recording has gaps, or the times are wrong",
            todo=EXPORT_AGAIN,
            expected="evenly spaced times",
        )
    per = _SECONDS_PER.get(unit.casefold(), 1.0 if unit.casefold() in _CLOCK_UNITS else None)
    choices = [per] if per else [1.0, 1e-3, 1e-6]
    rates = [1 / (step * factor) for factor in choices if MIN_FS_HZ <= 1 / (step * factor) <= MAX_FS_HZ]
    if len(rates) != 1:
        raise unreadable(
            file,
            "的时间列得不出合理的采样率",
            "has times that give no possible sampling frequency",
            todo=EXPORT_AGAIN,
            expected=f"{MIN_FS_HZ:g}..{MAX_FS_HZ:g} Hz",
        )
    return float(round(rates[0])) if abs(rates[0] - round(rates[0])) < 1e-3 * rates[0] else rates[0]
