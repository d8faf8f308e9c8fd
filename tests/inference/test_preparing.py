"""What the network sees of a film."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.preparing import SIDE, collimated, prepared, reduced, resampled
from tests.makers.film import make_film

FILM = make_film(3, rows=300, columns=260)


@settings(max_examples=25, deadline=None)
@given(st.integers(96, 400), st.integers(96, 400), st.integers(0, 1000))
def test_any_size_becomes_the_same_square(rows: int, columns: int, seed: int) -> None:
    view = prepared(np.random.default_rng(seed).random((rows, columns), dtype=np.float32))
    assert view.shape == (1, SIDE, SIDE)
    assert view.dtype == np.float32
    assert np.isfinite(view).all()
    assert view.min() >= -1 and view.max() <= 1


def test_window_and_scale_hardly_matter() -> None:
    assert np.abs(prepared(FILM * 0.4 + 0.3) - prepared(FILM)).max() < 1e-3
    assert np.abs(prepared(FILM**1.4) - prepared(FILM)).mean() < 0.05


def test_a_black_border_is_cut_off() -> None:
    bordered = np.pad(FILM, 30)
    rows, columns = collimated(bordered).shape
    assert abs(rows - FILM.shape[0]) < 20 and abs(columns - FILM.shape[1]) < 20
    assert np.corrcoef(prepared(bordered).ravel(), prepared(FILM).ravel())[0, 1] > 0.8  # 2 % of it stays


def test_an_even_field_stays_finite() -> None:
    assert not prepared(np.full((200, 200), 0.3, np.float32)).any()


@pytest.mark.parametrize("shape", [(128, 128), (64, 96), (1000, 700)])
def test_resampling_keeps_the_mean_and_a_constant(shape: tuple[int, int]) -> None:
    assert np.allclose(resampled(np.full(shape, 0.25, np.float32), 128, 128), 0.25, atol=1e-5)
    noise = np.random.default_rng(2).random(shape, dtype=np.float32)
    assert abs(float(resampled(noise, 128, 128).mean() - noise.mean())) < 0.01


def test_fine_stripes_are_averaged_not_aliased() -> None:
    stripes = np.tile(np.array([0, 1], np.float32), (1000, 500))
    assert resampled(stripes, 128, 128).std() < 0.05


def test_a_large_film_is_reduced_and_looks_the_same() -> None:
    large = make_film(3, rows=2400, columns=2080)
    assert max(reduced(large).shape) == 512
    assert np.abs(prepared(reduced(large)) - prepared(large)).mean() < 0.03
