"""An ECG's preliminary read as DICOM: an ECG Report (PS3.16 TID 3700) and the median beat as a waveform of its own.

The report is a Comprehensive SR: a machine's, PARTIAL and UNVERIFIED.  Its global and lead measurements are TID 3713 and
3714 with the codes of ISO/IEEE 11073; statements, the critical tier and their evidence, for which the template family
has no rows, are rows of our own below it (the root template is extensible), with SNOMED CT or our own codes.
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Sequence as Several
from typing import Any, Final
from zoneinfo import ZoneInfo

import numpy as np
from highdicom.sr import (
    CodeContentItem,
    CodedConcept,
    ComprehensiveSR,
    ContainerContentItem,
    ContentSequence,
    NumContentItem,
    RelationshipTypeValues,
    TextContentItem,
    WaveformContentItem,
)
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.sr.codedict import codes

from center.ports import StoredRead
from center.reads import (
    Code,
    Critical,
    CriticalRule,
    EvidenceLine,
    Measurement,
    MedianWaveform,
    PreliminaryRead,
    StatementLine,
)
from dicom_gateway.result_parts import MANUFACTURER, observer, of_study, part10, source_of, stamp, utf8
from dicom_gateway.result_uids import median_uids, read_uids

SERIES_OF_READS: Final = "AI 初读 未经医师确认"
SERIES_OF_MEDIANS: Final = "AI 中位心搏 未经医师确认"
_CONTAINS, _MODIFIES, _HAS, _FROM = (
    RelationshipTypeValues.CONTAINS,
    RelationshipTypeValues.HAS_CONCEPT_MOD,
    RelationshipTypeValues.HAS_PROPERTIES,
    RelationshipTypeValues.INFERRED_FROM,
)
_ECG_REPORT: Final = CodedConcept("28010-7", "LN", "ECG Report")  # TID 3700 row 1
_UNITS: Final = {
    "/min": CodedConcept("{H.B.}/min", "UCUM", "BPM"),  # as TID 3713 has it
    "1": CodedConcept("1", "UCUM", "no units"),
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
    "normal": CodedConcept("164854000", "SCT", "Normal ECG"),
    "abnormal": CodedConcept("102594003", "SCT", "Abnormal ECG"),
    "borderline": CodedConcept("251135002", "SCT", "Borderline Normal ECG"),
    "uninterpretable": CodedConcept("122753", "DCM", "Non-diagnostic ECG"),
}
_TWELVE_LEAD: Final = "1.2.840.10008.5.1.4.1.1.9.1.1"
_GENERAL: Final = "1.2.840.10008.5.1.4.1.1.9.1.2"
_MOST_LEADS: Final = 24  # of a multiplex group (PS3.3 A.34.4)


def ecg_read_as_sr(kept: StoredRead, evidence: list[Dataset], zone: str) -> bytes:
    """The report as Part 10 bytes, the same for the same read.  evidence: headers of what the model read."""
    uids, read = read_uids(kept.clinic_id, kept.study_uid, kept.read), kept.read
    headers = [utf8(header) for header in evidence]
    sr = ComprehensiveSR(
        evidence=headers,
        content=_report(read),
        series_instance_uid=uids.series,
        series_number=9001,
        sop_instance_uid=uids.instance,
        instance_number=1,
        manufacturer=MANUFACTURER,
        is_complete=False,
        is_final=False,
        is_verified=False,
        institution_name=MANUFACTURER,
        manufacturer_model_name=read.model[:64],
        software_versions=read.version,
        device_serial_number="1",
    )
    # the library reads neither empty values nor WAVEFORM items back: they go in behind its copy of the tree
    for item in _unmeasured(sr):
        item.MeasuredValueSequence = []
    sr.ContentSequence = Sequence([*sr.ContentSequence, *(_waveform(h) for h in headers if _is_waveform(h))])
    sr.SpecificCharacterSet = "ISO_IR 192"
    sr.SeriesDescription = SERIES_OF_READS
    sr.CompletionFlag, sr.VerificationFlag, sr.PreliminaryFlag = "PARTIAL", "UNVERIFIED", "PRELIMINARY"
    stamp(sr, kept.made_at.astimezone(ZoneInfo(zone)))
    return part10(sr)


def median_as_waveform(kept: StoredRead, header: Dataset, zone: str) -> bytes:
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
        kept.read.version,
    )
    made.AcquisitionContextSequence = []
    if "SOPClassUID" in header:
        made.ReferencedInstanceSequence = [_made_of(header)]
    made.WaveformAnnotationSequence = _marks(median)
    made.WaveformSequence = [_group_of(median)]
    stamp(made, made_at)
    made.AcquisitionDateTime = made_at.strftime("%Y%m%d%H%M%S%z")
    return part10(made)


# ---------------------------------------------------------------- the report
def _report(read: PreliminaryRead) -> ContainerContentItem:
    root = ContainerContentItem(name=_ECG_REPORT, template_id="3700")
    items: list[Any] = [*observer(read)]
    items.append(_code(codes.DCM.ProcedureReported, _procedure(read), _MODIFIES))
    items.append(_global(read))
    items += _leads(read)
    if read.statements:
        items.append(_container(codes.DCM.Findings, [_statement(s) for s in read.statements]))
    if read.critical is not None:
        items.append(_critical(read.critical))
    if summary := [_SUMMARY[s.key] for s in read.statements if s.key in _SUMMARY]:
        items.append(_container(CodedConcept("55112-7", "LN", "Summary"), [_finding(c) for c in summary]))
    items.append(
        _text("STATUS", "Whether a person has confirmed it", "机器初读，未经医师确认 | not confirmed by a physician")
    )
    root.ContentSequence = ContentSequence(items)
    return root


def _procedure(read: PreliminaryRead) -> CodedConcept:
    leads = {m.lead for m in read.measurements if m.lead}
    twelve = leads >= _STANDARD
    return CodedConcept("268400002", "SCT", "12-Lead ECG") if twelve else CodedConcept("29303009", "SCT", "Electrocardiogram")  # fmt: skip


def _is_waveform(header: Dataset) -> bool:
    return str(header.get("SOPClassUID", "")).startswith("1.2.840.10008.5.1.4.1.1.9.")


def _waveform(header: Dataset) -> WaveformContentItem:
    return WaveformContentItem(
        name=CodedConcept("121112", "DCM", "Source of Measurement"),
        referenced_sop_class_uid=header.SOPClassUID,
        referenced_sop_instance_uid=header.SOPInstanceUID,
        relationship_type=_CONTAINS,
    )


def _global(read: PreliminaryRead) -> ContainerContentItem:
    """TID 3713: a mandatory value that could not be measured is there, empty, and says so."""
    found = {m.key: m for m in read.measurements if not m.lead}
    order = [*_MANDATORY, *(k for k in _GLOBAL if k not in _MANDATORY), *(k for k in found if k not in _GLOBAL)]
    items = [
        _measured(found[k], _GLOBAL) if k in found else _missing(k) for k in order if k in found or k in _MANDATORY
    ]
    return _container(codes.DCM.ECGGlobalMeasurements, items, template="3713")


def _leads(read: PreliminaryRead) -> Iterable[ContainerContentItem]:
    """TID 3714, one container a lead."""
    by_lead: dict[str, list[Measurement]] = {}
    for m in read.measurements:
        if m.lead in _LEADS:
            by_lead.setdefault(m.lead, []).append(m)
    for lead, measured in by_lead.items():
        name = _code(CodedConcept("122148", "DCM", "Lead ID"), _lead(lead), _MODIFIES)
        yield _container(
            codes.DCM.ECGLeadMeasurements, [name, *(_measured(m, _BY_LEAD) for m in measured)], template="3714"
        )


def _lead(name: str) -> CodedConcept:
    number, meaning = _LEADS.get(name, (0, "Unspecified lead"))
    return CodedConcept(f"2:{number}", "MDC", meaning)


def _measured(m: Measurement, names: dict[str, tuple[str, str]]) -> NumContentItem:
    value = -m.value if m.lead and m.key in _DOWNWARD else m.value
    name = CodedConcept(names[m.key][0], "MDC", names[m.key][1]) if m.key in names else _concept(m.codes, m.key, m.en)
    item = NumContentItem(name=name, value=_told(value), unit=_unit(m.unit), relationship_type=_CONTAINS)
    if m.certainty is not None:
        item.ContentSequence = ContentSequence([_certainty(m.certainty)])
    return item


def _missing(key: str) -> NumContentItem:
    """No value, and why (PS3.3 C.18.1, CID 42)."""
    code, meaning = _GLOBAL[key]
    unit = _unit("/min" if key.endswith("rate") else "ms")
    failed = CodedConcept("114006", "DCM", "Measurement failure")
    name = CodedConcept(code, "MDC", meaning)  # its value is taken out by _unmeasured
    return NumContentItem(name=name, value=0, unit=unit, qualifier=failed, relationship_type=_CONTAINS)


def _unmeasured(sr: Dataset) -> list[Dataset]:
    """The numbers that say why they have none."""
    tops = [i for i in sr.ContentSequence if "ContentSequence" in i]
    return [n for i in tops for n in i.ContentSequence if "NumericValueQualifierCodeSequence" in n]


def _statement(said: StatementLine) -> CodeContentItem:
    item = _finding(_concept(said.codes, said.key, said.en))
    children = [
        _text("STATEMENT", "The statement in words", f"{said.zh} | {said.en}", _HAS),
        _certainty(said.certainty),
    ]
    item.ContentSequence = ContentSequence([*children, *(_evidence(e) for e in said.evidence)])
    return item


def _critical(critical: Critical) -> ContainerContentItem:
    """The tier with its rules; a machine's tier asks for a reader and alarms no clinic."""
    tier = CodedConcept(critical.tier.value.upper(), "99HELAN", f"Critical tier {critical.tier.value}")
    graded = _code(CodedConcept("CRITICAL_TIER", "99HELAN", "Critical tier of the machine's read"), tier, _CONTAINS)
    graded.ContentSequence = ContentSequence(
        [_text("PROFILE", "Rules applied", f"{critical.profile} {critical.version}", _HAS)]
    )
    return _container(
        CodedConcept("CRITICAL", "99HELAN", "Critical value rules"), [graded, *(_rule(r) for r in critical.rules)]
    )


