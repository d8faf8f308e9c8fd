"""An ECG's preliminary read as DICOM: an ECG Report (PS3.16 TID 3700) and the median beat as a waveform of its own.

The report is a Comprehensive SR: a machine's, PARTIAL and UNVERIFIED.  Its global and lead measurements are TID 3713 and
3714 with the codes of ISO/IEEE 11073; statements, the critical tier and their evidence, for which the template family
has no rows, are rows of our own below it (the root template is extensible), with SNOMED CT or our own codes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import ComprehensiveSRStorage

from center.ports import StoredRead
from center.reads import (
    Code,
    Critical,
    CriticalRule,
    EvidenceLine,
    Measurement,
    MedianWaveform,
    PreliminaryRead,
    Reason,
    StatementLine,
)
from dicom_gateway.result_parts import MANUFACTURER, of_study, part10, put_uid, source_of, stamp
from dicom_gateway.result_uids import median_uids, read_uids, uid_of
from dicom_gateway.source_header import SourceHeader, line
from dicom_gateway.sr_tree import (
    MEASUREMENT_FAILURE,
    Coded,
    Relation,
    code_item,
    container,
    number_item,
    sequence,
    text_item,
    uid_item,
    unmeasured_item,
    waveform_item,
)

SERIES_OF_READS: Final = "AI 初读 未经医师确认"
SERIES_OF_MEDIANS: Final = "AI 中位心搏 未经医师确认"
_ECG_REPORT: Final = ("28010-7", "LN", "ECG Report")  # TID 3700 row 1
_PROCEDURE: Final = Coded("121058", "DCM", "Procedure reported")
_FINDING: Final = Coded("121071", "DCM", "Finding")
_LEAD_ID: Final = Coded("122148", "DCM", "Lead ID")
_SOURCE: Final = Coded("121112", "DCM", "Source of Measurement")
_WAVEFORM: Final = "1.2.840.10008.5.1.4.1.1.9."
_UNITS: Final = {
    "/min": Coded("{H.B.}/min", "UCUM", "BPM"),  # as TID 3713 has it
    "1": Coded("1", "UCUM", "no units"),
}
#: TID 3713 and CID 3689, 3229: codes of ISO/IEEE 11073-10102.
_GLOBAL: Final = {
    "heart_rate": ("2:16016", "Ventricular Heart Rate"),
    "qt_interval": ("2:16160", "QT interval global"),
    "pr_interval": ("2:15872", "PR interval global"),
    "qrs_duration": ("2:16156", "QRS duration global"),
    "rr_mean": ("2:16168", "RR interval global"),
    "atrial_rate": ("2:16020", "Atrial Heart Rate"),
    "qtc_fridericia": ("2:15892", "QTc global using Fredericia formula"),
    "qtc_bazett": ("2:15880", "QTc global using Bazett formula"),
    "p_duration": ("2:16184", "P duration global"),
    "pr_segment": ("2:16148", "PQ segment time period, global"),
    "p_axis": ("2:16128", "P Axis"),
    "qrs_axis": ("2:16132", "QRS axis"),
    "t_axis": ("2:16136", "T axis"),
}
_FILE_ISSUES: Final = Coded("FILE_ISSUES", "99HELAN", "What is known of the recording's file")
_MOST_ISSUES: Final = 50
_MANDATORY: Final = ("heart_rate", "qt_interval", "pr_interval", "qrs_duration", "rr_mean")
#: TID 3714: CID 3687 (durations) and 3690 (voltages) by lead.
_BY_LEAD: Final = {
    "p_amplitude": ("2:1280", "P maximum amplitude, per lead"),
    "p_negative": ("2:1536", "P minimum amplitude, per lead"),
    "q_amplitude": ("2:1792", "Q amplitude, per lead"),
    "r_amplitude": ("2:2048", "R amplitude, per lead"),
    "s_amplitude": ("2:2304", "S amplitude, per lead"),
    "r_prime": ("2:13056", "R2 amplitude, per lead"),
    "s_prime": ("2:13824", "S2 amplitude, per lead"),
    "t_amplitude": ("2:2560", "T maximum amplitude, per lead"),
    "t_negative": ("2:2816", "T minimum amplitude, per lead"),
    "p_duration": ("2:6656", "P duration per lead"),
    "q_duration": ("2:7680", "Q duration, per lead"),
    "r_duration": ("2:11264", "R1 duration, per lead"),
    "s_duration": ("2:12032", "S1 duration, per lead"),
    "vat": ("2:11008", "Ventricular activation time, per lead"),
    "st_j": ("2:1024", "J point Amplitude, per lead"),
    "st_j40": ("2:15104", "Amplitude at 40 ms into ST segment, per lead"),
    "st_j60": ("2:14336", "Amplitude at 60 ms into ST segment, per lead"),
    "st_j80": ("2:14592", "Amplitude at 80 ms into ST segment, per lead"),
}
#: Ours gives magnitudes where DICOM gives signed minima.
_DOWNWARD: Final = frozenset({"p_negative", "q_amplitude", "s_amplitude", "s_prime", "t_negative"})
#: CID 3001; numbers of SCP-ECG, the same in ISO/IEEE 11073.
_LEADS: Final = {
    **{name: (n, f"Lead {name}") for n, name in enumerate(("I", "II", "V1", "V2", "V3", "V4", "V5", "V6", "V7"), 1)},
    **{f"V{k}R": (7 + k, f"Lead V{k}R") for k in range(3, 8)},
    "III": (61, "Lead III"),
    "aVR": (62, "aVR, augmented voltage, right"),
    "aVL": (63, "aVL, augmented voltage, left"),
    "aVF": (64, "aVF, augmented voltage, foot"),
    "V8": (66, "Lead V8"),
    "V9": (67, "Lead V9"),
}
_STANDARD: Final = frozenset({"I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6"})
#: CID 3677.
_SUMMARY: Final = {
    "normal": Coded("164854000", "SCT", "Normal ECG"),
    "abnormal": Coded("102594003", "SCT", "Abnormal ECG"),
    "borderline": Coded("251135002", "SCT", "Borderline Normal ECG"),
    "uninterpretable": Coded("122753", "DCM", "Non-diagnostic ECG"),
}
_TWELVE_LEAD: Final = "1.2.840.10008.5.1.4.1.1.9.1.1"
_GENERAL: Final = "1.2.840.10008.5.1.4.1.1.9.1.2"
_MOST_LEADS: Final = 24  # of a multiplex group (PS3.3 A.34.4)


def ecg_read_as_sr(kept: StoredRead, evidence: list[SourceHeader], zone: str) -> bytes:
    """The report as Part 10 bytes, the same for the same read.  evidence: headers of what the model read."""
    uids, read = read_uids(kept.clinic_id, kept.study_uid, kept.read), kept.read
    sr = of_study(evidence[0])
    sr.SOPClassUID, sr.SOPInstanceUID, sr.SeriesInstanceUID = ComprehensiveSRStorage, uids.instance, uids.series
    sr.Modality, sr.SeriesNumber, sr.InstanceNumber = "SR", 9001, 1
    sr.SeriesDescription = SERIES_OF_READS
    sr.Manufacturer, sr.InstitutionName = MANUFACTURER, MANUFACTURER
    sr.ManufacturerModelName, sr.SoftwareVersions, sr.DeviceSerialNumber = read.model[:64], read.version[:64], "1"
    sr.ReferencedPerformedProcedureStepSequence, sr.PerformedProcedureCodeSequence = [], []
    sr.CurrentRequestedProcedureEvidenceSequence = [_evidence_of(evidence)]
    sr.CompletionFlag, sr.VerificationFlag, sr.PreliminaryFlag = "PARTIAL", "UNVERIFIED", "PRELIMINARY"
    sr.ValueType, sr.ContinuityOfContent = "CONTAINER", "SEPARATE"
    sr.ConceptNameCodeSequence = [_coded(*_ECG_REPORT)]
    template = Dataset()
    template.MappingResource, template.TemplateIdentifier = "DCMR", "3700"
    sr.ContentTemplateSequence = [template]
    stamp(sr, kept.made_at.astimezone(ZoneInfo(zone)))
    # (0040,A730) is the last of all tags that are there, so the tree goes behind what the library wrote
    return part10(sr) + sequence(0x0040, 0xA730, _content(read, evidence))


def _evidence_of(headers: list[SourceHeader]) -> Dataset:
    """Which instances the read was made of (PS3.3 C.17.2)."""
    by_series: dict[str, list[SourceHeader]] = {}
    for header in headers:
        by_series.setdefault(header.series_uid, []).append(header)
    study = Dataset()
    put_uid(study, "StudyInstanceUID", headers[0].study_uid)
    study.ReferencedSeriesSequence = []
    for uid, of_series in by_series.items():
        series = Dataset()
        put_uid(series, "SeriesInstanceUID", uid)
        series.ReferencedSOPSequence = [source_of(header) for header in of_series]
        study.ReferencedSeriesSequence.append(series)
    return study


def median_as_waveform(kept: StoredRead, header: SourceHeader, zone: str) -> bytes:
    """The median beat as a 12-lead or general ECG that says it is derived (PS3.3 A.34); Part 10 bytes.

    header: of the recording that it was made of.  Raises ValueError where the read has no median beat.
    """
    median = kept.read.median
    if median is None:
        raise ValueError("no median beat")
    uids, made_at = median_uids(kept.clinic_id, kept.study_uid, kept.read), kept.made_at.astimezone(ZoneInfo(zone))
    made = of_study(header)
    is_standard = frozenset(median.leads) == _STANDARD and len(median.leads) == len(_STANDARD)
    made.SOPClassUID = _TWELVE_LEAD if is_standard and 200 <= median.fs_hz <= 1000 else _GENERAL
    made.SOPInstanceUID, made.SeriesInstanceUID = uids.instance, uids.series
    made.Modality, made.SeriesNumber, made.InstanceNumber = "ECG", 9003, 1
    made.SeriesDescription = SERIES_OF_MEDIANS
    made.Manufacturer, made.ManufacturerModelName, made.SoftwareVersions = (
        MANUFACTURER,
        kept.read.model[:64],
        kept.read.version[:64],
    )
    made.AcquisitionContextSequence = []
    made.ReferencedInstanceSequence = [_made_of(header)]
    made.WaveformAnnotationSequence = _marks(median)
    made.WaveformSequence = [_group_of(median)]
    stamp(made, made_at)
    made.AcquisitionDateTime = made_at.strftime("%Y%m%d%H%M%S%z")
    return part10(made)


# ---------------------------------------------------------------- the report
def _content(read: PreliminaryRead, headers: list[SourceHeader]) -> list[bytes]:
    """The items below the root, in the order of the template."""
    items = [*_observer(read), code_item("HAS CONCEPT MOD", _PROCEDURE, _procedure(read))]
    items.append(_global(read))
    items += _leads(read)
    if read.statements:
        items.append(container("CONTAINS", Coded("121070", "DCM", "Findings"), map(_statement, read.statements)))
    if read.critical is not None:
        items.append(_critical(read.critical))
    if read.issues:
        items.append(container("CONTAINS", _FILE_ISSUES, map(_issue, read.issues[:_MOST_ISSUES])))
    if summary := [_SUMMARY[s.key] for s in read.statements if s.key in _SUMMARY]:
        concluded = [code_item("CONTAINS", _FINDING, concept) for concept in summary]
        items.append(container("CONTAINS", Coded("55112-7", "LN", "Summary"), concluded))
    items.append(
        _text("STATUS", "Whether a person has confirmed it", "机器初读，未经医师确认 | not confirmed by a physician")
    )
    waveforms = [h for h in headers if h.sop_class_uid.startswith(_WAVEFORM)]
    return items + [waveform_item("CONTAINS", _SOURCE, h.sop_class_uid, h.sop_uid) for h in waveforms]


def _observer(read: PreliminaryRead) -> list[bytes]:
    """TID 1002 and 1004: a device observed."""
    context = "HAS OBS CONTEXT"
    return [
        code_item(context, Coded("121005", "DCM", "Observer Type"), Coded("121007", "DCM", "Device")),
        uid_item(context, Coded("121012", "DCM", "Device Observer UID"), uid_of("device", read.model, read.version)),
        text_item(context, Coded("121013", "DCM", "Device Observer Name"), f"{read.model} {read.version}"),
        text_item(context, Coded("121014", "DCM", "Device Observer Manufacturer"), MANUFACTURER),
        text_item(context, Coded("121015", "DCM", "Device Observer Model Name"), read.model),
    ]


def _procedure(read: PreliminaryRead) -> Coded:
    twelve = {m.lead for m in read.measurements if m.lead} >= _STANDARD
    return Coded("268400002", "SCT", "12-Lead ECG") if twelve else Coded("29303009", "SCT", "Electrocardiogram")


def _global(read: PreliminaryRead) -> bytes:
    """TID 3713: a mandatory value that could not be measured is there, empty, and says so."""
    found = {m.key: m for m in read.measurements if not m.lead}
    order = [*_MANDATORY, *(k for k in _GLOBAL if k not in _MANDATORY), *(k for k in found if k not in _GLOBAL)]
    items = [
        _measured(found[k], _GLOBAL) if k in found else unmeasured_item("CONTAINS", Coded(_GLOBAL[k][0], "MDC", _GLOBAL[k][1]), MEASUREMENT_FAILURE)
        for k in order
        if k in found or k in _MANDATORY
    ]  # fmt: skip
    return container("CONTAINS", Coded("122158", "DCM", "ECG Global Measurements"), items, "3713")


def _leads(read: PreliminaryRead) -> Iterable[bytes]:
    """TID 3714, one container a lead."""
    by_lead: dict[str, list[Measurement]] = {}
    for m in read.measurements:
        if m.lead in _LEADS:
            by_lead.setdefault(m.lead, []).append(m)
    for lead, measured in by_lead.items():
        items = [code_item("HAS CONCEPT MOD", _LEAD_ID, _lead(lead)), *(_measured(m, _BY_LEAD) for m in measured)]
        yield container("CONTAINS", Coded("122159", "DCM", "ECG Lead Measurements"), items, "3714")


def _lead(name: str) -> Coded:
    number, meaning = _LEADS.get(name, (0, "Unspecified lead"))
    return Coded(f"2:{number}", "MDC", meaning)


def _measured(m: Measurement, names: dict[str, tuple[str, str]]) -> bytes:
    value = -m.value if m.lead and m.key in _DOWNWARD else m.value
    name = Coded(names[m.key][0], "MDC", names[m.key][1]) if m.key in names else _concept(m.codes, m.key, m.en)
    about = (
        [] if m.lead else _certainty(m.certainty)
    )  # by lead the template has no place for it, and it doubles the tree
    return number_item("CONTAINS", name, value, _unit(m.unit), about)


def _statement(said: StatementLine) -> bytes:
    words = _text("STATEMENT", "The statement in words", f"{said.zh} | {said.en}", "HAS PROPERTIES")
    children = [words, *_certainty(said.certainty), *map(_evidence, said.evidence)]
    return code_item("CONTAINS", _FINDING, _concept(said.codes, said.key, said.en), children)


def _critical(critical: Critical) -> bytes:
    """The tier with its rules; a machine's tier asks for a reader and alarms no clinic."""
    tier = critical.tier.value
    applied = _text("PROFILE", "Rules applied", f"{critical.profile} {critical.version}", "HAS PROPERTIES")
    graded = code_item(
        "CONTAINS", Coded("CRITICAL_TIER", "99HELAN", "Critical tier of the machine's read"),
        Coded(tier.upper(), "99HELAN", f"Critical tier {tier}"), [applied],
    )  # fmt: skip
    name = Coded("CRITICAL", "99HELAN", "Critical value rules")
    return container("CONTAINS", name, [graded, *map(_rule, critical.rules)])


