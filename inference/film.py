"""A film -> a preliminary read by the film model: findings with probabilities, or an abstention with its reason."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from center.reads import FilmInput, Finding, ModelInput, Outcome, PreliminaryRead, Reason
from inference import gate
from inference.registry import FilmModel

_NOT_A_FILM: Final = gate.UNKNOWN_KIND


def film_reader(model: FilmModel) -> Callable[[ModelInput], PreliminaryRead]:
    """``read_film`` with its model, as the reading loop's table wants it."""
    return lambda given: read_film(given, model)


def read_films(given: Iterable[ModelInput], model: FilmModel) -> list[PreliminaryRead]:
    """Each film's read; the same as if it were alone."""
    return [read_film(one, model) for one in given]


def read_film(given: ModelInput, model: FilmModel) -> PreliminaryRead:
    """The read of one film.  Deterministic; abstains rather than raise, whatever the pixels and tags are."""
    film = given.film
    if given.kind != "film" or film is None:
        return _abstained(given, model, _NOT_A_FILM, {})
    quality = gate.notes(film)
    reason = gate.refused_by_header(film) or gate.refused_by_pixels(film)
    if reason is not None:
        return _abstained(given, model, reason, quality)
    answer = _looked_at(film, model, quality)
    if isinstance(answer, Reason):
        return _abstained(given, model, answer, quality)
    return PreliminaryRead(
        "film", model.name, model.version, given.input_digest, Outcome.READ, findings=answer, quality=quality
    )


def _looked_at(film: FilmInput, model: FilmModel, quality: dict[str, object]) -> tuple[Finding, ...] | Reason:
    """The findings; ``quality`` gets the gate's figures, whatever comes of it."""
    view = model.view(film.pixels)
    quality |= {"chest_score": round(view.chest, 4), "distance": round(view.distance, 3)}
    reason = gate.refused_by_view(view, model.limits)
    if reason is not None:
        return reason
    asked = gate.labels_at(film.age_years, model.labels)
    if isinstance(asked, Reason):
        return asked
    logits = {label.key: column for label, column in zip(model.labels, zip(*view.logits, strict=True), strict=True)}
    return gate.found(asked, logits, model.limits)


def _abstained(given: ModelInput, model: FilmModel, reason: Reason, quality: dict[str, object]) -> PreliminaryRead:
    return PreliminaryRead(
        "film", model.name, model.version, given.input_digest, Outcome.ABSTAINED, reason, quality=quality
    )
