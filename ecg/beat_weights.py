"""Weights of the signs that tell a ventricular beat: log odds, the constant first, then ``beats.signs`` in its order.

Fitted by ``benchmarks/qrs_fit.py``: logistic regression on MIT-BIH's DS1, lead 0, fusion beats left out.
"""

from __future__ import annotations

from typing import Final

VENTRICULAR: Final = (
    -1.618,
    -0.742,
    2.587,
    2.83,
    -0.267,
    1.876,
    -0.455,
    0.371,
    1.031,
    -0.796,
    -0.397,
    1.82,
    -0.023,
    1.137,
    -0.075,
    0.754,
    0.34,
    -0.222,
    -0.442,
    0.991,
    1.622,
    0.854,
    0.112,
)
