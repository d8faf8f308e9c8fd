"""Statements on form: each at its limit by made numbers, and from made signals; what must not be said isn't."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

import numpy as np
import pytest

from ecg.diagnose import statements
from ecg.diagnose_limits import limits_at
from ecg.diagnose_st import elevation_limit_mv
from ecg.marks import BeatClass, Beats, Mark, Measurements, MedianBeat, Quantity, Rhythm, Statement
from ecg.signal import STANDARD_LEADS
from ecg.statements import problems, validated, vocabulary
from ecg.strip import Strip

# q, r, s, st, t of an ordinary adult, mV
_NORMAL: dict[str, tuple[float, float, float, float, float]] = {
    "I": (0.05, 0.70, 0.10, 0.00, 0.20),
    "II": (0.06, 1.00, 0.15, 0.02, 0.30),
    "III": (0.03, 0.35, 0.15, 0.02, 0.12),
    "aVR": (0.80, 0.08, 0.00, -0.01, -0.25),
    "aVL": (0.04, 0.35, 0.12, -0.01, 0.08),
    "aVF": (0.04, 0.65, 0.15, 0.02, 0.20),
    "V1": (0.00, 0.20, 0.90, 0.03, -0.05),
    "V2": (0.00, 0.45, 1.20, 0.08, 0.40),
    "V3": (0.00, 0.80, 0.90, 0.08, 0.45),
    "V4": (0.03, 1.30, 0.50, 0.05, 0.45),
    "V5": (0.05, 1.20, 0.25, 0.03, 0.35),
    "V6": (0.05, 0.95, 0.10, 0.02, 0.25),
}
_VALUES: dict[str, float] = {
    "heart_rate": 70,
    "rr_min": 840,
    "rr_mean": 857,
    "pr_interval": 160,
    "p_duration": 100,
    "qrs_duration": 90,
    "qt_interval": 390,
    "qtc_fridericia": 410,
    "jt_interval": 300,
    "qrs_axis": 50,
    "sokolow_lyon": 2.1,
    "r_avl": 0.35,
    "cornell_voltage": 1.25,
    "cornell_product": 112,
    "peguero": 1.7,
    "romhilt_estes": 0,
    "p_terminal_force_v1": 1.5,
}
Leads = Mapping[str, Mapping[str, float]]


def made(leads: Leads | None = None, only: tuple[str, ...] = STANDARD_LEADS, **values: float) -> Measurements:
    """The ordinary adult's numbers with these changed."""
    by_lead: dict[str, dict[str, Quantity]] = {}
    for lead in only:
        q, r, s, st, t = _NORMAL[lead]
        found = {"q_amplitude": q, "r_amplitude": r, "s_amplitude": s, "r_prime": 0.0, "s_prime": 0.0}
        found |= {"q_duration": 15.0 if q else 0.0, "r_duration": 45.0, "s_duration": 30.0 if s else 0.0, "vat": 35.0}
        found |= {"st_j": st, "t_amplitude": max(t, 0.0), "t_negative": max(-t, 0.0), "p_amplitude": 0.1}
        found |= dict((leads or {}).get(lead, {}))
        found.setdefault("st_j40", found["st_j"])
        found.setdefault("st_j60", found["st_j"])
        found.setdefault("st_j80", found["st_j"])
        found.setdefault("qrs_peak_to_peak", max(found["r_amplitude"], found["r_prime"]) + max(q, found["s_amplitude"]))
        by_lead[lead] = {key: Quantity(value, "", 0.9) for key, value in found.items()}
    return Measurements({key: Quantity(v, "", 0.9) for key, v in (_VALUES | values).items()}, by_lead)


def a_median(leads: tuple[str, ...] = STANDARD_LEADS) -> MedianBeat:
    """A QRS of 90 ms that starts steeply, all leads alike."""
    mv = np.zeros((len(leads), 500))
    mv[:, 150:195] = np.concatenate([np.linspace(0, 1, 20), np.linspace(1, 0, 25)])
    overall = np.full(9, np.nan)
    overall[[Mark.QRS_ON, Mark.QRS_PEAK, Mark.QRS_OFF]] = 150, 170, 195
    return MedianBeat(leads, mv, 500.0, 170, overall, np.full((len(leads), 9), np.nan), 10)


