"""The committed film model: it loads only unharmed, reads or abstains, and its card's figures are true."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from center.reads import FilmInput, ModelInput, Outcome
from inference.device import Device
from inference.film import film_reader, read_film, read_films
from inference.registry import FilmModel, Spoiled, files_of, load_film_model, load_models
from tests.inference.conftest import CHEST_FILM
from tests.makers.film import Flaw, Sign, make_film
from tests.outside import outside_data

MANIFEST = json.loads((CHEST_FILM / "manifest.json").read_text("utf-8"))
DX_FOR_PRESENTATION = "1.2.840.10008.5.1.4.1.1.1.1"


@cache
def made(seed: int, flaw: Flaw | None = None, *, child: bool = False) -> np.ndarray:
    """A film of our own, drawn once a run: drawing takes longer than reading."""
    return make_film(seed, rows=200, columns=180, flaw=flaw, child=child)


def film_of(pixels: np.ndarray, age: float | None = 40.0) -> ModelInput:
    return ModelInput(
        "film", "1.2.3", ("1.2.3.4",), "a" * 64, film=FilmInput(pixels, "DX", DX_FOR_PRESENTATION, age_years=age)
    )


@pytest.fixture(scope="module")
def packs() -> ModuleType:
    """The training script's own readers of the packs."""
    sys.path.insert(0, str(CHEST_FILM))
    import films

    return films


# --- loading --------------------------------------------------------------------------------------------------------


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    return Path(shutil.copytree(CHEST_FILM, tmp_path / "models" / "chest_film"))


def test_the_manifest_lists_every_file_as_it_is() -> None:
    assert files_of(CHEST_FILM) == MANIFEST["files"]


def test_the_weights_are_small_enough_for_the_repository() -> None:
    assert (CHEST_FILM / "models" / "model.safetensors").stat().st_size < 10_000_000


def test_the_registry_serves_the_committed_model() -> None:
    registry = load_models(CHEST_FILM.parent, Device.chosen("cpu"))
    assert "chest_film" in registry.films
    assert not [refused for refused in registry.refused if refused.name == "chest_film"]


@pytest.mark.parametrize("name", ["models/model.safetensors", "docs/README.md", "golden/adult.png"])
def test_one_flipped_bit_in_any_file_keeps_the_model_out(copied: Path, name: str) -> None:
    content = bytearray((copied / name).read_bytes())
    content[len(content) // 2] ^= 1
    (copied / name).write_bytes(content)
    registry = load_models(copied.parent, Device.chosen("cpu"))
    assert not registry.films
    assert registry.refused[0].reason.code == "digest_differs"
    assert "chest_film" in registry.refused[0].reason.en and "chest_film" in registry.refused[0].reason.zh


def test_other_weights_with_a_matching_digest_fail_the_golden_films(copied: Path) -> None:
    from safetensors.numpy import load_file, save_file

    path = copied / "models" / "model.safetensors"
    tensors = load_file(path)
    tensors["head.bias"] = tensors["head.bias"] + 0.5
    save_file(tensors, path)
    manifest = json.loads((copied / "manifest.json").read_text("utf-8")) | {"files": files_of(copied)}
    (copied / "manifest.json").write_text(json.dumps(manifest), "utf-8")
    with pytest.raises(Spoiled) as spoiled:
        load_film_model(copied, Device.chosen("cpu"))
    assert spoiled.value.reason.code == "golden_differs"


@pytest.mark.parametrize("harm", ["no json", "no labels", "weights cut", "no golden"])
def test_a_harmed_manifest_or_weights_keep_the_model_out(copied: Path, harm: str) -> None:
    path, manifest = copied / "manifest.json", dict(MANIFEST)
    if harm == "weights cut":
        weights = copied / "models" / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:5000])
        manifest["files"] = files_of(copied)
    if harm == "no labels":
        del manifest["labels"]
    if harm == "no golden":
        manifest["golden"] = {}
    path.write_text("{" if harm == "no json" else json.dumps(manifest), "utf-8")
    registry = load_models(copied.parent, Device.chosen("cpu"))
    assert not registry.films
    assert registry.refused[0].reason.code in ("manifest_invalid", "golden_differs")


def test_the_card_says_what_the_manifest_says() -> None:
    sys.path.insert(0, str(CHEST_FILM))
    from card import card_text

    assert (CHEST_FILM / "docs" / "README.md").read_text("utf-8") == card_text(MANIFEST)


# --- reading --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("flaw", [Flaw.BLANK, Flaw.MISSING_VALUES])
def test_blank_and_missing_values_abstain(film_model: FilmModel, flaw: Flaw) -> None:
    read = read_film(film_of(made(5, flaw)), film_model)
    assert read.outcome is Outcome.ABSTAINED
    assert read.reason is not None and read.reason.code == "unreadable_pixels"


@pytest.mark.parametrize("flaw", [Flaw.NOISE, Flaw.INVERTED, Flaw.TURNED, Flaw.UPSIDE_DOWN])
def test_what_is_no_upright_film_abstains(film_model: FilmModel, flaw: Flaw) -> None:
    for seed in (0, 1):
        read = read_film(film_of(made(seed, flaw)), film_model)
        assert read.reason is not None and read.reason.code == "not_frontal_chest"
        assert read.findings == ()


