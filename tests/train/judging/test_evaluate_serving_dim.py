"""A version that serves fewer dimensions: truncated, normalised, and the same after loading."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rag.errors import BadSetting
from rag.models.embedder import load_embedder
from rag.records import Pair
from rag.settings import Settings
from train.recipe import Recipe, check_dims
from train.tuning.challenger import FineTuneFactory

PAIRS = [Pair(f"where is the {thing}", thing, f"the {thing} sleeps in the house") for thing in ("cat", "dog", "fish")]


def test_a_version_serves_the_dimensions_it_was_made_for(settings: Settings, tmp_path: Path) -> None:
    start = load_embedder(settings.start_model, settings)
    recipe = Recipe(1, 2, 1e-3, (32, 16), serve_dim=16)
    vectors = np.zeros((0, 32), np.float32)
    tuner = FineTuneFactory(
        settings, settings.start_model, lambda pairs, model: recipe, start, [], vectors, chooses=False
    )
    made = tuner.make(PAIRS, "v1")
    made.save(tmp_path / "v1")
    loaded = load_embedder(str(tmp_path / "v1"), settings)
    assert (loaded.dim, made.embedder.dim) == (16, 16)
    assert loaded.fingerprint == made.embedder.fingerprint
    (vector,) = loaded.embed_queries(["where is the cat"])
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-3)


def test_a_dimension_that_the_model_lacks_is_refused_by_name() -> None:
    with pytest.raises(BadSetting, match="64 dimensions: the start model's vectors have 1 to 32"):
        check_dims([16, 64], 32)