def read(
    measured: Measurements | None = None,
    *,
    rhythm: tuple[str, ...] = ("sinus_rhythm",),
    age: float | None = 55.0,
    sex: str = "M",
    kind: BeatClass = BeatClass.NORMAL,
    median: MedianBeat | None = None,
) -> dict[str, Statement]:
    """What is said, by key, validated with the rhythm."""
    found = measured or made()
    leads = tuple(found.by_lead)
    strip = Strip(leads, np.zeros((len(leads), 5000)), 500.0, 500.0, 5000, np.ones((len(leads), 5000), bool), age, sex)
    at = np.arange(10) * 430 + 200
    beats = Beats(at, (kind,) * 10, np.zeros(10, np.int64), 0, np.ones(10), np.zeros(0, np.int64))
    said = Rhythm(tuple(Statement(key, 0.9) for key in rhythm), np.ones(10, bool), 70.0, 70.0, {})
    form = statements(strip, found, median or a_median(leads), said, beats)
    return {s.key: s for s in validated((*said.statements, *form))}


def st(mv: float, *leads: str, **more: float) -> dict[str, dict[str, float]]:
    return {lead: {"st_j": mv, "st_j40": mv, "st_j60": mv, "st_j80": mv} | more for lead in leads}


# ------------------------------------------------------------------------------------------------ the whole


def test_an_ordinary_adult_is_normal() -> None:
    assert list(read()) == ["sinus_rhythm", "normal"]


def test_normal_is_not_said_of_one_lead() -> None:
    assert list(read(made(only=("II",)))) == ["sinus_rhythm"]


def test_nothing_measured_says_nothing() -> None:
    nothing = Measurements({}, {"I": {}, "II": {}})
    assert "abnormal" not in read(nothing, rhythm=()) and "normal" not in read(nothing, rhythm=())


def test_every_statement_has_evidence_with_a_limit_and_a_source() -> None:
    sick = made(
        st(0.3, "II", "III", "aVF") | st(-0.15, "I", "aVL"),
        pr_interval=240,
        qtc_fridericia=520,
        qrs_axis=-50,
        r_avl=1.3,
    )
    for statement in read(sick).values():
        if statement.key not in ("sinus_rhythm",):
            assert statement.evidence, statement.key
            assert all(e.limit and e.source for e in statement.evidence), statement.key
        assert statement.key in vocabulary()
        assert 0.0 < statement.certainty < 1.0


# ------------------------------------------------------------------------------------------------ conduction


@pytest.mark.parametrize(("pr", "said"), [(200, False), (201, True), (200.4, False)])
def test_first_degree_block_begins_above_200_ms(pr: float, said: bool) -> None:
    assert ("avb1" in read(made(pr_interval=pr))) is said


@pytest.mark.parametrize(("pr", "said"), [(120, False), (118, True)])
def test_a_short_pr_is_below_120_ms(pr: float, said: bool) -> None:
    assert ("short_pr" in read(made(pr_interval=pr))) is said


def test_pr_is_not_judged_in_fibrillation() -> None:
    assert "avb1" not in read(made(pr_interval=260), rhythm=("afib",))


def test_a_child_has_a_shorter_pr() -> None:
    assert "avb1" in read(made(pr_interval=175), age=4.0)
    assert "avb1" not in read(made(pr_interval=175), age=30.0)


_RIGHT_BLOCK = {
    "V1": {"r_amplitude": 0.2, "s_amplitude": 0.4, "r_prime": 0.9},
    "I": {"s_amplitude": 0.4, "s_duration": 60.0},
    "V6": {"s_amplitude": 0.4, "s_duration": 60.0},
}
_LEFT_BLOCK = {
    "I": {"q_amplitude": 0.0, "s_amplitude": 0.0, "vat": 75.0, "t_amplitude": 0.0, "t_negative": 0.15},
    "V5": {"q_amplitude": 0.0, "s_amplitude": 0.0, "vat": 80.0},
    "V6": {"q_amplitude": 0.0, "s_amplitude": 0.0, "vat": 80.0},
    "V1": {"r_amplitude": 0.1, "s_amplitude": 1.5},
}


