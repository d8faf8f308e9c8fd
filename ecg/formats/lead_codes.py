"""Lead numbers of SCP-ECG (EN 1064 table 5); MDC has the same as 2:n (ISO/IEEE 11073-10101), MFER as plain numbers."""

from __future__ import annotations

from typing import Final

LEAD_OF_NUMBER: Final = dict(
    zip(
        (*range(1, 21), *range(61, 65), *range(66, 70)),
        (
            *("I", "II", "V1", "V2", "V3", "V4", "V5", "V6", "V7", "V2R", "V3R", "V4R", "V5R", "V6R", "V7R"),
            *("X", "Y", "Z", "CC5", "CM5", "III", "aVR", "aVL", "aVF", "V8", "V9", "V8R", "V9R"),
        ),
        strict=True,
    )
)
NUMBER_OF_LEAD: Final = {name: number for number, name in LEAD_OF_NUMBER.items()}
