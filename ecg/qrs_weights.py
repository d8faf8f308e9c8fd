"""Weights of the two looks at a QRS candidate: log odds that it is a beat, the constant first, then one per sign.

Fitted by ``benchmarks/qrs_fit.py``: logistic regression on MIT-BIH's DS1 (22 records, also with noise added), every
second record of LUDB (all leads together and each by itself, inside the marked span) and made recordings.
"""

from __future__ import annotations

from typing import Final

FIRST_LOOK: Final = (
    6.735,
    4.059,
    -3.158,
    0.6,
    0.263,
    -0.709,
    4.471,
    -4.993,
    -8.563,
    -2.1,
    -3.819,
    -16.108,
    -1.405,
)
"""Signs of ``qrs.by_heights``, in its order."""

SECOND_LOOK: Final = (
    3.688,
    1.734,
    -2.111,
    0.28,
    0.274,
    -0.642,
    2.138,
    -2.456,
    -4.67,
    -0.83,
    -1.003,
    -6.468,
    -0.355,
    1.547,
    -0.04,
    0.877,
    -0.534,
    1.855,
    3.099,
    2.433,
    1.121,
    2.854,
    -5.283,
    -2.996,
    -6.647,
)
"""Signs of ``qrs.by_heights``, then those of ``qrs.by_beats``, in their order."""