def _rule(rule: CriticalRule) -> CodeContentItem:
    met = CodedConcept(rule.rule.upper()[:16], "99HELAN", rule.en[:64])
    item = _code(CodedConcept("CRITICAL_RULE", "99HELAN", "Rule that was met"), met, _CONTAINS)
    words = _text("RULE", "The rule in words", f"{rule.tier.value}: {rule.zh} | {rule.en}", _HAS)
    source = [_text("SOURCE", "Where it is taken from", rule.source, _HAS)] if rule.source else []
    item.ContentSequence = ContentSequence([words, *source, *(_evidence(e) for e in rule.evidence)])
    return item


def _evidence(seen: EvidenceLine) -> NumContentItem | TextContentItem:
    """Why: a number with its limit, lead, time and source, or the words alone."""
    about = [
        *([_code(CodedConcept("122148", "DCM", "Lead ID"), _lead(seen.lead), _MODIFIES)] if seen.lead in _LEADS else []),
        *([_text("LIMIT", "Limit that was passed", seen.limit, _HAS)] if seen.limit else []),
        *([_text("SOURCE", "Where the limit is taken from", seen.source, _HAS)] if seen.source else []),
        *_seconds(seen),
    ]  # fmt: skip
    if seen.value is None:
        item: Any = _text("EVIDENCE", "What was seen", f"{seen.zh or seen.key} | {seen.en or seen.key}", _FROM)
    else:
        named = _GLOBAL if not seen.lead else _BY_LEAD
        pair = named.get(seen.key)
        name = CodedConcept(pair[0], "MDC", pair[1]) if pair else _concept((), seen.key, seen.en or seen.key)
        item = NumContentItem(name=name, value=_told(seen.value), unit=_unit(seen.unit), relationship_type=_FROM)
    if about:
        item.ContentSequence = ContentSequence(about)
    return item


