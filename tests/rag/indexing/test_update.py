"""An index run does only what is missing and leaves every table up to date with the documents."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from counting import Counting
from rag.answering.service import open_service
from rag.errors import NoDocuments
from rag.indexing import update
from rag.indexing.indexer import index
from rag.indexing.update import corpus_chunks, is_up_to_date, update_vectors
from rag.ingest import documents, workers
from rag.ingest.corpus import load_corpus
from rag.models import embedder
from rag.settings import Settings
from rag.store import schema
from rag.store.document_store import DocumentStore
from rag.store.store import Store, open_store


def sources(settings: Settings, store: Store, table: str) -> set[str]:
    return {chunk.source for chunk in store.chunks.read(table)[0]}


def test_the_first_run_indexes_all_and_the_second_finds_nothing_changed(settings: Settings, model: Counting) -> None:
    assert sorted(index(settings).added) == ["cats.md", "dogs.md"]
    assert index(settings).is_unchanged
    store, corpus = open_store(settings.lancedb), load_corpus(settings)
    table = update_vectors(store, corpus.id, model)
    assert model.embedded == 0
    assert is_up_to_date(store, corpus.id, table)


def test_only_changed_documents_are_embedded_and_missing_ones_deleted(settings: Settings, model: Counting) -> None:
    index(settings)
    (settings.docs[0] / "cats.md").write_text("# Cats\n\nThe cat drinks cold milk.\n\n## Food\n\nCats eat fish.\n")
    (settings.docs[0] / "dogs.md").unlink()
    (settings.docs[0] / "birds.md").write_text("Birds eat seed.")
    report = index(settings)
    assert (report.changed, report.deleted, report.added) == (["cats.md"], ["dogs.md"], ["birds.md"])
    store, corpus = open_store(settings.lancedb), load_corpus(settings)
    table = store.chunks.table_name(corpus.id, model.fingerprint)
    assert sources(settings, store, table) == {"cats.md", "birds.md"}
    assert is_up_to_date(store, corpus.id, table)


def test_a_moved_chunk_keeps_its_vector_and_gets_its_new_offsets(settings: Settings, model: Counting) -> None:
    index(settings)
    store, corpus = open_store(settings.lancedb), load_corpus(settings)
    before, vectors = store.chunks.read(store.chunks.table_name(corpus.id, model.fingerprint))
    dogs = settings.docs[0] / "dogs.md"
    dogs.write_text("# Red\n\nWater is red.\n\n" + dogs.read_text())
    index(settings)
    after, moved = store.chunks.read(store.chunks.table_name(corpus.id, model.fingerprint))
    old = next(row for row, chunk in enumerate(before) if "bone" in chunk.text)
    new = next(row for row, chunk in enumerate(after) if "bone" in chunk.text)
    assert before[old].id == after[new].id
    assert after[new].start == before[old].start + len("# Red\n\nWater is red.\n\n")
    np.testing.assert_array_equal(vectors[old], moved[new])


def test_an_interrupted_run_continues_where_it_stopped(settings: Settings, model: Counting) -> None:
    index(settings)
    store, corpus = open_store(settings.lancedb), load_corpus(settings)
    table = store.chunks.table_name(corpus.id, model.fingerprint)
    chunks = corpus_chunks(store, corpus.id)
    store.chunks.delete(table, [chunks[0].id])
    assert not is_up_to_date(store, corpus.id, table)
    update_vectors(store, corpus.id, model)
    assert model.embedded == 1
    assert is_up_to_date(store, corpus.id, table)


def test_the_full_text_index_is_rebuilt_only_after_a_change(settings: Settings, model: Counting) -> None:
    index(settings)
    store, corpus = open_store(settings.lancedb), load_corpus(settings)
    table = store.chunks.table_name(corpus.id, model.fingerprint)

    def made() -> str:
        (words,) = store.tables.open(table).list_indices()
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
    tables = [name for name in open_store(settings.lancedb).tables.names() if name.startswith("chunks__")]
    assert len(tables) == 2


def test_a_chunk_is_never_longer_than_either_model_reads(settings: Settings) -> None:
    (settings.docs[0] / "long.md").write_text("# Cats and dogs\n\n" + "the cat eats fish and the dog eats bone " * 60)
    greedy = settings.model_copy(update={"chunk_tokens": 500})  # the tiny model reads 64
    index(greedy)
    model = embedder.load_embedder(settings.base_model, settings)
    chunks = corpus_chunks(open_store(settings.lancedb), load_corpus(greedy).id)
    assert max(model.count_tokens([chunk.embedded for chunk in chunks])) <= model.max_tokens


def test_a_chunk_is_a_slice_of_the_stored_text(settings: Settings) -> None:
    index(settings)
    store, corpus = open_store(settings.lancedb), load_corpus(settings)
    texts = {document.id: document.text for document in store.documents.read(corpus.id)}
    for chunk in corpus_chunks(store, corpus.id):
        assert texts[chunk.document_id][chunk.start : chunk.end] == chunk.text


def test_a_folder_with_only_unreadable_files_leaves_the_index_unchanged(settings: Settings) -> None:
    index(settings)
    for file in settings.docs[0].iterdir():
        file.write_bytes(b"\x00binary")
    with pytest.raises(NoDocuments, match=r"none of the 2 files can be read, the first, 'cats.md'"):
        index(settings)
    assert len(open_store(settings.lancedb).documents.read(load_corpus(settings).id)) == 2


def test_an_emptied_folder_leaves_the_index_unchanged(settings: Settings) -> None:
    index(settings)
    for file in settings.docs[0].iterdir():
        file.unlink()
    with pytest.raises(NoDocuments):
        index(settings)
    assert len(open_store(settings.lancedb).documents.read(load_corpus(settings).id)) == 2


def test_an_emptied_folder_leaves_the_index_unchanged_even_with_uploads(settings: Settings) -> None:
    uploads = update.uploads_folder(settings, load_corpus(settings))
    uploads.mkdir(parents=True)
    (uploads / "birds.md").write_text("Birds eat seed.")
    index(settings)
    for file in settings.docs[0].iterdir():
        file.unlink()
    with pytest.raises(NoDocuments, match=r"the index has documents of it \(2\): mount it"):
        index(settings)
    kept = open_store(settings.lancedb).documents.hashes(load_corpus(settings).id)
    assert sorted(kept) == ["cats.md", "dogs.md", "uploads/birds.md"]


class Broken(Counting):
    """An embedder that is interrupted at its third step."""

    steps = 0

    def embed_documents(self, texts: list[str], progress: embedder.Progress | None = None) -> embedder.Vectors:
        self.steps += bool(texts)
        if self.steps == 3:
            raise KeyboardInterrupt
        return super().embed_documents(texts, progress)


def test_interrupted_embedding_continues_with_the_missing_chunks(
    settings: Settings, model: Counting, other_tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index(settings)
    store, corpus = open_store(settings.lancedb), load_corpus(settings)
    other = embedder.load_embedder(str(other_tiny_model), settings)
    table = store.chunks.table_name(corpus.id, other.fingerprint)
    total = store.documents.count_chunks(corpus.id)
    with pytest.raises(KeyboardInterrupt):
        update_vectors(store, corpus.id, Broken(other), step=1)
    assert (len(store.chunks.ids(table)), store.chunks.diff(corpus.id, table).summary) == (
        2,
        f"lacks {total - 2} of {total} passages",
    )
    rest = Counting(other)
    update_vectors(store, corpus.id, rest)
    assert rest.embedded == total - 2
    assert is_up_to_date(store, corpus.id, table)


def test_interrupted_reading_keeps_what_was_read(settings: Settings, model: Counting) -> None:
    store, corpus = open_store(settings.lancedb), load_corpus(settings)

    def outcomes() -> Iterator[documents.Outcome]:
        yield next(iter(update.read_files(settings, corpus, {}, (model.count_tokens, 32))))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        update.update_documents(store, corpus, outcomes())
    assert list(store.documents.hashes(corpus.id)) == ["cats.md"]
    assert index(settings).added == ["dogs.md"]


def test_another_model_is_embedded_from_stored_text_and_the_old_table_stays(
    settings: Settings, other_tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index(settings)

    def parse(*given: object) -> object:
        raise AssertionError("a file was parsed again")

    monkeypatch.setattr(documents, "_document", parse)
    store = open_store(settings.lancedb)
    (old,) = [name for name in store.tables.names() if name.startswith(schema.CHUNKS)]
    before, vectors = store.chunks.read(old)
    # the tuned arm's model: the base model counts tokens, so another one of those is another corpus
    corpus = load_corpus(settings)
    table = update_vectors(store, corpus.id, embedder.load_embedder(str(other_tiny_model), settings))
    assert table != old
    assert is_up_to_date(store, corpus.id, table)
    after, same = store.chunks.read(old)
    assert before == after
    np.testing.assert_array_equal(vectors, same)
    assert not np.allclose(store.chunks.read(table)[1], vectors)  # the same dimension, but separate tables


def test_an_arm_whose_table_lacks_passages_has_a_note(settings: Settings) -> None:
    index(settings)
    serving = open_service(settings)
    assert not [note for note in serving.notes() if "lacks" in note]
    table = serving.served("tuned").table
    serving.store.chunks.delete(table, sorted(serving.store.chunks.ids(table))[:1])
    assert "The tuned arm's index lacks 1 of 3 passages: run `python -m rag index`." in serving.notes()
    serving.maintenance.start()  # from now on notes are those of the last background check
    serving.maintenance.check()
    assert "The base arm's index lacks 1 of 3 passages: run `python -m rag index`." in serving.notes()
    index(settings)
    serving.maintenance.check()
    assert not [note for note in serving.notes() if "lacks" in note]
    serving.close()


def test_two_simultaneous_index_runs_leave_one_complete_index(settings: Settings, model: Counting) -> None:
    with ThreadPoolExecutor(2) as runs:
        reports = list(runs.map(index, [settings, settings]))
    assert sorted(len(report.added) for report in reports) == [0, 2]
    store, corpus = open_store(settings.lancedb), load_corpus(settings)
    assert is_up_to_date(store, corpus.id, store.chunks.table_name(corpus.id, model.fingerprint))


def test_chunk_ids_are_added_to_a_home_of_an_earlier_release(settings: Settings, model: Counting) -> None:
    index(settings)
    store, corpus = open_store(settings.lancedb), load_corpus(settings)
    store.tables.open(schema.DOCUMENTS).drop_columns(["chunks"])
    table = store.chunks.table_name(corpus.id, model.fingerprint)
    assert is_up_to_date(store, corpus.id, table)
    assert index(settings).is_unchanged
    assert store.documents._without_chunk_ids(corpus.id) == []
    assert is_up_to_date(store, corpus.id, table)


def test_another_base_model_chunks_again_without_parsing_again(
    settings: Settings, other_tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = "<html><body><article><h1>Birds</h1><p>Birds eat seed in the garden every day.</p></article></body></html>"
    (settings.docs[0] / "birds.html").write_text(page)
    parsings: list[str] = []
    begin = workers.WorkerPool._schedule
    monkeypatch.setattr(
        workers.WorkerPool, "_schedule", lambda self, *given: parsings.append(given[0]) or begin(self, *given)
    )
    index(settings)
    other = settings.model_copy(update={"base_model": str(other_tiny_model)})
    assert "birds.html" in index(other).added  # another corpus, since another tokenizer may chunk differently
    assert len(parsings) == 1
    store = open_store(settings.lancedb)
    one, two = (store.documents.read(load_corpus(each).id, "birds.html") for each in (settings, other))
    assert one == two
    assert one
    for kept in (settings.cache / "parsed").iterdir():
        kept.write_bytes(b"broken")
    index(settings.model_copy(update={"chunk_tokens": 30}))
    assert len(parsings) == 2


def test_a_chunk_under_another_heading_is_embedded_again(settings: Settings, model: Counting) -> None:
    index(settings)
    cats = settings.docs[0] / "cats.md"
    cats.write_text(cats.read_text().replace("## Food", "## Meals\n\nAt noon.\n\n### Fish"))
    store, corpus = open_store(settings.lancedb), load_corpus(settings)
    known = store.documents.hashes(corpus.id)
    update.update_documents(store, corpus, update.read_files(settings, corpus, known, (model.count_tokens, 32)))
    table = update_vectors(store, corpus.id, model)
    chunks = corpus_chunks(store, corpus.id)
    vectors = store.chunks.vectors(table, [chunk.id for chunk in chunks])
    expected = model.inner.embed_documents([chunk.embedded for chunk in chunks])
    np.testing.assert_allclose(vectors, expected, atol=1e-5)


def test_documents_are_written_and_read_in_groups_of_limited_size(
    settings: Settings, model: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(12):
        (settings.docs[0] / f"n{n:02}.md").write_text(f"Note {n}. " + "x" * (5 * n))
    calls: dict[str, list[int]] = {"put": [], "read_sources": []}
    for name, recorded in calls.items():
        act = getattr(DocumentStore, name)

        def counted(
            self: DocumentStore, corpus: str, given: list[object], act: object = act, sizes: object = recorded
        ) -> object:
            sizes.append(len(given))  # type: ignore[attr-defined]
            return act(self, corpus, given)  # type: ignore[operator]

        monkeypatch.setattr(DocumentStore, name, counted)
    index(settings)
    assert calls == {"put": [4, 8, 2], "read_sources": [4, 8, 2]}  # few at first, so that the chat can open
    monkeypatch.setattr(update, "IN_LIST", 5)
    monkeypatch.setattr(update, "HELD_CHARS", 100)
    store, corpus = open_store(settings.lancedb), load_corpus(settings)
    sources = {source for source, _, _ in store.documents.sizes(corpus.id)}
    lengths = {source: len(store.documents.read(corpus.id, source)[0].text) for source in sorted(sources)}
    groups = list(update._groups(lengths))
    assert [source for group in groups for source in group] == sorted(sources)
    assert all(len(group) <= 5 for group in groups)
    assert all(len(group) == 1 or sum(map(lengths.__getitem__, group)) <= 100 for group in groups)
    assert any(len(group) == 5 or sum(map(lengths.__getitem__, group)) > 60 for group in groups)
