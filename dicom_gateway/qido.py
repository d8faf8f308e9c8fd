"""A QIDO-RS search -> SQL over a whitelist of columns, and its rows -> DICOM JSON (PS3.18 10.6).

What isn't in the table can't be searched: an unknown attribute is a ``BadQuery``, never a column name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Final

from pydicom.datadict import tag_for_keyword  # a table of the standard: no I/O

from center.characters import STAND_IN, kept, shown
from center.errors import BadQuery
from center.pinyin import fold, has_han
from dicom_gateway.dicom_json import Json, identity_json, person_name

MAX_LIMIT: Final = 1000
DEFAULT_LIMIT: Final = 100
MAX_OFFSET: Final = 1_000_000
MAX_VALUE: Final = 256


class Level(IntEnum):
    STUDY = 0
    SERIES = 1
    INSTANCE = 2


@dataclass(frozen=True, slots=True)
class Column:
    """One attribute that can be searched: at which level, in which column, how it is matched."""

    tag: str
    level: Level
    sql: str
    match: str  # text | uid | date | time | name | number | modalities | sex


_S, _E, _I = Level.STUDY, Level.SERIES, Level.INSTANCE
COLUMNS: Final[Mapping[str, Column]] = {
    c.tag: c
    for c in (
        Column("0020000D", _S, "s.study_uid", "uid"), Column("00080020", _S, "s.study_date", "date"),
        Column("00080030", _S, "s.study_time", "time"), Column("00080050", _S, "s.accession", "text"),
        Column("00080061", _S, "", "modalities"), Column("00080090", _S, "s.referring", "text"),
        Column("00081030", _S, "s.description", "text"), Column("00100010", _S, "", "name"),
        Column("00100020", _S, "s.local_id", "text"), Column("00100040", _S, "s.sex", "text"),
        Column("00100030", _S, "coalesce(to_char(s.birth_date, 'YYYYMMDD'), '')", "date"),
        Column("00200010", _S, "s.study_id", "text"), Column("0020000E", _E, "e.series_uid", "uid"),
        Column("00080060", _E, "e.modality", "text"), Column("00200011", _E, "e.number", "number"),
        Column("0008103E", _E, "e.description", "text"), Column("00180015", _E, "e.body_part", "text"),
        Column("00200060", _E, "e.laterality", "text"), Column("00181030", _E, "e.protocol", "text"),
        Column("00080021", _E, "e.series_date", "date"), Column("00080031", _E, "e.series_time", "time"),
        Column("00080070", _E, "e.manufacturer", "text"), Column("00081010", _E, "e.station", "text"),
        Column("00080080", _E, "e.institution", "text"), Column("00080018", _I, "i.sop_uid", "uid"),
        Column("00080016", _I, "i.sop_class_uid", "uid"), Column("00200013", _I, "i.number", "number"),
        Column("00280010", _I, "i.rows", "number"), Column("00280011", _I, "i.columns", "number"),
        Column("00280008", _I, "i.frames", "number"), Column("00280100", _I, "i.bits_allocated", "number"),
    )
}  # fmt: skip
#: Parameters that are no attributes.
_CONTROLS: Final = frozenset({"limit", "offset", "fuzzymatching", "includefield", "accept", "clinic", "charset"})


@dataclass(frozen=True, slots=True)
class Scope:
    """What the asker may see: these clinics, these studies of them (None: all), instances of these visibilities."""

    clinics: tuple[str, ...]
    visibilities: tuple[str, ...]
    studies: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Search:
    """A search as it was asked: attribute tag -> value, what to give back beside the usual, how many from where."""

    level: Level
    matches: tuple[tuple[str, str], ...] = ()
    include: frozenset[str] = frozenset()
    include_all: bool = False
    fuzzy: bool = False
    limit: int = DEFAULT_LIMIT
    offset: int = 0


@dataclass(slots=True)
class _Sql:
    where: list[str] = field(default_factory=list)
    params: dict[str, Any] = field(default_factory=dict)

    def bind(self, value: Any) -> str:
        name = f"v{len(self.params)}"
        self.params[name] = value
        return f"%({name})s"


# ---------------------------------------------------------------- the question
def parse(level: Level, pairs: Iterable[tuple[str, str]]) -> Search:
    """Raises BadQuery."""
    matches: dict[str, str] = {}
    include: set[str] = set()
    numbers = {"limit": DEFAULT_LIMIT, "offset": 0}
    include_all = fuzzy = False
    for key, value in pairs:
        if key in numbers:
            numbers[key] = _number(key, value)
        elif key == "fuzzymatching":
            fuzzy = value.lower() == "true"
        elif key == "includefield":
            include_all |= value.strip().lower() == "all"
            include |= {t for t in (_tag(v.strip()) for v in value.split(",")) if t}
        elif key not in _CONTROLS:
            matches[_known(key, level).tag] = _value(key, value)
    limit = min(numbers["limit"], MAX_LIMIT)
    found = tuple((t, v) for t, v in matches.items() if v)
    return Search(level, found, frozenset(include | matches.keys()), include_all, fuzzy, limit, numbers["offset"])


def _tag(name: str) -> str | None:
    """00100010 or PatientName as 00100010; None for what is neither."""
    if re.fullmatch(r"[0-9A-Fa-f]{8}", name):
        return name.upper()
    found = tag_for_keyword(name)
    return f"{found:08X}" if found is not None else None


def _known(name: str, level: Level) -> Column:
    column = COLUMNS.get(_tag(name) or "")
    if column is None or column.level > level:
        raise BadQuery(
            f"不支持按 {name[:60]} 检索。", f"{name[:60]} cannot be searched for here.", {"attribute": name[:60]}
        )
    return column


def _value(name: str, value: str) -> str:
    if len(value) > MAX_VALUE and not value.replace(",", "").replace(".", "").replace("\\", "").isdigit():
        raise BadQuery("检索内容过长。", "A search value is too long.", {"attribute": name[:60]})
    return kept(value).strip()


def _number(name: str, value: str) -> int:
    if not re.fullmatch(r"[0-9]{1,7}", value) or int(value) > MAX_OFFSET:
        raise BadQuery(f"{name} 应为非负整数。", f"{name} is a whole number, not negative.", {name: value[:20]})
    return int(value)


# ---------------------------------------------------------------- the statement
_FROM: Final = {
    Level.STUDY: """select s.*