@pytest.mark.parametrize(("ms", "key"), [(119, "irbbb"), (120, "rbbb"), (140, "rbbb")])
def test_right_block_is_complete_from_120_ms(ms: float, key: str) -> None:
    said = read(made(_RIGHT_BLOCK, qrs_duration=ms))
    assert [k for k in ("rbbb", "irbbb", "ivcd", "lbbb") if k in said] == [key]


@pytest.mark.parametrize(("ms", "key"), [(119, "ilbbb"), (120, "lbbb")])
def test_left_block_is_complete_from_120_ms(ms: float, key: str) -> None:
    said = read(made(_LEFT_BLOCK, qrs_duration=ms))
    assert [k for k in ("lbbb", "ilbbb", "ivcd", "rbbb") if k in said] == [key]


def test_a_wide_qrs_of_neither_kind_is_unspecific() -> None:
    assert "ivcd" in read(made(qrs_duration=126))


def test_a_child_s_block_is_narrower() -> None:
    assert "rbbb" in read(made(_RIGHT_BLOCK, qrs_duration=104), age=7.0)


_LEFT_ANTERIOR = {
    "II": {"r_amplitude": 0.3, "s_amplitude": 0.8},
    "III": {"r_amplitude": 0.2, "s_amplitude": 1.1},
    "aVF": {"r_amplitude": 0.2, "s_amplitude": 0.9},
    "aVL": {"q_amplitude": 0.08, "r_amplitude": 0.9, "s_amplitude": 0.0},
}


@pytest.mark.parametrize(("axis", "said"), [(-44, False), (-45, True), (-90, True), (-91, False)])
def test_left_anterior_block_has_its_axis(axis: float, said: bool) -> None:
    found = read(made(_LEFT_ANTERIOR, qrs_axis=axis)).get("lafb")
    assert (found is not None and found.modifiers == ()) is said


@pytest.mark.parametrize(("axis", "said"), [(-29, False), (-30, True), (-44, True)])
def test_its_form_with_less_axis_makes_it_possible(axis: float, said: bool) -> None:
    found = read(made(_LEFT_ANTERIOR, qrs_axis=axis)).get("lafb")
    assert (found is not None and found.modifiers == ("possible",)) is said


def test_left_anterior_block_is_not_said_in_left_bundle_branch_block() -> None:
    assert "lafb" not in read(made(_LEFT_ANTERIOR | _LEFT_BLOCK, qrs_axis=-60, qrs_duration=150))


@pytest.mark.parametrize(
    ("axis", "key"),
    [
        (-30, ""),
        (-31, "lad"),
        (90, ""),
        (91, "rad"),
        (-90, "lad"),
        (-91, "axis_superior"),
        (180, "rad"),
        (-179, "axis_superior"),
    ],
)
def test_the_axis_by_its_limits(axis: float, key: str) -> None:
    said = read(made(qrs_axis=axis))
    assert [k for k in ("lad", "rad", "axis_superior") if k in said] == ([key] if key else [])


@pytest.mark.parametrize(
    ("age", "axis", "key"), [(0.02, 150, ""), (0.02, 20, "lad"), (3.0, 150, "rad"), (0.02, -170, "")]
)
def test_a_newborn_s_axis_is_to_the_right(age: float, axis: float, key: str) -> None:
    said = read(made(qrs_axis=axis), age=age)
    assert [k for k in ("lad", "rad", "axis_superior") if k in said] == ([key] if key else [])


def slow_median() -> MedianBeat:
    """A QRS of 130 ms whose first 50 ms rise slowly."""
    median = a_median()
    mv = np.zeros_like(median.mv)
    mv[:, 150:215] = np.concatenate([np.linspace(0, 0.2, 25), np.linspace(0.2, 1.2, 15), np.linspace(1.2, 0, 25)])
    overall = median.overall.copy()
    overall[Mark.QRS_OFF] = 215
    return MedianBeat(median.leads, mv, 500.0, 190, overall, median.by_lead, 10)


