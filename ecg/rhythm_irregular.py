"""How probably the atria fibrillate: intervals without order, and no P wave that keeps its shape.

A logistic regression over the beats of the basic rhythm, fitted on PTB-XL fold 7 (2,176 records without paced ones, 152
in fibrillation; by five-fold cross-validation there Se 95, PPV 90).  Ours.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from ecg.strip import Samples

_WEIGHTS: Final = (67.77, 2.91, 7.73, 2.76, -5.31, -2.11)
"""Per unit of: change between neighbouring intervals (median, share of the mean) up to 0.06; the same up to 0.2; its
lower quartile; the intervals' coefficient of variation; certainty of P; likeness of P."""
_CONSTANT: Final = -3.20
_LEAST: Final = 3


def af_probability(rr_s: Samples, joined: npt.NDArray[np.bool_], p_sure: Samples, p_like: Samples) -> float:
    """0..1.  rr_s: intervals; joined: bool [interval], between two beats of the basic rhythm; p_*: of those beats."""
    use = joined
    nn = rr_s[use]
    if nn.size < _LEAST or not p_sure.size:
        # Every second beat is ventricular, or nearly nothing is there: the intervals tell nothing.
        nn, change = rr_s[:0], rr_s[:0]
    else:
        change = np.abs(np.diff(rr_s))[use[1:] & use[:-1]]
    mean = float(nn.mean()) if nn.size else 1.0
    median, quartile = (
        (float(np.median(change)) / mean, float(np.quantile(change, 0.25)) / mean)
        if change.size >= _LEAST
        else (0.03, 0.0)
    )
    traits = (
        min(median, 0.06),
        min(median, 0.2),
        min(quartile, 0.15),
        min(float(nn.std()) / mean, 0.4) if nn.size else 0.0,
        float(np.mean(p_sure)) if p_sure.size else 0.0,
        float(np.mean(p_like)) if p_like.size else 0.0,
    )
    score = _CONSTANT + sum(w * value for w, value in zip(_WEIGHTS, traits, strict=True))
    return float(1.0 / (1.0 + np.exp(-score)))
