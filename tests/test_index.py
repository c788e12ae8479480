"""An index run does what is not done yet, no more, and leaves every table level with the documents."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rag import embed
from rag.errors import NoDocuments
from rag.index import corpus_chunks, is_level, load_corpus, update_vectors
from rag.prepare import index
from rag.settings import Settings
from rag.store import Store, open_store


class Counting:
    """A real embedder that counts what it is given."""

    def __init__(self, inner: embed.Embedder) -> None:
        self.inner, self.embedded = inner, 0
        self.reference, self.fingerprint, self.dim, self.max_tokens = (
            inner.reference, inner.fingerprint, inner.dim, inner.max_tokens,
        )  # fmt: skip

    def count_tokens(self, texts: list[str]) -> list[int]:
        return self.inner.count_tokens(texts)

    def embed_queries(self, queries: list[str]) -> embed.Vectors:
        return self.inner.embed_queries(queries)

    def embed_documents(self, texts: list[str], progress: embed.Progress | None = None) -> embed.Vectors:
        self.embedded += len(texts)
        return self.inner.embed_documents(texts, progress)


@pytest.fixture
def model(settings: Settings) -> Counting:
    return Counting(embed.load_embedder(settings.base_model, settings))


def sources(settings: Settings, store: Store, table: str) -> set[str]:
    return {chunk.source for chunk in store.read_chunks(table)[0]}


def test_the_first_run_indexes_all_and_the_second_says_unchanged(settings: Settings, model: Counting) -> None:
    assert sorted(index(settings).added) == ["cats.md", "dogs.md"]
    assert index(settings).is_unchanged
    store, corpus = open_store(settings.lancedb), load_corpus(settings)
    table = update_vectors(store, corpus.id, model)
    assert model.embedded == 0
    assert is_level(store, corpus.id, table)


def test_only_what_changed_is_embedded_and_what_is_gone_is_deleted(settings: Settings, model: Counting) -> None:
    index(settings)
    (settings.docs[0] / "cats.md").write_text("# Cats\n\nThe cat drinks cold milk.\n\n## Food\n\nCats eat fish.\n")
    (settings.docs[0] / "dogs.md").unlink()
    (settings.docs[0] / "birds.md").write_text("Birds eat seed.")
    report = index(settings)
    assert (report.changed, report.deleted, report.added) == (["cats.md"], ["dogs.md"], ["birds.md"])
    store, corpus = open_store(settings.lancedb), load_corpus(settings)
    table = store.chunk_table(corpus.id, model.fingerprint)
    assert sources(settings, store, table) == {"cats.md", "birds.md"}
    assert is_level(store, corpus.id, table)


def test_a_chunk_that_moved_keeps_its_vector_and_gets_its_new_place(settings: Settings, model: Counting) -> None:
    index(settings)
    store, corpus = open_store(settings.lancedb), load_corpus(settings)
    before, vectors = store.read_chunks(store.chunk_table(corpus.id, model.fingerprint))
    dogs = settings.docs[0] / "dogs.md"
    dogs.write_text("# Red\n\nWater is red.\n\n" + dogs.read_text())
    index(settings)
    after, moved = store.read_chunks(store.chunk_table(corpus.id, model.fingerprint))
    old = next(row for row, chunk in enumerate(before) if "bone" in chunk.text)
    new = next(row for row, chunk in enumerate(after) if "bone" in chunk.text)
    assert before[old].id == after[new].id
    assert after[new].start == before[old].start + len("# Red\n\nWater is red.\n\n")
    np.testing.assert_array_equal(vectors[old], moved[new])


def test_an_interrupted_run_goes_on_where_it_stopped(settings: Settings, model: Counting) -> None:
    index(settings)
    store, corpus = open_store(settings.lancedb), load_corpus(settings)
    table = store.chunk_table(corpus.id, model.fingerprint)
    chunks = corpus_chunks(store, corpus.id)
    store.delete_chunks(table, [chunks[0].id])
    assert not is_level(store, corpus.id, table)
    update_vectors(store, corpus.id, model)
    assert model.embedded == 1
    assert is_level(store, corpus.id, table)


def test_the_index_of_words_is_made_anew_only_after_a_change(settings: Settings, model: Counting) -> None:
    index(settings)
    store, corpus = open_store(settings.lancedb), load_corpus(settings)
    table = store.chunk_table(corpus.id, model.fingerprint)

    def made() -> str:
        (words,) = store._open(table).list_indices()
        assert words.num_unindexed_rows == 0
        return str(words.index_uuid)

    first = made()
    index(settings)
    assert made() == first
    (settings.docs[0] / "dogs.md").unlink()
    index(settings)
    assert made() != first


def test_two_models_have_two_tables(settings: Settings, other_tiny_model: Path) -> None:
    index(settings.model_copy(update={"base_model": str(other_tiny_model)}))
    tables = [name for name in open_store(settings.lancedb)._names() if name.startswith("chunks__")]
    assert len(tables) == 2


def test_a_chunk_is_never_longer_than_either_model_reads(settings: Settings) -> None:
    (settings.docs[0] / "long.md").write_text("the cat eats fish and the dog eats bone " * 60)
    greedy = settings.model_copy(update={"chunk_tokens": 500})  # the tiny model reads 64
    index(greedy)
    model = embed.load_embedder(settings.base_model, settings)
    chunks = corpus_chunks(open_store(settings.lancedb), load_corpus(greedy).id)
    assert max(model.count_tokens([chunk.text for chunk in chunks])) <= model.max_tokens


def test_a_chunk_is_a_slice_of_the_stored_text(settings: Settings) -> None:
    index(settings)
    store, corpus = open_store(settings.lancedb), load_corpus(settings)
    texts = {document.id: document.text for document in store.documents(corpus.id)}
    for chunk in corpus_chunks(store, corpus.id):
        assert texts[chunk.document_id][chunk.start : chunk.end] == chunk.text


def test_a_folder_in_which_nothing_can_be_read_leaves_the_index_as_it_was(settings: Settings) -> None:
    index(settings)
    for file in settings.docs[0].iterdir():
        file.write_bytes(b"\x00binary")
    with pytest.raises(NoDocuments, match=r"none of the 2 files can be read, the first, 'cats.md'"):
        index(settings)
    assert len(open_store(settings.lancedb).documents(load_corpus(settings).id)) == 2


def test_an_emptied_folder_leaves_the_index_as_it_was(settings: Settings) -> None:
    index(settings)
    for file in settings.docs[0].iterdir():
        file.unlink()
    with pytest.raises(NoDocuments):
        index(settings)
    assert len(open_store(settings.lancedb).documents(load_corpus(settings).id)) == 2
