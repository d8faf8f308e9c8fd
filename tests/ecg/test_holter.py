"""A long recording is read block by block: the same beats as at once, whatever is cut, in memory that doesn't grow."""

from __future__ import annotations

import numpy as np
import pytest

from center.reads import LongSignalInput, ModelInput, Outcome, Tier
from ecg.beat_log import KINDS
from ecg.holter import BLOCK_S, MARGIN_S, LongReading, read_long
from ecg.reading import read_ecg
from ecg.strip import Samples
from tests.makers.rhythms import make_rhythm

FS_HZ = 250.0
LEADS = ("II", "V1", "V5")


def part(kind: str, seconds: float, seed: int = 3, rate: float | None = None) -> Samples:
    return np.asarray(
        make_rhythm(kind, seed, seconds=seconds, fs_hz=FS_HZ, leads=LEADS, rate=rate)[0].signal, dtype=np.float64
    )


def read(mv: Samples, *, asked: list[tuple[int, int]] | None = None) -> LongReading:
    def block(start: int, stop: int) -> Samples:
        if asked is not None:
            asked.append((start, stop))
        return mv[:, start:stop]

    return read_long(block, leads=LEADS, fs_hz=FS_HZ, length=mv.shape[1])


def test_no_block_is_longer_than_a_minute_and_its_margins_however_long_the_recording() -> None:
    asked: list[tuple[int, int]] = []
    mv = part("sinus", 400.0)
    read(mv, asked=asked)
    assert max(stop - start for start, stop in asked) <= (1.5 * BLOCK_S + 2 * MARGIN_S) * FS_HZ
    assert (asked[0][0], asked[-1][1]) == (0, mv.shape[1])


def test_every_beat_is_counted_once_over_the_edges_of_blocks() -> None:
    recording, truth = make_rhythm("sinus", 5, seconds=310.0, fs_hz=FS_HZ, leads=LEADS, rate=83.0)
    found = read(np.asarray(recording.signal, dtype=np.float64)).beats.seconds
    inside = truth.at_s[(truth.at_s > 0.2) & (truth.at_s < 309.8)]
    assert np.abs(found[:, None] - inside).min(axis=0).max() < 0.08
    assert abs(found.size - truth.at_s.size) <= 1
    assert np.diff(found).min() > 0.4


def test_a_tachycardia_over_a_blocks_edge_is_one_event() -> None:
    mv = np.concatenate([part("sinus", 56.0), part("vt", 10.0, rate=170.0), part("sinus", 80.0, seed=4)], axis=1)
    reading = read(mv)
    runs = [e for e in reading.events if e.key in ("vt", "vt_nonsustained")]
    assert len(runs) == 1
    assert runs[0].start_s == pytest.approx(56.0, abs=1.5)
    assert runs[0].lasts_s == pytest.approx(10.0, abs=2.5)
    assert runs[0].value == pytest.approx(170.0, rel=0.06)
    assert {"vt", "vt_nonsustained"} & {s.key for s in reading.statements}
    assert any(s.start_s <= 58 <= s.end_s for s in reading.strips)


def test_lost_signal_is_neither_a_pause_nor_a_slow_heart() -> None:
    mv = part("sinus", 200.0, rate=75.0)
    mv[:, int(70 * FS_HZ) : int(90 * FS_HZ)] = np.nan
    reading = read(mv)
    assert not [e for e in reading.events if e.key == "pause"]
    assert reading.unusable_s == pytest.approx(20.0, abs=3.0)
    slowest = next(e for e in reading.events if e.key == "slowest")
    assert slowest.value > 60


def test_a_pause_is_found_with_its_length() -> None:
    quiet = part("sinus", 120.0, rate=70.0)
    reading = read(np.concatenate([quiet, part("asystole", 40.0, seed=8), quiet], axis=1))
    assert max((e.value for e in reading.events if e.key == "pause"), default=0.0) > 3.0
    assert reading.critical.tier.value in ("red", "orange")


def test_a_recording_without_a_heart_is_refused_and_not_green() -> None:
    flat = np.zeros((3, int(200 * FS_HZ)))
    given = LongSignalInput(lambda start, stop: flat[:, start:stop], LEADS, FS_HZ, flat.shape[1])
    answer = read_ecg(ModelInput("ecg", "", (), "digest", long=given))
    assert answer.outcome is Outcome.ABSTAINED
    assert answer.critical is not None and answer.critical.tier is not Tier.GREEN


def test_the_summary_counts_what_the_beats_say() -> None:
    mv = np.concatenate([part("pvc", 100.0), part("sinus", 60.0)], axis=1)
    given = LongSignalInput(lambda start, stop: mv[:, start:stop], LEADS, FS_HZ, mv.shape[1])
    answer = read_ecg(ModelInput("ecg", "", (), "digest", long=given, every_beat=True))
    summary, beats = answer.extra["holter"], answer.extra["beats"]
    assert isinstance(summary, dict) and isinstance(beats, list)
    assert sum(summary["totals"].values()) == len(beats) == answer.quality["beats"]
    assert set(summary["totals"]) == {str(kind) for kind in KINDS}
    assert all(0 <= beat["sample"] < mv.shape[1] for beat in beats)
    assert "beats" not in read_ecg(ModelInput("ecg", "", (), "digest", long=given)).extra
