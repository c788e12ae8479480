"""Real training of a tiny model: it learns, it repeats itself, and it leaves nothing behind but weights."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from rag.embed import load_embedder, load_trainable, wrap
from rag.records import Pair
from rag.settings import Settings
from train.tune import Recipe, Tuned, batch_for, matryoshka_dims, save, trained_on, tune

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


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def tuned(settings: Settings, recipe: Recipe, pairs: list[Pair] = PAIRS) -> tuple[np.ndarray, Tuned]:
    """Return the word embeddings after a tuning, and what it did."""
    model = load_trainable(settings.start_model, settings)
    done = tune(model, pairs, recipe)
    return words(model), done


def words(model: torch.nn.Module) -> np.ndarray:
    (weights,) = (p for name, p in model.named_parameters() if name.endswith("word_embeddings.weight"))
    return weights.detach().numpy().copy()


def test_queries_come_nearer_to_their_positives_than_to_the_rest(settings: Settings) -> None:
    def margin(model) -> float:
        embedder = wrap(model, "it", settings)
        scores = (
            embedder.embed_queries([p.query for p in PAIRS]) @ embedder.embed_documents([p.positive for p in PAIRS]).T
        )
        return float(np.mean(np.diag(scores)) - np.mean(scores))

    model = load_trainable(settings.start_model, settings)
    before = margin(model)
    done = tune(model, PAIRS, Recipe(epochs=10))
    assert margin(model) > 1.3 * before > 0
    assert done.steps == 10 * 4  # 32 pairs in batches of 8
    assert (done.batch, done.dims) == (8, (32, 16))


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(settings: Settings) -> None:
    first, again, other = (tuned(settings, Recipe(epochs=2, seed=seed))[0] for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_pairs_without_negatives_train_too(settings: Settings) -> None:
    _, done = tuned(settings, Recipe(epochs=1), [Pair(p.query, p.positive_id, p.positive) for p in PAIRS])
    assert done.steps == 4


def test_a_model_learns_with_the_prompt_that_it_serves_with(settings: Settings) -> None:
    """The word of the prompt stands in no pair: its embedding moves only if the prompt was put before the queries."""
    model = load_trainable(settings.start_model, settings)
    word = model.tokenizer.convert_tokens_to_ids("night")
    assert not any("night" in f"{pair.query} {pair.positive} {pair.negatives}" for pair in PAIRS)
    start = words(model)
    tune(model, PAIRS, Recipe(epochs=1))
    np.testing.assert_array_equal(words(model)[word], start[word])
    model.prompts["query"] = "night "
    tune(model, PAIRS, Recipe(epochs=1))
    assert not np.array_equal(words(model)[word], start[word])


def test_no_pairs_are_an_error(settings: Settings) -> None:
    with pytest.raises(ValueError, match="no pairs to train on"):
        tuned(settings, Recipe(epochs=1), [])


def test_nothing_is_printed_and_no_connection_opened(
    settings: Settings, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object) -> None:
        raise AssertionError(f"a connection was opened: {args}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    model = load_trainable(settings.start_model, settings)
    capfd.readouterr()
    tune(model, PAIRS, Recipe(epochs=1))
    save(model, tmp_path / "v1", PAIRS)
    assert capfd.readouterr() == ("", "")


def test_a_saved_model_serves_with_the_vectors_it_was_judged_by(settings: Settings, tmp_path: Path) -> None:
    model = load_trainable(settings.start_model, settings)
    tune(model, PAIRS, Recipe(epochs=1))
    judged = wrap(model, "v1", settings)
    save(model, tmp_path / "models" / "v1", PAIRS)
    served = load_embedder(str(tmp_path / "models" / "v1"), settings)
    assert served.fingerprint == judged.fingerprint
    np.testing.assert_array_equal(served.embed_queries(["the cat"]), judged.embed_queries(["the cat"]))


def test_the_chunks_that_a_model_learnt_from_lie_beside_its_weights(settings: Settings, tmp_path: Path) -> None:
    model = load_trainable(settings.start_model, settings)
    save(model, tmp_path / "v1", PAIRS[:2])
    assert trained_on(tmp_path / "v1") == {"cat-house", "cat-garden"}
    assert trained_on(Path(settings.start_model)) == frozenset()
    assert not list((tmp_path / "v1").glob("README*"))  # a model card would quote queries
    json.loads((tmp_path / "v1" / "modules.json").read_text())


def test_a_save_that_fails_leaves_nothing_half_made(settings: Settings, tmp_path: Path) -> None:
    taken = tmp_path / "models" / "v1"
    taken.mkdir(parents=True)
    (taken / "something").touch()
    with pytest.raises(OSError, match="v1"):
        save(load_trainable(settings.start_model, settings), taken, PAIRS)
    assert [path.name for path in taken.parent.iterdir()] == ["v1"]
    assert [path.name for path in taken.iterdir()] == ["something"]


@pytest.mark.parametrize(
    ("full", "dims"),
    [
        (384, (384, 256, 128, 64)),
        (1024, (1024, 512, 256, 128, 64)),
        (256, (256, 128, 64)),
        (64, (64, 32)),
        (32, (32, 16)),
    ],
)
def test_dimensions_start_at_the_full_one(full: int, dims: tuple[int, ...]) -> None:
    assert matryoshka_dims(full) == dims


@pytest.mark.parametrize(("pairs", "batch"), [(2, 2), (40, 10), (99, 24), (128, 32), (5000, 32)])
def test_few_pairs_make_smaller_batches(pairs: int, batch: int) -> None:
    assert batch_for(pairs) == batch