def test_a_delta_wave_with_a_short_pr_is_preexcitation_and_hides_blocks_and_infarcts() -> None:
    q = {lead: {"q_amplitude": 0.4, "q_duration": 40.0} for lead in ("II", "III", "aVF")}
    said = read(made(q, pr_interval=100, qrs_duration=130), median=slow_median())
    assert "preexcitation" in said
    assert not {"lbbb", "rbbb", "ivcd", "mi_inferior", "short_pr"} & said.keys()


def test_a_steep_qrs_after_a_short_pr_is_no_preexcitation() -> None:
    assert "preexcitation" not in read(made(pr_interval=100, qrs_duration=112))


# ------------------------------------------------------------------------------------------------ chambers


def test_one_voltage_is_high_voltage_and_several_are_hypertrophy() -> None:
    assert "lv_high_voltage" in read(made(sokolow_lyon=3.5))
    assert "lv_high_voltage" not in read(made(sokolow_lyon=3.49))
    said = read(made(sokolow_lyon=4.2, cornell_voltage=3.0, cornell_product=270, peguero=3.0))
    assert "lvh" in said and len(said["lvh"].evidence) == 4


def test_cornell_has_a_limit_for_each_sex() -> None:
    assert "lv_high_voltage" in read(made(cornell_voltage=2.1), sex="F")
    assert "lv_high_voltage" not in read(made(cornell_voltage=2.1), sex="M")
    assert "lv_high_voltage" not in read(made(cornell_voltage=2.1), sex="")


def test_an_adult_s_voltage_is_never_applied_to_a_child() -> None:
    tall = made(sokolow_lyon=5.0, cornell_voltage=3.5, r_avl=1.5, cornell_product=300, peguero=4.0)
    assert not {"lvh", "lv_high_voltage"} & read(tall, age=9.0).keys()


def test_right_hypertrophy_takes_a_tall_r_and_a_right_axis() -> None:
    tall = {"V1": {"r_amplitude": 0.9, "s_amplitude": 0.2}}
    assert "rvh" in read(made(tall, qrs_axis=110))
    assert "rvh" not in read(made(tall, qrs_axis=60))


def test_a_child_s_right_ventricle_has_its_own_limit() -> None:
    def at(age: float) -> bool:
        return "rvh" in read(made({"V1": {"r_amplitude": 1.7, "s_amplitude": 0.5}}, qrs_axis=100), age=age)

    assert not at(2.0)
    assert at(9.0)


@pytest.mark.parametrize(("mv", "said"), [(0.49, True), (0.5, False)])
def test_low_voltage_of_the_limb_leads(mv: float, said: bool) -> None:
    small = {lead: {"qrs_peak_to_peak": mv} for lead in ("I", "II", "III", "aVR", "aVL", "aVF")}
    assert ("low_voltage" in read(made(small))) is said


def test_a_missing_lead_is_no_low_voltage() -> None:
    small = {lead: {"qrs_peak_to_peak": 0.3} for lead in ("I", "II", "III")}
    assert "low_voltage" not in read(made(small, only=("I", "II", "III")))


# ------------------------------------------------------------------------------------------------ ST, infarction


@pytest.mark.parametrize(
    ("lead", "age", "sex", "limit"),
    [
        ("V2", 55, "M", 0.2),
        ("V2", 39, "M", 0.25),
        ("V3", 30, "F", 0.15),
        ("V3", None, "", 0.2),
        ("II", 30, "F", 0.1),
        ("V4R", 50, "M", 0.05),
        ("V4R", 25, "M", 0.1),
        ("V8", 50, "F", 0.05),
    ],
)
def test_the_limits_of_elevation_by_lead_sex_and_age(lead: str, age: float | None, sex: str, limit: float) -> None:
    assert elevation_limit_mv(lead, age, {"M": True, "F": False}.get(sex)) == limit


@pytest.mark.parametrize(("mv", "said"), [(0.09, False), (0.094, False), (0.1, True), (0.25, True)])
def test_an_inferior_injury_begins_at_a_tenth_of_a_millivolt(mv: float, said: bool) -> None:
    found = read(made(st(mv, "II", "III", "aVF", t_amplitude=0.3) | st(-0.08, "aVL", "I")))
    assert ("mi_inferior" in found) is said
    if said:
        assert found["mi_inferior"].modifiers == ("mi_acute",)
        assert "st_elevation" in found


