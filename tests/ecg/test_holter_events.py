"""What is found in the beats of a long recording, on beats whose truth is written down."""

from __future__ import annotations

import numpy as np
import pytest

from ecg.beat_log import KINDS, NUMBER_OF, BeatLog, joined
from ecg.holter_events import Event, every_nth, extremes, key_strips, merged, pauses, runs_of
from ecg.holter_trends import hours, per_minute, variability
from ecg.marks import BeatClass

FS_HZ = 250.0
LETTERS = {"N": BeatClass.NORMAL, "V": BeatClass.VENTRICULAR, "S": BeatClass.SUPRAVENTRICULAR}


def log_of(letters: str, rr_s: float | list[float] = 1.0, gaps: tuple[int, ...] = ()) -> BeatLog:
    steps = [rr_s] * (len(letters) - 1) if isinstance(rr_s, float) else rr_s
    at = np.rint(np.concatenate([[0.0], np.cumsum(steps)]) * FS_HZ).astype(np.int64)
    after_gap = np.zeros(len(letters), dtype=bool)
    after_gap[list(gaps)] = True
    kind = np.array([NUMBER_OF[LETTERS[c]] for c in letters], dtype=np.uint8)
    return BeatLog(at, kind, np.full((len(letters), 9), -1, dtype=np.int64), after_gap, FS_HZ)


def test_three_ventricular_beats_at_100_are_a_run_and_two_are_not() -> None:
    fast = log_of("NNVVVNN", 0.6)
    assert [(e.key, e.beats) for e in runs_of(fast, BeatClass.VENTRICULAR, shortest=3, key="vt", rate_min=100.0)] == [
        ("vt", 3)
    ]
    assert not runs_of(log_of("NNVVNN", 0.6), BeatClass.VENTRICULAR, shortest=3, key="vt", rate_min=100.0)
    assert not runs_of(log_of("NNVVVNN", 0.61), BeatClass.VENTRICULAR, shortest=3, key="vt", rate_min=100.0)


def test_a_gap_in_the_signal_breaks_a_run() -> None:
    broken = log_of("VVVV", 0.5, gaps=(2,))
    assert not runs_of(broken, BeatClass.VENTRICULAR, shortest=3, key="vt")
    assert len(runs_of(broken, BeatClass.VENTRICULAR, shortest=2, key="couplet_v")) == 2


def test_bigeminy_and_trigeminy_are_told_apart() -> None:
    assert [e.key for e in every_nth(log_of("NVNVNVNV"), BeatClass.VENTRICULAR, 2, "bigeminy_v")] == ["bigeminy_v"]
    assert not every_nth(log_of("NVNVNVNV"), BeatClass.VENTRICULAR, 3, "trigeminy_v")
    assert len(every_nth(log_of("NNVNNVNNV"), BeatClass.VENTRICULAR, 3, "trigeminy_v")) == 1
    assert not every_nth(log_of("NVNNNVNNNNNV"), BeatClass.VENTRICULAR, 2, "bigeminy_v")


@pytest.mark.parametrize(("rr_s", "found"), [(1.996, 0), (2.0, 1), (5.0, 1)])
def test_a_pause_is_counted_from_two_seconds_on(rr_s: float, found: int) -> None:
    assert len(pauses(log_of("NNN", [0.8, rr_s]))) == found


def test_a_gap_in_the_signal_is_no_pause() -> None:
    assert not pauses(log_of("NNN", [0.8, 7.0], gaps=(2,)))


def test_slowest_and_fastest_are_taken_over_eight_intervals() -> None:
    slow, fast = extremes(log_of("N" * 40, [1.0] * 15 + [1.5] * 8 + [0.5] * 16))
    assert (slow.key, round(slow.value)) == ("slowest", 40)
    assert (fast.key, round(fast.value)) == ("fastest", 120)


def test_the_gravest_strips_come_first_and_no_kind_floods_the_list() -> None:
    events = tuple(Event("pause", float(n), n + 2.0, 2.0 + n / 100, "s", 1) for n in range(100))
    strips = key_strips((*events, Event("vf", 500.0, 520.0, 20.0, "s")), 3600.0)
    assert strips[0].key == "vf"
    assert sum(s.key == "pause" for s in strips) == 5
    assert all(0 <= s.start_s < s.end_s <= 3600 for s in strips)
    assert max(s.value for s in strips if s.key == "pause") == pytest.approx(2.99)


def test_spans_that_nearly_touch_are_one() -> None:
    assert merged([(60.0, 120.0), (0.0, 60.0), (200.0, 210.0)], 1.0) == [(0.0, 120.0), (200.0, 210.0)]


def test_an_hour_tells_its_beats_and_its_rates() -> None:
    first, second = hours(log_of("N" * 4000 + "V" * 3, 1.0), 4002.0)
    assert (first.beats, second.beats) == (3600, 403)
    assert first.rate_mean == pytest.approx(60.0)
    assert (first.ventricular, second.ventricular) == (0, 3)
    assert per_minute(log_of("N" * 120, 0.5), 60.0)[0] == pytest.approx(120.0)


def test_variability_leaves_out_ectopic_intervals() -> None:
    even = variability(log_of("N" * 100, 0.8))
    assert even is not None and even.sdnn == pytest.approx(0.0, abs=1e-6) and even.pnn50 == 0.0
    with_ectopy = variability(log_of("N" * 50 + "V" + "N" * 50, [0.8] * 49 + [0.5, 1.1] + [0.8] * 49))
    assert with_ectopy is not None and with_ectopy.rmssd == pytest.approx(0.0, abs=1e-6)
    alternating = variability(log_of("N" * 101, [0.8, 0.9] * 50))
    assert alternating is not None
    assert (alternating.rmssd, alternating.pnn50) == (pytest.approx(100.0), pytest.approx(100.0))
    assert variability(log_of("N" * 10, 0.8)) is None


def test_logs_of_blocks_join_to_one() -> None:
    whole = joined(
        [log_of("NN"), BeatLog(*(getattr(log_of("VV"), f) for f in ("at", "kind", "marks", "is_after_gap")), FS_HZ)],
        FS_HZ,
    )
    assert [KINDS[k] for k in whole.kind] == [BeatClass.NORMAL] * 2 + [BeatClass.VENTRICULAR] * 2
    assert len(joined([], FS_HZ)) == 0
