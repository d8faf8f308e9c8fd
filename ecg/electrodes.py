"""Electrodes on the wrong place: limb leads against what the chest leads predict, chest leads against their order.

A limb lead can be told from the chest leads (they see the same heart): three small linear maps, one each for P, QRS and
T.  Two limb electrodes that changed places make leads I and II of others by Einthoven's law; what fits the prediction
better after changing them back is a swap.  Chest leads change smoothly from V1 to V6; two that changed places make two
jumps.  Both are weighed by a logistic regression with the signs of P.  All tables: ours, from records of PTB-XL folds 7
and 8 with electrodes exchanged by calculation; thresholds by the scores of the same records as they were recorded.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from ecg.electrodes_tables import CHEST, CHEST_PAIRS, LIMB, P_MAP, QRS_MAP, T_MAP
from ecg.limit import Limit
from ecg.marks import Evidence, Mark, MedianBeat, Statement
from ecg.strip import Samples, Strip

LEADS: Final = ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")
_QRS_POINTS, _P_POINTS, _T_POINTS = 16, 12, 16
_T_FROM: Final = 0.2
_FLAT_II: Final = Limit("<", 0.10, "mV", "ours, PTB-XL folds 7-8")
_FLAT_SHARE: Final = 0.2
_DEAD_MV: Final = 0.003
"""RA on the right leg: II is the difference of two feet.  Flat here: QRS and T below 0.1 mV, a fifth of III (ours)."""
_NO_P: Final = 1.0
"""Without a P wave the scores of old infarctions with bundle branch block come closer: this much more is asked (ours)."""
_SOURCE: Final = "ours, PTB-XL folds 7-8"
_ABOVE: Final = Limit(">", 0.0, "1", _SOURCE, ", log odds above the threshold")


@dataclass(frozen=True, slots=True)
class _Beat:
    """The median beat in windows, mV: qrs [8, 16], p [8, 12] (zeros without one), t [8, 16] (zeros without one)."""

    qrs: Samples
    p: Samples
    t: Samples
    has_p: bool


def swaps(strip: Strip, median: MedianBeat) -> tuple[Statement, ...]:
    """``limb_reversal`` (modifier la_ra, la_ll, ra_ll or ra_rl) and ``precordial_misplaced`` (v1_v2 ...), one of each.

    Nothing without I, II and V1-V6, or with fewer than two beats.  LA/LL looks so much like a usual heart that most
    are missed: that is accepted, not claimed.
    """
    beat = _windows(strip, median)
    if beat is None:
        return ()
    return (*_limb(beat), *_chest(beat))


def _windows(strip: Strip, median: MedianBeat) -> _Beat | None:
    at = median.overall
    if median.beats < 2 or not strip.has(*LEADS) or not np.isfinite(at[[Mark.QRS_ON, Mark.QRS_OFF]]).all():
        return None
    mv = median.mv[[median.leads.index(name) for name in LEADS]]
    qrs = _sampled(mv, at[Mark.QRS_ON], at[Mark.QRS_OFF], _QRS_POINTS)
    if np.ptp(qrs[2:], axis=1).min() < 0.05 or np.abs(qrs).max() > 20.0:
        return None  # a chest lead without signal predicts nothing
    t, p = np.zeros((8, _T_POINTS)), np.zeros((8, _P_POINTS))
    if np.isfinite(at[Mark.T_OFF]) and at[Mark.T_OFF] < mv.shape[1]:
        begin = at[Mark.QRS_OFF] + _T_FROM * (at[Mark.T_OFF] - at[Mark.QRS_OFF])
        t = _sampled(mv, begin, at[Mark.T_OFF], _T_POINTS)
    has_p = bool(np.isfinite(at[[Mark.P_ON, Mark.P_OFF]]).all() and at[Mark.P_ON] >= 0)
    if has_p:
        wave = _sampled(mv, at[Mark.P_ON], at[Mark.P_OFF], _P_POINTS)
        p = wave - (wave[:, :1] + (wave[:, -1:] - wave[:, :1]) * np.linspace(0.0, 1.0, _P_POINTS))
    return _Beat(qrs, p, t, has_p)


def _sampled(mv: Samples, first: float, last: float, points: int) -> Samples:
    at = np.linspace(first, last, points)
    low = np.clip(at.astype(np.int64), 0, mv.shape[1] - 2)
    share = at - low
    return mv[:, low] * (1 - share) + mv[:, low + 1] * share


# ------------------------------------------------------------------------------------------------ limb electrodes


def _limb(beat: _Beat) -> tuple[Statement, ...]:
    flat = _flat_ii(beat)
    if flat is not None:
        return (flat,)
    doubt = 0.0 if beat.has_p else _NO_P
    scores = {name: of.score(limb_features(beat, name)) - of.threshold - doubt for name, of in LIMB.items()}
    name = max(scores, key=lambda pair: scores[pair])
    if not _ABOVE.holds(scores[name]):
        return ()
    return (Statement("limb_reversal", _certainty(scores[name]), _limb_evidence(beat, scores[name]), (name,)),)


def _flat_ii(beat: _Beat) -> Statement | None:
    both = np.concatenate([beat.qrs[:2], beat.t[:2]], axis=1)
    ii, iii = float(np.ptp(both[1])), float(np.ptp(both[1] - both[0]))
    flat = replace(_FLAT_II, number=min(_FLAT_II.number, _FLAT_SHARE * iii))
    if not (ii > _DEAD_MV and flat.holds(ii)):
        return None
    evidence = Evidence("qrs_peak_to_peak", ii, "mV", flat, "II")
    return Statement("limb_reversal", 0.9, (evidence,), ("ra_rl",))


def limb_features(beat: _Beat, pair: str) -> Samples:
    """[10]: how much better P, QRS and T fit the chest leads after changing the pair back, and which way I and II go."""
    gains = [
        _gain(wave, np.array(chest_map), pair)
        for wave, chest_map in ((beat.qrs, QRS_MAP), (beat.t, T_MAP), (beat.p, P_MAP))
    ]
    size = np.abs(beat.p[:2]).sum() + 0.05
    v6 = LEADS.index("V6")
    return np.array(
        [
            *gains,
            _alike(beat.qrs[0], beat.qrs[v6]),
            _alike(beat.qrs[1], beat.qrs[v6]),
            _alike(beat.t[0], beat.t[v6]),
            _alike(beat.t[1], beat.t[v6]),
            float(beat.p[0].sum() / size),
            float(beat.p[1].sum() / size),
            float(beat.has_p),
        ]
    )


def _gain(wave: Samples, chest_map: Samples, pair: str) -> float:
    """Log of how much closer I and II come to the prediction [2, 6] once changed back."""
    if not wave.any():
        return 0.0
    told = chest_map @ wave[2:]
    floor = 0.02 * (3 * float(np.sqrt(np.square(wave[2:]).mean())) + 1e-3)

    def miss(lead_i: Samples, lead_ii: Samples) -> float:
        return float(np.sqrt((np.square(told[0] - lead_i) + np.square(told[1] - lead_ii)).mean())) + floor

    return float(np.log(miss(wave[0], wave[1]) / miss(*exchanged(wave[0], wave[1], pair))))


def exchanged(lead_i: Samples, lead_ii: Samples, pair: str) -> tuple[Samples, Samples]:
    """I and II with two electrodes exchanged; twice gives them back.  From I = LA - RA, II = LL - RA."""
    if pair == "la_ra":
        return -lead_i, lead_ii - lead_i
    if pair == "la_ll":
        return lead_ii, lead_i
    return lead_i - lead_ii, -lead_ii  # ra_ll


def _alike(a: Samples, b: Samples) -> float:
    return float((a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum() + 1e-9))


def _limb_evidence(beat: _Beat, above: float) -> tuple[Evidence, ...]:
    found = [Evidence("lead_fit", above, "1", _ABOVE)]
    found.append(Evidence("qrs_likeness_v6", _alike(beat.qrs[0], beat.qrs[LEADS.index("V6")]), "1", lead="I"))
    if beat.has_p:
        for row, lead in ((0, "I"), (1, "II")):
            found.append(Evidence("p_net", float(beat.p[row].mean()), "mV", lead=lead))
    return tuple(found)


def _certainty(above: float) -> float:
    """0.6 at the threshold, 0.95 far above it (ours: at the threshold about one in a thousand usual records lies)."""
    return float(np.clip(0.6 + 0.1 * above, 0.6, 0.95))


# ------------------------------------------------------------------------------------------------ chest electrodes


def _chest(beat: _Beat) -> tuple[Statement, ...]:
    if not beat.t.any():
        return ()
    scores = {name: weights.score(chest_features(beat, name)) - weights.threshold for name, weights in CHEST.items()}
    name = max(scores, key=lambda pair: scores[pair])
    if not _ABOVE.holds(scores[name]):
        return ()
    evidence = Evidence("lead_order", scores[name], "1", _ABOVE)
    return (Statement("precordial_misplaced", _certainty(scores[name]), (evidence,), (name,)),)


def chest_features(beat: _Beat, pair: str) -> Samples:
    """[9]: how much smoother V1-V6 get in QRS, T and P by changing the pair back; heights and signs of the two."""
    i, j = CHEST_PAIRS[pair]
    out: list[float] = []
    for wave in (beat.qrs, beat.t, beat.p):
        chest = wave[2:]
        back = chest.copy()
        back[[i, j]] = chest[[j, i]]
        out += [float(np.log((a + 0.1) / (b + 0.1))) for a, b in zip(_roughness(chest), _roughness(back), strict=True)]
    a, b = beat.qrs[2 + i], beat.qrs[2 + j]
    out.append(float(np.log((np.abs(a).max() + 0.05) / (np.abs(b).max() + 0.05))))
    for wave in (beat.qrs, beat.t):
        out.append(float((wave[2 + i].sum() - wave[2 + j].sum()) / (np.abs(wave[2:]).sum() + 0.1)))
    return np.array(out)


def _roughness(chest: Samples) -> tuple[float, float]:
    """Sum of the steps from lead to lead, and of how much the steps change, against the leads' own size."""
    size = float(np.sqrt(np.square(chest).mean())) + 0.01
    return (
        float(np.sqrt(np.square(np.diff(chest, axis=0)).mean(axis=1)).sum()) / size,
        float(np.sqrt(np.square(np.diff(chest, 2, axis=0)).mean(axis=1)).sum()) / size,
    )
