"""A recording -> what can be said before the engine is there: rate, regularity, signal quality.  No diagnosis."""

from __future__ import annotations

from typing import Final

from center.reads import Code, Measurement, ModelInput, Outcome, PreliminaryRead, Reason
from ecg.quality import assess
from ecg.xqrs import Beats, find_beats

MODEL: Final = "ecg_rate_xqrs"
VERSION: Final = "1.0.0"
_NO_RECORDING: Final = Reason("not_an_ecg", zh="没有可读的心电记录。", en="There is no ECG recording to read.")

_REGULARITY: Final = {
    "regular": ("节律规整", "Regular"),
    "irregular": ("节律不齐", "Irregular"),
    "unknown": ("节律不能确定", "Regularity not certain"),
}


def read_ecg(model_input: ModelInput) -> PreliminaryRead:
    """Heart rate and its regularity from wfdb's XQRS, with the signal's quality; abstains where that's poor."""
    recording = model_input.recording
    if recording is None or not recording.leads:
        return _abstained(model_input, _NO_RECORDING)
    quality = assess(recording.signal, recording.leads, recording.fs_hz)
    beats = find_beats(recording, quality)
    fields = quality.as_fields()
    if isinstance(beats, Reason):
        return _abstained(model_input, beats, fields, {"fs_hz": recording.fs_hz})
    return PreliminaryRead(
        kind="ecg",
        model=MODEL,
        version=VERSION,
        input_digest=model_input.input_digest,
        outcome=Outcome.READ,
        measurements=_measurements(beats),
        quality=fields | _regularity(beats),
        extra={"fs_hz": recording.fs_hz, "beats": [{"sample": sample} for sample in beats.samples]},
    )


def _measurements(beats: Beats) -> tuple[Measurement, ...]:
    rate = Measurement(
        key="heart_rate",
        zh="心率",
        en="Heart rate",
        value=round(beats.rate_per_min, 1),
        unit="/min",
        codes=(Code("8867-4", "LN", "Heart rate"),),
    )
    variation = Measurement(
        key="rr_variation",
        zh="RR 间期变异",
        en="RR interval variation",
        value=round(beats.rr_variation_percent, 1),
        unit="%",
        codes=(Code("rr_variation", "99HELAN", "Standard deviation of RR intervals over their mean"),),
    )
    return (rate,) if beats.regularity == "unknown" else (rate, variation)


def _regularity(beats: Beats) -> dict[str, object]:
    """What a page says beside the rate; no rhythm is named."""
    zh, en = _REGULARITY[beats.regularity]
    return {
        "regularity": beats.regularity,
        "regularity_zh": zh,
        "regularity_en": en,
        "beats": len(beats.samples),
        "lead": beats.lead,
        "beat_similarity": round(beats.similarity, 2),
        "analysed_s": round(beats.analysed_s, 1),
    }


def _abstained(
    model_input: ModelInput,
    reason: Reason,
    quality: dict[str, object] | None = None,
    extra: dict[str, object] | None = None,
) -> PreliminaryRead:
    return PreliminaryRead(
        kind="ecg",
        model=MODEL,
        version=VERSION,
        input_digest=model_input.input_digest,
        outcome=Outcome.ABSTAINED,
        reason=reason,
        quality=quality or {},
        extra=extra or {},
    )
