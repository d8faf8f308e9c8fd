"""The committed film model, loaded once a run."""

from __future__ import annotations

from pathlib import Path

import pytest

from inference.device import Device
from inference.registry import FilmModel, load_film_model

CHEST_FILM = Path(__file__).parents[2] / "models" / "chest_film"


@pytest.fixture(scope="session")
def film_model() -> FilmModel:
    return load_film_model(CHEST_FILM, Device.chosen("cpu"))
