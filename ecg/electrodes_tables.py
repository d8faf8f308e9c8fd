"""What ``electrodes`` weighs with: maps from the chest leads to I and II, and logistic regressions by pair.

Weights: 1,102 records of PTB-XL folds 7 and 8, electrodes exchanged by calculation.  Thresholds: limb, about the
highest thousandth of the scores of 2,205 such records as they were recorded; chest, so that two in a thousand pass any.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from ecg.strip import Samples


@dataclass(frozen=True, slots=True)
class Weights:
    """A logistic regression: weights of the features, and the score from which a swap is told."""

    by_feature: tuple[float, ...]
    bias: float
    threshold: float

    def score(self, features: Samples) -> float:
        """Log odds."""
        return float(np.dot(self.by_feature, features)) + self.bias


QRS_MAP: Final = ((-0.634, 0.289, 0.029, -0.091, 0.069, 0.364), (0.045, -0.179, 0.126, 0.173, -0.194, 0.617))
T_MAP: Final = ((-0.464, 0.295, -0.044, -0.068, 0.141, 0.370), (0.022, 0.006, 0.167, 0.001, -0.151, 0.929))
P_MAP: Final = ((-0.491, 0.557, -0.158, -0.112, 0.364, 0.765), (0.187, -0.594, 0.345, 0.505, 0.519, 1.014))
"""I and II as weighted sums of V1-V6."""

LIMB: Final[dict[str, Weights]] = {
    "la_ra": Weights((1.500, 1.060, 0.785, -1.237, -0.639, -0.823, -0.217, -1.963, -0.289, 0.026), 0.497, 1.9),
    "la_ll": Weights((3.560, 2.899, 4.625, -0.800, 0.800, -0.057, 0.057, 0.827, -0.827, 0.000), 0.000, 4.0),
    "ra_ll": Weights((1.213, 0.909, 0.799, -0.649, -1.121, -0.400, -0.971, -1.681, -1.916, 0.204), 0.585, 1.5),
}

CHEST_PAIRS: Final[dict[str, tuple[int, int]]] = {
    "v1_v2": (0, 1),
    "v2_v3": (1, 2),
    "v3_v4": (2, 3),
    "v1_v3": (0, 2),
    "v2_v4": (1, 3),
    "v3_v5": (2, 4),
    "v1_v6": (0, 5),
}

CHEST: Final[dict[str, Weights]] = {
    "v1_v2": Weights((3.639, 1.651, 1.297, 1.778, 5.550, 1.611, 1.935, 2.986, 6.263), 0.000, 3.2),
    "v2_v3": Weights((4.388, 2.805, 2.516, 2.081, 4.967, 2.192, -0.478, -1.411, -2.174), 0.000, 4.4),
    "v3_v4": Weights((4.440, 2.192, 3.625, 2.063, 6.867, 1.666, 0.282, 5.600, -3.821), 0.000, 2.2),
    "v1_v3": Weights((4.052, 2.449, 1.213, 1.600, 3.661, 1.520, 1.839, -1.560, 5.355), 0.000, 1.7),
    "v2_v4": Weights((2.999, 1.980, 3.199, 2.180, 3.113, 1.478, -0.010, 2.220, -1.720), 0.000, 2.1),
    "v3_v5": Weights((3.544, 2.021, 3.033, 1.958, 3.889, 1.560, -0.279, 4.870, -4.698), 0.000, 1.0),
    "v1_v6": Weights((2.680, 2.094, 3.547, 2.114, 2.707, 1.405, 0.353, 7.094, 3.554), 0.000, 1.0),
}
