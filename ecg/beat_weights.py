"""Weights of the signs that tell a ventricular beat: log odds, the constant first, then ``beats.signs`` in its order.

Fitted by ``benchmarks/qrs_fit.py``: logistic regression on MIT-BIH's DS1, lead 0, fusion beats left out.
"""

from __future__ import annotations

from typing import Final

VENTRICULAR: Final = (
    -1.663,
    -0.682,
    2.682,
    2.867,
    -0.309,
    2.306,
    -0.329,
    0.327,
    1.056,
    -0.781,
    -0.458,
    1.989,
    0.031,
    1.177,
    -0.038,
    0.869,
    0.216,
    -0.252,
    -0.388,
    0.72,
    1.549,
    0.772,
    0.346,
)