from gateway.study s""",
    Level.SERIES: """select s.clinic_id, s.study_uid, s.study_date, s.study_time, s.accession, s.referring, s.study_id,
  s.description as study_description, s.zone_offset, s.local_id, s.name, s.person_name, s.sex, s.birth_date, e.series_uid,
  e.modality, e.number, e.description, e.body_part, e.laterality, e.protocol, e.series_date, e.series_time, e.manufacturer,
  e.station, e.institution, c.n_instances, c.n_series, c.modalities, c.sop_classes
from gateway.series e join gateway.study s on s.clinic_id = e.clinic_id and s.study_uid = e.study_uid""",
    Level.INSTANCE: """select s.clinic_id, s.study_uid, s.study_date, s.study_time, s.accession, s.referring, s.study_id,
  s.description as study_description, s.zone_offset, s.local_id, s.name, s.person_name, s.sex, s.birth_date, e.series_uid,
  e.modality, e.number as series_number, e.description as series_description, e.body_part, e.laterality, e.protocol,
  e.series_date, e.series_time, e.manufacturer, e.station, e.institution, i.sop_uid, i.sop_class_uid, i.number, i.rows,
  i.columns, i.frames, i.bits_allocated, i.transfer_syntax, case when %(with_metadata)s then i.metadata end as metadata
from gateway.instance i
join gateway.series e on e.clinic_id = i.clinic_id and e.study_uid = i.study_uid and e.series_uid = i.series_uid
join gateway.study s on s.clinic_id = i.clinic_id and s.study_uid = i.study_uid""",
}
#: What the asker may see of a series, as the series' row keeps it: (how many, their classes).
_SHOWN: Final = """((case when 'clinic' = any(%(visibilities)s) then x.clinic_n else 0 end)
  + (case when 'readers' = any(%(visibilities)s) then x.readers_n else 0 end))"""
_CLASSES: Final = """((case when 'clinic' = any(%(visibilities)s) then x.clinic_classes else '{}' end)
  || (case when 'readers' = any(%(visibilities)s) then x.readers_classes else '{}' end))"""
_SERIES_OF: Final = "from gateway.series x where x.clinic_id = s.clinic_id and x.study_uid = s.study_uid"
_SEEN: Final = f"exists (select 1 {_SERIES_OF} {{series}} and {_SHOWN} > 0)"
_COUNTS: Final = f"""cross join lateral (select sum({_SHOWN})::int as n_instances, count(*)::int as n_series,
    array_agg(distinct x.modality) filter (where x.modality <> '') as modalities,
    (select array_agg(distinct c.uid) from gateway.series x, unnest({_CLASSES}) c(uid)
      where x.clinic_id = s.clinic_id and x.study_uid = s.study_uid {{series}}) as sop_classes
  {_SERIES_OF} {{series}} and {_SHOWN} > 0) c"""
#: Each clinic's studies by its own index in the order of the list, as many as are shown at most; their counts afterwards.
_STUDIES: Final = """select s.*, c.n_instances, c.n_series, c.modalities, c.sop_classes
from unnest(%(clinics)s::text[]) k(clinic_id) cross join lateral (
  {inner} order by {order} limit %(row_limit)s + %(row_offset)s) s {counts}
