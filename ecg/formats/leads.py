"""Leads as a reader found them -> one checked EcgSignal: the checks that every text and XML format shares."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from center.reads import Reason
from ecg.formats.kinds import no_lead_named
from ecg.formats.trouble import EXPORT_AGAIN, unreadable
from ecg.heart_leads import heart_leads
from ecg.signal import MAX_LEADS, MAX_SAMPLES, DeviceNote, EcgSignal, canonical_lead, distinct, limb_issue

MIN_FS_HZ: Final = 50.0
MAX_FS_HZ: Final = 10_000.0
"""Outside these no electrocardiograph stores an ECG (ours: Holters store 100 Hz and more, research 2,000 and less)."""
MAX_PEAK_MV: Final = 100.0
"""A heart's surface ECG stays under 10 mV; ten times that from a lead's own middle is a wrong gain (ours)."""
_MV_PER_UNIT: Final = {
    **dict.fromkeys(("v", "volt", "volts"), 1e3),
    **dict.fromkeys(("mv", "millivolt", "millivolts", "毫伏"), 1.0),
    **dict.fromkeys(("uv", "µv", "μv", "microvolt", "microvolts", "微伏"), 1e-3),
    **dict.fromkeys(("nv", "nanovolt", "nanovolts", "纳伏"), 1e-6),
}
_MAX_NAME: Final = 40
_MAX_TEXT: Final = 1000
_NUMBER: Final = re.compile(r"[+-]?(?:\d{1,15}(?:\.\d{0,25})?|\.\d{1,25})(?:[eE][+-]?\d{1,2})?")
_TIDY: Final = bytes.maketrans(b",;\t\r\n", b"     ")
_KINDS: Final = bytes(
    ord("d") if chr(n).isdigit() and n < 128 else ord("s") if n in b"+-" else ord(" ") if n == ord(" ") else ord("x")
    for n in range(256)
)
"""Every byte as a digit, a sign, a blank, or anything else."""
_NO_INTEGERS: Final = (b"x", b"ss", b"s ", b"ds", b"d" * 12)
"""What whole numbers between blanks never hold, in these kinds; a count of 12 digits is none of a device."""
_MOST_DECIMALS: Final = 4_000_000  # each takes a hundred bytes while it's read


@dataclass(frozen=True, slots=True)
class StoredLead:
    """One lead as read: its name as the file has it, mV [sample] (NaN: no value), mV a count (0: not in counts)."""

    name: str
    values_mv: npt.NDArray[np.float64]
    step_mv: float


def recording(file: str, leads: Sequence[StoredLead], fs_hz: float, **header: Any) -> EcgSignal:
    """The recording of these leads; header: fields of EcgSignal.  Raises Unreadable for what cannot be an ECG."""
    check_rate(file, fs_hz)
    if not 0 < len(leads) <= MAX_LEADS:
        raise unreadable(
            file,
            f"有 {len(leads)} 个心电导联，只接受 1 到 {MAX_LEADS} 个",
            f"has {len(leads)} ECG leads; 1 to {MAX_LEADS} are accepted",
            expected=f"1..{MAX_LEADS} leads",
        )
    sizes = {lead.values_mv.size for lead in leads}
    if len(sizes) != 1 or 0 in sizes:
        raise unreadable(
            file,
            f"的各导联长度不一致（{min(sizes)} 到 {max(sizes)} 个样本）" if max(sizes) else "的导联没有样本",
            f"has leads of different lengths ({min(sizes)} to {max(sizes)} samples)"
            if max(sizes)
            else "has leads without a sample",
            todo=EXPORT_AGAIN,
            expected="leads of one length",
        )
    if sizes.pop() * len(leads) > MAX_SAMPLES:
        raise unreadable(file, "的样本过多", "has too many samples", expected=f"at most {MAX_SAMPLES} samples")
    for lead in leads:
        _check_size(file, lead)
    steps = tuple(lead.step_mv for lead in leads)
    issues: tuple[Reason, ...] = header.pop("issues", ())
    notes: tuple[DeviceNote, ...] = header.pop("annotations", ())
    header = {key: value[:_MAX_TEXT] if isinstance(value, str) else value for key, value in header.items()}
    signal = EcgSignal(
        leads=distinct(canonical_lead(lead.name)[:_MAX_NAME] or f"lead {n + 1}" for n, lead in enumerate(leads)),
        samples=np.stack([lead.values_mv for lead in leads]),
        fs_hz=fs_hz,
        step_mv=steps if all(steps) else (),
        annotations=tuple(replace(note, text=note.text[:_MAX_TEXT]) for note in notes),
        **header,
    )
    if not heart_leads(replace(signal, issues=issues)) and not any(issue.code == "not_an_ecg" for issue in issues):
        issues += (no_lead_named(signal.leads),)
    return replace(signal, issues=issues + limb_issue(signal))


def check_rate(file: str, fs_hz: float) -> None:
    """Nothing, or Unreadable where no electrocardiograph samples like that."""
    if not MIN_FS_HZ <= fs_hz <= MAX_FS_HZ:
        raise unreadable(
            file,
            f"的采样率 {fs_hz:g} Hz 超出范围",
            f"has a sampling frequency of {fs_hz:g} Hz, which is out of range",
            expected=f"{MIN_FS_HZ:g}..{MAX_FS_HZ:g} Hz",
        )


def _check_size(file: str, lead: StoredLead) -> None:
    low, high = np.fmin.reduce(lead.values_mv), np.fmax.reduce(lead.values_mv)
    if np.isfinite(low) and high - low > MAX_PEAK_MV:
        middle = float(np.nanmedian(lead.values_mv))
        if max(high - middle, middle - low) > MAX_PEAK_MV:
            raise unreadable(
                file,
                f"的导联 {lead.name} 幅度达 {max(high - middle, middle - low):.0f} mV：增益有误",
                f"has {max(high - middle, middle - low):.0f} mV in lead {lead.name}: its gain is wrong",
                expected=f"at most {MAX_PEAK_MV:g} mV",
            )


def short(name: str) -> str:
    """A lead's name as a message may show it."""
    return name.strip()[:_MAX_NAME] or "?"