def _issue(issue: Reason) -> bytes:
    """What is known of the file: its code and the words in both languages."""
    return _text("FILE_ISSUE", "What is known of the file", f"{issue.code}: {issue.zh} | {issue.en}")


def _rule(rule: CriticalRule) -> bytes:
    words = _text("RULE", "The rule in words", f"{rule.tier.value}: {rule.zh} | {rule.en}", "HAS PROPERTIES")
    source = [_text("SOURCE", "Where it is taken from", rule.source, "HAS PROPERTIES")] if rule.source else []
    met = Coded(rule.rule.upper()[:16], "99HELAN", rule.en[:64])
    children = [words, *source, *map(_evidence, rule.evidence)]
    return code_item("CONTAINS", Coded("CRITICAL_RULE", "99HELAN", "Rule that was met"), met, children)


def _evidence(seen: EvidenceLine) -> bytes:
    """Why: a number with its limit, lead, time and source, or the words alone."""
    about = [code_item("HAS CONCEPT MOD", _LEAD_ID, _lead(seen.lead))] if seen.lead in _LEADS else []
    for key, meaning, words in (
        ("LIMIT", "Limit that was passed", seen.limit), ("SOURCE", "Where the limit is taken from", seen.source),
    ):  # fmt: skip
        about += [_text(key, meaning, words, "HAS PROPERTIES")] if words else []
    for key, value in (("START_S", seen.start_s), ("END_S", seen.end_s)):
        name = Coded(key, "99HELAN", "Seconds from the recording's begin")
        about += [number_item("HAS PROPERTIES", name, value, _unit("s"))] if value is not None else []
    if seen.value is None:
        words = f"{seen.zh or seen.key} | {seen.en or seen.key}"
        return text_item("INFERRED FROM", Coded("EVIDENCE", "99HELAN", "What was seen"), words, about)
    pair = (_BY_LEAD if seen.lead else _GLOBAL).get(seen.key)
    name = Coded(pair[0], "MDC", pair[1]) if pair else _concept((), seen.key, seen.en or seen.key)
    return number_item("INFERRED FROM", name, seen.value, _unit(seen.unit), about)


