"""Real training of a tiny model: it learns, is deterministic, resumes, and saves a plain model."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import Dataset
from sentence_transformers import SentenceTransformer

from rag.models.embedder import load_embedder, load_trainable, wrap
from rag.records import Pair
from rag.settings import Settings
from train.recipe import Recipe
from train.tuning.trainer import COMPLETE_MARKER, _UniqueChunkSampler, tune, write_weights

ROUNDED = 2e-4  # where a processor has bfloat16, its kernels round in another order for another call

THINGS = ["cat", "dog", "bird", "fish", "milk", "bone", "seed", "water"]
PLACES = ["house", "garden", "river", "mountain"]
PAIRS = [
    Pair(
        f"where is the {thing} of the {place}",
        f"{thing}-{place}",
        f"{place} keeps one {thing} warm",
        (f"cold {place}",),
    )
    for thing in THINGS
    for place in PLACES
]
RECIPE = Recipe(epochs=1, batch=8, rate=1e-4, dims=(32, 16))
LORA = replace(RECIPE, lora=4, rate=1e-3)
Weights = dict[str, torch.Tensor]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def model(settings: Settings) -> SentenceTransformer:
    return load_trainable(settings.start_model, settings)


def weights(model: SentenceTransformer) -> Weights:
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


def tuned(settings: Settings, recipe: Recipe, pairs: list[Pair] = PAIRS) -> Weights:
    model = load_trainable(settings.start_model, settings)
    tune(model, pairs, recipe)
    return weights(model)


def differ(one: Weights, other: Weights) -> bool:
    assert one.keys() == other.keys()
    return any(not torch.equal(one[name], other[name]) for name in one)


def words(model: SentenceTransformer) -> np.ndarray:
    (found,) = (p for name, p in model.named_parameters() if name.endswith("word_embeddings.weight"))
    return found.detach().numpy().copy()


def margin(model: SentenceTransformer, settings: Settings) -> float:
    """Return by how much queries are nearer to their own positives than to all."""
    embedder = wrap(model, "it", settings)
    scores = embedder.embed_queries([p.query for p in PAIRS]) @ embedder.embed_documents([p.positive for p in PAIRS]).T
    return float(np.mean(np.diag(scores)) - np.mean(scores))


def test_queries_come_nearer_to_their_positives_than_to_the_rest(settings: Settings, model) -> None:
    before = margin(model, settings)
    done = tune(model, PAIRS, replace(RECIPE, epochs=8))
    assert margin(model, settings) > 1.3 * before > 0
    assert (done.examples, done.steps) == (8 * 32, 8 * 8)  # of four rows each: there are four negatives
    assert done.loss > 0


def test_the_loss_without_matryoshka_learns(settings: Settings, model) -> None:
    before = margin(model, settings)
    tune(model, PAIRS, replace(RECIPE, epochs=6, loss="mnrl"))
    assert margin(model, settings) > 1.03 * before


@pytest.mark.parametrize("recipe", [RECIPE, LORA])
def test_the_same_seed_gives_the_same_weights_and_another_seed_others(settings: Settings, recipe: Recipe) -> None:
    first, again, other = (tuned(settings, replace(recipe, seed=seed)) for seed in (3, 3, 4))
    assert not differ(first, again)
    assert differ(first, other)


def test_a_pair_of_twice_the_weight_is_sampled_twice_as_often(model) -> None:
    done = tune(model, [replace(pair, weight=2.0) for pair in PAIRS], RECIPE)
    assert (done.examples, done.steps) == (2 * 32, 2 * 8)


def test_pairs_without_negatives_train_too(model) -> None:
    assert tune(model, [replace(pair, negatives=()) for pair in PAIRS], RECIPE).steps == 4


def test_a_model_learns_with_the_prompt_that_it_serves_with(model) -> None:
    """The word of the prompt stands in no pair: its embedding moves only if the prompt was put before the queries."""
    word = model.tokenizer.convert_tokens_to_ids("night")
    assert not any("night" in f"{pair.query} {pair.positive} {pair.negatives}" for pair in PAIRS)
    start = words(model)
    tune(model, PAIRS, RECIPE)
    np.testing.assert_array_equal(words(model)[word], start[word])
    model.prompts["query"] = "night "
    tune(model, PAIRS, RECIPE)
    assert not np.array_equal(words(model)[word], start[word])


def test_no_pairs_are_an_error(model) -> None:
    with pytest.raises(ValueError, match="no pairs to train on"):
        tune(model, [], RECIPE)


def test_a_batch_in_parts_learns_what_a_batch_in_one_go_does(settings: Settings) -> None:
    def without_dropout(mini_batch: int) -> Weights:
        model = load_trainable(settings.start_model, settings)
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        tune(model, PAIRS, replace(RECIPE, mini_batch=mini_batch))
        return weights(model)

    whole, parts, start = (
        without_dropout(0),
        without_dropout(3),
        weights(load_trainable(settings.start_model, settings)),
    )
    assert differ(whole, start)
    for name in whole:
        torch.testing.assert_close(parts[name], whole[name], atol=2e-5, rtol=0)


# --- sibling questions -----------------------------------------------------------------------------------------------


def test_questions_about_one_chunk_are_never_in_one_batch() -> None:
    """Their positives are not the same text, for each lacks its own sentence, so that only the chunk tells."""
    ids = [f"chunk {n // 4}" for n in range(32)]
    rows = Dataset.from_dict(
        {"anchor": [f"query {n}" for n in range(32)], "positive": [f"the rest without sentence {n}" for n in range(32)]}
    )
    sampler = _UniqueChunkSampler(rows, ids=ids, batch_size=8, drop_last=False, seed=1)
    batches = [[ids[row] for row in batch] for batch in sampler]
    assert sum(map(len, batches)) == 32
    assert all(len(set(batch)) == len(batch) for batch in batches)


def test_rows_of_frequent_chunks_are_used_in_batches_that_are_half_full() -> None:
    """80 rows of 8 chunks: full batches of 16 would be 5, and no batch can have more than 8."""
    ids = [f"chunk {n % 8}" for n in range(80)]
    rows = Dataset.from_dict(
        {"anchor": [f"query {n}" for n in range(80)], "positive": [f"text {n}" for n in range(80)]}
    )
    sampler = _UniqueChunkSampler(rows, ids=ids, batch_size=16, drop_last=False, seed=1)
    assert len(sampler) == 10
    assert sorted(row for batch in sampler for row in batch) == list(range(80))


def test_small_batches_past_the_number_of_full_ones_are_left_out_and_not_counted(model) -> None:
    """One chunk with 20 of 28 rows: 4 batches of 8 would hold all, and 16 of one row each would follow."""
    often = [replace(PAIRS[0], query=f"where is the cat of the house at {n}") for n in range(20)]
    pairs = [replace(pair, negatives=()) for pair in (*often, *PAIRS[1:9])]
    done = tune(model, pairs, RECIPE)
    assert done.steps == 4
    assert done.examples == 4 + 8  # a row of that chunk in each batch, and all others


# --- stopped, and going on -------------------------------------------------------------------------------------------


class Stopped(Exception):
    """What a user's Ctrl-C is to a training."""