order by {order} limit %(row_limit)s offset %(row_offset)s"""
_ORDER: Final = {
    Level.STUDY: "s.study_date desc, s.study_time desc, s.study_uid, s.clinic_id",
    Level.SERIES: "s.study_date desc, s.study_uid, e.number nulls last, e.series_uid",
    Level.INSTANCE: "s.study_date desc, s.study_uid, e.number nulls last, e.series_uid, i.number nulls last, i.sop_uid",
}


def statement(search: Search, scope: Scope) -> tuple[str, dict[str, Any]]:
    """(SQL, parameters); one row more than asked for tells whether there are more."""
    sql = _Sql()
    sql.params |= {
        "visibilities": list(scope.visibilities), "clinics": list(scope.clinics),
        "with_metadata": search.level is Level.INSTANCE and bool(search.include_all or search.include - COLUMNS.keys()),
        "row_limit": search.limit + 1, "row_offset": search.offset,
    }  # fmt: skip
    by_study = search.level is Level.STUDY
    sql.where.append("s.clinic_id = k.clinic_id" if by_study else "s.clinic_id = any(%(clinics)s)")
    if scope.studies is not None:
        sql.where.append(f"s.study_uid = any({sql.bind(list(scope.studies))})")
    series = "and x.series_uid = e.series_uid" if search.level is Level.SERIES else ""
    if search.level is Level.INSTANCE:
        sql.where.append("i.visibility = any(%(visibilities)s)")
    else:
        sql.where.append(_SEEN.replace("{series}", series))
    for tag, value in search.matches:
        if value != "*":
            sql.where.append(_condition(sql, COLUMNS[tag], value, search.fuzzy))
    counts = "" if search.level is Level.INSTANCE else _COUNTS.replace("{series}", series)
    order, where = _ORDER[search.level], " and ".join(sql.where)
    if by_study:
        inner = f"{_FROM[Level.STUDY]} where {where}"
        return _STUDIES.format(inner=inner, order=order, counts=counts), sql.params
    text = f"{_FROM[search.level]} {counts} where {where} order by {order}"
    return f"{text} limit %(row_limit)s offset %(row_offset)s", sql.params


def _condition(sql: _Sql, column: Column, value: str, fuzzy: bool) -> str:
    if column.match == "uid":
        return f"{column.sql} = any({sql.bind(_several(value))})"
    if column.match == "date":
        return _range(sql, column.sql, value.replace(".", ""), r"[0-9]{8}", "YYYYMMDD")
    if column.match == "time":
        return _range(sql, column.sql, value.replace(":", ""), r"[0-9]{2,6}(\.[0-9]{1,6})?", "HHMMSS")
    if column.match == "number":
        return f"{column.sql} = {sql.bind(_whole(column.tag, value))}"
    if column.match == "modalities":
        wanted = sql.bind([v.upper() for v in _several(value)])
        return (
            "exists (select 1 from gateway.series m where m.clinic_id = s.clinic_id and m.study_uid = s.study_uid"
            f" and m.modality = any({wanted}))"
        )
    if column.match == "name":
        return _name(sql, value, fuzzy)
    value = shown(value) if column.match == "text" else value  # as the index has it
    return f"{column.sql} ilike {sql.bind(pattern(value))}" if _is_wild(value) else f"{column.sql} = {sql.bind(value)}"


def _several(value: str) -> list[str]:
    return [v.strip() for v in re.split(r"[,\\]", value) if v.strip()]


def _is_wild(value: str) -> bool:
    return "*" in value or "?" in value


def pattern(value: str) -> str:
    """DICOM's wildcards as LIKE's: ``*`` and ``?`` (PS3.4 C.2.2.2.4); the rest is meant as it stands."""
    escaped = value.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return escaped.replace("*", "%").replace("?", "_")


def _range(sql: _Sql, column: str, value: str, form: str, name: str) -> str:
    """``a``, ``a-b``, ``a-`` or ``-b``."""
    low, dash, high = (part.strip() for part in value.partition("-"))
    for part in (low, high):
        if part and not re.fullmatch(form, part):
            raise BadQuery(
                f"日期或时间应为 {name}。", f"A date or time is {name} or a range of two.", {"value": value[:40]}
            )
    if not dash:
        return f"{column} like {sql.bind(low + '%')}"
    parts = [f"{column} <> ''"]
    if low:
        parts.append(f"{column} >= {sql.bind(low)}")
    if high:
        parts.append(f"{column} <= {sql.bind(high + '~')}")
    return f"({' and '.join(parts)})"


def _whole(tag: str, value: str) -> int:
    if not re.fullmatch(r"-?[0-9]{1,9}", value):
        raise BadQuery("应为整数。", "A whole number is needed.", {"attribute": tag, "value": value[:20]})
    return int(value)


def _name(sql: _Sql, value: str, fuzzy: bool) -> str:
    """By characters, by the DICOM groups, or by pinyin and initials."""
    # A stand-in was typed from the screen: it is any one character of the name as written.
    as_shown = sql.bind(pattern(shown(value).replace(STAND_IN, "?")))
    as_written = sql.bind(pattern(value.replace(STAND_IN, "?")))
    bare = sql.bind(pattern(re.sub(r"[\^\s]+", "", shown(value).replace(STAND_IN, "?"))))
    ways = [f"s.person_name ilike {as_written}", f"s.name ilike {as_shown}", f"s.name ilike {bare}"]
    for group in (1, 2):
        ways.append(f"split_part(s.person_name, '=', {group}) ilike {as_written}")
    if not has_han(value):
        word = fold(value.replace("*", "\x00")).replace("\x00", "*")
        if word.strip("*"):
            around = f"%{pattern(word)}%" if fuzzy else f"% {pattern(word)} %"
            ways.append(f"s.pinyin like {sql.bind(around)}")
    return f"({' or '.join(ways)})"


# ---------------------------------------------------------------- the answer
def answer(row: Mapping[str, Any], level: Level, retrieve_root: str, extra: Json | None = None) -> Json:
    """A row as DICOM JSON; ``extra``: the instance's kept metadata where more was asked for."""
    out: Json = {"00080005": _one("CS", "ISO_IR 192"), "00080056": _one("CS", "ONLINE")}
    out |= _study(row, level)
    url = f"{retrieve_root}/studies/{row['study_uid']}"
    if level >= Level.SERIES:
        out |= _series(row, level)
        url += f"/series/{row['series_uid']}"
    if level is Level.INSTANCE:
        out |= _instance(row)
        url += f"/instances/{row['sop_uid']}"
    out["00081190"] = _one("UR", url)
    if extra:
        out = {k: v for k, v in extra.items() if "BulkDataURI" not in v} | out
    return dict(sorted(out.items()))