def _text(key: str, meaning: str, words: str, relation: Relation = "CONTAINS") -> bytes:
    return text_item(relation, Coded(key, "99HELAN", meaning), words[:1024])


def _certainty(value: float | None) -> list[bytes]:
    name = Coded("CERTAINTY", "99HELAN", "Certainty, 0 to 1")
    return [] if value is None else [number_item("HAS PROPERTIES", name, value, _UNITS["1"])]


def _unit(unit: str) -> Coded:
    return _UNITS.get(unit) or Coded(unit or "1", "UCUM", unit or "no units")


def _concept(given: tuple[Code, ...], key: str, meaning: str) -> Coded:
    """The first code of a scheme that DICOM knows; else ours."""
    for one in given:
        if one.scheme in ("SCT", "LN", "DCM") and len(one.value) <= 16:
            return Coded(one.value, one.scheme, one.meaning)
    return Coded(key.upper()[:16], "99HELAN", meaning)


# ---------------------------------------------------------------- the median beat
def _made_of(header: SourceHeader) -> Dataset:
    item = source_of(header)
    item.PurposeOfReferenceCodeSequence = [_coded("121112", "DCM", "Source of Measurement")]
    return item


def _group_of(median: MedianWaveform) -> Dataset:
    leads = median.leads[:_MOST_LEADS]
    counts = np.array(median.uv[: len(leads)], dtype="<i2").T
    group = Dataset()
    group.WaveformOriginality, group.MultiplexGroupLabel = "DERIVED", "MEDIAN BEAT"
    group.NumberOfWaveformChannels, group.NumberOfWaveformSamples = len(leads), counts.shape[0]
    group.SamplingFrequency = f"{median.fs_hz:g}"
    group.ChannelDefinitionSequence = [_channel(lead, n) for n, lead in enumerate(leads, 1)]
    group.WaveformBitsAllocated, group.WaveformSampleInterpretation = 16, "SS"
    group.add_new(0x54001010, "OW", counts.tobytes())
    return group


def _channel(lead: str, number: int) -> Dataset:
    channel = Dataset()
    channel.WaveformChannelNumber, channel.ChannelLabel = number, line(lead, 16)
    source = _lead(lead)
    channel.ChannelSourceSequence = [_coded(source.value, "MDC", source.meaning)]
    channel.ChannelSensitivity, channel.ChannelBaseline = "1", "0"
    channel.ChannelSensitivityUnitsSequence = [_coded("uV", "UCUM", "microvolt")]
    channel.ChannelSensitivityCorrectionFactor, channel.ChannelSampleSkew = "1", "0"
    channel.WaveformBitsStored = 16
    return channel


def _marks(median: MedianWaveform) -> list[Dataset]:
    """Where its waves begin and end, as annotations at their samples (PS3.3 C.10.10)."""
    out: list[Dataset] = []
    for n, (key, sample) in enumerate(median.marks.items(), 1):
        item = Dataset()
        item.UnformattedTextValue = key
        item.ReferencedWaveformChannels = [1, 0]
        item.TemporalRangeType = "POINT"
        item.ReferencedSamplePositions = [sample + 1]
        item.AnnotationGroupNumber = n
        out.append(item)
    return out


def _coded(value: str, scheme: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning[:64]
    return item
