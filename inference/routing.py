"""What a study holds -> the models that may read it, as one table, or why there is none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from center.reads import Reason

NO_MODEL: Final = Reason(
    "no_model",
    "没有适用于这项检查的模型。请直接阅片。",
    "There is no model for this kind of study. Please read without it.",
)


@dataclass(frozen=True, slots=True)
class StudySummary:
    """What a route may look at: DICOM modalities and body parts of all its series, as sent."""

    modalities: frozenset[str]
    body_parts: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Route:
    """One row of the table: the model's folder name, the kind of input it takes, and what it is for."""

    model: str
    kind: str
    fits: Callable[[StudySummary], bool]


def _holds(*modalities: str) -> Callable[[StudySummary], bool]:
    return lambda study: bool(study.modalities & set(modalities))


#: In the order in which they run. Body parts are not asked: they are often empty or wrong, and the gate looks itself.
ROUTES: Final = (
    Route("chest_film", "film", _holds("CR", "DX")),
    Route("ecg_rhythm", "ecg", _holds("ECG")),
)


def models_for(study: StudySummary, loaded: frozenset[str] | None = None) -> tuple[Route, ...] | Reason:
    """The routes that fit (of ``loaded`` models only, when given); a Reason when none does."""
    fitting = tuple(route for route in ROUTES if route.fits(study) and (loaded is None or route.model in loaded))
    return fitting or NO_MODEL
