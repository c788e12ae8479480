"""Factories change none of their inputs, and return a model that can be evaluated and saved."""

from __future__ import annotations

from dataclasses import replace
from itertools import accumulate
from pathlib import Path

import numpy as np
import pytest

from fakes import make_chunk
from rag.models.embedder import load_embedder, load_trainable, unadapted
from rag.records import Pair
from rag.settings import Settings
from train.dataset.earlier_versions import trained_pairs
from train.recipe import Recipe
from train.tuning.challenger import AdapterFactory, FineTuneFactory, as_embedded, distilled
from train.tuning.checkpoint_selection import FEWEST, LAST
from train.tuning.hybrid_teacher import make_teacher
from train.tuning.version_folder import trained_recipe

CHUNKS = [
    make_chunk(f"{one} {two} {three}")
    for one in ("cat", "dog", "bird", "fish", "milk", "bone")
    for two in ("house", "garden", "river", "mountain", "night", "day")
    for three in ("opens", "closes", "needs", "shows", "finds", "stores", "keeps")
]
PAIRS = [Pair(f"where {n} is {chunk.text}", chunk.id, chunk.text) for n, chunk in enumerate(CHUNKS)]
RECIPE = Recipe(epochs=2, batch=16, rate=1e-4, dims=(32, 16))


@pytest.fixture
def tuner(settings: Settings) -> FineTuneFactory:
    start = load_embedder(settings.start_model, settings)
    vectors = start.embed_documents([chunk.text for chunk in CHUNKS])
    return FineTuneFactory(
        settings, settings.start_model, lambda pairs, model: RECIPE, start, CHUNKS, vectors, chooses=True
    )


@pytest.mark.parametrize("recipe", [RECIPE, replace(RECIPE, lora=4, rate=1e-3)], ids=["whole", "low rank"])
def test_some_queries_are_validation_queries_and_all_pairs_are_recorded(
    tuner: FineTuneFactory, tmp_path: Path, recipe: Recipe
) -> None:
    made = replace(tuner, recipe_for=lambda pairs, model: recipe).make(PAIRS, "v1")
    choosing = made.facts["queries that chose the weights"]
    assert isinstance(choosing, int)
    assert choosing >= FEWEST
    assert made.facts["examples"] == 2 * (len(PAIRS) - choosing)
    assert made.facts["kept"] == LAST  # one epoch more does no harm here
    made.save(tmp_path / "v1")
    assert trained_pairs(tmp_path / "v1") == PAIRS  # also those that chose: the model knows them
    assert trained_recipe(tmp_path / "v1") == recipe
    served = load_embedder(str(tmp_path / "v1"), tuner.settings)
    assert served.fingerprint == made.embedder.fingerprint != tuner.start.fingerprint


def test_without_checkpoint_selection_every_pair_is_trained_on(tuner: FineTuneFactory) -> None:
    made = replace(tuner, chooses=False).make(PAIRS[:32], "v1")
    examples_ones = made.facts["examples"]
    assert isinstance(examples_ones, int)
    assert 2 * 32 - RECIPE.batch / 2 < examples_ones <= 2 * 32  # a rest of less than half a batch is no step
    assert made.facts["queries that chose the weights"] == 0
    assert replace(tuner, chooses=True).make(PAIRS[:32], "v1").embedder.fingerprint == made.embedder.fingerprint


def test_every_call_starts_afresh(tuner: FineTuneFactory) -> None:
    first, second = (replace(tuner, chooses=False).make(PAIRS[:32], name) for name in ("v1", "v2"))
    assert first.embedder.fingerprint == second.embedder.fingerprint
    assert load_embedder(tuner.reference, tuner.settings).fingerprint == tuner.start.fingerprint


def test_an_adapter_keeps_the_models_vectors_and_saves_its_name(tuner: FineTuneFactory, tmp_path: Path) -> None:
    start = distilled(tuner.start, tuner.vectors, make_teacher(CHUNKS), seed=0)
    made = AdapterFactory(tuner.start, CHUNKS, tuner.vectors, start, seed=0).make(PAIRS, "v1")
    assert made.vectors is tuner.vectors
    assert made.embedder.fingerprint == tuner.start.fingerprint
    assert made.facts["adapts"] == tuner.start.reference
    made.save(tmp_path / "v1")
    assert trained_pairs(tmp_path / "v1") == PAIRS
    assert trained_recipe(tmp_path / "v1") is None
    served, queries = load_embedder(str(tmp_path / "v1"), tuner.settings), [pair.query for pair in PAIRS[:3]]
    np.testing.assert_array_equal(served.embed_queries(queries), made.embedder.embed_queries(queries))


def test_a_tuned_model_that_a_teacher_turned_is_saved_and_loaded_with_its_adapter(
    tuner: FineTuneFactory, tmp_path: Path
) -> None:
    seen: list[tuple[int, int]] = []
    taught = replace(
        tuner,
        chooses=False,
        teacher=make_teacher([replace(chunk, text=f"{chunk.text} and {chunk.text}") for chunk in CHUNKS]),
        bar=lambda task: lambda done, total: seen.append((done, total)),
    )
    made, plain = taught.make(PAIRS[:32], "v1"), replace(tuner, chooses=False).make(PAIRS[:32], "v1")
    assert made.vectors is not None
    assert made.vectors.shape == tuner.vectors.shape
    assert len(CHUNKS) in {total for _, total in seen}
    bar = [each for each in seen if each[1] != len(CHUNKS)]  # one bar, that is full at its end and not before
    (total,) = {total for _, total in bar}
    so_far = list(accumulate(done for done, _ in bar))  # each step adds to it, as in `train.progress.bar`
    assert so_far == sorted(so_far)
    assert [each == total for each in so_far] == [False] * (len(bar) - 1) + [True]
    assert unadapted(made.embedder).fingerprint == made.embedder.fingerprint == plain.embedder.fingerprint
    made.save(tmp_path / "v1")
    assert trained_recipe(tmp_path / "v1") == RECIPE
    served, queries = load_embedder(str(tmp_path / "v1"), tuner.settings), [pair.query for pair in PAIRS[:3]]
    np.testing.assert_allclose(served.embed_queries(queries), made.embedder.embed_queries(queries), atol=1e-2)
    assert served.query_fingerprint == made.embedder.query_fingerprint != plain.embedder.query_fingerprint
    assert load_trainable(str(tmp_path / "v1"), tuner.settings) is not None


def test_chunks_are_trained_with_their_headings_and_derived_texts_without() -> None:
    pass_, key = make_chunk("They expire.", heading="Passes"), make_chunk("They open it.", heading="Keys")
    pairs = [Pair("how long?", pass_.id, pass_.text, (key.text, "gone")), Pair("what?", key.id, "open it.")]
    assert [(pair.positive, pair.negatives) for pair in as_embedded(pairs, [pass_, key])] == [
        ("Passes: They expire.", ("Keys: They open it.", "gone")),
        ("open it.", ()),
    ]


def test_a_text_under_two_headings_is_trained_with_the_heading_of_its_chunk() -> None:
    one, two = make_chunk("Yes.", "a.md", heading="One"), make_chunk("Yes.", "b.md", heading="Two")
    pairs = [Pair("q", two.id, "Yes."), Pair("q", one.id, "Yes.")]
    assert [pair.positive for pair in as_embedded(pairs, [one, two])] == ["Two: Yes.", "One: Yes."]
