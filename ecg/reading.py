"""A recording -> what can be said before the engine is there: rate, regularity, signal quality.  No diagnosis."""

from __future__ import annotations

from typing import Final

from center.reads import Code, Measurement, ModelInput, Outcome, PreliminaryRead, Reason
from ecg.beats import Beats, find_beats
from ecg.quality import Grade, SignalQuality, assess

MODEL: Final = "ecg_rate_xqrs"
VERSION: Final = "1.0.0"
_NO_RECORDING: Final = Reason("not_an_ecg", zh="没有可读的心电记录。", en="There is no ECG recording to read.")


def read_ecg(model_input: ModelInput) -> PreliminaryRead:
    """Heart rate and its regularity from wfdb's XQRS, with the signal's quality; abstains where that's poor."""
    recording = model_input.recording
    if recording is None or not recording.leads:
        return _abstained(model_input, _NO_RECORDING)
    quality = assess(recording.signal, recording.leads, recording.fs_hz)
    beats = find_beats(recording, quality) if quality.grade is not Grade.POOR else _first_reason(recording, quality)
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
