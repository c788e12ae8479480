"""The demo's home: seeded without training, measured on questions that the shipped adapter has never seen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rag.errors import BadSetting
from rag.models.embedder import load_embedder
from rag.models.registry import Registry
from rag.settings import Settings
from thumbtune.demo.measuring import measure
from thumbtune.demo.seeding import DATA, NAME, SHIPPED, KnownVectors, demo_settings, held_out, key, read_vectors, seed
from thumbtune.home import Home


@pytest.mark.e2e
def test_the_tuned_version_serves_and_ranks_better_on_questions_it_has_never_seen(tmp_path: Path) -> None:
    """With the real model. It fails when the pages have moved so far from the adapter that the demo shows no gain."""
    settings = demo_settings(tmp_path / "demo")
    seed(settings)
    measured = measure(settings)
    assert measured.gain.low > 0
    assert len(measured.questions) >= 100
    said = "\n".join(measured.lines())
    assert f"on {len(measured.questions)} questions" in said
    assert "more than chance explains" in said
    seed(settings)  # nothing is left to do
    assert [version.name for version in Registry(settings.models).versions()] == [NAME]
    with Home(settings.home, docs=settings.docs, llm="extractive") as home:
        assert home.champion
        assert home.ask("How do I use a local model with Ollama?").model == NAME


def test_a_folder_with_something_else_is_refused_and_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(BadSetting, match="holds something else"):
        seed(demo_settings(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_only_unknown_texts_are_computed(settings: Settings, tiny_model: Path) -> None:
    model = load_embedder(str(tiny_model), settings)
    known = np.eye(model.dim, dtype=np.float32)[0]
    both = KnownVectors(model, {key("known"): known}).embed_documents(["new", "known", "new too"])
    assert np.array_equal(both[1], known)
    assert np.allclose(both[[0, 2]], model.embed_documents(["new", "new too"]), atol=1e-3)


def test_what_is_shipped_is_complete_and_small() -> None:
    assert {path.name for path in DATA.iterdir()} == set(SHIPPED)
    assert sum(path.stat().st_size for path in DATA.iterdir()) < 2_000_000
    assert len(held_out()) > 200
    assert all(abs(np.linalg.norm(vector) - 1) < 1e-5 for vector in read_vectors().values())