def _seconds(seen: EvidenceLine) -> list[NumContentItem]:
    out: list[NumContentItem] = []
    for value, key in ((seen.start_s, "START_S"), (seen.end_s, "END_S")):
        if value is not None:
            name = CodedConcept(key, "99HELAN", "Seconds from the recording's begin")
            out.append(NumContentItem(name=name, value=_told(value), unit=_unit("s"), relationship_type=_HAS))
    return out


# ---------------------------------------------------------------- small parts
def _container(name: Any, items: Several[Any], template: str | None = None) -> ContainerContentItem:
    item = ContainerContentItem(name=name, template_id=template, relationship_type=_CONTAINS)
    item.ContentSequence = ContentSequence(list(items))
    return item


def _finding(concept: CodedConcept) -> CodeContentItem:
    return _code(codes.DCM.Finding, concept, _CONTAINS)


def _code(name: Any, value: Any, relation: RelationshipTypeValues) -> CodeContentItem:
    return CodeContentItem(name=name, value=value, relationship_type=relation)


def _text(
    key: str, meaning: str, words: str, relation: RelationshipTypeValues = RelationshipTypeValues.CONTAINS
) -> TextContentItem:
    return TextContentItem(name=CodedConcept(key, "99HELAN", meaning), value=words[:1024], relationship_type=relation)


def _certainty(value: float) -> NumContentItem:
    name = CodedConcept("CERTAINTY", "99HELAN", "Certainty, 0 to 1")
    return NumContentItem(name=name, value=_told(value), unit=_UNITS["1"], relationship_type=_HAS)


def _unit(unit: str) -> CodedConcept:
    return _UNITS.get(unit) or CodedConcept(unit or "1", "UCUM", unit or "no units")


def _concept(given: tuple[Code, ...], key: str, meaning: str) -> CodedConcept:
    """The first code of a scheme that DICOM knows; else ours."""
    for code in given:
        if code.scheme in ("SCT", "LN", "DCM") and len(code.value) <= 16:
            return CodedConcept(code.value, code.scheme, code.meaning[:64])
    return CodedConcept(key.upper()[:16], "99HELAN", meaning[:64])


def _told(value: float) -> float:
    """As a decimal string holds it: six figures, 16 characters."""
    return float(f"{value:.6g}")


# ---------------------------------------------------------------- the median beat
def _made_of(header: Dataset) -> Dataset:
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
    channel.WaveformChannelNumber, channel.ChannelLabel = number, lead[:16]
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
