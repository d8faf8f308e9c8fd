"""A long QT is measured as one: its T wave is neither a P wave nor cut short."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ecg import engine
from tests.makers.exact_ecg import NORMAL, make


@pytest.mark.parametrize("rr_ms", [800.0, 1000.0, 1200.0])
@pytest.mark.parametrize("qt_ms", [560.0, 600.0])
@pytest.mark.parametrize("st_ms", [100.0, 200.0])
def test_a_very_long_qt_is_found_within_a_tenth(rr_ms: float, qt_ms: float, st_ms: float) -> None:
    spec = replace(NORMAL, rr_ms=(rr_ms,), shape=replace(NORMAL.shape, qt_ms=qt_ms, st_ms=st_ms))
    reading = engine.read(make(spec)[0])
    assert reading.measurements.get("qt_interval") == pytest.approx(qt_ms, rel=0.1)
    said = {s.key for s in reading.statements}
    assert "long_qt" in said
    assert not {"avb_2to1", "avb2_mobitz2", "sinus_tachy"} & said


@pytest.mark.parametrize("qt_ms", [360.0, 400.0, 440.0])
def test_an_ordinary_qt_is_left_alone(qt_ms: float) -> None:
    spec = replace(NORMAL, rr_ms=(900.0,), shape=replace(NORMAL.shape, qt_ms=qt_ms))
    assert engine.read(make(spec)[0]).measurements.get("qt_interval") == pytest.approx(qt_ms, abs=16)
