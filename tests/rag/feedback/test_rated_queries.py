"""Rated queries that a training would count now, counted without loading a model."""

from __future__ import annotations

from dataclasses import replace

from bench import label
from rag.feedback.credit import unranked
from rag.feedback.pairs import count_rated
from rag.feedback.rated_queries import chunks_for, count_rated_now
from rag.indexing.indexer import index
from rag.indexing.update import corpus_chunks
from rag.ingest.corpus import load_corpus
from rag.settings import Settings
from rag.store.store import open_store


def test_texts_of_documents_are_read_only_where_a_labelled_passage_is_gone(settings: Settings) -> None:
    index(settings)
    store, corpus = open_store(settings.lancedb), load_corpus(settings)
    first, *_ = corpus_chunks(store, corpus.id)
    known = replace(label("What?", 1), chunk_id=first.id, text=first.text)
    gone = replace(known, chunk_id="gone")
    assert {each.text for each in chunks_for([known], store, corpus.id)} == {""}
    assert first in chunks_for([known, gone], store, corpus.id)
    assert count_rated_now(store, corpus.id) == 0
    for labels in ([known], [gone]):
        assert count_rated(labels, chunks_for(labels, store, corpus.id), unranked) == 1


def test_labels_count_before_anything_is_indexed_only_if_a_passage_matches(settings: Settings) -> None:
    store, corpus = open_store(settings.lancedb), load_corpus(settings)
    store.feedback.put_labels([replace(label("What?", 1), text="The cat drinks warm milk at night.", origin="mark")])
    assert count_rated_now(store, corpus.id) == 0
    index(settings)
    assert count_rated_now(store, corpus.id) == 1
