"""Which files an index run opens: those that are new, changed, or too young for their time to tell."""

from __future__ import annotations

from email.message import EmailMessage
from pathlib import Path

import pytest

from counting import Counting
from rag.indexing import update
from rag.indexing.indexer import index
from rag.indexing.update import update_vectors
from rag.ingest import documents, stat_cache
from rag.ingest.corpus import load_corpus
from rag.settings import Settings
from rag.store.document_store import DocumentStore
from rag.store.store import open_store


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the list of files that are opened from now on; files of any age may be cached."""
    names: list[str] = []
    read = documents.read_bytes

    def reading(path: Path) -> bytes:
        names.append(path.name)
        return read(path)

    monkeypatch.setattr(documents, "read_bytes", reading)
    monkeypatch.setattr(stat_cache, "MIN_AGE", -60.0)
    return names


def test_a_file_with_the_same_stat_is_not_opened(settings: Settings, opened: list[str]) -> None:
    index(settings)
    assert sorted(opened) == ["cats.md", "dogs.md"]
    opened.clear()
    (settings.docs[0] / "birds.md").write_text("Birds eat seed.")
    report = index(settings)
    assert (opened, report.added, sorted(report.unchanged)) == (["birds.md"], ["birds.md"], ["cats.md", "dogs.md"])


def test_attachments_of_a_message_with_the_same_stat_stay_in_the_index(settings: Settings, opened: list[str]) -> None:
    mail = EmailMessage()
    mail["Subject"] = "Boiler"
    mail.set_content("See the note.")
    mail.add_attachment("The boiler is repaired on Tuesday.", filename="note.txt")
    path = settings.docs[0] / "mail.eml"
    path.write_bytes(mail.as_bytes())
    assert {"mail.eml", "mail.eml/note.txt"} <= set(index(settings).added)
    opened.clear()
    again = index(settings)
    assert not opened
    assert again.is_unchanged
    assert "mail.eml/note.txt" in again.unchanged


def test_a_changed_file_of_the_same_size_is_read_again(settings: Settings, opened: list[str]) -> None:
    index(settings)
    dogs = settings.docs[0] / "dogs.md"
    dogs.write_text(dogs.read_text().replace("bone", "milk"))
    assert index(settings).changed == ["dogs.md"]


def test_a_file_written_moments_ago_is_read_again(settings: Settings, opened: list[str],
                                                            monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.setattr(stat_cache, "MIN_AGE", 60.0)
    index(settings)
    opened.clear()
    assert index(settings).is_unchanged
    assert sorted(opened) == ["cats.md", "dogs.md"]


def test_a_new_file_costs_only_its_own_text_and_vectors(
    settings: Settings, model: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    index(settings)
    (settings.docs[0] / "birds.md").write_text("Birds eat seed.")
    store, corpus = open_store(settings.lancedb), load_corpus(settings)
    known = store.documents.hashes(corpus.id)
    outcomes = update.read_files(settings, corpus, known, (model.count_tokens, 32))
    update.update_documents(store, corpus, outcomes)
    read: list[str] = []
    read_sources = DocumentStore.read_sources

    def reading(self: DocumentStore, corpus: str, sources: list[str]) -> object:
        read.extend(sources)
        return read_sources(self, corpus, sources)

    monkeypatch.setattr(DocumentStore, "read_sources", reading)
    update_vectors(store, corpus.id, model)
    assert (read, model.embedded) == (["birds.md"], 1)