def test_one_elevated_lead_is_none() -> None:
    assert "st_elevation" not in read(made(st(0.3, "III")))


@pytest.mark.parametrize(
    ("leads", "key"),
    [
        (("II", "III", "aVF"), "mi_inferior"),
        (("V1", "V2", "V3"), "mi_anteroseptal"),
        (("V2", "V3", "V4"), "mi_anterior"),
        (("V1", "V2", "V3", "V4", "V5", "V6"), "mi_extensive"),
        (("I", "aVL", "V6"), "mi_lateral"),
    ],
)
def test_an_acute_injury_is_told_by_its_territory(leads: tuple[str, ...], key: str) -> None:
    across = ("III", "aVF") if "II" not in leads else ("I", "aVL")
    found = read(made(st(0.35, *leads, t_amplitude=0.5) | st(-0.1, *across)))
    assert key in found and "mi_acute" in found[key].modifiers


def test_an_injury_with_reciprocal_depression_is_the_surer() -> None:
    with_it = read(made(st(0.2, "II", "III", "aVF") | st(-0.1, "I", "aVL")))["mi_inferior"]
    without = read(made(st(0.2, "II", "III", "aVF")))["mi_inferior"]
    assert with_it.certainty > without.certainty
    assert any("reciprocal" in e.limit for e in with_it.evidence)


def test_an_inferior_injury_with_v1_and_more_in_iii_reaches_the_right_ventricle() -> None:
    leads = st(0.2, "II", "aVF") | st(0.3, "III") | st(0.12, "V1") | st(-0.1, "aVL", "I")
    assert "mi_rv" in read(made(leads))


def test_elevation_everywhere_without_reciprocal_change_is_pericarditis() -> None:
    found = read(made(st(0.15, "I", "II", "aVF", "V2", "V3", "V4", "V5", "V6", t_amplitude=0.35) | st(0.2, "V2", "V3")))
    assert "s_pericarditis" in found
    assert not any("mi_acute" in s.modifiers for s in found.values())


def test_a_young_man_s_rising_st_is_early_repolarization() -> None:
    leads = {
        lead: {"st_j": 0.15, "st_j40": 0.17, "st_j60": 0.2, "st_j80": 0.24, "st_slope": 1.1, "t_amplitude": 0.9}
        for lead in ("II", "aVF", "V4", "V5", "V6")
    }
    found = read(made(leads), age=24.0)
    assert "early_repol" in found
    assert not any("mi_acute" in s.modifiers for s in found.values())


def test_left_block_takes_sgarbossa_s_criteria() -> None:
    wide = made(_LEFT_BLOCK | {"V5": _LEFT_BLOCK["V5"] | {"st_j": 0.15}}, qrs_duration=150)
    assert "mi_lbbb" in read(wide)
    usual = made(_LEFT_BLOCK | {"V1": _LEFT_BLOCK["V1"] | {"st_j": 0.25}}, qrs_duration=150)
    assert "mi_lbbb" not in read(usual)
    assert "st_elevation" not in read(usual)


@pytest.mark.parametrize(("share", "said"), [(0.24, False), (0.25, True)])
def test_left_block_takes_smith_s_ratio(share: float, said: bool) -> None:
    deep = {"r_amplitude": 0.1, "s_amplitude": 2.0, "st_j": share * 2.0}
    assert ("mi_lbbb" in read(made(_LEFT_BLOCK | {"V1": deep}, qrs_duration=150))) is said


@pytest.mark.parametrize(("ms", "said"), [(29, False), (30, True)])
def test_an_old_inferior_infarct_has_q_waves_of_30_ms(ms: float, said: bool) -> None:
    q = {lead: {"q_amplitude": 0.25, "q_duration": ms, "r_amplitude": 0.4} for lead in ("II", "III", "aVF")}
    found = read(made(q))
    assert ("mi_inferior" in found) is said
    if said:
        assert found["mi_inferior"].modifiers == ("mi_old",)


