"""An ECG of one format as another: the same samples, the original untouched, nothing overwritten."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from center.errors import Invalid, NotFound, WrongState
from ecg.room import read_files
from portal.convert import Target, convert
from tests.makers.ecg import make_ecg, write_wfdb
from tests.outside import outside_data


@pytest.mark.parametrize("target", list(Target))
def test_a_file_becomes_every_format_that_is_written_and_reads_the_same(target: Target, tmp_path: Path) -> None:
    source = outside_data("ecg_formats/same_record.dcm")
    before = source.read_bytes()
    there = convert([source], target, tmp_path / "made")
    first = read_files({source.name: before})
    again = read_files({there.name: there.read_bytes()})
    for lead in first.leads:
        assert np.abs(again.lead(lead) - first.lead(lead)).max() <= max(first.largest_step_mv, 0.001) + 1e-9
    assert (again.fs_hz, again.patient_id) == (first.fs_hz, first.patient_id)
    assert source.read_bytes() == before


@pytest.mark.parametrize("target", list(Target))
def test_a_made_recording_with_a_time_goes_round(target: Target, tmp_path: Path) -> None:
    files = write_wfdb(make_ecg(5), "made")
    paths = [tmp_path / name for name in files]
    for path, content in zip(paths, files.values(), strict=True):
        path.write_bytes(content)
    signal = read_files(files)
    if target is not Target.SCP and not signal.recorded_at:
        with pytest.raises(Invalid):
            convert(paths, target, tmp_path / "out")
        return
    again = read_files({"x": convert(paths, target, tmp_path / "out").read_bytes()})
    assert np.abs(again.lead("II") - signal.lead("II")).max() <= 0.0051


def test_nothing_is_overwritten_and_nothing_is_made_of_nothing(tmp_path: Path) -> None:
    (tmp_path / "there").write_bytes(b"mine")
    source = outside_data("ecg_formats/same_record.scp")
    with pytest.raises(WrongState):
        convert([source], Target.SCP, tmp_path / "there")
    assert (tmp_path / "there").read_bytes() == b"mine"
    with pytest.raises(NotFound):
        convert([tmp_path / "nowhere.scp"], Target.SCP, None)
