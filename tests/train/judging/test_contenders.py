"""The champion in a split: as it serves where its pairs do not leak, else its recipe retrained."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from fakes import NOON, make_chunk
from rag.indexing.indexer import index
from rag.indexing.update import corpus_chunks
from rag.ingest.corpus import load_corpus
from rag.models.embedder import Embedder, load_embedder
from rag.models.registry import START_WEIGHTS, Registry, Version
from rag.records import Pair, Qrels
from rag.settings import Settings
from rag.store.store import open_store
from train.context import TrainingContext
from train.dataset.split import Split
from train.judging.contenders import (
    Candidate,
    candidates_for,
    challenger_candidates,
    remap_to_current_chunks,
    retrain_without,
    served_candidates,
)
from train.progress import StageReporter
from train.recipe import Recipe
from train.tuning.challenger import Challenger, FineTuneFactory

THINGS = ["cat", "dog", "bird", "fish", "milk", "bone"]
PLACES = ["house", "garden", "river", "mountain"]
CHUNKS = [
    make_chunk(f"{place} keeps one {thing} warm, {thing} opens the {place} for two days and finds {place}")
    for thing in THINGS
    for place in PLACES
]
PAIRS = [
    Pair(f"what does chunk {n} say?", chunk.id, chunk.text, (CHUNKS[n - 1].text,)) for n, chunk in enumerate(CHUNKS)
]
RECIPE = Recipe(epochs=1, batch=4, rate=1e-3, dims=(32, 16))
bar = StageReporter(print).bar


@dataclass(frozen=True)
class Served:
    """Start model and champion, as they serve, and how the champion was tuned."""

    start: Candidate
    champion: Candidate
    tuner: FineTuneFactory


def candidate(name: str, embedder: Embedder) -> Candidate:
    return Candidate(name, embedder, embedder.embed_documents([chunk.text for chunk in CHUNKS]))


@pytest.fixture
def served(settings: Settings, other_tiny_model: Path) -> Served:
    start = candidate(START_WEIGHTS, load_embedder(settings.start_model, settings))
    champion = candidate("v1", load_embedder(str(other_tiny_model), settings))
    tuner = FineTuneFactory(
        settings,
        settings.start_model,
        lambda pairs, model: RECIPE,
        start.embedder,
        CHUNKS,
        start.vectors,
        chooses=False,
    )
    return Served(start, champion, tuner)


def judged_by(*pairs: Pair) -> Split:
    return Split((), (), Qrels({pair.query: frozenset({pair.positive_id}) for pair in pairs}), 0)


@pytest.fixture
def again(served: Served, tmp_path: Path) -> Callable[..., Candidate]:
    def enter(trained: list[Pair], part: Split) -> Candidate:
        return retrain_without(
            *(served.champion, served.start, remap_to_current_chunks(trained, CHUNKS), served.tuner, part, CHUNKS, bar),
            tmp_path,
        )

    return enter


def test_a_champion_without_leaks_is_evaluated_itself(served: Served, again) -> None:
    assert again(PAIRS[:20], judged_by(*PAIRS[20:])) is served.champion


@pytest.mark.parametrize(
    "leak",
    [
        PAIRS[20],
        replace(PAIRS[20], query="another question about that chunk"),
        replace(PAIRS[3], query=PAIRS[20].query.upper()),
        replace(PAIRS[3], positive=f"{PAIRS[20].positive} today"),
        replace(PAIRS[20], positive_id="before the document was edited", positive="what stood there then"),
    ],
    ids=["query and chunk", "the chunk", "the query", "a near copy of the chunk", "the query, of a chunk that is gone"],
)
def test_a_champion_with_leaks_is_retrained_without_them(served: Served, again, leak: Pair) -> None:
    candidates_for = again([*PAIRS[:20], leak], judged_by(*PAIRS[20:]))
    expected = served.tuner.make(PAIRS[:20], "v1")
    assert candidates_for.name == "v1"
    assert candidates_for.embedder.fingerprint == expected.embedder.fingerprint != served.champion.embedder.fingerprint
    texts = [chunk.text for chunk in CHUNKS]
    np.testing.assert_array_equal(candidates_for.vectors, expected.embedder.embed_documents(texts))


def test_a_champion_whose_documents_were_rechunked_is_retrained_on_current_chunks(served: Served, again) -> None:
    before = [replace(pair, positive_id=f"before, {pair.positive_id}") for pair in [*PAIRS[:20], PAIRS[20]]]
    candidates_for = again(before, judged_by(*PAIRS[20:]))
    assert candidates_for.embedder.fingerprint == served.tuner.make(PAIRS[:20], "v1").embedder.fingerprint


def test_a_champion_trained_on_a_text_that_contains_a_test_chunk_is_retrained_without_it(served: Served, again) -> None:
    """The text was cut in two since: it is found as its longer part, and holds the shorter one, which judges."""
    longer, shorter = PAIRS[3].positive + " and that is all there is to say of it", PAIRS[20].positive
    candidates_for = again([*PAIRS[:20], Pair("before", "gone", f"{longer} {shorter}")], judged_by(*PAIRS[20:]))
    assert candidates_for.embedder.fingerprint == served.tuner.make(PAIRS[:20], "v1").embedder.fingerprint


def test_a_pair_whose_chunk_is_gone_from_the_documents_leaks_nothing(served: Served, again) -> None:
    gone = Pair("what did the old page say?", "gone", "a text that no document holds any more")
    assert again([*PAIRS[:20], gone], judged_by(*PAIRS[20:])) is served.champion


def test_a_retrained_champion_keeps_pairs_whose_chunk_no_longer_exists(served: Served, again) -> None:
    gone = Pair("what did the old page say?", "gone", "a text that no document holds any more", ("not this",))
    candidates_for = again([*PAIRS[:19], gone, PAIRS[20]], judged_by(*PAIRS[20:]))
    expected = served.tuner.make([*PAIRS[:19], gone], "v1")
    assert candidates_for.embedder.fingerprint == expected.embedder.fingerprint


def test_a_champion_without_any_pairs_left_is_replaced_by_the_start_weights(served: Served, again) -> None:
    candidates_for = again(PAIRS[20:], judged_by(*PAIRS[20:]))
    assert (candidates_for.name, candidates_for.embedder) == ("v1", served.start.embedder)
    assert candidates_for.vectors is served.start.vectors


def test_known_vectors_are_not_embedded_again(served: Served, tmp_path: Path) -> None:
    made = Challenger(served.champion.embedder, PAIRS, {}, lambda path: None, served.start.vectors)
    assert challenger_candidates(made, "v2", CHUNKS, bar, tmp_path).vectors is served.start.vectors
    unknown = challenger_candidates(replace(made, vectors=None), "v2", CHUNKS, bar, tmp_path)
    np.testing.assert_array_equal(unknown.vectors, served.champion.vectors)


def test_a_scored_candidate_has_a_vector_per_query_in_order(served: Served) -> None:
    qrels = judged_by(*PAIRS[:3]).held_out
    contender = candidates_for({"champion": served.champion}, qrels)["champion"]
    expected = served.champion.embedder.embed_queries([pair.query for pair in PAIRS[:3]])
    np.testing.assert_array_equal(contender.queries, expected)
    assert (contender.name, contender.chunks is served.champion.vectors) == ("v1", True)


def test_a_serving_model_is_scored_with_the_vectors_of_its_updated_table(
    settings: Settings, other_tiny_model: Path
) -> None:
    index(settings)
    store, corpus = open_store(settings.lancedb), load_corpus(settings)
    shutil.copytree(other_tiny_model, settings.models / "v1")
    registry = Registry(settings.models)
    registry.add(Version("v1", corpus.folders_id, "f", settings.start_model, "ratings", "keep", "no line", NOON))
    registry.promote(corpus.folders_id, "v1")  # its table was never made
    chunks = corpus_chunks(store, corpus.id)[::-1]
    roles = served_candidates(TrainingContext(settings, store, registry, corpus, chunks), bar)
    assert {role: each.name for role, each in roles.items()} == {
        "base": settings.base_model,
        "champion": "v1",
        "start": START_WEIGHTS,
        "shared": "v1",
    }
    assert roles["base"].embedder is roles["start"].embedder  # one model, loaded once
    assert store.chunks.exists(store.chunks.table_name(corpus.id, roles["champion"].embedder.fingerprint))
    texts = [chunk.embedded for chunk in chunks]
    for each in roles.values():
        np.testing.assert_allclose(each.vectors, each.embedder.embed_documents(texts), atol=1e-6)
