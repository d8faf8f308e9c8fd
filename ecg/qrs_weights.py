"""Weights of the two looks at a QRS candidate: log odds that it is a beat, the constant first, then one per sign.

Fitted by ``benchmarks/qrs_fit.py``: logistic regression on MIT-BIH's DS1 (22 records, also with noise added), every
second record of LUDB (all leads together and each by itself, inside the marked span) and made recordings.
"""

from __future__ import annotations

from typing import Final

FIRST_LOOK: Final = (
    6.788,
    4.073,
    -4.046,
    0.886,
    0.488,
    -0.127,
    3.901,
    -4.987,
    -8.853,
    -2.096,
    -3.848,
    -16.204,
    -1.28,
)
"""Signs of ``qrs.by_heights``, in its order."""

SECOND_LOOK: Final = (
    3.642,
    1.425,
    -3.312,
    0.204,
    1.056,
    0.07,
    2.101,
    -2.369,
    -4.785,
    -0.71,
    -0.957,
    -6.586,
    -0.274,
    1.116,
    0.347,
    1.352,
    -0.218,
    1.828,
    3.114,
    1.951,
    0.454,
    3.065,
    -5.258,
    -2.877,
    -6.326,
)
"""Signs of ``qrs.by_heights``, then those of ``qrs.by_beats``, in their order."""