def test_a_read_names_model_version_and_input(film_model: FilmModel) -> None:
    read = read_film(film_of(made(1)), film_model)
    assert (read.kind, read.model, read.version) == ("film", "chest_film", MANIFEST["version"])
    assert read.input_digest == "a" * 64
    assert {"rows", "columns", "chest_score", "distance"} <= set(read.quality)


def test_a_recording_is_not_read_as_a_film(film_model: FilmModel) -> None:
    given = ModelInput("ecg", "1.2.3", ("1.2.3.4",), "a" * 64)
    read = film_reader(film_model)(given)
    assert read.outcome is Outcome.ABSTAINED
    assert read.reason is not None and read.reason.code == "unknown_kind"


@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seeds=st.lists(st.integers(0, 2), min_size=2, max_size=3), age=st.sampled_from([3.0, 40.0, None]))
def test_batch_does_not_matter(film_model: FilmModel, seeds: list[int], age: float | None) -> None:
    given = [film_of(made(seed, child=age == 3.0), age) for seed in seeds]
    given.append(film_of(np.full((160, 150), np.nan, np.float32), age))
    together = read_films(given, film_model)
    assert together == [read_film(one, film_model) for one in given]
    assert list(reversed(together)) == read_films(list(reversed(given)), film_model)
    assert together[-1].outcome is Outcome.ABSTAINED


def test_arrays_of_any_layout_read_the_same(film_model: FilmModel) -> None:
    film = made(1)
    assert read_film(film_of(np.asfortranarray(film)), film_model) == read_film(film_of(film), film_model)


# --- real films -----------------------------------------------------------------------------------------------------


def test_other_parts_of_the_body_abstain(film_model: FilmModel, packs: ModuleType) -> None:
    folder = outside_data("cxr/parts.zip").parent
    rows = [row for row in packs.rows_of("parts", folder) if row.split == "test" and row.label != "CXR"][::7]
    films = [packs.resampled(film, 128, 128) for film in packs.films_of(rows, folder)]
    outcomes = [read_film(film_of(film), film_model).outcome for film in films]
    assert len(outcomes) > 40
    assert outcomes.count(Outcome.READ) <= 1


def test_the_cards_figure_for_tuberculosis_comes_out_again(film_model: FilmModel, packs: ModuleType) -> None:
    folder = outside_data("cxr/shenzhen.zip").parent
    rows = [row for row in packs.rows_of("shenzhen", folder) if row.split == "test"]
    scores = [film_model.scores(film)["tuberculosis"] for film in packs.films_of(rows, folder)]
    figure = MANIFEST["metrics"]["findings"]["tuberculosis"]["held_out"]
    truth = [row.targets["tuberculosis"] > 0.5 for row in rows]
    assert len(rows) == figure["n"]
    assert ranked(truth, scores) == pytest.approx(figure["auc"], abs=0.005)
    assert figure["ci95"][0] > 0.5


def test_children_with_pneumonia_score_higher_than_those_without(film_model: FilmModel, packs: ModuleType) -> None:
    folder = outside_data("cxr/kermany.zip").parent
    rows = [row for row in packs.rows_of("kermany", folder) if row.split == "test"][::20]
    films = packs.films_of(rows, folder)
    truth = [row.targets["pneumonia"] > 0.5 for row in rows]
    scores = [film_model.scores(film)["pneumonia"] for film in films]
    assert ranked(truth, scores) > 0.9
    reads = [read_film(film_of(film, 3.0), film_model) for film in films[:12]]
    assert {finding.key for read in reads for finding in read.findings} == {"pneumonia"}
    unknown = read_film(film_of(films[0], None), film_model)
    assert unknown.outcome is Outcome.ABSTAINED and unknown.findings == ()


def ranked(truth: list[bool], scores: list[float]) -> float:
    """AUC: share of pairs in the right order, ties half."""
    sick = np.array([s for s, t in zip(scores, truth, strict=True) if t])
    well = np.array([s for s, t in zip(scores, truth, strict=True) if not t])
    return float(((sick[:, None] > well).mean() + (sick[:, None] >= well).mean()) / 2)


def test_made_films_are_the_same_for_the_same_seed() -> None:
    signs = frozenset(Sign)
    first = make_film(4, rows=128, columns=120, signs=signs)
    assert first.shape == (128, 120) and first.dtype == np.float32
    assert first.min() >= 0 and first.max() <= 1
    assert np.array_equal(first, make_film(4, rows=128, columns=120, signs=signs))
    assert not np.array_equal(first, make_film(5, rows=128, columns=120))


def test_an_ordinary_made_film_of_a_grown_up_is_read(film_model: FilmModel) -> None:
    read = read_film(film_of(made(1)), film_model)
    assert read.outcome is Outcome.READ
    assert [finding.key for finding in read.findings] == ["tuberculosis", "effusion", "cardiomegaly"]
    assert all(0 <= finding.probability <= 1 and finding.codes for finding in read.findings)


def test_a_film_of_another_kind_is_refused_before_its_pixels_are_seen(film_model: FilmModel) -> None:
    given = film_of(made(1))
    assert given.film is not None
    lateral = replace(given, film=replace(given.film, view_position="LL"))
    assert "chest_score" not in read_film(lateral, film_model).quality


def test_the_folder_runs_as_a_monai_bundle(capsys: pytest.CaptureFixture[str]) -> None:
    from monai.bundle import run

    run(config_file=str(CHEST_FILM / "configs" / "inference.json"), bundle_root=str(CHEST_FILM))
    printed = capsys.readouterr().out
    assert "adult.png" in printed and "frontal_chest" in printed