def mv_per_unit(unit: str) -> float | None:
    """Millivolts in one of this unit (uV, MICROVOLTS, 微伏 ...); None where it's no voltage that we know."""
    return _MV_PER_UNIT.get(unit.strip().casefold())


def number(text: str) -> float | None:
    """The number that this text is; None where it's none."""
    text = text.strip()
    return float(text) if _NUMBER.fullmatch(text) else None


def whole_numbers(text: str, file: str, lead: str) -> npt.NDArray[np.int64]:
    """The whole numbers in this text, between blanks or commas.  Raises Unreadable for anything else in it."""
    raw = text.encode("ascii", "replace").translate(_TIDY)
    kinds = b" " + raw.translate(_KINDS) + b" "
    if any(wrong in kinds for wrong in _NO_INTEGERS):
        raise _not_numbers(file, lead)
    return np.fromstring(raw.decode("ascii"), dtype=np.int64, sep=" ") if raw.strip() else np.empty(0, np.int64)


def decimal_numbers(text: str, file: str, lead: str) -> npt.NDArray[np.float64]:
    """The numbers in this text, between blanks or commas; finite.  Raises Unreadable for anything else in it."""
    if sum(map(text.count, " ,;\t\r\n")) > _MOST_DECIMALS:
        raise unreadable(file, f"的导联 {lead} 样本过多", f"has too many samples in lead {lead}", expected="an ECG")
    try:
        values = np.array(text.replace(",", " ").replace(";", " ").split(), dtype=np.float64)
    except ValueError:
        raise _not_numbers(file, lead) from None
    if not np.isfinite(values).all():
        raise _not_numbers(file, lead)
    return values


