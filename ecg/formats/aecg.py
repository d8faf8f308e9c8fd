"""HL7 annotated ECG (aECG, ``AnnotatedECG``) <-> EcgSignal.

By the implementation guide of 21 March 2005.  The recording is the longest sequence set of a rhythm series; the
representative beat, a series derived from it, is left alone.  A sample is origin + scale x digit.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final
from xml.sax.saxutils import escape, quoteattr

import numpy as np

from center.errors import Invalid, Unreadable
from center.reads import Reason
from ecg.formats.dicom import WaveformIdentity
from ecg.formats.in_time import joined
from ecg.formats.kinds import IN_TURN, left_out
from ecg.formats.leads import (
    MAX_FS_HZ,
    MIN_FS_HZ,
    StoredLead,
    age_years,
    coded_day,
    coded_sex,
    decimal_numbers,
    instant,
    mv_per_unit,
    number,
    recording,
    short,
    whole_numbers,
)
from ecg.formats.trouble import EXPORT_AGAIN, unreadable
from ecg.formats.xml_bounded import Element, parse_xml
from ecg.signal import DeviceNote, EcgSignal, Filters, canonical_lead, is_known_lead

_MAX_NOTES: Final = 200
_MDC: Final = "2.16.840.1.113883.6.24"
_ACT: Final = "2.16.840.1.113883.5.4"
_SECONDS_PER: Final = {"s": 1.0, "sec": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6}
_SUBJECT: Final = "componentof/timepointevent/componentof/subjectassignment/subject/trialsubject"
_AGE: Final = "21612-7"  # LOINC: reported age
# MDC codes <-> what the device measured.
_MEASUREMENTS: Final = {
    "MDC_ECG_HEART_RATE": "Heart rate",
    "MDC_ECG_TIME_PD_P": "P duration",
    "MDC_ECG_TIME_PD_PR": "PR interval",
    "MDC_ECG_TIME_PD_QRS": "QRS duration",
    "MDC_ECG_TIME_PD_QT": "QT interval",
    "MDC_ECG_TIME_PD_QTC": "QTc",
    "MDC_ECG_TIME_PD_RR": "RR interval",
    "MDC_ECG_ANGLE_P_FRONT": "P axis",
    "MDC_ECG_ANGLE_QRS_FRONT": "QRS axis",
    "MDC_ECG_ANGLE_T_FRONT": "T axis",
}
_CODES: Final = {text: code for code, text in _MEASUREMENTS.items()}
_STATEMENT: Final = "MDC_ECG_INTERPRETATION_STATEMENT"
_UNITS: Final = {"bpm": "/min", "{beats}/min": "/min", "beats/min": "/min"}
# Annotations that belong to one beat, wave or lead, not to the recording.
_LOCAL: Final = ("MDC_ECG_BEAT", "MDC_ECG_WAVC", "MDC_ECG_RHYTHM_WAVC")


# ---- reading ----


def read_aecg(content: bytes, file: str = "ECG") -> EcgSignal:
    """The recording in an aECG file.  Raises Unreadable."""
    root = parse_xml(content, file)
    series, sequences, others = _longest(root, file)
    increment_s, head, _ = _timing(sequences, file)
    leads, issues = _leads(sequences, file)
    if others:
        together = _in_turn(sequences, others, increment_s, file)
        issues += (IN_TURN,) if together else (_other_segments(len(others) + 1),)
        leads, head = together or (leads, head)
    fs_hz = 1 / increment_s
    person = root.find(f"{_SUBJECT}/subjectdemographicperson") or Element("")
    return recording(
        file,
        leads,
        float(round(fs_hz)) if abs(fs_hz - round(fs_hz)) < 1e-3 else fs_hz,
        filters=_filters(series),
        patient_id=root.get(f"{_SUBJECT}/id@extension") or person.get("patientid"),
        patient_name=_person_name(person),
        sex=coded_sex(person.get("administrativegendercode@code")),
        birth_date=coded_day(person.get("birthtime@value")),
        age_years=_age(root, person),
        recorded_at=head or _effective(series) or _effective(root),
        device=_device(series),
        annotations=_notes(series),
        source_format="HL7 aECG XML",
        is_ecg_by_type=True,
        issues=issues,
    )


def _leads(sequences: Element, file: str) -> tuple[list[StoredLead], tuple[Reason, ...]]:
    """The leads of a sequence set, and what to say of those without a scale.  Raises Unreadable where none has one."""
    leads: list[StoredLead] = []
    unscaled: list[str] = []
    for sequence in sequences.all("component/sequence"):
        code = _code(sequence)
        if code.startswith("TIME_"):
            continue
        lead = _lead(sequence, code, file)
        if isinstance(lead, StoredLead):
            leads.append(lead)
        elif lead:
            unscaled.append(lead)
    if unscaled and not leads:
        raise unreadable(
            file,
            f"的导联 {', '.join(unscaled[:8])} 没有可用的比例（scale），无法换算为毫伏",
            f"gives no usable scale for lead {', '.join(unscaled[:8])}, so it cannot be shown in millivolts",
            expected="scale and origin in uV, mV or nV",
        )
    return leads, left_out(unscaled, "没有可用的比例（scale）", "no usable scale")


def _in_turn(
    sequences: Element, others: Sequence[Element], increment_s: float, file: str
) -> tuple[list[StoredLead], str] | None:
    """All sequence sets in one time, and when the first began; None where they make no one recording."""
    stretches: list[tuple[float, list[StoredLead]]] = []
    heads: list[str] = []
    for one in (sequences, *others):
        try:
            step_s, head, begin_s = _timing(one, file)
            leads, wrong = _leads(one, file)
        except Unreadable:
            return None
        if begin_s is None or wrong or abs(step_s - increment_s) > 1e-9:
            return None
        if len({lead.values_mv.size for lead in leads}) != 1:
            return None
        stretches.append((begin_s, leads))
        heads.append(head)
    together = joined(stretches, 1 / increment_s)
    return None if together is None else (together, min(heads))


def _longest(root: Element, file: str) -> tuple[Element, Element, list[Element]]:
    """The series and the sequence set with most samples, and the other sets."""
    found = [
        (series, sequences)
        for series in root.all("component/series")
        if _code(series) != "REPRESENTATIVE_BEAT"
        for sequences in series.all("component/sequenceset")
        if sequences.find("component/sequence")
    ]
    if root.name != "annotatedecg" or not found:
        raise unreadable(
            file,
            "中没有连续记录的波形",
            "holds no recorded waveform",
            todo=EXPORT_AGAIN,
            expected="AnnotatedECG/component/series/component/sequenceSet",
        )
    series, sequences = max(found, key=lambda pair: sum(len(d.text) for d in pair[1].walk() if d.name == "digits"))
    return series, sequences, [other for _, other in found if other is not sequences]


def _other_segments(count: int) -> Reason:
    return Reason(
        "other_segments",
        zh=f"文件含 {count} 段记录，只读取了最长的一段。",
        en=f"The file holds {count} stretches of recording; only the longest was read.",
    )


def _code(element: Element) -> str:
    return element.get("code@code")


def _timing(sequences: Element, file: str) -> tuple[float, str, float | None]:
    """Seconds from sample to sample; when the first was taken (ISO 8601, empty for relative times), and in seconds."""
    for sequence in sequences.all("component/sequence"):
        code, value = _code(sequence), sequence.find("value")
        if code.startswith("TIME_") and value is not None:
            seconds = _seconds(value.get("increment@value"), value.get("increment@unit"))
            if seconds is not None and 1 / MAX_FS_HZ <= seconds <= 1 / MIN_FS_HZ:
                if code == "TIME_ABSOLUTE":
                    head = instant(value.get("head@value"))
                    return seconds, head, datetime.fromisoformat(head).timestamp() if head else None
                begin, unit = number(value.get("head@value")), value.get("head@unit").lower() or "s"
                per = _SECONDS_PER.get(unit)
                return seconds, "", begin * per if begin is not None and per else None
            told = short(f"{value.get('increment@value')} {value.get('increment@unit')}")
            raise unreadable(
                file,
                f"的采样间隔“{told}”无法使用或超出范围",
                f'has a sampling increment of "{told}", which is unusable or out of range',
                expected=f"{MIN_FS_HZ:g}..{MAX_FS_HZ:g} Hz",
            )
    raise unreadable(
        file,
        "没有写明采样间隔",
        "does not state its sampling increment",
        expected="sequence TIME_ABSOLUTE or TIME_RELATIVE",
    )


def _seconds(text: str, unit: str) -> float | None:
    """The increment in seconds; without a unit, the only one of s, ms and us that makes it a sampling frequency."""
    value = number(text)
    if value is None or value <= 0:
        return None
    if unit:
        return value * _SECONDS_PER[unit.lower()] if unit.lower() in _SECONDS_PER else None
    fitting = [value * per for per in (1.0, 1e-3, 1e-6) if 1 / MAX_FS_HZ <= value * per <= 1 / MIN_FS_HZ]
    return fitting[0] if len(fitting) == 1 else None


def _lead(sequence: Element, code: str, file: str) -> StoredLead | str | None:
    """One lead; its name where it has no scale, None for what is measured in something else than volts."""
    value = sequence.find("value") or Element("")
    name = canonical_lead(code)
    if not is_known_lead(name):
        name = short(re.sub(r"(?i)^MDC_ECG_(LEAD_)?", "", code))
    unit = value.get("scale@unit")
    per_unit, scale = mv_per_unit(unit), number(value.get("scale@value"))
    if per_unit is None and unit and not is_known_lead(name):
        return None
    if not value.get("digits").strip():
        return name
    origin, origin_unit = number(value.get("origin@value") or "0"), mv_per_unit(value.get("origin@unit") or unit)
    if per_unit is None or not scale or origin is None or origin_unit is None:
        return name
    digits = value.get("digits")
    counts = (
        decimal_numbers(digits, file, name) if "." in digits or "e" in digits else whole_numbers(digits, file, name)
    )
    values = counts.astype(np.float64) * (scale * per_unit) + origin * origin_unit
    return StoredLead(name, values, abs(scale * per_unit))


def _filters(series: Element) -> Filters:
    found: dict[str, float | None] = {}
    for variable in series.all("controlvariable/controlvariable"):
        for part in variable.all("component/controlvariable"):
            if "FREQ" in _code(part):
                found[_code(variable).rpartition("FILTER_")[2]] = number(part.get("value@value")) or None
    return Filters(high_pass_hz=found.get("HIGH_PASS"), low_pass_hz=found.get("LOW_PASS"), notch_hz=found.get("NOTCH"))


def _person_name(person: Element) -> str:
    family, given = person.get("name/family"), person.get("name/given")
    return "^".join(filter(None, (family, given))) or person.get("name")


def _age(root: Element, person: Element) -> float | None:
    for observation in root.all("controlvariable/relatedobservation"):
        if _code(observation) == _AGE:
            return age_years(observation.get("value@value"), observation.get("value@unit"))
    return age_years(person.get("age"))


def _effective(element: Element) -> str:
    times = element.find("effectivetime") or Element("")
    return instant(times.get("low@value") or times.get("center@value") or times.get("@value"))


def _device(series: Element) -> str:
    author = series.find("author/seriesauthor") or Element("")
    names = (
        author.get("manufacturerorganization/name"),
        author.get("manufacturedseriesdevice/manufacturermodelname"),
    )
    return " ".join(filter(None, names))


def _notes(series: Element) -> tuple[DeviceNote, ...]:
    """What the device said of the recording and of its representative beat; nothing of single beats, waves, leads."""
    notes: list[DeviceNote] = []
    for holder in (series, *series.all("derivation/derivedseries")):
        for annotation in holder.all("subjectof/annotationset/component/annotation"):
            _collect(annotation, notes)
    return tuple(dict.fromkeys(notes))[:_MAX_NOTES]


def _collect(annotation: Element, notes: list[DeviceNote]) -> None:
    """Adds what this annotation and those in it say."""
    code = _code(annotation)
    if code.startswith(_LOCAL) or annotation.find("support") is not None or len(notes) > 4 * _MAX_NOTES:
        return
    inner = annotation.all("component/annotation")
    value = number(annotation.get("value@value"))
    text = annotation.get("value") or (annotation.get("value/translation") if not inner else "")
    if value is not None and not (value == 0 and inner):
        unit = annotation.get("value@unit")
        notes.append(DeviceNote(_measured(annotation), value, _UNITS.get(unit, unit)))
    elif text and annotation.get("value@type").upper() in ("", "ST", "ED"):
        notes.append(DeviceNote(text))
    for part in inner:
        _collect(part, notes)


def _measured(annotation: Element) -> str:
    code = _code(annotation)
    known = _MEASUREMENTS.get(code.upper())
    return known or annotation.get("code@displayname") or re.sub(r"^(MDC|MINDRAY)_ECG_", "", code).replace("_", " ")


# ---- writing ----


def write_aecg(signal: EcgSignal, identity: WaveformIdentity) -> bytes:
    """An aECG file (UTF-8) that holds the recording; same input, same bytes.

    One digit is the source's own step where that's known, else 1 uV: the round trip is within one of these.  The
    device's own words go with it as annotations.  Raises Invalid where a sample is missing (the format has no way to
    say so) or nobody knows when it was recorded.
    """
    if not np.isfinite(signal.samples).all():
        raise Invalid(
            zh="心电图中有缺失的样本，HL7 aECG 无法表示，请改用 DICOM。",
            en="Samples are missing in this ECG, which HL7 aECG cannot express; use DICOM.",
        )
    try:
        start = datetime.fromisoformat(identity.recorded_at or signal.recorded_at)
    except ValueError:
        raise Invalid(
            zh="不知道这份心电图的记录时间，请填写。", en="When this ECG was recorded is not known; please fill it in."
        ) from None
    end = start + timedelta(seconds=signal.seconds)
    parts = [
        '<?xml version="1.0" encoding="UTF-8"?>\n<AnnotatedECG xmlns="urn:hl7-org:v3" '
        'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" type="Observation">',
        f"<id root={_quoted(identity.sop_instance_uid)}/>",
        '<code code="93000" codeSystem="2.16.840.1.113883.6.12" codeSystemName="CPT-4"/>',
        _interval(start, end),
        *_written_subject(signal, identity),
        "<component><series>",
        f"<id root={_quoted(identity.series_instance_uid)}/>",
        f'<code code="RHYTHM" codeSystem="{_ACT}"/>',
        _interval(start, end),
        "<author><seriesAuthor><manufacturedSeriesDevice>"
        f"<manufacturerModelName>{_plain(signal.device)}</manufacturerModelName>"
        "</manufacturedSeriesDevice></seriesAuthor></author>",
        *_written_filters(signal.filters),
        "<component><sequenceSet>",
        f'<component><sequence><code code="TIME_ABSOLUTE" codeSystem="{_ACT}"/><value xsi:type="GLIST_TS">'
        f'<head value="{_stamp(start)}"/><increment value="{1 / signal.fs_hz!r}" unit="s"/></value></sequence></component>',
        *(_written_lead(signal, row) for row in range(len(signal.leads))),
        "</sequenceSet></component>",
        *_written_notes(signal.annotations),
        "</series></component></AnnotatedECG>\n",
    ]
    return "\n".join(parts).encode("utf-8")


def _written_subject(signal: EcgSignal, identity: WaveformIdentity) -> list[str]:
    sex = coded_sex(identity.sex or signal.sex)
    parts = [
        "<componentOf><timepointEvent><componentOf><subjectAssignment><subject><trialSubject>",
        f"<id root={_quoted(identity.study_instance_uid)} extension={_quoted(identity.patient_id or signal.patient_id)}/>",
        f"<subjectDemographicPerson><name>{_plain(identity.patient_name or signal.patient_name)}</name>",
        f'<administrativeGenderCode code="{ {"M": "M", "F": "F"}.get(sex, "UN") }" codeSystem="2.16.840.1.113883.5.1"/>',
        f"<birthTime value={_quoted(identity.birth_date or signal.birth_date)}/>",
        "</subjectDemographicPerson></trialSubject></subject></subjectAssignment></componentOf></timepointEvent>",
        "</componentOf>",
    ]
    if signal.age_years is not None:
        parts.append(
            f'<controlVariable><relatedObservation><code code="{_AGE}" codeSystem="2.16.840.1.113883.6.1"/>'
            f'<value xsi:type="PQ" value="{signal.age_years:g}" unit="a"/></relatedObservation></controlVariable>'
        )
    return parts


def _written_filters(filters: Filters) -> list[str]:
    return [
        f'<controlVariable><controlVariable><code code="MDC_ECG_CTL_VBL_ATTR_FILTER_{kind}" codeSystem="{_MDC}"/>'
        f'<component><controlVariable><code code="MDC_ECG_CTL_VBL_ATTR_FILTER_{part}" codeSystem="{_MDC}"/>'
        f'<value xsi:type="PQ" value="{hertz:g}" unit="Hz"/></controlVariable></component></controlVariable>'
        "</controlVariable>"
        for kind, part, hertz in (
            ("LOW_PASS", "CUTOFF_FREQ", filters.low_pass_hz),
            ("HIGH_PASS", "CUTOFF_FREQ", filters.high_pass_hz),
            ("NOTCH", "NOTCH_FREQ", filters.notch_hz),
        )
        if hertz
    ]


def _written_lead(signal: EcgSignal, row: int) -> str:
    name = signal.leads[row]
    code = f"MDC_ECG_LEAD_{name.upper()}" if is_known_lead(name) else name
    step_uv = f"{1000 * (signal.step_mv[row] if signal.step_mv and signal.step_mv[row] > 0 else 1e-3):.12g}"
    digits = np.rint(signal.samples[row] / (float(step_uv) * 1e-3)).astype(np.int64).tolist()
    return (
        f'<component><sequence><code code={_quoted(code)} codeSystem="{_MDC}"/><value xsi:type="SLIST_PQ">'
        f'<origin value="0" unit="uV"/><scale value="{step_uv}" unit="uV"/>'
        f"<digits>{' '.join(map(str, digits))}</digits></value></sequence></component>"
    )


def _written_notes(notes: tuple[DeviceNote, ...]) -> list[str]:
    if not notes:
        return []
    parts = ["<subjectOf><annotationSet>"]
    for note in notes[:_MAX_NOTES]:
        if note.value is None:
            head = f'<code code="{_STATEMENT}" codeSystem="{_MDC}"/>'
            value = f'<value xsi:type="ST">{_plain(note.text)}</value>'
        else:
            code = _CODES.get(note.text)
            head = f"<code code={_quoted(code or note.text)} displayName={_quoted(note.text)}/>"
            value = f'<value xsi:type="PQ" value="{note.value!r}" unit={_quoted(note.unit)}/>'
        parts.append(f"<component><annotation>{head}{value}</annotation></component>")
    return [*parts, "</annotationSet></subjectOf>"]


def _interval(start: datetime, end: datetime) -> str:
    return (
        f'<effectiveTime><low value="{_stamp(start)}"/><high value="{_stamp(end)}" inclusive="false"/></effectiveTime>'
    )


def _stamp(at: datetime) -> str:
    return f"{at:%Y%m%d%H%M%S}.{at.microsecond // 1000:03}{at:%z}"


def _plain(text: str) -> str:
    """The text as XML takes it: escaped, without control characters and halves of pairs."""
    return escape("".join(c if c >= " " and not "\ud800" <= c <= "\udfff" and c < "\ufffe" else " " for c in text))


def _quoted(text: str) -> str:
    return quoteattr("".join(c if c >= " " and not "\ud800" <= c <= "\udfff" else " " for c in text))