def _study(row: Mapping[str, Any], level: Level) -> Json:
    out = {
        "00080020": _one("DA", row["study_date"]), "00080030": _one("TM", row["study_time"]),
        "00080050": _one("SH", row["accession"]), "00080090": _name_json(row["referring"]),
        "0020000D": _one("UI", row["study_uid"]), "00200010": _one("SH", row["study_id"]),
        "00081030": _one("LO", row["description" if level is Level.STUDY else "study_description"]),
    }  # fmt: skip
    if row["zone_offset"]:
        out["00080201"] = _one("SH", row["zone_offset"])
    if level is Level.STUDY:
        out |= {
            "00080061": _many("CS", row["modalities"]), "00080062": _many("UI", row["sop_classes"]),
            "00201206": _one("IS", row["n_series"]), "00201208": _one("IS", row["n_instances"]),
        }  # fmt: skip
    return out | identity_json(row)


def _series(row: Mapping[str, Any], level: Level) -> Json:
    at_series = level is Level.SERIES
    out = {
        "00080060": _one("CS", row["modality"]), "0020000E": _one("UI", row["series_uid"]),
        "00200011": _one("IS", row["number" if at_series else "series_number"]),
        "0008103E": _one("LO", row["description" if at_series else "series_description"]),
        "00180015": _one("CS", row["body_part"]), "00200060": _one("CS", row["laterality"]),
        "00181030": _one("LO", row["protocol"]), "00080021": _one("DA", row["series_date"]),
        "00080031": _one("TM", row["series_time"]), "00080070": _one("LO", row["manufacturer"]),
        "00081010": _one("SH", row["station"]), "00080080": _one("LO", row["institution"]),
    }  # fmt: skip
    if at_series:
        out["00201209"] = _one("IS", row["n_instances"])
    return out


def _instance(row: Mapping[str, Any]) -> Json:
    out = {
        "00080016": _one("UI", row["sop_class_uid"]), "00080018": _one("UI", row["sop_uid"]),
        "00200013": _one("IS", row["number"]), "00083002": _one("UI", row["transfer_syntax"]),
    }  # fmt: skip
    if row["rows"] is not None and row["columns"] is not None:
        out |= {"00280010": _one("US", row["rows"]), "00280011": _one("US", row["columns"])}
        out |= {"00280100": _one("US", row["bits_allocated"]), "00280008": _one("IS", row["frames"] or 1)}
    return out


def _one(vr: str, value: Any) -> Json:
    return {"vr": vr} if value is None or value == "" else {"vr": vr, "Value": [value]}


def _many(vr: str, values: Sequence[Any] | None) -> Json:
    return {"vr": vr, "Value": list(values)} if values else {"vr": vr}


def _name_json(text: str) -> Json:
    group = person_name(text)
    return {"vr": "PN", "Value": [group]} if group else {"vr": "PN"}