def test_st_depression_in_the_front_with_upright_t_is_a_posterior_injury() -> None:
    found = read(made(st(-0.15, "V1", "V2", "V3", t_amplitude=0.4, r_amplitude=0.9, s_amplitude=0.6)))
    assert "mi_posterior" in found and found["mi_posterior"].modifiers == ("mi_acute",)


@pytest.mark.parametrize(("mv", "key"), [(-0.04, ""), (-0.05, "s_ischemia"), (-0.12, "s_ischemia_acute")])
def test_horizontal_depression_by_its_depth(mv: float, key: str) -> None:
    found = read(made(st(mv, "V4", "V5", "V6")))
    assert [k for k in ("s_ischemia", "s_ischemia_acute") if k in found] == ([key] if key else [])


def test_rising_depression_is_none() -> None:
    rising = {lead: {"st_j": -0.12, "st_j40": -0.05, "st_j60": -0.02, "st_j80": 0.0} for lead in ("V4", "V5", "V6")}
    assert "st_depression" not in read(made(rising))


def test_depression_in_six_leads_with_avr_up_is_acute_ischaemia() -> None:
    leads = st(-0.15, "I", "II", "V3", "V4", "V5", "V6") | st(0.12, "aVR")
    found = read(made(leads))
    assert found["s_ischemia_acute"].certainty >= 0.7


def test_strain_of_a_large_ventricle_is_not_called_ischaemia() -> None:
    strain = {
        lead: {"st_j": -0.1, "st_j60": -0.13, "t_amplitude": 0.0, "t_negative": 0.3, "r_amplitude": 2.4}
        for lead in ("V5", "V6", "I", "aVL")
    }
    found = read(made(strain, sokolow_lyon=4.5, cornell_voltage=3.2, romhilt_estes=6, r_avl=1.2))
    assert "lvh" in found
    assert not {"s_ischemia", "s_ischemia_acute"} & found.keys()


def test_brugada_is_not_called_an_infarct() -> None:
    coved = {
        "st_j": 0.35,
        "st_j40": 0.25,
        "st_j60": 0.18,
        "st_j80": 0.1,
        "t_amplitude": 0.0,
        "t_negative": 0.2,
        "r_prime": 0.3,
    }
    found = read(made({"V1": coved, "V2": coved}))
    assert "s_brugada" in found
    assert not any("mi_acute" in s.modifiers for s in found.values())


# ------------------------------------------------------------------------------------------------ T and QT


@pytest.mark.parametrize(
    ("sex", "ms", "said"), [("M", 449, False), ("M", 450, True), ("F", 459, False), ("F", 460, True), ("", 449, False)]
)
def test_a_long_qtc_by_sex(sex: str, ms: float, said: bool) -> None:
    assert ("long_qt" in read(made(qtc_fridericia=ms), sex=sex)) is said


def test_a_wide_qrs_is_taken_off_before_qt_is_called_long() -> None:
    assert "long_qt" not in read(made(_LEFT_BLOCK, qrs_duration=150, qtc_fridericia=480))
    found = read(made(_LEFT_BLOCK, qrs_duration=150, qtc_fridericia=520))
    assert "jt_interval" in {e.key for e in found["long_qt"].evidence}


def test_qt_in_fibrillation_is_less_sure_and_says_why() -> None:
    sinus, af = read(made(qtc_fridericia=500))["long_qt"], read(made(qtc_fridericia=500), rhythm=("afib",))["long_qt"]
    assert af.certainty < sinus.certainty
    assert any("irregular" in e.limit for e in af.evidence)


def test_inverted_t_waves_need_two_neighbours_with_an_r() -> None:
    def t(mv: float, *leads: str) -> dict[str, dict[str, float]]:
        return {lead: {"t_amplitude": 0.0, "t_negative": mv} for lead in leads}

    assert "t_inversion" in read(made(t(0.1, "V5", "V6")))
    assert "t_inversion" not in read(made(t(0.09, "V5", "V6")))
    assert "t_inversion" not in read(made(t(0.3, "V5")))
    assert "t_inversion" not in read(made(t(0.3, "V1", "aVR")))