def _not_numbers(file: str, lead: str) -> Exception:
    return unreadable(
        file,
        f"的导联 {lead} 中有不是数字的内容",
        f"has something that is no number in lead {lead}",
        todo=EXPORT_AGAIN,
        expected="numbers",
    )


def unproven(kind: str) -> Reason:
    """The warning that goes with a format for which no device's file was at hand."""
    return Reason(
        "unproven_format",
        zh=f"{kind}：按其公开说明读取，手边没有设备导出的样本验证，请先与原图核对。",
        en=f"{kind}: read by its published text; no sample from a device was at hand. Compare it with the original.",
    )


# ---- words that all makers use for the same things ----

_SEXES: Final = {
    **dict.fromkeys(("m", "male", "1", "男", "男性"), "M"),
    **dict.fromkeys(("f", "female", "2", "w", "女", "女性"), "F"),
    **dict.fromkeys(("o", "other", "un", "undifferentiated"), "O"),
}
_YEARS_PER: Final = {
    **dict.fromkeys(("", "y", "a", "yr", "yrs", "year", "years", "岁", "年"), 1.0),
    **dict.fromkeys(("m", "mo", "month", "months", "月", "个月"), 1 / 12),
    **dict.fromkeys(("w", "wk", "week", "weeks", "周"), 7 / 365.25),
    **dict.fromkeys(("d", "day", "days", "天", "日"), 1 / 365.25),
    **dict.fromkeys(("h", "hour", "hours", "小时"), 1 / 8766),
}


def coded_sex(text: str) -> str:
    """M, F, O, or empty where the file doesn't say."""
    return _SEXES.get(text.strip().casefold(), "")


def age_years(text: str, unit: str = "") -> float | None:
    """The age in years from a number and its unit, or ``51岁``; None where it isn't one."""
    found = re.fullmatch(r"(\d{1,6}(?:\.\d{1,3})?)\s*(\S{0,8})", text.strip())
    per = _YEARS_PER.get((found[2] or unit).strip().casefold()) if found else None
    age = float(found[1]) * per if found and per else None
    return round(age, 3) if age is not None and age <= 130 else None


def coded_day(text: str, *, month_first: bool = False) -> str:
    """YYYYMMDD of a day written year first, or as ``MM-DD-YYYY`` where the format does so; empty where it's none."""
    found = re.match(r"(\d{4})[-/.年]?(\d{1,2})[-/.月]?(\d{1,2})(?:\D|$)", text.strip()) or re.match(
        r"(\d{4})(\d{2})(\d{2})", text.strip()
    )
    parts = (int(found[1]), int(found[2]), int(found[3])) if found else None
    if month_first and (turned := re.fullmatch(r"(\d{1,2})[-/](\d{1,2})[-/](\d{4})", text.strip())):
        parts = (int(turned[3]), int(turned[1]), int(turned[2]))
    try:
        return date(*parts).strftime("%Y%m%d") if parts and parts[0] >= 1850 else ""
    except ValueError:
        return ""


def instant(day: str, time: str = "", *, month_first: bool = False) -> str:
    """ISO 8601 of a day and a time of day, the day as ``coded_day`` takes it; empty where it's none.

    ``20250923103550``, ``20250923103550.250+0800`` and ISO 8601 may stand in ``day`` alone.
    """
    text = day.strip()
    if not time and (found := re.fullmatch(r"(\d{8})(\d{6})?(\d{2}|\d{4})?(\.\d{1,9})?([+-]\d{4})?", text)):
        digits = (found[1] + (found[2] or found[3] or "")).ljust(14, "0")
        text = f"{digits[:8]}T{digits[8:]}{(found[4] or '').ljust(7, '0')[:7] if found[4] else ''}{found[5] or ''}"
    elif not time and len(text) > 10 and text[10] in "T ":
        text = text.replace("/", "-")
    else:
        text = f"{coded_day(text, month_first=month_first)}T{time.strip() or '00:00:00'}"
    try:
        return datetime.fromisoformat(text).isoformat()
    except ValueError:
        return ""
