"""Where the beats are, how fast and how regular: by wfdb's XQRS.  Goes when the engine comes."""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from center.reads import Reason, SignalInput
from ecg.quality import SHORTEST_S, Grade, SignalQuality, without_gaps


def _dsp() -> Any:
    """scipy.signal, which carries no types; loading it costs a second that a door's start need not wait for."""
    from scipy import signal

    return signal


_DETECTION_HZ: Final = 250
_LONGEST_S: Final = 1800.0
"""XQRS walks sample by sample in Python: of a long recording, the first half hour is read and said so."""
_FEWEST_BEATS: Final = 4
_IRREGULAR_PERCENT: Final = 10.0
"""Standard deviation of the RR intervals, in percent of their mean, above which they're called irregular (ours)."""
_ALIKE: Final = 0.8
"""Correlation with the median beat that the better half of the beats must reach: made noise stays under 0.6, MIT-BIH
record 108, on which XQRS fails, at 0.76; where it succeeds it's above 0.88."""
_SURELY_ALIKE: Final = 0.9
"""Below this a beat may have been missed or added: the median interval still holds, its variation doesn't (ours)."""
_LEADS_TRIED: Final = 3


@dataclass(frozen=True, slots=True)
class Beats:
    """samples: each R peak, a sample index of the recording as it came.  rate in beats/min, variation in percent."""

    samples: tuple[int, ...]
    lead: str
    rate_per_min: float
    rr_variation_percent: float
    similarity: float
    analysed_s: float

    @property
    def regularity(self) -> Literal["regular", "irregular", "unknown"]:
        """``unknown`` where the beats are too noisy to be sure of every one."""
        if self.similarity < _SURELY_ALIKE:
            return "unknown"
        return "regular" if self.rr_variation_percent <= _IRREGULAR_PERCENT else "irregular"


def find_beats(recording: SignalInput, quality: SignalQuality) -> Beats | Reason:
    """The beats of the lead that shows them best, or why there are none to speak of."""
    seconds = recording.signal.shape[1] / recording.fs_hz
    if seconds < SHORTEST_S:
        return Reason(
            "too_short",
            zh=f"记录只有 {seconds:.1f} 秒，至少需要 {SHORTEST_S:.0f} 秒。",
            en=f"The recording is {seconds:.1f} s long; at least {SHORTEST_S:.0f} s are needed.",
        )
    if quality.grade is Grade.POOR:
        return _poor(quality)
    found = [_beats_of(recording, lead) for lead in _best_leads(quality)]
    seen = [beats for beats in found if beats is not None]
    if not seen:
        return Reason(
            "no_beats",
            zh="没有找到足够的心搏，无法计算心率。请直接阅图。",
            en="Too few beats were found to give a rate. Please read the tracing.",
        )
    best = max(seen, key=lambda beats: beats.similarity)
    if best.similarity < _ALIKE:
        return Reason(
            "beats_unlike",
            zh="检出的心搏彼此不像，可能是干扰。请直接阅图。",
            en="The beats found are unlike each other and may be noise. Please read the tracing.",
        )
    return best


def _poor(quality: SignalQuality) -> Reason:
    """Why a poor recording isn't read, with what is wrong with it."""
    return Reason(
        "poor_quality",
        zh="信号质量差，未读：" + "".join(r.zh for r in quality.reasons) + "请检查电极后重新采集。",
        en="Not read, the signal is poor. "
        + " ".join(r.en for r in quality.reasons)
        + " Check the electrodes and record again.",
    )


def _best_leads(quality: SignalQuality) -> tuple[int, ...]:
    """Rows of the usable leads, the clearest first."""
    rows = [n for n, lead in enumerate(quality.leads) if lead.is_usable]
    rows.sort(key=lambda n: -quality.leads[n].snr_db)
    return tuple(rows[:_LEADS_TRIED])


