"""The gate, case by case, and what applying a verdict leaves behind."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from rag.embed import Embedder, load_embedder
from rag.errors import UnknownVersion
from rag.index import corpus_chunks, is_level, load_corpus
from rag.ingest import Corpus
from rag.prepare import index
from rag.registry import START_WEIGHTS, Registry, Version
from rag.settings import Settings
from rag.store import Store, open_store
from train.promote import MIN_HELD_OUT, apply, decide, promote_by_hand, roll_back

RNG = np.random.default_rng(0)
EVEN = np.full(60, 0.5)
NOISE = RNG.normal(0, 0.3, 60)


def quiet(text: str):
    return lambda done, total: None


def test_a_gain_beyond_luck_is_promoted():
    verdict = decide(EVEN + 0.2 + NOISE / 3, EVEN, EVEN)
    assert verdict.word == "promote"
    assert verdict.gain.low > 0
    assert verdict.n == 60


def test_a_gain_that_may_be_luck_is_not():
    verdict = decide(EVEN + 0.02 + NOISE, EVEN, EVEN)
    assert verdict.gain.mean > 0
    assert verdict.word == "keep"
    assert "may be luck" in verdict.reason


def test_a_loss_is_not():
    verdict = decide(EVEN - 0.1, EVEN, EVEN)
    assert verdict.word == "keep"
    assert verdict.tally.losses == 60


def test_the_same_model_again_is_not():
    assert decide(EVEN, EVEN, EVEN).word == "keep"


def test_better_than_a_poor_champion_yet_below_base_is_not():
    verdict = decide(EVEN, EVEN - 0.2, EVEN + 0.1)
    assert verdict.gain.low > 0
    assert verdict.word == "keep"
    assert "below base" in verdict.reason


def test_as_good_as_base_and_better_than_the_champion_is_promoted():
    assert decide(EVEN, EVEN - 0.2, EVEN).word == "promote"


def test_a_few_lucky_queries_prove_nothing():
    lucky = np.ones(MIN_HELD_OUT - 1)
    verdict = decide(lucky, lucky * 0, lucky * 0)
    assert verdict.word == "keep"
    assert verdict.reason == f"9 held-out queries, need {MIN_HELD_OUT} to judge"
    enough = np.ones(MIN_HELD_OUT)
    assert decide(enough, enough * 0, enough * 0).word == "promote"


def test_no_held_out_query_at_all_is_a_keep():
    nothing = np.array([])
    assert decide(nothing, nothing, nothing).word == "keep"


def test_the_verdict_is_one_greppable_line():
    promoted = decide(EVEN + 0.1, EVEN, EVEN - 0.1)
    assert promoted.line("v7", "v6") == (
        "VERDICT: promote v7 | ndcg@10 0.60, champion 0.50 (+0.10 [+0.10, +0.10]), base 0.40 | n=60"
    )
    kept = decide(EVEN - 0.1, EVEN, EVEN)
    assert kept.line("v7", "v6").startswith("VERDICT: keep v6, not v7 | ndcg@10 0.40, champion 0.50 (-0.10 [")


@pytest.fixture
def indexed(settings: Settings, other_tiny_model: Path) -> tuple[Settings, Store, Corpus, Embedder]:
    """Return an indexed corpus, and the embedder of weights that lie in models/v1 but are not recorded."""
    index(settings)
    settings.models.mkdir()
    (settings.models / "v1").symlink_to(other_tiny_model)
    return settings, open_store(settings.lancedb), load_corpus(settings), load_embedder(str(other_tiny_model), settings)


def version(corpus: Corpus, embedder: Embedder, verdict: str = "promote") -> Version:
    return Version(
        name="v1",
        folders=corpus.folders_id,
        fingerprint=embedder.fingerprint,
        started_from="builtin",
        kind="ratings",
        verdict="promote" if verdict == "promote" else "keep",
        summary="VERDICT: ...",
        created=datetime(2026, 1, 1, tzinfo=UTC),
    )


def test_a_promoted_version_has_its_whole_table_and_serves(indexed) -> None:
    settings, store, corpus, embedder = indexed
    registry, chunks = Registry(settings.models), corpus_chunks(store, corpus.id)
    vectors = embedder.embed_documents([chunk.text for chunk in chunks])
    apply(version(corpus, embedder), registry, store, corpus.id, embedder, chunks, vectors)
    champion = registry.champion(corpus.folders_id)
    assert champion is not None
    assert champion.name == "v1"
    assert is_level(store, corpus.id, store.chunk_table(corpus.id, embedder.fingerprint))


def test_documents_that_came_while_it_was_trained_are_in_its_table_too(indexed) -> None:
    settings, store, corpus, embedder = indexed
    chunks = corpus_chunks(store, corpus.id)[1:]
    vectors = embedder.embed_documents([chunk.text for chunk in chunks])
    apply(version(corpus, embedder), Registry(settings.models), store, corpus.id, embedder, chunks, vectors)
    assert is_level(store, corpus.id, store.chunk_table(corpus.id, embedder.fingerprint))


def test_the_champions_table_survives_a_promotion(indexed) -> None:
    settings, store, corpus, embedder = indexed
    before = store.chunk_table(corpus.id, load_embedder(settings.start_model, settings).fingerprint)
    chunks = corpus_chunks(store, corpus.id)
    vectors = embedder.embed_documents([chunk.text for chunk in chunks])
    apply(version(corpus, embedder), Registry(settings.models), store, corpus.id, embedder, chunks, vectors)
    assert is_level(store, corpus.id, before)


def test_a_kept_version_is_recorded_and_serves_nobody(indexed) -> None:
    settings, store, corpus, embedder = indexed
    registry, chunks = Registry(settings.models), corpus_chunks(store, corpus.id)
    vectors = embedder.embed_documents([chunk.text for chunk in chunks])
    apply(version(corpus, embedder, "keep"), registry, store, corpus.id, embedder, chunks, vectors)
    assert [each.verdict for each in registry.versions()] == ["keep"]
    assert registry.champion(corpus.folders_id) is None
    assert not store.has_table(store.chunk_table(corpus.id, embedder.fingerprint))


def test_a_kept_version_can_be_promoted_by_hand_and_rolled_back(indexed) -> None:
    settings, store, corpus, embedder = indexed
    registry = Registry(settings.models)
    registry.add(version(corpus, embedder, "keep"))
    assert promote_by_hand(settings, store, corpus, "v1", quiet) == "v1"
    champion = registry.champion(corpus.folders_id)
    assert champion is not None
    assert is_level(store, corpus.id, store.chunk_table(corpus.id, embedder.fingerprint))
    assert roll_back(settings, store, corpus, quiet) == START_WEIGHTS
    assert registry.champion(corpus.folders_id) is None


def test_a_rollback_completes_the_older_table_first(indexed) -> None:
    settings, store, corpus, embedder = indexed
    Registry(settings.models).add(version(corpus, embedder))
    promote_by_hand(settings, store, corpus, "v1", quiet)
    older = store.chunk_table(corpus.id, load_embedder(settings.start_model, settings).fingerprint)
    store.delete_chunks(older, list(store.chunk_ids(older))[:1])
    roll_back(settings, store, corpus, quiet)
    assert is_level(store, corpus.id, older)


def test_what_is_not_there_is_refused_and_changes_nothing(indexed) -> None:
    settings, store, corpus, embedder = indexed
    registry = Registry(settings.models)
    registry.add(replace(version(corpus, embedder), folders="elsewhere"))
    with pytest.raises(UnknownVersion, match="v9: no such version"):
        promote_by_hand(settings, store, corpus, "v9", quiet)
    with pytest.raises(UnknownVersion, match="v1 was trained on other documents; for these there are: none yet"):
        promote_by_hand(settings, store, corpus, "v1", quiet)
    with pytest.raises(UnknownVersion, match="nothing to roll back"):
        roll_back(settings, store, corpus, quiet)
    assert registry.champion(corpus.folders_id) is None