def stop_after(epoch: int):
    def look(name: str) -> None:
        if name == f"after epoch {epoch}":
            raise Stopped

    return look


@pytest.mark.parametrize("recipe", [RECIPE, LORA])
def test_a_training_that_broke_off_ends_with_the_weights_of_one_that_did_not(
    settings: Settings, model, tmp_path: Path, recipe: Recipe
) -> None:
    recipe = replace(recipe, epochs=4)
    with pytest.raises(Stopped):
        tune(model, PAIRS, recipe, on_epoch=stop_after(2), checkpoints=tmp_path)
    assert len(list(tmp_path.glob("checkpoint-*"))) == 1  # the last one is enough
    resumed = load_trainable(settings.start_model, settings)
    states: list[str] = []
    done = tune(resumed, PAIRS, recipe, on_epoch=states.append, checkpoints=tmp_path)
    assert done.steps == 32
    assert states == ["after epoch 2", "after epoch 3"]  # not the first one again
    assert not differ(weights(resumed), tuned(settings, recipe))


def test_a_checkpoint_that_was_stopped_while_it_was_written_is_passed_over(
    settings: Settings, model, tmp_path: Path
) -> None:
    recipe = replace(RECIPE, epochs=4)
    with pytest.raises(Stopped):
        tune(model, PAIRS, recipe, on_epoch=stop_after(2), checkpoints=tmp_path)
    (whole,) = tmp_path.glob("checkpoint-*")
    shutil.copytree(whole, half := tmp_path / "checkpoint-8")
    (half / COMPLETE_MARKER).unlink()
    (half / "trainer_state.json").write_text("")
    resumed = load_trainable(settings.start_model, settings)
    states: list[str] = []
    tune(resumed, PAIRS, recipe, on_epoch=states.append, checkpoints=tmp_path)
    assert states == ["after epoch 2", "after epoch 3"]
    assert not differ(weights(resumed), tuned(settings, recipe))


