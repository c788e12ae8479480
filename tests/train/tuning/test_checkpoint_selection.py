"""Checkpoint selection keeps the last epoch unless another state is significantly better."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer

import train.tuning.checkpoint_selection
from rag.models.embedder import load_trainable, wrap
from rag.records import Chunk, Pair
from rag.settings import Settings
from train.tuning.checkpoint_selection import (
    FEWEST,
    LAST,
    MILDER,
    MOST,
    POOL_RANKS,
    START,
    CheckpointSelector,
    Weights,
    build_validation_pool,
    clearly_best,
)
from train.tuning.checkpoint_selection import hold_out_validation as aside

HALF = f"{MILDER[0]:.0%} of the last epoch's weights, the rest the start model's"


# --- which queries choose ------------------------------------------------------------------------------------------


def asked(n: int) -> list[Pair]:
    """Return two pairs for each of n queries."""
    names = [f"{number}{half}" for number in range(n) for half in "ab"]
    return [Pair(f"query {name[:-1]}", f"chunk {name}", f"text {name}") for name in names]


def test_with_few_queries_there_is_no_validation_set() -> None:
    assert aside(asked(100)) == (asked(100), [])


def test_validation_queries_are_not_trained_on() -> None:
    training, validation = aside(asked(500))
    assert {pair.query for pair in training}.isdisjoint(pair.query for pair in validation)
    assert sorted([*training, *validation], key=str) == sorted(asked(500), key=str)
    assert FEWEST <= len({pair.query for pair in validation}) <= MOST


def test_of_many_queries_at_most_the_limit_are_validation_queries() -> None:
    assert len({pair.query for pair in aside(asked(5000))[1]}) == MOST


def test_the_validation_queries_do_not_depend_on_the_order_of_the_pairs() -> None:
    assert set(aside(asked(500))[1]) == set(aside(asked(500)[::-1])[1])


def test_no_training_pair_shares_a_chunk_with_a_validation_query() -> None:
    """Six questions about each of 60 chunks: they choose together, or not."""
    pairs = [Pair(f"query {n}", f"chunk {n % 60}", f"text {n % 60}") for n in range(360)]
    training, validation = aside(pairs)
    assert FEWEST <= len(validation) <= MOST
    assert len(validation) % 6 == 0
    assert {pair.positive_id for pair in training}.isdisjoint(pair.positive_id for pair in validation)
    assert len(training) + len(validation) == 360


@pytest.mark.parametrize("n", [25, 40, 500])
def test_queries_that_all_share_one_chunk_give_no_validation_set(n: int) -> None:
    pairs = [Pair(f"query {number}", "chunk", "text") for number in range(n)]
    assert aside(pairs) == (pairs, [])


@pytest.mark.parametrize("large", [30, 39])
def test_for_a_choice_never_many_more_are_spared_than_are_wanted(large: int) -> None:
    """200 queries want 20 to choose by; a chunk that many ask for would take twice as many and more."""
    pairs = [*asked(200), *(Pair(f"many {n}", "popular", "popular text of all") for n in range(large))]
    training, validation = aside(pairs)
    assert len({pair.query for pair in validation}) >= FEWEST
    assert len({pair.query for pair in training}) >= 200 + large - 2 * 24


def test_training_only_pairs_are_kept_unless_they_share_a_chunk_with_validation() -> None:
    extra = [Pair(f"taught {n}", f"other {n}", f"other text {n}", judges=False) for n in range(500)]
    training, validation = aside([*asked(300), *extra])
    assert len(training) + len(validation) == 600 + 500
    assert len({pair.query for pair in validation}) == 30


# --- among what they look ------------------------------------------------------------------------------------------


def test_a_pool_holds_the_positives_and_what_the_start_model_ranks_first() -> None:
    chunks = np.eye(20, dtype=np.float32)
    ids, texts = [f"c{n}" for n in range(20)], [f"text {n}" for n in range(20)]
    query = np.linspace(1, 0, 20, dtype=np.float32)  # ranks the chunks in their order
    pairs = [Pair("q", "c12", "text 12"), Pair("q", "c13", "text 13"), Pair("other", "c0", "text 0")]
    pool = build_validation_pool(pairs, np.stack([query] * 3), passages(ids, texts), chunks)
    assert set(pool.ids) == {*ids[:POOL_RANKS], "c12", "c13"}
    assert [texts[ids.index(chunk_id)] for chunk_id in pool.ids] == list(pool.texts)
    assert pool.qrels.relevant == {"q": frozenset({"c12", "c13"}), "other": frozenset({"c0"})}
    np.testing.assert_array_equal(pool.start[1], chunks[[ids.index(chunk_id) for chunk_id in pool.ids]])


# --- which state is clearly better ---------------------------------------------------------------------------------


def values(*numbers: float) -> np.ndarray:
    return np.array(numbers, dtype=np.float64)


def test_a_lead_within_two_standard_errors_keeps_the_last_epoch() -> None:
    """Two queries won by 1 of nine: 0.22 ahead, at a standard error of 0.15."""
    level = values(*[0.5] * 9)
    ahead = level + values(1, 1, 0, 0, 0, 0, 0, 0, 0)
    assert clearly_best({LAST: level, START: ahead}, LAST) == LAST


def test_a_lead_of_more_than_two_standard_errors_does_not() -> None:
    """Four queries won by 1 of nine: 0.44 ahead, at a standard error of 0.18."""
    level = values(*[0.5] * 9)
    ahead = level + values(1, 1, 1, 1, 0, 0, 0, 0, 0)
    assert clearly_best({LAST: level, START: ahead}, LAST) == START
    further = level + values(1, 1, 1, 1, 1, 0, 0, 0, 0)
    assert clearly_best({LAST: level, START: ahead, "after epoch 1": further}, LAST) == "after epoch 1"


@pytest.mark.parametrize(("errors", "least", "most"), [(2.0, 0.05, 0.15), (1.0, 0.35, 0.55)])
def test_of_equally_good_states_the_last_is_rarely_left_by_chance(
    monkeypatch: pytest.MonkeyPatch, errors: float, least: float, most: float
) -> None:
    """Six states of one worth, 20 queries drawn with a fixed seed: by one standard error nearly half would leave."""
    assert train.tuning.checkpoint_selection.CLEARLY == 2.0
    monkeypatch.setattr(train.tuning.checkpoint_selection, "CLEARLY", errors)
    draws = np.random.default_rng(0).normal(size=(1000, 6, FEWEST))
    names = [LAST, START, "after epoch 1", "after epoch 2", *map(str, MILDER)]
    left = sum(clearly_best(dict(zip(names, draw, strict=True)), LAST) != LAST for draw in draws)
    assert least < left / len(draws) < most


def test_equal_states_keep_the_last() -> None:
    level = values(0.5, 0.5, 0.5)
    assert clearly_best({START: level, LAST: level}, LAST) == LAST


# --- a real model --------------------------------------------------------------------------------------------------

THINGS = ["cat", "dog", "bird", "fish", "milk", "bone", "seed", "water"]
PLACES = ["house", "garden", "river", "mountain"]
TEXTS = {f"{thing}-{place}": f"{place} keeps one {thing} warm" for thing in THINGS for place in PLACES}
PAIRS = [Pair(f"the {text}", chunk_id, text) for chunk_id, text in TEXTS.items()]  # which a sound model finds


@pytest.fixture
def model(settings: Settings) -> SentenceTransformer:
    return load_trainable(settings.start_model, settings)


def passages(ids: list[str], texts: list[str]) -> list[Chunk]:
    return [Chunk(each, "d", "d.txt", "", "", None, text, 0, len(text)) for each, text in zip(ids, texts, strict=True)]


def chooser_of(model: SentenceTransformer, settings: Settings, memory: Path | None = None) -> CheckpointSelector:
    """Return a selector that begins with the weights that the model has now."""
    embedder = wrap(model, "it", settings)
    queries, texts = ([getattr(pair, name) for pair in PAIRS] for name in ("query", "positive"))
    chunks = passages(list(TEXTS), list(TEXTS.values()))
    pool = build_validation_pool(PAIRS, embedder.embed_queries(queries), chunks, embedder.embed_documents(texts))
    return CheckpointSelector(model, embedder, pool, memory)


def weights(model: SentenceTransformer) -> Weights:
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


def shifted(model: SentenceTransformer, far: float) -> Weights:
    """Return the weights with all words moved far the same way, where they are indistinguishable."""
    state = weights(model)
    (name,) = (name for name in state if name.endswith("word_embeddings.weight"))
    state[name][:, 0] += far
    return state


def broken(model: SentenceTransformer) -> None:
    """Make a model embed every text by its length alone."""
    state = weights(model)
    model.load_state_dict({name: torch.zeros_like(t) if "word_embeddings" in name else t for name, t in state.items()})


def is_at(model: SentenceTransformer, state: Weights) -> bool:
    return all(torch.equal(tensor, state[name]) for name, tensor in weights(model).items())


def test_a_last_state_that_is_no_worse_is_kept(settings: Settings, model) -> None:
    selector = chooser_of(model, settings)
    model.load_state_dict(last := shifted(model, 1e-4))
    assert selector.select() == LAST
    assert is_at(model, last)


def test_a_training_that_broke_the_model_is_undone(settings: Settings, model) -> None:
    start = weights(model)
    selector = chooser_of(model, settings)
    broken(model)
    selector.evaluate_state("after epoch 1")
    assert selector.select() == START
    assert is_at(model, start)


def test_an_epoch_before_the_last_is_kept_where_it_is_clearly_best(settings: Settings, model) -> None:
    good = weights(model)
    broken(model)
    selector = chooser_of(model, settings)
    model.load_state_dict(good)
    selector.evaluate_state("after epoch 1")
    broken(model)
    selector.evaluate_state("after epoch 2")
    assert selector.select() == "after epoch 1"
    assert is_at(model, good)


def test_a_resumed_training_selects_as_if_it_had_not_been_interrupted(
    settings: Settings, model, tmp_path: Path
) -> None:
    good, memory = weights(model), tmp_path / "checkpoints"
    broken(model)
    start = weights(model)
    selector = chooser_of(model, settings, memory)
    selector.evaluate_state("after epoch 1")  # no better than the start
    model.load_state_dict(good)
    selector.evaluate_state("after epoch 2")

    model.load_state_dict(start)  # a process of its own begins with the start weights, and has passed epoch 2
    resumed = chooser_of(model, settings, memory)
    resumed.evaluate_state("after epoch 3")
    assert resumed.select() == "after epoch 2"
    assert is_at(model, good)


def test_weights_half_way_between_start_and_last_are_kept_where_they_are_clearly_best(
    settings: Settings, model
) -> None:
    good, one_way, other_way = (shifted(model, far) for far in (0, 1000, -1000))
    model.load_state_dict(one_way)
    selector = chooser_of(model, settings)
    model.load_state_dict(other_way)
    assert selector.select() == HALF
    for name, tensor in weights(model).items():
        torch.testing.assert_close(tensor, good[name], atol=1e-3, rtol=0)


def test_evaluating_a_state_changes_neither_weights_nor_training_mode(settings: Settings, model) -> None:
    selector = chooser_of(model, settings)
    before = weights(model)
    model.train()
    selector.evaluate_state("after epoch 1")
    assert model.training
    assert is_at(model, before)
    model.eval()
    selector.evaluate_state("after epoch 2")
    assert not model.training


def test_a_query_with_two_relevant_chunks_is_one_validation_query() -> None:
    pairs = [PAIRS[0], replace(PAIRS[1], query=PAIRS[0].query)]
    vectors = np.eye(2, dtype=np.float32)
    pool = build_validation_pool(pairs, vectors[[0, 0]], passages(list(TEXTS)[:2], list(TEXTS.values())[:2]), vectors)
    assert len(pool.qrels) == 1
    assert pool.start[0].shape == (1, 2)
