"""A limit as one value: the same object decides, is printed with what it decided on, and names its source.

A value is told to as many decimals as its unit usually is, and to more only where the limit would otherwise be
contradicted: 0.704 mV is above 0.70 mV and told as such.  ``decimals`` makes the told value the one that decides:
199.6/min is told as 200 and is 200.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass, field
from math import isfinite
from typing import Any, Final, Literal, get_args

import numpy as np
import numpy.typing as npt

Sign = Literal[">=", "<=", ">", "<", "in", ""]

_COMPARE: Final[dict[str, Callable[[Any, Any], Any]]] = {  # floats and arrays alike
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}
DECIMALS: Final[dict[str, int]] = {
    **dict.fromkeys(("/min", "ms", "deg", "%"), 0),
    **dict.fromkeys(("dB", "mV.ms"), 1),
    **dict.fromkeys(("s", "year", "1", "", "mV/s"), 2),
    "mV": 3,
}
"""To how many decimals a value of this unit is usually told."""
_SAME: Final = 9
"""Decimals beyond which a difference is the computer's and not the heart's."""


@dataclass(frozen=True, slots=True)
class Limit:
    """What a value must be: ``Limit(">=", 120, "ms", AHA)``; ``in`` lies from ``number`` to ``upper``, both included.

    unit: also of the value; ``1`` and an empty one aren't printed.  words: what is asked beside the number, or all of
    it where there is none (``qR``, ``stated``): such a limit is the rule's to test, and any value may stand beside it.
    decimals: where given, the value is rounded to it before it is compared.
    """

    sign: Sign
    number: float = 0.0
    unit: str = ""
    source: str = ""
    words: str = ""
    upper: float = field(default=0.0, kw_only=True)
    decimals: int | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        for name in ("number", "upper"):  # what is compared is what is printed
            object.__setattr__(self, name, float(f"{round(getattr(self, name), _SAME) + 0.0:g}"))

    @property
    def has_number(self) -> bool:
        return self.sign != ""

    def holds(self, value: float) -> bool:
        """Whether the value is as the limit asks; False for what isn't known (NaN)."""
        return bool(self.each(np.float64(value)))

    def each(self, values: npt.NDArray[np.float64] | np.float64) -> npt.NDArray[np.bool_]:
        """bool, alike: which of the values are as the limit asks."""
        told = np.round(values, _SAME if self.decimals is None else self.decimals)
        if self.sign == "in":
            return np.asarray((told >= self.number) & (told <= self.upper), dtype=np.bool_)
        if not self.has_number:
            return np.isfinite(told)
        return np.asarray(_COMPARE[self.sign](told, self.number), dtype=np.bool_)

    def if_held(self, value: float) -> Limit:
        """This limit, or its source alone beside a value that is printed and didn't pass it: it decided nothing."""
        return self if self.holds(value) else cited(self.source)

    def told(self, value: float, unit: str = "") -> float:
        """The value as it is printed beside the limit: what held still holds.  unit: the value's, of a limit in words."""
        if not isfinite(value):
            return value
        if self.decimals is not None:
            return float(np.round(value, self.decimals))
        least = DECIMALS.get(self.unit or unit, 2)
        if self.has_number:
            for decimals in range(least, _SAME + 1):
                told = float(np.round(value, decimals))
                if self.holds(told) is self.holds(value):
                    return told
        return float(np.round(value, least))

    def __str__(self) -> str:
        """The limit in words with its unit: ``>= 120 ms in 3 leads``."""
        unit = "" if self.unit == "1" else self.unit
        if self.sign == "in":
            joint = "-" if self.number >= 0 else " to "
            parts = [f"{self.number:g}{joint}{self.upper:g}", unit]
        elif self.has_number:
            parts = [self.sign, f"{self.number:g}", unit]
        else:
            return self.words
        number = " ".join(part for part in parts if part)
        return number + ("" if self.words[:1] in ("", ",", ":") else " ") + self.words


def sign_of(text: str) -> Sign:
    """The sign as read from a rule.  Raises ValueError for what is none."""
    for sign in get_args(Sign):
        if sign == text:
            return sign
    raise ValueError(f"not a sign: {text!r}")


def in_words(words: str, source: str = "") -> Limit:
    """A limit that has no number: ``qR``, ``stated``, ``no steady P waves``."""
    return Limit("", 0.0, "", source, words)


def cited(source: str) -> Limit:
    """No limit: what is printed is only seen, as this source tells to look at it."""
    return in_words("", source)


NONE: Final = in_words("")
"""Nothing was asked and nobody is cited."""