def test_a_training_that_broke_off_after_its_last_step_has_its_weights_at_once(
    settings: Settings, model, tmp_path: Path
) -> None:
    tune(model, PAIRS, RECIPE, checkpoints=tmp_path)
    again = load_trainable(settings.start_model, settings)
    assert tune(again, PAIRS, RECIPE, checkpoints=tmp_path).steps == 8
    assert not differ(weights(again), weights(model))


def test_on_epoch_is_called_after_each_epoch_but_the_last(model) -> None:
    states: list[str] = []
    tune(model, PAIRS, replace(RECIPE, epochs=4), on_epoch=states.append)
    assert states == ["after epoch 1", "after epoch 2", "after epoch 3"]


# --- what is left ----------------------------------------------------------------------------------------------------


def test_a_low_rank_update_is_merged_into_a_plain_model_that_saves_and_loads(
    settings: Settings, model, tmp_path: Path
) -> None:
    start = weights(model)
    tune(model, PAIRS, LORA)
    assert list(weights(model)) == list(start)
    changed = {name for name, tensor in weights(model).items() if not torch.equal(tensor, start[name])}
    assert changed
    assert all(any(part in name for part in ("query", "key", "value", "dense")) for name in changed)
    write_weights(model, tmp_path / "v1")
    assert not list((tmp_path / "v1").rglob("adapter*"))
    judged, served = wrap(model, "v1", settings), load_embedder(str(tmp_path / "v1"), settings)
    assert served.fingerprint == judged.fingerprint
    np.testing.assert_allclose(served.embed_queries(["the cat"]), judged.embed_queries(["the cat"]), atol=ROUNDED)


def test_a_low_rank_update_changes_a_weight_by_no_more_than_its_rank(model) -> None:
    (name,) = (name for name in weights(model) if name.endswith("layer.0.attention.self.query.weight"))
    before = weights(model)[name]
    tune(model, PAIRS, LORA)
    assert torch.linalg.matrix_rank(weights(model)[name] - before, rtol=1e-3) <= LORA.lora < min(before.shape)


def test_nothing_is_printed_and_no_connection_opened(
    model, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object) -> None:
        raise AssertionError(f"a connection was opened: {args}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    capfd.readouterr()
    tune(model, PAIRS, RECIPE, checkpoints=tmp_path / "checkpoints")
    write_weights(model, tmp_path / "v1")
    assert capfd.readouterr() == ("", "")
    assert not list((tmp_path / "v1").glob("README*"))  # the library's model card would quote queries


def test_a_saved_model_serves_with_the_vectors_it_was_judged_by(settings: Settings, model, tmp_path: Path) -> None:
    tune(model, PAIRS, RECIPE)
    judged = wrap(model, "v1", settings)
    write_weights(model, tmp_path / "v1")
    served = load_embedder(str(tmp_path / "v1"), settings)
    assert served.fingerprint == judged.fingerprint
    np.testing.assert_allclose(served.embed_queries(["the cat"]), judged.embed_queries(["the cat"]), atol=ROUNDED)