def _beats_of(recording: SignalInput, row: int) -> Beats | None:
    fs_hz = recording.fs_hz
    values = without_gaps(recording.signal[row, : int(_LONGEST_S * fs_hz)])
    slow, slow_hz = _at_detection_rate(values, fs_hz)
    peaks = _refined(slow, _xqrs(slow, slow_hz), slow_hz)
    if peaks.size < _FEWEST_BEATS:
        return None
    intervals = np.diff(peaks) / slow_hz
    samples = np.minimum(np.rint(peaks * (fs_hz / slow_hz)), values.size - 1).astype(np.int64)
    return Beats(
        samples=tuple(int(n) for n in samples),
        lead=recording.leads[row],
        rate_per_min=60.0 / float(np.median(intervals)),
        rr_variation_percent=100.0 * float(np.std(intervals) / np.mean(intervals)),
        similarity=_similarity(slow, peaks, slow_hz),
        analysed_s=values.size / fs_hz,
    )


def _at_detection_rate(values: npt.NDArray[np.float64], fs_hz: float) -> tuple[npt.NDArray[np.float64], float]:
    """The lead at about 250 Hz, and that rate: XQRS's cost and its widths both follow the rate."""
    if fs_hz <= 1.5 * _DETECTION_HZ and fs_hz >= 0.8 * _DETECTION_HZ:
        return values, fs_hz
    rate = max(1, round(fs_hz))
    shared = gcd(rate, _DETECTION_HZ)
    up, down = _DETECTION_HZ // shared, rate // shared
    middle = float(np.median(values))
    slow = np.asarray(_dsp().resample_poly(values - middle, up, down), dtype=np.float64)
    return slow, fs_hz * up / down


def _xqrs(values: npt.NDArray[np.float64], fs_hz: float) -> npt.NDArray[np.int64]:
    """Sample indices of the QRS complexes."""
    from wfdb.processing import XQRS  # imports slowly: only where a recording is read

    settings: Any = XQRS.Conf(hr_init=75, hr_max=220, hr_min=25)  # wfdb carries no types
    detector: Any = XQRS(sig=values, fs=fs_hz, conf=settings)
    detector.detect(verbose=False)
    return np.asarray(detector.qrs_inds, dtype=np.int64)


def _refined(values: npt.NDArray[np.float64], peaks: npt.NDArray[np.int64], fs_hz: float) -> npt.NDArray[np.int64]:
    """The peaks moved onto the largest deflection within 60 ms, all to the same side of the baseline."""
    reach = max(1, int(0.06 * fs_hz))
    inside = peaks[(peaks >= reach) & (peaks < values.size - reach)]
    if not inside.size:
        return peaks
    sections = _dsp().butter(2, (1.0, 40.0), "bandpass", fs=fs_hz, output="sos")
    smooth = np.asarray(_dsp().sosfiltfilt(sections, values), dtype=np.float64)
    windows = np.stack([smooth[n - reach : n + reach + 1] for n in inside])
    upright = float(np.median(windows.max(axis=1))) >= -float(np.median(windows.min(axis=1)))
    best = windows.argmax(axis=1) if upright else windows.argmin(axis=1)
    moved = inside + best - reach
    return np.unique(moved)


def _similarity(values: npt.NDArray[np.float64], peaks: npt.NDArray[np.int64], fs_hz: float) -> float:
    """How well the better half of the beats agree with the median beat: correlation over +-200 ms, 0..1."""
    reach = int(0.2 * fs_hz)
    inside = [n for n in peaks if reach <= n < values.size - reach]
    if len(inside) < 3:
        return 0.0
    sections = _dsp().butter(2, (1.0, 40.0), "bandpass", fs=fs_hz, output="sos")
    smooth = np.asarray(_dsp().sosfiltfilt(sections, values), dtype=np.float64)
    beats = np.stack([smooth[n - reach : n + reach + 1] for n in inside])
    beats -= beats.mean(axis=1, keepdims=True)
    norms = np.linalg.norm(beats, axis=1)
    # Each beat is compared with the median of the others, so that it can't agree with itself.
    scores = [
        float(beats[n] @ rest / max(norms[n] * np.linalg.norm(rest), 1e-12))
        for n in range(min(len(inside), 60))
        for rest in [np.median(np.delete(beats[:200], n, axis=0), axis=0)]
    ]
    return float(np.quantile(scores, 0.5))