def test_a_child_s_t_waves_and_q_waves_are_not_judged_and_that_is_said() -> None:
    leads = {lead: {"t_amplitude": 0.0, "t_negative": 0.3} for lead in ("V1", "V2", "V3", "V4")}
    leads |= {lead: {"q_amplitude": 0.4, "q_duration": 35.0} for lead in ("II", "III", "aVF")}
    found = read(made(leads), age=9.0)
    assert not {"t_inversion", "mi_inferior", "s_ischemia"} & found.keys()
    assert any(e.key == "age_years" and "not judged" in e.limit for e in found["normal"].evidence)


def test_an_embolism_is_suggested_by_s1q3t3_with_another_sign() -> None:
    leads = {
        "I": {"s_amplitude": 0.3},
        "III": {"q_amplitude": 0.25, "q_duration": 25.0, "t_amplitude": 0.0, "t_negative": 0.2},
        "V1": {"t_amplitude": 0.0, "t_negative": 0.2},
        "V2": {"t_amplitude": 0.0, "t_negative": 0.2},
        "V3": {"t_amplitude": 0.0, "t_negative": 0.15},
    }
    assert "s_pe" in read(made(leads, heart_rate=115), rhythm=("sinus_tachy",))
    assert "s_pe" not in read(made({"I": leads["I"]}, heart_rate=115), rhythm=("sinus_tachy",))


# ------------------------------------------------------------------------------------------------ what is not said


_SICK = st(0.3, "II", "III", "aVF") | st(-0.2, "V4", "V5", "V6")
_FORM = {"st_elevation", "st_depression", "t_inversion", "lvh", "s_ischemia_acute", "s_ischemia", "mi_inferior", "lbbb"}


def test_nothing_is_said_of_st_in_a_paced_beat() -> None:
    assert (
        not _FORM
        & read(made(_SICK, qrs_duration=160, sokolow_lyon=5), rhythm=("paced_v",), kind=BeatClass.PACED).keys()
    )


@pytest.mark.parametrize("rhythm", ["vt", "vf", "v_flutter", "torsades", "idioventricular"])
def test_nothing_is_said_of_form_without_the_heart_s_own_beat(rhythm: str) -> None:
    assert not _FORM & read(made(_SICK, qrs_duration=160, sokolow_lyon=5), rhythm=(rhythm,)).keys()


def test_limits_go_from_birth_to_adulthood_without_a_gap() -> None:
    for age in (-1.0, 0.0, 0.001, 0.01, 0.05, 0.2, 0.4, 0.9, 2, 4, 7, 10, 14, 15.99):
        limits = limits_at(age)
        assert limits.pr_short.number < limits.pr.number
        assert limits.qrs_incomplete.number < limits.qrs_complete.number
        assert limits.r_v1 is not None
    assert limits_at(16.0) == limits_at(None) == limits_at(90.0)


@pytest.mark.parametrize("age", [None, 0.01, 5.0, 30.0, 80.0])
def test_any_numbers_in_any_leads_give_statements_of_the_vocabulary(age: float | None) -> None:
    """Missing, NaN and absurd numbers too: nothing crashes, and what is said may stand together."""
    wild = (float("nan"), float("inf"), -1.0, 0.0, 0.05, 0.1, 0.3, 1.0, 5.0, 40.0, 90.0, 130.0, 200.0, 600.0)
    keys = [*made().by_lead["I"], "st_slope", "p_negative"]
    for seed in range(60):
        random = Random(seed)
        by_lead = {
            lead: {key: Quantity(random.choice(wild), "", random.random()) for key in keys if random.random() < 0.8}
            for lead in random.sample(STANDARD_LEADS, random.randint(1, 12))
        }
        values = {key: Quantity(random.choice(wild), "", random.random()) for key in _VALUES if random.random() < 0.8}
        rhythm = random.choice([(), ("sinus_rhythm",), ("afib",), ("sinus_tachy", "avb3"), ("aflutter",)])
        found = read(Measurements(values, by_lead), rhythm=rhythm, age=age, sex=random.choice(["", "M", "F"]))
        assert problems(tuple(found.values())) == ()
        assert all(0.0 <= s.certainty <= 1.0 for s in found.values())
