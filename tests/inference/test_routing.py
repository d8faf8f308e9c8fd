"""Which models a study goes to."""

from __future__ import annotations

from center.reads import Reason
from inference.routing import ROUTES, StudySummary, models_for


def test_films_and_ecgs_find_their_models() -> None:
    for modality, model in (("CR", "chest_film"), ("DX", "chest_film"), ("ECG", "ecg_rhythm")):
        routes = models_for(StudySummary(frozenset({modality})))
        assert not isinstance(routes, Reason)
        assert [route.model for route in routes] == [model]


def test_a_study_with_a_film_and_a_report_goes_to_the_film_model() -> None:
    routes = models_for(StudySummary(frozenset({"DX", "SR"}), frozenset({"CHEST"})))
    assert not isinstance(routes, Reason)
    assert [route.kind for route in routes] == ["film"]


def test_nothing_that_fits_is_a_reason() -> None:
    for study in (StudySummary(frozenset({"CT"})), StudySummary(frozenset())):
        reason = models_for(study)
        assert isinstance(reason, Reason)
        assert reason.code == "no_model"


def test_a_model_that_was_refused_at_load_is_no_route() -> None:
    assert isinstance(models_for(StudySummary(frozenset({"DX"})), frozenset({"ecg_rhythm"})), Reason)


def test_every_route_names_a_kind_of_input_once() -> None:
    assert len({route.model for route in ROUTES}) == len(ROUTES)
    assert {route.kind for route in ROUTES} <= {"film", "ecg"}
